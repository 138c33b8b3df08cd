/* SPDX-License-Identifier: Apache-2.0 */
/* What the hardware does to a packet before it sends it: VLAN tag, checksums (7.2.5), segmentation (7.2.4).
 */
#include "runtime/wire.h"
#include "tests/ixgbe_model/private.h"

#include <string.h>

enum {
	TAG = 4,
	TYPE_VLAN = 0x8100,
	FRAME_MIN = 60, /* without the CRC */
	IP4_LENGTH = 2,
	IP4_ID = 4,
	IP4_CHECKSUM = 10,
	IP6_LENGTH = 4,
	IP6_HEADER = 40,
	TCP_SEQUENCE = 4,
	TCP_FLAGS = 12, /* with the data offset: twelve bits of flags */
	TCP_CHECKSUM = 16,
	TCP_HEADER = 20,
	UDP_CHECKSUM = 6,
};

/* Lengths and kinds out of a context descriptor. */
struct layout {
	unsigned mac, ip, l4, mss;
	bool ip4, tcp;
};

static struct layout layout_of(const struct ixm_send *s)
{
	const struct ixm_tx_context *c = s->context;

	return (struct layout){.mac = (c->vlan_macip >> 9 & 0x7f) + (s->insert_tag ? TAG : 0),
		.ip = c->vlan_macip & 0x1ff,
		.l4 = c->mss_l4len_idx >> 8 & 0xff,
		.mss = c->mss_l4len_idx >> 16,
		.ip4 = c->type_tucmd & TUCMD_IPV4,
		.tcp = (c->type_tucmd >> TUCMD_L4T_SHIFT & 3) == L4T_TCP};
}

/* The sum goes over what is there, with what software left in the field; it must be 0 in an IPv4 header
 * and the pseudo header's sum in a TCP or UDP header. */
static void checksum_put(uint8_t *from, unsigned bytes, unsigned field)
{
	wire_put16(from + field, (uint16_t)~ixm_sum_fold(ixm_sum(0, from, bytes)));
}

static void ip_checksum(uint8_t *frame, const struct layout *l)
{
	checksum_put(frame + l->mac, l->ip, IP4_CHECKSUM);
}

/* 7.2.5: to the last byte of the data that came by DMA. */
static void l4_checksum(uint8_t *frame, unsigned bytes, const struct layout *l)
{
	unsigned at = l->mac + l->ip, field = l->tcp ? TCP_CHECKSUM : UDP_CHECKSUM;

	checksum_put(frame + at, bytes - at, field);
	if (!l->tcp && wire_get16(frame + at + field) == 0)
		wire_put16(frame + at + field, 0xffff); /* RFC 768: 0 would say that there is none */
}

/* HLREG0.TXPADEN: short frames are padded, with zeros. */
static void frame_out(struct ixm *m, uint8_t *frame, unsigned bytes, unsigned queue)
{
	if (bytes < FRAME_MIN && (ixm_get(m, HLREG0) & HLREG0_TXPADEN)) {
		memset(frame + bytes, 0, FRAME_MIN - bytes);
		bytes = FRAME_MIN;
	}
	if (bytes > IXM_FRAME_BYTES_MAX)
		m->count.tx_malformed++;
	else if (m->part->virtual && !ixm_host_lets_pass(m, frame))
		m->count.tx_spoofed++;
	else
		ixm_wire_send(m, frame, bytes, queue);
}

static void insert_tag(struct ixm *m, const struct ixm_send *s)
{
	memmove(m->send + 12 + TAG, m->send + 12, s->bytes - 12);
	wire_put16(m->send + 12, TYPE_VLAN);
	wire_put16(m->send + 14, (uint16_t)(s->context->vlan_macip >> 16));
}

/* Whether the headers that the context speaks of are in the packet at all. */
static bool layout_fits(const struct ixm_send *s, const struct layout *l, unsigned bytes)
{
	if (s->ip_checksum && (!l->ip4 || l->ip < 20 || l->mac < 14))
		return false;
	if ((s->l4_checksum || s->segment) && (l->ip < 20 || l->mac < 14))
		return false;
	if (!s->segment)
		return l->mac + l->ip + (s->l4_checksum ? 8u : 0) <= bytes;
	return l->tcp && l->l4 >= TCP_HEADER && l->mss > 0 && l->mac + l->ip + l->l4 + s->payload == bytes &&
	       l->mac + l->ip + l->l4 + l->mss <= IXM_FRAME_BYTES_MAX;
}

/* 7.2.4: lengths, identification, sequence number and flags of piece i, whose payload begins at `at`. A send
 * that fits one piece counts as the last one here; that CWR is lost by it rests on nothing but caution. */
static void piece_headers(
	struct ixm *m, const struct layout *l, uint32_t i, uint32_t at, unsigned payload, bool last)
{
	uint8_t *ip = m->piece + l->mac, *tcp = ip + l->ip;
	uint32_t masks = ixm_get(m, DTXTCPFLGL);
	uint32_t mask = last ? ixm_get(m, DTXTCPFLGH) : i == 0 ? masks : masks >> 16;
	unsigned length = l->ip + l->l4 + payload;

	if (l->ip4) {
		wire_put16(ip + IP4_LENGTH, (uint16_t)length);
		wire_put16(ip + IP4_ID, (uint16_t)(wire_get16(ip + IP4_ID) + i));
	} else {
		wire_put16(ip + IP6_LENGTH, (uint16_t)(length - IP6_HEADER));
	}
	wire_put32(tcp + TCP_SEQUENCE, wire_get32(tcp + TCP_SEQUENCE) + at);
	wire_put16(tcp + TCP_FLAGS, wire_get16(tcp + TCP_FLAGS) & (uint16_t)(0xf000 | (mask & 0xfff)));
	/* The field holds the pseudo header's sum without a length. */
	wire_put16(tcp + TCP_CHECKSUM, ixm_sum_fold(wire_get16(tcp + TCP_CHECKSUM) + l->l4 + payload));
}

static void segments_send(struct ixm *m, const struct ixm_send *s, const struct layout *l)
{
	unsigned header = l->mac + l->ip + l->l4;
	uint32_t i = 0, at = 0;

	m->count.tx_segmentations++;
	do {
		unsigned payload = s->payload - at < l->mss ? s->payload - at : l->mss;
		memcpy(m->piece, m->send, header);
		memcpy(m->piece + header, m->send + header + at, payload);
		piece_headers(m, l, i++, at, payload, at + payload == s->payload);
		if (s->ip_checksum)
			ip_checksum(m->piece, l);
		if (s->l4_checksum)
			l4_checksum(m->piece, header + payload, l);
		frame_out(m, m->piece, header + payload, s->queue);
		at += payload;
	} while (at < s->payload);
}

void ixm_send(struct ixm *m, const struct ixm_send *s)
{
	struct layout l = layout_of(s);
	unsigned bytes = s->bytes + (s->insert_tag ? TAG : 0);

	if (s->bytes < 14 || !layout_fits(s, &l, bytes)) {
		m->count.tx_malformed++;
		return;
	}
	if (s->insert_tag)
		insert_tag(m, s);
	if (s->segment) {
		segments_send(m, s, &l);
		return;
	}
	if (s->ip_checksum)
		ip_checksum(m->send, &l);
	if (s->l4_checksum)
		l4_checksum(m->send, bytes, &l);
	frame_out(m, m->send, bytes, s->queue);
}
