/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of recent keys stand on: one set of them, over memory that counts and refuses. */
#ifndef BROKER_CORE_RECENT_FIXTURE_H
#define BROKER_CORE_RECENT_FIXTURE_H

#include "broker/core/recent_keys.h"
#include "tests/unit/unit.h"

#include <string.h>

extern struct recent_keys recent;
extern uint32_t claim; /* the last one */
extern const struct siphash_key recent_hash[2];

/* Memory that counts, checks what comes back, and is refused from the refuse_after-th area on, or now and
 * then. */
enum { RECENT_AREAS_MAX = 64, MANY = 100000 };
extern struct recent_memory {
	struct {
		void *p;
		size_t bytes;
	} areas[RECENT_AREAS_MAX];
	size_t bytes, largest;
	unsigned asked, refused, refuse_after, refuse_one_in;
	bool refuse_heads;
} recent_memory;

void recent_begin(uint32_t most);
void recent_end(void); /* asserts that all memory is back */

struct recent_key key(uint32_t number);
enum recent claim_at(uint32_t number, uint64_t now_us);
void keep_until(uint32_t number, uint64_t now_us, uint64_t expires_us); /* MUST be new */
void keep(uint32_t number);
bool knows(uint32_t number); /* whether it is kept; leaves it as it is */

#endif
