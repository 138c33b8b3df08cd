/* SPDX-License-Identifier: Apache-2.0 */
/* Steps on a second channel, which comes and goes with them. */
#include "tests/soak/steps.h"

#include <stdio.h>

enum { SIDE_MESSAGES = 6, SIDE_PREFETCH = 3 };

static void side_open(struct session *s, struct out *o)
{
	say_channel_open(o, 2);
	expect(s, 2, CHANNEL_OPEN_OK);
	s->load->counts.channels++;
	s->side_open = true;
	s->tag[2] = 0;
}

static void side_close(struct session *s, struct out *o)
{
	say_channel_close(o, 2);
	expect(s, 2, CHANNEL_CLOSE_OK);
	s->side = (struct side){.how = SIDE_IGNORED};
	s->side_open = false;
}

static void side_declare(struct session *s, struct out *o)
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "side-%u", s->slot);
	say_queue_declare(o, 2, name, EXCLUSIVE);
	expect(s, 2, QUEUE_DECLARE_OK);
	s->load->counts.queues++;
}

static void side_delete(struct session *s, struct out *o)
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "side-%u", s->slot);
	say_queue_delete(o, 2, name, false);
	expect(s, 2, QUEUE_DELETE_OK);
}

static void side_publish(struct session *s, struct out *o, uint32_t count)
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "side-%u", s->slot);
	for (uint32_t i = 0; i < count; i++) {
		struct stamp stamp = {STAMP_SIDE, s->slot, s->life, i};
		say_publish(o, 2,
			&(struct publish){.exchange = "",
				.key = name,
				.head = &stamp,
				.head_bytes = sizeof(stamp),
				.body_bytes = roll_size(s)});
		s->load->counts.published++;
	}
}

/* So many gets that find a message, and one that finds none. */
static void side_get(struct session *s, struct out *o, uint32_t count, bool no_ack)
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "side-%u", s->slot);
	for (uint32_t i = 0; i <= count; i++) {
		say_get(o, 2, name, no_ack);
		expect(s, 2, i < count ? GET_OK : GET_EMPTY);
	}
}

bool step_get(struct session *s, struct out *o)
{
	switch (s->phase) {
	case 0:
		side_open(s, o);
		side_declare(s, o);
		side_publish(s, o, 4);
		s->side = (struct side){.wanted = 4, .requeue = 1 << 1 | 1 << 3};
		side_get(s, o, 4, false);
		return true;
	case 1:
		s->side = (struct side){.next = 1, .wanted = 4, .first_fresh = 4, .skip = 1 << 2};
		side_get(s, o, 2, false);
		return true;
	default:
		side_publish(s, o, 3);
		say_queue_purge(o, 2, "");
		expect(s, 2, QUEUE_PURGE_OK);
		s->load->counts.purged++;
		side_delete(s, o);
		side_close(s, o);
		return false;
	}
}

static void side_consume(struct session *s, struct out *o)
{
	char name[NAME_BYTES];

	side_open(s, o);
	say_qos(o, 2, SIDE_PREFETCH);
	expect(s, 2, QOS_OK);
	side_declare(s, o);
	side_publish(s, o, SIDE_MESSAGES);
	snprintf(name, sizeof(name), "side-%u", s->slot);
	say_consume(o, 2, name, "side", false);
	expect(s, 2, CONSUME_OK);
	s->load->counts.consumers++;
	s->side = (struct side){.wanted = SIDE_PREFETCH, .keep = ~0u};
}

/* A channel is closed over unacknowledged messages: they come again, in their places. */
bool step_abandon(struct session *s, struct out *o)
{
	switch (s->phase) {
	case 0:
		side_consume(s, o);
		return true;
	case 1:
		side_close(s, o);
		return true;
	case 2:
		side_open(s, o);
		s->side = (struct side){.wanted = SIDE_MESSAGES, .first_fresh = SIDE_PREFETCH, .keep = ~0u};
		side_get(s, o, SIDE_MESSAGES, true);
		return true;
	default:
		side_delete(s, o);
		side_close(s, o);
		return false;
	}
}

bool step_recover(struct session *s, struct out *o)
{
	switch (s->phase) {
	case 0:
		side_consume(s, o);
		return true;
	case 1:
		say_recover(o, 2);
		expect(s, 2, RECOVER_OK);
		s->side = (struct side){.wanted = SIDE_MESSAGES, .first_fresh = SIDE_PREFETCH};
		s->load->counts.recovered++;
		return true;
	default:
		side_delete(s, o);
		side_close(s, o);
		return false;
	}
}

/* A queue that there is not, or that another connection has for itself: the channel is closed. */
bool step_refused(struct session *s, struct out *o)
{
	char name[NAME_BYTES] = "nobody's";
	const struct session *other = &s->load->sessions[roll(s, s->load->session_count)];

	if (other != s && other->kind == QUEUE_EXCLUSIVE)
		queue_name(name, other->slot, other->life);
	side_open(s, o);
	say_queue_declare(o, 2, name, PASSIVE);
	expect(s, 2, CHANNEL_CLOSE);
	s->side = (struct side){.how = SIDE_IGNORED};
	return false;
}

/* Queues that many sessions use at once: what comes is anybody's. */
bool step_shared(struct session *s, struct out *o)
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "shared-%u", (s->slot + s->life) % SHARED_QUEUES);
	switch (s->phase) {
	case 0:
		side_open(s, o);
		s->side = (struct side){.how = SIDE_ANYHOW};
		say_qos(o, 2, roll_prefetch(s) | 1);
		expect(s, 2, QOS_OK);
		own_burst_begin(s);
		for (unsigned i = 0; i < 8; i++)
			publish_shared(s, o, "", name, false);
		say_consume(o, 2, name, "shared", false);
		expect(s, 2, CONSUME_OK);
		s->load->counts.consumers++;
		return true;
	case 1:
		for (unsigned i = 0; i < 4; i++) {
			say_get(o, 2, name, false);
			expect(s, 2, GET_OK);
		}
		return true;
	case 2:
		say_cancel(o, 2, "shared");
		expect(s, 2, CANCEL_OK);
		if (one_in(s, 4)) {
			say_queue_purge(o, 2, name);
			expect(s, 2, QUEUE_PURGE_OK);
			s->load->counts.purged++;
		}
		return true;
	default:
		side_close(s, o);
		return false;
	}
}
