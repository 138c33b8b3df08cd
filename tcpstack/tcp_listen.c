/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners, and what arrives for no connection: RFC 9293 section 3.10.7.1 and 3.10.7.2. Half-open
 * connections are bounded: beyond, a request is answered with a cookie or displaces the oldest one, so that a
 * flood never closes the door. */
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
		.syn_backlog_max = s->config.syn_backlog_max,
		.cc = s->config.cc,
		.ecn = s->config.ecn,
		.quick_acks = s->config.quick_acks,
	};
}

/* Two listeners of one port must not share an address. */
static bool taken(struct stack *s, const struct ip_addr *addr_or_null, uint16_t port)
{
	if (addr_or_null)
		return tcp_listener_find(s, addr_or_null, port);
	for (unsigned i = 0; i < s->own_count; i++)
		if (tcp_listener_find(s, &s->own[i].address, port))
			return true;
	return false;
}

int tcp_listen(struct stack *s, const struct ip_addr *addr_or_null, uint16_t port,
	const struct tcp_open_options *options, const struct tcp_app *app, void *ctx,
	struct tcp_listener **out_or_null)
{
	MUST(port && app);
	if (addr_or_null && !ip_is_configured(s, addr_or_null))
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
	CDS_INIT_LIST_HEAD(&l->requests);
	if (addr_or_null)
		l->addr = *addr_or_null;
	cds_list_add_tail(&l->link, &s->listeners);
	if (out_or_null)
		*out_or_null = l;
	return 0;
}

void tcp_listener_close(struct tcp_listener *l)
{
	while (!list_empty(&l->requests))
		tcp_request_free(cds_list_first_entry(&l->requests, struct tcp_request, listener_link));
	cds_list_del(&l->link);
	pool_give(l->stack->listener_pool, l);
}

/* A SYN. Data on it is not taken: the peer sends it again with or behind its ACK. */
static void syn_input(struct stack *s, struct tcp_listener *l, const struct tcp_in *in, uint32_t isn_above)
{
	enum stack_syn_cookies cookies = s->config.syn_cookies;

	COUNT(s, tcp_syn_in);
	/* A cookie's number cannot be put behind an earlier connection's. */
	if (!isn_above && (cookies == STACK_SYN_COOKIES_ALWAYS ||
				  (cookies == STACK_SYN_COOKIES_AUTO && tcp_requests_full(s, l))))
		tcp_cookie_send(s, l, in);
	else
		tcp_request_new(s, l, in, isn_above);
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
		if (!(in->flags & TCP_SYN) && tcp_cookie_input(s, l, in))
			return;
		COUNT(s, tcp_no_conn);
		tcp_send_reset_reply(s, in);
		return;
	}
	if (!(in->flags & TCP_SYN) || (in->flags & TCP_FIN)) { /* fourth */
		COUNT(s, tcp_no_ack_flag);
		return;
	}
	syn_input(s, l, in, isn_above); /* third */
}
