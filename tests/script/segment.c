/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/script/segment.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PSH = 8 };

static const struct {
	char letter;
	uint8_t flag;
} letters[] = {{'S', 2}, {'F', 1}, {'R', 4}, {'P', PSH}, {'.', 16}, {'U', 32}, {'E', 64}, {'C', 128}};
static const char *parse_options(
	struct segment *g, const char **at, const struct segment_base *base, bool expected)
{
	const char *end = strchr(*at, '>');

	if (!end || (size_t)(end - *at) > sizeof(g->options_text))
		return "options end with >";
	snprintf(g->options_text, sizeof(g->options_text), "%.*s", (int)(end - *at - 1), *at + 1);
	*at = end + 1;
	g->has_options = true;
	return expected ? NULL : segment_options_parse(g, g->options_text, base);
}

static const char *parse_number(struct segment *g, const char *name, int64_t v)
{
	if (!strcmp(name, "ack")) {
		g->has_ack = true;
		g->ack = v;
	} else if (!strcmp(name, "win")) {
		g->has_win = true;
		g->win = (uint32_t)v;
	} else if (!strcmp(name, "urg")) {
		g->urg = (uint32_t)v;
		g->has_urg = true;
	} else if (!strcmp(name, "port")) {
		g->peer_port = (uint16_t)v;
	} else if (!strcmp(name, "doff")) {
		g->doff = (int)v;
	} else if (!strcmp(name, "rsv")) {
		g->reserved = (uint8_t)v;
	} else if (!strcmp(name, "every")) {
		g->every = (uint32_t)v;
	} else {
		return "unknown field";
	}
	return NULL;
}

static const char *parse_field(struct segment *g, const char *name, const char **at)
{
	const char *wrong = packet_field(&g->below, name, at);
	char text[64];
	int64_t v = 0;

	if (!wrong || *wrong)
		return wrong;
	if (!strcmp(name, "badsum")) {
		g->bad_sum = true;
		return NULL;
	}
	packet_word(at, text, sizeof(text));
	if (!strcmp(name, "ack") && !strcmp(text, "all")) {
		g->has_ack = g->ack_all = true;
		return NULL;
	}
	return packet_number(text, &v) ? parse_number(g, name, v) : "a field's number is missing";
}

static const char *parse_flags(struct segment *g, const char *text)
{
	if (!strcmp(text, "0"))
		return NULL;
	for (; *text; text++) {
		uint8_t flag = 0;
		for (unsigned i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
			if (letters[i].letter == *text)
				flag = letters[i].flag;
		if (!flag)
			return "flags are letters of SFRPUEC and .";
		g->flags |= flag;
	}
	return NULL;
}

const char *segment_parse(struct segment *g, const char *text, const struct segment_base *base, bool expected)
{
	char w[64];
	const char *wrong;
	int64_t end;

	*g = (struct segment){.peer_port = PEER_PORT, .stack_port = STACK_PORT, .doff = -1, .win = 65535};
	if ((wrong = parse_flags(g, packet_word(&text, w, sizeof(w)))))
		return wrong;
	packet_word(&text, w, sizeof(w));
	char *colon = strchr(w, ':');
	if (colon)
		*colon = 0;
	if (!packet_number(w, &g->seq))
		return "a sequence number is missing";
	if (colon) {
		if (!packet_number(colon + 1, &end) || end < g->seq)
			return "the range of sequence numbers is wrong";
		g->len = (uint32_t)(end - g->seq);
	}
	for (;;) {
		while (isspace((unsigned char)*text))
			text++;
		if (!*text)
			return NULL;
		if (*text == '<')
			wrong = parse_options(g, &text, base, expected);
		else
			wrong = parse_field(g, packet_word(&text, w, sizeof(w)), &text);
		if (wrong)
			return wrong;
	}
}

const char *segment_text(const struct segment *g, char *out)
{
	char *p = out;

	for (unsigned i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (g->flags & letters[i].flag)
			*p++ = letters[i].letter;
	if (!g->flags)
		*p++ = '0';
	p += sprintf(p, " %lld", (long long)g->seq);
	if (g->len)
		p += sprintf(p, ":%lld", (long long)(g->seq + g->len));
	if (g->has_ack)
		p += sprintf(p, " ack %lld", (long long)g->ack);
	if (g->has_win)
		p += sprintf(p, " win %u", g->win);
	if (g->has_options)
		p += sprintf(p, " <%s>", g->options_text);
	if (g->peer_port != PEER_PORT)
		p += sprintf(p, " port %u", g->peer_port);
	if (g->urg)
		p += sprintf(p, " urg %u", g->urg);
	packet_text(&g->below, p);
	return out;
}

const char *segment_differs(const struct segment *expected, const struct segment *seen)
{
	uint8_t mask = expected->flags & PSH ? 0xff : (uint8_t)~PSH;

	if (expected->flags != (seen->flags & mask))
		return "flags";
	if (expected->seq != seen->seq || expected->len != seen->len)
		return "sequence numbers";
	if (expected->has_ack && expected->ack != seen->ack)
		return "ack";
	if (expected->has_win && expected->win != seen->win)
		return "win";
	if (expected->has_options && strcmp(expected->options_text, seen->options_text))
		return "options";
	if (expected->peer_port != seen->peer_port)
		return "port";
	if (expected->has_urg && expected->urg != seen->urg)
		return "urg";
	return packet_differs(&expected->below, &seen->below);
}
