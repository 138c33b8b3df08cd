/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/confirms.h"

#include <stdlib.h>

static uint64_t *word_of(const struct confirms *c, uint64_t tag)
{
	return &c->bits[tag % CONFIRMS_APART_MAX / 64];
}

static uint64_t bit_of(uint64_t tag)
{
	return UINT64_C(1) << tag % 64;
}

bool confirms_is_early(const struct confirms *c, uint64_t tag)
{
	return c->early && *word_of(c, tag) & bit_of(tag);
}

/* Whether the tag was confirmed early; it is forgotten. */
static bool clear(struct confirms *c, uint64_t tag)
{
	if (!confirms_is_early(c, tag))
		return false;
	*word_of(c, tag) &= ~bit_of(tag);
	c->early--;
	return true;
}

static void rise(struct confirms *c)
{
	while (c->early && clear(c, c->floor + 1))
		c->floor++;
}

static bool take_early(struct confirms *c, uint64_t tag)
{
	if (tag - c->floor >= CONFIRMS_APART_MAX)
		return false;
	if (!c->bits)
		c->bits = calloc(CONFIRMS_APART_MAX / 64, sizeof(*c->bits));
	if (!c->bits || *word_of(c, tag) & bit_of(tag))
		return false;
	*word_of(c, tag) |= bit_of(tag);
	c->early++;
	return true;
}

bool confirms_take(struct confirms *c, uint64_t tag, bool multiple)
{
	if (multiple && tag == 0)
		tag = c->published;
	if (tag > c->published || tag <= c->floor)
		return false;
	if (!multiple && tag != c->floor + 1)
		return take_early(c, tag);
	while (c->floor < tag && c->early)
		clear(c, ++c->floor);
	c->floor = tag;
	rise(c);
	return true;
}

void confirms_free(struct confirms *c)
{
	free(c->bits);
	*c = (struct confirms){0};
}
