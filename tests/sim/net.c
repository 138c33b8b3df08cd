/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/net.h"

#include "runtime/check.h"
#include "runtime/wire.h"
#include "tests/sim/frame.h"
#include "tests/sim/pieces.h"
#include "tests/sim/router.h"

enum {
	ROUTER = 0xfe,
	STRANGERS_FROM = 100,
	STRANGERS = 100,
	TSO_SEGMENTS_MAX = 20,
	VLAN_BYTES = 4,
	TYPE_VLAN = 0x8100,
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86dd
};

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
	const uint8_t v6[16] = {0xfd, [7] = (uint8_t)(n->routed ? host + 1 : 0), [15] = (uint8_t)last};

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

/* The router on a host's link. */
static struct sim_router router_of(const struct sim_net *n, unsigned host)
{
	struct sim_router r = {.address = address_of(n, host, ROUTER),
		.link_local = ip_v6((const uint8_t[16]){0xfe, 0x80, [15] = ROUTER})};

	mac_put(r.mac, ROUTER);
	return r;
}

/* Sends a frame of our making, or NULL; it has no tag yet. */
static void send_take(struct sim_net *n, unsigned to, struct rte_mbuf *m, uint16_t vlan)
{
	if (!m)
		return;
	if (vlan) {
		uint8_t *p = (uint8_t *)rte_pktmbuf_prepend(m, VLAN_BYTES);
		memmove(p, p + VLAN_BYTES, 12);
		wire_put16(p + 12, TYPE_VLAN);
		wire_put16(p + 14, vlan);
	}
	sim_link_send(&n->links[to], m);
	rte_pktmbuf_free(m);
}

static void too_big(void *ctx, struct rte_mbuf *f, uint32_t mtu)
{
	struct sim_net *n = ctx;
	struct sim_frame head;

	sim_frame_read(f, &head);
	int sender = sim_net_host_of(n, &head.src);
	if (sender < 0)
		return;
	struct sim_router r = router_of(n, (unsigned)sender);
	struct rte_mbuf *m = sim_router_too_big(n->pool, &head, &r, mtu);
	if (!m)
		return;
	mac_put(rte_pktmbuf_mtod(m, uint8_t *), (unsigned)sender + 1);
	n->too_big_told++;
	send_take(n, (unsigned)sender, m, n->vlan);
}

static void piece_send(void *ctx, struct rte_mbuf *m)
{
	sim_link_send(ctx, m);
}

/* A router that cuts keeps the number that the sender gave, else it makes one up. */
static void cut(void *ctx, struct sim_link *l, struct rte_mbuf *f, uint32_t bytes)
{
	struct sim_net *n = ctx;
	struct sim_frame head;

	sim_frame_read(f, &head);
	uint32_t id = head.df ? (n->pieces_id += 0x10001) : wire_get16(head.bytes + head.l3_at + 4);
	if (n->observe_cut)
		n->observe_cut(f);
	sim_pieces_send(n->port_pool, f, bytes, id, piece_send, l);
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
	struct sim_router r = router_of(n, from);
	struct sim_frame head;

	sim_frame_read(f, &head);
	if (!head.version) {
		send_take(n, from, sim_router_arp_answer(n->pool, &head, &r), n->vlan);
		return;
	}
	if (head.protocol == SIM_PROTOCOL_ICMPV6 && sim_router_solicited(&head)) {
		if (n->advertised)
			sim_net_advertise(n, from);
		return;
	}
	int to = sim_net_host_of(n, &head.dst);
	if (to < 0) {
		send_take(n, from, sim_router_nd_answer(n->pool, &head, &r), n->vlan);
		return;
	}
	mac_put(head.bytes, (unsigned)to + 1);
	memcpy(head.bytes + 6, r.mac, 6);
	sim_link_send(&n->links[to], f);
}

void sim_net_advertise(struct sim_net *n, unsigned host)
{
	struct sim_router r = router_of(n, host);

	if (!n->routed || !n->v6 || !n->advertised)
		return;
	n->adverts++;
	send_take(n, host, sim_router_advert(n->pool, &r), n->vlan);
}

/* On the wire. */
static void sent(struct sim_port *p, struct rte_mbuf *f)
{
	if (p->net->observe)
		p->net->observe(p->host, f);
	if (p->net->routed)
		routed(p->net, p->host, f);
	else
		switched(p->net, p->host, f);
}

static void tx(void *ctx, struct rte_mbuf **frames_take, unsigned n)
{
	struct sim_port *p = ctx;

	for (unsigned i = 0; i < n; i++)
		sim_port_send_take(p, frames_take[i], p->net->port_pool, sent);
}

void sim_net_init(struct sim_net *n, unsigned hosts, bool is_routed, bool v6, struct sim_random *random,
	struct rte_mempool *pool, const uint64_t *now_us)
{
	n->hosts = hosts;
	n->routed = is_routed;
	n->v6 = v6;
	n->advertised = false;
	n->vlan = 0;
	n->pieces_id = 0;
	n->pool = pool;
	n->observe = NULL;
	n->observe_cut = NULL;
	n->too_big_told = n->adverts = 0;
	for (unsigned i = 0; i < hosts; i++) {
		n->ports[i] = (struct sim_port){.net = n, .host = i};
		sim_link_init(&n->links[i], random, pool, now_us);
		n->links[i].too_big = too_big;
		n->links[i].cut = cut;
		n->links[i].ctx = n;
	}
}

void sim_net_configure(struct sim_net *n, unsigned host, struct stack_config *c)
{
	mac_put(c->mac, host + 1);
	stack_config_add(c, sim_net_address(n, host), n->v6 ? 64 : 24);
	c->vlan = n->vlan;
	c->offload_flags = n->ports[host].offload_flags;
	c->tso_segments_max = TSO_SEGMENTS_MAX;
	if (n->routed && !n->v6)
		c->gateway_v4 = router_of(n, host).address;
	else if (n->routed && !n->advertised)
		c->gateway_v6 = router_of(n, host).link_local;
	c->tx = tx;
	c->tx_ctx = &n->ports[host];
}

void sim_net_forge(struct sim_net *n, unsigned to, const struct ip_addr *src, const uint8_t *tcp,
	uint16_t bytes, bool other_vlan)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(n->pool);
	struct ip_addr dst = sim_net_address(n, to);

	if (!m)
		return;
	memcpy(rte_pktmbuf_append(m, bytes), tcp, bytes);
	sim_router_ip_prepend(m, src, &dst, 6);
	uint8_t *p = (uint8_t *)rte_pktmbuf_prepend(m, 14);
	mac_put(p, to + 1);
	mac_put(p + 6, ROUTER);
	wire_put16(p + 12, n->v6 ? TYPE_IPV6 : TYPE_IPV4);
	*sim_mark(m) = 0;
	send_take(n, to, m, other_vlan ? n->vlan ^ 1 : n->vlan);
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
	for (unsigned i = 0; i < n->hosts; i++) {
		sim_link_clear(&n->links[i]);
		sim_port_clear(&n->ports[i]);
	}
}
