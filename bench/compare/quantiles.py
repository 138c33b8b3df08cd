# SPDX-License-Identifier: Apache-2.0
"""Ratios of percentiles that no single run is long enough to tell: of all runs together, runs being what is resampled."""
import histogram
import numpy
import stats


def table(by_run, runs):
    """Counts, a row for each run, a column for each bucket; and the buckets' largest values."""
    buckets = sorted({bucket for run in runs for bucket in by_run[run]})
    counts = numpy.array([[by_run[run].get(bucket, 0) for bucket in buckets] for run in runs], dtype=float)
    return counts, numpy.array([histogram.until(bucket) for bucket in buckets], dtype=float)


def quantile(weights, counts, values, part):
    """Of each row of weights, how often each run counts."""
    seen = numpy.cumsum(weights @ counts, axis=1)
    at = (seen >= numpy.ceil(part * seen[:, -1:] - 1e-9)).argmax(axis=1)
    return values[at]


def paired_ratio(first, second, part, seed=1):
    """Of {run: buckets} twice: the ratio of this percentile of the runs that both have, merged, with the bootstrap's 95 %
    interval; None where too few samples lie beyond it to know."""
    runs = sorted(set(first) & set(second))
    for by_run in (first, second):
        if not runs or histogram.quantile_ns(histogram.merge(by_run[run] for run in runs), part) is None:
            return None
    chance = numpy.random.default_rng(seed)
    drawn = chance.multinomial(len(runs), [1 / len(runs)] * len(runs), size=stats.RESAMPLES).astype(float)
    weights = numpy.vstack([numpy.ones(len(runs)), drawn])
    ratios = (quantile(weights, *table(first, runs), part) / quantile(weights, *table(second, runs), part))
    low, high = numpy.percentile(ratios[1:], (2.5, 97.5))
    return stats.Ratio(float(ratios[0]), float(low), float(high), len(runs))
