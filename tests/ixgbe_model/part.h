/* SPDX-License-Identifier: Apache-2.0 */
/* In what the parts differ that one driver serves. */
#ifndef TESTS_IXGBE_MODEL_PART_H
#define TESTS_IXGBE_MODEL_PART_H

#include "tests/ixgbe_model/model.h"

struct ixm_part {
	const char *driver;
	uint16_t device;
	bool virtual; /* a VF */
	/* Where registers lie. */
	unsigned queues;    /* whose registers there are */
	uint32_t tx_queues; /* the first transmit queue's; the next one's are QUEUE_STRIDE behind */
	uint32_t links;
	uint32_t interrupt_set, interrupt_clear, interrupt_map;
	/* What it has. */
	unsigned packet_buffer_bytes;
	unsigned receive_addresses;
	unsigned table_entries, table_mask; /* of RSS: how many, and their bits */
	uint32_t autoc, links_up;
	uint32_t phy;		/* the identifier of a 10GBASE-T PHY; 0: none answers */
	bool firmware;		/* through which the driver reads the EEPROM, and switches reception off */
	bool transmit_switch;	/* DMATXCTL.TE */
	bool one_longest_frame; /* a VF's host cannot give it long frames where the PF has none */
	bool octets_high;	/* counters of octets have one register, where others have the upper one */
	bool udp_without_checksum_is_bad;
};

const struct ixm_part *ixm_part(enum ixm_part_name name);

#endif
