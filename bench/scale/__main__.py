# SPDX-License-Identifier: Apache-2.0
"""bench/scale: what a message costs as work grows; bench/README.md says more."""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.append(os.path.join(ROOT, "bench", "compare"))

import fit  # noqa: E402
import machine  # noqa: E402
import parts  # noqa: E402

TIMEOUT_S = 900


def options():
    parser = argparse.ArgumentParser(prog="bench/scale/run", description=__doc__)
    parser.add_argument("--only", help="parts, with commas: connections, queues, bindings, backlog, cores, size")
    parser.add_argument("--rounds", type=int, default=3, help="how often each figure is taken (3)")
    parser.add_argument("--deep", action="store_true", help="a backlog of ten million, too: 2 GB of memory")
    parser.add_argument("--quick", action="store_true", help="only to see that it runs: little of everything")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "scale"), help="folder of results (build/scale)")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="where the programs are")
    args = parser.parse_args()
    args.parts = parts.parts(len(os.sched_getaffinity(0)), args.quick, args.deep)
    names = [part.name for part in args.parts]
    wanted = args.only.split(",") if args.only else names
    for name in wanted:
        if name not in names:
            parser.error(f"no part {name}")
    args.parts = [part for part in args.parts if part.name in wanted]
    return args


def measured(args, series, x):
    """The program's figures, {name: number}."""
    command = [os.path.join(args.build, "bench", series.program, f"bench_{series.program}"), *series.options(x)]
    if args.quick:
        command += {"tcpstack": ["--bursts", "16"], "dataplane": ["--blocks", "3", "--rounds", "5"],
                    "route": ["--blocks", "3"]}[series.program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    lines = [line for line in done.stdout.splitlines() if "ns=" in line]
    if done.returncode or len(lines) != 1:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
    words = dict(word.split("=", 1) for word in lines[0].split())
    return {key: float(words[key]) for key in ("ns", "best_ns", "rate") if key in words}


def part_measured(args, part):
    """Rounds are interleaved, so that a change of the machine's load meets all alike. {series: {x: {figure: value}}}"""
    found = {}
    for _ in range(args.rounds):
        for series in part.series:
            for x in series.points:
                for key, value in measured(args, series, x).items():
                    found.setdefault(series.name, {}).setdefault(x, {}).setdefault(key, []).append(value)
    return {name: {x: {key: min(values) if key == "best_ns" else statistics.median(values)
                       for key, values in figures.items()} for x, figures in of.items()} for name, of in found.items()}


def fitted(part, of, key):
    points = [(x, figures[key]) for x, figures in of.items()]
    return fit.tenfold(points) if part.fit == "tenfold" else fit.line(points)


def part_told(part, found):
    print(f"\n{part.title}")
    for name, of in found.items():
        for x, figures in of.items():
            best = f"  (best {figures['best_ns']:,.1f})" if "best_ns" in figures and part.figure == "ns" else ""
            print(f"  {name:28} {x:>12,} {figures[part.figure]:>14,.1f}{best}")
        for key, what in ((part.figure, "slope"), ("best_ns", "slope of the best")):
            slope = fitted(part, of, key) if all(key in figures for figures in of.values()) else None
            if slope and (key != "best_ns" or part.figure == "ns"):
                print(f"  {name:28} {what}: {slope.slope:,.3f} {part.unit}")
    sys.stdout.flush()


def part_kept(part, found):
    return {"type": "part", "name": part.name, "unit": part.unit, "found": found,
            "slopes": {name: line.slope for name, of in found.items() if (line := fitted(part, of, part.figure))}}


def main():
    args = options()
    os.makedirs(args.out, exist_ok=True)
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; medians of {args.rounds} rounds, of blocks within each")
    kept, drawn = [{"type": "start", "machine": machine.facts(ROOT, sorted(os.sched_getaffinity(0)))}], []
    for part in args.parts:
        found = part_measured(args, part)
        part_told(part, found)
        kept.append(part_kept(part, found))
        drawn.append((part, found))
    with open(os.path.join(args.out, "scale.jsonl"), "w", encoding="utf-8") as f:
        f.writelines(json.dumps(line) + "\n" for line in kept)
    import plots  # pylint: disable=import-outside-toplevel; matplotlib is slow to load, and not needed to measure
    print("\n" + plots.write(drawn, kept[0]["machine"], fitted, args.out))


main()
