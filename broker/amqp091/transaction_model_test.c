/* SPDX-License-Identifier: Apache-2.0 */
/* Channels in tx mode, and some that are not, beside a slow model of them: queues are arrays that are looked
 * through from their beginning, a transaction is a list of what is to be done at its end. Random operations
 * of several connections, of one core or two; after each of them every queue holds as many messages as the
 * model's, every answer is the model's, and the broker keeps for transactions what the model's keep, to the
 * octet. */
#include "broker/amqp091/internal.h"
#include "broker/amqp091/testing/rig_test.h"

#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000)

enum {
	OPERATIONS = 20000,
	CLIENTS = 3,
	CHANNELS = 2,
	OUT_MAX = 9,	    /* of a channel; all of them are fewer than a core has room for */
	PLACES = 60,	    /* for messages in transactions, of a core */
	READY_MAX = 40,	    /* of a queue */
	LONG = 100000,	    /* octets of a long body: some of them are too much for transactions */
	LIVE_MAX = 3 << 20, /* octets in queues and transactions, before more long bodies come */
	EACH = 256 + 2,	    /* what is counted for one beside its body: itself, and its properties */
	FEW = 3,	    /* the most that a limited queue takes */
	TTL_MS = 30,
};

struct model_message {
	uint64_t number, received_us;
	uint32_t bytes;
	bool ready, seen;
};

struct model_queue {
	const char *name, *letters; /* where to; NULL: none */
	bool few, refuses, ttl;
	struct model_message *at;
	unsigned count, room, life; /* life: how often it was declared */
};

enum { A, FEW_HEAD, REFUSES, SENDS_ON, TTL, MORTAL, OF_FEW, OF_SENDS_ON, OF_TTL, OF_MORTAL, QUEUES };
static struct model_queue queues[QUEUES] = {
	[A] = {"a", NULL},
	[FEW_HEAD] = {"few", "of few", .few = true},
	[REFUSES] = {"refuses", NULL, .few = true, .refuses = true},
	[SENDS_ON] = {"sends on", "of sends on", .few = true, .refuses = true},
	[TTL] = {"ttl", "of ttl", .ttl = true},
	[MORTAL] = {"mortal", "of mortal"},
	[OF_FEW] = {"of few", NULL},
	[OF_SENDS_ON] = {"of sends on", NULL},
	[OF_TTL] = {"of ttl", NULL},
	[OF_MORTAL] = {"of mortal", NULL},
};

/* Where messages go, as a bit a queue. */
struct target {
	const char *exchange, *key;
	unsigned queues;
};
enum { TARGET_GONE = 8, TARGETS };
static const struct target targets[TARGETS] = {{"", "a", 1 << A}, {"", "few", 1 << FEW_HEAD},
	{"", "refuses", 1 << REFUSES}, {"", "sends on", 1 << SENDS_ON}, {"", "ttl", 1 << TTL},
	{"", "mortal", 1 << MORTAL}, {"amq.fanout", "", 1 << A | 1 << FEW_HEAD | 1 << REFUSES},
	{"", "nobody", 0}, [TARGET_GONE] = {"gone", "", 1 << A}};

struct model_out { /* delivered */
	uint64_t tag;
	struct model_queue *queue;
	unsigned index, life;
	enum kept_settlement kept;
};

struct model_kept { /* published */
	uint64_t number;
	uint32_t bytes;
	unsigned target;
	bool mandatory;
};

struct model_channel {
	bool tx;
	uint64_t tag_next;
	struct model_out out[OUT_MAX], settled[OUT_MAX]; /* by tag; in the order of their settling */
	unsigned out_count, settled_count;
	struct model_kept kept[PLACES];
	unsigned kept_count;
};

struct model_client {
	struct client client;
	unsigned core;
	struct model_channel channels[CHANNELS];
};

static struct {
	struct rig rig;
	struct client admin[2]; /* of each core */
	struct model_client clients[CLIENTS];
	struct session session; /* that looks at the queues */
	bool has_gone;		/* the exchange that comes and goes */
	uint64_t number;
	struct {
		unsigned commits, rollbacks, partial, returned, too_many, too_long, unknown, deaths, letters,
			expired, settled;
	} seen;
} t;

/* The model's queues */

static struct model_queue *queue_named(const char *name)
{
	for (unsigned i = 0; i < QUEUES; i++)
		if (strcmp(queues[i].name, name) == 0)
			return &queues[i];
	return NULL;
}

static unsigned ready_count(const struct model_queue *q)
{
	unsigned n = 0;

	for (unsigned i = 0; i < q->count; i++)
		n += q->at[i].ready;
	return n;
}

static struct model_message *head(struct model_queue *q)
{
	for (unsigned i = 0; i < q->count; i++)
		if (q->at[i].ready)
			return &q->at[i];
	return NULL;
}

/* What may come next, where number has come. In which order letters of several channels that end together are
 * written is not the model's matter. */
static struct model_message *next(struct model_queue *q, uint64_t number)
{
	if (q < &queues[OF_FEW])
		return head(q);
	for (unsigned i = 0; i < q->count; i++)
		if (q->at[i].ready && q->at[i].number == number)
			return &q->at[i];
	return NULL;
}

static void push(struct model_queue *q, uint64_t number, uint32_t bytes)
{
	if (q->count == q->room) {
		q->room = q->room ? q->room * 2 : 64;
		q->at = realloc(q->at, q->room * sizeof(*q->at));
	}
	q->at[q->count++] = (struct model_message){
		.number = number, .received_us = t.rig.now_us, .bytes = bytes, .ready = true};
}

static void give_up(struct model_queue *q, struct model_message *m)
{
	m->ready = false;
	if (!q->letters)
		return;
	t.seen.letters++;
	push(queue_named(q->letters), m->number, m->bytes);
}

static void apply(struct model_queue *q, bool limits)
{
	struct model_message *m;

	while ((m = head(q))) {
		bool expired = q->ttl && m->received_us + TTL_MS * MS <= t.rig.now_us;
		bool too_much = q->few && !q->refuses && ready_count(q) > FEW;
		if (!expired && !(limits && too_much))
			break;
		t.seen.expired += expired;
		give_up(q, m);
	}
}

static void apply_rules(void)
{
	for (unsigned i = 0; i < QUEUES; i++)
		apply(&queues[i], true);
}

/* Whether a queue refused it. */
static bool route(const struct model_kept *k)
{
	bool refused = false;

	for (unsigned i = 0; i < QUEUES; i++) {
		struct model_queue *q = &queues[i];
		if (!(targets[k->target].queues >> i & 1))
			continue;
		if (!q->refuses || ready_count(q) < FEW) {
			push(q, k->number, k->bytes);
			continue;
		}
		refused = true;
		if (q->letters)
			push(queue_named(q->letters), k->number, k->bytes);
	}
	return refused;
}

static bool leads_nowhere(unsigned target)
{
	return targets[target].queues == 0 || (target == TARGET_GONE && !t.has_gone);
}

/* How many messages the transactions of a core keep, of so many octets. */
static unsigned kept_on(unsigned core, uint64_t *bytes)
{
	unsigned n = 0;

	*bytes = 0;
	for (unsigned i = 0; i < CLIENTS * CHANNELS; i++) {
		const struct model_client *c = &t.clients[i / CHANNELS];
		const struct model_channel *ch = &c->channels[i % CHANNELS];
		if (c->core != core)
			continue;
		n += ch->kept_count;
		for (unsigned k = 0; k < ch->kept_count; k++)
			*bytes += ch->kept[k].bytes;
	}
	return n;
}

static uint64_t live_bytes(void)
{
	uint64_t n = 0, kept;

	for (unsigned i = 0; i < QUEUES; i++)
		for (unsigned k = 0; k < queues[i].count; k++)
			n += queues[i].at[k].bytes;
	for (unsigned core = 0; core < t.rig.core_count; core++, n += kept)
		(void)kept_on(core, &kept);
	return n;
}

/* What is over and has no reader goes from the arrays when nothing is out. */
static void shorten(void)
{
	for (unsigned i = 0; i < CLIENTS * CHANNELS; i++) {
		const struct model_channel *ch = &t.clients[i / CHANNELS].channels[i % CHANNELS];
		if (ch->out_count || ch->settled_count)
			return;
	}
	for (unsigned i = 0; i < QUEUES; i++) {
		struct model_queue *q = &queues[i];
		unsigned n = 0;
		for (unsigned k = 0; k < q->count; k++)
			if (q->at[k].ready)
				q->at[n++] = q->at[k];
		q->count = n;
	}
}

/* The model's channels */

static void settle(const struct model_out *o, enum kept_settlement how)
{
	struct model_message *m = &o->queue->at[o->index];

	if (o->life != o->queue->life)
		return; /* it went with its queue */
	t.seen.settled++;
	m->bytes = how == SETTLEMENT_REQUEUE || o->queue->letters ? m->bytes : 0;
	if (how == SETTLEMENT_REQUEUE) {
		m->ready = true;
		apply(o->queue, false); /* one that is over does not wait for the turn's end */
	} else if (how == SETTLEMENT_DROP) {
		give_up(o->queue, m);
	}
}

static void settle_all(struct model_out *outs, unsigned *count, bool as_kept)
{
	for (unsigned i = 0; i < *count; i++)
		settle(&outs[i], as_kept ? outs[i].kept : SETTLEMENT_REQUEUE);
	*count = 0;
}

static void channel_ends(struct model_channel *ch)
{
	settle_all(ch->settled, &ch->settled_count, false);
	settle_all(ch->out, &ch->out_count, false);
	*ch = (struct model_channel){.tag_next = 1};
}

/* Its messages have been routed, its settlements done; whether a queue refused something. */
static bool commit_done(struct model_channel *ch)
{
	bool refused = false;

	for (unsigned i = 0; i < ch->kept_count; i++)
		if (!leads_nowhere(ch->kept[i].target))
			refused |= route(&ch->kept[i]);
	ch->kept_count = 0;
	settle_all(ch->settled, &ch->settled_count, true);
	return refused;
}

static void take_at(struct model_channel *ch, unsigned at, enum kept_settlement how)
{
	struct model_out o = ch->out[at];

	memmove(&ch->out[at], &ch->out[at + 1], (--ch->out_count - at) * sizeof(o));
	o.kept = how;
	if (ch->tx)
		ch->settled[ch->settled_count++] = o;
	else
		settle(&o, how);
}

/* The broker, and what it must say */

static void compare(void)
{
	struct failure f;

	for (unsigned i = 0; i < QUEUES; i++) {
		struct queue *q = NULL;
		queue_lookup(&t.session, slice_of(str(queues[i].name)), &q, &f);
		CU_ASSERT_PTR_NOT_NULL_FATAL(q);
		if (queue_ready_count(q) != ready_count(&queues[i]))
			printf("# %s: %llu, the model: %u\n", queues[i].name,
				(unsigned long long)queue_ready_count(q), ready_count(&queues[i]));
		CU_ASSERT_EQUAL_FATAL(queue_ready_count(q), ready_count(&queues[i]));
	}
	for (unsigned core = 0; core < t.rig.core_count; core++) {
		uint64_t bytes;
		unsigned kept = kept_on(core, &bytes);
		CU_ASSERT_EQUAL_FATAL(pool_stats(t.rig.cores[core].server->kept_pool).used, kept);
		CU_ASSERT_EQUAL_FATAL(t.rig.cores[core].server->kept_bytes, bytes + kept * (uint64_t)EACH);
	}
	for (unsigned i = 0; i < t.rig.core_count; i++)
		CU_ASSERT_EQUAL(broker_core_counters(t.rig.cores[i].core)->dead_letters_lost, 0);
}

static void begin_channel(struct model_client *c, unsigned ch)
{
	struct model_channel *m = &c->channels[ch];

	*m = (struct model_channel){.tag_next = 1, .tx = unit_random_below(4) > 0};
	if (!m->tx)
		return;
	client_plain(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_TX_SELECT);
	client_expect(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_TX_SELECT_OK);
}

/* It was closed by the broker, for that reason. */
static void refused(struct model_client *c, unsigned ch, uint16_t code, uint32_t id)
{
	client_expect_channel_close(&c->client, (uint16_t)(ch + 1), code, id);
	channel_ends(&c->channels[ch]);
	client_channel(&c->client, (uint16_t)(ch + 1));
	begin_channel(c, ch);
}

static void connect(struct model_client *c)
{
	client_open_at(&c->client, &t.rig, c->core);
	for (unsigned i = 0; i < CHANNELS; i++) {
		client_channel(&c->client, (uint16_t)(i + 1));
		begin_channel(c, i);
	}
}

static void expect_returned(struct model_client *c, unsigned ch, const struct model_kept *k)
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
	t.seen.returned++;
}

/* Operations */

static void send(struct model_client *c, unsigned ch, const struct model_kept *k)
{
	static uint8_t body[LONG];
	uint32_t most = c->client.frame_max - AMQP091_FRAME_OVERHEAD;

	memcpy(body, &k->number, sizeof(k->number));
	client_publish_method(&c->client, (uint16_t)(ch + 1), targets[k->target].exchange,
		targets[k->target].key, k->mandatory);
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
	unsigned kept = kept_on(c->core, &bytes);
	bool long_one = bytes + k->bytes + (kept + 1) * (uint64_t)EACH >
			t.rig.cores[c->core].server->kept_bytes_max;

	send(c, ch, k);
	if (k->target == TARGET_GONE && !t.has_gone) {
		refused(c, ch, AMQP091_REPLY_NOT_FOUND, AMQP091_METHOD_BASIC_PUBLISH);
		return false;
	}
	if (!m->tx && leads_nowhere(k->target)) {
		if (k->mandatory)
			expect_returned(c, ch, k);
		return true;
	}
	if (!m->tx) {
		route(k);
		return true;
	}
	if (long_one || kept == PLACES) {
		t.seen.too_long += long_one;
		t.seen.too_many += !long_one;
		refused(c, ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_BASIC_PUBLISH);
		return false;
	}
	m->kept[m->kept_count++] = *k;
	return true;
}

static bool crowded(unsigned target)
{
	for (unsigned i = 0; i < QUEUES; i++)
		if ((targets[target].queues >> i & 1) && ready_count(&queues[i]) > READY_MAX)
			return true;
	return false;
}

static void op_publish(struct model_client *c, unsigned ch)
{
	struct model_kept k = {.target = unit_random_below(TARGETS)};
	bool greedy = c->channels[ch].tx && unit_random_below(40) == 0; /* more than there is room for */
	bool is_long = unit_random_below(greedy ? 2 : 20) == 0 && live_bytes() < LIVE_MAX;
	unsigned many = unit_random_below(6) ? 1 : 1 + unit_random_below(12);

	if (greedy)
		many = is_long ? (2 << 20) / LONG + 1 : PLACES + 1;
	/* What is not there mostly ends the channel. */
	if ((k.target == TARGET_GONE && !t.has_gone && unit_random_below(4)) || crowded(k.target))
		return;
	for (unsigned i = 0; i < many; i++) {
		k.number = ++t.number;
		k.bytes = is_long ? LONG : 8 + unit_random_below(40);
		k.mandatory = unit_random_below(2);
		if (!publish(c, ch, &k))
			return;
		apply_rules();
	}
}

static void op_get(struct model_client *c, unsigned ch)
{
	struct model_queue *q = &queues[unit_random_below(QUEUES)];
	struct model_channel *m = &c->channels[ch];
	bool no_ack = unit_random_below(4) == 0;
	struct client_content content;
	uint64_t number;

	if (m->out_count + m->settled_count == OUT_MAX)
		return;
	client_get(&c->client, (uint16_t)(ch + 1), q->name, no_ack);
	if (!head(q)) {
		client_expect(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_BASIC_GET_EMPTY);
		return;
	}
	const struct amqp091_basic_get_ok *ok = &client_expect_content(
		&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_BASIC_GET_OK, &content)
							 ->args.basic_get_ok;
	memcpy(&number, content.body, sizeof(number));
	struct model_message *first = next(q, number);
	CU_ASSERT_FATAL(first && first->number == number);
	CU_ASSERT_EQUAL(content.bytes, first->bytes);
	CU_ASSERT_EQUAL_FATAL(ok->redelivered, first->seen);
	CU_ASSERT_EQUAL_FATAL(ok->delivery_tag, m->tag_next);
	client_content_free(&content);
	first->ready = false;
	first->seen = true;
	CU_ASSERT_EQUAL(ok->message_count, ready_count(q));
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
		t.seen.unknown++;
		refused(c, ch, AMQP091_REPLY_PRECONDITION_FAILED,
			how == SETTLEMENT_ACK ? AMQP091_METHOD_BASIC_ACK : AMQP091_METHOD_BASIC_NACK);
	} else if (!multiple) {
		take_at(m, at, how);
	} else {
		while (m->out_count && (all || m->out[0].tag <= tag))
			take_at(m, 0, how);
	}
}

static void op_recover(struct model_client *c, unsigned ch)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_RECOVER};

	m.args.basic_recover.requeue = true;
	client_method(&c->client, (uint16_t)(ch + 1), &m);
	client_expect(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_BASIC_RECOVER_OK);
	settle_all(c->channels[ch].out, &c->channels[ch].out_count, false);
}

/* A queue of another core takes it. */
static bool gets_elsewhere(unsigned core, const struct model_kept *k)
{
	for (unsigned i = 0; i < QUEUES && !leads_nowhere(k->target); i++)
		if ((targets[k->target].queues >> i & 1) && i % t.rig.core_count != core &&
			(!queues[i].refuses || ready_count(&queues[i]) < FEW))
			return true;
	return false;
}

static void op_commit(struct model_client *c, unsigned ch)
{
	struct model_channel *m = &c->channels[ch];
	bool crosses = false;

	client_plain(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_TX_COMMIT);
	if (!m->tx) {
		refused(c, ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_TX_COMMIT);
		return;
	}
	for (unsigned i = 0; i < m->kept_count; i++)
		crosses |= gets_elsewhere(c->core, &m->kept[i]);
	for (unsigned i = 0; i < m->kept_count; i++)
		if (m->kept[i].mandatory && leads_nowhere(m->kept[i].target))
			expect_returned(c, ch, &m->kept[i]);
	if (!commit_done(m)) {
		client_expect(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_TX_COMMIT_OK);
		t.seen.commits++;
		return;
	}
	/* Where no other core has to say first that it has the messages, what goes back with the channel is
	 * there before the rules are. */
	if (crosses)
		apply_rules();
	t.seen.partial++;
	refused(c, ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_TX_COMMIT);
}

/* From the last settlement on, each to its place among the others. */
static void op_rollback(struct model_client *c, unsigned ch)
{
	struct model_channel *m = &c->channels[ch];

	client_plain(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_TX_ROLLBACK);
	if (!m->tx) {
		refused(c, ch, AMQP091_REPLY_PRECONDITION_FAILED, AMQP091_METHOD_TX_ROLLBACK);
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
	t.seen.rollbacks++;
}

static void op_close_channel(struct model_client *c, unsigned ch)
{
	client_plain(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_CHANNEL_CLOSE);
	client_expect(&c->client, (uint16_t)(ch + 1), AMQP091_METHOD_CHANNEL_CLOSE_OK);
	channel_ends(&c->channels[ch]);
	client_channel(&c->client, (uint16_t)(ch + 1));
	begin_channel(c, ch);
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
		rig_turn(&t.rig);
		commit_done(&c->channels[ch]);
		apply_rules();
	}
	client_drop(&c->client);
	rig_settle(&t.rig);
	for (unsigned i = 0; i < CHANNELS; i++)
		channel_ends(&c->channels[i]);
	apply_rules();
	connect(c);
	t.seen.deaths++;
}

static void declare(struct model_queue *q)
{
	static uint8_t bytes[512];
	struct client *admin = &t.admin[(unsigned)(q - queues) % t.rig.core_count];
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

static void bind(const char *exchange, const char *queue)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_BIND};

	m.args.queue_bind.queue = str(queue);
	m.args.queue_bind.exchange = str(exchange);
	client_method(&t.admin[0], 1, &m);
	client_expect(&t.admin[0], 1, AMQP091_METHOD_QUEUE_BIND_OK);
}

/* Of what transactions have messages for and deliveries of. */
static void op_delete_queue(void)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DELETE};

	m.args.queue_delete.queue = str(queues[MORTAL].name);
	client_method(&t.admin[0], 1, &m);
	client_expect(&t.admin[0], 1, AMQP091_METHOD_QUEUE_DELETE_OK);
	declare(&queues[MORTAL]);
}

static void op_exchange(void)
{
	struct amqp091_method m = {
		.id = t.has_gone ? AMQP091_METHOD_EXCHANGE_DELETE : AMQP091_METHOD_EXCHANGE_DECLARE};

	if (t.has_gone) {
		m.args.exchange_delete.exchange = str("gone");
	} else {
		m.args.exchange_declare.exchange = str("gone");
		m.args.exchange_declare.type = str("fanout");
	}
	client_method(&t.admin[0], 1, &m);
	client_expect(&t.admin[0], 1,
		t.has_gone ? AMQP091_METHOD_EXCHANGE_DELETE_OK : AMQP091_METHOD_EXCHANGE_DECLARE_OK);
	t.has_gone = !t.has_gone;
	if (t.has_gone)
		bind("gone", "a");
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
		rig_advance(&t.rig, MS * (1 + unit_random_below(40)));
	}
}

static void one_operation(void)
{
	struct model_client *c = &t.clients[unit_random_below(CLIENTS)];
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

static void begin(unsigned cores)
{
	struct rig_options o = rig_options();

	memset(&t, 0, sizeof(t));
	o.server.unacked_max = PLACES;
	o.cores = cores;
	test_begin(&t.rig, &o);
	for (unsigned i = 0; i < cores; i++) {
		client_open_at(&t.admin[i], &t.rig, i);
		client_channel(&t.admin[i], 1);
	}
	for (unsigned i = 0; i < QUEUES; i++)
		declare(&queues[i]);
	for (unsigned i = 0; i < QUEUES; i++)
		if (targets[6].queues >> i & 1)
			bind("amq.fanout", queues[i].name);
	session_begin(&t.session, t.rig.core, vhost_find(t.rig.broker, slice_of(str("/"))));
	for (unsigned i = 0; i < CLIENTS; i++) {
		t.clients[i].core = i % cores;
		connect(&t.clients[i]);
	}
}

/* What is left is what the model has, in its order. */
static void end(unsigned cores)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		client_close(&t.clients[i].client);
		for (unsigned k = 0; k < CHANNELS; k++)
			channel_ends(&t.clients[i].channels[k]);
		apply_rules();
		compare();
	}
	connect(&t.clients[0]);
	for (unsigned i = 0; i < QUEUES; i++) {
		struct model_queue *q = &queues[i];
		while (head(q)) {
			struct client_content content;
			uint64_t number;
			client_get(&t.clients[0].client, 1, q->name, true);
			client_expect_content(&t.clients[0].client, 1, AMQP091_METHOD_BASIC_GET_OK, &content);
			memcpy(&number, content.body, sizeof(number));
			client_content_free(&content);
			struct model_message *m = next(q, number);
			CU_ASSERT_FATAL(m && m->number == number);
			m->ready = false;
		}
		free(q->at);
		q->at = NULL;
		q->count = q->room = q->life = 0;
	}
	client_close(&t.clients[0].client);
	session_end(&t.session);
	for (unsigned i = 0; i < cores; i++)
		client_close(&t.admin[i]);
	test_end(&t.rig);
}

static void random_operations(unsigned cores)
{
	begin(cores);
	for (unsigned i = 0; i < OPERATIONS; i++) {
		one_operation();
		rig_settle(&t.rig);
		apply_rules();
		compare();
		shorten();
		for (unsigned k = 0; k < CLIENTS; k++)
			CU_ASSERT_EQUAL_FATAL(
				t.clients[k].client.link.out.at, t.clients[k].client.link.out.end);
	}
	printf("# %u commits, %u in part, %u rollbacks, %u returned, %u too many, %u too long, %u unknown "
	       "tags, "
	       "%u deaths, %u letters, %u expired, %u settled\n",
		t.seen.commits, t.seen.partial, t.seen.rollbacks, t.seen.returned, t.seen.too_many,
		t.seen.too_long, t.seen.unknown, t.seen.deaths, t.seen.letters, t.seen.expired,
		t.seen.settled);
	CU_ASSERT(t.seen.commits > OPERATIONS / 50 && t.seen.rollbacks > OPERATIONS / 50);
	CU_ASSERT(t.seen.partial && t.seen.returned && t.seen.too_many && t.seen.too_long && t.seen.unknown);
	CU_ASSERT(t.seen.deaths && t.seen.letters && t.seen.expired && t.seen.settled > OPERATIONS / 20);
	end(cores);
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
