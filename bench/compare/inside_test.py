# SPDX-License-Identifier: Apache-2.0
"""What is asked of a broker's control socket, against one that is played here."""
import json
import os
import socket
import tempfile
import threading
import types
import unittest

import inside


def row(bucket, count, core=0):
    return {"core": core, "port": "p", "bucket": bucket, "from_us": bucket / 2, "to_us": (bucket + 1) / 2, "count": count}


class Played:
    """A broker that answers so, one question a connection."""

    def __init__(self, folder, *answers):
        self.control = os.path.join(folder, "control.sock")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.control)
        self.socket.listen()
        self.thread = threading.Thread(target=self.answer, args=(answers,))
        self.thread.start()

    def answer(self, answers):
        with self.socket:
            for answer in answers:
                with self.socket.accept()[0] as one, one.makefile("rwb") as f:
                    assert json.loads(f.readline()) == {"command": "stats"}
                    f.write(json.dumps(answer).encode() + b"\n")


def stats(*rows):
    return {"ok": True, "result": {"rx_to_tx_buckets": rows}}


class Look(unittest.TestCase):
    def look(self, *answers, marks=("sending", "received")):
        with tempfile.TemporaryDirectory() as folder:
            broker = Played(folder, *answers)
            look = inside.Look(broker)
            for mark in marks:
                look.at(mark)
            broker.thread.join()
        return look

    def test_is_what_came_between_the_marks(self):
        look = self.look(stats(row(1, 7), row(4, 1)), stats(row(1, 9), row(1, 5, core=1), row(4, 1), row(9, 2)))
        self.assertEqual(inside.unpack(look.found()["inside"]), {1.0: 7, 5.0: 2})

    def test_a_mark_that_is_missing_is_said(self):
        with self.assertRaisesRegex(ValueError, r"\['sending'\] alone"):
            self.look(stats(row(1, 7)), marks=("sending",)).found()

    def test_a_refusal_is_said(self):
        with self.assertRaisesRegex(ValueError, "no such thing"):
            self.look({"ok": False, "error": "no such thing"}, marks=("sending",)).found()

    def test_a_broker_that_is_gone_is_said(self):
        look = inside.Look(types.SimpleNamespace(control="/nonexistent/control.sock"))
        look.at("sending")
        with self.assertRaisesRegex(ValueError, "No such file"):
            look.found()

    def test_others_are_not_asked(self):
        for server in (types.SimpleNamespace(), types.SimpleNamespace(control=None)):
            look = inside.Look(server)
            look.at("sending")
            self.assertEqual(look.found(), {})


class Buckets(unittest.TestCase):
    def test_pack_and_quantile(self):
        buckets = {0.9: 950, 1.25: 40, 17.125: 60}
        self.assertEqual(inside.unpack(inside.pack(buckets)), buckets)
        self.assertEqual((inside.quantile_us(buckets, 0.5), inside.quantile_us(buckets, 0.95)), (0.9, 17.125))
        self.assertIsNone(inside.quantile_us(buckets, 0.99))


if __name__ == "__main__":
    unittest.main()
