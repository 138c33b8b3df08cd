/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/log.h"

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int real_stderr, captured;

/* Standard error into a file without a name, until captured_text. */
static void capture(void)
{
	char name[] = "/tmp/godwit-log-test-XXXXXX";

	captured = mkostemp(name, O_APPEND);
	if (captured < 0)
		abort();
	unlink(name);
	real_stderr = dup(STDERR_FILENO);
	dup2(captured, STDERR_FILENO);
}

/* All that was written; to be freed. */
static char *captured_text(void)
{
	off_t n = lseek(captured, 0, SEEK_END);
	char *text = calloc(1, (size_t)n + 1);

	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	if (pread(captured, text, (size_t)n, 0) != n)
		abort();
	close(captured);
	return text;
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

static void one_line(void)
{
	int year, month, day, hour, minute, second, us, end = 0;

	capture();
	LOG_WARN("tcp", "%d of %s", 7, "nine");
	char *text = captured_text();
	CU_ASSERT_EQUAL(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%6dZ warn  tcp: 7 of nine%n", &year, &month,
				&day, &hour, &minute, &second, &us, &end),
		7);
	CU_ASSERT_EQUAL(text[end], '\n');
	CU_ASSERT_EQUAL(text[end + 1], 0);
	free(text);
}

static void levels(void)
{
	capture();
	LOG_DEBUG("a", "hidden");
	log_set_level(LOG_LEVEL_DEBUG);
	LOG_DEBUG("a", "shown");
	log_set_level(LOG_LEVEL_ERROR);
	LOG_WARN("a", "hidden");
	LOG_ERROR("a", "shown");
	log_set_level(LOG_LEVEL_INFO);
	CU_ASSERT_EQUAL(log_get_level(), LOG_LEVEL_INFO);
	char *text = captured_text();
	CU_ASSERT_EQUAL(count(text, "shown"), 2);
	CU_ASSERT_EQUAL(count(text, "hidden"), 0);
	free(text);
}

static void peers_cannot_forge_lines(void)
{
	capture();
	LOG_INFO("amqp", "user %s", "a\nb\r\x1b[2J\x7f\x9b \xc2\x9b|\xc3\xa9\xe2\x82\xac");
	LOG_INFO("amqp", "%c|%%", 0);
	char *text = captured_text();
	CU_ASSERT_EQUAL(count(text, "\n"), 2);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "user a\\x0ab\\x0d\\x1b[2J\\x7f\\x9b \xc2\\x9b|\xc3\xa9\xe2\x82\xac\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "amqp: \\x00|%\n"));
	free(text);
}

static void long_lines_are_cut(void)
{
	char longer[2000];

	memset(longer, 1, sizeof(longer));
	longer[sizeof(longer) - 1] = 0;
	capture();
	LOG_INFO("a-rather-long-name-of-an-area-that-is-cut-as-well", "%s", longer);
	char *text = captured_text();
	CU_ASSERT_EQUAL(count(text, "\\x01"), LOG_LINE_BYTES - 1);
	CU_ASSERT_EQUAL(text[strlen(text) - 1], '\n');
	free(text);
}

static void start_and_stop(void)
{
	capture();
	for (int round = 0; round < 3; round++) {
		LOG_INFO("t", "before %d.", round);
		CU_ASSERT_EQUAL_FATAL(log_start(), 0);
		LOG_INFO("t", "between %d.", round);
		log_stop();
		LOG_INFO("t", "after %d.", round);
	}
	char *text = captured_text(), *at = text;
	for (int round = 0; round < 3; round++) {
		static const char *const when[] = {"before", "between", "after"};
		for (int i = 0; i < 3; i++) {
			char want[20];
			snprintf(want, sizeof(want), "%s %d.", when[i], round);
			at = strstr(at, want);
			CU_ASSERT_PTR_NOT_NULL_FATAL(at);
		}
	}
	CU_ASSERT_EQUAL(count(text, "\n"), 9);
	free(text);
}

static void lines_appear_without_stop(void)
{
	struct timespec wait = {0, 10 * 1000000};

	capture();
	CU_ASSERT_EQUAL_FATAL(log_start(), 0);
	LOG_INFO("t", "soon");
	for (int i = 0; i < 500 && lseek(captured, 0, SEEK_END) == 0; i++)
		nanosleep(&wait, NULL);
	CU_ASSERT(lseek(captured, 0, SEEK_END) > 0);
	log_stop();
	free(captured_text());
}

/* All fits into one ring: a thread that starts late may inherit the ring of one that is done. */
enum { WRITERS = 4, LINES = LOG_RING_RECORDS / 4 };

static void *write_lines(void *arg)
{
	for (int i = 0; i < LINES; i++)
		LOG_INFO("t", "writer %d line %d.", (int)(intptr_t)arg, i);
	return NULL;
}

static void order_within_a_thread(void)
{
	pthread_t thread[WRITERS];
	int next[WRITERS] = {0}, writer, line;

	capture();
	CU_ASSERT_EQUAL_FATAL(log_start(), 0);
	for (intptr_t i = 0; i < WRITERS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, write_lines, (void *)i), 0);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	log_stop();
	char *text = captured_text();
	for (char *at = text; (at = strstr(at, "writer ")); at++) {
		CU_ASSERT_EQUAL_FATAL(sscanf(at, "writer %d line %d.", &writer, &line), 2);
		CU_ASSERT_EQUAL(line, next[writer]);
		next[writer] = line + 1;
	}
	for (int i = 0; i < WRITERS; i++)
		CU_ASSERT_EQUAL(next[i], LINES);
	free(text);
}

static void *write_one(void *arg)
{
	LOG_INFO("t", "one.");
	return NULL;
}

/* Far more threads one after the other than there are slots: none is lost. */
static void slots_serve_later_threads(void)
{
	uint64_t dropped = log_dropped();

	capture();
	CU_ASSERT_EQUAL_FATAL(log_start(), 0);
	for (int i = 0; i < 3 * LOG_THREADS_MAX; i++) {
		pthread_t thread;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, write_one, NULL), 0);
		pthread_join(thread, NULL);
	}
	log_stop();
	char *text = captured_text();
	CU_ASSERT_EQUAL(count(text, "one."), 3 * LOG_THREADS_MAX);
	CU_ASSERT_EQUAL(log_dropped(), dropped);
	free(text);
}

/* The writer is held up by a full pipe, so that the ring overflows for certain. */
static void drops_are_counted_and_told(void)
{
	enum { MANY = 10000 };
	int pipe_fds[2], saved = dup(STDERR_FILENO);
	uint64_t dropped = log_dropped();
	size_t bytes = 0, room = 8 << 20;
	char *text = malloc(room + 1);
	ssize_t n;

	CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
	dup2(pipe_fds[1], STDERR_FILENO);
	close(pipe_fds[1]);
	CU_ASSERT_EQUAL_FATAL(log_start(), 0);
	for (int i = 0; i < MANY; i++)
		LOG_INFO("t", "line %-400d.", i);
	dropped = log_dropped() - dropped;
	CU_ASSERT(dropped > 0 && dropped < MANY);
	/* Read until the writer has told what was lost; the rest fits into the pipe. */
	do {
		n = read(pipe_fds[0], text + bytes, room - bytes);
		bytes += n > 0 ? (size_t)n : 0;
		text[bytes] = 0;
	} while (n > 0 && count(text, "line ") < MANY - dropped);
	log_stop();
	dup2(saved, STDERR_FILENO);
	close(saved);
	while ((n = read(pipe_fds[0], text + bytes, room - bytes)) > 0)
		bytes += (size_t)n;
	text[bytes] = 0;
	close(pipe_fds[0]);

	unsigned long long told = 0, one;
	for (char *at = text; (at = strstr(at, "log: ")); at++)
		told += sscanf(at, "log: %llu lines lost", &one) == 1 ? one : 0;
	CU_ASSERT_EQUAL(told, dropped);
	CU_ASSERT_EQUAL(count(text, "line "), MANY - dropped);
	free(text);
}

/* A pipe that nobody reads, full. Whoever logs and whoever ends the log gets away. */
static void nobody_reads(void)
{
	static const char filler[4096];
	int pipe_fds[2];
	struct timespec begin, end;

	if (pipe(pipe_fds) != 0)
		abort();
	fcntl(pipe_fds[1], F_SETFL, O_NONBLOCK);
	while (write(pipe_fds[1], filler, sizeof(filler)) > 0)
		;
	fcntl(pipe_fds[1], F_SETFL, 0);
	int saved = dup(STDERR_FILENO);
	dup2(pipe_fds[1], STDERR_FILENO);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	CU_ASSERT_EQUAL(log_start(), 0);
	for (unsigned i = 0; i < 100; i++)
		LOG_INFO("a", "line %u", i);
	log_stop();
	for (unsigned i = 0; i < 100; i++)
		LOG_INFO("a", "line %u after the end", i);
	clock_gettime(CLOCK_MONOTONIC, &end);
	dup2(saved, STDERR_FILENO);
	CU_ASSERT_TRUE(end.tv_sec - begin.tv_sec <= 2);
	close(saved);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"one_line", one_line}, {"levels", levels},
			{"peers_cannot_forge_lines", peers_cannot_forge_lines},
			{"long_lines_are_cut", long_lines_are_cut}, {"start_and_stop", start_and_stop},
			{"lines_appear_without_stop", lines_appear_without_stop},
			{"order_within_a_thread", order_within_a_thread},
			{"slots_serve_later_threads", slots_serve_later_threads},
			{"drops_are_counted_and_told", drops_are_counted_and_told},
			{"nobody_reads", nobody_reads}, {0}});
}
