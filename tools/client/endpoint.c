/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MS = 1000, HOST_SHOWN = 100 };

static bool port_read(const char *text, uint16_t *port)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	*port = (uint16_t)v;
	return text[0] >= '0' && text[0] <= '9' && !*end && v >= 1 && v <= UINT16_MAX;
}

bool endpoint_split(const char *text, char host[ENDPOINT_HOST_BYTES], uint16_t *port_or_0)
{
	bool brackets = text[0] == '[';
	const char *begin = text + brackets, *colon = strchr(begin, ':');
	size_t n = strlen(begin);
	uint8_t v6[16];

	*port_or_0 = 0;
	if (brackets)
		n = strcspn(begin, "]");
	else if (colon && !strchr(colon + 1, ':'))
		n = (size_t)(colon - begin);
	const char *rest = begin + n + (brackets && begin[n]);
	if (n == 0 || n >= ENDPOINT_HOST_BYTES || (brackets && !begin[n]))
		return false;
	memcpy(host, begin, n);
	host[n] = '\0';
	if (brackets && inet_pton(AF_INET6, host, v6) != 1)
		return false;
	return !*rest || (*rest == ':' && port_read(rest + 1, port_or_0));
}

/* Whether somebody listens there. */
static bool answers(const struct addrinfo *a, uint16_t port)
{
	struct sockaddr_storage to = {0};
	int error = -1;
	socklen_t bytes = sizeof(error);

	memcpy(&to, a->ai_addr, a->ai_addrlen);
	if (a->ai_family == AF_INET6)
		((struct sockaddr_in6 *)&to)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)&to)->sin_port = htons(port);
	struct pollfd wait = {
		.fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .events = POLLOUT};
	if (wait.fd < 0)
		return false;
	if (connect(wait.fd, (struct sockaddr *)&to, a->ai_addrlen) == 0)
		error = 0;
	else if (errno == EINPROGRESS && poll(&wait, 1, ANSWER_MS) == 1)
		getsockopt(wait.fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
	close(wait.fd);
	return error == 0;
}

const struct addrinfo *endpoint_choose(
	const struct addrinfo *found, uint16_t port, enum endpoint_family family)
{
	if (family != ENDPOINT_ANY || !found->ai_next)
		return found;
	for (const struct addrinfo *a = found; a; a = a->ai_next)
		if (answers(a, port))
			return a;
	return found;
}

int endpoint_resolve(const char *host, uint16_t port, enum endpoint_family family,
	struct transport_address *out, char *error, size_t error_bytes)
{
	static const int families[] = {
		[ENDPOINT_ANY] = AF_UNSPEC, [ENDPOINT_V4] = AF_INET, [ENDPOINT_V6] = AF_INET6};
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = families[family]}, *found;
	int status = getaddrinfo(host, NULL, &hints, &found);

	if (status) {
		if (family != ENDPOINT_ANY)
			snprintf(error, error_bytes,
				"--broker %.*s: no IPv%d address, which --address is: %s", HOST_SHOWN, host,
				(int)family, gai_strerror(status));
		else
			snprintf(error, error_bytes, "--broker %.*s: %s", HOST_SHOWN, host,
				gai_strerror(status));
		return -1;
	}
	const struct addrinfo *a = endpoint_choose(found, port, family);
	*out = (struct transport_address){.port = port, .family = a->ai_family == AF_INET6 ? 6 : 4};
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a->ai_addr;
	bool scoped = a->ai_family == AF_INET6 && in6->sin6_scope_id;
	if (a->ai_family == AF_INET6)
		memcpy(out->bytes, &in6->sin6_addr, 16);
	else
		memcpy(out->bytes, &((const struct sockaddr_in *)a->ai_addr)->sin_addr, 4);
	freeaddrinfo(found);
	if (scoped)
		snprintf(error, error_bytes,
			"--broker %.*s: an address that counts on one link alone cannot be reached: name a "
			"global or "
			"unique local one",
			HOST_SHOWN, host);
	return scoped ? -1 : 0;
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
