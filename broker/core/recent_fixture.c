/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/recent_fixture.h"

#include <stdlib.h>

const struct siphash_key recent_hash[2] = {{1, 2}, {3, 4}};
struct recent_keys recent;
uint32_t claim;
struct recent_memory recent_memory;

static bool is_refused(size_t bytes)
{
	return recent_memory.asked++ >= recent_memory.refuse_after ||
	       (recent_memory.refuse_heads && bytes % 40 != 0) ||
	       (recent_memory.refuse_one_in && unit_random_below(recent_memory.refuse_one_in) == 0);
}

static void *area_alloc(void *ctx, size_t bytes, size_t align)
{
	unsigned i = 0;

	if (is_refused(bytes)) {
		recent_memory.refused++;
		return NULL;
	}
	while (recent_memory.areas[i].p)
		i++;
	CU_ASSERT_FATAL(i < RECENT_AREAS_MAX - 1);
	recent_memory.areas[i].p = aligned_alloc(align, bytes);
	recent_memory.areas[i].bytes = bytes;
	memset(recent_memory.areas[i].p, 0x5a, bytes); /* nobody counts on zeros */
	recent_memory.bytes += bytes;
	recent_memory.largest = bytes > recent_memory.largest ? bytes : recent_memory.largest;
	return recent_memory.areas[i].p;
}

static void area_release(void *ctx, void *p, size_t bytes)
{
	unsigned i = 0;

	while (i < RECENT_AREAS_MAX && recent_memory.areas[i].p != p)
		i++;
	CU_ASSERT_FATAL(p && i < RECENT_AREAS_MAX);
	CU_ASSERT_EQUAL(recent_memory.areas[i].bytes, bytes);
	recent_memory.areas[i].p = NULL;
	recent_memory.bytes -= bytes;
	free(p);
}

void recent_begin(uint32_t most)
{
	static const struct pool_memory areas = {area_alloc, area_release, NULL};

	memset(&recent_memory, 0, sizeof(recent_memory));
	recent_memory.refuse_after = UINT32_MAX;
	recent_keys_init(&recent, most, &areas);
}

void recent_end(void)
{
	recent_keys_destroy(&recent);
	CU_ASSERT_EQUAL(recent_memory.bytes, 0);
}

struct recent_key key(uint32_t number)
{
	return recent_key_of(recent_hash, 1, (struct slice){(const uint8_t *)&number, sizeof(number)});
}

enum recent claim_at(uint32_t number, uint64_t now_us)
{
	return recent_keys_claim(&recent, key(number), now_us, &claim);
}

void keep_until(uint32_t number, uint64_t now_us, uint64_t expires_us)
{
	CU_ASSERT_EQUAL_FATAL(claim_at(number, now_us), RECENT_NEW);
	recent_keys_keep(&recent, claim, expires_us);
}

void keep(uint32_t number)
{
	keep_until(number, 0, RECENT_NEVER_EXPIRES);
}

bool knows(uint32_t number)
{
	enum recent r = claim_at(number, 0);

	if (r == RECENT_NEW)
		recent_keys_withdraw(&recent, claim);
	return r == RECENT_KNOWN;
}
