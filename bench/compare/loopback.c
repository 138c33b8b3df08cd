/* SPDX-License-Identifier: Apache-2.0 */
/* compare_loopback MESSAGE_BYTES MILLISECONDS CPU CPU: what the kernel's TCP takes to send and to receive
 * small messages in calls of 64 KiB over loopback, in nanoseconds a message, as one object of JSON. A broker
 * on kernel sockets pays both for a message that it passes on, so it is the most that a bypass can save it.
 *
 * A thread on the first CPU sends, one on the second receives, and neither sleeps. What is timed are their
 * calls, in which the kernel does all of its work for loopback: the segments' way to the other socket within
 * the call that sends, the acknowledgements' within the one that receives. Medians of the calls: one that was
 * interrupted, or that moved little, does not count for more than another. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
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
	CALLS_MAX = 200000,
	CALLS_MIN = 200, /* on a machine that is busy it takes longer until there are as many */
	PATIENCE_MS = 20000,
};

/* One of the two threads. */
struct side {
	int fd, cpu;
	bool sends;
	size_t call_bytes;
	uint64_t until_ns, patience_ns;
	uint8_t buffer[CALL_BYTES];
	double ns_a_byte[CALLS_MAX]; /* of each call that moved something */
	unsigned calls;		     /* the other thread looks at it */
};

static struct side sender, receiver;

static void fail(const char *what)
{
	fprintf(stderr, "compare_loopback: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Both ends of one connection. */
static void connect_both(int *first, int *second)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	*first = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || *first < 0)
		fail("socket");
	setsockopt(*first, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&address, bytes) || listen(listener, 1) ||
		getsockname(listener, (struct sockaddr *)&address, &bytes))
		fail("listen on 127.0.0.1");
	if (connect(*first, (struct sockaddr *)&address, bytes))
		fail("connect to 127.0.0.1");
	*second = accept(listener, NULL, NULL);
	if (*second < 0)
		fail("accept");
	close(listener);
}

static ssize_t call(struct side *s)
{
	ssize_t n = s->sends ? send(s->fd, s->buffer, s->call_bytes, MSG_DONTWAIT)
			     : recv(s->fd, s->buffer, s->call_bytes, MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		fail(s->sends ? "send" : "recv");
	return n;
}

static bool is_enough(const struct side *s, uint64_t at_ns)
{
	if (s->calls == CALLS_MAX || at_ns >= s->patience_ns)
		return true;
	return at_ns >= s->until_ns && __atomic_load_n(&sender.calls, __ATOMIC_RELAXED) >= CALLS_MIN &&
	       __atomic_load_n(&receiver.calls, __ATOMIC_RELAXED) >= CALLS_MIN;
}

static void *work(void *of)
{
	struct side *s = (struct side *)of;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(s->cpu, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set))
		fail("its CPU");
	for (uint64_t end_ns = now_ns(); !is_enough(s, end_ns);) {
		uint64_t begin_ns = end_ns;
		ssize_t n = call(s);
		end_ns = now_ns();
		if (n <= 0)
			continue;
		s->ns_a_byte[s->calls] = (double)(end_ns - begin_ns) / (double)n;
		__atomic_store_n(&s->calls, s->calls + 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(struct side *s)
{
	if (s->calls < CALLS_MIN) {
		fprintf(stderr,
			"compare_loopback: %u calls in %d ms, and %d are needed: are the CPUs free?\n",
			s->calls, PATIENCE_MS, CALLS_MIN);
		exit(1);
	}
	qsort(s->ns_a_byte, s->calls, sizeof(s->ns_a_byte[0]), compare);
	return s->ns_a_byte[s->calls / 2];
}

static void measure(size_t call_bytes, int ms)
{
	uint64_t start_ns = now_ns();
	pthread_t threads[2];

	connect_both(&sender.fd, &receiver.fd);
	/* Pages of its own, where the kernel would have one of zeros for all. */
	memset(sender.buffer, 'x', sizeof(sender.buffer));
	sender.sends = true;
	sender.call_bytes = receiver.call_bytes = call_bytes;
	sender.until_ns = receiver.until_ns = start_ns + (uint64_t)ms * 1000000;
	sender.patience_ns = receiver.patience_ns = sender.until_ns + (uint64_t)PATIENCE_MS * 1000000;
	errno = pthread_create(&threads[0], NULL, work, &sender);
	if (!errno)
		errno = pthread_create(&threads[1], NULL, work, &receiver);
	if (errno)
		fail("a thread");
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

int main(int argc, char **argv)
{
	unsigned message_bytes = argc == 5 ? (unsigned)atoi(argv[1]) : 0;
	int ms = argc == 5 ? atoi(argv[2]) : 0;

	sender.cpu = argc == 5 ? atoi(argv[3]) : -1;
	receiver.cpu = argc == 5 ? atoi(argv[4]) : -1;
	if (message_bytes < 1 || message_bytes > CALL_BYTES || ms < 1 || sender.cpu < 0 ||
		sender.cpu >= CPU_SETSIZE || receiver.cpu < 0 || receiver.cpu >= CPU_SETSIZE) {
		fprintf(stderr, "usage: compare_loopback MESSAGE_BYTES (1 to %d) MILLISECONDS CPU CPU\n",
			CALL_BYTES);
		return 2;
	}
	size_t call_bytes = CALL_BYTES / message_bytes * message_bytes;
	measure(call_bytes, ms);
	printf("{\"message_bytes\": %u, \"call_bytes\": %zu, \"calls\": %u, \"send_ns\": %.2f, "
	       "\"receive_ns\": %.2f}\n",
		message_bytes, call_bytes, sender.calls, median(&sender) * message_bytes,
		median(&receiver) * message_bytes);
	return 0;
}
