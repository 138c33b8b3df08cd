# SPDX-License-Identifier: Apache-2.0
"""Passthrough inside passthrough, as the product is meant: a host with VT-d hands its card by vfio-pci to the appliance in a
guest of KVM's, started by the command that godwit-host prints, with the configuration that it makes; only the CPU is another.
The host is emulated."""
import os
import shutil
import time

from boot_cases import a_message_goes_through
from vm import BOOT_S, IOMMU, PORT_PCI, ROOT, Trouble, VM, need, run

VM_DISK_MB = 768
PATIENCE_S = 2 * BOOT_S
ARGUMENTS = "root=godwit-root init=/level1 console=ttyS0 intel_iommu=on iommu=pt hugepagesz=2M hugepages=512 panic=5"


class Level1(VM):
    """The host. Its root is level1.squashfs; its second disk has what the guest is made of."""

    connect_s = 60

    def __init__(self, work, image):
        super().__init__(work, image, "level1")
        self.given = os.path.join(self.folder, "given")
        shutil.copytree(image, os.path.join(self.given, "image"), ignore=shutil.ignore_patterns("symbols"))
        shutil.copytree(os.path.join(ROOT, "appliance", "host"), os.path.join(self.given, "host"))
        shutil.copy(self.key + ".pub", os.path.join(self.given, "key.pub"))
        with open(os.path.join(self.given, "users"), "w", encoding="utf-8") as f:
            f.write("guest:" + run("openssl", "passwd", "-6", "guest").stdout)
        run("mkfs.ext4", "-q", "-d", self.given, os.path.join(self.folder, "vm.img"), f"{VM_DISK_MB}M")

    def command(self):
        return ["qemu-system-x86_64", "-machine", "q35,kernel-irqchip=split", "-accel", "tcg,thread=multi", "-cpu", "max,+svm,+npt",
                "-smp", "2", "-m", "2560", "-nodefaults", "-no-user-config", "-display", "none", "-serial", "file:" + self.log_path,
                *IOMMU, "-kernel", os.path.join(self.image, "vmlinuz"), "-initrd", os.path.join(self.image, "initrd"), "-append", ARGUMENTS,
                "-drive", f"file={os.environ['GODWIT_LEVEL1']},if=none,id=root,format=raw,readonly=on",
                "-device", "virtio-blk-pci,drive=root,serial=godwit-root",
                "-drive", f"file={os.path.join(self.folder, 'vm.img')},if=none,id=vm,format=raw",
                "-device", "virtio-blk-pci,drive=vm,serial=level1-vm",
                "-netdev", "tap,id=management,ifname=management0,script=no,downscript=no",
                "-device", "virtio-net-pci,netdev=management,mac=02:00:00:00:10:01", *self.card]


def begin(work, image):
    vm = Level1(work, image)
    vm.start()
    return vm


def end(vm):
    vm.power_cut()


def boots(vm):
    """nested: the appliance boots in a guest of a guest, from the command that godwit-host prints"""
    vm.wait_for(r"godwit\[\d+\]: .*ready:", PATIENCE_S)


def serves(vm):
    """nested: a client outside publishes and consumes through a card that was passed through twice"""
    # Twice emulated, and still booting: a login may take longer there than the broker waits for it.
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            a_message_goes_through()
            break
        except Trouble:
            if time.monotonic() > deadline:
                raise
    a_message_goes_through("z" * 50000)


def card(vm):
    """nested: the card is the inner broker's"""
    driver = vm.ssh(f"basename $(readlink /sys/bus/pci/devices/{PORT_PCI}/driver)", patience_s=120)
    need(driver == "vfio-pci", driver)


CASES = [boots, serves, card]
