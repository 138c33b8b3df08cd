/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/log.h"

#include "runtime/check.h"
#include "runtime/ring.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* Nobody wakes the writer (that would be a system call on a data core): it looks, rarely while idle. */
enum {
	LOOK_MS_MIN = 1,
	LOOK_MS_MAX = 64,
	STUCK_LOOK_MS = 50,
	STUCK_LOOKS = 10, /* while nobody but the program's end waits */
	HEAD_BYTES = 80,
	LINE_OUT_BYTES = HEAD_BYTES + 4 * LOG_LINE_BYTES + 1
};

struct record {
	struct timespec when;
	const char *area;
	enum log_level level;
	uint32_t bytes;
	char text[LOG_LINE_BYTES];
};

/* A thread's own ring. Slots and rings outlive their threads and serve the next ones. */
struct source {
	bool taken;
	struct ring *ring;
};

enum log_level log_level_now = LOG_LEVEL_INFO;

static struct {
	enum log_target target;
	bool running, stopping;
	uint64_t dropped;
	uint64_t dropped_told; /* the writer's */
	unsigned stuck_looks;  /* how often standard error was full while the writer did not run or had to end
				*/
	pthread_t writer;
	sem_t wake;
	pthread_once_t once;
	pthread_key_t leaving; /* its destructor gives a thread's slot back */
	struct source source[LOG_THREADS_MAX];
} self = {.once = PTHREAD_ONCE_INIT};

static __thread struct source *own;

/* C0, DEL, and C1 alone or as UTF-8 (U+0080 to U+009F); other UTF-8 passes. */
static bool is_control(uint8_t before, uint8_t c)
{
	return c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xa0 && (before < 0x80 || before == 0xc2));
}

static size_t escape(char *to, const char *text, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t before = 0;
	char *at = to;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)text[i];
		if (is_control(before, c)) {
			*at++ = '\\';
			*at++ = 'x';
			*at++ = digits[c >> 4];
			*at++ = digits[c & 15];
		} else {
			*at++ = (char)c;
		}
		before = c;
	}
	return (size_t)(at - to);
}

static size_t format_head(char *to, const struct record *r)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	struct tm tm;
	size_t n;

	gmtime_r(&r->when.tv_sec, &tm);
	n = strftime(to, HEAD_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
	int more = snprintf(to + n, HEAD_BYTES - n, ".%06ldZ %-5s %.32s: ", r->when.tv_nsec / 1000,
		names[r->level], r->area);
	return n + (size_t)more;
}

/* Whether standard error takes a line. The writer waits for a full pipe as long as the program runs: what its
 * rings do not hold meanwhile is counted. The program's own end waits half a second in all. */
static bool stderr_takes(void)
{
	struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};

	for (;;) {
		bool patient = __atomic_load_n(&self.running, __ATOMIC_ACQUIRE);
		bool spent = !patient && self.stuck_looks >= STUCK_LOOKS;
		if (poll(&fd, 1, spent ? 0 : STUCK_LOOK_MS) != 0)
			return true;
		if (spent)
			return false;
		self.stuck_looks += !patient;
	}
}

/* What standard error does not take is lost: there is nowhere left to tell. */
static void write_all(const char *p, size_t n)
{
	while (n > 0 && stderr_takes()) {
		ssize_t w = write(STDERR_FILENO, p, n);
		if (w > 0) {
			p += w;
			n -= (size_t)w;
		} else if (w == 0 || (errno != EINTR && errno != EAGAIN)) {
			return;
		}
	}
}

static void write_record(const struct record *r)
{
	static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
	char line[LINE_OUT_BYTES];

	if (__atomic_load_n(&self.target, __ATOMIC_RELAXED) == LOG_TARGET_SYSLOG) {
		size_t n = escape(line, r->text, r->bytes);
		syslog(LOG_DAEMON | priority[r->level], "%s: %.*s", r->area, (int)n, line);
		return;
	}
	size_t n = format_head(line, r);
	n += escape(line + n, r->text, r->bytes);
	line[n++] = '\n';
	write_all(line, n);
}

static void tell_dropped(void)
{
	struct record r = {.area = "log", .level = LOG_LEVEL_WARN};
	uint64_t dropped = log_dropped();

	if (dropped == self.dropped_told)
		return;
	clock_gettime(CLOCK_REALTIME, &r.when);
	r.bytes = (uint32_t)snprintf(r.text, sizeof(r.text),
		"%llu lines lost: written faster than they could be logged",
		(unsigned long long)(dropped - self.dropped_told));
	self.dropped_told = dropped;
	write_record(&r);
}

/* One pass over all rings; each at most once full, so that no thread keeps the others waiting. */
static unsigned drain(void)
{
	struct record r;
	unsigned count = 0;

	for (unsigned i = 0; i < LOG_THREADS_MAX; i++) {
		struct ring *ring = __atomic_load_n(&self.source[i].ring, __ATOMIC_ACQUIRE);
		for (unsigned n = 0; ring && n < LOG_RING_RECORDS && ring_pop(ring, &r, 1); n++) {
			write_record(&r);
			count++;
		}
	}
	tell_dropped();
	return count;
}

static void wait_ms(unsigned ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	sem_timedwait(&self.wake, &until);
}

static void *writer_main(void *arg)
{
	unsigned look_ms = LOOK_MS_MIN;

	for (;;) {
		bool stopping = __atomic_load_n(&self.stopping, __ATOMIC_ACQUIRE);
		if (drain() > 0) {
			look_ms = LOOK_MS_MIN;
		} else if (stopping) {
			return NULL;
		} else {
			wait_ms(look_ms);
			look_ms = look_ms < LOOK_MS_MAX ? look_ms * 2 : LOOK_MS_MAX;
		}
	}
}

static void source_leave(void *arg)
{
	struct source *s = arg;

	own = NULL;
	__atomic_store_n(&s->taken, false, __ATOMIC_RELEASE);
}

static void key_create(void)
{
	MUST(pthread_key_create(&self.leaving, source_leave) == 0);
}

/* The calling thread's ring, made at its first line; NULL where slots or memory have run out. */
static struct ring *own_ring(void)
{
	if (own)
		return own->ring;
	for (unsigned i = 0; i < LOG_THREADS_MAX; i++) {
		struct source *s = &self.source[i];
		bool taken = false;
		if (!__atomic_compare_exchange_n(
			    &s->taken, &taken, true, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		if (!s->ring)
			__atomic_store_n(&s->ring, ring_create(sizeof(struct record), LOG_RING_RECORDS),
				__ATOMIC_RELEASE);
		if (!s->ring || pthread_setspecific(self.leaving, s) != 0) {
			__atomic_store_n(&s->taken, false, __ATOMIC_RELEASE);
			return NULL;
		}
		own = s;
		return s->ring;
	}
	return NULL;
}

void log_set_level(enum log_level level)
{
	__atomic_store_n(&log_level_now, level, __ATOMIC_RELAXED);
}

enum log_level log_get_level(void)
{
	return __atomic_load_n(&log_level_now, __ATOMIC_RELAXED);
}

void log_set_target(enum log_target target)
{
	__atomic_store_n(&self.target, target, __ATOMIC_RELAXED);
}

int log_start(void)
{
	sigset_t all, old;

	MUST(!self.running);
	pthread_once(&self.once, key_create);
	sem_init(&self.wake, 0, 0);
	self.stopping = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int error = pthread_create(&self.writer, NULL, writer_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error) {
		sem_destroy(&self.wake);
		return -error;
	}
	pthread_setname_np(self.writer, "godwit-log");
	__atomic_store_n(&self.running, true, __ATOMIC_RELEASE);
	return 0;
}

void log_stop(void)
{
	MUST(self.running);
	__atomic_store_n(&self.running, false, __ATOMIC_RELEASE);
	__atomic_store_n(&self.stopping, true, __ATOMIC_RELEASE);
	sem_post(&self.wake);
	pthread_join(self.writer, NULL);
	sem_destroy(&self.wake);
}

void log_write(enum log_level level, const char *area, const char *fmt, ...)
{
	struct record r;
	va_list args;

	r.area = area;
	r.level = level;
	clock_gettime(CLOCK_REALTIME, &r.when);
	va_start(args, fmt);
	int n = vsnprintf(r.text, sizeof(r.text), fmt, args);
	va_end(args);
	if (n < 0)
		n = 0;
	r.bytes = n < LOG_LINE_BYTES ? (uint32_t)n : LOG_LINE_BYTES - 1;

	if (!__atomic_load_n(&self.running, __ATOMIC_ACQUIRE)) {
		write_record(&r);
		return;
	}
	struct ring *ring = own_ring();
	if (!ring || !ring_push(ring, &r, 1))
		__atomic_fetch_add(&self.dropped, 1, __ATOMIC_RELAXED);
}

uint64_t log_dropped(void)
{
	return __atomic_load_n(&self.dropped, __ATOMIC_RELAXED);
}
