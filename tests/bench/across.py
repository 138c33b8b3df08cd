# SPDX-License-Identifier: Apache-2.0
"""across.py BUILD: the comparison across machines, which are network namespaces here."""
import copy
import glob
import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest

import across_rig
from across_rig import ADDRESS, FAST_BROKER, ROOT, ended, folders

sys.path.append(os.path.join(ROOT, "bench", "compare"))
import page  # noqa: E402  pylint: disable=wrong-import-position
import plan  # noqa: E402  pylint: disable=wrong-import-position

FAST_DEVICE = f"net_af_packet0,iface={across_rig.FAST_INTERFACE}"
# The kernel has another one there.
FAST_CLIENT = "198.18.41.3/24"
CORES = min(2, os.cpu_count())
PLAN = {
    "minutes": 1, "runs": 1, "cores": {"broker": 1, "client": 1}, "steal_max": 1,
    "latency": {"rate": 200, "seconds": 0.5, "warmup_ms": 50, "floor_ms": 50, "sizes": [16, 24]},
    "throughput": {"queues": 2, "time_limit": 1, "warmup_ms": 50, "sizes": [16, 32]},
    "variants": {}, "figures": {"kernel": "kernel", "bypass": "kernel"}, "pairs": [],
    "rows": [{"row": "kernel", "client": "kernel", "medium": "network", "broker": "kernel", "sizes": [16]}],
}
# Whoever shares two CPUs with all the others must leave them.
SETTINGS = {"latency": {"cores": 1, "nodelay": True, "idle": "adaptive"},
            "throughput": {"cores": CORES, "nodelay": False, "idle": "adaptive"}}


class Across(unittest.TestCase):
    rig = None

    def guest(self, name, **more):
        of = {"name": name, **self.rig.machine(name), "brokers": {"kernel": {"address": ADDRESS[name]}}}
        if name == "vm1":
            of.update(start=self.rig.under("start-vm1"), stop=self.rig.under("stop-vm1"), up_s=20)
        of.update(more)
        return of

    def profile(self, client=None, guests=None, **changes):
        return {**copy.deepcopy(PLAN), "machines": {"client": client or self.rig.machine("client", cpus=[0]),
                                                    "host": self.rig.machine("host"), "settings": SETTINGS,
                                                    "guests": guests or [self.guest("vm1")]}, **changes}

    def run_to_end(self, name, profile, *options):
        """(exit status, what it says, raw lines)"""
        return self.end_of(name, self.rig.compare(profile, self.rig.under(name), *options))

    def end_of(self, name, process, within_s=240):
        try:
            out, _ = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            process.terminate()
            self.fail(f"no end after {within_s} s: {process.communicate(timeout=60)[0]}")
        return process.returncode, out, self.lines(name)

    def lines(self, name):
        path = self.rig.under(name, f"{name}.jsonl")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def assert_nothing_runs(self, before, guest_stopped=True):
        """Of what was started on the machines."""
        for name in ("client", "vm1", "vm2"):
            left = lambda name=name: [words for words in self.rig.running(name) if "godwit" in words and "sshd" not in words]
            self.assertTrue(ended(lambda left=left: not left(), 30), (name, left()))
        self.assertTrue(ended(lambda: not folders() - before, 30), folders() - before)
        if guest_stopped:
            self.assertTrue(ended(lambda: not self.rig.running("vm1"), 30), self.rig.running("vm1"))
        self.assertTrue(self.rig.running("vm2"), "what was up before stays up")

    def test_a_profile(self):
        before = folders()
        for path in glob.glob(self.rig.under("calls", "*")):
            os.unlink(path)
        elsewhere = subprocess.Popen(self.rig.inside("host", os.path.join(self.rig.build, "godwit"), "--config",
                                                     self.elsewhere()), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(elsewhere.wait)
        self.addCleanup(elsewhere.terminate)
        fast = {"address": FAST_BROKER, "device": FAST_DEVICE,
                "before": f"touch {self.rig.under('before')}", "after": f"touch {self.rig.under('after')}"}
        guests = [self.guest("vm1", brokers={"kernel": {"address": ADDRESS["vm1"]}, "fast": fast}), self.guest("vm2")]
        rows = [{**PLAN["rows"][0], "guests": [1, 2]},
                {"row": "fast", "client": "kernel", "medium": "network", "broker": "fast", "sizes": [16]},
                {"row": "both", "client": "bypass", "medium": "network", "broker": "fast", "sizes": [32]},
                {"row": "theirs", "client": "kernel", "medium": "network", "broker": ADDRESS["host"] + ":5672", "sizes": [24]}]
        client = self.rig.machine("client", cpus=[0], devices=[{"device": FAST_DEVICE, "address": FAST_CLIENT}])
        described = self.profile(client, guests, rows=rows)
        status, out, lines = self.run_to_end("all", described, "--no-page")
        self.assertEqual(status, 0, out)
        self.assertRegex(out, r"vm1 was started by host, and is up after (0\.[5-9]|[1-9])")
        self.assertIn("vm2 is up already: it stays so", out)
        self.assertIn("vm1 was stopped by host", out)
        self.assert_facts([line for line in lines if line["type"] == "start"])
        self.assert_measurements([line for line in lines if line["type"] == "measurement"])
        self.assert_settings()
        self.assertTrue(os.path.exists(self.rig.under("before")) and os.path.exists(self.rig.under("after")))
        self.assert_page(described, lines)
        self.assert_nothing_runs(before)

    def elsewhere(self):
        path = self.rig.under("elsewhere.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"lcores: 1\nports: []\nlisteners: [{{name: amqp, transport: kernel, address: {ADDRESS['host']}}}]\n"
                    f"users: [{{name: guest, password: guest}}]\ncontrol: {{socket: {self.rig.under('elsewhere.sock')}}}\n")
        return path

    def assert_facts(self, starts):
        self.assertEqual(len(starts), 1)
        facts = starts[0]["machines"]
        self.assertEqual(list(facts), ["client", "host", "vm1", "vm2"])
        commit = subprocess.run(["git", "-c", "safe.directory=*", "-C", ROOT, "describe", "--always", "--dirty"],
                                capture_output=True, text=True, check=False).stdout.strip() or "unknown"
        for name, of in facts.items():
            self.assertEqual((of["kernel"], of["cpus"], of["commit"]), (os.uname().release, os.cpu_count(), commit), name)
            self.assertTrue(len(of["load"]) == 3 and of["cpu"] and of["system"] and of["memory_gib"], (name, of))
        self.assertEqual([of["started"] for of in facts.values()], ["was up", "was up", "by the comparison", "was up"])
        self.assertEqual(facts["client"]["used_cpus"], [0])
        # Each has been asked itself: the interfaces are its namespace's.
        interfaces = {name: [words.split()[0] for words in of["interfaces"] if re.match("(fast|lan)0", words)]
                      for name, of in facts.items()}
        self.assertEqual(interfaces, {"client": ["fast0", "lan0"], "host": ["lan0"], "vm1": ["fast0", "lan0"], "vm2": ["lan0"]})
        self.assertEqual([of["plays"] for of in facts.values()], ["client", "host", "guest", "guest"])

    def assert_measurements(self, lines):
        self.assertEqual(sorted((line["row"], line["guests"], line["kind"]) for line in lines),
                         sorted([(row, guests, kind) for row, guests in (("kernel", 1), ("kernel", 2), ("fast", 1))
                                 for kind in ("latency", "throughput")] + [("both", 1, "throughput"), ("theirs", 1, "latency")]))
        for line in lines:
            ours = line["row"] != "theirs"
            self.assertEqual(len(line["results"]), line["guests"])
            self.assertEqual(line["settings"], SETTINGS[line["kind"]] if ours else {})
            self.assertRegex(line["version"], "^godwit [0-9]" if ours else "^unknown, at")
            names = set(line["cpu"]["machines"])
            self.assertEqual(names, {"client", "host", "vm1", "vm2"})
            for of in line["cpu"]["machines"].values():
                self.assertLess(0, sum(of["all"].values()), of)
                self.assertTrue({"steal", "load_before", "load_after"} <= set(of), of)
            # Only our own TCP counts the time inside.
            self.assertEqual(bool(line["results"][0].get("inside")), (line["row"], line["kind"]) == ("fast", "latency"))
            if ours:
                self.assertLess(0, sum(line["cpu"]["broker"].values()))
        # Too little for the kernel's clock in a single test.
        self.assertLess(0, sum(sum(line["broker_process"].values()) for line in lines))

    def assert_settings(self):
        """As the programs were really called: a broker for each test."""
        configs = []
        for path in glob.glob(self.rig.under("calls", "config.*")):
            with open(path, encoding="utf-8") as f:
                configs.append(f.read())
        cores = [len(re.search(r"lcores: \[(.*)\]", text).group(1).split(",")) for text in configs]
        nodelay = [re.search(r"nodelay: (\w+)", text).group(1) for text in configs]
        # Of kernel one and two, of fast one for each kind of test; of both one.
        self.assertEqual(sorted(zip(cores, nodelay)), sorted([(1, "true")] * 4 + [(CORES, "false")] * 5))
        self.assertEqual(sum("net_af_packet0" in text for text in configs), 3)
        calls = []
        for path in glob.glob(self.rig.under("calls", "godwit-*")):
            with open(path, encoding="utf-8") as f:
                calls.append(f.read())
        self.assertTrue(calls and all("--cpus 0 --idle adaptive" in call for call in calls), calls)

    def assert_page(self, described, lines):
        """Without its pictures, which the quick profile has drawn."""
        it = page.Page(lines, plan.Profile("all", described, {}), plan.load(os.path.join(plan.HERE, "reference.yaml"))).made([])
        for words in ("<th>client</th><th>host</th><th>vm1</th><th>vm2</th>", "Machines meanwhile", "net_af_packet0",
                      f"brokers for throughput</td><td>{CORES} core"):
            self.assertIn(words, it)

    def test_a_guest_that_never_comes_up(self):
        before = folders()
        guest = self.guest("vm1", start="true", up_s=1)
        begin = time.monotonic()
        status, out, lines = self.run_to_end("never", self.profile(guests=[guest]))
        self.assertLess(time.monotonic() - begin, 90)
        self.assertEqual((status, lines), (1, []), out)
        self.assertRegex(out, r"vm1: not up 1 s after host ran `true`: look at its console[^\0]*Connection refused[^\0]*"
                              "is sshd running")
        self.assertIn("vm1 was stopped by host", out)
        self.assert_nothing_runs(before)

    def test_a_start_that_fails(self):
        guest = self.guest("vm1", start="echo no domain vm1 >&2; exit 3")
        profile = self.profile(guests=[guest])
        profile["machines"]["host"] = {"local": True}
        status, out, _ = self.run_to_end("start", profile)
        self.assertEqual(status, 1)
        self.assertRegex(out, r"host: .*no domain vm1.*: status 3: no domain vm1")

    def test_a_key_that_is_not_accepted(self):
        before = folders()
        status, out, _ = self.run_to_end("key", self.profile(client=self.rig.machine("client", key="other_key")))
        self.assertEqual(status, 1)
        self.assertRegex(out, r"client: ssh .*root@198\.18\.40\.2.*Permission denied.*authorized_keys")
        self.assert_nothing_runs(before)

    def test_a_program_that_is_missing(self):
        before = folders()
        os.makedirs(self.rig.under("empty"), exist_ok=True)
        status, out, _ = self.run_to_end("missing", self.profile(guests=[self.guest("vm1", programs=self.rig.under("empty"))]))
        self.assertEqual(status, 1)
        self.assertRegex(out, r"vm1: \S*/empty/godwit: missing: build Godwit there")
        self.assertIn("vm1 was stopped by host", out)
        self.assert_nothing_runs(before)

    def test_a_broker_that_dies(self):
        before = folders()
        long = {**PLAN["latency"], "seconds": 20}
        process = self.rig.compare(self.profile(
            guests=[self.guest("vm2", programs=self.rig.under("dying"))], latency=long,
            rows=PLAN["rows"], throughput={**PLAN["throughput"], "sizes": [17]}), self.rig.under("dies"), "--no-page")
        self.assertTrue(self.rig.measures())
        with open(self.rig.under("die"), "wb"):
            pass
        status, out, lines = self.end_of("dies", process)
        self.assertEqual(status, 1)
        failed = [line["why"] for line in lines if line["type"] == "failed"]
        self.assertEqual(len(failed), 1, out)
        self.assertRegex(failed[0], r"vm2: \S*/dying/godwit --config \S*: ended with 137 during the test[^\0]*"
                                    r"client: \S*godwit-latencytest")
        self.assert_nothing_runs(before)

    def test_a_signal_stops_it_all(self):
        before = folders()
        long = {**PLAN["latency"], "seconds": 60}
        # The second one of two must not disturb the end that the first one began.
        for numbers, wanted in (((signal.SIGINT, signal.SIGTERM), 130), ((signal.SIGKILL,), -9)):
            process = self.rig.compare(self.profile(latency=long, throughput={**PLAN["throughput"], "sizes": [17]},
                                                    rows=PLAN["rows"]), self.rig.under(f"signal{wanted}"))
            self.assertTrue(self.rig.measures())
            for number in numbers:
                process.send_signal(number)
                time.sleep(0.2)
            status, out, _ = self.end_of("signal", process)
            self.assertEqual(status, wanted, out)
            self.assertEqual("vm1 was stopped by host" in out, wanted > 0)
            self.assert_nothing_runs(before, wanted > 0)
        subprocess.run([self.rig.under("stop-vm1")], check=True)

    def test_a_guest_that_goes_down(self):
        before = folders()
        process = self.rig.compare(self.profile(latency={**PLAN["latency"], "seconds": 60}, rows=PLAN["rows"],
                                                throughput={**PLAN["throughput"], "sizes": [17]}), self.rig.under("down"))
        self.assertTrue(self.rig.measures())
        subprocess.run([self.rig.under("stop-vm1")], check=True)
        status, out, _ = self.end_of("down", process)
        self.assertEqual(status, 1, out)
        self.assertRegex(out, r"vm1: its ssh connection is gone: .*`--resume`")
        self.assert_nothing_runs(before)


if __name__ == "__main__":
    with across_rig.rig(os.path.abspath(sys.argv.pop(1))) as made:
        Across.rig = made
        program = unittest.main(exit=False, verbosity=2)
    sys.exit(not program.result.wasSuccessful())
