/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/privileges.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((format(printf, 4, 5))) static int fail(int rc, char *error, size_t bytes, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(error, bytes, fmt, ap);
	va_end(ap);
	return rc;
}

/* The kernel's table of a process's files doubles when it is full, and with threads about that takes an RCU
 * grace period of the kernel's: 10 to 25 ms in accept(2), on a data core. Once grown it stays. */
static void files_table_grow(unsigned long files)
{
	int any = open("/", O_PATH | O_CLOEXEC);
	int last = any < 0 || files > INT_MAX ? -1 : fcntl(any, F_DUPFD_CLOEXEC, (int)files - 1);

	if (last >= 0)
		close(last);
	if (any >= 0)
		close(any);
}

unsigned long privileges_files_limit(unsigned long wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	if (limit.rlim_cur >= wanted) {
		files_table_grow(wanted);
		return limit.rlim_cur;
	}
	struct rlimit raised = {.rlim_cur = wanted, .rlim_max = wanted};
	if (limit.rlim_max > wanted)
		raised.rlim_max = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &raised)) {
		raised = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
		setrlimit(RLIMIT_NOFILE, &raised);
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	files_table_grow(limit.rlim_cur < wanted ? limit.rlim_cur : wanted);
	return limit.rlim_cur;
}

/* user is a name, or the number of one that needs no entry. */
static int user_find(const char *user, uid_t *uid, gid_t *gid)
{
	const struct passwd *pw = getpwnam(user);
	size_t digits = strspn(user, "0123456789");

	if (!pw && digits && digits <= 9 && user[digits] == '\0') {
		*uid = (uid_t)strtoul(user, NULL, 10);
		*gid = (gid_t)*uid;
		pw = getpwuid(*uid);
		if (!pw)
			return 0;
	}
	if (!pw)
		return -ENOENT;
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}

static int capabilities_clear(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return -errno;
	return syscall(SYS_capset, &header, none) ? -errno : 0;
}

static int root_regained(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct held[_LINUX_CAPABILITY_U32S_3] = {0};

	if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0 || setegid(0) == 0)
		return 1;
	if (syscall(SYS_capget, &header, held))
		return 1;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		if (held[i].effective || held[i].permitted || held[i].inheritable)
			return 1;
	return 0;
}

int privileges_no_new(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

static int user_check(const char *user, uid_t *uid, gid_t *gid, char *error, size_t error_bytes)
{
	if (user_find(user, uid, gid))
		return fail(-ENOENT, error, error_bytes, "there is no user \"%s\"", user);
	if (*uid == 0 || *gid == 0)
		return fail(-EINVAL, error, error_bytes, "user \"%s\" is root, or in its group", user);
	return 0;
}

int privileges_check(const char *user, char *error, size_t error_bytes)
{
	uid_t uid;
	gid_t gid;

	error[0] = '\0';
	return geteuid() == 0 ? user_check(user, &uid, &gid, error, error_bytes) : 1;
}

int privileges_drop(const char *user, char *error, size_t error_bytes)
{
	uid_t uid;
	gid_t gid;

	error[0] = '\0';
	int rc = privileges_no_new();
	if (rc)
		return fail(rc, error, error_bytes, "no_new_privs: %s", strerror(-rc));
	if (geteuid() != 0)
		return 1;
	rc = user_check(user, &uid, &gid, error, error_bytes);
	if (rc)
		return rc;
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return fail(-errno, error, error_bytes, "becoming user \"%s\": %s", user, strerror(errno));
	rc = capabilities_clear();
	if (rc)
		return fail(rc, error, error_bytes, "clearing capabilities: %s", strerror(-rc));
#ifdef __SANITIZE_ADDRESS__
	prctl(PR_SET_DUMPABLE, 1, 0, 0,
		0); /* the search for leaks traces the process from a thread of its own */
#endif
	if (root_regained())
		return fail(-EPERM, error, error_bytes, "root can be regained after becoming \"%s\"", user);
	return 0;
}
