# SPDX-License-Identifier: Apache-2.0
"""A capture as somebody else reads it: tshark checks every checksum, follows every sequence number and window,
and says what looks wrong. What it says must be what the link did, or what the scenario is about."""
import collections
import os
import re
import struct
import subprocess

from program import need

FIELDS = ("frame.number", "eth.src", "_ws.expert.severity", "_ws.expert.message")
STACK_MAC = "02:00:00:00:00:4d"
SEVERITY_CHAT = 0x00200000

# What is said of every connection that does nothing unusual.
ALWAYS = {
    "TCP window update": "the reader has made room",
    "This frame initiates the connection closing": "a FIN",
    "This frame undergoes the connection closing": "a FIN",
    "TCP window specified by the receiver is now completely full": "the sender used what it was given",
    "stack: TCP Zero Window segment": "an echo reads no faster than it can send",
    "kernel: TCP Checksum 0xffff instead of 0x0000 (see RFC 1624)": "Linux writes zero in its other way",
    "kernel: This frame is a (suspected) retransmission": "Linux probes for a loss while the machine lets the stack wait",
    "kernel: This frame is a (suspected) spurious retransmission": "the same",
    "kernel: Connection reset (RST)": "where that was a FIN, our ACK meets a closed socket; any other fails the scenario",
    "stack: D-SACK Sequence": "the answer to that",
    "stack: Duplicate ACK": "the answer to that",
}
# What a link that loses, doubles or reorders leads to.
BAD_LINK = {
    "This frame is a (suspected) retransmission": "a frame was lost",
    "This frame is a (suspected) fast retransmission": "a frame was lost",
    "This frame is a (suspected) spurious retransmission": "the ACK was lost or late, or the link doubled a frame",
    "This frame is a (suspected) out-of-order segment": "the link is late with some",
    "Previous segment(s) not captured (common at capture start)": "a frame was lost before it came to the capture",
    "ACKed segment that wasn't captured (common at capture start)": "the link is late with some",
    "Duplicate ACK": "a gap: a frame was lost or is late",
    "Connection reset (RST)": "a late frame met a connection that is gone",
    "TCP Zero Window segment": "an echo reads no faster than it can send",
    "D-SACK Sequence": "the link doubled a frame, or it was sent twice",
}


def normal(message):
    """Without the numbers that differ from frame to frame."""
    return re.sub(r"^Duplicate ACK .*", "Duplicate ACK", message).strip()


def expert(path):
    """{(sent by the stack?, message): [frame numbers]} for what is more than a remark."""
    # Ports of ours mean nothing to it, and what applications send is not looked at.
    layers = [w for name in ("frame", "eth", "ethertype", "vlan", "arp", "ip", "ipv6", "icmp", "icmpv6", "tcp", "data")
              for w in ("--enable-protocol", name)]
    command = ["tshark", "--disable-protocol", "ALL", *layers, "-d", "tcp.port==1-65535,data", "-n", "-r", path, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
               "-Y", "_ws.expert", "-T", "fields", "-E", "aggregator=|", *(w for f in FIELDS for w in ("-e", f))]
    done = subprocess.run(command, capture_output=True, text=True)
    need(done.returncode == 0, done.stderr.strip())
    found = collections.defaultdict(list)
    for line in done.stdout.splitlines():
        number, source, severities, messages = line.split("\t")
        for severity, message in zip(severities.split("|"), messages.split("|")):
            if int(severity, 0) > SEVERITY_CHAT:
                found[source == STACK_MAC, normal(message)].append(int(number))
    return found


MALFORMED = "Malformed Packet (Exception occurred)"


def still_there_alone(path, message, numbers):
    """Whether frames show it when nothing else is read: the reader has exceptions of its own where ports are used again,
    and a frame that is really malformed is so by itself."""
    out = path + ".alone"
    with open(path, "rb") as file, open(out, "wb") as copy:
        copy.write(file.read(24))
        number = 0
        while header := file.read(16):
            frame = file.read(struct.unpack("<4I", header)[2])
            number += 1
            if number in numbers:
                copy.write(header + frame)
    return any(message == other for _, other in expert(out))


STACK_RESET = "stack: Connection reset (RST)"


def acknowledged_after_the_end(path):
    """Frames that reset what is over: the stack was the last to close, has sent its FIN or what came before it more than
    once, for a probe or since the ACK was late, and the kernel, in TIME-WAIT, acknowledges that as well. Nothing is left by
    then that could take such an ACK (RFC 9293 section 3.10.7.1; tests/script/cases/tlp-fin-last-ack.pkt). No more resets
    than frames that were sent again, each where the stack's FIN ended."""
    fields = ("frame.number", "eth.src", "tcp.stream", "tcp.flags.fin", "tcp.flags.reset", "tcp.seq_raw", "tcp.len")
    command = ["tshark", "-n", "-r", path, "-Y", "tcp.flags.fin == 1 || tcp.flags.reset == 1 || tcp.len > 0", "-T", "fields",
               *(w for f in fields for w in ("-e", f))]
    done = subprocess.run(command, capture_output=True, text=True)
    need(done.returncode == 0, done.stderr.strip())
    fins, again, furthest, explained = {}, collections.Counter(), {}, set()
    for line in done.stdout.splitlines():
        number, source, stream, fin, reset, seq, length = line.split("\t")
        ours, is_fin = source == STACK_MAC, fin in ("1", "True")
        end = (int(seq) + int(length) + is_fin) & 0xffffffff
        if reset in ("1", "True"):
            over = (stream, False) in fins and fins.get((stream, True)) == int(seq)
            if ours and over and again[stream] > 0:
                again[stream] -= 1
                explained.add(int(number))
            continue
        if is_fin:
            fins[stream, ours] = end
        if not ours:
            continue
        if stream in furthest and (furthest[stream] - end) & 0xffffffff < 1 << 31:
            again[stream] += 1
        else:
            furthest[stream] = end
    return explained


RESENT = ("stack: This frame is a (suspected) retransmission",
          "stack: This frame is a (suspected) spurious retransmission")
TOLD_OF = {"kernel: D-SACK Sequence", "kernel: Duplicate ACK"}


def around(path, number):
    """The frames before one and itself, a line each, for whoever reads the failure: captures are gone by then."""
    done = subprocess.run(["tshark", "-n", "-r", path, "-Y", f"frame.number >= {number - 6} && frame.number <= {number + 1}"],
                          capture_output=True, text=True)
    return done.stdout.rstrip()


def examine(path, allowed, probes):
    """allowed: messages of either side, or "kernel: MESSAGE", with the reason each; "kernel: *" is all of them.
    probes: so many frames the stack has sent as tail loss probes (RFC 8985 section 7), which need no loss, and
    which the kernel reports as duplicates. Raises when there is another message."""
    strange = []
    found = expert(path)
    for (ours, message), frames in sorted(found.items()):
        side = "stack" if ours else "kernel"
        if f"{side}: {message}" in RESENT and len(frames) <= probes:
            continue
        if f"{side}: {message}" in TOLD_OF and probes:
            continue
        if f"{side}: {message}" == STACK_RESET and set(frames) <= acknowledged_after_the_end(path):
            continue
        if message == MALFORMED and not still_there_alone(path, message, set(frames)):
            continue
        if not {message, f"{side}: {message}", f"{side}: *"} & (allowed.keys() | ALWAYS.keys()):
            strange.append(f"{side}: {message}: {len(frames)} frames, the first {frames[0]}\n{around(path, frames[0])}")
    need(not strange, "\n".join(strange))
    said = sum(len(frames) for frames in found.values())
    return f"{os.path.getsize(path) // 1000} kB of frames, {said} remarks, all explained"


def altered(path, out, change):
    """A copy of a capture: change(frame) is given the tenth full frame of the stack, and returns None to leave
    it out."""
    full = 0
    with open(path, "rb") as file, open(out, "wb") as copy:
        copy.write(file.read(24))
        while header := file.read(16):
            frame = file.read(struct.unpack("<4I", header)[2])
            if frame[6:12].hex(":") == STACK_MAC and len(frame) > 1000:
                full += 1
                if full == 10:
                    frame = change(frame)
            if frame is not None:
                copy.write(header + frame)


def sees_what_is_planted(path):
    """examine() would tell a wrong byte, a reset, and a sequence number that was never sent."""
    for what, change in (("Bad checksum", lambda frame: frame[:-1] + bytes([frame[-1] ^ 1])),
                         # The flags of a TCP header behind one of IPv4.
                         ("Connection reset (RST)", lambda frame: frame[:47] + b"\x14" + frame[48:]),
                         ("Previous segment(s) not captured", lambda frame: None)):
        out = path + ".altered"
        altered(path, out, change)
        try:
            examine(out, {}, 0)
        except AssertionError as error:
            need(f"stack: {what}" in str(error), f"{what} is not in: {error}")
        else:
            raise AssertionError(f"{what}: not found")
