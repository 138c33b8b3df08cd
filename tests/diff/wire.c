/* SPDX-License-Identifier: Apache-2.0 */
/* Segments to frames and back. */
#include <stdio.h>
#include <string.h>

#include "runtime/wire.h"
#include "tcpstack/checksum.h"
#include "tcpstack/tcp_seq.h"
#include "tests/diff/side.h"

enum { ETH = 14, IP = 20, TCP = 20, OPTIONS_MAX = 40 };

const uint8_t side_mac[6] = {2, 0, 0, 0, 1, 1}, gateway_mac[6] = {2, 0, 0, 0, 1, 2};

uint8_t peer_byte(uint32_t distance)
{
	return (uint8_t)(distance * 7 + (distance >> 8));
}

uint8_t side_byte(uint32_t distance)
{
	return (uint8_t)(distance * 13 + (distance >> 8));
}

static uint32_t options_write(uint8_t *p, const struct segment *g, const struct side *to)
{
	uint32_t n = 0;

	if (g->has_mss) {
		memcpy(p + n, (uint8_t[]){2, 4, (uint8_t)(g->mss >> 8), (uint8_t)g->mss}, 4);
		n += 4;
	}
	if (g->has_sackok) {
		memcpy(p + n, (uint8_t[]){1, 1, 4, 2}, 4);
		n += 4;
	}
	if (g->has_wscale) {
		memcpy(p + n, (uint8_t[]){1, 3, 3, g->wscale}, 4);
		n += 4;
	}
	if (g->has_ts) {
		memcpy(p + n, (uint8_t[]){1, 1, 8, 10}, 4);
		wire_put32(p + n + 4, g->ts_val);
		wire_put32(p + n + 8, !(g->flags & ACK) ? 0 : g->echo_syn ? to->ts_syn : to->ts_last);
		n += 12;
	}
	if (g->sacks) {
		memcpy(p + n, (uint8_t[]){1, 1, 5, (uint8_t)(2 + 8 * g->sacks)}, 4);
		for (unsigned i = 0; i < 2 * g->sacks; i++)
			wire_put32(p + n + 4 + 4 * (size_t)i, to->isn + g->sack[i]);
		n += 4 + 8 * g->sacks;
	}
	return n;
}

uint32_t segment_frame(const struct segment *g, const struct side *to, uint8_t *frame)
{
	uint8_t *ip = frame + ETH, *tcp = ip + IP;

	memcpy(frame, side_mac, 6);
	memcpy(frame + 6, gateway_mac, 6);
	wire_put16(frame + 12, 0x0800);
	memset(ip, 0, IP + TCP);
	uint32_t header = TCP + options_write(tcp + TCP, g, to), l4 = header + g->len;
	ip[0] = 0x45;
	wire_put16(ip + 2, (uint16_t)(IP + l4));
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = 6;
	wire_put32(ip + 12, g->src);
	wire_put32(ip + 16, SIDE_ADDR);
	wire_put16(ip + 10, (uint16_t)~checksum_fold(checksum_add(0, ip, IP)));
	wire_put16(tcp, g->sport);
	wire_put16(tcp + 2, g->dport ? g->dport : to->port);
	wire_put32(tcp + 4, g->seq);
	if (g->flags & ACK)
		wire_put32(tcp + 8, g->ack_absolute ? g->ack : to->isn + g->ack);
	tcp[12] = (uint8_t)(header / 4 << 4);
	tcp[13] = g->flags;
	wire_put16(tcp + 14, g->wnd);
	wire_put16(tcp + 18, g->urg);
	for (uint32_t i = 0; i < g->len; i++)
		tcp[header + i] = peer_byte(g->seq + !!(g->flags & SYN) + i - g->isn);
	struct ip_addr src = ip_v4(g->src), dst = ip_v4(SIDE_ADDR);
	uint64_t sum = checksum_pseudo(&src, &dst, 6, l4);
	wire_put16(tcp + 16, (uint16_t)(~checksum_fold(checksum_add(sum, tcp, l4)) ^ g->bad_checksum));
	return ETH + IP + l4;
}

static void timestamp_read(struct side *side, const uint8_t *options, uint32_t n, bool syn)
{
	if (syn)
		side->sends_ts = false;
	for (uint32_t i = 0; i < n && options[i] != 0; i += options[i] == 1 ? 1 : options[i + 1]) {
		if (options[i] == 8) {
			side->ts_last = wire_get32(options + i + 2);
			side->ts_syn = syn ? side->ts_last : side->ts_syn;
			side->sends_ts = true;
		}
		if (options[i] != 1 && (i + 1 >= n || options[i + 1] < 2))
			return;
	}
}

void side_saw(struct side *side, const uint8_t *frame, uint32_t n)
{
	const uint8_t *ip = frame + ETH, *tcp = ip + IP;

	if (n < ETH + IP + TCP || wire_get16(frame + 12) != 0x0800 || ip[9] != 6 ||
		wire_get32(ip + 16) != side->peer_addr || wire_get16(tcp + 2) != side->peer_port)
		return;
	uint32_t header = (tcp[12] >> 4) * 4u;
	struct answer a = {.flags = tcp[13] & 63,
		.seq = wire_get32(tcp + 4),
		.ack = wire_get32(tcp + 8),
		.len = wire_get16(ip + 2) - IP - header};
	if (side->answers_n < ANSWERS_MAX)
		side->answers[side->answers_n++] = a;
	if (a.flags & RST)
		return;
	if (a.flags & SYN) {
		side->snd_max = side->isn_known && side->isn == a.seq ? side->snd_max : 1;
		side->isn = a.seq;
		side->isn_known = true;
		side->port = wire_get16(tcp);
	}
	timestamp_read(side, tcp + TCP, header - TCP, a.flags & SYN);
	uint32_t end = a.seq - side->isn + a.len + !!(a.flags & SYN) + !!(a.flags & FIN);
	for (uint32_t i = 0; i < a.len; i++)
		side->wrong |= tcp[header + i] != side_byte(a.seq - side->isn + i);
	if (a.len && seq_leq(end, side->snd_max))
		side->resent = true;
	side->snd_max = seq_max(side->snd_max, end);
	if (a.flags & ACK) {
		side->acked = side->has_acked ? seq_max(side->acked, a.ack) : a.ack;
		side->has_acked = true;
	}
}

void side_again(struct side *side)
{
	*side = (struct side){.name = side->name,
		.peer_addr = side->peer_addr,
		.peer_port = side->peer_port,
		.port = LISTEN_PORT};
}

static void flags_print(FILE *out, uint8_t flags)
{
	static const char letters[] = "FSRP.U";
	for (int i = 0; i < 6; i++)
		if (flags >> i & 1)
			putc(letters[i], out);
	if (!flags)
		putc('0', out);
}

void segment_print(FILE *out, const struct segment *g, uint32_t peer_isn)
{
	fprintf(out, "  < ");
	flags_print(out, g->flags);
	fprintf(out, " %d:%d", (int)(g->seq - peer_isn), (int)(g->seq - peer_isn + g->len));
	if (g->flags & ACK)
		fprintf(out, g->ack_absolute ? " ack #%u" : " ack %d", g->ack);
	fprintf(out, " win %u%s%s", g->wnd, g->has_ts ? " ts" : "", g->bad_checksum ? " badsum" : "");
	for (unsigned i = 0; i < g->sacks; i++)
		fprintf(out, " sack %d:%d", (int)g->sack[2 * i], (int)g->sack[2 * i + 1]);
	if (g->has_wscale)
		fprintf(out, " wscale %u", g->wscale);
	if (g->flags & URG)
		fprintf(out, " urg %u", g->urg);
	if (g->dport)
		fprintf(out, " to port %u", g->dport);
	putc('\n', out);
}

void answers_print(FILE *out, const struct side *side, uint32_t peer_isn)
{
	for (unsigned i = 0; i < side->answers_n; i++) {
		const struct answer *a = &side->answers[i];
		uint32_t seq = a->seq - (side->isn_known ? side->isn : 0);
		fprintf(out, "    %s > ", side->name);
		flags_print(out, a->flags);
		fprintf(out, " %d:%d", (int)seq, (int)(seq + a->len));
		if (a->flags & ACK)
			fprintf(out, " ack %d", (int)(a->ack - peer_isn));
		putc('\n', out);
	}
}
