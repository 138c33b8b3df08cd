/* SPDX-License-Identifier: Apache-2.0 */
/* Runs packet scripts against one stack on a virtual clock and prints TAP: a test a file. A script is a list
 * of lines
 *
 *   config KEY VALUE            before the first timed line: a member of struct stack_config, or peer_isn
 *   config cc NAME              the same for the congestion control
 *   +TIME < SEGMENT             the peer sends (see segment.h)
 *   +TIME <+ SEGMENT            the same, but it arrives in one burst with the next one
 *   +TIME > SEGMENT             the stack sends: TIME after the line before, a millisecond off at most
 *   +TIME CALL [; CALL]...      the application acts, or the script looks at something; all in one turn
 *
 * TIME is a number with us, ms (the default) or s. Whatever the stack sends must be expected by the next
 * line: a segment that is not fails the script. ARP happens behind the scenes. Calls:
 *
 *   option NAME VALUE | filter allow PREFIX | filter deny PREFIX: for the next listen or connect
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

#include "tests/script/run.h"
#include "tests/unit/unit.h"

enum { LINE_BYTES_MAX = 1000 };

struct script_run run;
struct rte_mempool *pool, *peer_pool;

void fail(const char *fmt, ...)
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
	KEY(keepalive_us), KEY(keepalive_interval_us), KEY(keepalive_probes), KEY(challenge_acks_per_s),
	KEY(initial_window_segments)};

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
	wire_arp_tell();
	wire_turn();
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
	if (sscanf(text, "config cc %63s", name) == 1 && !run.stack) {
		run.config.cc = tcp_cc_by_name(name);
		return;
	}
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
		wire_expect(text + 1, run.now_us + after_us);
		return;
	}
	wire_expect_nothing();
	wire_clock_to(run.now_us + after_us, false);
	wire_expect_nothing();
	if (run.failed)
		return;
	if (*text == '<')
		wire_inject(text + 1);
	else
		application_calls(line + (text - line));
}

static void config_defaults(struct stack_config *c)
{
	stack_config_defaults(c);
	memcpy(c->mac, stack_mac, 6);
	stack_config_add(c, ip_v4(STACK_ADDR), 24);
	c->tx_pool = pool;
	c->key = (struct siphash_key){1, 2};
	c->tx = wire_capture;
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
		wire_expect_nothing();
	application_pool("full");
	rte_pktmbuf_free_bulk(run.burst, run.burst_count);
	wire_sent_clear();
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
