/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/amqp091/testing/rig_test.h"

#include "runtime/log.h"

static struct rte_mempool *receive_pool(void)
{
	static struct rte_mempool *pool;

	if (!pool)
		pool = unit_pool("links", 16383, 512);
	return pool;
}

void test_begin(struct rig *r, const struct rig_options *o)
{
	struct rig_options plain = rig_options();

	log_set_level(LOG_LEVEL_ERROR);
	rig_open(r, receive_pool(), o ? o : &plain);
}

void test_end(struct rig *r)
{
	const char *leak = rig_close(r);

	if (leak)
		printf("# not all given back: %s\n", leak);
	CU_ASSERT_PTR_NULL(leak);
}
