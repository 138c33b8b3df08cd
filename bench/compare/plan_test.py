# SPDX-License-Identifier: Apache-2.0
import copy
import os
import unittest

import plan
from cores import place

CATALOGUE = plan.load(os.path.join(plan.HERE, "rows.yaml"))
SMALL = {
    "minutes": 1, "runs": 3, "cores": {"broker": 1, "client": 1}, "steal_max": 0.1,
    "latency": {"rate": 1000, "seconds": 1, "warmup_ms": 100, "floor_ms": 100, "sizes": [16, 64]},
    "throughput": {"queues": 4, "time_limit": 1, "sizes": [16, 4096]},
    "variants": {"burst": {"burst": 100}},
    "figures": {"kernel": "kernel", "bypass": "tap"}, "pairs": [["tap", "kernel"]],
    "rows": [{"row": "kernel", "guests": [1, 2]}, {"row": "tap", "sizes": [16]}],
}


def profile(**changes):
    tree = copy.deepcopy(SMALL)
    tree.update(changes)
    return plan.Profile("small", tree, CATALOGUE)


class Profiles(unittest.TestCase):
    def test_each_is_as_short_as_it_says(self):
        names = sorted(os.listdir(os.path.join(plan.HERE, "profiles")))
        self.assertEqual(names, ["machines.yaml", "quick.yaml", "report.yaml", "standard.yaml"])
        for name in names:
            p = plan.profile_load(plan.profile_path(name[:-5]))
            self.assertLessEqual(p.estimate_minutes(), p.minutes, name)
            self.assertGreater(p.estimate_minutes(), p.minutes / 10, name)

    def test_a_timed_run_lasts_ten_seconds_or_says_why_not(self):
        for name in ("standard", "report"):
            p = plan.profile_load(plan.profile_path(name))
            self.assertGreaterEqual(p.throughput["time_limit"], 10)
            self.assertTrue(any(of.get("count") == 500000 for of in p.variants.values()))
        throughput = {**SMALL["throughput"], "time_limit": 10}
        short = {"time_limit": 9}
        with self.assertRaisesRegex(plan.PlanError, "does not say why"):
            profile(throughput=throughput, variants={"burst": {"burst": 1}, "x": short})
        profile(throughput=throughput, variants={"burst": {"burst": 1}, "x": {**short, "why": "because"}})

    def test_quick_tries_every_row(self):
        self.assertEqual(set(plan.profile_load(plan.profile_path("quick")).rows), set(CATALOGUE))

    def test_the_main_rows_have_shares_of_their_greatest_rate(self):
        p = plan.profile_load(plan.profile_path("standard"))
        for row in ("kernel", "af_xdp", "memory"):
            shares = {p.variants[kind]["share"] for r, _, tests in p.picks if r.name == row for kind, _ in tests
                      if "share" in p.described(kind)}
            self.assertEqual(shares, {0.1, 0.5, 0.8, 0.95})

    def test_the_longer_ones_have_the_reports_sizes_and_runs(self):
        sizes = [16, 32, 64, 128, 256, 512, 1024]
        for name in ("standard", "report", "machines"):
            p = plan.profile_load(plan.profile_path(name))
            self.assertEqual((p.runs, p.latency["sizes"], p.throughput["sizes"]), (9, sizes, sizes + [2048, 4096]), name)
            for row in p.figures.values():
                of = [(guests, sum(kind in ("latency", "throughput") for kind, _ in tests))
                      for r, guests, tests in p.picks if r.name == row]
                self.assertEqual(of, [(1, 16), (2, 5 if name == "standard" else 16)], name)

    def test_a_page_is_of_the_profile_as_it_was(self):
        start = {"profile": "then", "tree": SMALL, "runs": 2, "words": {"kernel": "", "tap": ""}}
        p = plan.profile_recorded(start)
        self.assertEqual((p.name, p.runs, p.tree, set(p.rows)), ("then", 2, SMALL, {"kernel", "tap"}))
        self.assertEqual(len(p.picks), 3)

    def test_mistakes_are_named(self):
        for changes, words in (
                ({"throughput": {"queues": 4, "seconds": 1, "sizes": [16]}}, "wants a time_limit"),
                ({"runs": 0}, "runs is 0"), ({"more": 1}, "has the keys"),
                ({"rows": [{"row": "kernel"}]}, "no row tap to compare"),
                ({"rows": [{"row": "kernel"}, {"row": "kernel"}, {"row": "tap"}]}, "stands twice"),
                ({"rows": [{"row": "kernel", "guests": [1, 2]}, {"row": "kernel", "guests": [2]}]}, "stands twice"),
                ({"rows": [{"row": "kernel", "sizes": [17]}, {"row": "tap"}]}, "none of its sizes"),
                ({"rows": [{"row": "nosuch"}]}, "no row nosuch"),
                ({"rows": [{"row": "kernel", "variants": ["nosuch"]}]}, "no variant nosuch"),
                ({"variants": {"x": {"rate": 5, "share": 0.5}}}, "exclude each other"),
                ({"variants": {"x": {"count": 5, "time_limit": 1}}}, "exclude each other"),
                ({"variants": {"x": {"count": 5, "burst": 1}}}, "no key"),
                ({"variants": {"latency": {}}}, "name that is taken"), ({"variants": {"x": {"rat": 5}}}, "no key"),
                ({"rows": [{"row": "x", "client": "kernel", "medium": "network", "broker": "there"}]}, "no HOST:PORT"),
                ({"rows": [{"row": "x", "client": "af_xdp", "medium": "loopback", "broker": "kernel"}]}, "want a veth"),
                ({"rows": [{"row": "x", "client": "nats", "medium": "loopback", "broker": "kernel"}]}, "its own client"),
                ({"rows": [{"row": "x", "client": "nats", "medium": "veth", "broker": "nats"}]}, "on loopback"),
                ({"rows": [{"row": "nats", "variants": ["burst"]}]}, "for AMQP"),
                ({"rows": [{"row": "nats", "guests": [2]}]}, "Godwit's own program"),
                ({"rows": [{"row": "x", "client": "kernel", "medium": "memory", "broker": "vhost"}]}, "shared memory"),
                ({"rows": [{"row": "x", "client": "rings", "medium": "process", "broker": "kernel"}]}, "between rings and rings"),
                ({"rows": [{"row": "x", "client": "rings", "medium": "loopback", "broker": "rings"}]}, "between rings and rings"),
                ({"rows": [{"row": "rings", "guests": [2]}]}, "Godwit's own program"),
                ({"rows": [{"row": "x", "client": "kernel", "medium": "veth", "broker": "kernel", "mtu": 9000}]}, "mtu is for"),
                ({"rows": [{"row": "x", "client": "virtio_user", "medium": "memory", "broker": "vhost", "mtu": 9001}]},
                 "1500 to 9000"),
                ({"rows": [{"row": "x", "client": "kernel", "medium": "veth", "broker": "af_xdp", "offloads": True}]},
                 "frames as a wire")):
            with self.assertRaisesRegex(plan.PlanError, words):
                profile(**changes)

    def test_a_broker_elsewhere_is_a_row(self):
        p = profile(rows=SMALL["rows"] + [{"row": "x", "client": "kernel", "medium": "network", "broker": "10.0.0.9:5672"}])
        self.assertIn("the broker at 10.0.0.9:5672", p.rows["x"].words())

    def test_an_ipv6_address_has_brackets(self):
        row = {"row": "x", "client": "kernel", "medium": "network"}
        self.assertTrue(profile(rows=SMALL["rows"] + [{**row, "broker": "[fd00::9]:5672"}]).rows["x"].external)
        with self.assertRaisesRegex(plan.PlanError, r"nor \[IPv6\]:PORT"):
            profile(rows=SMALL["rows"] + [{**row, "broker": "fd00::9:5672"}])

    def test_rows_across_machines(self):
        kernel = {"row": "kernel", "client": "kernel", "medium": "network", "broker": "kernel", "guests": [1, 2]}
        fast = {"row": "tap", "client": "kernel", "medium": "network", "broker": "fast"}
        section = {"client": {"ssh": "c", "programs": "/b"}, "guests": [
            {"name": f"vm{i}", "ssh": f"vm{i}", "programs": "/b", "brokers": {
                "kernel": {"address": f"192.0.2.{i}"}, "fast": {"address": f"192.0.2.1{i}/24", "device": "0000:00:10.0"}}}
            for i in (1, 2)]}
        p = profile(machines=section, rows=[kernel, fast])
        self.assertIn("Godwit on kernel sockets, a client on kernel sockets, over the network", p.rows["kernel"].words())
        self.assertIn("bypassing the kernel's TCP on 0000:00:10.0", p.rows["tap"].words())
        fewer = profile(machines=section, rows=[{**kernel, "guests": [1]}, fast])
        self.assertGreater(p.estimate_minutes(), fewer.estimate_minutes())
        for changes, words in (
                ({"rows": [kernel, {**fast, "broker": "xdp"}]}, "guest vm1 has no broker xdp"),
                ({"rows": [{**kernel, "guests": [3]}, fast]}, "3 guests, and machines has 2"),
                ({"rows": [{"row": "kernel"}, fast]}, "with machines every row's medium is network"),
                ({"rows": [kernel, {**fast, "client": "bypass"}]}, "for 1 guests, and has 0 devices"),
                ({"rows": [kernel, {**fast, "client": "af_xdp"}]}, "the client is kernel or bypass, not af_xdp")):
            with self.assertRaisesRegex((plan.PlanError, plan.machines.MachinesError), words):
                profile(machines=section, **changes)
        with self.assertRaisesRegex(plan.PlanError, "the profile has no machines"):
            profile(rows=[kernel, fast])

    def test_a_variant_is_the_profiles_latency_but_for_what_it_says(self):
        p = profile(rows=[{"row": "kernel", "guests": [1, 2], "variants": ["burst"]}, {"row": "tap"}])
        self.assertEqual(p.variants["burst"], {**SMALL["latency"], "sizes": [16], "burst": 100})
        self.assertEqual([("burst", 16) in tests for _, _, tests in p.picks], [True, False, False])

    def test_a_variant_has_sizes_of_its_own(self):
        p = profile(variants={"burst": {"burst": 100, "sizes": [16, 64]}}, rows=[{"row": "kernel", "variants": ["burst"]}, {"row": "tap"}])
        self.assertEqual([size for _, _, tests in p.picks for kind, size in tests if kind == "burst"], [16, 64])

    def test_a_row_may_have_other_sizes_for_two_guests(self):
        p = profile(rows=[{"row": "kernel"}, {"row": "kernel", "guests": [2], "sizes": [16]}, {"row": "tap"}])
        self.assertEqual([(row.name, guests, len(tests)) for row, guests, tests in p.picks],
                         [("kernel", 1, 4), ("kernel", 2, 2), ("tap", 1, 4)])

    def test_looking_for_the_greatest_rate_takes_its_time(self):
        with_share = profile(variants={"burst": {"share": 0.5}}, rows=[{"row": "kernel", "variants": ["burst"]}, {"row": "tap"}])
        without = profile(rows=[{"row": "kernel", "variants": ["burst"]}, {"row": "tap"}])
        self.assertGreater(with_share.estimate_minutes(), without.estimate_minutes() + 3 * plan.PROBE["time_limit"] / 60)

    def test_natss_latency_is_not_measured(self):
        p = profile(rows=SMALL["rows"] + [{"row": "nats"}])
        self.assertEqual([tests for row, _, tests in p.picks if row.name == "nats"], [[("throughput", 16), ("throughput", 4096)]])
        self.assertIn("nats-server", p.rows["nats"].words())
        self.assertFalse(p.rows["nats"].bypass)

    def test_only_some_rows(self):
        p = profile()
        p.only(["kernel"])
        self.assertEqual(({pick[0].name for pick in p.picks}, p.pairs), ({"kernel"}, []))
        self.assertEqual(set(p.rows), set(p.figures.values()))
        with self.assertRaisesRegex(plan.PlanError, "no row nosuch"):
            p.only(["nosuch"])


class Order(unittest.TestCase):
    def visits(self, seed):
        return list(profile().visits(seed))

    def test_run_i_of_all_before_run_i_plus_1_of_any(self):
        runs = [visit.run for visit in self.visits(1)]
        self.assertEqual(runs, [0, 0, 0, 1, 1, 1, 2, 2, 2])

    def test_each_is_visited_once_a_run(self):
        for run in range(3):
            of = [(v.row.name, v.guests) for v in self.visits(1) if v.run == run]
            self.assertEqual(sorted(of), [("kernel", 1), ("kernel", 2), ("tap", 1)])

    def test_every_test_once_a_visit(self):
        for visit in self.visits(1):
            wanted = [("latency", 16), ("throughput", 16)]
            if visit.row.name == "kernel":
                wanted += [("latency", 64), ("throughput", 4096)]
            self.assertEqual(sorted(visit.tests), sorted(wanted))

    def test_a_seed_repeats_and_another_one_differs(self):
        self.assertEqual(self.visits(1), self.visits(1))
        self.assertNotEqual(self.visits(1), self.visits(2))


class Places(unittest.TestCase):
    def test_of_their_own_where_there_are_enough(self):
        p = place(range(8), 2, 3, 1)
        self.assertEqual((p.clients, p.brokers, p.shared), (((0,), (1,)), ((2, 3, 4), (5, 6, 7)), False))
        self.assertEqual(place([3, 5], 1, 1, 1).brokers, ((5,),))

    def test_guests_share_where_there_are_not(self):
        p = place(range(2), 2, 1, 1)
        self.assertEqual((p.clients, p.brokers, p.shared), (((0,), (0,)), ((1,), (1,)), True))

    def test_one_guest_has_what_there_is(self):
        p = place(range(4), 1, 4, 2)
        self.assertEqual((p.clients, p.brokers, p.shared), (((0, 1),), ((2, 3),), False))
        self.assertTrue(place([0], 1, 1, 1).shared)


if __name__ == "__main__":
    unittest.main()
