/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/main/instance.h"
#include "tests/unit/unit.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener(int family, uint16_t *port)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr *sa = family == AF_INET6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in;
	socklen_t size = family == AF_INET6 ? sizeof(in6) : sizeof(in);
	int fd = socket(family, SOCK_STREAM, 0);

	CU_ASSERT_EQUAL_FATAL(bind(fd, sa, size), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 1), 0);
	getsockname(fd, sa, &size);
	*port = ntohs(family == AF_INET6 ? in6.sin6_port : in.sin_port);
	return fd;
}

static void names_this_process(int family)
{
	struct config_address a = {.version = family == AF_INET6 ? 6 : 4};
	char out[128], want[64];
	uint16_t port;
	int fd = listener(family, &port);

	prctl(PR_SET_NAME, "rabbit) x 1");
	snprintf(want, sizeof(want), "rabbit) x 1 (pid %d)", getpid());
	holder_of_tcp_port(&a, port, out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out, want);
	char tiny[8];
	holder_of_tcp_port(&a, port, tiny, sizeof(tiny));
	CU_ASSERT_STRING_EQUAL(tiny, "rabbit)");
	close(fd);
	holder_of_tcp_port(&a, port, out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out, "another program");
}

static void test_names_the_process(void)
{
	names_this_process(AF_INET);
	names_this_process(AF_INET6);
}

/* A connected socket with that local port does not hold it. */
static void test_only_listeners_count(void)
{
	struct config_address a = {.version = 4};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(in);
	char out[128];
	uint16_t port;
	int server = listener(AF_INET, &port), fd = socket(AF_INET, SOCK_STREAM, 0);

	in.sin_port = htons(port);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	getsockname(fd, (struct sockaddr *)&in, &size);
	holder_of_tcp_port(&a, ntohs(in.sin_port), out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out, "another program");
	close(fd);
	close(server);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"names_the_process", test_names_the_process},
		{"only_listeners_count", test_only_listeners_count},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
