/* SPDX-License-Identifier: Apache-2.0 */
/* TIME-WAIT: RFC 9293 section 3.10.7.4 with RFC 1337 (a reset does not end it), RFC 6191 (a newer SYN may
 * open the next connection) and a cap. What is left of the connection is a small object of a pool of its own.
 */
#include <errno.h>

#include "tcpstack/tcp_impl.h"

struct tcp_time_wait {
	struct tcp_node node;
	struct stack *stack;
	struct cds_list_head link; /* the one that ends first first */
	struct timer timer;
	uint64_t born_us, ts_recent_us, challenge_next_us;
	uint32_t snd_nxt, rcv_nxt, ts_recent, ts_offset;
	uint16_t window; /* as it was told last, in units of 1 << wscale bytes */
	uint8_t wscale;
	bool timestamps;
	bool syn_challenged; /* the last segment but for resets was a SYN, and was challenged */
};

static struct tcp_time_wait *time_wait_of(struct tcp_node *node)
{
	return caa_container_of(node, struct tcp_time_wait, node);
}

static uint32_t isn_not_0(const struct tcp_time_wait *w)
{
	return w->snd_nxt ? w->snd_nxt : 1;
}

uint64_t tcp_time_wait_until_us(struct tcp_node *node)
{
	return time_wait_of(node)->timer.expires_us;
}

static void time_wait_free(struct tcp_time_wait *w)
{
	timer_cancel(&w->stack->wheel, &w->timer);
	cds_list_del(&w->node.bucket_link);
	cds_list_del(&w->link);
	pool_give(w->stack->time_wait_pool, w);
}

static void time_wait_fire(struct timer *t, uint64_t now_us)
{
	time_wait_free(caa_container_of(t, struct tcp_time_wait, timer));
}

/* 2 MSL from now: the last to end. */
static void restart(struct tcp_time_wait *w)
{
	struct stack *s = w->stack;

	cds_list_del(&w->link);
	cds_list_add_tail(&w->link, &s->time_wait);
	timer_arm(&s->wheel, &w->timer, s->now_us + s->config.time_wait_us);
}

static void ack_send(struct tcp_time_wait *w)
{
	struct tcp_options o = {
		.has_timestamp = w->timestamps,
		.ts_val = tcp_clock_ms(w->stack) + w->ts_offset,
		.ts_ecr = w->ts_recent,
	};

	/* Without a buffer the peer's FIN asks again. */
	(void)tcp_send_bare(w->stack, &w->node.tuple, w->snd_nxt, w->rcv_nxt, TCP_ACK, w->window, &o);
}

static void challenge(struct tcp_time_wait *w, const struct tcp_in *in)
{
	if (!tcp_challenge_allowed(w->stack, &w->challenge_next_us))
		return;
	ack_send(w);
	w->syn_challenged |= in->flags & TCP_SYN;
}

void tcp_time_wait_new(const struct tcp_conn *c)
{
	struct stack *s = c->stack;

	if (pool_stats(s->time_wait_pool).used >= s->config.time_wait_max) {
		COUNT(s, tcp_time_wait_evicted);
		time_wait_free(cds_list_first_entry(&s->time_wait, struct tcp_time_wait, link));
	}
	struct tcp_time_wait *w = pool_take(s->time_wait_pool);
	MUST(w);
	*w = (struct tcp_time_wait){
		.stack = s,
		.born_us = s->now_us,
		.snd_nxt = c->snd_nxt,
		.rcv_nxt = c->rcv_nxt,
		/* Upwards: the edge that was told is not taken back. */
		.window = (uint16_t)min_u32(
			tcp_window_field(c->rcv_adv - c->rcv_nxt, c->rcv_wscale), (uint32_t)UINT16_MAX),
		.wscale = c->rcv_wscale,
		.timestamps = c->timestamps,
		.ts_recent = c->ts_recent,
		.ts_recent_us = c->ts_recent_us,
		.ts_offset = c->ts_offset,
		.challenge_next_us = c->challenge_next_us,
	};
	timer_init(&w->timer, time_wait_fire);
	CDS_INIT_LIST_HEAD(&w->link);
	tcp_node_insert(s, &w->node, &c->tuple, TCP_KIND_TIME_WAIT);
	restart(w);
}

bool tcp_time_wait_reusable(const struct stack *s, struct tcp_node *node, uint32_t *isn_above)
{
	if (node->kind != TCP_KIND_TIME_WAIT)
		return false;
	struct tcp_time_wait *w = time_wait_of(node);
	/* Our clock of timestamps has moved on for certain. */
	if (!w->timestamps || s->now_us - w->born_us < TCP_TIME_WAIT_REUSE_US)
		return false;
	*isn_above = isn_not_0(w);
	return true;
}

/* RFC 6191 section 2; without timestamps on either side RFC 1122 section 4.2.2.13: a number behind the FIN's.
 */
static bool newer(const struct tcp_time_wait *w, const struct tcp_in *in)
{
	bool seq_newer = seq_leq(w->rcv_nxt, in->seq);
	bool timestamps = in->options.has_timestamp && w->stack->config.timestamps;

	if (w->timestamps && timestamps && in->options.ts_val != w->ts_recent)
		return seq_lt(w->ts_recent, in->options.ts_val);
	return seq_newer || (!w->timestamps && timestamps);
}

/* True when the SYN in opens the next connection. This one goes when that is established: should the SYN turn
 * out to be an old duplicate, it is still there (RFC 9293 MAY-2). */
static bool reused(struct tcp_time_wait *w, struct tcp_in *in)
{
	struct stack *s = w->stack;

	if ((in->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN || !newer(w, in))
		return false;
	struct tcp_listener *l = tcp_listener_find(s, &in->dst, in->dport);
	if (!l || !tcp_filter_passes(l->options.filter, &in->src))
		return false;
	COUNT(s, tcp_time_wait_reused);
	tcp_listener_input(s, l, in, isn_not_0(w));
	return true;
}

/* First step. False drops the segment. */
static bool acceptable(struct tcp_time_wait *w, const struct tcp_in *in)
{
	struct stack *s = w->stack;

	if (w->timestamps && !in->options.has_timestamp && !(in->flags & TCP_SYN)) {
		COUNT(s, tcp_no_timestamp);
		return false;
	}
	if (w->timestamps && in->options.has_timestamp &&
		tcp_paws_old(s, w->ts_recent, w->ts_recent_us, in->options.ts_val))
		COUNT(s, tcp_paws);
	else if (!tcp_in_window(in, w->rcv_nxt, w->rcv_nxt + ((uint32_t)w->window << w->wscale)))
		COUNT(s, tcp_out_of_window);
	else
		return true;
	if (in->flags & TCP_FIN)
		restart(w);
	if (in->len || (in->flags & TCP_FIN))
		ack_send(w);
	else
		challenge(w, in);
	return false;
}

/* RFC 1337 section 3, F1: it is ignored, or an old duplicate that made us answer would end this. But a peer
 * that has begun anew, and whose SYN was challenged (RFC 5961 section 4.2), has no other way to say that it
 * knows nothing of this connection: what answers the challenge (RFC 9293 section 3.10.7.3: without ACK) ends
 * it, as in every other state. */
static void reset(struct tcp_time_wait *w, const struct tcp_in *in)
{
	bool answers = w->syn_challenged && in->seq == w->rcv_nxt && !(in->flags & TCP_ACK);

	if (answers)
		time_wait_free(w);
	else
		COUNT(w->stack, tcp_rst_ignored);
}

void tcp_time_wait_input(struct stack *s, struct tcp_node *node, struct tcp_in *in)
{
	struct tcp_time_wait *w = time_wait_of(node);

	if (in->flags & TCP_RST) {
		reset(w, in);
		return;
	}
	w->syn_challenged = false;
	if (reused(w, in) || !acceptable(w, in))
		return;
	if (in->flags & TCP_SYN) { /* RFC 5961 section 4.2 */
		COUNT(s, tcp_syn_in_window);
		challenge(w, in);
		return;
	}
	if (!(in->flags & TCP_ACK)) {
		COUNT(s, tcp_no_ack_flag);
		return;
	}
	if (in->flags & TCP_FIN)
		restart(w);
	if (in->len || (in->flags & TCP_FIN)) {
		COUNT(s, tcp_data_after_fin);
		ack_send(w);
	}
}

void tcp_time_wait_forget(struct stack *s, const struct tcp_tuple *t)
{
	struct tcp_node *node = tcp_node_find(s, t);

	if (node && node->kind == TCP_KIND_TIME_WAIT)
		time_wait_free(time_wait_of(node));
}

int tcp_time_wait_init(struct stack *s)
{
	s->time_wait_pool = pool_create(
		"tcp time-wait", sizeof(struct tcp_time_wait), s->config.time_wait_max, s->config.memory);
	return s->time_wait_pool ? 0 : -ENOMEM;
}

void tcp_time_wait_fini(struct stack *s)
{
	while (!list_empty(&s->time_wait))
		time_wait_free(cds_list_first_entry(&s->time_wait, struct tcp_time_wait, link));
}
