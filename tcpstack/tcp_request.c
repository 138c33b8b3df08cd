/* SPDX-License-Identifier: Apache-2.0 */
/* Half-open connections by passive opens: RFC 9293 section 3.10.7.2 and 3.10.7.4 for SYN-RECEIVED. A request
 * costs a small object of a bounded pool (RFC 4987 sections 3.4, 3.5); the connection begins with the ACK
 * that shows that the peer is there. */
#include <errno.h>

#include "tcpstack/tcp_impl.h"

enum { RESENT_MAX = 200 };

static uint32_t window(const struct stack *s)
{
	/* Never scaled (RFC 7323 section 2.2). */
	return min_u32(s->config.rx_buffer_bytes, (uint32_t)UINT16_MAX);
}

static struct tcp_options ack_options(const struct tcp_request *r)
{
	return (struct tcp_options){
		.has_timestamp = r->peer.has_timestamp,
		.ts_val = tcp_clock_ms(r->stack) + r->ts_offset,
		.ts_ecr = r->peer.ts_val,
	};
}

void tcp_request_free(struct tcp_request *r)
{
	timer_cancel(&r->stack->wheel, &r->timer);
	cds_list_del(&r->node.bucket_link);
	cds_list_del(&r->stack_link);
	cds_list_del(&r->listener_link);
	r->listener->request_count--;
	pool_give(r->stack->request_pool, r);
}

/* Until the SYN-ACK is due again, doubling (RFC 6298), and no longer than the request lives. */
static void timer_set(struct tcp_request *r)
{
	struct stack *s = r->stack;
	uint64_t rto_us = (uint64_t)s->config.rto_us_initial << min_u32(r->resent, 20);
	uint64_t at_us = r->sent_us + min_u64(rto_us, s->config.rto_us_max);

	timer_arm(&s->wheel, &r->timer, min_u64(at_us, r->born_us + s->config.half_open_timeout_us));
}

static bool syn_ack_send(struct tcp_request *r)
{
	struct stack *s = r->stack;
	struct tcp_options o = ack_options(r);

	o.has_mss = true;
	o.mss = tcp_own_mss(s, &r->node.tuple.raddr);
	o.has_wscale = r->peer.has_wscale;
	o.has_sack_permitted = r->peer.sack_permitted;
	o.wscale = tcp_own_wscale(s);
	uint8_t flags = TCP_SYN | TCP_ACK | (r->peer.ecn ? TCP_ECE : 0);
	if (tcp_send_bare(s, &r->node.tuple, r->iss, r->irs + 1, flags, (uint16_t)window(s), &o)) {
		timer_arm(&s->wheel, &r->timer, s->now_us + TCP_STARVED_RETRY_US);
		return false;
	}
	r->sent_us = s->now_us;
	timer_set(r);
	return true;
}

static void resend(struct tcp_request *r)
{
	bool again = r->sent_us;

	if (!syn_ack_send(r) || !again)
		return;
	COUNT(r->stack, tcp_resent);
	if (r->resent < RESENT_MAX)
		r->resent++;
	timer_set(r);
}

static void request_fire(struct timer *t, uint64_t now_us)
{
	struct tcp_request *r = caa_container_of(t, struct tcp_request, timer);
	struct stack *s = r->stack;

	if (s->now_us - r->born_us < s->config.half_open_timeout_us) {
		resend(r);
		return;
	}
	COUNT(s, tcp_half_open_expired);
	tcp_request_free(r);
}

/* Makes room: the listener's own oldest request where its share is used up, else the stack's. */
static void evict(struct stack *s, struct tcp_listener *l)
{
	struct tcp_request *old;

	if (l->request_count >= l->options.syn_backlog_max)
		old = cds_list_first_entry(&l->requests, struct tcp_request, listener_link);
	else
		old = cds_list_first_entry(&s->requests, struct tcp_request, stack_link);
	COUNT(s, tcp_half_open_evicted);
	tcp_request_free(old);
}

bool tcp_requests_full(const struct stack *s, const struct tcp_listener *l)
{
	return pool_stats(s->request_pool).used >= s->config.syn_backlog_max ||
	       l->request_count >= l->options.syn_backlog_max;
}

void tcp_request_new(struct stack *s, struct tcp_listener *l, const struct tcp_in *in, uint32_t isn_above)
{
	struct tcp_tuple t = tcp_in_tuple(in);

	if (tcp_requests_full(s, l))
		evict(s, l);
	struct tcp_request *r = pool_take(s->request_pool);
	MUST(r);
	*r = (struct tcp_request){
		.stack = s,
		.listener = l,
		.born_us = s->now_us,
		.ts_recent_us = s->now_us,
		.irs = in->seq,
		.iss = tcp_isn(s, &t, isn_above),
		.ts_offset = tcp_ts_offset(s, &t),
		.peer_wnd = in->wnd,
		.peer = tcp_syn_options_of(s, &in->options, &in->src),
	};
	r->peer.ecn = tcp_ecn_asked(l->options.ecn, in->flags);
	timer_init(&r->timer, request_fire);
	cds_list_add_tail(&r->stack_link, &s->requests);
	cds_list_add_tail(&r->listener_link, &l->requests);
	l->request_count++;
	tcp_node_insert(s, &r->node, &t, TCP_KIND_REQUEST);
	syn_ack_send(r);
}

static void ack_send(struct tcp_request *r)
{
	struct tcp_options o = ack_options(r);
	/* No SYN: this window has its unit (RFC 7323 section 2.2). */
	uint8_t wscale = r->peer.has_wscale ? tcp_own_wscale(r->stack) : 0;

	(void)tcp_send_bare(r->stack, &r->node.tuple, r->iss + 1, r->irs + 1, TCP_ACK,
		(uint16_t)tcp_window_field(window(r->stack), wscale), &o);
}

static void challenge(struct tcp_request *r)
{
	if (tcp_challenge_allowed(r->stack, &r->challenge_next_us))
		ack_send(r);
}

/* First step: PAWS and the sequence number. False drops the segment. */
static bool acceptable(struct tcp_request *r, const struct tcp_in *in)
{
	struct stack *s = r->stack;

	if (r->peer.has_timestamp && !(in->flags & TCP_RST)) {
		if (!in->options.has_timestamp) {
			COUNT(s, tcp_no_timestamp);
			return false;
		}
		if (tcp_paws_old(s, r->peer.ts_val, r->ts_recent_us, in->options.ts_val)) {
			COUNT(s, tcp_paws);
			challenge(r);
			return false;
		}
	}
	if (tcp_in_window(in, r->irs + 1, r->irs + 1 + window(s)))
		return true;
	COUNT(s, tcp_out_of_window);
	if (in->flags & TCP_RST)
		COUNT(s, tcp_rst_ignored);
	else
		challenge(r);
	return false;
}

/* The peer's SYN again: it has not seen ours. */
static void syn_again(struct tcp_request *r, const struct tcp_in *in)
{
	if (r->peer.has_timestamp && in->options.has_timestamp &&
		seq_lt(r->peer.ts_val, in->options.ts_val)) {
		r->peer.ts_val = in->options.ts_val;
		r->ts_recent_us = r->stack->now_us;
	}
	if (!tcp_ecn_asked(STACK_ECN_ACCEPT, in->flags))
		r->peer.ecn = false; /* RFC 3168 section 6.1.1: once not asked for, there is none */
	resend(r);
}

/* Fifth step: the ACK that was waited for. */
static void acked(struct tcp_request *r, struct tcp_in *in)
{
	struct stack *s = r->stack;
	struct tcp_tuple t = r->node.tuple;
	struct tcp_opening o = {
		.listener = r->listener,
		.irs = r->irs,
		.iss = r->iss,
		.syn_sent_us = r->sent_us,
		.syn_resent = r->resent,
		.peer_wnd = r->peer_wnd,
		.peer = r->peer,
		.ts_recent_us = r->ts_recent_us,
	};

	/* Without a free connection the ACK counts as lost: our SYN comes again, and asks for another. */
	if (!tcp_conn_room(s))
		return;
	tcp_request_free(r);
	tcp_opening_accept(s, &t, &o, in);
}

void tcp_request_input(struct stack *s, struct tcp_request *r, struct tcp_in *in)
{
	if ((in->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN && in->seq == r->irs) {
		syn_again(r, in);
		return;
	}
	if (!acceptable(r, in)) /* first */
		return;
	if (in->flags & TCP_RST) { /* second, by RFC 5961 section 3.2 */
		if (in->seq == r->irs + 1) {
			COUNT(s, tcp_rst_in);
			tcp_request_free(r);
		} else {
			COUNT(s, tcp_rst_ignored);
			challenge(r);
		}
		return;
	}
	if (in->flags & TCP_SYN) { /* fourth: back to LISTEN; the SYN will come again */
		COUNT(s, tcp_syn_in_window);
		tcp_request_free(r);
		return;
	}
	if (!(in->flags & TCP_ACK)) { /* fifth */
		COUNT(s, tcp_no_ack_flag);
		return;
	}
	if (in->ack != r->iss + 1) {
		COUNT(s, tcp_ack_unsent);
		tcp_send_reset_reply(s, in);
		return;
	}
	acked(r, in);
}

int tcp_requests_init(struct stack *s)
{
	s->request_pool = pool_create(
		"tcp half-open", sizeof(struct tcp_request), s->config.syn_backlog_max, s->config.memory);
	return s->request_pool ? 0 : -ENOMEM;
}
