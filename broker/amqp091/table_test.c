/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/codec.h"
#include "broker/amqp091/codec_vectors.h"
#include "tests/unit/unit.h"

/* The entries of a vector that is a table with its length in front. */
static struct amqp091_table vector_table(const uint8_t *octets, uint32_t len)
{
	struct amqp091_reader r;
	amqp091_reader_init(&r, octets, len);
	struct amqp091_table t = amqp091_read_table(&r);
	CU_ASSERT_EQUAL(amqp091_reader_finish(&r), 0);
	return t;
}

static bool bytes_are(const struct amqp091_value *v, const char *data, uint32_t len)
{
	return v->bytes.len == len && memcmp(v->bytes.data, data, len) == 0;
}

/* librabbitmq writes every type; each key is its type's letter. */
static void every_type(void)
{
	static const struct {
		char type;
		int64_t integer;
	} integers[] = {{'b', -8}, {'B', 200}, {'s', -300}, {'u', 60000}, {'I', -70000}, {'i', 4000000000},
		{'l', -5000000000}, {'L', 5000000000}};
	uint32_t len;
	uint8_t *octets = vector_get("table_librabbitmq", &len);
	struct amqp091_table t = vector_table(octets, len);
	struct amqp091_value v;
	int64_t integer;
	bool boolean = false;

	for (unsigned i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
		char key[2] = {integers[i].type, 0};
		CU_ASSERT_EQUAL(amqp091_table_find(&t, key, &v), 0);
		CU_ASSERT_EQUAL(v.type, integers[i].type);
		CU_ASSERT_EQUAL(amqp091_table_get_int(&t, key, &integer), 0);
		CU_ASSERT_EQUAL(integer, integers[i].integer);
	}
	CU_ASSERT_EQUAL(amqp091_table_get_bool(&t, "t", &boolean), 0);
	CU_ASSERT(boolean);
	CU_ASSERT(amqp091_table_find(&t, "f", &v) == 0 && v.real == 1.5);
	CU_ASSERT(amqp091_table_find(&t, "d", &v) == 0 && v.real == -2.25);
	CU_ASSERT(amqp091_table_find(&t, "D", &v) == 0 && v.scale == 2 && v.integer == 314);
	CU_ASSERT(amqp091_table_find(&t, "T", &v) == 0 && v.timestamp == 1700000000);
	CU_ASSERT(amqp091_table_find(&t, "V", &v) == 0 && v.type == 'V');
	CU_ASSERT(amqp091_table_find(&t, "S", &v) == 0 && bytes_are(&v, "text", 4));
	CU_ASSERT(amqp091_table_find(&t, "x", &v) == 0 && v.type == 'x' && bytes_are(&v, "\0\1\2", 3));
	CU_ASSERT(amqp091_table_find(&t, "A", &v) == 0 && v.type == 'A');
	struct amqp091_table rest = v.array;
	CU_ASSERT(amqp091_array_next(&rest, &v) == 1 && v.type == 's' && v.integer == -1);
	CU_ASSERT(amqp091_array_next(&rest, &v) == 1 && bytes_are(&v, "z", 1));
	CU_ASSERT_EQUAL(amqp091_array_next(&rest, &v), 0);
	free(octets);
}

static void python_clients(void)
{
	static const char *const names[] = {"table_pika", "table_pyamqp"};

	for (unsigned i = 0; i < 2; i++) {
		uint32_t len;
		uint8_t *octets = vector_get(names[i], &len);
		struct amqp091_table t = vector_table(octets, len), inner;
		struct amqp091_value v;
		int64_t big = 0;
		CU_ASSERT(amqp091_table_get_int(&t, "l", &big) == 0 && big == 1ll << 40);
		CU_ASSERT(amqp091_table_find(&t, "T", &v) == 0 && v.timestamp == 1700000000);
		CU_ASSERT_EQUAL(amqp091_table_get_table(&t, "F", &inner), 0);
		CU_ASSERT(amqp091_table_find(&t, "V", &v) == 0 && v.type == 'V');
		free(octets);
	}
}

static void getters_refuse_other_types(void)
{
	uint8_t mem[128];
	struct amqp091_table_builder b;
	struct amqp091_table t, inner;
	struct amqp091_longstr s;
	int64_t integer = 77;
	bool boolean;

	amqp091_table_build(&b, mem, sizeof(mem));
	amqp091_table_add_timestamp(&b, "when", 5);
	amqp091_table_add_bool(&b, "flag", true);
	amqp091_table_add_cstring(&b, "text", "5");
	amqp091_array_open(&b, "list");
	amqp091_table_close(&b);
	CU_ASSERT_EQUAL(amqp091_table_finish(&b, &t), 0);
	CU_ASSERT_EQUAL(amqp091_table_get_int(&t, "when", &integer), AMQP091_ERR_TYPE);
	CU_ASSERT_EQUAL(amqp091_table_get_int(&t, "flag", &integer), AMQP091_ERR_TYPE);
	CU_ASSERT_EQUAL(amqp091_table_get_int(&t, "text", &integer), AMQP091_ERR_TYPE);
	CU_ASSERT_EQUAL(amqp091_table_get_int(&t, "tex", &integer), AMQP091_ERR_ABSENT);
	CU_ASSERT_EQUAL(amqp091_table_get_int(&t, "textx", &integer), AMQP091_ERR_ABSENT);
	CU_ASSERT_EQUAL(integer, 77);
	CU_ASSERT_EQUAL(amqp091_table_get_bool(&t, "text", &boolean), AMQP091_ERR_TYPE);
	CU_ASSERT_EQUAL(amqp091_table_get_string(&t, "flag", &s), AMQP091_ERR_TYPE);
	CU_ASSERT_EQUAL(amqp091_table_get_table(&t, "list", &inner), AMQP091_ERR_TYPE);
	CU_ASSERT_EQUAL(amqp091_table_get_table(&(struct amqp091_table){NULL, 0}, "list", &inner),
		AMQP091_ERR_ABSENT);
}

static void the_first_of_equal_keys_counts(void)
{
	uint8_t mem[64];
	struct amqp091_table_builder b;
	struct amqp091_table t;
	int64_t v = 0;

	amqp091_table_build(&b, mem, sizeof(mem));
	amqp091_table_add_int32(&b, "k", 1);
	amqp091_table_add_int32(&b, "k", 2);
	CU_ASSERT_EQUAL(amqp091_table_finish(&b, &t), 0);
	CU_ASSERT(amqp091_table_get_int(&t, "k", &v) == 0 && v == 1);
}

/* Walks a table as deep as it goes and writes the same again. */
static void copy_fields(struct amqp091_table_builder *b, struct amqp091_table rest, bool keys)
{
	struct amqp091_shortstr key = {NULL, 0};
	struct amqp091_value v;
	int rc;

	while ((rc = keys ? amqp091_table_next(&rest, &key, &v) : amqp091_array_next(&rest, &v)) > 0) {
		char name[256] = {0};
		if (key.len)
			memcpy(name, key.data, key.len);
		if (v.type == 'F')
			amqp091_table_open(b, name);
		else if (v.type == 'A')
			amqp091_array_open(b, name);
		else
			amqp091_table_add_value(b, key, &v);
		if (v.type == 'F' || v.type == 'A') {
			copy_fields(b, v.table, v.type == 'F');
			amqp091_table_close(b);
		}
	}
	CU_ASSERT_EQUAL(rc, 0);
}

static void copies_are_the_same_octets(void)
{
	static const char *const names[] = {"table_librabbitmq", "table_pika", "table_pyamqp"};

	for (unsigned i = 0; i < 3; i++) {
		uint32_t len;
		uint8_t *octets = vector_get(names[i], &len), mem[512];
		struct amqp091_table t = vector_table(octets, len), copy;
		struct amqp091_table_builder b;
		amqp091_table_build(&b, mem, sizeof(mem));
		copy_fields(&b, t, true);
		CU_ASSERT_EQUAL(amqp091_table_finish(&b, &copy), 0);
		CU_ASSERT(copy.len == t.len && memcmp(copy.data, t.data, t.len) == 0);
		free(octets);
	}
}

static int validate_exact(const uint8_t *data, uint32_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	if (len)
		memcpy(copy, data, len);
	int rc = amqp091_table_validate(copy, len);
	free(copy);
	return rc;
}

/* A cut is good only where an entry ends, and then iterating gives fewer entries. */
static void every_cut(void)
{
	uint32_t len;
	uint8_t *octets = vector_get("table_librabbitmq", &len);
	unsigned whole = 0;

	for (uint32_t cut = 0; cut < len - 4; cut++) {
		int rc = validate_exact(octets + 4, cut);
		CU_ASSERT(rc == 0 || rc == AMQP091_ERR_SHORT);
		whole += rc == 0;
	}
	CU_ASSERT_EQUAL(whole, 17); /* before each of its 17 entries */
	free(octets);
}

/* An inner length is held against its own table, though the octets it lacks are there. */
static void inner_length(void)
{
	uint8_t wire[] = {1, 'k', 'F', 0, 0, 0, 7, 1, 'a', 'I', 0, 0, 0, 5, 0, 'V'};

	CU_ASSERT_EQUAL(validate_exact(wire, sizeof(wire)), 0);
	wire[6] = 6; /* the inner integer has three octets of its four */
	CU_ASSERT_EQUAL(validate_exact(wire, sizeof(wire)), AMQP091_ERR_SHORT);
	wire[6] = 10; /* past the end of the outer table */
	CU_ASSERT_EQUAL(validate_exact(wire, sizeof(wire)), AMQP091_ERR_SHORT);
}

static void unknown_types(void)
{
	const char known[] = "tbBsUuIilLfdDSTxFAV";

	for (unsigned c = 0; c < 256; c++) {
		uint8_t wire[16] = {1, 'k', (uint8_t)c};
		struct amqp091_table rest = {wire, sizeof(wire)};
		struct amqp091_shortstr key;
		struct amqp091_value v;
		bool is_known = c && strchr(known, (int)c);
		CU_ASSERT_EQUAL(amqp091_table_next(&rest, &key, &v), is_known ? 1 : AMQP091_ERR_MALFORMED);
		uint32_t taken = (uint32_t)sizeof(wire) - rest.len;
		CU_ASSERT_EQUAL(validate_exact(wire, taken ? taken : sizeof(wire)),
			is_known ? 0 : AMQP091_ERR_MALFORMED);
	}
}

/* depth tables within one another, in wire form, the innermost empty; arrays where letter is A. */
static uint32_t nested(uint8_t *wire, unsigned depth, char letter)
{
	uint32_t len = 0;

	for (unsigned d = 1; d < depth; d++) {
		uint32_t head = letter == 'A' && d + 1 < depth ? 5 : 6;
		memmove(wire + head, wire, len);
		uint8_t *p = wire;
		if (head == 6)
			*p++ = 0;
		*p++ = (uint8_t)letter;
		wire_put32(p, len);
		len += head;
	}
	return len;
}

static void depth_bombs(void)
{
	static uint8_t wire[6 * 100000];

	for (unsigned i = 0; i < 2; i++) {
		char letter = "FA"[i];
		CU_ASSERT_EQUAL(amqp091_table_validate(wire, nested(wire, 32, letter)), 0);
		CU_ASSERT_EQUAL(amqp091_table_validate(wire, nested(wire, 33, letter)), AMQP091_ERR_DEPTH);
		CU_ASSERT_EQUAL(amqp091_table_validate(wire, nested(wire, 5000, letter)), AMQP091_ERR_DEPTH);
	}
}

static void builder_limits(void)
{
	uint8_t mem[64];
	char long_key[257];
	struct amqp091_table_builder b;
	struct amqp091_table t;

	memset(long_key, 'k', 256);
	long_key[256] = 0;
	amqp091_table_build(&b, mem, sizeof(mem));
	amqp091_table_add_bool(&b, long_key, true);
	CU_ASSERT_EQUAL(amqp091_table_finish(&b, &t), AMQP091_ERR_MALFORMED);
	amqp091_table_build(&b, mem, sizeof(mem));
	amqp091_table_add_value(&b, (struct amqp091_shortstr){NULL, 0}, &(struct amqp091_value){.type = 'Z'});
	CU_ASSERT_EQUAL(amqp091_table_finish(&b, &t), AMQP091_ERR_MALFORMED);
	amqp091_table_build(&b, mem, sizeof(mem));
	for (unsigned i = 0; i <= AMQP091_BUILDER_DEPTH_MAX; i++)
		amqp091_table_open(&b, "");
	CU_ASSERT_EQUAL(amqp091_table_finish(&b, &t), AMQP091_ERR_DEPTH);
	amqp091_table_build(&b, mem, sizeof(mem));
	amqp091_table_open(&b, "");
	CU_ASSERT_EQUAL(amqp091_table_finish(&b, &t), AMQP091_ERR_DEPTH);
	amqp091_table_build(&b, mem, sizeof(mem));
	amqp091_table_close(&b);
	CU_ASSERT_EQUAL(amqp091_table_finish(&b, &t), AMQP091_ERR_DEPTH);
}

static void builder_without_room(void)
{
	uint8_t whole[64];
	struct amqp091_table t;

	for (uint32_t room = 0; room <= 40; room++) {
		struct amqp091_table_builder b;
		uint8_t *exact = malloc(room ? room : 1);
		amqp091_table_build(&b, exact, room);
		amqp091_table_open(&b, "nested");     /* 12 */
		amqp091_table_add_int64(&b, "n", -1); /* 11 */
		amqp091_table_close(&b);
		amqp091_table_add_cstring(&b, "s", "text"); /* 11 */
		CU_ASSERT_EQUAL(amqp091_table_finish(&b, &t), room < 34 ? AMQP091_ERR_ROOM : 0);
		if (room == 34)
			memcpy(whole, exact, room);
		free(exact);
	}
	CU_ASSERT_EQUAL(validate_exact(whole, 34), 0);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"every field type", every_type},
		{"tables of python's clients", python_clients},
		{"getters refuse other types", getters_refuse_other_types},
		{"the first of equal keys counts", the_first_of_equal_keys_counts},
		{"copies are the same octets", copies_are_the_same_octets},
		{"a table cut at every length", every_cut},
		{"the length of an inner table", inner_length},
		{"unknown field types", unknown_types},
		{"depth bombs", depth_bombs},
		{"the builder's limits", builder_limits},
		{"the builder without room", builder_without_room},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
