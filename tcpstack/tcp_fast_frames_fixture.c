/* SPDX-License-Identifier: Apache-2.0 */
/* Segments as frames, in one buffer or in pieces. */
#include "tcpstack/checksum.h"
#include "tcpstack/tcp_fast_fixture.h"
#include "tests/unit/poison.h"

enum { US4 = 0x0a000001, PEER4 = 0x0a000002 };

static struct rte_mempool *rx_pool;

void tf_frames_begin(void)
{
	rx_pool = unit_pool("rx", 8191, TF_ROOM);
}

bool tf_frames_all_back(void)
{
	return unit_pool_full(rx_pool);
}

static uint32_t options_put(uint8_t *o, const struct tf_segment *g)
{
	uint8_t *at = o;

	if (g->syn_options) {
		wire_put32(at, 0x020405b4);
		wire_put32(at + 4, 0x01030306);
		wire_put32(at + 8, g->k % 4 < 2 ? 0x01010402 : 0x01010101);
		at += 12;
	}
	if (tf_timestamps_on(g->k) && !g->no_timestamp) {
		wire_put32(at, g->odd_options ? 0x080a0000 : 0x0101080a);
		memset(at + 2, 0, 2 * g->odd_options);
		wire_put32(at + 4 - 2 * g->odd_options, g->ts_val);
		wire_put32(at + 8 - 2 * g->odd_options, g->ts_ecr);
		if (g->odd_options)
			wire_put16(at + 10, 0x0101);
		at += 12;
	}
	if (g->sack) {
		wire_put32(at, 0x0101050a);
		wire_put32(at + 4, g->ack + 100);
		wire_put32(at + 8, g->ack + 200);
		at += 12;
	}
	return (uint32_t)(at - o);
}

static uint32_t frame_make(uint8_t *h, const struct tf_segment *g)
{
	bool v6 = tf_over_ipv6(g->k);
	uint32_t l2 = tf_how.vlan ? 18 : 14, ip = v6 ? 40 : 20;
	uint8_t *i = h + l2, *t = i + ip;
	uint32_t header = 20 + options_put(t + 20, g), n = header + g->len;
	struct ip_addr src = tf_address(v6, 2), dst = tf_address(v6, 1);

	memcpy(h, tf_our_mac, 6);
	memcpy(h + 6, tf_peer_mac, 6);
	if (tf_how.vlan)
		wire_put32(h + 12, 0x81000007);
	wire_put16(h + l2 - 2, v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
	memset(i, 0, ip);
	if (v6) {
		wire_put32(i, 6u << 28 | (uint32_t)g->ecn << 20);
		wire_put16(i + 4, (uint16_t)n);
		i[6] = 6;
		i[7] = 64;
		memcpy(i + 8, src.bytes, 16);
		memcpy(i + 24, dst.bytes, 16);
	} else {
		wire_put32(i, 0x45000000 | (uint32_t)g->ecn << 16 | (20 + n));
		i[6] = 0x40;
		i[8] = 64;
		i[9] = 6;
		wire_put32(i + 12, PEER4);
		wire_put32(i + 16, US4);
		wire_put16(i + 10, (uint16_t)~checksum_fold(checksum_add(0, i, 20)));
	}
	wire_put16(t, tf_ports[g->k]);
	wire_put16(t + 2, TF_PORT);
	wire_put32(t + 4, g->seq);
	wire_put32(t + 8, g->ack);
	t[12] = (uint8_t)(header / 4 << 4);
	t[13] = g->flags;
	wire_put16(t + 14, g->wnd);
	wire_put16(t + 16, 0);
	wire_put16(t + 18, g->urgent);
	for (uint32_t b = 0; b < g->len; b++)
		t[header + b] = (uint8_t)((g->seq + b) * 31 >> 3);
	uint64_t sum = checksum_add(checksum_pseudo(&src, &dst, 6, n), t, n);
	wire_put16(t + 16, (uint16_t)(~checksum_fold(sum) + g->bad_sum));
	memset(t + n, 0xee, g->pad);
	return l2 + ip + n + g->pad;
}

/* In one buffer, or in up to four, with the headers in the first. */
static struct rte_mbuf *buffers_of(
	const uint8_t *frame, uint32_t n, const struct tf_segment *g, unsigned pieces)
{
	struct rte_mbuf *first = NULL;
	uint32_t at = 0, headers = n - g->len - g->pad;

	for (unsigned i = 0; i < pieces; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool);
		uint32_t part = i + 1 == pieces ? n - at : (n - headers) / pieces + (i ? 0 : headers);
		MUST(m);
		memcpy(rte_pktmbuf_append(m, (uint16_t)part), frame + at, part);
		at += part;
		if (first)
			rte_pktmbuf_chain(first, m);
		else
			first = m;
	}
	if (tf_how.sums_by_port)
		first->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD |
				   (g->bad_sum ? RTE_MBUF_F_RX_L4_CKSUM_BAD : RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	return first;
}

void tf_input(const struct tf_segment *segs, unsigned n)
{
	static uint8_t frame[4096];
	struct rte_mbuf *in[2][TF_BURST_MAX];

	for (unsigned i = 0; i < n; i++) {
		uint32_t bytes = frame_make(frame, &segs[i]);
		unsigned pieces = unit_random_below(4) ? 1 : 1 + unit_random_below(4);
		in[0][i] = buffers_of(frame, bytes, &segs[i], pieces);
		in[1][i] = buffers_of(frame, bytes, &segs[i], tf_how.scatter_one ? 1 : pieces);
	}
	for (unsigned i = 0; i < 2; i++) {
		poison_around(in[i], n);
		stack_input(tf_nodes[i].stack, in[i], n, tf_now_us);
	}
}
