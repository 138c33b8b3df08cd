/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/net.h"

#include "runtime/check.h"
#include "runtime/wire.h"
#include "tests/sim/frame.h"
#include "tests/sim/router.h"

enum { ROUTER = 0xfe, STRANGERS_FROM = 100, STRANGERS = 100 };

static void mac_put(uint8_t *p, unsigned last)
{
	memcpy(p, (const uint8_t[]){2, 0, 0, 0, 0, (uint8_t)last}, 6);
}

/* last: the address's last byte; a host's is its number and 1. */
static uint32_t ipv4_of(const struct sim_net *n, unsigned host, unsigned last)
{
	return 0x0a000000 + (n->routed ? (host + 1) << 8 : 0) + last;
}

static struct ip_addr address_of(const struct sim_net *n, unsigned host, unsigned last)
{
	const uint8_t v6[16] = {0xfd, [15] = (uint8_t)last};

	return n->v6 ? ip_v6(v6) : ip_v4(ipv4_of(n, host, last));
}

struct ip_addr sim_net_address(const struct sim_net *n, unsigned host)
{
	return address_of(n, host, host + 1);
}

struct ip_addr sim_net_stranger(const struct sim_net *n, unsigned host, uint32_t which)
{
	return address_of(n, host, STRANGERS_FROM + which % STRANGERS);
}

int sim_net_host_of(const struct sim_net *n, const struct ip_addr *a)
{
	for (unsigned i = 0; i < n->hosts; i++) {
		struct ip_addr own = sim_net_address(n, i);
		if (ip_equal(a, &own))
			return (int)i;
	}
	return -1;
}

static void too_big(void *ctx, struct rte_mbuf *f, uint32_t mtu)
{
	struct sim_net *n = ctx;
	struct sim_frame head;
	uint8_t host_mac[6], router_mac[6];

	sim_frame_read(f, &head);
	int sender = sim_net_host_of(n, &head.src);
	if (sender < 0)
		return;
	mac_put(host_mac, (unsigned)sender + 1);
	mac_put(router_mac, ROUTER);
	struct ip_addr router = address_of(n, (unsigned)sender, ROUTER);
	struct rte_mbuf *m = sim_router_too_big(n->pool, &head, &router, mtu);
	if (!m)
		return;
	memcpy(rte_pktmbuf_mtod(m, uint8_t *), host_mac, 6);
	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, 6), router_mac, 6);
	n->too_big_told++;
	sim_link_send(&n->links[sender], m);
	rte_pktmbuf_free(m);
}

/* To all but its sender, or to whom it is meant for. */
static void switched(struct sim_net *n, unsigned from, struct rte_mbuf *f)
{
	const uint8_t *dst = rte_pktmbuf_mtod(f, const uint8_t *);

	for (unsigned i = 0; i < n->hosts; i++)
		if (i != from && ((dst[0] & 1) || dst[5] == i + 1))
			sim_link_send(&n->links[i], f);
}

/* The router's own business is answered at once, the rest is forwarded by its IP address. */
static void routed(struct sim_net *n, unsigned from, struct rte_mbuf *f)
{
	struct sim_frame head;
	uint8_t router_mac[6];

	sim_frame_read(f, &head);
	mac_put(router_mac, ROUTER);
	if (!head.version) {
		struct ip_addr router = ip_v4(ipv4_of(n, from, ROUTER));
		struct rte_mbuf *m = sim_router_arp_answer(n->pool, &head, &router, router_mac);
		if (m) {
			sim_link_send(&n->links[from], m);
			rte_pktmbuf_free(m);
		}
		return;
	}
	int to = sim_net_host_of(n, &head.dst);
	if (to < 0)
		return;
	mac_put(head.bytes, (unsigned)to + 1);
	memcpy(head.bytes + 6, router_mac, 6);
	sim_link_send(&n->links[to], f);
}

static void tx(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	struct sim_port *p = ctx;

	for (unsigned i = 0; i < n; i++) {
		if (p->net->observe)
			p->net->observe(p->host, frames_take[i]);
		if (p->net->routed)
			routed(p->net, p->host, frames_take[i]);
		else
			switched(p->net, p->host, frames_take[i]);
	}
	rte_pktmbuf_free_bulk(frames_take, n);
}

void sim_net_init(struct sim_net *n, unsigned hosts, bool is_routed, bool v6, struct sim_random *random,
	struct rte_mempool *pool, const uint64_t *now_us)
{
	n->hosts = hosts;
	n->routed = is_routed;
	n->v6 = v6 && !is_routed;
	n->pool = pool;
	n->observe = NULL;
	n->too_big_told = 0;
	for (unsigned i = 0; i < hosts; i++) {
		n->ports[i] = (struct sim_port){n, i};
		sim_link_init(&n->links[i], random, pool, now_us);
		n->links[i].too_big = too_big;
		n->links[i].ctx = n;
	}
}

void sim_net_configure(struct sim_net *n, unsigned host, struct stack_config *c)
{
	mac_put(c->mac, host + 1);
	stack_config_add(c, sim_net_address(n, host), n->v6 ? 64 : 24);
	if (n->routed)
		c->gateway_v4 = ip_v4(ipv4_of(n, host, ROUTER));
	c->tx = tx;
	c->tx_ctx = &n->ports[host];
}

struct rte_mbuf *sim_net_forge(
	struct sim_net *n, unsigned to, const struct ip_addr *src, const uint8_t *tcp, uint16_t bytes)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(n->pool);
	struct ip_addr dst = sim_net_address(n, to);

	if (!m)
		return NULL;
	memcpy(rte_pktmbuf_append(m, bytes), tcp, bytes);
	sim_router_ip_prepend(m, src, &dst, 6);
	uint8_t *p = (uint8_t *)rte_pktmbuf_prepend(m, 14);
	mac_put(p, to + 1);
	mac_put(p + 6, ROUTER);
	wire_put16(p + 12, 0x0800);
	*sim_mark(m) = 0;
	return m;
}

uint64_t sim_net_next_us(const struct sim_net *n)
{
	uint64_t t = UINT64_MAX;

	for (unsigned i = 0; i < n->hosts; i++)
		t = RTE_MIN(t, sim_link_next_us(&n->links[i]));
	return t;
}

void sim_net_clear(struct sim_net *n)
{
	for (unsigned i = 0; i < n->hosts; i++)
		sim_link_clear(&n->links[i]);
}
