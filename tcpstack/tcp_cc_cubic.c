/* SPDX-License-Identifier: Apache-2.0 */
/* CUBIC (RFC 9438) with HyStart++ (RFC 9406) for the first slow start, in integers.
 *
 * Windows are in bytes. Time on the curve is in units of 1024 us, so that C = 0.4 segments a cubic second is
 * 0.4 * 1.024^3 * 10^-9 = 2^13 / 5^19 segments a cubic unit: 1 / CURVE_DIVISOR. */
#include "tcpstack/tcp_impl.h"

enum {
	TIME_SHIFT = 10,
	TIME_MAX = (1 << 18) - 1, /* 268 s: what is farther from K is treated as that far */
	CUBE_SHIFT = 6,		  /* so that a cube times a segment fits 64 bits */
};
static const uint64_t CURVE_DIVISOR = 2328306437;

/* RFC 9406 section 4.2 and 4.3 */
enum {
	HYSTART_RTT_US_MIN = 4000,
	HYSTART_RTT_US_MAX = 16000,
	HYSTART_RTT_DIVISOR = 8,
	HYSTART_SAMPLES = 8,
	HYSTART_GROWTH_DIVISOR = 4,
	HYSTART_ROUNDS = 5,
	SLOW_START_SEGMENTS = 8, /* L, without pacing */
};

static uint32_t seven_tenths(uint32_t n)
{
	return (uint32_t)(7ull * n / 10);
}

static void hystart_begin(struct tcp_conn *c)
{
	c->cc_state.cubic.hystart = (struct tcp_cc_hystart){
		.round_end = c->snd_nxt,
		.last_rtt_us = UINT32_MAX,
		.rtt_us = UINT32_MAX,
	};
}

static void cubic_init(struct tcp_conn *c, bool syn_lost)
{
	c->ssthresh = UINT32_MAX;
	c->cwnd = syn_lost ? c->mss : tcp_cc_initial_window(c);
	c->cc_state.cubic = (struct tcp_cc_cubic){.seen_us = c->stack->now_us};
	hystart_begin(c);
}

/* RFC 9406 section 4.2: has the round trip grown so much that a queue must be building up? */
static void hystart_sample(struct tcp_conn *c, uint32_t rtt_us)
{
	struct tcp_cc_hystart *h = &c->cc_state.cubic.hystart;

	if (rtt_us) {
		h->rtt_us = min_u32(h->rtt_us, rtt_us);
		h->samples += h->samples < UINT8_MAX;
	}
	if (h->samples < HYSTART_SAMPLES || h->last_rtt_us == UINT32_MAX)
		return;
	if (h->careful) {
		if (h->rtt_us < h->baseline_us)
			h->careful = false; /* it was no queue */
		return;
	}
	uint32_t more = max_u32(
		HYSTART_RTT_US_MIN, min_u32(h->last_rtt_us / HYSTART_RTT_DIVISOR, HYSTART_RTT_US_MAX));
	if (h->rtt_us >= h->last_rtt_us + more) {
		h->careful = true;
		h->careful_rounds = 0;
		h->baseline_us = h->rtt_us;
	}
}

/* With the first ACK of what was sent after the last round began: where one turn's ACKs cover all that was
 * sent, what they let out leaves behind them, and is the next round's all the same. */
static void hystart_round(struct tcp_conn *c)
{
	struct tcp_cc_hystart *h = &c->cc_state.cubic.hystart;

	if (seq_lt(c->snd_una, h->round_end + 1))
		return;
	h->round_end = c->snd_nxt;
	h->last_rtt_us = h->rtt_us;
	h->rtt_us = UINT32_MAX;
	h->samples = 0;
	if (h->careful && ++h->careful_rounds >= HYSTART_ROUNDS)
		c->ssthresh = c->cwnd;
}

/* Returns the bytes that were left once ssthresh was reached. */
static uint32_t slow_start(struct tcp_conn *c, const struct tcp_cc_ack *a)
{
	bool first = c->ssthresh == UINT32_MAX; /* later ones know where to end */
	uint32_t bytes = a->bytes, left = 0;

	if (first) {
		hystart_round(c);
		hystart_sample(c, a->rtt_us);
	}
	if (a->cwnd_limited) {
		if (first && c->cc_state.cubic.hystart.careful)
			bytes /= HYSTART_GROWTH_DIVISOR;
		left = tcp_cc_slow_start(c, bytes, SLOW_START_SEGMENTS);
	}
	return left;
}

static uint32_t cube_root(uint64_t x)
{
	uint64_t root = 0;

	for (uint64_t bit = (TIME_MAX + 1) / 2; bit; bit /= 2) {
		uint64_t try = root | bit;
		if (try * try * try <= x)
			root = try;
	}
	return (uint32_t)root;
}

/* Congestion avoidance begins (section 4.2). W_max is where the last event was; without one, after slow start
 * ended by itself or a timeout, it is here (sections 4.8 and 4.10). */
static void epoch_begin(struct tcp_conn *c, uint64_t now_us)
{
	struct tcp_cc_cubic *q = &c->cc_state.cubic;

	q->epoch = true;
	q->epoch_us = now_us;
	q->est = c->cwnd;
	q->est_carry = q->carry = 0;
	if (q->w_max <= c->cwnd)
		q->w_max = c->cwnd;
	q->k = cube_root((uint64_t)(q->w_max - c->cwnd) * CURVE_DIVISOR / c->mss);
}

/* W_cubic(t), section 4.2, figure 1 */
static uint64_t curve(const struct tcp_conn *c, uint64_t t_us)
{
	const struct tcp_cc_cubic *q = &c->cc_state.cubic;
	uint64_t t = t_us >> TIME_SHIFT, d = min_u64(t < q->k ? q->k - t : t - q->k, TIME_MAX);
	uint64_t bytes = (d * d * d >> CUBE_SHIFT) * c->mss / (CURVE_DIVISOR >> CUBE_SHIFT);

	if (t >= q->k)
		return q->w_max + bytes;
	return bytes < q->w_max ? q->w_max - bytes : 0;
}

/* W_est, section 4.3: what Reno would have; alpha is 9/17 = 3 (1 - beta) / (1 + beta) up to the old window.
 */
static void reno_estimate(struct tcp_conn *c, uint32_t bytes)
{
	struct tcp_cc_cubic *q = &c->cc_state.cubic;

	uint64_t whole = 17ull * c->cwnd;
	uint64_t product = (q->est < q->cwnd_prior ? 9ull : 17ull) * bytes * c->mss + q->est_carry;
	q->est_carry = product % whole;
	q->est = (uint32_t)min_u64(q->est + product / whole, TCP_CWND_MAX);
}

static void avoid(struct tcp_conn *c, uint32_t bytes, uint64_t now_us)
{
	struct tcp_cc_cubic *q = &c->cc_state.cubic;

	if (!q->epoch)
		epoch_begin(c, now_us);
	reno_estimate(c, bytes);
	uint64_t t_us = now_us - q->epoch_us;
	if (curve(c, t_us) < q->est) {
		c->cwnd = max_u32(c->cwnd, q->est);
		return;
	}
	/* sections 4.4 and 4.5: a round trip's ACKs lead to where the curve will be by then */
	uint64_t target = min_u64(curve(c, t_us + c->srtt_us), c->cwnd + c->cwnd / 2);
	if (target <= c->cwnd)
		return;
	uint64_t product = (target - c->cwnd) * bytes + q->carry;
	uint32_t before = c->cwnd;
	q->carry = (uint32_t)(product % before);
	tcp_cc_grow(c, (uint32_t)min_u64(product / before, TCP_CWND_MAX));
}

/* Section 5.8: time in which cwnd was not what held the connection back does not count on the curve. */
static void epoch_shift(struct tcp_conn *c, uint64_t now_us)
{
	struct tcp_cc_cubic *q = &c->cc_state.cubic;

	q->epoch_us += now_us - q->seen_us;
	q->seen_us = now_us;
}

static void cubic_acked(struct tcp_conn *c, const struct tcp_cc_ack *a)
{
	struct tcp_cc_cubic *q = &c->cc_state.cubic;
	uint32_t bytes = a->bytes;

	if (!a->cwnd_limited)
		epoch_shift(c, a->now_us);
	q->seen_us = a->now_us;
	if (c->cwnd < c->ssthresh)
		bytes = slow_start(c, a);
	if (bytes && a->cwnd_limited && c->cwnd >= c->ssthresh)
		avoid(c, bytes, a->now_us);
}

static uint32_t cubic_reduced(const struct tcp_conn *c)
{
	return seven_tenths(tcp_cc_flight(c));
}

/* Sections 4.6 and 4.7: beta is 0.7; who had to give way before it was back at the old window leaves room for
 * others faster. */
static void congestion(struct tcp_conn *c)
{
	struct tcp_cc_cubic *q = &c->cc_state.cubic;

	tcp_cc_remember(c);
	q->prior = (struct tcp_cc_cubic_prior){.epoch = q->epoch,
		.epoch_us = q->epoch_us,
		.w_max = q->w_max,
		.cwnd_prior = q->cwnd_prior,
		.k = q->k,
		.est = q->est};
	q->w_max = c->cwnd < q->w_max ? (uint32_t)(17ull * c->cwnd / 20) : c->cwnd;
	q->cwnd_prior = c->cwnd;
	q->epoch = false;
	c->ssthresh = max_u32(cubic_reduced(c), 2u * c->mss);
}

static void cubic_timeout(struct tcp_conn *c, bool again)
{
	if (!again)
		congestion(c);
	c->cc_state.cubic.w_max = 0; /* section 4.8: the next epoch's begins where slow start ends */
	c->cc_state.cubic.epoch = false;
	tcp_cc_timed_out(c);
}

/* Section 4.9 */
static void cubic_undo(struct tcp_conn *c)
{
	struct tcp_cc_cubic *q = &c->cc_state.cubic;

	if (!tcp_cc_restore(c))
		return;
	q->epoch = q->prior.epoch;
	q->epoch_us = q->prior.epoch_us;
	q->w_max = q->prior.w_max;
	q->cwnd_prior = q->prior.cwnd_prior;
	q->k = q->prior.k;
	q->est = q->prior.est;
	if (c->ssthresh == UINT32_MAX)
		hystart_begin(c);
}

static void cubic_idle(struct tcp_conn *c, uint64_t idle_us)
{
	uint32_t before = c->cwnd;

	epoch_shift(c, c->stack->now_us);
	tcp_cc_idle(c, idle_us);
	if (c->cwnd < before)
		c->cc_state.cubic.epoch = false; /* the next begins where slow start ends */
}

const struct tcp_cc tcp_cc_cubic = {
	.name = "cubic",
	.init = cubic_init,
	.acked = cubic_acked,
	.reduced = cubic_reduced,
	.loss = congestion,
	.recovered = tcp_cc_recovered,
	.timeout = cubic_timeout,
	.undo = cubic_undo,
	.idle = cubic_idle,
};
