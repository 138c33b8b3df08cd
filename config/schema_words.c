/* SPDX-License-Identifier: Apache-2.0 */
/* What messages and the reference say about a key: what it allows, and which name a wrong one was meant to
 * be. */
#include <inttypes.h>
#include <string.h>

#include "config/schema.h"
#include "config/units.h"

static void allowed_words(const struct schema_key *k, char *out)
{
	size_t used = (size_t)snprintf(out, SCHEMA_ALLOWED_BYTES, "one of ");
	for (size_t i = 0; k->words[i]; i++)
		used += (size_t)snprintf(
			out + used, SCHEMA_ALLOWED_BYTES - used, "%s%s", i ? ", " : "", k->words[i]);
}

const char *schema_allowed(const struct schema_key *k, char *out)
{
	const char *automatic = k->automatic ? ", or auto" : "";
	char min[UNITS_TEXT_BYTES], max[UNITS_TEXT_BYTES];

	switch (k->type) {
	case SCHEMA_BOOL:
		snprintf(out, SCHEMA_ALLOWED_BYTES, "true or false");
		break;
	case SCHEMA_WORD:
		allowed_words(k, out);
		break;
	case SCHEMA_COUNT:
		snprintf(out, SCHEMA_ALLOWED_BYTES, "a whole number from %" PRIu64 " to %" PRIu64 "%s",
			k->min, k->max, automatic);
		break;
	case SCHEMA_BYTES:
		snprintf(out, SCHEMA_ALLOWED_BYTES, "a size from %s to %s, in bytes or with K, M, G or T",
			units_format_bytes(k->min, min), units_format_bytes(k->max, max));
		break;
	case SCHEMA_DURATION:
		snprintf(out, SCHEMA_ALLOWED_BYTES, "a duration from %s to %s, with us, ms, s, min or h%s",
			units_format_duration(k->min, min), units_format_duration(k->max, max),
			k->unit == 1 ? "" : ", in whole seconds");
		break;
	case SCHEMA_MODE:
		snprintf(out, SCHEMA_ALLOWED_BYTES, "permissions from 0000 to 0777 in octal");
		break;
	case SCHEMA_CPUS:
		snprintf(out, SCHEMA_ALLOWED_BYTES,
			"auto, a number of cores from 1 to %d, or a list of as many CPU numbers from 0 to "
			"%" PRIu64 ", such as [2, 3]",
			CONFIG_LCORES_MAX, k->max);
		break;
	case SCHEMA_IFNAME:
		snprintf(out, SCHEMA_ALLOWED_BYTES,
			"a name of 1 to %" PRIu32
			" letters, digits, dots, - or _, the first a letter or digit",
			k->size - 1);
		break;
	case SCHEMA_NAME:
		snprintf(out, SCHEMA_ALLOWED_BYTES,
			"a name of 1 to %" PRIu32 " letters, digits, dots, - or _", k->size - 1);
		break;
	case SCHEMA_TEXT:
	case SCHEMA_SECRET:
		snprintf(out, SCHEMA_ALLOWED_BYTES, "a text of 1 to %" PRIu32 " bytes", k->size - 1);
		break;
	case SCHEMA_HASH:
		snprintf(out, SCHEMA_ALLOWED_BYTES,
			"what mkpasswd or openssl passwd -6 prints, at most %" PRIu32 " bytes", k->size - 1);
		break;
	case SCHEMA_PATH:
		snprintf(out, SCHEMA_ALLOWED_BYTES, "an absolute path of at most %" PRIu32 " bytes%s",
			k->size - 1, automatic);
		break;
	case SCHEMA_DEVICE:
		snprintf(out, SCHEMA_ALLOWED_BYTES,
			"tap, a PCI address such as 0000:06:00.0, or one of net_af_packet, net_af_xdp, "
			"net_virtio_user, "
			"net_vhost, net_ring, net_pcap, net_null with a number and arguments");
		break;
	case SCHEMA_PREFIX:
		snprintf(out, SCHEMA_ALLOWED_BYTES,
			"an IPv4 address of a host and its prefix length, such as "
			"192.0.2.10/24");
		break;
	case SCHEMA_GATEWAY:
		snprintf(out, SCHEMA_ALLOWED_BYTES, "an IPv4 address such as 192.0.2.1, or none");
		break;
	case SCHEMA_MAC:
		snprintf(out, SCHEMA_ALLOWED_BYTES,
			"a unicast MAC address such as 02:00:00:00:00:01, or auto");
		break;
	case SCHEMA_ADDRESS:
		snprintf(out, SCHEMA_ALLOWED_BYTES, "an IPv4 or IPv6 address without prefix length");
		break;
	case SCHEMA_HOSTS:
		snprintf(out, SCHEMA_ALLOWED_BYTES,
			"a list of at most %" PRIu64
			" IPv4 and IPv6 addresses of hosts with prefix lengths, such as "
			"[192.0.2.11/24, \"2001:db8::10/64\"]",
			k->max);
		break;
	case SCHEMA_GATEWAY6:
		snprintf(out, SCHEMA_ALLOWED_BYTES, "an IPv6 address such as \"2001:db8::1\", auto or none");
		break;
	case SCHEMA_PREFIXES:
		snprintf(out, SCHEMA_ALLOWED_BYTES,
			"a list of at most %" PRIu64
			" IPv4 and IPv6 addresses and prefixes, such as [192.0.2.0/24, "
			"\"2001:db8::1\"]",
			k->max);
		break;
	case SCHEMA_PORT_NAME:
		snprintf(out, SCHEMA_ALLOWED_BYTES, "the name of one of ports");
		break;
	case SCHEMA_RESERVED:
		snprintf(out, SCHEMA_ALLOWED_BYTES, "nothing yet");
		break;
	}
	return out;
}

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours, without regard to
 * case. Names longer than the table are as far away as can be. */
unsigned schema_distance(const char *a, const char *b)
{
	enum { N = 32 };
	unsigned d[N + 1][N + 1];
	size_t a_bytes = strlen(a), b_bytes = strlen(b);

	if (a_bytes > N || b_bytes > N)
		return UINT32_MAX;
	for (size_t i = 0; i <= a_bytes; i++) {
		for (size_t j = 0; j <= b_bytes; j++) {
			if (i == 0 || j == 0) {
				d[i][j] = (unsigned)(i + j);
				continue;
			}
			unsigned least = d[i - 1][j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));
			if (d[i - 1][j] + 1 < least)
				least = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < least)
				least = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				d[i - 2][j - 2] + 1 < least)
				least = d[i - 2][j - 2] + 1;
			d[i][j] = least;
		}
	}
	return d[a_bytes][b_bytes];
}

const char *schema_nearest(const char *text, const char *const *words)
{
	const char *nearest = NULL;
	/* a third of the letters may be wrong */
	unsigned least = (unsigned)(strlen(text) + 2) / 3 + 1;
	for (; *words; words++) {
		unsigned distance = schema_distance(text, *words);
		if (distance < least) {
			least = distance;
			nearest = *words;
		}
	}
	return nearest;
}
