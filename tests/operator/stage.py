# SPDX-License-Identifier: Apache-2.0
"""The inner part: one broker, every case of the files beside this one, in order."""
import sys
import time

from broker import Broker
import capture_cases
import core_cases
import host_cases
import listener_cases
import memory_cases
import port_cases
import tcp_cases
import vhost_cases

CASES = port_cases.CASES + listener_cases.CASES + tcp_cases.CASES + capture_cases.CASES
LAST = capture_cases.LAST  # ends the broker


def case_run(case, *arguments):
    """Whether it passed."""
    name = case.__doc__.split("\n")[0].rstrip(".")
    begin = time.monotonic()
    try:
        case(*arguments)
        print("PASS %s (%.1f s)" % (name, time.monotonic() - begin), flush=True)
        return True
    except Exception as problem:  # pylint: disable=broad-except
        print("FAIL %s: %s: %s" % (name, type(problem).__name__, problem), flush=True)
        return False


def run(broker, cases, work):
    """How many passed and failed."""
    passed = failed = 0
    try:
        for case in cases:
            if case_run(case, broker, work):
                passed += 1
            else:
                failed += 1
            if broker.process.poll() is not None and case is not LAST:
                raise AssertionError("the broker ended with %d" % broker.process.returncode)
        log = broker.log()
        for word in ("AddressSanitizer", "LeakSanitizer", "runtime error", "MUST"):
            if word in log:
                raise AssertionError("the broker's log has " + word)
    except Exception as problem:  # pylint: disable=broad-except
        failed += 1
        print("FAIL broker: %s" % problem)
    finally:
        broker.kill()
        if failed:
            print(broker.log())
    return passed, failed


def main(work):
    results = []
    for start, cases in ((Broker, CASES + [LAST]), (core_cases.start, core_cases.CASES),
                         (memory_cases.start, memory_cases.CASES), (vhost_cases.start, vhost_cases.CASES)):
        try:
            results.append(run(start(work), cases, work))
        except Exception as problem:  # pylint: disable=broad-except
            results.append((0, 1))
            print("FAIL broker: %s" % problem)
    host_cases.prepare()
    alone = [case_run(case, work) for case in host_cases.CASES]
    results.append((sum(alone), len(alone) - sum(alone)))
    passed, failed = (sum(r) for r in zip(*results))
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
