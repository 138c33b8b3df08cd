/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of many pieces. */
#include "broker/control/control_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/clock.h"
#include "runtime/log.h"
#include "tests/unit/unit.h"

enum { CHUNK_BYTES = 100000 };

/* A stream that does what the test says. */
struct fake {
	struct control_stream stream;
	unsigned given, stops;
};

static struct {
	unsigned pieces;      /* before the last; UINT32_MAX: without end, until it is stopped */
	unsigned silent;      /* so many calls first get nothing */
	unsigned fail_at;     /* the piece at which it fails */
	bool bytes, stopless; /* pieces are bytes; stop is not heard */
	unsigned calls, opened, closed, stops;
} act;

static int fake_next(struct control_stream *s, struct control_piece *piece, char *error, size_t error_bytes)
{
	struct fake *f = (struct fake *)s;
	static uint8_t bytes[CHUNK_BYTES];

	act.calls++;
	if (act.silent && !f->stops) {
		act.silent--;
		return 0;
	}
	if (act.fail_at && f->given == act.fail_at) {
		snprintf(error, error_bytes, "the moon is full");
		return -1;
	}
	piece->last = f->given == act.pieces || f->stops;
	if (act.bytes && !piece->last) {
		memset(bytes, (int)f->given, sizeof(bytes));
		piece->bytes = bytes;
		piece->bytes_count = sizeof(bytes);
	} else {
		piece->result = json_integer(f->given);
	}
	f->given++;
	return 1;
}

static void fake_stop(struct control_stream *s)
{
	((struct fake *)s)->stops++;
	act.stops++;
}

static void fake_close(struct control_stream *s)
{
	act.closed++;
	free(s);
}

static struct control_stream *open_fake(void *ctx, const json_t *arguments, char *error, size_t error_bytes)
{
	if (arguments) {
		snprintf(error, error_bytes, "not that way");
		return NULL;
	}
	struct fake *f = calloc(1, sizeof(*f));
	f->stream = (struct control_stream){
		.next = fake_next, .stop = act.stopless ? NULL : fake_stop, .close = fake_close};
	act.opened++;
	return &f->stream;
}

static json_t *run_status(void *ctx, const json_t *arguments, char *error, size_t error_bytes)
{
	return json_string("fine");
}

static const struct control_handler handlers[] = {
	{.name = "flow", .open = open_fake}, {.name = "status", .run = run_status}, {0}};

static struct control *begin(void)
{
	memset(&act, 0, sizeof(act));
	folder_make();
	return control_open_with(0660, handlers, NULL);
}

static void end(struct control *c)
{
	control_close(c);
	CU_ASSERT_EQUAL(act.closed, act.opened);
	folder_remove();
}

static void test_pieces(void)
{
	struct control *c = begin();
	int fd = client_open();

	act.pieces = 2;
	CU_ASSERT_STRING_EQUAL(
		talk(c, fd, "{\"command\":\"flow\"}\n"), "{\"ok\":true,\"result\":0,\"more\":true}");
	CU_ASSERT_STRING_EQUAL(reply_wait(c, fd), "{\"ok\":true,\"result\":1,\"more\":true}");
	CU_ASSERT_STRING_EQUAL(reply_wait(c, fd), "{\"ok\":true,\"result\":2}");
	/* the connection goes on */
	CU_ASSERT_STRING_EQUAL(
		talk(c, fd, "{\"command\":\"status\"}\n"), "{\"ok\":true,\"result\":\"fine\"}");
	CU_ASSERT_STRING_EQUAL(talk(c, fd, "{\"command\":\"flow\",\"arguments\":{}}\n"),
		"{\"ok\":false,\"error\":\"not that way\"}");
	act.fail_at = 1;
	talk(c, fd, "{\"command\":\"flow\"}\n");
	CU_ASSERT_STRING_EQUAL(reply_wait(c, fd), "{\"ok\":false,\"error\":\"the moon is full\"}");
	CU_ASSERT_STRING_EQUAL(
		talk(c, fd, "{\"command\":\"status\"}\n"), "{\"ok\":true,\"result\":\"fine\"}");
	CU_ASSERT_EQUAL(act.closed, 2);
	close(fd);
	end(c);
}

static void receive(struct control *c, int fd, void *to, size_t bytes)
{
	uint64_t end_us = clock_now_us() + WAIT_US_MAX;
	size_t got = 0;

	while (got < bytes && clock_now_us() < end_us) {
		ssize_t n = recv(fd, (char *)to + got, bytes - got, MSG_DONTWAIT);
		got += n > 0 ? (size_t)n : 0;
		if (n <= 0)
			serve_ready(c, 1);
	}
	CU_ASSERT_EQUAL(got, bytes);
}

static void test_bytes(void)
{
	struct control *c = begin();
	int fd = client_open();
	static const char line[] = "{\"ok\":true,\"bytes\":100000,\"more\":true}\n";
	char got[sizeof(line)] = "";
	uint8_t *bytes = malloc(CHUNK_BYTES);

	act.pieces = 20;
	act.bytes = true;
	say(fd, "{\"command\":\"flow\"}\n");
	for (unsigned i = 0; i < 20; i++) {
		receive(c, fd, got, sizeof(line) - 1);
		CU_ASSERT_STRING_EQUAL(got, line);
		receive(c, fd, bytes, CHUNK_BYTES);
		CU_ASSERT(bytes[0] == i && bytes[CHUNK_BYTES - 1] == i);
	}
	CU_ASSERT_STRING_EQUAL(reply_wait(c, fd), "{\"ok\":true,\"result\":20}");
	free(bytes);
	close(fd);
	end(c);
}

/* A stream with nothing to say is asked now and then, times out never, and delays nobody. */
static void test_silence(void)
{
	struct control *c = begin();
	int fd = client_open(), other = client_open();

	control_set_idle_us(c, 20 * 1000);
	act.silent = 20;
	say(fd, "{\"command\":\"flow\"}\n");
	uint64_t start_us = clock_now_us();
	CU_ASSERT_STRING_EQUAL(
		talk(c, other, "{\"command\":\"status\"}\n"), "{\"ok\":true,\"result\":\"fine\"}");
	CU_ASSERT(act.silent > 10);
	CU_ASSERT_STRING_EQUAL(reply_wait(c, fd), "{\"ok\":true,\"result\":0}");
	CU_ASSERT(clock_now_us() - start_us >= 19 * CONTROL_PACE_US);
	CU_ASSERT_EQUAL(act.calls, 21);
	close(fd);
	close(other);
	end(c);
}

static void test_stop(void)
{
	struct control *c = begin();
	int fd = client_open();

	act.pieces = UINT32_MAX;
	act.silent = UINT32_MAX;
	say(fd, "{\"command\":\"flow\"}\n");
	while (act.calls < 3)
		serve_ready(c, 10);
	CU_ASSERT_EQUAL(control_clients(c), 1);
	shutdown(fd, SHUT_WR);
	CU_ASSERT_STRING_EQUAL(reply_wait(c, fd), "{\"ok\":true,\"result\":0}");
	CU_ASSERT_STRING_EQUAL(reply_wait(c, fd), "");
	CU_ASSERT_EQUAL(act.stops, 1);
	clients_wait(c, 0);
	close(fd);
	/* one that does not listen comes to its own end */
	fd = client_open();
	act.silent = 0;
	act.pieces = 2;
	act.stopless = true;
	say(fd, "{\"command\":\"flow\"}\n");
	shutdown(fd, SHUT_WR);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_PTR_NOT_NULL(strstr(reply_wait(c, fd), "\"ok\":true"));
	CU_ASSERT_STRING_EQUAL(reply_wait(c, fd), "");
	close(fd);
	clients_wait(c, 0);
	end(c);
}

/* The client goes while its stream is silent, and while it flows. */
static void test_vanish(void)
{
	struct control *c = begin();

	for (unsigned round = 0; round < 2; round++) {
		int fd = client_open();
		act.pieces = UINT32_MAX;
		act.silent = round ? 0 : UINT32_MAX;
		act.bytes = true;
		act.calls = 0;
		say(fd, "{\"command\":\"flow\"}\n");
		while (act.calls < 1)
			serve_ready(c, 10);
		close(fd);
		clients_wait(c, 0);
		CU_ASSERT_EQUAL(act.closed, round + 1);
	}
	end(c);
}

/* Who stops reading costs itself: the others are served, the stream is not asked for more, and after the idle
 * time it is closed. */
static void test_deaf(void)
{
	struct control *c = begin();
	int fd = client_open(), other = client_open();

	act.pieces = UINT32_MAX;
	act.bytes = true;
	say(fd, "{\"command\":\"flow\"}\n");
	for (unsigned i = 0; i < 50; i++)
		CU_ASSERT_STRING_EQUAL(
			talk(c, other, "{\"command\":\"status\"}\n"), "{\"ok\":true,\"result\":\"fine\"}");
	unsigned calls = act.calls;
	CU_ASSERT(calls < 20);
	for (unsigned i = 0; i < 10; i++)
		serve_ready(c, 1);
	CU_ASSERT_EQUAL(act.calls, calls);
	close(other);
	clients_wait(c, 1);
	control_set_idle_us(c, 50 * 1000);
	clients_wait(c, 0);
	CU_ASSERT_EQUAL(act.closed, 1);
	close(fd);
	end(c);
}

/* The broker ends: who reads gets the last piece, who does not is left. */
static void test_end(void)
{
	struct control *c = begin();
	int fd = client_open(), deaf = client_open();

	act.pieces = UINT32_MAX;
	act.bytes = true;
	say(deaf, "{\"command\":\"flow\"}\n");
	for (unsigned i = 0; i < 10; i++)
		serve_ready(c, 1);
	act.silent = UINT32_MAX;
	say(fd, "{\"command\":\"flow\"}\n");
	while (act.opened < 2)
		serve_ready(c, 10);
	control_streams_end(c);
	CU_ASSERT_EQUAL(control_clients(c), 0);
	CU_ASSERT_EQUAL(act.closed, 2);
	CU_ASSERT_STRING_EQUAL(reply_wait(c, fd), "{\"ok\":true,\"result\":0}");
	close(fd);
	close(deaf);
	end(c);
}

static const struct unit_test tests[] = {
	{"many pieces, an end, a failure", test_pieces},
	{"bytes", test_bytes},
	{"a stream with nothing yet", test_silence},
	{"the client ends it", test_stop},
	{"the client vanishes", test_vanish},
	{"the client stops reading", test_deaf},
	{"the broker ends it", test_end},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	log_set_level(LOG_LEVEL_ERROR);
	return unit_main(argc, argv, tests);
}
