# SPDX-License-Identifier: Apache-2.0
import os
import unittest

import aims
import plan
from results import Results
from results_test import latency, throughput


class Aims(unittest.TestCase):
    def test_at_most_of_a_ratio(self):
        results = Results([latency("a", 0, 1, 1), {**latency("b", 0, 1, 1)}])
        aim = {"row": "a", "by": "b", "figure": "p50", "size": 16}
        self.assertEqual(aims.reached(results, {**aim, "at_most": 1}), (1, True, 0))
        self.assertEqual(aims.reached(results, {**aim, "at_most": 0.5}), (1, False, 1))

    def test_at_least_of_a_row(self):
        results = Results([throughput("a", 0, (300.0,))])
        aim = {"row": "a", "figure": "transfers/s", "size": 16}
        self.assertEqual(aims.reached(results, {**aim, "at_least": 200}), (300, True, 0))
        self.assertEqual(aims.reached(results, {**aim, "at_least": 400}), (300, False, 0.25))

    def test_what_was_not_measured_is_neither(self):
        results = Results([throughput("a", 0, (300.0,))])
        for change in ({"row": "c"}, {"by": "c"}, {"size": 64}, {"figure": "p99"}, {"kind": "x"}):
            aim = {"row": "a", "figure": "transfers/s", "size": 16, "at_least": 1, **change}
            self.assertIsNone(aims.reached(results, aim), change)

    def test_the_standard_profile_measures_each(self):
        profile = plan.profile_load(plan.profile_path("standard"))
        tests = {row.name: set(tests) for row, guests, tests in profile.picks if guests == 1}
        for aim in plan.load(os.path.join(plan.HERE, "aims.yaml")):
            kind = aim.get("kind", "latency" if aim["figure"] in aims.PARTS else "throughput")
            self.assertEqual(len({"at_most", "at_least"} & set(aim)), 1, aim)
            for row in filter(None, (aim["row"], aim.get("by"))):
                self.assertIn((kind, aim["size"]), tests[row], aim["says"])


if __name__ == "__main__":
    unittest.main()
