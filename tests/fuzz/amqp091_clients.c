/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/amqp091_clients.h"

#include "runtime/log.h"
#include "tests/fuzz/fuzz.h"

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <string.h>

enum { FRAME_MAX = 1 << 20 };

static struct script good;

struct amqp091_shortstr fuzz_str(const char *text)
{
	return (struct amqp091_shortstr){(const uint8_t *)text, (uint8_t)strlen(text)};
}

void fuzz_say(struct script *s, uint16_t channel, const struct amqp091_method *m)
{
	ssize_t n = amqp091_method_frame(s->bytes + s->n, SCRIPT_ROOM - s->n, channel, m);

	FUZZ_MUST(n > 0);
	s->n += (uint32_t)n;
}

static void say_plain(struct script *s, uint16_t channel, uint32_t id)
{
	fuzz_say(s, channel, &(struct amqp091_method){.id = id});
}

void fuzz_say_opening(struct script *s, uint16_t heartbeat_s)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_CONNECTION_START_OK};

	memcpy(s->bytes, AMQP091_PROTOCOL_HEADER, AMQP091_PROTOCOL_HEADER_SIZE);
	s->n = AMQP091_PROTOCOL_HEADER_SIZE;
	m.args.connection_start_ok.mechanism = fuzz_str("PLAIN");
	m.args.connection_start_ok.response = (struct amqp091_longstr){(const uint8_t *)"\0guest\0guest", 12};
	fuzz_say(s, 0, &m);
	m = (struct amqp091_method){.id = AMQP091_METHOD_CONNECTION_TUNE_OK};
	m.args.connection_tune_ok = (struct amqp091_connection_tune_ok){100, 4096, heartbeat_s};
	fuzz_say(s, 0, &m);
	m = (struct amqp091_method){.id = AMQP091_METHOD_CONNECTION_OPEN};
	m.args.connection_open.virtual_host = fuzz_str("/");
	fuzz_say(s, 0, &m);
	say_plain(s, 1, AMQP091_METHOD_CHANNEL_OPEN);
}

void fuzz_say_declare(struct script *s, const char *queue, bool exclusive)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_QUEUE_DECLARE};

	m.args.queue_declare.queue = fuzz_str(queue);
	m.args.queue_declare.exclusive = exclusive;
	fuzz_say(s, 1, &m);
}

static void say_good(struct script *s)
{
	struct amqp091_method m = {.id = AMQP091_METHOD_BASIC_PUBLISH};
	struct amqp091_content_header h = {AMQP091_CLASS_BASIC, 4, (const uint8_t *)"\0\0", 2};

	fuzz_say_opening(s, 0);
	fuzz_say_declare(s, "", true);
	say_plain(s, 1, AMQP091_METHOD_CONFIRM_SELECT);
	m.args.basic_publish.mandatory = true;
	m.args.basic_publish.exchange = fuzz_str("amq.fanout");
	struct amqp091_method bind = {.id = AMQP091_METHOD_QUEUE_BIND};
	bind.args.queue_bind.exchange = fuzz_str("amq.fanout");
	fuzz_say(s, 1, &bind);
	fuzz_say(s, 1, &m);
	uint8_t *p = amqp091_content_header_frame_put(s->bytes + s->n, 1, &h);
	p = amqp091_frame_header_put(p, AMQP091_FRAME_BODY, 1, 4);
	p = amqp091_put8(amqp091_put_bytes(p, (const uint8_t *)"good", 4), AMQP091_FRAME_END);
	s->n = (uint32_t)(p - s->bytes);
	say_plain(s, 1, AMQP091_METHOD_BASIC_GET);
	say_plain(s, 0, AMQP091_METHOD_CONNECTION_CLOSE);
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

void fuzz_good_client(struct rig *rig, unsigned core)
{
	struct link l;

	rig_attach_at(rig, &l, core);
	FUZZ_MUST(!l.refused);
	link_feed(&l, good.bytes, good.n);
	rig_settle(rig);
	check_good(&l);
	FUZZ_MUST(!l.shut); /* who asked for the end closes the socket */
	l.fin = true;
	rig_settle(rig);
	FUZZ_MUST(l.shut && l.closed);
	rig_detach(rig, &l);
}

void fuzz_check_frames(const struct link *l)
{
	struct amqp091_frame f;

	if (l->out.end >= 8 && memcmp(l->out.data, "AMQP", 4) == 0)
		return;
	for (size_t at = 0; at < l->out.end;) {
		int64_t n = amqp091_frame_parse(l->out.data + at, (uint32_t)(l->out.end - at), FRAME_MAX, &f);
		FUZZ_MUST(n >= 0);
		if (n == 0)
			break;
		at += (size_t)n;
	}
	FUZZ_MUST(l->writes_late == 0);
}

void fuzz_rig_open(struct rig *rig, const struct rig_options *o)
{
	char *eal[] = {"fuzz", "--no-huge", "-m", "64", "--no-pci", "--no-shconf", "--iova-mode=va",
		"--no-telemetry", "--log-level=*:error", "-l", "0", NULL};

	FUZZ_MUST(rte_eal_init(11, eal) >= 0);
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"fuzz", 8191, 0, 0, RTE_PKTMBUF_HEADROOM + 512, SOCKET_ID_ANY);
	FUZZ_MUST(pool);
	log_set_level(LOG_LEVEL_ERROR);
	rig_open(rig, pool, o);
	say_good(&good);
}
