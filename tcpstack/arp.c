/* SPDX-License-Identifier: Apache-2.0 */
/* ARP (RFC 826, RFC 1122 section 2.3.2, RFC 5227's announcement) and the cache of neighbours. An entry is
 * resolving (no address yet, a few frames wait for it), valid, or refreshing (in use while its address is
 * asked for again). One timer an entry drives all three. */
#include <errno.h>
#include <stdlib.h>

#include "tcpstack/stack_impl.h"

enum {
	ARP_BYTES = 28,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
	ARP_PENDING_MAX = 16,	  /* frames that wait for one neighbour */
	ARP_REQUESTS_MAX = 3,	  /* unanswered, before the neighbour is given up */
	ARP_REQUEST_US = 1000000, /* between requests: RFC 1122 allows one a second */
	ARP_FIRST_US = 200000,	  /* before the second request: the first is often lost with a cold link */
};

enum arp_state { ARP_RESOLVING, ARP_VALID, ARP_REFRESHING };

struct arp_entry {
	struct cds_list_head bucket_link, age_link;
	struct timer timer;
	struct stack *stack;
	uint32_t ipv4;
	uint8_t mac[6];
	uint8_t state;
	uint8_t requests; /* unanswered */
	uint8_t pending_count;
	bool used; /* since it became valid */
	struct rte_mbuf *pending[ARP_PENDING_MAX];
};

static struct cds_list_head *bucket_of(struct stack *s, uint32_t ipv4)
{
	return &s->arp_buckets[(ipv4 * 2654435761u >> 16) & s->arp_mask];
}

static struct arp_entry *entry_find(struct stack *s, uint32_t ipv4)
{
	struct arp_entry *e;

	cds_list_for_each_entry (e, bucket_of(s, ipv4), bucket_link)
		if (e->ipv4 == ipv4)
			return e;
	return NULL;
}

static void entry_remove(struct stack *s, struct arp_entry *e)
{
	for (unsigned i = 0; i < e->pending_count; i++)
		DROP(s, e->pending[i], arp_pending_dropped);
	timer_cancel(&s->wheel, &e->timer);
	cds_list_del(&e->bucket_link);
	cds_list_del(&e->age_link);
	pool_give(s->arp_pool, e);
}

/* Writes an ARP packet into the empty mbuf m and sends it. */
static void arp_send_take(struct stack *s, struct rte_mbuf *m, uint16_t op, uint32_t sender,
	const uint8_t eth_dst[6], const uint8_t target_mac[6], uint32_t target)
{
	uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, ARP_BYTES);

	MUST(p);
	wire_put16(p, 1);
	wire_put16(p + 2, ETH_TYPE_IPV4);
	p[4] = 6;
	p[5] = 4;
	wire_put16(p + 6, op);
	memcpy(p + 8, s->config.mac, 6);
	wire_put32(p + 14, sender);
	memcpy(p + 18, target_mac, 6);
	wire_put32(p + 24, target);
	eth_output_take(s, m, eth_dst, ETH_TYPE_ARP);
}

static int arp_request(struct stack *s, uint32_t sender, const uint8_t eth_dst[6], uint32_t target)
{
	static const uint8_t unknown[6];
	struct rte_mbuf *m = stack_tx_alloc(s);

	if (!m)
		return -ENOBUFS;
	COUNT(s, arp_requests_out);
	arp_send_take(s, m, ARP_REQUEST, sender, eth_dst, unknown, target);
	return 0;
}

static const uint8_t everyone[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

int arp_announce(struct stack *s)
{
	for (unsigned i = 0; i < s->config.address_count; i++) {
		const struct ip_addr *own = &s->config.addresses[i].address;
		if (ip_is_v4(own) && arp_request(s, ip_to_v4(own), everyone, ip_to_v4(own)))
			return -ENOBUFS;
	}
	return 0;
}

/* Asks (again) for an entry's address: the known one first, then everyone. */
static void entry_ask(struct stack *s, struct arp_entry *e)
{
	bool direct = e->state == ARP_REFRESHING && e->requests == 0;

	struct ip_addr target = ip_v4(e->ipv4);

	arp_request(s, ip_to_v4(ip_source_for(s, &target)), direct ? e->mac : everyone, e->ipv4);
	timer_arm(&s->wheel, &e->timer, s->now_us + (e->requests == 0 ? ARP_FIRST_US : ARP_REQUEST_US));
	e->requests++;
}

static void entry_fire(struct timer *t, uint64_t now_us)
{
	struct arp_entry *e = caa_container_of(t, struct arp_entry, timer);
	struct stack *s = e->stack;

	if (e->state == ARP_VALID) {
		if (!e->used) {
			entry_remove(s, e);
			return;
		}
		e->state = ARP_REFRESHING;
		e->requests = 0;
	}
	if (e->requests >= ARP_REQUESTS_MAX) {
		COUNT(s, arp_failed);
		entry_remove(s, e);
		return;
	}
	entry_ask(s, e);
}

/* The one to give way when all are taken. Those that still resolve come first: whoever sends from made-up
 * addresses fills the table with them, and must displace neither who is there nor who comes next. The gateway
 * stays. NULL when there is nothing else. */
static struct arp_entry *entry_oldest(struct stack *s)
{
	struct cds_list_head *lists[] = {&s->arp_resolving, &s->arp_by_age};
	uint32_t gateway = ip_to_v4(&s->config.gateway_v4);
	struct arp_entry *e;

	for (unsigned i = 0; i < 2; i++)
		cds_list_for_each_entry (e, lists[i], age_link)
			if (e->ipv4 != gateway)
				return e;
	return NULL;
}

/* A new entry, in place of another when all are taken; NULL without any. */
static struct arp_entry *entry_add(struct stack *s, uint32_t ipv4)
{
	struct arp_entry *e = pool_take(s->arp_pool), *old = e ? NULL : entry_oldest(s);

	if (old) {
		COUNT(s, arp_evicted);
		entry_remove(s, old);
		e = pool_take(s->arp_pool);
	}
	if (!e) {
		COUNT(s, arp_full);
		return NULL;
	}
	*e = (struct arp_entry){.stack = s, .ipv4 = ipv4, .state = ARP_RESOLVING};
	timer_init(&e->timer, entry_fire);
	cds_list_add(&e->bucket_link, bucket_of(s, ipv4));
	cds_list_add_tail(&e->age_link, &s->arp_resolving);
	return e;
}

static void entry_confirm(struct stack *s, struct arp_entry *e, const uint8_t mac[6])
{
	unsigned n = e->pending_count;

	memcpy(e->mac, mac, 6);
	e->state = ARP_VALID;
	e->requests = 0;
	e->used = n != 0;
	e->pending_count = 0;
	cds_list_del(&e->age_link);
	cds_list_add_tail(&e->age_link, &s->arp_by_age);
	timer_arm(&s->wheel, &e->timer, s->now_us + s->config.arp_lifetime_us);
	for (unsigned i = 0; i < n; i++)
		eth_output_take(s, e->pending[i], mac, ETH_TYPE_IPV4);
}

/* True when another station on our link may have this address. */
static bool neighbour_possible(const struct stack *s, uint32_t ipv4)
{
	struct ip_addr a = ip_v4(ipv4);

	return ip_equal(&a, &s->config.gateway_v4) || ip_on_link(s, &a);
}

void arp_input_take(struct stack *s, struct rte_mbuf *m)
{
	const uint8_t *p = frame_data(m);

	if (m->data_len < ARP_BYTES || wire_get16(p) != 1 || wire_get16(p + 2) != ETH_TYPE_IPV4 ||
		p[4] != 6 || p[5] != 4 || (p[8] & 1)) {
		DROP(s, m, arp_malformed);
		return;
	}
	uint16_t op = wire_get16(p + 6);
	uint8_t sender_mac[6];
	memcpy(sender_mac, p + 8, 6);
	uint32_t sender = wire_get32(p + 14), target = wire_get32(p + 24);
	struct ip_addr sender_ip = ip_v4(sender), target_ip = ip_v4(target);
	if (ip_is_ours(s, &sender_ip)) {
		DROP(s, m, arp_conflict);
		return;
	}
	/* RFC 826: known senders are brought up to date by any packet, new ones noted when they talk to us. A
	 * probe (sender 0) says nothing about anyone. */
	bool for_us = ip_is_ours(s, &target_ip);
	if (sender != 0 && neighbour_possible(s, sender)) {
		struct arp_entry *e = entry_find(s, sender);
		if (!e && for_us && op == ARP_REQUEST)
			e = entry_add(s, sender);
		if (e) {
			entry_confirm(s, e, sender_mac);
			if (op == ARP_REPLY)
				COUNT(s, arp_replies_in);
		}
	}
	if (op != ARP_REQUEST || !for_us) {
		if (!for_us)
			COUNT(s, arp_not_ours);
		rte_pktmbuf_free(m);
		return;
	}
	/* The request's own buffer carries the reply, so that we answer when pools are empty. */
	COUNT(s, arp_requests_in);
	if (m->nb_segs > 1) {
		rte_pktmbuf_free(m->next);
		m->next = NULL;
		m->nb_segs = 1;
	}
	m->data_len = 0;
	m->pkt_len = 0;
	m->ol_flags = 0;
	arp_send_take(s, m, ARP_REPLY, target, sender_mac, sender_mac, sender);
}

void arp_output_take(struct stack *s, struct rte_mbuf *m, uint32_t next_hop)
{
	struct arp_entry *e = entry_find(s, next_hop);

	if (e && e->state != ARP_RESOLVING) {
		e->used = true;
		eth_output_take(s, m, e->mac, ETH_TYPE_IPV4);
		return;
	}
	bool created = !e;
	if (created)
		e = entry_add(s, next_hop);
	if (!e || e->pending_count == ARP_PENDING_MAX) {
		DROP(s, m, arp_pending_dropped);
		return;
	}
	e->pending[e->pending_count++] = m;
	if (created)
		entry_ask(s, e);
}

int arp_init(struct stack *s)
{
	uint32_t buckets = 16;

	while (buckets < s->config.arp_max)
		buckets *= 2;
	s->arp_mask = buckets - 1;
	s->arp_buckets = calloc(buckets, sizeof(*s->arp_buckets));
	s->arp_pool = pool_create("arp", sizeof(struct arp_entry), s->config.arp_max, s->config.memory);
	if (!s->arp_buckets || !s->arp_pool)
		return -ENOMEM;
	for (uint32_t i = 0; i < buckets; i++)
		CDS_INIT_LIST_HEAD(&s->arp_buckets[i]);
	return 0;
}

void arp_fini(struct stack *s)
{
	struct arp_entry *e, *next;

	if (s->arp_pool) {
		cds_list_for_each_entry_safe (e, next, &s->arp_by_age, age_link)
			entry_remove(s, e);
		cds_list_for_each_entry_safe (e, next, &s->arp_resolving, age_link)
			entry_remove(s, e);
		pool_destroy(s->arp_pool);
	}
	free(s->arp_buckets);
}
