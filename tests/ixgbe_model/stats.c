/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics (8.2.3.23). The registers clear on read and the driver adds up what it reads. A read cannot be
 * seen in memory, so they hold something only while a call of the driver that reads them runs (wrap.c). */
#include "tests/ixgbe_model/private.h"

#include <string.h>

enum {
	CRC = 4,
	QPRC = 0x01030, /* 0x40 apart, as are the next two */
	QBRC_L = 0x01034,
	QBRC_H = 0x01038,
	QPRDC = 0x01430,
	QPTC = 0x06030,
	QBTC_L = 0x08700, /* 8 apart */
};

/* RQSMR, TQSM: four queues a register, four bits each in a byte. */
static unsigned mapped(const struct ixm *m, uint32_t map, unsigned queue)
{
	return ixm_get(m, map + (queue & ~3u)) >> (queue & 3) * 8 & 0xf;
}

unsigned ixm_stats_counter(const struct ixm *m, unsigned queue)
{
	return mapped(m, RQSMR, queue);
}

static unsigned size_class(unsigned bytes)
{
	static const unsigned bound[] = {64, 127, 255, 511, 1023};
	unsigned i = 0;

	while (i < sizeof(bound) / sizeof(bound[0]) && bytes > bound[i])
		i++;
	return i;
}

static bool is_broadcast(const uint8_t *frame)
{
	static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	return !memcmp(frame, all, sizeof(all));
}

void ixm_stats_sent(struct ixm *m, const uint8_t *frame, unsigned bytes, unsigned queue)
{
	struct ixm_stats *s = &m->stats;
	uint64_t *const sizes[] = {&s->ptc64, &s->ptc127, &s->ptc255, &s->ptc511, &s->ptc1023, &s->ptc1522};
	unsigned counter = mapped(m, TQSM, queue);

	s->tpt++;
	s->gptc++;
	s->gotc += bytes + CRC;
	s->bptc += is_broadcast(frame);
	s->mptc += (frame[0] & 1) && !is_broadcast(frame);
	s->qptc[counter]++;
	s->qbtc[counter] += bytes + CRC;
	++*sizes[size_class(bytes + CRC)];
}

void ixm_stats_received(struct ixm *m, const struct ixm_frame *f, unsigned queue)
{
	struct ixm_stats *s = &m->stats;
	uint64_t *const sizes[] = {&s->prc64, &s->prc127, &s->prc255, &s->prc511, &s->prc1023, &s->prc1522};
	unsigned counter = ixm_stats_counter(m, queue);

	s->tpr++;
	s->tor += f->bytes + CRC;
	s->gprc++;
	s->gorc += f->bytes + CRC;
	s->bprc += is_broadcast(f->data);
	s->mprc += (f->data[0] & 1) && !is_broadcast(f->data);
	s->qprc[counter]++;
	s->qbrc[counter] += f->bytes; /* the CRC is stripped and not counted: rests on the driver's source */
	++*sizes[size_class(f->bytes + CRC)];
}

static void wide_set(struct ixm *m, uint32_t low, uint64_t value)
{
	ixm_set(m, low, (uint32_t)value);
	ixm_set(m, low + 4, (uint32_t)(value >> 32));
}

/* Of the whole port. An 82598 counts in the upper register alone: rests on the driver's source. */
static void octets_set(struct ixm *m, uint32_t low, uint64_t value)
{
	if (m->part->octets_high)
		ixm_set(m, low + 4, (uint32_t)value);
	else
		wide_set(m, low, value);
}

static void registers_set(struct ixm *m, const struct ixm_stats *s)
{
#define IXM_STAT(name, address)	     ixm_set(m, address, (uint32_t)s->name);
#define IXM_STAT_WIDE(name, address) octets_set(m, address, s->name);
#include "tests/ixgbe_model/stats.def"
#undef IXM_STAT
#undef IXM_STAT_WIDE
	for (unsigned i = 0; i < IXM_STAT_COUNTERS; i++) {
		ixm_set(m, QPRC + i * QUEUE_STRIDE, (uint32_t)s->qprc[i]);
		ixm_set(m, QPRDC + i * QUEUE_STRIDE, (uint32_t)s->qprdc[i]);
		ixm_set(m, QPTC + i * QUEUE_STRIDE, (uint32_t)s->qptc[i]);
		wide_set(m, QBRC_L + i * QUEUE_STRIDE, s->qbrc[i]);
		wide_set(m, QBTC_L + i * 8, s->qbtc[i]);
	}
}

/* A VF's counters are never cleared; the driver subtracts what it has read before (8.3). Whether octets there
 * count the CRC no test asks. */
static void virtual_show(struct ixm *m)
{
	ixm_set(m, VFGPRC, (uint32_t)m->stats.gprc);
	ixm_set(m, VFMPRC, (uint32_t)m->stats.mprc);
	ixm_set(m, VFGPTC, (uint32_t)m->stats.gptc);
	wide_set(m, VFGORC, m->stats.gorc);
	wide_set(m, VFGOTC, m->stats.gotc);
}

void ixm_stats_show(struct ixm *m)
{
	if (m->part->virtual) {
		virtual_show(m);
		return;
	}
	uint64_t lost = ixm_fifo_lost(&m->fifo);

	m->stats.mpc = lost - m->lost_shown;
	m->lost_shown = lost;
	registers_set(m, &m->stats);
	memset(&m->stats, 0, sizeof(m->stats));
}

void ixm_stats_hide(struct ixm *m)
{
	static const struct ixm_stats none;

	if (!m->part->virtual)
		registers_set(m, &none);
}
