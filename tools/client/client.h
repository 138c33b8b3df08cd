/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to a broker, over whatever transport: the handshake, one channel, a script of what is to be
 * set up, and then what the application says and hears. It belongs to one core and is driven by the
 * transport's callbacks. Memory grows while it is set up; afterwards nothing is allocated for a message. */
#ifndef TOOLS_CLIENT_CLIENT_H
#define TOOLS_CLIENT_CLIENT_H

#include "tools/client/reader.h"
#include "tools/client/script.h"
#include "transport/transport.h"

struct client;

struct client_app {
	/* All of the setup was answered. */
	void (*ready)(struct client *c);
	void (*delivery)(struct client *c, const struct reader_delivery *d);
	/* Any other method of the channel after ready: basic.ack, tx.commit-ok, ... */
	void (*method)(struct client *c, const struct amqp091_method *m);
	/* There is room to write again, or it is worth trying. */
	void (*writable)(struct client *c);
	/* It is over, and c may be freed or opened again. why: NULL after client_close, else a sentence: what
	 * the broker said as it closed, or what became of the connection. */
	void (*ended)(struct client *c, const char *why_or_null);
};

struct client_login {
	const char *user, *password, *vhost;
};

struct client {
	const struct client_app *app;
	const struct client_login *login; /* borrowed */
	void *user;			  /* the application's */
	struct transport_conn *conn;	  /* NULL: there is none */
	struct reader reader;
	struct script setup; /* what follows channel.open-ok */
	struct script out;   /* what found no room */
	size_t out_at;
	unsigned answers_due;
	uint32_t frame_max; /* agreed */
	bool inside;	    /* a callback of its connection: it goes when that is over */
	enum {
		CLIENT_IDLE,
		CLIENT_CONNECTING,
		CLIENT_LOGIN,
		CLIENT_SETUP,
		CLIENT_READY,
		CLIENT_CLOSING,
		CLIENT_OVER
	} state;
	char why[320];
};

/* The transport's callbacks; conn->user is the client. */
extern const struct transport_app client_transport_app;

/* app and login are borrowed. c->setup may be filled afterwards. */
void client_init(
	struct client *c, const struct client_app *app, const struct client_login *login, void *user);
void client_free(struct client *c); /* no connection is open */

/* The active open has begun: conn is a loop's or a test's, with c as its user. */
void client_opening(struct client *c, struct transport_conn *conn);

/* Whole frames, in order and never lost: what finds no room waits. For control, not for load. */
void client_say(struct client *c, const struct script *s);

/* How much client_write takes now; 0 while something waits. */
static inline uint32_t client_room(struct client *c)
{
	return c->conn && c->out_at == c->out.count ? transport_tx_room(c->conn) : 0;
}

/* Bytes of the stream, where client_room has shown room for them: false, and nothing was taken, where the
 * transport's memory is used up; writable follows. */
static inline bool client_write(struct client *c, const void *bytes, uint32_t n)
{
	return client_room(c) >= n && transport_write(c->conn, bytes, n) == 0;
}

/* What waits is tried again: now and then, also without writable. */
void client_try(struct client *c);

/* connection.close; ended(NULL) follows. */
void client_close(struct client *c);
/* At once, or at the end of the callback that this is called from; ended follows with this reason. */
void client_fail(struct client *c, const char *why);

#endif
