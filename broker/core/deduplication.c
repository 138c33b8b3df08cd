/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/deduplication.h"

#include "broker/core/core.h"

static const struct slice value_header = {(const uint8_t *)"x-deduplication-header", 22};

bool deduplication_key(
	const struct siphash_key key[2], const struct header_source *headers, struct recent_key *out)
{
	struct value v;

	if (!headers || !headers->find(headers->ctx, value_header, &v) || v.kind == VALUE_OPAQUE)
		return false;
	struct slice bytes = v.bytes;
	if (v.kind == VALUE_VOID)
		bytes.bytes = 0;
	else if (v.kind == VALUE_BOOL)
		bytes = (struct slice){(const uint8_t *)&v.boolean, sizeof(v.boolean)};
	else if (v.kind != VALUE_STRING)
		bytes = (struct slice){(const uint8_t *)&v.integer, sizeof(v.integer)};
	*out = recent_key_of(key, (uint8_t)v.kind, bytes);
	return true;
}

bool remembered_take(struct broker *b, uint32_t n)
{
	uint32_t used = __atomic_load_n(&b->remembered, __ATOMIC_RELAXED);

	do {
		if (used > b->config.remembered_max || n > b->config.remembered_max - used)
			return false;
	} while (!__atomic_compare_exchange_n(
		&b->remembered, &used, used + n, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

void remembered_give(struct broker *b, uint32_t n)
{
	__atomic_fetch_sub(&b->remembered, n, __ATOMIC_RELAXED);
}

uint32_t remembered_left(const struct broker *b)
{
	uint32_t used = __atomic_load_n(&b->remembered, __ATOMIC_RELAXED), most = b->config.remembered_max;

	return used < most ? most - used : 0;
}
