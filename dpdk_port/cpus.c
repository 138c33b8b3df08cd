/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/cpus.h"
#include "runtime/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NODES_MAX = 64 };

static const char isolated_path[] = "/sys/devices/system/cpu/isolated";

bool cpus_read(const char *text, cpu_set_t *out)
{
	CPU_ZERO(out);
	while (*text && *text != '\n') {
		char *end;
		unsigned long first = strtoul(text, &end, 10), last = first;
		if (end == text)
			return false;
		if (*end == '-') {
			text = end + 1;
			last = strtoul(text, &end, 10);
			if (end == text)
				return false;
		}
		if (last < first || last >= CPU_SETSIZE)
			return false;
		for (unsigned long cpu = first; cpu <= last; cpu++)
			CPU_SET(cpu, out);
		if (*end != ',' && *end != '\n' && *end != '\0')
			return false;
		text = *end == ',' ? end + 1 : end;
	}
	return true;
}

const char *cpus_write(const cpu_set_t *set, char text[CPUS_TEXT_BYTES])
{
	size_t used = 0;

	text[0] = '\0';
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, set))
			continue;
		int last = cpu;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		size_t left = CPUS_TEXT_BYTES - used;
		int n = last == cpu ? snprintf(text + used, left, "%s%d", used ? "," : "", cpu)
				    : snprintf(text + used, left, "%s%d-%d", used ? "," : "", cpu, last);
		MUST(n > 0 && (size_t)n < left);
		used += (size_t)n;
		cpu = last;
	}
	return text;
}

/* A cpuset may forbid what is isolated, and it may be off: asking is the only way to know. */
static bool may_run_on(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) == 0;
}

static void add_isolated(cpu_set_t *out)
{
	cpu_set_t isolated, before = *out;
	char text[1024];
	FILE *f = fopen(isolated_path, "re");

	if (!f)
		return;
	if (fgets(text, sizeof(text), f) && cpus_read(text, &isolated)) {
		for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &isolated) && !CPU_ISSET(cpu, &before) && may_run_on(cpu))
				CPU_SET(cpu, out);
		sched_setaffinity(0, sizeof(before), &before);
	}
	fclose(f);
}

int cpus_usable(cpu_set_t *out)
{
	if (sched_getaffinity(0, sizeof(*out), out))
		return -errno;
	add_isolated(out);
	return 0;
}

int cpus_node(unsigned cpu)
{
	char path[96];

	for (int node = 0; node < NODES_MAX; node++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/node%d", cpu, node);
		if (access(path, F_OK) == 0)
			return node;
	}
	return -1;
}

int cpus_node_of_pci(const char *address)
{
	char path[96], text[16] = "-1";

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/numa_node", address);
	FILE *f = fopen(path, "re");
	if (!f)
		return -1;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	char *end;
	long node = strtol(text, &end, 10);
	return end != text && node >= 0 && node < NODES_MAX ? (int)node : -1;
}
