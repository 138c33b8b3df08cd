/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/neighbour.h"

#include <errno.h>
#include <stdlib.h>

static struct cds_list_head *bucket_of(struct stack *s, const struct ip_addr *a)
{
	uint64_t h = (a->word[0] ^ a->word[1] ^ s->config.key.k1) * 0x9e3779b97f4a7c15ull;

	return &s->neighbour_buckets[h >> 32 & s->neighbour_mask];
}

struct neighbour *neighbour_find(struct stack *s, const struct ip_addr *addr)
{
	struct neighbour *e;

	cds_list_for_each_entry (e, bucket_of(s, addr), bucket_link)
		if (ip_equal(&e->addr, addr))
			return e;
	return NULL;
}

static bool unsure(const struct neighbour *e)
{
	return e->state == NEIGHBOUR_DELAY || e->state == NEIGHBOUR_PROBE;
}

static void set_state(struct stack *s, struct neighbour *e, enum neighbour_state state)
{
	s->neighbours_unsure -= unsure(e);
	e->state = (uint8_t)state;
	s->neighbours_unsure += unsure(e);
}

static void entry_remove(struct stack *s, struct neighbour *e)
{
	s->neighbour_pending -= e->pending_count;
	for (unsigned i = 0; i < e->pending_count; i++)
		DROP(s, e->pending[i], neighbour_pending_dropped);
	if (e->state != NEIGHBOUR_INCOMPLETE) /* else it is in none */
		memset(s->hops, 0, sizeof(s->hops));
	set_state(s, e, NEIGHBOUR_INCOMPLETE);
	timer_cancel(&s->wheel, &e->timer);
	cds_list_del(&e->bucket_link);
	cds_list_del(&e->age_link);
	pool_give(s->neighbour_pool, e);
}

/* Gateways are never held back, and never give way. */
static bool is_gateway(const struct stack *s, const struct neighbour *e)
{
	return ip_equal(&e->addr, &s->config.gateway_v4) || ip_equal(&e->addr, &s->config.gateway_v6) ||
	       nd_is_router(s, &e->addr);
}

/* Made-up neighbours cost a broadcast each: so many a second, all together. */
static bool solicit_allowed(struct stack *s, const struct neighbour *e)
{
	uint64_t second = s->now_us / 1000000;

	if (e->state != NEIGHBOUR_INCOMPLETE || is_gateway(s, e))
		return true;
	if (second != s->solicit_second) {
		s->solicit_second = second;
		s->solicits_left = NEIGHBOUR_SOLICITS_PER_S;
	}
	if (!s->solicits_left) {
		COUNT(s, neighbour_solicit_limited);
		return false;
	}
	s->solicits_left--;
	return true;
}

static void entry_solicit(struct stack *s, struct neighbour *e)
{
	const uint8_t *mac = e->state == NEIGHBOUR_PROBE ? e->mac : NULL;
	bool v4 = ip_is_v4(&e->addr);
	uint32_t after_us = v4 ? NEIGHBOUR_RETRANS_US : s->nd.retrans_us;

	if (v4 && e->solicits == 0)
		after_us = NEIGHBOUR_ARP_FIRST_US;
	timer_arm(&s->wheel, &e->timer, s->now_us + after_us);
	e->solicits++;
	if (!solicit_allowed(s, e))
		return;
	if (v4)
		arp_solicit(s, &e->addr, mac);
	else
		nd_solicit(s, &e->addr, mac);
}

static void entry_fire(struct timer *t, uint64_t now_us)
{
	struct neighbour *e = caa_container_of(t, struct neighbour, timer);
	struct stack *s = e->stack;

	switch (e->state) {
	case NEIGHBOUR_REACHABLE:
		set_state(s, e, NEIGHBOUR_STALE);
		timer_arm(&s->wheel, &e->timer, now_us + s->config.arp_lifetime_us);
		return;
	case NEIGHBOUR_STALE: /* nobody used it */
		entry_remove(s, e);
		return;
	case NEIGHBOUR_DELAY:
		set_state(s, e, NEIGHBOUR_PROBE);
		e->solicits = 0;
		break;
	}
	if (e->solicits >= NEIGHBOUR_SOLICITS_MAX) {
		COUNT(s, neighbour_failed);
		for (unsigned i = 0; i < e->pending_count; i++)
			icmp_undelivered(s, e->pending[i]); /* RFC 4861 section 7.2.2 */
		nd_router_failed(s, &e->addr);
		entry_remove(s, e);
		return;
	}
	entry_solicit(s, e);
}

/* The one to give way when all are taken. Those that still resolve come first: whoever sends from made-up
 * addresses fills the table with them, and must displace neither who is there nor who comes next. NULL when
 * there is nothing else. */
static struct neighbour *entry_oldest(struct stack *s)
{
	struct cds_list_head *lists[] = {&s->neighbours_resolving, &s->neighbours_by_age};
	struct neighbour *e;

	for (unsigned i = 0; i < 2; i++)
		cds_list_for_each_entry (e, lists[i], age_link)
			if (!is_gateway(s, e))
				return e;
	return NULL;
}

struct neighbour *neighbour_find_or_add(struct stack *s, const struct ip_addr *addr)
{
	struct neighbour *e = neighbour_find(s, addr);

	if (e)
		return e;
	e = pool_take(s->neighbour_pool);
	struct neighbour *old = e ? NULL : entry_oldest(s);
	if (old) {
		COUNT(s, neighbour_evicted);
		entry_remove(s, old);
		e = pool_take(s->neighbour_pool);
	}
	if (!e) {
		COUNT(s, neighbour_full);
		return NULL;
	}
	*e = (struct neighbour){.stack = s, .addr = *addr, .state = NEIGHBOUR_INCOMPLETE};
	timer_init(&e->timer, entry_fire);
	cds_list_add(&e->bucket_link, bucket_of(s, addr));
	cds_list_add_tail(&e->age_link, &s->neighbours_resolving);
	return e;
}

/* RFC 4861 section 6.3.2: half to one and a half of the base, so that neighbours do not ask in step. */
static uint64_t lifetime_us(struct stack *s, const struct neighbour *e)
{
	uint32_t base = s->nd.reachable_us ? s->nd.reachable_us : s->config.arp_lifetime_us;

	if (ip_is_v4(&e->addr))
		return s->config.arp_lifetime_us;
	return base / 2 + stack_random(s) % ((uint64_t)base + 1);
}

void neighbour_set(struct stack *s, struct neighbour *e, const uint8_t mac[6], enum neighbour_state state)
{
	unsigned n = e->pending_count;

	memmove(e->mac, mac, 6);
	set_state(s, e, state);
	e->solicits = 0;
	e->pending_count = 0;
	s->neighbour_pending -= n;
	cds_list_del(&e->age_link);
	cds_list_add_tail(&e->age_link, &s->neighbours_by_age);
	timer_arm(&s->wheel, &e->timer,
		s->now_us + (state == NEIGHBOUR_REACHABLE ? lifetime_us(s, e) : s->config.arp_lifetime_us));
	for (unsigned i = 0; i < n; i++)
		neighbour_output_take(s, e->pending[i], &e->addr);
}

void neighbour_heard(struct stack *s, const struct ip_addr *addr, const uint8_t mac[6])
{
	if (s->config.neighbour_learned)
		s->config.neighbour_learned(s->config.neighbour_ctx, addr, mac);
}

void stack_neighbour_learn(struct stack *s, const struct ip_addr *addr, const uint8_t mac[6], uint64_t now_us)
{
	if (now_us > s->now_us)
		s->now_us = now_us;
	struct neighbour *e = neighbour_find(s, addr);
	struct pool_stats p = pool_stats(s->neighbour_pool);
	/* What another core heard displaces nobody here. */
	if (!e && p.used < p.capacity && neighbour_possible(s, addr))
		e = neighbour_find_or_add(s, addr);
	if (e)
		neighbour_set(s, e, mac, NEIGHBOUR_REACHABLE);
}

bool neighbour_possible(const struct stack *s, const struct ip_addr *addr)
{
	if (ip_is_unspecified(addr) || ip_is_multicast(addr) || ip_is_configured(s, addr))
		return false;
	if (ip_equal(addr, &s->config.gateway_v4) || ip_equal(addr, &s->config.gateway_v6))
		return true;
	return ip_is_v4(addr) ? ip_on_link(s, addr) != NULL : ipv6_is_on_link(s, addr);
}

/* RFC 1122 section 2.3.2.2, RFC 4861 section 7.2.2: the latest wait, the oldest gives way. False where others
 * hold all that may wait. */
static bool pending_room(struct stack *s, struct neighbour *e)
{
	bool full = s->neighbour_pending >= s->neighbour_pending_max;

	if (!full && e->pending_count < NEIGHBOUR_PENDING_MAX)
		return true;
	if (!e->pending_count)
		return false;
	DROP(s, e->pending[0], neighbour_pending_dropped);
	s->neighbour_pending--;
	e->pending_count--;
	memmove(e->pending, e->pending + 1, e->pending_count * sizeof(e->pending[0]));
	return true;
}

void neighbour_output_take(struct stack *s, struct rte_mbuf *m, const struct ip_addr *next_hop)
{
	struct neighbour *e = neighbour_find_or_add(s, next_hop);

	if (e && e->state != NEIGHBOUR_INCOMPLETE) {
		if (e->state == NEIGHBOUR_STALE) {
			set_state(s, e, NEIGHBOUR_DELAY);
			timer_arm(&s->wheel, &e->timer, s->now_us + NEIGHBOUR_DELAY_US);
		}
		eth_output_take(s, m, e->mac, ip_is_v4(next_hop) ? ETH_TYPE_IPV4 : ETH_TYPE_IPV6);
		return;
	}
	if (e && pending_room(s, e)) {
		e->pending[e->pending_count++] = m;
		s->neighbour_pending++;
	} else {
		DROP(s, m, neighbour_pending_dropped);
	}
	if (e && !timer_armed(&e->timer))
		entry_solicit(s, e);
}

struct neighbour *neighbour_hop_learn(struct stack *s, struct neighbour_hop *hop, const struct ip_addr *dst)
{
	struct ip_addr next_hop;
	struct neighbour *e = ip_next_hop(s, dst, &next_hop) ? neighbour_find(s, &next_hop) : NULL;

	if (!e || e->state == NEIGHBOUR_INCOMPLETE || e->state == NEIGHBOUR_STALE)
		return NULL;
	*hop = (struct neighbour_hop){.dst = *dst, .neighbour = e};
	return e;
}

void neighbour_confirm_slow(struct stack *s, const struct ip_addr *dst)
{
	struct ip_addr next_hop;
	struct neighbour *e = ip_next_hop(s, dst, &next_hop) ? neighbour_find(s, &next_hop) : NULL;

	if (e && unsure(e))
		neighbour_set(s, e, e->mac, NEIGHBOUR_REACHABLE);
}

void neighbour_doubt(struct stack *s, const struct ip_addr *dst)
{
	struct ip_addr next_hop;
	struct neighbour *e = ip_next_hop(s, dst, &next_hop) ? neighbour_find(s, &next_hop) : NULL;

	if (e && e->state == NEIGHBOUR_REACHABLE)
		neighbour_set(s, e, e->mac, NEIGHBOUR_STALE);
}

int neighbour_init(struct stack *s)
{
	uint32_t buckets = 16;

	while (buckets < s->config.arp_max)
		buckets *= 2;
	s->neighbour_mask = buckets - 1;
	s->neighbour_buckets = calloc(buckets, sizeof(*s->neighbour_buckets));
	s->neighbour_pool = pool_create(
		"neighbours", sizeof(struct neighbour), s->config.arp_max, s->config.memory);
	if (!s->neighbour_buckets || !s->neighbour_pool)
		return -ENOMEM;
	for (uint32_t i = 0; i < buckets; i++)
		CDS_INIT_LIST_HEAD(&s->neighbour_buckets[i]);
	/* Frames that wait pin transmit buffers, or received ones: a quarter of the former at most. */
	s->neighbour_pending_max = max_u32(s->config.tx_pool->size / 4, NEIGHBOUR_PENDING_MAX);
	s->solicit_second = UINT64_MAX;
	return 0;
}

void neighbour_fini(struct stack *s)
{
	struct cds_list_head *lists[] = {&s->neighbours_resolving, &s->neighbours_by_age};
	struct neighbour *e, *next;

	if (s->neighbour_pool) {
		for (unsigned i = 0; i < 2; i++)
			cds_list_for_each_entry_safe (e, next, lists[i], age_link)
				entry_remove(s, e);
		pool_destroy(s->neighbour_pool);
	}
	free(s->neighbour_buckets);
}
