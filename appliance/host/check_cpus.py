# SPDX-License-Identifier: Apache-2.0
"""The points of `check` about CPUs, memory and what disturbs them."""
import re

from finding import BETTER, NEEDED, NOTE, OK, Finding, judged
from host import CPU, PAGE_BYTES
from units import cpus_text, kernel_cpus, size_text

# A core that sleeps deeper than this is felt in a latency of some microseconds.
WAKE_US = 10


def isolated(host):
    return kernel_cpus(host.root.text(f"{CPU}/isolated"))


def chosen_cpus(host, cpus):
    """Those of --cpus, else those that are isolated already."""
    return cpus or isolated(host)


def isolation(host, cpus):
    lists = {"isolcpus": isolated(host), "nohz_full": kernel_cpus(host.root.text(f"{CPU}/nohz_full")),
             "rcu_nocbs": kernel_cpus(host.parameters.get("rcu_nocbs", ""))}
    whys = {"isolcpus": "the scheduler puts other work onto the guest's cores: gaps of milliseconds",
            "nohz_full": "the timer's tick interrupts a core that polls, 250 times a second or more",
            "rcu_nocbs": "the kernel frees memory on the guest's cores"}
    do = "`godwit-host prepare --cpus ...` writes the kernel parameters"
    if not host.root.exists(f"{CPU}/nohz_full"):
        del lists["nohz_full"]
        yield Finding("nohz_full", NOTE, "this kernel is built without it", "its tick interrupts also a core that polls", "take a kernel "
                      "with CONFIG_NO_HZ_FULL, if tails matter")
    for name, have in lists.items():
        good = bool(cpus) and set(cpus) <= set(have)
        yield judged(name, good, cpus_text(have) or "no CPU", BETTER, whys[name], do)
    if cpus:
        left = sorted({other for cpu in cpus for other in host.siblings(cpu)} - set(cpus) - set(lists["isolcpus"]))
        yield judged("hyperthread siblings", not left, f"{cpus_text(left)} may be used by others" if left else "free of other work",
                     BETTER, "two threads share one core: what runs on the sibling takes its time from the guest",
                     "give the guest both threads of a core, or take the sibling offline (echo 0 > .../cpuN/online)")


def power(host, cpus):
    cpus = cpus or host.cpus
    governors = {cpu: host.root.text(f"{CPU}/cpu{cpu}/cpufreq/scaling_governor") for cpu in cpus}
    slow = [cpu for cpu, governor in governors.items() if governor not in ("", "performance")]
    found = "performance" if any(governors.values()) else "the firmware's: the kernel has no say"
    yield judged("governor", not slow, f"{governors[slow[0]]} on {cpus_text(slow)}" if slow else found, BETTER,
                 "a core that is clocked down takes longer for everything, and a while to come up",
                 "`godwit-host prepare` sets performance on the guest's cores")
    deep = {cpu: sleeps(host, cpu) for cpu in cpus}
    sleepers = [cpu for cpu in cpus if deep[cpu]]
    found = f"{deep[sleepers[0]][0]} and deeper on {cpus_text(sleepers)}" if sleepers else f"none takes more than {WAKE_US} us to leave"
    yield judged("C-states", not sleepers, found, BETTER,
                 "a vCPU that halts puts its core to sleep, and waking costs up to a hundred microseconds",
                 "`godwit-host prepare` disables them on the guest's cores; the firmware can do it for all")


def sleeps(host, cpu):
    """Names of states that take too long to leave and are allowed."""
    states = []
    for state in host.root.names(f"{CPU}/cpu{cpu}/cpuidle"):
        at = f"{CPU}/cpu{cpu}/cpuidle/{state}"
        if host.root.number(f"{at}/latency") > WAKE_US and host.root.text(f"{at}/disable") == "0":
            states.append(host.root.text(f"{at}/name"))
    return states


def disturbers(host, cpus):
    running = "irqbalance" in host.programs
    kept = set(cpus) <= set(isolated(host)) and bool(cpus)
    found = "not running" if not running else "running; it leaves isolated CPUs alone" if kept else "running"
    yield judged("irqbalance", not running or kept, found, BETTER, "it moves interrupts of other devices onto the guest's cores",
                 "`godwit-host prepare` bans these cores")
    tuned = "tuned" in host.programs
    yield Finding("tuned", NOTE if tuned else OK, f"running, profile {host.root.text('/etc/tuned/active_profile') or 'unknown'}" if tuned
                  else "not running", "it sets governor, hugepages and more, and may undo what `prepare` does",
                  "tuned-adm off, or let a profile of your own say the same")
    words = host.root.text("/sys/kernel/mm/transparent_hugepage/enabled")
    match = re.search(r"\[(\w+)\]", words)
    mode = match.group(1) if match else "absent"
    yield judged("transparent hugepages", mode != "always", mode, BETTER,
                 "khugepaged moves memory of running programs about; the guest's own memory is of real hugepages",
                 "`godwit-host prepare` sets madvise")
    swaps = [line.split()[0] for line in host.root.lines("/proc/swaps")[1:] if line.strip()]
    yield Finding("swap", NOTE if swaps else OK, ", ".join(swaps) or "none",
                  "the guest's memory is never swapped, but QEMU's own may be", "swapoff -a, if the memory suffices")


def memory(host, port_list, cpus, wanted):
    """Hugepages by node; wanted: bytes of guest memory, or 0."""
    nodes = sorted({host.node_for(port, cpus) for port in port_list}) if port_list and (cpus or all(
        port.node >= 0 for port in port_list)) else sorted(host.nodes)
    for node in nodes:
        have = {size: (host.pages(node, size, "nr"), host.pages(node, size, "free")) for size in ("1G", "2M")}
        found = ", ".join(f"{max(free, 0)} of {number} of {size} free" for size, (number, free) in have.items() if number >= 0)
        most = max(max(free, 0) * PAGE_BYTES[size] for size, (_, free) in have.items())
        good = most >= wanted if wanted else most > 0
        do = f"`godwit-host prepare --hugepages-{'1g' if host.has_gib_pages else '2m'} N` reserves them"
        yield judged(f"hugepages on node {node}", good, found or "the kernel has none",
                     NEEDED if len(nodes) == 1 or wanted else NOTE,
                     f"a guest's memory lies in them{f', {size_text(wanted)} of one size' if wanted else ''}: one look-up for 2 MiB or "
                     "1 GiB instead of 4 KiB, also in the IOMMU", do)


def memory_lock(host, port_list):
    """A limit of programs that are not privileged; libvirt sets the domain's own."""
    for line in host.root.lines("/proc/self/limits"):
        words = line.split("  ")
        soft = next((word.strip() for word in words[1:] if word.strip()), "")
        if "locked memory" in line:
            unlimited = soft == "unlimited"
            found = "unlimited" if unlimited else f"{size_text(int(soft))} for a program that is not privileged"
            count = max(len(port_list), 1)
            yield Finding("memory lock", OK if unlimited else NOTE, found,
                          "vfio locks the guest's memory, behind an emulated IOMMU once for each port "
                          f"({count} x memory + 1 GiB here)",
                          "nothing for root and libvirt (`define` writes hard_limit); for others: memlock in /etc/security/limits.d")
