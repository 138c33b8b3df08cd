/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/options.h"

#include "tests/unit/unit.h"

struct target {
	bool flag, durable, other;
	uint64_t count;
	const char *text;
};

static const struct option_row rows[] = {
	{"csv", 0, OPTION_FLAG, offsetof(struct target, flag), 0, 0, NULL, "a flag"},
	{"durable", 'd', OPTION_YES_NO, offsetof(struct target, durable), 0, 0, "yes|no", "yes or no"},
	{"count", 'c', OPTION_NUMBER, offsetof(struct target, count), 1, 1000, "N", "a number"},
	{"messages", 0, OPTION_NUMBER, offsetof(struct target, count), 1, 1000, "N", NULL},
	{"text", 't', OPTION_TEXT, offsetof(struct target, text), 0, 0, "TEXT", "a text"},
};

static char error[200];

static int parse(
	struct target *t, int *rest, int argc, const char *a, const char *b, const char *c, const char *d)
{
	char *argv[] = {(char *)"tool", (char *)a, (char *)b, (char *)c, (char *)d, NULL};

	*t = (struct target){.count = 7, .durable = true};
	error[0] = '\0';
	return options_parse(rows, 5, t, argc, argv, rest, error, sizeof(error));
}

static void forms(void)
{
	struct target t;

	CU_ASSERT_EQUAL(parse(&t, NULL, 1, NULL, NULL, NULL, NULL), 0);
	CU_ASSERT(t.count == 7 && !t.flag && t.durable && !t.text);
	CU_ASSERT_EQUAL(parse(&t, NULL, 5, "--count", "12", "--text=a=b", "-csv"), 0);
	CU_ASSERT(t.count == 12 && t.flag);
	CU_ASSERT_STRING_EQUAL(t.text, "a=b");
	CU_ASSERT_EQUAL(parse(&t, NULL, 5, "-c", "13", "--durable", "no"), 0);
	CU_ASSERT(t.count == 13 && !t.durable);
	CU_ASSERT_EQUAL(parse(&t, NULL, 4, "--durable", "--messages", "14", NULL), 0);
	CU_ASSERT(t.count == 14 && t.durable);
	CU_ASSERT_EQUAL(parse(&t, NULL, 2, "-durable=off", NULL, NULL, NULL), 0);
	CU_ASSERT_FALSE(t.durable);
	CU_ASSERT_EQUAL(parse(&t, NULL, 3, "-t", "-1", NULL, NULL), 0);
	CU_ASSERT_STRING_EQUAL(t.text, "-1");
}

static void refuse(int argc, const char *a, const char *b, const char *part)
{
	struct target t;

	CU_ASSERT_EQUAL(parse(&t, NULL, argc, a, b, NULL, NULL), -1);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, part));
}

static void refusals(void)
{
	refuse(2, "--cuont", NULL, "no option --cuont");
	refuse(2, "-x", NULL, "no option -x");
	refuse(2, "--count", NULL, "--count needs a value");
	refuse(3, "--count", "0", "from 1 to 1000, not '0'");
	refuse(3, "--count", "1001", "from 1 to 1000");
	refuse(3, "--count", "12x", "'12x'");
	refuse(3, "--count", "-3", "'-3'");
	refuse(3, "--count", "99999999999999999999", "from 1 to 1000");
	refuse(2, "--csv=yes", NULL, "--csv takes no value");
	refuse(2, "--durable=perhaps", NULL, "--durable is yes or no");
	refuse(2, "stray", NULL, "'stray' is no option");
}

static void rest(void)
{
	char *argv[] = {(char *)"tool", (char *)"a", (char *)"--count", (char *)"3", (char *)"b", NULL};
	struct target t = {0};
	int n;

	CU_ASSERT_EQUAL(options_parse(rows, 5, &t, 5, argv, &n, error, sizeof(error)), 0);
	CU_ASSERT_EQUAL(n, 2);
	CU_ASSERT_STRING_EQUAL(argv[0], "a");
	CU_ASSERT_STRING_EQUAL(argv[1], "b");
	CU_ASSERT_EQUAL(t.count, 3);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"forms", forms}, {"refusals", refusals}, {"rest", rest}, {0}});
}
