/* SPDX-License-Identifier: Apache-2.0 */
/* Multicast listener discovery (RFC 3810) as scripts write it:
 *
 *   mld query [GROUP] [delay MS] [v1] [FIELD]...       from a router, fe80::2
 *   mld report KIND GROUP...                           KIND: is-ex, to-ex; all of its groups, in their order;
 * v1: a report of the first version, of one group
 *
 * A report is a good one: hop limit 1, a router alert, sent to ff02::16, or to its group. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/wire.h"
#include "tcpstack/checksum.h"
#include "tests/script/run.h"

enum {
	ICMP6 = 58,
	QUERY = 130,
	REPORT_V1 = 131,
	REPORT = 143,
	QUERY_BYTES = 28,
	QUERY_V1_BYTES = 24,
	RECORD_BYTES = 20
};
static const char *const kinds[] = {"?", "is-in", "is-ex", "to-in", "to-ex", "allow", "block"};

const char *mld_inject(const char *text)
{
	uint8_t icmp[QUERY_BYTES] = {QUERY}, router[16] = {0xfe, 0x80, [15] = 2},
		nodes[16] = {0xff, 2, [15] = 1};
	struct packet below = {
		.src = ip_v6(router), .has_src = true, .dst = ip_v6(nodes), .has_dst = true, .ttl = 1};
	uint32_t n = QUERY_BYTES;
	struct ip_addr group;
	char word[64];
	const char *wrong = NULL;

	packet_word(&text, word, sizeof(word));
	if (strcmp(word, "query"))
		return "the peer is a router: mld query";
	packet_field(&below, "ext", &(const char *){"hop:05020000"});
	while (!wrong && *packet_word(&text, word, sizeof(word))) {
		if (segment_addr_parse(word, &group)) {
			memcpy(icmp + 8, group.bytes, 16);
			below.dst = group;
		} else if (!strcmp(word, "delay")) {
			wire_put16(icmp + 4, (uint16_t)atoi(packet_word(&text, word, sizeof(word))));
		} else if (!strcmp(word, "v1")) {
			n = QUERY_V1_BYTES;
		} else {
			wrong = packet_field(&below, word, &text);
		}
	}
	if (wrong)
		return "a field of the query is wrong";
	if (!below.has_eth_dst && ip_is_multicast(&below.dst)) {
		below.eth_dst[0] = below.eth_dst[1] = 0x33;
		memcpy(below.eth_dst + 2, below.dst.bytes + 12, 4);
		below.has_eth_dst = true;
	}
	uint64_t sum = checksum_pseudo(&below.src, &below.dst, ICMP6, n);
	wire_put16(icmp + 2, (uint16_t)~checksum_fold(checksum_add(sum, icmp, n)));
	wire_inject_packet(&below, ICMP6, icmp, n);
	return NULL;
}

/* What is wrong with a report, or NULL. */
static const char *report_wrong(const struct packet_seen *s)
{
	static const uint8_t routers[16] = {0xff, 2, [15] = 0x16}, alert[4] = {5, 2, 0, 0};
	bool v1 = s->payload[0] == REPORT_V1;
	uint32_t n = v1 ? QUERY_V1_BYTES : 8u + wire_get16(s->payload + 6) * RECORD_BYTES;
	const uint8_t *to = v1 ? s->payload + 8 : routers;

	if (s->payload_n != n)
		return "length";
	uint64_t sum = checksum_pseudo(&s->p.src, &s->p.dst, ICMP6, n);
	if (checksum_fold(checksum_add(sum, s->payload, n)) != 0xffff)
		return "checksum";
	if (s->p.ttl != 1 || !s->hop_options || memcmp(s->ip + 42, alert, 4))
		return "hop limit or router alert";
	if (memcmp(s->p.dst.bytes, to, 16) || memcmp(s->p.eth_dst + 2, to + 12, 4))
		return "destination";
	return NULL;
}

static void group_text(const uint8_t *bytes, char *out)
{
	struct ip_addr group = ip_v6(bytes);

	*out = ' ';
	packet_addr_text(&group, out + 1);
}

bool mld_text(const uint8_t *frame, uint32_t n, char *out)
{
	struct packet_seen s;

	if (!packet_read(&s, frame, n) || !s.ip || s.protocol != ICMP6 || s.payload_n < 8 ||
		(s.payload[0] != REPORT && s.payload[0] != REPORT_V1))
		return false;
	const char *wrong = report_wrong(&s);
	out = stpcpy(out, "mld report");
	if (wrong) {
		sprintf(out, " with a wrong %s", wrong);
	} else if (s.payload[0] == REPORT_V1) {
		group_text(s.payload + 8, out + sprintf(out, " v1"));
	} else {
		const uint8_t *r = s.payload + 8, *end = s.payload + s.payload_n;
		out += sprintf(out, " %s", kinds[r < end && r[0] < 7 ? r[0] : 0]);
		for (; r < end; r += RECORD_BYTES)
			group_text(r + 4, strchr(out, 0));
	}
	return true;
}

void mld_expect(const char *text, const uint8_t *frame, uint32_t n)
{
	char seen[MESSAGE_TEXT_BYTES], want[MESSAGE_TEXT_BYTES] = "mld", word[64];
	size_t at = strlen(want);

	while (*packet_word(&text, word, sizeof(word)) && at + sizeof(word) < sizeof(want))
		at += (size_t)sprintf(want + at, " %s", word);
	if (!mld_text(frame, n, seen))
		fail("the stack sent no listener report");
	else if (strcmp(want, seen))
		fail("the stack sent %s", seen);
}
