# SPDX-License-Identifier: Apache-2.0
"""What a broker has in use: every counter that must come back to where it was."""
import time

REST_S = 90


def in_use(broker):
    """{name: how many}, of godwitctl's status and stats."""
    status, stats = broker.ask("status"), broker.ask("stats")
    found = {}
    for pool in status["pools"]:
        found["pool " + pool["name"]] = pool["used"]
    for pool in stats["pools"]:
        found["core %d %s" % (pool["core"], pool["pool"])] = pool["used"]
    for ring in stats["rings"]:
        found["core %d ring %s" % (ring["core"], ring["port"])] = ring["used"]
    for name in ("queues", "exchanges", "bindings", "consumers", "messages_ready", "messages_unacked"):
        found[name] = status["broker"][name]
    for core in status["cores"]:
        found["core %d connections" % core["index"]] = core["connections"]
    for port in status["tcp"]:
        for name in ("connections", "half_open", "time_wait", "rx_buffers"):
            found["tcp " + name] = port[name]
    found["kernel connections"] = status["kernel"].get("connections", 0)
    return found


def differences(before, after):
    return ["%s was %s, is %s" % (name, before.get(name), after.get(name))
            for name in sorted(set(before) | set(after)) if before.get(name) != after.get(name)]


def wait_rest(broker):
    """Until nothing has changed for two seconds, and no connection is left. Says what was left."""
    deadline = time.monotonic() + REST_S
    last, since = None, time.monotonic()
    while True:
        now = in_use(broker)
        if now != last:
            last, since = now, time.monotonic()
        gone = all(now[name] == 0 for name in now if "connections" in name)
        if gone and time.monotonic() - since > 2:
            return "at rest"
        if time.monotonic() > deadline:
            raise AssertionError("not at rest: " + ", ".join(
                "%s %d" % (name, count) for name, count in sorted(now.items()) if count))
        time.sleep(0.25)
