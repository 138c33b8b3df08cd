/* SPDX-License-Identifier: Apache-2.0 */
/* Messages and the memory that they lie in: one store for the whole broker, and a cache a core through which
 * that core takes and gives. A message may be released on any core. It is one cell, cut to its size from a
 * block of MESSAGE_BLOCK_BYTES: a header of 24 bytes, the content properties as they were received, the body;
 * exchange and routing key stand in the cell too unless many messages have them in common. What is larger
 * than a cell has its body in a chain of blocks. Queues take the pages of their entries from the same blocks,
 * so that one number, memory.messages, bounds it all.
 *
 * A message of up to 256 bytes costs less than 64 beside body and properties: 24 of header, at most 15 of
 * rounding, 8.3 of entry, and 80 a block of tables. Names of its own come on top.
 *
 * Memory is taken before content is accepted: message_new takes the blocks of the whole announced body, so
 * that half-received bodies can never wait for each other. */
#ifndef BROKER_CORE_MESSAGE_H
#define BROKER_CORE_MESSAGE_H

#include "broker/core/value.h"
#include "runtime/pool.h"

enum { MESSAGE_BLOCK_BYTES = 4096, MESSAGE_CACHES_MAX = 128 };

struct message;
struct message_store;
struct message_cache;

struct message_store_config {
	uint64_t memory_bytes;	   /* 8 KiB to 4 TiB, 1 MiB and more being of use; tables come on top */
	uint32_t messages_max;	   /* 0: as many as there is memory for */
	uint8_t watermark_percent; /* of both: publishers are held above it, 1 to 99; released 10 points below
				    */
	uint32_t caches_max;	   /* cores: 1 to MESSAGE_CACHES_MAX; 0: 1 */
	const struct pool_memory *memory;
};

struct message_store_stats {
	struct pool_stats cells;  /* messages */
	struct pool_stats blocks; /* used: for bodies, entries and output, without what lies free in caches */
	uint32_t slabs;		  /* blocks that are cut into cells */
	bool above_watermark;	  /* as some core saw it last */
};

/* Main thread. NULL where the memory cannot be had. */
struct message_store *message_store_create(const struct message_store_config *config);
/* Everything MUST have been released and every cache destroyed. */
void message_store_destroy(struct message_store *s);
/* A snapshot; exact where no core runs. Any thread while no cache is made or destroyed. O(caches). */
struct message_store_stats message_store_stats(const struct message_store *s);
/* All memory that was taken for it, tables included but for those of names, whose size does not depend on it.
 */
uint64_t message_store_memory_bytes(const struct message_store *s);

/* A core's part of the store, caches_max of them at once (MUST). NULL without memory. What one cache keeps
 * from the others is bounded: see stranded_max in message_store.c. Main thread. */
struct message_cache *message_cache_create(struct message_store *s);
void message_cache_destroy(struct message_cache *c); /* gives everything back */
struct message_store *message_cache_store(const struct message_cache *c);
/* Names that its messages have in common (names.h), as names_stats says. Any thread. */
struct pool_stats message_cache_names(const struct message_cache *c);
/* Gives free memory that the core holds to the others: before it sleeps for long. Bounded. */
void message_cache_flush(struct message_cache *c);

/* True from the watermark up until memory has fallen 10 points below it: publishers wait. The fuller one of
 * memory and messages_max counts. Each core has a state of its own; what lies free in the others' caches
 * counts as used, and messages are counted to within 64 a core. O(1), reads two shared words that change once
 * in many messages; once in 64 messages O(cores). */
bool message_store_full(struct message_cache *c);

/* True where a body of that size and its entry in one queue could be stored in an empty store, whatever the
 * names' lengths and whatever other cores' caches hold. O(1). */
bool message_store_could_hold(const struct message_cache *c, uint64_t body_bytes, uint32_t properties_bytes);

/* A 4 KiB block for the queues' entry chunks; NULL when there is none. Given back on any core. O(1). */
void *message_store_block_take(struct message_cache *c);
void message_store_block_give(struct message_cache *c, void *block);

struct message_envelope {
	uint8_t protocol; /* who encoded `properties`: enum broker_protocol */
	bool persistent;
	uint8_t priority;
	struct slice exchange;	  /* 0 to 255 bytes */
	struct slice routing_key; /* 0 to 255 bytes */
	struct slice properties;  /* as received: opaque to the core */
	uint64_t body_bytes;	  /* announced */
	uint64_t received_us;
	bool expires;	      /* it has a lifetime of its own: */
	uint64_t lifetime_us; /* from received_us on */
	/* NULL, or one whose properties name further routing keys, which this message's do not; without keys
	 * of its own. The message takes a reference, and shares it. */
	struct message *keys;
};

/* A message with one reference and an empty body, envelope copied, memory for the whole body taken; NULL
 * where the memory is not there now (the caller waits; message_store_could_hold says whether waiting helps).
 * O(envelope), and an atomic operation for each 256 KiB. */
struct message *message_new(struct message_cache *c, const struct message_envelope *e);

/* A message with that envelope and the body of `from`, which is complete, of a reference of this core's, and
 * as long as the envelope says (MUST). A body in blocks is not copied: they are both messages' until the last
 * of them goes. NULL: as message_new. O(envelope), and the octets of a body that lies in a cell. */
struct message *message_new_with_body(
	struct message_cache *c, const struct message_envelope *e, struct message *from);

/* Another message with everything of `like` but for its body, which is complete. `like` was made by
 * message_new with this cache, in this turn, and a reference to it is held. NULL: there is no memory, or it
 * cannot be made so (message_new can): a cell is too small for it, the names are the message's own, or it has
 * a lifetime or keys.
 * O(properties and body). */
struct message *message_new_like(
	struct message_cache *c, const struct message *like, const void *body, uint32_t n);

/* Appends body bytes, at most what was announced (MUST). Never fails: memory is there. O(n). */
void message_append(struct message *m, const void *data, uint32_t n);
uint64_t message_missing_bytes(const struct message *m); /* announced and not yet appended */

/* References. Until it is shared a message and all references to it belong to one core, and counting them
 * costs a plain addition; message_share, before the first reference crosses to another core, makes the count
 * atomic for good. Whoever hands a reference over does so by release and acquire. */
void message_ref(struct message *m);
void message_share(struct message *m);
/* On the core of the cache, whichever made the message. The last one gives everything back. O(1), and
 * something for each 256 KiB. */
void message_unref(struct message_cache *c, struct message *m);

uint64_t message_body_bytes(const struct message *m);
uint8_t message_protocol(const struct message *m);
bool message_persistent(const struct message *m);
uint8_t message_priority(const struct message *m);
uint64_t message_received_us(const struct message *m);
/* Before the first reference is handed over: it was complete, or committed, only then. */
void message_received(struct message *m, uint64_t now_us);
bool message_expires(const struct message *m);
uint64_t message_lifetime_us(const struct message *m);	   /* UINT64_MAX where it does not expire by itself */
struct message *message_keys(const struct message *m);	   /* the envelope's; valid while referenced */
struct slice message_exchange(const struct message *m);	   /* contiguous, valid while referenced */
struct slice message_routing_key(const struct message *m); /* likewise */
uint32_t message_properties_bytes(const struct message *m);
/* What precedes the body, and the body where it lies in one piece: in place, valid while referenced. False:
 * what precedes it does not lie in two pieces. */
struct message_head {
	struct slice names; /* exchange and routing key, one behind the other */
	struct slice properties;
	const uint8_t *body_or_null;
	uint64_t names_id; /* the same: the same names, whichever message they are of; 0: nothing is known */
	uint8_t exchange_bytes;
};
bool message_head(const struct message *m, struct message_head *out);

/* Copies all properties to dst (room for message_properties_bytes). */
void message_properties_copy(const struct message *m, uint8_t *dst);

/* A place in a body. Start with {0}; message_body_next gives the next contiguous piece of at most max bytes
 * and moves on; an empty slice at the end of what has arrived. O(1), the first time O(blocks of properties).
 */
struct message_cursor {
	uint64_t offset;
	const void *block; /* internal */
};
struct slice message_body_next(const struct message *m, struct message_cursor *at, uint32_t max);

#endif
