/* SPDX-License-Identifier: Apache-2.0 */
/* What comes on a channel: each answer is one that was awaited, in its order; each confirm and delivery is
 * held against the model. */
#include "tests/world/client.h"
#include "tests/world/world.h"

#include <stdlib.h>
#include <string.h>

struct expect *channel_expect(struct channel *ch, uint32_t id)
{
	struct expect *e = &ch->expects[(ch->expect_first + ch->expect_count++) % CLIENT_EXPECTS];

	*e = (struct expect){.id = id, .messages = ch->publishes};
	return e;
}

bool channel_quiet(const struct channel *ch)
{
	return ch->state == CHANNEL_SHUT ||
	       (!ch->expect_count && (!ch->confirming || ch->confirmed == ch->publishes));
}

void channel_sure(struct channel *ch, uint32_t up_to)
{
	for (; ch->sure < up_to; ch->sure++)
		ledger_committed(ch->numbers[ch->sure]);
}

static struct expect *awaited(struct client *c, struct channel *ch, uint32_t id)
{
	struct expect *e = &ch->expects[ch->expect_first];
	uint32_t meant = id == AMQP091_METHOD_BASIC_GET_EMPTY ? AMQP091_METHOD_BASIC_GET_OK : id;

	if (!ch->expect_count || e->id != meant)
		world_fail("client %u, channel %u: %s, but %s was awaited", c->index, ch->number,
			amqp091_method_info(id)->name,
			ch->expect_count ? amqp091_method_info(e->id)->name : "nothing");
	ch->expect_first = (ch->expect_first + 1) % CLIENT_EXPECTS;
	ch->expect_count--;
	channel_sure(ch, e->messages);
	return e;
}

static void check_count(const struct expect *e, uint32_t count, bool least)
{
	uint32_t most = ledger_most(&e->question), few = least ? ledger_least(&e->question) : 0;

	world_met(WORLD_counted);
	if (count > most || count < few)
		world_fail("%s is said to have %u messages; %u to %u would be right",
			map_queue(e->question.queue), count, few, most);
}

static void confirm(struct client *c, struct channel *ch, const struct amqp091_basic_ack *a)
{
	if (!ch->confirming || a->delivery_tag <= ch->confirmed || a->delivery_tag > ch->publishes ||
		(!a->multiple && a->delivery_tag != ch->confirmed + 1))
		world_fail("client %u, channel %u: confirm of %llu%s; %u of %u are confirmed", c->index,
			ch->number, (unsigned long long)a->delivery_tag, a->multiple ? " and all before" : "",
			ch->confirmed, ch->publishes);
	world.situations[WORLD_confirmed] += a->delivery_tag - ch->confirmed;
	ch->confirmed = (uint32_t)a->delivery_tag;
	channel_sure(ch, ch->confirmed);
}

static void consumers_gone(struct channel *ch)
{
	for (unsigned i = 0; i < ch->consumer_count; i++)
		ch->consumers[i].there = false;
}

static unsigned refusal_of(uint16_t code)
{
	return code == 404   ? REFUSE_404
	       : code == 403 ? REFUSE_403
	       : code == 405 ? REFUSE_405
	       : code == 406 ? REFUSE_406
			     : 0;
}

/* For an error: what was asked and has not been answered never will be. */
static void closed_by_broker(struct client *c, struct channel *ch, const struct amqp091_channel_close *m)
{
	unsigned may = ch->refusals;

	for (unsigned i = 0; i < ch->expect_count; i++)
		may |= ch->expects[(ch->expect_first + i) % CLIENT_EXPECTS].refusals;
	if (!(refusal_of(m->reply_code) & may))
		world_fail("client %u: the broker closed channel %u: %u %.*s", c->index, ch->number,
			m->reply_code, (int)m->reply_text.len, (const char *)m->reply_text.data);
	const struct expect *first = &ch->expects[ch->expect_first];
	if (ch->expect_count && first->id == AMQP091_METHOD_BASIC_CONSUME_OK)
		c->refused = (int)ch->consumers[first->consumer].queue;
	world_met(WORLD_channel_error);
	ch->crossed = ch->state == CHANNEL_CLOSING;
	channel_end(ch, false);
	if (ch->crossed)
		ch->state = CHANNEL_CLOSING;
	client_method(c, ch->number, &(struct amqp091_method){.id = AMQP091_METHOD_CHANNEL_CLOSE_OK});
}

static struct consumer_seen *consumer_named(struct channel *ch, const char *tag, size_t n)
{
	char text[LEDGER_KEY_MAX] = {0};

	memcpy(text, tag, n < sizeof(text) ? n : sizeof(text) - 1);
	unsigned i = (unsigned)strtoul(text + 1, NULL, 10);
	return text[0] == 'k' && i < ch->consumer_count ? &ch->consumers[i] : NULL;
}

static void told_of_cancel(struct client *c, struct channel *ch, struct amqp091_shortstr tag)
{
	struct consumer_seen *k = consumer_named(ch, (const char *)tag.data, tag.len);

	if (!k || !k->there)
		world_fail("client %u: the broker cancels consumer %.*s, which is not there", c->index,
			(int)tag.len, (const char *)tag.data);
	if (map_stays(k->queue) && world.phase < WORLD_CLEAR)
		world_fail("client %u: the broker cancels a consumer of %s", c->index, map_queue(k->queue));
	k->there = false;
	world_met(WORLD_consumer_told);
}

static void answer(struct client *c, struct channel *ch, const struct amqp091_method *m)
{
	struct expect e = *awaited(c, ch, m->id);

	switch (m->id) {
	case AMQP091_METHOD_CHANNEL_OPEN_OK:
		ch->opened = true;
		break;
	case AMQP091_METHOD_CHANNEL_CLOSE_OK:
		world_met(WORLD_channel_closed);
		channel_end(ch, true);
		break;
	case AMQP091_METHOD_QUEUE_DECLARE_OK:
		check_count(&e, m->args.queue_declare_ok.message_count, true);
		break;
	case AMQP091_METHOD_QUEUE_PURGE_OK:
		world_met(WORLD_purged);
		check_count(&e, m->args.queue_purge_ok.message_count, true);
		break;
	case AMQP091_METHOD_QUEUE_DELETE_OK:
		world_met(WORLD_deleted);
		check_count(&e, m->args.queue_delete_ok.message_count, false);
		break;
	case AMQP091_METHOD_BASIC_GET_EMPTY:
		world_met(WORLD_get_empty);
		ledger_get_answered(e.question.queue);
		check_count(&e, 0, true);
		break;
	case AMQP091_METHOD_BASIC_CONSUME_OK:
		break;
	case AMQP091_METHOD_BASIC_CANCEL_OK:
		world_met(WORLD_consumer_gone);
		ch->consumers[e.consumer].there = false;
		break;
	case AMQP091_METHOD_BASIC_RECOVER_OK:
		world_met(WORLD_recovered);
		ch->recovering = false;
		break;
	default:
		break;
	}
}

void channel_hears(struct client *c, struct channel *ch, const struct amqp091_method *m)
{
	if (ch->crossed) {
		if (m->id != AMQP091_METHOD_CHANNEL_CLOSE_OK)
			world_fail("client %u: %s on channel %u, which both sides have closed", c->index,
				amqp091_method_info(m->id)->name, ch->number);
		ch->state = CHANNEL_SHUT;
		return;
	}
	switch (m->id) {
	case AMQP091_METHOD_BASIC_ACK:
		confirm(c, ch, &m->args.basic_ack);
		break;
	case AMQP091_METHOD_CHANNEL_CLOSE:
		consumers_gone(ch);
		closed_by_broker(c, ch, &m->args.channel_close);
		break;
	case AMQP091_METHOD_BASIC_CANCEL:
		told_of_cancel(c, ch, m->args.basic_cancel.consumer_tag);
		break;
	default:
		answer(c, ch, m);
	}
}

/* Contents */

static void returned(struct client *c, struct channel *ch)
{
	uint32_t number = c->body_bytes >= LEDGER_BODY_HEAD ? wire_get32(c->body) : UINT32_MAX;
	uint32_t at = ch->sure;

	while (at < ch->publishes && ch->numbers[at] != number)
		at++;
	if (at == ch->publishes)
		world_fail(
			"client %u, channel %u: message %u comes back, which was confirmed or is another's",
			c->index, ch->number, number);
	world_met(WORLD_returned);
	ledger_returned(number);
}

static void hold(struct client *c, struct channel *ch, uint64_t tag, uint32_t number, unsigned queue)
{
	if (ch->held_count == CLIENT_HELD)
		world_fail("client %u holds more than the simulation has room for", c->index);
	ch->held[ch->held_count++] = (struct held){tag, number, queue};
}

static void check_order(struct client *c, struct consumer_seen *k, uint32_t number)
{
	uint32_t order;
	ledger_life publisher = ledger_publisher(number, &order);

	if (order < k->last[publisher])
		world_fail("client %u: message %u from %s was overtaken: it is the %u. of its channel, after "
			   "the %u.",
			c->index, number, map_queue(k->queue), order, k->last[publisher]);
	k->last[publisher] = order;
}

static uint32_t arrive(
	struct client *c, struct channel *ch, unsigned queue, uint64_t tag, bool redelivered, bool settled)
{
	if (tag != ch->tag_next++)
		world_fail("client %u, channel %u: delivery tag %llu instead of %llu", c->index, ch->number,
			(unsigned long long)tag, (unsigned long long)ch->tag_next - 1);
	struct ledger_arrival a = {.queue = queue,
		.holder = ch->life,
		.redelivered = redelivered,
		.settled = settled,
		.exchange = c->exchange,
		.key = c->key,
		.body = c->body,
		.body_bytes = (uint32_t)c->body_bytes};
	uint32_t number = ledger_arrived(&a);
	if (!settled)
		hold(c, ch, tag, number, queue);
	world.digest = world.digest * 31 + number;
	return number;
}

static void delivered(struct client *c, struct channel *ch)
{
	const struct amqp091_basic_deliver *d = &c->method.args.basic_deliver;
	struct consumer_seen *k = consumer_named(ch, c->tag, strlen(c->tag));

	if (!k || !k->there)
		world_fail("client %u, channel %u: a delivery for consumer %s, which is not there", c->index,
			ch->number, c->tag);
	uint32_t number = arrive(c, ch, k->queue, d->delivery_tag, d->redelivered, k->no_ack);
	if (!d->redelivered)
		check_order(c, k, number);
	if (k->asked_cancel)
		world_met(WORLD_cancel_race);
}

static void got(struct client *c, struct channel *ch)
{
	const struct amqp091_basic_get_ok *g = &c->method.args.basic_get_ok;
	struct expect e = *awaited(c, ch, AMQP091_METHOD_BASIC_GET_OK);

	ledger_get_answered(e.question.queue);
	arrive(c, ch, e.question.queue, g->delivery_tag, g->redelivered, e.no_ack);
	/* With the one that came, and less than there are now by what others had meanwhile. */
	uint32_t most = ledger_most(&e.question);
	if (g->message_count + 1 > most)
		world_fail("client %u: %s is said to have %u messages left; %u is the most", c->index,
			map_queue(e.question.queue), g->message_count, most - 1);
	world_met(WORLD_got);
}

void channel_content(struct client *c, struct channel *ch)
{
	switch (c->method.id) {
	case AMQP091_METHOD_BASIC_DELIVER:
		delivered(c, ch);
		break;
	case AMQP091_METHOD_BASIC_GET_OK:
		got(c, ch);
		break;
	default:
		returned(c, ch);
	}
}
