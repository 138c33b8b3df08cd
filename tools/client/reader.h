/* SPDX-License-Identifier: Apache-2.0 */
/* A client's ear: a stream of bytes becomes methods and deliveries. A delivery that looks like the last one
 * but for its tag, its flag and its body is recognised by comparing; everything else is parsed frame by
 * frame, in whatever pieces it comes. One thread; no allocation. */
#ifndef TOOLS_CLIENT_READER_H
#define TOOLS_CLIENT_READER_H

#include "broker/amqp091/codec.h"
#include "runtime/chain.h"

enum {
	READER_METHOD_MAX = 4096, /* a longer method's arguments are not looked at */
	READER_BODY_MAX = 256,	  /* of a body that came in pieces so much is kept to be shown */
	READER_SHAPE_MAX = 512,
};

struct reader_delivery {
	uint64_t tag;
	char consumer; /* its tag's first letter */
	bool redelivered;
	uint64_t bytes;	     /* of the body */
	const uint8_t *body; /* its first shown bytes; until the callback returns */
	uint32_t shown;
	uint64_t wire_bytes; /* of all its frames */
};

struct reader_app {
	/* What is not a delivery; slices until it returns. args are valid where decoded is true. */
	void (*method)(void *ctx, uint16_t channel, const struct amqp091_method *m, bool decoded);
	void (*delivery)(void *ctx, const struct reader_delivery *d);
	/* What the peer sends is not AMQP: nothing more is read. */
	void (*broken)(void *ctx, const char *why);
};

struct reader {
	const struct reader_app *app;
	void *ctx;
	bool stopped; /* by reader_stop or after broken */
	uint64_t bytes, frames, deliveries;

	/* A frame in pieces: its head is collected, the rest passes. */
	uint8_t head[AMQP091_FRAME_HEADER_SIZE + READER_METHOD_MAX];
	uint32_t have, want;
	uint64_t left;

	/* The content under way. */
	enum { READER_NO_CONTENT, READER_HEADER_NEXT, READER_BODY_NEXT } content;
	bool content_other; /* it belongs to a returned message, say */
	struct reader_delivery delivery;
	uint64_t body_left;
	uint8_t body[READER_BODY_MAX];

	/* The last delivery that came in one piece. */
	uint8_t shape[READER_SHAPE_MAX];
	uint32_t shape_bytes, shape_tag_at, shape_length; /* until the body; 0: none was seen */
};

void reader_init(struct reader *r, const struct reader_app *app, void *ctx);

/* Reads all n bytes, or until it is stopped. */
void reader_take_bytes(struct reader *r, const uint8_t *bytes, uint32_t n);
void reader_take(struct reader *r, const struct chain *c);

/* From within a callback: what follows is not looked at. */
static inline void reader_stop(struct reader *r)
{
	r->stopped = true;
}

/* Between two frames, and not within a content. */
static inline bool reader_at_rest(const struct reader *r)
{
	return !r->have && !r->left && r->content == READER_NO_CONTENT;
}

#endif
