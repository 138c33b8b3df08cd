/* SPDX-License-Identifier: Apache-2.0 */
/* What the broker's connections wait for, printed when a seed has failed. */
#ifndef TESTS_WORLD_EXPLAIN_H
#define TESTS_WORLD_EXPLAIN_H

#include "broker/amqp091/server.h"

void explain_conns(unsigned core, const struct amqp091_server *s);

#endif
