/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded single-producer single-consumer ring of small fixed records, copied in and out. Producer and
 * consumer may be different threads; each end belongs to one of them. Wait-free. */
#ifndef RUNTIME_RING_H
#define RUNTIME_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring;

/* record_bytes: 1 to 4096; capacity: a power of two, 2 to 2^24. NULL where memory cannot be had. */
struct ring *ring_create(uint32_t record_bytes, uint32_t capacity);
void ring_destroy(struct ring *r);

/* Producer: copies up to n records in and publishes them with one store; returns how many fitted. */
uint32_t ring_push(struct ring *r, const void *records, uint32_t n);

/* Consumer: copies up to n records out; returns how many there were. */
uint32_t ring_pop(struct ring *r, void *records, uint32_t n);

/* Producer, one record at a time and one store a burst. ring_stage: where the next record goes, to be filled
 * in by the caller; NULL when the ring is full. The consumer sees it after ring_commit, which returns how
 * many it published. Not mixed with ring_push while something is staged. O(1). */
void *ring_stage(struct ring *r);
uint32_t ring_commit(struct ring *r);

/* Producer: how many records may be staged now. One acquire load where fewer than `enough` are known of. */
uint32_t ring_room(struct ring *r, uint32_t enough);

/* Producer: the position behind the last staged record, and whether the consumer has taken everything before
 * a position (and what it did with it is visible). Positions wrap at 2^32: ask before 2^31 more are staged.
 */
uint32_t ring_position(const struct ring *r);
bool ring_passed(struct ring *r, uint32_t position);

/* Consumer, in place. ring_front: the oldest record not yet taken, NULL where there is none; it stays valid
 * until ring_release. ring_take: done with it. ring_release: all that was taken is the producer's again;
 * returns how many. O(1). */
const void *ring_front(struct ring *r);
void ring_take(struct ring *r);
uint32_t ring_release(struct ring *r);
/* Consumer: everything before a position of the producer's has been taken. */
bool ring_taken(const struct ring *r, uint32_t position);

/* Either end: records in the ring; a snapshot. */
uint32_t ring_used(const struct ring *r);
uint32_t ring_capacity(const struct ring *r);

#endif
