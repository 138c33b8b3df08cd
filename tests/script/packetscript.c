/* SPDX-License-Identifier: Apache-2.0 */
/* Runs packet scripts against one stack on a virtual clock and prints TAP: a test a file. A script is a list
 * of lines
 *
 *   config KEY VALUE            before the first timed line: a member of struct stack_config, or peer_isn
 *   +TIME < SEGMENT             the peer sends (see segment.h)
 *   +TIME <+ SEGMENT            the same, but it arrives in one burst with the next one
 *   +TIME > SEGMENT             the stack sends: TIME after the line before, a millisecond off at most
 *   +TIME CALL [; CALL]...      the application acts, or the script looks at something; all in one turn
 *
 * TIME is a number with us, ms (the default) or s. Whatever the stack sends must be expected by the next
 * line: a segment that is not fails the script. ARP happens behind the scenes. Calls:
 *
 *   listen | unlisten | connect     accept: a connection was accepted
 *   write N...      write N refused      read N      readable N: so much could be read      autoread
 *   shutdown | close | abort
 *   event NAME [WORD]   accepted, connected [0 or error], readable, peer_closed, writable, closed [reason]:
 * happened since it was last asked for noevent NAME    state NAME    conns N    counter NAME N    pool empty
 * | full
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/check.h"
#include "runtime/wire.h"
#include "tcpstack/stack.h"
#include "tcpstack/tcp.h"
#include "tests/script/segment.h"
#include "tests/unit/unit.h"

enum { SENT_MAX = 256, POOL_MBUFS = 512, TOLERANCE_US = 1000, LINE_BYTES_MAX = 1000 };

enum event {
	EVENT_ACCEPTED,
	EVENT_CONNECTED,
	EVENT_READABLE,
	EVENT_PEER_CLOSED,
	EVENT_WRITABLE,
	EVENT_CLOSED,
	EVENTS
};
static const char *const event_names[EVENTS] = {
	"accepted", "connected", "readable", "peer_closed", "writable", "closed"};
static const char *const reason_names[] = {"done", "reset", "timed_out", "refused", "aborted"};

static struct rte_mempool *pool, *peer_pool;
static struct {
	const char *path;
	int line;
	bool failed;
	struct stack_config config;
	struct stack *stack;
	uint64_t now_us;
	struct segment_base base;
	struct {
		uint64_t at_us;
		uint32_t n;
		uint8_t *bytes;
	} sent[SENT_MAX];
	unsigned sent_count;
	bool arp_due;
	struct rte_mbuf *burst[STACK_BURST]; /* arrived, not taken in yet */
	unsigned burst_count;
	uint32_t sent_edge; /* behind everything that the stack sent on the last connection */
	uint16_t sent_edge_port;
	uint32_t last_isn;
	struct tcp_listener *listener;
	struct tcp_conn *conn;
	uint16_t stack_port;
	int64_t written, read; /* relative numbers of the next byte */
	unsigned events[EVENTS];
	int event_word[EVENTS];
	bool autoread;
	struct rte_mbuf *hoard[POOL_MBUFS + 1];
	unsigned hoarded;
} run;

__attribute__((format(printf, 1, 2))) static void fail(const char *fmt, ...)
{
	va_list ap;

	if (run.failed)
		return;
	run.failed = true;
	printf("# %s:%d: ", run.path, run.line);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(" (at %llu us)\n", (unsigned long long)run.now_us);
}

/* ---- the application ---- */

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
	.peer_closed = on_peer_closed,
	.writable = on_writable,
	.closed = on_closed};

/* ---- the wire ---- */

static void capture(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = frames_take[i];
		const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
		if (wire_get16(p + 12) == 0x0806) {
			run.arp_due |= p[21] == 1; /* a request */
		} else if (run.sent_count < SENT_MAX) {
			uint8_t *copy = malloc(m->pkt_len);
			memcpy(copy, p, m->pkt_len);
			run.sent[run.sent_count].at_us = run.now_us;
			run.sent[run.sent_count].n = m->pkt_len;
			run.sent[run.sent_count++].bytes = copy;
		} else {
			fail("the stack floods");
		}
		rte_pktmbuf_free(m);
	}
}

static void burst_add(const uint8_t *frame, uint32_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(peer_pool);

	MUST(m && run.burst_count < STACK_BURST);
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
	run.burst[run.burst_count++] = m;
}

static void input(const uint8_t *frame, uint32_t n)
{
	burst_add(frame, n);
	n = run.burst_count;
	run.burst_count = 0;
	stack_input(run.stack, run.burst, n, run.now_us);
}

/* The peer tells its address: in answer to a request, and before everything. */
static void arp_tell(void)
{
	uint8_t f[42] = {0};

	run.arp_due = false;
	memcpy(f, stack_mac, 6);
	memcpy(f + 6, peer_mac, 6);
	memcpy(f + 12, (uint8_t[]){8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, 10);
	memcpy(f + 22, peer_mac, 6);
	wire_put32(f + 28, PEER_ADDR);
	wire_put32(f + 38, STACK_ADDR);
	input(f, sizeof(f));
}

static void turn(void)
{
	stack_output(run.stack, run.now_us);
	stack_timers(run.stack, run.now_us, 1000);
	if (run.arp_due)
		arp_tell();
}

/* Moves the clock to t, through every timer; stops at the first frame sent when asked to. */
static void clock_to(uint64_t t, bool until_sent)
{
	for (;;) {
		uint64_t next = stack_next_us(run.stack);
		if (next > t || (until_sent && run.sent_count))
			break;
		if (next > run.now_us)
			run.now_us = next;
		turn();
	}
	if (!(until_sent && run.sent_count) && t > run.now_us)
		run.now_us = t;
}

static void sent_forget(void)
{
	free(run.sent[0].bytes);
	run.sent_count--;
	memmove(run.sent, run.sent + 1, run.sent_count * sizeof(run.sent[0]));
}

/* The oldest frame that the stack sent, in out; false when it is broken. */
static bool sent_first(struct segment *out)
{
	const char *broken = NULL;

	if (!segment_from_frame(out, &run.base, run.sent[0].bytes, run.sent[0].n, &broken)) {
		fail("the stack sent something that is not TCP");
		return false;
	}
	if (broken)
		fail("the stack sent a segment with %s wrong", broken);
	return !broken;
}

static void expect_nothing_sent(void)
{
	struct segment g;
	char text[SEGMENT_TEXT_BYTES];

	if (run.sent_count && sent_first(&g))
		fail("unexpected: > %s, %lld us ago", segment_text(&g, text),
			(long long)(run.now_us - run.sent[0].at_us));
}

static void do_inject(const char *text)
{
	bool more = *text == '+';
	struct segment g;
	uint8_t frame[FRAME_BYTES_MAX + 100];
	const char *wrong = segment_parse(&g, text + more, &run.base, false);

	if (wrong) {
		fail("%s", wrong);
		return;
	}
	if (g.len > FRAME_BYTES_MAX - 100) {
		fail("the segment is too long");
		return;
	}
	g.stack_port = run.stack_port;
	if (more) {
		burst_add(frame, segment_to_frame(&g, &run.base, frame));
		return;
	}
	input(frame, segment_to_frame(&g, &run.base, frame));
	turn();
}

/* A connection between the same two ends as the last one numbers from behind it (RFC 9293 section 3.4.1):
 * what is left of the old one in the network must not fit. */
static void check_numbers(const struct segment *g)
{
	uint32_t start = run.base.stack_isn + (uint32_t)g->seq;
	uint32_t end = start + g->len + ((g->flags & 3) != 0);
	bool syn = g->flags & 2;

	if (syn && run.sent_edge_port == g->peer_port && run.last_isn != run.base.stack_isn &&
		(int32_t)(start - run.sent_edge) <= 0)
		fail("the initial number lies in the last connection's numbers");
	if (syn || (int32_t)(end - run.sent_edge) > 0)
		run.sent_edge = end;
	run.sent_edge_port = g->peer_port;
	run.last_isn = run.base.stack_isn;
}

static void do_expect(const char *text, uint64_t at_us)
{
	struct segment want, seen;
	char a[SEGMENT_TEXT_BYTES], b[SEGMENT_TEXT_BYTES];
	const char *wrong = segment_parse(&want, text, &run.base, true);

	if (wrong) {
		fail("%s", wrong);
		return;
	}
	clock_to(at_us + TOLERANCE_US, true);
	if (!run.sent_count) {
		fail("the stack sent nothing");
		return;
	}
	uint64_t sent_us = run.sent[0].at_us;
	if (!sent_first(&seen))
		return;
	wrong = segment_differs(&want, &seen);
	if (wrong) {
		fail("%s differ: expected %s, seen %s", wrong, segment_text(&want, a),
			segment_text(&seen, b));
	}
	if (sent_us + TOLERANCE_US < at_us)
		fail("sent %lld us too early", (long long)(at_us - sent_us));
	check_numbers(&seen);
	if (seen.flags == 2)
		run.stack_port = seen.stack_port;
	sent_forget();
}

/* ---- calls ---- */

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

static void call_pool(const char *word)
{
	if (!strcmp(word, "empty")) {
		while ((run.hoard[run.hoarded] = rte_pktmbuf_alloc(run.config.tx_pool)))
			run.hoarded++;
	} else {
		rte_pktmbuf_free_bulk(run.hoard, run.hoarded);
		run.hoarded = 0;
	}
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

/* Calls on the stack and the listener. False when name is none of them. */
static bool call_stack(const char *name, const char *a, const char *b)
{
	if (!strcmp(name, "listen")) {
		if (tcp_listen(run.stack, 0, STACK_PORT, NULL, &app, NULL, &run.listener))
			fail("listen failed");
	} else if (!strcmp(name, "unlisten")) {
		tcp_listener_close(run.listener);
	} else if (!strcmp(name, "connect")) {
		run.conn = tcp_connect(run.stack, PEER_ADDR, PEER_PORT, NULL, &app, NULL, run.now_us);
		if (!run.conn)
			fail("connect failed");
	} else if (!strcmp(name, "accept")) {
		call_event("accepted", "");
	} else if (!strcmp(name, "event")) {
		call_event(a, b);
	} else if (!strcmp(name, "noevent")) {
		if (run.events[event_of(a)])
			fail("%s happened", a);
	} else if (!strcmp(name, "conns")) {
		if (stack_usage(run.stack).conns != (uint32_t)atoi(a))
			fail("there are %u connections", stack_usage(run.stack).conns);
	} else if (!strcmp(name, "counter")) {
		call_counter(a, b);
	} else if (!strcmp(name, "pool")) {
		call_pool(a);
	} else if (!strcmp(name, "autoread")) {
		run.autoread = true;
	} else {
		return false;
	}
	return true;
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

static void do_calls(char *text)
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
	turn();
}

/* ---- lines ---- */

#define KEY(name)                                                                                    \
	{                                                                                            \
#name, offsetof(struct stack_config, name), sizeof(((struct stack_config *)0)->name) \
	}
static const struct {
	const char *name;
	size_t offset, size;
} keys[] = {KEY(mtu), KEY(offload_flags), KEY(conn_max), KEY(syn_backlog_max), KEY(time_wait_max),
	KEY(reass_segments_max), KEY(reass_conn_segments_max), KEY(rx_buffer_bytes), KEY(tx_buffer_bytes),
	KEY(rto_us_initial), KEY(rto_us_min), KEY(rto_us_max), KEY(delayed_ack_us), KEY(user_timeout_us),
	KEY(connect_timeout_us), KEY(half_open_timeout_us), KEY(time_wait_us), KEY(fin_wait_2_us),
	KEY(keepalive_us), KEY(keepalive_interval_us), KEY(keepalive_probes), KEY(challenge_acks_per_s)};

static void do_config(const char *name, unsigned long value)
{
	if (!strcmp(name, "peer_isn")) {
		run.base.peer_isn = (uint32_t)value;
		return;
	}
	if (!strcmp(name, "clock_us")) {
		run.now_us = value;
		return;
	}
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(keys[i].name, name)) {
			memcpy((uint8_t *)&run.config + keys[i].offset, &value, keys[i].size);
			return;
		}
	fail("no key is called %s", name);
}

static bool parse_time(const char **text, uint64_t *us)
{
	char *end;
	double v = strtod(*text + 1, &end);
	double unit = 1000;

	if (end == *text + 1)
		return false;
	if (!strncmp(end, "us", 2))
		unit = 1, end += 2;
	else if (!strncmp(end, "ms", 2))
		end += 2;
	else if (*end == 's')
		unit = 1000000, end++;
	*us = (uint64_t)(v * unit + 0.5);
	while (isspace((unsigned char)*end))
		end++;
	*text = end;
	return true;
}

static void stack_begin(void)
{
	run.stack = stack_create(&run.config, run.now_us);
	if (!run.stack) {
		fail("the configuration is not accepted");
		return;
	}
	arp_tell();
	turn();
}

static void do_line(char *line)
{
	const char *text = line;
	char name[64];
	unsigned long value;
	uint64_t after_us;

	line[strcspn(line, "#\r\n")] = 0;
	while (isspace((unsigned char)*text))
		text++;
	if (!*text)
		return;
	if (sscanf(text, "config %63s %lu", name, &value) == 2 && !run.stack) {
		do_config(name, value);
		return;
	}
	if (!run.stack)
		stack_begin();
	if (run.failed)
		return;
	if (*text != '+' || !parse_time(&text, &after_us)) {
		fail("a line begins with +TIME");
		return;
	}
	if (*text == '>') {
		do_expect(text + 1, run.now_us + after_us);
		return;
	}
	expect_nothing_sent();
	clock_to(run.now_us + after_us, false);
	expect_nothing_sent();
	if (run.failed)
		return;
	if (*text == '<')
		do_inject(text + 1);
	else
		do_calls(line + (text - line));
}

static void config_defaults(struct stack_config *c)
{
	stack_config_defaults(c);
	memcpy(c->mac, stack_mac, 6);
	c->ipv4_address = STACK_ADDR;
	c->tx_pool = pool;
	c->key = (struct siphash_key){1, 2};
	c->tx = capture;
	c->conn_max = 16;
	c->syn_backlog_max = 8;
	c->time_wait_max = 8;
	c->rx_buffer_bytes = 65535;
	c->tx_buffer_bytes = 65535;
	c->delayed_ack_us = 0;
	c->arp_lifetime_us = 2000000000;
}

static bool run_script(const char *path)
{
	char line[LINE_BYTES_MAX];
	FILE *f = fopen(path, "r");

	memset(&run, 0, sizeof(run));
	run.path = path;
	run.now_us = 10000000;
	run.base.peer_isn = 1000000;
	run.stack_port = STACK_PORT;
	run.written = run.read = 1;
	config_defaults(&run.config);
	if (!f) {
		fail("cannot be read: %s", strerror(errno));
		return false;
	}
	while (!run.failed && fgets(line, sizeof(line), f)) {
		run.line++;
		do_line(line);
	}
	fclose(f);
	if (!run.failed)
		expect_nothing_sent();
	call_pool("full");
	rte_pktmbuf_free_bulk(run.burst, run.burst_count);
	while (run.sent_count)
		sent_forget();
	if (run.stack)
		stack_destroy(run.stack);
	else
		fail("nothing was run");
	if (!unit_pool_full(pool) || !unit_pool_full(peer_pool))
		fail("a buffer leaked");
	return !run.failed;
}

int main(int argc, char **argv)
{
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	pool = unit_pool("script", POOL_MBUFS, 9216);
	peer_pool = unit_pool("peer", POOL_MBUFS, 9216);
	printf("TAP version 13\n1..%d\n", argc - 1);
	for (int i = 1; i < argc; i++) {
		const char *name = strrchr(argv[i], '/');
		bool good = run_script(argv[i]);
		printf("%s %d %s\n", good ? "ok" : "not ok", i, name ? name + 1 : argv[i]);
		failed += !good;
	}
	return failed != 0;
}
