/* SPDX-License-Identifier: Apache-2.0 */
/* What the application is told, and when: segments, timers and calls only note events; callbacks run here,
 * with no segment half processed, and connections are given back here. So a callback may do anything to any
 * connection. */
#include "tcpstack/tcp_impl.h"

void tcp_reap_later(struct tcp_conn *c)
{
	if (list_empty(&c->event_link))
		cds_list_add_tail(&c->event_link, &c->stack->events);
}

void tcp_raise(struct tcp_conn *c, enum tcp_event event)
{
	if (!c->app)
		return;
	c->events |= (uint8_t)event;
	tcp_reap_later(c);
}

/* Takes the event off the list of those outstanding. False when it was not there or nobody listens. */
static bool event_take(struct tcp_conn *c, enum tcp_event event)
{
	bool raised = c->app && (c->events & event);

	c->events &= (uint8_t)~event;
	return raised;
}

static void deliver(struct tcp_conn *c)
{
	/* The usual one. */
	if (c->events == TCP_EVENT_READABLE && c->app) {
		c->events = 0;
		if (c->app->readable)
			c->app->readable(c);
		if (!c->events)
			return;
	}
	if (event_take(c, TCP_EVENT_ACCEPTED) && c->app->accepted)
		c->app->accepted(c->user, c);
	if (event_take(c, TCP_EVENT_CONNECTED)) {
		int error = c->connect_error;
		if (c->app->connected)
			c->app->connected(c, error);
		if (error && c->app)
			tcp_conn_detach(c);
	}
	if (event_take(c, TCP_EVENT_READABLE) && c->app->readable)
		c->app->readable(c);
	if (event_take(c, TCP_EVENT_URGENT) && c->app->urgent)
		c->app->urgent(c);
	if (event_take(c, TCP_EVENT_PEER_CLOSED) && c->app->peer_closed)
		c->app->peer_closed(c);
	if (event_take(c, TCP_EVENT_WRITABLE) && c->app->writable)
		c->app->writable(c);
	if (!c->app || !(c->events & TCP_EVENT_CLOSED))
		return;
	/* A proper end waits for the reader; tcp_conn_rx_consume brings it back here. */
	if (c->reason == TCP_REASON_DONE && c->rx.bytes)
		return;
	c->events = 0;
	if (c->app->closed)
		c->app->closed(c, c->reason);
	if (c->app)
		tcp_conn_detach(c);
}

void tcp_dispatch(struct stack *s)
{
	s->dispatching = true;
	while (!list_empty(&s->events)) {
		struct tcp_conn *c = cds_list_first_entry(&s->events, struct tcp_conn, event_link);
		cds_list_del_init(&c->event_link);
		s->delivering = c;
		deliver(c);
		s->delivering = NULL;
		if (c->state == TCP_CLOSED && !c->app)
			tcp_conn_free(c);
	}
	s->dispatching = false;
}

bool tcp_idle(const struct stack *s)
{
	return list_empty(&s->events) && list_empty(&s->output);
}

void tcp_starved(struct tcp_conn *c)
{
	struct stack *s = c->stack;

	if (list_empty(&c->starved_link))
		cds_list_add_tail(&c->starved_link, &s->starved);
	if (!timer_armed(&s->starved_timer))
		timer_arm(&s->wheel, &s->starved_timer, s->now_us + TCP_STARVED_RETRY_US);
}

/* Lets those who lacked a transmit buffer try again, once there is one; who fails once more comes back on the
 * list. */
static void starved_fire(struct timer *t, uint64_t now_us)
{
	struct stack *s = caa_container_of(t, struct stack, starved_timer);
	struct rte_mbuf *sample = rte_pktmbuf_alloc(s->config.tx_pool);

	if (!sample) {
		timer_arm(&s->wheel, t, s->now_us + TCP_STARVED_RETRY_US);
		return;
	}
	rte_pktmbuf_free(sample);
	while (!list_empty(&s->starved)) {
		struct tcp_conn *c = cds_list_first_entry(&s->starved, struct tcp_conn, starved_link);
		cds_list_del_init(&c->starved_link);
		tcp_output_want(c);
		if (c->tx_wanted) {
			c->tx_wanted = 0;
			tcp_raise(c, TCP_EVENT_WRITABLE);
		}
	}
}

void tcp_starved_init(struct stack *s)
{
	timer_init(&s->starved_timer, starved_fire);
}
