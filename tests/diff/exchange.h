/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation: what the peer knows of it, and the next thing that happens. */
#ifndef TESTS_DIFF_EXCHANGE_H
#define TESTS_DIFF_EXCHANGE_H

#include "tests/diff/side.h"

/* What a freedom leaves out of the comparison of one exchange. */
enum free {
	FREE_ANSWER = 1,   /* whether there is an acknowledgement */
	FREE_RESET = 2,	   /* whether there is a reset */
	FREE_SYN_ACK = 32, /* whether there is a SYN-ACK */
	FREE_NUMBERS = 4,  /* a reset's numbers */
	FREE_ACKED = 8,	   /* up to where the peer's data is acknowledged */
	FREE_REST = 16,	   /* the state, and with it all that follows: the conversation ends here */
};

enum freedom {
#define FREEDOM(name, free, clause, why) FREEDOM_##name,
#include "tests/diff/freedoms.def"
	FREEDOMS
};

struct exchange {
	bool is_act, again; /* again: the connection before is over, another is asked for */
	enum act act;
	uint32_t bytes; /* of ACT_WRITE */
	struct segment segment;
	const char *name;  /* of its kind */
	uint32_t freedoms; /* bits by enum freedom */
};

enum { ENDS_MAX = 64 };

/* Numbers count from the initial ones of their sender. */
struct conversation {
	uint64_t random;
	const char *state; /* of both sides, before the exchange */
	uint32_t addr, isn;
	uint16_t port;
	bool active;
	struct segment syn;	    /* the options that the peer offers */
	uint32_t una;		    /* what the peer has acknowledged */
	uint32_t wnd;		    /* the window it tells, as in the header */
	uint32_t wl1, wl2;	    /* RFC 9293's SND.WL1 and WL2: the segment whose window both sides use */
	uint32_t edge, edge_max;    /* behind the last byte of it; where it was farthest */
	uint32_t wnd_low, wnd_high; /* the largest window: what both took after the SYN, and what was told */
	uint32_t ts;
	bool fin_sent;
	uint32_t fin_at,
		top; /* top: behind the last byte sent in or above the window, which no FIN may precede */
	bool shut, closed;
	bool unsure;		 /* the window has shrunk, or the two use different ones */
	bool over_time_wait;	 /* the connection is being opened over one in TIME-WAIT */
	bool syn_refused;	 /* the last segment but for resets was a SYN, in TIME-WAIT */
	uint32_t ends[ENDS_MAX]; /* of the last segments beyond a gap */
	unsigned ends_n;
	unsigned dup_acks;
	unsigned writes; /* that are not all acknowledged: each is up to three segments */
	bool urgent;
};

void conversation_begin(struct conversation *c, uint64_t seed);
uint32_t conversation_random(struct conversation *c, uint32_t below);
/* Both sides agree so far, and are as a->side says. */
struct exchange exchange_next(struct conversation *c, const struct side *a, const struct side *b);
/* How many kinds there are, and the number of the kind of that name. */
unsigned exchange_kinds(void);
unsigned exchange_kind(const char *name);

#endif
