/* SPDX-License-Identifier: Apache-2.0 */
#define ALLOW_EXPERIMENTAL_API /* rte_dev_dma_map */
#include "dpdk_port/heap.h"
#include "dpdk_port/eal.h"
#include "runtime/check.h"

#include <errno.h>
#include <hugetlbfs.h>
#include <linux/mempolicy.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_memory.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE_BYTES  (UINT64_C(2) << 20)
#define GIANT_BYTES (UINT64_C(1) << 30)
#define NAME	    "godwit"

enum { NODES_MAX = 1024, WORD_BITS = 64, PAGE_LOG2 = 21, GIANT_LOG2 = 30 };

/* DPDK's heaps are the process's, and so is this one. */
static struct {
	uint8_t *region;
	uint64_t bytes;
	rte_iova_t *iova; /* of each page of 2 MiB, or piece of a larger one */
	void *mapping;	  /* what to unmap; NULL: the region is libhugetlbfs's */
	uint64_t mapping_bytes;
	bool open, no_packets, ordinary;
	int socket;
} heap;

__attribute__((format(printf, 4, 5))) static int fail(int rc, char *error, size_t bytes, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(error, bytes, fmt, ap);
	va_end(ap);
	return rc;
}

/* Pages made by this thread come from the node where it has some, from others else; -1: as before. */
static void prefer_node(int node)
{
	unsigned long nodes[NODES_MAX / WORD_BITS] = {0};

	if (node >= 0 && node < NODES_MAX)
		nodes[node / WORD_BITS] |= 1ul << node % WORD_BITS;
	/* Without NUMA in the kernel there is nothing to prefer. */
	syscall(SYS_set_mempolicy, node >= 0 ? MPOL_PREFERRED : MPOL_DEFAULT, node >= 0 ? nodes : NULL,
		node >= 0 ? NODES_MAX + 1 : 0);
}

/* Room for the region among the addresses, at a multiple of align. */
static int reserve(uint64_t align, int protection, int flags, char *error, size_t error_bytes)
{
	heap.mapping_bytes = heap.bytes + align;
	heap.mapping = mmap(NULL, heap.mapping_bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
	if (heap.mapping == MAP_FAILED) {
		heap.mapping = NULL;
		return fail(-ENOMEM, error, error_bytes, "%llu MiB of memory cannot be had: %s",
			(unsigned long long)(heap.bytes >> 20), strerror(errno));
	}
	heap.region = (uint8_t *)(((uintptr_t)heap.mapping + align - 1) / align * align);
	return 0;
}

/* Pages of that size at a part of what is reserved. */
static bool fill(uint64_t at, uint64_t bytes, int log2)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB | log2 << MAP_HUGE_SHIFT;

	return bytes == 0 ||
	       mmap(heap.region + at, bytes, PROT_READ | PROT_WRITE, flags, -1, 0) != MAP_FAILED;
}

/* libhugetlbfs has one size for all of a region. */
static int take_giant(uint64_t giant_bytes, char *error, size_t error_bytes)
{
	int rc = reserve(GIANT_BYTES, PROT_NONE, MAP_NORESERVE, error, error_bytes);

	if (rc != 0)
		return rc;
	if (fill(0, giant_bytes, GIANT_LOG2) && fill(giant_bytes, heap.bytes - giant_bytes, PAGE_LOG2))
		return 0;
	return fail(-ENOMEM, error, error_bytes,
		"%llu hugepages of 1 GiB and %llu of 2 MiB cannot be had: %s",
		(unsigned long long)(giant_bytes / GIANT_BYTES),
		(unsigned long long)((heap.bytes - giant_bytes) / PAGE_BYTES), strerror(errno));
}

static int take_hugepages(unsigned giant, char *error, size_t error_bytes)
{
	if (giant)
		return take_giant(giant * GIANT_BYTES, error, error_bytes);
	heap.region = get_hugepage_region(heap.bytes, GHR_STRICT);
	if (!heap.region)
		return fail(-ENOMEM, error, error_bytes, "%llu hugepages of 2 MiB cannot be had: %s",
			(unsigned long long)(heap.bytes / PAGE_BYTES), strerror(errno));
	return 0;
}

/* Aligned to what DPDK is told of as a page. */
static int take_ordinary(char *error, size_t error_bytes)
{
	int rc = reserve(PAGE_BYTES, PROT_READ | PROT_WRITE, 0, error, error_bytes);

	if (rc != 0)
		return rc;
	heap.ordinary = true;
	/* Not by mlock: a sanitizer makes that do nothing. */
	if (syscall(SYS_mlock, heap.region, heap.bytes) == 0)
		return 0;
	rc = -errno;
	return fail(rc, error, error_bytes,
		"%llu MiB of memory cannot be locked (%s): allow it (ulimit -l, LimitMEMLOCK=, "
		"CAP_IPC_LOCK), or "
		"set memory.lock: off",
		(unsigned long long)(heap.bytes >> 20), strerror(-rc));
}

/* Hugepages are never swapped, but made at the first touch. */
static void touch(void)
{
	for (uint64_t at = 0; at < heap.bytes; at += PAGE_BYTES)
		*(volatile uint8_t *)(heap.region + at) = 0;
}

static int find_addresses(char *error, size_t error_bytes)
{
	uint64_t pages = heap.bytes / PAGE_BYTES;
	bool virtual = rte_eal_iova_mode() == RTE_IOVA_VA;

	free(heap.iova);
	heap.iova = calloc(pages, sizeof(*heap.iova));
	if (!heap.iova)
		return fail(-ENOMEM, error, error_bytes, "no memory for a table of pages");
	for (uint64_t i = 0; i < pages; i++) {
		uint8_t *page = heap.region + i * PAGE_BYTES;
		heap.iova[i] = virtual ? (uintptr_t)page : rte_mem_virt2iova(page);
		if (heap.iova[i] == RTE_BAD_IOVA)
			return fail(-EPERM, error, error_bytes,
				"the physical address of a page cannot be had: that needs root, or an IOMMU");
	}
	return 0;
}

static int give_to_dpdk(char *error, size_t error_bytes)
{
	if (rte_malloc_heap_create(NAME) != 0)
		return fail(-rte_errno, error, error_bytes, "no heap: %s", rte_strerror(rte_errno));
	if (rte_malloc_heap_memory_add(NAME, heap.region, heap.bytes, heap.iova,
		    (unsigned)(heap.bytes / PAGE_BYTES), PAGE_BYTES) != 0) {
		int rc = -rte_errno;
		rte_malloc_heap_destroy(NAME);
		return fail(rc, error, error_bytes, "the heap's memory: %s", rte_strerror(-rc));
	}
	heap.socket = rte_malloc_heap_get_socket(NAME);
	return 0;
}

static void release(void)
{
	if (heap.mapping)
		munmap(heap.mapping, heap.mapping_bytes);
	else if (heap.region)
		free_hugepage_region(heap.region);
	free(heap.iova);
	memset(&heap, 0, sizeof(heap));
}

int dpdk_heap_take(const struct dpdk_heap_options *o, char *error, size_t error_bytes)
{
	error[0] = '\0';
	if (heap.region)
		return fail(-EALREADY, error, error_bytes, "there is a heap already");
	if (o->bytes == 0 || o->bytes > UINT64_C(1) << 44)
		return fail(
			-EINVAL, error, error_bytes, "a heap of %llu bytes", (unsigned long long)o->bytes);
	heap.no_packets = o->no_packets;
	heap.bytes = (o->bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	if (heap.bytes < o->giant * GIANT_BYTES)
		heap.bytes = o->giant * GIANT_BYTES;
	prefer_node(o->node);
	int rc = o->hugepages ? take_hugepages(o->giant, error, error_bytes)
			      : take_ordinary(error, error_bytes);
	if (rc == 0)
		touch();
	prefer_node(-1);
	if (rc)
		release();
	return rc;
}

int dpdk_heap_open(char *error, size_t error_bytes)
{
	error[0] = '\0';
	MUST(heap.region && !heap.open && dpdk_eal_running());
	if (heap.ordinary && rte_eal_iova_mode() != RTE_IOVA_VA)
		return fail(-EINVAL, error, error_bytes, "a NIC without an IOMMU needs hugepages");
	int rc = find_addresses(error, error_bytes);
	if (rc == 0)
		rc = give_to_dpdk(error, error_bytes);
	heap.open = rc == 0;
	return rc;
}

void dpdk_heap_destroy(void)
{
	if (heap.open) {
		MUST(rte_malloc_heap_memory_remove(NAME, heap.region, heap.bytes) == 0 &&
			"all has been given back");
		rte_malloc_heap_destroy(NAME);
	}
	release();
}

int dpdk_heap_socket(int node)
{
	return heap.open && !heap.no_packets ? heap.socket : node;
}

static void *heap_alloc(void *ctx, size_t bytes, size_t align)
{
	return rte_malloc_socket(NAME, bytes, (unsigned)align, heap.socket);
}

static void heap_release(void *ctx, void *p, size_t bytes)
{
	rte_free(p);
}

struct pool_memory dpdk_heap_memory(void)
{
	MUST(heap.open);
	return (struct pool_memory){.alloc = heap_alloc, .release = heap_release};
}

struct dpdk_heap_stats dpdk_heap_stats(void)
{
	struct rte_malloc_socket_stats s;

	if (!heap.open || rte_malloc_get_socket_stats(heap.socket, &s) != 0)
		return (struct dpdk_heap_stats){0};
	return (struct dpdk_heap_stats){
		.bytes = s.heap_totalsz_bytes,
		.used_bytes = s.heap_allocsz_bytes,
		.largest_free_bytes = s.greatest_free_size,
	};
}

bool dpdk_heap_holds(const void *p, size_t bytes)
{
	uintptr_t at = (uintptr_t)p - (uintptr_t)heap.region;

	return heap.region && at < heap.bytes && bytes <= heap.bytes - at;
}

/* Pages whose addresses follow each other are mapped at once. */
int dpdk_heap_map(struct rte_device *device)
{
	uint64_t pages = heap.bytes / PAGE_BYTES, from = 0;

	for (uint64_t i = 1; heap.open && i <= pages; i++) {
		if (i < pages && heap.iova[i] == heap.iova[i - 1] + PAGE_BYTES)
			continue;
		/* ENOTSUP: it sees physical addresses. EEXIST: mapped when the heap was made, by a driver
		 * that ran already. */
		if (rte_dev_dma_map(device, heap.region + from * PAGE_BYTES, heap.iova[from],
			    (i - from) * PAGE_BYTES) != 0 &&
			rte_errno != ENOTSUP && rte_errno != EEXIST)
			return -rte_errno;
		from = i;
	}
	return 0;
}
