/* SPDX-License-Identifier: Apache-2.0 */
/* What a body costs on its way from receive buffers to transmit buffers: copied into message memory and out
 * of it again, or kept in the buffers that it arrived in and sent by reference. Nanoseconds of one core for
 * each delivery; the lowest and the median of 2000 rounds, or of as many as the
 * argument says.
 *
 * Copied: message_new, each received segment appended, its buffer given back; for each consumer the body is
 * copied into buffers of a full segment. Referenced: the received buffers stay; for each consumer a buffer
 * for the headers and an indirect one for each piece, since a segment begins and ends elsewhere than what
 * arrived. Giving back what was sent is part of both: a driver does it on the same core. */
#include "broker/core/message.h"
#include "dpdk_port/eal.h"
#include "dpdk_port/port_pool.h"
#include "runtime/check.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SEGMENT_BYTES = 1448,
	SHIFT_BYTES = 100, /* how far a segment sent is from the one received: frame headers before it */
	ROUNDS_MAX = 2000,
	BODIES_MAX = 64, /* in flight at once: what was received is not what is in the first cache */
	SEGMENTS_MAX = 64,
	PIECES_MAX = 2 * SEGMENTS_MAX + 2,
};

static struct rte_mempool *rx, *tx, *indirect;
static struct message_cache *cache;
static unsigned rounds = ROUNDS_MAX;

struct body {
	struct rte_mbuf *received[SEGMENTS_MAX];
	unsigned count;
};

static void receive(struct body *b, uint32_t bytes)
{
	for (b->count = 0; bytes > 0; b->count++) {
		uint32_t n = bytes < SEGMENT_BYTES ? bytes : SEGMENT_BYTES;
		struct rte_mbuf *m = rte_pktmbuf_alloc(rx);
		MUST(m && b->count < SEGMENTS_MAX);
		memset(rte_pktmbuf_append(m, (uint16_t)n), (int)b->count, n);
		b->received[b->count] = m;
		bytes -= n;
	}
}

static void send_copies(const struct message *m, struct rte_mbuf **out, unsigned *count)
{
	struct message_cursor at = {0};
	struct rte_mbuf *segment = NULL;
	uint32_t room = 0;

	*count = 0;
	for (struct slice piece; (piece = message_body_next(m, &at, room ? room : SEGMENT_BYTES)).bytes;) {
		if (room == 0) {
			segment = out[(*count)++] = rte_pktmbuf_alloc(tx);
			MUST(segment);
			room = SEGMENT_BYTES;
		}
		memcpy(rte_pktmbuf_append(segment, (uint16_t)piece.bytes), piece.data, piece.bytes);
		room -= piece.bytes;
	}
}

static void copied(struct body *b, uint32_t bytes, unsigned consumers)
{
	struct message_envelope e = {.body_bytes = bytes};
	struct message *m = message_new(cache, &e);
	struct rte_mbuf *out[SEGMENTS_MAX];
	unsigned count;

	MUST(m);
	for (unsigned i = 0; i < b->count; i++) {
		message_append(m, rte_pktmbuf_mtod(b->received[i], void *), b->received[i]->data_len);
		rte_pktmbuf_free(b->received[i]);
	}
	for (unsigned k = 0; k < consumers; k++) {
		send_copies(m, out, &count);
		rte_pktmbuf_free_bulk(out, count);
	}
	message_unref(cache, m);
}

/* A piece of a received buffer as the next one of a frame. */
static struct rte_mbuf *piece_of(struct rte_mbuf *from, uint32_t at, uint32_t bytes, struct rte_mbuf *last)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(indirect);

	MUST(m);
	rte_pktmbuf_attach(m, from);
	m->data_off = (uint16_t)(from->data_off + at);
	m->data_len = (uint16_t)bytes;
	last->next = m;
	return m;
}

static unsigned send_references(const struct body *b, struct rte_mbuf **out)
{
	uint32_t at = 0, room = 0;
	struct rte_mbuf *last = NULL;
	unsigned count = 0;

	for (unsigned i = 0; i < b->count;) {
		struct rte_mbuf *from = b->received[i];
		if (room == 0) {
			last = out[count++] = rte_pktmbuf_alloc(tx); /* for the headers */
			MUST(last);
			last->nb_segs = 1;
			room = count == 1 ? SEGMENT_BYTES - SHIFT_BYTES : SEGMENT_BYTES;
		}
		uint32_t left = from->data_len - at, n = left < room ? left : room;
		last = piece_of(from, at, n, last);
		out[count - 1]->nb_segs++;
		room -= n;
		at = n == left ? 0 : at + n;
		i += n == left;
	}
	return count;
}

static void referenced(struct body *b, unsigned consumers)
{
	struct rte_mbuf *out[PIECES_MAX];

	for (unsigned k = 0; k < consumers; k++) {
		unsigned count = send_references(b, out);
		for (unsigned i = 0; i < count; i++)
			rte_pktmbuf_free(out[i]);
	}
	rte_pktmbuf_free_bulk(b->received, b->count);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void measure(uint32_t bytes, unsigned consumers, bool copy)
{
	static uint64_t cycles[ROUNDS_MAX];
	static struct body body[BODIES_MAX];
	double ns = 1e9 / (double)rte_get_tsc_hz() / BODIES_MAX / consumers;

	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned i = 0; i < BODIES_MAX; i++)
			receive(&body[i], bytes);
		uint64_t from = rte_rdtsc_precise();
		for (unsigned i = 0; i < BODIES_MAX; i++) {
			if (copy)
				copied(&body[i], bytes, consumers);
			else
				referenced(&body[i], consumers);
		}
		cycles[round] = rte_rdtsc_precise() - from;
	}
	qsort(cycles, rounds, sizeof(*cycles), by_value);
	printf("%6u bytes, %2u consumer%s, %-10s %8.0f ns a delivery, at best %8.0f\n", bytes, consumers,
		consumers == 1 ? ", " : "s,", copy ? "copied" : "referenced", (double)cycles[rounds / 2] * ns,
		(double)cycles[0] * ns);
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = {4096, 65536};
	const struct eal_options o = {.program = "bench_bodies", .memory_mb = 64};
	char error[256];

	if (argc > 1)
		rounds = (unsigned)atoi(argv[1]);
	MUST(rounds >= 1 && rounds <= ROUNDS_MAX);
	if (dpdk_eal_start(&o, error, sizeof(error)) != 0) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	rx = port_pool_create("rx", 8191, SEGMENT_BYTES + 600, -1);
	tx = port_pool_create("tx", 2047, SEGMENT_BYTES + 600, -1);
	indirect = port_pool_create("indirect", 2047, 0, -1);
	struct message_store *store = message_store_create(
		&(struct message_store_config){.memory_bytes = 16 << 20, .watermark_percent = 80});
	MUST(rx && tx && indirect && store);
	cache = message_cache_create(store);
	MUST(cache);
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned consumers = 1; consumers <= 10; consumers += 9) {
			measure(sizes[i], consumers, true);
			measure(sizes[i], consumers, false);
		}
	}
	message_cache_destroy(cache);
	message_store_destroy(store);
	dpdk_eal_stop();
	return 0;
}
