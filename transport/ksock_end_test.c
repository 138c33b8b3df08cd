/* SPDX-License-Identifier: Apache-2.0 */
/* How connections of the kernel transport end: FIN and RST in every state, aborts in every callback. */
#include "transport/ksock_test.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint8_t bulk[1 << 20];

static void test_peer_closes_first(void)
{
	struct fixture f;
	struct end *e;
	char got[8], c = (char)pattern_at(0);

	fixture_open(&f, "peer_first", NULL);
	int fd = peer_accepted(&f, &e);
	send(fd, &c, 1, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	FIXTURE_UNTIL(&f, e->peer_closed);
	CU_ASSERT_EQUAL(e->rx_bytes, 1);
	CU_ASSERT_EQUAL(e->closed, 0);
	/* Half-closed: writing goes on. */
	CU_ASSERT_EQUAL(transport_write(e->conn, "late", 4), 0);
	transport_shutdown(e->conn);
	CU_ASSERT_EQUAL(transport_write(e->conn, "x", 1), -EPIPE);
	CU_ASSERT_EQUAL(transport_tx_room(e->conn), 0);
	transport_shutdown(e->conn);
	FIXTURE_UNTIL(&f, e->closed);
	CU_ASSERT_EQUAL(e->reason, TRANSPORT_DONE);
	CU_ASSERT_EQUAL(e->peer_closed, 1);
	CU_ASSERT_EQUAL(recv(fd, got, sizeof(got), 0), 4);
	CU_ASSERT_EQUAL(recv(fd, got, sizeof(got), 0), 0);
	close(fd);
	fixture_close(&f);
}

/* Data and FIN in one event, which no other will follow. */
static void test_data_and_fin_before_accept(void)
{
	struct fixture f;
	char c = (char)pattern_at(0);

	fixture_open(&f, "fin_before", NULL);
	f.finish = true;
	int fd = peer_connect(&f, 0);
	send(fd, &c, 1, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	FIXTURE_UNTIL(&f, f.count == 1 && f.ends[0].closed);
	CU_ASSERT_EQUAL(f.ends[0].rx_bytes, 1);
	CU_ASSERT_EQUAL(f.ends[0].peer_closed, 1);
	CU_ASSERT_EQUAL(f.ends[0].reason, TRANSPORT_DONE);
	close(fd);
	fixture_close(&f);
}

static void test_peer_closes_last_after_queued_data(void)
{
	struct fixture f;
	uint64_t got = 0;
	struct end *e;

	fixture_open(&f, "peer_last", &(struct ksock_config){.tx_buffer_bytes = 300000});
	int fd = peer_accepted(&f, &e);
	CU_ASSERT_EQUAL(transport_write(e->conn, bulk, 300000), 0);
	CU_ASSERT_EQUAL(transport_tx_pending(e->conn), 300000);
	transport_shutdown(e->conn);
	for (ssize_t n = -1; n != 0; fixture_turn(&f)) {
		n = recv(fd, bulk, sizeof(bulk), 0);
		got += n > 0 ? (uint64_t)n : 0;
	}
	CU_ASSERT_EQUAL(got, 300000);
	CU_ASSERT_EQUAL(e->closed, 0);
	close(fd);
	FIXTURE_UNTIL(&f, e->closed);
	CU_ASSERT_EQUAL(e->peer_closed, 1);
	CU_ASSERT_EQUAL(e->reason, TRANSPORT_DONE);
	fixture_close(&f);
}

static void test_done_waits_for_the_reader(void)
{
	struct fixture f;
	struct end *e;
	char c = (char)pattern_at(0);

	fixture_open(&f, "reader", NULL);
	f.hold = f.finish = true;
	int fd = peer_accepted(&f, &e);
	send(fd, &c, 1, MSG_NOSIGNAL);
	close(fd);
	FIXTURE_UNTIL(&f, e->peer_closed);
	fixture_turns(&f, 20);
	CU_ASSERT_EQUAL_FATAL(e->closed, 0);
	end_consume(e);
	CU_ASSERT_EQUAL(e->closed, 0); /* not from inside the call */
	FIXTURE_UNTIL(&f, e->closed);
	CU_ASSERT_EQUAL(e->reason, TRANSPORT_DONE);
	fixture_close(&f);
}

static void test_reset_when_open(void)
{
	struct fixture f;
	struct end *e;
	char c = (char)pattern_at(0);

	fixture_open(&f, "reset_open", NULL);
	f.meddle = true;
	int fd = peer_accepted(&f, &e);
	send(fd, &c, 1, MSG_NOSIGNAL);
	fixture_turns(&f, 5);
	peer_reset(fd);
	FIXTURE_UNTIL(&f, e->closed);
	CU_ASSERT_EQUAL(e->reason, TRANSPORT_RESET);
	CU_ASSERT_EQUAL(e->peer_closed, 0);
	CU_ASSERT_EQUAL(ksock_stats(f.k).reset, 1);
	fixture_close(&f);
}

static void test_reset_after_the_peers_fin(void)
{
	struct fixture f;
	struct end *e;

	fixture_open(&f, "reset_fin", NULL);
	int fd = peer_accepted(&f, &e);
	shutdown(fd, SHUT_WR);
	FIXTURE_UNTIL(&f, e->peer_closed);
	peer_reset(fd);
	FIXTURE_UNTIL(&f, e->closed);
	CU_ASSERT_EQUAL(e->reason, TRANSPORT_RESET);
	fixture_close(&f);
}

static void test_reset_after_our_fin(void)
{
	struct fixture f;
	struct end *e;

	fixture_open(&f, "reset_our_fin", NULL);
	int fd = peer_accepted(&f, &e);
	transport_shutdown(e->conn);
	fixture_turns(&f, 5);
	peer_reset(fd);
	FIXTURE_UNTIL(&f, e->closed);
	CU_ASSERT_EQUAL(e->reason, TRANSPORT_RESET);
	fixture_close(&f);
}

static void test_reset_while_sending_waits(void)
{
	struct fixture f;

	fixture_open(&f, "reset_tx", &(struct ksock_config){.tx_buffer_bytes = 200000});
	int fd = peer_connect(&f, 4096);
	FIXTURE_UNTIL(&f, f.count == 1);
	struct end *e = &f.ends[0];
	for (unsigned idle = 0; idle < 50; fixture_turn(&f))
		idle = transport_write(e->conn, bulk, 10000) == 0 ? 0 : idle + 1;
	CU_ASSERT(transport_tx_pending(e->conn) > 0);
	peer_reset(fd);
	FIXTURE_UNTIL(&f, e->closed);
	CU_ASSERT_EQUAL(e->reason, TRANSPORT_RESET);
	fixture_close(&f);
}

/* The application reads nothing, the buffer is full: the reset is noticed all the same. */
static void test_reset_unread(void)
{
	struct fixture f;
	struct end *e;

	fixture_open(&f, "reset_unread", NULL);
	f.hold = true;
	int fd = peer_accepted(&f, &e);
	for (unsigned idle = 0; idle < 50; fixture_turn(&f))
		idle = send(fd, bulk, sizeof(bulk), MSG_NOSIGNAL) > 0 ? 0 : idle + 1;
	CU_ASSERT_EQUAL(e->conn->rx->bytes, 65536);
	peer_reset(fd);
	FIXTURE_UNTIL(&f, e->closed);
	CU_ASSERT_EQUAL(e->reason, TRANSPORT_RESET);

	/* The reset comes while there is room, and what came before it fills that. */
	e = &f.ends[f.count];
	fd = peer_connect(&f, 0);
	send(fd, bulk, 200000, MSG_NOSIGNAL);
	peer_reset(fd);
	FIXTURE_UNTIL(&f, f.count == 2 && e->closed);
	CU_ASSERT_EQUAL(e->reason, TRANSPORT_RESET);
	fixture_close(&f);
}

static void test_reset_before_accept(void)
{
	struct fixture f;
	static const uint8_t loopback[4] = {127, 0, 0, 1};

	fixture_open(&f, "reset_early", NULL);
	peer_reset(peer_connect(&f, 0));
	fixture_turn(&f);
	if (f.count) { /* the kernel may also have dropped it */
		struct end *e = &f.ends[0];
		if (e->conn) {
			CU_ASSERT_EQUAL(e->conn->remote.family, 4);
			CU_ASSERT_EQUAL(memcmp(e->conn->remote.bytes, loopback, 4), 0);
		}
		FIXTURE_UNTIL(&f, e->closed);
		CU_ASSERT_EQUAL(e->reason, TRANSPORT_RESET);
	}
	CU_ASSERT_EQUAL(ksock_stats(f.k).conns, 0);
	fixture_close(&f);
}

static void test_connection_refused(void)
{
	struct fixture f;

	fixture_open(&f, "refused", NULL);
	f.address.port = port_free(2);
	struct end *e = fixture_connect(&f);
	CU_ASSERT_EQUAL(transport_write(e->conn, "early", 5), 0);
	FIXTURE_UNTIL(&f, e->connected);
	CU_ASSERT_EQUAL(e->connect_error, -ECONNREFUSED);
	CU_ASSERT_EQUAL(e->closed, 0);
	CU_ASSERT_EQUAL(ksock_stats(f.k).conns, 0);
	fixture_close(&f);
}

static void test_written_and_shut_while_connecting(void)
{
	struct fixture f;

	fixture_open(&f, "early", NULL);
	f.finish = true;
	struct end *a = fixture_connect(&f), *b = &f.ends[1];
	uint8_t early[5];
	pattern_fill(early, 0, sizeof(early));
	CU_ASSERT_EQUAL(transport_write(a->conn, early, sizeof(early)), 0);
	transport_shutdown(a->conn);
	/* A flush before the answer is known must leave the socket alone. */
	ksock_source(f.k)->flush(ksock_source(f.k), clock_now_us());
	FIXTURE_UNTIL(&f, a->closed && b->closed);
	CU_ASSERT_EQUAL(a->connect_error, 0);
	CU_ASSERT_EQUAL(b->rx_bytes, sizeof(early));
	CU_ASSERT_EQUAL(a->reason, TRANSPORT_DONE);
	CU_ASSERT_EQUAL(b->reason, TRANSPORT_DONE);
	fixture_close(&f);
}

static void test_shut_while_connecting(void)
{
	struct fixture f;

	fixture_open(&f, "early_fin", NULL);
	f.finish = true;
	struct end *a = fixture_connect(&f), *b = &f.ends[1];
	transport_shutdown(a->conn);
	ksock_source(f.k)->flush(ksock_source(f.k), clock_now_us());
	FIXTURE_UNTIL(&f, a->closed && b->closed);
	CU_ASSERT_EQUAL(a->connected, 1);
	CU_ASSERT_EQUAL(a->reason, TRANSPORT_DONE);
	fixture_close(&f);
}

/* The peer of an aborted connection is told with a RST, not a FIN. */
static bool peer_is_reset(struct fixture *f, int fd)
{
	char c;
	uint64_t until_us = clock_now_us() + 5000000;

	while (clock_now_us() < until_us) {
		ssize_t n = recv(fd, &c, 1, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return n < 0 && errno == ECONNRESET;
		fixture_turn(f);
	}
	return false;
}

static void abort_in(enum moment when)
{
	struct fixture f;
	char c = (char)pattern_at(0);

	fixture_open(&f, "abort", NULL);
	f.abort_in = when;
	f.finish = when == IN_CLOSED;
	int fd = peer_connect(&f, 0);
	FIXTURE_UNTIL(&f, f.count == 1);
	struct end *e = &f.ends[0];
	if (when == IN_READABLE)
		send(fd, &c, 1, MSG_NOSIGNAL);
	if (when == IN_WRITABLE) {
		CU_ASSERT_EQUAL(transport_write(e->conn, bulk, 65536), 0);
		CU_ASSERT_EQUAL(transport_tx_room(e->conn), 0);
	}
	if (when == IN_PEER_CLOSED || when == IN_CLOSED)
		shutdown(fd, SHUT_WR);
	FIXTURE_UNTIL(&f, !e->conn);
	if (when != IN_CLOSED) {
		CU_ASSERT_EQUAL(e->closed, 0);
		if (when == IN_WRITABLE)
			while (recv(fd, bulk, sizeof(bulk), 0) > 0)
				;
		else
			CU_ASSERT(peer_is_reset(&f, fd));
	}
	fixture_turns(&f, 5);
	CU_ASSERT_EQUAL(ksock_stats(f.k).conns, 0);
	close(fd);
	fixture_close(&f);
}

static void test_abort_in_each_callback(void)
{
	static const enum moment moments[] = {
		IN_ACCEPTED, IN_READABLE, IN_WRITABLE, IN_PEER_CLOSED, IN_CLOSED};

	for (unsigned i = 0; i < RTE_DIM(moments); i++)
		abort_in(moments[i]);
	for (unsigned refused = 0; refused < 2; refused++) {
		struct fixture f;
		fixture_open(&f, "abort", NULL);
		f.abort_in = IN_CONNECTED;
		f.address.port = refused ? port_free(2) : f.address.port;
		struct end *e = fixture_connect(&f);
		FIXTURE_UNTIL(&f, e->connected);
		fixture_turns(&f, 20);
		CU_ASSERT_EQUAL(e->connected, 1);
		CU_ASSERT_EQUAL(e->closed, 0);
		fixture_close(&f);
	}
}

/* Both have an event in one batch; the callback of the first aborts the other. */
static void test_abort_of_another_with_an_event(void)
{
	struct fixture f;
	struct end *a, *b;
	char c = (char)pattern_at(0);

	fixture_open(&f, "another", NULL);
	int first = peer_accepted(&f, &a), second = peer_accepted(&f, &b);
	fixture_turns(&f, 5);
	f.victim = b;
	send(first, &c, 1, MSG_NOSIGNAL);
	send(second, &c, 1, MSG_NOSIGNAL);
	fixture_poll(&f);
	CU_ASSERT_EQUAL(a->rx_bytes, 1);
	CU_ASSERT_EQUAL(b->rx_bytes, 0);
	CU_ASSERT_EQUAL(ksock_stats(f.k).conns, 1);
	close(first);
	close(second);
	fixture_close(&f);
}

static void test_destroy_with_live_connections(void)
{
	struct fixture f;
	struct end *e;

	fixture_open(&f, "destroy", NULL);
	f.hold = true;
	int fd = peer_accepted(&f, &e);
	send(fd, bulk, 10000, MSG_NOSIGNAL);
	FIXTURE_UNTIL(&f, e->conn->rx->bytes == 10000);
	CU_ASSERT_EQUAL(transport_write(e->conn, bulk, 10000), 0);
	fixture_connect(&f);
	fixture_close(&f);
	char c;
	CU_ASSERT_EQUAL(recv(fd, &c, 1, 0), -1);
	CU_ASSERT_EQUAL(errno, ECONNRESET);
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"peer_closes_first", test_peer_closes_first},
		{"data_and_fin_before_accept", test_data_and_fin_before_accept},
		{"peer_closes_last_after_queued_data", test_peer_closes_last_after_queued_data},
		{"done_waits_for_the_reader", test_done_waits_for_the_reader},
		{"reset_when_open", test_reset_when_open},
		{"reset_after_the_peers_fin", test_reset_after_the_peers_fin},
		{"reset_after_our_fin", test_reset_after_our_fin},
		{"reset_while_sending_waits", test_reset_while_sending_waits},
		{"reset_unread", test_reset_unread},
		{"reset_before_accept", test_reset_before_accept},
		{"connection_refused", test_connection_refused},
		{"written_and_shut_while_connecting", test_written_and_shut_while_connecting},
		{"shut_while_connecting", test_shut_while_connecting},
		{"abort_in_each_callback", test_abort_in_each_callback},
		{"abort_of_another_with_an_event", test_abort_of_another_with_an_event},
		{"destroy_with_live_connections", test_destroy_with_live_connections},
		{NULL, NULL},
	};
	return unit_main(argc, argv, tests);
}
