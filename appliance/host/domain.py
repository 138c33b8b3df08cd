# SPDX-License-Identifier: Apache-2.0
"""libvirt's description of a guest. qemu.py says the same in QEMU's words: what changes here changes there."""
import xml.etree.ElementTree as Tree

from units import KIB
from vm import CONFIG_SLOT, DATA_SLOT, MANAGEMENT_SLOT, ROOT_SLOT

EMULATOR = "/usr/bin/qemu-system-x86_64"
UNITS = {"1G": ("1", "GiB"), "2M": ("2", "MiB")}


def add(parent, tag, text=None, **attributes):
    """An attribute's name that Python does not allow has an underscore behind it."""
    element = Tree.SubElement(parent, tag, {key.rstrip("_"): value for key, value in attributes.items()})
    element.text = text
    return element


def document(vm):
    domain = Tree.Element("domain", {"type": "kvm"})
    add(domain, "name", vm.name)
    add(domain, "uuid", vm.uuid)
    add(domain, "title", "Godwit")
    memory(domain, vm)
    cpus(domain, vm)
    system(domain, vm)
    devices(domain, vm)
    Tree.indent(domain)
    return Tree.tostring(domain, encoding="unicode") + "\n"


def memory(domain, vm):
    add(domain, "memory", str(vm.memory // KIB), unit="KiB")
    add(domain, "currentMemory", str(vm.memory // KIB), unit="KiB")
    if vm.passed:
        add(add(domain, "memtune"), "hard_limit", str(vm.lock_bytes // KIB), unit="KiB")
    backing = add(domain, "memoryBacking")
    if vm.pages != "none":
        number, unit = UNITS[vm.pages]
        add(add(backing, "hugepages"), "page", size=number, unit=unit)
    add(backing, "nosharepages")
    add(backing, "source", type="memfd")
    add(backing, "allocation", mode="immediate")
    add(add(domain, "numatune"), "memory", mode="strict", nodeset=str(vm.node))


def cpus(domain, vm):
    add(domain, "vcpu", str(len(vm.cpus)), placement="static")
    tune = add(domain, "cputune")
    for number, cpu in enumerate(vm.cpus):
        add(tune, "vcpupin", vcpu=str(number), cpuset=str(cpu))
    add(tune, "emulatorpin", cpuset=",".join(map(str, vm.interrupts)))
    cpu = add(domain, "cpu", mode="host-passthrough", check="none", migratable="off")
    add(cpu, "topology", sockets="1", dies="1", cores=str(len(vm.cpus)), threads="1")
    add(cpu, "cache", mode="passthrough")
    if vm.invtsc:
        add(cpu, "feature", policy="require", name="invtsc")


def system(domain, vm):
    boot = add(domain, "os")
    add(boot, "type", "hvm", arch="x86_64", machine="q35")
    add(boot, "kernel", vm.path("image/vmlinuz"))
    add(boot, "initrd", vm.path("image/initrd"))
    add(boot, "cmdline", vm.kernel_parameters)
    features = add(domain, "features")
    add(features, "acpi")
    add(features, "apic")
    add(add(features, "kvm"), "hint-dedicated", state="on")
    if not vm.uio:
        # The emulated IOMMU remaps interrupts, and has to see them.
        add(features, "ioapic", driver="qemu")
    clock = add(domain, "clock", offset="utc")
    add(clock, "timer", name="hpet", present="no")
    add(domain, "on_poweroff", "destroy")
    add(domain, "on_reboot", "restart")
    add(domain, "on_crash", "restart")


def devices(domain, vm):
    parent = add(domain, "devices")
    add(parent, "emulator", EMULATOR)
    disk(parent, vm.path("image/root.squashfs"), "vda", "godwit-root", ROOT_SLOT, True)
    disk(parent, vm.path("data.img"), "vdb", "godwit-data", DATA_SLOT, False)
    disk(parent, vm.path("config.tar"), "vdc", "godwit-config", CONFIG_SLOT, True)
    add(parent, "controller", type="usb", model="none")
    add(parent, "controller", type="pci", index="0", model="pcie-root")
    management(parent, vm)
    for port, slot in zip(vm.ports, vm.port_slots):
        passed(parent, port, slot)
    if vm.bridge:
        bridged(parent, vm)
    serial = add(parent, "serial", type="pty")
    add(add(serial, "target", type="isa-serial", port="0"), "model", name="isa-serial")
    add(add(parent, "console", type="pty"), "target", type="serial", port="0")
    add(parent, "memballoon", model="none")
    if not vm.uio:
        iommu = add(parent, "iommu", model="intel")
        add(iommu, "driver", intremap="on", caching_mode="on", iotlb="on", aw_bits="48")


def at(parent, slot):
    add(parent, "address", type="pci", domain="0x0000", bus="0x00", slot=f"0x{slot:02x}", function="0x0")


def disk(parent, path, target, serial, slot, read_only):
    element = add(parent, "disk", type="file", device="disk", model="virtio-non-transitional")
    add(element, "driver", name="qemu", type="raw")
    add(element, "source", file=path)
    add(element, "target", dev=target, bus="virtio")
    add(element, "serial", serial)
    if read_only:
        add(element, "readonly")
    at(element, slot)


def management(parent, vm):
    kind, _, name = vm.management.partition(":")
    element = add(parent, "interface", type=kind)
    add(element, "mac", address=vm.mac("management"))
    if name:
        add(element, "source", **{kind: name})
    add(element, "model", type="virtio-non-transitional")
    at(element, MANAGEMENT_SLOT)


def passed(parent, port, slot):
    element = add(parent, "hostdev", mode="subsystem", type="pci", managed="yes")
    add(element, "driver", name="vfio")
    segment, bus, rest = port.pci.split(":")
    device, function = rest.split(".")
    add(add(element, "source"), "address", domain=f"0x{segment}", bus=f"0x{bus}", slot=f"0x{device}", function=f"0x{function}")
    # Its boot ROM would only cost time.
    add(element, "rom", bar="off")
    at(element, slot)


def bridged(parent, vm):
    element = add(parent, "interface", type="bridge")
    add(element, "mac", address=vm.mac("data"))
    add(element, "source", bridge=vm.bridge)
    add(element, "model", type="virtio-non-transitional")
    # DPDK in the guest gives it addresses of the IOMMU's, not of memory.
    add(element, "driver", name="vhost", **({} if vm.uio else {"iommu": "on", "ats": "on"}))
    at(element, vm.port_slots[0])
