/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer: whatever a client sends, in whatever pieces, over whatever transport, nothing of it is left when
 * it is gone, and a good client on the same server publishes and gets. One server serves all inputs.
 *
 * An input is a line of settings (struct settings, an octet each) and what the client sends: as it is, or as
 * records that are made into frames, so that mutations do not all end at a frame's length. */
#include "broker/amqp091/codec.h"
#include "broker/amqp091/testing/rig.h"
#include "runtime/log.h"
#include "tests/fuzz/fuzz.h"

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { RECORD_HEAD = 4, SESSION_ROOM = 4096, TURNS_AFTER_END = 3, TIME_STEPS = 12 };

enum flags {
	HANDSHAKE = 1, /* header to open, channel 1 and the queue "q" come first */
	RECORDS = 2,
	ENDS_WITH_FIN = 4,
	WITNESS = 8, /* another client consumes from "q" */
	HEARTBEAT = 16,
	REMOTE = 32, /* not on the local link */
};

struct settings {
	uint8_t flags, segment, burst, tx_limit, tx_rate, faults, blocks_held, time_step;
};

/* What a good client says at once, or a fuzzed one first. */
struct script {
	uint8_t bytes[SESSION_ROOM];
	uint32_t n;
};

static struct rig rig;
static struct rte_mempool *pool;
static struct script opening, consuming, good;

static struct amqp091_shortstr str(const char *text)
{
	return (struct amqp091_shortstr){(const uint8_t *)text, (uint8_t)strlen(text)};
}

static void say(struct script *s, uint16_t channel, const struct amqp091_method *m)
{
	ssize_t n = amqp091_method_frame(s->bytes + s->n, SESSION_ROOM - s->n, channel, m);

	FUZZ_MUST(n > 0);
	s->n += (uint32_t)n;
}

static void say_plain(struct script *s, uint16_t channel, uint32_t id)
{
	say(s, channel, &(struct amqp091_method){.id = id});
}

static void say_opening(struct script *s, uint16_t heartbeat_s)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_START_OK};

	memcpy(s->bytes, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	s->n = AMQP091_PROTOCOL_HEADER_SIZE;
	m.args.connection_start_ok.mechanism = str("PLAIN");
	m.args.connection_start_ok.response = (struct amqp091_longstr){(const uint8_t *)"\0guest\0guest", 12};
	say(s, 0, &m);
	m = (struct amqp091_method){.id = AMQP091_METHOD_CONNECTION_TUNE_OK};
	m.args.connection_tune_ok = (struct amqp091_connection_tune_ok){100, 4096, heartbeat_s};
	say(s, 0, &m);
	m = (struct amqp091_method){.id = AMQP091_METHOD_CONNECTION_OPEN};
	m.args.connection_open.virtual_host = str("/");
	say(s, 0, &m);
	say_plain(s, 1, AMQP091_METHOD_CHANNEL_OPEN);
}

static void say_declare(struct script *s, const char *queue, bool exclusive)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare.queue = str(queue);
	m.args.queue_declare.exclusive = exclusive;
	say(s, 1, &m);
}

static void say_good(struct script *s)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_PUBLISH};
	struct amqp091_content_header h = {AMQP091_CLASS_BASIC, 4, (const uint8_t *)"\0\0", 2};

	say_opening(s, 0);
	say_declare(s, "", true);
	say_plain(s, 1, AMQP091_METHOD_CONFIRM_SELECT);
	m.args.basic_publish.mandatory = true;
	m.args.basic_publish.exchange = str("amq.fanout");
	struct amqp091_method bind = {.id = AMQP091_METHOD_QUEUE_BIND};
	bind.args.queue_bind.exchange = str("amq.fanout");
	say(s, 1, &bind);
	say(s, 1, &m);
	uint8_t *p = amqp091_content_header_frame_put(s->bytes + s->n, 1, &h);
	p = amqp091_frame_header_put(p, AMQP091_FRAME_BODY, 1, 4);
	p = amqp091_put8(amqp091_put_bytes(p, (const uint8_t *)"good", 4), AMQP091_FRAME_END);
	s->n = (uint32_t)(p - s->bytes);
	say_plain(s, 1, AMQP091_METHOD_BASIC_GET);
	say_plain(s, 0, AMQP091_METHOD_CONNECTION_CLOSE);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char *eal[] = {"fuzz", "--no-huge", "-m", "64", "--no-pci", "--no-shconf", "--iova-mode=va",
		"--no-telemetry", "--log-level=*:error", "-l", "0", NULL};
	struct rig_options o = rig_options();
	struct amqp091_method consume = {.id = AMQP091_METHOD_BASIC_CONSUME};

	(void)argc;
	(void)argv;
	FUZZ_MUST(rte_eal_init(11, eal) >= 0);
	pool = rte_pktmbuf_pool_create("fuzz", 8191, 0, 0, RTE_PKTMBUF_HEADROOM + 512, SOCKET_ID_ANY);
	FUZZ_MUST(pool);
	log_set_level(LOG_LEVEL_ERROR);
	o.memory_bytes = 1 << 20;
	o.server.channels_max = 8;
	o.server.consumers_max = 6;
	o.server.unacked_max = 20;
	rig_open(&rig, pool, &o);
	say_opening(&opening, 0);
	say_declare(&opening, "q", false);
	consuming = opening;
	consume.args.basic_consume.queue = str("q");
	say(&consuming, 1, &consume);
	say_good(&good);
	return 0;
}

/* The server's whole answer: frames of these methods in this order, contents in between, and nothing else. */
static void check_good(const struct link *l)
{
	static const uint32_t want[] = {AMQP091_METHOD_CONNECTION_START, AMQP091_METHOD_CONNECTION_TUNE,
		AMQP091_METHOD_CONNECTION_OPEN_OK, AMQP091_METHOD_CHANNEL_OPEN_OK,
		AMQP091_METHOD_QUEUE_DECLARE_OK, AMQP091_METHOD_CONFIRM_SELECT_OK,
		AMQP091_METHOD_QUEUE_BIND_OK, AMQP091_METHOD_BASIC_GET_OK,
		AMQP091_METHOD_CONNECTION_CLOSE_OK};
	unsigned seen = 0;
	bool body = false;
	struct amqp091_frame f;

	for (size_t at = 0; at < l->out.end;) {
		const uint8_t *p = l->out.data + at;
		int64_t n = amqp091_frame_parse(p, (uint32_t)(l->out.end - at), 4096, &f);
		FUZZ_MUST(n > 0);
		if (f.type == AMQP091_FRAME_METHOD) {
			FUZZ_MUST(seen < sizeof(want) / sizeof(*want) && wire_get32(p + 7) == want[seen]);
			seen++;
		}
		if (f.type == AMQP091_FRAME_BODY) {
			FUZZ_MUST(f.size == 4 && memcmp(p + 7, "good", 4) == 0);
			body = true;
		}
		at += (size_t)n;
	}
	FUZZ_MUST(seen == sizeof(want) / sizeof(*want) && body);
}

static void good_client(void)
{
	struct link l;

	rig_attach(&rig, &l);
	FUZZ_MUST(!l.refused);
	link_feed(&l, good.bytes, good.n);
	rig_settle(&rig);
	FUZZ_MUST(l.shut);
	check_good(&l);
	rig_detach(&rig, &l);
}

/* Whatever was asked, the answer is whole frames; a cut one only where the connection ended. */
static void check_frames(const struct link *l)
{
	struct amqp091_frame f;

	if (l->out.end >= 8 && memcmp(l->out.data, "AMQP", 4) == 0)
		return;
	for (size_t at = 0; at < l->out.end;) {
		int64_t n = amqp091_frame_parse(l->out.data + at, (uint32_t)(l->out.end - at), 16384, &f);
		FUZZ_MUST(n >= 0);
		if (n == 0)
			break;
		at += (size_t)n;
	}
	FUZZ_MUST(l->writes_late == 0);
}

static void feed_records(struct link *l, const uint8_t *p, size_t n)
{
	static const uint8_t types[] = {
		AMQP091_FRAME_METHOD, AMQP091_FRAME_HEADER, AMQP091_FRAME_BODY, AMQP091_FRAME_HEARTBEAT};
	uint8_t head[AMQP091_FRAME_HEADER_SIZE], end = AMQP091_FRAME_END;

	while (n >= RECORD_HEAD) {
		uint32_t size = wire_get16(p + 2);
		if (size > n - RECORD_HEAD)
			size = (uint32_t)(n - RECORD_HEAD);
		amqp091_frame_header_put(head, types[p[0] & 3], p[1], size);
		link_feed(l, head, sizeof(head));
		link_feed(l, p + RECORD_HEAD, size);
		link_feed(l, &end, 1);
		p += RECORD_HEAD + size;
		n -= RECORD_HEAD + size;
	}
}

static void set_up(struct link *l, const struct settings *s)
{
	l->conn.local_link = !(s->flags & REMOTE);
	l->segment = s->segment ? s->segment : UINT32_MAX;
	l->burst = s->burst ? s->burst * 16u : UINT32_MAX;
	l->rx_limit = 16384;
	l->tx_limit = 4096 + s->tx_limit * 64u;
	l->tx_rate = s->tx_rate * 64u;
	l->faults = s->faults;
	if (s->flags & HANDSHAKE) {
		struct script o = opening;
		if (s->flags & HEARTBEAT) {
			say_opening(&o, 1);
			say_declare(&o, "q", false);
		}
		link_feed(l, o.bytes, o.n);
	}
}

static unsigned hold_blocks(void **blocks, uint8_t share)
{
	struct message_cache *store = broker_core_cache(rig.core);
	unsigned most = rig_store(&rig).blocks.capacity * share / 255;

	unsigned n = 0;

	while (n < most && (blocks[n] = message_store_block_take(store)))
		n++;
	return n;
}

static void run(const struct settings *s, const uint8_t *data, size_t bytes)
{
	static void *blocks[512];
	struct link l, witness;
	rig_attach(&rig, &l);
	set_up(&l, s);
	if (s->flags & WITNESS) {
		rig_attach(&rig, &witness);
		link_feed(&witness, consuming.bytes, consuming.n);
	}
	if (s->flags & RECORDS)
		feed_records(&l, data, bytes);
	else
		link_feed(&l, data, bytes);
	unsigned held = hold_blocks(blocks, s->blocks_held);
	rig_settle(&rig);
	while (held)
		message_store_block_give(broker_core_cache(rig.core), blocks[--held]);
	for (unsigned i = 0; i < TIME_STEPS; i++) {
		rig.now_us += s->time_step * 1000ull;
		rig_turn(&rig);
	}
	l.tx_rate = l.tx_limit;
	rig_settle(&rig);
	l.fin = s->flags & ENDS_WITH_FIN;
	rig_settle(&rig);
	check_frames(&l);
	if (s->flags & WITNESS) {
		check_frames(&witness);
		rig_detach(&rig, &witness);
	}
	rig_detach(&rig, &l);
	for (unsigned i = 0; i < TURNS_AFTER_END; i++)
		rig_turn(&rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct settings s;

	if (bytes < sizeof(s))
		return 0;
	memcpy(&s, data, sizeof(s));
	run(&s, data + sizeof(s), bytes - sizeof(s));
	rig_clear(&rig);
	const char *leak = rig_leak(&rig);
	if (leak)
		fprintf(stderr, "not all given back: %s\n", leak);
	FUZZ_MUST(!leak);
	good_client();
	rig_turn(&rig);
	return 0;
}
