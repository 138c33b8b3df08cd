/* SPDX-License-Identifier: Apache-2.0 */
/* What a reload changes, and what of it needs a restart. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"

enum { TEXT_BYTES = LOAD_PATH_BYTES + 2 * SCHEMA_VALUE_BYTES + 64 };

struct diff {
	const struct config *now, *next;
	config_change_fn say;
	void *ctx;
	unsigned changes;
};

static void tell(struct diff *d, const char *key, bool reloadable, const char *text)
{
	const struct config_change change = {.key = key, .reloadable = reloadable, .text = text};
	d->changes++;
	if (d->say)
		d->say(d->ctx, &change);
}

static void diff_key(
	struct diff *d, const struct schema_section *s, int64_t index, const struct schema_key *k)
{
	char from[SCHEMA_VALUE_BYTES] = "not set", to[SCHEMA_VALUE_BYTES] = "not set";
	char path[LOAD_PATH_BYTES], text[TEXT_BYTES];
	uint32_t i = index < 0 ? 0 : (uint32_t)index;

	schema_format(k, d->now, schema_entry(s, d->now, i), from);
	schema_format(k, d->next, schema_entry(s, d->next, i), to);
	if (strcmp(from, to) == 0)
		return;
	load_path(s->name, index, k->name, path);
	snprintf(text, sizeof(text), "%s: %s -> %s%s", path, from, to,
		k->reloadable ? "" : ": needs a restart");
	tell(d, path, k->reloadable, text);
}

static void diff_keys(struct diff *d, const struct schema_section *s, int64_t index)
{
	for (const struct schema_key *k = s->keys; k->name; k++)
		diff_key(d, s, index, k);
}

static const struct config_user *find_user(const struct config *c, const char *name)
{
	for (uint32_t i = 0; i < c->user_count; i++)
		if (strcmp(c->users[i].name, name) == 0)
			return &c->users[i];
	return NULL;
}

static bool same_user(const struct config_user *a, const struct config_user *b)
{
	return strcmp(a->password, b->password) == 0 && strcmp(a->password_hash, b->password_hash) == 0;
}

/* Users are compared by name: their order means nothing, and their secrets are not told. */
static void diff_users(struct diff *d)
{
	char *text = NULL;
	size_t bytes = 0;
	unsigned changes = 0;
	FILE *out = open_memstream(&text, &bytes);

	if (!out) {
		tell(d, "users", true, "users: changed");
		return;
	}
	for (uint32_t i = 0; i < d->next->user_count; i++) {
		const struct config_user *u = &d->next->users[i], *was = find_user(d->now, u->name);
		if (!was || !same_user(u, was))
			fprintf(out, "%s%s %s", changes++ ? ", " : "users: ", was ? "changed" : "added",
				u->name);
	}
	for (uint32_t i = 0; i < d->now->user_count; i++)
		if (!find_user(d->next, d->now->users[i].name))
			fprintf(out, "%sremoved %s", changes++ ? ", " : "users: ", d->now->users[i].name);
	if (fclose(out) == 0 && changes)
		tell(d, "users", true, text);
	free(text);
}

static void diff_list(struct diff *d, const struct schema_section *s)
{
	uint32_t from = schema_count(s, d->now), to = schema_count(s, d->next);
	char text[TEXT_BYTES];

	if (from == to) {
		for (uint32_t i = 0; i < to; i++)
			diff_keys(d, s, i);
		return;
	}
	snprintf(text, sizeof(text), "%s: %" PRIu32 " -> %" PRIu32 " entries: needs a restart", s->name, from,
		to);
	tell(d, s->name, false, text);
}

/* Bytes that hold nothing are zero. */
static void diff_whole(struct diff *d, const struct schema_section *s)
{
	uint32_t count = schema_count(s, d->next);
	char text[TEXT_BYTES];

	if (count == schema_count(s, d->now) &&
		memcmp(schema_entry(s, d->now, 0), schema_entry(s, d->next, 0),
			(size_t)count * s->entry_bytes) == 0)
		return;
	snprintf(text, sizeof(text), "%s: changed", s->name);
	tell(d, s->name, true, text);
}

unsigned config_diff(const struct config *now, const struct config *next, config_change_fn say, void *ctx)
{
	struct diff d = {.now = now, .next = next, .say = say, .ctx = ctx};
	for (const struct schema_section *s = schema_sections; s->name; s++) {
		if (!s->list)
			diff_keys(&d, s, -1);
		else if (strcmp(s->name, "users") == 0)
			diff_users(&d);
		else if (s->reloadable)
			diff_whole(&d, s);
		else
			diff_list(&d, s);
	}
	return d.changes;
}

void config_reload(struct config *now, const struct config *next)
{
	for (const struct schema_section *s = schema_sections; s->name; s++) {
		if (s->list && s->reloadable) {
			memcpy(schema_entry(s, now, 0), schema_entry(s, next, 0),
				(size_t)s->entries_max * s->entry_bytes);
			memcpy((char *)now + s->count_offset, (const char *)next + s->count_offset,
				sizeof(uint32_t));
		}
		for (const struct schema_key *k = s->keys; !s->list && k->name; k++)
			if (k->reloadable)
				memcpy((char *)schema_entry(s, now, 0) + k->offset,
					(char *)schema_entry(s, next, 0) + k->offset, k->size);
	}
}
