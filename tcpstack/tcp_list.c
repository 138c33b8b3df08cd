/* SPDX-License-Identifier: Apache-2.0 */
/* A walk over everything that has a tuple, in pieces: the table's buckets in order. What lives from the
 * walk's begin to its end is met exactly once, whatever else comes and goes. */
#include "tcpstack/tcp_impl.h"

enum { BUCKETS_A_CALL = 4096 };

static const char *timer_of(const struct tcp_conn *c, const struct timer **t)
{
	static const char *const rexmt[] = {[TCP_REXMT_RTO] = "retransmit",
		[TCP_REXMT_PTO] = "tail-probe",
		[TCP_REXMT_REORDER] = "reorder"};
	bool probing = c->snd_wnd == 0 && c->in_flight == 0;

	*t = &c->rexmt;
	if (timer_armed(&c->rexmt))
		return c->rexmt_kind == TCP_REXMT_RTO && probing ? "persist" : rexmt[c->rexmt_kind];
	*t = &c->ack_timer;
	if (timer_armed(&c->ack_timer))
		return "delayed-ack";
	*t = &c->hold;
	if (timer_armed(&c->hold))
		return "hold";
	*t = &c->life;
	if (!timer_armed(&c->life))
		return NULL;
	return c->state == TCP_SYN_SENT ? "connect" : c->state == TCP_FIN_WAIT_2 ? "fin-wait-2" : "keepalive";
}

static uint32_t until(const struct stack *s, uint64_t at_us)
{
	return at_us > s->now_us ? (uint32_t)min_u64(at_us - s->now_us, UINT32_MAX) : 0;
}

static uint64_t since(const struct stack *s, uint64_t at_us)
{
	return at_us && at_us < s->now_us ? s->now_us - at_us : 0;
}

static void describe_conn(struct tcp_entry *e, const struct tcp_conn *c)
{
	const struct timer *timer;

	e->info = tcp_conn_info(c);
	e->timer = timer_of(c, &timer);
	e->timer_us = e->timer ? until(c->stack, timer->expires_us) : 0;
	e->backoff = c->backoff;
	e->since_sent_us = since(c->stack, c->sent_us);
	e->since_data_us = since(c->stack, c->data_us);
	e->since_heard_us = since(c->stack, c->heard_us);
}

static void describe_request(struct tcp_entry *e, const struct tcp_request *r)
{
	e->info = (struct tcp_conn_info){
		.state = tcp_state_name(TCP_SYN_RCVD), .mss_bytes = r->peer.mss, .resent = r->resent};
	e->timer = "retransmit";
	e->timer_us = until(r->stack, r->timer.expires_us);
	e->backoff = r->resent;
	e->since_sent_us = since(r->stack, r->sent_us);
	e->since_heard_us = since(r->stack, r->born_us);
}

static void describe(struct stack *s, struct tcp_entry *e, struct tcp_node *node)
{
	*e = (struct tcp_entry){.laddr = node->tuple.laddr,
		.raddr = node->tuple.raddr,
		.lport = node->tuple.lport,
		.rport = node->tuple.rport};
	switch ((enum tcp_kind)node->kind) {
	case TCP_KIND_CONN:
		describe_conn(e, caa_container_of(node, struct tcp_conn, node));
		break;
	case TCP_KIND_REQUEST:
		describe_request(e, tcp_request_of(node));
		break;
	case TCP_KIND_TIME_WAIT:
		e->info.state = "TIME-WAIT";
		e->timer = "time-wait";
		e->timer_us = until(s, tcp_time_wait_until_us(node));
		break;
	}
}

static unsigned count(const struct cds_list_head *bucket)
{
	const struct cds_list_head *at;
	unsigned n = 0;

	for (at = bucket->next; at != bucket; at = at->next)
		n++;
	return n;
}

unsigned tcp_list(struct stack *s, uint32_t *cursor, struct tcp_entry *out, unsigned n)
{
	uint32_t buckets = 1u << (64 - s->conn_shift);
	uint32_t end = min_u32(*cursor + BUCKETS_A_CALL, buckets);
	uint32_t bucket = *cursor;
	unsigned used = 0;

	MUST(n >= TCP_LIST_MIN);
	for (; bucket < end; bucket++) {
		struct cds_list_head *head = &s->conn_buckets[bucket];
		struct tcp_node *node;
		/* whole buckets, so that the cursor is a bucket; no honest one has so many that they never
		 * fit */
		if (used && count(head) > n - used)
			break;
		cds_list_for_each_entry (node, head, bucket_link) {
			if (used == n)
				break;
			describe(s, &out[used++], node);
		}
	}
	*cursor = bucket == buckets ? TCP_LIST_END : bucket;
	return used;
}
