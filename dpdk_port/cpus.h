/* SPDX-License-Identifier: Apache-2.0 */
/* Which CPUs a data core may be put on. */
#ifndef DPDK_PORT_CPUS_H
#define DPDK_PORT_CPUS_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

enum { CPUS_TEXT_BYTES = CPU_SETSIZE * 6 };

/* The CPUs that this process may use, and those that the kernel keeps free of others (isolcpus), which are in
 * nobody's affinity until they are asked for. 0 or -errno. */
int cpus_usable(cpu_set_t *out);

/* "0-3,8" and back. The text ends at a line's end or its own; false where it is no such list. */
const char *cpus_write(const cpu_set_t *set, char text[CPUS_TEXT_BYTES]);
bool cpus_read(const char *text, cpu_set_t *out);

/* The NUMA node of a CPU, and the one that a PCI device ("0000:03:00.0") is nearest to; -1 where the kernel
 * tells none. Reads a file. */
int cpus_node(unsigned cpu);
int cpus_node_of_pci(const char *address);

#endif
