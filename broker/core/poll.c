/* SPDX-License-Identifier: Apache-2.0 */
/* What the other cores have sent: from each link its share, control first, since the rest may wait for it. */
#include "broker/core/core.h"
#include "runtime/check.h"

static void parcel_open(struct broker_core *c, struct parcel *p)
{
	switch (p->kind) {
	case PARCEL_ATTACH:
	case PARCEL_CREDIT:
	case PARCEL_RESTART:
	case PARCEL_DETACH:
		subscription_parcel(c, p);
		break;
	case PARCEL_CALL:
	case PARCEL_ANSWER:
		call_parcel(c, p);
		break;
	case PARCEL_FENCE:
	case PARCEL_ADOPT:
		move_parcel(c, p);
		break;
	}
}

static unsigned poll_control(struct broker_core *c, struct ring *ring)
{
	const struct control_record *r;
	unsigned n = 0;

	for (; n < LINK_QUANTUM && (r = ring_front(ring)); n++) {
		if (r->parcel)
			parcel_open(c, r->parcel);
		else
			queue_settle_arrived(c, r);
		ring_take(ring);
	}
	ring_release(ring);
	return n;
}

static unsigned poll_deliver(struct broker_core *c, uint32_t from, struct ring *ring)
{
	const struct deliver_record *r;
	unsigned n = 0;

	for (; n < LINK_QUANTUM && (r = ring_front(ring)); n++) {
		if (!subscription_deliver(c, from, r))
			break;
		ring_take(ring);
	}
	ring_release(ring);
	return n;
}

/* False: the queue has no memory for another entry. */
static bool publish_arrived(struct broker_core *c, const struct publish_record *r)
{
	struct queue *q = queue_resolve(c->broker, r->queue);

	if (!q) {
		c->stats.dropped++;
		message_unref(c->cache, r->message);
		return true;
	}
	MUST(queue_mine(c, q)); /* none is under way when a queue moves */
	if (!queue_room(q)) {
		c->counters.publish_stalls++;
		return false;
	}
	queue_enqueue_take(q, r->message);
	queue_claim_take(q, r->message, r->claim);
	return true;
}

static unsigned poll_publish(struct broker_core *c, uint32_t from, struct ring *ring)
{
	const struct publish_record *r;
	uint64_t bit = UINT64_C(1) << from;
	unsigned n = 0;

	/* Not by what the ring holds afterwards: a record may have come meanwhile that nobody has tried. */
	c->stalled_from &= ~bit;
	for (; n < LINK_QUANTUM && (r = ring_front(ring)); n++) {
		if (!publish_arrived(c, r)) {
			c->stalled_from |= bit;
			break;
		}
		ring_take(ring);
	}
	ring_release(ring);
	return n;
}

unsigned broker_core_poll(struct broker_core *c)
{
	uint32_t cores = c->broker->config.cores;
	enum phase before = phase_enter(c->phase, PHASE_QUEUE);
	unsigned work = 0;

	c->rules_left = RULES_QUANTUM;
	links_post(c);
	if (c->wheel.armed)
		work += timer_wheel_advance(&c->wheel, c->now_us, TIMERS_QUANTUM);
	for (uint32_t i = 0; i < cores; i++)
		work += poll_control(c, c->in[i]->control);
	for (uint32_t i = 0; i < cores; i++)
		work += poll_deliver(c, i, c->in[i]->deliver);
	for (uint32_t i = 0; i < cores; i++)
		work += poll_publish(c, i, c->in[i]->publish);
	moves_poll(c);
	subscriptions_poll(c);
	work += fan_out_poll(c);
	if (!list_is_empty(&c->letters.all))
		work += letters_poll(c);
	if (c->stats.messages_delayed)
		work += delays_poll(c);
	work += entries_grave_empty(&c->grave, c->cache, GRAVE_QUANTUM);
	phase_leave(c->phase, before);
	return work;
}

uint64_t broker_core_next_us(const struct broker_core *c)
{
	uint64_t timers = c->wheel.armed ? timer_wheel_next_us(&c->wheel) : UINT64_MAX;
	uint64_t letters = list_is_empty(&c->letters.all) ? UINT64_MAX : c->now_us + LETTERS_RETRY_US;
	uint64_t delays = delays_next_us(c), waiting = letters < delays ? letters : delays;

	return timers < waiting ? timers : waiting;
}

static bool links_idle(const struct broker_core *c)
{
	for (uint32_t i = 0; i < c->broker->config.cores; i++) {
		const struct core_link *l = c->in[i];
		if (ring_used(l->control) || ring_used(l->deliver) || ring_used(l->publish) ||
			!list_is_empty(&c->out[i].outbox) || c->out[i].staged)
			return false;
	}
	return true;
}

bool broker_core_busy(const struct broker_core *c)
{
	/* A letter that waits, for memory, is looked at again by the clock. */
	return !list_is_empty(&c->ready) || !list_is_empty(&c->watched) ||
	       (!list_is_empty(&c->letters.all) && !c->letters.waiting) || delays_busy(c) ||
	       __atomic_load_n(&c->broker->deleted_count, __ATOMIC_RELAXED) > 0 || !links_idle(c) ||
	       !subscriptions_idle(c) || c->moves_active || c->fan_out.message ||
	       !list_is_empty(&c->fan_out.waiting) || !list_is_empty(&c->grave.pages);
}
