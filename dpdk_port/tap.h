/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of a TAP port: an ordinary kernel interface that gets an address, and nothing else is
 * touched. All through rtnetlink; no program is run. What is made here goes with the interface, and that goes
 * with the process, however it ends. */
#ifndef DPDK_PORT_TAP_H
#define DPDK_PORT_TAP_H

#include <stddef.h>
#include <stdint.h>

struct tap_host {
	const char *interface;	   /* "godwit0": 1 to 15 of letters, digits, "_.-" */
	const char *interface_key; /* the configuration's key for it, to be named by errors */
	uint32_t address;	   /* the host's IPv4 address, in host byte order */
	unsigned prefix;	   /* 8 to 30 */
	const char *address_key;   /* likewise */
	unsigned mtu;
};

/* Whether a TAP can be made and given this address, without touching anything: /dev/net/tun is there and may
 * be opened, CAP_NET_ADMIN is held, no interface has the name, and no address or route of this network
 * namespace (but a default route) overlaps the subnet. 0; or a negative code, with error saying who is in the
 * way and which key to change: -EINVAL (the arguments), -ENODEV (no TUN driver), -EACCES or -EPERM (not
 * allowed), -EEXIST (the interface), -EADDRINUSE (the subnet), -errno of rtnetlink. Main thread; blocks for
 * some system calls. */
int tap_host_check(const struct tap_host *h, char *error, size_t error_bytes);

/* After the port is open: gives its interface the MTU and the address and brings it up. Needs CAP_NET_ADMIN.
 * 0; or -errno, with error saying what failed. */
int tap_host_address_add(const struct tap_host *h, char *error, size_t error_bytes);

#endif
