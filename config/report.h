/* SPDX-License-Identifier: Apache-2.0 */
/* Errors and warnings about one text, gathered and then written in the text's order, each with the line that
 * it is about and a caret below it. Secrets and control characters of that line are masked. Private to the
 * loader. */
#ifndef CONFIG_REPORT_H
#define CONFIG_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { REPORT_ENTRIES_MAX = 20, REPORT_NOWHERE = UINT32_MAX };

struct report_entry {
	uint32_t offset; /* byte in the text, or REPORT_NOWHERE */
	bool warning;
	uint32_t masked; /* the line is not shown from here on; REPORT_NOWHERE: it is */
	char *words;
};

struct report {
	const char *name; /* of the file */
	const char *text;
	size_t text_bytes;
	unsigned entries, errors;
	bool full; /* more was found than is told */
	struct report_entry entry[REPORT_ENTRIES_MAX];
};

/* name and text are borrowed until report_write. */
void report_init(struct report *r, const char *name, const char *text, size_t text_bytes);

/* Adds one; past REPORT_ENTRIES_MAX it is only counted. report_secret does not show the line from the byte
 * masked on. Allocates. */
__attribute__((format(printf, 3, 4))) void report_error(
	struct report *r, uint32_t offset, const char *fmt, ...);
__attribute__((format(printf, 4, 5))) void report_secret(
	struct report *r, uint32_t offset, uint32_t masked, const char *fmt, ...);
__attribute__((format(printf, 3, 4))) void report_warning(
	struct report *r, uint32_t offset, const char *fmt, ...);

/* Writes everything to out, sorted by place, and releases it. Returns the number of errors. */
unsigned report_write(struct report *r, FILE *out);

/* The byte of line and column, both from 1; the end of the text where it has no such place. */
uint32_t report_offset(const struct report *r, unsigned line, unsigned column);

/* The line of a byte, from 1. O(offset). */
unsigned report_line(const struct report *r, uint32_t offset);

/* n bytes of text in double quotes for a message, cut after 60 characters, control characters escaped. The
 * result lies in buf. */
const char *report_quote(char *buf, size_t buf_bytes, const char *text, size_t n);

#endif
