/* SPDX-License-Identifier: Apache-2.0 */
/* What opening a device leaves on the host, as its driver's habits and its arguments say. */
#include "dpdk_port/dpdk_version.h"
#include "dpdk_port/keeper.h"
#include "dpdk_port/keeper_state.h"
#include "dpdk_port/netdev.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INTERFACES "/sys/class/net/"

/* "net_x0,key=value,...": the value, or "". */
static void argument(const char *device, const char *key, char *out, size_t bytes)
{
	size_t n = strlen(key);

	out[0] = '\0';
	for (const char *p = device; (p = strchr(p, ','));) {
		p++;
		if (strncmp(p, key, n) || p[n] != '=')
			continue;
		size_t length = strcspn(p + n + 1, ",");
		if (length < bytes)
			snprintf(out, bytes, "%.*s", (int)length, p + n + 1);
		return;
	}
}

static bool argument_set(const char *device, const char *key)
{
	char value[8] = "";

	if (key)
		argument(device, key, value, sizeof(value));
	return !strcmp(value, "1");
}

/* The interface that the device is opened on. */
static bool interface_of(const char *device, char interface[IF_NAMESIZE], bool *xdp)
{
	const struct dpdk_driver *d = dpdk_driver_of_vdev(device);

	if (!d || !d->interface_key)
		return false;
	*xdp = d->attaches_xdp;
	argument(device, d->interface_key, interface, IF_NAMESIZE);
	return interface[0];
}

/* The socket that it makes; one that it connects to is somebody else's. */
static bool socket_of(const char *device, char path[KEEPER_PATH_BYTES])
{
	const struct dpdk_driver *d = dpdk_driver_of_vdev(device);

	if (!d || !d->socket_key || (d->socket_if && !argument_set(device, d->socket_if)) ||
		argument_set(device, d->socket_unless))
		return false;
	argument(device, d->socket_key, path, KEEPER_PATH_BYTES);
	return path[0];
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int keeper_remember_device(struct keeper *k, const char *device, unsigned mtu)
{
	char interface[IF_NAMESIZE], path[KEEPER_PATH_BYTES];
	struct netdev now;
	bool xdp;

	if (k && socket_of(device, path) && access(path, F_OK))
		return keeper_record_send(k, KEEPER_SOCKET_MAKING, path, 0, clock_ns(CLOCK_REALTIME));
	if (!k || !interface_of(device, interface, &xdp))
		return 0;
	int rc = netdev_read(interface, &now);
	if (rc)
		return rc;
	const struct netdev_change change = {
		.mtu_before = now.mtu, .mtu_set = mtu, .was_promiscuous = now.promiscuous};
	snprintf(path, sizeof(path), INTERFACES "%s", interface);
	rc = keeper_record_send(k, KEEPER_INTERFACE, path, now.index, netdev_change_pack(&change));
	/* A program that is there already is not ours to remove. */
	if (rc == 0 && xdp && now.program == 0)
		rc = keeper_record_send(k, KEEPER_XDP_ATTACHING, path, now.index, clock_ns(CLOCK_BOOTTIME));
	return rc;
}

int keeper_remember_device_opened(struct keeper *k, const char *device)
{
	char interface[IF_NAMESIZE], path[KEEPER_PATH_BYTES];
	struct netdev now;
	bool xdp;

	if (!k)
		return 0;
	if (socket_of(device, path))
		return keeper_remember_socket(k, path);
	if (!interface_of(device, interface, &xdp) || !xdp)
		return 0;
	int rc = netdev_read(interface, &now);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), INTERFACES "%s", interface);
	return keeper_record_send(k, KEEPER_XDP_ATTACHED, path, now.index, now.program);
}

void keeper_device_text(const char *device, char *text, size_t bytes)
{
	char interface[IF_NAMESIZE], path[KEEPER_PATH_BYTES];
	bool xdp;

	text[0] = '\0';
	if (socket_of(device, path))
		snprintf(text, bytes, "the socket %s", path);
	else if (interface_of(device, interface, &xdp))
		snprintf(text, bytes, "%sthe MTU and flags of %s", xdp ? "an XDP program, " : "", interface);
}
