/* SPDX-License-Identifier: Apache-2.0 */
/* Random changes of recent keys beside a plain array that is searched from end to end. */
#include "broker/core/recent_fixture.h"

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
	unsigned refused = recent_memory.refused;
	enum recent r = recent_keys_claim(&recent, key(i), model.now_us, &claim);

	/* It does without memory for buckets: then another area was refused, and the claim is good. */
	model.wrong += model_claim(&rows[i], recent_memory.refused > refused && r == RECENT_NO_MEMORY) != r;
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
	recent_begin(most);
	memset(rows, 0, sizeof(rows));
	memset(&model, 0, sizeof(model));
	model.most = most;
	for (unsigned n = 0; n < STEPS; n++) {
		recent_memory.refuse_one_in = n < 100 && refuse_one_in ? 1 : refuse_one_in;
		step(n % 10000 < 7000 ? reach : reach / 8 + 1);
	}
	CU_ASSERT_EQUAL(model.wrong, 0);
	for (unsigned r = RECENT_NEW; r <= RECENT_CLAIMED; r++)
		CU_ASSERT_TRUE(model.results[r] > 0);
	CU_ASSERT_EQUAL(model.results[RECENT_NO_MEMORY] > 0, (most && most < 20) || refuse_one_in);
	recent_end();
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

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"random_changes_match_the_model", random_changes_match_the_model},
			{"random_changes_with_little_memory", random_changes_with_little_memory}, {0}});
}
