/* SPDX-License-Identifier: Apache-2.0 */
/* ARP as scripts write it, in tcpdump's words:
 *
 *   arp who-has TARGET tell SENDER [is-at MAC] [tha MAC] [FIELD]...
 *   arp reply SENDER [is-at MAC] [tell TARGET] [tha MAC] [FIELD]...
 *
 * is-at is the sender's MAC, tha the target's; op, hrd, pro, hln N put other numbers in. 0.0.0.0 as the
 * SENDER makes a probe of it (RFC 5227). Fields: packet.h's of Ethernet. */
#include <stdio.h>
#include <string.h>

#include "runtime/wire.h"
#include "tests/script/run.h"

enum { ARP_BYTES = 28, TYPE_ARP = 0x0806, REQUEST = 1, REPLY = 2 };

struct arp {
	uint16_t op, hrd, pro;
	uint8_t hln;
	uint32_t sender, target;
	uint8_t sender_mac[6], target_mac[6];
	bool has_target_mac, has_target;
	struct packet below;
};

static bool addr_take(const char *text, uint32_t *out)
{
	struct ip_addr a;

	if (!segment_addr_parse(text, &a) || !ip_is_v4(&a))
		return false;
	*out = ip_to_v4(&a);
	return true;
}

/* One word and its value. */
static const char *field(struct arp *a, const char *name, const char **at)
{
	const char *wrong = packet_field(&a->below, name, at);
	bool ask = a->op == REQUEST, good;
	char value[64];
	int64_t n = 0;

	if (!wrong || *wrong)
		return wrong;
	packet_word(at, value, sizeof(value));
	if (!strcmp(name, "tell"))
		good = addr_take(value, ask ? &a->sender : &a->target), a->has_target = true;
	else if (!strcmp(name, "is-at"))
		good = packet_mac(value, a->sender_mac);
	else if (!strcmp(name, "tha"))
		good = a->has_target_mac = packet_mac(value, a->target_mac);
	else
		good = packet_number(value, &n);
	if (!strcmp(name, "op"))
		a->op = (uint16_t)n;
	if (!strcmp(name, "hrd"))
		a->hrd = (uint16_t)n;
	if (!strcmp(name, "pro"))
		a->pro = (uint16_t)n;
	if (!strcmp(name, "hln"))
		a->hln = (uint8_t)n;
	return good ? NULL : "a field of ARP is wrong";
}

static const char *parse(struct arp *a, const char *text, const uint8_t sender_mac[6])
{
	char name[64];

	*a = (struct arp){.hrd = 1, .pro = 0x0800, .hln = 6, .target = STACK_ADDR};
	memcpy(a->sender_mac, sender_mac, 6);
	packet_word(&text, name, sizeof(name));
	a->op = !strcmp(name, "who-has") ? REQUEST : !strcmp(name, "reply") ? REPLY : 0;
	packet_word(&text, name, sizeof(name));
	if (!a->op || !addr_take(name, a->op == REQUEST ? &a->target : &a->sender))
		return "arp who-has TARGET tell SENDER, or arp reply SENDER";
	a->has_target = a->op == REQUEST;
	while (*packet_word(&text, name, sizeof(name))) {
		const char *wrong = field(a, name, &text);
		if (wrong)
			return wrong;
	}
	if (a->op == REQUEST && !a->below.has_eth_dst)
		a->below.has_eth_dst = packet_mac("all", a->below.eth_dst);
	return NULL;
}

const char *arp_inject(const char *text)
{
	uint8_t f[18 + ARP_BYTES];
	struct arp a;
	const char *wrong = parse(&a, text, peer_mac);

	if (wrong)
		return wrong;
	if (!a.below.has_vlan)
		a.below.vlan = run.vlan;
	uint32_t eth = packet_eth(&a.below, TYPE_ARP, f);
	uint8_t *p = f + eth;
	wire_put16(p, a.hrd);
	wire_put16(p + 2, a.pro);
	p[4] = a.hln;
	p[5] = 4;
	wire_put16(p + 6, a.op);
	memcpy(p + 8, a.sender_mac, 6);
	wire_put32(p + 14, a.sender);
	memcpy(p + 18, a.target_mac, 6);
	wire_put32(p + 24, a.target);
	wire_input(f, eth + ARP_BYTES - a.below.cut);
	return NULL;
}

static bool read_back(const uint8_t *frame, uint32_t n, struct arp *a)
{
	struct packet_seen s;

	if (!packet_read(&s, frame, n) || s.type != TYPE_ARP || s.payload_n < ARP_BYTES)
		return false;
	const uint8_t *p = s.payload;
	*a = (struct arp){.hrd = wire_get16(p),
		.pro = wire_get16(p + 2),
		.hln = p[4],
		.op = wire_get16(p + 6),
		.sender = wire_get32(p + 14),
		.target = wire_get32(p + 24),
		.below = s.p};
	memcpy(a->sender_mac, p + 8, 6);
	memcpy(a->target_mac, p + 18, 6);
	if (a->hrd != 1 || a->pro != 0x0800 || a->hln != 6 || p[5] != 4 || memcmp(s.p.eth_src, stack_mac, 6))
		fail("an ARP packet of a wrong kind, or from a wrong station");
	return true;
}

bool arp_text(const uint8_t *frame, uint32_t n, char *out)
{
	struct arp a;
	char one[64], other[64];

	if (!read_back(frame, n, &a))
		return false;
	struct ip_addr sender = ip_v4(a.sender), target = ip_v4(a.target);
	packet_addr_text(&sender, one);
	packet_addr_text(&target, other);
	if (a.op == REQUEST)
		out += sprintf(out, "arp who-has %s tell %s", other, one);
	else
		out += sprintf(out, "arp reply %s tell %s", one, other);
	packet_text(&a.below, out);
	return true;
}

void arp_expect(const char *text, const uint8_t *frame, uint32_t n)
{
	struct arp want, seen;
	char seen_text[MESSAGE_TEXT_BYTES];
	const char *wrong = parse(&want, text, stack_mac);

	if (wrong) {
		fail("%s", wrong);
		return;
	}
	if (!read_back(frame, n, &seen)) {
		fail("the stack sent no ARP packet");
		return;
	}
	if (!want.below.has_eth_dst)
		want.below.has_eth_dst = packet_mac("peer", want.below.eth_dst);
	wrong = packet_differs(&want.below, &seen.below);
	arp_text(frame, n, seen_text);
	if (want.op != seen.op || want.sender != seen.sender ||
		(want.has_target && want.target != seen.target))
		fail("the stack sent %s", seen_text);
	else if (memcmp(want.sender_mac, seen.sender_mac, 6) ||
		 (want.has_target_mac && memcmp(want.target_mac, seen.target_mac, 6)))
		fail("the MACs differ: the stack sent %s", seen_text);
	else if (wrong)
		fail("%s differ: the stack sent %s", wrong, seen_text);
}
