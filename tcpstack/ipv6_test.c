/* SPDX-License-Identifier: Apache-2.0 */
/* IPv6: header checks, extension headers, addresses, echo. */
#include "tcpstack/frame_fixture.h"

static void expect_echo(uint32_t n, const struct ip_addr *src, const struct ip_addr *dst)
{
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
	const uint8_t *p = fx_out_icmp6(0, 129);
	CU_ASSERT_EQUAL(memcmp(p - 14, fx_peer_mac, 6), 0);
	CU_ASSERT_EQUAL(memcmp(p + 8, src->bytes, 16), 0);
	CU_ASSERT_EQUAL(memcmp(p + 24, dst->bytes, 16), 0);
	CU_ASSERT_EQUAL(wire_get16(p + 4), 8 + n);
	CU_ASSERT_EQUAL(wire_get16(p + 44), 77);
	for (uint32_t i = 0; i < n; i++)
		if (p[48 + i] != (uint8_t)(i * 7))
			CU_FAIL_FATAL("a byte differs");
	fx_forget();
}

static void ping_is_answered(void)
{
	struct rte_mbuf *hoard[256];
	unsigned n = 0;

	fx_begin(NULL);
	fx_know_peer();
	while (n < 256 && (hoard[n] = rte_pktmbuf_alloc(fx_tx_pool)))
		n++; /* without a transmit buffer as well */
	for (uint32_t bytes = 0; bytes < 1452; bytes += 121) {
		fx_echo6(&fx_peer, &fx_us, bytes);
		fx_input_frame();
		expect_echo(bytes, &fx_us, &fx_peer);
	}
	fx_echo6(&fx_peer_local, &fx_us_local, 3);
	memset(fx_frame + fx_frame_bytes(), 0xee, 3);
	fx_input(fx_frame, fx_frame_bytes() + 3); /* padded */
	expect_echo(3, &fx_us_local, &fx_peer_local);
	rte_pktmbuf_free_bulk(hoard, n);
	fx_end();
}

#define EXPECT_DROP(name, change)                              \
	do {                                                   \
		uint64_t before = FX_COUNTER(name);            \
		fx_echo6(&fx_peer, &fx_us, 8);                 \
		uint32_t n = fx_frame_bytes();                 \
		uint8_t *p = fx_frame + 14;                    \
		(void)p;                                       \
		change;                                        \
		fx_input(fx_frame, n);                         \
		CU_ASSERT_EQUAL(FX_COUNTER(name), before + 1); \
		CU_ASSERT_EQUAL(fx_sent_count, 0);             \
		fx_forget();                                   \
	} while (0)

static void every_bad_packet_has_its_counter(void)
{
	static const uint8_t none[16], loop[16] = {[15] = 1}, mapped[16] = {[10] = 0xff, 0xff, 10, 0, 0, 2};

	fx_begin(NULL);
	fx_know_peer();
	EXPECT_DROP(ipv6_short, n = 14 + 39);
	EXPECT_DROP(ipv6_short, n -= 1);
	EXPECT_DROP(ipv6_version, p[0] = 0x50);
	EXPECT_DROP(ipv6_not_ours, p[39] = 9);
	EXPECT_DROP(ipv6_not_ours, memcpy(p + 24, loop, 16));
	EXPECT_DROP(ipv6_not_ours, memcpy(p + 24, none, 16));
	EXPECT_DROP(ipv6_source, memcpy(p + 8, none, 16));
	EXPECT_DROP(ipv6_source, memcpy(p + 8, loop, 16));
	EXPECT_DROP(ipv6_source, memcpy(p + 8, mapped, 16));
	EXPECT_DROP(ipv6_source, p[8] = 0xff);
	EXPECT_DROP(ipv6_source, memcpy(p + 8, fx_us.bytes, 16));
	EXPECT_DROP(ipv6_source, memcpy(p + 8, fx_us_local.bytes, 16));
	EXPECT_DROP(ipv6_source, (memcpy(p + 8, none, 16), p[6] = IP_PROTOCOL_TCP));
	EXPECT_DROP(ipv6_protocol, p[6] = 59);
	EXPECT_DROP(eth_broadcast, memcpy(fx_frame, (uint8_t[]){0x33, 0x33, 0, 0, 0, 1}, 6));
	EXPECT_DROP(eth_broadcast, memset(fx_frame, 0xff, 6));
	EXPECT_DROP(icmp_checksum, p[50]++);
	EXPECT_DROP(icmp_short, (wire_put16(p + 4, 7), n = 14 + 47));
	EXPECT_DROP(icmp_other, (p[40] = 200, fx_icmp6_sum(p + 40, 16)));
	EXPECT_DROP(icmp_other, (p[40] = 129, fx_icmp6_sum(p + 40, 16)));
	EXPECT_DROP(icmp_other, (p[41] = 1, fx_icmp6_sum(p + 40, 16)));
	fx_end();
}

/* Groups: all nodes and those that our addresses are asked through; TCP and echo never. */
static void groups(void)
{
	struct ip_addr all = {.bytes = {0xff, 2, [15] = 1}},
		       ours = {.bytes = {0xff, 2, [11] = 1, 0xff, 0, 0, 1}};
	struct ip_addr others = {.bytes = {0xff, 2, [11] = 1, 0xff, 0, 0, 5}},
		       wide = {.bytes = {0xff, 5, [15] = 1}};

	fx_begin(NULL);
	fx_know_peer();
	fx_echo6(&fx_peer, &all, 8);
	fx_input_frame();
	fx_echo6(&fx_peer, &ours, 8);
	fx_input_frame();
	CU_ASSERT_EQUAL(FX_COUNTER(icmp_other), 2);
	fx_echo6(&fx_peer, &others, 8);
	fx_input_frame();
	fx_echo6(&fx_peer, &wide, 8);
	fx_input_frame();
	CU_ASSERT_EQUAL(FX_COUNTER(ipv6_not_ours), 2);
	uint8_t *p = fx_ipv6(&fx_peer, &all, IP_PROTOCOL_TCP, 20);
	memset(p, 0, 20);
	fx_input_frame();
	CU_ASSERT_EQUAL(FX_COUNTER(ipv6_protocol), 1);
	CU_ASSERT_EQUAL(fx_sent_count, 0);
	fx_end();
}

/* Puts an extension header of n bytes before what fx_frame carries. */
static uint8_t *extend(uint8_t kind, uint32_t n)
{
	uint8_t *ip = fx_frame + 14, *p = ip + 40;
	uint32_t before = wire_get16(ip + 4);

	memmove(p + n, p, before);
	memset(p, 0, n); /* PAD1s */
	p[0] = ip[6];
	p[1] = (uint8_t)(n / 8 - 1);
	ip[6] = kind;
	wire_put16(ip + 4, (uint16_t)(before + n));
	return p;
}

static void extension_headers_are_passed(void)
{
	fx_begin(NULL);
	fx_know_peer();
	fx_echo6(&fx_peer, &fx_us, 8);
	extend(60, 16);
	uint8_t *p = extend(43, 24);
	p[2] = 0;
	p = extend(60, 8);
	memcpy(p + 2, (uint8_t[]){1, 2, 0, 0, 0, 0}, 6); /* PADN */
	p = extend(0, 8);
	memcpy(p + 2, (uint8_t[]){5, 2, 0, 0, 0x1e, 0}, 6); /* router alert; an option to be skipped */
	fx_input_frame();
	expect_echo(8, &fx_us, &fx_peer);
	fx_end();
}

#define EXPECT_EXTENSION_DROP(name, change)                    \
	do {                                                   \
		uint64_t before = FX_COUNTER(name);            \
		uint8_t *p = NULL;                             \
		fx_echo6(&fx_peer, &fx_us, 8);                 \
		change;                                        \
		(void)p;                                       \
		fx_input_frame();                              \
		CU_ASSERT_EQUAL(FX_COUNTER(name), before + 1); \
		fx_forget();                                   \
	} while (0)

static void extension_headers_out_of_order(void)
{
	fx_begin(NULL);
	fx_know_peer();
	EXPECT_EXTENSION_DROP(ipv6_extension, (extend(0, 8), extend(60, 8))); /* hop-by-hop comes first */
	EXPECT_EXTENSION_DROP(ipv6_extension, (extend(0, 8), extend(0, 8)));
	EXPECT_EXTENSION_DROP(ipv6_extension, {
		for (unsigned i = 0; i < 9; i++)
			extend(60, 8);
	});
	EXPECT_EXTENSION_DROP(ipv6_extension, (p = extend(60, 8), p[1] = 9));		/* past the end */
	EXPECT_EXTENSION_DROP(ipv6_extension, (p = extend(60, 8), p[2] = 1, p[3] = 9)); /* an option is */
	EXPECT_EXTENSION_DROP(ipv6_extension, (p = extend(60, 8), p[7] = 1)); /* an option without length */
	EXPECT_EXTENSION_DROP(ipv6_extension, (extend(60, 8), wire_put16(fx_frame + 18, 7)));
	EXPECT_EXTENSION_DROP(ipv6_option, (p = extend(60, 8), p[2] = 0x40));
	EXPECT_EXTENSION_DROP(ipv6_option, (p = extend(60, 8), p[2] = 0x80));
	EXPECT_EXTENSION_DROP(ipv6_option, (p = extend(0, 8), p[2] = 0xc2, p[3] = 4)); /* a jumbogram */
	EXPECT_EXTENSION_DROP(ipv6_routing, (p = extend(43, 24), p[3] = 1));	       /* RFC 5095 */
	EXPECT_EXTENSION_DROP(ipv6_routing, (p = extend(43, 24), p[2] = 4, p[3] = 1));
	EXPECT_EXTENSION_DROP(ipv6_protocol, extend(50, 8));
	EXPECT_EXTENSION_DROP(ipv6_protocol, extend(51, 8));
	/* The headers in two buffers. */
	fx_echo6(&fx_peer, &fx_us, 8);
	extend(60, 16);
	fx_input_split(fx_frame, fx_frame_bytes(), 14 + 40 + 9);
	CU_ASSERT_EQUAL(FX_COUNTER(header_split), 1);
	CU_ASSERT_EQUAL(FX_COUNTER(icmp_echo), 0);
	fx_end();
}

/* The problem that the last packet had, as it was told to its sender. */
static void expect_problem(uint8_t code, uint32_t at)
{
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
	const uint8_t *p = fx_out_icmp6(0, 4);
	CU_ASSERT_EQUAL(memcmp(p + 24, fx_peer.bytes, 16), 0);
	CU_ASSERT_EQUAL(p[41], code);
	CU_ASSERT_EQUAL(wire_get32(p + 44), at);
	CU_ASSERT_EQUAL(memcmp(p + 48, fx_frame + 14, fx_frame_bytes() - 14), 0);
	fx_forget();
}

/* RFC 8200 sections 4, 4.2 and 4.4, RFC 4443 sections 2.4 and 3.4. */
static void what_we_do_not_know_is_told(void)
{
	struct ip_addr all = {.bytes = {0xff, 2, [15] = 1}}, nowhere = {0};
	uint8_t *p;

	fx_begin(NULL);
	fx_know_peer();
	fx_echo6(&fx_peer, &fx_us, 8);
	fx_frame[14 + 6] = 17;
	fx_input_frame();
	expect_problem(1, 6);
	fx_echo6(&fx_peer, &fx_us, 8);
	fx_frame[14 + 6] = 200;
	extend(60, 16);
	fx_input_frame();
	expect_problem(1, 40);
	for (unsigned i = 0; i < 2; i++) { /* options that ask for an answer */
		fx_echo6(&fx_peer, &fx_us, 8);
		p = extend(60, 16);
		p[4] = i ? 0xc7 : 0x87;
		fx_input_frame();
		expect_problem(2, 44);
	}
	fx_echo6(&fx_peer, &fx_us, 8);
	p = extend(43, 8);
	p[2] = 0;
	p[3] = 1;
	fx_input_frame();
	expect_problem(0, 42);
	/* Nothing is told of options that ask to be dropped in silence, to groups, or of errors. */
	fx_echo6(&fx_peer, &fx_us, 8);
	p = extend(60, 8);
	p[2] = 0x40;
	fx_input_frame();
	fx_echo6(&fx_peer, &all, 8);
	p = extend(60, 8);
	p[2] = 0xc7;
	fx_input_frame();
	fx_echo6(&fx_peer, &all, 8);
	fx_frame[14 + 6] = 17;
	fx_input_frame();
	fx_echo6(&fx_peer, &fx_us, 8);
	fx_frame[54] = 3;
	p = extend(60, 8);
	p[2] = 0x87;
	fx_input_frame();
	fx_echo6(&nowhere, &fx_us, 8);
	fx_frame[14 + 6] = 17;
	fx_input_frame();
	CU_ASSERT_EQUAL(fx_sent_count, 0);
	/* But an option of kind 10 is answered even when it came to a group. */
	fx_echo6(&fx_peer, &all, 8);
	p = extend(60, 8);
	p[2] = 0x87;
	fx_input_frame();
	expect_problem(2, 42);
	/* No more than a hundred a second. */
	for (unsigned i = 0; i < 200; i++) {
		fx_echo6(&fx_peer, &fx_us, 8);
		fx_frame[14 + 6] = 17;
		fx_input_frame();
		fx_forget();
	}
	CU_ASSERT_EQUAL(FX_COUNTER(icmp_errors_out), 100);
	CU_ASSERT_EQUAL(FX_COUNTER(icmp_errors_limited), 106);
	fx_end();
}

/* RFC 1122 section 3.2.2.1. */
static void unknown_protocols_of_ipv4_are_told(void)
{
	fx_begin(NULL);
	fx_know_peer();
	uint8_t *p = fx_ipv4(FX_PEER4, FX_US4, 17, 900);
	memset(p, 7, 900);
	fx_input_frame();
	CU_ASSERT_EQUAL(FX_COUNTER(ipv4_protocol), 1);
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
	const uint8_t *out = fx_out(0) + 14;
	CU_ASSERT_EQUAL(wire_get16(out + 2), 576);
	CU_ASSERT_EQUAL(out[9], IP_PROTOCOL_ICMP);
	CU_ASSERT_EQUAL(wire_get16(out + 20), 0x0302);
	CU_ASSERT_EQUAL(checksum_fold(checksum_add(0, out + 20, 556)), 0xffff);
	CU_ASSERT_EQUAL(memcmp(out + 28, fx_frame + 14, 548), 0);
	fx_end();
}

static void with_mld(struct stack_config *c)
{
	c->mld = true;
	stack_config_add(c, (struct ip_addr){.bytes = {0xfd, [14] = 7, [15] = 9}}, 64);
}

/* Switches that look on learn what we listen to: RFC 3810. Addresses with the same end share a group. */
static void groups_are_reported(void)
{
	fx_begin(with_mld);
	fx_run(2000000);
	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 2);
	for (unsigned i = 0; i < 3; i++) {
		if (i == 2) { /* asked for */
			struct ip_addr all = {.bytes = {0xff, 2, [15] = 1}};
			uint8_t *q = fx_ipv6(&fx_peer_local, &all, IP_PROTOCOL_ICMPV6, 28);
			fx_frame[14 + 7] = 1;
			memset(q, 0, 28);
			q[0] = 130;
			wire_put16(q + 4, 1000);
			fx_icmp6_sum(q, 28);
			fx_input_frame();
			fx_run(1000001);
			CU_ASSERT_EQUAL_FATAL(fx_sent_count, 3);
		}
		const uint8_t *p = fx_out(i);
		CU_ASSERT_EQUAL(memcmp(p, (uint8_t[]){0x33, 0x33, 0, 0, 0, 0x16}, 6), 0);
		p += 14;
		CU_ASSERT_EQUAL(p[6], 0);
		CU_ASSERT_EQUAL(p[7], 1);
		CU_ASSERT_EQUAL(memcmp(p + 8, fx_us_local.bytes, 16), 0);
		CU_ASSERT_EQUAL(memcmp(p + 40, (uint8_t[]){58, 0, 5, 2, 0, 0, 1, 0}, 8), 0);
		struct ip_addr src = ip_v6(p + 8), dst = ip_v6(p + 24);
		CU_ASSERT_EQUAL(wire_get16(p + 4), 8 + 8 + 2 * 20);
		CU_ASSERT_EQUAL(
			checksum_fold(checksum_add(checksum_pseudo(&src, &dst, 58, 48), p + 48, 48)), 0xffff);
		CU_ASSERT_EQUAL(p[48], 143);
		CU_ASSERT_EQUAL(wire_get16(p + 54), 2);
		CU_ASSERT_EQUAL(p[56], i == 2 ? 2 : 4);
		CU_ASSERT_EQUAL(memcmp(p + 60, (uint8_t[]){0xff, 2}, 2), 0);
		CU_ASSERT_EQUAL(wire_get32(p + 72), 0xff000001);
		CU_ASSERT_EQUAL(wire_get32(p + 92), 0xff000709);
	}
	CU_ASSERT_EQUAL(stack_next_us(fx_stack), UINT64_MAX);
	fx_end();
}

static void many_addresses(struct stack_config *c)
{
	stack_config_add(c, (struct ip_addr){.bytes = {0x20, 1, 0xd, 0xb8, 0, 1, [15] = 1}}, 64);
	stack_config_add(c, (struct ip_addr){.bytes = {0x20, 1, 0xd, 0xb8, 0, 2, [15] = 1}}, 64);
}

/* RFC 6724 section 5, rules 1, 2 and 8. */
static void a_source_is_chosen(void)
{
	struct ip_addr to_1 = {.bytes = {0x20, 1, 0xd, 0xb8, 0, 1, [15] = 7}};
	struct ip_addr to_2 = {.bytes = {0x20, 1, 0xd, 0xb8, 0, 2, [15] = 7}};

	fx_begin(many_addresses);
	CU_ASSERT_TRUE(ip_equal(ip_source_for(fx_stack, &fx_peer), &fx_us));
	CU_ASSERT_TRUE(ip_equal(ip_source_for(fx_stack, &fx_peer_local), &fx_us_local));
	CU_ASSERT_EQUAL(ip_source_for(fx_stack, &to_1)->bytes[5], 1);
	CU_ASSERT_EQUAL(ip_source_for(fx_stack, &to_2)->bytes[5], 2);
	fx_end();
}

static void only_v4(struct stack_config *c)
{
	c->address_count = 1;
}

static void without_ipv6(void)
{
	enum stack_address_state state;
	struct ip_addr a;

	fx_begin(only_v4);
	fx_echo6(&fx_peer, &fx_us, 8);
	fx_input_frame();
	CU_ASSERT_EQUAL(FX_COUNTER(eth_type), 1);
	CU_ASSERT_FALSE(stack_address_get(fx_stack, 1, &a, &state));
	CU_ASSERT_EQUAL(stack_next_us(fx_stack), UINT64_MAX);
	fx_end();
}

static void addresses_and_prefixes(void)
{
	struct ip_addr a = {.bytes = {0xfe, 0xbf, [15] = 1}}, b = a, one = {.bytes = {[15] = 1}};

	CU_ASSERT_TRUE(ip_is_link_local(&a));
	a.bytes[1] = 0xc0;
	CU_ASSERT_FALSE(ip_is_link_local(&a));
	CU_ASSERT_EQUAL(ip_common_bits(&a, &b), 9);
	CU_ASSERT_EQUAL(ip_common_bits(&a, &a), 128);
	CU_ASSERT_TRUE(ip_is_v6_loopback(&one));
	CU_ASSERT_FALSE(ip_is_v6_loopback(&a));
	CU_ASSERT_FALSE(ip_is_unspecified(&one));
	a = ip_v4(0xe0000001);
	CU_ASSERT_TRUE(ip_is_multicast(&a));
	a = ip_v4(0xdf000001);
	CU_ASSERT_FALSE(ip_is_multicast(&a));
}

static void random_bytes_do_no_harm(void)
{
	fx_begin(NULL);
	fx_know_peer();
	for (unsigned i = 0; i < 20000; i++) {
		fx_echo6(unit_random_below(8) ? &fx_peer : &fx_far, &fx_us, unit_random_below(60));
		for (unsigned k = unit_random_below(4); k; k--)
			extend((uint8_t[]){0, 43, 44, 60}[unit_random_below(4)],
				8 + 8 * unit_random_below(3));
		uint32_t n = fx_frame_bytes();
		for (unsigned k = unit_random_below(6); k; k--)
			fx_frame[14 + unit_random_below(n - 14)] = (uint8_t)unit_random();
		if (unit_random_below(2))
			fx_input(fx_frame, unit_random_below(4) ? n : 1 + unit_random_below(n));
		else
			fx_input_split(fx_frame, n, 1 + unit_random_below(n));
		fx_forget();
		fx_now_us += 1000;
		stack_timers(fx_stack, fx_now_us, 10);
		fx_forget();
	}
	CU_ASSERT_EQUAL(FX_COUNTER(rx_frames), 20000);
	fx_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"ping_is_answered", ping_is_answered},
			{"every_bad_packet_has_its_counter", every_bad_packet_has_its_counter},
			{"groups", groups},
			{"extension_headers_are_passed", extension_headers_are_passed},
			{"extension_headers_out_of_order", extension_headers_out_of_order},
			{"what_we_do_not_know_is_told", what_we_do_not_know_is_told},
			{"unknown_protocols_of_ipv4_are_told", unknown_protocols_of_ipv4_are_told},
			{"groups_are_reported", groups_are_reported},
			{"a_source_is_chosen", a_source_is_chosen},
			{"without_ipv6", without_ipv6},
			{"addresses_and_prefixes", addresses_and_prefixes},
			{"random_bytes_do_no_harm", random_bytes_do_no_harm},
			{0},
		});
}
