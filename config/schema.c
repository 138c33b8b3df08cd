/* SPDX-License-Identifier: Apache-2.0 */
#include "config/schema.h"

#include <string.h>

#define FIELD(s, member) .offset = offsetof(struct s, member), .size = sizeof(((struct s *)0)->member)
#define K(n)		 ((uint64_t)(n) << 10)
#define M(n)		 ((uint64_t)(n) << 20)
#define G(n)		 ((uint64_t)(n) << 30)
#define MS(n)		 ((uint64_t)(n)*1000)
#define S(n)		 ((uint64_t)(n)*1000000)

static const char *const idle_words[] = {"adaptive", "pause", "poll", NULL};
static const char *const persistent_words[] = {"warn", "refuse", NULL};
static const char *const congestion_words[] = {"cubic", "newreno", "none", NULL};
static const char *const ecn_words[] = {"off", "accept", "on", NULL};
static const char *const hugepages_words[] = {"auto", "on", "off", NULL};
static const char *const lock_words[] = {"auto", "on", "off", NULL};
static const char *const transport_words[] = {"bypass", "kernel", NULL};
static const char *const cookie_words[] = {"auto", "always", "never", NULL};
static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};
static const char *const target_words[] = {"stderr", "syslog", NULL};

/* A word is stored as its index. */
_Static_assert(CONFIG_IDLE_POLL == 2 && CONFIG_HUGEPAGES_OFF == 2 && CONFIG_LOCK_OFF == 2 &&
		       CONFIG_PERSISTENT_REFUSE == 1 && CONFIG_CONGESTION_NONE == 2 && CONFIG_ECN_ON == 2 &&
		       CONFIG_TRANSPORT_KERNEL == 1 && LOG_LEVEL_DEBUG == 3 && LOG_TARGET_SYSLOG == 1 &&
		       CONFIG_SYN_COOKIES_NEVER == 2,
	"the words stand in the order of their enums");

static const struct schema_key top_keys[] = {
	{.name = "lcores",
		.type = SCHEMA_CPUS,
		FIELD(config, lcores),
		.max = 1023,
		.initial = "auto",
		.help = "The CPUs that data cores run on, one each, such as `[2, 3]`: each receives its "
			"share of "
			"the "
			"connections and owns them. A number alone, such as `4`, is so many data cores that "
			"the "
			"scheduler may move; `auto` is one of those. CPUs that the kernel keeps free of "
			"other "
			"work (`isolcpus`) are the best ones."},
	{.name = "idle",
		.type = SCHEMA_WORD,
		FIELD(config, idle),
		.words = idle_words,
		.initial = "adaptive",
		.help = "What a data core does when there is nothing to do. `poll` never rests: the lowest "
			"latency, a "
			"CPU always busy. `pause` polls too, with pauses that leave power to the sibling "
			"hyperthread. `adaptive` polls for idle_spin, then sleeps until there is something "
			"to do."},
	{.name = "idle_spin",
		.type = SCHEMA_DURATION,
		FIELD(config, idle_spin_us),
		.max = S(1),
		.unit = 1,
		.initial = "50us",
		.help = "How long an adaptive data core polls in vain before it sleeps."},
	{.name = "user",
		.type = SCHEMA_NAME,
		FIELD(config, user),
		.initial = "nobody",
		.help = "The unprivileged user that a broker started as root becomes once its ports and "
			"listeners "
			"are open. Not `root`. Without effect when started by an ordinary user."},
	{.name = "persistent",
		.type = SCHEMA_WORD,
		FIELD(config, persistent),
		.words = persistent_words,
		.initial = "warn",
		.help = "What becomes of a persistent message (delivery mode 2), which nothing here stores "
			"on "
			"disk. `warn` takes it as any other, logs the first one of each data core and counts "
			"its "
			"confirms as `confirmed_not_stored`. `refuse` closes the channel with 406."},
	{0},
};

static const struct schema_key memory_keys[] = {
	{.name = "hugepages",
		.type = SCHEMA_WORD,
		FIELD(config_memory, hugepages),
		.words = hugepages_words,
		.initial = "auto",
		.help = "Whether packet buffers and messages lie in hugepages. `auto` uses them if they can "
			"be had, "
			"`on` does not start without, `off` (and --no-huge) uses ordinary pages. "
			"Pages of 1 GiB that are reserved and free are taken first, as many as "
			"the memory fills; the rest is of 2 MiB, which root makes where they are missing."},
	{.name = "lock",
		.type = SCHEMA_WORD,
		FIELD(config_memory, lock),
		.words = lock_words,
		.initial = "auto",
		.help = "Whether ordinary pages of packet buffers and messages are made and locked at start, "
			"so "
			"that nothing is paged in later; hugepages always are. `auto` does it if it is "
			"allowed "
			"and idle is not adaptive, `on` does not start without, `off` leaves them to the "
			"kernel. "
			"An ordinary user may lock what RLIMIT_MEMLOCK allows."},
	{.name = "messages",
		.type = SCHEMA_BYTES,
		FIELD(config_memory, message_bytes),
		.min = M(16),
		.max = G(1024),
		.initial = "256M",
		.help = "Memory for the bodies and headers of all messages. When it is nearly full, "
			"publishers are "
			"slowed down."},
	{.name = "buffers",
		.type = SCHEMA_COUNT,
		FIELD(config_memory, buffers),
		.min = 1024,
		.max = 4194304,
		.initial = "16384",
		.help = "Packets that the connections of a port may hold at once, received and not yet read, "
			"and as many "
			"written and not yet acknowledged. What the port's rings hold comes on top."},
	{.name = "socket_buffers",
		.type = SCHEMA_COUNT,
		FIELD(config_memory, socket_buffers),
		.min = 64,
		.max = 1048576,
		.initial = "4096",
		.help = "Receive buffers of the kernel transport, 8K each, shared by all of its "
			"connections."},
	{0},
};

static const struct schema_key port_keys[] = {
	{.name = "name",
		.type = SCHEMA_IFNAME,
		FIELD(config_port, name),
		.initial = "godwit0",
		.help = "The port's name, unique. A TAP's network interface has this name on the host."},
	{.name = "device",
		.type = SCHEMA_DEVICE,
		FIELD(config_port, device),
		.required = true,
		.help = "`tap`: a TAP interface, made at start and removed at exit. A PCI address such as "
			"`0000:06:00.0`: that network card, which must be bound to vfio-pci; it is lost to "
			"the "
			"kernel. A virtual device of DPDK with its arguments, such as "
			"`net_af_packet0,iface=veth0`. "
			"No device that is not named here is touched."},
	{.name = "host_address",
		.type = SCHEMA_PREFIX,
		FIELD(config_port, host_address),
		.note = "198.18.0.1/30 for a TAP where `address` is left out too, else none",
		.help = "The address that the host gets on its side of a TAP, in the same subnet as "
			"`address`. For "
			"TAPs alone."},
	{.name = "address",
		.type = SCHEMA_PREFIX,
		FIELD(config_port, address),
		.note = "198.18.0.2/30 for a TAP where `host_address` is left out too, else required",
		.help = "The broker's own address on this port, with the prefix length of its subnet."},
	{.name = "addresses",
		.type = SCHEMA_HOSTS,
		FIELD(config_port, addresses),
		.max = CONFIG_MORE_ADDRESSES_MAX,
		.note = "none",
		.help = "More addresses of the broker on this port, IPv4 and IPv6, each with the prefix "
			"length of its "
			"subnet. Where `address` is left out the first IPv4 one is that."},
	{.name = "gateway",
		.type = SCHEMA_GATEWAY,
		FIELD(config_port, gateway),
		.initial = "none",
		.help = "The next hop for everything outside the subnet."},
	{.name = "gateway6",
		.type = SCHEMA_GATEWAY6,
		FIELD(config_port, gateway6),
		.initial = "auto",
		.help = "The same for IPv6. `auto` takes the routers that advertise themselves on the link "
			"(RFC 4861)."},
	{.name = "mtu",
		.type = SCHEMA_COUNT,
		FIELD(config_port, mtu_bytes),
		.min = 576,
		.max = 9000,
		.initial = "1500",
		.help = "The largest IP packet, in bytes."},
	{.name = "mac",
		.type = SCHEMA_MAC,
		FIELD(config_port, mac),
		.initial = "auto",
		.help = "The port's unicast MAC address. `auto` is the device's own; for a TAP, one of the "
			"broker's making."},
	{.name = "rx_descriptors",
		.type = SCHEMA_COUNT,
		FIELD(config_port, rx_descriptors),
		.min = 64,
		.max = 4096,
		.initial = "1024",
		.help = "Size of the receive ring. The device may round it."},
	{.name = "tx_descriptors",
		.type = SCHEMA_COUNT,
		FIELD(config_port, tx_descriptors),
		.min = 64,
		.max = 4096,
		.initial = "1024",
		.help = "Size of the transmit ring. The device may round it."},
	{.name = "rx_free_threshold",
		.type = SCHEMA_COUNT,
		FIELD(config_port, rx_free_threshold),
		.max = 2048,
		.initial = "0",
		.help = "After how many received descriptors the driver gives the device new ones; 0: what "
			"the "
			"driver prefers. Drivers refuse what does not fit their ring; ixgbe's wants 32 at "
			"least, "
			"and a divisor of the ring, for its vector path."},
	{.name = "tx_free_threshold",
		.type = SCHEMA_COUNT,
		FIELD(config_port, tx_free_threshold),
		.max = 2048,
		.initial = "0",
		.help = "With fewer free transmit descriptors than this the driver looks which are done; 0: "
			"what "
			"the driver prefers. ixgbe's wants tx_rs_threshold or more."},
	{.name = "tx_rs_threshold",
		.type = SCHEMA_COUNT,
		FIELD(config_port, tx_rs_threshold),
		.max = 2048,
		.initial = "0",
		.help = "Every how manieth transmit descriptor the device reports; 0: what the driver "
			"prefers. "
			"ixgbe's wants 32 at most and a divisor of the ring, and 32 for its vector path."},
	{.name = "vlan",
		.type = SCHEMA_COUNT,
		FIELD(config_port, vlan),
		.max = 4094,
		.initial = "0",
		.help = "Frames with this VLAN tag are taken and sent; 0: untagged ones. On a TAP the host "
			"needs an "
			"interface of that VLAN."},
	{.name = "probe",
		.type = SCHEMA_BOOL,
		FIELD(config_port, probe),
		.initial = "false",
		.help = "Whether the addresses of IPv4 are tested for some seconds before they are used (RFC "
			"5227), so "
			"that two stations with one address are found. Those of IPv6 always are (RFC 4862)."},
	{.name = "checksum_offload",
		.type = SCHEMA_BOOL,
		FIELD(config_port, checksum_offload),
		.initial = "true",
		.help = "Whether the device computes and checks the checksums of IPv4 and TCP where it can. "
			"`false` "
			"does all of it in software."},
	{.name = "tx_offload",
		.type = SCHEMA_BOOL,
		FIELD(config_port, tx_offload),
		.initial = "true",
		.help = "Whether the device computes checksums of what is sent, and takes frames that lie in "
			"several buffers, where it can. `false`: the broker's own TCP sums and copies, and "
			"drivers that have a quicker way for frames that ask for nothing, such as ixgbe's, "
			"take it. bench/README.md says what that wins and costs."},
	{.name = "tso",
		.type = SCHEMA_BOOL,
		FIELD(config_port, tso),
		.initial = "false",
		.help = "Whether the device is handed large TCP segments, which it cuts (TCP segmentation "
			"offload), where it can do that and checksums. Meant for NICs; virtual devices cut "
			"in "
			"software, if at all. Needs `checksum_offload` and `tx_offload`."},
	{0},
};

static const struct schema_key listener_keys[] = {
	{.name = "name",
		.type = SCHEMA_NAME,
		FIELD(config_listener, name),
		.required = true,
		.help = "The listener's name in logs and status, unique."},
	{.name = "transport",
		.type = SCHEMA_WORD,
		FIELD(config_listener, transport),
		.words = transport_words,
		.required = true,
		.help = "`bypass`: the broker's own TCP stack on one of `ports`. `kernel`: the kernel's "
			"sockets."},
	{.name = "port",
		.type = SCHEMA_PORT_NAME,
		FIELD(config_listener, port_index),
		.note = "the port, where there is one alone",
		.help = "The name of the port, for `bypass` alone."},
	{.name = "address",
		.type = SCHEMA_ADDRESS,
		FIELD(config_listener, address),
		.note = "the port's address for bypass, 127.0.0.1 for kernel",
		.help = "Where to listen. For `bypass` one of the port's addresses; for `kernel` any IPv4 or "
			"IPv6 address "
			"of the host. `0.0.0.0` or `::` for all of them."},
	{.name = "tcp_port",
		.type = SCHEMA_COUNT,
		FIELD(config_listener, tcp_port),
		.min = 1,
		.max = 65535,
		.initial = "5672",
		.help = "The TCP port number."},
	{.name = "allow",
		.type = SCHEMA_PREFIXES,
		FIELD(config_listener, allow),
		.max = CONFIG_PREFIXES_MAX,
		.bypass = true,
		.note = "everybody",
		.help = "Who may connect, as a list of addresses and prefixes. The kernel's firewall does "
			"not see "
			"this path: what others send is dropped and counted, without an answer and before it "
			"costs "
			"memory. The longest prefix of `allow` and `deny` that holds a peer decides, `deny` "
			"where both "
			"are as long; who is in none may connect where `allow` is empty. For `bypass` "
			"alone."},
	{.name = "deny",
		.type = SCHEMA_PREFIXES,
		FIELD(config_listener, deny),
		.max = CONFIG_PREFIXES_MAX,
		.bypass = true,
		.note = "nobody",
		.help = "Who may not connect, such as `[192.0.2.0/24, \"2001:db8::/32\"]`. For `bypass` "
			"alone."},
	{.name = "congestion",
		.type = SCHEMA_WORD,
		FIELD(config_listener, congestion),
		.words = congestion_words,
		.bypass = true,
		.note = "tcp.congestion",
		.help = "As in `tcp`, for this listener's connections. For `bypass` alone."},
	{.name = "rto_min",
		.type = SCHEMA_DURATION,
		FIELD(config_listener, rto_us_min),
		.min = MS(1),
		.max = S(60),
		.unit = 1,
		.bypass = true,
		.note = "tcp.rto_min",
		.help = "As in `tcp`, for this listener's connections. For `bypass` alone."},
	{.name = "delayed_ack",
		.type = SCHEMA_DURATION,
		FIELD(config_listener, delayed_ack_us),
		.max = MS(500),
		.unit = 1,
		.bypass = true,
		.note = "tcp.delayed_ack",
		.help = "As in `tcp`, for this listener's connections. For `bypass` alone."},
	{.name = "nodelay",
		.type = SCHEMA_BOOL,
		FIELD(config_listener, nodelay),
		.bypass = true,
		.note = "tcp.nodelay",
		.help = "As in `tcp`, for this listener's connections. For `bypass` alone."},
	{.name = "keepalive",
		.type = SCHEMA_DURATION,
		FIELD(config_listener, keepalive_us),
		.max = S(86400),
		.unit = 1,
		.bypass = true,
		.note = "tcp.keepalive",
		.help = "As in `tcp`, for this listener's connections. For `bypass` alone."},
	{.name = "user_timeout",
		.type = SCHEMA_DURATION,
		FIELD(config_listener, user_timeout_us),
		.min = MS(100),
		.max = S(3600),
		.unit = 1,
		.bypass = true,
		.note = "tcp.user_timeout",
		.help = "As in `tcp`, for this listener's connections. For `bypass` alone."},
	{0},
};

static const struct schema_key tcp_keys[] = {
	{.name = "rx_buffer",
		.type = SCHEMA_BYTES,
		FIELD(config_tcp, rx_buffer_bytes),
		.min = K(16),
		.max = M(64),
		.initial = "256K",
		.help = "What each connection may have received and not yet read: the largest window it "
			"offers. At "
			"least limits.frame_max and 8 bytes, so that a frame can always be completed."},
	{.name = "tx_buffer",
		.type = SCHEMA_BYTES,
		FIELD(config_tcp, tx_buffer_bytes),
		.min = K(16),
		.max = M(64),
		.initial = "256K",
		.help = "What each connection may have written and not yet seen acknowledged."},
	{.name = "rto_min",
		.type = SCHEMA_DURATION,
		FIELD(config_tcp, rto_us_min),
		.min = MS(1),
		.max = S(60),
		.unit = 1,
		.initial = "200ms",
		.help = "The shortest retransmission timeout (RFC 6298). Below the peers' delayed "
			"acknowledgements "
			"(40ms on Linux) it resends in vain."},
	{.name = "delayed_ack",
		.type = SCHEMA_DURATION,
		FIELD(config_tcp, delayed_ack_us),
		.max = MS(500),
		.unit = 1,
		.initial = "200ms",
		.help = "The longest that an acknowledgement may wait for data to travel with (RFC 9293 "
			"allows 500ms). It waits for a round trip, 40ms where that is less; every second "
			"full "
			"segment, and the first ones after the start, a loss or a pause, are acknowledged at "
			"once. 0: each segment is."},
	{.name = "keepalive",
		.type = SCHEMA_DURATION,
		FIELD(config_tcp, keepalive_us),
		.max = S(86400),
		.unit = 1,
		.initial = "0",
		.help = "Idle time after which TCP probes a peer. 0: never; AMQP's heartbeats find dead "
			"peers sooner."},
	{.name = "congestion",
		.type = SCHEMA_WORD,
		FIELD(config_tcp, congestion),
		.words = congestion_words,
		.initial = "cubic",
		.help = "How connections share a path with others: `cubic` (RFC 9438), `newreno` (RFC 5681), "
			"or "
			"`none` for a link that nobody else uses: the peer's window alone limits them, "
			"losses "
			"are still repaired."},
	{.name = "ecn",
		.type = SCHEMA_WORD,
		FIELD(config_tcp, ecn),
		.words = ecn_words,
		.initial = "accept",
		.help = "Explicit congestion notification (RFC 3168): `accept` where the peer asks for it, "
			"`on` "
			"asks too where Godwit opens the connection, `off` never."},
	{.name = "nodelay",
		.type = SCHEMA_BOOL,
		FIELD(config_tcp, nodelay),
		.initial = "true",
		.help = "Whether a small segment leaves although earlier ones are not acknowledged. `false` "
			"is Nagle's "
			"algorithm: fewer segments, later. Kernel sockets never wait."},
	{.name = "user_timeout",
		.type = SCHEMA_DURATION,
		FIELD(config_tcp, user_timeout_us),
		.min = MS(100),
		.max = S(3600),
		.unit = 1,
		.initial = "5min",
		.help = "A connection whose peer acknowledges nothing for so long is given up (RFC 5482)."},
	{.name = "sack",
		.type = SCHEMA_BOOL,
		FIELD(config_tcp, sack),
		.initial = "true",
		.help = "Whether selective acknowledgements (RFC 2018) are offered and taken."},
	{.name = "timestamps",
		.type = SCHEMA_BOOL,
		FIELD(config_tcp, timestamps),
		.initial = "true",
		.help = "Whether timestamps (RFC 7323) are spoken where the peer has them too: they measure "
			"round trips, "
			"and protect against old duplicates, for 12 bytes a segment."},
	{.name = "initial_window",
		.type = SCHEMA_COUNT,
		FIELD(config_tcp, initial_window_segments),
		.min = 1,
		.max = 64,
		.initial = "10",
		.help = "Segments that may leave before the first acknowledgement (RFC 6928)."},
	{.name = "syn_backlog",
		.type = SCHEMA_COUNT,
		FIELD(config_tcp, syn_backlog),
		.min = 1,
		.max = 1048576,
		.initial = "1024",
		.help = "Half-open connections of a port at once. What comes beyond is as `syn_cookies` "
			"says."},
	{.name = "syn_cookies",
		.type = SCHEMA_WORD,
		FIELD(config_tcp, syn_cookies),
		.words = cookie_words,
		.initial = "auto",
		.help = "Requests that cost no memory (RFC 4987): `auto` while `syn_backlog` is used up, "
			"`always`, or "
			"`never`: then a new half-open connection displaces the oldest."},
	{.name = "time_wait",
		.type = SCHEMA_DURATION,
		FIELD(config_tcp, time_wait_us),
		.min = MS(1),
		.max = S(240),
		.unit = 1,
		.initial = "60s",
		.help = "How long a connection that the broker closed first is remembered (2 MSL)."},
	{.name = "time_wait_max",
		.type = SCHEMA_COUNT,
		FIELD(config_tcp, time_wait_max),
		.min = 1,
		.max = 1048576,
		.initial = "1024",
		.help = "How many of them a port remembers; beyond, the oldest is forgotten early."},
	{.name = "challenge_acks",
		.type = SCHEMA_COUNT,
		FIELD(config_tcp, challenge_acks_per_s),
		.min = 1,
		.max = 1000000,
		.initial = "1000",
		.help = "How many a second a port sends in answer to what may be a blind attack (RFC 5961)."},
	{.name = "challenge_interval",
		.type = SCHEMA_DURATION,
		FIELD(config_tcp, challenge_interval_us),
		.min = MS(1),
		.max = S(60),
		.unit = 1,
		.initial = "500ms",
		.help = "The least time between two of them on one connection."},
	{.name = "busy_poll",
		.type = SCHEMA_DURATION,
		FIELD(config_tcp, busy_poll_us),
		.max = MS(10),
		.unit = 1,
		.initial = "0",
		.help = "How long the kernel polls the NIC for a kernel socket before it sleeps "
			"(SO_BUSY_POLL). 0: as the host is set; drivers without it ignore this."},
	{0},
};

static const struct schema_key limit_keys[] = {
	{.name = "connections",
		.type = SCHEMA_COUNT,
		FIELD(config_limits, connections),
		.min = 1,
		.max = 1048576,
		.initial = "4096",
		.help = "Client connections at once, all listeners together."},
	{.name = "channels",
		.type = SCHEMA_COUNT,
		FIELD(config_limits, channels),
		.min = 1,
		.max = 2047,
		.initial = "2047",
		.help = "Channels of one connection: the channel-max that is proposed."},
	{.name = "frame_max",
		.type = SCHEMA_BYTES,
		FIELD(config_limits, frame_bytes_max),
		.min = 4096,
		.max = M(16),
		.initial = "128K",
		.help = "The largest AMQP frame: the frame-max that is proposed."},
	{.name = "message_size",
		.type = SCHEMA_BYTES,
		FIELD(config_limits, message_bytes_max),
		.min = 4096,
		.max = G(4),
		.initial = "128M",
		.reloadable = true,
		.help = "The largest message body. Not above memory.messages, which is also its default "
			"where "
			"that is less."},
	{.name = "heartbeat",
		.type = SCHEMA_DURATION,
		FIELD(config_limits, heartbeat_s),
		.max = S(65535),
		.unit = S(1),
		.initial = "60s",
		.reloadable = true,
		.help = "The heartbeat interval that is proposed to clients, in whole seconds. 0: none."},
	{.name = "handshake_timeout",
		.type = SCHEMA_DURATION,
		FIELD(config_limits, handshake_timeout_us),
		.min = MS(100),
		.max = S(600),
		.unit = 1,
		.initial = "10s",
		.reloadable = true,
		.help = "How long a client may take from connecting to connection.open."},
	{.name = "consumer_timeout",
		.type = SCHEMA_DURATION,
		FIELD(config_limits, consumer_timeout_us),
		.max = S(86400),
		.unit = 1,
		.initial = "30min",
		.help = "How long a client may take to settle a delivery, looked at once a minute. A channel "
			"that "
			"takes longer is closed with 406, and its messages go back. 0: as long as it likes."},
	{.name = "queues",
		.type = SCHEMA_COUNT,
		FIELD(config_limits, queues),
		.min = 1,
		.max = 16777216,
		.initial = "65536",
		.help = "Queues, all together."},
	{.name = "exchanges",
		.type = SCHEMA_COUNT,
		FIELD(config_limits, exchanges),
		.min = 16,
		.max = 1048576,
		.initial = "4096",
		.help = "Exchanges, the predeclared ones included."},
	{.name = "bindings",
		.type = SCHEMA_COUNT,
		FIELD(config_limits, bindings),
		.min = 16,
		.max = 67108864,
		.initial = "1048576",
		.help = "Bindings of queues to exchanges, all together. Each that exists takes some 200 "
			"bytes (fanout) to "
			"550 (topic, headers), and 2 KiB at the very most."},
	{.name = "consumers",
		.type = SCHEMA_COUNT,
		FIELD(config_limits, consumers),
		.min = 1,
		.max = 16777216,
		.initial = "65536",
		.help = "Consumers, all together."},
	{.name = "deduplication",
		.type = SCHEMA_COUNT,
		FIELD(config_limits, deduplication),
		.min = 1,
		.max = 67108864,
		.initial = "1048576",
		.help = "Values that are remembered for x-message-deduplication, all together: x-cache-size "
			"of "
			"each such exchange; for each such queue as many as its messages have, and 64 at "
			"least. Exchanges and queues that do not fit are refused. A message that does not "
			"comes into its queue, but its value is not remembered: others with it may follow "
			"(counted: values_unwatched). Each that is remembered takes some 90 bytes."},
	{.name = "messages",
		.type = SCHEMA_COUNT,
		FIELD(config_limits, messages),
		.min = 1024,
		.max = 1073741824,
		.automatic = true,
		.initial = "auto",
		.help = "Messages in memory at once, however small; publishers are slowed down before. "
			"`auto`, "
			"and at most, one for each 32 bytes of memory.messages: as many as there is memory "
			"for, in other words."},
	{0},
};

static const struct schema_key user_keys[] = {
	{.name = "name",
		.type = SCHEMA_TEXT,
		FIELD(config_user, name),
		.required = true,
		.help = "The name that the user logs in with, unique."},
	{.name = "password",
		.type = SCHEMA_SECRET,
		FIELD(config_user, password),
		.note = "none; one of password and password_hash is required",
		.help = "The password in clear. Let nobody but the broker's administrator read such a file "
			"(mode 0600)."},
	{.name = "password_hash",
		.type = SCHEMA_HASH,
		FIELD(config_user, password_hash),
		.note = "none; one of password and password_hash is required",
		.help = "The password as a crypt(3) string: yescrypt, bcrypt, SHA-512 or SHA-256. `mkpasswd` "
			"(package "
			"whois) or `openssl passwd -6` makes one; put it in single quotes."},
	{0},
};

static const struct schema_key vhost_keys[] = {
	{.name = "name",
		.type = SCHEMA_TEXT,
		FIELD(config_vhost, name),
		.required = true,
		.help = "The name that clients open, unique."},
	{0},
};

static const struct schema_key permission_keys[] = {
	{.name = "user",
		.type = SCHEMA_TEXT,
		FIELD(config_permission, user),
		.required = true,
		.help = "The name of one of `users`."},
	{.name = "vhost",
		.type = SCHEMA_TEXT,
		FIELD(config_permission, vhost),
		.required = true,
		.help = "The name of one of `vhosts`."},
	{.name = "configure",
		.type = SCHEMA_TEXT,
		FIELD(config_permission, configure),
		.note = "nothing",
		.help = "A regular expression (PCRE2, not anchored): the exchanges and queues that the user "
			"may declare and delete. `.*` is all of them, also those whose name the broker "
			"makes, which begins with `amq.gen-`."},
	{.name = "write",
		.type = SCHEMA_TEXT,
		FIELD(config_permission, write),
		.note = "nothing",
		.help = "What the user may publish to, and bind to something. The default exchange's name is "
			"`amq.default` here."},
	{.name = "read",
		.type = SCHEMA_TEXT,
		FIELD(config_permission, read),
		.note = "nothing",
		.help = "What the user may consume from, get from and purge, and bind from."},
	{0},
};

static const struct schema_key control_keys[] = {
	{.name = "socket",
		.type = SCHEMA_PATH,
		FIELD(config_control, socket),
		.automatic = true,
		.initial = "auto",
		.help = "The local socket that godwitctl talks to. `auto` is /run/godwit/control.sock for "
			"root, else "
			"godwit.sock in $XDG_RUNTIME_DIR, else /tmp/godwit-UID/control.sock."},
	{.name = "mode",
		.type = SCHEMA_MODE,
		FIELD(config_control, mode),
		.max = 0777,
		.initial = "0660",
		.help = "The socket's permissions: whoever may write to it controls the broker."},
	{0},
};

static const struct schema_key log_keys[] = {
	{.name = "level",
		.type = SCHEMA_WORD,
		FIELD(config_log, level),
		.words = level_words,
		.initial = "info",
		.reloadable = true,
		.help = "The least important lines that are still written."},
	{.name = "target",
		.type = SCHEMA_WORD,
		FIELD(config_log, target),
		.words = target_words,
		.initial = "stderr",
		.help = "Where lines go. `syslog` reaches journald as well."},
	{.name = "eal",
		.type = SCHEMA_BOOL,
		FIELD(config_log, eal),
		.initial = "false",
		.help = "Whether the lines of DPDK's EAL and drivers are written too."},
	{0},
};

#define SECTION(section) .name = #section, .offset = offsetof(struct config, section)
#define LIST(section, count, n)                                                                       \
	.name = #section, .list = true, .offset = offsetof(struct config, section), .entries_max = n, \
	.entry_bytes = sizeof(((struct config *)0)->section[0]),                                      \
	.count_offset = offsetof(struct config, count)

/* Ports stand before listeners, which refer to them. */
const struct schema_section schema_sections[] = {
	{.name = "", .keys = top_keys, .help = "What stands at the top of the file."},
	{SECTION(memory), .keys = memory_keys, .help = "What is taken at start. Nothing grows later."},
	{LIST(ports, port_count, CONFIG_PORTS_MAX), .keys = port_keys,
		.note = "one TAP, `godwit0`, unless `listeners` is given and has none on the bypass path",
		.help = "The devices that the broker drives itself, past the kernel."},
	{LIST(listeners, listener_count, CONFIG_LISTENERS_MAX), .keys = listener_keys,
		.note = "one on each port, and one on 127.0.0.1 through the kernel, all with TCP port 5672",
		.help = "Where AMQP clients connect."},
	{SECTION(tcp), .keys = tcp_keys, .help = "The broker's own TCP, on the bypass path."},
	{SECTION(limits), .keys = limit_keys,
		.help = "What clients may use. Past a limit the client that asks is refused, with AMQP's "
			"error for it."},
	{LIST(users, user_count, CONFIG_USERS_MAX), .reloadable = true, .keys = user_keys,
		.note = "none: then guest with the password guest may log in, from loopback and from a TAP's "
			"own "
			"link alone",
		.help = "Who may log in."},
	{LIST(vhosts, vhost_count, CONFIG_VHOSTS_MAX), .keys = vhost_keys, .note = "one, `/`",
		.help = "Virtual hosts: each has exchanges and queues of its own, whatever their names. "
			"`limits` are those of all of them together."},
	{LIST(permissions, permission_count, CONFIG_PERMISSIONS_MAX), .reloadable = true,
		.keys = permission_keys,
		.note = "none: then every user may do everything in every virtual host",
		.help = "What users may do, and where. With the first of them, whoever has none in a virtual "
			"host may not open it. A connection keeps what it had when it was opened. "
			"A reload that leaves none is refused."},
	{SECTION(control), .keys = control_keys, .help = "The local control socket."},
	{SECTION(log), .keys = log_keys, .help = "Log lines, one an event."},
	{0},
};

const struct schema_section *schema_section(const char *name)
{
	for (const struct schema_section *s = schema_sections; s->name; s++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

const struct schema_key *schema_key(const struct schema_section *s, const char *name)
{
	for (const struct schema_key *k = s->keys; k->name; k++)
		if (strcmp(k->name, name) == 0)
			return k;
	return NULL;
}

uint32_t schema_count(const struct schema_section *s, const struct config *c)
{
	uint32_t count = 1;
	if (s->list)
		memcpy(&count, (const char *)c + s->count_offset, sizeof(count));
	return count;
}
