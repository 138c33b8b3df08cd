# SPDX-License-Identifier: Apache-2.0
"""The client that must work whatever happened before."""
import pika
import pika.exceptions
from brokers import PORT


def good_client(host):
    """A client that is known to be good publishes and gets; raises OSError when it cannot."""
    try:
        connection = pika.BlockingConnection(pika.ConnectionParameters(
            host=host, port=PORT, socket_timeout=5, stack_timeout=8, blocked_connection_timeout=8))
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", queue, b"good")
        method, _, body = channel.basic_get(queue, auto_ack=True)
        connection.close()
    except pika.exceptions.AMQPError as problem:
        raise OSError("a good client failed: %s %r" % (host, problem)) from problem
    if not method or body != b"good":
        raise OSError("a good client got %r" % (body,))
