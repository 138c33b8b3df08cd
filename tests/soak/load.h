/* SPDX-License-Identifier: Apache-2.0 */
/* All sessions on one thread and one epoll: a window of them is at work at a time, the others are connected
 * and quiet. As fast as the broker answers; no step waits for a clock but those that stall on purpose. */
#ifndef SOAK_LOAD_H
#define SOAK_LOAD_H

#include <netinet/in.h>

#include "tests/soak/session.h"

enum { LISTENERS_MAX = 4, SHARED_QUEUES = 16, FANOUT_EACH = 64 };

struct load_counts {
#define X(name) uint64_t name;
#include "tests/soak/counts.def"
#undef X
};

enum load_mode { LOAD_IDLE, LOAD_FILLING, LOAD_CHURNING, LOAD_SETTLING, LOAD_EMPTYING, LOAD_ADMIN };

struct load {
	struct sockaddr_in listeners[LISTENERS_MAX];
	unsigned listener_count, session_count, window;
	struct session *sessions; /* one more: the one that makes and deletes what all share */
	uint32_t *resting, resting_count;
	unsigned active, stalled, alive;
	enum load_mode mode;
	int epoll_fd;
	uint64_t now_us, until_us, looked_us;
	uint64_t random;
	struct load_counts counts;
	struct load_counts counts_began;
	uint64_t cpu_began_us, began_us;
};

uint64_t clock_us(void);
/* Below n. */
uint32_t load_random(struct load *l, uint32_t n);

/* A session's step is over, or its life (its descriptor is closed). */
void load_session_rests(struct session *s);
void load_session_gone(struct session *s);
void load_session_stalls(struct session *s, uint64_t us);
void load_watch(struct session *s);

/* Commands from stdin until its end: fill, churn SECONDS, empty. Each is answered by a line of JSON. */
int load_run(struct load *l);

/* bystander.c */
int bystander_run(const struct sockaddr_in *listeners, unsigned count);

#endif
