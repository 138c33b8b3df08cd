/* SPDX-License-Identifier: Apache-2.0 */
/* What the peer sends: a line of the script as frames. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script/run.h"

static bool inject_one(const struct segment *g)
{
	static uint8_t frame[FRAME_BYTES_MAX + SEGMENT_HEADERS_MAX];

	if (g->len > FRAME_BYTES_MAX - 100)
		return false;
	wire_burst_add(frame, segment_to_frame(g, &run.base, frame));
	if (g->has_ack)
		run.acked = g->ack;
	return true;
}

/* Data of a segment in pieces of every bytes, or an acknowledgement for each so many. */
static bool inject_every(struct segment g)
{
	int64_t ack = g.ack, end = g.seq + g.len;

	if (!g.every)
		return inject_one(&g);
	if (!g.len) {
		for (g.ack = run.acked + g.every; g.ack < ack; g.ack += g.every)
			inject_one(&g);
		g.ack = ack;
		return inject_one(&g);
	}
	for (; g.seq < end; g.seq += g.len) {
		g.len = end - g.seq < g.every ? (uint32_t)(end - g.seq) : g.every;
		if (!inject_one(&g))
			return false;
	}
	return true;
}

const char *tcp_inject(const char *text, bool more)
{
	struct segment g;
	const char *wrong = segment_parse(&g, text, &run.base, false);

	if (wrong)
		return wrong;
	g.stack_port = run.stack_port;
	if (!g.below.has_vlan)
		g.below.vlan = run.vlan;
	if (g.ack_all)
		g.ack = (int32_t)(run.sent_edge - run.base.stack_isn);
	if (!inject_every(g))
		return "the segment is too long";
	if (!more && run.burst_count)
		wire_burst_input();
	return NULL;
}

const char *raw_inject(const char *text)
{
	static uint8_t frame[FRAME_BYTES_MAX];
	uint32_t n = 0;
	char byte[3];

	for (int skip; sscanf(text, " %2[0-9a-fA-F]%n", byte, &skip) == 1 && n < sizeof(frame); text += skip)
		frame[n++] = (uint8_t)strtoul(byte, NULL, 16);
	if (!n)
		return "raw takes a frame's bytes in hexadecimal";
	wire_input(frame, n);
	return NULL;
}
