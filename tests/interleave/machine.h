/* SPDX-License-Identifier: Apache-2.0 */
/* What real code runs on when it is checked: the code is compiled with -fsanitize=thread, so that the
 * compiler itself calls out before each access to memory and for each atomic operation, and is linked with
 * the functions in machine.c instead of the sanitizer's. The production build knows nothing of it.
 *
 * Memory that is allocated comes from an arena at a fixed address, whose content can be kept and put back. A
 * checker (weak.h, turns.h) says what an operation does and who goes on. */
#ifndef INTERLEAVE_MACHINE_H
#define INTERLEAVE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op_kind {
	OP_LOAD,
	OP_STORE,
	OP_EXCHANGE,
	OP_ADD,
	OP_SUB,
	OP_AND,
	OP_OR,
	OP_XOR,
	OP_SWAP_IF,
	OP_FENCE,
	OP_LOCK,
	OP_UNLOCK
};

/* An atomic operation. */
struct op {
	enum op_kind kind;
	uint8_t bytes;
	int order, order_failed; /* __ATOMIC_RELAXED and so on; failed: SWAP_IF's */
	uint64_t *at;		 /* of any of the sizes */
	uint64_t operand, expected;
	const void *from; /* where it stands in the code */
	/* Out: what was there before; SWAP_IF: whether it was changed, LOCK: whether it was taken. */
	uint64_t before;
	bool done;
};

struct machine {
	/* In place of the operation; NULL: it is done as it is. */
	void (*atomic)(struct op *op);
	/* Before an access that is not atomic. */
	void (*plain)(const void *at, size_t bytes, bool write, const void *from);
	/* What must hold does not; does not return. */
	void (*failed)(const char *what);
	/* Before a change of what the arena keeps for itself. */
	void (*inner)(const void *at, size_t bytes, bool write, const void *from);
};
extern struct machine machine; /* all NULL: outside of a run */

/* Does it, without anything between. */
void op_do(struct op *op);
uint64_t op_value(const void *at, unsigned bytes);
uint64_t op_result(const struct op *op, uint64_t before);
bool order_acquires(int order);
bool order_releases(int order);

/* The arena. */
void arena_reset(void);
void *arena_base(void);
size_t arena_bytes(void); /* in use */
bool arena_holds(const void *at);
size_t arena_live(void); /* bytes allocated and not freed */
/* Memory of the checkers' own, which is never put back. */
void *machine_memory(size_t bytes);

/* "function file:line" of a place in the code. */
const char *place_text(const void *from);

/* In scenarios. */
#define EXPECT(x)                                               \
	do {                                                    \
		if (!(x))                                       \
			machine_expect(__FILE__, __LINE__, #x); \
	} while (0)
void machine_expect(const char *file, int line, const char *what);

#endif
