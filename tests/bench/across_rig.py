# SPDX-License-Identifier: Apache-2.0
"""Network namespaces that play machines: a desk from which all are reached over a bridge, a client, a host and two guests,
each with an sshd of its own. The host starts the first guest's sshd, as it would start a guest."""
import contextlib
import glob
import json
import os
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "tests"))

from namespace import namespaces  # noqa: E402  pylint: disable=wrong-import-position

NAMES = ("desk", "client", "host", "vm1", "vm2")
ADDRESS = {name: f"198.18.40.{i + 1}" for i, name in enumerate(NAMES)}
# A pair of interfaces of their own for our TCP: the client's end and vm1's.
FAST_KERNEL, FAST_BROKER, FAST_INTERFACE = "198.18.41.1/24", "198.18.41.2/24", "fast0"
SSHD = """
ListenAddress %s
HostKey %s
AuthorizedKeysFile %s
PidFile %s
PasswordAuthentication no
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
"""


def call(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def ended(condition, within_s):
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


class Rig:
    def __init__(self, namespace, work, build):
        self.namespace, self.work, self.build = namespace, work, build
        self.sshd = {}

    def under(self, *names):
        return os.path.join(self.work, *names)

    def ip(self, name, words):
        call("ip", "-n", self.namespace[name], *words.split())

    def inside(self, name, *command):
        return ["ip", "netns", "exec", self.namespace[name], *command]

    def links(self):
        self.ip("desk", "link add bridge0 type bridge")
        self.ip("desk", f"address add {ADDRESS['desk']}/24 dev bridge0")
        self.ip("desk", "link set bridge0 up")
        for name in NAMES[1:]:
            self.ip("desk", f"link add {name} type veth peer name lan0 netns {self.namespace[name]}")
            self.ip("desk", f"link set {name} master bridge0 up")
            self.ip(name, f"address add {ADDRESS[name]}/24 dev lan0")
            self.ip(name, "link set lan0 up")
        self.ip("client", f"link add {FAST_INTERFACE} type veth peer name {FAST_INTERFACE} netns {self.namespace['vm1']}")
        for name in ("client", "vm1"):
            self.ip(name, f"link set {FAST_INTERFACE} up")
            # Our TCP wants frames as a wire has them.
            call(*self.inside(name, "ethtool", "-K", FAST_INTERFACE, "tx", "off", "gso", "off", "tso", "off"))
        self.ip("client", f"address add {FAST_KERNEL} dev {FAST_INTERFACE}")

    def keys(self):
        for name in ("host_key", "user_key", "other_key"):
            call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.under(name))
        with open(self.under("host_key.pub"), encoding="utf-8") as f:
            key = " ".join(f.read().split()[:2])
        with open(self.under("known_hosts"), "w", encoding="utf-8") as f:
            f.writelines(f"{address} {key}\n" for address in ADDRESS.values())
        for name in NAMES[1:]:
            with open(self.under(name + ".sshd"), "w", encoding="utf-8") as f:
                f.write(SSHD % (ADDRESS[name], self.under("host_key"), self.under("user_key.pub"), self.under(name + ".pid")))

    def machine(self, name, key="user_key", **more):
        """As a profile names it."""
        return {"ssh": f"root@{ADDRESS[name]}",
                "options": ["-F", "none", "-i", self.under(key), "-o", "IdentitiesOnly=yes", "-o",
                            f"UserKnownHostsFile={self.under('known_hosts')}", "-o", "StrictHostKeyChecking=yes"],
                "programs": self.under("bin"), "tree": ROOT, **more}

    def scripts(self):
        """What the host runs for a guest; and programs that leave behind how they were called."""
        guest = self.sshd_words("vm1")
        # The guest takes its time.
        self.script("start-vm1", f"(sleep 0.5; exec {' '.join(guest)}) >{self.under('vm1.out')} 2>&1 &\n")
        # All that runs there goes down with it.
        self.script("stop-vm1", f"ip netns pids {self.namespace['vm1']} | xargs -r kill\n")
        os.mkdir(self.under("bin"))
        os.mkdir(self.under("calls"))
        self.script("bin/godwit", f'[ "$1" = --config ] && cp "$2" {self.under("calls")}/config.$$\n'
                                  f'exec {self.build}/godwit "$@"\n')
        for tool in ("godwit-perftest", "godwit-latencytest"):
            self.script("bin/" + tool, f'echo "$@" >{self.under("calls")}/{tool}.$$\nexec {self.build}/{tool} "$@"\n')
        os.mkdir(self.under("dying"))
        self.script("dying/godwit", f'[ "$1" = --config ] || exec {self.build}/godwit "$@"\n'
                                    f'(while kill -0 $$; do [ ! -e {self.under("die")} ] || kill -KILL $$; sleep 0.1; done) &\n'
                                    f'exec {self.build}/godwit "$@"\n')

    def script(self, name, text):
        with open(self.under(name), "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\n" + text)
        os.chmod(self.under(name), 0o755)

    def sshd_words(self, name):
        return self.inside(name, "/usr/sbin/sshd", "-D", "-e", "-f", self.under(name + ".sshd"))

    def listen(self, *names):
        for name in names:
            with open(self.under(name + ".out"), "wb") as out:
                self.sshd[name] = subprocess.Popen(self.sshd_words(name), stdout=out, stderr=out)
        for name in names:
            if not ended(lambda name=name: os.path.exists(self.under(name + ".pid")), 10):
                with open(self.under(name + ".out"), encoding="utf-8") as f:
                    raise RuntimeError(f"{name}'s sshd does not start: {f.read()}")

    def running(self, name):
        """The commands that run in a namespace."""
        pids = subprocess.run(["ip", "netns", "pids", self.namespace[name]], capture_output=True, text=True, check=True)
        commands = []
        for pid in pids.stdout.split():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
                commands.append(f.read().replace("\0", " "))
        return commands

    def measures(self):
        """Whether a test is under way, or will be soon."""
        return ended(lambda: any("latencytest" in words for words in self.running("client")), 60)

    def compare(self, profile, out, *options):
        """The comparison, at the desk."""
        path = self.under(os.path.basename(out) + ".yaml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(profile, f)
        # `ip netns exec` becomes it, so signals reach it.
        command = self.inside("desk", "/usr/bin/python3", "-B", os.path.join(ROOT, "bench", "compare"), "--profile", path,
                              "--out", out, *options)
        return subprocess.Popen(command, env={**os.environ, "TMPDIR": self.work}, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, start_new_session=True)

    def clean(self):
        """Nobody is left in the namespaces."""
        for process in self.sshd.values():
            process.terminate()
            process.wait()
        for name in NAMES:
            pids = subprocess.run(["ip", "netns", "pids", self.namespace[name]], capture_output=True, text=True, check=False)
            for pid in map(int, pids.stdout.split()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def rig(build):
    # sshd insists on this folder; a service manager would make it.
    made = not os.path.isdir("/run/sshd")
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    try:
        with namespaces("across", NAMES) as (names, work):
            it = Rig(dict(zip(NAMES, names)), work, build)
            try:
                it.links()
                it.keys()
                it.scripts()
                it.listen("client", "host", "vm2")
                yield it
            finally:
                it.clean()
    finally:
        if made:
            os.rmdir("/run/sshd")


def folders():
    """What the comparison makes on its machines."""
    return set(glob.glob("/tmp/godwit-compare.*"))
