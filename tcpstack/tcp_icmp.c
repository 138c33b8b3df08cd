/* SPDX-License-Identifier: Apache-2.0 */
/* What ICMP errors do to connections: RFC 5927 (only those about what is in flight are believed), RFC 5461
 * (they end what is being opened, and nothing that is open), RFC 1122 section 4.2.3.9. */
#include "tcpstack/tcp_impl.h"

static void end_opening(struct tcp_conn *c, enum tcp_icmp_kind kind)
{
	COUNT(c->stack, icmp_hard);
	tcp_conn_end(c, kind == TCP_ICMP_REFUSED ? TCP_REASON_REFUSED : TCP_REASON_UNREACHABLE);
}

static void conn_error(struct tcp_conn *c, const struct tcp_icmp *e)
{
	struct stack *s = c->stack;

	if (seq_lt(e->seq, c->snd_una) || !seq_lt(e->seq, c->snd_nxt)) {
		COUNT(s, icmp_error_seq);
		return;
	}
	bool opening = c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD;
	if (e->kind == TCP_ICMP_TOO_BIG) {
		tcp_pmtu_told(c, e);
	} else if (e->kind != TCP_ICMP_SOFT && opening) {
		end_opening(c, e->kind);
	} else {
		COUNT(s, icmp_soft);
		c->unreachable = true; /* told where the open times out */
	}
}

void tcp_icmp_input(struct stack *s, const struct tcp_icmp *e)
{
	struct tcp_node *node = tcp_node_find(s, &e->tuple);

	if (node && node->kind == TCP_KIND_CONN) {
		conn_error(tcp_conn_find(s, &e->tuple), e);
	} else if (node && node->kind == TCP_KIND_REQUEST) {
		struct tcp_request *r = tcp_request_of(node);
		if (e->seq != r->iss) {
			COUNT(s, icmp_error_seq);
		} else if (e->kind == TCP_ICMP_REFUSED || e->kind == TCP_ICMP_PROHIBITED) {
			COUNT(s, icmp_hard);
			tcp_request_free(r);
		} else {
			COUNT(s, icmp_soft);
		}
	} else {
		COUNT(s, icmp_error_no_conn);
	}
}
