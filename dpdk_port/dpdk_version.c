/* SPDX-License-Identifier: Apache-2.0 */
#include "dpdk_port/dpdk_version.h"
#include "dpdk_port/port.h"

#include <ctype.h>
#include <rte_ethdev.h>
#include <rte_version.h>
#include <stdio.h>
#include <string.h>

const char *const dpdk_eal_arguments[] = {"--no-telemetry", "--main-lcore=0", NULL};
const char *const dpdk_eal_arguments_huge[] = {"--in-memory", NULL};
/* --in-memory cannot be combined with --no-huge; --no-shconf is the part of it that counts here. */
const char *const dpdk_eal_arguments_no_huge[] = {"--no-huge", "--no-shconf", NULL};
const char dpdk_eal_expected_complaint[] = "/dev/null/dpdk";

static const struct dpdk_driver drivers[] = {
	{.name = "net_tap",
		.vdev = "net_tap",
		.kernel_has_mac = true,
		.waits_on_fd = true,
		.own_rx_fd = true},
	{.name = "net_af_packet", .vdev = "net_af_packet", .interface_key = "iface"},
	{.name = "net_af_xdp", .vdev = "net_af_xdp", .interface_key = "iface", .attaches_xdp = true},
	{.name = "net_vhost", .vdev = "net_vhost", .socket_key = "iface", .socket_unless = "client"},
	{.name = "net_virtio_user",
		.vdev = "net_virtio_user",
		.shares_memory = true,
		.socket_key = "path",
		.socket_if = "server"},
	{.name = "net_ring", .vdev = "net_ring"},
	{.name = "net_pcap", .vdev = "net_pcap"},
	{.name = "net_null", .vdev = "net_null"},
	/* A table with entries of 4 bits; IXGBE_MAX_INTR_QUEUE_NUM; and its rx_queue_intr_disable clears the
	 * bit of the queue's number in a mask of vectors, of which the queue has the next one. */
	{.name = "net_ixgbe",
		.waits_on_fd = true,
		.fd_queues_max = 15,
		.stays_armed = true,
		.rss_queues_max = 16},
	{.name = "net_ixgbe_vf", .waits_on_fd = true, .queues_power_of_2 = true, .host_decides = true},
	{.name = "net_e1000_em"},
	{.name = "net_e1000_igb", .waits_on_fd = true},
	{.name = "net_virtio", .waits_on_fd = true},
};
static const struct dpdk_driver unknown_driver = {.name = "unknown"};

enum { DRIVERS = sizeof(drivers) / sizeof(drivers[0]) };

const char *dpdk_version_text(void)
{
	const char *s = rte_version(); /* "DPDK 22.11.11" */
	const char *space = strchr(s, ' ');
	return space ? space + 1 : s;
}

const struct dpdk_driver *dpdk_driver_of_vdev(const char *vdev)
{
	for (unsigned i = 0; i < DRIVERS; i++) {
		size_t n = drivers[i].vdev ? strlen(drivers[i].vdev) : 0;
		if (n && !strncmp(vdev, drivers[i].vdev, n) && isdigit((unsigned char)vdev[n]))
			return &drivers[i];
	}
	return NULL;
}

const struct dpdk_driver *dpdk_driver_by_name(const char *name)
{
	for (unsigned i = 0; i < DRIVERS; i++)
		if (!strcmp(drivers[i].name, name))
			return &drivers[i];
	return &unknown_driver;
}

const char *dpdk_driver_vdevs(void)
{
	return "net_tap, net_af_packet, net_af_xdp, net_vhost, net_virtio_user, net_ring, net_pcap, net_null";
}

static const struct {
	uint32_t ours;
	uint64_t rx, tx;
} offload_names[] = {
	{PORT_RX_IPV4_CHECKSUM, RTE_ETH_RX_OFFLOAD_IPV4_CKSUM, 0},
	{PORT_RX_TCP_CHECKSUM, RTE_ETH_RX_OFFLOAD_TCP_CKSUM, 0},
	{PORT_TX_IPV4_CHECKSUM, 0, RTE_ETH_TX_OFFLOAD_IPV4_CKSUM},
	{PORT_TX_TCP_CHECKSUM, 0, RTE_ETH_TX_OFFLOAD_TCP_CKSUM},
	{PORT_TX_MULTI_SEGMENT, 0, RTE_ETH_TX_OFFLOAD_MULTI_SEGS},
	{PORT_TX_TSO, 0, RTE_ETH_TX_OFFLOAD_TCP_TSO},
};

enum { OFFLOADS = sizeof(offload_names) / sizeof(offload_names[0]) };

uint32_t dpdk_offloads_of(const struct rte_eth_dev_info *info)
{
	uint32_t found = 0;
	for (unsigned i = 0; i < OFFLOADS; i++)
		if ((info->rx_offload_capa & offload_names[i].rx) ||
			(info->tx_offload_capa & offload_names[i].tx))
			found |= offload_names[i].ours;
	return found;
}

uint64_t dpdk_rx_offload_flags(uint32_t offloads)
{
	uint64_t flags = 0;
	for (unsigned i = 0; i < OFFLOADS; i++)
		if (offloads & offload_names[i].ours)
			flags |= offload_names[i].rx;
	return flags;
}

uint64_t dpdk_tx_offload_flags(uint32_t offloads)
{
	uint64_t flags = 0;
	for (unsigned i = 0; i < OFFLOADS; i++)
		if (offloads & offload_names[i].ours)
			flags |= offload_names[i].tx;
	return flags;
}

uint64_t dpdk_rss_types(const struct rte_eth_dev_info *info)
{
	return info->flow_type_rss_offloads & (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP |
						      RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_IPV6);
}
