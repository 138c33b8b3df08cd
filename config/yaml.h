/* SPDX-License-Identifier: Apache-2.0 */
/* A YAML text as a tree of nodes that know their place. Built from libfyaml's events rather than its
 * documents, so that depth, aliases and tags are bounded here, and duplicate keys are told in our words.
 * Private to the loader. */
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/report.h"

enum yaml_kind { YAML_SCALAR, YAML_MAP, YAML_LIST };

struct yaml_node {
	enum yaml_kind kind;
	bool null;	  /* a scalar that says nothing: empty, ~ or null without quotes */
	uint32_t offset;  /* where it begins in the text */
	const char *text; /* of a scalar; ends with a 0 byte, and may hold others */
	size_t text_bytes;
	struct yaml_node *key;	 /* of a map's value: its key, a scalar */
	struct yaml_node *first; /* of a map or list */
	struct yaml_node *next;	 /* in the parent */
	unsigned count;
};

struct yaml_block;
struct yaml_tree {
	struct yaml_node *root; /* NULL: the text holds no document, or comments alone */
	struct yaml_block *blocks;
};

/* Parses r's text. 0, or -1 with at least one error in r. The tree is to be released in both cases. */
int yaml_parse(struct yaml_tree *t, struct report *r);
void yaml_release(struct yaml_tree *t);

/* The value of a key of a map; NULL where map is no map or has no such key. O(entries). */
struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/* The index-th entry of a list, or NULL. O(index). */
struct yaml_node *yaml_at(const struct yaml_node *list, unsigned index);

#endif
