/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/testing/transaction_model.h"

#include <stdlib.h>
#include <string.h>

struct model model;

struct model_queue model_queues[QUEUES] = {
	[A] = {"a", NULL},
	[FEW_HEAD] = {"few", "of few", .few = true},
	[REFUSES] = {"refuses", NULL, .few = true, .refuses = true},
	[SENDS_ON] = {"sends on", "of sends on", .few = true, .refuses = true},
	[TTL] = {"ttl", "of ttl", .ttl = true},
	[MORTAL] = {"mortal", "of mortal"},
	[OF_FEW] = {"of few", NULL},
	[OF_SENDS_ON] = {"of sends on", NULL},
	[OF_TTL] = {"of ttl", NULL},
	[OF_MORTAL] = {"of mortal", NULL},
};

const struct target model_targets[TARGETS] = {{"", "a", 1 << A}, {"", "few", 1 << FEW_HEAD},
	{"", "refuses", 1 << REFUSES}, {"", "sends on", 1 << SENDS_ON}, {"", "ttl", 1 << TTL},
	{"", "mortal", 1 << MORTAL}, {"amq.fanout", "", 1 << A | 1 << FEW_HEAD | 1 << REFUSES},
	{"", "nobody", 0}, [TARGET_GONE] = {"gone", "", 1 << A}};

/* Queues */

static struct model_queue *queue_named(const char *name)
{
	for (unsigned i = 0; i < QUEUES; i++)
		if (strcmp(model_queues[i].name, name) == 0)
			return &model_queues[i];
	return NULL;
}

unsigned model_ready_count(const struct model_queue *q)
{
	unsigned n = 0;

	for (unsigned i = 0; i < q->count; i++)
		n += q->at[i].ready;
	return n;
}

struct model_message *model_head(struct model_queue *q)
{
	for (unsigned i = 0; i < q->count; i++)
		if (q->at[i].ready)
			return &q->at[i];
	return NULL;
}

struct model_message *model_next(struct model_queue *q, uint64_t number)
{
	if (q < &model_queues[OF_FEW])
		return model_head(q);
	for (unsigned i = 0; i < q->count; i++)
		if (q->at[i].ready && q->at[i].number == number)
			return &q->at[i];
	return NULL;
}

static void push(struct model_queue *q, uint64_t number, uint32_t bytes)
{
	if (q->count == q->room) {
		q->room = q->room ? q->room * 2 : 64;
		q->at = realloc(q->at, q->room * sizeof(*q->at));
	}
	q->at[q->count++] = (struct model_message){
		.number = number, .received_us = model.rig.now_us, .bytes = bytes, .ready = true};
}

static void give_up(struct model_queue *q, struct model_message *m)
{
	m->ready = false;
	if (!q->letters)
		return;
	model.seen.letters++;
	push(queue_named(q->letters), m->number, m->bytes);
}

static void apply(struct model_queue *q, bool limits)
{
	struct model_message *m;

	while ((m = model_head(q))) {
		bool expired = q->ttl && m->received_us + TTL_MS * MS <= model.rig.now_us;
		bool too_much = q->few && !q->refuses && model_ready_count(q) > FEW;
		if (!expired && !(limits && too_much))
			break;
		model.seen.expired += expired;
		give_up(q, m);
	}
}

void model_apply_rules(void)
{
	for (unsigned i = 0; i < QUEUES; i++)
		apply(&model_queues[i], true);
}

bool model_route(const struct model_kept *k)
{
	bool refused = false;

	for (unsigned i = 0; i < QUEUES; i++) {
		struct model_queue *q = &model_queues[i];
		if (!(model_targets[k->target].queues >> i & 1))
			continue;
		if (!q->refuses || model_ready_count(q) < FEW) {
			push(q, k->number, k->bytes);
			continue;
		}
		refused = true;
		if (q->letters)
			push(queue_named(q->letters), k->number, k->bytes);
	}
	return refused;
}

bool model_leads_nowhere(unsigned target)
{
	return model_targets[target].queues == 0 || (target == TARGET_GONE && !model.has_gone);
}

unsigned model_kept_on(unsigned core, uint64_t *bytes)
{
	unsigned n = 0;

	*bytes = 0;
	for (unsigned i = 0; i < CLIENTS * CHANNELS; i++) {
		const struct model_client *c = &model.clients[i / CHANNELS];
		const struct model_channel *ch = &c->channels[i % CHANNELS];
		if (c->core != core)
			continue;
		n += ch->kept_count;
		for (unsigned k = 0; k < ch->kept_count; k++)
			*bytes += ch->kept[k].bytes;
	}
	return n;
}

uint64_t model_live_bytes(void)
{
	uint64_t n = 0, kept;

	for (unsigned i = 0; i < QUEUES; i++)
		for (unsigned k = 0; k < model_queues[i].count; k++)
			n += model_queues[i].at[k].bytes;
	for (unsigned core = 0; core < model.rig.core_count; core++, n += kept)
		(void)model_kept_on(core, &kept);
	return n;
}

void model_shorten(void)
{
	for (unsigned i = 0; i < CLIENTS * CHANNELS; i++) {
		const struct model_channel *ch = &model.clients[i / CHANNELS].channels[i % CHANNELS];
		if (ch->out_count || ch->settled_count)
			return;
	}
	for (unsigned i = 0; i < QUEUES; i++) {
		struct model_queue *q = &model_queues[i];
		unsigned n = 0;
		for (unsigned k = 0; k < q->count; k++)
			if (q->at[k].ready)
				q->at[n++] = q->at[k];
		q->count = n;
	}
}

/* Channels */

static void settle(const struct model_out *o, enum kept_settlement how)
{
	struct model_message *m = &o->queue->at[o->index];

	if (o->life != o->queue->life)
		return; /* it went with its queue */
	model.seen.settled++;
	m->bytes = how == SETTLEMENT_REQUEUE || o->queue->letters ? m->bytes : 0;
	if (how == SETTLEMENT_REQUEUE) {
		m->ready = true;
		apply(o->queue, false); /* one that is over does not wait for the turn's end */
	} else if (how == SETTLEMENT_DROP) {
		give_up(o->queue, m);
	}
}

void model_settle_all(struct model_out *outs, unsigned *count, bool as_kept)
{
	for (unsigned i = 0; i < *count; i++)
		settle(&outs[i], as_kept ? outs[i].kept : SETTLEMENT_REQUEUE);
	*count = 0;
}

void model_channel_ends(struct model_channel *ch)
{
	model_settle_all(ch->settled, &ch->settled_count, false);
	model_settle_all(ch->out, &ch->out_count, false);
	*ch = (struct model_channel){.tag_next = 1};
}

bool model_commit_done(struct model_channel *ch)
{
	bool refused = false;

	for (unsigned i = 0; i < ch->kept_count; i++)
		if (!model_leads_nowhere(ch->kept[i].target))
			refused |= model_route(&ch->kept[i]);
	ch->kept_count = 0;
	model_settle_all(ch->settled, &ch->settled_count, true);
	return refused;
}

void model_take_at(struct model_channel *ch, unsigned at, enum kept_settlement how)
{
	struct model_out o = ch->out[at];

	memmove(&ch->out[at], &ch->out[at + 1], (--ch->out_count - at) * sizeof(o));
	o.kept = how;
	if (ch->tx)
		ch->settled[ch->settled_count++] = o;
	else
		settle(&o, how);
}
