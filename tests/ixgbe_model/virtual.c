/* SPDX-License-Identifier: Apache-2.0 */
/* A VF: its registers (8.3) are the first 16 KB of the model's memory, the only ones that its driver is
 * given. What lies behind them are the PF's, at their own places, which host.c writes; so queues, filters and
 * the wire are the same code for both. The cable is the PF's. */
#include "tests/ixgbe_model/private.h"

#include <string.h>

enum { PF_CONTROL = 0x0100 };

static void registers_reset(struct ixm *m)
{
	memset(m->bar, 0, IXM_VF_BAR_BYTES);
	ixm_queues_reset(m);
	m->interrupt_mask = m->interrupt_cause = 0;
}

void ixm_virtual_power_on(struct ixm *m)
{
	registers_reset(m);
	ixm_host_up(m);
}

static void mail_read(const struct ixm *m, uint32_t message[IXM_MAIL_WORDS])
{
	for (unsigned i = 0; i < IXM_MAIL_WORDS; i++)
		message[i] = ixm_get(m, VFMBMEM + i * 4);
}

/* Bits that the VF's driver reads are cleared by reading, which memory cannot show; but whenever the driver
 * writes the register, which it does before each message and after each answer, what was there is gone. */
static void mail_write(struct ixm *m, const uint32_t message[IXM_MAIL_WORDS], uint32_t status)
{
	for (unsigned i = 0; i < IXM_MAIL_WORDS; i++)
		ixm_set(m, VFMBMEM + i * 4, message[i]);
	ixm_set(m, VFMAILBOX, status);
}

/* REQ says that there is a message; the PF takes it with PFACK and answers with PFSTS. */
static void mailbox_turn(struct ixm *m)
{
	uint32_t message[IXM_MAIL_WORDS];

	if (!(ixm_get(m, VFMAILBOX) & VFMAILBOX_REQ) || m->faults.pf_silent)
		return;
	mail_read(m, message);
	ixm_host_answer(m, message);
	mail_write(m, message, VFMAILBOX_PFACK | VFMAILBOX_PFSTS);
	m->count.mails++;
}

/* The host speaks, without CTS: the VF is to begin anew. */
static void host_calls(struct ixm *m)
{
	static const uint32_t control[IXM_MAIL_WORDS] = {PF_CONTROL};

	mail_write(m, control, VFMAILBOX_PFSTS);
	ixm_interrupt_mail(m);
}

/* When the PF is reset its VFs lose their queues and are called; until it is up again they see RSTI, and then
 * they are called once more. Rests on Linux's ixgbe and ixgbevf. */
static void pf_reset_turn(struct ixm *m)
{
	if (m->faults.pf_down && !m->host_down) {
		for (unsigned i = 0; i < m->part->queues; i++) {
			ixm_clear(m, ixm_rx_register(m, i, Q_DCTL), DCTL_ENABLE);
			ixm_clear(m, ixm_tx_register(m, i, Q_DCTL), DCTL_ENABLE);
		}
		ixm_host_up(m);
		ixm_fifo_clear(&m->fifo);
		host_calls(m);
	}
	if (m->faults.pf_down && !(ixm_get(m, VFMAILBOX) & VFMAILBOX_RSTI))
		__atomic_or_fetch(ixm_register(m, VFMAILBOX), VFMAILBOX_RSTI, __ATOMIC_ACQ_REL);
	if (!m->faults.pf_down && m->host_down)
		host_calls(m);
	m->host_down = m->faults.pf_down;
}

/* 8.3 VFCTRL.RST: the VF's own registers. The host sees it and forgets what the VF had asked for. */
static void reset_turn(struct ixm *m)
{
	if (!(ixm_get(m, CTRL) & CTRL_RST))
		return;
	registers_reset(m);
	ixm_host_vf_reset(m);
	m->count.resets++;
}

void ixm_virtual_turn(struct ixm *m)
{
	reset_turn(m);
	pf_reset_turn(m);
	if (!m->host_down)
		mailbox_turn(m);
	ixm_link_turn(m);
	ixm_queues_turn(m);
	ixm_interrupt_turn(m);
}
