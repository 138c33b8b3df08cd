# SPDX-License-Identifier: Apache-2.0
"""connection.blocked: a broker of its own, whose message memory is full while a publisher begins and has room again once
it has been told. Godwit's memory is filled with messages and emptied by a consumer; RabbitMQ's watermark is moved."""
import os
import time

from brokers import PORT, BrokerError
from client import Client
from conversation import OVER, converse, describe
from negotiation import CLOSE, capable, qos, start_ok_raw, table
from pika import frame, spec
from status import StatusError
from wire import Unexpected, Wire, body, content_header, method

SCENARIO_S_MAX = 120
FILL_S_MAX = 60
GODWIT = """
memory: {hugepages: off, messages: 16M, buffers: 2048, socket_buffers: 64}
limits: {message_size: 1M}
"""
BODY_BYTES = 10000


class GodwitMemory:
    """Messages of a publisher that is held in the end, and their consumer."""

    def __init__(self, stage, host):
        self.status, self.host = stage.status, host
        self.message = (method(1, spec.Basic.Publish(exchange="", routing_key="fill")) +
                        content_header(1, BODY_BYTES) + body(1, bytes(BODY_BYTES)))

    def wire(self):
        wire = Wire(self.host, PORT, 30.0)
        wire.open()
        wire.channel()
        return wire

    def fill(self):
        self.publisher, left, self.sent = self.wire(), b"", 0
        self.publisher.call(1, spec.Queue.Declare(queue="fill"), spec.Queue.DeclareOk)
        self.publisher.socket.setblocking(False)
        deadline = time.monotonic() + FILL_S_MAX
        while not self.status.read()["publishers_held"]:
            if time.monotonic() > deadline:
                raise Unexpected("memory was not filled within %d s" % FILL_S_MAX)
            left = self.push(left)

    def push(self, left):
        """Writes until nothing more is taken; what is left of the message that was begun."""
        while True:
            left = left or self.message
            try:
                n = self.publisher.socket.send(left)
            except BlockingIOError:
                return left
            left, self.sent = left[n:], self.sent + n

    def free(self):
        with self.wire() as consumer:
            consumer.call(1, spec.Basic.Consume(queue="fill", consumer_tag="c", no_ack=True), spec.Basic.ConsumeOk)
            left = self.sent // len(self.message) * BODY_BYTES
            while left:
                found = consumer.read()
                left -= len(found.fragment) if isinstance(found, frame.Body) else 0
            self.publisher.socket.close()
            consumer.call(1, spec.Basic.Cancel("c"), spec.Basic.CancelOk)
            consumer.call(1, spec.Queue.Delete(queue="fill"), spec.Queue.DeleteOk)
            consumer.farewell()


class RabbitMQMemory:
    def __init__(self, stage, host):
        self.broker, self.host = stage.broker, host

    def fill(self):
        self.broker.rabbitmqctl("set_vm_memory_high_watermark", "0")

    def free(self):
        self.broker.rabbitmqctl("set_vm_memory_high_watermark", "0.6")


def prepare(broker, oracle):
    if oracle:
        return
    path = os.path.join(broker.workdir, "blocked")
    with open(path, "w") as f:
        f.write(GODWIT)
    broker.arguments = ["--config", path]


def one(stage, memory, client, scenario):
    """The client's scenario: it begins with memory full, and there is room once it has said so."""
    name = "%s %s %s" % (client.name, client.transport, scenario)
    begin = time.monotonic()
    try:
        memory.fill()
        try:
            client.ask(scenario)
            told = client.wait_note(scenario, SCENARIO_S_MAX)
        finally:
            memory.free()
        trouble = client.answer(scenario, SCENARIO_S_MAX) if told else "it was not told: %s" % client.said
        trouble = trouble or stage.status.wait_rest(stage.rest)
    except (Unexpected, BrokerError, StatusError, OSError) as problem:
        trouble = "%s: %s" % (type(problem).__name__, problem)
    if trouble:
        stage.report.not_ok(name, trouble)
    else:
        stage.report.ok(name, time.monotonic() - begin)


def clients(stage, transport, memory):
    for name in stage.listed.clients:
        for scenario in stage.listed.names("full"):
            if not (stage.wanted("client", name) and stage.wanted("scenario", scenario) and stage.has(name, scenario)):
                continue
            client = Client(name, transport, stage.broker.transports[transport], PORT, stage.scenarios_json, stage.work)
            try:
                one(stage, memory, client, scenario)
            finally:
                client.stop()


# The capability as clients say it, and what a publisher hears that was held meanwhile.
TOLD = ["0 Connection.Blocked low on memory", "0 Connection.Unblocked", "1 Basic.QosOk", OVER]
NOT_TOLD = ["1 Basic.QosOk", OVER]
CAPABILITIES = [("no_bool", capable(b"I\0\0\0\1"), NOT_TOLD), ("false", capable(b"t\x00"), NOT_TOLD),
                ("absent", table(b""), NOT_TOLD), ("true", capable(b"t\x01"), TOLD)]


def publisher(host, properties):
    wire = Wire(host, PORT, 30.0)
    wire.begin()
    wire.send(start_ok_raw(properties))
    tune = wire.read_method(spec.Connection.Tune)
    wire.send(method(0, spec.Connection.TuneOk(tune.channel_max, tune.frame_max, 0)), method(0, spec.Connection.Open("/")))
    wire.read_method(spec.Connection.OpenOk)
    wire.channel()
    wire.send(method(1, spec.Basic.Publish(exchange="", routing_key="nowhere")), content_header(1, 1), body(1, b"x"))
    return wire


def capabilities(stage, transport, memory):
    """The last one hears that it is blocked, so the others, who published before it, are held as well."""
    wires, said = [], []
    try:
        memory.fill()
        try:
            wires = [publisher(memory.host, properties) for _, properties, _ in CAPABILITIES]
            first = describe(wires[-1].read())
        finally:
            memory.free()
        said = [converse(wire, [qos(), "QosOk", CLOSE]) for wire in wires[:-1]]
        said.append([first, *converse(wires[-1], ["Unblocked", qos(), "QosOk", CLOSE])])
    except (Unexpected, BrokerError, StatusError, OSError) as problem:
        said.append([str(problem)])
    finally:
        for wire in wires:
            wire.socket.close()
    for (name, _, wanted), found in zip(CAPABILITIES, said + [["nothing"]] * len(CAPABILITIES)):
        label = "raw %s blocked_capability_%s" % (transport, name)
        if found == wanted:
            stage.report.ok(label)
        else:
            stage.report.not_ok(label, "said %s, expected %s" % (found, wanted))


def run(stage):
    wanted = [name for name in stage.listed.names("full") if stage.wanted("scenario", name)]
    chosen = [name for name in (*stage.listed.clients, "memory") if stage.wanted("client", name)]
    if not wanted or not chosen:
        return
    prepare(stage.broker, stage.options.oracle)
    try:
        stage.start()
    except (BrokerError, StatusError, OSError) as problem:
        stage.report.not_ok("blocked: the broker starts", str(problem))
        return
    for transport in stage.transports():
        memory = (RabbitMQMemory if stage.options.oracle else GodwitMemory)(stage, stage.broker.transports[transport])
        clients(stage, transport, memory)
        if stage.wanted("client", "memory"):
            capabilities(stage, transport, memory)
    stage.end_broker()
