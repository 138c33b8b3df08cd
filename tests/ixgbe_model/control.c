/* SPDX-License-Identifier: Apache-2.0 */
/* Reset, and the bits of control registers that the driver waits for. */
#include "tests/ixgbe_model/private.h"

#include <string.h>

/* What registers hold after power on (8.2.3) where it is not 0 and where the driver or the model reads it. */
static void defaults(struct ixm *m)
{
	uint32_t low, high;

	ixm_set(m, STATUS, STATUS_GIO);
	ixm_set(m, EEC, EEC_PRES | EEC_ARD | 4u << EEC_SIZE_SHIFT); /* 1024 words */
	ixm_set(m, EEMNGCTL, EEMNGCTL_CFG_DONE0);
	ixm_set(m, MAXFRS, 1518u << MAXFRS_SHIFT);
	ixm_set(m, RXPBSIZE0, m->part->packet_buffer_bytes);
	/* Always ready: no security engine, and reception needs no time to become quiet. */
	ixm_set(m, RDRXCTL, RDRXCTL_DMAIDONE);
	ixm_set(m, SECRXSTAT, SECRXSTAT_RDY);
	/* 8.2.3.7: the first receive address comes from the EEPROM. */
	memcpy(&low, m->mac, 4);
	high = (uint32_t)m->mac[4] | (uint32_t)m->mac[5] << 8 | RAH_AV;
	ixm_set(m, ixm_ral(0), low);
	ixm_set(m, ixm_ral(0) + 4, high);
	ixm_set(m, HICR, m->part->firmware ? HICR_EN : 0);
	ixm_link_reset(m);
}

static void physical_power_on(struct ixm *m)
{
	memset(m->bar, 0, IXM_BAR_BYTES);
	defaults(m);
	ixm_queues_reset(m);
	m->interrupt_mask = m->interrupt_cause = 0;
}

void ixm_power_on(struct ixm *m)
{
	if (m->part->virtual)
		ixm_virtual_power_on(m);
	else
		physical_power_on(m);
	/* 8.2.3.9: TCP flags that the first, the middle and the last piece of a large send keep. */
	ixm_set(m, DTXTCPFLGL, 0xf76u << 16 | 0xff6);
	ixm_set(m, DTXTCPFLGH, 0xf7f);
	ixm_fifo_clear(&m->fifo);
}

/* 4.2.1: software and link reset put the port's registers back; both bits clear themselves when it is done.
 * The EEPROM, the PHY, what is on the wire and the statistics (here) stay. */
static void reset_turn(struct ixm *m)
{
	if (!(ixm_get(m, CTRL) & (CTRL_RST | CTRL_LNK_RST)))
		return;
	ixm_power_on(m);
	m->count.resets++;
}

void ixm_control_turn(struct ixm *m)
{
	if (m->part->virtual) {
		ixm_virtual_turn(m);
		return;
	}
	reset_turn(m);
	/* 5.2.5.3.2 master disable: no DMA is under way between turns. */
	uint32_t gio = ixm_get(m, CTRL) & CTRL_GIO_DIS ? 0 : STATUS_GIO;
	if ((ixm_get(m, STATUS) & STATUS_GIO) != gio)
		ixm_set(m, STATUS, gio);
	ixm_eeprom_turn(m);
	ixm_firmware_turn(m);
	ixm_phy_turn(m);
	ixm_link_turn(m);
	ixm_queues_turn(m);
	ixm_interrupt_turn(m);
}
