# SPDX-License-Identifier: Apache-2.0
"""The rules by which runs become one figure: the report's, and ours."""
import dataclasses
import random
import statistics

RESAMPLES = 2000
# All of five runs on one side happen by chance one time in 16, of six one time in 32: with fewer nothing is said.
RUNS_MIN = 6


def median_run(runs, deviation):
    """The report's rule for latency: the run whose standard deviation is the median of all. Of an even number of runs the
    lower of the two in the middle, so that it is a run."""
    return sorted(runs, key=deviation)[(len(runs) - 1) // 2]


def guests_average(guests):
    """The report's rule for the latency of several guests in one run: the average of each of their figures."""
    return {key: statistics.fmean(guest[key] for guest in guests) for key in guests[0]
            if all(key in guest for guest in guests)}


def guests_sum_median(runs):
    """The report's rule for the throughput of several guests: their sum in each run, and the median of the runs."""
    return statistics.median(sum(guests) for guests in runs)


@dataclasses.dataclass(frozen=True)
class Ratio:
    """A paired ratio with its 95 % interval."""
    median: float
    low: float
    high: float
    pairs: int

    def verdict(self, more_is_better):
        """'faster' or 'slower' where the interval excludes 1, else None."""
        if self.pairs < RUNS_MIN or self.low <= 1 <= self.high:
            return None
        return "faster" if (self.median > 1) == more_is_better else "slower"


def paired_ratio(first, second, seed=1):
    """Of {run: value} and {run: value}: the median of first / second in the runs that both have, and the bootstrap's 95 %
    interval (percentiles of the medians of resampled runs). None where they share no run."""
    ratios = [first[run] / second[run] for run in sorted(first) if second.get(run)]
    if not ratios:
        return None
    chance = random.Random(seed)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return Ratio(statistics.median(ratios), medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1],
                 len(ratios))
