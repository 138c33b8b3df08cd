/* SPDX-License-Identifier: Apache-2.0 */
/* What tells a message from another one for x-message-deduplication, of exchanges (gate_once.c) and of queues
 * (queue_values.h) alike: the value of its header x-deduplication-header, as a key. */
#ifndef BROKER_CORE_DEDUPLICATION_H
#define BROKER_CORE_DEDUPLICATION_H

#include "broker/core/recent_keys.h"

struct broker;
struct header_source;

/* The key of the value that the headers have: of other kinds, others, but for integers of all widths. False:
 * they have none, or a table, an array or a decimal, which stands for no value; headers may be NULL. Any
 * core, O(headers and value). */
bool deduplication_key(
	const struct siphash_key key[2], const struct header_source *headers, struct recent_key *out);

/* Room for that many values among all that the broker remembers (broker_config.remembered_max); false: there
 * is not. What was taken is given back, once. Any thread, O(1). */
bool remembered_take(struct broker *b, uint32_t n);
void remembered_give(struct broker *b, uint32_t n);
/* How many are left: a snapshot. */
uint32_t remembered_left(const struct broker *b);

#endif
