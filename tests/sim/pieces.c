/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/pieces.h"

#include "runtime/check.h"
#include "runtime/wire.h"
#include "tcpstack/checksum.h"
#include "tests/sim/frame.h"
#include "tests/sim/link.h"

enum { MORE_FRAGMENTS = 0x2000, FRAGMENT_BYTES = 8, PROTOCOL_FRAGMENT = 44 };

static void ipv4_header(uint8_t *p, uint32_t header, uint32_t n, uint32_t at, bool more, uint32_t id)
{
	wire_put16(p + 2, (uint16_t)(header + n));
	wire_put16(p + 4, (uint16_t)id);
	wire_put16(p + 6, (uint16_t)(at / 8 | (more ? MORE_FRAGMENTS : 0)));
	wire_put16(p + 10, 0);
	wire_put16(p + 10, (uint16_t)~checksum_fold(checksum_add(0, p, header)));
}

/* fragment: its own header, behind IPv6's. */
static void ipv6_header(uint8_t *p, uint8_t *fragment, uint32_t n, uint32_t at, bool more, uint32_t id)
{
	wire_put16(p + 4, (uint16_t)(FRAGMENT_BYTES + n));
	fragment[0] = p[6];
	fragment[1] = 0;
	wire_put16(fragment + 2, (uint16_t)(at | more));
	wire_put32(fragment + 4, id);
	p[6] = PROTOCOL_FRAGMENT;
}

void sim_pieces_send(struct rte_mempool *pool, struct rte_mbuf *f, uint32_t bytes, uint32_t id,
	void (*out)(void *ctx, struct rte_mbuf *m), void *ctx)
{
	struct sim_frame head;

	sim_frame_read(f, &head);
	MUST(head.version && !head.fragment && f->nb_segs == 1 && bytes % 8 == 0);
	bool v6 = head.version == 6;
	for (uint32_t at = 0; at < head.l4_bytes; at += bytes) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		uint32_t n = RTE_MIN(bytes, head.l4_bytes - at),
			 header = head.l4_at + (v6 ? FRAGMENT_BYTES : 0);
		bool more = at + n < head.l4_bytes;
		MUST(m);
		uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(header + n));
		memcpy(p, head.bytes, head.l4_at);
		memcpy(p + header, head.bytes + head.l4_at + at, n);
		if (v6)
			ipv6_header(p + head.l3_at, p + head.l4_at, n, at, more, id);
		else
			ipv4_header(p + head.l3_at, head.l4_at - head.l3_at, n, at, more, id);
		*sim_mark(m) = *sim_mark(f);
		out(ctx, m);
		rte_pktmbuf_free(m);
	}
}
