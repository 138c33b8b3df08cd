/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/godwitctl_ask.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_BYTES_MAX = 64 << 20 /* a guard against a peer that is no broker */ };

struct answer {
	char *text;
	size_t bytes, room;
};

static void name_user(uid_t uid, char *out, size_t out_bytes)
{
	const struct passwd *p = getpwuid(uid);
	p ? snprintf(out, out_bytes, "%s", p->pw_name) : snprintf(out, out_bytes, "uid %u", (unsigned)uid);
}

static void name_group(gid_t gid, char *out, size_t out_bytes)
{
	const struct group *g = getgrgid(gid);
	g ? snprintf(out, out_bytes, "%s", g->gr_name) : snprintf(out, out_bytes, "gid %u", (unsigned)gid);
}

static void say_who_may(const char *path, char *error, size_t error_bytes)
{
	struct stat s;
	char user[64], group[64];
	if (stat(path, &s)) {
		snprintf(
			error, error_bytes, "%s: permission denied: its folder is closed to this user", path);
		return;
	}
	name_user(s.st_uid, user, sizeof(user));
	name_group(s.st_gid, group, sizeof(group));
	if (s.st_mode & S_IWGRP)
		snprintf(error, error_bytes,
			"%s: permission denied: user %s and group %s may (control.mode is %04o)", path, user,
			group, (unsigned)s.st_mode & 0777);
	else
		snprintf(error, error_bytes, "%s: permission denied: user %s may (control.mode is %04o)",
			path, user, (unsigned)s.st_mode & 0777);
}

static void say_unreachable(const char *path, int code, char *error, size_t error_bytes)
{
	if (code == EACCES || code == EPERM)
		say_who_may(path, error, error_bytes);
	else if (code == ENOENT || code == ENOTDIR)
		snprintf(error, error_bytes, "no broker at %s: is it running?", path);
	else if (code == ECONNREFUSED)
		snprintf(error, error_bytes,
			"no broker at %s: is it running? (what is there is left over, or no broker's)", path);
	else if (code == EAGAIN)
		snprintf(error, error_bytes, "the broker at %s takes no more connections", path);
	else
		snprintf(error, error_bytes, "%s: %s", path, strerror(code));
}

/* The descriptor, or -1 and the reason. */
static int connect_to(const char *path, unsigned timeout_ms, char *error, size_t error_bytes)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
	size_t path_bytes = strlen(path);

	if (path_bytes >= sizeof(address.sun_path)) {
		snprintf(error, error_bytes, "%s: longer than the %zu bytes of a socket's path", path,
			sizeof(address.sun_path) - 1);
		return -1;
	}
	memcpy(address.sun_path, path, path_bytes);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) ||
		connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		say_unreachable(path, errno, error, error_bytes);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static int answer_grow(struct answer *a)
{
	size_t room = a->room ? a->room * 2 : 1 << 16;
	char *text = room <= ANSWER_BYTES_MAX ? realloc(a->text, room) : NULL;
	if (!text)
		return -ENOBUFS;
	a->text = text;
	a->room = room;
	return 0;
}

/* Until the first line feed. 0 or -errno (-ENODATA: the end came first). */
static int answer_receive(int fd, struct answer *a)
{
	for (;;) {
		if (a->bytes == a->room && answer_grow(a))
			return -ENOBUFS;
		ssize_t n = recv(fd, a->text + a->bytes, a->room - a->bytes, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		const char *end = memchr(a->text + a->bytes, '\n', (size_t)n);
		a->bytes += (size_t)n;
		if (end) {
			a->bytes = (size_t)(end - a->text);
			return 0;
		}
	}
}

static void say_no_answer(const char *path, int code, char *error, size_t error_bytes)
{
	if (code == -EAGAIN)
		snprintf(error, error_bytes, "the broker at %s does not answer", path);
	else if (code == -ENODATA)
		snprintf(
			error, error_bytes, "the broker at %s closed the connection without an answer", path);
	else
		snprintf(error, error_bytes, "%s: the answer did not come: %s", path, strerror(-code));
}

static int question_send(int fd, const char *command)
{
	json_t *question = json_pack("{s:s}", "command", command);
	char *text = json_dumps(question, JSON_COMPACT);
	json_decref(question);
	if (!text)
		return -ENOMEM;
	size_t bytes = strlen(text);
	text[bytes] = '\n'; /* the terminator's place: what is sent has a length */
	int code = send(fd, text, bytes + 1, MSG_NOSIGNAL) == (ssize_t)bytes + 1 ? 0 : -errno;
	free(text);
	return code;
}

static enum ask_result answer_read(
	const char *path, const struct answer *a, json_t **result, char *error, size_t error_bytes)
{
	json_t *reply = json_loadb(a->text, a->bytes, 0, NULL);
	json_t *ok = json_object_get(reply, "ok"), *body = json_object_get(reply, "result");
	const char *reason = json_string_value(json_object_get(reply, "error"));
	enum ask_result code = ASK_UNREACHABLE;

	if (json_is_true(ok) && body) {
		*result = json_incref(body);
		code = ASK_OK;
	} else if (json_is_false(ok) && reason) {
		snprintf(error, error_bytes, "the broker refuses: %s", reason);
		code = ASK_REFUSED;
	} else {
		snprintf(error, error_bytes, "%s: what answers there is no Godwit broker", path);
	}
	json_decref(reply);
	return code;
}

enum ask_result ask(const char *path, const char *command, unsigned timeout_ms, json_t **result, char *error,
	size_t error_bytes)
{
	struct answer a = {0};
	enum ask_result result_code = ASK_UNREACHABLE;
	int fd = connect_to(path, timeout_ms, error, error_bytes);
	if (fd < 0)
		return ASK_UNREACHABLE;
	/* a broker with too many clients says so at once and closes: its words count, not our failed send */
	int sent = question_send(fd, command), received = answer_receive(fd, &a);
	if (received == 0)
		result_code = answer_read(path, &a, result, error, error_bytes);
	else
		say_no_answer(path, sent ? sent : received, error, error_bytes);
	free(a.text);
	close(fd);
	return result_code;
}
