/* SPDX-License-Identifier: Apache-2.0 */
/* The transport over the userspace stack: one queue of a port, one stack, on one core. */
#ifndef TRANSPORT_BYPASS_H
#define TRANSPORT_BYPASS_H

#include "dpdk_port/port.h"
#include "runtime/histogram.h"
#include "runtime/turn.h"
#include "tcpstack/tcp.h"
#include "transport/capture.h"
#include "transport/transport.h"

struct bypass;

struct bypass_config {
	struct port *port; /* borrowed; open for as long as the transport lives */
	unsigned queue;
	struct stack_config stack; /* without tx, tx_ctx, mac, mtu, offload_flags and what several cores
				    need: from the port */
	bool local_link;	   /* peers within the stack's own prefix are this host (a TAP) */
	struct phase_mark *phase;  /* of the core; borrowed. NULL: nobody looks */
	bool sleeps;		   /* the idle policy may sleep: prepare a descriptor to wait on */
	const struct transport_app *app;
	void *app_ctx;
};

struct bypass_stats {
	uint64_t accepted, closed;
	uint64_t refused;    /* by the application, which were accepted first */
	uint64_t tx_waited;  /* frames that the port had no room for at once */
	uint64_t tx_dropped; /* frames dropped because too many waited */
	uint64_t conns_exhausted;
	uint32_t conns;
};

/* The config is copied; NULL where a value is out of range or memory cannot be had. Main thread, before the
 * core runs. */
struct bypass *bypass_create(const struct bypass_config *config, uint64_t now_us);
/* Aborts what is left, without telling the peers. After the core has stopped, before the port is closed. */
void bypass_destroy(struct bypass *b);

/* 0, -EADDRNOTAVAIL, -EADDRINUSE, -ENOBUFS. address_or_null NULL: every one of ours. options_or_null is
 * copied, its filter borrowed until bypass_listen_stop or bypass_destroy; NULL: as the stack was configured;
 * tcp_open_options_of(bypass_stack(b)) is where to start from. */
int bypass_listen(struct bypass *b, const struct ip_addr *address_or_null, uint16_t port,
	const struct tcp_open_options *options_or_null);
/* Closes every listener; connections stay. Core. */
void bypass_listen_stop(struct bypass *b);

/* Starts an active open; app->connected follows. NULL where no connection is free. Core. */
struct transport_conn *bypass_connect(
	struct bypass *b, const struct ip_addr *address, uint16_t port, void *user, uint64_t now_us);

struct turn_source *bypass_source(struct bypass *b);
struct stack *bypass_stack(struct bypass *b);
struct port *bypass_port(struct bypass *b);

/* From now on copies of every frame go to it, until the next call; borrowed. NULL: none, which costs a branch
 * a burst. Core. */
void bypass_set_capture(struct bypass *b, struct capture *capture_or_null);

/* What a port's enum port_offload bits let its stack leave to it: enum stack_offload. */
uint32_t bypass_stack_offloads(uint32_t port_offloads);

struct bypass_stats bypass_stats(const struct bypass *b);

/* From the first frames that a turn received to the end of its sending, in ticks (runtime/turn.h), of the
 * turns that sent some. Any thread reads it with histogram_read. */
const struct histogram *bypass_turnaround(const struct bypass *b);

#endif
