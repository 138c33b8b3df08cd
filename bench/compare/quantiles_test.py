# SPDX-License-Identifier: Apache-2.0
import unittest

import histogram
import quantiles


def runs(*each):
    return dict(enumerate(each))


class PairedRatio(unittest.TestCase):
    def test_is_that_of_the_merged_runs(self):
        first = runs({10: 950, 200: 50}, {10: 900, 100: 100})
        second = runs({5: 1000, 50: 100}, {5: 1000})
        ratio = quantiles.paired_ratio(first, second, 0.95)
        merged = [histogram.quantile_ns(histogram.merge(each.values()), 0.95) for each in (first, second)]
        self.assertEqual(merged, [100, 5])
        self.assertEqual((ratio.median, ratio.pairs), (20, 2))

    def test_runs_that_agree_leave_no_doubt(self):
        ratio = quantiles.paired_ratio(runs(*[{10: 900, 100: 100}] * 8), runs(*[{10: 900, 200: 100}] * 8), 0.99)
        self.assertEqual((ratio.median, ratio.low, ratio.high), (0.5, 0.5, 0.5))
        self.assertEqual(ratio.verdict(False), "faster")

    def test_a_tail_of_one_run_is_doubted(self):
        first = runs({10: 1000, 250: 200}, *[{10: 1000}] * 7)
        ratio = quantiles.paired_ratio(first, runs(*[{20: 1000}] * 8), 0.99)
        self.assertEqual(ratio.median, 12.5)
        self.assertLess(ratio.low, 1)
        self.assertIsNone(ratio.verdict(False))

    def test_too_few_samples_or_no_run_in_common_say_nothing(self):
        self.assertIsNone(quantiles.paired_ratio(runs({10: 4000}), runs({10: 4000}), 0.99))
        self.assertIsNone(quantiles.paired_ratio({0: {10: 9000}}, {1: {10: 9000}}, 0.99))


if __name__ == "__main__":
    unittest.main()
