/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated link on a virtual clock: one direction between two stacks, with seeded loss, duplication,
 * reordering, corruption, delay and black-outs. Every frame is copied, as a wire does. */
#ifndef TESTS_SIM_LINK_H
#define TESTS_SIM_LINK_H

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

enum { SIM_LINK_FRAMES_MAX = 4096 };

struct sim_random {
	uint64_t state;
};

/* xorshift; the state is not 0. */
uint64_t sim_random(struct sim_random *r);
/* 0 to n - 1; n is not 0. */
uint32_t sim_below(struct sim_random *r, uint32_t n);
/* True in n of 1000 cases. */
bool sim_permille(struct sim_random *r, uint32_t n);

struct sim_link_conditions {
	uint32_t loss_permille, duplicate_permille, reorder_permille, corrupt_permille;
	uint32_t delay_us, jitter_us; /* jitter alone keeps the order; reordered frames overtake within it */
	uint32_t blackout_permille;   /* per frame: a silence of up to 3 s begins */
};

struct sim_link {
	struct sim_link_conditions conditions;
	struct sim_random *random;
	struct rte_mempool *pool; /* of the copies */
	const uint64_t *now_us;
	const char *trace; /* a name: every frame is printed with it, and what becomes of it */
	uint64_t last_us, dark_until_us;
	struct {
		uint64_t at_us, order;
		struct rte_mbuf *m;
	} frames[SIM_LINK_FRAMES_MAX]; /* a heap: the earliest first */
	unsigned count;
	uint64_t order;
	uint64_t lost, duplicated, reordered, corrupted;
};

/* A stack's tx function; ctx is the link. */
void sim_link_tx(void *ctx, struct rte_mbuf **frames_take, unsigned n);
/* When the next frame arrives, or UINT64_MAX. */
uint64_t sim_link_next_us(const struct sim_link *l);
/* Takes up to n frames that have arrived; the caller owns them. */
unsigned sim_link_arrived(struct sim_link *l, struct rte_mbuf **frames, unsigned n);
void sim_link_clear(struct sim_link *l);

#endif
