# SPDX-License-Identifier: Apache-2.0
"""What a broker leaves on the host when it has become an ordinary user and ends: nothing. Each case has brokers of its
own."""
import os
import signal
import subprocess
import time

from broker import TIMEOUT_S, Broker, need

CONFIG = """
ports: [{name: pair, device: '%s', addresses: [192.0.2.1/24, "fd00:19::1/64"], gateway6: none, mtu: 1300}]
listeners: [{name: amqp, transport: bypass, port: pair}]
memory: {messages: 16M, buffers: 2048, hugepages: off}
control: {socket: %%s}
"""

NOBODYS = """
ports: [{name: none, device: net_null0, address: 192.0.2.1/24}]
listeners: [{name: amqp, transport: bypass, port: none}]
memory: {messages: 16M, buffers: 2048, hugepages: on}
control: {socket: %s}
"""
PAGES = 100


def link():
    return subprocess.run(["ip", "-details", "link", "show", "gwhost0"], check=True, capture_output=True, text=True).stdout


def untouched(work):
    """Whether it is as it was made, and no socket is left."""
    text = link()
    return ("prog/xdp" not in text and "PROMISC" not in text and "mtu 1400" in text and
            not os.path.exists(os.path.join(work, "vhost.sock")))


def ends_without_a_trace(work, device, seen):
    """Ended by a signal and by SIGKILL, and begun again each time."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        broker = Broker(work, CONFIG % device)
        try:
            need(seen(), "the port cannot be seen: " + link())
            broker.process.send_signal(number)
            broker.process.wait(TIMEOUT_S)
        finally:
            broker.kill()
        deadline = time.monotonic() + TIMEOUT_S
        while not untouched(work):
            need(time.monotonic() < deadline, "after signal %d: %s" % (number, link()))
            time.sleep(0.02)


def xdp(work):
    """a port on AF_XDP is gone from its interface, however the broker ends"""
    # libxdp loses an object where an ordinary user closes its socket.
    before = os.environ.get("ASAN_OPTIONS", "")
    os.environ["ASAN_OPTIONS"] = before + ":detect_leaks=0"
    try:
        ends_without_a_trace(work, "net_af_xdp0,iface=gwhost0", lambda: "prog/xdp" in link() and "mtu 1300" in link())
    finally:
        os.environ["ASAN_OPTIONS"] = before


def packet(work):
    """a port on AF_PACKET is gone from its interface, however the broker ends"""
    ends_without_a_trace(work, "net_af_packet0,iface=gwhost0", lambda: "PROMISC" in link() and "mtu 1300" in link())


def vhost(work):
    """the socket of a vhost port is gone, however the broker ends"""
    path = os.path.join(work, "vhost.sock")
    ends_without_a_trace(work, "net_vhost0,iface=" + path, lambda: os.path.exists(path))


def pages(count=None):
    """Hugepages of 2 MiB that there are, or shall be."""
    path = "/proc/sys/vm/nr_hugepages"
    if count is not None:
        with open(path, "w", encoding="ascii") as f:
            f.write(str(count))
    with open(path, encoding="ascii") as f:
        return int(f.read())


def as_nobody(work, seconds):
    """What a broker says that was never root, and is asked to end after so long."""
    path = os.path.join(work, "nobody.yaml")
    with open(path, "w", encoding="ascii") as f:
        f.write(NOBODYS % os.path.join(work, "nobody.sock"))
    os.chmod(path, 0o644)
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "timeout", "-s", "INT", str(seconds), os.environ["GODWIT"],
             "--config", path]
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout


def nobodys_hugepages(work):
    """a broker that never was root takes hugepages that are there, and says how many are missing"""
    before = pages()
    try:
        need(pages(before + PAGES) == before + PAGES, "the kernel can spare no hugepages")
        said = as_nobody(work, 5)
        need("MiB for buffers, in hugepages" in said, said)
        if before == 0:
            pages(1)
            said = as_nobody(work, 5)
            need("more of 2 MiB are wanted, and only root can reserve them" in said, said)
    finally:
        pages(before)


CASES = [xdp, packet, vhost, nobodys_hugepages]


def prepare():
    """The pair that the cases are about."""
    for words in ("link add gwhost0 mtu 1400 type veth peer name gwhost1", "link set gwhost0 up", "link set gwhost1 up"):
        subprocess.run(["ip", *words.split()], check=True)
