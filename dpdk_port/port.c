/* SPDX-License-Identifier: Apache-2.0 */
/* The path of frames, and what may be asked of a running port. */
#include "dpdk_port/port.h"
#include "dpdk_port/dpdk_version.h"
#include "dpdk_port/port_private.h"
#include "runtime/check.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <string.h>

enum { CARRY_BURSTS = 8 }; /* of other cores' frames, that a flush sends */

/* One writer, any reader: a plain addition that a reader on another core never sees half of. */
static inline void count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static unsigned device_receive(struct port *p, unsigned queue, struct rte_mbuf **frames, unsigned n)
{
	struct port_queue *q = &p->queue[queue];
	uint64_t bytes = 0;

	if (port_rests(p))
		return 0;
	if (p->rx_kick)
		p->rx_kick(p->signal);
	unsigned got = rte_eth_rx_burst(p->id, (uint16_t)queue, frames, (uint16_t)n);
	if (got == 0)
		return 0;
	for (unsigned i = 0; i < got; i++)
		bytes += frames[i]->pkt_len;
	count(&q->counters.rx_frames, got);
	count(&q->counters.rx_bytes, bytes);
	return got;
}

/* What the device has for this core, and what others have found for it. */
static unsigned spread_receive(struct port *p, unsigned queue, struct rte_mbuf **frames, unsigned n)
{
	struct port_queue *q = &p->queue[queue];
	unsigned got = 0;

	q->rx_more = false;
	if (queue < p->info.device_queues) {
		got = device_receive(p, queue, frames, n);
		q->rx_more = got == n;
		if (got)
			got = port_spread_sort(p->spread, queue, frames, got);
	}
	if (got < n)
		got += port_spread_take(p->spread, queue, frames + got, n - got);
	return got;
}

unsigned port_rx(struct port *p, unsigned queue, struct rte_mbuf **frames, unsigned n)
{
	CHECK(queue < p->info.queues && n <= PORT_BURST);
	return p->spread ? spread_receive(p, queue, frames, n) : device_receive(p, queue, frames, n);
}

bool port_rx_more(const struct port *p, unsigned queue)
{
	return p->queue[queue].rx_more;
}

bool port_rx_polled(const struct port *p, unsigned queue)
{
	return queue < p->info.device_queues;
}

void port_set_wake(struct port *p, unsigned queue, void (*wake)(void *ctx), void *ctx)
{
	MUST(queue < p->info.queues);
	p->queue[queue].wake = wake;
	p->queue[queue].wake_ctx = ctx;
	if (p->spread)
		port_spread_set_wake(p->spread, queue, wake, ctx);
}

unsigned port_owner(const struct port *p, bool v6, const uint8_t *addresses, const uint8_t *ports)
{
	return p->spread ? port_spread_owner(p->spread, v6, addresses, ports) : 0;
}

bool port_hand_over(struct port *p, unsigned queue, struct rte_mbuf *frame)
{
	return p->spread && port_spread_hand_over(p->spread, queue, frame);
}

bool port_seen(const struct port *p, const struct rte_mbuf *frame)
{
	return p->spread && port_spread_seen(p->spread, frame);
}

unsigned port_ring_used(const struct port *p, unsigned queue)
{
	return p->spread ? port_spread_waiting(p->spread, queue) : 0;
}

unsigned port_ring_room(const struct port *p)
{
	return p->spread ? port_spread_room(p->spread) : 0;
}

/* To the device. The lengths are read first: what has been sent belongs to the driver. */
static unsigned device_send(struct port *p, struct port_queue *q, struct rte_mbuf **frames, unsigned n)
{
	uint32_t length[PORT_TX_WAITING];
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		length[i] = frames[i]->pkt_len;
	unsigned sent = rte_eth_tx_burst(p->id, (uint16_t)(q - p->queue), frames, (uint16_t)n);
	for (unsigned i = 0; i < sent; i++)
		bytes += length[i];
	if (sent) {
		q->progressed = true;
		count(&q->counters.tx_frames, sent);
		count(&q->counters.tx_bytes, bytes);
	}
	return sent;
}

static void waiting_send(struct port *p, struct port_queue *q)
{
	if (q->waiting_count == 0)
		return;
	unsigned sent = device_send(p, q, q->waiting + q->waiting_first, q->waiting_count);
	q->waiting_first = (uint16_t)(q->waiting_first + sent);
	q->waiting_count = (uint16_t)(q->waiting_count - sent);
	if (q->waiting_count == 0)
		q->waiting_first = 0;
}

static unsigned waiting_add(struct port_queue *q, struct rte_mbuf **frames, unsigned n)
{
	unsigned room = PORT_TX_WAITING - q->waiting_count;

	if (n > room)
		n = room;
	if (q->waiting_first + q->waiting_count + n > PORT_TX_WAITING) {
		memmove(q->waiting, q->waiting + q->waiting_first, q->waiting_count * sizeof(*q->waiting));
		q->waiting_first = 0;
	}
	memcpy(q->waiting + q->waiting_first + q->waiting_count, frames, n * sizeof(*frames));
	q->waiting_count = (uint16_t)(q->waiting_count + n);
	return n;
}

/* A tag of 802.1Q comes on top of the MTU. */
static bool too_long(const struct port *p, const struct rte_mbuf *m)
{
	if (likely(m->pkt_len <= p->frame_bytes_max))
		return false;
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) /* what counts is the length of its pieces */
		return !(p->info.offloads & PORT_TX_TSO) ||
		       (uint32_t)(m->l2_len + m->l3_len + m->l4_len + m->tso_segsz) >
			       p->frame_bytes_max + RTE_VLAN_HLEN;
	const struct rte_ether_hdr *h = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	return h->ether_type != RTE_BE16(RTE_ETHER_TYPE_VLAN) ||
	       m->pkt_len > p->frame_bytes_max + RTE_VLAN_HLEN;
}

static bool sendable(const struct port *p, const struct rte_mbuf *m)
{
	return !too_long(p, m) && m->nb_segs <= p->info.tx_segments_max;
}

/* The length of the leading run of frames that the device can send. */
static unsigned sendable_run(const struct port *p, struct rte_mbuf **frames, unsigned n)
{
	unsigned i = 0;

	while (i < n && sendable(p, frames[i]))
		i++;
	return i;
}

static void unsendable_drop(struct port *p, struct port_queue *q, struct rte_mbuf *m)
{
	count(too_long(p, m) ? &q->counters.tx_too_long : &q->counters.tx_segmented, 1);
	rte_pktmbuf_free(m);
}

/* Drivers finish the headers of large segments here, and must not do so twice: only what is certainly taken
 * is prepared. Returns how many; a frame that the driver does not want is for unsendable_drop. */
static unsigned prepare(struct port *p, struct port_queue *q, struct rte_mbuf **frames, unsigned n)
{
	unsigned room = PORT_TX_WAITING - q->waiting_count;

	if (!(p->info.offloads & PORT_TX_TSO))
		return n;
	return rte_eth_tx_prepare(p->id, (uint16_t)(q - p->queue), frames, (uint16_t)RTE_MIN(n, room));
}

/* Frames that the device can send: past those that wait already. Returns how many were taken. */
static unsigned run_tx(struct port *p, struct port_queue *q, struct rte_mbuf **frames, unsigned n)
{
	unsigned sent = 0;

	waiting_send(p, q);
	n = prepare(p, q, frames, n);
	if (n == 0 && q->waiting_count < PORT_TX_WAITING) {
		unsendable_drop(p, q, frames[0]);
		return 1;
	}
	if (q->waiting_count == 0)
		sent = device_send(p, q, frames, n);
	if (sent < n)
		sent += waiting_add(q, frames + sent, n - sent);
	return sent;
}

static unsigned device_tx(struct port *p, struct port_queue *q, struct rte_mbuf **frames, unsigned n)
{
	unsigned taken = 0;

	while (taken < n) {
		unsigned run = sendable_run(p, frames + taken, n - taken);
		unsigned done = run ? run_tx(p, q, frames + taken, run) : 0;
		taken += done;
		if (done < run)
			break;
		if (taken < n)
			unsendable_drop(p, q, frames[taken++]);
	}
	return taken;
}

unsigned port_tx(struct port *p, unsigned queue, struct rte_mbuf **frames, unsigned n)
{
	struct port_queue *q = &p->queue[queue];

	CHECK(queue < p->info.queues && n <= PORT_BURST);
	unsigned taken = 0;
	if (q->carry)
		taken = port_carry_push(p, queue, frames, n);
	else if (!port_rests(p))
		taken = device_tx(p, q, frames, n);
	if (taken < n)
		count(&q->counters.tx_refused, n - taken);
	return taken;
}

/* What other cores send by this queue, behind its own frames and while none of them waits. */
static void carried_send(struct port *p, struct port_queue *q)
{
	struct rte_mbuf *frames[PORT_BURST];

	for (unsigned i = 0; i < CARRY_BURSTS && q->waiting_count == 0; i++) {
		unsigned n = port_carry_pop(p, (unsigned)(q - p->queue), frames, PORT_BURST);
		if (n == 0)
			return;
		/* What waits has room for more than a burst: each call takes some, or drops what no device
		 * wants. */
		for (unsigned at = 0; at < n;)
			at += device_tx(p, q, frames + at, n - at);
	}
}

/* Frames that still wait for the device, in the queue or in rings to it. */
static unsigned left(const struct port_queue *q)
{
	return q->waiting_count + (q->carry_left != 0);
}

unsigned port_tx_flush(struct port *p, unsigned queue, uint64_t now_us)
{
	struct port_queue *q = &p->queue[queue];

	if (q->carry) {
		port_carry_tell(p, queue);
		return 0;
	}
	if (port_rests(p))
		return left(q);
	waiting_send(p, q);
	if (p->spread)
		carried_send(p, q);
	if (q->waiting_count == 0 || q->progressed) {
		q->progressed = false;
		q->stuck_since_us = 0;
		return left(q);
	}
	if (q->stuck_since_us == 0)
		q->stuck_since_us = now_us;
	if (now_us - q->stuck_since_us < PORT_TX_STUCK_US)
		return left(q);
	count(&q->counters.tx_stuck, q->waiting_count);
	rte_pktmbuf_free_bulk(q->waiting + q->waiting_first, q->waiting_count);
	q->waiting_first = q->waiting_count = 0;
	q->stuck_since_us = 0;
	return left(q);
}

struct rte_mempool *port_rx_pool(struct port *p, unsigned queue)
{
	MUST(queue < p->info.queues);
	return p->queue[queue].rx_pool;
}

const struct port_info *port_info(const struct port *p)
{
	return &p->info;
}

static void counters_add(struct port_counters *sum, const struct port_counters *c)
{
	sum->rx_frames += __atomic_load_n(&c->rx_frames, __ATOMIC_RELAXED);
	sum->rx_bytes += __atomic_load_n(&c->rx_bytes, __ATOMIC_RELAXED);
	sum->tx_frames += __atomic_load_n(&c->tx_frames, __ATOMIC_RELAXED);
	sum->tx_bytes += __atomic_load_n(&c->tx_bytes, __ATOMIC_RELAXED);
	sum->tx_refused += __atomic_load_n(&c->tx_refused, __ATOMIC_RELAXED);
	sum->tx_stuck += __atomic_load_n(&c->tx_stuck, __ATOMIC_RELAXED);
	sum->tx_too_long += __atomic_load_n(&c->tx_too_long, __ATOMIC_RELAXED);
	sum->tx_segmented += __atomic_load_n(&c->tx_segmented, __ATOMIC_RELAXED);
}

static void spread_add(struct port_counters *sum, const struct port *p, unsigned queue)
{
	if (!p->spread)
		return;
	struct port_spread_counters c = port_spread_counters(p->spread, queue);
	sum->spread_given += c.given;
	sum->spread_full += c.full;
	sum->spread_copy_none += c.copy_none;
}

void port_queue_counters(const struct port *p, unsigned queue, struct port_counters *out)
{
	MUST(queue < p->info.queues);
	*out = (struct port_counters){0};
	counters_add(out, &p->queue[queue].counters);
	spread_add(out, p, queue);
}

void port_counters(const struct port *p, struct port_counters *sum)
{
	*sum = (struct port_counters){0};
	for (unsigned i = 0; i < p->info.queues; i++)
		counters_add(sum, &p->queue[i].counters);
	for (unsigned i = 0; i < p->info.queues; i++)
		spread_add(sum, p, i);
}

int port_device_counters(const struct port *p, struct port_device_counters *out)
{
	struct rte_eth_stats s;
	int rc = rte_eth_stats_get(p->id, &s);

	*out = (struct port_device_counters){0};
	if (rc)
		return rc;
	*out = (struct port_device_counters){.rx_frames = s.ipackets,
		.rx_bytes = s.ibytes,
		.tx_frames = s.opackets,
		.tx_bytes = s.obytes,
		.rx_missed = s.imissed,
		.rx_errors = s.ierrors,
		.tx_errors = s.oerrors,
		.rx_no_buffer = s.rx_nombuf};
	return 0;
}

int port_groups_restore(struct port *p)
{
	struct rte_ether_addr list[PORT_GROUPS_MAX];

	for (unsigned i = 0; i < p->group_count; i++)
		memcpy(list[i].addr_bytes, p->groups[i], PORT_MAC_BYTES);
	return p->group_count ? rte_eth_dev_set_mc_addr_list(p->id, list, p->group_count) : 0;
}

/* The host says yes to all groups, whatever it does about them. */
static int groups_list(struct port *p, const uint8_t (*groups)[PORT_MAC_BYTES], unsigned n)
{
	MUST(n <= PORT_GROUPS_MAX);
	p->group_count = n;
	memcpy(p->groups, groups, n * sizeof(p->groups[0]));
	return port_groups_restore(p);
}

int port_take_groups(struct port *p, const uint8_t (*groups)[PORT_MAC_BYTES], unsigned n)
{
	if (p->info.groups || p->info.promiscuous)
		return 0;
	int rc = rte_eth_allmulticast_enable(p->id);
	if (rc == 0 && p->driver->host_decides)
		rc = groups_list(p, groups, n);
	if (rc == 0) {
		p->info.groups = true;
		return 0;
	}
	if (rte_eth_promiscuous_enable(p->id))
		return rc;
	p->info.promiscuous = true;
	return 0;
}

struct port_link port_link(const struct port *p)
{
	struct rte_eth_link link = {0};

	if (rte_eth_link_get_nowait(p->id, &link))
		return (struct port_link){0};
	bool known = link.link_speed != RTE_ETH_SPEED_NUM_NONE &&
		     link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN;
	return (struct port_link){
		.up = link.link_status == RTE_ETH_LINK_UP, .speed_mbps = known ? link.link_speed : 0};
}

void port_mac_derive(const char *interface, uint8_t mac[PORT_MAC_BYTES])
{
	uint32_t hash = 2166136261u; /* FNV-1a: short, and the same for ever */

	for (; *interface; interface++)
		hash = (hash ^ (unsigned char)*interface) * 16777619u;
	/* 02: locally administered, unicast; then two letters to be recognised by. */
	const uint8_t derived[PORT_MAC_BYTES] = {
		0x02, 'G', 'w', (uint8_t)(hash >> 16), (uint8_t)(hash >> 8), (uint8_t)hash};
	memcpy(mac, derived, PORT_MAC_BYTES);
}
