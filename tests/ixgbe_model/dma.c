/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that the device may reach. With IOVA as VA an address on the bus is a pointer, so the check
 * keeps the model itself from reading what is not there; a device behind an IOMMU is kept from it likewise.
 */
#include "tests/ixgbe_model/private.h"

#include <errno.h>
#include <rte_memory.h>
#include <string.h>

static bool covers(const struct ixm_dma_range *r, uint64_t address, size_t bytes)
{
	return address >= r->first && address <= r->last && bytes - 1 <= r->last - address;
}

static bool reachable(struct ixm_dma *d, uint64_t address, size_t bytes)
{
	if (d->hit < d->ranges && covers(&d->range[d->hit], address, bytes))
		return true;
	for (unsigned i = 0; i < d->ranges; i++)
		if (covers(&d->range[i], address, bytes)) {
			d->hit = i;
			return true;
		}
	return false;
}

void *ixm_dma(struct ixm *m, enum ixm_dma_kind kind, unsigned queue, uint64_t address, size_t bytes)
{
	struct ixm_dma *d = &m->dma;

	if (d->watch)
		d->watch(d->watch_context, kind, queue, address, bytes);
	if (bytes && reachable(d, address, bytes))
		return (void *)(uintptr_t)address;
	if (d->fault.count++ == 0) {
		d->fault.address = address;
		d->fault.bytes = bytes;
		d->fault.kind = kind;
		d->fault.queue = queue;
	}
	return NULL;
}

int ixm_dma_add(struct ixm *m, uint64_t address, size_t bytes)
{
	struct ixm_dma *d = &m->dma;

	if (bytes == 0)
		return -EINVAL;
	if (d->ranges == IXM_DMA_RANGES_MAX)
		return -ENOSPC;
	d->range[d->ranges++] = (struct ixm_dma_range){.first = address, .last = address + bytes - 1};
	return 0;
}

/* As vfio, only what was added in one piece can be taken away. */
int ixm_dma_remove(struct ixm *m, uint64_t address, size_t bytes)
{
	struct ixm_dma *d = &m->dma;

	for (unsigned i = 0; i < d->ranges; i++)
		if (d->range[i].first == address && d->range[i].last == address + bytes - 1) {
			d->range[i] = d->range[--d->ranges];
			return 0;
		}
	return -ENOENT;
}

/* vfio maps all memory segments but those that the program brought itself. Neighbours become one range: EAL's
 * memory may come in many pieces, and an access may cross them. */
static int segment_add(
	const struct rte_memseg_list *list, const struct rte_memseg *segment, size_t bytes, void *m)
{
	struct ixm_dma *d = &((struct ixm *)m)->dma;
	struct ixm_dma_range *last = d->ranges ? &d->range[d->ranges - 1] : NULL;

	if (list->external)
		return 0;
	if (last && last->last + 1 == segment->iova) {
		last->last += bytes;
		return 0;
	}
	return ixm_dma_add(m, segment->iova, bytes);
}

int ixm_dma_start(struct ixm *m)
{
	memset(&m->dma, 0, sizeof(m->dma));
	return rte_memseg_contig_walk(segment_add, m);
}
