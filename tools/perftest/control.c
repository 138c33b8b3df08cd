/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/perftest/control.h"

#include "tools/client/stamp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	SECOND_US = 1000000,
	WARM_STEP_US = 100000, /* the shortest warm-up whose rate is believed */
	WARM_GROWTH = 100,     /* a short one may mislead by so much */
	PART_US_MIN = 200000,  /* a shorter part would be all beginning and end */
};

static unsigned worker_count(const struct control *c)
{
	return c->o->pubs + c->o->subs;
}

bool control_init(struct control *c, const struct perftest_options *o, const struct control_app *app,
	void *ctx, uint64_t now_us)
{
	*c = (struct control){.o = o,
		.app = app,
		.ctx = ctx,
		.count = o->first,
		.warming = o->time_limit_s || o->warmup_ms,
		.progress_us = now_us,
		.alive_us = now_us};
	c->workers = calloc(o->pubs + o->subs, sizeof(*c->workers));
	c->summaries = calloc(o->iterations, sizeof(*c->summaries));
	return c->workers && c->summaries;
}

void control_free(struct control *c)
{
	free(c->workers);
	free(c->summaries);
}

static void say(struct control *c, unsigned worker, const char *words)
{
	bool pub = worker < c->o->pubs;

	c->app->say(c->ctx, pub, pub ? worker : worker - c->o->pubs, words);
}

static void say_all(struct control *c, unsigned from, unsigned to, const char *words)
{
	for (unsigned i = from; i < to; i++)
		if (!c->workers[i].gone)
			say(c, i, words);
}

static void over(struct control *c, const char *why)
{
	char words[CONTROL_WORD_BYTES];

	if (c->phase == CONTROL_OVER)
		return;
	c->phase = CONTROL_OVER;
	if (why) {
		snprintf(words, sizeof(words), "stop %s", why);
		say_all(c, 0, worker_count(c), words);
	}
	c->app->over(c->ctx, why);
}

static void start(struct control *c, uint64_t now_us)
{
	char words[64];

	c->phase = CONTROL_RUNNING;
	c->app->started(c->ctx);
	c->began_us = c->progress_us = now_us;
	c->progress = 0;
	for (unsigned i = 0; i < worker_count(c); i++) {
		struct control_worker *w = &c->workers[i];
		w->ready = w->done = false;
		w->count = w->seen = 0;
	}
	snprintf(words, sizeof(words), "start %u %" PRIu64, c->iteration, c->count);
	/* Subscribers first: their time begins. */
	say_all(c, c->o->pubs, worker_count(c), words);
	say_all(c, 0, c->o->pubs, words);
}

static bool all_ready(const struct control *c)
{
	/* A publisher is ready once; subscribers are before each iteration. */
	for (unsigned i = c->iteration ? c->o->pubs : 0; i < worker_count(c); i++)
		if (!c->workers[i].ready)
			return false;
	return true;
}

/* What the subscribers of a queue have got is what was published to it. */
static bool queue_done(struct control *c, unsigned queue)
{
	const struct perftest_options *o = c->o;
	uint64_t got = 0, sum = 0, all = o->npubs * c->count;

	for (unsigned i = 0; i < o->nsubs; i++) {
		const struct control_worker *w = &c->workers[o->pubs + queue * o->nsubs + i];
		got += w->count;
		sum += w->sum;
	}
	if (got > all) {
		over(c, "more messages were received than were published");
		return false;
	}
	if (got < all)
		return false;
	if (o->size >= STAMP_BYTES &&
		sum != stamp_sum(queue * (unsigned)o->npubs, (unsigned)o->npubs, c->published + c->count)) {
		over(c, "messages were lost, and as many came twice");
		return false;
	}
	return true;
}

static bool all_done(struct control *c)
{
	const struct perftest_options *o = c->o;

	for (unsigned i = 0; i < o->pubs; i++)
		if (!c->workers[i].done)
			return false;
	for (unsigned i = 0; i < o->qt && o->competing; i++)
		if (!queue_done(c, i))
			return false;
	for (unsigned i = 0; i < o->subs && !o->competing; i++)
		if (c->workers[o->pubs + i].count != perftest_quota(o, c->count))
			return false;
	return true;
}

static void leave(struct control *c)
{
	c->phase = CONTROL_LEAVING;
	say_all(c, 0, worker_count(c), "bye");
}

static void part_add(struct control *c, uint64_t us)
{
	double busy = c->app->busy(c->ctx);

	for (unsigned i = 0; i < worker_count(c); i++) {
		struct control_worker *w = &c->workers[i];
		w->part_count += (double)w->count;
		w->part_seconds += w->rate > 0 ? (double)w->count / w->rate : 0;
	}
	c->parts_busy_us = busy < 0 || c->parts_busy_us < 0 ? -1 : c->parts_busy_us + busy * (double)us;
	c->parts_us += us;
	c->parts_count += c->count;
}

static void parts_clear(struct control *c)
{
	c->parts_us = c->parts_count = 0;
	c->parts_busy_us = 0;
	for (unsigned i = 0; i < worker_count(c); i++)
		c->workers[i].part_count = c->workers[i].part_seconds = 0;
}

static void report(struct control *c)
{
	struct summary *s = &c->summaries[c->reported];

	for (unsigned i = 0; i < worker_count(c); i++) {
		const struct control_worker *w = &c->workers[i];
		summary_rate(i < c->o->pubs ? &s->publish : &s->receive,
			w->part_seconds > 0 ? w->part_count / w->part_seconds : 0);
	}
	summary_finish(s, (double)c->parts_us / SECOND_US, c->parts_count,
		perftest_transfers(c->o, c->parts_count), c->o->size);
	s->client_busy = c->parts_busy_us < 0 ? -1 : c->parts_busy_us / (double)c->parts_us;
	c->app->iteration(c->ctx, c->reported, s);
	c->reported++;
}

/* So many messages of each publisher take so long, by the rate of the iteration that is over. */
static uint64_t count_of(const struct control *c, uint64_t us, uint64_t wanted_us)
{
	double n = (double)c->count * (double)wanted_us / (double)us;

	return n < 1 ? 1 : (uint64_t)n;
}

/* A part that counts is over. */
static void measured(struct control *c, uint64_t us)
{
	uint64_t limit_us = c->o->time_limit_s * SECOND_US;

	part_add(c, us);
	if (c->parts_us < limit_us) {
		uint64_t left_us = limit_us - c->parts_us;
		c->count = count_of(c, us, left_us > PART_US_MIN ? left_us : PART_US_MIN);
		return;
	}
	report(c);
	if (limit_us)
		c->count = count_of(c, us, limit_us);
	parts_clear(c);
}

static void warmed(struct control *c, uint64_t us)
{
	const struct perftest_options *o = c->o;
	uint64_t warmup_us = o->warmup_ms * 1000;

	c->warmed_us += us;
	if (c->warmed_us >= warmup_us && (us >= WARM_STEP_US || !o->time_limit_s)) {
		c->warming = false;
		c->count = o->time_limit_s ? count_of(c, us, o->time_limit_s * SECOND_US) : o->count;
		return;
	}
	uint64_t left_us = warmup_us > c->warmed_us ? warmup_us - c->warmed_us : 0;
	/* A little longer than what is believed, so that there are few of them. */
	uint64_t count = count_of(c, us, left_us > WARM_STEP_US ? left_us : 2 * WARM_STEP_US);
	c->count = count < c->count * WARM_GROWTH ? count : c->count * WARM_GROWTH;
}

static void iteration_done(struct control *c, uint64_t now_us)
{
	uint64_t us = now_us > c->began_us ? now_us - c->began_us : 1;
	char words[64];

	c->progress_us = now_us;
	c->published += c->count;
	if (c->warming)
		warmed(c, us);
	else
		measured(c, us);
	c->iteration++;
	if (c->reported == c->o->iterations) {
		leave(c);
		return;
	}
	c->phase = CONTROL_GATHERING;
	snprintf(words, sizeof(words), "next %u %" PRIu64, c->iteration, c->count);
	say_all(c, c->o->pubs, worker_count(c), words);
}

static void look(struct control *c, uint64_t now_us)
{
	if (c->phase == CONTROL_GATHERING && all_ready(c)) {
		start(c, now_us);
	} else if (c->phase == CONTROL_RUNNING && all_done(c)) {
		iteration_done(c, now_us);
	} else if (c->phase == CONTROL_LEAVING) {
		for (unsigned i = 0; i < worker_count(c); i++)
			if (!c->workers[i].gone)
				return;
		over(c, NULL);
	}
}

static void failed(struct control *c, const char *who, unsigned index, const char *why)
{
	char words[CONTROL_WORD_BYTES];

	snprintf(words, sizeof(words), "%s %u: %.180s", who, index, why);
	over(c, words);
}

static void hear_count(struct control *c, struct control_worker *w, const char *rest, bool pub)
{
	unsigned iteration;
	uint64_t count, sum = 0;
	double rate;
	int n = sscanf(rest, "%u %" SCNu64 " %lf %" SCNx64, &iteration, &count, &rate, &sum);

	if (n < (pub ? 3 : 4) || iteration != c->iteration || c->phase != CONTROL_RUNNING)
		return;
	w->count = count;
	w->rate = rate;
	w->sum = sum;
	w->done = pub;
}

void control_hear(struct control *c, const uint8_t *bytes, uint32_t n, uint64_t now_us)
{
	char words[CONTROL_WORD_BYTES], who[4], verb[8];
	unsigned index;
	int at = 0;

	n = n < sizeof(words) ? n : sizeof(words) - 1;
	memcpy(words, bytes, n);
	words[n] = '\0';
	/* Others may write to the queue: what is not understood is nobody's word. */
	if (sscanf(words, "%3s %u %7s%n", who, &index, verb, &at) < 3 || !at ||
		(strcmp(who, "pub") && strcmp(who, "sub")))
		return;
	bool pub = !strcmp(who, "pub");
	if (index >= (pub ? c->o->pubs : c->o->subs) || c->phase == CONTROL_OVER)
		return;
	struct control_worker *w = &c->workers[pub ? index : c->o->pubs + index];
	w->heard_us = now_us;
	if (!strcmp(verb, "ready"))
		w->ready = true;
	else if (!strcmp(verb, pub ? "done" : "count"))
		hear_count(c, w, words + at, pub);
	else if (!strcmp(verb, "alive"))
		w->seen = strtoull(words + at, NULL, 10);
	else if (!strcmp(verb, "bye"))
		w->gone = true;
	else if (!strcmp(verb, "failed"))
		failed(c, who, index, words + at + (words[at] == ' '));
	look(c, now_us);
}

static void check_progress(struct control *c, uint64_t now_us)
{
	const struct perftest_options *o = c->o;
	uint64_t progress = 0, limit_us = o->timeout_s * SECOND_US;
	char why[CONTROL_WORD_BYTES];

	for (unsigned i = 0; i < worker_count(c); i++)
		progress += c->workers[i].seen + c->workers[i].count + c->workers[i].ready +
			    c->workers[i].gone;
	if (progress != c->progress) {
		c->progress = progress;
		c->progress_us = now_us;
		return;
	}
	if (now_us - c->progress_us < limit_us)
		return;
	for (unsigned i = 0; i < worker_count(c); i++) {
		const struct control_worker *w = &c->workers[i];
		bool pub = i < o->pubs;
		uint64_t wanted = pub ? c->count : perftest_quota(o, c->count);
		if (c->phase == CONTROL_RUNNING	      ? w->count >= wanted
			: c->phase == CONTROL_LEAVING ? w->gone
						      : w->ready)
			continue;
		snprintf(why, sizeof(why),
			"nothing has moved for %" PRIu64 " s: %s %u %s (%" PRIu64 " of %" PRIu64 " messages)",
			o->timeout_s, pub ? "pub" : "sub", pub ? i : i - o->pubs,
			c->phase == CONTROL_RUNNING ? "waits" : "is not there", w->count, wanted);
		over(c, why);
		return;
	}
	over(c, "nothing moves any more");
}

static void check_workers(struct control *c, uint64_t now_us)
{
	char why[64];

	for (unsigned i = 0; i < worker_count(c); i++) {
		const struct control_worker *w = &c->workers[i];
		bool pub = i < c->o->pubs;
		if (!w->heard_us || w->gone || now_us - w->heard_us < c->o->timeout_s * SECOND_US)
			continue;
		snprintf(why, sizeof(why), "nothing was heard of it for %" PRIu64 " s", c->o->timeout_s);
		failed(c, pub ? "pub" : "sub", pub ? i : i - c->o->pubs, why);
		return;
	}
}

void control_tick(struct control *c, uint64_t now_us)
{
	if (c->phase == CONTROL_OVER)
		return;
	if (now_us - c->alive_us >= SECOND_US) {
		c->alive_us = now_us;
		say_all(c, 0, worker_count(c), "alive");
	}
	check_workers(c, now_us);
	if (c->phase != CONTROL_OVER)
		check_progress(c, now_us);
}
