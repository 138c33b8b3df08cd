/* SPDX-License-Identifier: Apache-2.0 */
/* What real clients' encoders write, decoded and written again; frames, content headers, properties. */
#include "broker/amqp091/codec.h"
#include "broker/amqp091/codec_vectors.h"
#include "tests/unit/unit.h"

static bool is(struct amqp091_shortstr s, const char *text)
{
	return s.len == strlen(text) && (s.len == 0 || memcmp(s.data, text, s.len) == 0);
}

/* A vector's frame, whole; the caller frees it. */
static uint8_t *frame_get(const char *name, struct amqp091_frame *f)
{
	uint32_t len;
	uint8_t *octets = vector_get(name, &len);
	CU_ASSERT_EQUAL(amqp091_frame_parse(octets, len, 131072, f), len);
	return octets;
}

static uint8_t *method_get(const char *name, struct amqp091_method *m)
{
	struct amqp091_frame f;
	uint8_t *octets = frame_get(name, &f);
	CU_ASSERT_EQUAL(f.type, AMQP091_FRAME_METHOD);
	CU_ASSERT_EQUAL(amqp091_method_decode(octets + AMQP091_FRAME_HEADER_SIZE, f.size, m), 0);
	return octets;
}

static void handshake(void)
{
	struct amqp091_method m;
	struct amqp091_table capabilities;
	uint32_t len;
	bool on = false;
	uint8_t *o = vector_get("protocol_header_pika", &len);

	CU_ASSERT(len == 8 && memcmp(o, AMQP091_PROTOCOL_HEADER, 8) == 0);
	free(o);
	o = method_get("connection_start_ok", &m);
	struct amqp091_connection_start_ok *ok = &m.args.connection_start_ok;
	CU_ASSERT_EQUAL(m.id, AMQP091_METHOD_CONNECTION_START_OK);
	CU_ASSERT(is(ok->mechanism, "PLAIN") && is(ok->locale, "en_US"));
	CU_ASSERT(ok->response.len == 12 && memcmp(ok->response.data, "\0guest\0guest", 12) == 0);
	CU_ASSERT_EQUAL(amqp091_table_get_table(&ok->client_properties, "capabilities", &capabilities), 0);
	CU_ASSERT_EQUAL(amqp091_table_get_bool(&capabilities, "consumer_cancel_notify", &on), 0);
	CU_ASSERT(on);
	free(o);
	o = method_get("connection_tune_ok", &m);
	CU_ASSERT_EQUAL(m.args.connection_tune_ok.channel_max, 2047);
	CU_ASSERT_EQUAL(m.args.connection_tune_ok.frame_max, 131072);
	CU_ASSERT_EQUAL(m.args.connection_tune_ok.heartbeat, 60);
	free(o);
	o = method_get("connection_close", &m);
	CU_ASSERT_EQUAL(m.args.connection_close.reply_code, AMQP091_REPLY_CONNECTION_FORCED);
	CU_ASSERT_EQUAL(m.args.connection_close.class_id, AMQP091_CLASS_BASIC);
	free(o);
}

static void declarations(void)
{
	struct amqp091_method m;
	int64_t n = 0;
	uint8_t *o = method_get("queue_declare", &m);
	struct amqp091_queue_declare *q = &m.args.queue_declare;

	CU_ASSERT(is(q->queue, "tasks"));
	CU_ASSERT(q->durable && q->auto_delete && !q->passive && !q->exclusive && !q->no_wait);
	CU_ASSERT(amqp091_table_get_int(&q->arguments, "x-message-ttl", &n) == 0 && n == 60000);
	CU_ASSERT(amqp091_table_get_int(&q->arguments, "x-max-length", &n) == 0 && n == 5000000000);
	free(o);
	o = method_get("exchange_declare", &m);
	CU_ASSERT(is(m.args.exchange_declare.exchange, "logs") && is(m.args.exchange_declare.type, "topic"));
	CU_ASSERT(m.args.exchange_declare.internal && !m.args.exchange_declare.auto_delete);
	free(o);
	o = method_get("queue_bind", &m);
	CU_ASSERT(m.args.queue_bind.no_wait && is(m.args.queue_bind.routing_key, "a.*.c"));
	free(o);
	o = method_get("access_request", &m);
	CU_ASSERT(is(m.args.access_request.realm, "/data"));
	CU_ASSERT(!m.args.access_request.exclusive && m.args.access_request.read);
	free(o);
	o = method_get("confirm_select", &m);
	CU_ASSERT(m.args.confirm_select.no_wait);
	free(o);
}

static void messages(void)
{
	struct amqp091_method m;
	uint8_t *o = method_get("basic_publish", &m);

	CU_ASSERT(is(m.args.basic_publish.exchange, "logs") && is(m.args.basic_publish.routing_key, "a.b.c"));
	CU_ASSERT(m.args.basic_publish.mandatory && !m.args.basic_publish.immediate);
	free(o);
	o = method_get("basic_deliver", &m);
	CU_ASSERT_EQUAL(m.args.basic_deliver.delivery_tag, 0x0102030405060708);
	CU_ASSERT(m.args.basic_deliver.redelivered && is(m.args.basic_deliver.consumer_tag, "ctag1.x"));
	free(o);
	o = method_get("basic_consume", &m);
	CU_ASSERT(m.args.basic_consume.no_ack && m.args.basic_consume.exclusive);
	CU_ASSERT(!m.args.basic_consume.no_local && m.args.basic_consume.arguments.len == 0);
	free(o);
	o = method_get("basic_nack", &m);
	CU_ASSERT(m.args.basic_nack.requeue && !m.args.basic_nack.multiple);
	CU_ASSERT_EQUAL(m.args.basic_nack.delivery_tag, 7);
	free(o);
	o = method_get("basic_ack", &m);
	CU_ASSERT(m.args.basic_ack.multiple && m.args.basic_ack.delivery_tag == UINT64_MAX);
	free(o);
}

static void update_secret(void)
{
	const uint8_t wire[] = "\0\x0a\0\x46\0\0\0\6s3cret\7rotated";
	struct amqp091_method m;

	CU_ASSERT_EQUAL(amqp091_method_decode(wire, sizeof(wire) - 1, &m), 0);
	CU_ASSERT_EQUAL(m.args.connection_update_secret.new_secret.len, 6);
	CU_ASSERT(is(m.args.connection_update_secret.reason, "rotated"));
}

static void arguments_of_librabbitmq(void)
{
	struct amqp091_basic_publish p;
	struct amqp091_basic_consume c;
	struct amqp091_queue_delete d;
	uint32_t len;
	uint8_t *o = vector_get("args_basic_publish_librabbitmq", &len);

	CU_ASSERT_EQUAL(amqp091_decode_basic_publish(o, len, &p), 0);
	CU_ASSERT(is(p.exchange, "amq.direct") && is(p.routing_key, "key") && !p.mandatory);
	free(o);
	o = vector_get("args_basic_consume_librabbitmq", &len);
	CU_ASSERT_EQUAL(amqp091_decode_basic_consume(o, len, &c), 0);
	CU_ASSERT(c.no_local && !c.no_ack && c.exclusive && !c.no_wait && is(c.consumer_tag, "t"));
	free(o);
	o = vector_get("args_queue_delete_librabbitmq", &len);
	CU_ASSERT_EQUAL(amqp091_decode_queue_delete(o, len, &d), 0);
	CU_ASSERT(!d.if_unused && d.if_empty && d.no_wait);
	free(o);
}

/* Every frame that a client wrote, decoded and encoded again, is the same octets: reserved fields apart. */
static void written_again(void)
{
	for (unsigned i = 0; i < sizeof(vector_frames) / sizeof(vector_frames[0]); i++) {
		struct amqp091_frame f;
		struct amqp091_method m;
		uint8_t *o = frame_get(vector_frames[i].name, &f), out[256];
		if (f.type == AMQP091_FRAME_METHOD) {
			CU_ASSERT_EQUAL(amqp091_method_decode(o + AMQP091_FRAME_HEADER_SIZE, f.size, &m), 0);
			ssize_t n = amqp091_method_frame(out, sizeof(out), f.channel, &m);
			CU_ASSERT_EQUAL(n, f.size + AMQP091_FRAME_OVERHEAD);
			if (m.id == AMQP091_METHOD_CONNECTION_OPEN)
				o[n - 2] = 0; /* its reserved bit was set */
			CU_ASSERT_EQUAL(memcmp(out, o, (size_t)n), 0);
		}
		free(o);
	}
}

static void frame_cut_at_every_length(void)
{
	for (unsigned i = 0; i < sizeof(vector_frames) / sizeof(vector_frames[0]); i++) {
		struct amqp091_frame f;
		uint32_t len;
		uint8_t *o = vector_get(vector_frames[i].name, &len);
		for (uint32_t cut = 0; cut < len; cut++) {
			uint8_t *exact = malloc(cut ? cut : 1);
			memcpy(exact, o, cut);
			CU_ASSERT_EQUAL(amqp091_frame_parse(exact, cut, 131072, &f), 0);
			free(exact);
		}
		o[len - 1] ^= 1;
		CU_ASSERT_EQUAL(amqp091_frame_parse(o, len, 131072, &f), AMQP091_ERR_FRAME_END);
		free(o);
	}
}

static void frame_limits(void)
{
	uint8_t wire[AMQP091_FRAME_HEADER_SIZE];
	struct amqp091_frame f;

	amqp091_frame_header_put(wire, AMQP091_FRAME_BODY, 1, 4088);
	CU_ASSERT_EQUAL(amqp091_frame_parse(wire, sizeof(wire), 4096, &f), 0);
	amqp091_frame_header_put(wire, AMQP091_FRAME_BODY, 1, 4089);
	CU_ASSERT_EQUAL(amqp091_frame_parse(wire, sizeof(wire), 4096, &f), AMQP091_ERR_FRAME_SIZE);
	amqp091_frame_header_put(wire, AMQP091_FRAME_BODY, 1, UINT32_MAX);
	CU_ASSERT_EQUAL(amqp091_frame_parse(wire, sizeof(wire), 4096, &f), AMQP091_ERR_FRAME_SIZE);
	CU_ASSERT_EQUAL(amqp091_frame_parse(wire, sizeof(wire), 0, &f), 0);
	for (unsigned type = 0; type < 256; type++) {
		amqp091_frame_header_put(wire, (uint8_t)type, 1, 0);
		bool known = type == 1 || type == 2 || type == 3 || type == 8;
		CU_ASSERT_EQUAL(amqp091_frame_parse(wire, sizeof(wire), 4096, &f),
			known ? 0 : AMQP091_ERR_FRAME_TYPE);
	}
}

static void heartbeat_and_body(void)
{
	struct amqp091_frame f;
	uint8_t out[AMQP091_HEARTBEAT_SIZE];
	uint8_t *o = frame_get("heartbeat", &f);

	CU_ASSERT(f.type == AMQP091_FRAME_HEARTBEAT && f.channel == 0 && f.size == 0);
	CU_ASSERT_PTR_EQUAL(amqp091_heartbeat_put(out), out + sizeof(out));
	CU_ASSERT_EQUAL(memcmp(out, o, sizeof(out)), 0);
	free(o);
	o = frame_get("body", &f);
	CU_ASSERT(f.type == AMQP091_FRAME_BODY && f.channel == 1 && f.size == 5);
	free(o);
}

static void content_headers(void)
{
	static const char *const names[] = {"header_all", "header_none", "header_persistent"};
	static const uint64_t sizes[] = {0x100000005, 0, 16};

	for (unsigned i = 0; i < 3; i++) {
		struct amqp091_frame f;
		struct amqp091_content_header h = {0};
		uint8_t *o = frame_get(names[i], &f), out[256];
		uint8_t *payload = o + AMQP091_FRAME_HEADER_SIZE;
		CU_ASSERT_EQUAL(f.type, AMQP091_FRAME_HEADER);
		CU_ASSERT_EQUAL(amqp091_content_header_decode(payload, f.size, &h), 0);
		CU_ASSERT_EQUAL(h.class_id, AMQP091_CLASS_BASIC);
		CU_ASSERT_EQUAL(h.body_size, sizes[i]);
		CU_ASSERT_EQUAL(amqp091_basic_properties_validate(h.properties, h.properties_len), 0);
		uint8_t *end = amqp091_content_header_frame_put(out, f.channel, &h);
		CU_ASSERT_EQUAL(end - out, amqp091_content_header_frame_size(h.properties_len));
		CU_ASSERT_EQUAL(memcmp(out, o, (size_t)(end - out)), 0);
		for (uint32_t cut = 0; cut < 14; cut++)
			CU_ASSERT_EQUAL(amqp091_content_header_decode(payload, cut, &h), AMQP091_ERR_SHORT);
		payload[3] = 1;
		CU_ASSERT_EQUAL(amqp091_content_header_decode(payload, f.size, &h), AMQP091_ERR_MALFORMED);
		free(o);
	}
}

static void all_properties(void)
{
	struct amqp091_frame f;
	struct amqp091_content_header h = {0};
	struct amqp091_basic_properties p;
	struct amqp091_longstr k;
	uint8_t out[256];
	uint8_t *o = frame_get("header_all", &f);

	CU_ASSERT_EQUAL(amqp091_content_header_decode(o + AMQP091_FRAME_HEADER_SIZE, f.size, &h), 0);
	CU_ASSERT_EQUAL(amqp091_basic_properties_decode(h.properties, h.properties_len, &p), 0);
	CU_ASSERT_EQUAL(p.flags, AMQP091_BASIC_FLAGS_KNOWN);
	CU_ASSERT(is(p.content_type, "application/json") && is(p.content_encoding, "gzip"));
	CU_ASSERT(amqp091_table_get_string(&p.headers, "k", &k) == 0 && k.len == 1);
	CU_ASSERT(p.delivery_mode == 2 && p.priority == 9);
	CU_ASSERT(is(p.correlation_id, "c-1") && is(p.reply_to, "amq.rabbitmq.reply-to"));
	CU_ASSERT(is(p.expiration, "60000") && is(p.message_id, "m-1") && p.timestamp == 1700000000);
	CU_ASSERT(is(p.type, "event") && is(p.user_id, "guest") && is(p.app_id, "app"));
	CU_ASSERT(is(p.reserved, "cl"));
	CU_ASSERT_EQUAL(amqp091_basic_properties_size(&p), h.properties_len);
	CU_ASSERT_EQUAL(amqp091_basic_properties_encode(out, h.properties_len - 1, &p), AMQP091_ERR_ROOM);
	CU_ASSERT_EQUAL(amqp091_basic_properties_encode(out, sizeof(out), &p), h.properties_len);
	CU_ASSERT_EQUAL(memcmp(out, h.properties, h.properties_len), 0);
	for (uint32_t cut = 0; cut < h.properties_len; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1);
		memcpy(exact, h.properties, cut);
		CU_ASSERT_EQUAL(amqp091_basic_properties_decode(exact, cut, &p), AMQP091_ERR_SHORT);
		CU_ASSERT_EQUAL(amqp091_basic_properties_validate(exact, cut), AMQP091_ERR_SHORT);
		free(exact);
	}
	free(o);
}

static void some_properties(void)
{
	struct amqp091_basic_properties in, out;
	uint8_t wire[600];

	for (unsigned i = 0; i < 20000; i++) {
		memset(&in, 0, sizeof(in));
		in.flags = (uint16_t)unit_random() & AMQP091_BASIC_FLAGS_KNOWN;
		in.delivery_mode = (uint8_t)unit_random();
		in.timestamp = unit_random();
		in.expiration = in.app_id = (struct amqp091_shortstr){(const uint8_t *)"0123456789", 10};
		ssize_t n = amqp091_basic_properties_encode(wire, sizeof(wire), &in);
		CU_ASSERT_EQUAL(amqp091_basic_properties_validate(wire, (uint32_t)n), 0);
		CU_ASSERT_EQUAL(amqp091_basic_properties_decode(wire, (uint32_t)n, &out), 0);
		CU_ASSERT_EQUAL(out.flags, in.flags);
		CU_ASSERT_EQUAL(out.timestamp, in.flags & AMQP091_BASIC_TIMESTAMP ? in.timestamp : 0);
		CU_ASSERT_EQUAL(out.app_id.len, in.flags & AMQP091_BASIC_APP_ID ? 10 : 0);
		wire[n] = 0;
		CU_ASSERT_EQUAL(
			amqp091_basic_properties_decode(wire, (uint32_t)n + 1, &out), AMQP091_ERR_TRAILING);
		CU_ASSERT_EQUAL(
			amqp091_basic_properties_validate(wire, (uint32_t)n + 1), AMQP091_ERR_TRAILING);
	}
}

static void property_flags(void)
{
	const uint8_t second_word[] = {0x10, 0x01, 2, 0, 0}, unknown[] = {0x10, 0x02, 2};
	const uint8_t bad_table[] = {0x20, 0, 0, 0, 0, 3, 1, 'k', 'Z'};
	struct amqp091_basic_properties p;

	CU_ASSERT_EQUAL(AMQP091_BASIC_CONTENT_TYPE, 0x8000);
	CU_ASSERT_EQUAL(AMQP091_BASIC_DELIVERY_MODE, 0x1000);
	CU_ASSERT_EQUAL(amqp091_basic_properties_decode(second_word, 5, &p), AMQP091_ERR_MALFORMED);
	CU_ASSERT_EQUAL(amqp091_basic_properties_validate(second_word, 5), AMQP091_ERR_MALFORMED);
	CU_ASSERT_EQUAL(amqp091_basic_properties_validate(unknown, 3), AMQP091_ERR_MALFORMED);
	CU_ASSERT_EQUAL(amqp091_basic_properties_validate(bad_table, 9), AMQP091_ERR_MALFORMED);
	CU_ASSERT_EQUAL(amqp091_basic_properties_decode(bad_table, 9, &p), AMQP091_ERR_MALFORMED);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"a client's handshake", handshake},
		{"a client's declarations", declarations},
		{"a client's messages", messages},
		{"connection.update-secret", update_secret},
		{"arguments by librabbitmq", arguments_of_librabbitmq},
		{"a client's frames written again", written_again},
		{"frames cut at every length, and with a bad end", frame_cut_at_every_length},
		{"frame types and frame-max", frame_limits},
		{"heartbeat and body", heartbeat_and_body},
		{"content headers", content_headers},
		{"all properties", all_properties},
		{"some properties", some_properties},
		{"property flags", property_flags},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
