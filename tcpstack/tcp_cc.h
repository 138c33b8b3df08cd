/* SPDX-License-Identifier: Apache-2.0 */
/* Congestion control behind a small table: which segments are lost, and what leaves during a recovery, is the
 * core's business (tcp_ack.c and its friends); an algorithm decides how far the window falls and how it grows
 * again. It touches cwnd, ssthresh and its own cc_state of a connection, nothing else. */
#ifndef TCPSTACK_TCP_CC_H
#define TCPSTACK_TCP_CC_H

#include <stdbool.h>
#include <stdint.h>

struct tcp_conn;

/* What an acknowledgement of new data tells. */
struct tcp_cc_ack {
	uint32_t bytes;	 /* newly acknowledged, cumulatively: what SACK tells of may yet lie behind a loss */
	uint32_t rtt_us; /* a sample, or 0 */
	bool cwnd_limited; /* cwnd, not the application or the peer's window, kept data back */
	uint64_t now_us;
};

struct tcp_cc {
	const char *name;
	/* The connection is established: cwnd is the initial window (RFC 6928), or one segment where its SYN
	 * or SYN-ACK had to be sent again (RFC 5681 section 3.1). */
	void (*init)(struct tcp_conn *c, bool syn_lost);
	/* An ACK of new data outside of recovery. cwnd may grow. */
	void (*acked)(struct tcp_conn *c, const struct tcp_cc_ack *a);
	/* What congestion leaves of the window, in bytes; loss has a least of two segments on it. */
	uint32_t (*reduced)(const struct tcp_conn *c);
	/* A loss was found by ACKs, or the network marked congestion (ECN): once a window. Sets ssthresh
	 * alone, and remembers what undo needs. The core moves cwnd there (PRR). */
	void (*loss)(struct tcp_conn *c);
	/* The recovery that loss began is over: cwnd becomes ssthresh, without a burst. */
	void (*recovered)(struct tcp_conn *c);
	/* The retransmission timer fired: cwnd is one segment. again: not the first time for this segment,
	 * ssthresh stays (RFC 5681 section 3.1). */
	void (*timeout)(struct tcp_conn *c, bool again);
	/* The last loss or timeout was none (F-RTO, DSACK, Eifel): cwnd and ssthresh are as before. May come
	 * at most once after each, at any time. */
	void (*undo)(struct tcp_conn *c);
	/* Nothing was sent for idle_us, more than an RTO, and the next data is about to leave. */
	void (*idle)(struct tcp_conn *c, uint64_t idle_us);
};

extern const struct tcp_cc tcp_cc_cubic, tcp_cc_newreno, tcp_cc_none;

/* HyStart++ (RFC 9406) */
struct tcp_cc_hystart {
	uint32_t round_end;			   /* snd_nxt where this round trip began */
	uint32_t last_rtt_us, rtt_us, baseline_us; /* least of the last round and of this one */
	uint8_t samples;
	uint8_t careful_rounds;
	bool careful; /* in conservative slow start */
};

/* RFC 9438 by its names; windows in bytes */
struct tcp_cc_cubic {
	bool epoch;		    /* congestion avoidance has begun */
	uint64_t epoch_us, seen_us; /* seen: the last ACK, or the end of an idle time */
	uint32_t w_max, cwnd_prior;
	uint32_t k;	    /* units of 1024 us */
	uint32_t est;	    /* W_est, what Reno would have */
	uint64_t est_carry; /* what divisions left over, for the next one */
	uint32_t carry;
	struct tcp_cc_hystart hystart;
	struct tcp_cc_cubic_prior {
		bool epoch;
		uint64_t epoch_us;
		uint32_t w_max, cwnd_prior, k, est;
	} prior; /* what undo brings back */
};

/* An algorithm's memory of a connection; zero before init. */
union tcp_cc_state {
	struct {
		uint32_t acked; /* bytes gathered towards the next step in avoidance */
	} newreno;
	struct tcp_cc_cubic cubic;
};

/* What the algorithms share (tcp_cc.c). */
struct tcp_cc_prior {
	bool valid;
	bool timed_out; /* slow start after a timeout is not over */
	uint32_t cwnd, ssthresh;
};

enum { TCP_CWND_MAX = 1 << 30 };

uint32_t tcp_cc_initial_window(const struct tcp_conn *c);
/* FlightSize of RFC 5681, without what limited transmit added to it. */
uint32_t tcp_cc_flight(const struct tcp_conn *c);
/* Slow start by RFC 5681 equation 2, segments_max (RFC 3465's L) an ACK at the most, one after a timeout,
 * when an ACK may cover what had arrived before. Returns the bytes of those that were left for avoidance once
 * ssthresh was reached. */
uint32_t tcp_cc_slow_start(struct tcp_conn *c, uint32_t bytes, uint32_t segments_max);
/* Adds to cwnd, within TCP_CWND_MAX. */
void tcp_cc_grow(struct tcp_conn *c, uint32_t bytes);
void tcp_cc_remember(struct tcp_conn *c);
/* True when there was something to undo, and cwnd and ssthresh are as remembered: where cwnd has grown past
 * what it was what it has learnt since stands (RFC 9438 section 4.9.2). */
bool tcp_cc_restore(struct tcp_conn *c);
/* The loss window (RFC 5681 section 3.1). */
void tcp_cc_timed_out(struct tcp_conn *c);
void tcp_cc_recovered(struct tcp_conn *c);
void tcp_cc_idle(struct tcp_conn *c, uint64_t idle_us);

#endif
