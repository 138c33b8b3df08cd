# SPDX-License-Identifier: Apache-2.0
"""The inner part: starts the program, then plays the kernel's side of every scenario with ordinary sockets."""
import hashlib
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time

DEVICE, KERNEL, STACK = "kerneltcp", "10.77.0.1", "10.77.0.2"
ECHO, SLOW, RESET, FAREWELL, CONTROL = 7, 8, 9, 10, 11  # service.h has them
STALL_S = 3
BULK_BYTES = 10_000_000
TIMEOUT_S = 30
# Thousandths of the frames that are lost, doubled and late; microseconds of delay.
CLEAN, BAD = (0, 0, 0, 0), (5, 10, 20, 200)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def connect(port, receive_buffer=None):
    s = socket.socket()
    s.settimeout(TIMEOUT_S)
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.connect((STACK, port))
    return s


def read_all(s):
    parts = []
    while part := s.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def need(condition, text):
    if not condition:
        raise AssertionError(text)


def same(sent, received):
    need(hashlib.sha256(received).digest() == hashlib.sha256(sent).digest(),
         f"{len(received)} bytes came back, of {len(sent)}, or they differ")


def echoed(port, data, receive_buffer=None, pause_s=0):
    """Sends data, closes that side, and returns what comes back until the other side is closed as well."""
    with connect(port, receive_buffer) as s:
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
    for t in threads:
        t.join(2 * TIMEOUT_S)
    if errors:
        raise errors[0]


class Control:
    """The conversation with the program, over the stack itself."""

    def __init__(self):
        self.socket = connect(CONTROL)
        self.lines = self.socket.makefile("r")

    def say(self, *words):
        self.socket.sendall((" ".join(map(str, words)) + "\n").encode())

    def ask(self, *words):
        self.say(*words)
        return self.lines.readline().strip()

    def counter(self, name):
        return int(self.ask("counter", name))

    def quit(self):
        self.say("quit")
        self.lines.close()
        self.socket.close()


class EchoServer:
    """The kernel's side of what the stack opens."""

    def __init__(self):
        self.listener = socket.create_server((KERNEL, 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            s, _ = self.listener.accept()
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


def bulk_to_the_server(control):
    """10 MB there and back over a bad link."""
    data = random.randbytes(BULK_BYTES)
    same(data, echoed(ECHO, data))
    need(control.counter("tcp_fast_retransmit") > 0, "the link lost nothing")


def bulk_as_client(control):
    """10 MB there and back, opened by the stack."""
    need(control.ask("open", EchoServer().port, 1, BULK_BYTES) == "1", "it did not come back whole")


def fifty_at_once(control):
    """50 connections each way, 100 kB each."""
    def one(i):
        data = random.Random(i).randbytes(100_000)
        same(data, echoed(ECHO, data))
    in_parallel(50, one)
    need(control.ask("open", EchoServer().port, 50, 100_000) == "50", "not all came back whole")


def thousand_short(control):
    """1,000 connections, 20 at a time."""
    before = control.counter("tcp_accepted")

    def fifty(i):
        for n in range(50):
            data = b"%d of %d" % (n, i)
            same(data, echoed(ECHO, data))
    in_parallel(20, fifty)
    need(control.counter("tcp_accepted") - before == 1000, "not all were accepted")


def half_close_by_the_stack(control):
    """The stack closes its side first and goes on reading."""
    with connect(FAREWELL) as s:
        need(read_all(s) == b"farewell", "no farewell")
        s.sendall(bytes(300_000))
        s.shutdown(socket.SHUT_WR)
        until = time.monotonic() + TIMEOUT_S
        while (read := int(control.ask("farewell"))) != 300_000:
            need(time.monotonic() < until, f"only {read} bytes were read")
            time.sleep(0.01)


def the_stack_does_not_read(_):
    """The stack's window closes for seconds."""
    data = random.randbytes(2_000_000)
    began = time.monotonic()
    same(data, echoed(SLOW, data))
    need(time.monotonic() - began >= STALL_S, "it did not stall")


def the_kernel_does_not_read(control):
    """The kernel's window closes for seconds; the stack probes it."""
    before = control.counter("tcp_window_probes")
    data = random.randbytes(2_000_000)
    same(data, echoed(ECHO, data, receive_buffer=8192, pause_s=STALL_S))
    need(control.counter("tcp_window_probes") > before, "no window was probed")


def reset_by_the_stack(_):
    """The kernel sees the stack's reset."""
    with connect(RESET) as s:
        s.sendall(b"x")
        try:
            need(s.recv(1) != b"", "closed, not reset")
        except ConnectionResetError:
            return
    raise AssertionError("no reset came")


def reset_by_the_kernel(control):
    """The stack takes the kernel's reset."""
    before = control.counter("tcp_rst_in")
    with connect(ECHO) as s:
        s.sendall(b"x")
        need(s.recv(1) == b"x", "no echo")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until = time.monotonic() + TIMEOUT_S
    while control.counter("tcp_rst_in") == before:
        need(time.monotonic() < until, "the reset was not taken")
        time.sleep(0.01)


def refused(control):
    """Nobody listens: on either side the other is told."""
    try:
        connect(1).close()
    except ConnectionRefusedError:
        need(control.ask("open", 1, 1, 1) == "0", "the stack connected to nobody")
        return
    raise AssertionError("the kernel connected to nobody")


SCENARIOS = (
    (BAD, bulk_to_the_server), (BAD, bulk_as_client), (BAD, fifty_at_once), (CLEAN, thousand_short),
    (BAD, half_close_by_the_stack), (CLEAN, the_stack_does_not_read), (BAD, the_kernel_does_not_read),
    (CLEAN, reset_by_the_stack), (CLEAN, reset_by_the_kernel), (CLEAN, refused))


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, work):
        began = time.monotonic()
        try:
            note = work()
        except Exception as error:  # pylint: disable=broad-except
            self.failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
            return False
        self.passed += 1
        print(f"PASS {name}: {note or f'{time.monotonic() - began:.1f} s'}", flush=True)
        return True

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed, 0 skipped")
        return 0 if self.passed and not self.failed else 1


def device_up():
    until = time.monotonic() + TIMEOUT_S
    while not os.path.exists(f"/sys/class/net/{DEVICE}"):
        need(time.monotonic() < until, "no device appeared")
        time.sleep(0.02)
    ip("addr", "add", f"{KERNEL}/24", "dev", DEVICE)
    ip("link", "set", DEVICE, "up")


def program_ends(program, control):
    control.quit()
    out, _ = program.communicate(timeout=TIMEOUT_S)
    need(program.returncode == 0, f"exit status {program.returncode}: {out.strip()}")
    return out.strip().splitlines()[-1]


def capture_is_clean(path):
    """Every frame of the stack, read by somebody else."""
    good = "ip.checksum.status == Good && tcp.checksum.status == Good && !_ws.malformed"
    command = ["tshark", "-n", "-r", path, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
               "-Y", f"ip.src == {STACK} && !({good})"]
    done = subprocess.run(command, capture_output=True, text=True)
    need(done.returncode == 0, done.stderr.strip())
    lines = done.stdout.splitlines()
    need(not lines, f"{len(lines)} frames, the first: {lines[0] if lines else ''}")
    return f"{os.path.getsize(path) // 1_000_000} MB of frames"


def main():
    capture = os.path.join(sys.argv[1], "frames.pcap")
    seed = os.environ.get("GODWIT_SEED", str(int(time.time())))
    random.seed(int(seed))
    print(f"# seed {seed} (GODWIT_SEED repeats this run's losses)", flush=True)
    ip("link", "set", "lo", "up")
    report = Report()
    with subprocess.Popen([os.environ["KERNELTCP"], DEVICE, capture, seed], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as program:
        try:
            device_up()
            control = Control()
            for link, scenario in SCENARIOS:
                control.ask("link", *link)
                if not report.check(scenario.__name__, lambda scenario=scenario: scenario(control)):
                    break
            control.ask("link", *CLEAN)
            report.check("the_end", lambda: program_ends(program, control))
        except Exception as error:  # pylint: disable=broad-except
            report.check("the conversation with the program", lambda error=error: need(False, repr(error)))
        finally:
            if program.poll() is None:
                program.kill()
    report.check("capture", lambda: capture_is_clean(capture))
    return report.finish()


sys.exit(main())
