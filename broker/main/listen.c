/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/main/instance.h"
#include "runtime/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static int open_kernel(struct instance *in, const struct config_listener *l)
{
	struct transport_address a = {.family = l->address.version, .port = l->tcp_port};

	memcpy(a.bytes, l->address.bytes, sizeof(a.bytes));
	return ksock_listen(in->core.ksock, &a);
}

static int open_bypass(struct instance *in, const struct config_listener *l)
{
	struct bypass *b = in->core.bypass[l->port_index];

	struct ip_addr a = ip_v4(config_address_ipv4(&l->address));

	return b ? bypass_listen(b, &a, l->tcp_port, NULL) : -ENODEV;
}

static void say_failure(struct instance *in, uint32_t i, int error)
{
	const struct config_listener *l = &in->config.listeners[i];
	char text[INET6_ADDRSTRLEN], holder[128];
	const char *file = in->config.path[0] ? "" : " (in a file given with --config)";

	config_address_text(&l->address, text);
	if (error == -ENODEV) {
		LOG_WARN("listen", "not listening on %s:%u: its port %s is not there", text, l->tcp_port,
			in->config.ports[l->port_index].name);
		return;
	}
	if (error == -EADDRINUSE && l->transport == CONFIG_TRANSPORT_KERNEL) {
		holder_of_tcp_port(&l->address, l->tcp_port, holder, sizeof(holder));
		LOG_WARN("listen",
			"not listening on %s:%u: %s has it; change listeners[%u].tcp_port%s or end that "
			"program",
			text, l->tcp_port, holder, i, file);
		return;
	}
	if (error == -EADDRNOTAVAIL && l->transport == CONFIG_TRANSPORT_KERNEL) {
		LOG_WARN("listen",
			"not listening on %s:%u: no interface that is up has this address (in a new network "
			"namespace: ip link set lo up); see listeners[%u].address%s",
			text, l->tcp_port, i, file);
		return;
	}
	LOG_WARN("listen", "not listening on %s:%u: %s; see listeners[%u]%s", text, l->tcp_port,
		strerror(-error), i, file);
}

unsigned listeners_open(struct instance *in)
{
	unsigned open = 0;

	for (uint32_t i = 0; i < in->config.listener_count; i++) {
		const struct config_listener *l = &in->config.listeners[i];
		int error = l->transport == CONFIG_TRANSPORT_KERNEL ? open_kernel(in, l) : open_bypass(in, l);
		in->listeners[i].open = error == 0;
		if (error)
			say_failure(in, i, error);
		open += error == 0;
	}
	return open;
}
