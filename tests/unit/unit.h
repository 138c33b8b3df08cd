/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test stands on: CUnit's assertions, TAP on stdout (CUnit's own JUnit writer is malformed),
 * a printed seed, and an EAL without hugepages or devices for tests that need mbufs. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <CUnit/CUnit.h>
#include <rte_mbuf.h>
#include <stdint.h>

struct unit_test {
	const char *name;
	void (*run)(void);
};

/* Runs the tests in order, prints TAP, returns the exit code for main. The list ends with a NULL name. A test
 * that makes no assertion fails. */
int unit_main(int argc, char **argv, const struct unit_test *tests);

/* Ends the running test's part as skipped, with the reason in the TAP line, where nothing was asserted yet:
 * for what the user who runs the tests may not do. Return after it. */
void unit_skip(const char *reason);

/* xorshift from the seed that unit_main printed (GODWIT_SEED in the environment repeats a run). */
uint64_t unit_random(void);
static inline uint32_t unit_random_below(uint32_t n)
{
	return (uint32_t)(unit_random() % n);
}

/* EAL with --no-huge and no devices, once a process; aborts with EAL's words when it cannot start. */
void unit_eal(void);

/* A pool of count mbufs with room_bytes of data room behind the usual headroom, no per-core cache, so that
 * unit_pool_full is exact. A free buffer is poisoned (tests/unit/poison.h). */
struct rte_mempool *unit_pool(const char *name, unsigned count, unsigned room_bytes);
int unit_pool_full(const struct rte_mempool *p);

#endif
