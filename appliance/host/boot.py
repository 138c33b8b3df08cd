# SPDX-License-Identifier: Apache-2.0
"""What lasts over a reboot: one script and two units that run it.

Why not modprobe.d or udev: `options vfio-pci ids=` takes all ports of a kind, also the one that the host keeps; a udev rule
comes too late for a port whose driver was loaded from the initramfs, or for another port's sake. A unit before the network
sets driver_override, which then also holds against a driver that is loaded later, and takes a port back that is bound
already. The second unit runs late: governors and interrupts are there only then."""
from steps import Command, File, Link, Pages, Step, Value

SCRIPT = "/etc/godwit-host/boot"
UNITS = "/etc/systemd/system"
WANTS = f"{UNITS}/multi-user.target.wants"
HEAD = "# SPDX-License-Identifier: Apache-2.0\n# Written by godwit-host prepare; `godwit-host prepare --undo` removes it.\n"

SHELL = """#!/bin/sh
{head}failed=0
write()
{{
	echo "$2" >"$1" || failed=1
}}
driver()
{{
	basename "$(readlink "/sys/bus/pci/devices/$1/driver")"
}}
bind()
{{
	echo vfio-pci >"/sys/bus/pci/devices/$1/driver_override"
	[ "$(driver "$1")" = vfio-pci ] && return
	[ -e "/sys/bus/pci/devices/$1/driver" ] && echo "$1" >"/sys/bus/pci/devices/$1/driver/unbind"
	echo "$1" >/sys/bus/pci/drivers_probe
	[ "$(driver "$1")" = vfio-pci ] || failed=1
}}
case $1 in
early)
	{early}
	;;
late)
	{late}
	;;
esac
exit $failed
"""

EARLY = HEAD + """[Unit]
Description=Godwit: ports and hugepages for guests
DefaultDependencies=no
After=local-fs.target systemd-modules-load.service systemd-udevd.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/etc/godwit-host/boot early

[Install]
WantedBy=multi-user.target
"""
LATE = HEAD + """[Unit]
Description=Godwit: cores and interrupts for guests
After=network.target irqbalance.service
Before=libvirtd.service virtqemud.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/etc/godwit-host/boot late

[Install]
WantedBy=multi-user.target
"""


def script(ports, steps):
    """The same as the steps do now, by the plainest of means."""
    operations = [operation for step in steps for operation in step.operations]
    early = [f"write {operation.path} '{operation.value}'" for operation in operations if isinstance(operation, Pages)]
    late = [f"write {operation.path} '{operation.value}'" for operation in operations
            if isinstance(operation, Value) and not isinstance(operation, Pages) and lasting(operation)]
    bind = [f"bind {port.pci}" for port in ports]
    return SHELL.format(head=HEAD, early="\n\t".join(["modprobe vfio-pci", *bind, *early]), late="\n\t".join(late))


def lasting(operation):
    """Numbers of interrupts are others after a boot: what is new begins at default_smp_affinity."""
    return not operation.path.startswith("/proc/irq/") or operation.path.endswith("default_smp_affinity")


def step(ports, steps):
    units = [operation for name, content in (("godwit-host", EARLY), ("godwit-host-late", LATE))
             for operation in (File(f"{UNITS}/{name}.service", content), Link(f"{WANTS}/{name}.service", f"../{name}.service"))]
    return Step("the same at each boot", "what sysfs and procfs were told is forgotten at the next start; the units run before the "
                "network and before libvirt", (Command((), ("systemctl", "daemon-reload")), File(SCRIPT, script(ports, steps), 0o755),
                                               *units, Command(("systemctl", "daemon-reload"))))
