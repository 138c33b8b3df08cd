/* SPDX-License-Identifier: Apache-2.0 */
/* A port on a kernel interface (net_af_packet on one end of a veth pair), in a network namespace of its own,
 * with a packet socket as the peer on the other end. */
#include "dpdk_port/eal.h"
#include "dpdk_port/port.h"
#include "dpdk_port/veth_fixture.h"
#include "runtime/wire.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ETHER_TEST = 0x88b5 /* for local experiments */, FRAMES = 20, FRAME_BYTES = 120, PATIENCE_MS = 3000 };

static const char ours[] = "gwveth0", peers[] = "gwveth1";
static char error[512];

static int peer_open(void)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHER_TEST));
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETHER_TEST),
		.sll_ifindex = (int)if_nametoindex(peers)};
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return bind(fd, (struct sockaddr *)&at, sizeof(at)) ? -1 : fd;
}

static void frame_fill(uint8_t *f, const uint8_t to[PORT_MAC_BYTES], unsigned mark)
{
	memset(f, 0, FRAME_BYTES);
	memcpy(f, to, PORT_MAC_BYTES);
	f[PORT_MAC_BYTES] = 2;
	wire_put16(f + 12, ETHER_TEST);
	wire_put32(f + 14, mark);
}

/* The peer sends; the frames arrive whole and in order, between what the kernel says of itself. */
static void receive(struct port *p, int peer)
{
	struct rte_mbuf *list[PORT_BURST];
	uint8_t f[FRAME_BYTES];
	unsigned found = 0, all = 0;

	for (unsigned i = 0; i < FRAMES; i++) {
		frame_fill(f, port_info(p)->mac, i);
		CU_ASSERT_EQUAL(send(peer, f, sizeof(f), 0), FRAME_BYTES);
	}
	for (int ms = 0; ms < PATIENCE_MS && found < FRAMES; ms++) {
		unsigned n = port_rx(p, 0, list, PORT_BURST);
		for (unsigned i = 0; i < n; i++) {
			const uint8_t *got = rte_pktmbuf_mtod(list[i], const uint8_t *);
			if (wire_get16(got + 12) == ETHER_TEST) {
				CU_ASSERT_EQUAL(list[i]->pkt_len, FRAME_BYTES);
				CU_ASSERT_EQUAL(wire_get32(got + 14), found);
				found++;
			}
		}
		all += n;
		rte_pktmbuf_free_bulk(list, n);
		usleep(1000);
	}
	CU_ASSERT_EQUAL(found, FRAMES);
	struct port_counters c;
	port_counters(p, &c);
	CU_ASSERT_EQUAL(c.rx_frames, all);
}

static void transmit(struct port *p, int peer)
{
	static const uint8_t to[PORT_MAC_BYTES] = {2, 2, 2, 2, 2, 2};
	struct rte_mbuf *list[FRAMES];
	uint8_t f[2048];
	struct port_counters c;

	for (unsigned i = 0; i < FRAMES; i++) {
		list[i] = rte_pktmbuf_alloc(port_rx_pool(p, 0));
		CU_ASSERT_PTR_NOT_NULL_FATAL(list[i]);
		frame_fill((uint8_t *)rte_pktmbuf_append(list[i], FRAME_BYTES), to, i);
	}
	CU_ASSERT_EQUAL(port_tx(p, 0, list, FRAMES), FRAMES);
	CU_ASSERT_EQUAL(port_tx_flush(p, 0, 1), 0);
	for (unsigned i = 0; i < FRAMES; i++) {
		CU_ASSERT_EQUAL(recv(peer, f, sizeof(f), 0), FRAME_BYTES);
		CU_ASSERT_EQUAL(wire_get32(f + 14), i);
	}
	port_counters(p, &c);
	CU_ASSERT_EQUAL(c.tx_frames, FRAMES);
	CU_ASSERT_EQUAL(c.tx_bytes, FRAMES * FRAME_BYTES);
}

static void test_af_packet(void)
{
	const struct eal_options eal = {.memory_mb = 128};
	const struct port_config config = {.device = "net_af_packet0,iface=gwveth0",
		.queues = 1,
		.offloads = PORT_OFFLOADS_ALL,
		.wait_on_fd = true};
	struct port *p = NULL;
	struct ifreq r = {0};

	CU_ASSERT_EQUAL_FATAL(veth_make(ours, peers), 0);
	CU_ASSERT_EQUAL(veth_up(ours) | veth_up(peers), 0);
	int peer = peer_open();
	CU_ASSERT_FATAL(peer >= 0);
	CU_ASSERT_EQUAL_FATAL(dpdk_eal_start(&eal, error, sizeof(error)), 0);
	if (port_open(&config, &p, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	CU_ASSERT_STRING_EQUAL(port_info(p)->driver, "net_af_packet");
	CU_ASSERT_EQUAL(port_rx_fd(p, 0), -1);
	memcpy(r.ifr_name, ours, sizeof(ours));
	CU_ASSERT_EQUAL(ioctl(peer, SIOCGIFHWADDR, &r), 0);
	CU_ASSERT_EQUAL(memcmp(r.ifr_hwaddr.sa_data, port_info(p)->mac, PORT_MAC_BYTES), 0);
	receive(p, peer);
	transmit(p, peer);
	port_close(p);
	CU_ASSERT_NOT_EQUAL(if_nametoindex(ours), 0); /* the interface is not ours to remove */
	close(peer);
	dpdk_eal_stop();
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"af_packet", test_af_packet},
		{NULL, NULL},
	};
	if (geteuid() != 0) {
		printf("TAP version 13\n1..0 # SKIP a veth pair in a namespace of its own needs root\n");
		return 0;
	}
	if (unshare(CLONE_NEWNET)) {
		printf("Bail out! no network namespace as root: %s\n", strerror(errno));
		return 1;
	}
	return unit_main(argc, argv, tests);
}
