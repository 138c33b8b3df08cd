# SPDX-License-Identifier: Apache-2.0
"""More than one port at once."""
import socket
import subprocess
import time

from broker import AMQP, TIMEOUT_S, close_orderly, connect, need

EVERYWHERE = 5675


def counters(broker):
    return {port["name"]: (port["rx_frames"], port["tx_frames"]) for port in broker.status()["ports"]}


def both_ports_serve(broker, work):
    """two TAP ports serve at once, each its own connections"""
    before = counters(broker)
    need(set(before) == {"lan", "wan", "tagged"}, "the ports are %s" % before)
    kept = [connect(port) for port in ("lan", "wan", "lan", "wan", "wan")]
    tcp = {port["port"]: port["connections"] for port in broker.status()["tcp"]}
    need(tcp == {"lan": 2, "wan": 3, "tagged": 0}, "connections: %s" % tcp)
    need(broker.status()["connections"] == 5, "AMQP connections")
    after = counters(broker)
    for port in ("lan", "wan"):
        need(after[port][0] >= before[port][0] + 3 and after[port][1] >= before[port][1] + 2,
             "port %s: %s, then %s" % (port, before[port], after[port]))
    for s in kept:
        close_orderly(s)


def answers(address, tcp_port):
    """Whether the broker speaks AMQP there."""
    with socket.create_connection((address, tcp_port), timeout=TIMEOUT_S) as s:
        s.sendall(b"AMQP\0\0\x09\x01")
        return s.recv(4096)[:1] == b"\x01"


def several_addresses(broker, work):
    """several addresses of a port, IPv4 and IPv6: one listener on all, others on one alone"""
    subprocess.run(["ip", "-6", "address", "add", "fd00:18::1/64", "dev", "lan", "nodad"], check=True)
    lan = {port["name"]: port for port in broker.status()["ports"]}["lan"]
    need(lan["addresses"] == ["198.18.0.2/29", "198.18.0.3/29", "fd00:18::2/64"], lan["addresses"])
    deadline = time.monotonic() + TIMEOUT_S
    for address in ("198.18.0.2", "198.18.0.3", "fd00:18::2"):
        while True:
            try:
                need(answers(address, EVERYWHERE), address)
                break
            except OSError:
                # an IPv6 address is tested before it is used
                need(time.monotonic() < deadline, address + " does not answer")
                time.sleep(0.1)
    try:
        answers("198.18.0.3", AMQP)
        raise AssertionError("the listener of one address answers on another")
    except ConnectionRefusedError:
        pass


def vlan(broker, work):
    """a port's VLAN: tagged frames reach it, untagged ones do not"""
    subprocess.run(["ip", "link", "add", "link", "tagged", "name", "tagged.7", "type", "vlan", "id", "7"], check=True)
    subprocess.run(["ip", "address", "flush", "dev", "tagged"], check=True)
    subprocess.run(["ip", "address", "add", "198.18.8.1/30", "dev", "tagged.7"], check=True)
    subprocess.run(["ip", "link", "set", "tagged.7", "up"], check=True)
    need(answers("198.18.8.2", AMQP), "through the VLAN")
    subprocess.run(["ip", "link", "delete", "tagged.7"], check=True)
    subprocess.run(["ip", "address", "add", "198.18.8.1/30", "dev", "tagged"], check=True)
    try:
        socket.create_connection(("198.18.8.2", AMQP), timeout=0.5).close()
        raise AssertionError("it answers without the tag")
    except OSError:
        pass


CASES = [both_ports_serve, several_addresses, vlan]
