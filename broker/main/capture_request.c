/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/main/capture_request.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

struct reading {
	struct capture_request *r;
	const struct config *config;
	char *error;
	size_t error_bytes;
};

static int refuse(struct reading *g, const char *key, const char *allowed)
{
	snprintf(g->error, g->error_bytes, "%s is %s", key, allowed);
	return -1;
}

static int read_count(
	struct reading *g, const char *key, const json_t *value, uint64_t min, uint64_t max, uint64_t *out)
{
	json_int_t n = json_integer_value(value);
	char allowed[64];

	if (json_is_integer(value) && n >= 0 && (uint64_t)n >= min && (uint64_t)n <= max) {
		*out = (uint64_t)n;
		return 0;
	}
	snprintf(allowed, sizeof(allowed), "a number from %llu to %llu", (unsigned long long)min,
		(unsigned long long)max);
	return refuse(g, key, allowed);
}

static int read_port(struct reading *g, const json_t *value)
{
	const char *name = json_string_value(value);
	size_t used;

	for (uint32_t i = 0; name && i < g->config->port_count; i++) {
		if (strcmp(g->config->ports[i].name, name) == 0) {
			g->r->ports[i] = true;
			return 0;
		}
	}
	snprintf(
		g->error, g->error_bytes, "there is no port %.40s; there are:", name ? name : "of that name");
	for (uint32_t i = 0; i < g->config->port_count; i++) {
		used = strlen(g->error);
		snprintf(g->error + used, g->error_bytes - used, "%s %s", i ? "," : "",
			g->config->ports[i].name);
	}
	return -1;
}

static int read_ports(struct reading *g, const json_t *value)
{
	if (!json_is_array(value) || json_array_size(value) == 0)
		return refuse(g, "ports", "a list of names of ports");
	for (size_t i = 0; i < json_array_size(value); i++)
		if (read_port(g, json_array_get(value, i)) != 0)
			return -1;
	return 0;
}

/* text of n bytes: an address without a prefix. */
static bool address_of(struct capture_address *a, const char *text, size_t n)
{
	char copy[INET6_ADDRSTRLEN];

	if (n >= sizeof(copy))
		return false;
	memcpy(copy, text, n);
	copy[n] = '\0';
	*a = (struct capture_address){.family = strchr(copy, ':') ? 6 : 4};
	a->prefix_bits = a->family == 6 ? 128 : 32;
	return inet_pton(a->family == 6 ? AF_INET6 : AF_INET, copy, a->bytes) == 1;
}

static bool number_of(const char *text, unsigned max, unsigned *out)
{
	char *end;
	size_t digits = strspn(text, "0123456789");
	unsigned long n = strtoul(text, &end, 10);

	*out = (unsigned)n;
	return digits && digits <= 5 && *end == '\0' && n <= max;
}

static int read_host(struct reading *g, const json_t *value)
{
	const char *text = json_string_value(value);
	struct capture_address *a = &g->r->filter.host;
	const char *slash = text ? strchr(text, '/') : NULL;
	unsigned bits;

	if (!text || !address_of(a, text, slash ? (size_t)(slash - text) : strlen(text)) ||
		(slash && !number_of(slash + 1, a->prefix_bits, &bits)))
		return refuse(g, "host", "an IPv4 or IPv6 address, or a prefix such as 10.0.0.0/8");
	if (slash)
		a->prefix_bits = (uint8_t)bits;
	return 0;
}

/* "10.0.0.1:5672" or "[fd00::1]:5672" */
static bool end_of(struct capture_filter *f, unsigned end, const char *text)
{
	const char *colon = text ? strrchr(text, ':') : NULL;
	unsigned port = 0;

	if (!colon || !number_of(colon + 1, UINT16_MAX, &port) || port == 0)
		return false;
	size_t n = (size_t)(colon - text);
	bool brackets = n > 2 && text[0] == '[' && colon[-1] == ']';
	f->conn[end].port = (uint16_t)port;
	if (brackets)
		return address_of(&f->conn[end].address, text + 1, n - 2) && f->conn[end].address.family == 6;
	return address_of(&f->conn[end].address, text, n) && f->conn[end].address.family == 4;
}

static int read_connection(struct reading *g, const json_t *value)
{
	struct capture_filter *f = &g->r->filter;

	f->has_conn = true;
	for (unsigned i = 0; i < 2; i++)
		f->has_conn &= end_of(f, i, json_string_value(json_array_get(value, i)));
	if (f->has_conn && json_array_size(value) == 2 &&
		f->conn[0].address.family == f->conn[1].address.family)
		return 0;
	return refuse(
		g, "connection", "two ends such as 10.0.0.1:40000 and 10.0.0.2:5672, or [fd00::1]:5672");
}

static int read_buffer(struct reading *g, const json_t *value)
{
	uint64_t bytes = 0, size = CAPTURE_RING_BYTES_MIN;

	if (read_count(g, "buffer", value, CAPTURE_RING_BYTES_MIN, CAPTURE_BUFFER_MAX, &bytes) != 0)
		return -1;
	while (size < bytes)
		size *= 2;
	g->r->buffer_bytes = (uint32_t)size;
	return 0;
}

static int read_one(struct reading *g, const char *key, const json_t *value)
{
	struct capture_request *r = g->r;
	const char *word = json_string_value(value);
	uint64_t n = 0;
	int result;

	if (strcmp(key, "ports") == 0)
		return read_ports(g, value);
	if (strcmp(key, "host") == 0)
		return read_host(g, value);
	if (strcmp(key, "connection") == 0)
		return read_connection(g, value);
	if (strcmp(key, "buffer") == 0)
		return read_buffer(g, value);
	if (strcmp(key, "packets") == 0)
		return read_count(g, key, value, 1, INT64_MAX, &r->packets);
	if (strcmp(key, "bytes") == 0)
		return read_count(g, key, value, 1, INT64_MAX, &r->bytes);
	if (strcmp(key, "duration_us") == 0)
		return read_count(g, key, value, 1, CAPTURE_DURATION_US_MAX, &r->duration_us);
	if (strcmp(key, "tcp_port") == 0) {
		result = read_count(g, key, value, 1, UINT16_MAX, &n);
		r->filter.tcp_port = (uint16_t)n;
		return result;
	}
	if (strcmp(key, "snaplen") == 0) {
		result = read_count(g, key, value, 1, CAPTURE_SNAPLEN_MAX, &n);
		r->snaplen = (uint32_t)n;
		return result;
	}
	if (strcmp(key, "resolution") == 0 && word && (strcmp(word, "ns") == 0 || strcmp(word, "us") == 0)) {
		r->nanoseconds = word[0] == 'n';
		return 0;
	}
	snprintf(g->error, g->error_bytes, "%.40s: no argument of capture, or not its value", key);
	return -1;
}

static const char *text_of(const json_t *arguments, const char *key)
{
	return json_string_value(json_object_get(arguments, key));
}

static void say_filter(struct capture_request *r, const json_t *arguments)
{
	const json_t *ends = json_object_get(arguments, "connection");
	char port[32] = "", *out = r->filter_text;
	size_t room = sizeof(r->filter_text);

	if (r->filter.tcp_port)
		snprintf(port, sizeof(port), "tcp port %u", r->filter.tcp_port);
	snprintf(out, room, "%s%s%s%s", r->filter.host.family ? "host " : "",
		r->filter.host.family ? text_of(arguments, "host") : "",
		r->filter.host.family && port[0] ? " and " : "", port);
	if (!r->filter.has_conn)
		return;
	size_t used = strlen(out);
	snprintf(out + used, room - used, "%sconnection %s, %s", used ? " and " : "",
		json_string_value(json_array_get(ends, 0)), json_string_value(json_array_get(ends, 1)));
}

int capture_request_read(struct capture_request *r, const json_t *arguments, const struct config *c,
	char *error, size_t error_bytes)
{
	struct reading g = {r, c, error, error_bytes};
	const char *key;
	json_t *value;

	*r = (struct capture_request){
		.packets = CAPTURE_PACKETS_DEFAULT,
		.bytes = CAPTURE_BYTES_DEFAULT,
		.duration_us = CAPTURE_DURATION_US_DEFAULT,
		.snaplen = CAPTURE_SNAPLEN_MAX,
		.buffer_bytes = CAPTURE_BUFFER_DEFAULT,
		.nanoseconds = true,
	};
	json_object_foreach((json_t *)(uintptr_t)arguments, key, value)
	{
		if (read_one(&g, key, value) != 0)
			return -1;
	}
	say_filter(r, arguments);
	return 0;
}
