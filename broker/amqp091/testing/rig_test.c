/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/testing/rig_test.h"

#include "runtime/check.h"
#include "runtime/log.h"

/* Pools stay for the rigs that come after. */
static struct {
	struct rte_mempool *pool;
	const struct rig *of;
} pools[2];

/* One of its own: rigs that are compared must find the same room in theirs. */
static struct rte_mempool *receive_pool(const struct rig *r)
{
	unsigned i = pools[0].of != NULL;

	MUST(!pools[i].of);
	if (!pools[i].pool)
		pools[i].pool = unit_pool(i ? "links of another" : "links", 16383, 512);
	pools[i].of = r;
	return pools[i].pool;
}

void test_begin(struct rig *r, const struct rig_options *o)
{
	struct rig_options plain = rig_options();

	log_set_level(LOG_LEVEL_ERROR);
	rig_open(r, receive_pool(r), o ? o : &plain);
}

void test_end(struct rig *r)
{
	const char *leak = rig_close(r);

	pools[pools[0].of != r].of = NULL;
	if (leak)
		printf("# not all given back: %s\n", leak);
	CU_ASSERT_PTR_NULL(leak);
}
