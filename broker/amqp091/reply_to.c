/* SPDX-License-Identifier: Apache-2.0 */
/* RabbitMQ's direct reply-to: who consumes from the queue of this name gets answers without declaring one.
 * Behind it is a queue of the connection's own, whose name nobody can guess and only publishers can use;
 * reply-to properties of the channel's requests get that name. */
#include "broker/amqp091/internal.h"

#define REPLY_TO "amq.rabbitmq.reply-to"

enum { PREFIX_BYTES = sizeof(REPLY_TO) - 1, RANDOM_BYTES = 22 };
_Static_assert(
	PREFIX_BYTES + 1 + RANDOM_BYTES == REPLY_NAME_BYTES, "the prefix, a dot, what is random of a name");

bool reply_to_is(struct slice queue)
{
	return slice_equals_text(queue, REPLY_TO);
}

bool reply_to_hidden(struct slice queue)
{
	return queue.bytes >= PREFIX_BYTES && memcmp(queue.data, REPLY_TO, PREFIX_BYTES) == 0;
}

/* amq.gen-RANDOM gives its random part. */
static struct slice name_make(struct amqp091_channel *ch)
{
	uint8_t generated[QUEUE_GENERATED_NAME_BYTES];

	queue_name_generate(ch->conn->server->config.core, generated);
	memcpy(ch->reply_name, REPLY_TO ".", PREFIX_BYTES + 1);
	memcpy(ch->reply_name + PREFIX_BYTES + 1, generated + sizeof(generated) - RANDOM_BYTES, RANDOM_BYTES);
	return (struct slice){ch->reply_name, REPLY_NAME_BYTES};
}

static enum failure_code queue_make(struct amqp091_channel *ch, struct queue **q, struct failure *f)
{
	struct queue_declaration d = {
		.name = name_make(ch), .exclusive = true, .auto_delete = true, .generated = true};

	return queue_declare(&ch->conn->session, &d, q, f);
}

struct queue *reply_to_begin(struct amqp091_channel *ch, const struct amqp091_basic_consume *a)
{
	struct failure f;
	struct queue *q;

	if (!a->no_ack) {
		channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_CONSUME,
			"reply consumer cannot acknowledge");
		return NULL;
	}
	if (ch->replies) {
		channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_CONSUME,
			"reply consumer already set");
		return NULL;
	}
	enum failure_code code = queue_make(ch, &q, &f);
	if (code == FAILURE_NONE)
		return q;
	ch->conn->frame_again = code == FAILURE_AGAIN;
	if (!ch->conn->frame_again)
		channel_failure(ch, AMQP091_METHOD_BASIC_CONSUME, &f);
	return NULL;
}

/* The name that it gets is longer than the one that it had. False: the channel has its exception. */
static bool request_fits(struct amqp091_channel *ch, uint64_t properties_bytes)
{
	uint32_t bytes = amqp091_content_header_frame_size((uint32_t)properties_bytes);
	uint32_t most = ch->conn->server->config.frame_max_bytes;

	if (bytes <= most + AMQP091_FRAME_TOLERANCE)
		return true;
	publish_drop(ch);
	channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH,
		"a content header of %u bytes does not fit the configured frame_max = %u", bytes, most);
	return false;
}

bool reply_to_rewrite(struct amqp091_channel *ch, struct amqp091_content_header *h,
	struct amqp091_basic_properties *properties)
{
	uint8_t *to = ch->conn->server->encode; /* the frame may lie in the other one */

	if (!(properties->flags & AMQP091_BASIC_REPLY_TO) || !reply_to_is(slice_of(properties->reply_to)))
		return true;
	if (!ch->replies) {
		publish_drop(ch);
		channel_exception(ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH,
			"fast reply consumer does not exist");
		return false;
	}
	properties->reply_to = (struct amqp091_shortstr){ch->reply_name, REPLY_NAME_BYTES};
	if (!request_fits(ch, amqp091_basic_properties_size(properties)))
		return false;
	h->properties_len = (uint32_t)(amqp091_basic_properties_put(to, properties) - to);
	h->properties = to;
	MUST(amqp091_basic_properties_decode(to, h->properties_len, properties) == 0);
	ch->in.rewritten = true;
	return true;
}

/* Whoever answers may ask whether anybody waits still: of one that is another connection's it is known that
 * it is there. */
void reply_to_declare(struct amqp091_channel *ch, const struct amqp091_queue_declare *a)
{
	struct amqp091_method ok = {.id = AMQP091_METHOD_QUEUE_DECLARE_OK};
	struct queue *q;
	struct failure f;

	if (!reply_to_is(slice_of(a->queue)) &&
		queue_lookup(&ch->conn->session, slice_of(a->queue), &q, &f) == FAILURE_NOT_FOUND) {
		channel_failure(ch, AMQP091_METHOD_QUEUE_DECLARE, &f);
		return;
	}
	ok.args.queue_declare_ok = (struct amqp091_queue_declare_ok){.queue = a->queue, .consumer_count = 1};
	if (!a->no_wait)
		conn_send_method(ch->conn, ch->number, &ok);
}
