# SPDX-License-Identifier: Apache-2.0
"""A machine under all of it, this one or another: what it is, and what it did meanwhile."""
import datetime
import os
import re
import time

from target import HERE

# Linux tells CPU times to programs in the same unit everywhere.
TICKS = os.sysconf("SC_CLK_TCK")
CPUFREQ = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
# Each interface: its driver, where there is a device under it, its speed in Mb/s, where it has one, and its MTU.
INTERFACES = ('cd /sys/class/net; for i in *; do [ "$i" = lo ] && continue; driver=$(readlink "$i/device/driver"); '
              'speed=$(cat "$i/speed" 2>/dev/null); [ "${speed:--1}" -gt 0 ] || speed=; '
              'echo "$i ${driver:+${driver##*/}, }${speed:+$speed Mb/s, }MTU $(cat "$i/mtu")"; done')


def load_of(loadavg):
    return [float(word) for word in loadavg.split()[:3]]


def facts(root, cpus=None, target=HERE):
    """What a reader must know about the machine and the programs; cpus: those that are used, where it is not all; root:
    the sources, or None."""
    cpuinfo, meminfo, hugepages, governor, isolated, kernel, release, load, stat = target.read(
        "/proc/cpuinfo", "/proc/meminfo", "/proc/sys/vm/nr_hugepages", CPUFREQ, "/sys/devices/system/cpu/isolated",
        "/proc/sys/kernel/osrelease", "/etc/os-release", "/proc/loadavg", "/proc/stat")
    model = re.search(r"^model name\s*: (.*)$", cpuinfo, re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", meminfo, re.M)
    system = re.search(r'^PRETTY_NAME="([^"]*)"', release, re.M)
    present = sorted(cpu_ticks(stat))
    return {
        "cpu": model.group(1) if model else target.said("uname", "-m"),
        "cpus": len(present),
        "used_cpus": list(present if cpus is None else cpus),
        "hypervisor": target.said("systemd-detect-virt", "--vm") or ("hypervisor" if " hypervisor" in cpuinfo else "none"),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1) if memory else None,
        "hugepages": int(hugepages or 0),
        "interfaces": target.said("sh", "-c", INTERFACES).splitlines(),
        "governor": governor.strip() or "unknown",
        "isolated": isolated.strip() or "none",
        "kernel": kernel.strip(),
        "system": system.group(1) if system else "unknown",
        "dpdk": target.said("dpkg-query", "-W", "-f", "${Version}", "libdpdk-dev"),
        # As root also in somebody else's tree.
        "commit": root and target.said("git", "-c", "safe.directory=*", "-C", root, "describe", "--always", "--dirty")
                  or "unknown",
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "load": load_of(load),
    }


def cpu_ticks(stat):
    """/proc/stat: {cpu: {user, system, softirq, steal, idle}} in ticks."""
    ticks = {}
    for cpu, *numbers in re.findall(r"^cpu(\d+)" + r" (\d+)" * 8, stat, re.M):
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, numbers)
        ticks[int(cpu)] = {"user": user + nice, "system": system, "softirq": irq + softirq, "steal": steal,
                           "idle": idle + iowait}
    return ticks


def backlog_dropped(softnet):
    """/proc/net/softnet_stat: packets dropped since net.core.netdev_max_backlog of them waited, of all CPUs."""
    return sum(int(line.split()[1], 16) for line in softnet.splitlines())


def tree_seconds(root, target=HERE):
    """What a process and its descendants have used so far: {user, system} in seconds."""
    children, used = {}, {}
    for line in target.read_all("/proc/[0-9]*/stat").splitlines():
        # The name in brackets may have any character.
        pid, fields = line.split(" ", 1)[0], line.rpartition(")")[2].split()
        if len(fields) > 12 and pid.isdigit():
            children.setdefault(int(fields[1]), []).append(int(pid))
            used[int(pid)] = int(fields[11]), int(fields[12])
    total, left = [0, 0], [root]
    while left:
        pid = left.pop()
        left += children.get(pid, [])
        total = [a + b for a, b in zip(total, used.get(pid, (0, 0)))]
    return {"user": total[0] / TICKS, "system": total[1] / TICKS}


class Watch:
    """What the CPUs did from here to end()."""

    def __init__(self, target=HERE):
        self.target = target
        self.first, self.load, self.dropped = self.now()
        self.began = time.monotonic()

    def now(self):
        stat, load, softnet = self.target.read("/proc/stat", "/proc/loadavg", "/proc/net/softnet_stat")
        return cpu_ticks(stat), load_of(load)[0], backlog_dropped(softnet)

    def end(self, sides):
        """sides: {name: CPUs}, of all of them where CPUs is None. Seconds of each side's CPUs by kind, and the part of all of
        their time that was stolen."""
        last, load, dropped = self.now()
        result = {"load_before": round(self.load, 2), "load_after": round(load, 2),
                  "seconds": round(time.monotonic() - self.began, 3), "backlog_dropped": dropped - self.dropped}
        for side, cpus in sides.items():
            cpus = sorted(last) if cpus is None else cpus
            spent = {kind: sum(last[cpu][kind] - self.first[cpu][kind] for cpu in cpus) for kind in last[cpus[0]]}
            result[side] = {kind: round(ticks / TICKS, 3) for kind, ticks in spent.items()}
        result["steal"] = stolen([result[side] for side in sides])
        return result


def stolen(spent):
    """The part of these CPU times that the hypervisor took."""
    total = sum(sum(one.values()) for one in spent)
    return round(sum(one["steal"] for one in spent) / total, 5) if total else 0.0


def together(spent):
    """The sum of CPU times."""
    return {kind: round(sum(one[kind] for one in spent), 3) for kind in spent[0]}
