# SPDX-License-Identifier: Apache-2.0
"""godwit-perftest and godwit-latencytest: how they are called, and what they say."""
import csv
import json
import os
import subprocess

import histogram

# Beyond what a test is expected to take.
PATIENCE_S = 90


class ClientError(Exception):
    pass


def words_of(end, cpus, idle):
    return ["-b", end.address, "-p", str(end.port), *end.client_device, "--cpus", ",".join(map(str, cpus)),
            "--idle", idle]


class Client:
    """One tool at work for one guest."""

    def __init__(self, build, end, tool, *words):
        prefix = ["ip", "netns", "exec", end.client_namespace] if end.client_namespace else []
        self.command = [*prefix, os.path.join(build, "godwit-" + tool), *map(str, words)]
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def result(self, seconds):
        """What it printed."""
        try:
            out, err = self.process.communicate(timeout=seconds + PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise ClientError(f"{' '.join(self.command)}: no end after {seconds + PATIENCE_S:.0f} s") from None
        finally:
            self.kill()
        if self.process.returncode:
            raise ClientError(f"{' '.join(self.command)}: status {self.process.returncode}: {err.strip()[-2000:]}")
        return out

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def together(clients, seconds):
    """The results of all; none is left running."""
    try:
        return [client.result(seconds) for client in clients]
    finally:
        for client in clients:
            client.kill()


def latency(build, places, of, size, idle, work):
    """One result for each of places, (end, cpus)."""
    files = [os.path.join(work, f"{{}}{i}") for i in range(len(places))]
    clients = [Client(build, end, "latencytest", *words_of(end, cpus[:1], idle), "--rate", of["rate"], "--size", size,
                      "--count", int(of["rate"] * of["seconds"]), "--warmup", of["warmup_ms"], "--floor", of["floor_ms"],
                      "--queues", of.get("queues", 1), "--burst", of.get("burst", 1),
                      "--confirm" if of.get("confirm") else "--confirm=no",
                      "--histogram", file.format("histogram"), "--series", file.format("series"), "--json")
               for (end, cpus), file in zip(places, files)]
    return [latency_result(out, file.format("histogram"), file.format("series"))
            for out, file in zip(together(clients, of["seconds"]), files)]


def latency_result(out, histogram_path, series_path):
    result = json.loads(out)
    with open(histogram_path, encoding="utf-8") as f:
        result["histogram"] = histogram.pack(histogram.read(f.read()))
    with open(series_path, encoding="utf-8") as f:
        result["series"] = [[int(line["second"]), float(line["avg_ms"]), float(line["stddev_ms"]), float(line["max_ms"])]
                            for line in csv.DictReader(f) if int(line["count"])]
    return result


def throughput(build, places, of, size, idle):
    """One result for each of places; of: queues, and count or time_limit with warmup_ms, and perhaps window."""
    words = ["--qt", of["queues"], "--size", size, "--json"]
    words += ["--count", of["count"]] if "count" in of else ["--time-limit", of["time_limit"]]
    words += ["--warmup", of["warmup_ms"]] if "warmup_ms" in of else []
    words += ["--window", of["window"]] if "window" in of else []
    clients = [Client(build, end, "perftest", *words_of(end, cpus, idle), "--threads", len(cpus), *words)
               for end, cpus in places]
    return [json.loads(out) for out in together(clients, of.get("patience", 60))]
