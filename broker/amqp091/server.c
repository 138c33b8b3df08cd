/* SPDX-License-Identifier: Apache-2.0 */
/* The adaptor of one core: what the transports tell it, and its part of the turn. */
#include "broker/amqp091/internal.h"

#include "runtime/log.h"

#include <limits.h>
#include <stdlib.h>

static struct amqp091_server *server_of(struct turn_source *s)
{
	return caa_container_of(s, struct amqp091_server, source);
}

static void deadline_fire(struct timer *t, uint64_t now_us)
{
	struct amqp091_conn *c = caa_container_of(t, struct amqp091_conn, deadline);

	/* The peer has ended its side, but what it had said before waits still: for memory, its turn, a
	 * queue.
	 */
	if (c->state == CONN_RUNNING && c->hold > HOLD_OUTPUT) {
		timer_arm(&c->server->wheel, t, now_us + c->server->config.close_timeout_us);
		return;
	}
	if (c->state == CONN_CLOSED) {
		conn_drain(c);
		return;
	}
	if (c->state < CONN_RUNNING) {
		c->server->counters.handshakes_timed_out++;
		LOG_WARN("amqp", "a connection did not reach connection.open in time");
	}
	conn_die(c, true);
}

/* One more on all cores; false where that would be too many. */
static bool count_in(struct amqp091_server *s)
{
	uint32_t *all = s->config.conns_all;

	if (!all || __atomic_fetch_add(all, 1, __ATOMIC_RELAXED) < s->config.conns_all_max)
		return true;
	__atomic_fetch_sub(all, 1, __ATOMIC_RELAXED);
	return false;
}

void server_count_out(struct amqp091_server *s)
{
	if (s->config.conns_all)
		__atomic_fetch_sub(s->config.conns_all, 1, __ATOMIC_RELAXED);
}

static struct amqp091_conn *conn_take(struct amqp091_server *s)
{
	if (s->shutting_down)
		return NULL;
	if (count_in(s)) {
		struct amqp091_conn *c = pool_take(s->conns_pool);
		if (c)
			return c;
		server_count_out(s);
	}
	s->counters.refused_limit++;
	return NULL;
}

static int app_accepted(void *app, struct transport_conn *transport)
{
	struct amqp091_server *s = app;
	struct amqp091_conn *c = conn_take(s);

	if (!c)
		return -ENOBUFS;
	memset(c, 0, sizeof(*c));
	c->server = s;
	c->transport = transport;
	transport->user = c;
	c->rx_us = c->tx_us = s->now_us;
	c->auth_token = pool_handle_of(s->conns_pool, c);
	CDS_INIT_LIST_HEAD(&c->waiting);
	CDS_INIT_LIST_HEAD(&c->blocked);
	CDS_INIT_LIST_HEAD(&c->before);
	CDS_INIT_LIST_HEAD(&c->after);
	CDS_INIT_LIST_HEAD(&c->channels);
	cds_list_add_tail(&c->link, &s->conns);
	s->conn_count++;
	heartbeat_init(c);
	timer_init(&c->deadline, deadline_fire);
	timer_arm(&s->wheel, &c->deadline, s->now_us + s->config.handshake_timeout_us);
	return 0;
}

static void app_readable(struct transport_conn *transport)
{
	struct amqp091_conn *c = transport->user;

	c->rx_us = c->server->now_us;
	struct phase_mark *phase = c->server->phase;
	enum phase before = phase_enter(phase, PHASE_FRAME);
	conn_input(c);
	phase_leave(phase, before);
}

static void app_writable(struct transport_conn *transport)
{
	conn_pump(transport->user);
}

/* What still waits to be sent to it, or to be read, gets the time that any closing gets. */
static void app_peer_closed(struct transport_conn *transport)
{
	struct amqp091_conn *c = transport->user;
	struct amqp091_server *s = c->server;

	c->peer_ended = true;
	conn_input(c);
	if (c->state == CONN_RUNNING)
		timer_arm(&s->wheel, &c->deadline, s->now_us + s->config.close_timeout_us);
}

static void app_closed(struct transport_conn *transport, enum transport_reason reason)
{
	struct amqp091_conn *c = transport->user;

	if (c->opened)
		LOG_INFO("amqp", "connection of '%s' lost: %s", c->user,
			reason == TRANSPORT_TIMED_OUT ? "the peer no longer answers" : "ended by the peer");
	conn_die(c, false);
}

const struct transport_app amqp091_app = {
	.accepted = app_accepted,
	.readable = app_readable,
	.writable = app_writable,
	.peer_closed = app_peer_closed,
	.closed = app_closed,
};

static void auth_answer(void *ctx, uint64_t token, enum auth_verdict verdict)
{
	struct amqp091_server *s = ctx;
	struct amqp091_conn *c = pool_resolve(s->conns_pool, token);

	if (c)
		conn_auth_answer(c, verdict == AUTH_ACCEPTED);
}

static void retry(struct amqp091_conn *c)
{
	conn_pump(c);
	if (c->hold == HOLD_OUTPUT || c->hold == HOLD_CALL || c->state == CONN_DEAD)
		return;
	c->hold = HOLD_NONE;
	if (c->routing && !conn_output_idle(c)) {
		conn_hold(c, HOLD_ROUTE); /* it may come back to the publisher: behind what is on its way */
		return;
	}
	if (c->routing)
		publish_again(c->routing);
	if (c->hold == HOLD_NONE)
		conn_input(c);
}

/* Connections whose output, memory or room for unsettled deliveries was short. Those still short put
 * themselves back. */
static unsigned retry_waiting(struct amqp091_server *s)
{
	CDS_LIST_HEAD(round);
	unsigned work = 0;

	s->turn_short = false;
	s->retrying = true;
	cds_list_splice(&s->waiting, &round);
	CDS_INIT_LIST_HEAD(&s->waiting);
	while (!cds_list_empty(&round) && s->turn_left) {
		struct amqp091_conn *c = cds_list_first_entry(&round, struct amqp091_conn, waiting);
		uint64_t before = s->counters.frames_received;
		cds_list_del_init(&c->waiting);
		retry(c);
		work += s->counters.frames_received != before;
	}
	/* Nobody is passed over: who had no turn in this one is first in the next. */
	s->turn_short |= !cds_list_empty(&round);
	cds_list_splice(&round, &s->waiting);
	s->retrying = false;
	return work + s->turn_short;
}

/* Those that wait for other cores put themselves back; nobody wakes this core when their time comes. */
static void flush_confirms(struct amqp091_server *s)
{
	CDS_LIST_HEAD(round);

	cds_list_splice(&s->confirms, &round);
	CDS_INIT_LIST_HEAD(&s->confirms);
	while (!cds_list_empty(&round))
		confirm_flush(cds_list_first_entry(&round, struct amqp091_channel, confirm_link));
	s->turn_short |= !cds_list_empty(&s->confirms);
}

static void server_now(struct amqp091_server *s, uint64_t now_us)
{
	s->now_us = now_us;
	broker_core_now(s->config.core, now_us);
}

static unsigned clock_poll(struct turn_source *clock, uint64_t now_us)
{
	struct amqp091_server *s = caa_container_of(clock, struct amqp091_server, clock);

	s->turn++;
	s->turn_left = AMQP091_TURN_BUDGET;
	s->abandon_left = AMQP091_ABANDON_BUDGET;
	s->received_before = s->counters.messages_received;
	server_now(s, now_us);
	return 0;
}

static unsigned source_poll(struct turn_source *source, uint64_t now_us)
{
	struct amqp091_server *s = server_of(source);
	unsigned work;
	enum phase before = phase_enter(s->phase, PHASE_FRAME);

	server_now(s, now_us);
	work = auth_poll(s->auth_port, auth_answer, s);
	work += broker_core_poll(s->config.core);
	work += retry_waiting(s);
	work += unacked_drain(s);
	work += transaction_drain(s, AMQP091_ABANDON_BUDGET);
	work += blocked_end(s);
	work += overdue_poll(s);
	uint64_t came = s->counters.messages_received - s->received_before;
	work += broker_core_deliver(s->config.core, AMQP091_DELIVER_BUDGET + (unsigned)came);
	stage_flush(s);
	work += timer_wheel_advance(&s->wheel, now_us, AMQP091_TIMER_BUDGET);
	flush_confirms(s);
	phase_leave(s->phase, before);
	return work;
}

static void source_flush(struct turn_source *source, uint64_t now_us)
{
	struct amqp091_server *s = server_of(source);

	(void)now_us;
	while (!cds_list_empty(&s->dying))
		conn_release(cds_list_first_entry(&s->dying, struct amqp091_conn, link));
	broker_core_flush(s->config.core);
}

static uint64_t source_next_us(struct turn_source *source)
{
	struct amqp091_server *s = server_of(source);
	uint64_t next = s->turn_short ? s->now_us : timer_wheel_next_us(&s->wheel);
	uint64_t core = broker_core_next_us(s->config.core);
	bool waits = !cds_list_empty(&s->waiting) || !cds_list_empty(&s->blocked);
	uint64_t retry = waits ? s->now_us + AMQP091_RETRY_US : UINT64_MAX;

	next = core < next ? core : next;
	return next < retry ? next : retry;
}

static bool source_sleep_prepare(struct turn_source *source)
{
	struct amqp091_server *s = server_of(source);

	if (s->turn_short || !cds_list_empty(&s->abandoned) || !cds_list_empty(&s->forgotten) ||
		broker_core_busy(s->config.core))
		return false;
	/* What lies in an idle core's cache is no use to the others. */
	message_cache_flush(broker_core_cache(s->config.core));
	return true;
}

static void server_free(struct amqp091_server *s)
{
	struct pool *pools[] = {s->conns_pool, s->channels_pool, s->pages_pool, s->consumers_pool,
		s->unacked_pool, s->kept_pool};

	for (unsigned i = 0; i < sizeof(pools) / sizeof(*pools); i++) {
		if (pools[i])
			pool_destroy(pools[i]);
	}
	amqp091_letters_end(s);
	delayed_end(s);
	if (s->auth_port)
		auth_port_destroy(s->auth_port);
	pattern_match_destroy(s->match);
	unacked_index_destroy(&s->unacked_index);
	free(s->stage.bytes);
	free(s->scratch);
	free(s->encode);
	free(s);
}

struct amqp091_server *amqp091_server_create(const struct amqp091_server_config *config, uint64_t now_us)
{
	struct amqp091_server *s = calloc(1, sizeof(*s));
	const uint32_t frame = config->frame_max_bytes + AMQP091_FRAME_MAX_BEFORE_TUNE;

	if (!s)
		return NULL;
	MUST(config->channel_max >= 1 && config->channel_max <= AMQP091_CHANNEL_LIMIT);
	s->config = *config;
	s->phase = broker_core_phase(config->core);
	CDS_INIT_LIST_HEAD(&s->conns);
	CDS_INIT_LIST_HEAD(&s->dying);
	CDS_INIT_LIST_HEAD(&s->waiting);
	CDS_INIT_LIST_HEAD(&s->confirms);
	CDS_INIT_LIST_HEAD(&s->blocked);
	CDS_INIT_LIST_HEAD(&s->abandoned);
	CDS_INIT_LIST_HEAD(&s->forgotten);
	timer_wheel_init(&s->wheel, 1000, now_us);
	s->name_key = siphash_key_random();
	s->conns_pool = pool_create("amqp connections", sizeof(struct amqp091_conn), config->conn_max, NULL);
	s->channels_pool = pool_create(
		"amqp channels", sizeof(struct amqp091_channel), config->channels_max, NULL);
	/* A page serves up to 64 channels and is there while one of them is open. */
	s->pages_pool = pool_create(
		"amqp channel tables", sizeof(struct channel_page), config->channels_max, NULL);
	s->consumers_pool = pool_create(
		"amqp consumers", sizeof(struct amqp091_consumer), config->consumers_max, NULL);
	s->unacked_pool = pool_create("amqp unacked", sizeof(struct unacked), config->unacked_max, NULL);
	s->kept_pool = pool_create(
		"amqp messages in transactions", sizeof(struct kept_publish), config->unacked_max, NULL);
	s->kept_bytes_max = kept_bytes_max(config->core);
	s->auth_port = auth_port_create(config->auth, config->wake, config->wake_ctx);
	if (config->access)
		s->match = pattern_match_create();
	s->stage.bytes = malloc(STAGE_BYTES);
	s->scratch = malloc(frame);
	/* A content's method and header frame, or its body frame, are put together here. */
	s->encode_bytes = AMQP091_FRAME_MIN_SIZE;
	s->encode = malloc(AMQP091_FRAME_MIN_SIZE + frame);
	if (!s->conns_pool || !s->channels_pool || !s->pages_pool || !s->consumers_pool || !s->unacked_pool ||
		!s->kept_pool || !s->auth_port || (config->access && !s->match) || !s->stage.bytes ||
		!s->scratch || !s->encode || amqp091_letters_begin(s) || delayed_begin(s) ||
		unacked_index_create(&s->unacked_index, config->unacked_max)) {
		server_free(s);
		return NULL;
	}
	server_now(s, now_us);
	overdue_begin(s);
	s->source = (struct turn_source){
		.name = "amqp091",
		.poll = source_poll,
		.flush = source_flush,
		.next_us = source_next_us,
		.sleep_prepare = source_sleep_prepare,
		.wake_fd = -1,
	};
	s->clock = (struct turn_source){.name = "amqp091 clock", .poll = clock_poll, .wake_fd = -1};
	return s;
}

void amqp091_server_abort(struct amqp091_server *s)
{
	while (!cds_list_empty(&s->conns))
		conn_die(cds_list_first_entry(&s->conns, struct amqp091_conn, link), true);
}

void amqp091_server_destroy(struct amqp091_server *s)
{
	amqp091_server_abort(s);
	while (!cds_list_empty(&s->dying))
		conn_release(cds_list_first_entry(&s->dying, struct amqp091_conn, link));
	unacked_forget(s);
	transaction_drain(s, UINT_MAX);
	server_free(s);
}

struct turn_source *amqp091_server_source(struct amqp091_server *s)
{
	return &s->source;
}

struct turn_source *amqp091_server_clock(struct amqp091_server *s)
{
	return &s->clock;
}

void amqp091_server_limits(struct amqp091_server *s, uint64_t message_bytes_max, uint32_t heartbeat_s,
	uint64_t handshake_timeout_us)
{
	s->config.message_bytes_max = message_bytes_max;
	s->config.heartbeat_s = heartbeat_s;
	s->config.handshake_timeout_us = handshake_timeout_us;
}

void amqp091_server_shutdown(struct amqp091_server *s, const char *reason)
{
	struct amqp091_conn *c, *next;

	s->shutting_down = true;
	cds_list_for_each_entry_safe (c, next, &s->conns, link) {
		if (c->state == CONN_RUNNING)
			conn_exception(c, AMQP091_REPLY_CONNECTION_FORCED, 0,
				"broker forced connection closure with reason '%s'", reason);
		else if (c->state < CONN_RUNNING || c->state == CONN_CLOSED)
			conn_drain(c);
	}
}

uint32_t amqp091_server_conn_count(const struct amqp091_server *s)
{
	return s->conn_count;
}

const struct amqp091_counters *amqp091_server_counters(const struct amqp091_server *s)
{
	return &s->counters;
}

unsigned amqp091_server_pools(
	const struct amqp091_server *s, struct pool_stats *stats, const char **names, unsigned max)
{
	const struct pool *pools[] = {s->conns_pool, s->channels_pool, s->pages_pool, s->consumers_pool,
		s->unacked_pool, s->kept_pool};
	unsigned n = 0;

	for (; n < max && n < sizeof(pools) / sizeof(*pools); n++) {
		stats[n] = pool_stats(pools[n]);
		names[n] = pool_name(pools[n]);
	}
	return n;
}
