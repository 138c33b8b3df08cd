/* SPDX-License-Identifier: Apache-2.0 */
/* Four timers a connection: rexmt (retransmission of RFC 6298, or the probe of a closed window), ack_timer
 * (delayed ACK), life (what else ends or probes a connection in its state),
 * hold (a partial segment leaves although more may come). */
#include "tcpstack/tcp_impl.h"

static void rexmt_set(struct tcp_conn *c, enum tcp_rexmt_kind kind, uint64_t at_us)
{
	c->rexmt_kind = (uint8_t)kind;
	timer_arm(&c->stack->wheel, &c->rexmt, at_us);
}

void tcp_rexmt_schedule(struct tcp_conn *c)
{
	uint64_t probe_us = tcp_tlp_wanted(c) && !c->ecn_hold ? c->stack->now_us + tcp_tlp_us(c) : UINT64_MAX;

	/* A probe where the timeout would come: it costs less, and the timeout follows it. */
	if (probe_us != UINT64_MAX)
		rexmt_set(c, TCP_REXMT_PTO, min_u64(probe_us, c->rto_at_us));
	else
		rexmt_set(c, TCP_REXMT_RTO, c->rto_at_us);
}

/* Backed off; but who wants to know by keepalive whether the peer is there finds out as soon from the probes
 * of a closed window, during which keepalive rests (RFC 9293 MUST-26). */
static uint64_t rexmt_us(const struct tcp_conn *c)
{
	uint64_t us = tcp_rto_backed_off_us(c);

	if (c->keepalive_us && c->snd_wnd == 0 && c->state >= TCP_ESTABLISHED)
		us = min_u64(us, max_u32(c->keepalive_us, c->rto_us));
	return us;
}

void tcp_rexmt_arm(struct tcp_conn *c)
{
	c->rto_at_us = c->stack->now_us + rexmt_us(c);
	tcp_rexmt_schedule(c);
}

void tcp_rexmt_postpone(struct tcp_conn *c)
{
	c->rto_at_us = max_u64(c->rto_at_us, c->stack->now_us + rexmt_us(c));
	if (c->rexmt_kind == TCP_REXMT_RTO) /* else what comes sooner does, and this after it */
		rexmt_set(c, TCP_REXMT_RTO, c->rto_at_us);
}

void tcp_reorder_arm(struct tcp_conn *c, uint32_t us)
{
	uint64_t at_us = c->stack->now_us + us;

	if (us && at_us < c->rto_at_us)
		rexmt_set(c, TCP_REXMT_REORDER, at_us);
	else if (c->rexmt_kind != TCP_REXMT_RTO && timer_armed(&c->rexmt))
		tcp_rexmt_schedule(c);
}

void tcp_life_arm(struct tcp_conn *c, uint64_t after_us)
{
	timer_arm(&c->stack->wheel, &c->life, c->stack->now_us + after_us);
}

void tcp_keepalive_arm(struct tcp_conn *c)
{
	if (c->keepalive_us)
		timer_arm(&c->stack->wheel, &c->life, c->heard_us + c->keepalive_us);
}

static void back_off(struct tcp_conn *c)
{
	if (c->backoff < 32)
		c->backoff++;
	tcp_rexmt_arm(c);
}

/* A peer that answers probes keeps a closed window open for as long as it likes (RFC 9293 MUST-37), but not
 * once the application has gone. */
static bool given_up(const struct tcp_conn *c)
{
	uint64_t since = c->progress_us;

	if (c->snd_wnd == 0 && c->app)
		since = max_u64(since, c->heard_us);
	if (!c->app)
		since = max_u64(since, c->orphan_us);
	return c->stack->now_us - since >= c->user_timeout_us;
}

/* RFC 9293 section 3.8.6.1: one octet beyond a closed window, again and again; a window too small for silly
 * window avoidance is filled when this timer runs out (section 3.8.6.2.1, the override timeout). */
static void probe(struct tcp_conn *c)
{
	struct tcp_segment *g = tcp_segment_first(c);
	int32_t room = seq_diff(tcp_snd_edge(c), g->seq);
	uint32_t n = room > 0 ? (uint32_t)room : 1;

	if (g->len > n)
		g = tcp_segment_split(c, g, n);
	COUNT(c->stack, tcp_window_probes);
	if (g)
		tcp_segment_send(c, g);
	else
		tcp_starved(c);
}

static void rexmt_fire(struct timer *t, uint64_t now_us)
{
	struct tcp_conn *c = caa_container_of(t, struct tcp_conn, rexmt);

	if (c->ecn_hold && c->rexmt_kind == TCP_REXMT_RTO) {
		c->ecn_hold = false;
		tcp_output_want(c);
		if (tcp_nothing_sent(c))
			return;
	}
	if (!tcp_segment_first(c))
		return;
	if (given_up(c)) {
		COUNT(c->stack, tcp_timed_out);
		tcp_conn_end(c, TCP_REASON_TIMED_OUT);
		return;
	}
	if (c->rexmt_kind == TCP_REXMT_REORDER) {
		tcp_recovery_reorder_fire(c);
		return;
	}
	if (c->rexmt_kind == TCP_REXMT_PTO && c->snd_wnd) {
		tcp_tlp_fire(c);
		return;
	}
	back_off(c);		  /* RFC 6298 (5.5), (5.6) */
	if (c->backoff == TCP_R1) /* RFC 9293 MUST-20 */
		neighbour_doubt(c->stack, &c->tuple.raddr);
	if (c->state >= TCP_ESTABLISHED && (c->snd_wnd == 0 || tcp_nothing_sent(c)))
		probe(c);
	else if (tcp_nothing_sent(c))
		tcp_output_want(c);
	else
		tcp_recovery_timeout(c);
}

static void ack_fire(struct timer *t, uint64_t now_us)
{
	struct tcp_conn *c = caa_container_of(t, struct tcp_conn, ack_timer);

	c->ack_now = true;
	tcp_output_want(c);
}

static void hold_fire(struct timer *t, uint64_t now_us)
{
	struct tcp_conn *c = caa_container_of(t, struct tcp_conn, hold);

	c->hold_over = true;
	tcp_output_want(c);
}

/* RFC 9293 section 3.8.4: an old number without data, which the peer must answer. */
static void keepalive(struct tcp_conn *c)
{
	struct stack *s = c->stack;

	uint64_t quiet_us = s->now_us - c->heard_us;
	if (quiet_us < c->keepalive_us || !list_empty(&c->segments)) {
		c->keepalives = 0;
		/* With data on its way the retransmission timer finds out. */
		tcp_life_arm(c, quiet_us < c->keepalive_us ? c->keepalive_us - quiet_us : c->keepalive_us);
		return;
	}
	if (c->keepalives >= c->keepalive_probes) {
		COUNT(s, tcp_timed_out);
		tcp_conn_end(c, TCP_REASON_TIMED_OUT);
		return;
	}
	c->keepalives++;
	COUNT(s, tcp_keepalives);
	tcp_send_control(c, c->snd_una - 1, TCP_ACK);
	tcp_life_arm(c, c->keepalive_interval_us);
}

static void life_fire(struct timer *t, uint64_t now_us)
{
	struct tcp_conn *c = caa_container_of(t, struct tcp_conn, life);

	if (!c->app && c->linger_us && tcp_segment_first(c)) {
		COUNT(c->stack, tcp_linger_over);
		tcp_send_control(c, tcp_snd_seq(c), TCP_RST | TCP_ACK);
		tcp_conn_end(c, TCP_REASON_TIMED_OUT);
		return;
	}
	switch (c->state) {
	case TCP_SYN_SENT:
	case TCP_SYN_RCVD:
		tcp_conn_end(c, TCP_REASON_TIMED_OUT);
		break;
	case TCP_FIN_WAIT_2:
		if (!c->app)
			tcp_conn_end(c, TCP_REASON_TIMED_OUT);
		else
			keepalive(c);
		break;
	default:
		if (c->keepalive_us)
			keepalive(c);
	}
}

void tcp_timers_init(struct tcp_conn *c)
{
	timer_init(&c->rexmt, rexmt_fire);
	timer_init(&c->ack_timer, ack_fire);
	timer_init(&c->life, life_fire);
	timer_init(&c->hold, hold_fire);
}

void tcp_timers_cancel(struct tcp_conn *c)
{
	struct timer_wheel *w = &c->stack->wheel;

	timer_cancel(w, &c->rexmt);
	timer_cancel(w, &c->ack_timer);
	timer_cancel(w, &c->life);
	timer_cancel(w, &c->hold);
}
