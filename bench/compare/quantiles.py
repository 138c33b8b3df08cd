# SPDX-License-Identifier: Apache-2.0
"""Ratios of percentiles that no single run is long enough to tell: of all runs together, runs being what is resampled."""
import histogram
import numpy
import stats


def table(by_run, runs, end):
    """Counts, a row for each run, a column for each bucket; and the buckets' largest values, which end() tells."""
    buckets = sorted({bucket for run in runs for bucket in by_run[run]})
    counts = numpy.array([[by_run[run].get(bucket, 0) for bucket in buckets] for run in runs], dtype=float)
    return counts, numpy.array([end(bucket) for bucket in buckets], dtype=float)


def quantile(weights, counts, values, part):
    """Of each row of weights, how often each run counts."""
    seen = numpy.cumsum(weights @ counts, axis=1)
    at = (seen >= numpy.ceil(part * seen[:, -1:] - 1e-9)).argmax(axis=1)
    return values[at]


def resampled(sides, runs, part, end):
    """Of each side, {run: buckets}: this percentile of all runs together, and then of as many drawn from them, again and
    again, the same ones of all sides; None where too few samples lie beyond it to know."""
    for by_run in sides:
        if not runs or histogram.quantile(histogram.merge(by_run[run] for run in runs), part, end) is None:
            return None
    drawn = numpy.random.default_rng(1).multinomial(len(runs), [1 / len(runs)] * len(runs), size=stats.RESAMPLES).astype(float)
    weights = numpy.vstack([numpy.ones(len(runs)), drawn])
    return [quantile(weights, *table(by_run, runs, end), part) for by_run in sides]


def with_interval(values, runs):
    low, high = numpy.percentile(values[1:], (2.5, 97.5))
    return stats.Ratio(float(values[0]), float(low), float(high), len(runs))


def paired_ratio(first, second, part):
    """Of {run: buckets} twice: the ratio of this percentile of the runs that both have, merged, with the bootstrap's 95 %
    interval; or None."""
    runs = sorted(set(first) & set(second))
    found = resampled((first, second), runs, part, histogram.until)
    return found and with_interval(found[0] / found[1], runs)


def interval(by_run, part, end):
    """Of {run: buckets}: this percentile with its interval, as if it were a ratio; or None."""
    runs = sorted(by_run)
    found = resampled((by_run,), runs, part, end)
    return found and with_interval(found[0], runs)
