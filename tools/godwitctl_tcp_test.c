/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/godwitctl_tcp.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static void expect(const char *json, const char *golden)
{
	char *out = NULL;
	size_t bytes;
	json_t *entry = json_loads(json, 0, NULL);
	FILE *f = open_memstream(&out, &bytes);

	CU_ASSERT_PTR_NOT_NULL_FATAL(entry);
	tcp_print(entry, f);
	fclose(f);
	CU_ASSERT_STRING_EQUAL(out, golden);
	if (strcmp(out, golden) != 0)
		printf("got:\n%s", out);
	free(out);
	json_decref(entry);
}

static void test_connection(void)
{
	expect("{\"port\":\"godwit0\",\"core\":3,\"state\":\"ESTABLISHED\",\"local\":\"198.18.0.2:5672\","
	       "\"peer\":"
	       "\"198.18.0.1:40000\",\"receive_queue_bytes\":0,\"send_queue_bytes\":4,\"timer\":"
	       "\"retransmit\","
	       "\"timer_us\":200100,\"backoff\":1,\"mss_bytes\":1448,\"retransmits\":2,\"congestion_"
	       "control\":"
	       "\"cubic\",\"recovery\":\"timeout\",\"options\":[\"ts\",\"sack\"],\"srtt_us\":1500,\"rttvar_"
	       "us\":250,"
	       "\"min_rtt_us\":0,\"rto_us\":201000,\"cwnd_bytes\":14480,\"ssthresh_bytes\":2147483647,"
	       "\"in_flight_bytes\":4,\"send_window_bytes\":64256,\"receive_window_bytes\":65535,\"send_"
	       "wscale\":7,"
	       "\"receive_wscale\":2,\"bytes_sent\":10,\"bytes_acked\":6,\"bytes_received\":0,\"segments_"
	       "sent\":5,"
	       "\"segments_received\":3,\"last_sent_us\":1010,\"last_received_us\":20,\"last_ack_us\":3000}",
		"ESTABLISHED          0        4  198.18.0.2:5672         198.18.0.1:40000        godwit0 "
		"timer:(retransmit,200.1ms,1)\n"
		"\t cubic ts sack wscale:7,2 rto:201 rtt:1.5/0.25 mss:1448 cwnd:14480 inflight:4 "
		"snd_wnd:64256 "
		"rcv_wnd:65535 bytes_sent:10 bytes_acked:6 bytes_received:0 segs_out:5 segs_in:3 "
		"send:77226666bps "
		"lastsnd:1.01 lastrcv:0.02 lastack:3 retrans:2 core:3 recovery:timeout\n");
}

static void test_less_is_known(void)
{
	expect("{\"port\":\"lan\",\"state\":\"TIME-WAIT\",\"local\":\"[fd00::1]:5672\",\"peer\":\"[fd00::2]:"
	       "1\","
	       "\"receive_queue_bytes\":0,\"send_queue_bytes\":0,\"timer\":null,\"timer_us\":0,\"backoff\":"
	       "0}",
		"TIME-WAIT            0        0  [fd00::1]:5672          [fd00::2]:1             lan\n");
	expect("{}", "-                    0        0  -                       -                       -\n");
}

static const struct unit_test tests[] = {
	{"a connection", test_connection},
	{"an entry of which little is known", test_less_is_known},
	{NULL, NULL},
};

int main(int argc, char **argv)
{
	return unit_main(argc, argv, tests);
}
