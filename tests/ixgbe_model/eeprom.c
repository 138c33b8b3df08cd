/* SPDX-License-Identifier: Apache-2.0 */
/* The EEPROM: words without meaning but for the checksum, read by EERD or by way of the firmware. The
 * semaphores that guard it (SWSM, SW_FW_SYNC) need nothing of the model: no firmware competes for them. */
#include "tests/ixgbe_model/private.h"

#include <string.h>

enum {
	CHECKSUM_WORD = 0x3f,
	LAST_WORD_X550 = 0x41, /* the driver's source: its sum goes on behind the checksum */
	CHECKSUM = 0xbaba,     /* chapter 6: words 0 to 0x3f and what the pointers name add up to this */
};

/* All ones: each pointer (words 3 to 0xf) is unused, so no module of the EEPROM, no firmware and no second
 * MAC is there. */
void ixm_eeprom_fill(struct ixm *m, bool broken)
{
	unsigned last = m->part->firmware ? LAST_WORD_X550 : CHECKSUM_WORD;
	uint16_t sum = 0;

	memset(m->eeprom, 0xff, sizeof(m->eeprom));
	m->eeprom[0x2c] = 0; /* device capabilities */
	for (unsigned i = 0; i <= last; i++)
		if (i != CHECKSUM_WORD)
			sum = (uint16_t)(sum + m->eeprom[i]);
	m->eeprom[CHECKSUM_WORD] = (uint16_t)(CHECKSUM - sum + broken);
}

/* 8.2.3.2: START begins a read of the word at ADDR; DONE says that DATA holds it. */
void ixm_eeprom_turn(struct ixm *m)
{
	uint32_t eerd = ixm_get(m, EERD);

	if (!(eerd & EERD_START) || (eerd & EERD_DONE))
		return;
	uint32_t address = eerd >> EERD_ADDR_SHIFT & EERD_ADDR_MASK;
	uint32_t word = address < IXM_EEPROM_WORDS ? m->eeprom[address] : 0xffff;
	ixm_set(m, EERD, word << EERD_DATA_SHIFT | address << EERD_ADDR_SHIFT | EERD_DONE);
}
