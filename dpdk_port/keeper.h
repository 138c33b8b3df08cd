/* SPDX-License-Identifier: Apache-2.0 */
/* A small process that undoes what the broker did to the host, however the broker ends: at its request, by an
 * exit, by a crash or by kill -9. It is forked while the broker still has privileges, before EAL and before
 * any thread; it keeps those privileges, does nothing but wait, and ignores the signals of a Ctrl-C, which go
 * to the whole foreground group.
 *
 * What is to be undone is also written to a state file, so that the next start undoes it where the keeper was
 * killed too. Broker and keeper share a lock on that file; whoever can take the lock knows both are gone.
 *
 * The keeper trusts the broker only until keeper_seal: afterwards, when the broker is an ordinary user who
 * speaks with the network, it accepts nothing more than to finish. */
#ifndef DPDK_PORT_KEEPER_H
#define DPDK_PORT_KEEPER_H

#include "dpdk_port/hugepages.h"

#include <stddef.h>

struct keeper;

/* Starts the keeper. state_directory: an absolute path of a folder that does not outlive a reboot
 * ("/run/godwit"), made where it is missing (mode 0755), owned by this user and writable for nobody else;
 * NULL: no state file. The process MUST have one thread. 0, -EINVAL, -EPERM (others could write the folder),
 * -errno, with error saying it. */
int keeper_start(const char *state_directory, struct keeper **out, char *error, size_t error_bytes);

/* Remember what is to be undone. Each returns when the keeper has it, and it is in the state file: 0; -EPIPE
 * (the keeper is gone), -ENOSPC (too many), -EPERM (sealed), -EINVAL (a path that is not absolute, too long
 * or not a socket), -errno. A keeper that is NULL remembers nothing, and 0 is returned. */

/* A Unix socket that was bound at path; it is removed unless another was bound there since. */
int keeper_remember_socket(struct keeper *k, const char *path);

/* Before hugepages_grow, and after it has succeeded. Where it has not, keeper_forget_hugepages. pool:
 * HUGEPAGES_POOL or a test's. */
int keeper_remember_hugepages_growing(struct keeper *k, const char *pool, const struct hugepages_plan *plan);
int keeper_remember_hugepages_grown(struct keeper *k, const char *pool, const struct hugepages_plan *plan);
int keeper_forget_hugepages(struct keeper *k, const char *pool);

/* Around port_open of a device whose driver leaves something on the host. Before: the interface of
 * net_af_packet and net_af_xdp, as it is and as mtu (bytes) will have it; that a program and a socket will be
 * made. After: the XDP program that is now attached to the interface, the socket that net_vhost or
 * net_virtio_user has bound. Undone are the MTU where it is still the port's, promiscuous where it was not,
 * the very program (never another that came in its place), the very socket; where the start ended in between,
 * a program or socket that was made right then. Devices that leave nothing are passed over. Further results:
 * -ENODEV (no such interface). */
int keeper_remember_device(struct keeper *k, const char *device, unsigned mtu);
int keeper_remember_device_opened(struct keeper *k, const char *device);

/* What the two would remember, in words ("an XDP program, the MTU and flags of eth1"), or "". */
void keeper_device_text(const char *device, char *text, size_t bytes);

/* The keeper's process id, for status; 0 for NULL. */
int keeper_pid(const struct keeper *k);

/* From here on nothing more can be remembered. Before privileges are dropped. */
int keeper_seal(struct keeper *k);

/* Has everything undone now, in reverse order, waits for the keeper's end and frees k. NULL is allowed. */
void keeper_finish(struct keeper *k);

/* Undoes what starts before this one left behind whose broker and keeper are both gone. *undone: how many
 * such starts. A folder that does not exist has none. Needs the privileges that those starts had. 0, -EPERM
 * (others could write the folder) or -errno. */
int keeper_undo_stale(const char *state_directory, unsigned *undone);

#endif
