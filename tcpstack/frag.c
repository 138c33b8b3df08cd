/* SPDX-License-Identifier: Apache-2.0 */
#include "tcpstack/frag.h"
#include "tcpstack/checksum.h"

#include <errno.h>

enum {
	FRAG_V4_US = 30000000,
	FRAG_V6_US = 60000000, /* RFC 8200 section 4.5 */
	FRAG_SOURCE_SHARE = 4, /* a source may hold 1/4 of what all may */
};

struct piece {
	struct rte_mbuf *m;
	uint16_t at, bytes;
};

struct frag_datagram {
	struct cds_list_head link; /* oldest first */
	struct timer timer;
	struct stack *stack;
	struct ip_addr src, dst;
	uint32_t id;
	uint8_t next; /* of IPv6: the first fragment's; of IPv4 it tells datagrams apart */
	bool dead;    /* overlapped or broken: what else comes of it is dropped */
	bool has_last;
	uint8_t ecn_seen;	/* a bit each enum ip_ecn */
	struct ip_packet first; /* of the fragment at offset 0 */
	uint32_t back;		/* and how far its data stands behind its IP header */
	uint32_t total;		/* known once has_last */
	uint32_t held, charged; /* payload bytes; bytes of the buffers behind them */
	unsigned pieces;
	struct piece piece[FRAG_PIECES_MAX]; /* by offset */
};

/* What a frame keeps from others: its buffers, whatever lies in them. */
static uint32_t charge_of(const struct rte_mbuf *m)
{
	uint32_t n = 0;

	for (; m; m = m->next)
		n += m->buf_len;
	return n;
}

static void pieces_free(struct stack *s, struct frag_datagram *d)
{
	for (unsigned i = 0; i < d->pieces; i++)
		rte_pktmbuf_free(d->piece[i].m);
	d->pieces = 0;
	s->frag_bytes -= d->charged;
	d->charged = d->held = 0;
}

static void datagram_remove(struct stack *s, struct frag_datagram *d)
{
	pieces_free(s, d);
	timer_cancel(&s->wheel, &d->timer);
	cds_list_del(&d->link);
	pool_give(s->frag_pool, d);
}

static void datagram_kill(struct stack *s, struct frag_datagram *d)
{
	pieces_free(s, d);
	d->dead = true;
}

/* RFC 1122 section 3.3.2, RFC 8200 section 4.5: who sent it is told, where the first piece came. */
static void timeout_tell(struct stack *s, const struct frag_datagram *d)
{
	static const struct icmp_error v4 = {.type = 11, .code = 1}, v6 = {.type = 3, .code = 1};

	if (d->pieces && d->piece[0].at == 0)
		icmp_error_send(s, d->piece[0].m, d->back, &d->first, ip_is_v4(&d->src) ? &v4 : &v6);
}

static void timeout_fire(struct timer *t, uint64_t now_us)
{
	struct frag_datagram *d = caa_container_of(t, struct frag_datagram, timer);
	struct stack *s = d->stack;

	if (!d->dead) {
		COUNT(s, frag_timeout);
		timeout_tell(s, d);
	}
	datagram_remove(s, d);
}

static struct frag_datagram *datagram_find(struct stack *s, const struct frag_in *in)
{
	struct frag_datagram *d;

	cds_list_for_each_entry (d, &s->frag_datagrams, link)
		if (d->id == in->id && ip_equal(&d->src, &in->ip.src) && ip_equal(&d->dst, &in->ip.dst) &&
			(!ip_is_v4(&d->src) || d->next == in->next))
			return d;
	return NULL;
}

/* The oldest datagram, of src alone where it is not NULL, but never keep. */
static struct frag_datagram *oldest(
	struct stack *s, const struct ip_addr *src, const struct frag_datagram *keep)
{
	struct frag_datagram *d;

	cds_list_for_each_entry (d, &s->frag_datagrams, link)
		if (d != keep && (!src || ip_equal(&d->src, src)))
			return d;
	return NULL;
}

static void source_holds(struct stack *s, const struct ip_addr *src, uint32_t *datagrams, uint32_t *bytes)
{
	struct frag_datagram *d;

	*datagrams = *bytes = 0;
	cds_list_for_each_entry (d, &s->frag_datagrams, link)
		if (ip_equal(&d->src, src)) {
			++*datagrams;
			*bytes += d->charged;
		}
}

/* Makes room for another datagram (keep NULL) or more bytes of keep. False where there is none to be had. */
static bool make_room(
	struct stack *s, const struct ip_addr *src, const struct frag_datagram *keep, uint32_t bytes)
{
	uint32_t datagrams_max = max_u32(s->config.frag_datagrams_max / FRAG_SOURCE_SHARE, 1);
	uint32_t bytes_max = s->config.frag_bytes_max / FRAG_SOURCE_SHARE;
	uint32_t datagrams, held;

	for (;;) {
		struct pool_stats p = pool_stats(s->frag_pool);
		source_holds(s, src, &datagrams, &held);
		bool of_source = (!keep && datagrams >= datagrams_max) || held + bytes > bytes_max;
		if (!of_source && (keep || p.used < p.capacity) &&
			s->frag_bytes + bytes <= s->config.frag_bytes_max)
			return true;
		struct frag_datagram *old = oldest(s, of_source ? src : NULL, keep);
		if (!old)
			return false;
		COUNT(s, frag_evicted);
		datagram_remove(s, old);
	}
}

static struct frag_datagram *datagram_new(struct stack *s, const struct frag_in *in)
{
	struct frag_datagram *d = make_room(s, &in->ip.src, NULL, 0) ? pool_take(s->frag_pool) : NULL;

	if (!d) {
		COUNT(s, frag_full);
		return NULL;
	}
	d->stack = s;
	d->src = in->ip.src;
	d->dst = in->ip.dst;
	d->id = in->id;
	d->next = in->next;
	d->dead = d->has_last = false;
	d->ecn_seen = 0;
	d->total = d->held = d->charged = 0;
	d->pieces = 0;
	timer_init(&d->timer, timeout_fire);
	timer_arm(&s->wheel, &d->timer, s->now_us + (ip_is_v4(&d->src) ? FRAG_V4_US : FRAG_V6_US));
	cds_list_add_tail(&d->link, &s->frag_datagrams);
	return d;
}

enum fit { FIT, FIT_DUPLICATE, FIT_OVERLAP };

/* Where [at, end) goes among the pieces. */
static enum fit place_find(const struct frag_datagram *d, uint32_t at, uint32_t end, unsigned *place)
{
	unsigned i = d->pieces;

	while (i && d->piece[i - 1].at >= at)
		i--;
	*place = i;
	if (i < d->pieces && d->piece[i].at == at && d->piece[i].bytes == end - at)
		return FIT_DUPLICATE;
	if (i && (uint32_t)d->piece[i - 1].at + d->piece[i - 1].bytes > at)
		return FIT_OVERLAP;
	return i < d->pieces && d->piece[i].at < end ? FIT_OVERLAP : FIT;
}

/* True where a fragment says something else about the end than others did. */
static bool end_disagrees(const struct frag_datagram *d, uint32_t end, bool more)
{
	if (d->has_last)
		return more ? end > d->total : end != d->total;
	return !more && d->pieces &&
	       (uint32_t)d->piece[d->pieces - 1].at + d->piece[d->pieces - 1].bytes > end;
}

/* Bytes of the later buffers move into the free room of those before them: the headers of the protocol above
 * lie in one piece, and nobody holds a buffer for each piece. */
static void compact(struct rte_mbuf *first)
{
	struct rte_mbuf *m = first, *next;

	frame_room_use(m);
	while ((next = m->next)) {
		uint32_t n = min_u32(rte_pktmbuf_tailroom(m), next->data_len);
		memcpy(frame_room(m, n), frame_data(next), n);
		m->data_len = (uint16_t)(m->data_len + n);
		next->data_off = (uint16_t)(next->data_off + n);
		next->data_len = (uint16_t)(next->data_len - n);
		if (next->data_len) {
			m = next;
			frame_room_use(m);
			continue;
		}
		m->next = next->next;
		first->nb_segs--;
		rte_pktmbuf_free_seg(next);
	}
}

/* RFC 3168 section 5.3: congestion met by one was met by all; but not where one was not to be marked. False
 * where the packet must go. */
static bool ecn_merge(const struct frag_datagram *d, uint8_t *ecn)
{
	if (!(d->ecn_seen & 1 << IP_ECN_CE))
		return true;
	*ecn = IP_ECN_CE;
	return !(d->ecn_seen & 1 << IP_ECN_NOT_ECT);
}

static bool reassemble(struct stack *s, struct frag_datagram *d, struct frag_whole *out)
{
	struct rte_mbuf *first = d->piece[0].m;

	out->ip = d->first;
	out->next = d->next;
	if (!ecn_merge(d, &out->ip.ecn)) {
		COUNT(s, frag_ecn);
		datagram_remove(s, d);
		return false;
	}
	for (unsigned i = 1; i < d->pieces; i++) {
		struct rte_mbuf *last = rte_pktmbuf_lastseg(first), *m = d->piece[i].m;
		last->next = m;
		first->nb_segs = (uint16_t)(first->nb_segs + m->nb_segs);
		first->pkt_len += m->pkt_len;
	}
	d->pieces = 0; /* they are the chain's now */
	/* What the port said of a checksum, it said of a part. */
	first->ol_flags = 0;
	compact(first);
	out->m = first;
	out->ip.fragmented = true;
	out->ip.length = first->pkt_len;
	COUNT(s, frag_reassembled);
	datagram_remove(s, d);
	return true;
}

/* A fragment that fits: true where it was the last that was missing. */
static bool piece_add(struct stack *s, struct frag_datagram *d, struct rte_mbuf *m, const struct frag_in *in,
	unsigned place)
{
	memmove(&d->piece[place + 1], &d->piece[place], (d->pieces - place) * sizeof(d->piece[0]));
	d->piece[place] = (struct piece){.m = m, .at = in->offset, .bytes = (uint16_t)m->pkt_len};
	d->pieces++;
	d->held += m->pkt_len;
	uint32_t charge = charge_of(m);
	d->charged += charge;
	s->frag_bytes += charge;
	d->ecn_seen |= (uint8_t)(1 << in->ip.ecn);
	if (in->offset == 0) {
		d->first = in->ip;
		d->back = in->back;
		d->next = in->next;
	}
	if (!in->more) {
		d->has_last = true;
		d->total = in->offset + m->pkt_len;
	}
	return d->has_last && d->held == d->total;
}

bool frag_input_take(struct stack *s, struct rte_mbuf *m, const struct frag_in *in, struct frag_whole *out)
{
	uint32_t end = in->offset + m->pkt_len;
	unsigned place;

	if (m->pkt_len == 0 || (in->more && m->pkt_len % 8) || end > UINT16_MAX) {
		DROP(s, m, frag_malformed);
		return false;
	}
	struct frag_datagram *d = datagram_find(s, in);
	if (!d)
		d = datagram_new(s, in);
	if (!d || d->dead) {
		DROP(s, m, frag_dropped);
		return false;
	}
	enum fit fit = place_find(d, in->offset, end, &place);
	if (fit == FIT_DUPLICATE) {
		DROP(s, m, frag_duplicate);
		return false;
	}
	if (fit == FIT_OVERLAP || end_disagrees(d, end, in->more)) {
		datagram_kill(s, d);
		DROP(s, m, frag_overlap);
		return false;
	}
	if (d->pieces == FRAG_PIECES_MAX) {
		datagram_kill(s, d);
		DROP(s, m, frag_too_many);
		return false;
	}
	if (!make_room(s, &d->src, d, charge_of(m))) {
		datagram_kill(s, d);
		DROP(s, m, frag_full);
		return false;
	}
	return piece_add(s, d, m, in, place) && reassemble(s, d, out);
}

/* An IP header as it would have been without fragments; its sum too, as no port has looked at it. */
static void ip_header_again(struct rte_mbuf *m, const struct frag_whole *w)
{
	uint32_t payload = m->pkt_len;
	bool v4 = ip_is_v4(&w->ip.src);
	uint32_t n = v4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
	uint8_t *h = (uint8_t *)rte_pktmbuf_prepend(m, (uint16_t)n);

	MUST(h);
	memset(h, 0, n);
	if (v4) {
		h[0] = 0x45;
		h[1] = w->ip.ecn;
		wire_put16(h + 2, (uint16_t)(payload + n));
		h[8] = w->ip.hop_limit;
		h[9] = w->next;
		wire_put32(h + 12, ip_to_v4(&w->ip.src));
		wire_put32(h + 16, ip_to_v4(&w->ip.dst));
		wire_put16(h + 10, (uint16_t)~checksum_fold(checksum_add(0, h, n)));
		return;
	}
	wire_put32(h, 6u << 28 | (uint32_t)w->ip.ecn << 20);
	wire_put16(h + 4, (uint16_t)payload);
	h[6] = w->next;
	h[7] = w->ip.hop_limit;
	memcpy(h + 8, w->ip.src.bytes, 16);
	memcpy(h + 24, w->ip.dst.bytes, 16);
}

static void ether_header_again(struct stack *s, struct rte_mbuf *m, bool v4)
{
	static const uint8_t from[6] = {2}; /* anybody but us */
	uint32_t n = ETH_HEADER_BYTES + (s->config.vlan ? ETH_TAG_BYTES : 0);
	uint8_t *h = (uint8_t *)rte_pktmbuf_prepend(m, (uint16_t)n);

	MUST(h);
	memcpy(h, s->config.mac, 6);
	memcpy(h + 6, from, 6);
	if (s->config.vlan) {
		wire_put16(h + 12, ETH_TYPE_VLAN);
		wire_put16(h + 14, s->config.vlan);
	}
	wire_put16(h + n - 2, v4 ? ETH_TYPE_IPV4 : ETH_TYPE_IPV6);
}

bool frag_hand_over_take(struct stack *s, struct frag_whole *w)
{
	bool v4 = ip_is_v4(&w->ip.src);
	uint32_t ip = v4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
	uint32_t front = ETH_HEADER_BYTES + ETH_TAG_BYTES + ip;

	/* What is longer than a length field can say is nothing that a connection sends. */
	if (!s->config.hand_over || w->m->pkt_len + (v4 ? ip : 0) > UINT16_MAX ||
		rte_pktmbuf_headroom(w->m) < front)
		return false;
	frame_room_use(w->m);
	uint32_t payload = w->m->pkt_len;
	ip_header_again(w->m, w);
	ether_header_again(s, w->m, v4);
	if (s->config.hand_over(s->config.cores_ctx, w->m)) {
		COUNT(s, frag_handed_over);
		return true;
	}
	rte_pktmbuf_adj(w->m, (uint16_t)(w->m->pkt_len - payload));
	return false;
}

int frag_init(struct stack *s)
{
	CDS_INIT_LIST_HEAD(&s->frag_datagrams);
	s->frag_pool = pool_create("fragmented datagrams", sizeof(struct frag_datagram),
		s->config.frag_datagrams_max, s->config.memory);
	return s->frag_pool ? 0 : -ENOMEM;
}

void frag_fini(struct stack *s)
{
	struct frag_datagram *d, *next;

	if (!s->frag_pool)
		return;
	cds_list_for_each_entry_safe (d, next, &s->frag_datagrams, link)
		datagram_remove(s, d);
	pool_destroy(s->frag_pool);
}
