/* SPDX-License-Identifier: Apache-2.0 */
/* Cores that sleep on an 82599 until it interrupts. */
#include "dpdk_port/eal.h"
#include "tests/ixgbe_model/port_fixture.h"

#include <poll.h>
#include <string.h>

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

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"sleeping_on_a_queue", test_sleeping_on_a_queue},
		{"a_descriptor_falls_silent", test_a_descriptor_falls_silent},
		{"cores_wake_one_by_one", test_cores_wake_one_by_one},
		{"sixteen_cores_that_sleep", test_sixteen_cores_that_sleep},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	dpdk_eal_stop();
	return rc;
}
