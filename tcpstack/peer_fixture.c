/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/peer_fixture.h"

#include "tests/unit/poison.h"

enum { ROOM = 2048, TURNS_MAX = 100000 };

struct rte_mempool *px_tx_pool, *px_rx_pool;
struct stack *px_stack;
uint64_t px_now_us;
uint32_t px_rx_room = ROOM;
uint64_t px_rx_flags;
bool px_keeping;
struct rte_mbuf *px_kept[PX_KEPT_MAX];
unsigned px_kept_count;

static void (*hears)(const uint8_t *frame, uint32_t n);

static void tx(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		hears(rte_pktmbuf_mtod(frames_take[i], const uint8_t *), frames_take[i]->pkt_len);
		if (px_keeping && px_kept_count < PX_KEPT_MAX)
			px_kept[px_kept_count++] = frames_take[i];
		else
			rte_pktmbuf_free(frames_take[i]);
	}
}

void px_pools(unsigned tx_buffers, unsigned rx_buffers)
{
	if (px_tx_pool)
		return;
	px_tx_pool = unit_pool("tx", tx_buffers, ROOM);
	px_rx_pool = unit_pool("rx", rx_buffers, ROOM);
}

struct stack_config px_config(void (*hears_each)(const uint8_t *frame, uint32_t n))
{
	struct stack_config c;

	hears = hears_each;
	stack_config_defaults(&c);
	memcpy(c.mac, stack_mac, 6);
	stack_config_add(&c, ip_v4(STACK_ADDR), 24);
	c.tx_pool = px_tx_pool;
	c.key = (struct siphash_key){1, 2};
	c.tx = tx;
	c.arp_lifetime_us = UINT32_MAX;
	return c;
}

void px_start(const struct stack_config *c)
{
	px_now_us = 1000000;
	px_rx_flags = 0;
	px_rx_room = ROOM;
	px_stack = stack_create(c, px_now_us);
	MUST(px_stack);
	px_tell_address();
}

void px_end(void)
{
	stack_destroy(px_stack);
	CU_ASSERT_TRUE(unit_pool_full(px_tx_pool));
	CU_ASSERT_TRUE(unit_pool_full(px_rx_pool));
}

void px_input(const uint8_t *frame, uint32_t n)
{
	struct rte_mbuf *m = NULL;

	for (uint32_t at = 0; at < n; at += px_rx_room) {
		struct rte_mbuf *part = rte_pktmbuf_alloc(px_rx_pool);
		uint32_t bytes = min_u32(n - at, px_rx_room);
		MUST(part);
		memcpy(rte_pktmbuf_append(part, (uint16_t)bytes), frame + at, bytes);
		if (m)
			MUST(rte_pktmbuf_chain(m, part) == 0);
		else
			m = part;
	}
	m->ol_flags |= px_rx_flags;
	poison_around(&m, 1);
	stack_input(px_stack, &m, 1, px_now_us);
}

void px_tell_address(void)
{
	uint8_t arp[42] = {0};

	memcpy(arp, stack_mac, 6);
	memcpy(arp + 6, peer_mac, 6);
	memcpy(arp + 12, (uint8_t[]){8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, 10);
	memcpy(arp + 22, peer_mac, 6);
	wire_put32(arp + 28, PEER_ADDR);
	wire_put32(arp + 38, STACK_ADDR);
	px_input(arp, sizeof(arp));
}

struct segment px_segment(uint8_t flags, int64_t seq, int64_t ack, uint32_t len)
{
	return (struct segment){.flags = flags,
		.seq = seq,
		.ack = ack,
		.has_ack = flags & TCP_ACK,
		.len = len,
		.win = 65535,
		.peer_port = PEER_PORT,
		.stack_port = STACK_PORT,
		.doff = -1};
}

void px_send(const struct segment *g, struct segment_base *base)
{
	uint8_t frame[FRAME_BYTES_MAX];

	px_input(frame, segment_to_frame(g, base, frame));
}

void px_run_until_silent(void)
{
	uint64_t next;

	for (unsigned i = 0; i < TURNS_MAX && (next = stack_next_us(px_stack)) != UINT64_MAX; i++) {
		px_now_us = max_u64(px_now_us + 1, next);
		stack_output(px_stack, px_now_us);
		stack_timers(px_stack, px_now_us, 100);
	}
}
