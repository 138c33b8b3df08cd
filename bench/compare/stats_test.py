# SPDX-License-Identifier: Apache-2.0
"""The rules against cases whose answers are plain."""
import unittest

import stats


def run(average, deviation):
    return {"avg_ms": average, "stddev_ms": deviation}


class MedianRun(unittest.TestCase):
    def test_is_the_one_of_the_median_deviation_and_not_of_the_median_average(self):
        runs = [run(0.1, 9), run(0.2, 1), run(0.3, 5), run(0.4, 4), run(0.5, 7)]
        self.assertEqual(stats.median_run(runs, lambda r: r["stddev_ms"]), run(0.3, 5))

    def test_of_nine(self):
        runs = [run(i, d) for i, d in enumerate((8, 3, 5, 1, 9, 2, 7, 4, 6))]
        self.assertEqual(stats.median_run(runs, lambda r: r["stddev_ms"])["avg_ms"], 2)

    def test_of_an_even_number_is_still_a_run(self):
        runs = [run(1, 4), run(2, 2), run(3, 3), run(4, 1)]
        self.assertEqual(stats.median_run(runs, lambda r: r["stddev_ms"]), run(2, 2))


class Guests(unittest.TestCase):
    def test_latencies_are_averaged(self):
        both = stats.guests_average([run(0.1, 0.02), run(0.3, 0.04)])
        self.assertAlmostEqual(both["avg_ms"], 0.2)
        self.assertAlmostEqual(both["stddev_ms"], 0.03)

    def test_a_figure_that_one_does_not_have_is_none_of_both(self):
        self.assertEqual(stats.guests_average([{"a": 1, "p99_ms": 2}, {"a": 3}]), {"a": 2})

    def test_throughput_is_summed_in_each_run_before_the_median(self):
        # The sum of the medians would be 5 + 50 = 55.
        self.assertEqual(stats.guests_sum_median([[1, 60], [5, 50], [60, 5]]), 61)
        self.assertEqual(stats.guests_sum_median([[1, 50], [5, 20], [20, 60]]), 51)


class PairedRatio(unittest.TestCase):
    def test_pairs_are_of_the_same_run(self):
        # Both drift a hundredfold; each pair says twice.
        second = {i: 10.0 ** i for i in range(9)}
        ratio = stats.paired_ratio({i: 2 * v for i, v in second.items()}, second)
        self.assertEqual((ratio.median, ratio.low, ratio.high, ratio.pairs), (2, 2, 2, 9))
        self.assertEqual(ratio.verdict(True), "faster")
        self.assertEqual(ratio.verdict(False), "slower")

    def test_noise_around_one_says_nothing(self):
        first = dict(enumerate((1.3, 0.7, 1.2, 0.8, 1.1, 0.9, 1.25, 0.75, 1.0)))
        ratio = stats.paired_ratio(first, {i: 1.0 for i in range(9)})
        self.assertTrue(ratio.low < 1 < ratio.high)
        self.assertIsNone(ratio.verdict(True))

    def test_few_runs_say_nothing_however_clear(self):
        few, many = stats.RUNS_MIN - 1, stats.RUNS_MIN
        self.assertIsNone(stats.paired_ratio({i: 3.0 for i in range(few)}, {i: 1.0 for i in range(few)}).verdict(True))
        self.assertEqual(
            stats.paired_ratio({i: 3.0 for i in range(many)}, {i: 1.0 for i in range(many)}).verdict(True), "faster")

    def test_one_outlier_does_not_decide(self):
        first = {i: 1.1 for i in range(9)}
        first[4] = 0.01
        ratio = stats.paired_ratio(first, {i: 1.0 for i in range(9)})
        self.assertAlmostEqual(ratio.median, 1.1)
        self.assertEqual(ratio.verdict(True), "faster")

    def test_runs_that_one_lacks_are_left_out(self):
        ratio = stats.paired_ratio({0: 2.0, 1: 8.0}, {1: 2.0, 2: 5.0})
        self.assertEqual((ratio.median, ratio.pairs), (4, 1))
        self.assertIsNone(stats.paired_ratio({0: 1.0}, {1: 1.0}))

    def test_less_is_better_for_latency(self):
        half = stats.paired_ratio({i: 0.5 for i in range(9)}, {i: 1.0 for i in range(9)})
        self.assertEqual(half.verdict(False), "faster")


if __name__ == "__main__":
    unittest.main()
