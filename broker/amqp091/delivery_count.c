/* SPDX-License-Identifier: Apache-2.0 */
/* A queue that counts what comes back (x-delivery-limit) tells its consumers: the header x-delivery-count, as
 * RabbitMQ's quorum queues have it. The message itself stays as it was published, for other queues' consumers
 * and for its dead letter; one that a publisher has put there is replaced in what is sent. */
#include "broker/amqp091/internal.h"

#define DELIVERY_COUNT "x-delivery-count"

bool delivery_count_add(
	struct amqp091_server *s, const struct delivery *d, struct amqp091_basic_properties *out)
{
	struct amqp091_office *buffers = &s->letters.office;
	struct amqp091_table_builder b;
	struct amqp091_shortstr key;
	struct amqp091_value v;

	message_properties_copy(d->message, s->scratch);
	/* Validated when it came, so this cannot fail. */
	MUST(amqp091_basic_properties_decode(s->scratch, message_properties_bytes(d->message), out) == 0);
	struct amqp091_table rest = out->headers;
	amqp091_table_build(&b, buffers->headers, buffers->room);
	while (rest.len && amqp091_table_next(&rest, &key, &v) == 1)
		if (!slice_equals_text(slice_of(key), DELIVERY_COUNT))
			amqp091_table_add_value(&b, key, &v);
	amqp091_table_add_int64(&b, DELIVERY_COUNT, (int64_t)d->attempt - 1);
	out->flags |= AMQP091_BASIC_HEADERS;
	return amqp091_table_finish(&b, &out->headers) == 0;
}
