/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>
#include <rte_eal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/poison.h"

static uint64_t random_state;
static const char *skip_reason;

void unit_skip(const char *reason)
{
	skip_reason = reason;
}

uint64_t unit_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void seed_init(void)
{
	const char *s = getenv("GODWIT_SEED");
	random_state = s ? strtoull(s, NULL, 0) : (uint64_t)time(NULL) * 2654435761u ^ (uint64_t)getpid();
	if (random_state == 0)
		random_state = 1;
	printf("# seed %llu (GODWIT_SEED repeats this run)\n", (unsigned long long)random_state);
}

static void print_failures(CU_pFailureRecord f)
{
	for (; f; f = f->pNext)
		printf("# %s:%u: %s\n", f->strFileName, f->uiLineNumber, f->strCondition);
}

int unit_main(int argc, char **argv, const struct unit_test *tests)
{
	unsigned count = 0, failed = 0;
	const char *only = argc > 1 ? argv[1] : NULL;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (CU_initialize_registry() != CUE_SUCCESS)
		return 99;
	CU_pSuite suite = CU_add_suite(argv[0], NULL, NULL);
	while (tests[count].name)
		count++;
	printf("TAP version 13\n1..%u\n", count);
	seed_init();
	for (unsigned i = 0; i < count; i++) {
		if (only && strcmp(only, tests[i].name)) {
			printf("ok %u %s # SKIP another test was asked for by name\n", i + 1, tests[i].name);
			continue;
		}
		CU_pTest t = CU_add_test(suite, tests[i].name, tests[i].run);
		skip_reason = NULL;
		CU_run_test(suite, t);
		if (skip_reason && CU_get_number_of_asserts() == 0) {
			printf("ok %u %s # SKIP %s\n", i + 1, tests[i].name, skip_reason);
			continue;
		}
		int empty = CU_get_number_of_asserts() == 0;
		int bad = CU_get_number_of_failures() != 0 || empty;
		print_failures(CU_get_failure_list());
		if (empty)
			printf("# the test asserted nothing\n");
		printf("%s %u %s\n", bad ? "not ok" : "ok", i + 1, tests[i].name);
		failed += (unsigned)bad;
	}
	CU_cleanup_registry();
	return failed != 0;
}

void unit_eal(void)
{
	static int started;
	char *args[] = {"unit", "--no-huge", "-m", "256", "--no-pci", "--no-shconf", "--iova-mode=va",
		"--no-telemetry", "--log-level=*:error", "-l", "0", NULL};

	if (started)
		return;
	if (rte_eal_init(11, args) < 0) {
		fprintf(stderr, "unit tests need EAL without hugepages, and it did not start\n");
		abort();
	}
	started = 1;
}

struct rte_mempool *unit_pool(const char *name, unsigned count, unsigned room_bytes)
{
	unit_eal();
	struct rte_mempool *p = poison_pool_create(name, count, RTE_PKTMBUF_HEADROOM + room_bytes);
	if (!p) {
		fprintf(stderr, "no memory for the test pool %s\n", name);
		abort();
	}
	return p;
}

int unit_pool_full(const struct rte_mempool *p)
{
	return rte_mempool_avail_count(p) == p->size;
}
