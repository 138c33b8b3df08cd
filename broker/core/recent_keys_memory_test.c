/* SPDX-License-Identifier: Apache-2.0 */
/* What recent keys do without memory, and with a hundred thousand. */
#include "broker/core/recent_fixture.h"

/* The numbers below MANY, the first n of them in any order. */
static void shuffle(uint32_t *order, uint32_t n)
{
	for (uint32_t i = 0; i < MANY; i++)
		order[i] = i;
	for (uint32_t i = n; i > 1; i--) {
		uint32_t other = unit_random_below(i), was = order[i - 1];
		order[i - 1] = order[other];
		order[other] = was;
	}
}

/* No step is a large one, whatever the size; and the memory comes back. */
static void many_and_none_again(void)
{
	static uint32_t order[MANY];
	unsigned wrong = 0, steep = 0;

	recent_begin(0);
	for (unsigned round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < MANY; i++) {
			uint32_t buckets = recent.buckets, asked = recent_memory.asked;
			wrong += claim_at(i, 0) != RECENT_NEW;
			recent_keys_keep(&recent, claim, RECENT_NEVER_EXPIRES);
			steep += i > 0 && (recent.buckets > buckets + 1 || recent_memory.asked > asked + 2);
		}
		CU_ASSERT_EQUAL(recent_keys_count(&recent), MANY);
		CU_ASSERT_EQUAL(recent.buckets, MANY);
		CU_ASSERT_TRUE(recent_memory.largest <= 65536 * 40);
		CU_ASSERT_TRUE(recent_memory.bytes <= 131072 * 44);
		for (uint32_t i = 0; i < MANY; i++)
			wrong += claim_at(i, 0) != RECENT_KNOWN;
		shuffle(order, round == 0 ? MANY : 1); /* the second time first in, first out */
		for (uint32_t i = 0; i < MANY; i++) {
			uint32_t buckets = recent.buckets, segments = recent.segments_count;
			wrong += !recent_keys_forget(&recent, key(order[i]));
			steep += recent.buckets + 2 < buckets || recent.segments_count + 1 < segments;
			if (i % 64 == 0)
				wrong += recent_keys_forget(&recent, key(order[i / 2])) +
					 (i + 1 < MANY && claim_at(order[i + 1], 0) != RECENT_KNOWN);
		}
		CU_ASSERT_EQUAL(recent_keys_count(&recent), 0);
		for (unsigned i = 0; i < 20; i++) {
			uint32_t segments = recent.segments_count;
			recent_keys_tidy(&recent, 0, 0);
			steep += recent.segments_count + 1 < segments;
		}
		CU_ASSERT_EQUAL(recent_memory.bytes, 64 * 44);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(steep, 0);
	recent_end();
}

/* About one key a bucket: lookups stay short. */
static void buckets_follow_keys(void)
{
	recent_begin(0);
	for (uint32_t i = 0; i < 1000; i++)
		keep(i);
	CU_ASSERT_EQUAL(recent.buckets, 1000);
	for (uint32_t i = 0; i < 900; i++)
		CU_ASSERT_TRUE(recent_keys_forget(&recent, key(i)));
	CU_ASSERT_TRUE(recent.buckets >= 200 && recent.buckets <= 204);
	recent_end();
}

static void segments_follow_keys(void)
{
	recent_begin(0);
	for (uint32_t i = 0; i < 1000; i++)
		keep(i);
	CU_ASSERT_EQUAL(recent.segments_count, 5);
	for (uint32_t i = 1000; i > 97; i--)
		CU_ASSERT_TRUE(recent_keys_forget(&recent, key(i - 1)));
	CU_ASSERT_EQUAL(recent.segments_count, 3);
	CU_ASSERT_TRUE(recent_keys_forget(&recent, key(96))); /* half of the second segment */
	CU_ASSERT_EQUAL(recent.segments_count, 2);
	recent_end();
}

/* A step to and fro at a segment's end does not ask for memory each time. */
static void segments_do_not_flap(void)
{
	static const uint32_t ends[] = {64, 128, 256, 1024};

	recent_begin(0);
	for (unsigned i = 0; i < 4; i++) {
		for (uint32_t n = recent_keys_count(&recent); n <= ends[i]; n++)
			keep(n);
		unsigned asked = recent_memory.asked;
		for (unsigned step = 0; step < 100; step++) {
			for (uint32_t n = ends[i] - 3; n <= ends[i]; n++)
				CU_ASSERT_TRUE(recent_keys_forget(&recent, key(n)));
			for (uint32_t n = ends[i] - 3; n <= ends[i]; n++)
				keep(n);
		}
		CU_ASSERT_EQUAL(recent_memory.asked, asked);
	}
	recent_end();
}

/* Nothing from the nth area on: what is there stays, and all goes on when there is memory again. */
static void without_memory(void)
{
	for (unsigned n = 0; n < 12; n++) {
		uint32_t count = 0;
		recent_begin(0);
		recent_memory.refuse_after = n;
		while (claim_at(count, 0) == RECENT_NEW) {
			recent_keys_keep(&recent, claim, RECENT_NEVER_EXPIRES);
			count++;
		}
		CU_ASSERT_EQUAL(claim_at(count, 0), RECENT_NO_MEMORY);
		CU_ASSERT_EQUAL(recent_keys_count(&recent), count);
		CU_ASSERT_EQUAL(count > 0, n > 1);
		for (uint32_t i = 0; i < count; i++)
			CU_ASSERT_TRUE(knows(i));
		recent_memory.refuse_after = UINT32_MAX;
		for (uint32_t i = count; i < 5000; i++)
			keep(i);
		CU_ASSERT_EQUAL(recent.buckets, 5000);
		recent_end();
	}
}

/* Heads are a tenth of what entries take, and the first to be missing: chains are longer, no key is lost. */
static void without_memory_for_buckets(void)
{
	unsigned wrong = 0;

	recent_begin(0);
	keep(0);
	recent_memory.refuse_heads = true;
	for (uint32_t i = 1; i < 1000; i++)
		keep(i);
	CU_ASSERT_TRUE(recent_memory.refused > 0);
	CU_ASSERT_EQUAL(recent.buckets, 64);
	for (uint32_t i = 0; i < 1000; i++)
		wrong += claim_at(i, 0) != RECENT_KNOWN;
	recent_memory.refuse_heads = false;
	for (uint32_t i = 1000; i < 3000; i++)
		keep(i);
	CU_ASSERT_EQUAL(recent.buckets, 3000);
	for (uint32_t i = 0; i < 3000; i++)
		wrong += !recent_keys_forget(&recent, key(i));
	CU_ASSERT_EQUAL(wrong, 0);
	recent_end();
}

/* Where one goes, another can come. */
static void the_oldest_makes_room_without_memory(void)
{
	recent_begin(200);
	for (uint32_t i = 0; i < 200; i++)
		keep(i);
	recent_memory.refuse_after = 0;
	for (uint32_t i = 200; i < 2000; i++)
		keep(i);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 200);
	for (uint32_t i = 1800; i < 2000; i++)
		CU_ASSERT_TRUE(knows(i));
	recent_end();
}

static void plain_memory(void)
{
	recent_keys_init(&recent, 0, NULL);
	for (uint32_t i = 0; i < 1000; i++)
		keep(i);
	CU_ASSERT_TRUE(knows(999));
	recent_keys_destroy(&recent);
	recent_keys_init(&recent, 0, NULL);
	recent_keys_destroy(&recent);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"many_and_none_again", many_and_none_again},
			{"buckets_follow_keys", buckets_follow_keys},
			{"segments_follow_keys", segments_follow_keys},
			{"segments_do_not_flap", segments_do_not_flap}, {"without_memory", without_memory},
			{"without_memory_for_buckets", without_memory_for_buckets},
			{"the_oldest_makes_room_without_memory", the_oldest_makes_room_without_memory},
			{"plain_memory", plain_memory}, {0}});
}
