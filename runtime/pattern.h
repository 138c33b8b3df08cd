/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions (PCRE2's) that an operator wrote, held against names that a client sent: compiled once,
 * matched without memory from the system and within a bounded number of steps. Octets, not characters. */
#ifndef RUNTIME_PATTERN_H
#define RUNTIME_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pattern;	      /* shared by all threads; nobody changes it */
struct pattern_match; /* what a match works in: one thread's */

enum {
	PATTERN_TEXT_MAX = 255,
	PATTERN_ERROR_BYTES = 160,
	/* PCRE2 counts its ways back anew at each place of the name where the pattern may begin: with names
	 * of 255 octets that is half a million steps of some 10 ns at the worst, and one for each octet where
	 * the pattern is a plain one. */
	PATTERN_STEPS_MAX = 2000,
	PATTERN_HEAP_KIB = 512, /* of pattern_match: 2000 ways back with some captures each */
};

enum pattern_result {
	PATTERN_NO,
	PATTERN_YES,
	PATTERN_GAVE_UP, /* the steps or the memory did not do: to be taken as no */
};

/* Compiles text (up to PATTERN_TEXT_MAX octets), which stays the caller's. It is not anchored; an empty one
 * is in every name. NULL: error says what is wrong with it and behind which octet, or that there is no
 * memory. Allocates. Any thread. */
struct pattern *pattern_create(const char *text, size_t text_bytes, char error[static PATTERN_ERROR_BYTES]);
void pattern_destroy(struct pattern *p); /* NULL: nothing to do */

/* Room for matches with any pattern. NULL without memory. Any thread. */
struct pattern_match *pattern_match_create(void);
void pattern_match_destroy(struct pattern_match *m); /* NULL: nothing to do */

/* Whether p is found anywhere in name's octets (NULL where there are none). Allocates nothing. The thread of
 * m. */
enum pattern_result pattern_find(
	const struct pattern *p, struct pattern_match *m, const void *name, size_t name_bytes);

#endif
