# SPDX-License-Identifier: Apache-2.0
"""godwitctl capture, read by tshark."""
import os
import re
import signal
import subprocess
import time

from broker import AMQP, BROKER, HOST, Echo, close_orderly, connect, need
import pcapng

IN, OUT = "0x00000001", "0x00000002"


class Capture:
    """A running capture; frames pass only once it is attached."""

    def __init__(self, broker, path, *words):
        self.path = path
        lines = broker.log().count("\n")
        self.process = broker.ctl_start("capture", "-w", path, *words)
        deadline = time.monotonic() + 5
        while '"capture"' not in "\n".join(broker.log().split("\n")[lines:]):
            if self.process.poll() is not None:
                raise AssertionError("it ended: %r" % (self.process.communicate(),))
            need(time.monotonic() < deadline, "it does not begin")
            time.sleep(0.01)

    def wait(self):
        _, said = self.process.communicate(timeout=10)
        need(self.process.returncode == 0, "exit %d: %s" % (self.process.returncode, said))
        return said.decode()

    def stop(self):
        time.sleep(0.05)
        self.process.send_signal(signal.SIGINT)
        return self.wait()


def told(said, port):
    """What the program says of a port: (passed, matched, written, dropped)."""
    found = re.search(r"%s: (\d+) frames passed, (\d+) matched, (\d+) written, (\d+) dropped" % port, said)
    need(found, "it says: " + said)
    return tuple(int(n) for n in found.groups())


def addresses(frame):
    return frame["ip.src"], frame["ip.dst"]


def both_directions(broker, work):
    """both directions of one port, whole connections, right checksums, Ctrl-C ends it"""
    path = os.path.join(work, "lan.pcapng")
    capture = Capture(broker, path, "lan")
    for port in ("lan", "wan"):
        close_orderly(connect(port))
    said = capture.stop()
    need("ended by request" in said, said)
    frames = pcapng.frames(path)
    tcp = [f for f in frames if f["tcp.flags"]]
    need({f["frame.interface_name"] for f in frames} == {"lan"}, "interfaces")
    for f in tcp:
        want = (HOST["lan"], BROKER["lan"]) if f["frame.packet_flags_direction"] == IN else (BROKER["lan"], HOST["lan"])
        need(addresses(f) == want, "direction %s: %s" % (f["frame.packet_flags_direction"], addresses(f)))
    flags = [(f["frame.packet_flags_direction"], int(f["tcp.flags"], 16) & 0x17) for f in tcp]
    for wanted in ((IN, 2), (OUT, 0x12), (IN, 0x11), (OUT, 0x11)):
        need(wanted in flags, "no segment %s in %s" % (wanted, flags))
    need(flags[0] == (IN, 2) and flags[1] == (OUT, 0x12), "it begins with %s" % flags[:2])
    need(pcapng.anomalies(path) == [], "tshark complains: %s" % pcapng.anomalies(path))
    now = time.time()
    need(all(now - 60 < float(f["frame.time_epoch"]) < now for f in frames), "times")
    need(all(len(f["frame.time_epoch"].split(".")[1]) == 9 for f in frames), "nanoseconds")
    passed, matched, written, dropped = told(said, "lan")
    need((passed, matched, written, dropped) == (len(frames), len(frames), len(frames), 0), said)
    need(pcapng.statistics(path) == {0: {"received": passed, "matched": passed, "delivered": passed, "dropped": 0}},
         "statistics: %s" % pcapng.statistics(path))
    need(os.stat(path).st_mode & 0o777 == 0o600, "the file's mode")


def all_ports_and_microseconds(broker, work):
    """without a name all ports are captured; snaplen and microseconds"""
    path = os.path.join(work, "all.pcapng")
    capture = Capture(broker, path, "--snaplen", "60", "--resolution", "us")
    for port in ("lan", "wan"):
        close_orderly(connect(port))
    capture.stop()
    frames = pcapng.frames(path)
    need({f["frame.interface_name"] for f in frames} >= {"lan", "wan"}, "interfaces")
    need(max(int(f["frame.cap_len"]) for f in frames) == 60, "snaplen")
    need(max(int(f["frame.len"]) for f in frames) > 200, "the frames' own length")
    need(all(f["frame.time_epoch"].endswith("000") for f in frames), "microseconds")
    times = [float(f["frame.time_epoch"]) for f in frames]
    need(times == sorted(times), "order")


def one_connection(broker, work):
    """a filter for one connection takes both its directions and nothing else"""
    path = os.path.join(work, "one.pcapng")
    capture = Capture(broker, path, "--connection", "%s:40001,%s:%d" % (HOST["lan"], BROKER["lan"], AMQP))
    for source in (40001, 40002):
        close_orderly(connect("lan", source))
    said = capture.stop()
    frames = pcapng.frames(path)
    ports = {(f["tcp.srcport"], f["tcp.dstport"]) for f in frames}
    need(ports == {("40001", "5672"), ("5672", "40001")}, "ports: %s" % ports)
    passed, matched, written, dropped = told(said, "lan")
    need(passed > matched == written == len(frames) and dropped == 0, said)


def by_address_and_port(broker, work):
    """by address: ICMP and ARP too; by TCP port: TCP alone"""
    path, tcp_path = os.path.join(work, "host.pcapng"), os.path.join(work, "tcp.pcapng")
    echo = Echo("lan")
    for where, words in ((path, ("lan", "--host", HOST["lan"])), (tcp_path, ("lan", "--tcp-port", "5672"))):
        capture = Capture(broker, where, *words)
        subprocess.run(["ip", "neigh", "flush", "dev", "lan"], check=True)
        echo.send(3)
        echo.receive(3)
        close_orderly(connect("lan"))
        capture.stop()
    echo.close()
    types = {f["eth.type"] for f in pcapng.frames(path)}
    need(types == {"0x0800", "0x0806"}, "types: %s" % types)
    frames = pcapng.frames(path)
    need(sum(not f["tcp.flags"] and f["eth.type"] == "0x0800" for f in frames) == 6, "echoes")
    need(pcapng.frames(tcp_path) and all(f["tcp.flags"] for f in pcapng.frames(tcp_path)), "TCP alone")
    other = os.path.join(work, "other.pcapng")
    capture = Capture(broker, other, "lan", "--host", "192.0.2.0/24")
    close_orderly(connect("lan"))
    said = capture.stop()
    need(told(said, "lan")[1] == 0 and pcapng.frames(other) == [], said)


def pipe_to_tshark(broker, work):
    """capture -w - | tshark -r -, which ends when it has seen enough"""
    ctl = broker.ctl_start("capture", "-w", "-", "lan")
    tshark = subprocess.Popen(["tshark", "-n", "-l", "-r", "-", "-c", "6"], stdin=ctl.stdout, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    ctl.stdout.close()
    deadline = time.monotonic() + 10
    while tshark.poll() is None and time.monotonic() < deadline:
        close_orderly(connect("lan"))
        time.sleep(0.05)
    lines = tshark.communicate(timeout=5)[0].splitlines()
    need(len(lines) == 6 and any("SYN" in line for line in lines), "tshark prints %s" % lines)
    close_orderly(connect("lan"))
    need(ctl.wait(5) is not None, "it goes on without a reader")
    ctl.stderr.close()


def limits(broker, work):
    """packets, bytes and duration end a capture"""
    path = os.path.join(work, "limit.pcapng")
    capture = Capture(broker, path, "--packets", "5")
    close_orderly(connect("lan"))
    need("5 frames" in (said := capture.wait()) and "ended by packets" in said, said)
    need(len(pcapng.frames(path)) == 5, "frames")
    capture = Capture(broker, path, "--bytes", "1K")
    close_orderly(connect("lan"))
    need("ended by bytes" in (said := capture.wait()), said)
    need(1 <= len(pcapng.frames(path)) < 12 and os.path.getsize(path) < 2048, "size")
    begin = time.monotonic()
    capture = Capture(broker, path, "--duration", "300ms")
    close_orderly(connect("lan"))
    need("ended by duration" in (said := capture.wait()), said)
    need(0.2 < time.monotonic() - begin < 3 and len(pcapng.frames(path)) > 5, "duration")


def small_buffer(broker, work):
    """a buffer that is too small drops, and says how many: at the end, in the statistics and in between"""
    path = os.path.join(work, "small.pcapng")
    echo = Echo("lan")
    capture = Capture(broker, path, "lan", "--buffer", "4K")
    for _ in range(5):
        echo.send(100)
        echo.receive(100)
    time.sleep(0.05)
    echo.send(1)
    echo.receive(1)
    said = capture.stop()
    echo.close()
    passed, matched, written, dropped = told(said, "lan")
    frames = pcapng.frames(path)
    need(passed == matched and matched >= 1002 and written == len(frames), said)
    need(dropped > 0 and written + dropped == matched, said)
    found = pcapng.statistics(path)[0]
    need(found == {"received": passed, "matched": matched, "delivered": written, "dropped": dropped}, found)
    need(pcapng.lost_between(path) == dropped, "between packets: %d" % pcapng.lost_between(path))


def deaf_reader(broker, work):
    """a client that stops reading costs only itself: drops counted, status and clients served"""
    # nobody reads the pipe
    ctl = broker.ctl_start("capture", "-w", "-", "lan", "--buffer", "64K")
    wan = os.path.join(work, "wan.pcapng")
    capture = Capture(broker, wan, "wan")
    echo = Echo("lan", 1400)
    for _ in range(10):
        echo.send(60)
        echo.receive(60)
    begin = time.monotonic()
    broker.status()
    close_orderly(connect("wan"))
    need(time.monotonic() - begin < 3, "the broker answers after %.1f s" % (time.monotonic() - begin))
    said = capture.stop()
    need(told(said, "wan")[2] > 5 and told(said, "wan")[3] == 0, said)
    ctl.send_signal(signal.SIGINT)
    ctl.stdout.read()
    said = ctl.stderr.read().decode()
    need(ctl.wait(5) == 0, "exit %d: %s" % (ctl.returncode, said))
    passed, matched, written, dropped = told(said, "lan")
    need(dropped > 0 and passed == matched == written + dropped, said)
    ctl.stdout.close()
    ctl.stderr.close()
    echo.close()


def refusals(broker, work):
    """one capture a port; wrong arguments are refused with a reason"""
    path, second = os.path.join(work, "first.pcapng"), os.path.join(work, "second.pcapng")
    capture = Capture(broker, path, "lan")
    done = broker.ctl("capture", "-w", second)
    need(done.returncode == 1 and "port lan is being captured already" in done.stderr, done.stderr)
    need(not os.path.exists(second), "a file was made")
    capture.stop()
    for words, code, text in (
            (("-w", second, "eth0"), 1, "there is no port eth0; there are: lan, wan, tagged"),
            (("-w", second, "--host", "example.org"), 1, "host is an IPv4 or IPv6 address"),
            (("-w", second, "--connection", "1.2.3.4:5,1.2.3.4"), 1, "connection is two ends"),
            (("-w", second, "--connection", "1.2.3.4:5"), 2, "--connection takes two ends"),
            (("-w", second, "--packets", "x"), 2, "--packets"),
            (("-w", second, "--duration", "5"), 2, "--duration"),
            ((), 2, "--write FILE"),
            (("-w", "/nonexistent/x"), 1, "No such file")):
        done = broker.ctl("capture", *words)
        need(done.returncode == code and text in done.stderr, "%s: %d %s" % (words, done.returncode, done.stderr))
    need("usage:" in broker.ctl("capture", "--help").stdout, "--help")


def broker_ends(broker, work):
    """the broker's end is in the capture, which ends in order"""
    path = os.path.join(work, "end.pcapng")
    s = connect("lan")
    capture = Capture(broker, path, "lan")
    need(broker.end() == 0, "exit status")
    said = capture.wait()
    need(told(said, "lan")[2] >= 1, said)
    need(pcapng.statistics(path)[0]["delivered"] == len(pcapng.frames(path)), "statistics")
    s.close()


CASES = [both_directions, all_ports_and_microseconds, one_connection, by_address_and_port, pipe_to_tshark, limits,
         small_buffer, deaf_reader, refusals]
LAST = broker_ends
