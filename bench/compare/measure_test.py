# SPDX-License-Identifier: Apache-2.0
"""What is measured again, and how, with tools that are played here."""
import types
import unittest

import measure
import plan
from cores import place
from plan_test import CATALOGUE, SMALL


def spent(steal=0.0):
    return types.SimpleNamespace(end=lambda _sides: {"steal": steal})


class Again(unittest.TestCase):
    def setUp(self):
        tree = {**SMALL, "variants": {"burst": {"share": 0.5}}}
        self.profile = plan.Profile("small", tree, CATALOGUE)
        self.lines, self.asked, self.steals = [], [], []
        comparison = types.SimpleNamespace(
            profile=self.profile, build="", network=types.SimpleNamespace(work=""), cpus=[0, 1],
            raw=types.SimpleNamespace(add=self.lines.append))
        self.visit = measure.Visit(comparison, plan.Visit(0, self.profile.rows["kernel"], 1, ()))
        self.visit.places, self.visit.placement = [None], place([0, 1], 1, 1, 1)
        self.visit.servers = [types.SimpleNamespace(version=lambda: "1", process=None, given="a CPU")]
        self.replaced = measure.clients, measure.Watch
        measure.clients = types.SimpleNamespace(throughput=self.throughput, latency=self.latency)
        measure.Watch = lambda: spent(self.steals.pop(0) if self.steals else 0.0)

    def tearDown(self):
        measure.clients, measure.Watch = self.replaced

    def throughput(self, _build, _places, of, _size, _idle):
        self.asked.append(of)
        return [{"qt": 4, "publishes_per_s": {"mean": 1000.0}}]

    def latency(self, _build, _places, of, _size, _idle, _work, _looks):
        self.asked.append(of)
        return [{}]

    def kinds(self):
        return [(line["type"], line["disturbed"]) for line in self.lines]

    def test_once_is_enough(self):
        self.visit.test("throughput", 16)
        self.assertEqual(self.kinds(), [("measurement", False)])

    def test_stolen_time_is_asked_for_again_as_it_was(self):
        self.steals = [0.5]
        self.visit.test("throughput", 16)
        self.assertEqual(self.kinds(), [("discarded", True), ("measurement", False)])
        self.assertEqual(self.asked[0], self.asked[1])

    def test_stolen_twice_it_counts_and_says_so(self):
        self.steals = [0.5, 0.5]
        self.visit.test("throughput", 16)
        self.assertEqual(self.kinds(), [("discarded", True), ("measurement", True)])

    def test_a_share_is_of_this_visits_greatest_rate(self):
        for _ in range(2):
            self.visit.test("burst", 16)
        self.assertEqual([of.get("rate") for of in self.asked], [None, 500, 500])
        self.assertEqual(self.asked[1]["queues"], 4)
        self.assertEqual(self.lines[0]["found_rate"], 1000)


if __name__ == "__main__":
    unittest.main()
