# SPDX-License-Identifier: Apache-2.0
"""More than one port at once."""
from broker import close_orderly, connect, need


def counters(broker):
    return {port["name"]: (port["rx_frames"], port["tx_frames"]) for port in broker.status()["ports"]}


def both_ports_serve(broker, work):
    """two TAP ports serve at once, each its own connections"""
    before = counters(broker)
    need(set(before) == {"lan", "wan"}, "the ports are %s" % before)
    kept = [connect(port) for port in ("lan", "wan", "lan", "wan", "wan")]
    tcp = {port["port"]: port["connections"] for port in broker.status()["tcp"]}
    need(tcp == {"lan": 2, "wan": 3}, "connections: %s" % tcp)
    need(broker.status()["connections"] == 5, "AMQP connections")
    after = counters(broker)
    for port in before:
        need(after[port][0] >= before[port][0] + 3 and after[port][1] >= before[port][1] + 2,
             "port %s: %s, then %s" % (port, before[port], after[port]))
    for s in kept:
        close_orderly(s)


CASES = [both_ports_serve]
