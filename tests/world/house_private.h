/* SPDX-License-Identifier: Apache-2.0 */
/* What the house's files share. */
#ifndef TESTS_WORLD_HOUSE_PRIVATE_H
#define TESTS_WORLD_HOUSE_PRIVATE_H

#include "broker/core/core.h"
#include "broker/main/instance.h"
#include "tests/world/door.h"
#include "tests/world/house.h"

enum { HOARD_MAX = 16384, BLOCKS_MAX = 4096 };

struct house {
	struct instance in;
	struct config base;
	struct door *door;
	struct stack_config net; /* the broker's addresses, and where its frames go */
	bool asleep[DOOR_CORES_MAX];
	bool polls; /* cores look again although they have nothing to do */
	struct rte_mbuf *hoard[HOARD_MAX];
	unsigned hoarded;
	void *blocks[BLOCKS_MAX]; /* of message memory, taken by core blocks_of */
	unsigned block_count, blocks_of;
	unsigned turns;
	uint32_t turn_us_min; /* of what passes between two turns at most, while frames come and go */
	uint32_t turn_us;
};
extern struct house house;

/* shape.c: a configuration by chance for so many cores, and what its cores are made with. */
void shape_choose(struct config *c, struct sizes *s, unsigned cores, bool wide);

#endif
