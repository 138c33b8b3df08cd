# SPDX-License-Identifier: Apache-2.0
"""What grows, and the programs of the other benchmarks that measure it."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a plot: what the program is called with at each x."""
    name: str
    program: str     # bench/PROGRAM/bench_PROGRAM
    options: object  # of x: its words
    points: tuple


@dataclasses.dataclass(frozen=True)
class Part:
    name: str
    title: str
    x: str
    unit: str        # of the fitted slope
    fit: str         # "tenfold" or "line"
    figure: str      # which of the program's figures: "ns", or "rate"
    series: tuple


def dataplane(*words):
    return lambda x: ["path", *(str(x) if word is None else word for word in words)]


def body(x):
    return ["path", "--bytes", str(x), "--segments", "8" if x < 1448 else "32"]


def backlog(x):
    return ["path", "--settle", "ack", "--backlog", str(x), "--memory", str(256 + x // 10_000)]


def lookup(kind):
    return lambda x: ["lookup", "--op", kind, "--bindings", str(x), "--lookups", "1024", "--blocks", "51"]


def segment(x):
    return ["fastpath", "--op", "receive", "--bytes", "65", "--conns", str(x), "--order", "turns", "--blocks", "21"]


def powers(last):
    """1, 10, 100 up to last."""
    return tuple(10 ** n for n in range(len(str(last))))


def parts(cpus, quick, deep):
    def upto(last):
        return (1, 100) if quick else powers(last)

    depths = (0, 10, 100) if quick else (0, *powers(10_000_000 if deep else 1_000_000)[3:])
    sizes = (16, 4096) if quick else (16, 64, 256, 1024, 4096, 16384, 65536)
    return (
        Part("connections", "A received 65-byte segment, by established connections", "connections",
             "ns for each tenfold", "tenfold", "ns", (Series("a segment", "tcpstack", segment, upto(10_000)),)),
        Part("queues", "A message, by queues, each with a publisher's and a consumer's connection", "queues",
             "ns for each tenfold", "tenfold", "ns",
             (Series("a message", "dataplane", dataplane("--queues", None), upto(10_000)),)),
        Part("bindings", "Routing, by bindings of the exchange; each message matches one", "bindings",
             "ns for each tenfold", "tenfold", "ns",
             (Series("a whole message, topic", "dataplane", dataplane("--exchange", "topic", "--bindings", None),
                     upto(1_000_000)),
              *(Series(f"a lookup, {kind}", "route", lookup(kind), upto(1_000_000))
                for kind in ("direct", "topic", "headers")))),
        Part("backlog", "A message, by messages that lie in the queue before it", "messages in the queue",
             "ns for each tenfold", "tenfold", "ns", (Series("a message, acked", "dataplane", backlog, depths),)),
        Part("cores", "Messages a second, by cores with a thread each", "cores", "messages/s for each core", "line", "rate",
             (Series("consumers on the same core", "dataplane", dataplane("--cores", None, "--threads", "yes"),
                     tuple(range(1, cpus + 1))),
              Series("consumers on the next core", "dataplane",
                     dataplane("--cores", None, "--threads", "yes", "--across", "yes"), tuple(range(2, cpus + 1))))),
        Part("size", "A message, by bytes of its body", "bytes", "ns for each byte", "line", "ns",
             (Series("a message", "dataplane", body, sizes),)),
    )
