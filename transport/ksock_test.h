/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the kernel transport share: an instance on real loopback sockets, an application that
 * notes what it is told and reacts as a test wants it to, and plain sockets as the peer. */
#ifndef TRANSPORT_KSOCK_TEST_H
#define TRANSPORT_KSOCK_TEST_H

#include "runtime/clock.h"
#include "tests/unit/unit.h"
#include "transport/ksock.h"

enum { ENDS = 64, POOL_MBUFS = 255, ROOM_BYTES = 2048 };

/* A callback in which the application aborts its connection. */
enum moment { NEVER, IN_ACCEPTED, IN_CONNECTED, IN_READABLE, IN_WRITABLE, IN_PEER_CLOSED, IN_CLOSED };

/* One connection as its application saw it. */
struct end {
	struct fixture *f;
	struct transport_conn *conn; /* NULL once it is invalid */
	unsigned connected, readable, writable, peer_closed, closed;
	int connect_error;
	enum transport_reason reason;
	uint64_t rx_bytes; /* consumed, each byte as pattern_at says */
	bool rx_wrong;
};

struct fixture {
	struct rte_mempool *pool;
	struct ksock *k;
	struct transport_address address; /* listens here */
	struct end ends[ENDS];
	unsigned count;
	enum moment abort_in;
	bool refuse;	    /* accepted() says no */
	bool hold;	    /* does not consume */
	bool finish;	    /* shuts down as soon as the peer has */
	bool meddle;	    /* calls everything in closed() */
	struct end *victim; /* is aborted by whatever other connection is readable */
	bool deaf;	    /* stops listening when a connection is accepted */
};

uint8_t pattern_at(uint64_t offset);
void pattern_fill(void *to, uint64_t offset, uint32_t n);

/* Creates pool and instance, and listens on a free port of 127.0.0.1. */
void fixture_open(struct fixture *f, const char *name, const struct ksock_config *config);
/* Destroys the instance; the pool MUST be full then. */
void fixture_close(struct fixture *f);
void fixture_turn(struct fixture *f);
unsigned fixture_poll(struct fixture *f);

/* Turns until the condition holds, at most five seconds. */
#define FIXTURE_UNTIL(f, condition)                                \
	do {                                                       \
		uint64_t until_us_ = clock_now_us() + 5000000;     \
		while (!(condition) && clock_now_us() < until_us_) \
			fixture_turn(f);                           \
		CU_ASSERT_FATAL(condition);                        \
	} while (0)

void fixture_turns(struct fixture *f, unsigned n);

/* A connection through ksock_connect to the own listener. */
struct end *fixture_connect(struct fixture *f);
/* A plain, non-blocking socket that is connected to the listener; rcvbuf_bytes 0: the system's. */
int peer_connect(struct fixture *f, int rcvbuf_bytes);
/* The same, and turns until the application has accepted it. */
int peer_accepted(struct fixture *f, struct end **end);
void peer_reset(int fd);
/* Consumes what is held and checks it against the pattern. */
void end_consume(struct end *e);
uint16_t port_free(int family);

#endif
