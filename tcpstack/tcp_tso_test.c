/* SPDX-License-Identifier: Apache-2.0 */
/* The same writes through a stack that does all by itself and through one whose port does what it can: the
 * bytes on the wire are the same. */
#include <stdlib.h>
#include <string.h>

#include "tcpstack/tcp.h"
#include "tests/unit/offload.h"
#include "tests/unit/unit.h"

enum { PORT = 5672, ROOM = 2048, MBUFS = 4095, WIRE_BYTES_MAX = 8 << 20, IN_MAX = 4096, MSS = 1448 };

#define ALL_OFFLOADS                                                                          \
	(STACK_OFFLOAD_TX_IPV4_CKSUM | STACK_OFFLOAD_TX_TCP_CKSUM | STACK_OFFLOAD_MULTI_SEG | \
		STACK_OFFLOAD_TX_TSO)

struct node {
	struct stack *stack;
	struct rte_mempool *pool;
	struct rte_mbuf *in[IN_MAX];
	unsigned in_count;
	struct tcp_conn *conn;
	uint64_t read;
};

static struct node nodes[2];
static struct rte_mempool *wire_pool;
static uint64_t now_us;
static struct {
	uint8_t *bytes;
	uint32_t n, frames;
} wire;
static uint32_t sender_can;  /* what the sender's port does */
static unsigned drop_one_in; /* of the sender's frames; 0: none */
static bool ipv6;

static void deliver(struct node *to, const uint8_t *frame, uint32_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(wire_pool);

	CU_ASSERT_FATAL(m && to->in_count < IN_MAX);
	memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
	to->in[to->in_count++] = m;
}

/* A frame of the sender's, as it is on the wire. */
static void captured(void *ctx, uint8_t *frame, uint32_t n)
{
	CU_ASSERT_FATAL(wire.n + n <= WIRE_BYTES_MAX);
	CU_ASSERT(n <= 1514);
	memcpy(wire.bytes + wire.n, frame, n);
	wire.n += n;
	wire.frames++;
	if (!drop_one_in || wire.frames % drop_one_in)
		deliver(&nodes[1], frame, n);
}

static void sender_tx(void *ctx, struct rte_mbuf **frames, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const char *wrong = offload_send(
			&(struct offload_port){.flags = sender_can, .out = captured}, frames[i]);
		if (wrong)
			printf("# %s\n", wrong);
		CU_ASSERT_PTR_NULL(wrong);
	}
	rte_pktmbuf_free_bulk(frames, n);
}

static void receiver_tx(void *ctx, struct rte_mbuf **frames, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		deliver(&nodes[0], rte_pktmbuf_mtod(frames[i], const uint8_t *), frames[i]->pkt_len);
	rte_pktmbuf_free_bulk(frames, n);
}

static void on_accepted(void *ctx, struct tcp_conn *c)
{
	nodes[1].conn = c;
}

static void on_readable(struct tcp_conn *c)
{
	uint32_t n = tcp_conn_rx(c)->bytes;

	if (tcp_conn_stack(c) == nodes[1].stack)
		nodes[1].read += n;
	tcp_conn_rx_consume(c, n);
}

static const struct tcp_app app = {.accepted = on_accepted, .readable = on_readable};

static struct ip_addr address(unsigned i)
{
	struct ip_addr a = {.bytes = {0xfd, 1}};

	a.bytes[15] = (uint8_t)(i + 1);
	return ipv6 ? a : ip_v4(0x0a000001 + i);
}

static void node_start(unsigned i, uint32_t offloads)
{
	struct stack_config c;

	stack_config_defaults(&c);
	c.mac[0] = 2;
	c.mac[5] = (uint8_t)(i + 1);
	stack_config_add(&c, address(i), ipv6 ? 64 : 24);
	c.offload_flags = offloads;
	c.tx_pool = nodes[i].pool;
	c.key = (struct siphash_key){1, 2};
	c.rto_us_min = 10000;
	c.tx = i ? receiver_tx : sender_tx;
	if (!i)
		sender_can = offloads;
	nodes[i].stack = stack_create(&c, now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(nodes[i].stack);
}

static void turns(unsigned n)
{
	for (unsigned t = 0; t < n; t++, now_us += 500)
		for (unsigned i = 0; i < 2; i++) {
			struct rte_mbuf *in[IN_MAX];
			unsigned count = nodes[i].in_count;
			memcpy(in, nodes[i].in, count * sizeof(in[0]));
			nodes[i].in_count = 0;
			if (count)
				stack_input(nodes[i].stack, in, count, now_us);
			stack_output(nodes[i].stack, now_us);
			stack_timers(nodes[i].stack, now_us, UINT32_MAX);
		}
}

static void start(uint32_t offloads)
{
	struct ip_addr to = address(1);

	if (!wire_pool) {
		wire_pool = unit_pool("wire", MBUFS, ROOM);
		nodes[0].pool = unit_pool("sender", MBUFS, ROOM);
		nodes[1].pool = unit_pool("receiver", MBUFS, ROOM);
		wire.bytes = malloc(WIRE_BYTES_MAX);
	}
	now_us = 1000000;
	wire.n = wire.frames = 0;
	nodes[1].conn = NULL;
	nodes[1].read = 0;
	node_start(0, offloads);
	node_start(1, 0);
	CU_ASSERT_EQUAL(tcp_listen(nodes[1].stack, NULL, PORT, NULL, &app, NULL, NULL), 0);
	turns(ipv6 ? 8000 : 1); /* until addresses have been found to be unique */
	nodes[0].conn = tcp_connect(nodes[0].stack, &to, PORT, NULL, &app, NULL, now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(nodes[0].conn);
	turns(10);
	CU_ASSERT_PTR_NOT_NULL_FATAL(nodes[1].conn);
}

static void stop(void)
{
	for (unsigned i = 0; i < 2; i++) {
		rte_pktmbuf_free_bulk(nodes[i].in, nodes[i].in_count);
		nodes[i].in_count = 0;
		stack_destroy(nodes[i].stack);
		CU_ASSERT(unit_pool_full(nodes[i].pool));
	}
	CU_ASSERT(unit_pool_full(wire_pool));
}

static uint64_t counted(enum stack_counter which)
{
	return stack_counter(nodes[0].stack, which);
}

static void write_all(void)
{
	static const uint32_t sizes[] = {
		1, 65, 1447, 1448, 1449, 2896, 5000, 14480, 60000, 3, 100, 20000, 1448};
	static uint8_t data[60000];
	uint64_t written = 0;

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
	for (unsigned round = 0; round < 8; round++)
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			while (tcp_conn_write(nodes[0].conn, data, sizes[i]))
				turns(1);
			written += sizes[i];
			turns(i % 3);
		}
	CU_ASSERT_EQUAL(tcp_conn_shutdown(nodes[0].conn), 0);
	turns(4000);
	CU_ASSERT_EQUAL(nodes[1].read, written);
}

/* All of it once without and once with what the port can do. */
static void compare(void)
{
	start(0);
	write_all();
	uint32_t n = wire.n, frames = wire.frames;
	uint64_t resent = counted(STACK_COUNTER_tcp_resent), out = counted(STACK_COUNTER_tcp_segments_out);
	uint8_t *bytes = malloc(n);
	memcpy(bytes, wire.bytes, n);
	CU_ASSERT_EQUAL(counted(STACK_COUNTER_tcp_large_out), 0);
	stop();

	start(ALL_OFFLOADS);
	write_all();
	CU_ASSERT_EQUAL(wire.frames, frames);
	CU_ASSERT(wire.n == n && !memcmp(wire.bytes, bytes, n));
	CU_ASSERT(counted(STACK_COUNTER_tcp_large_out) > 20);
	CU_ASSERT(counted(STACK_COUNTER_tx_frames) < frames);
	CU_ASSERT_EQUAL(counted(STACK_COUNTER_tcp_segments_out), out);
	CU_ASSERT_EQUAL(counted(STACK_COUNTER_tcp_resent), resent);
	CU_ASSERT_EQUAL(resent != 0, drop_one_in != 0);
	stop();
	free(bytes);
}

static void same_bytes(void)
{
	compare();
}

static void same_bytes_with_losses(void)
{
	for (drop_one_in = 7; drop_one_in < 90; drop_one_in += 20)
		compare();
	drop_one_in = 0;
}

static void same_bytes_over_ipv6(void)
{
	ipv6 = true;
	compare();
	ipv6 = false;
}

/* Some ports send garbage when they are asked to cut what is one segment. */
static void one_segment_is_not_cut(void)
{
	static const uint8_t data[2 * MSS];

	start(ALL_OFFLOADS);
	CU_ASSERT_EQUAL(tcp_conn_write(nodes[0].conn, data, MSS), 0);
	turns(10);
	CU_ASSERT_EQUAL(nodes[1].read, MSS);
	CU_ASSERT_EQUAL(counted(STACK_COUNTER_tcp_large_out), 0);
	CU_ASSERT_EQUAL(tcp_conn_write(nodes[0].conn, data, 2 * MSS), 0);
	turns(10);
	CU_ASSERT_EQUAL(nodes[1].read, 3 * MSS);
	CU_ASSERT_EQUAL(counted(STACK_COUNTER_tcp_large_out), 1);
	stop();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"same_bytes", same_bytes},
			{"same_bytes_with_losses", same_bytes_with_losses},
			{"same_bytes_over_ipv6", same_bytes_over_ipv6},
			{"one_segment_is_not_cut", one_segment_is_not_cut}, {0}});
}
