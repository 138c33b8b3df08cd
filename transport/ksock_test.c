/* SPDX-License-Identifier: Apache-2.0 */
/* Data through the kernel transport: order, back-pressure, memory, system calls. */
#include "transport/ksock_test.h"
#include "transport/ksock_internal.h"

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STREAM_BYTES = 1 << 20, PIECE_MAX = 5000 };

static bool write_some(struct end *e, uint64_t *written, uint64_t total)
{
	uint8_t piece[PIECE_MAX];
	uint32_t n = 1 + unit_random_below(PIECE_MAX);

	if (*written + n > total)
		n = (uint32_t)(total - *written);
	pattern_fill(piece, *written, n);
	int error = n ? transport_write(e->conn, piece, n) : -ENOBUFS;
	if (error == 0)
		*written += n;
	CU_ASSERT(error == 0 || error == -ENOBUFS);
	return error == 0;
}

static void test_both_ways_in_odd_sizes(void)
{
	struct fixture f;
	uint64_t out = 0, back = 0;

	fixture_open(&f, "odd_sizes", NULL);
	struct end *a = fixture_connect(&f), *b = &f.ends[1];
	FIXTURE_UNTIL(&f, a->connected && f.count == 2);
	CU_ASSERT_EQUAL(a->connect_error, 0);
	while (out < STREAM_BYTES || back < STREAM_BYTES) {
		while (write_some(a, &out, STREAM_BYTES))
			;
		while (write_some(b, &back, STREAM_BYTES))
			;
		fixture_turn(&f);
	}
	FIXTURE_UNTIL(&f, a->rx_bytes == STREAM_BYTES && b->rx_bytes == STREAM_BYTES);
	CU_ASSERT(!a->rx_wrong && !b->rx_wrong);
	CU_ASSERT_EQUAL(transport_tx_pending(a->conn), 0);
	struct ksock_stats s = ksock_stats(f.k);
	CU_ASSERT_EQUAL(s.rx_bytes, 2 * STREAM_BYTES);
	CU_ASSERT_EQUAL(s.tx_bytes, 2 * STREAM_BYTES);
	CU_ASSERT_EQUAL(s.accepted, 1);
	CU_ASSERT_EQUAL(s.connected, 1);
	CU_ASSERT_EQUAL(s.conns, 2);
	transport_shutdown(a->conn);
	FIXTURE_UNTIL(&f, b->peer_closed);
	transport_shutdown(b->conn);
	FIXTURE_UNTIL(&f, a->closed && b->closed);
	CU_ASSERT_EQUAL(a->reason, TRANSPORT_DONE);
	CU_ASSERT_EQUAL(b->reason, TRANSPORT_DONE);
	CU_ASSERT_EQUAL(ksock_stats(f.k).closed, 2);
	CU_ASSERT_EQUAL(ksock_stats(f.k).conns, 0);
	fixture_close(&f);
}

static void test_unread_closes_the_window(void)
{
	struct fixture f;
	uint8_t *data = malloc(STREAM_BYTES * 8);
	uint64_t sent = 0;
	struct end *e;

	fixture_open(&f, "window", NULL);
	f.hold = true;
	int fd = peer_accepted(&f, &e);
	pattern_fill(data, 0, STREAM_BYTES * 8);
	for (unsigned idle = 0; idle < 200;) {
		ssize_t n = send(fd, data + sent, STREAM_BYTES * 8 - sent, MSG_NOSIGNAL);
		idle = n > 0 ? 0 : idle + 1;
		sent += n > 0 ? (uint64_t)n : 0;
		fixture_turn(&f);
	}
	CU_ASSERT(sent < STREAM_BYTES * 8);
	CU_ASSERT_EQUAL(e->conn->rx->bytes, 65536);
	f.hold = false;
	end_consume(e);
	while (sent < STREAM_BYTES * 8) {
		ssize_t n = send(fd, data + sent, STREAM_BYTES * 8 - sent, MSG_NOSIGNAL);
		sent += n > 0 ? (uint64_t)n : 0;
		fixture_turn(&f);
	}
	FIXTURE_UNTIL(&f, e->rx_bytes == sent);
	CU_ASSERT(!e->rx_wrong);
	close(fd);
	free(data);
	fixture_close(&f);
}

/* Reads what the peer has; all of it as the pattern says. */
static void peer_drain(struct fixture *f, int fd, uint64_t *at, uint64_t upto)
{
	uint8_t got[8192];
	bool wrong = false;
	uint64_t until_us = clock_now_us() + 5000000;

	while (*at < upto && clock_now_us() < until_us) {
		ssize_t n = recv(fd, got, sizeof(got), 0);
		for (ssize_t i = 0; i < n; i++)
			wrong |= got[i] != pattern_at(*at + (uint64_t)i);
		*at += n > 0 ? (uint64_t)n : 0;
		fixture_turn(f);
	}
	CU_ASSERT(!wrong);
	CU_ASSERT_EQUAL(*at, upto);
}

static void test_no_room_then_writable(void)
{
	struct fixture f;
	uint64_t written = 0, got = 0;

	fixture_open(&f, "writable", NULL);
	int fd = peer_connect(&f, 4096);
	FIXTURE_UNTIL(&f, f.count == 1);
	struct end *e = &f.ends[0];
	for (unsigned idle = 0; idle < 100; fixture_turn(&f))
		idle = write_some(e, &written, UINT32_MAX) ? 0 : idle + 1;
	CU_ASSERT(transport_tx_pending(e->conn) > 0);
	CU_ASSERT_EQUAL(transport_tx_room(e->conn), 65536 - transport_tx_pending(e->conn));
	unsigned before = e->writable;
	fixture_turns(&f, 50);
	CU_ASSERT_EQUAL(e->writable, before);
	peer_drain(&f, fd, &got, written);
	FIXTURE_UNTIL(&f, e->writable > before);
	CU_ASSERT_EQUAL(transport_tx_pending(e->conn), 0);
	close(fd);
	fixture_close(&f);
}

/* The kernel takes all at once: no EPOLLOUT will ever say so. */
static void test_writable_without_an_edge(void)
{
	struct fixture f;
	struct end *e;
	uint8_t data[8192] = {0};

	fixture_open(&f, "no_edge", &(struct ksock_config){.tx_buffer_bytes = sizeof(data)});
	int fd = peer_accepted(&f, &e);
	fixture_turns(&f, 5);
	CU_ASSERT_EQUAL(transport_write(e->conn, data, sizeof(data)), 0);
	CU_ASSERT_EQUAL(e->writable, 0);
	CU_ASSERT_EQUAL(transport_tx_room(e->conn), 0);
	fixture_poll(&f);
	fixture_poll(&f);
	CU_ASSERT_EQUAL(e->writable, 1);
	CU_ASSERT_EQUAL(transport_tx_room(e->conn), sizeof(data));

	/* Refused although more than half is free. */
	CU_ASSERT_EQUAL(transport_write(e->conn, data, 1000), 0);
	CU_ASSERT_EQUAL(transport_write(e->conn, data, sizeof(data)), -ENOBUFS);
	fixture_poll(&f);
	fixture_poll(&f);
	CU_ASSERT_EQUAL(e->writable, 2);
	CU_ASSERT_EQUAL(transport_write(e->conn, data, sizeof(data)), 0);
	fixture_turns(&f, 10);
	CU_ASSERT_EQUAL(e->writable, 2); /* nothing was refused since */
	close(fd);
	fixture_close(&f);
}

static void test_small_reads_share_a_buffer(void)
{
	struct fixture f;
	struct end *e;
	uint8_t piece[65];

	fixture_open(&f, "coalesce", NULL);
	f.hold = true;
	int fd = peer_accepted(&f, &e);
	for (uint64_t at = 0; at < 200 * sizeof(piece); at += sizeof(piece)) {
		pattern_fill(piece, at, sizeof(piece));
		CU_ASSERT_EQUAL(send(fd, piece, sizeof(piece), MSG_NOSIGNAL), sizeof(piece));
		FIXTURE_UNTIL(&f, e->conn->rx->bytes == at + sizeof(piece));
	}
	/* At most a piece is lost at the end of each buffer. */
	CU_ASSERT(e->conn->rx->segments <= 200 * sizeof(piece) / (ROOM_BYTES - sizeof(piece)) + 1);
	CU_ASSERT(rte_mempool_in_use_count(f.pool) <= e->conn->rx->segments + 8);
	end_consume(e);
	CU_ASSERT_EQUAL(e->rx_bytes, 200 * sizeof(piece));
	CU_ASSERT(!e->rx_wrong);
	close(fd);
	fixture_close(&f);
}

/* A message costs one read and one write; an idle turn neither. */
static void test_system_calls_a_message(void)
{
	struct fixture f;
	struct end *e;
	char c = (char)pattern_at(0);

	fixture_open(&f, "calls", NULL);
	int fd = peer_accepted(&f, &e);
	fixture_turns(&f, 5);
	struct ksock_stats before = ksock_stats(f.k);
	CU_ASSERT_EQUAL(send(fd, &c, 1, MSG_NOSIGNAL), 1);
	FIXTURE_UNTIL(&f, e->rx_bytes == 1);
	for (unsigned i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(transport_write(e->conn, "answer", 6), 0);
	fixture_turns(&f, 10);
	struct ksock_stats after = ksock_stats(f.k);
	CU_ASSERT_EQUAL(after.reads - before.reads, 1);
	CU_ASSERT_EQUAL(after.writes - before.writes, 1);
	struct turn_source *s = ksock_source(f.k);
	CU_ASSERT(s->sleep_prepare(s));
	CU_ASSERT_EQUAL(s->next_us(s), UINT64_MAX);
	close(fd);
	fixture_close(&f);
}

static void test_a_busy_connection_does_not_starve_others(void)
{
	struct fixture f;
	struct end *busy, *quiet;
	static uint8_t bulk[1 << 20];
	char c = (char)pattern_at(0);

	fixture_open(&f, "fair", NULL);
	int a = peer_accepted(&f, &busy), b = peer_accepted(&f, &quiet);
	fixture_turns(&f, 5);
	for (int bytes = 1 << 20, i = 0; i < 8; i++) {
		setsockopt(a, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
		CU_ASSERT(send(a, bulk, sizeof(bulk), MSG_NOSIGNAL) != 0);
	}
	send(b, &c, 1, MSG_NOSIGNAL);
	unsigned before = busy->readable;
	fixture_poll(&f);
	CU_ASSERT_EQUAL(busy->readable, before + 1);
	CU_ASSERT_EQUAL(quiet->rx_bytes, 1);
	CU_ASSERT(busy->rx_bytes <= 8 * ROOM_BYTES);
	close(a);
	close(b);
	fixture_close(&f);
}

static void test_ipv6_only(void)
{
	struct fixture f;
	struct transport_address six = {.family = 6, .bytes = {[15] = 1}}, four, any = {.family = 6};

	fixture_open(&f, "ipv6", NULL);
	CU_ASSERT(ksock_listen(f.k, &f.address) == -EADDRINUSE);
	four = f.address;
	six.port = port_free(AF_INET6);
	CU_ASSERT_EQUAL_FATAL(ksock_listen(f.k, &six), 0);
	f.address = six;
	struct end *a = fixture_connect(&f);
	FIXTURE_UNTIL(&f, a->connected && f.count == 2);
	CU_ASSERT_EQUAL(a->connect_error, 0);
	CU_ASSERT(a->conn->local_link && f.ends[1].conn->local_link);
	CU_ASSERT_EQUAL(f.ends[1].conn->local.family, 6);
	CU_ASSERT_EQUAL(f.ends[1].conn->local.port, six.port);
	CU_ASSERT_EQUAL(f.ends[1].conn->remote.port, a->conn->local.port);
	CU_ASSERT_EQUAL(memcmp(f.ends[1].conn->remote.bytes, six.bytes, 16), 0);
	/* [::] leaves IPv4's port to others: it is V6ONLY. */
	any.port = port_free(AF_INET);
	CU_ASSERT_EQUAL(ksock_listen(f.k, &any), 0);
	four.port = any.port;
	CU_ASSERT_EQUAL(ksock_listen(f.k, &four), 0);
	fixture_close(&f);
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	CU_ASSERT_EQUAL(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

/* Accepted sockets have them without a system call of their own. */
static void test_listener_hands_its_options_on(void)
{
	struct ksock_config config = {.keepalive_us = 90500000};
	struct fixture f;

	fixture_open(&f, "options", &config);
	struct end *a = fixture_connect(&f);
	FIXTURE_UNTIL(&f, a->connected && f.count == 2);
	for (unsigned i = 0; i < 2; i++) {
		int fd = caa_container_of(f.ends[i].conn, struct ksock_conn, conn)->fd;
		CU_ASSERT_EQUAL(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
		CU_ASSERT_EQUAL(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
		CU_ASSERT_EQUAL(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 91);
	}
	fixture_close(&f);
}

/* From here on the process is in a network namespace of its own whose one address is not loopback's: root
 * makes it, an ordinary user within a user namespace. */
static void enter_own_network(uint32_t address)
{
	struct ifreq r = {.ifr_name = "lo"};
	struct sockaddr_in *in = (struct sockaddr_in *)&r.ifr_addr;

	CU_ASSERT_FATAL(unshare(CLONE_NEWNET) == 0);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(address);
	CU_ASSERT_EQUAL_FATAL(ioctl(fd, SIOCSIFADDR, &r), 0);
	r.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
	CU_ASSERT_EQUAL_FATAL(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	close(fd);
}

static void test_local_link_is_loopback(void)
{
	struct fixture f;

	fixture_open(&f, "local_link", NULL);
	struct end *a = fixture_connect(&f);
	FIXTURE_UNTIL(&f, a->connected && f.count == 2);
	CU_ASSERT(a->conn->local_link);
	CU_ASSERT(f.ends[1].conn->local_link);
	CU_ASSERT_EQUAL(a->conn->remote.port, f.address.port);
	CU_ASSERT_EQUAL(f.ends[1].conn->local.port, f.address.port);
	fixture_close(&f);
}

/* The last test: it leaves the host's network for good. */
static void test_other_addresses_are_not_local(void)
{
	struct fixture f;

	if (geteuid() != 0) {
		unit_skip("only root may make a network namespace beside EAL's threads");
		return;
	}
	enter_own_network(0xc0000201); /* 192.0.2.1, RFC 5737 */
	fixture_open(&f, "not_local", NULL);
	memcpy(f.address.bytes, (const uint8_t[]){192, 0, 2, 1}, 4);
	CU_ASSERT_EQUAL_FATAL(ksock_listen(f.k, &f.address), 0);
	struct end *c = fixture_connect(&f);
	FIXTURE_UNTIL(&f, c->connected && f.count == 2);
	CU_ASSERT(!c->conn->local_link);
	CU_ASSERT(!f.ends[1].conn->local_link);
	fixture_close(&f);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"both_ways_in_odd_sizes", test_both_ways_in_odd_sizes},
		{"unread_closes_the_window", test_unread_closes_the_window},
		{"no_room_then_writable", test_no_room_then_writable},
		{"writable_without_an_edge", test_writable_without_an_edge},
		{"small_reads_share_a_buffer", test_small_reads_share_a_buffer},
		{"system_calls_a_message", test_system_calls_a_message},
		{"a_busy_connection_does_not_starve_others", test_a_busy_connection_does_not_starve_others},
		{"ipv6_only", test_ipv6_only},
		{"local_link_is_loopback", test_local_link_is_loopback},
		{"listener_hands_its_options_on", test_listener_hands_its_options_on},
		{"other_addresses_are_not_local", test_other_addresses_are_not_local},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
