/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a channel's publishes were confirmed: by one ack each, in whatever order, or by one for all up to
 * a tag. */
#ifndef TOOLS_CLIENT_CONFIRMS_H
#define TOOLS_CLIENT_CONFIRMS_H

#include <stdbool.h>
#include <stdint.h>

enum { CONFIRMS_APART_MAX = 1 << 20 };

struct confirms {
	uint64_t published, floor; /* tags; all up to floor are confirmed */
	uint64_t early;		   /* how many beyond floor are */
	uint64_t *bits;		   /* of those, by tag modulo CONFIRMS_APART_MAX; made when first needed */
};

/* False where the ack is for nothing that waits, comes for the second time, or is more than
 * CONFIRMS_APART_MAX ahead of one that is missing. */
bool confirms_take(struct confirms *c, uint64_t tag, bool multiple);
/* Whether a tag beyond floor was confirmed. */
bool confirms_is_early(const struct confirms *c, uint64_t tag);
void confirms_free(struct confirms *c);

static inline uint64_t confirms_due(const struct confirms *c)
{
	return c->published - c->floor - c->early;
}

#endif
