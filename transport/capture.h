/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of a port's frames, from the data core that has them to the control thread that writes them: a
 * bounded ring of records of any length. The core filters, cuts and copies, and never waits: what finds no
 * room is counted. One core at one end, one thread at the other. */
#ifndef TRANSPORT_CAPTURE_H
#define TRANSPORT_CAPTURE_H

#include <rte_mbuf.h>
#include <stdint.h>

#include "transport/capture_filter.h"

enum {
	CAPTURE_RING_BYTES_MIN = 1 << 12,
	CAPTURE_RING_BYTES_MAX = 1 << 30,
	CAPTURE_SNAPLEN_MAX = 1 << 18, /* longer than any frame */
	CAPTURE_BURST = 32,
};

enum capture_direction { CAPTURE_IN = 1, CAPTURE_OUT = 2 }; /* as pcapng numbers them */

/* A frame's bytes follow it. */
struct capture_record {
	uint64_t time_ns; /* of its burst */
	uint32_t frame_bytes;
	uint32_t captured_bytes; /* the first of them that were taken */
	uint32_t lost_before;	 /* frames that found no room since the record before */
	uint8_t direction;	 /* enum capture_direction */
	/* What the device fills in on the way out, and is not there yet. */
	bool ipv4_checksum_missing, tcp_checksum_missing;
	uint8_t l2_bytes;
	uint16_t l3_bytes;
	uint16_t pad[3];
};

struct capture_stats {
	uint64_t seen;	  /* frames that passed the port, wanted or not */
	uint64_t matched; /* those that the filter wants */
	uint64_t lost;	  /* of the matched: found no room */
};

struct capture_config {
	uint32_t ring_bytes;  /* a power of two in the range above; less than one frame loses every one */
	uint32_t snaplen;     /* 1 to CAPTURE_SNAPLEN_MAX */
	uint64_t packets_max; /* records at most: nothing is looked at afterwards */
	struct capture_filter filter;
	uint64_t (*clock_ns)(void); /* since 1970; called once a burst, on the core */
};

struct capture;

/* NULL without memory. Touches all of it, so that the core need not. Any thread. */
struct capture *capture_create(const struct capture_config *config);
void capture_destroy(struct capture *c);

/* The core. Looks at n (at most CAPTURE_BURST) frames, which stay the caller's and as they are; nothing is
 * visible to the reader before capture_commit says how many of them, from the first, really passed. */
void capture_stage(
	struct capture *c, struct rte_mbuf *const *frames, unsigned n, enum capture_direction direction);
void capture_commit(struct capture *c, unsigned n);

/* The reader. The oldest record, borrowed until capture_pop, or NULL. */
const struct capture_record *capture_peek(struct capture *c);
static inline const uint8_t *capture_bytes(const struct capture_record *r)
{
	return (const uint8_t *)(r + 1);
}
void capture_pop(struct capture *c);

/* A snapshot, any thread. */
struct capture_stats capture_stats(const struct capture *c);

#endif
