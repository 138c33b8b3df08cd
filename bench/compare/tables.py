# SPDX-License-Identifier: Apache-2.0
"""The report's tables with our rows beside its own: what the page shows as HTML and figures.py as a PNG."""


def number(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


def guests_of(guests):
    return f"{guests} guest{'s' * (guests > 1)}"


class Tables:
    """Each is (head, lines)."""

    def __init__(self, results, profile, reference):
        self.results, self.profile, self.reference = results, profile, reference
        self.bypass, self.kernel = profile.figures["bypass"], profile.figures["kernel"]

    def latency(self, keys, digits):
        """keys: of avg_ms and stddev_ms, those that are wanted."""
        words = {"avg_ms": "average", "stddev_ms": "deviation"}
        ours = [(row, guests) for row in (self.bypass, self.kernel) for guests in (1, 2)]
        head = ["bytes"] + [f"{name}: {words[key]}" for name in
                            [f"{row}, {guests_of(guests)}" for row, guests in ours] +
                            [f"2009 passthrough, {guests_of(guests)}" for guests in (1, 2)] for key in keys]
        return head, [self.latency_line(size, ours, keys, digits) for size in self.profile.latency["sizes"]]

    def latency_line(self, size, ours, keys, digits):
        runs = [self.results.latency_reported(row, guests, size) or {} for row, guests in ours]
        paper = [dict(zip(("avg_ms", "stddev_ms"), self.reference["latency"][key].get(size, ())))
                 for key in ("one_guest", "two_guests")]
        return [f"{size:,}"] + [number(run.get(key), digits) for run in runs + paper for key in keys]

    def throughput(self):
        ours = [(row, guests) for guests in (1, 2) for row in (self.kernel, self.bypass)]
        names = [f"{row}, {guests_of(guests)}" for row, guests in ours] + ["2009 bridged, 2 guests", "2009 passthrough, 2 guests"]
        head = ["bytes"] + [f"{name}: {what}" for name in names for what in ("transfers/s", "MB/s")]
        return head, [self.throughput_line(size, ours) for size in self.profile.throughput["sizes"]]

    def throughput_line(self, size, ours):
        of = self.reference["throughput"]
        each = [self.results.throughput_reported(row, guests, size) or (None, None) for row, guests in ours]
        each += [of[side].get(size, (None, None)) for side in ("bridged", "passthrough")]
        return [f"{size:,}"] + [text for rate, megabytes in each for text in (number(rate, 0), number(megabytes, 3))]
