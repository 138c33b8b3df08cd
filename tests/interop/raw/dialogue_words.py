# SPDX-License-Identifier: Apache-2.0
"""What the cases of dialogues say often."""
from pika import spec

B, C, E, Q, T = spec.Basic, spec.Confirm, spec.Exchange, spec.Queue, spec.Tx


def each(a, *asked):
    """One after the other; a method, or (method, arguments)."""
    for one in asked:
        a.do(1, *(one if isinstance(one, tuple) else (one,)))


def queue(a, d, name, **arguments):
    a.do(1, Q.Declare(queue=d.own(name), exclusive=True), {"x-" + k.replace("_", "-"): v for k, v in arguments.items()})


def letters(a, d, name, to, **more):
    queue(a, d, name, dead_letter_exchange="", dead_letter_routing_key=d.own(to), **more)
