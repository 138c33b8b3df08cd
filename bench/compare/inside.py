# SPDX-License-Identifier: Apache-2.0
"""Time inside the broker, from a burst of frames received to the burst that left in the same turn: what the broker has
counted between a test's first message and its last, without the connections' beginning and end."""
import json
import socket

import histogram

TIMEOUT_S = 10


def counts(path):
    """What the broker at this control socket has counted so far, of all cores and ports: {bucket: (its end in us, count)};
    empty where no port is its own."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(TIMEOUT_S)
        s.connect(path)
        s.sendall(b'{"command": "stats"}\n')
        with s.makefile("rb") as f:
            answer = json.loads(f.readline())
    if not answer["ok"]:
        raise ValueError(f"{path}: {answer['error']}")
    return summed(answer["result"]["rx_to_tx_buckets"])


def summed(rows):
    found = {}
    for row in rows:
        _, before = found.get(row["bucket"], (0, 0))
        found[row["bucket"]] = row["to_us"], before + row["count"]
    return found


def between(before, after):
    """{a bucket's end in us: what came into it}"""
    grown = {end: count - before.get(bucket, (0, 0))[1] for bucket, (end, count) in after.items()}
    return {end: count for end, count in grown.items() if count}


def pack(buckets):
    return " ".join(f"{end:.3f}:{count}" for end, count in sorted(buckets.items()))


def unpack(text):
    return {float(end): int(count) for end, count in (word.split(":") for word in text.split())}


def quantile_us(buckets, part):
    """None where too few lie beyond it to know."""
    return histogram.quantile(buckets, part, float)


class Look:
    """At one broker, at the marks that its client makes. What goes wrong is told by found, since marks come from another
    thread."""

    def __init__(self, server):
        # RabbitMQ, a broker elsewhere, and one on kernel sockets alone do not count this.
        self.path = getattr(server, "control", None)
        self.at_mark, self.problem = {}, None

    def at(self, mark):
        try:
            if self.path:
                self.at_mark[mark] = counts(self.path)
        except (OSError, ValueError, KeyError) as problem:
            self.problem = problem

    def found(self):
        """What to add to a guest's results."""
        if not self.path:
            return {}
        if self.problem or set(self.at_mark) != {"sending", "received"}:
            raise ValueError(f"time inside the broker: {self.problem or f'marks came for {sorted(self.at_mark)} alone'}")
        return {"inside": pack(between(self.at_mark["sending"], self.at_mark["received"]))}
