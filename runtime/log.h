/* SPDX-License-Identifier: Apache-2.0 */
/* One line an event: time, level, area, text. Before log_start and after log_stop lines are written at once
 * by the caller (start-up and tests); between them every thread puts records into a ring of its own and one
 * writer thread writes them, so that no data core makes a system call for its log. A full ring drops the
 * record and counts it; the writer says how many were lost. */
#ifndef RUNTIME_LOG_H
#define RUNTIME_LOG_H

#include <stdarg.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_target { LOG_TARGET_STDERR, LOG_TARGET_SYSLOG };
enum { LOG_LINE_BYTES = 480, LOG_RING_RECORDS = 1024, LOG_THREADS_MAX = 72 };

/* Any thread, any time. Lines above the level cost one comparison. The initial level is info, the initial
 * target standard error. To syslog, lines go through syslog(3) with facility daemon (which journald reads as
 * well) instead. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_target(enum log_target target);

/* Starts and stops the writer thread; stop writes what is left (a line that another thread logs at that very
 * moment may wait for the next start). Main thread. 0 or -errno. */
int log_start(void);
void log_stop(void);

/* area: a short static word such as "tcp" or "amqp". The text is cut at LOG_LINE_BYTES - 1; control
 * characters are written as \xNN so that a peer cannot forge lines. Lines of one thread keep their order. Any
 * thread; a thread's first line allocates its ring; formats on the caller (about 300 ns), so never per
 * message. Ignores the level: use the macros. */
__attribute__((format(printf, 3, 4))) void log_write(
	enum log_level level, const char *area, const char *fmt, ...);

/* Lines lost since the program's start: a full ring, or more than LOG_THREADS_MAX threads. Any thread. */
uint64_t log_dropped(void);

extern enum log_level log_level_now; /* read by the macros only */

#define LOG_AT(level, area, ...)                                                            \
	do {                                                                                \
		if ((int)(level) <= (int)__atomic_load_n(&log_level_now, __ATOMIC_RELAXED)) \
			log_write(level, area, __VA_ARGS__);                                \
	} while (0)
#define LOG_ERROR(area, ...) LOG_AT(LOG_LEVEL_ERROR, area, __VA_ARGS__)
#define LOG_WARN(area, ...)  LOG_AT(LOG_LEVEL_WARN, area, __VA_ARGS__)
#define LOG_INFO(area, ...)  LOG_AT(LOG_LEVEL_INFO, area, __VA_ARGS__)
#define LOG_DEBUG(area, ...) LOG_AT(LOG_LEVEL_DEBUG, area, __VA_ARGS__)

#endif
