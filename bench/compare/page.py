# SPDX-License-Identifier: Apache-2.0
"""One page of HTML that needs no other file: what was measured, on what, and what follows."""
import base64
import html
import os
import statistics

import aims
import across_page
import inside
import plan
from figures import Figures
from results import CPU_KINDS, Results
from tables import Tables, number

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.6rem 0;font-size:13px}td,th{padding:.2rem .6rem;border-bottom:1px solid #ddd;
text-align:right}td:first-child,th:first-child{text-align:left}img{max-width:100%}figcaption{color:#555;font-size:13px}
figure{margin:1.2rem 0}.warn{background:#fff3d6;padding:.5rem .8rem}"""
LATE_SHARE = 0.1   # of the average latency that a client may be late itself


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


def said(value):
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def described(failure):
    """A failed line in words; of a command that failed what it said, not how it was called."""
    _, mark, words = failure["why"].rpartition(": status ")
    words = words.replace("sending\n", "").replace("received\n", "")   # its marks
    test = "{} of {} bytes".format(*failure["test"]) if failure["test"] else "as a whole"
    return f"{failure['row']}, {test}, run {failure['run'] + 1}: {(mark[2:] + words)[:300]}"


def late_words(late_ms, average_ms):
    if late_ms is None:
        return "-"
    return number(late_ms, 4) + f", {late_ms / average_ms:.0%} of avg" * (late_ms > LATE_SHARE * average_ms)


def given_words(results):
    """What kernel sockets and other brokers were given, what not, and why."""
    dropped = [line["cpu"]["backlog_dropped"] for line in results.of("measurement") if "backlog_dropped" in line["cpu"]]
    backlog = f"{sum(dropped)} packets were dropped there during all measurements" if dropped else "what was dropped there was not counted"
    return [f"<p>{escape(words)}</p>" for words in (
        "Kernel sockets were given loops that spin instead of sleeping, CPUs of their own, TCP_NODELAY, offloads where the row says so, "
        "and packets handled by the CPU of the side that they are for (RPS). Left as the system has them: the socket buffers, which "
        "the kernel sizes by itself as long as nobody sets them; net.core.netdev_max_backlog, the queue that RPS fills "
        f"({backlog}); GRO; threaded NAPI, since RPS has its work on these CPUs already. SO_BUSY_POLL (tcp.busy_poll) stayed off: "
        "loops that spin ask their sockets all the time anyway. None of these was tried here.",
        "RabbitMQ and nats-server are Debian's, without plugins, clustering and persistent messages, on as many CPUs as Godwit's broker, "
        "with socket buffers and everything else that the table does not name as they come. RabbitMQ's own defaults are "
        "TCP_NODELAY, no statistics without its management plugin, and schedulers that sleep at once.")]


class Page:
    def __init__(self, lines, profile, reference):
        self.results, self.profile, self.reference = Results(lines), profile, reference
        self.tables = Tables(self.results, profile, reference)
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
        self.report_tables()
        self.all_latencies()
        self.inside()
        self.confirms()
        self.variants()
        self.all_throughputs()
        self.bound()
        self.throughput_variants()
        self.floor()
        self.machines()
        return document(f"Godwit: kernel bypass against the kernel, profile {self.profile.name}", self.parts)

    def head(self):
        starts = self.results.of("start")
        versions = sorted({line["version"] for line in self.results.of("measurement")})
        if len(starts) > 1:
            self.add("<p>It was interrupted and resumed; each part says what it began on. The machine below is the last one's.</p>",
                     table(["part", "began", "commit", "load", "measurements"], self.started(starts)))
        for start in starts[-1:]:
            machines = start.get("machines", {"the machine": start["machine"]})
            keys = list(dict.fromkeys(key for of in machines.values() for key in of))
            self.add(table(["", *machines] if len(machines) > 1 else [*machines, ""],
                           [(key, *(said(of.get(key, "")) for of in machines.values())) for key in keys]))
            self.add(table(["the runs", ""], [("order's seed", start["seed"]), ("runs", self.profile.runs),
                                              *across_page.settings_words(self.profile), ("brokers", ", ".join(versions))]))
        kernels = {str([(of["kernel"], of["commit"]) for of in start.get("machines", {"": start["machine"]}).values()])
                   for start in starts}
        if len(kernels) > 1:
            self.add(f'<p class="warn">It was resumed with another kernel or another commit: {escape(sorted(kernels))}</p>')
        if self.profile.machines:
            self.add(f"<p>{escape(across_page.ABOUT)}</p>")
            return
        self.add("<p>No 10 Gbit/s wire was in it unless a row says so: all programs ran on this machine, and what is compared "
                 "is how a message gets into the broker and out.</p>")

    def started(self, starts):
        """A line for each part of a run."""
        for number, start in enumerate(starts):
            machines = start.get("machines", {"": start["machine"]})
            first, last = self.results.lines.index(start), starts[number + 1:number + 2]
            until = self.results.lines.index(last[0]) if last else None
            yield (number + 1, *(", ".join(f"{name} {said(of[key])}".strip() for name, of in machines.items())
                                 for key in ("at", "commit", "load")),
                   sum(line["type"] == "measurement" for line in self.results.lines[first:until]))

    def warnings(self):
        absent, disturbed = list(self.results.absent(self.profile)), self.results.disturbed()
        words = [f"row {line['row']} is missing: {line['why']}" for line in self.results.of("missing")]
        words += across_page.commits_differ(self.results.of("start"))
        named = {line["row"] for line in self.results.of("missing")}
        words += [f"{row}, {guests} guests, {kind} of {size} bytes: {runs} of {self.profile.runs} runs"
                  for row, guests, kind, size, runs in absent if row not in named]
        words += [f"failed: {described(line)}" for line in self.results.failed()]
        words += [f"failed at first: {described(line)}; measured again at {self.results.made_good(line)['at']}, which is what counts"
                  for line in self.results.of("failed") if self.results.made_good(line)]
        words += [f"{len(lines)} measurements of {kind} lasted less than their {wanted:g} s, the shortest one "
                  f"{min(guest['seconds'] for line in lines for guest in line['results']):.1f} s; they count all the same"
                  for (kind, wanted), lines in self.results.short(self.profile).items()]
        if disturbed:
            words.append(f"{len(disturbed)} measurements had more than {self.profile.steal_max:.0%} of their CPU time stolen by "
                         "the hypervisor, twice; they count all the same")
        words += [f"{row}, {guests} guest{'s' * (guests > 1)}, {', '.join(map(str, sizes))} bytes: the client had work nearly all of "
                  "the time and may be what could do no more, so the broker's own throughput may be higher"
                  for (row, guests), sizes in self.results.limited_by_client().items()]
        if any(line["shared_cpus"] for line in self.results.of("measurement")):
            words.append(across_page.SHARED if self.profile.machines else
                         "this machine has too few CPUs for two brokers at once: they shared theirs, and slept when idle, so "
                         "figures of two guests are lower, and their latencies higher, than two machines would have")
        if words:
            self.add('<div class="warn">' + "".join(f"<p>{escape(one)}</p>" for one in words) + "</div>")

    def rows(self):
        missing = {line["row"]: line["why"] for line in self.results.of("missing")}
        unsaid = "as above" if self.profile.machines else "not written down"
        self.add("<h2>Rows</h2>", table(["row", "is", "version", "its broker was given", ""],
                                        [(name, row.words(), self.of_brokers(name, "version", "-"), self.of_brokers(name, "given", unsaid),
                                          missing.get(name, "")) for name, row in self.profile.rows.items()]))
        if not self.profile.machines:
            self.add(*given_words(self.results))
        if self.profile.left_out:
            self.add("<p>Not in this profile:</p><ul>" + "".join(f"<li>{escape(one)}</li>" for one in self.profile.left_out) + "</ul>")

    def of_brokers(self, row, key, unsaid):
        """What the lines of a row say of its brokers."""
        return ", ".join(sorted({line.get(key, unsaid) for line in self.results.of("measurement") if line["row"] == row})) or "-"

    def aims(self):
        lines = []
        for aim in plan.load(os.path.join(plan.HERE, "aims.yaml")):
            found = aims.reached(self.results, aim)
            bound = f"at most {aim['at_most']:,}" if "at_most" in aim else f"at least {aim['at_least']:,}"
            verdict = found.why or ("met" if found.met else f"missed by {found.missed:.0%}") + ", not certain" * found.open
            between = f"{number(found.interval.low, 3)} to {number(found.interval.high, 3)}" if found.interval else "-"
            lines.append((aim["says"], bound, number(found.value, 3), between, verdict, number(found.with_gaps, 3), found.left_out))
        self.add("<h2>Aims</h2><p>Medians of the runs, and percentiles of all runs together; ratios are the first row's figure by "
                 "the other's. Percentiles of latency are without the messages that were due, or came, while the machine "
                 "had taken the client's CPU for more than 20 us; beside it the same with them, and what part of the samples they are. "
                 "Nothing is claimed where fewer than 50 samples lie beyond a percentile. The interval is the bootstrap's, of rates "
                 "that of the median of the runs or of their ratios run by run, of percentiles that of all runs together; where "
                 "what is wanted lies within it, or there are fewer than six runs, it is not certain that another such run would "
                 "say the same.</p>",
                 table(["aim", "wanted", "found", "95 %", "", "gaps included", "samples left out"], lines))

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

    def report_tables(self):
        self.add("<h2>Average latency (the report's Figure 5)</h2><p>Milliseconds at 1,000 messages/s, the run whose standard "
                 "deviation is the median; of two guests the average of both.</p>", table(*self.tables.latency(("avg_ms",), 3)),
                 "<h2>Latency and standard deviation (the report's Figure 8)</h2><p>The same with all digits.</p>",
                 table(*self.tables.latency(("avg_ms", "stddev_ms"), 5)),
                 "<h2>Throughput (the report's Figure 11)</h2><p>Publishes and receives together, whose CPU time and "
                 "steal stand in the table of all rows below; the median of the runs; of two "
                 "guests of their sums.</p>", table(*self.tables.throughput()))

    def all_latencies(self):
        results, lines = self.results, []
        for name, guests, size in self.measured("latency"):
            median = [results.median_of(name, guests, size, key) for key in ("min_ms", "avg_ms", "max_ms")]
            parts = [results.quantile_ms(name, guests, size, part) for part in (.5, .9, .99, .999, .9999)]
            calm = [results.quantile_ms(name, guests, size, part, "no_gaps") for part in (.5, .99, .999)]
            greatest = results.median_of(name, guests, size, "max_ms", "no_gaps")
            left_out = results.left_out(name, guests, size)
            lines.append((name, guests, f"{size:,}", *(number(value, 4) for value in median + parts),
                          "not looked for" if left_out is None else f"{left_out:.1%}",
                          *(number(value, 4) for value in calm + [greatest])))
        self.add("<h2>Latency of all rows</h2><p>Milliseconds. Least, average and greatest: medians of the runs. Percentiles: all "
                 "runs together, told where 50 samples lie beyond. <i>Left out</i> is the part of the samples during which the "
                 "client's loop was away for more than 20 us at once (the system, an interrupt, the hypervisor), and what "
                 "follows it is of all others; where a client sleeps instead of spinning, gaps cannot be told from that.</p>",
                 table(["row", "guests", "bytes", "min", "avg", "max", "p50", "p90", "p99", "p99.9", "p99.99", "left out",
                        "p50 without gaps", "p99", "p99.9", "max"], lines))

    def measured(self, kind):
        """All (row, guests, size) of a kind, in the profile's order."""
        return [(name, guests, size) for name in self.profile.rows for guests in self.results.guests(name)
                for size in self.results.sizes(name, guests, kind)]

    def inside(self):
        lines = []
        for name in self.profile.rows:
            for guests in self.results.guests(name):
                buckets = self.results.inside(name, guests)
                if buckets:
                    lines.append((name, guests, f"{sum(buckets.values()):,}",
                                  *(number(inside.quantile_us(buckets, part), 3) for part in (.5, .99, .999)),
                                  number(max(buckets), 1)))
        if lines:
            self.add(f"<h2>Time inside the broker</h2><p>Microseconds from a burst of frames received to the burst that left in the "
                     f"same turn of the broker's loop, at {self.profile.latency['rate']:,} messages/s, all sizes and runs "
                     "together; counted by the broker itself from a test's first message to its last (<code>godwitctl "
                     "stats</code>, rx_to_tx). The time that the system or the hypervisor took from the broker's CPU in between "
                     "is in it. Kernel sockets have no such bursts.</p>",
                     table(["row", "guests", "bursts", "p50", "p99", "p99.9", "max"], lines))

    def all_throughputs(self):
        results, lines = self.results, []
        for name, guests, size in self.measured("throughput"):
            runs = results.runs(name, guests, "throughput", size).values()
            rate, megabytes = results.throughput_reported(name, guests, size)
            seconds = [guest["seconds"] for line in runs for guest in line["results"]]
            busy = [guest["client_busy"] for line in runs for guest in line["results"] if "client_busy" in guest]
            cost = results.cpu_seconds(name, guests, size)
            lines.append((name, guests, f"{size:,}", number(rate, 0), number(megabytes, 1), number(min(seconds), 2),
                          *(number(2 * cost[kind], 3) for kind in CPU_KINDS), f"{results.steal_max(name, guests, size):.1%}",
                          f"{statistics.median(busy):.0%}" if busy else "-"))
        self.add("<h2>Throughput of all rows</h2><p>Transfers are publishes and receives; medians of the runs. Seconds: of the "
                 "shortest run, after its warm-up. CPU: seconds of the broker's CPUs for a million messages in and out, the "
                 "kernel's own work on them included. Busy: the part of the time in which the client's busiest loop had work.</p>",
                 table(["row", "guests", "bytes", "transfers/s", "MB/s", "seconds", "CPU: user", "system", "softirq",
                        "steal, max", "client busy"], lines))

    def variants(self):
        lines = []
        for name, row, size in self.measured_variants(False):
            found = self.results.variant(row, name, size)
            lines.append((name, row, f"{size:,}", number(found["rate"], 0), number(found["avg_ms"], 4),
                          *(number(value, 4) for value in found["ms"].values()), number(found["max_ms"], 3),
                          late_words(found["late_ms"], found["avg_ms"])))
        if lines:
            self.add("<h2>Latency under other loads</h2><p>Milliseconds, counted from the time at which each message was due. "
                     "A share is of the row's own greatest rate, which is looked for anew in each run; a burst is due all at "
                     "once. Sent late is how late the client itself was, on average (the median of the runs); it is part of "
                     "the latency, and where it is more than a tenth of the average its share stands beside it: there the client "
                     "is part of what was measured.</p>",
                     table(["load", "row", "bytes", "messages/s", "avg", "p50", "p99", "p99.9", "max", "sent late"], lines))

    def bound(self):
        """Beside the saturated ratios, what they can be."""
        share, lines = self.results.kernel_share(), []
        kernels = [name for name, row in self.profile.rows.items() if row.broker == "kernel"]
        for name in kernels:
            found, cost = self.results.bound(name, 16), self.results.cpu_seconds(name, 1, 16)
            if found:
                others = [(first, self.results.ratio_of_transfers(first, name, 16)) for first, second in self.profile.pairs
                          if second == name]
                lines.append((name, number(found[0], 1), *(number(2000 * cost[kind], 1) for kind in CPU_KINDS),
                              number(sum(share), 1), number(found[1], 2), number(found[2], 2),
                              ", ".join(f"{first} {ratio.median:.2f}" for first, ratio in others if ratio) or "-"))
        if lines:
            self.add("<h2>What a bypass can win where the broker is saturated</h2><p>16 bytes. A broker on kernel sockets receives a "
                     "message and sends it, and the kernel's TCP takes for that, for 65 bytes in calls of 64 KiB over loopback, "
                     f"{share[0]:.1f} ns to send and {share[1]:.1f} ns to receive (medians of the calls, measured in each run "
                     "between the broker's CPU and the client's). The bound is what a message costs on the broker's CPUs, "
                     "divided by the same without that share: a transport that cost nothing at all would win so much and no "
                     "more. Over a veth pair the kernel has more to do than over loopback, so beside it stands the same without all "
                     "the system and softirq time of the row itself; and where the client is the limit the broker spins, which "
                     "counts as its cost.</p>",
                     table(["kernel sockets", "ns a message", "user", "system", "softirq", "kernel's share", "bound",
                            "without system, softirq",
                            "found (transfers/s by this row's)"], lines))

    def confirms(self):
        lines = []
        for name, row, size in self.measured_variants(False):
            found = self.results.variant(row, name, size)["confirmed_ms"]
            if found["avg_ms"] is not None:
                lines.append((row, f"{size:,}", *(number(found[key], 4) for key in ("avg_ms", "p50_ms", "max_ms"))))
        if lines:
            self.add("<h2>A confirmed publish's round trip</h2><p>Milliseconds from the time at which a message was due to the "
                     "broker's confirm at its publisher, at the profile's rate, while a consumer gets each message as well; "
                     "medians of the runs.</p>", table(["row", "bytes", "avg", "p50", "max"], lines))

    def measured_variants(self, throughput):
        """All (variant, row, size) of throughput, or of latency."""
        return [(name, row, size) for name, of in self.profile.variants.items()
                if self.profile.is_throughput(name) == throughput for row in self.profile.rows for size in of["sizes"]
                if self.results.runs(row, 1, name, size)]

    def throughput_variants(self):
        lines = []
        for name, row, size in self.measured_variants(True):
            of, found = self.profile.variants[name], self.results.variant_throughput(row, name, size)
            cost = self.results.cpu_seconds(row, 1, size, name)
            lines.append((name, row, f"{size:,}", found["queues"], of.get("window", "any"), number(found["count"], 0),
                          number(found["seconds"], 3), number(found["seconds_least"], 3),
                          number(found["transfers_per_s"], 0), number(found["mb_per_s"], 3),
                          *(number(2 * cost[kind], 3) for kind in CPU_KINDS), f"{self.results.steal_max(row, 1, size, name):.1%}"))
        whys = [f"{name}: {of['why']}." for name, of in self.profile.variants.items() if "why" in of]
        if lines:
            self.add("<h2>Throughput in other ways</h2><p>Medians of the runs. In flight: messages of each publisher that may wait "
                     f"for their confirms at once; with one, half of the transfers are exchanges. CPU: as above; a broker that spins "
                     f"uses all of its CPU, whatever it does. {escape(' '.join(whys))}</p>",
                     table(["way", "row", "bytes", "queues", "in flight", "messages of a publisher", "seconds", "the least",
                            "transfers/s", "MB/s", "CPU: user", "system", "softirq", "steal, max"], lines))

    def machines(self):
        lines = list(across_page.meanwhile(self.results.of("measurement")))
        if lines:
            self.add(f"<h2>Machines meanwhile</h2><p>{escape(across_page.WORDS)}</p>", table(across_page.HEAD, lines))

    def floor(self):
        """The machine alone, round by round."""
        lines = []
        for run in sorted({line["run"] for line in self.results.of("measurement")}):
            of = [line for line in self.results.of("measurement") if line["run"] == run]
            # Those that spin: a client that sleeps adds what it takes to wake, which is not the machine's.
            guests = [guest for line in of if line["kind"] == "latency" for guest in line["results"] if "gaps" in guest]
            floors, gaps = [guest["floor"] for guest in guests], [guest["gaps"] for guest in guests]
            if floors:
                lines.append((run + 1, number(max(one["max_ms"] for one in floors), 4),
                              number(sum(one["avg_ms"] for one in floors) / len(floors), 5),
                              number(sum(one["share"] for one in gaps) / len(gaps) * 100, 3),
                              number(max(one["max_ms"] for one in gaps), 3),
                              number(max(line["cpu"]["steal"] for line in of) * 100, 2),
                              f"{min(line['cpu']['load_before'] for line in of)} to "
                              f"{max(line['cpu']['load_after'] for line in of)}"))
        self.add("<h2>The machine's floor</h2><p>The same schedule without a network, before each latency test of a client that "
                 "spins; how much of its time such a client's loop was away (gaps of more than 20 us); what the hypervisor took.</p>",
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
