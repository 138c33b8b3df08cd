/* SPDX-License-Identifier: Apache-2.0 */
/* compare_nats HOST PORT SIZE SECONDS WARMUP_MS CPU: messages a second through nats-server, by a client of
 * its own protocol that does as little as one can: a connection that publishes what was encoded before, in
 * calls of 64 KiB, and one that subscribes and compares what comes with what has to come. One thread, which
 * never sleeps. Prints one object of JSON with the names of godwit-perftest's.
 *
 * A message that nobody has taken yet costs the server memory, and it gives up a subscriber that falls too
 * far behind; so no more than AHEAD_BYTES are on their way, less than the server allows by itself. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CALL_BYTES = 1 << 16,
	SIZE_MAX_BYTES = 1 << 15,
	HEAD_BYTES = 32,
	MESSAGE_BYTES = HEAD_BYTES + SIZE_MAX_BYTES + 2,
	LINE_BYTES = 4096, /* the server's INFO is the longest */
	AHEAD_BYTES = 32 << 20,
	PATIENCE_S = 20, /* nothing came, although something must */
};
#define SECOND_NS UINT64_C(1000000000)

struct conn {
	int fd;
	char in[CALL_BYTES + MESSAGE_BYTES];
	size_t at, bytes; /* in[at..bytes - 1] was received and not looked at yet */
	bool pong_due;
};

struct bench {
	struct conn publisher, subscriber;
	char out[CALL_BYTES]; /* whole messages */
	size_t out_bytes, out_at, publish_bytes;
	char wanted[MESSAGE_BYTES]; /* what the server makes of one */
	size_t wanted_bytes;
	uint64_t published, received;
	uint64_t last_ns, idle_ns; /* the last arrival; the time in which there was nothing to do */
};

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "compare_nats: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SECOND_NS + (uint64_t)ts.tv_nsec;
}

/* Short words, which always find room. */
static void say(struct conn *c, const char *words)
{
	size_t bytes = strlen(words);

	if (send(c->fd, words, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		fail("the server takes nothing: %s", strerror(errno));
}

/* False: nothing was there. */
static bool receive(struct conn *c)
{
	memmove(c->in, c->in + c->at, c->bytes - c->at);
	c->bytes -= c->at;
	c->at = 0;
	ssize_t n = recv(c->fd, c->in + c->bytes, sizeof(c->in) - c->bytes, MSG_DONTWAIT);
	if (n == 0)
		fail("the server closed a connection");
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		fail("a connection ended: %s", strerror(errno));
	c->bytes += n > 0 ? (size_t)n : 0;
	return n > 0;
}

/* What is no message: a line. Returns whether it was a PONG; *whole: false where its end has not come yet. */
static bool take_line(struct conn *c, bool *whole)
{
	char *line = c->in + c->at, *end = memmem(line, c->bytes - c->at, "\r\n", 2);

	*whole = end != NULL;
	if (!end && c->bytes - c->at > LINE_BYTES)
		fail("the server says what NATS does not know");
	if (!end)
		return false;
	size_t bytes = (size_t)(end - line);
	c->at += bytes + 2;
	if (bytes >= 4 && memcmp(line, "-ERR", 4) == 0)
		fail("the server says %.*s", (int)bytes, line);
	c->pong_due |= bytes == 4 && memcmp(line, "PING", 4) == 0;
	if (bytes >= 3 && memcmp(line, "MSG", 3) == 0)
		fail("a message is not as it was published: %.*s", (int)(bytes < 100 ? bytes : 100), line);
	return bytes == 4 && memcmp(line, "PONG", 4) == 0;
}

static void connect_to(struct conn *c, const char *host, uint16_t port, const char *words)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	uint64_t until_ns = now_ns() + PATIENCE_S * SECOND_NS;
	int one = 1;
	bool whole;

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		fail("%s is no IPv4 address", host);
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)))
		fail("%s port %u: %s", host, port, strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	say(c, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
	say(c, words);
	say(c, "PING\r\n");
	for (bool answered = false; !answered;) {
		receive(c);
		do
			answered = c->at < c->bytes && take_line(c, &whole);
		while (!answered && c->at < c->bytes && whole);
		if (now_ns() > until_ns)
			fail("the server does not answer");
	}
}

/* One call at most; false where the socket takes nothing now. */
static bool publish(struct bench *b)
{
	if (b->out_at == 0 && b->publisher.pong_due) {
		b->publisher.pong_due = false;
		say(&b->publisher, "PONG\r\n");
	}
	ssize_t n = send(
		b->publisher.fd, b->out + b->out_at, b->out_bytes - b->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		fail("the publisher's connection ended: %s", strerror(errno));
	b->out_at += n > 0 ? (size_t)n : 0;
	if (b->out_at == b->out_bytes) {
		b->out_at = 0;
		b->published += b->out_bytes / b->publish_bytes;
	}
	return n > 0;
}

static bool take_messages(struct bench *b)
{
	struct conn *c = &b->subscriber;
	uint64_t before = b->received;
	bool whole = receive(c);

	while (whole) {
		while (c->bytes - c->at >= b->wanted_bytes &&
			memcmp(c->in + c->at, b->wanted, b->wanted_bytes) == 0) {
			c->at += b->wanted_bytes;
			b->received++;
		}
		/* The beginning of a message waits for its rest. */
		size_t left = c->bytes - c->at;
		if (left == 0 || (left < b->wanted_bytes && memcmp(c->in + c->at, b->wanted, left) == 0))
			break;
		take_line(c, &whole);
	}
	if (c->pong_due) {
		c->pong_due = false;
		say(c, "PONG\r\n");
	}
	return b->received > before;
}

/* Publishes until then, whole buffers, and takes what comes until all of it has. */
static void run(struct bench *b, uint64_t until_ns)
{
	const uint64_t ahead = AHEAD_BYTES / b->publish_bytes;
	uint64_t at_ns = now_ns();
	bool whole;

	b->last_ns = at_ns;
	while (at_ns < until_ns || b->out_at || b->received < b->published) {
		bool worked = false;
		if (b->out_at || (at_ns < until_ns && b->published - b->received < ahead))
			worked = publish(b);
		bool came = take_messages(b);
		if (receive(&b->publisher))
			for (whole = true; whole && b->publisher.at < b->publisher.bytes;)
				take_line(&b->publisher, &whole);
		uint64_t then_ns = now_ns();
		if (came)
			b->last_ns = then_ns;
		else if (!worked)
			b->idle_ns += then_ns - at_ns;
		at_ns = then_ns;
		if (at_ns - b->last_ns > PATIENCE_S * SECOND_NS)
			fail("nothing came for %d s: %llu of %llu messages", PATIENCE_S,
				(unsigned long long)b->received, (unsigned long long)b->published);
	}
}

static void encode(struct bench *b, unsigned size)
{
	char one[MESSAGE_BYTES];

	b->publish_bytes = (size_t)snprintf(one, HEAD_BYTES, "PUB a %u\r\n", size);
	b->wanted_bytes = (size_t)snprintf(b->wanted, HEAD_BYTES, "MSG a 1 %u\r\n", size);
	for (unsigned i = 0; i < size; i++)
		one[b->publish_bytes + i] = b->wanted[b->wanted_bytes + i] = (char)('A' + i % 26);
	memcpy(one + b->publish_bytes + size, "\r\n", 2);
	memcpy(b->wanted + b->wanted_bytes + size, "\r\n", 2);
	b->publish_bytes += size + 2;
	b->wanted_bytes += size + 2;
	for (; b->out_bytes + b->publish_bytes <= CALL_BYTES; b->out_bytes += b->publish_bytes)
		memcpy(b->out + b->out_bytes, one, b->publish_bytes);
}

static void print(const struct bench *b, unsigned size, double seconds)
{
	double rate = (double)b->published / seconds;

	printf("{\"qt\": 1, \"size\": %u, \"count\": %llu, \"transfers\": %llu, \"seconds\": %.9f, "
	       "\"publishes_per_s\": {\"mean\": %.3f}, \"transfers_per_s\": %.3f, \"mb_per_s\": %.6f, "
	       "\"client_busy\": %.4f}\n",
		size, (unsigned long long)b->published, (unsigned long long)(b->published + b->received),
		seconds, rate, 2 * rate, 2 * rate * size / 1048576, 1 - (double)b->idle_ns / 1e9 / seconds);
}

int main(int argc, char **argv)
{
	static struct bench b;
	unsigned size = argc == 7 ? (unsigned)atoi(argv[3]) : 0;
	int port = argc == 7 ? atoi(argv[2]) : 0, cpu = argc == 7 ? atoi(argv[6]) : -1;
	double seconds = argc == 7 ? atof(argv[4]) : 0, warmup_ms = argc == 7 ? atof(argv[5]) : -1;
	cpu_set_t set;

	if (size < 1 || size > SIZE_MAX_BYTES || port < 1 || port > 65535 || seconds <= 0 || warmup_ms < 0 ||
		cpu < 0 || cpu >= CPU_SETSIZE) {
		fprintf(stderr, "usage: compare_nats HOST PORT SIZE (1 to %d) SECONDS WARMUP_MS CPU\n",
			SIZE_MAX_BYTES);
		return 2;
	}
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail("CPU %d: %s", cpu, strerror(errno));
	encode(&b, size);
	connect_to(&b.subscriber, argv[1], (uint16_t)port, "SUB a 1\r\n");
	connect_to(&b.publisher, argv[1], (uint16_t)port, "");
	run(&b, now_ns() + (uint64_t)(warmup_ms * 1e6));
	b.published = b.received = b.idle_ns = 0;
	uint64_t start_ns = now_ns();
	run(&b, start_ns + (uint64_t)(seconds * 1e9));
	print(&b, size, (double)(b.last_ns - start_ns) / 1e9);
	return 0;
}
