# SPDX-License-Identifier: Apache-2.0
"""The program with the stack, its device, and this kernel's settings around it."""
import ctypes
import os
import socket
import subprocess
import time

DEVICE = "kerneltcp"
TIMEOUT_S = 30
IPV6_MTU_MIN = 1280
# The kernel's side as each group starts; a group says what is different.
SETTINGS = {
    "ipv4/tcp_sack": 1, "ipv4/tcp_timestamps": 1, "ipv4/tcp_window_scaling": 1, "ipv4/tcp_ecn": 2,
    "ipv4/tcp_congestion_control": "reno", "ipv4/tcp_no_metrics_save": 1, "ipv4/ip_forward": 0,
    "ipv4/tcp_invalid_ratelimit": 500}


def congestion_controls():
    """What this kernel lets us choose."""
    with open("/proc/sys/net/ipv4/tcp_allowed_congestion_control", encoding="ascii") as file:
        return file.read().split()


def need(condition, text):
    if not condition:
        raise AssertionError(text)


def until(condition, what, timeout_s=TIMEOUT_S):
    """Waits for condition() to hold, and returns what it returned."""
    end = time.monotonic() + timeout_s
    while not (result := condition()):
        need(time.monotonic() < end, f"{what}: not within {timeout_s} s")
        time.sleep(0.01)
    return result


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def setting(name, value):
    with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
        file.write(str(value))


CLONE_NEWNET = 0x40000000


def fresh_namespace():
    """This thread and what it starts from now on have a network of their own: a socket of the kernel's that was left behind,
    whose last ACK was lost say, goes on sending, and must not meet the next stack, which knows nothing of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare of the network namespace")
    ip("link", "set", "lo", "up")


def device_exists():
    return any(name == DEVICE for _, name in socket.if_nameindex())


class Program:
    """One run of it in a network of its own, from the device's appearance to its disappearance. Requests are service.h's."""

    def __init__(self, capture, seed, options=(), settings=None, mtu=1500):
        if "version=6" in options:
            self.kernel, self.stack, self.family = "fd00:4d::1", "fd00:4d::2", socket.AF_INET6
        else:
            self.kernel, self.stack, self.family = "10.77.0.1", "10.77.0.2", socket.AF_INET
        fresh_namespace()
        for name, value in {**SETTINGS, **(settings or {})}.items():
            setting(name, value)
        self.capture = capture
        self.process = subprocess.Popen(
            [os.environ["KERNELTCP"], DEVICE, capture, str(seed), *options], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, bufsize=1)
        self.device_up(mtu)

    def device_up(self, mtu):
        until(lambda: device_exists() or self.process.poll() is not None, "the device")
        need(self.process.poll() is None, "the program ended at once")
        ip("addr", "add", "10.77.0.1/24", "dev", DEVICE)
        ip("link", "set", DEVICE, "mtu", str(mtu), "txqueuelen", "5000", "up")
        if mtu >= IPV6_MTU_MIN:
            ip("addr", "add", "fd00:4d::1/64", "dev", DEVICE, "nodad")

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        answer = self.process.stdout.readline().strip()
        need(answer, f"no answer to {words[0]}: the program ended")
        return answer

    def link(self, **faults):
        self.ask("link", "", *(f"{name}={value}" for name, value in faults.items()))

    def counter(self, name):
        return int(self.ask("counter", name))

    def usage(self):
        names = ("conns", "half_open", "time_wait", "tx_segments", "reass_segments")
        return dict(zip(names, map(int, self.ask("usage").split())))

    def faults(self):
        return dict(zip(("lost", "doubled", "late", "damaged", "marked"), map(int, self.ask("faults").split())))

    def end(self):
        """Its last line; it fails when a connection or a buffer was left."""
        self.process.stdin.write("quit\n")
        out, _ = self.process.communicate(timeout=TIMEOUT_S)
        need(self.process.returncode == 0, f"exit status {self.process.returncode}: {out.strip()}")
        return out.strip().splitlines()[-1]

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def connect(self, port, receive_buffer=None):
        s = socket.socket(self.family)
        s.settimeout(TIMEOUT_S)
        if receive_buffer:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        s.connect((self.stack, port))
        return s
