# SPDX-License-Identifier: Apache-2.0
"""Bad input to the broker's own TCP stack: frames by hand over the TAP, beside a connection of the kernel's
TCP that must not feel them. After each case: the drops are counted where the list says so, that connection
and a new client work, and the pools are full again."""
import os
import random
import socket
import struct
import time

from brokers import PORT
from good_client import good_client
from pika import spec
from segments import ACK, FIN, PSH, RST, SYN, URG, Tap, arp, ethernet, icmp, ipv4, tcp
from status import StatusError
from wire import Unexpected, Wire

SEED = int(os.environ.get("SEED", "20200"))
HOST, BROKER = "198.18.0.1", "198.18.0.2"
GARBAGE = b"\xceGARBAGE" * 4


class Bystander:
    """An AMQP connection of the kernel's TCP that the bad segments claim to belong to."""

    def __init__(self, tap):
        self.tap = tap
        self.wire = Wire(BROKER, PORT)
        self.wire.open()
        self.wire.channel()
        self.local_port = self.wire.socket.getsockname()[1]
        self.look()

    def works(self):
        self.wire.call(1, spec.Basic.Qos(prefetch_count=1), spec.Basic.QosOk)

    def look(self):
        """Where its sequence numbers stand."""
        self.sequence, self.acknowledge = self.tap.watch(self.local_port, self.works)

    def close(self):
        self.wire.socket.close()


class Segments:
    def __init__(self, stage):
        self.stage = stage
        self.tap = Tap(stage.broker.tap, HOST, BROKER)
        self.bystander = Bystander(self.tap)
        self.rng = random.Random(SEED)
        self.next_port = 20000
        # The bystander belongs to the resting use while the cases run.
        self.rest_before = stage.rest
        self.rest = stage.status.pools_used()

    def fresh_port(self):
        self.next_port += 1
        return self.next_port

    def live(self, **fields):
        """A segment of the bystander's connection."""
        given = dict({"source_port": self.bystander.local_port, "sequence": self.bystander.sequence,
                      "acknowledge": self.bystander.acknowledge, "flags": ACK | PSH}, **fields)
        return tcp(HOST, BROKER, given.pop("source_port"), PORT, **given)

    def ip(self, payload, **fields):
        self.tap.send_ip(ipv4(HOST, BROKER, payload, **fields))

    def case(self, name, action, counted=()):
        """counted: counters of which each must have grown."""
        if not self.stage.wanted("scenario", name):
            return
        label = "segments bypass " + name
        begin = time.monotonic()
        try:
            before = self.stage.status.stack_counters()
            action()
            time.sleep(0.05)
            after = self.stage.status.stack_counters()
            for counter in counted:
                if after[counter] <= before[counter]:
                    raise Unexpected("the counter %s did not grow" % counter)
            self.bystander.works()
            good_client(BROKER)
            differs = self.stage.status.wait_rest(self.rest, bystanders=1)
            if differs:
                raise Unexpected("not at rest afterwards: " + differs)
            self.bystander.look()
            self.stage.report.ok(label, time.monotonic() - begin)
        except (Unexpected, OSError, StatusError) as problem:
            why = str(problem) or type(problem).__name__
            if not self.stage.broker.alive():
                why = "the broker ended (%s); %s" % (self.stage.broker.process.returncode, why)
            self.stage.report.not_ok(label, why)
            self.renew()

    def renew(self):
        self.bystander.close()
        self.tap.close()
        self.stage.recover()
        good_client(BROKER)
        self.tap = Tap(self.stage.broker.tap, HOST, BROKER)
        self.bystander = Bystander(self.tap)
        self.rest = self.stage.status.pools_used()

    def close(self):
        self.bystander.close()
        self.tap.close()
        label = "segments bypass all_over"
        differs = self.stage.status.wait_rest(self.rest_before)
        if differs:
            self.stage.report.not_ok(label, "not at rest afterwards: " + differs)
        else:
            self.stage.report.ok(label)


# ---- Ethernet and ARP ----


def link(cases):
    tap = cases.tap

    def short_frames():
        whole = ethernet(tap.broker_mac, tap.mac, ipv4(HOST, BROKER, cases.live(payload=GARBAGE)))
        for length in range(14, len(whole)):
            cases.tap.send(whole[:length])
    cases.case("frame_at_every_length", short_frames, ["ipv4_short"])

    def kinds():
        for kind in (0x0000, 0x0026, 0x05DC, 0x0600, 0x8100, 0x86DD, 0x88A8, 0x88CC, 0xFFFF):
            for payload in (b"", b"\0" * 46, cases.rng.randbytes(1500)):
                tap.send(ethernet(tap.broker_mac, tap.mac, payload, kind))
        for destination in (b"\xff" * 6, b"\x01\x00\x5e\0\0\1", b"\x33\x33\0\0\0\1", b"\x02\0\0\0\0\x99"):
            tap.send(ethernet(destination, tap.mac, ipv4(HOST, BROKER, cases.live(payload=GARBAGE))))
        tap.send(ethernet(tap.broker_mac, tap.broker_mac, ipv4(HOST, BROKER, cases.live(payload=GARBAGE))))
        tap.send(ethernet(tap.broker_mac, b"\xff" * 6, ipv4(HOST, BROKER, cases.live(payload=GARBAGE))))
    cases.case("ethernet_kinds_and_stations", kinds, ["eth_type", "eth_source"])

    def bad_arp():
        zero, own = b"\0" * 6, tap.broker_mac
        whole = arp(1, tap.mac, HOST, zero, BROKER)
        packets = [whole[:length] for length in range(len(whole))]
        packets += [arp(operation, tap.mac, HOST, zero, BROKER) for operation in (0, 3, 8, 99, 65535)]
        packets += [arp(1, tap.mac, HOST, zero, BROKER, hardware=9), arp(1, tap.mac, HOST, zero, BROKER, protocol=0x86DD),
                    arp(1, tap.mac, HOST, zero, BROKER, sizes=(255, 255)), arp(1, tap.mac, HOST, zero, BROKER, sizes=(0, 0)),
                    arp(2, b"\xff" * 6, HOST, own, BROKER), arp(2, tap.mac, BROKER, own, BROKER),
                    arp(1, tap.mac, "0.0.0.0", zero, BROKER), arp(1, tap.mac, "224.0.0.1", zero, BROKER),
                    arp(1, tap.mac, "255.255.255.255", zero, BROKER)]
        for packet in packets:
            tap.send(ethernet(own, tap.mac, packet, 0x0806))
            tap.send(ethernet(b"\xff" * 6, tap.mac, packet, 0x0806))
        # The right answer once more, whatever was believed meanwhile.
        tap.send(ethernet(own, tap.mac, arp(2, tap.mac, HOST, own, BROKER), 0x0806))
    cases.case("arp_malformed", bad_arp, ["arp_malformed"])


# ---- IPv4 and ICMP ----


def internet(cases):
    def wrong_checksums():
        for number in range(50):
            cases.ip(cases.live(payload=GARBAGE), wrong_checksum=1 << number % 16)
    cases.case("ipv4_checksum", wrong_checksums, ["ipv4_checksum"])

    def lengths():
        segment = cases.live(payload=GARBAGE)
        for total in list(range(0, 41)) + [20 + len(segment) + 1, 1500, 9000, 65535]:
            cases.ip(segment, total=total)
        for words in (0, 1, 2, 3, 4, 15):
            cases.ip(segment, header_words=words)
        cases.ip(b"", header_words=15)
    cases.case("ipv4_lengths", lengths, ["ipv4_short", "ipv4_version"])

    def versions():
        for version in (0, 1, 5, 6, 15):
            cases.ip(cases.live(payload=GARBAGE), version=version)
    cases.case("ipv4_versions", versions, ["ipv4_version"])

    def fragments():
        for fragment in (0x2000, 0x2001, 0x0001, 0x1FFF, 0x3FFF, 0x6000):
            cases.ip(cases.live(payload=GARBAGE), fragment=fragment)
    cases.case("ipv4_fragments", fragments, ["frag_in"])

    def addresses():
        for source in ("0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1", BROKER, "198.18.0.3", "198.18.0.0"):
            cases.tap.send_ip(ipv4(source, BROKER, tcp(source, BROKER, 1000, PORT)))
            cases.tap.send_ip(ipv4(source, BROKER, tcp(source, BROKER, PORT, PORT)))
        for destination in ("198.18.0.3", "255.255.255.255", "224.0.0.1", "127.0.0.1", "10.1.2.3"):
            cases.tap.send_ip(ipv4(HOST, destination, tcp(HOST, destination, 1001, PORT)))
    cases.case("ipv4_addresses", addresses, ["ipv4_source", "ipv4_not_ours"])

    def protocols():
        for protocol in (0, 2, 17, 41, 50, 132, 255):
            for payload in (b"", b"\0", cases.rng.randbytes(100)):
                cases.ip(payload, protocol=protocol)
        for options in (b"\x83\x03\x10\0", b"\x07\x04\x05\0", b"\x44\xff\0\0", b"\xff\0\xff\0", b"\x94\x04\0\0"):
            cases.ip(tcp(HOST, BROKER, cases.fresh_port(), 1), options=options, header_words=6)
    cases.case("ipv4_protocols_and_options", protocols, ["ipv4_protocol"])

    def messages():
        whole = icmp(8, 0, struct.pack(">HH", 1, 1) + b"x" * 56)
        for length in range(len(whole)):
            cases.ip(whole[:length], protocol=1)
        cases.ip(icmp(8, 0, b"\0\0\0\0" + b"x" * 56, wrong_checksum=0x1111), protocol=1)
        quoted = ipv4(BROKER, HOST, tcp(BROKER, HOST, PORT, cases.bystander.local_port, cases.bystander.acknowledge, 0, ACK))
        for kind, code, rest in ((3, 1, 0), (3, 3, 0), (3, 4, 0), (3, 4, 68), (3, 4, 1), (4, 0, 0), (5, 1, 0x01020304),
                                 (11, 0, 0), (12, 0, 0), (13, 0, 0), (17, 0, 0), (255, 255, 0)):
            for length in (0, 7, 20, 28, len(quoted)):
                cases.ip(icmp(kind, code, struct.pack(">I", rest) + quoted[:length]), protocol=1)
    cases.case("icmp_malformed", messages, ["icmp_short", "icmp_checksum"])


# ---- TCP ----


def transport(cases):
    def wrong_checksums():
        for number in range(50):
            cases.ip(cases.live(payload=GARBAGE, wrong_checksum=1 << number % 16))
        cases.ip(cases.live(flags=RST, wrong_checksum=0x0100))
        cases.ip(cases.live(flags=FIN | ACK, wrong_checksum=0x8000))
    cases.case("tcp_checksum", wrong_checksums, ["tcp_checksum"])

    def lengths():
        whole = cases.live(payload=GARBAGE)
        for length in range(20):
            cases.ip(whole[:length])
        for words in (0, 1, 4, 15):
            cases.ip(cases.live(payload=b"", header_words=words))
            cases.ip(tcp(HOST, BROKER, cases.fresh_port(), PORT, header_words=words))
    cases.case("tcp_lengths", lengths, ["tcp_short"])

    malformed = [b"\x02", b"\x02\x00", b"\x02\x01", b"\x02\x03\x05\x01", b"\x02\x05\x05\xb4\x01\x01\x01\x01",
                 b"\x02\xff\x05\xb4", b"\x03\x00\x07\x00", b"\x03\x02\x01\x01", b"\x03\x04\x07\x01", b"\x04\x03\x01\x01",
                 b"\x05\x01\x01\x01", b"\x05\x09" + b"\1" * 10, b"\x05\x0b" + b"\1" * 10, b"\x08\x09" + b"\1" * 10,
                 b"\x08\x0b" + b"\1" * 10, b"\x08\x00\x01\x01", b"\x01\x01\x01\x08", b"\xfe\x00\x00\x00",
                 b"\xfe\x01\x00\x00", b"\xfe\xff\x00\x00", b"\xff" * 40]
    extreme = [b"\x02\x04\x00\x00", b"\x02\x04\x00\x01", b"\x02\x04\xff\xff", b"\x03\x03\xff\x00", b"\x03\x03\x0f\x00",
               b"\x04\x02" * 20, b"\x01" * 40, b"\x00" + b"\xff" * 39, b"\x08\x0a" + b"\0" * 8 + b"\x01\x01",
               b"\x08\x0a" + b"\xff" * 8 + b"\x01\x01", b"\x05\x0a" + b"\0" * 8 + b"\x01\x01", b"\x22\x02\x01\x01",
               b"\x1e\x0c" + b"\xaa" * 10, b"\x13\x12" + b"\xbb" * 18 + b"\x01\x01"]

    def options_on_syn():
        for options in malformed + extreme:
            cases.tap.send_tcp(source_port=cases.fresh_port(), flags=SYN, options=options)
    cases.case("tcp_options_on_syn", options_on_syn)

    def options_on_live():
        # Outside the window: whatever the options are taken for, the connection must not change.
        for options in malformed + extreme:
            cases.ip(cases.live(flags=ACK, sequence=cases.bystander.sequence - 1, options=options))
            cases.ip(cases.live(flags=ACK | PSH, sequence=cases.bystander.sequence + (1 << 30), options=options,
                                payload=GARBAGE))
    cases.case("tcp_options_on_live", options_on_live)

    def flags():
        for value in range(256):
            far = cases.bystander.sequence + (1 << 30)
            cases.tap.send_tcp(source_port=cases.fresh_port(), flags=value, sequence=1, acknowledge=1)
            cases.tap.send_tcp(source_port=cases.fresh_port(), port=9, flags=value, payload=GARBAGE)
            cases.ip(cases.live(flags=value, sequence=far, acknowledge=cases.rng.getrandbits(32), payload=GARBAGE))
    cases.case("tcp_all_flags", flags, ["tcp_no_conn", "tcp_rst_ignored", "tcp_out_of_window"])

    def numbers():
        for _ in range(500):
            offset = cases.rng.choice((1 << 20, 1 << 24, 1 << 30, 1 << 31, -(1 << 20), -(1 << 30))) + cases.rng.randrange(4096)
            cases.ip(cases.live(sequence=cases.bystander.sequence + offset, flags=cases.rng.choice((ACK, RST, RST | ACK, SYN, FIN | ACK)),
                                payload=cases.rng.choice((b"", GARBAGE))))
            cases.ip(cases.live(flags=ACK, acknowledge=cases.bystander.acknowledge + cases.rng.choice((1 << 20, 1 << 30)), payload=b""))
    cases.case("tcp_numbers_outside", numbers, ["tcp_out_of_window"])

    def ports():
        for source_port, port in ((0, PORT), (PORT, 0), (0, 0), (65535, 65535)):
            for value in (SYN, ACK, RST, SYN | ACK, FIN):
                cases.tap.send_tcp(source_port=source_port, port=port, flags=value)
        for _ in range(200):
            cases.tap.send_tcp(source_port=cases.rng.randrange(1, 65536), port=cases.rng.choice((1, 80, 5671, 5673)), flags=SYN)
    cases.case("tcp_ports", ports)

    def urgent():
        for pointer in (0, 1, 5000, 65535):
            cases.tap.send_tcp(source_port=cases.fresh_port(), flags=SYN | URG, urgent=pointer)
            cases.ip(cases.live(flags=ACK | URG, urgent=pointer, sequence=cases.bystander.sequence - 1))
    cases.case("tcp_urgent", urgent)

    def flood():
        for _ in range(3000):
            cases.tap.send_tcp(source_port=cases.fresh_port(), flags=SYN, sequence=cases.rng.getrandbits(32),
                               options=b"\x02\x04\x05\xb4\x04\x02\x08\x0a\0\0\0\1\0\0\0\0\x01\x03\x03\x07")
    cases.case("tcp_syn_flood_3000", flood, ["tcp_syn_in"])


def noise(cases):
    def damaged():
        """Right frames with one to eight bytes changed behind the Ethernet header, checksums as they fall."""
        for number in range(3000):
            segment = cases.live(payload=GARBAGE, sequence=cases.bystander.sequence + (1 << 30)) if number % 2 else tcp(
                HOST, BROKER, cases.fresh_port(), PORT, options=b"\x02\x04\x05\xb4")
            frame = bytearray(ethernet(cases.tap.broker_mac, cases.tap.mac, ipv4(HOST, BROKER, segment)))
            for _ in range(cases.rng.randint(1, 8)):
                frame[cases.rng.randrange(12, len(frame))] = cases.rng.randrange(256)
            cases.tap.send(bytes(frame))
    cases.case("damaged_frames_seed_%d" % SEED, damaged)

    def random_frames():
        for _ in range(2000):
            kind = cases.rng.choice((0x0800, 0x0800, 0x0806, 0x86DD, cases.rng.randrange(65536)))
            cases.tap.send(ethernet(cases.tap.broker_mac, cases.tap.mac, cases.rng.randbytes(cases.rng.randrange(1500)), kind))
    cases.case("random_frames_seed_%d" % SEED, random_frames)


def run(stage):
    cases = Segments(stage)
    try:
        for part in (link, internet, transport, noise):
            part(cases)
    finally:
        cases.close()
