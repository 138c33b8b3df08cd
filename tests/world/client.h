/* SPDX-License-Identifier: Apache-2.0 */
/* A client: one AMQP 0-9-1 connection after the other over its host's TCP, and what it knows of its channels.
 * It holds every answer against the model. */
#ifndef TESTS_WORLD_CLIENT_H
#define TESTS_WORLD_CLIENT_H

#include "broker/amqp091/codec.h"
#include "tcpstack/tcp.h"
#include "tests/world/ledger.h"

enum {
	CLIENTS_MAX = 10,
	CLIENT_CHANNELS = 3,
	CLIENT_EXPECTS = 64,
	CLIENT_HELD = 8192,
	CLIENT_UNCONFIRMED = 4096,
	CLIENT_CONSUMERS = 128, /* of one channel's life */
	CLIENT_BUFFER = 1 << 20,
	CLIENT_FRAME_MAX = 8192,
	CLIENT_BODY_MAX = 200000,
};

enum client_state {
	CLIENT_AWAY,	   /* no connection */
	CLIENT_CONNECTING, /* TCP's handshake */
	CLIENT_GREETING,   /* AMQP's */
	CLIENT_OPEN,
	CLIENT_CLOSING, /* connection.close was sent */
	CLIENT_ENDING,	/* its side was shut down without a word */
};

/* What a request may be refused with, beside its answer. */
enum client_refusal {
	REFUSE_404 = 1,
	REFUSE_403 = 2,
	REFUSE_405 = 4,
	REFUSE_406 = 8,
	REFUSE_504 = 16, /* hard */
};

struct consumer_seen {
	unsigned queue;
	bool there, no_ack, asked_cancel;
	uint32_t *last; /* by publisher's life: the order of what came last, never delivered before */
};

struct expect {
	uint32_t id;	   /* of the answer */
	uint32_t messages; /* published on this channel before */
	unsigned refusals;
	unsigned consumer;
	bool no_ack;
	struct ledger_question question;
};

struct held {
	uint64_t tag;
	uint32_t number;
	unsigned queue;
};

enum channel_state { CHANNEL_SHUT, CHANNEL_OPEN, CHANNEL_CLOSING };

struct channel {
	enum channel_state state;
	ledger_life life;
	uint16_t number;
	bool confirming, opened;
	unsigned refusals; /* that publishes may meet */
	/* In sequence: how many; how many of them were confirmed, and are known to be there. */
	uint32_t publishes, confirmed, sure;
	uint32_t numbers[CLIENT_UNCONFIRMED];
	struct expect expects[CLIENT_EXPECTS];
	unsigned expect_first, expect_count;
	struct held held[CLIENT_HELD];
	unsigned held_count;
	uint64_t tag_next;
	struct consumer_seen consumers[CLIENT_CONSUMERS];
	unsigned consumer_count;
	bool recovering;
	bool crossed; /* both sides have closed it: the answer to ours is still to come */
};

struct client {
	unsigned index, peer;
	bool keeper; /* it is there for the others: never killed */
	enum client_state state;
	struct tcp_conn *tcp;
	uint64_t act_us, sleep_until_us, heard_us, said_us;
	uint64_t heartbeat_us; /* 0: none */
	bool finished;	       /* comes back no more */
	int refused;	       /* the queue that it could not consume from last; -1: none */
	struct channel channels[CLIENT_CHANNELS];
	/* A content that is on its way in. */
	struct amqp091_method method;
	char exchange[LEDGER_KEY_MAX], key[LEDGER_KEY_MAX], tag[LEDGER_KEY_MAX];
	uint16_t content_channel;
	uint64_t body_bytes;
	uint32_t body_have;
	bool content, header;
	uint8_t body[CLIENT_BODY_MAX];
	/* Bytes. */
	uint8_t in[CLIENT_BUFFER], out[CLIENT_BUFFER];
	uint32_t in_end, out_at, out_end;
};

extern struct client clients[CLIENTS_MAX];
extern unsigned client_count;

void clients_open(unsigned count);
/* Frees what they keep; all are away. */
void clients_close(void);

void client_connect(struct client *c);
/* Its connection is gone; clean: both sides said so. */
void client_lost(struct client *c, bool clean);
/* Sends what waits, reads what has come where it does not sleep, and its heartbeats. */
void client_pump(struct client *c);

void client_method(struct client *c, uint16_t channel, const struct amqp091_method *m);
/* Bytes to be sent; there must be room. */
uint8_t *client_room(struct client *c, uint32_t bytes);
bool client_has_room(const struct client *c);
void client_close(struct client *c);

struct amqp091_shortstr client_text(const char *text);

/* channel.c: what comes on a channel. */
void channel_begin(struct client *c, struct channel *ch);
void channel_end(struct channel *ch, bool clean);
void channel_hears(struct client *c, struct channel *ch, const struct amqp091_method *m);
/* A content is complete: method says what it came with. */
void channel_content(struct client *c, struct channel *ch);
/* Everything that was published up to here is in its queues. */
void channel_sure(struct channel *ch, uint32_t up_to);
struct expect *channel_expect(struct channel *ch, uint32_t id);
/* Nothing is under way: every answer and confirm has come. */
bool channel_quiet(const struct channel *ch);
bool client_quiet(const struct client *c);

static inline struct channel *client_channel(struct client *c, uint16_t number)
{
	return number >= 1 && number <= CLIENT_CHANNELS ? &c->channels[number - 1] : NULL;
}

#endif
