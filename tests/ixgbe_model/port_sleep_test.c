/* SPDX-License-Identifier: Apache-2.0 */
/* Cores that sleep on an 82599 until it interrupts, and cores that never leave user space. */
#include "dpdk_port/eal.h"
#include "tests/ixgbe_model/port_fixture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void test_sleeping_on_a_queue(void)
{
	struct port_bench b;
	uint8_t frame[60];

	pf_open(&b, (struct port_config){.wait_on_fd = true});
	memcpy(frame, pf_device_mac, 6);
	int fd = port_rx_fd(b.port, 0);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(port_rx_arm(b.port, 0), 0);
	ixm_settle();
	CU_ASSERT_FALSE(readable(fd));
	ixm_inject(b.device, frame, sizeof(frame));
	ixm_settle();
	CU_ASSERT_TRUE(readable(fd));
	port_rx_disarm(b.port, 0);
	CU_ASSERT_EQUAL(pf_drain(&b, 0), 1);
	pf_close(&b);
}

/* What woke the core is forgotten when it goes to sleep again: else it would never sleep any more. */
static void test_a_descriptor_falls_silent(void)
{
	struct port_bench b;
	uint8_t frame[60];

	pf_open(&b, (struct port_config){.wait_on_fd = true});
	memcpy(frame, pf_device_mac, 6);
	int fd = port_rx_fd(b.port, 0);
	for (unsigned round = 0; round < 3; round++) {
		CU_ASSERT_EQUAL(port_rx_arm(b.port, 0), 0);
		ixm_settle();
		CU_ASSERT_FALSE(readable(fd));
		ixm_inject(b.device, frame, sizeof(frame));
		ixm_settle();
		CU_ASSERT_TRUE(readable(fd));
		port_rx_disarm(b.port, 0);
		CU_ASSERT_EQUAL(pf_drain(&b, 0), 1);
	}
	pf_close(&b);
}

/* A flow of the queue's. */
static struct test_packet flow_to(const struct port_bench *b, unsigned queue)
{
	struct test_packet p = pf_flow(0);

	for (unsigned i = 1; pf_owner(b, &p) != queue; i++)
		p = pf_flow(i);
	return p;
}

/* Cores that are awake disarm their queues; those that sleep are woken all the same, each by its own frames.
 */
static void test_cores_wake_one_by_one(void)
{
	enum { CORES = 4 };
	struct port_bench b;

	pf_open(&b, (struct port_config){.queues = CORES, .rx_descriptors = 64, .wait_on_fd = true});
	for (unsigned asleep = 0; asleep < CORES; asleep++) {
		struct test_packet p = flow_to(&b, asleep);
		uint8_t frame[2000];
		unsigned n = test_packet_write(frame, pf_device_mac, &p);
		for (unsigned order = 0; order < 2; order++) {
			for (unsigned i = 0; order && i < CORES; i++)
				port_rx_arm(b.port, i);
			if (!order)
				CU_ASSERT_EQUAL(port_rx_arm(b.port, asleep), 0);
			for (unsigned i = 0; i < CORES; i++)
				if (i != asleep)
					port_rx_disarm(b.port, i);
			ixm_settle();
			CU_ASSERT_FALSE(readable(port_rx_fd(b.port, asleep)));
			ixm_inject(b.device, frame, n);
			ixm_settle();
			CU_ASSERT_TRUE(readable(port_rx_fd(b.port, asleep)));
			for (unsigned i = 0; i < CORES; i++)
				CU_ASSERT_EQUAL(pf_drain(&b, i), i == asleep);
		}
	}
	pf_close(&b);
}

/* The driver has descriptors for 15 queues at most. */
static void test_sixteen_cores_that_sleep(void)
{
	struct port_bench b;

	pf_open(&b, (struct port_config){.queues = 16, .rx_descriptors = 64, .wait_on_fd = true});
	CU_ASSERT_EQUAL(port_info(b.port)->device_queues, 15);
	for (unsigned i = 0; i < 15; i++)
		CU_ASSERT(port_rx_fd(b.port, i) >= 0);
	CU_ASSERT_EQUAL(port_rx_fd(b.port, 15), -1);
	CU_ASSERT_FALSE(port_rx_polled(b.port, 15));
	pf_close(&b);
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
	struct port_bench *b;
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
	struct port_bench b;
	struct poller p = {.b = &b, .want = 5000, .break_the_rule = break_the_rule};
	struct sigaction action = {.sa_sigaction = on_system_call, .sa_flags = SA_SIGINFO}, before;
	pthread_t thread;
	struct rte_mbuf *out[PORT_BURST];

	pf_open(&b, (struct port_config){.rx_descriptors = 128, .tx_descriptors = 128});
	for (unsigned i = 0; i < PORT_BURST; i++) {
		struct test_packet packet = pf_flow(i);
		out[i] = pf_frame(&b, &packet);
	}
	pf_send(&b, 0, out, PORT_BURST);
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
	pf_drain(&b, 0);
	pf_close(&b);
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
		{"sleeping_on_a_queue", test_sleeping_on_a_queue},
		{"a_descriptor_falls_silent", test_a_descriptor_falls_silent},
		{"cores_wake_one_by_one", test_cores_wake_one_by_one},
		{"sixteen_cores_that_sleep", test_sixteen_cores_that_sleep},
		{"a_polling_core_makes_no_system_call", test_a_polling_core_makes_no_system_call},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	dpdk_eal_stop();
	return rc;
}
