/* SPDX-License-Identifier: Apache-2.0 */
/* The instance: creation, the calls of a turn, the way out for frames, counters. */
#include <errno.h>
#include <stdlib.h>

#include "tcpstack/frag.h"
#include "tcpstack/neighbour.h"
#include "tcpstack/tcp_cc.h"

void stack_config_defaults(struct stack_config *c)
{
	*c = (struct stack_config){
		.mtu = 1500,
		.tso_segments_max = 40,
		.dad_transmits = 1,
		.frag_datagrams_max = 64,
		.frag_bytes_max = 1 << 20,
		.router_discovery = true,
		.mld = true,
		.conn_max = 4096,
		.listener_max = 16,
		.syn_backlog_max = 1024,
		.time_wait_max = 1024,
		.orphan_max = 1024,
		.arp_max = 256,
		.reass_segments_max = 4096,
		.reass_conn_segments_max = 256,
		.rx_buffer_bytes = 256 * 1024,
		.tx_buffer_bytes = 256 * 1024,
		.rto_us_initial = 1000000,
		.rto_us_min = 200000,
		.rto_us_max = 60000000,
		.delayed_ack_us = 200000,
		.quick_acks = 16,
		.user_timeout_us = 300000000,
		.connect_timeout_us = 190000000,   /* RFC 9293 MUST-23: at least 3 minutes */
		.half_open_timeout_us = 190000000, /* MUST-23; the queue is bounded otherwise */
		.time_wait_us = 60000000,
		.fin_wait_2_us = 60000000,
		.keepalive_us = 0,
		.keepalive_interval_us = 75000000,
		.keepalive_probes = 9,
		.arp_lifetime_us = 60000000,
		.challenge_acks_per_s = 1000,
		.challenge_interval_us = 500000,
		.sack = true,
		.timestamps = true,
		.window_scaling = true,
		.cc = &tcp_cc_cubic,
		.initial_window_segments = 10,
		.ecn = STACK_ECN_ACCEPT,
	};
}

bool stack_config_add(struct stack_config *config, struct ip_addr address, uint8_t prefix_bits)
{
	if (config->address_count == STACK_ADDRESSES_MAX)
		return false;
	config->addresses[config->address_count++] = (struct stack_address){
		.address = address, .prefix_bits = prefix_bits};
	return true;
}

static bool addresses_valid(const struct stack_config *c)
{
	if (c->address_count == 0 || c->address_count > STACK_ADDRESSES_MAX || c->vlan > 4094 ||
		c->frag_datagrams_max == 0 || c->frag_datagrams_max > 1024)
		return false;
	for (unsigned i = 0; i < c->address_count; i++) {
		const struct stack_address *a = &c->addresses[i];
		bool v4 = ip_is_v4(&a->address);
		if (ip_is_unspecified(&a->address) || ip_is_multicast(&a->address) ||
			a->prefix_bits > (v4 ? 32 : 128) || (!v4 && c->mtu < IPV6_MTU_MIN))
			return false;
	}
	return true;
}

static bool config_valid(const struct stack_config *c)
{
	return c->mtu >= 576 && c->mtu <= 9000 && addresses_valid(c) && c->tx_pool && c->tx && c->conn_max &&
	       c->listener_max && c->syn_backlog_max && c->time_wait_max && c->arp_max &&
	       c->reass_segments_max && c->rx_buffer_bytes >= 2048 && c->rx_buffer_bytes <= 1u << 30 &&
	       c->tx_buffer_bytes >= 2048 && c->tx_buffer_bytes <= 1u << 30 && c->rto_us_min &&
	       c->rto_us_max >= c->rto_us_min && c->rto_us_initial && c->user_timeout_us && c->cc &&
	       c->initial_window_segments && c->initial_window_segments <= 64 &&
	       rte_pktmbuf_data_room_size(c->tx_pool) >= RTE_PKTMBUF_HEADROOM + c->mtu;
}

/* Each queued segment of data holds one mbuf: what they may not have is there for ACKs, resets, ARP, ND. */
static void limit_segments(struct stack_config *c)
{
	uint32_t size = c->tx_pool->size, reserve = c->tx_reserve ? c->tx_reserve : min_u32(size / 8, 256u);
	uint32_t most = size > reserve ? size - reserve : 1;

	c->tx_reserve = reserve;
	c->tx_segments_max = c->tx_segments_max ? min_u32(c->tx_segments_max, most) : most;
}

struct stack *stack_create(const struct stack_config *config, uint64_t now_us)
{
	if (!config_valid(config))
		return NULL;
	struct stack *s = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*s), RTE_CACHE_LINE_SIZE));
	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->config = *config;
	s->now_us = now_us;
	for (unsigned i = 0; i < sizeof(config->mac); i++)
		s->mac = s->mac << 8 | config->mac[i];
	limit_segments(&s->config);
	timer_wheel_init(&s->wheel, TIMER_TICK_US, now_us);
	CDS_INIT_LIST_HEAD(&s->neighbours_by_age);
	CDS_INIT_LIST_HEAD(&s->neighbours_resolving);
	CDS_INIT_LIST_HEAD(&s->listeners);
	CDS_INIT_LIST_HEAD(&s->requests);
	CDS_INIT_LIST_HEAD(&s->time_wait);
	CDS_INIT_LIST_HEAD(&s->conns);
	CDS_INIT_LIST_HEAD(&s->orphans);
	CDS_INIT_LIST_HEAD(&s->events);
	CDS_INIT_LIST_HEAD(&s->output);
	CDS_INIT_LIST_HEAD(&s->starved);
	ip_init(s);
	arp_init(s);
	nd_init(s);
	if (neighbour_init(s) || frag_init(s) || tcp_init(s)) {
		stack_destroy(s);
		return NULL;
	}
	return s;
}

void stack_destroy(struct stack *s)
{
	MUST(!s->dispatching);
	tcp_fini(s);
	neighbour_fini(s);
	frag_fini(s);
	nd_fini(s);
	rte_pktmbuf_free_bulk(s->tx_burst, s->tx_count);
	free(s);
}

/* Time as the stack sees it never goes backwards. */
static void set_now(struct stack *s, uint64_t now_us)
{
	if (now_us > s->now_us)
		s->now_us = now_us;
}

void stack_input(struct stack *s, struct rte_mbuf **frames_take, unsigned n, uint64_t now_us)
{
	MUST(!s->dispatching);
	set_now(s, now_us);
	s->counters[STACK_COUNTER_rx_frames] += n;
	for (unsigned at = 0; at < n; at += STACK_BURST) {
		unsigned burst = min_u32(n - at, STACK_BURST);
		tcp_burst_take(s, frames_take + at, burst);
	}
	tcp_dispatch(s);
}

void stack_output(struct stack *s, uint64_t now_us)
{
	MUST(!s->dispatching);
	set_now(s, now_us);
	tcp_dispatch(s);
	tcp_output_all(s);
	stack_flush(s);
}

unsigned stack_timers(struct stack *s, uint64_t now_us, unsigned budget)
{
	MUST(!s->dispatching);
	set_now(s, now_us);
	unsigned fired = timer_wheel_advance(&s->wheel, s->now_us, budget);
	if (fired) {
		tcp_dispatch(s);
		tcp_output_all(s);
	}
	stack_flush(s);
	return fired;
}

uint64_t stack_next_us(const struct stack *s)
{
	if (s->tx_count || !tcp_idle(s))
		return s->now_us;
	return timer_wheel_next_us(&s->wheel);
}

int stack_announce(struct stack *s, uint64_t now_us)
{
	set_now(s, now_us);
	int error = arp_announce(s);
	return nd_announce(s) || error ? -ENOBUFS : 0;
}

uint64_t stack_random(struct stack *s)
{
	uint64_t what[2] = {s->random_count++, s->now_us};

	return siphash(&s->config.key, what, sizeof(what));
}

bool stack_address_get(
	const struct stack *s, unsigned i, struct ip_addr *out, enum stack_address_state *state)
{
	if (i >= s->own_count)
		return false;
	*out = s->own[i].address;
	*state = s->own[i].state;
	return true;
}

void stack_flush(struct stack *s)
{
	unsigned n = s->tx_count;

	if (!n)
		return;
	s->tx_count = 0;
	s->counters[STACK_COUNTER_tx_frames] += n;
	s->config.tx(s->config.tx_ctx, s->tx_burst, n);
}

void stack_transmit_take(struct stack *s, struct rte_mbuf *m)
{
	s->tx_burst[s->tx_count++] = m;
	if (s->tx_count == STACK_BURST)
		stack_flush(s);
}

struct rte_mbuf *stack_tx_alloc(struct stack *s)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(s->config.tx_pool);

	if (!m)
		COUNT(s, tx_pool_empty);
	return m;
}

void frame_trim_front(struct rte_mbuf *m, uint32_t n)
{
	m->pkt_len -= n;
	for (; n; m = m->next) {
		MUST(m);
		uint32_t part = min_u32(n, m->data_len);
		m->data_off += (uint16_t)part;
		m->data_len -= (uint16_t)part;
		n -= part;
	}
}

void frame_truncate(struct rte_mbuf *m, uint32_t n)
{
	struct rte_mbuf *first = m;
	uint16_t segments = 1;

	if (n == m->pkt_len)
		return;
	first->pkt_len = n;
	for (; n > m->data_len; m = m->next, segments++) {
		n -= m->data_len;
		MUST(m->next);
	}
	m->data_len = (uint16_t)n;
	if (m->next) {
		rte_pktmbuf_free(m->next);
		m->next = NULL;
	}
	first->nb_segs = segments;
}

void frame_room_use(struct rte_mbuf *m)
{
	ASAN_UNPOISON_MEMORY_REGION(m->buf_addr, m->buf_len);
}

void frame_empty(struct rte_mbuf *m)
{
	if (m->next)
		rte_pktmbuf_free(m->next);
	frame_room_use(m);
	m->next = NULL;
	m->nb_segs = 1;
	m->data_len = 0;
	m->pkt_len = 0;
	m->ol_flags = 0;
	/* Tests poison what lies around received data. From here on it is a buffer like any other. */
	ASAN_UNPOISON_MEMORY_REGION(m->buf_addr, m->buf_len);
}

static const struct {
	const char *name, *severity, *text;
} counter_words[STACK_COUNTERS] = {
#define COUNTER(name, severity, text) {#name, #severity, text},
#include "tcpstack/counters.def"
#undef COUNTER
};

uint64_t stack_counter(const struct stack *s, enum stack_counter which)
{
	return s->counters[which];
}

const char *stack_counter_name(enum stack_counter which)
{
	return counter_words[which].name;
}

const char *stack_counter_severity(enum stack_counter which)
{
	return counter_words[which].severity;
}

const char *stack_counter_text(enum stack_counter which)
{
	return counter_words[which].text;
}

const struct pool *stack_pool(const struct stack *s, unsigned index)
{
	const struct pool *pools[] = {s->conn_pool, s->request_pool, s->time_wait_pool, s->segment_pool,
		s->reass_pool, s->listener_pool, s->neighbour_pool, s->frag_pool};

	return index < sizeof(pools) / sizeof(pools[0]) ? pools[index] : NULL;
}

struct stack_usage stack_usage(const struct stack *s)
{
	return (struct stack_usage){
		.conns = pool_stats(s->conn_pool).used,
		.half_open = pool_stats(s->request_pool).used,
		.time_wait = pool_stats(s->time_wait_pool).used,
		.listeners = pool_stats(s->listener_pool).used,
		.neighbours = pool_stats(s->neighbour_pool).used,
		.tx_segments = pool_stats(s->segment_pool).used,
		.reass_segments = pool_stats(s->reass_pool).used,
		.rx_buffers = s->rx_held,
		.rx_buffers_high = s->rx_held_high,
	};
}
