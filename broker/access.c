/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/access.h"

#include "runtime/check.h"
#include "runtime/mutants.h"
#include "runtime/reclaim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-pointer.h>
#include <urcu/compiler.h>

struct access_grant {
	struct access_table *table;
	uint32_t user_bytes, vhost_bytes;
	char user[ACCESS_NAME_MAX], vhost[ACCESS_NAME_MAX];
	struct pattern *pattern[ACCESS_KINDS]; /* NULL: every name */
};

/* Lives as long as somebody has it: the broker, as what holds now, and each grant that is open. */
struct access_table {
	struct reclaim_node reclaim;
	uint64_t holders; /* atomic */
	uint32_t count;	  /* of permissions */
	struct access_grant grants[];
};

struct access {
	struct access_table *table; /* RCU */
};

static void table_free(struct access_table *t)
{
	for (uint32_t i = 0; i < t->count; i++)
		for (unsigned k = 0; k < ACCESS_KINDS; k++)
			pattern_destroy(t->grants[i].pattern[k]);
	free(t);
}

static void table_release(struct reclaim_node *n)
{
	table_free(caa_container_of(n, struct access_table, reclaim));
}

/* Freed elsewhere: a core frees nothing. */
static void table_put(struct access_table *t)
{
	if (__atomic_sub_fetch(&t->holders, 1, __ATOMIC_ACQ_REL) == 0)
		reclaim_defer(&t->reclaim, table_release);
}

static uint32_t name_copy(char *to, const char *name)
{
	size_t n = strlen(name);

	MUST(n <= ACCESS_NAME_MAX);
	memcpy(to, name, n);
	return (uint32_t)n;
}

/* 0, or -1 with error. What was made is the grant's either way. */
static int grant_make(struct access_grant *g, const struct access_permission *p, char *error)
{
	char why[PATTERN_ERROR_BYTES];

	g->user_bytes = name_copy(g->user, p->user);
	g->vhost_bytes = name_copy(g->vhost, p->vhost);
	for (unsigned k = 0; k < ACCESS_KINDS; k++) {
		/* RabbitMQ's rule: whoever leaves it empty means nothing, not everything. */
		const char *none = MUTANT(empty_permits_everything) ? ".*" : "^$";
		const char *text = p->pattern[k][0] ? p->pattern[k] : none;
		if (strcmp(text, ".*") == 0)
			continue;
		g->pattern[k] = pattern_create(text, strlen(text), why);
		if (g->pattern[k])
			continue;
		snprintf(error, ACCESS_ERROR_BYTES, "%s: %s", access_kind_name(k), why);
		return -1;
	}
	return 0;
}

/* With one more place, of what everybody may do where nobody was given anything. */
static struct access_table *table_create(
	const struct access_permission *permissions, uint32_t count, char *error)
{
	struct access_table *t = calloc(1, sizeof(*t) + ((size_t)count + 1) * sizeof(t->grants[0]));

	if (!t) {
		snprintf(error, ACCESS_ERROR_BYTES, "no memory");
		return NULL;
	}
	t->holders = 1;
	t->grants[count].table = t;
	for (; t->count < count; t->count++) {
		t->grants[t->count].table = t;
		if (grant_make(&t->grants[t->count], &permissions[t->count], error)) {
			t->count++;
			table_free(t);
			return NULL;
		}
	}
	return t;
}

struct access *access_create(
	const struct access_permission *permissions, uint32_t count, char error[static ACCESS_ERROR_BYTES])
{
	struct access *a = calloc(1, sizeof(*a));

	if (!a) {
		snprintf(error, ACCESS_ERROR_BYTES, "no memory");
		return NULL;
	}
	a->table = table_create(permissions, count, error);
	if (a->table)
		return a;
	free(a);
	return NULL;
}

void access_destroy(struct access *a)
{
	MUST(__atomic_load_n(&a->table->holders, __ATOMIC_ACQUIRE) == 1);
	table_free(a->table);
	free(a);
}

/* The broker's own hold ends when no core can be about to take one from it. */
static void table_retire(struct reclaim_node *n)
{
	table_put(caa_container_of(n, struct access_table, reclaim));
}

int access_replace(struct access *a, const struct access_permission *permissions, uint32_t count,
	char error[static ACCESS_ERROR_BYTES])
{
	struct access_table *t = table_create(permissions, count, error);

	if (!t)
		return -1;
	t = rcu_xchg_pointer(&a->table, t);
	reclaim_defer(&t->reclaim, table_retire);
	return 0;
}

static bool is(const char *name, uint32_t bytes, struct slice other)
{
	return bytes == other.bytes && (bytes == 0 || memcmp(name, other.data, bytes) == 0);
}

static struct access_grant *grant_find(struct access_table *t, struct slice user, struct slice vhost)
{
	if (t->count == 0)
		return &t->grants[0];
	for (uint32_t i = 0; i < t->count; i++) {
		struct access_grant *g = &t->grants[i];
		if (is(g->user, g->user_bytes, user) &&
			(is(g->vhost, g->vhost_bytes, vhost) || MUTANT(permitted_in_any_vhost)))
			return g;
	}
	return NULL;
}

struct access_grant *access_open(struct access *a, struct slice user, struct slice vhost)
{
	struct access_table *t = rcu_dereference(a->table);
	struct access_grant *g = grant_find(t, user, vhost);

	if (g && !MUTANT(grants_hold_nothing))
		__atomic_add_fetch(&t->holders, 1, __ATOMIC_RELAXED);
	return g;
}

void access_close(struct access_grant *g)
{
	if (g)
		table_put(g->table);
}

bool access_allows(
	const struct access_grant *g, struct pattern_match *m, enum access_kind kind, struct slice name)
{
	static const char default_exchange[] = "amq.default";

	if (!g->pattern[kind])
		return true;
	if (name.bytes == 0 && !MUTANT(default_exchange_is_nameless))
		name = (struct slice){(const uint8_t *)default_exchange, sizeof(default_exchange) - 1};
	enum pattern_result answer = pattern_find(g->pattern[kind], m, name.data, name.bytes);
	return answer == PATTERN_YES || (answer == PATTERN_GAVE_UP && MUTANT(giving_up_is_yes));
}

const char *access_kind_name(enum access_kind kind)
{
	static const char *const names[ACCESS_KINDS] = {"configure", "write", "read"};

	MUST(kind < ACCESS_KINDS);
	return names[kind];
}
