/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/frame_fixture.h"

#include "tests/unit/poison.h"

const uint8_t fx_our_mac[6] = {2, 0, 0, 0, 0, 1}, fx_peer_mac[6] = {2, 0, 0, 0, 0, 2};
struct ip_addr fx_us = {.bytes = {0xfd, [15] = 1}}, fx_peer = {.bytes = {0xfd, [15] = 2}};
struct ip_addr fx_us_local = {.bytes = {0xfe, 0x80, [11] = 0xff, [12] = 0xfe, [15] = 1}};
struct ip_addr fx_peer_local = {.bytes = {0xfe, 0x80, [11] = 0xff, [12] = 0xfe, [15] = 2}};
struct ip_addr fx_far = {.bytes = {0x20, 1, 0xd, 0xb8, [15] = 9}};

struct stack *fx_stack;
uint64_t fx_now_us;
struct rte_mempool *fx_tx_pool, *fx_rx_pool;
struct rte_mbuf *fx_sent[256];
unsigned fx_sent_count;
uint8_t fx_frame[70000];

static void capture(void *ctx, struct rte_mbuf **frames, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		MUST(fx_sent_count < 256);
		fx_sent[fx_sent_count++] = frames[i];
	}
}

void fx_forget(void)
{
	rte_pktmbuf_free_bulk(fx_sent, fx_sent_count);
	fx_sent_count = 0;
}

void fx_begin(void (*change)(struct stack_config *c))
{
	struct stack_config c;

	if (!fx_tx_pool)
		fx_tx_pool = unit_pool("fx_tx", 256, 2048);
	if (!fx_rx_pool)
		fx_rx_pool = unit_pool("fx_rx", 1024, 2048);
	stack_config_defaults(&c);
	memcpy(c.mac, fx_our_mac, 6);
	stack_config_add(&c, ip_v4(FX_US4), 24);
	stack_config_add(&c, fx_us, 64);
	c.dad_transmits = 0;
	c.router_discovery = false;
	c.mld = false;
	c.tx_pool = fx_tx_pool;
	c.key = (struct siphash_key){1, 2};
	c.tx = capture;
	c.arp_max = 8;
	c.conn_max = 16;
	if (change)
		change(&c);
	fx_now_us = 1000000;
	fx_stack = stack_create(&c, fx_now_us);
	MUST(fx_stack);
}

void fx_end(void)
{
	fx_forget();
	stack_destroy(fx_stack);
	CU_ASSERT_TRUE(unit_pool_full(fx_tx_pool));
	CU_ASSERT_TRUE(unit_pool_full(fx_rx_pool));
}

static struct rte_mbuf *buffer(const uint8_t *bytes, uint32_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(fx_rx_pool);

	MUST(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), bytes, n);
	return m;
}

void fx_input_split(const void *frame, uint32_t n, uint32_t first)
{
	const uint8_t *p = frame;
	struct rte_mbuf *m = buffer(p, min_u32(n, first));

	for (uint32_t at = first; at < n; at += 2048)
		rte_pktmbuf_chain(m, buffer(p + at, min_u32(n - at, 2048)));
	poison_around(&m, 1);
	stack_input(fx_stack, &m, 1, fx_now_us);
	stack_output(fx_stack, fx_now_us);
}

void fx_input(const void *frame, uint32_t n)
{
	fx_input_split(frame, n, 2048);
}

void fx_run(uint64_t us)
{
	uint64_t end = fx_now_us + us;

	for (;;) {
		uint64_t next = stack_next_us(fx_stack);
		if (next > end)
			break;
		fx_now_us = max_u64(fx_now_us, next);
		stack_output(fx_stack, fx_now_us);
		stack_timers(fx_stack, fx_now_us, 1000);
	}
	fx_now_us = end;
	stack_output(fx_stack, end);
}

static uint8_t *ethernet(uint16_t type)
{
	memcpy(fx_frame, fx_our_mac, 6);
	memcpy(fx_frame + 6, fx_peer_mac, 6);
	wire_put16(fx_frame + 12, type);
	return fx_frame + ETH_HEADER_BYTES;
}

uint8_t *fx_ipv6(const struct ip_addr *src, const struct ip_addr *dst, uint8_t next, uint32_t n)
{
	uint8_t *p = ethernet(ETH_TYPE_IPV6);

	if (ip_is_multicast(dst)) {
		wire_put16(fx_frame, 0x3333);
		memcpy(fx_frame + 2, dst->bytes + 12, 4);
	}
	wire_put32(p, 0x60000000);
	wire_put16(p + 4, (uint16_t)n);
	p[6] = next;
	p[7] = 64;
	memcpy(p + 8, src->bytes, 16);
	memcpy(p + 24, dst->bytes, 16);
	return p + IPV6_HEADER_BYTES;
}

void fx_ipv4_sum(void)
{
	uint8_t *p = fx_frame + ETH_HEADER_BYTES;

	wire_put16(p + 10, 0);
	wire_put16(p + 10, (uint16_t)~checksum_fold(checksum_add(0, p, (p[0] & 15u) * 4)));
}

uint8_t *fx_ipv4(uint32_t src, uint32_t dst, uint8_t protocol, uint32_t n)
{
	uint8_t *p = ethernet(ETH_TYPE_IPV4);

	memset(p, 0, IPV4_HEADER_BYTES);
	p[0] = 0x45;
	wire_put16(p + 2, (uint16_t)(IPV4_HEADER_BYTES + n));
	p[8] = 64;
	p[9] = protocol;
	wire_put32(p + 12, src);
	wire_put32(p + 16, dst);
	fx_ipv4_sum();
	return p + IPV4_HEADER_BYTES;
}

void fx_icmp6_sum(uint8_t *p, uint32_t n)
{
	struct ip_addr src = ip_v6(fx_frame + 22), dst = ip_v6(fx_frame + 38);
	uint64_t sum = checksum_pseudo(&src, &dst, IP_PROTOCOL_ICMPV6, n);

	wire_put16(p + 2, 0);
	wire_put16(p + 2, (uint16_t)~checksum_fold(checksum_add(sum, p, n)));
}

uint32_t fx_frame_bytes(void)
{
	const uint8_t *p = fx_frame + ETH_HEADER_BYTES;

	if (p[0] >> 4 == 4)
		return ETH_HEADER_BYTES + wire_get16(p + 2);
	return ETH_HEADER_BYTES + IPV6_HEADER_BYTES + wire_get16(p + 4);
}

void fx_input_frame(void)
{
	fx_input(fx_frame, fx_frame_bytes());
}

void fx_echo6(const struct ip_addr *src, const struct ip_addr *dst, uint32_t n)
{
	uint8_t *p = fx_ipv6(src, dst, IP_PROTOCOL_ICMPV6, 8 + n);

	memcpy(p, (uint8_t[]){128, 0, 0, 0, 0, 77, 0, 1}, 8);
	for (uint32_t i = 0; i < n; i++)
		p[8 + i] = (uint8_t)(i * 7);
	fx_icmp6_sum(p, 8 + n);
}

void fx_nd(uint8_t type, uint8_t flags, const struct ip_addr *src, const struct ip_addr *dst,
	const struct ip_addr *target, uint8_t option)
{
	uint32_t n = option ? 32 : 24;
	uint8_t *p = fx_ipv6(src, dst, IP_PROTOCOL_ICMPV6, n);

	fx_frame[ETH_HEADER_BYTES + 7] = 255;
	memset(p, 0, n);
	p[0] = type;
	p[4] = flags;
	memcpy(p + 8, target->bytes, 16);
	if (option) {
		p[24] = option;
		p[25] = 1;
		memcpy(p + 26, fx_peer_mac, 6);
	}
	fx_icmp6_sum(p, n);
}

void fx_know_peer(void)
{
	struct ip_addr v4 = ip_v4(FX_PEER4);

	stack_neighbour_learn(fx_stack, &v4, fx_peer_mac, fx_now_us);
	stack_neighbour_learn(fx_stack, &fx_peer, fx_peer_mac, fx_now_us);
	stack_neighbour_learn(fx_stack, &fx_peer_local, fx_peer_mac, fx_now_us);
}

const uint8_t *fx_out(unsigned i)
{
	CU_ASSERT_FATAL(i < fx_sent_count);
	CU_ASSERT_EQUAL(memcmp(frame_data(fx_sent[i]) + 6, fx_our_mac, 6), 0);
	return frame_data(fx_sent[i]);
}

const uint8_t *fx_out_icmp6(unsigned i, uint8_t type)
{
	const uint8_t *p = fx_out(i);

	CU_ASSERT_EQUAL_FATAL(wire_get16(p + 12), ETH_TYPE_IPV6);
	p += ETH_HEADER_BYTES;
	struct ip_addr src = ip_v6(p + 8), dst = ip_v6(p + 24);
	uint32_t n = wire_get16(p + 4);
	CU_ASSERT_EQUAL(fx_sent[i]->pkt_len, ETH_HEADER_BYTES + IPV6_HEADER_BYTES + n);
	CU_ASSERT_EQUAL(p[0], 0x60);
	CU_ASSERT_EQUAL(p[6], IP_PROTOCOL_ICMPV6);
	uint64_t sum = checksum_pseudo(&src, &dst, IP_PROTOCOL_ICMPV6, n);
	CU_ASSERT_EQUAL(checksum_fold(checksum_add_mbuf(sum, fx_sent[i], 54, n)), 0xffff);
	CU_ASSERT_EQUAL_FATAL(p[40], type);
	return p;
}
