# SPDX-License-Identifier: Apache-2.0
"""What tshark does not print of a pcapng file: statistics and drop counts; and tshark's own reading."""
import struct
import subprocess


def blocks(data):
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if length % 4 or length < 12 or at + length > len(data):
            raise AssertionError("a bad block of %d bytes at %d" % (length, at))
        if struct.unpack_from("<I", data, at + length - 4)[0] != length:
            raise AssertionError("the block at %d ends with another length" % at)
        yield kind, data[at + 8:at + length - 4]
        at += length


def options(body, at):
    found = {}
    while at < len(body):
        code, length = struct.unpack_from("<HH", body, at)
        if code == 0:
            break
        found[code] = body[at + 4:at + 4 + length]
        at += 4 + (length + 3) // 4 * 4
    return found


def statistics(path):
    """By interface: {"received", "dropped", "matched", "delivered"}."""
    with open(path, "rb") as f:
        data = f.read()
    names = {4: "received", 5: "dropped", 6: "matched", 8: "delivered"}
    found = {}
    for kind, body in blocks(data):
        if kind == 5:
            interface = struct.unpack_from("<I", body)[0]
            found[interface] = {names[code]: struct.unpack("<Q", value)[0]
                                for code, value in options(body, 12).items() if code in names}
    return found


def lost_between(path):
    """The sum of what packets say was lost before them."""
    total = 0
    with open(path, "rb") as f:
        data = f.read()
    for kind, body in blocks(data):
        if kind == 6:
            captured = struct.unpack_from("<I", body, 12)[0]
            total += sum(struct.unpack("<Q", value)[0]
                         for code, value in options(body, 20 + (captured + 3) // 4 * 4).items() if code == 4)
    return total


FIELDS = ("frame.interface_name", "frame.packet_flags_direction", "eth.type", "ip.src", "ip.dst", "tcp.srcport",
          "tcp.dstport", "tcp.flags", "frame.len", "frame.cap_len", "frame.time_epoch")


def tshark(path, *words):
    done = subprocess.run(["tshark", "-n", "-r", path, "-o", "ip.check_checksum:TRUE", "-o",
                           "tcp.check_checksum:TRUE", *words], capture_output=True, text=True, timeout=20)
    if done.returncode != 0:
        raise AssertionError("tshark: " + done.stderr)
    return done.stdout


def frames(path):
    """Each frame as {field: text}."""
    words = ["-T", "fields"]
    for field in FIELDS:
        words += ["-e", field]
    return [dict(zip(FIELDS, line.split("\t"))) for line in tshark(path, *words).splitlines()]


def anomalies(path):
    """What tshark's expert finds worse than a note; checksums are looked at."""
    return tshark(path, "-Y", "_ws.expert.severity >= 0x00600000 || _ws.malformed || ip.checksum.status == 0 "
                  "|| tcp.checksum.status == 0").splitlines()
