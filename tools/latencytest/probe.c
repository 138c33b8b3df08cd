/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/latencytest/probe.h"

#include <string.h>

static struct probe *probe_of(struct client *c)
{
	return (struct probe *)c->user;
}

static const struct latency_options *options(const struct probe *p)
{
	return &p->run->options;
}

static void fail(struct probe *p, const char *why)
{
	char text[400];

	p->broken = true;
	snprintf(text, sizeof(text), "queue %u: %s", p->index, why);
	outcome_fail(&p->run->outcome, text);
}

static void on_ready(struct client *c)
{
	struct probe *p = probe_of(c);
	char queue[LATENCY_NAME_BYTES];

	latency_queue_name(options(p), p->index, queue);
	if (c == &p->sender)
		lap_make(&p->lap, c->frame_max, "", queue, options(p)->size, options(p)->durable);
	__atomic_add_fetch(&p->run->ready, 1, __ATOMIC_ACQ_REL);
}

static void acknowledge(struct probe *p)
{
	uint8_t ack[SCRIPT_ACK_BYTES];

	recorder_work(p->recorder);
	script_ack_put(ack, p->tag, true);
	if (client_write(&p->receiver, ack, sizeof(ack)))
		p->acked = p->tag;
}

/* Which message it is. False: none that was to come. */
static bool number_of(struct probe *p, const struct reader_delivery *d, uint64_t *number)
{
	char why[200];

	*number = p->received;
	if (d->bytes != options(p)->size) {
		fail(p, "a message of another size came");
		return false;
	}
	if (d->shown >= STAMP_BYTES) {
		uint64_t stamp = wire_get64(d->body);
		enum stamp_fault fault = stamp_take(&p->account, stamp);
		if (fault) {
			stamp_say(&p->account, fault, why, sizeof(why));
			fail(p, why);
			return false;
		}
		*number = stamp_number(stamp);
	}
	if (*number >= p->sent) {
		fail(p, "a message came that was not sent yet");
		return false;
	}
	return true;
}

/* How late they were, noted when they are on their way: before, it would make them later. */
static void late_note(struct probe *p)
{
	for (; p->noted < p->sent; p->noted++)
		distribution_add(&p->recorder->late, p->sent_ns - schedule_due_ns(&p->schedule, p->noted));
}

static void look(struct probe *p)
{
	const struct latency_options *o = options(p);

	if (p->done || p->received < o->total || (o->confirm && confirms_due(&p->confirms)))
		return;
	late_note(p);
	p->done = true;
	__atomic_add_fetch(&p->run->done, 1, __ATOMIC_ACQ_REL);
}

static void on_delivery(struct client *c, const struct reader_delivery *d)
{
	struct probe *p = probe_of(c);
	const struct latency_options *o = options(p);
	uint64_t now_ns = recorder_clock_ns(), number;

	recorder_work(p->recorder);
	recorder_look(p->recorder, now_ns);
	if (p->broken || !number_of(p, d, &number))
		return;
	if (number >= o->warmup_count)
		recorder_take(p->recorder, schedule_due_ns(&p->schedule, number), now_ns);
	p->tag = d->tag;
	if (o->ack && p->tag - p->acked >= o->ack)
		acknowledge(p);
	p->received++;
	look(p);
}

/* Tags count from 1 and messages from 0. */
static void on_confirm(struct probe *p, uint64_t tag, bool multiple)
{
	uint64_t now_ns = recorder_clock_ns(), until = multiple && !tag ? p->confirms.published : tag;

	recorder_work(p->recorder);
	recorder_look(p->recorder, now_ns);
	for (uint64_t t = multiple ? p->confirms.floor + 1 : tag;
		t <= until && until <= p->confirms.published; t++) {
		if (t > options(p)->warmup_count && !confirms_is_early(&p->confirms, t))
			distribution_add(
				&p->recorder->confirmed, now_ns - schedule_due_ns(&p->schedule, t - 1));
	}
	if (!confirms_take(&p->confirms, tag, multiple))
		fail(p, "a confirm came for nothing that waits for one");
	look(p);
}

static void on_method(struct client *c, const struct amqp091_method *m)
{
	if (m->id == AMQP091_METHOD_BASIC_CANCEL)
		fail(probe_of(c), "the broker cancelled its consumer");
	else if (m->id == AMQP091_METHOD_BASIC_NACK)
		fail(probe_of(c), "the broker did not take a message (basic.nack)");
	else if (m->id == AMQP091_METHOD_BASIC_ACK)
		on_confirm(probe_of(c), m->args.basic_ack.delivery_tag, m->args.basic_ack.multiple);
}

static void on_writable(struct client *c)
{
	struct probe *p = probe_of(c);

	if (c == &p->sender)
		lap_send(&p->lap, c);
	else if (options(p)->ack && p->tag - p->acked >= options(p)->ack)
		acknowledge(p);
}

static void on_ended(struct client *c, const char *why)
{
	struct probe *p = probe_of(c);

	if (why)
		fail(p, why);
	__atomic_sub_fetch(&p->run->left, 1, __ATOMIC_ACQ_REL);
}

static const struct client_app app = {.ready = on_ready,
	.delivery = on_delivery,
	.method = on_method,
	.writable = on_writable,
	.ended = on_ended};

bool probe_init(
	struct probe *p, struct run *run, struct loop *loop, struct recorder *recorder, unsigned index)
{
	const struct latency_options *o = &run->options;
	char queue[LATENCY_NAME_BYTES];

	*p = (struct probe){.run = run, .loop = loop, .recorder = recorder, .index = index};
	client_init(&p->sender, &app, &run->machine.login, p);
	client_init(&p->receiver, &app, &run->machine.login, p);
	latency_queue_name(o, index, queue);
	if (o->confirm)
		script_confirm_select(&p->sender.setup);
	script_declare(&p->receiver.setup, queue, SCRIPT_AUTO_DELETE | (o->durable ? SCRIPT_DURABLE : 0));
	if (o->ack)
		script_qos(&p->receiver.setup, (uint16_t)o->prefetch);
	script_consume(&p->receiver.setup, queue, "data", o->ack == 0);
	return stamp_account_init(&p->account, index, 1, false);
}

void probe_free(struct probe *p)
{
	lap_free(&p->lap);
	confirms_free(&p->confirms);
	stamp_account_free(&p->account);
	client_free(&p->sender);
	client_free(&p->receiver);
}

void probe_connect(struct probe *p)
{
	loop_connect(p->loop, &p->receiver, &p->run->machine.broker);
	loop_connect(p->loop, &p->sender, &p->run->machine.broker);
}

void probe_send(struct probe *p, uint64_t now_ns)
{
	uint64_t due = schedule_due(&p->schedule, now_ns, options(p)->total);

	late_note(p);
	lap_send(&p->lap, &p->sender);
	while (p->sent < due && lap_is_sent(&p->lap)) {
		uint64_t left = due - p->sent;
		uint32_t n = left < p->lap.count ? (uint32_t)left : p->lap.count;
		lap_fill(&p->lap, p->index, p->sent, n);
		p->sent_ns = now_ns;
		p->sent += n;
		p->confirms.published += n;
		recorder_work(p->recorder);
		lap_send(&p->lap, &p->sender);
	}
}

void probe_pretend(struct probe *p, uint64_t now_ns, uint64_t total)
{
	uint64_t due = schedule_due(&p->schedule, now_ns, total);

	for (; p->sent < due; p->sent++)
		distribution_add(&p->recorder->floor, now_ns - schedule_due_ns(&p->schedule, p->sent));
}
