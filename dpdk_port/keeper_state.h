/* SPDX-License-Identifier: Apache-2.0 */
/* What a keeper remembers: a short list, the same as lines of a file, and how each entry is undone. Private
 * to dpdk_port. */
#ifndef DPDK_PORT_KEEPER_STATE_H
#define DPDK_PORT_KEEPER_STATE_H

#include <stdint.h>

enum {
	KEEPER_RECORDS_MAX = 32,
	KEEPER_PATH_BYTES = 160,
	KEEPER_MADE_WITHIN_S = 10, /* of a start that ended amid it: what is younger is somebody else's */
};

enum keeper_kind {
	KEEPER_SOCKET,		  /* path, a = device, b = inode; in place of the path's making record */
	KEEPER_HUGEPAGES_GROWING, /* path = pool, a = total before, b = missing */
	KEEPER_HUGEPAGES_GROWN,	  /* path = pool, a = 0, b = added; in place of the pool's growing record */
	KEEPER_HUGEPAGES_FORGET,  /* path = pool; removes the pool's growing record */
	/* path = "/sys/class/net/NAME", a = the interface's index */
	KEEPER_INTERFACE,     /* b = a netdev_change, packed */
	KEEPER_XDP_ATTACHING, /* there is no program; b = ns since the machine started */
	KEEPER_XDP_ATTACHED,  /* b = the program's id; in place of the interface's attaching record, else
				 nothing */
	KEEPER_SOCKET_MAKING, /* nothing is at path; a = 0, b = ns of the calendar's time */
	KEEPER_KINDS,
};

struct keeper_record {
	uint64_t a, b;
	uint32_t kind;
	char path[KEEPER_PATH_BYTES]; /* absolute, of printable characters without space */
};

struct keeper_state {
	unsigned count;
	struct keeper_record records[KEEPER_RECORDS_MAX];
};

struct keeper;

/* Has the keeper take a record in: the results of keeper.h's functions. */
int keeper_record_send(struct keeper *k, enum keeper_kind kind, const char *path, uint64_t a, uint64_t b);

/* Takes a record in. 0, -EINVAL (of no kind, or its path has a bad shape), -ENOSPC. */
int keeper_state_add(struct keeper_state *s, const struct keeper_record *r);

/* Undoes everything, last first, as far as it can be, and empties the list. */
void keeper_state_undo(struct keeper_state *s);

/* Appends a record as a line, in one write. 0 or -errno. */
int keeper_record_write(int fd, const struct keeper_record *r);

/* Reads all lines of the file; those that make no sense are passed over. 0 or -errno. */
int keeper_state_read(int fd, struct keeper_state *s);

#endif
