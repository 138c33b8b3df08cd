/* SPDX-License-Identifier: Apache-2.0 */
/* The application above the stack: what it is told, and what a script makes it do. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script/run.h"

static const char *const event_names[EVENTS] = {
	"accepted", "connected", "readable", "urgent", "peer_closed", "writable", "closed"};
static const char *const reason_names[] = {"done", "reset", "timed_out", "refused", "aborted"};

static void note(enum event e, int word)
{
	run.events[e]++;
	run.event_word[e] = word;
}

static void consume(uint32_t n)
{
	uint8_t b;

	for (uint32_t i = 0; i < n; i++) {
		chain_copy(tcp_conn_rx(run.conn), i, &b, 1);
		if (b != segment_byte(run.read + i))
			fail("the byte at %lld is wrong", (long long)run.read + i);
	}
	run.read += n;
	tcp_conn_rx_consume(run.conn, n);
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	run.conn = c;
	run.written = run.read = 1; /* calls act on this one from now on */
	note(EVENT_ACCEPTED, 0);
}

static void on_connected(struct tcp_conn *c, int error)
{
	note(EVENT_CONNECTED, error);
	if (error)
		run.conn = NULL;
}

static void on_readable(struct tcp_conn *c)
{
	note(EVENT_READABLE, 0);
	if (run.autoread && c == run.conn)
		consume(tcp_conn_rx(c)->bytes);
}

static void on_urgent(struct tcp_conn *c)
{
	note(EVENT_URGENT, 0);
}

static void on_peer_closed(struct tcp_conn *c)
{
	note(EVENT_PEER_CLOSED, 0);
}

static void on_writable(struct tcp_conn *c)
{
	note(EVENT_WRITABLE, 0);
}

static void on_closed(struct tcp_conn *c, int reason)
{
	note(EVENT_CLOSED, reason);
	if (c == run.conn)
		run.conn = NULL;
}

static const struct tcp_app app = {.accepted = on_accepted,
	.connected = on_connected,
	.readable = on_readable,
	.urgent = on_urgent,
	.peer_closed = on_peer_closed,
	.writable = on_writable,
	.closed = on_closed};

static enum event event_of(const char *name)
{
	for (int e = 0; e < EVENTS; e++)
		if (!strcmp(event_names[e], name))
			return (enum event)e;
	fail("no event is called %s", name);
	return EVENT_ACCEPTED;
}

static void call_event(const char *name, const char *word)
{
	enum event e = event_of(name);

	if (!run.events[e]) {
		fail("%s did not happen", name);
		return;
	}
	if (*word && e == EVENT_CLOSED && strcmp(word, reason_names[run.event_word[e]]))
		fail("closed as %s", reason_names[run.event_word[e]]);
	if (*word && e == EVENT_CONNECTED && run.event_word[e] != -abs(atoi(word)))
		fail("connected with %d", run.event_word[e]);
	run.events[e] = 0;
}

static void call_write(const char *words)
{
	static uint8_t data[1 << 20];
	char *end;

	for (long n; (n = strtol(words, &end, 0)) > 0 && end != words; words = end) {
		for (long i = 0; i < n && i < (long)sizeof(data); i++)
			data[i] = segment_byte(run.written + i);
		int error = tcp_conn_write(run.conn, data, (uint32_t)n);
		if (strstr(end, "refused")) {
			if (!error)
				fail("the write was not refused");
			return;
		}
		if (error)
			fail("the write was refused with %d", error);
		else
			run.written += n;
	}
}

void application_write(void)
{
	enum { CHUNK = 10000 };

	while (run.conn && run.autowrite &&
		tcp_conn_info(run.conn).tx_queued_bytes + CHUNK <= run.autowrite &&
		tcp_conn_tx_room(run.conn) >= CHUNK)
		call_write("10000");
}

void application_pool(const char *word, unsigned left)
{
	rte_pktmbuf_free_bulk(run.hoard, run.hoarded);
	run.hoarded = 0;
	if (!strcmp(word, "full"))
		return;
	while ((run.hoard[run.hoarded] = rte_pktmbuf_alloc(run.config.tx_pool)))
		run.hoarded++;
	for (; left && run.hoarded; left--)
		rte_pktmbuf_free(run.hoard[--run.hoarded]);
}

static void call_counter(const char *name, const char *value)
{
	for (int i = 0; i < STACK_COUNTERS; i++)
		if (!strcmp(stack_counter_name((enum stack_counter)i), name)) {
			uint64_t seen = stack_counter(run.stack, (enum stack_counter)i);
			if (seen != strtoull(value, NULL, 0))
				fail("%s is %llu", name, (unsigned long long)seen);
			return;
		}
	fail("no counter is called %s", name);
}

static void need_conn(void)
{
	if (!run.conn)
		fail("there is no connection");
}

/* address ADDRESS tentative | used | duplicate */
static void call_address(const char *word, const char *state)
{
	static const char *const names[] = {"tentative", "used", "duplicate"};
	enum stack_address_state seen;
	struct ip_addr want, a;

	if (!segment_addr_parse(word, &want)) {
		fail("%s is no address", word);
		return;
	}
	for (unsigned i = 0; stack_address_get(run.stack, i, &a, &seen); i++)
		if (ip_equal(&a, &want)) {
			if (strcmp(names[seen], state))
				fail("%s is %s", word, names[seen]);
			return;
		}
	fail("%s is none of the stack's", word);
}

/* A number that the stack chose last: mark | moved N: by so much since the mark | elsewhere: it is not near
 * it | N */
static bool call_chosen(const char *name, const char *word, const char *by)
{
	static uint32_t marks[3];
	const struct {
		const char *name;
		uint32_t seen;
		int off, near; /* what counts as N, and as not elsewhere */
	} chosen[] = {
		{"isn", run.base.stack_isn, 1000, 1 << 26},
		{"ts", run.base.last_ts, 1, 1 << 26},
		{"port", run.stack_port, 0, 16},
	};

	for (unsigned i = 0; i < sizeof(chosen) / sizeof(chosen[0]); i++) {
		uint32_t seen = chosen[i].seen;
		int32_t off = (int32_t)(seen - marks[i] - (uint32_t)strtoul(by, NULL, 0));
		if (strcmp(name, chosen[i].name))
			continue;
		if (!strcmp(word, "mark"))
			marks[i] = seen;
		else if (!strcmp(word, "moved") ? abs(off) > chosen[i].off
						: !strcmp(word, "elsewhere") && abs(off) < chosen[i].near)
			fail("%s moved by %u", name, seen - marks[i]);
		else if (*word >= '0' && *word <= '9' && seen != (uint32_t)strtoul(word, NULL, 0))
			fail("%s is %u", name, seen);
		return true;
	}
	return false;
}

/* Calls on the stack and the listener. False when name is none of them. */
static bool call_stack(const char *name, const char *a, const char *b)
{
	if (!strcmp(name, "listen")) {
		opening_listen(a, &app);
	} else if (!strcmp(name, "unlisten")) {
		tcp_listener_close(run.listener);
	} else if (!strcmp(name, "connect")) {
		opening_connect(a, b, &app);
	} else if (!strcmp(name, "announce")) {
		stack_announce(run.stack, run.now_us);
	} else if (!strcmp(name, "address")) {
		call_address(a, b);
	} else if (!strcmp(name, "accept")) {
		call_event("accepted", "");
	} else if (!strcmp(name, "event")) {
		call_event(a, b);
	} else if (!strcmp(name, "noevent")) {
		if (run.events[event_of(a)])
			fail("%s happened", a);
	} else if (!strcmp(name, "held")) {
		if (stack_usage(run.stack).rx_buffers != (uint32_t)atoi(a))
			fail("%u receive buffers are held", stack_usage(run.stack).rx_buffers);
	} else if (!strcmp(name, "conns")) {
		struct stack_usage u = stack_usage(run.stack);
		uint32_t n = u.conns + u.half_open + u.time_wait;
		if (n != (uint32_t)atoi(a))
			fail("there are %u connections", n);
	} else if (!strcmp(name, "option")) {
		opening_option(a, b);
	} else if (!strcmp(name, "filter")) {
		opening_filter(a, b);
	} else if (!strcmp(name, "counter")) {
		call_counter(a, b);
	} else if (!strcmp(name, "pool")) {
		application_pool(a, (unsigned)atoi(b));
	} else if (!strcmp(name, "autoread")) {
		run.autoread = true;
	} else if (!strcmp(name, "autowrite")) {
		run.autowrite = (uint32_t)atoi(a);
	} else if (strcmp(name, "nothing")) {
		return call_chosen(name, a, b);
	}
	return true;
}

static void call_keepalive(const char *words)
{
	unsigned idle_us, interval_us, probes;

	if (sscanf(words, "%u %u %u", &idle_us, &interval_us, &probes) == 3)
		tcp_conn_set_keepalive(run.conn, idle_us, interval_us, probes);
	else
		fail("keepalive takes three numbers");
}

static void call_conn(const char *name, const char *a, const char *words)
{
	struct tcp_conn *c = run.conn;

	need_conn();
	if (run.failed)
		return;
	if (!strcmp(name, "write")) {
		call_write(words);
	} else if (!strcmp(name, "readable")) {
		if (tcp_conn_rx(c)->bytes != (uint32_t)atoi(a))
			fail("%u bytes can be read", tcp_conn_rx(c)->bytes);
	} else if (!strcmp(name, "read")) {
		if (tcp_conn_rx(c)->bytes < (uint32_t)atoi(a))
			fail("only %u bytes can be read", tcp_conn_rx(c)->bytes);
		else
			consume((uint32_t)atoi(a));
	} else if (!strcmp(name, "state")) {
		if (strcmp(a, tcp_conn_info(c).state))
			fail("the state is %s", tcp_conn_info(c).state);
	} else if (!strcmp(name, "unreachable")) {
		if (tcp_conn_info(c).unreachable != (uint8_t)atoi(a))
			fail("the application is not told so");
	} else if (!strcmp(name, "nodelay")) {
		tcp_conn_set_nodelay(c, atoi(a));
	} else if (!strcmp(name, "cork")) {
		tcp_conn_cork(c, atoi(a));
	} else if (!strcmp(name, "urgent")) {
		tcp_conn_urgent_out(c);
	} else if (!strcmp(name, "urgent_in")) {
		if (tcp_conn_urgent_in(c) != (uint32_t)atoi(a))
			fail("%u bytes are urgent", tcp_conn_urgent_in(c));
	} else if (!strcmp(name, "dscp")) {
		tcp_conn_set_dscp(c, (uint8_t)atoi(a));
	} else if (!strcmp(name, "keepalive")) {
		call_keepalive(words);
	} else if (!strcmp(name, "usertimeout")) {
		tcp_conn_set_user_timeout(c, (uint32_t)strtoul(a, NULL, 0));
	} else if (!strcmp(name, "shutdown")) {
		if (tcp_conn_shutdown(c))
			fail("shutdown was refused");
	} else if (!strcmp(name, "close")) {
		tcp_conn_close(c);
		run.conn = NULL;
	} else if (!strcmp(name, "abort")) {
		tcp_conn_abort(c);
		run.conn = NULL;
	} else {
		fail("no call is named %s", name);
	}
}

void application_calls(char *text)
{
	char *save, *one;

	for (one = strtok_r(text, ";", &save); one && !run.failed; one = strtok_r(NULL, ";", &save)) {
		char name[64] = "", a[64] = "", b[64] = "";
		int at = 0;
		if (sscanf(one, " %63s%n %63s %63s", name, &at, a, b) < 1)
			continue;
		if (!call_stack(name, a, b))
			call_conn(name, a, one + at);
	}
	wire_turn();
}
