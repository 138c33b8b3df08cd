# SPDX-License-Identifier: Apache-2.0
"""godwitctl tcp."""
import json
import time

from broker import AMQP, BROKER, HOST, close_orderly, connect, need

MANY = 300


def listed(broker, *words):
    done = broker.ctl("tcp", "--json", *words)
    need(done.returncode == 0, done.stderr)
    return json.loads(done.stdout)


def each_connection(broker, work):
    """each connection of each port with what TCP knows of it"""
    kept = [connect(port) for port in ("lan", "wan")]
    ends = {"%s:%d" % s.getsockname() for s in kept}
    entries = listed(broker, "--state", "established")
    need({e["peer"] for e in entries} == ends, "peers: %s" % entries)
    for e in entries:
        need(e["local"] == "%s:%d" % (BROKER[e["port"]], AMQP) and e["peer"].startswith(HOST[e["port"]]), e)
        need(e["bytes_received"] == 8 and e["bytes_sent"] > 100 and e["bytes_sent"] == e["bytes_acked"], e)
        need(e["segments_received"] >= 3 and e["segments_sent"] >= 1 and e["mss_bytes"] > 1000, e)
        need(e["srtt_us"] > 0 and e["rto_us"] > 0 and e["cwnd_bytes"] > 0 and e["send_queue_bytes"] == 0, e)
        need("ts" in e["options"] and e["recovery"] == "none" and e["retransmits"] == 0, e)
        need(0 < e["last_ack_us"] < 10_000_000, e)
    need([e["port"] for e in listed(broker, "wan", "--state", "ESTABLISHED")] == ["wan"], "of one port")
    need(listed(broker, "--tcp-port", "1") == [], "of no port")
    source = kept[0].getsockname()[1]
    need(len(listed(broker, "--tcp-port", str(source))) == 1, "of the client's port")
    text = broker.ctl("tcp", "--state", "ESTABLISHED").stdout
    for word in ("State", "%s:%d" % kept[0].getsockname(), "rtt:", "cwnd:", "lastsnd:", "mss:"):
        need(word in text, "%s in %s" % (word, text))
    for s in kept:
        close_orderly(s)


def many_connections(broker, work):
    """hundreds of connections are all there, once each"""
    kept = [connect("lan" if i % 2 else "wan") for i in range(MANY)]
    begin = time.monotonic()
    entries = [e for e in listed(broker) if e["state"] == "ESTABLISHED"]
    took = time.monotonic() - begin
    peers = [e["peer"] for e in entries]
    need(sorted(peers) == sorted("%s:%d" % s.getsockname() for s in kept), "%d of %d" % (len(set(peers)), MANY))
    need(took < 3, "it took %.1f s" % took)
    for s in kept:
        s.close()


def refusals(broker, work):
    """wrong arguments of tcp are refused with a reason"""
    for words, code, text in ((("eth0",), 1, "there is no port eth0"), (("--tcp-port", "0"), 2, "--tcp-port takes"),
                              (("lan", "wan"), 2, "one port at a time"), (("--color",), 2, "unknown option")):
        done = broker.ctl("tcp", *words)
        need(done.returncode == code and text in done.stderr, "%s: %d %s" % (words, done.returncode, done.stderr))
    need("usage:" in broker.ctl("tcp", "--help").stdout, "--help")


CASES = [each_connection, many_connections, refusals]
