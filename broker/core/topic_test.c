/* SPDX-License-Identifier: Apache-2.0 */
/* Topic patterns against an obvious model: a recursive comparison of words, pattern by pattern. */
#include "broker/core/core_fixture.h"

#include <stdio.h>
#include <string.h>

/* Splits in place; "" has no word. */
static unsigned split(char *key, char *words[], unsigned max)
{
	unsigned n = 0;

	if (!*key)
		return 0;
	for (char *at = key; at && n < max; n++) {
		words[n] = at;
		at = strchr(at, '.');
		if (at)
			*at++ = 0;
	}
	return n;
}

static bool model_match(char **pattern, unsigned p, char **key, unsigned k)
{
	if (p == 0)
		return k == 0;
	if (strcmp(pattern[0], "#") == 0)
		return model_match(pattern + 1, p - 1, key, k) ||
		       (k > 0 && model_match(pattern, p, key + 1, k - 1));
	if (k == 0 || (strcmp(pattern[0], "*") != 0 && strcmp(pattern[0], key[0]) != 0))
		return false;
	return model_match(pattern + 1, p - 1, key + 1, k - 1);
}

static bool model(const char *pattern, const char *key)
{
	char p[64], k[64], *pattern_words[16], *key_words[16];

	snprintf(p, sizeof(p), "%s", pattern);
	snprintf(k, sizeof(k), "%s", key);
	unsigned pn = split(p, pattern_words, 16);
	return model_match(pattern_words, pn, key_words, split(k, key_words, 16));
}

static void random_words(char *to, const char *const *from, unsigned kinds, unsigned words_max)
{
	unsigned n = unit_random_below(words_max + 1);

	to[0] = 0;
	for (unsigned i = 0; i < n; i++) {
		if (i > 0)
			strcat(to, ".");
		strcat(to, from[unit_random_below(kinds)]);
	}
}

static bool routes_to(const char *key, const char *queue)
{
	struct vhost *v = fixture.session[0].vhost;
	struct exchange *x = exchange_find(v, text("amq.topic"));
	struct queue *q = queue_find(v, text(queue));

	route_whole(x, &(struct route_request){.routing_key = text(key)});
	for (uint32_t i = 0; i < fixture.core->route->count; i++)
		if (fixture.core->route->queues[i] == q)
			return true;
	return false;
}

static void matches_expected(void)
{
	static const struct {
		const char *pattern, *key;
		bool match;
	} cases[] = {
		{"a.b", "a.b", true},
		{"a.b", "a", false},
		{"a.b", "a.b.c", false},
		{"*", "a", true},
		{"*", "", false},
		{"*", "a.b", false},
		{"#", "", true},
		{"#", "a.b.c", true},
		{"a.#", "a", true},
		{"a.#", "a.b.c", true},
		{"a.#", "b", false},
		{"#.c", "c", true},
		{"#.c", "a.b.c", true},
		{"#.c", "a.c.b", false},
		{"a.#.c", "a.c", true},
		{"a.#.c", "a.b.b.c", true},
		{"*.#", "", false},
		{"*.#", "a", true},
		{"#.*", "a.b", true},
		{"#.#", "", true},
		{"#.*.#", "", false},
		{"#.*.#.*", "a.b", true},
		{"#.*.#.*", "a", false},
		{"", "", true},
		{"", "a", false},
		{"a.", "a.", true},
		{"a.", "a", false},
		{"a..b", "a..b", true},
		{"a.*.b", "a..b", true},
		{".", ".", true},
		{"a", ".a", false},
		{".a", ".a", true},
		{"*.a", ".a", true},
		{"#.a", ".a", true},
		{"a.*", "a.", true},
		{"a.#", "a.", true},
		{"a.*", "a", false},
		{"*", ".", false},
		{"#", ".", true},
		{"*.#", ".", true},
		{"*.*", "a", false},
		{"", ".", false},
		{"#.", "", false},
		{"#.", "a.", true},
		{".#", "", false},
		{".#", ".a", true},
		{"..", "..", true},
		{"*..*", "...", false},
		{"*.*.*", "..", true},
		{"a.#.#.b", "a.b", true},
		{"a.#.*.b", "a.b", false},
		{"a.#.*.b", "a.x.b", true},
		{"#.#.#", "a", true},
		{"#.*", "", false},
		{"*.#.*", "a", false},
		{"##", "##", true},
		{"##", "a", false},
		{"a#", "a", false},
		{"#.a.#", "a", true},
		{"#.a.#", "b.a.c", true},
		{"#.a.#", "b.c", false},
		{"*.*", ".", true},
		{"a*", "ab", false},
		{"a*", "a*", true},
		{"*", "*", true},
		{"#", "#", true},
	};

	fixture_begin();
	queue_make("q");
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CU_ASSERT_EQUAL(model(cases[i].pattern, cases[i].key), cases[i].match);
		CU_ASSERT_EQUAL(bind_code("amq.topic", "q", cases[i].pattern), 0);
		CU_ASSERT_EQUAL(routes_to(cases[i].key, "q"), cases[i].match);
		CU_ASSERT_EQUAL(unbind_code("amq.topic", "q", cases[i].pattern), 0);
		CU_ASSERT_EQUAL(fixture.broker->trie_nodes, 0);
	}
	fixture_end();
}

enum { PATTERNS = 40 };

/* Patterns come and go while keys are looked up; every queue holds one pattern. */
static void random_patterns_match_the_model(void)
{
	static const char *const pattern_words[] = {"a", "b", "", "*", "#", "#", "c"};
	static const char *const key_words[] = {"a", "b", "", "c", "d"};
	static char patterns[PATTERNS][64];
	static bool bound[PATTERNS];
	char names[PATTERNS][8];
	unsigned wrong = 0;

	fixture_begin();
	for (unsigned i = 0; i < PATTERNS; i++) {
		snprintf(names[i], sizeof(names[i]), "q%u", i);
		queue_make(names[i]);
		bound[i] = false;
	}
	for (unsigned step = 0; step < 3000; step++) {
		unsigned i = unit_random_below(PATTERNS);
		if (bound[i]) {
			CU_ASSERT_EQUAL(unbind_code("amq.topic", names[i], patterns[i]), 0);
		} else {
			random_words(patterns[i], pattern_words, 7, 7);
			CU_ASSERT_EQUAL(bind_code("amq.topic", names[i], patterns[i]), 0);
		}
		bound[i] = !bound[i];
		char key[64];
		random_words(key, key_words, 5, 8);
		for (unsigned k = 0; k < PATTERNS; k++)
			wrong += routes_to(key, names[k]) != (bound[k] && model(patterns[k], key));
	}
	CU_ASSERT_EQUAL(wrong, 0);
	fixture_end();
}

/* Without care, a chain of '#' costs as many steps as there are ways to share out the words. */
static void chains_of_hashes_stay_cheap(void)
{
	char key[256], pattern[256] = "";

	fixture_begin();
	queue_make("q");
	for (unsigned i = 0; i < 50; i++)
		strcat(pattern, "#.*.");
	strcat(pattern, "#.z");
	CU_ASSERT_EQUAL(bind_code("amq.topic", "q", pattern), 0);
	memset(key, '.', 255);
	key[255] = 0;
	CU_ASSERT_FALSE(routes_to(key, "q"));
	key[254] = 'z';
	key[253] = '.';
	CU_ASSERT_TRUE(routes_to(key, "q"));
	fixture_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"matches_expected", matches_expected},
			{"random_patterns_match_the_model", random_patterns_match_the_model},
			{"chains_of_hashes_stay_cheap", chains_of_hashes_stay_cheap}, {0}});
}
