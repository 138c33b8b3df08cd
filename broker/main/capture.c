/* SPDX-License-Identifier: Apache-2.0 */
/* `godwitctl capture`: copies of ports' frames, streamed as pcapng. Each data core fills one ring a port
 * (transport/capture.h); they are merged by time as far as it is known here; everything else happens here, on
 * the control thread, and no file is written: the client does that with its own rights. */
#include "broker/control/control.h"
#include "broker/main/capture_request.h"
#include "broker/main/instance.h"
#include "broker/main/pcapng.h"
#include "runtime/clock.h"
#include "runtime/log.h"
#include "runtime/wire.h"
#include "tcpstack/checksum.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/compiler.h>

enum {
	CALL_TIMEOUT_MS = 1000,
	PIECE_BYTES = 256 << 10, /* of one piece, and one packet more */
	HEADERS_BYTES = (1 + CONFIG_PORTS_MAX) * PCAPNG_BLOCK_BYTES,
	BUFFER_BYTES = PIECE_BYTES + CAPTURE_SNAPLEN_MAX + PCAPNG_PACKET_BYTES + HEADERS_BYTES,
};

/* A port's frames on one core. */
struct tap {
	uint32_t port; /* index */
	unsigned core;
	unsigned interface; /* the port's, in the section */
	struct capture *capture;
	uint64_t delivered;
};

/* What a core is called with. */
struct core_end {
	struct capture_session *session;
	struct data_core *core;
	bool attached;
};

enum stage { STAGE_HEADERS, STAGE_PACKETS, STAGE_STATISTICS, STAGE_RESULT };

struct capture_session {
	struct control_stream stream;
	struct instance *in;
	struct capture_request request;
	struct tap taps[CONFIG_PORTS_MAX * CONFIG_LCORES_MAX]; /* a port's lie together */
	unsigned tap_count, interface_count;
	struct core_end ends[CONFIG_LCORES_MAX];
	enum stage stage;
	bool attached;
	const char *ended_by; /* NULL: it goes on */
	uint64_t begin_ns, end_ns, until_us;
	uint64_t packets, bytes; /* delivered */
	uint8_t *buffer;	 /* BUFFER_BYTES */
};

static uint64_t clock_real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t in_unit(const struct capture_session *s, uint64_t ns)
{
	return s->request.nanoseconds ? ns : ns / 1000;
}

/* ---- on and off ---- */

static void set_captures(struct core_end *e, bool on)
{
	struct capture_session *s = e->session;

	for (unsigned i = 0; i < s->tap_count; i++)
		if (s->taps[i].core == e->core->index)
			bypass_set_capture(e->core->bypass[s->taps[i].port], on ? s->taps[i].capture : NULL);
}

static void attach_on_core(void *end)
{
	set_captures(end, true);
}

static void detach_on_core(void *end)
{
	set_captures(end, false);
}

static void session_free(struct capture_session *s)
{
	for (unsigned i = 0; i < s->tap_count; i++) {
		capture_destroy(s->taps[i].capture);
		s->in->capturing[s->taps[i].port] = false;
	}
	free(s->buffer);
	free(s);
}

/* 0; or a core did not answer: it may yet write to the rings, which stay for that. */
static int detach(struct capture_session *s)
{
	for (unsigned i = 0; i < s->in->core_count; i++) {
		struct core_end *e = &s->ends[i];
		if (!e->attached)
			continue;
		int error = calls_run(e->core->calls, detach_on_core, e, CALL_TIMEOUT_MS);
		if (error) {
			LOG_ERROR("capture", "data core %u did not let go within %d ms", i, CALL_TIMEOUT_MS);
			return error;
		}
		e->attached = false;
	}
	if (s->attached)
		s->end_ns = clock_real_ns();
	s->attached = false;
	return 0;
}

/* 0, or the first error: those that answered are detached again where they answer. -ETIMEDOUT: one may still
 * come to it, and what it will write to must stay. */
static int attach(struct capture_session *s)
{
	int error = 0;

	for (unsigned i = 0; i < s->in->core_count && error == 0; i++) {
		struct core_end *e = &s->ends[i];
		*e = (struct core_end){s, &s->in->cores[i], false};
		error = calls_run(e->core->calls, attach_on_core, e, CALL_TIMEOUT_MS);
		e->attached = error == 0;
	}
	s->attached = error == 0;
	if (error && detach(s) != 0)
		return -ETIMEDOUT;
	return error;
}

/* ---- the stream ---- */

static size_t write_headers(struct capture_session *s)
{
	size_t used = pcapng_section(s->buffer, "Godwit " GODWIT_VERSION);

	for (unsigned i = 0; i < s->tap_count; i++) {
		if (s->taps[i].core != 0)
			continue;
		struct port *port = s->in->ports[s->taps[i].port];
		const struct port_info *info = port_info(port);
		char description[256];
		snprintf(description, sizeof(description), "%s (%s)", info->device, info->driver);
		struct pcapng_interface block = {
			.name = s->in->config.ports[s->taps[i].port].name,
			.description = description,
			.filter_or_null = s->request.filter_text[0] ? s->request.filter_text : NULL,
			.mac = info->mac,
			.speed_bps = port_link(port).speed_mbps * 1000000ull,
			.snaplen = s->request.snaplen,
			.nanoseconds = s->request.nanoseconds,
		};
		used += pcapng_interface(s->buffer + used, &block);
	}
	return used;
}

/* Of a port, on all cores. */
static struct capture_stats sum_of(const struct capture_session *s, unsigned interface, uint64_t *delivered)
{
	struct capture_stats sum = {0};

	*delivered = 0;
	for (unsigned i = 0; i < s->tap_count; i++) {
		if (s->taps[i].interface != interface)
			continue;
		struct capture_stats k = capture_stats(s->taps[i].capture);
		sum.seen += k.seen;
		sum.matched += k.matched;
		sum.lost += k.lost;
		*delivered += s->taps[i].delivered;
	}
	return sum;
}

static const char *interface_name(const struct capture_session *s, unsigned interface)
{
	return s->in->config.ports[s->taps[interface * s->in->core_count].port].name;
}

static size_t write_statistics(struct capture_session *s)
{
	size_t used = 0;

	for (unsigned i = 0; i < s->interface_count; i++) {
		uint64_t delivered;
		struct capture_stats k = sum_of(s, i, &delivered);
		struct pcapng_statistics block = {
			.interface = i,
			.time = in_unit(s, s->end_ns),
			.begin = in_unit(s, s->begin_ns),
			.end = in_unit(s, s->end_ns),
			.received = k.seen,
			.dropped = k.lost,
			.matched = k.matched,
			.delivered = delivered,
		};
		used += pcapng_statistics(s->buffer + used, &block);
	}
	return used;
}

/* Sums that the device fills in, so that the file has what the wire has; not where a frame was cut. */
static void fill_checksums(uint8_t *frame, const struct capture_record *r)
{
	uint8_t *ip = frame + r->l2_bytes, *tcp = ip + r->l3_bytes;
	uint32_t l4 = (uint32_t)r->l2_bytes + r->l3_bytes;

	if (r->captured_bytes < r->frame_bytes || r->captured_bytes < l4)
		return;
	if (r->ipv4_checksum_missing && r->l3_bytes >= 20) {
		wire_put16(ip + 10, 0);
		wire_put16(ip + 10, (uint16_t)~checksum_fold(checksum_add(0, ip, r->l3_bytes)));
	}
	if (r->tcp_checksum_missing && r->captured_bytes - l4 >= 20 && r->l3_bytes >= 20) {
		uint32_t n = r->captured_bytes - l4;
		bool v6 = ip[0] >> 4 == 6;
		wire_put16(tcp + 16, 0);
		uint64_t sum = checksum_add(0, v6 ? ip + 8 : ip + 12, v6 ? 32 : 8) + 6 + n;
		wire_put16(tcp + 16, (uint16_t)~checksum_fold(checksum_add(sum, tcp, n)));
	}
}

static size_t write_packet(
	struct capture_session *s, unsigned tap, const struct capture_record *r, size_t used)
{
	struct pcapng_packet block = {
		.interface = s->taps[tap].interface,
		.time = in_unit(s, r->time_ns),
		.bytes = capture_bytes(r),
		.captured_bytes = r->captured_bytes,
		.frame_bytes = r->frame_bytes,
		.direction = r->direction == CAPTURE_IN ? PCAPNG_IN : PCAPNG_OUT,
		.lost_before = r->lost_before,
	};
	size_t n = pcapng_packet(s->buffer + used, &block);

	if (s->bytes + n > s->request.bytes) {
		s->ended_by = "bytes";
		return 0;
	}
	if (r->ipv4_checksum_missing || r->tcp_checksum_missing)
		fill_checksums(s->buffer + used + PCAPNG_PACKET_HEADER, r);
	s->bytes += n;
	s->taps[tap].delivered++;
	if (++s->packets == s->request.packets)
		s->ended_by = "packets";
	return n;
}

/* The tap whose next packet is the oldest; tap_count: none has one. */
static unsigned oldest(struct capture_session *s, const struct capture_record **out)
{
	unsigned found = s->tap_count;

	for (unsigned i = 0; i < s->tap_count; i++) {
		const struct capture_record *r = capture_peek(s->taps[i].capture);
		if (!r || (found < s->tap_count && r->time_ns >= (*out)->time_ns))
			continue;
		*out = r;
		found = i;
	}
	return found;
}

/* Whether a limit on packets or bytes ended it: what is still in the rings is beyond it. */
static bool is_full(const struct capture_session *s)
{
	return s->ended_by && (strcmp(s->ended_by, "packets") == 0 || strcmp(s->ended_by, "bytes") == 0);
}

static size_t write_packets(struct capture_session *s)
{
	size_t used = 0;

	while (used < PIECE_BYTES && !is_full(s)) {
		const struct capture_record *r = NULL;
		unsigned tap = oldest(s, &r);
		if (tap == s->tap_count)
			break;
		used += write_packet(s, tap, r, used);
		capture_pop(s->taps[tap].capture);
	}
	return used;
}

static json_t *result_of(const struct capture_session *s)
{
	json_t *ports = json_array();

	for (unsigned i = 0; i < s->interface_count; i++) {
		uint64_t delivered;
		struct capture_stats k = sum_of(s, i, &delivered);
		json_array_append_new(
			ports, json_pack("{s:s, s:I, s:I, s:I, s:I}", "port", interface_name(s, i), "seen",
				       (json_int_t)k.seen, "matched", (json_int_t)k.matched, "written",
				       (json_int_t)delivered, "dropped", (json_int_t)k.lost));
	}
	return json_pack("{s:s, s:I, s:I, s:o}", "ended_by", s->ended_by, "packets", (json_int_t)s->packets,
		"bytes", (json_int_t)s->bytes, "ports", ports);
}

static int next_packets(
	struct capture_session *s, struct control_piece *piece, char *error, size_t error_bytes)
{
	if (!s->ended_by && clock_now_us() >= s->until_us)
		s->ended_by = "duration";
	if (s->ended_by && detach(s) != 0) {
		snprintf(error, error_bytes, "a data core did not answer within %d ms", CALL_TIMEOUT_MS);
		return -1;
	}
	size_t used = write_packets(s);
	if (used) {
		piece->bytes = s->buffer;
		piece->bytes_count = used;
		return 1;
	}
	if (s->ended_by && !s->attached)
		s->stage = STAGE_STATISTICS;
	return s->ended_by ? 2 : 0;
}

static int stream_next(
	struct control_stream *stream, struct control_piece *piece, char *error, size_t error_bytes)
{
	struct capture_session *s = caa_container_of(stream, struct capture_session, stream);
	int result = 2;

	while (result == 2 && s->stage == STAGE_PACKETS)
		result = next_packets(s, piece, error, error_bytes);
	if (result != 2)
		return result;
	piece->bytes = s->buffer;
	switch (s->stage) {
	case STAGE_HEADERS:
		piece->bytes_count = write_headers(s);
		s->stage = STAGE_PACKETS;
		return 1;
	case STAGE_STATISTICS:
		piece->bytes_count = write_statistics(s);
		s->stage = STAGE_RESULT;
		return 1;
	default:
		piece->result = result_of(s);
		piece->last = true;
		return 1;
	}
}

static void stream_stop(struct control_stream *stream)
{
	struct capture_session *s = caa_container_of(stream, struct capture_session, stream);

	if (!s->ended_by)
		s->ended_by = "request";
}

static void stream_close(struct control_stream *stream)
{
	struct capture_session *s = caa_container_of(stream, struct capture_session, stream);
	int error = detach(s);

	for (unsigned i = 0; i < s->interface_count; i++) {
		uint64_t delivered;
		struct capture_stats k = sum_of(s, i, &delivered);
		LOG_INFO("capture", "port %s: ended by %s; %llu frames written, %llu dropped",
			interface_name(s, i), s->ended_by ? s->ended_by : "its client's going",
			(unsigned long long)delivered, (unsigned long long)k.lost);
	}
	if (error == 0)
		session_free(s);
}

/* ---- the request ---- */

static int add_tap(struct capture_session *s, uint32_t port, unsigned core, char *error, size_t error_bytes)
{
	struct capture_config config = {
		.ring_bytes = s->request.buffer_bytes,
		.snaplen = s->request.snaplen,
		.packets_max = s->request.packets,
		.filter = s->request.filter,
		.clock_ns = clock_real_ns,
	};
	struct capture *c = capture_create(&config);

	if (!c) {
		snprintf(error, error_bytes, "no memory for a buffer of %u bytes", config.ring_bytes);
		return -1;
	}
	s->taps[s->tap_count++] = (struct tap){
		.port = port, .core = core, .interface = s->interface_count, .capture = c};
	s->in->capturing[port] = true;
	return 0;
}

static int add_port(struct capture_session *s, uint32_t port, char *error, size_t error_bytes)
{
	const char *name = s->in->config.ports[port].name;

	if (!s->in->cores[0].bypass[port]) {
		snprintf(error, error_bytes, "port %s is not there", name);
		return -1;
	}
	if (s->in->capturing[port]) {
		snprintf(error, error_bytes, "port %s is being captured already", name);
		return -1;
	}
	for (unsigned core = 0; core < s->in->core_count; core++)
		if (add_tap(s, port, core, error, error_bytes) != 0)
			return -1;
	s->interface_count++;
	return 0;
}

static int add_taps(struct capture_session *s, char *error, size_t error_bytes)
{
	bool named = false;

	for (uint32_t i = 0; i < CONFIG_PORTS_MAX; i++)
		named |= s->request.ports[i];
	for (uint32_t i = 0; i < CONFIG_PORTS_MAX; i++) {
		bool wanted = named ? s->request.ports[i] : s->in->cores[0].bypass[i] != NULL;
		if (wanted && add_port(s, i, error, error_bytes) != 0)
			return -1;
	}
	if (s->tap_count)
		return 0;
	snprintf(error, error_bytes, "there is no port: tcpdump sees what the kernel's sockets do");
	return -1;
}

struct control_stream *capture_open(void *ctx, const json_t *arguments, char *error, size_t error_bytes)
{
	struct capture_session *s = calloc(1, sizeof(*s));
	int result = -1;

	if (!s || !(s->buffer = malloc(BUFFER_BYTES))) {
		free(s);
		snprintf(error, error_bytes, "out of memory");
		return NULL;
	}
	s->in = ctx;
	s->stream = (struct control_stream){stream_next, stream_stop, stream_close, .logged = true};
	if (capture_request_read(&s->request, arguments, &s->in->config, error, error_bytes) == 0)
		result = add_taps(s, error, error_bytes);
	if (result == 0) {
		s->begin_ns = clock_real_ns();
		s->until_us = clock_now_us() + s->request.duration_us;
		result = attach(s);
		if (result)
			snprintf(error, error_bytes, "a data core did not answer within %d ms",
				CALL_TIMEOUT_MS);
	}
	if (result == -ETIMEDOUT)
		return NULL; /* the core may still come to it: what it will write to stays */
	if (result) {
		session_free(s);
		return NULL;
	}
	return &s->stream;
}
