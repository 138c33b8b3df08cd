/* SPDX-License-Identifier: Apache-2.0 */
/* A transport into memory: what is written to it is copied as to a socket's buffer, and forgotten. For the
 * ceiling of what a client could do if broker and network cost nothing. */
#ifndef TOOLS_CLIENT_SINK_H
#define TOOLS_CLIENT_SINK_H

#include "transport/transport.h"

enum { SINK_BYTES = 64 * 1024 };

struct sink {
	struct transport_conn conn;
	struct chain rx; /* stays empty */
	uint64_t bytes;
	uint32_t room;
	uint8_t memory[SINK_BYTES];
};

/* user: as conn.user. */
void sink_open(struct sink *s, void *user);

/* A turn is over: there is room again. */
static inline void sink_flush(struct sink *s)
{
	s->room = SINK_BYTES;
}

#endif
