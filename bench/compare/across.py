# SPDX-License-Identifier: Apache-2.0
"""Measures across machines: a broker for each test, with that test's settings, on each guest; the tools on the client."""
import contextlib
import json
import os
import time

import clients
import cores
import machine
import servers
from measure import Visit
from network import End
from target import TargetError, Unreachable

START_S = 60
TAIL = 2000


class Broker:
    """Godwit on a guest."""

    def __init__(self, guest, target, described, cpus, settings, log_path):
        self.guest, self.target, self.log_path = guest, target, log_path
        self.program = guest.program("godwit")
        self.config = os.path.join(target.folder, "godwit.yaml")
        # JSON is YAML as well.
        port = described["port"] and json.dumps({"name": "port0", "gateway6": "none", **described["port"]})[1:-1]
        self.text = servers.config_of(cpus, settings["idle"], port, described["address"], described["tcp_port"],
                                      os.path.join(target.folder, "control.sock")) + \
            f"tcp: {{nodelay: {str(settings['nodelay']).lower()}}}\n"
        self.words = ["sh", "-c", 'echo "pid $$"; exec "$@"', "sh", "taskset", "-c", ",".join(map(str, cpus)), self.program,
                      "--config", self.config]
        self.job = self.pid = None
        # Only what is ours to drive counts the time inside; and the socket is root's.
        self.control = port and not target.prefix and target.forwarded(os.path.join(target.folder, "control.sock"), log_path + ".sock")

    def start(self):
        self.target.write(self.config, self.text)
        with open(self.log_path, "wb") as log:
            self.job = self.target.job(self.words, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while "ready:" not in self.log():
            if not self.job.alive():
                raise self.error(f"ended with {self.job.process.returncode} before it was ready")
            if time.monotonic() > deadline:
                raise self.error(f"was not ready within {START_S} s")
            time.sleep(0.02)
        self.pid = int(self.log().split()[1])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        """It is gone; how it ended is told where nothing else went wrong."""
        if self.job:
            ended = not self.job.alive()
            status = self.job.stop()
            if (status or ended) and not kind:
                raise self.error(f"ended with {status}{' by itself' if ended else ''}")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def error(self, what):
        """Unreachable where it is the machine that is gone."""
        self.target.check()
        return TargetError(f"{self.guest.name}: {self.program} --config {self.config}: {what}; its last words:\n"
                           f"{self.log()[-TAIL:].strip()}\nwith the configuration\n{self.text.strip()}")


class Across:
    """What all visits share: the machines, their CPUs, versions."""

    def __init__(self, machines):
        self.machines, self.described = machines, machines.described
        self.cpus, self.versions = {}, {}
        for place in machines.places():
            target = machines.connected[place.name]
            present = sorted(machine.cpu_ticks(*target.read("/proc/stat")))
            strange = set(place.cpus) - set(present)
            if strange:
                raise TargetError(f"{place.name}: cpus in the profile are {list(place.cpus)}, and it has {present}")
            self.cpus[place.name] = list(place.cpus) or present
        for guest in machines.guests:
            self.versions[guest.name] = machines.connected[guest.name].run(guest.program("godwit"), "--version").strip()
            for kind, of in self.described.settings.items():
                if of["cores"] > len(self.cpus[guest.name]):
                    raise TargetError(f"{guest.name}: {kind} wants a broker of {of['cores']} cores, and there are "
                                      f"{len(self.cpus[guest.name])} CPUs: change `settings` or `cpus` of the profile")

    def target(self, place):
        return self.machines.connected[place.name]

    def visit(self, comparison, visit):
        return AcrossVisit(self, comparison, visit)


class AcrossVisit(Visit):
    """Of a row, or of somebody else's broker, from the client's machine."""

    def __init__(self, across, comparison, visit):  # pylint: disable=super-init-not-called
        self.across, self.comparison, self.visit = across, comparison, visit
        self.guests = [] if visit.row.external else across.machines.guests[:visit.guests]
        self.client = across.described.client
        self.client_cpus, self.shared = cores.place_client(across.cpus["client"], visit.guests,
                                                           comparison.profile.cores["client"])
        self.places, self.servers, self.rates = [], [], {}
        self.settings, self.idle = None, "poll"

    def measure(self, tests):
        with contextlib.ExitStack() as stack:
            for guest in self.guests:
                of = guest.brokers[self.visit.row.broker]
                if of["after"]:
                    stack.callback(self.across.target(guest).run, "sh", "-c", of["after"])
                if of["before"]:
                    self.across.target(guest).run("sh", "-c", of["before"])
            for kind, size in tests:
                try:
                    with self.brokers(kind):
                        self.test(kind, size)
                except Unreachable:
                    raise
                except (clients.ClientError, TargetError, OSError, ValueError, KeyError) as problem:
                    self.comparison.fail(self.visit, [kind, size], problem)

    @contextlib.contextmanager
    def brokers(self, kind):
        """A new one on each guest, with this kind's settings."""
        settings = self.across.described.settings["throughput" if self.comparison.profile.is_throughput(kind) else "latency"]
        self.settings = {} if self.visit.row.external else settings
        self.idle = "adaptive" if self.shared else settings["idle"]
        # One broker's rates are not another one's.
        self.places, self.servers, self.rates = [], [], {}
        with contextlib.ExitStack() as stack:
            for i, guest in enumerate(self.guests):
                of = guest.brokers[self.visit.row.broker]
                broker = Broker(guest, self.across.target(guest), of, self.broker_cpus(guest), settings,
                                os.path.join(self.across.machines.work, guest.name + ".log"))
                stack.enter_context(broker)
                self.servers.append(broker)
                broker.start()
                self.add_place(i, of["address"], of["tcp_port"])
            if self.visit.row.external:
                host, port = self.visit.row.broker.rsplit(":", 1)
                self.add_place(0, host.strip("[]"), int(port))
                self.servers.append(servers.Elsewhere(self.visit.row))
            try:
                yield
            except clients.ClientError as problem:
                for broker in self.brokers_ours():
                    if not broker.job.alive():
                        status = broker.job.process.returncode
                        raise broker.error(f"ended with {status} during the test, and so {problem}") from None
                raise

    def brokers_ours(self):
        return [server for server in self.servers if isinstance(server, Broker)]

    def broker_cpus(self, guest):
        return self.across.cpus[guest.name][-self.settings["cores"]:]

    def add_place(self, i, address, port):
        device = self.client.devices[i] if self.visit.row.client == "bypass" else ()
        self.places.append((End("", "", address, port, device, client=self.across.machines.connected["client"],
                                programs=self.client.programs), self.client_cpus[i]))

    def about(self):
        """What a line says besides its results."""
        versions = {self.across.versions[guest.name] for guest in self.guests}
        return {"shared_cpus": self.shared, "settings": self.settings,
                "version": ", ".join(sorted(versions)) or f"unknown, at {self.visit.row.broker}"}

    def watch(self):
        places = self.across.machines.places()
        watches = {place.name: machine.Watch(self.across.target(place)) for place in places}

        def end():
            ended = {name: watch.end({"all": None, **self.sides(name)}) for name, watch in watches.items()}
            brokers = [ended[guest.name]["broker"] for guest in self.guests]
            sides = {"client": ended["client"]["client"], "broker": machine.together(brokers) if brokers else
                     dict.fromkeys(ended["client"]["client"], 0.0)}
            return {"load_before": max(of["load_before"] for of in ended.values()),
                    "load_after": max(of["load_after"] for of in ended.values()),
                    "seconds": ended["client"]["seconds"], **sides, "steal": machine.stolen(sides.values()), "machines": ended}

        return end

    def sides(self, name):
        if name == "client":
            return {"client": sorted({cpu for cpus in self.client_cpus for cpu in cpus})}
        return {"broker": self.broker_cpus(guest) for guest in self.guests if guest.name == name}

    def used(self):
        each = [machine.tree_seconds(broker.pid, broker.target) for broker in self.brokers_ours()]
        return {kind: sum(one[kind] for one in each) for kind in ("user", "system")}
