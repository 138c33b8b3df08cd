/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbour discovery (RFC 4861) as scripts write it:
 *
 *   nd ns TARGET [OPTION]... [FIELD]...
 *   nd na TARGET [flags RSO] [OPTION]... [FIELD]...
 *   nd rs [OPTION]... [FIELD]...
 *   nd ra [lifetime S] [hops N] [reachable MS] [retrans MS] [OPTION]... [FIELD]...
 *   nd redirect TARGET to DESTINATION [FIELD]...
 *
 * Options: slla MAC, tlla MAC, mtu N, prefix ADDRESS/BITS[:VALID_S], opt HEX (a whole one). Broken ones: code
 * N, badsum, short N (bytes off the message's end). Fields: packet.h's; unless told the hop limit is 255, the
 * source the peer's address, a router's fe80::2, and the destination the group that the RFC names. Expected
 * ones are compared in their type, target, flags and link addresses, and what is written of the fields. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/wire.h"
#include "tcpstack/checksum.h"
#include "tests/script/run.h"

enum { ICMP6 = 58, RS = 133, RA, NS, NA, REDIRECT, OPTIONS_BYTES = 200, HOP_LIMIT = 255 };
enum { SLLA = 1, TLLA = 2, PREFIX = 3, MTU = 5, PREFIX_ON_LINK = 0x80, VALID_S = 86400 };

struct nd {
	uint8_t type, flags, code;
	bool bad_sum, has_slla, has_tlla;
	struct ip_addr target, destination;
	uint8_t slla[6], tlla[6];
	uint32_t lifetime_s, hops, reachable_ms, retrans_ms, cut;
	uint8_t options[OPTIONS_BYTES];
	uint32_t options_n;
	struct packet below;
};
static const struct {
	const char *name;
	uint8_t type;
} types[] = {{"rs", RS}, {"ra", RA}, {"ns", NS}, {"na", NA}, {"redirect", REDIRECT}};

static const char *type_name(uint8_t type)
{
	for (unsigned i = 0; i < 5; i++)
		if (types[i].type == type)
			return types[i].name;
	return NULL;
}

static bool has_target(uint8_t type)
{
	return type == NS || type == NA || type == REDIRECT;
}

static uint8_t *option_put(struct nd *m, uint8_t kind, uint32_t n)
{
	static uint8_t too_many[32];
	uint8_t *p = m->options_n + n <= OPTIONS_BYTES ? m->options + m->options_n : too_many;

	m->options_n += p == too_many ? 0 : n;
	memset(p, 0, n);
	p[0] = kind;
	p[1] = (uint8_t)(n / 8);
	return p;
}

static bool prefix_put(struct nd *m, char *text)
{
	unsigned bits, valid_s = VALID_S;
	char *slash = strchr(text, '/');
	struct ip_addr a;

	if (!slash || sscanf(slash, "/%u:%u", &bits, &valid_s) < 1)
		return false;
	*slash = 0;
	if (!segment_addr_parse(text, &a))
		return false;
	uint8_t *p = option_put(m, PREFIX, 32);
	p[2] = (uint8_t)bits;
	p[3] = PREFIX_ON_LINK;
	wire_put32(p + 4, valid_s);
	wire_put32(p + 8, valid_s);
	memcpy(p + 16, a.bytes, 16);
	return true;
}

static bool option_parse(struct nd *m, const char *name, char *value)
{
	uint32_t n;

	if (!strcmp(name, "slla") && packet_mac(value, m->slla)) {
		m->has_slla = true;
		memcpy(option_put(m, SLLA, 8) + 2, m->slla, 6);
	} else if (!strcmp(name, "tlla") && packet_mac(value, m->tlla)) {
		m->has_tlla = true;
		memcpy(option_put(m, TLLA, 8) + 2, m->tlla, 6);
	} else if (!strcmp(name, "mtu")) {
		wire_put32(option_put(m, MTU, 8) + 4, (uint32_t)atoi(value));
	} else if (!strcmp(name, "prefix")) {
		return prefix_put(m, value);
	} else if (!strcmp(name, "opt")) {
		if (!packet_hex(value, m->options + m->options_n, OPTIONS_BYTES - m->options_n, &n))
			return false;
		m->options_n += n;
	} else {
		return false;
	}
	return true;
}

static bool number_parse(struct nd *m, const char *name, const char *value)
{
	struct {
		const char *name;
		uint32_t *at;
	} fields[] = {{"lifetime", &m->lifetime_s}, {"hops", &m->hops}, {"reachable", &m->reachable_ms},
		{"retrans", &m->retrans_ms}, {"short", &m->cut}};

	for (unsigned i = 0; i < 5; i++)
		if (!strcmp(fields[i].name, name)) {
			*fields[i].at = (uint32_t)strtoul(value, NULL, 0);
			return true;
		}
	if (strcmp(name, "code"))
		return false;
	m->code = (uint8_t)atoi(value);
	return true;
}

static const char *field(struct nd *m, const char *name, const char **at)
{
	char value[2 * OPTIONS_BYTES];

	if (!strcmp(name, "badsum")) {
		m->bad_sum = true;
		return NULL;
	}
	const char *wrong = packet_field(&m->below, name, at);
	if (!wrong || *wrong)
		return wrong;
	packet_word(at, value, sizeof(value));
	if (!strcmp(name, "flags")) {
		m->flags = (uint8_t)((strchr(value, 'R') ? 128 : 0) | (strchr(value, 'S') ? 64 : 0) |
				     (strchr(value, 'O') ? 32 : 0));
		return NULL;
	}
	if (!strcmp(name, "to"))
		return segment_addr_parse(value, &m->destination) ? NULL : "a redirect is to an address";
	return number_parse(m, name, value) || option_parse(m, name, value) ? NULL
									    : "a field of discovery is wrong";
}

static const char *parse(struct nd *m, const char *text)
{
	char name[64];

	*m = (struct nd){.lifetime_s = 1800};
	packet_word(&text, name, sizeof(name));
	for (unsigned i = 0; i < 5; i++)
		if (!strcmp(types[i].name, name))
			m->type = types[i].type;
	if (!m->type)
		return "nd rs, ra, ns, na or redirect";
	if (has_target(m->type) && !segment_addr_parse(packet_word(&text, name, sizeof(name)), &m->target))
		return "a target's address is missing";
	while (*packet_word(&text, name, sizeof(name))) {
		const char *wrong = field(m, name, &text);
		if (wrong)
			return wrong;
	}
	return NULL;
}

/* From whom and to whom such a message usually goes. */
static void ends_fill(struct nd *m)
{
	struct packet *p = &m->below;
	uint8_t router[16] = {0xfe, 0x80, [15] = 2}, nodes[16] = {0xff, 2, [15] = 1},
		group[16] = {0xff, 2, [11] = 1, 0xff};

	if (!p->has_src)
		p->src = m->type == RA || m->type == REDIRECT ? ip_v6(router) : segment_peer_addr(true);
	memcpy(group + 13, m->target.bytes + 13, 3);
	if (!p->has_dst)
		p->dst = m->type == NS	 ? ip_v6(group)
			 : m->type == RA ? ip_v6(nodes)
					 : segment_stack_addr(true);
	p->has_src = p->has_dst = true;
	if (!p->has_eth_dst && ip_is_multicast(&p->dst)) {
		p->eth_dst[0] = p->eth_dst[1] = 0x33;
		memcpy(p->eth_dst + 2, p->dst.bytes + 12, 4);
		p->has_eth_dst = true;
	}
	if (!p->has_ttl)
		p->ttl = HOP_LIMIT;
}

const char *nd_inject(const char *text)
{
	uint8_t icmp[40 + OPTIONS_BYTES] = {0};
	uint32_t n = 8;
	struct nd m;
	const char *wrong = parse(&m, text);

	if (wrong)
		return wrong;
	ends_fill(&m);
	icmp[0] = m.type;
	icmp[1] = m.code;
	icmp[4] = m.type == RA ? (uint8_t)m.hops : m.flags;
	if (m.type == RA) {
		wire_put16(icmp + 6, (uint16_t)m.lifetime_s);
		wire_put32(icmp + 8, m.reachable_ms);
		wire_put32(icmp + 12, m.retrans_ms);
		n = 16;
	}
	if (has_target(m.type)) {
		memcpy(icmp + n, m.target.bytes, 16);
		n += 16;
	}
	if (m.type == REDIRECT) {
		memcpy(icmp + n, m.destination.bytes, 16);
		n += 16;
	}
	memcpy(icmp + n, m.options, m.options_n);
	n += m.options_n;
	n = m.cut < n ? n - m.cut : 0;
	uint64_t sum = checksum_pseudo(&m.below.src, &m.below.dst, ICMP6, n);
	wire_put16(icmp + 2, (uint16_t)(~checksum_fold(checksum_add(sum, icmp, n)) + m.bad_sum));
	wire_inject_packet(&m.below, ICMP6, icmp, n);
	return NULL;
}

static void options_read(struct nd *m, const uint8_t *p, uint32_t n)
{
	for (uint32_t step; n >= 8 && (step = p[1] * 8u) && step <= n; p += step, n -= step) {
		if (p[0] == SLLA) {
			m->has_slla = true;
			memcpy(m->slla, p + 2, 6);
		} else if (p[0] == TLLA) {
			m->has_tlla = true;
			memcpy(m->tlla, p + 2, 6);
		}
	}
}

static bool read_back(const uint8_t *frame, uint32_t n, struct nd *m)
{
	struct packet_seen s;

	if (!packet_read(&s, frame, n) || !s.ip || s.protocol != ICMP6 || s.payload_n < 8)
		return false;
	const uint8_t *p = s.payload;
	if (!type_name(p[0]) || s.payload_n < (has_target(p[0]) ? 24 : 8))
		return false;
	*m = (struct nd){.type = p[0], .flags = p[4], .below = s.p};
	if (has_target(m->type))
		m->target = ip_v6(p + 8);
	uint32_t fixed = has_target(m->type) ? 24 : 8;
	options_read(m, p + fixed, s.payload_n - fixed);
	uint64_t sum = checksum_pseudo(&s.p.src, &s.p.dst, ICMP6, s.payload_n);
	if (checksum_fold(checksum_add(sum, p, s.payload_n)) != 0xffff)
		fail("the checksum of a discovery message is wrong");
	if (s.p.ttl != HOP_LIMIT || p[1])
		fail("a discovery message of hop limit %u, code %u", s.p.ttl, p[1]);
	if (ip_is_multicast(&s.p.dst) &&
		(s.p.eth_dst[0] != 0x33 || memcmp(s.p.eth_dst + 2, s.p.dst.bytes + 12, 4)))
		fail("a group's message for another MAC");
	return true;
}

static char *link_text(char *out, const char *name, bool has, const uint8_t *mac)
{
	return !has ? out
		    : out + sprintf(out, " %s %02x:%02x:%02x:%02x:%02x:%02x", name, mac[0], mac[1], mac[2],
				    mac[3], mac[4], mac[5]);
}

bool nd_text(const uint8_t *frame, uint32_t n, char *out)
{
	struct nd m;
	char target[64];

	if (!read_back(frame, n, &m))
		return false;
	out += sprintf(out, "nd %s", type_name(m.type));
	if (has_target(m.type))
		out += sprintf(out, " %s", packet_addr_text(&m.target, target));
	if (m.flags)
		out += sprintf(out, " flags %s%s%s", m.flags & 128 ? "R" : "", m.flags & 64 ? "S" : "",
			m.flags & 32 ? "O" : "");
	out = link_text(out, "slla", m.has_slla, m.slla);
	out = link_text(out, "tlla", m.has_tlla, m.tlla);
	packet_text(&m.below, out);
	return true;
}

static bool link_differs(bool want, const uint8_t *want_mac, bool seen, const uint8_t *seen_mac)
{
	return want != seen || (want && memcmp(want_mac, seen_mac, 6));
}

void nd_expect(const char *text, const uint8_t *frame, uint32_t n)
{
	struct nd want, seen;
	char seen_text[MESSAGE_TEXT_BYTES] = "no discovery message";
	const char *wrong = parse(&want, text);

	if (wrong) {
		fail("%s", wrong);
		return;
	}
	if (!nd_text(frame, n, seen_text) || !read_back(frame, n, &seen) || want.type != seen.type ||
		!ip_equal(&want.target, &seen.target) || want.flags != seen.flags ||
		link_differs(want.has_slla, want.slla, seen.has_slla, seen.slla) ||
		link_differs(want.has_tlla, want.tlla, seen.has_tlla, seen.tlla))
		fail("the stack sent %s", seen_text);
	else if ((wrong = packet_differs(&want.below, &seen.below)))
		fail("%s differ: the stack sent %s", wrong, seen_text);
}
