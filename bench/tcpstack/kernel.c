/* SPDX-License-Identifier: Apache-2.0 */
/* The same transfer over the kernel's TCP, between two network namespaces that exist: a thread each. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/tcpstack/bench.h"
#include "runtime/clock.h"

enum { PORT = 5672, READ_BYTES = 256 * 1024, WARM_US = 300000 };

struct half {
	const struct bench_options *o;
	int listener;
	uint64_t bytes; /* read */
	bool failed;
};

static bool over;

static bool enter(const char *netns)
{
	char path[128];

	if (!netns)
		return true;
	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool in = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
	if (!in)
		fprintf(stderr, "network namespace %s: %s\n", netns, strerror(errno));
	if (fd >= 0)
		close(fd);
	return in;
}

static void *sink(void *ctx)
{
	struct half *h = ctx;
	char *into = malloc(READ_BYTES);
	int s = accept(h->listener, NULL, NULL);
	ssize_t n;

	while (into && s >= 0 && (n = read(s, into, READ_BYTES)) > 0)
		__atomic_store_n(&h->bytes, h->bytes + (uint64_t)n, __ATOMIC_RELAXED);
	h->failed = !into || s < 0;
	if (s >= 0)
		close(s);
	free(into);
	return NULL;
}

static void *source(void *ctx)
{
	struct half *h = ctx;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	char *from = calloc(1, h->o->bytes);

	h->failed = true;
	if (!from || !enter(h->o->netns[0]) || inet_pton(AF_INET, h->o->address, &to.sin_addr) != 1)
		return NULL;
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(s, (struct sockaddr *)&to, sizeof(to)) == 0) {
		h->failed = false;
		while (!__atomic_load_n(&over, __ATOMIC_RELAXED) &&
			send(s, from, h->o->bytes, MSG_NOSIGNAL) > 0)
			;
	}
	close(s);
	free(from);
	return NULL;
}

/* A listening socket stays in the namespace in which it was made. */
static int listener_make(const struct bench_options *o)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};

	if (!enter(o->netns[1]))
		return -1;
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s, (struct sockaddr *)&at, sizeof(at)) || listen(s, 1)) {
		close(s);
		return -1;
	}
	return s;
}

static void sleep_us(uint64_t us)
{
	struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000)};

	nanosleep(&t, NULL);
}

int kernel_run(const struct bench_options *o)
{
	struct half in = {.o = o, .listener = listener_make(o)}, out = {.o = o};
	pthread_t threads[2];

	if (in.listener < 0 || !o->address || o->bytes == 0) {
		fprintf(stderr, "kernel: --from NETNS --to NETNS --address ADDRESS --bytes BYTES\n");
		return 2;
	}
	if (pthread_create(&threads[0], NULL, sink, &in) || pthread_create(&threads[1], NULL, source, &out))
		return 1;
	sleep_us(WARM_US);
	uint64_t start_us = clock_now_us(), before = __atomic_load_n(&in.bytes, __ATOMIC_RELAXED);
	sleep_us(o->seconds * 1000000ull);
	uint64_t us = clock_now_us() - start_us;
	uint64_t bytes = __atomic_load_n(&in.bytes, __ATOMIC_RELAXED) - before;
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	shutdown(in.listener, SHUT_RDWR);
	pthread_join(threads[1], NULL);
	pthread_join(threads[0], NULL);
	close(in.listener);
	printf("op=bulk wire=kernel bytes=%u cores=2 ip=4 offloads=%d mbytes=%.1f\n", o->bytes, o->offloads,
		(double)bytes / (double)us);
	return bytes && !in.failed && !out.failed ? 0 : 1;
}
