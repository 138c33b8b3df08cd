/* SPDX-License-Identifier: Apache-2.0 */
/* Positions count bytes and never wrap (64 bits). A record lies in one piece: what is left at the ring's end
 * is skipped, with a mark. Records begin at multiples of their header's size, so a mark always has room. */
#include "transport/capture.h"

#include "runtime/check.h"
#include "runtime/wire.h"

#include <stdlib.h>
#include <string.h>

enum {
	LINE_BYTES = 64,
	GRAIN = sizeof(struct capture_record),
	SKIP = UINT32_MAX,
	MAC_BYTES = 6,
	TAG_BYTES = 4
};
_Static_assert(GRAIN == 32, "a power of two that divides the ring");

/* What capture_stage found out of a frame. */
enum fate { UNWANTED, LOST, STORED };

struct capture {
	struct capture_config config;
	/* The core's. */
	__attribute__((aligned(LINE_BYTES))) uint64_t head;
	uint64_t tail_seen;
	uint64_t packets;
	uint32_t lost_before;
	struct capture_stats stats;
	unsigned staged;
	uint8_t fates[CAPTURE_BURST];
	uint64_t ends[CAPTURE_BURST]; /* head after each staged frame */
	/* The reader's. */
	__attribute__((aligned(LINE_BYTES))) uint64_t tail;
	__attribute__((aligned(LINE_BYTES))) uint8_t ring[];
};

static struct capture_record *record_at(struct capture *c, uint64_t position)
{
	return (struct capture_record *)(c->ring + (position & (c->config.ring_bytes - 1)));
}

static uint32_t record_bytes(uint32_t captured)
{
	return (uint32_t)((GRAIN + (uint64_t)captured + GRAIN - 1) & ~(uint64_t)(GRAIN - 1));
}

struct capture *capture_create(const struct capture_config *config)
{
	MUST(config->ring_bytes >= CAPTURE_RING_BYTES_MIN && config->ring_bytes <= CAPTURE_RING_BYTES_MAX &&
		(config->ring_bytes & (config->ring_bytes - 1)) == 0);
	MUST(config->snaplen >= 1 && config->snaplen <= CAPTURE_SNAPLEN_MAX);

	size_t bytes = sizeof(struct capture) + config->ring_bytes;
	struct capture *c = aligned_alloc(LINE_BYTES, bytes);
	if (!c)
		return NULL;
	memset(c, 0, bytes);
	c->config = *config;
	return c;
}

void capture_destroy(struct capture *c)
{
	free(c);
}

static uint64_t room_after(struct capture *c, uint64_t position)
{
	return c->config.ring_bytes - (position - c->tail_seen);
}

/* Where a record of this many bytes may begin, at or behind position; UINT64_MAX: no room. */
static uint64_t place(struct capture *c, uint64_t position, uint32_t bytes)
{
	uint64_t to_end = c->config.ring_bytes - (position & (c->config.ring_bytes - 1));
	uint64_t skipped = to_end < bytes ? to_end : 0;

	if (skipped + bytes > room_after(c, position)) {
		c->tail_seen = __atomic_load_n(&c->tail, __ATOMIC_ACQUIRE);
		if (skipped + bytes > room_after(c, position))
			return UINT64_MAX;
	}
	if (skipped)
		record_at(c, position)->captured_bytes = SKIP;
	return position + skipped;
}

/* The tag that the device took off, or will put in: the wire has it. */
static bool has_offloaded_tag(const struct rte_mbuf *m, enum capture_direction direction)
{
	uint64_t flag = direction == CAPTURE_IN ? RTE_MBUF_F_RX_VLAN_STRIPPED : RTE_MBUF_F_TX_VLAN;
	return (m->ol_flags & flag) != 0 && m->data_len >= 2 * MAC_BYTES;
}

static void copy_frame(uint8_t *to, const struct rte_mbuf *m, uint32_t skip, uint32_t n)
{
	for (; n && m; m = m->next) {
		uint32_t there = m->data_len - skip;
		uint32_t part = there < n ? there : n;
		memcpy(to, rte_pktmbuf_mtod_offset(m, const uint8_t *, skip), part);
		to += part;
		n -= part;
		skip = 0;
	}
}

/* The bytes of a frame into which a tag is put back. */
static void copy_tagged(uint8_t *to, const struct rte_mbuf *m, uint32_t n)
{
	uint8_t start[2 * MAC_BYTES + TAG_BYTES];
	uint32_t part = n < sizeof(start) ? n : (uint32_t)sizeof(start);

	memcpy(start, rte_pktmbuf_mtod(m, const uint8_t *), 2 * MAC_BYTES);
	wire_put16(start + 2 * MAC_BYTES, 0x8100);
	wire_put16(start + 2 * MAC_BYTES + 2, m->vlan_tci);
	memcpy(to, start, part);
	copy_frame(to + part, m, 2 * MAC_BYTES, n - part);
}

static enum fate stage_one(
	struct capture *c, const struct rte_mbuf *m, uint64_t *position, struct capture_record *r)
{
	if (!capture_filter_match(&c->config.filter, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len))
		return UNWANTED;
	bool tagged = has_offloaded_tag(m, r->direction);
	uint64_t flags = r->direction == CAPTURE_OUT ? m->ol_flags : 0;

	r->frame_bytes = m->pkt_len + (tagged ? TAG_BYTES : 0);
	r->captured_bytes = r->frame_bytes < c->config.snaplen ? r->frame_bytes : c->config.snaplen;
	uint32_t bytes = record_bytes(r->captured_bytes);
	uint64_t at = place(c, *position, bytes);
	if (at == UINT64_MAX)
		return LOST;
	r->ipv4_checksum_missing = (flags & RTE_MBUF_F_TX_IP_CKSUM) != 0;
	r->tcp_checksum_missing = (flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM ||
				  (flags & RTE_MBUF_F_TX_TCP_SEG) != 0;
	r->l2_bytes = (uint8_t)(m->l2_len + (tagged ? TAG_BYTES : 0));
	r->l3_bytes = (uint16_t)m->l3_len;
	struct capture_record *to = record_at(c, at);
	*to = *r;
	if (tagged)
		copy_tagged((uint8_t *)(to + 1), m, r->captured_bytes);
	else
		copy_frame((uint8_t *)(to + 1), m, 0, r->captured_bytes);
	*position = at + bytes;
	return STORED;
}

void capture_stage(
	struct capture *c, struct rte_mbuf *const *frames, unsigned n, enum capture_direction direction)
{
	uint64_t position = c->head, packets = c->packets;
	struct capture_record r = {.direction = (uint8_t)direction, .lost_before = c->lost_before};

	MUST(n <= CAPTURE_BURST);
	c->staged = n;
	if (packets < c->config.packets_max)
		r.time_ns = c->config.clock_ns();
	for (unsigned i = 0; i < n; i++) {
		enum fate fate = UNWANTED;
		if (packets < c->config.packets_max)
			fate = stage_one(c, frames[i], &position, &r);
		packets += fate == STORED;
		r.lost_before = fate == STORED ? 0 : r.lost_before + (fate == LOST);
		c->fates[i] = (uint8_t)fate;
		c->ends[i] = position;
	}
}

/* Written by the core alone, read by others as a snapshot. */
static void add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

void capture_commit(struct capture *c, unsigned n)
{
	MUST(n <= c->staged);
	c->staged = 0;
	if (n == 0 || c->packets >= c->config.packets_max)
		return;
	for (unsigned i = 0; i < n; i++) {
		c->packets += c->fates[i] == STORED;
		c->lost_before = c->fates[i] == STORED ? 0 : c->lost_before + (c->fates[i] == LOST);
		add(&c->stats.matched, c->fates[i] != UNWANTED);
		add(&c->stats.lost, c->fates[i] == LOST);
	}
	add(&c->stats.seen, n);
	__atomic_store_n(&c->head, c->ends[n - 1], __ATOMIC_RELEASE);
}

const struct capture_record *capture_peek(struct capture *c)
{
	uint64_t head = __atomic_load_n(&c->head, __ATOMIC_ACQUIRE), tail = c->tail;

	if (tail == head)
		return NULL;
	if (record_at(c, tail)->captured_bytes == SKIP) {
		tail += c->config.ring_bytes - (tail & (c->config.ring_bytes - 1));
		__atomic_store_n(&c->tail, tail, __ATOMIC_RELEASE);
	}
	return record_at(c, tail);
}

void capture_pop(struct capture *c)
{
	uint64_t tail = c->tail;

	MUST(tail != __atomic_load_n(&c->head, __ATOMIC_ACQUIRE));
	tail += record_bytes(record_at(c, tail)->captured_bytes);
	__atomic_store_n(&c->tail, tail, __ATOMIC_RELEASE);
}

struct capture_stats capture_stats(const struct capture *c)
{
	return (struct capture_stats){
		.seen = __atomic_load_n(&c->stats.seen, __ATOMIC_RELAXED),
		.matched = __atomic_load_n(&c->stats.matched, __ATOMIC_RELAXED),
		.lost = __atomic_load_n(&c->stats.lost, __ATOMIC_RELAXED),
	};
}
