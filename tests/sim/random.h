/* SPDX-License-Identifier: Apache-2.0 */
/* The one source of chance: what a seed decides, it decides by this. */
#ifndef TESTS_SIM_RANDOM_H
#define TESTS_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct sim_random {
	uint64_t state; /* not 0 */
};

/* Any seed, 0 as well; neighbouring ones begin differently. */
void sim_random_seed(struct sim_random *r, uint64_t seed);
/* xorshift64*. */
uint64_t sim_random(struct sim_random *r);
/* 0 to n - 1; n is not 0. */
uint32_t sim_below(struct sim_random *r, uint32_t n);
/* True in n of 1000 cases; 0 costs no number. */
bool sim_permille(struct sim_random *r, uint32_t n);

/* One of the values, each as likely as the others. */
#define SIM_PICK(r, ...)      \
	(((const uint32_t[]){ \
		__VA_ARGS__})[sim_below((r), sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))])

#endif
