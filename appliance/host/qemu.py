# SPDX-License-Identifier: Apache-2.0
"""The plain QEMU command that means what domain.py writes, for who has no libvirt. What libvirt does around QEMU is said
behind it."""
import shlex

from domain import EMULATOR
from units import MIB
from vm import CONFIG_SLOT, DATA_SLOT, MANAGEMENT_SLOT, ROOT_SLOT

HELPER = "/usr/lib/qemu/qemu-bridge-helper"
# libvirt's network `default` is this bridge.
DEFAULT_BRIDGE = "virbr0"


def value(text):
    """In QEMU's lists a comma stands for itself when it is doubled."""
    return text.replace(",", ",,")


def arguments(vm):
    """Pairs of an option and its value, or an option alone."""
    cpu = f"host,migratable=off{',+invtsc' if vm.invtsc else ''},host-cache-info=on,kvm-hint-dedicated=on"
    split = "" if vm.uio else ",kernel-irqchip=split"
    yield "-name", f"{vm.name},debug-threads=on"
    yield "-uuid", vm.uuid
    yield "-nodefaults",
    yield "-no-user-config",
    yield "-machine", f"q35{split},memory-backend=ram,hpet=off,usb=off,mem-merge=off"
    yield "-accel", "kvm"
    yield "-cpu", cpu
    yield "-smp", f"{len(vm.cpus)},sockets=1,dies=1,cores={len(vm.cpus)},threads=1"
    yield "-m", f"{vm.memory // MIB}M"
    huge = "" if vm.pages == "none" else f",hugetlb=on,hugetlbsize={vm.pages}"
    yield "-object", f"memory-backend-memfd,id=ram,size={vm.memory // MIB}M{huge},share=off,prealloc=on,host-nodes={vm.node},policy=bind"
    yield "-rtc", "base=utc"
    yield "-display", "none"
    yield "-serial", "mon:stdio"
    yield "-kernel", vm.path("image/vmlinuz")
    yield "-initrd", vm.path("image/initrd")
    yield "-append", vm.kernel_parameters
    if not vm.uio:
        # Devices that are made before it are not behind it.
        yield "-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on,aw-bits=48"
    yield from disk(vm.path("image/root.squashfs"), "root", ROOT_SLOT, True)
    yield from disk(vm.path("data.img"), "data", DATA_SLOT, False)
    yield from disk(vm.path("config.tar"), "config", CONFIG_SLOT, True)
    yield from management(vm)
    for number, (port, slot) in enumerate(zip(vm.ports, vm.port_slots)):
        yield "-device", f"vfio-pci,id=port{number},host={port.pci},rombar=0,bus=pcie.0,addr=0x{slot:02x}"
    if vm.bridge:
        yield "-netdev", f"tap,id=port0,br={value(vm.bridge)},helper={HELPER},vhost=on"
        behind = "" if vm.uio else ",iommu_platform=on,ats=on"
        yield "-device", f"virtio-net-pci-non-transitional,netdev=port0,mac={vm.mac('data')}{behind},bus=pcie.0,addr=0x{vm.port_slots[0]:02x}"


def disk(path, name, slot, read_only):
    yield "-drive", f"if=none,id={name},file={value(path)},format=raw{',readonly=on' if read_only else ''}"
    yield "-device", f"virtio-blk-pci-non-transitional,drive={name},serial=godwit-{name},bus=pcie.0,addr=0x{slot:02x}"


def management(vm):
    kind, _, name = vm.management.partition(":")
    if kind == "user":
        yield "-netdev", "user,id=management"
    else:
        yield "-netdev", f"bridge,id=management,br={value(DEFAULT_BRIDGE if (kind, name) == ('network', 'default') else name)}"
    yield "-device", (f"virtio-net-pci-non-transitional,netdev=management,mac={vm.mac('management')},bus=pcie.0,"
                      f"addr=0x{MANAGEMENT_SLOT:02x}")


def command(vm):
    """For a shell: the program and one pair a line; comments behind it say what is left to do."""
    lines = [EMULATOR, *(" ".join(map(shlex.quote, words)) for words in arguments(vm))]
    text = " \\\n    ".join(lines) + "\n"
    notes = [f'# thread "CPU {number}/KVM": taskset -pc {cpu} TID' for number, cpu in enumerate(vm.cpus)]
    notes.append(f"# its other threads: taskset -pc {','.join(map(str, vm.interrupts))} TID (ls /proc/PID/task; comm has the names)")
    if vm.passed:
        notes.append(f"# memory lock, unless it runs as root: prlimit --memlock={vm.lock_bytes}")
    return text + "".join(f"{note}\n" for note in notes)
