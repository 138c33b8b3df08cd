# SPDX-License-Identifier: Apache-2.0
"""godwit-perftest and godwit-latencytest: how they are called, and what they say."""
import csv
import io
import json
import os
import subprocess
import threading

import histogram

# Beyond what a test is expected to take.
PATIENCE_S = 90


class ClientError(Exception):
    pass


def words_of(end, cpus, idle):
    return ["-b", end.address, "-p", str(end.port), *end.client_device, "--cpus", ",".join(map(str, (*cpus, *end.beside))),
            "--idle", idle]


class Client:
    """One tool at work for one guest."""

    def __init__(self, build, end, tool, *words):
        prefix = ["ip", "netns", "exec", end.client_namespace] if end.client_namespace else []
        self.machine = end.client
        self.command = [*prefix, os.path.join(end.programs or build, tool if "/" in tool else end.prefix + tool), *map(str, words)]
        self.job = self.machine.job(self.command)
        self.process = self.job.process

    def result(self, seconds):
        """What it printed."""
        try:
            out, err = self.job.process.communicate(timeout=seconds + PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise ClientError(f"{self}: no end after {seconds + PATIENCE_S:.0f} s") from None
        finally:
            status = self.job.stop()
        if status:
            self.machine.check()
            raise ClientError(f"{self}: status {status}: {self.complaint(err).strip()[-2000:]}")
        return out

    def __str__(self):
        return f"{self.machine.name}: {' '.join(self.command)}"

    @staticmethod
    def complaint(err):
        return err


class MarkingClient(Client):
    """Says when all are connected, and when all has come: on_mark is called from a thread of its own."""

    def __init__(self, build, end, on_mark, *words):
        super().__init__(build, end, "latencytest", "--marks", *words)
        # communicate() leaves to the thread what it does not know of.
        self.errors, self.process.stderr = self.process.stderr, None
        self.lines = []
        self.listener = threading.Thread(target=self.listen, args=(on_mark,))
        self.listener.start()

    def listen(self, on_mark):
        with self.errors:
            for line in self.errors:
                self.lines.append(line)
                if line.strip() in ("sending", "received"):
                    on_mark(line.strip())

    def result(self, seconds):
        try:
            return super().result(seconds)
        finally:
            self.listener.join()

    def complaint(self, err):
        self.listener.join()
        return "".join(self.lines)


def together(clients, seconds):
    """The results of all; none is left running."""
    try:
        return [client.result(seconds) for client in clients]
    finally:
        for client in clients:
            client.job.stop()


def started(start, *of):
    """What start makes of each; none is left running where one cannot be started."""
    clients = []
    try:
        for each in zip(*of):
            clients.append(start(*each))
    except BaseException:
        for client in clients:
            client.job.stop()
        raise
    return clients


def latency(build, places, of, size, idle, work, looks):
    """One result for each of places, (end, cpus); looks: what to do at each one's marks."""
    files = [os.path.join(end.client.folder or work, f"{{}}{i}") for i, (end, _) in enumerate(places)]
    clients = started(lambda place, file, look: MarkingClient(
        build, place[0], look.at, *words_of(place[0], place[1][:1], idle), "--rate", of["rate"], "--size", size,
        "--count", int(of["rate"] * of["seconds"]), "--warmup", of["warmup_ms"], "--floor", of["floor_ms"],
        "--queues", of.get("queues", 1), "--burst", of.get("burst", 1), "--confirm" if of.get("confirm") else "--confirm=no",
        "--histogram", file.format("histogram"), "--series", file.format("series"), "--json",
        *([] if idle == "adaptive" else ["--no-gaps", file.format("no_gaps")])), places, files, looks)
    return [latency_result(out, end.client.read(*map(file.format, ("histogram", "no_gaps", "series"))))
            for out, file, (end, _) in zip(together(clients, of["seconds"]), files, places)]


def latency_result(out, texts):
    """texts: of the files histogram, no_gaps and series."""
    result = json.loads(out)
    result["histogram"] = histogram.pack(histogram.read(texts[0]))
    if "no_gaps" in result:
        result["histogram_no_gaps"] = histogram.pack(histogram.read(texts[1]))
    result["series"] = [[int(line["second"]), float(line["avg_ms"]), float(line["stddev_ms"]), float(line["max_ms"])]
                        for line in csv.DictReader(io.StringIO(texts[2])) if int(line["count"])]
    return result


def throughput(build, places, of, size, idle):
    """One result for each of places; of: queues, and count or time_limit with warmup_ms, and perhaps window."""
    words = ["--qt", of["queues"], "--size", size, "--json"]
    words += ["--count", of["count"]] if "count" in of else ["--time-limit", of["time_limit"]]
    words += ["--warmup", of["warmup_ms"]] if "warmup_ms" in of else []
    words += ["--window", of["window"]] if "window" in of else []
    clients = started(lambda place: Client(build, place[0], "perftest", *words_of(*place, idle), "--threads", len(place[1]),
                                           *words), places)
    return [json.loads(out) for out in together(clients, of.get("time_limit", 60))]


def nats(build, places, of, size, _idle):
    """As throughput, of nats-server by its own protocol (nats.c)."""
    clients = [Client(build, end, "bench/compare/compare_nats", end.address, end.port, size, of["time_limit"],
                      of["warmup_ms"], cpus[0]) for end, cpus in places]
    return [json.loads(out) for out in together(clients, of["time_limit"])]


def kernel_share(build, namespace, broker_cpu, client_cpu, ms):
    """What the kernel's TCP takes for 65 bytes, which are a message of 16 on the wire (loopback.c)."""
    command = ["ip", "netns", "exec", namespace, os.path.join(build, "bench/compare/compare_loopback"), 65, ms, broker_cpu, client_cpu]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=PATIENCE_S)
    if done.returncode:
        raise ClientError(f"{' '.join(map(str, command))}: status {done.returncode}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout)
