#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The cases of the chaos stage, in order. Arguments: the work folder, then the names of cases to run alone."""
import glob
import os
import sys
import time

import clients
import godwit
import memory
import operator_cases
from tap import Cases, check


def no_report(work):
    reports = glob.glob(os.path.join(work, "asan.*"))
    for path in reports:
        with open(path, errors="replace") as f:
            print("\n".join("# " + line.rstrip() for line in f.readlines()[:60]))
    check(not reports, len(reports), "report(s) of a sanitizer")


def main():
    work, only = sys.argv[1], sys.argv[2:]
    seed = os.environ.get("CHAOS_SEED", str(time.time_ns() % 1000000007))
    print("# seed %s (CHAOS_SEED repeats this run)" % seed)
    before = godwit.links(), godwit.hugepages()
    cases = Cases(only)
    for module in (clients, memory, operator_cases):
        module.run(cases, work, seed)
    cases.run("nothing_left", lambda: check((godwit.links(), godwit.hugepages()) == before and not godwit.keeper_gone(),
                                            "before", before, "after", godwit.links(), godwit.hugepages(),
                                            godwit.keeper_gone()))
    cases.run("no_sanitizer_report", no_report, work)
    return cases.finish()


if __name__ == "__main__":
    sys.exit(main())
