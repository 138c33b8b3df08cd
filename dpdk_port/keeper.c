/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/keeper.h"
#include "dpdk_port/keeper_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char file_prefix[] = "host-state.";

enum { FIRST_OWN_FD = 3, FILE_TRIES = 8 };

enum message_kind { MESSAGE_REMEMBER, MESSAGE_SEAL, MESSAGE_FINISH };

struct message {
	uint32_t kind;
	struct keeper_record record;
};

struct keeper {
	int channel;
	int file; /* held for its lock; -1: no state file */
	pid_t pid;
};

/* What the keeper process has. The broker shares file, whose lock says that one of them lives, and cannot
 * write through it; the keeper writes through a descriptor of its own. */
struct keeping {
	int channel, file, writer;
	bool sealed;
	char path[PATH_MAX];
	struct keeper_state state;
};

__attribute__((format(printf, 4, 5))) static int fail(int rc, char *error, size_t bytes, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(error, bytes, fmt, ap);
	va_end(ap);
	return rc;
}

/* Moves a descriptor out of the way of the standard ones. */
static int fd_high(int fd)
{
	if (fd < 0 || fd >= FIRST_OWN_FD)
		return fd;
	int high = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_OWN_FD);
	close(fd);
	return high;
}

/* The folder, if what lies in it can be believed. */
static int directory_open(const char *path)
{
	struct stat s;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &s) || s.st_uid != geteuid() || (s.st_mode & (S_IWGRP | S_IWOTH))) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

/* Creates the state file and locks it. Someone who looks for stale files may lock it first, find nothing in
 * it and remove it: then another is made. */
static int file_create(const char *path)
{
	for (unsigned i = 0; i < FILE_TRIES; i++) {
		struct stat s;
		int fd = fd_high(open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &s) == 0 && s.st_nlink > 0)
			return fd;
		close(fd);
		usleep(1000);
	}
	return -EBUSY;
}

static int file_start(const char *directory, struct keeping *k, char *error, size_t bytes)
{
	k->file = -1;
	if (!directory)
		return 0;
	if (directory[0] != '/')
		return fail(-EINVAL, error, bytes, "the folder \"%s\" for state is not absolute", directory);
	if (mkdir(directory, 0755) && errno != EEXIST)
		return fail(-errno, error, bytes, "making %s: %s", directory, strerror(errno));
	int fd = directory_open(directory);
	if (fd == -EPERM)
		return fail(fd, error, bytes,
			"%s belongs to, or may be written by, somebody else: remove it, or chown it to uid "
			"%u and chmod 755 it",
			directory, (unsigned)geteuid());
	if (fd < 0)
		return fail(fd, error, bytes, "%s: %s", directory, strerror(-fd));
	close(fd);
	int n = snprintf(k->path, sizeof(k->path), "%s/%s%d", directory, file_prefix, (int)getpid());
	if (n >= (int)sizeof(k->path))
		return fail(-ENAMETOOLONG, error, bytes, "the folder's name is too long");
	k->file = file_create(k->path);
	if (k->file < 0)
		return fail(k->file, error, bytes, "%s: %s", k->path, strerror(-k->file));
	return 0;
}

/* Leaves the terminal's session and group, ignores what is meant for the broker, and lets go of everything
 * that was open: a keeper must not hold a pipe or a lock that others wait for. */
static void process_prepare(struct keeping *k)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM,
		SIGIO, SIGTSTP, SIGTTIN, SIGTTOU};
	int null = open("/dev/null", O_RDWR);
	int low = k->file >= 0 && k->file < k->channel ? k->file : k->channel;
	int high = k->file > k->channel ? k->file : k->channel;
	sigset_t none;

	for (unsigned i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	prctl(PR_SET_NAME, "godwit-keeper", 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (chdir("/"))
		_exit(1);
	for (int fd = 0; null >= 0 && fd < FIRST_OWN_FD; fd++)
		dup2(null, fd);
	if (low > FIRST_OWN_FD)
		close_range(FIRST_OWN_FD, (unsigned)low - 1, 0);
	if (high > low + 1)
		close_range((unsigned)low + 1, (unsigned)high - 1, 0);
	close_range((unsigned)high + 1, ~0u, 0);
	k->writer = k->file < 0 ? -1 : open(k->path, O_WRONLY | O_APPEND | O_NOFOLLOW);
}

static int remember(struct keeping *k, const struct keeper_record *r)
{
	if (k->sealed)
		return -EPERM;
	int rc = keeper_state_add(&k->state, r);
	if (rc == 0 && k->file >= 0)
		rc = keeper_record_write(k->writer, r);
	return rc;
}

/* The keeper's life: until it is told to finish, or the broker's end of the channel is closed. */
__attribute__((noreturn)) static void process_run(struct keeping *k)
{
	struct message m;

	for (;;) {
		ssize_t n = recv(k->channel, &m, sizeof(m), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(m) || m.kind == MESSAGE_FINISH)
			break;
		int32_t rc = -EINVAL;
		if (m.kind == MESSAGE_REMEMBER)
			rc = remember(k, &m.record);
		if (m.kind == MESSAGE_SEAL) {
			k->sealed = true;
			rc = 0;
		}
		send(k->channel, &rc, sizeof(rc), MSG_NOSIGNAL);
	}
	keeper_state_undo(&k->state);
	if (k->file >= 0)
		unlink(k->path);
	_exit(0);
}

static int process_start(struct keeping *keeping, struct keeper *k)
{
	int pair[2];
	sigset_t all, before;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	pair[0] = fd_high(pair[0]);
	pair[1] = fd_high(pair[1]);
	/* A Ctrl-C before the keeper has said that it ignores it must not end it. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid_t pid = pair[0] < 0 || pair[1] < 0 ? -1 : fork();
	if (pid == 0) {
		keeping->channel = pair[1];
		process_prepare(keeping);
		process_run(keeping);
	}
	int rc = pid < 0 ? -errno : 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(pair[1]);
	if (rc)
		close(pair[0]);
	*k = (struct keeper){.channel = pair[0], .file = keeping->file, .pid = pid};
	return rc;
}

int keeper_start(const char *state_directory, struct keeper **out, char *error, size_t error_bytes)
{
	struct keeping *keeping = calloc(1, sizeof(*keeping));
	struct keeper *k = calloc(1, sizeof(*k));

	*out = NULL;
	error[0] = '\0';
	int rc = keeping && k ? file_start(state_directory, keeping, error, error_bytes) : -ENOMEM;
	if (rc == 0) {
		rc = process_start(keeping, k);
		if (rc) {
			fail(rc, error, error_bytes, "starting the keeper: %s", strerror(-rc));
			if (keeping->file >= 0) {
				unlink(keeping->path);
				close(keeping->file);
			}
		}
	}
	free(keeping);
	if (rc) {
		free(k);
		return rc;
	}
	*out = k;
	return 0;
}

/* Sends a message and waits for the keeper's word. */
static int ask(struct keeper *k, const struct message *m)
{
	int32_t rc;
	ssize_t n;

	if (send(k->channel, m, sizeof(*m), MSG_NOSIGNAL) != (ssize_t)sizeof(*m))
		return -EPIPE;
	do
		n = recv(k->channel, &rc, sizeof(rc), 0);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(rc) ? rc : -EPIPE;
}

int keeper_record_send(struct keeper *k, enum keeper_kind kind, const char *path, uint64_t a, uint64_t b)
{
	struct message m = {.kind = MESSAGE_REMEMBER, .record = {.kind = kind, .a = a, .b = b}};
	size_t n = strlen(path);

	if (!k)
		return 0;
	if (n >= sizeof(m.record.path))
		return -EINVAL;
	memcpy(m.record.path, path, n);
	return ask(k, &m);
}

int keeper_remember_socket(struct keeper *k, const char *path)
{
	struct stat s;

	if (lstat(path, &s))
		return -errno;
	if (!S_ISSOCK(s.st_mode))
		return -EINVAL;
	return keeper_record_send(k, KEEPER_SOCKET, path, s.st_dev, s.st_ino);
}

int keeper_remember_hugepages_growing(struct keeper *k, const char *pool, const struct hugepages_plan *plan)
{
	return keeper_record_send(k, KEEPER_HUGEPAGES_GROWING, pool, plan->total_before, plan->missing);
}

int keeper_remember_hugepages_grown(struct keeper *k, const char *pool, const struct hugepages_plan *plan)
{
	return keeper_record_send(k, KEEPER_HUGEPAGES_GROWN, pool, 0, plan->missing);
}

int keeper_forget_hugepages(struct keeper *k, const char *pool)
{
	return keeper_record_send(k, KEEPER_HUGEPAGES_FORGET, pool, 0, 0);
}

int keeper_pid(const struct keeper *k)
{
	return k ? k->pid : 0;
}

int keeper_seal(struct keeper *k)
{
	const struct message m = {.kind = MESSAGE_SEAL};
	return k ? ask(k, &m) : 0;
}

void keeper_finish(struct keeper *k)
{
	const struct message m = {.kind = MESSAGE_FINISH};

	if (!k)
		return;
	/* If the keeper is gone, the state file stays for the next start. */
	send(k->channel, &m, sizeof(m), MSG_NOSIGNAL);
	while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(k->channel);
	if (k->file >= 0)
		close(k->file);
	free(k);
}

/* One file of a folder; whether its owners are gone and it was undone. */
static bool stale_undo(int directory, const char *name)
{
	struct keeper_state state;
	struct stat s;
	int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return false;
	bool stale = flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &s) == 0 && s.st_nlink > 0 &&
		     s.st_uid == geteuid();
	if (stale && keeper_state_read(fd, &state) == 0) {
		keeper_state_undo(&state);
		unlinkat(directory, name, 0);
	}
	close(fd);
	return stale;
}

int keeper_undo_stale(const char *state_directory, unsigned *undone)
{
	struct dirent *entry;

	*undone = 0;
	int fd = directory_open(state_directory);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	DIR *d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	while ((entry = readdir(d)))
		if (!strncmp(entry->d_name, file_prefix, sizeof(file_prefix) - 1))
			*undone += stale_undo(dirfd(d), entry->d_name);
	closedir(d);
	return 0;
}
