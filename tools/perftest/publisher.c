/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/perftest/publisher.h"

#include <string.h>

enum { SECOND_US = 1000000, MS_US = 1000 };

static struct publisher *publisher_of(struct client *c)
{
	return (struct publisher *)c->user;
}

static const struct perftest_options *options(const struct publisher *p)
{
	return &p->worker.run->options;
}

/* How many of this iteration's are due by its clock. */
static uint64_t due(const struct publisher *p)
{
	const struct perftest_options *o = options(p);
	uint64_t us = p->worker.loop->now_us - p->began_us;

	if (o->interval_pub_ms)
		return us / (o->interval_pub_ms * MS_US) + 1;
	return o->rate ? us * o->rate / SECOND_US + 1 : UINT64_MAX;
}

/* How many messages may be sent now. */
static uint32_t allowed(const struct publisher *p)
{
	const struct perftest_options *o = options(p);
	uint64_t n = p->left < p->lap.count ? p->left : p->lap.count;
	uint64_t sent = p->count - p->left, by_now = due(p);

	/* There are brokers that take nothing before they have answered a commit. */
	if (p->commits_due || sent >= by_now)
		return 0;
	n = n < by_now - sent ? n : by_now - sent;
	if (o->window && o->confirm) {
		uint64_t out = confirms_due(&p->confirms), room = out < o->window ? o->window - out : 0;
		n = n < room ? n : room;
	}
	if (o->tx && n > o->tx - p->in_tx)
		n = o->tx - p->in_tx;
	return (uint32_t)n;
}

static void commit(struct publisher *p)
{
	p->in_tx = 0;
	p->commits_due++;
	client_say(&p->worker.client, &p->commit);
}

static void done(struct publisher *p)
{
	uint64_t us = p->worker.loop->now_us - p->began_us;

	p->state = PUBLISHER_WAITING;
	worker_say(&p->worker, "done %u %llu %.3f", p->iteration, (unsigned long long)p->count,
		(double)p->count * SECOND_US / (double)(us ? us : 1));
}

/* All is sent: it counts as published when the broker says so. */
static void settle(struct publisher *p)
{
	const struct perftest_options *o = options(p);
	struct script s = {0};

	p->state = PUBLISHER_SETTLING;
	if (o->tx) {
		if (p->in_tx)
			commit(p);
	} else if (!o->confirm) {
		/* Any method that is answered: it comes after all that was published before it. */
		script_qos(&s, 0);
		client_say(&p->worker.client, &s);
		script_free(&s);
	}
}

static void look(struct publisher *p)
{
	const struct perftest_options *o = options(p);

	if (p->state != PUBLISHER_SETTLING)
		return;
	if (o->tx	     ? p->commits_due == 0
		: o->confirm ? confirms_due(&p->confirms) == 0
			     : p->worker.client.answers_due == 0)
		done(p);
}

void publisher_pump(struct publisher *p)
{
	struct client *c = &p->worker.client;

	while (p->state == PUBLISHER_SENDING) {
		lap_send(&p->lap, c);
		if (!lap_is_sent(&p->lap))
			return;
		if (options(p)->tx && p->in_tx == options(p)->tx)
			commit(p);
		if (p->left == 0) {
			settle(p);
			look(p);
			return;
		}
		uint32_t n = allowed(p);
		if (n == 0)
			return;
		lap_fill(&p->lap, p->worker.index, p->number, n);
		p->number += n;
		p->confirms.published += n;
		p->left -= n;
		p->in_tx += n;
	}
}

void publisher_start(struct publisher *p, unsigned iteration, uint64_t count, uint64_t now_us)
{
	p->state = PUBLISHER_SENDING;
	p->iteration = iteration;
	p->count = p->left = count;
	p->began_us = now_us;
	publisher_pump(p);
}

static void on_ready(struct client *c)
{
	struct publisher *p = publisher_of(c);
	const struct perftest_options *o = options(p);
	static const char *const exchanges[] = {
		[PERFTEST_SHARED] = "", [PERFTEST_FANOUT] = "amq.fanout", [PERFTEST_TOPIC] = "amq.topic"};
	char key[PERFTEST_NAME_BYTES];

	perftest_data_name(o, perftest_pub_queue(o, p->worker.index), key);
	lap_make(&p->lap, c->frame_max, exchanges[o->mode], key, o->size, o->durable);
	worker_say(&p->worker, "ready");
}

static void on_delivery(struct client *c, const struct reader_delivery *d)
{
	struct publisher *p = publisher_of(c);
	struct worker_order order;

	if (worker_heard(&p->worker, d, &order) == WORKER_START && p->state == PUBLISHER_WAITING)
		publisher_start(p, order.iteration, order.count, p->worker.loop->now_us);
}

static void on_method(struct client *c, const struct amqp091_method *m)
{
	struct publisher *p = publisher_of(c);

	if (m->id == AMQP091_METHOD_BASIC_ACK) {
		if (!confirms_take(&p->confirms, m->args.basic_ack.delivery_tag, m->args.basic_ack.multiple))
			worker_fail(&p->worker, lap_is_sent(&p->lap),
				"a confirm came for nothing that waits for one");
	} else if (m->id == AMQP091_METHOD_BASIC_NACK) {
		worker_fail(
			&p->worker, lap_is_sent(&p->lap), "the broker did not take a message (basic.nack)");
	} else if (m->id == AMQP091_METHOD_TX_COMMIT_OK && p->commits_due) {
		p->commits_due--;
	}
	publisher_pump(p);
	look(p);
}

static void on_writable(struct client *c)
{
	publisher_pump(publisher_of(c));
}

static const struct client_app app = {.ready = on_ready,
	.delivery = on_delivery,
	.method = on_method,
	.writable = on_writable,
	.ended = worker_ended};

void publisher_init(struct publisher *p, struct run *run, struct loop *loop, unsigned index)
{
	memset(p, 0, sizeof(*p));
	worker_init(&p->worker, run, loop, true, index, &app);
	if (run->options.confirm)
		script_confirm_select(&p->worker.client.setup);
	if (run->options.tx)
		script_tx_select(&p->worker.client.setup);
	script_tx_commit(&p->commit);
}

void publisher_free(struct publisher *p)
{
	script_free(&p->commit);
	lap_free(&p->lap);
	confirms_free(&p->confirms);
	worker_free(&p->worker);
}

void publisher_tick(struct publisher *p, uint64_t now_us)
{
	if (p->worker.client.state == CLIENT_READY)
		publisher_pump(p);
	worker_tick(&p->worker, now_us, p->count - p->left, lap_is_sent(&p->lap));
}
