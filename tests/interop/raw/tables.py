# SPDX-License-Identifier: Apache-2.0
"""Field tables and properties with their types: what a client's library would hide."""
import struct
import time

NUMBERS = {"b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q", "L": ">Q", "f": ">f", "d": ">d",
           "T": ">Q", "t": ">B"}
PROPERTIES = ["content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id", "reply_to",
              "expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id"]
KINDS = {"headers": "F", "delivery_mode": "B", "priority": "B", "timestamp": "T"}
SHOWN_MAX = 120
NOW_S = 1000  # a time so close is now


class As:
    """A value of one type of the table's, by its letter."""

    def __init__(self, letter, value):
        self.letter = letter
        self.value = value

    def __repr__(self):
        return "%s:%r" % (self.letter, self.value)


def sized(octets):
    return struct.pack(">I", len(octets)) + octets


def encode(value):
    """A typed value. Without As: int I or l, str and bytes S, float d, bool t, None V, list A, dict F."""
    if isinstance(value, As):
        if value.letter in NUMBERS:
            return value.letter.encode() + struct.pack(NUMBERS[value.letter], value.value)
        if value.letter == "D":
            return b"D" + struct.pack(">Bi", *value.value)
        return value.letter.encode() + sized(value.value)
    if value is None:
        return b"V"
    if isinstance(value, bool):
        return encode(As("t", value))
    if isinstance(value, int):
        return encode(As("I" if -(1 << 31) <= value < 1 << 31 else "l", value))
    if isinstance(value, float):
        return encode(As("d", value))
    if isinstance(value, list):
        return b"A" + sized(b"".join(encode(one) for one in value))
    if isinstance(value, dict):
        return b"F" + table(value)
    return b"S" + sized(value.encode() if isinstance(value, str) else value)


def short(text):
    octets = text.encode() if isinstance(text, str) else text
    return struct.pack("B", len(octets)) + octets


def table(fields):
    """fields: a dictionary, or pairs where a name comes several times."""
    pairs = fields.items() if isinstance(fields, dict) else fields
    return sized(b"".join(short(name) + encode(value) for name, value in pairs))


def shown(octets):
    text = octets.decode("latin-1")
    return repr(text if len(text) <= SHOWN_MAX else "%s...%d" % (text[:20], len(text)))


def value_text(octets, at):
    """A value as text, and where it ends."""
    letter, at = chr(octets[at]), at + 1
    if letter in NUMBERS:
        value = struct.unpack_from(NUMBERS[letter], octets, at)[0]
        if letter == "T" and abs(value - time.time()) < NOW_S:
            value = "now"
        return "%s:%s" % (letter, value), at + struct.calcsize(NUMBERS[letter])
    if letter == "V":
        return letter, at
    if letter == "D":
        return "D:%d/%d" % struct.unpack_from(">Bi", octets, at), at + 5
    if letter == "F":
        return table_text(octets, at)
    end = at + 4 + struct.unpack_from(">I", octets, at)[0]
    if letter == "A":
        found, at = [], at + 4
        while at < end:
            text, at = value_text(octets, at)
            found.append(text)
        return "[%s]" % ", ".join(found), end
    return "%s:%s" % (letter, shown(octets[at + 4:end])), end


def table_text(octets, at):
    """In order of names: a table has none."""
    end = at + 4 + struct.unpack_from(">I", octets, at)[0]
    found, at = [], at + 4
    while at < end:
        name = octets[at + 1:at + 1 + octets[at]].decode("latin-1")
        text, at = value_text(octets, at + 1 + octets[at])
        found.append("%s=%s" % (name, text))
    return "{%s}" % ", ".join(sorted(found)), end


def properties(given):
    """A content header's flags and properties, from names and values."""
    flags, octets = 0, b""
    for number, name in enumerate(PROPERTIES):
        if name not in given:
            continue
        flags |= 1 << (15 - number)
        kind = KINDS.get(name)
        if kind == "F":
            octets += table(given[name])
        elif kind:
            octets += struct.pack(NUMBERS[kind], given[name])
        else:
            octets += short(given[name])
    return struct.pack(">H", flags) + octets


def properties_text(octets):
    flags, at, found = struct.unpack_from(">H", octets, 0)[0], 2, []
    for number, name in enumerate(PROPERTIES):
        if not flags & 1 << (15 - number):
            continue
        kind = KINDS.get(name)
        if kind == "F":
            text, at = table_text(octets, at)
        elif kind:
            text = struct.unpack_from(NUMBERS[kind], octets, at)[0]
            at += struct.calcsize(NUMBERS[kind])
        else:
            text = shown(octets[at + 1:at + 1 + octets[at]])
            at += 1 + octets[at]
        found.append("%s=%s" % (name, text))
    if at != len(octets):
        found.append("and %d octets" % (len(octets) - at))
    return " ".join(found)
