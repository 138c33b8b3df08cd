/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer: whatever a client sends, in whatever pieces, over whatever transport, nothing of it is left when
 * it is gone, and a good client on the same server publishes and gets. One server serves all inputs.
 *
 * An input is a line of settings (struct settings, an octet each) and what the client sends: as it is, or as
 * records that are made into frames, so that mutations do not all end at a frame's length. */
#include "tests/fuzz/amqp091_clients.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { RECORD_HEAD = 4, TURNS_AFTER_END = 3, TIME_STEPS = 12 };

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

static struct rig rig;
static struct script opening, consuming;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct rig_options o = rig_options();
	struct amqp091_method consume = {.id = AMQP091_METHOD_BASIC_CONSUME};

	(void)argc;
	(void)argv;
	o.memory_bytes = 1 << 20;
	o.server.channels_max = 8;
	o.server.consumers_max = 6;
	o.server.unacked_max = 20;
	fuzz_rig_open(&rig, &o);
	fuzz_say_opening(&opening, 0);
	fuzz_say_declare(&opening, "q", false);
	consuming = opening;
	consume.args.basic_consume.queue = fuzz_str("q");
	fuzz_say(&consuming, 1, &consume);
	return 0;
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
			fuzz_say_opening(&o, 1);
			fuzz_say_declare(&o, "q", false);
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
	fuzz_check_frames(&l);
	if (s->flags & WITNESS) {
		fuzz_check_frames(&witness);
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
	fuzz_good_client(&rig, 0);
	rig_turn(&rig);
	return 0;
}
