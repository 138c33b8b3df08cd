/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/perftest/steering.h"

#include "runtime/clock.h"

#include <string.h>

static struct steering *steering_of(struct client *c)
{
	return (struct steering *)c->user;
}

/* Calls each with the name of every queue of the run. */
static void each_queue(const struct perftest_options *o, struct script *s,
	void (*each)(struct script *s, const char *name, const struct perftest_options *o, bool data))
{
	char name[PERFTEST_NAME_BYTES];

	perftest_control_name(o, name);
	each(s, name, o, false);
	for (unsigned i = 0; i < o->pubs + o->subs; i++) {
		perftest_worker_name(o, i < o->pubs, i < o->pubs ? i : i - o->pubs, name);
		each(s, name, o, false);
	}
	for (unsigned i = 0; i < o->qt && o->mode == PERFTEST_SHARED; i++) {
		perftest_data_name(o, i, name);
		each(s, name, o, true);
	}
}

static void make(struct script *s, const char *name, const struct perftest_options *o, bool data)
{
	script_declare(s, name, data && o->queue_durable ? SCRIPT_DURABLE : 0);
	script_purge(s, name);
}

static void delete (struct script *s, const char *name, const struct perftest_options *o, bool data)
{
	script_delete(s, name);
}

static void on_ready(struct client *c)
{
	struct steering *s = steering_of(c);

	/* The queues are there. */
	__atomic_store_n(&s->run->connect, 1, __ATOMIC_RELEASE);
	if (!s->steers)
		client_close(c);
}

static void on_delivery(struct client *c, const struct reader_delivery *d)
{
	struct steering *s = steering_of(c);

	control_hear(&s->control, d->body, d->shown, s->loop->now_us);
}

static void on_method(struct client *c, const struct amqp091_method *m)
{
	struct steering *s = steering_of(c);

	if (s->deleting && c->answers_due == 0)
		client_close(c);
}

static void on_writable(struct client *c)
{
}

static void on_ended(struct client *c, const char *why)
{
	struct steering *s = steering_of(c);
	char text[400];

	if (why) {
		snprintf(text, sizeof(text), "%s: %s", s->steers ? "control" : "setup", why);
		outcome_fail(&s->run->outcome, text);
	}
	run_leave(s->run);
}

static const struct client_app app = {.ready = on_ready,
	.delivery = on_delivery,
	.method = on_method,
	.writable = on_writable,
	.ended = on_ended};

static void say(void *ctx, bool pub, unsigned index, const char *words)
{
	struct steering *s = ctx;
	struct script script = {0};
	char queue[PERFTEST_NAME_BYTES];

	perftest_worker_name(&s->run->options, pub, index, queue);
	script_publish_text(&script, "", queue, words);
	client_say(&s->client, &script);
	script_free(&script);
}

static void iteration(void *ctx, unsigned index, const struct summary *summary)
{
	struct steering *s = ctx;
	const struct perftest_options *o = &s->run->options;
	struct summary mean;

	summary_print(s->run->out, o, index, summary);
	if (index + 1 == o->iterations && index) {
		summary_mean(&mean, s->control.summaries, index + 1);
		summary_print_mean(s->run->out, o, &mean);
	}
}

static void started(void *ctx)
{
	struct steering *s = ctx;

	s->began_ticks = turn_ticks();
	for (unsigned i = 0; i < s->run->machine.count; i++)
		s->busy_ticks[i] = turn_stats(&s->run->machine.loops[i].turn).ticks_busy;
}

/* What other processes do is not seen from here. */
static double busy(void *ctx)
{
	struct steering *s = ctx;
	const struct perftest_options *o = &s->run->options;
	uint64_t most = 0, ticks = turn_ticks() - s->began_ticks;

	if (!o->publish || !o->subscribe || !ticks)
		return -1;
	for (unsigned i = 0; i < s->run->machine.count; i++) {
		uint64_t of = turn_stats(&s->run->machine.loops[i].turn).ticks_busy - s->busy_ticks[i];
		most = of > most ? of : most;
	}
	return most < ticks ? (double)most / (double)ticks : 1;
}

static void over(void *ctx, const char *why)
{
	struct steering *s = ctx;
	struct script script = {0};

	if (why) {
		outcome_fail(&s->run->outcome, why);
		return;
	}
	s->deleting = true;
	each_queue(&s->run->options, &script, delete);
	client_say(&s->client, &script);
	script_free(&script);
}

/* A failed run leaves nothing that the next one would trip over, where all of it was in this process. */
static void clean_up(struct steering *s)
{
	const struct perftest_options *o = &s->run->options;
	struct script script = {0};

	if (s->client.state != CLIENT_READY || !o->setup || !o->control || !o->publish || !o->subscribe)
		return;
	s->deleting = true;
	each_queue(o, &script, delete);
	client_say(&s->client, &script);
	script_free(&script);
}

static const struct control_app control_app = {
	.say = say, .started = started, .busy = busy, .iteration = iteration, .over = over};

bool steering_init(struct steering *s, struct run *run, struct loop *loop)
{
	const struct perftest_options *o = &run->options;
	char name[PERFTEST_NAME_BYTES];

	*s = (struct steering){.run = run, .loop = loop, .steers = o->control};
	client_init(&s->client, &app, &run->machine.login, s);
	if (o->setup)
		each_queue(o, &s->client.setup, make);
	perftest_control_name(o, name);
	if (s->steers)
		script_consume(&s->client.setup, name, "control", true);
	return control_init(&s->control, o, &control_app, s, clock_now_us());
}

void steering_free(struct steering *s)
{
	control_free(&s->control);
	client_free(&s->client);
}

void steering_connect(struct steering *s)
{
	loop_connect(s->loop, &s->client, &s->run->machine.broker);
}

void steering_tick(struct steering *s, uint64_t now_us)
{
	client_try(&s->client);
	if (outcome_has_failed(&s->run->outcome) && !s->deleting)
		clean_up(s);
	if (s->steers && s->client.state == CLIENT_READY)
		control_tick(&s->control, now_us);
}
