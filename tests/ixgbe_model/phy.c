/* SPDX-License-Identifier: Apache-2.0 */
/* The management interface (8.2.3.22 MSCA, MSRWD), and the 10GBASE-T PHY that answers there in an X540 or
 * X550: registers of devices, as IEEE 802.3 clause 45 has them. What the driver writes it reads again;
 * nothing else follows from it but sleep. */
#include "tests/ixgbe_model/private.h"

enum {
	ADDRESS = 0, /* the PHY's, on the interface */
	PMA_PMD = 1,
	ID_HIGH = 2,
	ID_LOW = 3,
	SPEEDS = 4,
	SPEEDS_10G_1G_100M = 1 << 0 | 1 << 4 | 1 << 5,
	NEGOTIATION = 7,
	NEGOTIATION_CONTROL = 0,
	NEGOTIATION_RESTART = 1 << 9,
	VENDOR = 30,
	VENDOR_CONTROL = 0,
	VENDOR_LOW_POWER = 1 << 11, /* the driver's source: how a stopped port goes to sleep */
};

static struct ixm_phy_register *find(const struct ixm *m, unsigned device, unsigned number)
{
	for (unsigned i = 0; i < m->phy_registers; i++)
		if (m->phy[i].device == device && m->phy[i].number == number)
			return (struct ixm_phy_register *)(uintptr_t)&m->phy[i];
	return NULL;
}

static uint16_t phy_get(const struct ixm *m, unsigned device, unsigned number)
{
	const struct ixm_phy_register *r = find(m, device, number);

	if (r)
		return r->value;
	if (device != PMA_PMD)
		return 0;
	return (uint16_t)(number == ID_HIGH  ? m->part->phy >> 16
			  : number == ID_LOW ? m->part->phy
			  : number == SPEEDS ? SPEEDS_10G_1G_100M
					     : 0);
}

static void phy_set(struct ixm *m, unsigned device, unsigned number, uint16_t value)
{
	struct ixm_phy_register *r = find(m, device, number);

	if (device == NEGOTIATION && number == NEGOTIATION_CONTROL)
		value &= (uint16_t)~NEGOTIATION_RESTART; /* it is done at once */
	if (device == VENDOR && number == VENDOR_CONTROL)
		__atomic_store_n(&m->phy_asleep, (value & VENDOR_LOW_POWER) != 0, __ATOMIC_RELAXED);
	if (!r && m->phy_registers < IXM_PHY_REGISTERS_MAX)
		r = &m->phy[m->phy_registers++];
	if (r)
		*r = (struct ixm_phy_register){
			.device = (uint16_t)device, .number = (uint16_t)number, .value = value};
}

/* A command clears its bit when it is done. The command that names a register comes before the one that reads
 * or writes it, and both carry its number. Reads of an address without a PHY give ones. */
void ixm_phy_turn(struct ixm *m)
{
	uint32_t command = ixm_get(m, MSCA);
	unsigned device = command >> MSCA_DEVICE_SHIFT & 31, number = command & 0xffff;
	bool ours = m->part->phy && (command >> MSCA_PHY_SHIFT & 31) == ADDRESS;

	if (!(command & MSCA_COMMAND))
		return;
	switch (command >> MSCA_OP_SHIFT & 3) {
	case MSCA_OP_READ:
		ixm_set(m, MSRWD, (ours ? phy_get(m, device, number) : 0xffffu) << MSRWD_READ_SHIFT);
		break;
	case MSCA_OP_WRITE:
		if (ours)
			phy_set(m, device, number, (uint16_t)ixm_get(m, MSRWD));
		break;
	}
	ixm_clear(m, MSCA, MSCA_COMMAND);
}
