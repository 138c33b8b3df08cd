/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP of both versions, as scripts write it: see packetscript.c. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/wire.h"
#include "tcpstack/checksum.h"
#include "tests/script/run.h"

enum { ICMP = 8, PROTOCOL_ICMP = 1, PROTOCOL_ICMP6 = 58, QUOTE_BYTES = 8 };

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
	{"unknown-header", -1, -1, 4, 1, true},
	{"unknown-option", -1, -1, 4, 2, true},
	{"incomplete-headers", -1, -1, 4, 3, true},
	{"echo", 8, 0, 128, 0, false},
	{"echo-reply", 0, 0, 129, 0, false},
};

struct message {
	const struct kind *kind;
	uint32_t mtu, quote, data, id, pointer;
	bool bad_sum, has_pointer, has_data;
	struct packet below;
	const char *rest; /* the quoted segment, or fields of the layers below */
};

static const struct kind *kind_of(const char *name)
{
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

/* KIND [mtu N] [quote N] [data N] [id N] [ptr N] [badsum] [from ADDRESS], and what follows. */
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
		else if (sscanf(text, " data %u%n", &value, &n) == 1) {
			m->data = value;
			m->has_data = true;
		} else if (sscanf(text, " id %u%n", &value, &n) == 1)
			m->id = value;
		else if (sscanf(text, " ptr %u%n", &value, &n) == 1) {
			m->pointer = value;
			m->has_pointer = true;
		} else if (sscanf(text, " from %63s%n", word, &n) == 1) {
			m->below.has_src = segment_addr_parse(word, &m->below.src);
			if (!m->below.has_src)
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

static void checksum_put(uint8_t *icmp, uint32_t n, const struct message *m)
{
	struct ip_addr src, dst;
	bool v6 = run.base.v6;

	packet_ends(&m->below, v6, &src, &dst);
	uint64_t sum = v6 ? checksum_pseudo(&src, &dst, PROTOCOL_ICMP6, n) : 0;
	wire_put16(icmp + 2, (uint16_t)(~checksum_fold(checksum_add(sum, icmp, n)) + m->bad_sum));
}

/* Behind the header: what is quoted, or the data of an echo. */
static const char *body_put(struct message *m, uint8_t *out, uint32_t *n)
{
	if (m->kind->quotes)
		return quote_put(m, out, n);
	for (*n = 0; *n < m->data; ++*n)
		out[*n] = segment_byte(*n);
	return packet_fields(&m->below, m->rest);
}

const char *icmp_inject(const char *text)
{
	static uint8_t icmp[ICMP + FRAME_BYTES_MAX + SEGMENT_HEADERS_MAX];
	bool v6 = run.base.v6;
	struct message m;
	uint32_t n = 0;
	const char *wrong = parse(&m, text);

	if (wrong)
		return wrong;
	int type = v6 ? m.kind->type6 : m.kind->type4;
	if (type < 0)
		return "that version of ICMP has no such message";
	memset(icmp, 0, ICMP);
	icmp[0] = (uint8_t)type;
	icmp[1] = (uint8_t)(v6 ? m.kind->code6 : m.kind->code4);
	wire_put32(icmp + 4, !m.kind->quotes ? m.id << 16 | 1 : m.has_pointer ? m.pointer : m.mtu);
	wrong = body_put(&m, icmp + ICMP, &n);
	if (wrong)
		return wrong;
	checksum_put(icmp, ICMP + n, &m);
	wire_inject_packet(&m.below, v6 ? PROTOCOL_ICMP6 : PROTOCOL_ICMP, icmp, ICMP + n);
	return NULL;
}

/* What a frame of the stack says as ICMP. */
struct seen {
	char name[64];
	uint32_t data, word; /* bytes behind the header; what its second half says */
	struct packet_seen below;
};

static const char *name_of(bool v6, const uint8_t *icmp, char *out)
{
	sprintf(out, "type %u code %u", icmp[0], icmp[1]);
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (icmp[0] == (v6 ? kinds[i].type6 : kinds[i].type4) &&
			icmp[1] == (v6 ? kinds[i].code6 : kinds[i].code4))
			return strcpy(out, kinds[i].name);
	return out;
}

/* False when it is none. */
static bool read_back(const uint8_t *frame, uint32_t n, struct seen *s)
{
	if (!packet_read(&s->below, frame, n) || !s->below.ip || s->below.payload_n < ICMP)
		return false;
	bool v6 = !ip_is_v4(&s->below.p.src);
	const uint8_t *icmp = s->below.payload;
	if (s->below.protocol != (v6 ? PROTOCOL_ICMP6 : PROTOCOL_ICMP))
		return false;
	n = s->below.payload_n;
	uint64_t sum = v6 ? checksum_pseudo(&s->below.p.src, &s->below.p.dst, PROTOCOL_ICMP6, n) : 0;
	if (checksum_fold(checksum_add(sum, icmp, n)) != 0xffff)
		fail("the ICMP checksum is wrong");
	s->data = n - ICMP;
	s->word = wire_get32(icmp + 4);
	name_of(v6, icmp, s->name);
	return true;
}

/* Some have two names. */
static bool is_kind(const struct kind *k, const struct seen *s)
{
	bool v6 = !ip_is_v4(&s->below.p.src);
	const uint8_t *icmp = s->below.payload;

	return icmp[0] == (v6 ? k->type6 : k->type4) && icmp[1] == (v6 ? k->code6 : k->code4);
}

bool icmp_text(const uint8_t *frame, uint32_t n, char *out)
{
	struct seen s;

	if (!read_back(frame, n, &s))
		return false;
	packet_text(&s.below.p, out + sprintf(out, "icmp %s ptr %u with %u bytes", s.name, s.word, s.data));
	return true;
}

/* An error of the stack's quotes what the peer has sent. */
static void quote_check(const struct seen *s)
{
	if (s->data && !wire_injected(s->below.payload + ICMP, s->data))
		fail("an ICMP error quotes what was not sent");
}

void icmp_expect(const char *text, const uint8_t *frame, uint32_t n)
{
	struct message want;
	struct seen seen;
	const char *wrong = parse(&want, text);

	wrong = wrong ? wrong : packet_fields(&want.below, want.rest);
	if (wrong)
		fail("%s", wrong);
	else if (!read_back(frame, n, &seen))
		fail("the stack sent no ICMP message");
	else if (!is_kind(want.kind, &seen))
		fail("the stack sent %s", seen.name);
	else if (!want.kind->quotes && (seen.data != want.data || seen.word != (want.id << 16 | 1)))
		fail("an echo of %u bytes, id %u", seen.data, seen.word >> 16);
	else if (want.kind->quotes && want.has_data && seen.data != want.data)
		fail("%u bytes are quoted", seen.data);
	else if (want.has_pointer && seen.word != want.pointer)
		fail("the pointer is %u", seen.word);
	else if ((wrong = packet_differs(&want.below, &seen.below.p)))
		fail("the %s differ", wrong);
	else if (want.kind->quotes)
		quote_check(&seen);
}
