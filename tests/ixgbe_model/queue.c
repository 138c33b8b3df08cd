/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor rings: where they are and whether they are on (4.6.7, 4.6.8, 7.1.9, 7.2.3.3). Software owns the
 * tail, the device the head; what lies between them is the device's. */
#include "tests/ixgbe_model/private.h"

#include <string.h>

uint64_t ixm_ring_base(const struct ixm *m, uint32_t queue_registers)
{
	return (uint64_t)ixm_get(m, queue_registers + Q_BAH) << 32 | ixm_get(m, queue_registers + Q_BAL);
}

unsigned ixm_ring_size(const struct ixm *m, uint32_t queue_registers)
{
	return ixm_get(m, queue_registers + Q_LEN) / IXM_DESCRIPTOR_BYTES;
}

void ixm_queues_reset(struct ixm *m)
{
	memset(m->rx, 0, sizeof(m->rx));
	memset(m->tx, 0, sizeof(m->tx));
}

/* The device takes the head that it finds in the register when a queue is switched on; from then on the
 * register only shows it. SWFLSH clears itself: nothing waits to be written back between turns. */
static bool switched(struct ixm *m, uint32_t registers, bool was_on, uint32_t *head)
{
	uint32_t dctl = ixm_get(m, registers + Q_DCTL);

	if (dctl & DCTL_SWFLSH)
		ixm_clear(m, registers + Q_DCTL, DCTL_SWFLSH);
	bool on = dctl & DCTL_ENABLE;
	if (on && !was_on)
		*head = ixm_get(m, registers + Q_HEAD);
	return on;
}

void ixm_queues_turn(struct ixm *m)
{
	for (unsigned i = 0; i < m->part->queues; i++) {
		bool tx_was_on = m->tx[i].on;
		m->rx[i].on = switched(m, ixm_rx_register(m, i, 0), m->rx[i].on, &m->rx[i].head);
		m->tx[i].on = switched(m, ixm_tx_register(m, i, 0), tx_was_on, &m->tx[i].head);
		if (m->tx[i].on && !tx_was_on)
			memset(m->tx[i].context, 0, sizeof(m->tx[i].context));
	}
}
