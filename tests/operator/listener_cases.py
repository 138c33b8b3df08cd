# SPDX-License-Identifier: Apache-2.0
"""What a listener's own keys do."""
import json
import socket

from broker import BROKER, close_orderly, connect, need

DENIED, ALLOWED = 5673, 5674


def filtered(broker):
    return sum(port["counters"]["tcp_filtered"] for port in broker.status()["tcp"])


def allow_and_deny(broker, work):
    """allow and deny: the longest prefix decides, who is denied gets no answer, and is counted"""
    before = filtered(broker)
    s = socket.socket()
    s.settimeout(0.5)
    try:
        s.connect((BROKER["lan"], DENIED))
        raise AssertionError("the denied one gets in")
    except socket.timeout:
        pass
    finally:
        s.close()
    need(filtered(broker) > before, "it is not counted")
    close_orderly(connect("lan", tcp_port=ALLOWED))


def own_tcp(broker, work):
    """congestion, rto_min and nodelay of a listener are those of its connections"""
    both = {"5672": connect("lan"), "5674": connect("lan", tcp_port=ALLOWED)}
    listed = json.loads(broker.ctl("tcp", "--json", "--state", "ESTABLISHED", "lan").stdout)
    found = {e["local"].split(":")[1]: e for e in listed}
    need(set(found) == set(both), found)
    need(found["5672"]["congestion_control"] == "cubic" and "nodelay" in found["5672"]["options"], found)
    need(found["5672"]["rto_us"] >= 200_000, found)
    need(found["5674"]["congestion_control"] == "newreno" and "nodelay" not in found["5674"]["options"], found)
    need(5_000 <= found["5674"]["rto_us"] < 200_000, found)
    for s in both.values():
        close_orderly(s)


CASES = [allow_and_deny, own_tcp]
