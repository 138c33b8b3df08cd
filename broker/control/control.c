/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's clients, served in turns from one epoll descriptor. A client is in one of three
 * states: its request comes in, or its reply, or a piece of a stream, goes out; each has CONTROL_IDLE_US from
 * its begin, however busily the peer drips bytes; or its stream has nothing yet, for as long as that takes.
 */
#include "broker/control/control.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "broker/control/internal.h"
#include "runtime/clock.h"
#include "runtime/log.h"

enum {
	REFUSED_BYTES = 256,
	LOGGED_BYTES = 300,
	READY_MAX = CONTROL_CLIENTS_MAX + 3 /* the listener, two timers */
};

struct client {
	int fd; /* -1: the place is free */
	struct ucred peer;
	char *in; /* CONTROL_REQUEST_BYTES_MAX */
	size_t in_bytes;
	char *out; /* NULL: a request comes in */
	size_t out_bytes, out_sent;
	bool last; /* nothing more is read; closed with the last reply */
	uint64_t since_us;
	struct control_stream *stream; /* NULL: no answer is being streamed */
	bool waiting;		       /* the stream had nothing: asked again with the next beat */
	bool stopped;		       /* the client has ended its side meanwhile */
};

struct control {
	struct place place;
	int listener, epoll, timer;
	int pace; /* beats while a stream waits */
	bool pacing;
	const struct control_handler *handlers;
	void *ctx;
	uint64_t idle_us;
	unsigned count;
	struct client clients[CONTROL_CLIENTS_MAX];
};

static void timer_beat(int fd, uint64_t ns)
{
	struct timespec tick = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
	struct itimerspec spec = {.it_interval = tick, .it_value = tick};
	timerfd_settime(fd, 0, &spec, NULL);
}

static void timer_set(struct control *c, bool on)
{
	/* four looks in each idle time: a client may stay a quarter longer */
	timer_beat(c->timer, on ? (c->idle_us * 1000 + 3) / 4 : 0);
}

static void pace_set(struct control *c, bool on)
{
	if (c->pacing != on)
		timer_beat(c->pace, on ? CONTROL_PACE_US * 1000ull : 0);
	c->pacing = on;
}

static void client_close(struct control *c, struct client *k)
{
	if (k->stream)
		k->stream->close(k->stream);
	close(k->fd);
	free(k->in);
	free(k->out);
	*k = (struct client){.fd = -1};
	if (--c->count == 0)
		timer_set(c, false);
}

/* A refusal that needs no client's place: what a fresh socket does not take at once is lost. */
static void refuse_at_once(int fd, const char *reason)
{
	char *text = request_refuse(reason);
	if (text && send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		LOG_DEBUG("control", "a refused client did not take its reply: %s", strerror(errno));
	free(text);
	close(fd);
}

static void log_refused(const struct ucred *peer, const char *reason)
{
	LOG_WARN("control", "refused a request of pid %d uid %u gid %u: %s", (int)peer->pid,
		(unsigned)peer->uid, (unsigned)peer->gid, reason);
}

static struct client *client_free_place(struct control *c)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].fd < 0)
			return &c->clients[i];
	return NULL;
}

static void client_accept(struct control *c, int fd)
{
	struct ucred peer = {.uid = (uid_t)-1, .gid = (gid_t)-1};
	socklen_t peer_bytes = sizeof(peer);
	struct client *k = client_free_place(c);

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes);
	if (!k) {
		char reason[64];
		snprintf(reason, sizeof(reason), "%d clients are connected already", CONTROL_CLIENTS_MAX);
		log_refused(&peer, reason);
		refuse_at_once(fd, reason);
		return;
	}
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = k};
	char *in = malloc(CONTROL_REQUEST_BYTES_MAX);
	if (!in || epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event)) {
		free(in);
		log_refused(&peer, "no memory");
		refuse_at_once(fd, "no memory");
		return;
	}
	*k = (struct client){.fd = fd, .peer = peer, .in = in, .since_us = clock_now_us()};
	if (c->count++ == 0)
		timer_set(c, true);
}

static void accept_ready(struct control *c)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		int fd = accept4(c->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		client_accept(c, fd);
	}
}

static bool line_waits(const struct client *k)
{
	return memchr(k->in, '\n', k->in_bytes) != NULL;
}

/* What to wait for: EPOLLOUT is ready at once, so that a second line in hand, or the next piece of a stream,
 * is served in the next turn. */
static void client_watch(struct control *c, struct client *k)
{
	struct epoll_event event = {.data.ptr = k};

	if (k->stream)
		event.events = (k->waiting ? 0 : EPOLLOUT) | (k->stopped ? 0 : EPOLLRDHUP);
	else
		event.events = k->out || line_waits(k) ? EPOLLOUT : EPOLLIN;
	if (epoll_ctl(c->epoll, EPOLL_CTL_MOD, k->fd, &event))
		client_close(c, k);
}

/* 0: taken whole, or the rest waits; -1: the client is gone. */
static int client_flush(struct client *k)
{
	if (!k->out)
		return 0;
	ssize_t n = send(
		k->fd, k->out + k->out_sent, k->out_bytes - k->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	k->out_sent += (size_t)n;
	if (k->out_sent < k->out_bytes)
		return 0;
	free(k->out);
	k->out = NULL;
	k->since_us = clock_now_us();
	return 0;
}

/* Takes text. */
static int client_send(struct client *k, char *text, size_t bytes)
{
	if (!text)
		return -1;
	k->out = text;
	k->out_bytes = bytes;
	k->out_sent = 0;
	k->since_us = clock_now_us();
	return client_flush(k);
}

static int client_reply(struct client *k, char *text)
{
	return client_send(k, text, text ? strlen(text) : 0);
}

static void stream_close(struct client *k)
{
	k->stream->close(k->stream);
	k->stream = NULL;
	k->waiting = false;
	k->stopped = false;
}

/* At most one piece a turn, so that the other clients have theirs. */
static int client_stream(struct client *k)
{
	struct control_piece piece = {0};
	char error[CONTROL_ERROR_BYTES] = "";
	size_t bytes = 0;
	int result = k->stream->next(k->stream, &piece, error, sizeof(error));

	k->waiting = result == 0;
	k->since_us = clock_now_us();
	if (result == 0)
		return 0;
	if (result < 0) {
		stream_close(k);
		return client_reply(k, request_refuse(error[0] ? error : "the command failed"));
	}
	char *text = request_piece(&piece, &bytes);
	if (piece.last)
		stream_close(k);
	return client_send(k, text, bytes);
}

static void client_stop(struct client *k)
{
	if (k->stream->stop && !k->stopped)
		k->stream->stop(k->stream);
	k->stopped = true;
}

static int client_read(struct client *k)
{
	ssize_t n = recv(k->fd, k->in + k->in_bytes, CONTROL_REQUEST_BYTES_MAX - k->in_bytes, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0)
		k->last = true;
	k->in_bytes += (size_t)n;
	return 0;
}

static int oversized(struct client *k)
{
	char reason[64];
	snprintf(reason, sizeof(reason), "a request of more than %d bytes", CONTROL_REQUEST_BYTES_MAX);
	log_refused(&k->peer, reason);
	k->last = true;
	k->in_bytes = 0;
	return client_reply(k, request_refuse(reason));
}

static int client_line(struct control *c, struct client *k)
{
	char refused[REFUSED_BYTES];
	char *end = memchr(k->in, '\n', k->in_bytes);
	if (!end)
		return k->in_bytes == CONTROL_REQUEST_BYTES_MAX ? oversized(k) : 0;
	size_t line_bytes = (size_t)(end - k->in);
	char *text = request_answer(
		c->handlers, c->ctx, k->in, line_bytes, &k->stream, refused, sizeof(refused));
	if (refused[0])
		log_refused(&k->peer, refused);
	if (k->stream && k->stream->logged)
		LOG_INFO("control", "pid %d uid %u gid %u: %.*s", (int)k->peer.pid, (unsigned)k->peer.uid,
			(unsigned)k->peer.gid, line_bytes < LOGGED_BYTES ? (int)line_bytes : LOGGED_BYTES,
			k->in);
	k->in_bytes -= line_bytes + 1;
	memmove(k->in, end + 1, k->in_bytes);
	return k->stream ? client_stream(k) : client_reply(k, text);
}

static int client_work(struct control *c, struct client *k)
{
	int result = client_flush(k);

	if (result == 0 && !k->out && k->stream)
		return client_stream(k);
	if (result == 0 && !k->out && !k->last && !line_waits(k))
		result = client_read(k);
	if (result == 0 && !k->out)
		result = client_line(c, k);
	return result;
}

static void client_serve(struct control *c, struct client *k, uint32_t events)
{
	if (k->stream && !k->stopped && (events & EPOLLRDHUP))
		client_stop(k);
	/* nobody is left to take what a silent stream may have one day */
	int result = k->stream && (events & (EPOLLHUP | EPOLLERR)) ? -1 : client_work(c, k);

	if (result || (k->last && !k->out && !k->stream && !line_waits(k)))
		client_close(c, k);
	else
		client_watch(c, k);
}

static void pace_ready(struct control *c)
{
	uint64_t beats;

	if (read(c->pace, &beats, sizeof(beats)) < 0)
		return;
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].fd >= 0 && c->clients[i].waiting)
			client_serve(c, &c->clients[i], 0);
}

static bool stream_waits(const struct control *c)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].fd >= 0 && c->clients[i].waiting)
			return true;
	return false;
}

static void timer_ready(struct control *c)
{
	uint64_t ticks, now_us = clock_now_us();
	if (read(c->timer, &ticks, sizeof(ticks)) < 0)
		return;
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *k = &c->clients[i];
		if (k->fd < 0 || k->waiting || now_us - k->since_us < c->idle_us)
			continue;
		if (k->out || k->in_bytes)
			log_refused(&k->peer, k->out ? "it did not take its reply" : "an unfinished line");
		client_close(c, k);
	}
}

void control_serve(struct control *c)
{
	struct epoll_event ready[READY_MAX];
	int n = epoll_wait(c->epoll, ready, READY_MAX, 0);
	bool accepting = false, ticking = false, beating = false;

	for (int i = 0; i < n; i++) {
		if (ready[i].data.ptr == &c->listener)
			accepting = true;
		else if (ready[i].data.ptr == &c->timer)
			ticking = true;
		else if (ready[i].data.ptr == &c->pace)
			beating = true;
		else
			client_serve(c, ready[i].data.ptr, ready[i].events);
	}
	/* after the clients, so that no event above belongs to a place that was given away since */
	if (beating)
		pace_ready(c);
	if (ticking)
		timer_ready(c);
	if (accepting)
		accept_ready(c);
	pace_set(c, stream_waits(c));
}

/* The last pieces of a stream that was stopped, as far as the client takes them at once. */
static void stream_end(struct control *c, struct client *k)
{
	client_stop(k);
	for (int result = 0; result == 0 && !k->out && k->stream && !k->waiting;)
		result = client_stream(k);
	client_close(c, k);
}

void control_streams_end(struct control *c)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *k = &c->clients[i];
		if (k->fd < 0 || !k->stream)
			continue;
		k->waiting = false;
		if (client_flush(k) == 0)
			stream_end(c, k);
		else
			client_close(c, k);
	}
	pace_set(c, false);
}

static int watch(struct control *c, int fd, void *who)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};
	return epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int group_find(const char *name, gid_t *gid, char *error, size_t error_bytes)
{
	*gid = (gid_t)-1;
	if (!name)
		return 0;
	struct group *g = getgrnam(name);
	if (!g) {
		snprintf(error, error_bytes, "control socket: there is no group %s", name);
		return -EINVAL;
	}
	*gid = g->gr_gid;
	return 0;
}

int control_open(const char *path, mode_t mode, const char *group_or_null, struct control **out, char *error,
	size_t error_bytes)
{
	gid_t gid;
	int result = group_find(group_or_null, &gid, error, error_bytes);
	if (result)
		return result;
	struct control *c = calloc(1, sizeof(*c));
	if (!c) {
		snprintf(error, error_bytes, "control socket %s: no memory", path);
		return -ENOMEM;
	}
	c->idle_us = CONTROL_IDLE_US;
	c->epoll = c->timer = c->pace = -1;
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		c->clients[i].fd = -1;
	result = c->listener = place_open(&c->place, path, mode, gid, error, error_bytes);
	if (result >= 0) {
		c->epoll = epoll_create1(EPOLL_CLOEXEC);
		c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		c->pace = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		result = 0;
		if (c->epoll < 0 || c->timer < 0 || c->pace < 0 || watch(c, c->listener, &c->listener) ||
			watch(c, c->timer, &c->timer) || watch(c, c->pace, &c->pace)) {
			result = -errno;
			snprintf(error, error_bytes, "control socket %s: %s", path, strerror(errno));
		}
	}
	if (result < 0)
		control_close(c);
	else
		*out = c;
	return result;
}

void control_set_handlers(struct control *c, const struct control_handler *handlers, void *ctx)
{
	c->handlers = handlers;
	c->ctx = ctx;
}

void control_set_idle_us(struct control *c, uint64_t idle_us)
{
	c->idle_us = idle_us;
	if (c->count)
		timer_set(c, true);
}

int control_give_folder(struct control *c, uid_t uid, gid_t gid)
{
	if (c->place.folder_made && fchown(c->place.folder_fd, uid, gid))
		return -errno;
	return 0;
}

int control_fd(const struct control *c)
{
	return c->epoll;
}

unsigned control_clients(const struct control *c)
{
	return c->count;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->clients[i].fd >= 0)
			client_close(c, &c->clients[i]);
	if (c->listener >= 0)
		close(c->listener);
	if (c->timer >= 0)
		close(c->timer);
	if (c->pace >= 0)
		close(c->pace);
	if (c->epoll >= 0)
		close(c->epoll);
	place_close(&c->place);
	free(c);
}
