/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that depends on which DPDK this is: the spelling of EAL's options, the drivers that the build
 * links (the list in the root meson.build) and their habits, the names of offload flags. Moving to another
 * release of DPDK means reading this file, its .c and that list. */
#ifndef DPDK_PORT_DPDK_VERSION_H
#define DPDK_PORT_DPDK_VERSION_H

#include <stdbool.h>
#include <stdint.h>

struct rte_eth_dev_info;

struct dpdk_driver {
	const char *name;	 /* as rte_eth_dev_info says it */
	const char *vdev;	 /* what its vdevs' names begin with; NULL for a driver of PCI devices */
	bool kernel_has_mac;	 /* the kernel's interface uses the port's MAC: the stack needs another */
	bool waits_on_fd;	 /* a descriptor per RX queue becomes readable when frames wait */
	bool own_rx_fd;		 /* ... and does so without interrupts being enabled */
	uint16_t fd_queues_max;	 /* that can have such a descriptor, where it has more; 0: all */
	bool stays_armed;	 /* disarming one queue silences the descriptor of another */
	bool shares_memory;	 /* its other side maps EAL's memory, and sees no other */
	uint16_t rss_queues_max; /* that its hash's table can name, where it has more; 0: all */
	bool queues_power_of_2;	 /* it starts with no other number of them */
	/* What it is asked to filter by its host decides: it does not say that another MAC instead of the
	 * first was refused, but that another one beside it was; and has all groups where it is trusted, else
	 * those that it lists. */
	bool host_decides;
	/* What it leaves behind. */
	const char *
		interface_key; /* names the kernel's interface that it gives our MTU, and makes promiscuous */
	bool attaches_xdp;     /* ... and a program; an ordinary user cannot take it off again */
	const char *socket_key;		       /* names the socket that it binds and never removes, */
	const char *socket_if, *socket_unless; /* ... where this one is 1, and unless that one is */
};

/* "22.11.11": the library that is linked, not the headers. Static storage. */
const char *dpdk_version_text(void);

/* EAL arguments that each start needs beside those that its options ask for, NULL-terminated. */
extern const char *const dpdk_eal_arguments[];

/* Further ones: with memory from hugepages, and without. NULL-terminated. */
extern const char *const dpdk_eal_arguments_huge[];
extern const char *const dpdk_eal_arguments_no_huge[];

/* What EAL says about the folder that it is denied on purpose (see eal.c). */
extern const char dpdk_eal_expected_complaint[];

/* The driver that a vdev string ("net_tap0,iface=x") names, by the letters before its number; NULL where no
 * shipped driver is meant. */
const struct dpdk_driver *dpdk_driver_of_vdev(const char *vdev);

/* The driver by rte_eth_dev_info's name; never NULL (one without habits for an unknown one). */
const struct dpdk_driver *dpdk_driver_by_name(const char *name);

/* The vdev drivers in one line, for messages. */
const char *dpdk_driver_vdevs(void);

/* enum port_offload bits that the device can do, and the flags of rte_eth_conf for a set of them. */
uint32_t dpdk_offloads_of(const struct rte_eth_dev_info *info);
uint64_t dpdk_rx_offload_flags(uint32_t offloads);
uint64_t dpdk_tx_offload_flags(uint32_t offloads);

/* The hash types of the device that spread TCP connections over queues; 0 where it has none. */
uint64_t dpdk_rss_types(const struct rte_eth_dev_info *info);

#endif
