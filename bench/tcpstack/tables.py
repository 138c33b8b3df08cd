#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs bench_tcpstack in all its ways, interleaved, and prints tables of medians.

usage: tables.py PROGRAM [--rounds N] [--only fastpath,instructions,churn,bulk] [--hugepages] [--quick]
"""
import argparse
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

CONNS = ((1, "turns"), (100, "turns"), (100_000, "turns"), (100_000, "random"))
WORK = (("receive", 65), ("receive", 1448), ("send", 65), ("send", 1448), ("ack", 65))
CHURN = (("peer", 0), ("peer", 65), ("stack", 65), ("abort", 65))
# Blocks of bursts: enough that every connection has its turn.
BLOCKS = {1: 21, 100: 21, 100_000: 41}
# Bursts counted under callgrind: all of 100,000 connections once.
COUNTED = {1: 64, 100: 200, 100_000: 3125}


def run(program, mode, *options, wrap=()):
    """The results of one run: a dictionary a line."""
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


def conns_name(conns, order):
    return f"{conns:,}" + (" random" if order == "random" else "")


def fastpath(program, args):
    """Rounds are interleaved, so that a change of the machine's load meets all alike."""
    found = {}
    for _, (op, size), (conns, order) in itertools.product(range(args.rounds), WORK, args.conns):
        (result,), _ = run(program, "fastpath", "--op", op, "--bytes", size, "--conns", conns, "--order", order,
                           "--blocks", BLOCKS[conns], "--hugepages", args.hugepages,
                           *(("--bursts", 16) if args.quick else ()))
        found.setdefault((op, size, conns, order), []).append(result)
    rows = []
    for op, size in WORK:
        row = [f"{op} {size}"]
        for conns, order in args.conns:
            results = found[op, size, conns, order]
            ns = statistics.median(float(r["ns"]) for r in results)
            cycles = statistics.median(float(r["cycles"]) for r in results)
            row.append(f"{ns:.0f} / {cycles:.0f}")
        row.append(" ".join(f"{float(found[op, size, c, o][0]['acks']):.2f}" for c, o in args.conns))
        rows.append(row)
    table("Fast path: ns / cycles of the TSC a segment, by connections",
          ["segment", *(conns_name(*c) for c in args.conns), "ACKs sent a segment"], rows)


def instructions(program, args):
    if not shutil.which("valgrind"):
        sys.exit("instructions are counted by valgrind, which is not installed")
    rows = []
    for op, size in WORK:
        row = [f"{op} {size}"]
        for conns, order in args.conns[:3]:
            with tempfile.TemporaryDirectory() as folder:
                wrap = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out",
                        "--collect-atstart=no", "--toggle-collect=measured_input*",
                        "--toggle-collect=measured_send*")
                (result,), words = run(program, "fastpath", "--op", op, "--bytes", size, "--conns", conns,
                                       "--order", order, "--blocks", 1, "--bursts", COUNTED[conns], wrap=wrap)
            counted = int(re.search(r"Collected : (\d+)", words).group(1))
            row.append(f"{counted / float(result['segments']):.0f}")
        rows.append(row)
    table("Fast path: instructions a segment (callgrind)", ["segment", *(conns_name(*c) for c in args.conns[:3])], rows)


def churn(program, args):
    found = {}
    for _, (end, size) in itertools.product(range(args.rounds), CHURN):
        (result,), _ = run(program, "churn", "--end", end, "--bytes", size, "--hugepages", args.hugepages,
                           *(("--bursts", 16) if args.quick else ()))
        found.setdefault((end, size), []).append(float(result["per_second"]))
    table("Connections accepted and ended a second, one core (passive side; the peer's work is not counted)",
          ["who ends it, bytes received", "a second"],
          [[f"{end}, {size}", f"{statistics.median(found[end, size]):,.0f}"] for end, size in CHURN])


class Namespaces:
    """Two network namespaces with a veth pair; gone at the end."""

    def __init__(self):
        self.names = [f"godwit-bench-{os.getpid()}-{i}" for i in (1, 2)]

    def __enter__(self):
        a, b = self.names
        try:
            for name in self.names:
                self.ip("netns", "add", name)
            self.ip("-n", a, "link", "add", "v1", "type", "veth", "peer", "name", "v2", "netns", b)
            for name, device, address in ((a, "v1", "10.111.0.1/24"), (b, "v2", "10.111.0.2/24")):
                self.ip("-n", name, "addr", "add", address, "dev", device)
                self.ip("-n", name, "link", "set", device, "up")
        except subprocess.CalledProcessError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True, stderr=subprocess.PIPE)

    def offloads(self, state):
        for name, device in zip(self.names, ("v1", "v2")):
            subprocess.run(["ip", "netns", "exec", name, "ethtool", "-K", device, "tso", state, "gso", state,
                            "gro", state, "tx", state], check=True, capture_output=True)

    def run(self, program, *options):
        return run(program, "kernel", "--from", self.names[0], "--to", self.names[1], "--address",
                   "10.111.0.2", *options)


def bulk(program, args):
    found = {}

    def note(name, results):
        found.setdefault(name, []).append(float(results[0]["mbytes"]))

    def ours(folder):
        for wire, cores, offloads in (("ring", 2, "yes"), ("ring", 1, "yes"), ("vhost", 2, "yes"),
                                      ("vhost", 2, "no"), ("vhost", 1, "yes")):
            name = f"{wire}, {cores} core{'s'[:cores - 1]}, offloads {offloads}"
            note(name, run(program, "bulk", "--wire", wire, "--cores", cores, "--bytes", args.write, "--dir",
                           folder, "--offloads", offloads, "--seconds", args.seconds)[0])

    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid():
            print("\nThe kernel's side of the bulk transfer needs root")
            for _ in range(args.rounds):
                ours(folder)
        else:
            with Namespaces() as spaces:
                for _ in range(args.rounds):
                    ours(folder)
                    for state in ("on", "off"):
                        spaces.offloads(state)
                        note(f"kernel on veth, 2 cores, offloads {'yes' if state == 'on' else 'no'}",
                             spaces.run(program, "--bytes", args.write, "--seconds", args.seconds)[0])
    medians = {name: statistics.median(values) for name, values in found.items()}
    base = medians.get("kernel on veth, 2 cores, offloads no")
    table(f"Bulk transfer, one connection, MTU 1500, writes of {args.write} bytes: MB/s of payload",
          ["wire", "MB/s", "to kernel without offloads"],
          [[name, f"{value:,.0f}", f"{value / base:.1f}x" if base else "-"] for name, value in medians.items()])


PARTS = {"fastpath": fastpath, "instructions": instructions, "churn": churn, "bulk": bulk}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3, help="how often each figure is taken (3)")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas: " + ", ".join(PARTS))
    parser.add_argument("--seconds", type=int, default=1, help="of a bulk transfer (1)")
    parser.add_argument("--write", type=int, default=16384, help="bytes of a write in a bulk transfer (16384)")
    parser.add_argument("--hugepages", action="store_const", const="yes", default="no",
                        help="buffers in hugepages, which the kernel's pool must have (256)")
    parser.add_argument("--quick", action="store_true", help="only to see that it runs: little of everything")
    args = parser.parse_args()
    args.conns = CONNS[:2] if args.quick else CONNS
    for part in args.only.split(","):
        if part not in PARTS:
            parser.error(f"no part {part}")
        PARTS[part](args.program, args)


main()
