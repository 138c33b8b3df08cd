/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts of receive queues: MSI-X vectors, which vfio-pci turns into event descriptors (7.3.1, 7.3.4). A
 * bit of EIMS and its kin is that of the vector which IVAR names (so does Linux's ixgbe use them); net_ixgbe
 * 22.11 takes it for the queue's, which has the next vector. Moderation (EITR) is not modelled: an interrupt
 * fires at once. */
#include "tests/ixgbe_model/private.h"

#include <rte_interrupts.h>
#include <unistd.h>

/* Vector 0 is for causes other than queues; the queues' descriptors begin with vector 1. */
static int descriptor_of(const struct ixm *m, unsigned vector)
{
	if (vector == 0)
		return m->interrupt_fd;
	return (int)vector > rte_intr_nb_efd_get(m->pci.interrupt)
		       ? -1
		       : rte_intr_efds_index_get(m->pci.interrupt, (int)vector - 1);
}

static void fire(struct ixm *m, unsigned vector)
{
	uint64_t one = 1;

	int fd = descriptor_of(m, vector);
	if (fd >= 0 && write(fd, &one, sizeof(one)) == sizeof(one))
		m->count.interrupts++;
}

/* A cause that may fire does, and masks itself (EIAM with GPIE.EIAME, which the driver sets for all; a VF's
 * VTEIAM, likewise). */
static void causes_fire(struct ixm *m)
{
	uint32_t now = m->interrupt_cause & m->interrupt_mask;

	for (unsigned v = 0; now >> v; v++)
		if (now >> v & 1)
			fire(m, v);
	m->interrupt_cause &= ~now;
	if (m->part->virtual || (ixm_get(m, GPIE) & GPIE_EIAME))
		m->interrupt_mask &= ~now;
}

/* An 82598 keeps four receive queues in a register, but receives by the first alone, whose place is the same.
 */
void ixm_interrupt(struct ixm *m, unsigned rx_queue)
{
	uint32_t entry = ixm_get(m, m->part->interrupt_map + rx_queue / 2 * 4) >> (rx_queue & 1) * 16;

	if (!m->interrupts || !(entry & IVAR_VALID) || (entry & IVAR_VECTOR) >= 16)
		return;
	m->interrupt_cause |= 1u << (entry & IVAR_VECTOR);
	causes_fire(m);
}

/* 8.3 VTIVAR_MISC: a VF's mail, and the driver gives it vector 0. */
void ixm_interrupt_mail(struct ixm *m)
{
	m->interrupt_cause |= 1;
	causes_fire(m);
}

/* 8.2.3.5: ones written to EIMC clear bits of the mask, ones written to EIMS set them. Both are taken out of
 * the registers; of two writes between two turns EIMC's counts as the first, as the driver does it. */
void ixm_interrupt_turn(struct ixm *m)
{
	uint32_t clear = __atomic_exchange_n(ixm_register(m, m->part->interrupt_clear), 0, __ATOMIC_ACQ_REL);
	uint32_t set = __atomic_exchange_n(ixm_register(m, m->part->interrupt_set), 0, __ATOMIC_ACQ_REL);

	m->interrupt_mask = (m->interrupt_mask & ~clear) | set;
	causes_fire(m);
}
