# SPDX-License-Identifier: Apache-2.0
"""Bad input over AMQP: after each case the broker runs, its pools are full again and a good client works."""
import os
import random
import signal
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import conversation
import dialogue_cases
import negotiation
import session
import wrong_order
from brokers import PORT
from good_client import good_client
from pika import frame, spec
from status import StatusError
from wire import PROTOCOL_HEADER, Unexpected, Wire, body, content_header, method

SEED = int(os.environ.get("SEED", "20200"))
RANDOM_CONNECTIONS = 60
DAMAGED_CONNECTIONS = 150
# Connections at work at once where a case has many.
PARALLEL = 16


class Cases:
    def __init__(self, stage, transport):
        self.stage = stage
        self.transport = transport
        self.host = stage.broker.transports[transport]
        self.oracle = "bypass" not in stage.broker.transports

    def wire(self, timeout_s=10.0):
        return Wire(self.host, PORT, timeout_s)

    def case(self, name, action):
        """Runs it; then the broker must be whole."""
        if not self.stage.wanted("scenario", name):
            return
        label = "raw %s %s" % (self.transport, name)
        begin = time.monotonic()
        try:
            action()
            self.whole()
            self.stage.report.ok(label, time.monotonic() - begin)
        except (Unexpected, OSError, StatusError) as problem:
            why = str(problem) or type(problem).__name__
            if not self.stage.broker.alive():
                why = "the broker ended (%s); %s" % (self.stage.broker.process.returncode, why)
            self.stage.report.not_ok(label, why)
            self.stage.recover()

    def whole(self):
        good_client(self.host)
        differs = self.stage.status.wait_rest(self.stage.rest)
        if differs:
            raise Unexpected("not at rest afterwards: " + differs)

    def in_parallel(self, action, rows):
        """Raises the first exception of any row."""
        with ThreadPoolExecutor(PARALLEL) as pool:
            for _ in pool.map(action, rows):
                pass


# ---- one thing wrong ----


def one_wrong(cases, row):
    name, state, data, answers = row
    if cases.oracle and name in wrong_order.ORACLE_DIFFERS:
        if cases.stage.wanted("scenario", name):
            cases.stage.report.skip("raw %s %s" % (cases.transport, name),
                                    "the oracle differs: " + wrong_order.ORACLE_DIFFERS[name])
        return

    def action():
        with cases.wire() as wire:
            {"connect": lambda: None, "start": wire.begin, "tune": wire.tune, "open": wire.open,
             "channel": wire.open}[state]()
            if state == "channel":
                wire.channel()
            goes_on = None in answers
            wire.send(data, method(0, spec.Connection.Close(200, "", 0, 0)) if goes_on else b"")
            found = wire.closing(asked_to_close=goes_on)
            if found not in answers:
                raise Unexpected("found %s, expected %s" % (
                    found or "no exception", " or ".join(str(answer) for answer in answers[:4])))

    cases.case(name, action)


# ---- a session, cut, dribbled and damaged ----


def until_end(wire):
    """Reads until the broker ends the connection."""
    wire.rest()


def truncated(cases):
    """Every frame at every length; the client ends with FIN or RST by turns."""
    whole = session.frames("000000")
    for index, piece in enumerate(whole):
        def cut(length, index=index):
            frames = session.frames("%06d" % (index * 1000 + length))
            with cases.wire() as wire:
                wire.send(*frames[:index], frames[index][:length])
                if length % 2:
                    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return  # closed by RST, with what the broker said unread
                try:
                    wire.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                until_end(wire)

        cases.case("truncated_frame_%02d" % index, lambda: cases.in_parallel(cut, range(len(piece))))


def dribbled(cases):
    """The session works when every byte comes alone, and when it comes in one piece."""
    frames = session.frames("dribbl")
    stream = b"".join(frames)
    for name, pieces in (("bytes_alone", [bytes([value]) for value in stream]), ("all_at_once", [stream])):
        def action():
            with cases.wire() as wire:
                for piece in pieces:
                    wire.send(piece)
                kinds = []
                while kinds[-1:] != ["Connection.CloseOk"]:
                    answer = wire.read()
                    if answer is None:
                        raise Unexpected("the connection ended after %s" % kinds)
                    kinds.append(answer.method.NAME if isinstance(answer, frame.Method) else "content")
                for wanted in ("Connection.OpenOk", "Basic.GetOk", "Queue.DeleteOk"):
                    if wanted not in kinds:
                        raise Unexpected("no %s in %s" % (wanted, kinds))
        cases.case("session_" + name, action)


def damaged(cases):
    """The session with one to four bytes changed; any answer, never a stall after FIN."""
    def damage(number):
        rng = random.Random(SEED + number)
        stream = bytearray(b"".join(session.frames("d%05d" % number)))
        for _ in range(rng.randint(1, 4)):
            stream[rng.randrange(8, len(stream))] = rng.randrange(256)
        with cases.wire(20.0) as wire:
            wire.send(bytes(stream))
            try:
                wire.socket.shutdown(socket.SHUT_WR)
            except OSError:
                return
            until_end(wire)

    for begin in range(0, DAMAGED_CONNECTIONS, 50):
        cases.case("damaged_session_seed_%d" % (SEED + begin),
                   lambda begin=begin: cases.in_parallel(damage, range(begin, begin + 50)))


def random_bytes(cases):
    """Noise instead of the protocol header, after it, and on an open channel."""
    def noise(number):
        rng = random.Random(SEED + number)
        with cases.wire(20.0) as wire:
            if number % 3 == 1:
                wire.begin()
            elif number % 3 == 2:
                wire.open()
                wire.channel()
            wire.send(rng.randbytes(rng.choice((1, 7, 8, 9, 100, 5000, 200000))))
            try:
                wire.socket.shutdown(socket.SHUT_WR)
            except OSError:
                return
            until_end(wire)

    cases.case("random_bytes_seed_%d" % SEED, lambda: cases.in_parallel(noise, range(RANDOM_CONNECTIONS)))


# ---- clients that stop in the middle ----


def killed_within_frame(cases):
    """A process is killed (SIGKILL) with half of a body frame sent: its message is never routed, its exclusive
    queue goes and what it held comes back."""
    def action():
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(reader)
                with cases.wire() as wire:
                    wire.open()
                    wire.channel()
                    wire.call(1, spec.Queue.Declare(queue="q.killed", exclusive=True), spec.Queue.DeclareOk)
                    whole = body(1, b"x" * 4000)
                    wire.send(method(1, spec.Basic.Publish(exchange="", routing_key="q.keeps")),
                              content_header(1, 8000), whole, whole[:2000])
                    os.write(writer, b"!")
                    time.sleep(30)
            finally:
                os._exit(1)
        os.close(writer)
        try:
            with cases.wire() as keeper:
                keeper.open()
                keeper.channel()
                keeper.call(1, spec.Queue.Declare(queue="q.keeps", exclusive=True), spec.Queue.DeclareOk)
                if os.read(reader, 1) != b"!":
                    raise Unexpected("the child did not get to the middle of its frame")
                time.sleep(0.1)
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                pid_gone.append(pid)
                deadline = time.monotonic() + 5
                while True:
                    keeper.send(method(1, spec.Queue.Declare(queue="q.killed", exclusive=True)))
                    found = keeper.read_method(spec.Queue.DeclareOk, spec.Channel.Close)
                    if isinstance(found, spec.Queue.DeclareOk):
                        break
                    keeper.send(method(1, spec.Channel.CloseOk()))
                    if found.reply_code != 405 or time.monotonic() > deadline:
                        raise Unexpected("the killed client's queue: %d" % found.reply_code)
                    time.sleep(0.05)
                    keeper.channel()
                keeper.call(1, spec.Basic.Get(queue="q.keeps", no_ack=True), spec.Basic.GetEmpty)
                keeper.farewell()
        finally:
            os.close(reader)
            if pid not in pid_gone:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    pid_gone = []
    cases.case("killed_within_frame", action)


def never_reads(cases):
    """A consumer that does not read: its window closes, others are served, and killing it frees all."""
    def action():
        with cases.wire() as deaf, cases.wire() as other:
            deaf.open()
            deaf.channel()
            queue = "q.deaf"
            deaf.call(1, spec.Queue.Declare(queue=queue, exclusive=False, auto_delete=True), spec.Queue.DeclareOk)
            other.open()
            other.channel()
            other.call(1, spec.Confirm.Select(), spec.Confirm.SelectOk)
            deaf.call(1, spec.Basic.Consume(queue=queue, no_ack=False), spec.Basic.ConsumeOk)
            size, count, piece = 1 << 20, 16, other.frame_max - 8
            data = b"".join(body(1, bytes(min(piece, size - at))) for at in range(0, size, piece))
            other.timeout_s = 30
            other.socket.settimeout(30)
            for _ in range(count):
                other.send(method(1, spec.Basic.Publish(exchange="", routing_key=queue)), content_header(1, size), data)
            confirmed = 0
            while confirmed < count:
                ack = other.read_method(spec.Basic.Ack)
                confirmed = ack.delivery_tag if ack.multiple else confirmed + 1
            good_client(cases.host)
            deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            other.farewell()

    cases.case("consumer_never_reads", action)


def publish(wire, queue, size):
    piece = wire.frame_max - 8
    data = b"".join(body(1, bytes(min(piece, size - at))) for at in range(0, size, piece))
    wire.send(method(1, spec.Basic.Publish(exchange="", routing_key=queue)), content_header(1, size), data)
    wire.read_method(spec.Basic.Ack)


def read_contents(wire, gets, large):
    """Until that many answers to get and that many octets of the delivery have come, in whatever order."""
    taking = None
    while gets or large:
        found = wire.read()
        if found is None:
            raise Unexpected("the connection ended with %d answers and %d octets to come" % (gets, large))
        if isinstance(found, frame.Method):
            taking = found.method.NAME
        elif isinstance(found, frame.Body) and taking == "Basic.Deliver":
            large -= len(found.fragment)
        elif isinstance(found, frame.Body):
            gets -= 1


def get_beside_a_delivery(cases):
    """A client that asks other queues, whichever core they are on, while it leaves a large delivery unread."""
    def action():
        size = 12 << 20
        wires = [cases.wire(30) for _ in range(4)]
        try:
            for n, wire in enumerate(wires):
                wire.open()
                wire.channel()
                wire.call(1, spec.Confirm.Select(), spec.Confirm.SelectOk)
                wire.call(1, spec.Queue.Declare(queue="q.beside%d" % n), spec.Queue.DeclareOk)
                publish(wire, "q.beside%d" % n, size if n == 0 else 10)
            reader = wires[0]
            reader.send(method(1, spec.Basic.Consume(queue="q.beside0", no_ack=True)),
                        *(method(1, spec.Basic.Get(queue="q.beside%d" % n, no_ack=True)) for n in (1, 2, 3)))
            time.sleep(0.5)
            read_contents(reader, 3, size)
            for n in range(4):
                reader.call(1, spec.Queue.Delete(queue="q.beside%d" % n), spec.Queue.DeleteOk)
            for wire in wires:
                wire.farewell()
        finally:
            for wire in wires:
                wire.socket.close()

    cases.case("get_beside_a_delivery", action)


def heartbeats(cases):
    """With an interval of 1 s: the broker sends heartbeats, and ends a connection that sends nothing."""
    def action():
        with cases.wire() as wire:
            wire.open(heartbeat=1)
            wire.channel()
            begin, seen = time.monotonic(), 0
            while True:
                found = wire.read()
                if found is None:
                    break
                if isinstance(found, frame.Heartbeat):
                    seen += 1
                elif isinstance(getattr(found, "method", None), spec.Connection.Close):
                    break
                if time.monotonic() - begin > 8:
                    raise Unexpected("a silent client is still connected after 8 s")
            seconds = time.monotonic() - begin
            if not seen:
                raise Unexpected("no heartbeat from the broker in %.1f s" % seconds)
            if seconds < 1.9:
                raise Unexpected("ended after %.1f s, two intervals are 2 s" % seconds)

    cases.case("heartbeats_both_ways", action)


def many_half_open(cases):
    """Connections that never get past the protocol header do not keep others out, and go when closed."""
    def action():
        opened = [cases.wire() for _ in range(200)]
        try:
            for number, wire in enumerate(opened):
                wire.send(PROTOCOL_HEADER[:number % 9])
            good_client(cases.host)
        finally:
            for wire in opened:
                wire.socket.close()

    cases.case("half_open_200", action)


def run(stage, transport):
    cases = Cases(stage, transport)
    with cases.wire() as wire:
        tune = wire.tune()
    for row in wrong_order.cases(tune.frame_max, tune.channel_max):
        one_wrong(cases, row)
    conversation.run(cases, negotiation.cases(tune.frame_max, tune.channel_max, tune.heartbeat),
                     negotiation.oracle_says(tune.frame_max, tune.channel_max))
    dialogue_cases.run(cases)
    dribbled(cases)
    truncated(cases)
    damaged(cases)
    random_bytes(cases)
    killed_within_frame(cases)
    never_reads(cases)
    get_beside_a_delivery(cases)
    heartbeats(cases)
    many_half_open(cases)
