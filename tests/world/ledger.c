/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/world/ledger.h"

#include "runtime/wire.h"
#include "tests/world/world.h"

#include <stdio.h>
#include <string.h>

enum state {
	ABSENT,	 /* no client had it yet: in the queue, or on its way, or the queue was not reached */
	OUT,	 /* with its holder */
	SETTLED, /* its holder has said so; GONE or MAYBE once the holder has ended */
	BACK,	 /* it may come again */
	GONE,	 /* it must not */
	MAYBE,	 /* it may, or not */
};

struct copy {
	uint8_t state;
	bool seen, seen_first; /* by a client; and when it was not said to come again */
	bool torn;	       /* two have it, and which of them the broker has left behind is not known */
	ledger_life holder;
};

/* What was on its way to a channel that the broker has left behind may arrive long after others got it. So
 * two may have one copy, as long as one of them does not end clean. */
struct pair {
	ledger_life a, b;
	uint32_t number;
};
enum { PAIRS_MAX = 65536 };

struct life {
	bool closing, ended, clean;
	uint32_t doomed_by; /* 1 + a message that it got, but cannot rightly have: it will not end clean */
	uint32_t published;
};

struct message {
	struct map_set must, may;
	ledger_life life;
	uint32_t order, body_bytes;
	bool mandatory, returned;
	uint64_t committed; /* when; 0: not that we know */
	char exchange[LEDGER_KEY_MAX], key[LEDGER_KEY_MAX];
};

static struct {
	struct life lives[LEDGER_LIVES_MAX];
	uint32_t life_count;
	struct message messages[LEDGER_MESSAGES_MAX];
	struct copy copies[LEDGER_MESSAGES_MAX][MAP_QUEUES_MAX];
	uint32_t message_count;
	struct pair pairs[PAIRS_MAX];
	uint32_t pair_count;
	uint64_t moment;
	uint32_t may_count[MAP_QUEUES_MAX];
	uint32_t gets_out[MAP_QUEUES_MAX];
} l;

__attribute__((noreturn)) static void fail(const char *what, uint32_t number, unsigned queue)
{
	const struct message *m = &l.messages[number];
	const struct copy *c = &l.copies[number][queue];

	world_fail("message %u (to %s/%s, the %u. of channel life %u, %scommitted) in %s: %s; state %u, "
		   "%sseen, holder "
		   "%u",
		number, m->exchange, m->key, m->order, m->life, m->committed ? "" : "not ", map_queue(queue),
		what, c->state, c->seen ? "" : "not ", c->holder);
}

void ledger_reset(void)
{
	l.life_count = 1;
	l.message_count = 0;
	l.pair_count = 0;
	l.moment = 1;
	memset(l.may_count, 0, sizeof(l.may_count));
	memset(l.gets_out, 0, sizeof(l.gets_out));
}

ledger_life ledger_life_begin(void)
{
	if (l.life_count == LEDGER_LIVES_MAX)
		world_fail("more channels than the model has room for");
	l.lives[l.life_count] = (struct life){0};
	return l.life_count++;
}

void ledger_life_closing(ledger_life life)
{
	l.lives[life].closing = true;
}

void ledger_life_end(ledger_life life, bool clean)
{
	struct life *i = &l.lives[life];

	if (i->ended)
		return;
	i->ended = true;
	i->clean = clean;
	if (clean && i->doomed_by)
		world_fail("message %u came to channel life %u, which lived, though it was another's",
			i->doomed_by - 1, life);
	for (uint32_t k = 0; clean && k < l.pair_count; k++) {
		const struct pair *p = &l.pairs[k];
		if ((p->a == life || p->b == life) && l.lives[p->a].clean && l.lives[p->b].clean)
			world_fail(
				"message %u was with channel lives %u and %u at once", p->number, p->a, p->b);
	}
}

static void at_most_one(ledger_life a, ledger_life b, uint32_t number)
{
	if (l.lives[a].ended && !l.lives[a].clean)
		return;
	if (l.lives[a].clean)
		l.lives[b].doomed_by = 1 + number;
	else if (l.pair_count < PAIRS_MAX)
		l.pairs[l.pair_count++] = (struct pair){a, b, number};
	else
		world_fail("more deliveries that cross than the model has room for");
}

uint32_t ledger_publish(ledger_life life, const struct map_route *r, uint32_t body_bytes, bool mandatory)
{
	uint32_t n = l.message_count;
	struct message *m = &l.messages[n];

	if (n == LEDGER_MESSAGES_MAX)
		return UINT32_MAX;
	l.message_count++;
	*m = (struct message){.must = r->must,
		.may = r->may,
		.life = life,
		.order = ++l.lives[life].published,
		.body_bytes = body_bytes,
		.mandatory = mandatory};
	snprintf(m->exchange, sizeof(m->exchange), "%s", r->exchange);
	snprintf(m->key, sizeof(m->key), "%s", r->key);
	memset(l.copies[n], 0, sizeof(l.copies[n]));
	for (unsigned q = 0; q < MAP_QUEUES_MAX; q++)
		l.may_count[q] += map_has(&m->may, q);
	return n;
}

static uint8_t body_byte(uint32_t number, uint32_t at)
{
	return (uint8_t)(number * 31 + at * 7 + (at >> 8));
}

void ledger_body(uint32_t number, uint32_t offset, uint8_t *out, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		out[i] = body_byte(number, offset + i);
	if (offset == 0) {
		wire_put32(out, number);
		wire_put32(out + 4, l.messages[number].body_bytes);
	}
}

uint32_t ledger_body_bytes(uint32_t number)
{
	return l.messages[number].body_bytes;
}

void ledger_committed(uint32_t number)
{
	struct message *m = &l.messages[number];

	if (m->committed)
		return;
	if (m->mandatory && !m->returned && map_empty(&m->may))
		world_fail("message %u to %s/%s had no queue and did not come back", number, m->exchange,
			m->key);
	m->committed = ++l.moment;
}

void ledger_returned(uint32_t number)
{
	struct message *m = &l.messages[number];

	if (!m->mandatory || m->returned || m->committed || !map_empty(&m->must))
		world_fail("message %u to %s/%s came back, which it should not", number, m->exchange, m->key);
	m->returned = true;
}

/* As it stands, given what has become of its holder. */
static enum state state_of(const struct copy *c)
{
	const struct life *i = &l.lives[c->holder];

	if (c->torn)
		return MAYBE;
	switch ((enum state)c->state) {
	case OUT:
		return i->ended || i->closing ? BACK : OUT;
	case SETTLED:
		return !i->ended ? SETTLED : i->clean ? GONE : MAYBE;
	default:
		return (enum state)c->state;
	}
}

static void check_body(uint32_t n, const struct ledger_arrival *a)
{
	uint8_t want[256];

	for (uint32_t at = 0; at < a->body_bytes;) {
		uint32_t piece = a->body_bytes - at < sizeof(want) ? a->body_bytes - at
								   : (uint32_t)sizeof(want);
		ledger_body(n, at, want, piece);
		if (memcmp(want, a->body + at, piece) != 0)
			fail("its body has changed", n, a->queue);
		at += piece;
	}
}

/* Whether it is the new holder's from now on. */
static bool take_over(struct copy *c, const struct ledger_arrival *a, uint32_t n)
{
	enum state s = state_of(c);

	world.situations[WORLD_redelivered] += c->seen;
	world.situations[WORLD_came_back] += c->seen && s != OUT && c->state == OUT;
	bool taken = s == OUT || s == SETTLED || s == GONE;
	bool before = c->seen && !a->redelivered; /* it was sent before the other one */
	if ((taken || before) && l.lives[a->holder].closing)
		return false; /* the broker had taken it back before this came */
	if (before)
		l.lives[a->holder].doomed_by = 1 + n;
	c->torn |= s == MAYBE; /* it may be older than what its last holder said */
	if (before || !taken)
		return !before;
	at_most_one(c->holder, a->holder, n);
	c->torn |= s != GONE;
	return s != GONE;
}

uint32_t ledger_arrived(const struct ledger_arrival *a)
{
	uint32_t n = a->body_bytes >= LEDGER_BODY_HEAD ? wire_get32(a->body) : UINT32_MAX;

	if (n >= l.message_count)
		world_fail("a message of %u bytes that nobody published comes from %s", a->body_bytes,
			map_queue(a->queue));
	const struct message *m = &l.messages[n];
	struct copy *c = &l.copies[n][a->queue];
	world_trace("message %u from %s for channel life %u%s", n, map_queue(a->queue), a->holder,
		a->redelivered ? ", again" : "");
	if (m->body_bytes != a->body_bytes || strcmp(m->exchange, a->exchange) || strcmp(m->key, a->key))
		fail("it is not what it was", n, a->queue);
	check_body(n, a);
	if (!map_has(&m->may, a->queue))
		fail("it does not belong there", n, a->queue);
	if (m->returned)
		fail("it was given back to its publisher", n, a->queue);
	if (!a->redelivered && c->seen_first)
		fail("it comes again without a word", n, a->queue);
	c->seen_first |= !a->redelivered;
	if (!take_over(c, a, n)) {
		c->seen = true;
		return n;
	}
	c->seen = true;
	c->holder = a->holder;
	c->state = a->settled ? GONE : OUT;
	return n;
}

ledger_life ledger_publisher(uint32_t number, uint32_t *order)
{
	*order = l.messages[number].order;
	return l.messages[number].life;
}

/* Where somebody else has it by now, the holder is as good as gone, and does not know it yet. */
static void said(ledger_life holder, uint32_t number, unsigned queue, enum state state)
{
	struct copy *c = &l.copies[number][queue];

	if (c->holder == holder)
		c->state = state;
}

void ledger_settled(ledger_life holder, uint32_t number, unsigned queue)
{
	said(holder, number, queue, SETTLED);
}

void ledger_put_back(ledger_life holder, uint32_t number, unsigned queue)
{
	said(holder, number, queue, BACK);
}

struct ledger_question ledger_ask(unsigned queue, ledger_life life)
{
	struct ledger_question q = {
		.queue = queue, .asked = ++l.moment, .life = life, .order = l.lives[life].published};

	for (uint32_t n = 0; n < l.message_count; n++) {
		/* What was acknowledged on a channel that lives may come back: it may live for its client
		 * alone. */
		q.gone += state_of(&l.copies[n][queue]) == GONE;
	}
	return q;
}

uint32_t ledger_most(const struct ledger_question *q)
{
	return l.may_count[q->queue] - q->gone;
}

uint32_t ledger_least(const struct ledger_question *q)
{
	uint32_t sure = 0;

	if (q->queue != MAP_STILL || world.phase > WORLD_RUN)
		return 0;
	for (uint32_t n = 0; n < l.message_count; n++) {
		const struct message *m = &l.messages[n];
		bool known = m->committed && m->committed < q->asked;
		/* Its own come first, but where they wait for memory. */
		bool own = !world.stalled && m->life == q->life && m->order <= q->order;
		sure += map_has(&m->must, q->queue) && (known || own) &&
			l.copies[n][q->queue].state == ABSENT;
	}
	return sure > l.gets_out[q->queue] ? sure - l.gets_out[q->queue] : 0;
}

void ledger_get_sent(unsigned queue)
{
	l.gets_out[queue]++;
}

void ledger_get_answered(unsigned queue)
{
	l.gets_out[queue]--;
}

void ledger_check(bool wide)
{
	for (uint32_t n = 0; n < l.message_count; n++)
		for (unsigned q = 0; q < (wide ? MAP_QUEUES_MAX : MAP_WIDE); q++) {
			const struct message *m = &l.messages[n];
			enum state s = state_of(&l.copies[n][q]);
			if (!map_strict(q) || !m->committed || !map_has(&m->must, q))
				continue;
			if (s == ABSENT || s == BACK || s == OUT)
				fail("it is lost", n, q);
		}
}
