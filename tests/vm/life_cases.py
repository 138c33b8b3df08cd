# SPDX-License-Identifier: Apache-2.0
"""What a machine lives through: a reboot, a power cut, another image and back, a card on a bridge, mistakes of the host's."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tarfile

from boot_cases import a_message_goes_through
from vm import PORT_PCI, ROOT, SECOND, Bridged, Large, Uio, VM, need, run

HOST_TOOL = os.path.join(ROOT, "appliance", "host", "godwit-host")


class State:
    def __init__(self, work, image):
        self.work, self.image = work, image
        self.vm = VM(work, image, "life")
        self.vm.start()
        self.vm.wait_ready()
        self.host_key = self.key()

    def key(self):
        return self.vm.ssh("cat /data/ssh/ssh_host_ed25519_key.pub")

    def again(self):
        """The same machine, which serves again, with its data."""
        self.vm.wait_ready()
        a_message_goes_through()
        need(self.key() == self.host_key, "another host key: the data disk was not kept")


def begin(work, image):
    return State(work, image)


def end(state):
    state.vm.power_cut()


def reboots(state):
    """a reboot brings the broker back by itself"""
    state.vm.mark()
    state.vm.ssh("systemctl reboot", check=False)
    state.vm.rebooted()
    state.again()


def power_cut(state):
    """a power cut while messages flow, and the broker comes back by itself"""
    flow = subprocess.Popen(["sh", "-c", "while amqp-publish --url amqp://guest:guest@198.18.20.2 -r q -b x; do :; done"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        state.vm.ssh("echo kept >/data/mark; sync")
        state.vm.power_cut()
    finally:
        # Nobody answers its last client any more.
        os.killpg(flow.pid, signal.SIGKILL)
        flow.wait(20)
    state.vm.start()
    state.again()
    need(state.vm.ssh("cat /data/mark") == "kept", "the data disk lost what was on it")


def power_button(state):
    """virsh shutdown: the broker ends in order, the machine is off, and is there again at the next start"""
    state.vm.mark()
    state.vm.power_button()
    state.vm.wait_off()
    need("godwit.service: Deactivated successfully" in state.vm.console(), state.vm.console()[-2000:])
    state.vm.start()
    state.again()


def other_image(image, folder, version):
    """The image with another version in its root, which is packed anew."""
    shutil.copytree(image, folder, symlinks=True)
    packed, changed = os.path.join(folder, "root.tar"), os.path.join(folder, "changed.tar")
    squashed = os.path.join(folder, "root.squashfs")
    with open(packed, "wb") as f:
        subprocess.run(["sqfs2tar", squashed], stdout=f, check=True)
    words = os.path.join(folder, "VERSION")
    with open(words, "w", encoding="utf-8") as f:
        f.write(version + "\n")
    found = 0
    with tarfile.open(packed) as old, tarfile.open(changed, "w", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            if member.name == "usr/share/godwit/VERSION":
                found += 1
                member.size = os.path.getsize(words)
                with open(words, "rb") as f:
                    new.addfile(member, f)
            else:
                new.addfile(member, old.extractfile(member) if member.isreg() else None)
    need(found == 1, "the root says its version nowhere")
    os.unlink(squashed)
    with open(changed, "rb") as f:
        subprocess.run(["tar2sqfs", "--quiet", "--force", "--compressor", "zstd", squashed], stdin=f, check=True, capture_output=True)
    os.unlink(packed)
    os.unlink(changed)


def boot_after(state, *words):
    """The version that runs after godwit-host has changed the machine's image."""
    state.vm.power_cut()
    run("/usr/bin/python3", "-B", HOST_TOOL, *words, "--name", "vm1", "--dir", state.vm.folder)
    state.vm.start()
    state.again()
    return state.vm.ssh("cat /usr/share/godwit/VERSION")


def upgrade(state):
    """another image swaps the root and keeps the data; the one before comes back as it was"""
    newer = os.path.join(state.work, "newer")
    before = state.vm.ssh("cat /usr/share/godwit/VERSION")
    other_image(state.image, newer, before + ".newer")
    need(boot_after(state, "upgrade", "--image", newer) == before + ".newer", "the old root is still there")
    need(boot_after(state, "rollback") == before, "the new root is still there")


def without_configuration(state):
    """a machine that was told nothing says what is missing, and serves nobody"""
    vm = VM(state.work, state.image, "untold")
    vm.configure({"godwit.yaml": None})
    refused(state, vm, "has no godwit.yaml: make it with godwit-host define")


def with_a_card_that_is_not_there(state):
    """a card that is not there is named, with those that are"""
    vm = VM(state.work, state.image, "cardless")
    vm.configure({"godwit.yaml": vm.godwit.replace(PORT_PCI, "0000:00:1f.7")})
    refused(state, vm, r"0000:00:1f.7 \(godwit.yaml, ports\): this machine has no such device; it has: .*0000:00:10.0")


def refused(state, vm, pattern):
    state.vm.power_cut()
    try:
        vm.start()
        vm.wait_for(pattern)
        need("ready:" not in vm.console(), "the broker runs all the same")
    finally:
        vm.power_cut()


def another(state, kind, name):
    """A machine of its own kind that serves, for the time of a with."""
    state.vm.power_cut()
    return serving(kind(state.work, state.image, name))


@contextlib.contextmanager
def serving(vm):
    try:
        vm.start()
        vm.wait_ready()
        a_message_goes_through("z" * 60000)
        yield vm
    finally:
        vm.power_cut()


def bridged(state):
    """the bridged variant: a virtio card, driven by the broker"""
    with another(state, Bridged, "bridged"):
        pass


def large(state):
    """two cards serve, each in its group of the IOMMU, and a page of 1 GiB is what messages and packets lie in"""
    with another(state, Large, "large") as vm:
        a_message_goes_through("s" * 60000, SECOND)
        groups = vm.ssh("for i in 10 11; do basename $(readlink /sys/bus/pci/devices/0000:00:$i.0/iommu_group); done").split()
        need(len(set(groups)) == 2, f"groups {groups}")
        free = vm.ssh("cat /sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages")
        need(free == "0", f"{free} of 1 page is free")


def uio(state):
    """without an IOMMU: uio_pci_generic, and a broker that was root until its port was open"""
    with another(state, Uio, "uio") as vm:
        driver = vm.ssh(f"basename $(readlink /sys/bus/pci/devices/{PORT_PCI}/driver)")
        need(driver == "uio_pci_generic", driver)
        # The keeper, which undoes what was made, stays root.
        users = vm.ssh("for p in $(pidof godwit); do stat -c '%U' /proc/$p; done | sort | paste -s -d ' '")
        need(users == "godwit root", users)


CASES = [reboots, power_cut, power_button, upgrade, without_configuration, with_a_card_that_is_not_there, bridged, large, uio]
