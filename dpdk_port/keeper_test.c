/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper and the hugepages that it gives back. Brokers are played by children of the test, pools by
 * folders; only the last tests grow the kernel's own pool, as root. */
#include "dpdk_port/eal.h"
#include "dpdk_port/hugepages.h"
#include "dpdk_port/keeper.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGES_BEFORE = 10, PAGES_ADDED = 5, WAIT_MS = 10000, EAL_MB = 32 };

static char base[64], pool[96], state[96], path[96], error[256];

static void file_write(const char *folder, const char *name, const char *text)
{
	char file[256];

	snprintf(file, sizeof(file), "%s/%s", folder, name);
	FILE *f = fopen(file, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fputs(text, f);
	fclose(f);
}

static void pages_set(unsigned total, unsigned unused)
{
	char text[32];

	snprintf(text, sizeof(text), "%u\n", total);
	file_write(pool, "nr_hugepages", text);
	snprintf(text, sizeof(text), "%u\n", unused);
	file_write(pool, "free_hugepages", text);
	file_write(pool, "resv_hugepages", "0\n");
}

static unsigned pages(void)
{
	struct hugepages h;
	CU_ASSERT_EQUAL(hugepages_read(pool, &h), 0);
	return h.total;
}

static unsigned entries(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static int socket_make(const char *at)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(at) >= sizeof(a.sun_path))
		return -1;
	memcpy(a.sun_path, at, strlen(at));
	int rc = bind(fd, (struct sockaddr *)&a, sizeof(a));
	close(fd);
	return rc;
}

/* A fresh pool of PAGES_BEFORE, all in use, and an empty state folder. */
static void fresh(void)
{
	pages_set(PAGES_BEFORE, 0);
	unlink(path);
	unsigned undone;
	keeper_undo_stale(state, &undone);
	CU_ASSERT_EQUAL(entries(state), 0);
}

static struct keeper *started(void)
{
	struct keeper *k;
	CU_ASSERT_EQUAL_FATAL(keeper_start(state, &k, error, sizeof(error)), 0);
	return k;
}

/* As the broker does it: plan, remember, grow, remember. */
static int pages_grow(struct keeper *k)
{
	struct hugepages_plan plan;

	if (hugepages_plan(pool, PAGES_ADDED, &plan, error, sizeof(error)))
		return 1;
	if (keeper_remember_hugepages_growing(k, pool, &plan))
		return 2;
	if (hugepages_grow(pool, &plan, error, sizeof(error)))
		return 3;
	return keeper_remember_hugepages_grown(k, pool, &plan) ? 4 : 0;
}

static int everything_remember(struct keeper *k)
{
	int rc = pages_grow(k);
	if (rc == 0 && (socket_make(path) || keeper_remember_socket(k, path)))
		rc = 5;
	return rc;
}

static void everything_undone(void)
{
	CU_ASSERT_EQUAL(pages(), PAGES_BEFORE);
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
	CU_ASSERT_EQUAL(entries(state), 0);
}

static void test_finish_undoes_everything(void)
{
	fresh();
	struct keeper *k = started();
	CU_ASSERT_EQUAL(everything_remember(k), 0);
	CU_ASSERT_EQUAL(pages(), PAGES_BEFORE + PAGES_ADDED);
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	CU_ASSERT_EQUAL(entries(state), 1);
	keeper_finish(k);
	everything_undone();
	keeper_finish(NULL);
}

static bool state_empties(void)
{
	for (int ms = 0; ms < WAIT_MS && entries(state); ms++)
		usleep(1000);
	return entries(state) == 0;
}

/* A child that has the keeper remember everything, tells the keeper's process id, and waits to be killed. */
static pid_t broker_start(int (*work)(struct keeper *), pid_t *keeper)
{
	int pipe_[2];

	fflush(stdout);
	CU_ASSERT_EQUAL_FATAL(pipe2(pipe_, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct keeper *k = NULL;
		pid_t out = 0;
		if (keeper_start(state, &k, error, sizeof(error)) == 0 && work(k) == 0)
			out = keeper_pid(k);
		if (write(pipe_[1], &out, sizeof(out)) != sizeof(out))
			_exit(1);
		for (;;)
			pause();
	}
	close(pipe_[1]);
	*keeper = 0;
	CU_ASSERT_EQUAL(read(pipe_[0], keeper, sizeof(*keeper)), sizeof(*keeper));
	close(pipe_[0]);
	CU_ASSERT_NOT_EQUAL(*keeper, 0);
	return pid;
}

static void test_kill_undoes_everything(void)
{
	pid_t keeper;

	fresh();
	pid_t pid = broker_start(everything_remember, &keeper);
	CU_ASSERT_EQUAL(pages(), PAGES_BEFORE + PAGES_ADDED);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CU_ASSERT(state_empties());
	everything_undone();
}

static void test_next_start_undoes_what_both_left(void)
{
	unsigned undone;
	pid_t keeper;

	fresh();
	pid_t pid = broker_start(everything_remember, &keeper);
	CU_ASSERT_EQUAL(keeper_undo_stale(state, &undone), 0);
	CU_ASSERT_EQUAL(undone, 0); /* both are alive */
	kill(keeper, SIGKILL);
	CU_ASSERT_EQUAL(keeper_undo_stale(state, &undone), 0);
	CU_ASSERT_EQUAL(undone, 0); /* the broker is alive */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CU_ASSERT_EQUAL(pages(), PAGES_BEFORE + PAGES_ADDED);
	for (int ms = 0; ms < WAIT_MS && undone == 0; ms++) {
		CU_ASSERT_EQUAL(keeper_undo_stale(state, &undone), 0);
		usleep(1000);
	}
	CU_ASSERT_EQUAL(undone, 1);
	everything_undone();
}

static int half_grow(struct keeper *k)
{
	struct hugepages_plan plan;

	if (hugepages_plan(pool, PAGES_ADDED, &plan, error, sizeof(error)) ||
		keeper_remember_hugepages_growing(k, pool, &plan))
		return 1;
	pages_set(PAGES_BEFORE + 3, 3);
	return 0;
}

static void test_kill_amid_growing_returns_what_was_grown(void)
{
	pid_t keeper;

	fresh();
	pid_t pid = broker_start(half_grow, &keeper);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CU_ASSERT(state_empties());
	CU_ASSERT_EQUAL(pages(), PAGES_BEFORE);
}

static void test_signals_of_the_terminal_do_not_end_it(void)
{
	fresh();
	struct keeper *k = started();
	static const int sent[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	for (unsigned i = 0; i < sizeof(sent) / sizeof(sent[0]); i++)
		kill(keeper_pid(k), sent[i]);
	usleep(20000);
	CU_ASSERT_EQUAL(everything_remember(k), 0);
	CU_ASSERT_NOT_EQUAL(getpgid(keeper_pid(k)), getpgid(0));
	keeper_finish(k);
	everything_undone();
}

static void test_sealed_accepts_nothing(void)
{
	const struct hugepages_plan plan = {.total_before = 1, .missing = 2};

	fresh();
	struct keeper *k = started();
	CU_ASSERT_EQUAL(everything_remember(k), 0);
	CU_ASSERT_EQUAL(keeper_seal(k), 0);
	CU_ASSERT_EQUAL(keeper_remember_socket(k, path), -EPERM);
	CU_ASSERT_EQUAL(keeper_remember_hugepages_grown(k, pool, &plan), -EPERM);
	keeper_finish(k);
	everything_undone();
}

static void test_killed_keeper_is_noticed(void)
{
	unsigned undone;

	fresh();
	struct keeper *k = started();
	CU_ASSERT_EQUAL(everything_remember(k), 0);
	kill(keeper_pid(k), SIGKILL);
	usleep(20000);
	CU_ASSERT_EQUAL(keeper_remember_socket(k, path), -EPIPE);
	keeper_finish(k);
	CU_ASSERT_EQUAL(keeper_undo_stale(state, &undone), 0);
	CU_ASSERT_EQUAL(undone, 1);
	everything_undone();
}

static void test_only_the_same_socket_is_removed(void)
{
	char other[128];

	fresh();
	struct keeper *k = started();
	CU_ASSERT_EQUAL(everything_remember(k), 0);
	snprintf(other, sizeof(other), "%s.new", path);
	CU_ASSERT_EQUAL(socket_make(other), 0);
	CU_ASSERT_EQUAL(rename(other, path), 0); /* another broker bound here */
	keeper_finish(k);
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	unlink(path);

	file_write(base, "plain", "text");
	snprintf(other, sizeof(other), "%s/plain", base);
	k = started();
	CU_ASSERT_EQUAL(keeper_remember_socket(k, other), -EINVAL);
	CU_ASSERT_EQUAL(keeper_remember_socket(k, "/nonexistent/socket"), -ENOENT);
	keeper_finish(k);
	CU_ASSERT_EQUAL(unlink(other), 0);
}

static void test_too_much_is_refused(void)
{
	fresh();
	struct keeper *k = started();
	CU_ASSERT_EQUAL(socket_make(path), 0);
	int rc = 0;
	unsigned n = 0;
	while ((rc = keeper_remember_socket(k, path)) == 0 && n < 1000)
		n++;
	CU_ASSERT_EQUAL(rc, -ENOSPC);
	CU_ASSERT_EQUAL(n, 32);
	keeper_finish(k);
	everything_undone();
}

static void test_forgotten_hugepages_stay(void)
{
	struct hugepages_plan plan = {.total_before = PAGES_BEFORE - 4, .missing = PAGES_ADDED};

	fresh();
	struct keeper *k = started();
	CU_ASSERT_EQUAL(keeper_remember_hugepages_growing(k, pool, &plan), 0);
	CU_ASSERT_EQUAL(keeper_forget_hugepages(k, pool), 0);
	keeper_finish(k);
	everything_undone();
}

static void test_nonsense_in_a_state_file(void)
{
	char text[1024];
	unsigned undone;

	fresh();
	pages_set(PAGES_BEFORE + PAGES_ADDED, PAGES_ADDED);
	snprintf(text, sizeof(text),
		"hugepages-grown 0 99999999999 %s\nfile 0 0 /etc/passwd\n\n\x01\x02\nsocket x y z\n"
		"hugepages-grown 0 %d %s\nhugepages-grown 0 3 %s",
		pool, PAGES_ADDED, pool, pool);
	file_write(state, "host-state.1", text);
	CU_ASSERT_EQUAL(keeper_undo_stale(state, &undone), 0);
	CU_ASSERT_EQUAL(undone, 1);
	everything_undone(); /* the last line has no end: it was never promised */
}

static void test_folder_of_others_is_refused(void)
{
	struct keeper *k;
	unsigned undone;

	fresh();
	chmod(state, 0777);
	CU_ASSERT_EQUAL(keeper_start(state, &k, error, sizeof(error)), -EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, state));
	CU_ASSERT_EQUAL(keeper_undo_stale(state, &undone), -EPERM);
	chmod(state, 0755);
	CU_ASSERT_EQUAL(keeper_start("relative", &k, error, sizeof(error)), -EINVAL);
	CU_ASSERT_EQUAL(keeper_start("/nonexistent/a/b", &k, error, sizeof(error)), -ENOENT);
	CU_ASSERT_EQUAL(keeper_undo_stale("/nonexistent/a", &undone), 0);
}

static void test_no_folder_no_keeper(void)
{
	struct keeper *k;

	fresh();
	CU_ASSERT_EQUAL(keeper_start(NULL, &k, error, sizeof(error)), 0);
	CU_ASSERT_EQUAL(everything_remember(k), 0);
	keeper_finish(k);
	everything_undone();
	CU_ASSERT_EQUAL(pages_grow(NULL), 0);
	CU_ASSERT_EQUAL(keeper_seal(NULL), 0);
	pages_set(PAGES_BEFORE, 0);
}

static void test_plan(void)
{
	struct hugepages_plan plan;

	fresh();
	pages_set(PAGES_BEFORE, 4);
	CU_ASSERT_EQUAL(hugepages_plan(pool, 3, &plan, error, sizeof(error)), 0);
	CU_ASSERT_EQUAL(plan.missing, 0);
	file_write(pool, "resv_hugepages", "2\n");
	CU_ASSERT_EQUAL(hugepages_plan(pool, 3, &plan, error, sizeof(error)), 0);
	CU_ASSERT_EQUAL(plan.missing, 1);
	CU_ASSERT_EQUAL(hugepages_plan(pool, 0, &plan, error, sizeof(error)), -EINVAL);
	CU_ASSERT_EQUAL(hugepages_plan("/nonexistent", 1, &plan, error, sizeof(error)), -ENOTSUP);
	CU_ASSERT(error[0] != '\0');
	plan = (struct hugepages_plan){.total_before = 1, .missing = 1};
	CU_ASSERT_EQUAL(hugepages_try(HUGEPAGES_MAX), -ENOMEM);
	CU_ASSERT(hugepages_grow("/nonexistent", &plan, error, sizeof(error)) < 0);
}

/* The broker's way with the kernel's pool: reserve, start EAL on it. */
static int eal_on_hugepages(struct keeper *k)
{
	const struct eal_options o = {.hugepages = true, .memory_mb = EAL_MB};
	struct hugepages_plan plan;

	if (hugepages_plan(HUGEPAGES_POOL, EAL_MB / HUGEPAGE_MB, &plan, error, sizeof(error)) ||
		keeper_remember_hugepages_growing(k, HUGEPAGES_POOL, &plan) ||
		hugepages_grow(HUGEPAGES_POOL, &plan, error, sizeof(error)) ||
		keeper_remember_hugepages_grown(k, HUGEPAGES_POOL, &plan) ||
		hugepages_try(EAL_MB / HUGEPAGE_MB))
		return 1;
	if (dpdk_eal_start(&o, error, sizeof(error))) {
		printf("# %s\n", error);
		return 2;
	}
	return 0;
}

static bool kernel_pool_grows(void)
{
	struct hugepages_plan plan;

	if (hugepages_plan(HUGEPAGES_POOL, EAL_MB / HUGEPAGE_MB, &plan, error, sizeof(error)) ||
		hugepages_grow(HUGEPAGES_POOL, &plan, error, sizeof(error))) {
		printf("# not tested on this machine: %s\n", error);
		return false;
	}
	return hugepages_return(HUGEPAGES_POOL, plan.missing) == 0;
}

static void test_kill_returns_the_kernels_hugepages(void)
{
	struct hugepages before, now;
	pid_t keeper;

	fresh();
	unsigned files = entries("/dev/hugepages");
	CU_ASSERT_EQUAL(hugepages_read(HUGEPAGES_POOL, &before), 0);
	if (!kernel_pool_grows())
		return;
	pid_t pid = broker_start(eal_on_hugepages, &keeper);
	CU_ASSERT_EQUAL(hugepages_read(HUGEPAGES_POOL, &now), 0);
	CU_ASSERT(now.total >= EAL_MB / HUGEPAGE_MB);
	CU_ASSERT(now.free + EAL_MB / HUGEPAGE_MB <= now.total); /* EAL has them */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CU_ASSERT(state_empties());
	CU_ASSERT_EQUAL(hugepages_read(HUGEPAGES_POOL, &now), 0);
	CU_ASSERT_EQUAL(now.total, before.total);
	CU_ASSERT_EQUAL(now.free, before.free);
	CU_ASSERT_EQUAL(entries("/dev/hugepages"), files);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"finish_undoes_everything", test_finish_undoes_everything},
		{"kill_undoes_everything", test_kill_undoes_everything},
		{"next_start_undoes_what_both_left", test_next_start_undoes_what_both_left},
		{"kill_amid_growing", test_kill_amid_growing_returns_what_was_grown},
		{"signals_of_the_terminal_do_not_end_it", test_signals_of_the_terminal_do_not_end_it},
		{"sealed_accepts_nothing", test_sealed_accepts_nothing},
		{"killed_keeper_is_noticed", test_killed_keeper_is_noticed},
		{"only_the_same_socket_is_removed", test_only_the_same_socket_is_removed},
		{"too_much_is_refused", test_too_much_is_refused},
		{"forgotten_hugepages_stay", test_forgotten_hugepages_stay},
		{"nonsense_in_a_state_file", test_nonsense_in_a_state_file},
		{"folder_of_others_is_refused", test_folder_of_others_is_refused},
		{"no_folder_no_keeper", test_no_folder_no_keeper},
		{"plan", test_plan},
		{"kill_returns_the_kernels_hugepages", test_kill_returns_the_kernels_hugepages},
		{NULL, NULL},
	};
	char command[128];

	snprintf(base, sizeof(base), "/tmp/keeper_test_XXXXXX");
	if (!mkdtemp(base))
		return 1;
	snprintf(pool, sizeof(pool), "%s/pool", base);
	snprintf(state, sizeof(state), "%s/state", base);
	snprintf(path, sizeof(path), "%s/control", base);
	if (mkdir(pool, 0755) || mkdir(state, 0755))
		return 1;
	int rc = unit_main(argc, argv, tests);
	snprintf(command, sizeof(command), "rm -r %s", base);
	return system(command) ? 1 : rc;
}
