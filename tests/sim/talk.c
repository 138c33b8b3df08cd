/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/talk.h"

#include <errno.h>
#include <string.h>

#include "runtime/check.h"
#include "tests/sim/side.h"

enum { PORT = 5672, CLOSED_PORT = 5673, CHOSEN_PORT = 40000, START_US_MAX = 20000000 };

enum talk_kind {
	TALK_NORMAL,
	TALK_AGAIN,   /* the ports of an earlier talk, as soon as the client may use them */
	TALK_BOTH,    /* both sides connect */
	TALK_REFUSED, /* a port where nobody listens */
	TALK_NOBODY,  /* a host that is not there */
};

struct talk {
	enum talk_kind kind;
	struct side client, server;
	uint64_t start_us;
	bool started;
	uint16_t client_port;
	uint32_t isn;
	struct talk *earlier;
};

static struct talk talks[TALKS_MAX];
static unsigned talk_count;

static enum talk_kind kind_choose(const struct talk *t)
{
	uint32_t dice = sim_below(&sim.dice, 100);

	if (dice < 15 && t->earlier)
		return TALK_AGAIN;
	if (dice < 20)
		return TALK_BOTH;
	if (dice < 25)
		return TALK_REFUSED;
	return dice < 27 ? TALK_NOBODY : TALK_NORMAL;
}

static void talk_plan(unsigned i)
{
	struct talk *t = &talks[i];
	unsigned client = sim_below(&sim.dice, sim.net.hosts);
	unsigned server = (client + 1 + sim_below(&sim.dice, sim.net.hosts - 1)) % sim.net.hosts;

	*t = (struct talk){.start_us = sim.now_us};
	if (i && talks[i - 1].kind <= TALK_AGAIN)
		t->earlier = &talks[i - 1];
	t->kind = kind_choose(t);
	if (t->kind == TALK_AGAIN) {
		client = t->earlier->client.host;
		server = t->earlier->server.host;
	} else if (sim_permille(&sim.dice, 300)) {
		t->start_us += sim_below(&sim.dice, START_US_MAX);
	}
	side_plan(&t->client, &t->server, t, client);
	side_plan(&t->server, &t->client, t, server);
	t->server.passive = t->kind != TALK_BOTH;
}

unsigned talks_plan(bool patient)
{
	talk_count = 1 + sim_below(&sim.dice, SIM_ONE_OF(6, 6, TALKS_MAX));
	for (unsigned i = 0; i < talk_count; i++)
		talk_plan(i);
	if (patient) {
		talks[0].kind = TALK_NORMAL;
		talks[0].server.passive = true;
		side_plan_pause(&talks[0].client);
		sim_met(SIM_patient);
	}
	return talk_count;
}

static bool talk_over(const struct talk *t)
{
	/* A server's side that never opened has nothing to end. */
	return t->started && t->client.ended && (!t->server.opened || t->server.ended);
}

bool talks_over(void)
{
	for (unsigned i = 0; i < talk_count; i++)
		if (!talk_over(&talks[i]))
			return false;
	return true;
}

bool talks_pause(void)
{
	bool paused = false;

	for (unsigned i = 0; i < talk_count; i++) {
		bool pauses = side_pauses(&talks[i].client);
		if (!pauses && !talk_over(&talks[i]))
			return false;
		paused |= pauses;
	}
	return paused;
}

/* The talk that c, just accepted by host, is the server's side of: its client chose the number of the SYN. */
static struct talk *talk_of(unsigned host, const struct tcp_conn *c)
{
	struct ip_addr peer = tcp_conn_peer_addr(c);

	for (unsigned i = 0; i < talk_count; i++) {
		struct talk *t = &talks[i];
		if (t->started && t->kind <= TALK_AGAIN && t->server.host == host &&
			t->client_port == tcp_conn_peer_port(c) && t->isn == host_conn_isn(c) &&
			sim_net_host_of(&sim.net, &peer) == (int)t->client.host)
			return t;
	}
	return NULL;
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	const struct sim_port *p = ctx;
	struct talk *t = talk_of(p->host, c);

	if (!t)
		sim_fail("a connection was accepted that nobody opened");
	if (t->server.opened || t->client.ended) { /* an echo; or its client has gone meanwhile */
		tcp_conn_abort(c);
		return;
	}
	tcp_conn_set_user(c, &t->server);
	side_opened(&t->server, c);
}

static bool error_allowed(const struct side *s, int error)
{
	const struct talk *t = s->talk;

	switch (t->kind) {
	case TALK_REFUSED:
		sim.situations[SIM_connect_refused] += error == -ECONNREFUSED;
		return error == -ECONNREFUSED;
	case TALK_NOBODY:
		sim.situations[SIM_connect_timed_out] += error == -ETIMEDOUT;
		sim.situations[SIM_connect_unreachable] += error == -EHOSTUNREACH;
		return error == -ETIMEDOUT || error == -EHOSTUNREACH;
	default:
		/* A reset before our SYN was acknowledged. */
		if (error == -ECONNREFUSED && t->kind == TALK_BOTH && s->other->aborts)
			return true;
		/* Two hosts may wait for each other's places. */
		return (error == -ETIMEDOUT || error == -EHOSTUNREACH) &&
		       stack_counter(hosts[s->other->host].stack, STACK_COUNTER_tcp_conn_full);
	}
}

static void on_connected(struct tcp_conn *c, int error)
{
	struct side *s = tcp_conn_user(c);

	if (error && !error_allowed(s, error))
		side_fail(s, strerror(-error));
	if (error) {
		s->conn = NULL;
		s->ended = true;
		s->reason = TCP_REASON_REFUSED;
		return;
	}
	if (s->talk->kind >= TALK_REFUSED)
		side_fail(s, "a connection to nobody was made");
	side_opened(s, c);
}

static void on_event(struct tcp_conn *c)
{
	side_woken(tcp_conn_user(c));
}

static void on_peer_closed(struct tcp_conn *c)
{
	struct side *s = tcp_conn_user(c);

	s->peer_closed = true;
	side_woken(s);
}

static void on_closed(struct tcp_conn *c, int reason)
{
	side_closed(tcp_conn_user(c), reason);
}

static const struct tcp_app app = {.accepted = on_accepted,
	.connected = on_connected,
	.readable = on_event,
	.writable = on_event,
	.peer_closed = on_peer_closed,
	.closed = on_closed};

void talks_listen(void)
{
	for (unsigned i = 0; i < sim.net.hosts; i++) {
		struct tcp_open_options options = tcp_open_options_of(hosts[i].stack);
		options.syn_backlog_max = SIM_ONE_OF(1, 3, options.syn_backlog_max, options.syn_backlog_max);
		MUST(tcp_listen(hosts[i].stack, NULL, PORT, &options, &app, &sim.net.ports[i],
			     &hosts[i].listener) == 0);
	}
}

/* Both at the same moment; neither without the other. */
static void start_both(struct talk *t)
{
	uint16_t a = (uint16_t)(CHOSEN_PORT + (t - talks)), b = (uint16_t)(a + TALKS_MAX);
	struct ip_addr client = sim_net_address(&sim.net, t->client.host),
		       server = sim_net_address(&sim.net, t->server.host);

	t->client.conn = host_connect_from(t->client.host, a, &server, b, &app, &t->client);
	if (!t->client.conn)
		return;
	t->server.conn = host_connect_from(t->server.host, b, &client, a, &app, &t->server);
	if (!t->server.conn) {
		tcp_conn_abort(t->client.conn);
		t->client.conn = NULL;
		return;
	}
	sim_met(SIM_simultaneous_open);
	t->client_port = a;
	t->started = true;
}

static void start_client(struct talk *t)
{
	struct stack *s = hosts[t->client.host].stack;
	struct ip_addr to = sim_net_address(&sim.net, t->server.host);
	uint16_t port = t->kind == TALK_REFUSED ? CLOSED_PORT : PORT;

	if (t->kind == TALK_NOBODY)
		to = sim_net_stranger(&sim.net, t->server.host, (uint32_t)(t - talks));
	if (t->kind == TALK_AGAIN)
		t->client.conn = host_connect_from(
			t->client.host, t->earlier->client_port, &to, port, &app, &t->client);
	else
		t->client.conn = tcp_connect(s, &to, port, NULL, &app, &t->client, sim.now_us);
	if (!t->client.conn)
		return;
	t->client_port = tcp_conn_local_port(t->client.conn);
	t->isn = host_conn_isn(t->client.conn);
	t->started = true;
	if (t->kind == TALK_AGAIN)
		sim_met(SIM_connected_again);
}

static void talk_start(struct talk *t)
{
	if (sim.now_us < t->start_us || (t->kind == TALK_AGAIN && !talk_over(t->earlier)))
		return;
	if (t->kind == TALK_BOTH)
		start_both(t);
	else
		start_client(t);
}

void talks_wake(void)
{
	for (unsigned i = 0; i < talk_count; i++) {
		struct talk *t = &talks[i];
		if (!t->started)
			talk_start(t);
		else
			side_act(sim_below(&sim.dice, 2) ? &t->client : &t->server);
	}
}

bool talks_one(unsigned *client, uint16_t *client_port, unsigned *server, uint16_t *server_port)
{
	const struct talk *t = &talks[sim_below(&sim.dice, talk_count)];

	if (!t->started || t->kind > TALK_AGAIN)
		return false;
	*client = t->client.host;
	*server = t->server.host;
	*client_port = t->client_port;
	*server_port = PORT;
	return true;
}
