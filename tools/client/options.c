/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct parse {
	const struct option_row *rows;
	unsigned count;
	void *target;
	char *error;
	size_t room;
};

/* The row that an argument names; *value_or_null: what follows a '='. */
static const struct option_row *row_of(const struct parse *p, const char *arg, const char **value_or_null)
{
	const char *name = arg[1] == '-' ? arg + 2 : arg + 1, *equals = strchr(name, '=');
	size_t n = equals ? (size_t)(equals - name) : strlen(name);

	*value_or_null = equals ? equals + 1 : NULL;
	for (unsigned i = 0; i < p->count; i++) {
		const struct option_row *row = &p->rows[i];
		if (arg[1] != '-' && n == 1 && row->letter == name[0])
			return row;
		if (n > 1 && strlen(row->name) == n && !strncmp(row->name, name, n))
			return row;
	}
	return NULL;
}

/* 1 and 0, and -1 for what is neither. */
static int yes_or_no(const char *text)
{
	static const char *const words[2][4] = {{"no", "false", "0", "off"}, {"yes", "true", "1", "on"}};

	for (int yes = 0; text && yes < 2; yes++)
		for (unsigned i = 0; i < 4; i++)
			if (!strcmp(text, words[yes][i]))
				return yes;
	return -1;
}

static int refuse(const struct parse *p, const struct option_row *row, const char *why)
{
	snprintf(p->error, p->room, "--%s %s", row->name, why);
	return -1;
}

static int set_number(const struct parse *p, const struct option_row *row, const char *text)
{
	char *end, why[128];

	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || v < row->min || v > row->max) {
		snprintf(why, sizeof(why), "is a number from %llu to %llu, not '%.40s'",
			(unsigned long long)row->min, (unsigned long long)row->max, text);
		return refuse(p, row, why);
	}
	*(uint64_t *)((char *)p->target + row->at) = v;
	return 0;
}

/* *used: whether `next` was the value. */
static int set(
	const struct parse *p, const struct option_row *row, const char *value, const char *next, bool *used)
{
	char *to = (char *)p->target + row->at;

	*used = false;
	if (row->kind == OPTION_FLAG) {
		*(bool *)to = true;
		return value ? refuse(p, row, "takes no value") : 0;
	}
	if (row->kind == OPTION_YES_NO) {
		*used = !value && yes_or_no(next) >= 0;
		int yes = value ? yes_or_no(value) : *used ? yes_or_no(next) : 1;
		*(bool *)to = yes == 1;
		return yes < 0 ? refuse(p, row, "is yes or no") : 0;
	}
	*used = !value;
	if (!value)
		value = next;
	if (!value)
		return refuse(p, row, "needs a value");
	if (row->kind == OPTION_NUMBER)
		return set_number(p, row, value);
	*(const char **)to = value;
	return 0;
}

int options_parse(const struct option_row *rows, unsigned count, void *target, int argc, char **argv,
	int *rest, char *error, size_t room)
{
	const struct parse p = {rows, count, target, error, room};
	int others = 0;

	for (int i = 1; i < argc; i++) {
		const char *value;
		bool used;
		if (argv[i][0] != '-' || !argv[i][1]) {
			if (!rest) {
				snprintf(error, room, "'%.60s' is no option", argv[i]);
				return -1;
			}
			argv[others++] = argv[i];
			continue;
		}
		const struct option_row *row = row_of(&p, argv[i], &value);
		if (!row) {
			snprintf(error, room, "there is no option %.60s", argv[i]);
			return -1;
		}
		if (set(&p, row, value, i + 1 < argc ? argv[i + 1] : NULL, &used))
			return -1;
		i += used;
	}
	if (rest)
		*rest = others;
	return 0;
}

void options_help(FILE *out, const struct option_row *rows, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char left[64];
		if (!rows[i].help)
			continue;
		snprintf(left, sizeof(left), "%s%c%s--%s%s%s", rows[i].letter ? "-" : " ",
			rows[i].letter ? rows[i].letter : ' ', rows[i].letter ? ", " : "  ", rows[i].name,
			rows[i].value ? " " : "", rows[i].value ? rows[i].value : "");
		fprintf(out, "  %-30s %s\n", left, rows[i].help);
	}
}
