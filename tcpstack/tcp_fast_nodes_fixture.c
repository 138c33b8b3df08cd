/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/tcp_fast_fixture.h"

enum { LOG_BYTES = 4 << 20 };

struct tf_node tf_nodes[2];
struct tf_how tf_how;
uint64_t tf_now_us;
uint16_t tf_ports[TF_CONNS];
const uint8_t tf_our_mac[6] = {2, 0, 0, 0, 0, 1}, tf_peer_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t data_out[20000];

bool tf_over_ipv6(unsigned k)
{
	return k % 3 == 2;
}

bool tf_timestamps_on(unsigned k)
{
	return k % 2 == 0;
}

static void note(struct tf_node *n, const void *bytes, uint32_t count)
{
	CU_ASSERT_FATAL(n->log_n + count <= LOG_BYTES);
	memcpy(n->log + n->log_n, bytes, count);
	n->log_n += count;
}

static void note_event(struct tf_node *n, char what, unsigned k)
{
	note(n, (uint8_t[]){'#', (uint8_t)what, (uint8_t)k}, 3);
}

static void tx(void *ctx, struct rte_mbuf **frames, unsigned count)
{
	struct tf_node *n = ctx;

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

static uint32_t application_random(struct tf_node *n, uint32_t below)
{
	n->random = n->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(n->random >> 33) % below;
}

static struct tf_node *node_of(const struct tcp_conn *c)
{
	return tcp_conn_stack(c) == tf_nodes[0].stack ? &tf_nodes[0] : &tf_nodes[1];
}

static unsigned index_of(const struct tcp_conn *c)
{
	for (unsigned k = 0; k < TF_CONNS; k++)
		if (tf_ports[k] == tcp_conn_peer_port(c))
			return k;
	return TF_CONNS;
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	unsigned k = index_of(c);

	CU_ASSERT_FATAL(k < TF_CONNS);
	node_of(c)->conns[k] = c;
	note_event(node_of(c), 'a', k);
}

static void on_readable(struct tcp_conn *c)
{
	static uint8_t bytes[1 << 20];
	struct tf_node *n = node_of(c);
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
	if (k < TF_CONNS && node_of(c)->conns[k] == c)
		node_of(c)->conns[k] = NULL;
}

static const struct tcp_app app = {.accepted = on_accepted,
	.readable = on_readable,
	.writable = on_writable,
	.urgent = on_urgent,
	.peer_closed = on_peer_closed,
	.closed = on_closed};

struct ip_addr tf_address(bool v6, unsigned host)
{
	struct ip_addr a = {.bytes = {0xfd, [15] = (uint8_t)host}};

	return v6 ? a : ip_v4(0x0a000000 + host);
}

void tf_tell_peer(void)
{
	for (unsigned i = 0; i < 4; i++) {
		struct ip_addr peer = tf_address(i / 2, 2);
		stack_neighbour_learn(tf_nodes[i % 2].stack, &peer, tf_peer_mac, tf_now_us);
	}
}

static void node_start(struct tf_node *n, bool long_way)
{
	struct stack_config c;

	stack_config_defaults(&c);
	memcpy(c.mac, tf_our_mac, 6);
	stack_config_add(&c, tf_address(false, 1), 24);
	stack_config_add(&c, tf_address(true, 1), 64);
	c.dad_transmits = 0;
	c.router_discovery = c.mld = false;
	c.vlan = tf_how.vlan ? 7 : 0;
	if (tf_how.sums_by_port)
		c.offload_flags = STACK_OFFLOAD_RX_CKSUM | STACK_OFFLOAD_TX_IPV4_CKSUM |
				  STACK_OFFLOAD_TX_TCP_CKSUM;
	c.rx_buffers_max = tf_how.few_buffers ? 48 : 0;
	c.rx_buffer_bytes = tf_how.few_buffers ? 65536 : 262144;
	c.tx_pool = n->pool;
	c.key = (struct siphash_key){1, 2};
	c.ecn = STACK_ECN_ACCEPT;
	c.keepalive_us = 5000000;
	c.rto_us_min = 50000;
	c.arp_lifetime_us = TF_NEIGHBOUR_US;
	c.tx = tx;
	c.tx_ctx = n;
	c.long_way_only = long_way;
	n->stack = stack_create(&c, tf_now_us);
	n->random = 1;
	n->log_n = 0;
	memset(n->conns, 0, sizeof(n->conns));
	CU_ASSERT_PTR_NOT_NULL_FATAL(n->stack);
	CU_ASSERT_EQUAL(tcp_listen(n->stack, NULL, TF_PORT, NULL, &app, NULL, NULL), 0);
}

static bool same_region(const void *from, const void *to, unsigned k)
{
	const struct tcp_conn *a = tf_nodes[0].conns[k], *b = tf_nodes[1].conns[k];
	size_t at = (size_t)((const uint8_t *)from - (const uint8_t *)a);

	return !memcmp(from, (const uint8_t *)b + at, (size_t)((const uint8_t *)to - (const uint8_t *)from));
}

static void compare_conn(unsigned k)
{
	const struct tcp_conn *a = tf_nodes[0].conns[k], *b = tf_nodes[1].conns[k];

	CU_ASSERT_EQUAL_FATAL(a == NULL, b == NULL);
	if (!a)
		return;
	CU_ASSERT_FATAL(same_region(&a->state, &a->spare, k));
	CU_ASSERT_FATAL(same_region(&a->rcv_nxt, &a->rx, k));
	CU_ASSERT_FATAL(same_region(&a->snd_una, &a->unsent, k));
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

void tf_compare(void)
{
	CU_ASSERT_EQUAL_FATAL(tf_nodes[0].log_n, tf_nodes[1].log_n);
	CU_ASSERT_FATAL(!memcmp(tf_nodes[0].log, tf_nodes[1].log, tf_nodes[0].log_n));
	tf_nodes[0].log_n = tf_nodes[1].log_n = 0;
	if (tf_how.scatter_one)
		return;
	for (unsigned i = 0; i < STACK_COUNTERS; i++)
		if (i != STACK_COUNTER_tcp_predicted)
			CU_ASSERT_EQUAL_FATAL(
				stack_counter(tf_nodes[0].stack, i), stack_counter(tf_nodes[1].stack, i));
	for (unsigned k = 0; k < TF_CONNS; k++)
		compare_conn(k);
}

void tf_turn_end(void)
{
	for (unsigned i = 0; i < 2; i++) {
		stack_output(tf_nodes[i].stack, tf_now_us);
		stack_timers(tf_nodes[i].stack, tf_now_us, UINT32_MAX);
	}
	tf_compare();
}

void tf_application_writes(void)
{
	unsigned k = unit_random_below(TF_CONNS);
	uint32_t n = unit_random_below(3) ? 1 + unit_random_below(200)
					  : 1 + unit_random_below(sizeof(data_out));

	for (unsigned i = 0; i < 2; i++) {
		if (!tf_nodes[i].conns[k])
			continue;
		int error = tcp_conn_write(tf_nodes[i].conns[k], data_out, n);
		note(&tf_nodes[i], &error, sizeof(error));
	}
}

void tf_begin(void)
{
	if (!tf_nodes[0].pool) {
		tf_frames_begin();
		for (unsigned i = 0; i < 2; i++) {
			tf_nodes[i].pool = unit_pool(i ? "tx1" : "tx0", 2047, TF_ROOM);
			tf_nodes[i].log = malloc(LOG_BYTES);
		}
	}
	tf_now_us = 1000000;
	node_start(&tf_nodes[0], false);
	node_start(&tf_nodes[1], !tf_how.scatter_one);
	tf_tell_peer();
}

void tf_end(void)
{
	for (unsigned i = 0; i < 2; i++) {
		stack_destroy(tf_nodes[i].stack);
		CU_ASSERT(unit_pool_full(tf_nodes[i].pool));
	}
	CU_ASSERT(tf_frames_all_back());
}
