/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold between keys, each with the place of the key that breaks it. */
#include <inttypes.h>
#include <string.h>

#include "config/load.h"
#include "config/units.h"

enum { FRAME_OVERHEAD_BYTES = 8 };

/* An error at section[index].key; section and key are literals. */
#define BREAKS(l, section, i, key, fmt, ...)                                                        \
	report_error((l)->r, load_place(l, section, i, key), section "[%" PRIu32 "]." key ": " fmt, \
		(uint32_t)(i), __VA_ARGS__)

static uint32_t prefix_mask(const struct config_ipv4_prefix *p)
{
	return ~(UINT32_MAX >> p->prefix_bits);
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
	uint32_t host = p->gateway & host_bits;
	if ((p->gateway & mask) != (p->address.address & mask) || host == 0 || host == host_bits ||
		p->gateway == p->address.address)
		BREAKS(l, "ports", i, "gateway", "found %s; allowed: another host of %s/%u, as in address",
			units_format_ipv4(p->gateway, text), subnet, p->address.prefix_bits);
}

static void check_port(struct load *l, uint32_t i)
{
	const struct config *c = l->c;
	const struct config_port *p = &c->ports[i];
	bool used = false;

	check_subnet(l, i);
	for (uint32_t j = 0; j < i; j++) {
		const struct config_port *q = &c->ports[j];
		if (strcmp(p->name, q->name) == 0)
			BREAKS(l, "ports", i, "name",
				"found %s, which ports[%" PRIu32 "] has; allowed: another name", p->name, j);
		if (p->device_kind != CONFIG_DEVICE_TAP && strcasecmp(p->device, q->device) == 0)
			BREAKS(l, "ports", i, "device",
				"found what ports[%" PRIu32 "] has; allowed: another device", j);
		if (overlap(&p->address, &q->address))
			BREAKS(l, "ports", i, "address",
				"the subnet overlaps that of ports[%" PRIu32
				"]; allowed: a subnet of its own",
				j);
	}
	for (uint32_t j = 0; j < c->listener_count; j++)
		used |= c->listeners[j].transport == CONFIG_TRANSPORT_BYPASS &&
			c->listeners[j].port_index == i;
	if (!used)
		report_warning(
			l->r, load_place(l, "ports", i, NULL), "ports[%" PRIu32 "]: no listener uses it", i);
}

static bool is_any(const struct config_address *a)
{
	static const uint8_t zero[16];
	return memcmp(a->bytes, zero, sizeof(zero)) == 0;
}

static bool collide(const struct config_listener *a, const struct config_listener *b)
{
	if (a->transport != b->transport || a->tcp_port != b->tcp_port ||
		a->address.version != b->address.version)
		return false;
	return is_any(&a->address) || is_any(&b->address) ||
	       memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes)) == 0;
}

static void check_listener(struct load *l, uint32_t i)
{
	const struct config *c = l->c;
	const struct config_listener *n = &c->listeners[i];
	char text[UNITS_TEXT_BYTES], own[UNITS_TEXT_BYTES];

	if (n->transport == CONFIG_TRANSPORT_BYPASS) {
		uint32_t address = c->ports[n->port_index].address.address;
		if (config_address_ipv4(&n->address) != address)
			BREAKS(l, "listeners", i, "address", "found %s; allowed: %s, the address of port %s",
				config_address_text(&n->address, text), units_format_ipv4(address, own),
				c->ports[n->port_index].name);
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
	check_sizes(l);
	check_secrets(l);
}
