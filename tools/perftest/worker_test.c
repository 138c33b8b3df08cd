/* SPDX-License-Identifier: Apache-2.0 */
/* A publisher and a subscriber over memory: what they say, and what they wait for. The test is the broker. */
#include "tools/client/sink.h"
#include "tools/perftest/publisher.h"
#include "tools/perftest/subscriber.h"

#include "tests/unit/unit.h"

#include <stdlib.h>

static struct run r;
static struct loop loop;
static struct sink sink;
static struct reader heard; /* of what is written */
static struct counts {
	unsigned published, said, commits, acks, qos, tx_channel_wrong;
	uint64_t ack_tag;
} counts;

/* Nobody connects here, and nobody ends. */
void loop_connect(struct loop *l, struct client *c, const struct transport_address *to)
{
	abort();
}

void run_leave(struct run *run)
{
	run->left--;
}

static void on_method(void *ctx, uint16_t channel, const struct amqp091_method *m, bool decoded)
{
	bool says = channel == WORKER_SAY_CHANNEL;

	CU_ASSERT_TRUE(decoded);
	counts.published += m->id == AMQP091_METHOD_BASIC_PUBLISH && !says;
	counts.said += m->id == AMQP091_METHOD_BASIC_PUBLISH && says;
	counts.commits += m->id == AMQP091_METHOD_TX_COMMIT && !says;
	counts.qos += m->id == AMQP091_METHOD_BASIC_QOS && !says;
	if (m->id == AMQP091_METHOD_BASIC_ACK) {
		counts.acks++;
		counts.ack_tag = m->args.basic_ack.delivery_tag;
	}
}

static void on_delivery(void *ctx, const struct reader_delivery *d)
{
}

static void on_broken(void *ctx, const char *why)
{
	CU_FAIL("what it writes is not AMQP");
}

static const struct reader_app app = {.method = on_method, .delivery = on_delivery, .broken = on_broken};

/* What was written since is read; there is room again. */
static void listen_to(void)
{
	reader_take_bytes(&heard, sink.memory, SINK_BYTES - sink.room);
	sink_flush(&sink);
}

static void begin(const char *line)
{
	char copy[200], error[200], *argv[20] = {(char *)"perftest"}, *rest = copy;
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word; (word = strsep(&rest, " ")) && argc < 20;)
		argv[argc++] = word;
	memset(&r, 0, sizeof(r));
	memset(&counts, 0, sizeof(counts));
	CU_ASSERT_EQUAL_FATAL(perftest_options_parse(&r.options, argc, argv, error, sizeof(error)), 0);
	loop.now_us = 1000000;
	reader_init(&heard, &app, NULL);
}

static void make_ready(struct client *c)
{
	sink_open(&sink, c);
	client_opening(c, &sink.conn);
	c->frame_max = 131072;
	c->state = CLIENT_READY;
	c->app->ready(c);
	listen_to();
	CU_ASSERT_EQUAL(counts.said, 1);
}

static void answer(struct client *c, const struct amqp091_method *m)
{
	uint8_t frame[256];
	ssize_t n = amqp091_method_frame(frame, sizeof(frame), 1, m);

	CU_ASSERT_FATAL(n > 0);
	reader_take_bytes(&c->reader, frame, (uint32_t)n);
	listen_to();
}

static void confirm(struct client *c, uint64_t tag, bool multiple)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_ACK};

	m.args.basic_ack.delivery_tag = tag;
	m.args.basic_ack.multiple = multiple;
	answer(c, &m);
}

static struct publisher *publisher_begin(const char *line)
{
	struct publisher *p = malloc(sizeof(*p));

	begin(line);
	publisher_init(p, &r, &loop, 0);
	make_ready(&p->worker.client);
	publisher_start(p, 0, r.options.count, loop.now_us);
	listen_to();
	return p;
}

static void publisher_end(struct publisher *p)
{
	publisher_free(p);
	free(p);
}

/* It is done with the last confirm and not before. */
static void confirms(void)
{
	struct publisher *p = publisher_begin("--count 10 --size 16 --window 4");

	CU_ASSERT_EQUAL(counts.published, 4);
	confirm(&p->worker.client, 3, true);
	CU_ASSERT_EQUAL(counts.published, 7);
	confirm(&p->worker.client, 5, false);
	CU_ASSERT_EQUAL(counts.published, 8);
	confirm(&p->worker.client, 8, true);
	CU_ASSERT_EQUAL(counts.published, 10);
	CU_ASSERT_EQUAL(counts.said, 1);
	confirm(&p->worker.client, 10, false);
	CU_ASSERT_EQUAL(counts.said, 1);
	confirm(&p->worker.client, 9, false);
	CU_ASSERT_EQUAL(counts.said, 2);
	CU_ASSERT_EQUAL(r.outcome.failed, 0);
	confirm(&p->worker.client, 9, false);
	CU_ASSERT_EQUAL(r.outcome.failed, 1);
	publisher_end(p);

	p = publisher_begin("--count 10 --size 16");
	CU_ASSERT_EQUAL(counts.published, 10);
	answer(&p->worker.client, &(struct amqp091_method){.id = AMQP091_METHOD_BASIC_NACK});
	CU_ASSERT_PTR_NOT_NULL(strstr(r.outcome.why, "pub 0: the broker did not take a message"));
	publisher_end(p);
}

/* Nothing is published while a commit waits for its answer. */
static void transactions(void)
{
	struct publisher *p = publisher_begin("--count 7 --size 16 --tx 3");
	const struct amqp091_method ok = {.id = AMQP091_METHOD_TX_COMMIT_OK};

	CU_ASSERT(counts.published == 3 && counts.commits == 1);
	publisher_pump(p);
	listen_to();
	CU_ASSERT(counts.published == 3 && counts.commits == 1);
	answer(&p->worker.client, &ok);
	CU_ASSERT(counts.published == 6 && counts.commits == 2);
	answer(&p->worker.client, &ok);
	CU_ASSERT(counts.published == 7 && counts.commits == 3 && counts.said == 1);
	answer(&p->worker.client, &ok);
	CU_ASSERT_EQUAL(counts.said, 2);
	publisher_end(p);
}

/* Without confirms the answer to something else shows that all has arrived. */
static void barrier(void)
{
	struct publisher *p = publisher_begin("--count 5 --size 0 --confirm no");

	CU_ASSERT(counts.published == 5 && counts.qos == 1 && counts.said == 1);
	answer(&p->worker.client, &(struct amqp091_method){.id = AMQP091_METHOD_BASIC_QOS_OK});
	CU_ASSERT_EQUAL(counts.said, 2);
	publisher_end(p);
}

/* As many as are due, at once where the loop was away. */
static void pace(void)
{
	static const char *const lines[] = {
		"--count 5 --size 16 --interval_pub 10", "--count 5 --size 16 --rate 100"};

	for (unsigned i = 0; i < 2; i++) {
		struct publisher *p = publisher_begin(lines[i]);
		static const struct {
			uint64_t after_us;
			unsigned published;
		} steps[] = {{9999, 1}, {1, 2}, {25000, 4}, {1000000, 5}};
		CU_ASSERT_EQUAL(counts.published, 1);
		for (unsigned k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
			loop.now_us += steps[k].after_us;
			publisher_pump(p);
			listen_to();
			CU_ASSERT_EQUAL(counts.published, steps[k].published);
		}
		publisher_end(p);
	}
}

static struct subscriber *subscriber_begin(const char *line)
{
	struct subscriber *s = malloc(sizeof(*s));

	begin(line);
	CU_ASSERT_FATAL(subscriber_init(s, &r, &loop, 0));
	make_ready(&s->worker.client);
	return s;
}

static void subscriber_end(struct subscriber *s)
{
	subscriber_free(s);
	free(s);
}

static void take(struct subscriber *s, uint64_t tag, uint64_t number, uint64_t bytes)
{
	uint8_t body[16];

	stamp_put(body, 0, number);
	subscriber_take(s, &(struct reader_delivery){
				   .tag = tag, .bytes = bytes, .body = body, .shown = (uint32_t)bytes});
	listen_to();
}

static void acknowledgements(void)
{
	struct subscriber *s = subscriber_begin("--count 7 --size 16 --ack 3");

	for (unsigned i = 0; i < 7; i++) {
		CU_ASSERT_EQUAL(counts.said, 1);
		take(s, i + 1, i, 16);
		CU_ASSERT_EQUAL(counts.acks, i == 6 ? 3 : (i + 1) / 3);
	}
	CU_ASSERT(counts.ack_tag == 7 && counts.said == 2 && r.outcome.failed == 0);
	take(s, 8, 7, 16);
	CU_ASSERT_PTR_NOT_NULL(strstr(r.outcome.why, "sub 0: more messages came than were published"));
	subscriber_end(s);

	s = subscriber_begin("--count 9 --size 16 --ack 1 --tx 2");
	for (unsigned i = 0; i < 5; i++)
		take(s, i + 1, i, 16);
	CU_ASSERT(counts.acks == 2 && counts.commits == 1);
	answer(&s->worker.client, &(struct amqp091_method){.id = AMQP091_METHOD_TX_COMMIT_OK});
	CU_ASSERT(counts.acks == 3 && counts.ack_tag == 5 && counts.commits == 2);
	subscriber_end(s);
}

/* Its acks hold the next messages back, but for the last one. */
static void slow_subscriber(void)
{
	struct subscriber *s = subscriber_begin("--count 7 --size 16 --interval_sub 10 --sub-ack 2");

	s->worker.heard_us = s->worker.alive_us = loop.now_us;
	for (unsigned i = 0; i < 4; i++)
		take(s, i + 1, i, 16);
	CU_ASSERT(counts.acks == 1 && counts.ack_tag == 2);
	loop.now_us += 19999;
	subscriber_tick(s, loop.now_us);
	listen_to();
	CU_ASSERT_EQUAL(counts.acks, 1);
	loop.now_us++;
	subscriber_tick(s, loop.now_us);
	listen_to();
	CU_ASSERT(counts.acks == 2 && counts.ack_tag == 4);
	for (unsigned i = 4; i < 7; i++)
		take(s, i + 1, i, 16);
	CU_ASSERT(counts.acks == 3 && counts.ack_tag == 7 && r.outcome.failed == 0);
	subscriber_end(s);
}

/* What is wrong is told to control and ends the run. */
static void complaints(void)
{
	static const struct {
		uint64_t number, bytes;
		const char *why;
	} bad[] = {{2, 16, "lost or overtaken"}, {0, 16, "came again"}, {1, 15, "15 bytes"}};

	for (unsigned i = 0; i < 3; i++) {
		struct subscriber *s = subscriber_begin("--count 9 --size 16");
		take(s, 1, 0, 16);
		CU_ASSERT_EQUAL(r.outcome.failed, 0);
		take(s, 2, bad[i].number, bad[i].bytes);
		CU_ASSERT_EQUAL(r.outcome.failed, 1);
		CU_ASSERT_PTR_NOT_NULL(strstr(r.outcome.why, bad[i].why));
		CU_ASSERT_EQUAL(counts.said, 2);
		subscriber_end(s);
	}
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"confirms", confirms}, {"transactions", transactions},
			{"barrier", barrier}, {"pace", pace}, {"acknowledgements", acknowledgements},
			{"slow subscriber", slow_subscriber}, {"complaints", complaints}, {0}});
}
