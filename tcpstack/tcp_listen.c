/* SPDX-License-Identifier: Apache-2.0 */
/* Passive opens: RFC 9293 section 3.10.7.2. Half-open connections are bounded: a new one displaces the
 * oldest, so that a flood shortens their time but never closes the door. */
#include <errno.h>

#include "tcpstack/tcp_impl.h"

struct tcp_listener *tcp_listener_find(struct stack *s, const struct ip_addr *addr, uint16_t port)
{
	struct tcp_listener *l;

	cds_list_for_each_entry (l, &s->listeners, link)
		if (l->port == port && (ip_is_unspecified(&l->addr) || ip_equal(&l->addr, addr)))
			return l;
	return NULL;
}

struct tcp_open_options tcp_open_options_of(const struct stack *s)
{
	return (struct tcp_open_options){
		.delayed_ack_us = s->config.delayed_ack_us,
		.rto_us_min = s->config.rto_us_min,
		.keepalive_us = s->config.keepalive_us,
		.keepalive_interval_us = s->config.keepalive_interval_us,
		.keepalive_probes = s->config.keepalive_probes,
		.user_timeout_us = s->config.user_timeout_us,
		.nodelay = true,
		.cc = s->config.cc,
	};
}

/* Two listeners of one port must not share an address. */
static bool taken(struct stack *s, const struct ip_addr *addr_or_null, uint16_t port)
{
	if (addr_or_null)
		return tcp_listener_find(s, addr_or_null, port);
	for (unsigned i = 0; i < s->config.address_count; i++)
		if (tcp_listener_find(s, &s->config.addresses[i].address, port))
			return true;
	return false;
}

int tcp_listen(struct stack *s, const struct ip_addr *addr_or_null, uint16_t port,
	const struct tcp_open_options *options, const struct tcp_app *app, void *ctx,
	struct tcp_listener **out_or_null)
{
	MUST(port && app);
	if (addr_or_null && !ip_is_ours(s, addr_or_null))
		return -EADDRNOTAVAIL;
	if (taken(s, addr_or_null, port))
		return -EADDRINUSE;
	struct tcp_listener *l = pool_take(s->listener_pool);
	if (!l)
		return -ENOBUFS;
	*l = (struct tcp_listener){
		.stack = s,
		.port = port,
		.options = options ? *options : tcp_open_options_of(s),
		.app = app,
		.ctx = ctx,
	};
	if (addr_or_null)
		l->addr = *addr_or_null;
	cds_list_add_tail(&l->link, &s->listeners);
	if (out_or_null)
		*out_or_null = l;
	return 0;
}

void tcp_listener_close(struct tcp_listener *l)
{
	struct stack *s = l->stack;
	struct tcp_conn *c, *next;

	cds_list_for_each_entry_safe (c, next, &s->half_open, life_link)
		if (c->listener == l)
			tcp_conn_end(c, TCP_REASON_ABORTED);
	cds_list_del(&l->link);
	pool_give(s->listener_pool, l);
}

void tcp_listener_input(struct stack *s, struct tcp_listener *l, struct tcp_in *in, uint32_t isn_above)
{
	if (!tcp_filter_passes(l->options.filter, &in->src)) {
		COUNT(s, tcp_filtered);
		return;
	}
	if (in->flags & TCP_RST) { /* first */
		COUNT(s, tcp_no_conn_rst);
		return;
	}
	if (in->flags & TCP_ACK) { /* second */
		COUNT(s, tcp_no_conn);
		tcp_send_reset_reply(s, in);
		return;
	}
	if (!(in->flags & TCP_SYN) || (in->flags & TCP_FIN)) { /* fourth */
		COUNT(s, tcp_no_ack_flag);
		return;
	}
	/* third: a SYN. Data on it is not taken, the peer will send it again. */
	COUNT(s, tcp_syn_in);
	if (s->half_open_count >= s->config.syn_backlog_max && !MUTANT(half_open_not_capped))
		tcp_half_open_evict(s);
	struct tcp_tuple t = tcp_in_tuple(in);
	struct tcp_conn *c = tcp_conn_new(s, &t, &l->options, isn_above);
	if (!c)
		return;
	c->listener = l;
	c->irs = in->seq;
	c->rcv_nxt = c->rcv_adv = c->last_ack_sent = in->seq + 1;
	tcp_conn_negotiate(c, &in->options);
	c->snd_wnd = c->snd_wnd_max = in->wnd; /* never scaled on a SYN */
	c->snd_wl1 = in->seq;
	tcp_conn_set_state(c, TCP_SYN_RCVD);
	tcp_life_arm(c, s->config.half_open_timeout_us);
	tcp_output_want(c);
}
