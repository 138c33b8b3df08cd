/* SPDX-License-Identifier: Apache-2.0 */
/* Each case runs in a child, which becomes somebody else for good. What needs root is not run without it. */
#include "dpdk_port/one_user_test.h"
#include "dpdk_port/privileges.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char error[256];

/* A field of a /proc status file, as a number in the given base; -1 where it is missing. */
static long status_field(const char *path, const char *field, int base)
{
	char line[256];
	long value = -1;
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)))
			value = strtol(line + strlen(field), NULL, base);
	if (f)
		fclose(f);
	return value;
}

static int child_result(int (*run)(void))
{
	int status = -1;

	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(run());
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int drop_and_look(void)
{
	if (privileges_drop("nobody", error, sizeof(error)) != 0)
		return 1;
	if (getuid() == 0 || geteuid() == 0 || getgid() == 0 || getgroups(0, NULL) != 0)
		return 2;
	if (setuid(0) == 0 || seteuid(0) == 0)
		return 3;
	static const char *const sets[] = {"CapInh:", "CapPrm:", "CapEff:", "CapAmb:"};
	for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		if (status_field("/proc/self/status", sets[i], 16) != 0)
			return 4;
	return status_field("/proc/self/status", "NoNewPrivs:", 10) == 1 ? 0 : 5;
}

static void test_root_becomes_nobody(void)
{
	CU_ASSERT_EQUAL(child_result(drop_and_look), 0);
}

struct other {
	sem_t started, look;
	long uid, capabilities, no_new;
};

static void *other_run(void *context)
{
	struct other *o = context;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)gettid());
	sem_post(&o->started);
	sem_wait(&o->look);
	o->uid = status_field(path, "Uid:", 10);
	o->capabilities = status_field(path, "CapEff:", 16);
	o->no_new = status_field(path, "NoNewPrivs:", 10);
	return NULL;
}

static int drop_with_thread(void)
{
	struct other o = {.uid = -1};
	pthread_t thread;

	sem_init(&o.started, 0, 0);
	sem_init(&o.look, 0, 0);
	if (privileges_no_new() || pthread_create(&thread, NULL, other_run, &o))
		return 1;
	sem_wait(&o.started);
	if (privileges_drop("nobody", error, sizeof(error)))
		return 2;
	sem_post(&o.look);
	pthread_join(thread, NULL);
	if (o.uid != (long)getuid())
		return 3;
	return o.capabilities == 0 && o.no_new == 1 ? 0 : 4;
}

static void test_threads_drop_too(void)
{
	CU_ASSERT_EQUAL(child_result(drop_with_thread), 0);
}

static int drop_to_number(void)
{
	return privileges_drop("54321", error, sizeof(error)) == 0 && getuid() == 54321 && getgid() == 54321
		       ? 0
		       : 1;
}

static void test_number_without_entry(void)
{
	CU_ASSERT_EQUAL(child_result(drop_to_number), 0);
}

static int drop_wrongly(void)
{
	static const char *const absent[] = {"", "no-such-user", "12x", "-1", "99999999999"};

	for (unsigned i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		if (privileges_drop(absent[i], error, sizeof(error)) != -ENOENT || !error[0])
			return 1;
	if (privileges_drop("root", error, sizeof(error)) != -EINVAL)
		return 2;
	return privileges_drop("0", error, sizeof(error)) == -EINVAL && geteuid() == 0 ? 0 : 3;
}

static void test_wrong_users_are_refused(void)
{
	CU_ASSERT_EQUAL(child_result(drop_wrongly), 0);
}

static int drop_twice(void)
{
	if (geteuid() == 0 && privileges_drop("nobody", error, sizeof(error)))
		return 1;
	return privileges_drop("nobody", error, sizeof(error)) == 1 ? 0 : 2;
}

static void test_nothing_to_drop(void)
{
	CU_ASSERT_EQUAL(child_result(drop_twice), 0);
}

static void test_check_changes_nothing(void)
{
	CU_ASSERT_EQUAL(privileges_check("nobody", error, sizeof(error)), 0);
	CU_ASSERT_EQUAL(privileges_check("no-such-user", error, sizeof(error)), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "no-such-user"));
	CU_ASSERT_EQUAL(privileges_check("root", error, sizeof(error)), -EINVAL);
	CU_ASSERT_EQUAL(geteuid(), 0);
}

static int limit_raise(void)
{
	struct rlimit low = {.rlim_cur = 64, .rlim_max = 4096};

	setrlimit(RLIMIT_NOFILE, &low);
	if (privileges_files_limit(32) != 64)
		return 1; /* never lowered */
	if (privileges_files_limit(1000) != 1000)
		return 2;
	unsigned long got = privileges_files_limit(8192);
	return got == 8192 || got == 4096 ? 0 : 3; /* root in a container may lack CAP_SYS_RESOURCE */
}

static void test_files_limit(void)
{
	CU_ASSERT_EQUAL(child_result(limit_raise), 0);
}

/* As the kernel says it. */
static unsigned long files_table(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	unsigned long n = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "FDSize: %lu", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

static int table_grows(void)
{
	unsigned long before = files_table(), wanted = before * 2 + 1;

	if (before == 0 || privileges_files_limit(wanted) < wanted)
		return 1;
	int next = open("/", O_PATH | O_CLOEXEC); /* it holds nothing more than before */
	return files_table() >= wanted && next >= 0 && (unsigned long)next < before ? 0 : 2;
}

/* Before there are threads, so that no accept waits for it. */
static void test_files_table(void)
{
	CU_ASSERT_EQUAL(child_result(table_grows), 0);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"nothing_to_drop", test_nothing_to_drop},
		{"files_limit", test_files_limit},
		{"files_table", test_files_table},
		{"root_becomes_nobody", test_root_becomes_nobody},
		{"threads_drop_too", test_threads_drop_too},
		{"number_without_entry", test_number_without_entry},
		{"check_changes_nothing", test_check_changes_nothing},
		{"wrong_users_are_refused", test_wrong_users_are_refused},
		{NULL, NULL},
	};
	if (geteuid() != 0 || one_user_only()) {
		printf("TAP version 13\n1..0 # SKIP dropping privileges needs root, and another user to "
		       "become\n");
		return 0;
	}
	return unit_main(argc, argv, tests);
}
