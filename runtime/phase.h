/* SPDX-License-Identifier: Apache-2.0 */
/* What a core is doing at this moment: one word a core, which the core writes where its work changes, and
 * which somebody else looks at some thousand times a second while he wants to know where the time goes. The
 * core reads no clock and counts nothing for it: a store costs it a cycle, whether anybody looks or not. */
#ifndef RUNTIME_PHASE_H
#define RUNTIME_PHASE_H

#include <stdint.h>

/* In the order in which a message meets them. Text is what `godwitctl profile` prints. */
#define PHASES(X)                                                                          \
	X(IDLE, "idle", "asleep, or between two turns")                                    \
	X(OTHER, "other", "the turn itself, timers, the control thread's questions")       \
	X(RX, "rx", "frames or bytes from the port or the kernel, an empty look included") \
	X(TCP_IN, "tcp in", "the stack: frames into byte streams, acknowledgements")       \
	X(FRAME, "frame", "AMQP frames, methods, settlements")                             \
	X(MESSAGE, "message", "memory for a message, and its body copied there")           \
	X(ROUTE, "route", "from exchange and key to queues")                               \
	X(QUEUE, "queue", "into queues, here and on other cores")                          \
	X(DELIVER, "deliver", "from queues to consumers, and delivery frames")             \
	X(TCP_OUT, "tcp out", "the stack: bytes into segments")                            \
	X(TX, "tx", "frames or bytes to the port or the kernel")

enum phase {
#define X(id, name, text) PHASE_##id,
	PHASES(X)
#undef X
		PHASE_COUNT
};

struct phase_mark {
	uint8_t now;
};

/* The core: from here on it does that. Returns what it did before, for phase_leave. */
static inline enum phase phase_enter(struct phase_mark *m, enum phase p)
{
	enum phase before = (enum phase)m->now;

	__atomic_store_n(&m->now, (uint8_t)p, __ATOMIC_RELAXED);
	return before;
}

static inline void phase_leave(struct phase_mark *m, enum phase before)
{
	__atomic_store_n(&m->now, (uint8_t)before, __ATOMIC_RELAXED);
}

/* Any thread. */
static inline enum phase phase_look(const struct phase_mark *m)
{
	return (enum phase)__atomic_load_n(&m->now, __ATOMIC_RELAXED);
}

/* How often each phase was seen. */
struct phase_count {
	uint64_t seen[PHASE_COUNT];
};

/* Looks at marks from a thread of its own, at random times, mean_us apart on average (20 to 1,000,000; the
 * kernel's sleep adds some 10): random, so that nothing that repeats hides from it. Marks are borrowed, at
 * most 64 (MUST). NULL: no memory or no thread. Any thread. */
struct phase_watch;
struct phase_watch *phase_watch_start(struct phase_mark *const *marks, unsigned count, unsigned mean_us);
/* Ends the thread and gives what it saw: one phase_count for each mark, in their order. */
void phase_watch_stop(struct phase_watch *w, struct phase_count *out);

/* "tcp in" and so on; and what it means. */
const char *phase_name(enum phase p);
const char *phase_text(enum phase p);

#endif
