/* SPDX-License-Identifier: Apache-2.0 */
/* TCP (RFC 9293) for an application on the same core: callbacks tell what happened, received data is borrowed
 * in place, sent data is copied once into transmit buffers.
 *
 * Callbacks are made from stack_input, stack_output and stack_timers, never from inside a function of this
 * header, and one connection at a time; each may call anything here on any connection. They come in the order
 * accepted or connected, readable, peer_closed, writable, closed. closed is the last: the connection is gone
 * when it returns. After tcp_conn_abort or tcp_conn_close no callback of that connection is made any more,
 * and the application must not use it again. Whatever is written during callbacks leaves at stack_output. */
#ifndef TCPSTACK_TCP_H
#define TCPSTACK_TCP_H

#include "runtime/chain.h"
#include "tcpstack/stack.h"

struct tcp_conn;
struct tcp_listener;

enum tcp_reason {
	TCP_REASON_DONE,	/* both sides have closed and everything was delivered and read */
	TCP_REASON_RESET,	/* the peer reset it */
	TCP_REASON_TIMED_OUT,	/* no answer for user_timeout_us, or to keepalives */
	TCP_REASON_REFUSED,	/* an active open was answered with a reset */
	TCP_REASON_UNREACHABLE, /* an active open was told that nobody is or may be reached there */
	TCP_REASON_ABORTED,	/* by the stack: the listener or the instance needed its place */
};

/* Words for a reason, for logs. */
const char *tcp_reason_text(int reason);

/* Members may be NULL. */
struct tcp_app {
	/* A passive open is established. app is the listener's; the connection's user pointer starts as app.
	 */
	void (*accepted)(void *app, struct tcp_conn *c);
	/* An active open ended: 0, or -ECONNREFUSED, -EHOSTUNREACH, -ETIMEDOUT, -ENOBUFS; after an error the
	 * connection is gone when this returns and closed is not called. */
	void (*connected)(struct tcp_conn *c, int error);
	/* The peer tells of urgent data: see tcp_conn_urgent_in (RFC 9293 MUST-32). */
	void (*urgent)(struct tcp_conn *c);
	/* tcp_conn_rx has grown. */
	void (*readable)(struct tcp_conn *c);
	/* The peer's FIN was reached, all its data is in tcp_conn_rx. Sending is still possible. */
	void (*peer_closed)(struct tcp_conn *c);
	/* After tcp_conn_tx_room had shown less than half of what the connection may queue, or a write was
	 * refused: half of that is free again, or a refused write may succeed now. */
	void (*writable)(struct tcp_conn *c);
	/* The end: enum tcp_reason. DONE waits until tcp_conn_rx has been consumed. With RESET, TIMED_OUT and
	 * ABORTED what is in tcp_conn_rx is still readable during the callback. */
	void (*closed)(struct tcp_conn *c, int reason);
};

/* Who may open connections. The longest prefix that holds the peer decides, deny where both are as long; a
 * peer in none may when there is no allow prefix of any version. What comes from others is dropped and
 * counted (tcp_filtered) without an answer and without costing memory, so that the port seems not to be
 * there. Both arrays are borrowed. O(prefixes) a SYN. */
struct tcp_prefix {
	struct ip_addr address;
	uint8_t bits; /* 0 to 32, 0 to 128 */
};
struct tcp_filter {
	const struct tcp_prefix *allow, *deny;
	uint32_t allow_count, deny_count;
};

/* What connections of one listener or one active open do differently from struct stack_config; a NULL pointer
 * means nothing. Every member counts: start from tcp_open_options_of. */
struct tcp_open_options {
	uint32_t delayed_ack_us;
	uint32_t rto_us_min;
	uint64_t keepalive_us; /* idle time before the first probe; 0: off */
	uint32_t keepalive_interval_us, keepalive_probes;
	uint32_t linger_us; /* after tcp_conn_close: what is queued is given up then; 0: after user_timeout_us
			     */
	uint32_t user_timeout_us; /* as tcp_conn_set_user_timeout */
	bool nodelay;		  /* small segments do not wait for earlier ones' ACK (Nagle) */
	uint32_t syn_backlog_max; /* half-open connections of a listener; the stack's limit holds too */
	const struct tcp_filter *filter; /* NULL: everyone; borrowed for the listener's life */
	const struct tcp_cc *cc;
	struct ip_addr local; /* tcp_connect: our address; unspecified: chosen for the destination */
	uint8_t dscp;	      /* RFC 2474 codepoint of an established connection's packets, 0 to 63 */
	uint8_t hop_limit;    /* time to live of these; 0: the usual one (64, or a router's word) */
	enum stack_ecn ecn;
	uint8_t quick_acks; /* see struct stack_config */
};
struct tcp_open_options tcp_open_options_of(const struct stack *s);

/* The congestion control of that name ("cubic", "newreno", "none"), or NULL. */
const struct tcp_cc *tcp_cc_by_name(const char *name);

/* Accepts connections to an address of ours (NULL: every one) and port (1 to 65535). app (copied by
 * reference, must live as long as its connections) and ctx are passed on. 0, -EADDRNOTAVAIL, -EADDRINUSE,
 * -ENOBUFS. *out_or_null gets the handle. */
int tcp_listen(struct stack *s, const struct ip_addr *addr_or_null, uint16_t port,
	const struct tcp_open_options *options, const struct tcp_app *app, void *ctx,
	struct tcp_listener **out_or_null);

/* Stops listening. Half-open connections of the listener are dropped, accepted ones live on. O(half-open). */
void tcp_listener_close(struct tcp_listener *l);

/* Opens a connection from an unpredictable local port (RFC 6056, algorithm 4). connected tells how it ended.
 * NULL when no connection or port is free, options name a local address that is not ours or we have none of
 * that version, or addr is no host's address: unspecified, multicast, broadcast (all counted; RFC 9293
 * MUST-46). The SYN leaves at stack_output. */
struct tcp_conn *tcp_connect(struct stack *s, const struct ip_addr *addr, uint16_t port,
	const struct tcp_open_options *options, const struct tcp_app *app, void *user, uint64_t now_us);

void *tcp_conn_user(const struct tcp_conn *c);
void tcp_conn_set_user(struct tcp_conn *c, void *user);

/* The received bytes that have not been consumed, in order. Borrowed: change it through tcp_conn_rx_consume
 * alone. The view of a byte is valid until it is consumed or the connection ends. Other references to its
 * mbufs (rte_mbuf_refcnt_update, rte_pktmbuf_attach) may be taken and outlive both. Small segments may be
 * copied together behind the bytes that are there. */
struct chain *tcp_conn_rx(struct tcp_conn *c);

/* Drops n bytes (at most what is there, MUST). The window that this opens is told to the peer at stack_output
 * when it is worth a segment (RFC 9293 section 3.8.6.2.2). O(mbufs freed). */
void tcp_conn_rx_consume(struct tcp_conn *c, uint32_t n);

/* How many bytes tcp_conn_write takes now (short of an empty transmit pool): what is left of tx_buffer_bytes,
 * and of the connection's share of segments, which shrinks as others queue more. 0 when not (or no longer)
 * open for sending. O(1). */
uint32_t tcp_conn_tx_room(struct tcp_conn *c);

/* Copies n bytes behind what is queued. All or nothing: 0; -ENOBUFS when the send buffer or the transmit pool
 * has no room (writable will be called); -EMSGSIZE when n exceeds the whole send buffer (tx_buffer_bytes,
 * or less where the peer takes tiny segments only); -EPIPE after
 * tcp_conn_shutdown or at the connection's end; -ENOTCONN before it is established. */
int tcp_conn_write(struct tcp_conn *c, const void *data, uint32_t n);

/* Whether small segments may leave while others are not acknowledged (RFC 9293 MUST-17). What waits leaves at
 * stack_output. */
void tcp_conn_set_nodelay(struct tcp_conn *c, bool nodelay);

/* While corked, only full segments leave: for writes of which more follow. What has waited for 200 ms, and
 * what is there at tcp_conn_shutdown or tcp_conn_close, leaves all the same. */
void tcp_conn_cork(struct tcp_conn *c, bool corked);

/* Keepalive as in struct tcp_open_options, for a connection that is there (RFC 9293 MUST-24). */
void tcp_conn_set_keepalive(struct tcp_conn *c, uint32_t idle_us, uint32_t interval_us, uint32_t probes);

/* RFC 9293 MUST-21. 100 ms at least, an hour at most (RFC 5482 section 3): what is beyond becomes that. */
void tcp_conn_set_user_timeout(struct tcp_conn *c, uint32_t us);

/* How many of the bytes to be read, from the next one on, are urgent by the peer's word, whether they have
 * arrived or not; 0: none are. They are read in line (RFC 6093 section 6). O(1). */
uint32_t tcp_conn_urgent_in(const struct tcp_conn *c);

/* Tells the peer that all that was written so far is urgent (RFC 9293 MUST-30). Nothing leaves for it alone.
 * New protocols do without (RFC 6093 section 6). O(1). */
void tcp_conn_urgent_out(struct tcp_conn *c);

/* Packets that leave from now on carry this Differentiated Services codepoint (RFC 2474), 0 to 63. */
void tcp_conn_set_dscp(struct tcp_conn *c, uint8_t dscp);

/* Sends a FIN behind the queued data. Receiving goes on. 0, -ENOTCONN before established, -EPIPE when done
 * already. */
int tcp_conn_shutdown(struct tcp_conn *c);

/* Lets the connection go: queued data and a FIN are still delivered, no more callbacks. Data that arrives
 * afterwards is answered with a reset (RFC 9293 section 3.10.4, RFC 2525 section 2.17), as are received bytes
 * that were not consumed. */
void tcp_conn_close(struct tcp_conn *c);

/* Resets the connection: a RST leaves, everything is dropped, no more callbacks. Borrowed views end here. */
void tcp_conn_abort(struct tcp_conn *c);

struct ip_addr tcp_conn_local_addr(const struct tcp_conn *c);
uint16_t tcp_conn_local_port(const struct tcp_conn *c);
struct ip_addr tcp_conn_peer_addr(const struct tcp_conn *c);
uint16_t tcp_conn_peer_port(const struct tcp_conn *c);
struct stack *tcp_conn_stack(const struct tcp_conn *c);

struct tcp_conn_info {
	const char *state; /* RFC 9293's name */
	const char *cc;	   /* congestion control */
	uint32_t srtt_us, rttvar_us, rto_us;
	uint32_t cwnd_bytes, ssthresh_bytes, in_flight_bytes;
	uint32_t snd_wnd_bytes, rcv_wnd_bytes;
	uint32_t tx_queued_bytes; /* written and not yet acknowledged */
	uint32_t rx_queued_bytes, reass_bytes;
	uint32_t rx_buffers, rx_buffers_allowed; /* held by both, and its share; UINT32_MAX: no limit */
	uint32_t mss_bytes, pmtu_bytes;		 /* what the path takes, as far as we know */
	uint8_t snd_wscale, rcv_wscale;
	uint8_t timestamps, sack, nodelay, corked;
	uint8_t ecn;	      /* agreed on */
	uint8_t unreachable;  /* an ICMP error said that the peer cannot be reached (RFC 9293 MUST-47) */
	const char *recovery; /* "none", "fast" or "timeout" */
	uint32_t sacked_bytes, lost_segments;
	uint32_t min_rtt_us, reorder_us; /* RACK's reordering window */
	uint64_t delivered_bytes;
	uint64_t bytes_in, bytes_out;
	uint32_t segments_in, segments_out, resent, timeouts, fast_retransmits;
};
struct tcp_conn_info tcp_conn_info(const struct tcp_conn *c);

/* One of everything that has local and peer addresses and ports: connections, and what is half open or in
 * TIME_WAIT, of which little is known. */
struct tcp_entry {
	struct ip_addr laddr, raddr;
	uint16_t lport, rport;
	uint8_t backoff;   /* doublings of the timeout, or SYN-ACKs sent again */
	const char *timer; /* the next one that is due, or NULL: "retransmit", "tail-probe", "reorder",
			    * "persist", "delayed-ack", "hold", "keepalive", "connect", "fin-wait-2",
			    * "time-wait" */
	uint32_t timer_us; /* from now on */
	/* Since data was sent, received, and any acceptable segment received; 0: never, or now. */
	uint64_t since_sent_us, since_data_us, since_heard_us;
	struct tcp_conn_info info;
};

/* Writes up to n (at least TCP_LIST_MIN) entries from *cursor on, and moves it; it begins at 0 and ends at
 * TCP_LIST_END. Entries may come and go between the calls of one walk; those that stay come once. May return
 * 0 before the end. O(n), and a step over some thousand empty places. */
enum { TCP_LIST_MIN = 16 };
#define TCP_LIST_END UINT32_MAX
unsigned tcp_list(struct stack *s, uint32_t *cursor, struct tcp_entry *out, unsigned n);

/* Calls each for every connection; each must not end connections. O(connections). */
void tcp_conn_each(struct stack *s, void (*each)(void *ctx, struct tcp_conn *c), void *ctx);

#endif
