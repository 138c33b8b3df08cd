/* SPDX-License-Identifier: Apache-2.0 */
/* The AMQP 0-9-1 adaptor of one core: it takes connections from any transport, speaks the protocol, and uses
 * the neutral core for everything behind it. All functions run on the core unless they say otherwise. */
#ifndef BROKER_AMQP091_SERVER_H
#define BROKER_AMQP091_SERVER_H

#include "broker/access.h"
#include "broker/auth.h"
#include "broker/core/broker.h"
#include "runtime/turn.h"
#include "transport/transport.h"

struct amqp091_server;

struct amqp091_server_config {
	struct broker_core *core;
	struct auth *auth;
	struct access *access; /* NULL: every user may do everything in every virtual host */
	uint32_t conn_max;     /* connections on this core */
	/* The count of all servers that are given the same one, and their limit together. NULL: this core's
	 * alone. Written when a connection comes and goes, by any of their cores. */
	uint32_t *conns_all;
	uint32_t conns_all_max;
	uint32_t channel_max;	       /* offered to clients, 1 to 2047 */
	uint32_t channels_max;	       /* open channels on this core */
	uint32_t consumers_max;	       /* consumers on this core */
	uint32_t unacked_max;	       /* deliveries that await their ack on this core */
	uint32_t frame_max_bytes;      /* offered to clients, transports receive 8 more; 4096 to 16 MiB */
	uint64_t message_bytes_max;    /* a larger body is refused with 406 */
	bool refuse_persistent;	       /* with 406: nothing is stored */
	uint32_t heartbeat_s;	       /* offered to clients, 0 to 65535 */
	uint64_t handshake_timeout_us; /* from accept to connection.open */
	uint64_t consumer_timeout_us;  /* for the settlement of a delivery; 0: no limit */
	uint64_t close_timeout_us;     /* from our connection.close to the peer's close-ok and FIN */
	void (*wake)(void *ctx);       /* wakes this core's turn; any thread */
	void *wake_ctx;
};

/* Counters: name, text. */
#define AMQP091_COUNTERS(X)                                                                      \
	X(connections_opened, "connections that reached connection.open-ok")                     \
	X(connections_closed, "connections that ended after connection.open-ok")                 \
	X(handshakes_failed, "connections that ended before connection.open-ok")                 \
	X(handshakes_timed_out, "connections closed for not reaching connection.open in time")   \
	X(logins_refused, "logins refused")                                                      \
	X(access_refused, "virtual hosts, exchanges and queues that a user may not use")         \
	X(channels_opened, "channels opened")                                                    \
	X(channel_exceptions, "channel.close sent for an error")                                 \
	X(connection_exceptions, "connection.close sent for an error")                           \
	X(frames_malformed, "frames that could not be parsed")                                   \
	X(heartbeats_missed, "connections closed because nothing came for two intervals")        \
	X(frames_received, "frames received")                                                    \
	X(messages_received, "messages published by clients")                                    \
	X(messages_sent, "messages delivered, got or returned")                                  \
	X(returned, "mandatory messages returned as unroutable")                                 \
	X(consumers_timed_out, "channels closed because a delivery was not settled in time")     \
	X(confirmed, "publisher confirms sent")                                                  \
	X(confirmed_not_stored, "of these, for persistent messages, which nothing stored")       \
	X(publishes_refused, "basic.nack to publishers: a queue had too much")                   \
	X(held_for_memory, "times a publisher was held because message memory was short")        \
	X(closed_without_memory, "connections aborted because their output could not be stored") \
	X(refused_limit, "connections refused because limits.connections was reached")

struct amqp091_counters {
#define X(name, text) uint64_t name;
	AMQP091_COUNTERS(X)
#undef X
};

/* Main thread, before the core runs. The configuration is copied; NULL without memory. */
struct amqp091_server *amqp091_server_create(const struct amqp091_server_config *config, uint64_t now_us);
/* After the core has stopped and the transports' connections are gone. */
void amqp091_server_destroy(struct amqp091_server *s);

/* What a transport is given: its callbacks, with the server as accepted()'s context. */
extern const struct transport_app amqp091_app;

/* Tells the adaptor and the core what time it is. Before the transports' sources: what these receive after a
 * long sleep must not be measured from before it. */
struct turn_source *amqp091_server_clock(struct amqp091_server *s);

/* This adaptor's part of a core's turn: deliveries, timers, what had to wait. After the transports' sources.
 */
struct turn_source *amqp091_server_source(struct amqp091_server *s);

/* Replaces what a reload may change; connections keep what they negotiated. */
void amqp091_server_limits(struct amqp091_server *s, uint64_t message_bytes_max, uint32_t heartbeat_s,
	uint64_t handshake_timeout_us);

/* Sends connection.close 320 CONNECTION_FORCED with this reason to every connection; new ones are refused
 * from now on. */
void amqp091_server_shutdown(struct amqp091_server *s, const char *reason);
/* Resets what is left. They leave at the end of the turn. */
void amqp091_server_abort(struct amqp091_server *s);
uint32_t amqp091_server_conn_count(const struct amqp091_server *s);

const struct amqp091_counters *amqp091_server_counters(const struct amqp091_server *s);

/* Pools for status: fills at most max, returns how many. */
unsigned amqp091_server_pools(
	const struct amqp091_server *s, struct pool_stats *stats, const char **names, unsigned max);

#endif
