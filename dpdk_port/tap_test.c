/* SPDX-License-Identifier: Apache-2.0 */
/* A TAP port in a network namespace of its own, with the kernel as its peer: the process unshares at once,
 * and the namespace goes with it. Each port lives in a child process (EAL starts once a process), where a
 * data core answers ARP and ICMP echo. As root a TAP that cannot be made is a failure. */
#include "dpdk_port/eal.h"
#include "dpdk_port/one_user_test.h"
#include "dpdk_port/port.h"
#include "dpdk_port/privileges.h"
#include "dpdk_port/rtnetlink.h"
#include "dpdk_port/tap.h"
#include "runtime/clock.h"
#include "runtime/wire.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	HOST_ADDRESS = 0xc6120001, /* 198.18.0.1 */
	OUR_ADDRESS = 0xc6120002,
	MTU = 1400,
	PINGS = 200,
	ETHER_IPV4 = 0x0800,
	ETHER_ARP = 0x0806,
	WAIT_MS = 10000,
};

static const struct tap_host host = {.interface = "gwtest0",
	.interface_key = "ports[0].interface",
	.address = HOST_ADDRESS,
	.prefix = 30,
	.address_key = "ports[0].host",
	.mtu = MTU};

/* What the serving child and the test see of each other. */
struct shared {
	unsigned queues; /* in */
	bool drop;	 /* in: serve as an ordinary user */
	bool block;	 /* in: with all signals blocked */
	bool ready;	 /* out */
	bool stop;	 /* in */
	int privileges;	 /* out: what privileges_drop said */
	unsigned arp, icmp;
	uint64_t sleeps;
	struct port_info info;
	struct port_counters counters;
	struct port_device_counters device;
	bool link_up;
	char error[512];
};

struct server {
	struct shared *shared;
	struct port *port;
};

static struct shared *shared;
static char error[512];

static void mac_swap(uint8_t *frame, const uint8_t mac[PORT_MAC_BYTES])
{
	for (unsigned i = 0; i < PORT_MAC_BYTES; i++) {
		frame[i] = frame[i + PORT_MAC_BYTES];
		frame[i + PORT_MAC_BYTES] = mac[i];
	}
}

/* Makes a frame its own answer. Whether there is one. */
static bool answer(struct shared *s, uint8_t *f, unsigned n)
{
	if (n >= 42 && wire_get16(f + 12) == ETHER_ARP && wire_get32(f + 38) == OUR_ADDRESS) {
		s->arp++;
		mac_swap(f, s->info.mac);
		wire_put16(f + 20, 2);
		memmove(f + 32, f + 22, 10);
		memcpy(f + 22, s->info.mac, 6);
		wire_put32(f + 28, OUR_ADDRESS);
		return true;
	}
	if (n >= 42 && wire_get16(f + 12) == ETHER_IPV4 && f[23] == IPPROTO_ICMP && f[34] == 8) {
		s->icmp++;
		mac_swap(f, s->info.mac);
		uint32_t source = wire_get32(f + 26);
		wire_put32(f + 26, wire_get32(f + 30));
		wire_put32(f + 30, source);
		f[34] = 0;
		/* The checksum grows by what the type shrank by: 0x0800, with the carry carried. */
		uint32_t sum = wire_get16(f + 36) + 0x0800u;
		wire_put16(f + 36, (uint16_t)(sum + (sum >> 16)));
		return true;
	}
	return false;
}

static unsigned queue_serve(struct server *s, unsigned queue)
{
	struct rte_mbuf *frames[PORT_BURST], *answers[PORT_BURST];
	unsigned n = 0, got = port_rx(s->port, queue, frames, PORT_BURST);

	for (unsigned i = 0; i < got; i++) {
		uint8_t *f = rte_pktmbuf_mtod(frames[i], uint8_t *);
		if (answer(s->shared, f, frames[i]->data_len))
			answers[n++] = frames[i];
		else
			rte_pktmbuf_free(frames[i]);
	}
	unsigned taken = port_tx(s->port, queue, answers, n);
	rte_pktmbuf_free_bulk(answers + taken, n - taken);
	port_tx_flush(s->port, queue, clock_now_us());
	return got;
}

static int serve(void *context)
{
	struct server *s = context;
	unsigned queues = s->shared->queues;
	struct pollfd wait[2];

	for (unsigned i = 0; i < queues; i++)
		wait[i] = (struct pollfd){.fd = port_rx_fd(s->port, i), .events = POLLIN};
	while (!__atomic_load_n(&s->shared->stop, __ATOMIC_ACQUIRE)) {
		unsigned got = 0;
		for (unsigned i = 0; i < queues; i++)
			got += queue_serve(s, i);
		if (got == 0 && poll(wait, queues, 20) == 0)
			s->shared->sleeps++;
	}
	return 0;
}

static int server_open(struct server *s)
{
	const struct eal_options eal = {.memory_mb = 64, .data_cores = 1};
	const struct port_config config = {.device = "net_tap0,iface=gwtest0",
		.queues = s->shared->queues,
		.mtu = MTU,
		.offloads = PORT_OFFLOADS_ALL,
		.wait_on_fd = true};
	char *words = s->shared->error;
	size_t room = sizeof(s->shared->error);

	int rc = dpdk_eal_start(&eal, words, room);
	if (rc == 0)
		rc = port_open(&config, &s->port, words, room);
	if (rc == 0)
		rc = tap_host_address_add(&host, words, room);
	if (rc == 0 && s->shared->drop)
		rc = s->shared->privileges = privileges_drop("nobody", words, room);
	return rc;
}

/* The child's life. */
static int server_run(struct shared *s)
{
	struct server server = {.shared = s};
	sigset_t all;

	sigfillset(&all);
	if (s->block)
		sigprocmask(SIG_SETMASK, &all, NULL);
	if (server_open(&server))
		return 1;
	s->info = *port_info(server.port);
	s->link_up = port_link(server.port).up;
	if (dpdk_core_launch(0, serve, &server))
		return 1;
	__atomic_store_n(&s->ready, true, __ATOMIC_RELEASE);
	dpdk_core_join(0);
	port_counters(server.port, &s->counters);
	port_device_counters(server.port, &s->device);
	port_close(server.port);
	dpdk_eal_stop();
	return 0;
}

static pid_t server_start(struct shared wish)
{
	*shared = wish;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		exit(server_run(shared));
	for (int ms = 0; ms < WAIT_MS && !__atomic_load_n(&shared->ready, __ATOMIC_ACQUIRE); ms++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			break;
		usleep(1000);
	}
	if (!shared->ready)
		printf("# the port did not come up: %s\n", shared->error);
	return pid;
}

static int server_stop(pid_t pid)
{
	int status = -1;

	__atomic_store_n(&shared->stop, true, __ATOMIC_RELEASE);
	waitpid(pid, &status, 0);
	return status;
}

static uint16_t checksum(const uint8_t *p, unsigned n)
{
	uint32_t sum = 0;
	for (unsigned i = 0; i < n; i += 2)
		sum += wire_get16(p + i);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* Sends n echo requests of bytes, one after the other; how many came back. */
static unsigned pings(unsigned n, unsigned bytes)
{
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(OUR_ADDRESS)};
	struct timeval patience = {.tv_sec = 2};
	uint8_t packet[2048] = {8}, back[2048];
	unsigned answered = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (unsigned i = 0; i < n; i++) {
		wire_put16(packet + 2, 0);
		wire_put16(packet + 6, (uint16_t)i);
		wire_put16(packet + 2, checksum(packet, bytes));
		if (sendto(fd, packet, bytes, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
			break;
		ssize_t got = recv(fd, back, sizeof(back), 0);
		answered += got == (ssize_t)bytes + 20 && back[20] == 0 && wire_get16(back + 26) == i &&
			    checksum(back + 20, bytes) == 0;
	}
	close(fd);
	return answered;
}

/* The kernel's own counts of the interface. */
static bool kernel_counts(uint64_t *rx, uint64_t *tx)
{
	char line[512];
	bool found = false;
	FILE *f = fopen("/proc/self/net/dev", "r");

	while (f && !found && fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');
		if (!colon || !strstr(line, host.interface))
			continue;
		unsigned long long v[10];
		found = sscanf(colon + 1, "%llu %llu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1],
				&v[2], &v[3], &v[4], &v[5], &v[6], &v[7], &v[8], &v[9]) == 10;
		*rx = v[1];
		*tx = v[9];
	}
	if (f)
		fclose(f);
	return found;
}

static int route_add(uint32_t network, unsigned prefix, unsigned type, const char *interface)
{
	struct rtnetlink_request r;
	struct rtmsg route = {.rtm_family = AF_INET,
		.rtm_dst_len = (uint8_t)prefix,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_LINK,
		.rtm_type = (uint8_t)type};
	uint32_t to = htonl(network), index = interface ? if_nametoindex(interface) : 0;

	rtnetlink_begin(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route, sizeof(route));
	rtnetlink_add(&r, RTA_DST, &to, sizeof(to));
	if (index)
		rtnetlink_add(&r, RTA_OIF, &index, sizeof(index));
	return rtnetlink_run(&r);
}

static int check_at(uint32_t address, unsigned prefix)
{
	struct tap_host h = host;
	h.address = address;
	h.prefix = prefix;
	return tap_host_check(&h, error, sizeof(error));
}

static void test_free_namespace_is_fine(void)
{
	CU_ASSERT_EQUAL(tap_host_check(&host, error, sizeof(error)), 0);
	CU_ASSERT_STRING_EQUAL(error, "");
}

static void test_arguments(void)
{
	static const char *const names[] = {"", "sixteen-letters0", "a b", "a/b", ".", "a:b"};
	struct tap_host h = host;

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		h.interface = names[i];
		CU_ASSERT_EQUAL(tap_host_check(&h, error, sizeof(error)), -EINVAL);
		CU_ASSERT_PTR_NOT_NULL(strstr(error, "ports[0].interface"));
	}
	CU_ASSERT_EQUAL(check_at(HOST_ADDRESS, 31), -EINVAL);
	CU_ASSERT_EQUAL(check_at(HOST_ADDRESS - 1, 30), -EINVAL);
	CU_ASSERT_EQUAL(check_at(HOST_ADDRESS + 2, 30), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "ports[0].host"));
}

static void test_interface_in_use_is_named(void)
{
	struct tap_host h = host;
	h.interface = "lo";
	CU_ASSERT_EQUAL(tap_host_check(&h, error, sizeof(error)), -EEXIST);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "ports[0].interface"));
}

static void test_overlap_names_its_holder(void)
{
	const struct tap_host lo = {
		.interface = "lo", .address = 0x0a630101, .prefix = 24, .address_key = "key", .mtu = 65536};

	CU_ASSERT_EQUAL_FATAL(tap_host_address_add(&lo, error, sizeof(error)), 0);
	CU_ASSERT_EQUAL(check_at(0x0a630105, 30), -EADDRINUSE); /* inside an address's subnet */
	CU_ASSERT_STRING_EQUAL(
		error, "10.99.1.4/30 overlaps 10.99.1.0/24 on lo: choose another subnet with ports[0].host");
	CU_ASSERT_EQUAL(check_at(0x0a630001, 16), -EADDRINUSE); /* around it */
	CU_ASSERT_EQUAL(check_at(0x0a630201, 24), 0);		/* beside it */

	CU_ASSERT_EQUAL(route_add(0x0a640000, 16, RTN_UNICAST, "lo"), 0);
	CU_ASSERT_EQUAL(check_at(0x0a640105, 30), -EADDRINUSE);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "overlaps 10.100.0.0/16 on lo"));
	CU_ASSERT_EQUAL(route_add(0x0a650000, 16, RTN_BLACKHOLE, NULL), 0);
	CU_ASSERT_EQUAL(check_at(0x0a650105, 30), -EADDRINUSE);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "overlaps 10.101.0.0/16 on no interface"));
	CU_ASSERT_EQUAL(route_add(0, 0, RTN_UNICAST, "lo"), 0); /* the default route is in nobody's way */
	CU_ASSERT_EQUAL(tap_host_check(&host, error, sizeof(error)), 0);
}

static void test_not_permitted(void)
{
	if (one_user_only()) {
		CU_PASS("there is nobody to become");
		return;
	}
	pid_t pid = fork();
	if (pid == 0)
		_exit(privileges_drop("nobody", error, sizeof(error)) == 0 &&
					tap_host_check(&host, error, sizeof(error)) < 0 && error[0]
				? 0
				: 1);
	int status;
	waitpid(pid, &status, 0);
	CU_ASSERT_EQUAL(status, 0);
}

static void echo_session(struct shared wish)
{
	uint64_t kernel_rx, kernel_tx;
	pid_t pid = server_start(wish);

	CU_ASSERT_TRUE_FATAL(shared->ready);
	uint64_t began = clock_now_us();
	CU_ASSERT_EQUAL(pings(PINGS, 64), PINGS);
	printf("# an echo took %.1f us\n", (double)(clock_now_us() - began) / PINGS);
	CU_ASSERT_EQUAL(pings(1, MTU - 20), 1);
	CU_ASSERT(kernel_counts(&kernel_rx, &kernel_tx));
	uint64_t now = clock_now_us();
	while (clock_now_us() < now + 100000)
		usleep(1000);
	CU_ASSERT(kernel_counts(&kernel_rx, &kernel_tx));
	CU_ASSERT_EQUAL(server_stop(pid), 0);

	CU_ASSERT_EQUAL(shared->icmp, PINGS + 1);
	CU_ASSERT(shared->arp >= 1);
	CU_ASSERT_EQUAL(shared->counters.tx_frames, shared->icmp + shared->arp);
	CU_ASSERT_EQUAL(shared->counters.tx_frames, kernel_rx);
	/* The kernel may have said something about IPv6 between its count and our stop. */
	CU_ASSERT(shared->counters.rx_frames >= kernel_tx && shared->counters.rx_frames <= kernel_tx + 2);
	/* Each queue gets a frame that is for all, as a copy. */
	CU_ASSERT(shared->counters.rx_frames + shared->counters.spread_given >= shared->icmp + shared->arp);
	CU_ASSERT_EQUAL(shared->device.rx_frames, shared->counters.rx_frames);
	CU_ASSERT_EQUAL(shared->device.tx_frames, shared->counters.tx_frames);
	CU_ASSERT_EQUAL(shared->counters.tx_stuck + shared->counters.tx_too_long, 0);
	CU_ASSERT(shared->sleeps > 0);
	CU_ASSERT_EQUAL(if_nametoindex(host.interface), 0);
}

static void test_echo(void)
{
	echo_session((struct shared){.queues = 1});
	CU_ASSERT(shared->link_up);
	CU_ASSERT_STRING_EQUAL(shared->info.driver, "net_tap");
	CU_ASSERT(shared->info.offloads & PORT_TX_MULTI_SEGMENT);
	CU_ASSERT(!(shared->info.offloads & PORT_TX_TSO));
	uint8_t mac[PORT_MAC_BYTES];
	port_mac_derive(host.interface, mac);
	CU_ASSERT_EQUAL(memcmp(shared->info.mac, mac, PORT_MAC_BYTES), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(shared->info.device_mac, mac, PORT_MAC_BYTES), 0);
}

static void test_echo_without_privileges(void)
{
	echo_session((struct shared){.queues = 1, .drop = !one_user_only()});
	CU_ASSERT_EQUAL(shared->privileges, 0);
}

static void test_echo_with_signals_blocked(void)
{
	echo_session((struct shared){.queues = 1, .block = true});
}

static void test_echo_over_two_queues(void)
{
	echo_session((struct shared){.queues = 2});
	CU_ASSERT_EQUAL(shared->info.queues, 2);
}

static void test_kill_leaves_no_interface(void)
{
	pid_t pid = server_start((struct shared){.queues = 1});

	CU_ASSERT_TRUE_FATAL(shared->ready);
	CU_ASSERT_NOT_EQUAL(if_nametoindex(host.interface), 0);
	CU_ASSERT_EQUAL(tap_host_check(&host, error, sizeof(error)), -EEXIST);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CU_ASSERT_EQUAL(if_nametoindex(host.interface), 0);
	CU_ASSERT_EQUAL(tap_host_check(&host, error, sizeof(error)), 0);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"free_namespace_is_fine", test_free_namespace_is_fine},
		{"arguments", test_arguments},
		{"interface_in_use_is_named", test_interface_in_use_is_named},
		{"overlap_names_its_holder", test_overlap_names_its_holder},
		{"not_permitted", test_not_permitted},
		{"echo", test_echo},
		{"echo_without_privileges", test_echo_without_privileges},
		{"echo_with_signals_blocked", test_echo_with_signals_blocked},
		{"echo_over_two_queues", test_echo_over_two_queues},
		{"kill_leaves_no_interface", test_kill_leaves_no_interface},
		{NULL, NULL},
	};
	if (geteuid() != 0) {
		printf("TAP version 13\n1..0 # SKIP a TAP in a namespace of its own needs root\n");
		return 0;
	}
	if (unshare(CLONE_NEWNET)) {
		printf("Bail out! no network namespace as root: %s\n", strerror(errno));
		return 1;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return shared == MAP_FAILED ? 1 : unit_main(argc, argv, tests);
}
