# SPDX-License-Identifier: Apache-2.0
"""The inner part: each case over each pair of transports, client's and broker's."""
import os
import subprocess
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop", "lib"))

import brokers  # noqa: E402  pylint: disable=wrong-import-position
import latencytest_cases  # noqa: E402  pylint: disable=wrong-import-position
import perftest_cases  # noqa: E402  pylint: disable=wrong-import-position
from rig import (BYPASS, BYPASS6, CLIENT, CLIENT6, DEVICE, KERNEL, KERNEL6, LOGIN, Broker, finish,  # noqa: E402
                 need, start)       # pylint: disable=wrong-import-position

OVER_DEVICE = ["--dpdk-port", DEVICE, "--address", CLIENT, *LOGIN]
OVER_DEVICE6 = ["--port", DEVICE, "--address", CLIENT6, *LOGIN]
ALL = perftest_cases.CASES + latencytest_cases.CASES
SOME = perftest_cases.BYPASS_CASES + latencytest_cases.BYPASS_CASES
FEW = [perftest_cases.the_reports_command, latencytest_cases.the_reports_command]


def the_broker_dies(broker, _work, where):
    """perftest: the broker is killed under way"""
    process = start("perftest", *where, *perftest_cases.NEVER_DONE)
    time.sleep(1)
    broker.kill()
    status, out, err = finish(process)
    need(status == 1 and not out, "status %d: %s" % (status, out))
    need("connect" in err, err)


def client_stopped(_broker, _work, where):
    """perftest: killed, it leaves nothing on the device that it was on"""
    process = start("perftest", *where, *perftest_cases.NEVER_DONE)
    deadline = time.monotonic() + 30
    while "PROMISC" not in client_link() and time.monotonic() < deadline:
        time.sleep(0.02)
    need("PROMISC" in client_link(), client_link())
    process.kill()
    process.communicate()
    while "PROMISC" in client_link() and time.monotonic() < deadline:
        time.sleep(0.02)
    need("PROMISC" not in client_link() and "mtu 1600" in client_link(), client_link())


def client_link():
    return subprocess.run(["ip", "link", "show", "client0"], check=True, capture_output=True, text=True).stdout


def client_left(_broker, _work, _where):
    """the device of the tools is as it was before them"""
    need("PROMISC" not in client_link() and "mtu 1600" in client_link(), client_link())


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
    for words in ("link add client0 mtu 1600 type veth peer name broker0", "link set client0 up", "link set broker0 up",
                  "addr add 198.18.12.2/24 dev broker0", f"addr add {KERNEL6}/64 dev broker0 nodad"):
        subprocess.run(["ip", *words.split()], check=True)
    # Frames leave as a wire has them: the stack on the other end checks their sums.
    subprocess.run(["ethtool", "-K", "broker0", "tx", "off", "gso", "off", "tso", "off"], check=True,
                   stdout=subprocess.DEVNULL)


def over_rabbitmq(work):
    """The same against RabbitMQ: (results, how many were skipped)."""
    cases = perftest_cases.RABBITMQ_CASES
    if not os.path.exists(brokers.RabbitMQ.server):
        for case in cases:
            print("SKIP %s, to RabbitMQ: Debian's rabbitmq-server is not installed" % case.__doc__)
        return [], len(cases)
    server = brokers.RabbitMQ(work)
    try:
        server.start()
        results = [case_run(case, None, work, [], ", to RabbitMQ") for case in cases]
        server.terminate(server.shutdown_s_max)
    except Exception as problem:  # pylint: disable=broad-except
        print("FAIL RabbitMQ: %s" % problem)
        results = [False]
    finally:
        server.kill()
        # Erlang's name server outlives every node.
        subprocess.run(["epmd", "-kill"], env={**os.environ, "ERL_EPMD_PORT": "4369"}, capture_output=True)
    return results, 0


def main(work):
    results = []
    links()
    for bypass, last, rows in (
            (False, the_broker_dies, ((ALL, [], ", over loopback"),
                                      (SOME, ["-b", KERNEL, *OVER_DEVICE], ", our stack to kernel sockets"),
                                      (FEW, ["-b", "[::1]:5673"], ", over loopback with IPv6"),
                                      (FEW, ["-b", "::1", "-p", "5673"], ", over loopback with IPv6 and a port"),
                                      (FEW[:1], ["-b", "localhost"], ", over loopback by name"),
                                      (FEW + [client_left, client_stopped], ["-b", KERNEL6, *OVER_DEVICE6],
                                       ", our stack to kernel sockets with IPv6"))),
            (True, None, ((SOME, ["-b", BYPASS, *OVER_DEVICE], ", our stack to our stack"),
                          (FEW, ["-b", f"[{BYPASS6}]:5672", "--gateway", KERNEL6, *OVER_DEVICE6],
                           ", our stack to our stack with IPv6")))):
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
    more, skipped = over_rabbitmq(work)
    results += more
    passed = sum(results)
    print("%d passed, %d failed, %d skipped" % (passed, len(results) - passed, skipped))
    return 0 if passed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
