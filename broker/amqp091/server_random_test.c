/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that say, in a random order, whatever a client may say, to brokers of one to three cores that are
 * short of everything: memory, places for deliveries, for letters, between cores and in the transports. What
 * is asked is little: nothing breaks, everything comes back to its pool, and who comes afterwards is served.
 */
#include "broker/amqp091/internal.h"
#include "broker/amqp091/testing/rig_test.h"

#include <stdio.h>
#include <string.h>

enum { CLIENTS = 5, CHANNELS = 3, QUEUES = 12, EXCHANGES = 6, TAGS = 64, ROUNDS = 12, OPERATIONS = 3000 };

/* What a client has heard. Of a channel that is closed there is nothing to say. */
struct talk {
	struct client client;
	unsigned vhost;
	bool attached, open[CHANNELS + 1], opening[CHANNELS + 1], publishing[CHANNELS + 1];
	bool tx[CHANNELS + 1], replies[CHANNELS + 1];
	uint64_t tags[CHANNELS + 1][TAGS];
	unsigned tag_count[CHANNELS + 1];
	unsigned named; /* consumers so far */
};

static const char *const vhosts[] = {"/", "other"};
static const struct access_permission permissions[] = {
	{"guest", "/", {".*", ".*", ".*"}}, {"guest", "other", {".*", "^[^3]*$", "^[^4]*$"}}};

static struct rig rig;
static struct talk talks[CLIENTS];
/* Of a virtual host: what somebody has made, perhaps not long ago. */
static struct made {
	bool queues[QUEUES], exchanges[EXCHANGES];
} mades[2], *made; /* of who speaks */
static uint8_t bytes[1 << 17], table_bytes[2048];

static uint32_t below(uint32_t n)
{
	return unit_random_below(n);
}

static bool one_in(uint32_t n)
{
	return below(n) == 0;
}

static const char *name_of(char kind, uint32_t n)
{
	static char names[4][8];
	static unsigned next;
	char *name = names[next++ % 4];

	snprintf(name, sizeof(names[0]), "%c%u", kind, n);
	return name;
}

/* Mostly one that is there. */
static uint32_t any_of(const bool *there, uint32_t n)
{
	uint32_t at = below(n), tries = 1 + below(20);

	while (!there[at] && tries-- > 0)
		at = below(n);
	return at;
}

static const char *any_queue(void)
{
	return name_of('q', any_of(made->queues, QUEUES));
}

static const char *own_exchange(void)
{
	return name_of('x', any_of(made->exchanges, EXCHANGES));
}

static const char *any_exchange(void)
{
	static const char *const known[] = {"amq.fanout", "amq.direct", "amq.topic"};

	return one_in(2) ? known[below(3)] : own_exchange();
}

/* Each name asks for the same each time. */
static struct amqp091_table queue_asks(uint32_t n)
{
	static const char *const overflows[] = {"drop-head", "reject-publish", "reject-publish-dlx"};
	struct amqp091_table_builder b;
	struct amqp091_table t;

	amqp091_table_build(&b, table_bytes, sizeof(table_bytes));
	if (n % 2)
		amqp091_table_add_cstring(&b, "x-dead-letter-exchange", n % 3 ? "" : "amq.fanout");
	if (n % 2 && n % 3)
		amqp091_table_add_cstring(
			&b, "x-dead-letter-routing-key", name_of('q', (n * 5 + 1) % QUEUES));
	if (n % 4 == 1)
		amqp091_table_add_int32(&b, "x-message-ttl", (int32_t)n * 3);
	if (n % 5 == 2) {
		amqp091_table_add_int32(&b, "x-max-length", 3);
		amqp091_table_add_cstring(&b, "x-overflow", overflows[n % 3]);
	}
	if (n % 5 == 3)
		amqp091_table_add_int32(&b, "x-max-priority", 3);
	if (n % 3 == 2)
		amqp091_table_add_bool(&b, "x-message-deduplication", true);
	if (n % 6 == 5)
		amqp091_table_add_bool(&b, "x-single-active-consumer", true);
	if (n % 7 == 6)
		amqp091_table_add_int32(&b, "x-expires", 50);
	CU_ASSERT_EQUAL_FATAL(amqp091_table_finish(&b, &t), 0);
	return t;
}

static void say(struct talk *t, uint16_t channel, const struct amqp091_method *m)
{
	client_method(&t->client, channel, m);
}

static void declare_queue(struct talk *t, uint16_t channel)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};
	uint32_t n = below(QUEUES);

	m.args.queue_declare = (struct amqp091_queue_declare){.queue = str(name_of('q', n)),
		.passive = one_in(10),
		.exclusive = n == 10,
		.auto_delete = n == 4,
		.no_wait = one_in(4),
		.arguments = queue_asks(n)};
	made->queues[n] |= !m.args.queue_declare.passive;
	say(t, channel, &m);
}

static void declare_exchange(struct talk *t, uint16_t channel)
{
	static const char *const types[EXCHANGES] = {
		"fanout", "direct", "topic", "x-delayed-message", "x-message-deduplication", "direct"};
	struct amqp091_method m = {.id = AMQP091_METHOD_EXCHANGE_DECLARE};
	struct amqp091_table_builder b;
	uint32_t n = below(EXCHANGES);

	m.args.exchange_declare = (struct amqp091_exchange_declare){
		.exchange = str(name_of('x', n)), .type = str(types[n]), .auto_delete = n == 5};
	amqp091_table_build(&b, table_bytes, sizeof(table_bytes));
	if (n == 4)
		amqp091_table_add_int32(&b, "x-cache-size", 3);
	if (n == 3)
		amqp091_table_add_cstring(&b, "x-delayed-type", "fanout");
	else if (n % 2)
		amqp091_table_add_cstring(&b, "alternate-exchange", name_of('x', (n + 1) % EXCHANGES));
	CU_ASSERT_EQUAL_FATAL(amqp091_table_finish(&b, &m.args.exchange_declare.arguments), 0);
	made->exchanges[n] = true;
	say(t, channel, &m);
}

static void bind(struct talk *t, uint16_t channel)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_BIND};
	const char *key = one_in(3) ? "#" : any_queue(), *from = any_exchange();

	if (one_in(3)) {
		m.id = AMQP091_METHOD_EXCHANGE_BIND;
		m.args.exchange_bind = (struct amqp091_exchange_bind){
			.source = str(from), .destination = str(own_exchange()), .routing_key = str(key)};
	} else if (one_in(3)) {
		m.id = AMQP091_METHOD_QUEUE_UNBIND;
		m.args.queue_unbind = (struct amqp091_queue_unbind){
			.exchange = str(from), .queue = str(any_queue()), .routing_key = str(key)};
	} else {
		m.args.queue_bind = (struct amqp091_queue_bind){
			.exchange = str(from), .queue = str(any_queue()), .routing_key = str(key)};
	}
	say(t, channel, &m);
}

static void take_away(struct talk *t, uint16_t channel)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_PURGE};
	uint32_t x = any_of(made->exchanges, EXCHANGES), q = any_of(made->queues, QUEUES);

	if (one_in(6)) {
		m.id = AMQP091_METHOD_EXCHANGE_DELETE;
		m.args.exchange_delete.exchange = str(name_of('x', x));
		made->exchanges[x] = false;
	} else if (one_in(3)) {
		m.id = AMQP091_METHOD_QUEUE_DELETE;
		m.args.queue_delete.queue = str(name_of('q', q));
		made->queues[q] = false;
	} else {
		m.args.queue_purge.queue = str(any_queue());
	}
	say(t, channel, &m);
}

static struct amqp091_table headers_of(bool keys)
{
	struct amqp091_table_builder b;
	struct amqp091_table t;

	amqp091_table_build(&b, table_bytes, sizeof(table_bytes));
	for (unsigned i = 0; keys && i < 2; i++) {
		if (one_in(2))
			continue;
		amqp091_array_open(&b, i ? "BCC" : "CC");
		amqp091_table_add_cstring(&b, NULL, any_queue());
		amqp091_table_close(&b);
	}
	if (one_in(2))
		amqp091_table_add_int32(&b, "x-delay", (int32_t)below(50));
	if (one_in(2))
		amqp091_table_add_cstring(&b, "x-deduplication-header", name_of('d', below(4)));
	amqp091_table_add_cstring(&b, "mine", "stays");
	CU_ASSERT_EQUAL_FATAL(amqp091_table_finish(&b, &t), 0);
	return t;
}

static uint8_t *properties_put(uint8_t *p, bool replies)
{
	struct amqp091_basic_properties properties = {0};

	if (one_in(3)) {
		properties.flags |= AMQP091_BASIC_EXPIRATION;
		properties.expiration = str(one_in(2) ? "0" : "7");
	}
	if (one_in(3)) {
		properties.flags |= AMQP091_BASIC_PRIORITY;
		properties.priority = (uint8_t)below(6);
	}
	if (one_in(4)) {
		properties.flags |= AMQP091_BASIC_HEADERS;
		properties.headers = headers_of(one_in(2));
	}
	if (replies ? one_in(3) : one_in(200)) {
		properties.flags |= AMQP091_BASIC_REPLY_TO;
		properties.reply_to = str("amq.rabbitmq.reply-to");
	}
	return amqp091_basic_properties_put(p, &properties);
}

/* As a whole, or what there is of it before its channel or its connection ends. */
static void publish(struct talk *t, uint16_t channel)
{
	static const uint32_t sizes[] = {0, 7, 7, 7, 300, 5000, 70000};
	uint8_t head[2048] = {0};
	uint32_t n = sizes[below(7)];

	client_publish_method(&t->client, channel, one_in(2) ? "" : any_exchange(), any_queue(), one_in(4));
	t->publishing[channel] = one_in(40);
	if (t->publishing[channel] && one_in(2))
		return;
	wire_put16(head, AMQP091_CLASS_BASIC);
	wire_put64(head + 4, n);
	uint8_t *end = properties_put(head + 12, t->replies[channel]);
	client_frame(&t->client, AMQP091_FRAME_HEADER, channel, head, (uint32_t)(end - head));
	for (uint32_t at = 0; at < n && !(t->publishing[channel] && one_in(3));) {
		uint32_t piece = n - at < 4000 ? n - at : 4000;
		client_body(&t->client, channel, bytes + at, piece);
		at += piece;
	}
}

/* Again and again the same, which goes the fast way. */
static void publish_many(struct talk *t, uint16_t channel)
{
	const char *exchange = one_in(2) ? "" : any_exchange(), *key = any_queue();

	for (uint32_t n = below(60); n > 0; n--)
		client_publish(&t->client, channel, exchange, key, bytes, 1 + below(20));
}

static void consume(struct talk *t, uint16_t channel)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME};
	struct amqp091_table_builder b;
	bool replies = !t->replies[channel] && one_in(6), no_ack = replies || one_in(3);

	m.args.basic_consume = (struct amqp091_basic_consume){
		.queue = str(replies ? "amq.rabbitmq.reply-to" : any_queue()),
		.consumer_tag = str(name_of(no_ack ? 'n' : 'c', t->named++ % 8 + channel * 10u)),
		.no_ack = no_ack,
		.exclusive = one_in(10),
		.no_wait = one_in(4)};
	amqp091_table_build(&b, table_bytes, sizeof(table_bytes));
	if (one_in(2))
		amqp091_table_add_int32(&b, "x-priority", (int32_t)below(4));
	CU_ASSERT_EQUAL_FATAL(amqp091_table_finish(&b, &m.args.basic_consume.arguments), 0);
	t->replies[channel] |= replies;
	say(t, channel, &m);
}

static void cancel(struct talk *t, uint16_t channel)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CANCEL};

	m.args.basic_cancel.consumer_tag = str(name_of(one_in(2) ? 'n' : 'c', below(8) + channel * 10u));
	say(t, channel, &m);
}

/* Of what was delivered, in any order: no tag twice. */
static void settle(struct talk *t, uint16_t channel)
{
	uint64_t *tags = t->tags[channel];
	unsigned *count = &t->tag_count[channel];

	if (one_in(12)) {
		*count = 0;
		client_nack(&t->client, channel, 0, true, one_in(2));
		return;
	}
	while (*count > 0 && !one_in(5)) {
		unsigned at = below(*count);
		uint64_t tag = tags[at];
		tags[at] = tags[--*count];
		if (one_in(2))
			client_ack(&t->client, channel, tag, false);
		else
			client_nack(&t->client, channel, tag, false, one_in(3));
	}
}

static void get(struct talk *t, uint16_t channel)
{
	client_get(&t->client, channel, any_queue(), channel == CHANNELS);
}

static void change_mode(struct talk *t, uint16_t channel)
{
	static const uint32_t ids[] = {
		AMQP091_METHOD_TX_COMMIT, AMQP091_METHOD_TX_COMMIT, AMQP091_METHOD_TX_ROLLBACK};

	if (t->tx[channel] || one_in(50))
		client_plain(&t->client, channel, ids[below(3)]);
	else if (channel == 1)
		client_plain(&t->client, channel, AMQP091_METHOD_TX_SELECT);
	else if (channel == 2)
		client_plain(&t->client, channel, AMQP091_METHOD_CONFIRM_SELECT);
}

static void prefetch(struct talk *t, uint16_t channel)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_QOS};

	m.args.basic_qos = (struct amqp091_basic_qos){
		.prefetch_count = (uint16_t)below(5), .global = one_in(2)};
	say(t, channel, &m);
}

static void recover(struct talk *t, uint16_t channel)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_RECOVER};

	if (!one_in(3))
		return;
	m.args.basic_recover.requeue = true;
	t->tag_count[channel] = 0;
	say(t, channel, &m);
}

static void forget_channel(struct talk *t, uint16_t channel)
{
	t->open[channel] = t->opening[channel] = t->publishing[channel] = false;
	t->tx[channel] = t->replies[channel] = false;
	t->tag_count[channel] = 0;
}

static void close_channel(struct talk *t, uint16_t channel)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CHANNEL_CLOSE};

	if (!one_in(4))
		return;
	m.args.channel_close.reply_code = 200;
	say(t, channel, &m);
	forget_channel(t, channel);
}

static void heard(struct talk *t, uint16_t channel, const struct amqp091_method *m)
{
	bool settled;
	uint64_t tag;

	switch (m->id) {
	case AMQP091_METHOD_CHANNEL_OPEN_OK:
		t->open[channel] = t->opening[channel];
		t->opening[channel] = false;
		return;
	case AMQP091_METHOD_TX_SELECT_OK:
		t->tx[channel] = t->open[channel];
		return;
	case AMQP091_METHOD_CHANNEL_CLOSE:
		forget_channel(t, channel);
		client_plain(&t->client, channel, AMQP091_METHOD_CHANNEL_CLOSE_OK);
		return;
	case AMQP091_METHOD_BASIC_DELIVER:
		tag = m->args.basic_deliver.delivery_tag;
		settled = *m->args.basic_deliver.consumer_tag.data == 'n';
		break;
	case AMQP091_METHOD_BASIC_GET_OK:
		tag = m->args.basic_get_ok.delivery_tag;
		settled = channel == CHANNELS;
		break;
	default:
		return;
	}
	if (!settled && t->open[channel] && t->tag_count[channel] < TAGS)
		t->tags[channel][t->tag_count[channel]++] = tag;
}

static void listen(struct talk *t)
{
	struct link_bytes *out = &t->client.link.out;
	struct amqp091_method m;

	while (out->at < out->end) {
		struct amqp091_frame f;
		int64_t n = amqp091_frame_parse(
			out->data + out->at, (uint32_t)(out->end - out->at), t->client.frame_max, &f);
		if (n <= 0)
			return; /* the rest is on its way */
		const uint8_t *payload = out->data + out->at + AMQP091_FRAME_HEADER_SIZE;
		out->at += (size_t)n;
		if (f.type == AMQP091_FRAME_METHOD && amqp091_method_decode(payload, f.size, &m) == 0)
			heard(t, f.channel, &m);
	}
}

static void hang_up(struct talk *t)
{
	if (t->attached)
		rig_detach(&rig, &t->client.link);
	memset(t, 0, sizeof(*t));
}

static void all_go_on(void)
{
	for (unsigned i = 0; i < rig.core_count; i++)
		rig.cores[i].stopped = false;
}

static void ring_up(struct talk *t, unsigned core)
{
	struct client_options o = client_options();

	all_go_on();
	o.core = core;
	t->vhost = below(2);
	o.vhost = vhosts[t->vhost];
	o.hear_blocked = one_in(2);
	client_open_with(&t->client, &rig, &o);
	t->attached = true;
	t->client.link.rx_limit = 64 + below(20000);
	t->client.link.segment = 8 + below(3000); /* more would take all receive buffers */
	t->client.link.tx_limit = 8000 + below(20000);
}

static void line_changes(struct talk *t)
{
	struct link *l = &t->client.link;

	l->tx_rate = one_in(3) ? 0 : 100 + below(20000);
	l->faults = below(3);
	l->burst = 8 + below(8000);
}

typedef void (*operation)(struct talk *t, uint16_t channel);
static const operation operations[] = {declare_queue, declare_queue, declare_exchange, bind, bind, take_away,
	publish, publish, publish, publish, publish_many, publish_many, consume, consume, cancel, settle,
	settle, settle, settle, get, get, change_mode, change_mode, prefetch, recover, close_channel};

static void speak(struct talk *t)
{
	uint16_t channel = (uint16_t)(1 + below(CHANNELS));

	if (t->client.link.in.end - t->client.link.in.at > 200000)
		return;
	if (!t->open[channel] && !t->opening[channel]) {
		client_plain(&t->client, channel, AMQP091_METHOD_CHANNEL_OPEN);
		t->opening[channel] = true;
	} else if (!t->open[channel]) {
		return;
	} else if (!t->publishing[channel]) {
		operations[below(sizeof(operations) / sizeof(operations[0]))](t, channel);
	} else if (one_in(20)) {
		hang_up(t);
	}
}

static void operate(struct talk *t)
{
	if (t->attached && link_over(&t->client.link))
		hang_up(t);
	if (!t->attached)
		return;
	made = &mades[t->vhost];
	listen(t);
	if (one_in(300))
		hang_up(t);
	else if (one_in(50))
		line_changes(t);
	else
		speak(t);
}

/* All that they were short of is there again: a message comes and goes. */
static void the_next_one_is_served(void)
{
	struct client client;

	rig_clear(&rig);
	rig_settle(&rig);
	client_open_at(&client, &rig, rig.core_count - 1);
	client_channel(&client, 1);
	client_declare(&client, 1, "after");
	client_publish(&client, 1, "", "after", "hello", 5);
	client_get(&client, 1, "after", true);
	client_expect_text(&client, 1, AMQP091_METHOD_BASIC_GET_OK, "hello");
	client_close(&client);
}

static struct {
	uint64_t published, delivered, acked, expired, letters, lost, returned, confirmed, channels,
		connections, held, moved, fast;
} did;

static void count_what_was_done(void)
{
	struct broker_core_stats stats;

	for (unsigned i = 0; i < rig.core_count; i++) {
		const struct rig_core *c = &rig.cores[i];
		const struct amqp091_counters *n = amqp091_server_counters(c->server);
		const struct broker_core_counters *m = broker_core_counters(c->core);
		broker_core_stats(c->core, &stats);
		did.published += stats.published;
		did.delivered += stats.delivered;
		did.acked += stats.acked;
		did.expired += stats.expired;
		did.letters += m->dead_letters;
		did.lost += m->dead_letters_lost;
		did.moved += m->moves_in;
		did.returned += n->returned;
		did.confirmed += n->confirmed;
		did.channels += n->channel_exceptions;
		did.connections += n->connection_exceptions;
		did.held += n->held_for_memory;
		did.fast += c->server->fast_contents;
	}
}

static void round_of(unsigned cores)
{
	struct rig_options o = rig_options();

	o.cores = cores;
	o.link_records = cores > 1 ? 2u << below(5) : 0;
	o.memory_bytes = (200u + below(400) + 700 * (cores - 1)) << 10;
	o.server.message_bytes_max = 100000;
	o.server.unacked_max = 10 + below(100);
	o.server.consumers_max = 3 + below(12);
	o.server.channels_max = CLIENTS * CHANNELS - below(3);
	o.server.consumer_timeout_us = one_in(2) ? 200000 : 0;
	o.limits = (struct broker_limits){
		QUEUES + CLIENTS - below(8), EXCHANGES, 20 + below(30), 5 + below(20)};
	o.letters_max = 1 + below(20);
	o.vhosts = vhosts;
	o.vhost_count = 2;
	o.permissions = permissions;
	o.permission_count = 2;
	test_begin(&rig, &o);
	memset(mades, 0, sizeof(mades));
	for (unsigned i = 0; i < OPERATIONS; i++) {
		struct talk *t = &talks[below(CLIENTS)];
		unsigned turns = below(3);
		if (t->attached)
			operate(t);
		else if (one_in(10))
			ring_up(t, below(cores));
		for (unsigned core = 0; core < cores; core++)
			rig.cores[core].stopped = one_in(10);
		for (; turns > 0; turns--)
			rig_turn(&rig);
		rig.now_us += below(3000);
	}
	all_go_on();
	for (unsigned i = 0; i < CLIENTS; i++)
		hang_up(&talks[i]);
	rig_advance(&rig, 500000);
	count_what_was_done();
	the_next_one_is_served();
	test_end(&rig);
}

static void anything_may_be_said(void)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		round_of(1 + i % 3);
	printf("# %lu published, %lu the fast way, %lu delivered, %lu acked, %lu expired, %lu letters, %lu "
	       "of them lost, "
	       "%lu returned, %lu confirmed, %lu channels and %lu connections closed, %lu waits for memory, "
	       "%lu moved\n",
		did.published, did.fast, did.delivered, did.acked, did.expired, did.letters, did.lost,
		did.returned, did.confirmed, did.channels, did.connections, did.held, did.moved);
	CU_ASSERT_TRUE(did.published > 0 && did.acked > 0 && did.letters > did.lost && did.channels > 0);
}

int main(int argc, char **argv)
{
	return unit_main(
		argc, argv, (struct unit_test[]){{"anything_may_be_said", anything_may_be_said}, {0}});
}
