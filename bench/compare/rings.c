/* SPDX-License-Identifier: Apache-2.0 */
/* What is left of a tool and a broker when nothing lies between them: compare_rings_perftest and
 * compare_rings_latencytest are the tools as they are, with a broker in the same process, on a core of its
 * own. The two TCP stacks hand each other their frames over two rings, as pointers; nobody copies them, and
 * no device computes checksums. The broker is bench/dataplane's: the program's layers, with its sizes fixed
 * here.
 *
 * --dpdk-port net_ring0 --address 10.9.0.2/24 --broker 10.9.0.1; the CPU that --cpus names last is the
 * broker's. */
#include "bench/dataplane/core.h"
#include "dpdk_port/eal.h"
#include "runtime/clock.h"
#include "runtime/reclaim.h"
#include "tools/client/machine.h"

#include <stdio.h>

enum { QUEUES = 64, MEMORY_MB = 512, CORE_MB = 320 };

static const struct bench_options options = {
	.mode = "rings", .queues = QUEUES, .fanout = 1, .cores = 1, .memory_mb = MEMORY_MB};
static struct cluster cluster;
static bool is_open;
static unsigned broker_core;

/* Of the tool's port: the broker's rings, crossed. */
static struct ring_arguments arguments;

static int broker_run(void *ctx)
{
	turn_run(ctx);
	return 0;
}

static int broker_open(unsigned first_core, const char **device, char *error, size_t room)
{
	static char name[64];
	struct core *core = &cluster.cores[0];

	if (!*device) {
		snprintf(error, room, "--dpdk-port net_ring0 is wanted: rings are all that there is here");
		return -1;
	}
	cluster_open(&cluster, &options, true, clock_now_us());
	is_open = true;
	broker_core = first_core;
	arguments = (struct ring_arguments){&core->out, 1, &core->in, 1, 0, &arguments};
	snprintf(name, sizeof(name), "net_ring1,internal=%p", (void *)&arguments);
	*device = name;
	int status = dpdk_core_launch(first_core, broker_run, &core->turn);
	if (status)
		snprintf(error, room, "the broker's core does not start: %d", status);
	return status;
}

static void broker_stop(void)
{
	if (!is_open)
		return;
	turn_stop(&cluster.cores[0].turn);
	dpdk_core_join(broker_core);
}

static void broker_free(void)
{
	if (!is_open)
		return;
	cluster_close(&cluster);
	while (reclaim_run())
		;
}

const struct machine_beside machine_beside = {
	.cores = 1, .memory_mb = CORE_MB, .open = broker_open, .stop = broker_stop, .free = broker_free};
