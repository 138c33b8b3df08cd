/* SPDX-License-Identifier: Apache-2.0 */
/* Which frames are for us: 7.1.1.1 (addresses) and 7.1.1.2 (VLANs). */
#include "tests/ixgbe_model/private.h"

#include <string.h>

static bool exact(const struct ixm *m, const uint8_t *mac)
{
	uint32_t low, high = (uint32_t)mac[4] | (uint32_t)mac[5] << 8;

	memcpy(&low, mac, 4);
	for (unsigned i = 0; i < m->part->receive_addresses; i++) {
		uint32_t rah = ixm_get(m, ixm_ral(i) + 4);
		if ((rah & RAH_AV) && (rah & 0xffff) == high && ixm_get(m, ixm_ral(i)) == low)
			return true;
	}
	return false;
}

/* 8.2.3.7 MTA: 4096 bits, chosen by twelve bits of the address; MCSTCTRL.MO says which twelve. */
static bool group_hash(const struct ixm *m, const uint8_t *mac)
{
	static const unsigned shift[] = {4, 3, 2, 0};
	uint32_t control = ixm_get(m, MCSTCTRL);

	if (!(control & MCSTCTRL_MFE))
		return false;
	uint32_t bits = ((uint32_t)mac[4] | (uint32_t)mac[5] << 8) >> shift[control & MCSTCTRL_MO] & 0xfff;
	return ixm_get(m, MTA + (bits >> 5) * 4) >> (bits & 31) & 1;
}

static bool address(const struct ixm *m, const uint8_t *mac, bool *inexact)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint32_t fctrl = ixm_get(m, FCTRL);

	if (!memcmp(mac, broadcast, 6))
		return fctrl & FCTRL_BAM;
	if (exact(m, mac))
		return true;
	if (!(mac[0] & 1))
		return fctrl & FCTRL_UPE;
	*inexact = true;
	return (fctrl & FCTRL_MPE) || group_hash(m, mac);
}

static bool vlan(const struct ixm *m, const struct ixm_frame *f)
{
	if (!f->tagged || !(ixm_get(m, VLNCTRL) & VLNCTRL_VFE))
		return true;
	uint32_t id = f->tag & 0xfff;
	return ixm_get(m, VFTA + (id >> 5) * 4) >> (id & 31) & 1;
}

bool ixm_filter(const struct ixm *m, const struct ixm_frame *f, bool *inexact)
{
	*inexact = false;
	return address(m, f->data, inexact) && vlan(m, f);
}
