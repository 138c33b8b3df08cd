/* SPDX-License-Identifier: Apache-2.0 */
/* What messages were seen lately, for those that must come once: the memory behind message deduplication. A
 * key stands for a value; of it 128 keyed bits are kept (two SipHash-2-4 under keys of their own), never its
 * text. A key is claimed first, while its message may still be refused, and then kept, with the time from
 * which on it counts as absent, or withdrawn.
 *
 * Larson's linear hashing: a new key splits the next bucket once there is more than one key a bucket, a key
 * that goes joins two once there is less than half a one. Buckets and entries lie in segments of doubling
 * size (64, 64, 128, 256 ...), which stay where they are: nothing is copied, and no operation waits for a
 * table to be rebuilt or memory to be cleared. Entries take the lowest segment with room; the highest goes
 * back once it is empty and the one under it no more than half full, one segment with each key that goes.
 *
 * Invariants
 *  1. An entry is in one bucket, or in its segment's free list. A kept one is in one of two lists besides,
 *     each in the order in which the keys were kept: `kept`, or, if its epoch is a past one, `forgotten`.
 *  2. A claim stays in its entry until it is settled: its handle is good whatever else happens.
 *  3. Nothing that is kept and has not expired goes because memory is short.
 * One core or one lock, the caller's. Operations are O(1) expected, whatever keys peers choose, and now and
 * then allocate or release a segment. A key costs 44 bytes, in segments that are half full at least while
 * keys only come. */
#ifndef BROKER_CORE_RECENT_KEYS_H
#define BROKER_CORE_RECENT_KEYS_H

#include "broker/core/value.h"
#include "runtime/pool.h"
#include "runtime/siphash.h"

enum { RECENT_SEGMENTS = 26 }; /* 2^31 keys */

#define RECENT_NEVER_EXPIRES UINT64_MAX

struct recent_entry;

struct recent_key {
	uint64_t half[2];
};

struct recent_segment {
	struct recent_entry *at;
	uint32_t used;
	uint32_t fresh; /* entries that have ever been in use; those from here on are not initialised */
	uint32_t free;
};

struct recent_list {
	uint32_t oldest, newest, count;
};

struct recent_keys {
	uint32_t most, claims, epoch;
	struct recent_list kept, forgotten;
	struct pool_memory memory;
	uint32_t buckets, bucket_mask; /* the mask is that of the round of splits under way */
	uint32_t *heads[RECENT_SEGMENTS];
	uint32_t segments_count, segments_with_room; /* the latter a bit each */
	struct recent_segment segments[RECENT_SEGMENTS];
};

/* The key of a value: its bytes as they are, and a kind that tells values apart whose bytes are the same.
 * Such have different keys for certain; others have one key with a probability of 2^-128. key: two different
 * ones, from siphash_key_random, the same for all keys of a set. bytes is read only. Any thread, O(bytes). */
struct recent_key recent_key_of(const struct siphash_key key[2], uint8_t kind, struct slice bytes);

/* most: keys at most, those claimed included; 0: as many as there is memory for, up to 2^31. memory is
 * copied; NULL: malloc. It is asked in the operations too, for a segment, which is released by its bytes.
 * Allocates nothing. */
void recent_keys_init(struct recent_keys *k, uint32_t most, const struct pool_memory *memory);

/* Releases everything; claims are void. O(segments). */
void recent_keys_destroy(struct recent_keys *k);

enum recent {
	RECENT_NEW,	  /* it was absent and is claimed now; *claim_out is set */
	RECENT_KNOWN,	  /* it is kept; neither its place nor its expiry changes */
	RECENT_CLAIMED,	  /* somebody has claimed it and not settled it yet */
	RECENT_NO_MEMORY, /* it is absent and stays so: no memory, or `most` are claimed */
};

/* Asks for a key, and claims it where it is absent, expired or forgotten. Where there are `most`, the oldest
 * that is kept makes room, whether it has expired or not. Each new key takes two steps of recent_keys_tidy.
 * now_us: any clock that does not go back, the one of expires_us. The claim MUST be settled, by
 * recent_keys_keep or recent_keys_withdraw, once. */
enum recent recent_keys_claim(
	struct recent_keys *k, struct recent_key key, uint64_t now_us, uint32_t *claim_out);

/* Settles a claim: its key is the newest kept one, and counts as absent from expires_us on
 * (RECENT_NEVER_EXPIRES: never). No failure. */
void recent_keys_keep(struct recent_keys *k, uint32_t claim, uint64_t expires_us);

/* Settles a claim: its key is absent, as if it had never been asked for. No failure. */
void recent_keys_withdraw(struct recent_keys *k, uint32_t claim);

/* A kept key is absent from now on. False where there is none, or it is only claimed. One that has expired
 * may be there still. Whoever forgets by key does so for whoever kept it last: that is somebody else where
 * the key expired in between. */
bool recent_keys_forget(struct recent_keys *k, struct recent_key key);

/* Whether somebody has claimed it and not settled it yet. Changes nothing. */
bool recent_keys_claimed(const struct recent_keys *k, struct recent_key key);

/* All that are kept are absent from now on; what is claimed stays so. Their entries are taken apart by
 * recent_keys_tidy and until then hold memory, but do not count. O(1). */
void recent_keys_clear(struct recent_keys *k);

/* Takes out up to n entries that nobody can find any more: what recent_keys_clear left, then the oldest that
 * are kept, up to the first that has not expired. Returns how many; fewer than n: there are no more
 * now. Then gives back one segment, if one is empty. For the caller's housekeeping, where keys may stop
 * coming and going. O(n). */
uint32_t recent_keys_tidy(struct recent_keys *k, uint64_t now_us, uint32_t n);

/* Kept and claimed. Those that have expired count until they are taken out. O(1). */
uint32_t recent_keys_count(const struct recent_keys *k);

#endif
