/* SPDX-License-Identifier: Apache-2.0 */
/* Runs packet scripts against one stack on a virtual clock and prints TAP: a test a file. A script is a list
 * of lines
 *
 *   config KEY VALUE            before the first timed line: see config.c
 *   +TIME < SEGMENT             the peer sends (see segment.h)
 *   +TIME <+ SEGMENT            the same, but it arrives in one burst with the next one
 *   +TIME < icmp KIND [mtu N] [quote N] [ptr N] [from ADDRESS] [badsum] SEGMENT
 *                               an ICMP error about a segment of ours (its numbers are the stack's): kinds in
 *                               icmp.c; quote: bytes of it behind its IP header, 8 unless told
 *   +TIME < icmp echo [data N] [id N] [FIELD]...
 *   +TIME < arp ..., nd ..., mld ...
 *                               see arp.c, discovery.c, listener.c
 *   +TIME < raw HEX...          a whole frame
 *   +TIME > SEGMENT             the stack sends: TIME after the line before, a millisecond off at most
 *   +TIME > any                 it sends some segment of TCP
 *   +TIME > flight N[:M] of BYTES
 *                               it sends N (to M) segments of BYTES, one behind the other, and no more
 *   +TIME > icmp KIND [data N] [id N] [ptr N] [FIELD]...
 *                               an error quotes what the peer has sent
 *   +TIME > arp ..., nd ..., mld ...
 *   +TIME CALL [; CALL]...      the application acts, or the script looks at something; all in one turn
 *   repeat N                    the lines up to "end" so often
 *
 * TIME is a number with us, ms (the default) or s. +A..B > says that what is expected comes between A and B
 * from now: the clock is then where it came. Whatever the stack sends must be expected by the next line: a
 * segment that is not fails the script, and so "+10s nothing" says that it is silent that long. ARP and
 * neighbour discovery happen behind the scenes unless the configuration says otherwise. Calls:
 *
 *   option NAME VALUE | filter allow PREFIX | filter deny PREFIX: for the next listen or connect
 *   listen [ADDRESS] | unlisten | connect [ADDRESS [refused]]
 *   announce      address ADDRESS tentative | used | duplicate: what became of it
 *   accept: a connection was accepted     nothing: the time passes
 *   write N...      write N refused      read N      readable N: so much could be read      autoread
 *   autowrite N: the application always has so many bytes queued or on their way
 *   shutdown | close | abort     nodelay 0 | 1     cork 0 | 1
 *   urgent | urgent_in N | dscp N | usertimeout US | keepalive IDLE_US INTERVAL_US PROBES
 *   event NAME [WORD]   accepted, connected [0 or error], readable, urgent, peer_closed, writable,
 *                       closed [reason]: happened since it was last asked for     noevent NAME
 *   held N: receive buffers that connections hold
 *   state NAME    unreachable 0 | 1: what tcp_conn_info says    conns N    counter NAME N
 *   isn ..., ts ..., port ...: what the stack chose last, see application.c    pool empty | full | left N
 *
 * packetscript --offload runs the scripts on a port that does all it can: what they see stays the same.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script/run.h"
#include "tests/unit/unit.h"

enum { LINE_BYTES_MAX = 1000 };

struct script_run run;
struct rte_mempool *pool, *peer_pool;
static bool offload;
static uint32_t isn_of_port[UINT16_MAX + 1];

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

/* A number with its unit; *end is left behind them. */
static bool parse_duration(char **end, uint64_t *us)
{
	char *text = *end;
	double v = strtod(text, end), unit = 1000;

	if (*end == text)
		return false;
	if (!strncmp(*end, "us", 2))
		unit = 1, *end += 2;
	else if (!strncmp(*end, "ms", 2))
		*end += 2;
	else if (**end == 's')
		unit = 1000000, ++*end;
	*us = (uint64_t)(v * unit + 0.5);
	return true;
}

/* +TIME or +TIME..TIME */
static bool parse_time(const char **text, uint64_t *us, uint64_t *slack_us)
{
	char copy[64], *end = copy, *dots;
	uint64_t to_us;

	snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(*text + 1, " \t"), *text + 1);
	if ((dots = strstr(copy, "..")))
		*dots = 0;
	if (!parse_duration(&end, us) || *end)
		return false;
	if (dots) {
		end = dots + 2;
		if (!parse_duration(&end, &to_us) || *end || to_us < *us)
			return false;
		*slack_us = to_us - *us;
	}
	*text += 1 + strcspn(*text + 1, " \t");
	while (isspace((unsigned char)**text))
		++*text;
	return true;
}

static void stack_begin(void)
{
	if (run.config.mtu < 1280) /* less than IPv6 takes: IPv4's address alone, which is the first */
		run.config.address_count = 1;
	run.stack = stack_create(&run.config, run.now_us);
	if (!run.stack) {
		fail("the configuration is not accepted");
		return;
	}
	neighbour_tell();
	wire_turn();
}

/* "repeat N" and "end", which jumps back. False when text is neither. */
static bool repeat_line(const char *text, FILE *f)
{
	static long from;
	static int from_line;
	static unsigned left;

	if (sscanf(text, "repeat %u", &left) == 1) {
		from = ftell(f);
		from_line = run.line;
		return true;
	}
	if (strncmp(text, "end", 3))
		return false;
	if (left && --left) {
		fseek(f, from, SEEK_SET);
		run.line = from_line;
	}
	return true;
}

static void do_line(char *line, FILE *f)
{
	const char *text = line;
	uint64_t after_us, slack_us = 0;

	line[strcspn(line, "#\r\n")] = 0;
	while (isspace((unsigned char)*text))
		text++;
	if (!*text)
		return;
	if (!run.stack && config_line(text))
		return;
	if (!run.stack)
		stack_begin();
	if (run.failed)
		return;
	if (repeat_line(text, f))
		return;
	if (*text != '+' || !parse_time(&text, &after_us, &slack_us)) {
		fail("a line begins with +TIME");
		return;
	}
	if (*text == '>') {
		wire_expect(text + 1, run.now_us + after_us, slack_us);
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

static bool run_script(const char *path)
{
	char line[LINE_BYTES_MAX];
	FILE *f = fopen(path, "r");

	memset(&run, 0, sizeof(run));
	run.path = path;
	run.now_us = 10000000;
	run.base.peer_isn = 1000000;
	memset(isn_of_port, 0, sizeof(isn_of_port));
	run.base.isn_of_port = isn_of_port;
	run.stack_port = STACK_PORT;
	run.written = run.read = 1;
	config_defaults(&run.config);
	if (offload)
		run.config.offload_flags = STACK_OFFLOAD_TX_IPV4_CKSUM | STACK_OFFLOAD_TX_TCP_CKSUM |
					   STACK_OFFLOAD_RX_CKSUM | STACK_OFFLOAD_MULTI_SEG |
					   STACK_OFFLOAD_TX_TSO;
	if (!f) {
		fail("cannot be read: %s", strerror(errno));
		return false;
	}
	while (!run.failed && fgets(line, sizeof(line), f)) {
		run.line++;
		do_line(line, f);
	}
	fclose(f);
	if (!run.failed)
		wire_expect_nothing();
	application_pool("full", 0);
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
	int failed = 0, first = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	pool = unit_pool("script", POOL_MBUFS, 9216);
	peer_pool = unit_pool("peer", POOL_MBUFS, 9216);
	if (argc > 1 && !strcmp(argv[1], "--offload")) {
		offload = true;
		first++;
	}
	printf("TAP version 13\n1..%d\n", argc - first);
	for (int i = first; i < argc; i++) {
		const char *name = strrchr(argv[i], '/');
		bool good = run_script(argv[i]);
		printf("%s %d %s\n", good ? "ok" : "not ok", i - first + 1, name ? name + 1 : argv[i]);
		failed += !good;
	}
	return failed != 0;
}
