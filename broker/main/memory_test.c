/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/main/instance.h"
#include "broker/main/sizes.h"
#include "dpdk_port/hugepages.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

enum { PAGE_BYTES = HUGEPAGE_MB << 20 };

/* Hands out memory as hugetlbfs does: in whole pages, which it counts. */
static void *pages_alloc(void *ctx, size_t bytes, size_t align)
{
	size_t whole = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;

	*(size_t *)ctx += whole / PAGE_BYTES;
	return aligned_alloc(align, whole);
}

static void pages_release(void *ctx, void *p, size_t bytes)
{
	free(p);
}

static void check_sum(uint64_t message_bytes, uint32_t messages, uint32_t cores)
{
	struct config *c = calloc(1, sizeof(*c));
	size_t pages = 0;
	struct pool_memory memory = {.alloc = pages_alloc, .release = pages_release, .ctx = &pages};

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	c->memory.message_bytes = message_bytes;
	c->limits.messages = messages;
	c->lcore_count = cores;
	struct message_store_config sc = {.memory_bytes = message_bytes,
		.messages_max = messages,
		.watermark_percent = 80,
		.caches_max = cores,
		.memory = &memory};
	struct message_store *store = message_store_create(&sc);
	CU_ASSERT_PTR_NOT_NULL_FATAL(store);
	CU_ASSERT_TRUE(pages <= memory_messages_mb(c) / HUGEPAGE_MB);
	message_store_destroy(store);
	free(c);
}

/* What is reserved before the regions are mapped is enough for them. */
static void test_messages_fit_what_was_reserved(void)
{
	static const uint64_t mb[] = {16, 17, 18, 19, 20, 21, 32, 33, 64, 100, 256};

	for (unsigned i = 0; i < sizeof(mb) / sizeof(mb[0]); i++) {
		for (uint32_t cores = 1; cores <= 8; cores += 7) {
			check_sum(mb[i] << 20, 1u << 24, cores);
			check_sum(mb[i] << 20, 1000, cores);
			check_sum((mb[i] << 20) + 4096, 1u << 24, cores);
		}
	}
}

static void test_a_core_has_its_share(void)
{
	struct config *c = calloc(1, sizeof(*c));

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	c->lcore_count = 1;
	CU_ASSERT_EQUAL(sizes_of_core(c, 10000), 10000);
	c->lcore_count = 4;
	CU_ASSERT_EQUAL(sizes_of_core(c, 10000), 5064);
	CU_ASSERT_EQUAL(sizes_of_core(c, 100), 100); /* never more than all */
	CU_ASSERT_EQUAL(sizes_of_core(c, 1), 1);
	c->lcore_count = 64;
	CU_ASSERT_EQUAL(sizes_of_core(c, UINT32_MAX), (1u << 27) + 64);
	free(c);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"messages_fit_what_was_reserved", test_messages_fit_what_was_reserved},
		{"a_core_has_its_share", test_a_core_has_its_share},
		{NULL, NULL},
	};

	return unit_main(argc, argv, tests);
}
