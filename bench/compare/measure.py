# SPDX-License-Identifier: Apache-2.0
"""Measures a profile: visit after visit, each with its network and its brokers, which are gone after it."""
import contextlib
import datetime
import time

import clients
import cores
import servers
from machine import Watch, tree_seconds

# A throughput run is as long as it is to be once a first guess has shown the rate; the guess is one by itself.
FIRST_COUNT, GUESS_S = 2000, 0.2
WARM_PART = 5
ATTEMPTS = 2


class Comparison:
    def __init__(self, profile, raw, build, network, cpus, say):
        self.profile, self.raw, self.build, self.network, self.say = profile, raw, build, network, say
        self.cpus = cpus
        self.failures = 0
        # Messages a second of one publisher, as first found.
        self.rates = {(line["row"], line["guests"], line["size"]): line["found_rate"] for line in raw.of("measurement")
                      if "found_rate" in line}

    def run(self, seed):
        for name, row in self.profile.rows.items():
            why = servers.missing(row)
            if why and not any(line["row"] == name for line in self.raw.of("missing")):
                self.raw.add({"type": "missing", "row": name, "why": why})
                self.say(f"row {name} is missing: {why}")
        for visit in self.profile.visits(seed):
            if not servers.missing(visit.row):
                self.visit(visit)

    def visit(self, visit):
        done = self.raw.done()
        tests = [test for test in visit.tests if (visit.row.name, visit.guests, visit.run, *test) not in done]
        if not tests:
            return
        began = time.monotonic()
        try:
            Visit(self, visit).measure(tests)
        except (clients.ClientError, servers.brokers.BrokerError, OSError, ValueError, KeyError,
                servers.subprocess.SubprocessError) as problem:
            self.fail(visit, None, problem)
        self.say(f"run {visit.run + 1} of {self.profile.runs}: {visit.row.name}, {visit.guests} guest"
                 f"{'s' * (visit.guests > 1)}: {len(tests)} tests, {time.monotonic() - began:.1f} s")

    def fail(self, visit, test, problem):
        self.failures += 1
        words = f"{type(problem).__name__}: {problem}"
        self.raw.add({"type": "failed", "row": visit.row.name, "guests": visit.guests, "run": visit.run, "test": test,
                      "why": words})
        self.say(f"FAILED {visit.row.name} {test or 'as a whole'}: {words}")


class Visit:
    """A visit while its brokers run."""

    def __init__(self, comparison, visit):
        self.comparison, self.visit = comparison, visit
        wanted = comparison.profile.cores
        self.placement = cores.place(comparison.cpus, visit.guests, wanted["broker"], wanted["client"])
        # Who shares a CPU must leave it; who has his own one spins, on kernel sockets as well.
        self.idle = "adaptive" if self.placement.shared else "poll"
        self.places, self.servers = [], []

    def measure(self, tests):
        row, network = self.visit.row, self.comparison.network
        with contextlib.ExitStack() as stack:
            for guest in range(self.visit.guests):
                client_cpus, broker_cpus = self.placement.clients[guest], self.placement.brokers[guest]
                end = stack.enter_context(network.link(row, guest, client_cpus, broker_cpus))
                server = servers.server_of(row, network.work, self.comparison.build, end, broker_cpus, self.idle, guest)
                stack.callback(servers.end, server)
                server.start()
                self.places.append((end, client_cpus))
                self.servers.append(server)
            for kind, size in tests:
                try:
                    self.test(kind, size)
                except (clients.ClientError, OSError, ValueError, KeyError) as problem:
                    self.comparison.fail(self.visit, [kind, size], problem)

    def test(self, kind, size):
        """Again where the hypervisor took more than it may; the last one counts, and says so."""
        for attempt in range(1, ATTEMPTS + 1):
            line = self.attempt(kind, size)
            line["attempt"] = attempt
            line["disturbed"] = line["cpu"]["steal"] > self.comparison.profile.steal_max
            if not line["disturbed"] or attempt == ATTEMPTS:
                self.comparison.raw.add(line)
                return
            self.comparison.raw.add({**line, "type": "discarded"})

    def attempt(self, kind, size):
        visit, build, work = self.visit, self.comparison.build, self.comparison.network.work
        line = {"type": "measurement", "row": visit.row.name, "guests": visit.guests, "run": visit.run, "kind": kind,
                "size": size, "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                "shared_cpus": self.placement.shared, "version": self.servers[0].version()}
        profile = self.comparison.profile
        of = profile.throughput if kind == "throughput" else profile.variants.get(kind, profile.latency)
        if kind == "throughput" and "count" not in of or "share" in of:
            line["found_rate"] = self.rate(size)
        if kind == "throughput":
            line["count"] = of["count"] if "count" in of else max(int(line["found_rate"] * of["seconds"]), 1)
            self.throughput(size, max(line["count"] // WARM_PART, 1))
            of = {"queues": of["queues"], "count": line["count"], "patience": of.get("seconds", 60)}
        elif "share" in of:
            # What perftest's publishers managed together, on as many queues.
            of = {**of, "queues": profile.throughput["queues"], "rate": max(int(of["share"] * line["found_rate"]), 1)}
        watch, used = Watch(), self.used()
        if not profile.is_throughput(kind):
            line["rate"], line["queues"] = of["rate"], of.get("queues", 1)
            line["results"] = clients.latency(build, self.places, of, size, self.idle, work)
        else:
            line["results"] = clients.throughput(build, self.places, of, size, self.idle)
            line["queues"] = of["queues"]
        line["cpu"] = watch.end({"broker": self.placement.broker_cpus(), "client": self.placement.client_cpus()})
        line["broker_process"] = {kind: round(self.used()[kind] - used[kind], 3) for kind in used}
        return line

    def used(self):
        each = [tree_seconds(server.process.pid) for server in self.servers if server.process]
        return {kind: sum(one[kind] for one in each) for kind in ("user", "system")}

    def throughput(self, size, count):
        """Messages a second of the slowest publisher's kind, by a run of so many."""
        of = {"queues": self.comparison.profile.throughput["queues"], "count": count}
        results = clients.throughput(self.comparison.build, self.places, of, size, self.idle)
        return min(result["publishes_per_s"]["mean"] for result in results)

    def rate(self, size):
        """Messages a second of a publisher at the row's most, found once, so that all runs ask for the same."""
        key = self.visit.row.name, self.visit.guests, size
        if key not in self.comparison.rates:
            guess = max(int(self.throughput(size, FIRST_COUNT) * GUESS_S), 1)
            self.comparison.rates[key] = self.throughput(size, guess)
        return self.comparison.rates[key]
