# SPDX-License-Identifier: Apache-2.0
"""The broker under test, godwitctl, and clients that say just enough AMQP."""
import json
import os
import signal
import socket
import struct
import subprocess
import time

HOST = {"lan": "198.18.0.1", "wan": "198.18.4.1"}
BROKER = {"lan": "198.18.0.2", "wan": "198.18.4.2"}
AMQP = 5672
TIMEOUT_S = 10

CONFIG = """
ports:
  - {name: lan, device: tap, host_address: 198.18.0.1/29, address: 198.18.0.2/29,
     addresses: [198.18.0.3/29, "fd00:18::2/64"]}
  - {name: wan, device: tap, host_address: 198.18.4.1/30, address: 198.18.4.2/30, checksum_offload: false}
  - {name: tagged, device: tap, host_address: 198.18.8.1/30, address: 198.18.8.2/30, vlan: 7}
listeners:
  - {name: amqp-lan, transport: bypass, port: lan}
  - {name: amqp-wan, transport: bypass, port: wan}
  - {name: everywhere, transport: bypass, port: lan, address: 0.0.0.0, tcp_port: 5675}
  - {name: amqp-tagged, transport: bypass, port: tagged}
  - {name: denied, transport: bypass, port: lan, tcp_port: 5673, deny: [198.18.0.0/24], allow: [198.18.0.0/16]}
  - {name: allowed, transport: bypass, port: lan, tcp_port: 5674, allow: [198.18.0.1], congestion: newreno,
     rto_min: 5ms, delayed_ack: 0, nodelay: false, user_timeout: 1s}
memory: {messages: 32M, buffers: 2048, hugepages: off}
control: {socket: %s}
"""


def need(condition, text):
    if not condition:
        raise AssertionError(text)


class Broker:
    def __init__(self, work, config=CONFIG):
        self.socket = os.path.join(work, "control", "control.sock")
        path = os.path.join(work, "godwit.yaml")
        with open(path, "w") as f:
            f.write(config % self.socket)
        self.log_path = os.path.join(work, "godwit.log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([os.environ["GODWIT"], "--config", path], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while "ready:" not in self.log():
            need(self.process.poll() is None, "the broker ended: " + self.log())
            need(time.monotonic() < deadline, "the broker is not ready: " + self.log())
            time.sleep(0.02)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def ctl(self, *words, **options):
        return subprocess.run([os.environ["GODWITCTL"], "--socket", self.socket, *words], capture_output=True,
                              text=True, timeout=TIMEOUT_S, **options)

    def ctl_start(self, *words, stdout=subprocess.PIPE):
        return subprocess.Popen([os.environ["GODWITCTL"], "--socket", self.socket, *words], stdout=stdout,
                                stderr=subprocess.PIPE)

    def status(self):
        done = self.ctl("status", "--json")
        need(done.returncode == 0, done.stderr)
        return json.loads(done.stdout)

    def end(self):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_S)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def connect(port, source_port=0, tcp_port=AMQP):
    """A connection that got connection.start: the broker's AMQP answers over this port."""
    s = socket.create_connection((BROKER[port], tcp_port), timeout=TIMEOUT_S, source_address=(HOST[port], source_port))
    s.sendall(b"AMQP\0\0\x09\x01")
    start = s.recv(4096)
    need(start[:1] == b"\x01" and struct.unpack(">HH", start[7:11]) == (10, 10), "no connection.start: %r" % start)
    return s


def close_orderly(s):
    """Sends FIN first and reads to the end."""
    s.shutdown(socket.SHUT_WR)
    while s.recv(4096):
        pass
    s.close()


def checksum(data):
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class Echo:
    """ICMP echo requests to the broker, as many as are wanted at once."""

    def __init__(self, port, payload=1000):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.address = BROKER[port]
        self.payload = bytes(payload)
        self.sequence = 0

    def send(self, count):
        for _ in range(count):
            self.sequence = (self.sequence + 1) & 0xffff
            head = struct.pack(">BBHHH", 8, 0, 0, os.getpid() & 0xffff, self.sequence)
            sum_ = checksum(head + self.payload)
            packet = struct.pack(">BBHHH", 8, 0, sum_, os.getpid() & 0xffff, self.sequence) + self.payload
            self.socket.sendto(packet, (self.address, 0))

    def receive(self, count):
        for _ in range(count):
            self.socket.recv(65536)

    def close(self):
        self.socket.close()
