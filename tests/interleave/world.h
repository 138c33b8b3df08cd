/* SPDX-License-Identifier: Apache-2.0 */
/* A broker of a few cores and clients on them that do what a script says: the model that turns.h explores.
 * Beside it an account of every copy of every message, of answers and of confirms. */
#ifndef INTERLEAVE_WORLD_H
#define INTERLEAVE_WORLD_H

#include "tests/interleave/turns.h"

enum { WORLD_CORES = 3, WORLD_CLIENTS = 4, WORLD_QUEUES = 2, WORLD_CONSUMERS = 3, WORLD_SCRIPT = 8 };

enum do_what {
	DO_NOTHING, /* the script ends */
	DO_PUBLISH, /* to queue `of` */
	DO_FANOUT,  /* to all queues */
	DO_CONSUME, /* consumer `of` */
	DO_CREDIT,  /* to consumer `of`, `n` more; its transport has room again */
	DO_STALL,   /* consumer `of`'s transport has no room */
	DO_CANCEL,
	DO_ABANDON,
	DO_ACK, /* the oldest delivery that the client has */
	DO_REQUEUE,
	DO_REJECT,
	DO_GET, /* from queue `of`; n: no ack */
	DO_COUNT,
	DO_PURGE,
	DO_DELETE,
	DO_DECLARE,
	DO_GONE,	 /* the connection dies, whatever it waits for */
	DO_HOLD_LETTERS, /* core `of`'s office publishes none until it is told to go on */
	DO_PASS_LETTERS,
};

struct deed {
	enum do_what what;
	uint8_t of, n;
};

struct scene {
	const char *name;
	unsigned cores, queues, consumers, clients;
	uint32_t link_records; /* a power of two */
	uint8_t owner[WORLD_QUEUES];
	struct {
		uint8_t queue, credit;
		bool no_ack, exclusive;
	} consumer[WORLD_CONSUMERS];
	struct {
		uint8_t core;
		struct deed script[WORLD_SCRIPT];
		uint8_t before; /* so many of them are done in order, before anything is explored */
	} client[WORLD_CLIENTS];
	bool letters;	      /* of the first queue, to the second */
	uint32_t letters_max; /* that a core has room for */
	bool mixes;	      /* several clients reject: letters come in any order */
	bool auto_delete;
	bool drops; /* messages may go: purged, or with their queue (but none of the second of `letters`) */
	bool marks_freely; /* what no client has seen may be called redelivered */
	unsigned activities_max, preemptions_max;
	uint64_t states_min;
};

/* For turns_explore. One scene at a time. */
const struct turns_model *world_model(const struct scene *s);

#endif
