# SPDX-License-Identifier: Apache-2.0
"""The machine under all of it: what it is, and what it did meanwhile."""
import datetime
import os
import platform
import re
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


def read(path, default=""):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return default


def said(*command, cwd=None):
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def facts(root, cpus):
    """What a reader must know about the machine and the programs."""
    model = re.search(r"^model name\s*: (.*)$", read("/proc/cpuinfo"), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", read("/proc/meminfo"), re.M)
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cpus": os.cpu_count(),
        "used_cpus": list(cpus),
        "hypervisor": said("systemd-detect-virt", "--vm") or ("hypervisor" if " hypervisor" in read("/proc/cpuinfo") else "none"),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1) if memory else None,
        "hugepages": int(read("/proc/sys/vm/nr_hugepages", "0") or 0),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or "unknown",
        "isolated": read("/sys/devices/system/cpu/isolated").strip() or "none",
        "kernel": platform.release(),
        "system": re.sub(r'.*PRETTY_NAME="([^"]*)".*', r"\1", read("/etc/os-release"), flags=re.S),
        "dpdk": said("dpkg-query", "-W", "-f", "${Version}", "libdpdk-dev"),
        "commit": said("git", "describe", "--always", "--dirty", cwd=root) or "unknown",
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "load": os.getloadavg(),
    }


def cpu_ticks(stat):
    """/proc/stat: {cpu: {user, system, softirq, steal, idle}} in ticks."""
    ticks = {}
    for cpu, *numbers in re.findall(r"^cpu(\d+)" + r" (\d+)" * 8, stat, re.M):
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, numbers)
        ticks[int(cpu)] = {"user": user + nice, "system": system, "softirq": irq + softirq, "steal": steal,
                           "idle": idle + iowait}
    return ticks


def tree_seconds(root):
    """What a process and its descendants have used so far: {user, system} in seconds."""
    children, used = {}, {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        # The name in brackets may have any character.
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if len(fields) > 12:
            children.setdefault(int(fields[1]), []).append(pid)
            used[pid] = int(fields[11]), int(fields[12])
    total, left = [0, 0], [root]
    while left:
        pid = left.pop()
        left += children.get(pid, [])
        total = [a + b for a, b in zip(total, used.get(pid, (0, 0)))]
    return {"user": total[0] / TICKS, "system": total[1] / TICKS}


class Watch:
    """What the CPUs did from here to end()."""

    def __init__(self):
        self.load, self.began = os.getloadavg()[0], time.monotonic()
        self.first = cpu_ticks(read("/proc/stat"))

    def end(self, sides):
        """sides: {name: CPUs}. Seconds of each side's CPUs by kind, and the part of all of their time that was stolen."""
        last = cpu_ticks(read("/proc/stat"))
        result = {"load_before": round(self.load, 2), "load_after": round(os.getloadavg()[0], 2),
                  "seconds": round(time.monotonic() - self.began, 3)}
        stolen = total = 0
        for side, cpus in sides.items():
            spent = {kind: sum(last[cpu][kind] - self.first[cpu][kind] for cpu in cpus) for kind in last[cpus[0]]}
            stolen += spent["steal"]
            total += sum(spent.values())
            result[side] = {kind: round(ticks / TICKS, 3) for kind, ticks in spent.items()}
        result["steal"] = round(stolen / total, 5) if total else 0.0
        return result
