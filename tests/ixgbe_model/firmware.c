/* SPDX-License-Identifier: Apache-2.0 */
/* The firmware of an X550, which the driver asks through a window of memory: commands as in its
 * base/ixgbe_type.h (FW_READ_SHADOW_RAM_CMD, FW_DISABLE_RXEN_CMD) and base/ixgbe_common.c,
 * ixgbe_hic_unlocked. */
#include "tests/ixgbe_model/private.h"

#include <endian.h>

enum {
	READ_SHADOW_RAM = 0x31,
	DISABLE_RXEN = 0xde,
	ADDRESS_WORD = 1, /* in bytes, most significant one first */
	LENGTH_WORD = 2,
	DATA_WORD = 3,
	DATA_BYTES_MAX = 1024,
	SUCCESS = 1u << 16, /* in the header's third byte */
};

static uint16_t eeprom_word(const struct ixm *m, unsigned at)
{
	return at < IXM_EEPROM_WORDS ? m->eeprom[at] : 0xffff;
}

static void shadow_ram_read(struct ixm *m)
{
	unsigned at = be32toh(ixm_get(m, FLEX_MNG + ADDRESS_WORD * 4)) / 2;
	unsigned bytes = be16toh((uint16_t)ixm_get(m, FLEX_MNG + LENGTH_WORD * 4));

	for (unsigned i = 0; i < bytes && i < DATA_BYTES_MAX; i += 4) {
		uint32_t words = eeprom_word(m, at + i / 2) | (uint32_t)eeprom_word(m, at + i / 2 + 1) << 16;
		ixm_set(m, FLEX_MNG + DATA_WORD * 4 + i, words);
	}
}

void ixm_firmware_turn(struct ixm *m)
{
	uint32_t control = ixm_get(m, HICR), header = ixm_get(m, FLEX_MNG);

	if (!m->part->firmware || !(control & HICR_C))
		return;
	if ((header & 0xff) == READ_SHADOW_RAM)
		shadow_ram_read(m);
	else if ((header & 0xff) == DISABLE_RXEN)
		ixm_clear(m, RXCTRL, RXCTRL_RXEN);
	ixm_set(m, FLEX_MNG, (header & 0xff00ffff) | SUCCESS);
	ixm_set(m, HICR, HICR_EN | HICR_SV);
}
