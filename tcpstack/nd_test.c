/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbour discovery: solicitations, advertisements, duplicate address detection, routers. */
#include "tcpstack/frame_fixture.h"
#include "tcpstack/nd.h"

static const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1}, other_mac[6] = {2, 0, 0, 0, 0, 3};

static struct ip_addr with_last(struct ip_addr a, uint8_t last)
{
	a.bytes[15] = last;
	return a;
}

/* Who is asked for gets what waited; the question goes to the few that may have the address. */
static void unknown_neighbours_are_solicited(void)
{
	fx_begin(NULL);
	for (unsigned i = 0; i < 18; i++) {
		fx_echo6(&fx_peer, &fx_us, 10);
		fx_input_frame();
	}
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
	const uint8_t *p = fx_out_icmp6(0, ND_NEIGHBOUR_SOLICIT);
	struct ip_addr group = nd_solicited_node(&fx_peer);
	CU_ASSERT_EQUAL(memcmp(p + 24, group.bytes, 16), 0);
	CU_ASSERT_EQUAL(memcmp(p + 8, fx_us.bytes, 16), 0);
	CU_ASSERT_EQUAL(p[7], 255);
	CU_ASSERT_EQUAL(memcmp(p + 48, fx_peer.bytes, 16), 0);
	CU_ASSERT_EQUAL(wire_get16(p + 64), 0x0101);
	CU_ASSERT_EQUAL(memcmp(p + 66, fx_our_mac, 6), 0);
	CU_ASSERT_EQUAL(memcmp(p - 14, (uint8_t[]){0x33, 0x33, 0xff, 0, 0, 2}, 6), 0);
	CU_ASSERT_EQUAL(FX_COUNTER(neighbour_pending_dropped), 2);
	fx_forget();
	fx_run(2500000);
	CU_ASSERT_EQUAL(fx_sent_count, 2); /* one a second, RFC 4861's RetransTimer */
	fx_forget();
	fx_nd(ND_NEIGHBOUR_ADVERT, 0x60, &fx_peer, &fx_us, &fx_peer, ND_OPTION_TARGET_MAC);
	fx_input_frame();
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 16);
	for (unsigned i = 0; i < 16; i++) {
		CU_ASSERT_EQUAL(memcmp(fx_out(i), fx_peer_mac, 6), 0);
		p = fx_out_icmp6(i, 129);
		CU_ASSERT_EQUAL(p[7], 64);
	}
	fx_end();
}

static void silent_neighbours_are_given_up(void)
{
	fx_begin(NULL);
	fx_echo6(&fx_peer, &fx_us, 10);
	fx_input_frame();
	fx_run(5000000);
	CU_ASSERT_EQUAL(fx_sent_count, 3);
	CU_ASSERT_EQUAL(FX_COUNTER(neighbour_failed), 1);
	CU_ASSERT_EQUAL(stack_usage(fx_stack).neighbours, 0);
	CU_ASSERT_EQUAL(stack_next_us(fx_stack), UINT64_MAX);
	fx_end();
}

static void advert_seen(unsigned flags, const struct ip_addr *dst, const uint8_t eth_dst[6])
{
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
	const uint8_t *p = fx_out_icmp6(0, ND_NEIGHBOUR_ADVERT);
	CU_ASSERT_EQUAL(memcmp(p - 14, eth_dst, 6), 0);
	CU_ASSERT_EQUAL(memcmp(p + 24, dst->bytes, 16), 0);
	CU_ASSERT_EQUAL(p[7], 255);
	CU_ASSERT_EQUAL(p[44], flags);
	CU_ASSERT_EQUAL(memcmp(p + 48, p + 8, 16), 0);
	CU_ASSERT_EQUAL(wire_get16(p + 64), 0x0201);
	CU_ASSERT_EQUAL(memcmp(p + 66, fx_our_mac, 6), 0);
	fx_forget();
}

static void solicitations_are_answered(void)
{
	struct ip_addr group = nd_solicited_node(&fx_us), nowhere = {0};
	struct rte_mbuf *hoard[256];
	unsigned n = 0;

	fx_begin(NULL);
	while (n < 256 && (hoard[n] = rte_pktmbuf_alloc(fx_tx_pool)))
		n++; /* without a transmit buffer as well */
	fx_nd(ND_NEIGHBOUR_SOLICIT, 0, &fx_peer, &group, &fx_us, ND_OPTION_SOURCE_MAC);
	fx_input_frame();
	advert_seen(0x60, &fx_peer, fx_peer_mac);
	/* Who tests whether it may have our address is told before all. */
	fx_nd(ND_NEIGHBOUR_SOLICIT, 0, &nowhere, &group, &fx_us, 0);
	fx_input_frame();
	advert_seen(0x20, &nd_all_nodes, all_nodes_mac);
	/* Asked directly, and without the asker's address, which is known by now. */
	fx_nd(ND_NEIGHBOUR_SOLICIT, 0, &fx_peer, &fx_us, &fx_us, 0);
	fx_input_frame();
	advert_seen(0x60, &fx_peer, fx_peer_mac);
	CU_ASSERT_EQUAL(FX_COUNTER(nd_solicits_in), 3);
	rte_pktmbuf_free_bulk(hoard, n);
	/* The asker is STALE: used, and asked itself five seconds later. */
	fx_echo6(&fx_peer, &fx_us, 10);
	fx_input_frame();
	CU_ASSERT_EQUAL(fx_sent_count, 1);
	fx_forget();
	fx_run(5100000);
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
	const uint8_t *p = fx_out_icmp6(0, ND_NEIGHBOUR_SOLICIT);
	CU_ASSERT_EQUAL(memcmp(p - 14, fx_peer_mac, 6), 0);
	CU_ASSERT_EQUAL(memcmp(p + 24, fx_peer.bytes, 16), 0);
	fx_end();
}

/* TCP's progress spares the question. */
static void progress_confirms_a_neighbour(void)
{
	struct ip_addr group = nd_solicited_node(&fx_us);

	fx_begin(NULL);
	fx_nd(ND_NEIGHBOUR_SOLICIT, 0, &fx_peer, &group, &fx_us, ND_OPTION_SOURCE_MAC);
	fx_input_frame();
	fx_echo6(&fx_peer, &fx_us, 10);
	fx_input_frame();
	fx_forget();
	neighbour_confirm(fx_stack, &fx_peer);
	CU_ASSERT_EQUAL(fx_stack->neighbours_unsure, 0);
	fx_run(6000000);
	CU_ASSERT_EQUAL(fx_sent_count, 0);
	fx_end();
}

static enum neighbour_state state_of(const struct ip_addr *a)
{
	struct neighbour *e = neighbour_find(fx_stack, a);

	CU_ASSERT_PTR_NOT_NULL_FATAL(e);
	return e->state;
}

static void advert(uint8_t flags, const uint8_t *mac)
{
	fx_nd(ND_NEIGHBOUR_ADVERT, flags, &fx_peer, &fx_us, &fx_peer, mac ? ND_OPTION_TARGET_MAC : 0);
	if (mac) {
		memcpy(fx_frame + 14 + 40 + 26, mac, 6);
		fx_icmp6_sum(fx_frame + 54, 32);
	}
	fx_input_frame();
	fx_forget();
}

/* RFC 4861 section 7.2.5, sentence by sentence. */
static void advertisements_by_the_rules(void)
{
	enum { S = 0x40, O = 0x20 };

	fx_begin(NULL);
	advert(S | O, fx_peer_mac); /* nobody asked: no entry */
	CU_ASSERT_EQUAL(stack_usage(fx_stack).neighbours, 0);
	fx_echo6(&fx_peer, &fx_us, 10);
	fx_input_frame();
	advert(S, NULL); /* INCOMPLETE, and no address in it */
	CU_ASSERT_EQUAL(state_of(&fx_peer), NEIGHBOUR_INCOMPLETE);
	advert(0, fx_peer_mac);
	CU_ASSERT_NOT_EQUAL(state_of(&fx_peer), NEIGHBOUR_REACHABLE); /* what waited has made it DELAY */
	advert(S, NULL);
	CU_ASSERT_EQUAL(state_of(&fx_peer), NEIGHBOUR_REACHABLE);
	advert(S, other_mac); /* another address, not to override: doubt alone */
	CU_ASSERT_EQUAL(state_of(&fx_peer), NEIGHBOUR_STALE);
	CU_ASSERT_EQUAL(memcmp(neighbour_find(fx_stack, &fx_peer)->mac, fx_peer_mac, 6), 0);
	advert(S | O, fx_peer_mac);
	CU_ASSERT_EQUAL(state_of(&fx_peer), NEIGHBOUR_REACHABLE);
	advert(O, other_mac); /* it has moved */
	CU_ASSERT_EQUAL(state_of(&fx_peer), NEIGHBOUR_STALE);
	CU_ASSERT_EQUAL(memcmp(neighbour_find(fx_stack, &fx_peer)->mac, other_mac, 6), 0);
	fx_end();
}

#define EXPECT_DROP(name, change)                                                               \
	do {                                                                                    \
		uint64_t before = FX_COUNTER(name);                                             \
		struct ip_addr group = nd_solicited_node(&fx_us);                               \
		fx_nd(ND_NEIGHBOUR_SOLICIT, 0, &fx_peer, &group, &fx_us, ND_OPTION_SOURCE_MAC); \
		uint8_t *ip = fx_frame + 14, *p = ip + 40;                                      \
		change;                                                                         \
		fx_icmp6_sum(p, wire_get16(ip + 4));                                            \
		fx_input_frame();                                                               \
		CU_ASSERT_EQUAL(FX_COUNTER(name), before + 1);                                  \
		CU_ASSERT_EQUAL(fx_sent_count, 0);                                              \
		fx_forget();                                                                    \
	} while (0)

static void broken_messages_have_their_counter(void)
{
	fx_begin(NULL);
	EXPECT_DROP(nd_malformed, ip[7] = 254); /* a router passed it on */
	EXPECT_DROP(nd_malformed, p[1] = 1);
	EXPECT_DROP(nd_malformed, p[25] = 0); /* an option without length */
	EXPECT_DROP(nd_malformed, p[25] = 2); /* and past the end */
	EXPECT_DROP(nd_malformed, p[26] = 1); /* a group's address */
	EXPECT_DROP(nd_malformed, wire_put16(ip + 4, 23));
	EXPECT_DROP(nd_malformed, wire_put16(ip + 4, 28)); /* half an option */
	EXPECT_DROP(nd_malformed, p[8] = 0xff);		   /* a group as target */
	EXPECT_DROP(nd_malformed, memset(ip + 8, 0, 16));  /* from nowhere, yet with an address */
	EXPECT_DROP(nd_malformed, (p[0] = ND_NEIGHBOUR_ADVERT, p[8] = 0xff));
	EXPECT_DROP(nd_malformed, (p[0] = ND_NEIGHBOUR_ADVERT, p[4] = 0x40)); /* solicited, yet to a group */
	EXPECT_DROP(nd_malformed, p[0] = ND_ROUTER_ADVERT); /* not from a link-local address */
	EXPECT_DROP(nd_not_ours, p[23] = 9);
	EXPECT_DROP(nd_not_ours, (p[0] = ND_ROUTER_SOLICIT, wire_put16(ip + 4, 8)));
	EXPECT_DROP(nd_malformed, p[0] = ND_REDIRECT); /* too short for one */
	EXPECT_DROP(nd_router_ignored,
		(p[0] = ND_ROUTER_ADVERT, wire_put16(ip + 4, 16), memcpy(ip + 8, fx_peer_local.bytes, 16)));
	CU_ASSERT_EQUAL(stack_usage(fx_stack).neighbours, 0);
	fx_nd(ND_REDIRECT, 0, &fx_peer_local, &fx_us, &fx_peer, 0);
	wire_put16(fx_frame + 18, 40);
	memset(fx_frame + 54 + 24, 0, 16);
	fx_icmp6_sum(fx_frame + 54, 40);
	fx_input_frame();
	CU_ASSERT_EQUAL(FX_COUNTER(nd_redirect_ignored), 1);
	/* The message in two buffers. */
	fx_nd(ND_NEIGHBOUR_SOLICIT, 0, &fx_peer, &fx_us, &fx_us, ND_OPTION_SOURCE_MAC);
	fx_input_split(fx_frame, fx_frame_bytes(), 70);
	CU_ASSERT_EQUAL(FX_COUNTER(header_split), 1);
	fx_end();
}

static void with_dad(struct stack_config *c)
{
	c->dad_transmits = 1;
}

static enum stack_address_state own_state(unsigned i)
{
	enum stack_address_state state;
	struct ip_addr a;

	CU_ASSERT_TRUE_FATAL(stack_address_get(fx_stack, i, &a, &state));
	return state;
}

/* fd00::1 is at index 1, the link-local address behind the configured ones. */
static void an_address_is_tested_before_it_is_used(void)
{
	static const struct ip_addr nowhere;

	fx_begin(with_dad);
	CU_ASSERT_EQUAL(own_state(0), STACK_ADDRESS_USED);
	CU_ASSERT_EQUAL(own_state(1), STACK_ADDRESS_TENTATIVE);
	CU_ASSERT_PTR_NULL(ip_source_for(fx_stack, &fx_peer));
	fx_run(1100000);
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 2);
	for (unsigned i = 0; i < 2; i++) {
		const uint8_t *p = fx_out_icmp6(i, ND_NEIGHBOUR_SOLICIT);
		CU_ASSERT_EQUAL(memcmp(p + 8, nowhere.bytes, 16), 0);
		CU_ASSERT_EQUAL(p[7], 255);
		CU_ASSERT_EQUAL(fx_sent[i]->pkt_len, 14 + 40 + 24); /* no option: section 5.4.2 */
	}
	fx_forget();
	/* Nothing is taken and nothing answered meanwhile. */
	fx_echo6(&fx_peer, &fx_us, 10);
	fx_input_frame();
	fx_nd(ND_NEIGHBOUR_SOLICIT, 0, &fx_peer, &fx_us, &fx_us, ND_OPTION_SOURCE_MAC);
	fx_input_frame();
	CU_ASSERT_EQUAL(fx_sent_count, 0);
	CU_ASSERT_EQUAL(FX_COUNTER(ipv6_not_ours), 2);
	fx_run(1000000);
	CU_ASSERT_EQUAL(own_state(1), STACK_ADDRESS_USED);
	CU_ASSERT_EQUAL(own_state(2), STACK_ADDRESS_USED);
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 2); /* they are announced */
	const uint8_t *p = fx_out_icmp6(0, ND_NEIGHBOUR_ADVERT);
	CU_ASSERT_EQUAL(p[44], 0x20);
	CU_ASSERT_EQUAL(memcmp(p - 14, all_nodes_mac, 6), 0);
	CU_ASSERT_EQUAL(stack_next_us(fx_stack), UINT64_MAX);
	fx_end();
}

static void a_duplicate_address_is_not_used(void)
{
	struct ip_addr nowhere = {0}, group = nd_solicited_node(&fx_us);

	/* Another tests it at the same time. */
	fx_begin(with_dad);
	fx_nd(ND_NEIGHBOUR_SOLICIT, 0, &nowhere, &group, &fx_us, 0);
	fx_input_frame();
	CU_ASSERT_EQUAL(FX_COUNTER(nd_duplicate), 1);
	fx_run(5000000);
	CU_ASSERT_EQUAL(own_state(1), STACK_ADDRESS_DUPLICATE);
	CU_ASSERT_EQUAL(own_state(2), STACK_ADDRESS_USED);
	CU_ASSERT_EQUAL(own_state(0), STACK_ADDRESS_USED);
	fx_echo6(&fx_peer, &fx_us, 10);
	fx_input_frame();
	CU_ASSERT_EQUAL(FX_COUNTER(icmp_echo), 0);
	fx_forget();
	/* The link comes up again, and the other has gone. */
	CU_ASSERT_EQUAL(stack_announce(fx_stack, fx_now_us), 0);
	fx_run(5000000);
	CU_ASSERT_EQUAL(own_state(1), STACK_ADDRESS_USED);
	fx_end();

	/* Another has it, and says so from that very address. */
	fx_begin(with_dad);
	fx_nd(ND_NEIGHBOUR_ADVERT, 0x20, &fx_us, &nd_all_nodes, &fx_us, ND_OPTION_TARGET_MAC);
	fx_input_frame();
	CU_ASSERT_EQUAL(FX_COUNTER(nd_duplicate), 1);
	fx_run(5000000);
	CU_ASSERT_EQUAL(own_state(1), STACK_ADDRESS_DUPLICATE);
	fx_end();

	/* Who has our link-local address has our MAC: RFC 4862 section 5.4.5. */
	fx_begin(with_dad);
	fx_nd(ND_NEIGHBOUR_ADVERT, 0x20, &fx_us_local, &nd_all_nodes, &fx_us_local, ND_OPTION_TARGET_MAC);
	fx_input_frame();
	CU_ASSERT_EQUAL(own_state(1), STACK_ADDRESS_DUPLICATE);
	CU_ASSERT_EQUAL(own_state(2), STACK_ADDRESS_DUPLICATE);
	CU_ASSERT_EQUAL(own_state(0), STACK_ADDRESS_USED);
	CU_ASSERT_EQUAL(stack_next_us(fx_stack), UINT64_MAX);
	fx_end();
}

static void an_address_in_use_is_defended(void)
{
	fx_begin(NULL);
	for (unsigned i = 0; i < 3; i++) {
		fx_nd(ND_NEIGHBOUR_ADVERT, 0x20, &fx_us, &nd_all_nodes, &fx_us, ND_OPTION_TARGET_MAC);
		fx_input_frame();
	}
	CU_ASSERT_EQUAL(FX_COUNTER(nd_conflict), 3);
	advert_seen(0x20, &nd_all_nodes, all_nodes_mac);
	CU_ASSERT_EQUAL(own_state(1), STACK_ADDRESS_USED);
	fx_end();
}

static void with_discovery(struct stack_config *c)
{
	c->router_discovery = true;
}

/* A router advertisement in fx_frame, with the options at p + 16 behind it. */
static uint8_t *router(uint8_t last, uint16_t lifetime_s, uint32_t options)
{
	struct ip_addr from = with_last(fx_peer_local, last);
	uint8_t *p = fx_ipv6(&from, &nd_all_nodes, IP_PROTOCOL_ICMPV6, 16 + options);

	fx_frame[14 + 7] = 255;
	memset(p, 0, 16 + options);
	p[0] = ND_ROUTER_ADVERT;
	wire_put16(p + 6, lifetime_s);
	return p;
}

static void router_input(uint8_t *p)
{
	fx_icmp6_sum(p, wire_get16(fx_frame + 18));
	fx_input_frame();
}

static uint8_t *mac_option(uint8_t *p, uint8_t last)
{
	memcpy(p, (uint8_t[]){1, 1, 2, 0, 0, 0, 0, last}, 8);
	return p + 8;
}

static void far_away_echo(void)
{
	fx_echo6(&fx_far, &fx_us, 10);
	fx_input_frame();
}

static void routers_are_discovered(void)
{
	fx_begin(with_discovery);
	fx_run(20000000);
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 3);
	const uint8_t *out = fx_out_icmp6(0, ND_ROUTER_SOLICIT);
	CU_ASSERT_EQUAL(memcmp(out + 8, fx_us_local.bytes, 16), 0);
	CU_ASSERT_EQUAL(memcmp(out + 24, nd_all_routers.bytes, 16), 0);
	CU_ASSERT_EQUAL(memcmp(out - 14, (uint8_t[]){0x33, 0x33, 0, 0, 0, 2}, 6), 0);
	fx_forget();
	far_away_echo();
	CU_ASSERT_EQUAL(FX_COUNTER(ip_no_route), 1);
	uint8_t *p = router(7, 1800, 8);
	mac_option(p + 16, 7);
	router_input(p);
	far_away_echo();
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
	CU_ASSERT_EQUAL(fx_out(0)[5], 7);
	fx_forget();
	/* It is no router any more: it says so itself, or its time is over. */
	router_input(router(7, 0, 0));
	far_away_echo();
	CU_ASSERT_EQUAL(FX_COUNTER(ip_no_route), 2);
	router_input(router(7, 10, 0));
	far_away_echo();
	CU_ASSERT_EQUAL(fx_sent_count, 1);
	fx_now_us += 11000000;
	far_away_echo();
	CU_ASSERT_EQUAL(FX_COUNTER(ip_no_route), 3);
	fx_end();
}

/* Section 6.3.6: who answers comes before who does not. */
static void another_router_takes_over(void)
{
	fx_begin(with_discovery);
	router_input(router(7, 9000, 0)); /* never to be resolved */
	uint8_t *p = router(8, 9000, 0);
	router_input(p);
	fx_forget();
	far_away_echo();
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
	CU_ASSERT_EQUAL(fx_out_icmp6(0, ND_NEIGHBOUR_SOLICIT)[63], 7);
	fx_run(4000000);
	fx_forget();
	far_away_echo();
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
	CU_ASSERT_EQUAL(fx_out_icmp6(0, ND_NEIGHBOUR_SOLICIT)[63], 8);
	fx_forget();
	struct ip_addr eight = with_last(fx_peer_local, 8);
	fx_nd(ND_NEIGHBOUR_ADVERT, 0xe0, &eight, &fx_us_local, &eight, ND_OPTION_TARGET_MAC);
	fx_input_frame();
	CU_ASSERT_EQUAL(fx_sent_count, 1);
	/* An advertisement without the router flag: it is none any more (section 7.2.5). */
	fx_nd(ND_NEIGHBOUR_ADVERT, 0x60, &eight, &fx_us_local, &eight, ND_OPTION_TARGET_MAC);
	fx_input_frame();
	fx_forget();
	far_away_echo();
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
	CU_ASSERT_EQUAL(fx_out_icmp6(0, ND_NEIGHBOUR_SOLICIT)[63], 7);
	fx_end();
}

static void prefix_option(uint8_t *p, uint8_t flags, uint32_t lifetime_s)
{
	memset(p, 0, 32);
	p[0] = 3;
	p[1] = 4;
	p[2] = 64;
	p[3] = flags;
	wire_put32(p + 4, lifetime_s);
	memcpy(p + 16, fx_far.bytes, 8);
}

static void routers_tell_of_the_link(void)
{
	fx_begin(with_discovery);
	uint8_t *p = router(7, 1800, 48);
	p[4] = 33;
	wire_put32(p + 8, 10000);
	wire_put32(p + 12, 2000);
	memcpy(p + 16, (uint8_t[]){5, 1, 0, 0, 0, 0, 5, 140}, 8);
	prefix_option(p + 24, 0x80, 100);
	p[56] = 250; /* an unknown option */
	p[57] = 1;
	router_input(p);
	CU_ASSERT_EQUAL(fx_stack->nd.mtu, 1420);
	CU_ASSERT_EQUAL(ip_mtu(fx_stack, &fx_peer), 1420);
	CU_ASSERT_EQUAL(fx_stack->nd.retrans_us, 2000000);
	CU_ASSERT_EQUAL(fx_stack->nd.reachable_us, 10000000);
	fx_forget();
	/* The far peer is a neighbour now. */
	far_away_echo();
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
	const uint8_t *out = fx_out_icmp6(0, ND_NEIGHBOUR_SOLICIT);
	CU_ASSERT_EQUAL(memcmp(out + 48, fx_far.bytes, 16), 0);
	fx_nd(ND_NEIGHBOUR_ADVERT, 0x60, &fx_far, &fx_us, &fx_far, ND_OPTION_TARGET_MAC);
	fx_input_frame();
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 2);
	CU_ASSERT_EQUAL(fx_out_icmp6(1, 129)[7], 33);
	/* Its lifetime ends. */
	fx_run(101000000);
	fx_forget();
	CU_ASSERT_FALSE(ipv6_is_on_link(fx_stack, &fx_far));
	/* An MTU that no IPv6 link has, or ours has not; a prefix that is not on the link; times out of
	 * reason. */
	p = router(7, 1800, 40);
	memcpy(p + 16, (uint8_t[]){5, 1, 0, 0, 0, 0, 4, 255}, 8);
	prefix_option(p + 24, 0x40, 100);
	wire_put32(p + 12, 1);
	router_input(p);
	CU_ASSERT_EQUAL(fx_stack->nd.mtu, 1420);
	CU_ASSERT_EQUAL(fx_stack->nd.retrans_us, 100000);
	CU_ASSERT_FALSE(ipv6_is_on_link(fx_stack, &fx_far));
	/* More routers and prefixes than we keep. */
	for (uint8_t i = 10; i < 30; i++) {
		p = router(i, 1800, 32);
		prefix_option(p + 16, 0x80, 100);
		p[16 + 16 + 7] = i;
		router_input(p);
	}
	CU_ASSERT_EQUAL(FX_COUNTER(nd_router_full), 20 - 3 + 20 - 8);
	fx_end();
}

static void with_gateway(struct stack_config *c)
{
	c->router_discovery = true;
	c->gateway_v6 = fx_peer;
}

static void a_configured_gateway_is_used(void)
{
	fx_begin(with_gateway);
	fx_run(5000000);
	CU_ASSERT_EQUAL(fx_sent_count, 0);
	router_input(router(7, 1800, 0));
	CU_ASSERT_EQUAL(FX_COUNTER(nd_router_ignored), 1);
	fx_know_peer();
	far_away_echo();
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
	CU_ASSERT_EQUAL(memcmp(fx_out(0), fx_peer_mac, 6), 0);
	fx_end();
}

static void the_link_is_told(void)
{
	fx_begin(NULL);
	CU_ASSERT_EQUAL(stack_announce(fx_stack, fx_now_us), 0);
	stack_output(fx_stack, fx_now_us);
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 3);
	CU_ASSERT_EQUAL(wire_get16(fx_out(0) + 12), ETH_TYPE_ARP);
	const uint8_t *p = fx_out_icmp6(1, ND_NEIGHBOUR_ADVERT);
	CU_ASSERT_EQUAL(memcmp(p + 48, fx_us.bytes, 16), 0);
	p = fx_out_icmp6(2, ND_NEIGHBOUR_ADVERT);
	CU_ASSERT_EQUAL(memcmp(p + 48, fx_us_local.bytes, 16), 0);
	fx_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"unknown_neighbours_are_solicited", unknown_neighbours_are_solicited},
			{"silent_neighbours_are_given_up", silent_neighbours_are_given_up},
			{"solicitations_are_answered", solicitations_are_answered},
			{"progress_confirms_a_neighbour", progress_confirms_a_neighbour},
			{"advertisements_by_the_rules", advertisements_by_the_rules},
			{"broken_messages_have_their_counter", broken_messages_have_their_counter},
			{"an_address_is_tested_before_it_is_used", an_address_is_tested_before_it_is_used},
			{"a_duplicate_address_is_not_used", a_duplicate_address_is_not_used},
			{"an_address_in_use_is_defended", an_address_in_use_is_defended},
			{"routers_are_discovered", routers_are_discovered},
			{"another_router_takes_over", another_router_takes_over},
			{"routers_tell_of_the_link", routers_tell_of_the_link},
			{"a_configured_gateway_is_used", a_configured_gateway_is_used},
			{"the_link_is_told", the_link_is_told},
			{0},
		});
}
