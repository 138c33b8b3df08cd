/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet, ARP, IPv4 and ICMP: frames written out by hand in, frames out compared. */
#include <arpa/inet.h>

#include "tcpstack/checksum.h"
#include "tcpstack/stack_impl.h"
#include "tests/unit/unit.h"

enum { US = 0x0a000001, PEER = 0x0a000002, GATEWAY = 0x0a0000fe, FAR_AWAY = 0x08080808 };

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1};
static uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t everyone[6] = {255, 255, 255, 255, 255, 255};

static struct rte_mempool *pool;
static struct stack *stack;
static uint64_t now_us;
static struct rte_mbuf *sent[64];
static unsigned sent_count;

static void capture(void *ctx, struct rte_mbuf **frames, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		MUST(sent_count < 64);
		sent[sent_count++] = frames[i];
	}
}

static void forget(void)
{
	rte_pktmbuf_free_bulk(sent, sent_count);
	sent_count = 0;
}

static void begin(void (*change)(struct stack_config *c))
{
	struct stack_config c;

	if (!pool)
		pool = unit_pool("link", 64, 2048);
	stack_config_defaults(&c);
	memcpy(c.mac, our_mac, 6);
	stack_config_add(&c, ip_v4(US), 24);
	c.tx_pool = pool;
	c.key = (struct siphash_key){1, 2};
	c.tx = capture;
	c.arp_max = 4;
	c.frag_bytes_max = 16 * 2176; /* of the 64 buffers that there are */
	c.conn_max = 16;
	if (change)
		change(&c);
	now_us = 1000000;
	stack = stack_create(&c, now_us);
	MUST(stack);
}

static void end(void)
{
	forget();
	stack_destroy(stack);
	CU_ASSERT_TRUE(unit_pool_full(pool));
}

static void flush(void)
{
	stack_output(stack, now_us);
}

static void input(const void *bytes, uint16_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	memcpy(rte_pktmbuf_append(m, n), bytes, n);
	stack_input(stack, &m, 1, now_us);
	flush();
}

static uint8_t frame[2048];

static uint8_t *eth(const uint8_t dst[6], uint16_t type)
{
	memcpy(frame, dst, 6);
	memcpy(frame + 6, peer_mac, 6);
	wire_put16(frame + 12, type);
	return frame + 14;
}

static void arp(uint16_t op, uint32_t sender, uint32_t target)
{
	uint8_t *p = eth(op == 1 ? everyone : our_mac, ETH_TYPE_ARP);

	memcpy(p, (uint8_t[]){0, 1, 8, 0, 6, 4, 0, (uint8_t)op}, 8);
	memcpy(p + 8, peer_mac, 6);
	wire_put32(p + 14, sender);
	memset(p + 18, 0, 6);
	wire_put32(p + 24, target);
	input(frame, 42);
}

static void ipv4_sum(uint8_t *p)
{
	wire_put16(p + 10, 0);
	wire_put16(p + 10, (uint16_t)~checksum_fold(checksum_add(0, p, (p[0] & 15u) * 4)));
}

/* An echo request of n payload bytes in frame; returns the frame's length. */
static uint16_t echo(uint32_t src, uint32_t dst, uint16_t n)
{
	uint8_t *p = eth(our_mac, ETH_TYPE_IPV4);

	memset(p, 0, 28);
	p[0] = 0x45;
	wire_put16(p + 2, (uint16_t)(28 + n));
	p[8] = 3;
	p[9] = 1;
	wire_put32(p + 12, src);
	wire_put32(p + 16, dst);
	ipv4_sum(p);
	p[20] = 8;
	wire_put16(p + 24, 77);
	for (unsigned i = 0; i < n; i++)
		p[28 + i] = (uint8_t)i;
	wire_put16(p + 22, (uint16_t)~checksum_fold(checksum_add(0, p + 20, 8u + n)));
	return (uint16_t)(14 + 28 + n);
}

static void expect_echo_reply(uint16_t n)
{
	CU_ASSERT_EQUAL_FATAL(sent_count, 1);
	const uint8_t *p = frame_data(sent[0]);
	CU_ASSERT_EQUAL(sent[0]->pkt_len, 14u + 28 + n);
	CU_ASSERT_EQUAL(memcmp(p, peer_mac, 6), 0);
	CU_ASSERT_EQUAL(memcmp(p + 6, our_mac, 6), 0);
	p += 14;
	CU_ASSERT_EQUAL(checksum_fold(checksum_add(0, p, 20)), 0xffff);
	CU_ASSERT_EQUAL(wire_get32(p + 12), US);
	CU_ASSERT_EQUAL(p[20], 0);
	CU_ASSERT_EQUAL(checksum_fold(checksum_add(0, p + 20, 8u + n)), 0xffff);
	CU_ASSERT_EQUAL(memcmp(p + 24, frame + 38, 4u + n), 0);
	forget();
}

static void ping_is_answered(void)
{
	begin(NULL);
	arp(1, PEER, US);
	CU_ASSERT_EQUAL_FATAL(sent_count, 1);
	const uint8_t *p = frame_data(sent[0]) + 14;
	CU_ASSERT_EQUAL(wire_get16(p + 6), 2);
	CU_ASSERT_EQUAL(memcmp(p + 8, our_mac, 6), 0);
	CU_ASSERT_EQUAL(wire_get32(p + 14), US);
	CU_ASSERT_EQUAL(memcmp(p + 18, peer_mac, 6), 0);
	CU_ASSERT_EQUAL(wire_get32(p + 24), PEER);
	forget();
	for (uint16_t n = 0; n < 1400; n += 97) {
		input(frame, echo(PEER, US, n));
		expect_echo_reply(n);
	}
	end();
}

static void ping_is_answered_without_buffers(void)
{
	struct rte_mbuf *hoard[65];
	unsigned n = 0;

	begin(NULL);
	struct rte_mbuf *kept = rte_pktmbuf_alloc(pool);
	arp(1, PEER, US);
	forget();
	uint16_t length = echo(PEER, US, 32);
	memcpy(rte_pktmbuf_append(kept, length), frame, length);
	while ((hoard[n] = rte_pktmbuf_alloc(pool)))
		n++;
	stack_input(stack, &kept, 1, now_us);
	flush();
	expect_echo_reply(32);
	rte_pktmbuf_free_bulk(hoard, n);
	end();
}

static void padding_is_cut_off(void)
{
	begin(NULL);
	arp(1, PEER, US);
	forget();
	echo(PEER, US, 1);
	memset(frame + 43, 0xee, 17);
	input(frame, 60);
	expect_echo_reply(1);
	end();
}

static void far_peers_go_through_the_gateway(void)
{
	begin(NULL);
	input(frame, echo(FAR_AWAY, US, 4));
	CU_ASSERT_EQUAL(sent_count, 0);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_ip_no_route), 1);
	end();
}

static void with_gateway(struct stack_config *c)
{
	c->gateway_v4 = ip_v4(GATEWAY);
}

static void unknown_neighbours_are_resolved(void)
{
	begin(with_gateway);
	for (unsigned i = 0; i < 18; i++)
		input(frame, echo(FAR_AWAY, US, 4));
	CU_ASSERT_EQUAL_FATAL(sent_count, 1);
	const uint8_t *p = frame_data(sent[0]);
	CU_ASSERT_EQUAL(memcmp(p, everyone, 6), 0);
	CU_ASSERT_EQUAL(wire_get16(p + 14 + 6), 1);
	CU_ASSERT_EQUAL(wire_get32(p + 14 + 24), GATEWAY);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_neighbour_pending_dropped), 2);
	forget();
	arp(2, GATEWAY, US);
	CU_ASSERT_EQUAL(sent_count, 16);
	end();
}

static void silent_neighbours_are_given_up(void)
{
	begin(with_gateway);
	input(frame, echo(PEER, US, 4));
	for (unsigned i = 0; i < 40; i++) {
		now_us += 100000;
		stack_timers(stack, now_us, 100);
	}
	CU_ASSERT_EQUAL(sent_count, 3);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_neighbour_failed), 1);
	CU_ASSERT_EQUAL(stack_usage(stack).neighbours, 0);
	CU_ASSERT_EQUAL(stack_next_us(stack), UINT64_MAX);
	end();
}

/* RFC 4861 section 7.3's states, for ARP as well: a while after its next use it is asked, itself and not
 * everyone; meanwhile it is used. */
static void used_neighbours_are_asked_again(void)
{
	begin(NULL);
	arp(1, PEER, US);
	forget();
	now_us += 61000000;
	stack_timers(stack, now_us, 100);
	CU_ASSERT_EQUAL(sent_count, 0);
	input(frame, echo(PEER, US, 4));
	expect_echo_reply(4);
	now_us += 5100000;
	stack_timers(stack, now_us, 100);
	CU_ASSERT_EQUAL_FATAL(sent_count, 1);
	CU_ASSERT_EQUAL(memcmp(frame_data(sent[0]), peer_mac, 6), 0);
	CU_ASSERT_EQUAL(wire_get16(frame_data(sent[0]) + 12), ETH_TYPE_ARP);
	forget();
	arp(2, PEER, US);
	for (unsigned i = 0; i < 2; i++) {
		now_us += 61000000;
		stack_timers(stack, now_us, 100);
	}
	CU_ASSERT_EQUAL(sent_count, 0);
	CU_ASSERT_EQUAL(stack_usage(stack).neighbours, 0);
	end();
}

/* Who is gone is asked three times, then forgotten, and asked for among everyone. */
static void a_neighbour_that_left_is_given_up(void)
{
	begin(NULL);
	arp(1, PEER, US);
	now_us += 61000000;
	stack_timers(stack, now_us, 100);
	input(frame, echo(PEER, US, 4));
	forget();
	for (unsigned i = 0; i < 100; i++) {
		now_us += 100000;
		stack_timers(stack, now_us, 100);
	}
	CU_ASSERT_EQUAL(sent_count, 3);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_neighbour_failed), 1);
	forget();
	input(frame, echo(PEER, US, 4));
	CU_ASSERT_EQUAL_FATAL(sent_count, 1);
	CU_ASSERT_EQUAL(memcmp(frame_data(sent[0]), everyone, 6), 0);
	end();
}

static void the_arp_cache_is_bounded(void)
{
	begin(NULL);
	for (uint32_t i = 0; i < 10; i++)
		arp(1, PEER + i, US);
	CU_ASSERT_EQUAL(stack_usage(stack).neighbours, 4);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_neighbour_evicted), 6);
	CU_ASSERT_EQUAL(sent_count, 10);
	end();
}

/* Made-up neighbours that never answer displace each other, not those that are there, nor the gateway. */
static void unanswered_requests_displace_nobody(void)
{
	begin(with_gateway);
	arp(1, GATEWAY, US);
	arp(1, PEER, US);
	forget();
	for (uint32_t i = 0; i < 10; i++)
		input(frame, echo(PEER + 1 + i, US, 8));
	forget();
	input(frame, echo(FAR_AWAY, US, 8));
	expect_echo_reply(8);
	input(frame, echo(PEER, US, 8));
	expect_echo_reply(8);
	CU_ASSERT_EQUAL(stack_usage(stack).neighbours, 4);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_neighbour_full), 0);
	arp(1, PEER + 50, US);
	forget();
	input(frame, echo(PEER + 50, US, 8));
	expect_echo_reply(8);
	for (uint32_t i = 0; i < 10; i++)
		arp(1, PEER + 60 + i, US);
	forget();
	input(frame, echo(FAR_AWAY, US, 8));
	expect_echo_reply(8);
	end();
}

static void run_for(uint64_t us)
{
	for (uint64_t end = now_us + us; now_us < end;) {
		now_us += 1000;
		stack_timers(stack, now_us, 100);
	}
	flush();
}

/* One ARP request was sent to everyone: sender asks for US. */
static void expect_arp(uint32_t sender)
{
	CU_ASSERT_EQUAL_FATAL(sent_count, 1);
	const uint8_t *p = frame_data(sent[0]);
	CU_ASSERT_EQUAL(memcmp(p, everyone, 6), 0);
	CU_ASSERT_EQUAL(wire_get16(p + 14 + 6), 1);
	CU_ASSERT_EQUAL(memcmp(p + 14 + 8, our_mac, 6), 0);
	CU_ASSERT_EQUAL(wire_get32(p + 14 + 14), sender);
	CU_ASSERT_EQUAL(wire_get32(p + 14 + 24), US);
	forget();
}

static void with_probes(struct stack_config *c)
{
	c->arp_probes = 3;
}

static enum stack_address_state state_of_us(void)
{
	struct ip_addr a;
	enum stack_address_state state;

	CU_ASSERT_TRUE_FATAL(stack_address_get(stack, 0, &a, &state));
	return state;
}

/* RFC 5227 section 2.1.1 and 2.3: three probes from nobody, one to two seconds apart; two seconds later the
 * address is used, and announced twice. */
static void an_address_is_probed_before_it_is_used(void)
{
	struct ip_addr peer = ip_v4(PEER);

	begin(with_probes);
	uint64_t began_us = now_us, last_us = 0;
	for (unsigned i = 0; i < 3; i++) {
		while (!sent_count && now_us - began_us < 10000000)
			run_for(1000);
		CU_ASSERT_TRUE(i ? now_us - last_us >= 1000000 && now_us - last_us <= 2002000
				 : now_us - began_us <= 1002000);
		last_us = now_us;
		expect_arp(0);
	}
	CU_ASSERT_EQUAL(state_of_us(), STACK_ADDRESS_TENTATIVE);
	CU_ASSERT_PTR_NULL(ip_source_for(stack, &peer));
	arp(1, PEER, US);
	input(frame, echo(PEER, US, 4));
	CU_ASSERT_EQUAL(sent_count, 0);
	run_for(1990000);
	CU_ASSERT_EQUAL(sent_count, 0);
	run_for(20000);
	expect_arp(US);
	CU_ASSERT_EQUAL(state_of_us(), STACK_ADDRESS_USED);
	CU_ASSERT_TRUE(ip_source_for(stack, &peer) != NULL);
	run_for(1980000);
	CU_ASSERT_EQUAL(sent_count, 0);
	run_for(20000);
	expect_arp(US);
	run_for(10000000);
	CU_ASSERT_EQUAL(sent_count, 0);
	end();
}

/* Section 2.1.1: another that has it, and another that tests it. */
static void a_probed_address_that_is_taken_is_not_used(void)
{
	for (unsigned other = 0; other < 2; other++) {
		begin(with_probes);
		run_for(1500000);
		forget();
		if (other)
			arp(1, 0, US);
		else
			arp(2, US, PEER);
		CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_arp_duplicate), 1);
		CU_ASSERT_EQUAL(state_of_us(), STACK_ADDRESS_DUPLICATE);
		run_for(20000000);
		arp(1, PEER, US);
		CU_ASSERT_EQUAL(sent_count, 0);
		/* The operator has seen to it: it is tested again. */
		CU_ASSERT_EQUAL(stack_announce(stack, now_us), 0);
		run_for(20000000);
		CU_ASSERT_EQUAL(state_of_us(), STACK_ADDRESS_USED);
		CU_ASSERT_EQUAL(sent_count, 3 + 2);
		forget();
		end();
	}
}

static void passive_with_probes(struct stack_config *c)
{
	c->passive = true;
	c->arp_probes = 3;
}

/* Of several stacks of one address one tests it; the others say nothing, use it when that has ended, and see
 * what it sees. */
static void a_passive_stack_waits_for_the_probes(void)
{
	begin(passive_with_probes);
	run_for(7000000);
	CU_ASSERT_EQUAL(state_of_us(), STACK_ADDRESS_TENTATIVE);
	run_for(1000000);
	CU_ASSERT_EQUAL(state_of_us(), STACK_ADDRESS_USED);
	run_for(5000000);
	CU_ASSERT_EQUAL(sent_count, 0);
	end();
	begin(passive_with_probes);
	run_for(3000000);
	arp(1, 0, US);
	CU_ASSERT_EQUAL(state_of_us(), STACK_ADDRESS_DUPLICATE);
	end();
}

/* What others do with other addresses is no conflict. */
static void a_probed_address_survives_others(void)
{
	begin(with_probes);
	run_for(1500000);
	arp(1, 0, PEER);
	arp(1, PEER, US);
	arp(2, PEER, PEER + 1);
	run_for(10000000);
	CU_ASSERT_EQUAL(state_of_us(), STACK_ADDRESS_USED);
	forget();
	end();
}

static void announcements_and_conflicts(void)
{
	begin(NULL);
	CU_ASSERT_EQUAL(stack_announce(stack, now_us), 0);
	flush();
	expect_arp(US);
	run_for(2010000);
	expect_arp(US);
	arp(1, US, US);
	/* Defended, but not in a storm: RFC 5227 section 2.4 (c). */
	arp(1, US, US);
	CU_ASSERT_EQUAL_FATAL(sent_count, 1);
	CU_ASSERT_EQUAL(wire_get32(frame_data(sent[0]) + 14 + 14), US);
	CU_ASSERT_EQUAL(memcmp(frame_data(sent[0]), everyone, 6), 0);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_arp_conflict), 2);
	forget();
	now_us += 11000000;
	arp(1, US, US);
	CU_ASSERT_EQUAL(sent_count, 1);
	end();
}

/* RFC 826: what others say to each other brings up to date whom we know, and makes no entry. */
static void others_talk_makes_no_entry(void)
{
	begin(NULL);
	arp(1, PEER, PEER + 1);
	CU_ASSERT_EQUAL(stack_usage(stack).neighbours, 0);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_arp_not_ours), 1);
	arp(2, PEER, US); /* nor an answer that nobody asked for */
	CU_ASSERT_EQUAL(stack_usage(stack).neighbours, 0);
	arp(1, PEER, US);
	forget();
	peer_mac[5]++;
	arp(1, PEER, PEER);
	CU_ASSERT_EQUAL(stack_usage(stack).neighbours, 1);
	input(frame, echo(PEER, US, 4));
	CU_ASSERT_EQUAL_FATAL(sent_count, 1);
	CU_ASSERT_EQUAL(memcmp(frame_data(sent[0]), peer_mac, 6), 0);
	peer_mac[5]--;
	end();
}

static void with_vlan(struct stack_config *c)
{
	c->vlan = 7;
}

/* Puts a tag into the frame of n bytes. */
static uint16_t tag(uint16_t n, uint16_t tci)
{
	memmove(frame + 16, frame + 12, n - 12u);
	wire_put16(frame + 12, 0x8100);
	wire_put16(frame + 14, tci);
	return (uint16_t)(n + 4);
}

static void tagged_frames(void)
{
	begin(with_vlan);
	arp(1, PEER, US);
	CU_ASSERT_EQUAL(sent_count, 0);
	input(frame, tag(42, 8));
	CU_ASSERT_EQUAL(sent_count, 0);
	arp(1, PEER, US);
	input(frame, tag(42, 0)); /* a priority alone: the untagged VLAN */
	CU_ASSERT_EQUAL(sent_count, 0);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_eth_vlan), 4);
	arp(1, PEER, US);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_eth_vlan), 5);
	input(frame, tag(42, 0xe007)); /* with a priority, which is not echoed */
	CU_ASSERT_EQUAL_FATAL(sent_count, 1);
	const uint8_t *p = frame_data(sent[0]);
	CU_ASSERT_EQUAL(wire_get32(p + 12), 0x81000007);
	CU_ASSERT_EQUAL(wire_get16(p + 16), ETH_TYPE_ARP);
	CU_ASSERT_EQUAL(sent[0]->pkt_len, 46);
	forget();
	uint16_t n = tag(echo(PEER, US, 1400), 7);
	input(frame, n);
	CU_ASSERT_EQUAL_FATAL(sent_count, 1);
	CU_ASSERT_EQUAL(sent[0]->pkt_len, n);
	CU_ASSERT_EQUAL(wire_get32(frame_data(sent[0]) + 12), 0x81000007);
	CU_ASSERT_EQUAL(memcmp(frame_data(sent[0]) + 18 + 28, frame + 18 + 28, 1400), 0);
	/* A frame that ends within its tag; a tag within the tag. */
	input(frame, 17);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_eth_short), 1);
	input(frame, tag(n, 7));
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_eth_type), 1);
	end();
}

static void priority_tags_are_no_vlan(void)
{
	begin(NULL);
	arp(1, PEER, US);
	forget();
	uint16_t n = echo(PEER, US, 8);
	input(frame, tag(n, 7));
	CU_ASSERT_EQUAL(sent_count, 0);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_eth_vlan), 1);
	n = echo(PEER, US, 8);
	input(frame, tag(n, 0xa000));
	CU_ASSERT_EQUAL_FATAL(sent_count, 1);
	CU_ASSERT_EQUAL(wire_get16(frame_data(sent[0]) + 12), ETH_TYPE_IPV4);
	end();
}

/* Some ports cut the tag off and tell it beside the frame. */
static void a_stripped_tag_counts(void)
{
	begin(with_vlan);
	for (uint16_t vlan = 6; vlan < 9; vlan++) {
		echo(PEER, US, 8);
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		memcpy(rte_pktmbuf_append(m, 50), frame, 50);
		m->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
		m->vlan_tci = vlan;
		stack_input(stack, &m, 1, now_us);
	}
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_eth_vlan), 2);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_icmp_echo), 1);
	end();
}

/* Names that answer nobody cost a broadcast each: so many a second. */
static void with_many_neighbours(struct stack_config *c)
{
	c->arp_max = 1000;
	c->addresses[0].prefix_bits = 8;
}

static void questions_are_limited(void)
{
	begin(with_many_neighbours);
	for (uint32_t i = 0; i < 400; i++) {
		input(frame, echo(PEER + 256 * i, US, 8));
		forget();
	}
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_arp_requests_out), 256);
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_neighbour_solicit_limited), 144);
	/* A quarter of the transmit pool's number wait, all neighbours together. */
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_neighbour_pending_dropped), 400 - 16);
	end();
}

static struct ip_addr told;
static uint8_t told_mac[6];
static unsigned told_count;

static void learned(void *ctx, const struct ip_addr *addr, const uint8_t mac[6])
{
	told = *addr;
	memcpy(told_mac, mac, 6);
	told_count++;
}

static void telling(struct stack_config *c)
{
	c->neighbour_learned = learned;
}

/* Two stacks share a port's addresses, as two cores' do: the answer reaches one of them. */
static void an_answer_reaches_every_core(void)
{
	begin(telling);
	struct stack *first = stack;
	begin(NULL);
	input(frame, echo(PEER, US, 8)); /* the second asks */
	CU_ASSERT_EQUAL_FATAL(sent_count, 1);
	forget();
	struct stack *second = stack;
	stack = first;
	arp(2, PEER, US); /* and the first is answered, which never asked */
	CU_ASSERT_EQUAL_FATAL(told_count, 1);
	CU_ASSERT_EQUAL(stack_usage(first).neighbours, 0);
	stack_neighbour_learn(second, &told, told_mac, now_us);
	stack_output(second, now_us);
	CU_ASSERT_EQUAL_FATAL(sent_count, 1);
	CU_ASSERT_EQUAL(memcmp(frame_data(sent[0]), peer_mac, 6), 0);
	forget();
	/* What another heard displaces nobody, and makes no impossible neighbour. */
	for (uint32_t i = 0; i < 10; i++) {
		struct ip_addr a = ip_v4(PEER + i);
		stack_neighbour_learn(second, &a, told_mac, now_us);
	}
	CU_ASSERT_EQUAL(stack_usage(second).neighbours, 4);
	CU_ASSERT_EQUAL(stack_counter(second, STACK_COUNTER_neighbour_evicted), 0);
	struct ip_addr far_away = ip_v4(FAR_AWAY);
	stack_neighbour_learn(first, &far_away, told_mac, now_us);
	CU_ASSERT_EQUAL(stack_usage(first).neighbours, 0);
	stack_destroy(second);
	end();
}

/* RFC 9293 MUST-50, RFC 1122 section 3.2.1.8: also those that nobody knows; a route is not followed back. */
static void options_of_ip_are_passed_over(void)
{
	static const uint8_t options[][8] = {{1, 1, 1, 0}, {0x94, 4, 0, 0}, {0x44, 8, 5, 0, 0, 0, 0, 0},
		{0x83, 7, 4, 10, 0, 0, 9, 0}, {0x9e, 8, 1, 2, 3, 4, 5, 6}};

	begin(NULL);
	arp(1, PEER, US);
	forget();
	for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		uint16_t n = echo(PEER, US, 40);
		uint8_t *p = frame + 14;
		memmove(p + 28, p + 20, 8 + 40);
		memcpy(p + 20, options[i], 8);
		p[0] = 0x47;
		wire_put16(p + 2, 28 + 8 + 40);
		ipv4_sum(p);
		input(frame, n + 8);
		CU_ASSERT_EQUAL_FATAL(sent_count, 1);
		CU_ASSERT_EQUAL(frame_data(sent[0])[14], 0x45);
		CU_ASSERT_EQUAL(wire_get32(frame_data(sent[0]) + 14 + 16), PEER);
		forget();
	}
	CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_icmp_echo), 5);
	end();
}

#define EXPECT_DROP(name, setup)                                                         \
	do {                                                                             \
		uint64_t before = stack_counter(stack, STACK_COUNTER_##name);            \
		uint16_t n = echo(PEER, US, 8);                                          \
		uint8_t *p = frame + 14;                                                 \
		(void)p;                                                                 \
		setup;                                                                   \
		input(frame, n);                                                         \
		CU_ASSERT_EQUAL(stack_counter(stack, STACK_COUNTER_##name), before + 1); \
		CU_ASSERT_EQUAL(sent_count, 0);                                          \
		forget();                                                                \
	} while (0)

static void every_bad_frame_has_its_counter(void)
{
	begin(NULL);
	arp(1, PEER, US);
	forget();
	EXPECT_DROP(eth_short, n = 13);
	EXPECT_DROP(eth_not_ours, frame[5] = 9);
	EXPECT_DROP(eth_source, frame[6] = 1);
	EXPECT_DROP(eth_source, memcpy(frame + 6, our_mac, 6));
	EXPECT_DROP(eth_broadcast, memcpy(frame, everyone, 6));
	EXPECT_DROP(eth_type, wire_put16(frame + 12, 0x86dd));
	EXPECT_DROP(ipv4_short, n = 14 + 19);
	EXPECT_DROP(ipv4_short, n -= 1);
	EXPECT_DROP(ipv4_short, (wire_put16(p + 2, 19), ipv4_sum(p)));
	EXPECT_DROP(ipv4_version, (p[0] = 0x65, ipv4_sum(p)));
	EXPECT_DROP(ipv4_version, p[0] = 0x44);
	EXPECT_DROP(ipv4_checksum, p[8]++);
	EXPECT_DROP(ipv4_not_ours, (wire_put32(p + 16, US + 9), ipv4_sum(p)));
	EXPECT_DROP(ipv4_source, (wire_put32(p + 12, US), ipv4_sum(p)));
	EXPECT_DROP(ipv4_source, (wire_put32(p + 12, US & ~0xffu), ipv4_sum(p)));
	EXPECT_DROP(ipv4_source, (wire_put32(p + 12, US | 0xffu), ipv4_sum(p)));
	EXPECT_DROP(ipv4_source, (wire_put32(p + 12, 0x7f000001), ipv4_sum(p)));
	EXPECT_DROP(ipv4_source, (wire_put32(p + 12, 0xffffffff), ipv4_sum(p)));
	EXPECT_DROP(frag_in, (wire_put16(p + 6, 0x2000), ipv4_sum(p)));
	EXPECT_DROP(frag_tiny, (p[9] = 6, wire_put16(p + 6, 0x0001), ipv4_sum(p)));
	EXPECT_DROP(icmp_checksum, p[30]++);
	EXPECT_DROP(icmp_short, (wire_put16(p + 2, 27), ipv4_sum(p)));
	EXPECT_DROP(icmp_other, (p[20] = 0, wire_put16(p + 22, (uint16_t)(wire_get16(p + 22) + 0x800))));
	EXPECT_DROP(arp_malformed, (eth(our_mac, ETH_TYPE_ARP), n = 14 + 27));
	end();
}

static void random_bytes_do_no_harm(void)
{
	begin(with_gateway);
	for (unsigned i = 0; i < 20000; i++) {
		uint16_t n = (uint16_t)(echo(PEER, US, (uint16_t)unit_random_below(60)));
		for (unsigned k = unit_random_below(6); k; k--)
			frame[unit_random_below(n)] = (uint8_t)unit_random();
		if (unit_random_below(2))
			frame[14 + 9] = IP_PROTOCOL_TCP;
		ipv4_sum(frame + 14);
		input(frame, (uint16_t)(unit_random_below(4) ? n : unit_random_below(n + 1u)));
		forget();
		now_us += 1000;
		stack_timers(stack, now_us, 10);
		forget();
	}
	CU_ASSERT_TRUE(stack_counter(stack, STACK_COUNTER_rx_frames) == 20000);
	end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"ping_is_answered", ping_is_answered},
			{"ping_is_answered_without_buffers", ping_is_answered_without_buffers},
			{"padding_is_cut_off", padding_is_cut_off},
			{"far_peers_go_through_the_gateway", far_peers_go_through_the_gateway},
			{"unknown_neighbours_are_resolved", unknown_neighbours_are_resolved},
			{"silent_neighbours_are_given_up", silent_neighbours_are_given_up},
			{"used_neighbours_are_asked_again", used_neighbours_are_asked_again},
			{"a_neighbour_that_left_is_given_up", a_neighbour_that_left_is_given_up},
			{"tagged_frames", tagged_frames},
			{"priority_tags_are_no_vlan", priority_tags_are_no_vlan},
			{"a_stripped_tag_counts", a_stripped_tag_counts},
			{"questions_are_limited", questions_are_limited},
			{"an_answer_reaches_every_core", an_answer_reaches_every_core},
			{"the_arp_cache_is_bounded", the_arp_cache_is_bounded},
			{"unanswered_requests_displace_nobody", unanswered_requests_displace_nobody},
			{"announcements_and_conflicts", announcements_and_conflicts},
			{"an_address_is_probed_before_it_is_used", an_address_is_probed_before_it_is_used},
			{"a_probed_address_that_is_taken_is_not_used",
				a_probed_address_that_is_taken_is_not_used},
			{"a_passive_stack_waits_for_the_probes", a_passive_stack_waits_for_the_probes},
			{"a_probed_address_survives_others", a_probed_address_survives_others},
			{"others_talk_makes_no_entry", others_talk_makes_no_entry},
			{"options_of_ip_are_passed_over", options_of_ip_are_passed_over},
			{"every_bad_frame_has_its_counter", every_bad_frame_has_its_counter},
			{"random_bytes_do_no_harm", random_bytes_do_no_harm},
			{0},
		});
}
