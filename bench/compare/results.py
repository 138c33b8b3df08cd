# SPDX-License-Identifier: Apache-2.0
"""Raw lines by configuration, and the figures that the rules in stats.py make of them."""
import histogram
import quantiles
import stats


class Results:
    def __init__(self, lines):
        self.lines = lines
        self.found = {}   # (row, guests, kind, size): {run: line}
        for line in lines:
            if line["type"] == "measurement":
                key = line["row"], line["guests"], line["kind"], line["size"]
                self.found.setdefault(key, {})[line["run"]] = line

    def of(self, kind):
        return [line for line in self.lines if line["type"] == kind]

    def runs(self, row, guests, kind, size):
        return self.found.get((row, guests, kind, size), {})

    def sizes(self, row, guests, kind):
        return sorted(key[3] for key in self.found if key[:3] == (row, guests, kind))

    def guests(self, row):
        return sorted({key[1] for key in self.found if key[0] == row})

    def latency(self, row, guests, size):
        """{run: figures}: average of the guests, with "results", each guest's own."""
        return {run: {**stats.guests_average([guest["all"] for guest in line["results"]]), "results": line["results"]}
                for run, line in self.runs(row, guests, "latency", size).items()}

    def latency_reported(self, row, guests, size):
        """The run that the report would show, or None."""
        runs = list(self.latency(row, guests, size).values())
        return stats.median_run(runs, lambda run: run["stddev_ms"]) if runs else None

    def transfers(self, row, guests, size):
        """{run: transfers/s of all guests together}"""
        return {run: sum(guest["transfers_per_s"] for guest in line["results"])
                for run, line in self.runs(row, guests, "throughput", size).items()}

    def throughput_reported(self, row, guests, size):
        """(transfers/s, MB/s), or None."""
        runs = self.runs(row, guests, "throughput", size).values()
        if not runs:
            return None
        each = stats.guests_sum_median([[guest["transfers_per_s"] for guest in line["results"]] for line in runs])
        return each, each * size / 2**20

    def histogram(self, row, guests, size):
        """Of all runs and guests together."""
        return histogram.merge(self.histograms(row, guests, size).values())

    def histograms(self, row, guests, size):
        """{run: buckets of all guests}"""
        return {run: histogram.merge(histogram.unpack(guest["histogram"]) for guest in line["results"])
                for run, line in self.runs(row, guests, "latency", size).items()}

    def quantile_ms(self, row, guests, size, part):
        ns = histogram.quantile_ns(self.histogram(row, guests, size), part)
        return None if ns is None else ns / 1e6

    def median_of(self, row, guests, size, key, of="all"):
        """Of the guests' averages in all runs that tell this figure of latency."""
        averages = [stats.guests_average([guest.get(of, {}) for guest in line["results"]])
                    for line in self.runs(row, guests, "latency", size).values()]
        values = [average[key] for average in averages if key in average]
        return stats.statistics.median(values) if values else None

    def ratios(self, first, second):
        """(kind, size, figure, Ratio, verdict) for all that both rows have."""
        for kind, key, more in (("throughput", "transfers/s", True), ("latency", "avg_ms", False),
                                ("latency", "p50_ms", False)):
            for size in sorted(set(self.sizes(first, 1, kind)) & set(self.sizes(second, 1, kind))):
                values = [self.transfers(row, 1, size) if kind == "throughput" else
                          {run: of[key] for run, of in self.latency(row, 1, size).items() if key in of}
                          for row in (first, second)]
                ratio = stats.paired_ratio(*values)
                if ratio:
                    yield kind, size, key, ratio, ratio.verdict(more)
        for size in sorted(set(self.sizes(first, 1, "latency")) & set(self.sizes(second, 1, "latency"))):
            ratio = quantiles.paired_ratio(*(self.histograms(row, 1, size) for row in (first, second)), 0.99)
            if ratio:
                yield "latency", size, "p99 of all runs", ratio, ratio.verdict(False)

    def limited_by_client(self, least=0.9):
        """{(row, guests): sizes} where the client's busiest loop had work for so much of the time, by the median run."""
        found = {}
        for (row, guests, kind, size), runs in sorted(self.found.items()):
            busy = [guest["client_busy"] for line in runs.values() for guest in line["results"] if "client_busy" in guest]
            if kind == "throughput" and busy and stats.statistics.median(busy) >= least:
                found.setdefault((row, guests), []).append(size)
        return found

    def cpu_seconds(self, row, guests, size):
        """Of the broker's CPUs for a million transfers, by kind; the medians of the runs. Time that passed before and after
        the messages is not theirs, so it is scaled to what these took."""
        each = []
        for line in self.runs(row, guests, "throughput", size).values():
            spent = line["cpu"]["broker"]
            busy = sum(spent[kind] for kind in ("user", "system", "softirq"))
            seconds = max(guest["seconds"] for guest in line["results"])
            cpus = round(sum(spent.values()) / line["cpu"]["seconds"])
            part = min(1, cpus * seconds / busy) if busy else 0
            transfers = sum(guest["transfers"] for guest in line["results"])
            each.append({kind: spent[kind] * part / transfers * 1e6 for kind in ("user", "system", "softirq")})
        return {kind: stats.statistics.median(one[kind] for one in each) for kind in each[0]} if each else None

    def variant(self, row, name, size):
        """Of a variant of latency, the runs together: rate of all queues, percentiles in ms, and the medians of the runs'
        averages; None where it was not measured."""
        lines = list(self.runs(row, 1, name, size).values())
        if not lines:
            return None
        merged = histogram.merge(histogram.unpack(guest["histogram"]) for line in lines for guest in line["results"])
        parts = {part: histogram.quantile_ns(merged, part) for part in (0.5, 0.99, 0.999)}
        every = [guest for line in lines for guest in line["results"]]
        confirmed = [guest["confirmed"]["avg_ms"] for guest in every if "confirmed" in guest]
        return {"rate": lines[0]["rate"] * lines[0]["queues"],
                "ms": {part: ns and ns / 1e6 for part, ns in parts.items()},
                "avg_ms": stats.statistics.median(guest["all"]["avg_ms"] for guest in every),
                "max_ms": max(guest["all"]["max_ms"] for guest in every),
                "confirmed_avg_ms": stats.statistics.median(confirmed) if confirmed else None}

    def variant_throughput(self, row, name, size):
        """Of a variant of throughput: medians of the runs, and the queues; None where it was not measured."""
        lines = list(self.runs(row, 1, name, size).values())
        if not lines:
            return None
        return {"queues": lines[0]["queues"], **{key: stats.statistics.median(line["results"][0][key] for line in lines)
                                                 for key in ("count", "seconds", "transfers_per_s", "mb_per_s")}}

    def disturbed(self):
        return [line for line in self.of("measurement") if line["disturbed"]]

    def failed(self):
        """Failures that no later run has made good."""
        for line in self.of("failed"):
            test = line["test"]
            if not test or line["run"] not in self.runs(line["row"], line["guests"], *test):
                yield line

    def absent(self, profile):
        """What the profile wants and nobody measured: (row, guests, kind, size, runs that are there)."""
        for row, guests, tests in profile.picks:
            for kind, size in tests:
                runs = len(self.runs(row.name, guests, kind, size))
                if runs < profile.runs:
                    yield row.name, guests, kind, size, runs
