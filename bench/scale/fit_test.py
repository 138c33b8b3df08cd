# SPDX-License-Identifier: Apache-2.0
import unittest

import fit


class Fit(unittest.TestCase):
    def test_of_points_on_a_line(self):
        found = fit.line([(x, 3 * x + 7) for x in (16, 256, 4096)])
        self.assertAlmostEqual(found.slope, 3)
        self.assertAlmostEqual(found.at(0), 7)

    def test_is_the_least_squares(self):
        # By hand: means 1 and 2, sum of products 2, of squares 2.
        found = fit.line([(0, 0), (1, 4), (2, 2)])
        self.assertAlmostEqual(found.slope, 1)
        self.assertAlmostEqual(found.at_zero, 1)

    def test_what_does_not_grow_has_no_slope(self):
        self.assertEqual(fit.tenfold([(1, 150), (10, 150), (100, 150)]).slope, 0)

    def test_a_tenfold_adds_the_slope(self):
        found = fit.tenfold([(0, 1e9), (1, 100), (10, 120), (100, 140), (1000, 160)])
        self.assertAlmostEqual(found.slope, 20)
        self.assertAlmostEqual(found.at_zero, 100)

    def test_one_point_has_none(self):
        self.assertIsNone(fit.line([(1, 2), (1, 3)]))
        self.assertIsNone(fit.tenfold([(0, 2), (1, 3)]))


if __name__ == "__main__":
    unittest.main()
