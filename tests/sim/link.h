/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated link on a virtual clock: what all frames to one host have to pass. A queue in front of a
 * transmitter of a certain rate, then the wire with its seeded losses. Every frame is copied, as a wire does.
 */
#ifndef TESTS_SIM_LINK_H
#define TESTS_SIM_LINK_H

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/random.h"

enum { SIM_LINK_FRAMES_MAX = 4096 };

struct sim_link;

struct sim_link_conditions {
	uint32_t loss_permille;
	/* Gilbert and Elliott: bad times begin and end by chance, a frame at a time; frames are lost in them.
	 */
	uint32_t burst_begin_permille, burst_end_permille, burst_loss_permille;
	uint32_t duplicate_permille, reorder_permille, corrupt_permille;
	uint32_t delay_us, jitter_us; /* jitter alone keeps the order; reordered frames overtake within it */
	uint32_t blackout_permille;   /* per frame: a silence of up to 3 s begins, all is lost */
	uint32_t stall_permille;      /* per frame: nothing arrives for up to 1 s, then all of it */
	uint32_t rate_kbit;	      /* per second; 0: no transmitter, no queue */
	uint32_t queue_bytes, queue_frames; /* before the transmitter; beyond either, the newest is lost */
	uint32_t mark_bytes; /* from so full a queue on, packets that take part in ECN are marked; 0: never */
	uint32_t mtu;	     /* of IP packets; 0: any */
	bool mtu_silent;     /* what is too large vanishes without a word: a black hole */
	uint32_t cut_permille; /* somebody on the way cuts large packets into fragments, though they need not
				*/
};

struct sim_link_counts {
	uint64_t sent, lost, burst_lost, queue_lost, blackouts, stalls, duplicated, reordered, corrupted,
		marked, too_big, too_big_silent, cut, pool_empty;
};

struct sim_link {
	struct sim_link_conditions conditions;
	struct sim_random *random;
	struct rte_mempool *pool; /* of the copies */
	const uint64_t *now_us;
	const char *trace; /* a name: every frame is printed with it, and what becomes of it */
	/* Is told of a packet that did not fit, where the path says so; f is borrowed. */
	void (*too_big)(void *ctx, struct rte_mbuf *f, uint32_t mtu);
	/* Cuts f, which is borrowed, into fragments with so many bytes of payload, and sends them here. */
	void (*cut)(void *ctx, struct sim_link *l, struct rte_mbuf *f, uint32_t bytes);
	void *ctx;

	bool bad_times;
	uint64_t last_us, dark_until_us;
	uint64_t free_ns; /* when the transmitter has sent all that waits */
	uint64_t departs_us[SIM_LINK_FRAMES_MAX];
	unsigned depart_first, depart_count;
	struct {
		uint64_t at_us, order;
		struct rte_mbuf *m;
	} frames[SIM_LINK_FRAMES_MAX]; /* a heap: the earliest first */
	unsigned count;
	uint64_t order;
	struct sim_link_counts counts;
};

/* An empty link without conditions. */
void sim_link_init(
	struct sim_link *l, struct sim_random *random, struct rte_mempool *pool, const uint64_t *now_us);
/* Sends a copy of f; the caller keeps f. */
void sim_link_send(struct sim_link *l, struct rte_mbuf *f);
/* When the next frame arrives, or UINT64_MAX. */
uint64_t sim_link_next_us(const struct sim_link *l);
/* Takes up to n frames that have arrived; the caller owns them. */
unsigned sim_link_arrived(struct sim_link *l, struct rte_mbuf **frames, unsigned n);
void sim_link_clear(struct sim_link *l);

/* A frame's mark, which its copies inherit. */
enum { SIM_MARK_CORRUPT = 1u << 31 };
static inline uint32_t *sim_mark(struct rte_mbuf *m)
{
	return &m->hash.usr;
}

#endif
