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

struct talk {
	const char *path;
	int fd;
	char *text; /* text[at..bytes - 1] was received and not given yet */
	size_t at, bytes, room;
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

/* Room for more behind what there is. */
static int talk_room(struct talk *t)
{
	if (t->at) {
		memmove(t->text, t->text + t->at, t->bytes - t->at);
		t->bytes -= t->at;
		t->at = 0;
	}
	if (t->bytes < t->room)
		return 0;
	size_t room = t->room ? t->room * 2 : 1 << 16;
	char *text = room <= ANSWER_BYTES_MAX ? realloc(t->text, room) : NULL;
	if (!text)
		return -ENOBUFS;
	t->text = text;
	t->room = room;
	return 0;
}

/* More bytes. 0 or -errno (-ENODATA: the end came). */
static int talk_receive(struct talk *t)
{
	ssize_t n;

	if (talk_room(t))
		return -ENOBUFS;
	do
		n = recv(t->fd, t->text + t->bytes, t->room - t->bytes, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -ENODATA;
	t->bytes += (size_t)n;
	return 0;
}

/* A whole line: its bytes without the line feed, or -errno. It stays at t->at. */
static ssize_t talk_line(struct talk *t)
{
	size_t seen = 0;

	for (;;) {
		size_t there = t->bytes - t->at;
		const char *end = there > seen ? memchr(t->text + t->at + seen, '\n', there - seen) : NULL;
		if (end)
			return end - (t->text + t->at);
		seen = there;
		int code = talk_receive(t);
		if (code)
			return code;
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

/* Takes arguments. */
static int question_send(int fd, const char *command, json_t *arguments)
{
	json_t *question = json_pack("{s:s, s:o*}", "command", command, "arguments", arguments);
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

static enum ask_result reply_read(const char *path, const char *line, size_t bytes, struct talk_reply *out,
	char *error, size_t error_bytes)
{
	json_t *reply = json_loadb(line, bytes, 0, NULL);
	json_t *ok = json_object_get(reply, "ok"), *result = json_object_get(reply, "result");
	const char *reason = json_string_value(json_object_get(reply, "error"));
	json_int_t follow = json_integer_value(json_object_get(reply, "bytes"));
	enum ask_result code = ASK_UNREACHABLE;

	*out = (struct talk_reply){.more = json_is_true(json_object_get(reply, "more"))};
	if (json_is_true(ok) && follow >= 0 && (result || follow || out->more)) {
		out->result = json_incref(result);
		out->bytes = (size_t)follow;
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

enum ask_result talk_open(const char *path, const char *command, json_t *arguments_take, unsigned timeout_ms,
	struct talk **out, char *error, size_t error_bytes)
{
	struct talk *t = calloc(1, sizeof(*t));

	if (t)
		t->fd = connect_to(path, timeout_ms, error, error_bytes);
	if (!t || t->fd < 0) {
		if (!t)
			snprintf(error, error_bytes, "out of memory");
		json_decref(arguments_take);
		free(t);
		return ASK_UNREACHABLE;
	}
	t->path = path;
	/* a broker with too many clients says so at once and closes: its words count, not our failed send */
	question_send(t->fd, command, arguments_take);
	*out = t;
	return ASK_OK;
}

enum ask_result talk_next(struct talk *t, struct talk_reply *reply, char *error, size_t error_bytes)
{
	ssize_t line_bytes = talk_line(t);

	if (line_bytes < 0) {
		say_no_answer(t->path, (int)line_bytes, error, error_bytes);
		return ASK_UNREACHABLE;
	}
	const char *line = t->text + t->at;
	t->at += (size_t)line_bytes + 1;
	return reply_read(t->path, line, (size_t)line_bytes, reply, error, error_bytes);
}

size_t talk_bytes(struct talk *t, void *to, size_t n, char *error, size_t error_bytes)
{
	int code = t->bytes > t->at ? 0 : talk_receive(t);

	if (code) {
		say_no_answer(t->path, code, error, error_bytes);
		return 0;
	}
	if (n > t->bytes - t->at)
		n = t->bytes - t->at;
	memcpy(to, t->text + t->at, n);
	t->at += n;
	return n;
}

bool talk_waiting(const struct talk *t)
{
	return t->bytes > t->at;
}

int talk_fd(const struct talk *t)
{
	return t->fd;
}

void talk_stop(struct talk *t)
{
	shutdown(t->fd, SHUT_WR);
}

void talk_close(struct talk *t)
{
	close(t->fd);
	free(t->text);
	free(t);
}

enum ask_result ask(const char *path, const char *command, unsigned timeout_ms, json_t **result, char *error,
	size_t error_bytes)
{
	struct talk *t;
	struct talk_reply reply;
	enum ask_result code = talk_open(path, command, NULL, timeout_ms, &t, error, error_bytes);

	if (code != ASK_OK)
		return code;
	code = talk_next(t, &reply, error, error_bytes);
	if (code == ASK_OK && !reply.result) {
		snprintf(error, error_bytes, "%s: what answers there is no Godwit broker", path);
		code = ASK_UNREACHABLE;
	}
	if (code == ASK_OK)
		*result = reply.result;
	talk_close(t);
	return code;
}
