/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "config/schema.h"

static const char introduction[] =
	"<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
	"<!-- Written by the program config_reference from config/schema.c: change that table, not this "
	"page. -->\n"
	"# Configuration\n"
	"\n"
	"Godwit reads one YAML file, `godwit --config FILE`. Without one it runs with the defaults below; "
	"`config/godwit.yaml` is a file that says the same, and `config/examples/` has others. Every key may "
	"be left "
	"out unless it is marked as required.\n"
	"\n"
	"- `godwit --check-config --config FILE` checks a file and touches nothing else.\n"
	"- `godwit --print-config --config FILE` prints what is in effect, defaults included, as a file that "
	"loads "
	"back to the same configuration; the users' secrets are left out.\n"
	"- SIGHUP reads the file again. Keys marked *reloadable* take effect at once; for every other "
	"changed key "
	"the log says that it needs a restart, and the old value stays.\n"
	"\n"
	"A file is refused as a whole, before anything is touched, if a key is unknown or stands twice, or a "
	"value is "
	"not understood to its last character. Each message names file, line, column and key, what was found "
	"and what "
	"is allowed.\n"
	"\n"
	"**Sizes** are in bytes, or with `K`, `M`, `G` or `T` (also `KiB`, `MiB`, `GiB`, `TiB`), all powers "
	"of 1024. "
	"**Durations** have one of `us`, `ms`, `s`, `min`, `h`; only `0` may stand alone. **Numbers** are "
	"whole and "
	"decimal. Fractions, signs and leading zeros are refused. Anchors, aliases, tags and a second "
	"document are "
	"not part of the format. A file has at most ";

static void reference_default(const struct schema_key *k, FILE *out)
{
	if (k->required)
		fputs(" **Required.**", out);
	else if (k->note)
		fprintf(out, " Default: %s.", k->note);
	else if (k->initial)
		fprintf(out, " Default: `%s`.", k->initial);
}

static void reference_key(const struct schema_section *s, const struct schema_key *k, FILE *out)
{
	char allowed[SCHEMA_ALLOWED_BYTES];
	fprintf(out, "- **`%s`**: %s", k->name, k->help);
	if (k->type != SCHEMA_RESERVED) {
		fprintf(out, " Allowed: %s.", schema_allowed(k, allowed));
		reference_default(k, out);
	}
	fputs(k->reloadable && !s->reloadable ? " *Reloadable.*\n" : "\n", out);
}

void config_reference(FILE *out)
{
	fprintf(out, "%s%d KiB.\n", introduction, CONFIG_FILE_BYTES_MAX >> 10);
	for (const struct schema_section *s = schema_sections; s->name; s++) {
		if (*s->name)
			fprintf(out, "\n## `%s`\n\n%s", s->name, s->help);
		else
			fprintf(out, "\n## Top level\n\n%s", s->help);
		if (s->list)
			fprintf(out, " A list of at most %" PRIu32 " entries. Default: %s.", s->entries_max,
				s->note);
		fputs(s->reloadable ? " *Reloadable.*\n\n" : "\n\n", out);
		for (const struct schema_key *k = s->keys; k->name; k++)
			reference_key(s, k, out);
	}
}
