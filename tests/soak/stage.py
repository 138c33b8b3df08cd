# SPDX-License-Identifier: Apache-2.0
"""The inner part: a warm-up round, then the same again with a bystander beside it, and between them nothing may
have grown."""
import os
import sys
import time

from programs import BYPASS, KERNEL, PORT, TAP, Broker, Talker, need
from rest import differences, in_use, wait_rest

SECONDS = float(os.environ.get("SOAK_SECONDS", "30"))
CONNECTIONS = int(os.environ.get("SOAK_CONNECTIONS", "10000"))
WINDOW = 256
WARM_S, QUIET_S = 12, 5
# Buffers and messages are locked at start, so this is malloc's holes, since tables and queues come and go in another
# order in each round, and pages of pools that had not been used before. 2 MiB were seen in 30 seconds, 5 in 600, while
# what malloc had given out was the same to the byte. 400 bytes that each life of a connection left behind would be more
# in 30 seconds, 45 in 600.
RSS_KIB_MORE = int(os.environ.get("SOAK_RSS_MIB", "8")) << 10
LISTENERS = {"kernel": "%s:%d" % (KERNEL, PORT), "bypass": "%s:%d" % (BYPASS, PORT)}


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, work, *arguments):
        """Whether it passed; what it says is printed."""
        began = time.monotonic()
        try:
            note = work(*arguments)
        except Exception as error:  # pylint: disable=broad-except
            self.failed += 1
            print("FAIL %s: %s: %s" % (name, type(error).__name__, error), flush=True)
            return False
        self.passed += 1
        print("PASS %s: %s" % (name, note or "%.1f s" % (time.monotonic() - began)), flush=True)
        return True

    def finish(self):
        print("%d passed, %d failed, 0 skipped" % (self.passed, self.failed))
        return 0 if self.passed and not self.failed else 1


def setting(name, value):
    with open("/proc/sys/net/" + name, "w") as f:
        f.write(str(value))


def host():
    """More connections in a minute than there are ports, and a queue towards the TAP that loses nothing."""
    setting("ipv4/ip_local_port_range", "1024 65535")
    setting("ipv4/tcp_tw_reuse", 1)
    setting("ipv4/tcp_max_syn_backlog", 16384)
    setting("core/somaxconn", 16384)


def said(result, broker, cpu_before):
    """What the load did, a second."""
    result = dict(result)
    seconds = result.pop("seconds")
    ceiling = result.pop("ceiling_frames_a_second")
    steps = result.pop("steps")
    text = ", ".join("%s %d" % (k, v) for k, v in result.items() if v and k not in ("done", "cpu_seconds", "rss_kib"))
    print("#   %s: %.1f s: %s" % (result["done"], seconds, text))
    print("#   a second: %d connections, %d messages in, %d out; cores' time %.0f %%; the load %.0f %% of a CPU, by "
          "itself it could take %d frames a second; it has %d MiB" % (
              result["connected"] / seconds, result["published"] / seconds,
              (result["delivered"] + result["got"]) / seconds, 100 * (broker.cpu_s() - cpu_before) / seconds,
              100 * result["cpu_seconds"] / seconds, ceiling, result["rss_kib"] >> 10))
    if any(one["count"] for one in steps.values()):
        print("#   a step takes, ms: " + ", ".join("%s %.1f (max %d, %d of them)" % (
            name, one["us"] / one["count"] / 1000, one["us_max"] / 1000, one["count"])
            for name, one in steps.items() if one["count"]))
    sys.stdout.flush()


def do(load, broker, command):
    before = broker.cpu_s()
    result = load.ask(command)[-1]
    said(result, broker, before)
    return result


def full(load, broker):
    """every connection has a queue, a binding at most and a consumer"""
    do(load, broker, "fill")
    now = broker.ask("status")
    need(now["connections"] >= CONNECTIONS, "%d connections" % now["connections"])
    need(now["broker"]["queues"] >= CONNECTIONS and now["broker"]["consumers"] >= CONNECTIONS, now["broker"])
    spread = [core["connections"] for core in now["cores"]]
    need(min(spread) > CONNECTIONS // 8, "connections by core: %s" % spread)
    return "%s connections by core, %d queues, %d bindings, %d consumers" % (
        spread, now["broker"]["queues"], now["broker"]["bindings"], now["broker"]["consumers"])


def churn(load, broker, seconds):
    result = do(load, broker, "churn %g" % seconds)
    for name in ("connected", "left", "closed", "reset", "killed", "delivered", "redelivered", "got", "get_empty",
                 "returned", "refused", "stalled", "purged", "recovered", "exchanges", "unbound"):
        need(result[name] > 0, "nothing %s" % name)


def cores(broker):
    """What an operator would look at first."""
    for core in broker.ask("stats")["cores"]:
        print("#   core %d: %d turns, %.0f %% busy since the start, the longest turn %d us, of which %s %d" % (
            core["core"], core["turns"], core["busy_percent"], core["turn_max_us"], core["turn_max_by"],
            core["turn_max_by_us"]))


def phase(bystander, name, seen):
    for one in bystander.ask("phase " + name):
        if "phase" in one:
            seen.setdefault(one["listener"], {})[name] = one


def table(seen, names):
    """Microseconds of each phase, and how many messages took how long."""
    for listener, phases in sorted(seen.items()):
        print("#   bystander over %s, a message each millisecond: us from when it was due" % names[listener])
        for name, one in phases.items():
            print("#     %-6s %7d messages: p50 %d, p90 %d, p99 %d, p99.9 %d, max %d" % (
                name, one["count"], one["p50_us"], one["p90_us"], one["p99_us"], one["p999_us"], one["max_us"]))
        starts = sorted({start for one in phases.values() for start, _ in one["buckets"]})
        by_power = {}
        for start in starts:
            by_power.setdefault(1 << max(0, start.bit_length() - 1), []).append(start)
        for power, members in by_power.items():
            print("#     from %8d us: %s" % (power, ", ".join("%s %7d" % (
                name, sum(count for start, count in one["buckets"] if start in members))
                for name, one in phases.items())))
    sys.stdout.flush()


def bystander_whole(bystander):
    counts = bystander.end()
    for one in counts:
        need(one["sent"] == one["confirmed"] == one["received"] > 0, one)
    return ", ".join("%d sent, confirmed and received in order" % one["sent"] for one in counts)


def warm_up(report, load, broker):
    return (report.check("warm-up: full", full, load, broker) and
            report.check("warm-up: churn", churn, load, broker, WARM_S) and
            report.check("warm-up: empty", do_empty, load, broker))


def do_empty(load, broker):
    do(load, broker, "empty")
    return wait_rest(broker)


def soak(report, load, broker, bystander, names):
    seen = {}
    cores(broker)
    time.sleep(QUIET_S)
    phase(bystander, "alone", seen)
    if not report.check("full", full, load, broker):
        return False
    phase(bystander, "fill", seen)
    cores(broker)
    time.sleep(QUIET_S)
    phase(bystander, "held", seen)
    good = report.check("churn", churn, load, broker, SECONDS)
    if good:
        phase(bystander, "churn", seen)
        cores(broker)
        good = report.check("empty", do_empty_beside, load, broker)
        phase(bystander, "empty", seen)
    table(seen, names)
    return report.check("bystander: nothing lost, doubled or out of order; heartbeats hold",
                        bystander_whole, bystander) and good


def do_empty_beside(load, broker):
    do(load, broker, "empty")


def nothing_grew(before, broker):
    wait_rest(broker)
    changed = differences(before, in_use(broker))
    need(not changed, "; ".join(changed))
    return "%d counters are what they were" % len(before)


def memory_is_back(before_kib, broker):
    now_kib = broker.rss_kib()
    need(now_kib <= before_kib + RSS_KIB_MORE, "RSS was %d KiB, is %d KiB" % (before_kib, now_kib))
    return "RSS was %d KiB, is %d KiB" % (before_kib, now_kib)


def ends_well(broker):
    status = broker.end()
    need(status == 0, "exit status %d: %s" % (status, broker.log()[-2000:]))


def run(report, work, programs):
    chosen = os.environ.get("SOAK_LISTENERS", "kernel,bypass").split(",")
    addresses = [LISTENERS[name] for name in chosen]
    seed = os.environ.get("SOAK_SEED", str(int(time.time())))
    print("# seed %s, %d connections over %s, %g s; %d CPUs, load %.1f%s" % (
        seed, CONNECTIONS, " and ".join(chosen), SECONDS, os.cpu_count(), os.getloadavg()[0],
        ", the broker before all others" if os.environ.get("SOAK_REALTIME") else ""), flush=True)
    host()
    broker = Broker(work, CONNECTIONS)
    programs.append(broker)
    os.system("ip link set %s txqueuelen 50000" % TAP)
    # The broker and the bystander come first: where there are few CPUs the load would only measure the scheduler.
    load = Talker("load", seed, CONNECTIONS, WINDOW, *addresses, last=True)
    programs.append(load)
    if not warm_up(report, load, broker):
        return
    before, before_kib = in_use(broker), broker.rss_kib()
    bystander = Talker("bystander", *addresses)
    programs.append(bystander)
    good = soak(report, load, broker, bystander, dict(enumerate(chosen)))
    load.process.stdin.close()
    if good:
        report.check("every pool, queue, binding, consumer and name is back", nothing_grew, before, broker)
        report.check("memory is back", memory_is_back, before_kib, broker)
    report.check("the end", ends_well, broker)


def main():
    report, programs = Report(), []
    try:
        run(report, sys.argv[1], programs)
    except Exception as error:  # pylint: disable=broad-except
        report.failed += 1
        print("FAIL the stage: %s: %s" % (type(error).__name__, error), flush=True)
    finally:
        if report.failed and programs:
            print("\n".join("# " + line for line in programs[0].log().splitlines()[-20:]))
        for program in reversed(programs):
            program.kill()
    return report.finish()


sys.exit(main())
