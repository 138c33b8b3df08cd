# SPDX-License-Identifier: Apache-2.0
"""Dialogues with a broker over several connections, and all that it says, as lines, step by step. What RabbitMQ
said is kept in dialogues.txt; where Godwit says something else it stands there with the reason.

    DIALOGUES=FILE tests/interop/run --oracle --client raw --scenario NAME    what RabbitMQ says, recorded there
"""
import re
import select
import socket
import struct
import time

from pika import spec
from tables import properties, properties_text, shown, table
from wire import BODY, HEADER, HEARTBEAT, METHOD, PROTOCOL_HEADER, Unexpected, method, raw_frame, start_ok

ANSWER_S_MAX = 10
QUIET_S = 0.5  # where it is recorded what is said: so long nothing more has been
PATIENCE_S = 0.1
CHANNEL_MAX, FRAME_MAX, LAST = 100, 131072, 99  # LAST: a channel to ask whether all before it has been acted upon
END = "end"
CONTENTS = ("Basic.Deliver", "Basic.GetOk", "Basic.Return")
BARRIER = method(LAST, spec.Exchange.Declare(exchange="amq.direct", type="direct", passive=True))


def method_line(channel, found):
    """Attributes that are neither empty nor 0."""
    said = ["%s=%r" % (name, value) for name, value in sorted(vars(found).items()) if value and name[0] != "_"]
    return " ".join(["%d %s" % (channel, found.NAME), *said])


class Speaker:
    """A connection. What the broker closes is opened again when it is needed."""

    def __init__(self, dialogue, letter, capable):
        self.dialogue = dialogue
        self.letter = letter
        self.capable = capable
        self.socket = None
        self.open()

    def open(self):
        if self.socket:
            self.socket.close()
        self.buffer, self.lines, self.contents = b"", [], {}
        self.closed, self.over, self.passed = set(range(1, CHANNEL_MAX + 1)), False, 0
        self.socket = socket.create_connection(self.dialogue.address, timeout=ANSWER_S_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(PROTOCOL_HEADER)
        self.until("Connection.Start")
        self.send(start_ok() if self.capable else method(0, spec.Connection.StartOk(
            client_properties={}, mechanism="PLAIN", response="\0guest\0guest", locale="en_US")))
        self.until("Connection.Tune")
        self.send(method(0, spec.Connection.TuneOk(CHANNEL_MAX, FRAME_MAX, 0)), method(0, spec.Connection.Open("/")))
        self.until("Connection.OpenOk")
        self.ready(LAST)
        self.lines = []

    def send(self, *pieces):
        try:
            self.socket.sendall(b"".join(pieces))
        except OSError:
            pass  # what it thought of what came before is read all the same

    def until(self, word):
        deadline = time.monotonic() + ANSWER_S_MAX
        while not any(word in line for line in self.lines):
            if self.over or time.monotonic() > deadline:
                raise Unexpected("no %s, but %s" % (word, self.lines))
            self.hear(0.1)

    def ready(self, channel):
        """The connection and the channel are open."""
        if self.over:
            self.open()
        if channel in self.closed:
            self.closed.discard(channel)
            before, self.lines = self.lines, []
            self.send(method(channel, spec.Channel.Open()))
            self.until("%d Channel.OpenOk" % channel)
            self.lines = before + [line for line in self.lines if "Channel.OpenOk" not in line]

    def hear(self, wait_s):
        """What has come, or comes within the time. False: nothing."""
        if self.over or not select.select([self.socket], [], [], wait_s)[0]:
            return False
        try:
            octets = self.socket.recv(1 << 20)
        except ConnectionResetError:
            octets = b""
        self.over = not octets
        self.buffer += octets
        while len(self.buffer) >= 7:
            kind, channel, size = struct.unpack_from(">BHI", self.buffer)
            if len(self.buffer) < size + 8:
                break
            payload, self.buffer = self.buffer[7:7 + size], self.buffer[8 + size:]
            self.frame(kind, channel, payload)
        return True

    def say_line(self, line):
        self.lines.append("%s %s" % (self.letter, self.dialogue.plain(line)))

    def frame(self, kind, channel, payload):
        if kind == METHOD:
            self.method(channel, payload)
        elif kind == HEADER:
            content = self.contents[channel]
            content[1] = struct.unpack_from(">Q", payload, 4)[0]
            content[0] += " {%s}" % properties_text(payload[12:])
        elif kind == BODY:
            self.contents[channel][2] += payload
        content = self.contents.get(channel)
        if kind != HEARTBEAT and content and content[1] is not None and len(content[2]) >= content[1]:
            self.say_line("%s %s" % (content[0], shown(content[2])))
            del self.contents[channel]

    def method(self, channel, payload):
        found = spec.methods[struct.unpack_from(">I", payload)[0]]()
        if isinstance(found, spec.Connection.Start):
            self.say_line(found.NAME)
            return
        found.decode(payload, 4)
        if channel == LAST and isinstance(found, spec.Exchange.DeclareOk):
            self.passed += 1
            return
        line = method_line(channel, found)
        if found.NAME in CONTENTS:
            self.contents[channel] = [line, None, b""]
            return
        self.say_line(line)
        if isinstance(found, spec.Channel.Close):
            self.closed.add(channel)
            self.send(method(channel, spec.Channel.CloseOk()))
        elif isinstance(found, spec.Connection.Close):
            self.send(method(0, spec.Connection.CloseOk()))
            self.over = True

    # -- what a case says

    def say(self, text, octets, channel=1):
        """Any octets; the channel is opened before where it is not."""
        self.ready(channel)
        self.dialogue.step("%s: %s" % (self.letter, text), self, lambda: self.send(octets))

    def do(self, channel, asked, arguments=None, text=None):
        self.say(text or "%d %s" % (channel, asked.NAME), call(channel, asked, arguments), channel)

    def publish(self, channel, exchange, key, body="m", **more):
        self.say("%d publish %s" % (channel, body), publish(channel, exchange, key, body, **more), channel)

    def get(self, channel, queue, no_ack=True):
        self.do(channel, spec.Basic.Get(queue=queue, no_ack=no_ack))

    def drain(self, channel, queue):
        """Gets until there is nothing; 20 at most."""
        for _ in range(20):
            self.get(channel, queue)
            if not any("Basic.GetOk" in line for line in self.dialogue.said[-1][1]):
                return

    def close_channel(self, channel):
        self.do(channel, spec.Channel.Close(200, "", 0, 0))
        self.closed.add(channel)

    def close(self):
        self.dialogue.step("%s: close" % self.letter, self, lambda: self.send(
            method(0, spec.Connection.Close(200, "", 0, 0))))
        self.over = True


def call(channel, asked, arguments=None):
    """A method frame; its last argument, which is a table, may be one with types."""
    octets = b"".join(asked.encode())
    if arguments is not None:
        octets = octets[:-4] + table(arguments)
    return raw_frame(METHOD, channel, struct.pack(">I", asked.INDEX) + octets)


def publish(channel, exchange, key, body="m", mandatory=False, immediate=False, **given):
    body = body.encode()
    frames = call(channel, spec.Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory,
                                              immediate=immediate))
    frames += raw_frame(HEADER, channel, struct.pack(">HHQ", 60, 0, len(body)) + properties(given))
    return frames + (raw_frame(BODY, channel, body) if body else b"")


class Dialogue:
    """wanted: the steps as they are expected, or None: what is said is recorded. patient: the broker goes on with
    a step that it does not answer while the next one comes, as RabbitMQ does."""

    def __init__(self, name, address, wanted, patient=False):
        self.name = name
        self.patient = patient
        self.address = address
        self.wanted = wanted
        self.speakers = []
        self.said = []
        self.names = {}

    def connect(self, capable=True):
        speaker = Speaker(self, "abcdefgh"[len(self.speakers)], capable)
        self.speakers.append(speaker)
        return speaker

    def own(self, what):
        """A name that is this dialogue's alone."""
        return "%s.%s" % (self.name, what)

    def plain(self, line):
        """Without what brokers make up: their names are numbered."""
        def numbered(found):
            return self.names.setdefault(found.group(0), "%s#%d" % (found.group(1), len(self.names)))
        return re.sub(r"(amq\.(?:gen|ctag)-|amq\.rabbitmq\.reply-to\.)[^' \"]+", numbered, line)

    def given(self, prefix):
        """The last name that the broker made up, of those that begin so; or None."""
        found = [name for name in self.names if name.startswith(prefix)]
        return found[-1] if found else None

    def step(self, text, speaker, act):
        text = self.plain(text)
        number = len(self.said)
        self.said.append((text, []))
        if self.wanted is not None and (number >= len(self.wanted) or self.wanted[number][0] != text):
            raise Unexpected("%s: said %s, expected %s" % (text, self.said[-2:-1], self.wanted[number - 1:number]))
        act()
        if self.wanted is None:
            self.hear_until_quiet()
        else:
            self.hear_lines(len(self.wanted[number][1]), speaker)
        self.said[-1][1].extend(sorted((line for one in self.speakers for line in one.lines), key=lambda line: line[0]))
        for one in self.speakers:
            one.lines = []

    def hear_until_quiet(self):
        last = time.monotonic()
        while time.monotonic() - last < QUIET_S:
            if any([one.hear(0.002) for one in self.speakers]):
                last = time.monotonic()

    def hear_lines(self, count, speaker):
        """Of a step that is not answered it is asked behind it whether it has been acted upon."""
        deadline = time.monotonic() + ANSWER_S_MAX
        if count == 0 and self.patient:
            time.sleep(PATIENCE_S)
        if count == 0 and not speaker.over:
            speaker.passed = 0
            speaker.send(BARRIER)
        while time.monotonic() < deadline:
            if count and sum(len(one.lines) for one in self.speakers) >= count:
                return
            if count == 0 and (speaker.passed or speaker.over or speaker.lines):
                return
            for one in self.speakers:
                one.hear(0.002)

    def end(self):
        """Nothing more is said."""
        for one in self.speakers:
            if one.over:
                continue
            one.send(method(0, spec.Connection.Close(200, "", 0, 0)))
            one.until("Connection.CloseOk")
            self.said.append(("end", one.lines[:-1]))
            one.over = True
        self.said = [step for step in self.said if step[0] != "end" or step[1]]

    def hold(self, case):
        """All steps of a case: [(text, lines)]."""
        try:
            case(self)
            self.end()
        finally:
            for one in self.speakers:
                one.socket.close()
        return self.said


# -- what is expected

def read(path):
    """{case: {"rabbitmq": steps, "godwit": steps}}. A line's first word says whose it is: = both's, R RabbitMQ's,
    G Godwit's; > begins a step, == a case; # says why the two differ, and must be there."""
    cases, steps = {}, None
    with open(path) as source:
        for line in source.read().splitlines():
            mark, _, text = line.partition(" ")
            if mark == "==":
                steps = cases[text] = {"rabbitmq": [], "godwit": []}
            elif mark == ">":
                for mine in steps.values():
                    mine.append((text, []))
            elif mark in ("=", "R", "G"):
                for who in {"=": ("rabbitmq", "godwit"), "R": ("rabbitmq",), "G": ("godwit",)}[mark]:
                    steps[who][-1][1].append(text)
                if mark != "=" and not why:
                    raise ValueError("%s: no reason before %s" % (path, line))
            why = text if mark == "#" else mark in ("R", "G") and why
    return cases


def write(path, said):
    """said: {case: steps}, of one broker."""
    with open(path, "w") as out:
        for name, steps in said.items():
            out.write("== %s\n" % name)
            for text, lines in steps:
                out.write("> %s\n" % text)
                out.writelines("= %s\n" % line for line in lines)
