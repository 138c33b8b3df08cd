/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel's interface that a port is opened on, as far as drivers change it. What is undone needs
 * CAP_NET_ADMIN and CAP_SYS_ADMIN, and is done only where the interface still has both its name and its
 * index. Private to dpdk_port. */
#ifndef DPDK_PORT_NETDEV_H
#define DPDK_PORT_NETDEV_H

#include <stdbool.h>
#include <stdint.h>

struct netdev {
	unsigned index, mtu;
	bool promiscuous;
	uint32_t program; /* XDP: its id; 0: none */
};

/* What a port makes of an interface. */
struct netdev_change {
	unsigned mtu_before, mtu_set; /* below 2^20 */
	bool was_promiscuous;
};

/* 0, -ENODEV (no interface of this name) or -errno. */
int netdev_read(const char *interface, struct netdev *out);

/* A change as one number, and back. */
uint64_t netdev_change_pack(const struct netdev_change *c);
struct netdev_change netdev_change_of(uint64_t packed);

/* Gives it back the MTU, unless somebody has set another one meanwhile, and ends being promiscuous where it
 * was not. */
void netdev_restore(const char *interface, unsigned index, const struct netdev_change *c);

/* Takes the program off if it is this one: the kernel compares once more as it does it. */
void netdev_program_remove(const char *interface, unsigned index, uint32_t program);

/* The same for whichever program was loaded within_ns after since_ns (CLOCK_BOOTTIME). */
void netdev_program_remove_loaded(
	const char *interface, unsigned index, uint64_t since_ns, uint64_t within_ns);

#endif
