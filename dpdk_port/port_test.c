/* SPDX-License-Identifier: Apache-2.0 */
/* EAL and ports over drivers that need no privilege: null, ring and pcap, all in one EAL without hugepages.
 */
#include "dpdk_port/eal.h"
#include "dpdk_port/port.h"
#include "dpdk_port/port_pool.h"
#include "tests/unit/unit.h"

#include <pcap/pcap.h>
#include <rte_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char error[512];

static void eal_test_start(void)
{
	const struct eal_options o = {.memory_mb = 128, .data_cores = 2};

	if (!dpdk_eal_running() && dpdk_eal_start(&o, error, sizeof(error)))
		printf("# %s\n", error);
	CU_ASSERT_FATAL(dpdk_eal_running());
}

static struct port *port_test_open(const char *device, struct port_config c)
{
	struct port *p;

	eal_test_start();
	c.device = device;
	c.queues = c.queues ? c.queues : 1;
	c.offloads = PORT_OFFLOADS_ALL;
	if (port_open(&c, &p, error, sizeof(error)))
		printf("# %s: %s\n", device, error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	return p;
}

static struct rte_mempool *frames_pool(void)
{
	static struct rte_mempool *pool;

	if (!pool)
		pool = port_pool_create("test_frames", 4095, port_pool_room(1500), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
	return pool;
}

static struct rte_mbuf *frame(unsigned bytes, unsigned mark)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(frames_pool());

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	char *data = rte_pktmbuf_append(m, (uint16_t)bytes);
	memset(data, 0, bytes);
	memcpy(data + RTE_ETHER_HDR_LEN, &mark, sizeof(mark));
	return m;
}

static void frames(struct rte_mbuf **list, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		list[i] = frame(64 + i, i);
}

static unsigned mark_of(const struct rte_mbuf *m)
{
	unsigned mark;
	memcpy(&mark, rte_pktmbuf_mtod_offset(m, char *, RTE_ETHER_HDR_LEN), sizeof(mark));
	return mark;
}

static void test_open_refuses(void)
{
	static const struct {
		struct port_config config;
		const char *words;
	} bad[] = {
		{{.device = NULL, .queues = 1}, "no device"},
		{{.device = "net_null0", .queues = 0}, "queues"},
		{{.device = "net_null0", .queues = 65}, "queues"},
		{{.device = "net_null0", .queues = 1, .mtu = 100}, "MTU"},
		{{.device = "net_null0", .queues = 1, .rx_descriptors = 5000}, "descriptors"},
		{{.device = "net_null0", .queues = 1, .mac = {1, 2, 3, 4, 5, 6}}, "group"},
		{{.device = "net_nothing0", .queues = 1}, "vdev"},
		{{.device = "net_pcap0,rx_pcap=/nonexistent.pcap", .queues = 1}, "driver"},
		{{.device = "net_null0,unknown=1", .queues = 1}, "driver"},
		{{.device = "0000:7f:1f.7", .queues = 1}, "no driver"},
		{{.device = "net_null0", .queues = 1, .rx_held = 10000000}, "receive buffers"},
	};
	eal_test_start();
	for (unsigned i = 0; i < RTE_DIM(bad); i++) {
		struct port *p = (void *)1;
		CU_ASSERT(port_open(&bad[i].config, &p, error, sizeof(error)) < 0);
		CU_ASSERT_PTR_NULL(p);
		if (!strstr(error, bad[i].words))
			printf("# case %u says: %s\n", i, error);
		CU_ASSERT_PTR_NOT_NULL(strstr(error, bad[i].words));
	}
}

static void test_null_counts(void)
{
	struct port *p = port_test_open("net_null0,size=100", (struct port_config){.rx_held = 64});
	struct rte_mbuf *list[PORT_BURST];
	struct port_counters c;

	CU_ASSERT_STRING_EQUAL(port_info(p)->driver, "net_null");
	CU_ASSERT_EQUAL(port_rx_fd(p, 0), -1);
	CU_ASSERT_EQUAL(port_rx(p, 0, list, PORT_BURST), PORT_BURST);
	rte_pktmbuf_free_bulk(list, PORT_BURST);
	frames(list, PORT_BURST);
	CU_ASSERT_EQUAL(port_tx(p, 0, list, PORT_BURST), PORT_BURST);
	CU_ASSERT_EQUAL(port_tx_flush(p, 0, 1), 0);
	port_queue_counters(p, 0, &c);
	CU_ASSERT_EQUAL(c.rx_frames, PORT_BURST);
	CU_ASSERT_EQUAL(c.rx_bytes, PORT_BURST * 100);
	CU_ASSERT_EQUAL(c.tx_frames, PORT_BURST);
	CU_ASSERT_EQUAL(c.tx_bytes, PORT_BURST * 64 + PORT_BURST * (PORT_BURST - 1) / 2);
	CU_ASSERT(unit_pool_full(port_rx_pool(p, 0)));
	port_close(p);
	CU_ASSERT(unit_pool_full(frames_pool()));
}

static void test_ring_passes_frames_in_order(void)
{
	struct port *p = port_test_open("net_ring0", (struct port_config){.queues = 2});
	struct rte_mbuf *list[PORT_BURST];
	unsigned got = 0;

	for (unsigned queue = 0; queue < 2; queue++) {
		frames(list, PORT_BURST);
		CU_ASSERT_EQUAL(port_tx(p, queue, list, PORT_BURST), PORT_BURST);
		if (queue == 1) /* of no connection: the first core's, whichever queue they come by */
			CU_ASSERT_EQUAL(port_rx(p, 1, list, PORT_BURST), 0);
		got = port_rx(p, 0, list, PORT_BURST);
		CU_ASSERT_EQUAL(got, PORT_BURST);
		for (unsigned i = 0; i < got; i++)
			CU_ASSERT_EQUAL(mark_of(list[i]), i);
		rte_pktmbuf_free_bulk(list, got);
	}
	struct port_counters sum;
	port_counters(p, &sum);
	CU_ASSERT_EQUAL(sum.tx_frames, 2 * PORT_BURST);
	CU_ASSERT_EQUAL(sum.rx_frames, sum.tx_frames);
	CU_ASSERT_EQUAL(sum.rx_bytes, sum.tx_bytes);
	CU_ASSERT(port_link(p).up);
	port_close(p);
	CU_ASSERT(unit_pool_full(frames_pool()));
}

/* A ring that nobody empties: frames wait, then are refused, then arrive in order once there is room; with no
 * room for too long those that wait are dropped and counted. */
static void test_full_ring_pushes_back(void)
{
	struct port *p = port_test_open("net_ring1", (struct port_config){0});
	struct rte_mbuf *list[PORT_BURST];
	struct port_counters c;
	unsigned sent = 0, got = 0, taken;

	for (;;) {
		for (unsigned i = 0; i < PORT_BURST; i++)
			list[i] = frame(64, sent + i);
		taken = port_tx(p, 0, list, PORT_BURST);
		sent += taken;
		if (taken < PORT_BURST)
			break;
		CU_ASSERT_FATAL(sent < 4000);
	}
	rte_pktmbuf_free_bulk(list + taken, PORT_BURST - taken);
	port_queue_counters(p, 0, &c);
	CU_ASSERT_EQUAL(c.tx_refused, PORT_BURST - taken);
	CU_ASSERT_EQUAL(sent - c.tx_frames, PORT_TX_WAITING);
	CU_ASSERT_EQUAL(port_tx_flush(p, 0, 1000), PORT_TX_WAITING);

	unsigned n = port_rx(p, 0, list, PORT_BURST / 2);
	while (n) {
		for (unsigned i = 0; i < n; i++)
			CU_ASSERT_EQUAL(mark_of(list[i]), got + i);
		got += n;
		rte_pktmbuf_free_bulk(list, n);
		port_tx_flush(p, 0, 2000);
		n = port_rx(p, 0, list, PORT_BURST / 2);
	}
	CU_ASSERT_EQUAL(got, sent);
	CU_ASSERT(unit_pool_full(frames_pool()));
	port_close(p);
}

static void test_stuck_device_drops_late(void)
{
	struct port *p = port_test_open("net_ring2", (struct port_config){0});
	struct rte_mbuf *list[PORT_BURST];
	struct port_counters c;
	unsigned n = 0;

	do {
		frames(list, PORT_BURST);
		n = port_tx(p, 0, list, PORT_BURST);
	} while (n == PORT_BURST);
	rte_pktmbuf_free_bulk(list + n, PORT_BURST - n);
	port_tx_flush(p, 0, 1); /* clears what was sent since */
	CU_ASSERT_EQUAL(port_tx_flush(p, 0, 1000), PORT_TX_WAITING);
	CU_ASSERT_EQUAL(port_tx_flush(p, 0, 999 + PORT_TX_STUCK_US), PORT_TX_WAITING);
	CU_ASSERT_EQUAL(port_tx_flush(p, 0, 1000 + PORT_TX_STUCK_US), 0);
	port_queue_counters(p, 0, &c);
	CU_ASSERT_EQUAL(c.tx_stuck, PORT_TX_WAITING);
	while ((n = port_rx(p, 0, list, PORT_BURST)))
		rte_pktmbuf_free_bulk(list, n);
	CU_ASSERT(unit_pool_full(frames_pool()));
	port_close(p);
}

static void test_waiting_frames_are_freed_at_close(void)
{
	struct port *p = port_test_open("net_ring3", (struct port_config){0});
	struct rte_mbuf *list[PORT_BURST];
	unsigned n;

	do {
		frames(list, PORT_BURST);
		n = port_tx(p, 0, list, PORT_BURST);
	} while (n == PORT_BURST);
	rte_pktmbuf_free_bulk(list + n, PORT_BURST - n);
	while ((n = port_rx(p, 0, list, PORT_BURST)))
		rte_pktmbuf_free_bulk(list, n);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(frames_pool()), PORT_TX_WAITING);
	port_close(p);
	CU_ASSERT(unit_pool_full(frames_pool()));
}

/* A tag of 802.1Q is not counted against the MTU; without one a frame must not be longer. */
static void test_a_tag_comes_on_top_of_the_mtu(void)
{
	struct port *p = port_test_open("net_null4", (struct port_config){0});
	struct rte_mbuf *list[3] = {frame(1518, 0), frame(1519, 1), frame(1518, 2)};
	struct port_counters c;

	for (unsigned i = 0; i < 2; i++)
		memcpy(rte_pktmbuf_mtod_offset(list[i], void *, 12), (uint8_t[]){0x81, 0}, 2);
	CU_ASSERT_EQUAL(port_tx(p, 0, list, 3), 3);
	port_queue_counters(p, 0, &c);
	CU_ASSERT_EQUAL(c.tx_frames, 1);
	CU_ASSERT_EQUAL(c.tx_too_long, 2);
	port_close(p);
}

static void test_groups_are_taken(void)
{
	struct port *p = port_test_open("net_null5", (struct port_config){0});

	CU_ASSERT_FALSE(port_info(p)->groups);
	CU_ASSERT_EQUAL(port_take_groups(p, NULL, 0), 0);
	CU_ASSERT_TRUE(port_info(p)->groups);
	CU_ASSERT_EQUAL(port_take_groups(p, NULL, 0), 0);
	port_close(p);
}

static void test_unsendable_frames_are_dropped(void)
{
	struct port *p = port_test_open("net_null3", (struct port_config){0});
	struct rte_mbuf *list[4] = {frame(64, 0), frame(1515, 1), frame(64, 2), frame(1514, 3)};
	struct port_counters c;

	struct rte_mbuf *tail = frame(64, 9);
	CU_ASSERT_EQUAL(rte_pktmbuf_chain(list[2], tail), 0);
	CU_ASSERT(!(port_info(p)->offloads & PORT_TX_MULTI_SEGMENT));
	CU_ASSERT_EQUAL(port_tx(p, 0, list, 4), 4);
	port_queue_counters(p, 0, &c);
	CU_ASSERT_EQUAL(c.tx_frames, 2);
	CU_ASSERT_EQUAL(c.tx_too_long, 1);
	CU_ASSERT_EQUAL(c.tx_segmented, 1);
	port_close(p);
	CU_ASSERT(unit_pool_full(frames_pool()));
}

static void test_pcap_replays_and_records(void)
{
	char in[] = "/tmp/port_test_in_XXXXXX", out[] = "/tmp/port_test_out_XXXXXX", device[128];
	struct rte_mbuf *list[PORT_BURST];
	u_char data[80] = {2, 2, 2, 2, 2, 2};

	close(mkstemp(in));
	close(mkstemp(out));
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, 65535);
	pcap_dumper_t *d = pcap_dump_open(dead, in);
	for (unsigned i = 0; i < 5; i++)
		pcap_dump((u_char *)d, &(struct pcap_pkthdr){.caplen = 80, .len = 80}, data);
	pcap_dump_close(d);

	snprintf(device, sizeof(device), "net_pcap0,rx_pcap=%s,tx_pcap=%s", in, out);
	struct port *p = port_test_open(device, (struct port_config){0});
	unsigned got = port_rx(p, 0, list, PORT_BURST);
	CU_ASSERT_EQUAL(got, 5);
	CU_ASSERT_EQUAL(port_tx(p, 0, list, got), got);
	port_close(p);

	char why[PCAP_ERRBUF_SIZE];
	pcap_t *back = pcap_open_offline(out, why);
	struct pcap_pkthdr header;
	unsigned recorded = 0;
	while (back && pcap_next(back, &header))
		recorded++;
	CU_ASSERT_EQUAL(recorded, 5);
	if (back)
		pcap_close(back);
	pcap_close(dead);
	unlink(in);
	unlink(out);
}

/* Two ports that face each other through shared memory, as a guest and its host do. */
static void test_vhost_and_virtio_user(void)
{
	char device[128], socket_path[] = "/tmp/port_test_vhost_XXXXXX";
	struct rte_mbuf *list[PORT_BURST];
	unsigned got = 0;

	close(mkstemp(socket_path));
	unlink(socket_path);
	snprintf(device, sizeof(device), "net_vhost0,iface=%s", socket_path);
	struct port *host = port_test_open(device, (struct port_config){.rx_descriptors = 256});
	snprintf(device, sizeof(device), "net_virtio_user0,path=%s,queue_size=256", socket_path);
	struct port *guest = port_test_open(device, (struct port_config){.rx_descriptors = 256});
	CU_ASSERT_STRING_EQUAL(port_info(host)->driver, "net_vhost");
	CU_ASSERT_STRING_EQUAL(port_info(guest)->driver, "net_virtio_user");

	for (int ms = 0; ms < 5000 && !port_link(host).up; ms++)
		usleep(1000);
	CU_ASSERT(port_link(host).up);
	frames(list, PORT_BURST);
	CU_ASSERT_EQUAL(port_tx(guest, 0, list, PORT_BURST), PORT_BURST);
	for (int ms = 0; ms < 2000 && got < PORT_BURST; ms++) {
		port_tx_flush(guest, 0, 1);
		got += port_rx(host, 0, list + got, PORT_BURST - got);
		usleep(1000);
	}
	CU_ASSERT_EQUAL(got, PORT_BURST);
	for (unsigned i = 0; i < got; i++)
		CU_ASSERT_EQUAL(mark_of(list[i]), i);
	rte_pktmbuf_free_bulk(list, got);
	port_close(guest);
	port_close(host);
	CU_ASSERT(unit_pool_full(frames_pool()));
	unlink(socket_path);
}

static void test_mac_from_config(void)
{
	const uint8_t mac[] = {2, 1, 2, 3, 4, 5};
	struct port *p = port_test_open("net_null4", (struct port_config){.mac = {2, 1, 2, 3, 4, 5}});

	CU_ASSERT_EQUAL(memcmp(port_info(p)->mac, mac, sizeof(mac)), 0);
	port_close(p);
}

static void test_mac_derived(void)
{
	uint8_t a[6], b[6], again[6];

	port_mac_derive("godwit0", a);
	port_mac_derive("godwit1", b);
	port_mac_derive("godwit0", again);
	CU_ASSERT_EQUAL(a[0], 2);
	CU_ASSERT_EQUAL(memcmp(a, again, 6), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(a, b, 6), 0);
}

static void test_pool_size_is_enough(void)
{
	const struct port_pool_need need = {.rings = 2, .ring_descriptors = 512, .cores = 2, .held = 1000};

	CU_ASSERT_EQUAL(port_pool_size(&need), 1024 + 64 + 128 + 384 + 1000);
	CU_ASSERT_EQUAL(port_pool_room(1500), 2048);
	CU_ASSERT_EQUAL(port_pool_room(9000), 9216);
	eal_test_start();
	struct rte_mempool *p = port_pool_create("test_size", 5000, port_pool_room(1500), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	uint64_t bytes = 0;
	struct rte_mempool_memhdr *h;
	STAILQ_FOREACH(h, &p->mem_list, next)
	bytes += h->len;
	CU_ASSERT(bytes <= port_pool_memory_bytes(5000, port_pool_room(1500)));
	CU_ASSERT(port_pool_memory_bytes(5000, port_pool_room(1500)) < bytes + bytes / 2);
	rte_mempool_free(p);
}

/* What a descriptor tells the device is where the data is. */
static void test_buffers_have_bus_addresses(void)
{
	eal_test_start();
	struct rte_mempool *p = port_pool_create("test_iova", 300, port_pool_room(9000), -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	struct rte_mbuf *list[300];
	CU_ASSERT_EQUAL_FATAL(rte_pktmbuf_alloc_bulk(p, list, 300), 0);
	for (unsigned i = 0; i < 300; i++)
		CU_ASSERT_EQUAL(
			rte_mbuf_data_iova(list[i]), rte_mem_virt2iova(rte_pktmbuf_mtod(list[i], void *)));
	rte_pktmbuf_free(list[1]);
	rte_pktmbuf_attach(list[0], list[2]);
	rte_pktmbuf_detach(list[0]);
	CU_ASSERT_EQUAL(rte_mbuf_data_iova(list[0]), rte_mem_virt2iova(rte_pktmbuf_mtod(list[0], void *)));
	list[1] = list[299];
	rte_pktmbuf_free_bulk(list, 299);
	CU_ASSERT(unit_pool_full(p));
	rte_mempool_free(p);
}

int main(int argc, char **argv)
{
	static const struct unit_test tests[] = {
		{"open_refuses", test_open_refuses},
		{"null_counts", test_null_counts},
		{"ring_passes_frames_in_order", test_ring_passes_frames_in_order},
		{"full_ring_pushes_back", test_full_ring_pushes_back},
		{"stuck_device_drops_late", test_stuck_device_drops_late},
		{"waiting_frames_are_freed_at_close", test_waiting_frames_are_freed_at_close},
		{"a_tag_comes_on_top_of_the_mtu", test_a_tag_comes_on_top_of_the_mtu},
		{"groups_are_taken", test_groups_are_taken},
		{"unsendable_frames_are_dropped", test_unsendable_frames_are_dropped},
		{"pcap_replays_and_records", test_pcap_replays_and_records},
		{"vhost_and_virtio_user", test_vhost_and_virtio_user},
		{"mac_from_config", test_mac_from_config},
		{"mac_derived", test_mac_derived},
		{"pool_size_is_enough", test_pool_size_is_enough},
		{"buffers_have_bus_addresses", test_buffers_have_bus_addresses},
		{NULL, NULL},
	};
	int rc = unit_main(argc, argv, tests);
	dpdk_eal_stop();
	return rc;
}
