/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/observer.h"

#include <stdio.h>

#include "tcpstack/tcp_seq.h"
#include "tests/sim/host.h"

enum {
	PAIRS_MAX = 256,
	MSS_DEFAULT = 536,
	TCP_HEADER_BYTES = 20,
	/* Acknowledgements without any progress, close after each other: as many as a link holds are due to
	 * data that was on its way. */
	IDLE_ACKS_MAX = 3 * SIM_LINK_FRAMES_MAX,
	IDLE_GAP_US = 400000,
};

/* What one side of a connection has sent and told. */
struct flow {
	struct ip_addr src;
	uint16_t sport;
	bool started;	/* iss and what follows are known */
	bool finished;	/* its FIN was sent */
	bool has_reset; /* and a reset */
	bool has_wscale, has_timestamp;
	uint8_t wscale;
	uint16_t mss;
	uint32_t iss, end;    /* behind the last number sent */
	uint32_t arrived_end; /* and behind the last that arrived */
	bool told;	      /* ack and edge are known */
	uint32_t ack, edge;   /* told to the peer */
	bool may_known;	      /* the peer's window has arrived */
	uint32_t may_edge;    /* what the peer has told, as far as it has arrived here */
	uint32_t syn_window;  /* of this side's SYN */
	bool syn_arrived;
	bool timed;
	uint32_t ts_val;
};

struct pair {
	struct flow flows[2];
	uint32_t incarnation;
	bool ambiguous; /* more than one initial number was told for the same SYN, or see again */
	bool again;	/* there was an earlier connection of these ports: its last segments may still come */
	bool foreign;	/* one side answers a SYN that is not the other's last: nothing can be said */
	unsigned idle_acks;
	uint64_t last_us;
};

static struct {
	struct pair pairs[PAIRS_MAX];
	unsigned count;
	uint32_t incarnations;
	uint32_t mtu[SIM_HOSTS_MAX], window[SIM_HOSTS_MAX];
} observer;

void observer_reset(void)
{
	observer.count = 0;
	observer.incarnations = 0;
}

void observer_host_limits(unsigned host, uint32_t mtu, uint32_t window_bytes)
{
	observer.mtu[host] = mtu;
	observer.window[host] = window_bytes;
}

static bool is_side(const struct flow *f, const struct ip_addr *a, uint16_t port)
{
	return f->sport == port && ip_equal(&f->src, a);
}

/* The connection that f belongs to; *from is the side that sent it. */
static struct pair *pair_of(const struct sim_frame *f, unsigned *from)
{
	for (unsigned i = 0; i < observer.count; i++) {
		struct pair *p = &observer.pairs[i];
		for (unsigned k = 0; k < 2; k++)
			if (is_side(&p->flows[k], &f->src, f->sport) &&
				is_side(&p->flows[!k], &f->dst, f->dport)) {
				*from = k;
				return p;
			}
	}
	return NULL;
}

static void pair_begin(struct pair *p, const struct sim_frame *f)
{
	*p = (struct pair){.incarnation = ++observer.incarnations};
	p->flows[0].src = f->src;
	p->flows[0].sport = f->sport;
	p->flows[1].src = f->dst;
	p->flows[1].sport = f->dport;
}

__attribute__((noreturn)) static void broken(const struct sim_frame *f, const char *what)
{
	char text[200];

	snprintf(text, sizeof(text), "%u>%u flags %x seq %u ack %u len %u: %s", f->sport, f->dport, f->flags,
		f->seq, f->ack, f->payload, what);
	sim_fail(text);
}

/* Window scaling is used where both SYNs had the option (RFC 7323 section 2.2). */
static unsigned shift_of(const struct pair *p, unsigned side)
{
	return p->flows[0].has_wscale && p->flows[1].has_wscale ? p->flows[side].wscale : 0;
}

static void syn_sent(struct pair *p, unsigned side, const struct sim_frame *f)
{
	struct flow *a = &p->flows[side], *b = &p->flows[!side];

	if (a->started && a->iss == f->seq)
		return;
	/* A SYN-ACK with another number: the listener had forgotten, or never remembers (cookies). */
	p->ambiguous |= a->started;
	*a = (struct flow){.src = a->src,
		.sport = a->sport,
		.started = true,
		.iss = f->seq,
		.end = f->seq,
		.arrived_end = f->seq,
		.has_wscale = f->has_wscale,
		.wscale = f->wscale,
		.has_timestamp = f->has_timestamp,
		.mss = f->has_mss ? f->mss : MSS_DEFAULT,
		.syn_window = f->window};
	if (b->syn_arrived) {
		a->may_known = true;
		a->may_edge = f->seq + 1 + b->syn_window;
	}
}

static void check_text(struct pair *p, unsigned side, const struct sim_frame *f, unsigned host)
{
	struct flow *a = &p->flows[side], *b = &p->flows[!side];
	uint32_t end = sim_frame_end(f);

	if (seq_lt(a->end, f->seq) && !host_dropped(host))
		broken(f, "a gap in what is sent");
	if (f->payload && f->l4_bytes - TCP_HEADER_BYTES > (b->started ? b->mss : MSS_DEFAULT))
		broken(f, "larger than the peer's MSS");
	if (f->payload || (f->flags & SIM_FIN)) {
		if (!a->may_known)
			broken(f, "data before the peer told a window");
		if (seq_lt(a->may_edge + 1, end))
			broken(f, "beyond the peer's window");
		if (end == a->may_edge + 1)
			sim_met(SIM_window_probe);
	}
	if ((f->flags & SIM_FIN) && f->payload)
		sim_met(SIM_fin_with_data);
	a->finished |= (f->flags & SIM_FIN) != 0;
	a->end = seq_max(a->end, end);
}

/* True where the acknowledgement says something new. */
static bool check_ack(struct pair *p, unsigned side, const struct sim_frame *f, unsigned host)
{
	struct flow *a = &p->flows[side], *b = &p->flows[!side];
	uint32_t edge = f->ack + ((uint32_t)f->window << (f->flags & SIM_SYN ? 0 : shift_of(p, side)));

	if (!p->ambiguous && seq_lt(b->arrived_end, f->ack))
		broken(f, "acknowledges what has not arrived");
	for (unsigned i = 0; i < f->sack_blocks; i++) {
		if (!seq_lt(f->sack[i].left, f->sack[i].right))
			broken(f, "an empty SACK block");
		if (!p->ambiguous && seq_lt(b->arrived_end, f->sack[i].right))
			broken(f, "a SACK block of what has not arrived");
	}
	/* In the unit of window scaling it is rounded up. */
	if (edge - f->ack >= observer.window[host] + (1u << shift_of(p, side)))
		broken(f, "a window larger than what it stands for");
	if (f->window == 0 && !(f->flags & SIM_SYN))
		sim_met(SIM_zero_window);
	bool news = !a->told || seq_lt(a->ack, f->ack) || seq_lt(a->edge, edge);
	/* A listener keeps TIME_WAIT until the next connection is there, and answers from it once more. */
	if (a->told && seq_lt(f->ack, a->ack) && p->again) {
		p->foreign = true;
		return false;
	}
	if (a->told && seq_lt(f->ack, a->ack))
		broken(f, "an acknowledgement that goes back");
	/* A SYN's window has no scale: sent again it cannot say what another segment said meanwhile. */
	if (a->told && (f->flags & SIM_SYN))
		edge = seq_max(a->edge, edge);
	if (a->told && seq_lt(edge, a->edge))
		broken(f, "a window that is taken back");
	a->told = true;
	a->ack = f->ack;
	a->edge = edge;
	return news;
}

static void check_timestamp(struct pair *p, unsigned side, const struct sim_frame *f)
{
	struct flow *a = &p->flows[side], *b = &p->flows[!side];

	if (!a->has_timestamp || !b->started || !b->has_timestamp)
		return;
	if (!f->has_timestamp)
		broken(f, "no timestamp, but it was agreed on");
	/* A cookie's low bits are none of the time: repeated, it may say less. */
	if (f->flags & SIM_SYN)
		return;
	if (a->timed && seq_lt(f->ts_val, a->ts_val))
		broken(f, "a timestamp that goes back");
	a->timed = true;
	a->ts_val = f->ts_val;
}

static void check_idle(struct pair *p, const struct sim_frame *f, bool news)
{
	if (news || f->payload || (f->flags & (SIM_SYN | SIM_FIN | SIM_RST)) ||
		sim.now_us - p->last_us > IDLE_GAP_US)
		p->idle_acks = 0;
	if (p->idle_acks++ == IDLE_ACKS_MAX)
		broken(f, "acknowledgements without end");
	p->last_us = sim.now_us;
}

static void digest(const struct sim_frame *f, unsigned host)
{
	const uint32_t what[] = {(uint32_t)sim.now_us, host, f->length, f->seq, f->ack, f->flags, f->window};

	for (unsigned i = 0; i < sizeof(what) / sizeof(what[0]); i++)
		sim.digest = (sim.digest ^ what[i]) * 0x100000001b3ull;
}

static struct pair *pair_find_or_begin(const struct sim_frame *f, unsigned *side)
{
	struct pair *p = pair_of(f, side);
	bool opens = (f->flags & (SIM_SYN | SIM_ACK)) == SIM_SYN;

	if (p && opens && p->flows[*side].started && p->flows[*side].iss != f->seq) {
		pair_begin(p, f);
		p->ambiguous = p->again = true;
		*side = 0;
	}
	if (p || !(f->flags & SIM_SYN))
		return p;
	if (observer.count == PAIRS_MAX)
		sim_fail("more connections than the observer knows");
	p = &observer.pairs[observer.count++];
	pair_begin(p, f);
	*side = 0;
	return p;
}

void observer_sent(unsigned host, struct rte_mbuf *m)
{
	struct sim_frame f;
	unsigned side = 0;
	bool news = false;

	sim_frame_read(m, &f);
	sim.frames++;
	digest(&f, host);
	*sim_mark(m) = 0;
	if (f.version && f.ip_bytes > observer.mtu[host])
		broken(&f, "larger than the MTU");
	bool l3_good, l4_good;
	sim_frame_checksums(&f, &l3_good, &l4_good);
	if (!l3_good || !l4_good)
		broken(&f, "a wrong checksum");
	if (!f.tcp || sim_net_host_of(&sim.net, &f.dst) < 0)
		return;
	struct pair *p = pair_find_or_begin(&f, &side);
	if (!p || !p->flows[side].started) {
		if (!(f.flags & (SIM_SYN | SIM_RST)) && !(p && p->again))
			broken(&f, "a connection without a SYN");
		if (!p || !(f.flags & SIM_SYN))
			return;
	}
	*sim_mark(m) = p->incarnation;
	/* The answer to an old SYN; or to the same once more, after all is over: a cookie may be the same,
	 * too. */
	if ((f.flags & (SIM_SYN | SIM_ACK)) == (SIM_SYN | SIM_ACK))
		p->foreign |= f.ack != p->flows[!side].iss + 1 || p->flows[side].has_reset;
	p->flows[side].has_reset |= (f.flags & SIM_RST) != 0;
	if ((f.flags & SIM_RST) || p->foreign)
		return;
	if (f.flags & SIM_SYN)
		syn_sent(p, side, &f);
	check_text(p, side, &f, host);
	if (f.flags & SIM_ACK)
		news = check_ack(p, side, &f, host);
	check_timestamp(p, side, &f);
	check_idle(p, &f, news);
	if ((f.flags & SIM_FIN) && p->flows[!side].finished && f.ack != p->flows[!side].end)
		sim_met(SIM_simultaneous_close);
}

void observer_arrived(struct rte_mbuf *m)
{
	struct sim_frame f;
	unsigned side;

	sim_frame_read(m, &f);
	if (!f.tcp)
		return;
	struct pair *p = pair_of(&f, &side);
	if (!p || *sim_mark(m) != p->incarnation || (f.flags & SIM_RST))
		return;
	struct flow *a = &p->flows[side], *b = &p->flows[!side];
	a->arrived_end = seq_max(a->arrived_end, sim_frame_end(&f));
	if (f.flags & SIM_SYN)
		a->syn_arrived = true;
	if (!b->started)
		return;
	uint32_t from = f.flags & SIM_ACK ? f.ack : b->iss + 1;
	uint32_t edge = from + ((uint32_t)f.window << (f.flags & SIM_SYN ? 0 : shift_of(p, side)));
	if (!b->may_known || seq_lt(b->may_edge, edge))
		b->may_edge = edge;
	b->may_known = true;
}

bool observer_guess(const struct ip_addr *src, uint16_t sport, const struct ip_addr *dst, uint16_t dport,
	uint32_t *seq, uint32_t *ack)
{
	struct sim_frame f = {.src = *src, .sport = sport, .dst = *dst, .dport = dport};
	unsigned side;
	struct pair *p = pair_of(&f, &side);

	if (!p || !p->flows[side].started || !p->flows[!side].started)
		return false;
	*seq = p->flows[side].end;
	*ack = p->flows[!side].end;
	return true;
}

void observer_forged_syn(const struct ip_addr *src, uint16_t sport, const struct ip_addr *dst, uint16_t dport)
{
	struct sim_frame f = {.src = *src, .sport = sport, .dst = *dst, .dport = dport};
	unsigned side;
	struct pair *p = pair_of(&f, &side);

	if (p)
		p->foreign = true;
}
