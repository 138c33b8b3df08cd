# SPDX-License-Identifier: Apache-2.0
"""What status says of each virtual host: a broker of its own with two data cores, once the others have ended."""
import os
import re
import sys
import time

# Before an installed package of that name.
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "chaos"))
import amqp  # noqa: E402
from broker import Broker, need  # noqa: E402

PORT = 5697
PREDECLARED = 6
WAIT_S = 10

CONFIG = """
ports: []
lcores: 2
listeners:
  - {name: kernel, transport: kernel, tcp_port: 5697}
vhosts:
  - {name: /}
  - {name: orders}
memory: {messages: 32M, buffers: 2048, hugepages: off}
control: {socket: %s}
"""


def start(work):
    return Broker(work, CONFIG)


def counts(broker):
    """(exchanges beside the predeclared, queues, connections) by name, in the configuration's order."""
    return {row["name"]: (row["exchanges"] - PREDECLARED, row["queues"], row["connections"])
            for row in broker.status()["vhosts"]}


def becomes(broker, wanted):
    end = time.monotonic() + WAIT_S
    while counts(broker) != wanted:
        need(time.monotonic() < end, "%s instead of %s" % (counts(broker), wanted))
        time.sleep(0.02)


def each_is_counted(broker, work):
    """status counts exchanges, queues and connections of each virtual host, for programs and as a table"""
    becomes(broker, {"/": (0, 0, 0), "orders": (0, 0, 0)})
    root = amqp.Client("127.0.0.1", port=PORT)
    orders = [amqp.Client("127.0.0.1", port=PORT, vhost="orders") for _ in range(3)]
    root.declare("q")
    for name, client in zip("qrs", orders):
        client.declare(name)
    orders[0].ask(amqp.exchange_declare(1, "x", "fanout"), amqp.EXCHANGE_DECLARE_OK)
    becomes(broker, {"/": (0, 1, 1), "orders": (1, 3, 3)})
    text = broker.ctl("status").stdout
    need(re.search(r"^vhosts\n +name +exchanges +queues +connections\n +/ +6 +1 +1\n +orders +7 +3 +3\n", text, re.M),
         text)
    orders[1].ask(amqp.queue_delete(1, "q"), amqp.QUEUE_DELETE_OK)
    orders[2].ask(amqp.close_connection(), amqp.CLOSE_OK)
    orders[0].socket.close()
    becomes(broker, {"/": (0, 1, 1), "orders": (1, 2, 1)})
    root.ask(amqp.close_connection(), amqp.CLOSE_OK)
    becomes(broker, {"/": (0, 1, 0), "orders": (1, 2, 1)})


CASES = [each_is_counted]
