/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client/lap.h"

#include "tools/client/stamp.h"

enum { LAP_BYTES = 16384, LAP_MESSAGES_MAX = 256 };

void lap_make(
	struct lap *l, uint32_t frame_max, const char *exchange, const char *key, size_t bytes, bool durable)
{
	*l = (struct lap){.messages.frame_max = frame_max};
	size_t body_at = script_publish(&l->messages, exchange, key, bytes, durable);
	l->message_bytes = (uint32_t)l->messages.count;
	l->stamp_at = bytes >= STAMP_BYTES ? (uint32_t)body_at : 0;
	uint32_t n = LAP_BYTES / l->message_bytes;
	l->count = n < 1 ? 1 : n > LAP_MESSAGES_MAX ? LAP_MESSAGES_MAX : n;
	for (uint32_t i = 1; i < l->count; i++)
		script_publish(&l->messages, exchange, key, bytes, durable);
}

void lap_free(struct lap *l)
{
	script_free(&l->messages);
}

void lap_fill(struct lap *l, unsigned publisher, uint64_t first, uint32_t n)
{
	uint8_t *p = l->messages.bytes + l->stamp_at;

	for (uint32_t i = 0; i < n && l->stamp_at; i++, p += l->message_bytes)
		stamp_put(p, publisher, first + i);
	l->at = 0;
	l->end = n * l->message_bytes;
}

void lap_send(struct lap *l, struct client *c)
{
	while (l->at < l->end) {
		uint32_t left = l->end - l->at, room = client_room(c), n = left < room ? left : room;
		if (n == 0 || !client_write(c, l->messages.bytes + l->at, n))
			return;
		l->at += n;
	}
}
