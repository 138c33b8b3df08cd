/* SPDX-License-Identifier: Apache-2.0 */
/* A whole broker under a test's thumb: the real cores, one or several, login and adaptors over links in
 * memory, on a clock that the test moves. It knows no test framework: a fuzzer stands on it as well. */
#ifndef BROKER_AMQP091_TESTING_RIG_H
#define BROKER_AMQP091_TESTING_RIG_H

#include "broker/amqp091/server.h"
#include "broker/amqp091/testing/link.h"

enum { RIG_LINKS = 128, RIG_CORES = 4 };

struct rig_options {
	struct amqp091_server_config server;
	struct broker_limits limits;
	uint64_t memory_bytes;
	const struct auth_user *users;
	uint32_t user_count;
	const struct access_permission *permissions;
	uint32_t permission_count;
	const char *const *vhosts; /* as struct broker_config's */
	uint32_t vhost_count;
	uint32_t cores;	       /* 0: 1 */
	uint32_t letters_max;  /* of each core; 0: as many as there are by default */
	uint32_t link_records; /* between two cores; 0: as many as there are by default */
};

struct rig_core {
	struct broker_core *core;
	struct amqp091_server *server;
	struct turn_source *clock, *source;
	bool stopped; /* takes no turns: what the others send to it waits */
};

struct rig {
	struct rte_mempool *pool; /* receive buffers; the caller's */
	struct message_store *store;
	struct broker *broker;
	struct auth *auth;
	struct access *access;
	struct rig_core cores[RIG_CORES];
	unsigned core_count;
	/* The first one's. */
	struct broker_core *core;
	struct amqp091_server *server;
	struct turn_source *clock, *source;
	uint64_t now_us;
	struct link *links[RIG_LINKS]; /* polled each turn */
	unsigned links_end;	       /* no link from here on */
	unsigned link_core[RIG_LINKS];
};

/* One core; each has 8 connections, 32 channels, 32 consumers, 1000 unacknowledged, frames of 16 KiB,
 * messages of 4 MiB in 8 MiB of memory, heartbeats off, 10 s for a handshake and 1 s for a close; guest may
 * log in. */
struct rig_options rig_options(void);

void rig_open(struct rig *r, struct rte_mempool *pool, const struct rig_options *options);
void rig_open_default(struct rig *r, struct rte_mempool *pool);

/* Resets what is still connected, deletes every queue and releases everything. NULL, or what had leaked. */
const char *rig_close(struct rig *r);

/* The same questions while it lives: what is not back in its pool though no connection and queue is left. */
const char *rig_leak(struct rig *r);
void rig_clear(struct rig *r); /* deletes every queue, and every exchange but the predeclared */

void rig_attach(struct rig *r, struct link *l); /* opens it as a connection, of the first core */
void rig_attach_at(struct rig *r, struct link *l, unsigned core);
void rig_detach(struct rig *r, struct link *l); /* resets it where it still lives, and frees it */

void rig_turn(struct rig *r); /* of each core that is not stopped, in their order */
/* Turns until nothing moves any more. */
void rig_settle(struct rig *r);
/* Moves the clock in steps of 10 ms, a turn each. */
void rig_advance(struct rig *r, uint64_t us);

/* The next message of a queue, settled, with its reference; NULL: there is none. */
struct message *rig_take(struct rig *r, const char *queue);
struct message_store_stats rig_store(const struct rig *r);

#endif
