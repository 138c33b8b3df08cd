/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of all keys: name, type, range, default, place in struct config, and what the key does. The
 * loader, the printer, the comparison and the reference page all walk it. */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

enum schema_type {
	SCHEMA_BOOL,
	SCHEMA_WORD,	  /* one of words; stored as its index */
	SCHEMA_COUNT,	  /* whole number */
	SCHEMA_BYTES,	  /* size with K, M, G, T */
	SCHEMA_DURATION,  /* stored in units of unit microseconds */
	SCHEMA_MODE,	  /* octal permission bits */
	SCHEMA_CPUS,	  /* a list of CPU numbers */
	SCHEMA_IFNAME,	  /* name of an interface */
	SCHEMA_NAME,	  /* a word for people: letters, digits, - _ . */
	SCHEMA_TEXT,	  /* any text, not empty */
	SCHEMA_SECRET,	  /* text that is never shown */
	SCHEMA_HASH,	  /* crypt(3) string, never shown */
	SCHEMA_PATH,	  /* absolute */
	SCHEMA_DEVICE,	  /* tap, PCI address or vdev */
	SCHEMA_PREFIX,	  /* IPv4 address with prefix length */
	SCHEMA_GATEWAY,	  /* IPv4 address or none */
	SCHEMA_MAC,	  /* MAC address or auto */
	SCHEMA_ADDRESS,	  /* IPv4 or IPv6 address */
	SCHEMA_PREFIXES,  /* a list of IPv4 and IPv6 prefixes */
	SCHEMA_HOSTS,	  /* a list of IPv4 and IPv6 addresses with their prefix lengths */
	SCHEMA_GATEWAY6,  /* IPv6 address, auto or none */
	SCHEMA_PORT_NAME, /* name of an entry of ports, stored as its index */
	SCHEMA_RESERVED,  /* known, refused */
};

struct schema_key {
	const char *name;
	enum schema_type type;
	uint32_t offset, size; /* in the section's struct */
	uint64_t min, max;     /* as stored, times unit */
	uint64_t unit;	       /* of SCHEMA_DURATION, in us */
	const char *initial;   /* the default as the file would have it; NULL: none, or see note */
	const char *note;      /* the default in words where it depends on something */
	const char *const *words;
	bool required;	 /* in each entry of a list */
	bool automatic;	 /* auto is allowed, stored as 0, and resolved when all is read */
	bool reloadable; /* by SIGHUP */
	bool bypass;	 /* of listeners: only for transport: bypass */
	const char *help;
};

/* A map, or a list of maps. */
struct schema_section {
	const char *name; /* "" for the keys at the top */
	bool list, reloadable;
	uint32_t offset; /* of its struct, or of its first entry, in struct config */
	uint32_t entry_bytes, entries_max, count_offset;
	const struct schema_key *keys; /* ends with a NULL name */
	const char *note;	       /* the default of a list in words */
	const char *help;
};

extern const struct schema_section schema_sections[]; /* ends with a NULL name */

/* The section or key of that name, or NULL. The section "" holds the keys at the top. */
const struct schema_section *schema_section(const char *name);
const struct schema_key *schema_key(const struct schema_section *s, const char *name);

/* The entry of a section in c: index is 0 for a map. */
static inline void *schema_entry(const struct schema_section *s, const struct config *c, uint32_t index)
{
	return (char *)c + s->offset + (size_t)index * s->entry_bytes;
}
uint32_t schema_count(const struct schema_section *s, const struct config *c);

/* Reads n bytes of text into the key's field of entry, a struct of the key's section. NULL, or why not, in a
 * few static words; the field is then unspecified. An entry of SCHEMA_PREFIXES or SCHEMA_HOSTS is added to
 * what there is. Not for SCHEMA_CPUS, SCHEMA_PORT_NAME and SCHEMA_RESERVED, which the loader reads itself. */
const char *schema_store(const struct schema_key *k, void *entry, const char *text, size_t n);

/* Writes the field's value as the file would have it. c resolves references; secrets are written as "***".
 * out has SCHEMA_VALUE_BYTES bytes. Returns false, and leaves out alone, where the field is not set. */
enum { SCHEMA_VALUE_BYTES = 4096, SCHEMA_ALLOWED_BYTES = 400 };
bool schema_format(const struct schema_key *k, const struct config *c, const void *entry, char *out);

/* What the key allows, in words: "a duration from 1ms to 60s (units us, ms, s, min, h)". out has
 * SCHEMA_ALLOWED_BYTES bytes and is returned. */
const char *schema_allowed(const struct schema_key *k, char *out);

/* The one of words (ends with NULL) that text was probably meant to be, or NULL: at most a third of its
 * letters are wrong. */
const char *schema_nearest(const char *text, const char *const *words);

/* How many letters are to be inserted, left out, replaced or swapped with their neighbour to make b of a,
 * without regard to case; UINT32_MAX where one is longer than 32 bytes. */
unsigned schema_distance(const char *a, const char *b);

#endif
