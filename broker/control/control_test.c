/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/control/control_fixture.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/clock.h"
#include "runtime/log.h"
#include "tests/unit/unit.h"

enum { LARGE_BYTES = 8 << 20 };

static json_t *run_status(void *ctx, const json_t *arguments, char *why, size_t why_bytes)
{
	++*(unsigned *)ctx;
	return json_pack("{s:s, s:b}", "product", "godwit", "arguments", arguments != NULL);
}

static json_t *run_fail(void *ctx, const json_t *arguments, char *why, size_t why_bytes)
{
	snprintf(why, why_bytes, "the moon is full");
	return NULL;
}

static json_t *run_mute(void *ctx, const json_t *arguments, char *why, size_t why_bytes)
{
	return NULL;
}

static json_t *run_large(void *ctx, const json_t *arguments, char *why, size_t why_bytes)
{
	char *text = malloc(LARGE_BYTES);
	memset(text, 'x', LARGE_BYTES);
	json_t *result = json_stringn(text, LARGE_BYTES);
	free(text);
	return result;
}

static unsigned status_runs;
static const struct control_handler handlers[] = {
	{.name = "status", .run = run_status},
	{.name = "fail", .run = run_fail},
	{.name = "mute", .run = run_mute},
	{.name = "large", .run = run_large},
	{0},
};

static struct control *open_it(mode_t mode)
{
	status_runs = 0;
	return control_open_with(mode, handlers, &status_runs);
}

static void test_status(void)
{
	folder_make();
	struct control *c = open_it(0660);
	int fd = client_open();
	CU_ASSERT_STRING_EQUAL(talk(c, fd, "{\"command\":\"status\"}\n"),
		"{\"ok\":true,\"result\":{\"product\":\"godwit\",\"arguments\":false}}");
	CU_ASSERT_STRING_EQUAL(talk(c, fd, "{\"command\":\"status\",\"arguments\":{}}\r\n"),
		"{\"ok\":true,\"result\":{\"product\":\"godwit\",\"arguments\":true}}");
	CU_ASSERT_EQUAL(status_runs, 2);
	close(fd);
	clients_wait(c, 0);
	control_close(c);
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
	folder_remove();
}

static void test_refusals(void)
{
	static const char *const cases[][2] = {
		{"{\"command\":\"nonsense\"}\n",
			"unknown command nonsense; known: status, fail, mute, large"},
		{"{\"command\":\"fail\"}\n", "the moon is full"},
		{"{\"command\":\"mute\"}\n", "the command failed"},
		{"{\"command\":7}\n", "the key command is missing, or no string"},
		{"{}\n", "the key command is missing, or no string"},
		{"{\"command\":\"status\",\"arguments\":[]}\n", "arguments is no object"},
		{"[]\n", "a request is a JSON object: {\"command\":\"status\"}"},
		{"7\n", "a request is a JSON object: {\"command\":\"status\"}"},
		{"\n", "malformed JSON at byte"}, {"{\"command\":\n", "malformed JSON at byte"},
		{"{\"command\":\"status\"} {}\n", "malformed JSON at byte"},
		{"{\"command\":\"status\",\"command\":\"status\"}\n", "malformed JSON at byte"},
		{"\xff\xfe\n", "malformed JSON at byte"},
		{"{\"command\":\"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
		 "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4x\xc3\xa4\""
		 "}\n",
			"unknown command ????"}, /* cut inside a character */
	};
	folder_make();
	struct control *c = open_it(0660);
	int fd = client_open();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *reply = json_loads(talk(c, fd, cases[i][0]), 0, NULL);
		const char *text = json_string_value(json_object_get(reply, "error"));
		CU_ASSERT_TRUE(json_is_false(json_object_get(reply, "ok")));
		CU_ASSERT_PTR_NOT_NULL_FATAL(text);
		CU_ASSERT_PTR_NOT_NULL(strstr(text, cases[i][1]));
		if (!strstr(text, cases[i][1]))
			printf("# %s\n", text);
		json_decref(reply);
	}
	/* and the connection still serves */
	CU_ASSERT_PTR_NOT_NULL(strstr(talk(c, fd, "{\"command\":\"status\"}\n"), "\"ok\":true"));
	CU_ASSERT_EQUAL(status_runs, 1);
	close(fd);
	control_close(c);
	folder_remove();
}

/* Random bytes get errors or nothing, and a good client works afterwards. */
static void test_random(void)
{
	folder_make();
	struct control *c = open_it(0660);
	for (unsigned round = 0; round < 200; round++) {
		char bytes[64];
		int fd = client_open();
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = "{}[]\":,\\\n0a\xff\x01"[unit_random_below(13)];
		CU_ASSERT_EQUAL(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL), (ssize_t)sizeof(bytes));
		shutdown(fd, SHUT_WR);
		const char *reply;
		while ((reply = reply_wait(c, fd))[0])
			CU_ASSERT_PTR_NOT_NULL(strstr(reply, "{\"ok\":false"));
		close(fd);
	}
	clients_wait(c, 0);
	int fd = client_open();
	CU_ASSERT_PTR_NOT_NULL(strstr(talk(c, fd, "{\"command\":\"status\"}\n"), "\"ok\":true"));
	close(fd);
	control_close(c);
	folder_remove();
}

static void test_pieces_and_pipelining(void)
{
	static const char line[] = "{\"command\":\"status\"}\n";
	folder_make();
	struct control *c = open_it(0660);
	int fd = client_open();
	for (size_t i = 0; i + 1 < sizeof(line); i++) {
		CU_ASSERT_EQUAL(status_runs, 0);
		CU_ASSERT_EQUAL(send(fd, line + i, 1, MSG_NOSIGNAL), 1);
		serve_ready(c, 0);
		serve_ready(c, 0);
	}
	CU_ASSERT_PTR_NOT_NULL(strstr(reply_wait(c, fd), "\"ok\":true"));
	/* three in one piece, then no more from the client: all are answered, then it ends */
	say(fd, "{\"command\":\"status\"}\n{\"command\":\"fail\"}\n{\"command\":\"status\"}\n{\"unfinished");
	shutdown(fd, SHUT_WR);
	CU_ASSERT_PTR_NOT_NULL(strstr(reply_wait(c, fd), "\"ok\":true"));
	CU_ASSERT_PTR_NOT_NULL(strstr(reply_wait(c, fd), "moon"));
	CU_ASSERT_PTR_NOT_NULL(strstr(reply_wait(c, fd), "\"ok\":true"));
	CU_ASSERT_STRING_EQUAL(reply_wait(c, fd), "");
	CU_ASSERT_EQUAL(status_runs, 3);
	clients_wait(c, 0);
	close(fd);
	control_close(c);
	folder_remove();
}

/* Sends bytes of 'x' from a client that goes on serving. */
static void send_filler(struct control *c, int fd, size_t bytes)
{
	char filler[1000];
	memset(filler, 'x', sizeof(filler));
	while (bytes) {
		size_t n = bytes < sizeof(filler) ? bytes : sizeof(filler);
		ssize_t sent = send(fd, filler, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		bytes -= sent > 0 ? (size_t)sent : 0;
		if (sent < 0 && errno != EAGAIN)
			abort();
		serve_ready(c, 0);
	}
}

static void test_size_limit(void)
{
	folder_make();
	struct control *c = open_it(0660);
	int fd = client_open();
	/* exactly as much as is allowed: malformed, but heard */
	send_filler(c, fd, CONTROL_REQUEST_BYTES_MAX - 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(talk(c, fd, "\n"), "malformed"));
	send_filler(c, fd, CONTROL_REQUEST_BYTES_MAX);
	CU_ASSERT_STRING_EQUAL(
		reply_wait(c, fd), "{\"ok\":false,\"error\":\"a request of more than 65536 bytes\"}");
	CU_ASSERT_STRING_EQUAL(reply_wait(c, fd), ""); /* and the end */
	clients_wait(c, 0);
	close(fd);
	control_close(c);
	folder_remove();
}

static void test_many_clients(void)
{
	int fds[CONTROL_CLIENTS_MAX];
	folder_make();
	struct control *c = open_it(0660);
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		fds[i] = client_open();
		clients_wait(c, i + 1);
	}
	int extra = client_open();
	CU_ASSERT_STRING_EQUAL(
		reply_wait(c, extra), "{\"ok\":false,\"error\":\"16 clients are connected already\"}");
	CU_ASSERT_STRING_EQUAL(reply_wait(c, extra), "");
	close(extra);
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		say(fds[i], "{\"command\":\"status\"}\n");
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		CU_ASSERT_PTR_NOT_NULL(strstr(reply_wait(c, fds[i]), "\"ok\":true"));
	close(fds[3]);
	clients_wait(c, CONTROL_CLIENTS_MAX - 1);
	fds[3] = client_open(); /* the place is free again */
	CU_ASSERT_PTR_NOT_NULL(strstr(talk(c, fds[3], "{\"command\":\"status\"}\n"), "\"ok\":true"));
	control_close(c); /* with everybody connected */
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		char byte;
		CU_ASSERT_EQUAL(recv(fds[i], &byte, 1, 0), 0);
		close(fds[i]);
	}
	folder_remove();
}

/* A client that takes nothing delays nobody, and its reply arrives whole once it takes it. */
static void test_slow_client(void)
{
	folder_make();
	struct control *c = open_it(0660);
	int slow = client_open(), quick = client_open();
	say(slow, "{\"command\":\"large\"}\n{\"command\":\"status\"}\n");
	for (unsigned i = 0; i < 10; i++)
		CU_ASSERT_PTR_NOT_NULL(strstr(talk(c, quick, "{\"command\":\"status\"}\n"), "\"ok\":true"));
	CU_ASSERT_EQUAL(status_runs, 10); /* the slow one's second request waits for its first reply */
	const size_t whole_bytes = LARGE_BYTES + strlen("{\"ok\":true,\"result\":\"\"}\n");
	size_t bytes = 0;
	char *room = malloc(whole_bytes);
	uint64_t end_us = clock_now_us() + WAIT_US_MAX;
	while (bytes < whole_bytes && clock_now_us() < end_us) {
		serve_ready(c, 0);
		ssize_t n = recv(slow, room + bytes, whole_bytes - bytes, MSG_DONTWAIT);
		bytes += n > 0 ? (size_t)n : 0;
	}
	CU_ASSERT_EQUAL_FATAL(bytes, whole_bytes);
	CU_ASSERT_EQUAL(memchr(room, '\n', whole_bytes), room + whole_bytes - 1);
	free(room);
	CU_ASSERT_PTR_NOT_NULL(strstr(reply_wait(c, slow), "\"ok\":true"));
	CU_ASSERT_EQUAL(status_runs, 11);
	close(slow);
	close(quick);
	clients_wait(c, 0);
	control_close(c);
	folder_remove();
}

/* Killed with a reply on its way. */
static void test_client_vanishes(void)
{
	folder_make();
	struct control *c = open_it(0660);
	int fd = client_open();
	say(fd, "{\"command\":\"large\"}\n");
	clients_wait(c, 1);
	serve_ready(c, 100);
	close(fd);
	clients_wait(c, 0);
	fd = client_open();
	say(fd, "{\"command\":\"lar");
	clients_wait(c, 1);
	serve_ready(c, 100);
	close(fd);
	clients_wait(c, 0);
	control_close(c);
	folder_remove();
}

static void test_timeouts(void)
{
	folder_make();
	struct control *c = open_it(0660);
	control_set_idle_us(c, 100 * 1000);
	int idle = client_open(), half = client_open(), deaf = client_open();
	say(half, "{\"comm");
	say(deaf, "{\"command\":\"large\"}\n");
	clients_wait(c, 3);
	uint64_t start_us = clock_now_us();
	clients_wait(c, 0); /* control_fd itself wakes: nothing else happens */
	CU_ASSERT_TRUE(clock_now_us() - start_us < 5 * 1000 * 1000);
	/* without clients nothing ticks */
	struct pollfd p = {.fd = control_fd(c), .events = POLLIN};
	CU_ASSERT_EQUAL(poll(&p, 1, 200), 0);
	close(idle);
	close(half);
	close(deaf);
	/* a byte now and then is no request */
	int drip = client_open();
	clients_wait(c, 1);
	start_us = clock_now_us();
	while (control_clients(c) && clock_now_us() - start_us < 5 * 1000 * 1000) {
		if (send(drip, " ", 1, MSG_NOSIGNAL) < 0)
			break;
		serve_ready(c, 5);
	}
	clients_wait(c, 0);
	close(drip);
	control_close(c);
	folder_remove();
}

static const struct unit_test tests[] = {
	{"a status is asked and answered", test_status},
	{"refused requests get their reason", test_refusals},
	{"random bytes", test_random},
	{"requests in pieces and in a row", test_pieces_and_pipelining},
	{"a request's size has a limit", test_size_limit},
	{"as many clients as there may be, and one more", test_many_clients},
	{"a slow client delays nobody", test_slow_client},
	{"clients vanish", test_client_vanishes},
	{"timeouts", test_timeouts},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	log_set_level(LOG_LEVEL_ERROR);
	return unit_main(argc, argv, tests);
}
