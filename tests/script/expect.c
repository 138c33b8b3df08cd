/* SPDX-License-Identifier: Apache-2.0 */
/* What the stack is expected to send, and when: a line of the script against its frames. */
#include <stdio.h>
#include <string.h>

#include "tests/script/run.h"

enum { TOLERANCE_US = 1000 };

static uint64_t slack_us; /* by how much what is expected may come later */

/* What is not TCP: the words that begin such a line. */
static const struct {
	const char *word;
	const char *(*inject)(const char *text);
	void (*expect)(const char *text, const uint8_t *frame, uint32_t n);
	bool (*text)(const uint8_t *frame, uint32_t n, char *out);
} messages[] = {
	{"icmp", icmp_inject, icmp_expect, icmp_text},
	{"arp", arp_inject, arp_expect, arp_text},
	{"nd", nd_inject, nd_expect, nd_text},
	{"mld", mld_inject, mld_expect, mld_text},
	{"raw", raw_inject, NULL, NULL},
};
enum { MESSAGES = sizeof(messages) / sizeof(messages[0]) };

/* The index of the kind of message that text begins with, and what follows; or -1. */
static int message_of(const char **text)
{
	char word[8] = "";
	int n = 0;

	sscanf(*text, " %7s%n", word, &n);
	for (unsigned i = 0; i < MESSAGES; i++)
		if (!strcmp(messages[i].word, word)) {
			*text += n;
			return (int)i;
		}
	return -1;
}

void wire_inject(const char *text)
{
	bool more = *text == '+';

	text += more;
	int kind = message_of(&text);
	const char *wrong = kind >= 0 ? messages[kind].inject(text) : tcp_inject(text, more);
	if (wrong)
		fail("%s", wrong);
	else if (!more)
		wire_turn();
}

static void frame_text(const uint8_t *frame, uint32_t n, char *out)
{
	/* Discovery is ICMP too, and says more in its own words. */
	for (unsigned i = MESSAGES; i-- > 0;)
		if (messages[i].text && messages[i].text(frame, n, out))
			return;
}

/* The oldest frame that the stack sent, in out; false when it is broken. */
static bool sent_first(struct segment *out)
{
	const char *broken = NULL;

	if (!segment_from_frame(out, &run.base, run.sent[0].bytes, run.sent[0].n, &broken)) {
		char text[MESSAGE_TEXT_BYTES] = "something that is not TCP";
		frame_text(run.sent[0].bytes, run.sent[0].n, text);
		fail("the stack sent %s", text);
		return false;
	}
	if (broken)
		fail("the stack sent a segment with %s wrong", broken);
	return !broken;
}

void wire_expect_nothing(void)
{
	struct segment g;
	char text[SEGMENT_TEXT_BYTES];

	if (run.sent_count && sent_first(&g))
		fail("unexpected: > %s, %lld us ago", segment_text(&g, text),
			(long long)(run.now_us - run.sent[0].at_us));
}

/* A connection between the same two ends as the last one numbers from behind it (RFC 9293 section 3.4.1):
 * what is left of the old one in the network must not fit. */
static void check_numbers(const struct segment *g)
{
	uint32_t start = run.base.stack_isn + (uint32_t)g->seq;
	uint32_t end = start + g->len + ((g->flags & 3) != 0);
	bool syn = g->flags & 2;

	if (syn && run.sent_edge_port == g->peer_port && run.sent_edge_from == g->stack_port &&
		ip_equal(&run.sent_edge_addr, &g->below.dst) && run.last_isn != run.base.stack_isn &&
		(int32_t)(start - run.sent_edge) <= 0)
		fail("the initial number lies in the last connection's numbers");
	if (syn || (int32_t)(end - run.sent_edge) > 0)
		run.sent_edge = end;
	run.sent_edge_port = g->peer_port;
	run.sent_edge_from = g->stack_port;
	run.sent_edge_addr = g->below.dst;
	run.last_isn = run.base.stack_isn;
}

/* The oldest frame that the stack sent is want; NULL: any segment. */
static void expect_segment(struct segment *want)
{
	struct segment seen;
	char a[SEGMENT_TEXT_BYTES], b[SEGMENT_TEXT_BYTES];

	if (!sent_first(&seen))
		return;
	if (want && !want->below.has_vlan) {
		want->below.has_vlan = true;
		want->below.vlan = run.vlan;
	}
	const char *wrong = want ? segment_differs(want, &seen) : NULL;
	if (wrong) {
		fail("%s differ: expected %s, seen %s", wrong, segment_text(want, a), segment_text(&seen, b));
	}
	check_numbers(&seen);
	if ((seen.flags & 18) == 2) /* a SYN, whatever it says of ECN */
		run.stack_port = seen.stack_port;
}

/* Waits for a frame; false where there is none. */
static bool sent_wait(uint64_t at_us)
{
	wire_clock_to(at_us + slack_us + TOLERANCE_US, true);
	if (!run.sent_count)
		fail("the stack sent nothing");
	return run.sent_count;
}

static void sent_take(uint64_t at_us)
{
	if (run.sent[0].at_us + TOLERANCE_US < at_us)
		fail("sent %lld us too early", (long long)(at_us - run.sent[0].at_us));
	wire_sent_forget();
}

/* Data in segments of so many bytes, one behind the other. */
static void expect_every(const struct segment *whole, uint64_t at_us)
{
	int64_t end = whole->seq + whole->len;

	for (struct segment g = *whole; g.seq < end && !run.failed; g.seq += g.len) {
		g.len = end - g.seq < g.every ? (uint32_t)(end - g.seq) : g.every;
		if (!sent_wait(at_us))
			return;
		expect_segment(&g);
		sent_take(at_us);
	}
}

/* "flight N[:M] of BYTES": so many segments of BYTES, one behind the other from the first one's number on,
 * and no more. */
static void expect_flight(unsigned from, unsigned to, unsigned bytes, uint64_t at_us)
{
	struct segment seen;
	unsigned n = 0;
	int64_t next = 0;

	if (!sent_wait(at_us))
		return;
	for (; run.sent_count && !run.failed; n++) {
		if (!sent_first(&seen))
			return;
		if (seen.len != bytes || (n && seen.seq != next))
			fail("segment %u of the flight is %lld:%lld", n + 1, (long long)seen.seq,
				(long long)seen.seq + seen.len);
		next = seen.seq + seen.len;
		check_numbers(&seen);
		sent_take(at_us);
	}
	if (n < from || n > to)
		fail("the flight is of %u segments", n);
}

/* False when text does not tell of a flight. */
static bool flight_parse(const char *text, unsigned *from, unsigned *to, unsigned *bytes)
{
	if (sscanf(text, " flight %u:%u of %u", from, to, bytes) == 3)
		return true;
	if (sscanf(text, " flight %u of %u", from, bytes) != 2)
		return false;
	*to = *from;
	return true;
}

static void expect_tcp(const char *text, uint64_t at_us)
{
	struct segment want;
	char word[8] = "";
	unsigned from, to, bytes;

	if (flight_parse(text, &from, &to, &bytes)) {
		expect_flight(from, to, bytes, at_us);
		return;
	}
	sscanf(text, " %7s", word);
	bool any = !strcmp(word, "any");
	const char *wrong = any ? NULL : segment_parse(&want, text, &run.base, true);
	if (wrong) {
		fail("%s", wrong);
		return;
	}
	if (!any && want.every) {
		expect_every(&want, at_us);
	} else if (sent_wait(at_us)) {
		expect_segment(any ? NULL : &want);
		sent_take(at_us);
	}
}

void wire_expect(const char *text, uint64_t at_us, uint64_t later_us)
{
	int kind = message_of(&text);

	slack_us = later_us;
	if (kind < 0) {
		expect_tcp(text, at_us);
		return;
	}
	if (!sent_wait(at_us))
		return;
	if (messages[kind].expect)
		messages[kind].expect(text, run.sent[0].bytes, run.sent[0].n);
	else
		fail("no frame is expected as raw bytes");
	sent_take(at_us);
}
