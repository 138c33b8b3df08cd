# SPDX-License-Identifier: Apache-2.0
"""Whether results are all there, and can be true at all. How fast anything was is not asked."""
import histogram


def complaints(results, profile):
    missing = {line["row"] for line in results.of("missing")}
    for row, guests, kind, size, runs in results.absent(profile):
        if row not in missing:
            yield f"{row}, {guests} guests, {kind} of {size} bytes: {runs} of {profile.runs} runs"
    shares = {line["run"]: line for line in results.of("kernel_share")}
    for run in range(0 if profile.machines else profile.runs):
        if run not in shares:
            yield f"the kernel's own share was not measured in run {run + 1}"
        elif not min(shares[run]["send_ns"], shares[run]["receive_ns"]) > 0:
            yield f"the kernel's own share cannot be {shares[run]}"
    for line in results.of("measurement"):
        if len(line["results"]) != line["guests"]:
            yield f"{name(line)}: results of {len(line['results'])} guests"
        for guest in line["results"]:
            wrong = throughput(guest, line, profile.seconds_least(line["kind"])) if profile.is_throughput(line["kind"]) else latency(guest, line, profile)
            for words in wrong:
                yield f"{name(line)}: {words}"


def name(line):
    return f"{line['row']}, {line['guests']} guests, {line['kind']} of {line['size']} bytes, run {line['run'] + 1}"


def counted(packed):
    return sum(histogram.unpack(packed).values())


def latency(guest, line, profile):
    wanted = int(line["rate"] * profile.latency["seconds"]) * line["queues"]
    every = guest["all"]
    if every["count"] != wanted:
        yield f"{every['count']} messages, not {wanted}"
    if not 0 < every["min_ms"] <= every["avg_ms"] <= every["max_ms"]:
        yield f"least, average and greatest are {every['min_ms']}, {every['avg_ms']}, {every['max_ms']} ms"
    if counted(guest["histogram"]) != wanted:
        yield "its histogram has other messages"
    if "no_gaps" in guest and counted(guest.get("histogram_no_gaps", "")) != guest["no_gaps"]["count"]:
        yield "its histogram without gaps has other messages"
    if guest.get("inside") == "":
        yield "the broker counted nothing that passed through it"
    if not guest["series"] or guest["floor"]["count"] == 0:
        yield "no series, or no floor"


def throughput(guest, line, seconds_least):
    # A test by time has a count of its own.
    wanted = 2 * (line["count"] if "count" in line else guest["count"]) * line["queues"]
    if guest["transfers"] != wanted:
        yield f"{guest['transfers']} transfers, not {wanted}"
    if seconds_least and guest["seconds"] < seconds_least:
        yield f"{guest['seconds']} s, not {seconds_least} or more"
    if abs(guest["transfers_per_s"] * guest["seconds"] - wanted) > 0.01 * wanted:
        yield f"{guest['transfers_per_s']} transfers/s for {guest['seconds']} s are not {wanted}"
    if abs(guest["mb_per_s"] * 2**20 - guest["transfers_per_s"] * line["size"]) > 0.01 * guest["mb_per_s"] * 2**20 + 1:
        yield f"{guest['mb_per_s']} MB/s are not {guest['transfers_per_s']} transfers/s"
