/* SPDX-License-Identifier: Apache-2.0 */
/* The link of a backplane part: auto-negotiation agrees on KX4 at 10 Gbit/s as soon as there is a cable, and
 * no PHY answers on the management interface. */
#include "tests/ixgbe_model/private.h"

void ixm_link_reset(struct ixm *m)
{
	ixm_set(m, AUTOC, AUTOC_LMS_KX4 << AUTOC_LMS_SHIFT | AUTOC_KX4_SUPP | AUTOC_KX_SUPP);
	/* 8.2.3.22: the state machine is past its first state; the driver waits for that after AN_RESTART. */
	ixm_set(m, ANLP1, ANLP1_AN_STATE);
	ixm_set(m, LINKS, 0);
}

bool ixm_link_up(const struct ixm *m)
{
	if (ixm_get(m, HLREG0) & HLREG0_LPBK) /* 8.2.3.22: inside the MAC */
		return true;
	if (!m->out && !m->peer)
		return false;
	return !__atomic_load_n(&m->faults.link_down, __ATOMIC_RELAXED) &&
	       !(m->peer && __atomic_load_n(&m->peer->faults.link_down, __ATOMIC_RELAXED));
}

/* 8.2.3.22: an MDI command clears its bit when it is done; reads of an address without a PHY give ones. */
static void mdi_turn(struct ixm *m)
{
	if (!(ixm_get(m, MSCA) & MSCA_COMMAND))
		return;
	ixm_set(m, MSRWD, 0xffff0000);
	ixm_clear(m, MSCA, MSCA_COMMAND);
}

void ixm_link_turn(struct ixm *m)
{
	uint32_t links = ixm_link_up(m) ? LINKS_UP | LINKS_SPEED_10G | LINKS_KX_AN_COMP : 0;

	if (ixm_get(m, LINKS) != links)
		ixm_set(m, LINKS, links);
	if (ixm_get(m, AUTOC) & AUTOC_AN_RESTART)
		ixm_clear(m, AUTOC, AUTOC_AN_RESTART);
	mdi_turn(m);
}
