# SPDX-License-Identifier: Apache-2.0
"""The scenarios with kombu over py-amqp, as Celery uses them; logs in with AMQPLAIN."""
import contextlib
import os
import signal
import socket
import sys
import time

import amqp
import amqp.exceptions
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import OperationalError

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import (HOST, PORT, Failed, body_of, child, digest, end, eventually, expect, main, same,  # noqa: E402
                     scenario, there, true, unique)

RAW = "application/octet-stream"
# kombu wraps the exception of a refused connection; what the broker said is noted here.
closed_by = {}


def note_closes():
    for kind, level in ((amqp.Channel, "channel"), (amqp.Connection, "connection")):
        def note(self, reply_code, reply_text, class_id, method_id, inner=kind._on_close, level=level):
            closed_by.update(level=level, code=reply_code, **{"class": class_id, "method": method_id})
            return inner(self, reply_code, reply_text, class_id, method_id)
        kind._on_close = note


@contextlib.contextmanager
def connected(password="guest", virtual_host="/", heartbeat=60, **options):
    connection = Connection(hostname=HOST, port=PORT, userid="guest", password=password, virtual_host=virtual_host,
                            login_method="AMQPLAIN", heartbeat=heartbeat, connect_timeout=20,
                            transport_options=options)
    connection.connect()
    try:
        yield connection
    finally:
        connection.release()


@contextlib.contextmanager
def channel_of(**options):
    with connected(**options) as connection:
        yield connection.channel()


def temporary(channel, exchange=None, routing_key="", **options):
    """An exclusive queue, declared and bound."""
    queue = Queue(unique("queue"), exchange, routing_key, exclusive=True, durable=False, **options)(channel)
    queue.declare()
    return queue


def publish(channel, body, routing_key="", exchange="", **options):
    Producer(channel, auto_declare=False).publish(
        body, routing_key=routing_key, exchange=exchange, content_type=options.pop("content_type", RAW),
        content_encoding=options.pop("content_encoding", "binary"), **options)


def count_of(channel, name):
    return channel.queue_declare(name, passive=True).message_count


def eventually_count(channel, name, wanted):
    eventually(lambda: count_of(channel, name) == wanted, "%d messages in the queue" % wanted)


def get(queue, no_ack=True, timeout_s=5.0):
    found = []
    eventually(lambda: found.append(queue.get(no_ack=no_ack)) or found[-1] is not None, "a message", timeout_s)
    return found[-1]


def text(message):
    """The body; py-amqp decodes it itself where the message has no content encoding."""
    return message.body if isinstance(message.body, str) else bytes(message.body).decode()


def redelivered(message):
    return bool(message.delivery_info["redelivered"])


def got_all(queue):
    found = []
    while True:
        message = queue.get(no_ack=True)
        if message is None:
            return found
        found.append(text(message))


def pump(connection, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(socket.timeout):
            connection.drain_events(timeout=0.05)


def refused(name, action):
    """Runs the action; the broker's exception must be the one that the list names."""
    wanted = {key: expect(name)[key] for key in ("level", "code", "class", "method")}
    closed_by.clear()
    with contextlib.suppress(amqp.exceptions.AMQPError, OperationalError, OSError):
        action()
    same(closed_by, wanted, "exception")


def refused_on_channel(name, action):
    with connected() as connection:
        refused(name, lambda: action(connection.channel()))


# ---- publish, consume, get ----


@scenario
def publish_consume():
    count = expect("publish_consume")["count"]
    with connected() as connection:
        channel = connection.channel()
        queue = temporary(channel)
        for i in range(count):
            publish(channel, b"%d" % i, queue.name)
        found = []

        def take(message):
            found.append((text(message), redelivered(message)))
            message.ack()

        with Consumer(channel, [queue], on_message=take, accept=[RAW]):
            deadline = time.monotonic() + 20
            while len(found) < count and time.monotonic() < deadline:
                connection.drain_events(timeout=10)
            same(found, [(str(i), False) for i in range(count)], "messages")
            eventually_count(channel, queue.name, 0)  # kombu's exclusive queues go with their consumer


@scenario
def publish_get():
    count = expect("publish_get")["count"]
    with channel_of() as channel:
        queue = temporary(channel)
        for i in range(count):
            publish(channel, b"%d" % i, queue.name)
        eventually_count(channel, queue.name, count)
        for i in range(count):
            message = queue.get()
            about = message.delivery_info
            same((text(message), about["message_count"], about["exchange"], about["routing_key"],
                  bool(about["redelivered"])), (str(i), count - 1 - i, "", queue.name, False), "get-ok")
            message.ack()
        same(queue.get(), None, "get from the empty queue")


@scenario
def properties():
    headers = {"text": "grüße", "int": -5, "big": 2 ** 40, "yes": True, "no": False, "list": [1, "two", [3]],
               "table": {"inner": {"deep": 1}}, "none": None, "real": 1.5}
    sent = {"priority": 7, "correlation_id": "corr", "reply_to": "back", "message_id": "m-1", "type": "kind",
            "user_id": "guest", "app_id": "interop", "delivery_mode": 2}
    with channel_of() as channel:
        queue = temporary(channel)
        publish(channel, b"x", queue.name, headers=headers, content_type="text/x-any", content_encoding="utf-8",
                expiration=60, **sent)
        found = get(queue)
        same((found.content_type, found.content_encoding), ("text/x-any", "utf-8"), "content")
        same(found.headers, headers, "headers")
        for key, value in dict(sent, expiration="60000").items():
            same(found.properties[key], value, key)


@scenario
def confirm():
    count = expect("confirm")["count"]
    with channel_of(confirm_publish=True) as channel:
        queue = temporary(channel)
        for i in range(count):
            publish(channel, b"%d" % i, queue.name)  # returns after the confirm
        publish(channel, b"unroutable", unique("nowhere"))
        same(count_of(channel, queue.name), count, "messages")


@scenario
def return_unroutable():
    wanted = expect("return_unroutable")
    with channel_of(confirm_publish=True) as channel:
        queue = temporary(channel)
        nowhere = unique("nowhere")
        returned = []
        producer = Producer(channel, auto_declare=False, on_return=lambda *given: returned.append(given))
        for body, key in ((b"routable", queue.name), (b"back", nowhere)):
            producer.publish(body, routing_key=key, mandatory=True, content_type=RAW, content_encoding="binary")
        same(len(returned), 1, "messages returned")
        problem, exchange, key, message = returned[0]
        same((problem.reply_code, problem.reply_text, exchange, key, bytes(message.body)),
             (wanted["code"], wanted["text"], "", nowhere, b"back"), "basic.return")
        same(got_all(queue), ["routable"], "routed")


@scenario
def reject():
    with channel_of() as channel:
        queue = temporary(channel)
        publish(channel, b"one", queue.name)
        get(queue, no_ack=False).requeue()
        message = get(queue, no_ack=False)
        same(redelivered(message), True, "redelivered")
        message.reject()
        same(queue.get(), None, "get after the drop")


@scenario
def queue_priority():
    wanted = expect("queue_priority")
    with channel_of() as channel:
        queue = temporary(channel, queue_arguments={"x-max-priority": wanted["highest"]})
        for i, priority in enumerate(wanted["sent"]):
            publish(channel, b"%d" % i, queue.name, priority=priority)
        eventually_count(channel, queue.name, len(wanted["sent"]))
        same(got_all(queue), [str(i) for i in wanted["sorted"]], "got")


@scenario
def error_queue_priority():
    refused_on_channel("error_queue_priority", lambda c: temporary(c, queue_arguments={"x-max-priority": 256}))


def letters(dead, **more):
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead, **more}


def event(queue, reason, count=1):
    return {"count": count, "exchange": "", "queue": queue, "reason": reason, "routing-keys": [queue]}


def events_of(message):
    return [{key: value for key, value in table.items() if key != "time"} for table in message.headers["x-death"]]


def mortal(channel, name, dead, **more):
    queue = Queue(name, None, "", exclusive=True, durable=False, queue_arguments=letters(dead, **more))(channel)
    queue.declare()
    return queue


@scenario
def dead_letter():
    for row in expect("dead_letter")["rows"]:
        with channel_of() as channel:
            dead = temporary(channel)
            queue = mortal(channel, unique("queue"), dead.name, **row["arguments"])
            for _ in range(2 if row["reason"] == "maxlen" else 1):
                publish(channel, b"body", queue.name, headers={"mine": "stays"})
            if row["reason"] == "rejected":
                get(queue, no_ack=False).reject()
            message = get(dead)
            same(events_of(message), [event(queue.name, row["reason"])], "x-death")
            same([message.headers[key] for key in ("mine", "x-first-death-reason", "x-first-death-queue",
                                                   "x-first-death-exchange")],
                 ["stays", row["reason"], queue.name, ""], "other headers")


@scenario
def dead_letter_counts():
    count = expect("dead_letter_counts")["count"]
    with channel_of() as channel:
        queue, waits = unique("queue"), unique("waits")
        first = mortal(channel, queue, waits)
        mortal(channel, waits, queue, **{"x-message-ttl": 20})
        publish(channel, b"body", queue)
        for _ in range(count):
            get(first, no_ack=False).reject()
        events = events_of(get(first))
        same([(e["queue"], e["reason"], e["count"]) for e in events],
             [(waits, "expired", count), (queue, "rejected", count)], "x-death")


@scenario
def dead_letter_circle():
    with channel_of() as channel:
        one, two = unique("one"), unique("two")
        mortal(channel, one, two, **{"x-message-ttl": 20})
        mortal(channel, two, one, **{"x-message-ttl": 20})
        publish(channel, b"body", one)
        time.sleep(0.5)
        same((count_of(channel, one), count_of(channel, two)), (0, 0), "left")


@scenario
def error_dead_letter_key():
    refused_on_channel("error_dead_letter_key", lambda c: temporary(
        c, queue_arguments={"x-dead-letter-routing-key": "k"}))


@scenario
def error_dead_letter_type():
    refused_on_channel("error_dead_letter_type", lambda c: temporary(
        c, queue_arguments={"x-dead-letter-exchange": 5}))


REPLY_TO = "amq.rabbitmq.reply-to"


@scenario
def direct_reply_to():
    count = expect("direct_reply_to")["count"]
    with connected() as connection, channel_of() as server:
        channel = connection.channel()
        queue = temporary(channel)
        found = []
        channel.basic_consume(REPLY_TO, no_ack=True,
                              callback=lambda m: found.append((m.properties["correlation_id"], text(m))))
        for i in range(count):
            publish(channel, b"%d" % i, queue.name, reply_to=REPLY_TO, correlation_id=str(i))
            message = get(queue)
            name = message.properties["reply_to"]
            same(name.startswith(REPLY_TO + "."), True, "reply-to " + name)
            publish(server, b"to " + text(message).encode(), name, correlation_id=message.properties["correlation_id"])
        pump(connection, 0.5)
        same(found, [(str(i), "to %d" % i) for i in range(count)], "answers")


@scenario
def error_reply_consumer_missing():
    def request(channel):
        publish(channel, b"", "q", reply_to=REPLY_TO)
        pump(channel.connection, 2)
    refused_on_channel("error_reply_consumer_missing", request)


@scenario
def error_reply_consumer_acks():
    refused_on_channel("error_reply_consumer_acks", lambda c: c.basic_consume(REPLY_TO))


@scenario
def error_user_id():
    def both(channel):
        queue = temporary(channel)
        publish(channel, b"mine", queue.name, user_id="guest")
        eventually_count(channel, queue.name, 1)
        publish(channel, b"not mine", queue.name, user_id="admin")
        pump(channel.connection, 2)
    refused_on_channel("error_user_id", both)


@scenario
def tx_commit():
    wanted = expect("tx_commit")
    with channel_of() as channel:
        queue = temporary(channel)
        nowhere = unique("nowhere")
        returned = []
        channel.events["basic_return"].add(lambda *given: returned.append(given))
        channel.tx_select()
        publish(channel, b"one", queue.name)
        publish(channel, b"back", nowhere, mandatory=True)
        publish(channel, b"two", queue.name)
        same((count_of(channel, queue.name), returned), (0, []), "before the commit")
        channel.tx_commit()
        pump(channel.connection, 0.1)
        same([(problem.reply_code, problem.reply_text, bytes(message.body)) for problem, _, _, message in returned],
             [(wanted["code"], wanted["text"], b"back")], "basic.return")
        same(got_all(queue), ["one", "two"], "committed")


@scenario
def tx_rollback():
    with channel_of() as channel:
        queue = temporary(channel)
        channel.tx_select()
        publish(channel, b"one", queue.name)
        channel.tx_rollback()
        publish(channel, b"two", queue.name)
        channel.tx_commit()
        same(got_all(queue), ["two"], "committed")


@scenario
def tx_settle():
    with channel_of() as channel:
        queue = temporary(channel)
        for i in range(3):
            publish(channel, b"%d" % i, queue.name)
        channel.tx_select()
        tags = [get(queue, no_ack=False).delivery_tag for _ in range(3)]
        channel.basic_ack(tags[0])
        channel.basic_reject(tags[1], requeue=True)
        channel.tx_rollback()
        channel.basic_ack(tags[1], multiple=True)
        channel.basic_reject(tags[2], requeue=True)
        same(count_of(channel, queue.name), 0, "before the commit")
        channel.tx_commit()
        message = get(queue)
        same((text(message), redelivered(message)), ("2", True), "rejected")
        same(queue.get(), None, "the end")


@scenario
def error_tx_not_selected():
    refused_on_channel("error_tx_not_selected", lambda c: c.tx_commit())


@scenario
def error_tx_then_confirm():
    def both(channel):
        channel.tx_select()
        channel.confirm_select()
    refused_on_channel("error_tx_then_confirm", both)


@scenario
def error_confirm_then_tx():
    def both(channel):
        channel.confirm_select()
        channel.tx_select()
    refused_on_channel("error_confirm_then_tx", both)


@scenario
def recover():
    with channel_of() as channel:
        queue = temporary(channel)
        for i in range(3):
            publish(channel, b"%d" % i, queue.name)
        for _ in range(3):
            get(queue, no_ack=False)
        channel.basic_recover(requeue=True)
        for i in range(3):
            message = get(queue)
            same((text(message), redelivered(message)), (str(i), True), "recovered")


@scenario
def requeue_on_close():
    with channel_of() as keeper:
        name = unique("queue")
        queue = Queue(name, durable=False)(keeper)
        queue.declare()
        with channel_of() as channel:
            publish(channel, b"kept", name)
            get(queue(channel), no_ack=False)
        message = get(queue)
        same((text(message), redelivered(message)), ("kept", True), "delivery after the close")
        queue.delete()


@scenario
def qos_prefetch():
    wanted = expect("qos_prefetch")
    with connected() as connection:
        channel = connection.channel()
        queue = temporary(channel)
        for i in range(wanted["count"]):
            publish(channel, b"%d" % i, queue.name)
        found = []
        with Consumer(channel, [queue], on_message=found.append, prefetch_count=wanted["prefetch"], accept=[RAW]):
            pump(connection, 0.5)
            same(len(found), wanted["prefetch"], "delivered at first")
            found[0].ack()
            pump(connection, 0.5)
            same(len(found), wanted["prefetch"] + 1, "delivered after one ack")
            found[-1].ack(multiple=True)
            pump(connection, 0.5)
            same(len(found), 2 * wanted["prefetch"] + 1, "delivered after all were acknowledged")


@scenario
def consumer_priority():
    wanted = expect("consumer_priority")
    with connected() as connection:
        channel = connection.channel()
        queue = temporary(channel)
        found = []
        for tag, priority in (("low", -1), ("high", 10)):
            channel.basic_qos(0, wanted["prefetch"] if tag == "high" else 0, False)
            channel.basic_consume(queue.name, consumer_tag=tag, arguments={"x-priority": priority},
                                  callback=lambda m: found.append((m.delivery_info["consumer_tag"], text(m))))
        for i in range(wanted["count"]):
            publish(channel, b"%d" % i, queue.name)
        pump(connection, 0.5)
        same(sorted(found), sorted(("high" if i < wanted["prefetch"] else "low", str(i))
                                   for i in range(wanted["count"])), "who got what")


@scenario
def error_consumer_priority():
    refused_on_channel("error_consumer_priority", lambda c: c.basic_consume(
        temporary(c).name, arguments={"x-priority": "high"}))


@scenario
def single_active_consumer():
    count = expect("single_active_consumer")["count"]
    with connected() as connection:
        channel = connection.channel()
        queue = temporary(channel, queue_arguments={"x-single-active-consumer": True})
        found = []
        for tag in ("first", "second"):
            channel.basic_consume(queue.name, consumer_tag=tag, no_ack=True,
                                  callback=lambda m: found.append((m.delivery_info["consumer_tag"], text(m))))
        for i in range(count):
            publish(channel, b"%d" % i, queue.name)
        pump(connection, 0.5)
        same(found, [("first", str(i)) for i in range(count)], "the first one's")
        channel.basic_cancel("first")
        publish(channel, b"next", queue.name)
        pump(connection, 0.5)
        same(found[count:], [("second", "next")], "the second one's")


@scenario
def error_single_active_exclusive():
    refused_on_channel("error_single_active_exclusive", lambda c: c.basic_consume(
        temporary(c, queue_arguments={"x-single-active-consumer": True}).name, exclusive=True))


# ---- exchanges ----


@scenario
def exchange_direct():
    with channel_of() as channel:
        exchange = Exchange(unique("exchange"), "direct", durable=False, auto_delete=True)(channel)
        queues = {key: temporary(channel, exchange, key) for key in ("red", "blue")}
        for key in ("red", "blue", "green"):
            publish(channel, key.encode(), key, exchange)
        for key, queue in queues.items():
            same(got_all(queue), [key], key)


@scenario
def exchange_fanout():
    with channel_of() as channel:
        exchange = Exchange(unique("exchange"), "fanout", durable=False, auto_delete=True)(channel)
        queues = [temporary(channel, exchange, "ignored") for _ in range(5)]
        for queue in queues:
            queue.bind_to(exchange, "twice")
        publish(channel, b"all", "any", exchange)
        for queue in queues:
            same(got_all(queue), ["all"], queue.name)


@scenario
def exchange_topic():
    with channel_of() as channel:
        exchange = Exchange(unique("exchange"), "topic", durable=False)(channel)
        exchange.declare()
        for row in expect("exchange_topic")["patterns"]:
            queue = temporary(channel, exchange, row["pattern"])
            for key in row["match"] + row["miss"]:
                channel.basic_publish(amqp.Message(key), exchange.name, key)
            same(got_all(queue), row["match"], row["pattern"])
            queue.unbind_from(exchange, row["pattern"])
        exchange.delete()


@scenario
def exchange_headers():
    with channel_of() as channel:
        exchange = Exchange(unique("exchange"), "headers", durable=False, auto_delete=True)(channel)
        queues = {match: temporary(channel, exchange, binding_arguments={"x-match": match, "colour": "red", "size": 5})
                  for match in ("all", "any")}
        for name, headers in (("both", {"colour": "red", "size": 5, "more": 1}), ("one", {"colour": "red"}),
                              ("other", {"colour": "blue", "size": 6}), ("typed", {"size": "5"}), ("none", {})):
            publish(channel, name.encode(), "", exchange, headers=headers)
        same(got_all(queues["all"]), ["both"], "x-match all")
        same(got_all(queues["any"]), ["both", "one"], "x-match any")


@scenario
def exchange_predeclared():
    with channel_of() as channel:
        for name, key, arguments in (("amq.direct", unique("key"), None), ("amq.fanout", "", None),
                                     ("amq.topic", unique("a") + ".b", None),
                                     ("amq.headers", "", {"x-match": "all", "id": unique("h")}),
                                     ("amq.match", "", {"x-match": "all", "id": unique("h")})):
            kind = {"amq.headers": "headers", "amq.match": "headers"}.get(name, name[4:])
            exchange = Exchange(name, kind)(channel)
            exchange.declare(passive=True)
            queue = temporary(channel, exchange, key, binding_arguments=arguments)
            publish(channel, b"here", key, exchange, headers=arguments)
            same(got_all(queue), ["here"], name)
            queue.delete()


@scenario
def exchange_lifecycle():
    with connected() as connection:
        channel = connection.channel()
        exchange = Exchange(unique("exchange"), "direct", durable=False)
        automatic = Exchange(unique("exchange"), "direct", durable=False, auto_delete=True)
        exchange(channel).declare()
        exchange(channel).declare(passive=True)
        queue = temporary(channel, exchange, "k")
        refused("exchange_lifecycle", lambda: exchange(channel).delete(if_unused=True))
        channel = connection.channel()
        queue = queue(channel)
        queue.unbind_from(exchange, "k")
        exchange(channel).delete(if_unused=True)
        automatic(channel).declare()
        queue.bind_to(automatic, "k")
        automatic(channel).declare(passive=True)
        queue.unbind_from(automatic, "k")
        for gone in (exchange, automatic):
            try:
                gone(channel).declare(passive=True)
                raise Failed("%s is still there" % gone.name)
            except amqp.exceptions.NotFound as closed:
                same(closed.reply_code, 404, "passive declare of the deleted exchange")
            channel = connection.channel()


@scenario
def alternate_exchange():
    with channel_of() as channel:
        names = [unique("exchange") for _ in range(3)]
        exchanges = [Exchange(name, "direct", durable=False, auto_delete=True, arguments={"alternate-exchange": other})
                     for name, other in zip(names, (names[1], names[2], names[0]))]
        queues = [temporary(channel, exchange, "k%d" % i) for i, exchange in enumerate(exchanges)]
        returned = []
        channel.events["basic_return"].add(lambda why, exchange, key, message: returned.append(exchange))
        for i in range(4):
            publish(channel, b"%d" % i, "k%d" % i, names[0], mandatory=True)
        for i, queue in enumerate(queues):
            same(got_all(queue), [str(i)], "through the chain")
        pump(channel.connection, 0.3)
        same(returned, [names[0]], "what no exchange of the chain routes")


@scenario
def error_alternate_type():
    exchange = Exchange(unique("exchange"), durable=False, auto_delete=True, arguments={"alternate-exchange": 5})
    refused_on_channel("error_alternate_type", lambda c: exchange(c).declare())


@scenario
def error_alternate_redeclare():
    def twice(channel):
        name = unique("exchange")
        for other in ("a", "b"):
            temporary(channel, Exchange(name, durable=False, auto_delete=True,
                                        arguments={"alternate-exchange": other}), "k")
    refused_on_channel("error_alternate_redeclare", twice)


@scenario
def exchange_bind():
    with channel_of() as channel:
        last = Exchange(unique("exchange"), "fanout", durable=False, auto_delete=True)
        queue = temporary(channel, last)
        for kind in ("direct", "fanout", "topic", "headers"):
            first, middle = (Exchange(unique("exchange"), kind, durable=False, auto_delete=True)(channel)
                             for _ in range(2))
            for exchange in (first, middle):
                exchange.declare()
            for source, destination in ((first, middle), (middle, last), (first, last), (middle, first)):
                destination(channel).bind_to(source, "k")
            publish(channel, b"once", "k", first.name)
            publish(channel, b"other", "other", first.name)
            same(got_all(queue), ["once", "other"] if kind in ("fanout", "headers") else ["once"], kind)
            last(channel).unbind_from(first, "k")
            last(channel).unbind_from(middle, "k")
            publish(channel, b"nowhere", "k", first.name)
            same(got_all(queue), [], "after unbind, " + kind)
            first.delete()


@scenario
def exchange_bind_lifecycle():
    with connected() as connection:
        channel = connection.channel()
        above, source, destination = (Exchange(unique("exchange"), "fanout", durable=False, auto_delete=True)
                                      for _ in range(3))
        for exchange in (above, source, destination):
            exchange(channel).declare()
        source(channel).bind_to(above)
        destination(channel).bind_to(source)
        refused("exchange_bind_lifecycle", lambda: source(channel).delete(if_unused=True))
        channel = connection.channel()
        destination(channel).delete(if_unused=True)
        for gone in (above, source, destination):
            closed_by.clear()
            with contextlib.suppress(amqp.exceptions.NotFound):
                gone(channel).declare(passive=True)
            same(closed_by.get("code"), 404, "passive declare of what went with its last binding")
            channel = connection.channel()
        for exchange in (source, destination):
            exchange(channel).declare()
        destination(channel).bind_to(source)
        source(channel).delete()
        destination(channel).declare(passive=True)
        destination(channel).delete()


@scenario
def error_exchange_bind_default():
    refused_on_channel("error_exchange_bind_default", lambda c: c.exchange_bind("amq.direct", "", "k"))


@scenario
def error_exchange_bind_unknown():
    refused_on_channel("error_exchange_bind_unknown", lambda c: c.exchange_bind(unique("none"), "amq.direct", "k"))


@scenario
def sender_selected():
    with channel_of() as channel:
        first, cc, bcc = queues = [temporary(channel) for _ in range(3)]
        headers = {"CC": [cc.name, first.name], "BCC": [bcc.name, 5], "kept": "yes"}
        publish(channel, b"all", first.name, headers=headers, type="t")
        for queue in queues:
            message = get(queue)
            same((text(message), message.delivery_info["routing_key"], message.headers, message.properties["type"]),
                 ("all", first.name, {"CC": [cc.name, first.name], "kept": "yes"}, "t"), "a copy")
            same(got_all(queue), [], "no second copy")
        for queue, pattern in ((first, "a.*"), (cc, "b.#")):
            queue.bind_to("amq.topic", pattern)
        publish(channel, b"topic", "none", "amq.topic", headers={"CC": ["a.x"], "BCC": ["b.y.z"]})
        for queue in (first, cc):
            message = get(queue)
            same((text(message), message.headers), ("topic", {"CC": ["a.x"]}), "by patterns")


@scenario
def error_cc_type():
    def send(channel):
        publish(channel, b"refused", "q", headers={"CC": "no array"})
        pump(channel.connection, 2)
    refused_on_channel("error_cc_type", send)


@scenario
def consistent_hash():
    wanted = expect("consistent_hash")
    with channel_of() as channel:
        exchange = Exchange(unique("exchange"), "x-consistent-hash", durable=False, auto_delete=True)
        queues = [temporary(channel, exchange, weight) for weight in wanted["weights"]]
        for i in range(wanted["count"]):
            for _ in range(2):
                publish(channel, b"%d" % i, "k%d" % i, exchange.name)
        found = [got_all(queue) for queue in queues]
        same(sum(map(len, found)), 2 * wanted["count"], "messages")
        same([f[::2] for f in found], [f[1::2] for f in found], "the same key's")
        for one, weight in zip(found, wanted["weights"]):
            share = len(one) / (2 * wanted["count"]) * sum(map(int, wanted["weights"])) / int(weight)
            true(0.5 < share < 1.6, "share of weight %s is %.2f of what is fair" % (weight, share))


@scenario
def error_hash_weight():
    def bind(channel):
        exchange = Exchange(unique("exchange"), "x-consistent-hash", durable=False, auto_delete=True)
        temporary(channel, exchange, "1").bind_to(exchange, "heavy")
    refused_on_channel("error_hash_weight", bind)


# ---- queues ----


@scenario
def queue_server_named():
    with channel_of() as channel:
        names = {channel.queue_declare("", exclusive=True).queue for _ in range(3)}
        same(len(names), 3, "different names")
        for name in names:
            true(name.startswith(expect("queue_server_named")["prefix"]), "name %r" % name)
            publish(channel, name.encode(), name)
            same(got_all(Queue(name)(channel)), [name], "its message")


@scenario
def queue_exclusive():
    with channel_of() as channel:
        name = temporary(channel).name
    refused_on_channel("queue_exclusive", lambda c: c.queue_declare(name, passive=True))


@scenario
def queue_exclusive_durable():
    with channel_of() as channel:
        queue = temporary(channel)
        publish(channel, b"kept", queue.name)
        channel.queue_declare(queue.name, exclusive=True, durable=True)
        same(text(get(queue)), "kept", "its message")


@scenario
def queue_auto_delete():
    with connected() as connection:
        channel = connection.channel()
        queue = Queue(unique("queue"), durable=False, auto_delete=True)(channel)
        queue.declare()
        consumers = [Consumer(channel, [queue], on_message=print, auto_declare=False) for _ in range(2)]
        for consumer in consumers:
            consumer.consume()
        consumers[0].cancel()
        same(channel.queue_declare(queue.name, passive=True).consumer_count, 1, "consumers")
        consumers[1].cancel()
        try:
            channel.queue_declare(queue.name, passive=True)
            raise Failed("the queue is still there")
        except amqp.exceptions.NotFound as closed:
            same(closed.reply_code, 404, "code")


@scenario
def queue_passive():
    with channel_of() as channel:
        queue = temporary(channel)
        for _ in range(3):
            publish(channel, b"x", queue.name)
        eventually_count(channel, queue.name, 3)
        same(tuple(channel.queue_declare(queue.name, passive=True)), (queue.name, 3, 0), "declare-ok")
        channel.basic_qos(0, 1, False)
        channel.basic_consume(queue.name, callback=lambda _: None)
        eventually(lambda: tuple(channel.queue_declare(queue.name, passive=True))[1:] == (2, 1),
                   "2 ready messages and 1 consumer")


@scenario
def queue_purge():
    with channel_of() as channel:
        queue = temporary(channel)
        for _ in range(10):
            publish(channel, b"x", queue.name)
        held = get(queue, no_ack=False)
        eventually_count(channel, queue.name, 9)
        same(queue.purge(), 9, "purged")
        same(count_of(channel, queue.name), 0, "left")
        held.requeue()
        eventually_count(channel, queue.name, 1)


@scenario
def queue_unbind():
    with channel_of() as channel:
        exchange = Exchange(unique("exchange"), "direct", durable=False)(channel)
        exchange.declare()
        queue = temporary(channel, exchange, "a")
        queue.bind_to(exchange, "b")
        queue.unbind_from(exchange, "a")
        for key in ("a", "b"):
            publish(channel, key.encode(), key, exchange)
        same(got_all(queue), ["b"], "routed after unbind")
        exchange.delete()


@scenario
def queue_delete_if_unused():
    with connected() as connection:
        channel, other = connection.channel(), connection.channel()
        queue = temporary(channel)
        consumer = Consumer(channel, [queue], on_message=print, auto_declare=False)
        consumer.consume()
        refused("queue_delete_if_unused", lambda: queue(other).delete(if_unused=True))
        consumer.cancel()
        queue.delete(if_unused=True)


@scenario
def queue_delete_if_empty():
    with connected() as connection:
        channel = connection.channel()
        queue = temporary(channel)
        publish(channel, b"x", queue.name)
        refused("queue_delete_if_empty", lambda: queue.delete(if_empty=True))
        queue = queue(connection.channel())
        queue.purge()
        queue.delete(if_empty=True)


@scenario
def consumer_cancel_notify():
    with connected() as connection:
        channel, other = connection.channel(), connection.channel()
        queue = temporary(channel)
        cancelled = []
        tag = channel.basic_consume(queue.name, on_cancel=cancelled.append)
        other.queue_delete(queue.name)
        with contextlib.suppress(amqp.exceptions.ConsumerCancelled):
            pump(connection, 0.5)
        same(cancelled, [tag], "basic.cancel from the broker")


# ---- what a queue may be told ----


def rule_row(channel, row):
    queue = temporary(channel, queue_arguments=row.get("arguments", {}))
    found = []
    for message in row["publish"]:
        given = {key: message[key] for key in ("priority",) if key in message}
        if "expiration" in message:  # kombu counts in seconds
            given["expiration"] = int(message["expiration"]) / 1000
        try:
            publish(channel, message["body"].encode(), queue.name, **given)
            found.append("ack")
        except amqp.exceptions.MessageNacked:
            found.append("nack")
    same(found, row.get("confirms", found), "confirms")
    for _ in range(row.get("reject", 0)):
        get(queue, no_ack=False).reject(requeue=False)
    time.sleep(row.get("wait_ms", 0) / 1000)
    same(got_all(queue), row["left"], "left of %s" % row["publish"])


def rule_rows(name):
    for row in expect(name)["rows"]:
        with channel_of(**({"confirm_publish": True} if "confirms" in row else {})) as channel:
            rule_row(channel, row)


@scenario
def queue_ttl():
    rule_rows("queue_ttl")


@scenario
def message_ttl():
    rule_rows("message_ttl")


@scenario
def queue_limits():
    rule_rows("queue_limits")


@scenario
def queue_refuses():
    rule_rows("queue_refuses")


@scenario
def queue_expires():
    wanted = expect("queue_expires")
    with connected() as connection:
        channel = connection.channel()
        queue = Queue(unique("queue"), durable=False, queue_arguments=wanted["arguments"])(channel)
        queue.declare()
        consumer = Consumer(channel, [queue], on_message=print, auto_declare=False)
        consumer.consume()
        pump(connection, wanted["used_ms"] / 1000)
        same(count_of(channel, queue.name), 0, "messages while it is used")
        consumer.cancel()
        publish(channel, b"x", queue.name)
        pump(connection, wanted["gone_ms"] / 1000)
        try:
            channel.queue_declare(queue.name, passive=True)
            raise Failed("the queue is still there")
        except amqp.exceptions.NotFound as closed:
            same(closed.reply_code, wanted["code"], "code")


@scenario
def error_queue_argument():
    wanted = expect("error_queue_argument")
    for arguments in wanted["wrong"]:
        refused_on_channel("error_queue_argument",
                           lambda channel, a=arguments: temporary(channel, queue_arguments=a))
    name = unique("queue")

    def twice(channel):
        for arguments in (wanted["first"], wanted["first"], wanted["second"]):
            Queue(name, exclusive=True, durable=False, queue_arguments=arguments)(channel).declare()
    refused_on_channel("error_queue_argument", twice)


@scenario
def error_expiration():
    def go(channel):
        message = amqp.Message("x", expiration=expect("error_expiration")["expiration"])
        channel.basic_publish(message, "", temporary(channel).name)
        channel.queue_declare("", exclusive=True)
    refused_on_channel("error_expiration", go)


# ---- size and number ----


def round_trip(connection, channel, size, seed):
    queue = temporary(channel)
    body = body_of(size, seed)
    publish(channel, body, queue.name)
    found = []
    with Consumer(channel, [queue], on_message=found.append, accept=[RAW]):
        deadline = time.monotonic() + 60
        while not found and time.monotonic() < deadline:
            connection.drain_events(timeout=60)
        body_found = found[0].body
        body_found = body_found.encode() if isinstance(body_found, str) else bytes(body_found)
        same((len(body_found), digest(body_found)), (size, digest(body)), "body of %d bytes" % size)
        found[0].ack()
    queue.delete()


@scenario
def body_small():
    wanted = expect("body_small")
    with connected() as connection:
        channel = connection.channel()
        payload = connection.connection.frame_max - 8
        sizes = wanted["sizes"] + [n * payload + d for n in (1, 2) for d in wanted["around_frame"]]
        for seed, size in enumerate(sizes):
            round_trip(connection, channel, size, seed)


@scenario
def body_1mib():
    with connected() as connection:
        round_trip(connection, connection.channel(), expect("body_1mib")["sizes"][0], 1)


@scenario
def body_64mib():
    with connected() as connection:
        round_trip(connection, connection.channel(), expect("body_64mib")["sizes"][0], 2)


@scenario
def queues_10000():
    with channel_of() as channel:
        queues = [temporary(channel) for _ in range(expect("queues_10000")["count"])]
        for queue in (queues[0], queues[-1]):
            publish(channel, queue.name.encode(), queue.name)
            same(got_all(queue), [queue.name], "its message")


@scenario
def connections_1000():
    count = expect("connections_1000")["count"]
    with contextlib.ExitStack() as opened, channel_of() as keeper:
        queue = Queue(unique("queue"), durable=False)(keeper)
        queue.declare()
        connections = [opened.enter_context(connected(heartbeat=0)) for _ in range(count)]
        for i, connection in enumerate(connections):
            publish(connection.channel(), b"%d" % i, queue.name)
        eventually_count(keeper, queue.name, count)
        same(set(got_all(queue)), {str(i) for i in range(count)}, "bodies")
        queue.delete()


# ---- connections ----


def role_hold_and_publish(shared, exclusive):
    with channel_of() as channel:
        channel.queue_declare(exclusive, exclusive=True)
        get(Queue(shared)(channel), no_ack=False)
        there()
        while True:
            publish(channel, body_of(expect("killed_mid_frame")["size"]), exclusive)


def role_hold(interval, exclusive):
    with connected(heartbeat=int(interval)) as connection:
        connection.channel().queue_declare(exclusive, exclusive=True)
        there()
        while True:
            connection.heartbeat_check()
            time.sleep(0.25)


def queue_is_gone(connection, name):
    try:
        connection.channel().queue_declare(name, passive=True)
    except amqp.exceptions.NotFound:
        return True
    except amqp.exceptions.ResourceLocked:
        return False
    raise Failed("another connection's exclusive queue could be declared")


@scenario
def killed_mid_frame():
    with connected() as connection:
        keeper = connection.channel()
        shared = Queue(unique("queue"), durable=False)(keeper)
        exclusive = unique("queue")
        shared.declare()
        publish(keeper, b"kept", shared.name)
        holder = child("hold_and_publish", shared.name, exclusive)
        time.sleep(0.3)
        end(holder)
        message = get(shared, timeout_s=10)
        same((text(message), redelivered(message)), ("kept", True), "the message of the killed client")
        eventually(lambda: queue_is_gone(connection, exclusive), "its exclusive queue gone")
        shared.delete()


@scenario
def heartbeat_kept():
    wanted = expect("heartbeat_kept")
    with connected(heartbeat=wanted["interval_s"]) as connection:
        same(connection.get_heartbeat_interval(), wanted["interval_s"], "interval agreed")
        channel = connection.channel()
        queue = temporary(channel)
        before = connection.connection.bytes_recv
        deadline = time.monotonic() + wanted["idle_s"]
        while time.monotonic() < deadline:
            connection.heartbeat_check()  # raises when the broker was silent for too long
            pump(connection, 0.25)
        more = connection.connection.bytes_recv - before
        true(more >= 2, "%d frames from the broker in %d s" % (more, wanted["idle_s"]))
        publish(channel, b"alive", queue.name)
        same(got_all(queue), ["alive"], "after the idle time")


@scenario
def heartbeat_client_stops():
    wanted = expect("heartbeat_client_stops")
    exclusive = unique("queue")
    holder = child("hold", wanted["interval_s"], exclusive)
    try:
        with connected() as connection:
            true(not queue_is_gone(connection, exclusive), "the queue is not there")
            holder.send_signal(signal.SIGSTOP)
            eventually(lambda: queue_is_gone(connection, exclusive), "the broker closed the silent connection",
                       wanted["gone_s_max"], 0.1)
    finally:
        end(holder)


@scenario
def channels():
    with connected() as connection:
        opened = [connection.channel() for _ in range(expect("channels")["count"])]
        same(len({channel.channel_id for channel in opened}), len(opened), "channel numbers")
        name = temporary(opened[0]).name
        for i, channel in enumerate(opened):
            publish(channel, b"%d" % i, name)
        for channel in opened[1::2]:
            channel.close()
        for i, channel in enumerate(opened[::2]):
            publish(channel, b"again %d" % i, name)
        eventually_count(opened[0], name, len(opened) + len(opened[::2]))


@scenario
def channel_reuse():
    with connected() as connection:
        other, failing = connection.channel(), connection.channel()
        number = failing.channel_id
        queue = temporary(other)
        refused("channel_reuse", lambda: failing.queue_declare(unique("nowhere"), passive=True))
        publish(other, b"other", queue.name)
        again = connection.connection.channel(number)
        same(again.channel_id, number, "channel number")
        publish(again, b"again", queue.name)
        eventually_count(other, queue.name, 2)
        same(sorted(got_all(queue)), ["again", "other"], "messages")


# ---- refusals ----


def refused_connection(name, **options):
    def connect():
        with connected(**options):
            pass
    refused(name, connect)


@scenario
def error_login():
    refused_connection("error_login", password="wrong")


@scenario
def error_vhost():
    refused_connection("error_vhost", virtual_host="nowhere")


@scenario
def error_queue_unknown():
    refused_on_channel("error_queue_unknown", lambda c: c.queue_declare(unique("nowhere"), passive=True))


@scenario
def error_get_unknown():
    refused_on_channel("error_get_unknown", lambda c: Queue(unique("nowhere"))(c).get())


@scenario
def error_consume_unknown():
    refused_on_channel("error_consume_unknown", lambda c: c.basic_consume(unique("nowhere")))


@scenario
def error_publish_unknown():
    def lost(channel):
        publish(channel, b"x", exchange=unique("nowhere"))
        pump(channel.connection, 2)
    refused_on_channel("error_publish_unknown", lost)


@scenario
def error_bind_unknown():
    refused_on_channel("error_bind_unknown", lambda c: temporary(c).bind_to(unique("nowhere"), "k"))


@scenario
def error_queue_redeclare():
    name = unique("queue")

    def declare(channel):
        Queue(name, durable=False)(channel).declare()
        Queue(name, durable=True)(channel).declare()
    refused_on_channel("error_queue_redeclare", declare)
    with channel_of() as channel:
        channel.queue_delete(name)


@scenario
def error_exchange_redeclare():
    name = unique("exchange")

    def declare(channel):
        Exchange(name, "direct", durable=False)(channel).declare()
        Exchange(name, "fanout", durable=False)(channel).declare()
    refused_on_channel("error_exchange_redeclare", declare)
    with channel_of() as channel:
        channel.exchange_delete(name)


@scenario
def error_delivery_tag():
    def ack(channel):
        channel.basic_ack(7)
        pump(channel.connection, 2)
    refused_on_channel("error_delivery_tag", ack)


@scenario
def error_queue_reserved():
    refused_on_channel("error_queue_reserved", lambda c: c.queue_declare("amq." + unique("queue")))


@scenario
def error_exchange_reserved():
    # Not through kombu's Exchange, which never declares a name of that kind.
    refused_on_channel("error_exchange_reserved", lambda c: c.exchange_declare("amq." + unique("exchange"), "direct"))


@scenario
def error_consume_exclusive():
    with connected() as connection:
        channel, other = connection.channel(), connection.channel()
        name = temporary(channel).name
        channel.basic_consume(name, exclusive=True)
        refused("error_consume_exclusive", lambda: other.basic_consume(name))


@scenario
def error_queue_locked():
    with channel_of() as channel:
        name = temporary(channel).name
        refused_on_channel("error_queue_locked", lambda c: c.queue_declare(name, exclusive=True))


@scenario
def error_consumer_tag():
    def consume(channel):
        name = temporary(channel).name
        for _ in range(2):
            channel.basic_consume(name, consumer_tag="twice")
    refused_on_channel("error_consumer_tag", consume)


@scenario
def error_exchange_type():
    refused_on_channel("error_exchange_type", lambda c: c.exchange_declare(unique("exchange"), "nonesuch"))


@scenario
def error_not_implemented():
    refused_on_channel("error_not_implemented", lambda c: c.basic_qos(1000, 0, False))


@scenario
def blocked():
    count, told = expect("blocked")["count"], []
    # py-amqp has the callbacks, and keeps the broker's reason to itself.
    with connected(on_blocked=lambda _: told.append("blocked"), on_unblocked=lambda: told.append("unblocked")) as connection:
        def hears(number):
            pump(connection, 0.05)
            return len(told) >= number
        channel = connection.channel()
        queue = temporary(channel)
        for i in range(count):
            publish(channel, b"%d" % i, queue.name)
        eventually(lambda: hears(1), "connection.blocked", 20)
        print("# blocked", flush=True)
        eventually(lambda: hears(2), "connection.unblocked", 60)
        same(told, ["blocked", "unblocked"], "told")
        eventually_count(channel, queue.name, count)
        same(got_all(queue), [str(i) for i in range(count)], "messages")


@scenario
def shutdown():
    def wait(channel):
        print("# waiting", flush=True)
        pump(channel.connection, 60)
    refused_on_channel("shutdown", wait)


note_closes()
main({"hold_and_publish": role_hold_and_publish, "hold": role_hold})
