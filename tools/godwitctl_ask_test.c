/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/godwitctl_ask.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

enum { TIMEOUT_MS = 5000, SHORT_MS = 100 };

static char folder[64], path[108], error[512], question[256];
static json_t *result;

static void begin(void)
{
	snprintf(folder, sizeof(folder), "/tmp/godwitctl-test-XXXXXX");
	if (!mkdtemp(folder))
		abort();
	snprintf(path, sizeof(path), "%s/control.sock", folder);
	error[0] = '\0';
	result = NULL;
}

static void end(void)
{
	unlink(path);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static int listen_there(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, path, sizeof(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4))
		abort();
	return fd;
}

struct broker {
	int listener;
	const char *reply; /* NULL: none until the client goes */
};

static void *broker_run(void *arg)
{
	const struct broker *b = arg;
	char byte;
	size_t bytes = 0;
	int fd = accept(b->listener, NULL, NULL);
	while (bytes + 1 < sizeof(question) && recv(fd, question + bytes, 1, 0) == 1)
		if (question[bytes++] == '\n')
			break;
	question[bytes] = '\0';
	for (const char *p = b->reply; p && *p; p++) /* in the smallest pieces */
		if (send(fd, p, 1, MSG_NOSIGNAL) != 1)
			break;
	if (!b->reply)
		while (recv(fd, &byte, 1, 0) > 0)
			;
	close(fd);
	return NULL;
}

static enum ask_result ask_one(const char *reply, unsigned timeout_ms)
{
	pthread_t thread;
	struct broker b = {listen_there(), reply};
	if (pthread_create(&thread, NULL, broker_run, &b))
		abort();
	enum ask_result code = ask(path, "status", timeout_ms, &result, error, sizeof(error));
	pthread_join(thread, NULL);
	close(b.listener);
	unlink(path);
	return code;
}

static void test_answers(void)
{
	begin();
	CU_ASSERT_EQUAL(ask_one("{\"ok\":true,\"result\":{\"pid\":7}}\n", TIMEOUT_MS), ASK_OK);
	CU_ASSERT_STRING_EQUAL(question, "{\"command\":\"status\"}\n");
	CU_ASSERT_EQUAL(json_integer_value(json_object_get(result, "pid")), 7);
	json_decref(result);
	CU_ASSERT_EQUAL(ask_one("{\"ok\":false,\"error\":\"unknown command\"}\n", TIMEOUT_MS), ASK_REFUSED);
	CU_ASSERT_STRING_EQUAL(error, "the broker refuses: unknown command");
	end();
}

static void test_no_answers(void)
{
	static const char *const strange[] = {"\n", "hello\n", "{}\n", "{\"ok\":true}\n", "{\"ok\":false}\n",
		"{\"ok\":\"yes\",\"result\":1}\n"};
	begin();
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		CU_ASSERT_EQUAL(ask_one(strange[i], TIMEOUT_MS), ASK_UNREACHABLE);
		CU_ASSERT_PTR_NOT_NULL(strstr(error, "no Godwit broker"));
	}
	CU_ASSERT_EQUAL(ask_one("{\"ok\":tr", TIMEOUT_MS), ASK_UNREACHABLE);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "without an answer"));
	CU_ASSERT_EQUAL(ask_one(NULL, SHORT_MS), ASK_UNREACHABLE);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "does not answer"));
	end();
}

static void test_no_broker(void)
{
	char longest[200];
	begin();
	CU_ASSERT_EQUAL(ask(path, "status", TIMEOUT_MS, &result, error, sizeof(error)), ASK_UNREACHABLE);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "is it running?"));
	CU_ASSERT_PTR_NOT_NULL(strstr(error, path));
	close(listen_there());
	CU_ASSERT_EQUAL(ask(path, "status", TIMEOUT_MS, &result, error, sizeof(error)), ASK_UNREACHABLE);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "left over"));
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	CU_ASSERT_EQUAL(ask(longest, "status", TIMEOUT_MS, &result, error, sizeof(error)), ASK_UNREACHABLE);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "longer than"));
	end();
}

/* The words for a user who may not, seen from a child that is nobody in particular. */
static void refused_child(const char *expected)
{
	pid_t child = fork();
	if (child == 0) {
		if (geteuid() == 0 && (setgid(54321) || setuid(54321)))
			_exit(2);
		enum ask_result code = ask(path, "status", TIMEOUT_MS, &result, error, sizeof(error));
		if (!strstr(error, expected))
			fprintf(stderr, "%s\n", error);
		_exit(code != ASK_UNREACHABLE || !strstr(error, expected));
	}
	int status = -1;
	waitpid(child, &status, 0);
	CU_ASSERT_EQUAL(status, 0);
}

static void test_permission(void)
{
	begin();
	int fd = listen_there();
	chmod(folder, 0755);
	chmod(path, geteuid() == 0 ? 0660 : 0020);
	refused_child(
		geteuid() == 0 ? "user root and group root may (control.mode is 0660)" : "may (control");
	chmod(path, geteuid() == 0 ? 0600 : 0);
	refused_child(geteuid() == 0 ? "user root may (control.mode is 0600)" : "may (control");
	chmod(folder, geteuid() == 0 ? 0700 : 0);
	refused_child("its folder is closed to this user");
	chmod(folder, 0700);
	close(fd);
	end();
}

static const struct unit_test tests[] = {
	{"answers", test_answers},
	{"what is no answer", test_no_answers},
	{"no broker", test_no_broker},
	{"permission denied says who may", test_permission},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
