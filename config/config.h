/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: one YAML file, read through one schema table (config/schema.c) into one struct that
 * nobody changes afterwards. Everything in the broker is sized from it at start. The main thread alone loads;
 * any thread may read. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/log.h"

enum {
	CONFIG_LCORES_MAX = 64,
	CONFIG_PORTS_MAX = 8,
	CONFIG_LISTENERS_MAX = 16,
	CONFIG_USERS_MAX = 256,
	CONFIG_VHOSTS_MAX = 256,
	CONFIG_PERMISSIONS_MAX = 512,
	CONFIG_PATTERN_BYTES = 256,	/* of 255 octets and its end */
	CONFIG_PREFIXES_MAX = 64,	/* of one list */
	CONFIG_MORE_ADDRESSES_MAX = 15, /* of a port, beside its first */
	CONFIG_PATH_BYTES = 4096,
	CONFIG_IFNAME_BYTES = 16, /* IFNAMSIZ: a name of 15 bytes and its end */
	CONFIG_NAME_BYTES = 64,
	CONFIG_DEVICE_BYTES = 256,
	CONFIG_SOCKET_PATH_BYTES = 108, /* sun_path */
	CONFIG_SECRET_BYTES = 256,
	CONFIG_FILE_BYTES_MAX = 1 << 20,
	CONFIG_DEPTH_MAX = 16,
};

enum config_persistent { CONFIG_PERSISTENT_WARN, CONFIG_PERSISTENT_REFUSE };
enum config_idle { CONFIG_IDLE_ADAPTIVE, CONFIG_IDLE_PAUSE, CONFIG_IDLE_POLL };
/* In the order of tcpstack/stack.h's enum stack_ecn. */
enum config_ecn { CONFIG_ECN_OFF, CONFIG_ECN_ACCEPT, CONFIG_ECN_ON };
enum config_congestion { CONFIG_CONGESTION_CUBIC, CONFIG_CONGESTION_NEWRENO, CONFIG_CONGESTION_NONE };
enum config_hugepages { CONFIG_HUGEPAGES_AUTO, CONFIG_HUGEPAGES_ON, CONFIG_HUGEPAGES_OFF };
enum config_lock { CONFIG_LOCK_AUTO, CONFIG_LOCK_ON, CONFIG_LOCK_OFF };
enum config_transport { CONFIG_TRANSPORT_BYPASS, CONFIG_TRANSPORT_KERNEL };
enum config_device { CONFIG_DEVICE_TAP, CONFIG_DEVICE_PCI, CONFIG_DEVICE_VDEV };

/* An IPv4 address with its prefix, in host byte order: 198.18.0.2/30 is {0xc6120002, 30}. */
struct config_ipv4_prefix {
	uint32_t address;
	uint8_t prefix_bits; /* 1 to 30; 0 where the whole prefix is not set */
};

/* An IPv4 or IPv6 address, in network byte order. */
struct config_address {
	uint8_t version;   /* 4 or 6 */
	uint8_t bytes[16]; /* the first 4 for version 4; the rest is zero */
};

/* Addresses with their prefix lengths, in the file's order. */
struct config_prefixes {
	uint32_t count;
	struct config_prefix {
		struct config_address address;
		uint8_t bits; /* 0 to 32, 0 to 128 */
	} entry[CONFIG_PREFIXES_MAX];
};

enum config_syn_cookies { CONFIG_SYN_COOKIES_AUTO, CONFIG_SYN_COOKIES_ALWAYS, CONFIG_SYN_COOKIES_NEVER };

struct config_memory {
	enum config_hugepages hugepages;
	enum config_lock lock;
	uint64_t message_bytes;	 /* bodies and headers of all messages in memory */
	uint32_t buffers;	 /* packets that the connections of a port may hold, each way */
	uint32_t socket_buffers; /* receive buffers of the kernel transport */
};

/* Where IPv6 leaves the link. */
struct config_gateway6 {
	bool automatic;		       /* from router advertisements */
	struct config_address address; /* version 0: none, or automatic */
};

struct config_port {
	char name[CONFIG_IFNAME_BYTES]; /* unique; a TAP's interface has this name */
	enum config_device device_kind;
	char device[CONFIG_DEVICE_BYTES];	/* "tap", "0000:06:00.0" or "net_af_packet0,iface=veth0" */
	struct config_ipv4_prefix host_address; /* the host's side of a TAP; not set otherwise */
	struct config_ipv4_prefix address;	/* the broker's own; not set where it has IPv6 alone */
	struct config_prefixes addresses;	/* more of them */
	uint32_t gateway;			/* host byte order; 0 is none */
	struct config_gateway6 gateway6;
	uint16_t vlan; /* 0: untagged */
	bool probe;    /* addresses of IPv4 before they are used */
	bool checksum_offload;
	bool tx_offload;
	bool tso; /* only with checksum_offload and tx_offload */
	uint32_t mtu_bytes;
	bool mac_set;	/* false: the device's own, or one made up for a TAP */
	uint8_t mac[6]; /* unicast; zero where not set */
	uint32_t rx_descriptors, tx_descriptors;
	uint32_t rx_free_threshold, tx_free_threshold, tx_rs_threshold; /* 0: the driver's */
};

struct config_listener {
	char name[CONFIG_NAME_BYTES]; /* unique */
	enum config_transport transport;
	uint32_t port_index; /* bypass: index into ports; kernel: 0, meaningless */
	struct config_address address;
	uint16_t tcp_port;
	/* For bypass alone, zero otherwise. What the file leaves out is as in struct config_tcp. */
	struct config_prefixes allow, deny; /* of peers */
	enum config_congestion congestion;
	uint64_t rto_us_min, delayed_ack_us, keepalive_us, user_timeout_us;
	bool nodelay;
};

struct config_tcp {
	uint64_t rx_buffer_bytes, tx_buffer_bytes; /* of each connection */
	uint64_t rto_us_min;
	uint64_t delayed_ack_us; /* 0: every segment is acknowledged at once */
	uint64_t keepalive_us;	 /* idle time before the first probe; 0: no probes */
	enum config_congestion congestion;
	enum config_ecn ecn;
	uint64_t user_timeout_us; /* without an answer for so long a connection is given up */
	bool nodelay, sack, timestamps;
	enum config_syn_cookies syn_cookies;
	uint32_t syn_backlog, time_wait_max; /* objects of each port */
	uint64_t time_wait_us;
	uint32_t challenge_acks_per_s; /* of each port */
	uint64_t challenge_interval_us;
	uint32_t initial_window_segments;
	uint64_t busy_poll_us; /* SO_BUSY_POLL of kernel sockets; 0: not set */
};

struct config_limits {
	uint32_t connections;
	uint32_t channels; /* of one connection: AMQP's channel-max, 1 to 2047 */
	uint32_t frame_bytes_max;
	uint64_t message_bytes_max;
	uint32_t heartbeat_s; /* proposed to clients; 0: none */
	uint64_t handshake_timeout_us;
	uint64_t consumer_timeout_us; /* 0: none */
	uint32_t queues, exchanges, bindings, consumers;
	uint32_t deduplication; /* values that exchanges and queues remember */
	uint32_t messages;	/* in memory at once; 1024 bytes of memory.message_bytes for each */
};

/* Exactly one of password and password_hash is not empty. */
struct config_user {
	char name[CONFIG_NAME_BYTES];
	char password[CONFIG_SECRET_BYTES];
	char password_hash[CONFIG_SECRET_BYTES]; /* for crypt(3) */
};

struct config_vhost {
	char name[CONFIG_NAME_BYTES]; /* unique */
};

/* Of a user that there is in a virtual host that there is; no two of both. */
struct config_permission {
	char user[CONFIG_NAME_BYTES], vhost[CONFIG_NAME_BYTES];
	char configure[CONFIG_PATTERN_BYTES], write[CONFIG_PATTERN_BYTES],
		read[CONFIG_PATTERN_BYTES]; /* PCRE2; empty: nothing */
};

struct config_control {
	char socket[CONFIG_SOCKET_PATH_BYTES];
	bool socket_auto; /* nobody chose it: it depends on the user who loads, and is no change for a reload
			   */
	uint32_t mode;	  /* permission bits */
};

struct config_log {
	enum log_level level;
	enum log_target target;
	bool eal; /* EAL's own lines too */
};

/* Too large for a small stack (about 600 kB): keep it static or on the heap. Bytes that hold nothing are
 * zero. */
struct config {
	char path[CONFIG_PATH_BYTES]; /* the file that it came from; empty for the embedded defaults */

	bool lcores_auto;		    /* data cores that the scheduler may move */
	uint32_t lcores[CONFIG_LCORES_MAX]; /* CPU numbers; meaningless with lcores_auto */
	uint32_t lcore_count;		    /* 1 to CONFIG_LCORES_MAX, with lcores_auto too */
	enum config_idle idle;
	uint64_t idle_spin_us;
	char user[CONFIG_NAME_BYTES]; /* what a broker started as root becomes */
	enum config_persistent persistent;

	struct config_memory memory;
	uint32_t port_count, listener_count, user_count, vhost_count, permission_count;
	struct config_port ports[CONFIG_PORTS_MAX];
	struct config_listener listeners[CONFIG_LISTENERS_MAX];
	struct config_user
		users[CONFIG_USERS_MAX]; /* none: guest/guest, from loopback and a TAP's link alone */
	struct config_vhost vhosts[CONFIG_VHOSTS_MAX];		      /* none: "/" */
	struct config_permission permissions[CONFIG_PERMISSIONS_MAX]; /* none: every user may do everything */
	struct config_tcp tcp;
	struct config_limits limits;
	struct config_control control;
	struct config_log log;
};

/* Loads the file at path, or the embedded defaults where path is NULL, into *c, complete and checked. Errors
 * (file:line:column, key, what was found, what is allowed, the line with a caret; up to 20 of them) and
 * warnings go to err. Returns 0; -EINVAL where the contents are refused; another -errno where the file cannot
 * be read (-EFBIG above CONFIG_FILE_BYTES_MAX). On error *c is unspecified. Allocates; leaves nothing
 * allocated. Main thread. */
int config_load(const char *path, struct config *c, FILE *err);

/* The same from text_bytes bytes of memory, which stay the caller's; name stands for the file in messages and
 * becomes c->path. */
int config_load_text(const char *name, const char *text, size_t text_bytes, struct config *c, FILE *err);

/* Writes the effective configuration as YAML that loads back to the same struct, but for the users: their
 * secrets are not shown, and each user and permission is a comment. */
void config_print(const struct config *c, FILE *out);

/* Writes the reference of all keys (Markdown). */
void config_reference(FILE *out);

/* Says what differs between two configurations, one call of say for each changed key, in the order of the
 * schema: reloadable tells whether it can be changed in a running broker, text is a sentence without a line
 * end such as "limits.message_size: 128M -> 64M" or "ports[0].mtu: 1500 -> 9000: needs a restart", valid
 * during the call. Secrets are not shown. Returns the number of changes. Does not look at path. */
struct config_change {
	const char *key; /* "log.level", "ports[0].mtu", "users" */
	bool reloadable;
	const char *text;
};
typedef void (*config_change_fn)(void *ctx, const struct config_change *change);
unsigned config_diff(const struct config *now, const struct config *next, config_change_fn say, void *ctx);

/* Copies the reloadable keys of *next to *now; everything else stays. The caller publishes the result: data
 * cores must not read *now meanwhile. */
void config_reload(struct config *now, const struct config *next);

/* Removes every TAP port and the listeners on them (--no-tap), or every listener of the kernel transport
 * (--no-kernel); indices stay right. Returns how many listeners are left: with none there is nothing to
 * serve. */
uint32_t config_drop_taps(struct config *c);
uint32_t config_drop_kernel(struct config *c);

/* The addresses of a port: address, where it is set, then the list. False when there are no more. */
bool config_port_address(const struct config_port *p, uint32_t index, struct config_prefix *out);

/* Whether a and b, as far as the shorter of their lengths, are the same: one holds the other. */
bool config_prefix_overlap(const struct config_prefix *a, const struct config_prefix *b);

/* 0.0.0.0 or :: */
bool config_address_is_any(const struct config_address *a);

/* a as text: "198.18.0.2", "::1". out holds at least 46 bytes (INET6_ADDRSTRLEN). Returns out. */
const char *config_address_text(const struct config_address *a, char *out);

/* An IPv4 address of a config_address in host byte order; 0 for version 6. */
static inline uint32_t config_address_ipv4(const struct config_address *a)
{
	if (a->version != 4)
		return 0;
	return (uint32_t)a->bytes[0] << 24 | (uint32_t)a->bytes[1] << 16 | (uint32_t)a->bytes[2] << 8 |
	       a->bytes[3];
}

#endif
