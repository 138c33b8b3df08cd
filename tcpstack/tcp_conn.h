/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection is made of: segments, the state of loss recovery, the connection itself, and what stands
 * for one before and after it (requests; TIME_WAIT is tcp_time_wait.c's). Names follow RFC 9293
 * section 3.3.1. */
#ifndef TCPSTACK_TCP_CONN_H
#define TCPSTACK_TCP_CONN_H

#include "tcpstack/stack_impl.h"
#include "tcpstack/tcp.h"
#include "tcpstack/tcp_cc.h"
#include "tcpstack/tcp_options.h"
#include "tcpstack/tcp_reass.h"
#include "tcpstack/tcp_sack_rx.h"
#include "tcpstack/tcp_seq.h"

enum {
	TCP_HEADER_BYTES = 20,
	TCP_MSS_DEFAULT = 536, /* RFC 9293 MUST-15 */
	TCP_MSS_DEFAULT_V6 = 1220,
	TCP_MSS_MIN = 88, /* less costs more in headers than it carries */
	TCP_DUP_ACKS = 3,
	TCP_PORT_FIRST = 1024,
	TCP_PORT_LAST = 65535,
	TCP_STARVED_RETRY_US = 2000,
	TCP_TX_SHARE_BYTES_MIN = 8192, /* what a connection may queue however short segments are */
	TCP_R1 = 3,		       /* retransmissions of one segment: RFC 9293 SHLD-9 */
	TCP_TIME_WAIT_REUSE_US = 1000000,
	TCP_HOLD_US = 200000,	    /* a partial segment waits no longer for more data, or for window */
	TCP_DELAYED_ACK_US = 40000, /* an ACK's wait on a short path; on a longer one it is a round trip */
	TCP_USER_TIMEOUT_US_MIN = 100000,
};
#define TCP_USER_TIMEOUT_US_MAX 3600000000u

enum tcp_flag {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_PSH = 8,
	TCP_ACK = 16,
	TCP_URG = 32,
	TCP_ECE = 64,
	TCP_CWR = 128
};

enum tcp_state {
	TCP_CLOSED,
	TCP_SYN_SENT,
	TCP_SYN_RCVD,
	TCP_ESTABLISHED,
	TCP_FIN_WAIT_1,
	TCP_FIN_WAIT_2,
	TCP_CLOSE_WAIT,
	TCP_CLOSING,
	TCP_LAST_ACK,
	TCP_STATES
};

/* A queued segment. Its payload lies in m at buf_addr + off, with room for all headers in front. SYN and FIN
 * are segments without payload, embedded in the connection, so that they never lack memory.
 *
 * Once sent it is exactly one of: in flight (in the connection's flight list), lost (in its lost list,
 * waiting to be sent again), sacked (the peer says that it has it, and may still take that back: in neither
 * list). */
struct tcp_segment {
	struct cds_list_head link;
	struct cds_list_head sent_link;
	struct rte_mbuf *m; /* NULL for SYN and FIN */
	uint64_t sent_us;   /* last transmission */
	uint32_t seq;
	uint16_t off, len; /* payload bytes */
	uint8_t control;   /* TCP_SYN or TCP_FIN, or 0 */
	bool sent, lost, sacked, resent;
	bool timed_out; /* sent again by the timer */
};

static inline uint32_t tcp_segment_end(const struct tcp_segment *g)
{
	return g->seq + g->len + (g->control != 0);
}

/* How a loss is being repaired. */
enum tcp_recovery {
	TCP_RECOVERY_NONE,
	TCP_RECOVERY_FAST, /* losses that acknowledgements told of; ends when snd_una reaches recover */
	TCP_RECOVERY_RTO,  /* the timer fired; likewise */
};

/* What the rexmt timer will do. */
enum tcp_rexmt_kind {
	TCP_REXMT_RTO,	   /* retransmission timeout (RFC 6298), or a window's probe */
	TCP_REXMT_PTO,	   /* tail loss probe (RFC 8985 section 7) */
	TCP_REXMT_REORDER, /* the reordering window of RACK has passed (section 6.2) */
};

/* RFC 8985 section 6: the most recently sent segment that has arrived, and the reordering window. */
struct tcp_rack {
	uint64_t sent_us;
	uint32_t end;	 /* its last sequence number plus one */
	uint32_t rtt_us; /* its round trip */
	uint32_t fack;	 /* the highest sequence number that has arrived */
	uint32_t min_rtt_us;
	uint64_t min_rtt_at_us;
	uint32_t dsack_round; /* snd_nxt when a DSACK widened the window; one step a round trip */
	uint8_t reo_mult, reo_persist;
	bool in_dsack_round, reordering_seen;
};

/* RFC 9937 section 6. */
struct tcp_prr {
	uint32_t delivered, out, recover_fs;
};

enum tcp_event {
	TCP_EVENT_ACCEPTED = 1,
	TCP_EVENT_CONNECTED = 2,
	TCP_EVENT_READABLE = 4,
	TCP_EVENT_PEER_CLOSED = 8,
	TCP_EVENT_WRITABLE = 16,
	TCP_EVENT_CLOSED = 32,
	TCP_EVENT_URGENT = 64,
};

struct tcp_listener {
	struct cds_list_head link;
	struct stack *stack;
	struct ip_addr addr; /* unspecified: every one of ours */
	uint16_t port;
	struct tcp_open_options options;
	const struct tcp_app *app;
	void *ctx;
	struct cds_list_head requests; /* oldest first */
	uint32_t request_count;
	uint64_t cookie_until_us; /* a cookie that was sent may come back until then */
};

/* What tells connections apart. */
struct tcp_tuple {
	struct ip_addr laddr, raddr;
	uint16_t lport, rport;
};

static inline bool tcp_tuple_same(const struct tcp_tuple *a, const struct tcp_tuple *b)
{
	return a->lport == b->lport && a->rport == b->rport && ip_equal(&a->raddr, &b->raddr) &&
	       ip_equal(&a->laddr, &b->laddr);
}

/* What the table holds. A request and the TIME_WAIT that it would follow may both be there for one tuple: the
 * younger one is found. */
enum tcp_kind { TCP_KIND_CONN, TCP_KIND_REQUEST, TCP_KIND_TIME_WAIT };
struct tcp_node {
	struct cds_list_head bucket_link;
	struct tcp_tuple tuple;
	uint8_t kind; /* enum tcp_kind */
};

/* What a SYN told of its sender. */
struct tcp_syn_options {
	uint16_t mss; /* the default where there was none */
	uint8_t wscale;
	bool has_wscale, has_timestamp, sack_permitted;
	bool ecn; /* and we agree */
	uint32_t ts_val;
};

/* A passive open whose last ACK is outstanding: SYN-RECEIVED without a connection's memory (RFC 4987 section
 * 3.1's bound, in a pool of its own). */
struct tcp_request {
	struct tcp_node node;
	struct stack *stack;
	struct tcp_listener *listener;
	struct cds_list_head stack_link, listener_link; /* oldest first */
	struct timer timer;				/* SYN-ACK again, or the end */
	uint64_t born_us;
	uint64_t sent_us; /* last SYN-ACK */
	uint64_t ts_recent_us, challenge_next_us;
	uint32_t irs, iss, ts_offset;
	uint16_t peer_wnd;
	uint8_t resent; /* SYN-ACKs after the first */
	struct tcp_syn_options peer;
};

/* What a segment in order, its acknowledgement, and an acknowledgement of ours touch stands first, by cache
 * lines, which are fetched ahead of each received segment (tcp_fast.c): for text in order with its share of
 * an acknowledgement of ours, and for an ACK of something new. A bit a line. */
enum {
	TCP_LINES_TEXT = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 8,
	TCP_LINES_ACK = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9,
};

struct tcp_conn {
	/* line 0: who it is */
	union {
		struct tcp_node node;
		struct {
			struct cds_list_head bucket_link;
			struct tcp_tuple tuple;
		};
	};

	/* line 1: flags, one byte each: they are set and read apart */
	struct stack *stack;
	const struct tcp_app *app; /* NULL: nobody is told */
	void *user;
	uint8_t state;
	uint8_t snd_wscale, rcv_wscale;
	uint8_t dup_acks;
	bool timestamps;
	bool ack_now;	    /* an ACK leaves at the next output, alone if need be */
	bool fin_queued;    /* nothing can be written any more */
	bool fin_received;  /* rcv_nxt is behind the peer's FIN */
	bool fin_known;	    /* the peer's FIN is at fin_seq, perhaps not reached yet */
	bool cwnd_limited;  /* the last output stopped at cwnd */
	bool force_resend;  /* the next lost segment goes out whatever cwnd says */
	bool sack;	    /* both sides speak SACK */
	bool tlp_out;	    /* a tail loss probe is on its way: tlp_end says how far it reaches */
	uint8_t recovery;   /* enum tcp_recovery */
	uint8_t frto;	    /* RFC 5682: 0: no, 1: the first segment went out again, 2: then new data */
	uint8_t rexmt_kind; /* enum tcp_rexmt_kind */
	bool urgent_in;	    /* the peer told of urgent data that may not have been read */
	bool urgent_out;    /* so did we, of what may not be acknowledged */
	uint8_t dscp, hop_limit;
	bool nodelay;
	bool corked;
	bool hold_over;			    /* what waits for the hold timer may leave */
	uint8_t quick_acks, quick_acks_max; /* segments still to be acknowledged at once */
	bool ecn;			    /* agreed on */
	bool ecn_echo;			    /* a mark came in, and no CWR since */
	bool ecn_cwr_due;		    /* the next new data tells that the window was reduced */
	bool ecn_hold;			    /* nothing new before the retransmission timer has run out */
	uint8_t events;			    /* enum tcp_event */
	uint8_t backoff;		    /* doublings of the RTO */
	uint8_t keepalives;		    /* probes sent since the peer was heard */
	bool tx_short; /* the application was shown less room than it may have: writable is owed */
	uint16_t mss;  /* payload of a full segment to the peer */
	uint16_t path_mtu;
	bool may_fragment; /* the path takes less than we can live with */
	uint8_t spare;

	/* line 2: receive sequence space */
	uint32_t rcv_nxt;
	uint32_t rcv_adv; /* right edge told to the peer: never moves back */
	uint32_t last_ack_sent, ts_recent;
	uint64_t ts_recent_us;
	uint32_t unacked_bytes; /* received since the last ACK left */
	uint32_t peer_mss;	/* what the peer calls a full segment: the largest one, or two alike */
	uint32_t last_len;	/* payload of the last segment */
	uint32_t delayed_ack_us;
	uint64_t data_us;  /* when it came */
	uint64_t heard_us; /* last acceptable segment */
	uint64_t bytes_in;

	/* line 3 */
	struct chain rx;
	struct cds_list_head event_link, output_link;
	uint32_t segments_in, segments_out;

	/* line 4: send sequence space */
	uint32_t snd_una, snd_nxt, snd_wnd, snd_wl1, snd_wl2, snd_wnd_max;
	uint32_t tx_end;   /* behind everything queued */
	uint32_t tx_bytes; /* payload queued */
	uint32_t cwnd, in_flight, lost_count;
	uint32_t srtt_us, rto_us;
	uint32_t ts_offset;
	struct tcp_segment *unsent; /* the first in segments that never left */

	/* line 5 */
	struct cds_list_head segments;
	struct cds_list_head lost;
	uint64_t sent_us;     /* last data out */
	uint64_t rto_at_us;   /* when the retransmission timeout is due, whatever rexmt waits for */
	uint64_t progress_us; /* last time snd_una moved, or sending began from rest */
	uint32_t tx_segments;
	uint32_t flow_label; /* of IPv6 */

	/* line 6 */
	struct timer ack_timer;
	uint64_t bytes_out;
	uint64_t delivered_bytes; /* that the peer is known to have */

	/* line 7 */
	struct timer rexmt;
	uint32_t sacked_count, sacked_bytes;
	uint32_t dup_bytes; /* of in_flight: have left the network, say duplicate ACKs */
	uint32_t recover;

	/* line 8 */
	struct tcp_reass reass;
	struct cds_list_head
		flight; /* sent and not known to be lost or to have arrived: in order of sending */
	const struct tcp_cc *cc;
	uint32_t rx_buffers;   /* what rx and reass hold, as the stack has it accounted */
	uint32_t peer_buffers; /* that a full segment takes; 1 where it fits one */

	/* line 9 and further */
	struct tcp_rack rack;
	uint32_t ssthresh, rttvar_us;
	struct tcp_sack_rx sack_rx;
	union tcp_cc_state cc_state;

	/* what no segment of the fast path needs */
	uint32_t irs, iss, fin_seq;
	uint32_t rcv_up, snd_up; /* behind the urgent data, with urgent_in and urgent_out */
	uint32_t tx_segments_max;
	uint32_t tx_wanted;   /* a refused write's size, or 0 */
	uint32_t ecn_recover; /* what was sent when the window was reduced last */
	uint32_t undo_from;   /* snd_una when recovery began */
	uint32_t undo_resent; /* segments sent again since, less those that the peer had twice */
	uint32_t tlp_end;
	uint32_t rto_us_min, user_timeout_us;
	uint64_t keepalive_us;
	uint32_t keepalive_interval_us, keepalive_probes;
	uint32_t linger_us;
	struct tcp_prr prr;
	struct tcp_segment *sack_hint; /* where the last SACK block ended, or NULL */
	struct tcp_cc_prior cc_prior;  /* what undo brings back */
	struct tcp_segment syn, fin;
	bool active;	    /* by tcp_connect */
	bool tlp_resent;    /* and was a retransmission */
	bool tlp_unsampled; /* since the last one no round trip was measured */
	bool undo_possible; /* the last reduction of cwnd may turn out to have been wrong */
	uint8_t ecn_mode;   /* enum stack_ecn */
	bool hashed;
	uint8_t reason;	    /* enum tcp_reason, with TCP_EVENT_CLOSED */
	int connect_error;  /* with TCP_EVENT_CONNECTED */
	uint64_t orphan_us; /* since when the application is gone */
	uint64_t challenge_next_us;
	struct timer life, hold;
	struct cds_list_head life_link;	  /* every connection of the stack */
	struct cds_list_head orphan_link; /* those whose application is gone, longest ago first */
	struct cds_list_head rx_wait_link, starved_link;
	uint16_t mss_peer;   /* what the peer takes, options included */
	uint16_t pmtu_probe; /* tcp_pmtu.c: the path MTU being tried, or 0 */
	uint32_t pmtu_probe_end;
	uint32_t pmtu_seen;	/* stack.pmtu_lowered as it was */
	uint64_t pmtu_raise_us; /* from when on a larger one may be tried */
	uint64_t pmtu_full_us;	/* when the last full segment left that the peer has */
	uint32_t pmtu_vain_una; /* where snd_una was at the last timeout */
	uint8_t pmtu_vain;	/* timeouts in a row without any progress there */
	bool pmtu_untold;	/* found by ourselves, and nothing has arrived since */
	bool unreachable;	/* an ICMP error said so */
	uint32_t resent, timeouts, fast_retransmits;
};
/* Not by an attribute, which would forbid the lists' way of going round. What does not fit any more goes to
 * the end, or a line is added. */
#define TCP_LINE(n, member) \
	_Static_assert(     \
		offsetof(struct tcp_conn, member) == (n)*RTE_CACHE_LINE_SIZE, #member " begins line " #n)
TCP_LINE(1, stack);
TCP_LINE(2, rcv_nxt);
TCP_LINE(3, rx);
TCP_LINE(4, snd_una);
TCP_LINE(5, segments);
TCP_LINE(6, ack_timer);
TCP_LINE(7, rexmt);
TCP_LINE(8, reass);
TCP_LINE(9, rack);
#undef TCP_LINE

#endif
