# SPDX-License-Identifier: Apache-2.0
"""The raw clients (nats.c, loopback.c): the former against a server that is played here, as well and as badly as one can."""
import json
import os
import socket
import subprocess
import threading
import unittest

BUILD = os.path.join(os.environ.get("BUILD") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build-test"),
                     "bench", "compare")
TIMEOUT_S = 30
SIZE = 16
PUBLISHED = b"PUB a 16\r\nABCDEFGHIJKLMNOP\r\n"
DELIVERED = b"MSG a 1 16\r\nABCDEFGHIJKLMNOP\r\n"


class Played:
    """A server that greets two clients and hands on what the second one publishes, in pieces of some bytes, after what
    `change` makes of it."""

    def __init__(self, change=lambda data, conns: data, piece=1 << 20):
        self.change, self.piece, self.problem, self.seen = change, piece, None, b""
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(TIMEOUT_S)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def greet(self):
        conn = self.socket.accept()[0]
        conn.settimeout(TIMEOUT_S)
        conn.sendall(b'INFO {"server_id":"played","max_payload":1048576}\r\n')
        words = b""
        while not words.endswith(b"PING\r\n"):
            words += conn.recv(4096)
        # In two pieces, and with another INFO, as a server may.
        conn.sendall(b"INFO {}\r\nPO")
        conn.sendall(b"NG\r\n")
        return conn, words

    def serve(self):
        try:
            with self.socket:
                subscriber, words = self.greet()
                assert b"SUB a 1\r\n" in words and words.startswith(b"CONNECT {"), words
                publisher, _ = self.greet()
                with subscriber, publisher:
                    self.hand_on(publisher, subscriber)
        except (OSError, AssertionError) as problem:
            self.problem = problem

    def hand_on(self, publisher, subscriber):
        rest = b""
        while data := publisher.recv(1 << 16):
            rest += data
            whole, rest = rest.count(PUBLISHED), rest.replace(PUBLISHED, b"")
            if rest.startswith(b"PONG\r\n"):
                self.seen, rest = self.seen + b"PONG", rest[6:]
            out = self.change(DELIVERED * whole, (publisher, subscriber))
            for at in range(0, len(out), self.piece):
                subscriber.sendall(out[at:at + self.piece])


def program(name, *words):
    return subprocess.run([os.path.join(BUILD, name), *map(str, words)], capture_output=True, text=True, timeout=TIMEOUT_S)


CPU = min(os.sched_getaffinity(0))


class Nats(unittest.TestCase):
    def ask(self, server, seconds=0.2, warmup=50):
        done = program("compare_nats", "127.0.0.1", server.port, SIZE, seconds, warmup, CPU)
        server.thread.join()
        return done

    def counted(self, server):
        done = self.ask(server)
        self.assertEqual((done.returncode, done.stderr, server.problem), (0, "", None))
        return json.loads(done.stdout)

    def test_counts_what_was_published_and_came(self):
        result = self.counted(Played())
        self.assertGreater(result["count"], 1000)
        self.assertEqual(result["transfers"], 2 * result["count"])
        self.assertGreaterEqual(result["seconds"], 0.2)
        self.assertAlmostEqual(result["transfers_per_s"] * result["seconds"], result["transfers"], delta=2)
        self.assertAlmostEqual(result["mb_per_s"] * 2**20, result["transfers_per_s"] * SIZE, delta=20)
        self.assertTrue(0 < result["client_busy"] <= 1, result)

    def test_takes_messages_in_pieces(self):
        self.assertGreater(self.counted(Played(piece=997))["count"], 0)

    def test_answers_a_ping_on_either_connection(self):
        asked = []

        def ping(data, conns):
            if not asked:
                asked.append(True)
                conns[0].sendall(b"PING\r\n")
                return data[:len(DELIVERED)] + b"PING\r\n" + data[len(DELIVERED):]
            return data
        server = Played(ping)
        self.counted(server)
        self.assertIn(b"PONG", server.seen)

    def test_says_what_is_wrong(self):
        for change, words in (
                (lambda data, _: data.replace(b"A", b"B", 1), "not as it was published"),
                (lambda data, _: data + b"-ERR 'Slow Consumer'\r\n", "the server says -ERR 'Slow Consumer'"),
                (lambda data, conns: conns[1].shutdown(socket.SHUT_RDWR) or b"", "closed a connection"),
                (lambda data, _: b"x" * 5000, "what NATS does not know")):
            done = self.ask(Played(change))
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(words, done.stderr)

    def test_says_how_it_is_called(self):
        for words in ((), ("127.0.0.1", 1, 0, 1, 0, 0), ("127.0.0.1", 0, 16, 1, 0, 0), ("127.0.0.1", 1, 16, 0, 0, 0)):
            done = program("compare_nats", *words)
            self.assertEqual(done.returncode, 2)
            self.assertIn("usage:", done.stderr)
        done = program("compare_nats", "127.0.0.1", 1, 16, 1, 0, CPU)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Connection refused", done.stderr)


class Loopback(unittest.TestCase):
    def test_tells_both_halves(self):
        cpus = sorted(os.sched_getaffinity(0))
        for pair in ((cpus[-1], cpus[0]), (cpus[0], cpus[0])):
            result = json.loads(program("compare_loopback", 65, 50, *pair).stdout)
            self.assertEqual((result["message_bytes"], result["call_bytes"]), (65, 65520))
            self.assertTrue(min(result["calls"], result["send_ns"], result["receive_ns"]) > 0, result)

    def test_says_how_it_is_called(self):
        for words in ((), (0, 1, 0, 0), (65, 0, 0, 0), (65, 1, -1, 0)):
            done = program("compare_loopback", *words)
            self.assertEqual(done.returncode, 2)
            self.assertIn("usage:", done.stderr)


if __name__ == "__main__":
    unittest.main()
