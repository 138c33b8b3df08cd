/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/port_spread.h"
#include "runtime/check.h"
#include "runtime/ring.h"

#include <rte_branch_prediction.h>
#include <rte_mbuf_dyn.h>
#include <rte_prefetch.h>
#include <stdlib.h>
#include <string.h>

enum {
	LINE_BYTES = 64,
	RINGS_FRAMES = 1024, /* that one core's rings to all others hold together */
	RING_FRAMES_MIN = 64,
};

/* What one core owns, and the word that others write. */
struct end {
	__attribute__((aligned(LINE_BYTES)))
	uint64_t pending;				     /* a bit for each core that has put something */
	__attribute__((aligned(LINE_BYTES))) uint64_t carry; /* those whose rings were not emptied */
	uint64_t touched;				     /* cores given to in this burst */
	unsigned next;					     /* whose ring comes first */
	struct port_spread_counters counters;
	void (*wake)(void *ctx);
	void *wake_ctx;
};

struct port_spread {
	struct toeplitz hash;
	unsigned cores, entries, ring_frames;
	struct rte_mempool *pool;
	uint64_t seen; /* mbuf flag; 0: none could be had, and a capture has some frames several times */
	uint8_t core_of[PORT_SPREAD_ENTRIES_MAX];
	struct end ends[PORT_SPREAD_CORES_MAX];
	struct ring *rings[]; /* [from * cores + to]; NULL where they are the same */
};

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static struct ring *ring_of(const struct port_spread *s, unsigned from, unsigned to)
{
	return s->rings[from * s->cores + to];
}

static unsigned ring_frames(unsigned cores)
{
	unsigned n = RINGS_FRAMES;

	while (n > RING_FRAMES_MIN && n * (cores - 1) > RINGS_FRAMES)
		n /= 2;
	return n;
}

unsigned port_spread_frames_max(unsigned cores, unsigned queues)
{
	return cores < 2 ? 0 : queues * (cores - 1) * ring_frames(cores);
}

static uint64_t seen_flag(void)
{
	static const struct rte_mbuf_dynflag flag = {.name = "godwit_seen"};
	int bit = rte_mbuf_dynflag_register(&flag);

	return bit < 0 ? 0 : UINT64_C(1) << bit;
}

bool port_spread_seen(const struct port_spread *s, const struct rte_mbuf *m)
{
	return (m->ol_flags & s->seen) != 0;
}

struct port_spread *port_spread_create(const struct port_spread_config *config)
{
	unsigned cores = config->cores, entries = config->entries;

	MUST(cores >= 2 && cores <= PORT_SPREAD_CORES_MAX);
	MUST(entries && entries <= PORT_SPREAD_ENTRIES_MAX && (entries & (entries - 1)) == 0);
	size_t bytes = sizeof(struct port_spread) + cores * cores * sizeof(struct ring *);
	bytes = (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
	struct port_spread *s = aligned_alloc(LINE_BYTES, bytes);
	if (!s)
		return NULL;
	memset(s, 0, bytes);
	s->cores = cores;
	s->entries = entries;
	s->ring_frames = ring_frames(cores);
	s->pool = config->pool;
	s->seen = seen_flag();
	toeplitz_init(&s->hash, config->key);
	for (unsigned i = 0; i < entries; i++)
		s->core_of[i] = (uint8_t)(i % cores);
	for (unsigned i = 0; i < cores * cores; i++) {
		if (i / cores == i % cores)
			continue;
		s->rings[i] = ring_create(sizeof(struct rte_mbuf *), s->ring_frames);
		if (!s->rings[i]) {
			port_spread_destroy(s);
			return NULL;
		}
	}
	return s;
}

void port_spread_destroy(struct port_spread *s)
{
	struct rte_mbuf *frames[PORT_SPREAD_BURST];
	unsigned n;

	for (unsigned i = 0; s && i < s->cores * s->cores; i++) {
		if (!s->rings[i])
			continue;
		while ((n = ring_pop(s->rings[i], frames, PORT_SPREAD_BURST)))
			rte_pktmbuf_free_bulk(frames, n);
		ring_destroy(s->rings[i]);
	}
	free(s);
}

void port_spread_set_wake(struct port_spread *s, unsigned core, void (*wake)(void *ctx), void *ctx)
{
	s->ends[core].wake = wake;
	s->ends[core].wake_ctx = ctx;
}

unsigned port_spread_entry(const struct port_spread *s, unsigned entry)
{
	return s->core_of[entry & (s->entries - 1)];
}

unsigned port_spread_owner(
	const struct port_spread *s, bool v6, const uint8_t *addresses, const uint8_t *ports)
{
	return port_spread_entry(
		s, v6 ? toeplitz_v6(&s->hash, addresses, ports) : toeplitz_v4(&s->hash, addresses, ports));
}

static bool give(struct port_spread *s, unsigned from, unsigned to, struct rte_mbuf *m)
{
	struct end *e = &s->ends[from];

	if (unlikely(ring_push(ring_of(s, from, to), &m, 1) == 0)) {
		count(&e->counters.full, 1);
		rte_pktmbuf_free(m);
		return false;
	}
	count(&e->counters.given, 1);
	e->touched |= UINT64_C(1) << to;
	return true;
}

/* Cores are told once a burst. */
static void tell(struct port_spread *s, unsigned from)
{
	struct end *e = &s->ends[from];

	for (; e->touched; e->touched &= e->touched - 1) {
		struct end *to = &s->ends[__builtin_ctzll(e->touched)];
		__atomic_fetch_or(&to->pending, UINT64_C(1) << from, __ATOMIC_SEQ_CST);
		if (to->wake)
			to->wake(to->wake_ctx);
	}
}

/* Each core has a frame of its own to change. The first core, which alone answers, gets the one that came: a
 * copy may fail. Returns the frame that is core's own, or NULL. */
static struct rte_mbuf *give_all(struct port_spread *s, unsigned core, struct rte_mbuf *m)
{
	struct rte_mbuf *own = core == 0 ? m : NULL;

	for (unsigned i = s->cores; i-- > 1;) {
		if (i != core && ring_used(ring_of(s, core, i)) == s->ring_frames) {
			count(&s->ends[core].counters.full, 1);
			continue;
		}
		struct rte_mbuf *copy = rte_pktmbuf_copy(m, s->pool, 0, UINT32_MAX);
		if (copy)
			copy->ol_flags |= s->seen;
		if (!copy)
			count(&s->ends[core].counters.copy_none, 1);
		else if (i == core)
			own = copy;
		else
			give(s, core, i, copy);
	}
	if (core != 0)
		give(s, core, 0, m);
	return own;
}

/* Where m stays with core, or a copy of it does: that; else NULL. */
static struct rte_mbuf *sort_one(struct port_spread *s, unsigned core, struct rte_mbuf *m)
{
	uint32_t hash;
	unsigned to = 0;

	switch (port_classify(&s->hash, m, &hash)) {
	case PORT_CLASS_HASH:
		to = port_spread_entry(s, hash);
		break;
	case PORT_CLASS_FIRST:
		break;
	case PORT_CLASS_ALL:
		return give_all(s, core, m);
	}
	if (likely(to == core))
		return m;
	give(s, core, to, m);
	return NULL;
}

unsigned port_spread_sort(struct port_spread *s, unsigned core, struct rte_mbuf **frames, unsigned n)
{
	unsigned stay = 0;

	for (unsigned i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(frames[i], const void *));
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *own = sort_one(s, core, frames[i]);
		if (own)
			frames[stay++] = own;
	}
	tell(s, core);
	return stay;
}

unsigned port_spread_take(struct port_spread *s, unsigned core, struct rte_mbuf **frames, unsigned n)
{
	struct end *e = &s->ends[core];
	unsigned got = 0;

	if (__atomic_load_n(&e->pending, __ATOMIC_RELAXED))
		e->carry |= __atomic_exchange_n(&e->pending, 0, __ATOMIC_SEQ_CST);
	if (likely(e->carry == 0))
		return 0;
	/* From a different ring each time: where frames are many, nobody's wait for ever. */
	unsigned first = e->next++ % s->cores;
	for (unsigned i = 0; i < s->cores && got < n; i++) {
		unsigned from = first + i < s->cores ? first + i : first + i - s->cores;
		uint64_t bit = UINT64_C(1) << from;
		if (!(e->carry & bit))
			continue;
		got += ring_pop(ring_of(s, from, core), frames + got, n - got);
		if (got < n)
			e->carry &= ~bit;
	}
	return got;
}

bool port_spread_hand_over(struct port_spread *s, unsigned core, struct rte_mbuf *m)
{
	uint32_t hash;

	if (port_classify(&s->hash, m, &hash) != PORT_CLASS_HASH || port_spread_entry(s, hash) == core)
		return false;
	m->ol_flags |= s->seen;
	give(s, core, port_spread_entry(s, hash), m);
	tell(s, core);
	return true;
}

struct port_spread_counters port_spread_counters(const struct port_spread *s, unsigned core)
{
	const struct port_spread_counters *c = &s->ends[core].counters;

	return (struct port_spread_counters){
		.given = __atomic_load_n(&c->given, __ATOMIC_RELAXED),
		.full = __atomic_load_n(&c->full, __ATOMIC_RELAXED),
		.copy_none = __atomic_load_n(&c->copy_none, __ATOMIC_RELAXED),
	};
}

unsigned port_spread_waiting(const struct port_spread *s, unsigned core)
{
	unsigned n = 0;

	for (unsigned from = 0; from < s->cores; from++)
		if (from != core)
			n += ring_used(ring_of(s, from, core));
	return n;
}

unsigned port_spread_room(const struct port_spread *s)
{
	return (s->cores - 1) * s->ring_frames;
}
