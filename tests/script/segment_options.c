/* SPDX-License-Identifier: Apache-2.0 */
/* TCP options between a script's words and the wire. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/wire.h"
#include "tests/script/segment.h"

enum { EOL, NOP, MSS, WSCALE, SACK_OK, SACK, TIMESTAMP = 8 };

static const char *parse_raw(struct segment *g, const char *p)
{
	while (*p) {
		char *end;
		unsigned long v = strtoul(p, &end, 16);
		if (end == p || g->options_n >= sizeof(g->options))
			return "raw takes bytes in hexadecimal";
		g->options[g->options_n++] = (uint8_t)v;
		for (p = end; *p == ' ';)
			p++;
	}
	return NULL;
}

/* One block A:B of a SACK option, of which the first one writes the head as well. */
static const char *parse_sack(
	struct segment *g, const char *text, const struct segment_base *base, bool first)
{
	static unsigned length_at;
	long long from, to;

	if (sscanf(text, "%lld:%lld", &from, &to) != 2)
		return "a SACK block is A:B";
	if (first) {
		g->options[g->options_n++] = SACK;
		length_at = g->options_n;
		g->options[g->options_n++] = 2;
	}
	wire_put32(g->options + g->options_n, base->stack_isn + (uint32_t)from);
	wire_put32(g->options + g->options_n + 4, base->stack_isn + (uint32_t)to);
	g->options_n += 8;
	g->options[length_at] += 8;
	return NULL;
}

static void put(struct segment *g, const void *bytes, uint32_t n)
{
	memcpy(g->options + g->options_n, bytes, n);
	g->options_n += n;
}

static const char *parse_option(struct segment *g, const char *text, const struct segment_base *base)
{
	unsigned a, b;
	char ecr[32];

	if (g->options_n > 40)
		return "too many options";
	if (sscanf(text, "mss %u", &a) == 1) {
		put(g, (uint8_t[]){MSS, 4, (uint8_t)(a >> 8), (uint8_t)a}, 4);
	} else if (sscanf(text, "wscale %u", &a) == 1) {
		put(g, (uint8_t[]){WSCALE, 3, (uint8_t)a}, 3);
	} else if (sscanf(text, "ts %u %31s", &a, ecr) == 2) {
		uint8_t *p = g->options + g->options_n + 2;
		b = strncmp(ecr, "last", 4) ? (unsigned)strtoul(ecr, NULL, 0)
					    : base->last_ts + (unsigned)strtol(ecr + 4, NULL, 10);
		put(g, (uint8_t[10]){TIMESTAMP, 10}, 10);
		wire_put32(p, a);
		wire_put32(p + 4, b);
	} else if (!strcmp(text, "nop") || !strcmp(text, "eol")) {
		put(g, (uint8_t[]){text[0] == 'n'}, 1);
	} else if (!strcmp(text, "sackok")) {
		put(g, (uint8_t[]){SACK_OK, 2}, 2);
	} else if (!strncmp(text, "sack ", 5)) {
		return parse_sack(g, text + 5, base, true);
	} else if (isdigit((unsigned char)*text) || *text == '-') {
		return parse_sack(g, text, base, false); /* another block behind "sack A:B," */
	} else if (!strncmp(text, "raw ", 4)) {
		return parse_raw(g, text + 4);
	} else {
		return "unknown option";
	}
	return NULL;
}

const char *segment_options_parse(struct segment *g, const char *text, const struct segment_base *base)
{
	char list[200], *save, *one;

	snprintf(list, sizeof(list), "%s", text);
	for (one = strtok_r(list, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		while (*one == ' ')
			one++;
		const char *wrong = parse_option(g, one, base);
		if (wrong)
			return wrong;
	}
	while (g->options_n % 4)
		g->options[g->options_n++] = NOP;
	return NULL;
}

static int sack_text(char *out, const struct segment_base *base, const uint8_t *p)
{
	char *at = out;

	for (unsigned i = 2; i + 8 <= p[1]; i += 8)
		at += sprintf(at, "%s%d:%d", i == 2 ? "sack " : ",",
			(int32_t)(wire_get32(p + i) - base->peer_isn),
			(int32_t)(wire_get32(p + i + 4) - base->peer_isn));
	return (int)(at - out);
}

static int option_text(char *out, struct segment_base *base, const uint8_t *p)
{
	switch (p[0]) {
	case EOL:
		return sprintf(out, "eol");
	case NOP:
		return sprintf(out, "nop");
	case MSS:
		return sprintf(out, "mss %u", wire_get16(p + 2));
	case WSCALE:
		return sprintf(out, "wscale %u", p[2]);
	case SACK_OK:
		return sprintf(out, "sackok");
	case SACK:
		return sack_text(out, base, p);
	case TIMESTAMP:
		base->last_ts = wire_get32(p + 2);
		return sprintf(out, base->last_ts ? "ts %u" : "ts 0 %u", wire_get32(p + 6));
	default:
		return sprintf(out, "kind %u", p[0]);
	}
}

void segment_options_text(struct segment *g, struct segment_base *base, const uint8_t *p, uint32_t n)
{
	char *out = g->options_text;

	*out = 0;
	for (uint32_t i = 0; i < n;) {
		uint32_t length = p[i] <= NOP ? 1 : i + 1 < n && p[i + 1] >= 2 ? p[i + 1] : n;
		if (i + length > n) {
			sprintf(out, "%sbroken", i ? "," : "");
			return;
		}
		if (i)
			*out++ = ',';
		out += option_text(out, base, p + i);
		i += length;
	}
}
