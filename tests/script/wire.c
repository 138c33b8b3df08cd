/* SPDX-License-Identifier: Apache-2.0 */
/* Frames to the stack and from it, and the time between. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/check.h"
#include "runtime/wire.h"
#include "tests/script/run.h"
#include "tests/unit/offload.h"
#include "tests/unit/poison.h"

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

/* So that the stack's ICMP errors can be held against what they quote. */
enum { INJECTED_MAX = 16, INJECTED_BYTES = 1500 };
static struct {
	uint8_t ip[INJECTED_BYTES];
	uint32_t n;
} injected[INJECTED_MAX];
static unsigned injected_next;

static void injected_note(const uint8_t *frame, uint32_t n)
{
	uint32_t eth = n > 18 && wire_get16(frame + 12) == 0x8100 ? 18 : 14;

	n = n > eth ? n - eth : 0;
	injected[injected_next].n = n < INJECTED_BYTES ? n : INJECTED_BYTES;
	memcpy(injected[injected_next].ip, frame + eth, injected[injected_next].n);
	injected_next = (injected_next + 1) % INJECTED_MAX;
}

bool wire_injected(const uint8_t *ip, uint32_t n)
{
	for (unsigned i = 0; i < INJECTED_MAX; i++)
		if (n <= injected[i].n && !memcmp(ip, injected[i].ip, n))
			return true;
	return false;
}

void wire_burst_input(void)
{
	unsigned n = run.burst_count;

	run.burst_count = 0;
	poison_around(run.burst, n);
	stack_input(run.stack, run.burst, n, run.now_us);
}

void wire_burst_add(const uint8_t *frame, uint32_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(peer_pool);

	MUST(m);
	injected_note(frame, n);
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
	run.burst[run.burst_count++] = m;
	if (run.burst_count == STACK_BURST)
		wire_burst_input();
}

void wire_inject_packet(const struct packet *p, uint8_t protocol, const uint8_t *payload, uint32_t n)
{
	static uint8_t frame[PACKET_HEADERS_MAX + FRAME_BYTES_MAX];
	struct packet tagged = *p;

	if (!p->has_vlan)
		tagged.vlan = run.vlan;
	wire_input(frame, packet_frame(&tagged, run.base.v6, protocol, payload, n, frame));
}

void wire_input(const uint8_t *frame, uint32_t n)
{
	wire_burst_add(frame, n);
	if (run.burst_count)
		wire_burst_input();
}

void wire_turn(void)
{
	application_write();
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

void wire_sent_forget(void)
{
	free(run.sent[0].bytes);
	run.sent_count--;
	memmove(run.sent, run.sent + 1, run.sent_count * sizeof(run.sent[0]));
}

void wire_sent_clear(void)
{
	while (run.sent_count)
		wire_sent_forget();
}
