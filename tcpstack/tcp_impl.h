/* SPDX-License-Identifier: Apache-2.0 */
/* What TCP's files tell each other. */
#ifndef TCPSTACK_TCP_IMPL_H
#define TCPSTACK_TCP_IMPL_H

#include "tcpstack/tcp_conn.h"

/* A received segment, parsed; m's data is its payload. */
struct tcp_in {
	struct rte_mbuf *m; /* NULL once taken */
	struct ip_addr src, dst;
	uint32_t seq, ack, len;
	uint16_t sport, dport, wnd, urgent;
	uint8_t flags;
	uint8_t ecn; /* enum ip_ecn */
	struct tcp_options options;
};

static inline uint32_t tcp_in_end(const struct tcp_in *in)
{
	return in->seq + in->len + !!(in->flags & TCP_SYN) + !!(in->flags & TCP_FIN);
}

static inline struct tcp_tuple tcp_in_tuple(const struct tcp_in *in)
{
	return (struct tcp_tuple){.laddr = in->dst, .raddr = in->src, .lport = in->dport, .rport = in->sport};
}

/* tcp_table.c: who has a tuple; n: how many there may be */
int tcp_table_init(struct stack *s, uint64_t n);
struct tcp_node *tcp_node_find(struct stack *s, const struct tcp_tuple *t);
void tcp_node_insert(struct stack *s, struct tcp_node *node, const struct tcp_tuple *t, enum tcp_kind kind);
struct tcp_conn *tcp_conn_find(struct stack *s, const struct tcp_tuple *t);
struct tcp_request *tcp_request_of(struct tcp_node *node);

/* An ICMP error about a packet of ours. */
enum tcp_icmp_kind {
	TCP_ICMP_IGNORED,
	TCP_ICMP_SOFT,
	TCP_ICMP_REFUSED,
	TCP_ICMP_PROHIBITED,
	TCP_ICMP_TOO_BIG,
};
struct tcp_icmp {
	struct tcp_tuple tuple;
	uint32_t seq;
	enum tcp_icmp_kind kind;
	uint32_t mtu;	/* of TOO_BIG: what the next link takes; 0: not told */
	uint32_t total; /* the packet's length, says its header */
};
void tcp_icmp_input(struct stack *s, const struct tcp_icmp *e);

/* tcp_pmtu.c */
void tcp_pmtu_init(struct tcp_conn *c); /* once mss_peer is known */
void tcp_pmtu_told(struct tcp_conn *c, const struct tcp_icmp *e);
void tcp_pmtu_timeout(struct tcp_conn *c); /* before the first segment is sent again */
void tcp_pmtu_delivered(struct tcp_conn *c, const struct tcp_segment *g); /* the peer has it */
void tcp_pmtu_acked(struct tcp_conn *c);				  /* snd_una has moved */
void tcp_pmtu_refresh(
	struct tcp_conn *c); /* before sending: another connection may have learnt of the path */
/* Whether of what is in flight the probe is lost and nothing else: its size is to blame, no congestion. */
bool tcp_pmtu_probe_alone_lost(const struct tcp_conn *c);
void tcp_pmtu_probe(struct tcp_conn *c); /* before new data leaves: makes its first segment larger */
/* Whether g may leave as it is, or must be cut to mss. */
bool tcp_pmtu_fits(struct tcp_conn *c, const struct tcp_segment *g);

/* tcp_conn.c: the life of connections */
/* A connection in the table, with defaults. There is one (tcp_conn_room), MUST. */
struct tcp_conn *tcp_conn_new(
	struct stack *s, const struct tcp_tuple *t, const struct tcp_open_options *options, uint32_t iss);
/* Queues its SYN. */
void tcp_conn_syn(struct tcp_conn *c);
void tcp_conn_set_state(struct tcp_conn *c, enum tcp_state state);
/* Learns the peer's options from its SYN. */
void tcp_conn_negotiate(struct tcp_conn *c, const struct tcp_syn_options *o);
/* Less what is switched off here. */
struct tcp_syn_options tcp_syn_options_of(
	const struct stack *s, const struct tcp_options *o, const struct ip_addr *peer);
void tcp_conn_established(struct tcp_conn *c);
/* The MSS that we announce (RFC 6691: of the link, without options). */
uint16_t tcp_own_mss(const struct stack *s, const struct ip_addr *peer);
uint8_t tcp_own_wscale(const struct stack *s);
void tcp_conn_time_wait(struct tcp_conn *c);
/* The protocol is over: no timer, no segment, not in the table. The application is told in tcp_dispatch. */
void tcp_conn_end(struct tcp_conn *c, enum tcp_reason reason);
/* Gives an ended connection back: tcp_dispatch alone does it, and evictions of what nobody can hold. */
void tcp_conn_free(struct tcp_conn *c);
/* Is told when the application has let go. */
void tcp_conn_detach(struct tcp_conn *c);
const char *tcp_state_name(enum tcp_state state);

/* tcp_event.c */
void tcp_raise(struct tcp_conn *c, enum tcp_event event);
void tcp_reap_later(struct tcp_conn *c);
void tcp_starved(struct tcp_conn *c); /* tries again soon: no transmit buffer was free */
void tcp_starved_init(struct stack *s);

/* tcp_listen.c */
struct tcp_listener *tcp_listener_find(struct stack *s, const struct ip_addr *addr, uint16_t port);
/* A segment for no connection. isn_above: the number of a connection that it opens lies behind it, where it
 * is not 0. */
void tcp_listener_input(struct stack *s, struct tcp_listener *l, struct tcp_in *in, uint32_t isn_above);

/* tcp_request.c */
int tcp_requests_init(struct stack *s);
/* A SYN found room (or made it, from the oldest): answers it. */
void tcp_request_new(struct stack *s, struct tcp_listener *l, const struct tcp_in *in, uint32_t isn_above);
bool tcp_requests_full(const struct stack *s, const struct tcp_listener *l);
void tcp_request_input(struct stack *s, struct tcp_request *r, struct tcp_in *in);
void tcp_request_free(struct tcp_request *r);

/* What the last ACK of a passive open makes a connection of. */
struct tcp_opening {
	struct tcp_listener *listener;
	uint32_t irs, iss;
	uint64_t syn_sent_us; /* the SYN-ACK's last transmission; 0: not known, no round trip is measured */
	bool syn_resent;
	uint16_t peer_wnd;
	struct tcp_syn_options peer;
	uint64_t ts_recent_us;
};
/* Takes in, which acknowledges our SYN. There is room for the connection, MUST. */
void tcp_opening_accept(
	struct stack *s, const struct tcp_tuple *t, const struct tcp_opening *o, struct tcp_in *in);
/* Whether a connection is free; counted where none is. */
bool tcp_conn_room(struct stack *s);

/* tcp_time_wait.c */
int tcp_time_wait_init(struct stack *s);
void tcp_time_wait_fini(struct stack *s);
/* Takes over for a connection that ends. */
void tcp_time_wait_new(const struct tcp_conn *c);
uint64_t tcp_time_wait_until_us(struct tcp_node *node);
void tcp_time_wait_input(struct stack *s, struct tcp_node *node, struct tcp_in *in);
/* Whether its tuple may be used for an active open, with a number behind *isn_above. */
bool tcp_time_wait_reusable(const struct stack *s, struct tcp_node *node, uint32_t *isn_above);
/* The tuple has its next connection. */
void tcp_time_wait_forget(struct stack *s, const struct tcp_tuple *t);

/* tcp_cookie.c: requests without memory (RFC 4987 section 3.6) */
enum { TCP_COOKIE_STEP_US = 64000000, TCP_COOKIE_VALID_US = 2 * TCP_COOKIE_STEP_US };
void tcp_cookie_send(struct stack *s, struct tcp_listener *l, const struct tcp_in *in);
/* An ACK for no connection. True when it brought a cookie back, and is dealt with. */
bool tcp_cookie_input(struct stack *s, struct tcp_listener *l, struct tcp_in *in);

/* tcp_input.c */
/* RFC 9293 section 3.10.7.4, first step: whether some of in lies between nxt and edge, or right at nxt. */
bool tcp_in_window(const struct tcp_in *in, uint32_t nxt, uint32_t edge);
/* RFC 7323 section 5.3 R1, with section 5.5's end of a timestamp's worth. */
bool tcp_paws_old(const struct stack *s, uint32_t recent, uint64_t recent_us, uint32_t val);
/* Takes over the timestamp of a segment whose ACK is good. */
void tcp_timestamp_note(struct tcp_conn *c, const struct tcp_in *in);
/* From the fifth step on, for a segment that was found acceptable and whose ACK opens c. */
void tcp_opening_input(struct tcp_conn *c, struct tcp_in *in);

/* tcp_filter.c: filter may be NULL */
bool tcp_filter_passes(const struct tcp_filter *filter, const struct ip_addr *peer);

/* tcp_isn.c */
enum {
	TCP_HASH_TABLE,
	TCP_HASH_ISN,
	TCP_HASH_TIMESTAMP,
	TCP_HASH_PORT,
	TCP_HASH_CHALLENGE,
	TCP_HASH_COOKIE,
	TCP_HASH_FLOW_LABEL
};
uint64_t tcp_hash(const struct stack *s, uint32_t purpose, const struct tcp_tuple *t);
void tcp_table_key_init(struct stack *s);

/* The bucket of a connection. Every segment asks, so this is no SipHash but a universal family with a secret
 * key of 704 bits (Thorup, High Speed Hashing for Integers and Strings, section 3.5: pair-multiply-shift,
 * strongly universal): who does not know the key finds no tuples that collide more often than by chance, and
 * nothing on the wire depends on its value. */
static inline uint64_t tcp_table_pair(const uint64_t *k, uint64_t two_words)
{
	return (k[0] + (two_words >> 32)) * (k[1] + (uint32_t)two_words);
}

static inline struct cds_list_head *tcp_table_bucket(const struct stack *s, const struct tcp_tuple *t)
{
	const uint64_t *k = s->conn_key;
	uint64_t h = tcp_table_pair(k, t->laddr.word[0]) + tcp_table_pair(k + 2, t->laddr.word[1]) +
		     tcp_table_pair(k + 4, t->raddr.word[0]) + tcp_table_pair(k + 6, t->raddr.word[1]) +
		     tcp_table_pair(k + 8, (uint32_t)t->lport << 16 | t->rport) + k[10];

	return &s->conn_buckets[h >> s->conn_shift];
}

/* The same for a tuple of IPv4: what its addresses have in common is in conn_key_v4. */
static inline struct cds_list_head *tcp_table_bucket_v4(const struct stack *s, const struct tcp_tuple *t)
{
	const uint64_t *k = s->conn_key, *v4 = s->conn_key_v4;
	uint64_t h = (k[2] + (t->laddr.word[1] >> 32)) * v4[0] + (k[6] + (t->raddr.word[1] >> 32)) * v4[1] +
		     k[8] * (k[9] + ((uint32_t)t->lport << 16 | t->rport)) + v4[2];

	return &s->conn_buckets[h >> s->conn_shift];
}
/* above: as isn_above of tcp_listener_input. */
uint32_t tcp_isn(const struct stack *s, const struct tcp_tuple *t, uint32_t above);
uint32_t tcp_ts_offset(const struct stack *s, const struct tcp_tuple *t);
/* RFC 6437: one a connection, which nobody can foresee; 0 for IPv4. */
uint32_t tcp_flow_label(const struct stack *s, const struct tcp_tuple *t);
/* A free local port for t, whose lport does not count: no other connection of that tuple and no listener has
 * it. With none left one of a TIME_WAIT whose timestamps tell old from new (RFC 6191's reasoning, for our
 * side), or 0. O(ports in use to that peer). */
struct tcp_port {
	uint16_t port;
	uint32_t isn_above;
};
struct tcp_port tcp_port_pick(struct stack *s, const struct tcp_tuple *t);

/* tcp_api.c: what can be queued at most: a peer with tiny segments gets no more of them than another. */
uint32_t tcp_tx_capacity(const struct tcp_conn *c);
/* True once after the application was shown too little room and there is enough again. */
bool tcp_tx_room_is_back(struct tcp_conn *c);

/* tcp_output.c */
void tcp_output_want(struct tcp_conn *c);
/* Whether tcp_output would find anything to do, or to note, but for the window that we tell. */
static inline bool tcp_output_has_work(const struct tcp_conn *c)
{
	return c->unsent || c->lost_count || c->cwnd_limited || c->ack_now;
}
void tcp_output(struct tcp_conn *c);
/* An empty segment now. 0 or -ENOBUFS. */
int tcp_send_control(struct tcp_conn *c, uint32_t seq, uint8_t flags);
void tcp_send_ack(struct tcp_conn *c);
/* An ACK unless this connection sent one of these a moment ago. */
void tcp_send_paced_ack(struct tcp_conn *c);
/* The same, within the limit of all connections (RFC 5961 section 7). */
void tcp_send_challenge_ack(struct tcp_conn *c);
/* Answers a segment that belongs to no connection (RFC 9293 section 3.10.7.1). */
void tcp_send_reset_reply(struct stack *s, const struct tcp_in *in);
int tcp_segment_send(struct tcp_conn *c, struct tcp_segment *g);
/* m holds the payload; the headers go in front. The acknowledgement in it is no longer owed. */
void tcp_transmit_take(struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq, uint8_t flags, uint8_t ecn);

/* tcp_header.c: does that where the headers are those of nearly every segment. False, and nothing is done,
 * where they are not. */
bool tcp_header_plain_take(
	struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq, uint8_t flags, uint16_t window, uint8_t ecn);

/* tcp_tso.c: segments in a row on their way to the port; zero when empty */
struct tcp_train {
	struct rte_mbuf *m,
		*tail; /* one segment's buffer, or one for the headers with all of theirs behind it */
	uint32_t seq, bytes;
	uint16_t size; /* of each but the last */
	uint16_t count;
	uint8_t flags, ecn;
};
/* Adds a segment, behind which others may come. */
void tcp_train_add_take(struct tcp_conn *c, struct tcp_train *t, struct rte_mbuf *m, uint32_t seq,
	uint8_t flags, uint8_t ecn);
void tcp_train_leave(struct tcp_conn *c, struct tcp_train *t);
/* A segment without text and without a connection. 0 or -ENOBUFS. */
int tcp_send_bare(struct stack *s, const struct tcp_tuple *t, uint32_t seq, uint32_t ack, uint8_t flags,
	uint16_t window, const struct tcp_options *options);
/* The connection's SYN, which was queued, left at sent_us, before there was a connection. */
void tcp_syn_was_sent(struct tcp_conn *c, uint64_t sent_us, bool resent);
/* Whether one challenge ACK more may leave now, at most one for *next_us's owner in a while and not more than
 * a second's share of all (RFC 5961 section 7); counted either way. */
bool tcp_challenge_allowed(struct stack *s, uint64_t *next_us);
/* Segments that queued data leaves alone: a path that became smaller, or a window, makes queued ones to be
 * cut, and if all were taken by such nobody would ever give one back. */
uint32_t tcp_segments_spare(const struct stack *s);
/* Makes the first n bytes of g a segment of their own, before it; returns it, or NULL without memory. */
struct tcp_segment *tcp_segment_split(struct tcp_conn *c, struct tcp_segment *g, uint32_t n);

/* tcp_segment.c: the queue of segments to send */
void tcp_segment_queue(struct tcp_conn *c, struct tcp_segment *g);
void tcp_segment_mark_lost(struct tcp_conn *c, struct tcp_segment *g);
/* What was sent until then and is not sacked, lowest sequence number first; the first whenever it was. */
void tcp_segments_mark_lost(struct tcp_conn *c, uint64_t until_us);
/* What was marked lost is taken to be in flight after all. */
void tcp_segments_unmark_lost(struct tcp_conn *c);
void tcp_segment_mark_sacked(struct tcp_conn *c, struct tcp_segment *g);
/* What the peer said to have and has thrown away is lost (RFC 2018 section 8). */
void tcp_segments_unsack(struct tcp_conn *c);
/* It goes out now, for the first time or again: the end of the flight. */
void tcp_segment_mark_sent(struct tcp_conn *c, struct tcp_segment *g);
void tcp_segments_clear(struct tcp_conn *c);
struct tcp_segment *tcp_segment_first(struct tcp_conn *c);
/* The next one of the queue, or NULL. */
struct tcp_segment *tcp_segment_next(struct tcp_conn *c, struct tcp_segment *g);

/* What one acknowledgement told. */
struct tcp_acked {
	uint32_t bytes;	    /* payload acknowledged cumulatively */
	uint32_t delivered; /* payload that is known to have arrived since: cumulatively or by SACK */
	uint32_t sacked;    /* of that by SACK */
	uint32_t segments;  /* segments that are known to have arrived since */
	uint64_t sent_us;   /* the newest of those that were sent once; 0: none, so no sample (Karn) */
	uint64_t resent_us; /* the last transmission of those that had been sent again, or 0 */
	uint32_t rtt_us;    /* a sample, or 0 */
	uint32_t ts_ecr;
	bool has_ts_ecr;
	bool original; /* one of those was sent before the timeout and not since */
	bool beyond;   /* one of those was sent for the first time since recovery began */
	bool dsack;
	bool all_duplicate; /* with dsack: everything sent again in this recovery need not have been */
	struct tcp_sack_block duplicate; /* with dsack */
};
/* g has arrived: c's counts and acked follow, RACK learns of it. Before it is released or marked. */
void tcp_segment_delivered(struct tcp_conn *c, struct tcp_segment *g, struct tcp_acked *acked);
/* Releases what ack covers. */
void tcp_segments_acked(struct tcp_conn *c, uint32_t ack, struct tcp_acked *acked);

/* tcp_sack.c: the blocks of an acknowledgement, against the queue; O(segments passed), within a budget. */
void tcp_sack_input(struct tcp_conn *c, const struct tcp_in *in, struct tcp_acked *acked);

/* tcp_rack.c: RFC 8985's loss detection */
void tcp_rack_init(struct tcp_conn *c);
void tcp_rack_delivered(struct tcp_conn *c, const struct tcp_segment *g, const struct tcp_acked *acked);
void tcp_rack_min_rtt(struct tcp_conn *c, uint32_t rtt_us);
/* Widens and narrows the reordering window; left: this acknowledgement ended a recovery. */
void tcp_rack_round(struct tcp_conn *c, bool dsack, bool left);
/* What arrived was sent before the timeout: RACK is to measure by that. */
void tcp_rack_original(struct tcp_conn *c, const struct tcp_acked *acked);
/* The retransmission timer has run out: what has been under way for less than a round trip may yet arrive. */
void tcp_rack_timeout(struct tcp_conn *c);
/* Marks what is lost. Returns in how many us the rest is to be looked at, 0: never. */
uint32_t tcp_rack_detect(struct tcp_conn *c);
uint32_t tcp_rack_reo_wnd_us(const struct tcp_conn *c);

/* tcp_tlp.c: RFC 8985's tail loss probes */
bool tcp_tlp_wanted(const struct tcp_conn *c);
uint64_t tcp_tlp_us(const struct tcp_conn *c);
void tcp_tlp_fire(struct tcp_conn *c);
void tcp_tlp_acked(struct tcp_conn *c, const struct tcp_in *in, const struct tcp_acked *acked);

/* tcp_recovery.c: what losses do to the connection */
void tcp_recovery_ack(
	struct tcp_conn *c, const struct tcp_in *in, const struct tcp_acked *acked, bool duplicate);
void tcp_recovery_timeout(struct tcp_conn *c);
void tcp_recovery_reorder_fire(struct tcp_conn *c);

/* tcp_ack.c */
bool tcp_ack_input(struct tcp_conn *c, const struct tcp_in *in);
/* What that does for an ACK of something that is in flight, while nothing is being repaired, without options
 * but timestamps, and without ECE. */
void tcp_ack_expected(struct tcp_conn *c, const struct tcp_in *in);
/* The window in a segment whose ACK is good; acks_new: the ACK moved snd_una. */
void tcp_window_change(struct tcp_conn *c, const struct tcp_in *in);
static inline void tcp_window_told(struct tcp_conn *c, const struct tcp_in *in, bool acks_new)
{
	/* Only from a segment that is newer than the last one used: by its number, or, when the peer sent old
	 * text again, by its acknowledgement. Else the window of before would slide on with SND.UNA, beyond
	 * what the peer ever told. */
	bool newer = acks_new || seq_lt(c->snd_wl1, in->seq) ||
		     (c->snd_wl1 == in->seq && seq_leq(c->snd_wl2, in->ack));
	if (!newer)
		return;
	c->snd_wl1 = in->seq;
	c->snd_wl2 = in->ack;
	if ((uint32_t)in->wnd << c->snd_wscale != c->snd_wnd)
		tcp_window_change(c, in);
}
/* tcp_urgent.c: the sixth step */
void tcp_urgent_input(struct tcp_conn *c, const struct tcp_in *in);
/* The urgent pointer of a segment at seq, or 0: no URG in it. */
uint16_t tcp_urgent_pointer(struct tcp_conn *c, uint32_t seq);
/* tcp_text.c: RFC 9293's seventh and eighth step */
void tcp_text_input(struct tcp_conn *c, struct tcp_in *in);
/* For text right at rcv_nxt, in the window, that there is memory for. */
void tcp_text_expected_take(struct tcp_conn *c, struct tcp_in *in);
void tcp_ack_due(struct tcp_conn *c, bool now);
/* bytes in the unit that wscale makes, rounded up. */
static inline uint32_t tcp_window_field(uint32_t bytes, uint8_t wscale)
{
	return (bytes + (1u << wscale) - 1) >> wscale;
}
uint16_t tcp_window(struct tcp_conn *c);
uint16_t tcp_window_syn(struct tcp_conn *c);
bool tcp_window_update_worth(const struct tcp_conn *c, uint32_t step);
static inline bool tcp_window_update_due(const struct tcp_conn *c)
{
	uint32_t size = c->stack->config.rx_buffer_bytes, mss = c->mss, open = c->rcv_adv - c->rcv_nxt;
	/* A peer that cannot send a full segment is told sooner. */
	uint32_t step = min_u32(size / 2, open < mss ? mss : 2 * mss);

	/* However much memory there is, there is seldom more to tell. */
	return size >= open + c->rx.bytes + step && tcp_window_update_worth(c, step);
}
/* The window is too small for a full segment because others hold the buffers. */
bool tcp_window_waits(const struct tcp_conn *c);

/* tcp_memory.c */
void tcp_memory_init(struct stack *s);
/* Buffers that the connection may hold at this moment. */
uint32_t tcp_memory_allowed(const struct tcp_conn *c);
bool tcp_memory_may_hold_more(const struct tcp_conn *c, uint32_t n);
/* Whether n more buffers may be held. */
static inline bool tcp_memory_may_hold(const struct tcp_conn *c, uint32_t n)
{
	const struct stack *s = c->stack;

	/* What is guaranteed to each needs no look at the others. */
	return (c->rx_buffers + n <= s->rx_guaranteed && s->rx_held + n <= s->config.rx_buffers_max) ||
	       tcp_memory_may_hold_more(c, n);
}
/* More than half of that is held, or there is no more to be had. */
bool tcp_memory_tight(const struct tcp_conn *c);
/* Bytes behind rcv_nxt that there are buffers for, if they come in full segments. */
uint32_t tcp_memory_window(const struct tcp_conn *c);
/* The connection's buffers have become more or fewer: now is how many there are. */
void tcp_memory_changed(struct tcp_conn *c, uint32_t now);
/* Perhaps they have. */
static inline void tcp_memory_account(struct tcp_conn *c)
{
	uint32_t now = c->rx.segments + c->reass.buffers;

	if (now != c->rx_buffers)
		tcp_memory_changed(c, now);
}
/* It is looked at again when others give buffers back. */
void tcp_memory_wait(struct tcp_conn *c);

/* tcp_ecn.c */
/* What a SYN or SYN-ACK asks for or agrees to. */
uint8_t tcp_ecn_syn_flags(const struct tcp_conn *c);
/* Whether a SYN with these flags asks for it, and we do it. */
bool tcp_ecn_asked(enum stack_ecn mode, uint8_t flags);
/* The same for the SYN or SYN-ACK that comes in for our own SYN. */
bool tcp_ecn_agreed(const struct tcp_conn *c, uint8_t flags);
/* Looks at a segment with text in the window. */
void tcp_ecn_text(struct tcp_conn *c, const struct tcp_in *in);
/* Looks at an acceptable ACK, before it takes effect. True when the window was reduced. */
bool tcp_ecn_echoed(struct tcp_conn *c, const struct tcp_in *in);
/* The window was reduced, for whatever reason. */
void tcp_ecn_reduced(struct tcp_conn *c);
/* New data must wait for the retransmission timer, which is armed. */
bool tcp_ecn_held(struct tcp_conn *c);
/* How g, which is about to leave, is marked (enum ip_ecn); its flags may grow. */
uint8_t tcp_ecn_data(struct tcp_conn *c, const struct tcp_segment *g, uint8_t *flags);

/* tcp_timer.c */
void tcp_timers_init(struct tcp_conn *c);
void tcp_timers_cancel(struct tcp_conn *c);
/* The retransmission timeout runs from now. */
void tcp_rexmt_arm(struct tcp_conn *c);
/* RFC 6298 section 5: the earliest segment was sent again, and not by the timeout, which is due one timeout
 * from now, no sooner. */
void tcp_rexmt_postpone(struct tcp_conn *c);
/* It goes on to run, but a tail loss probe may come before it. */
void tcp_rexmt_schedule(struct tcp_conn *c);
/* It goes on to run, but in us the reordering window has passed; 0: nothing changes. */
void tcp_reorder_arm(struct tcp_conn *c, uint32_t us);
void tcp_life_arm(struct tcp_conn *c, uint64_t after_us);
void tcp_keepalive_arm(struct tcp_conn *c);

/* tcp_rtt.c */
void tcp_rtt_init(struct tcp_conn *c);
void tcp_rtt_sample(struct tcp_conn *c, uint32_t rtt_us);
uint64_t tcp_rto_backed_off_us(const struct tcp_conn *c);

/* Ticks of the timestamps that go out. */
static inline uint32_t tcp_clock_ms(const struct stack *s)
{
	return (uint32_t)(s->now_us / 1000);
}

/* The timestamp option's value at a time (RFC 7323 section 5.4: a millisecond a tick). */
static inline uint32_t tcp_timestamp_at(const struct tcp_conn *c, uint64_t us)
{
	return (uint32_t)(us / 1000) + c->ts_offset;
}

static inline uint32_t tcp_timestamp(const struct tcp_conn *c)
{
	return tcp_timestamp_at(c, c->stack->now_us);
}

static inline uint32_t tcp_snd_edge(const struct tcp_conn *c)
{
	return c->snd_una + c->snd_wnd;
}

/* How many payload bytes of g the peer's window takes now. */
static inline uint32_t tcp_window_room(const struct tcp_conn *c, const struct tcp_segment *g)
{
	int32_t room = seq_diff(tcp_snd_edge(c), g->seq);

	return room <= 0 ? 0 : min_u32((uint32_t)room, g->len);
}

/* The number of a segment without data: SND.NXT, but not where a probe's octet or a shrunk window has put
 * that out of what the peer accepts (RFC 9293 section 3.10.7.4): it would not see the ACK in it, nor the RST.
 */
static inline uint32_t tcp_snd_seq(const struct tcp_conn *c)
{
	return c->state >= TCP_ESTABLISHED && seq_lt(tcp_snd_edge(c), c->snd_nxt) ? tcp_snd_edge(c)
										  : c->snd_nxt;
}

static inline bool tcp_fin_acked(const struct tcp_conn *c)
{
	return c->fin_queued && c->snd_una == c->tx_end;
}

static inline bool tcp_nothing_sent(const struct tcp_conn *c)
{
	return list_empty(&c->segments) || (c->unsent && c->segments.next == &c->unsent->link);
}

#endif
