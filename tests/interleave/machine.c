/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/interleave/machine.h"

#include "runtime/check.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct machine machine;

/* Operations */

bool order_acquires(int order)
{
	return order == __ATOMIC_ACQUIRE || order == __ATOMIC_CONSUME || order == __ATOMIC_ACQ_REL ||
	       order == __ATOMIC_SEQ_CST;
}

bool order_releases(int order)
{
	return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

uint64_t op_value(const void *at, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, at, bytes); /* little endian */
	return value;
}

uint64_t op_result(const struct op *op, uint64_t before)
{
	switch (op->kind) {
	case OP_ADD:
		return before + op->operand;
	case OP_SUB:
		return before - op->operand;
	case OP_AND:
		return before & op->operand;
	case OP_OR:
		return before | op->operand;
	case OP_XOR:
		return before ^ op->operand;
	default:
		return op->operand;
	}
}

void op_do(struct op *op)
{
	op->done = true;
	switch (op->kind) {
	case OP_FENCE:
		return;
	case OP_LOCK:
		op->done = *op->at == 0;
		*op->at = 1;
		return;
	case OP_UNLOCK:
		*op->at = 0;
		return;
	default:
		break;
	}
	op->before = op_value(op->at, op->bytes);
	if (op->kind == OP_SWAP_IF)
		op->done = op->before == op->expected;
	if (op->kind == OP_LOAD || !op->done)
		return;
	uint64_t after = op_result(op, op->before);
	memcpy(op->at, &after, op->bytes);
}

static void act(struct op *op)
{
	if (machine.atomic)
		machine.atomic(op);
	else
		op_do(op);
}

static void touch(const void *at, size_t bytes, bool write, const void *from)
{
	if (machine.plain && arena_holds(at))
		machine.plain(at, bytes, write, from);
}

/* What the compiler calls */

#define HERE __builtin_return_address(0)

#define ACCESS(name, n)                                              \
	void __tsan_##name##n(void *at);                             \
	void __tsan_##name##n(void *at)                              \
	{                                                            \
		touch(at, n, #name[strlen(#name) - 1] == 'e', HERE); \
	}
#define ACCESSES(name) ACCESS(name, 1) ACCESS(name, 2) ACCESS(name, 4) ACCESS(name, 8) ACCESS(name, 16)
/* Reads end in d, writes in e. */
ACCESSES(read)
ACCESSES(write)
ACCESSES(unaligned_read)
ACCESSES(unaligned_write)
ACCESSES(volatile_read)
ACCESSES(volatile_write)

void __tsan_init(void);
void __tsan_read_range(void *at, size_t bytes);
void __tsan_write_range(void *at, size_t bytes);
void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_signal_fence(int order);

void __tsan_init(void)
{
}

void __tsan_read_range(void *at, size_t bytes)
{
	touch(at, bytes, false, HERE);
}

void __tsan_write_range(void *at, size_t bytes)
{
	touch(at, bytes, true, HERE);
}

void __tsan_atomic_thread_fence(int order)
{
	act(&(struct op){.kind = OP_FENCE, .order = order, .from = HERE});
}

void __tsan_atomic_signal_fence(int order)
{
}

#define ATOMIC_CHANGE(bits, name, which)                                                                    \
	uint##bits##_t __tsan_atomic##bits##_##name(volatile void *at, uint##bits##_t value, int order);    \
	uint##bits##_t __tsan_atomic##bits##_##name(volatile void *at, uint##bits##_t value, int order)     \
	{                                                                                                   \
		struct op op = {which, bits / 8, order, __ATOMIC_RELAXED, (uint64_t *)(uintptr_t)at, value, \
			0, HERE, 0, false};                                                                 \
		act(&op);                                                                                   \
		return (uint##bits##_t)op.before;                                                           \
	}
#define ATOMIC_SWAP_IF(bits, name)                                                                           \
	bool __tsan_atomic##bits##_compare_exchange_##name(volatile void *at, uint##bits##_t *expected,      \
		uint##bits##_t value, int order, int order_failed);                                          \
	bool __tsan_atomic##bits##_compare_exchange_##name(volatile void *at, uint##bits##_t *expected,      \
		uint##bits##_t value, int order, int order_failed)                                           \
	{                                                                                                    \
		struct op op = {OP_SWAP_IF, bits / 8, order, order_failed, (uint64_t *)(uintptr_t)at, value, \
			*expected, HERE, 0, false};                                                          \
		act(&op);                                                                                    \
		if (!op.done)                                                                                \
			*expected = (uint##bits##_t)op.before;                                               \
		return op.done;                                                                              \
	}
#define ATOMICS(bits)                                                                                        \
	uint##bits##_t __tsan_atomic##bits##_load(volatile void *at, int order);                             \
	uint##bits##_t __tsan_atomic##bits##_load(volatile void *at, int order)                              \
	{                                                                                                    \
		struct op op = {OP_LOAD, bits / 8, order, __ATOMIC_RELAXED, (uint64_t *)(uintptr_t)at, 0, 0, \
			HERE, 0, false};                                                                     \
		act(&op);                                                                                    \
		return (uint##bits##_t)op.before;                                                            \
	}                                                                                                    \
	void __tsan_atomic##bits##_store(volatile void *at, uint##bits##_t value, int order);                \
	void __tsan_atomic##bits##_store(volatile void *at, uint##bits##_t value, int order)                 \
	{                                                                                                    \
		act(&(struct op){OP_STORE, bits / 8, order, __ATOMIC_RELAXED, (uint64_t *)(uintptr_t)at,     \
			value, 0, HERE, 0, false});                                                          \
	}                                                                                                    \
	ATOMIC_CHANGE(bits, exchange, OP_EXCHANGE)                                                           \
	ATOMIC_CHANGE(bits, fetch_add, OP_ADD)                                                               \
	ATOMIC_CHANGE(bits, fetch_sub, OP_SUB)                                                               \
	ATOMIC_CHANGE(bits, fetch_and, OP_AND)                                                               \
	ATOMIC_CHANGE(bits, fetch_or, OP_OR)                                                                 \
	ATOMIC_CHANGE(bits, fetch_xor, OP_XOR)                                                               \
	ATOMIC_SWAP_IF(bits, strong)                                                                         \
	ATOMIC_SWAP_IF(bits, weak)
ATOMICS(8)
ATOMICS(16)
ATOMICS(32)
ATOMICS(64)

/* What the linker puts in place of the library's (--wrap) */

void *__real_memcpy(void *to, const void *from, size_t bytes);
void *__real_memset(void *to, int byte, size_t bytes);
void *__real_memmove(void *to, const void *from, size_t bytes);
void *__wrap_memcpy(void *to, const void *from, size_t bytes);
void *__wrap_memset(void *to, int byte, size_t bytes);
void *__wrap_memmove(void *to, const void *from, size_t bytes);

void *__wrap_memcpy(void *to, const void *from, size_t bytes)
{
	touch(from, bytes, false, HERE);
	touch(to, bytes, true, HERE);
	return __real_memcpy(to, from, bytes);
}

void *__wrap_memmove(void *to, const void *from, size_t bytes)
{
	touch(from, bytes, false, HERE);
	touch(to, bytes, true, HERE);
	return __real_memmove(to, from, bytes);
}

void *__wrap_memset(void *to, int byte, size_t bytes)
{
	touch(to, bytes, true, HERE);
	return __real_memset(to, byte, bytes);
}

int __real_vsnprintf(char *to, size_t bytes, const char *format, va_list arguments);
int __wrap_vsnprintf(char *to, size_t bytes, const char *format, va_list arguments);

int __wrap_vsnprintf(char *to, size_t bytes, const char *format, va_list arguments)
{
	if (bytes)
		touch(to, bytes, true, HERE);
	return __real_vsnprintf(to, bytes, format, arguments);
}

/* The mutex's first word is all that it has. */
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);

static bool lock(pthread_mutex_t *m, bool wait, const void *from)
{
	struct op op = {.kind = OP_LOCK, .bytes = 8, .at = (uint64_t *)m, .operand = wait, .from = from};

	act(&op);
	return op.done;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
	MUST(lock(m, true, HERE));
	return 0;
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *m)
{
	return lock(m, false, HERE) ? 0 : 1;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
	act(&(struct op){.kind = OP_UNLOCK, .bytes = 8, .at = (uint64_t *)m, .from = HERE});
	return 0;
}

/* What fails */

void check_fail(const char *file, int line, const char *what)
{
	machine_expect(file, line, what);
	abort();
}

void machine_expect(const char *file, int line, const char *what)
{
	static char text[512];

	snprintf(text, sizeof(text), "%s:%d: must hold: %s", file, line, what);
	if (machine.failed)
		machine.failed(text);
	fprintf(stderr, "%s\n", text);
	exit(2);
}

const char *place_text(const void *from)
{
	extern char __executable_start[];
	static char text[256];
	char command[256], file[192] = "", name[64] = "";
	struct machine before = machine;

	machine = (struct machine){0};
	/* The instruction before the one that it returns to. */
	snprintf(command, sizeof(command), "addr2line -s -f -e /proc/%d/exe 0x%zx", (int)getpid(),
		(size_t)((const char *)from - 1 - __executable_start));
	FILE *f = popen(command, "r");
	if (f) {
		if (!fgets(name, sizeof(name), f) || !fgets(file, sizeof(file), f))
			name[0] = 0;
		pclose(f);
	}
	name[strcspn(name, "\n")] = 0;
	file[strcspn(file, "\n (")] = 0;
	snprintf(text, sizeof(text), "%s %s", name, file);
	machine = before;
	return text;
}
