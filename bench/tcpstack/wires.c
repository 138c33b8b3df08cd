/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/tcpstack/wires.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RX_HELD = 4096, DESCRIPTORS = 1024 };

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

bool wire_open(struct wire *w, const char *kind, const char *dir, uint32_t offloads)
{
	char device[256];

	*w = (struct wire){0};
	if (!strcmp(kind, "ring")) {
		/* What is sent on a queue arrives on the queue of the same number. */
		struct port *p = open_one("net_ring0", 2, 1, offloads);
		w->end[0] = (struct wire_end){p, 0, 1};
		w->end[1] = (struct wire_end){p, 1, 0};
		return p != NULL;
	}
	snprintf(w->socket, sizeof(w->socket), "%s/bench-%d.sock", dir, (int)getpid());
	snprintf(device, sizeof(device), "net_vhost0,iface=%s,queues=1,tso=%d", w->socket,
		!!(offloads & PORT_TX_TSO));
	w->end[0].port = open_one(device, 1, 1, offloads);
	if (!w->end[0].port)
		return false;
	snprintf(device, sizeof(device),
		"net_virtio_user0,path=%s,queues=1,queue_size=%d,mac=02:47:77:62:00:02", w->socket,
		DESCRIPTORS);
	w->end[1].port = open_one(device, 1, 2, offloads);
	return w->end[1].port != NULL;
}

void wire_close(struct wire *w)
{
	if (w->end[1].port != w->end[0].port)
		port_close(w->end[1].port);
	port_close(w->end[0].port);
	if (w->socket[0])
		unlink(w->socket);
}
