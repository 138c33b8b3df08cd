/* SPDX-License-Identifier: Apache-2.0 */
/* What the reader makes of a stream must not depend on the pieces that it comes in. */
#include "tools/client/reader.h"

#include "tests/unit/unit.h"

#include <stdlib.h>

enum { STREAM_MAX = 1 << 20, EVENTS_MAX = 4096 };

struct event {
	uint32_t id;
	uint64_t tag, bytes, sum;
	char consumer;
	bool redelivered;
};

struct heard {
	struct event events[EVENTS_MAX];
	unsigned count;
	const char *why;
	struct reader reader;
};

static uint8_t stream[STREAM_MAX];
static uint32_t stream_bytes;

static void on_method(void *ctx, uint16_t channel, const struct amqp091_method *m, bool decoded)
{
	struct heard *h = ctx;

	h->events[h->count++] = (struct event){.id = m->id, .tag = decoded, .bytes = channel};
}

static void on_delivery(void *ctx, const struct reader_delivery *d)
{
	struct heard *h = ctx;
	struct event e = {.id = AMQP091_METHOD_BASIC_DELIVER,
		.tag = d->tag,
		.bytes = d->bytes,
		.consumer = d->consumer,
		.redelivered = d->redelivered};

	for (uint32_t i = 0; i < d->shown && i < READER_BODY_MAX; i++)
		e.sum = e.sum * 31 + d->body[i];
	h->events[h->count++] = e;
}

static void on_broken(void *ctx, const char *why)
{
	((struct heard *)ctx)->why = why;
}

static const struct reader_app app = {.method = on_method, .delivery = on_delivery, .broken = on_broken};

static void add_method(const struct amqp091_method *m)
{
	ssize_t n = amqp091_method_frame(stream + stream_bytes, 1024, 1, m);

	CU_ASSERT_FATAL(n > 0);
	stream_bytes += (uint32_t)n;
}

static void add_body(uint32_t bytes, uint32_t frame)
{
	while (bytes) {
		uint32_t piece = bytes < frame ? bytes : frame;
		uint8_t *p = amqp091_frame_header_put(stream + stream_bytes, AMQP091_FRAME_BODY, 1, piece);
		for (uint32_t i = 0; i < piece; i++)
			p[i] = (uint8_t)unit_random();
		p = amqp091_put8(p + piece, AMQP091_FRAME_END);
		stream_bytes = (uint32_t)(p - stream);
		bytes -= piece;
	}
}

static void add_delivery(const char *tag, uint64_t number, const char *key, uint32_t bytes, uint32_t frame)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_DELIVER};
	static const uint8_t none[2];
	struct amqp091_content_header h = {
		.class_id = AMQP091_CLASS_BASIC, .body_size = bytes, .properties = none, .properties_len = 2};

	m.args.basic_deliver.consumer_tag = (struct amqp091_shortstr){
		(const uint8_t *)tag, (uint8_t)strlen(tag)};
	m.args.basic_deliver.delivery_tag = number;
	m.args.basic_deliver.redelivered = number % 7 == 0;
	m.args.basic_deliver.routing_key = (struct amqp091_shortstr){
		(const uint8_t *)key, (uint8_t)strlen(key)};
	add_method(&m);
	stream_bytes = (uint32_t)(amqp091_content_header_frame_put(stream + stream_bytes, 1, &h) - stream);
	add_body(bytes, frame);
}

static void make_stream(void)
{
	static const uint32_t sizes[] = {16, 0, 1, 16, 4096, 16, 300, 20000};
	struct amqp091_method ack = {.id = AMQP091_METHOD_BASIC_ACK};

	stream_bytes = 0;
	for (unsigned i = 1; i <= 400; i++) {
		/* runs of what looks alike, and what differs from it in one thing */
		uint32_t bytes = i % 20 < 12 ? 16 : sizes[unit_random_below(8)];
		add_delivery(unit_random_below(30) ? "data" : "control", i,
			unit_random_below(30) ? "queue1" : "queue2", bytes,
			unit_random_below(20) ? 131064 : 500);
		if (unit_random_below(10) == 0)
			add_method(&ack);
		if (unit_random_below(40) == 0)
			stream_bytes = (uint32_t)(amqp091_heartbeat_put(stream + stream_bytes) - stream);
	}
}

static struct heard *read_in_pieces(uint32_t piece_max)
{
	struct heard *h = calloc(1, sizeof(*h));

	CU_ASSERT_FATAL(h != NULL);
	reader_init(&h->reader, &app, h);
	for (uint32_t at = 0; at < stream_bytes;) {
		uint32_t n = piece_max == UINT32_MAX ? stream_bytes : 1 + unit_random_below(piece_max);
		n = n < stream_bytes - at ? n : stream_bytes - at;
		reader_take_bytes(&h->reader, stream + at, n);
		at += n;
	}
	return h;
}

static void pieces(void)
{
	static const uint32_t sizes[] = {1, 3, 40, 100, 1448, 8192};

	for (unsigned round = 0; round < 20; round++) {
		make_stream();
		struct heard *whole = read_in_pieces(UINT32_MAX);
		CU_ASSERT_PTR_NULL(whole->why);
		CU_ASSERT(whole->count > 400);
		CU_ASSERT_EQUAL(whole->reader.deliveries, 400);
		CU_ASSERT_TRUE(reader_at_rest(&whole->reader));
		for (unsigned i = 0; i < 6; i++) {
			struct heard *h = read_in_pieces(sizes[i]);
			CU_ASSERT_EQUAL(h->count, whole->count);
			CU_ASSERT_EQUAL(memcmp(h->events, whole->events, sizeof(h->events)), 0);
			CU_ASSERT_EQUAL(h->reader.frames > 0, 1);
			free(h);
		}
		free(whole);
	}
}

/* A body of another length, a byte changed behind the tag: they are not taken for the last one's like. */
static void not_alike(void)
{
	struct heard *h;

	stream_bytes = 0;
	for (unsigned i = 1; i < 6; i++)
		add_delivery("d", i, i == 3 ? "b" : "a", i == 4 ? 17 : 16, 131064);
	h = read_in_pieces(UINT32_MAX);
	CU_ASSERT_EQUAL(h->count, 5);
	CU_ASSERT_EQUAL(h->events[3].bytes, 17);
	CU_ASSERT_EQUAL(h->events[4].bytes, 16);
	free(h);
}

static const char *broken_by(const void *bytes, uint32_t n)
{
	struct heard *h = calloc(1, sizeof(*h));

	CU_ASSERT_FATAL(h != NULL);
	reader_init(&h->reader, &app, h);
	reader_take_bytes(&h->reader, bytes, n);
	const char *why = h->why;
	CU_ASSERT_EQUAL(h->reader.stopped, why != NULL);
	free(h);
	return why;
}

static void garbage(void)
{
	uint8_t end[] = {AMQP091_FRAME_METHOD, 0, 0, 0, 0, 0, 4, 0, 20, 0, 11, 0};
	uint8_t lone_body[] = {AMQP091_FRAME_BODY, 0, 1, 0, 0, 0, 1, 'x', AMQP091_FRAME_END};
	uint8_t tiny[] = {AMQP091_FRAME_METHOD, 0, 1, 0, 0, 0, 1, 'x', AMQP091_FRAME_END};

	CU_ASSERT_PTR_NOT_NULL(broken_by("HTTP/1.1 400 Bad Request\r\n", 26));
	CU_ASSERT_PTR_NOT_NULL(broken_by("AMQP\0\0\x09\x01", 8));
	CU_ASSERT_PTR_NOT_NULL(broken_by(end, sizeof(end)));
	CU_ASSERT_PTR_NOT_NULL(broken_by(lone_body, sizeof(lone_body)));
	CU_ASSERT_PTR_NOT_NULL(broken_by(tiny, sizeof(tiny)));
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"pieces", pieces}, {"not alike", not_alike}, {"garbage", garbage}, {0}});
}
