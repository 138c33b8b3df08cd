/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbour discovery (RFC 4861): messages, their checks, solicitations and advertisements. Redirects are
 * ignored: a router that would rather not carry our frames will, and who forges one gets nothing. */
#include "tcpstack/nd.h"

#include <errno.h>

#include "tcpstack/checksum.h"

const struct ip_addr nd_all_nodes = {.bytes = {0xff, 2, [15] = 1}};
const struct ip_addr nd_link_local = {.bytes = {0xfe, 0x80}};
const struct ip_addr nd_all_routers = {.bytes = {0xff, 2, [15] = 2}};

struct ip_addr nd_solicited_node(const struct ip_addr *a)
{
	struct ip_addr group = {.bytes = {0xff, 2, [11] = 1, [12] = 0xff}};

	memcpy(group.bytes + 13, a->bytes + 13, 3);
	return group;
}

bool nd_options_parse(struct nd_options *o, const uint8_t *p, uint32_t n)
{
	*o = (struct nd_options){0};
	while (n) {
		uint32_t length = n < 8 ? 0 : p[1] * 8u;
		if (length == 0 || length > n)
			return false;
		if (p[0] == ND_OPTION_SOURCE_MAC)
			o->source_mac = p + 2;
		else if (p[0] == ND_OPTION_TARGET_MAC)
			o->target_mac = p + 2;
		else if (p[0] == ND_OPTION_MTU)
			o->mtu = wire_get32(p + 4);
		else if (p[0] == ND_OPTION_PREFIX && length == 32 && o->prefix_count < ND_PREFIXES_MAX)
			o->prefix[o->prefix_count++] = p;
		p += length;
		n -= length;
	}
	/* A station's address is not a group's. */
	return !(o->source_mac && (o->source_mac[0] & 1)) && !(o->target_mac && (o->target_mac[0] & 1));
}

void nd_send_take(struct stack *s, struct rte_mbuf *m, const struct nd_message *g)
{
	uint16_t n = (uint16_t)(8 + (g->target ? 16 : 0) + (g->option ? 8 : 0));
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, n), *at = p + 8;
	struct ip_send to = {
		.src = g->src, .dst = g->dst, .protocol = IP_PROTOCOL_ICMPV6, .hop_limit = ND_HOP_LIMIT};

	MUST(p);
	memset(p, 0, 8);
	p[0] = g->type;
	p[4] = g->flags;
	if (g->target) {
		memcpy(at, g->target->bytes, 16);
		at += 16;
	}
	if (g->option) {
		at[0] = g->option;
		at[1] = 1;
		memcpy(at + 2, s->config.mac, 6);
	}
	uint64_t sum = checksum_pseudo(&to.src, &to.dst, IP_PROTOCOL_ICMPV6, n);
	wire_put16(p + 2, (uint16_t)~checksum_fold(checksum_add(sum, p, n)));
	if (!g->eth_dst && !ip_is_multicast(&g->dst)) {
		ip_output_take(s, m, &to);
		return;
	}
	ipv6_header_put(s, m, &to);
	uint8_t group[6] = {0x33, 0x33};
	memcpy(group + 2, g->dst.bytes + 12, 4); /* RFC 2464 section 7 */
	eth_output_take(s, m, g->eth_dst ? g->eth_dst : group, ETH_TYPE_IPV6);
}

int nd_send(struct stack *s, const struct nd_message *message)
{
	struct rte_mbuf *m = stack_tx_alloc(s);

	if (!m)
		return -ENOBUFS;
	nd_send_take(s, m, message);
	return 0;
}

void nd_solicit(struct stack *s, const struct ip_addr *addr, const uint8_t *mac_or_null)
{
	const struct ip_addr *src = ip_source_for(s, addr);

	if (!src) {
		COUNT(s, ip_no_route);
		return;
	}
	COUNT(s, nd_solicits_out);
	nd_send(s, &(struct nd_message){.type = ND_NEIGHBOUR_SOLICIT,
			   .target = addr,
			   .src = *src,
			   .dst = mac_or_null ? *addr : nd_solicited_node(addr),
			   .option = ND_OPTION_SOURCE_MAC,
			   .eth_dst = mac_or_null});
}

static struct ip_own *own_find(struct stack *s, const struct ip_addr *a)
{
	for (unsigned i = 0; i < s->own_count; i++)
		if (ip_equal(&s->own[i].address, a))
			return &s->own[i];
	return NULL;
}

/* RFC 4861 section 7.1.1: what holds for a solicitation from nowhere. */
static bool solicit_good(const struct ip_packet *ip, const struct ip_addr *target, const struct nd_options *o)
{
	struct ip_addr group = nd_solicited_node(target);

	if (ip_is_multicast(target))
		return false;
	return !ip_is_unspecified(&ip->src) || (ip_equal(&ip->dst, &group) && !o->source_mac);
}

/* Section 7.2.3: who asks for us will be talked to. */
static void solicitor_learn(struct stack *s, const struct ip_addr *src, const uint8_t mac[6])
{
	struct neighbour *e = neighbour_possible(s, src) ? neighbour_find_or_add(s, src) : NULL;

	if (!e)
		return;
	if (e->state == NEIGHBOUR_INCOMPLETE || memcmp(e->mac, mac, 6))
		neighbour_set(s, e, mac, NEIGHBOUR_STALE);
	neighbour_heard(s, src, mac);
}

static void solicit_take(
	struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip, const struct nd_options *o)
{
	struct ip_addr target = ip_v6(frame_data(m) + 8), src = ip->src;
	struct ip_own *own = own_find(s, &target);
	bool nowhere = ip_is_unspecified(&src);
	uint8_t mac[6];

	if (!solicit_good(ip, &target, o)) {
		DROP(s, m, nd_malformed);
		return;
	}
	if (!own || own->state != STACK_ADDRESS_USED) {
		if (own && own->state == STACK_ADDRESS_TENTATIVE && nowhere)
			nd_dad_duplicate(s, own); /* RFC 4862 section 5.4.3 */
		DROP(s, m, nd_not_ours);
		return;
	}
	bool has_mac = o->source_mac;
	if (has_mac) {
		memcpy(mac, o->source_mac, 6);
		solicitor_learn(s, &src, mac);
	}
	if (s->config.passive) {
		DROP(s, m, answered_elsewhere);
		return;
	}
	COUNT(s, nd_solicits_in);
	COUNT(s, nd_adverts_out);
	/* The question's own buffer carries the answer, so that we answer when pools are empty. */
	frame_empty(m);
	nd_send_take(s, m,
		&(struct nd_message){.type = ND_NEIGHBOUR_ADVERT,
			.flags = nowhere ? ND_NA_OVERRIDE : ND_NA_OVERRIDE | ND_NA_SOLICITED,
			.target = &target,
			.src = target,
			.dst = nowhere ? nd_all_nodes : src,
			.option = ND_OPTION_TARGET_MAC,
			.eth_dst = has_mac ? mac : NULL});
}

/* RFC 4861 section 7.2.5. */
static void advert_apply(struct stack *s, struct neighbour *e, uint8_t flags, const uint8_t *mac)
{
	bool solicited = flags & ND_NA_SOLICITED, differs = mac && memcmp(mac, e->mac, 6);

	if (e->state == NEIGHBOUR_INCOMPLETE) {
		if (mac)
			neighbour_set(s, e, mac, solicited ? NEIGHBOUR_REACHABLE : NEIGHBOUR_STALE);
		return;
	}
	if (differs && !(flags & ND_NA_OVERRIDE)) {
		if (e->state == NEIGHBOUR_REACHABLE)
			neighbour_set(s, e, e->mac, NEIGHBOUR_STALE);
		return;
	}
	if (solicited)
		neighbour_set(s, e, mac ? mac : e->mac, NEIGHBOUR_REACHABLE);
	else if (differs)
		neighbour_set(s, e, mac, NEIGHBOUR_STALE);
}

static void advert_take(
	struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip, const struct nd_options *o)
{
	struct ip_addr target = ip_v6(frame_data(m) + 8);
	uint8_t flags = frame_data(m)[4];
	struct ip_own *own = own_find(s, &target);

	if (ip_is_multicast(&target) || (ip_is_multicast(&ip->dst) && (flags & ND_NA_SOLICITED))) {
		DROP(s, m, nd_malformed);
		return;
	}
	if (own) {
		if (own->state == STACK_ADDRESS_TENTATIVE)
			nd_dad_duplicate(s, own);
		else if (own->state == STACK_ADDRESS_USED)
			nd_conflict(s, own);
		rte_pktmbuf_free(m);
		return;
	}
	/* Only who was asked for gets an entry: an advertisement makes none. Another core may have asked. */
	struct neighbour *e = neighbour_find(s, &target);
	if (o->target_mac && (flags & ND_NA_SOLICITED) && neighbour_possible(s, &target))
		neighbour_heard(s, &target, o->target_mac);
	if (!e) {
		DROP(s, m, nd_not_ours);
		return;
	}
	COUNT(s, nd_adverts_in);
	if (!(flags & ND_NA_ROUTER))
		nd_router_remove(s, &target);
	advert_apply(s, e, flags, o->target_mac);
	rte_pktmbuf_free(m);
}

/* Where a message's options begin. */
static uint32_t fixed_bytes(uint8_t type)
{
	return type == ND_ROUTER_SOLICIT ? 8 : type == ND_ROUTER_ADVERT ? 16 : type == ND_REDIRECT ? 40 : 24;
}

/* Sections 6.1 and 7.1; RFC 6980: never from fragments. The hop limit says that no router passed it on. */
void nd_input_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip)
{
	const uint8_t *p = frame_data(m);
	uint32_t fixed = fixed_bytes(p[0]);
	struct nd_options o;

	if (ip->length > m->data_len) {
		DROP(s, m, header_split);
		return;
	}
	if (ip->hop_limit != ND_HOP_LIMIT || p[1] != 0 || ip->fragmented || ip->length < fixed ||
		!nd_options_parse(&o, p + fixed, ip->length - fixed)) {
		DROP(s, m, nd_malformed);
		return;
	}
	switch (p[0]) {
	case ND_NEIGHBOUR_SOLICIT:
		solicit_take(s, m, ip, &o);
		return;
	case ND_NEIGHBOUR_ADVERT:
		advert_take(s, m, ip, &o);
		return;
	case ND_ROUTER_ADVERT:
		nd_router_advert_take(s, m, ip, &o);
		return;
	case ND_REDIRECT:
		DROP(s, m, nd_redirect_ignored);
		return;
	default: /* a router's business */
		DROP(s, m, nd_not_ours);
	}
}
