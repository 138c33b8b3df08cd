/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/link.h"

#include <stdio.h>

#include "tests/sim/frame.h"

enum {
	BLACKOUT_US_MAX = 3000000,
	STALL_US_MAX = 1000000,
	FRAME_OVERHEAD_BYTES = 24,
	CUT_PAYLOAD_MIN = 100,
	CUT_PIECES_MAX = 6,
	CUT_BYTES_MIN = 80, /* all of TCP's header lies in the first */
};

void sim_link_init(
	struct sim_link *l, struct sim_random *random, struct rte_mempool *pool, const uint64_t *now_us)
{
	/* The arrays need no clearing. */
	l->conditions = (struct sim_link_conditions){0};
	l->counts = (struct sim_link_counts){0};
	l->random = random;
	l->pool = pool;
	l->now_us = now_us;
	l->trace = NULL;
	l->too_big = NULL;
	l->cut = NULL;
	l->bad_times = false;
	l->last_us = l->dark_until_us = l->free_ns = l->order = 0;
	l->depart_first = l->depart_count = l->count = 0;
}

static bool earlier(const struct sim_link *l, unsigned a, unsigned b)
{
	if (l->frames[a].at_us != l->frames[b].at_us)
		return l->frames[a].at_us < l->frames[b].at_us;
	return l->frames[a].order < l->frames[b].order;
}

static void swap(struct sim_link *l, unsigned a, unsigned b)
{
	__typeof__(l->frames[0]) t = l->frames[a];

	l->frames[a] = l->frames[b];
	l->frames[b] = t;
}

static void push(struct sim_link *l, struct rte_mbuf *m, uint64_t at_us)
{
	unsigned i = l->count++;

	l->frames[i].at_us = at_us;
	l->frames[i].order = l->order++;
	l->frames[i].m = m;
	for (; i && earlier(l, i, (i - 1) / 2); i = (i - 1) / 2)
		swap(l, i, (i - 1) / 2);
}

static struct rte_mbuf *pop(struct sim_link *l)
{
	struct rte_mbuf *m = l->frames[0].m;

	l->frames[0] = l->frames[--l->count];
	for (unsigned i = 0, k; (k = 2 * i + 1) < l->count; i = k) {
		if (k + 1 < l->count && earlier(l, k + 1, k))
			k++;
		if (!earlier(l, k, i))
			break;
		swap(l, i, k);
	}
	return m;
}

static void trace(const struct sim_link *l, struct rte_mbuf *f, const char *fate)
{
	if (!l->trace)
		return;
	printf("# %10llu to %s ", (unsigned long long)*l->now_us, l->trace);
	sim_frame_print(f);
	printf("%s%s\n", *fate ? " " : "", fate);
}

/* Moves what lies behind a random place into a second buffer, as a port with small buffers fills them. */
static void scatter(struct sim_link *l, struct rte_mbuf *m)
{
	struct rte_mbuf *rest;

	if (m->pkt_len <= SIM_FRAME_HEADERS_MAX || !sim_permille(l->random, 300) ||
		!(rest = rte_pktmbuf_alloc(l->pool)))
		return;
	uint16_t keep =
		(uint16_t)(SIM_FRAME_HEADERS_MAX + sim_below(l->random, m->pkt_len - SIM_FRAME_HEADERS_MAX));
	uint16_t moved = (uint16_t)(m->data_len - keep);
	memcpy(rte_pktmbuf_append(rest, moved), rte_pktmbuf_mtod_offset(m, uint8_t *, keep), moved);
	rte_pktmbuf_trim(m, moved);
	rte_pktmbuf_chain(m, rest);
}

static uint64_t transmit_ns(const struct sim_link *l, uint32_t bytes)
{
	return (bytes + FRAME_OVERHEAD_BYTES) * 8000000ull / l->conditions.rate_kbit;
}

/* How many bytes wait for the transmitter. */
static uint64_t queued_bytes(const struct sim_link *l)
{
	uint64_t now_ns = *l->now_us * 1000;

	return l->free_ns <= now_ns ? 0 : (l->free_ns - now_ns) * l->conditions.rate_kbit / 8000000;
}

/* Puts f behind what waits; *at_us becomes the time when it has left. False where the queue has no room. */
static bool queue(struct sim_link *l, struct rte_mbuf *f, uint64_t *at_us, bool *mark)
{
	const struct sim_link_conditions *c = &l->conditions;
	uint64_t now_ns = *l->now_us * 1000, waiting = queued_bytes(l);

	if (!c->rate_kbit)
		return true;
	for (; l->depart_count && l->departs_us[l->depart_first] <= *l->now_us; l->depart_count--)
		l->depart_first = (l->depart_first + 1) % SIM_LINK_FRAMES_MAX;
	if ((c->queue_bytes && waiting + f->pkt_len > c->queue_bytes) ||
		l->depart_count >= (c->queue_frames ? c->queue_frames : SIM_LINK_FRAMES_MAX))
		return false;
	*mark = c->mark_bytes && waiting >= c->mark_bytes;
	l->free_ns = RTE_MAX(l->free_ns, now_ns) + transmit_ns(l, f->pkt_len);
	*at_us = (l->free_ns + 999) / 1000;
	l->departs_us[(l->depart_first + l->depart_count++) % SIM_LINK_FRAMES_MAX] = *at_us;
	return true;
}

/* Copies f onto the wire, which it enters at sent_us. */
static void carry(struct sim_link *l, struct rte_mbuf *f, uint64_t sent_us, bool mark)
{
	const struct sim_link_conditions *c = &l->conditions;
	struct rte_mbuf *m;
	uint64_t at_us = sent_us + c->delay_us + (c->jitter_us ? sim_below(l->random, c->jitter_us) : 0);

	if (l->count == SIM_LINK_FRAMES_MAX || !(m = rte_pktmbuf_copy(f, l->pool, 0, UINT32_MAX))) {
		l->counts.pool_empty++;
		return;
	}
	if (mark)
		l->counts.marked += sim_frame_mark_ce(m);
	if (sim_permille(l->random, c->corrupt_permille) && sim_frame_corrupt(m, sim_random(l->random))) {
		l->counts.corrupted++;
		*sim_mark(m) |= SIM_MARK_CORRUPT;
	}
	scatter(l, m);
	if (sim_permille(l->random, c->reorder_permille)) {
		l->counts.reordered++;
		at_us += sim_below(l->random, 4 * (c->delay_us + 1));
	} else {
		at_us = RTE_MAX(at_us, l->last_us);
		l->last_us = at_us;
	}
	push(l, m, at_us);
}

static bool lost_by_chance(struct sim_link *l)
{
	const struct sim_link_conditions *c = &l->conditions;

	if (sim_permille(l->random, l->bad_times ? c->burst_end_permille : c->burst_begin_permille))
		l->bad_times = !l->bad_times;
	if (l->bad_times && sim_permille(l->random, c->burst_loss_permille)) {
		l->counts.burst_lost++;
		return true;
	}
	if (sim_permille(l->random, c->loss_permille)) {
		l->counts.lost++;
		return true;
	}
	return false;
}

/* How many bytes of payload each fragment gets, or 0: f stays as it is. */
static uint32_t cut_bytes(struct sim_link *l, const struct sim_frame *head)
{
	uint32_t mtu = l->conditions.mtu;

	if (!l->cut || !head->version || head->fragment)
		return 0;
	if (!head->df && mtu && head->ip_bytes > mtu)
		return (mtu - (head->l4_at - head->l3_at)) / 8 * 8;
	if (head->payload < CUT_PAYLOAD_MIN || !sim_permille(l->random, l->conditions.cut_permille))
		return 0;
	uint32_t pieces = 2 + sim_below(l->random, CUT_PIECES_MAX - 1);
	return RTE_MAX(head->l4_bytes / pieces / 8 * 8, (uint32_t)CUT_BYTES_MIN);
}

static bool cut(struct sim_link *l, struct rte_mbuf *f)
{
	struct sim_frame head;

	sim_frame_read(f, &head);
	uint32_t bytes = cut_bytes(l, &head);
	if (!bytes)
		return false;
	trace(l, f, "cut");
	l->counts.cut++;
	l->cut(l->ctx, l, f, bytes);
	return true;
}

static bool too_big(struct sim_link *l, struct rte_mbuf *f)
{
	struct sim_frame head;

	if (!l->conditions.mtu)
		return false;
	sim_frame_read(f, &head);
	/* Fragments have their sizes from whoever made them. */
	if (!head.version || head.fragment || head.ip_bytes <= l->conditions.mtu)
		return false;
	if (l->conditions.mtu_silent || !l->too_big) {
		l->counts.too_big_silent++;
	} else {
		l->counts.too_big++;
		l->too_big(l->ctx, f, l->conditions.mtu);
	}
	return true;
}

static void interrupt(struct sim_link *l)
{
	if (sim_permille(l->random, l->conditions.blackout_permille)) {
		l->counts.blackouts++;
		l->dark_until_us = *l->now_us + sim_below(l->random, BLACKOUT_US_MAX);
	}
	if (sim_permille(l->random, l->conditions.stall_permille)) {
		l->counts.stalls++;
		l->last_us = RTE_MAX(l->last_us, *l->now_us + sim_below(l->random, STALL_US_MAX));
	}
}

void sim_link_send(struct sim_link *l, struct rte_mbuf *f)
{
	uint64_t at_us = *l->now_us;
	bool mark = false;

	if (cut(l, f))
		return;
	l->counts.sent++;
	interrupt(l);
	if (*l->now_us < l->dark_until_us) {
		trace(l, f, "lost in the dark");
	} else if (too_big(l, f)) {
		trace(l, f, "too big");
	} else if (!queue(l, f, &at_us, &mark)) {
		l->counts.queue_lost++;
		trace(l, f, "lost before a full queue");
	} else if (lost_by_chance(l)) {
		trace(l, f, "lost");
	} else {
		trace(l, f, mark ? "marked" : "");
		carry(l, f, at_us, mark);
		if (sim_permille(l->random, l->conditions.duplicate_permille)) {
			l->counts.duplicated++;
			carry(l, f, at_us, mark);
		}
	}
}

uint64_t sim_link_next_us(const struct sim_link *l)
{
	return l->count ? l->frames[0].at_us : UINT64_MAX;
}

unsigned sim_link_arrived(struct sim_link *l, struct rte_mbuf **frames, unsigned n)
{
	unsigned k = 0;

	while (k < n && l->count && l->frames[0].at_us <= *l->now_us)
		frames[k++] = pop(l);
	return k;
}

void sim_link_clear(struct sim_link *l)
{
	while (l->count)
		rte_pktmbuf_free(pop(l));
}
