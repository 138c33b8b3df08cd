/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/world/phases.h"

#include "tests/world/acts.h"
#include "tests/world/house.h"
#include "tests/world/peer.h"
#include "tests/world/world.h"

#include <stdio.h>
#include <string.h>

enum {
	SETUP_CLIENTS = 4,	 /* as many as there can be, whatever the limits */
	PATIENCE_US = 300000000, /* for what is under way */
	HURRY_US = 20000000,	 /* then clients give up, where publishers may be held for memory */
	RUN_US_MAX = 60000000,
	CRASH_ONE_OF = 4000, /* steps */
	REFUSED_US = 500000,
};

static struct {
	uint64_t since_us;		     /* when the phase began */
	uint64_t refused_us[MAP_QUEUES_MAX]; /* keeper: when it was refused as a consumer */
	bool bound, told; /* keeper: the bindings were sent; the queues that do not stay were deleted */
} p;

static struct client *keeper(void)
{
	return &clients[0];
}

static void next(enum world_phase phase)
{
	world_trace("phase %d", (int)phase);
	world.phase = phase;
	p.since_us = world.now_us;
	p.told = false;
	for (unsigned i = 0; i < client_count; i++)
		clients[i].act_us = world.now_us;
}

void phases_begin(void)
{
	p.bound = false;
	memset(p.refused_us, 0, sizeof(p.refused_us));
	next(WORLD_SETUP);
}

static unsigned setup_clients(void)
{
	return client_count < SETUP_CLIENTS ? client_count : SETUP_CLIENTS;
}

static bool queue_used(unsigned q)
{
	return map_stays(q) && (q < MAP_WIDE || acts.wide);
}

/* Setup: clients declare a share of the queues each, so that they belong to different cores. */

static void declare_share(struct client *c, struct channel *ch)
{
	for (unsigned q = 0; q < MAP_QUEUES_MAX; q++)
		if (queue_used(q) && q % setup_clients() == c->index) {
			if (ch->expect_count + 8 > CLIENT_EXPECTS)
				return;
			act_declare(c, ch, q, false);
		}
}

static void bind_some(struct client *c, struct channel *ch)
{
	static unsigned at;
	struct map_binding b;

	if (!ch->expect_count && !p.told) {
		act_declare_exchange(c, ch, MAP_WIDE_EXCHANGE, "fanout");
		at = 0;
		p.told = true;
	}
	for (; ch->expect_count + 8 < CLIENT_EXPECTS && map_binding(at, acts.wide, &b); at++)
		act_bind(c, ch, b.exchange, b.key, b.queue, b.header, false);
	p.bound = !map_binding(at, acts.wide, &b);
}

static void setup_act(struct client *c)
{
	struct channel *ch = &c->channels[0];

	if (c->index >= setup_clients())
		return;
	if (c->state == CLIENT_AWAY)
		client_connect(c);
	if (c->state != CLIENT_OPEN)
		return;
	if (ch->state == CHANNEL_SHUT) {
		act_open_channel(c, ch, false);
		declare_share(c, ch);
		return;
	}
	bool all = true;
	for (unsigned i = 0; i < setup_clients(); i++)
		all &= clients[i].state == CLIENT_OPEN && clients[i].channels[0].opened &&
		       client_quiet(&clients[i]);
	if (c->keeper && (all || p.told) && !p.bound)
		bind_some(c, ch);
}

static void setup_end(void)
{
	if (!p.bound || !client_quiet(keeper()))
		return;
	client_close(keeper());
	next(WORLD_RUN);
}

/* Run */

static void run_act(struct client *c)
{
	if (c->keeper)
		return;
	if (c->state == CLIENT_AWAY) {
		client_connect(c);
		acts.budget -= acts.budget > 0;
	} else if (c->state == CLIENT_OPEN) {
		act(c);
	}
}

static void crash_some(void)
{
	unsigned peer = world_below(peers_count());

	if (!acts.kill_permille || world_below(CRASH_ONE_OF))
		return;
	world_met(WORLD_peer_crashed);
	peer_crash(peer);
	for (unsigned i = 0; i < client_count; i++)
		if (clients[i].peer == peer && clients[i].state != CLIENT_AWAY)
			client_lost(&clients[i], false);
}

static void links_mend(void)
{
	for (unsigned i = 0; i < world.net.hosts; i++)
		world.net.links[i].conditions = (struct sim_link_conditions){.delay_us = 100};
}

static void run_end(void)
{
	if (acts.budget && world.now_us - p.since_us < RUN_US_MAX)
		return;
	links_mend();
	house_hoard_end();
	next(WORLD_QUIET);
}

/* Quiet */

static bool impatient(void)
{
	return world.now_us - p.since_us > HURRY_US;
}

static void quiet_act(struct client *c)
{
	if (c->state == CLIENT_AWAY) {
		c->finished = true;
		return;
	}
	bool open = c->state == CLIENT_OPEN, quiet = open && client_quiet(c);
	for (unsigned k = 0; open && k < CLIENT_CHANNELS; k++)
		if (c->channels[k].state == CHANNEL_OPEN)
			act_ack_all(c, &c->channels[k]);
	if (quiet && world_permille(900)) {
		client_close(c);
	} else if (quiet || (c->state >= CLIENT_OPEN && impatient() && house_short())) {
		tcp_conn_abort(c->tcp);
		client_lost(c, false);
	}
}

static void keeper_consume(struct client *c, struct channel *ch)
{
	bool has[MAP_QUEUES_MAX] = {false};

	if (c->refused >= 0)
		p.refused_us[c->refused] = world.now_us;
	c->refused = -1;
	for (unsigned q = 0; q < MAP_QUEUES_MAX; q++)
		has[q] = world.now_us - p.refused_us[q] < REFUSED_US;

	for (unsigned i = 0; i < ch->consumer_count; i++)
		has[ch->consumers[i].queue] |= ch->consumers[i].there;
	for (unsigned q = 0; q < MAP_QUEUES_MAX; q++)
		if (queue_used(q) && !has[q] && ch->expect_count + 2 < CLIENT_EXPECTS &&
			ch->consumer_count < CLIENT_CONSUMERS)
			act_consume(c, ch, q, false, false);
}

/* It comes back as often as it has to. */
static void keeper_act(struct client *c)
{
	struct channel *ch = &c->channels[0];

	if (c->state == CLIENT_AWAY) {
		client_connect(c);
	} else if (c->state == CLIENT_OPEN && ch->state == CHANNEL_SHUT) {
		act_open_channel(c, ch, false);
	} else if (c->state == CLIENT_OPEN && ch->opened) {
		keeper_consume(c, ch);
		act_ack_all(c, ch);
	}
}

static void quiet_end(void)
{
	for (unsigned i = 1; i < client_count; i++)
		if (clients[i].state != CLIENT_AWAY)
			return;
	if (house_conns() == 1 && keeper()->state == CLIENT_OPEN && keeper()->channels[0].opened)
		next(WORLD_COUNT);
}

/* Count: all that is left are the keeper's queues. */
static void count_act(struct client *c)
{
	struct channel *ch = &c->channels[0];

	/* A refusal that came in between took them along. */
	p.told &= ch->state == CHANNEL_OPEN;
	if (!p.told && ch->opened && ch->expect_count + 8 < CLIENT_EXPECTS) {
		house_check_vanished();
		for (unsigned q = MAP_BRIEF; q < MAP_WIDE; q++)
			act_delete(c, ch, q);
		p.told = true;
	}
	keeper_act(c);
}

static void count_end(void)
{
	struct client *c = keeper();

	if (!p.told || !c->channels[0].opened || house_messages() || !house_idle() || !client_quiet(c) ||
		c->channels[0].held_count)
		return;
	ledger_check(acts.wide);
	next(WORLD_CLEAR);
}

static void clear_act(struct client *c)
{
	static unsigned at;
	struct channel *ch = &c->channels[0];

	if (!p.told)
		at = 0;
	p.told = true;
	for (; at < MAP_QUEUES_MAX && ch->expect_count + 8 < CLIENT_EXPECTS; at++)
		if (queue_used(at))
			act_delete(c, ch, at);
	if (at == MAP_QUEUES_MAX && client_quiet(c))
		client_close(c);
}

static void clear_end(void)
{
	if (keeper()->state == CLIENT_AWAY && !house_conns() && house_idle())
		next(WORLD_OVER);
}

/* All of it */

static void act_now(struct client *c)
{
	switch (world.phase) {
	case WORLD_SETUP:
		setup_act(c);
		break;
	case WORLD_RUN:
		run_act(c);
		break;
	case WORLD_QUIET:
		(c->keeper ? keeper_act : quiet_act)(c);
		break;
	case WORLD_COUNT:
		if (c->keeper)
			count_act(c);
		break;
	case WORLD_CLEAR:
		if (c->keeper && c->state == CLIENT_OPEN)
			clear_act(c);
		break;
	case WORLD_OVER:
		break;
	}
}

static uint64_t pause_us(void)
{
	return world.phase == WORLD_RUN ? 1 + world_below(WORLD_ONE_OF(20, 2000, 20000))
					: 1000 + world_below(20000);
}

void phases_fail(void)
{
	for (unsigned i = 0; i < client_count; i++) {
		const struct client *c = &clients[i];
		printf("# client %u: state %d, %u bytes to send, %u read\n", i, c->state,
			c->out_end - c->out_at, c->in_end);
		if (c->tcp) {
			struct tcp_conn_info t = tcp_conn_info(c->tcp);
			printf("#   tcp: %u to read, room %u, queued %llu\n", tcp_conn_rx(c->tcp)->bytes,
				tcp_conn_tx_room(c->tcp), (unsigned long long)t.tx_queued_bytes);
		}
		for (unsigned k = 0; k < CLIENT_CHANNELS; k++) {
			const struct channel *ch = &c->channels[k];
			if (ch->state != CHANNEL_SHUT)
				printf("#   channel %u: awaits %s, %u of %u publishes are %s, holds %u\n",
					ch->number,
					ch->expect_count
						? amqp091_method_info(ch->expects[ch->expect_first].id)->name
						: "nothing",
					ch->confirmed, ch->publishes, ch->confirming ? "confirmed" : "sure",
					ch->held_count);
		}
	}
	house_explain();
	world_fail("phase %d does not end: %u connections, %llu messages, the broker is %s", (int)world.phase,
		house_conns(), (unsigned long long)house_messages(), house_idle() ? "idle" : "busy");
}

static void check_patience(void)
{
	if (world.phase != WORLD_RUN && world.now_us - p.since_us > PATIENCE_US)
		phases_fail();
}

void phases_step(void)
{
	static void (*const ends[])(void) = {setup_end, run_end, quiet_end, count_end, clear_end};

	for (unsigned i = 0; i < client_count; i++)
		client_pump(&clients[i]);
	for (unsigned i = 0; i < client_count; i++) {
		struct client *c = &clients[i];
		if (c->finished || c->act_us > world.now_us)
			continue;
		c->act_us = world.now_us + pause_us();
		act_now(c);
		client_pump(c);
	}
	if (world.phase == WORLD_RUN)
		crash_some();
	check_patience();
	ends[world.phase]();
}

uint64_t phases_next_us(void)
{
	uint64_t t = UINT64_MAX;

	for (unsigned i = 0; i < client_count; i++)
		if (!clients[i].finished && clients[i].act_us < t)
			t = clients[i].act_us;
	return t;
}
