# SPDX-License-Identifier: Apache-2.0
"""What is to be measured: profiles and rows from YAML, checked; the order of it all; and how long it will take."""
import dataclasses
import os
import random
import re

import yaml

import machines

HERE = os.path.dirname(os.path.abspath(__file__))
CLIENTS = {
    "kernel": "a client on kernel sockets",
    "af_packet": "a client on our TCP over AF_PACKET",
    "af_xdp": "a client on our TCP over AF_XDP",
    "virtio_user": "a client on our TCP over virtio-user",
    "rings": "a client on our TCP in the broker's own process",
    "bypass": "a client on our TCP over a device of its machine",
    "nats": "a raw client of NATS' protocol on kernel sockets (one connection publishes, one subscribes)",
}
MEDIA = {
    "loopback": "loopback",
    "veth": "a veth pair",
    "tap": "a TAP",
    "memory": "shared memory (no network)",
    "process": "rings between two threads (no network, nothing is copied)",
    "network": "the network",
}
BROKERS = {
    "kernel": "Godwit on kernel sockets",
    "af_packet": "Godwit bypassing the kernel's TCP over AF_PACKET",
    "af_xdp": "Godwit bypassing the kernel's TCP over AF_XDP",
    "tap": "Godwit bypassing the kernel's TCP over a TAP",
    "vhost": "Godwit bypassing the kernel over vhost-user",
    "rings": "Godwit's layers on our TCP in the client's own process",
    "rabbitmq": "RabbitMQ on kernel sockets",
    "nats": "nats-server on kernel sockets",
}
# Seconds that things take besides what is measured, for the estimate.
START_S = {"rabbitmq": 8.0}
FOREIGN = ("rabbitmq", "nats")
START_S_DEFAULT = 1.0
TOOL_S = 0.45
LONGER = 1.1     # than its time_limit a throughput test is, where a machine's speed changes
ACROSS_S = 2.0   # of each test across machines: a broker of its own
SETTLE_S = 0.3   # of a throughput run: its queues, and its control messages
PROBE = {"time_limit": 1, "warmup_ms": 200}   # how a row's greatest rate is found, for shares of it


class PlanError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Row:
    """One combination of client transport, medium and broker transport."""
    name: str
    client: str
    medium: str
    broker: str
    offloads: bool = False
    mtu: int = 1500
    about: str = ""   # what the broker is, where machines are the profile's

    @property
    def external(self):
        return self.medium == "network" and ":" in self.broker

    @property
    def bypass(self):
        return not self.external and self.broker not in ("kernel", *FOREIGN)

    def words(self):
        broker = f"the broker at {self.broker}" if self.external else self.about or BROKERS[self.broker]
        wire = MEDIA[self.medium]
        if self.medium == "veth" and self.client == "kernel" and not self.bypass:
            wire += " with offloads" if self.offloads else " without offloads"
        if self.mtu != Row.mtu:
            wire += f", in packets of {self.mtu:,} bytes"
        return f"{broker}, {CLIENTS[self.client]}, over {wire}"


@dataclasses.dataclass(frozen=True)
class Visit:
    """One start of a row's brokers, and what is measured while they run."""
    run: int
    row: Row
    guests: int
    tests: tuple   # of (kind, size)


class Profile:
    """A profile: attributes are the file's keys."""

    KEYS = {"minutes", "runs", "cores", "steal_max", "latency", "throughput", "variants", "figures", "pairs", "rows"}
    OPTIONAL = {"left_out",   # what is not in it, and why, in sentences
                "machines"}   # machines.py

    def __init__(self, name, tree, catalogue):
        need(isinstance(tree, dict), f"{name}: no mapping")
        need(set(tree) - self.OPTIONAL == self.KEYS, f"{name}: has the keys {sorted(tree)}, wants {sorted(self.KEYS)}")
        self.name = name
        self.tree = tree
        self.minutes, self.runs, self.cores = tree["minutes"], tree["runs"], tree["cores"]
        self.steal_max, self.latency, self.left_out = tree["steal_max"], tree["latency"], tree.get("left_out", [])
        need("time_limit" in tree["throughput"], f"{name}: throughput wants a time_limit (the report's count is a variant)")
        self.throughput = {"warmup_ms": self.latency["warmup_ms"], **tree["throughput"]}
        self.variants = {key: self.variant(key, of) for key, of in tree["variants"].items()}
        need(self.runs >= 1, f"{name}: runs is {self.runs}")
        self.machines = machines.Machines(tree["machines"], self.cores["broker"]) if "machines" in tree else None
        self.rows, self.picks = {}, []
        for pick in tree["rows"]:
            self.pick(pick, catalogue)
        self.figures, self.pairs = tree["figures"], [tuple(pair) for pair in tree["pairs"]]
        for row in [*self.figures.values(), *(row for pair in self.pairs for row in pair)]:
            need(row in self.rows, f"{name}: no row {row} to compare")

    def variant(self, name, described):
        """A test of another kind: what it has instead of the profile's own. With count or time_limit one of throughput,
        else one of latency."""
        need(name not in ("latency", "throughput"), f"{self.name}: variant {name} has a name that is taken")
        unknown = set(described) - ({"count", "time_limit", "window", "queues", "sizes", "why"} if is_throughput(described) else
                                    {"rate", "share", "queues", "burst", "confirm", "sizes"})
        need(not unknown, f"{self.name}: variant {name}: no key {unknown}")
        need(not {"rate", "share"} <= set(described), f"{self.name}: variant {name}: rate and share exclude each other")
        if is_throughput(described):
            need(not {"count", "time_limit"} <= set(described), f"{self.name}: variant {name}: count and time_limit exclude each other")
            need("count" in described or "why" in described or described["time_limit"] >= self.throughput["time_limit"],
                 f"{self.name}: variant {name} is shorter than the throughput test, and does not say why")
            return {"queues": self.throughput["queues"], "warmup_ms": self.latency["warmup_ms"], "sizes": [16], **described}
        return {**self.latency, "sizes": [16], **described}

    def described(self, kind):
        """What a test of this kind is."""
        return {"latency": self.latency, "throughput": self.throughput, **self.variants}[kind]

    def is_throughput(self, kind):
        return kind == "throughput" or kind in self.variants and is_throughput(self.variants[kind])

    def seconds_least(self, kind):
        """What a test of throughput by time has to last; None of any other. seconds_min: older profiles asked for a little
        more than they wanted."""
        of = self.described(kind) if self.is_throughput(kind) else {}
        return of.get("seconds_min", of.get("time_limit"))

    def pick(self, pick, catalogue):
        pick = dict(pick)
        guests, sizes, variants = pick.pop("guests", [1]), pick.pop("sizes", None), pick.pop("variants", [])
        for name in variants:
            need(name in self.variants, f"{self.name}: no variant {name}")
        row = row_of(pick.pop("row"), pick, catalogue)
        taken = {number for other, number, _ in self.picks if other.name == row.name}
        need(not taken & set(guests) and self.rows.get(row.name, row) == row, f"{self.name}: row {row.name} stands twice")
        need(guests == [1] or not row.external and row.broker not in (*FOREIGN, "rings"),
             f"{row.name}: Godwit's own program alone can be two guests")
        row = self.across(row, max(guests))
        self.rows[row.name] = row
        tests = [(kind, size) for kind, of in (("latency", self.latency), ("throughput", self.throughput))
                 for size in of["sizes"] if (sizes is None or size in sizes) and (kind == "throughput" or row.client != "nats")]
        need(row.client != "nats" or not variants, f"{row.name}: variants are for AMQP")
        need(tests, f"{row.name}: none of its sizes is measured")
        # The load of several brokers is not varied.
        extra = [(name, size) for name in variants for size in self.variants[name]["sizes"]]
        self.picks += [(row, number, tests + (extra if number == 1 else [])) for number in guests]

    def across(self, row, guests):
        """A row as it is with the profile's machines, or without."""
        if not self.machines:
            need(row.medium != "network" or row.external,
                 f"{row.name}: broker {row.broker} is no HOST:PORT, and the profile has no machines")
            need(row.client != "bypass", f"{row.name}: client bypass wants machines: client: devices")
            return row
        need(row.medium == "network", f"{row.name}: with machines every row's medium is network; {row.medium} is for one "
                                      "machine, in a profile of its own")
        if row.external:
            self.machines.check_client(row, guests)
            return row
        self.machines.check_row(row, guests)
        return dataclasses.replace(row, about=self.machines.about(row))

    def only(self, names):
        """Leaves these rows alone."""
        for name in names:
            need(name in self.rows, f"{self.name}: no row {name}; there are {', '.join(self.rows)}")
        # The figures have their two sides, be they empty.
        self.rows = {name: row for name, row in self.rows.items() if name in {*names, *self.figures.values()}}
        self.picks = [pick for pick in self.picks if pick[0].name in names]
        self.pairs = [pair for pair in self.pairs if set(pair) <= set(names)]

    def visits(self, seed):
        """Run i of everything comes before run i + 1 of anything; the order within a run, and of the tests within a
        visit, is by chance: what drifts meets all alike."""
        for run in range(self.runs):
            chance = random.Random(f"{seed}/{run}")
            picks = list(self.picks)
            chance.shuffle(picks)
            for row, guests, tests in picks:
                yield Visit(run, row, guests, tuple(chance.sample(tests, len(tests))))

    def test_seconds(self, kind):
        of = self.described(kind)
        if self.is_throughput(kind):
            # A count has no known length.
            return LONGER * of.get("time_limit", 2) + of["warmup_ms"] / 1000 + SETTLE_S + TOOL_S
        return of["seconds"] + (of["warmup_ms"] + of["floor_ms"]) / 1000 + TOOL_S

    def probe_seconds(self, tests):
        """For a visit's greatest rate, where something is a share of it."""
        sizes = {size for kind, size in tests if "share" in self.described(kind)}
        return len(sizes) * (PROBE["time_limit"] + PROBE["warmup_ms"] / 1000 + SETTLE_S + TOOL_S)

    def estimate_minutes(self):
        seconds = sum(START_S.get(row.broker, START_S_DEFAULT) + self.probe_seconds(tests) +
                      sum(self.test_seconds(kind) for kind, _ in tests) for row, _, tests in self.picks)
        seconds += ACROSS_S * sum(len(tests) for _, _, tests in self.picks) if self.machines else 0
        return self.runs * seconds / 60


def is_throughput(variant):
    return bool({"count", "time_limit"} & set(variant))


def need(condition, text):
    if not condition:
        raise PlanError(text)


def row_of(name, described, catalogue):
    """A row of the catalogue, or of the profile's own words."""
    words = described or catalogue.get(name)
    need(words, f"no row {name}")
    unknown = set(words) - {"client", "medium", "broker", "offloads", "mtu"}
    need(not unknown, f"{name}: no key {unknown}")
    row = Row(name, **words)
    need(row.client in CLIENTS, f"{name}: client {row.client} is none of {', '.join(CLIENTS)}")
    need(row.medium in MEDIA, f"{name}: medium {row.medium} is none of {', '.join(MEDIA)}")
    if row.medium == "network":
        need(re.fullmatch(r"([^:]+|\[[0-9a-f:]+\]):\d+|[\w.-]+", row.broker),
             f"{name}: broker {row.broker} is no HOST:PORT, nor [IPv6]:PORT")
        need(row.client in ("kernel", "bypass"), f"{name}: over a network the client is kernel or bypass, not {row.client}")
        return row
    need(row.broker in BROKERS, f"{name}: broker {row.broker} is none of {', '.join(BROKERS)}")
    ends = (row.client, row.broker)
    need((row.medium == "memory") == (row.broker == "vhost") == (row.client == "virtio_user"),
         f"{name}: shared memory is between virtio_user and vhost")
    need((row.medium == "process") == (row.broker == "rings") == (row.client == "rings"),
         f"{name}: rings within a process are between rings and rings")
    need((row.client == "nats") == (row.broker == "nats") and (row.client != "nats" or row.medium == "loopback"),
         f"{name}: nats is its own client and broker, on loopback")
    need((row.medium == "tap") == (row.broker == "tap"), f"{name}: a TAP is between kernel and tap")
    need(row.medium == "veth" or not {"af_packet", "af_xdp"} & set(ends), f"{name}: {ends} want a veth pair")
    need(row.client != "bypass", f"{name}: client bypass is for medium network")
    need(row.mtu == Row.mtu or row.medium == "memory" and row.mtu in range(1500, 9001),
         f"{name}: mtu is for shared memory, 1500 to 9000")
    need(not row.offloads or not ({"af_packet", "af_xdp", "tap", "vhost", "rings"} & set(ends)),
         f"{name}: our TCP wants frames as a wire has them")
    return row


def load(path):
    with open(path, encoding="utf-8") as f:
        return yaml.safe_load(f)


def profile_load(path, name=None):
    name = name or os.path.splitext(os.path.basename(path))[0]
    return Profile(name, load(path), load(os.path.join(HERE, "rows.yaml")))


def profile_recorded(start):
    """As it was when this line was written, whatever has become of its file; the rows that were asked for then."""
    profile = Profile(start["profile"], start["tree"], load(os.path.join(HERE, "rows.yaml")))
    profile.runs = start["runs"]
    profile.only(start["words"])
    return profile


def profile_path(name):
    """A file's name, or one of profiles/."""
    return name if os.sep in name or name.endswith(".yaml") else os.path.join(HERE, "profiles", name + ".yaml")
