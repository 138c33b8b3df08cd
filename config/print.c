/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "config/schema.h"

/* The keys of one map. first is what stands before the first of them, indent before the others. */
static void print_keys(const struct schema_section *s, const struct config *c, const void *entry,
	const char *first, const char *indent, FILE *out)
{
	char value[SCHEMA_VALUE_BYTES];
	const char *before = first;
	for (const struct schema_key *k = s->keys; k->name; k++) {
		if (!schema_format(k, c, entry, value))
			continue;
		fprintf(out, "%s%s: %s", before, k->name, value);
		if (k->type == SCHEMA_PATH && c->control.socket_auto)
			fprintf(out, " # %s", c->control.socket);
		fputc('\n', out);
		before = indent;
	}
}

static void print_list(const struct schema_section *s, const struct config *c, FILE *out)
{
	bool users = strcmp(s->name, "users") == 0;
	/* What names users would be refused without them. */
	bool comment = users || strcmp(s->name, "permissions") == 0;
	uint32_t count = schema_count(s, c);

	if (users && count)
		fprintf(out, "# users: %" PRIu32 " configured; their secrets are not printed\n", count);
	else if (comment && count)
		fprintf(out, "# %s:\n", s->name);
	else
		fprintf(out, "%s:%s\n", s->name, count ? "" : " []");
	for (uint32_t i = 0; i < count; i++)
		print_keys(s, c, schema_entry(s, c, i), comment ? "#  - " : "  - ",
			comment ? "#    " : "    ", out);
}

void config_print(const struct config *c, FILE *out)
{
	for (const struct schema_section *s = schema_sections; s->name; s++) {
		if (s->list) {
			print_list(s, c, out);
			continue;
		}
		if (*s->name)
			fprintf(out, "%s:\n", s->name);
		const char *indent = *s->name ? "  " : "";
		print_keys(s, c, schema_entry(s, c, 0), indent, indent, out);
	}
}
