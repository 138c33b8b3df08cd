/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/delay.h"

#include "broker/core/core.h"
#include "runtime/mutants.h"
#include <stdlib.h>
#include <string.h>
#include <urcu/compiler.h>

enum {
	DELAYS_QUANTUM = 64,	    /* published a turn, */
	DELAYS_OCTETS = 256 * 1024, /* or of so many octets, the last one beyond that */
	SWEEP_QUANTUM = 512,	    /* looked at in a turn, where an exchange has gone */
	ORDER_SCAN = 64,	    /* of those whose time has come in one millisecond */
};

/* A block of the store's, cut into entries. */
struct delay_page {
	struct cds_list_head link; /* in delays.pages while there is room */
	struct cds_list_head free; /* entries */
	struct broker_core *core;
	uint32_t used;
	struct delayed at[];
};

enum { PAGE_ENTRIES = (MESSAGE_BLOCK_BYTES - sizeof(struct delay_page)) / sizeof(struct delayed) };

void broker_core_set_delay_office(struct broker_core *c, delay_office office, void *ctx)
{
	c->delays.office = office;
	c->delays.ctx = ctx;
}

struct delay_address *delay_address_make(struct vhost *v, struct slice exchange)
{
	struct delay_address *a = malloc(sizeof(*a) + exchange.bytes);

	if (!a)
		return NULL;
	*a = (struct delay_address){.refs = 1, .vhost = v, .exchange = {a->text, exchange.bytes}};
	memcpy(a->text, exchange.data, exchange.bytes);
	return a;
}

void delay_address_drop(struct delay_address *a)
{
	if (a && __atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(a);
}

void delay_address_gone(struct delay_address *a)
{
	__atomic_store_n(&a->gone, true, __ATOMIC_RELAXED);
	__atomic_fetch_add(&a->vhost->broker->delays_gone, 1, __ATOMIC_RELEASE);
}

bool delay_address_is_gone(const struct delay_address *a)
{
	return __atomic_load_n(&a->gone, __ATOMIC_RELAXED);
}

void delays_create(struct broker_core *c)
{
	CDS_INIT_LIST_HEAD(&c->delays.waiting);
	CDS_INIT_LIST_HEAD(&c->delays.unswept);
	CDS_INIT_LIST_HEAD(&c->delays.due);
	CDS_INIT_LIST_HEAD(&c->delays.pages);
}

/* Entries */

static struct delay_page *page_make(struct broker_core *c)
{
	struct delay_page *p = message_store_block_take(c->cache);

	if (!p)
		return NULL;
	p->core = c;
	p->used = 0;
	CDS_INIT_LIST_HEAD(&p->free);
	for (unsigned i = 0; i < PAGE_ENTRIES; i++)
		cds_list_add_tail(&p->at[i].link, &p->free);
	cds_list_add(&p->link, &c->delays.pages);
	return p;
}

/* Blocks lie at multiples of their size. */
static struct delay_page *page_of(const struct delayed *d)
{
	return (struct delay_page *)((uintptr_t)d & ~(uintptr_t)(MESSAGE_BLOCK_BYTES - 1));
}

struct delayed *delay_take(struct broker_core *c)
{
	struct delay_page *p = list_is_empty(&c->delays.pages)
				       ? page_make(c)
				       : cds_list_first_entry(&c->delays.pages, struct delay_page, link);

	if (!p)
		return NULL;
	struct delayed *d = cds_list_first_entry(&p->free, struct delayed, link);
	cds_list_del(&d->link);
	if (++p->used == PAGE_ENTRIES)
		cds_list_del(&p->link);
	return d;
}

void delay_cancel(struct broker_core *c, struct delayed *d)
{
	struct delay_page *p = page_of(d);

	cds_list_add(&d->link, &p->free);
	if (p->used-- == PAGE_ENTRIES)
		cds_list_add(&p->link, &c->delays.pages);
	if (p->used > 0 || MUTANT(empty_delay_pages_stay))
		return;
	cds_list_del(&p->link);
	message_store_block_give(c->cache, p);
}

static void forget(struct broker_core *c, struct delayed *d)
{
	if (!MUTANT(lost_delays_fire))
		timer_cancel(&c->wheel, &d->timer);
	cds_list_del(&d->link);
	message_unref(c->cache, d->message);
	if (d->keys && !MUTANT(delayed_keys_leak))
		message_unref(c->cache, d->keys);
	delay_address_drop(d->address);
	delay_cancel(c, d);
	c->stats.messages_delayed--;
}

static struct delayed *first(const struct cds_list_head *l)
{
	return list_is_empty(l) ? NULL : cds_list_entry(l->next, struct delayed, link);
}

void delays_destroy(struct broker_core *c)
{
	struct delayed *d;

	while ((d = first(&c->delays.waiting)) || (d = first(&c->delays.unswept)) ||
		(d = first(&c->delays.due)))
		forget(c, d);
}

/* Time */

static bool before(const struct delayed *a, const struct delayed *b)
{
	return a->due_us < b->due_us ||
	       (a->due_us == b->due_us && (a->number < b->number) != MUTANT(later_ones_first));
}

/* The wheel fires those of one tick in no promised order. */
static void fire(struct timer *t, uint64_t now_us)
{
	struct delayed *d = caa_container_of(t, struct delayed, timer);
	struct cds_list_head *due = &page_of(d)->core->delays.due, *at = due->prev;

	(void)now_us;
	cds_list_del(&d->link);
	for (unsigned i = 0; i < ORDER_SCAN && at != due; i++, at = at->prev)
		if (!before(d, cds_list_entry(at, struct delayed, link)))
			break;
	cds_list_add(&d->link, at);
}

void delay_begin(struct broker_core *c, struct delayed *d, struct delay_address *a, struct message *m,
	struct message *keys_or_null, uint64_t us)
{
	__atomic_add_fetch(&a->refs, 1, __ATOMIC_RELAXED);
	message_ref(m);
	if (keys_or_null)
		message_ref(keys_or_null);
	d->address = a;
	d->message = m;
	d->keys = keys_or_null;
	d->due_us = c->now_us + us;
	d->number = ++c->delays.number;
	cds_list_add_tail(&d->link, &c->delays.waiting);
	timer_init(&d->timer, fire);
	core_timer_arm(c, &d->timer, d->due_us);
	c->stats.messages_delayed++;
	c->counters.delayed++;
}

/* Their exchanges' end */

static void lose(struct broker_core *c, struct delayed *d)
{
	c->counters.delayed_lost += !MUTANT(swept_ones_uncounted);
	forget(c, d);
}

/* What waits is looked through once more when another exchange has gone meanwhile. */
static unsigned sweep(struct broker_core *c)
{
	uint64_t gone = __atomic_load_n(&c->broker->delays_gone, __ATOMIC_ACQUIRE);
	struct delayed *d;
	unsigned n = 0;

	if (c->delays.swept_for != gone) {
		c->delays.swept_for = gone;
		cds_list_splice(&c->delays.waiting, &c->delays.unswept);
		CDS_INIT_LIST_HEAD(&c->delays.waiting);
	}
	for (; (n < SWEEP_QUANTUM || MUTANT(swept_in_a_turn)) && (d = first(&c->delays.unswept)); n++) {
		if (delay_address_is_gone(d->address)) {
			lose(c, d);
			continue;
		}
		cds_list_del(&d->link);
		cds_list_add_tail(&d->link, &c->delays.waiting);
	}
	return n;
}

/* Publishing */

static enum publish_result publish(struct broker_core *c, const struct delayed *d)
{
	return c->delays.office ? c->delays.office(c->delays.ctx, d) : PUBLISH_FAILED;
}

static unsigned publish_due(struct broker_core *c)
{
	struct delayed *d;
	uint64_t octets = 0;
	unsigned n = 0;

	c->delays.stalled = false;
	for (; (n < DELAYS_QUANTUM || MUTANT(all_delayed_in_a_turn)) && octets < DELAYS_OCTETS &&
		(d = first(&c->delays.due));
		n++) {
		octets += MUTANT(long_delayed_take_a_turn) ? 0 : message_body_bytes(d->message);
		enum publish_result result = publish(c, d);
		if (result == PUBLISH_AGAIN) {
			c->delays.stalled = !MUTANT(waiting_delays_keep_awake);
			break;
		}
		c->counters.delayed_lost += result == PUBLISH_FAILED && !MUTANT(lost_delays_uncounted);
		forget(c, d);
	}
	return n;
}

unsigned delays_poll(struct broker_core *c)
{
	return sweep(c) + publish_due(c);
}

bool delays_busy(const struct broker_core *c)
{
	/* One that waits for memory is looked at again by the clock. */
	return !list_is_empty(&c->delays.unswept) || (!list_is_empty(&c->delays.due) && !c->delays.stalled) ||
	       (c->stats.messages_delayed > 0 &&
		       c->delays.swept_for != __atomic_load_n(&c->broker->delays_gone, __ATOMIC_ACQUIRE));
}

uint64_t delays_next_us(const struct broker_core *c)
{
	return list_is_empty(&c->delays.due) ? UINT64_MAX : c->now_us + LETTERS_RETRY_US;
}
