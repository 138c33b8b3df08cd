#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs each mutant of tests/mutants/list against its test.

usage: stage.py [--targets | MUTANT...]

A mutant is a line of the library behind MUTANT(name): a bug that GODWIT_MUTANT=name switches on in the programs
of tests/mutants. Its test must fail with it (or crash, or hang) and pass without. Every MUTANT of the sources
stands in the list, and the other way round.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "build-test/tests/mutants"
LIST = ROOT / "tests/mutants/list"
HANGS_AFTER_S = 20
TAP = re.compile(r"^(not ok|ok) \d+ ([^#\n]*?)(?: # SKIP.*)?$", re.M)


def rows_of(text):
    """[(mutant, program, test)] of a list; a test may guard against several mutants, a mutant has one or more tests."""
    rows = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if words:
            if len(words) != 3:
                sys.exit(f"{LIST}: wants MUTANT PROGRAM TEST: {line}")
            rows.append(tuple(words))
    return rows


def program_of(program):
    return PROGRAMS / ("mutants_packetscript" if program == "script" else f"mutants_{program}")


def argument_of(program, test):
    return str(ROOT / f"tests/script/cases/{test}.pkt") if program == "script" else test


def title_of(program, test):
    return test + ".pkt" if program == "script" else test


def declared():
    """The names in the sources."""
    names = set()
    for folder in ("tcpstack", "runtime", "broker", "broker/core", "broker/amqp091"):
        for path in (ROOT / folder).glob("*.[ch]"):
            if path.name != "mutants.h":
                names |= set(re.findall(r"\bMUTANT\((\w+)\)", path.read_text(encoding="utf-8")))
    return names


def outcome(program, test, mutant=None):
    """'passed', or how the test failed."""
    environment = {**os.environ, "GODWIT_SEED": "1"}
    environment.pop("GODWIT_MUTANT", None)
    if mutant:
        environment["GODWIT_MUTANT"] = mutant
    try:
        done = subprocess.run([program_of(program), argument_of(program, test)], env=environment, text=True,
                              errors="replace", capture_output=True, timeout=HANGS_AFTER_S, check=False)
    except subprocess.TimeoutExpired:
        return "hung"
    verdicts = {name.strip(): verdict for verdict, name in TAP.findall(done.stdout)}
    verdict = verdicts.get(title_of(program, test))
    if verdict == "not ok":
        return "failed"
    if done.returncode and verdict is None:
        # A program that does not know the test is no success of the mutant.
        return f"died with {done.returncode}" if f"# seed" in done.stdout or program == "script" else "did not run"
    return "passed" if verdict == "ok" and done.returncode == 0 else "did not run"


def judge(row):
    """'' when the mutant is seen, else what is wrong."""
    mutant, program, test = row
    with_mutant = outcome(program, test, mutant)
    without = outcome(program, test)
    if without != "passed":
        return f"its test {program} {test} {without} without it"
    if with_mutant in ("passed", "did not run"):
        return f"its test {program} {test} {with_mutant} with it"
    return ""


def differences(names, rows):
    listed = {row[0] for row in rows}
    return [f"{name}: stands in the sources and not in the list" for name in sorted(names - listed)] + \
           [f"{name}: stands in the list and not in the sources" for name in sorted(listed - names)]


def self_test(rows):
    """What the stage must find, it finds."""
    _, program, test = rows[0]
    wrong = []
    if "passed with it" not in judge(("changes_nothing", program, test)):
        wrong.append("a mutant that changes nothing is not found")
    if not judge((rows[0][0], program, "no-such-test")):
        wrong.append("a test that does not exist is not found")
    if len(differences({"one_more"}, [("another", program, test)])) != 2:
        wrong.append("a difference between list and sources is not found")
    return wrong


def main(arguments):
    rows = rows_of(LIST.read_text(encoding="utf-8"))
    if arguments == ["--targets"]:
        print("\n".join(sorted({f"tests/mutants/{program_of(row[1]).name}" for row in rows})))
        return 0
    wrong = differences(declared(), rows) + self_test(rows)
    if arguments:
        rows = [row for row in rows if row[0] in arguments]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = list(pool.map(judge, rows))
    for (mutant, program, test), verdict in zip(rows, verdicts):
        if not verdict:
            print(f"PASS {mutant}: {program} {test} sees it")
    failures = wrong + [f"{row[0]}: {verdict}" for row, verdict in zip(rows, verdicts) if verdict]
    for failure in failures:
        print("FAIL", failure)
    passed = sum(not verdict for verdict in verdicts)
    print(f"{passed} passed, {len(failures)} failed, 0 skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
