/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over cores: what several cores say of the same things, as one. */
#ifndef BROKER_MAIN_MERGE_H
#define BROKER_MAIN_MERGE_H

#include <jansson.h>

/* Adds the object from, which stays the caller's, to the object into: integers are added (of keys that end in
 * "_us_max" the larger one is kept), booleans are true where one is, objects are merged key by key, arrays of
 * objects element by element as their "name" or "port" says; anything else stays as the first said it, and
 * what into lacks is copied. Control thread. */
void merge_json(json_t *into, const json_t *from);

#endif
