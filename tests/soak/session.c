/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/soak/session.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/soak/load.h"

enum { READ_BYTES = 512 << 10 };

static const char *id_text(uint32_t id, char text[24])
{
	snprintf(text, 24, "%u.%u", id >> 16, id & 0xffff);
	return text;
}

void surprise(const struct session *s, const char *format, ...)
{
	char due[24];
	va_list ap;

	printf("surprise: ");
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("; slot %u life %u phase %u, queue '%s' of kind %u, route %u, prefetch %u, no-ack %d\n",
		s->slot, s->life, s->phase, s->queue, s->kind, s->route, s->prefetch, s->no_ack);
	printf("surprise: own sent %u seen %u done %u requeued %llx, published %llu confirmed to %llu and "
	       "%llu "
	       "after, side next %u of %u\n",
		s->own_sent, s->own_seen, s->own_done, (unsigned long long)s->own_requeued,
		(unsigned long long)s->published, (unsigned long long)s->confirm_base,
		(unsigned long long)s->confirmed_after_base, s->side.next, s->side.wanted);
	for (unsigned i = 0; i < CHANNELS; i++)
		if (s->expected[i].count)
			printf("surprise: channel %u owes %u answers, %s first\n", i, s->expected[i].count,
				id_text(s->expected[i].id[s->expected[i].at], due));
	fflush(stdout);
	_exit(1);
}

void session_begin(struct session *s)
{
	struct load *l = s->load;
	const struct sockaddr_in *to = &l->listeners[s->slot % l->listener_count];
	struct session kept = {.load = l, .slot = s->slot, .life = s->life + 1, .pending = s->pending};

	kept.pending.n = 0;
	*s = kept;
	s->doom = -1;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		surprise(s, "socket: %s", strerror(errno));
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	if (connect(s->fd, (const struct sockaddr *)to, sizeof(*to)) && errno != EINPROGRESS)
		surprise(s, "connect: %s", strerror(errno));
	load_watch(s);
	l->counts.connected++;
}

void session_end(struct session *s, bool reset)
{
	struct linger now = {1, 0};

	if (reset)
		setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(s->fd);
	s->fd = -1;
	free(s->left);
	s->left = NULL;
	free(s->pending.p);
	s->pending = (struct out){0};
	load_session_gone(s);
}

static size_t send_some(struct session *s, const uint8_t *p, size_t n)
{
	ssize_t sent = n ? send(s->fd, p, n, MSG_NOSIGNAL) : 0;

	if (sent < 0 && errno != EAGAIN && errno != EINPROGRESS && errno != ENOTCONN)
		surprise(s, "send: %s", strerror(errno));
	return sent > 0 ? (size_t)sent : 0;
}

void session_writable(struct session *s)
{
	size_t sent = send_some(s, s->pending.p, s->pending.n);

	if (sent == 0)
		return;
	s->pending.n -= sent;
	memmove(s->pending.p, s->pending.p + sent, s->pending.n);
	if (s->pending.n == 0) { /* ten thousand of them need not keep one each */
		free(s->pending.p);
		s->pending = (struct out){0};
	}
}

void session_send(struct session *s, struct out *o)
{
	size_t sent = s->pending.n ? 0 : send_some(s, o->p, o->n);

	s->load->counts.bytes_out += o->n;
	if (sent < o->n) {
		out_raw(&s->pending, o->p + sent, o->n - sent);
		if (sent == 0)
			session_writable(s);
	}
	o->n = 0;
}

/* Frames of data, n bytes; what is left of it is kept. */
static void take(struct session *s, const uint8_t *data, size_t n)
{
	static struct out answers;
	struct frame f;
	long taken = 0;
	size_t at = 0;

	while (s->fd >= 0 && (taken = frame_next(data + at, n - at, &f)) > 0) {
		at += (size_t)taken;
		s->load->counts.frames_in++;
		session_frame(s, &f, &answers);
		if (s->fd >= 0 && s->doom >= 0 && s->doom-- == 0) {
			s->load->counts.killed++;
			session_end(s, true);
		}
	}
	if (s->fd < 0) {
		answers.n = 0;
		return;
	}
	if (taken < 0)
		surprise(s, "not a frame: type %u, channel %u, %u bytes", f.type, f.channel, f.n);
	session_send(s, &answers);
	if (at < n) {
		s->left = malloc(n - at);
		if (!s->left)
			abort();
		memcpy(s->left, data + at, n - at);
		s->left_bytes = (uint32_t)(n - at);
	}
}

/* The number of bytes read; 0: there are none. */
static size_t read_once(struct session *s, uint8_t *data)
{
	size_t have = s->left ? s->left_bytes : 0;
	ssize_t n = recv(s->fd, data + have, READ_BYTES - have, 0);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0)
		surprise(s, "the broker ended the connection: %s", n ? strerror(errno) : "end of stream");
	if (have) {
		memcpy(data, s->left, have);
		free(s->left);
		s->left = NULL;
		s->left_bytes = 0;
	}
	take(s, data, have + (size_t)n);
	return (size_t)n;
}

void session_read(struct session *s)
{
	static uint8_t data[READ_BYTES];
	size_t n, room;

	do {
		room = READ_BYTES - s->left_bytes;
		n = read_once(s, data);
	} while (n == room && s->fd >= 0 && s->state != SESSION_STALLED);
	if (n && s->fd >= 0)
		session_go_on(s);
}

static bool has_all(const struct session *s)
{
	for (unsigned i = 0; i < CHANNELS; i++)
		if (s->expected[i].count)
			return false;
	return s->published == s->confirm_base + s->confirmed_after_base && s->own_done == s->own_sent &&
	       s->returns == 0 && s->content.method == 0 &&
	       (s->side.how != SIDE_CHECKED || s->side.next == s->side.wanted);
}

void session_go_on(struct session *s)
{
	static struct out o;

	while (s->state == SESSION_BUSY && has_all(s)) {
		if (!s->step) {
			load_session_rests(s);
			continue;
		}
		bool more = s->step(s, &o);
		if (s->fd < 0) {
			o.n = 0;
			return;
		}
		s->phase++;
		if (!more)
			s->step = NULL;
		session_send(s, &o);
	}
}

void expect(struct session *s, unsigned channel, uint32_t id)
{
	struct expected *e = &s->expected[channel];

	if (e->count == EXPECTED_MAX)
		surprise(s, "a step asks for too much at once");
	e->id[(e->at + e->count++) % EXPECTED_MAX] = id;
}

void own_burst_begin(struct session *s)
{
	s->own_base = s->own_sent;
	s->own_requeued = 0;
	s->confirm_base = s->published;
	s->confirmed_after_base = 0;
	memset(s->confirmed, 0, sizeof(s->confirmed));
}

void publish_confirmed(struct session *s, struct out *o, const struct publish *p)
{
	if (s->published - s->confirm_base == BURST_MAX)
		surprise(s, "a step publishes too much at once");
	say_publish(o, 1, p);
	s->published++;
	s->load->counts.published++;
}

void publish_own(struct session *s, struct out *o, const char *exchange, const char *key, const char *header,
	uint32_t size)
{
	struct stamp stamp = {STAMP_OWN, s->slot, s->life, s->own_sent++};

	publish_confirmed(s, o,
		&(struct publish){.exchange = exchange,
			.key = key,
			.header = header,
			.head = &stamp,
			.head_bytes = sizeof(stamp),
			.body_bytes = size});
}
