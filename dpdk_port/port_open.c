/* SPDX-License-Identifier: Apache-2.0 */
/* Making a port of a device, step by step, and unmaking it from whichever step was reached. */
#include "dpdk_port/dpdk_version.h"
#include "dpdk_port/eal.h"
#include "dpdk_port/eal_log.h"
#include "dpdk_port/heap.h"
#include "dpdk_port/port.h"
#include "dpdk_port/port_pool.h"
#include "dpdk_port/port_private.h"
#include "dpdk_port/port_signal.h"
#include "runtime/check.h"

#include <errno.h>
#include <rte_bus_vdev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { RSS_KEY_TRIES = 10000 }; /* a third of all spread */

/* The steps share these, and the first that fails says why. */
struct opening {
	const struct port_config *config;
	struct port *port;
	struct rte_eth_dev_info device;
	struct port_signals signals;
	uint8_t rss_key[PORT_RSS_KEY_BYTES];
	char *error;
	size_t error_bytes;
};

__attribute__((format(printf, 3, 4))) static int fail(struct opening *o, int rc, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(o->error, o->error_bytes, fmt, ap);
	va_end(ap);
	return rc;
}

static int config_check(struct opening *o)
{
	const struct port_config *c = o->config;

	if (!c->device || !c->device[0])
		return fail(o, -EINVAL, "no device is named");
	if (!dpdk_pci_address_valid(c->device) && dpdk_vdev_check(c->device, o->error, o->error_bytes))
		return -EINVAL;
	if (c->queues < 1 || c->queues > PORT_QUEUES_MAX)
		return fail(o, -EINVAL, "%u queues; 1 to %d are possible", c->queues, PORT_QUEUES_MAX);
	if (c->mtu && (c->mtu < PORT_MTU_MIN || c->mtu > PORT_MTU_MAX))
		return fail(o, -EINVAL, "an MTU of %u; %d to %d are possible", c->mtu, PORT_MTU_MIN,
			PORT_MTU_MAX);
	if (c->rx_descriptors > PORT_DESCRIPTORS_MAX || c->tx_descriptors > PORT_DESCRIPTORS_MAX)
		return fail(o, -EINVAL, "more than %d descriptors", PORT_DESCRIPTORS_MAX);
	if (c->mac[0] & 1)
		return fail(o, -EINVAL, "the MAC is a group address");
	if (!dpdk_eal_running())
		return fail(o, -EINVAL, "EAL does not run");
	return 0;
}

static int probe(struct opening *o)
{
	struct port *p = o->port;
	const char *device = o->config->device;
	const char *name = device;

	if (!dpdk_pci_address_valid(device)) {
		size_t n = strcspn(device, ",");
		if (n >= sizeof(p->vdev))
			return fail(o, -EINVAL, "the vdev's name is longer than %zu", sizeof(p->vdev) - 1);
		memcpy(p->vdev, device, n);
		name = p->vdev;
		int rc = rte_vdev_init(name, device[n] ? device + n + 1 : "");
		if (rc)
			return fail(o, rc == -EEXIST ? rc : -ENODEV, "the driver gave up: %s", strerror(-rc));
		p->is_vdev = true;
	}
	if (rte_eth_dev_get_port_by_name(name, &p->id))
		return fail(o, -ENODEV,
			"no driver took it: is the device there, and bound to vfio-pci where it is a PCI "
			"device?");
	p->opened = true;
	int rc = rte_eth_dev_info_get(p->id, &o->device);
	if (rc)
		return fail(o, rc, "the driver tells nothing about it: %s", strerror(-rc));
	p->driver = dpdk_driver_by_name(o->device.driver_name);
	snprintf(p->info.driver, sizeof(p->info.driver), "%s", o->device.driver_name);
	snprintf(p->info.device, sizeof(p->info.device), "%s", name);
	p->info.node = rte_eth_dev_socket_id(p->id);
	return 0;
}

/* Its frames may lie in the heap. */
static int memory_map(struct opening *o)
{
	int rc = o->port->is_vdev ? 0 : dpdk_heap_map(o->device.device);

	return rc ? fail(o, rc, "it cannot be given the memory of frames: %s", strerror(-rc)) : 0;
}

static unsigned segments_max(const struct opening *o)
{
	unsigned device = o->device.tx_desc_lim.nb_mtu_seg_max;

	if (!(o->port->info.offloads & PORT_TX_MULTI_SEGMENT))
		return 1;
	return device > 0 && device < PORT_SEGMENTS_MAX ? device : PORT_SEGMENTS_MAX;
}

static uint32_t offloads_common(uint32_t device, uint32_t wanted)
{
	/* Not IPv4's: virtio has no such offload, and cuts what comes with a right one. */
	const uint32_t tso_needs = PORT_TX_TCP_CHECKSUM | PORT_TX_MULTI_SEGMENT;
	uint32_t common = device & wanted;

	return (common & tso_needs) == tso_needs ? common : common & ~(uint32_t)PORT_TX_TSO;
}

/* Pairs of the device: what it has, what its hash can tell apart, and no more than there are cores. */
static unsigned device_queues(const struct opening *o)
{
	unsigned n = RTE_MIN(o->device.max_rx_queues, o->device.max_tx_queues);

	if (o->port->driver->rss_queues_max)
		n = RTE_MIN(n, o->port->driver->rss_queues_max);
	if (o->config->wait_on_fd && o->port->driver->fd_queues_max)
		n = RTE_MIN(n, o->port->driver->fd_queues_max);
	if (o->config->device_queues_max)
		n = RTE_MIN(n, o->config->device_queues_max);
	n = RTE_MIN(n, o->config->queues);
	return o->port->driver->queues_power_of_2 ? rte_align32prevpow2(n) : n;
}

/* A key that everybody knows would let a peer choose ports that all hash to one core. */
static int rss_key_make(struct opening *o)
{
	if (o->config->rss_key) {
		memcpy(o->rss_key, o->config->rss_key, sizeof(o->rss_key));
		return 0;
	}
	for (unsigned i = 0; i < RSS_KEY_TRIES; i++) {
		if (getrandom(o->rss_key, sizeof(o->rss_key), 0) != (ssize_t)sizeof(o->rss_key))
			return fail(o, -errno, "no random key for its hash: %s", strerror(errno));
		if (toeplitz_key_spreads(o->rss_key))
			break;
	}
	return 0;
}

static void rss_configure(struct opening *o, struct rte_eth_conf *conf)
{
	struct rte_eth_rss_conf *rss = &conf->rx_adv_conf.rss_conf;

	rss->rss_hf = o->port->info.device_queues > 1 ? dpdk_rss_types(&o->device) : 0;
	if (!rss->rss_hf)
		return;
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	if (o->device.hash_key_size < TOEPLITZ_KEY_BYTES || o->device.hash_key_size > PORT_RSS_KEY_BYTES)
		return;
	rss->rss_key = o->rss_key;
	rss->rss_key_len = o->device.hash_key_size;
}

/* Switches on what both sides have. */
static int configure(struct opening *o)
{
	const struct port_config *c = o->config;
	struct port *p = o->port;
	struct rte_eth_conf conf = {0};

	p->info.queues = c->queues;
	p->info.device_queues = device_queues(o);
	p->info.device_offloads = dpdk_offloads_of(&o->device);
	p->info.offloads = offloads_common(p->info.device_offloads, c->offloads);
	p->info.tx_segments_max = segments_max(o);

	p->info.mtu = c->mtu ? c->mtu : RTE_ETHER_MTU;
	conf.rxmode.mtu = p->info.mtu;
	conf.rxmode.offloads = dpdk_rx_offload_flags(p->info.offloads);
	conf.txmode.offloads = dpdk_tx_offload_flags(p->info.offloads);
	conf.intr_conf.rxq = c->wait_on_fd && p->driver->waits_on_fd;
	rss_configure(o, &conf);
	uint16_t queues = (uint16_t)p->info.device_queues;
	int rc = rte_eth_dev_configure(p->id, queues, queues, &conf);
	if (rc)
		return fail(
			o, rc, "%u queues with MTU %u are refused: %s", queues, p->info.mtu, strerror(-rc));
	/* Drivers of kernel interfaces set the interface's MTU by this alone. */
	rc = rte_eth_dev_set_mtu(p->id, (uint16_t)p->info.mtu);
	if (rc && rc != -ENOTSUP)
		return fail(o, rc, "MTU %u is refused: %s", p->info.mtu, strerror(-rc));
	p->frame_bytes_max = p->info.mtu + RTE_ETHER_HDR_LEN;
	return 0;
}

/* One for all queues: which core's connections hold a frame has nothing to do with the queue it came by. */
static int pool_make(struct opening *o)
{
	struct port *p = o->port;
	unsigned cores = p->info.queues;
	char name[RTE_MEMPOOL_NAMESIZE];
	const struct port_pool_need need = {.rings = p->info.device_queues,
		.ring_descriptors = p->info.rx_descriptors,
		.cores = cores,
		.held = o->config->rx_held * cores + port_spread_frames_max(cores, p->info.device_queues)};

	p->info.rx_buffers = port_pool_size(&need);
	snprintf(name, sizeof(name), "port%u_rx", p->id);
	struct rte_mempool *pool = port_pool_create(name, p->info.rx_buffers, port_pool_room(p->info.mtu),
		o->config->nodes ? o->config->nodes[0] : p->info.node);
	if (!pool)
		return fail(o, -ENOMEM, "no memory for %u receive buffers: %s", p->info.rx_buffers,
			rte_strerror(rte_errno));
	for (unsigned i = 0; i < cores; i++)
		p->queue[i].rx_pool = pool;
	return 0;
}

/* The driver's own settings, but for what was asked for. */
static struct rte_eth_rxconf rx_settings(const struct opening *o)
{
	struct rte_eth_rxconf s = o->device.default_rxconf;

	if (o->config->rx_free_threshold)
		s.rx_free_thresh = (uint16_t)o->config->rx_free_threshold;
	return s;
}

static struct rte_eth_txconf tx_settings(const struct opening *o)
{
	struct rte_eth_txconf s = o->device.default_txconf;

	if (o->config->tx_free_threshold)
		s.tx_free_thresh = (uint16_t)o->config->tx_free_threshold;
	if (o->config->tx_rs_threshold)
		s.tx_rs_thresh = (uint16_t)o->config->tx_rs_threshold;
	return s;
}

static int queues_make(struct opening *o)
{
	struct port *p = o->port;
	const struct port_config *c = o->config;
	uint16_t rx =
		(uint16_t)(c->rx_descriptors ? c->rx_descriptors : o->device.default_rxportconf.ring_size);
	uint16_t tx =
		(uint16_t)(c->tx_descriptors ? c->tx_descriptors : o->device.default_txportconf.ring_size);

	rx = rx ? rx : RTE_ETH_DEV_FALLBACK_RX_RINGSIZE;
	tx = tx ? tx : RTE_ETH_DEV_FALLBACK_TX_RINGSIZE;
	const struct rte_eth_rxconf rx_conf = rx_settings(o);
	const struct rte_eth_txconf tx_conf = tx_settings(o);
	int rc = rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &rx, &tx);
	if (rc)
		return fail(o, rc, "%u and %u descriptors are refused: %s", rx, tx, strerror(-rc));
	p->info.rx_descriptors = rx;
	p->info.tx_descriptors = tx;
	rc = pool_make(o);
	if (rc)
		return rc;
	for (unsigned i = 0; i < p->info.device_queues; i++) {
		unsigned node = c->nodes && c->nodes[i] >= 0 ? (unsigned)c->nodes[i]
							     : (unsigned)SOCKET_ID_ANY;
		rc = rte_eth_rx_queue_setup(p->id, (uint16_t)i, rx, node, &rx_conf, p->queue[i].rx_pool);
		if (rc)
			return fail(o, rc, "RX queue %u with %u descriptors is refused: %s", i, rx,
				strerror(-rc));
		rc = rte_eth_tx_queue_setup(p->id, (uint16_t)i, tx, node, &tx_conf);
		if (rc)
			return fail(o, rc, "TX queue %u with %u descriptors is refused: %s", i, tx,
				strerror(-rc));
	}
	return 0;
}

/* Derives from the kernel interface's name, or from the whole description where that names none. */
static void mac_derive_for(const char *device, uint8_t mac[PORT_MAC_BYTES])
{
	static const char key[] = ",iface=";
	const char *name = strstr(device, key);

	name = name ? name + sizeof(key) - 1 : device;
	char interface[64];
	snprintf(interface, sizeof(interface), "%.*s", (int)strcspn(name, ","), name);
	port_mac_derive(interface, mac);
}

static int mac_ask(struct opening *o, struct rte_ether_addr *mac)
{
	int rc = rte_eth_dev_mac_addr_add(o->port->id, mac, 0);

	return rc ? fail(o, rc,
			    "its host does not let this VF have a MAC of its own: set it there (ip link set "
			    "PF vf N "
			    "mac), or trust the VF")
		  : 0;
}

/* Our MAC: the configured one, else the device's own. Where the kernel's interface has the device's MAC, ours
 * must differ, or each side would take the other's frames for its own. */
static int mac_choose(struct opening *o)
{
	struct port *p = o->port;
	static const uint8_t none[PORT_MAC_BYTES];
	struct rte_ether_addr mac;

	int rc = rte_eth_macaddr_get(p->id, &mac);
	if (rc)
		return fail(o, rc, "the device tells no MAC: %s", strerror(-rc));
	memcpy(p->info.device_mac, mac.addr_bytes, PORT_MAC_BYTES);
	memcpy(p->info.mac, mac.addr_bytes, PORT_MAC_BYTES);
	if (memcmp(o->config->mac, none, PORT_MAC_BYTES))
		memcpy(p->info.mac, o->config->mac, PORT_MAC_BYTES);
	else if (p->driver->kernel_has_mac)
		mac_derive_for(o->config->device, p->info.mac);
	bool differs = memcmp(p->info.mac, p->info.device_mac, PORT_MAC_BYTES);
	if (p->driver->kernel_has_mac)
		return differs ? 0 : fail(o, -EINVAL, "the MAC is that of the kernel's side: choose another");
	if (!differs)
		return 0;
	memcpy(mac.addr_bytes, p->info.mac, PORT_MAC_BYTES);
	if (p->driver->host_decides)
		return mac_ask(o, &mac);
	if (rte_eth_dev_default_mac_addr_set(p->id, &mac) == 0)
		return 0;
	rc = rte_eth_promiscuous_enable(p->id);
	if (rc)
		return fail(o, rc, "the device can neither take our MAC nor all frames: %s", strerror(-rc));
	p->info.promiscuous = true;
	return 0;
}

/* How many entries the table has by which a hash becomes a core. */
static unsigned table_entries(const struct opening *o)
{
	unsigned n = o->device.reta_size;

	return n && n <= PORT_SPREAD_ENTRIES_MAX && rte_is_power_of_2(n) ? n : PORT_SPREAD_ENTRIES_MAX;
}

static int spread_make(struct opening *o)
{
	struct port *p = o->port;
	const struct port_spread_config sc = {.cores = p->info.queues,
		.entries = table_entries(o),
		.key = o->rss_key,
		.pool = p->queue[0].rx_pool};

	if (p->info.queues < 2)
		return 0;
	p->spread = port_spread_create(&sc);
	if (!p->spread || port_carry_init(p))
		return fail(o, -ENOMEM, "no memory for the rings between %u cores", p->info.queues);
	return 0;
}

/* Asked of the device itself: net_ixgbe takes a key and a table for an 82598, and never has it hash. */
static bool device_hashes(uint16_t id)
{
	struct rte_eth_rss_conf in_force = {0};

	return rte_eth_dev_rss_hash_conf_get(id, &in_force) || in_force.rss_hf;
}

/* The device's table names the queue of an entry's core. Where it takes none, or not this key, frames come by
 * whichever queue it likes and go on by ring. */
static void device_table_fill(struct opening *o)
{
	struct port *p = o->port;
	struct rte_eth_rss_reta_entry64 table[PORT_SPREAD_ENTRIES_MAX / RTE_ETH_RETA_GROUP_SIZE] = {0};
	unsigned entries = table_entries(o);

	if (p->info.device_queues < 2 || o->device.reta_size != entries ||
		o->device.hash_key_size < TOEPLITZ_KEY_BYTES || !dpdk_rss_types(&o->device))
		return;
	for (unsigned i = 0; i < entries; i++) {
		struct rte_eth_rss_reta_entry64 *group = &table[i / RTE_ETH_RETA_GROUP_SIZE];
		group->mask |= UINT64_C(1) << i % RTE_ETH_RETA_GROUP_SIZE;
		group->reta[i % RTE_ETH_RETA_GROUP_SIZE] =
			(uint16_t)(port_spread_entry(p->spread, i) % p->info.device_queues);
	}
	p->info.rss = rte_eth_dev_rss_reta_update(p->id, table, (uint16_t)entries) == 0 &&
		      device_hashes(p->id);
}

static int start(struct opening *o)
{
	struct port *p = o->port;

	int rc = rte_eth_dev_start(p->id);
	if (rc)
		return fail(o, rc, "it does not start: %s", strerror(-rc));
	p->started = true;
	rc = port_restart_watch(p);
	if (rc)
		return fail(o, rc, "its driver does not tell of resets: %s", strerror(-rc));
	device_table_fill(o);
	p->signal = port_signal_take(&o->signals, &p->rx_kick);
	for (unsigned i = 0; i < p->info.queues; i++)
		p->queue[i].rx_fd = p->queue[i].device_fd = -1;
	if (!o->config->wait_on_fd || !p->driver->waits_on_fd)
		return 0;
	port_wait_begin(p);
	return 0;
}

int port_open(const struct port_config *config, struct port **out, char *error, size_t error_bytes)
{
	static int (*const steps[])(struct opening *) = {config_check, rss_key_make, probe, memory_map,
		configure, queues_make, spread_make, mac_choose, start};
	char words[384];
	int rc = 0;

	*out = NULL;
	error[0] = '\0';
	size_t bytes = sizeof(struct port) +
		       (config->queues <= PORT_QUEUES_MAX ? config->queues : 0) * sizeof(struct port_queue);
	struct port *p = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(bytes, RTE_CACHE_LINE_SIZE));
	struct opening o = {.config = config, .port = p, .error = error, .error_bytes = error_bytes};
	if (!p)
		return fail(&o, -ENOMEM, "no memory");
	memset(p, 0, bytes);

	port_signals_note(&o.signals);
	eal_log_collect();
	for (unsigned i = 0; i < RTE_DIM(steps) && rc == 0; i++)
		rc = steps[i](&o);
	eal_log_collected(words, sizeof(words));
	if (rc == 0) {
		*out = p;
		return 0;
	}
	size_t used = strlen(error);
	if (words[0])
		snprintf(error + used, error_bytes - used, " (%s)", words);
	port_close(p);
	return rc;
}

void port_close(struct port *p)
{
	if (!p)
		return;
	if (p->started) {
		port_restart_unwatch(p);
		port_wait_end(p);
		rte_eth_dev_stop(p->id);
	}
	for (unsigned i = 0; i < p->info.queues; i++)
		rte_pktmbuf_free_bulk(
			p->queue[i].waiting + p->queue[i].waiting_first, p->queue[i].waiting_count);
	if (p->opened)
		rte_eth_dev_close(p->id);
	if (p->is_vdev)
		rte_vdev_uninit(p->vdev);
	port_signal_release(p->signal);
	port_carry_fini(p);
	port_spread_destroy(p->spread);
	rte_mempool_free(p->info.queues ? p->queue[0].rx_pool : NULL);
	free(p);
}
