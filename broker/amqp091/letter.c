/* SPDX-License-Identifier: Apache-2.0 */
/* The office for dead letters (broker/core/dead_letter.h): a message that a queue gave up, with the headers
 * that RabbitMQ adds, published to the queue's dead-letter exchange.
 *
 *   x-death          an array of tables, one for each queue and reason; the last event is the first one
 *   x-first-death-*  queue, reason and exchange of the first event that there was
 *   expiration       goes, and is kept in x-death as original-expiration
 *   CC               goes where the queue names a routing key, and so do BCC's keys, which no header has
 *
 * A queue that the message has been through by expiry and length alone does not get it again (a circle). */
#include "broker/amqp091/letter.h"

#include "broker/amqp091/internal.h"

#include <time.h>

static bool text_is(struct amqp091_longstr s, struct slice text)
{
	return s.len == text.bytes && memcmp(s.data, text.data, s.len) == 0;
}

static struct slice slice_of_text(const char *text)
{
	return (struct slice){(const uint8_t *)text, (uint32_t)strlen(text)};
}

static void add(struct amqp091_table_builder *b, const char *key, struct slice value)
{
	amqp091_table_add_bytes(b, key, value.data, value.bytes);
}

static bool string_in(const struct amqp091_table *t, const char *key, struct slice text)
{
	struct amqp091_longstr found;

	return amqp091_table_get_string(t, key, &found) == 0 && text_is(found, text);
}

/* An event of that queue and reason. */
static bool same_event(const struct amqp091_value *v, const struct dead_letter *l)
{
	return v->type == 'F' && string_in(&v->table, "queue", l->address->queue) &&
	       string_in(&v->table, "reason", slice_of_text(death_name(l->why)));
}

static void add_keys(
	struct amqp091_table_builder *b, const struct dead_letter *l, const struct amqp091_table *headers)
{
	struct selected_keys keys = selected_keys(headers);
	struct slice key;
	uint32_t at = 0;

	amqp091_array_open(b, "routing-keys");
	add(b, NULL, message_routing_key(l->message));
	while (selected_next(&keys, &at, &key))
		add(b, NULL, key);
	amqp091_table_close(b);
}

/* In the order of their names, as RabbitMQ sorts them. */
static void add_new_event(struct amqp091_table_builder *b, const struct dead_letter *l,
	const struct amqp091_basic_properties *p)
{
	amqp091_table_open(b, NULL);
	amqp091_table_add_int64(b, "count", 1);
	add(b, "exchange", message_exchange(l->message));
	if (p->flags & AMQP091_BASIC_EXPIRATION)
		add(b, "original-expiration", slice_of(p->expiration));
	add(b, "queue", l->address->queue);
	amqp091_table_add_cstring(b, "reason", death_name(l->why));
	add_keys(b, l, &p->headers);
	/* The time of the day, which the turn's is not, and which may be set while the broker runs. */
	amqp091_table_add_timestamp(b, "time", (uint64_t)time(NULL));
	amqp091_table_close(b);
}

static bool key_is(struct amqp091_shortstr key, const char *text)
{
	return slice_equals_text(slice_of(key), text);
}

static void add_event_again(struct amqp091_table_builder *b, struct amqp091_table event)
{
	struct amqp091_shortstr key;
	struct amqp091_value v;
	bool counted = false;

	amqp091_table_open(b, NULL);
	while (event.len && amqp091_table_next(&event, &key, &v) == 1) {
		if (!key_is(key, "count") || !amqp091_value_is_integer(&v)) {
			amqp091_table_add_value(b, key, &v);
			continue;
		}
		amqp091_table_add_int64(b, "count", v.integer < INT64_MAX ? v.integer + 1 : v.integer);
		counted = true;
	}
	if (!counted)
		amqp091_table_add_int64(b, "count", 1);
	amqp091_table_close(b);
}

static bool find_event(struct amqp091_table deaths, const struct dead_letter *l, struct amqp091_table *out)
{
	struct amqp091_value v;

	while (deaths.len && amqp091_array_next(&deaths, &v) == 1) {
		if (!same_event(&v, l))
			continue;
		*out = v.table;
		return true;
	}
	return false;
}

/* The last event in front, then all others as they were. */
static void add_deaths(struct amqp091_table_builder *b, const struct dead_letter *l,
	const struct amqp091_basic_properties *p, struct amqp091_table before)
{
	const struct amqp091_shortstr none = {0};
	struct amqp091_table event;
	struct amqp091_value v;

	amqp091_array_open(b, "x-death");
	if (find_event(before, l, &event))
		add_event_again(b, event);
	else
		add_new_event(b, l, p);
	while (before.len && amqp091_array_next(&before, &v) == 1)
		if (!same_event(&v, l))
			amqp091_table_add_value(b, none, &v);
	amqp091_table_close(b);
}

static bool is_first_death(struct amqp091_shortstr key)
{
	return key_is(key, "x-first-death-reason") || key_is(key, "x-first-death-queue") ||
	       key_is(key, "x-first-death-exchange");
}

static void add_first_death(struct amqp091_table_builder *b, const struct dead_letter *l)
{
	add(b, "x-first-death-exchange", message_exchange(l->message));
	add(b, "x-first-death-queue", l->address->queue);
	amqp091_table_add_cstring(b, "x-first-death-reason", death_name(l->why));
}

/* 0, or the builder's error: more than there is room for. What claims to be x-death and is no array is
 * dropped. */
static int headers_make(struct amqp091_letters *d, const struct dead_letter *l,
	const struct amqp091_basic_properties *p, struct amqp091_table *out)
{
	struct amqp091_table rest = p->headers, before = {0};
	struct amqp091_table_builder b;
	struct amqp091_shortstr key;
	struct amqp091_value v;

	bool again = amqp091_table_find(&p->headers, "x-death", &v) == 0;
	if (again && v.type == 'A')
		before = v.array;
	amqp091_table_build(&b, d->office.headers, d->office.room);
	add_deaths(&b, l, p, before);
	if (!again)
		add_first_death(&b, l);
	while (rest.len && amqp091_table_next(&rest, &key, &v) == 1) {
		if (key_is(key, "x-death") || (!again && is_first_death(key)) ||
			(l->address->has_key && key_is(key, "CC")))
			continue;
		amqp091_table_add_value(&b, key, &v);
	}
	return amqp091_table_finish(&b, out);
}

static bool fits_frame(const struct amqp091_server *s, uint32_t properties_bytes)
{
	return amqp091_content_header_frame_size(properties_bytes) <=
	       s->config.frame_max_bytes + AMQP091_FRAME_TOLERANCE;
}

/* 0: *block are the letter's properties, decoded into *p. -1: nobody could be given them. */
static int properties_make(struct amqp091_server *s, const struct dead_letter *l, struct slice *block,
	struct amqp091_basic_properties *p)
{
	struct amqp091_letters *d = &s->letters;
	struct amqp091_table headers;

	if (office_properties(s, l->message, p))
		return -1;
	if (headers_make(d, l, p, &headers) != 0)
		return -1;
	p->flags &= ~(unsigned)AMQP091_BASIC_EXPIRATION;
	p->expiration.len = 0;
	return office_properties_put(&d->office, headers, p, block) == 0 && fits_frame(s, block->bytes) ? 0
													: -1;
}

/* RabbitMQ's is_cycle: from the last event back to the first that was a queue's, none was a rejection. */
static void been_read(struct amqp091_letters *d, struct amqp091_table deaths)
{
	struct amqp091_longstr queue;
	struct amqp091_value v;

	d->been_count = 0;
	d->endless = false;
	while (deaths.len && amqp091_array_next(&deaths, &v) == 1) {
		if (v.type != 'F')
			return; /* a client has put it there: nobody knows what happened */
		if (string_in(&v.table, "reason", slice_of_text(death_name(DEATH_REJECTED))))
			return;
		if (amqp091_table_get_string(&v.table, "queue", &queue) != 0)
			continue;
		d->endless = d->been_count == LETTER_QUEUES_MAX;
		if (d->endless)
			return;
		d->been[d->been_count++] = (struct slice){queue.data, queue.len};
	}
}

static bool takes(const void *ctx, struct slice queue)
{
	const struct amqp091_letters *d = ctx;

	for (uint32_t i = 0; i < d->been_count; i++)
		if (slice_equal(d->been[i], queue))
			return false;
	return !d->endless;
}

static enum publish_result make(struct amqp091_server *s, const struct dead_letter *l)
{
	struct amqp091_letters *d = &s->letters;
	const struct letter_address *a = l->address;
	struct amqp091_basic_properties p;
	struct amqp091_value v;
	struct slice block;

	if (properties_make(s, l, &block, &p) != 0)
		return PUBLISH_FAILED;
	struct message_envelope e = {
		.protocol = BROKER_PROTOCOL_AMQP091,
		.persistent = message_persistent(l->message),
		.priority = message_priority(l->message),
		.exchange = a->exchange,
		.routing_key = a->has_key ? a->routing_key : message_routing_key(l->message),
		.properties = block,
		.body_bytes = message_body_bytes(l->message),
		.received_us = s->now_us,
		.keys = a->has_key ? NULL : message_keys(l->message),
	};
	d->rejected = l->why == DEATH_REJECTED;
	MUST(amqp091_table_find(&p.headers, "x-death", &v) == 0);
	been_read(d, v.array);
	d->has_cc = amqp091_table_find(&p.headers, "CC", &v) == 0 && v.type == 'A';
	return office_make(s, &d->office, l->message, &e);
}

/* Who knows its further keys: it was published with BCC, or has them in CC, which are in what the former
 * knows as well. */
static struct message *keys_of(const struct amqp091_letters *d)
{
	struct message *keys = message_keys(d->office.made);

	return keys || !d->has_cc ? keys : d->office.made;
}

static enum publish_result offer(struct amqp091_server *s, const struct dead_letter *l)
{
	struct amqp091_letters *d = &s->letters;
	struct message *m = d->office.made, *keys = keys_of(d);
	struct header_lookup of_made = {.message = m, .block = s->scratch};
	struct header_lookup of_keys = {.message = keys, .block = d->office.headers, .selected = true};
	struct header_source headers = header_source(&of_made);
	struct key_source more = key_source(&of_keys);
	struct publish p = {
		.exchange = message_exchange(m),
		.routing_key = message_routing_key(m),
		.headers = &headers,
		.more_keys = keys ? &more : NULL,
		.keys = keys,
		.filter = d->rejected ? NULL : &d->filter,
	};

	return office_offer(s, &d->office, l->address->vhost, &p);
}

static enum publish_result letter_publish(void *ctx, const struct dead_letter *l)
{
	struct amqp091_server *s = ctx;
	struct amqp091_office *o = &s->letters.office;
	enum publish_result result = o->made ? PUBLISH_DONE : make(s, l);

	if (result == PUBLISH_DONE)
		result = offer(s, l);
	if (result != PUBLISH_AGAIN)
		office_done(s, o);
	return result;
}

int amqp091_letters_begin(struct amqp091_server *s)
{
	struct amqp091_letters *d = &s->letters;

	d->filter = (struct queue_filter){takes, d};
	broker_core_set_letter_office(s->config.core, letter_publish, s);
	return office_begin(s, &d->office);
}

void amqp091_letters_end(struct amqp091_server *s)
{
	broker_core_set_letter_office(s->config.core, NULL, NULL);
	office_end(s, &s->letters.office);
}
