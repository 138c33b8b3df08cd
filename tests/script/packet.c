/* SPDX-License-Identifier: Apache-2.0 */
/* The words for what stands below TCP and ICMP. */
#include "tests/script/packet.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXT_HOP = 0, EXT_ROUTE = 43, EXT_DEST = 60 };

const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2}, stack_mac[6] = {2, 0, 0, 0, 0, 1};
static const char *const ecn_words[] = {"notect", "ect1", "ect0", "ce"};

const char *packet_word(const char **at, char *out, size_t size)
{
	size_t n = 0;

	while (isspace((unsigned char)**at))
		++*at;
	while (**at && !isspace((unsigned char)**at) && n + 1 < size)
		out[n++] = *(*at)++;
	out[n] = 0;
	return out;
}

bool packet_number(const char *text, int64_t *out)
{
	char *end;

	*out = strtoll(text, &end, 0);
	return *text && *end == 0;
}

bool packet_mac(const char *text, uint8_t out[6])
{
	static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
	const uint8_t *known = !strcmp(text, "peer")	? peer_mac
			       : !strcmp(text, "stack") ? stack_mac
			       : !strcmp(text, "all")	? all
							: NULL;

	if (known)
		memcpy(out, known, 6);
	return known || sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", out, out + 1, out + 2, out + 3,
				out + 4, out + 5) == 6;
}

bool packet_hex(const char *text, uint8_t *out, uint32_t size, uint32_t *n)
{
	for (*n = 0; *text; text += 2, ++*n)
		if (*n == size || !isxdigit((unsigned char)text[0]) || sscanf(text, "%2hhx", out + *n) != 1 ||
			!text[1])
			return false;
	return true;
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

const char *packet_addr_text(const struct ip_addr *a, char *out)
{
	bool v4 = ip_is_v4(a);

	return inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->bytes + IP_V4_AT : a->bytes, out, INET6_ADDRSTRLEN);
}

/* Fields without a value. False when name is none of them. */
static bool mark(struct packet *p, const char *name)
{
	for (unsigned i = 0; i < 4; i++)
		if (!strcmp(name, ecn_words[i])) {
			p->has_ecn = true;
			p->ecn = (uint8_t)i;
			return true;
		}
	if (strcmp(name, "ipbadsum"))
		return false;
	p->bad_sum = true;
	return true;
}

static const char *fragment_parse(struct packet *p, const char *text)
{
	p->fragment = true;
	return sscanf(text, "%u:%u", &p->fragment_from, &p->fragment_to) >= 1 && strchr(text, ':')
		       ? NULL
		       : "frag takes A:B";
}

/* KIND[:HEX] */
static const char *ext_parse(struct packet *p, const char *text)
{
	static const struct {
		const char *name;
		uint8_t kind;
	} kinds[] = {{"hop", EXT_HOP}, {"dest", EXT_DEST}, {"route", EXT_ROUTE}};
	const char *hex = strchr(text, ':');
	uint8_t *e = p->ext + p->ext_n;
	size_t name = hex ? (size_t)(hex - text) : strlen(text);
	uint32_t n = 0;
	int kind = isdigit((unsigned char)*text) ? atoi(text) : -1;

	for (unsigned i = 0; i < 3; i++)
		if (strlen(kinds[i].name) == name && !strncmp(kinds[i].name, text, name))
			kind = kinds[i].kind;
	if (kind < 0 || p->ext_count == PACKET_EXT_MAX || p->ext_n + 8 > PACKET_EXT_BYTES)
		return "ext takes KIND[:HEX]";
	if (hex && !packet_hex(hex + 1, e + 2, PACKET_EXT_BYTES - p->ext_n - 8, &n))
		return "an extension header's bytes are hexadecimal";
	n = (n + 2 + 7) / 8 * 8;
	e[1] = (uint8_t)(n / 8 - 1);
	p->ext_kind[p->ext_count++] = (uint8_t)kind;
	p->ext_n += n;
	return NULL;
}

static const char *options_parse(struct packet *p, const char *text)
{
	if (!packet_hex(text, p->options, sizeof(p->options), &p->options_n))
		return "ipopt takes bytes in hexadecimal";
	p->options_n = (p->options_n + 3) / 4 * 4;
	return NULL;
}

static const char *number_set(struct packet *p, const char *name, int64_t v)
{
	if (!strcmp(name, "dscp")) {
		p->dscp = (uint8_t)v;
		p->has_dscp = true;
	} else if (!strcmp(name, "iplen")) {
		p->iplen = (uint16_t)v;
		p->has_iplen = true;
	} else if (!strcmp(name, "ihl")) {
		p->ihl = (uint8_t)v;
		p->has_ihl = true;
	} else if (!strcmp(name, "ipver")) {
		p->version = (uint8_t)v;
	} else if (!strcmp(name, "cut")) {
		p->cut = (uint32_t)v;
	} else if (!strcmp(name, "id")) {
		p->id = (uint32_t)v;
	} else if (!strcmp(name, "fragat")) {
		p->fragment_at = (uint32_t)v;
		p->has_at = true;
	} else if (!strcmp(name, "proto")) {
		p->protocol = (uint8_t)v;
	} else if (!strcmp(name, "ttl")) {
		p->has_ttl = true;
		p->ttl = (uint8_t)v;
	} else if (!strcmp(name, "vlan")) {
		p->has_vlan = true;
		p->vlan = (uint16_t)v;
	} else {
		return "";
	}
	return NULL;
}

const char *packet_field(struct packet *p, const char *name, const char **at)
{
	const char *before = *at;
	char text[2 * PACKET_EXT_BYTES];
	int64_t v = 0;

	if (mark(p, name))
		return NULL;
	packet_word(at, text, sizeof(text));
	if (!strcmp(name, "src"))
		return (p->has_src = segment_addr_parse(text, &p->src)) ? NULL : "src takes an address";
	if (!strcmp(name, "dst"))
		return (p->has_dst = segment_addr_parse(text, &p->dst)) ? NULL : "dst takes an address";
	if (!strcmp(name, "ethdst"))
		return (p->has_eth_dst = packet_mac(text, p->eth_dst)) ? NULL : "ethdst takes a MAC";
	if (!strcmp(name, "ethsrc"))
		return (p->has_eth_src = packet_mac(text, p->eth_src)) ? NULL : "ethsrc takes a MAC";
	if (!strcmp(name, "frag"))
		return fragment_parse(p, text);
	if (!strcmp(name, "ext"))
		return ext_parse(p, text);
	if (!strcmp(name, "ipopt"))
		return options_parse(p, text);
	bool is_number = packet_number(text, &v);
	const char *wrong = number_set(p, name, v);
	if (!wrong && !is_number)
		return "a field's number is missing";
	if (wrong)
		*at = before;
	return wrong;
}

const char *packet_fields(struct packet *p, const char *text)
{
	char name[64];

	while (*packet_word(&text, name, sizeof(name))) {
		const char *wrong = packet_field(p, name, &text);
		if (wrong)
			return *wrong ? wrong : "unknown field";
	}
	return NULL;
}

static bool address_differs(const struct ip_addr *expected, const struct ip_addr *seen)
{
	return !ip_equal(expected, seen);
}

const char *packet_differs(const struct packet *expected, const struct packet *seen)
{
	const uint8_t *to = expected->has_eth_dst ? expected->eth_dst : NULL;

	if (to && memcmp(to, seen->eth_dst, 6))
		return "ethdst";
	if (expected->has_ecn && expected->ecn != seen->ecn)
		return "ECN";
	if (expected->has_dscp && expected->dscp != seen->dscp)
		return "dscp";
	if (expected->has_ttl && expected->ttl != seen->ttl)
		return "ttl";
	if (expected->has_vlan && expected->vlan != seen->vlan)
		return "vlan";
	if ((expected->has_src && address_differs(&expected->src, &seen->src)) ||
		(expected->has_dst && address_differs(&expected->dst, &seen->dst)))
		return "addresses";
	return NULL;
}

/* Only what is not usual is worth a word. */
static char *address_text(char *out, const char *name, const struct ip_addr *a)
{
	struct ip_addr usual[] = {segment_peer_addr(false), segment_stack_addr(false),
		segment_peer_addr(true), segment_stack_addr(true)};
	char text[INET6_ADDRSTRLEN];

	for (unsigned i = 0; i < 4; i++)
		if (ip_equal(a, &usual[i]))
			return out;
	return out + sprintf(out, " %s %s", name, packet_addr_text(a, text));
}

char *packet_text(const struct packet *p, char *out)
{
	*out = 0;
	if (p->has_ecn && p->ecn)
		out += sprintf(out, " %s", ecn_words[p->ecn]);
	if (p->has_ttl && p->ttl != 64)
		out += sprintf(out, " ttl %u", p->ttl);
	if (p->dscp)
		out += sprintf(out, " dscp %u", p->dscp);
	if (p->has_vlan && p->vlan)
		out += sprintf(out, " vlan %u", p->vlan);
	if (p->has_src)
		out = address_text(out, "src", &p->src);
	if (p->has_dst)
		out = address_text(out, "dst", &p->dst);
	if (p->has_eth_dst && memcmp(p->eth_dst, peer_mac, 6))
		out += sprintf(out, " ethdst %02x:%02x:%02x:%02x:%02x:%02x", p->eth_dst[0], p->eth_dst[1],
			p->eth_dst[2], p->eth_dst[3], p->eth_dst[4], p->eth_dst[5]);
	return out;
}
