# SPDX-License-Identifier: Apache-2.0
"""Intel's 10GbE ports by PCI id, and what a host says of each port."""
import dataclasses

INTEL = 0x8086
# Device ids by family, as DPDK's and Linux' drivers ixgbe have them.
PHYSICAL = {
    "82598": (0x10b6, 0x1508, 0x10c6, 0x10c7, 0x10c8, 0x150b, 0x10db, 0x10dd, 0x10ec, 0x10f1, 0x10e1, 0x10f4),
    "82599": (0x10f7, 0x1514, 0x1517, 0x10f8, 0x10f9, 0x10fb, 0x152a, 0x1529, 0x1507, 0x154d, 0x154a, 0x1558, 0x1557, 0x10fc,
              0x151c, 0x154f),
    "X540": (0x1528, 0x1560),
    "X550": (0x1563, 0x15d1, 0x15c2, 0x15c3, 0x15c4, 0x15c6, 0x15c7, 0x15c8, 0x15ca, 0x15cc, 0x15ce, 0x15e4, 0x15e5, 0x15aa,
             0x15ab, 0x15ac, 0x15ad, 0x15ae, 0x15b0),
}
VIRTUAL = {
    "82599": (0x10ed, 0x152e),
    "X540": (0x1515, 0x1530),
    "X550": (0x15c5, 0x15b4, 0x1565, 0x1564, 0x15a8, 0x15a9),
}
FAMILIES = {number: (family, virtual) for virtual, table in ((False, PHYSICAL), (True, VIRTUAL))
            for family, numbers in table.items() for number in numbers}
NETWORK, BRIDGE = "0x02", "0x0604"
KINDS = {"0x01": "storage", "0x02": "network", "0x03": "display", "0x04": "multimedia", "0x06": "bridge", "0x0c": "serial bus"}


@dataclasses.dataclass(frozen=True)
class Port:
    """A network device on the PCI bus."""
    pci: str
    vendor: int
    device: int
    family: str         # "" where it is none of Intel's 10GbE
    virtual: bool       # a VF
    driver: str         # "" where it is free
    group: str          # of the IOMMU; "" without one
    others: tuple       # of its group: (pci, driver, kind), without bridges
    node: int           # NUMA; -1 where the firmware does not say
    interfaces: tuple
    link: str           # "10000 Mb/s", "down" or ""
    vfs: tuple          # of a PF: the VFs that exist
    route: str          # the interface of the default route that it carries, or ""

    def kind(self):
        name = f"{self.family or 'another make'}{' VF' if self.virtual else ''}"
        return f"{name} [{self.vendor:04x}:{self.device:04x}]"


def find(root):
    """All network devices by address."""
    return {pci: port(root, pci) for pci in root.names("/sys/bus/pci/devices")
            if root.text(f"/sys/bus/pci/devices/{pci}/class").startswith(NETWORK)}


def port(root, pci):
    at = f"/sys/bus/pci/devices/{pci}"
    vendor, device = root.number(f"{at}/vendor"), root.number(f"{at}/device")
    family, virtual = FAMILIES.get(device, ("", False)) if vendor == INTEL else ("", False)
    group = root.link(f"{at}/iommu_group")
    interfaces = tuple(root.names(f"{at}/net"))
    return Port(pci, vendor, device, family, virtual or root.exists(f"{at}/physfn"), root.link(f"{at}/driver"), group,
                others_of(root, pci, group), root.number(f"{at}/numa_node"), interfaces, link_of(root, interfaces),
                tuple(other for other in root.names("/sys/bus/pci/devices") if root.link(f"/sys/bus/pci/devices/{other}/physfn") == pci),
                route_of(root, interfaces))


def others_of(root, pci, group):
    others = []
    for other in root.names(f"/sys/kernel/iommu_groups/{group}/devices") if group else ():
        at = f"/sys/bus/pci/devices/{other}"
        kind = root.text(f"{at}/class")
        if other != pci and not kind.startswith(BRIDGE):
            others.append((other, root.link(f"{at}/driver"), KINDS.get(kind[:4], "other")))
    return tuple(others)


def link_of(root, interfaces):
    for interface in interfaces:
        if root.text(f"/sys/class/net/{interface}/operstate") == "up":
            return f"{root.text(f'/sys/class/net/{interface}/speed')} Mb/s"
        return "down"
    return ""


def route_of(root, interfaces):
    """The default route may go by the interface itself, or by a bridge, bond or VLAN above it."""
    routes, seen, left = default_routes(root), set(), list(interfaces)
    while left:
        interface = left.pop()
        if interface in routes:
            return interface
        seen.add(interface)
        above = [name.removeprefix("upper_") for name in root.names(f"/sys/class/net/{interface}") if name.startswith("upper_")]
        left += [name for name in above if name not in seen]
    return ""


def default_routes(root):
    fourth = {line.split()[0] for line in root.lines("/proc/net/route")[1:]
              if len(line.split()) > 7 and line.split()[1] == line.split()[7] == "00000000"}
    sixth = {line.split()[-1] for line in root.lines("/proc/net/ipv6_route") if line.startswith("0" * 32 + " 00 ")}
    return (fourth | sixth) - {"lo"}
