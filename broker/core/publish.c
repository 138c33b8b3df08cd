/* SPDX-License-Identifier: Apache-2.0 */
/* A message into the queues that it is routed to, on this core and on others. All of them take it, or it is
 * offered again: nothing is dropped for want of room. A message for very many queues goes out in slices,
 * while its publisher waits. */
#include "broker/core/core.h"
#include "broker/core/deduplication.h"
#include "runtime/check.h"

static bool fenced(const struct broker_core *c, const struct queue *q)
{
	/* Acquired before the owner is read: where the fence is down the new owner is seen. */
	return __atomic_load_n(&q->fenced, __ATOMIC_ACQUIRE) >> c->index & 1;
}

void publish_mark(struct publish_marks *marks, uint32_t core, const struct broker_core *c)
{
	if (!marks)
		return;
	marks->cores |= UINT64_C(1) << core;
	marks->at[core] = ring_position(c->out[core].link->publish);
}

bool publish_marks_passed(struct broker_core *c, struct publish_marks *marks)
{
	while (marks->cores) {
		uint32_t core = (uint32_t)__builtin_ctzll(marks->cores);
		if (!ring_passed(c->out[core].link->publish, marks->at[core]))
			return false;
		marks->cores &= marks->cores - 1;
	}
	return true;
}

static bool refusals_are_letters(const struct queue *q)
{
	return q->policy->overflow == OVERFLOW_REFUSE_LETTER && q->policy->letters;
}

static void refusal_post(struct broker_core *c, struct queue *q, struct message *m)
{
	if (!letters_margin(c)) {
		letter_lost(c);
		return;
	}
	if (c->broker->config.cores > 1)
		message_share(m);
	message_ref(m);
	letter_post(c, q->policy->letters, m, DEATH_MAXLEN);
}

/* A queue that may refuse promises a place (GIVEN), once it is clear that the message could take it. alone:
 * it is the message's only queue, so that the whole may be offered again, and no letter waits for that. */
__attribute__((noinline)) static enum publish_given promised(
	struct broker_core *c, struct queue *q, struct message *m, bool alone)
{
	if (queue_promise(q, m))
		return GIVEN;
	if (refusals_are_letters(q)) {
		if (alone && !letters_open(c))
			return GIVE_AGAIN;
		refusal_post(c, q, m);
	}
	c->stats.refused++;
	return GIVE_REFUSED;
}

/* How a message is given to a queue: the whole may be offered again, and waits for letters as well; or, while
 * letters are in the way, for all else; or it is on its way to others. */
enum give_how { GIVE_ALONE, GIVE_ONLY, GIVE_ONE_OF_MANY };

/* request NULL: the fan-out's message. */
static bool value_of(
	const struct broker_core *c, const struct route_request *request, struct recent_key *key_out)
{
	if (request)
		return deduplication_key(c->broker->value_key, request->headers, key_out);
	*key_out = c->fan_out.value;
	return c->fan_out.has_value;
}

static uint64_t *held_since(struct broker_core *c, const struct route_request *request)
{
	return request ? &request->session->held_since : &c->fan_out.held_since;
}

/* A client that acknowledges a message and then publishes its value finds it free, though the one may still
 * be on its way to the queue's core: true until it is there. */
static bool settlement_waits(
	struct broker_core *c, const struct queue *q, const struct route_request *request)
{
	uint64_t *since = held_since(c, request);
	uint32_t to = queue_owner(q)->index;

	if (to == c->index)
		return false;
	if (*since == 0)
		*since = link_stamp(c);
	return !link_settled(c, to, *since);
}

/* Whether it may be free in a later turn: what is purged goes in slices, and what was settled here is not
 * there yet. False, too, where it is free by now. */
static bool value_waits(struct broker_core *c, const struct queue *q, const struct route_request *request)
{
	struct recent_key key;

	if (!(queue_rules(q) & RULE_VALUES) || !value_of(c, request, &key))
		return false;
	switch (queue_values_ask(q->entries.values, key)) {
	case VALUE_HELD:
		return settlement_waits(c, q, request);
	case VALUE_LEAVING:
		return true;
	default:
		return false;
	}
}

/* A queue that holds each value once: GIVEN where it has not got this one, which is claimed then. */
static enum publish_given claimed(struct broker_core *c, struct queue *q, enum give_how how,
	const struct route_request *request, uint32_t *claim_out)
{
	struct recent_key key;

	*claim_out = CLAIM_NONE;
	if (!(queue_rules(q) & RULE_VALUES) || !value_of(c, request, &key))
		return GIVEN;
	enum value_answer answer = queue_values_claim(q->entries.values, key, claim_out);
	/* Of many queues each has been asked before. What was purged since then may have come later. */
	if ((answer == VALUE_HELD || answer == VALUE_LEAVING) && how != GIVE_ONE_OF_MANY) {
		if (value_waits(c, q, request))
			return GIVE_AGAIN;
		answer = queue_values_claim(q->entries.values, key, claim_out);
	}
	*held_since(c, request) = 0;
	c->counters.values_unwatched += answer == VALUE_UNWATCHED;
	if (answer == VALUE_FREE || answer == VALUE_UNWATCHED)
		return GIVEN;
	c->counters.duplicates++;
	return GIVE_REFUSED;
}

/* GIVEN: it will be taken. A duplicate is nothing that the queue could have too much of. */
static enum publish_given admitted(struct broker_core *c, struct queue *q, struct message *m,
	enum give_how how, const struct route_request *request, uint32_t *claim_out)
{
	enum publish_given given = claimed(c, q, how, request, claim_out);

	if (given != GIVEN || !(queue_rules(q) & RULE_REFUSES))
		return given;
	given = promised(c, q, m, how == GIVE_ALONE);
	if (given != GIVEN)
		queue_values_withdraw(q->entries.values, *claim_out);
	return given;
}

/* A queue that may not want it. */
__attribute__((noinline)) static enum publish_given give_choosy(struct broker_core *c, struct queue *q,
	struct message *m, struct publish_marks *marks, enum give_how how,
	const struct route_request *request)
{
	bool mine = queue_mine(c, q);
	uint32_t to = queue_owner(q)->index, claim;

	if (mine ? !queue_room(q) : !ring_room(c->out[to].link->publish, 1))
		return GIVE_AGAIN;
	enum publish_given given = admitted(c, q, m, how, request, &claim);
	if (given != GIVEN) {
		if (mine)
			queue_room_cancel(q);
		return given;
	}
	if (mine) {
		queue_enqueue(q, m);
		queue_claim_take(q, m, claim);
		return GIVEN;
	}
	message_share(m);
	message_ref(m);
	*link_publish(c, to) = (struct publish_record){m, q->handle, claim};
	publish_mark(marks, to, c);
	return GIVEN;
}

static enum publish_given give_one(struct broker_core *c, struct queue *q, struct message *m,
	struct publish_marks *marks, enum give_how how, const struct route_request *request)
{
	if (fenced(c, q))
		return GIVE_AGAIN;
	if (__builtin_expect(queue_rules(q) & (RULE_REFUSES | RULE_VALUES), 0))
		return give_choosy(c, q, m, marks, how, request);
	if (queue_mine(c, q)) {
		if (!queue_room(q))
			return GIVE_AGAIN;
		queue_enqueue(q, m);
		return GIVEN;
	}
	uint32_t to = queue_owner(q)->index;
	struct publish_record *r = link_publish(c, to);
	if (!r)
		return GIVE_AGAIN;
	message_share(m);
	message_ref(m);
	*r = (struct publish_record){m, q->handle, CLAIM_NONE};
	publish_mark(marks, to, c);
	return GIVEN;
}

/* It may be refused, and go on as a letter; those of one message are kept room for (FAN_OUT_AT_ONCE). */
static bool refusal_waits(const struct broker_core *c, const struct queue *q)
{
	return (queue_rules(q) & RULE_REFUSES) && refusals_are_letters(q) && !letters_open(c) &&
	       !c->letters.going;
}

static bool room_for(
	struct broker_core *c, struct queue *q, const struct route_request *request, uint32_t *wanted)
{
	if (fenced(c, q) || refusal_waits(c, q) || value_waits(c, q, request))
		return false;
	if (queue_mine(c, q))
		return queue_room(q);
	uint32_t to = queue_owner(q)->index;
	wanted[to]++;
	return ring_room(c->out[to].link->publish, wanted[to]) >= wanted[to];
}

/* Room in every queue, or in none. */
static bool rooms_take(struct broker_core *c, const struct route_set *to, const struct route_request *request)
{
	uint32_t wanted[CORES_MAX] = {0};

	for (uint32_t i = 0; i < to->count; i++) {
		if (room_for(c, to->queues[i], request, wanted))
			continue;
		while (i-- > 0)
			if (queue_owner(to->queues[i]) == c)
				queue_room_cancel(to->queues[i]);
		return false;
	}
	return true;
}

static enum publish_given give_all(struct broker_core *c, const struct route_set *to, struct message *m,
	struct publish_marks *marks, const struct route_request *request)
{
	enum publish_given result = GIVEN;
	enum give_how how = to->count > 1 ? GIVE_ONE_OF_MANY : c->letters.going ? GIVE_ONLY : GIVE_ALONE;

	if (to->count > 1 && !rooms_take(c, to, request))
		return GIVE_AGAIN;
	/* One of its queues may move while others stay. */
	if (to->count > 1 && c->broker->config.cores > 1)
		message_share(m);
	for (uint32_t i = 0; i < to->count; i++) {
		enum publish_given one = give_one(c, to->queues[i], m, marks, how, request);
		MUST(one != GIVE_AGAIN || to->count == 1);
		if (one != GIVEN)
			result = one;
	}
	return result;
}

/* A queue that is deleted is hidden at once, its bindings go in slices. */
static void leave_hidden_out(struct route_set *to)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < to->count; i++)
		if (!queue_hidden(to->queues[i]))
			to->queues[n++] = to->queues[i];
	to->count = n;
}

__attribute__((noinline)) static void filter_out(struct route_set *to, const struct queue_filter *filter)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < to->count; i++)
		if (filter->takes(filter->ctx, queue_name(to->queues[i])))
			to->queues[n++] = to->queues[i];
	to->count = n;
}

__attribute__((noinline)) static void expect_expiry(const struct route_set *to)
{
	for (uint32_t i = 0; i < to->count; i++)
		queue_expects_expiry(to->queues[i]);
}

enum publish_given publish_give(struct broker_core *c, struct queue *q, struct message *m)
{
	if (message_expires(m))
		queue_expects_expiry(q);
	/* The letters that are in the way of another one may be waiting for this fan-out. */
	return give_one(c, q, m, NULL, c->letters.waiting ? GIVE_ONLY : GIVE_ALONE, NULL);
}

static void too_many(struct failure *f)
{
	failure_set(f, FAILURE_LIMIT, "no memory for the queues of the message");
}

static void count_done(struct broker_core *c, uint32_t queues)
{
	c->stats.published++;
	c->stats.routed += queues;
	c->stats.unroutable += queues == 0;
}

static enum failure_code check_exchange(const struct session *s, const struct exchange *x, struct slice name,
	bool from_inside, struct failure *f)
{
	if (!x)
		return failure_set(f, FAILURE_NOT_FOUND, "no " EXCHANGE_FMT, NAME_ARG(name, s->vhost));
	if (x->internal && !from_inside)
		return failure_set(f, FAILURE_ACCESS_REFUSED, "cannot publish to internal " EXCHANGE_FMT,
			NAME_ARG(name, s->vhost));
	return FAILURE_NONE;
}

enum failure_code exchange_check_publish(struct session *s, struct slice exchange, struct failure *f)
{
	return check_exchange(s, exchange_find(s->vhost, exchange), exchange, false, f);
}

/* NULL: it fails. */
static struct exchange *route(struct session *s, const struct publish *p, const struct route_request *r,
	bool *complete, struct failure *f)
{
	struct route_set *to = s->core->route;
	struct exchange *x = route_cached(s, p->exchange, r, to, complete);

	if (check_exchange(s, x, p->exchange, p->from_inside, f) != FAILURE_NONE)
		return NULL;
	if (!to->overflow)
		return x;
	if (to->gated)
		gates_undo(s->core, to);
	too_many(f);
	return NULL;
}

static enum publish_result not_now(struct broker_core *c, struct route_set *to)
{
	if (to->gated)
		gates_undo(c, to);
	return PUBLISH_AGAIN;
}

/* Not one that is being served in slices. */
static enum publish_result publish_new(struct session *s, const struct publish *p,
	const struct route_request *r, struct publish_marks *marks, uint32_t *queues_out, struct failure *f)
{
	struct broker_core *c = s->core;
	bool turn = fan_out_turn(&c->fan_out, s), complete;

	if (fan_out_waits(s)) {
		if (!turn)
			return PUBLISH_AGAIN;
		fan_out_wait_end(s);
	}
	struct exchange *x = route(s, p, r, &complete, f);
	struct route_set *to = c->route;
	if (!x)
		return PUBLISH_FAILED;
	if (!complete || to->count > c->fan_out.at_once) {
		if (turn && !(to->gated && gates_again(to))) {
			fan_out_begin(s, x, p, complete);
			return PUBLISH_AGAIN;
		}
		if (!turn)
			fan_out_wait(&c->fan_out, s);
		return not_now(c, to);
	}
	leave_hidden_out(to);
	if (p->filter)
		filter_out(to, p->filter);
	if (message_expires(p->message))
		expect_expiry(to);
	phase_enter(c->phase, PHASE_QUEUE);
	if (__builtin_expect(to->gated, 0) && !gates_ready(c, to))
		return not_now(c, to);
	enum publish_given given = give_all(c, to, p->message, marks, r);
	if (given == GIVE_AGAIN) {
		c->counters.publish_again++;
		return not_now(c, to);
	}
	*queues_out = to->count;
	if (__builtin_expect(to->gated, 0))
		*queues_out += gates_keep(c, to, p->message, p->keys);
	count_done(c, *queues_out);
	return given == GIVEN ? PUBLISH_DONE : PUBLISH_REFUSED;
}

static enum publish_result publish_more(struct session *s, const struct route_request *r,
	struct publish_marks *marks, uint32_t *queues_out, struct failure *f)
{
	enum publish_result result = fan_out_offer(s, r, marks, queues_out);

	if (result == PUBLISH_FAILED)
		too_many(f);
	if (result == PUBLISH_DONE || result == PUBLISH_REFUSED)
		count_done(s->core, *queues_out);
	return result;
}

/* Each message has to be asked about: by a queue that may refuse it, or that may hold the value they all
 * have. */
static bool is_choosy(const struct broker_core *c, const struct queue *q, const struct route_request *request)
{
	uint8_t rules = queue_rules(q);
	struct recent_key key;

	return (rules & RULE_REFUSES) || ((rules & RULE_VALUES) && value_of(c, request, &key));
}

struct publish_run publish_run_begin(struct session *s, const struct publish *p)
{
	struct broker_core *c = s->core;
	struct route_request r = {p->routing_key, p->headers, NULL, c, s};
	struct route_set *to = c->route;
	struct publish_run run = {0};
	uint64_t hits = c->stats.route_hits;
	bool complete;

	if (c->fan_out.session == s || fan_out_waits(s))
		return run;
	enum phase before = phase_enter(c->phase, PHASE_ROUTE);
	struct exchange *x = route_cached(s, p->exchange, &r, to, &complete);
	phase_leave(c->phase, before);
	run.noted = c->stats.route_hits != hits;
	c->stats.route_hits = hits; /* counted for what is added */
	if (__builtin_expect(to->gated, 0)) {
		gates_undo(c, to);
		return run;
	}
	if (!x || x->internal || !complete || to->overflow || to->count != 1)
		return run;
	struct queue *q = to->queues[0];
	if (message_expires(p->message))
		queue_expects_expiry(q);
	/* A fence rises between two turns, as this core's own doing. */
	if (!queue_hidden(q) && !fenced(c, q) && !is_choosy(c, q, &r)) {
		run.queue = q;
		run.core = queue_mine(c, q) ? c->index : queue_owner(q)->index;
	}
	return run;
}

bool publish_run_add(
	struct session *s, const struct publish_run *run, struct message *m_take, struct publish_marks *marks)
{
	struct broker_core *c = s->core;

	if (run->core == c->index) {
		if (!queue_room(run->queue))
			return false;
		queue_enqueue_take(run->queue, m_take);
		return true;
	}
	struct publish_record *r = link_publish(c, run->core);
	if (!r)
		return false;
	message_share(m_take);
	*r = (struct publish_record){m_take, run->queue->handle, CLAIM_NONE};
	publish_mark(marks, run->core, c);
	return true;
}

void publish_run_end(struct session *s, const struct publish_run *run, uint32_t n)
{
	s->core->stats.published += n;
	s->core->stats.routed += n;
	s->core->stats.route_hits += run->noted ? n : 0;
}

enum publish_result exchange_publish(struct session *s, const struct publish *p, struct publish_marks *marks,
	uint32_t *queues_out, struct failure *f)
{
	struct broker_core *c = s->core;
	struct route_request r = {p->routing_key, p->headers, p->more_keys, c, s};

	CHECK(message_missing_bytes(p->message) == 0);
	MUST(p->routing_key.bytes <= 255);
	*queues_out = 0;
	enum phase before = phase_enter(c->phase, PHASE_ROUTE);
	enum publish_result result = c->fan_out.session == s ? publish_more(s, &r, marks, queues_out, f)
							     : publish_new(s, p, &r, marks, queues_out, f);
	phase_leave(c->phase, before);
	return result;
}
