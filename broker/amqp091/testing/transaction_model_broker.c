/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/testing/transaction_model.h"

#include <stdlib.h>
#include <string.h>

void model_compare(void)
{
	struct failure f;

	for (unsigned i = 0; i < QUEUES; i++) {
		struct queue *q = NULL;
		queue_lookup(&model.session, slice_of(str(model_queues[i].name)), &q, &f);
		CU_ASSERT_PTR_NOT_NULL_FATAL(q);
		if (queue_ready_count(q) != model_ready_count(&model_queues[i]))
			printf("# %s: %llu, the model: %u\n", model_queues[i].name,
				(unsigned long long)queue_ready_count(q),
				model_ready_count(&model_queues[i]));
		CU_ASSERT_EQUAL_FATAL(queue_ready_count(q), model_ready_count(&model_queues[i]));
	}
	for (unsigned core = 0; core < model.rig.core_count; core++) {
		uint64_t bytes;
		unsigned kept = model_kept_on(core, &bytes);
		CU_ASSERT_EQUAL_FATAL(pool_stats(model.rig.cores[core].server->kept_pool).used, kept);
		CU_ASSERT_EQUAL_FATAL(
			model.rig.cores[core].server->kept_bytes, bytes + kept * (uint64_t)EACH);
	}
	for (unsigned i = 0; i < model.rig.core_count; i++)
		CU_ASSERT_EQUAL(broker_core_counters(model.rig.cores[i].core)->dead_letters_lost, 0);
}

void model_begin_channel(struct model_client *c, unsigned ch)
{
	struct model_channel *m = &c->channels[ch];

	*m = (struct model_channel){.tag_next = 1, .tx = unit_random_below(4) > 0};
	if (!m->tx)
		return;
	client_plain(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_TX_SELECT);
	client_expect(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_TX_SELECT_OK);
}

void model_refused(struct model_client *c, unsigned ch, uint16_t code, uint32_t id)
{
	client_expect_channel_close(&c->client, (uint16_t)(ch + 1), code, id);
	model_channel_ends(&c->channels[ch]);
	client_channel(&c->client, (uint16_t)(ch + 1));
	model_begin_channel(c, ch);
}

void model_connect(struct model_client *c)
{
	client_open_at(&c->client, &model.rig, c->core);
	for (unsigned i = 0; i < CHANNELS; i++) {
		client_channel(&c->client, (uint16_t)(i + 1));
		model_begin_channel(c, i);
	}
}

void model_expect_returned(struct model_client *c, unsigned ch, const struct model_kept *k)
{
	struct client_content content;
	uint64_t number;

	const struct amqp091_method *m = client_expect_content(
		&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_BASIC_RETURN, &content);
	CU_ASSERT_EQUAL(m->args.basic_return.reply_code, 312);
	CU_ASSERT_EQUAL_FATAL(content.bytes, k->bytes);
	memcpy(&number, content.body, sizeof(number));
	CU_ASSERT_EQUAL_FATAL(number, k->number);
	client_content_free(&content);
	model.seen.returned++;
}

void model_declare(struct model_queue *q)
{
	static uint8_t bytes[512];
	struct client *admin = &model.admin[(unsigned)(q - model_queues) % model.rig.core_count];
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};
	struct amqp091_table_builder b;

	amqp091_table_build(&b, bytes, sizeof(bytes));
	if (q->few)
		amqp091_table_add_int32(&b, "x-max-length", FEW);
	if (q->refuses)
		amqp091_table_add_cstring(
			&b, "x-overflow", q->letters ? "reject-publish-dlx" : "reject-publish");
	if (q->ttl)
		amqp091_table_add_int32(&b, "x-message-ttl", TTL_MS);
	if (q->letters) {
		amqp091_table_add_cstring(&b, "x-dead-letter-exchange", "");
		amqp091_table_add_cstring(&b, "x-dead-letter-routing-key", q->letters);
	}
	m.args.queue_declare.queue = str(q->name);
	CU_ASSERT_EQUAL_FATAL(amqp091_table_finish(&b, &m.args.queue_declare.arguments), 0);
	client_method(admin, 1, &m);
	client_expect(admin, 1, AMQP091_METHOD_QUEUE_DECLARE_OK);
	q->count = 0;
	q->life++;
}

void model_bind(const char *exchange, const char *queue)
{
	client_bind(&model.admin[0], 1, exchange, queue, "");
}

void model_begin(unsigned cores)
{
	struct rig_options o = rig_options();

	memset(&model, 0, sizeof(model));
	o.server.unacked_max = PLACES;
	o.cores = cores;
	test_begin(&model.rig, &o);
	for (unsigned i = 0; i < cores; i++) {
		client_open_at(&model.admin[i], &model.rig, i);
		client_channel(&model.admin[i], 1);
	}
	for (unsigned i = 0; i < QUEUES; i++)
		model_declare(&model_queues[i]);
	for (unsigned i = 0; i < QUEUES; i++)
		if (model_targets[6].queues >> i & 1)
			model_bind("amq.fanout", model_queues[i].name);
	session_begin(&model.session, model.rig.core, vhost_find(model.rig.broker, slice_of(str("/"))));
	for (unsigned i = 0; i < CLIENTS; i++) {
		model.clients[i].core = i % cores;
		model_connect(&model.clients[i]);
	}
}

void model_end(unsigned cores)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		client_close(&model.clients[i].client);
		for (unsigned k = 0; k < CHANNELS; k++)
			model_channel_ends(&model.clients[i].channels[k]);
		model_apply_rules();
		model_compare();
	}
	model_connect(&model.clients[0]);
	for (unsigned i = 0; i < QUEUES; i++) {
		struct model_queue *q = &model_queues[i];
		while (model_head(q)) {
			struct client_content content;
			uint64_t number;
			client_get(&model.clients[0].client, 1, q->name, true);
			client_expect_content(
				&model.clients[0].client, 1, AMQP091_METHOD_BASIC_GET_OK, &content);
			memcpy(&number, content.body, sizeof(number));
			client_content_free(&content);
			struct model_message *m = model_next(q, number);
			CU_ASSERT_FATAL(m && m->number == number);
			m->ready = false;
		}
		free(q->at);
		q->at = NULL;
		q->count = q->room = q->life = 0;
	}
	client_close(&model.clients[0].client);
	session_end(&model.session);
	for (unsigned i = 0; i < cores; i++)
		client_close(&model.admin[i]);
	test_end(&model.rig);
}
