/* SPDX-License-Identifier: Apache-2.0 */
/* How fast one stack sends to another, on the virtual clock: a table of send and receive buffer, loss and
 * round trip, and of links with a rate and queues, that is kept in the tree: sim_goodput --table FILE
 * compares (no cell may fall by more than a tenth), with --write 1 it makes the table anew. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/check.h"
#include "tcpstack/tcp.h"
#include "tests/sim/net.h"
#include "tests/unit/unit.h"

enum {
	TX_MBUFS = 4096,
	WIRE_MBUFS = 8192,
	ROOM_BYTES = 1536,
	PORT = 5672,
	RUN_BYTES = 1500000,
	LOSSY_RUNS = 6, /* chance is averaged */
	VIRTUAL_US_MAX = 300000000,
	CELLS_MAX = 256,
	NAME_MAX_BYTES = 56,
};

/* One line of the table. */
struct cell {
	char name[NAME_MAX_BYTES];
	uint32_t buffer_bytes, runs;
	struct sim_link_conditions there, back;
	uint64_t kbit_per_s;
};

static struct cell cells[CELLS_MAX];
static unsigned cell_count;
static struct rte_mempool *pools[2];
static struct sim_net net;
static struct sim_random dice;
static uint64_t now_us;
static uint32_t written, received;

static struct cell *cell_add(const char *conditions, uint32_t buffer_bytes, uint32_t rtt_us)
{
	MUST(cell_count < CELLS_MAX);
	struct cell *c = &cells[cell_count++];

	*c = (struct cell){.buffer_bytes = buffer_bytes, .runs = 1};
	snprintf(c->name, sizeof(c->name), "%s buffer %uK rtt %uus", conditions, buffer_bytes >> 10, rtt_us);
	c->there.delay_us = c->back.delay_us = rtt_us / 2;
	return c;
}

static const uint32_t buffers[] = {16 << 10, 64 << 10, 256 << 10, 1 << 20};
static const uint32_t rtts_us[] = {100, 1000, 20000, 100000};

static void cells_lossy(void)
{
	static const uint32_t losses_permille[] = {0, 1, 10, 50};
	char name[NAME_MAX_BYTES];

	for (unsigned l = 0; l < 4; l++)
		for (unsigned b = 0; b < 4; b++)
			for (unsigned r = 0; r < 4; r++) {
				snprintf(name, sizeof(name), "loss %u/1000", losses_permille[l]);
				struct cell *c = cell_add(name, buffers[b], rtts_us[r]);
				c->there.loss_permille = losses_permille[l];
				c->runs = losses_permille[l] ? LOSSY_RUNS : 1;
			}
}

/* Queues of a tenth and of four of what the link holds on its way, two packets at least. */
static void cells_queued(void)
{
	static const uint32_t rates_kbit[] = {10000, 100000};
	char name[NAME_MAX_BYTES];

	for (unsigned q = 0; q < 2; q++)
		for (unsigned k = 0; k < 2; k++)
			for (unsigned b = 2; b < 4; b++)
				for (unsigned r = 1; r < 4; r++) {
					uint32_t rate = rates_kbit[k];
					uint32_t bdp = (uint32_t)((uint64_t)rate * rtts_us[r] / 8000);
					snprintf(name, sizeof(name), "%s queue %uMbit",
						q ? "deep" : "shallow", rate / 1000);
					struct cell *c = cell_add(name, buffers[b], rtts_us[r]);
					c->there.rate_kbit = rate;
					c->there.queue_bytes = RTE_MAX(q ? 4 * bdp : bdp / 10, 3100u);
				}
}

static void cells_disturbed(void)
{
	for (unsigned r = 1; r < 4; r++) {
		struct cell *c = cell_add("bursts", buffers[3], rtts_us[r]);
		c->there.burst_begin_permille = 2;
		c->there.burst_end_permille = 200;
		c->there.burst_loss_permille = 500;
		c->runs = LOSSY_RUNS;
		c = cell_add("reordering", buffers[3], rtts_us[r]);
		c->there.reorder_permille = 20;
		c->runs = LOSSY_RUNS;
		c = cell_add("loss both ways 10/1000", buffers[3], rtts_us[r]);
		c->there.loss_permille = c->back.loss_permille = 10;
		c->runs = LOSSY_RUNS;
	}
}

static void sends(struct tcp_conn *c)
{
	static const uint8_t block[8192];
	uint32_t n;

	while (written < RUN_BYTES && (n = RTE_MIN(tcp_conn_tx_room(c), (uint32_t)sizeof(block)))) {
		n = RTE_MIN(n, RUN_BYTES - written);
		if (tcp_conn_write(c, block, n))
			return;
		written += n;
	}
}

static void on_connected(struct tcp_conn *c, int error)
{
	MUST(!error);
	sends(c);
}

static void on_readable(struct tcp_conn *c)
{
	uint32_t n = tcp_conn_rx(c)->bytes;

	tcp_conn_rx_consume(c, n);
	received += n;
}

static const struct tcp_app app = {.connected = on_connected, .writable = sends, .readable = on_readable};

static struct stack *host_start(unsigned i, const struct cell *cell)
{
	struct stack_config c;

	stack_config_defaults(&c);
	sim_net_configure(&net, i, &c);
	c.tx_pool = pools[i];
	c.key = (struct siphash_key){1, i};
	c.rx_buffer_bytes = c.tx_buffer_bytes = cell->buffer_bytes;
	c.conn_max = 4;
	struct stack *s = stack_create(&c, now_us);
	MUST(s);
	return s;
}

static void turn(struct stack *s, unsigned i)
{
	struct rte_mbuf *burst[STACK_BURST];
	unsigned n;

	while ((n = sim_link_arrived(&net.links[i], burst, STACK_BURST)))
		stack_input(s, burst, n, now_us);
	stack_output(s, now_us);
	stack_timers(s, now_us, 64);
}

/* Returns the virtual time that RUN_BYTES took, from the first SYN to the last byte. */
static uint64_t run(const struct cell *cell, uint64_t seed)
{
	struct stack *s[2];
	uint64_t start_us = now_us = 1000000;

	sim_random_seed(&dice, seed);
	sim_net_init(&net, 2, false, false, &dice, net.pool, &now_us);
	net.links[1].conditions = cell->there;
	net.links[0].conditions = cell->back;
	written = received = 0;
	for (unsigned i = 0; i < 2; i++)
		s[i] = host_start(i, cell);
	MUST(tcp_listen(s[1], NULL, PORT, NULL, &app, NULL, NULL) == 0);
	struct ip_addr to = sim_net_address(&net, 1);
	MUST(tcp_connect(s[0], &to, PORT, NULL, &app, NULL, now_us));
	while (received < RUN_BYTES && now_us - start_us < VIRTUAL_US_MAX) {
		for (unsigned i = 0; i < 2; i++)
			turn(s[i], i);
		uint64_t next = RTE_MIN(stack_next_us(s[0]), stack_next_us(s[1]));
		next = RTE_MIN(next, sim_net_next_us(&net));
		now_us = RTE_MAX(now_us + 1, next);
	}
	for (unsigned i = 0; i < 2; i++)
		stack_destroy(s[i]);
	sim_net_clear(&net);
	MUST(unit_pool_full(pools[0]) && unit_pool_full(pools[1]) && unit_pool_full(net.pool));
	return now_us - start_us;
}

static void cells_run(void)
{
	for (unsigned i = 0; i < cell_count; i++) {
		uint64_t us = 0;
		for (unsigned k = 0; k < cells[i].runs; k++)
			us += run(&cells[i], k + 1);
		cells[i].kbit_per_s = (uint64_t)cells[i].runs * RUN_BYTES * 8000 / us;
	}
}

static int table_write(const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return perror(path), 1;
	fprintf(f, "# SPDX-License-Identifier: Apache-2.0\n");
	fprintf(f, "# Goodput in kbit/s of %u bytes, by sim_goodput --table FILE --write 1\n", RUN_BYTES);
	for (unsigned i = 0; i < cell_count; i++)
		fprintf(f, "%-56s %12llu\n", cells[i].name, (unsigned long long)cells[i].kbit_per_s);
	return fclose(f) != 0;
}

/* The kept value of a cell, or 0. */
static unsigned long long kept_of(const char *path, const struct cell *c)
{
	char line[160];
	size_t n = strlen(c->name);
	FILE *f = fopen(path, "r");
	unsigned long long kept = 0;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, c->name, n) && line[n] == ' ')
			kept = strtoull(line + n, NULL, 10);
	if (f)
		fclose(f);
	return kept;
}

static int table_compare(const char *path)
{
	unsigned bad = 0, risen = 0;

	printf("TAP version 13\n1..1\n");
	for (unsigned i = 0; i < cell_count; i++) {
		unsigned long long kept = kept_of(path, &cells[i]), is = cells[i].kbit_per_s;
		risen += is > kept + kept / 10;
		if (kept && is >= kept - kept / 10)
			continue;
		printf("# %s: %llu kbit/s, the table has %llu\n", cells[i].name, is, kept);
		bad++;
	}
	printf("# %u cells, %u more than a tenth above the table\n", cell_count, risen);
	printf("%s 1 no cell of the goodput table has fallen by more than a tenth\n", bad ? "not ok" : "ok");
	return bad != 0;
}

int main(int argc, char **argv)
{
	const char *path = NULL;
	bool write = false;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--table"))
			path = argv[i + 1];
		else if (!strcmp(argv[i], "--write"))
			write = strtoul(argv[i + 1], NULL, 0) != 0;
	}
	if (!path)
		return fprintf(stderr, "usage: sim_goodput --table FILE [--write 1]\n"), 2;
	pools[0] = unit_pool("sender", TX_MBUFS, ROOM_BYTES);
	pools[1] = unit_pool("receiver", TX_MBUFS, ROOM_BYTES);
	net.pool = unit_pool("wire", WIRE_MBUFS, ROOM_BYTES);
	cells_lossy();
	cells_queued();
	cells_disturbed();
	cells_run();
	return write ? table_write(path) : table_compare(path);
}
