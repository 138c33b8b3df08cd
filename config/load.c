/* SPDX-License-Identifier: Apache-2.0 */
#include "config/load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUOTE_BYTES = 600, SECTIONS_MAX = 16, KEYS_MAX = 32, NAMES_MAX = 32 };

const char *load_path(const char *section, int64_t index, const char *key, char *out)
{
	char at[24] = "";
	if (index >= 0)
		snprintf(at, sizeof(at), "[%" PRId64 "]", index);
	snprintf(out, LOAD_PATH_BYTES, "%s%s%s%s", section, at, *section && key ? "." : "", key ? key : "");
	return out;
}

const struct yaml_node *load_find(const struct load *l, const char *section, uint32_t index, const char *key)
{
	const struct yaml_node *n = *section ? yaml_get(l->root, section) : l->root;
	if (n && n->kind == YAML_LIST)
		n = yaml_at(n, index);
	return key ? yaml_get(n, key) : n;
}

uint32_t load_place(const struct load *l, const char *section, uint32_t index, const char *key)
{
	const struct yaml_node *n = load_find(l, section, index, key);
	if (!n)
		n = load_find(l, section, index, NULL);
	if (!n)
		n = yaml_get(l->root, section);
	if (n)
		return n->offset;
	return l->root ? l->root->offset : REPORT_NOWHERE;
}

void load_defaults(const struct schema_section *s, void *entry)
{
	for (const struct schema_key *k = s->keys; k->name; k++)
		if (k->initial && k->type != SCHEMA_CPUS)
			schema_store(k, entry, k->initial, strlen(k->initial));
}

static const char *found(const struct yaml_node *n, char *buf)
{
	if (n->kind != YAML_SCALAR)
		return n->kind == YAML_MAP ? "a map" : "a list";
	if (n->null)
		return "nothing";
	return report_quote(buf, QUOTE_BYTES, n->text, n->text_bytes);
}

static void value_error(struct load *l, const struct schema_key *k, const char *path,
	const struct yaml_node *n, const char *why)
{
	char allowed[SCHEMA_ALLOWED_BYTES], quoted[QUOTE_BYTES];
	bool secret = k->type == SCHEMA_SECRET || k->type == SCHEMA_HASH;
	const char *nearest = k->words && n->kind == YAML_SCALAR ? schema_nearest(n->text, k->words) : NULL;

	schema_allowed(k, allowed);
	if (secret && n->kind == YAML_SCALAR && n->text_bytes && !n->null)
		report_secret(l->r, n->offset, n->offset,
			"%s: found a value that is not shown: %s; allowed: %s", path,
			why ? why : "not a text", allowed);
	else if (nearest)
		report_error(l->r, n->offset, "%s: found %s; allowed: %s; did you mean %s?", path,
			found(n, quoted), allowed, nearest);
	else
		report_error(l->r, n->offset, "%s: found %s%s%s; allowed: %s", path, found(n, quoted),
			why ? ": " : "", why ? why : "", allowed);
}

/* A number of cores without CPUs of their own. */
static bool load_cpu_count(struct config *c, const struct yaml_node *n)
{
	const struct schema_key count = {
		.type = SCHEMA_COUNT, .size = sizeof(c->lcore_count), .min = 1, .max = CONFIG_LCORES_MAX};
	uint32_t found = 0;

	if (n->null || schema_store(&count, &found, n->text, n->text_bytes))
		return false;
	c->lcore_count = found;
	return true;
}

static void load_cpus(struct load *l, const struct schema_key *k, const struct yaml_node *n)
{
	struct config *c = l->c;
	if (n->kind == YAML_SCALAR && (strcmp(n->text, "auto") == 0 || load_cpu_count(c, n)))
		return;
	if (n->kind != YAML_LIST || n->count == 0) {
		value_error(l, k, k->name, n, n->kind == YAML_LIST ? "it is empty" : NULL);
		return;
	}
	if (n->count > CONFIG_LCORES_MAX) {
		report_error(l->r, n->offset,
			"%s: found a list of %u CPUs; allowed: at most %d, the number of data cores", k->name,
			n->count, CONFIG_LCORES_MAX);
		return;
	}
	c->lcores_auto = false;
	c->lcore_count = n->count;
	const struct schema_key cpu = {.type = SCHEMA_COUNT, .size = sizeof(c->lcores[0]), .max = k->max};
	uint32_t i = 0;
	for (const struct yaml_node *e = n->first; e; e = e->next, i++) {
		char path[LOAD_PATH_BYTES];
		const char *why = e->kind == YAML_SCALAR && !e->null
					  ? schema_store(&cpu, &c->lcores[i], e->text, e->text_bytes)
					  : "not a CPU number";
		if (why)
			value_error(l, &cpu, load_path(k->name, i, NULL, path), e, why);
		for (uint32_t j = 0; j < i && !why; j++)
			if (c->lcores[j] == c->lcores[i])
				report_error(l->r, e->offset,
					"%s: CPU %" PRIu32 " is %s[%" PRIu32
					"] already; allowed: each CPU once",
					load_path(k->name, i, NULL, path), c->lcores[i], k->name, j);
	}
}

static void load_prefixes(
	struct load *l, const struct schema_key *k, const char *path, void *entry, const struct yaml_node *n)
{
	char at[LOAD_PATH_BYTES + 16];
	unsigned i = 0;

	if (n->kind != YAML_LIST) {
		value_error(l, k, path, n, NULL);
		return;
	}
	if (n->count > k->max) {
		report_error(l->r, n->offset, "%s: found a list of %u; allowed: at most %" PRIu64, path,
			n->count, k->max);
		return;
	}
	for (const struct yaml_node *e = n->first; e; e = e->next, i++) {
		const char *why = e->kind == YAML_SCALAR && !e->null
					  ? schema_store(k, entry, e->text, e->text_bytes)
					  : "not an address";
		snprintf(at, sizeof(at), "%s[%u]", path, i);
		if (why)
			value_error(l, k, at, e, why);
	}
}

static void load_port_name(struct load *l, const char *path, void *entry, const struct yaml_node *n)
{
	const struct config *c = l->c;
	char names[CONFIG_PORTS_MAX * (CONFIG_IFNAME_BYTES + 2) + 1] = "", quoted[QUOTE_BYTES];
	for (uint32_t i = 0, used = 0; i < c->port_count; i++) {
		if (strcmp(c->ports[i].name, n->text) == 0) {
			((struct config_listener *)entry)->port_index = i;
			return;
		}
		used += (uint32_t)snprintf(
			names + used, sizeof(names) - used, "%s%s", i ? ", " : "", c->ports[i].name);
	}
	report_error(l->r, n->offset, "%s: found %s: there is no such port; allowed: %s", path,
		found(n, quoted), c->port_count ? names : "none, as ports is empty");
}

static void load_value(
	struct load *l, const struct schema_key *k, const char *path, void *entry, const struct yaml_node *n)
{
	const char *why = NULL;

	if (k->type == SCHEMA_RESERVED) {
		report_error(l->r, n->key->offset,
			"%s: this release does not do it yet; allowed: leave the key out", path);
	} else if (k->type == SCHEMA_CPUS) {
		load_cpus(l, k, n);
	} else if (k->type == SCHEMA_PREFIXES || k->type == SCHEMA_HOSTS) {
		load_prefixes(l, k, path, entry, n);
	} else if (n->kind != YAML_SCALAR || n->null) {
		value_error(l, k, path, n, NULL);
	} else if (k->type == SCHEMA_PORT_NAME) {
		load_port_name(l, path, entry, n);
	} else {
		why = schema_store(k, entry, n->text, n->text_bytes);
		if (why)
			value_error(l, k, path, n, why);
	}
}

/* What stands in this section is not shown, not even where it is wrong. */
static bool is_secret(const struct schema_section *s)
{
	return strcmp(s->name, "users") == 0;
}

/* Instead of a map: a scalar or a list. */
static void not_a_map(
	struct load *l, const struct schema_section *s, int64_t index, const struct yaml_node *n)
{
	char path[LOAD_PATH_BYTES], quoted[QUOTE_BYTES];
	bool hidden = is_secret(s) && n->kind == YAML_SCALAR && !n->null;
	report_secret(l->r, n->offset, hidden ? n->offset : REPORT_NOWHERE,
		"%s: found %s; allowed: a map of keys and values", load_path(s->name, index, NULL, path),
		hidden ? "a value that is not shown" : found(n, quoted));
}

/* A key that the section does not have: the nearest that it has, or the section that has this one. */
static void unknown_key(
	struct load *l, const struct schema_section *s, int64_t index, const struct yaml_node *key)
{
	const char *names[NAMES_MAX + 1] = {0};
	char path[LOAD_PATH_BYTES], quoted[QUOTE_BYTES];
	unsigned n = 0;

	for (const struct schema_key *k = s->keys; k->name; k++)
		names[n++] = k->name;
	if (!*s->name)
		for (const struct schema_section *o = schema_sections + 1; o->name; o++)
			names[n++] = o->name;
	load_path(s->name, index, NULL, path);
	const char *in = *path ? " in " : "", *nearest = schema_nearest(key->text, names);
	report_quote(quoted, sizeof(quoted), key->text, key->text_bytes);
	/* a mistyped password is a password */
	uint32_t masked = is_secret(s) ? key->offset + (uint32_t)key->text_bytes : REPORT_NOWHERE;
	if (nearest) {
		report_secret(l->r, key->offset, masked, "unknown key %s%s%s; did you mean %s?", quoted, in,
			path, nearest);
		return;
	}
	for (const struct schema_section *o = schema_sections; o->name; o++) {
		if (o != s && !o->list && schema_key(o, key->text)) {
			report_secret(l->r, key->offset, masked, "unknown key %s%s%s; it belongs %s%s",
				quoted, in, path, *o->name ? "under " : "at the top of the file", o->name);
			return;
		}
	}
	char list[400] = "";
	for (unsigned i = 0, used = 0; i < n; i++)
		used += (unsigned)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", names[i]);
	report_secret(l->r, key->offset, masked, "unknown key %s%s%s; allowed: %s", quoted, in, path, list);
}

static void duplicate_key(
	struct load *l, const char *path, const struct yaml_node *n, const struct yaml_node *first)
{
	report_error(l->r, n->key->offset,
		"%s: found a second time; allowed: once (it is on line %u already)", path,
		report_line(l->r, first->key->offset));
}

/* More errors than are shown: the rest of the file need not be read. */
static bool gave_up(const struct load *l)
{
	return l->r->full;
}

static void load_map(struct load *l, const struct schema_section *s, int64_t index, void *entry,
	const struct yaml_node *map)
{
	const struct yaml_node *seen[KEYS_MAX] = {0};
	char path[LOAD_PATH_BYTES], allowed[SCHEMA_ALLOWED_BYTES];

	for (const struct yaml_node *n = map->first; n && !gave_up(l); n = n->next) {
		const struct schema_key *k = schema_key(s, n->key->text);
		if (!k) {
			unknown_key(l, s, index, n->key);
			continue;
		}
		load_path(s->name, index, k->name, path);
		if (seen[k - s->keys]) {
			duplicate_key(l, path, n, seen[k - s->keys]);
			continue;
		}
		seen[k - s->keys] = n;
		load_value(l, k, path, entry, n);
	}
	for (const struct schema_key *k = s->keys; k->name; k++)
		if (k->required && !seen[k - s->keys])
			report_error(l->r, map->offset, "%s: missing; allowed: %s",
				load_path(s->name, index, k->name, path), schema_allowed(k, allowed));
}

static void load_list(struct load *l, const struct schema_section *s, const struct yaml_node *list)
{
	char quoted[QUOTE_BYTES];
	uint32_t i = 0;

	if (list->kind != YAML_LIST) {
		report_secret(l->r, list->offset, is_secret(s) ? list->offset : REPORT_NOWHERE,
			"%s: found %s; allowed: a list, each entry with a dash; [] is an empty one", s->name,
			is_secret(s) && !list->null ? "another value" : found(list, quoted));
		return;
	}
	if (list->count > s->entries_max) {
		report_error(l->r, list->offset, "%s: found %u entries; allowed: at most %u", s->name,
			list->count, s->entries_max);
		return;
	}
	memcpy((char *)l->c + s->count_offset, &list->count, sizeof(uint32_t));
	for (const struct yaml_node *n = list->first; n && !gave_up(l); n = n->next, i++) {
		void *entry = schema_entry(s, l->c, i);
		load_defaults(s, entry);
		if (n->kind == YAML_MAP)
			load_map(l, s, i, entry, n);
		else
			not_a_map(l, s, i, n);
	}
}

static void load_section(struct load *l, const struct schema_section *s, const struct yaml_node *n)
{
	if (s->list)
		load_list(l, s, n);
	else if (n->kind == YAML_MAP)
		load_map(l, s, -1, schema_entry(s, l->c, 0), n);
	else if (!n->null) /* a key whose entries are all commented out says nothing */
		not_a_map(l, s, -1, n);
}

/* Sections are read in the order of the schema whatever the order of the file, since listeners name ports. */
static void load_root(struct load *l)
{
	const struct schema_section *top = schema_sections;
	const struct yaml_node *seen[SECTIONS_MAX] = {0}, *seen_top[KEYS_MAX] = {0};

	for (const struct yaml_node *n = l->root ? l->root->first : NULL; n && !gave_up(l); n = n->next) {
		const struct schema_key *k = schema_key(top, n->key->text);
		const struct schema_section *s = *n->key->text ? schema_section(n->key->text) : NULL;
		if (!k && !s) {
			unknown_key(l, top, -1, n->key);
			continue;
		}
		const struct yaml_node **first = k ? &seen_top[k - top->keys] : &seen[s - schema_sections];
		if (*first) {
			duplicate_key(l, k ? k->name : s->name, n, *first);
			continue;
		}
		*first = n;
		if (k)
			load_value(l, k, k->name, l->c, n);
	}
	for (const struct schema_section *s = schema_sections + 1; s->name && !gave_up(l); s++) {
		const struct yaml_node *n = seen[s - schema_sections];
		if (n)
			load_section(l, s, n);
		else if (strcmp(s->name, "ports") == 0)
			load_ports_default(l);
	}
}

static bool is_blank(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strchr(" \t\r\n", text[i]) || text[i] == '\0')
			return false;
	return true;
}

static void load_tree(struct load *l, struct yaml_tree *tree)
{
	char quoted[QUOTE_BYTES];

	if (is_blank(l->r->text, l->r->text_bytes)) {
		report_error(l->r, REPORT_NOWHERE,
			"the file is empty, as if it had been cut; a file of comments, or {}, "
			"stands for the defaults");
		return;
	}
	if (yaml_parse(tree, l->r) < 0)
		return;
	l->root = tree->root;
	if (l->root && l->root->null)
		l->root = NULL;
	if (l->root && l->root->kind != YAML_MAP) {
		report_error(l->r, l->root->offset, "found %s; allowed: a map of keys and values",
			found(l->root, quoted));
		return;
	}
	load_root(l);
	if (l->r->errors == 0)
		load_complete(l);
	if (l->r->errors == 0)
		load_check(l);
}

static int load_any(const char *name, const char *text, size_t text_bytes, bool readable_by_all,
	struct config *c, FILE *err)
{
	static const char byte_order_mark[] = "\xef\xbb\xbf";
	struct report r;
	struct yaml_tree tree = {0};
	struct load l = {.c = c, .r = &r, .readable_by_all = readable_by_all};

	if (text_bytes >= 3 && memcmp(text, byte_order_mark, 3) == 0) {
		text += 3;
		text_bytes -= 3;
	}
	memset(c, 0, sizeof(*c));
	c->lcores_auto = true;
	c->lcore_count = 1;
	for (const struct schema_section *s = schema_sections; s->name; s++)
		if (!s->list)
			load_defaults(s, schema_entry(s, c, 0));
	report_init(&r, name, text, text_bytes);
	load_tree(&l, &tree);
	yaml_release(&tree);
	return report_write(&r, err) ? -EINVAL : 0;
}

int config_load_text(const char *name, const char *text, size_t text_bytes, struct config *c, FILE *err)
{
	if (text_bytes > CONFIG_FILE_BYTES_MAX) {
		fprintf(err, "%s: error: more than %d bytes\n", name, CONFIG_FILE_BYTES_MAX);
		return -EFBIG;
	}
	int rc = load_any(name, text, text_bytes, false, c, err);
	snprintf(c->path, sizeof(c->path), "%s", name);
	return rc;
}

/* Reads at most capacity bytes; the count, or -errno. */
static ssize_t read_all(int fd, char *text, size_t capacity)
{
	size_t used = 0;
	while (used < capacity) {
		ssize_t n = read(fd, text + used, capacity - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

/* The absolute path, so that a reload finds the file wherever the process stands by then. */
static void set_path(struct config *c, const char *path, bool regular)
{
	char *absolute = regular ? realpath(path, NULL) : NULL;
	snprintf(c->path, sizeof(c->path), "%s", absolute ? absolute : path);
	free(absolute);
}

static int load_file(const char *path, int fd, char *text, struct config *c, FILE *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	ssize_t n = read_all(fd, text, CONFIG_FILE_BYTES_MAX + 1);
	if (n < 0)
		return (int)n;
	if (n > CONFIG_FILE_BYTES_MAX)
		return -EFBIG;
	bool regular = S_ISREG(st.st_mode);
	int rc = load_any(path, text, (size_t)n, regular && (st.st_mode & S_IROTH), c, err);
	set_path(c, path, regular);
	return rc;
}

int config_load(const char *path, struct config *c, FILE *err)
{
	if (!path)
		return load_any("embedded defaults", "{}", 2, false, c, err);
	char *text = malloc(CONFIG_FILE_BYTES_MAX + 1);
	int fd = text ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
	int rc = !text ? -ENOMEM : fd < 0 ? -errno : load_file(path, fd, text, c, err);
	if (fd >= 0)
		close(fd);
	free(text);
	if (rc == -EFBIG)
		fprintf(err, "%s: error: more than %d bytes\n", path, CONFIG_FILE_BYTES_MAX);
	else if (rc < 0 && rc != -EINVAL)
		fprintf(err, "%s: error: cannot be read: %s\n", path, strerror(-rc));
	return rc;
}
