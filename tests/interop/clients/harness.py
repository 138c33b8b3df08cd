# SPDX-License-Identifier: Apache-2.0
"""What the Python clients share: scenarios by decorator, names on standard input, one answer a line."""
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback

HOST = os.environ["AMQP_HOST"]
PORT = int(os.environ["AMQP_PORT"])
TOKEN = os.environ.get("INTEROP_TOKEN", str(os.getpid()))

_scenarios = {}
_numbers = itertools.count(1)
with open(os.environ["SCENARIOS"]) as listed:
    _listed = json.load(listed)


class Failed(Exception):
    """A scenario that did not go as expected, with the reason."""


def scenario(function):
    _scenarios[function.__name__] = function
    return function


def expect(name):
    return _listed[name].get("expect", {})


def unique(kind):
    """A name that no other client or scenario uses."""
    return "t.%s.%s.%d" % (TOKEN, kind, next(_numbers))


def same(found, wanted, what):
    if found != wanted:
        raise Failed("%s: found %r, expected %r" % (what, found, wanted))


def true(condition, what):
    if not condition:
        raise Failed(what)


def eventually(condition, what, timeout_s=5.0, step_s=0.02):
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise Failed("%s: not within %.1f s" % (what, timeout_s))
        time.sleep(step_s)


def body_of(size, seed=1):
    return random.Random(seed).randbytes(size)


def digest(body):
    return hashlib.sha256(body).hexdigest()


def child(role, *arguments):
    """Another process of the same client that plays a role; its first line says that it is where the
    scenario wants it."""
    process = subprocess.Popen([sys.executable, sys.argv[0], role, *map(str, arguments)],
                               stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline().strip()
    if line != "there":
        process.kill()
        process.wait()
        raise Failed("the child process (%s) said %r" % (role, line))
    return process


def there():
    print("there", flush=True)


def end(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def main(roles=None):
    if len(sys.argv) > 1:
        roles[sys.argv[1]](*sys.argv[2:])
        return
    for line in sys.stdin:
        name = line.strip()
        try:
            _scenarios[name]()
            print("ok " + name, flush=True)
        except BaseException as problem:  # a client's own SystemExit is a failure as well
            why = " ".join(("%s: %s" % (type(problem).__name__, problem)).split())
            print("not ok %s - %s" % (name, why), flush=True)
            for text in traceback.format_exc().splitlines():
                print("# " + text, flush=True)
