/* SPDX-License-Identifier: Apache-2.0 */
/* The application's calls on a connection: RFC 9293 section 3.10.1 to 3.10.6. */
#include <errno.h>

#include "tcpstack/tcp_impl.h"

const char *tcp_reason_text(int reason)
{
	static const char *const text[] = {
		[TCP_REASON_DONE] = "closed by both sides",
		[TCP_REASON_RESET] = "reset by the peer",
		[TCP_REASON_TIMED_OUT] = "timed out",
		[TCP_REASON_REFUSED] = "refused",
		[TCP_REASON_UNREACHABLE] = "unreachable",
		[TCP_REASON_ABORTED] = "aborted",
	};

	return reason >= 0 && reason < (int)(sizeof(text) / sizeof(text[0])) ? text[reason] : "unknown";
}

struct tcp_conn *tcp_connect(struct stack *s, const struct ip_addr *addr, uint16_t port,
	const struct tcp_open_options *options, const struct tcp_app *app, void *user, uint64_t now_us)
{
	struct tcp_open_options defaults = tcp_open_options_of(s);
	const struct ip_addr *laddr = options && !ip_is_unspecified(&options->local) ? &options->local
										     : ip_source_for(s, addr);

	MUST(app && port);
	if (now_us > s->now_us)
		s->now_us = now_us;
	if (!ip_is_peer(s, addr)) { /* RFC 9293 MUST-46 */
		COUNT(s, tcp_connect_nowhere);
		return NULL;
	}
	if (!laddr || !ip_is_ours(s, laddr) || ip_is_v4(laddr) != ip_is_v4(addr)) {
		COUNT(s, ip_no_route);
		return NULL;
	}
	struct tcp_tuple t = {.laddr = *laddr, .raddr = *addr, .rport = port};
	struct tcp_port port_of = tcp_port_pick(s, &t);
	t.lport = port_of.port;
	if (!t.lport) {
		COUNT(s, tcp_ports_full);
		return NULL;
	}
	if (!tcp_conn_room(s))
		return NULL;
	if (port_of.isn_above) {
		COUNT(s, tcp_time_wait_reused);
		tcp_time_wait_forget(s, &t);
	}
	uint32_t iss = tcp_isn(s, &t, port_of.isn_above);
	struct tcp_conn *c = tcp_conn_new(s, &t, options ? options : &defaults, iss);
	c->active = true;
	c->app = app;
	c->user = user;
	tcp_conn_syn(c);
	tcp_conn_set_state(c, TCP_SYN_SENT);
	tcp_life_arm(c, s->config.connect_timeout_us);
	tcp_output_want(c);
	return c;
}

void *tcp_conn_user(const struct tcp_conn *c)
{
	return c->user;
}

void tcp_conn_set_user(struct tcp_conn *c, void *user)
{
	c->user = user;
}

struct chain *tcp_conn_rx(struct tcp_conn *c)
{
	return &c->rx;
}

void tcp_conn_rx_consume(struct tcp_conn *c, uint32_t n)
{
	chain_consume(&c->rx, n);
	tcp_memory_account(c);
	if (c->rx.bytes == 0 && (c->events & TCP_EVENT_CLOSED))
		tcp_reap_later(c);
	if (tcp_window_update_due(c))
		tcp_output_want(c);
}

static bool can_send(const struct tcp_conn *c)
{
	return (c->state == TCP_ESTABLISHED || c->state == TCP_CLOSE_WAIT) && !c->fin_queued;
}

/* What fits behind a segment's payload: it may have been split, so that it starts further in. */
static uint32_t segment_room(const struct tcp_conn *c, const struct tcp_segment *g)
{
	uint32_t buffer = g->m->buf_len - g->off - (uint32_t)g->len;

	return g->len < c->mss ? min_u32(buffer, (uint32_t)c->mss - g->len) : 0;
}

/* The last segment, where it has not left and more can be put behind its payload. */
static struct tcp_segment *open_tail(const struct tcp_conn *c)
{
	if (!c->unsent)
		return NULL;
	struct tcp_segment *g = cds_list_entry(c->segments.prev, struct tcp_segment, link);
	return g->m && segment_room(c, g) ? g : NULL;
}

uint32_t tcp_tx_capacity(const struct tcp_conn *c)
{
	return (uint32_t)min_u64(c->stack->config.tx_buffer_bytes, (uint64_t)c->tx_segments_max * c->mss);
}

/* What is left for new data: the spare ones are for cutting what waits already. */
static uint32_t segments_free(const struct stack *s)
{
	struct pool_stats p = pool_stats(s->segment_pool);
	uint32_t n = p.capacity - p.used, spare = tcp_segments_spare(s);

	return n > spare ? n - spare : 0;
}

/* A connection may queue half of the segments that the others leave: one whose peer does not read takes a
 * half of all at the most, two a third each, and whoever comes next finds some. A little may always be had.
 */
static uint32_t segments_allowed(const struct tcp_conn *c)
{
	uint32_t n = (segments_free(c->stack) + c->tx_segments) / 2;

	if (n <= TCP_TX_SHARE_BYTES_MIN / TCP_MSS_MIN) /* else no division is needed to see that it is more */
		n = max_u32(n, TCP_TX_SHARE_BYTES_MIN / c->mss + 1);
	return min_u32(c->tx_segments_max, n);
}

static uint32_t tx_room(const struct tcp_conn *c, uint32_t allowed)
{
	uint32_t size = c->stack->config.tx_buffer_bytes;

	if (!can_send(c) || c->tx_bytes >= size)
		return 0;
	const struct tcp_segment *tail = open_tail(c);
	uint32_t by_segments = tail ? segment_room(c, tail) : 0;
	if (c->tx_segments < allowed)
		by_segments += (allowed - c->tx_segments) * c->mss;
	return min_u32(size - c->tx_bytes, by_segments);
}

static uint32_t tx_enough(const struct tcp_conn *c, uint32_t allowed)
{
	return (uint32_t)min_u64(c->stack->config.tx_buffer_bytes, (uint64_t)allowed * c->mss) / 2;
}

uint32_t tcp_conn_tx_room(struct tcp_conn *c)
{
	uint32_t allowed = segments_allowed(c), room = tx_room(c, allowed);

	c->tx_short |= room < tx_enough(c, allowed);
	return room;
}

bool tcp_tx_room_is_back(struct tcp_conn *c)
{
	if (!c->tx_short)
		return false;
	uint32_t allowed = segments_allowed(c);
	if (tx_room(c, allowed) < tx_enough(c, allowed))
		return false;
	c->tx_short = false;
	c->tx_wanted = 0;
	return true;
}

static void segment_fill(struct tcp_segment *g, const uint8_t **data, uint32_t n)
{
	memcpy((uint8_t *)g->m->buf_addr + g->off + g->len, *data, n);
	g->len += (uint16_t)n;
	*data += n;
}

static void segment_discard(struct stack *s, struct tcp_segment *g)
{
	rte_pktmbuf_free(g->m);
	pool_give(s->segment_pool, g);
}

/* An empty segment, or NULL when memory ran out. */
static struct tcp_segment *segment_take(struct stack *s)
{
	struct tcp_segment *g = segments_free(s) ? pool_take(s->segment_pool) : NULL;
	struct rte_mbuf *m = g ? stack_tx_alloc(s) : NULL;

	if (m)
		*g = (struct tcp_segment){.m = m, .off = m->data_off};
	else if (g)
		pool_give(s->segment_pool, g);
	return m ? g : NULL;
}

/* Those for n bytes at the end of list. False, and none, when memory ran out. */
static bool segments_take(struct tcp_conn *c, uint32_t n, struct cds_list_head *list)
{
	struct stack *s = c->stack;
	struct tcp_segment *g, *next;

	for (uint32_t have = 0; have < n; have += c->mss) {
		g = segment_take(s);
		if (!g) {
			cds_list_for_each_entry_safe (g, next, list, link)
				segment_discard(s, g);
			return false;
		}
		cds_list_add_tail(&g->link, list);
	}
	return true;
}

static int write_refused(struct tcp_conn *c, uint32_t n)
{
	COUNT(c->stack, tcp_write_refused);
	c->tx_wanted = n;
	c->tx_short = true;
	/* No acknowledgement is on its way that could tell that there is room again: a timer asks. */
	if (!c->tx_segments)
		tcp_starved(c);
	return -ENOBUFS;
}

int tcp_conn_write(struct tcp_conn *c, const void *data, uint32_t n)
{
	const uint8_t *at = data, *end = at + n;
	CDS_LIST_HEAD(fresh);
	struct tcp_segment *tail, *g, *next;

	if (!can_send(c))
		return c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD ? -ENOTCONN : -EPIPE;
	if (n > tcp_tx_capacity(c))
		return -EMSGSIZE;
	if (n == 0)
		return 0;
	if (n > tcp_conn_tx_room(c))
		return write_refused(c, n);
	tail = open_tail(c);
	uint32_t into_tail = tail ? min_u32(n, segment_room(c, tail)) : 0;
	if (!segments_take(c, n - into_tail, &fresh)) {
		tcp_starved(c);
		return write_refused(c, n);
	}
	if (into_tail) {
		segment_fill(tail, &at, into_tail);
		c->tx_end += into_tail;
	}
	cds_list_for_each_entry_safe (g, next, &fresh, link) {
		g->seq = c->tx_end;
		segment_fill(g, &at, min_u32(c->mss, (uint32_t)(end - at)));
		tcp_segment_queue(c, g);
	}
	c->tx_bytes += n;
	tcp_output_want(c);
	return 0;
}

static void queue_fin(struct tcp_conn *c)
{
	c->fin = (struct tcp_segment){.seq = c->tx_end, .control = TCP_FIN};
	tcp_segment_queue(c, &c->fin);
	c->fin_queued = true;
	tcp_conn_set_state(c, c->state == TCP_CLOSE_WAIT ? TCP_LAST_ACK : TCP_FIN_WAIT_1);
	tcp_output_want(c);
}

void tcp_conn_set_nodelay(struct tcp_conn *c, bool nodelay)
{
	c->nodelay = nodelay;
	if (nodelay)
		tcp_output_want(c);
}

void tcp_conn_cork(struct tcp_conn *c, bool corked)
{
	c->corked = corked;
	if (!corked)
		tcp_output_want(c);
}

void tcp_conn_set_keepalive(struct tcp_conn *c, uint32_t idle_us, uint32_t interval_us, uint32_t probes)
{
	c->keepalive_us = idle_us;
	c->keepalive_interval_us = interval_us;
	c->keepalive_probes = probes;
	c->keepalives = 0;
	if (c->state < TCP_ESTABLISHED)
		return;
	timer_cancel(&c->stack->wheel, &c->life);
	tcp_keepalive_arm(c);
}

void tcp_conn_set_user_timeout(struct tcp_conn *c, uint32_t us)
{
	c->user_timeout_us = min_u32(max_u32(us, (uint32_t)TCP_USER_TIMEOUT_US_MIN), TCP_USER_TIMEOUT_US_MAX);
}

int tcp_conn_shutdown(struct tcp_conn *c)
{
	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD)
		return -ENOTCONN;
	if (!can_send(c))
		return -EPIPE;
	queue_fin(c);
	return 0;
}

void tcp_conn_close(struct tcp_conn *c)
{
	if (c->state < TCP_ESTABLISHED || c->rx.bytes) {
		tcp_conn_abort(c);
		return;
	}
	if (can_send(c))
		queue_fin(c);
	tcp_conn_detach(c);
}

/* RFC 9293 section 3.10.5: in CLOSING and LAST-ACK both have said all, unless some of it was not read or has
 * not left. */
static bool aborts_aloud(const struct tcp_conn *c)
{
	bool both_closed = c->state == TCP_CLOSING || c->state == TCP_LAST_ACK;

	return c->state >= TCP_SYN_RCVD && (!both_closed || c->rx.bytes || c->unsent);
}

void tcp_conn_abort(struct tcp_conn *c)
{
	if (aborts_aloud(c))
		tcp_send_control(c, tcp_snd_seq(c), TCP_RST | TCP_ACK);
	tcp_conn_end(c, TCP_REASON_ABORTED);
	tcp_conn_detach(c);
}

struct ip_addr tcp_conn_local_addr(const struct tcp_conn *c)
{
	return c->tuple.laddr;
}

uint16_t tcp_conn_local_port(const struct tcp_conn *c)
{
	return c->tuple.lport;
}

struct ip_addr tcp_conn_peer_addr(const struct tcp_conn *c)
{
	return c->tuple.raddr;
}

uint16_t tcp_conn_peer_port(const struct tcp_conn *c)
{
	return c->tuple.rport;
}

struct stack *tcp_conn_stack(const struct tcp_conn *c)
{
	return c->stack;
}

static const char *const recovery_names[] = {
	[TCP_RECOVERY_NONE] = "none", [TCP_RECOVERY_FAST] = "fast", [TCP_RECOVERY_RTO] = "timeout"};

void tcp_conn_set_dscp(struct tcp_conn *c, uint8_t dscp)
{
	c->dscp = dscp & 63;
}

struct tcp_conn_info tcp_conn_info(const struct tcp_conn *c)
{
	return (struct tcp_conn_info){
		.state = tcp_state_name(c->state),
		.cc = c->cc->name,
		.srtt_us = c->srtt_us,
		.rttvar_us = c->rttvar_us,
		.rto_us = (uint32_t)tcp_rto_backed_off_us(c),
		.cwnd_bytes = c->cwnd,
		.ssthresh_bytes = c->ssthresh,
		.in_flight_bytes = c->in_flight,
		.snd_wnd_bytes = c->snd_wnd,
		.rcv_wnd_bytes = c->rcv_adv - c->rcv_nxt,
		.tx_queued_bytes = c->tx_bytes,
		.rx_queued_bytes = c->rx.bytes,
		.reass_bytes = c->reass.bytes,
		.rx_buffers = c->rx_buffers,
		.rx_buffers_allowed = tcp_memory_allowed(c),
		.mss_bytes = c->mss,
		.pmtu_bytes = c->path_mtu,
		.snd_wscale = c->snd_wscale,
		.rcv_wscale = c->rcv_wscale,
		.unreachable = c->unreachable,
		.timestamps = c->timestamps,
		.nodelay = c->nodelay,
		.corked = c->corked,
		.ecn = c->ecn,
		.sack = c->sack,
		.recovery = recovery_names[c->recovery],
		.sacked_bytes = c->sacked_bytes,
		.lost_segments = c->lost_count,
		.min_rtt_us = c->rack.min_rtt_us,
		.reorder_us = tcp_rack_reo_wnd_us(c),
		.delivered_bytes = c->delivered_bytes,
		.bytes_in = c->bytes_in,
		.bytes_out = c->bytes_out,
		.segments_in = c->segments_in,
		.segments_out = c->segments_out,
		.resent = c->resent,
		.timeouts = c->timeouts,
		.fast_retransmits = c->fast_retransmits,
	};
}
