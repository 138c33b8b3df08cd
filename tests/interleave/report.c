/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/interleave/report.h"

#include "tests/interleave/planted.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned passed_count, failed_count;
static const char *bug;

void report(bool passed, const char *name, const char *text, ...)
{
	va_list arguments;

	if (passed)
		passed_count++;
	else
		failed_count++;
	printf("%s %s: ", passed ? "PASS" : "FAIL", name);
	va_start(arguments, text);
	vprintf(text, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

void report_apart(void (*what)(void *context), void *context)
{
	int status = 0;

	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		passed_count = failed_count = 0;
		what(context);
		_exit(passed_count == 1 && failed_count == 0 ? 0 : 1);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		report(false, "a process of its own", "died (status %d)", status);
	else if (WEXITSTATUS(status) == 0)
		passed_count++;
	else
		failed_count++;
}

int report_end(void)
{
	return failed_count > 0 || passed_count == 0;
}

double report_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void plant(const char *name)
{
	bug = name;
}

bool planted(const char *name)
{
	return bug && !strcmp(bug, name);
}
