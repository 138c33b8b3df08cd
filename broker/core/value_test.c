/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/failure.h"
#include "broker/core/value.h"
#include "runtime/siphash.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct slice text(const char *s)
{
	return (struct slice){(const uint8_t *)s, (uint32_t)strlen(s)};
}

static struct field string_field(const char *name, const char *value)
{
	return (struct field){text(name), {.kind = VALUE_STRING, .bytes = text(value)}};
}

static struct field int_field(const char *name, int64_t value)
{
	return (struct field){text(name), {.kind = VALUE_INT, .integer = value}};
}

static void values_compare_by_kind_and_content(void)
{
	struct value one = {.kind = VALUE_INT, .integer = 1}, two = {.kind = VALUE_INT, .integer = 2};
	struct value stamp = {.kind = VALUE_TIMESTAMP, .integer = 1};
	struct value yes = {.kind = VALUE_BOOL, .boolean = true}, no = {.kind = VALUE_BOOL};
	struct value none = {.kind = VALUE_VOID};
	struct value half = {.kind = VALUE_DOUBLE, .real = 0.5};

	CU_ASSERT_TRUE(value_equal(&one, &one));
	CU_ASSERT_FALSE(value_equal(&one, &two));
	CU_ASSERT_FALSE(value_equal(&one, &stamp));
	CU_ASSERT_TRUE(value_equal(&stamp, &stamp));
	CU_ASSERT_FALSE(value_equal(&yes, &no));
	CU_ASSERT_TRUE(value_equal(&none, &none));
	CU_ASSERT_TRUE(value_equal(&half, &half));
	struct value a = {.kind = VALUE_STRING, .bytes = text("a")}, b = a;
	CU_ASSERT_TRUE(value_equal(&a, &b));
	b.kind = VALUE_OPAQUE;
	CU_ASSERT_FALSE(value_equal(&a, &b));
}

static void slices_may_be_empty_without_data(void)
{
	CU_ASSERT_TRUE(slice_equal((struct slice){0}, text("")));
	CU_ASSERT_TRUE(slice_equals_text((struct slice){0}, ""));
	CU_ASSERT_FALSE(slice_equals_text(text("ab"), "abc"));
	CU_ASSERT_TRUE(slice_equals_text(text("abc"), "abc"));
}

static void a_copy_is_independent(void)
{
	char word[] = "word";
	struct field at[] = {string_field("key", word), int_field("n", 7)};
	struct fields from = {at, 2}, copy;

	CU_ASSERT_EQUAL(fields_copy(&copy, &from), 0);
	fields_sort(&from);
	fields_sort(&copy);
	CU_ASSERT_TRUE(fields_equal(&from, &copy));
	word[0] = 'W';
	CU_ASSERT_FALSE(fields_equal(&from, &copy));
	CU_ASSERT_TRUE(slice_equals_text(fields_find(&copy, "key")->bytes, "word"));
	CU_ASSERT_PTR_NULL(fields_find(&copy, "ke"));
	fields_free(&copy);
	CU_ASSERT_EQUAL(fields_copy(&copy, &copy), 0);
	CU_ASSERT_PTR_NULL(copy.at);
}

static bool equal(const struct field *a, uint32_t a_count, const struct field *b, uint32_t b_count)
{
	struct fields x, y;

	CU_ASSERT_EQUAL_FATAL(fields_copy(&x, &(struct fields){a, a_count}), 0);
	CU_ASSERT_EQUAL_FATAL(fields_copy(&y, &(struct fields){b, b_count}), 0);
	fields_sort(&x);
	fields_sort(&y);
	bool yes = fields_equal(&x, &y);
	fields_free(&x);
	fields_free(&y);
	return yes;
}

static void fields_are_equal_in_any_order(void)
{
	struct field a[] = {int_field("x", 1), int_field("y", 2), string_field("z", "s")};
	struct field b[] = {string_field("z", "s"), int_field("y", 2), int_field("x", 1)};
	struct field c[] = {int_field("y", 2), int_field("z", 1), int_field("x", 1)};
	struct field nan[] = {{text("n"), {.kind = VALUE_DOUBLE, .real = __builtin_nan("")}}};

	CU_ASSERT_TRUE(equal(a, 3, b, 3));
	CU_ASSERT_FALSE(equal(a, 3, c, 3));
	CU_ASSERT_FALSE(equal(a, 3, a, 2));
	CU_ASSERT_TRUE(equal(a, 0, b, 0));
	/* What cannot be found equal could not be unbound. */
	CU_ASSERT_TRUE(equal(nan, 1, nan, 1));
}

/* A name may come twice in an argument table. */
static void repeated_names_are_told_apart(void)
{
	struct field one_two[] = {int_field("x", 1), int_field("x", 2)};
	struct field two_one[] = {int_field("x", 2), int_field("x", 1)};
	struct field one_one[] = {int_field("x", 1), int_field("x", 1)};
	struct field one_other[] = {int_field("x", 1), int_field("y", 2)};

	CU_ASSERT_TRUE(equal(one_two, 2, two_one, 2));
	CU_ASSERT_FALSE(equal(one_one, 2, one_other, 2));
	CU_ASSERT_FALSE(equal(one_one, 2, one_two, 2));
}

static void equal_fields_have_equal_hashes(void)
{
	static const struct siphash_key key = {1, 2};
	struct value zero = {.kind = VALUE_DOUBLE, .real = 0.0}, minus = {.kind = VALUE_DOUBLE, .real = -0.0};
	struct value a = {.kind = VALUE_STRING, .bytes = text("a")}, b = a,
		     i = {.kind = VALUE_INT, .integer = 1};
	char copy[] = "a";

	b.bytes.data = (const uint8_t *)copy;
	CU_ASSERT_TRUE(value_equal(&zero, &minus));
	CU_ASSERT_EQUAL(field_hash(&key, 7, &zero), field_hash(&key, 7, &minus));
	CU_ASSERT_EQUAL(field_hash(&key, 7, &a), field_hash(&key, 7, &b));
	CU_ASSERT_NOT_EQUAL(field_hash(&key, 7, &a), field_hash(&key, 7, &i));
	CU_ASSERT_NOT_EQUAL(field_hash(&key, 7, &a), field_hash(&key, 8, &a));
	b.kind = VALUE_OPAQUE;
	CU_ASSERT_NOT_EQUAL(field_hash(&key, 7, &a), field_hash(&key, 7, &b));
}

static void a_long_failure_is_cut_between_characters(void)
{
	struct failure f;
	char name[400];

	for (unsigned lead = 0; lead < 4; lead++) {
		memset(name, 0, sizeof(name));
		memset(name, 'a', lead);
		for (unsigned i = lead; i + 3 < sizeof(name); i += 3)
			memcpy(name + i, "\xe2\x82\xac", 3);
		CU_ASSERT_EQUAL(failure_set(&f, FAILURE_LIMIT, "%s", name), FAILURE_LIMIT);
		CU_ASSERT_EQUAL(f.code, FAILURE_LIMIT);
		CU_ASSERT_EQUAL((strlen(f.text) - lead) % 3, 0);
		CU_ASSERT_TRUE(strlen(f.text) > 230);
	}
	CU_ASSERT_EQUAL(failure_set(NULL, FAILURE_LIMIT, "unread"), FAILURE_LIMIT);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"values_compare_by_kind_and_content", values_compare_by_kind_and_content},
			{"slices_may_be_empty_without_data", slices_may_be_empty_without_data},
			{"a_copy_is_independent", a_copy_is_independent},
			{"fields_are_equal_in_any_order", fields_are_equal_in_any_order},
			{"repeated_names_are_told_apart", repeated_names_are_told_apart},
			{"equal_fields_have_equal_hashes", equal_fields_have_equal_hashes},
			{"a_long_failure_is_cut_between_characters",
				a_long_failure_is_cut_between_characters},
			{0}});
}
