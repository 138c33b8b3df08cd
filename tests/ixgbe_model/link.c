/* SPDX-License-Identifier: Apache-2.0 */
/* The link: up at 10 Gbit/s as soon as there is a cable and, where there is a PHY, that is awake. */
#include "tests/ixgbe_model/private.h"

void ixm_link_reset(struct ixm *m)
{
	ixm_set(m, AUTOC, m->part->autoc);
	/* 8.2.3.22: the state machine is past its first state; the driver waits for that after AN_RESTART. */
	ixm_set(m, ANLP1, ANLP1_AN_STATE);
	ixm_set(m, m->part->links, 0);
}

static bool end_up(const struct ixm *m)
{
	return !__atomic_load_n(&m->faults.link_down, __ATOMIC_RELAXED) &&
	       !__atomic_load_n(&m->faults.pf_down, __ATOMIC_RELAXED) &&
	       !__atomic_load_n(&m->phy_asleep, __ATOMIC_RELAXED);
}

bool ixm_link_up(const struct ixm *m)
{
	if (ixm_get(m, HLREG0) & HLREG0_LPBK) /* 8.2.3.22: inside the MAC */
		return true;
	return (m->out || m->peer) && end_up(m) && (!m->peer || end_up(m->peer));
}

void ixm_link_turn(struct ixm *m)
{
	uint32_t links = ixm_link_up(m) ? m->part->links_up : 0;

	if (ixm_get(m, m->part->links) != links)
		ixm_set(m, m->part->links, links);
	if (ixm_get(m, AUTOC) & AUTOC_AN_RESTART)
		ixm_clear(m, AUTOC, AUTOC_AN_RESTART);
}
