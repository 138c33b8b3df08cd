/* SPDX-License-Identifier: Apache-2.0 */
/* Reception: from the packet buffer through the filters into a queue's ring. */
#include "runtime/wire.h"
#include "tests/ixgbe_model/private.h"

#include <string.h>

enum {
	CRC = 4,
	FRAME_MIN = 64, /* with the CRC */
	FRAME_MAX = 1518,
	TAG = 4,
};

/* What is written back to a frame's last descriptor. */
struct write_back {
	uint32_t packet_info, hash, status;
	uint16_t tag;
};

enum outcome { GONE, DELIVERED, WAITS };

static unsigned length_max(const struct ixm *m, const struct ixm_frame *f)
{
	unsigned max = ixm_get(m, HLREG0) & HLREG0_JUMBOEN ? ixm_get(m, MAXFRS) >> MAXFRS_SHIFT : FRAME_MAX;

	return max + (f->tagged ? TAG : 0);
}

/* 8.2.3.22 JUMBOEN, MAXFRS; 8.2.3.23 RUC, ROC. */
static bool length_fits(struct ixm *m, const struct ixm_frame *f)
{
	bool shorter = f->bytes + CRC<FRAME_MIN, longer = f->bytes + CRC> length_max(m, f);

	m->stats.ruc += shorter;
	m->stats.roc += longer;
	m->count.rx_length += shorter || longer;
	return !shorter && !longer;
}

/* 7.1.11: IPv4's header, and TCP and UDP where the datagram is whole. A UDP checksum of 0 (none) is called an
 * error by an 82599: erratum 44, for which the driver has a case of its own. */
static uint32_t checksum_status(const struct ixm *m, const struct ixm_frame *f)
{
	uint32_t status = 0;

	if (f->ip4) {
		unsigned bytes = (f->data[f->l3] & 0xfu) * 4;
		bool good = ixm_sum_fold(ixm_sum(0, f->data + f->l3, bytes)) == 0xffff;
		status |= RXD_IPCS | (good ? 0 : RXD_IPE);
	}
	if (f->l4 == 0)
		return status;
	bool good = ixm_sum_fold(ixm_sum(ixm_pseudo_sum(f), f->data + f->l4, f->end - f->l4)) == 0xffff;
	if (f->protocol == IXM_UDP) {
		status |= RXD_UDPCS;
		if (wire_get16(f->data + f->l4 + 6) == 0)
			good = !m->part->udp_without_checksum_is_bad;
	}
	return status | RXD_L4I | (good ? 0 : RXD_L4E);
}

/* 7.1.6.2: which headers were found. */
static uint32_t packet_type(const struct ixm_frame *f)
{
	uint32_t type = 0;

	if (f->ip4)
		type |= f->options ? PTYPE_IP4_OPTIONS | PTYPE_IP4 : PTYPE_IP4;
	if (f->ip6)
		type |= f->extensions ? PTYPE_IP6_EXTENSIONS | PTYPE_IP6 : PTYPE_IP6;
	if (f->l4)
		type |= f->protocol == IXM_TCP ? PTYPE_TCP : PTYPE_UDP;
	else if (f->protocol == IXM_SCTP && !f->fragment)
		type |= PTYPE_SCTP;
	return type;
}

/* 8.2.3.8 RXDCTL.VME: the tag moves from the frame into the descriptor. The frame's bytes are the packet
 * buffer's, and it leaves that afterwards. */
static void strip_tag(struct ixm_frame *f, struct write_back *w)
{
	uint8_t *data = (uint8_t *)(uintptr_t)f->data;

	w->tag = f->tag;
	w->status |= RXD_VP;
	memmove(data + TAG, data, 12);
	f->data += TAG;
	f->bytes -= TAG;
}

/* The status goes last: with DD the descriptor is the driver's. Some of its paths read all 16 bytes at once.
 */
static void descriptor_write(
	uint64_t *descriptor, const struct write_back *w, uint32_t status, uint16_t bytes)
{
	uint64_t low = (uint64_t)w->hash << 32 | w->packet_info;
	uint64_t high = (uint64_t)w->tag << 48 | (uint64_t)bytes << 32 | status;

	__atomic_store_n(descriptor, low, __ATOMIC_RELAXED);
	__atomic_store_n(descriptor + 1, high, __ATOMIC_RELEASE);
}

struct ring {
	unsigned queue, size, buffer_bytes;
	uint32_t head, tail;
	uint64_t *descriptor;
};

static bool ring_open(struct ixm *m, unsigned queue, struct ring *r)
{
	uint32_t registers = ixm_rx_register(m, queue, 0);

	r->queue = queue;
	r->size = ixm_ring_size(m, registers);
	r->buffer_bytes = (ixm_get(m, ixm_srrctl(m, queue)) & SRRCTL_BSIZE_KB) * 1024;
	r->head = m->rx[queue].head;
	r->tail = ixm_get(m, registers + Q_TAIL);
	if (r->size == 0 || r->buffer_bytes == 0 || r->head >= r->size || r->tail >= r->size)
		return false;
	r->descriptor = ixm_dma(m, IXM_DMA_RX_RING, queue, ixm_ring_base(m, registers),
		(size_t)r->size * IXM_DESCRIPTOR_BYTES);
	return r->descriptor;
}

/* One piece of the frame into the buffer of one descriptor. */
static bool piece_store(struct ixm *m, const struct ring *r, const uint8_t *data, unsigned bytes)
{
	uint64_t address = __atomic_load_n(r->descriptor + (size_t)r->head * 2, __ATOMIC_RELAXED);
	void *buffer = ixm_dma(m, IXM_DMA_RX_BUFFER, r->queue, address, bytes);

	if (buffer)
		memcpy(buffer, data, bytes);
	return buffer;
}

/* 7.1.6.2, 7.1.9: a frame longer than a buffer goes on in the next descriptor; EOP, and what is true of the
 * frame, stand in the last one. */
static void frame_store(struct ixm *m, struct ring *r, const struct ixm_frame *f, const struct write_back *w)
{
	static const struct write_back none;

	for (unsigned at = 0; at < f->bytes;) {
		unsigned bytes = f->bytes - at < r->buffer_bytes ? f->bytes - at : r->buffer_bytes;
		bool last = at + bytes == f->bytes;
		uint64_t *descriptor = r->descriptor + (size_t)r->head * 2;
		bool stored = piece_store(m, r, f->data + at, bytes);
		uint16_t length = (uint16_t)(last && m->faults.rx_length ? m->faults.rx_length : bytes);
		uint32_t status = last ? w->status | RXD_DD | RXD_EOP : RXD_DD;

		descriptor_write(descriptor, last ? w : &none, stored ? status : status | RXD_RXE, length);
		at += bytes;
		r->head = (r->head + 1) % r->size;
		m->count.rx_wrapped += r->head == 0;
		m->count.rx_descriptors++;
	}
	m->rx[r->queue].head = r->head;
	ixm_set(m, ixm_rx_register(m, r->queue, Q_HEAD), r->head);
}

/* 8.2.3.8 SRRCTL.DROP_EN. The host has all queues of VFs drop (Linux's ixgbe_sriov.c: PFQDE), or one guest
 * could hold up the others. */
static bool drops(const struct ixm *m, unsigned queue)
{
	return m->part->virtual || (ixm_get(m, ixm_srrctl(m, queue)) & SRRCTL_DROP_EN);
}

/* Without a free descriptor the frame is dropped, or it stays and holds up all that came after it, as the
 * queue says.
 */
static enum outcome deliver(struct ixm *m, struct ixm_frame *f, unsigned queue, struct write_back *w)
{
	struct ring r;

	if (!m->rx[queue].on || !ring_open(m, queue, &r)) {
		m->count.rx_no_queue++;
		return GONE;
	}
	bool strip = f->tagged && (ixm_get(m, ixm_rx_register(m, queue, Q_DCTL)) & RXDCTL_VME);
	unsigned bytes = f->bytes - (strip ? TAG : 0);
	unsigned free = m->faults.rx_stuck ? 0 : (r.tail + r.size - r.head) % r.size;
	if ((bytes + r.buffer_bytes - 1) / r.buffer_bytes <= free) {
		if (strip)
			strip_tag(f, w);
		frame_store(m, &r, f, w);
		ixm_stats_received(m, f, queue);
		ixm_interrupt(m, queue);
		return DELIVERED;
	}
	if (!drops(m, queue))
		return WAITS;
	m->stats.qprdc[ixm_stats_counter(m, queue)]++;
	m->count.rx_no_descriptor++;
	return GONE;
}

static bool receives(const struct ixm *m)
{
	return m->part->virtual ? m->host.receive : ixm_get(m, RXCTRL) & RXCTRL_RXEN;
}

static enum outcome frame_in(struct ixm *m, const struct ixm_fifo_frame *in)
{
	struct ixm_frame f;
	struct write_back w = {0};
	unsigned type;
	bool inexact;

	if (!receives(m)) {
		m->count.rx_off++;
		return GONE;
	}
	ixm_parse(in->data, in->bytes, &f);
	if (!length_fits(m, &f))
		return GONE;
	/* 8.2.3.7 FCTRL.SBP: bad frames are stored, with an error, or dropped. */
	if (in->damaged) {
		w.status |= RXD_RXE;
		m->stats.crcerrs++;
		m->count.rx_damaged++;
		if (!(ixm_get(m, FCTRL) & FCTRL_SBP))
			return GONE;
	}
	if (!ixm_filter(m, &f, &inexact)) {
		m->count.rx_filtered++;
		return GONE;
	}
	unsigned queue = ixm_rss(m, &f, &w.hash, &type);
	w.packet_info = type | packet_type(&f) << RXD_PTYPE_SHIFT;
	w.status |= checksum_status(m, &f) | (inexact ? RXD_PIF : 0) | m->faults.rx_status_or;
	return deliver(m, &f, queue, &w);
}

bool ixm_rx_turn(struct ixm *m)
{
	struct ixm_fifo_frame in;
	bool moved = false;

	for (unsigned n = 0; n < IXM_TURN_FRAMES_MAX && ixm_fifo_peek(&m->fifo, &in); n++) {
		enum outcome o = frame_in(m, &in);
		if (o == WAITS)
			break;
		m->count.rx_frames += o == DELIVERED;
		ixm_fifo_drop(&m->fifo);
		moved = true;
	}
	return moved;
}
