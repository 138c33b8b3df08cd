/* SPDX-License-Identifier: Apache-2.0 */
/* What every tool runs on: EAL, perhaps a port, and loops on threads of their own; and the options for them.
 */
#ifndef TOOLS_CLIENT_MACHINE_H
#define TOOLS_CLIENT_MACHINE_H

#include "tools/client/loop.h"
#include "tools/client/options.h"

enum { MACHINE_LOOPS_MAX = 64 };

struct machine_options {
	const char *broker, *port, *dpdk_port, *address, *gateway, *cpus, *idle;
	const char *user, *password, *vhost;
	uint64_t threads, bounds_multiplier, max_frame_size, mtu;
	bool tcp_nodelay, hugepages;
};

/* Rows for a table of options; `member` is a struct machine_options in the target. */
#define MACHINE_TEXT(target, member, name, letter, field, value, help)                              \
	{                                                                                           \
		name, letter, OPTION_TEXT, offsetof(struct target, member.field), 0, 0, value, help \
	}
#define MACHINE_NUMBER(target, member, name, field, min, max, value, help)                           \
	{                                                                                            \
		name, 0, OPTION_NUMBER, offsetof(struct target, member.field), min, max, value, help \
	}
#define MACHINE_ROWS(target, member)                                                                        \
	MACHINE_TEXT(target, member, "broker", 'b', broker, "HOST",                                         \
		"the broker: a name, IPv4 or IPv6, HOST:PORT, [IPv6]:PORT [127.0.0.1]"),                    \
		MACHINE_TEXT(target, member, "port", 'p', port, "PORT",                                     \
			"a number: the broker's TCP port [5672]; else as --dpdk-port"),                     \
		MACHINE_TEXT(target, member, "username", 0, user, "USER", "login [guest]"),                 \
		MACHINE_TEXT(target, member, "password", 0, password, "WORD", "password [guest]"),          \
		MACHINE_TEXT(target, member, "vhost", 'v', vhost, "VHOST", "virtual host [/]"),             \
		MACHINE_TEXT(target, member, "dpdk-port", 0, dpdk_port, "SPEC",                             \
			"our own TCP over this device instead of kernel sockets: "                          \
			"net_af_packet0,iface=veth0"),                                                      \
		MACHINE_TEXT(target, member, "address", 0, address, "IP/LEN",                               \
			"our address on that device, of IPv4 or IPv6, as the broker's is"),                 \
		MACHINE_TEXT(target, member, "gateway", 0, gateway, "IP",                                   \
			"the way to other networks from there"),                                            \
		MACHINE_NUMBER(target, member, "mtu", mtu, PORT_MTU_MIN, PORT_MTU_MAX, "BYTES",             \
			"the longest IP packet on that device, as at its other end [1500]"),                \
		{"hugepages", 0, OPTION_YES_NO, offsetof(struct target, member.hugepages), 0, 0, "yes|no",  \
			"packet buffers from hugepages; PCI devices need them [no]"},                       \
		MACHINE_NUMBER(target, member, "threads", threads, 1, MACHINE_LOOPS_MAX, "N",               \
			"event loops, each on a thread of its own"),                                        \
		MACHINE_TEXT(target, member, "cpus", 0, cpus, "LIST", "pins the threads: 2,3 or 4-7"),      \
		MACHINE_TEXT(target, member, "idle", 0, idle, "poll|pause|adaptive",                        \
			"what a thread without work does: adaptive sleeps after 50 us"),                    \
		MACHINE_NUMBER(target, member, "bounds-multiplier", bounds_multiplier, 1, UINT32_MAX, "N",  \
			"a connection is at most N frames of --max-frame-size ahead of its socket (64 KiB " \
			"to 4 MiB)"),                                                                       \
		MACHINE_NUMBER(target, member, "max-frame-size", max_frame_size, 1, 131072, "BYTES",        \
			"see --bounds-multiplier [65535]"),                                                 \
	{                                                                                                   \
		"tcp-nodelay", 0, OPTION_YES_NO, offsetof(struct target, member.tcp_nodelay), 0, 0, NULL,   \
			"accepted: it is always so here"                                                    \
	}

struct machine {
	struct loop loops[MACHINE_LOOPS_MAX];
	unsigned count;
	struct port *port;
	struct keeper *keeper; /* of what the port changes on the host */
	struct client_login login;
	struct transport_address broker;
	/* As parsed. */
	struct loop_config config; /* of every loop, but for its index */
	int cpus[MACHINE_LOOPS_MAX];
	unsigned cpu_count;
	bool hugepages;
	const char *device; /* NULL: kernel sockets */
	bool with_eal;
};

/* What a tool has in its process besides its loops: nothing (alone.c), or a broker, where that is what is to
 * be measured (bench/compare/rings.c). Control thread. */
struct machine_beside {
	unsigned cores;	    /* data cores behind those of the loops, on the CPUs behind theirs */
	unsigned memory_mb; /* of EAL's */
	/* EAL runs, and the tool's port is to be opened: gives the device that --dpdk-port means. first_core:
	 * of its own. 0, or -1 with error. */
	int (*open)(unsigned first_core, const char **device, char *error, size_t room);
	/* The loops are gone; before the port is closed, and after it, with EAL still there. */
	void (*stop)(void);
	void (*free)(void);
};
extern const struct machine_beside machine_beside;

/* Checks and parses: nothing is opened yet. 0, or -1 with error, which names the option. */
int machine_prepare(struct machine *m, const struct machine_options *o, char *error, size_t room);

/* Starts a keeper (as root, for a device) and EAL, opens the port and `threads` loops for up to conns_a_loop
 * connections each. m->config has poll, next_us and user of the application. 0, or -1 with error;
 * machine_close undoes it in either case. Once a process. */
int machine_open(struct machine *m, unsigned threads, unsigned conns_a_loop, char *error, size_t room);
void machine_close(struct machine *m);

/* Starts the loops on their threads; and ends them, from any thread. */
void machine_run(struct machine *m);
void machine_stop(struct machine *m);
void machine_join(struct machine *m);

#endif
