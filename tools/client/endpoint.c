/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/endpoint.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int endpoint_resolve(
	const char *host, uint16_t port, struct transport_address *out, char *error, size_t error_bytes)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	int status = getaddrinfo(host, NULL, &hints, &found);

	if (status) {
		snprintf(error, error_bytes, "--broker %.100s: %s", host, gai_strerror(status));
		return -1;
	}
	*out = (struct transport_address){.port = port};
	if (found->ai_family == AF_INET6) {
		out->family = 6;
		memcpy(out->bytes, &((struct sockaddr_in6 *)found->ai_addr)->sin6_addr, 16);
	} else {
		out->family = 4;
		memcpy(out->bytes, &((struct sockaddr_in *)found->ai_addr)->sin_addr, 4);
	}
	freeaddrinfo(found);
	return 0;
}

bool endpoint_address(const char *text, struct ip_addr *address)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		*address = ip_v4(wire_get32(bytes));
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		*address = ip_v6(bytes);
	else
		return false;
	return true;
}

bool endpoint_prefix(const char *text, struct ip_addr *address, uint8_t *bits)
{
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	char host[64], *end = NULL;

	if (n >= sizeof(host))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	if (!endpoint_address(host, address))
		return false;
	unsigned long most = ip_is_v4(address) ? 32 : 128, v = most == 32 ? 24 : 64;
	if (slash)
		v = strtoul(slash + 1, &end, 10);
	*bits = (uint8_t)v;
	return v >= 1 && v <= most && (!slash || (slash[1] >= '0' && slash[1] <= '9' && !*end));
}
