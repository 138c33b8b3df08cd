/* SPDX-License-Identifier: Apache-2.0 */
/* The script that runs, shared by the parts of the program: lines (packetscript.c), the configuration
 * (config.c), the wire and the clock (wire.c) with its neighbours (neighbour.c), ICMP (icmp.c), ARP (arp.c)
 * and discovery (discovery.c, listener.c), the application (application.c). */
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
	bool discovery;			     /* ARP and neighbour discovery are lines of the script */
	struct ip_addr asked, asks;	     /* whose link address the stack wants; unspecified: nobody's */
	uint16_t vlan;			     /* of every frame, unless a segment says another */
	struct rte_mbuf *burst[STACK_BURST]; /* arrived, not taken in yet */
	unsigned burst_count;
	uint32_t sent_edge; /* behind everything that the stack sent on the last connection */
	uint16_t sent_edge_port, sent_edge_from;
	struct ip_addr sent_edge_addr;
	uint32_t last_isn;
	int64_t acked; /* relative: the peer's last acknowledgement */
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
	uint32_t autowrite; /* so many bytes are always queued or on their way */
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
/* The same around n bytes of a protocol of IP; with the tag of "config vlan" unless p says another. */
void wire_inject_packet(const struct packet *p, uint8_t protocol, const uint8_t *payload, uint32_t n);
/* Whether one of the last frames from the peer began with these bytes of an IP packet. */
bool wire_injected(const uint8_t *ip, uint32_t n);
/* Moves the clock to t, through every timer; stops at the first frame sent when asked to. */
void wire_clock_to(uint64_t t, bool until_sent);
void wire_sent_forget(void); /* the oldest frame */
void wire_sent_clear(void);
void wire_burst_add(const uint8_t *frame, uint32_t n); /* arrives with the next wire_burst_input */
void wire_burst_input(void);

/* expect.c: lines of either direction */
void wire_expect_nothing(void);
void wire_inject(const char *text);
/* What text says leaves at at_us, or up to later_us later. */
void wire_expect(const char *text, uint64_t at_us, uint64_t later_us);

/* neighbour.c: takes frames that are ARP's or neighbour discovery's; answers a request among them; tells the
 * peer's address. */
bool neighbour_captured(const uint8_t *frame, uint32_t n);
void neighbour_answer(void);
void neighbour_tell(void);

/* Messages that are not TCP's: text is what stands behind their word. inject: NULL or what is wrong; expect:
 * the frame is what text says; text: a frame in words (MESSAGE_TEXT_BYTES), false when it is no such message.
 * icmp.c, arp.c, discovery.c, listener.c */
enum { MESSAGE_TEXT_BYTES = 600 };
const char *raw_inject(const char *text);
/* A segment, or many; more: they arrive with the next ones. Both in inject.c. */
const char *tcp_inject(const char *text, bool more);
const char *icmp_inject(const char *text);
void icmp_expect(const char *text, const uint8_t *frame, uint32_t n);
bool icmp_text(const uint8_t *frame, uint32_t n, char *out);
const char *arp_inject(const char *text);
void arp_expect(const char *text, const uint8_t *frame, uint32_t n);
bool arp_text(const uint8_t *frame, uint32_t n, char *out);
const char *nd_inject(const char *text);
void nd_expect(const char *text, const uint8_t *frame, uint32_t n);
bool nd_text(const uint8_t *frame, uint32_t n, char *out);
const char *mld_inject(const char *text);
void mld_expect(const char *text, const uint8_t *frame, uint32_t n);
bool mld_text(const uint8_t *frame, uint32_t n, char *out);

/* config.c: false when line is no configuration */
void config_defaults(struct stack_config *c);
bool config_line(const char *line);

/* opening.c: calls of the application, in the words of a line */
void opening_option(
	const char *name, const char *word); /* what the next listen or connect does differently */
void opening_filter(const char *verdict, const char *word); /* a prefix for the next listen */
void opening_listen(const char *word, const struct tcp_app *app);
void opening_connect(const char *word, const char *verdict, const struct tcp_app *app);

/* application.c: what stands between the semicolons of a line, then a turn */
void application_calls(char *text);
void application_write(void); /* what autowrite asks for */
/* word: empty, full, or left: so many buffers */
void application_pool(const char *word, unsigned left);

#endif
