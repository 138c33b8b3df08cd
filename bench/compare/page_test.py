# SPDX-License-Identifier: Apache-2.0
"""What the page says of raw lines that are not as they should be."""
import copy
import unittest

import page
import plan
from machine import backlog_dropped
from plan_test import CATALOGUE, SMALL
from results import Results
from results_test import latency, throughput

MACHINE = {"cpu": "c", "kernel": "k", "commit": "abc", "load": [0.5, 0.4, 0.3]}
FAILED = {"type": "failed", "row": "kernel", "guests": 1, "run": 0, "test": ["latency", 16],
          "why": "ClientError: here: a --long command: status 1: sending\nthe broker does not answer"}


def start(hour):
    return {"type": "start", "seed": 1, "machine": {**MACHINE, "at": f"{hour}:00"}}


def told(lines, part, **changes):
    """What one part of the page says."""
    tree = copy.deepcopy(SMALL)
    tree.update(runs=1, **changes)
    for line in lines:
        if line["type"] == "measurement":
            line.setdefault("version", "1.2.3")
            line |= {"shared_cpus": False, "at": "9:00"}
            line["cpu"] = {"load_before": 1, "load_after": 2, "steal": 0.0, **line.get("cpu", {})}
    made = page.Page(lines, plan.Profile("small", tree, CATALOGUE), None)
    getattr(made, part)()
    return "".join(made.parts)


class Told(unittest.TestCase):
    def test_every_start_of_a_resumed_run(self):
        lines = [start(3), latency("kernel", 0, 1, 1), latency("kernel", 1, 1, 1), start(5), latency("kernel", 2, 1, 1)]
        head = told(lines, "head")
        for number, hour, count in ((1, 3, 2), (2, 5, 1)):
            self.assertIn(f"<td>{number}</td><td>{hour}:00</td><td>abc</td><td>0.5, 0.4, 0.3</td><td>{count}</td>", head)
        self.assertNotIn("resumed", told(lines[:3], "head"))

    def test_a_failure_that_was_made_good(self):
        self.assertIn("failed: kernel, latency of 16 bytes, run 1: status 1: the broker does not answer<", told([dict(FAILED)], "warnings"))
        words = told([dict(FAILED), latency("kernel", 0, 1, 1)], "warnings")
        self.assertIn("failed at first: kernel, latency of 16 bytes, run 1: status 1: the broker does not answer; measured again at 9:00", words)

    def test_what_was_too_short(self):
        line = throughput("kernel", 0, (16000.0,))
        self.assertIn("1 measurements of throughput lasted less than their 1 s, the shortest one 0.5 s", told([line], "warnings"))

    def test_a_client_that_is_late(self):
        self.assertEqual(page.late_words(None, 1.0), "-")
        self.assertEqual(page.late_words(0.1, 1.0), "0.1000")
        self.assertEqual(page.late_words(0.11, 1.0), "0.1100, 11% of avg")

    def test_the_floor_is_of_clients_that_spin(self):
        lines = [latency("kernel", 0, 1, 1), latency("tap", 0, 1, 1)]
        for line, floor in zip(lines, (0.001, 2.5)):
            line["results"][0]["floor"] |= {"avg_ms": floor, "max_ms": 2 * floor}
        lines[0]["results"][0]["gaps"] = {"share": 0.5, "max_ms": 1.0}
        self.assertIn("<td>1</td><td>0.0020</td><td>0.00100</td>", told(lines, "floor"))

    def test_what_each_row_is(self):
        lines = [{**latency("kernel", 0, 1, 1), "given": "CPU 1"}, latency("tap", 0, 1, 1)]
        rows = told(lines, "rows")
        self.assertIn("<td>1.2.3</td><td>CPU 1</td>", rows)
        self.assertIn("<td>1.2.3</td><td>not written down</td>", rows)
        self.assertIn("what was dropped there was not counted", rows)
        lines[0]["cpu"]["backlog_dropped"] = 3
        self.assertIn("3 packets were dropped there", "".join(page.given_words(Results(lines))))

    def test_other_ways_of_throughput_have_their_cost(self):
        line = {**throughput("kernel", 0, (8000.0,)), "kind": "few"}
        line["results"][0]["count"] = 1000
        line["cpu"]["steal"] = 0.25
        # A second of one CPU for 8000 transfers: half of it the program's.
        words = told([line], "throughput_variants", variants={"few": {"count": 1000}})
        self.assertIn("<td>125.000</td><td>62.500</td><td>62.500</td><td>25.0%</td>", words)


class Dropped(unittest.TestCase):
    def test_of_all_cpus(self):
        self.assertEqual(backlog_dropped("35c876a1 00000a4a 0000093a 00000000\n10016c97 00000001 00000015 00000000\n"), 0xa4b)
        self.assertEqual(backlog_dropped(""), 0)


if __name__ == "__main__":
    unittest.main()
