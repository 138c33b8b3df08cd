/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/godwitctl_tcp.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

static uint64_t number(const json_t *e, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(e, key));
}

static const char *text(const json_t *e, const char *key)
{
	const char *t = json_string_value(json_object_get(e, key));
	return t ? t : "-";
}

void tcp_print_head(FILE *out)
{
	fprintf(out, "%-13s %8s %8s  %-23s %-23s %s\n", "State", "Recv-Q", "Send-Q", "Local", "Peer", "Port");
}

/* Microseconds as milliseconds, without zeros at the end. */
static void put_ms(const char *name, uint64_t us, FILE *out)
{
	uint64_t rest = us % 1000;

	fprintf(out, "%s%" PRIu64, name, us / 1000);
	if (rest == 0)
		return;
	unsigned digits = 3;
	for (; rest % 10 == 0; rest /= 10)
		digits--;
	fprintf(out, ".%0*" PRIu64, (int)digits, rest);
}

static void put_number(const json_t *e, const char *key, const char *name, bool zero_too, FILE *out)
{
	uint64_t n = number(e, key);

	if (json_object_get(e, key) && (n || zero_too))
		fprintf(out, " %s:%" PRIu64, name, n);
}

static void put_options(const json_t *e, FILE *out)
{
	json_t *word;
	size_t i;

	json_array_foreach(json_object_get(e, "options"), i, word)
		fprintf(out, " %s", json_string_value(word));
}

/* What a window a round trip would make, as ss estimates it. */
static void put_rate(const json_t *e, FILE *out)
{
	uint64_t cwnd = number(e, "cwnd_bytes"), rtt_us = number(e, "srtt_us");

	if (cwnd && rtt_us)
		fprintf(out, " send:%" PRIu64 "bps", cwnd * 8 * 1000000 / rtt_us);
}

static void put_timer(const json_t *e, FILE *out)
{
	const char *name = json_string_value(json_object_get(e, "timer"));

	if (!name)
		return;
	fprintf(out, " timer:(%s,", name);
	put_ms("", number(e, "timer_us"), out);
	fprintf(out, "ms,%" PRIu64 ")", number(e, "backoff"));
}

static void put_times(const json_t *e, FILE *out)
{
	put_ms(" rto:", number(e, "rto_us"), out);
	if (number(e, "srtt_us")) {
		put_ms(" rtt:", number(e, "srtt_us"), out);
		fputc('/', out);
		fprintf(out, "%.3g", (double)number(e, "rttvar_us") / 1000);
	}
	if (number(e, "min_rtt_us"))
		put_ms(" minrtt:", number(e, "min_rtt_us"), out);
	if (number(e, "reorder_us"))
		put_ms(" reo_wnd:", number(e, "reorder_us"), out);
}

static void put_connection(const json_t *e, FILE *out)
{
	fprintf(out, "\t %s", text(e, "congestion_control"));
	put_options(e, out);
	fprintf(out, " wscale:%" PRIu64 ",%" PRIu64, number(e, "send_wscale"), number(e, "receive_wscale"));
	put_times(e, out);
	put_number(e, "mss_bytes", "mss", true, out);
	put_number(e, "pmtu_bytes", "pmtu", false, out);
	put_number(e, "cwnd_bytes", "cwnd", true, out);
	if (number(e, "ssthresh_bytes") < UINT32_MAX / 2) /* as large as it may be: not known yet */
		put_number(e, "ssthresh_bytes", "ssthresh", false, out);
	put_number(e, "in_flight_bytes", "inflight", false, out);
	put_number(e, "send_window_bytes", "snd_wnd", true, out);
	put_number(e, "receive_window_bytes", "rcv_wnd", true, out);
	put_number(e, "bytes_sent", "bytes_sent", true, out);
	put_number(e, "bytes_acked", "bytes_acked", true, out);
	put_number(e, "bytes_received", "bytes_received", true, out);
	put_number(e, "segments_sent", "segs_out", true, out);
	put_number(e, "segments_received", "segs_in", true, out);
	put_rate(e, out);
	put_ms(" lastsnd:", number(e, "last_sent_us"), out);
	put_ms(" lastrcv:", number(e, "last_received_us"), out);
	put_ms(" lastack:", number(e, "last_ack_us"), out);
	put_number(e, "retransmits", "retrans", false, out);
	put_number(e, "timeouts", "timeouts", false, out);
	put_number(e, "fast_retransmits", "fast_retrans", false, out);
	put_number(e, "lost_segments", "lost", false, out);
	put_number(e, "sacked_bytes", "sacked", false, out);
	put_number(e, "out_of_order_bytes", "rcv_ooo", false, out);
	put_number(e, "core", "core", true, out);
	if (strcmp(text(e, "recovery"), "none") != 0)
		fprintf(out, " recovery:%s", text(e, "recovery"));
}

void tcp_print(const json_t *entry, FILE *out)
{
	fprintf(out, "%-13s %8" PRIu64 " %8" PRIu64 "  %-23s %-23s %s", text(entry, "state"),
		number(entry, "receive_queue_bytes"), number(entry, "send_queue_bytes"), text(entry, "local"),
		text(entry, "peer"), text(entry, "port"));
	put_timer(entry, out);
	fputc('\n', out);
	if (!json_object_get(entry, "congestion_control"))
		return;
	put_connection(entry, out);
	fputc('\n', out);
}
