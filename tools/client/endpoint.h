/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as the command line writes them. */
#ifndef TOOLS_CLIENT_ENDPOINT_H
#define TOOLS_CLIENT_ENDPOINT_H

#include "tcpstack/ip_addr.h"
#include "transport/transport.h"

#include <stddef.h>

enum { ENDPOINT_HOST_BYTES = 256 };

/* "HOST", "HOST:PORT", "[IPv6]", "[IPv6]:PORT" or an IPv6 address as it is, whose last group is no port: the
 * host without brackets, and *port_or_0. False: none of these, or a port that is not 1 to 65535. */
bool endpoint_split(const char *text, char host[ENDPOINT_HOST_BYTES], uint16_t *port_or_0);

enum endpoint_family { ENDPOINT_ANY, ENDPOINT_V4 = 4, ENDPOINT_V6 = 6 };

struct addrinfo;

/* Of a list from getaddrinfo the first that accepts a connection from the kernel here, which is closed at
 * once; the first where none does, or only one family is wanted. Blocks for a second an address. */
const struct addrinfo *endpoint_choose(
	const struct addrinfo *list, uint16_t port, enum endpoint_family family);

/* A host's address of a family: numeric or, by the system's resolver, a name. A name of several addresses is
 * the one that endpoint_choose chooses. Blocks for as long as the resolver and that do. 0, or -1 with error,
 * which names --broker. */
int endpoint_resolve(const char *host, uint16_t port, enum endpoint_family family,
	struct transport_address *out, char *error, size_t error_bytes);

/* "10.0.0.1/24", "fd00::1/64"; without a length: 24 and 64. */
bool endpoint_prefix(const char *text, struct ip_addr *address, uint8_t *bits);

/* "10.0.0.1", "fd00::1" */
bool endpoint_address(const char *text, struct ip_addr *address);

#endif
