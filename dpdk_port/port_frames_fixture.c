/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/port_frames_fixture.h"
#include "runtime/check.h"
#include "runtime/wire.h"
#include "tests/unit/unit.h"

struct frame_ends frame_ends_random(bool v6)
{
	struct frame_ends e = {.v6 = v6, .sport = (uint16_t)unit_random(), .dport = 5672};

	for (unsigned i = 0; i < (v6 ? 16u : 4u); i++) {
		e.src[i] = (uint8_t)unit_random();
		e.dst[i] = (uint8_t)unit_random();
	}
	return e;
}

struct frame_ends frame_ends_turned(const struct frame_ends *e)
{
	struct frame_ends t = {.v6 = e->v6, .sport = e->dport, .dport = e->sport};

	memcpy(t.src, e->dst, 16);
	memcpy(t.dst, e->src, 16);
	return t;
}

void frame_put(struct frame_bytes *f, const void *p, unsigned n)
{
	MUST(f->n + n <= sizeof(f->p));
	memcpy(f->p + f->n, p, n);
	f->n += n;
}

void frame_ether(struct frame_bytes *f, uint16_t type, unsigned vlan)
{
	uint8_t h[18] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0};

	wire_put16(h + 14, (uint16_t)vlan);
	wire_put16(h + (vlan ? 16 : 12), type);
	f->n = 0;
	frame_put(f, h, vlan ? 18 : 14);
}

void frame_ip(struct frame_bytes *f, const struct frame_ends *e, uint8_t protocol, uint16_t word)
{
	uint8_t h[40] = {e->v6 ? 0x60 : 0x45};

	if (e->v6) {
		h[6] = protocol;
		memcpy(h + 8, e->src, 16);
		memcpy(h + 24, e->dst, 16);
	} else {
		wire_put16(h + 6, word);
		h[9] = protocol;
		memcpy(h + 12, e->src, 4);
		memcpy(h + 16, e->dst, 4);
	}
	frame_put(f, h, e->v6 ? 40 : 20);
}

void frame_ports(struct frame_bytes *f, const struct frame_ends *e)
{
	uint8_t h[20] = {0};

	wire_put16(h, e->sport);
	wire_put16(h + 2, e->dport);
	frame_put(f, h, sizeof(h));
}

void frame_tcp(struct frame_bytes *f, const struct frame_ends *e)
{
	frame_ether(f, e->v6 ? 0x86dd : 0x0800, 0);
	frame_ip(f, e, 6, 0);
	frame_ports(f, e);
}

void frame_icmp_error(struct frame_bytes *f, const struct frame_ends *e, uint8_t type)
{
	struct frame_ends ours = frame_ends_turned(e), router = frame_ends_random(e->v6);
	uint8_t icmp[8] = {type};

	memcpy(router.dst, e->dst, 16);
	frame_ether(f, e->v6 ? 0x86dd : 0x0800, 0);
	frame_ip(f, &router, e->v6 ? 58 : 1, 0);
	frame_put(f, icmp, sizeof(icmp));
	frame_ip(f, &ours, 6, 0);
	frame_ports(f, &ours);
}

void frame_arp(struct frame_bytes *f)
{
	uint8_t arp[28] = {0, 1, 8, 0, 6, 4, 0, 1};

	frame_ether(f, 0x0806, 0);
	frame_put(f, arp, sizeof(arp));
}

struct rte_mbuf *frame_mbuf(struct rte_mempool *pool, const struct frame_bytes *f)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	MUST(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)f->n), f->p, f->n);
	return m;
}
