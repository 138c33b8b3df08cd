# SPDX-License-Identifier: Apache-2.0
import unittest

import histogram

FILE = """godwit-histogram 1 ns 128
count 1000 min 5 max 300 mean 10 squares 1
5 900
255 50
256 50
end
"""


class Histogram(unittest.TestCase):
    def test_reads_packs_and_merges(self):
        buckets = histogram.read(FILE)
        self.assertEqual(buckets, {5: 900, 255: 50, 256: 50})
        self.assertEqual(histogram.unpack(histogram.pack(buckets)), buckets)
        self.assertEqual(histogram.merge([buckets, {5: 1, 7: 2}]), {5: 901, 7: 2, 255: 50, 256: 50})

    def test_refuses_what_is_cut_or_does_not_add_up(self):
        for text in (FILE[:-4], FILE.replace("1 ns 128", "2 ns 128"), FILE.replace("5 900", "5 901"), ""):
            with self.assertRaises(histogram.HistogramError):
                histogram.read(text)

    def test_buckets_end_where_the_tools_do(self):
        # distribution_until: exact up to 255, steps of 2 to 511, of 4 to 1023.
        self.assertEqual([histogram.until(b) for b in (0, 255, 256, 383, 384, 511)], [0, 255, 257, 511, 515, 1023])

    def test_a_percentile_wants_fifty_beyond_it(self):
        buckets = histogram.read(FILE)
        self.assertEqual(histogram.quantile_ns(buckets, 0.5), 5)
        self.assertEqual(histogram.quantile_ns(buckets, 0.95), 255)
        self.assertIsNone(histogram.quantile_ns(buckets, 0.951))

    def test_how_much_lies_beyond(self):
        self.assertEqual(int(histogram.beyond({1: 90, 2: 10}, 0.9)), 10)
        self.assertEqual(histogram.quantile({2.5: 99, 1.5: 1}, 0.01, float), 1.5)

    def test_a_curve_says_how_much_lies_beyond(self):
        self.assertEqual(list(histogram.curve(histogram.read(FILE))), [(0.1, 5), (0.05, 255)])

    def test_a_curve_ends_where_too_few_lie_beyond(self):
        self.assertEqual(list(histogram.curve({5: 950, 255: 1, 256: 49})), [(0.05, 5)])
        self.assertEqual(list(histogram.curve({5: 49, 6: 49})), [])


if __name__ == "__main__":
    unittest.main()
