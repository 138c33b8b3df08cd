/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/tcpstack/wires.h"

#include <rte_ring.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RX_HELD = 4096, DESCRIPTORS = 1024, RING_FRAMES = 4096 };

static struct port *open_one(const char *device, unsigned queues, uint8_t mac_last, uint32_t offloads)
{
	struct port_config c = {.device = device,
		.queues = queues,
		.rx_descriptors = DESCRIPTORS,
		.tx_descriptors = DESCRIPTORS,
		.offloads = offloads,
		.rx_held = RX_HELD,
		.mac = {0x02, 0x47, 0x77, 0x62, 0x00, mac_last}};
	struct port *p = NULL;
	char error[512];

	if (port_open(&c, &p, error, sizeof(error)))
		fprintf(stderr, "%s: %s\n", device, error);
	return p;
}

/* What rte_eth_from_rings hands its driver: a port is opened by name here, so it is handed over by hand. */
struct ring_arguments {
	struct rte_ring *const *rx;
	unsigned rx_count;
	struct rte_ring *const *tx;
	unsigned tx_count;
	unsigned node;
	void *self;
};

static struct port *open_between(unsigned index, struct rte_ring *rx, struct rte_ring *tx, uint32_t offloads)
{
	struct ring_arguments a = {&rx, 1, &tx, 1, 0, &a};
	char device[64];

	snprintf(device, sizeof(device), "net_ring%u,internal=%p", index, (void *)&a);
	return open_one(device, 1, (uint8_t)(index + 1), offloads);
}

static bool rings_open(struct wire *w, uint32_t offloads)
{
	const unsigned one_each = RING_F_SP_ENQ | RING_F_SC_DEQ;

	w->ring[0] = rte_ring_create("bench_there", RING_FRAMES, SOCKET_ID_ANY, one_each);
	w->ring[1] = rte_ring_create("bench_back", RING_FRAMES, SOCKET_ID_ANY, one_each);
	if (!w->ring[0] || !w->ring[1])
		return false;
	for (unsigned i = 0; i < 2; i++) {
		w->end[i].port = open_between(i, w->ring[!i], w->ring[i], offloads);
		if (!w->end[i].port)
			return false;
	}
	return true;
}

bool wire_open(struct wire *w, const char *kind, const char *dir, uint32_t offloads)
{
	char device[256];

	*w = (struct wire){0};
	if (!strcmp(kind, "ring"))
		return rings_open(w, offloads);
	snprintf(w->socket, sizeof(w->socket), "%s/bench-%d.sock", dir, (int)getpid());
	snprintf(device, sizeof(device), "net_vhost0,iface=%s,queues=1,tso=%d", w->socket,
		!!(offloads & PORT_TX_TSO));
	/* The sender is the one that can have large segments cut: vhost passes them on whole. */
	w->end[1].port = open_one(device, 1, 1, offloads);
	if (!w->end[1].port)
		return false;
	snprintf(device, sizeof(device),
		"net_virtio_user0,path=%s,queues=1,queue_size=%d,mac=02:47:77:62:00:02", w->socket,
		DESCRIPTORS);
	w->end[0].port = open_one(device, 1, 2, offloads);
	return w->end[0].port != NULL;
}

void wire_close(struct wire *w)
{
	for (unsigned i = 0; i < 2; i++) {
		port_close(w->end[i].port);
		rte_ring_free(w->ring[i]);
	}
	if (w->socket[0])
		unlink(w->socket);
}
