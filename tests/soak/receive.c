/* SPDX-License-Identifier: Apache-2.0 */
/* What a session does with what it is sent: every answer must be the one that is due, every message the next.
 */
#include "tests/soak/session.h"

#include <stdio.h>
#include <string.h>

#include "runtime/wire.h"
#include "tests/soak/load.h"

enum { REQUEUE_ONE_IN = 8, REJECT_ONE_IN = 16 };

static struct load_counts *counts(struct session *s)
{
	return &s->load->counts;
}

static void take_expected(struct session *s, unsigned channel, uint32_t id)
{
	struct expected *e = &s->expected[channel];

	if (e->count == 0 || e->id[e->at] != id)
		surprise(s, "method %u.%u came on channel %u", id >> 16, id & 0xffff, channel);
	e->at = (e->at + 1) % EXPECTED_MAX;
	e->count--;
}

static bool is_due(const struct session *s, unsigned channel, uint32_t id)
{
	const struct expected *e = &s->expected[channel];

	return e->count && e->id[e->at] == id;
}

static void confirm_one(struct session *s, uint64_t index, bool must_be_new)
{
	uint64_t *word = &s->confirmed[index / 64], bit = UINT64_C(1) << index % 64;

	if (must_be_new && *word & bit)
		surprise(s, "message %llu is confirmed twice", (unsigned long long)(s->confirm_base + index));
	if (!(*word & bit)) {
		s->confirmed_after_base++;
		counts(s)->confirmed++;
	}
	*word |= bit;
}

static void on_confirm(struct session *s, const struct frame *f)
{
	uint64_t tag = wire_get64(f->p + 4), index = tag - 1 - s->confirm_base;
	bool multiple = f->p[12] & 1;

	if (index >= s->published - s->confirm_base)
		surprise(s, "a confirm for message %llu", (unsigned long long)tag);
	for (uint64_t i = 0; multiple && i < index; i++)
		confirm_one(s, i, false);
	confirm_one(s, index, true);
}

static void on_channel_close(struct session *s, const struct frame *f, struct out *o)
{
	if (f->channel != 2 || !is_due(s, 2, CHANNEL_CLOSE))
		surprise(s, "channel %u is closed: %u %.*s", f->channel, wire_get16(f->p + 4), f->p[6],
			f->p + 7);
	take_expected(s, 2, CHANNEL_CLOSE);
	say_channel_close_ok(o, 2);
	s->side_open = false;
	counts(s)->refused++;
}

static void on_declared(struct session *s, const struct frame *f)
{
	if (f->channel != 1 || s->queue[0])
		return;
	uint8_t n = f->p[4];
	if (n == 0 || n >= sizeof(s->queue))
		surprise(s, "a queue's name of %u bytes", n);
	memcpy(s->queue, f->p + 5, n);
}

static void content_begin(struct session *s, const struct frame *f, uint32_t id)
{
	const uint8_t *p = f->p + 4;

	s->content = (struct content){.method = id, .channel = f->channel};
	if (id == RETURN)
		return;
	if (id == DELIVER)
		p += 1 + p[0];
	s->content.tag = wire_get64(p);
	s->content.redelivered = p[8];
	if (s->content.tag != ++s->tag[f->channel])
		surprise(s, "delivery tag %llu after %llu", (unsigned long long)s->content.tag,
			(unsigned long long)s->tag[f->channel] - 1);
}

static void on_method(struct session *s, const struct frame *f, struct out *o)
{
	uint32_t id = frame_method(f);

	if (f->channel >= CHANNELS)
		surprise(s, "a method on channel %u", f->channel);
	switch (id) {
	case CLOSE:
		surprise(s, "the connection is closed: %u %.*s", wire_get16(f->p + 4), f->p[6], f->p + 7);
	case CHANNEL_CLOSE:
		on_channel_close(s, f, o);
		return;
	case ACK:
		on_confirm(s, f);
		return;
	case GET_EMPTY:
		counts(s)->get_empty++;
		take_expected(s, f->channel, s->side.how == SIDE_ANYHOW ? GET_OK : GET_EMPTY);
		return;
	case GET_OK:
		take_expected(s, f->channel, GET_OK);
		/* fall through */
	case DELIVER:
	case RETURN:
		content_begin(s, f, id);
		return;
	case QUEUE_DECLARE_OK:
		on_declared(s, f);
		/* fall through */
	default:
		take_expected(s, f->channel, id);
	}
}

static void settle(struct session *s, struct out *o)
{
	say_ack(o, 1, s->unsettled_tag, s->unsettled > 1);
	counts(s)->acked += s->unsettled;
	s->unsettled = 0;
}

static bool is_own(const struct session *s, const struct stamp *m)
{
	if (m->kind == STAMP_SHARED)
		return false;
	if (m->kind != STAMP_OWN || m->slot != s->slot || m->life != s->life)
		surprise(s, "a message of kind %x, slot %u, life %u, number %u", m->kind, m->slot, m->life,
			m->sequence);
	return true;
}

/* Its place in the ledger. Returns whether it may be sent back. */
static bool own_note(struct session *s, const struct stamp *m)
{
	uint32_t index = m->sequence - s->own_base;
	uint64_t bit = index < REQUEUE_MAX ? UINT64_C(1) << index : 0;

	if (!s->content.redelivered) {
		if (m->sequence != s->own_seen)
			surprise(s, "message %u came, %u is next", m->sequence, s->own_seen);
		s->own_seen++;
		return bit != 0;
	}
	if (!(s->own_requeued & bit))
		surprise(s, "message %u came again", m->sequence);
	s->own_requeued &= ~bit;
	return false;
}

static void on_own_delivery(struct session *s, const struct stamp *m, struct out *o)
{
	bool own = is_own(s, m), again = own && own_note(s, m);

	if (s->no_ack) {
		s->own_done += own;
		return;
	}
	if (again && load_random(s->load, REQUEUE_ONE_IN) == 0) {
		say_nack(o, 1, s->content.tag, true);
		s->own_requeued |= UINT64_C(1) << (m->sequence - s->own_base);
		counts(s)->nacked++;
	} else if (own && load_random(s->load, REJECT_ONE_IN) == 0) {
		say_nack(o, 1, s->content.tag, false);
		s->own_done++;
		counts(s)->nacked++;
	} else {
		s->own_done += own;
		s->unsettled++;
		s->unsettled_tag = s->content.tag;
	}
	if (s->unsettled && (s->unsettled >= s->batch || s->own_seen == s->own_sent))
		settle(s, o);
}

static void side_check(struct session *s, const struct stamp *m, struct out *o)
{
	struct side *side = &s->side;

	if (m->kind != STAMP_SIDE || m->slot != s->slot || m->life != s->life || side->next == side->wanted)
		surprise(s, "a message of kind %x, slot %u, life %u, number %u came on channel 2", m->kind,
			m->slot, m->life, m->sequence);
	if (m->sequence != side->next || s->content.redelivered != (m->sequence < side->first_fresh))
		surprise(s, "message %u came on channel 2, redelivered %d", m->sequence,
			s->content.redelivered);
	do
		side->next++; /* those that were settled do not come again */
	while (side->next < side->wanted && side->next < 32 && side->skip >> side->next & 1);
	if (side->keep >> m->sequence & 1)
		return;
	if (side->requeue >> m->sequence & 1)
		say_nack(o, 2, s->content.tag, true);
	else
		say_ack(o, 2, s->content.tag, false);
}

static void side_anyhow(struct session *s, struct out *o)
{
	uint32_t roll = load_random(s->load, 10);

	if (roll < 7)
		say_ack(o, 2, s->content.tag, false);
	else if (roll < 9)
		say_nack(o, 2, s->content.tag, roll == 7 && !s->content.redelivered);
}

static void content_end(struct session *s, const struct stamp *m, struct out *o)
{
	struct content *c = &s->content;

	if (c->method == RETURN) {
		if (s->returns == 0)
			surprise(s, "message %u is returned", m->sequence);
		s->returns--;
		counts(s)->returned++;
	} else {
		counts(s)->delivered += c->method == DELIVER;
		counts(s)->got += c->method == GET_OK;
		counts(s)->redelivered += c->redelivered;
		if (c->channel == 1)
			on_own_delivery(s, m, o);
		else if (s->side.how == SIDE_CHECKED)
			side_check(s, m, o);
		else if (s->side.how == SIDE_ANYHOW)
			side_anyhow(s, o);
	}
	c->method = 0;
}

/* A part of a body: the stamp, then what it was filled up with. */
static void body_bytes(struct session *s, const uint8_t *p, uint32_t n)
{
	struct content *c = &s->content;

	for (uint32_t i = 0; i < n; i++, c->seen++) {
		if (c->seen < sizeof(c->stamp))
			((uint8_t *)&c->stamp)[c->seen] = p[i];
		else if (p[i] != 's')
			surprise(s, "a body's byte %llu is %u", (unsigned long long)c->seen, p[i]);
	}
}

static void on_content(struct session *s, const struct frame *f, struct out *o)
{
	struct content *c = &s->content;

	if (!c->method || f->channel != c->channel || c->head_seen != (f->type == FRAME_BODY))
		surprise(s, "a frame of type %u on channel %u", f->type, f->channel);
	if (f->type == FRAME_HEADER) {
		c->head_seen = true;
		c->bytes = wire_get64(f->p + 4);
		if (c->bytes < sizeof(struct stamp))
			surprise(s, "a body of %llu bytes", (unsigned long long)c->bytes);
		return;
	}
	if (f->n > c->bytes - c->seen)
		surprise(s, "a body of more than %llu bytes", (unsigned long long)c->bytes);
	body_bytes(s, f->p, f->n);
	if (c->seen == c->bytes)
		content_end(s, &c->stamp, o);
}

void session_frame(struct session *s, const struct frame *f, struct out *o)
{
	if (s->content.method && f->type == FRAME_METHOD)
		surprise(s, "method %x within a content", frame_method(f));
	if (f->type == FRAME_METHOD)
		on_method(s, f, o);
	else if (f->type == FRAME_HEADER || f->type == FRAME_BODY)
		on_content(s, f, o);
	else if (f->type != FRAME_HEARTBEAT)
		surprise(s, "a frame of type %u", f->type);
}
