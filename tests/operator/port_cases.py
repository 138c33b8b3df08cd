# SPDX-License-Identifier: Apache-2.0
"""More than one port at once."""
import os
import socket
import subprocess
import time

from broker import AMQP, TIMEOUT_S, close_orderly, connect, need
from capture_cases import Capture
import pcapng

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


def arp_request(tag):
    """Who has the broker's address on the tagged port."""
    own = bytes.fromhex(open("/sys/class/net/tagged/address").read().strip().replace(":", ""))
    ends = [socket.inet_aton(a) for a in ("198.18.8.1", "198.18.8.2")]
    return (b"\xff" * 6 + own + tag + b"\x08\x06" + bytes.fromhex("0001080006040001") + own + ends[0] + bytes(6) +
            ends[1] + bytes(18))


def vlan(broker, work):
    """a port's VLAN: tagged frames are answered with the tag, untagged and otherwise tagged ones are not"""
    path = os.path.join(work, "vlan.pcapng")
    capture = Capture(broker, path, "tagged")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind(("tagged", 0))
        for tag in (b"", b"\x81\0\0\x07", b"\x81\0\0\x08"):
            s.send(arp_request(tag))
    capture.stop()
    lines = pcapng.tshark(path, "-Y", "arp", "-T", "fields", "-e", "arp.opcode", "-e", "vlan.id").splitlines()
    asked = [line for line in lines if line.startswith("1\t")]
    need({"1\t", "1\t7", "1\t8"} <= set(asked), "the requests: %s" % lines)
    need([line for line in lines if line.startswith("2\t")] == ["2\t7"], "the answers: %s" % lines)


def port_of(broker, name):
    return {port["name"]: port for port in broker.status()["ports"]}[name]


def eventually(of, wanted, text):
    deadline = time.monotonic() + TIMEOUT_S
    while not wanted(of()):
        need(time.monotonic() < deadline, "%s: %s" % (text, of()))
        time.sleep(0.1)


def devices(broker, work):
    """what the devices count is told, and a link that goes and comes back is logged; its connections go on"""
    frames = port_of(broker, "wan")["rx_frames"]
    with connect("wan") as s:
        eventually(lambda: port_of(broker, "wan"), lambda p: p["device_rx_frames"] >= frames + 3 and p["link_up"], "counters")
        subprocess.run(["ip", "link", "set", "wan", "down"], check=True)
        eventually(lambda: port_of(broker, "wan")["link_up"], lambda up: not up, "link")
        eventually(broker.log, lambda log: "wan: the link is down" in log, "log")
        subprocess.run(["ip", "link", "set", "wan", "up"], check=True)
        eventually(lambda: port_of(broker, "wan")["link_up"], lambda up: up, "link")
        eventually(broker.log, lambda log: "wan: the link is up" in log, "log")
        close_orderly(s)


CASES = [both_ports_serve, several_addresses, vlan, devices]
