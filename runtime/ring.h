/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded single-producer single-consumer ring of small fixed records, copied in and out. Producer and
 * consumer may be different threads; each end belongs to one of them. Wait-free. */
#ifndef RUNTIME_RING_H
#define RUNTIME_RING_H

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

/* Either end: records in the ring; a snapshot. */
uint32_t ring_used(const struct ring *r);

#endif
