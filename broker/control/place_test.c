/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's place in the file system, through the public calls. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/control/control.h"
#include "runtime/log.h"
#include "tests/unit/unit.h"

enum { NOBODY = 65534 };

static char folder[64], path[108], error[256];

static void folder_make(void)
{
	snprintf(folder, sizeof(folder), "/tmp/godwit-place-test-XXXXXX");
	if (!mkdtemp(folder))
		abort();
	snprintf(path, sizeof(path), "%s/control.sock", folder);
	error[0] = '\0';
}

static void folder_remove(void)
{
	CU_ASSERT_EQUAL(rmdir(folder), 0); /* empty: nothing is left behind */
}

static struct control *open_it(mode_t mode)
{
	struct control *c = NULL;
	int result = control_open(path, mode, NULL, &c, error, sizeof(error));
	if (result) {
		printf("# %d %s\n", result, error);
		abort();
	}
	return c;
}

static int open_fails(const char *where)
{
	struct control *c = NULL;
	int result = control_open(where, 0660, NULL, &c, error, sizeof(error));
	CU_ASSERT_PTR_NULL(c);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, where));
	return result;
}

/* A client is taken in. */
static void lives(struct control *c)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	control_serve(c); /* whoever only looked whether it lives comes */
	control_serve(c); /* and goes */
	memcpy(address.sun_path, path, sizeof(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	control_serve(c);
	CU_ASSERT_EQUAL(control_clients(c), 1);
	close(fd);
	control_serve(c);
	CU_ASSERT_EQUAL(control_clients(c), 0);
}

static unsigned mode_of(const char *where)
{
	struct stat s;
	return stat(where, &s) ? 0 : (unsigned)s.st_mode & 07777;
}

static void test_permissions(void)
{
	static const mode_t modes[] = {0600, 0660, 0666};
	static const mode_t umasks[] = {0, 022, 077, 0777};
	folder_make();
	for (size_t i = 0; i < 3; i++) {
		for (size_t u = 0; u < 4; u++) {
			mode_t was = umask(umasks[u]);
			struct control *c = open_it(modes[i]);
			CU_ASSERT_EQUAL(umask(was), umasks[u]); /* left as it was */
			CU_ASSERT_EQUAL(mode_of(path), modes[i]);
			control_close(c);
		}
	}
	folder_remove();
}

static void test_group(void)
{
	struct control *c = NULL;
	struct stat s;
	folder_make();
	CU_ASSERT_EQUAL(control_open(path, 0660, "no-such-group", &c, error, sizeof(error)), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "no-such-group"));
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
	if (geteuid() == 0) {
		CU_ASSERT_EQUAL_FATAL(control_open(path, 0660, "daemon", &c, error, sizeof(error)), 0);
		CU_ASSERT_EQUAL(stat(path, &s), 0);
		CU_ASSERT_EQUAL(s.st_gid, 1);
		CU_ASSERT_EQUAL(mode_of(path), 0660);
		control_close(c);
	}
	folder_remove();
}

static void test_folder(void)
{
	char deep[128], *end = path + strlen(path);
	folder_make();
	end = path + snprintf(path, sizeof(path), "%s/run", folder);
	snprintf(end, sizeof(path) - (size_t)(end - path), "/control.sock");
	mode_t was = umask(077);
	struct control *c = open_it(0660);
	umask(was);
	*end = '\0';
	CU_ASSERT_EQUAL(mode_of(path), 0755);
	CU_ASSERT_EQUAL(control_give_folder(c, geteuid(), getegid()), 0);
	control_close(c);
	CU_ASSERT_EQUAL(access(path, F_OK), -1); /* the folder was its own */
	/* but no folder above it */
	snprintf(deep, sizeof(deep), "%s/a/b/control.sock", folder);
	CU_ASSERT_EQUAL(open_fails(deep), -ENOENT);
	snprintf(deep, sizeof(deep), "%s/", folder);
	CU_ASSERT_EQUAL(open_fails(deep), -EINVAL);
	/* where everybody may write, everybody could stand in for the broker */
	snprintf(path, sizeof(path), "%s/control.sock", folder);
	chmod(folder, 0777);
	CU_ASSERT_EQUAL(open_fails(path), -EPERM);
	chmod(folder, 01777);
	c = open_it(0660);
	control_close(c);
	folder_remove();
}

static void test_long_path(void)
{
	char longest[256];
	folder_make();
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, folder, strlen(folder));
	longest[strlen(folder)] = '/';
	longest[108] = '\0';
	CU_ASSERT_EQUAL(open_fails(longest), -ENAMETOOLONG);
	longest[107] = '\0';
	strcpy(path, longest);
	struct control *c = open_it(0660);
	lives(c);
	control_close(c);
	folder_remove();
}

static int listen_at(const char *where)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strcpy(address.sun_path, where);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1))
		abort();
	return fd;
}

static void test_stale_socket(void)
{
	folder_make();
	close(listen_at(path)); /* as a killed broker leaves it */
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	struct control *c = open_it(0660);
	lives(c);
	control_close(c);
	folder_remove();
}

static void test_live_socket(void)
{
	char pid[32];
	folder_make();
	struct control *c = open_it(0660);
	snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
	CU_ASSERT_EQUAL(open_fails(path), -EADDRINUSE);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, pid));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "control.socket"));
	/* the living one goes on */
	lives(c);
	control_close(c);
	/* one that is too busy to accept lives too */
	int busy = listen_at(path), waiting[8];
	for (unsigned i = 0; i < 8; i++) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		memcpy(address.sun_path, path, sizeof(path));
		waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(waiting[i], (struct sockaddr *)&address, sizeof(address)))
			CU_ASSERT_EQUAL(errno, EAGAIN);
	}
	CU_ASSERT_EQUAL(open_fails(path), -EADDRINUSE);
	for (unsigned i = 0; i < 8; i++)
		close(waiting[i]);
	close(busy);
	unlink(path);
	folder_remove();
}

static void test_no_socket(void)
{
	struct stat s;
	folder_make();
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	CU_ASSERT_EQUAL(open_fails(path), -EEXIST);
	CU_ASSERT_EQUAL(unlink(path), 0);
	CU_ASSERT_EQUAL(symlink("elsewhere", path), 0);
	CU_ASSERT_EQUAL(open_fails(path), -EEXIST);
	CU_ASSERT_EQUAL(lstat(path, &s), 0);
	CU_ASSERT_EQUAL(unlink(path), 0);
	CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
	CU_ASSERT_EQUAL(open_fails(path), -EEXIST);
	CU_ASSERT_EQUAL(rmdir(path), 0);
	folder_remove();
}

static void test_close_removes_its_own(void)
{
	folder_make();
	struct control *c = open_it(0660);
	CU_ASSERT_EQUAL(unlink(path), 0);
	int other = listen_at(path);
	control_close(c);
	CU_ASSERT_EQUAL(access(path, F_OK), 0); /* another's */
	close(other);
	CU_ASSERT_EQUAL(unlink(path), 0);
	control_close(NULL);
	folder_remove();
}

/* Of brokers that start at once over a dead socket one wins, and its socket stays. */
static void test_start_together(void)
{
	enum { BROKERS = 8 };
	folder_make();
	for (unsigned round = 0; round < 20; round++) {
		int go[2], done[2], stay[2], won = 0;
		close(listen_at(path));
		CU_ASSERT_EQUAL_FATAL(pipe(go) | pipe(done) | pipe(stay), 0);
		for (unsigned i = 0; i < BROKERS; i++) {
			if (fork())
				continue;
			char byte;
			struct control *c = NULL;
			close(go[1]);
			close(stay[1]);
			read(go[0], &byte, 1); /* the end: all at once */
			int lost = control_open(path, 0600, NULL, &c, error, sizeof(error)) != 0;
			write(done[1], lost ? "l" : "w", 1);
			if (!lost) {			 /* lives until all have looked */
				read(stay[0], &byte, 1); /* the end */
				control_close(c);
			}
			_exit(lost);
		}
		close(go[0]);
		close(go[1]);
		for (unsigned i = 0; i < BROKERS; i++) {
			char byte;
			CU_ASSERT_EQUAL(read(done[0], &byte, 1), 1);
		}
		close(stay[0]);
		close(stay[1]);
		for (unsigned i = 0; i < BROKERS; i++) {
			int status;
			wait(&status);
			won += WIFEXITED(status) && WEXITSTATUS(status) == 0;
		}
		close(done[0]);
		close(done[1]);
		CU_ASSERT_EQUAL(won, 1);
		CU_ASSERT_EQUAL(access(path, F_OK), -1);
	}
	folder_remove();
}

/* At no moment may anybody else connect: a second thread looks at the socket all the time. */
static int window_stop;

static void *window_watch(void *arg)
{
	unsigned *seen = arg;
	while (!__atomic_load_n(&window_stop, __ATOMIC_RELAXED))
		*seen |= mode_of(path);
	return NULL;
}

static void test_no_window(void)
{
	pthread_t thread;
	unsigned seen = 0;
	folder_make();
	window_stop = 0;
	mode_t was = umask(0);
	if (pthread_create(&thread, NULL, window_watch, &seen))
		abort();
	for (unsigned i = 0; i < 2000; i++)
		control_close(open_it(0640));
	__atomic_store_n(&window_stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	umask(was);
	CU_ASSERT_EQUAL(seen & ~0640u, 0);
	CU_ASSERT_NOT_EQUAL(seen, 0);
	folder_remove();
}

/* As root: after the fall the socket can still be removed, and so it is. */
static void test_given_folder(void)
{
	int status = -1;
	folder_make();
	if (geteuid() != 0) {
		CU_PASS("needs root");
		folder_remove();
		return;
	}
	chmod(folder, 0755);
	snprintf(path, sizeof(path), "%s/run/control.sock", folder);
	if (fork() == 0) {
		struct control *c = open_it(0660);
		if (control_give_folder(c, NOBODY, NOBODY) || setgid(NOBODY) || setuid(NOBODY))
			_exit(2);
		control_close(c);
		_exit(access(path, F_OK) == 0);
	}
	wait(&status);
	CU_ASSERT_EQUAL(status, 0);
	control_close(open_it(0660)); /* the next start, in a folder that is another's */
	*strrchr(path, '/') = '\0';
	CU_ASSERT_EQUAL(rmdir(path), 0);
	folder_remove();
}

static const struct unit_test tests[] = {
	{"the socket's mode, whatever the umask", test_permissions},
	{"no moment of wrong permissions", test_no_window},
	{"the socket's group", test_group},
	{"the folder", test_folder},
	{"a folder that is given away", test_given_folder},
	{"the longest path", test_long_path},
	{"a dead socket is replaced", test_stale_socket},
	{"a living socket is an error", test_live_socket},
	{"what is no socket stays", test_no_socket},
	{"close removes only its own", test_close_removes_its_own},
	{"brokers start together", test_start_together},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	log_set_level(LOG_LEVEL_ERROR);
	return unit_main(argc, argv, tests);
}
