/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/link.h"

#include <stdio.h>

#include "runtime/wire.h"

enum { ETH_BYTES = 14, ETH_TYPE_AT = 12 };

uint64_t sim_random(struct sim_random *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return r->state * 0x2545f4914f6cdd1dull;
}

uint32_t sim_below(struct sim_random *r, uint32_t n)
{
	return (uint32_t)((sim_random(r) >> 32) * n >> 32);
}

bool sim_permille(struct sim_random *r, uint32_t n)
{
	return n && sim_below(r, 1000) < n;
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

/* One bit, which every checksum sees; not in the Ethernet header or in ARP, which have none. */
static void corrupt(struct sim_link *l, struct rte_mbuf *m)
{
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);

	if (p[ETH_TYPE_AT] != 8 || p[ETH_TYPE_AT + 1] != 0)
		return;
	l->corrupted++;
	p[ETH_BYTES + sim_below(l->random, m->data_len - ETH_BYTES)] ^=
		(uint8_t)(1 << sim_below(l->random, 8));
}

static void trace(const struct sim_link *l, const struct rte_mbuf *f, const char *fate)
{
	const uint8_t *p = rte_pktmbuf_mtod(f, const uint8_t *), *t = p + ETH_BYTES + 20;

	if (!l->trace)
		return;
	printf("# %10llu %s ", (unsigned long long)*l->now_us, l->trace);
	if (p[ETH_TYPE_AT + 1] == 0 && p[23] == 6)
		printf("%u>%u %s%s%s%s seq %u ack %u len %u win %u", wire_get16(t), wire_get16(t + 2),
			t[13] & 2 ? "S" : "", t[13] & 1 ? "F" : "", t[13] & 4 ? "R" : "",
			t[13] & 16 ? "." : "", wire_get32(t + 4), wire_get32(t + 8),
			f->pkt_len - ETH_BYTES - 20 - (t[12] >> 4) * 4u, wire_get16(t + 14));
	else
		printf("%u bytes of type %04x", f->pkt_len, wire_get16(p + ETH_TYPE_AT));
	printf("%s\n", fate);
}

/* Moves what lies behind a random place into a second buffer, as a port with small buffers fills them. */
static void scatter(struct sim_link *l, struct rte_mbuf *m)
{
	enum { HEADERS_MAX = ETH_BYTES + 20 + 60 };
	struct rte_mbuf *rest;

	if (m->pkt_len <= HEADERS_MAX || !sim_permille(l->random, 300) ||
		!(rest = rte_pktmbuf_alloc(l->pool)))
		return;
	uint16_t keep = (uint16_t)(HEADERS_MAX + sim_below(l->random, m->pkt_len - HEADERS_MAX));
	uint16_t moved = (uint16_t)(m->data_len - keep);
	memcpy(rte_pktmbuf_append(rest, moved), rte_pktmbuf_mtod_offset(m, uint8_t *, keep), moved);
	rte_pktmbuf_trim(m, moved);
	rte_pktmbuf_chain(m, rest);
}

/* Copies f onto the wire. */
static void carry(struct sim_link *l, struct rte_mbuf *f)
{
	const struct sim_link_conditions *c = &l->conditions;
	struct rte_mbuf *m;
	uint64_t at_us = *l->now_us + c->delay_us + (c->jitter_us ? sim_below(l->random, c->jitter_us) : 0);

	if (l->count == SIM_LINK_FRAMES_MAX || !(m = rte_pktmbuf_copy(f, l->pool, 0, UINT32_MAX))) {
		l->lost++;
		return;
	}
	if (sim_permille(l->random, c->corrupt_permille))
		corrupt(l, m);
	scatter(l, m);
	if (sim_permille(l->random, c->reorder_permille)) {
		l->reordered++;
		at_us += sim_below(l->random, 4 * (c->delay_us + 1));
	} else {
		at_us = RTE_MAX(at_us, l->last_us);
		l->last_us = at_us;
	}
	push(l, m, at_us);
}

void sim_link_tx(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	struct sim_link *l = ctx;

	for (unsigned i = 0; i < n; i++) {
		if (sim_permille(l->random, l->conditions.blackout_permille))
			l->dark_until_us = *l->now_us + sim_below(l->random, 3000000);
		if (*l->now_us < l->dark_until_us || sim_permille(l->random, l->conditions.loss_permille)) {
			l->lost++;
			trace(l, frames_take[i], " lost");
		} else {
			trace(l, frames_take[i], "");
			carry(l, frames_take[i]);
			if (sim_permille(l->random, l->conditions.duplicate_permille)) {
				l->duplicated++;
				carry(l, frames_take[i]);
			}
		}
	}
	rte_pktmbuf_free_bulk(frames_take, n);
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
