# SPDX-License-Identifier: Apache-2.0
"""What is tried: each function plays the kernel's side with ordinary sockets, against the program p."""
import errno
import hashlib
import random
import socket
import struct
import threading
import time

from program import DEVICE, TIMEOUT_S, need, until

ECHO, SLOW, RESET, FAREWELL, HOLD = 7, 8, 9, 10, 11  # service.h has them
STALL_S = 1.5
TCP_USER_TIMEOUT = 18


def read_all(s):
    parts = []
    while part := s.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def same(sent, received):
    need(hashlib.sha256(received).digest() == hashlib.sha256(sent).digest(),
         f"{len(received)} bytes came back, of {len(sent)}, or they differ")


def echoed(p, port, data, receive_buffer=None, pause_s=0):
    """Sends data, closes that side, and returns what comes back until the other side is closed as well."""
    with p.connect(port, receive_buffer) as s:
        def send():
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        time.sleep(pause_s)
        received = read_all(s)
        sender.join(TIMEOUT_S)
        return received


def in_parallel(count, work):
    """Runs work(i) for every i below count in threads of their own; the first error is raised."""
    errors = []

    def guarded(i):
        try:
            work(i)
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)
    threads = [threading.Thread(target=guarded, args=(i,), daemon=True) for i in range(count)]
    for t in threads:
        t.start()
    end = time.monotonic() + 2 * TIMEOUT_S
    for t in threads:
        t.join(max(0, end - time.monotonic()))
    if errors:
        raise errors[0]
    need(not any(t.is_alive() for t in threads), "not all came to an end")


class EchoServer:
    """The kernel's side of what the stack opens."""

    def __init__(self, p):
        self.listener = socket.create_server((p.kernel, 0), family=p.family, backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self.port

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            s.settimeout(TIMEOUT_S)
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    @staticmethod
    def serve(s):
        with s:
            try:
                while part := s.recv(1 << 16):
                    s.sendall(part)
            except OSError as error:
                print(f"# the kernel's echo: {error}")


def opened_by_the_stack(p, count, size):
    with EchoServer(p) as port:
        good = p.ask("open", port, count, size)
        need(good == str(count), f"{good} of {count} came back whole")


def transfer(size=400_000):
    """There and back, opened by the kernel and then by the stack."""
    def both_ways(p):
        data = random.randbytes(size)
        same(data, echoed(p, ECHO, data))
        opened_by_the_stack(p, 1, size)
    return both_ways


def with_faults(size, *happened, **faults):
    """transfer() over a link with these faults; each counter in happened has moved by the end."""
    def scenario(p):
        before = p.faults()
        p.link(**faults)
        transfer(size)(p)
        for name in happened:
            need(p.faults()[name] > before[name], f"the link did nothing that counts as {name}")
    return scenario


def bulk_to_the_server(p):
    """5 MB there and back over a bad link."""
    data = random.randbytes(5_000_000)
    same(data, echoed(p, ECHO, data))
    need(p.counter("tcp_resent") > 0, "the link lost nothing")


def bulk_as_client(p):
    """5 MB there and back, opened by the stack."""
    opened_by_the_stack(p, 1, 5_000_000)


def fifty_at_once(p):
    """50 connections each way, 100 kB each."""
    def one(i):
        data = random.Random(i).randbytes(100_000)
        same(data, echoed(p, ECHO, data))
    in_parallel(50, one)
    opened_by_the_stack(p, 50, 100_000)


def half_close_by_the_stack(p):
    """The stack closes its side first and goes on reading."""
    with p.connect(FAREWELL) as s:
        need(read_all(s) == b"farewell", "no farewell")
        s.sendall(bytes(300_000))
        s.shutdown(socket.SHUT_WR)
        until(lambda: p.ask("farewell") == "300000", "300,000 bytes are read")


def half_close_by_the_kernel(p):
    """The kernel closes its side first; what the stack still has to send all comes."""
    data = random.randbytes(300_000)
    with p.connect(SLOW, receive_buffer=4096) as s:
        s.sendall(data[:60_000])
        s.shutdown(socket.SHUT_WR)
        same(data[:60_000], read_all(s))


def half_close_by_a_late_kernel(p):
    """The same over a link that becomes slow meanwhile, as a busy kernel is: the stack's FIN goes out once more as a
    tail loss probe, and the kernel, in TIME-WAIT, acknowledges that one to a connection that is gone."""
    before = p.counter("tcp_tlp")
    data = random.randbytes(10_000)  # all of it leaves at once, with the FIN
    with p.connect(SLOW) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        until(lambda: p.ask("stalled") == str(len(data)), "all of it has come")
        p.link(delay_us=10_000)
        same(data, read_all(s))
    until(lambda: p.usage()["conns"] == 0, "the stack's side is over")
    time.sleep(0.05)  # a link that becomes quick would let what is sent now overtake the second ACK
    need(p.counter("tcp_tlp") > before, "there was no probe")


def the_stack_does_not_read(p):
    """The stack's window closes for seconds."""
    data = random.randbytes(2_000_000)
    began = time.monotonic()
    same(data, echoed(p, SLOW, data))
    need(time.monotonic() - began >= STALL_S, "it did not stall")


def the_kernel_does_not_read(p):
    """The kernel's window closes for seconds; the stack probes it."""
    before = p.counter("tcp_window_probes")
    data = random.randbytes(2_000_000)
    same(data, echoed(p, ECHO, data, receive_buffer=8192, pause_s=STALL_S))
    need(p.counter("tcp_window_probes") > before, "no window was probed")


def reset_by_the_stack(p):
    """The kernel sees the stack's reset."""
    with p.connect(RESET) as s:
        s.sendall(b"x")
        try:
            need(s.recv(1) != b"", "closed, not reset")
        except ConnectionResetError:
            return
    raise AssertionError("no reset came")


def reset_by_the_kernel(p):
    """The stack takes the kernel's reset."""
    before = p.counter("tcp_rst_in")
    with p.connect(ECHO) as s:
        s.sendall(b"x")
        need(s.recv(1) == b"x", "no echo")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: p.counter("tcp_rst_in") > before, "the reset is taken")


def kernel_closes_with_unread_data(p):
    """The kernel resets when its application closes and has not read all (RFC 2525 section 2.17)."""
    before = p.counter("tcp_rst_in")
    with p.connect(ECHO) as s:
        s.sendall(bytes(1000))
        until(lambda: len(s.recv(1000, socket.MSG_PEEK)) == 1000, "the echo is there")
    until(lambda: p.counter("tcp_rst_in") > before, "the reset is taken")


def refused(p):
    """Nobody listens: on either side the other is told."""
    try:
        p.connect(1).close()
    except ConnectionRefusedError:
        need(p.ask("open", 1, 1, 1) == "0", "the stack connected to nobody")
        return
    raise AssertionError("the kernel connected to nobody")


def urgent_data(p):
    """The kernel's urgent bytes are read in line (RFC 6093 section 6)."""
    before = p.counter("tcp_urgent")
    with p.connect(ECHO) as s:
        s.sendall(b"before")
        s.send(b"!", socket.MSG_OOB)
        s.sendall(b"between")
        s.send(b"?!", socket.MSG_OOB)
        s.sendall(b"after")
        s.shutdown(socket.SHUT_WR)
        same(b"before!between?!after", read_all(s))
    need(p.counter("tcp_urgent") > before, "no urgent pointer came")


# Each of these is held up while the link is dark, at the same time.

def error_of(s):
    """What a blocked read ends with."""
    try:
        return 0 if s.recv(1) == b"" else None
    except OSError as error:
        return error.errno


def hold(p, *options):
    s = p.connect(HOLD)
    for level, name, value in options:
        s.setsockopt(level, name, value)
    return s


KEEPALIVE = ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1),
             (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1), (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2))


def keepalive(p):
    """Both sides probe an idle connection and answer each other's probes; it lives."""
    before = p.counter("tcp_keepalives")
    with hold(p, *KEEPALIVE) as s:
        time.sleep(2.5)
        need(p.counter("tcp_keepalives") > before, "the stack sent no probe")
        need(p.ask("held") == "1 open", "the stack gave the connection up")
        s.sendall(b"x")
        s.shutdown(socket.SHUT_WR)
        need(error_of(s) == 0, "the kernel gave the connection up")


def dark_link_idle(p):
    """Unanswered keepalives end an idle connection, on each side by its own clock."""
    with hold(p, *KEEPALIVE) as s:
        p.link(dark=1)
        need(error_of(s) == errno.ETIMEDOUT, "the kernel's side did not time out")
        until(lambda: p.ask("held").startswith("0 "), "the stack gives up as well")
    need(p.ask("held") == "0 timed out", p.ask("held"))


def dark_link_busy(p):
    """Unanswered data ends a connection after the user timeout (RFC 5482), on each side by its own clock."""
    with hold(p, (socket.IPPROTO_TCP, TCP_USER_TIMEOUT, 2000)) as s:
        p.link(dark=1)
        began = time.monotonic()
        s.sendall(b"is anybody there?")
        need(p.ask("write", 100) == "0", "the stack did not take the data")
        need(error_of(s) == errno.ETIMEDOUT, "the kernel's side did not time out")
        need(time.monotonic() - began > 1.9, "too early")
        until(lambda: p.ask("held").startswith("0 "), "the stack gives up as well")
    need(p.ask("held") == "0 timed out", p.ask("held"))


# Thousands of connections.

SHORT, SHORT_BY_THE_STACK = 10_000, 2_000


def kernel_sockets():
    """{state: how many}: /proc/net/tcp's states in this namespace."""
    counts = {}
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}", encoding="ascii") as lines:
            next(lines)
            for line in lines:
                state = int(line.split()[3], 16)
                counts[state] = counts.get(state, 0) + 1
    return counts


def at_rest(p):
    """Nothing is left in the stack, and the kernel has listening and TIME-WAIT sockets alone."""
    until(lambda: not any(p.usage().values()), "the stack is empty")
    until(lambda: not set(kernel_sockets()) - {6, 10}, "the kernel's sockets are gone")


def ten_thousand_short(p):
    """10,000 connections, 20 at a time, a half closed first by either side; then 2,000 that the stack opens."""
    before = p.counter("tcp_accepted")

    def some(i):
        for n in range(SHORT // 40):
            data = b"%d of %d" % (n, i)
            same(data, echoed(p, ECHO, data))
            with p.connect(FAREWELL) as s:
                need(read_all(s) == b"farewell", "no farewell")
    in_parallel(20, some)
    need(p.counter("tcp_accepted") - before == SHORT, "not all were accepted")
    for _ in range(SHORT_BY_THE_STACK // 250):
        opened_by_the_stack(p, 250, 20)
    at_rest(p)


def congestion_marked(p):
    """transfer() on a link that marks instead of dropping: the stack slows down without a loss."""
    p.link(congestion=20)
    transfer(2_000_000)(p)
    need(p.faults()["marked"] > 0, "nothing was marked")
    need(p.counter("tcp_ecn_ce_in") > 0, "no mark came to the stack")
    need(p.counter("tcp_ecn_cwr_out") > 0, "the stack did not say that it slows down")
    need(p.counter("tcp_fast_retransmit") == 0, "a loss was found")


def no_ecn(p):
    """transfer() where ECN was not agreed on: the link finds nothing to mark."""
    p.link(congestion=500)
    transfer(400_000)(p)
    need(p.faults()["marked"] == 0, "packets were ECN-capable")


def other_vlans_are_dropped(p):
    """The link has mixed in frames without the tag and with another one."""
    transfer(400_000)(p)
    need(p.counter("eth_vlan") > 0, "no such frame came")


def addresses_are_tested(p):
    """RFC 4862: the stack's IPv6 addresses come into use when nobody has objected."""
    until(lambda: p.counter("nd_solicits_out") >= 2, "each is tested")
    until(lambda: int(p.ask("addresses")) >= 3, "all addresses are in use")
    need(p.counter("nd_duplicate") == 0, "somebody objected")


# A flood of connection requests from senders that are nowhere (198.18.0.0/15 is for tests).

FLOOD_QUEUED = 1000
STACK_MAC, FLOOD_MAC = bytes.fromhex("02000000004d"), bytes.fromhex("020000000099")


def ones_complement(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~((total & 0xffff) + (total >> 16)) & 0xffff


def syn_frame(port):
    source = struct.pack(">I", 0xc6120000 | random.getrandbits(17))
    target = socket.inet_aton("10.77.0.2")
    tcp = struct.pack(">HHIIBBHHHBBH", random.randrange(1024, 65536), port, random.getrandbits(32), 0, 6 << 4, 2,
                      8192, 0, 0, 2, 4, 1460)
    check = ones_complement(source + target + struct.pack(">HH", 6, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack(">H", check) + tcp[18:]
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + source + target
    header = header[:10] + struct.pack(">H", ones_complement(header)) + header[12:]
    return STACK_MAC + FLOOD_MAC + b"\x08\x00" + header + tcp


def flood(count, *moved, good=400):
    """count half-open attempts from as many senders; meanwhile good clients connect, are served and close, and
    every one of them succeeds. Each counter in moved has moved by the end."""
    def scenario(p):
        before, began = p.counter("tcp_syn_in"), time.monotonic()
        served, over = [], threading.Event()

        def client(i):
            while not over.is_set() or len(served) < good:
                data = b"client %d, %d" % (i, len(served))
                same(data, echoed(p, ECHO, data))
                served.append(i)

        def attack(_):
            try:
                with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
                    s.bind((DEVICE, 0))
                    sent = 0
                    while (seen := p.counter("tcp_syn_in") - before - len(served)) < count:
                        need(time.monotonic() < began + TIMEOUT_S, f"only {seen} attempts came")
                        # No more are under way than the device's queue holds: it would lose good clients' as well.
                        while sent < seen + FLOOD_QUEUED:
                            s.send(syn_frame(ECHO))
                            sent += 1
            finally:
                over.set()
        in_parallel(5, lambda i: attack(i) if i == 4 else client(i))
        seen = p.counter("tcp_syn_in") - before - len(served)
        for name in moved:
            need(p.counter(name) > 0, f"{name} is 0")
        at_rest(p)
        return f"{seen} attempts, {len(served)} good clients, {time.monotonic() - began:.1f} s"
    return scenario
