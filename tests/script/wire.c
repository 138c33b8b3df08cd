/* SPDX-License-Identifier: Apache-2.0 */
/* What the peer sends, what the stack sends, and the time between. */
#include <stdlib.h>
#include <string.h>

#include "runtime/check.h"
#include "runtime/wire.h"
#include "tests/script/run.h"

enum { TOLERANCE_US = 1000 };

void wire_capture(void *ctx, struct rte_mbuf **frames_take, unsigned n)
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
void wire_arp_tell(void)
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

void wire_turn(void)
{
	stack_output(run.stack, run.now_us);
	stack_timers(run.stack, run.now_us, 1000);
	if (run.arp_due)
		wire_arp_tell();
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
		fail("the stack sent something that is not TCP");
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

void wire_inject(const char *text)
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

void wire_expect(const char *text, uint64_t at_us)
{
	struct segment want, seen;
	char a[SEGMENT_TEXT_BYTES], b[SEGMENT_TEXT_BYTES];
	const char *wrong = segment_parse(&want, text, &run.base, true);

	if (wrong) {
		fail("%s", wrong);
		return;
	}
	wire_clock_to(at_us + TOLERANCE_US, true);
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

void wire_sent_clear(void)
{
	while (run.sent_count)
		sent_forget();
}
