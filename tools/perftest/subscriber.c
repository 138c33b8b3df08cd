/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/perftest/subscriber.h"

#include <string.h>

enum { SECOND_US = 1000000, MS_US = 1000, QUIET_US = 1000 };

static struct subscriber *subscriber_of(struct client *c)
{
	return (struct subscriber *)c->user;
}

static const struct perftest_options *options(const struct subscriber *s)
{
	return &s->worker.run->options;
}

static void tell(struct subscriber *s)
{
	uint64_t us = s->last_us - s->began_us;

	s->told = s->count;
	worker_say(&s->worker, "count %u %llu %.3f %llx", s->iteration, (unsigned long long)s->count,
		(double)s->count * SECOND_US / (double)(us ? us : 1), (unsigned long long)s->account.sum);
}

static void acknowledge(struct subscriber *s)
{
	uint8_t ack[SCRIPT_ACK_BYTES];
	const struct perftest_options *o = options(s);

	if (s->tag == s->acked || s->committing)
		return;
	/* It takes its time; but what an iteration leaves without an ack would come again. */
	if (s->count < s->quota && s->worker.loop->now_us < s->next_ack_us)
		return;
	script_ack_put(ack, s->tag, true);
	/* Without room it is tried again; the next one covers it as well. */
	if (!client_write(&s->worker.client, ack, sizeof(ack)))
		return;
	s->next_ack_us = s->worker.loop->now_us + o->interval_sub_ms * MS_US * o->ack;
	s->uncommitted += s->tag - s->acked;
	s->acked = s->tag;
	if (o->tx && (s->uncommitted >= o->tx || s->count == s->quota)) {
		s->uncommitted = 0;
		s->committing = true;
		client_say(&s->worker.client, &s->commit);
	}
}

static void complain(struct subscriber *s, const char *why)
{
	s->broken = true;
	worker_fail(&s->worker, true, why);
}

static void complain_of_order(struct subscriber *s, enum stamp_fault fault)
{
	char why[200];

	stamp_say(&s->account, fault, why, sizeof(why));
	complain(s, why);
}

static void complain_of_size(struct subscriber *s, const struct reader_delivery *d)
{
	char why[100];

	snprintf(why, sizeof(why), "a message of %llu bytes came, of another size than was published",
		(unsigned long long)d->bytes);
	complain(s, why);
}

void subscriber_take(struct subscriber *s, const struct reader_delivery *d)
{
	const struct perftest_options *o = options(s);

	if (s->broken)
		return;
	if (d->bytes != o->size) {
		complain_of_size(s, d);
		return;
	}
	if (d->shown >= STAMP_BYTES) {
		enum stamp_fault fault = stamp_take(&s->account, wire_get64(d->body));
		if (fault) {
			complain_of_order(s, fault);
			return;
		}
	}
	s->last_us = s->worker.loop->now_us;
	if (s->count++ == 0 && !s->began_us)
		s->began_us = s->last_us;
	s->tag = d->tag;
	if (o->ack && s->tag - s->acked >= o->ack)
		acknowledge(s);
	if (s->count > s->quota && !o->competing)
		complain(s, "more messages came than were published");
	else if (s->count == s->quota && !o->competing) {
		if (o->ack)
			acknowledge(s);
		tell(s);
	}
}

static void on_ready(struct client *c)
{
	worker_say(&subscriber_of(c)->worker, "ready");
}

static void on_delivery(struct client *c, const struct reader_delivery *d)
{
	struct subscriber *s = subscriber_of(c);
	struct worker_order order;

	if (d->consumer == WORKER_DATA_TAG) {
		subscriber_take(s, d);
		return;
	}
	switch (worker_heard(&s->worker, d, &order)) {
	case WORKER_NEXT:
		s->iteration = order.iteration;
		s->quota = perftest_quota(options(s), order.count);
		s->count = s->told = s->began_us = 0;
		worker_say(&s->worker, "ready");
		break;
	case WORKER_START:
		if (!s->began_us)
			s->began_us = s->worker.loop->now_us;
		break;
	default:
		break;
	}
}

static void on_method(struct client *c, const struct amqp091_method *m)
{
	struct subscriber *s = subscriber_of(c);

	if (m->id == AMQP091_METHOD_BASIC_CANCEL) {
		worker_fail(&s->worker, true, "the broker cancelled its consumer");
	} else if (m->id == AMQP091_METHOD_TX_COMMIT_OK) {
		s->committing = false;
		if (s->tag - s->acked >= options(s)->ack || s->count == s->quota)
			acknowledge(s);
	}
}

static void on_writable(struct client *c)
{
	struct subscriber *s = subscriber_of(c);

	if (options(s)->ack && s->tag - s->acked >= options(s)->ack)
		acknowledge(s);
}

static const struct client_app app = {.ready = on_ready,
	.delivery = on_delivery,
	.method = on_method,
	.writable = on_writable,
	.ended = worker_ended};

/* Where each subscriber has a queue of its own. */
static void own_queue(struct subscriber *s, const char *name)
{
	const struct perftest_options *o = options(s);
	struct script *setup = &s->worker.client.setup;
	char key[PERFTEST_NAME_BYTES];

	perftest_data_name(o, perftest_sub_queue(o, s->worker.index), key);
	script_declare(setup, name, SCRIPT_EXCLUSIVE | SCRIPT_AUTO_DELETE);
	script_bind(setup, name, o->mode == PERFTEST_FANOUT ? "amq.fanout" : "amq.topic", key);
}

bool subscriber_init(struct subscriber *s, struct run *run, struct loop *loop, unsigned index)
{
	const struct perftest_options *o = &run->options;
	struct script *setup = &s->worker.client.setup;
	unsigned queue = perftest_sub_queue(o, index);
	char name[PERFTEST_NAME_BYTES];

	memset(s, 0, sizeof(*s));
	s->quota = perftest_quota(o, o->first);
	worker_init(&s->worker, run, loop, false, index, &app);
	if (o->mode == PERFTEST_SHARED) {
		perftest_data_name(o, queue, name);
	} else {
		snprintf(name, sizeof(name), "%s_data_%u", o->base, index);
		own_queue(s, name);
	}
	/* Acks of an open transaction make no room. */
	uint64_t prefetch = o->prefetch + o->tx;
	if (o->ack)
		script_qos(setup, (uint16_t)(prefetch > UINT16_MAX ? UINT16_MAX : prefetch));
	if (o->ack && o->tx)
		script_tx_select(setup);
	script_consume(setup, name, "data", o->ack == 0);
	script_tx_commit(&s->commit);
	return stamp_account_init(&s->account, queue * (unsigned)o->npubs, (unsigned)o->npubs, o->competing);
}

void subscriber_free(struct subscriber *s)
{
	stamp_account_free(&s->account);
	script_free(&s->commit);
	worker_free(&s->worker);
}

void subscriber_tick(struct subscriber *s, uint64_t now_us)
{
	bool ready = s->worker.client.state == CLIENT_READY;

	/* How much of a shared queue is its part shows when no more comes. */
	if (ready && options(s)->competing && s->count != s->told && now_us - s->last_us >= QUIET_US)
		tell(s);
	if (ready && options(s)->ack && s->tag != s->acked && now_us - s->last_us >= QUIET_US)
		acknowledge(s);
	worker_tick(&s->worker, now_us, s->count, true);
}
