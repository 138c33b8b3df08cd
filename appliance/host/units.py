# SPDX-License-Identifier: Apache-2.0
"""Words of the command line: sizes, lists of CPUs, names, addresses."""
import ipaddress
import re

from errors import Misuse

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SUFFIXES = {"K": KIB, "M": MIB, "G": GIB, "T": 1 << 40}


def size(text, option):
    """"8G", "8GiB" or "8192M" in bytes."""
    match = re.fullmatch(r"([1-9]\d*)([KMGT])(iB)?", text)
    if not match:
        raise Misuse(f"{option} {text}: wants a whole number with K, M, G or T (powers of 1024), such as 8G or 8192M")
    return int(match.group(1)) * SUFFIXES[match.group(2)]


def size_text(number):
    for suffix in "TGMK":
        if number and number % SUFFIXES[suffix] == 0:
            return f"{number // SUFFIXES[suffix]}{suffix}"
    return str(number)


def cpu_list(text, option):
    """"9,11,13-15" as a tuple in the order in which it was written."""
    cpus = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part.strip())
        if not match or int(match.group(2) or match.group(1)) < int(match.group(1)):
            raise Misuse(f"{option} {text}: wants numbers and ranges of CPUs, such as 9,11,13,15 or 2-5")
        cpus += range(int(match.group(1)), int(match.group(2) or match.group(1)) + 1)
    twice = sorted({cpu for cpu in cpus if cpus.count(cpu) > 1})
    if twice:
        raise Misuse(f"{option} {text}: CPU {twice[0]} stands twice")
    return tuple(cpus)


def kernel_cpus(text):
    """A list as the kernel prints it; nothing for an empty one, "(null)", and words such as `managed_irq`."""
    cpus = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if match:
            cpus += range(int(match.group(1)), int(match.group(2) or match.group(1)) + 1)
    return tuple(sorted(set(cpus)))


def cpus_text(cpus):
    """As the kernel prints it: sorted, neighbours joined."""
    runs = []
    for cpu in sorted(set(cpus)):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def mask(cpus):
    """For taskset."""
    return f"0x{sum(1 << cpu for cpu in set(cpus)):06x}"


def kernel_mask(cpus):
    """As /proc/irq and workqueues want it: 32 bits between commas."""
    number = sum(1 << cpu for cpu in set(cpus))
    words = []
    while number or not words:
        words.append(f"{number & 0xffffffff:08x}")
        number >>= 32
    return ",".join(reversed(words))


def vm_name(text):
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", text):
        raise Misuse(f"--name {text}: wants 1 to 32 small letters, digits and dashes, such as vm1: it names a folder, "
                     "the libvirt domain and the guest itself")
    return text


def pci_list(text, option):
    """Addresses, the domain 0000 added where it was left out as lspci does."""
    found = []
    for part in text.split(","):
        part = part.strip().lower()
        if re.fullmatch(r"[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", part):
            part = "0000:" + part
        if not re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", part):
            raise Misuse(f"{option} {text}: wants PCI addresses as lspci -D shows them, such as 0000:06:00.0")
        if part in found:
            raise Misuse(f"{option} {text}: {part} stands twice")
        found.append(part)
    return tuple(found)


def interface_address(text, option):
    """An IPv4 address with the length of its prefix."""
    try:
        address = ipaddress.IPv4Interface(text)
    except ValueError:
        address = None
    if address is None or "/" not in text or address.network.prefixlen < 31 and address.ip in (
            address.network.network_address, address.network.broadcast_address):
        raise Misuse(f"{option} {text}: wants the IPv4 address of a host and its prefix length, such as 192.0.2.11/24")
    return address


def ip_address(text, option):
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        raise Misuse(f"{option} {text}: wants an IPv4 address, such as 192.0.2.1") from None
