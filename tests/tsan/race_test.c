/* SPDX-License-Identifier: Apache-2.0 */
/* A race on purpose: an entry published without order. The stage tsan must report it, or reports nothing at
 * all. */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stddef.h>

struct thing {
	int content;
};
static struct thing *shared;

static void *read_thing(void *arg)
{
	struct thing *t;

	while (!(t = __atomic_load_n(&shared, __ATOMIC_RELAXED)))
		;
	return t->content == 1 ? arg : NULL;
}

static void published_without_order(void)
{
	static struct thing thing;
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, read_thing, NULL), 0);
	thing.content = 1;
	__atomic_store_n(&shared, &thing, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
	return unit_main(
		argc, argv, (struct unit_test[]){{"published_without_order", published_without_order}, {0}});
}
