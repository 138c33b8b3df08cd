# SPDX-License-Identifier: Apache-2.0
"""Histograms as godwit-latencytest keeps them (tools/latencytest/distribution.h): to within one part in 128."""
import math

STEPS = 128
HEAD = f"godwit-histogram 1 ns {STEPS}"
# So many samples must lie beyond a percentile for it to be told.
BEYOND_MIN = 50


class HistogramError(Exception):
    pass


def until(bucket):
    """A bucket's largest value in nanoseconds."""
    if bucket < 2 * STEPS:
        return bucket
    shift = (bucket - 2 * STEPS) // STEPS + 1
    return ((bucket % STEPS + STEPS + 1) << shift) - 1


def read(text):
    """{bucket: count} of a file's text."""
    lines = text.splitlines()
    if len(lines) < 3 or lines[0] != HEAD or lines[-1] != "end":
        raise HistogramError("it is no whole histogram")
    words = lines[1].split()
    buckets = {int(bucket): int(count) for bucket, count in (line.split() for line in lines[2:-1])}
    if words[0] != "count" or sum(buckets.values()) != int(words[1]):
        raise HistogramError("its counts do not add up")
    return buckets


def pack(buckets):
    """As a word for a line of JSON."""
    return " ".join(f"{bucket}:{count}" for bucket, count in sorted(buckets.items()))


def unpack(text):
    return {int(bucket): int(count) for bucket, count in (word.split(":") for word in text.split())}


def merge(histograms):
    total = {}
    for buckets in histograms:
        for bucket, count in buckets.items():
            total[bucket] = total.get(bucket, 0) + count
    return total


def beyond(buckets, part):
    """How many samples lie beyond a percentile."""
    return (1 - part) * sum(buckets.values()) + 1e-6


def quantile(buckets, part, end):
    """What this part of the samples does not exceed, a bucket's end being end(bucket); None where too few lie beyond it to
    know."""
    if beyond(buckets, part) < BEYOND_MIN:
        return None
    wanted, seen = math.ceil(part * sum(buckets.values()) - 1e-9), 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= wanted:
            return end(bucket)
    return None


def quantile_ns(buckets, part):
    return quantile(buckets, part, until)


def curve(buckets):
    """(part beyond, ns) for each bucket that is not empty and has samples enough beyond it."""
    left = count = sum(buckets.values())
    for bucket in sorted(buckets):
        left -= buckets[bucket]
        if left >= BEYOND_MIN:
            yield left / count, until(bucket)
