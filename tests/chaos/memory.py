# SPDX-License-Identifier: Apache-2.0
"""Memory runs out: messages without a consumer, packet and socket buffers held by peers."""
import struct
import subprocess
import threading
import time

import amqp
import godwit
from clients import ADDRESSES, no_loss, serves
from tap import check

CONFIG = """\
memory:
  hugepages: off
  messages: 16M
  buffers: 1024
  socket_buffers: 64
limits:
  message_size: 8M
"""
SIZES = (100, 1000, 10000, 60000)
PUBLISHERS, BYTES_EACH = 8, 4 << 20


def answers_ping():
    done = subprocess.run(["ping", "-c", "3", "-i", "0.2", "-W", "2", "-q", godwit.BYPASS],
                          capture_output=True, text=True)
    check(done.returncode == 0 and " 0% packet loss" in done.stdout, "ping:", done.stdout)


class Publisher(threading.Thread):
    """Publishes numbered messages and counts confirms; a thread, because it will be held."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.number, self.size = number, SIZES[number // 2 % len(SIZES)]
        self.count = min(BYTES_EACH // self.size, 10000)
        self.sent = self.confirmed = 0
        self.client = amqp.Client(ADDRESSES[number % 2], timeout_s=40)
        self.client.ask(amqp.method(1, amqp.SELECT, b"\x00"), amqp.SELECT_OK)
        self.confirms = threading.Thread(target=self.read, daemon=True)

    def read(self):
        while self.confirmed < self.count:
            _, p = self.client.expect(amqp.ACK)
            tag, multiple = struct.unpack_from("!QB", p, 4)
            self.confirmed = tag if multiple else self.confirmed + 1

    def run(self):
        self.confirms.start()
        for i in range(self.count):
            self.client.send(amqp.publish(1, "", "fill", struct.pack("!II", self.number, i).ljust(self.size, b"m")))
            self.sent += 1
        self.confirms.join(40)


def take_all(address, total):
    """Consumes total messages; the numbers by publisher."""
    taken = {}
    c = amqp.Client(address, timeout_s=10)
    c.ask(amqp.qos(1, 200), amqp.QOS_OK)
    c.send(amqp.consume(1, "fill"))
    for n in range(total):
        _, p = c.expect(amqp.DELIVER)
        tag = struct.unpack_from("!Q", p, 5 + p[4])[0]
        number, i = struct.unpack_from("!II", c.body())
        taken.setdefault(number, []).append(i)
        if n % 50 == 49 or n == total - 1:
            c.send(amqp.ack(1, tag, multiple=1))
    c.close()
    return taken


def publishers_are_held(broker, rest):
    """More is published than fits: publishers wait, nothing is lost or disordered, consumers let all go on."""
    c = amqp.Client(godwit.KERNEL)
    c.declare("fill")
    publishers = [Publisher(i) for i in range(PUBLISHERS)]
    for p in publishers:
        p.start()
    deadline = time.monotonic() + 10
    while not broker.status()["publishers_held"] and time.monotonic() < deadline:
        time.sleep(0.1)
    status = broker.status()
    check(status["publishers_held"], "memory was not filled:", status["broker"])
    time.sleep(1)
    busy = broker.idle_percent(2)
    check(all(p.is_alive() for p in publishers if p.size >= 1000), "large publishers should be waiting")
    answers_ping()
    taken = take_all(godwit.BYPASS, sum(p.count for p in publishers))
    for p in publishers:
        p.join(20)
        check(p.confirmed == p.count, "publisher", p.number, "has", p.confirmed, "confirms of", p.count)
        check(taken[p.number] == list(range(p.count)), "messages of publisher", p.number, "are lost or out of order")
        p.client.close()
    check(not broker.status()["publishers_held"], "publishers are still held")
    c.ask(amqp.queue_delete(1, "fill"), amqp.QUEUE_DELETE_OK)
    c.close()
    left = godwit.wait_rest(broker, rest)
    check(left is None, left)
    serves()
    return "%d messages; %.0f %% of a CPU while held" % (sum(p.count for p in publishers), busy)


def half_frames(broker, rest):
    """Peers that send most of a large frame each, and no more."""
    for address in ADDRESSES:
        peers = [amqp.Client(address) for _ in range(80)]
        half = amqp.publish(1, "", "nobody", b"h" * 120000)[:-2000]
        for peer in peers:
            peer.socket.setblocking(False)
            try:
                peer.socket.send(half)
            except OSError:
                pass
        time.sleep(0.5)
        answers_ping()
        serves()
        for peer in peers:
            peer.drop(hard=True)
        left = godwit.wait_rest(broker, rest)
        check(left is None, left)


def readers_that_stop(broker, rest):
    """Consumers that read nothing hold all that may be in flight to them; when they go, all is as before."""
    c = amqp.Client(godwit.KERNEL)
    c.declare("tx")
    for _ in range(90):
        c.send(amqp.publish(1, "", "tx", b"t" * 8000) * 10)
    for address in ADDRESSES:
        readers = [amqp.Client(address, rx_bytes=4096) for _ in range(40)]
        for reader in readers:
            reader.send(amqp.consume(1, "tx"))
        time.sleep(1)
        answers_ping()
        serves([godwit.KERNEL])
        for reader in readers:
            reader.drop(hard=True)
        deadline = time.monotonic() + 5
        while (found := c.declare("tx", passive=1)[1]) != 900 and time.monotonic() < deadline:
            time.sleep(0.05)
        check(found == 900, found, "of 900 came back")
        serves()
    c.ask(amqp.queue_delete(1, "tx"), amqp.QUEUE_DELETE_OK)
    c.close()
    left = godwit.wait_rest(broker, rest)
    check(left is None, left)


def run(cases, work, seed):
    broker = godwit.Godwit(work, "memory", CONFIG)
    try:
        broker.start()
        no_loss()
        serves()
        time.sleep(0.3)
        rest = godwit.used(broker.status())
        rest["sockets"] += 8  # receive buffers that are kept at hand
        cases.run("publishers_are_held", publishers_are_held, broker, rest)
        cases.run("half_frames", half_frames, broker, rest)
        cases.run("readers_that_stop", readers_that_stop, broker, rest)
        cases.run("memory_exit", lambda: check(broker.term()[1] == 0, "exit status"))
    finally:
        broker.kill()
