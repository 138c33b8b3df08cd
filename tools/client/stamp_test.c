/* SPDX-License-Identifier: Apache-2.0 */
/* The order checker fails on a message that is lost, doubled, overtaken or nobody's. */
#include "tools/client/stamp.h"

#include "tests/unit/unit.h"

static uint64_t stamp_of(unsigned publisher, uint64_t number)
{
	uint8_t p[STAMP_BYTES];

	stamp_put(p, publisher, number);
	return wire_get64(p);
}

static struct stamp_account account(unsigned first, unsigned count, bool shared)
{
	struct stamp_account a;

	CU_ASSERT_FATAL(stamp_account_init(&a, first, count, shared));
	return a;
}

static void alone(void)
{
	struct stamp_account a = account(4, 2, false);
	char text[128];

	for (unsigned i = 0; i < 100; i++) {
		CU_ASSERT_EQUAL(stamp_take(&a, stamp_of(4, i)), STAMP_FINE);
		CU_ASSERT_EQUAL(stamp_take(&a, stamp_of(5, i)), STAMP_FINE);
	}
	CU_ASSERT_EQUAL(stamp_take(&a, stamp_of(5, 99)), STAMP_AGAIN);
	CU_ASSERT_EQUAL(stamp_take(&a, stamp_of(5, 0)), STAMP_AGAIN);
	CU_ASSERT_EQUAL(stamp_take(&a, stamp_of(4, 101)), STAMP_LOST);
	stamp_say(&a, STAMP_LOST, text, sizeof(text));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "message 101 of publisher 4 (100 was due)"));
	CU_ASSERT_EQUAL(stamp_take(&a, stamp_of(3, 0)), STAMP_STRANGER);
	CU_ASSERT_EQUAL(stamp_take(&a, stamp_of(6, 0)), STAMP_STRANGER);
	CU_ASSERT_EQUAL(stamp_take(&a, stamp_of(4, 100)), STAMP_FINE);
	stamp_account_free(&a);
}

static void overtaken(void)
{
	struct stamp_account a = account(0, 1, false), b = account(0, 1, true);

	CU_ASSERT_EQUAL(stamp_take(&a, stamp_of(0, 1)), STAMP_LOST);
	CU_ASSERT_EQUAL(stamp_take(&b, stamp_of(0, 1)), STAMP_FINE);
	CU_ASSERT_EQUAL(stamp_take(&b, stamp_of(0, 0)), STAMP_AGAIN);
	stamp_account_free(&a);
	stamp_account_free(&b);
}

/* Numbers 0 to 999 of two publishers over three receivers; `without` is left out, `twice` goes to two of
 * them. */
static uint64_t spread(uint64_t without, uint64_t twice)
{
	struct stamp_account a[3] = {account(0, 2, true), account(0, 2, true), account(0, 2, true)};
	uint64_t sum = 0;

	for (unsigned i = 0; i < 1000; i++)
		for (unsigned who = 0; who < 2; who++) {
			unsigned at = unit_random_below(3);
			if (i != without || who)
				CU_ASSERT_EQUAL(stamp_take(&a[at], stamp_of(who, i)), STAMP_FINE);
			if (i == twice && who)
				CU_ASSERT_EQUAL(stamp_take(&a[(at + 1) % 3], stamp_of(who, i)), STAMP_FINE);
		}
	for (unsigned i = 0; i < 3; i++) {
		sum += a[i].sum;
		stamp_account_free(&a[i]);
	}
	return sum;
}

static void shared(void)
{
	uint64_t right = stamp_sum(0, 2, 1000);

	CU_ASSERT_EQUAL(spread(5000, 5000), right);
	CU_ASSERT_NOT_EQUAL(spread(7, 5000), right);
	CU_ASSERT_NOT_EQUAL(spread(5000, 7), right);
	/* as many as there should be, but not the right ones */
	CU_ASSERT_NOT_EQUAL(spread(7, 7), right);
	CU_ASSERT_NOT_EQUAL(spread(7, 8), right);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"alone", alone}, {"overtaken", overtaken}, {"shared", shared}, {0}});
}
