/* SPDX-License-Identifier: Apache-2.0 */
/* Transmission: descriptors from the head to the tail, packet by packet (7.2.3). */
#include "tests/ixgbe_model/private.h"

#include <string.h>

struct descriptor {
	uint64_t address;
	uint32_t command, status; /* DTALEN, DTYP, DCMD; STA, IDX, POPTS, PAYLEN */
};

struct ring {
	unsigned queue, size;
	uint32_t tail;
	uint64_t *descriptor;
};

static bool ring_open(struct ixm *m, unsigned queue, struct ring *r)
{
	uint32_t registers = ixm_tx_register(m, queue, 0);

	r->queue = queue;
	r->size = ixm_ring_size(m, registers);
	r->tail = ixm_get(m, registers + Q_TAIL);
	if (r->size == 0 || r->tail >= r->size || m->tx[queue].head >= r->size ||
		m->tx[queue].head == r->tail)
		return false;
	r->descriptor = ixm_dma(m, IXM_DMA_TX_RING, queue, ixm_ring_base(m, registers),
		(size_t)r->size * IXM_DESCRIPTOR_BYTES);
	return r->descriptor;
}

static struct descriptor fetch(const struct ring *r, uint32_t at)
{
	const uint64_t *d = r->descriptor + (size_t)at * 2;
	uint64_t high = __atomic_load_n(d + 1, __ATOMIC_RELAXED);

	return (struct descriptor){.address = __atomic_load_n(d, __ATOMIC_RELAXED),
		.command = (uint32_t)high,
		.status = (uint32_t)(high >> 32)};
}

/* 7.2.3.5: with WTHRESH 0, which the driver asks for, DD is written to descriptors with RS, at once. */
static void done(struct ixm *m, const struct ring *r, uint32_t at, const struct descriptor *d)
{
	if (!(d->command & TXD_RS))
		return;
	uint32_t *status = (uint32_t *)(r->descriptor + (size_t)at * 2) + 3;
	__atomic_store_n(status, TXD_DD, __ATOMIC_RELEASE);
	m->count.tx_written_back++;
}

/* 7.2.3.2.3 */
static void context_keep(struct ixm *m, const struct ring *r, uint32_t at)
{
	const uint64_t *d = r->descriptor + (size_t)at * 2;
	struct ixm_tx_context c = {.vlan_macip = (uint32_t)d[0],
		.type_tucmd = (uint32_t)d[1],
		.mss_l4len_idx = (uint32_t)(d[1] >> 32)};

	m->tx[r->queue].context[c.mss_l4len_idx >> TXD_IDX_SHIFT & (IXM_CONTEXTS - 1)] = c;
	m->count.tx_contexts++;
}

/* How many descriptors make up the packet that begins at the head; 0 where its end is not there yet. */
static unsigned packet_descriptors(const struct ring *r, uint32_t head)
{
	unsigned n = 0;

	for (uint32_t at = head; at != r->tail; at = (at + 1) % r->size) {
		n++;
		if (fetch(r, at).command & TXD_EOP)
			return n;
	}
	return 0;
}

/* Reads the packet's n buffers into m->send. False where that cannot be. */
static bool gather(struct ixm *m, const struct ring *r, uint32_t head, unsigned n, unsigned *bytes)
{
	*bytes = 0;
	if (n > IXM_PACKET_BUFFERS_MAX) {
		m->count.tx_malformed++;
		return false;
	}
	for (unsigned i = 0; i < n; i++) {
		struct descriptor d = fetch(r, (head + i) % r->size);
		unsigned length = d.command & TXD_DTALEN;
		if (!(d.command & TXD_DEXT) || (d.command & TXD_DTYP) != TXD_DTYP_DATA || length == 0 ||
			*bytes + length > IXM_SEND_BYTES_MAX) {
			m->count.tx_malformed++;
			return false;
		}
		void *buffer = ixm_dma(m, IXM_DMA_TX_BUFFER, r->queue, d.address, length);
		if (!buffer)
			return false;
		memcpy(m->send + *bytes, buffer, length);
		*bytes += length;
	}
	return true;
}

/* 7.2.3.2.4: what the first descriptor asks for holds for the packet. */
static void packet_send(struct ixm *m, const struct ring *r, uint32_t head, unsigned bytes)
{
	struct descriptor d = fetch(r, head);
	unsigned index = d.status >> TXD_IDX_SHIFT & (IXM_CONTEXTS - 1);
	struct ixm_send s = {.bytes = bytes,
		.insert_tag = d.command & TXD_VLE,
		.segment = d.command & TXD_TSE,
		.ip_checksum = d.status & TXD_POPTS_IXSM,
		.l4_checksum = d.status & TXD_POPTS_TXSM,
		.payload = d.status >> TXD_PAYLEN_SHIFT,
		.context = &m->tx[r->queue].context[index],
		.queue = r->queue};

	ixm_send(m, &s);
}

static bool is_context(const struct descriptor *d)
{
	return (d->command & TXD_DEXT) && (d->command & TXD_DTYP) == TXD_DTYP_CONTEXT;
}

/* Takes one packet, or one context descriptor. False where there is none. */
static bool packet_take(struct ixm *m, struct ring *r)
{
	struct ixm_tx_queue *q = &m->tx[r->queue];
	uint32_t head = q->head;
	unsigned n = 1, bytes;

	if (head == r->tail)
		return false;
	struct descriptor first = fetch(r, head);
	if (is_context(&first)) {
		context_keep(m, r, head);
	} else {
		n = packet_descriptors(r, head);
		if (n == 0)
			return false;
		if (gather(m, r, head, n, &bytes))
			packet_send(m, r, head, bytes);
	}
	for (unsigned i = 0; i < n; i++) {
		struct descriptor d = fetch(r, q->head);
		done(m, r, q->head, &d);
		q->head = (q->head + 1) % r->size;
		m->count.tx_wrapped += q->head == 0;
		m->count.tx_descriptors++;
	}
	ixm_set(m, ixm_tx_register(m, r->queue, Q_HEAD), q->head);
	return true;
}

/* Nothing is fetched while the link is down (rests on Linux's ixgbe, which resets the device then, because
 * what is in the rings would never be done). */
bool ixm_tx_turn(struct ixm *m)
{
	bool moved = false;

	if (m->part->transmit_switch && !(ixm_get(m, DMATXCTL) & DMATXCTL_TE))
		return false;
	if (m->faults.tx_stuck || !ixm_link_up(m))
		return false;
	for (unsigned i = 0; i < m->part->queues; i++) {
		struct ring r;
		if (!m->tx[i].on || !ring_open(m, i, &r))
			continue;
		for (unsigned n = 0; n < IXM_TURN_FRAMES_MAX && !ixm_wire_full(m); n++) {
			if (!packet_take(m, &r))
				break;
			moved = true;
		}
	}
	return moved;
}
