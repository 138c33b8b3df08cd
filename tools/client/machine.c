/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/machine.h"

#include "dpdk_port/cpus.h"
#include "dpdk_port/eal.h"
#include "dpdk_port/keeper.h"
#include "runtime/log.h"
#include "runtime/reclaim.h"
#include "tools/client/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	AMQP_PORT = 5672,
	BUFFER_BYTES = 256 * 1024,
	BUFFER_BYTES_MIN = 64 * 1024,
	BUFFER_BYTES_MAX = 4 << 20,
	FRAME_BYTES = 65535,
	EAL_MB = 64,
	PORT_QUEUE_MB = 48,
	PORT_QUEUE_JUMBO_MB = 192, /* from 3000 bytes on */
	JUMBO_BYTES = 3000,
	RX_HELD = 8192,
	DEVICE_MTU = 1500,
};

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

/* After the device: a name's address is to be of its version of IP. */
static int prepare_broker(struct machine *m, const struct machine_options *o, char *error, size_t room)
{
	const char *broker = o->broker ? o->broker : "127.0.0.1";
	unsigned long port = o->port && is_number(o->port) ? strtoul(o->port, NULL, 10) : 0;
	char host[ENDPOINT_HOST_BYTES];
	uint16_t with;

	if (o->port && is_number(o->port) && (port < 1 || port > UINT16_MAX)) {
		snprintf(error, room, "--port %.20s: TCP ports are 1 to 65535", o->port);
		return -1;
	}
	if (!endpoint_split(broker, host, &with)) {
		snprintf(error, room,
			"--broker %.60s: HOST, HOST:PORT, an IPv6 address, or [ADDRESS]:PORT is wanted",
			broker);
		return -1;
	}
	if (with && port && with != port) {
		snprintf(error, room, "--broker %.60s and --port %lu name two ports", broker, port);
		return -1;
	}
	enum endpoint_family family = !m->device		     ? ENDPOINT_ANY
				      : ip_is_v4(&m->config.address) ? ENDPOINT_V4
								     : ENDPOINT_V6;
	return endpoint_resolve(host,
		with   ? with
		: port ? (uint16_t)port
		       : AMQP_PORT,
		family, &m->broker, error, room);
}

static int prepare_device(struct machine *m, const struct machine_options *o, char *error, size_t room)
{
	const char *device = o->dpdk_port ? o->dpdk_port : o->port && !is_number(o->port) ? o->port : NULL;
	char why[256];

	m->device = device;
	m->config.mtu = o->mtu ? (unsigned)o->mtu : DEVICE_MTU;
	if (!device) {
		const char *which = o->address ? "address" : o->gateway ? "gateway" : o->mtu ? "mtu" : NULL;
		if (which)
			snprintf(error, room, "--%s is for --dpdk-port", which);
		return which ? -1 : 0;
	}
	m->hugepages = o->hugepages || dpdk_pci_address_valid(device);
	if (!dpdk_pci_address_valid(device) && dpdk_vdev_check(device, why, sizeof(why))) {
		snprintf(error, room, "--dpdk-port %.60s: %s", device, why);
		return -1;
	}
	if (!o->address || !endpoint_prefix(o->address, &m->config.address, &m->config.prefix_bits)) {
		snprintf(error, room,
			"--dpdk-port needs --address IP/LEN, such as 192.0.2.7/24 or 2001:db8::7/64");
		return -1;
	}
	if (o->gateway && !endpoint_address(o->gateway, &m->config.gateway)) {
		snprintf(error, room, "--gateway %.60s is no address", o->gateway);
		return -1;
	}
	if (o->gateway && ip_is_v4(&m->config.gateway) != ip_is_v4(&m->config.address)) {
		snprintf(error, room, "--address and --gateway are of different versions of IP");
		return -1;
	}
	return 0;
}

static int prepare_cpus(struct machine *m, const char *list, char *error, size_t room)
{
	cpu_set_t set, usable;

	if (!list)
		return 0;
	if (!cpus_read(list, &set) || !CPU_COUNT(&set)) {
		snprintf(error, room, "--cpus %.60s is no list such as 2,3 or 4-7", list);
		return -1;
	}
	if (cpus_usable(&usable))
		usable = set;
	for (int cpu = 0; cpu < CPU_SETSIZE && m->cpu_count < MACHINE_LOOPS_MAX; cpu++) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		if (!CPU_ISSET(cpu, &usable)) {
			snprintf(error, room, "--cpus: CPU %d is none that this process may use", cpu);
			return -1;
		}
		m->cpus[m->cpu_count++] = cpu;
	}
	return 0;
}

static int prepare_idle(struct machine *m, const char *word, char *error, size_t room)
{
	static const char *const words[] = {
		[TURN_IDLE_POLL] = "poll", [TURN_IDLE_PAUSE] = "pause", [TURN_IDLE_ADAPTIVE] = "adaptive"};

	for (unsigned i = 0; i < 3; i++)
		if (!strcmp(word, words[i])) {
			m->config.idle = (enum turn_idle)i;
			return 0;
		}
	snprintf(error, room, "--idle is poll, pause or adaptive, not '%.40s'", word);
	return -1;
}

static int prepare_login(struct machine *m, const struct machine_options *o, char *error, size_t room)
{
	m->login = (struct client_login){
		o->user ? o->user : "guest", o->password ? o->password : "guest", o->vhost ? o->vhost : "/"};
	if (strlen(m->login.user) <= UINT8_MAX && strlen(m->login.password) <= UINT8_MAX &&
		strlen(m->login.vhost) <= UINT8_MAX)
		return 0;
	snprintf(error, room, "--username, --password and --vhost have 255 bytes at most");
	return -1;
}

int machine_prepare(struct machine *m, const struct machine_options *o, char *error, size_t room)
{
	uint64_t ahead = o->bounds_multiplier * (o->max_frame_size ? o->max_frame_size : FRAME_BYTES);

	m->config.buffer_bytes = !ahead			    ? BUFFER_BYTES
				 : ahead < BUFFER_BYTES_MIN ? BUFFER_BYTES_MIN
				 : ahead > BUFFER_BYTES_MAX ? BUFFER_BYTES_MAX
							    : (uint32_t)ahead;
	if (prepare_device(m, o, error, room) || prepare_broker(m, o, error, room) ||
		prepare_cpus(m, o->cpus, error, room) || prepare_idle(m, o->idle, error, room) ||
		prepare_login(m, o, error, room))
		return -1;
	return 0;
}

/* Of a port's own buffers. */
static unsigned port_queue_mb(const struct machine *m)
{
	return m->config.mtu < JUMBO_BYTES ? PORT_QUEUE_MB : PORT_QUEUE_JUMBO_MB;
}

static int start_eal(struct machine *m, unsigned threads, char *error, size_t room)
{
	bool pci = m->device && dpdk_pci_address_valid(m->device);
	uint64_t bytes = loop_memory_bytes(&m->config, m->device != NULL) * threads;
	struct eal_options o = {.program = "godwit-tool",
		.pci = &m->device,
		.pci_count = pci,
		.hugepages = m->hugepages,
		.shared = m->device && dpdk_device_shares_memory(m->device),
		.memory_mb =
			(unsigned)(EAL_MB + (bytes >> 20) + (m->device ? threads * port_queue_mb(m) : 0)) +
			machine_beside.memory_mb,
		.data_cores = threads + machine_beside.cores,
		.data_core_cpus = m->cpu_count ? m->cpus : NULL};

	if (m->cpu_count && m->cpu_count < o.data_cores) {
		snprintf(
			error, room, "--cpus names %u, and there are %u threads", m->cpu_count, o.data_cores);
		return -1;
	}
	log_set_level(LOG_LEVEL_ERROR);
	reclaim_start_manual();
	if (dpdk_eal_start(&o, error, room))
		return -1;
	m->with_eal = true;
	return 0;
}

/* Who is not root has changed nothing that would stay. Before there are threads. */
static int start_keeper(struct machine *m, char *error, size_t room)
{
	return m->device && geteuid() == 0 ? keeper_start(NULL, &m->keeper, error, room) : 0;
}

static int open_port(struct machine *m, unsigned threads, char *error, size_t room)
{
	struct port_config c = {.device = m->device,
		.queues = threads,
		.mtu = m->config.mtu,
		.offloads = PORT_OFFLOADS_ALL,
		.rx_held = RX_HELD};
	char why[256];

	/* Where there is no such interface, the port says so better. */
	int before = keeper_remember_device(m->keeper, m->device, m->config.mtu);
	if (port_open(&c, &m->port, why, sizeof(why))) {
		snprintf(error, room, "%.60s: %s", m->device, why);
		return -1;
	}
	int after = keeper_remember_device_opened(m->keeper, m->device);
	if (before || after)
		fprintf(stderr, "%.60s: not all that it changes on the host will be undone: %s\n", m->device,
			strerror(before ? -before : -after));
	return 0;
}

static void wake(void *ctx)
{
	turn_wake(ctx);
}

int machine_open(struct machine *m, unsigned threads, unsigned conns_a_loop, char *error, size_t room)
{
	m->config.conn_max = conns_a_loop;
	if (start_keeper(m, error, room) || start_eal(m, threads, error, room) ||
		(machine_beside.open && machine_beside.open(threads, &m->device, error, room)) ||
		(m->device && open_port(m, threads, error, room)))
		return -1;
	m->config.port_or_null = m->port;
	for (unsigned i = 0; i < threads; i++) {
		m->config.index = i;
		if (loop_open(&m->loops[i], &m->config, error, room))
			return -1;
		m->count++;
		if (m->port)
			port_set_wake(m->port, i, m->config.idle == TURN_IDLE_ADAPTIVE ? wake : NULL,
				&m->loops[i].turn);
	}
	return 0;
}

void machine_close(struct machine *m)
{
	for (unsigned i = 0; i < m->count; i++)
		loop_close(&m->loops[i]);
	if (machine_beside.stop)
		machine_beside.stop();
	port_close(m->port);
	if (machine_beside.free)
		machine_beside.free();
	for (unsigned i = 0; i < m->count; i++)
		loop_free(&m->loops[i]);
	m->count = 0;
	if (m->with_eal)
		dpdk_eal_stop();
	keeper_finish(m->keeper);
	m->keeper = NULL;
}

static int run(void *context)
{
	turn_run(context);
	return 0;
}

void machine_run(struct machine *m)
{
	for (unsigned i = 0; i < m->count; i++)
		dpdk_core_launch(i, run, &m->loops[i].turn);
}

void machine_stop(struct machine *m)
{
	for (unsigned i = 0; i < m->count; i++)
		turn_stop(&m->loops[i].turn);
}

void machine_join(struct machine *m)
{
	for (unsigned i = 0; i < m->count; i++)
		dpdk_core_join(i);
}
