/* SPDX-License-Identifier: Apache-2.0 */
/* Channels in tx mode, and some that are not, beside a slow model of them (testing/transaction_model.h).
 * Random operations of several connections, of one core or two; after each of them every queue holds as many
 * messages as the model's, every answer is the model's, and the broker keeps for transactions what the
 * model's keep, to the octet. */
#include "broker/amqp091/testing/transaction_model.h"

#include <string.h>

enum { OPERATIONS = 20000 };

static void send(struct model_client *c, unsigned ch, const struct model_kept *k)
{
	static uint8_t body[LONG];
	uint32_t most = c->client.frame_max - AMQP091_FRAME_OVERHEAD;

	memcpy(body, &k->number, sizeof(k->number));
	client_publish_method(&c->client, (uint16_t)(ch + 1), model_targets[k->target].exchange,
		model_targets[k->target].key, k->mandatory);
	client_content_header(&c->client, (uint16_t)(ch + 1), k->bytes);
	for (uint32_t at = 0; at < k->bytes; at += most)
		client_body(&c->client, (uint16_t)(ch + 1), body + at,
			k->bytes - at < most ? k->bytes - at : most);
}

/* False: the channel has ended by it. */
static bool publish(struct model_client *c, unsigned ch, const struct model_kept *k)
{
	struct model_channel *m = &c->channels[ch];
	uint64_t bytes;
	unsigned kept = model_kept_on(c->core, &bytes);
	bool long_one = bytes + k->bytes + (kept + 1) * (uint64_t)EACH >
			model.rig.cores[c->core].server->kept_bytes_max;

	send(c, ch, k);
	if (k->target == TARGET_GONE && !model.has_gone) {
		model_refused(c, ch, AMQP091_REPLY_NOT_FOUND, AMQP091_METHOD_BASIC_PUBLISH);
		return false;
	}
	if (!m->tx && model_leads_nowhere(k->target)) {
		if (k->mandatory)
			model_expect_returned(c, ch, k);
		return true;
	}
	if (!m->tx) {
		model_route(k);
		return true;
	}
	if (long_one || kept == PLACES) {
		model.seen.too_long += long_one;
		model.seen.too_many += !long_one;
		model_refused(c, ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH);
		return false;
	}
	m->kept[m->kept_count++] = *k;
	return true;
}

static bool crowded(unsigned target)
{
	for (unsigned i = 0; i < QUEUES; i++)
		if ((model_targets[target].queues >> i & 1) &&
			model_ready_count(&model_queues[i]) > READY_MAX)
			return true;
	return false;
}

static void op_publish(struct model_client *c, unsigned ch)
{
	struct model_kept k = {.target = unit_random_below(TARGETS)};
	bool greedy = c->channels[ch].tx && unit_random_below(40) == 0; /* more than there is room for */
	bool is_long = unit_random_below(greedy ? 2 : 20) == 0 && model_live_bytes() < LIVE_MAX;
	unsigned many = unit_random_below(6) ? 1 : 1 + unit_random_below(12);

	if (greedy)
		many = is_long ? (2 << 20) / LONG + 1 : PLACES + 1;
	/* What is not there mostly ends the channel. */
	if ((k.target == TARGET_GONE && !model.has_gone && unit_random_below(4)) || crowded(k.target))
		return;
	for (unsigned i = 0; i < many; i++) {
		k.number = ++model.number;
		k.bytes = is_long ? LONG : 8 + unit_random_below(40);
		k.mandatory = unit_random_below(2);
		if (!publish(c, ch, &k))
			return;
		model_apply_rules();
	}
}

static void op_get(struct model_client *c, unsigned ch)
{
	struct model_queue *q = &model_queues[unit_random_below(QUEUES)];
	struct model_channel *m = &c->channels[ch];
	bool no_ack = unit_random_below(4) == 0;
	struct client_content content;
	uint64_t number;

	if (m->out_count + m->settled_count == OUT_MAX)
		return;
	client_get(&c->client, (uint16_t)(ch + 1), q->name, no_ack);
	if (!model_head(q)) {
		client_expect(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_BASIC_GET_EMPTY);
		return;
	}
	const struct amqp091_basic_get_ok *ok = &client_expect_content(
		&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_BASIC_GET_OK, &content)
							 ->args.basic_get_ok;
	memcpy(&number, content.body, sizeof(number));
	struct model_message *first = model_next(q, number);
	CU_ASSERT_FATAL(first && first->number == number);
	CU_ASSERT_EQUAL(content.bytes, first->bytes);
	CU_ASSERT_EQUAL_FATAL(ok->redelivered, first->seen);
	CU_ASSERT_EQUAL_FATAL(ok->delivery_tag, m->tag_next);
	client_content_free(&content);
	first->ready = false;
	first->seen = true;
	CU_ASSERT_EQUAL(ok->message_count, model_ready_count(q));
	if (no_ack)
		first->bytes = 0;
	else
		m->out[m->out_count++] = (struct model_out){
			m->tag_next, q, (unsigned)(first - q->at), q->life, 0};
	m->tag_next++;
}

/* One that there is, or all up to it, or all, or one that there is not. */
static void op_settle(struct model_client *c, unsigned ch)
{
	static const enum kept_settlement ways[] = {SETTLEMENT_ACK, SETTLEMENT_DROP, SETTLEMENT_REQUEUE};
	struct model_channel *m = &c->channels[ch];
	enum kept_settlement how = ways[unit_random_below(3)];
	bool multiple = unit_random_below(3) == 0, all = multiple && unit_random_below(3) == 0;
	bool unknown = !all && unit_random_below(12) == 0;
	unsigned at = m->out_count ? unit_random_below(m->out_count) : 0;
	uint64_t tag = 0;

	if (!m->out_count && !all && !unknown)
		return;
	if (unknown) /* settled in this transaction, or never delivered */
		tag = m->settled_count ? m->settled[unit_random_below(m->settled_count)].tag : m->tag_next;
	else if (!all)
		tag = m->out[at].tag;
	if (how == SETTLEMENT_ACK)
		client_ack(&c->client, (uint16_t)(ch + 1), tag, multiple);
	else
		client_nack(&c->client, (uint16_t)(ch + 1), tag, multiple, how == SETTLEMENT_REQUEUE);
	if (unknown) {
		model.seen.unknown++;
		model_refused(c, ch, AMQP091_REPLY_PRECONDITION_FAILED,
			how == SETTLEMENT_ACK ? AMQP091_METHOD_BASIC_ACK : AMQP091_METHOD_BASIC_NACK);
	} else if (!multiple) {
		model_take_at(m, at, how);
	} else {
		while (m->out_count && (all || m->out[0].tag <= tag))
			model_take_at(m, 0, how);
	}
}

static void op_recover(struct model_client *c, unsigned ch)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_RECOVER};

	m.args.basic_recover.requeue = true;
	client_method(&c->client, (uint16_t)(ch + 1), &m);
	client_expect(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_BASIC_RECOVER_OK);
	model_settle_all(c->channels[ch].out, &c->channels[ch].out_count, false);
}

/* A queue of another core takes it. */
static bool gets_elsewhere(unsigned core, const struct model_kept *k)
{
	for (unsigned i = 0; i < QUEUES && !model_leads_nowhere(k->target); i++)
		if ((model_targets[k->target].queues >> i & 1) && i % model.rig.core_count != core &&
			(!model_queues[i].refuses || model_ready_count(&model_queues[i]) < FEW))
			return true;
	return false;
}

static void op_commit(struct model_client *c, unsigned ch)
{
	struct model_channel *m = &c->channels[ch];
	bool crosses = false;

	client_plain(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_TX_COMMIT);
	if (!m->tx) {
		model_refused(c, ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_TX_COMMIT);
		return;
	}
	for (unsigned i = 0; i < m->kept_count; i++)
		crosses |= gets_elsewhere(c->core, &m->kept[i]);
	for (unsigned i = 0; i < m->kept_count; i++)
		if (m->kept[i].mandatory && model_leads_nowhere(m->kept[i].target))
			model_expect_returned(c, ch, &m->kept[i]);
	if (!model_commit_done(m)) {
		client_expect(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_TX_COMMIT_OK);
		model.seen.commits++;
		return;
	}
	/* Where no other core has to say first that it has the messages, what goes back with the channel is
	 * there before the rules are. */
	if (crosses)
		model_apply_rules();
	model.seen.partial++;
	model_refused(c, ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_TX_COMMIT);
}

/* From the last settlement on, each to its place among the others. */
static void op_rollback(struct model_client *c, unsigned ch)
{
	struct model_channel *m = &c->channels[ch];

	client_plain(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_TX_ROLLBACK);
	if (!m->tx) {
		model_refused(c, ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_TX_ROLLBACK);
		return;
	}
	client_expect(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_TX_ROLLBACK_OK);
	m->kept_count = 0;
	while (m->settled_count) {
		struct model_out o = m->settled[--m->settled_count];
		unsigned at = 0;
		while (at < m->out_count && m->out[at].tag < o.tag)
			at++;
		memmove(&m->out[at + 1], &m->out[at], (m->out_count++ - at) * sizeof(o));
		m->out[at] = o;
	}
	model.seen.rollbacks++;
}

static void op_close_channel(struct model_client *c, unsigned ch)
{
	client_plain(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_CHANNEL_CLOSE);
	client_expect(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_CHANNEL_CLOSE_OK);
	model_channel_ends(&c->channels[ch]);
	client_channel(&c->client, (uint16_t)(ch + 1));
	model_begin_channel(c, ch);
}

/* Nothing that comes back is longer than what may be under way. */
static bool is_done_at_once(const struct model_channel *ch)
{
	for (unsigned i = 0; i < ch->kept_count; i++)
		if (ch->kept[i].bytes == LONG)
			return false;
	return true;
}

/* Perhaps with a commit done that nobody is told of any more. */
static void op_die(struct model_client *c, unsigned ch)
{
	if (c->channels[ch].tx && is_done_at_once(&c->channels[ch]) && unit_random_below(2)) {
		client_plain(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_TX_COMMIT);
		rig_turn(&model.rig);
		model_commit_done(&c->channels[ch]);
		model_apply_rules();
	}
	client_drop(&c->client);
	rig_settle(&model.rig);
	for (unsigned i = 0; i < CHANNELS; i++)
		model_channel_ends(&c->channels[i]);
	model_apply_rules();
	model_connect(c);
	model.seen.deaths++;
}

/* Of what transactions have messages for and deliveries of. */
static void op_delete_queue(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DELETE};

	m.args.queue_delete.queue = str(model_queues[MORTAL].name);
	client_method(&model.admin[0], 1, &m);
	client_expect(&model.admin[0], 1, AMQP091_METHOD_QUEUE_DELETE_OK);
	model_declare(&model_queues[MORTAL]);
}

static void op_exchange(void)
{
	struct amqp091_method m = {
		.id = model.has_gone ? AMQP091_METHOD_EXCHANGE_DELETE : AMQP091_METHOD_EXCHANGE_DECLARE};

	if (model.has_gone) {
		m.args.exchange_delete.exchange = str("gone");
	} else {
		m.args.exchange_declare.exchange = str("gone");
		m.args.exchange_declare.type = str("fanout");
	}
	client_method(&model.admin[0], 1, &m);
	client_expect(&model.admin[0], 1,
		model.has_gone ? AMQP091_METHOD_EXCHANGE_DELETE_OK : AMQP091_METHOD_EXCHANGE_DECLARE_OK);
	model.has_gone = !model.has_gone;
	if (model.has_gone)
		model_bind("gone", "a");
}

static void op_seldom(struct model_client *c, unsigned ch)
{
	switch (unit_random_below(8)) {
	case 0:
		op_close_channel(c, ch);
		break;
	case 1:
		op_die(c, ch);
		break;
	case 2:
		op_delete_queue();
		break;
	case 3:
		op_exchange();
		break;
	case 4:
	case 5:
		op_recover(c, ch);
		break;
	default:
		rig_advance(&model.rig, MS * (1 + unit_random_below(40)));
	}
}

static void one_operation(void)
{
	struct model_client *c = &model.clients[unit_random_below(CLIENTS)];
	unsigned ch = unit_random_below(CHANNELS), which = unit_random_below(40);

	if (which < 14)
		op_publish(c, ch);
	else if (which < 24)
		op_get(c, ch);
	else if (which < 32)
		op_settle(c, ch);
	else if (which < 35)
		op_commit(c, ch);
	else if (which < 37)
		op_rollback(c, ch);
	else
		op_seldom(c, ch);
}

static void random_operations(unsigned cores)
{
	model_begin(cores);
	for (unsigned i = 0; i < OPERATIONS; i++) {
		one_operation();
		rig_settle(&model.rig);
		model_apply_rules();
		model_compare();
		model_shorten();
		for (unsigned k = 0; k < CLIENTS; k++)
			CU_ASSERT_EQUAL_FATAL(
				model.clients[k].client.link.out.at, model.clients[k].client.link.out.end);
	}
	printf("# %u commits, %u in part, %u rollbacks, %u returned, %u too many, %u too long, %u unknown "
	       "tags, "
	       "%u deaths, %u letters, %u expired, %u settled\n",
		model.seen.commits, model.seen.partial, model.seen.rollbacks, model.seen.returned,
		model.seen.too_many, model.seen.too_long, model.seen.unknown, model.seen.deaths,
		model.seen.letters, model.seen.expired, model.seen.settled);
	CU_ASSERT(model.seen.commits > OPERATIONS / 50 && model.seen.rollbacks > OPERATIONS / 50);
	CU_ASSERT(model.seen.partial && model.seen.returned && model.seen.too_many && model.seen.too_long &&
		  model.seen.unknown);
	CU_ASSERT(model.seen.deaths && model.seen.letters && model.seen.expired &&
		  model.seen.settled > OPERATIONS / 20);
	model_end(cores);
}

static void of_one_core(void)
{
	random_operations(1);
}

static void of_two_cores(void)
{
	random_operations(2);
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"of_one_core", of_one_core}, {"of_two_cores", of_two_cores}, {0}});
}
