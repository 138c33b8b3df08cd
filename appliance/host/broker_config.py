# SPDX-License-Identifier: Apache-2.0
"""The broker's configuration for a guest, where the user has none of his own."""
from errors import Misuse
from units import GIB, MIB, size_text

HEAD = """# SPDX-License-Identifier: Apache-2.0
# Written by godwit-host define for the guest {name}; `define --config FILE` takes another. config/REFERENCE.md has all keys.
"""
# memory.buffers and memory.socket_buffers: the broker's defaults, and what suits a small guest.
BUFFERS, SMALL_BUFFERS = (16384, 4096), (4096, 512)
MESSAGES_MIN = 16 * MIB     # the broker's
GUEST_MIB = 320             # kernel, systemd, sshd


def text(vm, addresses, gateway, mtu, users):
    """addresses: one a port; users: (name, crypt(3) string)."""
    buffers = BUFFERS if vm.memory >= 2 * GIB else SMALL_BUFFERS
    room, lock = messages(vm, mtu, buffers), tables(vm)
    if lock:
        room = min(room, lock)
    lines = [HEAD.format(name=vm.name) + f"lcores: [{', '.join(map(str, vm.lcores))}]", "idle: poll", "user: godwit", "",
             "memory:", "  hugepages: on", f"  messages: {room // MIB}M"]
    if not lock:
        lines.append("  lock: off             # the tables beside the hugepages are larger than this guest: they grow as they are used")
    if buffers != BUFFERS:
        lines += [f"  buffers: {buffers[0]}", f"  socket_buffers: {buffers[1]}"]
    lines += ["", "ports:"]
    for number, (pci, address) in enumerate(zip(vm.guest_addresses, addresses)):
        lines += [f"  - name: port{number}", f"    device: {pci}", f"    address: {address}"]
        if gateway is not None and gateway in address.network:
            lines.append(f"    gateway: {gateway}")
        if mtu != 1500:
            lines.append(f"    mtu: {mtu}")
    lines += ["", "listeners:"]
    for number in range(len(addresses)):
        lines += [f"  - name: port{number}", "    transport: bypass", f"    port: port{number}"]
    if users:
        lines += ["  - name: operator", "    transport: kernel", "", "users:"]
        for name, secret in users:
            lines += [f"  - name: {quoted(name)}", f"    password_hash: {quoted(secret)}"]
    else:
        # Without users there is guest, from loopback: no listener there.
        lines += ["", "# Nobody gets in: users are to be named (define --users FILE)."]
    return "\n".join([*lines, "", "log:", "  target: stderr", ""])


def messages(vm, mtu, buffers):
    """What the guest's hugepages leave for messages, by a generous estimate of everything else in them: broker/main/memory.c
    and sizes.h have the sums."""
    cores = len(vm.lcores)

    def of_core(total):
        return total if cores == 1 else min(total, (total + cores - 1) // cores * 2 + 64)

    frame = max(2048, (mtu + 18 + 1023) // 1024 * 1024) + 384
    rings = 6144
    port = 2 * ((of_core(buffers[0]) + rings) * frame + 3 * MIB)
    sockets = of_core(buffers[1]) * (8192 + 384) + 3 * MIB
    others = cores * (len(vm.port_slots) * port + sockets) + 64 * MIB
    left = (vm.huge_bytes - others) * 10 // 11
    if left < MESSAGES_MIN:
        raise Misuse(f"--memory {size_text(vm.memory)}: packet buffers of {len(vm.port_slots)} ports and {cores} data cores leave no room "
                     "for messages: give the guest more, or a configuration of your own (--config)")
    return left // (2 * MIB) * (2 * MIB)


def tables(vm):
    """For how many octets of messages there is room for the tables beside them, which a broker that polls locks as a whole: 260
    MiB, 200 for each core, and 0.65 of the messages (measured: version 0.1, 256 MiB to 2 GiB of them). 0: for too few."""
    left = (vm.system_bytes - GUEST_MIB * MIB - (260 + 200 * len(vm.lcores)) * MIB) * 20 // 13
    return left // (2 * MIB) * (2 * MIB) if left >= 256 * MIB else 0


def quoted(word):
    """YAML's single quotes keep dollars and everything else."""
    return "'" + word.replace("'", "''") + "'"
