# SPDX-License-Identifier: Apache-2.0
"""The process's own memory while publishers outrun consumers: a broker of its own, started once the others have ended."""
import os
import re
import sys
import time

# Before an installed package of that name.
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "chaos"))
import amqp  # noqa: E402
from broker import Broker, need  # noqa: E402

PORT = 5698
BODY_BYTES = 10000
FLAT_KIB = 1024     # of 32 MiB of messages
AGAIN_KIB = 4096    # a sanitizer's allocator grows a little with each question to godwitctl
LOOKS, LOOK_S = 5, 0.5

CONFIG = """
ports: []
listeners:
  - {name: kernel, transport: kernel, tcp_port: 5698}
memory: {messages: 32M, buffers: 2048, hugepages: off}
control: {socket: %s}
"""


def start(work):
    return Broker(work, CONFIG)


def resident_kib(broker):
    with open(f"/proc/{broker.process.pid}/status", encoding="utf-8") as f:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", f.read(), re.M).group(1))


class Publisher:
    """Writes whatever the broker takes."""

    def __init__(self, queue):
        self.client = amqp.Client("127.0.0.1", port=PORT)
        self.client.declare(queue)
        self.client.socket.setblocking(False)
        self.message, self.left, self.sent = amqp.publish(1, "", queue, bytes(BODY_BYTES)), b"", 0

    def push(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.left = self.left or self.message
            try:
                n = self.client.socket.send(self.left)
            except BlockingIOError:
                time.sleep(0.01)
                continue
            self.left, self.sent = self.left[n:], self.sent + n

    def push_until_held(self, broker):
        end = time.monotonic() + 20
        while not broker.status()["publishers_held"]:
            need(time.monotonic() < end, "memory was not filled: %s" % broker.status()["broker"])
            self.push(0.2)
        self.push(1)


def memory_is_flat(broker, work):
    """a publisher that outruns its consumers is held, and the process's memory is flat meanwhile, and no more the next time"""
    publisher, held = Publisher("fill"), []
    consumer = amqp.Client("127.0.0.1", port=PORT)
    for _ in range(3):
        publisher.push_until_held(broker)
        before, looks = publisher.sent, []
        for _ in range(LOOKS):
            publisher.push(LOOK_S)
            looks.append(resident_kib(broker))
        need(publisher.sent == before, "%d bytes were taken while held" % (publisher.sent - before))
        need(max(looks) - min(looks) <= FLAT_KIB, "KiB while held: %s" % looks)
        held.append(max(looks))
        consumer.ask(amqp.queue_purge(1, "fill"), (50, 31))
    need(max(held) - held[0] <= AGAIN_KIB, "KiB each time that it was full: %s" % held)


CASES = [memory_is_flat]
