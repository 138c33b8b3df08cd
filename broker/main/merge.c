/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/main/merge.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static const char *name_of(const json_t *o)
{
	const char *name = json_string_value(json_object_get(o, "name"));

	return name ? name : json_string_value(json_object_get(o, "port"));
}

static json_t *element_named(const json_t *array, const char *name)
{
	for (size_t i = 0; name && i < json_array_size(array); i++) {
		json_t *e = json_array_get(array, i);
		const char *its = name_of(e);
		if (its && strcmp(its, name) == 0)
			return e;
	}
	return NULL;
}

static void merge_array(json_t *into, const json_t *from)
{
	for (size_t i = 0; i < json_array_size(from); i++) {
		json_t *e = json_array_get(from, i), *same = element_named(into, name_of(e));
		if (same)
			merge_json(same, e);
		else
			json_array_append_new(into, json_deep_copy(e));
	}
}

static bool is_largest(const char *key)
{
	static const char end[] = "_us_max";
	size_t n = strlen(key);

	return n >= sizeof(end) - 1 && strcmp(key + n - (sizeof(end) - 1), end) == 0;
}

static void merge_value(json_t *into, const char *key, json_t *value)
{
	json_t *there = json_object_get(into, key);

	if (!there) {
		json_object_set_new(into, key, json_deep_copy(value));
	} else if (json_is_integer(there) && json_is_integer(value)) {
		json_int_t a = json_integer_value(there), b = json_integer_value(value);
		json_integer_set(there, is_largest(key) ? (a > b ? a : b) : a + b);
	} else if (json_is_false(there) && json_is_true(value)) {
		json_object_set_new(into, key, json_true());
	} else if (json_is_object(there) && json_is_object(value)) {
		merge_json(there, value);
	} else if (json_is_array(there) && json_is_array(value)) {
		merge_array(there, value);
	}
}

void merge_json(json_t *into, const json_t *from)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)from, key, value) merge_value(into, key, value);
}
