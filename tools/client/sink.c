/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/sink.h"

#include <string.h>

static struct sink *sink_of(struct transport_conn *conn)
{
	return (struct sink *)((char *)conn - offsetof(struct sink, conn));
}

static void op_consume(struct transport_conn *conn, uint32_t bytes)
{
}

static uint32_t op_tx_room(struct transport_conn *conn)
{
	return sink_of(conn)->room;
}

static int op_write(struct transport_conn *conn, const void *data, uint32_t bytes)
{
	struct sink *s = sink_of(conn);

	if (bytes > s->room)
		return -ENOBUFS;
	memcpy(s->memory + SINK_BYTES - s->room, data, bytes);
	s->room -= bytes;
	s->bytes += bytes;
	return 0;
}

static void op_end(struct transport_conn *conn)
{
}

static uint64_t op_tx_pending(struct transport_conn *conn)
{
	return 0;
}

static const struct transport_ops ops = {.kind = TRANSPORT_KERNEL,
	.consume = op_consume,
	.tx_room = op_tx_room,
	.write = op_write,
	.shutdown = op_end,
	.abort = op_end,
	.tx_pending = op_tx_pending};

void sink_open(struct sink *s, void *user)
{
	s->rx = (struct chain){0};
	s->bytes = 0;
	s->room = SINK_BYTES;
	s->conn = (struct transport_conn){.ops = &ops, .rx = &s->rx, .user = user};
}
