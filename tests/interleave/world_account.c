/* SPDX-License-Identifier: Apache-2.0 */
/* What has become of each copy of each message, what consumers get, and memory that readers may still see. */
#include "tests/interleave/world_inside.h"

const struct scene *scene;
struct world *w;

struct slice queue_text(unsigned queue)
{
	static const char *const names[] = {"q0", "q1"};

	return text(names[queue]);
}

struct queue *queue_of(unsigned queue)
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

void reclaim_hold(void)
{
	w->held++;
}

void reclaim_hold_end(void)
{
	EXPECT(w->held > 0);
	w->held--;
}

void quiescent(unsigned core)
{
	if (w->held)
		return;
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

/* Each other core may have filled its link, and once more while this one took from it. */
static uint32_t letters_most(void)
{
	return scene->letters_max + (scene->cores - 1) * 2 * scene->link_records;
}

uint8_t number_of(const struct message *m)
{
	struct message_cursor at = {0};

	return message_body_next(m, &at, 1).data[0];
}

void account(unsigned queue, const struct delivery *d, enum copy_state next)
{
	struct copy *c = &w->copies[number_of(d->message)][queue];

	EXPECT(c->state == UNDER_WAY && "comes once");
	EXPECT((!c->seen || d->redelivered) && "comes again with a word");
	EXPECT((c->seen || !d->redelivered || scene->marks_freely) &&
		"is called redelivered only if it was delivered");
	c->state = (uint8_t)next;
	c->seen = true;
}

enum publish_result letter_goes_on(void *ctx, const struct dead_letter *l)
{
	struct session *s = ctx;
	struct copy *c = w->copies[number_of(l->message)];
	struct publish p = {.exchange = l->address->exchange,
		.routing_key = l->address->routing_key,
		.message = l->message,
		.from_inside = true};
	struct failure f;
	uint32_t queues;

	EXPECT(s->core->letters.count <= letters_most() && "there is room");
	if (w->letters_held >> s->core->index & 1)
		return PUBLISH_AGAIN;
	EXPECT(c[0].state == DONE && (c[1].state == MAYBE || c[1].state == UNDER_WAY) && "was rejected");
	c[1].state = UNDER_WAY;
	return exchange_publish(s, &p, NULL, &queues, &f);
}

void hold(struct client *c, unsigned queue, const struct delivery *d)
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

bool taker_ready(struct consumer *k)
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

void taker_gone(struct taker *k)
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

const struct consumer_ops taker_ops = {
	.ready = taker_ready,
	.deliver = taker_deliver,
	.cancelled = taker_cancelled,
	.credit = taker_credit,
	.attached = taker_attached,
	.detached = taker_detached,
};
