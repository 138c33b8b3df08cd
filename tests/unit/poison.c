/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/poison.h"

#include <rte_mempool.h>
#include <sanitizer/asan_interface.h>
#include <string.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define WATCHED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(WATCHED)
bool poison_works(void)
{
	return true;
}
#else
bool poison_works(void)
{
	return false;
}
#endif

/* The pool itself is DPDK's ring; what it holds is poisoned once the pool has been made (pool_config). */
static const struct rte_mempool_ops *ring_ops(void)
{
	static const struct rte_mempool_ops *found;

	for (unsigned i = 0; !found && i < rte_mempool_ops_table.num_ops; i++)
		if (!strcmp(rte_mempool_ops_table.ops[i].name, "ring_mp_mc"))
			found = &rte_mempool_ops_table.ops[i];
	return found;
}

static int pool_alloc(struct rte_mempool *p)
{
	return ring_ops()->alloc(p);
}

static void pool_free(struct rte_mempool *p)
{
	ring_ops()->free(p);
}

static int enqueue(struct rte_mempool *p, void *const *objects, unsigned n)
{
	for (unsigned i = 0; p->pool_config && i < n; i++)
		ASAN_POISON_MEMORY_REGION(objects[i], p->elt_size);
	return ring_ops()->enqueue(p, objects, n);
}

static int dequeue(struct rte_mempool *p, void **objects, unsigned n)
{
	int error = ring_ops()->dequeue(p, objects, n);

	for (unsigned i = 0; !error && i < n; i++)
		ASAN_UNPOISON_MEMORY_REGION(objects[i], p->elt_size);
	return error;
}

static unsigned get_count(const struct rte_mempool *p)
{
	return ring_ops()->get_count(p);
}

static const struct rte_mempool_ops ops = {
	.name = "poison",
	.alloc = pool_alloc,
	.free = pool_free,
	.enqueue = enqueue,
	.dequeue = dequeue,
	.get_count = get_count,
};
RTE_MEMPOOL_REGISTER_OPS(ops)

static void poison_object(struct rte_mempool *p, void *arg, void *object, unsigned index)
{
	ASAN_POISON_MEMORY_REGION(object, p->elt_size);
}

struct rte_mempool *poison_pool_create(const char *name, unsigned count, unsigned data_room_bytes)
{
	struct rte_mempool *p = rte_pktmbuf_pool_create_by_ops(
		name, count, 0, 0, (uint16_t)data_room_bytes, SOCKET_ID_ANY, ops.name);

	if (!p)
		return NULL;
	p->pool_config = p;
	rte_mempool_obj_iter(p, poison_object, NULL);
	return p;
}

void poison_around(struct rte_mbuf *const *frames, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		for (const struct rte_mbuf *m = frames[i]; m; m = m->next) {
			const uint8_t *buffer = m->buf_addr;
			size_t end = (size_t)m->data_off + m->data_len;
			ASAN_POISON_MEMORY_REGION(buffer, m->data_off);
			ASAN_POISON_MEMORY_REGION(buffer + end, m->buf_len - end);
		}
}
