/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/port.h"

#include <stdio.h>

#include "runtime/check.h"
#include "tcpstack/stack.h"
#include "tests/sim/frame.h"
#include "tests/unit/offload.h"

enum { UNSEEN_PERMILLE = 100 };

struct sending {
	struct sim_port *port;
	struct rte_mempool *pool;
	void (*out)(struct sim_port *p, struct rte_mbuf *f);
};

static void piece(void *ctx, uint8_t *frame, uint32_t n)
{
	struct sending *s = ctx;
	struct rte_mbuf *m = rte_pktmbuf_alloc(s->pool);

	MUST(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
	s->out(s->port, m);
	rte_pktmbuf_free(m);
}

static void hold_take(struct sim_port *p, struct rte_mbuf *f)
{
	if (!p->held_max) {
		rte_pktmbuf_free(f);
		return;
	}
	struct rte_mbuf **place = &p->held[p->held_next++ % p->held_max];
	rte_pktmbuf_free(*place); /* NULL is nothing */
	*place = f;
}

void sim_port_send_take(struct sim_port *p, struct rte_mbuf *f, struct rte_mempool *pool,
	void (*out)(struct sim_port *p, struct rte_mbuf *f))
{
	struct sending s = {p, pool, out};

	if (p->offload_flags) {
		const char *wrong = offload_send(
			&(struct offload_port){.flags = p->offload_flags, .out = piece, .ctx = &s}, f);
		if (wrong)
			printf("# host%u: %s\n", p->host, wrong);
		MUST(!wrong);
	} else {
		out(p, f);
	}
	hold_take(p, f);
}

void sim_port_clear(struct sim_port *p)
{
	for (unsigned i = 0; i < p->held_max; i++) {
		rte_pktmbuf_free(p->held[i]);
		p->held[i] = NULL;
	}
}

void sim_port_received(struct sim_port *p, struct rte_mbuf *f, struct sim_random *dice)
{
	static uint8_t bytes[UINT16_MAX];
	struct sim_frame head;
	bool l3_good, l4_good;

	if (!(p->offload_flags & STACK_OFFLOAD_RX_CKSUM) || sim_permille(dice, UNSEEN_PERMILLE))
		return;
	MUST(f->pkt_len <= sizeof(bytes));
	const uint8_t *data = rte_pktmbuf_read(f, 0, f->pkt_len, bytes);
	if (data != bytes)
		memcpy(bytes, data, f->pkt_len);
	sim_frame_read_bytes(bytes, f->pkt_len, &head);
	if (!head.version)
		return;
	sim_frame_checksums(&head, &l3_good, &l4_good);
	if (head.version == 4)
		f->ol_flags |= l3_good ? RTE_MBUF_F_RX_IP_CKSUM_GOOD : RTE_MBUF_F_RX_IP_CKSUM_BAD;
	if (head.protocol == SIM_PROTOCOL_TCP && !head.fragment)
		f->ol_flags |= l4_good ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : RTE_MBUF_F_RX_L4_CKSUM_BAD;
}
