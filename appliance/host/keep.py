# SPDX-License-Identifier: Apache-2.0
"""Which files of a host tell what godwit-host looks at, and what of them may be kept: a list of what is allowed, so that
what nobody thought of stays out."""
import fnmatch
import os
import re

# Files whose text is kept as it is, by glob. One * is one name.
TEXTS = (
    "/proc/sys/kernel/osrelease", "/proc/sys/vm/swappiness", "/proc/irq/default_smp_affinity",
    "/proc/irq/*/smp_affinity_list",
    "/sys/class/iommu/*/intel-iommu/cap",
    "/sys/bus/workqueue/devices/cpumask", "/sys/devices/virtual/workqueue/cpumask",
    "/sys/devices/system/cpu/online", "/sys/devices/system/cpu/isolated", "/sys/devices/system/cpu/nohz_full",
    "/sys/devices/system/cpu/cpu*/topology/physical_package_id",
    "/sys/devices/system/cpu/cpu*/topology/thread_siblings_list",
    "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    "/sys/devices/system/cpu/cpu*/cpuidle/state*/name", "/sys/devices/system/cpu/cpu*/cpuidle/state*/latency",
    "/sys/devices/system/cpu/cpu*/cpuidle/state*/disable",
    "/sys/devices/system/node/node*/cpulist",
    "/sys/devices/system/node/node*/hugepages/hugepages-*/nr_hugepages",
    "/sys/devices/system/node/node*/hugepages/hugepages-*/free_hugepages",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
    "/etc/tuned/active_profile",
    "/proc/sys/net/core/[rw]mem_*", "/proc/sys/net/core/netdev_max_backlog", "/proc/sys/net/ipv4/tcp_*mem",
    "/proc/sys/net/ipv4/conf/*/arp_filter",
)
# Whether these exist is all that matters.
PRESENT = (
    "/dev/kvm", "/sys/firmware/acpi/tables/DMAR", "/sys/firmware/acpi/tables/IVRS", "/usr/bin/qemu-system-x86_64",
    "/usr/bin/virsh", "/usr/sbin/update-grub", "/usr/sbin/irqbalance", "/lib/systemd/system/*.service",
    "/etc/systemd/system/*.wants/*.service", "/sys/kernel/iommu_groups/*/devices/*",
)
FOLDERS = ("/sys/class/iommu/*", "/sys/module/vfio_pci", "/sys/bus/pci/drivers/vfio-pci", "/etc/default/grub.d",
           "/sys/fs/cgroup/system.slice/*.service")
NETWORK_CLASS = "0x02"
PCI_TEXTS = ("vendor", "device", "class", "numa_node", "driver_override", "current_link_speed", "current_link_width",
             "max_link_speed", "max_link_width", "sriov_numvfs")
# Units whose names are the host's own business stay out.
SERVICES = ("auditd", "avahi-daemon", "anacron", "qpidd", "smartd", "smartmontools", "cron", "opensm", "collectd", "bluetooth",
            "cups", "cups-browsed", "mcstrans", "mdmonitor", "restorecond", "rpc-gssd", "setroubleshootd", "packagekit",
            "unattended-upgrades", "irqbalance", "tuned")
PROGRAMS = ("irqbalance", "tuned", "ksmtuned", "libvirtd", "virtqemud")
PARAMETERS = re.compile(r"(intel_iommu|amd_iommu|iommu|isolcpus|nohz|nohz_full|rcu_nocbs|irqaffinity|(default_)?hugepagesz|hugepages|"
                        r"transparent_hugepage|intel_idle\.max_cstate|processor\.max_cstate|idle|intel_pstate|mitigations|nosmt|"
                        r"pcie_aspm|pcie_acs_override|pci|vfio[-_a-z0-9]*\.\w+|kvm[-_a-z0-9]*\.\w+|nmi_watchdog|skew_tick|tsc|"
                        r"clocksource|elevator|divider)(=[\w.,:-]*)?")


def entries(root):
    """(path, kind, lines or target) of all that is kept."""
    for pattern in TEXTS:
        for path in globbed(root, pattern):
            text = root.raw(path)
            if text is not None:
                yield path, "file", text.split("\n")
    for pattern in PRESENT:
        for path in globbed(root, pattern):
            if not path.endswith(".service") or os.path.basename(path).removesuffix(".service") in SERVICES:
                yield path, "file", []
    for pattern in FOLDERS:
        for path in globbed(root, pattern):
            if ".service" not in path or os.path.basename(path).removesuffix(".service") in SERVICES:
                yield path, "folder", ""
    for pci in root.names("/sys/bus/pci/devices"):
        yield from pci_device(root, f"/sys/bus/pci/devices/{pci}")
    for interface in root.names("/sys/class/net"):
        yield from interface_entries(root, f"/sys/class/net/{interface}")
    yield from excerpts(root)


def globbed(root, pattern):
    paths = [""]
    for part in pattern.strip("/").split("/"):
        if "*" in part or "[" in part:
            paths = [f"{path}/{name}" for path in paths for name in fnmatch.filter(root.names(path or "/"), part)]
        else:
            paths = [f"{path}/{part}" for path in paths]
    return [path for path in paths if root.exists(path)]


def kept_link(root, path):
    """Its target by the last name, whatever the folders on the way are."""
    target = root.link(path)
    if target:
        yield path, "link", f"../{target}"


def pci_device(root, at):
    kind = root.text(f"{at}/class")
    for name in ("vendor", "device", "class"):
        yield f"{at}/{name}", "file", [root.text(f"{at}/{name}")]
    yield from kept_link(root, f"{at}/iommu_group")
    yield from kept_link(root, f"{at}/driver")
    if not kind.startswith(NETWORK_CLASS):
        return
    for name in PCI_TEXTS[3:]:
        text = root.raw(f"{at}/{name}")
        if text is not None:
            yield f"{at}/{name}", "file", [text.strip()]
    yield from kept_link(root, f"{at}/physfn")
    yield from kept_link(root, f"{at}/iommu")
    for folder in ("net", "msi_irqs"):
        for name in root.names(f"{at}/{folder}"):
            yield f"{at}/{folder}/{name}", "folder" if folder == "net" else "file", []


def interface_entries(root, at):
    for name in root.names(at):
        if name.startswith("upper_"):
            yield from kept_link(root, f"{at}/{name}")
    for name in ("operstate", "speed", "mtu"):
        text = root.raw(f"{at}/{name}")
        if text is not None:
            yield f"{at}/{name}", "file", [text]


def excerpts(root):
    """Files of which a part is kept."""
    yield "/proc/cmdline", "file", [" ".join(parameters(root.text("/proc/cmdline")))]
    yield "/proc/cpuinfo", "file", first_cpu(root.lines("/proc/cpuinfo"))
    yield "/proc/interrupts", "file", [re.sub(r"(?<=:)(\s+\d+)+(?=\s)", " 0", line) for line in root.lines("/proc/interrupts")
                                       if "MSI" in line]
    yield "/proc/net/route", "file", [default_route(line) for line in root.lines("/proc/net/route")
                                      if re.match(r"Iface|\S+\t0{8}\t", line)]
    yield "/proc/net/ipv6_route", "file", [re.sub(r"\b(?!0{32})[0-9a-f]{32}\b", "0" * 32, line)
                                           for line in root.lines("/proc/net/ipv6_route") if re.match(r"0{32} 00 ", line)]
    yield "/proc/self/limits", "file", [line for line in root.lines("/proc/self/limits") if "locked memory" in line]
    yield "/proc/swaps", "file", [re.sub(r"^/\S+", "/swap", line) for line in root.lines("/proc/swaps")]
    grub = [" ".join(parameters(line.partition("=")[2].strip("\"'"))) for line in root.lines("/etc/default/grub")
            if line.startswith("GRUB_CMDLINE_LINUX")]
    if root.exists("/etc/default/grub"):
        yield "/etc/default/grub", "file", [f'GRUB_CMDLINE_LINUX="{" ".join(filter(None, grub))}"']
    release = root.text("/proc/sys/kernel/osrelease")
    modules = [line.split(":")[0] + ":" for line in root.lines(f"/lib/modules/{release}/modules.dep") if "/vfio-pci.ko" in line]
    yield f"/lib/modules/{release}/modules.dep", "file", modules
    for number in root.names("/proc"):
        if number.isdigit() and root.text(f"/proc/{number}/comm") in PROGRAMS:
            yield f"/proc/{number}/comm", "file", [root.text(f"/proc/{number}/comm")]


def parameters(command_line):
    return [word for word in command_line.split() if PARAMETERS.fullmatch(word)]


def first_cpu(lines):
    """What kind it is: no frequencies, which change, and no more than one."""
    kept = []
    for line in lines:
        if not line.strip():
            break
        if re.match(r"(processor|vendor_id|cpu family|model|model name|stepping|flags)\s*:", line):
            kept.append(line)
    return kept


def default_route(line):
    """The interface; the gateway's address is nobody's business."""
    fields = line.split("\t")
    return line if fields[0] == "Iface" else "\t".join([fields[0], fields[1], "00000000", *fields[3:]])
