/* SPDX-License-Identifier: Apache-2.0 */
/* What the peer sends, what the stack sends, and the time between. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/check.h"
#include "runtime/wire.h"
#include "tests/script/run.h"
#include "tests/unit/offload.h"
#include "tests/unit/poison.h"

enum { TOLERANCE_US = 1000 };

static void captured(void *ctx, uint8_t *frame, uint32_t n)
{
	if (neighbour_captured(frame, n))
		return;
	if (run.sent_count == SENT_MAX) {
		fail("the stack floods");
		return;
	}
	uint8_t *copy = malloc(n);
	memcpy(copy, frame, n);
	run.sent[run.sent_count].at_us = run.now_us;
	run.sent[run.sent_count].n = n;
	run.sent[run.sent_count++].bytes = copy;
}

void wire_capture(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	const struct offload_port port = {.flags = run.config.offload_flags, .out = captured};

	for (unsigned i = 0; i < n; i++) {
		const char *wrong = offload_send(&port, frames_take[i]);
		if (wrong)
			fail("%s", wrong);
	}
	rte_pktmbuf_free_bulk(frames_take, n);
}

static void burst_add(const uint8_t *frame, uint32_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(peer_pool);

	MUST(m && run.burst_count < STACK_BURST);
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
	run.burst[run.burst_count++] = m;
}

void wire_input_tagged(const uint8_t *frame, uint32_t n)
{
	static uint8_t tagged[FRAME_BYTES_MAX + 4];

	if (!run.vlan) {
		wire_input(frame, n);
		return;
	}
	MUST(n + 4 <= sizeof(tagged));
	memcpy(tagged, frame, 12);
	wire_put16(tagged + 12, 0x8100);
	wire_put16(tagged + 14, run.vlan);
	memcpy(tagged + 16, frame + 12, n - 12);
	wire_input(tagged, n + 4);
}

void wire_input(const uint8_t *frame, uint32_t n)
{
	burst_add(frame, n);
	n = run.burst_count;
	run.burst_count = 0;
	poison_around(run.burst, n);
	stack_input(run.stack, run.burst, n, run.now_us);
}

void wire_turn(void)
{
	stack_output(run.stack, run.now_us);
	stack_timers(run.stack, run.now_us, 1000);
	neighbour_answer();
}

void wire_clock_to(uint64_t t, bool until_sent)
{
	for (;;) {
		uint64_t next = stack_next_us(run.stack);
		if (next > t || (until_sent && run.sent_count))
			break;
		if (next > run.now_us)
			run.now_us = next;
		wire_turn();
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
		char text[100] = "something that is not TCP";
		icmp_text(run.sent[0].bytes, run.sent[0].n, text);
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

static const char *inject_segment(const char *text, bool more)
{
	static uint8_t frame[FRAME_BYTES_MAX + SEGMENT_HEADERS_MAX];
	struct segment g;
	const char *wrong = segment_parse(&g, text, &run.base, false);

	if (wrong)
		return wrong;
	if (g.len > FRAME_BYTES_MAX - 100)
		return "the segment is too long";
	g.stack_port = run.stack_port;
	if (!g.has_vlan)
		g.vlan = run.vlan;
	uint32_t n = segment_to_frame(&g, &run.base, frame);
	if (more)
		burst_add(frame, n);
	else
		wire_input(frame, n);
	return NULL;
}

void wire_inject(const char *text)
{
	bool more = *text == '+';
	int skip = 0;

	text += more;
	sscanf(text, " icmp %n", &skip);
	const char *wrong = skip ? icmp_inject(text + skip) : inject_segment(text, more);
	if (wrong)
		fail("%s", wrong);
	else if (!more)
		wire_turn();
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

/* The oldest frame that the stack sent is what text says. */
static void expect_segment(const char *text)
{
	struct segment want, seen;
	char a[SEGMENT_TEXT_BYTES], b[SEGMENT_TEXT_BYTES], rest[2];
	bool any = sscanf(text, " any %1s", rest) == -1 && strstr(text, "any");
	const char *wrong = any ? NULL : segment_parse(&want, text, &run.base, true);

	if (wrong) {
		fail("%s", wrong);
		return;
	}
	if (!sent_first(&seen))
		return;
	if (!any && !want.has_vlan) {
		want.has_vlan = true;
		want.vlan = run.vlan;
	}
	wrong = any ? NULL : segment_differs(&want, &seen);
	if (wrong) {
		fail("%s differ: expected %s, seen %s", wrong, segment_text(&want, a),
			segment_text(&seen, b));
	}
	check_numbers(&seen);
	if ((seen.flags & 18) == 2) /* a SYN, whatever it says of ECN */
		run.stack_port = seen.stack_port;
}

void wire_expect(const char *text, uint64_t at_us)
{
	int skip = 0;

	wire_clock_to(at_us + TOLERANCE_US, true);
	if (!run.sent_count) {
		fail("the stack sent nothing");
		return;
	}
	uint64_t sent_us = run.sent[0].at_us;
	sscanf(text, " icmp %n", &skip);
	if (skip)
		icmp_expect(text + skip, run.sent[0].bytes, run.sent[0].n);
	else
		expect_segment(text);
	if (sent_us + TOLERANCE_US < at_us)
		fail("sent %lld us too early", (long long)(at_us - sent_us));
	sent_forget();
}

void wire_sent_clear(void)
{
	while (run.sent_count)
		sent_forget();
}
