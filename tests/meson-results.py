#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the TAP lines of every program in a log that `meson test` wrote.

usage: meson-results.py LOG.json STATUS_OF_MESON_TEST
"""
import json
import re
import sys

TAP = re.compile(r"^(not ok|ok)\b *\d* *-? *([^#\n]*)(?:# *(SKIP|TODO)\b *(.*))?$", re.I | re.M)


def main(log, meson_status):
    count = {"PASS": 0, "FAIL": 0, "SKIP": 0}

    def say(kind, line):
        count[kind] += 1
        if kind != "PASS":
            print(kind, line)

    try:
        with open(log, encoding="utf-8") as lines:
            programs = [json.loads(line) for line in lines if line.strip()]
    except FileNotFoundError:
        programs = []
    for program in programs:
        name, result = program["name"], program["result"]
        tap_failed = False
        for verdict, title, directive, reason in TAP.findall(program.get("stdout") or ""):
            title = f"{name}: {title.strip()}"
            if directive.upper() == "SKIP":
                say("SKIP", f"{title}: {reason or 'no reason given'}")
            elif verdict.lower() == "ok":
                say("PASS", title)
            else:
                tap_failed = True
                say("FAIL", title)
        if result not in ("OK", "SKIP") and not tap_failed:
            say("FAIL", f"{name}: {result.lower()}, exit status {program.get('returncode')}")
    if meson_status != 0 and count["FAIL"] == 0:
        say("FAIL", f"meson test: exit status {meson_status}")
    print(f"{count['PASS']} passed, {count['FAIL']} failed, {count['SKIP']} skipped")
    return 0 if count["PASS"] and not count["FAIL"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
