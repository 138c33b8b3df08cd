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
	return ksock_listen(in->cores[0].ksock, &a);
}

static uint32_t copy_prefixes(struct tcp_prefix *to, const struct config_prefixes *from)
{
	for (uint32_t i = 0; i < from->count; i++)
		to[i] = (struct tcp_prefix){instance_ip(&from->entry[i].address), from->entry[i].bits};
	return from->count;
}

static struct tcp_open_options options_of(
	struct stack *s, const struct config_listener *l, struct listener_state *state)
{
	struct tcp_open_options o = tcp_open_options_of(s);

	o.rto_us_min = (uint32_t)l->rto_us_min;
	o.delayed_ack_us = (uint32_t)l->delayed_ack_us;
	o.keepalive_us = l->keepalive_us;
	o.user_timeout_us = (uint32_t)l->user_timeout_us;
	o.nodelay = l->nodelay;
	o.cc = congestion_named(l->congestion);
	state->filter = (struct tcp_filter){
		.allow = state->allow,
		.deny = state->deny,
		.allow_count = copy_prefixes(state->allow, &l->allow),
		.deny_count = copy_prefixes(state->deny, &l->deny),
	};
	if (l->allow.count || l->deny.count)
		o.filter = &state->filter;
	return o;
}

static int open_bypass(struct instance *in, const struct config_listener *l, struct listener_state *state)
{
	struct ip_addr a = instance_ip(&l->address);
	int error = 0;

	/* On every core: which of them a connection belongs to is its hash's to say. */
	for (unsigned i = 0; i < in->core_count && error == 0; i++) {
		struct bypass *b = in->cores[i].bypass[l->port_index];
		if (!b)
			return -ENODEV;
		struct tcp_open_options o = options_of(bypass_stack(b), l, state);
		error = bypass_listen(b, config_address_is_any(&l->address) ? NULL : &a, l->tcp_port, &o);
	}
	return error;
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
		int error = l->transport == CONFIG_TRANSPORT_KERNEL ? open_kernel(in, l)
								    : open_bypass(in, l, &in->listeners[i]);
		in->listeners[i].open = error == 0;
		if (error)
			say_failure(in, i, error);
		open += error == 0;
	}
	return open;
}
