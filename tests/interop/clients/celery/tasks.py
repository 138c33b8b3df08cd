# SPDX-License-Identifier: Apache-2.0
"""The application: what its workers and the client share."""
import os
import sys
import time
from datetime import datetime, timezone

from celery import Celery, signals
from kombu import Exchange, Queue

EXCHANGE = "t.celery.tasks"
PLAIN, OTHER, RANKED = "t.celery.plain", "t.celery.other", "t.celery.ranked"

app = Celery("interop", backend="rpc://",
             broker="amqp://guest:guest@%s:%s//" % (os.environ["AMQP_HOST"], os.environ["AMQP_PORT"]))
app.conf.update(
    task_default_queue=PLAIN, task_default_exchange=EXCHANGE, task_default_routing_key=PLAIN,
    task_queues=[Queue(PLAIN, Exchange(EXCHANGE), PLAIN), Queue(OTHER, Exchange(EXCHANGE), OTHER),
                 Queue(RANKED, Exchange(EXCHANGE), RANKED, max_priority=10)],
    task_routes={"tasks.where": {"queue": OTHER}},
    worker_send_task_events=True, broker_connection_retry=False)


@signals.worker_ready.connect
def say_there(**_):
    sys.__stdout__.write("there\n")
    sys.__stdout__.flush()


@app.task
def add(one, two):
    return one + two


@app.task
def fail(text):
    raise ValueError(text)


@app.task(bind=True, max_retries=5)
def retried(self, times):
    """Fails so many times."""
    if self.request.retries < times:
        raise self.retry(countdown=0.05)
    return self.request.retries


@app.task(bind=True)
def is_late(self):
    """Whether it was not run before its time."""
    return datetime.now(timezone.utc) >= datetime.fromisoformat(self.request.eta)


@app.task(bind=True)
def where(self):
    """Which worker, from which queue."""
    return self.request.hostname, self.request.delivery_info["routing_key"]


@app.task
def when():
    return time.monotonic_ns()


@app.task(bind=True, acks_late=True)
def held(self):
    """Holds its worker for longer than the scenario; comes back at once when it is delivered again."""
    again = bool(self.request.delivery_info["redelivered"])
    self.update_state(state="HELD")
    if not again:
        time.sleep(60)
    return again
