/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <crypt.h>
#include <inttypes.h>
#include <string.h>

#include "config/schema.h"
#include "config/units.h"

static void *field_of(const struct schema_key *k, const void *entry)
{
	return (char *)entry + k->offset;
}

static void number_store(const struct schema_key *k, void *entry, uint64_t value)
{
	uint16_t v16 = (uint16_t)value;
	uint32_t v32 = (uint32_t)value;
	const void *from = k->size == 2 ? (void *)&v16 : k->size == 4 ? (void *)&v32 : (void *)&value;
	memcpy(field_of(k, entry), from, k->size);
}

static uint64_t number_load(const struct schema_key *k, const void *entry)
{
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;
	if (k->size == 2)
		return memcpy(&v16, field_of(k, entry), 2), v16;
	if (k->size == 4)
		return memcpy(&v32, field_of(k, entry), 4), v32;
	return memcpy(&v64, field_of(k, entry), 8), v64;
}

static const char *store_number(const struct schema_key *k, void *entry, const char *text, size_t n)
{
	uint64_t value = 0;
	const char *why = k->type == SCHEMA_COUNT   ? units_parse_count(text, n, &value)
			  : k->type == SCHEMA_BYTES ? units_parse_bytes(text, n, &value)
						    : units_parse_duration(text, n, &value);
	if (why)
		return why;
	if (value < k->min || value > k->max)
		return "out of range";
	if (k->type == SCHEMA_DURATION) {
		if (value % k->unit != 0)
			return "not a whole number of seconds";
		value /= k->unit;
	}
	number_store(k, entry, value);
	return NULL;
}

static const char *store_word(const struct schema_key *k, void *entry, const char *text, size_t n)
{
	for (uint32_t i = 0; k->words[i]; i++) {
		if (strlen(k->words[i]) == n && memcmp(k->words[i], text, n) == 0) {
			number_store(k, entry, i);
			return NULL;
		}
	}
	return "not one of the words";
}

static const char *store_bool(const struct schema_key *k, void *entry, const char *text, size_t n)
{
	bool yes = n == 4 && memcmp(text, "true", 4) == 0;
	if (!yes && !(n == 5 && memcmp(text, "false", 5) == 0))
		return "not a truth value";
	memcpy(field_of(k, entry), &yes, sizeof(yes));
	return NULL;
}

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(const char *text, size_t n, const char *also)
{
	for (size_t i = 0; i < n; i++)
		if (!is_alphanumeric(text[i]) && (text[i] == '\0' || !strchr(also, text[i])))
			return false;
	return true;
}

static const char *check_device(const char *text, size_t n)
{
	static const char *const drivers[] = {"net_af_packet", "net_af_xdp", "net_virtio_user", "net_vhost",
		"net_ring", "net_pcap", "net_null", NULL};
	if (strcmp(text, "tap") == 0)
		return NULL;
	if (strncmp(text, "net_tap", 7) == 0 || strncmp(text, "net_tun", 7) == 0)
		return "a TAP is written as tap";
	if (n == 12 && text[4] == ':' && text[7] == ':' && text[10] == '.') {
		static const char hex[] = "0123456789abcdefABCDEF";
		bool good = strspn(text, hex) == 4 && strspn(text + 5, hex) == 2 &&
			    strspn(text + 8, hex) == 2;
		return good && text[11] >= '0' && text[11] <= '7' ? NULL : "it is no PCI address";
	}
	if (strspn(text, "0123456789abcdefABCDEF:.") == n)
		return "it is no complete PCI address";
	if (!is_word(text, n, "_-,=./:+@"))
		return "a character does not belong here";
	for (size_t i = 0; drivers[i]; i++) {
		size_t length = strlen(drivers[i]);
		if (strncmp(text, drivers[i], length) != 0)
			continue;
		size_t digits = strspn(text + length, "0123456789");
		char after = text[length + digits];
		return digits && (after == '\0' || after == ',')
			       ? NULL
			       : "a number belongs behind the driver's name";
	}
	return "no such driver is part of this broker";
}

/* Bytes that a method's last field has: a cut hash would never match any password. */
static const char *check_hash(const char *text)
{
	const char *last = strrchr(text, '$');
	if (text[0] != '$' || !last)
		return "it is no crypt(3) string";
	if (crypt_checksalt(text) != CRYPT_SALT_OK)
		return "its method is unknown or too weak";
	return strlen(last + 1) >= 43 &&
			       strspn(last + 1, "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklm"
						"nopqrstuvwxyz") == strlen(last + 1)
		       ? NULL
		       : "it is not complete";
}

static const char *check_text(const struct schema_key *k, const char *text, size_t n)
{
	switch (k->type) {
	case SCHEMA_IFNAME:
		return is_word(text, n, "_.-") && is_alphanumeric(text[0])
			       ? NULL
			       : "a character does not belong here";
	case SCHEMA_NAME:
		if (!is_word(text, n, "_.-") || text[0] == '-' || text[0] == '.')
			return "a character does not belong here";
		return strcmp(k->name, "user") == 0 && strcmp(text, "root") == 0 ? "root is not unprivileged"
										 : NULL;
	case SCHEMA_PATH:
		return text[0] == '/' ? NULL : "it is not absolute";
	case SCHEMA_DEVICE:
		return check_device(text, n);
	case SCHEMA_HASH:
		return check_hash(text);
	default:
		return NULL;
	}
}

static const char *store_text(const struct schema_key *k, void *entry, const char *text, size_t n)
{
	char *field = field_of(k, entry);
	if (n == 0)
		return "nothing is there";
	if (n >= k->size)
		return "it is too long";
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return "a control character does not belong here";
	memset(field, 0, k->size);
	memcpy(field, text, n);
	return check_text(k, field, n);
}

static const char *check_host(uint32_t address)
{
	if (address >> 28 >= 14)
		return "it is not a unicast address";
	return address >> 24 == 0 || address >> 24 == 127 ? "it is not an address of a network" : NULL;
}

static const char *store_prefix(const struct schema_key *k, void *entry, const char *text, size_t n)
{
	struct config_ipv4_prefix p = {0};
	const char *why = units_parse_ipv4_prefix(text, n, &p.address, &p.prefix_bits);
	if (why)
		return why;
	memcpy(field_of(k, entry), &p, sizeof(p));
	uint32_t host_mask = UINT32_MAX >> p.prefix_bits, host = p.address & host_mask;
	if (host == 0)
		return "it is the subnet's own address";
	return host == host_mask ? "it is the subnet's broadcast address" : check_host(p.address);
}

static const char *store_gateway(const struct schema_key *k, void *entry, const char *text, size_t n)
{
	uint32_t address = 0;
	bool none = n == 4 && memcmp(text, "none", 4) == 0;
	const char *why = none ? NULL : units_parse_ipv4(text, n, &address);
	memcpy(field_of(k, entry), &address, sizeof(address));
	return why || none ? why : check_host(address);
}

static const char *store_mac(void *entry, const char *text, size_t n)
{
	struct config_port *port = entry;
	port->mac_set = !(n == 4 && memcmp(text, "auto", 4) == 0);
	return port->mac_set ? units_parse_mac(text, n, port->mac) : NULL;
}

static const char *store_address(const struct schema_key *k, void *entry, const char *text, size_t n)
{
	struct config_address a = {.version = memchr(text, ':', n) ? 6 : 4};
	uint32_t ipv4 = 0;
	const char *why = a.version == 6 ? units_parse_ipv6(text, n, a.bytes)
					 : units_parse_ipv4(text, n, &ipv4);
	if (why)
		return why;
	if (a.version == 4) {
		ipv4 = htonl(ipv4);
		memcpy(a.bytes, &ipv4, sizeof(ipv4));
	}
	memcpy(field_of(k, entry), &a, sizeof(a));
	return a.bytes[0] == 255 || (a.version == 4 && a.bytes[0] >> 4 == 14) ? "it is not a unicast address"
									      : NULL;
}

/* n bytes of address, or address and prefix length. */
static const char *parse_prefix(struct config_prefix *p, const char *text, size_t n)
{
	const char *slash = memchr(text, '/', n);
	size_t address_bytes = slash ? (size_t)(slash - text) : n;
	struct schema_key k = {.size = sizeof(p->address)};
	uint64_t bits = 0;
	const char *why = store_address(&k, &p->address, text, address_bytes);

	p->bits = p->address.version == 6 ? 128 : 32;
	if (why || !slash)
		return why;
	why = units_parse_count(slash + 1, n - address_bytes - 1, &bits);
	if (why || bits > p->bits)
		return why ? why : "the prefix is longer than the address";
	p->bits = (uint8_t)bits;
	return NULL;
}

/* A prefix with bits behind its length is a mistake more often than not. */
static bool has_host_bits(const struct config_prefix *p)
{
	unsigned bytes = p->address.version == 6 ? 16 : 4;

	for (unsigned i = p->bits; i < 8 * bytes; i++)
		if (p->address.bytes[i / 8] >> (7 - i % 8) & 1)
			return true;
	return false;
}

static const char *store_prefixes(const struct schema_key *k, void *entry, const char *text, size_t n)
{
	struct config_prefixes *list = field_of(k, entry);
	struct config_prefix *p = &list->entry[list->count];
	const char *why = parse_prefix(p, text, n);

	if (!why && has_host_bits(p))
		why = "bits are set behind the prefix length";
	if (!why)
		list->count++;
	return why;
}

/* An address of ours: its subnet's own and broadcast addresses are nobody's. */
static const char *store_host(const struct schema_key *k, void *entry, const char *text, size_t n)
{
	struct config_prefixes *list = field_of(k, entry);
	struct config_prefix *p = &list->entry[list->count];
	const char *why = memchr(text, '/', n) ? parse_prefix(p, text, n) : "the prefix length is missing";

	if (!why && p->bits == 0)
		why = "the prefix length is 0";
	if (!why && p->address.version == 4) {
		uint32_t host_mask = p->bits < 31 ? UINT32_MAX >> p->bits : 0;
		uint32_t a = config_address_ipv4(&p->address);
		if (host_mask && (a & host_mask) == 0)
			why = "it is the subnet's own address";
		else if (host_mask && (a & host_mask) == host_mask)
			why = "it is the subnet's broadcast address";
		else
			why = check_host(a);
	}
	if (!why && p->address.version == 6 && !has_host_bits(p) && p->bits < 127)
		why = "it is the subnet's anycast address";
	if (!why)
		list->count++;
	return why;
}

static const char *store_gateway6(const struct schema_key *k, void *entry, const char *text, size_t n)
{
	struct config_gateway6 g = {.automatic = n == 4 && memcmp(text, "auto", 4) == 0};
	const char *why = NULL;

	if (!g.automatic && !(n == 4 && memcmp(text, "none", 4) == 0)) {
		why = units_parse_ipv6(text, n, g.address.bytes);
		g.address.version = 6;
		if (!why && (g.address.bytes[0] == 255 || config_address_is_any(&g.address)))
			why = "it is not a unicast address";
	}
	memcpy(field_of(k, entry), &g, sizeof(g));
	return why;
}

const char *schema_store(const struct schema_key *k, void *entry, const char *text, size_t n)
{
	if (k->automatic && n == 4 && memcmp(text, "auto", 4) == 0) {
		memset(field_of(k, entry), 0, k->size);
		return NULL;
	}
	switch (k->type) {
	case SCHEMA_BOOL:
		return store_bool(k, entry, text, n);
	case SCHEMA_WORD:
		return store_word(k, entry, text, n);
	case SCHEMA_COUNT:
	case SCHEMA_BYTES:
	case SCHEMA_DURATION:
		return store_number(k, entry, text, n);
	case SCHEMA_MODE:
		return units_parse_mode(text, n, field_of(k, entry));
	case SCHEMA_PREFIX:
		return store_prefix(k, entry, text, n);
	case SCHEMA_GATEWAY:
		return store_gateway(k, entry, text, n);
	case SCHEMA_MAC:
		return store_mac(entry, text, n);
	case SCHEMA_ADDRESS:
		return store_address(k, entry, text, n);
	case SCHEMA_PREFIXES:
		return store_prefixes(k, entry, text, n);
	case SCHEMA_HOSTS:
		return store_host(k, entry, text, n);
	case SCHEMA_GATEWAY6:
		return store_gateway6(k, entry, text, n);
	default:
		return store_text(k, entry, text, n);
	}
}

/* A text as YAML: as it is where no reader could take it for anything else, else in double quotes. */
static void format_text(const char *text, char *out)
{
	static const char *const taken[] = {"null", "true", "false", "auto", "none", "~", NULL};
	bool plain = is_word(text, strlen(text), "_./:@+-,=") &&
		     (is_alphanumeric(text[0]) || text[0] == '/') && text[strlen(text) - 1] != ':';
	for (size_t i = 0; plain && taken[i]; i++)
		plain = strcmp(text, taken[i]) != 0;
	if (plain) {
		snprintf(out, SCHEMA_VALUE_BYTES, "%s", text);
		return;
	}
	char *p = out;
	*p++ = '"';
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			*p++ = '\\';
		*p++ = *text;
	}
	*p++ = '"';
	*p = '\0';
}

static bool format_prefix(const struct config_ipv4_prefix *p, char *out)
{
	char address[UNITS_TEXT_BYTES];
	if (p->prefix_bits == 0)
		return false;
	snprintf(out, SCHEMA_VALUE_BYTES, "%s/%u", units_format_ipv4(p->address, address), p->prefix_bits);
	return true;
}

static bool format_prefixes(const struct config_prefixes *list, char *out)
{
	size_t used = 0;
	char text[UNITS_TEXT_BYTES];

	for (uint32_t i = 0; i < list->count; i++) {
		const struct config_prefix *p = &list->entry[i];
		const char *quote = p->address.version == 6 ? "\"" : "";
		used += (size_t)snprintf(out + used, SCHEMA_VALUE_BYTES - used, "%s%s%s/%u%s", i ? ", " : "[",
			quote, config_address_text(&p->address, text), p->bits, quote);
	}
	if (list->count)
		snprintf(out + used, SCHEMA_VALUE_BYTES - used, "]");
	return list->count != 0;
}

static void format_cpus(const struct config *c, char *out)
{
	size_t used = (size_t)snprintf(out, SCHEMA_VALUE_BYTES, c->lcores_auto ? "auto" : "[");

	if (c->lcores_auto && c->lcore_count > 1)
		snprintf(out, SCHEMA_VALUE_BYTES, "%" PRIu32, c->lcore_count);
	for (uint32_t i = 0; !c->lcores_auto && i < c->lcore_count; i++)
		used += (size_t)snprintf(out + used, SCHEMA_VALUE_BYTES - used, "%s%" PRIu32 "%s",
			i ? ", " : "", c->lcores[i], i + 1 == c->lcore_count ? "]" : "");
}

bool schema_format(const struct schema_key *k, const struct config *c, const void *entry, char *out)
{
	const void *field = field_of(k, entry);
	char text[UNITS_TEXT_BYTES];
	bool yes;

	if (k->bypass && ((const struct config_listener *)entry)->transport != CONFIG_TRANSPORT_BYPASS)
		return false;
	switch (k->type) {
	case SCHEMA_BOOL:
		memcpy(&yes, field, sizeof(yes));
		return snprintf(out, SCHEMA_VALUE_BYTES, yes ? "true" : "false") > 0;
	case SCHEMA_WORD:
		return snprintf(out, SCHEMA_VALUE_BYTES, "%s", k->words[number_load(k, entry)]) > 0;
	case SCHEMA_COUNT:
		return snprintf(out, SCHEMA_VALUE_BYTES, "%" PRIu64, number_load(k, entry)) > 0;
	case SCHEMA_MODE:
		return snprintf(out, SCHEMA_VALUE_BYTES, "%04" PRIo64, number_load(k, entry)) > 0;
	case SCHEMA_BYTES:
		return snprintf(out, SCHEMA_VALUE_BYTES, "%s",
			       units_format_bytes(number_load(k, entry), text)) > 0;
	case SCHEMA_DURATION:
		return snprintf(out, SCHEMA_VALUE_BYTES, "%s",
			       units_format_duration(number_load(k, entry) * k->unit, text)) > 0;
	case SCHEMA_CPUS:
		format_cpus(c, out);
		return true;
	case SCHEMA_PREFIX:
		return format_prefix(field, out);
	case SCHEMA_PREFIXES:
	case SCHEMA_HOSTS:
		return format_prefixes(field, out);
	case SCHEMA_GATEWAY: {
		uint32_t gateway = (uint32_t)number_load(k, entry);
		return snprintf(out, SCHEMA_VALUE_BYTES, "%s",
			       gateway ? units_format_ipv4(gateway, text) : "none") > 0;
	}
	case SCHEMA_GATEWAY6: {
		const struct config_gateway6 *g = field;
		if (g->address.version)
			return snprintf(out, SCHEMA_VALUE_BYTES, "\"%s\"",
				       config_address_text(&g->address, text)) > 0;
		return snprintf(out, SCHEMA_VALUE_BYTES, g->automatic ? "auto" : "none") > 0;
	}
	case SCHEMA_MAC: {
		const struct config_port *port = entry;
		return snprintf(out, SCHEMA_VALUE_BYTES, "%s",
			       port->mac_set ? units_format_mac(port->mac, text) : "auto") > 0;
	}
	case SCHEMA_ADDRESS:
		/* an IPv6 address in quotes: a plain value cannot begin with a colon */
		return snprintf(out, SCHEMA_VALUE_BYTES,
			       ((const struct config_address *)field)->version == 6 ? "\"%s\"" : "%s",
			       config_address_text(field, text)) > 0;
	case SCHEMA_PORT_NAME: {
		const struct config_listener *l = entry;
		if (l->transport != CONFIG_TRANSPORT_BYPASS)
			return false;
		format_text(c->ports[l->port_index].name, out);
		return true;
	}
	case SCHEMA_SECRET:
	case SCHEMA_HASH:
		return *(const char *)field != '\0' && snprintf(out, SCHEMA_VALUE_BYTES, "\"***\"") > 0;
	case SCHEMA_TEXT:
		/* an empty one is refused where it is read */
		if (*(const char *)field == '\0')
			return false;
		format_text(field, out);
		return true;
	case SCHEMA_RESERVED:
		return false;
	case SCHEMA_PATH:
		if (c->control.socket_auto)
			return snprintf(out, SCHEMA_VALUE_BYTES, "auto") > 0;
		format_text(field, out);
		return true;
	default:
		format_text(field, out);
		return true;
	}
}

bool config_port_address(const struct config_port *p, uint32_t index, struct config_prefix *out)
{
	uint32_t a = htonl(p->address.address);
	bool has_first = p->address.prefix_bits != 0;

	*out = (struct config_prefix){.address = {.version = 4}, .bits = p->address.prefix_bits};
	memcpy(out->address.bytes, &a, sizeof(a));
	if (has_first && index == 0)
		return true;
	index -= has_first;
	if (index >= p->addresses.count)
		return false;
	*out = p->addresses.entry[index];
	return true;
}

bool config_prefix_overlap(const struct config_prefix *a, const struct config_prefix *b)
{
	unsigned bits = a->bits < b->bits ? a->bits : b->bits, bytes = bits / 8, rest = bits % 8;

	if (a->address.version != b->address.version ||
		memcmp(a->address.bytes, b->address.bytes, bytes) != 0)
		return false;
	return rest == 0 || (a->address.bytes[bytes] ^ b->address.bytes[bytes]) >> (8 - rest) == 0;
}

bool config_address_is_any(const struct config_address *a)
{
	static const uint8_t zero[16];

	return memcmp(a->bytes, zero, sizeof(zero)) == 0;
}

const char *config_address_text(const struct config_address *a, char *out)
{
	if (!inet_ntop(a->version == 6 ? AF_INET6 : AF_INET, a->bytes, out, INET6_ADDRSTRLEN))
		out[0] = '\0';
	return out;
}
