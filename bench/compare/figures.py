# SPDX-License-Identifier: Apache-2.0
"""The report's figures with our rows beside its own, and ours: a PNG each."""
import os
import textwrap

import matplotlib

matplotlib.use("Agg")

import histogram  # noqa: E402
from matplotlib import pyplot  # noqa: E402
from tables import Tables  # noqa: E402

COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#cb912f", "#787774", "#d44c47", "#337ea9", "#64473a")
PAPER = "#9a9a9a"
LIGHT = ("#9cc7d8", "#f0c093")   # one broker alone, beside two
LABELS_WITHIN = 6
# Of fewer seconds no line can be drawn.
LONG_S = 10
OVER_TIME = (f"Of runs of {LONG_S} seconds and more it is the one whose standard deviation is the median; shorter ones stand one "
             "after the other. The vertical axis does not begin at 0.")


class Figure:
    """A PNG, its title, and in words which side is what."""

    def __init__(self, name, title, words):
        self.name, self.title, self.words = name, title, words
        self.path = None


def thousands(value, _position=None):
    return f"{value:,.0f}"


def brokers(guests):
    return "one broker" if guests == 1 else f"{guests} brokers at once"


class Figures:
    def __init__(self, results, profile, reference, folder):
        self.results, self.profile, self.reference, self.folder = results, profile, reference, folder
        self.kernel, self.bypass = (profile.rows[profile.figures[side]] for side in ("kernel", "bypass"))
        self.colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(profile.rows)}
        self.tables = Tables(results, profile, reference)
        self.made = []

    def all(self):
        for draw in (self.latency_by_size, self.throughput_two_guests, self.average_table, self.latency_over_time,
                     self.deviation_over_time, self.latency_table, self.bridged, self.passthrough, self.throughput_table,
                     self.throughput_rows, self.percentiles, self.percentiles_without_gaps, self.drift, self.cpu):
            draw()
        return self.made

    def keep(self, figure, plot, **words):
        plot.set(**words)
        self.title(figure)
        handles, labels = plot.get_legend_handles_labels()
        if handles:
            # Many would hide points.
            beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5)} if len(labels) > LABELS_WITHIN else {}
            plot.legend(handles, labels, fontsize=7, **beside)
        plot.grid(alpha=0.3)
        self.save(figure)

    def title(self, figure):
        pyplot.title(f"{figure.title}\n(profile {self.profile.name}, {self.profile.runs} run{'s' * (self.profile.runs > 1)})", fontsize=10)

    def save(self, figure):
        """With its words below, so that a picture alone says which side is what."""
        figure.path = os.path.join(self.folder, figure.name + ".png")
        width, height = pyplot.gcf().get_size_inches()
        words = textwrap.wrap(figure.words, int(width * 22))
        pyplot.figtext(0.01, 0.01, "\n".join(words), fontsize=6.5, color="#555555")
        pyplot.tight_layout(rect=(0, (0.05 + 0.115 * len(words)) / height, 1, 1))
        pyplot.savefig(figure.path, dpi=110)
        pyplot.close()
        self.made.append(figure)

    def table(self, figure, head, lines):
        """A table as a picture. Its head in lines, since its columns are narrow."""
        _, plot = pyplot.subplots(figsize=(max(8.2, 0.95 * len(head)), 1.3 + 0.27 * len(lines)))
        plot.axis("off")
        drawn = plot.table(lines, colLabels=[name.replace("2009 ", "2009\n").replace(", ", ",\n").replace(": ", ":\n") for name in head], loc="center",
                           cellLoc="right", bbox=(0, 0, 1, 1))
        drawn.auto_set_font_size(False)
        drawn.set_fontsize(7.5)
        head_share = 3.4 / (3.4 + len(lines))
        for (row, column), cell in drawn.get_celld().items():
            cell.set(height=head_share if row == 0 else (1 - head_share) / len(lines), edgecolor="#dddddd")
            if row == 0 or head[column].startswith("2009"):
                cell.set_facecolor("#f4f4f4" if row else "#e8eef2")
        self.title(figure)
        self.save(figure)

    @staticmethod
    def canvas():
        _, plot = pyplot.subplots(figsize=(8.2, 4.4))
        return plot

    def bars(self, plot, sizes, series):
        """series: (label, colour, {size: value}), missing ones left out."""
        width = 0.8 / max(len(series), 1)
        for i, (label, colour, values) in enumerate(series):
            at = [x + (i - (len(series) - 1) / 2) * width for x, size in enumerate(sizes) if size in values]
            plot.bar(at, [values[size] for size in sizes if size in values], width, label=label, color=colour,
                     hatch="//" if colour == PAPER else None, edgecolor="white", linewidth=0.3)
        plot.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])

    def latencies(self, row, guests):
        return {size: self.results.latency_reported(row.name, guests, size)["avg_ms"]
                for size in self.results.sizes(row.name, guests, "latency")}

    def rates(self, row, guests, which=0):
        return {size: self.results.throughput_reported(row.name, guests, size)[which]
                for size in self.results.sizes(row.name, guests, "throughput")}

    def latency_by_size(self):
        of, plot = self.reference["latency"], self.canvas()
        paper = [(f"2009, PCI passthrough, {words} ({of['place']})", PAPER, {s: v[0] for s, v in of[key].items()})
                 for key, words in (("one_guest", "one guest"), ("two_guests", "two guests"))]
        ours = [(f"{row.name}, {guests} guest{'s' * (guests > 1)}", self.colour[row.name], self.latencies(row, guests))
                for row in (self.bypass, self.kernel) for guests in (1, 2)]
        self.bars(plot, self.profile.latency["sizes"], [one for one in ours if one[2]] + paper)
        self.keep(Figure("figure-01", "Average latency at 1,000 messages/s (the report's Figure 1)",
                         f"Less is better. {self.sides()} The hatched bars are the report's: another machine, another wire. "
                         "Each bar is the run whose standard deviation is the median of all; of two guests the average."),
                  plot, xlabel="message size in bytes", ylabel="ms")

    def sides(self):
        return f"'{self.bypass.name}' is {self.bypass.words()}; '{self.kernel.name}' is {self.kernel.words()}."

    def names(self, rows):
        """What each name is."""
        return " ".join(f"'{name}' is {self.profile.rows[name].words()}." for name in rows)

    def average_table(self):
        self.table(Figure("figure-05", "Average latency in ms at 1,000 messages/s (the report's Figure 5)",
                          f"Less is better. {self.sides()} 2009 is the report's PCI passthrough: another machine, another wire. "
                          "The run whose standard deviation is the median of all; of two guests the average."),
                   *self.tables.latency(("avg_ms",), 3))

    def latency_table(self):
        self.table(Figure("figure-08", "Average latency and standard deviation in ms at 1,000 messages/s (the report's Figure 8)",
                          f"Less is better. {self.sides()} 2009 is the report's PCI passthrough."),
                   *self.tables.latency(("avg_ms", "stddev_ms"), 5))

    def throughput_table(self):
        self.table(Figure("figure-11", "Transfers and megabytes a second, publishes and receives together (the report's Figure 11)",
                          f"More is better. {self.sides()} The report's bridged side corresponds to our kernel sockets, its PCI "
                          "passthrough to our bypass. The median of the runs; of two guests of their sums."),
                   *self.tables.throughput())

    def throughput_two_guests(self):
        of, plot = self.reference["throughput"], self.canvas()
        paper = [(f"2009, {words}, two guests ({of['place']})", PAPER if key == "bridged" else "#c4c4c4",
                  {s: v[0] for s, v in of[key].items()})
                 for key, words in (("bridged", "bridged"), ("passthrough", "PCI passthrough"))]
        ours = [(f"{row.name}, {brokers(guests)}", colour, self.rates(row, guests))
                for guests, colours in ((2, (self.colour[self.kernel.name], self.colour[self.bypass.name])), (1, LIGHT))
                for row, colour in zip((self.kernel, self.bypass), colours)]
        self.bars(plot, self.profile.throughput["sizes"], [one for one in ours if one[2]] + paper)
        plot.yaxis.set_major_formatter(thousands)
        self.keep(Figure("figure-02", "Transfers a second, publishes and receives together (the report's Figure 2)",
                         f"More is better. {self.sides()} The report's bridged side corresponds to our kernel sockets, its "
                         "PCI passthrough to our bypass. Each bar is the median of the runs, of two brokers at once of their "
                         "sums; what this profile did not measure with two stands there with one alone."),
                  plot, xlabel="message size in bytes", ylabel="transfers/s")

    def over_time(self, figure, rows_and_sizes, column, label):
        plot = self.canvas()
        for row, size, colour in rows_and_sizes:
            series = self.seconds(row, size)
            plot.plot(range(len(series)), [line[column] for line in series], marker="o", markersize=3,
                      label=f"{row.name}, {size:,} bytes", color=colour)
        self.keep(figure, plot, xlabel="second", ylabel=label)

    def seconds(self, row, size):
        """A line a second of the run that the report's rule picks; where runs are short, of all of them in turn."""
        run = self.results.latency_reported(row.name, 1, size)
        series = run["results"][0]["series"] if run else []
        if len(series) >= LONG_S:
            return series
        runs = self.results.latency(row.name, 1, size)
        return [line for number in sorted(runs) for line in runs[number]["results"][0]["series"]]

    def latency_over_time(self):
        sizes = self.results.sizes(self.bypass.name, 1, "latency")
        self.over_time(Figure("figure-06", "One guest: average latency of each second (the report's Figure 6)",
                              f"Less is better. All lines are {self.bypass.words()}. {OVER_TIME}"),
                       [(self.bypass, size, COLOURS[i % len(COLOURS)]) for i, size in enumerate(sizes)], 1, "ms")

    def deviation_over_time(self):
        self.over_time(Figure("figure-07", "One guest, 16 bytes: standard deviation of each second (the report's Figure 7)",
                              f"Less is better. {self.sides()} {OVER_TIME}"),
                       [(row, 16, self.colour[row.name]) for row in (self.kernel, self.bypass)], 2, "ms")

    def both_axes(self, figure, row, paper):
        of, plot = self.reference["throughput"][paper], self.canvas()
        right = plot.twinx()
        ours = [(f"{row.name}, {brokers(guests)}", self.colour[row.name], style, self.rates(row, guests), self.rates(row, guests, 1))
                for guests, style in ((2, "-"), (1, ":"))]
        for label, colour, style, rates, megabytes in (
                *(one for one in ours if one[3]),
                (f"2009, {paper}, two guests", PAPER, "--", {s: v[0] for s, v in of.items()},
                 {s: v[1] for s, v in of.items()})):
            plot.plot(list(rates), list(rates.values()), style, marker="o", color=colour, label=f"{label}: transfers/s")
            right.plot(list(megabytes), list(megabytes.values()), style, marker="^", color=colour, alpha=0.5)
            plot.plot([], [], style, marker="^", color=colour, alpha=0.5, label=f"{label}: MB/s (right)")
        plot.set_xscale("log", base=2)
        plot.set_xticks(self.profile.throughput["sizes"], [str(size) for size in self.profile.throughput["sizes"]])
        plot.yaxis.set_major_formatter(thousands)
        right.yaxis.set_major_formatter(thousands)
        right.set_ylabel("MB/s (2^20 bytes)")
        self.keep(figure, plot, xlabel="message size in bytes", ylabel="transfers/s")

    def bridged(self):
        self.both_axes(Figure("figure-09", "The kernel's network: transfers and megabytes a second (the report's Figure 9)",
                              f"More is better. Our line is {self.kernel.words()}; the report's is its bridged network."),
                       self.kernel, "bridged")

    def passthrough(self):
        self.both_axes(Figure("figure-10", "Kernel bypass: transfers and megabytes a second (the report's Figure 10)",
                              f"More is better. Our line is {self.bypass.words()}; the report's is PCI passthrough, which "
                              "bypassed the host's kernel alone."), self.bypass, "passthrough")

    def throughput_rows(self):
        plot, drawn = self.canvas(), []
        for name in self.profile.rows:
            rates = self.rates(self.profile.rows[name], 1)
            if rates:
                drawn.append(name)
                plot.plot(list(rates), list(rates.values()), marker="o", label=name, color=self.colour[name])
        plot.set_xscale("log", base=2)
        plot.set_yscale("log")
        plot.set_xticks(self.profile.throughput["sizes"], [str(size) for size in self.profile.throughput["sizes"]])
        self.keep(Figure("rows-throughput", "All rows: transfers a second, one broker",
                         "More is better; both axes are logarithmic. Shared memory is no network: it shows what remains when the "
                         f"wire costs nothing. {self.names(drawn)}"),
                  plot, xlabel="message size in bytes", ylabel="transfers/s")

    def percentiles(self):
        self.percentile_plot(
            Figure("rows-percentiles", "All rows: latency of 16 bytes by percentile, all runs together, one broker",
                   "Less is better. A point says what this part of the messages did not exceed, counted from the time at which "
                   "each was due. A line ends where fewer than 50 lie beyond. The hypervisor's and system's own interruptions "
                   "are in it (see the floor)."), "all")

    def percentiles_without_gaps(self):
        self.percentile_plot(
            Figure("rows-percentiles-no-gaps", "All rows: latency of 16 bytes by percentile, without gaps, one broker",
                   "Less is better. The same without the messages during which the client's loop was away for more than 20 us; "
                   "what interrupts the broker's CPU is still in it. A line ends where fewer than 50 lie beyond."), "no_gaps")

    def percentile_plot(self, figure, of):
        plot, drawn, most = self.canvas(), [], 2
        for name in self.profile.rows:
            curve = list(histogram.curve(self.results.histogram(name, 1, 16, of)))
            if curve:
                drawn.append(name)
                most = max(most, 1 / curve[-1][0])
                plot.step([1 / beyond for beyond, _ in curve], [ns / 1e6 for _, ns in curve], where="post", label=name,
                          color=self.colour[name])
        plot.set_xscale("log")
        plot.set_yscale("log")
        ticks = {2: "50 %", 10: "90 %", 100: "99 %", 1000: "99.9 %", 10000: "99.99 %", 100000: "99.999 %"}
        plot.set_xticks(*zip(*((at, words) for at, words in ticks.items() if at <= most)))
        figure.words += " " + self.names(drawn)
        self.keep(figure, plot, xlabel="part of the messages", ylabel="ms")

    def drift(self):
        plot, drawn = self.canvas(), []
        for name in self.profile.rows:
            sizes = self.results.sizes(name, 1, "throughput")
            if sizes:
                drawn.append(name)
                runs = self.results.transfers(name, 1, sizes[0])
                plot.plot([run + 1 for run in sorted(runs)], [runs[run] for run in sorted(runs)], marker="o", label=name,
                          color=self.colour[name])
        plot.set_yscale("log")
        self.keep(Figure("rows-drift", "All rows: transfers a second of the smallest size, run by run",
                         "More is better. What moves together from run to run is the machine; it is why ratios are taken within "
                         f"a run. {self.names(drawn)}"),
                  plot, xlabel="run", ylabel="transfers/s")

    def cpu(self):
        plot, names, cost = self.canvas(), [], {}
        for name in self.profile.rows:
            if 16 in self.results.sizes(name, 1, "throughput"):
                names.append(name)
                cost[name] = self.results.cpu_seconds(name, 1, 16)
        bottom = [0.0] * len(names)
        for kind, colour in (("user", COLOURS[0]), ("system", COLOURS[1]), ("softirq", COLOURS[2])):
            values = [cost[name][kind] for name in names]
            drawn = plot.bar(range(len(names)), values, bottom=bottom, label=kind, color=colour)
            bottom = [a + b for a, b in zip(bottom, values)]
        plot.bar_label(drawn, [f"{value:.3g}" for value in bottom], fontsize=8)
        plot.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
        # Older lines' XDP programs ran on the sender's CPUs.
        steered = any("NAPI" in line.get("given", "") for line in self.results.of("measurement"))
        elsewhere = "" if steered else ", but for what brokers on AF_XDP receive, which the client's CPUs took in"
        self.keep(Figure("rows-cpu", "All rows: time of the broker's CPUs for a million transfers of 16 bytes",
                         "Less is better. Everything that ran on the broker's CPUs is in it, the kernel's own work for its "
                         f"packets too{elsewhere}. {self.names(names)}"), plot, ylabel="CPU seconds a million transfers")
