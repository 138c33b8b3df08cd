# SPDX-License-Identifier: Apache-2.0
"""A capture as somebody else reads it: tshark checks every checksum, follows every sequence number and window,
and says what looks wrong. What it says must be what the link did, or what the scenario is about."""
import collections
import os
import re
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
    command = ["tshark", "-n", "-r", path, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
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


def examine(path, allowed):
    """allowed: messages of either side, with the reason each. Raises when there is another."""
    strange = []
    found = expert(path)
    for (ours, message), frames in sorted(found.items()):
        if message not in ALWAYS and message not in allowed:
            strange.append(f"{'stack' if ours else 'kernel'}: {message}: {len(frames)} frames, the first {frames[0]}")
    need(not strange, "; ".join(strange))
    said = sum(len(frames) for frames in found.values())
    return f"{os.path.getsize(path) // 1000} kB of frames, {said} remarks, all explained"
