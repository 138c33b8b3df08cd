#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Chaos clients: each lives a short life of random methods and dies in a random way, most of them rudely.
One thread and a poller hold them all; what they do is decided by the seed alone, when they do it is not.

    storm.py SEED SECONDS CLIENTS ADDRESS...        prints what was done as one line of JSON"""
import collections
import errno
import json
import random
import select
import socket
import struct
import sys
import time

import amqp

QUEUES = ["chaos-%d" % i for i in range(12)]
EXCHANGES = ["chaos-x%d" % i for i in range(4)] + ["amq.topic", "amq.fanout", "amq.direct", "amq.headers"]
KINDS = ["direct", "fanout", "topic", "headers"]
KEYS = ["a", "a.b", "a.*", "#", "x.y.z", ""]
QUIET_S = 6.0  # a client that was made silent is gone after this


class Actor:
    def __init__(self, rng, address):
        self.rng = rng
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if rng.random() < 0.3:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rng.choice([2048, 4096, 65536]))
        error = self.socket.connect_ex((address, 5672))
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, "connect")
        self.out = bytearray()
        self.buffer = bytearray()
        self.tags = {}
        self.dead = False
        self.reading = True
        self.slow = rng.random() < 0.15
        self.quiet_until = 0
        self.steps_left = rng.randrange(1, 120)
        self.channels = rng.randrange(1, 5)
        self.open()

    def open(self):
        rng = self.rng
        start = amqp.PREAMBLE + amqp.start_ok() + amqp.tune_ok(
            heartbeat=rng.choice([0, 0, 1, 60]), frame_max=rng.choice([4096, 8192, 131072])) + amqp.open_vhost()
        roll = rng.random()
        if roll < 0.04:
            start = start[:rng.randrange(len(start))]  # never finishes its handshake
            self.steps_left = 0
        elif roll < 0.06:
            start = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 64)))
            self.steps_left = 0
        self.out += start
        for channel in range(1, self.channels + 1):
            self.out += amqp.method(channel, amqp.CHANNEL_OPEN, b"\x00")
            if rng.random() < 0.5:
                self.out += amqp.qos(channel, rng.choice([0, 1, 5, 1000]))
            if rng.random() < 0.3:
                self.out += amqp.method(channel, amqp.SELECT, b"\x00")

    # What it may do next. Names are counted.
    def declare(self, ch):
        r = self.rng
        return amqp.queue_declare(ch, r.choice(QUEUES), nowait=r.random() < 0.3)

    def declare_exclusive(self, ch):
        r = self.rng
        name = "" if r.random() < 0.5 else "own-%d" % r.randrange(50)
        return amqp.queue_declare(ch, name, exclusive=1, auto_delete=r.random() < 0.5)

    def bind(self, ch):
        r = self.rng
        return amqp.queue_bind(ch, r.choice(QUEUES), r.choice(EXCHANGES), r.choice(KEYS))

    def unbind(self, ch):
        r = self.rng
        return amqp.queue_unbind(ch, r.choice(QUEUES), r.choice(EXCHANGES), r.choice(KEYS))

    def exchange(self, ch):
        i = self.rng.randrange(4)
        return amqp.exchange_declare(ch, EXCHANGES[i], KINDS[i], auto_delete=self.rng.random() < 0.1)

    def exchange_gone(self, ch):
        return amqp.exchange_delete(ch, EXCHANGES[self.rng.randrange(4)])

    def delete(self, ch):
        r = self.rng
        return amqp.queue_delete(ch, r.choice(QUEUES), if_unused=r.random() < 0.2, if_empty=r.random() < 0.2)

    def purge(self, ch):
        return amqp.queue_purge(ch, self.rng.choice(QUEUES))

    def publish(self, ch):
        r = self.rng
        size = r.choice([0, 1, 100, 100, 1000, 4000, 20000, 200000])
        one = amqp.publish(ch, r.choice([""] * 4 + EXCHANGES), r.choice(QUEUES + KEYS),
                           r.randbytes(min(size, 64)) * max(1, size // 64) if size else b"",
                           mandatory=r.random() < 0.2, frame_max=4096)
        return one * r.choice([1, 1, 10, 50]) if size <= 1000 else one

    def consume(self, ch):
        r = self.rng
        return amqp.consume(ch, r.choice(QUEUES), "tag-%d" % r.randrange(6), no_ack=r.random() < 0.3,
                            exclusive=r.random() < 0.05)

    def cancel(self, ch):
        return amqp.cancel(ch, "tag-%d" % self.rng.randrange(6))

    def get(self, ch):
        return amqp.get(ch, self.rng.choice(QUEUES), no_ack=self.rng.random() < 0.5) * self.rng.choice([1, 1, 20])

    def settle(self, ch):
        r = self.rng
        tag = self.tags.get(ch, 0)
        if tag == 0 and r.random() < 0.9:
            return b""
        tag = r.randrange(max(1, tag - 50), tag + 1) if tag else r.randrange(10)
        return r.choice([lambda: amqp.ack(ch, tag, r.random() < 0.5),
                         lambda: amqp.nack(ch, tag, r.random() < 0.3, r.random() < 0.7),
                         lambda: amqp.reject(ch, tag, r.random() < 0.7)])()

    def recover(self, ch):
        return amqp.recover(ch)

    def reopen(self, ch):
        return amqp.method(ch, amqp.CHANNEL_CLOSE, struct.pack("!HBHH", 200, 0, 0, 0)) + \
            amqp.method(ch, amqp.CHANNEL_OPEN, b"\x00")

    def wrong_channel(self, ch):
        return amqp.get(self.rng.choice([0, 9, 2047, 65535]), "nothing")

    def garbage(self, ch):
        return amqp.frame(self.rng.choice([1, 2, 3, 4, 8, 9]), ch, self.rng.randbytes(self.rng.randrange(40)))

    STEPS = [("publish", 30), ("settle", 20), ("declare", 12), ("consume", 8), ("get", 8), ("bind", 5), ("unbind", 2),
             ("exchange", 3), ("exchange_gone", 1), ("delete", 3), ("purge", 2), ("cancel", 4), ("recover", 1),
             ("declare_exclusive", 4), ("reopen", 2), ("wrong_channel", 0.2), ("garbage", 0.2)]

    # How it may end.
    def die_reset(self):
        if not self.dead:  # what was sent last may have told that the broker has ended it
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.gone()

    def die_fin(self):
        self.gone()

    def die_politely(self):
        self.out += amqp.close_connection()
        self.quiet_until = time.monotonic() + 1.0

    def die_half_frame(self):
        one = amqp.publish(1, "", self.rng.choice(QUEUES), b"x" * self.rng.choice([10, 3000]))
        self.try_send(one[:self.rng.randrange(1, len(one))])
        self.rng.choice([self.die_reset, self.die_fin])()

    def die_in_body(self):
        self.try_send(amqp.publish(1, "", self.rng.choice(QUEUES), b"y" * self.rng.choice([0, 4000, 100000]),
                                   size=self.rng.choice([200000, 5000000, 120 << 20]), frame_max=4096))
        self.rng.choice([self.die_reset, self.die_fin])()

    def die_shut(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self.quiet_until = time.monotonic() + 2.0

    def fall_silent(self):
        self.reading = False
        self.out += amqp.consume(1, self.rng.choice(QUEUES), "silent", no_ack=self.rng.random() < 0.5)
        self.quiet_until = time.monotonic() + self.rng.random() * QUIET_S

    ENDS = [("die_reset", 4), ("die_fin", 3), ("die_politely", 3), ("die_half_frame", 4), ("die_in_body", 3),
            ("die_shut", 2), ("fall_silent", 3)]

    def gone(self):
        self.dead = True
        self.socket.close()

    def try_send(self, data):
        self.out += data
        self.flush()

    def flush(self):
        while self.out and not self.dead:
            try:
                n = self.socket.send(bytes(self.out[:1 << 18]))
            except (BlockingIOError, socket.error) as e:
                if e.errno not in (errno.EAGAIN, errno.EINPROGRESS, errno.ENOTCONN):
                    self.gone()
                return
            del self.out[:n]

    def take(self):
        """Reads, and answers what must be answered."""
        try:
            data = self.socket.recv(512 if self.slow else 1 << 18)
        except BlockingIOError:
            return
        except OSError:
            self.gone()
            return
        if not data:
            self.gone()
            return
        self.buffer += data
        for kind, channel, payload in amqp.frames(self.buffer):
            if kind != amqp.METHOD:
                continue
            which = amqp.ids(payload)
            if which == amqp.DELIVER:
                at = 5 + payload[4]
                self.tags[channel] = struct.unpack_from("!Q", payload, at)[0]
            elif which == amqp.GET_OK:
                self.tags[channel] = struct.unpack_from("!Q", payload, 4)[0]
            elif which == amqp.CHANNEL_CLOSE:
                counts["channel closed %d" % struct.unpack_from("!H", payload, 4)] += 1
                self.tags[channel] = 0
                self.out += amqp.method(channel, amqp.CHANNEL_CLOSE_OK) + \
                    amqp.method(channel, amqp.CHANNEL_OPEN, b"\x00")
            elif which == amqp.CLOSE:
                counts["connection closed %d" % struct.unpack_from("!H", payload, 4)] += 1
                self.out += amqp.method(0, amqp.CLOSE_OK)
                self.quiet_until = self.quiet_until or time.monotonic() + 0.5
                self.steps_left = 0

    def step(self, now):
        if self.quiet_until:
            if now > self.quiet_until:
                self.rng.choice([self.die_reset, self.die_fin])()
            return
        if len(self.out) > 1 << 20:
            self.steps_left -= 1
            if self.steps_left < -200:
                self.die_reset()  # held for long enough
            return
        if self.steps_left > 0:
            self.steps_left -= 1
            name = pick(self.rng, self.STEPS)
            self.out += getattr(self, name)(self.rng.randrange(1, self.channels + 1))
        else:
            name = pick(self.rng, self.ENDS)
            getattr(self, name)()
        counts[name] += 1


counts = collections.Counter()


def pick(rng, rows):
    return rng.choices([r[0] for r in rows], [r[1] for r in rows])[0]


def flood(rng, address):
    """Tiny connections: there and gone."""
    for _ in range(rng.randrange(5, 30)):
        s = socket.socket()
        s.setblocking(False)
        try:
            s.connect_ex((address, 5672))
            if rng.random() < 0.5:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if rng.random() < 0.5:
                s.send(amqp.PREAMBLE[:rng.randrange(1, 9)])
        except OSError:
            pass
        s.close()
        counts["tiny"] += 1


def storm(seed, seconds, clients, addresses):
    counts.clear()
    rng = random.Random(seed)
    poller = select.poll()
    actors = {}
    until = time.monotonic() + seconds
    next_flood = 0
    while (now := time.monotonic()) < until:
        for _ in range(8):
            if len(actors) >= clients:
                break
            try:
                a = Actor(random.Random(rng.random()), rng.choice(addresses))
            except OSError as e:
                counts["no connection: %s" % errno.errorcode.get(e.errno, e.errno)] += 1
                break
            counts["clients"] += 1
            actors[a.socket.fileno()] = a
            poller.register(a.socket, select.POLLIN | select.POLLOUT)
        if now > next_flood:
            flood(rng, rng.choice(addresses))
            next_flood = now + rng.random() * 2
        for fd, events in poller.poll(20):
            a = actors[fd]
            if events & (select.POLLERR | select.POLLHUP) and not events & select.POLLIN:
                a.gone()
            if not a.dead and events & select.POLLIN and a.reading:
                if not a.slow or rng.random() < 0.1:
                    a.take()
            if not a.dead and events & select.POLLOUT:
                a.step(now)
                a.flush()
            if not a.dead and not events & select.POLLOUT:
                a.step(now)
            if a.dead:
                counts["ended"] += 1
                actors.pop(fd)
                poller.unregister(fd)
                continue
            poller.modify(a.socket, (select.POLLIN if a.reading else 0) | select.POLLOUT)
    for a in actors.values():
        if rng.random() < 0.5:
            a.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        a.socket.close()
    return dict(counts)


def sweep(address):
    """Deletes what storms leave on purpose: shared queues and exchanges."""
    c = amqp.Client(address)
    for name in QUEUES:
        c.ask(amqp.queue_delete(1, name), amqp.QUEUE_DELETE_OK)
    for name in EXCHANGES[:4]:
        c.ask(amqp.exchange_delete(1, name), (40, 21))
    c.close()


if __name__ == "__main__":
    print(json.dumps(storm(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]), sort_keys=True))
