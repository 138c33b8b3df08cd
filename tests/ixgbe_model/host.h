/* SPDX-License-Identifier: Apache-2.0 */
/* What stands behind a VF: the PF, and the host's driver for it. */
#ifndef TESTS_IXGBE_MODEL_HOST_H
#define TESTS_IXGBE_MODEL_HOST_H

#include "tests/ixgbe_model/model.h"

enum { IXM_MAIL_WORDS = 16 };

struct ixm_host {
	struct ixm_host_config config;
	uint8_t mac[6];	    /* the VF's, as the host knows it; all 0: none */
	bool clear_to_send; /* the VF has asked to be reset since the PF was */
	bool receive;	    /* 8.2.3.27 VFRE */
	uint32_t api;
	unsigned extra_macs;
};

struct ixm;

/* The PF is set up, as it is when the host's interface comes up. */
void ixm_host_up(struct ixm *m);
/* The VF was reset by its driver: what it had asked for is gone. */
void ixm_host_vf_reset(struct ixm *m);
/* Answers a message of the VF's in place. */
void ixm_host_answer(struct ixm *m, uint32_t message[IXM_MAIL_WORDS]);
/* Whether the host lets the VF send this frame. */
bool ixm_host_lets_pass(const struct ixm *m, const uint8_t *frame);

#endif
