/* SPDX-License-Identifier: Apache-2.0 */
/* A message that several cores have references to: whoever lets go of it last gives its memory back, which is
 * used anew at once, and no other one still looks at it then. */
#include "broker/core/message.h"

#include "tests/interleave/scenarios.h"

#include <stdlib.h>

static struct state {
	struct message_store *store;
	struct message_cache *caches[2];
	struct message *message;
	struct message *next[2];
} * s;

static struct message *make(unsigned thread, uint8_t content)
{
	static const struct message_envelope e = {.body_bytes = 1};
	struct message *m = message_new(s->caches[thread], &e);

	EXPECT(m);
	message_append(m, &content, 1);
	return m;
}

/* Two references. */
static void setup(void)
{
	s = calloc(1, sizeof(*s));
	s->store = message_store_create(&(struct message_store_config){
		.memory_bytes = 16 * MESSAGE_BLOCK_BYTES, .watermark_percent = 80, .caches_max = 2});
	for (unsigned i = 0; i < 2; i++)
		s->caches[i] = message_cache_create(s->store);
	s->message = make(0, 7);
	message_share(s->message);
	message_ref(s->message);
}

static void look(const struct message *m)
{
	struct message_cursor at = {0};

	EXPECT(message_body_next(m, &at, 1).data[0] == 7);
}

/* Both look at it, let go, and make another one of the same size. */
static void let_go(unsigned thread)
{
	look(s->message);
	message_unref(s->caches[thread], s->message);
	s->next[thread] = make(thread, (uint8_t)thread);
}

/* One hands it on meanwhile (a fan-out in slices), the other puts it back (a requeue). */
static void hand_on(unsigned thread)
{
	if (thread == 0) {
		message_ref(s->message);
		look(s->message);
		message_unref(s->caches[0], s->message);
	} else {
		message_share(s->message);
	}
	let_go(thread);
}

static void whole(void)
{
	for (unsigned i = 0; i < 2; i++)
		message_unref(s->caches[i], s->next[i]);
	EXPECT(message_store_stats(s->store).cells.used == 0);
}

const struct weak_scenario message_scenarios[] = {
	{"message: let go", 2, setup, let_go, whole, 5, 0},
	{"message: handed on", 2, setup, hand_on, whole, 50, 0},
	{NULL, 0, NULL, NULL, NULL, 0, 0},
};
