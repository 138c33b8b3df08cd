# SPDX-License-Identifier: Apache-2.0
"""One page of HTML that needs no other file: what was measured, on what, and what follows."""
import base64
import html
import os

import aims
import plan
from figures import Figures
from results import Results

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.6rem 0;font-size:13px}td,th{padding:.2rem .6rem;border-bottom:1px solid #ddd;
text-align:right}td:first-child,th:first-child{text-align:left}img{max-width:100%}figcaption{color:#555;font-size:13px}
figure{margin:1.2rem 0}.warn{background:#fff3d6;padding:.5rem .8rem}"""


def escape(value):
    return html.escape(str(value))


def table(head, rows):
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{lines}</table>"


def image(path, title, words):
    with open(path, "rb") as f:
        data = base64.b64encode(f.read()).decode()
    return (f'<figure><img alt="{escape(title)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{escape(words)}</figcaption></figure>")


def document(title, parts):
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
            f"<h1>{escape(title)}</h1>" + "\n".join(parts) + "</html>\n")


def number(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


class Page:
    def __init__(self, lines, profile, reference):
        self.results, self.profile, self.reference = Results(lines), profile, reference
        self.parts = []

    def add(self, *parts):
        self.parts += parts

    def made(self, figures):
        self.head()
        self.warnings()
        self.rows()
        self.aims()
        self.verdicts()
        for figure in figures:
            self.add(image(figure.path, figure.title, figure.words))
        self.latency_table()
        self.throughput_table()
        self.all_latencies()
        self.variants()
        self.throughput_variants()
        self.floor()
        return document(f"Godwit: kernel bypass against the kernel, profile {self.profile.name}", self.parts)

    def head(self):
        starts = self.results.of("start")
        versions = sorted({line["version"] for line in self.results.of("measurement")})
        for start in starts[-1:]:
            self.add(table(["the machine", ""], [*start["machine"].items(), ("order's seed", start["seed"]),
                                                 ("runs", self.profile.runs), ("brokers", ", ".join(versions))]))
        kernels = {(start["machine"]["kernel"], start["machine"]["commit"]) for start in starts}
        if len(kernels) > 1:
            self.add(f'<p class="warn">It was resumed with another kernel or another commit: {escape(sorted(kernels))}</p>')
        self.add("<p>No 10 Gbit/s wire was in it unless a row says so: all programs ran on this machine, and what is compared "
                 "is how a message gets into the broker and out. Kernel sockets were given what we know of: loops that spin "
                 "instead of sleeping, CPUs of their own, offloads where the row says so, and packets handled by the CPU of "
                 "the side that they are for (RPS).</p>")

    def warnings(self):
        absent, disturbed = list(self.results.absent(self.profile)), self.results.disturbed()
        words = [f"row {line['row']} is missing: {line['why']}" for line in self.results.of("missing")]
        named = {line["row"] for line in self.results.of("missing")}
        words += [f"{row}, {guests} guests, {kind} of {size} bytes: {runs} of {self.profile.runs} runs"
                  for row, guests, kind, size, runs in absent if row not in named]
        words += [f"failed: {line['row']} {line['test'] or ''}: {line['why'][:300]}" for line in self.results.failed()]
        if disturbed:
            words.append(f"{len(disturbed)} measurements had more than {self.profile.steal_max:.0%} of their CPU time stolen by "
                         "the hypervisor, twice; they count all the same")
        words += [f"{row}, {guests} guest{'s' * (guests > 1)}, {', '.join(map(str, sizes))} bytes: the client had work nearly all of "
                  "the time and may be what could do no more, so the broker's own throughput may be higher"
                  for (row, guests), sizes in self.results.limited_by_client().items()]
        if any(line["shared_cpus"] for line in self.results.of("measurement")):
            words.append("this machine has too few CPUs for two brokers at once: they shared theirs, and slept when idle, so "
                         "figures of two guests are lower, and their latencies higher, than two machines would have")
        if words:
            self.add('<div class="warn">' + "".join(f"<p>{escape(one)}</p>" for one in words) + "</div>")

    def rows(self):
        missing = {line["row"]: line["why"] for line in self.results.of("missing")}
        self.add("<h2>Rows</h2>", table(["row", "is", ""], [(name, row.words(), missing.get(name, "")) for name, row in
                                                            self.profile.rows.items()]))

    def aims(self):
        lines = []
        for aim in plan.load(os.path.join(plan.HERE, "aims.yaml")):
            found = aims.reached(self.results, aim)
            bound = f"at most {aim['at_most']:,}" if "at_most" in aim else f"at least {aim['at_least']:,}"
            lines.append((aim["says"], bound, *(("not measured", "") if not found else
                          (f"{found[0]:,.3f}", "met" if found[1] else f"missed by {found[2]:.0%}"))))
        self.add("<h2>Aims</h2><p>Medians of the runs, and percentiles of all runs together, gaps included; ratios are the first "
                 "row's figure by the other's.</p>", table(["aim", "wanted", "found", ""], lines))

    def verdicts(self):
        lines = []
        for first, second in self.profile.pairs:
            for kind, size, key, ratio, verdict in self.results.ratios(first, second):
                lines.append((f"{first} against {second}", f"{kind}, {key}", f"{size:,}", f"{ratio.median:.3f}",
                              f"{ratio.low:.3f} to {ratio.high:.3f}", ratio.pairs,
                              f"{first} is {verdict}" if verdict else "not said"))
        self.add("<h2>Ratios</h2><p>The median of the ratios within each run, and the bootstrap's 95 % interval of it; of p99, "
                 "which no single run tells, the ratio of all runs together, with the same runs of both resampled. "
                 "Faster or slower is said only where there are six runs at least and the interval leaves out 1.</p>",
                 table(["pair", "figure", "bytes", "ratio", "95 %", "runs", ""], lines))

    def latency_table(self):
        of, results = self.reference["latency"], self.results
        lines = []
        for size in self.profile.latency["sizes"]:
            line = [f"{size:,}"]
            for row in (self.profile.figures["bypass"], self.profile.figures["kernel"]):
                for guests in (1, 2):
                    run = results.latency_reported(row, guests, size)
                    line += [number(run and run["avg_ms"], 5), number(run and run["stddev_ms"], 5)]
            for key in ("one_guest", "two_guests"):
                line += [number(value, 5) for value in of[key].get(size, (None, None))]
            lines.append(line)
        bypass, kernel = self.profile.figures["bypass"], self.profile.figures["kernel"]
        self.add("<h2>Latency and standard deviation (the report's Figures 5 and 8)</h2><p>Milliseconds at 1,000 messages/s, "
                 "the run whose standard deviation is the median; of two guests the average of both.</p>",
                 table(["bytes", *(f"{name}, {n}{what}" for name in (bypass, kernel) for n in (1, 2)
                                   for what in (": average", ": deviation")),
                        *(f"2009, {n}{what}" for n in (1, 2) for what in (": average", ": deviation"))], lines))

    def throughput_table(self):
        results, of, lines = self.results, self.reference["throughput"], []
        bypass, kernel = self.profile.figures["bypass"], self.profile.figures["kernel"]
        for size in self.profile.throughput["sizes"]:
            line = [f"{size:,}"]
            for row, guests in ((kernel, 1), (bypass, 1), (kernel, 2), (bypass, 2)):
                each = results.throughput_reported(row, guests, size) or (None, None)
                line += [number(each[0], 0), number(each[1], 3)]
            for key in ("bridged", "passthrough"):
                each = of[key].get(size, (None, None))
                line += [number(each[0], 0), number(each[1], 3)]
            lines.append(line)
        names = [f"{row}, {n}" for n in (1, 2) for row in (kernel, bypass)] + ["2009 bridged, 2", "2009 passthrough, 2"]
        self.add("<h2>Throughput (the report's Figure 11)</h2><p>Publishes and receives together; the median of the runs; of two "
                 "guests of their sums.</p>",
                 table(["bytes", *(f"{name}: {what}" for name in names for what in ("transfers/s", "MB/s"))], lines))

    def all_latencies(self):
        lines = []
        for name in self.profile.rows:
            for guests in self.results.guests(name):
                for size in self.results.sizes(name, guests, "latency"):
                    median = [self.results.median_of(name, guests, size, key) for key in ("min_ms", "avg_ms", "max_ms")]
                    parts = [self.results.quantile_ms(name, guests, size, part) for part in (.5, .9, .99, .999, .9999)]
                    calm = [self.results.median_of(name, guests, size, key, "no_gaps") for key in ("avg_ms", "p50_ms", "max_ms")]
                    lines.append((name, guests, f"{size:,}", *(number(value, 4) for value in median + parts + calm)))
        self.add("<h2>Latency of all rows</h2><p>Milliseconds. Least, average and greatest: medians of the runs. Percentiles: all "
                 "runs together, told where 50 samples lie beyond. Without gaps: medians of the runs, of the messages during "
                 "which nothing took the client's CPU away.</p>",
                 table(["row", "guests", "bytes", "min", "avg", "max", "p50", "p90", "p99", "p99.9", "p99.99",
                        "avg without gaps", "p50", "max"], lines))

    def variants(self):
        lines = []
        for name, of in self.profile.variants.items():
            for row in self.profile.rows:
                found = None if self.profile.is_throughput(name) else self.results.variant(row, name, of["size"])
                if found:
                    lines.append((name, row, f"{found['rate']:,}", number(found["avg_ms"], 4),
                                  *(number(value, 4) for value in found["ms"].values()), number(found["max_ms"], 3),
                                  number(found["confirmed_avg_ms"], 4)))
        if lines:
            self.add("<h2>Latency under other loads</h2><p>Milliseconds, counted from the time at which each message was due. "
                     "A share is of the row's own greatest rate, as found before its first throughput test; a burst is due "
                     "all at once; confirmed is how long the broker took to confirm.</p>",
                     table(["load", "row", "messages/s", "avg", "p50", "p99", "p99.9", "max", "confirmed, avg"], lines))

    def throughput_variants(self):
        lines = []
        for name, of in self.profile.variants.items():
            for row in self.profile.rows:
                found = self.results.variant_throughput(row, name, of["size"]) if self.profile.is_throughput(name) else None
                if found:
                    lines.append((name, row, of["size"], found["queues"], of.get("window", "any"), number(found["count"], 0),
                                  number(found["seconds"], 3), number(found["transfers_per_s"], 0),
                                  number(found["mb_per_s"], 3)))
        if lines:
            self.add("<h2>Throughput in other ways</h2><p>Medians of the runs. In flight: messages of each publisher that may wait "
                     "for their confirms at once; with one, half of the transfers are exchanges.</p>",
                     table(["way", "row", "bytes", "queues", "in flight", "messages of a publisher", "seconds", "transfers/s",
                            "MB/s"], lines))

    def floor(self):
        """The machine alone, round by round."""
        lines = []
        for run in sorted({line["run"] for line in self.results.of("measurement")}):
            of = [line for line in self.results.of("measurement") if line["run"] == run]
            guests = [guest for line in of if line["kind"] == "latency" for guest in line["results"]]
            floors, gaps = [guest["floor"] for guest in guests], [guest["gaps"] for guest in guests if "gaps" in guest]
            if floors:
                lines.append((run + 1, number(max(one["max_ms"] for one in floors), 4),
                              number(sum(one["avg_ms"] for one in floors) / len(floors), 5),
                              number(sum(one["share"] for one in gaps) / len(gaps) * 100 if gaps else None, 3),
                              number(max(one["max_ms"] for one in gaps) if gaps else None, 3),
                              number(max(line["cpu"]["steal"] for line in of) * 100, 2),
                              f"{min(line['cpu']['load_before'] for line in of)} to "
                              f"{max(line['cpu']['load_after'] for line in of)}"))
        self.add("<h2>The machine's floor</h2><p>The same schedule without a network, before each latency test; how much of its "
                 "time a client's polling loop was away (gaps of more than 20 us); what the hypervisor took.</p>",
                 table(["run", "floor, max ms", "floor, average ms", "in gaps, %", "longest gap, ms", "steal, max %", "load"],
                       lines))


def write(lines, profile, folder):
    """The page and its figures; returns where it is."""
    reference = plan.load(os.path.join(plan.HERE, "reference.yaml"))
    figures = Figures(Results(lines.lines), profile, reference, folder).all()
    path = os.path.join(folder, f"{profile.name}.html")
    with open(path, "w", encoding="utf-8") as f:
        f.write(Page(lines.lines, profile, reference).made(figures))
    return path
