# SPDX-License-Identifier: Apache-2.0
"""The steps of `prepare` for a host of appliances."""
import re

import boot
import plan_cpus
from errors import Misuse
from host import NODE, PAGES
from steps import Bind, Command, File, Pages, Step, Value
from units import cpu_list, cpus_text, kernel_mask, pci_list

GRUB, UPDATE_GRUB = "/etc/default/grub.d/godwit.cfg", "/usr/sbin/update-grub"
PARAMETERS = ("isolcpus", "nohz_full", "rcu_nocbs")


def plan(host, args):
    """Steps, and remarks for the end."""
    if not args.ports or not args.cpus:
        raise Misuse("prepare: wants --ports (what guests will drive) and --cpus (what guests will run on), or --client")
    ports = host.ports_to_take(pci_list(args.ports, "--ports"))
    cpus = cpu_list(args.cpus, "--cpus")
    host.check_cpus(cpus)
    if set(cpus) >= set(host.cpus):
        raise Misuse(f"--cpus {args.cpus}: that is all of them: the host needs at least one CPU for itself")
    interrupts = interrupt_cpus(host, args, cpus)
    pages = page_counts(host, args, ports, cpus)
    words = parameters(host, cpus, pages)
    steps = [*binding(host, ports), *huge_pages(host, pages), *boot_loader(host, words),
             *plan_cpus.governor(host, cpus), *plan_cpus.c_states(host, cpus), *(plan_cpus.irqbalance_off(host) if interrupts else plan_cpus.irqbalance_bans(host, cpus)),
             *interrupts_placed(host, ports, cpus, interrupts),
             *plan_cpus.huge_page_daemon(host)]
    if args.services:
        steps += plan_cpus.services(host)
    steps.append(boot.step(ports, steps))
    return steps, list(remarks(host, ports, pages, words))


def interrupt_cpus(host, args, cpus):
    """Where the ports' own interrupts go; by default wherever other interrupts do."""
    chosen = cpu_list(args.interrupts, "--interrupts") if args.interrupts else ()
    host.check_cpus(chosen, "--interrupts")
    both = set(chosen) & set(cpus)
    if both:
        raise Misuse(f"--interrupts: CPU {min(both)} is one of --cpus: interrupts would take its time from the guest")
    return chosen


def page_counts(host, args, ports, cpus):
    """{(node, size): pages}"""
    if args.hugepages_1g and args.hugepages_2m:
        raise Misuse("prepare: --hugepages-1g or --hugepages-2m, not both: a guest's memory lies in pages of one size")
    size = "1G" if args.hugepages_1g else "2M"
    text = args.hugepages_1g or args.hugepages_2m
    option = f"--hugepages-{size.lower()}"
    if not text:
        return {}
    if size == "1G" and not host.has_gib_pages:
        raise Misuse(f"{option}: this CPU has no pages of 1 GiB (flag pdpe1gb): --hugepages-2m")
    nodes = sorted({port.node for port in ports if port.node in host.nodes} or {host.node_of(cpu) for cpu in cpus})
    counts = {}
    for part in text.split(","):
        match = re.fullmatch(r"(?:(\d+):)?([1-9]\d*)", part)
        if not match:
            raise Misuse(f"{option} {text}: wants a number of pages for each of the ports' nodes, or NODE:NUMBER,...")
        for node in [int(match.group(1))] if match.group(1) else nodes:
            if node not in host.nodes:
                raise Misuse(f"{option} {text}: there is no NUMA node {node}; there are {', '.join(map(str, host.nodes))}")
            counts[node, size] = int(match.group(2))
    return counts


def binding(host, ports):
    """Where the IOMMU is still off no port can be bound: the unit does it at the next start."""
    names = ", ".join(f"{port.pci} ({now(port)})" for port in ports)
    load = [Command(("modprobe", "vfio-pci"), ("modprobe", "-r", "vfio-pci"), tolerant=True)]
    if host.root.exists("/sys/module/vfio_pci"):
        load = []
    yield Step(f"ports to vfio-pci: {names}", "vfio-pci holds a port for a guest, confined by the IOMMU; driver_override names the "
               "device itself, where `ids=` of modprobe.d would take every port of its kind",
               (*load, *(Bind(port.pci, "vfio-pci") for port in ports)) if host.iommus else (), reboot=not host.iommus)


def now(port):
    return f"now {port.driver or 'free'}{', ' + ' '.join(port.interfaces) if port.interfaces else ''}"


def huge_pages(host, pages):
    values = []
    for (node, size), count in pages.items():
        have = host.pages(node, size, "nr")
        if have < 0:
            raise Misuse(f"--hugepages-{size.lower()}: this kernel has no pages of that size on node {node}")
        # Also where there are enough now: the next start asks for them again.
        values.append(Pages(f"{NODE}/node{node}/hugepages/{PAGES[size]}/nr_hugepages", str(max(have, count)), tolerant=size == "1G"))
    if values:
        yield Step("hugepages", "the guest's memory lies in them, on the port's NUMA node: the processor and the IOMMU look an address "
                   "up in one step, and nothing of it is ever swapped or moved", tuple(values))


def parameters(host, cpus, pages):
    """Words for the kernel. The user's stay his, and a contradiction is his to resolve."""
    folder = "/etc/default/grub.d"
    for path in ("/etc/default/grub", *(f"{folder}/{name}" for name in host.root.names(folder))):
        theirs = " ".join(line for line in host.root.lines(path) if line.startswith("GRUB_CMDLINE_LINUX"))
        for name in PARAMETERS if path != GRUB else ():
            if re.search(rf"[\s\"']{name}=", theirs):
                raise Misuse(f"{path} sets {name}= already, and two of them contradict each other: take it out there, which is "
                             "yours to edit")
    chosen = cpus_text(cpus)
    words = [*(() if host.is_amd else ("intel_iommu=on", )), "iommu=pt", f"isolcpus=managed_irq,domain,{chosen}", f"nohz_full={chosen}",
             f"rcu_nocbs={chosen}"]
    gigantic = ",".join(f"{node}:{count}" for (node, size), count in pages.items() if size == "1G")
    if gigantic:
        words += ["hugepagesz=1G", f"hugepages={gigantic}"]
    return words


def boot_loader(host, words):
    """Where grub is not Debian's, the words are a remark instead."""
    if not host.root.exists(UPDATE_GRUB):
        return
    content = ("# SPDX-License-Identifier: Apache-2.0\n# Written by godwit-host prepare; `godwit-host prepare --undo` removes it.\n"
               f'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {" ".join(words)}"\n')
    update = ("update-grub", )
    yield Step("kernel parameters", "the IOMMU on, and not in the way of the host's own devices (pt); the guest's cores without other "
               "work, ticks and the kernel's callbacks; pages of 1 GiB before memory is in pieces. Rescue boots stay without",
               (Command((), update), File(GRUB, content), Command(update)), reboot=True)


def interrupts_placed(host, ports, cpus, interrupts):
    """Off the guests' CPUs, and the ports' own to the named ones. Those of the host's driver go away with it; those of vfio
    come when a guest starts, and begin where all new ones do."""
    of_port = {port.pci: [number for number in host.root.names(f"/sys/bus/pci/devices/{port.pci}/msi_irqs")
                          if host.root.exists(f"/proc/irq/{number}/smp_affinity_list")] for port in ports}
    going = [number for port in ports if port.driver != "vfio-pci" for number in of_port[port.pci]]
    staying = [number for port in ports if port.driver == "vfio-pci" for number in of_port[port.pci]] if interrupts else []
    yield from plan_cpus.movable_interrupts(host, cpus, leave=going + staying, new=not interrupts)
    if interrupts:
        values = [Value(f"/proc/irq/{number}/smp_affinity_list", cpus_text(interrupts), tolerant=True) for number in staying]
        yield Step(f"the ports' interrupts to CPU {cpus_text(interrupts)}", "as in the report; a port that is polled raises one when its "
                   "link changes, and no other. New interrupts begin here, so those of a guest that starts later do too",
                   (*values, Value("/proc/irq/default_smp_affinity", kernel_mask(interrupts))))


def remarks(host, ports, pages, words):
    if not pages:
        yield "No hugepages were asked for: --hugepages-1g N or --hugepages-2m N reserves a guest's memory."
    if "tuned" in host.programs:
        yield "tuned is running, and may set some of this back: tuned-adm off."
    if not host.root.exists(UPDATE_GRUB):
        yield f"There is no update-grub here: let your boot loader give the kernel these words: {' '.join(words)}"
    if not host.iommus:
        yield "The IOMMU is off: the ports are bound at the next start, if the firmware has it on (`godwit-host check`)."
    for port in ports:
        if port.interfaces:
            yield (f"{port.pci}: {' '.join(port.interfaces)} ({port.link}) disappears from this host, with all that goes by it; take it out "
                   "of the network's configuration.")
