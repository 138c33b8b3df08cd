/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/interleave/world.h"

#include "broker/core/core.h"
#include "broker/core/message_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBERS = 16, HELD_MAX = 16, DEFERRED_MAX = 32, ROUNDS_MAX = 200, MEMORY_BLOCKS = 64 };

enum copy_state { NEVER, UNDER_WAY, OUT, DONE };

struct copy { /* of a message, in a queue */
	uint8_t state;
	bool seen; /* a client had it */
};

struct held {
	struct delivery d;
	uint8_t queue;
};

struct client {
	struct session session;
	const struct deed *script;
	unsigned at;
	bool gone;
	struct message *message; /* offered again until it is taken */
	uint8_t number, to;
	bool fanout;
	struct {
		struct publish_marks marks;
		bool waits;
		uint8_t queue;
	} confirms[WORLD_SCRIPT];
	unsigned confirm_count;
	struct queue_call *call;
	bool calling; /* done has not been called */
	uint8_t call_queue, call_what;
	bool call_no_ack;
	unsigned answers;
	struct held held[HELD_MAX];
	unsigned held_count;
};

struct taker {
	struct consumer consumer;
	struct client *client;
	uint8_t queue, credit;
	bool there, coming, leaving;
	bool stalled;		     /* no room in its transport */
	uint8_t last[WORLD_CLIENTS]; /* the number from each client that came last, never delivered before */
};

static const struct scene *scene;

static struct world {
	struct broker *broker;
	struct message_store *store;
	struct broker_core *cores[WORLD_CORES];
	struct session own[WORLD_CORES]; /* which declare */
	struct client clients[WORLD_CLIENTS];
	struct taker takers[WORLD_CONSUMERS];
	struct copy copies[NUMBERS * WORLD_CLIENTS][WORLD_QUEUES];
	uint64_t confirmed[WORLD_QUEUES];
	struct {
		struct reclaim_node *node;
		reclaim_fn release;
		uint8_t readers; /* cores that may still look */
	} deferred[DEFERRED_MAX];
	unsigned deferred_count;
	size_t live_before;
} * w;

static struct slice text(const char *s)
{
	return (struct slice){(const uint8_t *)s, (uint32_t)strlen(s)};
}

static struct slice queue_text(unsigned queue)
{
	static const char *const names[] = {"q0", "q1"};

	return text(names[queue]);
}

static struct queue *queue_of(unsigned queue)
{
	return queue_find(vhost_find(w->broker, text("/")), queue_text(queue));
}

/* In place of runtime/reclaim.c: what was deferred is released when each core has ended a turn since. */

void reclaim_defer(struct reclaim_node *n, reclaim_fn release)
{
	EXPECT(w->deferred_count < DEFERRED_MAX);
	w->deferred[w->deferred_count].node = n;
	w->deferred[w->deferred_count].release = release;
	w->deferred[w->deferred_count].readers = (uint8_t)((1u << scene->cores) - 1);
	w->deferred_count++;
}

static void quiescent(unsigned core)
{
	for (unsigned i = 0; i < w->deferred_count; i++)
		w->deferred[i].readers &= (uint8_t) ~(1u << core);
	while (w->deferred_count && !w->deferred[0].readers) {
		struct reclaim_node *n = w->deferred[0].node;
		reclaim_fn release = w->deferred[0].release;
		w->deferred_count--;
		for (unsigned i = 0; i < w->deferred_count; i++)
			w->deferred[i] = w->deferred[i + 1];
		w->deferred[w->deferred_count].node = NULL;
		w->deferred[w->deferred_count].release = NULL;
		release(n);
	}
}

/* The account */

static uint8_t number_of(const struct message *m)
{
	struct message_cursor at = {0};

	return message_body_next(m, &at, 1).data[0];
}

static void account(unsigned queue, const struct delivery *d, enum copy_state next)
{
	struct copy *c = &w->copies[number_of(d->message)][queue];

	EXPECT(c->state != NEVER && c->state != OUT && c->state != DONE && "comes once");
	EXPECT((!c->seen || d->redelivered) && "comes again with a word");
	EXPECT((c->seen || !d->redelivered || scene->marks_freely) &&
		"is called redelivered only if it was delivered");
	c->state = (uint8_t)next;
	c->seen = true;
}

static void hold(struct client *c, unsigned queue, const struct delivery *d)
{
	EXPECT(c->held_count < HELD_MAX);
	c->held[c->held_count].d = *d;
	c->held[c->held_count].queue = (uint8_t)queue;
	c->held_count++;
}

/* A client's consumer */

static struct taker *taker_of(struct consumer *k)
{
	return caa_container_of(k, struct taker, consumer);
}

static bool taker_ready(struct consumer *k)
{
	return taker_of(k)->credit > 0 && !taker_of(k)->stalled;
}

static uint32_t taker_credit(struct consumer *k)
{
	return taker_of(k)->credit;
}

static void taker_deliver(struct consumer *k, const struct delivery *d)
{
	struct taker *k_of = taker_of(k);
	uint8_t n = number_of(d->message), *last = &k_of->last[n % WORLD_CLIENTS];

	EXPECT(k_of->there && taker_ready(k));
	k_of->credit--;
	EXPECT((d->redelivered || n > *last) && "is not overtaken");
	if (!d->redelivered)
		*last = n;
	account(k_of->queue, d, k->no_ack ? DONE : OUT);
	if (k->no_ack)
		message_unref(k_of->client->session.core->cache, d->message);
	else
		hold(k_of->client, k_of->queue, d);
}

static void taker_gone(struct taker *k)
{
	k->there = k->coming = k->leaving = false;
}

static void taker_cancelled(struct consumer *k)
{
	EXPECT(taker_of(k)->there && !taker_of(k)->leaving && scene->drops);
	taker_gone(taker_of(k));
}

static void taker_attached(struct consumer *k, const struct failure *f)
{
	EXPECT(taker_of(k)->coming && "is answered once");
	taker_of(k)->coming = false;
	taker_of(k)->there = !f;
}

static void taker_detached(struct consumer *k)
{
	EXPECT(taker_of(k)->leaving && "is answered once");
	taker_gone(taker_of(k));
}

static const struct consumer_ops taker_ops = {
	.ready = taker_ready,
	.deliver = taker_deliver,
	.cancelled = taker_cancelled,
	.credit = taker_credit,
	.attached = taker_attached,
	.detached = taker_detached,
};

/* What clients do */

/* Nobody has them before the turn ends. */
static void expect_copies(const struct client *c, uint32_t queues)
{
	for (unsigned q = 0; q < scene->queues; q++)
		if (queues && (c->fanout || q == c->to))
			w->copies[c->number][q].state = UNDER_WAY;
}

static bool offer(struct client *c)
{
	struct slice key = queue_text(c->to);
	struct publish p = {text(c->fanout ? "amq.fanout" : ""), key, NULL, c->message};
	struct failure f;
	uint32_t queues;
	unsigned i = c->confirm_count;

	memset(&c->confirms[i].marks, 0, sizeof(c->confirms[i].marks));
	enum publish_result r = exchange_publish(&c->session, &p, &c->confirms[i].marks, &queues, &f);
	EXPECT(r != PUBLISH_FAILED);
	if (r != PUBLISH_DONE)
		return false;
	expect_copies(c, queues);
	c->confirms[i].waits = !c->fanout && queues;
	c->confirms[i].queue = c->to;
	c->confirm_count++;
	message_unref(c->session.core->cache, c->message);
	c->message = NULL;
	return true;
}

static bool publish(struct client *c, unsigned queue, bool fanout)
{
	struct message_envelope e = {.exchange = text(fanout ? "amq.fanout" : ""),
		.routing_key = queue_text(queue),
		.body_bytes = 1};

	c->to = (uint8_t)queue;
	c->fanout = fanout;
	/* Numbers tell whose they are and ascend. */
	c->number = (uint8_t)((c->at + 1) * WORLD_CLIENTS + (unsigned)(c - w->clients));
	c->message = message_new(c->session.core->cache, &e);
	EXPECT(c->message);
	message_append(c->message, &c->number, 1);
	return offer(c);
}

/* Each once, when what they promise is true: the queue has taken as many as were confirmed. */
static void confirms(struct client *c)
{
	for (unsigned i = 0; i < c->confirm_count; i++) {
		unsigned queue = c->confirms[i].queue;
		if (!c->confirms[i].waits || !publish_marks_passed(c->session.core, &c->confirms[i].marks))
			continue;
		c->confirms[i].waits = false;
		w->confirmed[queue]++;
		const struct queue *q = queue_of(queue);
		EXPECT(scene->drops || (q && q->entries.next_position >= w->confirmed[queue]));
	}
}

static void consume(struct client *c, unsigned which)
{
	struct taker *k = &w->takers[which];
	struct failure f;
	struct queue *q;

	k->client = c;
	k->queue = scene->consumer[which].queue;
	k->credit = scene->consumer[which].credit;
	memset(k->last, 0, sizeof(k->last));
	if (queue_lookup(&c->session, queue_text(k->queue), &q, &f) != 0)
		return;
	memset(&k->consumer, 0, sizeof(k->consumer));
	k->consumer.ops = &taker_ops;
	k->consumer.no_ack = scene->consumer[which].no_ack;
	k->consumer.exclusive = scene->consumer[which].exclusive;
	enum consumer_result r = consumer_attach(c->session.core, &k->consumer, q, &f);
	k->there = r == CONSUMER_DONE;
	k->coming = r == CONSUMER_PENDING;
}

static void cancel(unsigned which)
{
	struct taker *k = &w->takers[which];

	if (!k->there)
		return;
	k->there = false;
	k->leaving = consumer_detach(&k->consumer) == CONSUMER_PENDING;
}

static void abandon(unsigned which)
{
	struct taker *k = &w->takers[which];

	if (k->there || k->coming || k->leaving)
		consumer_abandon(&k->consumer);
	taker_gone(k);
}

/* False: no room for it now. */
static bool settle_first(struct client *c, bool requeue)
{
	struct broker_core *core = c->session.core;
	struct held h = c->held[0];

	if (!queue_settle_ready(core, &h.d))
		return false;
	for (unsigned i = 1; i < c->held_count; i++)
		c->held[i - 1] = c->held[i];
	c->held_count--;
	w->copies[number_of(h.d.message)][h.queue].state = requeue ? UNDER_WAY : DONE;
	if (requeue)
		queue_requeue(core, &h.d);
	else
		queue_ack(core, &h.d);
	return true;
}

/* Where nobody else takes: what it published before it asked has come before the question. */
static void asked_after_own(const struct client *c, struct queue_call_result *r)
{
	for (unsigned at = 0; at < c->at && scene->consumers == 0; at++) {
		struct copy *copy =
			&w->copies[(at + 1) * WORLD_CLIENTS + (unsigned)(c - w->clients)][c->call_queue];
		if (copy->state != UNDER_WAY)
			continue;
		EXPECT((c->call_what != DO_GET || r->found || scene->drops) && "its own message is there");
		if (c->call_what == DO_PURGE)
			copy->state = DONE;
	}
}

static void answered(void *ctx, struct queue_call_result *r)
{
	struct client *c = ctx;

	EXPECT(c->calling && "is answered once");
	c->calling = false;
	c->call = NULL;
	c->answers++;
	asked_after_own(c, r);
	if (!r->found)
		return;
	account(c->call_queue, &r->delivery, c->call_no_ack ? DONE : OUT);
	if (c->call_no_ack)
		message_unref(c->session.core->cache, r->delivery.message);
	else
		hold(c, c->call_queue, &r->delivery);
}

static void call(struct client *c, const struct deed *d)
{
	static const uint8_t kinds[] = {[DO_GET] = QUEUE_CALL_GET,
		[DO_COUNT] = QUEUE_CALL_COUNT,
		[DO_PURGE] = QUEUE_CALL_PURGE,
		[DO_DELETE] = QUEUE_CALL_DELETE};
	struct queue_call_request r = {.kind = kinds[d->what],
		.queue = queue_text(d->of),
		.no_ack = d->n,
		.done = answered,
		.ctx = c};
	struct failure f;

	c->call_queue = d->of;
	c->call_what = (uint8_t)d->what;
	c->call_no_ack = d->n;
	c->calling = true;
	if (queue_call(&c->session, &r, &c->call, &f))
		c->calling = false;
}

static void declare(struct session *s, unsigned queue)
{
	struct queue_declaration d = {.name = queue_text(queue), .auto_delete = scene->auto_delete};
	struct binding_spec b = {text("amq.fanout"), queue_text(queue), text(""), {0}};
	struct failure f;
	struct queue *q;

	EXPECT(queue_declare(s, &d, &q, &f) == 0);
	EXPECT(binding_add(s, &b, &f) == 0);
}

static void gone(struct client *c)
{
	for (unsigned i = 0; i < scene->consumers; i++)
		if (w->takers[i].client == c)
			abandon(i);
	if (c->call)
		queue_call_abandon(c->call);
	c->call = NULL;
	c->calling = false;
	if (c->message)
		message_unref(c->session.core->cache, c->message);
	c->message = NULL;
	c->confirm_count = 0;
	c->gone = true;
	session_end(&c->session);
}

static bool waits(const struct client *c)
{
	bool taker_waits = false;

	for (unsigned i = 0; i < scene->consumers; i++)
		taker_waits |= w->takers[i].client == c && (w->takers[i].coming || w->takers[i].leaving);
	return c->message || c->calling || taker_waits;
}

static const struct deed *next_deed(const struct client *c)
{
	return &c->script[c->at];
}

static bool client_may(const struct client *c)
{
	enum do_what what = next_deed(c)->what;

	if (c->gone || what == DO_NOTHING)
		return false;
	if (what == DO_GONE)
		return true;
	return !waits(c) && (c->held_count || (what != DO_ACK && what != DO_REQUEUE));
}

static void client_does(struct client *c)
{
	const struct deed *d = next_deed(c);
	bool done = true;

	switch (d->what) {
	case DO_PUBLISH:
	case DO_FANOUT:
		publish(c, d->of, d->what == DO_FANOUT);
		break;
	case DO_CONSUME:
		consume(c, d->of);
		break;
	case DO_CREDIT:
		w->takers[d->of].credit = (uint8_t)(w->takers[d->of].credit + d->n);
		w->takers[d->of].stalled = false;
		if (w->takers[d->of].there)
			consumer_wake(&w->takers[d->of].consumer);
		break;
	case DO_STALL:
		w->takers[d->of].stalled = true;
		break;
	case DO_CANCEL:
		cancel(d->of);
		break;
	case DO_ABANDON:
		abandon(d->of);
		break;
	case DO_ACK:
	case DO_REQUEUE:
		done = settle_first(c, d->what == DO_REQUEUE);
		break;
	case DO_GET:
	case DO_COUNT:
	case DO_PURGE:
	case DO_DELETE:
		call(c, d);
		break;
	case DO_DECLARE:
		declare(&c->session, d->of);
		break;
	case DO_GONE:
		gone(c);
		break;
	case DO_NOTHING:
		break;
	}
	c->at += done;
}

static void turn(unsigned core)
{
	struct broker_core *c = w->cores[core];

	broker_core_poll(c);
	for (unsigned i = 0; i < scene->clients; i++) {
		struct client *k = &w->clients[i];
		if (k->session.core != c)
			continue;
		if (k->message)
			offer(k);
		while (k->gone && k->held_count && settle_first(k, true))
			;
	}
	broker_core_deliver(c, 64);
	for (unsigned i = 0; i < scene->clients; i++)
		if (w->clients[i].session.core == c)
			confirms(&w->clients[i]);
	broker_core_flush(c);
	quiescent(core);
}

/* The model */

static bool at_rest(void)
{
	for (unsigned i = 0; i < scene->clients; i++) {
		const struct client *c = &w->clients[i];
		if ((!c->gone && waits(c)) || (c->gone && c->held_count))
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
		.link_records = scene->link_records});
	EXPECT(w->store && w->broker);
	struct vhost *v = vhost_find(w->broker, text("/"));
	for (unsigned i = 0; i < scene->cores; i++) {
		w->cores[i] = broker_core_create(w->broker, i, message_cache_create(w->store));
		session_begin(&w->own[i], w->cores[i], v);
	}
	for (unsigned i = 0; i < scene->queues; i++)
		declare(&w->own[scene->owner[i]], i);
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
			while (c->held_count && settle_first(c, true))
				;
			for (unsigned k = 0; k < scene->cores; k++)
				turn(k);
		}
		EXPECT(c->held_count == 0);
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
			EXPECT(n > before[n % WORLD_CLIENTS] && "in order");
			before[n % WORLD_CLIENTS] = n;
			account(i, &d, DONE);
			message_unref(q->owner->cache, d.message);
		}
		for (unsigned n = 0; n < NUMBERS * WORLD_CLIENTS && !scene->drops; n++)
			EXPECT((w->copies[n][i].state == NEVER || w->copies[n][i].state == DONE) &&
				"is not lost");
	}
}

static void nothing_left(void)
{
	for (unsigned i = 0; i < scene->cores; i++) {
		EXPECT(pool_stats(w->cores[i]->subscriptions).used == 0);
		EXPECT(pool_stats(w->cores[i]->calls).used == 0);
		EXPECT(w->cores[i]->moves_active == 0);
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
	settle_down(true);
	nobody_starves();
	for (unsigned i = 0; i < scene->consumers; i++)
		abandon(i);
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
	}
	return n;
}

/* At what cores share of links, moves and subscriptions; memory's own words are for weak.h. */
static bool stops_at(const char *place)
{
	static const char *const files[] = {
		" ring.c", " move.c", " publish.c", " subscription.c", " call.c", " core.h", " queue_slot.c"};

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
