# SPDX-License-Identifier: Apache-2.0
"""The stage's inner part: runs inside the network namespace that namespace.py made, and is started by it alone."""
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "raw"), os.path.join(HERE, "access"),
                os.path.join(HERE, "blocked")]
from brokers import PORT, BrokerError, Godwit, RabbitMQ  # noqa: E402
from client import Client  # noqa: E402
from good_client import good_client  # noqa: E402
from options import arguments  # noqa: E402
from report import Report  # noqa: E402
from scenarios import load  # noqa: E402
from status import NoStatus, Status, StatusError  # noqa: E402

SCENARIO_S_MAX = 120
# A scenario sends and receives at least a handshake, a request and a farewell.
FRAMES_MIN = 3  # each way: the handshake, one segment of AMQP, the end (a refused login is no more)
# While a client uses the kernel's loopback the broker may answer the host's ARP over the port, no more; what
# the host says of its own accord (neighbour discovery) is not counted.
FRAMES_STRAY_MAX = 2
TCP_HEADERS_BYTES = 40


class Stage:
    def __init__(self, options):
        self.options = options
        self.work = os.environ["INTEROP_WORK"]
        self.report = Report()
        self.listed = load(os.path.join(HERE, "scenarios.toml"))
        self.scenarios_json = os.path.join(self.work, "scenarios.json")
        self.listed.write_json(self.scenarios_json)
        if options.oracle:
            self.broker = RabbitMQ(self.work)
            self.status = NoStatus()
        else:
            self.broker = Godwit(self.work, os.environ["GODWIT"], os.environ.get("GODWIT_ARGS", "").split())
            self.status = Status(os.environ["GODWITCTL"])
        for name, why in json.loads(os.environ.get("INTEROP_ABSENT", "{}")).items():
            self.report.skip(name, why)
            del self.listed.clients[name]
        self.mtu = 1500
        self.rest = {}

    def wanted(self, kind, name):
        chosen = getattr(self.options, kind)
        return not chosen or name in chosen

    def transports(self):
        """Kernel first: nothing that is still on its way over the bypass can be counted against it."""
        return [name for name in ("kernel", "bypass")
                if name in self.broker.transports and self.wanted("transport", name)]

    def start(self):
        self.broker.start()
        if "bypass" in self.broker.transports:
            self.mtu = self.broker.tap_mtu()
        self.settle()

    def settle(self):
        """Some good clients over each transport, so that each core has had one, then the pools' resting use is
        noted."""
        for host in self.broker.transports.values():
            for _ in range(8):
                good_client(host)
        time.sleep(0.3)
        self.rest = self.status.pools_used()

    def frames_wanted(self, scenario):
        return max(FRAMES_MIN, self.listed.scenarios[scenario].get("bytes", 0) // (self.mtu - TCP_HEADERS_BYTES))

    def frames_trouble(self, transport, scenario, before, after):
        """The port's own counts: they grow over the bypass by what the scenario needs, and over the kernel's
        sockets not at all."""
        if before is None:
            return None
        grown = [now - then for then, now in zip(before, after)]
        if transport == "bypass":
            wanted = self.frames_wanted(scenario)
            if min(grown) < wanted:
                return "the port counted %d frames in and %d out, %d each are needed" % (*grown, wanted)
        elif grown[1] > FRAMES_STRAY_MAX:
            return "the port sent %d frames for a client of kernel sockets" % grown[1]
        return None

    def one(self, client, scenario):
        name = "%s %s %s" % (client.name, client.transport, scenario)
        begin = time.monotonic()
        try:
            before = self.status.frames()
            client.ask(scenario)
            trouble = client.answer(scenario, SCENARIO_S_MAX)
            trouble = trouble or self.frames_trouble(client.transport, scenario, before, self.status.frames())
            trouble = trouble or self.status.wait_rest(self.rest)
        except (OSError, StatusError) as problem:
            trouble = str(problem)
        if not self.broker.alive():
            trouble = "the broker ended (%s); %s" % (self.broker.process.returncode, trouble or "")
        if trouble:
            self.report.not_ok(name, trouble)
            self.recover()
        else:
            self.report.ok(name, time.monotonic() - begin)

    def recover(self):
        """After a failure: a broker that is there and at rest, so that the next scenario stands for itself."""
        if not self.broker.alive():
            self.report.note(self.broker.log_tail())
            self.start()
        elif self.status.wait_rest(self.rest, 1.0):
            self.rest = self.status.pools_used()

    def has(self, client, scenario):
        """Whether the client does the scenario with this broker."""
        return self.listed.does(client, scenario) and not (self.options.oracle and self.listed.peculiar(scenario))

    def say_what_cannot_be(self):
        """Each client's gaps, with the reason; no test, so none that is skipped. Likewise the oracle's."""
        for scenario in self.listed.scenarios if self.options.oracle else ():
            if self.listed.peculiar(scenario) and self.wanted("scenario", scenario):
                self.report.note("the oracle has no %s: %s" % (scenario, self.listed.peculiar(scenario)))
        for name in self.listed.clients:
            for scenario in self.listed.scenarios:
                reason = self.listed.reason_not(name, scenario)
                if reason and self.wanted("client", name) and self.wanted("scenario", scenario):
                    self.report.note("%s has no %s: %s" % (name, scenario, reason))

    def clients(self, transport):
        for name in self.listed.clients:
            if not self.wanted("client", name):
                continue
            client = Client(name, transport, self.broker.transports[transport], PORT, self.scenarios_json, self.work)
            try:
                for scenario in self.listed.names():
                    if self.wanted("scenario", scenario) and self.has(name, scenario):
                        self.one(client, scenario)
            finally:
                client.stop()

    def shutdown(self):
        """Every client over every transport holds a connection while the broker gets SIGTERM."""
        waiting = []
        for scenario in self.listed.names("last"):
            if not self.wanted("scenario", scenario):
                continue
            for transport in self.transports():
                for name in self.listed.clients:
                    if not self.wanted("client", name) or not self.listed.does(name, scenario):
                        continue
                    label = "%s %s %s" % (name, transport, scenario)
                    client = Client(name, transport, self.broker.transports[transport], PORT,
                                    self.scenarios_json, self.work)
                    client.ask(scenario)
                    if client.wait_note("waiting", 20):
                        waiting.append((label, scenario, client))
                    else:
                        self.report.not_ok(label, "the client did not get as far as waiting")
                        client.stop()
        self.end_broker()
        for label, scenario, client in waiting:
            trouble = client.answer(scenario, 15)
            client.stop()
            if trouble:
                self.report.not_ok(label, trouble)
            else:
                self.report.ok(label)

    def end_broker(self):
        name = "broker SIGTERM exits 0 within %.0f s" % self.broker.shutdown_s_max
        try:
            seconds, status = self.broker.terminate(self.broker.shutdown_s_max)
        except BrokerError as problem:
            self.report.not_ok(name, str(problem), self.broker.log_tail().splitlines())
            self.broker.kill()
            return
        if status != 0:
            self.report.not_ok(name, "exit status %d" % status, self.broker.log_tail().splitlines())
        else:
            self.report.ok(name, seconds)

    def raw(self):
        import wire_cases
        for transport in self.transports():
            if self.wanted("client", "raw"):
                wire_cases.run(self, transport)
        if "bypass" in self.transports() and self.wanted("client", "segments"):
            import segment_cases
            segment_cases.run(self)

    def blocked(self):
        if not os.environ.get("GODWIT_ARGS"):
            import blocked_cases
            blocked_cases.run(self)

    def access(self):
        if self.wanted("client", "access") and not os.environ.get("GODWIT_ARGS"):
            import access_cases
            access_cases.run(self)

    def run(self):
        try:
            self.start()
        except (BrokerError, StatusError, OSError) as problem:
            self.report.not_ok("broker starts, serves on every transport", str(problem))
            self.broker.kill()
            return self.report.close(os.path.join(self.work, "counts"))
        self.report.ok("broker starts, serves on every transport")
        self.say_what_cannot_be()
        try:
            for transport in self.transports():
                self.clients(transport)
            self.raw()
            self.shutdown()
            self.blocked()
            self.access()
        except (BrokerError, StatusError, OSError) as problem:
            self.report.not_ok("stage", "%s: %s" % (type(problem).__name__, problem),
                               self.broker.log_tail().splitlines())
        finally:
            self.broker.kill()
        return self.report.close(os.path.join(self.work, "counts"))


if __name__ == "__main__":
    sys.exit(Stage(arguments()).run())
