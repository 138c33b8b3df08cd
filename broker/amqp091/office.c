/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/office.h"

#include "broker/amqp091/internal.h"
#include "runtime/mutants.h"

#include <stdlib.h>

int office_begin(struct amqp091_server *s, struct amqp091_office *o)
{
	o->room = s->encode_bytes + s->config.frame_max_bytes;
	o->headers = malloc(o->room);
	o->properties = malloc(o->room);
	return o->headers && o->properties ? 0 : -1;
}

void office_end(struct amqp091_server *s, struct amqp091_office *o)
{
	if (o->has_session) {
		exchange_publish_forget(&o->session);
		session_end(&o->session);
	}
	office_done(s, o);
	free(o->headers);
	free(o->properties);
	*o = (struct amqp091_office){0};
}

int office_properties(struct amqp091_server *s, const struct message *m, struct amqp091_basic_properties *p)
{
	message_properties_copy(m, s->scratch);
	return amqp091_basic_properties_decode(s->scratch, message_properties_bytes(m), p) == 0 ? 0 : -1;
}

int office_properties_put(struct amqp091_office *o, struct amqp091_table headers,
	struct amqp091_basic_properties *p, struct slice *block)
{
	p->headers = headers;
	p->flags |= AMQP091_BASIC_HEADERS;
	if (amqp091_basic_properties_size(p) > o->room)
		return -1;
	uint8_t *end = amqp091_basic_properties_put(o->properties, p);
	*block = (struct slice){o->properties, (uint32_t)(end - o->properties)};
	return amqp091_basic_properties_decode(o->properties, block->bytes, p) == 0 ? 0 : -1;
}

enum publish_result office_make(struct amqp091_server *s, struct amqp091_office *o, struct message *from,
	const struct message_envelope *e)
{
	struct message_cache *cache = broker_core_cache(s->config.core);

	/* Where both could never be, waiting would be for ever. */
	if (!message_store_could_hold(cache, e->body_bytes, 2 * e->properties.bytes))
		return PUBLISH_FAILED;
	o->made = message_new_with_body(cache, e, from);
	return o->made ? PUBLISH_DONE : PUBLISH_AGAIN;
}

static struct session *session_for(struct amqp091_server *s, struct amqp091_office *o, struct vhost *v)
{
	if (o->has_session && (o->session.vhost == v || MUTANT(letters_of_the_first_vhost)))
		return &o->session;
	if (o->has_session)
		session_end(&o->session);
	session_begin(&o->session, s->config.core, v);
	o->has_session = true;
	return &o->session;
}

enum publish_result office_offer(
	struct amqp091_server *s, struct amqp091_office *o, struct vhost *v, struct publish *p)
{
	struct failure f;
	uint32_t queues;

	p->message = o->made;
	p->from_inside = true;
	enum publish_result result = exchange_publish(session_for(s, o, v), p, NULL, &queues, &f);
	return result == PUBLISH_DONE && queues == 0 && !MUTANT(unroutable_letters_went) ? PUBLISH_FAILED
											 : result;
}

void office_done(struct amqp091_server *s, struct amqp091_office *o)
{
	if (o->made && !MUTANT(made_letters_leak))
		message_unref(broker_core_cache(s->config.core), o->made);
	o->made = NULL;
}
