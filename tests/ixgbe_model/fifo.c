/* SPDX-License-Identifier: Apache-2.0 */
/* The packet buffer: frames in the order of their arrival, as long as their bytes fit (3.7.7). */
#include "tests/ixgbe_model/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Before each frame in the ring. A frame lies in one piece: where the ring's end is too near, the rest of it
 * is a record that is skipped. */
struct record {
	uint32_t bytes;
	uint16_t damaged, skip;
};

enum { ALIGN = 8 };

static uint32_t record_bytes(unsigned frame_bytes)
{
	return (uint32_t)(sizeof(struct record) + frame_bytes + ALIGN - 1) & ~(uint32_t)(ALIGN - 1);
}

int ixm_fifo_init(struct ixm_fifo *f, uint32_t bytes)
{
	memset(f, 0, sizeof(*f));
	f->ring = malloc(bytes);
	f->size = bytes;
	if (!f->ring)
		return -ENOMEM;
	return -pthread_mutex_init(&f->lock, NULL);
}

void ixm_fifo_free(struct ixm_fifo *f)
{
	if (!f->ring)
		return;
	pthread_mutex_destroy(&f->lock);
	free(f->ring);
	f->ring = NULL;
}

void ixm_fifo_clear(struct ixm_fifo *f)
{
	pthread_mutex_lock(&f->lock);
	f->head = f->used = 0;
	pthread_mutex_unlock(&f->lock);
}

static void record_put(struct ixm_fifo *f, const struct record *r, const uint8_t *frame, uint32_t bytes)
{
	uint32_t tail = (f->head + f->used) % f->size;

	memcpy(f->ring + tail, r, sizeof(*r));
	if (frame)
		memcpy(f->ring + tail + sizeof(*r), frame, r->bytes);
	f->used += bytes;
}

bool ixm_fifo_put(struct ixm_fifo *f, const uint8_t *frame, unsigned bytes, bool damaged)
{
	uint32_t need = record_bytes(bytes);

	pthread_mutex_lock(&f->lock);
	uint32_t tail = (f->head + f->used) % f->size;
	uint32_t to_end = f->size - tail;
	uint32_t skip = to_end < need ? to_end : 0;
	bool fits = f->used + skip + need <= f->size;
	if (fits && skip)
		record_put(f, &(struct record){.skip = 1, .bytes = skip}, NULL, skip);
	if (fits)
		record_put(f, &(struct record){.bytes = bytes, .damaged = damaged}, frame, need);
	f->lost += !fits;
	pthread_mutex_unlock(&f->lock);
	return fits;
}

uint64_t ixm_fifo_lost(struct ixm_fifo *f)
{
	pthread_mutex_lock(&f->lock);
	uint64_t lost = f->lost;
	pthread_mutex_unlock(&f->lock);
	return lost;
}

unsigned ixm_fifo_room(struct ixm_fifo *f)
{
	pthread_mutex_lock(&f->lock);
	unsigned room = f->size - f->used;
	pthread_mutex_unlock(&f->lock);
	return room;
}

static void advance(struct ixm_fifo *f, uint32_t bytes)
{
	f->head = (f->head + bytes) % f->size;
	f->used -= bytes;
}

bool ixm_fifo_peek(struct ixm_fifo *f, struct ixm_fifo_frame *out)
{
	struct record r;

	pthread_mutex_lock(&f->lock);
	if (f->used) {
		memcpy(&r, f->ring + f->head, sizeof(r));
		if (r.skip) {
			advance(f, r.bytes);
			memcpy(&r, f->ring + f->head, sizeof(r));
		}
		*out = (struct ixm_fifo_frame){
			.bytes = r.bytes, .damaged = r.damaged, .data = f->ring + f->head + sizeof(r)};
	}
	bool any = f->used > 0;
	pthread_mutex_unlock(&f->lock);
	return any;
}

void ixm_fifo_drop(struct ixm_fifo *f)
{
	struct record r;

	pthread_mutex_lock(&f->lock);
	memcpy(&r, f->ring + f->head, sizeof(r));
	advance(f, record_bytes(r.bytes));
	pthread_mutex_unlock(&f->lock);
}
