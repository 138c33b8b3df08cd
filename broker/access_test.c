/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/access.h"

#include "runtime/reclaim.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct pattern_match *match;
static char error[ACCESS_ERROR_BYTES];

static struct slice text(const char *s)
{
	return (struct slice){(const uint8_t *)s, (uint32_t)strlen(s)};
}

static struct access *begin(const struct access_permission *permissions, uint32_t count)
{
	reclaim_start_manual();
	match = pattern_match_create();
	struct access *a = access_create(permissions, count, error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(match);
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	return a;
}

static void end(struct access *a)
{
	while (reclaim_run())
		;
	CU_ASSERT_EQUAL(reclaim_pending(), 0);
	access_destroy(a);
	pattern_match_destroy(match);
	reclaim_stop();
}

static bool allows(const struct access_grant *g, enum access_kind kind, const char *name)
{
	return access_allows(g, match, kind, text(name));
}

static void without_permissions_everything(void)
{
	struct access *a = begin(NULL, 0);
	struct access_grant *g = access_open(a, text("anyone"), text("anywhere"));

	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	for (unsigned k = 0; k < ACCESS_KINDS; k++) {
		CU_ASSERT_TRUE(allows(g, k, "x"));
		CU_ASSERT_TRUE(allows(g, k, ""));
	}
	access_close(g);
	end(a);
}

static const struct access_permission some[] = {
	{"ann", "/", {"^ann\\.", ".*", ""}},
	{"ann", "other", {"", "^amq\\.default$", "^$"}},
	{"bob", "/", {".*", ".*", ".*"}},
};

static void by_user_and_vhost(void)
{
	struct access *a = begin(some, 3);

	CU_ASSERT_PTR_NULL(access_open(a, text("bob"), text("other")));
	CU_ASSERT_PTR_NULL(access_open(a, text("carl"), text("/")));
	CU_ASSERT_PTR_NULL(access_open(a, text("an"), text("/")));
	CU_ASSERT_PTR_NULL(access_open(a, text(""), text("/")));
	struct access_grant *root = access_open(a, text("ann"), text("/"));
	struct access_grant *other = access_open(a, text("ann"), text("other"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	CU_ASSERT_PTR_NOT_NULL_FATAL(other);
	CU_ASSERT_TRUE(allows(root, ACCESS_CONFIGURE, "ann.q"));
	CU_ASSERT_FALSE(allows(root, ACCESS_CONFIGURE, "my.ann.q"));
	CU_ASSERT_TRUE(allows(root, ACCESS_WRITE, "anything"));
	CU_ASSERT_FALSE(allows(other, ACCESS_WRITE, "anything"));
	access_close(root);
	access_close(other);
	end(a);
}

static void empty_is_no_name(void)
{
	struct access *a = begin(some, 3);
	struct access_grant *g = access_open(a, text("ann"), text("/"));

	CU_ASSERT_FALSE(allows(g, ACCESS_READ, "x"));
	CU_ASSERT_FALSE(allows(g, ACCESS_READ, "")); /* is amq.default */
	access_close(g);
	end(a);
}

static void default_exchange_has_a_name(void)
{
	struct access *a = begin(some, 3);
	struct access_grant *g = access_open(a, text("ann"), text("other"));

	CU_ASSERT_TRUE(allows(g, ACCESS_WRITE, ""));
	CU_ASSERT_TRUE(allows(g, ACCESS_WRITE, "amq.default"));
	CU_ASSERT_FALSE(allows(g, ACCESS_WRITE, "amq.direct"));
	access_close(g);
	end(a);
}

/* What runs into a limit is refused, and what comes after it is not. */
static void gives_up_is_no(void)
{
	struct access_permission p = {"u", "/", {"^(a|aa)+$", ".*", ".*"}};
	struct access *a = begin(&p, 1);
	struct access_grant *g = access_open(a, text("u"), text("/"));
	char name[256] = {0};

	memset(name, 'a', 254);
	CU_ASSERT_TRUE(allows(g, ACCESS_CONFIGURE, "aaa"));
	name[254] = 'b';
	CU_ASSERT_FALSE(allows(g, ACCESS_CONFIGURE, name));
	CU_ASSERT_TRUE(allows(g, ACCESS_CONFIGURE, "aaa"));
	access_close(g);
	end(a);
}

static void open_grants_outlive_a_reload(void)
{
	struct access_permission next = {"bob", "other", {".*", "^only$", ".*"}};
	struct access *a = begin(some, 3);
	struct access_grant *was = access_open(a, text("ann"), text("/"));

	CU_ASSERT_EQUAL(access_replace(a, &next, 1, error), 0);
	CU_ASSERT_EQUAL(reclaim_run(), 1);
	CU_ASSERT_TRUE(allows(was, ACCESS_CONFIGURE, "ann.q"));
	CU_ASSERT_PTR_NULL(access_open(a, text("ann"), text("/")));
	struct access_grant *is = access_open(a, text("bob"), text("other"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(is);
	CU_ASSERT_FALSE(allows(is, ACCESS_WRITE, "q"));
	access_close(is);
	CU_ASSERT_EQUAL(reclaim_pending(), 0);
	access_close(was); /* the last of the old ones */
	CU_ASSERT_EQUAL(reclaim_pending(), 1);
	end(a);
}

static void a_bad_pattern_changes_nothing(void)
{
	struct access_permission bad = {"ann", "/", {".*", "(", ".*"}};
	struct access *a = begin(some, 3);

	CU_ASSERT_PTR_NULL(access_create(&bad, 1, error));
	CU_ASSERT_STRING_EQUAL(error, "write: missing closing parenthesis, behind octet 1");
	CU_ASSERT_EQUAL(access_replace(a, &bad, 1, error), -1);
	struct access_grant *g = access_open(a, text("bob"), text("/"));
	CU_ASSERT_PTR_NOT_NULL(g);
	access_close(g);
	end(a);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"without_permissions_everything", without_permissions_everything},
			{"by_user_and_vhost", by_user_and_vhost}, {"empty_is_no_name", empty_is_no_name},
			{"default_exchange_has_a_name", default_exchange_has_a_name},
			{"gives_up_is_no", gives_up_is_no},
			{"open_grants_outlive_a_reload", open_grants_outlive_a_reload},
			{"a_bad_pattern_changes_nothing", a_bad_pattern_changes_nothing}, {0}});
}
