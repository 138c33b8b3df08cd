/* SPDX-License-Identifier: Apache-2.0 */
/* What a core that has nothing to do sleeps on: a descriptor that the driver has for its queue. */
#include "dpdk_port/dpdk_version.h"
#include "dpdk_port/port.h"
#include "dpdk_port/port_private.h"
#include "runtime/check.h"

#include <errno.h>
#include <fcntl.h>
#include <rte_ethdev.h>
#include <sys/epoll.h>
#include <unistd.h>

static int hold(struct port_queue *q)
{
	struct epoll_event readable = {.events = EPOLLIN};

	return epoll_ctl(q->rx_fd, EPOLL_CTL_ADD, q->device_fd, &readable) ? -errno : 0;
}

/* A device that may be set up anew has others then. Whoever waits, waits for one that stays and holds the
 * driver's. */
static bool hold_all(struct port *p)
{
	bool held = true;

	for (unsigned i = 0; i < p->info.device_queues && held; i++) {
		p->queue[i].rx_fd = epoll_create1(EPOLL_CLOEXEC);
		held = p->queue[i].rx_fd >= 0 && hold(&p->queue[i]) == 0;
	}
	return held;
}

void port_wait_end(struct port *p)
{
	for (unsigned i = 0; i < p->info.queues; i++) {
		struct port_queue *q = &p->queue[i];
		if (q->rx_fd >= 0 && q->rx_fd != q->device_fd)
			close(q->rx_fd);
		q->rx_fd = q->device_fd = -1;
	}
}

/* A descriptor is of use where reading it never blocks (it has to be emptied) and where it is one queue's
 * alone (emptying it must not take another core's wake-up). Without, cores sleep shortly. */
void port_wait_begin(struct port *p)
{
	bool useful = true;

	for (unsigned i = 0; i < p->info.device_queues; i++) {
		int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(p->id, (uint16_t)i);
		p->queue[i].rx_fd = p->queue[i].device_fd = fd;
		/* Spares the kernel even making the signal that is ignored. */
		if (fd >= 0 && p->rx_kick)
			fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_ASYNC);
		if (!p->driver->own_rx_fd)
			useful &= fd >= 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) &&
				  (i == 0 || fd != p->queue[0].rx_fd);
	}
	if (useful && p->driver->host_decides)
		useful = hold_all(p);
	if (!useful)
		port_wait_end(p);
	p->arms_rx = useful && !p->driver->own_rx_fd;
	p->disarms_rx = p->arms_rx && !p->driver->stays_armed;
}

/* The old one is closed, and so it has left. */
int port_wait_renew(struct port *p)
{
	int rc = 0;

	for (unsigned i = 0; i < p->info.device_queues && rc == 0; i++) {
		struct port_queue *q = &p->queue[i];
		if (q->rx_fd == q->device_fd)
			continue;
		q->device_fd = rte_eth_dev_rx_intr_ctl_q_get_fd(p->id, (uint16_t)i);
		rc = hold(q);
	}
	return rc;
}

int port_rx_fd(struct port *p, unsigned queue)
{
	MUST(queue < p->info.queues);
	return p->queue[queue].rx_fd;
}

/* What woke the core is over. The descriptor does not block. */
static void wake_ups_forget(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) > 0)
		;
}

int port_rx_arm(struct port *p, unsigned queue)
{
	if (!p->arms_rx || !port_rx_polled(p, queue))
		return 0;
	if (port_rests(p))
		return -EBUSY;
	wake_ups_forget(p->queue[queue].device_fd);
	return rte_eth_dev_rx_intr_enable(p->id, (uint16_t)queue);
}

void port_rx_disarm(struct port *p, unsigned queue)
{
	if (p->disarms_rx && port_rx_polled(p, queue) && !port_rests(p))
		rte_eth_dev_rx_intr_disable(p->id, (uint16_t)queue);
}
