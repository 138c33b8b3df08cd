/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/interleave/world.h"

#include "broker/core/message_store.h"
#include "tests/interleave/world_inside.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS_MAX = 200, MEMORY_BLOCKS = 64 };

static void turn(unsigned core)
{
	struct broker_core *c = w->cores[core];

	broker_core_poll(c);
	for (unsigned i = 0; i < scene->clients; i++) {
		struct client *k = &w->clients[i];
		if (k->session.core != c)
			continue;
		if (k->message)
			client_offers(k);
		while (k->gone && k->held_count && client_settles(k, DO_REQUEUE))
			;
	}
	broker_core_deliver(c, 64);
	for (unsigned i = 0; i < scene->clients; i++)
		if (w->clients[i].session.core == c)
			client_confirms(&w->clients[i]);
	broker_core_flush(c);
	quiescent(core);
}

/* The model */

static bool at_rest(void)
{
	for (unsigned i = 0; i < scene->clients; i++) {
		const struct client *c = &w->clients[i];
		if ((!c->gone && client_waits(c)) || (c->gone && c->held_count))
			return false;
		for (unsigned k = 0; k < c->confirm_count; k++)
			if (c->confirms[k].waits)
				return false;
	}
	for (unsigned i = 0; i < scene->cores; i++)
		if (broker_core_busy(w->cores[i]))
			return false;
	return true;
}

static bool quiet(void)
{
	for (unsigned i = 0; i < scene->clients; i++)
		if (client_may(&w->clients[i]))
			return false;
	return at_rest();
}

/* With what clients still have to do, or until nothing is under way. */
static void settle_down(bool clients_do)
{
	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		for (unsigned i = 0; i < scene->clients && clients_do; i++)
			if (client_may(&w->clients[i]))
				client_does(&w->clients[i]);
		for (unsigned i = 0; i < scene->cores; i++)
			turn(i);
		if (clients_do ? quiet() : at_rest())
			return;
	}
	EXPECT(!"comes to rest");
}

static void do_before(void)
{
	bool more = true;

	for (unsigned at = 0; more; at++) {
		more = false;
		for (unsigned i = 0; i < scene->clients; i++) {
			if (at >= scene->client[i].before)
				continue;
			more = true;
			client_does(&w->clients[i]);
			settle_down(false);
		}
	}
}

static void setup(void)
{
	w = calloc(1, sizeof(*w));
	w->store = message_store_create(
		&(struct message_store_config){.memory_bytes = MEMORY_BLOCKS * MESSAGE_BLOCK_BYTES,
			.watermark_percent = 80,
			.caches_max = scene->cores});
	w->live_before = arena_live();
	w->broker = broker_create(&(struct broker_config){.limits = {4, 10, 10, 8},
		.key = {1, 2},
		.cores = scene->cores,
		.letters_max = scene->letters ? scene->letters_max : 4,
		.link_records = scene->link_records});
	EXPECT(w->store && w->broker);
	struct vhost *v = vhost_find(w->broker, text("/"));
	for (unsigned i = 0; i < scene->cores; i++) {
		w->cores[i] = broker_core_create(w->broker, i, message_cache_create(w->store));
		session_begin(&w->own[i], w->cores[i], v);
		broker_core_set_letter_office(w->cores[i], letter_goes_on, &w->own[i]);
	}
	for (unsigned i = 0; i < scene->queues; i++)
		client_declares(&w->own[scene->owner[i]], i);
	for (unsigned i = 0; i < scene->clients; i++) {
		session_begin(&w->clients[i].session, w->cores[scene->client[i].core], v);
		w->clients[i].script = scene->client[i].script;
	}
	settle_down(false);
	do_before();
}

static unsigned actor_of(unsigned activity)
{
	return activity < scene->cores ? activity : scene->client[activity - scene->cores].core;
}

static bool may(unsigned activity)
{
	return activity < scene->cores || client_may(&w->clients[activity - scene->cores]);
}

static void act(unsigned activity)
{
	if (activity < scene->cores)
		turn(activity);
	else
		client_does(&w->clients[activity - scene->cores]);
}

static const char *activity_text(unsigned activity)
{
	static char line[64];

	if (activity < scene->cores)
		snprintf(line, sizeof(line), "turn of core %u", activity);
	else
		snprintf(line, sizeof(line), "client %u (core %u) does", activity - scene->cores,
			actor_of(activity));
	return line;
}

/* A consumer that could take a message has one where there is one. */
static void nobody_starves(void)
{
	for (unsigned i = 0; i < scene->consumers; i++) {
		struct taker *k = &w->takers[i];
		const struct queue *q = k->there && taker_ready(&k->consumer) ? queue_of(k->queue) : NULL;
		EXPECT(!q || q->entries.ready == 0);
	}
}

static void give_all_back(void)
{
	for (unsigned i = 0; i < scene->clients; i++) {
		struct client *c = &w->clients[i];
		for (unsigned round = 0; c->held_count && round < ROUNDS_MAX; round++) {
			while (c->held_count && client_settles(c, DO_REQUEUE))
				;
			for (unsigned k = 0; k < scene->cores; k++)
				turn(k);
		}
		EXPECT(c->held_count == 0);
	}
}

static void none_lost(unsigned queue)
{
	bool letters = scene->letters && queue == 1;

	for (unsigned n = 0; n < NUMBERS * WORLD_CLIENTS && (letters || !scene->drops); n++) {
		uint8_t state = w->copies[n][queue].state;
		EXPECT((state == NEVER || state == DONE || (state == MAYBE && scene->drops)) &&
			"is not lost");
	}
}

static void take_all(void)
{
	for (unsigned i = 0; i < scene->queues; i++) {
		struct queue *q = queue_of(i);
		struct delivery d;
		unsigned before[WORLD_CLIENTS] = {0};
		while (q && queue_take(q, true, &d)) {
			uint8_t n = number_of(d.message);
			EXPECT((n > before[n % WORLD_CLIENTS] || (i == 1 && scene->mixes)) && "in order");
			before[n % WORLD_CLIENTS] = n;
			account(i, &d, DONE);
			message_unref(q->owner->cache, d.message);
		}
		none_lost(i);
	}
}

static void nothing_left(void)
{
	for (unsigned i = 0; i < scene->cores; i++) {
		EXPECT(pool_stats(w->cores[i]->subscriptions).used == 0);
		EXPECT(pool_stats(w->cores[i]->calls).used == 0);
		EXPECT(w->cores[i]->moves_active == 0);
		EXPECT(pool_stats(w->cores[i]->letters.pool).used == 0 && letters_open(w->cores[i]));
		EXPECT(w->cores[i]->stats.messages_unacked == 0 && w->cores[i]->stats.messages_ready == 0);
	}
	EXPECT(w->broker->consumer_count == 0);
	for (unsigned i = 0; i < scene->cores; i++)
		broker_core_destroy(w->cores[i]);
	struct message_store_stats stats = message_store_stats(w->store);
	EXPECT(stats.cells.used == 0 && stats.blocks.used == 0);
	broker_destroy(w->broker);
	for (unsigned i = 0; i < scene->cores; i++)
		quiescent(i);
	EXPECT(w->deferred_count == 0);
	EXPECT(arena_live() == w->live_before); /* the store and this are left */
}

static void finish(void)
{
	w->letters_held = 0;
	settle_down(true);
	nobody_starves();
	for (unsigned i = 0; i < scene->consumers; i++)
		client_abandons(i);
	settle_down(true);
	give_all_back();
	settle_down(true);
	take_all();
	for (unsigned i = 0; i < scene->clients; i++)
		if (!w->clients[i].gone)
			session_end(&w->clients[i].session);
	broker_cores_settle(w->broker);
	nothing_left();
}

static unsigned ignored(struct turns_range *out, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < scene->cores; i++) {
		struct broker_core *c = w->cores[i];
		out[n++] = (struct turns_range){&c->stats, sizeof(c->stats)};
		out[n++] = (struct turns_range){&c->counters.publish_again, sizeof(uint64_t)};
		out[n++] = (struct turns_range){&c->counters.parcels_waited, sizeof(uint64_t)};
		out[n++] = (struct turns_range){&c->counters.dead_letters, sizeof(uint64_t)};
	}
	return n;
}

/* At what cores share of links, moves and subscriptions; memory's own words are for weak.h. */
static bool stops_at(const char *place)
{
	static const char *const files[] = {" ring.c", " move.c", " publish.c", " subscription.c", " call.c",
		" core.h", " queue_slot.c", " dead_letter.c"};

	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (strstr(place, files[i]))
			return true;
	return false;
}

static struct turns_model model;

const struct turns_model *world_model(const struct scene *s)
{
	scene = s;
	model = (struct turns_model){.name = s->name,
		.setup = setup,
		.activities = s->cores + s->clients,
		.actor_of = actor_of,
		.may = may,
		.act = act,
		.text = activity_text,
		.quiet = quiet,
		.finish = finish,
		.ignored = ignored,
		.activities_max = s->activities_max,
		.preemptions_max = s->preemptions_max,
		.stops_at = stops_at,
		.states_min = s->states_min};
	return &model;
}
