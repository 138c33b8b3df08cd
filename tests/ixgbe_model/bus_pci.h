/* SPDX-License-Identifier: Apache-2.0 */
/* DPDK's PCI bus as its drivers see it, as far as it takes to probe one of them on a device of ours. Debian
 * ships no header for it (22.11's bus_pci_driver.h, dev_driver.h and bus_driver.h are internal), so these
 * declarations are our own; device.c compares them with what the program really links before it uses them.
 * For DPDK 22.11. */
#ifndef TESTS_IXGBE_MODEL_BUS_PCI_H
#define TESTS_IXGBE_MODEL_BUS_PCI_H

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_pci.h>
#include <stddef.h>
#include <stdint.h>

enum { BUS_PCI_DPDK_YEAR = 22, BUS_PCI_DPDK_MONTH = 11 };

struct bus_list_node { /* of a tail queue */
	void *next, **previous;
};

struct bus_driver {
	struct bus_list_node node;
	const char *name, *alias;
};

struct bus_device {
	struct bus_list_node node;
	const char *name, *bus_info;
	const struct bus_driver *driver;
	const struct bus_ops *bus;
	int numa_node;
	struct rte_devargs *devargs;
};

struct bus_pci_device {
	struct bus_list_node node;
	struct bus_device device;
	struct rte_pci_addr address;
	struct rte_pci_id id;
	struct rte_mem_resource resource[PCI_MAX_RESOURCE];
	struct rte_intr_handle *interrupt;
	struct bus_pci_driver *driver;
	uint16_t virtual_functions;
	int kernel_driver; /* an enum there; 5: none */
	char name[PCI_PRI_STR_SIZE + 1];
	char *bus_info;
	struct rte_intr_handle *removal;
};

struct bus_pci_driver {
	struct bus_list_node node;
	struct bus_driver driver;
	int (*probe)(struct bus_pci_driver *driver, struct bus_pci_device *device);
	int (*remove)(struct bus_pci_device *device);
	int (*dma_map)(struct bus_pci_device *device, void *address, uint64_t iova, size_t bytes);
	int (*dma_unmap)(struct bus_pci_device *device, void *address, uint64_t iova, size_t bytes);
	const struct rte_pci_id *ids; /* ends with vendor 0 */
	uint32_t flags;
};

/* struct rte_bus. Pointers of functions that are not called here stand without their arguments. */
struct bus_ops {
	struct bus_list_node node;
	const char *name;
	void (*scan)(void), (*probe)(void), (*find_device)(void), (*plug)(void), (*unplug)(void);
	void (*parse)(void), (*devargs_parse)(void);
	int (*dma_map)(struct rte_device *device, void *address, uint64_t iova, size_t bytes);
	int (*dma_unmap)(struct rte_device *device, void *address, uint64_t iova, size_t bytes);
	int scan_mode;
	void (*get_iommu_class)(void), (*dev_iterate)(void), (*hot_unplug)(void), (*sigbus)(void);
	void (*cleanup)(void);
};

struct bus_pci {
	struct bus_ops bus;
	struct {
		struct bus_pci_device *first, **last;
	} devices;
	struct {
		struct bus_pci_driver *first, **last;
	} drivers;
};

#endif
