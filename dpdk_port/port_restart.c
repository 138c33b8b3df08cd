/* SPDX-License-Identifier: Apache-2.0 */
/* Setting a device up anew while its port is in use. Nothing else than the host of a VF makes that necessary:
 * a reset of the PF (also Linux's own, when a link goes while frames are waiting) takes the VF's queues away,
 * and they come back only when the VF asks for everything again. */
#include "dpdk_port/dpdk_version.h"
#include "dpdk_port/port.h"
#include "dpdk_port/port_private.h"

#include <rte_ethdev.h>

static void wanted_set(struct port *p, bool wanted)
{
	__atomic_store_n(&p->restart_wanted, wanted, __ATOMIC_RELEASE);
}

/* On EAL's interrupt thread. */
static int on_reset(uint16_t id, enum rte_eth_event_type type, void *port, void *arg)
{
	wanted_set(port, true);
	return 0;
}

int port_restart_watch(struct port *p)
{
	return p->driver->host_decides
		       ? rte_eth_dev_callback_register(p->id, RTE_ETH_EVENT_INTR_RESET, on_reset, p)
		       : 0;
}

void port_restart_unwatch(struct port *p)
{
	if (p->driver->host_decides)
		rte_eth_dev_callback_unregister(p->id, RTE_ETH_EVENT_INTR_RESET, on_reset, p);
}

bool port_wants_restart(const struct port *p)
{
	return __atomic_load_n(&p->restart_wanted, __ATOMIC_ACQUIRE);
}

void port_rest(struct port *p, bool on)
{
	__atomic_store_n(&p->resting, on, __ATOMIC_RELEASE);
}

/* A host whose interface has another MTU by now refuses ours, and then the port would be deaf; the driver's
 * start does not say so. */
int port_restart(struct port *p)
{
	wanted_set(p, false); /* a reset that comes from now on is another one */
	int rc = rte_eth_dev_stop(p->id);
	if (rc == 0)
		rc = rte_eth_dev_start(p->id);
	if (rc == 0)
		rc = rte_eth_dev_set_mtu(p->id, (uint16_t)p->info.mtu);
	if (rc == 0)
		rc = port_groups_restore(p);
	if (rc == 0)
		rc = port_wait_renew(p);
	if (rc)
		wanted_set(p, true);
	return rc;
}
