# SPDX-License-Identifier: Apache-2.0
"""The broker under attack: started with a configuration of its own, looked at, ended."""
import json
import os
import signal
import subprocess
import tempfile
import time

BYPASS, KERNEL = "198.18.0.2", "127.0.0.1"
STATE = "/run/godwit"
TAP = "godwit0"


class Godwit:
    def __init__(self, work, name="godwit", config="", wrap=(), arguments=(), stdout=None):
        self.socket = os.path.join(work, name + ".sock")
        self.config = os.path.join(work, name + ".yaml")
        self.log = os.path.join(work, name + ".log")
        self.set_config(config)
        self.argv = [*wrap, os.environ["GODWIT"], "--config", self.config, *arguments]
        self.process = None
        self.stdout = stdout

    def set_config(self, text):
        with open(self.config, "w") as f:
            f.write(text)
            if "control:" not in text:
                f.write("\ncontrol:\n  socket: %s\n" % self.socket)

    def spawn(self, **more):
        with open(self.log, "ab") as log:
            self.log_from = log.tell()
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stderr=log,
                stdout=self.stdout if self.stdout is not None else log, **more)
        return self

    def start(self, timeout_s=30, **more):
        self.spawn(**more)
        return self.wait_ready(timeout_s)

    def wait_ready(self, timeout_s=30):
        deadline = time.monotonic() + timeout_s
        while "end with Ctrl-C" not in self.said():
            if self.process.poll() is not None:
                raise RuntimeError("ended with %d before it was ready:\n%s" % (
                    self.process.returncode, self.said()))
            if time.monotonic() > deadline:
                raise RuntimeError("not ready in %d s:\n%s" % (timeout_s, self.said()))
            time.sleep(0.02)
        return self

    def said(self):
        with open(self.log, errors="replace") as f:
            f.seek(self.log_from)
            return f.read()

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def status(self):
        done = subprocess.run([os.environ["GODWITCTL"], "--socket", self.socket, "status", "--json"],
                              capture_output=True, text=True, timeout=15)
        if done.returncode != 0:
            raise RuntimeError("godwitctl: %s" % done.stderr.strip())
        return json.loads(done.stdout)

    def term(self, timeout_s=10, sig=signal.SIGTERM):
        """(seconds, exit status)"""
        begin = time.monotonic()
        self.process.send_signal(sig)
        status = self.process.wait(timeout_s)
        return time.monotonic() - begin, status

    def kill(self):
        if self.alive():
            self.process.kill()
            self.process.wait()

    def rss_kb(self):
        with open("/proc/%d/status" % self.pid) as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))

    def cpu_s(self):
        with open("/proc/%d/stat" % self.pid) as f:
            words = f.read().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def idle_percent(self, seconds=3.0):
        before = self.cpu_s()
        time.sleep(seconds)
        return 100 * (self.cpu_s() - before) / seconds


def used(status):
    """What is in use: pools, and what the broker's core counts."""
    # What is in TIME_WAIT waits for its time alone.
    found = {pool["name"]: pool["used"] for pool in status["pools"] if pool["name"] != "tcp time-wait"}
    for name in ("queues", "exchanges", "bindings", "consumers", "messages_ready", "messages_unacked"):
        found[name] = status["broker"][name]
    found["connections"] = status["connections"]
    found["kernel connections"] = status["kernel"].get("connections", 0)
    return found


def wait_rest(broker, rest, timeout_s=8.0):
    """None, or what does not come back to its level at rest."""
    deadline = time.monotonic() + timeout_s
    while True:
        now = used(broker.status())
        more = {k: (v, rest.get(k, 0)) for k, v in now.items() if v > rest.get(k, 0)}
        if not more:
            return None
        if time.monotonic() > deadline:
            return ", ".join("%s used %d, at rest %d" % (k, *v) for k, v in sorted(more.items()))
        time.sleep(0.1)


def links():
    return sorted(os.listdir("/sys/class/net"))


def hugepages():
    with open("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages") as f:
        return int(f.read())


def keeper_gone(timeout_s=3.0):
    """What is left in the state folder once keepers have had their time."""
    deadline = time.monotonic() + timeout_s
    while True:
        left = os.listdir(STATE) if os.path.isdir(STATE) else []
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def folder(prefix="godwit-chaos-"):
    path = tempfile.mkdtemp(prefix=prefix)
    os.chmod(path, 0o755)
    return path
