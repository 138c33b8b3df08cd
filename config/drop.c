/* SPDX-License-Identifier: Apache-2.0 */
/* --no-tap and --no-kernel: parts of a configuration taken out before it is used. */
#include <string.h>

#include "config/config.h"

static void remove_listener(struct config *c, uint32_t i)
{
	c->listener_count--;
	memmove(&c->listeners[i], &c->listeners[i + 1], (c->listener_count - i) * sizeof(c->listeners[0]));
	memset(&c->listeners[c->listener_count], 0, sizeof(c->listeners[0]));
}

static void remove_port(struct config *c, uint32_t port)
{
	for (uint32_t i = c->listener_count; i-- > 0;) {
		struct config_listener *n = &c->listeners[i];
		if (n->transport != CONFIG_TRANSPORT_BYPASS)
			continue;
		if (n->port_index == port)
			remove_listener(c, i);
		else if (n->port_index > port)
			n->port_index--;
	}
	c->port_count--;
	memmove(&c->ports[port], &c->ports[port + 1], (c->port_count - port) * sizeof(c->ports[0]));
	memset(&c->ports[c->port_count], 0, sizeof(c->ports[0]));
}

uint32_t config_drop_taps(struct config *c)
{
	for (uint32_t i = c->port_count; i-- > 0;)
		if (c->ports[i].device_kind == CONFIG_DEVICE_TAP)
			remove_port(c, i);
	return c->listener_count;
}

uint32_t config_drop_kernel(struct config *c)
{
	for (uint32_t i = c->listener_count; i-- > 0;)
		if (c->listeners[i].transport == CONFIG_TRANSPORT_KERNEL)
			remove_listener(c, i);
	return c->listener_count;
}
