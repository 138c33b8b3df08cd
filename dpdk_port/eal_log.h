/* SPDX-License-Identifier: Apache-2.0 */
/* Where EAL's and the drivers' words go: line by line to the log, and the last errors are kept for the
 * message of a start or of a port that fails. Private to dpdk_port. */
#ifndef DPDK_PORT_EAL_LOG_H
#define DPDK_PORT_EAL_LOG_H

#include <stdbool.h>
#include <stddef.h>

/* Takes EAL's log stream over, before rte_eal_init. 0 or -errno. */
int eal_log_start(bool chatter);

/* Gives it back to stderr. */
void eal_log_stop(void);

/* From here on errors are kept, and not logged, until eal_log_collected. Control thread. */
void eal_log_collect(void);

/* Ends collecting and writes what was kept to text, first lines first, joined by "; "; "" when there was
 * nothing. Control thread. */
void eal_log_collected(char *text, size_t bytes);

#endif
