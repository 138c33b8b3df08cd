/* SPDX-License-Identifier: Apache-2.0 */
/* A script's configuration: "config KEY VALUE" sets a member of struct stack_config, or
 *
 *   peer_isn N, clock_us N      where the peer's numbers and the clock begin
 *   ip 6                        the script speaks IPv6 (2001:db8::1 and ::2), not IPv4 (10.0.0.1 and .2)
 *   ip 4                        the stack has no address of IPv6 at all
 *   vlan N                      every frame is tagged so
 *   cc NAME                     congestion control
 *   discovery 1                 ARP and neighbour discovery are lines of the script
 *   address ADDRESS/BITS        one more address of the stack's
 *   gateway ADDRESS
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script/run.h"

#define KEY(name)                                                                                    \
	{                                                                                            \
#name, offsetof(struct stack_config, name), sizeof(((struct stack_config *)0)->name) \
	}
static const struct {
	const char *name;
	size_t offset, size;
} keys[] = {KEY(mtu), KEY(offload_flags), KEY(conn_max), KEY(syn_backlog_max), KEY(time_wait_max),
	KEY(reass_segments_max), KEY(reass_conn_segments_max), KEY(rx_buffer_bytes), KEY(tx_buffer_bytes),
	KEY(rto_us_initial), KEY(rto_us_min), KEY(rto_us_max), KEY(delayed_ack_us), KEY(user_timeout_us),
	KEY(connect_timeout_us), KEY(half_open_timeout_us), KEY(time_wait_us), KEY(fin_wait_2_us),
	KEY(keepalive_us), KEY(keepalive_interval_us), KEY(keepalive_probes), KEY(challenge_acks_per_s),
	KEY(challenge_interval_us), KEY(initial_window_segments), KEY(syn_cookies), KEY(ecn), KEY(quick_acks),
	KEY(timestamps), KEY(window_scaling), KEY(sack), KEY(orphan_max), KEY(tx_reserve),
	KEY(tx_segments_max), KEY(rx_buffers_max), KEY(arp_max), KEY(arp_lifetime_us), KEY(arp_probes),
	KEY(dad_transmits), KEY(router_discovery), KEY(mld), KEY(frag_datagrams_max), KEY(frag_bytes_max)};

static void do_config(const char *name, unsigned long value)
{
	if (!strcmp(name, "peer_isn")) {
		run.base.peer_isn = (uint32_t)value;
		return;
	}
	if (!strcmp(name, "ip")) {
		run.base.v6 = value == 6;
		if (value == 4)
			run.config.address_count = 1;
		return;
	}
	if (!strcmp(name, "vlan")) {
		run.vlan = run.config.vlan = (uint16_t)value;
		return;
	}
	if (!strcmp(name, "discovery")) {
		run.discovery = value;
		return;
	}
	if (!strcmp(name, "clock_us")) {
		run.now_us = value;
		return;
	}
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(keys[i].name, name)) {
			memcpy((uint8_t *)&run.config + keys[i].offset, &value, keys[i].size);
			return;
		}
	fail("no key is called %s", name);
}

static void do_address(const char *text)
{
	struct ip_addr a;
	char *slash = strchr(text, '/');

	if (slash)
		*slash = 0;
	if (!slash || !segment_addr_parse(text, &a) ||
		!stack_config_add(&run.config, a, (uint8_t)atoi(slash + 1)))
		fail("an address is written ADDRESS/BITS");
}

static void do_gateway(const char *text)
{
	struct ip_addr a;

	if (!segment_addr_parse(text, &a))
		fail("%s is no address", text);
	else if (ip_is_v4(&a))
		run.config.gateway_v4 = a;
	else
		run.config.gateway_v6 = a;
}

bool config_line(const char *line)
{
	char name[64], word[64];
	unsigned long value;

	if (sscanf(line, "config cc %63s", word) == 1) {
		run.config.cc = tcp_cc_by_name(word);
	} else if (sscanf(line, "config address %63s", word) == 1) {
		do_address(word);
	} else if (sscanf(line, "config gateway %63s", word) == 1) {
		do_gateway(word);
	} else if (sscanf(line, "config %63s %li", name, (long *)&value) == 2) {
		do_config(name, value);
	} else {
		return false;
	}
	return true;
}

void config_defaults(struct stack_config *c)
{
	stack_config_defaults(c);
	memcpy(c->mac, stack_mac, 6);
	stack_config_add(c, segment_stack_addr(false), 24);
	stack_config_add(c, segment_stack_addr(true), 64);
	c->tx_pool = pool;
	c->key = (struct siphash_key){1, 2};
	c->tx = wire_capture;
	c->conn_max = 16;
	c->syn_backlog_max = 8;
	c->time_wait_max = 8;
	c->rx_buffer_bytes = 65535;
	c->tx_buffer_bytes = 65535;
	c->delayed_ack_us = 0;
	c->quick_acks = 0;
	c->arp_lifetime_us = 2000000000;
	c->dad_transmits = 0;
	c->router_discovery = false;
	c->mld = false;
}
