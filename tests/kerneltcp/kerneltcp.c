/* SPDX-License-Identifier: Apache-2.0 */
/* The stack on a TAP device, against this machine's kernel: kerneltcp DEVICE CAPTURE SEED. It serves what
 * service.h lists until it is told to quit, lets what is left of its connections come to an end, and says
 * whether every buffer and every connection came back. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "runtime/check.h"
#include "tests/kerneltcp/link.h"
#include "tests/kerneltcp/service.h"
#include "tests/unit/unit.h"

enum { CONNS_MAX = 1024, TX_MBUFS = 16384, RX_MBUFS = 16384, END_US = 20000000 };

static uint64_t now_us;
static struct rte_mempool *tx_pool, *rx_pool;
static int device_fd;

static uint64_t clock_now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void tx(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		link_put(LINK_TO_KERNEL, rte_pktmbuf_mtod(frames_take[i], void *), frames_take[i]->pkt_len,
			now_us);
		rte_pktmbuf_free(frames_take[i]);
	}
}

static struct stack *stack_start(void)
{
	struct stack_config c;

	stack_config_defaults(&c);
	c.mac[0] = 2;
	c.mac[5] = 77;
	stack_config_add(&c, ip_v4(SERVICE_STACK_ADDR), 24);
	c.tx_pool = tx_pool;
	c.key = (struct siphash_key){(uint64_t)getpid(), now_us};
	c.tx = tx;
	c.conn_max = CONNS_MAX;
	c.time_wait_us = c.fin_wait_2_us = 1000000;
	struct stack *s = stack_create(&c, now_us);
	MUST(s);
	service_start(s);
	return s;
}

static void device_read(void)
{
	uint8_t frame[2048];
	ssize_t n;

	for (unsigned i = 0; i < 64 && (n = read(device_fd, frame, sizeof(frame))) > 0; i++)
		link_put(LINK_TO_STACK, frame, (uint32_t)n, now_us);
}

static void device_write(void)
{
	const uint8_t *frame;
	uint32_t n;

	/* A full device loses the frame, as a link does. */
	while ((frame = link_get(LINK_TO_KERNEL, now_us, &n)))
		if (write(device_fd, frame, n) < 0)
			link_lost++;
}

static void input(struct stack *s)
{
	struct rte_mbuf *burst[STACK_BURST];
	const uint8_t *frame;
	unsigned count = 0;
	uint32_t n;

	while (count < STACK_BURST && (frame = link_get(LINK_TO_STACK, now_us, &n))) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(rx_pool);
		MUST(m);
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
		burst[count++] = m;
	}
	if (count)
		stack_input(s, burst, count, now_us);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void sleep_until(uint64_t at_us)
{
	struct pollfd p = {.fd = device_fd, .events = POLLIN};
	uint64_t wait_us = at_us > now_us ? min_u64(at_us - now_us, 100000) : 0;
	struct timespec t = {.tv_nsec = (long)wait_us * 1000};

	ppoll(&p, 1, &t, NULL);
}

static void turn(struct stack *s)
{
	now_us = clock_now_us();
	device_read();
	service_turn(s, now_us);
	input(s);
	stack_output(s, now_us);
	stack_timers(s, now_us, 1000);
	device_write();
	sleep_until(min_u64(stack_next_us(s), min_u64(link_next_us(), service_next_us())));
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: kerneltcp DEVICE CAPTURE SEED\n");
		return 2;
	}
	device_fd = link_open(argv[1], argv[2], strtoull(argv[3], NULL, 0));
	if (device_fd < 0)
		return 1;
	tx_pool = unit_pool("tx", TX_MBUFS, 2048);
	rx_pool = unit_pool("rx", RX_MBUFS, 2048);
	now_us = clock_now_us();
	struct stack *s = stack_start();
	while (!service_over())
		turn(s);
	for (uint64_t end_us = now_us + END_US; now_us < end_us && stack_usage(s).conns;)
		turn(s);
	uint32_t conns = stack_usage(s).conns;
	stack_destroy(s);
	link_close();
	printf("connections left: %u, transmit buffers missing: %u, receive buffers missing: %u\n", conns,
		rte_mempool_in_use_count(tx_pool), rte_mempool_in_use_count(rx_pool));
	return conns || !unit_pool_full(tx_pool) || !unit_pool_full(rx_pool);
}
