/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/auth.h"

#include "runtime/clock.h"
#include "runtime/reclaim.h"
#include "tests/unit/unit.h"

#include <crypt.h>
#include <string.h>
#include <unistd.h>

static struct slice text(const char *s)
{
	return (struct slice){(const uint8_t *)s, (uint32_t)strlen(s)};
}

static void no_wake(void *ctx)
{
	(void)ctx;
}

struct answers {
	unsigned count;
	uint64_t token;
	enum auth_verdict verdict;
};

static void collect(void *ctx, uint64_t token, enum auth_verdict verdict)
{
	struct answers *a = ctx;
	a->count++;
	a->token = token;
	a->verdict = verdict;
}

static enum auth_verdict wait_answer(struct auth_port *p, uint64_t token)
{
	struct answers a = {0};

	for (unsigned i = 0; i < 2000 && a.count == 0; i++) {
		auth_poll(p, collect, &a);
		if (a.count == 0)
			usleep(5000);
	}
	CU_ASSERT_EQUAL(a.count, 1);
	CU_ASSERT_EQUAL(a.token, token);
	return a.verdict;
}

static void builtin_guest(void)
{
	struct auth *a = auth_create(NULL, 0);
	struct auth_port *p = auth_port_create(a, no_wake, NULL);

	CU_ASSERT_EQUAL(auth_check(p, text("guest"), text("guest"), true, 1), AUTH_ACCEPTED);
	CU_ASSERT_EQUAL(auth_check(p, text("guest"), text("guest"), false, 1), AUTH_REFUSED);
	CU_ASSERT_EQUAL(auth_check(p, text("guest"), text("guesT"), true, 1), AUTH_REFUSED);
	CU_ASSERT_EQUAL(auth_check(p, text("guest"), text("gues"), true, 1), AUTH_REFUSED);
	CU_ASSERT_EQUAL(auth_check(p, text("guest"), text(""), true, 1), AUTH_REFUSED);
	CU_ASSERT_EQUAL(auth_check(p, text(""), text("guest"), true, 1), AUTH_REFUSED);
	auth_port_destroy(p);
	auth_destroy(a);
}

static void clear_passwords(void)
{
	struct auth_user users[] = {{"ann", "secret", NULL}, {"bob", "pw", NULL}};
	struct auth *a = auth_create(users, 2);
	struct auth_port *p = auth_port_create(a, no_wake, NULL);

	CU_ASSERT_EQUAL(auth_check(p, text("ann"), text("secret"), false, 1), AUTH_ACCEPTED);
	CU_ASSERT_EQUAL(auth_check(p, text("bob"), text("pw"), false, 1), AUTH_ACCEPTED);
	CU_ASSERT_EQUAL(auth_check(p, text("ann"), text("pw"), true, 1), AUTH_REFUSED);
	CU_ASSERT_EQUAL(auth_check(p, text("guest"), text("guest"), true, 1), AUTH_REFUSED);
	/* A NUL padded name or password is not the same one. */
	CU_ASSERT_EQUAL(auth_check(p, (struct slice){(const uint8_t *)"ann\0", 4}, text("secret"), true, 1),
		AUTH_REFUSED);
	CU_ASSERT_EQUAL(auth_check(p, text("bob"), (struct slice){(const uint8_t *)"pw\0", 3}, true, 1),
		AUTH_REFUSED);
	uint8_t longer[300] = {0};
	CU_ASSERT_EQUAL(auth_check(p, (struct slice){longer, 300}, text("x"), true, 1), AUTH_REFUSED);
	CU_ASSERT_EQUAL(auth_check(p, text("ann"), (struct slice){longer, 300}, true, 1), AUTH_REFUSED);
	auth_port_destroy(p);
	auth_destroy(a);
}

static void hashed_passwords(void)
{
	char hash[384];
	snprintf(hash, sizeof(hash), "%s", crypt("secret", "$6$rounds=1000$saltsalt"));
	struct auth_user users[] = {{"ann", NULL, hash}};
	struct auth *a = auth_create(users, 1);
	struct auth_port *p = auth_port_create(a, no_wake, NULL);

	CU_ASSERT_EQUAL(auth_check(p, text("ann"), text("secret"), false, 41), AUTH_PENDING);
	CU_ASSERT_EQUAL(wait_answer(p, 41), AUTH_ACCEPTED);
	CU_ASSERT_EQUAL(auth_check(p, text("ann"), text("secreT"), false, 42), AUTH_PENDING);
	CU_ASSERT_EQUAL(wait_answer(p, 42), AUTH_REFUSED);
	/* An unknown name is measured against a hash too, and refused even with that user's password. */
	CU_ASSERT_EQUAL(auth_check(p, text("eve"), text("secret"), false, 43), AUTH_PENDING);
	CU_ASSERT_EQUAL(wait_answer(p, 43), AUTH_REFUSED);
	CU_ASSERT_EQUAL(
		auth_check(p, text("ann"), (struct slice){(const uint8_t *)"secret\0x", 8}, false, 44),
		AUTH_PENDING);
	CU_ASSERT_EQUAL(wait_answer(p, 44), AUTH_REFUSED);
	auth_port_destroy(p);
	auth_destroy(a);
}

/* How long a refusal takes does not tell a name with a clear password from an unknown one. */
static void mixed_passwords(void)
{
	char hash[384];
	snprintf(hash, sizeof(hash), "%s", crypt("secret", "$6$rounds=1000$saltsalt"));
	struct auth_user users[] = {{"ann", NULL, hash}, {"bob", "pw", NULL}};
	struct auth *a = auth_create(users, 2);
	struct auth_port *p = auth_port_create(a, no_wake, NULL);

	CU_ASSERT_EQUAL(auth_check(p, text("bob"), text("pw"), false, 50), AUTH_ACCEPTED);
	CU_ASSERT_EQUAL(auth_check(p, text("bob"), text("pW"), false, 51), AUTH_PENDING);
	CU_ASSERT_EQUAL(wait_answer(p, 51), AUTH_REFUSED);
	CU_ASSERT_EQUAL(auth_check(p, text("bob"), text("secret"), false, 52), AUTH_PENDING);
	CU_ASSERT_EQUAL(wait_answer(p, 52), AUTH_REFUSED);
	CU_ASSERT_EQUAL(auth_check(p, text("eve"), text("pw"), false, 53), AUTH_PENDING);
	CU_ASSERT_EQUAL(wait_answer(p, 53), AUTH_REFUSED);
	auth_port_destroy(p);
	auth_destroy(a);
}

/* A flood of logins does not hold the end of the program: what waits is dropped. */
static void ends_with_requests_waiting(void)
{
	char hash[384];
	snprintf(hash, sizeof(hash), "%s", crypt("secret", "$6$rounds=20000$saltsalt"));
	struct auth_user users[] = {{"ann", NULL, hash}};
	struct auth *a = auth_create(users, 1);
	struct auth_port *p = auth_port_create(a, no_wake, NULL);
	unsigned taken = 0;

	while (auth_check(p, text("ann"), text("secret"), false, taken) == AUTH_PENDING && taken < 3000)
		taken++;
	CU_ASSERT(taken >= 1024 && taken < 3000); /* then refused: the ring is full */
	uint64_t begin_us = clock_now_us();
	auth_port_destroy(p);
	auth_destroy(a);
	CU_ASSERT(clock_now_us() - begin_us < 2000000); /* all of them would take ten times as long */
}

static void replaced_users(void)
{
	reclaim_start_manual();
	struct auth_user users[] = {{"ann", "secret", NULL}};
	struct auth *a = auth_create(NULL, 0);
	struct auth_port *p = auth_port_create(a, no_wake, NULL);

	CU_ASSERT_EQUAL(auth_check(p, text("ann"), text("secret"), true, 1), AUTH_REFUSED);
	CU_ASSERT_EQUAL(auth_replace(a, users, 1), 0);
	CU_ASSERT_EQUAL(auth_check(p, text("ann"), text("secret"), true, 1), AUTH_ACCEPTED);
	CU_ASSERT_EQUAL(auth_check(p, text("guest"), text("guest"), true, 1), AUTH_REFUSED);
	CU_ASSERT_EQUAL(reclaim_run(), 1);
	auth_port_destroy(p);
	auth_destroy(a);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"builtin_guest", builtin_guest},
			{"clear_passwords", clear_passwords},
			{"hashed_passwords", hashed_passwords},
			{"mixed_passwords", mixed_passwords},
			{"ends_with_requests_waiting", ends_with_requests_waiting},
			{"replaced_users", replaced_users},
			{0},
		});
}
