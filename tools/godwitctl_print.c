/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/godwitctl_print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/godwitctl_grid.h"

enum { INDENT = 2, KEY_BYTES = 128 };

/* ---- values as text ---- */

/* A terminal must not obey what a client named its queue: C0, DEL and the C1 characters in UTF-8. */
static void put_text(const char *text, FILE *out)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			fprintf(out, "\\x%02x", *p);
		else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			fprintf(out, "\\x%02x", *++p);
		else
			fputc(*p, out);
	}
}

static void put_duration(json_int_t s, FILE *out)
{
	fprintf(out, "%" JSON_INTEGER_FORMAT " s", s);
	if (s < 60)
		return;
	fputs(" (", out);
	if (s >= 86400)
		fprintf(out, "%" JSON_INTEGER_FORMAT " d ", s / 86400);
	if (s >= 3600)
		fprintf(out, "%" JSON_INTEGER_FORMAT " h ", s / 3600 % 24);
	fprintf(out, "%" JSON_INTEGER_FORMAT " min)", s / 60 % 60);
}

static void put_value(const char *key, const json_t *value, FILE *out);

static void put_array(const char *key, const json_t *array, FILE *out)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		if (i)
			fputs(", ", out);
		put_value(key, json_array_get(array, i), out);
	}
	if (json_array_size(array) == 0)
		fputs("none", out);
}

static void put_value(const char *key, const json_t *value, FILE *out)
{
	if (json_is_string(value) && json_string_length(value))
		put_text(json_string_value(value), out);
	else if (json_is_integer(value) && strcmp(key, "uptime_s") == 0)
		put_duration(json_integer_value(value), out);
	else if (json_is_integer(value))
		fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_real(value))
		fprintf(out, "%.6g", json_real_value(value));
	else if (json_is_boolean(value))
		fputs(json_is_true(value) ? "yes" : "no", out);
	else if (json_is_array(value))
		put_array(key, value, out);
	else if (json_is_object(value))
		json_dumpf(value, out, JSON_COMPACT | JSON_ENSURE_ASCII);
	else
		fputc('-', out); /* null, an empty text */
}

static char *text_of(const char *key, const json_t *value)
{
	char *text = NULL;
	size_t bytes;
	FILE *f = need_memory(open_memstream(&text, &bytes));
	if (value)
		put_value(key, value, f);
	fclose(f);
	return need_memory(text);
}

static char *label_of(const char *key)
{
	char *text = NULL;
	size_t bytes;
	FILE *f = need_memory(open_memstream(&text, &bytes));
	put_text(key, f);
	fclose(f);
	return need_memory(text);
}

/* ---- what is shown ---- */

static bool is_zero(const json_t *value)
{
	return json_is_number(value) && json_number_value(value) == 0;
}

static bool is_table(const json_t *value)
{
	return json_is_array(value) && json_is_object(json_array_get(value, 0));
}

/* Inner objects become dotted keys of to. */
static void flatten(json_t *to, const char *prefix, json_t *from)
{
	const char *key;
	json_t *value;
	json_object_foreach(from, key, value)
	{
		char name[KEY_BYTES];
		if (json_is_object(value) && strcmp(key, "counters") == 0) {
			flatten(to, prefix, value);
			continue;
		}
		snprintf(name, sizeof(name), "%s%s%s", prefix, prefix[0] ? "." : "", key);
		if (json_is_object(value))
			flatten(to, name, value);
		else
			json_object_set(to, name, value);
	}
}

static json_t *flat_of(json_t *object)
{
	json_t *flat = need_memory(json_object());
	flatten(flat, "", object);
	return flat;
}

static json_t *flat_rows(const json_t *array)
{
	json_t *rows = need_memory(json_array()), *row;
	size_t i;
	json_array_foreach(array, i, row) json_array_append_new(rows, flat_of(row));
	return rows;
}

static bool zero_everywhere(const json_t *rows, const char *key)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *value = json_object_get(json_array_get(rows, i), key);
		if (value && !is_zero(value))
			return false;
	}
	return true;
}

/* The keys of all rows in order of appearance, without counters that are zero everywhere, as an object with
 * values of no meaning. */
static json_t *shown_keys(const json_t *rows, bool all, bool table)
{
	json_t *seen = need_memory(json_object()), *row, *value;
	const char *key;
	size_t i;
	void *next;
	json_array_foreach(rows, i, row)
	{
		json_object_foreach(row, key, value) json_object_set_new(seen, key, json_true());
	}
	bool first = table;
	json_object_foreach_safe(seen, next, key, value)
	{
		if (!all && !first && strcmp(key, "cpu") != 0 && zero_everywhere(rows, key))
			json_object_del(seen, key);
		first = false;
	}
	return seen;
}

/* ---- sections ---- */

static void print_list(json_t *flat, json_t *keys, size_t indent, FILE *out)
{
	struct grid g = grid_new(json_object_size(keys), 2);
	const char *key;
	json_t *ignored;
	size_t row = 0;
	json_object_foreach(keys, key, ignored)
	{
		grid_set_take(&g, row, 0, label_of(key));
		grid_set_take(&g, row++, 1, text_of(key, json_object_get(flat, key)));
	}
	grid_print(&g, indent, out);
	grid_free(&g);
}

static void fill_column(struct grid *g, size_t column, const char *key, const json_t *rows)
{
	g->right[column] = true;
	grid_set_take(g, 0, column, label_of(key));
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *value = json_object_get(json_array_get(rows, i), key);
		grid_set_take(g, i + 1, column, text_of(key, value));
		g->right[column] &= !value || json_is_number(value);
	}
}

static void print_table(const json_t *rows, json_t *keys, FILE *out)
{
	struct grid g = grid_new(json_array_size(rows) + 1, json_object_size(keys));
	const char *key;
	json_t *ignored;
	size_t column = 0;
	json_object_foreach(keys, key, ignored) fill_column(&g, column++, key, rows);
	if (grid_width(&g) + INDENT > PRINT_WIDTH)
		grid_transpose(&g);
	grid_print(&g, INDENT, out);
	grid_free(&g);
}

static void print_title(const char *key, FILE *out)
{
	fputc('\n', out);
	put_text(key, out);
	fputc('\n', out);
}

static void print_section(const char *key, json_t *value, bool all, FILE *out)
{
	bool table = is_table(value);
	json_t *rows;

	print_title(key, out);
	if (json_is_array(value) && !table) {
		fprintf(out, "%*s", INDENT, "");
		put_array(key, value, out);
		fputc('\n', out);
		return;
	}
	if (table)
		rows = flat_rows(value);
	else
		rows = need_memory(json_pack("[o]", flat_of(value)));
	json_t *keys = shown_keys(rows, all, table);
	if (json_object_size(keys) == 0)
		fprintf(out, "%*s%s\n", INDENT, "",
			json_object_size(json_array_get(rows, 0)) ? "all zero" : "none");
	else if (table)
		print_table(rows, keys, out);
	else
		print_list(json_array_get(rows, 0), keys, INDENT, out);
	json_decref(keys);
	json_decref(rows);
}

static bool is_section(const json_t *value)
{
	return json_is_object(value) || json_is_array(value);
}

/* From the outside in; what is not named here follows in the answer's own order. */
static const char *const section_order[] = {
	"cores", "ports", "listeners", "kernel", "bypass", "tcp", "amqp", "broker", "vhosts", "pools"};
enum { SECTIONS_ORDERED = sizeof(section_order) / sizeof(section_order[0]) };

static bool is_ordered(const char *key)
{
	for (size_t i = 0; i < SECTIONS_ORDERED; i++)
		if (strcmp(section_order[i], key) == 0)
			return true;
	return false;
}

static void print_sections(json_t *result, bool all, FILE *out)
{
	const char *key;
	json_t *value;
	for (size_t i = 0; i < SECTIONS_ORDERED; i++) {
		value = json_object_get(result, section_order[i]);
		if (is_section(value))
			print_section(section_order[i], value, all, out);
	}
	json_object_foreach(result, key, value)
	{
		if (is_section(value) && !is_ordered(key))
			print_section(key, value, all, out);
	}
}

static void print_head(json_t *result, FILE *out)
{
	json_t *head = need_memory(json_object()), *value;
	const char *key;
	json_object_foreach(result, key, value)
	{
		if (!is_section(value))
			json_object_set(head, key, value);
	}
	print_list(head, head, 0, out);
	json_decref(head);
}

void print_result(json_t *result, bool all, FILE *out)
{
	if (!json_is_object(result)) {
		put_value("", result, out);
		fputc('\n', out);
		return;
	}
	print_head(result, out);
	print_sections(result, all, out);
}

void print_json(const json_t *result, FILE *out)
{
	json_dumpf(result, out, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	fputc('\n', out);
}
