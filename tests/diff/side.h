/* SPDX-License-Identifier: Apache-2.0 */
/* The two that are compared: this machine's kernel behind a TAP device, and the stack in this process. Both
 * have the same address and the same application; a peer that is neither's talks to each of them through
 * frames. */
#ifndef TESTS_DIFF_SIDE_H
#define TESTS_DIFF_SIDE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };

enum {
	SIDE_ADDR = 0x0a4e0001,	   /* 10.78.0.1 */
	GATEWAY_ADDR = 0x0a4e0002, /* leads to every peer */
	PEERS_ADDR = 0xc6120000,   /* 198.18.0.0/15 (RFC 2544) */
	LISTEN_PORT = 7000,
	CLOSED_PORT = 7001,
	ANSWERS_MAX = 64,
	PAYLOAD_BYTES_MAX = 1460,
	FRAME_BYTES_MAX = 1514,
};

/* What the peer sends. Numbers are those of the wire but for ack, which counts from the side's initial number
 * unless ack_absolute; dport 0 is that of the side's connection. */
struct segment {
	uint8_t flags;
	uint16_t sport, dport, wnd, urg;
	uint32_t src, seq, ack, len;
	uint32_t isn; /* the payload's bytes follow from their distance to it */
	bool ack_absolute, bad_checksum;
	bool echo_syn; /* the timestamp of the side's SYN, whatever came later */
	bool has_mss, has_wscale, has_sackok, has_ts;
	uint16_t mss;
	uint8_t wscale;
	uint32_t ts_val;
	unsigned sacks; /* blocks, counted as ack is */
	uint32_t sack[4];
};

/* What a side answered, by the wire's numbers. */
struct answer {
	uint8_t flags;
	uint32_t seq, ack, len;
};

/* The application's calls. */
enum act { ACT_WRITE, ACT_SHUTDOWN, ACT_CLOSE, ACT_ABORT, ACTS };

struct side {
	const char *name;
	uint32_t peer_addr;
	uint16_t peer_port;

	/* the wire: the last step's answers, and what follows from all of them */
	struct answer answers[ANSWERS_MAX];
	unsigned answers_n;
	bool isn_known, resent, sends_ts;
	uint32_t isn, ts_last, ts_syn;
	uint16_t port;
	uint32_t snd_max; /* behind the highest number sent, from isn */
	uint32_t acked;	  /* the highest acknowledgement, by the wire's number; valid with has_acked */
	bool has_acked;

	/* the application: every connection is read at once */
	uint32_t delivered, written;
	bool open, wrong, eof, reset;
};

struct side_ops {
	struct side side;
	/* A conversation with this peer begins; with active, by a connection to it. */
	void (*begin)(uint32_t peer_addr, uint16_t peer_port, bool active);
	/* The conversation's connection is over, the next one may come. */
	void (*again)(void);
	/* A frame arrives. */
	void (*inject)(const uint8_t *frame, uint32_t n);
	void (*act)(enum act act, uint32_t n);
	/* The application reads what there is, and everything that was sent is in side.answers. */
	void (*settle)(void);
	/* RFC 9293's name; "none" where there is no connection. */
	const char *(*state)(void);
	/* Whatever is left of the conversation is gone. */
	void (*end)(void);
};

extern struct side_ops linux_side, stack_side;

/* Stand up the sides; false with a message when that fails. device: the TAP's name. */
bool linux_start(const char *device);
void stack_start(void);
/* Makes stack_side answer wrongly in one way, which a comparison must find. False: no such way. */
bool stack_plant(const char *name);
/* The ways, one a line. */
void stack_plants_print(void);

/* wire.c */
extern const uint8_t side_mac[6], gateway_mac[6];
uint8_t peer_byte(uint32_t distance);
uint8_t side_byte(uint32_t distance);
/* The Ethernet frame that carries g to a side; returns its length. */
uint32_t segment_frame(const struct segment *g, const struct side *to, uint8_t *frame);
/* Notes a frame that a side sent, where it belongs to its conversation. */
void side_saw(struct side *side, const uint8_t *frame, uint32_t n);
/* Forgets a connection, but not the conversation. */
void side_again(struct side *side);
/* In words, for who reads a difference. numbers from the given initial ones. */
void segment_print(FILE *out, const struct segment *g, uint32_t peer_isn);
void answers_print(FILE *out, const struct side *side, uint32_t peer_isn);

#endif
