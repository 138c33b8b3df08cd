/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/bypass.h"

#include "runtime/check.h"
#include "runtime/wire.h"

#include <stdlib.h>
#include <urcu/compiler.h>
#include <urcu/list.h>

enum {
	BYPASS_LISTENERS = 16,
	BYPASS_RX_BURSTS = 8, /* bursts taken a turn, so that one port cannot hold the core */
	BYPASS_TIMER_BUDGET = 64,
	/* A stack that sends a whole window at once may be ahead of the port; beyond this its frames are
	 * dropped, as a switch would, and TCP slows down. */
	BYPASS_TX_QUEUE = 2048,
	BYPASS_SLEEP_US_NO_FD = 50,
};

struct bypass_conn {
	struct transport_conn conn;
	struct bypass *b;
	struct tcp_conn *tcp;
	struct cds_list_head link;
	bool ending; /* its last callback runs, and frees it afterwards */
};

struct bypass {
	struct turn_source source;
	struct bypass_config config;
	struct bypass_stats stats;
	struct stack *stack;
	struct pool *conn_pool;
	struct cds_list_head conns;
	struct tcp_listener *listeners[BYPASS_LISTENERS];
	unsigned listener_count;
	bool armed;	 /* port_rx_arm was called for a sleep */
	bool port_waits; /* frames wait inside the port, which wakes nobody when it has room */
	struct rte_mbuf *early[PORT_BURST]; /* received while a sleep was prepared; for the next poll */
	unsigned early_count;
	struct rte_mbuf *txq[BYPASS_TX_QUEUE];
	unsigned tx_at, tx_count; /* txq[tx_at..tx_at + tx_count - 1], not wrapped */
	struct capture *capture;  /* NULL: nobody wants copies */
	uint64_t rx_ticks;	  /* when this turn's first frames came; 0: none did */
	bool sent;		  /* this turn */
	struct histogram turnaround;
	struct phase_mark *phase, unseen; /* the latter where nobody looks */
};

static struct bypass_conn *conn_of(struct transport_conn *conn)
{
	return caa_container_of(conn, struct bypass_conn, conn);
}

static void conn_free(struct bypass_conn *c)
{
	cds_list_del(&c->link);
	c->b->stats.conns--;
	c->b->stats.closed++;
	pool_give(c->b->conn_pool, c);
}

static void op_consume(struct transport_conn *conn, uint32_t bytes)
{
	tcp_conn_rx_consume(conn_of(conn)->tcp, bytes);
}

static uint32_t op_tx_room(struct transport_conn *conn)
{
	return tcp_conn_tx_room(conn_of(conn)->tcp);
}

static int op_write(struct transport_conn *conn, const void *data, uint32_t bytes)
{
	struct bypass_conn *c = conn_of(conn);
	enum phase before = phase_enter(c->b->phase, PHASE_TCP_OUT);
	int error = tcp_conn_write(c->tcp, data, bytes);

	phase_leave(c->b->phase, before);
	return error == -EMSGSIZE || error == -ENOTCONN ? -ENOBUFS : error;
}

static void op_shutdown(struct transport_conn *conn)
{
	(void)tcp_conn_shutdown(conn_of(conn)->tcp); /* the errors say that it was shut down before */
}

static void op_abort(struct transport_conn *conn)
{
	struct bypass_conn *c = conn_of(conn);

	if (c->ending)
		return; /* in its last callback: there is nothing left to abort */
	tcp_conn_abort(c->tcp);
	conn_free(c);
}

static uint64_t op_tx_pending(struct transport_conn *conn)
{
	return tcp_conn_info(conn_of(conn)->tcp).tx_queued_bytes;
}

static const struct transport_ops bypass_ops = {
	.kind = TRANSPORT_BYPASS,
	.consume = op_consume,
	.tx_room = op_tx_room,
	.write = op_write,
	.shutdown = op_shutdown,
	.abort = op_abort,
	.tx_pending = op_tx_pending,
};

static struct transport_address address_of(struct ip_addr ip, uint16_t port)
{
	struct transport_address a = {.family = 6, .port = port};

	if (ip_is_v4(&ip)) {
		a.family = 4;
		memcpy(a.bytes, ip.bytes + IP_V4_AT, 4);
	} else {
		memcpy(a.bytes, ip.bytes, sizeof(ip.bytes));
	}
	return a;
}

static bool on_link(const struct stack_config *s, struct ip_addr peer)
{
	for (unsigned i = 0; i < s->address_count; i++)
		if (ip_in_prefix(&peer, &s->addresses[i].address, s->addresses[i].prefix_bits))
			return true;
	return false;
}

static struct bypass_conn *conn_create(struct bypass *b, struct tcp_conn *tcp)
{
	struct bypass_conn *c = pool_take(b->conn_pool);

	if (!c) {
		b->stats.conns_exhausted++;
		return NULL;
	}
	*c = (struct bypass_conn){.b = b, .tcp = tcp};
	c->conn = (struct transport_conn){
		.ops = &bypass_ops,
		.rx = tcp_conn_rx(tcp),
		.local = address_of(tcp_conn_local_addr(tcp), tcp_conn_local_port(tcp)),
		.remote = address_of(tcp_conn_peer_addr(tcp), tcp_conn_peer_port(tcp)),
		.local_link = b->config.local_link && on_link(&b->config.stack, tcp_conn_peer_addr(tcp)),
	};
	tcp_conn_set_user(tcp, c);
	cds_list_add_tail(&c->link, &b->conns);
	b->stats.conns++;
	return c;
}

static void tcp_accepted(void *app, struct tcp_conn *tcp)
{
	struct bypass *b = app;
	struct bypass_conn *c = conn_create(b, tcp);

	if (!c) {
		tcp_conn_abort(tcp);
		return;
	}
	b->stats.accepted++;
	/* The application may have aborted it before it refuses it. */
	pool_handle handle = pool_handle_of(b->conn_pool, c);
	if (b->config.app->accepted(b->config.app_ctx, &c->conn) == 0)
		return;
	b->stats.refused++;
	if (pool_resolve(b->conn_pool, handle))
		op_abort(&c->conn);
}

static void tcp_connected(struct tcp_conn *tcp, int error)
{
	struct bypass_conn *c = tcp_conn_user(tcp);

	c->ending = error != 0;
	c->b->config.app->connected(&c->conn, error);
	if (error)
		conn_free(c);
}

static void tcp_readable(struct tcp_conn *tcp)
{
	struct bypass_conn *c = tcp_conn_user(tcp);

	c->b->config.app->readable(&c->conn);
}

static void tcp_writable(struct tcp_conn *tcp)
{
	struct bypass_conn *c = tcp_conn_user(tcp);

	c->b->config.app->writable(&c->conn);
}

static void tcp_peer_closed(struct tcp_conn *tcp)
{
	struct bypass_conn *c = tcp_conn_user(tcp);

	c->b->config.app->peer_closed(&c->conn);
}

static enum transport_reason reason_of(int reason)
{
	switch (reason) {
	case TCP_REASON_DONE:
		return TRANSPORT_DONE;
	case TCP_REASON_RESET:
	case TCP_REASON_REFUSED:
		return TRANSPORT_RESET;
	case TCP_REASON_TIMED_OUT:
		return TRANSPORT_TIMED_OUT;
	default:
		return TRANSPORT_FAILED;
	}
}

static void tcp_closed(struct tcp_conn *tcp, int reason)
{
	struct bypass_conn *c = tcp_conn_user(tcp);

	c->ending = true;
	c->b->config.app->closed(&c->conn, reason_of(reason));
	conn_free(c);
}

static const struct tcp_app bypass_tcp_app = {
	.accepted = tcp_accepted,
	.connected = tcp_connected,
	.readable = tcp_readable,
	.peer_closed = tcp_peer_closed,
	.writable = tcp_writable,
	.closed = tcp_closed,
};

/* Copies are made before the port owns the frames, and count for those that it took. */
static unsigned to_port(struct bypass *b, struct rte_mbuf **frames, unsigned n)
{
	enum phase before = phase_enter(b->phase, PHASE_TX);

	b->sent = true;
	if (__builtin_expect(b->capture != NULL, 0))
		capture_stage(b->capture, frames, n, CAPTURE_OUT);
	unsigned sent = port_tx(b->config.port, b->config.queue, frames, n);
	if (__builtin_expect(b->capture != NULL, 0))
		capture_commit(b->capture, sent);
	phase_leave(b->phase, before);
	return sent;
}

static void capture_in(struct bypass *b, struct rte_mbuf **frames, unsigned n)
{
	struct rte_mbuf *first[PORT_BURST];
	unsigned count = 0;

	for (unsigned i = 0; i < n; i++)
		if (!port_seen(b->config.port, frames[i]))
			first[count++] = frames[i];
	capture_stage(b->capture, first, count, CAPTURE_IN);
	capture_commit(b->capture, count);
}

static void to_stack(struct bypass *b, struct rte_mbuf **frames, unsigned n, uint64_t now_us)
{
	if (b->rx_ticks == 0)
		b->rx_ticks = turn_ticks();
	if (__builtin_expect(b->capture != NULL, 0))
		capture_in(b, frames, n);
	enum phase before = phase_enter(b->phase, PHASE_TCP_IN);
	stack_input(b->stack, frames, n, now_us);
	phase_leave(b->phase, before);
}

/* The stack's frames in order: behind those that wait already, else straight to the port. */
static void stack_tx(void *ctx, struct rte_mbuf **frames, unsigned n)
{
	struct bypass *b = ctx;
	unsigned sent = b->tx_count ? 0 : to_port(b, frames, n);

	if (sent == n)
		return;
	if (b->tx_at + b->tx_count + (n - sent) > BYPASS_TX_QUEUE) {
		memmove(b->txq, b->txq + b->tx_at, b->tx_count * sizeof(b->txq[0]));
		b->tx_at = 0;
	}
	for (; sent < n && b->tx_at + b->tx_count < BYPASS_TX_QUEUE; sent++) {
		b->txq[b->tx_at + b->tx_count++] = frames[sent];
		b->stats.tx_waited++;
	}
	b->stats.tx_dropped += n - sent;
	rte_pktmbuf_free_bulk(frames + sent, n - sent);
}

static void drain_tx(struct bypass *b)
{
	while (b->tx_count) {
		unsigned n = b->tx_count < PORT_BURST ? b->tx_count : PORT_BURST;
		unsigned sent = to_port(b, b->txq + b->tx_at, n);
		b->tx_at += sent;
		b->tx_count -= sent;
		if (sent < n)
			return;
	}
	b->tx_at = 0;
}

/* A connection's ends as its peer's packets have them. */
static bool stack_owns(void *ctx, const struct ip_addr *peer, uint16_t peer_port, const struct ip_addr *own,
	uint16_t own_port)
{
	struct bypass *b = ctx;
	bool v6 = !ip_is_v4(peer);
	unsigned at = v6 ? 0 : IP_V4_AT, n = v6 ? 16 : 4;
	uint8_t addresses[32], ports[4];

	memcpy(addresses, peer->bytes + at, n);
	memcpy(addresses + n, own->bytes + at, n);
	wire_put16(ports, peer_port);
	wire_put16(ports + 2, own_port);
	return port_owner(b->config.port, v6, addresses, ports) == b->config.queue;
}

static bool stack_hand_over(void *ctx, struct rte_mbuf *frame)
{
	struct bypass *b = ctx;

	return port_hand_over(b->config.port, b->config.queue, frame);
}

static struct bypass *bypass_of(struct turn_source *s)
{
	return caa_container_of(s, struct bypass, source);
}

static void disarm(struct bypass *b)
{
	if (b->armed)
		port_rx_disarm(b->config.port, b->config.queue);
	b->armed = false;
}

static unsigned source_poll(struct turn_source *s, uint64_t now_us)
{
	struct bypass *b = bypass_of(s);
	struct rte_mbuf *frames[PORT_BURST];
	unsigned work = 0;
	enum phase before = phase_enter(b->phase, PHASE_RX);

	disarm(b);
	if (b->early_count) {
		work = b->early_count;
		b->early_count = 0;
		to_stack(b, b->early, work, now_us);
	}
	for (unsigned i = 0; i < BYPASS_RX_BURSTS; i++) {
		unsigned n = port_rx(b->config.port, b->config.queue, frames, PORT_BURST);
		if (n)
			to_stack(b, frames, n, now_us);
		work += n;
		if (n < PORT_BURST && !port_rx_more(b->config.port, b->config.queue))
			break;
	}
	phase_enter(b->phase, PHASE_TCP_OUT);
	work += stack_timers(b->stack, now_us, BYPASS_TIMER_BUDGET);
	phase_leave(b->phase, before);
	return work;
}

static void source_flush(struct turn_source *s, uint64_t now_us)
{
	struct bypass *b = bypass_of(s);

	enum phase before = phase_enter(b->phase, PHASE_TCP_OUT);

	drain_tx(b);
	stack_output(b->stack, now_us);
	phase_enter(b->phase, PHASE_TX);
	b->port_waits = port_tx_flush(b->config.port, b->config.queue, now_us) > 0;
	phase_leave(b->phase, before);
	if (b->rx_ticks && b->sent)
		histogram_add(&b->turnaround, turn_ticks() - b->rx_ticks);
	b->rx_ticks = 0;
	b->sent = false;
}

static uint64_t source_next_us(struct turn_source *s)
{
	return stack_next_us(bypass_of(s)->stack);
}

static bool source_sleep_prepare(struct turn_source *s)
{
	struct bypass *b = bypass_of(s);

	if (b->tx_count || b->port_waits || b->early_count)
		return false;
	if (!b->armed && port_rx_arm(b->config.port, b->config.queue) != 0)
		return false;
	b->armed = true;
	/* What came before it was armed raises no interrupt. */
	b->early_count = port_rx(b->config.port, b->config.queue, b->early, PORT_BURST);
	return b->early_count == 0;
}

uint32_t bypass_stack_offloads(uint32_t port_offloads)
{
	static const struct {
		uint32_t port, stack;
	} same[] = {{PORT_TX_IPV4_CHECKSUM, STACK_OFFLOAD_TX_IPV4_CKSUM},
		{PORT_TX_TCP_CHECKSUM, STACK_OFFLOAD_TX_TCP_CKSUM},
		/* Where a port looks at TCP's checksum alone (virtio), IPv4's is unknown and computed. But
		 * TCP's must be believed: between virtual machines it is not filled in. */
		{PORT_RX_TCP_CHECKSUM, STACK_OFFLOAD_RX_CKSUM},
		{PORT_TX_MULTI_SEGMENT, STACK_OFFLOAD_MULTI_SEG}, {PORT_TX_TSO, STACK_OFFLOAD_TX_TSO}};
	uint32_t flags = 0;

	for (unsigned i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		if (port_offloads & same[i].port)
			flags |= same[i].stack;
	return flags;
}

/* The MAC of an address's solicited-node group (RFC 4291 section 2.7.1, RFC 2464 section 7). */
static void group_of(uint8_t group[PORT_MAC_BYTES], const uint8_t last_three[3])
{
	memcpy(group, (uint8_t[]){0x33, 0x33, 0xff}, 3);
	memcpy(group + 3, last_three, 3);
}

/* IPv6: all nodes, and the groups of our addresses; of those that are made of our MAC, too, whose end is
 * theirs. */
static void groups_take(struct port *port, const struct stack_config *sc)
{
	uint8_t groups[STACK_ADDRESSES_MAX + 2][PORT_MAC_BYTES] = {{0x33, 0x33, 0, 0, 0, 1}};
	unsigned n = 1;

	for (unsigned i = 0; i < sc->address_count && i < STACK_ADDRESSES_MAX; i++)
		if (!ip_is_v4(&sc->addresses[i].address))
			group_of(groups[n++], sc->addresses[i].address.bytes + 13);
	if (n == 1)
		return;
	group_of(groups[n++], sc->mac + 3);
	(void)port_take_groups(port, groups, n); /* who cannot has no filter */
}

struct bypass *bypass_create(const struct bypass_config *config, uint64_t now_us)
{
	struct bypass *b = calloc(1, sizeof(*b));
	const struct port_info *info = port_info(config->port);

	if (!b)
		return NULL;
	b->config = *config;
	b->phase = config->phase ? config->phase : &b->unseen;
	CDS_INIT_LIST_HEAD(&b->conns);
	struct stack_config *sc = &b->config.stack;
	memcpy(sc->mac, info->mac, sizeof(sc->mac));
	sc->mtu = (uint16_t)info->mtu;
	sc->offload_flags = bypass_stack_offloads(info->offloads);
	sc->tso_segments_max = info->tx_segments_max;
	sc->tx = stack_tx;
	sc->tx_ctx = b;
	if (info->queues > 1) {
		sc->passive = config->queue != 0;
		sc->owns = stack_owns;
		sc->hand_over = stack_hand_over;
		sc->cores_ctx = b;
	}
	groups_take(config->port, sc);
	b->stack = stack_create(sc, now_us); /* which checks the configuration */
	if (b->stack)
		b->conn_pool = pool_create(
			"bypass connections", sizeof(struct bypass_conn), sc->conn_max, NULL);
	if (!b->conn_pool) {
		if (b->stack)
			stack_destroy(b->stack);
		free(b);
		return NULL;
	}
	b->source = (struct turn_source){
		.name = "bypass",
		.poll = source_poll,
		.flush = source_flush,
		.next_us = source_next_us,
		.sleep_prepare = source_sleep_prepare,
		.wake_fd = config->sleeps ? port_rx_fd(config->port, config->queue) : -1,
	};
	if (b->source.wake_fd < 0 && port_rx_polled(config->port, config->queue))
		b->source.sleep_us_max = BYPASS_SLEEP_US_NO_FD;
	stack_announce(b->stack, now_us);
	return b;
}

void bypass_destroy(struct bypass *b)
{
	while (!cds_list_empty(&b->conns)) {
		struct bypass_conn *c = cds_list_first_entry(&b->conns, struct bypass_conn, link);
		conn_free(c);
	}
	stack_destroy(b->stack);
	rte_pktmbuf_free_bulk(b->txq + b->tx_at, b->tx_count);
	rte_pktmbuf_free_bulk(b->early, b->early_count);
	disarm(b);
	pool_destroy(b->conn_pool);
	free(b);
}

int bypass_listen(struct bypass *b, const struct ip_addr *address_or_null, uint16_t port,
	const struct tcp_open_options *options_or_null)
{
	if (b->listener_count == BYPASS_LISTENERS)
		return -ENOBUFS;
	int error = tcp_listen(b->stack, address_or_null, port, options_or_null, &bypass_tcp_app, b,
		&b->listeners[b->listener_count]);
	if (error == 0)
		b->listener_count++;
	return error;
}

void bypass_listen_stop(struct bypass *b)
{
	while (b->listener_count)
		tcp_listener_close(b->listeners[--b->listener_count]);
}

struct transport_conn *bypass_connect(
	struct bypass *b, const struct ip_addr *address, uint16_t port, void *user, uint64_t now_us)
{
	struct tcp_conn *tcp = tcp_connect(b->stack, address, port, NULL, &bypass_tcp_app, NULL, now_us);
	struct bypass_conn *c = tcp ? conn_create(b, tcp) : NULL;

	if (!c) {
		if (tcp)
			tcp_conn_abort(tcp);
		return NULL;
	}
	c->conn.user = user;
	return &c->conn;
}

struct turn_source *bypass_source(struct bypass *b)
{
	return &b->source;
}

struct stack *bypass_stack(struct bypass *b)
{
	return b->stack;
}

struct port *bypass_port(struct bypass *b)
{
	return b->config.port;
}

void bypass_set_capture(struct bypass *b, struct capture *capture_or_null)
{
	b->capture = capture_or_null;
}

const struct histogram *bypass_turnaround(const struct bypass *b)
{
	return &b->turnaround;
}

struct bypass_stats bypass_stats(const struct bypass *b)
{
	return b->stats;
}
