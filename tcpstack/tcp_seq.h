/* SPDX-License-Identifier: Apache-2.0 */
/* Sequence numbers live on a circle of 2^32 (RFC 9293 section 3.4): they are compared through these alone.
 * The same holds for timestamps (RFC 7323 section 5.2). */
#ifndef TCPSTACK_TCP_SEQ_H
#define TCPSTACK_TCP_SEQ_H

#include <stdbool.h>
#include <stdint.h>

/* How far a lies behind b; negative when it lies before. */
static inline int32_t seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static inline bool seq_lt(uint32_t a, uint32_t b)
{
	return seq_diff(a, b) < 0;
}

static inline bool seq_leq(uint32_t a, uint32_t b)
{
	return seq_diff(a, b) <= 0;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? b : a;
}

#endif
