/* SPDX-License-Identifier: Apache-2.0 */
/* The table of connections, and their life from SYN to TIME_WAIT. */
#include <errno.h>
#include <stdlib.h>

#include "tcpstack/tcp_impl.h"

static const char *const state_names[TCP_STATES] = {
	[TCP_CLOSED] = "CLOSED",
	[TCP_SYN_SENT] = "SYN-SENT",
	[TCP_SYN_RCVD] = "SYN-RECEIVED",
	[TCP_ESTABLISHED] = "ESTABLISHED",
	[TCP_FIN_WAIT_1] = "FIN-WAIT-1",
	[TCP_FIN_WAIT_2] = "FIN-WAIT-2",
	[TCP_CLOSE_WAIT] = "CLOSE-WAIT",
	[TCP_CLOSING] = "CLOSING",
	[TCP_LAST_ACK] = "LAST-ACK",
};

const char *tcp_state_name(enum tcp_state state)
{
	return state_names[state];
}

void tcp_conn_set_state(struct tcp_conn *c, enum tcp_state state)
{
	c->state = (uint8_t)state;
}

static void orphan_remove(struct tcp_conn *c)
{
	if (list_empty(&c->orphan_link))
		return;
	cds_list_del_init(&c->orphan_link);
	c->stack->orphan_count--;
}

static bool conn_free_now(const struct stack *s)
{
	struct pool_stats p = pool_stats(s->conn_pool);

	return p.used < p.capacity;
}

/* Nobody holds an orphan: its place may be had at once. */
static void orphan_evict(struct tcp_conn *c)
{
	COUNT(c->stack, tcp_orphan_evicted);
	tcp_send_control(c, tcp_snd_seq(c), TCP_RST | TCP_ACK);
	tcp_conn_end(c, TCP_REASON_ABORTED);
}

/* What goes first when something runs dry, and what is kept. Each has a pool of its own, so that a flood of
 *one kind leaves the others alone; from the first to go to the last:
 *   requests		a half-open connection gives way to a newer one, or becomes a cookie (tcp_request.c)
 *   TIME_WAIT		the oldest ends early (tcp_time_wait.c)
 *   orphans		what the application has left is reset, the oldest first, for its place
 *   out-of-order data	is dropped unacknowledged (tcp_reass.h)
 *   writes		are refused, half of what others leave at a time, but for a little (tcp_api.c)
 *   established	keep what they have; their ACKs, resets and ARP, ND and ICMP answers find the mbufs
 *that queued data may not take (stack_config.tx_reserve) */
bool tcp_conn_room(struct stack *s)
{
	if (conn_free_now(s))
		return true;
	if (!list_empty(&s->orphans)) {
		struct tcp_conn *old = cds_list_first_entry(&s->orphans, struct tcp_conn, orphan_link);
		if (old != s->delivering) {
			orphan_evict(old);
			tcp_conn_free(old);
			return true;
		}
	}
	COUNT(s, tcp_conn_full);
	return false;
}

uint16_t tcp_own_mss(const struct stack *s, const struct ip_addr *peer)
{
	return (uint16_t)(ip_mtu(s, peer) - ip_header_bytes(peer) - TCP_HEADER_BYTES);
}

uint8_t tcp_own_wscale(const struct stack *s)
{
	uint8_t scale = 0;

	while (scale < TCP_WSCALE_MAX && s->config.rx_buffer_bytes >> scale > UINT16_MAX)
		scale++;
	return scale;
}

void tcp_conn_syn(struct tcp_conn *c)
{
	c->syn = (struct tcp_segment){.seq = c->iss, .control = TCP_SYN};
	tcp_segment_queue(c, &c->syn);
}

struct tcp_conn *tcp_conn_new(
	struct stack *s, const struct tcp_tuple *t, const struct tcp_open_options *options, uint32_t iss)
{
	struct tcp_conn *c = pool_take(s->conn_pool);
	uint16_t mss = tcp_own_mss(s, &t->raddr);

	MUST(c);
	*c = (struct tcp_conn){
		.stack = s,
		.rcv_wscale = tcp_own_wscale(s),
		.timestamps = s->config.timestamps,
		.mss = mss,
		.mss_peer = mss,
		.path_mtu = ip_mtu(s, &t->raddr),
		.peer_mss = TCP_MSS_DEFAULT,
		.peer_buffers = 1,
		.cc = options->cc,
		.cwnd = mss,
		.ssthresh = UINT32_MAX,
		.rto_us_min = options->rto_us_min,
		.delayed_ack_us = options->delayed_ack_us,
		.keepalive_us = options->keepalive_us,
		.keepalive_interval_us = options->keepalive_interval_us,
		.keepalive_probes = options->keepalive_probes,
		.linger_us = options->linger_us,
		.dscp = options->dscp & 63,
		.hop_limit = options->hop_limit,
		.nodelay = options->nodelay,
		.quick_acks = options->quick_acks,
		.quick_acks_max = options->quick_acks,
		.ecn_mode = (uint8_t)options->ecn,
		.heard_us = s->now_us,
		.progress_us = s->now_us,
	};
	c->iss = c->snd_una = c->snd_nxt = c->tx_end = c->recover = c->ecn_recover = iss;
	tcp_conn_set_user_timeout(c, options->user_timeout_us);
	c->ts_offset = tcp_ts_offset(s, t);
	c->flow_label = tcp_flow_label(s, t);
	/* Unsent segments are merged, so that only a peer that does not acknowledge makes many small ones. */
	c->tx_segments_max = min_u32(64 + 2 * (s->config.tx_buffer_bytes / c->mss), 60000u);
	CDS_INIT_LIST_HEAD(&c->segments);
	CDS_INIT_LIST_HEAD(&c->flight);
	CDS_INIT_LIST_HEAD(&c->lost);
	cds_list_add_tail(&c->life_link, &s->conns);
	CDS_INIT_LIST_HEAD(&c->orphan_link);
	CDS_INIT_LIST_HEAD(&c->event_link);
	CDS_INIT_LIST_HEAD(&c->output_link);
	CDS_INIT_LIST_HEAD(&c->starved_link);
	CDS_INIT_LIST_HEAD(&c->rx_wait_link);
	chain_init(&c->rx);
	tcp_reass_init(&c->reass);
	tcp_sack_rx_init(&c->sack_rx);
	tcp_rack_init(c);
	tcp_timers_init(c);
	tcp_rtt_init(c);
	tcp_node_insert(s, &c->node, t, TCP_KIND_CONN);
	c->hashed = true;
	return c;
}

struct tcp_syn_options tcp_syn_options_of(
	const struct stack *s, const struct tcp_options *o, const struct ip_addr *peer)
{
	uint16_t mss = ip_is_v4(peer) ? TCP_MSS_DEFAULT : TCP_MSS_DEFAULT_V6;

	return (struct tcp_syn_options){
		.mss = o->has_mss ? o->mss : mss,
		.has_wscale = o->has_wscale && s->config.window_scaling,
		.wscale = o->wscale,
		.has_timestamp = o->has_timestamp && s->config.timestamps,
		.sack_permitted = o->has_sack_permitted && s->config.sack,
		.ts_val = o->ts_val,
	};
}

void tcp_conn_negotiate(struct tcp_conn *c, const struct tcp_syn_options *o)
{
	c->timestamps = o->has_timestamp;
	c->sack = o->sack_permitted;
	c->ecn = o->ecn;
	c->mss_peer = (uint16_t)max_u32(o->mss, TCP_MSS_MIN);
	tcp_pmtu_init(c);
	if (o->has_wscale)
		c->snd_wscale = o->wscale;
	else
		c->snd_wscale = c->rcv_wscale = 0; /* RFC 7323 section 2.2: both sides or none */
	if (c->timestamps) {
		c->ts_recent = o->ts_val;
		c->ts_recent_us = c->stack->now_us;
	}
}

/* Both sides' SYNs are acknowledged. */
static void established(struct tcp_conn *c)
{
	struct stack *s = c->stack;

	timer_cancel(&s->wheel, &c->life);
	tcp_conn_set_state(c, TCP_ESTABLISHED);
	/* When both opened at once ours went out twice and yet was not lost. */
	bool syn_lost = c->syn.resent && (!c->active || c->timeouts);
	c->cc->init(c, syn_lost);
	if (syn_lost) /* RFC 6298 (5.7) */
		c->rto_us = max_u32(c->rto_us, min_u32(3000000u, s->config.rto_us_max));
	c->backoff = 0;
	c->force_resend = false;
	tcp_keepalive_arm(c);
}

void tcp_conn_established(struct tcp_conn *c)
{
	established(c);
	COUNT(c->stack, tcp_connected);
	tcp_raise(c, TCP_EVENT_CONNECTED);
}

void tcp_opening_accept(
	struct stack *s, const struct tcp_tuple *t, const struct tcp_opening *o, struct tcp_in *in)
{
	struct tcp_listener *l = o->listener;

	tcp_time_wait_forget(s, t);
	struct tcp_conn *c = tcp_conn_new(s, t, &l->options, o->iss);
	c->app = l->app;
	c->user = l->ctx;
	c->irs = o->irs;
	c->rcv_nxt = c->rcv_adv = c->last_ack_sent = o->irs + 1;
	tcp_conn_negotiate(c, &o->peer);
	c->ts_recent_us = o->ts_recent_us;
	tcp_window_syn(c);			   /* as our SYN told it */
	c->snd_wnd = c->snd_wnd_max = o->peer_wnd; /* never scaled on a SYN */
	c->snd_wl1 = o->irs;
	if (o->syn_sent_us) {
		tcp_conn_syn(c);
		tcp_syn_was_sent(c, o->syn_sent_us, o->syn_resent);
	} else {
		c->snd_una = c->snd_nxt = c->tx_end = o->iss + 1;
	}
	established(c);
	COUNT(s, tcp_accepted);
	tcp_raise(c, TCP_EVENT_ACCEPTED);
	tcp_opening_input(c, in);
}

void tcp_conn_time_wait(struct tcp_conn *c)
{
	/* What it owes the peer's FIN leaves first. */
	if (c->ack_now || timer_armed(&c->ack_timer))
		tcp_send_control(c, c->snd_nxt, TCP_ACK);
	tcp_time_wait_new(c);
	tcp_conn_end(c, TCP_REASON_DONE);
}

static int connect_error_of(enum tcp_reason reason)
{
	switch (reason) {
	case TCP_REASON_TIMED_OUT:
		return -ETIMEDOUT;
	case TCP_REASON_UNREACHABLE:
		return -EHOSTUNREACH;
	case TCP_REASON_ABORTED:
		return -ENOBUFS;
	default:
		return -ECONNREFUSED;
	}
}

void tcp_conn_end(struct tcp_conn *c, enum tcp_reason reason)
{
	struct stack *s = c->stack;
	bool connecting = c->active && (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD);

	if (c->state == TCP_CLOSED)
		return;
	tcp_timers_cancel(c);
	tcp_segments_clear(c);
	tcp_reass_clear(&c->reass, s->reass_pool);
	orphan_remove(c);
	cds_list_del_init(&c->output_link);
	cds_list_del_init(&c->starved_link);
	cds_list_del_init(&c->rx_wait_link);
	tcp_memory_account(c);
	cds_list_del(&c->bucket_link);
	c->hashed = false;
	tcp_conn_set_state(c, TCP_CLOSED);
	if (connecting) {
		COUNT(s, tcp_connect_failed);
		/* RFC 1122 section 4.2.3.9: a soft error is what the application hears in the end. */
		if (reason == TCP_REASON_TIMED_OUT && c->unreachable)
			reason = TCP_REASON_UNREACHABLE;
		c->connect_error = connect_error_of(reason);
		tcp_raise(c, TCP_EVENT_CONNECTED);
	} else if (!(c->events & TCP_EVENT_CLOSED)) {
		c->reason = (uint8_t)reason;
		tcp_raise(c, TCP_EVENT_CLOSED);
	}
	tcp_reap_later(c);
}

static void orphan_add(struct tcp_conn *c)
{
	struct stack *s = c->stack;

	if (s->orphan_count >= s->config.orphan_max)
		orphan_evict(cds_list_first_entry(&s->orphans, struct tcp_conn, orphan_link));
	cds_list_add_tail(&c->orphan_link, &s->orphans);
	s->orphan_count++;
}

void tcp_conn_detach(struct tcp_conn *c)
{
	c->app = NULL;
	c->events = 0;
	c->orphan_us = c->stack->now_us;
	chain_clear(&c->rx);
	tcp_memory_account(c);
	if (c->state == TCP_CLOSED) {
		tcp_reap_later(c);
		return;
	}
	orphan_add(c);
	if (c->state == TCP_FIN_WAIT_2)
		tcp_life_arm(c, c->stack->config.fin_wait_2_us);
	else if (c->linger_us)
		tcp_life_arm(c, c->linger_us);
}

void tcp_conn_free(struct tcp_conn *c)
{
	MUST(c->state == TCP_CLOSED && !c->hashed && list_empty(&c->segments));
	MUST(!timer_in_wheel(&c->rexmt) && !timer_in_wheel(&c->ack_timer) && !timer_in_wheel(&c->life) &&
		!timer_in_wheel(&c->hold));
	chain_clear(&c->rx);
	tcp_memory_account(c);
	cds_list_del(&c->life_link);
	cds_list_del(&c->event_link);
	cds_list_del(&c->output_link);
	cds_list_del(&c->starved_link);
	pool_give(c->stack->conn_pool, c);
}

int tcp_init(struct stack *s)
{
	const struct stack_config *f = &s->config;
	int error = tcp_table_init(s, (uint64_t)f->conn_max + f->syn_backlog_max + f->time_wait_max) |
		    tcp_requests_init(s) | tcp_time_wait_init(s);

	s->conn_pool = pool_create("tcp connections", sizeof(struct tcp_conn), f->conn_max, f->memory);
	s->segment_pool = pool_create("tcp segments", sizeof(struct tcp_segment),
		f->tx_segments_max + tcp_segments_spare(s), f->memory);
	s->reass_pool = pool_create("tcp reassembly", TCP_REASS_NODE_BYTES, f->reass_segments_max, f->memory);
	s->listener_pool = pool_create(
		"tcp listeners", sizeof(struct tcp_listener), f->listener_max, f->memory);
	if (error || !s->conn_pool || !s->segment_pool || !s->reass_pool || !s->listener_pool)
		return -ENOMEM;
	for (uint32_t i = 0; i < PORT_COUNTERS; i++)
		s->port_next[i] = (uint32_t)tcp_hash(
			s, TCP_HASH_PORT, &(struct tcp_tuple){.lport = 1, .rport = (uint16_t)i});
	s->challenge_second = UINT64_MAX;
	tcp_starved_init(s);
	tcp_memory_init(s);
	return 0;
}

static void free_all(struct stack *s)
{
	struct tcp_listener *l, *next;

	while (!list_empty(&s->requests))
		tcp_request_free(cds_list_first_entry(&s->requests, struct tcp_request, stack_link));
	while (!list_empty(&s->conns)) {
		struct tcp_conn *c = cds_list_first_entry(&s->conns, struct tcp_conn, life_link);
		c->app = NULL;
		tcp_conn_end(c, TCP_REASON_ABORTED);
		tcp_conn_free(c);
	}
	cds_list_for_each_entry_safe (l, next, &s->listeners, link)
		pool_give(s->listener_pool, l);
	tcp_time_wait_fini(s);
	timer_cancel(&s->wheel, &s->starved_timer);
}

void tcp_fini(struct stack *s)
{
	if (s->request_pool && s->time_wait_pool && s->conn_pool && s->segment_pool && s->reass_pool &&
		s->listener_pool && s->conn_buckets)
		free_all(s);
	struct pool *pools[] = {s->request_pool, s->time_wait_pool, s->conn_pool, s->segment_pool,
		s->reass_pool, s->listener_pool};
	for (unsigned i = 0; i < sizeof(pools) / sizeof(pools[0]); i++)
		if (pools[i])
			pool_destroy(pools[i]);
	free(s->conn_buckets);
}

void tcp_conn_each(struct stack *s, void (*each)(void *ctx, struct tcp_conn *c), void *ctx)
{
	struct cds_list_head *at;

	/* By node: the list's head lies in no connection, and none has its alignment. */
	cds_list_for_each(at, &s->conns) each(ctx, cds_list_entry(at, struct tcp_conn, life_link));
}
