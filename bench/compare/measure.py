# SPDX-License-Identifier: Apache-2.0
"""Measures a profile: visit after visit, each with its network and its brokers, which are gone after it."""
import contextlib
import datetime
import time

import clients
import cores
import inside
import plan
import servers
from machine import Watch, tree_seconds
from network import steer_xdp
from target import TargetError, Unreachable

ATTEMPTS = 2
KERNEL_SHARE_MS = 300


class Comparison:
    def __init__(self, profile, raw, build, network, cpus, say, visit_of=None):
        """visit_of: makes a Visit of a comparison and a visit, where it is not one on this machine."""
        self.profile, self.raw, self.build, self.network, self.say = profile, raw, build, network, say
        self.cpus, self.visit_of = cpus, visit_of or Visit
        self.failures = 0

    def run(self, seed):
        for name, row in self.profile.rows.items():
            why = servers.missing(row)
            if why and not any(line["row"] == name for line in self.raw.of("missing")):
                self.raw.add({"type": "missing", "row": name, "why": why})
                self.say(f"row {name} is missing: {why}")
        for visit in self.profile.visits(seed):
            self.kernel_share(visit.run)
            if not servers.missing(visit.row):
                self.visit(visit)

    def kernel_share(self, run):
        """Once in each run, before anything else of it. It is this machine's alone."""
        if self.profile.machines or any(line["run"] == run for line in self.raw.of("kernel_share")):
            return
        placement = cores.place(self.cpus, 1, self.profile.cores["broker"], self.profile.cores["client"])
        try:
            found = clients.kernel_share(self.build, self.network.broker, placement.broker_cpus()[0],
                                         placement.client_cpus()[0], KERNEL_SHARE_MS)
        except (clients.ClientError, OSError, ValueError, servers.subprocess.SubprocessError) as problem:
            self.failed("the kernel's own share", 1, run, None, problem)
        else:
            self.raw.add({"type": "kernel_share", "run": run, **found})

    def visit(self, visit):
        done = self.raw.done()
        tests = [test for test in visit.tests if (visit.row.name, visit.guests, visit.run, *test) not in done]
        if not tests:
            return
        began = time.monotonic()
        try:
            self.visit_of(self, visit).measure(tests)
        except Unreachable as problem:
            self.fail(visit, None, problem)
            raise
        except (clients.ClientError, servers.brokers.BrokerError, TargetError, OSError, ValueError, KeyError,
                servers.subprocess.SubprocessError) as problem:
            self.fail(visit, None, problem)
        self.say(f"run {visit.run + 1} of {self.profile.runs}: {visit.row.name}, {visit.guests} guest"
                 f"{'s' * (visit.guests > 1)}: {len(tests)} tests, {time.monotonic() - began:.1f} s")

    def fail(self, visit, test, problem):
        self.failed(visit.row.name, visit.guests, visit.run, test, problem)

    def failed(self, name, guests, run, test, problem):
        self.failures += 1
        words = f"{type(problem).__name__}: {problem}"
        self.raw.add({"type": "failed", "row": name, "guests": guests, "run": run, "test": test, "why": words})
        self.say(f"FAILED {name} {test or 'as a whole'}: {words}")


class Visit:
    """A visit while its brokers run."""

    settings = None   # of its brokers, where tests have different ones

    def __init__(self, comparison, visit):
        self.comparison, self.visit = comparison, visit
        wanted = comparison.profile.cores
        self.placement = cores.place(comparison.cpus, visit.guests, wanted["broker"], wanted["client"])
        # Who shares a CPU must leave it; who has his own one spins, on kernel sockets as well.
        self.idle = "adaptive" if self.placement.shared else "poll"
        self.places, self.servers = [], []
        self.rates = {}   # {size: messages a second of a publisher at the row's most}

    def measure(self, tests):
        row, network = self.visit.row, self.comparison.network
        with contextlib.ExitStack() as stack:
            for guest in range(self.visit.guests):
                client_cpus, broker_cpus = self.placement.clients[guest], self.placement.brokers[guest]
                end = stack.enter_context(network.link(row, guest, client_cpus, broker_cpus))
                server = servers.server_of(row, network.work, self.comparison.build, end, broker_cpus, self.idle, guest)
                stack.callback(servers.end, server)
                server.start()
                steer_xdp(end, broker_cpus)
                self.places.append((end, client_cpus))
                self.servers.append(server)
            for kind, size in tests:
                try:
                    self.test(kind, size)
                except (clients.ClientError, OSError, ValueError, KeyError) as problem:
                    self.comparison.fail(self.visit, [kind, size], problem)

    def test(self, kind, size):
        """Again where the hypervisor took more than it may; the last one counts, and says so."""
        of = self.comparison.profile.described(kind)
        for attempt in range(1, ATTEMPTS + 1):
            line = self.attempt(kind, size, of)
            line["attempt"] = attempt
            line["disturbed"] = line["cpu"]["steal"] > self.comparison.profile.steal_max
            if not line["disturbed"] or attempt == ATTEMPTS:
                self.comparison.raw.add(line)
                return
            self.comparison.raw.add({**line, "type": "discarded"})

    def attempt(self, kind, size, of):
        visit, build, work = self.visit, self.comparison.build, self.comparison.network.work
        line = {"type": "measurement", "row": visit.row.name, "guests": visit.guests, "run": visit.run, "kind": kind,
                "size": size, "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                **self.about()}
        profile = self.comparison.profile
        if "share" in of:
            # What perftest's publishers managed together, on as many queues.
            line["found_rate"] = self.rate(size)
            of = {**of, "queues": profile.throughput["queues"], "rate": max(int(of["share"] * line["found_rate"]), 1)}
        watched, used = self.watch(), self.used()
        if not profile.is_throughput(kind):
            line["rate"], line["queues"] = of["rate"], of.get("queues", 1)
            looks = [inside.Look(server) for server in self.servers]
            line["results"] = clients.latency(build, self.places, of, size, self.idle, work, looks)
            for guest, look in zip(line["results"], looks):
                guest.update(look.found())
        else:
            ask = clients.nats if visit.row.client == "nats" else clients.throughput
            line["results"] = ask(build, self.places, of, size, self.idle)
            line["queues"] = line["results"][0]["qt"]
        line["cpu"] = watched()
        line["broker_process"] = {kind: round(self.used()[kind] - used[kind], 3) for kind in used}
        return line

    def about(self):
        """What a line says besides its results."""
        return {"shared_cpus": self.placement.shared, "version": self.servers[0].version(), "given": self.servers[0].given}

    def watch(self):
        """Call what it returns for what the CPUs of both sides did since."""
        watch = Watch()
        return lambda: watch.end({"broker": self.placement.broker_cpus(), "client": self.placement.client_cpus()})

    def used(self):
        each = [tree_seconds(server.process.pid) for server in self.servers if server.process]
        return {kind: sum(one[kind] for one in each) for kind in ("user", "system")}

    def rate(self, size):
        """Messages a second of a publisher at the row's most, found in this visit: a machine that is slower for a while
        is so for the shares of it, too."""
        if size not in self.rates:
            of = {"queues": self.comparison.profile.throughput["queues"], **plan.PROBE}
            results = clients.throughput(self.comparison.build, self.places, of, size, self.idle)
            self.rates[size] = min(result["publishes_per_s"]["mean"] for result in results)
        return self.rates[size]
