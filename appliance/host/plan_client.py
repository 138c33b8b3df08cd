# SPDX-License-Identifier: Apache-2.0
"""The steps of `prepare --client`: the machine that measures, as the report places it. Sockets (or nodes) of their own for
the tools, each interface's interrupts on one named core, and what the kernel's TCP needs for the rows that use it."""
import plan_cpus
from errors import Misuse
from steps import Command, File, Step, Value
from units import cpu_list, cpus_text, kernel_mask, mask

SYSCTL = "/etc/sysctl.d/90-godwit-client.conf"
WORKQUEUES = "/sys/devices/virtual/workqueue/cpumask"
# The report's, but for System V IPC and fs.file-max, which it lowers by today's defaults. With slashes, since an interface's
# name may have dots.
SYSCTLS = (
    ("net/core/rmem_max", "8388608"), ("net/core/wmem_max", "8388608"), ("net/core/rmem_default", "262144"),
    ("net/core/wmem_default", "262144"), ("net/ipv4/tcp_rmem", "65536\t4194304\t8388608"),
    ("net/ipv4/tcp_wmem", "65536\t4194304\t8388608"), ("net/ipv4/tcp_mem", "262144\t4194304\t8388608"),
    ("net/core/netdev_max_backlog", "10000"), ("net/ipv4/conf/all/arp_filter", "0"),
    ("net/ipv4/conf/default/arp_filter", "1"), ("net/ipv4/conf/lo/arp_filter", "0"),
)


def plan(host, args):
    if args.ports or args.cpus or args.hugepages_1g or args.hugepages_2m:
        raise Misuse("prepare --client: wants --interfaces and, perhaps, --sockets and --interrupts; a client past the kernel is "
                     "prepared like a host, with --ports and --cpus")
    interfaces = interfaces_of(host, args)
    sockets = sockets_of(host, args, len(interfaces))
    interrupts = interrupts_of(host, args, interfaces, sockets)
    cpus = sorted(cpu for socket in sockets for cpu in host.sockets[socket])
    if set(cpus) >= set(host.cpus):
        raise Misuse("--sockets: that is the whole machine: its own work needs a socket, too")
    steps = [*plan_cpus.irqbalance_off(host), *isolate(host, sockets, cpus), *interrupt_steps(host, interfaces, interrupts, cpus),
             *plan_cpus.governor(host, cpus), *plan_cpus.c_states(host, cpus), *plan_cpus.huge_page_daemon(host),
             *plan_cpus.services(host), sysctls(host, interfaces)]
    return steps, list(placements(host, sockets, interrupts))


def interfaces_of(host, args):
    if not args.interfaces:
        raise Misuse("prepare --client: wants --interfaces, such as eth4,eth5: one for each guest that is measured")
    interfaces = args.interfaces.split(",")
    for interface in interfaces:
        if not interface or "/" in interface or not host.root.exists(f"/sys/class/net/{interface}"):
            known = ", ".join(name for name in host.root.names("/sys/class/net") if name != "lo")
            raise Misuse(f"--interfaces {args.interfaces}: there is no interface {interface!r}; there are {known}")
    return interfaces


def sockets_of(host, args, count):
    """The last ones, unless others are named; a machine of one socket has nothing to isolate."""
    if args.sockets:
        chosen = cpu_list(args.sockets, "--sockets")
        for socket in chosen:
            if socket not in host.sockets:
                raise Misuse(f"--sockets: there is no socket {socket}; there are {', '.join(map(str, host.sockets))}")
        return chosen
    if len(host.sockets) <= count:
        raise Misuse(f"prepare --client: {count} interfaces want a socket each, beside one for the machine's own work, and there are "
                     f"{len(host.sockets)}: --sockets says which to take, and two interfaces may share one")
    return tuple(host.sockets)[-count:]


def interrupts_of(host, args, interfaces, sockets):
    """One CPU an interface: the first of its socket."""
    if args.interrupts:
        cpus = cpu_list(args.interrupts, "--interrupts")
        host.check_cpus(cpus, "--interrupts")
        if len(cpus) != len(interfaces):
            raise Misuse(f"--interrupts {args.interrupts}: wants one CPU for each of {len(interfaces)} interfaces")
        return cpus
    cpus = []
    for number in range(len(interfaces)):
        own = host.sockets[sockets[min(number, len(sockets) - 1)]]
        cpus.append(next((cpu for cpu in own if cpu not in cpus), own[0]))
    return tuple(cpus)


def isolate(host, sockets, cpus):
    """Without a reboot: slices of systemd, and the kernel's own threads as far as they can be moved."""
    rest = [cpu for cpu in host.cpus if cpu not in cpus]
    commands = [Command(("systemctl", "set-property", "--runtime", unit, f"AllowedCPUs={cpus_text(rest)}"),
                        ("systemctl", "set-property", "--runtime", unit, "AllowedCPUs="))
                for unit in ("system.slice", "init.scope")]
    values = [Value(WORKQUEUES, kernel_mask(rest))] if host.root.exists(WORKQUEUES) else []
    yield Step(f"socket {', '.join(map(str, sockets))} (CPUs {cpus_text(cpus)}) for the tools alone", "the report's `tuna -S -C -i`: "
               "services move away; a login's own programs (user.slice) may still be put there with taskset",
               (*commands, *values))


def interrupt_steps(host, interfaces, interrupts, cpus):
    numbers = {}
    for interface, cpu in zip(interfaces, interrupts):
        for port in host.ports.values():
            if interface in port.interfaces:
                numbers |= {number: cpu for number in host.root.names(f"/sys/bus/pci/devices/{port.pci}/msi_irqs")
                            if host.root.exists(f"/proc/irq/{number}/smp_affinity_list")}
    yield from plan_cpus.movable_interrupts(host, cpus, leave=numbers)
    places = ", ".join(f"{interface} on {cpu}" for interface, cpu in zip(interfaces, interrupts))
    yield Step(f"interrupts of the measured interfaces: {places}", "one named core each, as in the report: no two runs then differ by "
               "where the interrupts happened to be", tuple(Value(f"/proc/irq/{number}/smp_affinity_list", str(cpu))
                                                            for number, cpu in sorted(numbers.items(), key=lambda each: int(each[0]))))


def sysctls(host, interfaces):
    pairs = [*SYSCTLS, *((f"net/ipv4/conf/{interface}/arp_filter", "1") for interface in interfaces)]
    text = "".join(f"{name} = {value}\n" for name, value in pairs)
    values = [Value(f"/proc/sys/{name}", value) for name, value in pairs if host.root.exists(f"/proc/sys/{name}")]
    head = "# SPDX-License-Identifier: Apache-2.0\n# Written by godwit-host prepare --client; --undo removes it.\n"
    return Step("sysctls of the kernel's TCP", "larger socket buffers and backlog, and ARP answered by the interface that was asked, for "
                "rows over kernel sockets; the bypass does not see them", (File(SYSCTL, head + text), *values))


def placements(host, sockets, interrupts):
    """The words to paste, one guest each."""
    for number, cpu in enumerate(interrupts):
        cpus = host.sockets[sockets[min(number, len(sockets) - 1)]]
        yield (f"guest {number + 1}: taskset {mask(cpus)} godwit-perftest -b GUEST{number + 1} --count 500000 --nsubs 1 --npubs 1 --qt 4 "
               "--size SIZE --bounds-multiplier 102400 --summary")
        yield (f"guest {number + 1}: taskset {mask([cpu])} godwit-latencytest -b GUEST{number + 1} --rate 1000 --queues 1 --size SIZE "
               "--bounds-multiplier 1 --tcp-nodelay --csv")
    yield "bench/compare's profiles place both by `cpus` of the section `client`."
    yield "Services and sysctls stay as they are over a reboot; the rest ends with it: --undo and --apply do it again."
