/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/machine.h"

#include "dpdk_port/cpus.h"
#include "dpdk_port/eal.h"
#include "runtime/log.h"
#include "runtime/reclaim.h"
#include "tools/client/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	AMQP_PORT = 5672,
	BUFFER_BYTES = 256 * 1024,
	BUFFER_BYTES_MIN = 64 * 1024,
	BUFFER_BYTES_MAX = 4 << 20,
	FRAME_BYTES = 65535,
	EAL_MB = 64,
	PORT_QUEUE_MB = 48,
	RX_HELD = 8192,
};

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

static int prepare_broker(struct machine *m, const struct machine_options *o, char *error, size_t room)
{
	unsigned long port = AMQP_PORT;

	if (o->port && is_number(o->port)) {
		port = strtoul(o->port, NULL, 10);
		if (port < 1 || port > UINT16_MAX) {
			snprintf(error, room, "--port %.20s: TCP ports are 1 to 65535", o->port);
			return -1;
		}
	}
	return endpoint_resolve(o->broker ? o->broker : "127.0.0.1", (uint16_t)port, &m->broker, error, room);
}

static int prepare_device(struct machine *m, const struct machine_options *o, char *error, size_t room)
{
	const char *device = o->dpdk_port ? o->dpdk_port : o->port && !is_number(o->port) ? o->port : NULL;
	char why[256];

	m->device = device;
	if (!device) {
		if (o->address || o->gateway)
			snprintf(error, room, "--%s is for --dpdk-port", o->address ? "address" : "gateway");
		return o->address || o->gateway ? -1 : 0;
	}
	m->hugepages = o->hugepages || dpdk_pci_address_valid(device);
	if (!dpdk_pci_address_valid(device) && dpdk_vdev_check(device, why, sizeof(why))) {
		snprintf(error, room, "--dpdk-port %.60s: %s", device, why);
		return -1;
	}
	if (!o->address || !endpoint_prefix(o->address, &m->config.address, &m->config.prefix_bits)) {
		snprintf(error, room, "--dpdk-port needs --address IP/LEN, such as 192.0.2.7/24");
		return -1;
	}
	if (o->gateway && !endpoint_address(o->gateway, &m->config.gateway)) {
		snprintf(error, room, "--gateway %.60s is no address", o->gateway);
		return -1;
	}
	if (ip_is_v4(&m->config.address) != (m->broker.family == 4)) {
		snprintf(error, room, "--address and --broker are of different versions of IP");
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
	if (prepare_broker(m, o, error, room) || prepare_device(m, o, error, room) ||
		prepare_cpus(m, o->cpus, error, room) || prepare_idle(m, o->idle, error, room) ||
		prepare_login(m, o, error, room))
		return -1;
	return 0;
}

static int start_eal(struct machine *m, unsigned threads, char *error, size_t room)
{
	bool pci = m->device && dpdk_pci_address_valid(m->device);
	uint64_t bytes = loop_memory_bytes(&m->config, m->device != NULL) * threads;
	struct eal_options o = {.program = "godwit-tool",
		.pci = &m->device,
		.pci_count = pci,
		.hugepages = m->hugepages,
		.memory_mb = (unsigned)(EAL_MB + (bytes >> 20) + (m->device ? threads * PORT_QUEUE_MB : 0)),
		.data_cores = threads,
		.data_core_cpus = m->cpu_count ? m->cpus : NULL};

	if (m->cpu_count && m->cpu_count < threads) {
		snprintf(error, room, "--cpus names %u, and there are %u threads", m->cpu_count, threads);
		return -1;
	}
	log_set_level(LOG_LEVEL_ERROR);
	reclaim_start_manual();
	if (dpdk_eal_start(&o, error, room))
		return -1;
	m->with_eal = true;
	return 0;
}

static int open_port(struct machine *m, unsigned threads, char *error, size_t room)
{
	struct port_config c = {
		.device = m->device, .queues = threads, .offloads = PORT_OFFLOADS_ALL, .rx_held = RX_HELD};
	char why[256];

	if (port_open(&c, &m->port, why, sizeof(why)) == 0)
		return 0;
	snprintf(error, room, "%.60s: %s", m->device, why);
	return -1;
}

static void wake(void *ctx)
{
	turn_wake(ctx);
}

int machine_open(struct machine *m, unsigned threads, unsigned conns_a_loop, char *error, size_t room)
{
	m->config.conn_max = conns_a_loop;
	if (start_eal(m, threads, error, room) || (m->device && open_port(m, threads, error, room)))
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
	port_close(m->port);
	for (unsigned i = 0; i < m->count; i++)
		loop_free(&m->loops[i]);
	m->count = 0;
	if (m->with_eal)
		dpdk_eal_stop();
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
