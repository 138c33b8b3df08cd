# SPDX-License-Identifier: Apache-2.0
"""A card of QEMU's behind an emulated VT-d, passed to the broker: what a client outside and an operator see."""
import pathlib
import re
import subprocess

from vm import PORT, PORT_PCI, VM, need, run

CORE_KIB_MAX = 64 << 10   # with the hugepages it would be more


def begin(work, image):
    vm = VM(work, image, "passed")
    vm.start()
    return vm


def end(vm):
    vm.power_cut()


def a_message_goes_through(body="what goes in comes out", address=PORT):
    url = f"amqp://guest:guest@{address}"
    run("amqp-declare-queue", "--url", url, "-q", "q")
    run("amqp-publish", "--url", url, "-r", "q", "-b", body)
    got = run("amqp-get", "--url", url, "-q", "q").stdout
    need(got == body, f"got '{got}'")


def escaped(digits):
    """Bytes in hex, as a pattern for grep."""
    return "".join("\\x" + digits[i:i + 2] for i in range(0, len(digits), 2))


def boots(vm):
    """the image boots, and the broker is ready"""
    vm.wait_ready()


def serves(vm):
    """a client outside publishes and consumes through the card, small and large"""
    a_message_goes_through()
    a_message_goes_through("x" * 100000)


def card(vm):
    """the card is the broker's: vfio-pci, in a group of the IOMMU, no driver of the kernel"""
    driver, group = vm.ssh(f"cd /sys/bus/pci/devices/{PORT_PCI}; basename $(readlink driver); basename $(readlink iommu_group)").split()
    need(driver == "vfio-pci", driver)
    need(group.isdigit(), group)
    holders = vm.ssh(f"ls -l /proc/$(pidof godwit)/fd | grep -c /dev/vfio/{group}$")
    need(holders == "1", f"{holders} descriptors of /dev/vfio/{group}")


def management(vm):
    """management is on the other interface alone"""
    names = vm.ssh("ls /sys/class/net").split()
    need(len(names) == 2 and "lo" in names, names)
    tried = subprocess.run(["ssh", "-F", "none", "-o", "ConnectTimeout=3", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
                            "UserKnownHostsFile=/dev/null", "root@" + PORT, "true"], capture_output=True, text=True)
    need(tried.returncode == 255 and re.search("refused|timed out|No route", tried.stderr), tried.stderr)


def nobody_gets_in(vm):
    """a stranger's key and every password are refused"""
    words = ["ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
             "-o", "IdentityAgent=none", "-o", "IdentityFile=/nonexistent", "root@198.18.10.2", "true"]
    tried = subprocess.run(words, capture_output=True, text=True)
    need(tried.returncode == 255 and "Permission denied (publickey)" in tried.stderr, tried.stderr)
    need(vm.ssh("cut -d: -f2 /etc/shadow | tr -d '*!\\n'") == "", "an account has a password")


def memory_and_cores(vm):
    """hugepages are in use, the data core's CPU is isolated, and the broker runs there"""
    total, free = (int(vm.ssh(f"awk '/HugePages_{word}/ {{ print $2 }}' /proc/meminfo")) for word in ("Total", "Free"))
    need(total == 192 and free < total, f"{free} of {total} hugepages are free")
    need(vm.ssh("cat /sys/devices/system/cpu/isolated") == "1", "CPU 1 is not isolated")
    need(vm.ssh("cat /sys/devices/system/cpu/nohz_full") == "1", "CPU 1 has a tick")
    allowed = vm.ssh("grep -h Cpus_allowed_list /proc/$(pidof godwit)/task/*/status | sort | uniq -c")
    need(re.search(r"Cpus_allowed_list:\s+1$", allowed, re.M), allowed)


def privileges(vm):
    """the broker is nobody's root: a user of its own, no capability, a list of system calls"""
    status = vm.ssh("cat /proc/$(pidof godwit)/status")
    for wanted in (r"^CapEff:\s+0+$", r"^CapBnd:\s+0+$", r"^NoNewPrivs:\s+1$", r"^Seccomp:\s+2$"):
        need(re.search(wanted, status, re.M), f"{wanted} is not in {status}")
    need(vm.ssh("stat -c %U /proc/$(pidof godwit)") == "godwit", "another user")


def read_only(vm):
    """the root cannot be written to"""
    need("Read-only file system" in vm.ssh("touch /etc/x 2>&1 || true"), "it can")
    need(vm.ssh("findmnt -n -o FSTYPE,OPTIONS /").startswith("squashfs ro"), vm.ssh("findmnt /"))


def nothing_failed(vm):
    """nothing that was to be started has failed"""
    need(vm.ssh("systemctl --failed --no-legend --plain") == "", vm.ssh("systemctl --failed"))


def operator(vm):
    """godwitctl answers, and says which version"""
    status = vm.ssh("godwitctl status")
    need("port0" in status, status)


def no_faults(vm):
    """the IOMMU refused nothing, also of large bodies sent from message memory"""
    for _ in range(20):
        a_message_goes_through("y" * 60000)
    need(not vm.faults(), vm.faults()[:5])


def crash(vm):
    """a crash leaves a core without the hugepages, whose build-id the image has symbols for; the broker is back"""
    vm.mark()
    vm.ssh("kill -SEGV $(pidof godwit)")
    vm.wait_ready()
    core = vm.ssh("ls /data/cores/*.core")
    # Memory that was never touched is a hole in it.
    kib = int(vm.ssh(f"du -k {core}").split()[0])
    need(0 < kib < CORE_KIB_MAX, f"{kib} KiB")
    # The first page of each program that was mapped is in it, and so is the note with the build-id; the broker's comes first.
    known = {path.parent.name + path.stem for path in pathlib.Path(vm.image, "symbols", ".build-id").glob("*/*.debug")}
    found = vm.ssh(f"head -c 8M {core} | LC_ALL=C grep -a -o -b -P '{'|'.join(map(escaped, known))}' | cut -d: -f1")
    need(len(found.split()) == 1, f"of {known} the core names {found}")
    a_message_goes_through()


CASES = [boots, serves, card, management, nobody_gets_in, memory_and_cores, privileges, read_only, nothing_failed, operator, no_faults, crash]
