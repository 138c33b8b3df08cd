/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a model under the driver, set up by ethdev's calls alone, with pools that show what was freed
 * too early (tests/unit/poison.h) and what was never freed. */
#ifndef TESTS_IXGBE_MODEL_TEST_PORT_H
#define TESTS_IXGBE_MODEL_TEST_PORT_H

#include "tests/ixgbe_model/model.h"
#include "tests/unit/unit.h"

#include <rte_ethdev.h>

enum { TP_BURST = 32, TP_BUFFERS = 4096, TP_ROOM = 2 * TP_BURST };

struct test_port_options {
	enum ixm_part_name part;
	unsigned queues, descriptors; /* 0: 1, 256 */
	unsigned mtu;		      /* 0: 1500 */
	unsigned room;		      /* of a receive buffer; 0: 2048 */
	uint64_t rx_offloads, tx_offloads, rss;
	const uint8_t *key;	 /* 40 bytes; NULL: the driver's */
	bool drop;		 /* frames without a descriptor are dropped at once */
	bool interrupts;	 /* of RX queues */
	bool misuse;		 /* are what the test is about: closing does not complain */
	unsigned tx_free_thresh; /* 0: the driver's */
};

struct test_port {
	struct ixm *device;
	uint16_t id;
	uint8_t mac[6];
	struct rte_mempool *rx_pool;
	struct test_port_options o;
};

extern struct rte_mempool *tp_frames; /* buffers of what tests send */

/* Probes and configures device number n (MAC 02:00:00:00:00:n) and starts it, without a wire. Asserts. */
void tp_open(struct test_port *p, unsigned n, struct test_port_options o);
/* The same with its cable in its own other end. */
void tp_open_loop(struct test_port *p, unsigned n, struct test_port_options o);
/* Stops and closes; every buffer is back in its pool. */
void tp_close(struct test_port *p);

/* A frame of n bytes to a MAC, with content that is told by mark. Over buffers of at most piece bytes. */
struct rte_mbuf *tp_frame(const uint8_t mac[6], unsigned bytes, unsigned mark, unsigned piece);
/* Whether it is that frame; says what differs. */
bool tp_is_frame(const struct rte_mbuf *m, unsigned bytes, unsigned mark);

/* Sends all n of them, waiting for the device. Asserts that it takes them. */
void tp_send(struct test_port *p, unsigned queue, struct rte_mbuf **frames, unsigned n);
/* What has arrived after the devices have come to rest: a burst or more. */
unsigned tp_receive(struct test_port *p, unsigned queue, struct rte_mbuf *frames[TP_ROOM]);
/* Receives and frees everything; how many. */
unsigned tp_drain(struct test_port *p, unsigned queue);

/* Which code of the driver runs: "vector", "vector scattered", "scalar", .. */
const char *tp_rx_path(const struct test_port *p);
const char *tp_tx_path(const struct test_port *p);

struct ixm_counters tp_count(const struct test_port *p);
/* Those that are not 0, as lines of TAP. */
void tp_print(const struct test_port *p);

#endif
