# SPDX-License-Identifier: Apache-2.0
"""One whole session as the frames that a client sends, to be cut, dribbled and damaged."""
from pika import spec
from wire import PROTOCOL_HEADER, body, content_header, method, start_ok


def frames(name, frame_max=4096):
    """name: six characters that make the session's queue and exchange its own. Frames in order; every answer
    may be awaited or not."""
    queue, exchange = "q." + name, "e." + name
    return [
        PROTOCOL_HEADER,
        start_ok(),
        method(0, spec.Connection.TuneOk(10, frame_max, 0)),
        method(0, spec.Connection.Open("/")),
        method(1, spec.Channel.Open()),
        method(1, spec.Confirm.Select()),
        method(1, spec.Exchange.Declare(exchange=exchange, type="topic", auto_delete=True)),
        method(1, spec.Queue.Declare(queue=queue, exclusive=True, arguments={"x-n": 1})),
        method(1, spec.Queue.Bind(queue=queue, exchange=exchange, routing_key="a.#")),
        method(1, spec.Basic.Qos(prefetch_count=3)),
        method(1, spec.Basic.Publish(exchange=exchange, routing_key="a.b", mandatory=True)),
        content_header(1, 12, properties=b"\x80\x00\x04text"),
        body(1, b"hello"),
        body(1, b", world"),
        method(1, spec.Basic.Publish(exchange="", routing_key=queue)),
        content_header(1, 0),
        method(1, spec.Basic.Get(queue=queue)),
        method(1, spec.Basic.Ack(1)),
        method(1, spec.Basic.Get(queue=queue)),
        method(1, spec.Basic.Nack(2, requeue=True)),
        method(1, spec.Basic.Consume(queue=queue, consumer_tag="tag")),
        method(1, spec.Basic.Cancel("tag")),
        method(1, spec.Queue.Unbind(queue=queue, exchange=exchange, routing_key="a.#")),
        method(1, spec.Queue.Purge(queue=queue)),
        method(1, spec.Queue.Delete(queue=queue)),
        method(1, spec.Channel.Close(200, "", 0, 0)),
        method(0, spec.Connection.Close(200, "", 0, 0)),
    ]
