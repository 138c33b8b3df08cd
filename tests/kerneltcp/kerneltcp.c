/* SPDX-License-Identifier: Apache-2.0 */
/* The stack on a TAP device, against this machine's kernel: kerneltcp DEVICE CAPTURE SEED [KEY=VALUE]... with
 * members of struct stack_config as keys, and version=6 for connections over IPv6. It serves what service.h
 * lists, takes requests on standard input until it is told to quit, lets what is left of its connections come
 * to an end, and says whether every buffer and every connection came back. */
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/kerneltcp/link.h"
#include "tests/kerneltcp/service.h"
#include "tests/unit/poison.h"
#include "tests/unit/unit.h"

enum {
	CONNS_MAX = 4096,
	TX_MBUFS = 8192,
	RX_MBUFS = 8192,
	END_US = 20000000,
	LINE_BYTES_MAX = 200,
	IPV6_MTU_MIN = 1280
};

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

#define KEY(name)                                                                                    \
	{                                                                                            \
#name, offsetof(struct stack_config, name), sizeof(((struct stack_config *)0)->name) \
	}
static const struct {
	const char *name;
	size_t offset, size;
} keys[] = {KEY(mtu), KEY(vlan), KEY(dad_transmits), KEY(ecn), KEY(sack), KEY(syn_cookies),
	KEY(delayed_ack_us), KEY(quick_acks), KEY(time_wait_max), KEY(conn_max), KEY(syn_backlog_max),
	KEY(rx_buffer_bytes), KEY(tx_buffer_bytes), KEY(delayed_ack_us), KEY(user_timeout_us),
	KEY(keepalive_us), KEY(keepalive_interval_us), KEY(keepalive_probes), KEY(time_wait_us),
	KEY(half_open_timeout_us)};

/* Both versions of IP, 10.77.0.0/24 and fd00:4d::/64: the kernel is 1, the stack 2. */
static struct ip_addr address(bool v6, uint8_t host)
{
	uint8_t bytes[16] = {0xfd, 0, 0, 0x4d, [15] = host};

	return v6 ? ip_v6(bytes) : ip_v4(0x0a4d0000u + host);
}

static bool key_set(struct stack_config *c, const char *word)
{
	const char *value = strchr(word, '=');

	if (!strcmp(word, "version=6")) {
		service_kernel = address(true, 1);
		return true;
	}

	for (unsigned i = 0; value && i < RTE_DIM(keys); i++)
		if (!strncmp(keys[i].name, word, (size_t)(value - word)) && !keys[i].name[value - word]) {
			uint64_t v = strtoull(value + 1, NULL, 0);
			memcpy((uint8_t *)c + keys[i].offset, &v, keys[i].size);
			return true;
		}
	fprintf(stderr, "no key=value: %s\n", word);
	return false;
}

static struct stack *stack_start(char **words)
{
	struct stack_config c;

	stack_config_defaults(&c);
	c.mac[0] = 2;
	c.mac[5] = 77;
	service_kernel = address(false, 1);
	/* The way to those who are nowhere: a flood's senders. */
	c.gateway_v4 = service_kernel;
	c.dad_transmits = 0;
	c.tx_pool = tx_pool;
	c.key = (struct siphash_key){(uint64_t)getpid(), now_us};
	c.tx = tx;
	c.conn_max = CONNS_MAX;
	c.time_wait_us = 300000;
	c.fin_wait_2_us = 1000000;
	for (; *words; words++)
		if (!key_set(&c, *words))
			return NULL;
	stack_config_add(&c, address(false, 2), 24);
	if (c.mtu >= IPV6_MTU_MIN)
		stack_config_add(&c, address(true, 2), 64);
	link_vlan = c.vlan;
	struct stack *s = stack_create(&c, now_us);
	if (!s) {
		fprintf(stderr, "the configuration is not accepted\n");
		return NULL;
	}
	service_start(s);
	if (stack_announce(s, now_us))
		return NULL;
	return s;
}

static void device_read(void)
{
	uint8_t frame[LINK_FRAME_BYTES_MAX];
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
		/* As a port without buffers loses it. */
		if (!m) {
			link_lost++;
			continue;
		}
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
		burst[count++] = m;
	}
	if (count) {
		poison_around(burst, count);
		stack_input(s, burst, count, now_us);
	}
}

/* Whoever asks waits for the answer, so that one read has whole lines. */
static void requests(struct stack *s)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char text[LINE_BYTES_MAX + 1], *save, *line;

	if (poll(&p, 1, 0) <= 0)
		return;
	ssize_t n = read(STDIN_FILENO, text, LINE_BYTES_MAX);
	if (n <= 0) {
		service_request(s, "quit");
		return;
	}
	text[n] = 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		service_request(s, line);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void sleep_until(uint64_t at_us)
{
	struct pollfd p[2] = {{.fd = device_fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	uint64_t wait_us = at_us > now_us ? min_u64(at_us - now_us, 100000) : 0;
	struct timespec t = {.tv_nsec = (long)wait_us * 1000};

	/* After the last request standard input may be at its end, and always ready. */
	ppoll(p, service_over() ? 1 : 2, &t, NULL);
}

static void turn(struct stack *s)
{
	now_us = clock_now_us();
	device_read();
	service_turn(s, now_us);
	input(s);
	if (!service_over())
		requests(s);
	stack_output(s, now_us);
	stack_timers(s, now_us, 1000);
	device_write();
	sleep_until(min_u64(stack_next_us(s), min_u64(link_next_us(), service_next_us())));
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: kerneltcp DEVICE CAPTURE SEED [KEY=VALUE]...\n");
		return 2;
	}
	device_fd = link_open(argv[1], argv[2], strtoull(argv[3], NULL, 0));
	if (device_fd < 0)
		return 1;
	tx_pool = unit_pool("tx", TX_MBUFS, LINK_FRAME_BYTES_MAX);
	rx_pool = unit_pool("rx", RX_MBUFS, LINK_FRAME_BYTES_MAX);
	now_us = clock_now_us();
	struct stack *s = stack_start(argv + 4);
	if (!s)
		return 1;
	while (!service_over())
		turn(s);
	for (uint64_t end_us = now_us + END_US;
		now_us < end_us && (stack_usage(s).conns || stack_usage(s).half_open);)
		turn(s);
	uint32_t conns = stack_usage(s).conns + stack_usage(s).half_open;
	stack_destroy(s);
	link_close();
	printf("connections left: %u, transmit buffers missing: %u, receive buffers missing: %u\n", conns,
		rte_mempool_in_use_count(tx_pool), rte_mempool_in_use_count(rx_pool));
	return conns || !unit_pool_full(tx_pool) || !unit_pool_full(rx_pool);
}
