/* SPDX-License-Identifier: Apache-2.0 */
/* Every method, through the field list that the generator made: round trips with random fields, cuts at every
 * length, trailing octets. */
#include "broker/amqp091/codec.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

#define ROUNDS 50

/* A text that is always UTF-8 and often not ASCII. */
static void random_text(uint8_t *dst, uint32_t len)
{
	uint32_t i = 0;
	while (i < len) {
		if (len - i >= 2 && unit_random_below(4) == 0) {
			dst[i++] = 0xc3;
			dst[i++] = (uint8_t)(0x80 + unit_random_below(64));
		} else {
			dst[i++] = (uint8_t)unit_random_below(128);
		}
	}
}

/* Space for the slices of one method. */
struct scratch {
	uint8_t mem[8192];
	uint32_t used;
};

static struct amqp091_longstr random_slice(struct scratch *s, uint32_t max)
{
	struct amqp091_longstr out = {s->mem + s->used, unit_random_below(max + 1)};
	random_text(s->mem + s->used, out.len);
	s->used += out.len;
	return out;
}

static struct amqp091_table random_table(struct scratch *s)
{
	struct amqp091_table_builder b;
	struct amqp091_table out;

	amqp091_table_build(&b, s->mem + s->used, sizeof(s->mem) - s->used);
	for (uint32_t n = unit_random_below(4); n; n--) {
		amqp091_table_add_int64(&b, "x-max-length", (int64_t)unit_random());
		amqp091_table_open(&b, "nested");
		amqp091_table_add_cstring(&b, "k", "v");
		amqp091_table_close(&b);
	}
	CU_ASSERT_EQUAL(amqp091_table_finish(&b, &out), 0);
	s->used += out.len;
	return out;
}

static void field_fill(const struct amqp091_field_info *f, void *at, struct scratch *s)
{
	struct amqp091_longstr text;

	switch (f->type) {
	case AMQP091_FIELD_BIT:
		*(bool *)at = unit_random_below(2);
		break;
	case AMQP091_FIELD_OCTET:
		*(uint8_t *)at = (uint8_t)unit_random();
		break;
	case AMQP091_FIELD_SHORT:
		*(uint16_t *)at = (uint16_t)unit_random();
		break;
	case AMQP091_FIELD_LONG:
		*(uint32_t *)at = (uint32_t)unit_random();
		break;
	case AMQP091_FIELD_LONGLONG:
	case AMQP091_FIELD_TIMESTAMP:
		*(uint64_t *)at = unit_random();
		break;
	case AMQP091_FIELD_SHORTSTR:
		text = random_slice(s, 255);
		*(struct amqp091_shortstr *)at = (struct amqp091_shortstr){text.data, (uint8_t)text.len};
		break;
	case AMQP091_FIELD_LONGSTR:
		*(struct amqp091_longstr *)at = random_slice(s, 400);
		break;
	case AMQP091_FIELD_TABLE:
		*(struct amqp091_table *)at = random_table(s);
		break;
	}
}

static bool octets_equal(const uint8_t *a, uint32_t a_len, const uint8_t *b, uint32_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool field_equal(const struct amqp091_field_info *f, const void *a, const void *b)
{
	const struct amqp091_shortstr *s = a, *t = b;
	const struct amqp091_longstr *l = a, *m = b;
	const struct amqp091_table *u = a, *v = b;

	switch (f->type) {
	case AMQP091_FIELD_BIT:
		return *(const bool *)a == *(const bool *)b;
	case AMQP091_FIELD_OCTET:
		return memcmp(a, b, 1) == 0;
	case AMQP091_FIELD_SHORT:
		return memcmp(a, b, 2) == 0;
	case AMQP091_FIELD_LONG:
		return memcmp(a, b, 4) == 0;
	case AMQP091_FIELD_SHORTSTR:
		return octets_equal(s->data, s->len, t->data, t->len);
	case AMQP091_FIELD_LONGSTR:
		return octets_equal(l->data, l->len, m->data, m->len);
	case AMQP091_FIELD_TABLE:
		return octets_equal(u->data, u->len, v->data, v->len);
	default:
		return memcmp(a, b, 8) == 0;
	}
}

static void method_fill(const struct amqp091_method_info *info, struct amqp091_method *m, struct scratch *s)
{
	memset(m, 0, sizeof(*m));
	m->id = info->id;
	s->used = 0;
	for (unsigned i = 0; i < info->field_count; i++)
		field_fill(&info->fields[i], (char *)&m->args + info->fields[i].offset, s);
}

static bool method_equal(const struct amqp091_method_info *info, const struct amqp091_method *a,
	const struct amqp091_method *b)
{
	for (unsigned i = 0; i < info->field_count; i++) {
		unsigned at = info->fields[i].offset;
		if (!field_equal(&info->fields[i], (const char *)&a->args + at, (const char *)&b->args + at))
			return false;
	}
	return a->id == b->id;
}

/* Decodes from memory of exactly this size, where a sanitizer sees a read beyond. */
static int decode_exact(const uint8_t *payload, uint32_t len)
{
	struct amqp091_method out;
	uint8_t *copy = malloc(len ? len : 1);
	if (len)
		memcpy(copy, payload, len);
	int rc = amqp091_method_decode(len ? copy : NULL, len, &out);
	free(copy);
	return rc;
}

static void round_trip(void)
{
	unsigned count;
	const struct amqp091_method_info *infos = amqp091_method_infos(&count);
	struct amqp091_method in, out;
	struct scratch s;
	static uint8_t wire[sizeof(s.mem) + 64];

	CU_ASSERT_EQUAL(count, 66);
	for (unsigned i = 0; i < count * ROUNDS; i++) {
		const struct amqp091_method_info *info = &infos[i % count];
		method_fill(info, &in, &s);
		ssize_t n = amqp091_method_encode(wire, sizeof(wire), &in);
		CU_ASSERT(n >= 4);
		memset(&out, 0x5a, sizeof(out));
		CU_ASSERT_EQUAL(amqp091_method_decode(wire, (uint32_t)n, &out), 0);
		CU_ASSERT(method_equal(info, &in, &out));
	}
}

static void every_cut_and_every_tail(void)
{
	unsigned count;
	const struct amqp091_method_info *infos = amqp091_method_infos(&count);
	struct amqp091_method in;
	struct scratch s;
	static uint8_t wire[sizeof(s.mem) + 64];

	for (unsigned i = 0; i < count; i++) {
		method_fill(&infos[i], &in, &s);
		ssize_t n = amqp091_method_encode(wire, sizeof(wire), &in);
		CU_ASSERT(n >= 4);
		for (ssize_t cut = 0; cut < n; cut++)
			CU_ASSERT_EQUAL(decode_exact(wire, (uint32_t)cut), AMQP091_ERR_SHORT);
		for (unsigned more = 1; more <= 9; more++) {
			wire[n + more - 1] = (uint8_t)unit_random();
			CU_ASSERT_EQUAL(decode_exact(wire, (uint32_t)n + more), AMQP091_ERR_TRAILING);
		}
	}
}

static void no_room(void)
{
	unsigned count;
	const struct amqp091_method_info *infos = amqp091_method_infos(&count);
	struct amqp091_method in;
	struct scratch s;

	for (unsigned i = 0; i < count; i++) {
		method_fill(&infos[i], &in, &s);
		static uint8_t wire[sizeof(s.mem) + 64];
		ssize_t n = amqp091_method_encode(wire, sizeof(wire), &in);
		uint8_t *exact = malloc((size_t)n + AMQP091_FRAME_OVERHEAD);
		for (uint32_t room = 0; room < (uint32_t)n; room++)
			CU_ASSERT_EQUAL(amqp091_method_encode(exact, room, &in), AMQP091_ERR_ROOM);
		CU_ASSERT_EQUAL(amqp091_method_encode(exact, (uint32_t)n, &in), n);
		CU_ASSERT_EQUAL(amqp091_method_frame(exact, (uint32_t)n + 7, 1, &in), AMQP091_ERR_ROOM);
		CU_ASSERT_EQUAL(amqp091_method_frame(exact, (uint32_t)n + 8, 1, &in), n + 8);
		free(exact);
	}
}

static void frames(void)
{
	unsigned count;
	const struct amqp091_method_info *infos = amqp091_method_infos(&count);
	struct amqp091_method in, out;
	struct amqp091_frame f = {0};
	struct scratch s;
	static uint8_t wire[sizeof(s.mem) + 64];

	for (unsigned i = 0; i < count; i++) {
		uint16_t channel = (uint16_t)unit_random();
		method_fill(&infos[i], &in, &s);
		ssize_t n = amqp091_method_frame(wire, sizeof(wire), channel, &in);
		CU_ASSERT_EQUAL(amqp091_frame_parse(wire, (uint32_t)n, 0, &f), n);
		CU_ASSERT_EQUAL(f.type, AMQP091_FRAME_METHOD);
		CU_ASSERT_EQUAL(f.channel, channel);
		CU_ASSERT_EQUAL(amqp091_method_decode(wire + AMQP091_FRAME_HEADER_SIZE, f.size, &out), 0);
		CU_ASSERT(method_equal(&infos[i], &in, &out));
	}
}

static void random_octets(void)
{
	unsigned count;
	const struct amqp091_method_info *infos = amqp091_method_infos(&count);
	uint8_t payload[96];

	for (unsigned i = 0; i < 200 * count; i++) {
		wire_put32(payload, infos[i % count].id);
		for (unsigned k = 4; k < sizeof(payload); k++)
			payload[k] = (uint8_t)(unit_random_below(3) ? unit_random_below(4) : unit_random());
		CU_ASSERT(decode_exact(payload, 4 + unit_random_below(sizeof(payload) - 3)) <= 0);
	}
}

static void unknown_ids(void)
{
	const uint32_t ids[] = {0, 0x000a0000, 0x000a000c, 0x003c0014 + 5, 0x00ff000a, 0xffffffff};
	struct amqp091_method m;
	uint8_t wire[16];

	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		wire_put32(wire, ids[i]);
		CU_ASSERT_EQUAL(amqp091_method_decode(wire, 4, &m), AMQP091_ERR_UNKNOWN);
		CU_ASSERT_EQUAL(m.id, ids[i]);
		CU_ASSERT_EQUAL(amqp091_method_encode(wire, sizeof(wire), &m), AMQP091_ERR_UNKNOWN);
		CU_ASSERT_EQUAL(amqp091_method_frame(wire, sizeof(wire), 1, &m), AMQP091_ERR_UNKNOWN);
		CU_ASSERT_PTR_NULL(amqp091_method_info(ids[i]));
	}
}

static void infos_match_the_specification(void)
{
	const struct amqp091_method_info *get = amqp091_method_info(AMQP091_METHOD_BASIC_GET);
	const struct amqp091_method_info *deliver = amqp091_method_info(AMQP091_METHOD_BASIC_DELIVER);
	const struct amqp091_method_info *declare = amqp091_method_info(AMQP091_METHOD_QUEUE_DECLARE);
	unsigned count;
	const struct amqp091_method_info *infos = amqp091_method_infos(&count);

	CU_ASSERT_STRING_EQUAL(get->name, "basic.get");
	CU_ASSERT(get->synchronous && get->to_server && !get->to_client && !get->content);
	CU_ASSERT_EQUAL(get->response_count, 2);
	CU_ASSERT_EQUAL(get->responses[0], AMQP091_METHOD_BASIC_GET_OK);
	CU_ASSERT_EQUAL(get->responses[1], AMQP091_METHOD_BASIC_GET_EMPTY);
	CU_ASSERT(deliver->content && deliver->to_client && !deliver->to_server && !deliver->synchronous);
	CU_ASSERT(declare->has_nowait && declare->responses[0] == AMQP091_METHOD_QUEUE_DECLARE_OK);
	CU_ASSERT_EQUAL(AMQP091_METHOD_CONNECTION_UPDATE_SECRET, 10 << 16 | 70);
	CU_ASSERT_EQUAL(AMQP091_METHOD_ACCESS_REQUEST_OK, 30 << 16 | 11);
	for (unsigned i = 0; i < count; i++) {
		CU_ASSERT_PTR_EQUAL(amqp091_method_info(infos[i].id), &infos[i]);
		CU_ASSERT(infos[i].to_server || infos[i].to_client);
	}
}

static void reply_codes(void)
{
	CU_ASSERT_STRING_EQUAL(amqp091_reply_info(404)->name, "NOT_FOUND");
	CU_ASSERT_FALSE(amqp091_reply_info(AMQP091_REPLY_NOT_FOUND)->hard);
	CU_ASSERT(amqp091_reply_info(AMQP091_REPLY_FRAME_ERROR)->hard);
	CU_ASSERT_EQUAL(AMQP091_REPLY_SUCCESS, 200);
	CU_ASSERT_EQUAL(AMQP091_REPLY_NO_ROUTE, 312);
	CU_ASSERT_PTR_NULL(amqp091_reply_info(1));
	CU_ASSERT_EQUAL(amqp091_error_reply(AMQP091_ERR_UTF8), 501);
	CU_ASSERT_EQUAL(amqp091_error_reply(AMQP091_ERR_FRAME_END), 501);
	CU_ASSERT_EQUAL(amqp091_error_reply(AMQP091_ERR_SHORT), 502);
	CU_ASSERT_EQUAL(amqp091_error_reply(AMQP091_ERR_UNKNOWN), 503);
}

static void names_and_utf8(void)
{
	struct amqp091_queue_declare q = {.queue = {(const uint8_t *)"\xff", 1}};
	struct amqp091_basic_publish p = {.routing_key = {(const uint8_t *)"\xff", 1}};
	struct amqp091_method m;
	uint8_t wire[64];
	ssize_t n = amqp091_encode_queue_declare(wire, sizeof(wire), &q);

	CU_ASSERT_EQUAL(amqp091_method_decode(wire, (uint32_t)n, &m), AMQP091_ERR_UTF8);
	n = amqp091_encode_basic_publish(wire, sizeof(wire), &p);
	CU_ASSERT_EQUAL(amqp091_method_decode(wire, (uint32_t)n, &m), 0);
	CU_ASSERT(amqp091_queue_name_is_strict((struct amqp091_shortstr){NULL, 0}));
	CU_ASSERT(amqp091_exchange_name_is_strict((struct amqp091_shortstr){(const uint8_t *)"aZ09-_.:", 8}));
	CU_ASSERT_FALSE(amqp091_queue_name_is_strict((struct amqp091_shortstr){(const uint8_t *)"a b", 3}));
	CU_ASSERT_FALSE(amqp091_queue_name_is_strict((struct amqp091_shortstr){(const uint8_t *)"\n", 1}));
	CU_ASSERT_FALSE(
		amqp091_queue_name_is_strict((struct amqp091_shortstr){(const uint8_t *)"\xc3\xa9", 2}));
	uint8_t many[128];
	memset(many, 'a', sizeof(many));
	CU_ASSERT(amqp091_queue_name_is_strict((struct amqp091_shortstr){many, 127}));
	CU_ASSERT_FALSE(amqp091_queue_name_is_strict((struct amqp091_shortstr){many, 128}));
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"round trip of every method", round_trip},
		{"every method cut at every length, and with a tail", every_cut_and_every_tail},
		{"encoding without room", no_room},
		{"method frames", frames},
		{"random octets as arguments", random_octets},
		{"unknown methods", unknown_ids},
		{"what the specification says of methods", infos_match_the_specification},
		{"reply codes", reply_codes},
		{"names and UTF-8", names_and_utf8},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
