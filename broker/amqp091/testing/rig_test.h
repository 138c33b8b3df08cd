/* SPDX-License-Identifier: Apache-2.0 */
/* How each server test begins and ends. */
#ifndef BROKER_AMQP091_TESTING_RIG_TEST_H
#define BROKER_AMQP091_TESTING_RIG_TEST_H

#include "broker/amqp091/testing/client.h"

/* A rig with these options (NULL: the default ones), quiet but for errors. */
void test_begin(struct rig *r, const struct rig_options *o);
/* Asserts that every pool is full again. */
void test_end(struct rig *r);

#endif
