/* SPDX-License-Identifier: Apache-2.0 */
/* What the adaptor's files share. One server a core; a connection has channels, a channel has consumers and
 * unsettled deliveries.
 *
 * Rules
 *  1. Bytes are consumed from the transport only when they have been acted upon. Body bytes go into the
 * message as they come; every other frame waits in the transport's buffers until it is whole.
 *  2. Input stops while output waits (`out` not empty, or no room) and while a publisher is held for memory.
 *     So the output that must be stored is bounded: answers to one frame, and what other connections cause.
 *  3. At most one content larger than the send room is under way on a connection; everything after it queues
 *     behind it.
 *  4. A connection is never freed inside a call that has it as an argument: it goes to server->dying, which
 * the source's flush empties. */
#ifndef BROKER_AMQP091_INTERNAL_H
#define BROKER_AMQP091_INTERNAL_H

#include "broker/access.h"
#include "broker/amqp091/codec.h"
#include "broker/amqp091/letter.h"
#include "broker/amqp091/server.h"
#include "broker/core/exchange.h"
#include "broker/core/queue.h"
#include "runtime/check.h"
#include "runtime/pool.h"
#include "runtime/timer.h"

#include <urcu/compiler.h>
#include <urcu/list.h>

enum {
	AMQP091_CHANNEL_LIMIT = 2047,
	AMQP091_PAGE_CHANNELS = 64,
	AMQP091_PAGES = (AMQP091_CHANNEL_LIMIT + 1) / AMQP091_PAGE_CHANNELS,
	AMQP091_FRAME_MAX_BEFORE_TUNE = 8192, /* start-ok with long client properties */
	AMQP091_INPUT_ROOM = 4096,	      /* send room that must be there before a frame is acted upon */
	AMQP091_DELIVER_ROOM = 2048,	      /* and before a delivery begins */
	AMQP091_LARGE_BODY = 64 * 1024,	      /* from here on a body must leave memory for others */
	AMQP091_FIELDS_MAX = 64,	      /* entries of an argument table that are looked at */
	AMQP091_TEXT_MAX = 255,
	AMQP091_DELIVER_BUDGET = 256, /* messages delivered a turn, beside as many as came in it */
	AMQP091_TIMER_BUDGET = 64,    /* timers fired a turn */
	AMQP091_RETRY_US = 1000,      /* how soon stalled output and held publishers are looked at again */
	/* A connection's share of a turn: frames read and deliveries settled. What is beyond it waits for the
	 * next turn, however much has arrived. */
	AMQP091_INPUT_BUDGET = 512,
	AMQP091_ABANDON_BUDGET = 512,	/* deliveries of ended channels put back a turn */
	AMQP091_TURN_BUDGET = 2048,	/* and of all connections together */
	AMQP091_CONSUMERS_A_FRAME = 64, /* consumers of a channel passed at the cost of a frame */
	AMQP091_CONTENT_FRAMES = 3,	/* of a message with a body in one frame */
	STAGE_BYTES = 16384,
	STAGE_BODY_MAX = 8192,
};

/* Clients differ in whether frame_max counts a frame or its payload. RabbitMQ gives and takes both. */
#define AMQP091_FRAME_TOLERANCE AMQP091_FRAME_OVERHEAD

enum conn_state {
	CONN_HEADER,   /* the protocol header is awaited */
	CONN_START,    /* connection.start was sent */
	CONN_AUTH,     /* the password is being checked */
	CONN_TUNE,     /* connection.tune was sent */
	CONN_OPEN,     /* connection.open is awaited */
	CONN_RUNNING,  /* connection.open-ok was sent */
	CONN_CLOSING,  /* we sent connection.close: only close and close-ok are read */
	CONN_CLOSED,   /* we sent connection.close-ok: the peer ends it; input is dropped */
	CONN_DRAINING, /* the last bytes are on their way; input is dropped */
	CONN_DEAD,     /* the transport is gone; on server->dying */
};

enum hold {
	HOLD_NONE,
	HOLD_OUTPUT, /* output waits */
	HOLD_CALL,   /* another core has been asked about a queue */
	HOLD_MEMORY, /* message memory is short */
	HOLD_TURN,   /* its share of the turn is used up */
	HOLD_ROUTE,  /* the queues of a message cannot take it now */
};

/* Output that found no room: a block of message memory. */
struct out_block {
	struct cds_list_head link;
	uint16_t at, end;
	uint8_t bytes[];
};

/* A content on its way to the client, longer than the send room. */
struct content_out {
	struct message *message; /* NULL: none; one reference */
	struct message_cursor at;
	uint64_t left;
	uint16_t channel;
};

/* A piece of a connection's table of channels by number. */
struct channel_page {
	uint32_t used;
	struct amqp091_channel *at[AMQP091_PAGE_CHANNELS];
};

struct amqp091_conn {
	struct amqp091_server *server;
	struct transport_conn *transport; /* NULL once dead */
	struct cds_list_head link;	  /* server->conns, or ->dying */
	struct cds_list_head waiting;	  /* server->waiting while output or memory is awaited, else idle */
	enum conn_state state;
	enum hold hold;
	bool memory_short;   /* since the content header that waits was first looked at */
	bool frame_again;    /* the frame under way is not done with: it is offered again in the next turn */
	uint32_t input_left; /* of AMQP091_INPUT_BUDGET, in turn input_turn */
	uint64_t input_turn;
	bool opened;	 /* open-ok was sent: session is live */
	bool was_opened; /* it was at some time */
	/* The client's capabilities: consumer_cancel_notify, connection.blocked,
	 * authentication_failure_close. */
	bool notifies_cancel, hears_blocked, hears_refusal;
	struct cds_list_head blocked; /* server->blocked from connection.blocked to unblocked, else idle */
	bool stream_lost;	      /* a frame could not be parsed: nothing after it can be */
	bool peer_ended;	      /* FIN was received: nothing follows what the transport holds */
	bool body_end;		      /* a body frame's end octet is awaited */
	uint32_t body_left;	      /* payload octets of the current body frame still to come */
	uint16_t body_channel;
	uint32_t frame_max; /* 0: none agreed yet */
	uint16_t channel_max;
	uint64_t heartbeat_us;
	uint64_t rx_us, tx_us; /* when anything was last received and sent */
	uint64_t auth_token;
	const char *mechanism; /* that the client chose */
	struct timer deadline; /* handshake, then closing */
	struct timer heartbeat;
	struct session session;
	struct access_grant *grant;	/* while it is open; NULL: everything */
	struct queue_call *call;	/* NULL: none */
	struct amqp091_channel *asking; /* whose call it is, or whose consumer comes or goes */
	bool asked_no_wait, asked_get;
	struct amqp091_channel *routing;    /* HOLD_ROUTE: whose message waits */
	struct cds_list_head before, after; /* out_blocks ahead of and behind content */
	struct content_out content;
	struct cds_list_head channels;
	struct channel_page *page[AMQP091_PAGES]; /* NULL where no channel of it is open */
	char user[AMQP091_TEXT_MAX + 1];
};

/* What tx.commit does with an unsettled delivery. */
enum kept_settlement { SETTLEMENT_NONE, SETTLEMENT_ACK, SETTLEMENT_REQUEUE, SETTLEMENT_DROP };

struct unacked {
	struct cds_list_head link; /* channel->unacked, by tag; or its transaction's */
	struct unacked *index_next;
	uint64_t serial; /* the channel's */
	uint64_t tag;
	uint32_t chain;
	enum kept_settlement kept;
	uint64_t delivered_us;
	struct delivery delivery;
	pool_handle consumer; /* 0: basic.get */
};

/* Finds an unsettled delivery by channel and tag: chains from a table with a place for each. */
struct unacked_index {
	struct unacked **chains;
	uint32_t mask;
};

/* memcmp() == 0, where so few octets are compared that a call would cost more than the comparison. */
static inline bool bytes_alike(const uint8_t *a, const uint8_t *b, uint32_t n)
{
	if (n < 2)
		return n == 0 || *a == *b;
	if (n < 4)
		return wire_get16(a) == wire_get16(b) && a[n - 1] == b[n - 1];
	if (n < 8)
		return wire_get32(a) == wire_get32(b) && wire_get32(a + n - 4) == wire_get32(b + n - 4);
	for (uint32_t i = 0; i + 8 < n; i += 8)
		if (wire_get64(a + i) != wire_get64(b + i))
			return false;
	return wire_get64(a + n - 8) == wire_get64(b + n - 8);
}

/* publish_fast.c: the frames of the channel's last content, its body apart. */
enum { AMQP091_TEMPLATE_FRAME_MAX = 96 };
struct publish_template {
	uint8_t method_bytes, header_bytes; /* header 0: nothing to compare with */
	uint8_t priority;
	bool persistent, expires;
	uint64_t lifetime_us;
	uint32_t body_bytes_max;			/* a body so long fits the store */
	uint8_t octets[2 * AMQP091_TEMPLATE_FRAME_MAX]; /* the method frame, the header frame behind it */
};

/* deliver_fast.c: what the consumer was given last, its body apart. */
struct deliver_template {
	uint16_t count;	  /* of bytes; 0: nothing */
	uint16_t tag_at;  /* the delivery tag, then redelivered */
	uint16_t size_at; /* the body's size */
	uint8_t names_bytes, exchange_bytes, properties_bytes;
	uint64_t names_id; /* message_head's */
	uint8_t names[80]; /* exchange, routing key */
	uint8_t properties[80];
	uint8_t bytes[320]; /* method frame, header frame */
};

/* Deliveries of one connection after the other gather here and are written together. */
struct stage {
	struct amqp091_conn *conn; /* NULL: nobody's */
	uint32_t count, room;	   /* octets; room: the transport's when it began */
	uint8_t *bytes;
};

struct content_in {
	bool expected;	/* basic.publish came: header, then bodies */
	bool permitted; /* to the exchange, which is the last content's meanwhile */
	bool mandatory;
	bool rewritten;		 /* its properties are not those that came */
	struct message *message; /* from the header on */
	struct message *keys;	 /* with CC or BCC: one whose properties have them; a reference */
	uint8_t exchange_bytes, key_bytes;
	uint8_t exchange[AMQP091_TEXT_MAX], key[AMQP091_TEXT_MAX];
};

/* transaction.c: class tx of a channel. */
struct transaction {
	bool on, committing;
	bool refused;			  /* a queue would not take a message */
	struct cds_list_head publishes;	  /* in their order */
	struct cds_list_head settlements; /* unacked, in the order in which they were settled */
	struct cds_list_head *place;	  /* a rollback's, where it goes on; NULL: none is under way */
};

/* A whole message, and whose headers name further keys (as in content_in). */
struct publish_content {
	struct message *message, *keys;
	bool mandatory;
};

/* A publish that waits for tx.commit; both references are its own. */
struct kept_publish {
	struct cds_list_head link;
	struct publish_content content;
	bool offered; /* some queue may have it already */
};

/* A publish that was accepted, and how many were until then. */
struct confirm_point {
	uint64_t seq, count;
	uint64_t persistent; /* of the count */
};

enum { REPLY_NAME_BYTES = 44 }; /* amq.rabbitmq.reply-to. and what is random */

struct amqp091_channel {
	struct amqp091_conn *conn;
	struct cds_list_head link; /* conn->channels */
	uint16_t number;
	uint64_t serial; /* no two channels of a server have the same, one after the other either */
	bool closing;	 /* we sent channel.close */
	bool confirming;
	uint64_t tag_next;		/* of the next delivery */
	uint64_t tag_base;		/* where in the index its tags begin */
	uint64_t settle_last;		/* a settlement of all is under way up to here, else 0 */
	uint64_t publish_seq;		/* of the last publish, in confirm mode */
	struct confirm_point accepted;	/* the last that was not refused; refusals are told at once */
	struct confirm_point confirmed; /* up to here confirmed */
	struct confirm_point due;	/* up to here to be confirmed once `waiting` is passed; seq 0: none */
	bool refusals;			/* a publish was refused: others may be, each with an answer */
	struct publish_marks marks, waiting;
	struct cds_list_head confirm_link; /* server->confirms while a confirm is due, else idle */
	uint32_t prefetch_channel;	   /* qos global=true, 0: none */
	uint32_t prefetch_consumer;	   /* for consumers to come */
	uint32_t unacked_count;		   /* of consumers: what prefetch_channel limits */
	struct cds_list_head unacked, consumers;
	struct content_in in;
	struct transaction tx;
	struct amqp091_consumer *replies; /* of direct reply-to; NULL: none */
	uint8_t reply_name[REPLY_NAME_BYTES];
	struct publish_template template;
	uint8_t last_queue_bytes;
	bool has_last_queue;
	uint8_t last_queue[AMQP091_TEXT_MAX];
};

struct amqp091_consumer {
	struct consumer consumer; /* the core's */
	struct amqp091_channel *channel;
	struct cds_list_head link; /* channel->consumers */
	uint32_t prefetch, unacked_count;
	bool no_wait; /* no answer is wanted to what is under way */
	uint8_t tag_bytes;
	uint8_t tag[AMQP091_TEXT_MAX];
	struct deliver_template template;
};

struct amqp091_server {
	struct turn_source source, clock;
	struct amqp091_server_config config;
	struct phase_mark *phase; /* the core's */
	struct amqp091_counters counters;
	struct auth_port *auth_port;
	struct pattern_match *match; /* NULL: nobody asks */
	struct pool *conns_pool, *channels_pool, *pages_pool, *consumers_pool, *unacked_pool, *kept_pool;
	uint64_t kept_bytes, kept_bytes_max; /* of the messages in transactions */
	struct amqp091_letters letters;
	struct amqp091_office delayed;
	struct unacked_index unacked_index;
	struct timer_wheel wheel;
	struct timer overdue;
	uint32_t overdue_left; /* connections that are to be looked at */
	struct cds_list_head conns, dying, waiting, confirms, blocked;
	struct cds_list_head forgotten; /* messages of transactions whose channels are gone */
	struct cds_list_head
		abandoned; /* unsettled deliveries of channels that are gone: back to their queues */
	uint32_t gets;	   /* under way to other cores */
	uint64_t serial;
	uint32_t conn_count;
	bool shutting_down;
	bool persistent_seen;  /* the log has said that they are not stored */
	bool turn_short;       /* a connection is held for its share of this turn: there must be a next one */
	bool retrying;	       /* those that waited have their turn */
	uint32_t turn_left;    /* of AMQP091_TURN_BUDGET */
	uint32_t abandon_left; /* of AMQP091_ABANDON_BUDGET */
	uint64_t turn, received_before; /* messages, when it began */
	uint64_t now_us;
	struct siphash_key name_key; /* consumer tags */
	uint64_t name_seq;
	bool plain; /* tests: nothing goes a fast way */
	struct stage stage;
	uint64_t fast_contents, fast_deliveries, fast_settled; /* that went the fast ways */
	uint64_t fast_run_contents;			       /* of these: behind another one, unasked */
	uint8_t *scratch;				       /* one frame that lies across buffers */
	uint8_t *encode;				       /* one frame being written */
	uint32_t encode_bytes;				       /* also the largest frame */
};

/* connection.c: states and their ends. */
void conn_open_handshake(struct amqp091_conn *c);
void conn_method(struct amqp091_conn *c, const struct amqp091_method *m);
void conn_auth_answer(struct amqp091_conn *c, bool accepted);
void conn_drain(struct amqp091_conn *c);
void conn_die(struct amqp091_conn *c, bool abort);
void conn_release(struct amqp091_conn *c);
void server_count_out(struct amqp091_server *s); /* one connection less on all cores */
bool conn_live(const struct amqp091_conn *c);	 /* running: channels may act */

/* blocked.c. It is held for memory; and once a turn: how many may go on. */
void blocked_tell(struct amqp091_conn *c);
unsigned blocked_end(struct amqp091_server *s);

/* overdue.c: deliveries that wait too long for their settlement. */
void overdue_begin(struct amqp091_server *s);
unsigned overdue_poll(struct amqp091_server *s); /* a slice; how much was looked at */

/* heartbeat.c */
void heartbeat_start(struct amqp091_conn *c, uint16_t interval_s);
void heartbeat_init(struct amqp091_conn *c);

/* exception.c. id: the method that caused it, 0 for none. The text is RabbitMQ's, without the code's name. */
__attribute__((format(printf, 4, 5))) void conn_exception(
	struct amqp091_conn *c, uint16_t code, uint32_t id, const char *fmt, ...);
__attribute__((format(printf, 4, 5))) void channel_exception(
	struct amqp091_channel *ch, uint16_t code, uint32_t id, const char *fmt, ...);
void channel_failure(struct amqp091_channel *ch, uint32_t id, const struct failure *f);

/* input.c */
void conn_input(struct amqp091_conn *c);
void conn_hold(struct amqp091_conn *c, enum hold why);
bool conn_may_read(struct amqp091_conn *c); /* room for what a frame may lead to; held for output where not */
void conn_wait(struct amqp091_conn *c);	    /* it is looked at again in the next turn */
/* What is left of the connection's share of this turn, and taking from it. */
uint32_t conn_input_left(struct amqp091_conn *c);
void conn_charge(struct amqp091_conn *c, uint32_t n);

/* output.c */
void conn_send(struct amqp091_conn *c, const uint8_t *bytes, uint32_t n);
void conn_send_method(struct amqp091_conn *c, uint16_t channel, const struct amqp091_method *m);
/* Sends method, header and body of a content; takes the message's reference. Its properties are the message's
 * unless they are altered. */
void conn_send_content_take(struct amqp091_conn *c, uint16_t channel, const struct amqp091_method *m,
	struct message *message, const struct amqp091_basic_properties *altered_or_null);
bool conn_output_idle(struct amqp091_conn *c);
void conn_pump(struct amqp091_conn *c); /* writes what waits; resumes input and consumers when all is out */
void conn_output_clear(struct amqp091_conn *c);

/* channel.c */
struct amqp091_channel *channel_find(const struct amqp091_conn *c, uint16_t number);
void channel_open(struct amqp091_conn *c, uint16_t number);
void channel_stop(struct amqp091_channel *ch); /* consumers gone, deliveries requeued, content dropped */
void channel_release(struct amqp091_channel *ch);
void channel_method(struct amqp091_conn *c, uint16_t number, const struct amqp091_method *m);
void channel_wake(struct amqp091_channel *ch);

/* selected.c: the headers CC and BCC. */
enum selected { SELECTED_NONE, SELECTED_CC, SELECTED_BCC, SELECTED_REFUSED };
/* Which of them are there; REFUSED: the channel has its exception. */
enum selected selected_check(struct amqp091_channel *ch, const struct amqp091_table *headers);
bool selected_hidden(struct amqp091_shortstr header); /* not to be seen by who gets the message */
/* The properties, whose headers are given as decoded, without what is hidden. In block, which has room for n
 * octets and may be where they are. */
struct slice selected_strip(
	const uint8_t *properties, uint32_t n, struct amqp091_table headers, uint8_t *block);
/* Of checked headers. The next key: as of a key_source. */
struct selected_keys {
	struct amqp091_table cc, bcc; /* arrays */
};
struct selected_keys selected_keys(const struct amqp091_table *headers);
bool selected_next(const struct selected_keys *k, uint32_t *at, struct slice *key);

/* headers.c: what routing asks of a message beside its key. Only a headers exchange looks inside, so that the
 * properties are decoded when it asks; or for CC and BCC, which lie in the same octets then. */
struct header_lookup {
	const struct message *message;
	uint8_t *block; /* room for the properties */
	struct amqp091_table headers;
	struct selected_keys keys;
	bool decoded, selected;
};
struct header_source header_source(struct header_lookup *l);
struct key_source key_source(struct header_lookup *l);

/* topology.c */
void topology_method(struct amqp091_channel *ch, const struct amqp091_method *m);
bool channel_queue_name(
	struct amqp091_channel *ch, struct amqp091_shortstr given, uint32_t id, struct slice *out);

/* reply_to.c: direct reply-to. */
bool reply_to_is(struct slice queue);	  /* the name that stands for it */
bool reply_to_hidden(struct slice queue); /* that, or one of the queues behind it */
/* The queue of a new reply consumer; NULL: the channel has its exception, or the frame is offered again. */
struct queue *reply_to_begin(struct amqp091_channel *ch, const struct amqp091_basic_consume *a);
/* Puts the channel's own name into a request's properties, which lie in the server's encode from then on.
 * False: the channel has its exception. */
bool reply_to_rewrite(struct amqp091_channel *ch, struct amqp091_content_header *h,
	struct amqp091_basic_properties *properties);
void reply_to_declare(struct amqp091_channel *ch, const struct amqp091_queue_declare *a);

/* consume.c */
void basic_method(struct amqp091_channel *ch, const struct amqp091_method *m);
void consumer_release(struct amqp091_consumer *k);
/* The answer is there that the connection was held for: it reads on. */
void conn_answered(struct amqp091_conn *c);
/* Asks a queue; done runs now or later. A refusal is the channel's exception. */
void channel_call(struct amqp091_channel *ch, const struct queue_call_request *r, uint32_t id, bool no_wait);

enum settle { SETTLE_DONE, SETTLE_AGAIN, SETTLE_ERROR };

/* unacked.c. The index belongs to the server; 0 or -1. */
int unacked_index_create(struct unacked_index *x, uint32_t unacked_max);
void unacked_index_destroy(struct unacked_index *x);
void unacked_begin(struct amqp091_channel *ch);
struct unacked *unacked_add(struct amqp091_channel *ch, struct amqp091_consumer *k, const struct delivery *d);
void unacked_settle(struct amqp091_channel *ch, struct unacked *u, bool ack, bool requeue);
/* Its queue can be told this now. */
bool unacked_ready(struct amqp091_channel *ch, const struct unacked *u, enum kept_settlement how);
/* Puts back among the unsettled what a transaction had. Its place is looked for from *place on, which is in
 * channel->unacked and is it afterwards; so what is put back in order costs nothing. *steps: how many it may
 * pass, and what is left of that. False: more; the same call goes on from there, if nothing was settled
 * meanwhile. */
bool unacked_restore(
	struct amqp091_channel *ch, struct unacked *u, struct cds_list_head **place, uint32_t *steps);
/* basic.recover: all of them to their queues, whatever a transaction keeps. */
enum settle unacked_recover(struct amqp091_channel *ch);
/* In a transaction it is kept what is said. SETTLE_AGAIN: the connection's share of the turn is used up; the
 * same call has to be made again in the next one, and nothing else of the channel in between. SETTLE_ERROR:
 * an exception was raised. Tag 0 with multiple is all that was delivered before the first of these calls. A
 * tag is found in O(1), in whatever order. */
enum settle unacked_settle_tags(
	struct amqp091_channel *ch, uint64_t tag, bool multiple, bool ack, bool requeue, uint32_t id);
/* Everything of the channel, which is ending, goes back to its queues: some at once, the rest in later turns.
 */
void unacked_abandon(struct amqp091_channel *ch);
/* What is left of the turn's slice of that; returns how many. */
unsigned unacked_drain(struct amqp091_server *s);
/* All of that at the broker's end, when queues and other cores are going as well. */
void unacked_forget(struct amqp091_server *s);

/* publish_fast.c. Reads contents that are like their channel's last; false: the next frame is not one, or
 * cannot be acted upon now. Learning: whole frames that were accepted. */
bool publish_fast(struct amqp091_conn *c);
void publish_learn_method(struct amqp091_channel *ch, const uint8_t *frame, uint32_t n);
void publish_learn_header(struct amqp091_channel *ch, const uint8_t *frame, uint32_t n);

/* settle_fast.c. Acts upon acks as long as nothing else comes; false: the next frame is not one. */
bool settle_fast(struct amqp091_conn *c);

/* delivery_count.c: the message's properties with the header x-delivery-count, of a delivery with an attempt.
 * In the server's buffers, until one of these is used again. False: there is no room for it. */
bool delivery_count_add(
	struct amqp091_server *s, const struct delivery *d, struct amqp091_basic_properties *out);

/* deliver_fast.c. Delivers and takes the reference; false: nothing was done. */
bool deliver_fast(struct amqp091_consumer *k, const struct delivery *d);
/* Send room, less what is staged. */
uint32_t conn_deliver_room(struct amqp091_conn *c);
void stage_flush(struct amqp091_server *s); /* before anything else is sent to its connection */
void stage_drop(struct amqp091_conn *c);

/* permission.c: whether the connection's user may. False: the channel has its exception. */
bool queue_permitted(struct amqp091_channel *ch, enum access_kind kind, struct slice name, uint32_t id);
bool exchange_permitted(struct amqp091_channel *ch, enum access_kind kind, struct slice name, uint32_t id);
/* Declaring what is there asks for less; then no new one may be made of it (d->existing), which could have
 * gone meanwhile. */
bool exchange_declare_permitted(struct amqp091_channel *ch, struct exchange_declaration *d, uint32_t id);
bool queue_declare_permitted(struct amqp091_channel *ch, struct queue_declaration *d, uint32_t id);
bool binding_permitted(struct amqp091_channel *ch, const struct binding_spec *b, uint32_t id);

/* publish.c */
/* The channel's message is complete and no transaction keeps it. */
void publish_route(struct amqp091_channel *ch);
/* Routes it, which keeps its references, and sends it back where it is mandatory and no queue is there for
 * it. */
enum publish_result publish_offer(struct amqp091_channel *ch, const struct publish_content *content,
	struct publish_marks *marks, struct failure *f);
void publish_give_back(struct amqp091_channel *ch, struct message *m); /* basic.return */
/* Where a run of messages like this one goes (publish_run_begin); and n of them have gone there. */
struct publish_run publish_run_like(struct amqp091_channel *ch, struct message *like);
void publish_run_done(struct amqp091_channel *ch, const struct publish_run *run, uint32_t n);
void publish_begin(struct amqp091_channel *ch, const struct amqp091_basic_publish *p);
/* False: message memory is short; the frame stays where it is and is offered again. */
bool publish_header(struct amqp091_channel *ch, const uint8_t *payload, uint32_t n);
/* A frame is not what comes next on the channel: the connection's exception. */
void publish_unexpected(struct amqp091_channel *ch);
void publish_body(struct amqp091_channel *ch, const uint8_t *bytes, uint32_t n);
void publish_body_end(struct amqp091_channel *ch);
bool publish_accepts_body(struct amqp091_channel *ch, uint32_t n);
void publish_drop(struct amqp091_channel *ch);
/* HOLD_ROUTE: offers the message again. */
void publish_again(struct amqp091_channel *ch);
void confirm_flush(struct amqp091_channel *ch);

/* delayed.c: the office for what exchanges held back. As amqp091_letters_begin, _end. */
int delayed_begin(struct amqp091_server *s);
void delayed_end(struct amqp091_server *s);

/* transaction.c */
/* How many octets of messages transactions of a core may keep: they must not be all of the memory, which
 * nobody else could free. */
uint64_t kept_bytes_max(struct broker_core *core);
void transaction_begin(struct amqp091_channel *ch); /* none */
void transaction_method(struct amqp091_channel *ch, uint32_t id);
/* Keeps the channel's complete message, or tells why not. */
void transaction_publish(struct amqp091_channel *ch);
/* Keeps what was said of a delivery. */
void transaction_settle(struct amqp091_channel *ch, struct unacked *u, enum kept_settlement how);
/* The channel ends: its messages go, in slices, and its deliveries are unsettled. */
void transaction_drop(struct amqp091_channel *ch);
unsigned transaction_drain(struct amqp091_server *s, unsigned n); /* such a slice; how many */

/* expiration.c: how long a message lives. False: the channel has been told that this is no such time. */
bool expiration_read(struct amqp091_channel *ch, struct amqp091_shortstr text, uint64_t *us);

/* arguments.c: a table as neutral fields; at is the caller's, AMQP091_FIELDS_MAX long. False: too many. */
bool arguments_fields(struct amqp091_table table, struct field *at, struct fields *out);
bool arguments_value(
	const struct amqp091_value *v, const uint8_t *raw, uint32_t raw_bytes, struct value *out);

static inline struct message_cache *conn_cache(const struct amqp091_conn *c)
{
	return broker_core_cache(c->server->config.core);
}

static inline struct slice slice_of(struct amqp091_shortstr s)
{
	return (struct slice){s.data, s.len};
}

static inline struct amqp091_shortstr shortstr_of(struct slice s)
{
	return (struct amqp091_shortstr){s.data, (uint8_t)s.bytes};
}

/* Printable in a reply text or log: at most 255 octets, for %.*s. */
#define SHORT_ARG(s) (int)(s).len, (const char *)((s).len ? (s).data : (const uint8_t *)"")
#define SLICE_ARG(s) (int)(s).bytes, (const char *)((s).bytes ? (s).data : (const uint8_t *)"")

#endif
