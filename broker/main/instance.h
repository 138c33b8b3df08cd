/* SPDX-License-Identifier: Apache-2.0 */
/* The program godwit: what its files share. One instance a process; everything hangs on struct instance,
 * which main passes down.
 *
 * Order of start, each step undone in reverse: command line and configuration -> host (what will be made is
 * said first; keeper, hugepages, EAL, ports, TAP addresses) -> broker and data cores -> listeners -> control
 * socket -> privileges dropped -> ready. */
#ifndef BROKER_MAIN_INSTANCE_H
#define BROKER_MAIN_INSTANCE_H

#include "broker/amqp091/server.h"
#include "broker/control/control.h"
#include "broker/main/calls.h"
#include "broker/main/sizes.h"
#include "config/cli.h"
#include "config/config.h"
#include "dpdk_port/keeper.h"
#include "runtime/reclaim.h"
#include "transport/bypass.h"
#include "transport/ksock.h"
#include "transport/ksock_spread.h"

#include <jansson.h>

enum { ERROR_BYTES = 512 };

/* A listener of the configuration, and whether it came up. */
struct listener_state {
	bool open;
	struct tcp_prefix allow[CONFIG_PREFIXES_MAX], deny[CONFIG_PREFIXES_MAX];
	struct tcp_filter filter; /* of the two */
};

struct data_core {
	struct instance *in;
	unsigned index;
	struct turn turn;
	struct calls *calls;			 /* functions that the control thread has run on this core */
	struct bypass *bypass[CONFIG_PORTS_MAX]; /* by port index; NULL: the port is not there */
	struct rte_mempool *bypass_tx_pool[CONFIG_PORTS_MAX];
	struct ksock *ksock; /* NULL: no kernel listener */
	struct rte_mempool *ksock_pool;
	struct broker_core *core;
	struct amqp091_server *amqp091;
	uint32_t conns_left; /* at shutdown: written on the core, read after the call */
};

/* A device that wants to be set up anew rests first, until every core has left it. */
enum device_state { DEVICE_RUNS, DEVICE_RESTS, DEVICE_IS_LEFT };

/* What a port's device told when it was last asked. */
struct device_view {
	enum device_state state;
	struct reclaim_node grace;
	struct port_link link;
	struct port_device_counters counters;
	bool counted; /* the driver counts */
};

struct instance {
	struct cli cli;
	struct config config;
	struct auth *auth;
	struct access *access;		/* NULL: everybody may do everything */
	struct message_store *messages; /* of all cores */
	struct broker *broker;
	struct keeper *keeper;
	struct port *ports[CONFIG_PORTS_MAX]; /* NULL: could not be had */
	struct device_view devices[CONFIG_PORTS_MAX];
	uint64_t devices_next_us; /* when they are asked again */
	struct listener_state listeners[CONFIG_LISTENERS_MAX];
	uint32_t connections; /* of all cores together: theirs to count, where there are several */
	struct ksock_spread *ksock_spread; /* hands kernel connections to the cores */
	struct sizes sizes;		   /* of the cores; a test may change them before these are made */
	struct data_core *cores;	   /* by index */
	unsigned core_count;
	struct control *control;
	bool capturing[CONFIG_PORTS_MAX]; /* by port index: a capture has it */
	bool hugepages;
	bool heap; /* pools and messages lie in dpdk_port/heap.h's */
	unsigned memory_mb;
	char user[CONFIG_NAME_BYTES]; /* what it runs as now */
	uint64_t started_us;
};

/* host.c: everything outside the process. Says on the log what it is about to make, makes it. 0 or a negative
 * code with the error logged. */
int host_prepare(struct instance *in);
void host_release(struct instance *in);

/* memory.c: the sums behind the memory that is taken at start. */
enum { MEMORY_EAL_MB = 24 }; /* EAL's own structures, the ports' queues, and what alignment to pages wastes */
unsigned memory_pools_mb(const struct config *c, const bool *port_wanted); /* packet and socket buffers */
unsigned memory_messages_mb(const struct config *c);
/* Touches and locks all that has been made, where the cores poll: they meet no page for the first time. */
void memory_lock(const struct instance *in);

/* core.c: the data cores and what runs on them. */
const struct tcp_cc *congestion_named(enum config_congestion which);

static inline struct ip_addr instance_ip(const struct config_address *a)
{
	return a->version == 6 ? ip_v6(a->bytes) : ip_v4(config_address_ipv4(a));
}
/* config, ports, auth and sizes are set. 0, or -1 with the error logged. */
int cores_create(struct instance *in, uint64_t now_us);
int cores_start(struct instance *in);
void cores_stop(struct instance *in);
void cores_destroy(struct instance *in);
/* The last of it: what ports could hold until they were closed. */
void cores_free(struct instance *in);

/* listen.c: opens each listener; logs what is in the way of one that cannot be had. Returns how many are
 * open. */
unsigned listeners_open(struct instance *in);

/* Who holds a kernel TCP port, such as "rabbitmq (pid 812)"; "another program" where that cannot be seen. */
void holder_of_tcp_port(const struct config_address *address, uint16_t port, char *out, size_t room);

/* ready.c: the lines that say where it listens and how to try it. */
void ready_say(const struct instance *in);

/* status.c: the control command `status`; ctx is the instance. */
json_t *status_handler(void *ctx, const json_t *arguments, char *error, size_t error_bytes);

/* stats.c: the control command `stats`; ctx is the instance. */
json_t *stats_handler(void *ctx, const json_t *arguments, char *error, size_t error_bytes);

/* capture.c: the control command `capture`; ctx is the instance. */
struct control_stream *capture_open(void *ctx, const json_t *arguments, char *error, size_t error_bytes);

/* profile.c: the control command `profile`; ctx is the instance. */
struct control_stream *profile_open(void *ctx, const json_t *arguments, char *error, size_t error_bytes);

/* connections.c: the control command `tcp`; ctx is the instance. */
struct control_stream *connections_open(void *ctx, const json_t *arguments, char *error, size_t error_bytes);

/* users.c: the configured users as auth.h wants them; free() it. NULL without memory. */
struct auth_user *instance_users(const struct config *c);
/* The same for permissions and access.h; they point into c. */
struct access_permission *instance_permissions(const struct config *c);

/* devices.c: asks every device for its link and its counters, and logs what has changed. Control thread. */
enum { DEVICES_PERIOD_US = 2000000 };
void devices_begin(struct instance *in, uint64_t now_us);
int devices_wait_ms(const struct instance *in, uint64_t now_us); /* until it is worth calling devices_look */
void devices_look(struct instance *in, uint64_t now_us);

/* operate.c: signals, control socket, reload, shutdown. Returns the exit code. */
int operate(struct instance *in);

#endif
