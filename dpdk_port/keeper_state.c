/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/keeper_state.h"
#include "dpdk_port/hugepages.h"
#include "dpdk_port/netdev.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS_PER_S      UINT64_C(1000000000)
#define CLOCK_STEP_NS UINT64_C(20000000) /* files are dated by a tick of the kernel's */

enum { FILE_BYTES_MAX = 16384, LINE_BYTES = KEEPER_PATH_BYTES + 80 };

static const char *const kind_names[KEEPER_KINDS] = {
	[KEEPER_SOCKET] = "socket",
	[KEEPER_HUGEPAGES_GROWING] = "hugepages-growing",
	[KEEPER_HUGEPAGES_GROWN] = "hugepages-grown",
	[KEEPER_HUGEPAGES_FORGET] = "hugepages-forget",
	[KEEPER_INTERFACE] = "interface",
	[KEEPER_XDP_ATTACHING] = "xdp-attaching",
	[KEEPER_XDP_ATTACHED] = "xdp-attached",
	[KEEPER_SOCKET_MAKING] = "socket-making",
};

static bool values_valid(const struct keeper_record *r)
{
	switch ((enum keeper_kind)r->kind) {
	case KEEPER_SOCKET:
	case KEEPER_SOCKET_MAKING:
		return true;
	case KEEPER_HUGEPAGES_GROWING:
	case KEEPER_HUGEPAGES_GROWN:
	case KEEPER_HUGEPAGES_FORGET:
		return r->a <= HUGEPAGES_MAX && r->b <= HUGEPAGES_MAX;
	case KEEPER_INTERFACE:
	case KEEPER_XDP_ATTACHING:
	case KEEPER_XDP_ATTACHED:
		return r->a <= INT_MAX;
	case KEEPER_KINDS:
		break;
	}
	return false;
}

static bool record_valid(const struct keeper_record *r)
{
	size_t n = strnlen(r->path, KEEPER_PATH_BYTES);

	if (r->kind >= KEEPER_KINDS || n == KEEPER_PATH_BYTES || r->path[0] != '/')
		return false;
	for (size_t i = 0; i < n; i++)
		if (r->path[i] <= ' ' || r->path[i] > '~')
			return false;
	return values_valid(r);
}

static bool record_remove(struct keeper_state *s, enum keeper_kind kind, const char *path)
{
	for (unsigned i = 0; i < s->count; i++) {
		if (s->records[i].kind != kind || strcmp(s->records[i].path, path))
			continue;
		memmove(&s->records[i], &s->records[i + 1], (s->count - i - 1) * sizeof(s->records[0]));
		s->count--;
		return true;
	}
	return false;
}

int keeper_state_add(struct keeper_state *s, const struct keeper_record *r)
{
	if (!record_valid(r))
		return -EINVAL;
	if (r->kind == KEEPER_HUGEPAGES_GROWN || r->kind == KEEPER_HUGEPAGES_FORGET)
		record_remove(s, KEEPER_HUGEPAGES_GROWING, r->path);
	if (r->kind == KEEPER_SOCKET)
		record_remove(s, KEEPER_SOCKET_MAKING, r->path);
	/* Without the one before it, the program is not ours. */
	if (r->kind == KEEPER_XDP_ATTACHED && !record_remove(s, KEEPER_XDP_ATTACHING, r->path))
		return 0;
	if (r->kind == KEEPER_HUGEPAGES_FORGET)
		return 0;
	if (s->count == KEEPER_RECORDS_MAX)
		return -ENOSPC;
	s->records[s->count++] = *r;
	return 0;
}

/* Modes and owners may have been changed since. */
static bool made_soon_after(const struct stat *s, uint64_t since_ns)
{
	uint64_t made_ns = (uint64_t)s->st_mtim.tv_sec * NS_PER_S + (uint64_t)s->st_mtim.tv_nsec;

	return made_ns + CLOCK_STEP_NS >= since_ns && made_ns < since_ns + KEEPER_MADE_WITHIN_S * NS_PER_S;
}

static void record_undo(const struct keeper_record *r)
{
	const struct hugepages_plan plan = {.total_before = (unsigned)r->a, .missing = (unsigned)r->b};
	const char *name = strrchr(r->path, '/') + 1;
	const unsigned interface = (unsigned)r->a;
	struct netdev_change change = netdev_change_of(r->b);
	struct stat now;

	switch ((enum keeper_kind)r->kind) {
	case KEEPER_SOCKET_MAKING:
		if (lstat(r->path, &now) == 0 && S_ISSOCK(now.st_mode) && made_soon_after(&now, r->b))
			unlink(r->path);
		break;
	case KEEPER_SOCKET:
		if (lstat(r->path, &now) == 0 && S_ISSOCK(now.st_mode) && now.st_dev == r->a &&
			now.st_ino == r->b)
			unlink(r->path);
		break;
	case KEEPER_HUGEPAGES_GROWING:
		hugepages_return_interrupted(r->path, &plan);
		break;
	case KEEPER_HUGEPAGES_GROWN:
		hugepages_return(r->path, plan.missing);
		break;
	case KEEPER_INTERFACE:
		netdev_restore(name, interface, &change);
		break;
	case KEEPER_XDP_ATTACHING:
		netdev_program_remove_loaded(name, interface, r->b, KEEPER_MADE_WITHIN_S * NS_PER_S);
		break;
	case KEEPER_XDP_ATTACHED:
		netdev_program_remove(name, interface, (uint32_t)r->b);
		break;
	case KEEPER_HUGEPAGES_FORGET:
	case KEEPER_KINDS:
		break;
	}
}

void keeper_state_undo(struct keeper_state *s)
{
	while (s->count > 0)
		record_undo(&s->records[--s->count]);
}

int keeper_record_write(int fd, const struct keeper_record *r)
{
	char line[LINE_BYTES];

	int n = snprintf(line, sizeof(line), "%s %" PRIu64 " %" PRIu64 " %s\n", kind_names[r->kind], r->a,
		r->b, r->path);
	ssize_t written = write(fd, line, (size_t)n);
	return written == n ? 0 : written < 0 ? -errno : -EIO;
}

static bool line_parse(const char *line, struct keeper_record *r)
{
	char kind[32];

	memset(r, 0, sizeof(*r));
	_Static_assert(KEEPER_PATH_BYTES == 160, "the width below is one less");
	if (sscanf(line, "%31s %" SCNu64 " %" SCNu64 " %159s", kind, &r->a, &r->b, r->path) != 4)
		return false;
	for (r->kind = 0; r->kind < KEEPER_KINDS; r->kind++)
		if (!strcmp(kind, kind_names[r->kind]))
			return true;
	return false;
}

int keeper_state_read(int fd, struct keeper_state *s)
{
	char text[FILE_BYTES_MAX + 1];
	struct keeper_record r;
	size_t used = 0;
	ssize_t n;

	s->count = 0;
	while ((n = pread(fd, text + used, FILE_BYTES_MAX - used, (off_t)used)) > 0)
		used += (size_t)n;
	if (n < 0)
		return -errno;
	text[used] = '\0';
	/* A line without its end was not written whole: it was not promised either. */
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		if (line_parse(line, &r))
			keeper_state_add(s, &r);
	}
	return 0;
}
