/* SPDX-License-Identifier: Apache-2.0 */
/* A client's ear. While it learns it reads frame by frame, refuses closes and measures deliveries; afterwards
 * it only counts bytes. */
#ifndef BENCH_DATAPLANE_EAR_H
#define BENCH_DATAPLANE_EAR_H

#include "tools/client/reader.h"

struct ear {
	bool counts; /* it has learned */
	struct reader reader;
	uint64_t bytes, deliveries;
	uint32_t delivery_bytes; /* all of them have this length; 0: none was seen */
};

void ear_init(struct ear *e);

/* Prints and aborts where the broker closes something or a delivery's length differs. */
void ear_take(struct ear *e, const struct chain *c);
void ear_take_bytes(struct ear *e, const uint8_t *bytes, uint32_t n);

/* How many deliveries are whole among n bytes that only consist of them. */
static inline uint64_t ear_deliveries(const struct ear *e, uint64_t n)
{
	return e->delivery_bytes ? n / e->delivery_bytes : 0;
}

#endif
