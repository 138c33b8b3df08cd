# SPDX-License-Identifier: Apache-2.0
"""As much of AMQP 0-9-1 as a hostile client needs: frames are made by hand, so that they can be wrong."""
import socket
import struct
import time

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
END = b"\xce"

START, START_OK, TUNE, TUNE_OK = (10, 10), (10, 11), (10, 30), (10, 31)
OPEN, OPEN_OK, CLOSE, CLOSE_OK = (10, 40), (10, 41), (10, 50), (10, 51)
CHANNEL_OPEN, CHANNEL_OPEN_OK, FLOW, CHANNEL_CLOSE, CHANNEL_CLOSE_OK = (
    (20, 10), (20, 11), (20, 20), (20, 40), (20, 41))
EXCHANGE_DECLARE, EXCHANGE_DECLARE_OK, EXCHANGE_DELETE = (40, 10), (40, 11), (40, 20)
QUEUE_DECLARE, QUEUE_DECLARE_OK, QUEUE_BIND, QUEUE_BIND_OK = (50, 10), (50, 11), (50, 20), (50, 21)
QUEUE_PURGE, QUEUE_DELETE, QUEUE_DELETE_OK, QUEUE_UNBIND = (50, 30), (50, 40), (50, 41), (50, 50)
QOS, QOS_OK, CONSUME, CONSUME_OK, CANCEL = (60, 10), (60, 11), (60, 20), (60, 21), (60, 30)
PUBLISH, RETURN, DELIVER, GET, GET_OK, GET_EMPTY = (60, 40), (60, 50), (60, 60), (60, 70), (60, 71), (60, 72)
ACK, REJECT, NACK, RECOVER = (60, 80), (60, 90), (60, 120), (60, 110)
SELECT, SELECT_OK = (85, 10), (85, 11)

PREAMBLE = b"AMQP\x00\x00\x09\x01"


def short(text):
    raw = text.encode()
    return struct.pack("!B", len(raw)) + raw


def frame(kind, channel, payload):
    return struct.pack("!BHI", kind, channel, len(payload)) + payload + END


def method(channel, ids, arguments=b""):
    return frame(METHOD, channel, struct.pack("!HH", *ids) + arguments)


def start_ok():
    plain = b"\x00guest\x00guest"
    return method(0, START_OK, struct.pack("!I", 0) + short("PLAIN") + struct.pack("!I", len(plain)) + plain +
                  short("en_US"))


def tune_ok(channel_max=2047, frame_max=131072, heartbeat=0):
    return method(0, TUNE_OK, struct.pack("!HIH", channel_max, frame_max, heartbeat))


def open_vhost(name="/"):
    return method(0, OPEN, short(name) + b"\x00\x00")


def close_connection():
    return method(0, CLOSE, struct.pack("!H", 200) + short("bye") + struct.pack("!HH", 0, 0))


def queue_declare(channel, name, passive=0, durable=0, exclusive=0, auto_delete=0, nowait=0):
    bits = passive | durable << 1 | exclusive << 2 | auto_delete << 3 | nowait << 4
    return method(channel, QUEUE_DECLARE, b"\x00\x00" + short(name) + struct.pack("!BI", bits, 0))


def queue_delete(channel, name, if_unused=0, if_empty=0, nowait=0):
    return method(channel, QUEUE_DELETE,
                  b"\x00\x00" + short(name) + struct.pack("!B", if_unused | if_empty << 1 | nowait << 2))


def queue_bind(channel, queue, exchange, key, nowait=0):
    return method(channel, QUEUE_BIND, b"\x00\x00" + short(queue) + short(exchange) + short(key) +
                  struct.pack("!BI", nowait, 0))


def queue_unbind(channel, queue, exchange, key):
    return method(channel, QUEUE_UNBIND, b"\x00\x00" + short(queue) + short(exchange) + short(key) +
                  struct.pack("!I", 0))


def queue_purge(channel, name, nowait=0):
    return method(channel, QUEUE_PURGE, b"\x00\x00" + short(name) + struct.pack("!B", nowait))


def exchange_declare(channel, name, kind, nowait=0, auto_delete=0):
    return method(channel, EXCHANGE_DECLARE, b"\x00\x00" + short(name) + short(kind) +
                  struct.pack("!BI", auto_delete << 2 | nowait << 4, 0))


def exchange_delete(channel, name, if_unused=0, nowait=0):
    return method(channel, EXCHANGE_DELETE,
                  b"\x00\x00" + short(name) + struct.pack("!B", if_unused | nowait << 1))


def content(channel, size, body, frame_max=131072):
    """Header frame for size bytes and body frames for what is given of them."""
    parts = [frame(HEADER, channel, struct.pack("!HHQH", 60, 0, size, 0))]
    step = frame_max - 8
    parts += [frame(BODY, channel, body[at:at + step]) for at in range(0, len(body), step)]
    return b"".join(parts)


def publish(channel, exchange, key, body, mandatory=0, size=None, frame_max=131072):
    return method(channel, PUBLISH, b"\x00\x00" + short(exchange) + short(key) + struct.pack("!B", mandatory)) + \
        content(channel, len(body) if size is None else size, body, frame_max)


def consume(channel, queue, tag="", no_ack=0, exclusive=0, nowait=0):
    return method(channel, CONSUME, b"\x00\x00" + short(queue) + short(tag) +
                  struct.pack("!BI", no_ack << 1 | exclusive << 2 | nowait << 3, 0))


def cancel(channel, tag, nowait=0):
    return method(channel, CANCEL, short(tag) + struct.pack("!B", nowait))


def qos(channel, count, every=0):
    return method(channel, QOS, struct.pack("!IHB", 0, count, every))


def get(channel, queue, no_ack=0):
    return method(channel, GET, b"\x00\x00" + short(queue) + struct.pack("!B", no_ack))


def ack(channel, tag, multiple=0):
    return method(channel, ACK, struct.pack("!QB", tag, multiple))


def nack(channel, tag, multiple=0, requeue=1):
    return method(channel, NACK, struct.pack("!QB", tag, multiple | requeue << 1))


def reject(channel, tag, requeue=1):
    return method(channel, REJECT, struct.pack("!QB", tag, requeue))


def recover(channel, requeue=1):
    return method(channel, RECOVER, struct.pack("!B", requeue))


def frames(buffer):
    """Takes whole frames off the front of a bytearray: (kind, channel, payload)."""
    at = 0
    while len(buffer) - at >= 8:
        kind, channel, size = struct.unpack_from("!BHI", buffer, at)
        if len(buffer) - at < size + 8:
            break
        yield kind, channel, bytes(buffer[at + 7:at + 7 + size])
        at += size + 8
    del buffer[:at]


def ids(payload):
    return struct.unpack_from("!HH", payload)


class Closed(Exception):
    """The broker closed the connection or the channel: code and text."""

    def __init__(self, code, text, of_channel):
        super().__init__("%d %s" % (code, text))
        self.code, self.text, self.of_channel = code, text, of_channel


class Client:
    """A blocking client that behaves."""

    def __init__(self, address, port=5672, timeout_s=5.0, heartbeat=0, channel=True, rx_bytes=None, vhost="/"):
        self.socket = socket.socket()
        if rx_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rx_bytes)
        self.socket.settimeout(timeout_s)
        self.socket.connect((address, port))
        self.buffer = bytearray()
        self.waiting = []
        self.send(PREAMBLE)
        self.expect(START)
        self.send(start_ok())
        _, tune = self.expect(TUNE)
        self.send(tune_ok(*struct.unpack_from("!HI", tune, 4), heartbeat=heartbeat) + open_vhost(vhost))
        self.expect(OPEN_OK)
        if channel:
            self.ask(method(1, CHANNEL_OPEN, b"\x00"), CHANNEL_OPEN_OK)

    def send(self, data):
        self.socket.sendall(data)

    def next_frame(self):
        while not self.waiting:
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionError("end of stream")
            self.buffer += data
            self.waiting = list(frames(self.buffer))
        return self.waiting.pop(0)

    def next_method(self):
        while True:
            kind, _, payload = self.next_frame()
            if kind != METHOD:
                continue
            which = ids(payload)
            if which in (CLOSE, CHANNEL_CLOSE):
                code, n = struct.unpack_from("!HB", payload, 4)
                raise Closed(code, payload[7:7 + n].decode(), which == CHANNEL_CLOSE)
            return which, payload

    def expect(self, *wanted):
        while True:
            which, payload = self.next_method()
            if which in wanted:
                return which, payload

    def ask(self, data, *wanted):
        self.send(data)
        return self.expect(*wanted)

    def declare(self, name, **bits):
        """(name, messages, consumers)"""
        _, p = self.ask(queue_declare(1, name, **bits), QUEUE_DECLARE_OK)
        n = p[4]
        return (p[5:5 + n].decode(), *struct.unpack_from("!II", p, 5 + n))

    def body(self):
        """The content that follows a deliver, get-ok or return."""
        _, _, header = self.next_frame()
        left = struct.unpack_from("!Q", header, 4)[0]
        parts = []
        while left:
            _, _, part = self.next_frame()
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def close(self):
        try:
            self.ask(close_connection(), CLOSE_OK)
        finally:
            self.socket.close()

    def drop(self, hard=False):
        if hard:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def good_client_works(address, port=5672, timeout_s=5.0):
    """Publishes with confirm, gets, deletes. Raises where anything is wrong. Returns seconds taken."""
    begin = time.monotonic()
    c = Client(address, port, timeout_s)
    name, _, _ = c.declare("", exclusive=1)
    c.ask(method(1, SELECT, b"\x00"), SELECT_OK)
    body = bytes(range(256)) * 20
    c.ask(publish(1, "", name, body), ACK)
    c.ask(get(1, name, no_ack=1), GET_OK)
    if c.body() != body:
        raise AssertionError("the body came back changed")
    c.ask(queue_delete(1, name), QUEUE_DELETE_OK)
    c.close()
    return time.monotonic() - begin
