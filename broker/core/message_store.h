/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the message store, for message.c and message_store.c. */
#ifndef BROKER_CORE_MESSAGE_STORE_H
#define BROKER_CORE_MESSAGE_STORE_H

#include "broker/core/message.h"
#include "broker/core/names.h"
#include "broker/core/slab.h"

struct message_store {
	struct slab_store slabs;
	struct depot *blocks;
	uint32_t blocks_low, blocks_high;     /* the watermark's two levels */
	uint32_t messages_low, messages_high; /* likewise; UINT32_MAX: no limit */
	uint32_t look_every; /* cells taken and given on a core before it adds all cores' up again */
	uint32_t caches_max;
	uint32_t messages_most; /* that anyone saw */
	uint32_t messages_max;
	int64_t cells_gone, slabs_gone; /* counted by caches that are no more */
	struct message_cache *caches[MESSAGE_CACHES_MAX];
	struct names_table *names; /* by cache: they outlive it, since messages point into them */
};

struct message_cache {
	struct message_store *store;
	struct slab_cache slabs;
	struct names_table *names;
	uint32_t messages_seen; /* of all cores, when it looked last */
	uint64_t looked;	/* cells it had taken and given then */
	bool above;		/* read by others for statistics */
};

#endif
