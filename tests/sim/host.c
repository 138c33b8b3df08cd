/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/host.h"

#include <string.h>

#include "tcpstack/tcp_impl.h" /* host_connect_from looks into it */
#include "tests/sim/observer.h"
#include "tests/unit/poison.h"
#include "tests/unit/unit.h"

/* A source has a quarter: two buffers for each piece of a packet that was cut in seven. */
enum { FRAG_BYTES_LEAST = 4 * 2 * 7 * (HOST_ROOM_BYTES + RTE_PKTMBUF_HEADROOM) };

struct host hosts[SIM_HOSTS_MAX];

void host_pools_create(void)
{
	static const char *const names[SIM_HOSTS_MAX] = {
		"host0", "host1", "host2", "host3", "host4", "host5"};

	for (unsigned i = 0; i < SIM_HOSTS_MAX; i++)
		hosts[i].pool = unit_pool(names[i], HOST_TX_MBUFS, HOST_ROOM_BYTES);
}

static void timers_choose(struct stack_config *c)
{
	c->delayed_ack_us = SIM_ONE_OF(0, 1000, 40000, 200000);
	c->rto_us_min = SIM_ONE_OF(1000, 10000, 200000);
	/* Nothing is given up because of a few losses: each attempt has many tries. */
	c->rto_us_max = SIM_ONE_OF(4000000, 8000000);
	c->connect_timeout_us = 400000000;
	c->half_open_timeout_us = SIM_ONE_OF(30000000, 400000000);
	c->time_wait_us = SIM_ONE_OF(2000000, 2000000, 60000000);
	c->keepalive_us = 5000000;
	c->keepalive_interval_us = 2000000;
	c->keepalive_probes = 30;
	c->arp_lifetime_us = SIM_ONE_OF(1000000, 60000000);
}

static void limits_choose(struct stack_config *c, unsigned talks)
{
	c->mtu = (uint16_t)SIM_ONE_OF(sim.net.v6 ? 1280 : 576, 1500, 1500, 1500, 9000);
	c->rx_buffer_bytes = SIM_ONE_OF(2048, 4096, 16384, 65536, 300000);
	c->tx_buffer_bytes = SIM_ONE_OF(2048, 16384, 65536, 300000);
	c->reass_segments_max = SIM_ONE_OF(2, 64, 4096);
	c->reass_conn_segments_max = SIM_ONE_OF(1, 16, 256);
	c->tx_segments_max = SIM_ONE_OF(0, 0, 30);
	c->conn_max = SIM_ONE_OF(2 + talks / 2, 4 * talks, 4 * talks);
	c->syn_backlog_max = SIM_ONE_OF(1, 4, 1024);
	c->time_wait_max = SIM_ONE_OF(1, talks);
	c->orphan_max = SIM_ONE_OF(2, 1000, 1000);
	c->arp_max = SIM_ONE_OF(SIM_HOSTS_MAX, 256);
	c->challenge_acks_per_s = SIM_ONE_OF(1, 1000);
	c->rx_buffers_max = SIM_ONE_OF(0, 30, 30, 300);
	c->frag_datagrams_max = SIM_ONE_OF(1, 4, 64);
	c->frag_bytes_max = SIM_ONE_OF(FRAG_BYTES_LEAST, 4 * FRAG_BYTES_LEAST);
}

static void protocol_choose(struct stack_config *c)
{
	static const char *const algorithms[] = {"cubic", "cubic", "newreno", "none"};

	c->cc = tcp_cc_by_name(algorithms[sim_below(&sim.dice, 4)]);
	c->sack = sim_permille(&sim.dice, 750);
	c->ecn = SIM_ONE_OF(STACK_ECN_OFF, STACK_ECN_ACCEPT, STACK_ECN_ON);
	c->syn_cookies = SIM_ONE_OF(STACK_SYN_COOKIES_AUTO, STACK_SYN_COOKIES_AUTO, STACK_SYN_COOKIES_ALWAYS,
		STACK_SYN_COOKIES_NEVER);
}

void host_start(unsigned i, unsigned talks)
{
	struct stack_config c;

	stack_config_defaults(&c);
	sim_net_configure(&sim.net, i, &c);
	c.tx_pool = hosts[i].pool;
	c.key = (struct siphash_key){sim_random(&sim.dice), sim_random(&sim.dice)};
	timers_choose(&c);
	limits_choose(&c, talks);
	protocol_choose(&c);
	hosts[i].time_wait_us = c.time_wait_us;
	hosts[i].listener_was_full = false;
	hosts[i].stack = stack_create(&c, sim.now_us);
	MUST(hosts[i].stack);
	observer_host_limits(i, c.mtu, c.rx_buffer_bytes);
}

void host_hoard(unsigned i)
{
	struct host *h = &hosts[i];

	sim_met(SIM_transmit_pool_taken);
	while (h->hoarded < HOST_TX_MBUFS && (h->hoard[h->hoarded] = rte_pktmbuf_alloc(h->pool)))
		h->hoarded++;
}

void host_hoard_end(unsigned i)
{
	rte_pktmbuf_free_bulk(hosts[i].hoard, hosts[i].hoarded);
	hosts[i].hoarded = 0;
}

/* There is no queue of connections that wait to be accepted: a listener's limit is that of its half-open
 * ones, and beyond the handshake the pool of connections is. */
static void listener_look(struct host *h)
{
	const struct tcp_listener *l = h->listener;

	if (h->listener_was_full || l->request_count < l->options.syn_backlog_max ||
		stack_usage(h->stack).half_open >= h->stack->config.syn_backlog_max)
		return;
	h->listener_was_full = true;
	sim_met(SIM_listener_full);
}

void host_turn(unsigned i)
{
	struct rte_mbuf *burst[STACK_BURST];
	unsigned n;

	while ((n = sim_link_arrived(&sim.net.links[i], burst, STACK_BURST))) {
		for (unsigned k = 0; k < n; k++)
			if (!(*sim_mark(burst[k]) & SIM_MARK_CORRUPT))
				observer_arrived(burst[k]);
		for (unsigned k = 0; k < n; k++)
			sim_port_received(&sim.net.ports[i], burst[k], &sim.dice);
		poison_around(burst, n);
		stack_input(hosts[i].stack, burst, n, sim.now_us);
		listener_look(&hosts[i]);
	}
	stack_output(hosts[i].stack, sim.now_us);
	stack_timers(hosts[i].stack, sim.now_us, 64);
}

static const struct {
	const char *pool;
	enum sim_situation empty;
} pools[] = {{"tcp connections", SIM_connection_pool_empty}, {"tcp half-open", SIM_half_open_pool_empty},
	{"tcp time-wait", SIM_time_wait_pool_empty}, {"tcp segments", SIM_segment_pool_empty},
	{"tcp reassembly", SIM_reassembly_pool_empty}, {"neighbours", SIM_neighbour_pool_empty},
	{"fragmented datagrams", SIM_fragment_pool_empty}};

static void pools_tally(const struct stack *s)
{
	const struct pool *p;

	for (unsigned i = 0; (p = stack_pool(s, i)); i++)
		for (unsigned k = 0; k < sizeof(pools) / sizeof(pools[0]); k++) {
			if (strcmp(pool_name(p), pools[k].pool) != 0)
				continue;
			/* Of segments: empty for new data, the spare ones are for cutting. */
			uint32_t spare = pools[k].empty == SIM_segment_pool_empty ? tcp_segments_spare(s) : 0;
			sim.situations[pools[k].empty] += pool_stats(p).used_max + spare >=
							  pool_stats(p).capacity;
		}
}

void host_end(unsigned i)
{
	struct stack *s = hosts[i].stack;
	struct stack_usage u = stack_usage(s);

	if (u.conns || u.half_open || u.time_wait || u.tx_segments || u.reass_segments)
		sim_fail("something is left in a stack");
	sim_tally_stack(s);
	/* RFC 2018 section 8: memory that ended was taken from what had been told. */
	if (s->config.sack)
		sim.situations[SIM_reneged] += stack_counter(s, STACK_COUNTER_tcp_out_of_order_pruned);
	pools_tally(s);
	stack_destroy(s);
	hosts[i].stack = NULL;
}

void host_pools_check(void)
{
	for (unsigned i = 0; i < SIM_HOSTS_MAX; i++)
		if (!unit_pool_full(hosts[i].pool))
			sim_fail("a transmit buffer leaked");
	if (!unit_pool_full(sim.net.pool) || !unit_pool_full(sim.net.port_pool))
		sim_fail("a received buffer leaked");
}

/* The API hides what port it picks, for a good reason (RFC 6056); here the next pick is made to be lport. */
struct tcp_conn *host_connect_from(unsigned i, uint16_t lport, const struct ip_addr *to, uint16_t port,
	const struct tcp_app *app, void *user)
{
	struct stack *s = hosts[i].stack;
	struct tcp_tuple t = {.laddr = sim_net_address(&sim.net, i), .raddr = *to, .rport = port};

	/* Every counter of algorithm 4, whichever is this destination's. */
	for (unsigned k = 0; k < PORT_COUNTERS; k++)
		s->port_next[k] = (uint32_t)(lport - TCP_PORT_FIRST) -
				  (uint32_t)tcp_hash(s, TCP_HASH_PORT, &t);
	t.lport = lport;
	if (tcp_node_find(s, &t) || tcp_listener_find(s, &t.laddr, lport))
		return NULL;
	struct tcp_conn *c = tcp_connect(s, to, port, NULL, app, user, sim.now_us);
	MUST(!c || tcp_conn_local_port(c) == lport);
	return c;
}

uint32_t host_conn_isn(const struct tcp_conn *c)
{
	return c->active ? c->iss : c->irs;
}

bool host_dropped(unsigned i)
{
	const struct stack *s = hosts[i].stack;

	return stack_counter(s, STACK_COUNTER_neighbour_pending_dropped) ||
	       stack_counter(s, STACK_COUNTER_neighbour_full);
}
