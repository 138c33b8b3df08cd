/* SPDX-License-Identifier: Apache-2.0 */
/* Sending for cores that the device has no queue for: a ring from each of them to a core that has one. Its
 * frames are that core's to send from then on. A full ring is the back pressure that a full device is. */
#include "dpdk_port/port_private.h"

#include <errno.h>

enum { CARRY_FRAMES = 512 };

static struct port_queue *carrier_of(struct port *p, unsigned queue)
{
	return &p->queue[queue % p->info.device_queues];
}

int port_carry_init(struct port *p)
{
	for (unsigned i = 0; i < p->info.queues; i++) {
		p->queue[i].carry_told = true;
		if (i < p->info.device_queues)
			continue;
		p->queue[i].carry = ring_create(sizeof(struct rte_mbuf *), CARRY_FRAMES);
		if (!p->queue[i].carry)
			return -ENOMEM;
	}
	return 0;
}

void port_carry_fini(struct port *p)
{
	struct rte_mbuf *frames[PORT_BURST];
	unsigned n;

	for (unsigned i = 0; i < p->info.queues; i++) {
		if (!p->queue[i].carry)
			continue;
		while ((n = ring_pop(p->queue[i].carry, frames, PORT_BURST)))
			rte_pktmbuf_free_bulk(frames, n);
		ring_destroy(p->queue[i].carry);
	}
}

unsigned port_carry_push(struct port *p, unsigned queue, struct rte_mbuf **frames, unsigned n)
{
	struct port_queue *q = &p->queue[queue];
	unsigned taken = ring_push(q->carry, frames, n);

	q->carry_told &= taken == 0;
	return taken;
}

void port_carry_tell(struct port *p, unsigned queue)
{
	struct port_queue *q = &p->queue[queue], *carrier = carrier_of(p, queue);

	if (q->carry_told)
		return;
	q->carry_told = true;
	__atomic_fetch_or(&carrier->carry_pending, UINT64_C(1) << queue, __ATOMIC_SEQ_CST);
	if (carrier->wake)
		carrier->wake(carrier->wake_ctx);
}

unsigned port_carry_pop(struct port *p, unsigned queue, struct rte_mbuf **frames, unsigned n)
{
	struct port_queue *q = &p->queue[queue];
	unsigned got = 0;

	if (__atomic_load_n(&q->carry_pending, __ATOMIC_RELAXED))
		q->carry_left |= __atomic_exchange_n(&q->carry_pending, 0, __ATOMIC_SEQ_CST);
	for (uint64_t left = q->carry_left; left && got < n; left &= left - 1) {
		unsigned from = (unsigned)__builtin_ctzll(left);
		got += ring_pop(p->queue[from].carry, frames + got, n - got);
		if (got < n)
			q->carry_left &= ~(UINT64_C(1) << from);
	}
	return got;
}
