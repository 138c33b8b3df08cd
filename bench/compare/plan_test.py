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
    "throughput": {"queues": 4, "seconds": 1, "sizes": [16, 4096]},
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
        self.assertEqual(names, ["quick.yaml", "report.yaml", "standard.yaml"])
        for name in names:
            p = plan.profile_load(plan.profile_path(name[:-5]))
            self.assertLessEqual(p.estimate_minutes(), p.minutes, name)
            self.assertGreater(p.estimate_minutes(), p.minutes / 10, name)

    def test_the_longer_ones_have_the_reports_sizes_and_runs(self):
        sizes = [16, 32, 64, 128, 256, 512, 1024]
        for name in ("standard", "report"):
            p = plan.profile_load(plan.profile_path(name))
            self.assertEqual((p.runs, p.latency["sizes"], p.throughput["sizes"]), (9, sizes, sizes + [2048, 4096]), name)
            for row in p.figures.values():
                of = [(guests, sum(kind in ("latency", "throughput") for kind, _ in tests))
                      for r, guests, tests in p.picks if r.name == row]
                self.assertEqual(of, [(1, 16), (2, 16)], name)

    def test_mistakes_are_named(self):
        for changes, words in (
                ({"runs": 0}, "runs is 0"), ({"more": 1}, "has the keys"),
                ({"rows": [{"row": "kernel"}]}, "no row tap to compare"),
                ({"rows": [{"row": "kernel"}, {"row": "kernel"}, {"row": "tap"}]}, "stands twice"),
                ({"rows": [{"row": "kernel", "sizes": [17]}, {"row": "tap"}]}, "none of its sizes"),
                ({"rows": [{"row": "nosuch"}]}, "no row nosuch"),
                ({"rows": [{"row": "kernel", "variants": ["nosuch"]}]}, "no variant nosuch"),
                ({"variants": {"x": {"rate": 5, "share": 0.5}}}, "exclude each other"),
                ({"variants": {"x": {"count": 5, "time_limit": 1}}}, "exclude each other"),
                ({"variants": {"x": {"count": 5, "burst": 1}}}, "no key"),
                ({"variants": {"latency": {}}}, "name that is taken"), ({"variants": {"x": {"rat": 5}}}, "no key"),
                ({"rows": [{"row": "x", "client": "kernel", "medium": "network", "broker": "there"}]}, "no HOST:PORT"),
                ({"rows": [{"row": "x", "client": "af_xdp", "medium": "loopback", "broker": "kernel"}]}, "want a veth"),
                ({"rows": [{"row": "x", "client": "kernel", "medium": "memory", "broker": "vhost"}]}, "shared memory"),
                ({"rows": [{"row": "x", "client": "kernel", "medium": "veth", "broker": "af_xdp", "offloads": True}]},
                 "frames as a wire")):
            with self.assertRaisesRegex(plan.PlanError, words):
                profile(**changes)

    def test_a_broker_elsewhere_is_a_row(self):
        p = profile(rows=SMALL["rows"] + [{"row": "x", "client": "kernel", "medium": "network", "broker": "10.0.0.9:5672"}])
        self.assertIn("the broker at 10.0.0.9:5672", p.rows["x"].words())

    def test_a_variant_is_the_profiles_latency_but_for_what_it_says(self):
        p = profile(rows=[{"row": "kernel", "guests": [1, 2], "variants": ["burst"]}, {"row": "tap"}])
        self.assertEqual(p.variants["burst"], {**SMALL["latency"], "size": 16, "burst": 100})
        self.assertEqual([("burst", 16) in tests for _, _, tests in p.picks], [True, False, False])

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
