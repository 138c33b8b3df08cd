# SPDX-License-Identifier: Apache-2.0
"""A client of raw bytes: the handshake when wanted, then any bytes at all, and what came back."""
import socket
import struct
import time

from pika import amqp_object, frame, spec

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME_END = 0xCE


class UpdateSecretOk(amqp_object.Method):
    """connection.update-secret-ok, which pika does not know."""
    INDEX = 10 << 16 | 71
    NAME = "Connection.UpdateSecretOk"

    @staticmethod
    def encode():
        return []

    def decode(self, _encoded, _offset=0):
        return self


spec.methods.setdefault(UpdateSecretOk.INDEX, UpdateSecretOk)


class Unexpected(Exception):
    """The broker did not answer as expected, with what it did."""


def raw_frame(kind, channel, payload, end=FRAME_END, size=None):
    """A frame that need not be right."""
    return struct.pack(">BHI", kind, channel, len(payload) if size is None else size) + payload + bytes([end])


def method(channel, value):
    return frame.Method(channel, value).marshal()


def content_header(channel, body_size, class_id=60, weight=0, properties=b"\x00\x00"):
    return raw_frame(HEADER, channel, struct.pack(">HHQ", class_id, weight, body_size) + properties)


def body(channel, data):
    return raw_frame(BODY, channel, data)


def start_ok(password="guest", mechanism="PLAIN"):
    return method(0, spec.Connection.StartOk(
        client_properties={"capabilities": {"authentication_failure_close": True}}, mechanism=mechanism,
        response="\0guest\0" + password, locale="en_US"))


class Wire:
    def __init__(self, host, port, timeout_s=10.0):
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout_s = timeout_s
        self.buffer = b""
        self.frame_max = self.channel_max = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *pieces):
        """Sends bytes; a broker that closed meanwhile is no error here, the answer says what it thought."""
        try:
            self.socket.sendall(b"".join(pieces))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def read(self):
        """The next frame as (frame type, channel, method or bytes); None at the end of the stream."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            consumed, found = frame.decode_frame(self.buffer)
            if consumed:
                self.buffer = self.buffer[consumed:]
                return found
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            except socket.timeout:
                raise Unexpected("no frame within %.0f s" % self.timeout_s) from None
            if not piece:
                return None
            self.buffer += piece

    def read_method(self, *kinds):
        """The next method, heartbeats passed over; it must be one of the kinds."""
        while True:
            found = self.read()
            if found is None:
                raise Unexpected("the connection ended instead of %s" % "/".join(k.NAME for k in kinds))
            if isinstance(found, frame.Heartbeat):
                continue
            if not isinstance(found, frame.Method) or not isinstance(found.method, kinds):
                raise Unexpected("found %s instead of %s" % (found, "/".join(k.NAME for k in kinds)))
            return found.method

    def begin(self):
        """Up to the broker's start."""
        self.send(PROTOCOL_HEADER)
        return self.read_method(spec.Connection.Start)

    def tune(self):
        """Up to the broker's tune."""
        self.begin()
        self.send(start_ok())
        tune = self.read_method(spec.Connection.Tune)
        self.frame_max, self.channel_max = tune.frame_max, tune.channel_max
        return tune

    def open(self, heartbeat=0, vhost="/"):
        self.tune()
        self.send(method(0, spec.Connection.TuneOk(self.channel_max, self.frame_max, heartbeat)),
                  method(0, spec.Connection.Open(vhost)))
        self.read_method(spec.Connection.OpenOk)

    def channel(self, number=1):
        self.send(method(number, spec.Channel.Open()))
        self.read_method(spec.Channel.OpenOk)

    def call(self, channel, request, *answers):
        self.send(method(channel, request))
        return self.read_method(*answers)

    def rest(self):
        """Everything until the end of the stream, as bytes not yet read as frames."""
        deadline = time.monotonic() + self.timeout_s
        while time.monotonic() < deadline:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                return self.buffer
            except socket.timeout:
                break
            if not piece:
                return self.buffer
            self.buffer += piece
        raise Unexpected("the broker keeps the connection open")

    def closing(self, asked_to_close=False):
        """What the broker says to what was sent: (level, code, class, method), or ("closed",) when it ends
        the connection without a word, or ("header",) when it names its own protocol version and ends.
        asked_to_close: a connection.close went out behind it; None when that is what is answered, after
        answers to earlier requests."""
        if self.frame_max is None:
            first = self.rest()
            if first == PROTOCOL_HEADER:
                return ("header",)
            if not first:
                return ("closed",)
        while True:
            found = self.read()
            if found is None:
                return ("closed",)
            answer = getattr(found, "method", None)
            if isinstance(answer, spec.Connection.Close):
                self.send(method(0, spec.Connection.CloseOk()))
                # Both sides may have asked at once: then the broker answers as well.
                if self.rest() not in (b"", method(0, spec.Connection.CloseOk()) if asked_to_close else b""):
                    raise Unexpected("frames after connection.close: %r" % self.buffer[:40])
                return ("connection", answer.reply_code, answer.class_id, answer.method_id)
            if isinstance(answer, spec.Channel.Close):
                self.send(method(found.channel_number, spec.Channel.CloseOk()))
                return ("channel", answer.reply_code, answer.class_id, answer.method_id)
            if asked_to_close and isinstance(answer, spec.Connection.CloseOk):
                return None
            if not asked_to_close and not isinstance(found, frame.Heartbeat) and not (
                    answer and answer.NAME.endswith("Ok")):
                raise Unexpected("found %s" % found)

    def farewell(self):
        """connection.close; answers to earlier requests are passed over."""
        self.send(method(0, spec.Connection.Close(200, "", 0, 0)))
        while True:
            found = self.read()
            if found is None:
                raise Unexpected("the connection ended before close-ok")
            if isinstance(found, frame.Method) and isinstance(found.method, spec.Connection.CloseOk):
                return
