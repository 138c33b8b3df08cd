/* SPDX-License-Identifier: Apache-2.0 */
/* The headers that the hardware looks at: 802.1Q, IPv4, IPv6 with extension headers, TCP, UDP (7.1.2.8,
 * 7.1.6.2, 7.1.11). What it cannot follow it takes for a frame without that header. */
#include "runtime/wire.h"
#include "tests/ixgbe_model/private.h"

#include <string.h>

enum {
	ETHER_HEADER = 14,
	TAG = 4,
	TYPE_VLAN = 0x8100,
	TYPE_IP4 = 0x0800,
	TYPE_IP6 = 0x86dd,
	IP4_HEADER = 20,
	IP6_HEADER = 40,
	TCP_HEADER = 20,
	UDP_HEADER = 8,
	HOP_BY_HOP = 0,
	ROUTING = 43,
	FRAGMENT = 44,
	DESTINATION = 60,
};

static unsigned header_min(uint8_t protocol)
{
	return protocol == IXM_TCP ? TCP_HEADER : protocol == IXM_UDP ? UDP_HEADER : 0;
}

/* Where the transport header begins, if all of it is there. */
static void transport_at(struct ixm_frame *f, unsigned at)
{
	unsigned need = header_min(f->protocol);

	if (need && !f->fragment && at + need <= f->end)
		f->l4 = at;
}

static void parse_ip4(struct ixm_frame *f)
{
	const uint8_t *h = f->data + f->l3;

	if (f->bytes < f->l3 + IP4_HEADER || h[0] >> 4 != 4)
		return;
	unsigned header = (h[0] & 0xfu) * 4;
	unsigned total = wire_get16(h + 2);
	if (header < IP4_HEADER || total < header || f->l3 + total > f->bytes)
		return;
	f->ip4 = true;
	f->options = header > IP4_HEADER;
	f->fragment = wire_get16(h + 6) & 0x3fff;
	f->protocol = h[9];
	f->end = f->l3 + total;
	transport_at(f, f->l3 + header);
}

static void parse_ip6(struct ixm_frame *f)
{
	const uint8_t *h = f->data + f->l3;

	if (f->bytes < f->l3 + IP6_HEADER || h[0] >> 4 != 6)
		return;
	f->end = f->l3 + IP6_HEADER + wire_get16(h + 4);
	if (f->end > f->bytes)
		return;
	f->ip6 = true;
	uint8_t next = h[6];
	unsigned at = f->l3 + IP6_HEADER;
	while (next == HOP_BY_HOP || next == ROUTING || next == DESTINATION || next == FRAGMENT) {
		if (at + 8 > f->end)
			return;
		f->extensions = true;
		f->fragment |= next == FRAGMENT;
		unsigned bytes = next == FRAGMENT ? 8 : (f->data[at + 1] + 1u) * 8;
		next = f->data[at];
		at += bytes;
	}
	f->protocol = next;
	transport_at(f, at);
}

void ixm_parse(const uint8_t *data, unsigned bytes, struct ixm_frame *out)
{
	*out = (struct ixm_frame){.data = data, .bytes = bytes, .l3 = ETHER_HEADER};

	if (bytes < ETHER_HEADER)
		return;
	uint16_t type = wire_get16(data + 12);
	if (type == TYPE_VLAN && bytes >= ETHER_HEADER + TAG) {
		out->tagged = true;
		out->tag = wire_get16(data + 14);
		out->l3 += TAG;
		type = wire_get16(data + 16);
	}
	if (type == TYPE_IP4)
		parse_ip4(out);
	else if (type == TYPE_IP6)
		parse_ip6(out);
}

uint32_t ixm_sum(uint32_t sum, const uint8_t *data, unsigned bytes)
{
	uint64_t wide = sum;

	for (unsigned i = 0; i + 1 < bytes; i += 2)
		wide += wire_get16(data + i);
	if (bytes & 1)
		wide += (uint32_t)data[bytes - 1] << 8;
	while (wide >> 32)
		wide = (wide & 0xffffffff) + (wide >> 32);
	return (uint32_t)wide;
}

uint16_t ixm_sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint32_t ixm_pseudo_sum(const struct ixm_frame *f)
{
	const uint8_t *h = f->data + f->l3;
	uint32_t sum = f->protocol + (f->end - f->l4);

	return f->ip4 ? ixm_sum(sum, h + 12, 8) : ixm_sum(sum, h + 8, 32);
}
