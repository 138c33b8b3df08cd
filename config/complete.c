/* SPDX-License-Identifier: Apache-2.0 */
/* What a file leaves out: the default ports and listeners, and values that follow from others. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/load.h"
#include "config/units.h"

/* RFC 2544's benchmarking range: on no network that a host routes to. */
static const struct config_ipv4_prefix tap_host = {0xc6120001, 30}, tap_broker = {0xc6120002, 30};

static const struct schema_section *listeners_section(void)
{
	return schema_section("listeners");
}

void load_ports_default(struct load *l)
{
	struct config_port *p = &l->c->ports[0];
	load_defaults(schema_section("ports"), p);
	snprintf(p->device, sizeof(p->device), "tap");
	l->c->port_count = 1;
}

static void listener_add(struct config *c, enum config_transport transport, uint32_t port_index)
{
	struct config_listener *n = &c->listeners[c->listener_count++];
	char port_name[CONFIG_IFNAME_BYTES];
	load_defaults(listeners_section(), n);
	n->transport = transport;
	n->port_index = port_index;
	memcpy(port_name, c->ports[port_index].name, sizeof(port_name));
	if (transport == CONFIG_TRANSPORT_KERNEL)
		snprintf(n->name, sizeof(n->name), "kernel");
	else
		snprintf(n->name, sizeof(n->name), "bypass-%s", port_name);
}

static void complete_lists(struct load *l)
{
	struct config *c = l->c;
	if (!yaml_get(l->root, "listeners")) {
		for (uint32_t i = 0; i < c->port_count; i++)
			listener_add(c, CONFIG_TRANSPORT_BYPASS, i);
		listener_add(c, CONFIG_TRANSPORT_KERNEL, 0);
	}
	/* no TAP that nobody asked for and nothing listens on */
	bool bypass = false;
	for (uint32_t i = 0; i < c->listener_count; i++)
		bypass |= c->listeners[i].transport == CONFIG_TRANSPORT_BYPASS;
	if (!bypass && !yaml_get(l->root, "ports")) {
		memset(&c->ports[0], 0, sizeof(c->ports[0]));
		c->port_count = 0;
	}
}

/* The first IPv4 address of the list is the main one where none is named as that. */
static void take_main_address(struct config_port *p)
{
	struct config_prefixes *list = &p->addresses;

	for (uint32_t i = 0; i < list->count && p->address.prefix_bits == 0; i++) {
		if (list->entry[i].address.version != 4)
			continue;
		p->address.address = config_address_ipv4(&list->entry[i].address);
		p->address.prefix_bits = list->entry[i].bits;
		list->count--;
		memmove(&list->entry[i], &list->entry[i + 1], (list->count - i) * sizeof(list->entry[0]));
		memset(&list->entry[list->count], 0, sizeof(list->entry[0]));
	}
}

static void complete_port(struct load *l, uint32_t i)
{
	struct config_port *p = &l->c->ports[i];

	take_main_address(p);
	bool host = p->host_address.prefix_bits != 0, own = p->address.prefix_bits != 0;

	p->device_kind = strcmp(p->device, "tap") == 0	      ? CONFIG_DEVICE_TAP
			 : strncmp(p->device, "net_", 4) == 0 ? CONFIG_DEVICE_VDEV
							      : CONFIG_DEVICE_PCI;
	if (p->device_kind == CONFIG_DEVICE_TAP && !host && !own && !load_find(l, "ports", i, "address")) {
		p->host_address = tap_host;
		p->address = tap_broker;
	} else if (!own && (p->device_kind == CONFIG_DEVICE_TAP || p->addresses.count == 0)) {
		report_error(l->r, load_place(l, "ports", i, NULL),
			"ports[%" PRIu32
			"].address: missing; allowed: an address of the subnet, such as 192.0.2.10/24",
			i);
	} else if (p->device_kind == CONFIG_DEVICE_TAP && !host) {
		report_error(l->r, load_place(l, "ports", i, NULL),
			"ports[%" PRIu32
			"].host_address: missing; allowed: the host's address in the same subnet as "
			"address",
			i);
	}
}

/* What a listener does not say of TCP is as for all of them; kernel sockets are not ours to tune. */
static void complete_tcp(struct load *l, uint32_t i)
{
	struct config_listener *n = &l->c->listeners[i];
	const struct config_tcp *t = &l->c->tcp;

	for (const struct schema_key *k = listeners_section()->keys; k->name; k++) {
		if (k->bypass && n->transport == CONFIG_TRANSPORT_KERNEL &&
			load_find(l, "listeners", i, k->name))
			report_error(l->r, load_place(l, "listeners", i, k->name),
				"listeners[%" PRIu32
				"].%s: only for transport: bypass; allowed: leave the key out",
				i, k->name);
	}
	if (n->transport == CONFIG_TRANSPORT_KERNEL)
		return;
#define INHERIT(name, member)                            \
	do {                                             \
		if (!load_find(l, "listeners", i, name)) \
			n->member = t->member;           \
	} while (0)
	INHERIT("congestion", congestion);
	INHERIT("rto_min", rto_us_min);
	INHERIT("delayed_ack", delayed_ack_us);
	INHERIT("nodelay", nodelay);
	INHERIT("keepalive", keepalive_us);
	INHERIT("user_timeout", user_timeout_us);
#undef INHERIT
}

static void complete_listener(struct load *l, uint32_t i)
{
	struct config *c = l->c;
	struct config_listener *n = &c->listeners[i];
	bool port_given = load_find(l, "listeners", i, "port") != NULL;

	complete_tcp(l, i);
	if (n->transport == CONFIG_TRANSPORT_KERNEL) {
		if (port_given)
			report_error(l->r, load_place(l, "listeners", i, "port"),
				"listeners[%" PRIu32
				"].port: only for transport: bypass; allowed: leave the key out",
				i);
		if (n->address.version == 0)
			n->address = (struct config_address){.version = 4, .bytes = {127, 0, 0, 1}};
		return;
	}
	if (!port_given && c->port_count != 1 && yaml_get(l->root, "listeners")) {
		report_error(l->r, load_place(l, "listeners", i, NULL),
			"listeners[%" PRIu32
			"].port: missing; allowed: the name of one of ports (there are %" PRIu32 ")",
			i, c->port_count);
		return;
	}
	if (n->address.version == 0) {
		struct config_prefix first;
		config_port_address(&c->ports[n->port_index], 0, &first);
		n->address = first.address;
	}
}

static void complete_socket(struct load *l)
{
	struct config_control *control = &l->c->control;
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int n = 0;

	if (control->socket[0])
		return;
	control->socket_auto = true;
	if (geteuid() == 0)
		n = snprintf(control->socket, sizeof(control->socket), "/run/godwit/control.sock");
	else if (runtime && runtime[0] == '/')
		n = snprintf(control->socket, sizeof(control->socket), "%s/godwit.sock", runtime);
	if (n == 0 || n >= (int)sizeof(control->socket)) {
		memset(control->socket, 0, sizeof(control->socket));
		snprintf(control->socket, sizeof(control->socket), "/tmp/godwit-%u/control.sock",
			(unsigned)geteuid());
	}
}

static void complete_limits(struct load *l)
{
	struct config *c = l->c;

	/* The default is for the default memory: less of that alone is no mistake. */
	if (!load_find(l, "limits", 0, "message_size") &&
		c->limits.message_bytes_max > c->memory.message_bytes)
		c->limits.message_bytes_max = c->memory.message_bytes;
	if (c->limits.messages != 0)
		return;
	uint64_t share = c->memory.message_bytes / LOAD_MESSAGE_SHARE_BYTES;
	const struct schema_key *k = schema_key(schema_section("limits"), "messages");
	c->limits.messages = (uint32_t)(share > k->max ? k->max : share);
}

void load_complete(struct load *l)
{
	complete_lists(l);
	for (uint32_t i = 0; i < l->c->port_count; i++)
		complete_port(l, i);
	if (l->r->errors)
		return;
	for (uint32_t i = 0; i < l->c->listener_count; i++)
		complete_listener(l, i);
	complete_socket(l);
	complete_limits(l);
}
