/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/frame.h"

#include <stdio.h>

#include "runtime/wire.h"

enum {
	ETH_BYTES = 14,
	TYPE_AT = 12,
	VLAN_BYTES = 4,
	TYPE_VLAN = 0x8100,
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86dd,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	TCP_BYTES = 20,
	PROTOCOL_ICMP = 1,
	PROTOCOL_FRAGMENT = 44,
	CE = 3,
};

static void option_read(struct sim_frame *f, uint8_t kind, const uint8_t *p, unsigned n)
{
	if (kind == 2 && n == 2) {
		f->has_mss = true;
		f->mss = wire_get16(p);
	} else if (kind == 3 && n == 1) {
		f->has_wscale = true;
		f->wscale = p[0];
	} else if (kind == 8 && n == 8) {
		f->has_timestamp = true;
		f->ts_val = wire_get32(p);
		f->ts_ecr = wire_get32(p + 4);
	} else if (kind == 5) {
		for (; n >= 8 && f->sack_blocks < SIM_SACK_BLOCKS_MAX; p += 8, n -= 8) {
			f->sack[f->sack_blocks].left = wire_get32(p);
			f->sack[f->sack_blocks++].right = wire_get32(p + 4);
		}
	}
}

static void options_read(struct sim_frame *f, const uint8_t *p, unsigned n)
{
	while (n && *p) {
		if (*p == 1) {
			p++;
			n--;
			continue;
		}
		if (n < 2 || p[1] < 2 || p[1] > n)
			return;
		option_read(f, p[0], p + 2, p[1] - 2u);
		n -= p[1];
		p += p[1];
	}
}

static void tcp_read(struct sim_frame *f, uint32_t in_segment)
{
	const uint8_t *p = f->bytes + f->l4_at;
	uint32_t header;

	if (f->l4_bytes < TCP_BYTES || f->l4_at + TCP_BYTES > in_segment)
		return;
	header = (p[12] >> 4) * 4u;
	if (header < TCP_BYTES || header > f->l4_bytes || f->l4_at + header > in_segment)
		return;
	f->tcp = true;
	f->sport = wire_get16(p);
	f->dport = wire_get16(p + 2);
	f->seq = wire_get32(p + 4);
	f->ack = wire_get32(p + 8);
	f->flags = p[13];
	f->window = wire_get16(p + 14);
	f->payload = f->l4_bytes - header;
	options_read(f, p + TCP_BYTES, header - TCP_BYTES);
}

static bool ipv4_read(struct sim_frame *f, const uint8_t *p)
{
	uint32_t header = (p[0] & 15u) * 4;
	uint16_t fragment = wire_get16(p + 6);

	f->ip_bytes = wire_get16(p + 2);
	if (header < IPV4_BYTES || f->ip_bytes < header || f->l3_at + f->ip_bytes > f->length)
		return false;
	f->version = 4;
	f->ecn = p[1] & 3;
	f->protocol = p[9];
	f->df = fragment & 0x4000;
	f->fragment = fragment & 0x3fff;
	f->src = ip_v4(wire_get32(p + 12));
	f->dst = ip_v4(wire_get32(p + 16));
	f->l4_at = f->l3_at + header;
	f->l4_bytes = f->ip_bytes - header;
	return true;
}

static bool ipv6_read(struct sim_frame *f, const uint8_t *p)
{
	f->ip_bytes = IPV6_BYTES + wire_get16(p + 4);
	if (f->l3_at + f->ip_bytes > f->length)
		return false;
	f->version = 6;
	f->ecn = p[1] >> 4 & 3;
	f->protocol = p[6];
	f->df = true;
	f->fragment = f->protocol == PROTOCOL_FRAGMENT;
	f->src = ip_v6(p + 8);
	f->dst = ip_v6(p + 24);
	f->l4_at = f->l3_at + IPV6_BYTES;
	f->l4_bytes = f->ip_bytes - IPV6_BYTES;
	return true;
}

/* data_bytes of the frame lie at bytes. */
static void read_headers(uint8_t *bytes, uint32_t data_bytes, uint32_t length, struct sim_frame *f)
{
	bool good = false;

	*f = (struct sim_frame){.bytes = bytes, .length = length};
	if (data_bytes < ETH_BYTES + VLAN_BYTES)
		return;
	f->l3_at = ETH_BYTES;
	f->type = wire_get16(bytes + TYPE_AT);
	if (f->type == TYPE_VLAN) {
		f->l3_at += VLAN_BYTES;
		f->type = wire_get16(bytes + TYPE_AT + VLAN_BYTES);
	}
	if (f->type == TYPE_IPV4 && f->l3_at + IPV4_BYTES <= data_bytes)
		good = ipv4_read(f, bytes + f->l3_at);
	else if (f->type == TYPE_IPV6 && f->l3_at + IPV6_BYTES <= data_bytes)
		good = ipv6_read(f, bytes + f->l3_at);
	if (good && f->protocol == SIM_PROTOCOL_TCP && !f->fragment)
		tcp_read(f, data_bytes);
}

void sim_frame_read(struct rte_mbuf *m, struct sim_frame *f)
{
	read_headers(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, m->pkt_len, f);
}

void sim_frame_read_bytes(uint8_t *bytes, uint32_t length, struct sim_frame *f)
{
	read_headers(bytes, length, length, f);
}

uint32_t sim_frame_end(const struct sim_frame *f)
{
	return f->seq + f->payload + !!(f->flags & SIM_SYN) + !!(f->flags & SIM_FIN);
}

static uint32_t add(uint32_t sum, const uint8_t *p, uint32_t n)
{
	for (; n > 1; p += 2, n -= 2)
		sum += wire_get16(p);
	return n ? sum + (uint32_t)(*p << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

void sim_frame_checksums(const struct sim_frame *f, bool *l3_good, bool *l4_good)
{
	const uint8_t *l3 = f->bytes + f->l3_at;
	bool v4 = f->version == 4;
	uint32_t sum = 0;

	*l3_good = !v4 || fold(add(0, l3, f->l4_at - f->l3_at)) == 0xffff;
	*l4_good = true;
	if (!f->version || f->fragment ||
		(f->protocol != SIM_PROTOCOL_TCP && f->protocol != PROTOCOL_ICMP &&
			f->protocol != SIM_PROTOCOL_ICMPV6))
		return;
	/* RFC 9293 section 3.1's pseudo header; ICMP of IPv4 has none. */
	if (f->protocol != PROTOCOL_ICMP)
		sum = add(f->protocol + f->l4_bytes, l3 + (v4 ? 12 : 8), v4 ? 8 : 32);
	*l4_good = fold(add(sum, f->bytes + f->l4_at, f->l4_bytes)) == 0xffff;
}

bool sim_frame_mark_ce(struct rte_mbuf *m)
{
	struct sim_frame f;

	sim_frame_read(m, &f);
	if (!f.version || !f.ecn)
		return false;
	uint8_t *p = f.bytes + f.l3_at;
	if (f.version == 4) {
		p[1] |= CE;
		wire_put16(p + 10, 0);
		wire_put16(p + 10, (uint16_t)~fold(add(0, p, f.l4_at - f.l3_at)));
	} else {
		p[1] |= CE << 4;
	}
	return true;
}

bool sim_frame_corrupt(struct rte_mbuf *m, uint64_t random)
{
	struct sim_frame f;

	sim_frame_read(m, &f);
	if (!f.version || f.fragment)
		return false;
	uint32_t from = f.version == 4 ? f.l3_at : f.l4_at, n = f.l3_at + f.ip_bytes - from;
	if (!n)
		return false;
	f.bytes[from + (random >> 8) % n] ^= (uint8_t)(1 << (random & 7));
	return true;
}

void sim_frame_print(struct rte_mbuf *m)
{
	struct sim_frame f;

	sim_frame_read(m, &f);
	if (!f.tcp) {
		printf("%u bytes of type %04x protocol %u", f.length, f.type, f.protocol);
		return;
	}
	printf("%u>%u %s%s%s%s%s%s seq %u ack %u len %u win %u", f.sport, f.dport,
		f.flags & SIM_SYN ? "S" : "", f.flags & SIM_FIN ? "F" : "", f.flags & SIM_RST ? "R" : "",
		f.flags & SIM_ACK ? "." : "", f.flags & SIM_ECE ? "E" : "", f.flags & SIM_CWR ? "W" : "",
		f.seq, f.ack, f.payload, f.window);
	for (unsigned i = 0; i < f.sack_blocks; i++)
		printf(" sack %u:%u", f.sack[i].left, f.sack[i].right);
	if (f.has_timestamp)
		printf(" ts %u %u", f.ts_val, f.ts_ecr);
	if (f.ecn)
		printf(" ecn %u", f.ecn);
}
