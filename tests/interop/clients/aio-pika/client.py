# SPDX-License-Identifier: Apache-2.0
"""The scenarios with aio-pika over aiormq."""
import asyncio
import contextlib
import functools
import json
import os
import signal
import sys
from datetime import datetime

import aio_pika
import aiormq.connection
from aio_pika import Message

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import HOST, PORT, Failed, body_of, child, digest, end, expect, main, same, there, true, unique  # noqa: E402

# pamqp encodes no integer from -128 to -1.
SMALL = -129
# aiormq's exceptions carry the text alone; what the broker said is noted here.
closed_by = {}
# Nor does it hand on connection.blocked: (blocked, reason) as it came.
blocks = []


LEVELS = {aiormq.spec.Channel.Close: "channel", aiormq.spec.Connection.Close: "connection"}


def note_closes():
    get_frame = aiormq.connection.FrameReceiver.get_frame

    async def note(self):
        received = await get_frame(self)
        frame = received[-1]
        if type(frame) in LEVELS:
            closed_by.update(level=LEVELS[type(frame)], code=frame.reply_code,
                             **{"class": frame.class_id, "method": frame.method_id})
        elif isinstance(frame, aiormq.spec.Connection.Blocked):
            blocks.append((True, frame.reason))
        elif isinstance(frame, aiormq.spec.Connection.Unblocked):
            blocks.append((False, None))
        return received
    aiormq.connection.FrameReceiver.get_frame = note


def scenario(function):
    @functools.wraps(function)
    def run():
        asyncio.run(function())
    return harness.scenario(run)


def connect(password="guest", virtual_host="", heartbeat=60):
    return aio_pika.connect("amqp://guest:%s@%s:%d/%s?heartbeat=%d" % (password, HOST, PORT, virtual_host, heartbeat),
                            timeout=20)


@contextlib.asynccontextmanager
async def connected(**given):
    connection = await connect(**given)
    try:
        yield connection
    finally:
        if not connection.is_closed:
            await connection.close()


def channel_in(connection, confirms=False, **given):
    return connection.channel(publisher_confirms=confirms, **given)


@contextlib.asynccontextmanager
async def channel_of(confirms=False, **given):
    async with connected(**given) as connection:
        yield await channel_in(connection, confirms)


def temporary(channel, name=None, **given):
    return channel.declare_queue(name or unique("queue"), exclusive=True, **given)


def exchange_of(channel, kind, name=None, **given):
    return channel.declare_exchange(name or unique("exchange"), kind, auto_delete=True, **given)


async def publish(channel, body, key, exchange=None, mandatory=False, **properties):
    target = exchange or channel.default_exchange
    return await target.publish(Message(str(body).encode(), **properties), key, mandatory=mandatory)


async def publish_numbers(channel, queue, count):
    for i in range(count):
        await publish(channel, i, queue.name)


async def eventually(condition, what, timeout_s=5.0, step_s=0.01):
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not await condition():
        true(asyncio.get_running_loop().time() < deadline, "%s: not within %.1f s" % (what, timeout_s))
        await asyncio.sleep(step_s)


async def arrived(values, count, what, timeout_s=5.0):
    """Waits until callbacks have added so many."""
    async def enough():
        return len(values) >= count
    await eventually(enough, what, timeout_s)
    return values


async def look(channel, queue):
    """(messages, consumers)"""
    result = (await channel.declare_queue(queue.name, passive=True)).declaration_result
    return result.message_count, result.consumer_count


async def count_of(channel, queue):
    return (await look(channel, queue))[0]


async def eventually_count(channel, queue, wanted):
    async def reached():
        return await count_of(channel, queue) == wanted
    await eventually(reached, "%d messages in the queue" % wanted)


async def get(queue, no_ack=True, timeout_s=5.0):
    got = []

    async def one():
        got.append(await queue.get(no_ack=no_ack, fail=False, timeout=timeout_s))
        return got[-1]
    await eventually(one, "a message", timeout_s)
    return got[-1]


async def get_is(queue, body, redelivered, what):
    message = await get(queue)
    same((message.body.decode(), message.redelivered), (body, redelivered), what)


async def got_all(queue):
    bodies = []
    while message := await queue.get(no_ack=True, fail=False, timeout=5):
        bodies.append(message.body.decode())
    return bodies


def keep(values, what=lambda message: message.body.decode()):
    async def callback(message):
        values.append(what(message))
    return callback


async def ignore(_):
    pass


async def refused(name, action):
    """Runs the action; the broker's close must be the one that the list names."""
    wanted = {key: expect(name)[key] for key in ("level", "code", "class", "method")}
    closed_by.clear()
    with contextlib.suppress(aiormq.exceptions.AMQPError, aiormq.connection.AMQPInternalError, asyncio.CancelledError):
        await action

    async def came():
        return closed_by
    await eventually(came, "an exception", 10)
    same(closed_by, wanted, "exception")
    await asyncio.sleep(0)


async def refused_on_channel(name, action):
    async with channel_of() as channel:
        await refused(name, action(channel))


async def is_missing(declared):
    try:
        await declared
    except aiormq.exceptions.ChannelNotFoundEntity:
        return True
    return False


# ---- publish, consume, get ----


@scenario
async def publish_consume():
    count = expect("publish_consume")["count"]
    async with channel_of() as channel:
        queue = await temporary(channel)
        await publish_numbers(channel, queue, count)
        values = []

        async def settle(message):
            values.append((message.body.decode(), message.redelivered))
            await message.ack()
        tag = await queue.consume(settle)
        await arrived(values, count, "the messages", 20)
        same(values, [(str(i), False) for i in range(count)], "messages")
        await queue.cancel(tag)
        await eventually_count(channel, queue, 0)


@scenario
async def publish_get():
    count = expect("publish_get")["count"]
    async with channel_of() as channel:
        queue = await temporary(channel)
        await publish_numbers(channel, queue, count)
        await eventually_count(channel, queue, count)
        for i in range(count):
            message = await queue.get()
            same((message.body.decode(), message.message_count, message.exchange, message.routing_key,
                  message.redelivered), (str(i), count - 1 - i, "", queue.name, False), "get-ok")
            await message.ack()
        same(await queue.get(fail=False), None, "get from the empty queue")


@scenario
async def properties():
    sent = dict(content_type="text/plain", content_encoding="utf-8", delivery_mode=2, priority=7, correlation_id="corr",
                reply_to="back", expiration=60, message_id="m-1", type="kind", user_id="guest", app_id="interop",
                timestamp=datetime(2023, 11, 14, 22, 13, 20),
                # aio-pika sends a float as JSON.
                headers={"text": "grüße", "int": SMALL - 1, "big": 2 ** 40, "yes": True, "no": False,
                         "list": [1, "two", [3]], "table": {"inner": {"deep": 1}}, "none": None})
    async with channel_of() as channel:
        queue = await temporary(channel)
        await publish(channel, "x", queue.name, **sent)
        message = await get(queue)
        for name, value in sent.items():
            found = getattr(message, name)
            same(dict(found) if name == "headers" else found, value, name)


@scenario
async def confirm():
    count = expect("confirm")["count"]
    async with channel_of(confirms=True) as channel:
        queue = await temporary(channel)
        confirms = await asyncio.gather(*(publish(channel, i, queue.name) for i in range(count)),
                                        publish(channel, "unroutable", unique("nowhere")))
        same({type(confirm) for confirm in confirms}, {aiormq.spec.Basic.Ack}, "confirms")
        same(await count_of(channel, queue), count, "messages")


@scenario
async def return_unroutable():
    wanted = expect("return_unroutable")
    async with channel_of(confirms=True) as channel:
        queue, nowhere, returned = await temporary(channel), unique("nowhere"), []
        channel.return_callbacks.add(lambda _, message: returned.append(message))
        await publish(channel, "routable", queue.name, mandatory=True)
        back = await publish(channel, "back", nowhere, mandatory=True)
        same((back.delivery.reply_code, back.delivery.reply_text, back.delivery.exchange, back.delivery.routing_key,
              back.body), (wanted["code"], wanted["text"], "", nowhere, b"back"), "basic.return")
        same([message.body for message in returned], [b"back"], "returned")
        same(await got_all(queue), ["routable"], "routed")


@scenario
async def nack_requeue():
    async with channel_of() as channel:
        queue = await temporary(channel)
        await publish_numbers(channel, queue, 3)
        message = await get(queue, no_ack=False)
        same((message.body, message.redelivered), (b"0", False), "first delivery")
        await message.nack(requeue=True)
        await get_is(queue, "0", True, "second delivery")
        await get_is(queue, "1", False, "the message behind it")


@scenario
async def nack_multiple():
    async with channel_of() as channel:
        queue = await temporary(channel)
        await publish_numbers(channel, queue, 6)
        messages = [await get(queue, no_ack=False) for _ in range(6)]
        await messages[1].ack(multiple=True)
        await messages[3].nack(multiple=True, requeue=True)
        await eventually_count(channel, queue, 2)
        await get_is(queue, "2", True, "requeued")
        await get_is(queue, "3", True, "requeued")
        await messages[5].ack(multiple=True)
        await eventually_count(channel, queue, 0)


@scenario
async def reject():
    async with channel_of() as channel:
        queue = await temporary(channel)
        await publish(channel, "one", queue.name)
        await (await get(queue, no_ack=False)).reject(requeue=True)
        again = await get(queue, no_ack=False)
        same(again.redelivered, True, "redelivered")
        await again.reject(requeue=False)
        same(await got_all(queue), [], "get after the drop")


@scenario
async def recover():
    async with channel_of() as channel:
        queue = await temporary(channel)
        await publish_numbers(channel, queue, 3)
        for _ in range(3):
            await get(queue, no_ack=False)
        await channel.channel.basic_recover(requeue=True)
        for i in range(3):
            await get_is(queue, str(i), True, "recovered")


@scenario
async def requeue_on_close():
    async with channel_of() as keeper:
        queue = await keeper.declare_queue(unique("queue"))
        async with channel_of() as channel:
            await publish(channel, "kept", queue.name)
            await get(await channel.get_queue(queue.name), no_ack=False)
        await get_is(queue, "kept", True, "delivery after the close")
        await queue.delete()


@scenario
async def qos_prefetch():
    prefetch, count = (expect("qos_prefetch")[key] for key in ("prefetch", "count"))
    async with channel_of() as channel:
        queue, messages = await temporary(channel), []
        await publish_numbers(channel, queue, count)
        await channel.set_qos(prefetch_count=prefetch)
        await queue.consume(keep(messages, lambda message: message))
        await asyncio.sleep(0.5)
        same(len(messages), prefetch, "delivered at first")
        await messages[0].ack()
        await asyncio.sleep(0.5)
        same(len(messages), prefetch + 1, "delivered after one ack")
        await messages[-1].ack(multiple=True)
        await asyncio.sleep(0.5)
        same(len(messages), 2 * prefetch + 1, "delivered after all were acknowledged")


# ---- consumers that are not equal ----


def tagged(message):
    return message.consumer_tag, message.body.decode()


@scenario
async def consumer_priority():
    prefetch, count = (expect("consumer_priority")[key] for key in ("prefetch", "count"))
    async with channel_of() as channel:
        queue, values = await temporary(channel), []
        await queue.consume(keep(values, tagged), consumer_tag="low", arguments={"x-priority": SMALL})
        await channel.set_qos(prefetch_count=prefetch)
        await queue.consume(keep(values, tagged), consumer_tag="high", arguments={"x-priority": 10})
        await publish_numbers(channel, queue, count)
        await asyncio.sleep(0.5)
        same(sorted(values), sorted(("high" if i < prefetch else "low", str(i)) for i in range(count)), "who got what")


@scenario
async def error_consumer_priority():
    async def action(channel):
        await (await temporary(channel)).consume(ignore, arguments={"x-priority": "high"})
    await refused_on_channel("error_consumer_priority", action)


@scenario
async def single_active_consumer():
    count = expect("single_active_consumer")["count"]
    async with channel_of() as channel:
        queue, values = await temporary(channel, arguments={"x-single-active-consumer": True}), []
        for tag in ("first", "second"):
            await queue.consume(keep(values, tagged), no_ack=True, consumer_tag=tag)
        await publish_numbers(channel, queue, count)
        await arrived(values, count, "the messages")
        same(values, [("first", str(i)) for i in range(count)], "the first one's")
        await queue.cancel("first")
        await publish(channel, "next", queue.name)
        await arrived(values, count + 1, "another one")
        same(values[count:], [("second", "next")], "the second one's")


@scenario
async def error_single_active_exclusive():
    async def action(channel):
        queue = await temporary(channel, arguments={"x-single-active-consumer": True})
        await queue.consume(ignore, exclusive=True)
    await refused_on_channel("error_single_active_exclusive", action)


# ---- priorities, dead letters ----


@scenario
async def queue_priority():
    highest, sent, ranked = (expect("queue_priority")[key] for key in ("highest", "sent", "sorted"))
    async with channel_of() as channel:
        queue = await temporary(channel, arguments={"x-max-priority": highest})
        for i, priority in enumerate(sent):
            await publish(channel, i, queue.name, priority=priority)
        await eventually_count(channel, queue, len(sent))
        same(await got_all(queue), [str(i) for i in ranked], "got")


def refused_queue(name, arguments):
    return refused_on_channel(name, lambda channel: temporary(channel, arguments=arguments))


@scenario
async def error_queue_priority():
    await refused_queue("error_queue_priority", {"x-max-priority": 256})


def mortal(channel, name, dead, **more):
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead, **more}
    return temporary(channel, name, arguments=arguments)


def events_of(message):
    return [tuple(event[key] for key in ("queue", "reason", "count", "exchange")) for event in message.headers["x-death"]]


async def one_letter(channel, row):
    dead = await temporary(channel)
    queue = await mortal(channel, None, dead.name, **row["arguments"])
    for _ in range(2 if row["reason"] == "maxlen" else 1):
        await publish(channel, "body", queue.name, headers={"mine": "stays"})
    if row["reason"] == "rejected":
        await (await get(queue, no_ack=False)).reject()
    letter = await get(dead)
    same(letter.body, b"body", "the letter")
    same(events_of(letter), [(queue.name, row["reason"], 1, "")], "x-death")
    same(letter.headers["x-death"][0]["routing-keys"], [queue.name], "routing-keys")
    same([letter.headers[key] for key in ("mine", "x-first-death-reason", "x-first-death-queue",
                                          "x-first-death-exchange")],
         ["stays", row["reason"], queue.name, ""], "other headers")


@scenario
async def dead_letter():
    for row in expect("dead_letter")["rows"]:
        async with channel_of() as channel:
            await one_letter(channel, row)


@scenario
async def dead_letter_counts():
    count = expect("dead_letter_counts")["count"]
    async with channel_of() as channel:
        name, waits = unique("queue"), unique("waits")
        queue = await mortal(channel, name, waits)
        await mortal(channel, waits, name, **{"x-message-ttl": 20})
        await publish(channel, "body", name)
        for _ in range(count):
            await (await get(queue, no_ack=False)).nack(requeue=False)
        same(events_of(await get(queue)), [(waits, "expired", count, ""), (name, "rejected", count, "")], "x-death")


@scenario
async def dead_letter_circle():
    async with channel_of() as channel:
        names = unique("one"), unique("two")
        queues = [await mortal(channel, names[i], names[1 - i], **{"x-message-ttl": 20}) for i in (0, 1)]
        await publish(channel, "body", names[0])
        await asyncio.sleep(0.5)
        same([await count_of(channel, queue) for queue in queues], [0, 0], "left")


@scenario
async def error_dead_letter_key():
    await refused_queue("error_dead_letter_key", {"x-dead-letter-routing-key": "k"})


@scenario
async def error_dead_letter_type():
    await refused_queue("error_dead_letter_type", {"x-dead-letter-exchange": 5})


# ---- direct reply-to, user-id ----

REPLY_TO = "amq.rabbitmq.reply-to"


@scenario
async def direct_reply_to():
    count = expect("direct_reply_to")["count"]
    async with channel_of() as channel, channel_of() as server:
        queue, answers = await temporary(channel), []
        await (await channel.get_queue(REPLY_TO, ensure=False)).consume(
            keep(answers, lambda message: (message.correlation_id, message.body.decode())), no_ack=True)
        for i in range(count):
            await publish(channel, i, queue.name, reply_to=REPLY_TO, correlation_id=str(i))
            request = await get(queue)
            true(request.reply_to.startswith(REPLY_TO + "."), "reply-to " + request.reply_to)
            await publish(server, "to " + request.body.decode(), request.reply_to,
                          correlation_id=request.correlation_id)
        await arrived(answers, count, "the answers")
        same(answers, [(str(i), "to %d" % i) for i in range(count)], "answers")


@scenario
async def error_reply_consumer_missing():
    await refused_on_channel("error_reply_consumer_missing",
                             lambda channel: publish(channel, "", "q", reply_to=REPLY_TO))


@scenario
async def error_reply_consumer_acks():
    async def action(channel):
        await (await channel.get_queue(REPLY_TO, ensure=False)).consume(ignore)
    await refused_on_channel("error_reply_consumer_acks", action)


@scenario
async def error_user_id():
    async def action(channel):
        queue = await temporary(channel)
        await publish(channel, "mine", queue.name, user_id="guest")
        await eventually_count(channel, queue, 1)
        await publish(channel, "not mine", queue.name, user_id="admin")
    await refused_on_channel("error_user_id", action)


# ---- transactions ----


@scenario
async def tx_rollback():
    async with channel_of() as channel:
        queue = await temporary(channel)
        transaction = channel.transaction()
        await transaction.select()
        await publish(channel, "one", queue.name)
        await transaction.rollback()
        await publish(channel, "two", queue.name)
        await transaction.commit()
        same(await got_all(queue), ["two"], "committed")


@scenario
async def tx_settle():
    async with channel_of() as channel:
        queue = await temporary(channel)
        await publish_numbers(channel, queue, 4)
        transaction = channel.transaction()
        await transaction.select()
        tags = [(await get(queue, no_ack=False)).delivery_tag for _ in range(4)]
        await channel.channel.basic_ack(tags[2])
        await channel.channel.basic_nack(tags[1], multiple=True, requeue=True)
        await transaction.rollback()
        await channel.channel.basic_ack(tags[2], multiple=True)
        await channel.channel.basic_reject(tags[3], requeue=True)
        same(await count_of(channel, queue), 0, "before the commit")
        await transaction.commit()
        await eventually_count(channel, queue, 1)
        await get_is(queue, "3", True, "rejected")


@scenario
async def error_tx_not_selected():
    await refused_on_channel("error_tx_not_selected", lambda channel: channel.transaction().commit())


@scenario
async def error_tx_then_confirm():
    async def action(channel):
        await channel.transaction().select()
        await channel.channel.confirm_delivery()
    await refused_on_channel("error_tx_then_confirm", action)


@scenario
async def error_confirm_then_tx():
    async with channel_of(confirms=True) as channel:
        await refused("error_confirm_then_tx", channel.channel.tx_select())


# ---- exchanges ----


@scenario
async def exchange_direct():
    async with channel_of() as channel:
        exchange = await exchange_of(channel, "direct")
        queues = {key: await temporary(channel) for key in ("red", "blue")}
        for key, queue in queues.items():
            await queue.bind(exchange, key)
        for key in ("red", "blue", "green"):
            await publish(channel, key, key, exchange)
        for key, queue in queues.items():
            same(await got_all(queue), [key], key)


@scenario
async def exchange_fanout():
    async with channel_of() as channel:
        exchange = await exchange_of(channel, "fanout")
        queues = [await temporary(channel) for _ in range(5)]
        for queue in queues:
            await queue.bind(exchange, "ignored")
            await queue.bind(exchange, "twice")
        await publish(channel, "all", "any", exchange)
        for queue in queues:
            same(await got_all(queue), ["all"], queue.name)


@scenario
async def exchange_topic():
    async with channel_of() as channel:
        for row in expect("exchange_topic")["patterns"]:
            exchange, queue = await exchange_of(channel, "topic"), await temporary(channel)
            await queue.bind(exchange, row["pattern"])
            for key in row["match"] + row["miss"]:
                await publish(channel, key, key, exchange)
            same(await got_all(queue), row["match"], row["pattern"])
            await queue.unbind(exchange, row["pattern"])


@scenario
async def exchange_headers():
    async with channel_of() as channel:
        exchange = await exchange_of(channel, "headers")
        queues = {match: await temporary(channel) for match in ("all", "any")}
        for match, queue in queues.items():
            await queue.bind(exchange, "", arguments={"x-match": match, "colour": "red", "size": 5})
        for name, headers in {"both": {"colour": "red", "size": 5, "more": 1}, "one": {"colour": "red"},
                              "other": {"colour": "blue", "size": 6}, "typed": {"size": "5"}, "none": {}}.items():
            await publish(channel, name, "", exchange, headers=headers)
        same(await got_all(queues["all"]), ["both"], "x-match all")
        same(await got_all(queues["any"]), ["both", "one"], "x-match any")


@scenario
async def exchange_predeclared():
    async with channel_of() as channel:
        for name, kind, key, headers in (
                ("amq.direct", "direct", unique("key"), {}), ("amq.fanout", "fanout", "", {}),
                ("amq.topic", "topic", unique("a") + ".b", {}),
                ("amq.headers", "headers", "", {"x-match": "all", "id": unique("h")}),
                ("amq.match", "headers", "", {"x-match": "all", "id": unique("h")})):
            exchange = await channel.declare_exchange(name, kind, passive=True)
            queue = await temporary(channel)
            await queue.bind(exchange, key, arguments=headers)
            await publish(channel, "here", key, exchange, headers=headers)
            same(await got_all(queue), ["here"], name)
            await queue.delete()


async def exchanges_gone(connection, *exchanges):
    for exchange in exchanges:
        true(await is_missing((await channel_in(connection)).get_exchange(exchange.name)),
             exchange.name + " is still there")


@scenario
async def exchange_lifecycle():
    async with connected() as connection:
        channel, other = await channel_in(connection), await channel_in(connection)
        exchange = await channel.declare_exchange(unique("exchange"), "direct")
        await channel.get_exchange(exchange.name)
        queue = await temporary(channel)
        await queue.bind(exchange, "k")
        await refused("exchange_lifecycle", other.exchange_delete(exchange.name, if_unused=True))
        await queue.unbind(exchange, "k")
        await exchange.delete(if_unused=True)
        automatic = await exchange_of(channel, "direct")
        await queue.bind(automatic, "k")
        await channel.get_exchange(automatic.name)
        await queue.unbind(automatic, "k")
        await exchanges_gone(connection, exchange, automatic)


@scenario
async def alternate_exchange():
    async with channel_of(confirms=True) as channel:
        names, queues = [unique("exchange") for _ in range(3)], []
        for i, name in enumerate(names):
            exchange = await exchange_of(channel, "direct", name, arguments={"alternate-exchange": names[(i + 1) % 3]})
            queues.append(await temporary(channel))
            await queues[-1].bind(exchange, "k%d" % i)
        first = await channel.get_exchange(names[0])
        confirms = [await publish(channel, i, "k%d" % i, first, mandatory=True) for i in range(4)]
        for i, queue in enumerate(queues):
            same(await got_all(queue), [str(i)], "through the chain")
        same([isinstance(confirm, aiormq.spec.Basic.Ack) for confirm in confirms], [True] * 3 + [False], "acks")
        same((confirms[3].delivery.exchange, confirms[3].delivery.routing_key), (names[0], "k3"),
             "what no exchange of the chain routes")


@scenario
async def error_alternate_type():
    await refused_on_channel("error_alternate_type", lambda channel: exchange_of(
        channel, "direct", arguments={"alternate-exchange": 5}))


@scenario
async def error_alternate_redeclare():
    async def action(channel):
        name = unique("exchange")
        exchange = await exchange_of(channel, "direct", name, arguments={"alternate-exchange": "a"})
        await (await temporary(channel)).bind(exchange, "k")
        await exchange_of(channel, "direct", name, arguments={"alternate-exchange": "b"})
    await refused_on_channel("error_alternate_redeclare", action)


@scenario
async def exchange_bind():
    async with channel_of() as channel:
        last, queue = await exchange_of(channel, "fanout"), await temporary(channel)
        await queue.bind(last, "")
        for kind in ("direct", "fanout", "topic", "headers"):
            first, middle = await exchange_of(channel, kind), await exchange_of(channel, kind)
            for source, destination in ((first, middle), (middle, last), (first, last), (middle, first)):
                await destination.bind(source, "k")
            await publish(channel, "once", "k", first)
            await publish(channel, "other", "other", first)
            same(await got_all(queue), ["once", "other"] if kind in ("fanout", "headers") else ["once"], kind)
            await last.unbind(first, "k")
            await last.unbind(middle, "k")
            await publish(channel, "nowhere", "k", first)
            same(await got_all(queue), [], "after unbind, " + kind)
            await first.delete()


@scenario
async def exchange_bind_lifecycle():
    async with connected() as connection:
        channel, other = await channel_in(connection), await channel_in(connection)
        above, source, destination = [await exchange_of(channel, "fanout") for _ in range(3)]
        await source.bind(above, "")
        await destination.bind(source, "")
        await refused("exchange_bind_lifecycle", other.exchange_delete(source.name, if_unused=True))
        await destination.delete(if_unused=True)
        await exchanges_gone(connection, above, source, destination)
        source, destination = [await exchange_of(channel, "fanout") for _ in range(2)]
        await destination.bind(source, "")
        await source.delete()
        await channel.get_exchange(destination.name)
        await destination.delete()


@scenario
async def error_exchange_bind_default():
    await refused_on_channel("error_exchange_bind_default", lambda channel: channel.channel.exchange_bind(
        destination="amq.direct", source="", routing_key="k"))


@scenario
async def error_exchange_bind_unknown():
    await refused_on_channel("error_exchange_bind_unknown", lambda channel: channel.channel.exchange_bind(
        destination=unique("none"), source="amq.direct", routing_key="k"))


@scenario
async def sender_selected():
    async with channel_of() as channel:
        queues = first, cc, bcc = [await temporary(channel) for _ in range(3)]
        await publish(channel, "all", first.name, type="t",
                      headers={"CC": [cc.name, first.name], "BCC": [bcc.name, 5], "kept": "yes"})
        for queue in queues:
            message = await get(queue)
            same((message.body, message.routing_key, dict(message.headers), message.type),
                 (b"all", first.name, {"CC": [cc.name, first.name], "kept": "yes"}, "t"), "a copy")
            same(await got_all(queue), [], "no second copy")
        topic = await channel.get_exchange("amq.topic", ensure=False)
        await first.bind(topic, "a.*")
        await cc.bind(topic, "b.#")
        await publish(channel, "topic", "none", topic, headers={"CC": ["a.x"], "BCC": ["b.y.z"]})
        for queue in (first, cc):
            message = await get(queue)
            same((message.body, dict(message.headers)), (b"topic", {"CC": ["a.x"]}), "by patterns")


@scenario
async def error_cc_type():
    await refused_on_channel("error_cc_type",
                             lambda channel: publish(channel, "refused", "q", headers={"CC": "no array"}))


@scenario
async def consistent_hash():
    weights, count = (expect("consistent_hash")[key] for key in ("weights", "count"))
    async with channel_of() as channel:
        exchange = await exchange_of(channel, "x-consistent-hash")
        queues = {weight: await temporary(channel) for weight in weights}
        for weight, queue in queues.items():
            await queue.bind(exchange, weight)
        for i in range(2 * count):
            await publish(channel, i // 2, "k%d" % (i // 2), exchange)
        bodies = {weight: await got_all(queue) for weight, queue in queues.items()}
        same(sum(map(len, bodies.values())), 2 * count, "messages")
        for weight, one in bodies.items():
            same(one[0::2], one[1::2], "the same key's")
            share = len(one) / (2 * count) * sum(map(int, weights)) / int(weight)
            true(0.5 < share < 1.6, "share of weight %s is %.2f of what is fair" % (weight, share))


@scenario
async def error_hash_weight():
    async def action(channel):
        exchange, queue = await exchange_of(channel, "x-consistent-hash"), await temporary(channel)
        await queue.bind(exchange, "1")
        await queue.bind(exchange, "heavy")
    await refused_on_channel("error_hash_weight", action)


# ---- queues ----


@scenario
async def queue_server_named():
    async with channel_of() as channel:
        queues = [await channel.declare_queue("", exclusive=True) for _ in range(3)]
        same(len({queue.name for queue in queues}), 3, "different names")
        for queue in queues:
            true(queue.name.startswith(expect("queue_server_named")["prefix"]), "name " + queue.name)
            await publish(channel, queue.name, queue.name)
            same(await got_all(queue), [queue.name], "its message")


@scenario
async def queue_exclusive():
    async with channel_of() as channel:
        queue = await temporary(channel)
    await refused_on_channel("queue_exclusive", lambda channel: channel.get_queue(queue.name))


@scenario
async def queue_exclusive_durable():
    async with channel_of() as channel:
        queue = await temporary(channel)
        await publish(channel, "kept", queue.name)
        await temporary(channel, queue.name, durable=True)
        same(await got_all(queue), ["kept"], "its message")


@scenario
async def queue_auto_delete():
    async with channel_of() as channel:
        queue = await channel.declare_queue(unique("queue"), auto_delete=True)
        one, two = await queue.consume(ignore), await queue.consume(ignore)
        await queue.cancel(one)
        same((await look(channel, queue))[1], 1, "consumers")
        await queue.cancel(two)
        true(await is_missing(channel.get_queue(queue.name)), "the queue is still there")


@scenario
async def queue_passive():
    async with channel_of() as channel:
        queue = await temporary(channel)
        await publish_numbers(channel, queue, 3)
        await eventually_count(channel, queue, 3)
        same(await look(channel, queue), (3, 0), "declare-ok")
        await channel.set_qos(prefetch_count=1)
        await queue.consume(ignore)

        async def taken():
            return await look(channel, queue) == (2, 1)
        await eventually(taken, "2 ready messages and 1 consumer")


@scenario
async def queue_purge():
    async with channel_of() as channel:
        queue = await temporary(channel)
        await publish_numbers(channel, queue, 10)
        held = await get(queue, no_ack=False)
        await eventually_count(channel, queue, 9)
        same((await queue.purge()).message_count, 9, "purged")
        same(await count_of(channel, queue), 0, "left")
        await held.nack(requeue=True)
        await eventually_count(channel, queue, 1)


@scenario
async def queue_unbind():
    async with channel_of() as channel:
        exchange, queue = await exchange_of(channel, "direct"), await temporary(channel)
        await queue.bind(exchange, "a")
        await queue.bind(exchange, "b")
        await queue.unbind(exchange, "a")
        for key in ("a", "b"):
            await publish(channel, key, key, exchange)
        same(await got_all(queue), ["b"], "routed after unbind")


@scenario
async def queue_delete_if_unused():
    async with connected() as connection:
        channel, other = await channel_in(connection), await channel_in(connection)
        queue = await temporary(channel)
        tag = await queue.consume(ignore)
        await refused("queue_delete_if_unused", other.queue_delete(queue.name, if_unused=True))
        await queue.cancel(tag)
        await queue.delete(if_unused=True)


@scenario
async def queue_delete_if_empty():
    async with connected() as connection:
        channel, other = await channel_in(connection), await channel_in(connection)
        queue = await temporary(channel)
        await publish(channel, "x", queue.name)
        await eventually_count(channel, queue, 1)
        await refused("queue_delete_if_empty", other.queue_delete(queue.name, if_empty=True))
        await queue.purge()
        await queue.delete(if_empty=True)


# ---- what a queue may be told ----


async def confirmed(published):
    try:
        await published
    except aiormq.exceptions.DeliveryError:
        return "nack"
    return "ack"


async def rule_row(row):
    async with channel_of(confirms="confirms" in row) as channel:
        queue = await temporary(channel, arguments=row.get("arguments"))
        confirms = []
        for message in row["publish"]:
            expiration = {"expiration": int(message["expiration"]) / 1000} if "expiration" in message else {}
            confirms.append(await confirmed(publish(channel, message["body"], queue.name, **expiration)))
        same(confirms, row.get("confirms", confirms), "confirms")
        for _ in range(row.get("reject", 0)):
            await (await get(queue, no_ack=False)).reject()
        await asyncio.sleep(row.get("wait_ms", 0) / 1000)
        same(await got_all(queue), row["left"], "left of " + json.dumps(row["publish"]))


def rules(name):
    async def run():
        for row in expect(name)["rows"]:
            await rule_row(row)
    run.__name__ = name
    scenario(run)


for rule in ("queue_ttl", "message_ttl", "queue_limits", "queue_refuses"):
    rules(rule)


@scenario
async def queue_expires():
    wanted = expect("queue_expires")
    async with channel_of() as channel:
        queue = await channel.declare_queue(unique("queue"), arguments=wanted["arguments"])
        tag = await queue.consume(ignore)
        await asyncio.sleep(wanted["used_ms"] / 1000)
        same(await look(channel, queue), (0, 1), "messages and consumers while it is used")
        await queue.cancel(tag)
        await publish(channel, "x", queue.name)
        await asyncio.sleep(wanted["gone_ms"] / 1000)
        true(await is_missing(channel.get_queue(queue.name)), "the queue is still there")


@scenario
async def error_queue_argument():
    wanted = expect("error_queue_argument")
    for arguments in wanted["wrong"]:
        if -1 not in arguments.values():
            await refused_queue("error_queue_argument", arguments)
    await refused_queue("error_queue_argument", {"x-message-ttl": SMALL})

    async def action(channel):
        name = unique("queue")
        for which in ("first", "first", "second"):
            await temporary(channel, name, arguments=wanted[which])
    await refused_on_channel("error_queue_argument", action)


@scenario
async def error_expiration():
    async def action(channel):
        # aio-pika's own messages take seconds.
        wrong = aiormq.spec.Basic.Properties(expiration=expect("error_expiration")["expiration"])
        await channel.channel.basic_publish(b"x", routing_key=(await temporary(channel)).name, properties=wrong)
    await refused_on_channel("error_expiration", action)


# ---- size and number ----


async def round_trip(channel, size, seed):
    queue, body, messages = await temporary(channel), body_of(size, seed), []
    await channel.default_exchange.publish(Message(body), queue.name)
    tag = await queue.consume(keep(messages, lambda message: message))
    message, = await arrived(messages, 1, "the body of %d bytes" % size, 60)
    same((len(message.body), digest(message.body)), (size, digest(body)), "body of %d bytes" % size)
    await message.ack()
    await queue.cancel(tag)
    await queue.delete()


@scenario
async def body_small():
    wanted = expect("body_small")
    async with channel_of() as channel:
        payload = channel.channel.max_content_size
        sizes = wanted["sizes"] + [n * payload + d for n in (1, 2) for d in wanted["around_frame"]]
        for seed, size in enumerate(sizes):
            await round_trip(channel, size, seed)


@scenario
async def body_1mib():
    async with channel_of() as channel:
        await round_trip(channel, expect("body_1mib")["sizes"][0], 1)


@scenario
async def body_64mib():
    async with channel_of() as channel:
        await round_trip(channel, expect("body_64mib")["sizes"][0], 2)


@scenario
async def queues_10000():
    async with channel_of() as channel:
        queues = [await temporary(channel) for _ in range(expect("queues_10000")["count"])]
        for queue in (queues[0], queues[-1]):
            await publish(channel, queue.name, queue.name)
            same(await got_all(queue), [queue.name], "its message")


@scenario
async def connections_1000():
    count, connections = expect("connections_1000")["count"], []
    try:
        for _ in range(count):
            connections.append(await connect(heartbeat=0))
        async with channel_of() as keeper:
            queue = await keeper.declare_queue(unique("queue"))
            for i, connection in enumerate(connections):
                await publish(await channel_in(connection), i, queue.name)
            await eventually_count(keeper, queue, count)
            same(sorted(await got_all(queue)), sorted(map(str, range(count))), "bodies")
            await queue.delete()
    finally:
        for connection in connections:
            await connection.close()


# ---- connections ----


async def hold_and_publish(shared, owned):
    connection = await connect()
    channel = await channel_in(connection)
    await temporary(channel, owned)
    await get(await channel.get_queue(shared), no_ack=False)
    there()
    body = body_of(expect("killed_mid_frame")["size"])
    while True:
        await channel.default_exchange.publish(Message(body), owned)


async def hold(interval, owned):
    connection = await connect(heartbeat=int(interval))
    await temporary(await channel_in(connection), owned)
    there()
    await asyncio.Event().wait()


async def is_gone(connection, name):
    """True when the exclusive queue of another connection is no more; false while it is locked."""
    try:
        await (await channel_in(connection)).get_queue(name)
    except aiormq.exceptions.ChannelNotFoundEntity:
        return True
    except aiormq.exceptions.ChannelLockedResource:
        return False
    raise Failed("another connection's exclusive queue could be declared")


@scenario
async def killed_mid_frame():
    async with connected() as connection:
        keeper = await channel_in(connection)
        shared, owned = await keeper.declare_queue(unique("queue")), unique("queue")
        await publish(keeper, "kept", shared.name)
        holder = child("hold_and_publish", shared.name, owned)
        await asyncio.sleep(0.3)
        end(holder)
        await get_is(shared, "kept", True, "the message of the killed client")
        await eventually(lambda: is_gone(connection, owned), "its exclusive queue gone")
        await shared.delete()


@scenario
async def heartbeat_kept():
    interval, idle = (expect("heartbeat_kept")[key] for key in ("interval_s", "idle_s"))
    async with channel_of(heartbeat=interval) as channel:
        same(channel.channel.connection.connection_tune.heartbeat, interval, "interval agreed")
        queue = await temporary(channel)
        # aiormq's reader gives up when the broker is silent for a few intervals.
        await asyncio.sleep(idle)
        await publish(channel, "alive", queue.name)
        same(await got_all(queue), ["alive"], "after the idle time")


@scenario
async def heartbeat_client_stops():
    interval, gone_max = (expect("heartbeat_client_stops")[key] for key in ("interval_s", "gone_s_max"))
    owned = unique("queue")
    holder = child("hold", interval, owned)
    try:
        async with connected() as connection:
            true(not await is_gone(connection, owned), "the queue is not there")
            holder.send_signal(signal.SIGSTOP)
            await eventually(lambda: is_gone(connection, owned), "the broker closed the silent connection", gone_max, 0.1)
    finally:
        end(holder)


@scenario
async def channels():
    async with connected() as connection:
        count = expect("channels")["count"]
        opened = [await channel_in(connection) for _ in range(count)]
        same(len({channel.number for channel in opened}), count, "channel numbers")
        queue = await temporary(opened[0])
        for i, channel in enumerate(opened):
            await publish(channel, i, queue.name)
        for channel in opened[1::2]:
            await channel.close()
        for channel in opened[0::2]:
            await publish(channel, "again", queue.name)
        await eventually_count(opened[0], queue, count + len(opened[0::2]))


@scenario
async def channel_reuse():
    async with connected() as connection:
        other, failing = await channel_in(connection), await channel_in(connection)
        number, queue = failing.number, await temporary(other)
        await refused("channel_reuse", failing.get_queue(unique("nowhere")))
        await publish(other, "other", queue.name)
        again = await channel_in(connection, channel_number=number)
        same(again.number, number, "channel number")
        await publish(again, "again", queue.name)
        await eventually_count(other, queue, 2)
        same(sorted(await got_all(queue)), ["again", "other"], "messages")


# ---- refusals ----


@scenario
async def error_login():
    await refused("error_login", connect(password="wrong"))


@scenario
async def error_vhost():
    await refused("error_vhost", connect(virtual_host="nowhere"))


async def consume_unknown(channel):
    await (await channel.get_queue(unique("nowhere"), ensure=False)).consume(ignore)


async def get_unknown(channel):
    await (await channel.get_queue(unique("nowhere"), ensure=False)).get()


async def publish_unknown(channel):
    await publish(channel, "x", "", await channel.get_exchange(unique("nowhere"), ensure=False))


async def bind_unknown(channel):
    await (await temporary(channel)).bind(unique("nowhere"), "k")


async def redeclare_queue(channel):
    queue = await channel.declare_queue(unique("queue"), auto_delete=True)
    await queue.consume(ignore)
    await channel.declare_queue(queue.name, auto_delete=True, durable=True)


async def redeclare_exchange(channel):
    exchange = await exchange_of(channel, "direct")
    await (await temporary(channel)).bind(exchange, "k")
    await exchange_of(channel, "fanout", exchange.name)


def refusal(name, action):
    async def run():
        await refused_on_channel(name, action)
    run.__name__ = name
    scenario(run)


refusal("error_queue_unknown", lambda channel: channel.get_queue(unique("nowhere")))
refusal("error_get_unknown", get_unknown)
refusal("error_consume_unknown", consume_unknown)
refusal("error_publish_unknown", publish_unknown)
refusal("error_bind_unknown", bind_unknown)
refusal("error_queue_redeclare", redeclare_queue)
refusal("error_exchange_redeclare", redeclare_exchange)
refusal("error_delivery_tag", lambda channel: channel.channel.basic_ack(7))
refusal("error_queue_reserved", lambda channel: temporary(channel, "amq." + unique("queue")))
refusal("error_exchange_reserved", lambda channel: exchange_of(channel, "direct", "amq." + unique("exchange")))
refusal("error_exchange_type", lambda channel: exchange_of(channel, "nonesuch"))
refusal("error_not_implemented", lambda channel: channel.set_qos(prefetch_size=1))


@scenario
async def error_consume_exclusive():
    async with connected() as connection:
        channel, other = await channel_in(connection), await channel_in(connection)
        queue = await temporary(channel)
        await queue.consume(ignore, exclusive=True)
        await refused("error_consume_exclusive", (await other.get_queue(queue.name)).consume(ignore))


@scenario
async def blocked():
    wanted = expect("blocked")
    blocks.clear()
    async with channel_of() as channel:
        queue = await temporary(channel)
        # It stops publishing itself when it is told.
        published = asyncio.create_task(publish_numbers(channel, queue, wanted["count"]))
        await arrived(blocks, 1, "connection.blocked", 20)
        same(blocks, [(True, wanted["reason"])], "the reason")
        print("# blocked", flush=True)
        await arrived(blocks, 2, "connection.unblocked", 60)
        same(blocks[1:], [(False, None)], "said afterwards")
        await published
        await eventually_count(channel, queue, wanted["count"])
        same(await got_all(queue), [str(i) for i in range(wanted["count"])], "messages")


@scenario
async def error_queue_locked():
    async with channel_of() as channel:
        queue = await temporary(channel)
        await refused_on_channel("error_queue_locked", lambda other: temporary(other, queue.name))


note_closes()
main({"hold_and_publish": lambda *given: asyncio.run(hold_and_publish(*given)),
      "hold": lambda *given: asyncio.run(hold(*given))})
