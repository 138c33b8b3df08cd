/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/script/segment.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/wire.h"
#include "tcpstack/checksum.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };
enum { ETH = 14, IP = 20, TCP = 20 };

const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2}, stack_mac[6] = {2, 0, 0, 0, 0, 1};

static const struct {
	char letter;
	uint8_t flag;
} letters[] = {{'S', SYN}, {'F', FIN}, {'R', RST}, {'P', PSH}, {'.', ACK}, {'U', URG}};

uint8_t segment_byte(int64_t seq)
{
	return (uint8_t)(seq * 7 + (seq >> 8));
}

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

static const char *parse_raw(struct segment *g, const char *p)
{
	while (*p) {
		char *end;
		unsigned long v = strtoul(p, &end, 16);
		if (end == p)
			return "raw takes bytes in hexadecimal";
		g->options[g->options_n++] = (uint8_t)v;
		for (p = end; *p == ' ';)
			p++;
	}
	return NULL;
}

/* Blocks of the stream that the stack sends, as its peer has them. */
static const char *parse_sack(struct segment *g, const char *p, const struct segment_base *base)
{
	uint8_t *option = g->options + g->options_n;
	char *end;

	option[0] = 5;
	option[1] = 2;
	while (*p) {
		long long from = strtoll(p, &end, 0), to = *end == ':' ? strtoll(end + 1, &end, 0) : from;
		if (end == p || option[1] > 34)
			return "sack takes up to four blocks FROM:TO";
		wire_put32(option + option[1], base->stack_isn + (uint32_t)from);
		wire_put32(option + option[1] + 4, base->stack_isn + (uint32_t)to);
		option[1] = (uint8_t)(option[1] + 8);
		for (p = end; *p == ' ';)
			p++;
	}
	g->options_n += option[1];
	return NULL;
}

static const char *parse_option(struct segment *g, const char *text, const struct segment_base *base)
{
	uint8_t *p = g->options + g->options_n;
	unsigned a, b;
	char ecr[32];

	if (g->options_n > 40)
		return "too many options";
	if (sscanf(text, "mss %u", &a) == 1) {
		memcpy(p, (uint8_t[]){2, 4, (uint8_t)(a >> 8), (uint8_t)a}, 4);
		g->options_n += 4;
	} else if (sscanf(text, "wscale %u", &a) == 1) {
		memcpy(p, (uint8_t[]){3, 3, (uint8_t)a}, 3);
		g->options_n += 3;
	} else if (sscanf(text, "ts %u %31s", &a, ecr) == 2) {
		b = strcmp(ecr, "last") ? (unsigned)strtoul(ecr, NULL, 0) : base->last_ts;
		p[0] = 8;
		p[1] = 10;
		wire_put32(p + 2, a);
		wire_put32(p + 6, b);
		g->options_n += 10;
	} else if (!strcmp(text, "nop") || !strcmp(text, "eol")) {
		*p = text[0] == 'n';
		g->options_n++;
	} else if (!strcmp(text, "sackok")) {
		memcpy(p, (uint8_t[]){4, 2}, 2);
		g->options_n += 2;
	} else if (!strncmp(text, "sack ", 5)) {
		return parse_sack(g, text + 5, base);
	} else if (!strncmp(text, "raw ", 4)) {
		return parse_raw(g, text + 4);
	} else {
		return "unknown option";
	}
	return NULL;
}

static const char *parse_options(
	struct segment *g, const char **at, const struct segment_base *base, bool expected)
{
	const char *end = strchr(*at, '>');
	char list[200], *save, *one;

	if (!end || (size_t)(end - *at) > sizeof(list))
		return "options end with >";
	memcpy(list, *at + 1, (size_t)(end - *at - 1));
	list[end - *at - 1] = 0;
	*at = end + 1;
	g->has_options = true;
	strcpy(g->options_text, list);
	for (one = strtok_r(list, ",", &save); one && !expected; one = strtok_r(NULL, ",", &save)) {
		while (*one == ' ')
			one++;
		const char *wrong = parse_option(g, one, base);
		if (wrong)
			return wrong;
	}
	while (!expected && g->options_n % 4)
		g->options[g->options_n++] = 1;
	return NULL;
}

static const char *parse_field(struct segment *g, const char *name, const char **at)
{
	char text[64];
	int64_t v = 0;

	if (!strcmp(name, "badsum")) {
		g->bad_sum = true;
		return NULL;
	}
	if (!strcmp(name, "ipbadsum")) {
		g->bad_ip_sum = true;
		return NULL;
	}
	if (!number(word(at, text, sizeof(text)), &v))
		return "a field's number is missing";
	if (!strcmp(name, "ack")) {
		g->has_ack = true;
		g->ack = v;
	} else if (!strcmp(name, "win")) {
		g->has_win = true;
		g->win = (uint32_t)v;
	} else if (!strcmp(name, "urg")) {
		g->urg = (uint32_t)v;
	} else if (!strcmp(name, "port")) {
		g->peer_port = (uint16_t)v;
	} else if (!strcmp(name, "doff")) {
		g->doff = (int)v;
	} else if (!strcmp(name, "iplen")) {
		g->iplen = (int)v;
	} else if (!strcmp(name, "cut")) {
		g->cut = (int)v;
	} else {
		return "unknown field";
	}
	return NULL;
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
			return "flags are letters of SFRPU and .";
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

uint32_t segment_to_frame(const struct segment *g, const struct segment_base *base, uint8_t *frame)
{
	uint8_t *ip = frame + ETH, *tcp = ip + IP;
	uint32_t header = TCP + g->options_n, l4 = header + g->len;

	memcpy(frame, stack_mac, 6);
	memcpy(frame + 6, peer_mac, 6);
	wire_put16(frame + 12, 0x0800);
	memset(ip, 0, IP);
	ip[0] = 0x45;
	wire_put16(ip + 2, (uint16_t)(g->iplen >= 0 ? (uint32_t)g->iplen : IP + l4));
	ip[8] = 64;
	ip[9] = 6;
	wire_put32(ip + 12, PEER_ADDR);
	wire_put32(ip + 16, STACK_ADDR);
	wire_put16(ip + 10, (uint16_t)(~checksum_fold(checksum_add(0, ip, IP)) + g->bad_ip_sum));
	memset(tcp, 0, TCP);
	wire_put16(tcp, g->peer_port);
	wire_put16(tcp + 2, g->stack_port);
	wire_put32(tcp + 4, base->peer_isn + (uint32_t)g->seq);
	if (g->has_ack)
		wire_put32(tcp + 8, base->stack_isn + (uint32_t)g->ack);
	tcp[12] = (uint8_t)((g->doff >= 0 ? (uint32_t)g->doff : header / 4) << 4);
	tcp[13] = g->flags;
	wire_put16(tcp + 14, (uint16_t)g->win);
	wire_put16(tcp + 18, (uint16_t)g->urg);
	memcpy(tcp + TCP, g->options, g->options_n);
	for (uint32_t i = 0; i < g->len; i++)
		tcp[header + i] = segment_byte(g->seq + !!(g->flags & SYN) + i);
	struct ip_addr peer = ip_v4(PEER_ADDR), stack = ip_v4(STACK_ADDR);
	uint64_t sum = checksum_pseudo(&peer, &stack, 6, l4);
	wire_put16(tcp + 16, (uint16_t)(~checksum_fold(checksum_add(sum, tcp, l4)) + g->bad_sum));
	return ETH + IP + l4 - (uint32_t)g->cut;
}

static char *sack_to_text(char *out, const struct segment_base *base, const uint8_t *p, uint32_t n)
{
	out += sprintf(out, "sack");
	for (uint32_t i = 2; i + 8 <= n; i += 8)
		out += sprintf(out, " %d:%d", (int32_t)(wire_get32(p + i) - base->peer_isn),
			(int32_t)(wire_get32(p + i + 4) - base->peer_isn));
	return out;
}

/* Options as they stand on the wire, in a script's words; timestamps with the echo alone. */
static void options_to_text(struct segment *g, struct segment_base *base, const uint8_t *p, uint32_t n)
{
	char *out = g->options_text;

	*out = 0;
	for (uint32_t i = 0; i < n;) {
		const char *comma = i ? "," : "";
		uint32_t length = p[i] < 2 ? 1 : i + 1 < n && p[i + 1] >= 2 ? p[i + 1] : n;
		if (p[i] < 2)
			out += sprintf(out, "%s%s", comma, p[i] ? "nop" : "eol");
		else if (p[i] == 2)
			out += sprintf(out, "%smss %u", comma, wire_get16(p + i + 2));
		else if (p[i] == 3)
			out += sprintf(out, "%swscale %u", comma, p[i + 2]);
		else if (p[i] == 8)
			out += sprintf(out, "%sts %u", comma, wire_get32(p + i + 6));
		else if (p[i] == 4)
			out += sprintf(out, "%ssackok", comma);
		else if (p[i] == 5)
			out = sack_to_text(out + sprintf(out, "%s", comma), base, p + i, length);
		else
			out += sprintf(out, "%skind %u", comma, p[i]);
		if (p[i] == 8)
			base->last_ts = wire_get32(p + i + 2);
		i += length;
	}
}

static const char *frame_broken(const uint8_t *frame, uint32_t n)
{
	const uint8_t *ip = frame + ETH, *tcp = ip + IP;
	uint32_t l4 = n - ETH - IP;

	if (memcmp(frame, peer_mac, 6) || memcmp(frame + 6, stack_mac, 6))
		return "Ethernet addresses";
	if (wire_get16(ip + 2) != n - ETH || l4 < TCP || (tcp[12] >> 4) * 4u > l4)
		return "lengths";
	if (checksum_fold(checksum_add(0, ip, IP)) != 0xffff)
		return "the IPv4 checksum";
	struct ip_addr src = ip_v4(wire_get32(ip + 12)), dst = ip_v4(wire_get32(ip + 16));
	uint64_t sum = checksum_pseudo(&src, &dst, 6, l4);
	if (checksum_fold(checksum_add(sum, tcp, l4)) != 0xffff)
		return "the TCP checksum";
	return NULL;
}

bool segment_from_frame(
	struct segment *g, struct segment_base *base, const uint8_t *frame, uint32_t n, const char **broken)
{
	const uint8_t *ip = frame + ETH, *tcp = ip + IP;

	if (n < ETH + IP + TCP || wire_get16(frame + 12) != 0x0800 || ip[9] != 6)
		return false;
	*broken = frame_broken(frame, n);
	uint32_t header = (tcp[12] >> 4) * 4u;
	*g = (struct segment){
		.flags = tcp[13],
		.stack_port = wire_get16(tcp),
		.peer_port = wire_get16(tcp + 2),
		.len = n - ETH - IP - header,
		.has_ack = tcp[13] & ACK,
		.has_win = true,
		.win = wire_get16(tcp + 14),
		.has_options = true,
	};
	if (*broken)
		return true;
	options_to_text(g, base, tcp + TCP, header - TCP);
	if (g->flags & SYN)
		base->stack_isn = wire_get32(tcp + 4);
	g->seq = (int32_t)(wire_get32(tcp + 4) - base->stack_isn);
	g->ack = g->has_ack ? (int32_t)(wire_get32(tcp + 8) - base->peer_isn) : 0;
	for (uint32_t i = 0; i < g->len; i++)
		if (tcp[header + i] != segment_byte(g->seq + i))
			*broken = "a payload byte";
	return true;
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
		sprintf(p, " port %u", g->peer_port);
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
	return NULL;
}
