# SPDX-License-Identifier: Apache-2.0
"""What is meant to be reached, and by how much it is missed. Tails are those without the samples that the client was away for."""
import dataclasses

import histogram
import inside
import quantiles
import stats

PARTS = {"p50": 0.5, "p99": 0.99}
INSIDE = {"inside p50": 0.5, "inside p99.9": 0.999}


@dataclasses.dataclass(frozen=True)
class Found:
    """Of an aim: its figure, or in words why nothing is said."""
    value: float = None
    met: bool = None
    missed: float = None      # the part of it
    interval: stats.Ratio = None
    open: bool = False        # the aim lies within the interval: chance alone may have decided
    with_gaps: float = None   # the same figure of all samples
    left_out: str = ""        # how many samples the client was away for
    why: str = ""


def percentile(row, buckets, part, quantile):
    """(value, why not)"""
    if not buckets:
        return None, "not measured"
    value, beyond = quantile(buckets, part), int(histogram.beyond(buckets, part))
    return value, None if value is not None else f"not said: {row} has {beyond} samples beyond it, not {histogram.BEYOND_MIN}"


def tail(results, row, aim, of):
    buckets = results.histogram(row, 1, aim["size"], of)
    if not buckets and results.runs(row, 1, "latency", aim["size"]):
        return None, f"not said: {row}'s client slept, so gaps were not looked for"
    return percentile(row, buckets, PARTS[aim["figure"]], lambda *of: ms(histogram.quantile_ns(*of)))


def ms(ns):
    return None if ns is None else ns / 1e6


def figure(results, row, aim, of="no_gaps"):
    """One row's: (value, None), or (None, why it has none)."""
    if aim["figure"] in PARTS:
        return tail(results, row, aim, of)
    if aim["figure"] in INSIDE:
        return percentile(row, results.inside(row, 1), INSIDE[aim["figure"]], inside.quantile_us)
    if "kind" in aim:
        found = results.variant_throughput(row, aim["kind"], aim["size"])
        value = found and found["transfers_per_s"]
    else:
        found = results.throughput_reported(row, 1, aim["size"])
        value = found and found[0 if aim["figure"] == "transfers/s" else 1]
    return (value, None) if value else (None, "not measured")


def compared(results, aim, of):
    """(the row's figure, or its ratio to the other one's; why it has none)"""
    value, why = figure(results, aim["row"], aim, of)
    if why or "by" not in aim:
        return value, why
    other, why = figure(results, aim["by"], aim, of)
    return (None, why) if why else (value / other, None)


def interval(results, aim):
    """The bootstrap's, of the ratio run by run or of the figure itself: a stats.Ratio, or None."""
    rows = [row for row in (aim["row"], aim.get("by")) if row]
    if aim["figure"] in PARTS:
        each = [results.histograms(row, 1, aim["size"], "no_gaps") for row in rows]
        return quantiles.paired_ratio(*each, PARTS[aim["figure"]]) if len(each) == 2 else \
            quantiles.interval(each[0], PARTS[aim["figure"]], histogram.until)
    if aim["figure"] in INSIDE:
        return quantiles.interval(results.insides(aim["row"], 1), INSIDE[aim["figure"]], float)
    key = "mb_per_s" if aim["figure"] == "MB/s" else "transfers_per_s"
    each = [results.by_run(row, 1, aim.get("kind", "throughput"), aim["size"], key) for row in rows]
    return stats.paired_ratio(each[0], each[1] if len(each) == 2 else dict.fromkeys(each[0], 1.0))


def left_out(results, row, size):
    part = results.left_out(row, 1, size)
    count = sum(results.histogram(row, 1, size).values())
    return f"{row} not known" if part is None else f"{row} {part:.1%} of {count:,}"


def reached(results, aim):
    value, why = compared(results, aim, "no_gaps")
    extra = {}
    if aim["figure"] in PARTS:
        extra = {"with_gaps": compared(results, aim, "all")[0],
                 "left_out": ", ".join(left_out(results, row, aim["size"]) for row in (aim["row"], aim.get("by"))
                                       if row and results.histogram(row, 1, aim["size"]))}
    if why:
        return Found(why=why, **extra)
    wanted, found = aim.get("at_most", aim.get("at_least")), interval(results, aim)
    extra |= {"interval": found, "open": not found or found.pairs < stats.RUNS_MIN or found.low <= wanted <= found.high}
    if "at_most" in aim:
        return Found(value, value <= wanted, max(value / wanted - 1, 0), **extra)
    return Found(value, value >= wanted, max(1 - value / wanted, 0), **extra)
