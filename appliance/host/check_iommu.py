# SPDX-License-Identifier: Apache-2.0
"""The points of `check` about virtualization, the IOMMU and the ports."""
from finding import BETTER, NEEDED, NOTE, OK, Finding, judged
from host import describe

# vfio pins the guest at its own addresses, and DPDK in the guest uses virtual ones.
ADDRESS_BITS = 48


def virtualization(host):
    flag = "svm" if host.is_amd else "vmx"
    yield judged("virtualization in the CPU", flag in host.flags, flag if flag in host.flags else f"no {flag}", NEEDED,
                 "without it a guest is emulated, a hundred times slower", "enable Virtualization Technology (SVM on AMD) in the firmware")
    there = host.root.exists("/dev/kvm")
    yield judged("/dev/kvm", there, "there" if there else "not there", NEEDED, "QEMU runs the guest's CPUs by it",
                 f"modprobe kvm_{'amd' if host.is_amd else 'intel'}; if that fails, look at the firmware's setting")
    for program, package in (("/usr/bin/qemu-system-x86_64", "qemu-system-x86"), ("/usr/bin/virsh", "libvirt-clients")):
        there = host.root.exists(program)
        needed = NEEDED if package.startswith("qemu") else NOTE
        yield judged(program, there, "there" if there else "not there", needed,
                     "it runs the guest" if needed == NEEDED else "it takes what `define` writes; `define --print qemu` does without",
                     f"apt-get install {package}" + ("" if needed == NEEDED else " libvirt-daemon-system"))


def iommu(host, port_list):
    name, table = ("AMD-Vi", "IVRS") if host.is_amd else ("VT-d", "DMAR")
    there = host.root.exists(f"/sys/firmware/acpi/tables/{table}")
    yield judged(f"{name} in the firmware", there, f"table {table}" if there else f"no table {table}", NEEDED,
                 "the IOMMU confines a port that a guest drives to that guest's memory; without it none can be handed over",
                 f"enable {'IOMMU' if host.is_amd else 'VT for Directed I/O (VT-d)'} in the firmware, then power off and on")
    groups = host.root.names("/sys/kernel/iommu_groups")
    on = bool(host.iommus and groups)
    boot = "iommu=pt" if host.is_amd else "intel_iommu=on iommu=pt"
    yield judged(f"{name} in the kernel", on, f"{', '.join(host.iommus)}; {len(groups)} groups" if on else "off", NEEDED,
                 "vfio hands out IOMMU groups, and there are none", f"boot with {boot}: `godwit-host prepare` writes it"
                 if there else "first the setting in the firmware")
    if not on:
        return
    passthrough = host.parameters.get("iommu") == "pt"
    yield judged("iommu=pt", passthrough, "set" if passthrough else "not set", BETTER,
                 "the host's own devices otherwise go through translations too, which costs them time",
                 "`godwit-host prepare` writes it")
    yield remapping(host)
    yield from width(host, port_list)


def remapping(host):
    on = any(word.startswith("IR-") for line in host.root.lines("/proc/interrupts") for word in line.split())
    unsafe = host.root.text("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts") == "Y"
    found = "on" if on else "off, and vfio was told to do without" if unsafe else "off"
    return Finding("interrupt remapping", OK if on else NOTE if unsafe else NEEDED, found,
                   "without it a guest can forge interrupts of others, so vfio refuses (the chipsets 5500 and 5520 of early R710s have "
                   "it broken: the kernel turns it off)",
                   "update the firmware; where guests are trusted: options vfio_iommu_type1 allow_unsafe_interrupts=1 in /etc/modprobe.d")


def width(host, port_list):
    """MGAW, bits 21 to 16 of the capability register (VT-d specification, 11.4.2), of the ports' IOMMUs."""
    theirs = {host.root.link(f"/sys/bus/pci/devices/{port.pci}/iommu") for port in port_list}
    for name in sorted(theirs & set(host.iommus)):
        text = host.root.text(f"/sys/class/iommu/{name}/intel-iommu/cap")
        if text:
            bits = (int(text, 16) >> 16 & 0x3f) + 1
            yield judged(f"{name}: address width", bits >= ADDRESS_BITS, f"{bits} bits", NEEDED,
                         f"the guest's emulated IOMMU has {ADDRESS_BITS} bits, and DPDK's addresses use them",
                         "take a port behind another IOMMU, or `define --uio`")


def modules(host):
    loaded = host.root.exists("/sys/module/vfio_pci")
    release = host.root.text("/proc/sys/kernel/osrelease")
    there = loaded or any("/vfio-pci.ko" in line for folder in ("/lib", "/usr/lib")
                          for line in host.root.lines(f"{folder}/modules/{release}/modules.dep"))
    yield judged("module vfio-pci", there, "loaded" if loaded else "can be loaded" if there else f"not in kernel {release or 'unknown'}",
                 NEEDED, "it is the driver that holds a port for a guest", "install Debian's linux-image-amd64, not a kernel cut down")


def ports(host, wanted, cpus):
    """Those asked for, or all of Intel's 10GbE."""
    found = wanted or host.ten_gigabit
    if not found:
        yield Finding("10GbE ports", NEEDED, "none of Intel's 82598, 82599, X540 and X550",
                      "there is nothing to hand to a guest", "seat a card; other makes work by `--ports`, through DPDK's driver for them")
    for port in found:
        yield from port_points(host, port, wanted, cpus)


def port_points(host, port, wanted, cpus):
    names = f" ({', '.join(port.interfaces)}{', ' + port.link if port.link else ''})" if port.interfaces else ""
    yield Finding(f"port {port.pci}", OK, f"{port.kind()}{names}")
    if port.family == "82598":
        yield Finding(f"port {port.pci}: family", NOTE, "82598", "its IOMMU and queues work, but it has PCIe 1 (2.5 GT/s), and neither "
                      "VFs nor the 82599's offloads; the driver is the same", "for new machines take an X550 or 82599")
    if port.virtual:
        yield Finding(f"port {port.pci}: kind", NOTE, "a VF: at most 8 queues, its MAC is the host's to set",
                      "all of a PF's VFs share the wire and its statistics", "ip link set PF vf N mac ... before the guest starts")
    if port.route:
        yield Finding(f"port {port.pci}: use", NEEDED, f"the default route goes by {port.route}",
                      "the host would be cut off when a guest takes it", "move the host's network to another port")
    yield driver(port)
    yield from group(host, port, wanted)
    yield from pcie(host, port)
    yield from near(host, port, cpus)


def driver(port):
    point = f"port {port.pci}: driver"
    why = "a port that the host's own driver holds cannot be handed over"
    do = "`godwit-host prepare --ports ...` binds it, now and at each boot"
    if port.driver == "vfio-pci":
        return Finding(point, OK, "vfio-pci")
    return Finding(point, NEEDED, port.driver or "none: the port is free", why if port.driver else "vfio-pci has to hold it", do)


def group(host, port, wanted):
    point = f"port {port.pci}: IOMMU group"
    if not port.group:
        if host.iommus:
            yield Finding(point, NEEDED, "none", "vfio hands out groups", "look for the device in dmesg: DMAR or AMD-Vi left it out")
        return
    given = {each.pci for each in wanted}
    left = [other for other in port.others if other[0] not in given]
    if port.others and not left:
        yield Finding(point, OK, f"{port.group}, with {', '.join(other[0] for other in port.others)}, which goes with it")
        return
    yield judged(point, not left, f"{port.group}" + (f", with {', '.join(map(describe, left))}" if left else ", alone"), NEEDED,
                 "a group is handed over as a whole: its devices can reach each other past the IOMMU",
                 "hand over all of it to one guest, or put the card into a slot behind a root port with ACS")


def pcie(host, port):
    at = f"/sys/bus/pci/devices/{port.pci}"
    words = [host.root.text(f"{at}/{name}") for name in ("current_link_speed", "max_link_speed", "current_link_width", "max_link_width")]
    speed, speed_most, wide, wide_most = (word.split(" PCIe")[0] for word in words)
    if port.virtual or not speed or speed.startswith("Unknown"):
        return
    yield judged(f"port {port.pci}: PCIe", (speed, wide) == (speed_most, wide_most), f"{speed} x{wide}", BETTER,
                 f"the card can do {speed_most} x{wide_most}; latency and, below 10 Gb/s each way, throughput suffer",
                 "put it into a wider or faster slot")


def near(host, port, cpus):
    point = f"port {port.pci}: NUMA node"
    if port.node < 0:
        if len(host.nodes) > 1:
            yield Finding(point, NOTE, "the firmware does not say", "a port, its guest's memory and its CPUs belong on one node",
                          "look the slot up in the machine's manual; memory is taken from the CPUs' node")
        return
    if not cpus:
        yield Finding(point, OK, f"{port.node}, CPUs {host.root.text(f'/sys/devices/system/node/node{port.node}/cpulist')}")
        return
    far = [cpu for cpu in cpus if host.node_of(cpu) != port.node]
    yield judged(point, not far, f"{port.node}" + (f", but CPU {', '.join(map(str, far))} is on another" if far else ", as its CPUs"),
                 BETTER, "each packet and descriptor would cross between the sockets", f"take CPUs of node {port.node}: "
                 f"{host.root.text(f'/sys/devices/system/node/node{port.node}/cpulist')}")
