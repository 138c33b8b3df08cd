/* SPDX-License-Identifier: Apache-2.0 */
/* Congestion control: CUBIC against a model in floating point that follows RFC 9438's formulas word by word,
 * the other algorithms and HyStart++ by examples. */
#include "tcpstack/tcp_impl.h"
#include "tests/unit/unit.h"

static struct stack stack;
static struct tcp_conn conn;

static void begin(const char *name, uint16_t mss, bool syn_lost)
{
	stack = (struct stack){.now_us = 5000000, .config.initial_window_segments = 10};
	conn = (struct tcp_conn){
		.stack = &stack, .mss = mss, .cc = tcp_cc_by_name(name), .snd_una = 1, .snd_nxt = 1};
	CU_ASSERT_PTR_NOT_NULL_FATAL(conn.cc);
	conn.cc->init(&conn, syn_lost);
}

/* A full window is out, and n bytes of it are acknowledged. */
static void ack_limited(uint32_t n, uint32_t rtt_us, bool limited)
{
	conn.snd_una += n;
	conn.snd_nxt = conn.snd_una + conn.cwnd;
	conn.in_flight = conn.cwnd;
	conn.cc->acked(&conn,
		&(struct tcp_cc_ack){
			.bytes = n, .rtt_us = rtt_us, .cwnd_limited = limited, .now_us = stack.now_us});
}

static void ack(uint32_t n)
{
	ack_limited(n, 0, true);
}

static void lose(void)
{
	conn.snd_nxt = conn.snd_una + conn.cwnd;
	conn.cc->loss(&conn);
	conn.cwnd = conn.in_flight = conn.ssthresh;
	conn.cc->recovered(&conn);
}

/* RFC 9438 in segments and seconds */
struct model {
	double mss, rtt, cwnd, ssthresh, w_max, k, cwnd_prior, est, epoch, limited_out, last;
	bool in_epoch, timed_out;
	struct {
		double cwnd, ssthresh, w_max, k, cwnd_prior, est, epoch;
		bool in_epoch, valid;
	} prior;
};
static struct model model;

static double cbrt_slow(double x)
{
	double lo = 0, hi = 1e6;

	for (int i = 0; i < 200; i++) {
		double mid = (lo + hi) / 2;
		if (mid * mid * mid < x)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

static double w_cubic(double t)
{
	double d = t - model.k;

	return 0.4 * d * d * d + model.w_max;
}

static void model_avoid(double segments, double now)
{
	if (!model.in_epoch) {
		model.in_epoch = true;
		model.epoch = now;
		model.est = model.cwnd;
		if (model.w_max < model.cwnd)
			model.w_max = model.cwnd;
		model.k = cbrt_slow((model.w_max - model.cwnd) / 0.4);
	}
	double alpha = model.est < model.cwnd_prior ? 3 * 0.3 / 1.7 : 1;
	model.est += alpha * segments / model.cwnd;
	double t = now - model.epoch;
	if (w_cubic(t) < model.est) {
		if (model.cwnd < model.est)
			model.cwnd = model.est;
		return;
	}
	double target = w_cubic(t + model.rtt);
	if (target > 1.5 * model.cwnd)
		target = 1.5 * model.cwnd;
	if (target > model.cwnd)
		model.cwnd += (target - model.cwnd) / model.cwnd * segments;
}

static void model_ack(double segments, double now, bool limited)
{
	if (!limited)
		model.epoch += now - model.last;
	model.last = now;
	if (!limited)
		return;
	if (model.cwnd < model.ssthresh) {
		double most = model.timed_out ? 1 : 8, room = model.ssthresh - model.cwnd;
		double step = segments < most ? segments : most;
		if (step < room) {
			model.cwnd += step;
			return;
		}
		model.cwnd = model.ssthresh;
		model.timed_out = false;
		segments -= room;
	}
	if (segments > 0)
		model_avoid(segments, now);
}

static void model_event(void)
{
	model.timed_out = false;
	model.prior = (__typeof__(model.prior)){model.cwnd, model.ssthresh, model.w_max, model.k,
		model.cwnd_prior, model.est, model.epoch, model.in_epoch, true};
	model.w_max = model.cwnd < model.w_max ? model.cwnd * 1.7 / 2 : model.cwnd;
	model.cwnd_prior = model.cwnd;
	model.in_epoch = false;
	model.ssthresh = model.cwnd * 0.7 > 2 ? model.cwnd * 0.7 : 2;
}

static void model_timeout(void)
{
	model_event();
	model.w_max = 0;
	model.cwnd = 1;
	model.timed_out = true;
}

static void model_undo(void)
{
	if (!model.prior.valid)
		return;
	model.prior.valid = model.timed_out = false;
	if (model.cwnd >= model.prior.cwnd) /* section 4.9.2 */
		return;
	model.cwnd = model.prior.cwnd;
	model.ssthresh = model.prior.ssthresh;
	model.w_max = model.prior.w_max;
	model.k = model.prior.k;
	model.cwnd_prior = model.prior.cwnd_prior;
	model.est = model.prior.est;
	model.epoch = model.prior.epoch;
	model.in_epoch = model.prior.in_epoch;
}

static void model_idle(double now)
{
	model.epoch += now - model.last;
	model.last = now;
	if (model.ssthresh < model.cwnd * 0.75)
		model.ssthresh = model.cwnd * 0.75;
	double restart = conn.stack->config.initial_window_segments;
	if (restart * model.mss > 14600)
		restart = 14600 / model.mss > 2 ? 14600 / model.mss : 2;
	if (model.cwnd > restart) {
		model.cwnd = restart;
		model.in_epoch = false;
	}
}

static double now_s(void)
{
	return (double)stack.now_us / 1e6;
}

static double wrong_by(void)
{
	double d = conn.cwnd / model.mss - model.cwnd;

	return d < 0 ? -d : d;
}

/* What an ACK may lead out of slow start in one of the two and the next one in the other: with few segments
 * in flight that is a round trip, by which one is behind the other on the curve from then on. */
static double behind_by(double now)
{
	double t = now - model.epoch - model.k;

	return model.in_epoch && t > 0 ? 1.2 * t * t * model.rtt : 0;
}

/* Where another window and cwnd are nearly the same the last bit decides: of W_max on fast convergence, of
 * that before the last event on undoing it. */
static bool close_call(double window)
{
	double d = model.cwnd - window;

	return d < model.cwnd * 0.04 + 4 && -d < model.cwnd * 0.04 + 4;
}

static void random_event(void)
{
	uint32_t what = unit_random_below(8);

	if (what == 0) {
		stack.now_us += 300000 + unit_random_below(3000000);
		conn.cc->idle(&conn, 300000);
		model_idle(now_s());
	} else if (what == 1) {
		if (close_call(model.prior.cwnd))
			return;
		conn.cc->undo(&conn);
		model_undo();
	} else if (close_call(model.w_max)) {
		return;
	} else if (what == 2) {
		conn.snd_nxt = conn.snd_una + conn.cwnd;
		conn.cc->timeout(&conn, false);
		model_timeout();
	} else {
		lose();
		model_event();
		model.cwnd = model.ssthresh;
	}
}

static void one_life(void)
{
	static const uint16_t mss[] = {536, 1448, 8948};
	uint32_t rtt_us = 50u << unit_random_below(13), per_mille = 1 + unit_random_below(20);

	begin("cubic", mss[unit_random_below(3)], unit_random_below(4) == 0);
	conn.srtt_us = rtt_us;
	model = (struct model){.mss = conn.mss,
		.rtt = rtt_us / 1e6,
		.cwnd = (double)conn.cwnd / conn.mss,
		.ssthresh = 1e9,
		.last = now_s()};
	bool limited = true;
	unsigned wrong = 0;
	for (unsigned i = 0; i < 4000; i++) {
		double segments = 1 + unit_random_below(2);
		uint64_t gap_us = (uint64_t)(rtt_us * segments / model.cwnd);
		stack.now_us += gap_us ? gap_us : 1;
		if (unit_random_below(200) == 0)
			limited = !limited;
		ack_limited((uint32_t)(segments * conn.mss), 0, limited);
		model_ack(segments, now_s(), limited);
		/* An event makes W_max of the window: not of one that is an ACK behind. */
		if (!wrong && wrong_by() < 0.5 + model.cwnd * 0.01 && unit_random_below(5000) < per_mille)
			random_event();
		/* An ACK may lead one of the two out of slow start or Reno's region, the next one the other,
		 * which catches up within a few round trips. */
		wrong = wrong_by() > 1.5 + model.cwnd * 0.02 + behind_by(now_s()) ? wrong + 1 : 0;
		if (wrong > 4 + 3 * model.cwnd) {
			CU_FAIL("far from the model");
			printf("# step %u: cwnd %g, model %g; W_max %g, model %g; K %g, %g s; est %g, %g\n",
				i, conn.cwnd / model.mss, model.cwnd, conn.cc_state.cubic.w_max / model.mss,
				model.w_max, conn.cc_state.cubic.k * 1.024e-3, model.k,
				conn.cc_state.cubic.est / model.mss, model.est);
			return;
		}
	}
	CU_PASS("");
}

static void test_cubic_model(void)
{
	for (unsigned i = 0; i < 300; i++)
		one_life();
}

static void test_initial_window(void)
{
	begin("cubic", 1448, false);
	CU_ASSERT_EQUAL(conn.cwnd, 14480);
	begin("newreno", 536, false);
	CU_ASSERT_EQUAL(conn.cwnd, 5360);
	begin("newreno", 8948, false); /* two segments or 14600 bytes */
	CU_ASSERT_EQUAL(conn.cwnd, 17896);
	begin("cubic", 4000, false);
	CU_ASSERT_EQUAL(conn.cwnd, 14600);
	begin("cubic", 1448, true); /* RFC 5681 section 3.1: the SYN was lost */
	CU_ASSERT_EQUAL(conn.cwnd, 1448);
	CU_ASSERT_EQUAL(conn.ssthresh, UINT32_MAX);
}

static void test_newreno(void)
{
	begin("newreno", 1000, false);
	ack(1000);
	CU_ASSERT_EQUAL(conn.cwnd, 11000);
	ack(9000); /* L is 2 */
	CU_ASSERT_EQUAL(conn.cwnd, 13000);
	ack_limited(1000, 0, false);
	CU_ASSERT_EQUAL(conn.cwnd, 13000);
	/* two segments of limited transmit are not flight */
	conn.snd_nxt = conn.snd_una + 15000;
	conn.cc->loss(&conn);
	CU_ASSERT_EQUAL(conn.ssthresh, 6500);
	CU_ASSERT_EQUAL(conn.cwnd, 13000);
	conn.in_flight = 0;
	conn.cc->recovered(&conn);
	CU_ASSERT_EQUAL(conn.cwnd, 6500);
	for (unsigned i = 0; i < 6; i++)
		ack(1000);
	CU_ASSERT_EQUAL(conn.cwnd, 6500);
	ack(1000); /* a window's worth */
	CU_ASSERT_EQUAL(conn.cwnd, 7500);
	conn.cc->undo(&conn);
	CU_ASSERT_EQUAL(conn.cwnd, 13000);
	CU_ASSERT_EQUAL(conn.ssthresh, UINT32_MAX);
	conn.cc->undo(&conn); /* once */
	CU_ASSERT_EQUAL(conn.cwnd, 13000);
}

static void test_timeout(void)
{
	static const char *const names[] = {"newreno", "cubic"};

	for (unsigned i = 0; i < 2; i++) {
		begin(names[i], 1000, false);
		conn.snd_nxt = conn.snd_una + 8000; /* cwnd 10000 is not used up */
		conn.cc->timeout(&conn, false);
		CU_ASSERT_EQUAL(conn.cwnd, 1000);
		uint32_t ssthresh = conn.ssthresh;
		CU_ASSERT_EQUAL(ssthresh, i ? 5600 : 4000);
		conn.cc->timeout(&conn, true);
		CU_ASSERT_EQUAL(conn.ssthresh, ssthresh);
		conn.cc->undo(&conn);
		CU_ASSERT_EQUAL(conn.cwnd, 10000);
		CU_ASSERT_EQUAL(conn.ssthresh, UINT32_MAX);
		conn.snd_nxt = conn.snd_una + 1000;
		conn.cc->loss(&conn);
		CU_ASSERT_EQUAL(conn.ssthresh, 2000); /* two segments at least */
	}
}

/* One ACK for a whole window lets no window-sized burst out. */
static void test_recovered_without_burst(void)
{
	begin("cubic", 1000, false);
	conn.cwnd = 100000;
	conn.snd_nxt = conn.snd_una + 100000;
	conn.cc->loss(&conn);
	conn.cwnd = conn.ssthresh;
	conn.in_flight = 0;
	conn.cc->recovered(&conn);
	CU_ASSERT_EQUAL(conn.cwnd, 10000);
	CU_ASSERT_EQUAL(conn.ssthresh, 70000);
}

static void test_idle(void)
{
	static const char *const names[] = {"newreno", "cubic"};

	for (unsigned i = 0; i < 2; i++) {
		begin(names[i], 1000, false);
		conn.cwnd = 40000;
		conn.ssthresh = 20000;
		conn.cc->idle(&conn, 1000000);
		CU_ASSERT_EQUAL(conn.cwnd, 10000);
		CU_ASSERT_EQUAL(conn.ssthresh, 30000);
		conn.cwnd = 3000;
		conn.cc->idle(&conn, 1000000);
		CU_ASSERT_EQUAL(conn.cwnd, 3000);
	}
}

static void test_none(void)
{
	begin("none", 1448, true);
	CU_ASSERT(conn.cwnd >= 1u << 30);
	lose();
	CU_ASSERT(conn.cwnd >= 1u << 30);
	conn.cc->timeout(&conn, false);
	conn.cc->idle(&conn, 1000000);
	ack(1448);
	conn.cc->undo(&conn);
	CU_ASSERT(conn.cwnd >= 1u << 30 && conn.ssthresh >= 1u << 30);
}

/* RFC 9438 section 4.7: who lost before it was back gives up more. */
static void test_cubic_fast_convergence(void)
{
	begin("cubic", 1000, false);
	conn.cwnd = 100000;
	lose();
	CU_ASSERT_EQUAL(conn.cc_state.cubic.w_max, 100000);
	CU_ASSERT_EQUAL(conn.ssthresh, 70000);
	conn.cwnd = 80000;
	lose();
	CU_ASSERT_EQUAL(conn.cc_state.cubic.w_max, 68000);
	CU_ASSERT_EQUAL(conn.ssthresh, 56000);
}

/* A round trip of a connection that is not held back by anything but cwnd. */
static void round_trip(uint32_t rtt_us)
{
	uint32_t segments = conn.cwnd / conn.mss;

	conn.srtt_us = rtt_us;
	for (uint32_t i = 0; i < segments; i++) {
		stack.now_us += rtt_us / segments;
		conn.snd_una += conn.mss;
		conn.snd_nxt = conn.snd_una + conn.cwnd;
		conn.cc->acked(&conn, &(struct tcp_cc_ack){.bytes = conn.mss,
					      .rtt_us = rtt_us,
					      .cwnd_limited = true,
					      .now_us = stack.now_us});
	}
}

/* Two minutes on a path of 10 segments' worth: CUBIC is no slower than Reno there (section 4.3). */
static void test_cubic_reno_friendly(void)
{
	begin("cubic", 1448, false);
	lose();
	lose();
	lose();
	uint32_t before = conn.cwnd;
	for (unsigned i = 0; i < 10; i++)
		round_trip(1000);
	/* alpha is 9/17: five segments in ten round trips */
	CU_ASSERT(conn.cwnd >= before + 4 * 1448 && conn.cwnd <= before + 8 * 1448);
}

/* A connection that the application held back for an hour has no hour's growth to catch up with. */
static void test_cubic_app_limited(void)
{
	begin("cubic", 1448, false);
	conn.cwnd = 100 * 1448;
	lose();
	round_trip(20000);
	uint32_t before = conn.cwnd;
	for (unsigned i = 0; i < 3600; i++) {
		stack.now_us += 1000000;
		ack_limited(1448, 20000, false);
	}
	CU_ASSERT_EQUAL(conn.cwnd, before);
	round_trip(20000);
	CU_ASSERT(conn.cwnd > before && conn.cwnd < before + 10 * 1448);
	stack.now_us += 3600000000;
	conn.cc->idle(&conn, 3600000000);
	while (conn.cwnd < conn.ssthresh)
		round_trip(20000);
	round_trip(20000);
	CU_ASSERT(conn.cwnd < before + 10 * 1448);
}

/* RFC 9406: a growing round trip ends slow start before a loss does. */
static void test_hystart_leaves_early(void)
{
	begin("cubic", 1448, false);
	round_trip(20000);
	round_trip(20000);
	CU_ASSERT_EQUAL(conn.cwnd, 4 * 14480);
	round_trip(30000); /* a queue: growth slows down */
	CU_ASSERT(conn.cc_state.cubic.hystart.careful);
	uint32_t before = conn.cwnd;
	round_trip(30000);
	CU_ASSERT(conn.cwnd > before && conn.cwnd <= before + before / 4 + 1448);
	for (unsigned i = 0; i < 5; i++)
		round_trip(30000);
	CU_ASSERT(conn.ssthresh <= conn.cwnd);
}

static void test_hystart_goes_on_after_jitter(void)
{
	begin("cubic", 1448, false);
	round_trip(20000);
	round_trip(20000);
	round_trip(30000);
	CU_ASSERT(conn.cc_state.cubic.hystart.careful);
	round_trip(20000);
	CU_ASSERT(!conn.cc_state.cubic.hystart.careful);
	uint32_t before = conn.cwnd;
	round_trip(20000);
	CU_ASSERT(conn.cwnd >= 2 * before - 1448);
	CU_ASSERT_EQUAL(conn.ssthresh, UINT32_MAX);
}

/* The largest windows and the longest times overflow nothing. */
static void test_cubic_extremes(void)
{
	begin("cubic", 88, false);
	conn.srtt_us = 2000000;
	conn.cwnd = TCP_CWND_MAX;
	lose();
	for (unsigned i = 0; i < 1000; i++) {
		stack.now_us += 400000000;
		ack(UINT16_MAX);
		CU_ASSERT(conn.cwnd <= TCP_CWND_MAX);
	}
	CU_ASSERT(conn.cwnd > TCP_CWND_MAX / 10 * 7 + 10000000);
}

static const struct unit_test tests[] = {
	{"initial_window", test_initial_window},
	{"newreno", test_newreno},
	{"timeout", test_timeout},
	{"recovered_without_burst", test_recovered_without_burst},
	{"idle", test_idle},
	{"none", test_none},
	{"cubic_model", test_cubic_model},
	{"cubic_fast_convergence", test_cubic_fast_convergence},
	{"cubic_reno_friendly", test_cubic_reno_friendly},
	{"cubic_app_limited", test_cubic_app_limited},
	{"cubic_extremes", test_cubic_extremes},
	{"hystart_leaves_early", test_hystart_leaves_early},
	{"hystart_goes_on_after_jitter", test_hystart_goes_on_after_jitter},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
