# SPDX-License-Identifier: Apache-2.0
"""Raw lines by configuration, and the figures that the rules in stats.py make of them."""
import histogram
import inside
import quantiles
import stats


CPU_KINDS = ("user", "system", "softirq")


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

    def by_run(self, row, guests, kind, size, key):
        """{run: this figure of all guests together}"""
        return {run: sum(guest[key] for guest in line["results"]) for run, line in self.runs(row, guests, kind, size).items()}

    def transfers(self, row, guests, size):
        return self.by_run(row, guests, "throughput", size, "transfers_per_s")

    def throughput_reported(self, row, guests, size):
        """(transfers/s, MB/s), or None."""
        runs = self.runs(row, guests, "throughput", size).values()
        if not runs:
            return None
        each = stats.guests_sum_median([[guest["transfers_per_s"] for guest in line["results"]] for line in runs])
        return each, each * size / 2**20

    def histogram(self, row, guests, size, of="all"):
        """Of all runs and guests together; of: all samples, or no_gaps, those that the client was there for."""
        return histogram.merge(self.histograms(row, guests, size, of).values())

    def histograms(self, row, guests, size, of="all"):
        """{run: buckets of all guests}; runs in which gaps were not looked for have no no_gaps."""
        key = {"all": "histogram", "no_gaps": "histogram_no_gaps"}[of]
        return {run: histogram.merge(histogram.unpack(guest[key]) for guest in line["results"])
                for run, line in self.runs(row, guests, "latency", size).items()
                if all(key in guest for guest in line["results"])}

    def quantile_ms(self, row, guests, size, part, of="all"):
        ns = histogram.quantile_ns(self.histogram(row, guests, size, of), part)
        return None if ns is None else ns / 1e6

    def left_out(self, row, guests, size):
        """The part of the samples that the client was away for; None where gaps were not looked for."""
        calm = self.histograms(row, guests, size, "no_gaps")
        every = [sum(buckets.values()) for run, buckets in self.histograms(row, guests, size).items() if run in calm]
        return 1 - sum(sum(buckets.values()) for buckets in calm.values()) / sum(every) if every else None

    def inside(self, row, guests):
        """Time inside the broker in us at the profile's rate, of all sizes and runs together; empty where no port is the
        broker's own."""
        return histogram.merge(self.insides(row, guests).values())

    def insides(self, row, guests):
        """{run: the same}"""
        found = {}
        for size in self.sizes(row, guests, "latency"):
            for run, line in self.runs(row, guests, "latency", size).items():
                of = [inside.unpack(guest["inside"]) for guest in line["results"] if "inside" in guest]
                if of:
                    found[run] = histogram.merge([found.get(run, {}), *of])
        return found

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
            for of, words in (("all", "p99 of all runs"), ("no_gaps", "p99 of all runs, without gaps")):
                ratio = quantiles.paired_ratio(*(self.histograms(row, 1, size, of) for row in (first, second)), 0.99)
                if ratio:
                    yield "latency", size, words, ratio, ratio.verdict(False)

    def ratio_of_transfers(self, first, second, size):
        return stats.paired_ratio(*(self.transfers(row, 1, size) for row in (first, second)))

    def limited_by_client(self, least=0.9):
        """{(row, guests): sizes} where the client's busiest loop had work for so much of the time, by the median run."""
        found = {}
        for (row, guests, kind, size), runs in sorted(self.found.items()):
            busy = [guest["client_busy"] for line in runs.values() for guest in line["results"] if "client_busy" in guest]
            if kind == "throughput" and busy and stats.statistics.median(busy) >= least:
                found.setdefault((row, guests), []).append(size)
        return found

    def cpu_seconds(self, row, guests, size, kind="throughput"):
        """Of the broker's CPUs for a million transfers of a test by throughput; user, system and softirq, medians of the runs. Time that passed before and after
        the messages is not theirs, so it is scaled to what these took."""
        each = []
        for line in self.runs(row, guests, kind, size).values():
            spent = line["cpu"]["broker"]
            busy = sum(spent[of] for of in CPU_KINDS)
            seconds = max(guest["seconds"] for guest in line["results"])
            cpus = round(sum(spent.values()) / line["cpu"]["seconds"])
            part = min(1, cpus * seconds / busy) if busy else 0
            transfers = sum(guest["transfers"] for guest in line["results"])
            each.append({of: spent[of] * part / transfers * 1e6 for of in CPU_KINDS})
        return {of: stats.statistics.median(one[of] for one in each) for of in CPU_KINDS} if each else None

    def steal_max(self, row, guests, size, kind="throughput"):
        """The greatest part of its CPU time that the hypervisor took from one of the runs."""
        return max(line["cpu"]["steal"] for line in self.runs(row, guests, kind, size).values())

    def kernel_share(self):
        """ns that the kernel takes to send, and to receive, a message of 65 bytes; medians of the runs; None."""
        lines = self.of("kernel_share")
        return tuple(stats.statistics.median(line[key] for line in lines) for key in ("send_ns", "receive_ns")) if lines else None

    def bound(self, row, size):
        """What a bypass can win over this row of kernel sockets: (ns of the broker's CPUs a message in and out, how many times
        as many messages that makes without the kernel's share of it, and without all that the kernel did in this row);
        None."""
        cost, share = self.cpu_seconds(row, 1, size), self.kernel_share()
        if not cost or not share:
            return None
        ns = 2 * sum(cost.values()) * 1e9 / 1e6
        return ns, ns / (ns - sum(share)) if ns > sum(share) else None, sum(cost.values()) / cost["user"]

    def variant(self, row, name, size):
        """Of a variant of latency, the runs together: rate of all queues, percentiles in ms, and the medians of the runs'
        averages; None where it was not measured."""
        lines = list(self.runs(row, 1, name, size).values())
        if not lines:
            return None
        merged = histogram.merge(histogram.unpack(guest["histogram"]) for line in lines for guest in line["results"])
        parts = {part: histogram.quantile_ns(merged, part) for part in (0.5, 0.99, 0.999)}
        every = [guest for line in lines for guest in line["results"]]
        # Percentiles only where each run tells them.
        confirmed = {key: [guest["confirmed"][key] for guest in every if key in guest.get("confirmed", {})]
                     for key in ("avg_ms", "p50_ms", "max_ms")}
        late = [guest["sent_late"]["avg_ms"] for guest in every if "sent_late" in guest]
        return {"rate": stats.statistics.median(line["rate"] * line["queues"] for line in lines),
                "ms": {part: ns and ns / 1e6 for part, ns in parts.items()},
                "avg_ms": stats.statistics.median(guest["all"]["avg_ms"] for guest in every),
                "late_ms": stats.statistics.median(late) if late else None,
                "max_ms": max(guest["all"]["max_ms"] for guest in every),
                "confirmed_ms": {key: stats.statistics.median(each) if each else None for key, each in confirmed.items()}}

    def variant_throughput(self, row, name, size):
        """Of a variant of throughput: medians of the runs, and the queues; None where it was not measured."""
        lines = list(self.runs(row, 1, name, size).values())
        if not lines:
            return None
        return {"queues": lines[0]["queues"], "seconds_least": min(line["results"][0]["seconds"] for line in lines),
                **{key: stats.statistics.median(line["results"][0][key] for line in lines)
                   for key in ("count", "seconds", "transfers_per_s", "mb_per_s")}}

    def short(self, profile):
        """{(kind, seconds wanted): measurements that took less}, of throughput by time. Older tools guessed how many messages
        would take it."""
        found = {}
        for line in self.of("measurement"):
            wanted = profile.seconds_least(line["kind"])
            if wanted and min((guest["seconds"] for guest in line["results"]), default=wanted) < wanted:
                found.setdefault((line["kind"], wanted), []).append(line)
        return found

    def disturbed(self):
        return [line for line in self.of("measurement") if line["disturbed"]]

    def failed(self):
        """Failures that no later measurement has made good."""
        return [line for line in self.of("failed") if not self.made_good(line)]

    def made_good(self, failure):
        """The measurement that was made after all, or None."""
        return failure["test"] and self.runs(failure["row"], failure["guests"], *failure["test"]).get(failure["run"])

    def absent(self, profile):
        """What the profile wants and nobody measured: (row, guests, kind, size, runs that are there)."""
        for row, guests, tests in profile.picks:
            for kind, size in tests:
                runs = len(self.runs(row.name, guests, kind, size))
                if runs < profile.runs:
                    yield row.name, guests, kind, size, runs
