/* SPDX-License-Identifier: Apache-2.0 */
/* A stack with an echo service in virtual time, and peers that send anything. The input is a list of steps:
 * an octet that chooses one and the octets it takes. Most segments are nearly right, aimed at what the stack
 * said last, since a random one would not come past the sequence number. What lies around a frame's data, and
 * what is in no use, is poisoned. */
#include <rte_eal.h>
#include <string.h>

#include "tcpstack/checksum.h"
#include "tcpstack/tcp_impl.h"
#include "tests/fuzz/fuzz.h"
#include "tests/script/segment.h"
#include "tests/unit/poison.h"

enum { PORTS = 4, CONNS_MAX = 6, FRAMES_MAX = 400, RX_MBUFS = 1024, TX_MBUFS = 128, ROOM = 2048 };

static struct rte_mempool *tx_pool, *rx_pool;
static struct rte_mbuf *hoard[TX_MBUFS];
static unsigned hoarded;
static struct stack *stack;
static uint64_t now_us, frames_in, frames_out;
static struct segment_base base[PORTS];
static struct segment said[PORTS]; /* the last that a peer heard */
static struct rte_mbuf *burst[STACK_BURST];
static unsigned burst_count;

/* What is left of the input; zeros behind its end. */
static const uint8_t *at, *end;

static uint8_t take(void)
{
	return at < end ? *at++ : 0;
}

static uint16_t take16(void)
{
	uint16_t high = take();

	return (uint16_t)(high << 8 | take());
}

/* Everything that leaves is well formed. */
static void tx(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = frames_take[i];
		const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
		const char *broken = NULL;
		struct segment g;
		FUZZ_MUST(m->pkt_len >= 42 && m->pkt_len <= ETH_HEADER_BYTES + stack->config.mtu);
		unsigned port = m->data_len >= 54 ? wire_get16(p + 36) - PEER_PORT : PORTS;
		if (wire_get16(p + 12) == ETH_TYPE_IPV4 && p[23] == IP_PROTOCOL_TCP && port < PORTS) {
			FUZZ_MUST(segment_from_frame(&g, &base[port], p, m->pkt_len, &broken));
			/* Peers begin anywhere in the stream that the bytes are made from, and may lie in
			 * their ARP packets. */
			FUZZ_MUST(!broken || !strcmp(broken, "a payload byte") ||
				  !strcmp(broken, "Ethernet addresses"));
			said[port] = g;
		}
		frames_out++;
		rte_pktmbuf_free(m);
	}
}

static void echo(struct tcp_conn *c)
{
	static uint8_t block[4096];
	uint32_t n = min_u32(tcp_conn_rx(c)->bytes, tcp_conn_tx_room(c));

	n = min_u32(n, sizeof(block));
	chain_copy(tcp_conn_rx(c), 0, block, n);
	if (n && tcp_conn_write(c, block, n) == 0)
		tcp_conn_rx_consume(c, n);
}

static void on_connected(struct tcp_conn *c, int error)
{
	if (!error)
		tcp_conn_write(c, "hello", 5);
}

static void on_peer_closed(struct tcp_conn *c)
{
	echo(c);
	tcp_conn_shutdown(c);
}

static const struct tcp_app app = {
	.connected = on_connected, .readable = echo, .writable = echo, .peer_closed = on_peer_closed};

static void burst_input(void)
{
	frames_in += burst_count;
	poison_around(burst, burst_count);
	stack_input(stack, burst, burst_count, now_us);
	burst_count = 0;
}

/* One frame, in up to three buffers. */
static void frame_input(const uint8_t *frame, uint32_t n)
{
	uint8_t how = take();
	uint32_t cut[3] = {n, n, n};
	struct rte_mbuf *first = NULL;

	if (how & 1)
		cut[0] = min_u32(n, 34 + how % 64u);
	if (how & 2)
		cut[1] = cut[0] + (n - cut[0]) / 2;
	for (uint32_t i = 0, from = 0; i < 3 && (i == 0 || from < n); from = cut[i++]) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool);
		if (!m)
			break;
		m->data_off = (uint16_t)(m->data_off + (how >> 6));
		memcpy(rte_pktmbuf_append(m, (uint16_t)(cut[i] - from)), frame + from, cut[i] - from);
		if (first)
			rte_pktmbuf_chain(first, m);
		else
			first = m;
	}
	if (!first)
		return;
	if (how & 32)
		first->ol_flags |= (uint64_t)take() << 3;
	if ((how & 4) && burst_count < STACK_BURST - 1) {
		burst[burst_count++] = first;
		return;
	}
	if (burst_count)
		burst_input();
	frames_in++;
	poison_around(&first, 1);
	stack_input(stack, &first, 1, now_us);
}

static int64_t near(int64_t n)
{
	static const int edge[16] = {0, 0, 0, 0, 0, 0, 1, -1, 100, -100, 8000, 7999, 8001, -1400, 1 << 20};
	uint8_t which = take();

	if (which < 240)
		return n + edge[which & 15];
	return which == 255 ? n + (int64_t)take16() * 65537 : n + (int8_t)take();
}

static void options_take(struct segment *g)
{
	uint8_t kind = take();

	if (kind & 1) { /* what peers agree on */
		memcpy(g->options, (uint8_t[]){2, 4, 5, 180, 1, 1, 8, 10}, 8);
		wire_put16(g->options + 2, take16());
		wire_put32(g->options + 8, take16());
		wire_put32(g->options + 12, base[g->peer_port - PEER_PORT].last_ts);
		memcpy(g->options + 16, (uint8_t[]){1, 3, 3, take()}, 4);
		g->options_n = 20;
	} else if (kind & 2) {
		memcpy(g->options, (uint8_t[]){1, 1, 8, 10}, 4);
		wire_put32(g->options + 4, take16());
		wire_put32(g->options + 8, base[g->peer_port - PEER_PORT].last_ts);
		g->options_n = 12;
	} else if (kind & 4) {
		g->options_n = kind >> 4 << 2;
		g->options_n = min_u32(g->options_n, 40);
		for (uint32_t i = 0; i < g->options_n; i++)
			g->options[i] = take();
	}
}

/* Makes the checksums right again, of the packet that the header speaks of. */
static void checksums_fix(uint8_t *frame, uint32_t n)
{
	uint8_t *ip = frame + ETH_HEADER_BYTES, *tcp;
	uint32_t header = (ip[0] & 15u) * 4, total = wire_get16(ip + 2);

	if (total > n - ETH_HEADER_BYTES || total < header + TCP_HEADER_BYTES)
		return;
	wire_put16(ip + 10, 0);
	wire_put16(ip + 10, (uint16_t)~checksum_fold(checksum_add(0, ip, header)));
	tcp = ip + header;
	struct ip_addr src = ip_v4(wire_get32(ip + 12)), dst = ip_v4(wire_get32(ip + 16));
	uint64_t sum = checksum_pseudo(&src, &dst, IP_PROTOCOL_TCP, total - header);
	wire_put16(tcp + 16, 0);
	wire_put16(tcp + 16, (uint16_t)~checksum_fold(checksum_add(sum, tcp, total - header)));
}

static void segment_input(void)
{
	static const uint8_t likely[16] = {2, 16, 16, 16, 16, 24, 24, 17, 25, 4, 20, 18, 16, 2, 48, 1};
	static uint8_t frame[FRAME_BYTES_MAX];
	uint8_t what = take(), odd = take();
	unsigned port = what & (PORTS - 1);
	struct segment g = {
		.flags = odd & 128 ? take() & 63 : likely[what >> 4],
		.seq = near(said[port].ack),
		.ack = near(said[port].seq + said[port].len + ((said[port].flags & 3) != 0)),
		.has_ack = true,
		.peer_port = (uint16_t)(PEER_PORT + port),
		.stack_port = said[port].stack_port ? said[port].stack_port : STACK_PORT,
		.win = odd & 1 ? take16() : 65535,
		.len = odd & 2 ? take16() % 1401 : 0,
		.urg = odd & 4 ? take() : 0,
		.doff = odd & 64 ? take() & 15 : -1,
		.below = {.has_iplen = odd & 32, .iplen = odd & 32 ? take() : 0},
	};

	if (odd & 8)
		options_take(&g);
	if (g.flags == TCP_SYN)
		g.stack_port = STACK_PORT;
	uint32_t n = segment_to_frame(&g, &base[port], frame);
	if (odd & 16) {
		frame[ETH_HEADER_BYTES + take() % 60] ^= take();
		checksums_fix(frame, n);
	}
	frame_input(frame, n);
}

static void raw_input(void)
{
	uint8_t frame[128];
	uint32_t n = take() & 127;

	for (uint32_t i = 0; i < n; i++)
		frame[i] = take();
	if (n >= 14 && (n & 1))
		memcpy(frame, stack_mac, 6);
	frame_input(frame, n);
}

static void tell_address(void)
{
	uint8_t arp[60] = {0};

	memcpy(arp, stack_mac, 6);
	memcpy(arp + 6, peer_mac, 6);
	memcpy(arp + 12, (uint8_t[]){8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, 10);
	memcpy(arp + 22, peer_mac, 6);
	wire_put32(arp + 28, PEER_ADDR);
	wire_put32(arp + 38, STACK_ADDR);
	frame_input(arp, sizeof(arp));
}

/* What a connection says of itself adds up. */
static void conn_check(void *ctx, struct tcp_conn *c)
{
	uint32_t tx_bytes = 0, in_flight = 0, lost = 0, n = 0, seq = c->snd_una;
	bool unsent = false;
	struct tcp_segment *g;

	if (c->state == TCP_CLOSED)
		return;
	cds_list_for_each_entry (g, &c->segments, link) {
		FUZZ_MUST(g->seq == seq);
		FUZZ_MUST(!unsent || !g->sent);
		FUZZ_MUST(g->sent || unsent || g == c->unsent);
		unsent = !g->sent;
		seq = tcp_segment_end(g);
		tx_bytes += g->len;
		in_flight += g->sent && !g->lost && !g->sacked ? g->len : 0;
		lost += g->lost;
		n++;
	}
	FUZZ_MUST(tx_bytes == c->tx_bytes && in_flight == c->in_flight && lost == c->lost_count);
	FUZZ_MUST(n == c->tx_segments && c->dup_bytes <= c->in_flight && !unsent == !c->unsent);
	FUZZ_MUST(seq_leq(c->snd_una, c->snd_nxt) && seq_leq(c->snd_nxt, c->tx_end));
	FUZZ_MUST(c->fin_received || seq_leq(c->rcv_nxt, c->rcv_adv));
	FUZZ_MUST(c->rx.bytes + c->reass.bytes <= stack->config.rx_buffer_bytes + (1u << c->rcv_wscale));
	/* Nothing waits without a timer, once everything that can be sent was. */
	FUZZ_MUST(list_empty(&c->segments) || timer_armed(&c->rexmt) || timer_armed(&c->hold));
	FUZZ_MUST(list_empty(&c->output_link) && !(c->ack_now && list_empty(&c->starved_link)));
}

static void turn(void)
{
	if (burst_count)
		burst_input();
	stack_output(stack, now_us);
	stack_timers(stack, now_us, 100);
	stack_output(stack, now_us);
	tcp_conn_each(stack, conn_check, NULL);
	struct stack_usage u = stack_usage(stack);
	FUZZ_MUST(u.conns <= CONNS_MAX && u.half_open <= stack->config.syn_backlog_max);
	FUZZ_MUST(u.time_wait <= stack->config.time_wait_max);
	FUZZ_MUST(stack_counter(stack, STACK_COUNTER_rx_frames) == frames_in);
	FUZZ_MUST(stack_counter(stack, STACK_COUNTER_tx_frames) == frames_out);
	FUZZ_MUST(stack_counter(stack, STACK_COUNTER_tcp_accepted) <=
		  stack_counter(stack, STACK_COUNTER_tcp_syn_in));
}

struct act {
	uint8_t which;
	struct tcp_conn *conn;
	unsigned left;
};

static void find_conn(void *ctx, struct tcp_conn *c)
{
	struct act *act = ctx;

	if (c->app && act->left-- == 0)
		act->conn = c;
}

static void application_acts(void)
{
	struct act act = {.which = take()};

	act.left = act.which >> 4 & 7;
	tcp_conn_each(stack, find_conn, &act);
	if (!act.conn)
		return;
	switch (act.which & 7) {
	case 0:
		tcp_conn_close(act.conn);
		break;
	case 1:
		tcp_conn_abort(act.conn);
		break;
	case 2:
		tcp_conn_shutdown(act.conn);
		break;
	case 3:
		tcp_conn_rx_consume(act.conn, tcp_conn_rx(act.conn)->bytes);
		break;
	case 4:
	case 5: {
		static const uint8_t block[9000];
		tcp_conn_write(act.conn, block, take16() % sizeof(block));
		break;
	}
	default:
		echo(act.conn);
	}
}

static void connect_out(void)
{
	unsigned port = take() & (PORTS - 1);
	struct ip_addr peer = ip_v4(PEER_ADDR);
	struct tcp_conn *c = tcp_connect(
		stack, &peer, (uint16_t)(PEER_PORT + port), NULL, &app, NULL, now_us);

	if (c)
		said[port].stack_port = tcp_conn_local_port(c);
}

static void step(void)
{
	uint8_t which = take();

	switch (which & 15) {
	case 0:
		turn();
		now_us += (uint64_t)take() << (which >> 4);
		break;
	case 1:
		turn();
		now_us += (uint64_t)take() << (10 + (which >> 4));
		turn();
		break;
	case 2:
		raw_input();
		break;
	case 3:
		application_acts();
		break;
	case 4:
		connect_out();
		break;
	case 5:
		while (hoarded < TX_MBUFS && (hoard[hoarded] = rte_pktmbuf_alloc(tx_pool)))
			hoarded++;
		break;
	case 6:
		rte_pktmbuf_free_bulk(hoard, hoarded);
		hoarded = 0;
		break;
	case 7:
		tell_address();
		break;
	default:
		segment_input();
		if (which & 16)
			turn();
	}
}

static void begin(void)
{
	struct stack_config c;
	uint8_t how = take();

	stack_config_defaults(&c);
	memcpy(c.mac, stack_mac, 6);
	stack_config_add(&c, ip_v4(STACK_ADDR), 24);
	c.tx_pool = tx_pool;
	c.key = (struct siphash_key){how, 2};
	c.tx = tx;
	c.conn_max = CONNS_MAX;
	c.syn_backlog_max = 2;
	c.time_wait_max = 2;
	c.arp_max = 2;
	c.reass_segments_max = 16;
	c.reass_conn_segments_max = 12;
	c.rx_buffer_bytes = how & 1 ? 200000 : 8000;
	c.rx_buffers_max = how & 1 ? 40 : 0;
	c.ecn = how & 2 ? STACK_ECN_ON : STACK_ECN_ACCEPT;
	c.tx_buffer_bytes = 8000;
	c.delayed_ack_us = how & 2 ? 40000 : 0;
	c.offload_flags = how & 4 ? STACK_OFFLOAD_RX_CKSUM | STACK_OFFLOAD_MULTI_SEG : 0;
	c.keepalive_us = how & 8 ? 3000000 : 0;
	c.keepalive_interval_us = 1000000;
	c.keepalive_probes = 2;
	now_us = how & 16 ? UINT32_MAX * 1000ull - 500000 : 1000000;
	for (unsigned i = 0; i < PORTS; i++) {
		base[i] = (struct segment_base){.peer_isn = how & 32 ? UINT32_MAX - 200 : 1000};
		said[i] = (struct segment){0};
	}
	frames_in = frames_out = 0;
	stack = stack_create(&c, now_us);
	FUZZ_MUST(stack && tcp_listen(stack, NULL, STACK_PORT, NULL, &app, NULL, NULL) == 0);
	if (!(how & 64))
		tell_address();
}

static void let_go(void *ctx, struct tcp_conn *c)
{
	struct tcp_conn **one = ctx;

	if (c->app)
		*one = c;
}

/* With its applications gone a stack comes to rest by itself. */
static void come_to_rest(void)
{
	struct tcp_conn *one;

	rte_pktmbuf_free_bulk(hoard, hoarded);
	hoarded = 0;
	do {
		one = NULL;
		tcp_conn_each(stack, let_go, &one);
		if (one)
			tcp_conn_close(one);
	} while (one);
	for (unsigned i = 0; i < 20000 && stack_next_us(stack) != UINT64_MAX; i++) {
		now_us = max_u64(now_us + 1, stack_next_us(stack));
		turn();
	}
	FUZZ_MUST(stack_next_us(stack) == UINT64_MAX);
	FUZZ_MUST(stack_usage(stack).conns == 0 && stack_usage(stack).tx_segments == 0);
	FUZZ_MUST(stack_usage(stack).reass_segments == 0 && stack_usage(stack).half_open == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char *args[] = {"fuzz", "--no-huge", "-m", "64", "--no-pci", "--no-shconf", "--iova-mode=va",
		"--no-telemetry", "--log-level=*:error", "-l", "0", NULL};

	FUZZ_MUST(rte_eal_init(11, args) >= 0);
	tx_pool = poison_pool_create("tx", TX_MBUFS, RTE_PKTMBUF_HEADROOM + ROOM);
	rx_pool = poison_pool_create("rx", RX_MBUFS, RTE_PKTMBUF_HEADROOM + ROOM);
	FUZZ_MUST(tx_pool && rx_pool);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	at = data;
	end = data + size;
	begin();
	for (unsigned i = 0; i < FRAMES_MAX && at < end; i++)
		step();
	turn();
	if (size & 1)
		come_to_rest();
	rte_pktmbuf_free_bulk(hoard, hoarded);
	hoarded = 0;
	stack_destroy(stack);
	FUZZ_MUST(rte_mempool_avail_count(tx_pool) == TX_MBUFS);
	FUZZ_MUST(rte_mempool_avail_count(rx_pool) == RX_MBUFS);
	return 0;
}
