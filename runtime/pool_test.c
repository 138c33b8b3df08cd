/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pool.h"

#include "tests/unit/unit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint32_t sizes[] = {1, 8, 9, 16, 24, 32, 33, 64, 65, 192, 320, 1000, 4096, 12345};

/* Whether run aborts, tried in a child. */
static int aborts(void (*run)(void))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		signal(SIGABRT, SIG_DFL);
		run();
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return 0;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void take_all_and_one_more(void)
{
	for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		struct pool *p = pool_create("all", sizes[s], 37, NULL);
		uint8_t *o[37];
		CU_ASSERT_PTR_NOT_NULL_FATAL(p);
		for (int i = 0; i < 37; i++) {
			o[i] = pool_take(p);
			CU_ASSERT_PTR_NOT_NULL_FATAL(o[i]);
			CU_ASSERT_EQUAL((uintptr_t)o[i] % (sizes[s] > 32 ? 64 : 8), 0);
			memset(o[i], i, sizes[s]);
		}
		CU_ASSERT_PTR_NULL(pool_take(p));
		CU_ASSERT_EQUAL(pool_stats(p).exhausted, 1);
		CU_ASSERT_EQUAL(pool_stats(p).used, 37);
		for (int i = 0; i < 37; i++) {
			CU_ASSERT(o[i][0] == i && o[i][sizes[s] - 1] == i);
			pool_give(p, o[i]);
		}
		CU_ASSERT_EQUAL(pool_stats(p).used, 0);
		CU_ASSERT_EQUAL(pool_stats(p).used_max, 37);
		CU_ASSERT_EQUAL(pool_stats(p).capacity, 37);
		CU_ASSERT_STRING_EQUAL(pool_name(p), "all");
		pool_destroy(p);
	}
}

static void last_given_is_first_taken(void)
{
	struct pool *p = pool_create("lifo", 100, 10, NULL);
	void *a = pool_take(p), *b = pool_take(p);

	pool_give(p, a);
	pool_give(p, b);
	CU_ASSERT_PTR_EQUAL(pool_take(p), b);
	CU_ASSERT_PTR_EQUAL(pool_take(p), a);
	pool_give(p, a);
	pool_give(p, b);
	pool_destroy(p);
}

static void old_handles_are_recognised(void)
{
	struct pool *p = pool_create("handles", 48, 4, NULL);
	void *a = pool_take(p);
	pool_handle h = pool_handle_of(p, a);

	CU_ASSERT_NOT_EQUAL(h, 0);
	CU_ASSERT_PTR_EQUAL(pool_resolve(p, h), a);
	CU_ASSERT_PTR_NULL(pool_resolve(p, 0));
	CU_ASSERT_PTR_NULL(pool_resolve(p, h + 1)); /* never handed out */
	CU_ASSERT_PTR_NULL(pool_resolve(p, UINT64_MAX));
	pool_give(p, a);
	CU_ASSERT_PTR_NULL(pool_resolve(p, h));
	CU_ASSERT_PTR_EQUAL(pool_take(p), a);
	CU_ASSERT_PTR_NULL(pool_resolve(p, h));
	CU_ASSERT_PTR_EQUAL(pool_resolve(p, pool_handle_of(p, a)), a);
	pool_give(p, a);
	pool_destroy(p);
}

enum { MODEL_CAPACITY = 200 };

static void like_a_set(void)
{
	struct {
		uint64_t *object;
		pool_handle handle, stale;
		uint64_t mark;
	} live[MODEL_CAPACITY] = {0};
	struct pool *p = pool_create("model", 3 * sizeof(uint64_t), MODEL_CAPACITY, NULL);
	uint32_t used = 0, used_max = 0;
	uint64_t exhausted = 0;

	for (int step = 0; step < 50000; step++) {
		unsigned i = unit_random_below(MODEL_CAPACITY + 10);
		if (i >= MODEL_CAPACITY || !live[i].object) {
			uint64_t *o = pool_take(p);
			CU_ASSERT_EQUAL_FATAL(o == NULL, used == MODEL_CAPACITY);
			exhausted += o == NULL;
			for (i = 0; o && live[i].object; i++)
				;
			if (!o)
				continue;
			used_max = ++used > used_max ? used : used_max;
			live[i].object = o;
			live[i].handle = pool_handle_of(p, o);
			live[i].mark = o[0] = o[2] = unit_random();
		} else if (step % 3 || used > MODEL_CAPACITY - 5) {
			CU_ASSERT_PTR_EQUAL_FATAL(pool_resolve(p, live[i].handle), live[i].object);
			CU_ASSERT(live[i].object[0] == live[i].mark && live[i].object[2] == live[i].mark);
			CU_ASSERT_PTR_NULL(live[i].stale ? pool_resolve(p, live[i].stale) : NULL);
			live[i].stale = live[i].handle;
			pool_give(p, live[i].object);
			live[i].object = NULL;
			used--;
		}
		CU_ASSERT_EQUAL(pool_stats(p).used, used);
	}
	CU_ASSERT_EQUAL(pool_stats(p).used_max, used_max);
	CU_ASSERT_EQUAL(pool_stats(p).exhausted, exhausted);
	for (int i = 0; i < MODEL_CAPACITY; i++)
		if (live[i].object)
			pool_give(p, live[i].object);
	pool_destroy(p);
}

static size_t released_bytes;

static void *map(void *ctx, size_t bytes, size_t align)
{
	void *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*(void **)ctx = m;
	return m == MAP_FAILED ? NULL : m;
}

static void unmap(void *ctx, void *p, size_t bytes)
{
	released_bytes = bytes;
	munmap(p, bytes);
}

static size_t resident_pages(void *from, size_t bytes)
{
	size_t pages = (bytes + 4095) / 4096, n = 0;
	unsigned char *map_of = malloc(pages);

	if (mincore(from, bytes, map_of) == 0)
		for (size_t i = 0; i < pages; i++)
			n += map_of[i] & 1;
	free(map_of);
	return n;
}

static void creation_touches_no_pages(void)
{
	const size_t bytes = 3000000 * 72ul;
	void *region = NULL;
	struct pool_memory memory = {map, unmap, &region};
	struct pool *p = pool_create("large", 64, 3000000, &memory);

	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	CU_ASSERT_EQUAL(resident_pages(region, bytes), 1);
	void *a = pool_take(p);
	memset(a, 1, 64);
	CU_ASSERT(resident_pages(region, bytes) <= 3);
	pool_give(p, a);
	pool_destroy(p);
	CU_ASSERT(released_bytes >= bytes);
}

static void *no_memory(void *ctx, size_t bytes, size_t align)
{
	return NULL;
}

static void creation_without_memory(void)
{
	struct pool_memory memory = {no_memory, unmap, NULL};

	CU_ASSERT_PTR_NULL(pool_create("none", 64, 10, &memory));
}

static void give_twice(void)
{
	struct pool *p = pool_create("twice", 64, 10, NULL);
	void *a = pool_take(p);
	pool_give(p, a);
	pool_give(p, a);
}

static void give_foreign(void)
{
	struct pool *p = pool_create("foreign", 64, 10, NULL);
	long elsewhere = 0;
	pool_take(p);
	pool_give(p, &elsewhere);
}

static void give_misaligned(void)
{
	struct pool *p = pool_create("misaligned", 192, 10, NULL);
	char *a = pool_take(p);
	pool_take(p);
	pool_give(p, a + 64);
}

static void give_never_taken(void)
{
	struct pool *p = pool_create("fresh", 64, 10, NULL);
	char *a = pool_take(p);
	pool_give(p, a + 64);
}

static void handle_of_given(void)
{
	struct pool *p = pool_create("given", 64, 10, NULL);
	void *a = pool_take(p);
	pool_give(p, a);
	pool_handle_of(p, a);
}

static void destroy_in_use(void)
{
	struct pool *p = pool_create("in use", 64, 10, NULL);
	pool_take(p);
	pool_destroy(p);
}

static void misuse_aborts(void)
{
	CU_ASSERT(aborts(give_twice));
	CU_ASSERT(aborts(give_foreign));
	CU_ASSERT(aborts(give_misaligned));
	CU_ASSERT(aborts(give_never_taken));
	CU_ASSERT(aborts(handle_of_given));
	CU_ASSERT(aborts(destroy_in_use));
}

#if defined(GODWIT_CHECKS) && !defined(__SANITIZE_ADDRESS__)
static void write_after_give(void)
{
	struct pool *p = pool_create("poison", 64, 10, NULL);
	volatile char *a = pool_take(p);
	pool_give(p, (void *)a);
	a[63] = 1;
	pool_take(p);
}

static void poison_is_checked(void)
{
	struct pool *p = pool_create("poison", 64, 10, NULL);
	uint8_t *a = pool_take(p);
	memset(a, 0, 64);
	pool_give(p, a);
	CU_ASSERT_EQUAL(a[0], 0xdb);
	CU_ASSERT_EQUAL(a[63], 0xdb);
	CU_ASSERT(aborts(write_after_give));
	pool_destroy(p);
}
#endif

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>

static void poison_is_checked(void)
{
	struct pool *p = pool_create("poison", 64, 10, NULL);
	uint8_t *a = pool_take(p);
	CU_ASSERT_PTR_NULL(__asan_region_is_poisoned(a, 64));
	CU_ASSERT(__asan_address_is_poisoned(a + 64)); /* not taken yet */
	pool_give(p, a);
	CU_ASSERT(__asan_address_is_poisoned(a));
	pool_destroy(p);
}
#endif

int main(int argc, char **argv)
{
	return unit_main(
		argc, argv, (struct unit_test[]) {
			{"take_all_and_one_more", take_all_and_one_more},
				{"last_given_is_first_taken", last_given_is_first_taken},
				{"old_handles_are_recognised", old_handles_are_recognised},
				{"like_a_set", like_a_set},
				{"creation_touches_no_pages", creation_touches_no_pages},
				{"creation_without_memory", creation_without_memory},
				{"misuse_aborts", misuse_aborts},
#if defined(GODWIT_CHECKS) || defined(__SANITIZE_ADDRESS__)
				{"poison_is_checked", poison_is_checked},
#endif
			{
				0
			}
		});
}
