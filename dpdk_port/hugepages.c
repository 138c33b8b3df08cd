/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/hugepages.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PATH_BYTES = 256 };

__attribute__((format(printf, 4, 5))) static int fail(int rc, char *error, size_t bytes, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(error, bytes, fmt, ap);
	va_end(ap);
	return rc;
}

static int number_read(const char *pool, const char *file, unsigned *value)
{
	char path[PATH_BYTES], text[32] = "";

	snprintf(path, sizeof(path), "%s/%s", pool, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENOTSUP : -errno;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	int rc = n < 0 ? -errno : 0;
	close(fd);
	*value = (unsigned)strtoul(text, NULL, 10);
	return rc;
}

static int total_write(const char *pool, unsigned value)
{
	char path[PATH_BYTES], text[32];

	snprintf(path, sizeof(path), "%s/nr_hugepages", pool);
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENOTSUP : -errno;
	int n = snprintf(text, sizeof(text), "%u\n", value);
	int rc = write(fd, text, (size_t)n) == n ? 0 : -errno;
	close(fd);
	return rc;
}

int hugepages_read(const char *pool, struct hugepages *out)
{
	unsigned reserved = 0;

	*out = (struct hugepages){0};
	int rc = number_read(pool, "nr_hugepages", &out->total);
	if (rc == 0)
		rc = number_read(pool, "free_hugepages", &out->free);
	if (rc == 0)
		rc = number_read(pool, "resv_hugepages", &reserved);
	out->free = out->free > reserved ? out->free - reserved : 0;
	return rc;
}

unsigned hugepages_giant(const char *giant_pool, const char *pool, unsigned mb)
{
	struct hugepages giant, small = {0};
	unsigned whole = mb / HUGEPAGE_GIANT_MB;

	if (hugepages_read(giant_pool, &giant) != 0 || giant.free == 0)
		return 0;
	(void)hugepages_read(pool, &small);
	if (giant.free <= whole)
		return giant.free;
	return whole + (mb % HUGEPAGE_GIANT_MB > small.free * HUGEPAGE_MB);
}

int hugepages_try(unsigned count)
{
	size_t bytes = (size_t)count * HUGEPAGE_MB << 20;
	/* 21: the logarithm of the page's size. */
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (21 << MAP_HUGE_SHIFT), -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, bytes);
	return 0;
}

int hugepages_return(const char *pool, unsigned count)
{
	unsigned total;

	int rc = number_read(pool, "nr_hugepages", &total);
	if (rc || count == 0)
		return rc;
	return total_write(pool, total > count ? total - count : 0);
}

int hugepages_return_interrupted(const char *pool, const struct hugepages_plan *plan)
{
	unsigned total;

	int rc = number_read(pool, "nr_hugepages", &total);
	if (rc || total <= plan->total_before)
		return rc;
	unsigned grown = total - plan->total_before;
	return hugepages_return(pool, grown < plan->missing ? grown : plan->missing);
}

int hugepages_plan(
	const char *pool, unsigned wanted, struct hugepages_plan *plan, char *error, size_t error_bytes)
{
	struct hugepages now;

	*plan = (struct hugepages_plan){0};
	error[0] = '\0';
	if (wanted == 0 || wanted > HUGEPAGES_MAX)
		return fail(-EINVAL, error, error_bytes, "%u hugepages; 1 to %d are possible", wanted,
			HUGEPAGES_MAX);
	int rc = hugepages_read(pool, &now);
	if (rc)
		return fail(rc, error, error_bytes, "the kernel's hugepages of 2 MB: %s", strerror(-rc));
	plan->total_before = now.total;
	plan->missing = now.free < wanted ? wanted - now.free : 0;
	return 0;
}

static int write_fail(int rc, unsigned missing, char *error, size_t bytes)
{
	if (rc == -EACCES || rc == -EPERM)
		return fail(rc, error, bytes, "reserving %u hugepages needs root", missing);
	return fail(rc, error, bytes, "reserving %u hugepages: %s", missing, strerror(-rc));
}

int hugepages_grow(const char *pool, const struct hugepages_plan *plan, char *error, size_t error_bytes)
{
	struct hugepages now;

	error[0] = '\0';
	if (plan->missing == 0)
		return 0;
	int rc = total_write(pool, plan->total_before + plan->missing);
	if (rc == 0)
		rc = hugepages_read(pool, &now);
	if (rc)
		return write_fail(rc, plan->missing, error, error_bytes);
	if (now.total >= plan->total_before + plan->missing)
		return 0;
	unsigned got = now.total > plan->total_before ? now.total - plan->total_before : 0;
	hugepages_return_interrupted(pool, plan);
	return fail(-ENOMEM, error, error_bytes,
		"the kernel can spare only %u of %u hugepages: free memory, reserve them at boot, or ask for "
		"less memory",
		got, plan->missing);
}
