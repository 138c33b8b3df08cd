/* SPDX-License-Identifier: Apache-2.0 */
/* What the broker makes outside of itself: hugepages, TAP interfaces and their addresses, ports. All of it is
 * said before it is made, and undone at the end, by the keeper where the broker cannot. */
#include "broker/main/instance.h"
#include "broker/main/sizes.h"
#include "dpdk_port/cpus.h"
#include "dpdk_port/eal.h"
#include "dpdk_port/heap.h"
#include "dpdk_port/hugepages.h"
#include "dpdk_port/tap.h"
#include "runtime/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STATE_DIRECTORY "/run/godwit"

enum {
	CHECKSUMS = PORT_RX_IPV4_CHECKSUM | PORT_RX_TCP_CHECKSUM | PORT_TX_IPV4_CHECKSUM |
		    PORT_TX_TCP_CHECKSUM,
	TRANSMITTING = PORT_TX_IPV4_CHECKSUM | PORT_TX_TCP_CHECKSUM | PORT_TX_MULTI_SEGMENT,
};

static bool is_root(void)
{
	return geteuid() == 0;
}

static void tap_key(char *out, size_t room, const struct config *c, uint32_t port, const char *key)
{
	if (c->path[0])
		snprintf(out, room, "ports[%u].%s", port, key);
	else
		snprintf(out, room, "ports[%u].%s (in a file given with --config)", port, key);
}

static void describe_tap(struct tap_host *h, char keys[2][64], const struct config *c, uint32_t i)
{
	const struct config_port *p = &c->ports[i];

	tap_key(keys[0], 64, c, i, "name");
	tap_key(keys[1], 64, c, i, "host_address");
	*h = (struct tap_host){
		.interface = p->name,
		.interface_key = keys[0],
		.address = p->host_address.address,
		.prefix = p->host_address.prefix_bits,
		.address_key = keys[1],
		.mtu = p->mtu_bytes,
	};
}

/* TAPs that cannot be had are left out, with the reason: the rest is served. */
static bool port_wanted(const struct config *c, uint32_t i)
{
	struct tap_host h;
	char keys[2][64], error[ERROR_BYTES];

	if (c->ports[i].device_kind != CONFIG_DEVICE_TAP)
		return true;
	describe_tap(&h, keys, c, i);
	int code = tap_host_check(&h, error, sizeof(error));
	if (code == 0)
		return true;
	LOG_WARN("host", "no TAP port %s: %s", c->ports[i].name, error);
	if (!is_root() && (code == -EPERM || code == -EACCES))
		LOG_WARN("host", "root would add: the bypass path (TAP %s) and hugepages", c->ports[i].name);
	return false;
}

struct wanted {
	bool port[CONFIG_PORTS_MAX];
	bool nic; /* a PCI device is among them */
	struct hugepages_plan hugepages;
	unsigned giant; /* pages of 1 GiB that are there for messages and buffers */
};

static void port_text(const struct config_port *p, char *text, size_t bytes)
{
	uint32_t a = p->host_address.address;

	if (p->device_kind == CONFIG_DEVICE_TAP)
		snprintf(text, bytes, "TAP %s with %u.%u.%u.%u/%u on the host's side", p->name, a >> 24,
			a >> 16 & 255, a >> 8 & 255, a & 255, p->host_address.prefix_bits);
	else
		keeper_device_text(p->device, text, bytes);
}

static void say_plan(const struct instance *in, const struct wanted *w, unsigned pages)
{
	const struct config *c = &in->config;
	char text[ERROR_BYTES] = "", one[ERROR_BYTES];
	size_t n = 0;

	for (uint32_t i = 0; i < c->port_count; i++) {
		port_text(&c->ports[i], one, sizeof(one));
		if (w->port[i] && one[0] && n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? ", " : "", one);
	}
	if (in->hugepages && w->hugepages.missing && n < sizeof(text))
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u more hugepages of %u MiB (%u in use)",
			n ? ", " : "", w->hugepages.missing, HUGEPAGE_MB, pages);
	if (in->hugepages && w->giant)
		LOG_INFO("host",
			"messages and buffers begin with %u hugepages of 1 GiB, which are reserved here",
			w->giant);
	LOG_INFO("host", "will make on this host, and undo at exit: %s", n ? text : "nothing");
}

static int no_hugepages(struct instance *in, const char *why)
{
	in->hugepages = false;
	if (in->config.memory.hugepages == CONFIG_HUGEPAGES_ON) {
		LOG_ERROR("host", "memory.hugepages is on, and they cannot be had: %s", why);
		return -1;
	}
	LOG_WARN("host", "no hugepages: %s", why);
	return 0;
}

static int plan_hugepages(struct instance *in, struct wanted *w, unsigned pages)
{
	const struct config *c = &in->config;
	char error[ERROR_BYTES];
	bool may = c->memory.hugepages != CONFIG_HUGEPAGES_OFF;

	in->hugepages = false;
	if (!may)
		return 0;
	int code = hugepages_plan(HUGEPAGES_POOL, pages, &w->hugepages, error, sizeof(error));
	/* Those that are there already are for everybody. */
	if (code == 0 && w->hugepages.missing && !is_root()) {
		snprintf(error, sizeof(error),
			"%u more of 2 MiB are wanted, and only root can reserve them: reserve them at boot "
			"(hugepages=), or start as root",
			w->hugepages.missing);
		code = -EPERM;
	}
	if (code == 0) {
		in->hugepages = true;
		return 0;
	}
	if (!is_root() && c->memory.hugepages != CONFIG_HUGEPAGES_ON)
		return 0; /* said with what else root would add */
	return no_hugepages(in, error);
}

static int grow_hugepages(struct instance *in, struct wanted *w, unsigned pages)
{
	char error[ERROR_BYTES] = "the keeper is gone";

	if (!in->hugepages)
		return 0;
	if (w->hugepages.missing) {
		if (keeper_remember_hugepages_growing(in->keeper, HUGEPAGES_POOL, &w->hugepages) != 0 ||
			hugepages_grow(HUGEPAGES_POOL, &w->hugepages, error, sizeof(error)) != 0) {
			keeper_forget_hugepages(in->keeper, HUGEPAGES_POOL);
			return no_hugepages(in, error);
		}
		if (keeper_remember_hugepages_grown(in->keeper, HUGEPAGES_POOL, &w->hugepages) != 0)
			return -1;
	}
	int code = hugepages_try(pages);
	return code ? no_hugepages(in, strerror(-code)) : 0;
}

static int start_keeper(struct instance *in)
{
	char error[ERROR_BYTES];
	unsigned undone = 0;

	if (!is_root())
		return 0; /* nothing that an ordinary user makes outlives the process */
	if (keeper_undo_stale(STATE_DIRECTORY, &undone) == 0 && undone)
		LOG_INFO("host", "undid what %u earlier start(s) had left behind", undone);
	if (keeper_start(STATE_DIRECTORY, &in->keeper, error, sizeof(error)) != 0) {
		LOG_ERROR("host", "%s", error);
		return -1;
	}
	return 0;
}

/* Which CPUs there are is this machine's matter and not the file's: it is said with the key all the same. */
static int check_cpus(const struct config *c)
{
	char text[CPUS_TEXT_BYTES];
	cpu_set_t usable;
	int code = 0;

	if (c->lcores_auto || cpus_usable(&usable) != 0)
		return 0;
	for (uint32_t i = 0; i < c->lcore_count; i++) {
		if (CPU_ISSET(c->lcores[i], &usable))
			continue;
		LOG_ERROR("host",
			"lcores[%u]: CPU %u is not there, is off, or may not be used by this process, which "
			"has %s: name others, or a number of cores alone for any",
			i, c->lcores[i], cpus_write(&usable, text));
		code = -1;
	}
	return code;
}

/* Whether a port's other side would not see the heap. */
static bool buffers_apart(const struct config *c, const struct wanted *w)
{
	bool apart = false;

	for (uint32_t i = 0; i < c->port_count; i++)
		apart |= w->port[i] && dpdk_device_shares_memory(c->ports[i].device);
	return apart;
}

static int start_eal(struct instance *in, const struct wanted *w)
{
	const struct config *c = &in->config;
	const char *pci[CONFIG_PORTS_MAX];
	int cpus[CONFIG_LCORES_MAX];
	char error[ERROR_BYTES];
	struct eal_options o = {
		.pci = pci,
		.hugepages = in->hugepages,
		.shared = buffers_apart(c, w),
		.memory_mb = MEMORY_EAL_MB + (in->heap && !buffers_apart(c, w) ? 0 : in->memory_mb),
		.data_cores = c->lcore_count,
		.data_core_cpus = c->lcores_auto ? NULL : cpus,
		.chatter = c->log.eal,
	};

	for (uint32_t i = 0; i < c->port_count; i++) {
		if (w->port[i] && c->ports[i].device_kind == CONFIG_DEVICE_PCI)
			pci[o.pci_count++] = c->ports[i].device;
	}
	for (uint32_t i = 0; i < c->lcore_count; i++)
		cpus[i] = (int)c->lcores[i];
	if (dpdk_eal_start(&o, error, sizeof(error)) != 0) {
		LOG_ERROR("host", "%s", error);
		return -1;
	}
	if (in->heap && dpdk_heap_open(error, sizeof(error)) != 0) {
		LOG_ERROR("host", "memory for buffers and messages: %s", error);
		return -1;
	}
	return 0;
}

/* The node of the first NIC, whose frames cross the bus; without one the first data core's. */
static int heap_node(const struct config *c, const struct wanted *w)
{
	for (uint32_t i = 0; i < c->port_count; i++) {
		if (w->port[i] && c->ports[i].device_kind == CONFIG_DEVICE_PCI)
			return cpus_node_of_pci(c->ports[i].device);
	}
	return c->lcores_auto ? -1 : cpus_node(c->lcores[0]);
}

static bool wants_lock(const struct config *c)
{
	return c->memory.lock == CONFIG_LOCK_ON ||
	       (c->memory.lock == CONFIG_LOCK_AUTO && c->idle != CONFIG_IDLE_ADAPTIVE);
}

static unsigned heap_mb(const struct instance *in, const struct wanted *w, unsigned messages_mb)
{
	return (buffers_apart(&in->config, w) ? 0 : in->memory_mb) + messages_mb;
}

/* Of 2 MiB; where there are some of 1 GiB they come first. */
static unsigned pages_wanted(const struct instance *in, struct wanted *w, unsigned messages_mb)
{
	unsigned all_mb = MEMORY_EAL_MB + in->memory_mb + messages_mb, giant_mb;

	w->giant = hugepages_giant(HUGEPAGES_GIANT_POOL, HUGEPAGES_POOL, heap_mb(in, w, messages_mb));
	giant_mb = w->giant * HUGEPAGE_GIANT_MB;
	if (giant_mb > heap_mb(in, w, messages_mb))
		giant_mb = heap_mb(in, w, messages_mb);
	return (all_mb - giant_mb) / HUGEPAGE_MB;
}

/* Buffers and messages from one place: hugepages, or ordinary pages that are locked. Otherwise EAL and the
 * message store take theirs when they need it, and the kernel makes pages as they are touched. */
static int take_heap(struct instance *in, const struct wanted *w, unsigned messages_mb)
{
	const struct config *c = &in->config;
	char error[ERROR_BYTES];
	struct dpdk_heap_options o = {
		.bytes = (uint64_t)heap_mb(in, w, messages_mb) << 20,
		.no_packets = buffers_apart(c, w),
		.hugepages = in->hugepages,
		.giant = in->hugepages ? w->giant : 0,
		.node = heap_node(c, w),
	};

	in->heap = false;
	if (in->hugepages && dpdk_heap_take(&o, error, sizeof(error)) != 0 && no_hugepages(in, error) != 0)
		return -1;
	o.hugepages = false;
	o.giant = 0;
	in->heap = in->hugepages;
	if (in->heap || !wants_lock(c))
		return 0;
	in->heap = dpdk_heap_take(&o, error, sizeof(error)) == 0;
	if (in->heap)
		return 0;
	if (c->memory.lock == CONFIG_LOCK_ON) {
		LOG_ERROR("host", "memory.lock is on: %s", error);
		return -1;
	}
	LOG_WARN("host", "memory is not locked, pages may be made or swapped later: %s", error);
	return 0;
}

static uint32_t offloads_of(const struct config_port *p)
{
	uint32_t wanted = PORT_OFFLOADS_ALL | (p->tso ? PORT_TX_TSO : 0);

	if (!p->checksum_offload)
		wanted &= ~CHECKSUMS;
	return p->tx_offload ? wanted : wanted & ~TRANSMITTING;
}

static int open_port(struct instance *in, uint32_t i)
{
	const struct config *c = &in->config;
	const struct config_port *p = &c->ports[i];
	char device[CONFIG_DEVICE_BYTES + 64], error[ERROR_BYTES], keys[2][64];
	struct tap_host h;
	struct port_config pc = {
		.device = device,
		.queues = c->lcore_count,
		.rx_descriptors = p->rx_descriptors,
		.tx_descriptors = p->tx_descriptors,
		.rx_free_threshold = p->rx_free_threshold,
		.tx_free_threshold = p->tx_free_threshold,
		.tx_rs_threshold = p->tx_rs_threshold,
		.mtu = p->mtu_bytes,
		.offloads = offloads_of(p),
		.rx_held = sizes_rx_held(c),
		.wait_on_fd = c->idle == CONFIG_IDLE_ADAPTIVE,
	};

	if (p->device_kind == CONFIG_DEVICE_TAP)
		snprintf(device, sizeof(device), "net_tap%u,iface=%s", i, p->name);
	else
		snprintf(device, sizeof(device), "%s", p->device);
	if (p->mac_set)
		memcpy(pc.mac, p->mac, sizeof(pc.mac));
	/* Where there is no such interface, the port says so better. */
	int before = keeper_remember_device(in->keeper, device, pc.mtu);
	if (port_open(&pc, &in->ports[i], error, sizeof(error)) != 0) {
		LOG_ERROR("host", "port %s (%s): %s", p->name, device, error);
		return -1;
	}
	int after = keeper_remember_device_opened(in->keeper, device);
	if (before != 0 || after != 0)
		LOG_WARN("host", "port %s: not all that it changes on the host will be undone: %s", p->name,
			strerror(before ? -before : -after));
	if (p->device_kind != CONFIG_DEVICE_TAP)
		return 0;
	describe_tap(&h, keys, c, i);
	if (tap_host_address_add(&h, error, sizeof(error)) != 0) {
		LOG_ERROR("host", "port %s: %s", p->name, error);
		return -1;
	}
	return 0;
}

int host_prepare(struct instance *in)
{
	const struct config *c = &in->config;
	struct wanted w = {0};
	unsigned messages_mb = memory_messages_mb(c);

	if (check_cpus(c) != 0)
		return -1;
	for (uint32_t i = 0; i < c->port_count; i++) {
		w.port[i] = port_wanted(c, i);
		w.nic |= w.port[i] && c->ports[i].device_kind == CONFIG_DEVICE_PCI;
	}
	in->memory_mb = memory_pools_mb(c, w.port);
	unsigned pages = pages_wanted(in, &w, messages_mb);
	if (start_keeper(in) != 0 || plan_hugepages(in, &w, pages) != 0)
		return -1;
	say_plan(in, &w, pages);
	if (grow_hugepages(in, &w, pages) != 0 || take_heap(in, &w, messages_mb) != 0)
		return -1;
	if (!in->hugepages)
		LOG_WARN("host", "without hugepages: ordinary pages cost more TLB misses a message, and no "
				 "NIC can be used");
	if (!in->hugepages && w.nic) {
		LOG_ERROR("host", "a PCI port needs hugepages: reserve them, or see memory.hugepages");
		return -1;
	}
	if (start_eal(in, &w) != 0)
		return -1;
	for (uint32_t i = 0; i < c->port_count; i++) {
		if (w.port[i] && open_port(in, i) != 0)
			return -1;
	}
	return 0;
}

void host_release(struct instance *in)
{
	for (uint32_t i = 0; i < CONFIG_PORTS_MAX; i++)
		port_close(in->ports[i]);
	cores_free(in);
	dpdk_heap_destroy();
	dpdk_eal_stop();
	keeper_finish(in->keeper);
	in->keeper = NULL;
}
