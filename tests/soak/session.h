/* SPDX-License-Identifier: Apache-2.0 */
/* One client of the churn: a connection that lives for some steps (steps.c) and dies, politely or not, and
 * then begins its next life. What it publishes to its own queue it must get back: all of it, in order, and
 * again only what it has sent back itself. Any surprise ends the program with an explanation (surprise). One
 * thread. */
#ifndef SOAK_SESSION_H
#define SOAK_SESSION_H

#include <netinet/in.h>

#include "tests/soak/frames.h"

enum {
	CHANNELS = 3,	   /* 0 is the connection's, 1 has its consumer, 2 comes and goes */
	EXPECTED_MAX = 32, /* answers that a channel may owe at once */
	BURST_MAX = 512,   /* messages that wait for their confirms at once */
	REQUEUE_MAX = 64,  /* of those, the first ones may be sent back once */
	NAME_BYTES = 48,
};

enum session_state { SESSION_NONE, SESSION_BUSY, SESSION_RESTING, SESSION_STALLED };
enum queue_kind { QUEUE_UNNAMED, QUEUE_EXCLUSIVE, QUEUE_AUTO_DELETE, QUEUE_KEPT, QUEUE_KINDS };
enum route { ROUTE_DEFAULT, ROUTE_DIRECT, ROUTE_TOPIC, ROUTE_HEADERS, ROUTES };
/* Of channel 2: checked and settled as the step says; settled at random; left alone. */
enum side_settle { SIDE_CHECKED, SIDE_ANYHOW, SIDE_IGNORED };

/* What each message begins with. */
struct stamp {
	uint32_t kind, slot, life, sequence;
};
enum stamp_kind { STAMP_OWN = 0x6f776e, STAMP_SIDE, STAMP_SHARED };

struct session;

/* Writes what its phase says; false: there is no further one. It is called again, or over, once all that it
 * has asked for was answered. */
typedef bool step_fn(struct session *s, struct out *o);

/* Answers that are due, oldest first. */
struct expected {
	uint32_t id[EXPECTED_MAX];
	uint16_t at, count;
};

/* Messages that come in on channel 2: by sequence, each with the flag that it must have. */
struct side {
	uint32_t first_fresh; /* below: redelivered */
	uint32_t next, wanted;
	enum side_settle how;
	uint32_t requeue; /* bits: these sequences are sent back, of what is got */
	uint32_t keep;	  /* bits: these are not settled */
	uint32_t skip;	  /* bits: these do not come any more */
};

struct session {
	struct load *load;
	uint32_t slot, life;
	int fd;
	enum session_state state;
	step_fn *step;
	unsigned phase, steps_left;
	unsigned chosen; /* what it does, for how long */
	uint64_t chosen_us;
	int doom;	  /* frames until it is killed; -1: none */
	uint64_t wake_us; /* stalled until */
	uint64_t since_us;
	uint32_t rest_at; /* its place in the load's list */

	struct out pending; /* not yet taken by the socket */
	uint8_t *left;	    /* the beginning of a frame */
	uint32_t left_bytes;

	struct expected expected[CHANNELS];
	struct content {
		uint32_t method; /* 0: none is on its way */
		uint16_t channel;
		bool redelivered, head_seen;
		uint64_t tag;
		uint64_t bytes, seen; /* of the body */
		struct stamp stamp;
	} content;
	uint64_t tag[CHANNELS];

	/* Its queue, consumer and ways to it. */
	enum queue_kind kind;
	enum route route;
	unsigned names; /* made so far, so that none is used twice */
	char queue[NAME_BYTES], pattern[NAME_BYTES], key[NAME_BYTES], header[NAME_BYTES];
	const char *exchange;
	unsigned consumer; /* number of its tag */
	bool no_ack, side_open;
	uint16_t prefetch, batch;
	uint32_t unsettled;	/* deliveries that the next ack covers */
	uint64_t unsettled_tag; /* the last of them */

	uint32_t own_sent, own_seen, own_done, own_base;
	uint64_t own_requeued; /* bits from own_base */
	uint64_t published, confirm_base, confirmed_after_base;
	uint64_t confirmed[BURST_MAX / 64];
	uint32_t returns;
	struct side side;
};

/* Connects, and begins a life: nothing of the last one is left. The step is the caller's to set. */
void session_begin(struct session *s);
/* Ends the connection at once: by RST, or by FIN. */
void session_end(struct session *s, bool reset);
/* Sends what o has, and empties it. What does not fit waits. */
void session_send(struct session *s, struct out *o);
/* Reads and acts until there is no more. */
void session_read(struct session *s);
void session_writable(struct session *s);
/* Calls its step as often as there is nothing to wait for; tells the load when it is over. */
void session_go_on(struct session *s);

/* An answer that must come next on that channel. */
void expect(struct session *s, unsigned channel, uint32_t id);
/* A message to its own queue over an exchange, confirmed. size >= sizeof(struct stamp). */
void publish_own(struct session *s, struct out *o, const char *exchange, const char *key, const char *header,
	uint32_t size);
/* Another one that is confirmed. */
void publish_confirmed(struct session *s, struct out *o, const struct publish *p);
void own_burst_begin(struct session *s);

_Noreturn void surprise(const struct session *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* receive.c: acts upon a frame; answers go to o. */
void session_frame(struct session *s, const struct frame *f, struct out *o);

/* steps.c */
step_fn step_birth, step_leave, step_admin_open, step_admin_close;
/* What it does next; begin: phase 0. Now and then it is doomed to die of it. */
void step_choose(struct session *s);
/* What was chosen is over. */
void step_over(struct session *s);
/* How long each has taken since the last call, as members of a JSON object. */
void steps_print(void);
/* A session that rests begins to die, or is gone at once. */
void session_die(struct session *s);

#endif
