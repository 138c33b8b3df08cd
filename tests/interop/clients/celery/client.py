# SPDX-License-Identifier: Apache-2.0
"""Celery's scenarios: real workers, told what to do by this process, results over rpc://."""
import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..")]
import tasks  # noqa: E402
from celery import chain, group  # noqa: E402
from celery.exceptions import TaskRevokedError  # noqa: E402
from harness import Failed, end, eventually, expect, main, same, scenario, true, unique  # noqa: E402

PATIENCE_S = 20
EXCHANGES = (tasks.EXCHANGE, "celery.pidbox", "reply.celery.pidbox", "celeryev")


def forget():
    """Removes what Celery declares and leaves behind."""
    with tasks.app.connection_for_write() as connection:
        channel = connection.channel()
        for queue in (tasks.PLAIN, tasks.OTHER, tasks.RANKED):
            channel.queue_delete(queue)
        for exchange in EXCHANGES:
            channel.exchange_delete(exchange)


def apart(function):
    """The scenario in a process of its own: an application keeps its connections for as long as it lives."""
    @functools.wraps(function)
    def run():
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            why = ""
            try:
                function()
            except BaseException as problem:
                why = "%s: %s" % (type(problem).__name__, problem)
                traceback.print_exc()
            os.write(writer, why.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as said:
            why = said.read()
        os.waitpid(process, 0)
        forget()
        if why:
            raise Failed(why)
    return scenario(run)


def start_worker(queue, pool="solo", *options):
    """A worker that is ready. Returns its node name and process."""
    name = unique("worker").replace(".", "-") + "@interop"
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-q", "-A", "tasks", "worker", "-Q", queue, "-P", pool, "-n", name,
         "--loglevel", "WARNING", *options], cwd=HERE, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.strip() == "there":
            return name, process
    end(process)
    raise Failed("the worker ended before it was ready")


@contextlib.contextmanager
def worker(queue, pool="solo", *options, in_order=True):
    """Ends it as an operator would; it must have finished in order, but for one whose pool lost a process: that
    one's own shutdown may wait for ever."""
    name, process = start_worker(queue, pool, *options)
    try:
        yield name
        if in_order:
            process.send_signal(signal.SIGTERM)
            same(process.wait(PATIENCE_S), 0, "the worker's exit status")
    finally:
        end(process)


def result(sent):
    return sent.get(timeout=PATIENCE_S)


ALONE = ("--without-gossip", "--without-mingle")


@apart
def celery_results():
    count = expect("celery_results")["count"]
    with worker(tasks.PLAIN, "solo", *ALONE):
        sent = group(tasks.add.s(i, 1) for i in range(count)).apply_async()
        same(result(sent), [i + 1 for i in range(count)], "results")
        same(result(chain(tasks.add.s(1, 2), tasks.add.s(10))()), 13, "result of the chain")
        try:
            result(tasks.fail.delay("on purpose"))
            raise Failed("the task's exception did not come back")
        except ValueError as problem:
            same(str(problem), "on purpose", "exception")


@apart
def celery_retry_and_countdown():
    times = expect("celery_retry_and_countdown")["retries"]
    with worker(tasks.PLAIN, "solo", *ALONE):
        retried, late = tasks.retried.delay(times), tasks.is_late.apply_async(countdown=1)
        same(result(retried), times, "retries")
        same(result(late), True, "run after its countdown")


@apart
def celery_many_countdowns():
    with worker(tasks.PLAIN, "solo", *ALONE):
        for _ in range(expect("celery_many_countdowns")["count"]):
            tasks.is_late.apply_async(countdown=3600)
        same(result(tasks.add.delay(1, 2)), 3, "the task behind them")


@apart
def celery_routing():
    with worker(tasks.PLAIN) as plain, worker(tasks.OTHER) as other:
        # The other worker answers as well: gossip and mingle are on.
        same({name for answer in tasks.app.control.ping([plain, other], timeout=PATIENCE_S) for name in answer},
             {plain, other}, "who answers a ping")
        same(result(tasks.where.delay()), [other, tasks.OTHER], "by its route")
        same(result(tasks.where.apply_async(queue=tasks.PLAIN)), [plain, tasks.PLAIN], "by its queue")


@apart
def celery_priority():
    sent, ranked = (expect("celery_priority")[key] for key in ("sent", "sorted"))
    results = [tasks.when.apply_async(queue=tasks.RANKED, priority=priority) for priority in sent]
    with worker(tasks.RANKED, "solo", *ALONE):
        times = [result(one) for one in results]
    same([sent[i] for i in sorted(range(len(sent)), key=times.__getitem__)], ranked, "priorities as they ran")


def wait_held(sent):
    eventually(lambda: sent.state == "HELD", "the task runs", PATIENCE_S)


@apart
def celery_acks_late():
    _, first = start_worker(tasks.PLAIN, "solo", *ALONE)
    try:
        sent = tasks.held.delay()
        wait_held(sent)
    finally:
        end(first)
    with worker(tasks.PLAIN, "solo", *ALONE):
        same(result(sent), True, "delivered again")


def revoked(sent):
    try:
        result(sent)
    except TaskRevokedError:
        return True
    return False


@apart
def celery_remote_control():
    with worker(tasks.PLAIN, "prefork", "-c", "2", *ALONE, in_order=False) as name:
        control, inspect = tasks.app.control, tasks.app.control.inspect([name], timeout=PATIENCE_S)
        same(control.ping([name], timeout=PATIENCE_S), [{name: {"ok": "pong"}}], "pong")
        running = tasks.held.delay()
        wait_held(running)
        same([task["id"] for task in inspect.active()[name]], [running.id], "active")
        same([queue["name"] for queue in inspect.active_queues()[name]], [tasks.PLAIN], "active queues")
        control.revoke(running.id, terminate=True, destination=[name], reply=True, timeout=PATIENCE_S, limit=1)
        true(revoked(running), "a running task was revoked")
        waiting = unique("task")
        control.revoke(waiting, destination=[name], reply=True, timeout=PATIENCE_S, limit=1)
        true(revoked(tasks.add.apply_async((1, 2), task_id=waiting)), "a task was revoked before it came")
        same(result(tasks.add.delay(1, 2)), 3, "the next task")


@apart
def celery_events():
    found = []
    with worker(tasks.PLAIN, "solo", *ALONE) as name:
        with tasks.app.connection_for_read() as connection:
            receiver = tasks.app.events.Receiver(connection, handlers={"*": found.append})
            listening = threading.Event()
            receiver.on_consume_ready = lambda *_, **__: listening.set()
            thread = threading.Thread(target=lambda: receiver.capture(limit=None, timeout=PATIENCE_S, wakeup=False))
            thread.start()
            true(listening.wait(PATIENCE_S), "the receiver consumes")
            sent = tasks.add.delay(1, 2)
            result(sent)
            eventually(lambda: [event["type"] for event in found if event.get("uuid") == sent.id]
                       == expect("celery_events")["types"], "the task's events", PATIENCE_S)
            same({event["hostname"] for event in found if event.get("uuid") == sent.id}, {name}, "whose events")
            receiver.should_stop = True
            thread.join()


main()
