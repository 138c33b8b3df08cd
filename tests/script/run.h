/* SPDX-License-Identifier: Apache-2.0 */
/* The script that runs, shared by the parts of the program: lines (packetscript.c), the configuration
 * (config.c), the wire and the clock (wire.c) with its neighbours (neighbour.c) and ICMP (icmp.c), the
 * application (application.c). */
#ifndef TESTS_SCRIPT_RUN_H
#define TESTS_SCRIPT_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpstack/stack.h"
#include "tcpstack/tcp.h"
#include "tests/script/segment.h"

enum { SENT_MAX = 256, POOL_MBUFS = 512, FILTER_MAX = 8 };

enum event {
	EVENT_ACCEPTED,
	EVENT_CONNECTED,
	EVENT_READABLE,
	EVENT_URGENT,
	EVENT_PEER_CLOSED,
	EVENT_WRITABLE,
	EVENT_CLOSED,
	EVENTS
};

struct script_run {
	const char *path;
	int line;
	bool failed;
	struct stack_config config;
	struct stack *stack;
	uint64_t now_us;
	struct segment_base base;
	struct {
		uint64_t at_us;
		uint32_t n;
		uint8_t *bytes;
	} sent[SENT_MAX];
	unsigned sent_count;
	struct ip_addr asked, asks;	     /* whose link address the stack wants; unspecified: nobody's */
	uint16_t vlan;			     /* of every frame, unless a segment says another */
	struct rte_mbuf *burst[STACK_BURST]; /* arrived, not taken in yet */
	unsigned burst_count;
	uint32_t sent_edge; /* behind everything that the stack sent on the last connection */
	uint16_t sent_edge_port;
	uint32_t last_isn;
	struct tcp_listener *listener;
	bool options_set; /* by the call "option" */
	struct tcp_open_options options;
	struct tcp_filter filter;
	struct tcp_prefix allow[FILTER_MAX], deny[FILTER_MAX];
	struct tcp_conn *conn;
	uint16_t stack_port;
	int64_t written, read; /* relative numbers of the next byte */
	unsigned events[EVENTS];
	int event_word[EVENTS];
	bool autoread;
	struct rte_mbuf *hoard[POOL_MBUFS + 1];
	unsigned hoarded;
};
extern struct script_run run;

extern struct rte_mempool *pool, *peer_pool; /* the stack's transmit pool, the peer's frames */

/* Fails the script; the first reason is printed with its line. */
__attribute__((format(printf, 1, 2))) void fail(const char *fmt, ...);

/* wire.c */
void wire_capture(void *ctx, struct rte_mbuf **frames_take, unsigned n); /* the stack's tx function */
void wire_turn(void);							 /* output and timers, now */
void wire_input(const uint8_t *frame, uint32_t n);			 /* from the peer */
void wire_input_tagged(const uint8_t *frame, uint32_t n);
/* with the tag of "config vlan" put in */
/* Moves the clock to t, through every timer; stops at the first frame sent when asked to. */
void wire_clock_to(uint64_t t, bool until_sent);
void wire_sent_clear(void);
void wire_expect_nothing(void);
void wire_inject(const char *text);
void wire_expect(const char *text, uint64_t at_us);

/* neighbour.c: takes frames that are ARP's or neighbour discovery's; answers a request among them; tells the
 * peer's address. */
bool neighbour_captured(const uint8_t *frame, uint32_t n);
void neighbour_answer(void);
void neighbour_tell(void);

/* icmp.c: text is what stands behind "icmp". icmp_inject: NULL or what is wrong. icmp_text: out in words (100
 * bytes); false when the frame is no ICMP message. */
const char *icmp_inject(const char *text);
void icmp_expect(const char *text, const uint8_t *frame, uint32_t n);
bool icmp_text(const uint8_t *frame, uint32_t n, char *out);

/* config.c: false when line is no configuration */
void config_defaults(struct stack_config *c);
bool config_line(const char *line);

/* application.c: what stands between the semicolons of a line, then a turn */
void application_calls(char *text);
/* word: empty, full, or left: so many buffers */
void application_pool(const char *word, unsigned left);

#endif
