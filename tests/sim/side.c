/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/side.h"

#include <stdio.h>
#include <string.h>

#include "tests/sim/stranger.h"

enum { BLOCK_BYTES_MAX = 20000, PATIENT_BYTES = 100000, PAUSE_US = 620000000 };

void side_plan(struct side *s, struct side *other, struct talk *talk, unsigned host)
{
	struct sim_random *r = &sim.dice;

	*s = (struct side){.other = other, .talk = talk, .host = host, .salt = (uint32_t)sim_random(r)};
	s->send_total = sim_permille(r, 200) ? 0 : sim_below(r, SIM_ONE_OF(100, 5000, 120000));
	s->writes = sim_below(r, 3);
	if (s->writes == SIDE_WRITES_BYTES)
		s->send_total %= 5000;
	s->lazy = sim_permille(r, 300);
	s->sleep_us = sim_permille(r, 100) ? sim_below(r, 30000000) : 0;
	s->aborts = sim_permille(r, 80);
	s->abort_after = sim_below(r, s->send_total + 1);
	s->lets_go = !s->aborts && sim_permille(r, 80);
}

void side_plan_pause(struct side *s)
{
	s->writes = SIDE_WRITES_BLOCKS;
	s->send_total = PATIENT_BYTES;
	s->aborts = s->lets_go = s->other->aborts = s->other->lets_go = false;
	s->pause_us = PAUSE_US;
}

void side_fail(const struct side *s, const char *what)
{
	const struct side *both[] = {s, s->other};

	for (unsigned i = 0; i < 2; i++)
		printf("# %s on host%u: opened %d ended %d reason %d aborts %d lets go %d shut %d peer "
		       "closed %d "
		       "sent %u of %u read %u\n",
			i ? "its peer" : "a side", both[i]->host, both[i]->opened, both[i]->ended,
			both[i]->reason, both[i]->aborts, both[i]->lets_go, both[i]->shut,
			both[i]->peer_closed, both[i]->sent, both[i]->send_total, both[i]->read);
	sim_fail(what);
}

static uint8_t stream_byte(const struct side *from, uint32_t i)
{
	uint32_t x = (i + from->salt) * 2654435761u;

	return (uint8_t)(x >> 24 ^ x >> 13);
}

/* One of the two does not care what becomes of the rest. */
static bool is_rude(const struct side *s)
{
	return s->aborts || s->lets_go || s->other->aborts || s->other->lets_go;
}

/* The peer has ended well, and its TIME_WAIT is over or was given up: our FIN, sent again because its
 * acknowledgement was lost, finds nobody. */
static bool time_wait_was_short(const struct side *s)
{
	bool evicted = stack_counter(hosts[s->other->host].stack, STACK_COUNTER_tcp_time_wait_evicted) ||
		       stack_counter(hosts[s->other->host].stack, STACK_COUNTER_tcp_time_wait_reused);

	/* Perhaps its application has not read to the end yet. */
	bool other_over = s->other->ended ? s->other->reason == TCP_REASON_DONE
					  : s->other->shut && s->other->peer_closed;

	return s->shut && s->peer_closed && other_over &&
	       (evicted || hosts[s->other->host].time_wait_us < 10000000);
}

/* The listener's host had no room for the connection, or forgot it; or it sent a SYN cookie, the answer to
 * which was lost, and what follows finds nobody. */
static bool half_open_was_lost(const struct side *s)
{
	const struct stack *peer = hosts[s->other->host].stack;

	return !s->other->opened && (stack_counter(peer, STACK_COUNTER_tcp_half_open_evicted) ||
					    stack_counter(peer, STACK_COUNTER_tcp_half_open_expired));
}

/* The listener's host sent a SYN cookie, and what follows the answer to it came first: it belongs to nobody.
 * Or somebody's SYN sent the half-open connection back to LISTEN (RFC 9293 section 3.10.7.4, fourth). */
static bool opening_was_disturbed(const struct side *s)
{
	const struct side *client = s->passive ? s->other : s;
	const struct stack *server = hosts[client->other->host].stack;

	return client->read == 0 && (stack_counter(server, STACK_COUNTER_tcp_cookie_sent) ||
					    stack_counter(server, STACK_COUNTER_tcp_syn_in_window));
}

/* The peer's application was done, and what it had left to be delivered gave way to somebody else. */
static bool orphan_gave_way(const struct side *s)
{
	return s->other->ended &&
	       stack_counter(hosts[s->other->host].stack, STACK_COUNTER_tcp_orphan_evicted);
}

/* The listener's host had forgotten the half-open connection, or kept none (a cookie), when somebody guessed
 * a SYN of its ports: what that one opened answers until it expires, and knows nothing of this side's
 * numbers. */
static bool stranger_took_the_place(const struct side *s)
{
	return stranger_guesses() && !s->other->opened && (half_open_was_lost(s) || opening_was_disturbed(s));
}

static void check_end(const struct side *s, int reason)
{
	if (reason == TCP_REASON_DONE && s->read != s->other->send_total)
		side_fail(s, "the stream ended early");
	if (reason == TCP_REASON_DONE || is_rude(s))
		return;
	if (reason == TCP_REASON_RESET && time_wait_was_short(s) && s->read == s->other->send_total)
		return;
	if (reason == TCP_REASON_RESET &&
		(half_open_was_lost(s) || opening_was_disturbed(s) || orphan_gave_way(s)))
		return;
	if (reason == TCP_REASON_TIMED_OUT && stranger_took_the_place(s))
		return;
	side_fail(s, tcp_reason_text(reason));
}

static void side_ended(struct side *s, int reason)
{
	s->conn = NULL;
	s->ended = true;
	s->reason = reason;
}

static void side_read(struct side *s)
{
	static uint8_t scratch[1 << 16];
	struct chain *rx = tcp_conn_rx(s->conn);
	uint32_t n = RTE_MIN(rx->bytes, (uint32_t)sizeof(scratch));

	if (n && s->lazy)
		n = 1 + sim_below(&sim.dice, n);
	chain_copy(rx, 0, scratch, n);
	for (uint32_t i = 0; i < n; i++)
		if (scratch[i] != stream_byte(s->other, s->read + i))
			side_fail(s, "a byte differs");
	s->read += n;
	if (s->read > s->other->sent)
		side_fail(s, "more arrived than was sent");
	tcp_conn_rx_consume(s->conn, n);
}

static uint32_t write_bytes(const struct side *s)
{
	bool small = s->writes == SIDE_WRITES_BYTES ||
		     (s->writes == SIDE_WRITES_MIXED && sim_permille(&sim.dice, 300));

	return 1 + sim_below(&sim.dice, small ? 64 : BLOCK_BYTES_MAX);
}

bool side_pauses(const struct side *s)
{
	return sim.now_us < s->pauses_until_us;
}

/* True while it has nothing to say. Afterwards the path is often a better one. */
static bool pausing(struct side *s)
{
	if (s->pause_us && s->sent >= s->send_total / 2) {
		s->pauses_until_us = sim.now_us + s->pause_us;
		s->pause_us = 0;
	}
	if (!s->pauses_until_us || side_pauses(s))
		return s->pauses_until_us != 0;
	s->pauses_until_us = 0;
	if (sim_permille(&sim.dice, 400))
		return false;
	for (unsigned i = 0; i < sim.net.hosts; i++)
		sim.net.links[i].conditions.mtu = 0;
	return false;
}

static void side_write(struct side *s)
{
	static uint8_t block[BLOCK_BYTES_MAX];
	uint32_t room = tcp_conn_tx_room(s->conn), n = RTE_MIN(s->send_total - s->sent, write_bytes(s));

	/* Who asks first is never refused; some do not ask. */
	if (sim_permille(&sim.dice, 900))
		n = RTE_MIN(n, room);
	for (uint32_t i = 0; i < n; i++)
		block[i] = stream_byte(s, s->sent + i);
	if (n && tcp_conn_write(s->conn, block, n) == 0)
		s->sent += n;
}

/* Ends it now, or lets it end without us. */
static void side_leave(struct side *s)
{
	struct tcp_conn *c = s->conn;
	bool abort = s->aborts;

	if (!abort && tcp_conn_info(c).tx_queued_bytes)
		sim_met(SIM_closed_with_queue);
	s->gone = true;
	side_ended(s, abort ? TCP_REASON_ABORTED : TCP_REASON_DONE);
	if (abort)
		tcp_conn_abort(c);
	else
		tcp_conn_close(c);
	if (abort)
		sim_met(SIM_aborted);
}

static bool wants_to_leave(const struct side *s)
{
	if (s->aborts)
		return s->read + s->sent >= s->abort_after;
	if (s->lets_go)
		return s->sent == s->send_total;
	return s->shut && s->peer_closed && s->read == s->other->send_total && sim_permille(&sim.dice, 300);
}

void side_act(struct side *s)
{
	if (!s->conn || !s->opened)
		return;
	if (sim.now_us >= s->reads_from_us)
		side_read(s);
	if (!s->conn)
		return;
	if (!s->shut && s->sent < s->send_total && !pausing(s))
		side_write(s);
	if (wants_to_leave(s)) {
		side_leave(s);
		return;
	}
	if (s->sent == s->send_total && !s->shut) {
		s->shut = true;
		if (!s->peer_closed && s->other->sent < s->other->send_total)
			sim_met(SIM_half_closed);
		/* A connection that was accepted and reset in one burst tells the one before the other. */
		if (tcp_conn_shutdown(s->conn) && strcmp(tcp_conn_info(s->conn).state, "CLOSED") != 0)
			side_fail(s, "shutdown was refused");
	}
}

void side_woken(struct side *s)
{
	if (!s->lazy || sim_permille(&sim.dice, 300))
		side_act(s);
}

void side_opened(struct side *s, struct tcp_conn *c)
{
	s->conn = c;
	s->opened = true;
	if (s->sleep_us) {
		sim_met(SIM_app_slept);
		s->reads_from_us = sim.now_us + s->sleep_us;
	}
	side_woken(s);
}

void side_closed(struct side *s, int reason)
{
	s->lazy = false;
	while (tcp_conn_rx(s->conn)->bytes)
		side_read(s);
	side_ended(s, reason);
	check_end(s, reason);
}
