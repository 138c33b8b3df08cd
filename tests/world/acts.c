/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/world/acts.h"

#include "runtime/check.h"
#include "tests/world/requests.h"
#include "tests/world/world.h"

#include <stdio.h>
#include <string.h>

struct acts acts;

/* A queue of any kind, those that stay more often. */
static unsigned any_queue(void)
{
	if (acts.hot && world_permille(900))
		return world_permille(500) ? MAP_STRICT : MAP_LOOSE;
	return world_permille(700) ? world_below(MAP_BRIEF) : world_below(MAP_WIDE);
}

static bool may_consume(unsigned q)
{
	return q != MAP_STILL;
}

static void consume_some(struct client *c, struct channel *ch)
{
	unsigned q = any_queue();

	if (may_consume(q))
		act_consume(c, ch, q, !map_strict(q) && world_permille(400), world_permille(60));
}

static void cancel_some(struct client *c, struct channel *ch)
{
	for (unsigned tries = 0; tries < 3 && ch->consumer_count; tries++) {
		unsigned i = world_below(ch->consumer_count);
		if (ch->consumers[i].there && !ch->consumers[i].asked_cancel) {
			request_cancel(c, ch, i);
			return;
		}
	}
}

static void settle_some(struct client *c, struct channel *ch)
{
	if (!ch->held_count)
		return;
	unsigned at = world_permille(600) ? 0 : world_below(ch->held_count);
	switch (world_below(8)) {
	case 0:
		request_settle(c, ch, at, world_permille(300), SETTLE_PUT_BACK);
		break;
	case 1:
		request_settle(c, ch, at, world_permille(300), SETTLE_REJECT);
		break;
	case 2:
	case 3:
		request_settle(c, ch, world_below(ch->held_count), true, SETTLE_TAKE);
		break;
	default:
		request_settle(c, ch, at, false, SETTLE_TAKE);
	}
}

static bool consumes(const struct channel *ch)
{
	for (unsigned i = 0; i < ch->consumer_count; i++)
		if (ch->consumers[i].there)
			return true;
	return false;
}

static bool gets(const struct channel *ch)
{
	for (unsigned i = 0; i < ch->expect_count; i++)
		if (ch->expects[(ch->expect_first + i) % CLIENT_EXPECTS].id == AMQP091_METHOD_BASIC_GET_OK)
			return true;
	return false;
}

static void topology_some(struct client *c, struct channel *ch)
{
	unsigned brief = MAP_BRIEF + world_below(MAP_WIDE - MAP_BRIEF);
	const char *exchange, *key;

	map_churn_choose(&exchange, &key);
	switch (world_below(8)) {
	case 0:
	case 1:
		act_declare(c, ch, brief, false);
		break;
	case 2:
		act_declare(c, ch, any_queue(), true);
		break;
	case 3:
		act_delete(c, ch, brief);
		break;
	case 4:
		request_purge(c, ch, MAP_LOOSE + world_below(MAP_WIDE - MAP_LOOSE));
		break;
	case 5:
		act_declare_exchange(c, ch, MAP_CHURN_EXCHANGE, "direct");
		break;
	case 6:
		act_bind(c, ch, exchange, key, world_below(MAP_WIDE), false, world_permille(300));
		break;
	default:
		if (world_permille(300))
			request_delete_exchange(c, ch, MAP_CHURN_EXCHANGE);
		else
			act_bind(c, ch, "amq.fanout", "", brief, false, world_permille(300));
	}
}

/* Errors, with what they lead to. */
static void err(struct client *c, struct channel *ch)
{
	switch (world_below(3)) {
	case 0:
		request_missing_queue(c, ch);
		break;
	case 1:
		request_missing_exchange(c, ch);
		break;
	default:
		request_missing_tag(c, ch);
	}
}

static void channel_act(struct client *c, struct channel *ch)
{
	uint32_t dice = world_below(1000);

	if (ch->expect_count + 4 > CLIENT_EXPECTS || ch->consumer_count + 2 > CLIENT_CONSUMERS ||
		ch->publishes + 2 > CLIENT_UNCONFIRMED || ch->held_count + 600 > CLIENT_HELD)
		act_close_channel(c, ch);
	else if (acts.hot && dice < 250)
		(world_permille(500) ? consume_some : cancel_some)(c, ch);
	else if (dice < 400)
		request_publish(c, ch, acts.hot && world_permille(800) ? (int)any_queue() : -1);
	else if (dice < 450)
		consume_some(c, ch);
	else if (dice < 480)
		cancel_some(c, ch);
	else if (dice < 680)
		settle_some(c, ch);
	else if (dice < 800)
		request_get(c, ch, any_queue());
	else if (dice < 880)
		topology_some(c, ch);
	else if (dice < 920)
		act_qos(c, ch, (uint16_t)WORLD_ONE_OF(0, 1, 3, 20), world_permille(300));
	else if (dice < 940)
		act_close_channel(c, ch);
	else if (dice < 950)
		err(c, ch);
	else if (dice < 970 && !consumes(ch) && !gets(ch))
		request_recover(c, ch);
	else
		act_declare(c, ch, MAP_STILL, true);
}

/* In a way that AMQP does not know. */
static void die(struct client *c)
{
	switch (world_below(4)) {
	case 0:
		world_met(WORLD_client_reset);
		tcp_conn_abort(c->tcp);
		client_lost(c, false);
		break;
	case 1:
		world_met(WORLD_client_left);
		tcp_conn_close(c->tcp);
		client_lost(c, false);
		break;
	case 2:
		world_met(WORLD_client_half_closed);
		if (tcp_conn_shutdown(c->tcp) == 0)
			c->state = CLIENT_ENDING;
		break;
	default:
		world_met(WORLD_client_slept);
		c->sleep_until_us = world.now_us + world_below(WORLD_ONE_OF(100000, 3000000, 20000000));
	}
}

void act(struct client *c)
{
	struct channel *ch = &c->channels[world_below(CLIENT_CHANNELS)];

	if (acts.budget)
		acts.budget--;
	if (world_permille(acts.kill_permille)) {
		die(c);
		return;
	}
	if (world_permille(acts.close_permille)) {
		client_close(c);
		return;
	}
	if (!client_has_room(c))
		return;
	if (ch->state == CHANNEL_SHUT)
		act_open_channel(c, ch, world_permille(600));
	else if (ch->state == CHANNEL_OPEN)
		channel_act(c, ch);
}
