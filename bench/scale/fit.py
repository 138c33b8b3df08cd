# SPDX-License-Identifier: Apache-2.0
"""A straight line through points, by least squares."""
import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Line:
    slope: float
    at_zero: float

    def at(self, x):
        return self.at_zero + self.slope * x


def line(points):
    """Of (x, y) with two different x at least; None of fewer."""
    if len({x for x, _ in points}) < 2:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    slope = (sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points))
    return Line(slope, mean_y - slope * mean_x)


def tenfold(points):
    """The same over the logarithm: the slope is what each tenfold of x adds. Points at 0 have no place there."""
    return line([(math.log10(x), y) for x, y in points if x > 0])
