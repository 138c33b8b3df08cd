/* SPDX-License-Identifier: Apache-2.0 */
/* Assertion tiers. MUST is always on: memory safety, ownership, state machines. CHECK is on in debug and
 * test builds. Neither is ever applied to a peer's input: that is an error path with a counter. */
#ifndef RUNTIME_CHECK_H
#define RUNTIME_CHECK_H

/* Prints "file:line: what" to stderr and aborts. Any thread; does not return. */
__attribute__((noreturn, cold)) void check_fail(const char *file, int line, const char *what);

#define MUST(x)                                             \
	do {                                                \
		if (__builtin_expect(!(x), 0))              \
			check_fail(__FILE__, __LINE__, #x); \
	} while (0)

#ifdef GODWIT_CHECKS
#define CHECK(x) MUST(x)
#else
#define CHECK(x)                 \
	do {                     \
		(void)sizeof(x); \
	} while (0)
#endif

#endif
