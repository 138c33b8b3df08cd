/* SPDX-License-Identifier: Apache-2.0 */
/* The clients of one core: a TCP stack of their own on the other end of the core's rings. What they cost is
 * measured apart from what is measured. */
#ifndef BENCH_DATAPLANE_LOAD_H
#define BENCH_DATAPLANE_LOAD_H

#include "bench/dataplane/core.h"
#include "bench/dataplane/ear.h"
#include "bench/dataplane/plan.h"
#include "tcpstack/tcp.h"

enum { LOAD_SENT_MAX = 4096 };

struct load_client {
	struct load *load;
	const struct plan_client *plan;
	struct tcp_conn *conn;
	struct ear ear;
	size_t setup_at, lap_at;
	uint64_t run_bytes; /* received since it counts */
	uint64_t acked;	    /* deliveries */
	bool connected;
};

struct load {
	const struct bench_options *o;
	struct core *core;
	struct plan plan;
	struct stack *stack;
	struct rte_mempool *pool;
	struct load_client *clients; /* the plan's: admin, consumers, publishers */
	unsigned client_count;
	struct load_client *publishers;
	unsigned publisher_at;		      /* whose turn it is */
	struct rte_mbuf *sent[LOAD_SENT_MAX]; /* by the clients, not with the core yet */
	unsigned sent_count;
	uint64_t published, delivered; /* in all */
	uint64_t behind_backlog; /* published, in bytes: since consumers acknowledge, and never cleared */
};

void load_open(struct load *l, struct core *core, const struct bench_options *o, uint64_t now_us);
void load_close(struct load *l);

/* Before a turn: what publishers send in it. After: what the core sent is received and answered. */
void load_publish(struct load *l, uint64_t now_us);
void load_receive(struct load *l, uint64_t now_us);

/* What the clients have sent since goes to the core. */
void load_hand_over(struct load *l);

/* Opens so many clients more from `first` on; false while they are not done with their setup. */
void load_connect(struct load *l, unsigned first, unsigned n, uint64_t now_us);
bool load_settled(const struct load *l, unsigned first, unsigned n);

/* From now on readers only count: every consumer has seen a delivery, and nothing is under way. Consumers
 * begin to acknowledge: before, that would have eaten a backlog. And where there is one they acknowledge as
 * much as is published from now on, so that it stays. */
void load_learned(struct load *l);

#endif
