/* SPDX-License-Identifier: Apache-2.0 */
/* The same random segments through a stack that predicts them and through one that takes the long way with
 * each: frames out, callbacks, bytes, counters and the connections' state are the same after each step. The
 * peer is an oracle: it looks into a connection to know what would be expected next, and mostly sends that.
 */
#include "tcpstack/checksum.h"
#include "tcpstack/tcp_impl.h"
#include "tests/unit/poison.h"
#include "tests/unit/unit.h"

enum {
	CONNS = 6,
	STEPS = 600,
	BURST_MAX = 40,
	LOG_BYTES = 4 << 20,
	US4 = 0x0a000001,
	PEER4 = 0x0a000002,
	PORT = 5672,
	ROOM = 2048,
	TEXT_MAX = 1448,
};

struct node {
	struct stack *stack;
	struct rte_mempool *pool;
	struct tcp_conn *conns[CONNS];
	uint64_t random; /* of its application */
	uint8_t *log;
	uint32_t log_n;
	uint32_t last_seq; /* of the last TCP segment out */
};

/* How the frames are made, and what is compared. */
static struct {
	bool sums_by_port, vlan, few_buffers,
		scatter_one; /* the latter: node 0 gets pieces, and predicts as 1 does */
} how;

static struct node nodes[2];
static struct rte_mempool *rx_pool;
static uint64_t now_us;
static const uint8_t data_out[20000];
static uint16_t ports[CONNS], port_next;
static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 2};

static bool over_ipv6(unsigned k)
{
	return k % 3 == 2;
}

static bool timestamps_on(unsigned k)
{
	return k % 2 == 0;
}

static void note(struct node *n, const void *bytes, uint32_t count)
{
	CU_ASSERT_FATAL(n->log_n + count <= LOG_BYTES);
	memcpy(n->log + n->log_n, bytes, count);
	n->log_n += count;
}

static void note_event(struct node *n, char what, unsigned k)
{
	note(n, (uint8_t[]){'#', (uint8_t)what, (uint8_t)k}, 3);
}

static void tx(void *ctx, struct rte_mbuf **frames, unsigned count)
{
	struct node *n = ctx;

	for (unsigned i = 0; i < count; i++) {
		const uint8_t *p = frame_data(frames[i]);
		uint32_t ip = frames[i]->l2_len ? frames[i]->l2_len : 14;
		note_event(n, 'f', 0);
		note(n, p, frames[i]->data_len);
		note(n, &frames[i]->ol_flags, sizeof(frames[i]->ol_flags));
		note(n, &frames[i]->tx_offload, sizeof(frames[i]->tx_offload));
		CU_ASSERT_EQUAL(frames[i]->nb_segs, 1);
		if (p[ip] >> 4 == 6)
			n->last_seq = wire_get32(p + ip + 44);
		else
			n->last_seq = wire_get32(p + ip + 24);
	}
	rte_pktmbuf_free_bulk(frames, count);
}

static uint32_t application_random(struct node *n, uint32_t below)
{
	n->random = n->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(n->random >> 33) % below;
}

static struct node *node_of(const struct tcp_conn *c)
{
	return tcp_conn_stack(c) == nodes[0].stack ? &nodes[0] : &nodes[1];
}

static unsigned index_of(const struct tcp_conn *c)
{
	for (unsigned k = 0; k < CONNS; k++)
		if (ports[k] == tcp_conn_peer_port(c))
			return k;
	return CONNS;
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	unsigned k = index_of(c);

	CU_ASSERT_FATAL(k < CONNS);
	node_of(c)->conns[k] = c;
	note_event(node_of(c), 'a', k);
}

static void on_readable(struct tcp_conn *c)
{
	static uint8_t bytes[1 << 20];
	struct node *n = node_of(c);
	uint32_t all = tcp_conn_rx(c)->bytes, some = all;

	note_event(n, 'r', index_of(c));
	if (application_random(n, 8) == 0)
		some = application_random(n, all + 1);
	chain_copy(tcp_conn_rx(c), 0, bytes, some);
	note(n, bytes, some);
	tcp_conn_rx_consume(c, some);
	if (application_random(n, 4) == 0)
		(void)tcp_conn_write(c, data_out, 1 + application_random(n, 100));
}

static void on_writable(struct tcp_conn *c)
{
	note_event(node_of(c), 'w', index_of(c));
}

static void on_urgent(struct tcp_conn *c)
{
	note_event(node_of(c), 'u', index_of(c));
}

static void on_peer_closed(struct tcp_conn *c)
{
	unsigned k = index_of(c);

	note_event(node_of(c), 'p', k);
	node_of(c)->conns[k] = NULL; /* nobody is told of it any more */
	tcp_conn_close(c);
}

static void on_closed(struct tcp_conn *c, int reason)
{
	unsigned k = index_of(c);

	note_event(node_of(c), 'c', k);
	if (k < CONNS && node_of(c)->conns[k] == c)
		node_of(c)->conns[k] = NULL;
}

static const struct tcp_app app = {.accepted = on_accepted,
	.readable = on_readable,
	.writable = on_writable,
	.urgent = on_urgent,
	.peer_closed = on_peer_closed,
	.closed = on_closed};

static struct ip_addr address(bool v6, unsigned host)
{
	struct ip_addr a = {.bytes = {0xfd, [15] = (uint8_t)host}};

	return v6 ? a : ip_v4(0x0a000000 + host);
}

static void node_start(struct node *n, bool long_way)
{
	struct stack_config c;

	stack_config_defaults(&c);
	memcpy(c.mac, our_mac, 6);
	stack_config_add(&c, address(false, 1), 24);
	stack_config_add(&c, address(true, 1), 64);
	c.dad_transmits = 0;
	c.router_discovery = c.mld = false;
	c.vlan = how.vlan ? 7 : 0;
	if (how.sums_by_port)
		c.offload_flags = STACK_OFFLOAD_RX_CKSUM | STACK_OFFLOAD_TX_IPV4_CKSUM |
				  STACK_OFFLOAD_TX_TCP_CKSUM;
	c.rx_buffers_max = how.few_buffers ? 48 : 0;
	c.rx_buffer_bytes = how.few_buffers ? 65536 : 262144;
	c.tx_pool = n->pool;
	c.key = (struct siphash_key){1, 2};
	c.ecn = STACK_ECN_ACCEPT;
	c.keepalive_us = 5000000;
	c.rto_us_min = 50000;
	c.tx = tx;
	c.tx_ctx = n;
	c.long_way_only = long_way;
	n->stack = stack_create(&c, now_us);
	n->random = 1;
	n->log_n = 0;
	memset(n->conns, 0, sizeof(n->conns));
	CU_ASSERT_PTR_NOT_NULL_FATAL(n->stack);
	CU_ASSERT_EQUAL(tcp_listen(n->stack, NULL, PORT, NULL, &app, NULL, NULL), 0);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct ip_addr peer = address(v6, 2);
		stack_neighbour_learn(n->stack, &peer, peer_mac, now_us);
	}
}

/* What a frame is made of. */
struct seg {
	unsigned k;
	uint32_t seq, ack, len, ts_val, ts_ecr;
	uint16_t wnd, urgent;
	uint8_t flags, ecn, pad;
	bool syn_options, odd_options, sack, no_timestamp, bad_sum;
};

static uint32_t options_put(uint8_t *o, const struct seg *g)
{
	uint8_t *at = o;

	if (g->syn_options) {
		wire_put32(at, 0x020405b4);
		wire_put32(at + 4, 0x01030306);
		wire_put32(at + 8, g->k % 4 < 2 ? 0x01010402 : 0x01010101);
		at += 12;
	}
	if (timestamps_on(g->k) && !g->no_timestamp) {
		wire_put32(at, g->odd_options ? 0x080a0000 : 0x0101080a);
		memset(at + 2, 0, 2 * g->odd_options);
		wire_put32(at + 4 - 2 * g->odd_options, g->ts_val);
		wire_put32(at + 8 - 2 * g->odd_options, g->ts_ecr);
		if (g->odd_options)
			wire_put16(at + 10, 0x0101);
		at += 12;
	}
	if (g->sack) {
		wire_put32(at, 0x0101050a);
		wire_put32(at + 4, g->ack + 100);
		wire_put32(at + 8, g->ack + 200);
		at += 12;
	}
	return (uint32_t)(at - o);
}

static uint32_t frame_make(uint8_t *h, const struct seg *g)
{
	bool v6 = over_ipv6(g->k);
	uint32_t l2 = how.vlan ? 18 : 14, ip = v6 ? 40 : 20;
	uint8_t *i = h + l2, *t = i + ip;
	uint32_t header = 20 + options_put(t + 20, g), n = header + g->len;
	struct ip_addr src = address(v6, 2), dst = address(v6, 1);

	memcpy(h, our_mac, 6);
	memcpy(h + 6, peer_mac, 6);
	if (how.vlan)
		wire_put32(h + 12, 0x81000007);
	wire_put16(h + l2 - 2, v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
	memset(i, 0, ip);
	if (v6) {
		wire_put32(i, 6u << 28 | (uint32_t)g->ecn << 20);
		wire_put16(i + 4, (uint16_t)n);
		i[6] = 6;
		i[7] = 64;
		memcpy(i + 8, src.bytes, 16);
		memcpy(i + 24, dst.bytes, 16);
	} else {
		wire_put32(i, 0x45000000 | (uint32_t)g->ecn << 16 | (20 + n));
		i[6] = 0x40;
		i[8] = 64;
		i[9] = 6;
		wire_put32(i + 12, PEER4);
		wire_put32(i + 16, US4);
		wire_put16(i + 10, (uint16_t)~checksum_fold(checksum_add(0, i, 20)));
	}
	wire_put16(t, ports[g->k]);
	wire_put16(t + 2, PORT);
	wire_put32(t + 4, g->seq);
	wire_put32(t + 8, g->ack);
	t[12] = (uint8_t)(header / 4 << 4);
	t[13] = g->flags;
	wire_put16(t + 14, g->wnd);
	wire_put16(t + 16, 0);
	wire_put16(t + 18, g->urgent);
	for (uint32_t b = 0; b < g->len; b++)
		t[header + b] = (uint8_t)((g->seq + b) * 31 >> 3);
	uint64_t sum = checksum_add(checksum_pseudo(&src, &dst, 6, n), t, n);
	wire_put16(t + 16, (uint16_t)(~checksum_fold(sum) + g->bad_sum));
	memset(t + n, 0xee, g->pad);
	return l2 + ip + n + g->pad;
}

/* In one buffer, or in up to four, with the headers in the first. */
static struct rte_mbuf *buffers_of(const uint8_t *frame, uint32_t n, const struct seg *g, unsigned pieces)
{
	struct rte_mbuf *first = NULL;
	uint32_t at = 0, headers = n - g->len - g->pad;

	for (unsigned i = 0; i < pieces; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool);
		uint32_t part = i + 1 == pieces ? n - at : (n - headers) / pieces + (i ? 0 : headers);
		MUST(m);
		memcpy(rte_pktmbuf_append(m, (uint16_t)part), frame + at, part);
		at += part;
		if (first)
			rte_pktmbuf_chain(first, m);
		else
			first = m;
	}
	if (how.sums_by_port)
		first->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD |
				   (g->bad_sum ? RTE_MBUF_F_RX_L4_CKSUM_BAD : RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	return first;
}

static void input(const struct seg *segs, unsigned n)
{
	static uint8_t frame[4096];
	struct rte_mbuf *in[2][BURST_MAX];

	for (unsigned i = 0; i < n; i++) {
		uint32_t bytes = frame_make(frame, &segs[i]);
		unsigned pieces = unit_random_below(4) ? 1 : 1 + unit_random_below(4);
		in[0][i] = buffers_of(frame, bytes, &segs[i], pieces);
		in[1][i] = buffers_of(frame, bytes, &segs[i], how.scatter_one ? 1 : pieces);
	}
	for (unsigned i = 0; i < 2; i++) {
		poison_around(in[i], n);
		stack_input(nodes[i].stack, in[i], n, now_us);
	}
}

static bool same_region(const void *from, const void *to, unsigned k)
{
	const struct tcp_conn *a = nodes[0].conns[k], *b = nodes[1].conns[k];
	size_t at = (size_t)((const uint8_t *)from - (const uint8_t *)a);

	return !memcmp(from, (const uint8_t *)b + at, (size_t)((const uint8_t *)to - (const uint8_t *)from));
}

static void compare_conn(unsigned k)
{
	const struct tcp_conn *a = nodes[0].conns[k], *b = nodes[1].conns[k];

	CU_ASSERT_EQUAL_FATAL(a == NULL, b == NULL);
	if (!a)
		return;
	CU_ASSERT_FATAL(same_region(&a->state, &a->spare, k));
	CU_ASSERT_FATAL(same_region(&a->rcv_nxt, &a->rx, k));
	CU_ASSERT_FATAL(same_region(&a->snd_una, &a->segments, k));
	struct tcp_conn_info x = tcp_conn_info(a), y = tcp_conn_info(b);
	CU_ASSERT_EQUAL(x.ssthresh_bytes, y.ssthresh_bytes);
	CU_ASSERT_EQUAL(x.rttvar_us, y.rttvar_us);
	CU_ASSERT_EQUAL(x.min_rtt_us, y.min_rtt_us);
	CU_ASSERT_EQUAL(x.reorder_us, y.reorder_us);
	CU_ASSERT_EQUAL(x.rx_queued_bytes, y.rx_queued_bytes);
	CU_ASSERT_EQUAL(x.delivered_bytes, y.delivered_bytes);
	CU_ASSERT_EQUAL(x.segments_in, y.segments_in);
	CU_ASSERT_EQUAL(x.segments_out, y.segments_out);
	CU_ASSERT_EQUAL(x.rx_buffers, y.rx_buffers);
	CU_ASSERT_EQUAL(a->rto_at_us, b->rto_at_us);
	CU_ASSERT_EQUAL(a->progress_us, b->progress_us);
}

static void compare(void)
{
	CU_ASSERT_EQUAL_FATAL(nodes[0].log_n, nodes[1].log_n);
	CU_ASSERT_FATAL(!memcmp(nodes[0].log, nodes[1].log, nodes[0].log_n));
	nodes[0].log_n = nodes[1].log_n = 0;
	if (how.scatter_one)
		return;
	for (unsigned i = 0; i < STACK_COUNTERS; i++)
		if (i != STACK_COUNTER_tcp_predicted)
			CU_ASSERT_EQUAL_FATAL(
				stack_counter(nodes[0].stack, i), stack_counter(nodes[1].stack, i));
	for (unsigned k = 0; k < CONNS; k++)
		compare_conn(k);
}

static void turn_end(void)
{
	for (unsigned i = 0; i < 2; i++) {
		stack_output(nodes[i].stack, now_us);
		stack_timers(nodes[i].stack, now_us, UINT32_MAX);
	}
	compare();
}

static void open_conn(unsigned k)
{
	struct seg g = {.k = k,
		.seq = (uint32_t)unit_random(),
		.flags = TCP_SYN | (k % 3 == 0 ? TCP_ECE | TCP_CWR : 0),
		.wnd = 60000,
		.syn_options = true,
		.ts_val = (uint32_t)(now_us / 1000)};

	ports[k] = (uint16_t)(1024 + port_next++ % 60000);
	input(&g, 1);
	turn_end();
	g.ack = nodes[1].last_seq + 1;
	g.seq++;
	g.flags = TCP_ACK;
	g.wnd = 1000;
	g.syn_options = false;
	input(&g, 1);
	turn_end();
	CU_ASSERT_PTR_NOT_NULL_FATAL(nodes[1].conns[k]);
}

/* Something that is not what is expected. */
static void spoil(struct seg *g, const struct tcp_conn *c)
{
	switch (unit_random_below(20)) {
	case 0:
		g->seq += 1 + unit_random_below(5000); /* a gap */
		break;
	case 1:
		g->seq -= unit_random_below(3000); /* some of it is old */
		break;
	case 2:
		g->seq += c->rcv_adv - c->rcv_nxt - unit_random_below(2000); /* at the window's edge */
		break;
	case 3:
		g->ack = c->snd_una - unit_random_below(3000);
		break;
	case 4:
		g->ack = c->snd_nxt + 1 + unit_random_below(1000);
		break;
	case 5:
		g->ack = c->snd_una;
		g->len = 0;
		break;
	case 6:
		g->ts_val -= 1 + unit_random_below(10000);
		break;
	case 7:
		g->no_timestamp = true;
		break;
	case 8:
		g->odd_options = true;
		break;
	case 9:
		g->sack = true;
		break;
	case 10:
		g->bad_sum = true;
		break;
	case 11:
		g->flags |= TCP_URG;
		g->urgent = (uint16_t)unit_random_below(2000);
		break;
	case 12:
		g->flags |= unit_random_below(2) ? TCP_ECE : TCP_CWR;
		break;
	case 13:
		g->ecn = IP_ECN_CE;
		break;
	case 14:
		g->wnd = (uint16_t)(unit_random_below(3) ? unit_random_below(2000) : 0);
		break;
	case 15:
		g->flags &= (uint8_t)~TCP_ACK;
		break;
	case 16:
		g->pad = (uint8_t)unit_random_below(20);
		break;
	case 17:
		g->seq -= 1; /* a keepalive */
		g->len = 0;
		break;
	case 18:
		if (unit_random_below(20) == 0)
			g->flags |= TCP_FIN;
		break;
	default:
		if (unit_random_below(20) == 0)
			g->flags |= unit_random_below(2) ? TCP_RST : TCP_SYN;
	}
}

static uint32_t text_length(void)
{
	static const uint32_t usual[] = {1, 65, 65, 536, TEXT_MAX, TEXT_MAX};

	return unit_random_below(4) ? usual[unit_random_below(6)] : 1 + unit_random_below(TEXT_MAX);
}

static void burst(unsigned odd_one_in)
{
	struct seg segs[BURST_MAX];
	uint32_t next[CONNS], una[CONNS];
	unsigned n = 1 + unit_random_below(BURST_MAX), one = unit_random_below(CONNS), used = 0;
	bool mixed = unit_random_below(2);

	for (unsigned k = 0; k < CONNS; k++) {
		if (!nodes[1].conns[k])
			open_conn(k);
		next[k] = nodes[1].conns[k] ? nodes[1].conns[k]->rcv_nxt : 0;
		una[k] = nodes[1].conns[k] ? nodes[1].conns[k]->snd_una : 0;
	}
	for (unsigned i = 0; i < n; i++) {
		unsigned k = mixed ? unit_random_below(CONNS) : one;
		const struct tcp_conn *c = nodes[1].conns[k];
		if (!c)
			continue;
		if (unit_random_below(2))
			una[k] += unit_random_below(c->snd_nxt - una[k] + 1);
		else if (unit_random_below(2))
			una[k] = c->snd_nxt;
		struct seg *g = &segs[used++];
		*g = (struct seg){.k = k,
			.seq = next[k],
			.ack = una[k],
			.len = unit_random_below(5) ? text_length() : 0,
			.flags = TCP_ACK | (unit_random_below(2) ? TCP_PSH : 0),
			.wnd = 1000,
			.ts_val = (uint32_t)(now_us / 1000),
			.ts_ecr = tcp_timestamp(c) - unit_random_below(3)};
		if (odd_one_in && unit_random_below(odd_one_in) == 0)
			spoil(g, c);
		else
			next[k] += g->len;
	}
	input(segs, used);
	compare();
}

static void application_writes(void)
{
	unsigned k = unit_random_below(CONNS);
	uint32_t n = unit_random_below(3) ? 1 + unit_random_below(200)
					  : 1 + unit_random_below(sizeof(data_out));

	for (unsigned i = 0; i < 2; i++) {
		if (!nodes[i].conns[k])
			continue;
		int error = tcp_conn_write(nodes[i].conns[k], data_out, n);
		note(&nodes[i], &error, sizeof(error));
	}
}

static void run_steps(unsigned odd_one_in)
{
	if (!rx_pool) {
		rx_pool = unit_pool("rx", 8191, ROOM);
		for (unsigned i = 0; i < 2; i++) {
			nodes[i].pool = unit_pool(i ? "tx1" : "tx0", 2047, ROOM);
			nodes[i].log = malloc(LOG_BYTES);
		}
	}
	now_us = 1000000;
	node_start(&nodes[0], false);
	node_start(&nodes[1], !how.scatter_one);
	for (unsigned step = 0; step < STEPS; step++) {
		burst(odd_one_in);
		for (unsigned w = unit_random_below(3); w > 0; w--)
			application_writes();
		turn_end();
		now_us += unit_random_below(3) ? unit_random_below(1000) : unit_random_below(100000);
		if (unit_random_below(200) == 0)
			now_us += unit_random_below(20000000);
		turn_end();
	}
	uint64_t in = stack_counter(nodes[0].stack, STACK_COUNTER_tcp_segments_in);
	uint64_t predicted = stack_counter(nodes[0].stack, STACK_COUNTER_tcp_predicted);
	printf("# %llu segments, %llu predicted\n", (unsigned long long)in, (unsigned long long)predicted);
	/* What is odd goes on to be so for a while: what comes behind a gap is not expected. */
	CU_ASSERT(predicted > (odd_one_in ? in / 20 : how.few_buffers ? in / 4 : in * 6 / 10));
	uint64_t other = stack_counter(nodes[1].stack, STACK_COUNTER_tcp_predicted);
	CU_ASSERT(how.scatter_one ? other >= predicted : other == 0);
	for (unsigned i = 0; i < 2; i++) {
		stack_destroy(nodes[i].stack);
		CU_ASSERT(unit_pool_full(nodes[i].pool));
	}
	CU_ASSERT(unit_pool_full(rx_pool));
}

static void in_all_ways(void)
{
	run_steps(0);
	run_steps(200);
	run_steps(10);
}

static void sums_by_hand(void)
{
	in_all_ways();
}

static void sums_by_the_port(void)
{
	how.sums_by_port = true;
	in_all_ways();
	how.sums_by_port = false;
}

static void behind_a_tag(void)
{
	how.vlan = true;
	in_all_ways();
	how.vlan = false;
}

static void with_few_buffers(void)
{
	how.few_buffers = true;
	in_all_ways();
	how.few_buffers = false;
}

/* One stack gets its segments in pieces, the other whole: what they send and what is read is the same. */
static void in_pieces_or_whole(void)
{
	how.scatter_one = true;
	in_all_ways();
	how.scatter_one = false;
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"sums_by_hand", sums_by_hand}, {"sums_by_the_port", sums_by_the_port},
			{"behind_a_tag", behind_a_tag}, {"with_few_buffers", with_few_buffers},
			{"in_pieces_or_whole", in_pieces_or_whole}, {0}});
}
