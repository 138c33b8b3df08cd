/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/perftest/ceiling.h"

#include "runtime/clock.h"
#include "tools/client/sink.h"
#include "tools/perftest/publisher.h"
#include "tools/perftest/subscriber.h"

#include <stdlib.h>
#include <string.h>

enum { LAST_US = 300000, BATCH_BYTES = 64 * 1024 };

/* As the client is after its setup, without a word having been said. */
static void make_ready(struct client *c, struct sink *s)
{
	sink_open(s, c);
	client_opening(c, &s->conn);
	c->frame_max = 131072;
	c->state = CLIENT_READY;
	c->app->ready(c);
	sink_flush(s);
}

static double publish(struct run *r, struct loop *l)
{
	struct publisher *p = calloc(1, sizeof(*p));
	struct sink *s = malloc(sizeof(*s));
	uint64_t began_us = clock_now_us(), now_us = began_us;

	if (!p || !s)
		abort();
	publisher_init(p, r, l, 0);
	make_ready(&p->worker.client, s);
	publisher_start(p, 0, UINT64_C(1) << 40, now_us);
	while (now_us - began_us < LAST_US) {
		for (unsigned i = 0; i < 64; i++) {
			sink_flush(s);
			publisher_pump(p);
		}
		now_us = clock_now_us();
	}
	double rate = (double)s->bytes / p->lap.message_bytes * 1e6 / (double)(now_us - began_us);
	publisher_free(p);
	free(p);
	free(s);
	return rate;
}

/* Deliveries as a broker sends them, behind each other; where the first one's body begins. */
static size_t make_deliveries(struct script *out, const struct perftest_options *o, unsigned count)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_DELIVER};
	struct script publish = {0};
	char key[PERFTEST_NAME_BYTES];
	uint8_t frame[512];
	size_t body_at = 0;

	perftest_data_name(o, 0, key);
	m.args.basic_deliver.consumer_tag = (struct amqp091_shortstr){(const uint8_t *)"data", 4};
	m.args.basic_deliver.routing_key = (struct amqp091_shortstr){
		(const uint8_t *)key, (uint8_t)strlen(key)};
	size_t publish_body_at = script_publish(&publish, "", key, o->size, false);
	size_t method_bytes = AMQP091_FRAME_OVERHEAD + wire_get32(publish.bytes + 3);
	for (unsigned i = 0; i < count; i++) {
		m.args.basic_deliver.delivery_tag = i + 1;
		ssize_t n = amqp091_method_frame(frame, sizeof(frame), 1, &m);
		body_at = (size_t)n + publish_body_at - method_bytes;
		script_raw(out, frame, (size_t)n);
		/* The same content frames as of a publish. */
		script_raw(out, publish.bytes + method_bytes, publish.count - method_bytes);
	}
	script_free(&publish);
	return body_at;
}

static double receive(struct run *r, struct loop *l)
{
	struct subscriber *sub = calloc(1, sizeof(*sub));
	struct sink *s = malloc(sizeof(*s));
	struct script lap = {0};
	unsigned count = BATCH_BYTES / (unsigned)(r->options.size + 80) + 1;
	uint64_t number = 0, ticks = 0;

	if (!sub || !s)
		abort();
	if (!subscriber_init(sub, r, l, 0))
		abort();
	sub->quota = UINT64_MAX;
	make_ready(&sub->worker.client, s);
	size_t body_at = make_deliveries(&lap, &r->options, count), each = lap.count / count;
	uint64_t began_us = clock_now_us(), began = turn_ticks();
	while (clock_now_us() - began_us < LAST_US) {
		for (unsigned i = 0; i < count && r->options.size >= STAMP_BYTES; i++)
			stamp_put(lap.bytes + i * each + body_at, 0, number + i);
		uint64_t from = turn_ticks();
		reader_take_bytes(&sub->worker.client.reader, lap.bytes, (uint32_t)lap.count);
		ticks += turn_ticks() - from;
		number += count;
	}
	double ticks_per_us = (double)(turn_ticks() - began) / (double)(clock_now_us() - began_us);
	double rate =
		sub->broken || sub->count != number ? 0 : (double)number * ticks_per_us * 1e6 / (double)ticks;
	subscriber_free(sub);
	script_free(&lap);
	free(sub);
	free(s);
	return rate;
}

int ceiling_run(struct run *r)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return 1;
	/* Nothing of what only a broker can answer. */
	r->options.confirm = r->options.competing = false;
	r->options.tx = r->options.window = r->options.ack = 0;
	r->options.rate = r->options.interval_pub_ms = 0;
	double published = publish(r, l), received = receive(r, l);
	fprintf(r->out,
		"ceiling of one thread of this client, %llu bytes, memory instead of broker and network: "
		"publishes/s %.0f, receives/s %.0f\n",
		(unsigned long long)r->options.size, published, received);
	free(l);
	return received > 0 ? 0 : 1;
}
