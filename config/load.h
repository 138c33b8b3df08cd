/* SPDX-License-Identifier: Apache-2.0 */
/* What the steps of loading share: values are read (load.c), what was left out is filled in (complete.c), and
 * the whole is checked (check.c). Private to the loader. */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include "config/config.h"
#include "config/report.h"
#include "config/schema.h"
#include "config/yaml.h"

struct load {
	struct config *c;
	struct report *r;
	const struct yaml_node *root; /* NULL: nothing was given */
	bool readable_by_all;	      /* the file is, by its permissions */
};

/* The value that the file has for a key (NULL where it has none), the entry that holds it, or the section. */
const struct yaml_node *load_find(const struct load *l, const char *section, uint32_t index, const char *key);

/* The place to point at for a key: its value, or the nearest thing around it that the file has. */
uint32_t load_place(const struct load *l, const char *section, uint32_t index, const char *key);

/* "ports[0].mtu", "tcp.rto_min", "idle"; key may be NULL. out has LOAD_PATH_BYTES bytes and is returned. */
enum { LOAD_PATH_BYTES = 96 };
const char *load_path(const char *section, int64_t index, const char *key, char *out);

/* Sets the defaults of an entry's keys. */
void load_defaults(const struct schema_section *s, void *entry);

/* limits.messages: no more than one message a share of memory.messages, the least that one takes. */
enum { LOAD_MESSAGE_SHARE_BYTES = 32 };

/* The default ports and listeners, addresses, and what is auto. */
void load_ports_default(struct load *l);
void load_complete(struct load *l);

/* What must hold between keys. */
void load_check(struct load *l);

#endif
