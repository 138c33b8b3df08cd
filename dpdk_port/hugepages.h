/* SPDX-License-Identifier: Apache-2.0 */
/* Hugepages of 2 MiB from the kernel's pool: how many there are, and reserving what is missing. Pages that
 * are added here are taken away again at the end; those that were there before stay. Pages of 1 GiB are used
 * where somebody has reserved them, and never made: that works well at boot alone. */
#ifndef DPDK_PORT_HUGEPAGES_H
#define DPDK_PORT_HUGEPAGES_H

#include <stddef.h>

enum { HUGEPAGE_MB = 2, HUGEPAGE_GIANT_MB = 1024, HUGEPAGES_MAX = 1 << 19 };

struct hugepages {
	unsigned total, free;
};

/* The folder of the kernel's pool; tests give another with the same files. */
#define HUGEPAGES_POOL	     "/sys/kernel/mm/hugepages/hugepages-2048kB"
#define HUGEPAGES_GIANT_POOL "/sys/kernel/mm/hugepages/hugepages-1048576kB"

/* What the pool has. free counts only pages that are not promised to anybody. 0; -ENOTSUP (no such pool);
 * -errno. Blocks for some file reads. */
int hugepages_read(const char *pool, struct hugepages *out);

/* How many pages of 1 GiB memory of that size may begin with: as many as are free and it fills, and one more
 * where it does not fill but there are too few of 2 MiB for the rest. 0 also where the kernel has none.
 * Blocks for some file reads. */
unsigned hugepages_giant(const char *giant_pool, const char *pool, unsigned mb);

/* What reserving is going to do, to be remembered before it is done (see keeper.h): growing a pool by
 * gigabytes takes seconds, and a process may be killed half way. */
struct hugepages_plan {
	unsigned total_before;
	unsigned missing; /* 0: enough pages are free, nothing is to be done */
};

/* How the pool must grow to have wanted (1 to HUGEPAGES_MAX) free pages. 0, -EINVAL, -ENOTSUP, -errno, with
 * error saying why. */
int hugepages_plan(
	const char *pool, unsigned wanted, struct hugepages_plan *plan, char *error, size_t error_bytes);

/* Grows the pool as planned. Where the kernel can spare only a part, that part is given back at once. 0;
 * -ENOMEM (too fragmented, too full), -EACCES, -EROFS, -ENOTSUP, -errno, with error saying what to do
 * instead: the pool is then as before, and the caller runs without hugepages. Blocks: the kernel may compact
 * memory. */
int hugepages_grow(const char *pool, const struct hugepages_plan *plan, char *error, size_t error_bytes);

/* Whether this process may really map count pages: a container's limits do not show in the pool. Maps them,
 * touches none, and unmaps them. 0 or -errno. To be asked before EAL is started on them, because EAL that
 * failed cannot be started again. */
int hugepages_try(unsigned count);

/* Shrinks the pool by count pages; those in use leave it later, as their users let go. 0 or -errno. */
int hugepages_return(const char *pool, unsigned count);

/* Shrinks the pool by as much as a plan may have grown it that was interrupted: never below what was there
 * before. 0 or -errno. */
int hugepages_return_interrupted(const char *pool, const struct hugepages_plan *plan);

#endif
