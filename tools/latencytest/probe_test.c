/* SPDX-License-Identifier: Apache-2.0 */
/* A probe over memory: the test is the broker, and late on purpose. */
#include "tools/client/sink.h"
#include "tools/latencytest/probe.h"

#include "tests/unit/unit.h"

#include <stdlib.h>

#define MS UINT64_C(1000000)
#define S  (1000 * MS)

static struct run r;
static struct loop loop;
static struct recorder recorder;
static struct probe probe;
static struct sink sent_to, received_from;

void loop_connect(struct loop *l, struct client *c, const struct transport_address *to)
{
	abort();
}

static void make_ready(struct client *c, struct sink *sink)
{
	sink_open(sink, c);
	client_opening(c, &sink->conn);
	c->frame_max = 131072;
	c->state = CLIENT_READY;
	c->app->ready(c);
	sink_flush(sink);
}

/* Its schedule began so long ago. */
static void begin(const char *line, uint64_t ago_ns)
{
	char copy[200], error[200], *argv[20] = {(char *)"latencytest"}, *rest = copy;
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word; (word = strsep(&rest, " ")) && argc < 20;)
		argv[argc++] = word;
	memset(&r, 0, sizeof(r));
	memset(&recorder, 0, sizeof(recorder));
	CU_ASSERT_EQUAL_FATAL(latency_options_parse(&r.options, argc, argv, error, sizeof(error)), 0);
	CU_ASSERT_FATAL(probe_init(&probe, &r, &loop, &recorder, 0));
	make_ready(&probe.sender, &sent_to);
	make_ready(&probe.receiver, &received_from);
	CU_ASSERT_EQUAL(r.ready, 2);
	probe.schedule = (struct schedule){recorder_clock_ns() - ago_ns, r.options.rate, r.options.burst};
}

static void deliver(uint64_t number)
{
	uint8_t body[16];

	stamp_put(body, 0, number);
	probe.receiver.app->delivery(&probe.receiver,
		&(struct reader_delivery){.tag = number + 1, .bytes = 16, .body = body, .shown = 16});
}

static void confirm(uint64_t tag, bool multiple)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_ACK};

	m.args.basic_ack.delivery_tag = tag;
	m.args.basic_ack.multiple = multiple;
	probe.sender.app->method(&probe.sender, &m);
}

/* A second is lost before anything is sent: each message's share of it is counted. */
static void open_loop(void)
{
	begin("--rate 1000 --count 90 --warmup 10 --floor 0", 1 * S);
	CU_ASSERT_EQUAL(r.options.total, 100);
	probe_send(&probe, recorder_clock_ns());
	/* noted when it is on its way */
	CU_ASSERT(probe.sent == 100 && recorder.late.count == 0);
	probe_send(&probe, recorder_clock_ns());
	CU_ASSERT(probe.sent == 100 && recorder.late.count == 100);
	CU_ASSERT(recorder.late.max >= 1 * S && recorder.late.min >= 1 * S - 99 * MS);
	for (unsigned i = 0; i < 100; i++) {
		CU_ASSERT_EQUAL(r.done, 0);
		deliver(i);
	}
	CU_ASSERT(r.done == 1 && r.outcome.failed == 0);
	/* those of the warm-up do not count */
	CU_ASSERT_EQUAL(recorder.all.count, 90);
	CU_ASSERT(recorder.all.min >= 1 * S - 99 * MS && recorder.all.max >= 1 * S - 10 * MS);
	CU_ASSERT(recorder.all.mean > (double)(1 * S - 60 * MS));
	deliver(99);
	CU_ASSERT_PTR_NOT_NULL(strstr(r.outcome.why, "queue 0: came again"));
	probe_free(&probe);
}

static void not_before_its_time(void)
{
	begin("--rate 10 --count 5 --warmup 0 --floor 0", 250 * MS);
	probe_send(&probe, probe.schedule.start_ns + 250 * MS);
	CU_ASSERT_EQUAL(probe.sent, 3);
	probe_send(&probe, probe.schedule.start_ns + 299 * MS);
	CU_ASSERT_EQUAL(probe.sent, 3);
	probe_send(&probe, probe.schedule.start_ns + 300 * MS);
	CU_ASSERT_EQUAL(probe.sent, 4);
	deliver(0);
	CU_ASSERT_EQUAL(r.outcome.failed, 0);
	deliver(2);
	CU_ASSERT_PTR_NOT_NULL(strstr(r.outcome.why, "lost or overtaken"));
	probe_free(&probe);
	/* what was not sent cannot come */
	begin("--rate 10 --count 5 --warmup 0 --floor 0", 250 * MS);
	deliver(0);
	CU_ASSERT_PTR_NOT_NULL(strstr(r.outcome.why, "not sent yet"));
	probe_free(&probe);
}

static void confirms(void)
{
	begin("--rate 1000 --count 9 --warmup 1 --floor 0 --confirm --burst 5", 1 * S);
	probe_send(&probe, recorder_clock_ns());
	CU_ASSERT_EQUAL(probe.sent, 10);
	confirm(4, false);
	confirm(7, true);
	CU_ASSERT_EQUAL(recorder.confirmed.count, 6);
	CU_ASSERT(recorder.confirmed.min >= 1 * S - 5 * MS);
	for (unsigned i = 0; i < 10; i++)
		deliver(i);
	CU_ASSERT_EQUAL(r.done, 0);
	confirm(0, true);
	CU_ASSERT(r.done == 1 && recorder.confirmed.count == 9 && r.outcome.failed == 0);
	confirm(10, false);
	CU_ASSERT_PTR_NOT_NULL(strstr(r.outcome.why, "a confirm came for nothing"));
	probe_free(&probe);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"open loop", open_loop}, {"not before its time", not_before_its_time},
			{"confirms", confirms}, {0}});
}
