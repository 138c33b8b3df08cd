/* SPDX-License-Identifier: Apache-2.0 */
/* Giving the driver a device: the PCI bus is asked for nothing but its list of drivers. */
#include "runtime/check.h"
#include "tests/ixgbe_model/private.h"

#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_interrupts.h>
#include <rte_version.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	VENDOR = 0x8086,
	NO_KERNEL_DRIVER = 5,
	DRIVERS_MAX = 1000,
};

__attribute__((format(printf, 4, 5))) static int fail(
	char *error, size_t bytes, int rc, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(error, bytes, format, ap);
	va_end(ap);
	return rc;
}

/* The bus by DPDK's own search, so that its address is beyond doubt; what lies there must look as bus_pci.h
 * says, first in its name, then in a list of drivers that ends. */
static const struct bus_pci *bus_find(void)
{
	const struct bus_pci *bus = (const void *)rte_bus_find_by_name("pci");

	if (!bus || bus->bus.name != rte_bus_name((const void *)bus) || !bus->drivers.first)
		return NULL;
	return bus;
}

static bool names_the_part(const struct bus_pci_driver *d, const struct ixm_part *part)
{
	for (const struct rte_pci_id *id = d->ids; id->vendor_id != 0; id++)
		if (id->vendor_id == VENDOR && id->device_id == part->device)
			return true;
	return false;
}

/* A node of the list points back at the pointer that points at it: where it does, it is one. */
static struct bus_pci_driver *driver_find(const struct bus_pci *bus, const struct ixm_part *part)
{
	const void *before = &bus->drivers.first;
	struct bus_pci_driver *d = bus->drivers.first;

	for (unsigned n = 0; d && n < DRIVERS_MAX; n++) {
		if ((const void *)d->node.previous != before || !d->driver.name || !d->probe || !d->ids)
			return NULL;
		if (!strcmp(d->driver.name, part->driver))
			return names_the_part(d, part) ? d : NULL;
		before = &d->node.next;
		d = d->node.next;
	}
	return NULL;
}

static int declarations_check(
	const struct ixm_part *part, struct bus_pci_driver **driver, char *error, size_t bytes)
{
	if (rte_version_year() != BUS_PCI_DPDK_YEAR || rte_version_month() != BUS_PCI_DPDK_MONTH)
		return fail(error, bytes, -ENOTSUP,
			"%s is linked, and tests/ixgbe_model/bus_pci.h declares the PCI bus of DPDK %d.%d: "
			"compare it with bus_pci_driver.h, dev_driver.h and bus_driver.h",
			rte_version(), BUS_PCI_DPDK_YEAR, BUS_PCI_DPDK_MONTH);
	if (rte_eal_iova_mode() != RTE_IOVA_VA)
		return fail(error, bytes, -ENOTSUP,
			"the model takes bus addresses for pointers: start EAL with --iova-mode=va");
	const struct bus_pci *bus = bus_find();
	if (!bus)
		return fail(error, bytes, -ENOTSUP, "the PCI bus does not look as bus_pci.h declares it");
	*driver = driver_find(bus, part);
	if (!*driver)
		return fail(error, bytes, -ENODEV,
			"no driver %s for %04x:%04x on the PCI bus: is librte_net_ixgbe linked, and does "
			"bus_pci.h declare a driver as %s does?",
			part->driver, VENDOR, part->device, rte_version());
	return 0;
}

static struct ixm *model_of(const struct rte_device *device)
{
	const uint8_t *d = (const void *)device;

	return (struct ixm *)(uintptr_t)(d - offsetof(struct ixm, pci.device));
}

static int dma_result(struct ixm *m, int rc)
{
	pthread_mutex_unlock(&m->lock);
	if (rc == 0)
		return 0;
	rte_errno = -rc;
	return -1;
}

static int dma_map(struct rte_device *device, void *address, uint64_t iova, size_t bytes)
{
	struct ixm *m = model_of(device);

	if (iova != (uintptr_t)address) {
		rte_errno = EINVAL;
		return -1;
	}
	pthread_mutex_lock(&m->lock);
	return dma_result(m, ixm_dma_add(m, iova, bytes));
}

static int dma_unmap(struct rte_device *device, void *address, uint64_t iova, size_t bytes)
{
	struct ixm *m = model_of(device);

	pthread_mutex_lock(&m->lock);
	return dma_result(m, ixm_dma_remove(m, iova, bytes));
}

/* A virtual device's interrupt needs nothing of the kernel; that of a device of vfio-pci has a descriptor for
 * each queue, and EAL complains that it cannot be switched on. A VF's that is no queue's says that there is
 * mail: EAL reads it as it would a timer's. */
static enum rte_intr_handle_type interrupt_type(const struct ixm *m)
{
	if (m->interrupts)
		return RTE_INTR_HANDLE_VFIO_MSIX;
	return m->part->virtual ? RTE_INTR_HANDLE_ALARM : RTE_INTR_HANDLE_VDEV;
}

static int interrupt_make(struct ixm *m)
{
	m->pci.interrupt = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	m->interrupt_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!m->pci.interrupt || m->interrupt_fd < 0)
		return -ENOMEM;
	rte_intr_fd_set(m->pci.interrupt, m->interrupt_fd);
	rte_intr_type_set(m->pci.interrupt, interrupt_type(m));
	return 0;
}

static void device_fill(struct ixm *m, const char *name)
{
	m->bus = (struct bus_ops){.name = "ixgbe_model", .dma_map = dma_map, .dma_unmap = dma_unmap};
	rte_pci_addr_parse(name, &m->pci.address);
	m->pci.id = (struct rte_pci_id){
		.class_id = 0x020000, .vendor_id = VENDOR, .device_id = m->part->device};
	m->pci.resource[0] = (struct rte_mem_resource){
		.len = m->part->virtual ? IXM_VF_BAR_BYTES : IXM_BAR_BYTES, .addr = m->bar};
	m->pci.kernel_driver = NO_KERNEL_DRIVER;
	snprintf(m->pci.name, sizeof(m->pci.name), "%s", name);
	m->pci.device = (struct bus_device){.name = m->pci.name, .bus = &m->bus};
}

int ixm_device_probe(struct ixm *m, const struct ixm_config *config, char *error, size_t error_bytes)
{
	struct bus_pci_driver *driver;
	uint16_t port;

	int rc = declarations_check(m->part, &driver, error, error_bytes);
	if (rc)
		return rc;
	if (rte_eth_dev_get_port_by_name(config->address, &port) == 0)
		return fail(error, error_bytes, -EEXIST, "%s is a port already", config->address);
	device_fill(m, config->address);
	rc = interrupt_make(m);
	if (rc)
		return fail(error, error_bytes, rc, "no memory for an interrupt");
	m->pci.driver = driver;
	rc = driver->probe(driver, &m->pci);
	if (rc)
		return fail(error, error_bytes, -ENODEV, "the driver gave up: %s", strerror(-rc));
	m->pci.device.driver = &driver->driver;
	/* Only now the declarations have shown their worth: the driver reads the name where we wrote it. */
	if (rte_eth_dev_get_port_by_name(config->address, &port))
		return fail(
			error, error_bytes, -ENOTSUP, "the driver made no port named %s", config->address);
	return 0;
}

void ixm_device_remove(struct ixm *m)
{
	uint16_t port;

	if (m->pci.device.driver && rte_eth_dev_get_port_by_name(m->pci.name, &port) == 0) {
		rte_eth_dev_stop(port);
		rte_eth_dev_close(port);
	}
	rte_intr_instance_free(m->pci.interrupt);
	if (m->interrupt_fd >= 0)
		close(m->interrupt_fd);
}

uint16_t ixm_port_id(const struct ixm *m)
{
	uint16_t port;

	MUST(rte_eth_dev_get_port_by_name(m->pci.name, &port) == 0);
	return port;
}
