/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's side: a TAP device that the namespace has set up, ordinary sockets above it, INET_DIAG to ask
 * for states. A frame written to the TAP has been through the kernel's TCP when write() returns. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/check.h"
#include "tests/diff/side.h"

static int device = -1, listener = -1, diag = -1, connection = -1;

static bool device_open(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	return device >= 0 && !ioctl(device, TUNSETIFF, &request);
}

/* The device has just found its program: before the kernel has noticed, it sends nothing. */
static bool device_runs(const char *name)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	for (int i = 0; i < 5000 && !(request.ifr_flags & IFF_RUNNING); i++) {
		usleep(1000);
		ioctl(fd, SIOCGIFFLAGS, &request);
	}
	close(fd);
	return request.ifr_flags & IFF_RUNNING;
}

static struct sockaddr_in address(uint32_t addr, uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(addr)};
}

bool linux_start(const char *name)
{
	struct sockaddr_in here = address(SIDE_ADDR, LISTEN_PORT);

	if (!device_open(name) || !device_runs(name)) {
		perror(name);
		return false;
	}
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	diag = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_SOCK_DIAG);
	if (bind(listener, (struct sockaddr *)&here, sizeof(here)) || listen(listener, 128) || diag < 0) {
		perror("the kernel's side");
		return false;
	}
	return true;
}

static void options_set(int fd)
{
	int one = 1, bytes = 1 << 18;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

/* What the application and the wire know of a connection starts anew. */
static void again(void)
{
	if (connection >= 0)
		close(connection);
	connection = -1;
	side_again(&linux_side.side);
}

static void begin(uint32_t peer_addr, uint16_t peer_port, bool active)
{
	struct side *s = &linux_side.side;

	again();
	*s = (struct side){
		.name = s->name, .peer_addr = peer_addr, .peer_port = peer_port, .port = LISTEN_PORT};
	if (!active)
		return;
	struct sockaddr_in peer = address(peer_addr, peer_port);
	connection = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	options_set(connection);
	MUST(connect(connection, (struct sockaddr *)&peer, sizeof(peer)) < 0 && errno == EINPROGRESS);
}

static void inject(const uint8_t *frame, uint32_t n)
{
	MUST(write(device, frame, n) == (ssize_t)n);
}

static void frames_read(void)
{
	uint8_t frame[FRAME_BYTES_MAX];

	for (ssize_t n; (n = read(device, frame, sizeof(frame))) > 0;)
		side_saw(&linux_side.side, frame, (uint32_t)n);
}

static void data_read(struct side *s)
{
	uint8_t data[4096];
	ssize_t n;

	while ((n = recv(connection, data, sizeof(data), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			s->wrong |= data[i] != peer_byte(1 + s->delivered++);
		s->open = true;
	}
	int error = n < 0 ? errno : 0;
	if (n == 0 && !s->reset) {
		/* Behind the end of the data a later reset shows here alone. */
		s->eof = true;
		getsockopt(connection, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof(error)});
	}
	/* EPIPE: reset after the peer's FIN. */
	s->reset |= error == ECONNRESET || error == ECONNREFUSED || error == EPIPE;
}

static void settle(void)
{
	struct side *s = &linux_side.side;

	frames_read();
	if (connection < 0 && (connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		options_set(connection);
		s->open = true;
	}
	if (connection < 0)
		return;
	data_read(s);
	/* A delayed acknowledgement leaves now. */
	setsockopt(connection, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
	frames_read();
}

static void act(enum act act, uint32_t n)
{
	struct linger hard = {1, 0};
	uint8_t data[8192];

	MUST(connection >= 0 && n <= sizeof(data));
	switch (act) {
	case ACT_WRITE:
		for (uint32_t i = 0; i < n; i++)
			data[i] = side_byte(i + linux_side.side.written + 1);
		linux_side.side.written += n;
		if (send(connection, data, n, MSG_NOSIGNAL) != (ssize_t)n) {
			perror("the kernel's side: send");
			linux_side.side.wrong = true;
		}
		return;
	case ACT_SHUTDOWN:
		shutdown(connection, SHUT_WR);
		return;
	case ACT_ABORT:
		setsockopt(connection, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		/* fall through */
	default:
		close(connection);
		connection = -1;
	}
}

/* One message about the conversation's socket. The state in it, or 0. */
static int diag_ask(uint16_t type, int flags)
{
	struct side *s = &linux_side.side;
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} q = {{.nlmsg_len = sizeof(q), .nlmsg_type = type, .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)},
		{.sdiag_family = AF_INET,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = ~0u,
			.id = {.idiag_sport = htons(s->port),
				.idiag_dport = htons(s->peer_port),
				.idiag_src = {htonl(SIDE_ADDR)},
				.idiag_dst = {htonl(s->peer_addr)},
				.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}}};
	union {
		struct nlmsghdr header;
		char bytes[8192];
	} a;

	MUST(send(diag, &q, sizeof(q), 0) == sizeof(q));
	MUST(recv(diag, &a, sizeof(a), 0) >= (ssize_t)sizeof(a.header));
	if (a.header.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return 0;
	return ((struct inet_diag_msg *)NLMSG_DATA(&a.header))->idiag_state;
}

static const char *state(void)
{
	/* By the kernel's numbers; a listening socket is no connection. */
	static const char *const names[] = {"none", "ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1",
		"FIN-WAIT-2", "TIME-WAIT", "none", "CLOSE-WAIT", "LAST-ACK", "none", "CLOSING",
		"SYN-RECEIVED"};
	unsigned number = (unsigned)diag_ask(SOCK_DIAG_BY_FAMILY, 0);

	return number < sizeof(names) / sizeof(names[0]) ? names[number] : "?";
}

static void end(void)
{
	/* It would take the listener where there is no connection. */
	if (strcmp(state(), "none"))
		diag_ask(SOCK_DESTROY, NLM_F_ACK);
	if (connection < 0)
		connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	if (connection >= 0)
		close(connection);
	connection = -1;
	frames_read();
}

struct side_ops linux_side = {.side = {.name = "linux"},
	.begin = begin,
	.again = again,
	.inject = inject,
	.act = act,
	.settle = settle,
	.state = state,
	.end = end};
