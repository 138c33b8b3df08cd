# SPDX-License-Identifier: Apache-2.0
import os
import unittest

import aims
import inside
import plan
from results import Results
from results_test import latency, throughput

P50 = {"row": "a", "by": "b", "figure": "p50", "size": 16}


class Aims(unittest.TestCase):
    def reached(self, lines, aim, *wanted):
        found = aims.reached(Results(lines), aim)
        self.assertEqual((found.value, found.met, found.missed, found.why), (*wanted, ""))
        return found

    def test_at_most_of_a_ratio(self):
        lines = [latency("a", 0, 1, 1), latency("b", 0, 1, 1)]
        self.reached(lines, {**P50, "at_most": 1}, 1, True, 0)
        self.reached(lines, {**P50, "at_most": 0.5}, 1, False, 1)

    def test_at_least_of_a_row(self):
        lines = [throughput("a", 0, (300.0,))]
        aim = {"row": "a", "figure": "transfers/s", "size": 16}
        self.reached(lines, {**aim, "at_least": 200}, 300, True, 0)
        self.reached(lines, {**aim, "at_least": 400}, 300, False, 0.25)

    def test_an_aim_within_the_interval_is_not_certain(self):
        def found(rates, wanted):
            lines = [throughput("a", run, (rate,)) for run, rate in enumerate(rates)]
            return aims.reached(Results(lines), {"row": "a", "figure": "transfers/s", "size": 16, "at_least": wanted})
        steady = found((300.0,) * 6, 200)
        self.assertEqual((steady.interval.low, steady.interval.high, steady.met, steady.open), (300, 300, True, False))
        self.assertTrue(found((300.0,) * 5, 200).open)
        self.assertEqual((found((100.0, 300.0) * 4, 150).met, found((100.0, 300.0) * 4, 150).open), (True, True))

    def test_intervals_are_of_the_figure_that_is_told(self):
        lines = [latency(row, run, 1, 1, calm=f"{at}:600") for row, at in (("a", 100), ("b", 50)) for run in range(6)]
        for line in lines:
            line["results"][0]["inside"] = inside.pack({0.9: 60, 2.5: 60})
        for aim, wanted in ((P50, 2), ({"row": "a", "figure": "inside p50"}, 0.9)):
            found = aims.reached(Results(lines), {**aim, "at_most": 1})
            self.assertEqual((found.value, found.interval.low, found.interval.high, found.open), (wanted, wanted, wanted, False))
        lines = [{**throughput(row, run, (rate,)), "kind": "few"} for row, rate in (("a", 3.0), ("b", 2.0)) for run in range(6)]
        for line in lines:
            line["results"][0]["count"] = 1000
        found = aims.reached(Results(lines), {"row": "a", "by": "b", "figure": "transfers/s", "kind": "few", "size": 16, "at_least": 1})
        self.assertEqual((found.interval.low, found.open), (1.5, False))

    def test_what_was_not_measured_is_neither(self):
        for change in ({"row": "c"}, {"by": "c"}, {"size": 64}, {"figure": "p99"}, {"kind": "x"}, {"figure": "inside p50"}):
            aim = {"row": "a", "figure": "transfers/s", "size": 16, "at_least": 1, **change}
            found = aims.reached(Results([throughput("a", 0, (300.0,))]), aim)
            self.assertEqual((found.value, found.met, found.why), (None, None, "not measured"), change)

    def test_tails_are_without_what_the_client_was_away_for(self):
        lines = [latency("a", 0, 1, 1, calm="100:600"), latency("b", 0, 1, 1, calm="50:500")]
        found = self.reached(lines, {**P50, "at_most": 1}, 2, False, 1)
        self.assertEqual((found.with_gaps, found.left_out), (1, "a 40.0% of 1,000, b 50.0% of 1,000"))

    def test_too_few_samples_without_gaps_claim_nothing(self):
        lines = [latency("a", 0, 1, 1, calm="100:99"), latency("b", 0, 1, 1)]
        found = aims.reached(Results(lines), {**P50, "at_most": 1})
        self.assertEqual((found.value, found.met, found.with_gaps), (None, None, 1))
        self.assertIn("not said: a has 49 samples beyond it, not 50", found.why)

    def test_a_client_that_slept_claims_nothing(self):
        lines = [latency("a", 0, 1, 1), latency("b", 0, 1, 1, calm=None)]
        found = aims.reached(Results(lines), {**P50, "at_most": 1})
        self.assertEqual((found.value, found.met, found.left_out), (None, None, "a 0.0% of 1,000, b not known"))
        self.assertIn("b's client slept", found.why)

    def test_time_inside_is_of_all_sizes(self):
        lines = [{**latency("a", 0, 1, 1), "size": size} for size in (16, 64)]
        for line, buckets in zip(lines, ({0.9: 60}, {0.9: 10, 2.1: 70})):
            line["results"][0]["inside"] = inside.pack(buckets)
        self.reached(lines, {"row": "a", "figure": "inside p50", "at_most": 1}, 0.9, True, 0)
        found = aims.reached(Results(lines), {"row": "a", "figure": "inside p99.9", "at_most": 10})
        self.assertEqual((found.met, found.why), (None, "not said: a has 0 samples beyond it, not 50"))

    def test_the_standard_profile_measures_each(self):
        profile = plan.profile_load(plan.profile_path("standard"))
        tests = {row.name: set(tests) for row, guests, tests in profile.picks if guests == 1}
        for aim in plan.load(os.path.join(plan.HERE, "aims.yaml")):
            of_latency = aim["figure"] in (*aims.PARTS, *aims.INSIDE)
            kind = aim.get("kind", "latency" if of_latency else "throughput")
            self.assertEqual(len({"at_most", "at_least"} & set(aim)), 1, aim)
            for row in filter(None, (aim["row"], aim.get("by"))):
                self.assertIn((kind, aim.get("size", 16)), tests[row], aim["says"])
                if aim["figure"] in aims.INSIDE:
                    messages = sum(profile.latency["seconds"] * profile.latency["rate"]
                                   for of, _ in tests[row] if of == "latency") * profile.runs
                    self.assertGreaterEqual((1 - aims.INSIDE[aim["figure"]]) * messages, 50, aim["says"])


if __name__ == "__main__":
    unittest.main()
