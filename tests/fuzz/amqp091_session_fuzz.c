/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer: sessions of real clients (tests/fuzz/record), with mutations that know frames, methods and
 * arguments, against two cores. No crash, whole frames, no connection that stays, nothing that leaks, and
 * good clients on both cores are served meanwhile and afterwards.
 *
 * An input is records of kind and connection (an octet each), a length (two) and octets. With
 * GODWIT_FUZZ_REPLAY set the recorded ends are held against what happens: a corpus that has gone stale fails.
 */
#include "tests/fuzz/amqp091_clients.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

enum kinds { FRAME, END, CLOSES, ADVANCE, ANSWERED = 0x80 };

enum {
	CORES = 2,
	CONNECTIONS = 6,
	RECORD_HEAD = 4,
	RECORDS_MAX = 1024,
	INPUT_MAX = 32768,
	NAMES_MAX = 256,
	RANDOM_BYTES = 22, /* of a name that the broker made */
	RX_LIMIT = 256 * 1024,
	END_STEPS = 30, /* of END_STEP_US: longer than any timeout of the server */
	END_STEP_US = 500000,
	HEAD = AMQP091_FRAME_HEADER_SIZE,
};

struct record {
	uint8_t kind, conn;
	uint16_t bytes;
	const uint8_t *data;
};

struct replayed {
	struct link links[CONNECTIONS];
	bool attached[CONNECTIONS];
	size_t scanned[CONNECTIONS];
	uint8_t names[NAMES_MAX][RANDOM_BYTES];
	unsigned name_count;
};

static const char placeholder[] = "made-by-the-broker";
static const char *const vhosts[] = {"/", "other"};
static const struct auth_user users[] = {{"guest", "guest", NULL}, {"guess", "guest", NULL}};
static const struct access_permission permissions[] = {
	{"guest", "/", {".*", ".*", ".*"}},
	{"guess", "/", {"q", ".*", "^amq"}},
	{"guess", "other", {".*", ".*", ".*"}},
};
static struct rig rig;
static struct replayed session;
static bool replay;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct rig_options o = rig_options();

	(void)argc;
	(void)argv;
	replay = getenv("GODWIT_FUZZ_REPLAY") != NULL;
	o.cores = CORES;
	o.link_records = 16;
	o.users = users;
	o.user_count = sizeof(users) / sizeof(*users);
	o.permissions = permissions;
	o.permission_count = sizeof(permissions) / sizeof(*permissions);
	o.vhosts = vhosts;
	o.vhost_count = sizeof(vhosts) / sizeof(*vhosts);
	/* What the good clients need cannot be used up by an input; what a client has of its own is scarce.
	 */
	o.limits.queues = o.limits.exchanges = o.limits.bindings = o.limits.consumers = 2000;
	o.server.channels_max = o.server.consumers_max = 1000;
	o.server.frame_max_bytes = 131072;
	o.server.message_bytes_max = 8192;
	o.server.refuse_persistent = false;
	o.server.heartbeat_s = 60;
	o.memory_bytes = 16 << 20;
	fuzz_rig_open(&rig, &o);
	return 0;
}

static unsigned parse(struct record *records, const uint8_t *p, size_t n)
{
	unsigned count = 0;

	for (; n >= RECORD_HEAD && count < RECORDS_MAX; count++) {
		struct record *r = &records[count];
		*r = (struct record){p[0], p[1] % CONNECTIONS, wire_get16(p + 2), p + RECORD_HEAD};
		if (r->bytes > n - RECORD_HEAD)
			r->bytes = (uint16_t)(n - RECORD_HEAD);
		p += RECORD_HEAD + r->bytes;
		n -= RECORD_HEAD + r->bytes;
	}
	return count;
}

/* Names that the broker made */

static bool name_known(const struct replayed *s, const uint8_t *name)
{
	for (unsigned i = 0; i < s->name_count; i++) {
		if (memcmp(s->names[i], name, RANDOM_BYTES) == 0)
			return true;
	}
	return false;
}

static void name_note(struct replayed *s, const uint8_t *name)
{
	if (s->name_count < NAMES_MAX && !name_known(s, name))
		memcpy(s->names[s->name_count++], name, RANDOM_BYTES);
}

static void names_find(struct replayed *s, unsigned i)
{
	static const char *const prefixes[] = {"amq.gen-", "amq.rabbitmq.reply-to."};
	const struct link *l = &s->links[i];

	for (size_t at = s->scanned[i]; at < l->out.end; at++) {
		for (unsigned k = 0; k < 2; k++) {
			size_t bytes = strlen(prefixes[k]);
			if (l->out.end - at >= bytes + RANDOM_BYTES &&
				memcmp(l->out.data + at, prefixes[k], bytes) == 0)
				name_note(s, l->out.data + at + bytes);
		}
	}
	s->scanned[i] = l->out.end;
}

static void names_fill_in(const struct replayed *s, uint8_t *p, size_t n)
{
	const size_t bytes = sizeof(placeholder) - 1;
	uint8_t *end = p + n, *at;

	while ((at = memmem(p, (size_t)(end - p), placeholder, bytes)) && end - at >= RANDOM_BYTES) {
		unsigned number = 0;
		for (size_t i = bytes; i < RANDOM_BYTES; i++)
			number = number * 10 + (unsigned)(at[i] - '0');
		if (number < s->name_count)
			memcpy(at, s->names[number], RANDOM_BYTES);
		p = at + RANDOM_BYTES;
	}
}

/* Replay */

static struct link *connection(struct replayed *s, unsigned i)
{
	struct link *l = &s->links[i];

	if (s->attached[i] && link_over(l)) {
		fuzz_check_frames(l);
		rig_detach(&rig, l);
		s->attached[i] = false;
	}
	if (!s->attached[i]) {
		rig_attach_at(&rig, l, i % CORES);
		l->rx_limit = RX_LIMIT;
		s->attached[i] = true;
		s->scanned[i] = 0;
	}
	return l;
}

static void settle(struct replayed *s)
{
	rig_settle(&rig);
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		if (s->attached[i])
			names_find(s, i);
	}
}

static unsigned closes_seen(const struct link *l, uint8_t *codes, unsigned max)
{
	struct amqp091_frame f;
	unsigned n = 0;

	for (size_t at = 0; at < l->out.end && n + 2 <= max;) {
		const uint8_t *p = l->out.data + at;
		int64_t bytes = amqp091_frame_parse(p, (uint32_t)(l->out.end - at), RX_LIMIT, &f);
		if (bytes <= 0)
			break;
		uint32_t id = f.type == AMQP091_FRAME_METHOD ? wire_get32(p + HEAD) : 0;
		if (id == AMQP091_METHOD_CONNECTION_CLOSE || id == AMQP091_METHOD_CHANNEL_CLOSE)
			memcpy(codes + n, p + HEAD + 4, 2), n += 2;
		else if (id == AMQP091_METHOD_CONNECTION_CLOSE_OK)
			wire_put16(codes + n, 200), n += 2;
		at += (size_t)bytes;
	}
	return n;
}

static void check_closes(const struct replayed *s, const struct record *r)
{
	uint8_t codes[512];

	if (!replay)
		return;
	FUZZ_MUST(s->attached[r->conn]);
	unsigned n = closes_seen(&s->links[r->conn], codes, sizeof(codes));
	FUZZ_MUST(n == r->bytes && memcmp(codes, r->data, n) == 0);
}

static void advance(const struct record *r)
{
	uint64_t us = r->bytes >= 2 ? wire_get16(r->data) * 1000ull : 0;

	rig_settle(&rig);
	rig_advance(&rig, us < 5000000 ? us : 5000000);
}

static void play(struct replayed *s, const struct record *r)
{
	static uint8_t room[UINT16_MAX];

	switch (r->kind & ~ANSWERED) {
	case FRAME:
		memcpy(room, r->data, r->bytes);
		names_fill_in(s, room, r->bytes);
		link_feed(connection(s, r->conn), room, r->bytes);
		break;
	case END:
		if (s->attached[r->conn])
			s->links[r->conn].fin = true;
		break;
	case CLOSES:
		check_closes(s, r);
		break;
	case ADVANCE:
		advance(r);
		break;
	default:
		break;
	}
	if (r->kind & ANSWERED)
		settle(s);
}

/* Every connection is gone after its FIN, whatever it has asked for. */
static void finish(struct replayed *s)
{
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		if (s->attached[i])
			s->links[i].fin = true;
	}
	settle(s);
	for (unsigned i = 0; i < END_STEPS; i++) {
		rig.now_us += END_STEP_US;
		rig_turn(&rig);
	}
	settle(s);
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		if (!s->attached[i])
			continue;
		FUZZ_MUST(link_over(&s->links[i]));
		fuzz_check_frames(&s->links[i]);
		rig_detach(&rig, &s->links[i]);
		s->attached[i] = false;
	}
	rig_turn(&rig);
}

static void good_clients(void)
{
	for (unsigned core = 0; core < CORES; core++)
		fuzz_good_client(&rig, core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct record records[RECORDS_MAX];
	unsigned n = parse(records, data, bytes);

	session.name_count = 0;
	for (unsigned i = 0; i < n; i++) {
		if (i == n / 2 && !replay)
			good_clients();
		play(&session, &records[i]);
	}
	settle(&session);
	good_clients();
	finish(&session);
	rig_clear(&rig);
	const char *leak = rig_leak(&rig);
	if (leak)
		fprintf(stderr, "not all given back: %s\n", leak);
	FUZZ_MUST(!leak);
	good_clients();
	rig_turn(&rig);
	return 0;
}

/* Mutations */

static uint64_t chance;

static unsigned below(unsigned n)
{
	chance = chance * 6364136223846793005ull + 1442695040888963407ull;
	return n ? (unsigned)((chance >> 33) % n) : 0;
}

static uint8_t made[8][8192]; /* what mutations make, until it is written out */
static unsigned made_count;

static void record_take(struct record *r, const uint8_t *p, size_t n)
{
	memmove(made[made_count], p, n);
	r->data = made[made_count++];
	r->bytes = (uint16_t)n;
}

static void arguments(struct amqp091_table *out)
{
	static const char *const keys[] = {"x-message-ttl", "x-max-length", "x-max-length-bytes",
		"x-overflow", "x-dead-letter-exchange", "x-dead-letter-routing-key", "x-max-priority",
		"x-priority", "x-single-active-consumer", "x-expires", "alternate-exchange", "x-match", "CC",
		"BCC", "hash-header", "x-message-deduplication", "x-deduplication-header"};
	static const char *const words[] = {"drop-head", "reject-publish", "reject-publish-dlx", "amq.fanout",
		"", "q", "any", "all", "1", "amq.topic"};
	static uint8_t room[512];
	struct amqp091_table_builder b;

	amqp091_table_build(&b, room, sizeof(room));
	for (unsigned n = 1 + below(4); n; n--) {
		const char *key = keys[below(sizeof(keys) / sizeof(*keys))];
		switch (below(4)) {
		case 0:
			amqp091_table_add_bool(&b, key, below(2));
			break;
		case 1:
			amqp091_table_add_cstring(&b, key, words[below(sizeof(words) / sizeof(*words))]);
			break;
		case 2:
			amqp091_table_add_int64(&b, key, (int64_t)below(12) - 1);
			break;
		default:
			amqp091_table_add_int32(&b, key, (int32_t)below(2000));
			break;
		}
	}
	FUZZ_MUST(amqp091_table_finish(&b, out) == 0);
}

static struct amqp091_table *arguments_of(struct amqp091_method *m)
{
	switch (m->id) {
	case AMQP091_METHOD_QUEUE_DECLARE:
		return &m->args.queue_declare.arguments;
	case AMQP091_METHOD_QUEUE_BIND:
		return &m->args.queue_bind.arguments;
	case AMQP091_METHOD_EXCHANGE_DECLARE:
		return &m->args.exchange_declare.arguments;
	case AMQP091_METHOD_EXCHANGE_BIND:
		return &m->args.exchange_bind.arguments;
	case AMQP091_METHOD_BASIC_CONSUME:
		return &m->args.basic_consume.arguments;
	default:
		return NULL;
	}
}

static bool is_frame(const struct record *r)
{
	return (r->kind & ~ANSWERED) == FRAME && r->bytes >= HEAD + 5 && r->data[0] != 'A';
}

static void write_method(struct record *r, uint16_t channel, const struct amqp091_method *m)
{
	ssize_t n = amqp091_method_frame(made[made_count], sizeof(made[0]), channel, m);

	if (n > 0) {
		r->data = made[made_count++];
		r->bytes = (uint16_t)n;
	}
}

static void change_arguments(struct record *r)
{
	struct amqp091_method m;

	if (!is_frame(r) || r->data[0] != AMQP091_FRAME_METHOD ||
		amqp091_method_decode(r->data + HEAD, r->bytes - HEAD - 1u, &m))
		return;
	struct amqp091_table *t = arguments_of(&m);
	if (t) {
		arguments(t);
		write_method(r, wire_get16(r->data + 1), &m);
	}
}

/* Those of the next method from there that has any. */
static void change_any_arguments(struct record *records, unsigned n, unsigned at)
{
	unsigned before = made_count;

	for (unsigned i = 0; i < n && made_count == before; i++)
		change_arguments(&records[(at + i) % n]);
}

/* A request without arguments of its own, or with none but defaults. */
static void change_method(struct record *r)
{
	static const uint32_t ids[] = {AMQP091_METHOD_TX_SELECT, AMQP091_METHOD_TX_COMMIT,
		AMQP091_METHOD_TX_ROLLBACK, AMQP091_METHOD_CONFIRM_SELECT, AMQP091_METHOD_BASIC_RECOVER,
		AMQP091_METHOD_CHANNEL_OPEN, AMQP091_METHOD_CHANNEL_CLOSE, AMQP091_METHOD_CHANNEL_FLOW,
		AMQP091_METHOD_QUEUE_DELETE, AMQP091_METHOD_QUEUE_PURGE, AMQP091_METHOD_BASIC_GET,
		AMQP091_METHOD_BASIC_NACK, AMQP091_METHOD_BASIC_ACK, AMQP091_METHOD_CONNECTION_CLOSE,
		AMQP091_METHOD_CHANNEL_CLOSE_OK};
	struct amqp091_method m = {.id = ids[below(sizeof(ids) / sizeof(*ids))]};

	if (is_frame(r))
		write_method(r, wire_get16(r->data + 1), &m);
}

static void change_properties(struct record *r)
{
	static const char *const expirations[] = {"0", "1", "50", "-1", "x"};
	struct amqp091_basic_properties p = {.flags = AMQP091_BASIC_EXPIRATION | AMQP091_BASIC_HEADERS |
						      AMQP091_BASIC_REPLY_TO | AMQP091_BASIC_PRIORITY};
	uint8_t room[1024];

	if (!is_frame(r) || r->data[0] != AMQP091_FRAME_HEADER || r->bytes < HEAD + 14)
		return;
	p.flags &= (uint16_t) ~(below(2) ? AMQP091_BASIC_EXPIRATION : below(2) ? AMQP091_BASIC_HEADERS : 0);
	p.expiration = fuzz_str(expirations[below(5)]);
	p.reply_to = fuzz_str(below(2) ? "amq.rabbitmq.reply-to" : "q");
	p.priority = (uint8_t)below(256);
	arguments(&p.headers);
	uint8_t *end = amqp091_frame_header_put(room, AMQP091_FRAME_HEADER, wire_get16(r->data + 1),
		(uint32_t)(12 + amqp091_basic_properties_size(&p)));
	end = amqp091_put_bytes(end, r->data + HEAD, 12);
	end = amqp091_put8(amqp091_basic_properties_put(end, &p), AMQP091_FRAME_END);
	record_take(r, room, (size_t)(end - room));
}

static void change_octets(struct record *r)
{
	static const uint8_t values[] = {0, 1, 2, 3, 5, 0x7f, 0x80, 0xff, 0xce};
	uint8_t room[sizeof(made[0])];

	if (!r->bytes || r->bytes > sizeof(room))
		return;
	memcpy(room, r->data, r->bytes);
	for (unsigned n = 1 + below(3); n; n--)
		room[is_frame(r) ? HEAD + below(r->bytes - HEAD - 1u) : below(r->bytes)] = values[below(9)];
	record_take(r, room, r->bytes);
}

static void change_channel(struct record *r)
{
	uint8_t room[sizeof(made[0])];

	if (!is_frame(r) || r->bytes > sizeof(room))
		return;
	memcpy(room, r->data, r->bytes);
	wire_put16(room + 1, (uint16_t)below(4));
	record_take(r, room, r->bytes);
}

static void insert(struct record *records, unsigned *n, unsigned at, struct record r)
{
	if (*n == RECORDS_MAX)
		return;
	memmove(records + at + 1, records + at, (*n - at) * sizeof(*records));
	records[at] = r;
	++*n;
}

static void drop(struct record *records, unsigned *n, unsigned at)
{
	--*n;
	memmove(records + at, records + at + 1, (*n - at) * sizeof(*records));
}

/* Cuts a record in two, with a turn, or with something of another connection, in between. */
static void split(struct record *records, unsigned *n, unsigned at)
{
	struct record rest = records[at];
	uint16_t first = (uint16_t)below(rest.bytes);

	rest.data += first;
	rest.bytes = (uint16_t)(rest.bytes - first);
	records[at].bytes = first;
	records[at].kind |= ANSWERED;
	insert(records, n, at + 1, rest);
}

static void pause_at(struct record *records, unsigned *n, unsigned at)
{
	struct record r = {.kind = ADVANCE | ANSWERED};
	uint8_t ms[2];

	wire_put16(ms, (uint16_t)below(3000));
	record_take(&r, ms, sizeof(ms));
	insert(records, n, at, r);
}

static void mutate_one(struct record *records, unsigned *n)
{
	unsigned at = below(*n), to = below(*n);
	struct record was = records[at];

	switch (below(15)) {
	case 0:
		insert(records, n, to, was);
		break;
	case 1:
		drop(records, n, at);
		break;
	case 2:
		records[at] = records[to];
		records[to] = was;
		break;
	case 3:
		drop(records, n, at);
		insert(records, n, to < *n ? to : *n, was);
		break;
	case 4:
		records[at].conn = (uint8_t)below(CONNECTIONS);
		break;
	case 5:
		records[at].kind ^= ANSWERED;
		break;
	case 6:
		records[at].bytes = (uint16_t)below(was.bytes);
		break;
	case 7:
		split(records, n, at);
		break;
	case 8:
		pause_at(records, n, at);
		break;
	case 9:
		change_channel(&records[at]);
		break;
	case 10:
		change_octets(&records[at]);
		break;
	case 11:
		change_properties(&records[at]);
		break;
	case 12:
		insert(records, n, at, was);
		change_method(&records[at]);
		break;
	case 13:
		records[at].kind = END;
		break;
	default:
		change_any_arguments(records, *n, at);
		break;
	}
}

static size_t write_out(uint8_t *p, size_t room, const struct record *records, unsigned n)
{
	size_t at = 0;

	for (unsigned i = 0; i < n && room - at >= RECORD_HEAD + (size_t)records[i].bytes; i++) {
		p[at] = records[i].kind;
		p[at + 1] = records[i].conn;
		wire_put16(p + at + 2, records[i].bytes);
		if (records[i].bytes)
			memcpy(p + at + RECORD_HEAD, records[i].data, records[i].bytes);
		at += RECORD_HEAD + records[i].bytes;
	}
	return at;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	static struct record records[RECORDS_MAX + 8];
	static uint8_t room[INPUT_MAX];

	chance = seed;
	made_count = 0;
	unsigned n = parse(records, data, size);
	if (n < 2 || below(50) == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	for (unsigned i = 1 + below(4); i && n > 1; i--)
		mutate_one(records, &n);
	size = write_out(room, max_size < sizeof(room) ? max_size : sizeof(room), records, n);
	memcpy(data, room, size);
	return size;
}
