# SPDX-License-Identifier: Apache-2.0
"""Raw lines as the tools make them, and what becomes of them; and whether the check sees what is wrong."""
import copy
import json
import os
import tempfile
import unittest

import check
import plan
import raw
from plan_test import CATALOGUE, SMALL
from results import Results


def latency(row, run, average, deviation, guests=1, calm="100:600 200:400"):
    guest = {"all": {"count": 1000, "min_ms": 0.01, "avg_ms": average, "max_ms": 9.0, "stddev_ms": deviation},
             "floor": {"count": 100}, "histogram": "100:600 200:400", "series": [[0, average, deviation, 9.0]]}
    if calm is not None:
        counted = sum(int(word.split(":")[1]) for word in calm.split())
        guest |= {"histogram_no_gaps": calm, "no_gaps": {"count": counted}}
    return {"type": "measurement", "row": row, "guests": guests, "run": run, "kind": "latency", "size": 16,
            "rate": 1000, "queues": 1, "results": [copy.deepcopy(guest) for _ in range(guests)], "disturbed": False}


def throughput(row, run, rates, size=16):
    spent = {"user": 1.0, "system": 0.5, "softirq": 0.5, "steal": 0.0, "idle": 2.0}
    guests = [{"transfers": 8000, "seconds": 8000 / rate, "transfers_per_s": rate, "mb_per_s": rate * size / 2**20}
              for rate in rates]
    return {"type": "measurement", "row": row, "guests": len(rates), "run": run, "kind": "throughput", "size": size,
            "count": 1000, "queues": 4, "results": guests, "disturbed": False, "cpu": {"broker": spent, "seconds": 4.0}}


class Rules(unittest.TestCase):
    def test_latency_is_the_run_of_the_median_deviation(self):
        results = Results([latency("kernel", run, average, deviation)
                           for run, (average, deviation) in enumerate(((1, 3), (2, 1), (3, 2)))])
        self.assertEqual(results.latency_reported("kernel", 1, 16)["avg_ms"], 3)
        self.assertIsNone(results.latency_reported("kernel", 2, 16))

    def test_two_guests_are_averaged_and_summed(self):
        line = latency("kernel", 0, 1, 1, guests=2)
        line["results"][1]["all"]["avg_ms"] = 3
        results = Results([line] + [throughput("kernel", run, rates) for run, rates in
                                    enumerate(((1.0, 60.0), (5.0, 50.0), (60.0, 5.0)))])
        self.assertEqual(results.latency_reported("kernel", 2, 16)["avg_ms"], 2)
        self.assertEqual(results.throughput_reported("kernel", 2, 16), (61, 61 * 16 / 2**20))

    def test_percentiles_are_of_all_runs(self):
        results = Results([latency("kernel", run, 1, 1) for run in range(2)])
        self.assertEqual(results.quantile_ms("kernel", 1, 16, 0.5), 100 / 1e6)
        self.assertEqual(results.quantile_ms("kernel", 1, 16, 0.9), 200 / 1e6)
        self.assertIsNone(results.quantile_ms("kernel", 1, 16, 0.99))

    def test_what_the_client_was_away_for_is_left_out(self):
        results = Results([latency("kernel", 0, 1, 1, calm="100:600"), latency("kernel", 1, 1, 1, calm="100:500"),
                           latency("kernel", 2, 1, 1, calm=None)])
        self.assertEqual(results.histogram("kernel", 1, 16, "no_gaps"), {100: 1100})
        self.assertAlmostEqual(results.left_out("kernel", 1, 16), 0.45)
        self.assertIsNone(Results([latency("kernel", 0, 1, 1, calm=None)]).left_out("kernel", 1, 16))

    def test_a_tail_has_two_ratios(self):
        lines = [latency(row, run, 1, 1, calm="100:6000") for run in range(6) for row in ("a", "b")]
        for line in lines:
            line["results"][0]["histogram"] = "100:6000 200:400"
        names = [figure for _, _, figure, _, _ in Results(lines).ratios("a", "b")]
        self.assertEqual(names[-2:], ["p99 of all runs", "p99 of all runs, without gaps"])

    def test_confirms_are_medians(self):
        lines = [{**latency("kernel", run, 1, 1), "kind": "confirmed"} for run in range(3)]
        for line, average in zip(lines, (3, 1, 2)):
            line["results"][0]["confirmed"] = {"avg_ms": average, "max_ms": 9}
        found = Results(lines).variant("kernel", "confirmed", 16)
        self.assertEqual(found["confirmed_ms"], {"avg_ms": 2, "p50_ms": None, "max_ms": 9})
        self.assertEqual(found["rate"], 1000)

    def test_ratios_are_within_a_run(self):
        lines = [throughput(row, run, (rate * 10.0 ** run,)) for run in range(6) for row, rate in (("a", 3), ("b", 2))]
        (kind, size, _, ratio, verdict), = Results(lines).ratios("a", "b")
        self.assertEqual((kind, size, verdict), ("throughput", 16, "faster"))
        self.assertAlmostEqual(ratio.low, 1.5)

    def test_other_ways_of_throughput_are_medians(self):
        lines = [{**throughput("kernel", run, (rate,)), "kind": "few"} for run, rate in enumerate((1.0, 9.0, 2.0))]
        for line in lines:
            line["results"][0]["count"] = 1000
        found = Results(lines).variant_throughput("kernel", "few", 16)
        self.assertEqual((found["transfers_per_s"], found["count"], found["queues"]), (2, 1000, 4))
        self.assertEqual((found["seconds"], found["seconds_least"]), (4000, 8000 / 9))
        self.assertIsNone(Results(lines).variant_throughput("tap", "few", 16))

    def test_a_failure_that_was_made_good_is_forgotten(self):
        failed = [{"type": "failed", "row": "kernel", "guests": 1, "run": run, "test": ["latency", 16], "why": "?"}
                  for run in range(2)]
        made = latency("kernel", 0, 1, 1)
        results = Results([*failed, made, {**failed[0], "test": None}])
        self.assertEqual([line["run"] for line in results.failed()], [1, 0])
        self.assertEqual([results.made_good(line) for line in failed], [made, None])

    def test_what_was_shorter_than_wanted_is_found(self):
        profile = plan.Profile("small", SMALL, CATALOGUE)
        profile.throughput["time_limit"] = 5
        lines = [throughput("kernel", run, (rate,)) for run, rate in enumerate((1600.0, 1601.0))] + [latency("kernel", 0, 1, 1)]
        self.assertEqual(Results(lines).short(profile), {("throughput", 5): [lines[1]]})
        # Older profiles asked for more than they wanted.
        profile.throughput.update(time_limit=6, seconds_min=5)
        self.assertEqual(Results(lines).short(profile), {("throughput", 5): [lines[1]]})

    def test_how_late_the_client_was_is_the_median_of_the_runs(self):
        lines = [{**latency("kernel", run, 1, 1), "kind": "confirmed"} for run in range(3)]
        self.assertIsNone(Results(lines).variant("kernel", "confirmed", 16)["late_ms"])
        for line, late in zip(lines, (0.3, 0.1, 0.2)):
            line["results"][0]["sent_late"] = {"avg_ms": late}
        self.assertEqual(Results(lines).variant("kernel", "confirmed", 16)["late_ms"], 0.2)

    def test_a_busy_client_is_named(self):
        lines = [throughput("kernel", run, (8000.0,), size) for run in range(3) for size in (16, 64)]
        for line in lines:
            line["results"][0]["client_busy"] = 0.95 if line["size"] == 64 or line["run"] == 0 else 0.5
        self.assertEqual(Results(lines).limited_by_client(), {("kernel", 1): [64]})

    def test_cpu_time_is_what_the_messages_took(self):
        # Two busy seconds of four; the messages took one, on one CPU: half of each kind.
        cost = Results([throughput("kernel", 0, (8000.0,))]).cpu_seconds("kernel", 1, 16)
        self.assertEqual({kind: round(value * 8000 / 1e6, 3) for kind, value in cost.items()},
                         {"user": 0.5, "system": 0.25, "softirq": 0.25})


    def test_the_bound_is_the_cost_without_the_kernels_share(self):
        # A second of one CPU for 8000 transfers, which are 4000 messages in and out: 250 us each.
        lines = [throughput("kernel", 0, (8000.0,))]
        self.assertIsNone(Results(lines).bound("kernel", 16))
        lines += [{"type": "kernel_share", "run": run, "send_ns": ns, "receive_ns": ns / 2} for run, ns in
                  enumerate((1e5, 2e4, 1e9))]
        self.assertEqual(Results(lines).kernel_share(), (1e5, 5e4))
        ns, bound, of_row = Results(lines).bound("kernel", 16)
        self.assertAlmostEqual(ns, 250e3)
        self.assertAlmostEqual(bound, 2.5)
        self.assertAlmostEqual(of_row, 2)
        self.assertIsNone(Results(lines).bound("tap", 16))
        lines[-2]["send_ns"] = 1e9
        self.assertIsNone(Results(lines).bound("kernel", 16)[1])


class Complaints(unittest.TestCase):
    def setUp(self):
        tree = copy.deepcopy(SMALL)
        tree.update(runs=1, rows=[{"row": "kernel", "sizes": [16]}, {"row": "tap", "sizes": [16]}])
        self.profile = plan.Profile("small", tree, CATALOGUE)
        self.lines = [make(row) for row in ("kernel", "tap")
                      for make in (lambda row: latency(row, 0, 0.5, 0.1), lambda row: throughput(row, 0, (100.0,)))]
        self.lines.append({"type": "kernel_share", "run": 0, "send_ns": 10.0, "receive_ns": 20.0})

    def complaints(self):
        return list(check.complaints(Results(self.lines), self.profile))

    def test_none_of_what_is_right(self):
        self.assertEqual(self.complaints(), [])

    def test_a_test_by_time_has_its_own_count(self):
        self.profile.variants["timed"] = {"time_limit": 5, "size": 16}
        timed = {**throughput("kernel", 0, (100.0,)), "kind": "timed"}
        del timed["count"]
        timed["results"][0]["count"] = 1000
        self.lines.append(timed)
        self.assertEqual(self.complaints(), [])
        timed["results"][0]["count"] = 999
        self.assertIn("8000 transfers, not 7992", self.complaints()[0])

    def test_the_kernels_share_is_there_and_some(self):
        self.lines[-1]["send_ns"] = 0
        self.assertIn("own share cannot be", self.complaints()[0])
        self.lines.pop()
        self.assertEqual(self.complaints(), ["the kernel's own share was not measured in run 1"])

    def test_what_is_not_there(self):
        self.lines.pop(-2)
        self.assertEqual(self.complaints(), ["tap, 1 guests, throughput of 16 bytes: 0 of 1 runs"])

    def test_a_row_that_is_said_to_be_missing_is_enough(self):
        self.lines = self.lines[:2] + self.lines[-1:] + [{"type": "missing", "row": "tap", "why": "no TAP"}]
        self.assertEqual(self.complaints(), [])

    def test_what_cannot_be(self):
        for change, words in (
                (lambda l: l[0]["results"][0]["all"].update(count=999), "999 messages"),
                (lambda l: l[0]["results"][0]["all"].update(avg_ms=10), "least, average"),
                (lambda l: l[0]["results"][0].update(histogram="1:999"), "other messages"),
                (lambda l: l[0]["results"][0].update(series=[]), "no series"),
                (lambda l: l[0]["results"][0].update(histogram_no_gaps="1:999"), "without gaps has other messages"),
                (lambda l: l[0]["results"][0].update(inside=""), "counted nothing"),
                (lambda l: l[0]["results"].clear(), "results of 0 guests"),
                (lambda l: l[1]["results"][0].update(transfers=7999), "7999 transfers"),
                (lambda l: l[1]["results"][0].update(transfers_per_s=1, mb_per_s=16 / 2**20), "are not 8000"),
                (lambda l: l[1]["results"][0].update(seconds=0.9, transfers_per_s=8000 / 0.9, mb_per_s=8000 / 0.9 * 16 / 2**20),
                 "0.9 s, not 1 or more"),
                (lambda l: l[1]["results"][0].update(mb_per_s=1), "MB/s are not")):
            self.setUp()
            change(self.lines)
            self.assertEqual(len(self.complaints()), 1)
            self.assertIn(words, self.complaints()[0])


class Lines(unittest.TestCase):
    def test_a_line_that_was_cut_off_is_measured_again(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "raw.jsonl")
            first = raw.Raw(path, False)
            for run in range(2):
                first.add(latency("kernel", run, 1, 1))
            with open(path, "a", encoding="utf-8") as f:
                f.write(json.dumps(latency("kernel", 2, 1, 1))[:-20])
            with self.assertRaises(raw.RawError):
                raw.Raw(path, False)
            again = raw.Raw(path, True)
            self.assertEqual(again.done(), {("kernel", 1, run, "latency", 16) for run in range(2)})
            again.add(latency("kernel", 2, 1, 1))
            self.assertEqual(len(raw.Raw(path, True).done()), 3)


class Reference(unittest.TestCase):
    def test_agrees_with_itself(self):
        of = plan.load(os.path.join(plan.HERE, "reference.yaml"))
        for side in ("bridged", "passthrough"):
            self.assertEqual(list(of["throughput"][side]), [16, 32, 64, 128, 256, 512, 1024, 2048, 4096])
            for size, (transfers, megabytes) in of["throughput"][side].items():
                self.assertAlmostEqual(transfers * size / 2**20, megabytes, delta=0.003, msg=f"{side} {size}")
        for guests in ("one_guest", "two_guests"):
            self.assertEqual(list(of["latency"][guests]), [16, 32, 64, 128, 256, 512, 1024])


if __name__ == "__main__":
    unittest.main()
