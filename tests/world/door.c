/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/world/door.h"

#include "runtime/check.h"
#include "tests/unit/poison.h"
#include "tests/world/world.h"

#include <stdio.h>
#include <stdlib.h>

enum { WIRE_FRAMES = 1024 };

static struct door doors[] = {{.cores = 1, .queues = 1}, {.cores = 2, .queues = 1}, {.cores = 2, .queues = 2},
	{.cores = 4, .queues = 1}, {.cores = 4, .queues = 4}};
enum { DOORS = sizeof(doors) / sizeof(doors[0]) };

struct ring_arguments { /* what rte_eth_from_rings hands its driver */
	struct rte_ring *const *rx;
	unsigned rx_count;
	struct rte_ring *const *tx;
	unsigned tx_count;
	unsigned node;
	void *self;
};

static struct rte_ring *ring_make(unsigned door, const char *what, unsigned i)
{
	char name[32];

	snprintf(name, sizeof(name), "door%u %s%u", door, what, i);
	struct rte_ring *r = rte_ring_create(name, WIRE_FRAMES, SOCKET_ID_ANY, 0);
	MUST(r);
	return r;
}

static void port_make(struct door *d)
{
	static const uint8_t key[PORT_RSS_KEY_BYTES] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41,
		0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4,
		0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01,
		0xfa};
	struct ring_arguments a = {d->rx, d->queues, d->tx, d->queues, 0, &a};
	struct port_config c = {.queues = d->cores,
		.device_queues_max = d->queues,
		.offloads = PORT_OFFLOADS_ALL,
		.rx_held = 512,
		.rss_key = key,
		.mac = {2, 0, 0, 0, 0, 1}};
	char device[64], error[512];

	snprintf(device, sizeof(device), "net_ring0,internal=%p", (void *)&a);
	c.device = device;
	if (port_open(&c, &d->port, error, sizeof(error))) {
		fprintf(stderr, "%s: %s\n", device, error);
		abort();
	}
}

void doors_prepare(void)
{
	for (unsigned i = 0; i < DOORS; i++)
		for (unsigned q = 0; q < doors[i].queues; q++) {
			doors[i].rx[q] = ring_make(i, "rx", q);
			doors[i].tx[q] = ring_make(i, "tx", q);
		}
}

struct door *door_open(unsigned cores)
{
	unsigned first = world_below(DOORS);

	for (unsigned i = 0; i < DOORS; i++) {
		struct door *d = &doors[(first + i) % DOORS];
		if (cores && d->cores != cores)
			continue;
		port_make(d);
		return d;
	}
	world_fail("no port has %u cores; 1, 2 and 4 are possible", cores);
}

void door_drain(struct door *d)
{
	struct rte_mbuf *m;

	for (unsigned q = 0; q < d->queues; q++) {
		while (rte_ring_dequeue(d->rx[q], (void **)&m) == 0)
			rte_pktmbuf_free(m);
		while (rte_ring_dequeue(d->tx[q], (void **)&m) == 0)
			rte_pktmbuf_free(m);
	}
}

void door_close(struct door *d)
{
	port_close(d->port);
	d->port = NULL;
}

unsigned door_in(struct door *d)
{
	struct rte_mbuf *burst[PORT_BURST];
	unsigned n, sum = 0;

	while ((n = sim_link_arrived(&world.net.links[0], burst, PORT_BURST))) {
		poison_around(burst, n);
		/* Spread by nothing that the broker goes by. */
		for (unsigned i = 0; i < n; i++)
			if (rte_ring_enqueue(d->rx[burst[i]->pkt_len % d->queues], burst[i]))
				rte_pktmbuf_free(burst[i]);
		sum += n;
	}
	return sum;
}

unsigned door_out(
	struct door *d, void (*out)(void *ctx, struct rte_mbuf **frames_take, unsigned n), void *ctx)
{
	struct rte_mbuf *m;
	unsigned sum = 0;

	for (unsigned q = 0; q < d->queues; q++)
		for (; rte_ring_dequeue(d->tx[q], (void **)&m) == 0; sum++)
			out(ctx, &m, 1);
	return sum;
}

bool door_waits(const struct door *d, unsigned core)
{
	return core < d->queues && rte_ring_count(d->rx[core]) > 0;
}
