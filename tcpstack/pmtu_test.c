/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of paths, and what connections make of it. */
#include "tcpstack/frame_fixture.h"
#include "tcpstack/tcp_impl.h"

static const struct tcp_app app;

static void what_was_told_is_remembered_for_a_while(void)
{
	struct ip_addr v4 = ip_v4(FX_PEER4);

	fx_begin(NULL);
	CU_ASSERT_EQUAL(pmtu_get(fx_stack, &v4), 1500);
	pmtu_set(fx_stack, &v4, 1000);
	pmtu_set(fx_stack, &fx_peer, 1280);
	CU_ASSERT_EQUAL(pmtu_get(fx_stack, &v4), 1000);
	CU_ASSERT_EQUAL(pmtu_get(fx_stack, &fx_peer), 1280);
	pmtu_set(fx_stack, &v4, 1400);
	CU_ASSERT_EQUAL(pmtu_get(fx_stack, &v4), 1400);
	pmtu_set(fx_stack, &v4, 9000); /* never more than the link's */
	CU_ASSERT_EQUAL(pmtu_get(fx_stack, &v4), 1500);
	fx_run(599000000);
	CU_ASSERT_EQUAL(pmtu_get(fx_stack, &fx_peer), 1280);
	fx_run(2000000);
	CU_ASSERT_EQUAL(pmtu_get(fx_stack, &fx_peer), 1500);
	fx_end();
}

/* However many destinations: the newest are known, the number is bounded. */
static void the_cache_is_bounded(void)
{
	fx_begin(NULL);
	for (uint32_t i = 0; i < 10000; i++) {
		struct ip_addr a = ip_v4(0x0b000000 + i * 17);
		fx_now_us += 1000;
		stack_output(fx_stack, fx_now_us);
		pmtu_set(fx_stack, &a, 1000);
		if (pmtu_get(fx_stack, &a) != 1000)
			CU_FAIL_FATAL("the newest is not known");
	}
	CU_ASSERT_TRUE(FX_COUNTER(pmtu_evicted) >= 10000 - PMTU_SETS * PMTU_WAYS);
	fx_end();
}

static uint16_t mss_to(const struct ip_addr *peer, uint16_t pmtu, uint16_t mss, bool timestamps)
{
	pmtu_set(fx_stack, peer, pmtu);
	struct tcp_conn *c = tcp_connect(fx_stack, peer, 5672, NULL, &app, NULL, fx_now_us);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	tcp_conn_negotiate(c, &(struct tcp_syn_options){.mss = mss, .has_timestamp = timestamps});
	uint16_t result = c->mss;
	CU_ASSERT_EQUAL(c->may_fragment, ip_is_v4(peer) && pmtu < 576);
	tcp_conn_abort(c);
	stack_output(fx_stack, fx_now_us);
	fx_forget();
	return result;
}

/* RFC 6691: the smallest of what the peer takes, the path takes and the link takes, less the options. */
static void segments_fit_the_path(void)
{
	struct ip_addr v4 = ip_v4(FX_PEER4);

	fx_begin(NULL);
	CU_ASSERT_EQUAL(mss_to(&v4, 1500, 1460, false), 1460);
	CU_ASSERT_EQUAL(mss_to(&v4, 1500, 1460, true), 1448);
	CU_ASSERT_EQUAL(mss_to(&v4, 1000, 1460, false), 960);
	CU_ASSERT_EQUAL(mss_to(&v4, 1000, 1460, true), 948);
	CU_ASSERT_EQUAL(mss_to(&v4, 1000, 500, true), 488);
	CU_ASSERT_EQUAL(mss_to(&v4, 300, 1460, false), 536);
	CU_ASSERT_EQUAL(mss_to(&v4, 1500, 1, true), 76); /* TCP_MSS_MIN */
	CU_ASSERT_EQUAL(mss_to(&fx_peer, 1500, 1440, false), 1440);
	CU_ASSERT_EQUAL(mss_to(&fx_peer, 1300, 1440, false), 1240);
	CU_ASSERT_EQUAL(mss_to(&fx_peer, 1280, 9000, true), 1208);
	fx_end();
}

/* A packet that routers may cut up says so, and has a number of its own; others are whole or nothing. */
static void what_may_be_cut_up_is_numbered(void)
{
	struct ip_send to = {.src = ip_v4(FX_US4), .dst = ip_v4(FX_PEER4), .protocol = IP_PROTOCOL_TCP};
	uint16_t id[2];

	fx_begin(NULL);
	fx_know_peer();
	for (unsigned i = 0; i < 3; i++) {
		to.may_fragment = i < 2;
		ip_output_take(fx_stack, stack_tx_alloc(fx_stack), &to);
		stack_output(fx_stack, fx_now_us);
		const uint8_t *p = fx_out(i) + ETH_HEADER_BYTES;
		CU_ASSERT_EQUAL(wire_get16(p + 6), i < 2 ? 0 : 0x4000);
		if (i < 2)
			id[i] = wire_get16(p + 4);
	}
	CU_ASSERT_NOT_EQUAL(id[0], id[1]);
	fx_end();
}

int main(int argc, char **argv)
{
	return unit_main(argc, argv,
		(struct unit_test[]){
			{"what_was_told_is_remembered_for_a_while", what_was_told_is_remembered_for_a_while},
			{"the_cache_is_bounded", the_cache_is_bounded},
			{"segments_fit_the_path", segments_fit_the_path},
			{"what_may_be_cut_up_is_numbered", what_may_be_cut_up_is_numbered},
			{0},
		});
}
