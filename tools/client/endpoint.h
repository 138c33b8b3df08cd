/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as the command line writes them. */
#ifndef TOOLS_CLIENT_ENDPOINT_H
#define TOOLS_CLIENT_ENDPOINT_H

#include "tcpstack/ip_addr.h"
#include "transport/transport.h"

#include <stddef.h>

/* A host's address: numeric or, by the system's resolver, a name; may block. 0, or -1 with error. */
int endpoint_resolve(
	const char *host, uint16_t port, struct transport_address *out, char *error, size_t error_bytes);

/* "10.0.0.1/24", "fd00::1/64"; without a length: 24 and 64. */
bool endpoint_prefix(const char *text, struct ip_addr *address, uint8_t *bits);

/* "10.0.0.1" */
bool endpoint_address(const char *text, struct ip_addr *address);

#endif
