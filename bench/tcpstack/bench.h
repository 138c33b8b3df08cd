/* SPDX-License-Identifier: Apache-2.0 */
/* The stack's costs, measured without a network: bench_tcpstack MODE [--NAME VALUE...] prints one line of
 * "name=value" pairs a result, which bench/tcpstack/run makes a table of. */
#ifndef BENCH_TCPSTACK_BENCH_H
#define BENCH_TCPSTACK_BENCH_H

#include <rte_cycles.h>
#include <stdbool.h>
#include <stdint.h>

/* What stands inside is what is measured: a name for callgrind's --toggle-collect, one call a burst. */
#define BENCH_MEASURED __attribute__((noinline, noclone, used))

struct bench_options {
	const char *mode;
	const char *op;	   /* fastpath: receive, send, ack */
	const char *order; /* fastpath: turns or random */
	const char *wire;  /* bulk: ring or vhost */
	const char *end;   /* churn: who closes first, peer or stack, or abort */
	unsigned bytes;	   /* payload of a segment; of a write, in bulk */
	unsigned conns;
	unsigned blocks;  /* of which the median is taken */
	unsigned bursts;  /* in a block */
	unsigned seconds; /* bulk */
	unsigned cores;	  /* bulk: both stacks on one, or one each */
	bool offloads;	  /* checksums are the port's, as on a NIC; TSO too, in bulk over vhost */
	bool hugepages;
	bool tso; /* bulk */
	bool ipv6;
	const char *dir;      /* bulk: a folder for the socket */
	const char *netns[2]; /* kernel */
	const char *address;  /* kernel: the second one's address */
};

/* Times of the blocks, and what is said about them. */
struct bench_blocks {
	double *ns; /* a piece of work, mean over a block */
	unsigned count;
};
double bench_median(struct bench_blocks *b);
double bench_ns_of_cycles(uint64_t cycles);

int fastpath_run(const struct bench_options *o);
int churn_run(const struct bench_options *o);
int bulk_run(const struct bench_options *o);
int kernel_run(const struct bench_options *o);

#endif
