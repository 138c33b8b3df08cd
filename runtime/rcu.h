/* SPDX-License-Identifier: Apache-2.0 */
/* Pointers that RCU readers follow while one writer changes them. Compiler atomics instead of liburcu's
 * macros: a race detector sees them. On x86 both are plain moves. */
#ifndef RUNTIME_RCU_H
#define RUNTIME_RCU_H

/* Reader: what it points to is as the writer left it when it published it. */
#define RCU_LOAD(at) __atomic_load_n(&(at), __ATOMIC_ACQUIRE)
/* Writer: everything written before is seen by who loads it. */
#define RCU_PUBLISH(at, value) __atomic_store_n(&(at), (value), __ATOMIC_RELEASE)

#endif
