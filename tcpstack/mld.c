/* SPDX-License-Identifier: Apache-2.0 */
/* Multicast listener discovery, a listener's part (RFC 3810, RFC 3590): switches pass the solicitations for
 * our addresses on only where they know who listens to their groups. One report names all of them: twice when
 * an address begins to be tested or the link comes up, and in answer to a query; for routers of the first
 * version (RFC 2710) one report a group. */
#include "tcpstack/checksum.h"
#include "tcpstack/nd.h"

enum {
	MLD_REPORT = 143,
	MLD_V1_REPORT = 131,
	MLD_V1_BYTES = 24,     /* of its messages; queries of the second version are longer */
	MLD_V1_US = 260000000, /* RFC 3810 section 9.12: the robustness variable's queries, and an answer's
				  time */
	REPORTS = 2,	       /* the robustness variable */
	REPORT_US = 1000000,
	RECORD_BYTES = 20,
	TO_EXCLUDE = 4, /* "from now on everything", and "everything" in answer to a query */
	IS_EXCLUDE = 2,
	DELAY_MS_MAX = 10000,
};

static const struct ip_addr all_mld_routers = {.bytes = {0xff, 2, [15] = 0x16}};

static bool group_is_new(const struct stack *s, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (!ip_is_v4(&s->own[k].address) &&
			!memcmp(s->own[k].address.bytes + 13, s->own[i].address.bytes + 13, 3))
			return false;
	return !ip_is_v4(&s->own[i].address);
}

/* Whether a query asks for the group of address i: only once for each group. */
static bool group_asked(const struct stack *s, unsigned i)
{
	struct ip_addr group = nd_solicited_node(&s->own[i].address);

	return group_is_new(s, i) &&
	       (ip_is_unspecified(&s->nd.mld_asked) || ip_equal(&s->nd.mld_asked, &group));
}

/* A record a group; returns the bytes. */
static uint32_t report_fill(const struct stack *s, uint8_t *p, uint8_t kind)
{
	uint32_t n = 8;
	uint16_t records = 0;

	for (unsigned i = 0; i < s->own_count; i++) {
		if (!group_asked(s, i))
			continue;
		struct ip_addr group = nd_solicited_node(&s->own[i].address);
		memset(p + n, 0, 4);
		p[n] = kind;
		memcpy(p + n + 4, group.bytes, 16);
		n += RECORD_BYTES;
		records++;
	}
	memset(p, 0, 8);
	p[0] = MLD_REPORT;
	wire_put16(p + 6, records);
	return n;
}

static struct rte_mbuf *report_alloc(struct stack *s)
{
	struct rte_mbuf *m = stack_tx_alloc(s);

	if (m)
		rte_pktmbuf_append(m, 8 + 8 + IP_OWN_MAX * RECORD_BYTES);
	return m;
}

/* Behind 8 bytes for the options stand n of the message. */
static void report_send_take(struct stack *s, struct rte_mbuf *m, const struct ip_addr *dst, uint32_t n)
{
	static const struct ip_addr nowhere;
	const struct ip_addr *src = ip_source_for(s, &nd_link_local);
	struct ip_send to = {.src = src ? *src : nowhere, .dst = *dst, .hop_limit = 1};
	uint8_t *p = frame_data(m), group_mac[6] = {0x33, 0x33};

	uint64_t sum = checksum_pseudo(&to.src, &to.dst, IP_PROTOCOL_ICMPV6, n);
	wire_put16(p + 10, (uint16_t)~checksum_fold(checksum_add(sum, p + 8, n)));
	/* Hop-by-hop options: a router alert (RFC 2711), and padding. */
	memcpy(p, (uint8_t[]){IP_PROTOCOL_ICMPV6, 0, 5, 2, 0, 0, 1, 0}, 8);
	frame_truncate(m, 8 + n);
	COUNT(s, mld_reports_out);
	ipv6_header_put(s, m, &to); /* protocol 0: hop-by-hop options */
	memcpy(group_mac + 2, dst->bytes + 12, 4);
	eth_output_take(s, m, group_mac, ETH_TYPE_IPV6);
}

/* RFC 3810 section 8.2.1: to each group by itself. */
static void report_v1(struct stack *s)
{
	for (unsigned i = 0; i < s->own_count; i++) {
		struct rte_mbuf *m = group_asked(s, i) ? report_alloc(s) : NULL;
		if (!m)
			continue;
		struct ip_addr group = nd_solicited_node(&s->own[i].address);
		uint8_t *p = frame_data(m) + 8;
		memset(p, 0, 8);
		p[0] = MLD_V1_REPORT;
		memcpy(p + 8, group.bytes, 16);
		report_send_take(s, m, &group, MLD_V1_BYTES);
	}
}

static void report_send(struct stack *s, uint8_t kind)
{
	if (s->now_us < s->nd.mld_v1_until_us) {
		report_v1(s);
		return;
	}
	struct rte_mbuf *m = report_alloc(s);
	if (m)
		report_send_take(s, m, &all_mld_routers, report_fill(s, frame_data(m) + 8, kind));
}

static void mld_fire(struct timer *t, uint64_t now_us)
{
	struct stack *s = caa_container_of(t, struct stack, nd.mld_timer);

	report_send(s, s->nd.mld_left ? TO_EXCLUDE : IS_EXCLUDE);
	if (s->nd.mld_left && --s->nd.mld_left)
		timer_arm(&s->wheel, t, now_us + 1 + stack_random(s) % REPORT_US);
}

void mld_announce(struct stack *s)
{
	if (!s->config.mld || !s->has_ipv6 || s->config.passive)
		return;
	s->nd.mld_left = REPORTS;
	s->nd.mld_asked = (struct ip_addr){0};
	timer_arm(&s->wheel, &s->nd.mld_timer, s->now_us);
}

static bool group_is_ours(const struct stack *s, const struct ip_addr *group)
{
	for (unsigned i = 0; i < s->own_count; i++) {
		struct ip_addr own = nd_solicited_node(&s->own[i].address);
		if (!ip_is_v4(&s->own[i].address) && ip_equal(&own, group))
			return true;
	}
	return false;
}

/* Section 6.2: an answer is due after_us from now at the latest, and one answers several. */
static void answer_later(struct stack *s, const struct ip_addr *group, uint64_t after_us)
{
	struct timer *t = &s->nd.mld_timer;
	uint64_t at_us = s->now_us + after_us;

	if (!timer_armed(t))
		s->nd.mld_asked = *group;
	else if (!ip_equal(&s->nd.mld_asked, group))
		s->nd.mld_asked = (struct ip_addr){0};
	if (!timer_armed(t) || at_us < t->expires_us)
		timer_arm(&s->wheel, t, at_us);
}

void mld_query_take(struct stack *s, struct rte_mbuf *m, const struct ip_packet *ip)
{
	const uint8_t *p = frame_data(m);

	if (!s->config.mld || m->data_len < MLD_V1_BYTES || ip->hop_limit != 1 ||
		!ip_is_link_local(&ip->src)) {
		DROP(s, m, icmp_other);
		return;
	}
	if (s->config.passive) {
		DROP(s, m, answered_elsewhere);
		return;
	}
	struct ip_addr group = ip_v6(p + 8);
	if (ip->length == MLD_V1_BYTES)
		s->nd.mld_v1_until_us = s->now_us + MLD_V1_US;
	if (!ip_is_unspecified(&group) && !group_is_ours(s, &group)) {
		DROP(s, m, icmp_other);
		return;
	}
	COUNT(s, mld_queries_in);
	uint64_t limit_us = 1000 * (uint64_t)min_u32(wire_get16(p + 4), DELAY_MS_MAX);
	answer_later(s, &group, stack_random(s) % (limit_us + 1));
	rte_pktmbuf_free(m);
}

void mld_init(struct stack *s)
{
	timer_init(&s->nd.mld_timer, mld_fire);
	mld_announce(s);
}
