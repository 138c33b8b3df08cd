# SPDX-License-Identifier: Apache-2.0
"""What a host is, read from its files."""
import functools
import re

import ports
from errors import Misuse
from units import kernel_cpus

CPU = "/sys/devices/system/cpu"
NODE = "/sys/devices/system/node"
PAGES = {"2M": "hugepages-2048kB", "1G": "hugepages-1048576kB"}
PAGE_BYTES = {"2M": 2 << 20, "1G": 1 << 30}


class Host:
    def __init__(self, root):
        self.root = root

    @functools.cached_property
    def cpus(self):
        """Those that are online."""
        return kernel_cpus(self.root.text(f"{CPU}/online"))

    @functools.cached_property
    def nodes(self):
        """{NUMA node: its CPUs}"""
        nodes = {int(name[4:]): kernel_cpus(self.root.text(f"{NODE}/{name}/cpulist"))
                 for name in self.root.names(NODE) if re.fullmatch(r"node\d+", name)}
        return nodes or {0: self.cpus}

    def node_of(self, cpu):
        return next((node for node, cpus in self.nodes.items() if cpu in cpus), 0)

    def siblings(self, cpu):
        """Hyperthreads of its core, itself among them."""
        return kernel_cpus(self.root.text(f"{CPU}/cpu{cpu}/topology/thread_siblings_list")) or (cpu, )

    @functools.cached_property
    def sockets(self):
        """{socket: its CPUs}"""
        sockets = {}
        for cpu in self.cpus:
            sockets.setdefault(max(self.root.number(f"{CPU}/cpu{cpu}/topology/physical_package_id"), 0), []).append(cpu)
        return {socket: tuple(cpus) for socket, cpus in sorted(sockets.items())}

    @functools.cached_property
    def cpuinfo(self):
        return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in
                                                                   reversed(self.root.lines("/proc/cpuinfo")))}

    @functools.cached_property
    def flags(self):
        return frozenset(self.cpuinfo.get("flags", "").split())

    @property
    def is_amd(self):
        return self.cpuinfo.get("vendor_id") == "AuthenticAMD"

    @property
    def has_gib_pages(self):
        return "pdpe1gb" in self.flags

    @functools.cached_property
    def parameters(self):
        """The kernel's command line: {key: value of its last}."""
        words = [word.partition("=") for word in self.root.text("/proc/cmdline").split()]
        return {key: value for key, _, value in words}

    @functools.cached_property
    def iommus(self):
        return self.root.names("/sys/class/iommu")

    @functools.cached_property
    def ports(self):
        return ports.find(self.root)

    @property
    def ten_gigabit(self):
        return [port for port in self.ports.values() if port.family]

    def pages(self, node, size, what):
        """nr or free hugepages of 2M or 1G on a node; -1 where the kernel has none of that size."""
        return self.root.number(f"{NODE}/node{node}/hugepages/{PAGES[size]}/{what}_hugepages")

    @functools.cached_property
    def programs(self):
        """Names of what runs."""
        return {self.root.text(f"/proc/{number}/comm") for number in self.root.names("/proc") if number.isdigit()}

    def port(self, pci, option="--ports"):
        """Raises Misuse where there is none."""
        if pci in self.ports:
            return self.ports[pci]
        if self.root.exists(f"/sys/bus/pci/devices/{pci}"):
            raise Misuse(f"{option} {pci}: that is no network device")
        known = ", ".join(port.pci for port in self.ten_gigabit) or "none; is the card seated, and enabled in the firmware?"
        raise Misuse(f"{option} {pci}: there is no such device; 10GbE ports of this host: {known}")

    def check_cpus(self, cpus, option="--cpus"):
        for cpu in cpus:
            if cpu not in self.cpus:
                raise Misuse(f"{option}: CPU {cpu} does not exist or is offline; this host has {self.root.text(f'{CPU}/online')}")

    def ports_to_take(self, pcis):
        """The ports, once it is sure that taking them from the host does no harm."""
        found = [self.port(pci) for pci in pcis]
        for port in found:
            if port.route:
                raise Misuse(f"--ports {port.pci}: the default route goes by it ({port.route}): this host would be cut off. Move the "
                             "host's own network to another port first")
            if port.vfs:
                raise Misuse(f"--ports {port.pci}: its VFs ({', '.join(port.vfs)}) would go with it: hand over these instead, or "
                             f"echo 0 > /sys/bus/pci/devices/{port.pci}/sriov_numvfs first")
            left = [other for other in port.others if other[0] not in pcis]
            if left:
                raise Misuse(f"--ports {port.pci}: IOMMU group {port.group} has {', '.join(map(describe, left))} too, and a group "
                             "goes to one guest as a whole: name all of them, or put the card into a slot behind a root port "
                             "with ACS")
        return found

    def node_for(self, port, cpus):
        """Where a guest's memory belongs: beside its port; beside its CPUs where the firmware does not say."""
        if port is not None and port.node in self.nodes:
            return port.node
        owners = [self.node_of(cpu) for cpu in cpus]
        return max(sorted(set(owners)), key=owners.count)


def describe(other):
    pci, driver, kind = other
    return f"{pci} ({kind}{', ' + driver if driver else ''})"
