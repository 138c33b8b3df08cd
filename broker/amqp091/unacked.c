/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries that await their settlement: a list by tag for each channel, and one index for all of them. Tags
 * follow each other, so they lie side by side in the index; where a channel begins in it is random, so nobody
 * can aim many channels at one chain. */
#include "broker/amqp091/internal.h"
#include "runtime/mutants.h"

#include <stdlib.h>

int unacked_index_create(struct unacked_index *x, uint32_t unacked_max)
{
	uint32_t chains = 1;

	while (chains < unacked_max && chains < UINT32_C(1) << 31)
		chains *= 2;
	x->mask = chains - 1;
	x->chains = calloc(chains, sizeof(struct unacked *));
	return x->chains ? 0 : -1;
}

void unacked_index_destroy(struct unacked_index *x)
{
	free(x->chains);
}

static void index_add(struct unacked_index *x, struct unacked *u)
{
	struct unacked **head = &x->chains[u->chain];

	u->index_next = *head;
	*head = u;
}

static void index_remove(struct unacked_index *x, struct unacked *u)
{
	struct unacked **at = &x->chains[u->chain];

	while (*at != u)
		at = &(*at)->index_next;
	*at = u->index_next;
}

static struct unacked *find(struct amqp091_channel *ch, uint64_t tag)
{
	const struct unacked_index *x = &ch->conn->server->unacked_index;
	struct unacked *u = x->chains[(ch->tag_base + tag) & x->mask];

	while (u && (u->tag != tag || u->serial != ch->serial))
		u = u->index_next;
	return u;
}

void unacked_begin(struct amqp091_channel *ch)
{
	struct amqp091_server *s = ch->conn->server;
	uint64_t seq[2] = {s->name_seq++, 2};

	ch->serial = s->serial++;
	ch->tag_base = siphash(&s->name_key, seq, sizeof(seq));
	CDS_INIT_LIST_HEAD(&ch->unacked);
}

struct unacked *unacked_add(struct amqp091_channel *ch, struct amqp091_consumer *k, const struct delivery *d)
{
	struct amqp091_server *s = ch->conn->server;
	struct unacked *u = pool_take(s->unacked_pool);

	MUST(u); /* whoever delivers has asked for room before */
	u->tag = ch->tag_next++;
	u->delivery = *d;
	u->kept = SETTLEMENT_NONE;
	u->delivered_us = s->now_us;
	u->consumer = k ? pool_handle_of(s->consumers_pool, k) : 0;
	u->serial = ch->serial;
	u->chain = (uint32_t)(ch->tag_base + u->tag) & s->unacked_index.mask;
	index_add(&s->unacked_index, u);
	cds_list_add_tail(&u->link, &ch->unacked);
	if (k) {
		k->unacked_count++;
		ch->unacked_count++;
	}
	return u;
}

static void release(struct amqp091_channel *ch, struct unacked *u)
{
	struct amqp091_server *s = ch->conn->server;
	struct amqp091_consumer *k = pool_resolve(s->consumers_pool, u->consumer);

	cds_list_del(&u->link);
	index_remove(&s->unacked_index, u);
	if (k) {
		k->unacked_count -= !MUTANT(settled_ones_count);
		ch->unacked_count -= !MUTANT(settled_ones_count_for_the_channel);
		if (!MUTANT(settled_consumers_sleep))
			consumer_wake(&k->consumer);
	}
	pool_give(s->unacked_pool, u);
}

void unacked_settle(struct amqp091_channel *ch, struct unacked *u, bool ack, bool requeue)
{
	struct broker_core *core = ch->conn->server->config.core;
	struct delivery d = u->delivery;

	/* Credit first: a requeued message may go straight back to the consumer that it came from. */
	release(ch, u);
	if (ack)
		queue_ack(core, &d);
	else if (requeue || MUTANT(nothing_is_dropped))
		queue_requeue(core, &d);
	else
		queue_drop(core, &d);
}

bool unacked_ready(struct amqp091_channel *ch, const struct unacked *u, enum kept_settlement how)
{
	struct broker_core *core = ch->conn->server->config.core;

	if (how == SETTLEMENT_REQUEUE)
		return queue_requeue_ready(core, &u->delivery);
	return how == SETTLEMENT_DROP ? queue_drop_ready(core, &u->delivery)
				      : queue_settle_ready(core, &u->delivery);
}

static uint64_t tag_at(const struct cds_list_head *at)
{
	return cds_list_entry(at, struct unacked, link)->tag;
}

bool unacked_restore(
	struct amqp091_channel *ch, struct unacked *u, struct cds_list_head **place, uint32_t *steps)
{
	struct cds_list_head *at = *place, *end = &ch->unacked;

	for (;; --*steps) {
		bool on = at != end && tag_at(at) < u->tag;
		if (!on && (at->prev == end || tag_at(at->prev) < u->tag))
			break;
		*place = at;
		if (*steps == 0)
			return false;
		at = on ? at->next : at->prev;
	}
	u->kept = SETTLEMENT_NONE;
	cds_list_del(&u->link);
	cds_list_add_tail(&u->link, MUTANT(restored_behind_the_next) ? at->next : at); /* before it */
	*place = &u->link;
	return true;
}

static enum kept_settlement settlement(bool ack, bool requeue)
{
	if (ack)
		return SETTLEMENT_ACK;
	return requeue ? SETTLEMENT_REQUEUE : SETTLEMENT_DROP;
}

static enum settle keep_up_to(struct amqp091_channel *ch, uint64_t last, enum kept_settlement how)
{
	while (!cds_list_empty(&ch->unacked)) {
		struct unacked *u = cds_list_first_entry(&ch->unacked, struct unacked, link);
		if (u->tag > last)
			break;
		if (conn_input_left(ch->conn) == 0 && !MUTANT(all_kept_in_a_turn))
			return SETTLE_AGAIN;
		conn_charge(ch->conn, 1);
		transaction_settle(ch, u, how);
	}
	return SETTLE_DONE;
}

static enum settle settle_up_to(struct amqp091_channel *ch, uint64_t last, bool ack, bool requeue)
{
	struct amqp091_conn *c = ch->conn;

	while (!cds_list_empty(&ch->unacked)) {
		struct unacked *u = cds_list_first_entry(&ch->unacked, struct unacked, link);
		if (u->tag > last + MUTANT(one_more_is_settled))
			break;
		if ((conn_input_left(c) == 0 && !MUTANT(all_settled_in_a_turn)) ||
			!unacked_ready(ch, u, settlement(ack, requeue)))
			return SETTLE_AGAIN;
		conn_charge(c, 1);
		unacked_settle(ch, u, ack, requeue);
	}
	return SETTLE_DONE;
}

/* All of it, which while it takes several turns must not mean what is delivered in between. */
static uint64_t all_begin(struct amqp091_channel *ch)
{
	if (!ch->settle_last || MUTANT(all_is_what_comes_too))
		ch->settle_last = ch->tag_next - 1;
	return ch->settle_last;
}

static enum settle all_end(struct amqp091_channel *ch, enum settle result)
{
	if (result == SETTLE_DONE)
		ch->settle_last = 0;
	return result;
}

enum settle unacked_recover(struct amqp091_channel *ch)
{
	return all_end(ch, settle_up_to(ch, all_begin(ch), false, true));
}

static enum settle unknown_tag(struct amqp091_channel *ch, uint64_t tag, uint32_t id)
{
	channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, id, "unknown delivery tag %llu",
		(unsigned long long)tag);
	return SETTLE_ERROR;
}

/* As unacked_settle_tags. */
static enum settle keep_tags(
	struct amqp091_channel *ch, uint64_t tag, bool multiple, enum kept_settlement how, uint32_t id)
{
	if (multiple && tag == 0)
		return all_end(ch, keep_up_to(ch, all_begin(ch), how));
	struct unacked *u = find(ch, tag);
	if (!u || (u->kept && !MUTANT(settled_again_before_commit)))
		return unknown_tag(ch, tag, id);
	if (multiple)
		return keep_up_to(ch, tag, how);
	transaction_settle(ch, u, how);
	return SETTLE_DONE;
}

enum settle unacked_settle_tags(
	struct amqp091_channel *ch, uint64_t tag, bool multiple, bool ack, bool requeue, uint32_t id)
{
	enum settle result = SETTLE_DONE;

	if (ch->tx.on)
		return keep_tags(ch, tag, multiple, settlement(ack, requeue), id);
	if (multiple && tag == 0) {
		result = all_end(ch, settle_up_to(ch, all_begin(ch), ack, requeue));
	} else {
		struct unacked *u = find(ch, tag);
		if (!u)
			return unknown_tag(ch, tag, id);
		if (multiple)
			result = settle_up_to(ch, tag, ack, requeue);
		else if (!MUTANT(settled_without_room) && !unacked_ready(ch, u, settlement(ack, requeue)))
			result = SETTLE_AGAIN;
		else
			unacked_settle(ch, u, ack, requeue);
	}
	/* A prefetch for the whole channel holds every consumer of it. */
	if (ch->prefetch_channel && !MUTANT(settling_wakes_one_consumer))
		channel_wake(ch);
	return result;
}

unsigned unacked_drain(struct amqp091_server *s)
{
	struct broker_core *core = s->config.core;
	unsigned done = 0;

	for (; (s->abandon_left > 0 || MUTANT(all_abandoned_in_a_turn)) && !cds_list_empty(&s->abandoned);
		done++, s->abandon_left--) {
		struct unacked *u = cds_list_first_entry(&s->abandoned, struct unacked, link);
		if (!queue_settle_ready(core, &u->delivery))
			break;
		cds_list_del(&u->link);
		/* It waits for room for its letter: the others must not, they may be what makes some. */
		if (!queue_requeue_ready(core, &u->delivery)) {
			if (MUTANT(one_that_waits_holds_all)) {
				cds_list_add(&u->link, &s->abandoned);
				break;
			}
			cds_list_add_tail(&u->link, &s->abandoned);
			continue;
		}
		index_remove(&s->unacked_index, u);
		queue_requeue(core, &u->delivery);
		pool_give(s->unacked_pool, u);
	}
	return done;
}

void unacked_forget(struct amqp091_server *s)
{
	while (!cds_list_empty(&s->abandoned)) {
		struct unacked *u = cds_list_first_entry(&s->abandoned, struct unacked, link);
		cds_list_del(&u->link);
		index_remove(&s->unacked_index, u);
		message_unref(broker_core_cache(s->config.core), u->delivery.message);
		pool_give(s->unacked_pool, u);
	}
}

void unacked_abandon(struct amqp091_channel *ch)
{
	struct amqp091_server *s = ch->conn->server;

	cds_list_splice(&ch->unacked, s->abandoned.prev);
	CDS_INIT_LIST_HEAD(&ch->unacked);
	unacked_drain(s);
}
