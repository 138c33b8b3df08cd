#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs bench_route in all its ways, interleaved, and prints tables of medians.

usage: tables.py PROGRAM [--rounds N] [--only lookup,instructions,load] [--quick]
"""
import argparse
import itertools
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

BINDINGS = (1, 1000, 1_000_000)
COUNTED = (1, 1000, 100_000)  # under callgrind
OPS = ("direct", "topic", "headers", "fanout", "cached")
ENDS = ("unbind", "queue", "exchange")
# In a block: short beside a turn of the system's scheduler, so that the median block is an undisturbed one.
LOOKUPS, FANOUT_LOOKUPS = 1024, {1000: 16, 1_000_000: 1}


def run(program, mode, *options, wrap=()):
    """The results of one run: a dictionary a line, and what it said on stderr."""
    done = subprocess.run([*wrap, program, mode, *map(str, options)], capture_output=True, text=True,
                          timeout=600)
    if done.returncode:
        sys.exit(f"{mode} {options}: status {done.returncode}\n{done.stderr}")
    return [dict(word.split("=", 1) for word in line.split()) for line in done.stdout.splitlines()
            if line.startswith("op=")], done.stderr


def table(title, head, rows):
    print(f"\n{title}")
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  " + "  ".join(str(cell).rjust(width) if i else str(cell).ljust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))))
    sys.stdout.flush()


def counts(args, all_bindings):
    """op, bindings, lookups a block."""
    for op, bindings in itertools.product(OPS, all_bindings):
        most = FANOUT_LOOKUPS.get(bindings, LOOKUPS) if op == "fanout" else LOOKUPS
        yield op, bindings, min(most, 64) if args.quick else most


def name(op):
    return f"{op}, a match" if op == "fanout" else op


def per(result, value):
    """Of a fan-out a match is what counts."""
    return value / float(result["matches"]) if result["op"] == "fanout" else value


def lookup(program, args):
    """Rounds are interleaved, so that a change of the machine's load meets all alike."""
    found = {}
    for _ in range(args.rounds):
        for op, bindings, lookups in counts(args, args.bindings):
            (result,), _ = run(program, "lookup", "--op", op, "--bindings", bindings, "--lookups", lookups,
                               "--blocks", 3 if args.quick else 25 if lookups == 1 else 201)
            found.setdefault((op, bindings), []).append(per(result, float(result["ns"])))
    table("Routing: ns a lookup, by bindings of the exchange", ["exchange", *(f"{n:,}" for n in args.bindings)],
          [[name(op), *(f"{statistics.median(found[op, n]):.1f}" for n in args.bindings)] for op in OPS])


def instructions(program, args):
    if not shutil.which("valgrind"):
        sys.exit("instructions are counted by valgrind, which is not installed")
    found = {}
    counted_bindings = args.bindings if args.quick else COUNTED
    for op, bindings, lookups in counts(args, counted_bindings):
        with tempfile.TemporaryDirectory() as folder:
            wrap = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", "--collect-atstart=no",
                    "--toggle-collect=measured_route*", "--toggle-collect=measured_cached*")
            (result,), words = run(program, "lookup", "--op", op, "--bindings", bindings, "--blocks", 1,
                                   "--lookups", min(lookups, 256), wrap=wrap)
        counted = int(re.search(r"Collected : (\d+)", words).group(1))
        found[op, bindings] = per(result, counted / float(result["lookups"]))
    table("Routing: instructions a lookup (callgrind)", ["exchange", *(f"{n:,}" for n in counted_bindings)],
          [[name(op), *(f"{found[op, n]:.0f}" for n in counted_bindings)] for op in OPS])


def times(results):
    """The longest call of the quietest round: what the system does meanwhile only adds to it."""
    return (f"{statistics.median(float(r['ms']) for r in results):,.0f} / "
            f"{min(float(r['longest_us']) for r in results):,.0f}")


def load(program, args):
    bindings, rows = args.bindings[-1], []
    for op in OPS[:-1]:
        come, go = [], {}
        for _, end in itertools.product(range(args.rounds), ENDS):
            (first, last), _ = run(program, "load", "--op", op, "--bindings", bindings, "--end", end)
            come.append(first)
            go.setdefault(end, []).append(last)

        rows.append([op, times(come), f"{statistics.median(float(r['bytes']) for r in come):,.0f}",
                     *(times(go[end]) for end in ENDS)])
    table(f"{bindings:,} bindings come and go, one call each: ms of the core's time / us of the longest call",
          ["exchange", "bind", "bytes each", "unbind", "delete the queues", "delete the exchange"], rows)


PARTS = {"lookup": lookup, "instructions": instructions, "load": load}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3, help="how often each figure is taken (3)")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas: " + ", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="only to see that it runs: little of everything")
    args = parser.parse_args()
    args.bindings = (1, 1000) if args.quick else BINDINGS
    for part in args.only.split(","):
        if part not in PARTS:
            parser.error(f"no part {part}")
        PARTS[part](args.program, args)


main()
