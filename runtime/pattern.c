/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pattern.h"

#include "runtime/check.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pattern {
	pcre2_code *code;
};

struct pattern_match {
	pcre2_general_context *memory;
	pcre2_match_context *limits;
	pcre2_match_data *data;
	bool whole; /* it has all of the memory that it will ever have */
};

struct pattern *pattern_create(const char *text, size_t text_bytes, char error[static PATTERN_ERROR_BYTES])
{
	struct pattern *p = calloc(1, sizeof(*p));
	PCRE2_SIZE at = 0;
	int code = 0;

	MUST(text_bytes <= PATTERN_TEXT_MAX);
	if (!p) {
		snprintf(error, PATTERN_ERROR_BYTES, "no memory");
		return NULL;
	}
	/* Names are octets: a pattern must not make UTF-8 of them, which a client need not keep to. And they
	 * may end with a newline, which `$` must not pass over. */
	p->code = pcre2_compile(
		(PCRE2_SPTR)text, text_bytes, PCRE2_NEVER_UTF | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
	if (!p->code) {
		char why[PATTERN_ERROR_BYTES - 32];
		pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof(why));
		snprintf(error, PATTERN_ERROR_BYTES, "%s, behind octet %zu", why, (size_t)at);
		free(p);
		return NULL;
	}
	return p;
}

void pattern_destroy(struct pattern *p)
{
	if (!p)
		return;
	pcre2_code_free(p->code);
	free(p);
}

static void *match_memory(PCRE2_SIZE bytes, void *ctx)
{
	const struct pattern_match *m = ctx;

	return m->whole ? NULL : malloc(bytes);
}

static void match_memory_free(void *block, void *ctx)
{
	free(block);
}

/* PCRE2 takes memory for its ways back during a match, up to the limit, and keeps it in the match data for
 * the next one: a match that needs more than there may be leaves it with all of it. */
static bool match_fill(struct pattern_match *m)
{
	enum { SUBJECT_BYTES = 64 * 1024 };
	char error[PATTERN_ERROR_BYTES];
	char *subject = malloc(SUBJECT_BYTES);
	static const char text[] = "(*NO_START_OPT)(?:(a)|b)*c"; /* which would see that there is no c */
	struct pattern *p = pattern_create(text, sizeof(text) - 1, error);
	int code = 0;

	if (p && subject) {
		memset(subject, 'a', SUBJECT_BYTES);
		pcre2_set_match_limit(m->limits, UINT32_MAX);
		code = pcre2_match(p->code, (PCRE2_SPTR)subject, SUBJECT_BYTES, 0, 0, m->data, m->limits);
		pcre2_set_match_limit(m->limits, PATTERN_STEPS_MAX);
	}
	pattern_destroy(p);
	free(subject);
	return code == PCRE2_ERROR_HEAPLIMIT;
}

struct pattern_match *pattern_match_create(void)
{
	struct pattern_match *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->memory = pcre2_general_context_create(match_memory, match_memory_free, m);
	if (m->memory) {
		m->limits = pcre2_match_context_create(m->memory);
		m->data = pcre2_match_data_create(1, m->memory); /* where it was found nobody asks */
	}
	if (!m->limits || !m->data) {
		pattern_match_destroy(m);
		return NULL;
	}
	pcre2_set_heap_limit(m->limits, PATTERN_HEAP_KIB);
	if (!match_fill(m)) {
		pattern_match_destroy(m);
		return NULL;
	}
	m->whole = true;
	return m;
}

void pattern_match_destroy(struct pattern_match *m)
{
	if (!m)
		return;
	pcre2_match_data_free(m->data);
	pcre2_match_context_free(m->limits);
	pcre2_general_context_free(m->memory);
	free(m);
}

enum pattern_result pattern_find(
	const struct pattern *p, struct pattern_match *m, const void *name, size_t name_bytes)
{
	PCRE2_SPTR subject = name_bytes ? name : (PCRE2_SPTR) "";
	int code = pcre2_match(p->code, subject, name_bytes, 0, 0, m->data, m->limits);

	if (code >= 0)
		return PATTERN_YES;
	return code == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_GAVE_UP;
}
