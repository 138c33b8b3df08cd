/* SPDX-License-Identifier: Apache-2.0 */
/* A core's loop over an 82599 with the idle policy that sleeps: frames wake it, each time, and between them
 * it costs nothing. */
#include "dpdk_port/eal.h"
#include "dpdk_port/port_pool.h"
#include "tests/ixgbe_model/port_fixture.h"
#include "transport/bypass.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WAKE_UPS = 5, ASKED_MAX = 200, PAUSE_US = 5000, IDLE_MS = 200, SPIN_US = 200 };

static unsigned answers; /* ARP replies on the wire */

static void on_wire(void *context, const uint8_t *frame, unsigned bytes)
{
	if (bytes >= 42 && frame[12] == 0x08 && frame[13] == 0x06 && frame[21] == 2)
		__atomic_add_fetch(&answers, 1, __ATOMIC_RELAXED);
}

/* Who has 10.0.0.1? */
static void ask(struct ixm *device)
{
	static const uint8_t request[60] = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0,
		6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 10, 0, 0, 9, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1};

	ixm_inject(device, request, sizeof(request));
}

/* So many replies are there, within ten seconds. */
static bool answered(unsigned count)
{
	for (unsigned ms = 0; ms < 10000; ms++) {
		if (__atomic_load_n(&answers, __ATOMIC_RELAXED) >= count)
			return true;
		usleep(1000);
	}
	return false;
}

static void *core(void *turn)
{
	turn_run(turn);
	return NULL;
}

static int accepted(void *app, struct transport_conn *conn)
{
	return -1;
}

static const struct transport_app app = {.accepted = accepted};

static struct bypass *stack_make(struct port_bench *b, struct rte_mempool *tx)
{
	struct bypass_config c = {.port = b->port, .sleeps = true, .app = &app};
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	stack_config_defaults(&c.stack);
	stack_config_add(&c.stack, ip_v4(0x0a000001), 24);
	c.stack.tx_pool = tx;
	return bypass_create(&c, (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

/* Frames, with pauses in which the core falls asleep, until some have woken it. */
static void frames_wake(struct port_bench *b, struct turn *t)
{
	unsigned asked = 0;

	while (asked < ASKED_MAX && turn_stats(t).wakeups < WAKE_UPS) {
		usleep(PAUSE_US);
		ask(b->device);
		asked++;
		CU_ASSERT_TRUE_FATAL(answered(asked));
	}
	CU_ASSERT(turn_stats(t).wakeups >= WAKE_UPS);
}

static void test_a_core_sleeps_between_frames(void)
{
	struct port_bench b;
	struct turn t;
	pthread_t thread;

	pf_open(&b, (struct port_config){.wait_on_fd = true});
	ixm_wire_to(b.device, on_wire, NULL);
	struct rte_mempool *tx = port_pool_create("turn_tx", 1023, port_pool_room(1500), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(tx);
	struct bypass *stack = stack_make(&b, tx);
	CU_ASSERT_PTR_NOT_NULL_FATAL(stack);
	CU_ASSERT_EQUAL_FATAL(turn_init(&t, TURN_IDLE_ADAPTIVE, SPIN_US), 0);
	CU_ASSERT_EQUAL_FATAL(turn_add(&t, bypass_source(stack)), 0);
	CU_ASSERT_EQUAL_FATAL(ixm_thread_start(b.device), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, core, &t), 0);
	frames_wake(&b, &t);

	uint64_t before = turn_stats(&t).turns;
	usleep(IDLE_MS * 1000);
	uint64_t turns = turn_stats(&t).turns - before;
	if (turns > IDLE_MS)
		printf("# %lu turns in %d ms without a frame\n", (unsigned long)turns, IDLE_MS);
	CU_ASSERT(turns <= IDLE_MS);

	turn_stop(&t);
	pthread_join(thread, NULL);
	ixm_thread_stop(b.device);
	turn_fini(&t);
	bypass_destroy(stack);
	pf_close(&b);
	CU_ASSERT(unit_pool_full(tx));
	rte_mempool_free(tx);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"a_core_sleeps_between_frames", test_a_core_sleeps_between_frames},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	dpdk_eal_stop();
	return rc;
}
