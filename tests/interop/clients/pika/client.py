# SPDX-License-Identifier: Apache-2.0
"""The scenarios with pika's blocking connection."""
import contextlib
import os
import signal
import sys
import time

import pika
import pika.channel
import pika.connection
import pika.exceptions as wrong

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import (HOST, PORT, Failed, body_of, child, digest, end, eventually, expect, main, same,  # noqa: E402
                     scenario, there, true, unique)

# pika's exceptions carry code and text alone; the ids of the method that failed are noted here.
closed_by = {}


def note_closes():
    channel_close = pika.channel.Channel._on_close_from_broker
    connection_close = pika.connection.Connection._on_connection_close_from_broker

    def note_channel(self, frame):
        closed_by.update(level="channel", code=frame.method.reply_code,
                         **{"class": frame.method.class_id, "method": frame.method.method_id})
        return channel_close(self, frame)

    def note_connection(self, frame):
        closed_by.update(level="connection", code=frame.method.reply_code,
                         **{"class": frame.method.class_id, "method": frame.method.method_id})
        return connection_close(self, frame)

    pika.channel.Channel._on_close_from_broker = note_channel
    pika.connection.Connection._on_connection_close_from_broker = note_connection


def parameters(**given):
    given.setdefault("heartbeat", 60)
    given.setdefault("credentials", pika.PlainCredentials("guest", "guest"))
    return pika.ConnectionParameters(host=HOST, port=PORT, socket_timeout=20, blocked_connection_timeout=60,
                                     stack_timeout=30, **given)


@contextlib.contextmanager
def connected(**given):
    connection = pika.BlockingConnection(parameters(**given))
    try:
        yield connection
    finally:
        if connection.is_open:
            connection.close()


@contextlib.contextmanager
def channel_of(**given):
    with connected(**given) as connection:
        yield connection.channel()


def temporary(channel, name=None, **given):
    name = name or unique("queue")
    channel.queue_declare(name, exclusive=True, **given)
    return name


def count_of(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def eventually_count(channel, queue, wanted):
    eventually(lambda: count_of(channel, queue) == wanted, "%d messages in the queue" % wanted)


def get(channel, queue, auto_ack=True, timeout_s=5.0):
    deadline = time.monotonic() + timeout_s
    while True:
        method, properties, body = channel.basic_get(queue, auto_ack=auto_ack)
        if method:
            return method, properties, body
        if time.monotonic() > deadline:
            raise Failed("nothing to get from the queue")
        time.sleep(0.01)


def got_all(channel, queue):
    """Bodies in the queue, when nothing more is on its way: a publish on the same channel is routed before
    the get behind it."""
    found = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if not method:
            return found
        found.append(body)


def refused(name, action):
    """Runs the action; the broker's exception must be the one that the list names."""
    wanted = {key: expect(name)[key] for key in ("level", "code", "class", "method")}
    closed_by.clear()
    try:
        action()
    except (wrong.AMQPChannelError, wrong.AMQPConnectionError):
        pass
    same(closed_by, wanted, "exception")


# ---- publish, consume, get ----


@scenario
def publish_consume():
    count = expect("publish_consume")["count"]
    with channel_of() as channel:
        queue = temporary(channel)
        for i in range(count):
            channel.basic_publish("", queue, b"%d" % i)
        for i, (method, _, body) in enumerate(channel.consume(queue, inactivity_timeout=10)):
            true(method is not None, "message %d did not come" % i)
            same(body, b"%d" % i, "body")
            same(method.redelivered, False, "redelivered")
            channel.basic_ack(method.delivery_tag)
            if i == count - 1:
                break
        channel.cancel()
        eventually_count(channel, queue, 0)


@scenario
def publish_get():
    count = expect("publish_get")["count"]
    with channel_of() as channel:
        queue = temporary(channel)
        for i in range(count):
            channel.basic_publish("", queue, b"%d" % i)
        for i in range(count):
            method, _, body = channel.basic_get(queue)
            same(body, b"%d" % i, "body")
            same((method.message_count, method.exchange, method.routing_key, method.redelivered),
                 (count - 1 - i, "", queue, False), "get-ok")
            channel.basic_ack(method.delivery_tag)
        same(channel.basic_get(queue)[0], None, "get from the empty queue")


@scenario
def properties():
    headers = {"text": "grüße", "int": -5, "big": 2 ** 40, "yes": True, "no": False, "list": [1, "two", [3]],
               "table": {"inner": {"deep": 1}}, "none": None}
    sent = pika.BasicProperties(
        content_type="text/plain", content_encoding="utf-8", headers=headers, delivery_mode=2, priority=7,
        correlation_id="corr", reply_to="back", expiration="60000", message_id="m-1", timestamp=1700000000,
        type="kind", user_id="guest", app_id="interop")
    with channel_of() as channel:
        queue = temporary(channel)
        channel.basic_publish("", queue, b"x", sent)
        _, found, _ = get(channel, queue)
        for key in vars(sent):
            same(getattr(found, key), getattr(sent, key), key)


@scenario
def confirm():
    count = expect("confirm")["count"]
    with channel_of() as channel:
        queue = temporary(channel)
        channel.confirm_delivery()
        for i in range(count):
            channel.basic_publish("", queue, b"%d" % i)
        channel.basic_publish("", unique("nowhere"), b"unroutable")
        same(count_of(channel, queue), count, "messages")


@scenario
def return_unroutable():
    wanted = expect("return_unroutable")
    with channel_of() as channel:
        queue = temporary(channel)
        nowhere = unique("nowhere")
        channel.confirm_delivery()
        channel.basic_publish("", queue, b"routable", mandatory=True)
        try:
            channel.basic_publish("", nowhere, b"back", mandatory=True)
            raise Failed("the unroutable message did not come back")
        except wrong.UnroutableError as returned:
            same(len(returned.messages), 1, "messages returned")
            message = returned.messages[0]
            same((message.method.reply_code, message.method.reply_text, message.method.exchange,
                  message.method.routing_key, message.body),
                 (wanted["code"], wanted["text"], "", nowhere, b"back"), "basic.return")
        same(got_all(channel, queue), [b"routable"], "routed")


@scenario
def nack_requeue():
    with channel_of() as channel:
        queue = temporary(channel)
        for i in range(3):
            channel.basic_publish("", queue, b"%d" % i)
        method, _, body = get(channel, queue, auto_ack=False)
        same((body, method.redelivered), (b"0", False), "first delivery")
        channel.basic_nack(method.delivery_tag, requeue=True)
        method, _, body = get(channel, queue)
        same((body, method.redelivered), (b"0", True), "second delivery")
        method, _, body = get(channel, queue)
        same((body, method.redelivered), (b"1", False), "the message behind it")


@scenario
def nack_multiple():
    with channel_of() as channel:
        queue = temporary(channel)
        for i in range(6):
            channel.basic_publish("", queue, b"%d" % i)
        tags = [get(channel, queue, auto_ack=False)[0].delivery_tag for _ in range(6)]
        channel.basic_ack(tags[1], multiple=True)
        channel.basic_nack(tags[3], multiple=True, requeue=True)
        eventually_count(channel, queue, 2)
        found = [get(channel, queue)[::2] for _ in range(2)]
        same([(body, method.redelivered) for method, body in found], [(b"2", True), (b"3", True)], "requeued")
        channel.basic_ack(0, multiple=True)
        eventually_count(channel, queue, 0)


@scenario
def reject():
    with channel_of() as channel:
        queue = temporary(channel)
        channel.basic_publish("", queue, b"one")
        method, _, _ = get(channel, queue, auto_ack=False)
        channel.basic_reject(method.delivery_tag, requeue=True)
        method, _, _ = get(channel, queue, auto_ack=False)
        same(method.redelivered, True, "redelivered")
        channel.basic_reject(method.delivery_tag, requeue=False)
        same(channel.basic_get(queue)[0], None, "get after the drop")


@scenario
def recover():
    with channel_of() as channel:
        queue = temporary(channel)
        for i in range(3):
            channel.basic_publish("", queue, b"%d" % i)
        for _ in range(3):
            get(channel, queue, auto_ack=False)
        channel.basic_recover(requeue=True)
        for i in range(3):
            method, _, body = get(channel, queue)
            same((body, method.redelivered), (b"%d" % i, True), "recovered")


@scenario
def queue_priority():
    wanted = expect("queue_priority")
    with channel_of() as channel:
        queue = temporary(channel, arguments={"x-max-priority": wanted["highest"]})
        for i, priority in enumerate(wanted["sent"]):
            channel.basic_publish("", queue, b"%d" % i, pika.BasicProperties(priority=priority))
        eventually_count(channel, queue, len(wanted["sent"]))
        same(got_all(channel, queue), [b"%d" % i for i in wanted["sorted"]], "got")


@scenario
def error_queue_priority():
    refused_on_channel("error_queue_priority", lambda c: temporary(c, arguments={"x-max-priority": 256}))


def letters(dead, **more):
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead, **more}


def event(queue, reason, count=1, **more):
    return {"count": count, "exchange": "", "queue": queue, "reason": reason, **more}


def events_of(properties):
    return [{key: value for key, value in table.items() if key not in ("time", "routing-keys")}
            for table in properties.headers["x-death"]]


@scenario
def dead_letter():
    for row in expect("dead_letter")["rows"]:
        with channel_of() as channel:
            dead = temporary(channel)
            queue = temporary(channel, arguments=letters(dead, **row["arguments"]))
            for _ in range(2 if row["reason"] == "maxlen" else 1):
                channel.basic_publish("", queue, b"body", pika.BasicProperties(headers={"mine": "stays"}))
            if row["reason"] == "rejected":
                channel.basic_reject(get(channel, queue, auto_ack=False)[0].delivery_tag, requeue=False)
            method, properties, body = get(channel, dead)
            same((method.exchange, method.routing_key, body), ("", dead, b"body"), "the letter")
            same(events_of(properties), [event(queue, row["reason"])], "x-death")
            same(properties.headers["x-death"][0]["routing-keys"], [queue], "routing-keys")
            same({key: value for key, value in properties.headers.items() if key != "x-death"},
                 {"mine": "stays", "x-first-death-reason": row["reason"], "x-first-death-queue": queue,
                  "x-first-death-exchange": ""}, "other headers")


@scenario
def dead_letter_counts():
    count = expect("dead_letter_counts")["count"]
    with channel_of() as channel:
        queue, waits = unique("queue"), unique("waits")
        temporary(channel, queue, arguments=letters(waits))
        temporary(channel, waits, arguments=letters(queue, **{"x-message-ttl": 20}))
        channel.basic_publish("", queue, b"body")
        for _ in range(count):
            channel.basic_nack(get(channel, queue, auto_ack=False)[0].delivery_tag, requeue=False)
        properties = get(channel, queue)[1]
        same(events_of(properties), [event(waits, "expired", count), event(queue, "rejected", count)], "x-death")
        same(properties.headers["x-first-death-reason"], "rejected", "x-first-death-reason")


@scenario
def dead_letter_circle():
    with channel_of() as channel:
        one, two = unique("one"), unique("two")
        temporary(channel, one, arguments=letters(two, **{"x-message-ttl": 20}))
        temporary(channel, two, arguments=letters(one, **{"x-message-ttl": 20}))
        channel.basic_publish("", one, b"body")
        pump(channel, 0.5)
        same((count_of(channel, one), count_of(channel, two)), (0, 0), "left")


@scenario
def error_dead_letter_key():
    refused_on_channel("error_dead_letter_key", lambda c: temporary(c, arguments={"x-dead-letter-routing-key": "k"}))


@scenario
def error_dead_letter_type():
    refused_on_channel("error_dead_letter_type", lambda c: temporary(c, arguments={"x-dead-letter-exchange": 5}))


REPLY_TO = "amq.rabbitmq.reply-to"


@scenario
def direct_reply_to():
    count = expect("direct_reply_to")["count"]
    with channel_of() as channel, channel_of() as server:
        queue = temporary(channel)
        found = []
        channel.basic_consume(REPLY_TO, lambda c, method, p, body: found.append((p.correlation_id, body)), auto_ack=True)
        for i in range(count):
            channel.basic_publish("", queue, b"%d" % i, pika.BasicProperties(reply_to=REPLY_TO, correlation_id=str(i)))
            _, properties, body = get(channel, queue)
            same(properties.reply_to.startswith(REPLY_TO + "."), True, "reply-to " + properties.reply_to)
            same(server.queue_declare(properties.reply_to, passive=True).method.consumer_count, 1, "consumers")
            server.basic_publish("", properties.reply_to, b"to " + body,
                                 pika.BasicProperties(correlation_id=properties.correlation_id))
        pump(channel, 0.5)
        same(found, [(str(i), b"to %d" % i) for i in range(count)], "answers")


@scenario
def error_reply_consumer_missing():
    def publish(channel):
        channel.basic_publish("", "q", b"", pika.BasicProperties(reply_to=REPLY_TO))
        pump(channel, 2)
    refused_on_channel("error_reply_consumer_missing", publish)


@scenario
def error_reply_consumer_acks():
    refused_on_channel("error_reply_consumer_acks", lambda c: c.basic_consume(REPLY_TO, lambda *_: None))


@scenario
def error_user_id():
    def publish(channel):
        queue = temporary(channel)
        channel.basic_publish("", queue, b"mine", pika.BasicProperties(user_id="guest"))
        eventually_count(channel, queue, 1)
        channel.basic_publish("", queue, b"not mine", pika.BasicProperties(user_id="admin"))
        pump(channel, 2)
    refused_on_channel("error_user_id", publish)


@scenario
def tx_commit():
    wanted = expect("tx_commit")
    with channel_of() as channel:
        queue = temporary(channel)
        nowhere = unique("nowhere")
        returned = []
        channel.add_on_return_callback(lambda *given: returned.append(given))
        channel.tx_select()
        channel.basic_publish("", queue, b"one")
        channel.basic_publish("", nowhere, b"back", mandatory=True)
        channel.basic_publish("", queue, b"two")
        pump(channel, 0.2)
        same((count_of(channel, queue), returned), (0, []), "before the commit")
        channel.tx_commit()
        pump(channel, 0.1)
        same([(about.reply_code, about.reply_text, body) for _, about, _, body in returned],
             [(wanted["code"], wanted["text"], b"back")], "basic.return")
        same(got_all(channel, queue), [b"one", b"two"], "committed")


@scenario
def tx_rollback():
    with channel_of() as channel:
        queue = temporary(channel)
        channel.tx_select()
        channel.basic_publish("", queue, b"one")
        channel.tx_rollback()
        channel.basic_publish("", queue, b"two")
        channel.tx_commit()
        same(got_all(channel, queue), [b"two"], "committed")


@scenario
def tx_settle():
    queue = unique("queue")
    with channel_of() as keeper:
        keeper.queue_declare(queue)
        for i in range(4):
            keeper.basic_publish("", queue, b"%d" % i)
        with channel_of() as channel:
            channel.tx_select()
            tags = [get(channel, queue, auto_ack=False)[0].delivery_tag for _ in range(4)]
            channel.basic_ack(tags[0])
            channel.basic_ack(tags[1])
            channel.tx_rollback()
            channel.basic_ack(tags[0])
            channel.basic_nack(tags[1], requeue=True)
            same(count_of(channel, queue), 0, "before the commit")
            channel.tx_commit()
            eventually_count(keeper, queue, 1)
            channel.basic_ack(tags[3])
        eventually_count(keeper, queue, 3)
        found = [get(keeper, queue)[::2] for _ in range(3)]
        same([(body, method.redelivered) for method, body in found],
             [(b"%d" % i, True) for i in (1, 2, 3)], "not committed")
        keeper.queue_delete(queue)


@scenario
def error_tx_not_selected():
    refused_on_channel("error_tx_not_selected", lambda c: c.tx_commit())


@scenario
def error_tx_then_confirm():
    def both(channel):
        channel.tx_select()
        channel.confirm_delivery()
    refused_on_channel("error_tx_then_confirm", both)


@scenario
def error_confirm_then_tx():
    def both(channel):
        channel.confirm_delivery()
        channel.tx_select()
    refused_on_channel("error_confirm_then_tx", both)


@scenario
def requeue_on_close():
    queue = unique("queue")
    with channel_of() as keeper:
        keeper.queue_declare(queue)
        with channel_of() as channel:
            channel.basic_publish("", queue, b"kept")
            get(channel, queue, auto_ack=False)
        method, _, body = get(keeper, queue)
        same((body, method.redelivered), (b"kept", True), "delivery after the close")
        keeper.queue_delete(queue)


@scenario
def qos_prefetch():
    wanted = expect("qos_prefetch")
    with channel_of() as channel:
        queue = temporary(channel)
        for i in range(wanted["count"]):
            channel.basic_publish("", queue, b"%d" % i)
        channel.basic_qos(prefetch_count=wanted["prefetch"])
        tags = []
        channel.basic_consume(queue, lambda c, method, p, body: tags.append(method.delivery_tag))
        pump(channel, 0.5)
        same(len(tags), wanted["prefetch"], "delivered at first")
        channel.basic_ack(tags[0])
        pump(channel, 0.5)
        same(len(tags), wanted["prefetch"] + 1, "delivered after one ack")
        channel.basic_ack(tags[-1], multiple=True)
        pump(channel, 0.5)
        same(len(tags), 2 * wanted["prefetch"] + 1, "delivered after all were acknowledged")


@scenario
def consumer_priority():
    wanted = expect("consumer_priority")
    with channel_of() as channel:
        queue = temporary(channel)
        found = []
        for tag, priority in (("low", -1), ("high", 10)):
            channel.basic_qos(prefetch_count=wanted["prefetch"] if tag == "high" else 0)
            channel.basic_consume(queue, lambda c, method, p, body: found.append((method.consumer_tag, body)),
                                  consumer_tag=tag, arguments={"x-priority": priority})
        for i in range(wanted["count"]):
            channel.basic_publish("", queue, b"%d" % i)
        pump(channel, 0.5)
        same(sorted(found), sorted(("high" if i < wanted["prefetch"] else "low", b"%d" % i)
                                   for i in range(wanted["count"])), "who got what")


@scenario
def error_consumer_priority():
    refused_on_channel("error_consumer_priority", lambda c: c.basic_consume(
        temporary(c), lambda *_: None, arguments={"x-priority": "high"}))


@scenario
def single_active_consumer():
    count = expect("single_active_consumer")["count"]
    with channel_of() as channel:
        queue = temporary(channel, arguments={"x-single-active-consumer": True})
        found = []
        for tag in ("first", "second"):
            channel.basic_consume(queue, lambda c, method, p, body: found.append((method.consumer_tag, body)),
                                  auto_ack=True, consumer_tag=tag)
        for i in range(count):
            channel.basic_publish("", queue, b"%d" % i)
        pump(channel, 0.5)
        same(found, [("first", b"%d" % i) for i in range(count)], "the first one's")
        channel.basic_cancel("first")
        channel.basic_publish("", queue, b"next")
        pump(channel, 0.5)
        same(found[count:], [("second", b"next")], "the second one's")


@scenario
def error_single_active_exclusive():
    def consume(channel):
        queue = temporary(channel, arguments={"x-single-active-consumer": True})
        channel.basic_consume(queue, lambda *_: None, exclusive=True)
    refused_on_channel("error_single_active_exclusive", consume)


def pump(channel, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and channel.is_open:
        channel.connection.process_data_events(time_limit=0.05)


# ---- exchanges ----


@scenario
def exchange_direct():
    with channel_of() as channel:
        exchange = unique("exchange")
        channel.exchange_declare(exchange, "direct", auto_delete=True)
        queues = {key: temporary(channel) for key in ("red", "blue")}
        for key, queue in queues.items():
            channel.queue_bind(queue, exchange, key)
        for key in ("red", "blue", "green"):
            channel.basic_publish(exchange, key, key.encode())
        for key, queue in queues.items():
            same(got_all(channel, queue), [key.encode()], key)


@scenario
def exchange_fanout():
    with channel_of() as channel:
        exchange = unique("exchange")
        channel.exchange_declare(exchange, "fanout", auto_delete=True)
        queues = [temporary(channel) for _ in range(5)]
        for queue in queues:
            channel.queue_bind(queue, exchange, "ignored")
            channel.queue_bind(queue, exchange, "twice")
        channel.basic_publish(exchange, "any", b"all")
        for queue in queues:
            same(got_all(channel, queue), [b"all"], queue)


@scenario
def exchange_topic():
    with channel_of() as channel:
        exchange = unique("exchange")
        channel.exchange_declare(exchange, "topic")
        for row in expect("exchange_topic")["patterns"]:
            queue = temporary(channel)
            channel.queue_bind(queue, exchange, row["pattern"])
            for key in row["match"] + row["miss"]:
                channel.basic_publish(exchange, key, key.encode())
            same(got_all(channel, queue), [key.encode() for key in row["match"]], row["pattern"])
            channel.queue_unbind(queue, exchange, row["pattern"])
        channel.exchange_delete(exchange)


@scenario
def exchange_headers():
    with channel_of() as channel:
        exchange = unique("exchange")
        channel.exchange_declare(exchange, "headers", auto_delete=True)
        queues = {}
        for match in ("all", "any"):
            queues[match] = temporary(channel)
            channel.queue_bind(queues[match], exchange, arguments={"x-match": match, "colour": "red", "size": 5})
        for name, headers in (("both", {"colour": "red", "size": 5, "more": 1}), ("one", {"colour": "red"}),
                              ("other", {"colour": "blue", "size": 6}), ("typed", {"size": "5"}), ("none", None)):
            channel.basic_publish(exchange, "", name.encode(), pika.BasicProperties(headers=headers))
        same(got_all(channel, queues["all"]), [b"both"], "x-match all")
        same(got_all(channel, queues["any"]), [b"both", b"one"], "x-match any")


@scenario
def exchange_predeclared():
    with channel_of() as channel:
        for exchange, key, arguments in (("amq.direct", unique("key"), None), ("amq.fanout", "", None),
                                         ("amq.topic", unique("a") + ".b", None),
                                         ("amq.headers", "", {"x-match": "all", "id": unique("h")}),
                                         ("amq.match", "", {"x-match": "all", "id": unique("h")})):
            kind = {"amq.headers": "headers", "amq.match": "headers"}.get(exchange, exchange[4:])
            channel.exchange_declare(exchange, kind, passive=True)
            queue = temporary(channel)
            channel.queue_bind(queue, exchange, key, arguments=arguments)
            channel.basic_publish(exchange, key, b"here", pika.BasicProperties(headers=arguments))
            same(got_all(channel, queue), [b"here"], exchange)
            channel.queue_delete(queue)


@scenario
def exchange_lifecycle():
    with connected() as connection:
        channel = connection.channel()
        exchange, automatic = unique("exchange"), unique("exchange")
        channel.exchange_declare(exchange, "direct")
        channel.exchange_declare(exchange, passive=True)
        queue = temporary(channel)
        channel.queue_bind(queue, exchange, "k")
        refused("exchange_lifecycle", lambda: channel.exchange_delete(exchange, if_unused=True))
        channel = connection.channel()
        channel.queue_unbind(queue, exchange, "k")
        channel.exchange_delete(exchange, if_unused=True)
        channel.exchange_declare(automatic, "direct", auto_delete=True)
        channel.queue_bind(queue, automatic, "k")
        channel.exchange_declare(automatic, passive=True)
        channel.queue_unbind(queue, automatic, "k")
        for gone in (exchange, automatic):
            try:
                channel.exchange_declare(gone, passive=True)
                raise Failed("%s is still there" % gone)
            except wrong.ChannelClosedByBroker as closed:
                same(closed.reply_code, 404, "passive declare of the deleted exchange")
            channel = connection.channel()


@scenario
def alternate_exchange():
    with channel_of() as channel:
        names = [unique("exchange") for _ in range(3)]
        for name, alternate in zip(names, (names[1], names[2], names[0])):
            channel.exchange_declare(name, "direct", auto_delete=True, arguments={"alternate-exchange": alternate})
        queues = [temporary(channel) for _ in names]
        for name, queue in zip(names, queues):
            channel.queue_bind(queue, name, queue)
        channel.confirm_delivery()
        for queue in queues:
            channel.basic_publish(names[0], queue, queue.encode(), mandatory=True)
        for queue in queues:
            same(got_all(channel, queue), [queue.encode()], "through the chain")
        try:
            channel.basic_publish(names[0], "nowhere", b"back", mandatory=True)
            raise Failed("what no exchange of the chain routes did not come back")
        except wrong.UnroutableError as returned:
            same((returned.messages[0].method.exchange, returned.messages[0].body), (names[0], b"back"), "return")
        lonely = unique("exchange")
        channel.exchange_declare(lonely, "fanout", auto_delete=True, arguments={"alternate-exchange": unique("none")})
        channel.basic_publish(lonely, "", b"nobody's")
        channel.exchange_delete(lonely)


@scenario
def error_alternate_type():
    refused_on_channel("error_alternate_type", lambda c: c.exchange_declare(
        unique("exchange"), "direct", auto_delete=True, arguments={"alternate-exchange": 5}))


@scenario
def error_alternate_redeclare():
    def twice(channel):
        exchange = unique("exchange")
        channel.exchange_declare(exchange, "direct", auto_delete=True, arguments={"alternate-exchange": "a"})
        temporary_binding(channel, exchange)
        channel.exchange_declare(exchange, "direct", auto_delete=True, arguments={"alternate-exchange": "b"})
    refused_on_channel("error_alternate_redeclare", twice)


def temporary_binding(channel, exchange):
    """An auto-delete exchange goes with it."""
    queue = temporary(channel)
    channel.queue_bind(queue, exchange, "k")
    return queue


@scenario
def exchange_bind():
    with channel_of() as channel:
        last = unique("exchange")
        channel.exchange_declare(last, "fanout", auto_delete=True)
        queue = temporary_binding(channel, last)
        for kind in ("direct", "fanout", "topic", "headers"):
            first, middle = unique("exchange"), unique("exchange")
            for name in (first, middle):
                channel.exchange_declare(name, kind, auto_delete=True)
            channel.exchange_bind(middle, first, "k")
            channel.exchange_bind(last, middle, "k")
            channel.exchange_bind(last, first, "k")
            channel.exchange_bind(first, middle, "k")
            channel.queue_bind(queue, first, "k")
            channel.basic_publish(first, "k", b"once")
            channel.basic_publish(first, "other", b"other")
            found = [b"once", b"other"] if kind in ("fanout", "headers") else [b"once"]
            same(got_all(channel, queue), found, kind)
            channel.queue_unbind(queue, first, "k")
            channel.exchange_unbind(last, first, "k")
            channel.exchange_unbind(last, middle, "k")
            channel.basic_publish(first, "k", b"nowhere")
            same(got_all(channel, queue), [], "after unbind, " + kind)
            channel.exchange_delete(first)


@scenario
def exchange_bind_lifecycle():
    with connected() as connection:
        channel = connection.channel()
        source, destination, above = (unique("exchange") for _ in range(3))
        for name in (above, source, destination):
            channel.exchange_declare(name, "fanout", auto_delete=True)
        channel.exchange_bind(source, above)
        channel.exchange_bind(destination, source)
        refused("exchange_bind_lifecycle", lambda: channel.exchange_delete(source, if_unused=True))
        channel = connection.channel()
        channel.exchange_delete(destination, if_unused=True)
        for gone in (above, source, destination):
            closed_by.clear()
            with contextlib.suppress(wrong.ChannelClosedByBroker):
                channel.exchange_declare(gone, passive=True)
            same(closed_by.get("code"), 404, "passive declare of what went with its last binding")
            channel = connection.channel()
        for name in (source, destination):
            channel.exchange_declare(name, "fanout", auto_delete=name == destination)
        channel.exchange_bind(destination, source)
        channel.exchange_delete(source)
        channel.exchange_declare(destination, passive=True)
        channel.exchange_delete(destination)


@scenario
def error_exchange_bind_default():
    refused_on_channel("error_exchange_bind_default", lambda c: c.exchange_bind("amq.direct", "", "k"))


@scenario
def error_exchange_bind_unknown():
    refused_on_channel("error_exchange_bind_unknown", lambda c: c.exchange_bind(unique("none"), "amq.direct", "k"))


@scenario
def exchange_internal():
    with connected() as connection:
        channel = connection.channel()
        inner, outer = unique("exchange"), unique("exchange")
        channel.exchange_declare(inner, "fanout", internal=True, auto_delete=True)
        channel.exchange_declare(outer, "fanout", auto_delete=True)
        queue = temporary_binding(channel, inner)
        channel.exchange_bind(inner, outer)
        channel.basic_publish(outer, "", b"in")
        same(got_all(channel, queue), [b"in"], "through the other exchange")

        def publish():
            channel.basic_publish(inner, "", b"refused")
            pump(channel, 2)
        refused("exchange_internal", publish)


@scenario
def sender_selected():
    with channel_of() as channel:
        first, cc, bcc = (temporary(channel) for _ in range(3))
        headers = {"CC": [cc, first], "BCC": [bcc, 5], "kept": "yes"}
        channel.basic_publish("", first, b"all", pika.BasicProperties(headers=headers, type="t"))
        for queue in (first, cc, bcc):
            method, properties, body = get(channel, queue)
            same((body, method.routing_key, properties.headers, properties.type),
                 (b"all", first, {"CC": [cc, first], "kept": "yes"}, "t"), "a copy")
            same(got_all(channel, queue), [], "no second copy")
        for queue, pattern in ((first, "a.*"), (cc, "b.#")):
            channel.queue_bind(queue, "amq.topic", pattern)
        channel.basic_publish("amq.topic", "none", b"topic", pika.BasicProperties(headers={"CC": ["a.x"],
                                                                                         "BCC": ["b.y.z"]}))
        for queue in (first, cc):
            _, properties, body = get(channel, queue)
            same((body, properties.headers), (b"topic", {"CC": ["a.x"]}), "by patterns")


@scenario
def error_cc_type():
    def publish(channel):
        channel.basic_publish("", "q", b"refused", pika.BasicProperties(headers={"CC": "no array"}))
        pump(channel, 2)
    refused_on_channel("error_cc_type", publish)


@scenario
def consistent_hash():
    wanted = expect("consistent_hash")
    with channel_of() as channel:
        for arguments in (None, {"hash-header": "id"}, {"hash-property": "message_id"}):
            exchange = unique("exchange")
            channel.exchange_declare(exchange, "x-consistent-hash", auto_delete=True, arguments=arguments)
            queues = [temporary(channel) for _ in wanted["weights"]]
            for queue, weight in zip(queues, wanted["weights"]):
                channel.queue_bind(queue, exchange, weight)
            for i in range(wanted["count"]):
                for _ in range(2):
                    channel.basic_publish(exchange, "k%d" % i if arguments is None else "k", b"%d" % i,
                                          pika.BasicProperties(headers={"id": "h%d" % i}, message_id="m%d" % i))
            found = [got_all(channel, queue) for queue in queues]
            same(sum(map(len, found)), 2 * wanted["count"], "messages")
            same([f[::2] for f in found], [f[1::2] for f in found], "the same key's")
            for one, weight in zip(found, wanted["weights"]):
                share = len(one) / (2 * wanted["count"]) * sum(map(int, wanted["weights"])) / int(weight)
                true(0.5 < share < 1.6, "share of weight %s is %.2f of what is fair" % (weight, share))


@scenario
def error_hash_weight():
    def bind(channel):
        exchange = unique("exchange")
        channel.exchange_declare(exchange, "x-consistent-hash", auto_delete=True)
        queue = temporary(channel)
        channel.queue_bind(queue, exchange, "1")
        channel.queue_bind(queue, exchange, "heavy")
    refused_on_channel("error_hash_weight", bind)


@scenario
def delayed_message():
    late = expect("delayed_message")["late"]
    with channel_of() as channel:
        channel.confirm_delivery()
        exchange = unique("exchange")
        channel.exchange_declare(exchange, "x-delayed-message", auto_delete=True,
                                 arguments={"x-delayed-type": "topic"})
        queue = temporary(channel)
        channel.queue_bind(queue, exchange, "k.*")
        for ms in late:
            channel.basic_publish(exchange, "k.1", b"%d" % ms, pika.BasicProperties(headers={"x-delay": ms}))
        channel.basic_publish(exchange, "k.2", b"now")
        same(got_all(channel, queue), [b"now"], "before their time")
        found = []
        for method, properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=5):
            true(method, "%d of %d came" % (len(found), len(late)))
            found.append((body, properties.headers["x-delay"]))
            if len(found) == len(late):
                break
        channel.cancel()
        same(found, [(b"%d" % ms, -ms) for ms in sorted(late)], "what came late")


@scenario
def deduplication():
    wanted = expect("deduplication")
    with channel_of() as channel:
        channel.confirm_delivery()
        exchange = unique("exchange")
        channel.exchange_declare(exchange, "x-message-deduplication", auto_delete=True,
                                 arguments={"x-cache-size": wanted["size"], "x-cache-ttl": wanted["ttl"]})
        queue = temporary(channel)
        channel.queue_bind(queue, exchange)

        def publish(body, value=None):
            headers = None if value is None else {"x-deduplication-header": value}
            channel.basic_publish(exchange, "", body, pika.BasicProperties(headers=headers))
        for round in range(2):
            for value in ("a", 1, "1"):
                publish(b"%s" % repr(value).encode(), value)
            publish(b"none")
        same(got_all(channel, queue), [b"'a'", b"1", b"'1'", b"none", b"none"], "each value once")
        time.sleep(wanted["ttl"] / 1000 + 0.1)
        publish(b"again", "a")
        same(got_all(channel, queue), [b"again"], "after its time")


@scenario
def queue_deduplication():
    with channel_of() as channel:
        channel.confirm_delivery()
        queue = temporary(channel, arguments={"x-message-deduplication": True})

        def taken(body, value=None):
            headers = None if value is None else {"x-deduplication-header": value}
            try:
                channel.basic_publish("", queue, body, pika.BasicProperties(headers=headers), mandatory=True)
                return True
            except wrong.NackError:
                return False
        for round in range(2):
            for value in ("a", 1, "1"):
                same(taken(b"%s" % repr(value).encode(), value), round == 0, "%r, round %d" % (value, round))
            same(taken(b"none"), True, "one without a value")
        same(count_of(channel, queue), 5, "messages")
        method, _, body = channel.basic_get(queue)
        same(body, b"'a'", "the first")
        same(taken(b"too early", "a"), False, "while it is with a client")
        channel.basic_nack(method.delivery_tag, requeue=True)
        same(taken(b"too early", "a"), False, "after it has come back")
        method, _, _ = arrived(channel, queue)
        channel.basic_ack(method.delivery_tag)
        same(taken(b"again", "a"), True, "after its end")
        channel.queue_purge(queue)
        for value in ("a", 1, "1"):
            same(taken(b"at last", value), True, "%r after a purge" % value)
        same(len(got_all(channel, queue)), 3, "messages")


def arrived(channel, queue):
    found = []

    def there_is_one():
        found[:] = channel.basic_get(queue)
        return found[0]
    eventually(there_is_one, "a message in %s" % queue)
    return found


@scenario
def delivery_limit():
    limit = expect("delivery_limit")["limit"]
    with channel_of() as channel:
        dead = temporary(channel)
        queue = temporary(channel, arguments={"x-delivery-limit": limit, "x-dead-letter-exchange": "",
                                              "x-dead-letter-routing-key": dead})
        channel.basic_publish("", queue, b"poison")
        for returns in range(limit + 1):
            method, properties, _ = arrived(channel, queue)
            counted = (properties.headers or {}).get("x-delivery-count")
            same(counted, returns, "x-delivery-count after %d returns" % returns)
            channel.basic_nack(method.delivery_tag, requeue=True)
        _, properties, body = arrived(channel, dead)
        same(body, b"poison", "the dead letter")
        same(properties.headers["x-death"][0]["reason"], "delivery_limit", "its reason")
        same(count_of(channel, queue), 0, "left in the queue")


# ---- queues ----


@scenario
def queue_server_named():
    with channel_of() as channel:
        names = {channel.queue_declare("", exclusive=True).method.queue for _ in range(3)}
        same(len(names), 3, "different names")
        for name in names:
            true(name.startswith(expect("queue_server_named")["prefix"]), "name %r" % name)
            channel.basic_publish("", name, name.encode())
            same(got_all(channel, name), [name.encode()], "its message")


@scenario
def queue_exclusive():
    queue = unique("queue")
    with channel_of() as channel:
        channel.queue_declare(queue, exclusive=True)
    with channel_of() as channel:
        refused("queue_exclusive", lambda: channel.queue_declare(queue, passive=True))


@scenario
def queue_exclusive_durable():
    with channel_of() as channel:
        queue = temporary(channel)
        channel.basic_publish("", queue, b"kept")
        temporary(channel, queue, durable=True)
        same(got_all(channel, queue), [b"kept"], "its message")


@scenario
def queue_auto_delete():
    with connected() as connection:
        channel = connection.channel()
        queue = unique("queue")
        channel.queue_declare(queue, auto_delete=True)
        one = channel.basic_consume(queue, lambda *_: None)
        two = channel.basic_consume(queue, lambda *_: None)
        channel.basic_cancel(one)
        same(channel.queue_declare(queue, passive=True).method.consumer_count, 1, "consumers")
        channel.basic_cancel(two)
        try:
            channel.queue_declare(queue, passive=True)
            raise Failed("the queue is still there")
        except wrong.ChannelClosedByBroker as closed:
            same(closed.reply_code, 404, "code")


@scenario
def queue_passive():
    with channel_of() as channel:
        queue = temporary(channel)
        for _ in range(3):
            channel.basic_publish("", queue, b"x")
        eventually_count(channel, queue, 3)
        answer = channel.queue_declare(queue, passive=True).method
        same((answer.queue, answer.message_count, answer.consumer_count), (queue, 3, 0), "declare-ok")
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue, lambda *_: None)
        eventually(lambda: (lambda a: (a.message_count, a.consumer_count) == (2, 1))(
            channel.queue_declare(queue, passive=True).method), "2 ready messages and 1 consumer")


@scenario
def queue_purge():
    with channel_of() as channel:
        queue = temporary(channel)
        for _ in range(10):
            channel.basic_publish("", queue, b"x")
        method, _, _ = get(channel, queue, auto_ack=False)
        eventually_count(channel, queue, 9)
        same(channel.queue_purge(queue).method.message_count, 9, "purged")
        same(count_of(channel, queue), 0, "left")
        channel.basic_nack(method.delivery_tag, requeue=True)
        eventually_count(channel, queue, 1)


@scenario
def queue_unbind():
    with channel_of() as channel:
        exchange, queue = unique("exchange"), temporary(channel)
        channel.exchange_declare(exchange, "direct")
        for key in ("a", "b"):
            channel.queue_bind(queue, exchange, key)
        channel.queue_unbind(queue, exchange, "a")
        for key in ("a", "b"):
            channel.basic_publish(exchange, key, key.encode())
        same(got_all(channel, queue), [b"b"], "routed after unbind")
        channel.exchange_delete(exchange)


@scenario
def queue_delete_if_unused():
    with connected() as connection:
        channel, other = connection.channel(), connection.channel()
        queue = temporary(channel)
        tag = channel.basic_consume(queue, lambda *_: None)
        refused("queue_delete_if_unused", lambda: other.queue_delete(queue, if_unused=True))
        channel.basic_cancel(tag)
        channel.queue_delete(queue, if_unused=True)


@scenario
def queue_delete_if_empty():
    with connected() as connection:
        channel = connection.channel()
        queue = temporary(channel)
        channel.basic_publish("", queue, b"x")
        refused("queue_delete_if_empty", lambda: channel.queue_delete(queue, if_empty=True))
        channel = connection.channel()
        channel.queue_purge(queue)
        channel.queue_delete(queue, if_empty=True)


@scenario
def consumer_cancel_notify():
    with connected() as connection:
        channel, other = connection.channel(), connection.channel()
        queue = temporary(channel)
        cancelled = []
        channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
        tag = channel.basic_consume(queue, lambda *_: None)
        other.queue_delete(queue)
        pump(channel, 0.5)
        same(cancelled, [tag], "basic.cancel from the broker")


# ---- what a queue may be told ----


def rule_row(channel, row):
    queue = temporary(channel, arguments=row.get("arguments", {}))
    if "confirms" in row:
        channel.confirm_delivery()
    found = []
    for message in row["publish"]:
        properties = pika.BasicProperties(expiration=message.get("expiration"), priority=message.get("priority"))
        try:
            channel.basic_publish("", queue, message["body"].encode(), properties)
            found.append("ack")
        except wrong.NackError:
            found.append("nack")
    same(found, row.get("confirms", found), "confirms")
    for _ in range(row.get("reject", 0)):
        channel.basic_reject(get(channel, queue, auto_ack=False)[0].delivery_tag, requeue=False)
    time.sleep(row.get("wait_ms", 0) / 1000)
    same([body.decode() for body in got_all(channel, queue)], row["left"], "left of %s" % row["publish"])


def rule_rows(name):
    for row in expect(name)["rows"]:
        with channel_of() as channel:
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
    queue = unique("queue")
    with connected() as connection:
        channel = connection.channel()
        channel.queue_declare(queue, arguments=wanted["arguments"])
        tag = channel.basic_consume(queue, lambda *_: None)
        connection.sleep(wanted["used_ms"] / 1000)
        same(count_of(channel, queue), 0, "messages while it is used")
        channel.basic_cancel(tag)
        channel.basic_publish("", queue, b"x")
        connection.sleep(wanted["gone_ms"] / 1000)
        try:
            channel.queue_declare(queue, passive=True)
            raise Failed("the queue is still there")
        except wrong.ChannelClosedByBroker as closed:
            same(closed.reply_code, wanted["code"], "code")


@scenario
def error_queue_argument():
    wanted = expect("error_queue_argument")
    for arguments in wanted["wrong"]:
        refused_on_channel("error_queue_argument", lambda channel, a=arguments: temporary(channel, arguments=a))
    queue = unique("queue")

    def twice(channel):
        for arguments in (wanted["first"], wanted["first"], wanted["second"]):
            channel.queue_declare(queue, exclusive=True, arguments=arguments)
    refused_on_channel("error_queue_argument", twice)


@scenario
def error_expiration():
    def publish(channel):
        properties = pika.BasicProperties(expiration=expect("error_expiration")["expiration"])
        channel.basic_publish("", temporary(channel), b"x", properties)
        channel.queue_declare("", exclusive=True)
    refused_on_channel("error_expiration", publish)


# ---- size and number ----


def round_trip(channel, size, seed):
    queue = temporary(channel)
    body = body_of(size, seed)
    channel.basic_publish("", queue, body)
    channel.basic_qos(prefetch_count=1)
    for method, _, found in channel.consume(queue, inactivity_timeout=60):
        true(method is not None, "the body of %d bytes did not come" % size)
        same((len(found), digest(found)), (size, digest(body)), "body of %d bytes" % size)
        channel.basic_ack(method.delivery_tag)
        break
    channel.cancel()
    channel.queue_delete(queue)


@scenario
def body_small():
    wanted = expect("body_small")
    with connected() as connection:
        channel = connection.channel()
        payload = connection._impl.params.frame_max - 8
        sizes = wanted["sizes"] + [n * payload + d for n in (1, 2) for d in wanted["around_frame"]]
        for seed, size in enumerate(sizes):
            round_trip(channel, size, seed)


@scenario
def body_1mib():
    with channel_of() as channel:
        round_trip(channel, expect("body_1mib")["sizes"][0], 1)


@scenario
def body_64mib():
    with channel_of() as channel:
        round_trip(channel, expect("body_64mib")["sizes"][0], 2)


@scenario
def queues_10000():
    count = expect("queues_10000")["count"]
    with channel_of() as channel:
        names = [temporary(channel) for _ in range(count)]
        for name in (names[0], names[-1]):
            channel.basic_publish("", name, name.encode())
            same(got_all(channel, name), [name.encode()], "its message")


@scenario
def connections_1000():
    connections = []
    try:
        for _ in range(expect("connections_1000")["count"]):
            connections.append(pika.BlockingConnection(parameters(heartbeat=0)))
        with channel_of() as keeper:
            queue = unique("queue")
            keeper.queue_declare(queue)
            for i, connection in enumerate(connections):
                connection.channel().basic_publish("", queue, b"%d" % i)
            eventually_count(keeper, queue, len(connections))
            same({body for body in got_all(keeper, queue)}, {b"%d" % i for i in range(len(connections))}, "bodies")
            keeper.queue_delete(queue)
    finally:
        for connection in connections:
            if connection.is_open:
                connection.close()


# ---- connections ----


def role_hold_and_publish(shared, exclusive):
    channel = pika.BlockingConnection(parameters()).channel()
    channel.queue_declare(exclusive, exclusive=True)
    get(channel, shared, auto_ack=False)
    there()
    while True:
        channel.basic_publish("", exclusive, body_of(expect("killed_mid_frame")["size"]))


def role_hold(interval, exclusive):
    connection = pika.BlockingConnection(parameters(heartbeat=int(interval)))
    connection.channel().queue_declare(exclusive, exclusive=True)
    there()
    while True:
        connection.process_data_events(time_limit=1)


def queue_is_gone(connection, queue):
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except wrong.ChannelClosedByBroker as closed:
        if closed.reply_code == 404:
            return True
        same(closed.reply_code, 405, "code while the owner lives")
        return False
    raise Failed("another connection's exclusive queue could be declared")


@scenario
def killed_mid_frame():
    with connected() as connection:
        keeper = connection.channel()
        shared, exclusive = unique("queue"), unique("queue")
        keeper.queue_declare(shared)
        keeper.basic_publish("", shared, b"kept")
        holder = child("hold_and_publish", shared, exclusive)
        time.sleep(0.3)
        end(holder)
        method, _, body = get(keeper, shared, timeout_s=10)
        same((body, method.redelivered), (b"kept", True), "the message of the killed client")
        eventually(lambda: queue_is_gone(connection, exclusive), "its exclusive queue gone")
        keeper.queue_delete(shared)


@scenario
def heartbeat_kept():
    wanted = expect("heartbeat_kept")
    with connected(heartbeat=wanted["interval_s"]) as connection:
        channel = connection.channel()
        same(connection._impl.params.heartbeat, wanted["interval_s"], "interval agreed")
        queue = temporary(channel)
        received = connection._impl._heartbeat_checker._heartbeat_frames_received
        pump(channel, wanted["idle_s"])
        more = connection._impl._heartbeat_checker._heartbeat_frames_received - received
        true(more >= 2, "%d heartbeats from the broker in %d s" % (more, wanted["idle_s"]))
        channel.basic_publish("", queue, b"alive")
        same(got_all(channel, queue), [b"alive"], "after the idle time")


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
        same(len({channel.channel_number for channel in opened}), len(opened), "channel numbers")
        queue = temporary(opened[0])
        for i, channel in enumerate(opened):
            channel.basic_publish("", queue, b"%d" % i)
        for channel in opened[1::2]:
            channel.close()
        for i, channel in enumerate(opened[::2]):
            channel.basic_publish("", queue, b"again %d" % i)
        eventually_count(opened[0], queue, len(opened) + len(opened[::2]))


@scenario
def channel_reuse():
    with connected() as connection:
        other, channel = connection.channel(), connection.channel()
        number = channel.channel_number
        queue = temporary(other)
        refused("channel_reuse", lambda: channel.queue_declare(unique("nowhere"), passive=True))
        other.basic_publish("", queue, b"other")
        channel = connection.channel(number)
        same(channel.channel_number, number, "channel number")
        channel.basic_publish("", queue, b"again")
        eventually_count(other, queue, 2)
        same(got_all(channel, queue), [b"other", b"again"], "messages")


@scenario
def negotiate_frame_max():
    wanted = expect("negotiate_frame_max")
    with connected(frame_max=wanted["frame_max"]) as connection:
        same(connection._impl.params.frame_max, wanted["frame_max"], "frame-max agreed")
        round_trip(connection.channel(), wanted["size"], 3)


@scenario
def negotiate_channel_max():
    wanted = expect("negotiate_channel_max")["channel_max"]
    with connected(channel_max=wanted) as connection:
        same(connection._impl.params.channel_max, wanted, "channel-max agreed")
        opened = [connection.channel() for _ in range(wanted)]
        queue = temporary(opened[0])
        opened[-1].basic_publish("", queue, b"x")
        eventually_count(opened[0], queue, 1)


# ---- refusals ----


@scenario
def error_login():
    refused("error_login", lambda: pika.BlockingConnection(
        parameters(credentials=pika.PlainCredentials("guest", "wrong"))))


@scenario
def error_vhost():
    refused("error_vhost", lambda: pika.BlockingConnection(parameters(virtual_host="nowhere")))


def refused_on_channel(name, action):
    with channel_of() as channel:
        refused(name, lambda: action(channel))


@scenario
def error_queue_unknown():
    refused_on_channel("error_queue_unknown", lambda c: c.queue_declare(unique("nowhere"), passive=True))


@scenario
def error_get_unknown():
    refused_on_channel("error_get_unknown", lambda c: c.basic_get(unique("nowhere")))


@scenario
def error_consume_unknown():
    refused_on_channel("error_consume_unknown", lambda c: c.basic_consume(unique("nowhere"), lambda *_: None))


@scenario
def error_publish_unknown():
    def publish(channel):
        channel.basic_publish(unique("nowhere"), "", b"x")
        pump(channel, 2)
    refused_on_channel("error_publish_unknown", publish)


@scenario
def error_bind_unknown():
    refused_on_channel("error_bind_unknown", lambda c: c.queue_bind(temporary(c), unique("nowhere"), "k"))


@scenario
def error_queue_redeclare():
    def declare(channel):
        channel.queue_declare(queue)
        channel.queue_declare(queue, durable=True)
    queue = unique("queue")
    refused_on_channel("error_queue_redeclare", declare)
    with channel_of() as channel:
        channel.queue_delete(queue)


@scenario
def error_exchange_redeclare():
    exchange = unique("exchange")

    def declare(channel):
        channel.exchange_declare(exchange, "direct")
        channel.exchange_declare(exchange, "fanout")
    refused_on_channel("error_exchange_redeclare", declare)
    with channel_of() as channel:
        channel.exchange_delete(exchange)


@scenario
def error_delivery_tag():
    def ack(channel):
        channel.basic_ack(7)
        pump(channel, 2)
    refused_on_channel("error_delivery_tag", ack)


@scenario
def error_queue_reserved():
    refused_on_channel("error_queue_reserved", lambda c: c.queue_declare("amq." + unique("queue")))


@scenario
def error_exchange_reserved():
    refused_on_channel("error_exchange_reserved", lambda c: c.exchange_declare("amq." + unique("exchange"), "direct"))


@scenario
def error_consume_exclusive():
    with connected() as connection:
        channel, other = connection.channel(), connection.channel()
        queue = temporary(channel)
        channel.basic_consume(queue, lambda *_: None, exclusive=True)
        refused("error_consume_exclusive", lambda: other.basic_consume(queue, lambda *_: None))


@scenario
def error_queue_locked():
    with channel_of() as channel:
        queue = temporary(channel)
        refused_on_channel("error_queue_locked", lambda c: c.queue_declare(queue, exclusive=True))


@scenario
def error_consumer_tag():
    def consume(channel):
        queue = temporary(channel)
        for _ in range(2):
            # pika refuses a tag it knows; the second consume goes past that check.
            channel._impl.basic_consume(queue, lambda *_: None, consumer_tag="twice")
            pump(channel, 0.3)
            channel._impl._consumers.pop("twice", None)
    refused_on_channel("error_consumer_tag", consume)


@scenario
def error_exchange_type():
    refused_on_channel("error_exchange_type", lambda c: c.exchange_declare(unique("exchange"), "nonesuch"))


@scenario
def error_not_implemented():
    refused_on_channel("error_not_implemented", lambda c: c.basic_qos(prefetch_size=1000))


@scenario
def blocked():
    wanted, told = expect("blocked"), []
    with connected() as connection:
        def hears(count):
            connection.process_data_events(0.02)
            return len(told) >= count
        connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
        connection.add_on_connection_unblocked_callback(lambda *_: told.append("unblocked"))
        channel = connection.channel()
        queue = temporary(channel)
        for i in range(wanted["count"]):
            channel.basic_publish("", queue, b"%d" % i)
        eventually(lambda: hears(1), "connection.blocked", 20)
        same(told, [wanted["reason"]], "the reason")
        print("# blocked", flush=True)
        eventually(lambda: hears(2), "connection.unblocked", 60)
        same(told[1:], ["unblocked"], "said afterwards")
        eventually_count(channel, queue, wanted["count"])
        same(got_all(channel, queue), [b"%d" % i for i in range(wanted["count"])], "messages")


@scenario
def shutdown():
    def wait(channel):
        print("# waiting", flush=True)
        pump(channel, 60)
    refused_on_channel("shutdown", wait)


note_closes()
main({"hold_and_publish": role_hold_and_publish, "hold": role_hold})
