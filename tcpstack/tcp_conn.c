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
	[TCP_TIME_WAIT] = "TIME-WAIT",
};

const char *tcp_state_name(enum tcp_state state)
{
	return state_names[state];
}

static struct cds_list_head *bucket_of(struct stack *s, const struct tcp_tuple *t)
{
	return &s->conn_buckets[tcp_hash(s, TCP_HASH_TABLE, t) & s->conn_mask];
}

static bool same(const struct tcp_tuple *a, const struct tcp_tuple *b)
{
	return a->lport == b->lport && a->rport == b->rport && ip_equal(&a->raddr, &b->raddr) &&
	       ip_equal(&a->laddr, &b->laddr);
}

struct tcp_conn *tcp_conn_find(struct stack *s, const struct tcp_tuple *t)
{
	struct tcp_conn *c;

	cds_list_for_each_entry (c, bucket_of(s, t), bucket_link)
		if (same(&c->tuple, t))
			return c;
	return NULL;
}

void tcp_conn_set_state(struct tcp_conn *c, enum tcp_state state)
{
	struct stack *s = c->stack;
	bool was_half_open = c->state == TCP_SYN_RCVD && !c->active;
	bool is_half_open = state == TCP_SYN_RCVD && !c->active;

	s->half_open_count += (uint32_t)is_half_open - (uint32_t)was_half_open;
	s->time_wait_count += (uint32_t)(state == TCP_TIME_WAIT) - (uint32_t)(c->state == TCP_TIME_WAIT);
	c->state = (uint8_t)state;
	cds_list_del(&c->life_link);
	cds_list_add_tail(&c->life_link, is_half_open		  ? &s->half_open
					 : state == TCP_TIME_WAIT ? &s->time_wait
								  : &s->other);
}

/* Ends a connection in TIME_WAIT before its time; what it owes the peer's FIN leaves first. */
static void time_wait_evict(struct tcp_conn *c)
{
	COUNT(c->stack, tcp_time_wait_evicted);
	if (c->ack_now)
		tcp_send_control(c, tcp_snd_seq(c), TCP_ACK);
	tcp_conn_end(c, TCP_REASON_DONE);
}

void tcp_half_open_evict(struct stack *s)
{
	struct tcp_conn *old = cds_list_first_entry(&s->half_open, struct tcp_conn, life_link);

	COUNT(s, tcp_half_open_evicted);
	tcp_conn_end(old, TCP_REASON_ABORTED);
	tcp_conn_free(old);
}

/* Makes room in the pool: first a connection that only waits out its time, then one that may never open. */
static struct tcp_conn *take_with_eviction(struct stack *s)
{
	struct tcp_conn *c = pool_take(s->conn_pool), *old = NULL;

	if (c)
		return c;
	cds_list_for_each_entry (old, &s->time_wait, life_link)
		if (!old->app && old != s->delivering) {
			time_wait_evict(old);
			tcp_conn_free(old);
			return pool_take(s->conn_pool);
		}
	if (!list_empty(&s->half_open)) {
		tcp_half_open_evict(s);
		return pool_take(s->conn_pool);
	}
	COUNT(s, tcp_conn_full);
	return NULL;
}

static uint16_t own_mss(const struct stack *s)
{
	return (uint16_t)(s->config.mtu - IPV4_HEADER_BYTES - TCP_HEADER_BYTES);
}

static uint8_t own_wscale(const struct stack *s)
{
	uint8_t scale = 0;

	while (scale < TCP_WSCALE_MAX && s->config.rx_buffer_bytes >> scale > UINT16_MAX)
		scale++;
	return scale;
}

static void queue_syn(struct tcp_conn *c)
{
	c->syn = (struct tcp_segment){.seq = c->iss, .control = TCP_SYN};
	tcp_segment_queue(c, &c->syn);
}

struct tcp_conn *tcp_conn_new(struct stack *s, const struct tcp_tuple *t,
	const struct tcp_open_options *options, uint32_t isn_above)
{
	struct tcp_conn *c = take_with_eviction(s);

	if (!c)
		return NULL;
	*c = (struct tcp_conn){
		.stack = s,
		.tuple = *t,
		.rcv_wscale = own_wscale(s),
		.timestamps = true,
		.mss = own_mss(s),
		.peer_mss = TCP_MSS_DEFAULT,
		.cc = options->cc,
		.cwnd = own_mss(s),
		.ssthresh = UINT32_MAX,
		.rto_us_min = options->rto_us_min,
		.delayed_ack_us = options->delayed_ack_us,
		.keepalive_us = options->keepalive_us,
		.keepalive_interval_us = options->keepalive_interval_us,
		.keepalive_probes = options->keepalive_probes,
		.user_timeout_us = options->user_timeout_us,
		.nodelay = options->nodelay,
		.heard_us = s->now_us,
		.progress_us = s->now_us,
	};
	uint32_t isn = tcp_isn(s, t);
	if (isn_above && seq_leq(isn, isn_above))
		isn = isn_above + UINT16_MAX;
	c->iss = c->snd_una = c->snd_nxt = c->tx_end = c->recover = isn;
	c->ts_offset = (uint32_t)tcp_hash(s, TCP_HASH_TIMESTAMP, t);
	/* Unsent segments are merged, so that only a peer that does not acknowledge makes many small ones. */
	c->tx_segments_max = min_u32(64 + 2 * (s->config.tx_buffer_bytes / c->mss), 60000u);
	CDS_INIT_LIST_HEAD(&c->segments);
	CDS_INIT_LIST_HEAD(&c->life_link);
	CDS_INIT_LIST_HEAD(&c->event_link);
	CDS_INIT_LIST_HEAD(&c->output_link);
	CDS_INIT_LIST_HEAD(&c->starved_link);
	chain_init(&c->rx);
	tcp_reass_init(&c->reass);
	tcp_timers_init(c);
	tcp_rtt_init(c);
	cds_list_add(&c->bucket_link, bucket_of(s, t));
	c->hashed = true;
	queue_syn(c);
	return c;
}

void tcp_conn_negotiate(struct tcp_conn *c, const struct tcp_options *o)
{
	uint16_t mss = o->has_mss ? o->mss : TCP_MSS_DEFAULT;

	mss = (uint16_t)max_u32(mss, TCP_MSS_MIN);
	c->timestamps = o->has_timestamp;
	c->mss = (uint16_t)(min_u32(mss, own_mss(c->stack)) - (c->timestamps ? TCP_TIMESTAMP_BYTES : 0));
	if (o->has_wscale)
		c->snd_wscale = o->wscale;
	else
		c->snd_wscale = c->rcv_wscale = 0; /* RFC 7323 section 2.2: both sides or none */
	if (c->timestamps) {
		c->ts_recent = o->ts_val;
		c->ts_recent_us = c->stack->now_us;
	}
}

void tcp_conn_established(struct tcp_conn *c)
{
	struct stack *s = c->stack;

	timer_cancel(&s->wheel, &c->life);
	tcp_conn_set_state(c, TCP_ESTABLISHED);
	c->cc->init(c, c->syn.resent);
	if (c->syn.resent) /* RFC 6298 (5.7) */
		c->rto_us = max_u32(c->rto_us, min_u32(3000000u, s->config.rto_us_max));
	c->backoff = 0;
	if (c->listener) {
		c->app = c->listener->app;
		c->user = c->listener->ctx;
		c->listener = NULL;
		COUNT(s, tcp_accepted);
		tcp_raise(c, TCP_EVENT_ACCEPTED);
	} else {
		COUNT(s, tcp_connected);
		tcp_raise(c, TCP_EVENT_CONNECTED);
	}
	tcp_keepalive_arm(c);
}

void tcp_conn_time_wait(struct tcp_conn *c)
{
	struct stack *s = c->stack;

	if (s->time_wait_count >= s->config.time_wait_max && !MUTANT(time_wait_not_capped))
		time_wait_evict(cds_list_first_entry(&s->time_wait, struct tcp_conn, life_link));
	tcp_timers_cancel(c);
	tcp_reass_clear(&c->reass, s->reass_pool);
	tcp_conn_set_state(c, TCP_TIME_WAIT);
	tcp_life_arm(c, s->config.time_wait_us);
	c->reason = TCP_REASON_DONE;
	tcp_raise(c, TCP_EVENT_CLOSED);
}

static int connect_error_of(enum tcp_reason reason)
{
	switch (reason) {
	case TCP_REASON_TIMED_OUT:
		return -ETIMEDOUT;
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
	if (!MUTANT(timer_fires_on_a_recycled_slot))
		tcp_timers_cancel(c);
	tcp_segments_clear(c);
	tcp_reass_clear(&c->reass, s->reass_pool);
	cds_list_del_init(&c->output_link);
	cds_list_del_init(&c->starved_link);
	cds_list_del(&c->bucket_link);
	c->hashed = false;
	tcp_conn_set_state(c, TCP_CLOSED);
	if (connecting) {
		COUNT(s, tcp_connect_failed);
		c->connect_error = connect_error_of(reason);
		tcp_raise(c, TCP_EVENT_CONNECTED);
	} else if (!(c->events & TCP_EVENT_CLOSED)) {
		c->reason = (uint8_t)reason;
		tcp_raise(c, TCP_EVENT_CLOSED);
	}
	tcp_reap_later(c);
}

void tcp_conn_detach(struct tcp_conn *c)
{
	c->app = NULL;
	c->events = 0;
	c->orphan_us = c->stack->now_us;
	chain_clear(&c->rx);
	if (c->state == TCP_CLOSED)
		tcp_reap_later(c);
	else if (c->state == TCP_FIN_WAIT_2)
		tcp_life_arm(c, c->stack->config.fin_wait_2_us);
}

void tcp_conn_free(struct tcp_conn *c)
{
	MUST(c->state == TCP_CLOSED && !c->hashed && list_empty(&c->segments));
	MUST(!timer_armed(&c->rexmt) && !timer_armed(&c->ack_timer) && !timer_armed(&c->life));
	chain_clear(&c->rx);
	cds_list_del(&c->life_link);
	cds_list_del(&c->event_link);
	cds_list_del(&c->output_link);
	cds_list_del(&c->starved_link);
	pool_give(c->stack->conn_pool, c);
}

int tcp_init(struct stack *s)
{
	const struct stack_config *f = &s->config;
	uint32_t buckets = 64;

	while (buckets < f->conn_max && buckets < 1u << 24)
		buckets *= 2;
	s->conn_mask = buckets - 1;
	s->conn_buckets = calloc(buckets, sizeof(*s->conn_buckets));
	s->conn_pool = pool_create("tcp connections", sizeof(struct tcp_conn), f->conn_max, f->memory);
	s->segment_pool = pool_create(
		"tcp segments", sizeof(struct tcp_segment), f->tx_segments_max, f->memory);
	s->reass_pool = pool_create("tcp reassembly", TCP_REASS_NODE_BYTES, f->reass_segments_max, f->memory);
	s->listener_pool = pool_create(
		"tcp listeners", sizeof(struct tcp_listener), f->listener_max, f->memory);
	if (!s->conn_buckets || !s->conn_pool || !s->segment_pool || !s->reass_pool || !s->listener_pool)
		return -ENOMEM;
	for (uint32_t i = 0; i < buckets; i++)
		CDS_INIT_LIST_HEAD(&s->conn_buckets[i]);
	s->port_next = (uint32_t)tcp_hash(s, TCP_HASH_PORT, &(struct tcp_tuple){0});
	s->challenge_second = UINT64_MAX;
	tcp_starved_init(s);
	return 0;
}

static void free_all(struct cds_list_head *list)
{
	struct tcp_conn *c, *next;

	cds_list_for_each_entry_safe (c, next, list, life_link) {
		c->app = NULL;
		tcp_conn_end(c, TCP_REASON_ABORTED);
		tcp_conn_free(c);
	}
}

void tcp_fini(struct stack *s)
{
	struct tcp_listener *l, *next;

	if (s->conn_pool && s->segment_pool && s->reass_pool && s->listener_pool && s->conn_buckets) {
		free_all(&s->half_open);
		free_all(&s->time_wait);
		free_all(&s->other);
		cds_list_for_each_entry_safe (l, next, &s->listeners, link)
			pool_give(s->listener_pool, l);
		timer_cancel(&s->wheel, &s->starved_timer);
	}
	struct pool *pools[] = {s->conn_pool, s->segment_pool, s->reass_pool, s->listener_pool};
	for (unsigned i = 0; i < sizeof(pools) / sizeof(pools[0]); i++)
		if (pools[i])
			pool_destroy(pools[i]);
	free(s->conn_buckets);
}

void tcp_conn_each(struct stack *s, void (*each)(void *ctx, struct tcp_conn *c), void *ctx)
{
	struct cds_list_head *lists[] = {&s->half_open, &s->other, &s->time_wait};
	struct tcp_conn *c;

	for (unsigned i = 0; i < 3; i++)
		cds_list_for_each_entry (c, lists[i], life_link)
			each(ctx, c);
}
