/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/stranger.h"

#include "runtime/wire.h"
#include "tests/sim/observer.h"
#include "tests/sim/talk.h"

enum { TCP_BYTES = 20, TIMESTAMP_BYTES = 12, TEXT_BYTES_MAX = 64, FLOOD_MAX = 40, PORT = 5672 };

static struct {
	bool floods, guesses;
} stranger;

void stranger_plan(void)
{
	stranger.floods = sim_permille(&sim.dice, 100);
	stranger.guesses = sim_permille(&sim.dice, 200);
}

bool stranger_guesses(void)
{
	return stranger.guesses;
}

struct forged {
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint8_t flags;
	bool timestamp;
	uint32_t text;
};

static void send_forged(unsigned to, const struct ip_addr *src, const struct forged *g)
{
	uint8_t p[TCP_BYTES + TIMESTAMP_BYTES + TEXT_BYTES_MAX] = {0};
	uint32_t header = TCP_BYTES;

	wire_put16(p, g->sport);
	wire_put16(p + 2, g->dport);
	wire_put32(p + 4, g->seq);
	wire_put32(p + 8, g->ack);
	p[13] = g->flags;
	wire_put16(p + 14, (uint16_t)sim_random(&sim.dice));
	if (g->timestamp) {
		memcpy(p + header, (const uint8_t[]){1, 1, 8, 10}, 4);
		wire_put32(p + header + 4, (uint32_t)sim_random(&sim.dice));
		header += TIMESTAMP_BYTES;
	}
	p[12] = (uint8_t)(header / 4 << 4);
	sim_net_forge(&sim.net, to, src, p, (uint16_t)(header + g->text), sim_permille(&sim.dice, 50));
}

static void flood(void)
{
	unsigned to = sim_below(&sim.dice, sim.net.hosts);

	sim_met(SIM_flooded);
	for (unsigned n = 1 + sim_below(&sim.dice, FLOOD_MAX); n; n--) {
		struct ip_addr src = sim_net_stranger(&sim.net, to, (uint32_t)sim_random(&sim.dice));
		send_forged(to, &src,
			&(struct forged){.sport = (uint16_t)(1024 + sim_below(&sim.dice, 60000)),
				.dport = PORT,
				.seq = (uint32_t)sim_random(&sim.dice),
				.flags = SIM_SYN,
				.timestamp = sim_permille(&sim.dice, 500)});
	}
}

/* A reset, or text with a good number, could really hit: those get numbers from anywhere. A SYN, or an
 * acknowledgement of anything, must not harm wherever it lies. */
static void guess(void)
{
	static const uint8_t kinds[] = {SIM_RST, SIM_RST | SIM_ACK, SIM_SYN, SIM_SYN | SIM_ACK, SIM_ACK, 0,
		SIM_FIN | SIM_ACK, SIM_ACK | SIM_PSH | SIM_URG};
	unsigned client, server;
	struct forged g;

	if (!talks_one(&client, &g.sport, &server, &g.dport))
		return;
	struct ip_addr from = sim_net_address(&sim.net, client), to = sim_net_address(&sim.net, server);
	g.flags = kinds[sim_below(&sim.dice, sizeof(kinds))];
	if (!observer_guess(&from, g.sport, &to, g.dport, &g.seq, &g.ack))
		return;
	if (g.flags & SIM_SYN)
		observer_forged_syn(&from, g.sport, &to, g.dport);
	if (g.flags == SIM_SYN)
		g.seq += sim_below(&sim.dice, 2000);
	else
		g.seq = (uint32_t)sim_random(&sim.dice);
	g.ack = (uint32_t)sim_random(&sim.dice);
	g.timestamp = sim_permille(&sim.dice, 700);
	g.text = g.flags & SIM_SYN ? 0 : sim_below(&sim.dice, TEXT_BYTES_MAX);
	sim_met(SIM_blind_attack);
	send_forged(server, &from, &g);
}

void stranger_act(void)
{
	if (stranger.floods && sim_permille(&sim.dice, 20))
		flood();
	if (stranger.guesses && sim_permille(&sim.dice, 200))
		guess();
}
