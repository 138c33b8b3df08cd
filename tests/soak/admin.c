/* SPDX-License-Identifier: Apache-2.0 */
/* What all sessions share is made before them and deleted after them, with the queues that lives have left.
 */
#include "tests/soak/steps.h"

#include <stdio.h>

static const char *const exchange_types[] = {"direct", "topic", "headers", "fanout"};

bool step_admin_open(struct session *s, struct out *o)
{
	char name[NAME_BYTES];

	if (s->phase) {
		s->step = step_leave;
		s->phase = 0;
		return step_leave(s, o);
	}
	hello(s, o);
	for (unsigned i = 0; i < sizeof(exchange_types) / sizeof(*exchange_types); i++) {
		snprintf(name, sizeof(name), "soak-%s", exchange_types[i]);
		say_exchange_declare(o, 1, name, exchange_types[i], false);
		expect(s, 1, EXCHANGE_DECLARE_OK);
	}
	for (unsigned i = 0; i < SHARED_QUEUES; i++) {
		snprintf(name, sizeof(name), "shared-%u", i);
		say_queue_declare(o, 1, name, 0);
		expect(s, 1, QUEUE_DECLARE_OK);
	}
	return true;
}

bool step_admin_close(struct session *s, struct out *o)
{
	const struct load *l = s->load;
	char name[NAME_BYTES];

	if (s->phase) {
		s->step = step_leave;
		s->phase = 0;
		return step_leave(s, o);
	}
	hello(s, o);
	for (unsigned i = 0; i < l->session_count; i++) {
		queue_name(name, i, l->sessions[i].life);
		if (kind_of(i, l->sessions[i].life) == QUEUE_KEPT)
			say_queue_delete(o, 1, name, true);
	}
	for (unsigned i = 0; i < SHARED_QUEUES; i++) {
		snprintf(name, sizeof(name), "shared-%u", i);
		say_queue_delete(o, 1, name, false);
		expect(s, 1, QUEUE_DELETE_OK);
	}
	for (unsigned i = 0; i < sizeof(exchange_types) / sizeof(*exchange_types); i++) {
		snprintf(name, sizeof(name), "soak-%s", exchange_types[i]);
		say_exchange_delete(o, 1, name);
		expect(s, 1, EXCHANGE_DELETE_OK);
	}
	return true;
}
