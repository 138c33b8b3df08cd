# SPDX-License-Identifier: Apache-2.0
"""The broker under the tools, and the tools as the cases run them."""
import os
import signal
import subprocess
import time

TIMEOUT_S = 120
KERNEL = "198.18.12.2"   # the broker on kernel sockets, over the pair
BYPASS = "198.18.12.3"   # the broker's own stack on the same interface
CLIENT = "198.18.12.1/24"
KERNEL6, BYPASS6, CLIENT6 = "fd00:18:12::2", "fd00:18:12::3", "fd00:18:12::1/64"
DEVICE = "net_af_packet0,iface=client0"
LOGIN = ["--username", "bench", "--password", "secret"]

CONFIG = """
ports:
%s
listeners:
  - {name: loopback, transport: kernel, address: 127.0.0.1}
  - {name: loopback6, transport: kernel, address: "::1", tcp_port: 5673}
%s
users: [{name: bench, password: secret}, {name: guest, password: guest}]
memory: {messages: 64M, buffers: 4096, hugepages: off}
limits: {connections: 256}
control: {socket: %s}
"""
PORT = ("  - {name: pair, device: 'net_af_packet0,iface=broker0', address: 198.18.12.3/24,\n"
        "     addresses: ['fd00:18:12::3/64'], gateway6: none}")
LISTEN_KERNEL = ("  - {name: pair-kernel, transport: kernel, address: 198.18.12.2}\n"
                 "  - {name: pair-kernel6, transport: kernel, address: 'fd00:18:12::2'}")
LISTEN_BYPASS = ("  - {name: pair-bypass, transport: bypass, port: pair}\n"
                 "  - {name: pair-bypass6, transport: bypass, port: pair, address: 'fd00:18:12::3'}")


def need(condition, text):
    if not condition:
        raise AssertionError(text)


def program(name):
    return os.path.join(os.environ["BUILD"], name)


class Broker:
    def __init__(self, work, bypass=False):
        path = os.path.join(work, "godwit.yaml")
        with open(path, "w") as f:
            f.write(CONFIG % (PORT if bypass else "  []", LISTEN_BYPASS if bypass else LISTEN_KERNEL,
                              os.path.join(work, "control.sock")))
        self.log_path = os.path.join(work, "godwit.log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([program("godwit"), "--config", path], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while "ready:" not in self.log():
            need(self.process.poll() is None, "the broker ended: " + self.log())
            need(time.monotonic() < deadline, "the broker is not ready: " + self.log())
            time.sleep(0.02)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(TIMEOUT_S)
        need(status == 0, "the broker ended with %d: %s" % (status, self.log()))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def start(tool, *words):
    return subprocess.Popen([program("godwit-" + tool), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """Its status, output and complaints."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    need("ERROR" not in err and "runtime error" not in err, err)
    return process.returncode, out, err


def run(tool, *words):
    status, out, err = finish(start(tool, *words))
    need(status == 0, "%s %s: %d: %s" % (tool, " ".join(words), status, err))
    return out


def refused(tool, status, part, *words):
    got, out, err = finish(start(tool, *words))
    need(got == status, "%s: status %d instead of %d: %s" % (" ".join(words), got, status, err))
    need(part in err, "%s: no '%s' in: %s" % (" ".join(words), part, err))
    need(not out, "it printed results: " + out)
    return err
