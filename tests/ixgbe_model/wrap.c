/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of DPDK that the linker leads through here (--wrap): the driver's waits, in which the device plays,
 * and the calls that read statistics, around which the registers hold them. */
#include "tests/ixgbe_model/private.h"

#include <rte_ethdev.h>

/* The linker makes these names of theirs. */
void __real_rte_delay_us_sleep(unsigned us);
void __wrap_rte_delay_us_sleep(unsigned us);
int __real_rte_eth_stats_get(uint16_t port, struct rte_eth_stats *stats);
int __wrap_rte_eth_stats_get(uint16_t port, struct rte_eth_stats *stats);
int __real_rte_eth_stats_reset(uint16_t port);
int __wrap_rte_eth_stats_reset(uint16_t port);
int __real_rte_eth_xstats_get(uint16_t port, struct rte_eth_xstat *xstats, unsigned n);
int __wrap_rte_eth_xstats_get(uint16_t port, struct rte_eth_xstat *xstats, unsigned n);

/* The base driver waits with this one. */
__attribute__((used)) void __wrap_rte_delay_us_sleep(unsigned us)
{
	if (!ixm_wait())
		__real_rte_delay_us_sleep(us);
}

static struct ixm *shown(uint16_t port)
{
	struct ixm *m = ixm_of_port(port);

	if (m) {
		pthread_mutex_lock(&m->lock);
		ixm_stats_show(m);
	}
	return m;
}

static int hidden(struct ixm *m, int result)
{
	if (m) {
		ixm_stats_hide(m);
		pthread_mutex_unlock(&m->lock);
	}
	return result;
}

__attribute__((used)) int __wrap_rte_eth_stats_get(uint16_t port, struct rte_eth_stats *stats)
{
	struct ixm *m = shown(port);
	return hidden(m, __real_rte_eth_stats_get(port, stats));
}

__attribute__((used)) int __wrap_rte_eth_stats_reset(uint16_t port)
{
	struct ixm *m = shown(port);
	return hidden(m, __real_rte_eth_stats_reset(port));
}

__attribute__((used)) int __wrap_rte_eth_xstats_get(uint16_t port, struct rte_eth_xstat *xstats, unsigned n)
{
	struct ixm *m = shown(port);
	return hidden(m, __real_rte_eth_xstats_get(port, xstats, n));
}
