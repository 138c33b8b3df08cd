/* SPDX-License-Identifier: Apache-2.0 */
/* A publisher's messages, made in advance but for their stamps: some hundred of them behind each other, which
 * are stamped and sent again and again. */
#ifndef TOOLS_CLIENT_LAP_H
#define TOOLS_CLIENT_LAP_H

#include "tools/client/client.h"

struct lap {
	struct script messages;
	uint32_t message_bytes; /* on the wire */
	uint32_t stamp_at;	/* in each; 0: bodies are too small for one */
	uint32_t count;		/* messages that it has */
	uint32_t at, end;	/* sent, and to be sent */
};

/* frame_max: the connection's. Aborts without memory. */
void lap_make(
	struct lap *l, uint32_t frame_max, const char *exchange, const char *key, size_t bytes, bool durable);
void lap_free(struct lap *l);

/* Whether all was sent: then it can be filled again. */
static inline bool lap_is_sent(const struct lap *l)
{
	return l->at == l->end;
}

/* n messages (up to l->count) from this publisher's number `first` on. After lap_is_sent. */
void lap_fill(struct lap *l, unsigned publisher, uint64_t first, uint32_t n);

/* As much as there is room for, which may end within a message: only lap_is_sent lets others write. */
void lap_send(struct lap *l, struct client *c);

#endif
