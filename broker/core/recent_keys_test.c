/* SPDX-License-Identifier: Apache-2.0 */
/* Each rule of the recent keys, what they do without memory and with a hundred thousand, and random changes
 * beside a plain array that is searched from end to end. */
#include "broker/core/recent_keys.h"

#include "tests/unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 100000, AREAS_MAX = 64 };

static const struct siphash_key keys[2] = {{1, 2}, {3, 4}};
static struct recent_keys recent;
static uint32_t claim;

/* Memory that counts, checks what comes back, and is refused from the refuse_after-th area on, or now and
 * then. */
static struct {
	struct {
		void *p;
		size_t bytes;
	} areas[AREAS_MAX];
	size_t bytes, largest;
	unsigned asked, refused, refuse_after, refuse_one_in;
	bool refuse_heads;
} memory;

static bool is_refused(size_t bytes)
{
	return memory.asked++ >= memory.refuse_after || (memory.refuse_heads && bytes % 40 != 0) ||
	       (memory.refuse_one_in && unit_random_below(memory.refuse_one_in) == 0);
}

static void *area_alloc(void *ctx, size_t bytes, size_t align)
{
	unsigned i = 0;

	if (is_refused(bytes)) {
		memory.refused++;
		return NULL;
	}
	while (memory.areas[i].p)
		i++;
	CU_ASSERT_FATAL(i < AREAS_MAX - 1);
	memory.areas[i].p = aligned_alloc(align, bytes);
	memory.areas[i].bytes = bytes;
	memset(memory.areas[i].p, 0x5a, bytes); /* nobody counts on zeros */
	memory.bytes += bytes;
	memory.largest = bytes > memory.largest ? bytes : memory.largest;
	return memory.areas[i].p;
}

static void area_release(void *ctx, void *p, size_t bytes)
{
	unsigned i = 0;

	while (i < AREAS_MAX && memory.areas[i].p != p)
		i++;
	CU_ASSERT_FATAL(p && i < AREAS_MAX);
	CU_ASSERT_EQUAL(memory.areas[i].bytes, bytes);
	memory.areas[i].p = NULL;
	memory.bytes -= bytes;
	free(p);
}

static void begin(uint32_t most)
{
	static const struct pool_memory areas = {area_alloc, area_release, NULL};

	memset(&memory, 0, sizeof(memory));
	memory.refuse_after = UINT32_MAX;
	recent_keys_init(&recent, most, &areas);
}

static void end(void)
{
	recent_keys_destroy(&recent);
	CU_ASSERT_EQUAL(memory.bytes, 0);
}

static struct recent_key key(uint32_t number)
{
	return recent_key_of(keys, 1, (struct slice){(const uint8_t *)&number, sizeof(number)});
}

static enum recent claim_at(uint32_t number, uint64_t now_us)
{
	return recent_keys_claim(&recent, key(number), now_us, &claim);
}

static void keep_until(uint32_t number, uint64_t now_us, uint64_t expires_us)
{
	CU_ASSERT_EQUAL_FATAL(claim_at(number, now_us), RECENT_NEW);
	recent_keys_keep(&recent, claim, expires_us);
}

static void keep(uint32_t number)
{
	keep_until(number, 0, RECENT_NEVER_EXPIRES);
}

/* Whether it is kept; leaves it as it is. */
static bool knows(uint32_t number)
{
	enum recent r = claim_at(number, 0);

	if (r == RECENT_NEW)
		recent_keys_withdraw(&recent, claim);
	return r == RECENT_KNOWN;
}

static struct recent_key key_of_text(const struct siphash_key k[2], uint8_t kind, const char *s)
{
	return recent_key_of(k, kind, (struct slice){(const uint8_t *)s, (uint32_t)strlen(s)});
}

static bool same(struct recent_key a, struct recent_key b)
{
	return a.half[0] == b.half[0] && a.half[1] == b.half[1];
}

static void keys_differ_by_bytes_and_kind(void)
{
	static const struct siphash_key others[2] = {{1, 2}, {3, 5}};
	struct recent_key a = key_of_text(keys, 1, "a");

	CU_ASSERT_TRUE(same(a, key_of_text(keys, 1, "a")));
	CU_ASSERT_FALSE(same(a, key_of_text(keys, 2, "a")));
	CU_ASSERT_FALSE(same(a, key_of_text(keys, 1, "b")));
	CU_ASSERT_FALSE(same(a, key_of_text(keys, 1, "")));
	CU_ASSERT_FALSE(same(a, key_of_text(keys, 1, "aa")));
	CU_ASSERT_FALSE(same(a, key_of_text(others, 1, "a")));
	CU_ASSERT_NOT_EQUAL(a.half[0], a.half[1]);
	struct recent_key none = recent_key_of(keys, 1, (struct slice){NULL, 0});
	CU_ASSERT_TRUE(same(none, key_of_text(keys, 1, "")));
	CU_ASSERT_FALSE(same(none, recent_key_of(keys, 0, (struct slice){NULL, 0})));
}

/* One half alone does not make a key. */
static void both_halves_count(void)
{
	static const struct recent_key alike[] = {{{1, 1}}, {{1, 65}}, {{2, 1}}, {{1, 129}}};

	begin(0);
	for (unsigned i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(recent_keys_claim(&recent, alike[i], 0, &claim), RECENT_NEW);
		recent_keys_keep(&recent, claim, RECENT_NEVER_EXPIRES);
	}
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 4);
	CU_ASSERT_TRUE(recent_keys_forget(&recent, alike[2]));
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(
			recent_keys_claim(&recent, alike[i], 0, &claim), i == 2 ? RECENT_NEW : RECENT_KNOWN);
	end();
}

static void a_claim_stands_until_it_is_kept(void)
{
	uint32_t other;

	begin(0);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 0);
	CU_ASSERT_EQUAL(claim_at(1, 0), RECENT_NEW);
	CU_ASSERT_EQUAL(recent_keys_claim(&recent, key(1), 0, &other), RECENT_CLAIMED);
	CU_ASSERT_EQUAL(recent_keys_claim(&recent, key(2), 0, &other), RECENT_NEW);
	CU_ASSERT_NOT_EQUAL(claim, other);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 2);
	CU_ASSERT_TRUE(recent_keys_claimed(&recent, key(1)));
	CU_ASSERT_FALSE(recent_keys_claimed(&recent, key(3)));
	recent_keys_keep(&recent, claim, RECENT_NEVER_EXPIRES);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 2);
	CU_ASSERT_FALSE(recent_keys_claimed(&recent, key(1)));
	CU_ASSERT_EQUAL(claim_at(1, 0), RECENT_KNOWN);
	CU_ASSERT_EQUAL(claim_at(2, 0), RECENT_CLAIMED);
	end();
}

static void what_is_withdrawn_was_never_there(void)
{
	begin(0);
	keep(1);
	CU_ASSERT_EQUAL(claim_at(2, 0), RECENT_NEW);
	recent_keys_withdraw(&recent, claim);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 1);
	CU_ASSERT_FALSE(recent_keys_forget(&recent, key(2)));
	CU_ASSERT_EQUAL(claim_at(2, 0), RECENT_NEW);
	recent_keys_keep(&recent, claim, RECENT_NEVER_EXPIRES);
	CU_ASSERT_TRUE(knows(1) && knows(2));
	end();
}

static void what_has_expired_is_absent(void)
{
	begin(0);
	keep_until(1, 0, RECENT_NEVER_EXPIRES);
	keep_until(2, 0, 1000);
	CU_ASSERT_EQUAL(claim_at(2, 999), RECENT_KNOWN);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 2);
	CU_ASSERT_EQUAL(claim_at(2, 1000), RECENT_NEW);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 2);
	CU_ASSERT_EQUAL(claim_at(2, 1000), RECENT_CLAIMED);
	recent_keys_keep(&recent, claim, 2000);
	CU_ASSERT_EQUAL(claim_at(2, 1999), RECENT_KNOWN);
	CU_ASSERT_EQUAL(claim_at(1, UINT64_MAX), RECENT_KNOWN);
	CU_ASSERT_EQUAL(claim_at(2, UINT64_MAX), RECENT_NEW);
	end();
}

/* A claim takes as long as it takes: no time is its time. */
static void a_claim_does_not_expire(void)
{
	begin(0);
	keep_until(1, 0, 10);
	CU_ASSERT_EQUAL(claim_at(1, 10), RECENT_NEW);
	CU_ASSERT_EQUAL(claim_at(1, UINT64_MAX - 1), RECENT_CLAIMED);
	CU_ASSERT_EQUAL(recent_keys_tidy(&recent, UINT64_MAX - 1, 10), 0);
	end();
}

static void the_oldest_makes_room(void)
{
	begin(3);
	keep(1);
	keep(2);
	keep(3);
	CU_ASSERT_EQUAL(claim_at(1, 0), RECENT_KNOWN); /* and no younger for it */
	keep(4);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 3);
	keep(5);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 3);
	for (uint32_t i = 3; i <= 5; i++)
		CU_ASSERT_EQUAL(claim_at(i, 0), RECENT_KNOWN);
	CU_ASSERT_FALSE(recent_keys_forget(&recent, key(1)));
	CU_ASSERT_FALSE(recent_keys_forget(&recent, key(2)));
	/* Room that is there is taken first. */
	CU_ASSERT_TRUE(recent_keys_forget(&recent, key(4)));
	keep(6);
	for (uint32_t i = 3; i <= 6; i++)
		CU_ASSERT_EQUAL(recent_keys_forget(&recent, key(i)), i != 4);
	end();
}

/* Age counts from when a key was kept, not from when it was claimed. */
static void claims_do_not_make_room(void)
{
	uint32_t first, second;

	begin(2);
	CU_ASSERT_EQUAL(recent_keys_claim(&recent, key(1), 0, &first), RECENT_NEW);
	keep(2);
	CU_ASSERT_EQUAL(recent_keys_claim(&recent, key(3), 0, &second), RECENT_NEW);
	CU_ASSERT_FALSE(recent_keys_forget(&recent, key(2)));
	CU_ASSERT_EQUAL(claim_at(4, 0), RECENT_NO_MEMORY);
	CU_ASSERT_EQUAL(claim_at(1, 0), RECENT_CLAIMED);
	recent_keys_keep(&recent, second, RECENT_NEVER_EXPIRES);
	recent_keys_keep(&recent, first, RECENT_NEVER_EXPIRES);
	keep(4);
	CU_ASSERT_FALSE(recent_keys_forget(&recent, key(3)));
	CU_ASSERT_TRUE(recent_keys_forget(&recent, key(1)));
	CU_ASSERT_TRUE(recent_keys_forget(&recent, key(4)));
	end();
}

static void one_key_at_most(void)
{
	begin(1);
	keep_until(1, 0, 10);
	CU_ASSERT_EQUAL(claim_at(1, 10), RECENT_NEW);
	CU_ASSERT_EQUAL(claim_at(2, 10), RECENT_NO_MEMORY);
	recent_keys_keep(&recent, claim, RECENT_NEVER_EXPIRES);
	keep(2);
	CU_ASSERT_EQUAL(claim_at(2, 0), RECENT_KNOWN);
	CU_ASSERT_EQUAL(claim_at(1, 0), RECENT_NEW);
	end();
}

static void only_what_is_kept_is_forgotten(void)
{
	begin(0);
	CU_ASSERT_FALSE(recent_keys_forget(&recent, key(1)));
	CU_ASSERT_EQUAL(memory.asked, 0);
	CU_ASSERT_EQUAL(claim_at(1, 0), RECENT_NEW);
	CU_ASSERT_FALSE(recent_keys_forget(&recent, key(1)));
	CU_ASSERT_EQUAL(claim_at(1, 0), RECENT_CLAIMED);
	recent_keys_keep(&recent, claim, RECENT_NEVER_EXPIRES);
	CU_ASSERT_TRUE(recent_keys_forget(&recent, key(1)));
	CU_ASSERT_FALSE(recent_keys_forget(&recent, key(1)));
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 0);
	CU_ASSERT_FALSE(knows(1));
	end();
}

static void clearing_spares_claims(void)
{
	uint32_t held;

	begin(0);
	recent_keys_clear(&recent);
	for (uint32_t i = 0; i < 1000; i++)
		keep(i);
	CU_ASSERT_EQUAL(recent_keys_claim(&recent, key(1000), 0, &held), RECENT_NEW);
	recent_keys_clear(&recent);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 1);
	CU_ASSERT_EQUAL(claim_at(1000, 0), RECENT_CLAIMED);
	CU_ASSERT_FALSE(recent_keys_forget(&recent, key(500)));
	CU_ASSERT_FALSE(knows(500));
	keep(900);
	recent_keys_keep(&recent, held, RECENT_NEVER_EXPIRES);
	CU_ASSERT_TRUE(knows(900) && knows(1000));
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 2);
	/* What is left is gone in bounded steps. */
	CU_ASSERT_EQUAL(recent_keys_tidy(&recent, 0, 100), 100);
	uint32_t left = recent_keys_tidy(&recent, 0, UINT32_MAX);
	CU_ASSERT_TRUE(left > 850 && left < 900);
	CU_ASSERT_EQUAL(recent_keys_tidy(&recent, 0, UINT32_MAX), 0);
	CU_ASSERT_TRUE(knows(900) && knows(1000));
	CU_ASSERT_TRUE(recent_keys_forget(&recent, key(1000))); /* which held the highest segment */
	for (unsigned i = 0; i < 5; i++)
		recent_keys_tidy(&recent, 0, 0);
	CU_ASSERT_EQUAL(recent.segments_count, 1);
	end();
}

/* A second clearing while the first one's keys are there still; then room where there are `most`. */
static void clearing_again(void)
{
	begin(100);
	for (unsigned round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < 3; i++)
			keep(round * 3 + i);
		recent_keys_clear(&recent);
		CU_ASSERT_EQUAL(recent_keys_count(&recent), 0);
	}
	for (uint32_t i = 0; i < 150; i++)
		CU_ASSERT_FALSE(recent_keys_forget(&recent, key(i)));
	for (uint32_t i = 0; i < 101; i++)
		keep(i);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 100);
	for (uint32_t i = 0; i < 101; i++)
		CU_ASSERT_EQUAL(recent_keys_forget(&recent, key(i)), i > 0);
	end();
}

static void epochs_come_round(void)
{
	begin(0);
	recent.epoch = (1 << 30) - 2;
	for (unsigned round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < 10; i++)
			keep(i);
		CU_ASSERT_TRUE(knows(9));
		recent_keys_clear(&recent);
		CU_ASSERT_FALSE(knows(9));
	}
	CU_ASSERT_EQUAL(recent.epoch, 2);
	end();
}

/* New keys take the expired with them, so that a set with a time for its keys stays small. */
static void the_expired_go_as_others_come(void)
{
	begin(0);
	for (uint32_t i = 0; i < MANY / 10; i++) {
		keep_until(i, i, i + 100);
		CU_ASSERT_TRUE(recent_keys_count(&recent) <= 101);
	}
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 100);
	CU_ASSERT_EQUAL(recent_keys_tidy(&recent, MANY / 10 + 9, 6), 6);
	CU_ASSERT_EQUAL(recent_keys_tidy(&recent, MANY / 10 + 9, 6), 4);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 90);
	CU_ASSERT_EQUAL(recent_keys_tidy(&recent, MANY, UINT32_MAX), 90);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 0);
	/* Up to the first that has not expired. */
	keep_until(1, 0, 10);
	keep_until(2, 0, 20);
	keep_until(3, 0, 10);
	CU_ASSERT_EQUAL(recent_keys_tidy(&recent, 10, 3), 1);
	CU_ASSERT_EQUAL(recent_keys_tidy(&recent, 20, 3), 2);
	end();
}

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

	begin(0);
	for (unsigned round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < MANY; i++) {
			uint32_t buckets = recent.buckets, asked = memory.asked;
			wrong += claim_at(i, 0) != RECENT_NEW;
			recent_keys_keep(&recent, claim, RECENT_NEVER_EXPIRES);
			steep += i > 0 && (recent.buckets > buckets + 1 || memory.asked > asked + 2);
		}
		CU_ASSERT_EQUAL(recent_keys_count(&recent), MANY);
		CU_ASSERT_EQUAL(recent.buckets, MANY);
		CU_ASSERT_TRUE(memory.largest <= 65536 * 40);
		CU_ASSERT_TRUE(memory.bytes <= 131072 * 44);
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
		CU_ASSERT_EQUAL(memory.bytes, 64 * 44);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(steep, 0);
	end();
}

/* About one key a bucket: lookups stay short. */
static void buckets_follow_keys(void)
{
	begin(0);
	for (uint32_t i = 0; i < 1000; i++)
		keep(i);
	CU_ASSERT_EQUAL(recent.buckets, 1000);
	for (uint32_t i = 0; i < 900; i++)
		CU_ASSERT_TRUE(recent_keys_forget(&recent, key(i)));
	CU_ASSERT_TRUE(recent.buckets >= 200 && recent.buckets <= 204);
	end();
}

static void segments_follow_keys(void)
{
	begin(0);
	for (uint32_t i = 0; i < 1000; i++)
		keep(i);
	CU_ASSERT_EQUAL(recent.segments_count, 5);
	for (uint32_t i = 1000; i > 97; i--)
		CU_ASSERT_TRUE(recent_keys_forget(&recent, key(i - 1)));
	CU_ASSERT_EQUAL(recent.segments_count, 3);
	CU_ASSERT_TRUE(recent_keys_forget(&recent, key(96))); /* half of the second segment */
	CU_ASSERT_EQUAL(recent.segments_count, 2);
	end();
}

/* A step to and fro at a segment's end does not ask for memory each time. */
static void segments_do_not_flap(void)
{
	static const uint32_t ends[] = {64, 128, 256, 1024};

	begin(0);
	for (unsigned i = 0; i < 4; i++) {
		for (uint32_t n = recent_keys_count(&recent); n <= ends[i]; n++)
			keep(n);
		unsigned asked = memory.asked;
		for (unsigned step = 0; step < 100; step++) {
			for (uint32_t n = ends[i] - 3; n <= ends[i]; n++)
				CU_ASSERT_TRUE(recent_keys_forget(&recent, key(n)));
			for (uint32_t n = ends[i] - 3; n <= ends[i]; n++)
				keep(n);
		}
		CU_ASSERT_EQUAL(memory.asked, asked);
	}
	end();
}

/* Nothing from the nth area on: what is there stays, and all goes on when there is memory again. */
static void without_memory(void)
{
	for (unsigned n = 0; n < 12; n++) {
		uint32_t count = 0;
		begin(0);
		memory.refuse_after = n;
		while (claim_at(count, 0) == RECENT_NEW) {
			recent_keys_keep(&recent, claim, RECENT_NEVER_EXPIRES);
			count++;
		}
		CU_ASSERT_EQUAL(claim_at(count, 0), RECENT_NO_MEMORY);
		CU_ASSERT_EQUAL(recent_keys_count(&recent), count);
		CU_ASSERT_EQUAL(count > 0, n > 1);
		for (uint32_t i = 0; i < count; i++)
			CU_ASSERT_TRUE(knows(i));
		memory.refuse_after = UINT32_MAX;
		for (uint32_t i = count; i < 5000; i++)
			keep(i);
		CU_ASSERT_EQUAL(recent.buckets, 5000);
		end();
	}
}

/* Heads are a tenth of what entries take, and the first to be missing: chains are longer, no key is lost. */
static void without_memory_for_buckets(void)
{
	unsigned wrong = 0;

	begin(0);
	keep(0);
	memory.refuse_heads = true;
	for (uint32_t i = 1; i < 1000; i++)
		keep(i);
	CU_ASSERT_TRUE(memory.refused > 0);
	CU_ASSERT_EQUAL(recent.buckets, 64);
	for (uint32_t i = 0; i < 1000; i++)
		wrong += claim_at(i, 0) != RECENT_KNOWN;
	memory.refuse_heads = false;
	for (uint32_t i = 1000; i < 3000; i++)
		keep(i);
	CU_ASSERT_EQUAL(recent.buckets, 3000);
	for (uint32_t i = 0; i < 3000; i++)
		wrong += !recent_keys_forget(&recent, key(i));
	CU_ASSERT_EQUAL(wrong, 0);
	end();
}

/* Where one goes, another can come. */
static void the_oldest_makes_room_without_memory(void)
{
	begin(200);
	for (uint32_t i = 0; i < 200; i++)
		keep(i);
	memory.refuse_after = 0;
	for (uint32_t i = 200; i < 2000; i++)
		keep(i);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 200);
	for (uint32_t i = 1800; i < 2000; i++)
		CU_ASSERT_TRUE(knows(i));
	end();
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

/* The model: a row for each key that may be asked for. */
enum { UNIVERSE = 400, STEPS = 40000 };

enum model_state { ABSENT, MODEL_CLAIMED, MODEL_KEPT, FORGOTTEN };

static struct row {
	enum model_state state;
	uint64_t expires_us, kept_as;
	uint32_t claim;
} rows[UNIVERSE];

static struct {
	uint64_t now_us, kept; /* kept: how many ever */
	uint32_t most;
	uint64_t wrong, results[4];
} model;

static uint32_t rows_in(enum model_state state)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < UNIVERSE; i++)
		n += rows[i].state == state;
	return n;
}

static struct row *oldest_in(enum model_state state)
{
	struct row *oldest = NULL;

	for (unsigned i = 0; i < UNIVERSE; i++)
		if (rows[i].state == state && (!oldest || rows[i].kept_as < oldest->kept_as))
			oldest = &rows[i];
	return oldest;
}

static bool row_has_expired(const struct row *r)
{
	return r->expires_us != UINT64_MAX && r->expires_us <= model.now_us;
}

static uint32_t model_tidy(uint32_t n)
{
	uint32_t done = 0;
	struct row *r;

	while (done < n && (r = oldest_in(FORGOTTEN))) {
		r->state = ABSENT;
		done++;
	}
	while (done < n && (r = oldest_in(MODEL_KEPT)) && row_has_expired(r)) {
		r->state = ABSENT;
		done++;
	}
	return done;
}

static enum recent model_claim(struct row *r, bool refused)
{
	if (r->state == MODEL_CLAIMED)
		return RECENT_CLAIMED;
	if (r->state == MODEL_KEPT && !row_has_expired(r))
		return RECENT_KNOWN;
	r->state = ABSENT;
	model_tidy(2);
	if (model.most && rows_in(MODEL_CLAIMED) + rows_in(MODEL_KEPT) >= model.most) {
		struct row *oldest = oldest_in(MODEL_KEPT);
		if (!oldest)
			return RECENT_NO_MEMORY;
		oldest->state = ABSENT;
	} else if (refused) {
		return RECENT_NO_MEMORY;
	}
	r->state = MODEL_CLAIMED;
	return RECENT_NEW;
}

static void step_claim(uint32_t i)
{
	unsigned refused = memory.refused;
	enum recent r = recent_keys_claim(&recent, key(i), model.now_us, &claim);

	/* It does without memory for buckets: then another area was refused, and the claim is good. */
	model.wrong += model_claim(&rows[i], memory.refused > refused && r == RECENT_NO_MEMORY) != r;
	model.results[r]++;
	if (r == RECENT_NEW)
		rows[i].claim = claim;
}

static uint64_t random_expiry(void)
{
	return unit_random_below(5) == 0 ? UINT64_MAX : model.now_us + unit_random_below(600);
}

/* In one of three they are withdrawn. */
static void step_settle(uint32_t i)
{
	struct row *r = &rows[i];

	if (r->state != MODEL_CLAIMED)
		return;
	if (unit_random_below(3) == 0) {
		recent_keys_withdraw(&recent, r->claim);
		r->state = ABSENT;
		return;
	}
	r->expires_us = random_expiry();
	r->kept_as = model.kept++;
	r->state = MODEL_KEPT;
	recent_keys_keep(&recent, r->claim, r->expires_us);
}

static void step_forget(uint32_t i)
{
	bool there = rows[i].state == MODEL_KEPT;

	model.wrong += recent_keys_forget(&recent, key(i)) != there;
	if (there)
		rows[i].state = ABSENT;
}

static void step_clear(void)
{
	recent_keys_clear(&recent);
	if (rows_in(MODEL_KEPT) == 0)
		return;
	for (unsigned i = 0; i < UNIVERSE; i++)
		if (rows[i].state == MODEL_KEPT)
			rows[i].state = FORGOTTEN;
	for (unsigned i = 0; i < 2; i++) {
		struct row *r = oldest_in(FORGOTTEN);
		if (r)
			r->state = ABSENT;
	}
}

static void step(uint32_t reach)
{
	uint32_t i = unit_random_below(reach), what = unit_random_below(1000);

	if (what < 500)
		step_claim(i);
	else if (what < 850)
		step_settle(i);
	else if (what < 980)
		step_forget(i);
	else if (what < 990)
		model.wrong += recent_keys_tidy(&recent, model.now_us, what % 4) != model_tidy(what % 4);
	else if (what < 992)
		step_clear();
	model.now_us += unit_random_below(4);
	model.wrong += recent_keys_count(&recent) != rows_in(MODEL_CLAIMED) + rows_in(MODEL_KEPT);
}

static void run_beside_the_model(uint32_t most, uint32_t reach, unsigned refuse_one_in)
{
	begin(most);
	memset(rows, 0, sizeof(rows));
	memset(&model, 0, sizeof(model));
	model.most = most;
	for (unsigned n = 0; n < STEPS; n++) {
		memory.refuse_one_in = n < 100 && refuse_one_in ? 1 : refuse_one_in;
		step(n % 10000 < 7000 ? reach : reach / 8 + 1);
	}
	CU_ASSERT_EQUAL(model.wrong, 0);
	for (unsigned r = RECENT_NEW; r <= RECENT_CLAIMED; r++)
		CU_ASSERT_TRUE(model.results[r] > 0);
	CU_ASSERT_EQUAL(model.results[RECENT_NO_MEMORY] > 0, (most && most < 20) || refuse_one_in);
	end();
}

static void random_changes_match_the_model(void)
{
	run_beside_the_model(0, UNIVERSE, 0);
	run_beside_the_model(0, 70, 0);
	run_beside_the_model(1, 20, 0);
	run_beside_the_model(7, 60, 0);
	run_beside_the_model(300, UNIVERSE, 0);
}

static void random_changes_with_little_memory(void)
{
	run_beside_the_model(0, UNIVERSE, 2);
	run_beside_the_model(0, UNIVERSE, 20);
}

static void keep_twice(void)
{
	keep(1);
	recent_keys_keep(&recent, claim, 0);
}

static void withdraw_twice(void)
{
	claim_at(1, 0);
	recent_keys_withdraw(&recent, claim);
	recent_keys_withdraw(&recent, claim);
}

static void keep_what_is_withdrawn(void)
{
	claim_at(1, 0);
	recent_keys_withdraw(&recent, claim);
	recent_keys_keep(&recent, claim, 0);
}

static void withdraw_what_is_kept(void)
{
	keep(1);
	recent_keys_withdraw(&recent, claim);
}

static void keep_what_never_was(void)
{
	keep(1);
	recent_keys_keep(&recent, claim + 1, 0);
}

static void keep_out_of_range(void)
{
	keep(1);
	recent_keys_keep(&recent, UINT32_MAX, 0);
}

static bool aborts(void (*misuse)(void))
{
	int status;

	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		signal(SIGABRT, SIG_DFL);
		misuse();
		_exit(0);
	}
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void misuse_aborts(void)
{
	begin(0);
	CU_ASSERT_TRUE(aborts(keep_twice));
	CU_ASSERT_TRUE(aborts(withdraw_twice));
	CU_ASSERT_TRUE(aborts(keep_what_is_withdrawn));
	CU_ASSERT_TRUE(aborts(withdraw_what_is_kept));
	CU_ASSERT_TRUE(aborts(keep_what_never_was));
	CU_ASSERT_TRUE(aborts(keep_out_of_range));
	end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"keys_differ_by_bytes_and_kind", keys_differ_by_bytes_and_kind},
			{"both_halves_count", both_halves_count},
			{"a_claim_stands_until_it_is_kept", a_claim_stands_until_it_is_kept},
			{"what_is_withdrawn_was_never_there", what_is_withdrawn_was_never_there},
			{"what_has_expired_is_absent", what_has_expired_is_absent},
			{"a_claim_does_not_expire", a_claim_does_not_expire},
			{"the_oldest_makes_room", the_oldest_makes_room},
			{"claims_do_not_make_room", claims_do_not_make_room},
			{"one_key_at_most", one_key_at_most},
			{"only_what_is_kept_is_forgotten", only_what_is_kept_is_forgotten},
			{"clearing_spares_claims", clearing_spares_claims},
			{"clearing_again", clearing_again}, {"epochs_come_round", epochs_come_round},
			{"the_expired_go_as_others_come", the_expired_go_as_others_come},
			{"many_and_none_again", many_and_none_again},
			{"buckets_follow_keys", buckets_follow_keys},
			{"segments_follow_keys", segments_follow_keys},
			{"segments_do_not_flap", segments_do_not_flap}, {"without_memory", without_memory},
			{"without_memory_for_buckets", without_memory_for_buckets},
			{"the_oldest_makes_room_without_memory", the_oldest_makes_room_without_memory},
			{"plain_memory", plain_memory},
			{"random_changes_match_the_model", random_changes_match_the_model},
			{"random_changes_with_little_memory", random_changes_with_little_memory},
			{"misuse_aborts", misuse_aborts}, {0}});
}
