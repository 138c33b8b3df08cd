/* SPDX-License-Identifier: Apache-2.0 */
/* What the sanitizer must see, it sees: each planted error ends a process of its own. */
#include "tests/unit/poison.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static struct rte_mempool *pool;
static volatile uint8_t sink;

static struct rte_mbuf *frame(uint16_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	memset(rte_pktmbuf_append(m, n), 1, n);
	return m;
}

static uint8_t *data(struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod(m, uint8_t *);
}

/* Whether plant ends the process that runs it. EAL's memory is shared with it, so that what it takes is gone.
 */
static bool ends(void (*plant)(struct rte_mbuf *m))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		int null = open("/dev/null", O_WRONLY);
		dup2(null, STDERR_FILENO);
		plant(frame(60));
		_exit(0);
	}
	return child > 0 && waitpid(child, &status, 0) == child && status != 0;
}

static void read_behind_the_data(struct rte_mbuf *m)
{
	poison_around(&m, 1);
	sink = data(m)[60];
}

static void read_before_the_data(struct rte_mbuf *m)
{
	poison_around(&m, 1);
	sink = data(m)[-1];
}

static void read_after_free(struct rte_mbuf *m)
{
	uint8_t *p = data(m);

	rte_pktmbuf_free(m);
	sink = p[0];
}

static void look_at_a_freed_mbuf(struct rte_mbuf *m)
{
	rte_pktmbuf_free(m);
	sink = (uint8_t)m->data_len;
}

static void free_twice(struct rte_mbuf *m)
{
	rte_pktmbuf_free(m);
	rte_pktmbuf_free(m);
}

static void read_after_taken_in_and_freed(struct rte_mbuf *m)
{
	uint8_t *at = data(m);

	poison_around(&m, 1);
	rte_pktmbuf_free(m);
	sink = at[0];
}

static void allowed(struct rte_mbuf *m)
{
	sink = data(m)[59];
	poison_around(&m, 1);
	sink = data(m)[0] + data(m)[59];
	rte_pktmbuf_free(m);
	m = frame(1000);
	data(m)[-1] = 2; /* as a sender's headers */
	sink = data(m)[999];
	rte_pktmbuf_free(m);
}

static void planted_errors_are_seen(void)
{
	static void (*const planted[])(struct rte_mbuf *) = {read_behind_the_data, read_before_the_data,
		read_after_free, look_at_a_freed_mbuf, free_twice, read_after_taken_in_and_freed};

	if (!poison_works()) {
		unit_skip("this build has no AddressSanitizer");
		return;
	}
	pool = unit_pool("poison", 16, 2048);
	for (unsigned i = 0; i < RTE_DIM(planted); i++)
		CU_ASSERT_TRUE(ends(planted[i]));
	CU_ASSERT_FALSE(ends(allowed));
	allowed(frame(60));
}

int main(int argc, char **argv)
{
	return unit_main(
		argc, argv, (struct unit_test[]){{"planted_errors_are_seen", planted_errors_are_seen}, {0}});
}
