/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/script/segment.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PSH = 8 };

static const struct {
	char letter;
	uint8_t flag;
} letters[] = {{'S', 2}, {'F', 1}, {'R', 4}, {'P', PSH}, {'.', 16}, {'U', 32}, {'E', 64}, {'C', 128}};
static const char *const ecn_words[] = {"notect", "ect1", "ect0", "ce"};

/* The next word of *at, or "" at the end; blanks are skipped. */
static const char *word(const char **at, char *out, size_t size)
{
	size_t n = 0;

	while (isspace((unsigned char)**at))
		++*at;
	while (**at && !isspace((unsigned char)**at) && n + 1 < size)
		out[n++] = *(*at)++;
	out[n] = 0;
	return out;
}

static bool number(const char *text, int64_t *out)
{
	char *end;

	*out = strtoll(text, &end, 0);
	return *text && *end == 0;
}

bool segment_addr_parse(const char *text, struct ip_addr *out)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET6, text, bytes) == 1) {
		*out = ip_v6(bytes);
		return true;
	}
	if (inet_pton(AF_INET, text, bytes) != 1)
		return false;
	*out = ip_v4(wire_get32(bytes));
	return true;
}

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

/* Fields without a number. False when name is none of them. */
static bool parse_mark(struct segment *g, const char *name)
{
	for (unsigned i = 0; i < 4; i++)
		if (!strcmp(name, ecn_words[i])) {
			g->has_ecn = true;
			g->ecn = (uint8_t)i;
			return true;
		}
	if (!strcmp(name, "badsum"))
		g->bad_sum = true;
	else if (!strcmp(name, "ipbadsum"))
		g->bad_ip_sum = true;
	else
		return false;
	return true;
}

static const char *parse_fragment(struct segment *g, const char *text)
{
	g->fragment = true;
	return sscanf(text, "%u:%u", &g->fragment_from, &g->fragment_to) >= 1 && strchr(text, ':')
		       ? NULL
		       : "frag takes A:B";
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
	} else if (!strcmp(name, "dscp")) {
		g->dscp = (uint8_t)v;
		g->has_dscp = true;
	} else if (!strcmp(name, "port")) {
		g->peer_port = (uint16_t)v;
	} else if (!strcmp(name, "doff")) {
		g->doff = (int)v;
	} else if (!strcmp(name, "iplen")) {
		g->iplen = (int)v;
	} else if (!strcmp(name, "cut")) {
		g->cut = (int)v;
	} else if (!strcmp(name, "rsv")) {
		g->reserved = (uint8_t)v;
	} else if (!strcmp(name, "id")) {
		g->id = (uint32_t)v;
	} else if (!strcmp(name, "ttl")) {
		g->has_ttl = true;
		g->ttl = (uint8_t)v;
	} else if (!strcmp(name, "vlan")) {
		g->has_vlan = true;
		g->vlan = (uint16_t)v;
	} else {
		return "unknown field";
	}
	return NULL;
}

static const char *parse_field(struct segment *g, const char *name, const char **at)
{
	char text[64];
	int64_t v = 0;

	if (parse_mark(g, name))
		return NULL;
	word(at, text, sizeof(text));
	if (!strcmp(name, "src"))
		return segment_addr_parse(text, &g->src) ? NULL : "src takes an address";
	if (!strcmp(name, "dst"))
		return segment_addr_parse(text, &g->dst) ? NULL : "dst takes an address";
	if (!strcmp(name, "frag"))
		return parse_fragment(g, text);
	return number(text, &v) ? parse_number(g, name, v) : "a field's number is missing";
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

	*g = (struct segment){
		.peer_port = PEER_PORT, .stack_port = STACK_PORT, .doff = -1, .iplen = -1, .win = 65535};
	if ((wrong = parse_flags(g, word(&text, w, sizeof(w)))))
		return wrong;
	word(&text, w, sizeof(w));
	char *colon = strchr(w, ':');
	if (colon)
		*colon = 0;
	if (!number(w, &g->seq))
		return "a sequence number is missing";
	if (colon) {
		if (!number(colon + 1, &end) || end < g->seq)
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
			wrong = parse_field(g, word(&text, w, sizeof(w)), &text);
		if (wrong)
			return wrong;
	}
}

/* Only what is not usual is worth a word. */
static char *address_text(char *p, const char *name, const struct ip_addr *a)
{
	struct ip_addr usual[] = {segment_peer_addr(false), segment_stack_addr(false),
		segment_peer_addr(true), segment_stack_addr(true)};
	char text[INET6_ADDRSTRLEN];

	for (unsigned i = 0; i < 4; i++)
		if (ip_is_unspecified(a) || ip_equal(a, &usual[i]))
			return p;
	inet_ntop(ip_is_v4(a) ? AF_INET : AF_INET6, ip_is_v4(a) ? a->bytes + IP_V4_AT : a->bytes, text,
		sizeof(text));
	return p + sprintf(p, " %s %s", name, text);
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
	if (g->has_ecn && g->ecn)
		p += sprintf(p, " %s", ecn_words[g->ecn]);
	if (g->has_ttl && g->ttl != 64)
		p += sprintf(p, " ttl %u", g->ttl);
	if (g->urg)
		p += sprintf(p, " urg %u", g->urg);
	if (g->dscp)
		p += sprintf(p, " dscp %u", g->dscp);
	if (g->has_vlan && g->vlan)
		p += sprintf(p, " vlan %u", g->vlan);
	p = address_text(p, "src", &g->src);
	address_text(p, "dst", &g->dst);
	return out;
}

static bool address_differs(const struct ip_addr *expected, const struct ip_addr *seen)
{
	return !ip_is_unspecified(expected) && !ip_equal(expected, seen);
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
	if (expected->has_ecn && expected->ecn != seen->ecn)
		return "ECN";
	if (expected->has_dscp && expected->dscp != seen->dscp)
		return "dscp";
	if (expected->has_ttl && expected->ttl != seen->ttl)
		return "ttl";
	if (expected->has_vlan && expected->vlan != seen->vlan)
		return "vlan";
	if (address_differs(&expected->src, &seen->src) || address_differs(&expected->dst, &seen->dst))
		return "addresses";
	return NULL;
}
