# SPDX-License-Identifier: Apache-2.0
"""The inner part: each case over each pair of transports, client's and broker's."""
import subprocess
import sys
import time

import latencytest_cases
import perftest_cases
from rig import BYPASS, CLIENT, DEVICE, KERNEL, LOGIN, Broker, finish, need, start

OVER_DEVICE = ["--dpdk-port", DEVICE, "--address", CLIENT, *LOGIN]
ALL = perftest_cases.CASES + latencytest_cases.CASES
SOME = perftest_cases.BYPASS_CASES + latencytest_cases.BYPASS_CASES


def the_broker_dies(broker, _work, where):
    """perftest: the broker is killed under way"""
    process = start("perftest", *where, *perftest_cases.NEVER_DONE)
    time.sleep(1)
    broker.kill()
    status, out, err = finish(process)
    need(status == 1 and not out, "status %d: %s" % (status, out))
    need("connect" in err, err)


def case_run(case, broker, work, where, what):
    name = case.__doc__ + what
    begin = time.monotonic()
    try:
        case(broker, work, where)
        print("PASS %s (%.1f s)" % (name, time.monotonic() - begin), flush=True)
        return True
    except Exception as problem:  # pylint: disable=broad-except
        print("FAIL %s: %s: %s" % (name, type(problem).__name__, problem), flush=True)
        return False


def links():
    """A pair of interfaces: the client's stack has one, the kernel or the broker's stack the other."""
    for words in ("link add client0 type veth peer name broker0", "link set client0 up", "link set broker0 up",
                  "addr add 198.18.12.2/24 dev broker0"):
        subprocess.run(["ip", *words.split()], check=True)
    # Frames leave as a wire has them: the stack on the other end checks their sums.
    subprocess.run(["ethtool", "-K", "broker0", "tx", "off", "gso", "off", "tso", "off"], check=True,
                   stdout=subprocess.DEVNULL)


def main(work):
    results = []
    links()
    for bypass, last, rows in (
            (False, the_broker_dies, ((ALL, [], ", over loopback"),
                                      (SOME, ["-b", KERNEL, *OVER_DEVICE], ", our stack to kernel sockets"))),
            (True, None, ((SOME, ["-b", BYPASS, *OVER_DEVICE], ", our stack to our stack"),))):
        broker = Broker(work, bypass)
        try:
            for cases, where, what in rows:
                results += [case_run(case, broker, work, where, what) for case in cases]
            if last:
                results.append(case_run(last, broker, work, [], ", over loopback"))
            else:
                broker.end()
        except Exception as problem:  # pylint: disable=broad-except
            results.append(False)
            print("FAIL broker: %s" % problem)
        finally:
            broker.kill()
        if not all(results) or "Sanitizer" in broker.log() or "runtime error" in broker.log():
            print(broker.log())
    passed = sum(results)
    print("%d passed, %d failed, 0 skipped" % (passed, len(results) - passed))
    return 0 if passed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
