/* SPDX-License-Identifier: Apache-2.0 */
/* The queues and exchanges of the simulation, and which queues a message must and may reach. */
#ifndef TESTS_WORLD_MAP_H
#define TESTS_WORLD_MAP_H

#include <stdbool.h>
#include <stdint.h>

/* Queues by index. What stays is made at the beginning and bound for good.
 *   strict  acknowledged and never purged: of these nothing may be lost
 *   loose   purged, and consumed without acknowledgements as well
 *   brief   declared and deleted all the time; some auto-delete
 *   own     exclusive
 *   wide    strict, many, for the fan-out */
enum {
	MAP_STRICT = 0,
	MAP_STILL = 3, /* strict, and not consumed but by gets: its count can be foretold */
	MAP_LOOSE = 4,
	MAP_BRIEF = 8,
	MAP_AUTO_DELETE = 10,
	MAP_OWN = 12,
	MAP_WIDE = 14,
	MAP_WIDE_QUEUES = 70,
	MAP_QUEUES_MAX = MAP_WIDE + MAP_WIDE_QUEUES,
};

struct map_set {
	uint64_t bits[2];
};

static inline bool map_has(const struct map_set *s, unsigned q)
{
	return s->bits[q / 64] >> (q % 64) & 1;
}

static inline void map_add(struct map_set *s, unsigned q)
{
	s->bits[q / 64] |= UINT64_C(1) << (q % 64);
}

static inline bool map_empty(const struct map_set *s)
{
	return !s->bits[0] && !s->bits[1];
}

static inline bool map_strict(unsigned q)
{
	return q < MAP_LOOSE || q >= MAP_WIDE;
}

static inline bool map_stays(unsigned q)
{
	return q < MAP_BRIEF || q >= MAP_WIDE;
}

/* "s0" to "w69"; valid until the fourth call from now. */
const char *map_queue(unsigned q);

/* A binding that stays: the index-th; false when there are no more. */
struct map_binding {
	const char *exchange, *key;
	unsigned queue;
	bool header; /* by the header k = 1 instead of a key */
};
bool map_binding(unsigned index, bool wide, struct map_binding *out);

/* Where a message may go: some exchange and key. */
struct map_route {
	const char *exchange, *key;
	bool header;	  /* with the header k = 1 */
	bool may_be_gone; /* the exchange comes and goes */
	struct map_set must, may;
};
void map_route_to(struct map_route *r, unsigned queue); /* by its name */
/* By chance. */
void map_route_choose(struct map_route *r, bool wide);

/* Exchanges and keys of bindings that come and go. */
void map_churn_choose(const char **exchange, const char **key);
#define MAP_CHURN_EXCHANGE "vx"
#define MAP_WIDE_EXCHANGE  "wx"

#endif
