/* SPDX-License-Identifier: Apache-2.0 */
/* Contents and frames as they arrive: every order, every cut. */
#include "broker/amqp091/testing/rig_test.h"

#include <stdlib.h>
#include <string.h>

static struct rig rig;
static struct client client;

static void again(void)
{
	client_open(&client, &rig);
	client_channel(&client, 1);
	client_declare(&client, 1, "q");
}

static void begin(void)
{
	test_begin(&rig, NULL);
	again();
}

static void finish(void)
{
	client_close(&client);
	test_end(&rig);
}

static void expect_unexpected(uint32_t id)
{
	client_expect_ended(&client, AMQP091_REPLY_UNEXPECTED_FRAME, id);
	again();
}

static void expect_unexpected_in_content(const char *text)
{
	client_expect_ended_with(&client, AMQP091_REPLY_UNEXPECTED_FRAME, AMQP091_METHOD_BASIC_PUBLISH, text);
	again();
}

static void out_of_order(void)
{
	begin();
	client_content_header(&client, 1, 4);
	expect_unexpected(0);
	client_body(&client, 1, "body", 4);
	expect_unexpected(0);
	client_publish_method(&client, 1, "", "q", false);
	client_body(&client, 1, "body", 4);
	expect_unexpected_in_content("UNEXPECTED_FRAME - expected content header for class 60, got non "
				     "content header frame instead");
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, 4);
	client_content_header(&client, 1, 4);
	expect_unexpected_in_content(
		"UNEXPECTED_FRAME - expected content body, got non content body frame instead");
	client_publish_method(&client, 1, "", "q", false);
	client_publish_method(&client, 1, "", "q", false);
	expect_unexpected(AMQP091_METHOD_BASIC_PUBLISH);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, 4);
	client_body(&client, 1, "bo", 2);
	client_plain(&client, 1, AMQP091_METHOD_CHANNEL_CLOSE);
	expect_unexpected(AMQP091_METHOD_BASIC_PUBLISH);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, 4);
	client_body(&client, 1, "body ", 5);
	expect_unexpected(AMQP091_METHOD_BASIC_PUBLISH);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, 0);
	client_body(&client, 1, "", 0);
	expect_unexpected(0);
	finish();
}

static void bodies(void)
{
	begin();
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, 0);
	client_publish(&client, 1, "", "q", "one frame", 9);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, 6);
	client_body(&client, 1, "", 0);
	client_body(&client, 1, "abc", 3);
	client_frame(&client, AMQP091_FRAME_HEARTBEAT, 0, "", 0);
	client_body(&client, 1, "", 0);
	client_body(&client, 1, "def", 3);
	client_get(&client, 1, "q", true);
	client_get(&client, 1, "q", true);
	client_get(&client, 1, "q", true);
	client_get(&client, 1, "q", true);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "");
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "one frame");
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "abcdef");
	client_expect(&client, 1, AMQP091_METHOD_BASIC_GET_EMPTY);
	finish();
}

/* Contents on two channels may alternate frame by frame. */
static void interleaved(void)
{
	begin();
	client_channel(&client, 2);
	client_publish_method(&client, 1, "", "q", false);
	client_publish_method(&client, 2, "", "q", false);
	client_content_header(&client, 1, 4);
	client_content_header(&client, 2, 4);
	client_body(&client, 1, "fi", 2);
	client_body(&client, 2, "second", 4);
	client_body(&client, 1, "rs", 2);
	client_get(&client, 2, "q", true);
	client_get(&client, 2, "q", true);
	client_expect_text(&client, 2, AMQP091_METHOD_BASIC_GET_OK, "seco");
	client_expect_text(&client, 2, AMQP091_METHOD_BASIC_GET_OK, "firs");
	finish();
}

static void expect_frame_error_with(const char *text)
{
	client_expect_close_with(&client, AMQP091_REPLY_FRAME_ERROR, 0, text);
	client_raw(&client, "nothing after it can be understood", 34);
	client_expect_nothing(&client);
	CU_ASSERT_TRUE(client.link.shut);
	client.link.fin = true;
	rig_settle(&rig);
	CU_ASSERT_TRUE(client.link.closed);
	client_drop(&client);
	again();
}

/* RabbitMQ's text names the payload that fits an agreed frame_max that counts the whole frame. */
static void expect_too_large(uint8_t type, uint32_t size)
{
	char text[128];

	snprintf(text, sizeof(text), "FRAME_ERROR - type %u, all octets = <<>>: {frame_too_large,%u,%u}",
		type, size, client.frame_max - 8);
	expect_frame_error_with(text);
}

static void malformed_frames(void)
{
	static const uint8_t ack_bad_end[] = {
		1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0xcd};
	static const uint8_t body_bad_end[] = {3, 0, 1, 0, 0, 0, 1, 'x', 0};
	static const uint8_t heartbeat_channel[] = {8, 0, 1, 0, 0, 0, 0, 206};
	static const uint8_t heartbeat_payload[] = {8, 0, 0, 0, 0, 0, 1, 'x', 206};
	static const uint8_t method_of_3[] = {1, 0, 1, 0, 0, 0, 3, 0, 60, 0, 206};
	static const uint8_t method_of_0[] = {1, 0, 0, 0, 0, 0, 0, 206};
	char text[64];
	uint8_t head[7];

	begin();
	client_raw(&client, ack_bad_end, sizeof(ack_bad_end));
	expect_frame_error_with("FRAME_ERROR - type 1: {invalid_frame_end_marker,205}");
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, 2);
	client_raw(&client, body_bad_end, sizeof(body_bad_end));
	expect_frame_error_with("FRAME_ERROR - type 3: {invalid_frame_end_marker,0}");
	client_raw(&client, heartbeat_channel, sizeof(heartbeat_channel));
	expect_frame_error_with("FRAME_ERROR - heartbeat on a channel other than 0");
	client_raw(&client, heartbeat_payload, sizeof(heartbeat_payload));
	expect_frame_error_with("FRAME_ERROR - type 8: unknown_frame");
	client_raw(&client, method_of_3, sizeof(method_of_3));
	expect_frame_error_with("FRAME_ERROR - type 1: unknown_frame");
	client_raw(&client, method_of_0, sizeof(method_of_0));
	expect_frame_error_with("FRAME_ERROR - type 1: unknown_frame");
	for (unsigned type = 0; type < 256; type++) {
		if (type == 1 || type == 2 || type == 3 || type == 8)
			continue;
		amqp091_frame_header_put(head, (uint8_t)type, 1, 0);
		client_raw(&client, head, sizeof(head));
		snprintf(text, sizeof(text), "FRAME_ERROR - type %u: unknown_frame", type);
		expect_frame_error_with(text);
	}
	for (uint8_t type = 1; type <= 3; type++) {
		amqp091_frame_header_put(head, type, 1, client.frame_max + 1);
		client_raw(&client, head, sizeof(head));
		expect_too_large(type, client.frame_max + 1);
		amqp091_frame_header_put(head, type, 1, UINT32_MAX);
		client_raw(&client, head, sizeof(head));
		expect_too_large(type, UINT32_MAX);
	}
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->frames_malformed, 6 + 252 + 6);
	finish();
}

/* A passive declaration, whose arguments make its payload this long. */
static void declare_of(uint32_t payload_bytes)
{
	static uint8_t payload[16384 + AMQP091_FRAME_OVERHEAD];
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare.queue = str("q");
	m.args.queue_declare.passive = true;
	ssize_t n = amqp091_method_frame(payload, sizeof(payload), 1, &m);
	CU_ASSERT_TRUE_FATAL(n > 0 && payload_bytes <= sizeof(payload));
	uint32_t table_at = (uint32_t)n - AMQP091_FRAME_OVERHEAD - 4, text_at = table_at + 4 + 7;
	memmove(payload, payload + AMQP091_FRAME_HEADER_SIZE, table_at);
	wire_put32(payload + table_at, payload_bytes - table_at - 4);
	memcpy(payload + table_at + 4, "\1kS", 3);
	wire_put32(payload + text_at - 4, payload_bytes - text_at);
	client_frame(&client, AMQP091_FRAME_METHOD, 1, payload, payload_bytes);
}

static void body_of(uint32_t payload_bytes)
{
	uint8_t *body = malloc(payload_bytes);
	struct client_content got;

	CU_ASSERT_PTR_NOT_NULL_FATAL(body);
	memset(body, 'b', payload_bytes);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, payload_bytes);
	client_body(&client, 1, body, payload_bytes);
	client_get(&client, 1, "q", true);
	client_expect_content(&client, 1, AMQP091_METHOD_BASIC_GET_OK, &got);
	CU_ASSERT_EQUAL_FATAL(got.bytes, payload_bytes);
	CU_ASSERT_EQUAL(memcmp(got.body, body, payload_bytes), 0);
	client_content_free(&got);
	free(body);
}

/* The header of the message that is sent next may be larger than agreed. */
static void expect_header_of(uint32_t id, uint32_t payload_bytes)
{
	struct client_content got;

	client.frame_max += AMQP091_FRAME_OVERHEAD;
	client_expect_content(&client, 1, id, &got);
	client.frame_max -= AMQP091_FRAME_OVERHEAD;
	CU_ASSERT_EQUAL(got.properties_bytes, payload_bytes - 12);
	client_content_free(&got);
}

static void publish_header_of(uint32_t payload_bytes)
{
	client_publish_method(&client, 1, "", "q", false);
	client_content_header_with(&client, 1, 4, payload_bytes - 12 - 6);
	client_body(&client, 1, "body", 4);
	rig_settle(&rig);
}

/* Clients that count the payload alone send payloads as large as frame_max; malformed_frames has one octet
 * more. */
static void payloads_of_frame_max(void)
{
	begin();
	const uint32_t most = client.frame_max;
	body_of(most);
	body_of(most); /* the same again goes the fast way */
	declare_of(most);
	client_expect(&client, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
	/* What came like this leaves like this, so it is not stuck. */
	publish_header_of(most);
	client_get(&client, 1, "q", true);
	expect_header_of(AMQP091_METHOD_BASIC_GET_OK, most);
	publish_header_of(most);
	client_consume(&client, 1, "q", "tag", true);
	expect_header_of(AMQP091_METHOD_BASIC_DELIVER, most);
	CU_ASSERT_EQUAL(amqp091_server_counters(rig.server)->frames_malformed, 0);
	finish();
}

static void malformed_payloads(void)
{
	static const struct {
		uint8_t type;
		const char *payload;
		uint32_t n;
		uint16_t code;
		uint32_t id;
	} cases[] = {
		{1, "\0\x63\0\x63", 4, AMQP091_REPLY_COMMAND_INVALID, 0x630063},
		{1, "\0\x3c\0\x50\0", 5, AMQP091_REPLY_SYNTAX_ERROR, AMQP091_METHOD_BASIC_ACK},
		{1, "\0\x32\0\x0a\0\0\2\xff\xff\0\0\0\0\0", 14, AMQP091_REPLY_FRAME_ERROR,
			AMQP091_METHOD_QUEUE_DECLARE},
	};

	begin();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		client_frame(&client, cases[i].type, 1, cases[i].payload, cases[i].n);
		client_expect_ended(&client, cases[i].code, cases[i].id);
		again();
	}
	/* Headers: too short, weight, flags that promise more than there is. */
	static const struct {
		const char *payload;
		uint32_t n;
	} headers[] = {{"\0\x3c\0\0\0\0\0\0\0\0\0\4\0", 13}, {"\0\x3c\0\1\0\0\0\0\0\0\0\4\0\0", 14},
		{"\0\x3c\0\0\0\0\0\0\0\0\0\4\x80\0", 14}, {"", 0}};
	for (unsigned i = 0; i < sizeof(headers) / sizeof(*headers); i++) {
		client_publish_method(&client, 1, "", "q", false);
		client_frame(&client, AMQP091_FRAME_HEADER, 1, headers[i].payload, headers[i].n);
		client_expect_ended(&client, AMQP091_REPLY_SYNTAX_ERROR, AMQP091_METHOD_BASIC_PUBLISH);
		again();
	}
	/* Another class than the method's: 501 (4.2.6.1). */
	client_publish_method(&client, 1, "", "q", false);
	client_frame(&client, AMQP091_FRAME_HEADER, 1, "\0\x3d\0\0\0\0\0\0\0\0\0\4\0\0", 14);
	client_expect_ended(&client, AMQP091_REPLY_FRAME_ERROR, AMQP091_METHOD_BASIC_PUBLISH);
	again();
	finish();
}

/* One session with everything in it, as a client would send it at once. Returns its length. */
static size_t record(uint8_t **bytes)
{
	struct client writer = {.frame_max = 4096};
	static uint8_t body[5000];

	memset(body, 'b', sizeof(body));
	client_raw(&writer, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	client_login(&writer, "guest", "guest");
	client_tune_ok(&writer, 10, 4096, 0);
	client_connection_open(&writer, "/");
	client_plain(&writer, 1, AMQP091_METHOD_CHANNEL_OPEN);
	client_plain(&writer, 1, AMQP091_METHOD_CONFIRM_SELECT);
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};
	m.args.queue_declare.queue = str("rec");
	m.args.queue_declare.exclusive = true;
	client_method(&writer, 1, &m);
	client_publish(&writer, 1, "", "rec", "small", 5);
	client_publish(&writer, 1, "", "rec", body, sizeof(body));
	client_frame(&writer, AMQP091_FRAME_HEARTBEAT, 0, "", 0);
	client_publish_method(&writer, 1, "", "nowhere", true);
	client_content_header(&writer, 1, 3);
	client_body(&writer, 1, "abc", 3);
	client_plain(&writer, 2, AMQP091_METHOD_CHANNEL_OPEN);
	client_get(&writer, 2, "rec", false);
	client_get(&writer, 2, "rec", true);
	client_ack(&writer, 2, 1, false);
	client_ack(&writer, 2, 9, false); /* 406 */
	client_plain(&writer, 2, AMQP091_METHOD_CHANNEL_CLOSE_OK);
	m = (struct amqp091_method){.id = AMQP091_METHOD_CONNECTION_CLOSE};
	client_method(&writer, 0, &m);
	*bytes = writer.link.in.data;
	return writer.link.in.end;
}

/* Sends the recorded session in two parts (or in bursts and segments of so many bytes) and compares the
 * answer with the reference, frame by frame, confirms aside: how these are gathered depends on the turns. */
struct answer {
	uint8_t *bytes;
	size_t n;
};

static struct answer without_confirms(const struct link_bytes *out)
{
	struct answer a = {malloc(out->end + 1), 0};
	struct amqp091_frame f = {0};

	CU_ASSERT_PTR_NOT_NULL_FATAL(a.bytes);
	for (size_t at = 0; at < out->end;) {
		int64_t n = amqp091_frame_parse(out->data + at, (uint32_t)(out->end - at), 4096, &f);
		CU_ASSERT_FATAL(n > 0);
		bool confirm = f.type == AMQP091_FRAME_METHOD &&
			       wire_get32(out->data + at + 7) == AMQP091_METHOD_BASIC_ACK;
		if (!confirm) {
			memcpy(a.bytes + a.n, out->data + at, (size_t)n);
			a.n += (size_t)n;
		}
		at += (size_t)n;
	}
	return a;
}

static struct answer replay(const uint8_t *bytes, size_t n, size_t cut, uint32_t segment)
{
	client_attach(&client, &rig);
	if (segment) {
		client.link.segment = segment;
		client.link.burst = segment;
	}
	client_raw(&client, bytes, cut);
	rig_settle(&rig);
	client_raw(&client, bytes + cut, n - cut);
	rig_settle(&rig);
	struct answer a = without_confirms(&client.link.out);
	client.link.fin = true;
	rig_settle(&rig);
	CU_ASSERT_TRUE(client.link.closed);
	client_drop(&client);
	return a;
}

static void same(struct answer *reference, struct answer a)
{
	CU_ASSERT_EQUAL_FATAL(a.n, reference->n);
	CU_ASSERT_EQUAL_FATAL(memcmp(a.bytes, reference->bytes, a.n), 0);
	free(a.bytes);
}

/* Every octet, but for the long body, which is alike all along. */
static size_t next_cut(size_t cut)
{
	return cut + (cut > 900 && cut < 4800 ? 61 : 1);
}

static void split_everywhere(void)
{
	uint8_t *bytes;
	size_t n = record(&bytes);

	test_begin(&rig, NULL);
	struct answer reference = replay(bytes, n, n, 0);
	CU_ASSERT_TRUE(reference.n > 5000);
	for (size_t cut = 1; cut < n; cut = next_cut(cut))
		same(&reference, replay(bytes, n, cut, 0));
	for (uint32_t segment = 1; segment < 20; segment++)
		same(&reference, replay(bytes, n, n, segment));
	free(reference.bytes);
	free(bytes);
	test_end(&rig);
}

/* Every prefix of a session, then FIN or RST: nothing is left of it. */
static void cut_everywhere(void)
{
	uint8_t *bytes;
	size_t n = record(&bytes);

	test_begin(&rig, NULL);
	for (size_t cut = 1; cut < n; cut = next_cut(cut)) {
		client_attach(&client, &rig);
		client_raw(&client, bytes, cut);
		client.link.fin = cut & 1;
		rig_settle(&rig);
		if (cut & 1)
			CU_ASSERT_TRUE(client.link.closed);
		client_drop(&client);
		const char *leak = rig_leak(&rig);
		if (leak)
			printf("# cut at %zu: %s\n", cut, leak);
		CU_ASSERT_PTR_NULL_FATAL(leak);
	}
	free(bytes);
	test_end(&rig);
}

static void too_large(void)
{
	struct rig_options o = rig_options();

	o.server.message_bytes_max = 1000;
	test_begin(&rig, &o);
	again();
	static uint8_t body[1001];
	memset(body, 'x', sizeof(body));
	client_publish(&client, 1, "", "q", body, 1000);
	client_publish(&client, 1, "", "q", body, 1001);
	client_expect_channel_close(
		&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH);
	client_channel(&client, 1);
	CU_ASSERT_EQUAL(client_ready_count(&client, 1, "q"), 1);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, UINT64_MAX);
	client_expect_channel_close(
		&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH);
	client_channel(&client, 1);
	amqp091_server_limits(rig.server, UINT64_MAX, 0, 10000000);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, UINT64_MAX);
	client_expect_channel_close(
		&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH);
	client_channel(&client, 1);
	client_publish_method(&client, 1, "", "q", false);
	client_content_header(&client, 1, o.memory_bytes);
	client_expect_channel_close(
		&client, 1, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH);
	finish();
}

static const struct unit_test tests[] = {
	{"out_of_order", out_of_order},
	{"bodies", bodies},
	{"interleaved", interleaved},
	{"malformed_frames", malformed_frames},
	{"payloads_of_frame_max", payloads_of_frame_max},
	{"malformed_payloads", malformed_payloads},
	{"split_everywhere", split_everywhere},
	{"cut_everywhere", cut_everywhere},
	{"too_large", too_large},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
