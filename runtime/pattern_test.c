/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pattern.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static struct pattern *made(const char *text)
{
	char error[PATTERN_ERROR_BYTES];
	struct pattern *p = pattern_create(text, strlen(text), error);

	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	return p;
}

static enum pattern_result find(const char *text, const char *name, size_t name_bytes)
{
	struct pattern_match *m = pattern_match_create();
	struct pattern *p = made(text);

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	enum pattern_result r = pattern_find(p, m, name, name_bytes);
	pattern_destroy(p);
	pattern_match_destroy(m);
	return r;
}

static void finds_anywhere(void)
{
	static const struct {
		const char *text, *name;
		enum pattern_result wanted;
	} all[] = {
		{".*", "", PATTERN_YES},
		{".*", "anything", PATTERN_YES},
		{"", "anything", PATTERN_YES},
		{"^$", "", PATTERN_YES},
		{"^$", "x", PATTERN_NO},
		{"^$", "\n", PATTERN_NO},
		{"^mine$", "mine\n", PATTERN_NO},
		{"order", "my-orders", PATTERN_YES},
		{"^order", "my-orders", PATTERN_NO},
		{"^(amq\\.gen.*|amq\\.default)$", "amq.gen-1", PATTERN_YES},
		{"^(amq\\.gen.*|amq\\.default)$", "amq.default", PATTERN_YES},
		{"^(amq\\.gen.*|amq\\.default)$", "amq.defaults", PATTERN_NO},
		{"(?i)ORDER", "orders", PATTERN_YES},
		{"^(?!secret)", "secret.q", PATTERN_NO},
		{"^(?!secret)", "open.q", PATTERN_YES},
	};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		CU_ASSERT_EQUAL(find(all[i].text, all[i].name, strlen(all[i].name)), all[i].wanted);
	CU_ASSERT_EQUAL(find("^$", NULL, 0), PATTERN_YES);
}

static void names_are_octets(void)
{
	char error[PATTERN_ERROR_BYTES];

	CU_ASSERT_EQUAL(find("^a.b$", "a\0b", 3), PATTERN_YES);
	CU_ASSERT_EQUAL(find("^a", "a\xff\xfe", 3), PATTERN_YES);
	CU_ASSERT_EQUAL(find("^..$", "\xc3\xa4", 2), PATTERN_YES);
	CU_ASSERT_PTR_NULL(pattern_create("(*UTF)a", 7, error));
}

static void refuses_what_is_none(void)
{
	static const char *const all[] = {
		"(", "a)", "[z-a]", "*", "a{2,1}", "\\", "(?<n>a)(?<n>b)", "((((a{999}){999}){999}){999})"};
	char error[PATTERN_ERROR_BYTES];

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		memset(error, 0, sizeof(error));
		CU_ASSERT_PTR_NULL(pattern_create(all[i], strlen(all[i]), error));
		CU_ASSERT_PTR_NOT_NULL(strstr(error, ", behind octet "));
	}
	pattern_create("ab(", 3, error);
	CU_ASSERT_STRING_EQUAL(error, "missing closing parenthesis, behind octet 3");
}

static void gives_up(void)
{
	char name[PATTERN_TEXT_MAX];

	memset(name, 'a', sizeof(name));
	CU_ASSERT_EQUAL(find("^(a+)+$", name, sizeof(name)), PATTERN_YES);
	CU_ASSERT_EQUAL(find("^(a+)+b", name, 10), PATTERN_NO);
	name[sizeof(name) - 1] = 'c';
	CU_ASSERT_EQUAL(find("^(a+)+b|^(a+)+$", name, sizeof(name)), PATTERN_GAVE_UP);
	CU_ASSERT_EQUAL(find("^(a|aa)+$", name, sizeof(name)), PATTERN_GAVE_UP);
}

/* Patterns as operators write them, against the longest names: none of them may run into a limit. */
static void ordinary_ones_end(void)
{
	static const char *const all[] = {"^(orders|invoices)\\..*$", "^team-[a-z0-9]+(\\.[a-z0-9]+)*$",
		"^(?:a|b|c|d)*$", "^a.*z$", "(aa|b)z", "^[a-z]+[0-9]+$"};
	char name[PATTERN_TEXT_MAX];

	memset(name, 'a', sizeof(name));
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		CU_ASSERT_NOT_EQUAL(find(all[i], name, sizeof(name)), PATTERN_GAVE_UP);
}

/* A match that has no memory gives up: one that needs many ways back, with wide frames, must have it from the
 * start, and whatever was matched before. */
static void room_is_there_from_the_start(void)
{
	struct pattern_match *m = pattern_match_create();
	struct pattern *deep = made("^(?:(a)|(b)|(c)|(d)|(e)|(f)|(g)|(h))*$"), *plain = made("^a");
	char name[PATTERN_TEXT_MAX];

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	memset(name, 'a', sizeof(name));
	for (unsigned i = 0; i < 100; i++) {
		CU_ASSERT_EQUAL(pattern_find(deep, m, name, sizeof(name)), PATTERN_YES);
		CU_ASSERT_EQUAL(pattern_find(plain, m, name, i + 1), PATTERN_YES);
	}
	pattern_destroy(deep);
	pattern_destroy(plain);
	pattern_match_destroy(m);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"finds_anywhere", finds_anywhere},
			{"names_are_octets", names_are_octets},
			{"refuses_what_is_none", refuses_what_is_none}, {"gives_up", gives_up},
			{"ordinary_ones_end", ordinary_ones_end},
			{"room_is_there_from_the_start", room_is_there_from_the_start}, {0}});
}
