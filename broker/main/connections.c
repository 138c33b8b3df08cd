/* SPDX-License-Identifier: Apache-2.0 */
/* `godwitctl tcp`: what is known of each TCP connection of each port. A data core copies some entries a
 * turn (tcp_list); their JSON is made here, on the control thread. */
#include "broker/control/control.h"
#include "broker/main/instance.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/compiler.h>

enum { CALL_TIMEOUT_MS = 1000, SLICE = 64, SLICES_A_PIECE = 16 };

struct listing {
	struct control_stream stream;
	struct instance *in;
	uint32_t port, core, cursor; /* of the entry that comes next */
	uint16_t tcp_port;	     /* asked for; 0: any */
	char state[32];		     /* asked for; empty: any */
	char only[CONFIG_IFNAME_BYTES];
	bool stuck; /* the core may yet write to it */
	unsigned count;
	struct tcp_entry entries[SLICE];
};

static void slice_on_core(void *arg)
{
	struct listing *l = arg;

	struct bypass *b = l->in->cores[l->core].bypass[l->port];

	l->count = tcp_list(bypass_stack(b), &l->cursor, l->entries, SLICE);
}

static void set(json_t *o, const char *key, uint64_t n)
{
	json_object_set_new(o, key, json_integer((json_int_t)n));
}

static void set_end(json_t *o, const char *key, const struct ip_addr *a, uint16_t port)
{
	char text[INET6_ADDRSTRLEN], end[INET6_ADDRSTRLEN + 10];
	bool v4 = ip_is_v4(a);

	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->bytes + IP_V4_AT : a->bytes, text, sizeof(text));
	snprintf(end, sizeof(end), v4 ? "%s:%u" : "[%s]:%u", text, port);
	json_object_set_new(o, key, json_string(end));
}

static void set_options(json_t *o, const struct tcp_conn_info *i)
{
	json_t *options = json_array();

	if (i->timestamps)
		json_array_append_new(options, json_string("ts"));
	if (i->sack)
		json_array_append_new(options, json_string("sack"));
	if (i->ecn)
		json_array_append_new(options, json_string("ecn"));
	if (i->nodelay)
		json_array_append_new(options, json_string("nodelay"));
	if (i->corked)
		json_array_append_new(options, json_string("cork"));
	json_object_set_new(o, "options", options);
}

/* What only a connection has: not what is half open, nor in TIME-WAIT. */
static void set_connection(json_t *o, const struct tcp_entry *e)
{
	const struct tcp_conn_info *i = &e->info;

	json_object_set_new(o, "congestion_control", json_string(i->cc));
	json_object_set_new(o, "recovery", json_string(i->recovery));
	set_options(o, i);
	set(o, "srtt_us", i->srtt_us);
	set(o, "rttvar_us", i->rttvar_us);
	set(o, "min_rtt_us", i->min_rtt_us);
	set(o, "rto_us", i->rto_us);
	set(o, "cwnd_bytes", i->cwnd_bytes);
	set(o, "ssthresh_bytes", i->ssthresh_bytes);
	set(o, "in_flight_bytes", i->in_flight_bytes);
	set(o, "send_window_bytes", i->snd_wnd_bytes);
	set(o, "receive_window_bytes", i->rcv_wnd_bytes);
	set(o, "send_wscale", i->snd_wscale);
	set(o, "receive_wscale", i->rcv_wscale);
	set(o, "out_of_order_bytes", i->reass_bytes);
	set(o, "sacked_bytes", i->sacked_bytes);
	set(o, "lost_segments", i->lost_segments);
	set(o, "reorder_us", i->reorder_us);
	set(o, "bytes_sent", i->bytes_out);
	set(o, "bytes_acked", i->delivered_bytes);
	set(o, "bytes_received", i->bytes_in);
	set(o, "segments_sent", i->segments_out);
	set(o, "segments_received", i->segments_in);
	set(o, "timeouts", i->timeouts);
	set(o, "fast_retransmits", i->fast_retransmits);
	set(o, "last_sent_us", e->since_sent_us);
	set(o, "last_received_us", e->since_data_us);
	set(o, "last_ack_us", e->since_heard_us);
}

static json_t *entry_json(const struct listing *l, const struct tcp_entry *e)
{
	json_t *o = json_object();

	json_object_set_new(o, "port", json_string(l->in->config.ports[l->port].name));
	set(o, "core", l->core);
	json_object_set_new(o, "state", json_string(e->info.state));
	set_end(o, "local", &e->laddr, e->lport);
	set_end(o, "peer", &e->raddr, e->rport);
	set(o, "receive_queue_bytes", e->info.rx_queued_bytes);
	set(o, "send_queue_bytes", e->info.tx_queued_bytes);
	json_object_set_new(o, "timer", e->timer ? json_string(e->timer) : json_null());
	set(o, "timer_us", e->timer_us);
	set(o, "backoff", e->backoff);
	set(o, "mss_bytes", e->info.mss_bytes);
	set(o, "pmtu_bytes", e->info.pmtu_bytes);
	set(o, "retransmits", e->info.resent);
	if (e->info.cc)
		set_connection(o, e);
	return o;
}

static bool wanted(const struct listing *l, const struct tcp_entry *e)
{
	if (l->tcp_port && e->lport != l->tcp_port && e->rport != l->tcp_port)
		return false;
	return l->state[0] == '\0' || strcasecmp(l->state, e->info.state) == 0;
}

/* The next port that is there and asked for, from l->port on; CONFIG_PORTS_MAX: none. */
static void skip_ports(struct listing *l)
{
	for (; l->port < CONFIG_PORTS_MAX; l->port++) {
		const char *name = l->in->config.ports[l->port].name;
		if (l->in->cores[0].bypass[l->port] && (l->only[0] == '\0' || strcmp(l->only, name) == 0))
			return;
	}
}

static int take_slice(struct listing *l, json_t *entries, char *error, size_t error_bytes)
{
	int code = calls_run(l->in->cores[l->core].calls, slice_on_core, l, CALL_TIMEOUT_MS);

	if (code) {
		l->stuck = code == -ETIMEDOUT;
		snprintf(error, error_bytes, "data core %u did not answer within %d ms", l->core,
			CALL_TIMEOUT_MS);
		return -1;
	}
	for (unsigned i = 0; i < l->count; i++)
		if (wanted(l, &l->entries[i]))
			json_array_append_new(entries, entry_json(l, &l->entries[i]));
	if (l->cursor == TCP_LIST_END) {
		l->cursor = 0;
		l->core = (l->core + 1) % l->in->core_count;
		l->port += l->core == 0;
		skip_ports(l);
	}
	return 0;
}

static int listing_next(
	struct control_stream *s, struct control_piece *piece, char *error, size_t error_bytes)
{
	struct listing *l = caa_container_of(s, struct listing, stream);
	json_t *entries = json_array();

	/* Each slice is a turn of its own; the other clients wait for a few of them. */
	for (unsigned i = 0; i < SLICES_A_PIECE && l->port < CONFIG_PORTS_MAX; i++) {
		if (json_array_size(entries) >= SLICE)
			break;
		if (take_slice(l, entries, error, error_bytes) != 0) {
			json_decref(entries);
			return -1;
		}
	}
	piece->result = entries;
	piece->last = l->port == CONFIG_PORTS_MAX;
	return 1;
}

static void listing_close(struct control_stream *s)
{
	struct listing *l = caa_container_of(s, struct listing, stream);

	if (!l->stuck)
		free(l);
}

static int read_port_name(struct listing *l, const char *name, char *error, size_t error_bytes)
{
	for (uint32_t i = 0; name && i < l->in->config.port_count; i++) {
		if (strcmp(l->in->config.ports[i].name, name) == 0) {
			snprintf(l->only, sizeof(l->only), "%s", name);
			return 0;
		}
	}
	snprintf(error, error_bytes, "there is no port %.40s", name ? name : "of that name");
	return -1;
}

static int read_arguments(struct listing *l, const json_t *arguments, char *error, size_t error_bytes)
{
	const char *key, *text;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)arguments, key, value)
	{
		text = json_string_value(value);
		json_int_t n = json_integer_value(value);
		if (strcmp(key, "port") == 0) {
			if (read_port_name(l, text, error, error_bytes) != 0)
				return -1;
		} else if (strcmp(key, "state") == 0 && text) {
			snprintf(l->state, sizeof(l->state), "%s", text);
		} else if (strcmp(key, "tcp_port") == 0 && n >= 1 && n <= UINT16_MAX) {
			l->tcp_port = (uint16_t)n;
		} else {
			snprintf(error, error_bytes, "%.40s: no argument of tcp, or not its value", key);
			return -1;
		}
	}
	return 0;
}

struct control_stream *connections_open(void *ctx, const json_t *arguments, char *error, size_t error_bytes)
{
	struct listing *l = calloc(1, sizeof(*l));

	if (!l) {
		snprintf(error, error_bytes, "out of memory");
		return NULL;
	}
	l->in = ctx;
	l->stream = (struct control_stream){.next = listing_next, .close = listing_close};
	if (read_arguments(l, arguments, error, error_bytes) != 0) {
		free(l);
		return NULL;
	}
	skip_ports(l);
	return &l->stream;
}
