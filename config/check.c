/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold between keys, each with the place of the key that breaks it. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <string.h>

#include "config/load.h"
#include "config/units.h"
#include "runtime/pattern.h"

enum { FRAME_OVERHEAD_BYTES = 8, IPV6_MTU_MIN = 1280 };

/* An error at section[index].key; section and key are literals. */
#define BREAKS(l, section, i, key, fmt, ...)                                                        \
	report_error((l)->r, load_place(l, section, i, key), section "[%" PRIu32 "]." key ": " fmt, \
		(uint32_t)(i), __VA_ARGS__)

static uint32_t prefix_mask(const struct config_ipv4_prefix *p)
{
	return ~(UINT32_MAX >> p->prefix_bits);
}

static bool has_address(const struct config_port *p, const struct config_address *a)
{
	struct config_prefix own;

	for (uint32_t i = 0; config_port_address(p, i, &own); i++)
		if (memcmp(&own.address, a, sizeof(*a)) == 0)
			return true;
	return false;
}

/* Whether a is another host of one of the port's subnets. */
static bool is_neighbour(const struct config_port *p, const struct config_address *a)
{
	const struct config_prefix host = {.address = *a, .bits = a->version == 6 ? 128 : 32};
	struct config_prefix own;

	for (uint32_t i = 0; config_port_address(p, i, &own); i++)
		if (config_prefix_overlap(&own, &host))
			return !has_address(p, a);
	return false;
}

static bool is_link_local(const struct config_address *a)
{
	return a->version == 6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static bool has_ipv6(const struct config_port *p)
{
	for (uint32_t i = 0; i < p->addresses.count; i++)
		if (p->addresses.entry[i].address.version == 6)
			return true;
	return false;
}

/* Each address once, what IPv6 needs, what TSO needs. */
static void check_addresses(struct load *l, uint32_t i)
{
	const struct config_port *p = &l->c->ports[i];
	const struct config_address *gateway = &p->gateway6.address;
	char text[UNITS_TEXT_BYTES];

	for (uint32_t j = 0; j < p->addresses.count; j++) {
		const struct config_address *a = &p->addresses.entry[j].address;
		struct config_prefix other;
		uint32_t own = j + (p->address.prefix_bits != 0);
		for (uint32_t k = 0; k < own && config_port_address(p, k, &other); k++)
			if (memcmp(&other.address, a, sizeof(*a)) == 0)
				BREAKS(l, "ports", i, "addresses",
					"found %s twice; allowed: each address once",
					config_address_text(a, text));
	}
	if (p->tso && !p->checksum_offload)
		BREAKS(l, "ports", i, "tso", "found true; allowed: %s",
			"false, as checksum_offload is false");
	if (p->tso && !p->tx_offload)
		BREAKS(l, "ports", i, "tso", "found true; allowed: %s", "false, as tx_offload is false");
	if (has_ipv6(p) && p->mtu_bytes < IPV6_MTU_MIN)
		BREAKS(l, "ports", i, "mtu", "found %" PRIu32 "; allowed: at least %d, as addresses has IPv6",
			p->mtu_bytes, IPV6_MTU_MIN);
	if (gateway->version && (!has_ipv6(p) || (!is_link_local(gateway) && !is_neighbour(p, gateway))))
		BREAKS(l, "ports", i, "gateway6",
			"found %s; allowed: a link-local address, or another host of a subnet in addresses",
			config_address_text(gateway, text));
}

static bool overlap(const struct config_ipv4_prefix *a, const struct config_ipv4_prefix *b)
{
	uint32_t mask = prefix_mask(a) & prefix_mask(b);
	return (a->address & mask) == (b->address & mask);
}

static void check_subnet(struct load *l, uint32_t i)
{
	const struct config_port *p = &l->c->ports[i];
	uint32_t mask = prefix_mask(&p->address), host_bits = ~mask;
	char text[UNITS_TEXT_BYTES], subnet[UNITS_TEXT_BYTES];

	if (p->address.prefix_bits == 0) {
		if (p->gateway)
			BREAKS(l, "ports", i, "gateway",
				"found %s; allowed: none, as there is no IPv4 address",
				units_format_ipv4(p->gateway, text));
		return;
	}
	units_format_ipv4(p->address.address & mask, subnet);
	if (p->host_address.prefix_bits && p->device_kind != CONFIG_DEVICE_TAP)
		BREAKS(l, "ports", i, "host_address", "only for device: tap; allowed: leave the key %s",
			"out");
	else if (p->host_address.prefix_bits && (p->host_address.prefix_bits != p->address.prefix_bits ||
							!overlap(&p->host_address, &p->address)))
		BREAKS(l, "ports", i, "host_address",
			"found %s/%u; allowed: another address of %s/%u, as in address",
			units_format_ipv4(p->host_address.address, text), p->host_address.prefix_bits, subnet,
			p->address.prefix_bits);
	else if (p->host_address.address == p->address.address)
		BREAKS(l, "ports", i, "host_address",
			"found %s, which is address too; allowed: another one of %s/%u",
			units_format_ipv4(p->host_address.address, text), subnet, p->address.prefix_bits);
	if (p->gateway == 0)
		return;
	uint32_t host = p->gateway & host_bits, wire = htonl(p->gateway);
	struct config_address gateway = {.version = 4};
	memcpy(gateway.bytes, &wire, sizeof(wire));
	if (p->addresses.count && is_neighbour(p, &gateway) &&
		(p->gateway & mask) != (p->address.address & mask))
		return;
	if ((p->gateway & mask) != (p->address.address & mask) || host == 0 || host == host_bits ||
		p->gateway == p->address.address)
		BREAKS(l, "ports", i, "gateway", "found %s; allowed: another host of %s/%u, as in address",
			units_format_ipv4(p->gateway, text), subnet, p->address.prefix_bits);
}

/* The key whose subnet reaches into one of q's, or NULL. */
static const char *overlapping(const struct config_port *p, const struct config_port *q)
{
	struct config_prefix own, other;

	for (uint32_t i = 0; config_port_address(p, i, &own); i++)
		for (uint32_t j = 0; config_port_address(q, j, &other); j++)
			if (!is_link_local(&own.address) && config_prefix_overlap(&own, &other))
				return i == 0 && p->address.prefix_bits ? "address" : "addresses";
	return NULL;
}

static void check_port(struct load *l, uint32_t i)
{
	const struct config *c = l->c;
	const struct config_port *p = &c->ports[i];
	bool used = false;

	check_subnet(l, i);
	check_addresses(l, i);
	for (uint32_t j = 0; j < i; j++) {
		const struct config_port *q = &c->ports[j];
		if (strcmp(p->name, q->name) == 0)
			BREAKS(l, "ports", i, "name",
				"found %s, which ports[%" PRIu32 "] has; allowed: another name", p->name, j);
		if (p->device_kind != CONFIG_DEVICE_TAP && strcasecmp(p->device, q->device) == 0)
			BREAKS(l, "ports", i, "device",
				"found what ports[%" PRIu32 "] has; allowed: another device", j);
		const char *key = overlapping(p, q);
		if (key)
			report_error(l->r, load_place(l, "ports", i, key),
				"ports[%" PRIu32 "].%s: the subnet overlaps that of ports[%" PRIu32
				"]; allowed: a subnet of its own",
				i, key, j);
	}
	for (uint32_t j = 0; j < c->listener_count; j++)
		used |= c->listeners[j].transport == CONFIG_TRANSPORT_BYPASS &&
			c->listeners[j].port_index == i;
	if (!used)
		report_warning(
			l->r, load_place(l, "ports", i, NULL), "ports[%" PRIu32 "]: no listener uses it", i);
}

static bool collide(const struct config_listener *a, const struct config_listener *b)
{
	bool any = config_address_is_any(&a->address) || config_address_is_any(&b->address);

	if (a->transport != b->transport || a->tcp_port != b->tcp_port)
		return false;
	if (a->transport == CONFIG_TRANSPORT_BYPASS)
		return a->port_index == b->port_index &&
		       (any || memcmp(&a->address, &b->address, sizeof(a->address)) == 0);
	return a->address.version == b->address.version &&
	       (any || memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes)) == 0);
}

static void check_listener(struct load *l, uint32_t i)
{
	const struct config *c = l->c;
	const struct config_listener *n = &c->listeners[i];
	char text[UNITS_TEXT_BYTES], own[UNITS_TEXT_BYTES];

	if (n->transport == CONFIG_TRANSPORT_BYPASS) {
		const struct config_port *p = &c->ports[n->port_index];
		struct config_prefix first;
		config_port_address(p, 0, &first);
		if (!config_address_is_any(&n->address) && !has_address(p, &n->address))
			BREAKS(l, "listeners", i, "address", "found %s; allowed: %s, %s of port %s",
				config_address_text(&n->address, text),
				config_address_text(&first.address, own),
				p->addresses.count ? "or another address" : "the address", p->name);
	}
	for (uint32_t j = 0; j < i; j++) {
		if (strcmp(n->name, c->listeners[j].name) == 0)
			BREAKS(l, "listeners", i, "name",
				"found %s, which listeners[%" PRIu32 "] has; allowed: another name", n->name,
				j);
		if (collide(n, &c->listeners[j]))
			BREAKS(l, "listeners", i, "tcp_port",
				"listeners[%" PRIu32
				"] has the same address and TCP port %u; allowed: another one",
				j, n->tcp_port);
	}
}

static void check_user(struct load *l, uint32_t i)
{
	const struct config_user *u = &l->c->users[i];
	if (!u->password[0] && !u->password_hash[0])
		BREAKS(l, "users", i, "password", "missing; allowed: password or %s", "password_hash");
	else if (u->password[0] && u->password_hash[0])
		report_error(l->r, load_place(l, "users", i, "password_hash"),
			"users[%" PRIu32 "].password_hash: found beside password; allowed: one of them", i);
	for (uint32_t j = 0; j < i; j++)
		if (strcmp(u->name, l->c->users[j].name) == 0)
			BREAKS(l, "users", i, "name", "the name of users[%" PRIu32 "]; allowed: another name",
				j);
}

static void check_vhost(struct load *l, uint32_t i)
{
	for (uint32_t j = 0; j < i; j++)
		if (strcmp(l->c->vhosts[i].name, l->c->vhosts[j].name) == 0)
			BREAKS(l, "vhosts", i, "name",
				"the name of vhosts[%" PRIu32 "]; allowed: another name", j);
}

static bool has_user(const struct config *c, const char *name)
{
	for (uint32_t i = 0; i < c->user_count; i++)
		if (strcmp(c->users[i].name, name) == 0)
			return true;
	return c->user_count == 0 && strcmp(name, "guest") == 0;
}

static bool has_vhost(const struct config *c, const char *name)
{
	for (uint32_t i = 0; i < c->vhost_count; i++)
		if (strcmp(c->vhosts[i].name, name) == 0)
			return true;
	return c->vhost_count == 0 && strcmp(name, "/") == 0;
}

static void check_pattern(struct load *l, uint32_t i, const char *key, const char *text)
{
	char why[PATTERN_ERROR_BYTES];
	struct pattern *p = pattern_create(text, strlen(text), why);

	if (!p)
		report_error(l->r, load_place(l, "permissions", i, key),
			"permissions[%" PRIu32 "].%s: %s; allowed: a regular expression of PCRE2", i, key,
			why);
	pattern_destroy(p);
}

static void check_permission(struct load *l, uint32_t i)
{
	const struct config_permission *p = &l->c->permissions[i];

	if (!has_user(l->c, p->user))
		BREAKS(l, "permissions", i, "user", "no user has the name %s; allowed: one of %s", p->user,
			"users");
	if (!has_vhost(l->c, p->vhost))
		BREAKS(l, "permissions", i, "vhost", "no virtual host has the name %s; allowed: one of %s",
			p->vhost, "vhosts");
	for (uint32_t j = 0; j < i; j++)
		if (strcmp(p->user, l->c->permissions[j].user) == 0 &&
			strcmp(p->vhost, l->c->permissions[j].vhost) == 0)
			BREAKS(l, "permissions", i, "user",
				"the user and virtual host of permissions[%" PRIu32
				"]; allowed: one for both",
				j);
	check_pattern(l, i, "configure", p->configure);
	check_pattern(l, i, "write", p->write);
	check_pattern(l, i, "read", p->read);
}

static void check_sizes(struct load *l)
{
	const struct config *c = l->c;
	char found[UNITS_TEXT_BYTES], limit[UNITS_TEXT_BYTES];

	if (c->limits.message_bytes_max > c->memory.message_bytes)
		report_error(l->r, load_place(l, "limits", 0, "message_size"),
			"limits.message_size: found %s; allowed: at most memory.messages, %s",
			units_format_bytes(c->limits.message_bytes_max, found),
			units_format_bytes(c->memory.message_bytes, limit));
	uint64_t messages_max = c->memory.message_bytes / LOAD_MESSAGE_SHARE_BYTES;
	if (c->limits.messages > messages_max)
		report_error(l->r, load_place(l, "limits", 0, "messages"),
			"limits.messages: found %" PRIu32 "; allowed: at most one for each %d bytes of "
			"memory.messages, %" PRIu64,
			c->limits.messages, LOAD_MESSAGE_SHARE_BYTES, messages_max);
	if (c->tcp.rx_buffer_bytes < c->limits.frame_bytes_max + FRAME_OVERHEAD_BYTES) {
		bool frame = !load_find(l, "tcp", 0, "rx_buffer");
		report_error(l->r,
			load_place(l, frame ? "limits" : "tcp", 0, frame ? "frame_max" : "rx_buffer"),
			"tcp.rx_buffer: found %s; allowed: at least limits.frame_max and %d bytes, %" PRIu64,
			units_format_bytes(c->tcp.rx_buffer_bytes, found), FRAME_OVERHEAD_BYTES,
			(uint64_t)c->limits.frame_bytes_max + FRAME_OVERHEAD_BYTES);
	}
}

static void check_secrets(struct load *l)
{
	const struct config *c = l->c;
	if (c->control.mode & 0002)
		report_warning(l->r, load_place(l, "control", 0, "mode"),
			"control.mode: everybody on this machine may control the broker");
	if (!l->readable_by_all)
		return;
	for (uint32_t i = 0; i < c->user_count; i++) {
		if (!c->users[i].password[0])
			continue;
		report_warning(l->r, load_place(l, "users", i, "password"),
			"users: everybody on this machine may read the passwords in this file: chmod o-r, "
			"or use "
			"password_hash");
		return;
	}
}

void load_check(struct load *l)
{
	if (l->c->listener_count == 0)
		report_error(l->r, load_place(l, "listeners", 0, NULL),
			"listeners: found none; allowed: at least one, or leave the key out for the "
			"defaults");
	for (uint32_t i = 0; i < l->c->port_count; i++)
		check_port(l, i);
	/* the default ones are right where the ports are */
	for (uint32_t i = 0; i < l->c->listener_count && yaml_get(l->root, "listeners"); i++)
		check_listener(l, i);
	for (uint32_t i = 0; i < l->c->user_count; i++)
		check_user(l, i);
	for (uint32_t i = 0; i < l->c->vhost_count; i++)
		check_vhost(l, i);
	for (uint32_t i = 0; i < l->c->permission_count; i++)
		check_permission(l, i);
	check_sizes(l);
	check_secrets(l);
}
