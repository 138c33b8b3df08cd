/* SPDX-License-Identifier: Apache-2.0 */
/* What a port does for a stack that asks for it: checksums, and the cutting of large segments. Whoever looks
 * at what leaves the port sees the same frames with and without. */
#ifndef TESTS_UNIT_OFFLOAD_H
#define TESTS_UNIT_OFFLOAD_H

#include <rte_mbuf.h>
#include <stdint.h>

struct offload_port {
	uint32_t flags; /* enum stack_offload: what it can do */
	/* Gets each complete frame, which it may write to; it is the port's again afterwards. */
	void (*out)(void *ctx, uint8_t *frame, uint32_t n);
	void *ctx;
};

/* Sends m, which stays the caller's. NULL, or what is wrong about asking the port for it. */
const char *offload_send(const struct offload_port *p, const struct rte_mbuf *m);

#endif
