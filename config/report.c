/* SPDX-License-Identifier: Apache-2.0 */
#include "config/report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_COLUMNS_MAX = 100, QUOTE_COLUMNS_MAX = 60 };

void report_init(struct report *r, const char *name, const char *text, size_t text_bytes)
{
	*r = (struct report){.name = name, .text = text, .text_bytes = text_bytes};
}

static void report_add(struct report *r, struct report_entry e, const char *fmt, va_list ap)
{
	if (!e.warning)
		r->errors++;
	if (r->entries == REPORT_ENTRIES_MAX) {
		r->full = true;
		return;
	}
	if (vasprintf(&e.words, fmt, ap) < 0)
		e.words = NULL;
	r->entry[r->entries++] = e;
}

void report_error(struct report *r, uint32_t offset, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	report_add(r, (struct report_entry){.offset = offset, .masked = REPORT_NOWHERE}, fmt, ap);
	va_end(ap);
}

void report_secret(struct report *r, uint32_t offset, uint32_t masked, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	report_add(r, (struct report_entry){.offset = offset, .masked = masked}, fmt, ap);
	va_end(ap);
}

void report_warning(struct report *r, uint32_t offset, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	report_add(r, (struct report_entry){.offset = offset, .warning = true, .masked = REPORT_NOWHERE}, fmt,
		ap);
	va_end(ap);
}

/* Columns count characters, not bytes: a byte that continues a UTF-8 sequence does not start a column. */
static bool starts_character(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static size_t line_start(const struct report *r, size_t offset)
{
	while (offset > 0 && r->text[offset - 1] != '\n')
		offset--;
	return offset;
}

static size_t line_end(const struct report *r, size_t offset)
{
	while (offset < r->text_bytes && r->text[offset] != '\n')
		offset++;
	return offset;
}

unsigned report_line(const struct report *r, uint32_t offset)
{
	unsigned line = 1;
	for (size_t i = 0; i < offset && i < r->text_bytes; i++)
		line += r->text[i] == '\n';
	return line;
}

static unsigned column_of(const struct report *r, size_t offset)
{
	unsigned column = 1;
	for (size_t i = line_start(r, offset); i < offset; i++)
		column += starts_character(r->text[i]);
	return column;
}

uint32_t report_offset(const struct report *r, unsigned line, unsigned column)
{
	size_t i = 0;
	for (unsigned l = 1; l < line && i < r->text_bytes; l++) {
		i = line_end(r, i);
		i += i < r->text_bytes;
	}
	for (unsigned c = 1; c < column && i < r->text_bytes && r->text[i] != '\n'; c++) {
		i++;
		while (i < r->text_bytes && !starts_character(r->text[i]))
			i++;
	}
	return (uint32_t)i;
}

/* Where the value of a password begins in [start, end), or end: whatever an error is about, a secret is not
 * copied to a terminal or a log. */
static size_t secret_start(const struct report *r, size_t start, size_t end)
{
	static const char word[] = "password";
	const size_t word_bytes = sizeof(word) - 1;
	for (size_t i = start; i + word_bytes <= end; i++) {
		if (memcmp(r->text + i, word, word_bytes) != 0)
			continue;
		i += word_bytes;
		while (i < end && r->text[i] != ':')
			i++;
		i += i < end;
		while (i < end && r->text[i] == ' ')
			i++;
		return i;
	}
	return end;
}

static void put_byte(char c, FILE *out)
{
	/* one column a character keeps the caret below its place */
	fputc((unsigned char)c < 0x20 || c == 0x7f ? ' ' : c, out);
}

static void write_line(const struct report *r, const struct report_entry *e, unsigned line, FILE *out)
{
	size_t offset = e->offset < r->text_bytes ? e->offset : r->text_bytes;
	size_t start = line_start(r, offset), end = line_end(r, offset);
	size_t masked = secret_start(r, start, end);
	unsigned columns = 0, before = column_of(r, offset) - 1;

	if (e->masked < masked)
		masked = e->masked;
	if (end > start && r->text[end - 1] == '\r')
		end--;
	/* a long line is shown from a little before the place */
	unsigned skip = before > LINE_COLUMNS_MAX * 3 / 4 ? before - LINE_COLUMNS_MAX / 2 : 0;
	size_t i = start;
	for (unsigned c = 0; c < skip; c++) {
		i++;
		while (i < end && !starts_character(r->text[i]))
			i++;
	}
	fprintf(out, "%5u | %s", line, skip ? "..." : "");
	for (; i < end && i < masked; i++) {
		if (starts_character(r->text[i]) && ++columns > LINE_COLUMNS_MAX)
			break;
		put_byte(r->text[i], out);
	}
	fputs(i >= masked && masked < end ? "***" : i < end ? "..." : "", out);
	fprintf(out, "\n      | %*s^\n", (int)(before - skip + (skip ? 3 : 0)), "");
}

static int compare_entries(const void *a, const void *b)
{
	const struct report_entry *x = a, *y = b;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

unsigned report_write(struct report *r, FILE *out)
{
	qsort(r->entry, r->entries, sizeof(r->entry[0]), compare_entries);
	for (unsigned i = 0; i < r->entries; i++) {
		struct report_entry *e = &r->entry[i];
		const char *kind = e->warning ? "warning" : "error";
		const char *words = e->words ? e->words : "(no memory for the message)";
		if (e->offset == REPORT_NOWHERE) {
			fprintf(out, "%s: %s: %s\n", r->name, kind, words);
		} else {
			unsigned line = report_line(r, e->offset);
			fprintf(out, "%s:%u:%u: %s: %s\n", r->name, line, column_of(r, e->offset), kind,
				words);
			write_line(r, e, line, out);
		}
		free(e->words);
		e->words = NULL;
	}
	if (r->full)
		fprintf(out, "%s: error: more than %d messages; the rest is not shown\n", r->name,
			REPORT_ENTRIES_MAX);
	r->entries = 0;
	return r->errors;
}

const char *report_quote(char *buf, size_t buf_bytes, const char *text, size_t n)
{
	FILE *out = fmemopen(buf, buf_bytes, "w");
	unsigned columns = 0;
	size_t i = 0;

	if (!out)
		return "\"...\"";
	fputc('"', out);
	for (; i < n; i++) {
		if (starts_character(text[i]) && ++columns > QUOTE_COLUMNS_MAX)
			break;
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			fprintf(out, "\\x%02x", (unsigned char)text[i]);
		else
			fputc(text[i], out);
	}
	fputs(i < n ? "\"..." : "\"", out);
	fclose(out);
	buf[buf_bytes - 1] = '\0';
	return buf;
}
