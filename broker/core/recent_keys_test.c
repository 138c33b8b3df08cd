/* SPDX-License-Identifier: Apache-2.0 */
/* Each rule of the recent keys. */
#include "broker/core/recent_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

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
	struct recent_key a = key_of_text(recent_hash, 1, "a");

	CU_ASSERT_TRUE(same(a, key_of_text(recent_hash, 1, "a")));
	CU_ASSERT_FALSE(same(a, key_of_text(recent_hash, 2, "a")));
	CU_ASSERT_FALSE(same(a, key_of_text(recent_hash, 1, "b")));
	CU_ASSERT_FALSE(same(a, key_of_text(recent_hash, 1, "")));
	CU_ASSERT_FALSE(same(a, key_of_text(recent_hash, 1, "aa")));
	CU_ASSERT_FALSE(same(a, key_of_text(others, 1, "a")));
	CU_ASSERT_NOT_EQUAL(a.half[0], a.half[1]);
	struct recent_key none = recent_key_of(recent_hash, 1, (struct slice){NULL, 0});
	CU_ASSERT_TRUE(same(none, key_of_text(recent_hash, 1, "")));
	CU_ASSERT_FALSE(same(none, recent_key_of(recent_hash, 0, (struct slice){NULL, 0})));
}

/* One half alone does not make a key. */
static void both_halves_count(void)
{
	static const struct recent_key alike[] = {{{1, 1}}, {{1, 65}}, {{2, 1}}, {{1, 129}}};

	recent_begin(0);
	for (unsigned i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(recent_keys_claim(&recent, alike[i], 0, &claim), RECENT_NEW);
		recent_keys_keep(&recent, claim, RECENT_NEVER_EXPIRES);
	}
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 4);
	CU_ASSERT_TRUE(recent_keys_forget(&recent, alike[2]));
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(
			recent_keys_claim(&recent, alike[i], 0, &claim), i == 2 ? RECENT_NEW : RECENT_KNOWN);
	recent_end();
}

static void a_claim_stands_until_it_is_kept(void)
{
	uint32_t other;

	recent_begin(0);
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
	recent_end();
}

static void what_is_withdrawn_was_never_there(void)
{
	recent_begin(0);
	keep(1);
	CU_ASSERT_EQUAL(claim_at(2, 0), RECENT_NEW);
	recent_keys_withdraw(&recent, claim);
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 1);
	CU_ASSERT_FALSE(recent_keys_forget(&recent, key(2)));
	CU_ASSERT_EQUAL(claim_at(2, 0), RECENT_NEW);
	recent_keys_keep(&recent, claim, RECENT_NEVER_EXPIRES);
	CU_ASSERT_TRUE(knows(1) && knows(2));
	recent_end();
}

static void what_has_expired_is_absent(void)
{
	recent_begin(0);
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
	recent_end();
}

/* A claim takes as long as it takes: no time is its time. */
static void a_claim_does_not_expire(void)
{
	recent_begin(0);
	keep_until(1, 0, 10);
	CU_ASSERT_EQUAL(claim_at(1, 10), RECENT_NEW);
	CU_ASSERT_EQUAL(claim_at(1, UINT64_MAX - 1), RECENT_CLAIMED);
	CU_ASSERT_EQUAL(recent_keys_tidy(&recent, UINT64_MAX - 1, 10), 0);
	recent_end();
}

static void the_oldest_makes_room(void)
{
	recent_begin(3);
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
	recent_end();
}

/* Age counts from when a key was kept, not from when it was claimed. */
static void claims_do_not_make_room(void)
{
	uint32_t first, second;

	recent_begin(2);
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
	recent_end();
}

static void one_key_at_most(void)
{
	recent_begin(1);
	keep_until(1, 0, 10);
	CU_ASSERT_EQUAL(claim_at(1, 10), RECENT_NEW);
	CU_ASSERT_EQUAL(claim_at(2, 10), RECENT_NO_MEMORY);
	recent_keys_keep(&recent, claim, RECENT_NEVER_EXPIRES);
	keep(2);
	CU_ASSERT_EQUAL(claim_at(2, 0), RECENT_KNOWN);
	CU_ASSERT_EQUAL(claim_at(1, 0), RECENT_NEW);
	recent_end();
}

static void only_what_is_kept_is_forgotten(void)
{
	recent_begin(0);
	CU_ASSERT_FALSE(recent_keys_forget(&recent, key(1)));
	CU_ASSERT_EQUAL(recent_memory.asked, 0);
	CU_ASSERT_EQUAL(claim_at(1, 0), RECENT_NEW);
	CU_ASSERT_FALSE(recent_keys_forget(&recent, key(1)));
	CU_ASSERT_EQUAL(claim_at(1, 0), RECENT_CLAIMED);
	recent_keys_keep(&recent, claim, RECENT_NEVER_EXPIRES);
	CU_ASSERT_TRUE(recent_keys_forget(&recent, key(1)));
	CU_ASSERT_FALSE(recent_keys_forget(&recent, key(1)));
	CU_ASSERT_EQUAL(recent_keys_count(&recent), 0);
	CU_ASSERT_FALSE(knows(1));
	recent_end();
}

static void clearing_spares_claims(void)
{
	uint32_t held;

	recent_begin(0);
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
	recent_end();
}

/* A second clearing while the first one's keys are there still; then room where there are `most`. */
static void clearing_again(void)
{
	recent_begin(100);
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
	recent_end();
}

static void epochs_come_round(void)
{
	recent_begin(0);
	recent.epoch = (1 << 30) - 2;
	for (unsigned round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < 10; i++)
			keep(i);
		CU_ASSERT_TRUE(knows(9));
		recent_keys_clear(&recent);
		CU_ASSERT_FALSE(knows(9));
	}
	CU_ASSERT_EQUAL(recent.epoch, 2);
	recent_end();
}

/* New keys take the expired with them, so that a set with a time for its keys stays small. */
static void the_expired_go_as_others_come(void)
{
	recent_begin(0);
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
	recent_end();
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
	recent_begin(0);
	CU_ASSERT_TRUE(aborts(keep_twice));
	CU_ASSERT_TRUE(aborts(withdraw_twice));
	CU_ASSERT_TRUE(aborts(keep_what_is_withdrawn));
	CU_ASSERT_TRUE(aborts(withdraw_what_is_kept));
	CU_ASSERT_TRUE(aborts(keep_what_never_was));
	CU_ASSERT_TRUE(aborts(keep_out_of_range));
	recent_end();
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
			{"misuse_aborts", misuse_aborts}, {0}});
}
