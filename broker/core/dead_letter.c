/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/core/dead_letter.h"

#include "broker/core/core.h"
#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

enum {
	LETTERS_MAX = 4096,	    /* where nothing else is said */
	LETTERS_QUANTUM = 64,	    /* published a turn, */
	LETTERS_OCTETS = 64 * 1024, /* or of so many octets of properties, the last one beyond that */
	/* Refused by the queues of one message at once; or that another core may have rejected before it sees
	 * that there is no room. */
	LETTERS_MARGIN = FAN_OUT_AT_ONCE,
};

void broker_core_set_letter_office(struct broker_core *c, letter_office office, void *ctx)
{
	c->letters.office = office;
	c->letters.ctx = ctx;
}

const char *death_name(enum death why)
{
	static const char *const names[] = {"rejected", "expired", "maxlen", "delivery_limit"};

	return names[why];
}

static struct slice put(uint8_t **at, struct slice s)
{
	struct slice copy = {*at, s.bytes};

	if (s.bytes)
		memcpy(*at, s.data, s.bytes);
	*at += s.bytes;
	return copy;
}

struct letter_address *letter_address_make(
	struct vhost *v, struct slice queue, struct slice exchange, const struct slice *key_or_null)
{
	struct slice key = key_or_null ? *key_or_null : (struct slice){0};
	struct letter_address *a = malloc(sizeof(*a) + queue.bytes + exchange.bytes + key.bytes);

	if (!a)
		return NULL;
	uint8_t *at = a->text;
	a->refs = 1;
	a->vhost = v;
	a->has_key = key_or_null != NULL;
	a->queue = put(&at, queue);
	a->exchange = put(&at, exchange);
	a->routing_key = put(&at, key);
	return a;
}

void letter_address_drop(struct letter_address *a)
{
	if (a && __atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(a);
}

static uint32_t letters_max(const struct broker_core *c)
{
	uint32_t n = c->broker->config.letters_max;

	return n ? n : LETTERS_MAX;
}

/* Rejections of other cores may be on their way when the last ordinary place is taken. */
static uint32_t reserve(const struct broker_core *c)
{
	const struct broker *b = c->broker;
	uint32_t link = ring_capacity(b->links[0].control);

	return LETTERS_MARGIN + (b->config.cores - 1) * (link + LETTERS_MARGIN);
}

static void open_or_shut(struct broker_core *c)
{
	bool open = c->letters.count < letters_max(c);

	if (open != c->letters.open)
		__atomic_store_n(&c->letters.open, open, __ATOMIC_RELAXED);
}

int letters_create(struct broker_core *c)
{
	CDS_INIT_LIST_HEAD(&c->letters.all);
	c->letters.pool = pool_create(
		"dead letters", sizeof(struct dead_letter), letters_max(c) + reserve(c), NULL);
	open_or_shut(c);
	return c->letters.pool ? 0 : -1;
}

static void letter_forget(struct broker_core *c, struct dead_letter *l)
{
	cds_list_del(&l->link);
	message_unref(c->cache, l->message);
	letter_address_drop(l->address);
	pool_give(c->letters.pool, l);
	c->letters.count--;
	open_or_shut(c);
}

static struct dead_letter *first(struct broker_core *c)
{
	if (list_is_empty(&c->letters.all))
		return NULL;
	return cds_list_first_entry(&c->letters.all, struct dead_letter, link);
}

void letters_destroy(struct broker_core *c)
{
	struct dead_letter *l;

	if (!c->letters.pool)
		return;
	while ((l = first(c)))
		letter_forget(c, l);
	pool_destroy(c->letters.pool);
	c->letters.pool = NULL;
}

bool letters_open(const struct broker_core *c)
{
	return __atomic_load_n(&c->letters.open, __ATOMIC_RELAXED);
}

void letter_post(struct broker_core *c, struct letter_address *a, struct message *m_take, enum death why)
{
	struct dead_letter *l = pool_take(c->letters.pool);

	MUST(l); /* letters_open, and what is kept beyond it */
	__atomic_add_fetch(&a->refs, 1, __ATOMIC_RELAXED);
	*l = (struct dead_letter){.message = m_take, .address = a, .why = why};
	cds_list_add_tail(&l->link, &c->letters.all);
	c->letters.count++;
	open_or_shut(c);
}

bool letters_margin(const struct broker_core *c)
{
	return c->letters.count < letters_max(c) + LETTERS_MARGIN;
}

void letter_lost(struct broker_core *c)
{
	c->counters.dead_letters++;
	c->counters.dead_letters_lost++;
}

static enum publish_result publish(struct broker_core *c, const struct dead_letter *l)
{
	c->letters.going = true;
	enum publish_result result = c->letters.office ? c->letters.office(c->letters.ctx, l)
						       : PUBLISH_FAILED;
	c->letters.going = false;
	return result;
}

unsigned letters_poll(struct broker_core *c)
{
	struct dead_letter *l;
	uint64_t octets = 0;
	unsigned n = 0;

	c->letters.waiting = false;
	for (; n < LETTERS_QUANTUM && octets < LETTERS_OCTETS && (l = first(c)); n++) {
		octets += message_properties_bytes(l->message);
		enum publish_result result = publish(c, l);
		if (result == PUBLISH_AGAIN) {
			c->letters.waiting = true;
			break;
		}
		c->counters.dead_letters++;
		c->counters.dead_letters_lost += result == PUBLISH_FAILED;
		letter_forget(c, l);
	}
	return n;
}
