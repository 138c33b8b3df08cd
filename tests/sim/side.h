/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a talk: an application that writes, reads, waits and lets go as its plan and the dice say. */
#ifndef TESTS_SIM_SIDE_H
#define TESTS_SIM_SIDE_H

#include "tests/sim/host.h"

enum side_writes { SIDE_WRITES_MIXED, SIDE_WRITES_BYTES, SIDE_WRITES_BLOCKS };

struct talk;

struct side {
	struct tcp_conn *conn; /* NULL before it opens and after it ends */
	struct side *other;
	struct talk *talk;
	unsigned host;
	bool passive; /* it accepts */
	bool opened, ended;
	int reason;

	/* the plan */
	uint32_t salt, send_total;
	enum side_writes writes;
	bool lazy;	      /* acts seldom, reads little */
	uint32_t sleep_us;    /* does not read for so long after opening */
	bool aborts, lets_go; /* resets it; closes it without waiting for the peer */
	uint32_t abort_after; /* bytes read and sent */
	uint32_t pause_us;    /* half-way it has nothing to say for so long; 0: it goes on */

	uint32_t sent, read;
	uint64_t reads_from_us, pauses_until_us;
	bool peer_closed, shut, gone;
};

void side_plan(struct side *s, struct side *other, struct talk *talk, unsigned host);
/* The same side writes all at once, but for a long pause in the middle; after side_plan of both. */
void side_plan_pause(struct side *s);
/* The connection is there. */
void side_opened(struct side *s, struct tcp_conn *c);
/* What it does when it is woken, by whatever. */
void side_act(struct side *s);
/* The same, but the lazy go on sleeping. */
void side_woken(struct side *s);
/* It is in its pause. */
bool side_pauses(const struct side *s);
/* Fails the seed because of s. */
__attribute__((noreturn)) void side_fail(const struct side *s, const char *what);
/* What is left is read, then it has ended. */
void side_closed(struct side *s, int reason);

#endif
