# SPDX-License-Identifier: Apache-2.0
"""A virtual machine with the appliance's image, under QEMU's own CPU emulation: its disks, its two TAPs, its console."""
import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import tarfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
BOOT_S = 240
PORT_MAC, SECOND_MAC, MANAGEMENT_MAC = "02:00:00:00:20:02", "02:00:00:00:21:02", "02:00:00:00:10:02"
MANAGEMENT, PORT, SECOND = "198.18.10.2", "198.18.20.2", "198.18.21.2"
PORT_PCI, SECOND_PCI = "0000:00:10.0", "0000:00:11.0"
ARGUMENTS = ("root=godwit-root console=ttyS0 %s "
             "isolcpus=managed_irq,domain,1 nohz_full=1 rcu_nocbs=1 panic=5")
IOMMU = ["-device", "intel-iommu,intremap=on,caching-mode=on,aw-bits=48,device-iotlb=on"]
GODWIT = """
lcores: [1]
idle: pause
memory: {{hugepages: on, messages: 32M, buffers: 2048}}
ports: [{{name: port0, device: '{device}', address: {address}/24, gateway6: none}}]
listeners: [{{name: amqp, transport: bypass}}]
users: [{{name: guest, password: guest}}]
"""
NETWORK = """
[Match]
MACAddress=%s
[Network]
Address=%s/24
LinkLocalAddressing=no
"""


# What Linux's VT-d driver and QEMU's model say.
FAULT = re.compile(r"DMAR:.*(fault|Present bit|denied)|vtd_|VFIO_MAP_DMA|vfio_dma_map", re.I)


class Trouble(Exception):
    pass


def need(condition, text):
    if not condition:
        raise Trouble(text)


def run(*words, patience_s=60, check=True, given=None):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, errors="replace", timeout=patience_s,
                          input=given, stdin=subprocess.DEVNULL if given is None else None)
    if check and done.returncode:
        raise Trouble(f"{' '.join(map(str, words))}: status {done.returncode}: {done.stderr.strip()[-800:]}{done.stdout.strip()[-400:]}")
    return done


def tap(name, address):
    run("ip", "tuntap", "add", name, "mode", "tap")
    run("ip", "address", "add", address + "/24", "dev", name)
    run("ip", "link", "set", name, "up")


def config_disk(path, files):
    """As godwit-host define writes it: a tar file, padded."""
    with open(path, "wb") as f:
        with tarfile.open(fileobj=f, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, text in sorted(files.items()):
                info = tarfile.TarInfo(name)
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
        f.truncate(1 << 20)


class VM:
    """One machine's folder: disks and key; started and stopped as often as a test wants."""

    all = []
    card = ["-netdev", "tap,id=port,ifname=port0,script=no,downscript=no",
            "-device", f"e1000e,netdev=port,mac={PORT_MAC},addr=0x10"]
    iommu, words = IOMMU, "intel_iommu=on iommu=pt hugepagesz=2M hugepages=192"
    connect_s = 20
    vcpus, memory_mb, godwit = 2, 1024, GODWIT.format(device=PORT_PCI, address=PORT)

    def __init__(self, work, image, name="vm"):
        self.folder = os.path.join(work, name)
        os.makedirs(self.folder)
        self.image = os.path.join(self.folder, "image")
        os.symlink(image, self.image)
        self.log_path = os.path.join(self.folder, "console")
        self.key = os.path.join(self.folder, "key")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        with open(os.path.join(self.folder, "data.img"), "wb") as f:
            f.truncate(64 << 20)
        self.configure({})
        self.process, self.from_here, self.boots, self.refused = None, 0, 0, []
        VM.all.append(self)

    def configure(self, changes):
        with open(self.key + ".pub", encoding="utf-8") as f:
            public = f.read()
        files = {"godwit.yaml": self.godwit, "authorized_keys": public, "hostname": "vm1\n",
                 "management.network": NETWORK % (MANAGEMENT_MAC, MANAGEMENT), **changes}
        config_disk(os.path.join(self.folder, "config.tar"), {name: text for name, text in files.items() if text is not None})

    def disk(self, name, file, read_only):
        path = os.path.join(self.folder, file)
        return ["-drive", f"file={path},if=none,id={name},format=raw" + (",readonly=on" if read_only else ""),
                "-device", f"virtio-blk-pci,drive={name},serial=godwit-{name}"]

    def command(self):
        return ["qemu-system-x86_64", "-machine", "q35,kernel-irqchip=split", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", str(self.vcpus),
                "-m", str(self.memory_mb), "-nodefaults", "-no-user-config", "-display", "none", "-serial", "file:" + self.log_path,
                *self.iommu, "-kernel", os.path.join(self.image, "vmlinuz"), "-initrd", os.path.join(self.image, "initrd"),
                "-append", ARGUMENTS % self.words, *self.disk("root", "image/root.squashfs", True), *self.disk("data", "data.img", False),
                *self.disk("config", "config.tar", True),
                "-netdev", "tap,id=management,ifname=management0,script=no,downscript=no",
                "-device", f"virtio-net-pci,netdev=management,mac={MANAGEMENT_MAC}", *self.card]

    def start(self):
        # What the last one said must not be taken for this one's.
        self.refused = self.faults()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.log_path)
        self.rebooted()
        with open(os.path.join(self.folder, "qemu.log"), "ab") as log:
            # Whatever ends the test ends it.
            words = ["setpriv", "--pdeathsig", "KILL", *self.command(), "-qmp", f"unix:{self.monitor},server=on,wait=off"]
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.from_here = 0

    def console(self):
        """What was said since the last start, or mark."""
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()[self.from_here:]
        except FileNotFoundError:
            return ""

    def mark(self):
        self.from_here += len(self.console())

    def wait_for(self, pattern, patience_s=BOOT_S):
        end = time.monotonic() + patience_s
        while not re.search(pattern, self.console()):
            if self.process.poll() is not None:
                with open(os.path.join(self.folder, "qemu.log"), encoding="utf-8", errors="replace") as f:
                    raise Trouble(f"qemu ended with {self.process.returncode}: {f.read()[-800:]}")
            need(time.monotonic() < end, f"no '{pattern}' on the console within {patience_s} s:\n{self.console()[-3000:]}")
            time.sleep(0.2)

    def wait_ready(self):
        self.wait_for(r"godwit\[\d+\]: .*ready:")

    @property
    def ssh_words(self):
        """All of one boot go over one connection: a key exchange takes seconds of an emulated CPU."""
        return ["ssh", "-F", "none", "-i", self.key, "-o", "StrictHostKeyChecking=accept-new",
                "-o", "UserKnownHostsFile=" + os.path.join(self.folder, "known"), "-o", "BatchMode=yes", "-o", f"ConnectTimeout={self.connect_s}",
                "-o", "ControlPath=" + os.path.join(self.folder, f"ssh{self.boots}"), "-o", "LogLevel=ERROR", "root@" + MANAGEMENT]

    def connect(self):
        """Once a boot; what it leaves running ends with the machine."""
        if os.path.exists(os.path.join(self.folder, f"ssh{self.boots}")):
            return
        words = [*self.ssh_words[:-1], "-o", "ControlMaster=yes", "-o", "ServerAliveInterval=5", "-fN", self.ssh_words[-1]]
        # It would keep pipes open.
        with open(os.path.join(self.folder, "ssh.log"), "wb") as log:
            status = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=60 + self.connect_s).returncode
        with open(os.path.join(self.folder, "ssh.log"), encoding="utf-8", errors="replace") as log:
            need(status == 0, f"ssh: {log.read()}")

    def rebooted(self):
        """The connection of the boot before is of no use any more."""
        if os.path.exists(os.path.join(self.folder, f"ssh{self.boots}")):
            run(*self.ssh_words[:-1], "-O", "exit", self.ssh_words[-1], check=False)
        self.boots += 1

    def ssh(self, command, check=True, patience_s=60):
        """What it prints, as root of the machine."""
        self.connect()
        return run(*self.ssh_words, command, check=check, patience_s=patience_s).stdout.strip()

    @property
    def monitor(self):
        return os.path.join(self.folder, "monitor")

    def power_button(self):
        """As `virsh shutdown` presses it."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(self.monitor)
            with s.makefile("rw") as words:
                words.readline()
                for command in ("qmp_capabilities", "system_powerdown"):
                    words.write(json.dumps({"execute": command}) + "\n")
                    words.flush()
                    # Events come between.
                    while "event" in (answer := json.loads(words.readline())):
                        pass
                    need("return" in answer, f"{command}: {answer}")

    def wait_off(self, patience_s=BOOT_S):
        need(self.process.wait(patience_s) == 0, f"qemu ended with {self.process.returncode}")

    def power_cut(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait(20)

    def faults(self):
        """What the emulated IOMMU refused in all of its boots, as the guest's kernel and QEMU tell it."""
        found = list(self.refused)
        for name in ("console", "qemu.log"):
            with contextlib.suppress(FileNotFoundError), open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as f:
                found += [line for line in f if FAULT.search(line)]
        return found


class Bridged(VM):
    """The report's other half: a virtio card on a bridge, which the broker drives as well."""
    card = ["-netdev", "tap,id=port,ifname=port0,script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=port,mac={PORT_MAC},addr=0x10,disable-legacy=on,iommu_platform=on"]


class Large(VM):
    """Two cards, and enough memory for a page of 1 GiB, in which messages and packets lie."""
    card = [*VM.card, "-netdev", "tap,id=second,ifname=port1,script=no,downscript=no",
            "-device", f"e1000e,netdev=second,mac={SECOND_MAC},addr=0x11"]
    memory_mb, words = 2560, "intel_iommu=on iommu=pt hugepagesz=1G hugepages=1 hugepagesz=2M hugepages=32"
    godwit = (VM.godwit.replace("}]\nlisteners", f"}}, {{name: port1, device: '{SECOND_PCI}', address: {SECOND}/24, gateway6: none}}]\nlisteners")
              .replace("transport: bypass}", "transport: bypass, port: port0}, {name: second, transport: bypass, port: port1}"))


class Uio(VM):
    """No emulated IOMMU: uio_pci_generic and physical addresses."""
    iommu, words = [], "godwit.uio hugepagesz=2M hugepages=192"
    godwit = VM.godwit + "user: godwit\n"
