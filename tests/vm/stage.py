# SPDX-License-Identifier: Apache-2.0
"""The inner part, in a namespace of its own: stage.py FOLDER. GODWIT_GROUP names one group of cases."""
import os
import re
import sys
import time

import boot_cases
import igb_cases
import image_cases
import life_cases
import nested_cases
from vm import VM, need, tap

GROUPS = {"image": image_cases, "boot": boot_cases, "igb": igb_cases, "life": life_cases, "nested": nested_cases}


def case_run(case, state):
    begin = time.monotonic()
    try:
        case(state)
        print(f"PASS {case.__doc__} ({time.monotonic() - begin:.1f} s)", flush=True)
        return True
    except Exception as problem:  # pylint: disable=broad-except
        print(f"FAIL {case.__doc__}: {type(problem).__name__}: {problem}", flush=True)
        if isinstance(state, VM):
            print("The console's end:\n" + re.sub(r"^(?=FAIL|SKIP)", " ", state.console()[-12000:], flags=re.M), flush=True)
        return False


def no_faults(_):
    """and in none of these machines the IOMMU refused anything"""
    refused = [(vm.folder, line) for vm in VM.all for line in vm.faults()]
    VM.all.clear()
    need(not refused, refused[:5])


def group_run(group, work):
    """(passed, failed) of a group's cases, which share what its begin makes; without that all have failed."""
    state, results = None, []
    try:
        state = group.begin(work, os.path.realpath(os.environ["GODWIT_IMAGE"]))
        results = [case_run(case, state) for case in group.CASES]
    finally:
        if state:
            group.end(state)
            if VM.all:
                results.append(case_run(no_faults, None))
    return results.count(True), results.count(False)


def groups():
    """Those that are wanted and can be."""
    wanted = os.environ.get("GODWIT_GROUP", "")
    names = [wanted] if wanted else list(GROUPS)
    if "GODWIT_IGB_QEMU" not in os.environ:
        # tests/vm/run has counted it as skipped.
        names = [name for name in names if name != "igb"]
    return [GROUPS[name] for name in names]


def main():
    passed = failed = 0
    tap("management0", "198.18.10.1")
    tap("port0", "198.18.20.1")
    tap("port1", "198.18.21.1")
    for group in groups():
        good, bad = group_run(group, sys.argv[1])
        passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
