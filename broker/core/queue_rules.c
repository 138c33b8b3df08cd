/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/queue_rules.h"

#include "broker/core/core.h"
#include "runtime/check.h"

#include <urcu/compiler.h>

static void watch(struct queue *q)
{
	if (q->is_watched)
		return;
	q->is_watched = true;
	cds_list_add_tail(&q->of_watched, &q->owner->watched);
}

/* Expiry */

static uint64_t lifetime(const struct queue *q, const struct message *m)
{
	uint64_t own = message_lifetime_us(m);

	return q->policy && q->policy->message_ttl_us < own ? q->policy->message_ttl_us : own;
}

static uint64_t end_of(const struct message *m, uint64_t lifetime_us)
{
	uint64_t end = message_received_us(m) + lifetime_us;

	return end < lifetime_us ? UINT64_MAX : end;
}

/* at_once: that it lives for no time counts too. */
static bool has_ended(const struct queue *q, const struct message *m, bool at_once)
{
	uint64_t us = lifetime(q, m);

	return us == 0 ? at_once : end_of(m, us) <= q->owner->now_us;
}

/* Limits */

static void promise(struct queue *q, int64_t count, int64_t bytes)
{
	__atomic_fetch_add(&q->promised, (uint64_t)count, __ATOMIC_RELAXED);
	__atomic_fetch_add(&q->promised_bytes, (uint64_t)bytes, __ATOMIC_RELAXED);
}

bool queue_promise(struct queue *q, const struct message *m)
{
	const struct queue_policy *p = q->policy;
	uint64_t bytes = message_body_bytes(m);
	uint64_t count = __atomic_add_fetch(&q->promised, 1, __ATOMIC_RELAXED);
	uint64_t all = __atomic_add_fetch(&q->promised_bytes, bytes, __ATOMIC_RELAXED);

	if (count <= p->length_max && all <= p->bytes_max)
		return true;
	promise(q, -1, -(int64_t)bytes);
	return false;
}

static bool too_much(const struct queue *q, uint64_t slack)
{
	const struct queue_policy *p = q->policy;

	if ((q->rules & (RULE_LIMITS | RULE_REFUSES)) != RULE_LIMITS)
		return false;
	return (q->entries.ready > p->length_max && q->entries.ready - p->length_max > slack) ||
	       (q->ready_bytes > p->bytes_max && (slack == 0 || q->entries.ready > slack));
}

static void came(struct queue *q, const struct message *m)
{
	if (!(q->rules & RULE_LIMITS))
		return;
	q->ready_bytes += message_body_bytes(m);
	if (too_much(q, 0))
		watch(q);
}

/* One that was ready is not any more. */
static void gone(struct queue *q, const struct message *m)
{
	if (!(q->rules & RULE_LIMITS))
		return;
	q->ready_bytes -= message_body_bytes(m);
	if (q->rules & RULE_REFUSES)
		promise(q, -1, -(int64_t)message_body_bytes(m));
}

/* The next that a pop gives; NULL: nothing is ready. */
static struct message *head(const struct queue *q)
{
	return q->entries.levels ? levels_peek(&q->entries) : entries_peek(&q->entries);
}

/* Dropping */

bool queue_rules_pop(struct queue *q, bool settle, struct entry *out)
{
	if (!(q->entries.levels ? levels_pop(&q->entries, settle, out)
				: entries_pop(&q->entries, settle, out)))
		return false;
	gone(q, out->message);
	return true;
}

static struct letter_address *letters_of(const struct queue *q)
{
	return q->policy ? q->policy->letters : NULL;
}

static void give_up(struct queue *q, struct message *m_take, enum death why)
{
	struct broker_core *c = q->owner;
	struct letter_address *letters = letters_of(q);

	if (letters)
		letter_post(c, letters, m_take, why);
	else
		message_unref(c->cache, m_take);
}

static void drop_head(struct queue *q, enum death why)
{
	struct entry x;

	MUST(queue_rules_pop(q, true, &x));
	q->owner->stats.messages_ready--;
	give_up(q, x.message, why);
}

/* Later, where there is no room for a dead letter now. */
static bool may_drop(struct queue *q)
{
	if (!letters_of(q) || letters_open(q->owner))
		return true;
	watch(q);
	return false;
}

/* What must not stay, from the head on. at_once: that it lives for no time counts; slack: so much too much
 * may stay. */
static unsigned drop(struct queue *q, bool at_once, uint64_t slack, unsigned most)
{
	struct broker_core *c = q->owner;
	struct broker_core_stats *stats = &c->stats;
	unsigned allowed = c->rules_left > RULES_LEAST ? c->rules_left : RULES_LEAST, n = 0;
	struct message *m;

	if (most > allowed)
		most = allowed;
	for (; n < most && (m = head(q)); n++) {
		bool expired = (q->rules & RULE_EXPIRY) && has_ended(q, m, at_once);
		if ((!expired && !too_much(q, slack)) || !may_drop(q))
			break;
		stats->expired += expired;
		stats->dropped_length += !expired;
		drop_head(q, expired ? DEATH_EXPIRED : DEATH_MAXLEN);
	}
	c->rules_left -= n < c->rules_left ? n : c->rules_left;
	return n;
}

static unsigned expire(struct queue *q, bool at_once)
{
	return drop(q, at_once, UINT64_MAX, RULES_QUANTUM);
}

/* The head may be another one. */
static void head_watch(struct queue *q)
{
	struct broker_core *c = q->owner;
	struct message *m = head(q);

	if (!m || !(q->rules & RULE_EXPIRY))
		return;
	uint64_t us = lifetime(q, m);
	if (us == UINT64_MAX)
		return;
	uint64_t end = end_of(m, us);
	if (end <= c->now_us)
		watch(q);
	else
		core_timer_arm(c, &q->expiry, end);
}

static void expiry_fire(struct timer *t, uint64_t now_us)
{
	(void)now_us;
	watch(caa_container_of(t, struct queue, expiry));
}

/* What comes back */

uint32_t queue_rules_attempt(const struct queue *q)
{
	if (!(q->rules & RULE_RETURNS) || q->entries.ready == 0)
		return 0;
	return 1 + (q->entries.levels ? levels_peek_returns(&q->entries) : entries_peek_returns(&q->entries));
}

bool queue_rules_gives_up(struct queue *q, const struct entry *x)
{
	if (!(q->rules & RULE_RETURNS) || entry_count_return(x) <= q->policy->delivery_limit)
		return false;
	entries_settle(&q->entries, x);
	q->owner->stats.returned_too_often++;
	give_up(q, x->message, DEATH_DELIVERY_LIMIT);
	return true;
}

/* The queue's own end */

static void lease_fire(struct timer *t, uint64_t now_us)
{
	struct queue *q = caa_container_of(t, struct queue, lease);

	(void)now_us;
	if (q->consumer_count > 0)
		return;
	q->owner->stats.queues_expired++;
	queue_remove(q);
}

void queue_used(struct queue *q)
{
	struct broker_core *c = q->owner;

	if (q->policy && q->policy->expires_us && q->consumer_count == 0)
		core_timer_arm(c, &q->lease, c->now_us + q->policy->expires_us);
}

/* The queue and its core */

void queue_expects_expiry(struct queue *q)
{
	if (!(queue_rules(q) & RULE_EXPIRY))
		__atomic_fetch_or(&q->rules, RULE_EXPIRY, __ATOMIC_RELAXED);
}

void queue_rules_begin(struct queue *q)
{
	timer_init(&q->expiry, expiry_fire);
	timer_init(&q->lease, lease_fire);
	if (!q->policy)
		return;
	if (q->policy->message_ttl_us != UINT64_MAX)
		q->rules |= RULE_EXPIRY;
	if (q->policy->priority_max)
		q->rules |= RULE_LEVELS;
	if (q->policy->delivery_limit != UINT64_MAX)
		q->rules |= RULE_RETURNS;
	if (q->policy->deduplicates)
		q->rules |= RULE_VALUES;
	if (q->policy->length_max != UINT64_MAX || q->policy->bytes_max != UINT64_MAX)
		q->rules |= q->policy->overflow == OVERFLOW_DROP_HEAD ? RULE_LIMITS
								      : RULE_LIMITS | RULE_REFUSES;
	queue_used(q);
}

void queue_rules_leave(struct queue *q)
{
	struct timer_wheel *wheel = &q->owner->wheel;

	timer_cancel(wheel, &q->expiry);
	timer_cancel(wheel, &q->lease);
	if (q->is_watched)
		cds_list_del(&q->of_watched);
	q->is_watched = false;
}

void queue_rules_arrive(struct queue *q)
{
	if (queue_rules(q))
		watch(q);
}

/* Messages */

void queue_rules_purged(struct queue *q, uint64_t count)
{
	if (q->rules & RULE_REFUSES)
		promise(q, -(int64_t)count, -(int64_t)q->ready_bytes);
	q->ready_bytes = 0;
}

/* Not a part of what plain queues run through. */
__attribute__((noinline)) void queue_rules_enqueue_take(struct queue *q, struct message *m_take)
{
	uint64_t us = lifetime(q, m_take);

	if (q->entries.levels)
		levels_push(&q->entries, m_take);
	else
		entries_push(&q->entries, m_take);
	q->owner->stats.messages_ready++;
	came(q, m_take);
	if (us == 0)
		watch(q);
	else if (q->entries.ready == 1 || head(q) == m_take)
		head_watch(q);
	queue_mark_ready(q);
}

void queue_rules_requeued(struct queue *q, const struct message *m)
{
	/* It had its chance to be delivered at once. */
	came(q, m);
	if (q->rules & RULE_REFUSES)
		promise(q, 1, (int64_t)message_body_bytes(m));
	expire(q, true);
	head_watch(q);
}

bool queue_rules_head_lives(struct queue *q)
{
	expire(q, false);
	struct message *m = head(q);
	if (!m)
		return false;
	/* More than a slice has expired: it goes on in the next turn. */
	q->is_expiring = has_ended(q, m, false);
	if (q->is_expiring)
		watch(q);
	return !q->is_expiring;
}

void queue_rules_taken(struct queue *q)
{
	head_watch(q);
}

static unsigned settle(struct queue *q, unsigned most)
{
	/* In the ready list: consumers may still take what lives for no time, or is too much. */
	unsigned n = drop(q, !q->is_ready, q->is_ready ? LIMIT_SLACK : 0, most);
	struct message *m = head(q);

	q->is_expiring = m && has_ended(q, m, false);
	head_watch(q);
	if (too_much(q, 0))
		watch(q);
	queue_mark_ready(q);
	return n;
}

void queue_rules_settle(struct queue *q)
{
	settle(q, RULES_QUANTUM);
}

__attribute__((noinline)) unsigned queue_rules_poll(struct broker_core *c)
{
	CDS_LIST_HEAD(round);
	unsigned left = c->rules_left, dropped = 0;

	cds_list_splice(&c->watched, &round);
	CDS_INIT_LIST_HEAD(&c->watched);
	while (left > 0 && !cds_list_empty(&round)) {
		struct queue *q = cds_list_first_entry(&round, struct queue, of_watched);
		cds_list_del(&q->of_watched);
		q->is_watched = false;
		unsigned n = settle(q, left);
		left -= n ? n : 1; /* one that has to wait for room is looked at in each turn */
		dropped += n;
	}
	/* First in the next turn. */
	cds_list_splice(&round, &c->watched);
	return dropped;
}
