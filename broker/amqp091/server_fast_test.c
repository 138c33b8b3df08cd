/* SPDX-License-Identifier: Apache-2.0 */
/* The fast ways have exactly the effect of the plain one: two servers are told the same by the same clients,
 * cut at the same random places, and must say the same octets in each turn and count the same. */
#include "broker/amqp091/internal.h"
#include "broker/amqp091/testing/rig_test.h"

#include <stdlib.h>

enum {
	RUNS = 30,
	TURNS = 120,
	CLIENTS = 3,
	CHANNELS = 2,
	FRAME_MAX = 4096,
	/* A buffer holds one octet at least: with all of them the pool is not empty, or the two would find
	 * different room in theirs. */
	RX_LIMIT = 5300,
	SIDES = 2, /* the plain one is the second */
	OUT_ROOM = 1 << 16,
};

static struct rig rigs[SIDES];
static struct client clients[SIDES][CLIENTS];
static uint8_t out[OUT_ROOM];
static uint32_t out_count;
static const struct amqp091_conn *said_by; /* the server's side of who speaks */
static uint64_t fast_contents, fast_run_contents, fast_deliveries, fast_settled, left_over;

static const char *const queues[] = {"q", "longer-queue-name", "third"};
static const char *const exchanges[] = {"", "", "amq.direct", "amq.fanout", "amq.headers"};

static const char *one_of(const char *const *words, unsigned n)
{
	return words[unit_random_below(n)];
}
#define ONE_OF(words) one_of(words, sizeof(words) / sizeof(*(words)))

static bool one_in(unsigned n)
{
	return unit_random_below(n) == 0;
}

static void say_method(uint16_t channel, const struct amqp091_method *m)
{
	ssize_t n = amqp091_method_frame(out + out_count, OUT_ROOM - out_count, channel, m);

	CU_ASSERT_FATAL(n > 0);
	out_count += (uint32_t)n;
}

static void say_frame(uint8_t type, uint16_t channel, const uint8_t *payload, uint32_t n)
{
	uint8_t *p = amqp091_frame_header_put(out + out_count, type, channel, n);

	memcpy(p, payload, n);
	p[n] = one_in(4000) ? 0 : AMQP091_FRAME_END;
	out_count = (uint32_t)(p + n + 1 - out);
}

/* Properties of some kinds: none, a mode, a mode and a priority, a long identity, a table of headers. */
static uint32_t properties(uint8_t *p, unsigned kind)
{
	static const uint16_t flags[] = {0, 0x1000, 0x1800, 0x0080, 0x2000};
	uint8_t *at = amqp091_put16(p, flags[kind]);

	if (kind == 1 || kind == 2)
		at = amqp091_put8(at, 2);
	if (kind == 2)
		at = amqp091_put8(at, 5);
	if (kind == 3) {
		at = amqp091_put8(at, 120);
		memset(at, 'i', 120);
		at += 120;
	}
	if (kind == 4) {
		static const uint8_t entry[] = {1, 'h', 't', 1};
		at = amqp091_put32(at, sizeof(entry));
		at = amqp091_put_bytes(at, entry, sizeof(entry));
	}
	return (uint32_t)(at - p);
}

struct content {
	uint16_t channel;
	struct amqp091_method publish;
	unsigned kind;
};

static void say_content(const struct content *w, uint32_t bytes)
{
	static uint8_t body[2 * FRAME_MAX];
	uint8_t header[256];
	uint32_t at = 0;

	say_method(w->channel, &w->publish);
	uint8_t *p = amqp091_put64(amqp091_put16(amqp091_put16(header, AMQP091_CLASS_BASIC), 0), bytes);
	p += properties(p, w->kind);
	say_frame(AMQP091_FRAME_HEADER, w->channel, header, (uint32_t)(p - header));
	for (uint32_t i = 0; i < bytes; i++)
		body[i] = (uint8_t)unit_random();
	while (at < bytes) {
		uint32_t most = FRAME_MAX - AMQP091_FRAME_OVERHEAD, piece = bytes - at;
		if (piece > most)
			piece = most;
		if (piece > 1 && one_in(12))
			piece = 1 + unit_random_below(piece - 1);
		say_frame(AMQP091_FRAME_BODY, w->channel, body + at, piece);
		at += piece;
	}
}

/* A run of contents that are alike, but for what is changed now and then. */
static void say_contents(void)
{
	struct content w = {.channel = (uint16_t)(1 + unit_random_below(CHANNELS)),
		.publish = {.id = AMQP091_METHOD_BASIC_PUBLISH},
		.kind = unit_random_below(5)};
	struct amqp091_basic_publish *a = &w.publish.args.basic_publish;
	uint32_t bytes = one_in(6) ? unit_random_below(2 * FRAME_MAX) : unit_random_below(80);

	a->exchange = str(one_in(300) ? "no-such" : ONE_OF(exchanges));
	a->routing_key = str(one_in(20) ? "nobody" : ONE_OF(queues));
	a->mandatory = one_in(8);
	for (unsigned n = unit_random_below(12); n && out_count < OUT_ROOM / 2; n--) {
		if (one_in(4))
			bytes = unit_random_below(100);
		if (one_in(20))
			w.kind = unit_random_below(5);
		if (one_in(20))
			w.channel = (uint16_t)(1 + unit_random_below(CHANNELS));
		say_content(&w, bytes);
	}
}

static void say_consume(uint16_t channel)
{
	static const char *const tags[] = {"a", "b", "a-tag-that-is-somewhat-longer-than-the-others-are"};
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_CONSUME};

	if (one_in(3)) {
		m.id = AMQP091_METHOD_BASIC_CANCEL;
		m.args.basic_cancel.consumer_tag = str(ONE_OF(tags));
	} else {
		m.args.basic_consume.queue = str(ONE_OF(queues));
		m.args.basic_consume.consumer_tag = str(ONE_OF(tags));
		m.args.basic_consume.no_ack = one_in(2);
	}
	say_method(channel, &m);
}

/* One after the other from some tag on, which nobody says are there. */
static void say_acks(uint16_t channel)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_ACK};
	const struct amqp091_channel *ch = channel_find(said_by, channel);
	uint64_t tag = 1;

	if (ch && !cds_list_empty((struct cds_list_head *)(uintptr_t)&ch->unacked))
		tag = cds_list_first_entry(&ch->unacked, struct unacked, link)->tag;
	for (unsigned n = 1 + unit_random_below(10); n; n--) {
		m.args.basic_ack.delivery_tag = tag;
		m.args.basic_ack.multiple = one_in(10);
		say_method(channel, &m);
		tag += one_in(40) ? 2 : 1;
	}
}

static void say_other(uint16_t channel)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_GET};

	switch (unit_random_below(6)) {
	case 0:
		m.args.basic_get.queue = str(ONE_OF(queues));
		m.args.basic_get.no_ack = one_in(2);
		break;
	case 1:
		m.id = AMQP091_METHOD_BASIC_ACK;
		m.args.basic_ack.multiple = true; /* all */
		break;
	case 2:
		m.id = AMQP091_METHOD_BASIC_NACK;
		m.args.basic_nack.multiple = true;
		m.args.basic_nack.requeue = one_in(2);
		break;
	case 3:
		m.id = AMQP091_METHOD_BASIC_QOS;
		m.args.basic_qos.prefetch_count = (uint16_t)unit_random_below(20);
		break;
	case 4:
		m.id = AMQP091_METHOD_CONFIRM_SELECT;
		break;
	default:
		m.id = AMQP091_METHOD_QUEUE_PURGE;
		m.args.queue_purge.queue = str(ONE_OF(queues));
	}
	say_method(channel, &m);
}

/* Channels that an exception has closed are opened again. */
static void say_open(void)
{
	for (uint16_t n = 1; n <= CHANNELS; n++) {
		const struct amqp091_channel *ch = channel_find(said_by, n);
		if (ch && !ch->closing)
			continue;
		if (ch)
			say_method(n, &(struct amqp091_method){.id = AMQP091_METHOD_CHANNEL_CLOSE_OK});
		say_method(n, &(struct amqp091_method){.id = AMQP091_METHOD_CHANNEL_OPEN});
	}
}

static void say_something(const struct client *c)
{
	uint16_t channel = (uint16_t)(1 + unit_random_below(CHANNELS));

	out_count = 0;
	said_by = c->link.conn.user;
	say_open();
	for (unsigned n = unit_random_below(4); n && out_count < OUT_ROOM / 2; n--) {
		if (!one_in(3))
			say_contents();
		else if (one_in(2))
			say_acks(channel);
		else if (one_in(2))
			say_consume(channel);
		else
			say_other(channel);
	}
}

static void setup(struct client *c, unsigned i)
{
	struct client_options o = client_options();
	struct amqp091_method bind = {.id = AMQP091_METHOD_QUEUE_BIND};

	o.frame_max = FRAME_MAX;
	client_open_with(&c[i], c[i].rig, &o);
	for (uint16_t n = 1; n <= CHANNELS; n++)
		client_channel(&c[i], n);
	if (i)
		return;
	for (unsigned q = 0; q < 3; q++) {
		client_declare(&c[i], 1, queues[q]);
		for (unsigned x = 2; x < 5; x++) {
			bind.args.queue_bind.queue = str(queues[q]);
			bind.args.queue_bind.exchange = str(exchanges[x]);
			bind.args.queue_bind.routing_key = str(queues[q]);
			bind.args.queue_bind.no_wait = true;
			client_method(&c[i], 1, &bind);
		}
	}
	rig_settle(c[i].rig);
}

static void begin(void)
{
	for (unsigned s = 0; s < SIDES; s++) {
		test_begin(&rigs[s], NULL);
		rigs[s].server->plain = s == SIDES - 1;
		for (unsigned i = 0; i < CLIENTS; i++) {
			struct rig *r = &rigs[s];
			clients[s][i].rig = r;
			setup(clients[s], i);
		}
	}
}

/* The same pieces and the same slowness for both. */
static void chances(unsigned i)
{
	uint32_t segment = 1 + unit_random_below(512), burst = 1 + unit_random_below(20000);
	uint32_t rate = one_in(3) ? unit_random_below(3000) : 1 << 20;
	uint32_t limit = one_in(3) ? 5000 + unit_random_below(20000) : 65536;

	for (unsigned s = 0; s < SIDES; s++) {
		struct link *l = &clients[s][i].link;
		l->segment = segment;
		l->burst = burst;
		l->rx_limit = RX_LIMIT;
		/* The plain way asks for room more often, and so finds little sooner. */
		l->tx_eager = true;
		l->tx_rate = rate;
		if (l->out.end == l->sent)
			l->tx_limit = limit;
	}
}

static bool same_output(unsigned i)
{
	struct link_bytes *a = &clients[0][i].link.out, *b = &clients[1][i].link.out;
	bool same = a->end == b->end && memcmp(a->data + a->at, b->data + b->at, a->end - a->at) == 0;

	a->at = a->end;
	b->at = b->end;
	return same && link_over(&clients[0][i].link) == link_over(&clients[1][i].link);
}

static bool same_counts(void)
{
	struct broker_core_stats core[SIDES];
	struct message_store_stats store[SIDES];

	for (unsigned s = 0; s < SIDES; s++) {
		broker_core_stats(rigs[s].core, &core[s]);
		store[s] = rig_store(&rigs[s]);
	}
	return memcmp(&rigs[0].server->counters, &rigs[1].server->counters,
		       sizeof(struct amqp091_counters)) == 0 &&
	       memcmp(&core[0], &core[1], sizeof(core[0])) == 0 &&
	       store[0].cells.used == store[1].cells.used && store[0].blocks.used == store[1].blocks.used;
}

static bool turn(void)
{
	bool same = true;

	for (unsigned i = 0; i < CLIENTS; i++) {
		chances(i);
		if (one_in(2) && !link_over(&clients[0][i].link)) {
			say_something(&clients[0][i]);
			for (unsigned s = 0; s < SIDES; s++)
				link_feed(&clients[s][i].link, out, out_count);
		}
	}
	for (unsigned s = 0; s < SIDES; s++)
		rig_turn(&rigs[s]);
	for (unsigned i = 0; i < CLIENTS; i++)
		same &= same_output(i);
	return same && same_counts();
}

static bool same_envelope(const struct message *a, const struct message *b)
{
	return message_persistent(a) == message_persistent(b) && message_priority(a) == message_priority(b) &&
	       message_received_us(a) == message_received_us(b) && message_protocol(a) == message_protocol(b);
}

/* What is left in the queues, with what no delivery shows. */
static bool same_messages(const char *queue)
{
	struct message *m[SIDES];
	bool same = true;

	do {
		for (unsigned s = 0; s < SIDES; s++)
			m[s] = rig_take(&rigs[s], queue);
		same &= !m[0] == !m[1] && (!m[0] || same_envelope(m[0], m[1]));
		for (unsigned s = 0; s < SIDES; s++)
			if (m[s]) {
				left_over++;
				message_unref(broker_core_cache(rigs[s].core), m[s]);
			}
	} while (m[0] && m[1]);
	return same;
}

static void finish(void)
{
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_TRUE(same_messages(queues[i]));
	for (unsigned s = 0; s < SIDES; s++) {
		fast_contents += rigs[s].server->fast_contents;
		fast_run_contents += rigs[s].server->fast_run_contents;
		fast_deliveries += rigs[s].server->fast_deliveries;
		fast_settled += rigs[s].server->fast_settled;
		for (unsigned i = 0; i < CLIENTS; i++)
			client_drop(&clients[s][i]);
		rig_settle(&rigs[s]);
	}
	for (unsigned s = 0; s < SIDES; s++)
		test_end(&rigs[s]);
}

static void same_effect(void)
{
	fast_contents = fast_run_contents = fast_deliveries = fast_settled = 0;
	for (unsigned run = 0; run < RUNS; run++) {
		begin();
		for (unsigned t = 0; t < TURNS; t++)
			if (!turn()) {
				printf("# run %u, turn %u\n", run, t);
				CU_FAIL("the fast ways and the plain one differ");
				break;
			}
		finish();
	}
	printf("# fast: %llu contents, %llu of them in runs, %llu deliveries, %llu acks\n",
		(unsigned long long)fast_contents, (unsigned long long)fast_run_contents,
		(unsigned long long)fast_deliveries, (unsigned long long)fast_settled);
	CU_ASSERT_TRUE(fast_contents > 1000 && fast_run_contents > 300 && fast_deliveries > 1000 &&
		       fast_settled > 100 && left_over > 100);
}

static const struct unit_test tests[] = {
	{"same_effect", same_effect},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
