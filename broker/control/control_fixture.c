/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/control/control_fixture.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/clock.h"
#include "tests/unit/unit.h"

enum { REPLY_BYTES = 4096 };

static char folder[64];
char path[108];

void folder_make(void)
{
	snprintf(folder, sizeof(folder), "/tmp/godwit-control-test-XXXXXX");
	if (!mkdtemp(folder))
		abort();
	snprintf(path, sizeof(path), "%s/control.sock", folder);
}

void folder_remove(void)
{
	CU_ASSERT_EQUAL(rmdir(folder), 0); /* empty: nothing is left behind */
}

struct control *control_open_with(mode_t mode, const struct control_handler *handlers, void *ctx)
{
	struct control *c = NULL;
	char error[256];
	int result = control_open(path, mode, NULL, &c, error, sizeof(error));
	if (result) {
		printf("# %d %s\n", result, error);
		abort();
	}
	control_set_handlers(c, handlers, ctx);
	return c;
}

int client_open(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, path, sizeof(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		abort();
	return fd;
}

void serve_ready(struct control *c, int timeout_ms)
{
	struct pollfd p = {.fd = control_fd(c), .events = POLLIN};
	if (poll(&p, 1, timeout_ms) == 1)
		control_serve(c);
}

/* Serves until fd has a line or its end; the line without its feed, "" at the end. */
const char *reply_wait(struct control *c, int fd)
{
	static char reply[REPLY_BYTES];
	size_t bytes = 0;
	uint64_t end_us = clock_now_us() + WAIT_US_MAX;
	while (clock_now_us() < end_us && bytes + 1 < sizeof(reply)) {
		serve_ready(c, 1);
		ssize_t n = recv(fd, reply + bytes, 1, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		if (n > 0 && reply[bytes] == '\n') {
			reply[bytes] = '\0';
			return reply;
		}
		bytes += n > 0 ? 1 : 0;
		if (n > 0) /* what is there already needs no more serving */
			while (recv(fd, reply + bytes, 1, MSG_DONTWAIT | MSG_PEEK) == 1 &&
				reply[bytes] != '\n' && bytes + 1 < sizeof(reply))
				recv(fd, reply + bytes++, 1, MSG_DONTWAIT);
	}
	return "";
}

void say(int fd, const char *text)
{
	size_t bytes = strlen(text);
	if (send(fd, text, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
		abort();
}

const char *talk(struct control *c, int fd, const char *line)
{
	say(fd, line);
	return reply_wait(c, fd);
}

void clients_wait(struct control *c, unsigned count)
{
	uint64_t end_us = clock_now_us() + WAIT_US_MAX;
	while (control_clients(c) != count && clock_now_us() < end_us)
		serve_ready(c, 1);
	CU_ASSERT_EQUAL(control_clients(c), count);
}
