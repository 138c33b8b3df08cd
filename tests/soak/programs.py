# SPDX-License-Identifier: Apache-2.0
"""The broker, the load and the bystander, each a process of its own."""
import json
import os
import resource
import signal
import subprocess
import time

KERNEL, BYPASS, PORT = "127.0.0.1", "198.18.0.2", 5672
TAP = "godwit0"

# keepalive: a reset that the TAP loses is never repeated. time_wait: what is in it counts as in use. lock: pages of
# buffers and messages are there from the start, so that what the process grows by is something else.
CONFIG = """
lcores: 2
idle: adaptive
listeners:
  - {name: bypass, transport: bypass}
  - {name: kernel, transport: kernel}
tcp: {keepalive: 5s, time_wait: 1s, syn_backlog: 4096}
limits: {connections: %d, queues: 65536, handshake_timeout: 60s}
memory: {hugepages: off, lock: on, messages: 256M, buffers: 32768, socket_buffers: 8192}
log: {level: warn}
control: {socket: %s}
"""


def first(priority):
    """What a process does before it begins, so that it comes before all others where SOAK_REALTIME asks for it."""
    if os.environ.get("SOAK_REALTIME"):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))


def need(condition, text):
    if not condition:
        raise AssertionError(text)


class Broker:
    def __init__(self, work, connections):
        self.socket = os.path.join(work, "control.sock")
        self.log_path = os.path.join(work, "godwit.log")
        path = os.path.join(work, "godwit.yaml")
        with open(path, "w") as f:
            f.write(CONFIG % (connections + 1000, self.socket))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([os.environ["GODWIT"], "--config", path], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=lambda: first(1))
        deadline = time.monotonic() + 60
        while "ready:" not in self.log():
            need(self.process.poll() is None, "the broker ended: " + self.log())
            need(time.monotonic() < deadline, "the broker is not ready: " + self.log())
            time.sleep(0.05)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def ask(self, what):
        """A core that gets no CPU for a second does not answer: it is asked again."""
        deadline = time.monotonic() + 60
        while True:
            done = subprocess.run([os.environ["GODWITCTL"], "--socket", self.socket, what, "--json"],
                                  capture_output=True, text=True, timeout=60)
            if done.returncode == 0:
                return json.loads(done.stdout)
            need("did not answer" in done.stderr and time.monotonic() < deadline,
                 "godwitctl %s: %s" % (what, done.stderr.strip()))

    def rss_kib(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))

    def cpu_s(self):
        with open("/proc/%d/stat" % self.process.pid) as f:
            words = f.read().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Talker:
    """A program that answers each command with lines of JSON, the last of which says "done"."""

    def __init__(self, *arguments, last=False):
        """last: it has the CPU when nobody else wants it."""
        self.process = subprocess.Popen([os.environ["SOAK"], *map(str, arguments)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1, preexec_fn=lambda: os.nice(10) if last else first(2))

    def begin(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self):
        """Lines up to the one with "done"; whatever else it says is what went wrong."""
        lines = []
        for line in self.process.stdout:
            if not line.startswith("{"):
                raise AssertionError((line + self.process.stdout.read()).strip().replace("\n", " | "))
            lines.append(json.loads(line))
            if "done" in lines[-1]:
                return lines
        raise AssertionError("%s ended with status %s" % (self.process.args[1], self.process.wait()))

    def ask(self, command):
        self.begin(command)
        return self.answer()

    def end(self):
        """Its last lines."""
        out, _ = self.process.communicate(timeout=120)
        need(self.process.returncode == 0, "%s: %s" % (self.process.args[1], out.strip()))
        return [json.loads(line) for line in out.splitlines()]

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
