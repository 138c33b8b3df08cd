/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/kerneltcp/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/check.h"
#include "tcpstack/tcp.h"
#include "tests/kerneltcp/link.h"

enum { BLOCK_BYTES = 16384, OPENED_MAX = 512 };

struct ip_addr service_kernel;
static uint8_t block[BLOCK_BYTES];
static uint64_t farewell_bytes, clock_us;
static bool over;

/* SERVICE_HOLD's connections, and how the last one ended. */
static struct tcp_conn *held;
static unsigned held_count;
static int held_reason;

/* SERVICE_SLOW's one connection that does not read yet. */
static struct tcp_conn *stalled;
static uint64_t stalled_until_us;

/* Connections that "open" has made. */
struct opened {
	uint32_t to_send, sent, received;
	bool wrong;
};
static struct opened opened[OPENED_MAX];
static unsigned opened_count, opened_ended, opened_good;

static uint32_t up_to_a_block(uint32_t a, uint32_t b)
{
	uint32_t n = a < b ? a : b;

	return n < BLOCK_BYTES ? n : BLOCK_BYTES;
}

static void echo(struct tcp_conn *c)
{
	struct chain *rx = tcp_conn_rx(c);

	if (c == stalled)
		return;
	for (uint32_t n; (n = up_to_a_block(rx->bytes, tcp_conn_tx_room(c)));) {
		chain_copy(rx, 0, block, n);
		if (tcp_conn_write(c, block, n))
			return;
		tcp_conn_rx_consume(c, n);
	}
}

/* user is set once the peer has closed. */
static void echo_and_end(struct tcp_conn *c)
{
	echo(c);
	if (tcp_conn_user(c) && tcp_conn_rx(c)->bytes == 0)
		tcp_conn_shutdown(c);
}

static void echo_peer_closed(struct tcp_conn *c)
{
	tcp_conn_set_user(c, &over);
	echo_and_end(c);
}

static const struct tcp_app echo_app = {
	.readable = echo_and_end, .writable = echo_and_end, .peer_closed = echo_peer_closed};

static void slow_accepted(void *ctx, struct tcp_conn *c)
{
	stalled = c;
	stalled_until_us = clock_us + SERVICE_STALL_US;
}

static void slow_closed(struct tcp_conn *c, int reason)
{
	if (c == stalled)
		stalled = NULL;
}

static const struct tcp_app slow_app = {.accepted = slow_accepted,
	.readable = echo_and_end,
	.writable = echo_and_end,
	.peer_closed = echo_peer_closed,
	.closed = slow_closed};

static void reset_readable(struct tcp_conn *c)
{
	tcp_conn_abort(c);
}

static const struct tcp_app reset_app = {.readable = reset_readable};

static void farewell_accepted(void *ctx, struct tcp_conn *c)
{
	farewell_bytes = 0;
	MUST(tcp_conn_write(c, "farewell", 8) == 0 && tcp_conn_shutdown(c) == 0);
}

static void farewell_readable(struct tcp_conn *c)
{
	farewell_bytes += tcp_conn_rx(c)->bytes;
	tcp_conn_rx_consume(c, tcp_conn_rx(c)->bytes);
}

static const struct tcp_app farewell_app = {.accepted = farewell_accepted, .readable = farewell_readable};

static void held_accepted(void *ctx, struct tcp_conn *c)
{
	held = c;
	held_count++;
	held_reason = -1;
}

static void held_closed(struct tcp_conn *c, int reason)
{
	held_count--;
	held_reason = reason;
	if (c == held)
		held = NULL;
}

static void held_peer_closed(struct tcp_conn *c)
{
	tcp_conn_shutdown(c);
}

static const struct tcp_app held_app = {.accepted = held_accepted,
	.readable = farewell_readable,
	.peer_closed = held_peer_closed,
	.closed = held_closed};

__attribute__((format(printf, 1, 2))) static void reply(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

static uint8_t pattern(const struct opened *o, uint32_t i)
{
	return (uint8_t)(i * 131 + (i >> 8) + (uint32_t)(o - opened));
}

static void opened_send(struct tcp_conn *c)
{
	struct opened *o = tcp_conn_user(c);

	for (uint32_t n; (n = up_to_a_block(o->to_send - o->sent, tcp_conn_tx_room(c))); o->sent += n) {
		for (uint32_t i = 0; i < n; i++)
			block[i] = pattern(o, o->sent + i);
		if (tcp_conn_write(c, block, n))
			return;
	}
	if (o->sent == o->to_send)
		tcp_conn_shutdown(c);
}

static void opened_end(const struct opened *o, bool good)
{
	opened_good += good && !o->wrong && o->received == o->to_send;
	if (++opened_ended == opened_count)
		reply("%u", opened_good);
}

static void opened_connected(struct tcp_conn *c, int error)
{
	if (error)
		opened_end(tcp_conn_user(c), false);
	else
		opened_send(c);
}

static void opened_readable(struct tcp_conn *c)
{
	struct opened *o = tcp_conn_user(c);
	struct chain *rx = tcp_conn_rx(c);

	while (rx->bytes) {
		uint32_t n = RTE_MIN(rx->bytes, (uint32_t)BLOCK_BYTES);
		chain_copy(rx, 0, block, n);
		for (uint32_t i = 0; i < n; i++)
			o->wrong |= block[i] != pattern(o, o->received + i);
		o->received += n;
		tcp_conn_rx_consume(c, n);
	}
}

static void opened_closed(struct tcp_conn *c, int reason)
{
	opened_end(tcp_conn_user(c), reason == TCP_REASON_DONE);
}

static const struct tcp_app opened_app = {.connected = opened_connected,
	.readable = opened_readable,
	.writable = opened_send,
	.closed = opened_closed};

static void open_many(struct stack *s, unsigned port, unsigned count, uint32_t bytes)
{
	opened_count = RTE_MIN(count, (unsigned)OPENED_MAX);
	opened_ended = opened_good = 0;
	for (unsigned i = 0; i < opened_count; i++) {
		opened[i] = (struct opened){.to_send = bytes};
		if (!tcp_connect(s, &service_kernel, (uint16_t)port, NULL, &opened_app, &opened[i], clock_us))
			opened_end(&opened[i], false);
	}
}

static void counter_tell(struct stack *s, const char *name)
{
	for (int i = 0; i < STACK_COUNTERS; i++)
		if (!strcmp(stack_counter_name((enum stack_counter)i), name)) {
			reply("%" PRIu64, stack_counter(s, (enum stack_counter)i));
			return;
		}
	reply("no counter is called %s", name);
}

static void usage_tell(struct stack *s)
{
	struct stack_usage u = stack_usage(s);

	reply("%u %u %u %u %u", u.conns, u.half_open, u.time_wait, u.tx_segments, u.reass_segments);
}

static void addresses_tell(struct stack *s)
{
	enum stack_address_state state;
	struct ip_addr a;
	unsigned used = 0;

	for (unsigned i = 0; stack_address_get(s, i, &a, &state); i++)
		used += state == STACK_ADDRESS_USED;
	reply("%u", used);
}

static void link_set(const char *words)
{
	static const struct {
		const char *name;
		uint32_t *value;
	} faults[] = {{"loss", &link_faults.loss}, {"twice", &link_faults.twice}, {"late", &link_faults.late},
		{"delay_us", &link_faults.delay_us}, {"burst", &link_faults.burst},
		{"damage", &link_faults.damage}, {"congestion", &link_faults.congestion},
		{"dark", &link_faults.dark}, {"rate_kbit", &link_faults.rate_kbit},
		{"queue_bytes", &link_faults.queue_bytes}};
	char name[32];
	unsigned value;
	int n;

	link_faults = (struct link_faults){0};
	for (; sscanf(words, " %31[a-z_]=%u%n", name, &value, &n) == 2; words += n)
		for (unsigned i = 0; i < RTE_DIM(faults); i++)
			if (!strcmp(faults[i].name, name))
				*faults[i].value = value;
	reply("done");
}

static void held_write(unsigned n)
{
	memset(block, 'h', sizeof(block));
	reply("%d", held && n <= sizeof(block) ? tcp_conn_write(held, block, n) : -ENOTCONN);
}

void service_request(struct stack *s, const char *line)
{
	unsigned port, count, bytes;
	char name[64];

	if (!strncmp(line, "link ", 5))
		link_set(line + 5);
	else if (!strcmp(line, "faults"))
		reply("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, link_lost, link_doubled,
			link_late, link_damaged, link_marked);
	else if (sscanf(line, "open %u %u %u", &port, &count, &bytes) == 3)
		open_many(s, port, count, bytes);
	else if (sscanf(line, "counter %63s", name) == 1)
		counter_tell(s, name);
	else if (!strcmp(line, "addresses"))
		addresses_tell(s);
	else if (!strcmp(line, "usage"))
		usage_tell(s);
	else if (!strcmp(line, "farewell"))
		reply("%" PRIu64, farewell_bytes);
	else if (!strcmp(line, "stalled"))
		reply("%u", stalled ? tcp_conn_rx(stalled)->bytes : 0);
	else if (!strcmp(line, "held"))
		reply("%u %s", held_count, held_reason < 0 ? "open" : tcp_reason_text(held_reason));
	else if (sscanf(line, "write %u", &bytes) == 1)
		held_write(bytes);
	else if (!strcmp(line, "quit"))
		over = true;
	else
		reply("no such request: %s", line);
}

void service_start(struct stack *s)
{
	static const struct {
		uint16_t port;
		const struct tcp_app *app;
	} services[] = {{SERVICE_ECHO, &echo_app}, {SERVICE_SLOW, &slow_app}, {SERVICE_RESET, &reset_app},
		{SERVICE_FAREWELL, &farewell_app}, {SERVICE_HOLD, &held_app}};

	for (unsigned i = 0; i < RTE_DIM(services); i++)
		MUST(tcp_listen(s, NULL, services[i].port, NULL, services[i].app, NULL, NULL) == 0);
}

void service_turn(struct stack *s, uint64_t now_us)
{
	struct tcp_conn *c = stalled;

	clock_us = now_us;
	if (!c || now_us < stalled_until_us)
		return;
	stalled = NULL;
	echo_and_end(c);
}

uint64_t service_next_us(void)
{
	return stalled ? stalled_until_us : UINT64_MAX;
}

int service_over(void)
{
	return over;
}
