/* SPDX-License-Identifier: Apache-2.0 */
/* A pair of interfaces for tests, in a namespace that is theirs. */
#ifndef DPDK_PORT_VETH_FIXTURE_H
#define DPDK_PORT_VETH_FIXTURE_H

/* Makes the pair, down. 0 or -errno. */
int veth_make(const char *ours, const char *peers);

/* 0 or -errno. */
int veth_up(const char *interface);

/* 0 or -errno. */
int veth_mtu(const char *interface, unsigned mtu);

#endif
