# SPDX-License-Identifier: Apache-2.0
"""A broker of four data cores, and godwitctl stats. It is started once the one of the other cases has ended."""
import json
import os
import socket
import subprocess
import time

from broker import AMQP, Broker, Echo, close_orderly, connect, need
from capture_cases import Capture
from pcapng import anomalies, frames

CORES = 4
MANY = 64
KERNEL = 5699

CONFIG = """
lcores: 4
ports:
  - {name: lan, device: tap, host_address: 198.18.0.1/29, address: 198.18.0.2/29}
listeners:
  - {name: amqp-lan, transport: bypass, port: lan}
  - {name: kernel, transport: kernel, tcp_port: 5699}
limits: {connections: 64}
memory: {messages: 32M, buffers: 2048, hugepages: off}
control: {socket: %s}
"""


def stats(broker):
    done = broker.ctl("stats", "--json")
    need(done.returncode == 0, done.stderr)
    return json.loads(done.stdout)


def kernel_connect():
    s = socket.create_connection(("127.0.0.1", KERNEL), timeout=10)
    s.sendall(b"AMQP\0\0\x09\x01")
    need(s.recv(4096)[:1] == b"\x01", "no connection.start")
    return s


def by_core(broker):
    return [core["connections"] for core in broker.status()["cores"]]


def wait_for(broker, count):
    end = time.monotonic() + 10
    while sum(by_core(broker)) != count:
        need(time.monotonic() < end, "connections: %s" % by_core(broker))
        time.sleep(0.05)


def every_core_serves(broker, work):
    """each of four cores has connections of a port, and tcp lists them all"""
    kept = [connect("lan") for _ in range(MANY)]
    need(len(by_core(broker)) == CORES and min(by_core(broker)) >= MANY // CORES // 4, "%s" % by_core(broker))
    done = broker.ctl("tcp", "--json", "--state", "established")
    entries = json.loads(done.stdout)
    need(sorted(e["peer"] for e in entries) == sorted("%s:%d" % s.getsockname() for s in kept), "peers")
    need({e["core"] for e in entries} == set(range(CORES)), "cores: %s" % {e["core"] for e in entries})
    try:
        connect("lan").close()
        raise AssertionError("more than limits.connections")
    except (OSError, AssertionError) as refused:
        need("more than" not in str(refused), str(refused))
    for s in kept:
        close_orderly(s)
    wait_for(broker, 0)


def few_kernel_connections(broker, work):
    """four kernel connections are one on each core"""
    kept = [kernel_connect() for _ in range(CORES)]
    need(by_core(broker) == [1] * CORES, "%s" % by_core(broker))
    for s in kept:
        close_orderly(s)
    wait_for(broker, 0)


def one_answers(broker, work):
    """echo requests are answered once each"""
    echo = Echo("lan")
    echo.send(20)
    echo.receive(20)
    echo.socket.settimeout(0.3)
    try:
        echo.receive(1)
        raise AssertionError("answered twice")
    except socket.timeout:
        pass
    echo.close()


def captured_once(broker, work):
    """a capture has the frames of all cores, each once"""
    path = os.path.join(work, "cores.pcapng")
    capture = Capture(broker, path, "--tcp-port", str(AMQP))
    for _ in range(8):
        close_orderly(connect("lan"))
    capture.stop()
    opened = [f["tcp.srcport"] for f in frames(path) if int(f["tcp.flags"], 16) == 2]
    need(len(opened) == 8 == len(set(opened)), "opened: %s" % opened)
    # The kernel moves a flow to the queue that answers it while the handshake's ACK waits in another: where that
    # core is slow the connection has come and gone by then, and the old ACK is answered with a reset.
    odd = [line for line in anomalies(path) if "[RST]" not in line]
    need(odd == [], "anomalies: %s" % odd)


def where_time_goes(broker, work):
    """stats: cores, sources, rings, pools and a histogram; asking disturbs no core"""
    before = stats(broker)
    after = stats(broker)
    need(len(after["cores"]) == CORES and [c["core"] for c in after["cores"]] == list(range(CORES)), "cores")
    turns = sum(a["turns"] - b["turns"] for a, b in zip(after["cores"], before["cores"]))
    need(turns < 200, "asking cost %d turns" % turns)
    for core in after["cores"]:
        need(core["turns"] >= core["turns_busy"] > 0 and 0 <= core["busy_percent"] < 50, core)
        need(core["turn_max_us"] >= core["turn_max_by_us"] > 0, core)
        need(core["gap_us"] >= max(core["gap_max_us"], 20 * core["gaps"]), core)
        need(core["turn_max_by"] in {s["source"] for s in after["sources"]}, core)
    need({s["source"] for s in after["sources"]} >= {"calls", "bypass", "ksock", "amqp091"}, "sources")
    need(sum(r["given"] for r in after["rings"]) > 0 and all(r["full"] == 0 for r in after["rings"]), "rings")
    need(all(0 <= p["low_water"] <= p["capacity"] for p in after["pools"]), "pools")
    for row in after["rx_to_tx"]:
        need(0 < row["p50_us"] <= row["p99_us"] <= row["max_us"], row)
        counted = sum(b["count"] for b in after["rx_to_tx_buckets"] if b["core"] == row["core"])
        need(counted == row["count"], row)
    text = broker.ctl("stats").stdout
    need("busy_percent" in text and "rx_to_tx" in text and "buckets" not in text, text)
    need("rx_to_tx_buckets" in broker.ctl("stats", "--all").stdout, "--all")


def profiled(broker, work):
    """profile: each core's phases, shares that make up the whole, and only so long as was asked for"""
    begin = time.monotonic()
    done = broker.ctl("profile", "--seconds", "1", "--json")
    took = time.monotonic() - begin
    need(done.returncode == 0 and took >= 1, "%s s: %s" % (took, done.stderr))
    found = json.loads(done.stdout)
    need(1 <= found["seconds"] and [c["core"] for c in found["cores"]] == list(range(CORES)), done.stdout)
    names = [row["phase"] for row in found["phases"] if row["core"] == 0]
    need({"rx", "tcp in", "frame", "route", "queue", "deliver", "tcp out", "tx"} <= set(names), names)
    for core in found["cores"]:
        rows = [row for row in found["phases"] if row["core"] == core["core"]]
        seen = sum(row["seen"] for row in rows)
        need(core["looks"] > 100 and seen <= core["looks"], core)
        need(seen == 0 or abs(sum(row["percent"] for row in rows) - 100) < 1, rows)
    need("tcp in" in broker.ctl("profile", "--seconds", "1").stdout, "as text")
    for words in (["--seconds", "0"], ["--seconds", "x"], ["now"]):
        need(broker.ctl("profile", *words).returncode == 2, words)


def ticks(broker):
    done = subprocess.run("cat /proc/%d/task/*/stat" % broker.process.pid, shell=True, capture_output=True, text=True)
    return sum(int(n) for line in done.stdout.splitlines() for n in line.rsplit(")", 1)[1].split()[11:13])


def idle_is_cheap(broker, work):
    """four idle cores sleep"""
    before = ticks(broker)
    time.sleep(3)
    need(ticks(broker) - before <= 6, "%d ticks in 3 s" % (ticks(broker) - before))


CASES = [every_core_serves, few_kernel_connections, one_answers, captured_once, where_time_goes, profiled, idle_is_cheap]


def start(work):
    return Broker(work, CONFIG)
