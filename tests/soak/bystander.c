/* SPDX-License-Identifier: Apache-2.0 */
/* Two connections to each listener, beside all others: one sends itself a message each millisecond over a
 * queue of its own and notes how long it took, from when it was due; the other one has heartbeats alone.
 * Nothing may be lost, doubled or out of order, and neither side may be silent for two heartbeats. */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/histogram.h"
#include "runtime/wire.h"
#include "tests/soak/load.h"

enum {
	INTERVAL_US = 1000,
	HEARTBEAT_S = 5,
	BODY_BYTES = 64,
	PREFETCH = 200,
	IN_BYTES = 1 << 16,
	BEHIND_MAX = 10000, /* messages on their way at once */
	END_US = 60 * 1000000,
};

struct bystander {
	int fd;
	const char *name;
	bool quiet, ready;
	struct out out;
	uint8_t in[IN_BYTES];
	size_t have;
	char queue[64];
	uint64_t sent, seen, confirmed, answers;
	uint64_t due_us, heard_us, spoke_us;
	bool in_delivery;
	uint64_t tag;
	struct histogram phase;
};

struct body {
	uint64_t number, due_us;
};

static _Noreturn void failed(const struct bystander *b, const char *format, ...)
{
	va_list ap;

	printf("surprise: bystander %s%s: ", b->name, b->quiet ? " (quiet)" : "");
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("; sent %llu, confirmed %llu, seen %llu\n", (unsigned long long)b->sent,
		(unsigned long long)b->confirmed, (unsigned long long)b->seen);
	fflush(stdout);
	_exit(1);
}

static void flush(struct bystander *b, uint64_t now_us)
{
	while (b->out.n) {
		ssize_t n = send(b->fd, b->out.p, b->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			failed(b, "send: %s", strerror(errno));
		b->out.n -= (size_t)n;
		memmove(b->out.p, b->out.p + n, b->out.n);
		b->spoke_us = now_us;
	}
}

static void on_body(struct bystander *b, const struct frame *f, uint64_t now_us)
{
	struct body body;

	if (!b->in_delivery || f->n != BODY_BYTES)
		failed(b, "a body of %u bytes", f->n);
	memcpy(&body, f->p, sizeof(body));
	if (body.number != b->seen)
		failed(b, "message %llu came", (unsigned long long)body.number);
	b->seen++;
	b->in_delivery = false;
	histogram_add(&b->phase, now_us > body.due_us ? now_us - body.due_us : 0);
	say_ack(&b->out, 1, b->tag, false);
}

static void on_deliver(struct bystander *b, const struct frame *f)
{
	const uint8_t *p = f->p + 4 + 1 + f->p[4];

	b->tag = wire_get64(p);
	b->in_delivery = true;
	if (p[8])
		failed(b, "message %llu is redelivered", (unsigned long long)b->seen);
}

static void on_confirm(struct bystander *b, const struct frame *f)
{
	uint64_t tag = wire_get64(f->p + 4);
	bool multiple = f->p[12] & 1;

	/* It has one publisher channel and one queue: confirms come in order. */
	if (tag <= b->confirmed || tag > b->sent || (!multiple && tag != b->confirmed + 1))
		failed(b, "a confirm for %llu", (unsigned long long)tag);
	b->confirmed = tag;
}

static void on_method(struct bystander *b, const struct frame *f)
{
	static const uint32_t answers[] = {
		START, TUNE, OPEN_OK, CHANNEL_OPEN_OK, SELECT_OK, QOS_OK, QUEUE_DECLARE_OK, CONSUME_OK};
	const unsigned all = b->quiet ? 3 : sizeof(answers) / sizeof(*answers);
	uint32_t id = frame_method(f);

	if (id == DELIVER)
		on_deliver(b, f);
	else if (id == ACK)
		on_confirm(b, f);
	else if (b->answers < all && id == answers[b->answers])
		b->ready = ++b->answers == all;
	else
		failed(b, "method %u.%u came", id >> 16, id & 0xffff);
}

static void take(struct bystander *b, uint64_t now_us)
{
	size_t at = 0;
	struct frame f;
	long n;

	while ((n = frame_next(b->in + at, b->have - at, &f)) > 0) {
		at += (size_t)n;
		if (f.type == FRAME_METHOD)
			on_method(b, &f);
		else if (f.type == FRAME_BODY)
			on_body(b, &f, now_us);
	}
	if (n < 0)
		failed(b, "not a frame");
	b->have -= at;
	memmove(b->in, b->in + at, b->have);
}

static void receive(struct bystander *b)
{
	ssize_t n = recv(b->fd, b->in + b->have, IN_BYTES - b->have, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		failed(b, "the connection ended: %s", n ? strerror(errno) : "end of stream");
	uint64_t now_us = clock_us();
	b->have += (size_t)n;
	b->heard_us = now_us;
	take(b, now_us);
	flush(b, now_us);
}

static void publish_due(struct bystander *b, uint64_t now_us)
{
	for (; b->due_us <= now_us && b->sent - b->seen < BEHIND_MAX; b->due_us += INTERVAL_US) {
		struct body body = {b->sent++, b->due_us};
		say_publish(&b->out, 1,
			&(struct publish){.exchange = "",
				.key = b->queue,
				.head = &body,
				.head_bytes = sizeof(body),
				.body_bytes = BODY_BYTES});
	}
}

/* RFC or none: AMQP 0-9-1, 4.2.7: a peer that is silent for two intervals is gone. */
static void hearts(struct bystander *b, uint64_t now_us)
{
	if (now_us > b->heard_us && now_us - b->heard_us > 2 * HEARTBEAT_S * UINT64_C(1000000))
		failed(b, "nothing was heard for %llu ms", (unsigned long long)(now_us - b->heard_us) / 1000);
	if (now_us - b->spoke_us > HEARTBEAT_S * UINT64_C(500000))
		say_heartbeat(&b->out);
}

static void open_one(struct bystander *b, const struct sockaddr_in *to, unsigned index, bool quiet)
{
	static const char *const names[] = {"0", "1", "2", "3"};

	b->name = names[index];
	b->quiet = quiet;
	b->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (b->fd < 0 || connect(b->fd, (const struct sockaddr *)to, sizeof(*to)))
		failed(b, "connect: %s", strerror(errno));
	setsockopt(b->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	b->heard_us = clock_us();
	say_hello(&b->out, HEARTBEAT_S);
	if (!quiet) {
		snprintf(b->queue, sizeof(b->queue), "bystander-%u", index);
		say_channel_open(&b->out, 1);
		say_confirm_select(&b->out, 1);
		say_qos(&b->out, 1, PREFETCH);
		say_queue_declare(&b->out, 1, b->queue, EXCLUSIVE);
		say_consume(&b->out, 1, b->queue, "bystander", false);
	}
	flush(b, b->heard_us);
}

static void print_phase(struct bystander *b, const char *name)
{
	struct histogram h;
	uint64_t total = histogram_read(&b->phase, &h);
	const char *comma = "";

	printf("{\"phase\": \"%s\", \"listener\": %s, \"count\": %llu", name, b->name,
		(unsigned long long)total);
	static const struct {
		const char *name;
		double part;
	} of[] = {{"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}, {"p999_us", 0.999}, {"max_us", 1}};
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++)
		printf(", \"%s\": %llu", of[i].name,
			(unsigned long long)histogram_quantile(&h, total, of[i].part));
	printf(", \"buckets\": [");
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		if (h.count[i]) {
			printf("%s[%llu, %llu]", comma, (unsigned long long)histogram_from(i),
				(unsigned long long)h.count[i]);
			comma = ", ";
		}
	printf("]}\n");
	memset(&b->phase, 0, sizeof(b->phase));
}

static bool all_came(const struct bystander *all, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (all[i].seen != all[i].sent || all[i].confirmed != all[i].sent)
			return false;
	return true;
}

struct course {
	struct bystander *all;
	unsigned count;
	bool ending, over;
	uint64_t ending_us;
};

/* "phase NAME": what was measured until now is printed as NAME. The end of stdin: no more is sent. */
static void command(struct course *c, uint64_t now_us)
{
	char line[64];

	if (!fgets(line, sizeof(line), stdin)) {
		c->ending = true;
		c->ending_us = now_us;
		return;
	}
	line[strcspn(line, "\n")] = 0;
	for (unsigned i = 0; i < c->count; i++)
		if (!c->all[i].quiet)
			print_phase(&c->all[i], line);
	printf("{\"done\": \"phase\"}\n");
	fflush(stdout);
}

static void turn(struct course *c, struct pollfd *fds)
{
	struct timespec wait = {0, INTERVAL_US * 500};

	for (unsigned i = 0; i < c->count; i++)
		fds[i] = (struct pollfd){c->all[i].fd, (short)(POLLIN | (c->all[i].out.n ? POLLOUT : 0)), 0};
	fds[c->count] = (struct pollfd){c->ending ? -1 : 0, POLLIN, 0};
	ppoll(fds, c->count + 1, &wait, NULL);
	for (unsigned i = 0; i < c->count; i++) {
		struct bystander *b = &c->all[i];
		receive(b);
		uint64_t now_us = clock_us();
		if (b->ready && !b->due_us)
			b->due_us = now_us;
		if (b->ready && !b->quiet && !c->ending)
			publish_due(b, now_us);
		if (b->ready)
			hearts(b, now_us);
		flush(b, now_us);
	}
	if (fds[c->count].revents)
		command(c, clock_us());
}

int bystander_run(const struct sockaddr_in *listeners, unsigned count)
{
	struct course c = {.count = 2 * count, .all = calloc(2 * count, sizeof(struct bystander))};
	struct pollfd fds[2 * LISTENERS_MAX + 1];

	if (!c.all)
		return 1;
	setvbuf(stdin, NULL, _IONBF, 0);
	for (unsigned i = 0; i < c.count; i++)
		open_one(&c.all[i], &listeners[i / 2], i / 2, i % 2);
	while (!c.ending || !all_came(c.all, c.count)) {
		turn(&c, fds);
		if (c.ending && clock_us() - c.ending_us > END_US)
			failed(&c.all[0], "not all came");
	}
	for (unsigned i = 0; i < c.count; i++)
		if (!c.all[i].quiet)
			printf("{\"listener\": %s, \"sent\": %llu, \"confirmed\": %llu, \"received\": "
			       "%llu}\n",
				c.all[i].name, (unsigned long long)c.all[i].sent,
				(unsigned long long)c.all[i].confirmed, (unsigned long long)c.all[i].seen);
	return 0;
}
