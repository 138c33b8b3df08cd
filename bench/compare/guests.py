# SPDX-License-Identifier: Apache-2.0
"""The machines of a profile while they are connected; guests that are down are started by their host, and stopped by it
at the end."""
import contextlib
import signal
import sys
import tempfile
import time

import machine
from target import Machine, TargetError, Unreachable

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_AGAIN_S = 0.5


@contextlib.contextmanager
def signals_end_it():
    """The first signal ends what is inside, cleanly; more of them do not disturb its end."""
    def end(number, _frame):
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    before = {each: signal.signal(each, end) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class Machines:
    """described: the profile's; connected meanwhile: {name: Machine} for client, host and so many of the guests."""

    def __init__(self, described, guests, say):
        self.described, self.say = described, say
        self.guests = described.guests[:guests]
        self.connected = {}
        self.started = []
        self.work = ""

    @contextlib.contextmanager
    def up(self):
        """Raises TargetError where one cannot be had, or lacks something."""
        with contextlib.ExitStack() as stack:
            self.work = stack.enter_context(tempfile.TemporaryDirectory(prefix="godwit-across-"))
            for place in filter(None, (self.described.client, self.described.host)):
                self.connect(stack, place)
            for guest in self.guests:
                self.bring_up(stack, guest)
            self.check_programs()
            yield self

    def connect(self, stack, place):
        target = Machine(place.name, place.ssh, place.sudo, self.work)
        stack.enter_context(target.connected())
        self.connected[place.name] = target

    def bring_up(self, stack, guest):
        try:
            self.connect(stack, guest)
            self.say(f"{guest.name} is up already: it stays so")
            return
        except Unreachable as problem:
            if not guest.start:
                raise
            # What is refused by a machine that is up will not get better by starting it.
            if "Permission denied" in str(problem) or "Host key" in str(problem):
                raise
        began = time.monotonic()
        # Also where starting it fails half way.
        stack.callback(self.stop, guest)
        self.connected["host"].run("sh", "-c", guest.start, patience_s=guest.up_s)
        self.wait(stack, guest, began + guest.up_s)
        self.started.append(guest.name)
        self.say(f"{guest.name} was started by host, and is up after {time.monotonic() - began:.1f} s")

    def wait(self, stack, guest, deadline):
        while True:
            try:
                self.connect(stack, guest)
                return
            except Unreachable as problem:
                if time.monotonic() > deadline:
                    raise Unreachable(f"{guest.name}: not up {guest.up_s} s after host ran `{guest.start}`: look at its console, "
                                      f"or give it longer (`up_s`). The last try: {problem}") from None
            time.sleep(LOOK_AGAIN_S)

    def stop(self, guest):
        if not guest.stop:
            self.say(f"{guest.name} stays up: the profile does not say how it is stopped")
            return
        try:
            self.connected["host"].run("sh", "-c", guest.stop)
            self.say(f"{guest.name} was stopped by host")
        except TargetError as problem:
            self.say(f"{guest.name} may still be up: {problem}")

    def check_programs(self):
        for place, programs in ((self.described.client, ("godwit-perftest", "godwit-latencytest")),
                                *((guest, ("godwit", )) for guest in self.guests)):
            missing = self.connected[place.name].missing("taskset", *map(place.program, programs))
            if missing:
                raise TargetError(f"{place.name}: {', '.join(missing)}: missing: build Godwit there with `./start.sh --build`, "
                                  "or say in the profile where it is (`tree`, `programs`); taskset is in Debian's util-linux")

    def places(self):
        return [self.described.client, *filter(None, [self.described.host]), *self.guests]

    def facts(self):
        """{name: facts} of all."""
        return {place.name: {"plays": "guest" if place in self.guests else place.name,
                             "started": "by the comparison" if place.name in self.started else "was up",
                             **machine.facts(place.tree or None, place.cpus or None, self.connected[place.name])}
                for place in self.places()}
