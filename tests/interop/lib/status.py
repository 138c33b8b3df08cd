# SPDX-License-Identifier: Apache-2.0
"""What the broker says of itself: the only place that knows the form of `godwitctl status --json`.

    {"pools": [{"name", "capacity", "used"}...], "ports": [{"name", "rx_frames", "tx_frames", ...}],
     "tcp": [{"time_wait", "counters": {name: N}}...], "connections": N, ...}
"""
import json
import subprocess
import time

# What is left of a connection that the broker's side closed first stays for two MSL: no use.
TIME_WAIT_POOL = "tcp time-wait"


class StatusError(Exception):
    pass


class Status:
    def __init__(self, godwitctl):
        self.godwitctl = godwitctl

    def read(self):
        done = subprocess.run([self.godwitctl, "status", "--json"], capture_output=True, text=True, timeout=10)
        if done.returncode != 0:
            raise StatusError("godwitctl status: exit %d: %s" % (done.returncode, done.stderr.strip()))
        return json.loads(done.stdout)

    def frames(self):
        """(received, sent) of all ports together."""
        ports = self.read()["ports"]
        return sum(port["rx_frames"] for port in ports), sum(port["tx_frames"] for port in ports)

    def pools_used(self):
        """Objects in use by pool, but for those in TIME_WAIT."""
        return self._used(self.read())

    @staticmethod
    def _used(status):
        return {pool["name"]: pool["used"] for pool in status["pools"] if pool["name"] != TIME_WAIT_POOL}

    def connections(self):
        return self.read()["connections"]

    def stack_counters(self):
        """The TCP stack's counters of all ports together, by the names of tcpstack/counters.def."""
        total = {}
        for port in self.read()["tcp"]:
            for name, value in port["counters"].items():
                total[name] = total.get(name, 0) + value
        return total

    def differs_from_rest(self, rest, bystanders=0):
        """What is not as at rest: {name: (used, at rest)}; empty when all pools are full again and no
        connection but the bystanders is left. rest: an earlier pools_used()."""
        status = self.read()
        found = {name: (used, rest.get(name, 0)) for name, used in self._used(status).items()
                 if used > rest.get(name, 0)}
        if status["connections"] > bystanders:
            found["connections"] = (status["connections"], bystanders)
        return found

    def wait_rest(self, rest, timeout_s=5.0, bystanders=0):
        """None, or what still differs after timeout_s."""
        deadline = time.monotonic() + timeout_s
        while True:
            differs = self.differs_from_rest(rest, bystanders)
            if not differs:
                return None
            if time.monotonic() > deadline:
                return ", ".join("%s used %d, at rest %d" % (name, *both) for name, both in differs.items())
            time.sleep(0.05)


class NoStatus:
    """The oracle has no pools and no port."""

    def frames(self):
        return None

    def pools_used(self):
        return {}

    def connections(self):
        return 0

    def wait_rest(self, rest, timeout_s=5.0, bystanders=0):
        return None
