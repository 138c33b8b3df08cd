/* SPDX-License-Identifier: Apache-2.0 */
/* What only a look into the adaptor shows: what its connections wait for. */
#ifndef TESTS_WORLD_INSIDE_H
#define TESTS_WORLD_INSIDE_H

#include "broker/amqp091/server.h"

/* Notes what happens just now. */
void inside_watch(const struct amqp091_server *s);
/* Prints how each connection stands, for a seed that has failed. */
void inside_explain(unsigned core, const struct amqp091_server *s);

#endif
