/* SPDX-License-Identifier: Apache-2.0 */
/* Fragments of both versions of IP: an echo request cut up must be answered as a whole one, and whatever is
 * wrong with the pieces must cost its own datagram alone. */
#include "tcpstack/frag.h"
#include "tcpstack/frame_fixture.h"

enum { WHOLE = 8 + 3000 };

static uint8_t message[70000]; /* an ICMP echo request: header and data */

static void multi_segment(struct stack_config *c)
{
	c->offload_flags = STACK_OFFLOAD_MULTI_SEG;
	c->mtu = 9000;
}

/* fx_tx_pool has no room for frames of 9000 bytes. */
static void begin(void (*change)(struct stack_config *c))
{
	static struct rte_mempool *large;

	if (!large)
		fx_tx_pool = large = unit_pool("large", 64, 9216);
	fx_begin(change);
	fx_know_peer();
}

static void message_make(bool v6, uint32_t n)
{
	memset(message, 0, 8);
	message[0] = v6 ? 128 : 8;
	wire_put16(message + 4, 77);
	for (uint32_t i = 8; i < n; i++)
		message[i] = (uint8_t)(i * 7);
	uint64_t sum = v6 ? checksum_pseudo(&fx_peer, &fx_us, IP_PROTOCOL_ICMPV6, n) : 0;
	wire_put16(message + 2, (uint16_t)~checksum_fold(checksum_add(sum, message, n)));
}

static bool v6;
static uint32_t id;
static uint8_t ecn;
static struct ip_addr from;

/* The bytes [at, at + n) of the message as a fragment. */
static void fragment(uint32_t at, uint32_t n, bool more)
{
	if (v6) {
		uint8_t *p = fx_ipv6(&from, &fx_us, 44, 8 + n);
		fx_frame[15] = (uint8_t)(ecn << 4);
		p[0] = IP_PROTOCOL_ICMPV6;
		p[1] = 0;
		wire_put16(p + 2, (uint16_t)(at | more));
		wire_put32(p + 4, id);
		memcpy(p + 8, message + at, n);
	} else {
		uint8_t *p = fx_ipv4(ip_to_v4(&from), FX_US4, IP_PROTOCOL_ICMP, n);
		fx_frame[15] = ecn;
		wire_put16(fx_frame + 18, (uint16_t)id);
		wire_put16(fx_frame + 20, (uint16_t)(at / 8 | (more ? 0x2000 : 0)));
		fx_ipv4_sum();
		memcpy(p, message + at, n);
	}
	fx_input_frame();
}

static void use(bool ipv6)
{
	v6 = ipv6;
	id++;
	ecn = 0;
	from = v6 ? fx_peer : ip_v4(FX_PEER4);
	message_make(v6, WHOLE);
}

/* The whole message came back as an echo reply. */
static void expect_reply(uint32_t n)
{
	uint32_t header = v6 ? 54 : 34;

	CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
	CU_ASSERT_EQUAL_FATAL(fx_sent[0]->pkt_len, header + n);
	static uint8_t got[70000];
	uint32_t at = 0;
	for (struct rte_mbuf *m = fx_sent[0]; m; at += m->data_len, m = m->next)
		memcpy(got + at, frame_data(m), m->data_len);
	CU_ASSERT_EQUAL(got[header], v6 ? 129 : 0);
	CU_ASSERT_EQUAL(memcmp(got + header + 4, message + 4, n - 4), 0);
	fx_forget();
}

static void any_order_is_put_together(void)
{
	begin(multi_segment);
	for (unsigned version = 0; version < 2; version++)
		for (unsigned k = 0; k < 200; k++) {
			uint32_t cut[8] = {0}, order[7], pieces = 1 + unit_random_below(7);
			use(version);
			uint32_t n = 64 + unit_random_below(8000);
			message_make(v6, n);
			for (unsigned i = 1; i < pieces; i++)
				cut[i] = min_u32(cut[i - 1] + 24 + 8 * unit_random_below(100), n / 8 * 8);
			for (unsigned i = 0; i < pieces; i++)
				order[i] = i;
			for (unsigned i = pieces; i > 1; i--) {
				unsigned j = unit_random_below(i);
				uint32_t t = order[j];
				order[j] = order[i - 1];
				order[i - 1] = t;
			}
			cut[pieces] = n;
			if (pieces > 1 && cut[pieces] == cut[pieces - 1])
				continue;
			bool empty = false;
			for (unsigned i = 0; i < pieces; i++)
				empty |= cut[i + 1] == cut[i];
			if (empty)
				continue;
			for (unsigned i = 0; i < pieces; i++) {
				uint32_t at = cut[order[i]], end = cut[order[i] + 1];
				fragment(at, end - at, end != n);
				if (i + 1 < pieces)
					CU_ASSERT_EQUAL(fx_sent_count, 0);
			}
			expect_reply(n);
			CU_ASSERT_EQUAL(fx_stack->frag_bytes, 0);
		}
	fx_end();
}

static void datagrams_are_told_apart(void)
{
	begin(multi_segment);
	for (unsigned version = 0; version < 2; version++) {
		use(version);
		fragment(0, 1480, true);
		id++;
		fragment(1480, WHOLE - 1480, false);
		CU_ASSERT_EQUAL(fx_sent_count, 0);
		id--;
		struct ip_addr right = from;
		from = v6 ? fx_peer_local : ip_v4(FX_PEER4 + 1);
		fragment(1480, WHOLE - 1480, false);
		CU_ASSERT_EQUAL(fx_sent_count, 0);
		from = right;
		fragment(1480, WHOLE - 1480, false);
		expect_reply(WHOLE);
		CU_ASSERT_EQUAL(pool_stats(fx_stack->frag_pool).used, 2);
		fx_run(61000000);
		CU_ASSERT_EQUAL(pool_stats(fx_stack->frag_pool).used, 0);
		CU_ASSERT_EQUAL(FX_COUNTER(frag_timeout), 2 * (version + 1));
		fx_know_peer();
	}
	fx_end();
}

/* RFC 1122 section 3.3.2, RFC 8200 section 4.5: with as much of the first piece as an error holds. */
static void what_never_comes_is_told_of(void)
{
	begin(multi_segment);
	for (unsigned version = 0; version < 2; version++) {
		use(version);
		uint32_t header = v6 ? 54 : 34;
		fragment(0, 400, true);
		id++;
		fragment(400, 400, true); /* of this one the first never came */
		id++;
		fragment(0, 400, true);
		fragment(8, 400, true); /* broken: nobody waits for more */
		fx_run(v6 ? 59000000 : 29000000);
		CU_ASSERT_EQUAL(fx_sent_count, 0);
		fx_know_peer();
		fx_run(2000000);
		CU_ASSERT_EQUAL_FATAL(fx_sent_count, 1);
		const uint8_t *p = frame_data(fx_sent[0]);
		CU_ASSERT_EQUAL(wire_get16(p + header), v6 ? 0x0301 : 0x0b01);
		CU_ASSERT_EQUAL(wire_get32(p + header + 4), 0);
		/* the packet as it came, its header first */
		CU_ASSERT_EQUAL(fx_sent[0]->pkt_len, header + 8 + (header - 14) + (v6 ? 8 : 0) + 400);
		CU_ASSERT_EQUAL(p[header + 8], v6 ? 0x60 : 0x45);
		CU_ASSERT_EQUAL(memcmp(p + fx_sent[0]->pkt_len - 400, message, 400), 0);
		fx_forget();
		CU_ASSERT_EQUAL(FX_COUNTER(frag_timeout), 2 * (version + 1));
	}
	fx_end();
}

/* RFC 5722: what overlaps takes all with it, also what is still to come; a mere repetition does not. */
static void overlaps_take_the_datagram(void)
{
	static const struct {
		uint32_t at, n;
		bool more;
	} bad[] = {{8, 1480, true}, {1472, 16, true}, {0, 1472, true}, {0, 1488, true}, {1480, 8, false},
		{2960, 56, false}, {2952, 8, false}};

	begin(multi_segment);
	for (unsigned version = 0; version < 2; version++)
		for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			uint64_t before = FX_COUNTER(frag_overlap);
			use(version);
			fragment(0, 1480, true);
			fragment(0, 1480, true); /* twice: nothing happens */
			fragment(2960, WHOLE - 2960, false);
			fragment(bad[i].at, bad[i].n, bad[i].more);
			CU_ASSERT_EQUAL(FX_COUNTER(frag_overlap), before + 1);
			CU_ASSERT_EQUAL(fx_stack->frag_bytes, 0);
			fragment(0, 1480, true);
			fragment(1480, 1480, true);
			fragment(2960, WHOLE - 2960, false);
			CU_ASSERT_EQUAL(fx_sent_count, 0);
		}
	CU_ASSERT_EQUAL(FX_COUNTER(frag_duplicate), 14);
	CU_ASSERT_EQUAL(FX_COUNTER(frag_dropped), 3 * 14);
	fx_end();
}

#define EXPECT_DROP_TOLD(name, told, act)                      \
	do {                                                   \
		uint64_t before = FX_COUNTER(name);            \
		act;                                           \
		CU_ASSERT_EQUAL(FX_COUNTER(name), before + 1); \
		CU_ASSERT_EQUAL(fx_sent_count, told);          \
		fx_forget();                                   \
	} while (0)
#define EXPECT_DROP(name, act) EXPECT_DROP_TOLD(name, 0, act)

static void broken_fragments_have_their_counter(void)
{
	begin(multi_segment);
	for (unsigned version = 0; version < 2; version++) {
		use(version);
		/* Not the last, yet odd: of IPv6 its sender is told. */
		EXPECT_DROP_TOLD(frag_malformed, version, fragment(0, 1479, true));
		EXPECT_DROP(frag_malformed, fragment(8, 0, false));
		EXPECT_DROP(frag_malformed, fragment(65528, 8, false)); /* past 64 KiB */
		if (v6)
			EXPECT_DROP(frag_tiny, (message[0] = 0, fragment(0, 0, true)));
	}
	/* TCP's header cut, or to be written over: RFC 1858, RFC 3128. */
	uint8_t *p = fx_ipv4(FX_PEER4, FX_US4, IP_PROTOCOL_TCP, 16);
	memset(p, 0, 16);
	wire_put16(fx_frame + 20, 0x2000);
	fx_ipv4_sum();
	EXPECT_DROP(frag_tiny, fx_input_frame());
	wire_put16(fx_frame + 20, 0x2001);
	fx_ipv4_sum();
	EXPECT_DROP(frag_tiny, fx_input_frame());
	/* RFC 7112: all headers in the first fragment. */
	p = fx_ipv6(&fx_peer, &fx_us, 44, 16);
	memcpy(p, (uint8_t[]){60, 0, 0, 1, 0, 0, 0, 9, IP_PROTOCOL_TCP, 0, 1, 4, 0, 0, 0, 0}, 16);
	EXPECT_DROP_TOLD(frag_tiny, 1, fx_input_frame());
	/* Fragments of fragments. */
	memcpy(p, (uint8_t[]){44, 0, 0, 0, 0, 0, 0, 9, IP_PROTOCOL_TCP, 0, 0, 1, 0, 0, 0, 9}, 16);
	EXPECT_DROP(frag_malformed, fx_input_frame());
	fx_end();
}

static void more_pieces_than_we_keep(void)
{
	begin(multi_segment);
	use(false);
	for (unsigned i = 0; i <= FRAG_PIECES_MAX; i++)
		fragment(i * 8, 8, true);
	CU_ASSERT_EQUAL(FX_COUNTER(frag_too_many), 1);
	CU_ASSERT_EQUAL(fx_stack->frag_bytes, 0);
	fx_end();
}

/* RFC 6946: complete by itself, whatever other fragments carry its number. */
static void atomic_fragments(void)
{
	begin(multi_segment);
	use(true);
	message_make(true, 100);
	fragment(0, 64, true);
	fragment(0, 100, false);
	expect_reply(100);
	fx_end();
}

static void limited(struct stack_config *c)
{
	multi_segment(c);
	c->frag_datagrams_max = 8;
	c->frag_bytes_max = 8 * 2176 * 4; /* buffers of rx_pool: 2048 and the headroom */
}

/* One source has a quarter of all; beyond that its own oldest gives way, else the oldest of all. */
static void limits_hold(void)
{
	begin(limited);
	for (unsigned version = 0; version < 2; version++) {
		use(version);
		for (unsigned i = 0; i < 20; i++, id++)
			fragment(0, 1480, true);
		CU_ASSERT_EQUAL(pool_stats(fx_stack->frag_pool).used, version ? 4 : 2);
	}
	CU_ASSERT_EQUAL(FX_COUNTER(frag_evicted), 18 * 2);
	use(false);
	for (unsigned i = 0; i < 20; i++, id++) {
		from = ip_v4(FX_PEER4 + 1 + i);
		fragment(0, 1480, true);
	}
	CU_ASSERT_EQUAL(pool_stats(fx_stack->frag_pool).used, 8);
	/* Bytes are those of the buffers that are held: eight for one source, then it starves itself. */
	use(false);
	for (unsigned i = 0; i < 20; i++)
		fragment(i * 8, 8, true);
	CU_ASSERT_EQUAL(FX_COUNTER(frag_full), 1);
	CU_ASSERT_TRUE(fx_stack->frag_bytes <= fx_stack->config.frag_bytes_max);
	/* And yet who is good is served. */
	use(true);
	fragment(0, 1480, true);
	fragment(1480, WHOLE - 1480, false);
	CU_ASSERT_EQUAL(fx_sent_count, 1);
	fx_forget();
	fx_end();
}

/* RFC 3168 section 5.3. */
static void congestion_marks_are_kept(void)
{
	static const struct {
		uint8_t a, b, whole;
	} marks[] = {{0, 0, 0}, {1, 1, 1}, {2, 2, 2}, {3, 3, 3}, {2, 3, 3}, {3, 2, 3}, {3, 1, 3}};

	begin(multi_segment);
	for (unsigned i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		struct frag_in in = {
			.ip = {.src = fx_peer, .dst = fx_us, .ecn = marks[i].a}, .id = i, .more = true};
		struct frag_whole whole;
		struct rte_mbuf *m = rte_pktmbuf_alloc(fx_rx_pool);
		rte_pktmbuf_append(m, 64);
		CU_ASSERT_FALSE(frag_input_take(fx_stack, m, &in, &whole));
		in.ip.ecn = marks[i].b;
		in.more = false;
		in.offset = 64;
		m = rte_pktmbuf_alloc(fx_rx_pool);
		rte_pktmbuf_append(m, 3);
		CU_ASSERT_TRUE_FATAL(frag_input_take(fx_stack, m, &in, &whole));
		CU_ASSERT_EQUAL(whole.ip.ecn, marks[i].whole);
		CU_ASSERT_TRUE(whole.ip.fragmented);
		CU_ASSERT_EQUAL(whole.ip.length, 67);
		CU_ASSERT_EQUAL(whole.m->data_len, 67); /* headers lie in one piece */
		CU_ASSERT_EQUAL(whole.m->nb_segs, 1);
		rte_pktmbuf_free(whole.m);
	}
	use(true);
	ecn = 3;
	fragment(0, 1480, true);
	ecn = 0;
	EXPECT_DROP(frag_ecn, fragment(1480, WHOLE - 1480, false));
	fx_end();
}

/* Each piece came in a buffer of its own. */
static void pieces_share_a_buffer(void)
{
	struct frag_whole whole = {0};

	begin(multi_segment);
	for (unsigned i = 0; i < 20; i++) {
		struct frag_in in = {
			.ip = {.src = fx_peer, .dst = fx_us}, .offset = (uint16_t)(i * 160), .more = i < 19};
		struct rte_mbuf *m = rte_pktmbuf_alloc(fx_rx_pool);
		memset(rte_pktmbuf_append(m, 160), (int)i, 160);
		CU_ASSERT_EQUAL_FATAL(frag_input_take(fx_stack, m, &in, &whole), !in.more);
	}
	CU_ASSERT_EQUAL(whole.m->pkt_len, 20 * 160);
	CU_ASSERT_EQUAL(whole.m->nb_segs, 2);
	for (unsigned i = 0; i < 20 * 160; i++) {
		uint8_t b, *p = (uint8_t *)rte_pktmbuf_read(whole.m, i, 1, &b);
		CU_ASSERT_EQUAL_FATAL(*p, i / 160);
	}
	rte_pktmbuf_free(whole.m);
	fx_end();
}

/* Neighbour discovery never comes in fragments: RFC 6980. */
static void discovery_is_not_fragmented(void)
{
	begin(multi_segment);
	fx_nd(135, 0, &fx_peer, &fx_us, &fx_us, 1);
	uint8_t *p = fx_frame + 54;
	memmove(p + 8, p, 32);
	memcpy(p, (uint8_t[]){IP_PROTOCOL_ICMPV6, 0, 0, 0, 0, 0, 0, 1}, 8);
	fx_frame[20] = 44;
	wire_put16(fx_frame + 18, 40);
	EXPECT_DROP(nd_malformed, fx_input_frame());
	fx_end();
}

static void random_pieces_do_no_harm(void)
{
	begin(limited);
	for (unsigned i = 0; i < 30000; i++) {
		use(unit_random_below(2));
		id = unit_random_below(4);
		ecn = (uint8_t)(unit_random_below(20) ? 0 : unit_random_below(4));
		if (unit_random_below(4) == 0)
			from = v6 ? fx_peer_local : ip_v4(FX_PEER4 + 3);
		/* Some fit together. */
		uint32_t unit = unit_random_below(2) ? 8 : 80, range = 320 / unit;
		fragment(unit * unit_random_below(range), unit * unit_random_below(range),
			unit_random_below(6));
		fx_forget();
		CU_ASSERT_TRUE(fx_stack->frag_bytes <= fx_stack->config.frag_bytes_max);
		if (unit_random_below(1000) == 0)
			fx_run(unit_random_below(70000000));
		fx_forget();
	}
	CU_ASSERT_TRUE(FX_COUNTER(frag_reassembled) > 10);
	fx_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"any_order_is_put_together", any_order_is_put_together},
			{"datagrams_are_told_apart", datagrams_are_told_apart},
			{"what_never_comes_is_told_of", what_never_comes_is_told_of},
			{"overlaps_take_the_datagram", overlaps_take_the_datagram},
			{"broken_fragments_have_their_counter", broken_fragments_have_their_counter},
			{"more_pieces_than_we_keep", more_pieces_than_we_keep},
			{"atomic_fragments", atomic_fragments},
			{"limits_hold", limits_hold},
			{"congestion_marks_are_kept", congestion_marks_are_kept},
			{"pieces_share_a_buffer", pieces_share_a_buffer},
			{"discovery_is_not_fragmented", discovery_is_not_fragmented},
			{"random_pieces_do_no_harm", random_pieces_do_no_harm},
			{0},
		});
}
