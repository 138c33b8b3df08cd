# SPDX-License-Identifier: Apache-2.0
"""A card with several queues: igb, which Debian 12's own QEMU does not have, four queues of it on four data cores."""
import json
import os
import socket

from boot_cases import a_message_goes_through
from vm import PORT, PORT_MAC, PORT_PCI, VM, need

CORES, CONNECTIONS = 4, 64
# Where its virtual functions, which nobody uses, still fit on the bus.
IGB_PCI = "0000:00:06.0"


class Igb(VM):
    card = ["-netdev", "tap,id=port,ifname=port0,script=no,downscript=no", "-device", f"igb,netdev=port,mac={PORT_MAC},addr=0x06"]
    vcpus = 1 + CORES
    godwit = VM.godwit.replace("lcores: [1]", f"lcores: {list(range(1, 1 + CORES))}").replace("idle: pause", "idle: adaptive").replace(PORT_PCI, IGB_PCI)

    def command(self):
        words = super().command()
        there = os.environ["GODWIT_IGB_QEMU"]
        return ["env", "QEMU_MODULE_DIR=" + os.path.join(there, "usr/lib/x86_64-linux-gnu/qemu"),
                os.path.join(there, "usr/bin/qemu-system-x86_64"), "-L", os.path.join(there, "usr/share/qemu"), "-L",
                os.path.join(there, "usr/share/seabios"), *words[1:]]


def begin(work, image):
    vm = Igb(work, image, "igb")
    vm.start()
    return vm


def end(vm):
    vm.power_cut()


def serves(vm):
    """igb: the image boots, and a client publishes and consumes through four queues of a passed card"""
    vm.wait_ready()
    for _ in range(8):
        a_message_goes_through("q" * 20000)
    port = json.loads(vm.ssh("godwitctl status --json"))["ports"][0]
    need(port["device_queues"] == CORES, f"{port['device']} has {port['device_queues']} queues")


def spreads(vm):
    """igb: connections are on all four cores, and each is served by its core"""
    kept = []
    for _ in range(CONNECTIONS):
        s = socket.create_connection((PORT, 5672), timeout=30)
        s.sendall(b"AMQP\0\0\x09\x01")
        need(s.recv(4096)[:1] == b"\x01", "no connection.start")
        kept.append(s)
    cores = json.loads(vm.ssh("godwitctl status --json"))["cores"]
    by_core = [core["connections"] for core in cores]
    need(sum(by_core) == CONNECTIONS and min(by_core) >= CONNECTIONS // CORES // 4, by_core)
    for s in kept:
        s.close()


def card(vm):
    """igb: the card is the broker's, by vfio-pci"""
    driver = vm.ssh(f"basename $(readlink /sys/bus/pci/devices/{IGB_PCI}/driver)")
    need(driver == "vfio-pci", driver)


CASES = [serves, spreads, card]
