/* SPDX-License-Identifier: Apache-2.0 */
#include "config/yaml.h"

#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

/* Nodes and their texts lie in blocks that are released together. */
enum { BLOCK_BYTES = 64 * 1024, SCALAR_BYTES_MAX = 4096 };
struct yaml_block {
	struct yaml_block *next;
	size_t used, capacity;
	_Alignas(16) char bytes[];
};

struct yaml_builder {
	struct yaml_tree *tree;
	struct report *report;
	unsigned documents, depth;
	struct {
		struct yaml_node *node, *last, *key;
	} open[CONFIG_DEPTH_MAX];
};

static void *tree_alloc(struct yaml_tree *t, size_t n)
{
	n = (n + 15) & ~(size_t)15;
	struct yaml_block *b = t->blocks;
	if (!b || b->capacity - b->used < n) {
		size_t capacity = n > BLOCK_BYTES ? n : BLOCK_BYTES;
		b = malloc(sizeof(*b) + capacity);
		if (!b)
			return NULL;
		*b = (struct yaml_block){.next = t->blocks, .capacity = capacity};
		t->blocks = b;
	}
	void *p = b->bytes + b->used;
	b->used += n;
	return p;
}

void yaml_release(struct yaml_tree *t)
{
	while (t->blocks) {
		struct yaml_block *b = t->blocks;
		t->blocks = b->next;
		free(b);
	}
	t->root = NULL;
}

struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
	if (!map || map->kind != YAML_MAP)
		return NULL;
	for (struct yaml_node *n = map->first; n; n = n->next)
		if (strcmp(n->key->text, key) == 0)
			return n;
	return NULL;
}

struct yaml_node *yaml_at(const struct yaml_node *list, unsigned index)
{
	if (!list || list->kind != YAML_LIST)
		return NULL;
	struct yaml_node *n = list->first;
	while (n && index--)
		n = n->next;
	return n;
}

/* The length of the well-formed UTF-8 sequence at p, 0 where there is none (RFC 3629: no overlong forms, no
 * surrogates, nothing above U+10FFFF). */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
	unsigned char lead = p[0], second_min = 0x80, second_max = 0xbf;
	size_t length = lead < 0x80   ? 1
			: lead < 0xc2 ? 0
			: lead < 0xe0 ? 2
			: lead < 0xf0 ? 3
			: lead < 0xf5 ? 4
				      : 0;

	if (lead == 0xe0)
		second_min = 0xa0;
	else if (lead == 0xed)
		second_max = 0x9f;
	else if (lead == 0xf0)
		second_min = 0x90;
	else if (lead == 0xf4)
		second_max = 0x8f;
	if (length > n)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if (p[i] < second_min || p[i] > second_max)
			return 0;
		second_min = 0x80;
		second_max = 0xbf;
	}
	return length;
}

static int check_characters(struct report *r)
{
	const unsigned char *p = (const unsigned char *)r->text;
	for (size_t i = 0; i < r->text_bytes;) {
		size_t length = utf8_sequence(p + i, r->text_bytes - i);
		if (!length) {
			report_error(r, (uint32_t)i,
				"found byte 0x%02x, which is no UTF-8; allowed: text in UTF-8", p[i]);
			return -1;
		}
		if ((p[i] < 0x20 && !strchr("\t\n\r", p[i])) || p[i] == 0 || p[i] == 0x7f) {
			report_error(r, (uint32_t)i, "found control character 0x%02x; allowed: text", p[i]);
			return -1;
		}
		i += length;
	}
	return 0;
}

static struct yaml_node *node_new(struct yaml_builder *b, enum yaml_kind kind, const struct fy_mark *mark)
{
	struct yaml_node *n = tree_alloc(b->tree, sizeof(*n));
	if (!n)
		return NULL;
	*n = (struct yaml_node){.kind = kind};
	if (mark) {
		n->offset = (uint32_t)mark->input_pos;
	} else if (b->depth) {
		/* what is left out has no place: that of its key, of the entry before, or of the list */
		const struct yaml_node *parent = b->open[b->depth - 1].node;
		const struct yaml_node *last = b->open[b->depth - 1].last, *key = b->open[b->depth - 1].key;
		n->offset = key ? key->offset : last ? last->offset : parent->offset;
	}
	return n;
}

/* What no key needs is refused before libfyaml makes a text of it. */
static int check_scalar(struct yaml_builder *b, const struct fy_mark *start, const struct fy_mark *end)
{
	size_t bytes = end->input_pos - start->input_pos;
	if (end->line != start->line)
		report_error(b->report, (uint32_t)start->input_pos,
			"found a value on several lines; allowed: values on one line");
	else if (bytes > SCALAR_BYTES_MAX)
		report_error(b->report, (uint32_t)start->input_pos,
			"found a value of %zu bytes; allowed: at most %d", bytes, SCALAR_BYTES_MAX);
	else
		return 0;
	return -1;
}

/* Text between single quotes: a quote in it is written as two. libfyaml 0.7.12 leaks memory where it undoes
 * more than a few of them. */
static size_t unquote(char *to, const char *from, size_t n)
{
	size_t used = 0;
	for (size_t i = 0; i < n; i++) {
		to[used++] = from[i];
		i += from[i] == '\'';
	}
	return used;
}

static struct yaml_node *scalar_new(struct yaml_builder *b, struct fy_event *e)
{
	struct fy_token *token = e->scalar.value;
	const struct fy_mark *start = fy_event_start_mark(e), *end = fy_event_end_mark(e);
	bool single = token && fy_token_scalar_style(token) == FYSS_SINGLE_QUOTED && start && end;
	const char *text = "";
	size_t bytes = 0;

	if (start && end && check_scalar(b, start, end) < 0)
		return NULL;
	struct yaml_node *n = node_new(b, YAML_SCALAR, start);
	if (single) {
		text = b->report->text + start->input_pos;
		bytes = end->input_pos - start->input_pos;
	} else if (token) {
		text = fy_token_get_text(token, &bytes);
	}
	char *copy = n && text ? tree_alloc(b->tree, bytes + 1) : NULL;
	if (!copy) {
		report_error(b->report, REPORT_NOWHERE, "out of memory");
		return NULL;
	}
	if (single)
		bytes = unquote(copy, text, bytes);
	else
		memcpy(copy, text, bytes);
	copy[bytes] = '\0';
	n->text = copy;
	n->text_bytes = bytes;
	n->null = (!token || fy_token_scalar_style(token) == FYSS_PLAIN) &&
		  (bytes == 0 || strcmp(copy, "~") == 0 || strcmp(copy, "null") == 0);
	return n;
}

/* Hangs n where the text has it: as the root, a list's entry, a map's key or a map's value. */
static int node_place(struct yaml_builder *b, struct yaml_node *n)
{
	if (b->depth == 0) {
		b->tree->root = n;
		return 0;
	}
	struct yaml_node *parent = b->open[b->depth - 1].node;
	if (parent->kind == YAML_MAP && !b->open[b->depth - 1].key) {
		if (n->kind != YAML_SCALAR) {
			report_error(b->report, n->offset, "found a %s as a key; allowed: a word",
				n->kind == YAML_MAP ? "map" : "list");
			return -1;
		}
		b->open[b->depth - 1].key = n;
		return 0;
	}
	n->key = b->open[b->depth - 1].key;
	b->open[b->depth - 1].key = NULL;
	if (b->open[b->depth - 1].last)
		b->open[b->depth - 1].last->next = n;
	else
		parent->first = n;
	b->open[b->depth - 1].last = n;
	parent->count++;
	return 0;
}

static int node_open(struct yaml_builder *b, struct yaml_node *n)
{
	if (!n) {
		report_error(b->report, REPORT_NOWHERE, "out of memory");
		return -1;
	}
	if (node_place(b, n) < 0)
		return -1;
	if (b->depth == CONFIG_DEPTH_MAX) {
		report_error(
			b->report, n->offset, "maps and lists nested more than %d deep", CONFIG_DEPTH_MAX);
		return -1;
	}
	b->open[b->depth].node = n;
	b->open[b->depth].last = b->open[b->depth].key = NULL;
	b->depth++;
	return 0;
}

static int refuse(struct yaml_builder *b, struct fy_token *token, const char *what)
{
	const struct fy_mark *mark = fy_token_start_mark(token);
	uint32_t offset = mark ? (uint32_t)mark->input_pos : 0;
	/* the mark of an anchor or alias is behind its sign */
	if (offset > 0 && strchr("&*", b->report->text[offset - 1]))
		offset--;
	report_error(b->report, offset, "found %s; allowed: plain values, maps and lists", what);
	return -1;
}

static int take_event(struct yaml_builder *b, struct fy_event *e)
{
	struct fy_token *anchor = fy_event_get_anchor_token(e), *tag = fy_event_get_tag_token(e);
	const struct fy_mark *mark = fy_event_start_mark(e);

	if (e->type != FYET_ALIAS && anchor)
		return refuse(b, anchor, "an anchor (&)");
	if (tag)
		return refuse(b, tag, "a tag (!)");
	switch (e->type) {
	case FYET_DOCUMENT_START:
		if (b->documents++ == 0)
			return 0;
		report_error(b->report, mark ? (uint32_t)mark->input_pos : REPORT_NOWHERE,
			"found a second document; allowed: one");
		return -1;
	case FYET_ALIAS:
		return refuse(b, e->alias.anchor, "an alias (*)");
	case FYET_SCALAR: {
		struct yaml_node *n = scalar_new(b, e);
		return n ? node_place(b, n) : -1;
	}
	case FYET_MAPPING_START:
		return node_open(b, node_new(b, YAML_MAP, mark));
	case FYET_SEQUENCE_START:
		return node_open(b, node_new(b, YAML_LIST, mark));
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END:
		b->depth--;
		return 0;
	default:
		return 0;
	}
}

/* libfyaml writes what it finds to a stream by itself; it is to keep it for us instead. */
static void discard(struct fy_diag *diag, void *user, const char *text, size_t n)
{
}

/* libfyaml's own first complaint, in one line. */
static void report_syntax(struct report *r, struct fy_diag *diag)
{
	void *iterator = NULL;
	struct fy_diag_error *e = fy_diag_errors_iterate(diag, &iterator);

	if (e && e->line > 0)
		report_error(r, report_offset(r, (unsigned)e->line, (unsigned)e->column),
			"not valid YAML: %.*s", (int)strcspn(e->msg, "\n"), e->msg);
	else
		report_error(r, REPORT_NOWHERE, "not valid YAML 1.2");
}

int yaml_parse(struct yaml_tree *t, struct report *r)
{
	struct fy_diag_cfg quiet;
	struct fy_parse_cfg how = {.flags = FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE};
	struct yaml_builder b = {.tree = t, .report = r};
	struct fy_event *e = NULL;
	int rc = 0;

	*t = (struct yaml_tree){0};
	if (check_characters(r) < 0)
		return -1;
	fy_diag_cfg_default(&quiet);
	quiet.fp = NULL;
	quiet.output_fn = discard;
	quiet.colorize = false;
	how.diag = fy_diag_create(&quiet);
	struct fy_parser *parser = how.diag ? fy_parser_create(&how) : NULL;
	if (!parser || fy_parser_set_string(parser, r->text, r->text_bytes) != 0) {
		report_error(r, REPORT_NOWHERE, "out of memory");
		rc = -1;
		goto out;
	}
	fy_diag_set_collect_errors(how.diag, true);
	while (rc == 0 && (e = fy_parser_parse(parser))) {
		rc = take_event(&b, e);
		fy_parser_event_free(parser, e);
	}
	if (rc == 0 && fy_parser_get_stream_error(parser)) {
		report_syntax(r, how.diag);
		rc = -1;
	}
out:
	fy_parser_destroy(parser);
	fy_diag_destroy(how.diag);
	return rc;
}
