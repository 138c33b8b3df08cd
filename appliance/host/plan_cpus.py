# SPDX-License-Identifier: Apache-2.0
"""Steps that host and measuring machine have in common: cores that run at full speed and are left alone."""
from check_cpus import sleeps
from host import CPU
from steps import Command, File, Step, Value
from units import cpus_text, kernel_cpus, kernel_mask

IRQBALANCE = "/etc/systemd/system/irqbalance.service.d/godwit.conf"
# What the report turns off, as today's units are named. What is not installed is not touched; haldaemon, kudzu, isdn, rhnsd
# and yum-updatesd have no heirs that run beside a measurement but unattended-upgrades and packagekit, and messagebus (dbus)
# is what systemd itself talks by.
SERVICES = ("auditd", "avahi-daemon", "anacron", "qpidd", "smartmontools", "smartd", "cron", "opensm", "collectd", "bluetooth",
            "cups", "cups-browsed", "mcstrans", "mdmonitor", "restorecond", "rpc-gssd", "setroubleshootd", "packagekit",
            "unattended-upgrades")
UNITS = ("/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system")
THP = "/sys/kernel/mm/transparent_hugepage/enabled"


def governor(host, cpus):
    values = [Value(f"{CPU}/cpu{cpu}/cpufreq/scaling_governor", "performance") for cpu in sorted(cpus)
              if host.root.text(f"{CPU}/cpu{cpu}/cpufreq/scaling_governor") not in ("", "performance")]
    if values:
        yield Step(f"governor performance on CPUs {cpus_text(cpus)}", "these cores are to run at full speed, always; the report set "
                   "Maximum Performance in the firmware", tuple(values))


def c_states(host, cpus):
    values = []
    for cpu in sorted(cpus):
        deep = sleeps(host, cpu)
        for state in host.root.names(f"{CPU}/cpu{cpu}/cpuidle"):
            if host.root.text(f"{CPU}/cpu{cpu}/cpuidle/{state}/name") in deep:
                values.append(Value(f"{CPU}/cpu{cpu}/cpuidle/{state}/disable", "1"))
    if values:
        yield Step(f"no deep C-states on CPUs {cpus_text(cpus)}", "to wake from them takes longer than a message through the broker; "
                   "the report disabled them in the firmware, for all cores", tuple(values))


def huge_page_daemon(host):
    if host.root.text(THP).startswith("[always]") or " [always]" in host.root.text(THP):
        yield Step("transparent hugepages by request only", "khugepaged moves the memory of running programs about; guests have real "
                   "hugepages", (Value(THP, "madvise"), ))


def movable_interrupts(host, cpus, leave=(), new=True):
    """Interrupts that may come to these CPUs go elsewhere; leave: those that are placed on purpose, or go away; new: whether
    later ones begin elsewhere, too."""
    values, rest = [], [cpu for cpu in host.cpus if cpu not in cpus]
    for number in sorted((name for name in host.root.names("/proc/irq") if name.isdigit()), key=int):
        path = f"/proc/irq/{number}/smp_affinity_list"
        allowed = kernel_cpus(host.root.text(path))
        if number not in leave and set(allowed) & set(cpus):
            kept = [cpu for cpu in allowed if cpu not in cpus] or rest
            values.append(Value(path, cpus_text(kept), tolerant=True))
    if new:
        values.append(Value("/proc/irq/default_smp_affinity", kernel_mask(rest)))
    if values:
        yield Step(f"interrupts leave CPUs {cpus_text(cpus)}", "an interrupt of another device takes microseconds from what runs here; "
                   "what the kernel itself has spread (managed) it does not give away", tuple(values))


def irqbalance_off(host):
    commands = tuple(off(host, "irqbalance.service"))
    if commands:
        yield Step("irqbalance off", "it would bring interrupts back that are to be on named cores; the report stops it, too", commands)


def irqbalance_bans(host, cpus):
    if host.root.exists("/usr/sbin/irqbalance"):
        content = (f"# SPDX-License-Identifier: Apache-2.0\n# Written by godwit-host prepare; `godwit-host prepare --undo` removes it.\n"
                   f"[Service]\nEnvironment=IRQBALANCE_BANNED_CPULIST={cpus_text(cpus)}\n")
        yield Step("irqbalance keeps off", "it would bring interrupts back; a drop-in of our own leaves /etc/default/irqbalance alone",
                   (*after_undo("try-restart", "irqbalance.service"), File(IRQBALANCE, content),
                    Command(("systemctl", "daemon-reload")), Command(("systemctl", "try-restart", "irqbalance.service"))))


def after_undo(verb, unit):
    """In the order in which an undo, which goes backwards, meets them."""
    return Command((), ("systemctl", verb, unit)), Command((), ("systemctl", "daemon-reload"))


def services(host):
    commands = [command for name in SERVICES for command in off(host, f"{name}.service")]
    if commands:
        yield Step("services that the report turns off", "each of them wakes up now and then; none is needed for a measurement",
                   tuple(commands))


def off(host, unit):
    """Where it is there, and runs or starts by itself; `back` puts it to what it was."""
    if not any(host.root.exists(f"{folder}/{unit}") for folder in UNITS):
        return
    if any(host.root.exists(f"/etc/systemd/system/{folder}/{unit}") for folder in host.root.names("/etc/systemd/system")
           if folder.endswith(".wants")):
        yield Command(("systemctl", "disable", unit), ("systemctl", "enable", unit))
    if host.root.exists(f"/sys/fs/cgroup/system.slice/{unit}"):
        yield Command(("systemctl", "stop", unit), ("systemctl", "start", unit))
