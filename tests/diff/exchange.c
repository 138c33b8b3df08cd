/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/diff/exchange.h"

#include <string.h>

#include "runtime/check.h"
#include "tcpstack/tcp_seq.h"

enum {
	STREAM_BYTES_MAX = 20000,
	WRITTEN_BYTES_MAX = 4000,
	GAP_BYTES_MAX = 2000,
	WINDOW_BYTES = 30000,
	SMALL_WINDOW = 5000
};

uint32_t conversation_random(struct conversation *c, uint32_t below)
{
	c->random = c->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((c->random >> 33) % below);
}

static bool chance(struct conversation *c, uint32_t in)
{
	return conversation_random(c, in) == 0;
}

static bool in_state(const struct conversation *c, const char *state)
{
	return !strcmp(c->state, state);
}

static bool synchronised(const struct conversation *c)
{
	return !in_state(c, "none") && !in_state(c, "SYN-SENT") && !in_state(c, "SYN-RECEIVED");
}

static bool unconnected(const struct conversation *c)
{
	return in_state(c, "none") || in_state(c, "SYN-SENT");
}

static const uint16_t windows[] = {0, 1, 500, 5000, 60000, 65535};

static void syn_options(struct conversation *c, struct segment *g)
{
	static const uint16_t sizes[] = {536, 1000, 1460};

	g->has_mss = true;
	g->mss = sizes[conversation_random(c, 3)];
	g->has_wscale = chance(c, 2);
	g->wscale = (uint8_t)conversation_random(c, 8);
	g->has_sackok = chance(c, 2);
	g->has_ts = chance(c, 2);
}

void conversation_begin(struct conversation *c, uint64_t seed)
{
	*c = (struct conversation){.random = seed * 0x9e3779b97f4a7c15u + 1, .state = "none"};
	/* No two seeds of a run have the same peer. */
	c->addr = PEERS_ADDR + 1 + (uint32_t)(seed / 50000 % 100000);
	c->port = (uint16_t)(10000 + seed % 50000);
	c->isn = chance(c, 4) ? 0u - conversation_random(c, 3000) : conversation_random(c, UINT32_MAX);
	c->active = chance(c, 3);
	c->ts = conversation_random(c, UINT32_MAX);
	syn_options(c, &c->syn);
}

/* What is known of both sides. */
struct view {
	const struct side *side;
	uint32_t rcv; /* the next byte that they expect */
	uint32_t sent_min, sent_max;
};

static bool timestamps_on(const struct conversation *c, const struct view *v)
{
	return c->syn.has_ts && v->side->sends_ts;
}

/* A plain acknowledgement of what has come; kinds change it. */
static struct segment usual(struct conversation *c, const struct view *v)
{
	struct segment g = {.flags = ACK,
		.src = c->addr,
		.sport = c->port,
		.seq = c->isn + v->rcv,
		.ack = in_state(c, "SYN-RECEIVED") ? v->sent_min : c->una,
		.isn = c->isn,
		.wnd = (uint16_t)c->wnd};

	g.has_ts = timestamps_on(c, v);
	g.echo_syn = in_state(c, "SYN-RECEIVED");
	g.ts_val = ++c->ts;
	return g;
}

static unsigned scale(const struct conversation *c)
{
	return c->syn.has_wscale ? c->syn.wscale : 0;
}

/* The window that both sides use from now on. */
static void window_used(struct conversation *c, const struct segment *g, uint32_t ack)
{
	uint32_t wnd = (uint32_t)g->wnd << (g->flags & SYN ? 0 : scale(c)), edge = ack + wnd;

	c->wl1 = g->seq;
	c->wl2 = ack;
	c->unsure |= seq_lt(edge, c->edge);
	c->edge = edge;
	c->edge_max = seq_max(edge, c->edge_max);
	if (!(g->flags & SYN) && wnd > c->wnd_low)
		c->wnd_low = wnd;
}

static uint32_t segment_end(const struct segment *g)
{
	return g->seq + g->len + !!(g->flags & FIN);
}

/* The handshake is complete but for our last ACK, or more. */
static bool acceptable(const struct conversation *c, const struct view *v, const struct segment *g)
{
	uint32_t rcv = c->isn + v->rcv, end = segment_end(g);
	bool old_ts = g->has_ts && seq_lt(g->ts_val, c->ts);

	if (!synchronised(c) && (!in_state(c, "SYN-RECEIVED") || g->ack != v->sent_min))
		return false;
	return !g->dport && !g->bad_checksum && !old_ts && (g->flags & (SYN | RST | ACK)) == ACK &&
	       seq_leq(g->ack, v->sent_max) && seq_leq(c->una, g->ack) &&
	       (g->seq == rcv || (seq_lt(rcv, end) && seq_lt(g->seq, rcv + WINDOW_BYTES)));
}

/* What an acceptable segment of the peer means to both sides. */
static void told(struct conversation *c, const struct view *v, const struct segment *g)
{
	if (g->ack == c->una && !g->len && !(g->flags & FIN))
		c->dup_acks++;
	else if (g->ack != c->una)
		c->dup_acks = 0;
	bool newer = g->ack != c->una || seq_lt(c->wl1, g->seq) ||
		     (c->wl1 == g->seq && seq_leq(c->wl2, g->ack));
	c->una = g->ack;
	if (g->ack == v->sent_max)
		c->writes = 0;
	if (newer)
		window_used(c, g, g->ack);
}

/* Blocks that may be true, reported twice, or of what was never sent. */
static void sack(struct conversation *c, const struct view *v, struct segment *g)
{
	g->sacks = 1 + conversation_random(c, 2);
	for (unsigned i = 0; i < g->sacks; i++) {
		uint32_t from = c->una + conversation_random(c, 600);
		g->sack[2 * i] = chance(c, 4) ? conversation_random(c, UINT32_MAX) : from;
		g->sack[2 * i + 1] = g->sack[2 * i] + conversation_random(c, 600) - (chance(c, 8) ? 600 : 0);
	}
	/* What is sent again, and how much new data with it, are loss recovery's affair. */
	c->unsure = true;
}

/* Acknowledges some or all of what both have sent. */
static void acknowledge(struct conversation *c, const struct view *v, struct segment *g)
{
	uint32_t ack = v->sent_min;

	if (seq_lt(ack, c->una))
		return;
	if (chance(c, 4))
		ack = c->una + conversation_random(c, ack - c->una + 1);
	if (chance(c, 3))
		c->wnd = g->wnd = windows[conversation_random(c, 6)];
	g->ack = ack;
}

/* What each kind makes of usual(): false where it does not apply. */

static bool make_syn(struct conversation *c, const struct view *v, struct exchange *x)
{
	struct segment *g = &x->segment, offered;

	if (in_state(c, "none")) {
		x->again = true;
		c->active = false;
		c->isn = conversation_random(c, UINT32_MAX);
		memset(&offered, 0, sizeof(offered));
		syn_options(c, &offered);
		c->syn = offered;
	} else if (!in_state(c, "SYN-SENT")) {
		return false;
	}
	g->flags = SYN;
	g->seq = g->isn = c->isn;
	g->has_mss = true;
	g->mss = c->syn.mss;
	g->has_wscale = c->syn.has_wscale;
	g->wscale = c->syn.wscale;
	g->has_sackok = c->syn.has_sackok;
	g->has_ts = c->syn.has_ts;
	g->wnd = windows[1 + conversation_random(c, 5)];
	c->top = c->una = c->edge = c->edge_max = c->wnd_low = c->wnd_high = 0;
	c->over_time_wait = c->syn_refused = c->fin_sent = c->shut = c->closed = c->unsure = c->urgent =
		false;
	c->dup_acks = c->writes = 0;
	c->wnd = g->wnd;
	window_used(c, g, 0);
	/* Linux makes its segments small for a peer whose window has always been. */
	c->unsure = g->wnd < SMALL_WINDOW;
	return true;
}

static bool make_syn_ack(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!in_state(c, "SYN-SENT") || !make_syn(c, v, x))
		return false;
	x->segment.flags = SYN | ACK;
	x->segment.ack = 1;
	c->una = 1;
	window_used(c, &x->segment, 1);
	return true;
}

static bool make_syn_ack_bad(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!in_state(c, "SYN-SENT"))
		return false;
	x->segment.flags = chance(c, 3) ? ACK : chance(c, 2) ? SYN | ACK : RST | ACK;
	x->segment.ack = chance(c, 2) ? 0 : 2 + conversation_random(c, 1000000);
	x->segment.has_ts = false;
	return true;
}

static bool make_refusal(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!in_state(c, "SYN-SENT"))
		return false;
	x->segment.flags = chance(c, 3) ? RST : RST | ACK;
	x->segment.ack = 1;
	x->segment.has_ts = false;
	return true;
}

static bool make_stray(struct conversation *c, const struct view *v, struct exchange *x)
{
	static const uint8_t flags[] = {ACK, RST, RST | ACK, SYN | ACK, FIN, FIN | ACK, PSH | ACK, 0, SYN,
		URG, SYN | FIN, SYN | RST, SYN | RST | ACK};
	struct segment *g = &x->segment;

	g->dport = in_state(c, "none") && chance(c, 2) ? 0 : CLOSED_PORT;
	g->flags = flags[conversation_random(c, g->dport == CLOSED_PORT ? 13 : 8)];
	g->seq = conversation_random(c, UINT32_MAX);
	g->ack = conversation_random(c, UINT32_MAX);
	g->ack_absolute = true;
	g->has_ts = false;
	g->len = g->flags & (SYN | RST) || chance(c, 2) ? 0 : conversation_random(c, 100);
	return true;
}

static bool make_ack(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (unconnected(c))
		return false;
	acknowledge(c, v, &x->segment);
	return true;
}

static bool make_sack(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!synchronised(c) || !c->syn.has_sackok || !v->side->written)
		return false;
	if (chance(c, 2))
		acknowledge(c, v, &x->segment);
	sack(c, v, &x->segment);
	return true;
}

static bool make_data(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (unconnected(c) || c->fin_sent || v->rcv > STREAM_BYTES_MAX)
		return false;
	x->segment.flags |= PSH;
	x->segment.len = 1 + conversation_random(c, chance(c, 3) ? 1000 : 50);
	if (chance(c, 2))
		acknowledge(c, v, &x->segment);
	return true;
}

static bool make_urgent(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!synchronised(c) || !make_data(c, v, x))
		return false;
	x->segment.flags |= URG;
	x->segment.urg = (uint16_t)conversation_random(c, chance(c, 4) ? 65536 : x->segment.len + 2);
	return true;
}

static bool make_gap(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!synchronised(c) || c->fin_sent || v->rcv > STREAM_BYTES_MAX)
		return false;
	x->segment.seq += 1 + conversation_random(c, GAP_BYTES_MAX);
	x->segment.len = 1 + conversation_random(c, 500);
	return true;
}

static bool make_old(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!synchronised(c) || v->rcv < 2)
		return false;
	uint32_t back = 1 + conversation_random(c, v->rcv - 1);
	x->segment.seq -= back;
	x->segment.len = 1 + conversation_random(c, back > 1000 ? 1000 : back);
	return x->segment.len <= back;
}

static bool make_overlap(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!synchronised(c) || c->fin_sent || v->rcv < 2)
		return false;
	uint32_t back = 1 + conversation_random(c, v->rcv - 1 > 500 ? 500 : v->rcv - 1);
	x->segment.seq -= back;
	x->segment.len = back + 1 + conversation_random(c, 500);
	return true;
}

static bool make_fin(struct conversation *c, const struct view *v, struct exchange *x)
{
	struct segment *g = &x->segment;

	if (unconnected(c) || v->rcv > STREAM_BYTES_MAX)
		return false;
	g->flags |= FIN;
	if (c->fin_sent) {
		/* The same again. */
		g->seq = c->isn + c->fin_at;
		return true;
	}
	if (chance(c, 2))
		g->len = 1 + conversation_random(c, 300);
	if (synchronised(c) && chance(c, 4))
		g->seq += 1 + conversation_random(c, 1000); /* early */
	else if (chance(c, 2))
		acknowledge(c, v, g);
	if (seq_lt(g->seq - c->isn + g->len, c->top)) {
		if (!synchronised(c))
			return false;
		g->seq = c->isn + c->top;
	}
	c->fin_sent = true;
	c->fin_at = g->seq - c->isn + g->len;
	return true;
}

/* What an early FIN waits for. */
static bool make_fill(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!synchronised(c) || !c->fin_sent || seq_leq(c->fin_at, v->rcv))
		return false;
	uint32_t room = c->fin_at - v->rcv;
	x->segment.len = 1 + conversation_random(c, room > 1000 ? 1000 : room);
	return x->segment.len <= room;
}

static bool make_ack_old(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!synchronised(c) || c->una < 2 || c->wnd_low < c->una)
		return false;
	x->segment.ack = c->una - 1 - conversation_random(c, c->una - 1);
	return true;
}

static bool make_ack_too_old(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!synchronised(c))
		return false;
	x->segment.ack = c->una - c->wnd_high - 1 - conversation_random(c, 1 << 30);
	return true;
}

static bool make_ack_unsent(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (unconnected(c))
		return false;
	x->segment.ack = v->sent_max + 1 + conversation_random(c, chance(c, 2) ? 3 : 1 << 30);
	return true;
}

static bool make_reset(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (unconnected(c))
		return false;
	x->segment.flags = chance(c, 2) ? RST : RST | ACK;
	return true;
}

static bool make_reset_inside(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!make_reset(c, v, x))
		return false;
	x->segment.seq += 1 + conversation_random(c, 1000);
	return true;
}

static bool make_reset_outside(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!make_reset(c, v, x))
		return false;
	x->segment.seq += chance(c, 2) ? 1u << 30 : 0u - 2 - conversation_random(c, 100000);
	return true;
}

static bool make_syn_again(struct conversation *c, const struct view *v, struct exchange *x)
{
	struct segment *g = &x->segment;

	if (unconnected(c) || in_state(c, "TIME-WAIT"))
		return false;
	g->flags = chance(c, 2) ? SYN : SYN | ACK;
	switch (conversation_random(c, 4)) {
	case 0:
		g->seq = c->isn;
		c->unsure |= in_state(c, "SYN-RECEIVED"); /* AVOIDED(syn_ack_lost) */
		break;
	case 1:
		g->seq += conversation_random(c, 1000);
		break;
	case 2:
		g->seq += 1u << 30;
		break;
	default:
		g->seq -= 1 + conversation_random(c, 100000);
	}
	return true;
}

static bool make_no_ack(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (unconnected(c))
		return false;
	x->segment.flags = chance(c, 2) ? 0 : chance(c, 2) ? FIN : PSH | URG;
	x->segment.len = chance(c, 2) ? 0 : conversation_random(c, 100);
	return true;
}

static bool make_odd(struct conversation *c, const struct view *v, struct exchange *x)
{
	static const uint8_t flags[] = {
		SYN | FIN, SYN | RST, RST | FIN, 63, SYN | FIN | ACK, RST | FIN | ACK};

	if (!synchronised(c) || in_state(c, "TIME-WAIT"))
		return false;
	x->segment.flags = flags[conversation_random(c, 6)];
	x->segment.seq += chance(c, 2) ? 0 : conversation_random(c, 1000);
	return true;
}

static bool make_outside(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (unconnected(c))
		return false;
	x->segment.seq += chance(c, 2) ? 1u << 30 : 0u - (1u << 30);
	x->segment.len = chance(c, 2) ? 0 : conversation_random(c, 1000);
	x->segment.flags |= chance(c, 4) ? FIN : 0;
	return true;
}

static bool make_keepalive(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!synchronised(c))
		return false;
	x->segment.seq--;
	x->segment.len = conversation_random(c, 2);
	return true;
}

static bool make_bad_checksum(struct conversation *c, const struct view *v, struct exchange *x)
{
	x->segment.flags = (uint8_t)conversation_random(c, 64);
	x->segment.len = conversation_random(c, 100);
	x->segment.bad_checksum = true;
	return true;
}

static bool make_old_timestamp(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!synchronised(c) || in_state(c, "TIME-WAIT") || !x->segment.has_ts)
		return false;
	x->segment.ts_val -= 1u << 30;
	x->segment.len = 1 + conversation_random(c, 100);
	return true;
}

static bool make_time_wait_syn(struct conversation *c, const struct view *v, struct exchange *x)
{
	struct segment *g = &x->segment;

	if (!in_state(c, "TIME-WAIT"))
		return false;
	bool ts = g->has_ts, old = chance(c, 2);
	uint32_t seq = g->seq;
	c->state = "none";
	if (old) {
		g->flags = SYN;
		g->seq -= 1 + conversation_random(c, 100000);
		g->ts_val -= 1u << 30;
		return true;
	}
	if (!make_syn(c, v, x))
		return false;
	g->has_ts = c->syn.has_ts = ts;
	c->over_time_wait = true;
	g->seq = g->isn = c->isn = c->wl1 = seq + 1 + conversation_random(c, 1 << 30);
	return true;
}

static bool make_write(struct conversation *c, const struct view *v, struct exchange *x)
{
	if ((!in_state(c, "ESTABLISHED") && !in_state(c, "CLOSE-WAIT")) || c->shut || c->closed ||
		v->side->written > WRITTEN_BYTES_MAX)
		return false;
	x->is_act = true;
	x->act = ACT_WRITE;
	c->writes++;
	x->bytes = 1 + conversation_random(c, chance(c, 3) ? 1500 : 100);
	return true;
}

static bool make_shutdown(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (c->shut || !make_write(c, v, x))
		return false;
	x->act = ACT_SHUTDOWN;
	c->shut = true;
	return true;
}

static bool make_close(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!synchronised(c) || in_state(c, "TIME-WAIT") || c->closed || !v->side->open)
		return false;
	x->is_act = true;
	x->act = ACT_CLOSE;
	c->closed = true;
	return true;
}

static bool make_abort(struct conversation *c, const struct view *v, struct exchange *x)
{
	if (!make_close(c, v, x))
		return false;
	x->act = ACT_ABORT;
	return true;
}

static const struct kind {
	const char *name;
	unsigned weight;
	bool (*make)(struct conversation *c, const struct view *v, struct exchange *x);
} kinds[] = {
	{"syn", 60, make_syn},
	{"syn_ack", 60, make_syn_ack},
	{"syn_ack_bad", 15, make_syn_ack_bad},
	{"refusal", 5, make_refusal},
	{"stray", 4, make_stray},
	{"ack", 30, make_ack},
	{"sack", 6, make_sack},
	{"data", 20, make_data},
	{"urgent", 4, make_urgent},
	{"gap", 10, make_gap},
	{"old", 8, make_old},
	{"overlap", 6, make_overlap},
	{"fin", 8, make_fin},
	{"fill", 20, make_fill},
	{"ack_old", 4, make_ack_old},
	{"ack_too_old", 4, make_ack_too_old},
	{"ack_unsent", 4, make_ack_unsent},
	{"reset", 1, make_reset},
	{"reset_inside", 4, make_reset_inside},
	{"reset_outside", 4, make_reset_outside},
	{"syn_again", 5, make_syn_again},
	{"no_ack", 4, make_no_ack},
	{"odd", 3, make_odd},
	{"outside", 5, make_outside},
	{"keepalive", 4, make_keepalive},
	{"bad_checksum", 3, make_bad_checksum},
	{"old_timestamp", 4, make_old_timestamp},
	{"time_wait_syn", 20, make_time_wait_syn},
	{"write", 12, make_write},
	{"shutdown", 3, make_shutdown},
	{"close", 2, make_close},
	{"abort", 1, make_abort},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

unsigned exchange_kinds(void)
{
	return KINDS;
}

unsigned exchange_kind(const char *name)
{
	for (unsigned i = 0; i < KINDS; i++)
		if (!strcmp(kinds[i].name, name))
			return i;
	MUST(!"a kind's name");
}

static const struct kind *kind_pick(struct conversation *c)
{
	unsigned total = 0;

	for (unsigned i = 0; i < KINDS; i++)
		total += kinds[i].weight;
	uint32_t at = conversation_random(c, total);
	for (unsigned i = 0;; at -= kinds[i++].weight)
		if (at < kinds[i].weight)
			return &kinds[i];
}

static bool ends_there(const struct conversation *c, uint32_t seq)
{
	for (unsigned i = 0; i < c->ends_n && i < ENDS_MAX; i++)
		if (c->ends[i] == seq)
			return true;
	return false;
}

/* Where two may differ, whatever kind it is. */
static uint32_t freedoms(const struct conversation *c, const struct view *v, const struct exchange *x)
{
	const struct segment *g = &x->segment;
	uint32_t f = 0;

	if (x->is_act)
		return x->act == ACT_ABORT && v->sent_min != v->side->written + 2 ? 1u << FREEDOM_abort_unsent
										  : 0;
	if (g->dport)
		return in_state(c, "SYN-RECEIVED") && c->active ? 1u << FREEDOM_syn_ack_again : 0;
	if (c->closed && g->len)
		f |= 1u << FREEDOM_data_after_close;
	else if (c->closed && (g->flags & FIN) && seq_lt(c->isn + v->rcv, g->seq))
		f |= 1u << FREEDOM_early_fin_after_close;
	if (c->closed && in_state(c, "FIN-WAIT-2"))
		f |= 1u << (g->flags & (SYN | RST) ? FREEDOM_orphan_challenged : FREEDOM_orphan);
	if (in_state(c, "SYN-RECEIVED") && (g->flags & (SYN | RST)) == SYN)
		f |= 1u << FREEDOM_syn_rcvd_syn;
	if (in_state(c, "SYN-RECEIVED") && c->over_time_wait && (g->flags & (SYN | RST)))
		f |= 1u << FREEDOM_time_wait_again;
	if (in_state(c, "SYN-RECEIVED") && c->active && (g->flags & SYN) && (g->flags & ACK))
		f |= 1u << FREEDOM_crossed_syn_ack;
	if (in_state(c, "SYN-RECEIVED") && c->active)
		f |= 1u << ((g->flags & (SYN | ACK)) == SYN ? FREEDOM_syn_again : FREEDOM_syn_ack_again);
	if ((g->flags & RST) && c->syn.has_sackok && ends_there(c, g->seq))
		f |= 1u << FREEDOM_reset_at_sack;
	if (in_state(c, "TIME-WAIT") && !(g->flags & (ACK | SYN)))
		f |= 1u << FREEDOM_time_wait_no_ack;
	if (in_state(c, "TIME-WAIT") && c->syn_refused && (g->flags & (RST | ACK)) == RST &&
		g->seq == c->isn + v->rcv)
		f |= 1u << FREEDOM_time_wait_begun_anew;
	if (in_state(c, "SYN-RECEIVED") && c->active && (g->flags & ACK) && seq_leq(g->ack, c->una))
		f |= 1u << FREEDOM_simultaneous;
	return f;
}

struct exchange exchange_next(struct conversation *c, const struct side *a, const struct side *b)
{
	struct view v = {.side = a,
		.rcv = a->has_acked ? a->acked - c->isn : 0,
		.sent_min = seq_lt(a->snd_max, b->snd_max) ? a->snd_max : b->snd_max,
		.sent_max = seq_max(a->snd_max, b->snd_max)};

	for (;;) {
		struct conversation before = *c;
		const struct kind *k = kind_pick(c);
		struct exchange x = {.name = k->name, .segment = usual(c, &v)};
		if (k->make(c, &v, &x)) {
			x.freedoms = freedoms(&before, &v, &x);
			if (!x.is_act && !x.segment.dport && !x.segment.bad_checksum &&
				!(x.segment.flags & RST))
				c->syn_refused = in_state(&before, "TIME-WAIT") && (x.segment.flags & SYN);
			uint32_t end = x.segment.seq - c->isn + x.segment.len;
			if (!x.is_act && !x.segment.dport && seq_lt(end, v.rcv + WINDOW_BYTES))
				c->top = seq_max(c->top, end);
			uint32_t wnd = (uint32_t)x.segment.wnd << scale(c);
			c->wnd_high = wnd > c->wnd_high ? wnd : c->wnd_high;
			if (!x.is_act && seq_lt(c->isn + v.rcv, x.segment.seq))
				c->ends[c->ends_n++ % ENDS_MAX] = c->isn + end + !!(x.segment.flags & FIN);
			if (!x.is_act && acceptable(&before, &v, &x.segment))
				told(c, &v, &x.segment);
			else if (!x.is_act) /* AVOIDED(window_of_what_was_received) */
				c->unsure |= segment_end(&x.segment) == c->isn + v.rcv;
			return x;
		}
		before.random = c->random;
		*c = before;
	}
}
