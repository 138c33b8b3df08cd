/* SPDX-License-Identifier: Apache-2.0 */
/* What a part is. Of the 82599 the datasheet says it; of the others the driver's source does, in
 * base/ixgbe_82598.c, base/ixgbe_x540.c and base/ixgbe_x550.c. */
#include "tests/ixgbe_model/part.h"
#include "runtime/check.h"
#include "tests/ixgbe_model/registers.h"

#include <stddef.h>

#define PHYSICAL                                                                            \
	.driver = "net_ixgbe", .queues = IXM_QUEUES, .tx_queues = TX_QUEUE, .links = LINKS, \
	.interrupt_set = EIMS, .interrupt_clear = EIMC, .interrupt_map = IVAR

/* Of the eight queues that a VF has registers for the host gives it some. The table is the PF's. */
#define VIRTUAL                                                                                             \
	.driver = "net_ixgbe_vf", .virtual = true, .queues = 8, .tx_queues = VF_TX_QUEUE, .links = VFLINKS, \
	.interrupt_set = VTEIMS, .interrupt_clear = VTEIMC, .interrupt_map = VTIVAR,                        \
	.receive_addresses = 128, .table_entries = IXM_RETA_ENTRIES, .table_mask = 0xf,                     \
	.links_up = LINKS_UP | LINKS_SPEED_10G

static const struct ixm_part parts[] = {
	/* A backplane part: no PHY, no module. */
	[IXM_82599] =
		{
			PHYSICAL,
			.device = 0x10f7,
			.packet_buffer_bytes = 512 * 1024, /* 3.7.7: one buffer while DCB is off */
			.receive_addresses = 128,
			.table_entries = IXM_RETA_ENTRIES,
			.table_mask = 0xf,
			.autoc = AUTOC_LMS_KX4 << AUTOC_LMS_SHIFT | AUTOC_KX4_SUPP | AUTOC_KX_SUPP,
			.links_up = LINKS_UP | LINKS_SPEED_10G | LINKS_KX_AN_COMP,
			.transmit_switch = true,
			.udp_without_checksum_is_bad = true,
		},
	/* AF, two ports: fibre, with nothing between the MAC and the optics that the driver knows. */
	[IXM_82598] =
		{
			PHYSICAL,
			.device = 0x10c6,
			.packet_buffer_bytes = 512 * 1024,
			.receive_addresses = 16,
			.table_entries = IXM_RETA_ENTRIES,
			.table_mask = 0xf,
			.autoc = AUTOC_LMS_10G << AUTOC_LMS_SHIFT,
			.links_up = LINKS_UP | LINKS_SPEED_10G,
			.octets_high = true,
		},
	[IXM_X540] =
		{
			PHYSICAL,
			.device = 0x1528,
			.packet_buffer_bytes = 384 * 1024,
			.receive_addresses = 128,
			.table_entries = IXM_RETA_ENTRIES,
			.table_mask = 0xf,
			.links_up = LINKS_UP | LINKS_SPEED_10G,
			.phy = 0x01540200,
			.transmit_switch = true,
		},
	[IXM_X550] =
		{
			PHYSICAL,
			.device = 0x1563,
			.packet_buffer_bytes = 384 * 1024,
			.receive_addresses = 128,
			.table_entries = 512,
			.table_mask = 0x3f,
			.links_up = LINKS_UP | LINKS_SPEED_10G,
			.phy = 0x01540220,
			.firmware = true,
			.transmit_switch = true,
		},
	[IXM_82599_VF] =
		{
			VIRTUAL,
			.device = 0x10ed,
			.packet_buffer_bytes = 512 * 1024,
			.one_longest_frame = true,
			.udp_without_checksum_is_bad = true,
		},
	[IXM_X540_VF] =
		{
			VIRTUAL,
			.device = 0x1515,
			.packet_buffer_bytes = 384 * 1024,
		},
};

const struct ixm_part *ixm_part(enum ixm_part_name name)
{
	MUST((unsigned)name < sizeof(parts) / sizeof(parts[0]));
	return &parts[name];
}
