#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs each mutant of tests/mutants/list against its test.

usage: stage.py [--targets | MUTANT...]

They are built in a copy of the tree (tests/mutate.py); --targets names the programs. A mutant's test must fail with it (or
crash, or hang) and pass without.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import mutate  # noqa: E402 pylint: disable=wrong-import-position

PROGRAMS = ROOT / "build-mutants/tree/build"
LIST = ROOT / "tests/mutants/list"
HANGS_AFTER_S = 20
TAP = re.compile(r"^(not ok|ok) \d+ ([^#\n]*?)(?: # SKIP.*)?$", re.M)


def target_of(program):
    return "tests/script/packetscript" if program == "script" else f"test_{program}"


def argument_of(program, test):
    return str(ROOT / f"tests/script/cases/{test}.pkt") if program == "script" else test


def title_of(program, test):
    return test + ".pkt" if program == "script" else test


def outcome(program, test, mutant=None):
    """'passed', or how the test failed."""
    environment = {**os.environ, "GODWIT_SEED": "1"}
    environment.pop("GODWIT_MUTANT", None)
    if mutant:
        environment["GODWIT_MUTANT"] = mutant
    try:
        done = subprocess.run([PROGRAMS / target_of(program), argument_of(program, test)], env=environment, text=True,
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


def self_test(rows):
    """What the stage must find, it finds."""
    _, program, test = rows[0]
    wrong = []
    if "passed with it" not in judge(("changes_nothing", program, test)):
        wrong.append("a mutant that changes nothing is not found")
    if not judge((rows[0][0], program, "no-such-test")):
        wrong.append("a test that does not exist is not found")
    for code in ("a == b", "no_such_code", "b == a || a"):
        try:
            mutate.mutated("int f(int a, int b)\n{\n\treturn a == b || b == a || a == /* once more */ b;\n}\n",
                           [mutate.Edit("x", "f.c", "f", code, "true")])
            wrong.append(f"a place of a mutant that is none, not the only one, or not whole, is taken: {code}")
        except mutate.ListError:
            pass
    return wrong


def main(arguments):
    rows = mutate.read(LIST.read_text(encoding="utf-8")).rows
    if any(len(row) != 3 for row in rows):
        sys.exit(f"{LIST}: wants MUTANT PROGRAM TEST: {next(row for row in rows if len(row) != 3)}")
    if arguments == ["--targets"]:
        print("\n".join(sorted({target_of(row[1]) for row in rows})))
        return 0
    wrong = self_test(rows)
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
