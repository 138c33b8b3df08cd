/* SPDX-License-Identifier: Apache-2.0 */
/* dpdk_port over the driver and the model: what port_open makes of an 82599, on one queue and on many. */
#include "dpdk_port/eal.h"
#include "dpdk_port/port.h"
#include "dpdk_port/port_pool.h"
#include "tests/ixgbe_model/model.h"
#include "tests/ixgbe_model/test_packet.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <rte_ethdev.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char address[] = "0000:03:00.0";
static const uint8_t device_mac[6] = {2, 0, 0, 0, 3, 1};

struct bench {
	struct ixm *device;
	struct port *port;
	struct rte_mempool *frames;
};

static void open_port(struct bench *b, struct port_config c)
{
	const struct eal_options o = {.memory_mb = 384, .data_cores = 1};
	struct ixm_config device = {.address = address, .interrupts = c.wait_on_fd};
	char error[512] = "";

	if (!dpdk_eal_running() && dpdk_eal_start(&o, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_FATAL(dpdk_eal_running());
	memcpy(device.mac, device_mac, 6);
	if (ixm_open(&device, &b->device, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b->device);
	b->frames = port_pool_create("frames", 2047, port_pool_room(9000), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b->frames);
	c.device = address;
	c.queues = c.queues ? c.queues : 1;
	if (port_open(&c, &b->port, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b->port);
	ixm_wire_loop(b->device);
	ixm_settle();
}

static void close_port(struct bench *b)
{
	struct ixm_dma_fault fault;
	struct ixm_counters count;

	port_close(b->port);
	ixm_dma_fault(b->device, &fault);
	ixm_counters(b->device, &count);
	if (fault.count)
		printf("# %lu accesses to memory that is not mapped, first %#lx of kind %d\n",
			(unsigned long)fault.count, (unsigned long)fault.address, (int)fault.kind);
	CU_ASSERT_EQUAL(fault.count, 0);
	CU_ASSERT_EQUAL(count.tx_malformed, 0);
	ixm_close(b->device);
	CU_ASSERT(unit_pool_full(b->frames));
	rte_mempool_free(b->frames);
}

static struct rte_mbuf *frame_make(struct bench *b, const struct test_packet *p)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(b->frames);
	uint8_t frame[IXM_FRAME_BYTES_MAX];

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	unsigned n = test_packet_write(frame, port_info(b->port)->mac, p);
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
	return m;
}

static struct test_packet flow(unsigned i)
{
	return (struct test_packet){.protocol = TP_TCP,
		.source = {10, 0, (uint8_t)(i >> 8), (uint8_t)i},
		.destination = {10, 1, 0, 1},
		.source_port = (uint16_t)(40000 + i),
		.destination_port = 5672,
		.payload = 100,
		.mark = i};
}

static void send_all(struct bench *b, unsigned queue, struct rte_mbuf **frames, unsigned n)
{
	CU_ASSERT_EQUAL_FATAL(port_tx(b->port, queue, frames, n), n);
	for (unsigned i = 0; i < 10 && port_tx_flush(b->port, queue, 1); i++)
		ixm_settle();
	ixm_settle();
}

static unsigned drain(struct bench *b, unsigned queue)
{
	struct rte_mbuf *frames[PORT_BURST];
	unsigned total = 0;

	for (unsigned idle = 0; idle < 2; idle++) {
		unsigned n = port_rx(b->port, queue, frames, PORT_BURST);
		total += n;
		rte_pktmbuf_free_bulk(frames, n);
		ixm_settle();
		if (n)
			idle = 0;
	}
	return total;
}

static void test_open_says_what_it_is(void)
{
	struct bench b;

	open_port(&b, (struct port_config){.offloads = PORT_OFFLOADS_ALL | PORT_TX_TSO});
	const struct port_info *i = port_info(b.port);
	CU_ASSERT_STRING_EQUAL(i->driver, "net_ixgbe");
	CU_ASSERT_STRING_EQUAL(i->device, address);
	CU_ASSERT_EQUAL(memcmp(i->mac, device_mac, 6), 0);
	CU_ASSERT_EQUAL(i->offloads, PORT_OFFLOADS_ALL | PORT_TX_TSO);
	CU_ASSERT_EQUAL(i->device_offloads, PORT_OFFLOADS_ALL | PORT_TX_TSO);
	CU_ASSERT_EQUAL(i->tx_segments_max, 40);
	CU_ASSERT_FALSE(i->promiscuous);
	CU_ASSERT_TRUE(port_link(b.port).up);
	CU_ASSERT_EQUAL(port_link(b.port).speed_mbps, 10000);
	close_port(&b);
}

static unsigned owner(const struct bench *b, const struct test_packet *p)
{
	uint8_t addresses[8], ports[4] = {(uint8_t)(p->source_port >> 8), (uint8_t)p->source_port,
				      (uint8_t)(p->destination_port >> 8), (uint8_t)p->destination_port};

	memcpy(addresses, p->source, 4);
	memcpy(addresses + 4, p->destination, 4);
	return port_owner(b->port, false, addresses, ports);
}

/* What reaches each core is its own, all of it. Returns how many frames that were. */
static unsigned own_frames(struct bench *b, unsigned cores)
{
	struct rte_mbuf *frames[PORT_BURST];
	unsigned total = 0;

	for (unsigned core = 0; core < cores; core++)
		for (unsigned idle = 0; idle < 2; idle++) {
			unsigned n = port_rx(b->port, core, frames, PORT_BURST);
			for (unsigned i = 0; i < n; i++) {
				uint32_t mark;
				memcpy(&mark,
					rte_pktmbuf_mtod_offset(frames[i], uint8_t *, frames[i]->pkt_len - 4),
					4);
				struct test_packet p = flow(mark);
				CU_ASSERT_EQUAL(owner(b, &p), core);
			}
			rte_pktmbuf_free_bulk(frames, n);
			ixm_settle();
			total += n;
			if (n)
				idle = 0;
		}
	return total;
}

/* The device's hash, key and table agree with ours on each flow: no frame has to change cores where each core
 * has a queue of the device, whichever core sends. Beyond 16 queues rings help. */
static void test_queues_share_the_flows(void)
{
	static const unsigned counts[] = {1, 4, 16, 20};
	enum { FLOWS = 512 };

	for (unsigned c = 0; c < RTE_DIM(counts); c++) {
		struct bench b;
		struct port_counters sum;
		struct port_device_counters device;
		unsigned got = 0, spread[20] = {0};

		open_port(&b, (struct port_config){.queues = counts[c], .rx_descriptors = 64});
		CU_ASSERT_EQUAL(port_info(b.port)->device_queues, RTE_MIN(counts[c], 16u));
		CU_ASSERT_EQUAL(port_info(b.port)->rss, counts[c] > 1);
		for (unsigned i = 0; i < FLOWS; i++) {
			struct test_packet p = flow(i);
			struct rte_mbuf *m = frame_make(&b, &p);
			spread[owner(&b, &p)]++;
			send_all(&b, i % RTE_MIN(counts[c], 16u), &m, 1);
			if (i % 16 == 15)
				got += own_frames(&b, counts[c]) + own_frames(&b, counts[c]);
		}
		CU_ASSERT_EQUAL(got, FLOWS);
		for (unsigned q = 0; q < counts[c]; q++)
			CU_ASSERT(spread[q] > FLOWS / counts[c] / 5);
		port_counters(b.port, &sum);
		CU_ASSERT_EQUAL(sum.rx_frames, FLOWS);
		CU_ASSERT_EQUAL(sum.spread_given > 0, counts[c] > 16);
		CU_ASSERT_EQUAL(sum.spread_full, 0);
		CU_ASSERT_EQUAL(port_device_counters(b.port, &device), 0);
		CU_ASSERT_EQUAL(device.rx_frames, FLOWS);
		CU_ASSERT_EQUAL(device.tx_frames, FLOWS);
		CU_ASSERT_EQUAL(device.rx_missed + device.rx_errors, 0);
		close_port(&b);
	}
}

static void test_a_mac_of_our_own(void)
{
	struct bench b;
	uint8_t frame[60] = {2, 7, 7, 7, 7, 7};

	open_port(&b, (struct port_config){.mac = {2, 7, 7, 7, 7, 7}});
	CU_ASSERT_FALSE(port_info(b.port)->promiscuous);
	ixm_inject(b.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT_EQUAL(drain(&b, 0), 1);
	memcpy(frame, device_mac, 6);
	ixm_inject(b.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT_EQUAL(drain(&b, 0), 0);
	memcpy(frame, (uint8_t[]){0x33, 0x33, 0, 0, 0, 1}, 6);
	ixm_inject(b.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT_EQUAL(drain(&b, 0), 0);
	CU_ASSERT_EQUAL(port_take_groups(b.port), 0);
	ixm_inject(b.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT_EQUAL(drain(&b, 0), 1);
	close_port(&b);
}

static void test_long_frames(void)
{
	struct bench b;
	struct test_packet p = flow(1);

	open_port(&b, (struct port_config){.mtu = 9000});
	p.payload = 9000 - 40;
	struct rte_mbuf *m = frame_make(&b, &p), *in[PORT_BURST];
	send_all(&b, 0, &m, 1);
	CU_ASSERT_EQUAL_FATAL(port_rx(b.port, 0, in, PORT_BURST), 1);
	CU_ASSERT_EQUAL(in[0]->pkt_len, 9014);
	CU_ASSERT_TRUE(test_packet_right(rte_pktmbuf_mtod(in[0], uint8_t *), in[0]->pkt_len));
	rte_pktmbuf_free(in[0]);
	close_port(&b);
}

/* The device takes nothing more: frames wait, are refused, and in the end given up. */
static void test_a_stuck_device(void)
{
	struct bench b;
	struct test_packet p = flow(1);
	struct port_counters c;
	unsigned taken = PORT_BURST;

	open_port(&b, (struct port_config){.tx_descriptors = 64});
	ixm_faults_set(b.device, &(struct ixm_faults){.tx_stuck = true});
	while (taken == PORT_BURST) {
		struct rte_mbuf *out[PORT_BURST];
		for (unsigned i = 0; i < PORT_BURST; i++)
			out[i] = frame_make(&b, &p);
		taken = port_tx(b.port, 0, out, PORT_BURST);
		rte_pktmbuf_free_bulk(out + taken, PORT_BURST - taken);
	}
	port_tx_flush(b.port, 0, 1); /* clears what was sent since */
	CU_ASSERT_EQUAL(port_tx_flush(b.port, 0, 1000), PORT_TX_WAITING);
	CU_ASSERT_EQUAL(port_tx_flush(b.port, 0, 1000 + PORT_TX_STUCK_US), 0);
	port_counters(b.port, &c);
	CU_ASSERT_EQUAL(c.tx_stuck, PORT_TX_WAITING);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(b.frames), c.tx_frames);
	close_port(&b);
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void test_sleeping_on_a_queue(void)
{
	struct bench b;
	uint8_t frame[60];

	open_port(&b, (struct port_config){.wait_on_fd = true});
	memcpy(frame, device_mac, 6);
	int fd = port_rx_fd(b.port, 0);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(port_rx_arm(b.port, 0), 0);
	ixm_settle();
	CU_ASSERT_FALSE(readable(fd));
	ixm_inject(b.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT_TRUE(readable(fd));
	port_rx_disarm(b.port, 0);
	CU_ASSERT_EQUAL(drain(&b, 0), 1);
	close_port(&b);
}

/* ---- no system call ---- */

/* Of the thread that polls: the kernel looks at it before each of its system calls. */
static volatile char selector;
static volatile sig_atomic_t system_call;

/* The first is enough; the call is not made. The rest are allowed, the handler's own end among them. */
static void on_system_call(int signal, siginfo_t *info, void *context)
{
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	system_call = info->si_syscall;
}

struct poller {
	struct bench *b;
	unsigned moved, want;
	int error; /* errno of asking the kernel to watch */
	bool break_the_rule;
};

/* A data core's loop: what comes in goes out again. */
static void *poll_and_send(void *context)
{
	struct poller *p = context;
	struct rte_mbuf *frames[PORT_BURST];

	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector)) {
		p->error = errno;
		return NULL;
	}
	selector = SYSCALL_DISPATCH_FILTER_BLOCK;
	for (unsigned long turn = 0; p->moved < p->want && turn < 100000000ul; turn++) {
		unsigned n = port_rx(p->b->port, 0, frames, PORT_BURST);
		unsigned taken = port_tx(p->b->port, 0, frames, n);
		for (; taken < n; taken++)
			rte_pktmbuf_free(frames[taken]);
		port_tx_flush(p->b->port, 0, turn);
		p->moved += n;
		if (p->break_the_rule)
			syscall(SYS_getppid);
	}
	selector = SYSCALL_DISPATCH_FILTER_ALLOW;
	return NULL;
}

/* Which call it made, or -1. */
static int polled_system_call(bool break_the_rule)
{
	struct bench b;
	struct poller p = {.b = &b, .want = 5000, .break_the_rule = break_the_rule};
	struct sigaction action = {.sa_sigaction = on_system_call, .sa_flags = SA_SIGINFO}, before;
	pthread_t thread;
	struct rte_mbuf *out[PORT_BURST];

	open_port(&b, (struct port_config){.rx_descriptors = 128, .tx_descriptors = 128});
	for (unsigned i = 0; i < PORT_BURST; i++) {
		struct test_packet packet = flow(i);
		out[i] = frame_make(&b, &packet);
	}
	send_all(&b, 0, out, PORT_BURST);
	system_call = -1;
	sigaction(SIGSYS, &action, &before);
	CU_ASSERT_EQUAL(ixm_thread_start(b.device), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, poll_and_send, &p), 0);
	pthread_join(thread, NULL);
	ixm_thread_stop(b.device);
	sigaction(SIGSYS, &before, NULL);
	if (p.error)
		printf("# the kernel does not dispatch system calls: %s\n", strerror(p.error));
	CU_ASSERT_EQUAL(p.error, 0);
	CU_ASSERT(p.moved >= p.want);
	drain(&b, 0);
	close_port(&b);
	return system_call;
}

static void test_a_polling_core_makes_no_system_call(void)
{
	CU_ASSERT_EQUAL(polled_system_call(false), -1);
	CU_ASSERT_EQUAL(polled_system_call(true), SYS_getppid);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"open_says_what_it_is", test_open_says_what_it_is},
		{"queues_share_the_flows", test_queues_share_the_flows},
		{"a_mac_of_our_own", test_a_mac_of_our_own},
		{"long_frames", test_long_frames},
		{"a_stuck_device", test_a_stuck_device},
		{"sleeping_on_a_queue", test_sleeping_on_a_queue},
		{"a_polling_core_makes_no_system_call", test_a_polling_core_makes_no_system_call},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	dpdk_eal_stop();
	return rc;
}
