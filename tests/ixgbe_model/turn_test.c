/* SPDX-License-Identifier: Apache-2.0 */
/* A core's loop over an 82599 with the idle policy that sleeps: frames wake it, each time, and between them
 * it costs nothing. */
#include "dpdk_port/eal.h"
#include "dpdk_port/port_pool.h"
#include "runtime/reclaim.h"
#include "tests/ixgbe_model/port_fixture.h"
#include "transport/bypass.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WAKE_UPS = 5, ASKED_MAX = 200, PAUSE_US = 5000, IDLE_MS = 200, SPIN_US = 200, RESETS = 10 };

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

/* A core that runs, on a device that plays by itself. */
struct rig {
	struct port_bench b;
	struct rte_mempool *tx;
	struct bypass *stack;
	struct turn turn;
	pthread_t thread;
};

static void rig_open(struct rig *r, enum ixm_part_name part)
{
	answers = 0;
	CU_ASSERT_EQUAL_FATAL(reclaim_start(), 0);
	pf_device_open(&r->b, 0, (struct ixm_config){.part = part}, (struct port_config){.wait_on_fd = true});
	ixm_wire_to(r->b.device, on_wire, NULL);
	r->tx = port_pool_create("turn_tx", 1023, port_pool_room(1500), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r->tx);
	r->stack = stack_make(&r->b, r->tx);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r->stack);
	CU_ASSERT_EQUAL_FATAL(turn_init(&r->turn, TURN_IDLE_ADAPTIVE, SPIN_US), 0);
	CU_ASSERT_EQUAL_FATAL(turn_add(&r->turn, bypass_source(r->stack)), 0);
	CU_ASSERT_EQUAL_FATAL(ixm_thread_start(r->b.device), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&r->thread, NULL, core, &r->turn), 0);
}

static void rig_close(struct rig *r)
{
	turn_stop(&r->turn);
	pthread_join(r->thread, NULL);
	ixm_thread_stop(r->b.device);
	turn_fini(&r->turn);
	bypass_destroy(r->stack);
	pf_close(&r->b);
	CU_ASSERT(unit_pool_full(r->tx));
	rte_mempool_free(r->tx);
	reclaim_stop();
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

static void it_sleeps(struct turn *t)
{
	struct turn_stats before = turn_stats(t);
	usleep(IDLE_MS * 1000);
	struct turn_stats after = turn_stats(t);
	uint64_t turns = after.turns - before.turns;
	if (turns > IDLE_MS)
		printf("# %lu turns in %d ms without a frame, %lu with work, %lu sleeps, %lu wake-ups\n",
			(unsigned long)turns, IDLE_MS, (unsigned long)(after.turns_busy - before.turns_busy),
			(unsigned long)(after.sleeps - before.sleeps),
			(unsigned long)(after.wakeups - before.wakeups));
	CU_ASSERT(turns <= IDLE_MS);
}

static void test_a_core_sleeps_between_frames(void)
{
	static const enum ixm_part_name parts[] = {IXM_82599, IXM_82599_VF};

	for (unsigned i = 0; i < RTE_DIM(parts); i++) {
		struct rig r;
		rig_open(&r, parts[i]);
		frames_wake(&r.b, &r.turn);
		it_sleeps(&r.turn);
		rig_close(&r);
	}
}

static struct grace {
	struct reclaim_node node;
	bool over;
} grace;

static void grace_over(struct reclaim_node *n)
{
	__atomic_store_n(&grace.over, true, __ATOMIC_RELEASE);
}

/* As the broker's control thread does it. The host's call may cross our messages; then it is tried again. */
static void restart(struct port *p)
{
	int rc = -1;

	for (unsigned ms = 0; ms < 10000 && !port_wants_restart(p); ms++)
		usleep(1000);
	CU_ASSERT_TRUE_FATAL(port_wants_restart(p));
	grace.over = false;
	port_rest(p, true);
	reclaim_defer(&grace.node, grace_over);
	while (!__atomic_load_n(&grace.over, __ATOMIC_ACQUIRE))
		usleep(1000);
	for (unsigned i = 0; i < 10 && rc; i++)
		rc = port_restart(p);
	CU_ASSERT_EQUAL_FATAL(rc, 0);
	port_rest(p, false);
}

/* While the core runs, or sleeps. */
static void test_a_core_lives_through_resets_of_its_host(void)
{
	struct rig r;

	rig_open(&r, IXM_82599_VF);
	for (unsigned round = 1; round <= RESETS; round++) {
		ixm_faults_set(r.b.device, &(struct ixm_faults){.pf_down = true});
		ixm_turn(r.b.device);
		usleep(round % 3 * PAUSE_US);
		ixm_faults_set(r.b.device, &(struct ixm_faults){0});
		ixm_turn(r.b.device);
		restart(r.b.port);
		ask(r.b.device);
		CU_ASSERT_TRUE_FATAL(answered(round));
	}
	it_sleeps(&r.turn);
	rig_close(&r);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"a_core_sleeps_between_frames", test_a_core_sleeps_between_frames},
		{"a_core_lives_through_resets_of_its_host", test_a_core_lives_through_resets_of_its_host},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	dpdk_eal_stop();
	return rc;
}
