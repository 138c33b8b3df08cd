/* SPDX-License-Identifier: Apache-2.0 */
/* Queues by name: declaring, finding, deleting. */
#include "broker/core/core.h"
#include "broker/core/deduplication.h"
#include "runtime/check.h"
#include "runtime/wire.h"

#include <stdlib.h>
#include <string.h>

/* "amq.gen-" and 128 bits of a keyed counter: nobody who does not know the key can tell the next one. */
struct slice queue_name_generate(struct broker_core *c, uint8_t text[static QUEUE_GENERATED_NAME_BYTES])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t random[18] = {0};

	for (unsigned half = 0; half < 2; half++) {
		c->name_count++;
		wire_put64(random + 8 * half, siphash(&c->name_key, &c->name_count, sizeof(c->name_count)));
	}
	memcpy(text, "amq.gen-", 8);
	for (unsigned i = 0; i < 22; i++) {
		unsigned bit = i * 6;
		unsigned pair = (unsigned)random[bit / 8] << 8 | random[bit / 8 + 1];
		text[8 + i] = (uint8_t)digits[pair >> (10 - bit % 8) & 63];
	}
	return (struct slice){text, QUEUE_GENERATED_NAME_BYTES};
}

static enum failure_code refuse_locked(const struct queue *q, struct failure *f)
{
	return failure_set(f, FAILURE_RESOURCE_LOCKED,
		"cannot obtain exclusive access to locked " QUEUE_FMT
		". It could be originally declared on another connection or the exclusive property value "
		"does not match that of the original declaration.",
		NAME_ARG(q->by_name.name, q->vhost));
}

enum failure_code queue_check_access(const struct session *s, const struct queue *q, struct failure *f)
{
	return !q->exclusive_to || q->exclusive_to == s ? FAILURE_NONE : refuse_locked(q, f);
}

static enum failure_code not_found(struct slice name, const struct vhost *v, struct failure *f)
{
	return failure_set(f, FAILURE_NOT_FOUND, "no " QUEUE_FMT, NAME_ARG(name, v));
}

enum failure_code queue_lookup(struct session *s, struct slice name, struct queue **out, struct failure *f)
{
	struct queue *q = queue_find(s->vhost, name);

	if (!q)
		return not_found(name, s->vhost, f);
	*out = q;
	return queue_check_access(s, q, f);
}

/* An exclusive queue ends with its session and is never durable, whatever its declaration says. */
static bool declared_durable(const struct queue_declaration *d)
{
	return d->durable && !d->exclusive;
}

static enum failure_code queue_equivalent(
	const struct session *s, const struct queue *q, const struct queue_declaration *d, struct failure *f)
{
	enum failure_code code = queue_check_access(s, q, f);
	struct slice name = q->by_name.name;

	if (!code && d->exclusive != (q->exclusive_to != NULL))
		code = refuse_locked(q, f);
	if (!code)
		code = flag_equivalent(
			q->durable, declared_durable(d), "durable", "queue", name, q->vhost, f);
	if (!code)
		code = flag_equivalent(
			q->auto_delete, d->auto_delete, "auto_delete", "queue", name, q->vhost, f);
	if (!code)
		code = queue_arguments_equivalent(q, &d->arguments, f);
	return code;
}

static struct queue *queue_memory(size_t bytes)
{
	size_t lines = (bytes + 63) / 64 * 64;
	struct queue *q = aligned_alloc(64, lines);

	return q ? memset(q, 0, lines) : NULL;
}

/* What its entries need beside themselves. False: no memory, or no room. */
static bool parts_make(struct broker *b, struct queue *q, const struct queue_policy *p)
{
	if (p && p->priority_max && levels_create(&q->entries, p->priority_max))
		return false;
	if (p && p->deduplicates && !(q->entries.values = queue_values_create(b)))
		return false;
	return true;
}

/* Before it is found by anyone. */
static void parts_free(struct queue *q)
{
	levels_destroy(&q->entries);
	if (!q->entries.values)
		return;
	queue_values_close(q->entries.values);
	queue_values_unref(q->entries.values);
}

/* The policy is the queue's where there is one. */
static struct queue *queue_alloc(
	struct session *s, const struct queue_declaration *d, struct slice name, struct queue_policy *policy)
{
	struct queue *q = queue_memory(sizeof(*q) + name.bytes);

	if (!q || fields_copy(&q->arguments, &d->arguments)) {
		free(q);
		return NULL;
	}
	entries_init(&q->entries, s->core->cache);
	q->entries.counted = policy && policy->delivery_limit != UINT64_MAX;
	if (!parts_make(s->vhost->broker, q, policy) || !queue_slot_take(s->vhost->broker, q)) {
		parts_free(q);
		fields_free(&q->arguments);
		free(q);
		return NULL;
	}
	memcpy(q->name, name.data, name.bytes);
	q->vhost = s->vhost;
	q->owner = s->core;
	q->durable = declared_durable(d);
	q->auto_delete = d->auto_delete;
	q->exclusive_to = d->exclusive ? s : NULL;
	q->policy = policy;
	CDS_INIT_LIST_HEAD(&q->consumers);
	CDS_INIT_LIST_HEAD(&q->parked_consumers);
	CDS_INIT_LIST_HEAD(&q->bindings);
	queue_rules_begin(q);
	return q;
}

/* How many levels of priority all queues have together: each is some 80 bytes, whether it is used or not. */
enum { LEVELS_BASE = 65536, LEVELS_PER_QUEUE = 4 };

static uint32_t levels_of(const struct queue_policy *p)
{
	return p && p->priority_max ? p->priority_max + UINT32_C(1) : 0;
}

/* Writer mutex held. */
static enum failure_code room_for_levels(struct broker *b, const struct queue_policy *p, struct failure *f)
{
	uint64_t most = LEVELS_BASE + LEVELS_PER_QUEUE * (uint64_t)b->config.limits.queues;

	if (b->level_count + levels_of(p) <= most)
		return FAILURE_NONE;
	if (!cds_list_empty(&b->deleted_queues))
		return FAILURE_AGAIN;
	return failure_set(f, FAILURE_LIMIT, "the limit of %llu priorities of all queues is reached",
		(unsigned long long)most);
}

static enum failure_code room_for_values(
	const struct broker *b, const struct queue_policy *p, struct failure *f)
{
	if (!p || !p->deduplicates || remembered_left(b) >= QUEUE_VALUES_LEAST)
		return FAILURE_NONE;
	return failure_set(f, FAILURE_LIMIT,
		"x-message-deduplication: only %u of %u values are left (limits.deduplication)",
		remembered_left(b), b->config.remembered_max);
}

/* Writer mutex held. What is on its way out is not in the way of what comes, but a slice at a time. */
static enum failure_code room_for_one_more(struct broker *b, struct failure *f)
{
	uint32_t most = b->config.limits.queues;

	if (b->queue_count >= most)
		tidy_slice(b);
	if (b->queue_count < most)
		return FAILURE_NONE;
	if (!cds_list_empty(&b->deleted_queues))
		return FAILURE_AGAIN;
	return failure_set(f, FAILURE_LIMIT, "the limit of %u queues is reached", most);
}

/* Writer mutex held. */
static enum failure_code queue_create(struct session *s, const struct queue_declaration *d, struct slice name,
	struct queue **out, struct failure *f)
{
	struct broker *b = s->vhost->broker;
	struct queue_policy *policy;
	enum failure_code code = queue_policy_make(&d->arguments, name, s->vhost, &policy, f);

	if (code)
		return code;
	code = room_for_one_more(b, f);
	if (!code)
		code = room_for_levels(b, policy, f);
	if (!code)
		code = room_for_values(b, policy, f);
	if (!code)
		code = arguments_count(b, &d->arguments, f);
	struct queue *q = code ? NULL : queue_alloc(s, d, name, policy);
	if (!q)
		queue_policy_free(policy);
	if (code)
		return code;
	if (!q) {
		arguments_uncount(b, &d->arguments);
		return failure_set(f, FAILURE_LIMIT, "no memory for " QUEUE_FMT, NAME_ARG(name, s->vhost));
	}
	b->queue_count++;
	s->vhost->queue_count++;
	b->level_count += levels_of(policy);
	cds_list_add_tail(&q->of_core, &s->core->queues);
	if (q->exclusive_to)
		cds_list_add_tail(&q->of_session, &s->exclusive_queues);
	table_add(&b->queues, &q->by_name, s->vhost, (struct slice){q->name, name.bytes});
	*out = q;
	return FAILURE_NONE;
}

static bool reserved(struct slice name)
{
	return name.bytes >= 4 && memcmp(name.data, "amq.", 4) == 0;
}

enum failure_code queue_declare(
	struct session *s, const struct queue_declaration *d, struct queue **out, struct failure *f)
{
	struct broker *b = s->vhost->broker;
	uint8_t generated[QUEUE_GENERATED_NAME_BYTES];
	struct slice name = d->name;
	enum failure_code code;

	MUST(name.bytes <= 255);
	if (d->passive)
		return queue_lookup(s, name, out, f);
	if (name.bytes == 0)
		name = queue_name_generate(s->core, generated);
	else if (reserved(name) && !d->generated)
		return failure_set(f, FAILURE_ACCESS_REFUSED,
			"queue name '" SLICE_FMT "' contains reserved prefix 'amq.*'", SLICE_ARG(name));
	pthread_mutex_lock(&b->writer);
	struct queue *q = queue_find(s->vhost, name);
	if (q) {
		*out = q;
		code = queue_equivalent(s, q, d, f);
	} else {
		code = d->existing ? FAILURE_AGAIN : queue_create(s, d, name, out, f);
	}
	pthread_mutex_unlock(&b->writer);
	return code;
}

static void queue_release(struct reclaim_node *n)
{
	struct queue *q = caa_container_of(n, struct queue, reclaim);

	MUST(!timer_in_wheel(&q->expiry) && !timer_in_wheel(&q->lease));
	levels_destroy(&q->entries);
	if (q->entries.values)
		queue_values_unref(q->entries.values);
	queue_policy_free(q->policy);
	consumer_order_free(q->order);
	fields_free(&q->arguments);
	free(q);
}

bool queue_take_apart(struct queue *q, unsigned bindings_max)
{
	struct broker *b = q->vhost->broker;

	while (bindings_max-- > 0 && !cds_list_empty(&q->bindings))
		binding_unlink(cds_list_first_entry(&q->bindings, struct binding, of_destination));
	if (!cds_list_empty(&q->bindings))
		return false;
	queue_slot_give(b, q);
	b->queue_count--;
	q->vhost->queue_count--;
	b->level_count -= levels_of(q->policy);
	arguments_uncount(b, &q->arguments);
	reclaim_defer(&q->reclaim, queue_release);
	return true;
}

static void queue_hide(struct queue *q)
{
	struct broker *b = q->vhost->broker;

	cds_list_del(&q->of_core);
	if (q->exclusive_to)
		cds_list_del(&q->of_session);
	pthread_mutex_lock(&b->writer);
	table_remove(&b->queues, &q->by_name);
	queue_slot_hide(b, q);
	__atomic_store_n(&q->hidden, true, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&b->writer);
}

/* Its memory may be gone afterwards. */
static void queue_dismantle(struct queue *q)
{
	struct broker *b = q->vhost->broker;

	pthread_mutex_lock(&b->writer);
	if (!queue_take_apart(q, TIDY_BINDINGS))
		tidy_queue_later(q);
	tidy_cascade(b);
	pthread_mutex_unlock(&b->writer);
}

static void cancel_all(struct cds_list_head *consumers)
{
	while (!cds_list_empty(consumers)) {
		struct consumer *c = cds_list_first_entry(consumers, struct consumer, link);
		consumer_unlink(c);
		c->ops->cancelled(c);
	}
}

uint64_t queue_remove(struct queue *q)
{
	struct broker_core *c = q->owner;
	uint64_t ready = q->entries.ready;

	MUST(!q->deleted);
	q->deleted = true;
	queue_hide(q);
	queue_rules_leave(q);
	queue_unmark_ready(q);
	c->stats.dropped += ready;
	c->stats.messages_ready -= ready;
	c->stats.messages_unacked -= q->entries.unsettled;
	if (q->entries.levels)
		levels_clear(&q->entries, &c->grave);
	else
		entries_clear(&q->entries, &c->grave);
	if (q->entries.values)
		queue_values_close(q->entries.values);
	while (q->consumer_count > 0) { /* as one goes another may take its place */
		cancel_all(&q->consumers);
		cancel_all(&q->parked_consumers);
	}
	queue_dismantle(q);
	return ready;
}

void queue_delete_own(struct session *s, struct queue *q)
{
	MUST(q->exclusive_to == s && queue_mine(s->core, q));
	queue_remove(q);
}

uint64_t queue_purge_here(struct queue *q)
{
	struct broker_core *c = q->owner;
	uint64_t n = q->entries.levels ? levels_purge(&q->entries, &c->grave)
				       : entries_purge(&q->entries, &c->grave);

	if (queue_rules(q))
		queue_rules_purged(q, n);
	c->stats.dropped += n;
	c->stats.messages_ready -= n;
	queue_unmark_ready(q);
	return n;
}
