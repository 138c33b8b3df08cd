# SPDX-License-Identifier: Apache-2.0
"""From the words of the command line to guests: who gets which ports, CPUs, memory and addresses."""
import re

from errors import Misuse
from host import PAGE_BYTES
from units import cpu_list, interface_address, ip_address, pci_list, size, size_text, vm_name
from vm import PORTS_MAX, Vm, check_memory

# The report's two guests on its R710: the second threads of one socket's cores each, its interrupts beside them.
REPORT_CPUS, REPORT_INTERRUPTS = "9,11,13,15/8,10,12,14", "7/6"
FOLDER = "/var/lib/godwit"


def names(args):
    """vm1 and vm2, for vm1 and two."""
    first = vm_name(args.name)
    if args.count == 1:
        return [first]
    match = re.fullmatch(r"(.*?)(\d+)", first)
    stem, number = (match.group(1), int(match.group(2))) if match else (first, 1)
    return [vm_name(f"{stem}{number + i}") for i in range(args.count)]


def each(text, count, option):
    """One part a guest, with / between."""
    parts = text.split("/")
    if len(parts) != count:
        raise Misuse(f"{option} {text}: wants one list for each of {count} guests, with / between them")
    return parts


def dealt(things, count, option):
    """So many for each guest, in order."""
    if len(things) % count:
        raise Misuse(f"{option}: {len(things)} for {count} guests: wants as many for each")
    share = len(things) // count
    return [tuple(things[i * share:(i + 1) * share]) for i in range(count)]


def ports_of(host, args):
    """(ports, bridge) of each guest."""
    if bool(args.ports) == bool(args.bridge):
        raise Misuse("define: wants --ports (passed through) or --bridge (the bridged variant, to compare with), one of them")
    if args.bridge:
        bridges = args.bridge.split(",")
        if not all(re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", bridge) for bridge in bridges):
            raise Misuse(f"--bridge {args.bridge}: wants the name of a bridge, or one for each guest, such as br4,br5")
        if len(bridges) not in (1, args.count):
            raise Misuse(f"--bridge {args.bridge}: wants one bridge for all guests, or one for each")
        return [((), bridges[i % len(bridges)]) for i in range(args.count)]
    shares = dealt(pci_list(args.ports, "--ports"), args.count, "--ports")
    return [(tuple(port_checked(port, args) for port in host.ports_to_take(share)), "") for share in shares]


def port_checked(port, args):
    if args.uio and port.virtual:
        raise Misuse(f"--uio: {port.pci} is a VF, and uio_pci_generic takes none: without --uio the guest gets an emulated IOMMU")
    if args.uio and port.family == "X550":
        raise Misuse(f"--uio: {port.pci} is an X550, which has no legacy interrupt, as uio_pci_generic wants: leave --uio away")
    return port


def cpus_of(host, args):
    """(vCPUs, interrupts) of each guest."""
    text, interrupts = args.cpus, args.interrupts
    if not text:
        if args.count != 2:
            raise Misuse("define: wants --cpus, one for each vCPU, such as 9,11,13,15")
        text, interrupts = REPORT_CPUS, interrupts or REPORT_INTERRUPTS
    guests = [cpu_list(part, "--cpus") for part in each(text, args.count, "--cpus")]
    taken = [cpu for cpus in guests for cpu in cpus]
    host.check_cpus(taken)
    for cpus in guests:
        if len(cpus) < 2:
            raise Misuse(f"--cpus {text}: a guest wants two at least: its own work runs on the first, the broker polls on the others")
    if len(set(taken)) < len(taken):
        raise Misuse(f"--cpus {text}: two guests have CPU {next(cpu for cpu in taken if taken.count(cpu) > 1)}, and both would poll on it")
    if interrupts:
        others = [cpu_list(part, "--interrupts") for part in each(interrupts, args.count, "--interrupts")]
        host.check_cpus([cpu for cpus in others for cpu in cpus], "--interrupts")
        both = {cpu for cpus in others for cpu in cpus} & set(taken)
        if both:
            raise Misuse(f"--interrupts {interrupts}: CPU {min(both)} runs a guest")
    else:
        others = [(beside(host, cpus, taken), ) for cpus in guests]
    return list(zip(guests, others))


def beside(host, cpus, taken):
    """A CPU for the guest's other threads: of its node, and not a sibling of a guest's, as far as there is one."""
    siblings = {other for cpu in taken for other in host.siblings(cpu)}
    node = host.node_for(None, cpus)
    free = [cpu for cpu in host.cpus if cpu not in taken]
    if not free:
        return cpus[0]
    # The last one: the first have most of the host's own work. On the report's host that is the report's choice.
    return min(free, key=lambda cpu: (host.node_of(cpu) != node, cpu in siblings, -cpu))


def host_pages(host, args, memory, node):
    """Pages of 1 GiB where enough of them are reserved, else of 2 MiB."""
    if args.pages != "auto":
        if args.pages == "1G" and not host.has_gib_pages:
            raise Misuse("--pages 1G: this CPU has no pages of 1 GiB (flag pdpe1gb)")
        return args.pages
    return "1G" if memory % PAGE_BYTES["1G"] == 0 and host.pages(node, "1G", "nr") * PAGE_BYTES["1G"] >= memory else "2M"


def management_of(args):
    if args.management_bridge == "user":
        return "user:"
    return f"bridge:{args.management_bridge}" if args.management_bridge else "network:default"


def guests(host, args):
    """The guests, in order."""
    memory = size(args.memory, "--memory")
    if not 1 <= args.count <= 16:
        raise Misuse(f"--count {args.count}: wants 1 to 16")
    identity = host.root.text("/etc/machine-id")
    found = []
    for name, (ports, bridge), (cpus, interrupts) in zip(names(args), ports_of(host, args), cpus_of(host, args)):
        if len(ports) > PORTS_MAX:
            raise Misuse(f"--ports: {len(ports)} for {name}, and the broker drives {PORTS_MAX} at most")
        node = host.node_for(ports[0] if ports else None, cpus)
        pages = host_pages(host, args, memory, node)
        check_memory(memory, pages, args.memory)
        found.append(Vm(name, folder(args, name), ports, bridge, cpus, interrupts, memory, pages, node, management_of(args), args.uio, "nonstop_tsc" in host.flags, host.has_gib_pages, identity))
    return found


def folder(args, name):
    """--dir is the one guest's, or above those of several."""
    if not args.dir:
        return f"{FOLDER}/{name}"
    return args.dir if args.count == 1 else f"{args.dir}/{name}"


def addresses(args, vms):
    """The ports' addresses by guest, and remarks on those that were chosen here."""
    counts = [len(vm.port_slots) for vm in vms]
    if not args.address:
        chosen = [interface_address(f"198.18.{number + 1}.2/24", "--address") for number in range(sum(counts))]
    else:
        chosen = [interface_address(text, "--address") for text in args.address.split(",")]
        if len(chosen) != sum(counts):
            raise Misuse(f"--address {args.address}: wants one for each of {sum(counts)} ports")
        if len({address.ip for address in chosen}) < len(chosen):
            raise Misuse(f"--address {args.address}: one stands twice")
    gateway = ip_address(args.gateway, "--gateway") if args.gateway else None
    if gateway and not any(gateway in address.network for address in chosen):
        raise Misuse(f"--gateway {gateway}: it is in no port's subnet ({', '.join(map(str, chosen))})")
    shares, begin = [], 0
    for count in counts:
        shares.append(chosen[begin:begin + count])
        begin += count
    return shares, gateway


def remarks(host, vms):
    """What the user ought to know, and is free to leave as it is."""
    wanted = {}
    for vm in vms:
        wanted[vm.node, vm.pages] = wanted.get((vm.node, vm.pages), 0) + vm.memory
        yield (f"{vm.name}: vCPUs on {','.join(map(str, vm.cpus))}, interrupts and QEMU's other threads on "
               f"{','.join(map(str, vm.interrupts))}, memory on node {vm.node} in pages of {vm.pages}")
        if set(vm.interrupts) & set(vm.cpus):
            yield f"{vm.name}: guests have all CPUs of this host: QEMU's other threads take their time from vCPU 0"
        for port, address in zip(vm.ports, vm.guest_addresses):
            yield f"{vm.name}: {port.pci} ({port.kind()}) is {address} in the guest"
            if port.node in host.nodes and any(host.node_of(cpu) != port.node for cpu in vm.cpus):
                yield f"{vm.name}: {port.pci} is on NUMA node {port.node}, and some of its CPUs are not: each packet crosses over"
            if not port.family:
                yield f"{vm.name}: {port.pci} is none of Intel's 10GbE ports: DPDK in the image has to have a driver for it"
        if vm.bridge:
            yield f"{vm.name}: bridged, to compare with: a virtio port on {vm.bridge} is {vm.guest_addresses[0]} in the guest"
        if not vm.invtsc:
            yield f"{vm.name}: without invtsc, which this host's CPU does not have: the guest's clock is kvm-clock"
    for (node, pages), number in wanted.items():
        have = host.pages(node, pages, "free") * PAGE_BYTES[pages] if pages != "none" else number
        if have < number:
            yield (f"node {node} has {size_text(max(have, 0))} free in pages of {pages}, and {size_text(number)} are wanted: "
                   f"`godwit-host prepare --hugepages-{pages.lower()} {number // PAGE_BYTES[pages]}`, or the guests do not start")
    if host.is_amd and not vms[0].uio:
        yield ("AMD host: the guests' emulated IOMMU is Intel's all the same: QEMU's AMD one cannot tell vfio what the guest maps, and "
               "the guest's kernel takes either")
    if vms[0].uio:
        yield "--uio: no emulated IOMMU: the card may write to all of the guest's memory, and the guest alone answers for it"
