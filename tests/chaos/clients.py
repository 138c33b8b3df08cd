# SPDX-License-Identifier: Apache-2.0
"""Storms of hostile clients, and what must hold after each: every pool at rest, a good client served, no
growth."""
import struct
import subprocess
import time

import amqp
import godwit
import storm
from tap import check

# tcp.keepalive: a reset that the TAP lost on the way is never repeated.
CONFIG = """\
memory:
  hugepages: off
  messages: 32M
  buffers: 4096
limits:
  message_size: 16M
tcp:
  keepalive: 2s
"""
ROUNDS, SECONDS, CLIENTS = 3, 4, 150
GROWTH_KB = 40 << 10  # sanitizers keep freed memory for a while; a leak of messages is far larger
ADDRESSES = (godwit.BYPASS, godwit.KERNEL)


def serves(addresses=ADDRESSES):
    for address in addresses:
        amqp.good_client_works(address)


def no_loss():
    """A queue on the host's side that loses nothing, so that no retransmission keeps connections alive that
    their owners have left."""
    subprocess.run(["ip", "link", "set", godwit.TAP, "txqueuelen", "20000"], check=True)


def connections_gone(broker, timeout_s=90):
    """Where neither side reads and the client's RST lies beyond our closed window, the next window probe finds out:
    at most RFC 6298's 60 s apart."""
    deadline = time.monotonic() + timeout_s
    while (left := broker.status()["connections"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    if left:
        status = broker.status()
        check(False, left, "connections are left whose clients are gone:", status["kernel"]["connections"],
              "over kernel sockets; over the bypass", status["tcp"])


def storms(broker, rest, seed):
    said, sizes = [], []
    for i in range(ROUNDS):
        done = storm.storm("%s/%d" % (seed, i), SECONDS, CLIENTS, ADDRESSES)
        check(broker.alive(), "the broker ended:", broker.said()[-1500:])
        connections_gone(broker)
        for address in ADDRESSES:
            storm.sweep(address)
        serves()
        left = godwit.wait_rest(broker, rest)
        check(left is None, "round", i, left)
        sizes.append(broker.rss_kb())
        said.append("%d clients, %d ended by themselves, %d publishes, RSS %d kB" % (
            done["clients"], done["ended"], done["publish"], sizes[-1]))
    check(sizes[-1] - sizes[0] < GROWTH_KB, "RSS grows:", sizes)
    return "\n".join(said)


def unacked_then_killed(broker, rest):
    """Deliveries that nobody settles, some still waiting to be sent, come back when their consumers are reset."""
    c = amqp.Client(godwit.KERNEL)
    c.declare("unacked")
    for _ in range(20):
        c.send(amqp.publish(1, "", "unacked", b"u" * 50) * 200)
    c.ask(amqp.method(1, amqp.SELECT, b"\x00"), amqp.SELECT_OK)
    # With larger buffers the first one could be sent all of it, and the second one would wait in vain.
    takers = [amqp.Client(address, rx_bytes=16384) for address in ADDRESSES]
    for taker in takers:
        taker.ask(amqp.consume(1, "unacked"), amqp.CONSUME_OK)
        for _ in range(500):
            taker.expect(amqp.DELIVER)
    for taker in takers:
        taker.drop(hard=True)
    deadline = time.monotonic() + 5
    while (found := c.declare("unacked", passive=1)[1]) != 4000 and time.monotonic() < deadline:
        time.sleep(0.05)
    check(found == 4000, found, "of 4000 came back")
    c.ask(amqp.queue_delete(1, "unacked"), amqp.QUEUE_DELETE_OK)
    c.close()
    left = godwit.wait_rest(broker, rest)
    check(left is None, left)


def queue_deleted_under_consumers(broker, rest):
    c = amqp.Client(godwit.KERNEL)
    c.declare("under")
    takers = [amqp.Client(ADDRESSES[i % 2]) for i in range(40)]
    for taker in takers:
        taker.ask(amqp.consume(1, "under", "mine"), amqp.CONSUME_OK)
    c.send(amqp.publish(1, "", "under", b"d" * 2000) * 400)
    c.ask(amqp.queue_delete(1, "under"), amqp.QUEUE_DELETE_OK)
    for taker in takers:
        taker.send(amqp.ack(1, 1, 1) + amqp.cancel(1, "mine"))
        taker.drop()
    c.close()
    left = godwit.wait_rest(broker, rest)
    check(left is None, left)
    serves()


def limits_hold(work):
    """Each limit at a tiny value: the specification's error for the one that asks, room again after it."""
    broker = godwit.Godwit(work, "limits", CONFIG.replace("  message_size: 16M\n", """\
  message_size: 1M
  connections: 4
  channels: 2
  queues: 3
  exchanges: 16
  bindings: 16
  consumers: 2
"""))
    broker.start()
    said = []
    try:
        serves()
        time.sleep(0.3)
        rest = godwit.used(broker.status())

        def refused(what, make, good=0):
            c = amqp.Client(godwit.BYPASS)
            for i in range(good):
                c.ask(*make(i))
            try:
                c.ask(*make(good))
            except amqp.Closed as e:
                said.append("%s: %s" % (what, e))
                check(e.code in (406, 504, 506, 530, 311), what, "refused with", e)
            else:
                raise AssertionError("%s: no limit" % what)
            c.drop()
            left = godwit.wait_rest(broker, rest)
            check(left is None, what, left)
            serves()

        refused("queues", lambda i: (amqp.queue_declare(1, "q%d" % i, exclusive=1), amqp.QUEUE_DECLARE_OK), 3)

        def binding(i):
            if i == 0:
                return amqp.queue_declare(1, "b", exclusive=1), amqp.QUEUE_DECLARE_OK
            return amqp.queue_bind(1, "b", "amq.topic", "k%d" % i), amqp.QUEUE_BIND_OK
        refused("bindings", binding, 17)

        def consumer(i):
            if i == 0:
                return amqp.queue_declare(1, "c", exclusive=1), amqp.QUEUE_DECLARE_OK
            return amqp.consume(1, "c", "t%d" % i), amqp.CONSUME_OK
        refused("consumers", consumer, 3)
        refused("channels", lambda i: (amqp.method(i + 2, amqp.CHANNEL_OPEN, b"\x00"), amqp.CHANNEL_OPEN_OK), 1)
        refused("message_size", lambda i: (amqp.queue_declare(1, "m", exclusive=1) +
                                           amqp.publish(1, "", "m", b"", size=2 << 20), amqp.ACK), 0)
        exchanges = broker.status()["broker"]["exchanges"]

        def exchange(i):
            return amqp.exchange_declare(1, "x%d" % i, "direct"), amqp.EXCHANGE_DECLARE_OK
        c = amqp.Client(godwit.KERNEL)
        try:
            for i in range(20):
                c.ask(*exchange(i))
            raise AssertionError("exchanges: no limit")
        except amqp.Closed as e:
            said.append("exchanges after %d more than %d: %s" % (i, exchanges, e))
        c.drop()
        c = amqp.Client(godwit.KERNEL)
        for k in range(i):
            c.ask(amqp.exchange_delete(1, "x%d" % k), (40, 21))
        c.close()
        left = godwit.wait_rest(broker, rest)
        check(left is None, "exchanges", left)
        held = [amqp.Client(ADDRESSES[k % 2]) for k in range(4)]
        for address in ADDRESSES:
            try:
                amqp.Client(address, timeout_s=3)
                raise AssertionError("connections: no limit")
            except (OSError, amqp.Closed) as e:
                said.append("connections: %r" % e)
        for c in held:
            c.drop()
        left = godwit.wait_rest(broker, rest)
        check(left is None, "connections", left)
        serves()
        check(broker.term()[1] == 0, "exit status")
    finally:
        broker.kill()
    return "\n".join(said)


def idle_is_idle(broker):
    alone = broker.idle_percent()
    many = [amqp.Client(ADDRESSES[i % 2], channel=False) for i in range(300)]
    time.sleep(0.5)
    with_many = broker.idle_percent()
    for c in many:
        c.drop(hard=True)
    # Printed for people to look at; failed for what can only be a core that spins.
    check(max(alone, with_many) < 20, "idle: %.1f %%, with 300 idle connections: %.1f %%" % (alone, with_many))
    return "idle: %.1f %% of a CPU, with 300 idle connections %.1f %%" % (alone, with_many)


def term_under_load(broker):
    """Every client is told 320 or sees the end; the program is gone within two seconds."""
    watchers = [amqp.Client(ADDRESSES[i % 2]) for i in range(40)]
    c = amqp.Client(godwit.KERNEL)
    c.declare("load")
    for watcher in watchers[:20]:
        watcher.ask(amqp.consume(1, "load", no_ack=1), amqp.CONSUME_OK)
    stuck = [amqp.Client(address, rx_bytes=4096) for address in ADDRESSES]
    for s in stuck:
        s.send(amqp.consume(1, "load"))
    c.send(amqp.publish(1, "", "load", b"l" * 3000) * 1000)
    for watcher in watchers[20:]:
        watcher.socket.setblocking(False)
        try:
            for _ in range(20):
                watcher.socket.send(amqp.publish(1, "", "load", b"l" * 1000) * 50)
        except OSError:
            pass
        watcher.socket.settimeout(5)
    seconds, status = broker.term()
    check(status == 0 and seconds < 2.5, "exit status", status, "after", seconds, "s")
    told = 0
    for watcher in watchers[:20]:
        try:
            while True:
                watcher.next_method()
        except amqp.Closed as e:
            check(e.code == 320, "closed with", e)
            told += 1
        except (ConnectionError, TimeoutError) as e:
            check(not isinstance(e, TimeoutError), "a client heard nothing")
    check(told == 20, "told 320:", told, "of 20")
    return "gone after %.2f s" % seconds


def run(cases, work, seed):
    cases.run("limits_hold", limits_hold, work)
    broker = godwit.Godwit(work, "storm", CONFIG)
    try:
        broker.start()
        no_loss()
        serves()
        time.sleep(0.3)
        rest = godwit.used(broker.status())
        cases.run("unacked_then_killed", unacked_then_killed, broker, rest)
        cases.run("queue_deleted_under_consumers", queue_deleted_under_consumers, broker, rest)
        cases.run("storms", storms, broker, rest, seed)
        cases.run("idle_is_idle", idle_is_idle, broker)
        cases.run("term_under_load", term_under_load, broker)
    finally:
        broker.kill()
