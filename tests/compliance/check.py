#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds tcpstack/COMPLIANCE.md against what ran.

usage: check.py COMPLIANCE.md RESULTS.json...

RESULTS are the logs of `meson test` for the suites script and unit. Every test that a row names must have run and
passed in them; skipped counts as missing, and so does a packet script that stands in its folder and is run by nobody. One
of a row's tests is a packet script, unless the row says "not seen on the wire:" before them. A row that is not done must
say why, and may not be a MUST. Rows name as many keywords as the sections that keywords lists have, "MUST (2)" for two. Prints a PASS or FAIL line a row and the count.
"""
import json
import pathlib
import re
import sys

TAP = re.compile(r"^(not ok|ok)\b *\d* *-? *([^#\n]*)(?:# *(SKIP|TODO)\b *(.*))?$", re.I | re.M)
ROW = re.compile(r"^\| (?P<clause>[^|]+) \| (?P<text>[^|]+) \| (?P<status>[^|]+) \| (?P<tests>[^|]*) \|$")
REASON_CHARACTERS_MIN = 10
UNSEEN = "not seen on the wire:"
KEYWORD = re.compile(r"\b(MUST|SHOULD|RECOMMENDED)\b(?: NOT)?(?: \((\d)\))?")
KEYWORDS = pathlib.Path(__file__).with_name("keywords")
SCRIPTS = pathlib.Path(__file__).resolve().parents[1] / "script/cases"


def passed_tests(logs):
    """Names as the table has them, of all that ran and passed."""
    passed, failed = set(), set()
    for log in logs:
        with open(log, encoding="utf-8") as lines:
            for program in (json.loads(line) for line in lines if line.strip()):
                for verdict, title, directive, _ in TAP.findall(program.get("stdout") or ""):
                    title = title.strip()
                    name = title[:-len(".pkt")] if title.endswith(".pkt") else \
                        program["name"].split(" / ")[-1].removeprefix("tcpstack_") + "." + title
                    good = verdict.lower() == "ok" and not directive
                    (passed if good else failed).add(name)
    return passed - failed


def wrong_with(row, passed):
    """Why a row does not hold, or None."""
    status, tests = row["status"], row["tests"].strip()
    if status == "done":
        unseen = tests.startswith(UNSEEN)
        names = [name.strip() for name in tests.removeprefix(UNSEEN).split(",") if name.strip()]
        missing = [name for name in names if name not in passed]
        if not names:
            return "done, and no test is named"
        if unseen != all("." in name for name in names):
            return "not seen on the wire, and a packet script shows it" if unseen else "no packet script is named"
        return "did not run and pass: " + ", ".join(missing) if missing else None
    if status not in ("not done", "n/a"):
        return f"no status is called {status}"
    if len(tests) < REASON_CHARACTERS_MIN:
        return "no reason is given"
    if status == "not done" and "MUST" in row["clause"]:
        return "a MUST may not be left out"
    return None


def keywords_wanted():
    """{(RFC, section): [MUSTs, SHOULDs]}"""
    wanted = {}
    for line in KEYWORDS.read_text(encoding="utf-8").splitlines():
        words = line.split("#")[0].split()
        if words:
            wanted[words[0], words[1]] = [int(words[2]), int(words[3])]
    return wanted


def keywords_counted(lines, wanted):
    """The same of the rows; what stands below a heading of one RFC is of that one."""
    counted, only = {key: [0, 0] for key in wanted}, ""
    for line in lines:
        if line.startswith("## "):
            numbers = re.findall(r"\b\d{4}\b", line.split(":")[0])
            only = numbers[0] + "-" if len(numbers) == 1 else ""
        row = ROW.match(line.rstrip("\n"))
        if not row:
            continue
        clause = row["clause"]
        place = re.match(r"(\d{4})-([\d.]+)", clause if re.match(r"\d{4}-", clause) else only + clause)
        section = place and place[2].rstrip(".")
        while section and (place[1], section) not in wanted:
            section = section.rpartition(".")[0]
        if section:
            for word, times in KEYWORD.findall(clause):
                counted[place[1], section][word != "MUST"] += int(times or 1)
    return counted


def main(table, logs):
    passed = passed_tests(logs)
    count = {"PASS": 0, "FAIL": 0}
    with open(table, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            row = ROW.match(line.rstrip("\n"))
            if line.startswith("|---"):
                continue
            if line.startswith("|") and not row:
                print(f"FAIL {table}:{number}: a row has four cells")
                count["FAIL"] += 1
            if not row or row["clause"] == "clause":
                continue
            wrong = wrong_with(row, passed)
            count["FAIL" if wrong else "PASS"] += 1
            if wrong:
                print(f"FAIL {row['clause']} (line {number}): {wrong}")
    wanted = keywords_wanted()
    with open(table, encoding="utf-8") as lines:
        counted = keywords_counted(lines, wanted)
    for (rfc, section), numbers in wanted.items():
        if any(have < want for have, want in zip(counted[rfc, section], numbers)):
            print(f"FAIL RFC {rfc} section {section}: {numbers} MUST and SHOULD, rows name {counted[rfc, section]}")
            count["FAIL"] += 1
    for script in sorted(SCRIPTS.glob("*.pkt")):
        if script.stem not in passed:
            print(f"FAIL {script.name}: did not run and pass")
            count["FAIL"] += 1
    print(f"{count['PASS']} passed, {count['FAIL']} failed, 0 skipped")
    return 0 if count["PASS"] and not count["FAIL"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
