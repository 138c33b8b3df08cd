/* SPDX-License-Identifier: Apache-2.0 */
/* The arena's content: what was written since a mark can be taken back, and all of it has a hash that follows
 * each change. The compiler tells of writes before they happen (machine.h). */
#ifndef INTERLEAVE_UNDO_H
#define INTERLEAVE_UNDO_H

#include "tests/interleave/turns.h"

/* As it is now; ranges: what does not count in the hash. */
void undo_begin(const struct turns_range *ignored, unsigned count);
/* machine.plain */
void undo_write(const void *at, size_t bytes, bool write, const void *from);

struct undo_mark {
	size_t count;
	uint64_t hash;
};
/* Until undo_back to it. Marks nest. */
struct undo_mark undo_mark(void);
void undo_back(struct undo_mark m);
/* After a step, of all that has been written. */
uint64_t undo_hash(void);
/* Everything, looked at anew: a write that nobody told of makes a difference. */
bool undo_holds(void);

#endif
