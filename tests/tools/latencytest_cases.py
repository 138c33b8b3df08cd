# SPDX-License-Identifier: Apache-2.0
"""godwit-latencytest: what it prints and keeps."""
import csv
import json
import os

from rig import finish, need, refused, run, start

SHORT = ["--warmup", "100", "--floor", "100"]


def the_reports_command(_broker, _work, where):
    """latencytest: the report's command"""
    out = run("latencytest", *where, "--rate", "1000", "--queues", "1", "--size", "1024", "--bounds-multiplier", "1",
              "--tcp-nodelay", "-csv", "--time-limit", "1", *SHORT)
    rows = {row["row"]: row for row in csv.DictReader(out.splitlines())}
    need(set(rows) == {"all", "no_gaps", "sent_late", "floor"}, out)
    row = rows["all"]
    need(int(row["count"]) == 1000 and int(rows["sent_late"]["count"]) == 1100 and int(rows["floor"]["count"]) == 100, out)
    need(int(rows["no_gaps"]["count"]) <= 1000, out)
    least, mean, most = (float(row[key]) for key in ("min_ms", "avg_ms", "max_ms"))
    need(0 < least <= mean <= most and float(row["stddev_ms"]) >= 0, out)
    need(float(row["p50_ms"]) <= float(row["p90_ms"]) <= most, out)
    need(row["p99_ms"] == "" and row["p99_99_ms"] == "", "a percentile with fewer than 50 samples beyond: " + out)


def queues_and_series(_broker, work, where):
    """latencytest: many queues, a line a second, histograms that add up"""
    files = [os.path.join(work, name) for name in ("one", "two")]
    series = os.path.join(work, "series")
    for file in files:
        result = json.loads(run("latencytest", *where, "--queues", "5", "--threads", "2", "--rate", "500", "--count", "1000",
                                "--json", "--idle", "adaptive", "--histogram", file, "--series", series, "--ack", "3", *SHORT))
        need(result["all"]["count"] == 5000 and result["floor"]["count"] == 250 and "gaps" not in result, result)
    with open(series) as f:
        rows = list(csv.DictReader(f))
    need(len(rows) >= 2 and [int(r["second"]) for r in rows] == list(range(len(rows))), rows)
    need(sum(int(r["count"]) for r in rows) == 5000, rows)
    merged = json.loads(run("latencytest", "--merge", *files, "--json"))
    need(merged["all"]["count"] == 10000 and "p99_ms" in merged["all"], merged)


def qpids_reports(_broker, _work, where):
    """latencytest: qpid's --prefetch and --report-frequency"""
    out = run("latencytest", *where, "--prefetch", "10", "--report-frequency", "200", "--count", "1000", "--json", *SHORT)
    *lines, last = out.splitlines()
    rows = list(csv.DictReader(lines))
    need(json.loads(last)["all"]["count"] == 1000, last)
    need(len(rows) >= 5 and [r["second"] for r in rows[:5]] == ["0", "0.2", "0.4", "0.6", "0.8"], out)
    need(sum(int(r["count"]) for r in rows) == 1000, out)


def floor_of_a_sleeper(_broker, _work, where):
    """latencytest: a client that sleeps wakes for each message of the floor as well"""
    result = json.loads(run("latencytest", *where, "--idle", "adaptive", "--count", "100", "--json", "--warmup", "0", "--floor", "1000"))
    # One that wakes when it looks up anyway, every 5 ms, has a median of 2.5.
    need(result["floor"]["count"] == 1000 and result["floor"]["p50_ms"] < 1.5, result["floor"])


def without_gaps(_broker, work, where):
    """latencytest: the samples without gaps as a histogram, and marks while all are connected"""
    file = os.path.join(work, "calm")
    process = start("latencytest", *where, "--count", "300", "--json", "--no-gaps", file, "--marks", *SHORT)
    status, out, err = finish(process)
    need(status == 0 and err == "sending\nreceived\n", err)
    counted = json.loads(out)["no_gaps"]["count"]
    with open(file) as f:
        need(f.read().splitlines()[1].startswith("count %d " % counted), "the histogram has other samples than no_gaps")
    refused("latencytest", 2, "sees no gaps", "--no-gaps", file, "--idle", "adaptive")
    refused("latencytest", 2, "makes one histogram", "--no-gaps", file, "--merge", file)


def sizes(_broker, _work, where):
    """latencytest: messages too small for a number, and large ones"""
    for size in (0, 7, 8, 100000):
        result = json.loads(run("latencytest", *where, "--size", str(size), "--rate", "200", "--count", "50", "--json", *SHORT))
        need(result["all"]["count"] == 50, result)


def confirms_and_bursts(_broker, _work, where):
    """latencytest: confirms, and bursts of messages"""
    result = json.loads(run("latencytest", *where, "--confirm", "--burst", "100", "--rate", "1000", "--count", "1000", "--json",
                            *SHORT))
    need(result["all"]["count"] == 1000 and result["confirmed"]["count"] == 1000, result)


def bad_words(_broker, work, where):
    """latencytest: errors say what is wrong"""
    refused("latencytest", 2, "--rate is a number", "--rate", "0")
    refused("latencytest", 2, "files are for --merge", "file")
    refused("latencytest", 2, "exclude each other", "--count", "1", "--time-limit", "1")
    refused("latencytest", 1, "403", *where, "--password", "wrong", "--floor", "0")
    broken = os.path.join(work, "broken")
    with open(broken, "w") as f:
        f.write("godwit-histogram 1 ns 128\ncount 7")
    refused("latencytest", 1, "second line makes no sense", "--merge", broken)
    refused("latencytest", 1, "No such file", "--merge", broken + ".not")


CASES = [the_reports_command, queues_and_series, qpids_reports, floor_of_a_sleeper, without_gaps, sizes, confirms_and_bursts, bad_words]
BYPASS_CASES = [the_reports_command, queues_and_series]
