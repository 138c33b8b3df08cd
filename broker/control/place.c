/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's place in the file system: its folder, what stands there already, its permissions. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "broker/control/internal.h"

enum { LOCK_TRIES = 50, LOCK_WAIT_MS = 20 };

struct complaint {
	char *text;
	size_t bytes;
};

__attribute__((format(printf, 3, 4))) static int fail(
	const struct complaint *to, int code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(to->text, to->bytes, format, args);
	va_end(args);
	return code;
}

static int split(struct place *p, const char *path, const struct complaint *to)
{
	size_t bytes = strlen(path);
	if (bytes >= sizeof(p->path))
		return fail(to, -ENAMETOOLONG,
			"control socket %s: a path of %zu bytes, and the system takes %zu; change "
			"control.socket",
			path, bytes, sizeof(p->path) - 1);
	memcpy(p->path, path, bytes + 1);
	memcpy(p->folder, path, bytes + 1);
	char *slash = strrchr(p->folder, '/');
	p->name = p->path + (slash ? slash - p->folder + 1 : 0);
	if (!p->name[0])
		return fail(
			to, -EINVAL, "control socket %s: the path of a folder; change control.socket", path);
	if (!slash)
		strcpy(p->folder, ".");
	else
		slash[slash == p->folder] = '\0'; /* "/" stays itself */
	return 0;
}

static int folder_open(struct place *p, const struct complaint *to)
{
	p->folder_made = mkdir(p->folder, 0755) == 0;
	if (!p->folder_made && errno != EEXIST)
		return fail(to, -errno,
			"control socket %s: cannot make its folder: %s; change control.socket", p->path,
			strerror(errno));
	p->folder_fd = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->folder_fd < 0)
		return fail(to, -errno,
			"control socket %s: cannot open its folder: %s; change control.socket", p->path,
			strerror(errno));
	if (p->folder_made && fchmod(p->folder_fd, 0755)) /* whatever the umask is */
		return fail(to, -errno, "control socket %s: cannot set its folder's mode: %s", p->path,
			strerror(errno));
	return 0;
}

/* Whoever may rename in the folder can put a socket of his own in our place. */
static int folder_trust(const struct place *p, const struct complaint *to)
{
	struct stat s;
	if (fstat(p->folder_fd, &s))
		return fail(to, -errno, "control socket %s: cannot look at its folder: %s", p->path,
			strerror(errno));
	if (geteuid() != 0 && s.st_uid != geteuid() && s.st_uid != 0)
		return fail(to, -EPERM,
			"control socket %s: its folder belongs to uid %u; change control.socket", p->path,
			(unsigned)s.st_uid);
	if ((s.st_mode & S_IWOTH) && !(s.st_mode & S_ISVTX))
		return fail(to, -EPERM,
			"control socket %s: everybody may write to its folder; chmod o-w %s, or change "
			"control.socket",
			p->path, p->folder);
	return 0;
}

/* Two brokers that start together must not both find the same dead socket. Others may be able to hold this
 * lock for ever, so it is not waited for that long. */
static void folder_lock(const struct place *p)
{
	const struct timespec wait = {.tv_nsec = LOCK_WAIT_MS * 1000000L};
	for (unsigned i = 0; i < LOCK_TRIES && flock(p->folder_fd, LOCK_EX | LOCK_NB); i++)
		nanosleep(&wait, NULL);
}

static int in_use(const struct place *p, int fd, const struct complaint *to)
{
	struct ucred peer = {0};
	socklen_t peer_bytes = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) || peer.pid <= 0)
		return fail(to, -EADDRINUSE,
			"control socket %s: another broker listens there; stop it, or change control.socket",
			p->path);
	return fail(to, -EADDRINUSE,
		"control socket %s: another broker (pid %d) listens there; stop it, or change control.socket",
		p->path, (int)peer.pid);
}

static int existing_probe(
	const struct place *p, const struct sockaddr_un *address, const struct complaint *to)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), result = 0;
	if (fd < 0)
		return fail(to, -errno, "control socket %s: %s", p->path, strerror(errno));
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		result = in_use(p, fd, to);
	else if (errno == EAGAIN) /* its backlog is full, so it has one */
		result = fail(to, -EADDRINUSE,
			"control socket %s: another broker listens there; stop it, or change control.socket",
			p->path);
	else if (errno != ECONNREFUSED && errno != ENOENT)
		result = fail(to, -errno,
			"control socket %s: it is there, and cannot be asked whether it is alive: %s; change "
			"control.socket",
			p->path, strerror(errno));
	close(fd);
	return result;
}

static int existing_remove(
	const struct place *p, const struct sockaddr_un *address, const struct complaint *to)
{
	struct stat s;
	if (fstatat(p->folder_fd, p->name, &s, AT_SYMLINK_NOFOLLOW)) {
		if (errno == ENOENT)
			return 0;
		return fail(to, -errno, "control socket %s: %s", p->path, strerror(errno));
	}
	if (!S_ISSOCK(s.st_mode))
		return fail(to, -EEXIST,
			"control socket %s: something that is no socket is there; move it away, or change "
			"control.socket",
			p->path);
	int result = existing_probe(p, address, to);
	if (result)
		return result;
	if (unlinkat(p->folder_fd, p->name, 0) && errno != ENOENT)
		return fail(to, -errno, "control socket %s: a dead one is there and cannot be removed: %s",
			p->path, strerror(errno));
	return 0;
}

/* By a descriptor of the bound socket's file, so that nothing put in its place meanwhile is touched. */
static int permit(struct place *p, mode_t mode, gid_t gid, const struct complaint *to)
{
	char link[32];
	struct stat s;
	int fd = openat(p->folder_fd, p->name, O_PATH | O_NOFOLLOW | O_CLOEXEC), code = 0;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fd < 0 || fstat(fd, &s))
		code = errno;
	else if (gid != (gid_t)-1 && fchownat(fd, "", (uid_t)-1, gid, AT_EMPTY_PATH))
		code = errno;
	else if (chmod(link, mode & 0777))
		code = errno;
	if (fd >= 0)
		close(fd);
	if (code)
		return fail(to, -code, "control socket %s: cannot set its permissions: %s", p->path,
			strerror(code));
	p->device = s.st_dev;
	p->inode = s.st_ino;
	return 0;
}

static int bind_listen(struct place *p, int fd, const struct sockaddr_un *address, mode_t mode, gid_t gid,
	const struct complaint *to)
{
	/* the owner alone, until the group is right */
	mode_t umask_was = umask(0777 & ~(mode & 0700));
	int code = bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? errno : 0;
	umask(umask_was);
	if (code)
		return fail(
			to, -code, "control socket %s: %s; change control.socket", p->path, strerror(code));
	int result = permit(p, mode, gid, to);
	if (result == 0 && listen(fd, CONTROL_CLIENTS_MAX))
		result = fail(to, -errno, "control socket %s: %s", p->path, strerror(errno));
	if (result)
		unlinkat(p->folder_fd, p->name, 0);
	return result;
}

static int place_bind(struct place *p, mode_t mode, gid_t gid, const struct complaint *to)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, p->path, sizeof(p->path));
	int result = existing_remove(p, &address, to);
	if (result)
		return result;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(to, -errno, "control socket %s: %s", p->path, strerror(errno));
	result = bind_listen(p, fd, &address, mode, gid, to);
	if (result) {
		p->inode = 0;
		close(fd);
		return result;
	}
	return fd;
}

int place_open(struct place *p, const char *path, mode_t mode, gid_t gid, char *error, size_t error_bytes)
{
	const struct complaint to = {error, error_bytes};
	*p = (struct place){.folder_fd = -1};
	int result = split(p, path, &to);
	if (result == 0)
		result = folder_open(p, &to);
	if (result == 0)
		result = folder_trust(p, &to);
	if (result == 0) {
		folder_lock(p);
		result = place_bind(p, mode, gid, &to);
		flock(p->folder_fd, LOCK_UN);
	}
	if (result < 0)
		place_close(p);
	return result;
}

void place_close(struct place *p)
{
	struct stat s;
	if (p->inode && fstatat(p->folder_fd, p->name, &s, AT_SYMLINK_NOFOLLOW) == 0 &&
		s.st_dev == p->device && s.st_ino == p->inode)
		unlinkat(p->folder_fd, p->name, 0);
	if (p->folder_fd >= 0)
		close(p->folder_fd);
	if (p->folder_made)
		rmdir(p->folder); /* where something else is in it, or it is no longer ours to remove, it
				     stays */
	p->folder_made = false;
	p->folder_fd = -1;
	p->inode = 0;
}
