/* SPDX-License-Identifier: Apache-2.0 */
/* What a message costs the broker's cores: bench_dataplane MODE [--NAME VALUE...] prints one line of
 * "name=value" pairs, which bench/dataplane/run makes tables of.
 *
 *   path    Ethernet frame in to Ethernet frame out: port, TCP, AMQP, routing, queue
 *   share   the broker's share alone: bytes in, bytes out, over a transport that only copies */
#ifndef BENCH_DATAPLANE_BENCH_H
#define BENCH_DATAPLANE_BENCH_H

#include <stdbool.h>
#include <stdint.h>

/* What stands inside is what is measured: a name for callgrind's --toggle-collect, one call a turn. */
#define BENCH_MEASURED __attribute__((noinline, noclone, used))

enum { BENCH_CORES_MAX = 8 };

struct bench_options {
	const char *mode;
	const char *settle;   /* auto: no_ack consumers; ack: each delivery; confirm: auto, and confirms */
	const char *exchange; /* "": to the queue by name; fanout; topic */
	const char *with;  /* what the queues have beside: ttl, limit, priority, letters, single, returns; "":
			      nothing */
	unsigned bytes;	   /* of a body */
	unsigned queues;   /* each with a publisher's and a consumer's connection */
	unsigned fanout;   /* queues that get each message; with exchange fanout */
	unsigned bindings; /* of the topic exchange, of which each key matches one */
	unsigned backlog;  /* messages that lie in the queues meanwhile; with settle ack */
	unsigned ack_every; /* one ack, with multiple, for so many deliveries */
	unsigned segments;  /* full segments that a core receives in a turn */
	unsigned pace;	    /* they are sent in every so manieth turn */
	bool alone;	    /* a segment holds one message */
	unsigned cores;	    /* broker cores, each with a load of its own */
	bool threads;	    /* a thread each, or one thread that takes their turns */
	bool across;	    /* consumers are on the next core */
	unsigned blocks;    /* of which the median is taken */
	unsigned rounds;    /* turns in a block */
	unsigned memory_mb; /* of messages, a core */
	bool offloads;	    /* checksums are the port's, as on a NIC */
	bool hugepages;
	bool profile; /* prints which part of the time went where, too: path */
};

/* What a run counted in one block. */
struct bench_block {
	uint64_t cycles;      /* of the broker's turns, all cores together */
	uint64_t cycles_max;  /* on the core that took longest */
	uint64_t load_cycles; /* of making the load */
	uint64_t delivered, published;
};
/* each: memory that a message of the backlog takes beyond its body and properties, in bytes; 0 without one.
 * Returns the median of a delivery's ns. */
double bench_report(const struct bench_options *o, const struct bench_block *blocks, double each);

int path_run(const struct bench_options *o);
int share_run(const struct bench_options *o);

#endif
