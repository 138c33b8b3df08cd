/* SPDX-License-Identifier: Apache-2.0 */
/* A client's ear. While it learns it reads frame by frame, refuses closes and measures deliveries; afterwards
 * it only counts bytes. */
#ifndef BENCH_DATAPLANE_READER_H
#define BENCH_DATAPLANE_READER_H

#include "runtime/chain.h"

#include <stdbool.h>

/* A frame's header and what matters of its payload: a method's id, a content's length. */
enum { READER_HEAD_BYTES = 7 + 12 };

struct reader {
	bool counts; /* it has learned */
	uint8_t head[READER_HEAD_BYTES];
	uint32_t have, want; /* of the head */
	uint32_t left;	     /* of the frame, behind the head */
	uint64_t bytes, frames, deliveries;
	bool in_content;
	uint64_t content_left;	 /* body still to come */
	uint32_t content_bytes;	 /* frames of the delivery under way */
	uint32_t delivery_bytes; /* all of them have this length; 0: none was seen */
};

/* Prints and aborts where the broker closes something or a delivery's length differs. */
void reader_take(struct reader *r, const struct chain *c);
void reader_take_bytes(struct reader *r, const uint8_t *bytes, uint32_t n);

/* How many deliveries are whole among n bytes that only consist of them. */
static inline uint64_t reader_deliveries(const struct reader *r, uint64_t n)
{
	return r->delivery_bytes ? n / r->delivery_bytes : 0;
}

#endif
