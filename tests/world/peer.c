/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/world/peer.h"

#include "tests/unit/poison.h"
#include "tests/world/world.h"

#include "runtime/check.h"

#include <stdio.h>

enum { TX_MBUFS = 1023, ROOM_BYTES = 2048, CONNS = 64 };

static struct {
	struct stack *stack[WORLD_PEERS_MAX];
	struct rte_mempool *pool[WORLD_PEERS_MAX];
	unsigned count;
} peers;

void peers_prepare(void)
{
	char name[16];

	for (unsigned i = 0; i < WORLD_PEERS_MAX; i++) {
		snprintf(name, sizeof(name), "peer%u", i);
		peers.pool[i] = poison_pool_create(name, TX_MBUFS, RTE_PKTMBUF_HEADROOM + ROOM_BYTES);
		MUST(peers.pool[i]);
	}
}

static void start(unsigned i)
{
	struct stack_config c;

	stack_config_defaults(&c);
	sim_net_configure(&world.net, i + 1, &c);
	c.tx_pool = peers.pool[i];
	c.mtu = 1500;
	c.conn_max = CONNS;
	c.key = (struct siphash_key){sim_random(&world.dice), sim_random(&world.dice)};
	c.rx_buffer_bytes = WORLD_ONE_OF(4096, 16384, 65536, 300000);
	c.tx_buffer_bytes = WORLD_ONE_OF(8192, 65536);
	c.delayed_ack_us = WORLD_ONE_OF(0, 1000, 40000);
	c.rto_us_min = WORLD_ONE_OF(1000, 10000, 200000);
	c.rto_us_max = 4000000;
	c.sack = world_permille(800);
	c.time_wait_us = 1000000;
	c.user_timeout_us = 60000000;
	c.connect_timeout_us = 20000000;
	c.keepalive_us = 5000000;
	c.keepalive_interval_us = 2000000;
	c.keepalive_probes = 10;
	peers.stack[i] = stack_create(&c, world.now_us);
	MUST(peers.stack[i]);
}

void peers_open(unsigned count)
{
	peers.count = count;
	for (unsigned i = 0; i < count; i++)
		start(i);
}

unsigned peers_count(void)
{
	return peers.count;
}

void peer_turn(unsigned i)
{
	struct rte_mbuf *burst[STACK_BURST];
	unsigned n;

	while ((n = sim_link_arrived(&world.net.links[i + 1], burst, STACK_BURST))) {
		poison_around(burst, n);
		stack_input(peers.stack[i], burst, n, world.now_us);
	}
	stack_output(peers.stack[i], world.now_us);
	stack_timers(peers.stack[i], world.now_us, 64);
}

uint64_t peers_next_us(void)
{
	uint64_t t = UINT64_MAX;

	for (unsigned i = 0; i < peers.count; i++) {
		uint64_t stack_us = stack_next_us(peers.stack[i]);
		uint64_t link_us = sim_link_next_us(&world.net.links[i + 1]);
		t = RTE_MIN(t, stack_us);
		t = RTE_MIN(t, link_us);
	}
	return t;
}

struct stack *peer_stack(unsigned i)
{
	return peers.stack[i];
}

void peer_crash(unsigned i)
{
	stack_destroy(peers.stack[i]);
	start(i);
}

void peers_close(void)
{
	for (unsigned i = 0; i < peers.count; i++) {
		stack_destroy(peers.stack[i]);
		peers.stack[i] = NULL;
	}
	sim_net_clear(&world.net);
	for (unsigned i = 0; i < WORLD_PEERS_MAX; i++)
		if (rte_mempool_avail_count(peers.pool[i]) != peers.pool[i]->size)
			world_fail("a transmit buffer of a client's host leaked");
}
