/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the benchmarker's tools, from a table: --name VALUE, --name=VALUE, -letter VALUE, and
 * -name as some write it. */
#ifndef TOOLS_CLIENT_OPTIONS_H
#define TOOLS_CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_kind {
	OPTION_FLAG,   /* bool, set */
	OPTION_YES_NO, /* bool; without a value: yes */
	OPTION_NUMBER, /* uint64_t, min to max */
	OPTION_TEXT,   /* const char *, borrowed from argv */
};

struct option_row {
	const char *name;
	char letter; /* 0: none */
	enum option_kind kind;
	size_t at; /* in the target */
	uint64_t min, max;
	const char *value, *help; /* help NULL: another name of an option, not shown */
};

/* Fills target, which has the defaults. 0, or -1 with error: a sentence that names the option. What is no
 * option is put in front of argv, *rest of them, where rest is not NULL, else refused. */
int options_parse(const struct option_row *rows, unsigned count, void *target, int argc, char **argv,
	int *rest, char *error, size_t room);

/* A line or two for each row. */
void options_help(FILE *out, const struct option_row *rows, unsigned count);

#endif
