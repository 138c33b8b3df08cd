# SPDX-License-Identifier: Apache-2.0
"""A guest as both of its descriptions have it, libvirt's and QEMU's. Slots on pcie.0 are fixed, so that the guest's own
configuration can name its ports before it has ever started:

    00:02.0         management, virtio
    00:03.0         the root image, read-only
    00:04.0         the data disk
    00:05.0         the config drive, read-only
    00:10.0 ...     the ports, in the order of --ports

All of them sit on the root bus, whose numbers no firmware gives out anew; each is a function of its own there, and so
has an IOMMU group of its own in the guest."""
import dataclasses
import hashlib
import os
import uuid

from errors import Misuse
from host import PAGE_BYTES
from units import GIB, MIB, cpus_text, size_text

MANAGEMENT_SLOT, ROOT_SLOT, DATA_SLOT, CONFIG_SLOT, FIRST_PORT_SLOT = 0x02, 0x03, 0x04, 0x05, 0x10
PORTS_MAX = 8           # what the broker takes
# Left to the guest's system and to what the broker keeps beside its hugepages, whose tables grow with the messages: 768 MiB
# of the first GiB, and three eighths of the rest.
SYSTEM_BYTES = 768 * MIB
# The guest's hugepages are of 1 GiB, as far as they go and the CPU has such; at least so much is of 2 MiB.
SMALL_PAGES_BYTES = 128 * MIB
MEMORY_MIN = 1 * GIB
OVERHEAD_BYTES = 1 * GIB    # what QEMU locks beside the guest's memory
NAMESPACE = uuid.UUID("f9f0a2a4-0c5b-5e0c-9d5b-6f1c2f6f3a70")


@dataclasses.dataclass(frozen=True)
class Vm:
    name: str
    folder: str             # of this VM
    ports: tuple            # host.Port of each that is passed through; empty where bridged
    bridge: str             # "" or the bridge of the data port
    cpus: tuple             # host CPU of each vCPU
    interrupts: tuple       # host CPUs of QEMU's other threads
    memory: int             # bytes
    pages: str              # 1G, 2M or none
    node: int               # where the memory is taken
    management: str         # network:NAME, bridge:NAME or user
    uio: bool
    invtsc: bool            # the host's counter runs on in all states, and so may the guest's
    gib_pages: bool         # the CPU has pages of 1 GiB
    identity: str           # what distinguishes this host's VMs from another host's

    @property
    def passed(self):
        return len(self.ports)

    @property
    def port_slots(self):
        return tuple(FIRST_PORT_SLOT + i for i in range(1 if self.bridge else self.passed))

    @property
    def guest_addresses(self):
        """The ports' PCI addresses as the guest sees them."""
        return tuple(f"0000:00:{slot:02x}.0" for slot in self.port_slots)

    @property
    def lcores(self):
        """vCPUs of the data cores: all but the first, which has the guest's own work."""
        return tuple(range(1, len(self.cpus)))

    @property
    def uuid(self):
        return str(uuid.uuid5(NAMESPACE, f"{self.identity}/{self.name}"))

    def mac(self, which):
        """management or data; QEMU's prefix, the rest from names: the same after each define."""
        digest = hashlib.sha256(f"{self.identity}/{self.name}/{which}".encode()).digest()
        return "52:54:00:" + ":".join(f"{octet:02x}" for octet in digest[:3])

    @property
    def huge_bytes(self):
        """What the guest's hugepages are made of."""
        return (self.memory - self.system_bytes) // PAGE_BYTES["2M"] * PAGE_BYTES["2M"]

    @property
    def guest_pages(self):
        """Hugepages in the guest: those of 1 GiB, those of 2 MiB."""
        giant = (self.huge_bytes - SMALL_PAGES_BYTES) // GIB if self.gib_pages else 0
        return giant, (self.huge_bytes - giant * GIB) // PAGE_BYTES["2M"]

    @property
    def system_bytes(self):
        return SYSTEM_BYTES + (self.memory - GIB) * 3 // 8

    @property
    def lock_bytes(self):
        """Each port behind the emulated IOMMU is an address space of its own, and pins all of the guest's memory; without
        one they share it."""
        return self.memory * (1 if self.uio else max(self.passed, 1)) + OVERHEAD_BYTES

    @property
    def kernel_parameters(self):
        words = ["root=godwit-root", "console=ttyS0", "panic=5"]
        words += ["godwit.uio"] if self.uio else ["intel_iommu=on", "iommu=pt"]
        giant, small = self.guest_pages
        words += ["hugepagesz=1G", f"hugepages={giant}"] if giant else []
        words += ["hugepagesz=2M", f"hugepages={small}"]
        cores = cpus_text(self.lcores)
        return " ".join([*words, f"isolcpus=managed_irq,domain,{cores}", f"nohz_full={cores}", f"rcu_nocbs={cores}"])

    def path(self, name):
        return os.path.join(self.folder, name)


def check_memory(memory, pages, text):
    if memory < MEMORY_MIN:
        raise Misuse(f"--memory {text}: a guest wants {size_text(MEMORY_MIN)} at least")
    step = PAGE_BYTES.get(pages, MIB)
    if memory % step:
        raise Misuse(f"--memory {text}: it is made of pages of {size_text(step)}, and is to be a multiple of that")
