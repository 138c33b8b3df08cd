#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs bench_dataplane in all its ways, interleaved, and prints tables of medians.

usage: tables.py PROGRAM [--rounds N] [--only path,...] [--deep] [--hugepages] [--quick]
"""
import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

SIZES = (16, 256, 4096)
SETTLES = ("auto", "ack", "confirm")


class Row:
    """A row's name, the mode, and the options that differ from the program's own."""

    def __init__(self, name, *options, mode="path"):
        self.name, self.mode, self.options = name, mode, options


def path_rows(_):
    yield Row("16 B")
    yield Row("16 B, one message a segment", "--alone", "yes", "--segments", 32)
    yield Row("16 B, the broker's share alone", mode="share")
    for size in SIZES[1:]:
        yield Row(f"{size} B", "--bytes", size, "--segments", 8 if size < 1448 else 32)
    for settle in SETTLES[1:]:
        yield Row(f"16 B, {'acked' if settle == 'ack' else 'confirmed'}", "--settle", settle)
    yield Row("16 B, acked, one ack for 32", "--settle", "ack", "--ack-every", 32)


def fanout_rows(_):
    for fanout in (1, 10, 1000):
        yield Row(f"to {fanout:,}", "--exchange", "fanout", "--fanout", fanout, "--segments",
                  8 if fanout == 1 else 1, *(() if fanout < 1000 else ("--alone", "yes", "--pace", 5)))


def topic_rows(args):
    for bindings in (1, 1000) if args.quick else (1, 1000, 1_000_000):
        yield Row(f"{bindings:,} bindings", "--exchange", "topic", "--bindings", bindings)


def queue_rows(args):
    for queues in (1, 100) if args.quick else (1, 100, 10_000):
        yield Row(f"{queues:,} queues, {2 * queues:,} connections", "--queues", queues)


def backlog_rows(args):
    depths = (0, 1000) if args.quick else (0, 100_000, 1_000_000) + ((10_000_000,) if args.deep else ())
    for depth in depths:
        yield Row(f"{depth:,} messages", "--settle", "ack", "--backlog", depth, "--memory", 256 + depth // 10_000)


def core_rows(args):
    yield Row("1 core")
    yield Row("2 cores, in turns on one thread", "--cores", 2)
    for settle in SETTLES:
        yield Row(f"2 cores, in turns, consumers on the other one, {settle}", "--cores", 2, "--across", "yes",
                  "--settle", settle)
    if args.threads:
        yield Row("2 cores, a thread each", "--cores", 2, "--threads", "yes")
        yield Row("2 cores, a thread each, consumers on the other one", "--cores", 2, "--threads", "yes", "--across",
                  "yes")


def extension_rows(_):
    """What a queue's arguments cost that never come to it."""
    yield Row("plain")
    for name, what in (("ttl", "x-message-ttl"), ("limit", "x-max-length"), ("priority", "x-max-priority"),
                       ("letters", "x-dead-letter-exchange"), ("single", "x-single-active-consumer"),
                       ("returns", "x-delivery-limit"), ("values", "x-message-deduplication")):
        yield Row(what, "--with", name)


def profile_rows(_):
    yield Row("16 B", "--profile", "yes")
    for settle in SETTLES[1:]:
        yield Row(f"16 B, {'acked' if settle == 'ack' else 'confirmed'}", "--settle", settle, "--profile", "yes")
    for size in SIZES[1:]:
        yield Row(f"{size} B", "--bytes", size, "--segments", 8 if size < 1448 else 32, "--profile", "yes")


PARTS = {
    "path": ("One queue, one publisher, one consumer, one core", path_rows),
    "fanout": ("Fan-out: a message published to so many queues, a delivery", fanout_rows),
    "topic": ("Topic exchange, 1,021 keys in turns, each matches one binding", topic_rows),
    "queues": ("Queues, each with a publisher and a consumer", queue_rows),
    "backlog": ("Backlog that stays in the queue, acked", backlog_rows),
    "extensions": ("A queue with one argument, which asks for something that does not come up", extension_rows),
    "profile": ("One core: ns / cycles of the TSC of a delivery by phase", profile_rows),
    "cores": ("Broker cores, each with a load of its own", core_rows),
}


def words_of(line):
    return dict(word.split("=", 1) for word in line.split())


def run(program, row, args, *more, wrap=()):
    """One run's results, and what it said on stderr."""
    command = [*wrap, program, row.mode, *more, *map(str, row.options), "--hugepages", args.hugepages]
    if args.quick:
        # A profile needs some time to look at.
        command += ["--blocks", "2000" if "--profile" in row.options else "3", "--rounds", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
    line, *more = done.stdout.strip().splitlines()
    result = words_of(line)
    result["phases"] = [words_of(phase) for phase in more]
    return result, done.stderr


def instructions(program, row, args):
    """A delivery's, counted in the turns alone."""
    with tempfile.TemporaryDirectory() as folder:
        wrap = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", "--collect-atstart=no",
                "--toggle-collect=measured_turn*")
        result, words = run(program, row, args, "--blocks", "1", "--rounds", "200", wrap=wrap)
    counted = int(re.search(r"Collected : (\d+)", words).group(1))
    return f"{counted / float(result['delivered']):,.0f}"


def table(title, head, rows):
    print(f"\n{title}")
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  " + "  ".join(str(cell).rjust(width) if i else str(cell).ljust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))))
    sys.stdout.flush()


def part(program, args, title, rows):
    """Rounds are interleaved, so that a change of the machine's load meets all alike."""
    found = {row.name: [] for row in rows}
    for _ in range(args.rounds):
        for row in rows:
            found[row.name].append(run(program, row, args)[0])
    lines, head = [], ["", "ns", "best ns", "messages/s", "instructions", "load's ceiling/s"]
    deep = any(float(result["each"]) for results in found.values() for result in results)
    for row in rows:
        of = {key: [float(result[key]) for result in found[row.name]]
              for key in ("ns", "best_ns", "rate", "load_ns", "load_ceiling", "each")}
        lines.append([row.name, f"{statistics.median(of['ns']):,.0f}", f"{min(of['best_ns']):,.0f}",
                      f"{statistics.median(of['rate']):,.0f}",
                      instructions(program, row, args) if args.instructions and "--threads" not in row.options else "-",
                      f"{statistics.median(of['load_ceiling']):,.0f}"])
        if deep:
            lines[-1].append(f"{max(of['each']):.1f}" if max(of["each"]) else "-")
    table(title, head + ["bytes a message"] if deep else head, lines)


def profile(program, args, title, rows):
    """A phase a row, a kind of load a column; medians of the rounds."""
    found = {}
    for _ in range(args.rounds):
        for row in rows:
            for phase in run(program, row, args)[0]["phases"]:
                found.setdefault(phase["phase"], {}).setdefault(row.name, []).append(phase)
    lines = []
    for phase, of in found.items():
        cells = [f"{statistics.median(float(p['ns']) for p in of[row.name]):.1f} / "
                 f"{statistics.median(float(p['cycles']) for p in of[row.name]):.0f} "
                 f"({statistics.median(float(p['share']) for p in of[row.name]):4.0%})" for row in rows]
        lines.append([phase.replace("-", " "), *cells])
    table(title, ["", *(row.name for row in rows)], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3, help="how often each figure is taken (3)")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas: " + ", ".join(PARTS))
    parser.add_argument("--no-instructions", dest="instructions", action="store_false",
                        help="without callgrind, which takes most of the time")
    parser.add_argument("--deep", action="store_true", help="a backlog of ten million, too: 2 GB of memory")
    parser.add_argument("--hugepages", action="store_const", const="yes", default="no",
                        help="buffers in hugepages, which the kernel's pool must have")
    parser.add_argument("--quick", action="store_true", help="only to see that it runs: little of everything")
    args = parser.parse_args()
    args.threads = os.cpu_count() > 1
    args.instructions = args.instructions and not args.quick
    if args.instructions and not shutil.which("valgrind"):
        sys.exit("instructions are counted by valgrind, which is not installed (--no-instructions)")
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}: figures are a delivery's, of the broker's cores alone")
    for name in args.only.split(","):
        if name not in PARTS:
            parser.error(f"no part {name}")
        title, rows = PARTS[name]
        (profile if name == "profile" else part)(args.program, args, title, list(rows(args)))


main()
