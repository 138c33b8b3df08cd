# SPDX-License-Identifier: Apache-2.0
"""Conversations of raw frames, and every word that a broker says in them, as lines."""
from concurrent.futures import ThreadPoolExecutor

from pika import frame, spec
from wire import Unexpected, method

END = "end"  # of the stream
OVER = "0 Connection.CloseOk"
CLOSE_OK = method(0, spec.Connection.CloseOk())
TOGETHER = 16  # RabbitMQ waits for seconds before it closes without a word


def describe(found):
    """A frame as one line."""
    if found is None:
        return END
    if isinstance(found, frame.Heartbeat):
        return "heartbeat"
    if isinstance(found, frame.ProtocolHeader):
        return "header"
    answer = getattr(found, "method", None)
    if answer is None:
        return "%d content" % found.channel_number
    line = "%d %s" % (found.channel_number, answer.NAME)
    if isinstance(answer, (spec.Connection.Close, spec.Channel.Close)):
        return "%s %d %d/%d %s" % (line, answer.reply_code, answer.class_id, answer.method_id, answer.reply_text)
    if isinstance(answer, spec.Connection.Blocked):
        return "%s %s" % (line, answer.reason)
    return line


def converse(wire, steps):
    """Sends and awaits; then what was said until close-ok or the end. A connection.close is answered unless a
    step does so. Heartbeats in a row are one line: how many there are is the scheduler's."""
    said = []
    answers = not any(isinstance(step, bytes) and CLOSE_OK in step for step in steps)

    def hear():
        line = describe(wire.read())
        if line != "heartbeat" or said[-1:] != [line]:
            said.append(line)
        if " Connection.Close " in said[-1] and answers:
            wire.send(CLOSE_OK)
        return said[-1]

    for step in steps:
        if isinstance(step, bytes):
            wire.send(step)
            continue
        while said[-1:] != [END] and step not in hear():
            pass
    while not said or said[-1] not in (END, OVER):
        hear()
    return said


def reach(wire, state):
    if state == "tuned":
        wire.tune()
        wire.send(method(0, spec.Connection.TuneOk(wire.channel_max, wire.frame_max, 0)))
        return
    {"start": wire.begin, "tune": wire.tune, "open": wire.open, "channel": wire.open}[state]()
    if state == "channel":
        wire.channel()


def held(cases, row):
    """What was said, or why nothing can be told of it."""
    _, state, steps, _ = row
    try:
        with cases.wire() as wire:
            reach(wire, state)
            return converse(wire, steps)
    except (Unexpected, OSError) as problem:
        return [str(problem)]


def alike(said, wanted):
    """A wanted line that ends in ... says how the line begins."""
    return len(said) == len(wanted) and all(
        line.startswith(want[:-3]) if want.endswith("...") else line == want for line, want in zip(said, wanted))


def run(cases, rows, oracle_says):
    """oracle_says: name -> (lines, reason), where the oracle says something else."""
    rows = [row for row in rows if cases.stage.wanted("scenario", row[0])]
    with ThreadPoolExecutor(TOGETHER) as pool:
        for row, said in zip(rows, pool.map(lambda row: held(cases, row), rows)):
            wanted = oracle_says[row[0]][0] if cases.oracle and row[0] in oracle_says else row[3]

            def action(said=said, wanted=wanted):
                if not alike(said, wanted):
                    raise Unexpected("said %s, expected %s" % (said, wanted))

            cases.case(row[0], action)
