/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP of both versions, as scripts write it: see packetscript.c. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/wire.h"
#include "tcpstack/checksum.h"
#include "tests/script/run.h"

enum { ETH = 14, IP4 = 20, IP6 = 40, ICMP = 8, PROTOCOL_ICMP = 1, PROTOCOL_ICMP6 = 58, QUOTE_BYTES = 8 };

/* Type and code of either version; -1: that version has none. */
static const struct kind {
	const char *name;
	int type4, code4, type6, code6;
	bool quotes;
} kinds[] = {
	{"net-unreachable", 3, 0, 1, 0, true},
	{"host-unreachable", 3, 1, 1, 3, true},
	{"protocol-unreachable", 3, 2, 4, 1, true},
	{"port-unreachable", 3, 3, 1, 4, true},
	{"frag-needed", 3, 4, 2, 0, true},
	{"too-big", 3, 4, 2, 0, true},
	{"source-route-failed", 3, 5, -1, -1, true},
	{"prohibited", 3, 13, 1, 1, true},
	{"source-quench", 4, 0, -1, -1, true},
	{"time-exceeded", 11, 0, 3, 0, true},
	{"reassembly-time-exceeded", 11, 1, 3, 1, true},
	{"parameter-problem", 12, 0, 4, 0, true},
	{"echo", 8, 0, 128, 0, false},
	{"echo-reply", 0, 0, 129, 0, false},
};

struct message {
	const struct kind *kind;
	uint32_t mtu, quote, data, id;
	bool bad_sum;
	struct ip_addr src;
	const char *rest; /* the quoted segment */
};

static const struct kind *kind_of(const char *name)
{
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

/* KIND [mtu N] [quote N] [data N] [id N] [badsum] [from ADDRESS], and what follows. */
static const char *parse(struct message *m, const char *text)
{
	char name[64], word[64];
	unsigned value;
	int n;

	*m = (struct message){.quote = UINT32_MAX};
	if (sscanf(text, " %63s%n", name, &n) != 1 || !(m->kind = kind_of(name)))
		return "no ICMP message is called so";
	text += n;
	for (;; text += n) {
		if (sscanf(text, " mtu %u%n", &value, &n) == 1)
			m->mtu = value;
		else if (sscanf(text, " quote %u%n", &value, &n) == 1)
			m->quote = value;
		else if (sscanf(text, " data %u%n", &value, &n) == 1)
			m->data = value;
		else if (sscanf(text, " id %u%n", &value, &n) == 1)
			m->id = value;
		else if (sscanf(text, " from %63s%n", word, &n) == 1) {
			if (!segment_addr_parse(word, &m->src))
				return "from takes an address";
		} else if (sscanf(text, " %63s%n", word, &n) == 1 && !strcmp(word, "badsum"))
			m->bad_sum = true;
		else
			break;
	}
	m->rest = text;
	return NULL;
}

/* The packet of ours that the message is about: its headers and as much of it as routers give back. */
static const char *quote_put(const struct message *m, uint8_t *out, uint32_t *n)
{
	static uint8_t packet[FRAME_BYTES_MAX + SEGMENT_HEADERS_MAX];
	struct segment g;
	uint32_t header;
	const char *wrong = segment_parse(&g, m->rest, &run.base, false);

	if (wrong)
		return wrong;
	g.stack_port = run.stack_port;
	uint32_t length = segment_to_packet(&g, &run.base, true, packet, &header);
	uint32_t part = m->quote == UINT32_MAX ? QUOTE_BYTES : m->quote;
	*n = header + part < length ? header + part : length;
	memcpy(out, packet, *n);
	return NULL;
}

static void ip_put(uint8_t *ip, bool v6, const struct ip_addr *src, const struct ip_addr *dst, uint32_t n)
{
	memset(ip, 0, v6 ? IP6 : IP4);
	if (v6) {
		ip[0] = 0x60;
		wire_put16(ip + 4, (uint16_t)n);
		ip[6] = PROTOCOL_ICMP6;
		ip[7] = 64;
		memcpy(ip + 8, src->bytes, 16);
		memcpy(ip + 24, dst->bytes, 16);
		return;
	}
	ip[0] = 0x45;
	wire_put16(ip + 2, (uint16_t)(IP4 + n));
	ip[8] = 64;
	ip[9] = PROTOCOL_ICMP;
	wire_put32(ip + 12, ip_to_v4(src));
	wire_put32(ip + 16, ip_to_v4(dst));
	wire_put16(ip + 10, (uint16_t)~checksum_fold(checksum_add(0, ip, IP4)));
}

static void checksum_put(uint8_t *icmp, uint32_t n, const struct ip_addr *src, const struct ip_addr *dst,
	const struct message *m)
{
	uint64_t sum = run.base.v6 ? checksum_pseudo(src, dst, PROTOCOL_ICMP6, n) : 0;

	wire_put16(icmp + 2, (uint16_t)(~checksum_fold(checksum_add(sum, icmp, n)) + m->bad_sum));
}

const char *icmp_inject(const char *text)
{
	static uint8_t frame[FRAME_BYTES_MAX + SEGMENT_HEADERS_MAX];
	bool v6 = run.base.v6;
	uint8_t *ip = frame + ETH, *icmp = ip + (v6 ? IP6 : IP4);
	struct ip_addr src = segment_peer_addr(v6), dst = segment_stack_addr(v6);
	struct message m;
	uint32_t n = 0;
	const char *wrong = parse(&m, text);

	if (wrong)
		return wrong;
	int type = v6 ? m.kind->type6 : m.kind->type4;
	if (type < 0)
		return "that version of ICMP has no such message";
	if (!ip_is_unspecified(&m.src))
		src = m.src;
	memset(icmp, 0, ICMP);
	icmp[0] = (uint8_t)type;
	icmp[1] = (uint8_t)(v6 ? m.kind->code6 : m.kind->code4);
	wire_put32(icmp + 4, m.kind->quotes ? m.mtu : m.id << 16 | 1);
	if (m.kind->quotes)
		wrong = quote_put(&m, icmp + ICMP, &n);
	else
		for (n = 0; n < m.data; n++)
			icmp[ICMP + n] = segment_byte(n);
	if (wrong)
		return wrong;
	checksum_put(icmp, ICMP + n, &src, &dst, &m);
	segment_eth_header(frame, 0, v6);
	ip_put(ip, v6, &src, &dst, ICMP + n);
	wire_input_tagged(frame, (uint32_t)(icmp - frame) + ICMP + n);
	return NULL;
}

/* What a frame of the stack says as ICMP. False when it is none. */
static bool read_back(const uint8_t *frame, uint32_t n, char *name, uint32_t *data, uint32_t *id)
{
	bool v6 = wire_get16(frame + 12) == 0x86dd;
	const uint8_t *ip = frame + ETH, *icmp = ip + (v6 ? IP6 : IP4);
	uint32_t before = (uint32_t)(icmp - frame);

	if (n < before + ICMP || (v6 ? ip[6] != PROTOCOL_ICMP6 : ip[9] != PROTOCOL_ICMP))
		return false;
	n -= before;
	struct ip_addr src = v6 ? ip_v6(ip + 8) : ip_v4(0), dst = v6 ? ip_v6(ip + 24) : ip_v4(0);
	uint64_t sum = v6 ? checksum_pseudo(&src, &dst, PROTOCOL_ICMP6, n) : 0;
	if (checksum_fold(checksum_add(sum, icmp, n)) != 0xffff)
		fail("the ICMP checksum is wrong");
	*data = n - ICMP;
	*id = wire_get32(icmp + 4);
	sprintf(name, "type %u code %u", icmp[0], icmp[1]);
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (icmp[0] == (v6 ? kinds[i].type6 : kinds[i].type4) &&
			icmp[1] == (v6 ? kinds[i].code6 : kinds[i].code4))
			strcpy(name, kinds[i].name);
	return true;
}

bool icmp_text(const uint8_t *frame, uint32_t n, char *out)
{
	char name[64];
	uint32_t data, id;

	if (!read_back(frame, n, name, &data, &id))
		return false;
	sprintf(out, "icmp %s with %u bytes", name, data);
	return true;
}

void icmp_expect(const char *text, const uint8_t *frame, uint32_t n)
{
	struct message want;
	char name[64];
	uint32_t data, id;
	const char *wrong = parse(&want, text);

	if (wrong)
		fail("%s", wrong);
	else if (!read_back(frame, n, name, &data, &id))
		fail("the stack sent no ICMP message");
	else if (strcmp(name, want.kind->name))
		fail("the stack sent %s", name);
	else if (!want.kind->quotes && (data != want.data || id != (want.id << 16 | 1)))
		fail("an echo of %u bytes, id %u", data, id >> 16);
}
