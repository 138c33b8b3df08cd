/* SPDX-License-Identifier: Apache-2.0 */
/* The heap of packet buffers and messages, in ordinary pages and in the kernel's hugepages. */
#include "dpdk_port/eal.h"
#include "dpdk_port/heap.h"
#include "dpdk_port/hugepages.h"
#include "dpdk_port/port_pool.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/capability.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEAP_BYTES = 6 << 20, BUFFERS = 1000 };

static char error[512];

static void start(void)
{
	const struct eal_options o = {.memory_mb = 32, .data_cores = 1};

	if (!dpdk_eal_running() && dpdk_eal_start(&o, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_FATAL(dpdk_eal_running());
}

/* Every page is there: nothing faults later. */
static bool resident(const void *p, size_t bytes)
{
	static unsigned char pages[HEAP_BYTES / 4096];
	bool all = mincore((void *)(uintptr_t)p, bytes, pages) == 0;

	for (size_t i = 0; i < bytes / 4096; i++)
		all &= pages[i] & 1;
	return all;
}

static void look_at_buffer(struct rte_mempool *p, void *wrong, void *object, unsigned index)
{
	struct rte_mbuf *m = object;

	/* what a device is told, and where it is */
	if (!dpdk_heap_holds(m, sizeof(*m)) || !dpdk_heap_holds(m->buf_addr, m->buf_len) ||
		rte_mbuf_data_iova_default(m) != (uintptr_t)m->buf_addr + RTE_PKTMBUF_HEADROOM)
		++*(unsigned *)wrong;
}

static int heap_create(const struct dpdk_heap_options *o)
{
	int rc = dpdk_heap_take(o, error, sizeof(error));

	if (rc)
		return rc;
	CU_ASSERT_EQUAL(dpdk_heap_stats().bytes, 0);
	return dpdk_heap_open(error, sizeof(error));
}

static void pools_lie_in_it(uint64_t bytes)
{
	struct dpdk_heap_stats before = dpdk_heap_stats();
	struct pool_memory memory = dpdk_heap_memory();
	unsigned wrong = 0;

	CU_ASSERT_EQUAL(before.bytes, bytes);
	struct rte_mempool *packets = port_pool_create("heap_test", BUFFERS, port_pool_room(1500), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(packets);
	CU_ASSERT_EQUAL(rte_mempool_obj_iter(packets, look_at_buffer, &wrong), BUFFERS);
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_TRUE(dpdk_heap_stats().used_bytes > before.used_bytes + BUFFERS * 2048);

	struct pool *objects = pool_create("test", 1000, 500, &memory);
	CU_ASSERT_PTR_NOT_NULL_FATAL(objects);
	void *object = pool_take(objects);
	CU_ASSERT_TRUE(dpdk_heap_holds(object, 1000));
	CU_ASSERT_TRUE(resident((void *)((uintptr_t)object & ~4095ul), 4096));
	pool_give(objects, object);
	pool_destroy(objects);
	/* More than there is: an answer. */
	CU_ASSERT_PTR_NULL(pool_create("test", 1 << 20, (uint32_t)(bytes >> 20) + 1, &memory));
	CU_ASSERT_PTR_NULL(
		port_pool_create("heap_test_large", (uint32_t)(bytes / 2048), port_pool_room(1500), -1));
	rte_mempool_free(packets);
	CU_ASSERT_EQUAL(dpdk_heap_stats().used_bytes, before.used_bytes);
}

static void test_ordinary_pages_are_locked(void)
{
	const struct dpdk_heap_options o = {.bytes = HEAP_BYTES - 1, .node = 0};

	start();
	CU_ASSERT_EQUAL(dpdk_heap_socket(3), 3);
	CU_ASSERT_EQUAL(dpdk_heap_stats().bytes, 0);
	int rc = heap_create(&o);
	if (rc) { /* this user may not lock as much: said, with what to do */
		CU_ASSERT_TRUE(rc == -ENOMEM || rc == -EPERM || rc == -EAGAIN);
		CU_ASSERT_PTR_NOT_NULL(strstr(error, "memory.lock"));
		return;
	}
	CU_ASSERT_EQUAL(heap_create(&o), -EALREADY);
	CU_ASSERT_NOT_EQUAL(dpdk_heap_socket(3), 3);
	pools_lie_in_it(HEAP_BYTES);
	dpdk_heap_destroy();
	CU_ASSERT_EQUAL(dpdk_heap_socket(3), 3);
	dpdk_heap_destroy();

	/* Without packets: they come from EAL. */
	const struct dpdk_heap_options only = {.bytes = HEAP_BYTES, .node = -1, .no_packets = true};
	CU_ASSERT_EQUAL_FATAL(heap_create(&only), 0);
	CU_ASSERT_EQUAL(dpdk_heap_socket(3), 3);
	struct rte_mempool *packets = port_pool_create("heap_none", 10, port_pool_room(1500), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(packets);
	CU_ASSERT_FALSE(dpdk_heap_holds(packets, 1));
	rte_mempool_free(packets);
	dpdk_heap_destroy();
}

static int may_nothing(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	return (int)syscall(SYS_capset, &header, none);
}

static void test_limits_are_said(void)
{
	struct dpdk_heap_options o = {.bytes = 0};
	const struct rlimit little = {1 << 20, 1 << 20};
	int status = -1;

	start();
	CU_ASSERT_EQUAL(heap_create(&o), -EINVAL);
	o = (struct dpdk_heap_options){.bytes = UINT64_C(1) << 43, .node = -1};
	CU_ASSERT_EQUAL(heap_create(&o), -ENOMEM);
	o.bytes = HEAP_BYTES;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		if (setrlimit(RLIMIT_MEMLOCK, &little) || may_nothing())
			_exit(1);
		int rc = heap_create(&o);
		_exit(rc && strstr(error, "memory.lock") ? 0 : 2);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(dpdk_heap_stats().bytes, 0);
	CU_ASSERT_FALSE(dpdk_heap_holds(&o, 1));
}

static void test_hugepages(void)
{
	const struct dpdk_heap_options o = {.bytes = HEAP_BYTES, .hugepages = true, .node = 0};
	struct hugepages before, now;
	struct hugepages_plan plan;

	start();
	if (hugepages_read(HUGEPAGES_POOL, &before) ||
		hugepages_plan(
			HUGEPAGES_POOL, HEAP_BYTES / (HUGEPAGE_MB << 20), &plan, error, sizeof(error)) ||
		hugepages_grow(HUGEPAGES_POOL, &plan, error, sizeof(error))) {
		unit_skip(error);
		return;
	}
	int rc = heap_create(&o);
	if (rc)
		printf("# %s\n", error);
	CU_ASSERT_EQUAL_FATAL(rc, 0);
	CU_ASSERT_EQUAL(hugepages_read(HUGEPAGES_POOL, &now), 0);
	CU_ASSERT_TRUE(now.free + 3 <= before.free + plan.missing);
	pools_lie_in_it(HEAP_BYTES);
	dpdk_heap_destroy();
	CU_ASSERT_EQUAL(hugepages_return(HUGEPAGES_POOL, plan.missing), 0);
	CU_ASSERT_EQUAL(hugepages_read(HUGEPAGES_POOL, &now), 0);
	CU_ASSERT_EQUAL(now.total, before.total);
}

static void giant_heap(const struct dpdk_heap_options *o)
{
	struct hugepages before, now;

	CU_ASSERT_EQUAL(hugepages_read(HUGEPAGES_GIANT_POOL, &before), 0);
	int rc = heap_create(o);
	if (rc)
		printf("# %s\n", error);
	CU_ASSERT_EQUAL_FATAL(rc, 0);
	CU_ASSERT_EQUAL(hugepages_read(HUGEPAGES_GIANT_POOL, &now), 0);
	CU_ASSERT_EQUAL(now.free + 1, before.free);
	pools_lie_in_it(o->bytes);
	dpdk_heap_destroy();
	CU_ASSERT_EQUAL(hugepages_read(HUGEPAGES_GIANT_POOL, &now), 0);
	CU_ASSERT_EQUAL(now.free, before.free);
}

static void test_giant_pages_come_first(void)
{
	const struct dpdk_heap_options o = {
		.bytes = (UINT64_C(1) << 30) + HEAP_BYTES, .hugepages = true, .giant = 1, .node = 0};
	struct hugepages_plan giant, rest;

	start();
	if (hugepages_plan(HUGEPAGES_GIANT_POOL, 1, &giant, error, sizeof(error)) ||
		hugepages_grow(HUGEPAGES_GIANT_POOL, &giant, error, sizeof(error))) {
		unit_skip(error);
		return;
	}
	if (hugepages_plan(HUGEPAGES_POOL, HEAP_BYTES / (HUGEPAGE_MB << 20), &rest, error, sizeof(error)) ||
		hugepages_grow(HUGEPAGES_POOL, &rest, error, sizeof(error))) {
		unit_skip(error);
	} else {
		giant_heap(&o);
		CU_ASSERT_EQUAL(hugepages_return(HUGEPAGES_POOL, rest.missing), 0);
	}
	CU_ASSERT_EQUAL(hugepages_return(HUGEPAGES_GIANT_POOL, giant.missing), 0);
}

static const char *fake_pool(char *folder, unsigned free)
{
	static const char *const files[] = {"nr_hugepages", "free_hugepages", "resv_hugepages"};
	char path[128];

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		FILE *f = fopen(path, "w");
		CU_ASSERT_PTR_NOT_NULL_FATAL(f);
		fprintf(f, "%u\n", i < 2 ? free : 0);
		fclose(f);
	}
	return folder;
}

static void fake_pool_remove(const char *folder)
{
	static const char *const files[] = {"nr_hugepages", "free_hugepages", "resv_hugepages"};
	char path[128];

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		CU_ASSERT_EQUAL(unlink(path), 0);
	}
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static void test_how_many_giant_pages(void)
{
	char three[] = "/tmp/godwit-pool-XXXXXX", hundred[] = "/tmp/godwit-pool-XXXXXX";

	fake_pool(three, 3);
	fake_pool(hundred, 100); /* 200 MiB */
	CU_ASSERT_EQUAL(hugepages_giant(three, hundred, 200), 0);
	CU_ASSERT_EQUAL(hugepages_giant(three, hundred, 202), 1);
	CU_ASSERT_EQUAL(hugepages_giant(three, hundred, 1024), 1);
	CU_ASSERT_EQUAL(hugepages_giant(three, hundred, 2048 + 200), 2);
	CU_ASSERT_EQUAL(hugepages_giant(three, hundred, 2048 + 202), 3);
	CU_ASSERT_EQUAL(hugepages_giant(three, hundred, 5000), 3);
	CU_ASSERT_EQUAL(hugepages_giant("/nowhere", hundred, 5000), 0);
	fake_pool_remove(three);
	fake_pool_remove(hundred);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"ordinary_pages_are_locked", test_ordinary_pages_are_locked},
		{"limits_are_said", test_limits_are_said},
		{"hugepages", test_hugepages},
		{"giant_pages_come_first", test_giant_pages_come_first},
		{"how_many_giant_pages", test_how_many_giant_pages},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);

	dpdk_eal_stop();
	return rc;
}
