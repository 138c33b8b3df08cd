/* SPDX-License-Identifier: Apache-2.0 */
/* Multicast listener discovery (RFC 3810) as scripts write it:
 *
 *   mld query [GROUP] [delay MS] [v1] [FIELD]...       from a router, fe80::2
 *   mld report KIND GROUP...                           KIND: is-ex, to-ex; all of its groups, in their order
 *
 * A report is a good one: hop limit 1, a router alert, sent to ff02::16. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/wire.h"
#include "tcpstack/checksum.h"
#include "tests/script/run.h"

enum { ICMP6 = 58, QUERY = 130, REPORT = 143, QUERY_BYTES = 28, QUERY_V1_BYTES = 24, RECORD_BYTES = 20 };
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

bool mld_text(const uint8_t *frame, uint32_t n, char *out)
{
	static const uint8_t routers[16] = {0xff, 2, [15] = 0x16}, alert[4] = {5, 2, 0, 0};
	struct packet_seen s;
	char text[64];

	if (!packet_read(&s, frame, n) || !s.ip || s.protocol != ICMP6 || s.payload_n < 8 ||
		s.payload[0] != REPORT)
		return false;
	uint16_t records = wire_get16(s.payload + 6);
	out += sprintf(out, "mld report");
	if (s.payload_n != 8u + records * RECORD_BYTES ||
		checksum_fold(checksum_add(checksum_pseudo(&s.p.src, &s.p.dst, ICMP6, s.payload_n), s.payload,
			s.payload_n)) != 0xffff)
		out += sprintf(out, " of a wrong length or checksum");
	else if (s.p.ttl != 1 || !s.hop_options || memcmp(s.ip + 42, alert, 4) ||
		 memcmp(s.p.dst.bytes, routers, 16))
		out += sprintf(out, " without its hop limit, router alert or address");
	else
		for (uint16_t i = 0; i < records; i++) {
			const uint8_t *r = s.payload + 8 + i * RECORD_BYTES;
			struct ip_addr group = ip_v6(r + 4);
			if (i == 0)
				out += sprintf(out, " %s", kinds[r[0] < 7 ? r[0] : 0]);
			out += sprintf(out, " %s", packet_addr_text(&group, text));
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
