/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/stamp.h"

#include <stdio.h>
#include <stdlib.h>

bool stamp_account_init(struct stamp_account *a, unsigned first, unsigned count, bool shared)
{
	*a = (struct stamp_account){.first = first, .count = count, .shared = shared};
	a->next = calloc(count, sizeof(*a->next));
	return a->next != NULL;
}

void stamp_account_free(struct stamp_account *a)
{
	free(a->next);
	a->next = NULL;
}

void stamp_say(const struct stamp_account *a, enum stamp_fault fault, char *text, unsigned room)
{
	static const char *const what[] = {
		[STAMP_FINE] = "nothing is wrong with",
		[STAMP_STRANGER] = "nobody here published",
		[STAMP_LOST] = "messages were lost or overtaken before",
		[STAMP_AGAIN] = "came again, or too late:",
	};

	snprintf(text, room, "%s message %llu of publisher %u (%llu was due)", what[fault],
		(unsigned long long)stamp_number(a->bad), stamp_publisher(a->bad),
		(unsigned long long)a->due);
}

uint64_t stamp_sum(unsigned first, unsigned count, uint64_t numbers)
{
	uint64_t sum = 0;

	for (unsigned who = first; who < first + count; who++)
		for (uint64_t n = 0; n < numbers; n++)
			sum += stamp_mix((uint64_t)who << STAMP_NUMBER_BITS | n);
	return sum;
}
