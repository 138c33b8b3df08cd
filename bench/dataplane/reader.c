/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/dataplane/reader.h"

#include "broker/amqp091/codec.h"

#include <stdio.h>
#include <stdlib.h>

static void refuse(const struct reader *r, const char *what)
{
	fprintf(stderr, "%s after %llu frames and %llu deliveries\n", what, (unsigned long long)r->frames,
		(unsigned long long)r->deliveries);
	abort();
}

static void method_begun(struct reader *r)
{
	uint32_t id = wire_get32(r->head + AMQP091_FRAME_HEADER_SIZE);

	if (id == AMQP091_METHOD_CONNECTION_CLOSE || id == AMQP091_METHOD_CHANNEL_CLOSE)
		refuse(r, "closed by the broker");
	r->in_content = id == AMQP091_METHOD_BASIC_DELIVER;
	r->content_bytes = 0;
	r->content_left = UINT64_MAX;
}

static void delivery_over(struct reader *r)
{
	if (r->delivery_bytes && r->delivery_bytes != r->content_bytes)
		refuse(r, "deliveries of different lengths");
	r->delivery_bytes = r->content_bytes;
	r->deliveries++;
	r->in_content = false;
}

static void frame_begun(struct reader *r, uint8_t type, uint32_t size)
{
	r->frames++;
	if (type == AMQP091_FRAME_METHOD)
		method_begun(r);
	if (!r->in_content)
		return;
	r->content_bytes += size + AMQP091_FRAME_OVERHEAD;
	if (type == AMQP091_FRAME_HEADER)
		r->content_left = wire_get64(r->head + AMQP091_FRAME_HEADER_SIZE + 4);
	else if (type == AMQP091_FRAME_BODY)
		r->content_left -= size;
	if (r->content_left == 0)
		delivery_over(r);
}

static void head_grown(struct reader *r)
{
	uint32_t size = wire_get32(r->head + 3);

	if (r->have == AMQP091_FRAME_HEADER_SIZE) {
		r->want = AMQP091_FRAME_HEADER_SIZE + (size < 12 ? size : 12);
		if (r->have < r->want)
			return;
	}
	r->left = AMQP091_FRAME_HEADER_SIZE + size + 1 - r->have;
	frame_begun(r, r->head[0], size);
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void learn(struct reader *r, const uint8_t *p, uint32_t n)
{
	while (n) {
		uint32_t piece = least(r->left, n);
		if (r->left) {
			r->left -= piece;
			if (r->left == 0)
				r->have = 0;
		} else {
			if (r->have == 0)
				r->want = AMQP091_FRAME_HEADER_SIZE;
			piece = least(r->want - r->have, n);
			memcpy(r->head + r->have, p, piece);
			r->have += piece;
			if (r->have == r->want)
				head_grown(r);
		}
		p += piece;
		n -= piece;
	}
}

void reader_take_bytes(struct reader *r, const uint8_t *bytes, uint32_t n)
{
	r->bytes += n;
	if (!r->counts)
		learn(r, bytes, n);
}

void reader_take(struct reader *r, const struct chain *c)
{
	r->bytes += c->bytes;
	if (r->counts)
		return;
	for (const struct rte_mbuf *m = c->head; m; m = m->next)
		learn(r, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
}
