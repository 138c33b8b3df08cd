/* SPDX-License-Identifier: Apache-2.0 */
/* The same random segments through a stack that predicts them and through one that takes the long way with
 * each: frames out, callbacks, bytes, counters and the connections' state are the same after each step. The
 * peer is an oracle: it looks into a connection to know what would be expected next, and mostly sends that.
 */
#include "tcpstack/tcp_fast_fixture.h"

enum { STEPS = 600, TEXT_MAX = 1448 };

static uint16_t port_next;

static void open_conn(unsigned k)
{
	struct tf_segment g = {.k = k,
		.seq = (uint32_t)unit_random(),
		.flags = TCP_SYN | (k % 3 == 0 ? TCP_ECE | TCP_CWR : 0),
		.wnd = 60000,
		.syn_options = true,
		.ts_val = (uint32_t)(tf_now_us / 1000)};

	tf_ports[k] = (uint16_t)(1024 + port_next++ % 60000);
	tf_input(&g, 1);
	tf_turn_end();
	g.ack = tf_nodes[1].last_seq + 1;
	g.seq++;
	g.flags = TCP_ACK;
	g.wnd = 1000;
	g.syn_options = false;
	tf_input(&g, 1);
	tf_turn_end();
	/* All that there are may be held by other connections. */
	CU_ASSERT_FATAL(tf_nodes[1].conns[k] || tf_how.few_buffers);
}

/* Nothing may have come over its version of IP for a while: the answer to its SYN would wait for a neighbour.
 */
static void open_again(unsigned k)
{
	tf_tell_peer();
	open_conn(k);
}

/* Something that is not what is expected. */
static void spoil(struct tf_segment *g, const struct tcp_conn *c)
{
	switch (unit_random_below(20)) {
	case 0:
		g->seq += 1 + unit_random_below(5000); /* a gap */
		break;
	case 1:
		g->seq -= unit_random_below(3000); /* some of it is old */
		break;
	case 2:
		g->seq += c->rcv_adv - c->rcv_nxt - unit_random_below(2000); /* at the window's edge */
		break;
	case 3:
		g->ack = c->snd_una - unit_random_below(3000);
		break;
	case 4:
		g->ack = c->snd_nxt + 1 + unit_random_below(1000);
		break;
	case 5:
		g->ack = c->snd_una;
		g->len = 0;
		break;
	case 6:
		g->ts_val -= 1 + unit_random_below(10000);
		break;
	case 7:
		g->no_timestamp = true;
		break;
	case 8:
		g->odd_options = true;
		break;
	case 9:
		g->sack = true;
		break;
	case 10:
		g->bad_sum = true;
		break;
	case 11:
		g->flags |= TCP_URG;
		g->urgent = (uint16_t)unit_random_below(2000);
		break;
	case 12:
		g->flags |= unit_random_below(2) ? TCP_ECE : TCP_CWR;
		break;
	case 13:
		g->ecn = IP_ECN_CE;
		break;
	case 14:
		g->wnd = (uint16_t)(unit_random_below(3) ? unit_random_below(2000) : 0);
		break;
	case 15:
		g->flags &= (uint8_t)~TCP_ACK;
		break;
	case 16:
		g->pad = (uint8_t)unit_random_below(20);
		break;
	case 17:
		g->seq -= 1; /* a keepalive */
		g->len = 0;
		break;
	case 18:
		if (unit_random_below(20) == 0)
			g->flags |= TCP_FIN;
		break;
	default:
		if (unit_random_below(20) == 0)
			g->flags |= unit_random_below(2) ? TCP_RST : TCP_SYN;
	}
}

static uint32_t text_length(void)
{
	static const uint32_t usual[] = {1, 65, 65, 536, TEXT_MAX, TEXT_MAX};

	return unit_random_below(4) ? usual[unit_random_below(6)] : 1 + unit_random_below(TEXT_MAX);
}

static void burst(unsigned odd_one_in)
{
	struct tf_segment segs[TF_BURST_MAX];
	uint32_t next[TF_CONNS], una[TF_CONNS];
	unsigned n = 1 + unit_random_below(TF_BURST_MAX), one = unit_random_below(TF_CONNS), used = 0;
	bool mixed = unit_random_below(2);

	for (unsigned k = 0; k < TF_CONNS; k++) {
		if (!tf_nodes[1].conns[k])
			open_again(k);
		next[k] = tf_nodes[1].conns[k] ? tf_nodes[1].conns[k]->rcv_nxt : 0;
		una[k] = tf_nodes[1].conns[k] ? tf_nodes[1].conns[k]->snd_una : 0;
	}
	for (unsigned i = 0; i < n; i++) {
		unsigned k = mixed ? unit_random_below(TF_CONNS) : one;
		const struct tcp_conn *c = tf_nodes[1].conns[k];
		if (!c)
			continue;
		if (unit_random_below(2))
			una[k] += unit_random_below(c->snd_nxt - una[k] + 1);
		else if (unit_random_below(2))
			una[k] = c->snd_nxt;
		struct tf_segment *g = &segs[used++];
		*g = (struct tf_segment){.k = k,
			.seq = next[k],
			.ack = una[k],
			.len = unit_random_below(5) ? text_length() : 0,
			.flags = TCP_ACK | (unit_random_below(2) ? TCP_PSH : 0),
			.wnd = 1000,
			.ts_val = (uint32_t)(tf_now_us / 1000),
			.ts_ecr = tcp_timestamp(c) - unit_random_below(3)};
		if (odd_one_in && unit_random_below(odd_one_in) == 0)
			spoil(g, c);
		else
			next[k] += g->len;
	}
	tf_input(segs, used);
	tf_compare();
}

static void run_steps(unsigned odd_one_in)
{
	tf_begin();
	for (unsigned step = 0; step < STEPS; step++) {
		burst(odd_one_in);
		for (unsigned w = unit_random_below(3); w > 0; w--)
			tf_application_writes();
		tf_turn_end();
		tf_now_us += unit_random_below(3) ? unit_random_below(1000) : unit_random_below(100000);
		if (unit_random_below(200) == 0)
			tf_now_us += unit_random_below(20000000);
		tf_turn_end();
	}
	uint64_t in = stack_counter(tf_nodes[0].stack, STACK_COUNTER_tcp_segments_in);
	uint64_t predicted = stack_counter(tf_nodes[0].stack, STACK_COUNTER_tcp_predicted);
	printf("# %llu segments, %llu predicted\n", (unsigned long long)in, (unsigned long long)predicted);
	/* What is odd goes on to be so for a while: what comes behind a gap is not expected. */
	CU_ASSERT(predicted > (odd_one_in ? in / 20 : tf_how.few_buffers ? in / 4 : in * 6 / 10));
	uint64_t other = stack_counter(tf_nodes[1].stack, STACK_COUNTER_tcp_predicted);
	CU_ASSERT(tf_how.scatter_one ? other >= predicted : other == 0);
	tf_end();
}

/* Who it is was remembered with the last segment out. */
static void a_neighbour_that_went_is_asked_for(void)
{
	tf_begin();
	open_conn(0);
	struct tf_segment g = {.seq = tf_nodes[1].conns[0]->rcv_nxt,
		.ack = tf_nodes[1].conns[0]->snd_nxt,
		.len = 65,
		.flags = TCP_ACK,
		.wnd = 1000,
		.ts_val = (uint32_t)(tf_now_us / 1000)};
	tf_input(&g, 1);
	tf_turn_end(); /* it is acknowledged at once, as all are at a connection's beginning */
	for (unsigned i = 0; i < 2; i++) {
		tf_now_us += TF_NEIGHBOUR_US + 100000;
		tf_turn_end();
	}
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(stack_usage(tf_nodes[i].stack).neighbours, 0);
		CU_ASSERT_EQUAL(tcp_conn_write(tf_nodes[i].conns[0], "x", 1), 0);
	}
	tf_turn_end();
	for (unsigned i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(stack_counter(tf_nodes[i].stack, STACK_COUNTER_arp_requests_out), 1);
	tf_end();
}

static void in_all_ways(void)
{
	run_steps(0);
	run_steps(200);
	run_steps(10);
}

static void sums_by_hand(void)
{
	in_all_ways();
}

static void sums_by_the_port(void)
{
	tf_how.sums_by_port = true;
	in_all_ways();
	tf_how.sums_by_port = false;
}

static void behind_a_tag(void)
{
	tf_how.vlan = true;
	in_all_ways();
	tf_how.vlan = false;
}

static void with_few_buffers(void)
{
	tf_how.few_buffers = true;
	in_all_ways();
	tf_how.few_buffers = false;
}

/* One stack gets its segments in pieces, the other whole: what they send and what is read is the same. */
static void in_pieces_or_whole(void)
{
	tf_how.scatter_one = true;
	in_all_ways();
	tf_how.scatter_one = false;
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){{"sums_by_hand", sums_by_hand}, {"sums_by_the_port", sums_by_the_port},
			{"behind_a_tag", behind_a_tag}, {"with_few_buffers", with_few_buffers},
			{"in_pieces_or_whole", in_pieces_or_whole},
			{"a_neighbour_that_went_is_asked_for", a_neighbour_that_went_is_asked_for}, {0}});
}
