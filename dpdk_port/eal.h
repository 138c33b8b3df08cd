/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and stopping EAL, and running data cores on its lcores. EAL sees only arguments that were checked
 * here: a bad one would make it print its usage, and some would make it take devices over. EAL can be started
 * once a process. */
#ifndef DPDK_PORT_EAL_H
#define DPDK_PORT_EAL_H

#include <stdbool.h>
#include <stddef.h>

enum {
	EAL_DATA_CORES_MAX = 64,
	EAL_PCI_DEVICES_MAX = 32,
	EAL_MEMORY_MB_MIN = 16,
	EAL_MEMORY_MB_MAX = 1 << 20,
	EAL_CPU_FLOATS = -1, /* a data core that may run on each CPU of the process */
};

struct eal_options {
	const char *program;	/* name before syslog's lines; NULL: "godwit" */
	const char *const *pci; /* "0000:03:00.0": the PCI devices that EAL may look at, no others */
	unsigned pci_count;
	bool hugepages; /* false: ordinary memory, as any user; no NIC can do DMA from it without an IOMMU */
	bool shared;	/* the other side of a device maps EAL's memory (dpdk_device_shares_memory) */
	unsigned memory_mb; /* taken at start; afterwards no NUMA node ever gives more */
	unsigned data_cores;
	const int *data_core_cpus; /* a CPU or EAL_CPU_FLOATS for each data core; NULL: all float */
	bool chatter;		   /* EAL's and the drivers' own lines go to the log at level info */
};

/* Starts EAL. The calling thread becomes the control thread: EAL's main lcore 0, which floats over the CPUs
 * that the process may use. Data core k is lcore k + 1. Without chatter only errors reach the log (as
 * warnings, once EAL runs); those of a start that fails end in error. Nothing is left in the file system.
 * 0, or -EINVAL (an option is out of range: error names it), -EALREADY, -errno of EAL. Blocks about 0.12 s
 * (clock calibration); allocates. */
int dpdk_eal_start(const struct eal_options *options, char *error, size_t error_bytes);

/* Gives all of EAL's memory and devices back. Data cores must have been joined and ports closed. Control
 * thread. A no-op when EAL does not run. */
void dpdk_eal_stop(void);

bool dpdk_eal_running(void);

/* Runs run(context) on data core k (0 to data_cores - 1). Control thread. 0 or -EBUSY (it runs already). */
int dpdk_core_launch(unsigned k, int (*run)(void *context), void *context);

/* Waits until data core k's function has returned; its result. Control thread. 0 when nothing ran. */
int dpdk_core_join(unsigned k);

/* The NUMA node of data core k, for its memory; 0 on a machine without nodes. */
int dpdk_core_node(unsigned k);

/* Whether s has the shape of a PCI address with domain ("0000:03:00.0"), in lower or upper case. */
bool dpdk_pci_address_valid(const char *s);

/* Whether packet buffers of the device must lie in EAL's own memory, which its other side maps. */
bool dpdk_device_shares_memory(const char *device);

/* Whether s is a vdev of a shipped driver: driver name, a number, and optional ",key=value" pairs of letters,
 * digits and "_.:/-". 0, or -EINVAL with error saying what is wrong and which drivers there are. */
int dpdk_vdev_check(const char *s, char *error, size_t error_bytes);

#endif
