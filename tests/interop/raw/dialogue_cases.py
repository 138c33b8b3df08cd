# SPDX-License-Identifier: Apache-2.0
"""What a broker says to odd things, and to all kinds of arguments: dialogue.py's cases, with those of dialogue_paths.py.
`d` is the dialogue, `a` its first connection."""
import os
import struct
from concurrent.futures import ThreadPoolExecutor

import dialogue
import dialogue_paths
from brokers import PORT
from dialogue_words import B, C, E, Q, T, each, letters, queue
from pika import spec
from tables import As, properties
from wire import BODY, HEADER, HEARTBEAT, METHOD, Unexpected, raw_frame

SAID = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dialogues.txt")
TOGETHER = 8


# -- names that are not a client's to use

def passive_declarations(d):
    a = d.connect()
    a.do(1, Q.Declare(queue=d.own("q"), durable=True, auto_delete=True))
    each(a, (Q.Declare(queue=d.own("q"), passive=True, exclusive=True), {"x-message-ttl": 5}),
         (Q.Declare(queue=d.own("q"), passive=True), {"x-queue-type": "quorum", "x-max-priority": "w"}),
         Q.Declare(queue="", passive=True), E.Declare(exchange="amq.direct", type="fanout", passive=True),
         E.Declare(exchange="amq.direct", type="none", passive=True), E.Declare(exchange="", type="direct", passive=True),
         Q.Delete(queue=d.own("q")))


def reserved_names(d):
    each(d.connect(), Q.Declare(queue="amq.x"), Q.Declare(queue="amq."), Q.Declare(queue="amq"), Q.Delete(queue="amq"),
         Q.Declare(queue="amq.x", passive=True), Q.Declare(queue="AMQ.x", exclusive=True), Q.Delete(queue="amq.x"),
         E.Declare(exchange="amq.x", type="direct"), E.Declare(exchange="", type="direct", durable=True),
         E.Declare(exchange="amq.direct", type="direct", durable=True), E.Declare(exchange="amq.direct", type="direct"),
         E.Declare(exchange="amq.direct", type="fanout", durable=True), E.Delete(exchange=""),
         E.Delete(exchange="amq.direct"), E.Delete(exchange="amq.none"), E.Delete(exchange="none", if_unused=True))


def what_is_not_there(d):
    each(d.connect(), Q.Delete(queue="none", if_unused=True, if_empty=True), Q.Purge(queue="none"),
         B.Get(queue="none"), B.Consume(queue="none"), Q.Bind(queue="none", exchange="none"),
         Q.Bind(queue="none", exchange="amq.direct"), Q.Unbind(queue="none", exchange="none", routing_key="k"),
         Q.Unbind(queue="none", exchange="amq.direct", routing_key="k"),
         E.Bind(destination="none", source="none", routing_key="k"),
         E.Bind(destination="amq.direct", source="none", routing_key="k"),
         E.Bind(destination="none", source="amq.direct", routing_key="k"),
         E.Unbind(destination="none", source="none", routing_key="k"),
         E.Unbind(destination="amq.direct", source="none", routing_key="k"),
         E.Unbind(destination="amq.direct", source="amq.fanout", routing_key="k"), B.Cancel("none"), B.Cancel(""),
         B.Cancel("none", nowait=True))


def the_last_queue_of_none(d):
    each(d.connect(), Q.Delete(queue=""), Q.Purge(queue=""), B.Get(queue=""), B.Consume(queue=""),
         Q.Bind(queue="", exchange="amq.direct"), Q.Unbind(queue="", exchange="amq.direct", routing_key="x"))


def the_reply_queue(d):
    name = "amq.rabbitmq.reply-to"
    each(d.connect(), Q.Declare(queue=name), Q.Declare(queue=name, passive=True),
         Q.Declare(queue=name + ".abc", passive=True), Q.Declare(queue=name + ".abc"), Q.Delete(queue=name),
         Q.Purge(queue=name), B.Get(queue=name), B.Get(queue=name, no_ack=True),
         B.Consume(queue=name + ".abc", no_ack=True), Q.Bind(queue=name, exchange="amq.direct"),
         Q.Unbind(queue=name, exchange="amq.direct", routing_key="k"),
         B.Consume(queue=name, no_ack=True, exclusive=True), B.Consume(queue=name))


def the_default_exchange(d):
    a = d.connect()
    queue(a, d, "q")
    each(a, Q.Bind(queue=d.own("q"), exchange="", routing_key="k"),
         Q.Bind(queue=d.own("q"), exchange="", routing_key=d.own("q")),
         Q.Unbind(queue=d.own("q"), exchange="", routing_key=d.own("q")),
         Q.Bind(queue="none", exchange="", routing_key="k"), E.Bind(destination="", source="amq.direct", routing_key="k"),
         E.Unbind(destination="amq.direct", source="", routing_key="k"),
         E.Bind(destination="none", source="", routing_key="k"), E.Bind(destination="", source="none", routing_key="k"))


def errors_without_waiting(d):
    each(d.connect(), Q.Declare(queue="amq.x", nowait=True), Q.Declare(queue="none", passive=True, nowait=True),
         Q.Declare(queue="", nowait=True, exclusive=True), E.Declare(exchange="none", type="", passive=True, nowait=True),
         E.Declare(exchange="amq.direct", type="fanout", nowait=True), Q.Bind(queue="none", exchange="none", nowait=True),
         Q.Purge(queue="none", nowait=True), Q.Delete(queue="none", nowait=True), E.Delete(exchange="none", nowait=True),
         E.Delete(exchange="", nowait=True), E.Bind(destination="none", source="none", nowait=True),
         E.Unbind(destination="none", source="none", nowait=True), B.Consume(queue="none", nowait=True),
         C.Select(nowait=True), E.Declare(exchange="x", type="nosuch", nowait=True))


# -- queues

def anothers_queue(d):
    a, b = d.connect(), d.connect()
    name = d.own("q")
    queue(a, d, "q")
    each(b, Q.Purge(queue=name), Q.Delete(queue=name), B.Get(queue=name), B.Consume(queue=name),
         Q.Bind(queue=name, exchange="amq.direct", routing_key=name),
         Q.Unbind(queue=name, exchange="amq.direct", routing_key=name), Q.Declare(queue=name, passive=True),
         Q.Declare(queue=name), Q.Declare(queue=name, exclusive=True), (Q.Declare(queue=name), {"x-message-ttl": 1}),
         Q.Delete(queue=name, if_unused=True), Q.Delete(queue=name, if_empty=True))
    a.do(1, Q.Bind(queue=name, exchange="amq.direct", routing_key=name))
    b.do(1, Q.Unbind(queue=name, exchange="amq.direct", routing_key=name))
    each(a, Q.Declare(queue=name), Q.Declare(queue=name, exclusive=True, auto_delete=True),
         Q.Declare(queue=name, exclusive=True, durable=True),
         (Q.Declare(queue=name, exclusive=True), {"x-expires": 1000}))
    a.close()
    b.do(1, Q.Declare(queue=name, passive=True))


def named_by_the_broker(d):
    a = d.connect()
    a.do(1, Q.Declare(queue="", exclusive=True))
    each(a, Q.Bind(queue="", exchange="amq.direct", routing_key=""),
         Q.Bind(queue="", exchange="amq.direct", routing_key=d.own("k")))
    a.publish(1, "amq.direct", d.own("k"))
    a.get(1, "")
    a.publish(1, "amq.direct", "")
    a.get(1, "")
    each(a, Q.Purge(queue=""), Q.Unbind(queue="", exchange="amq.direct", routing_key=""),
         Q.Unbind(queue="", exchange="amq.direct", routing_key=d.own("k")), B.Consume(queue="", consumer_tag="c"),
         Q.Declare(queue=""), Q.Delete(queue=""), Q.Delete(queue=""), B.Get(queue=""))


def the_last_queue(d):
    a = d.connect()
    first, second = d.own("1"), d.own("2")
    queue(a, d, "1")
    queue(a, d, "2")
    a.do(1, Q.Declare(queue=first, passive=True))
    a.publish(1, "", first)
    each(a, Q.Purge(queue=""), Q.Bind(queue="", exchange="amq.direct", routing_key=""))
    a.publish(1, "amq.direct", first)
    a.get(1, first)
    a.do(1, Q.Unbind(queue="", exchange="amq.direct", routing_key=""))
    a.publish(1, "amq.direct", first, mandatory=True)
    a.do(1, Q.Bind(queue=second, exchange="amq.direct", routing_key=""))
    a.publish(1, "amq.direct", "")
    a.get(1, second)
    a.do(2, B.Get(queue=""))


def delete_if(d):
    a = d.connect()
    name = d.own("q")
    a.do(1, Q.Declare(queue=name))
    a.publish(1, "", name)
    a.publish(1, "", name)
    a.do(2, Q.Delete(queue=name, if_empty=True))
    a.do(3, B.Consume(queue=name, consumer_tag="t"))
    a.do(2, Q.Delete(queue=name, if_empty=True, if_unused=True))
    each(a, Q.Declare(queue=name, passive=True), Q.Purge(queue=name))
    a.do(3, B.Recover(requeue=True))
    a.do(3, B.Cancel("t"))
    a.do(1, Q.Delete(queue=name, if_unused=True))
    a.do(3, B.Ack(4))
    a.do(3, B.Ack(4))


def auto_delete(d):
    a, b = d.connect(), d.connect()
    name = d.own("q")
    a.do(1, Q.Declare(queue=name, auto_delete=True))
    a.publish(1, "", name)
    a.get(1, name, no_ack=False)
    a.close_channel(1)
    a.do(1, B.Consume(queue=name, consumer_tag="t"))
    b.do(1, B.Consume(queue=name, consumer_tag="t"))
    a.do(1, B.Cancel("t"))
    a.do(1, Q.Declare(queue=name, passive=True))
    b.do(1, B.Cancel("t"))
    a.do(1, B.Ack(1))
    a.do(1, Q.Declare(queue=name, passive=True))


def purge_counts(d):
    a = d.connect()
    queue(a, d, "q")
    name = d.own("q")
    for _ in range(3):
        a.publish(1, "", name)
    a.get(1, name, no_ack=False)
    each(a, Q.Declare(queue=name, passive=True), Q.Purge(queue=name), Q.Purge(queue=name), B.Reject(1, requeue=True),
         Q.Declare(queue=name, passive=True), B.Get(queue=name), Q.Delete(queue=name, if_empty=True), B.Ack(2), B.Ack(2))


def long_names(d):
    a = d.connect()
    name = d.own("").ljust(255, "n")
    a.do(1, Q.Declare(queue=name, exclusive=True))
    a.do(1, Q.Bind(queue=name, exchange="amq.direct", routing_key="k" * 255))
    a.publish(1, "amq.direct", "k" * 255)
    a.get(1, name)
    each(a, B.Consume(queue=name, consumer_tag="c" * 255), B.Cancel("c" * 255), Q.Declare(queue="m" * 255, passive=True),
         Q.Declare(queue=name, auto_delete=True), Q.Declare(queue="\xe4\xf6 '\"%s%n", passive=True),
         Q.Declare(queue=" ", exclusive=True))


# -- arguments

VALUES = [As("b", 5), As("b", -5), As("B", 250), As("s", 300), As("u", 65000), As("I", -1), As("i", 4000000000),
          As("l", 5000000000), As("l", (1 << 63) - 1), 0, 1.5, As("f", 3.0), True, None, "", "5", "classic", [1], {"a": 1},
          As("T", 5), As("D", (1, 50))]
ARGUMENTS = ["x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-max-priority", "x-overflow",
             "x-dead-letter-exchange", "x-single-active-consumer", "x-queue-mode", "x-queue-version", "x-queue-type",
             "x-max-age", "x-dead-letter-strategy", "x-ha-policy"]


def declare_each(a, d, pairs):
    """(arguments, None), or arguments and those of a second declaration: each for a queue of its own."""
    for number, (first, second) in enumerate(pairs):
        name = d.own(str(number))
        if second is not None:
            a.do(1, Q.Declare(queue=name, exclusive=True), first)
            first = second
        a.do(1, Q.Declare(queue=name, exclusive=True), first, "%s" % first)


def argument_case(name):
    def case(d):
        declare_each(d.connect(), d, [({name: value}, None) for value in VALUES])
    return "argument_" + name, case


def argument_values(d):
    declare_each(d.connect(), d, [({name: value}, None) for name, value in [
        ("x-queue-version", 1), ("x-queue-version", 2), ("x-queue-version", 3), ("x-queue-type", "Classic"),
        ("x-max-priority", 255), ("x-max-priority", 256), ("x-message-ttl", 315360000000),
        ("x-message-ttl", 315360000001), ("x-expires", 315360000000), ("x-expires", 315360000001),
        ("x-overflow", "reject-publish-dlx"), ("x-dead-letter-routing-key", "k")]])


def redeclared(d):
    """The first arguments, then the second."""
    declare_each(d.connect(), d, [
        ({"x-message-ttl": 5}, {"x-message-ttl": As("b", 5)}), ({"x-message-ttl": As("s", 5)}, {}),
        ({}, {"x-message-ttl": As("l", 5)}), ({"x-message-ttl": 5}, {"x-message-ttl": 6}),
        ({"x-expires": 50000}, {"x-expires": 50001}), ({"x-max-length": 5}, {"x-max-length": 6}),
        ({"x-max-length-bytes": 5}, {}), ({}, {"x-overflow": "drop-head"}),
        ({"x-overflow": "reject-publish"}, {"x-overflow": "drop-head"}), ({"x-max-priority": 5}, {"x-max-priority": 6}),
        ({"x-dead-letter-exchange": "a"}, {"x-dead-letter-exchange": "b"}),
        ({"x-dead-letter-exchange": "a", "x-dead-letter-routing-key": "k"}, {"x-dead-letter-exchange": "a"}),
        ({"x-single-active-consumer": True}, {"x-single-active-consumer": False}), ({}, {"x-single-active-consumer": False}),
        ({"x-queue-mode": "lazy"}, {"x-queue-mode": "default"}), ({"x-queue-type": "classic"}, {}),
        ({}, {"x-queue-type": "classic"}), ({"x-queue-version": 2}, {}), ({"x-queue-version": 2}, {"x-queue-version": 1}),
        ({"x-queue-master-locator": "min-masters"}, {}), ({"foo": 1}, {"foo": 2}),
        ({"x-message-ttl": 5, "x-max-length": 5}, {"x-message-ttl": 6, "x-max-length": 6}),
        ({"x-dead-letter-exchange": "a"}, {"x-dead-letter-exchange": 5}), ({}, {"x-message-ttl": "a"})])


def said_twice(d):
    a = d.connect()
    name = d.own("q")
    a.do(1, Q.Declare(queue=name, exclusive=True), [("x-max-length", 1), ("x-max-length", 2)])
    for body in "123":
        a.publish(1, "", name, body)
    a.drain(1, name)
    a.do(1, Q.Declare(queue=name, exclusive=True), {"x-max-length": 2})


def consumer_arguments(d):
    a = d.connect()
    queue(a, d, "q")
    for number, value in enumerate(VALUES + [As("I", -(1 << 31))]):
        a.do(1, B.Consume(queue=d.own("q"), consumer_tag=str(number)), {"x-priority": value}, "x-priority %s" % value)
    for name, value in (("x-cancel-on-ha-failover", True), ("x-cancel-on-ha-failover", 5), ("x-stream-offset", "first"),
                        ("foo", "bar")):
        a.do(1, B.Consume(queue=d.own("q"), consumer_tag=name + str(value)), {name: value}, "%s %s" % (name, value))


# -- exchanges

def exchange_types(d):
    a = d.connect()
    for kind, arguments in (("nosuch", {}), ("direct\n", {}), ("headers", {}), ("x-random", {}), ("direct", {"x-foo": [1, 2]}),
                            ("x-consistent-hash", {"hash-header": "a", "hash-property": "message_id"}),
                            ("x-consistent-hash", {"hash-property": "foo"}),
                            ("x-consistent-hash", {"hash-property": "correlation_id"}),
                            ("direct", {"alternate-exchange": ""}), ("direct", {"alternate-exchange": As("f", 1.0)})):
        a.do(1, E.Declare(exchange=d.own("x"), type=kind), arguments, "%r %s" % (kind, arguments))
        a.do(1, E.Delete(exchange=d.own("x")))


def exchange_redeclared(d):
    a = d.connect()
    name = d.own("x")
    a.do(1, E.Declare(exchange=name, type="direct", auto_delete=True), {"alternate-exchange": "ae", "foo": 1})
    for more, arguments in (({}, {"alternate-exchange": "ae"}), ({}, {}), ({}, {"alternate-exchange": "other"}),
                            ({}, {"alternate-exchange": 5}), ({"durable": True}, {"alternate-exchange": "ae"}),
                            ({"auto_delete": False}, {"alternate-exchange": "ae"}),
                            ({"internal": True}, {"alternate-exchange": "ae"}), ({"type": "topic"}, {}),
                            ({"type": "Direct"}, {})):
        a.do(1, E.Declare(**{"exchange": name, "type": "direct", "auto_delete": True, **more}), arguments,
             "%s %s" % (more, arguments))
    a.do(1, E.Delete(exchange=name))


def unused_exchanges(d):
    a = d.connect()
    x, y = d.own("x"), d.own("y")
    each(a, E.Declare(exchange=x, type="direct"), E.Declare(exchange=y, type="fanout"),
         E.Bind(destination=y, source=x, routing_key="k"), E.Delete(exchange=x, if_unused=True),
         E.Delete(exchange=y, if_unused=True), E.Declare(exchange=y, type="", passive=True),
         E.Unbind(destination=y, source=x, routing_key="k"), E.Delete(exchange=x, if_unused=True),
         E.Declare(exchange=y, type="fanout"), (E.Declare(exchange=x, type="direct"), {"alternate-exchange": y}),
         E.Delete(exchange=y, if_unused=True), E.Delete(exchange=x))


def auto_delete_exchanges(d):
    a = d.connect()
    x, y = d.own("x"), d.own("y")
    queue(a, d, "q")
    each(a, E.Declare(exchange=x, type="direct", auto_delete=True), E.Declare(exchange=y, type="direct", auto_delete=True),
         E.Bind(destination=y, source=x, routing_key="k"), Q.Bind(queue=d.own("q"), exchange=y, routing_key="k"))
    a.publish(1, x, "k")
    a.get(1, d.own("q"))
    each(a, E.Unbind(destination=y, source=x, routing_key="k"), E.Declare(exchange=x, type="", passive=True),
         E.Declare(exchange=y, type="", passive=True), Q.Delete(queue=d.own("q")),
         E.Declare(exchange=y, type="", passive=True))


def bindings_twice(d):
    a = d.connect()
    name, x = d.own("q"), d.own("x")
    queue(a, d, "q")
    a.do(1, E.Declare(exchange=x, type="direct", auto_delete=True))
    for arguments in ({"a": 1}, {"a": 1}, {"a": "1"}, {}, [("b", 1), ("c", 2)]):
        a.do(1, Q.Bind(queue=name, exchange=x, routing_key="k"), arguments)
    a.publish(1, x, "k")
    a.drain(1, name)
    for arguments in ({"a": 1}, {"a": "1"}, {"a": 2}, [("c", 2), ("b", 1)]):
        a.do(1, Q.Unbind(queue=name, exchange=x, routing_key="k"), arguments)
    a.publish(1, x, "k")
    a.drain(1, name)
    a.do(1, Q.Unbind(queue=name, exchange=x, routing_key="k"))
    a.do(1, E.Declare(exchange=x, type="", passive=True))


def routed(a, d, names, exchange, key, text, **given):
    """Publishes; the queues that have it are the step's text behind it, said by their declare-ok."""
    a.say("%s" % text, dialogue.publish(1, exchange, key, **given))
    for name in names:
        a.do(1, Q.Purge(queue=d.own(name)), text="%s has" % name)


def topic_keys(d):
    a = d.connect()
    keys = ["", "#", "*", ".", "#.#", "*.#", "#.*", "a", "a.", "a.*", "a.#", "a.#.b", "a*", "a..b", "#.a.#", "*.#.*"]
    a.do(1, E.Declare(exchange=d.own("x"), type="topic", auto_delete=True))
    for key in keys:
        queue(a, d, key)
        a.do(1, Q.Bind(queue=d.own(key), exchange=d.own("x"), routing_key=key))
    for key in ("", ".", "a", "a.", ".a", "a.b", "a..b", "a.c.b", "#", "a.#", "a*"):
        routed(a, d, keys, d.own("x"), key, "to %r" % key)


def headers_match(d):
    a = d.connect()
    bindings = {"all": {"x-match": "all", "a": 1}, "any": {"x-match": "any", "a": 1, "b": 2},
                "all-with-x": {"x-match": "all-with-x", "x-a": 1}, "any-with-x": {"x-match": "any-with-x", "x-a": 1, "b": 1},
                "all x": {"x-match": "all", "x-a": 1}, "any x": {"x-match": "any", "x-a": 1}, "void": {"a": None},
                "text": {"a": "1"}, "byte": {"a": As("b", 1)}, "double": {"a": 1.0}, "bool": {"a": True}, "none": {},
                "any none": {"x-match": "any"}, "list": {"a": [1]}, "table": {"a": {"b": 1}}, "time": {"a": As("T", 1)}}
    a.do(1, E.Declare(exchange=d.own("x"), type="headers", auto_delete=True))
    for name, arguments in bindings.items():
        queue(a, d, name)
        a.do(1, Q.Bind(queue=d.own(name), exchange=d.own("x"), routing_key=""), arguments)
    for headers in ({"a": 1}, {"a": As("l", 1)}, {"a": "1"}, {"a": 1.0}, {"a": As("f", 1.0)}, {"a": 1.5}, {"a": True}, {},
                    {"x-a": 1}, {"x-a": 1, "b": 1}, {"b": 2}, {"a": None}, {"a": [1]}, {"a": {"b": 1}}, {"a": As("T", 1)},
                    {"x-match": "any", "a": 1}):
        routed(a, d, bindings, d.own("x"), "k", "headers %s" % headers, headers=headers)


def headers_refused(d):
    a = d.connect()
    queue(a, d, "q")
    for value in ("all", "foo", "", 5, True, "All", None):
        a.do(1, Q.Bind(queue=d.own("q"), exchange="amq.headers", routing_key=d.own("k")), {"x-match": value, d.own("h"): 1},
             "x-match %r" % value)
    a.do(1, Q.Bind(queue=d.own("q"), exchange="amq.direct", routing_key=d.own("k")), {"x-match": "foo"})
    a.do(1, Q.Unbind(queue=d.own("q"), exchange="amq.headers", routing_key=d.own("k")), {"x-match": "foo"})


def alternates(d):
    a = d.connect()
    x, y, z = d.own("x"), d.own("y"), d.own("z")
    queue(a, d, "q")
    a.do(1, E.Declare(exchange=x, type="direct"), {"alternate-exchange": y})
    a.publish(1, x, "k", "nowhere", mandatory=True)
    a.do(1, E.Declare(exchange=y, type="direct"), {"alternate-exchange": z})
    a.do(1, E.Declare(exchange=z, type="topic"), {"alternate-exchange": x})
    a.publish(1, x, "k", "in a circle", mandatory=True)
    each(a, Q.Bind(queue=d.own("q"), exchange=z, routing_key="k"))
    a.publish(1, x, "k", "at its end", mandatory=True)
    a.drain(1, d.own("q"))
    each(a, E.Bind(destination=x, source=z, routing_key="k"), E.Bind(destination=z, source=x, routing_key="k"))
    a.publish(1, y, "k", "both ways", mandatory=True)
    a.drain(1, d.own("q"))
    a.do(1, E.Delete(exchange=z))
    a.publish(1, x, "k", "again nowhere", mandatory=True)
    each(a, E.Delete(exchange=x), E.Delete(exchange=y))


# -- consumers and settlements

def consumer_tags(d):
    a = d.connect()
    name = d.own("q")
    queue(a, d, "q")
    each(a, B.Consume(queue=name, consumer_tag=""), B.Consume(queue=name, consumer_tag="t"))
    a.do(2, B.Consume(queue=name, consumer_tag="t"))
    each(a, B.Cancel("none"), B.Cancel(""))
    a.do(2, B.Cancel("t"))
    a.do(2, B.Cancel("t"))
    a.do(1, Q.Declare(queue=name, passive=True))
    a.do(1, B.Consume(queue=name, consumer_tag="t"))


def exclusive_consumers(d):
    a = d.connect()
    name = d.own("q")
    queue(a, d, "q")
    a.do(1, B.Consume(queue=name, consumer_tag="t"))
    a.do(2, B.Consume(queue=name, consumer_tag="e", exclusive=True))
    a.do(1, B.Cancel("t"))
    a.do(2, B.Consume(queue=name, consumer_tag="e", exclusive=True))
    a.do(3, B.Consume(queue=name, consumer_tag="n"))
    a.do(3, B.Consume(queue=name, consumer_tag="n", exclusive=True))
    a.do(3, B.Get(queue=name))


def single_active(d):
    a, b = d.connect(), d.connect()
    name = d.own("q")
    a.do(1, Q.Declare(queue=name), {"x-single-active-consumer": True})
    each(a, B.Consume(queue=name, consumer_tag="x", exclusive=True), B.Consume(queue=name, consumer_tag="t"))
    b.do(1, B.Consume(queue=name, consumer_tag="u"), {"x-priority": 10})
    b.do(1, B.Consume(queue=name, consumer_tag="v"))
    a.publish(1, "", name, "1")
    a.do(1, Q.Declare(queue=name, passive=True))
    a.do(1, B.Cancel("t"))
    a.publish(1, "", name, "2")
    b.do(1, B.Cancel("u"))
    b.do(1, B.Consume(queue=name, consumer_tag="w", exclusive=True))
    a.do(1, Q.Delete(queue=name))


def unknown_tags(d):
    a = d.connect()
    name = d.own("q")
    queue(a, d, "q")
    each(a, B.Ack(0), B.Ack(0, multiple=True), B.Nack(0, multiple=True), B.Nack(0), B.Reject(0), B.Ack(1),
         B.Ack(1, multiple=True), B.Nack(1, multiple=True), B.Reject(1, requeue=False), B.Ack((1 << 63) + 1))
    for body in "12345":
        a.publish(1, "", name, body)
    for _ in range(5):
        a.get(1, name, no_ack=False)
    each(a, B.Ack(3, multiple=True), B.Nack(4, multiple=True, requeue=False), B.Ack(5), B.Ack(5))
    a.publish(1, "", name, "6")
    a.get(1, name)
    a.do(1, B.Ack(1))
    a.do(1, B.Recover(requeue=False))
    a.do(1, B.RecoverAsync(requeue=False))


def put_back_in_order(d):
    a = d.connect()
    name = d.own("q")
    queue(a, d, "q")
    for body in "1234567":
        a.publish(1, "", name, body)
    for _ in range(5):
        a.get(1, name, no_ack=False)
    each(a, B.Reject(4, requeue=True), B.Reject(2, requeue=True), B.Nack(5, requeue=True))
    a.get(1, name, no_ack=False)
    each(a, B.Nack(3, multiple=True, requeue=True), B.Recover(requeue=True))
    a.get(1, name, no_ack=False)
    a.close_channel(1)
    a.drain(1, name)


def prefetch(d):
    a = d.connect()
    name = d.own("q")
    queue(a, d, "q")
    each(a, B.Qos(prefetch_size=1), B.Qos(prefetch_count=65535), B.Qos(prefetch_count=2),
         B.Consume(queue=name, consumer_tag="t"), B.Qos(prefetch_count=1), B.Consume(queue=name, consumer_tag="u"))
    for body in "12345":
        a.publish(1, "", name, body)
    each(a, B.Ack(1), B.Qos(prefetch_count=0), B.Cancel("t"), Q.Declare(queue=name, passive=True), B.Get(queue=name))


def prefetch_of_the_channel(d):
    a = d.connect()
    name = d.own("q")
    queue(a, d, "q")
    for body in "123456789":
        a.publish(1, "", name, body)
    each(a, B.Qos(prefetch_count=4, global_qos=True), B.Consume(queue=name, consumer_tag="t"),
         B.Qos(prefetch_count=2, global_qos=True), B.Ack(1), B.Ack(3, multiple=True), B.Get(queue=name),
         B.Ack(4), B.Ack(5))


def cancel_is_told(d):
    a, b, c = d.connect(capable=False), d.connect(), d.connect()
    name = d.own("q")
    c.do(1, Q.Declare(queue=name))
    a.do(1, B.Consume(queue=name, consumer_tag="t"))
    b.do(1, B.Consume(queue=name, consumer_tag="u"))
    c.do(1, Q.Delete(queue=name))
    a.do(1, B.Cancel("t"))
    b.do(1, B.Cancel("u"))
    b.do(1, B.CancelOk(consumer_tag="u"))


# -- publishing

def refused_contents(d):
    a = d.connect()
    name = d.own("q")
    queue(a, d, "q")
    a.do(1, E.Declare(exchange=d.own("i"), type="fanout", internal=True, auto_delete=True))
    a.publish(1, d.own("i"), "k", mandatory=True)
    a.publish(1, "", name, "immediate", immediate=True, mandatory=True)
    queue(a, d, "q")
    for given in ({"user_id": "x"}, {"user_id": ""}, {"delivery_mode": 0}, {"delivery_mode": 3}, {"expiration": "x"},
                  {"expiration": "-1"}, {"expiration": ""}, {"expiration": "1.5"}, {"expiration": " 5"},
                  {"expiration": "5 "}, {"expiration": "315360000000"}, {"expiration": "315360000001"},
                  {"headers": {"CC": "x"}}, {"headers": {"BCC": 5}}, {"reply_to": "amq.rabbitmq.reply-to"}):
        a.publish(1, "", name, "%s" % given, **given)
    a.publish(1, "none", name, "no exchange", mandatory=True)
    a.publish(1, "none", name, "no exchange", immediate=True)


def all_properties(d):
    a = d.connect()
    name = d.own("q")
    queue(a, d, "q")
    a.do(1, B.Consume(queue=name, consumer_tag="t", no_ack=True))
    every = {"content_type": "a/b", "content_encoding": "gz", "delivery_mode": 2, "priority": 255, "correlation_id": b"\xff",
             "reply_to": "r", "expiration": "60000", "message_id": "m", "timestamp": (1 << 64) - 1, "type": "t\0u",
             "user_id": "guest", "app_id": "a", "cluster_id": "cl", "headers": {
                 "s": "x", "b": As("b", -1), "B": As("B", 200), "sh": As("s", -3), "u": As("u", 65000), "I": -7,
                 "i": As("i", 4000000000), "l": As("l", -5), "f": As("f", 1.5), "d": 2.5, "t": True, "V": None,
                 "x": As("x", b"\0\1"), "A": [1, "a", [2], {}], "F": {"a": {"b": []}}, "T": As("T", 5), "D": As("D", (2, -314)),
                 "": "empty"}}
    a.publish(1, "", name, "all", **every)
    for one, value in every.items():
        a.publish(1, "", name, one, **{one: value})
    for value in ({}, [("a", 1), ("a", 2)], {"a": "x" * 5000}, {"a": As("S", b"\xff\xfe")}):
        a.publish(1, "", name, "", headers=value)
    a.publish(1, "amq.direct", d.own("none"), "x" * 300, mandatory=True, **every)


def header(size, channel=1):
    return raw_frame(HEADER, channel, struct.pack(">HHQ", 60, 0, size) + properties({}))


def frames_of_contents(d):
    a = d.connect()
    queue(a, d, "q")
    begin, end = dialogue.call(1, B.Publish(exchange="", routing_key=d.own("q"))), raw_frame(BODY, 1, b"x")
    a.do(1, B.Consume(queue=d.own("q"), consumer_tag="t", no_ack=True))
    a.say("empty frames", begin + header(3) + b"".join(raw_frame(BODY, 1, b) for b in (b"", b"a", b"", b"bc")))
    a.say("no body", begin + header(0))
    a.do(2, B.Qos())
    queue(a, d, "r")
    a.say("two channels", begin + dialogue.call(2, B.Publish(exchange="", routing_key=d.own("r"))) + header(2) +
          header(1, 2) + raw_frame(BODY, 1, b"1") + raw_frame(HEARTBEAT, 0, b"") + raw_frame(BODY, 2, b"2") + raw_frame(BODY, 1, b"1"))
    a.get(2, d.own("r"))
    for text, octets in (("twice a method", begin + begin), ("no header", begin + end), ("a method in a body",
                         begin + header(1) + begin), ("twice a header", begin + header(1) + header(1)),
                         ("a body alone", end), ("a header alone", header(1)),
                         ("a body of nothing", begin + header(0) + raw_frame(BODY, 1, b"")),
                         ("two bodies", begin + header(1) + end + end),
                         ("a close in a body", begin + header(2) + end + dialogue.call(1, spec.Channel.Close(200, "", 0, 0)))):
        a.say(text, octets)


def further_keys(d):
    a = d.connect()
    for name in "abc":
        queue(a, d, name)
    for headers in ({"CC": [d.own("b")], "BCC": [d.own("c")]}, {"CC": []}, {"CC": [d.own("b"), d.own("b")]},
                    {"CC": [5, None, d.own("b")]}, {"cc": [d.own("b")]}):
        a.publish(1, "", d.own("a"), "m", headers=headers)
        for name in "abc":
            a.drain(1, d.own(name))
    a.publish(1, "", "none", "m", headers={"BCC": ["none"], "k": 1}, mandatory=True)


def direct_answers(d):
    a, b = d.connect(), d.connect()
    name = "amq.rabbitmq.reply-to"
    each(a, B.Consume(queue=name, consumer_tag="r", no_ack=True), B.Consume(queue=name, consumer_tag="s", no_ack=True),
         B.Consume(queue=name, consumer_tag="r", no_ack=True))
    queue(b, d, "q")
    b.do(1, B.Consume(queue=d.own("q"), consumer_tag="s", no_ack=True))
    a.publish(1, "", d.own("q"), "what?", reply_to=name, correlation_id="c", mandatory=True)
    b.do(1, C.Select())
    to = d.given(name + ".")
    b.publish(1, "", to, "that")
    b.publish(1, "amq.direct", to, "over another exchange", mandatory=True)
    b.publish(1, "", name, "to nobody", mandatory=True)
    each(b, Q.Declare(queue=to, passive=True), Q.Declare(queue=to), Q.Delete(queue=to))
    a.do(1, B.Cancel("r"))
    b.publish(1, "", to, "late", mandatory=True)
    b.do(1, Q.Declare(queue=to, passive=True))


def a_mandatory_answer(d):
    """The answer and its return go to two connections, in no order."""
    a, b = d.connect(), d.connect()
    a.do(1, B.Consume(queue="amq.rabbitmq.reply-to", consumer_tag="r", no_ack=True))
    queue(b, d, "q")
    b.do(1, B.Consume(queue=d.own("q"), consumer_tag="s", no_ack=True))
    a.publish(1, "", d.own("q"), "what?", reply_to="amq.rabbitmq.reply-to")
    b.publish(1, "", d.given("amq.rabbitmq.reply-to."), "that", mandatory=True)


def confirms(d):
    a = d.connect()
    name = d.own("q")
    queue(a, d, "q")
    queue(a, d, "full", max_length=1, overflow="reject-publish")
    a.do(1, C.Select(nowait=True))
    a.publish(1, "", name)
    a.publish(1, "", name, delivery_mode=2)
    a.publish(1, "", "none", mandatory=True)
    a.publish(1, "amq.fanout", "none")
    a.publish(1, "", d.own("full"), "1")
    a.publish(1, "", d.own("full"), "2")
    a.do(1, C.Select())
    a.publish(1, "none", name)
    a.do(1, C.Select())
    a.publish(1, "", name)


# -- transactions

def transactions_and_confirms(d):
    each(d.connect(), T.Commit(), T.Rollback(), T.Select(), T.Select(), T.Commit(), T.Rollback(), C.Select(), C.Select(),
         C.Select(), T.Select(), C.Select(nowait=True), T.Commit())


def settlements_of_transactions(d):
    a = d.connect()
    name = d.own("q")
    queue(a, d, "q")
    for body in "12345":
        a.publish(1, "", name, body)
    a.do(1, T.Select())
    a.get(1, name, no_ack=False)
    a.get(1, name, no_ack=False)
    each(a, B.Ack(1), B.Reject(2, requeue=True), Q.Declare(queue=name, passive=True), B.Ack(1), T.Select())
    a.get(1, name, no_ack=False)
    each(a, B.Nack(1, requeue=False), T.Rollback(), B.Ack(1), T.Commit(), B.Ack(1), T.Commit(), T.Select())
    a.get(1, name, no_ack=False)
    each(a, B.Recover(requeue=True), T.Rollback(), B.Ack(0, multiple=True), T.Commit())
    a.drain(1, name)


def publishes_of_transactions(d):
    a = d.connect()
    name = d.own("q")
    queue(a, d, "q")
    a.do(1, T.Select())
    a.publish(1, "", name, "1")
    a.publish(1, "", "none", "back", mandatory=True)
    each(a, Q.Declare(queue=name, passive=True), T.Commit(), Q.Declare(queue=name, passive=True))
    a.publish(1, "none", "k")
    a.do(1, T.Select())
    a.publish(1, "", name, "lost")
    a.do(1, Q.Declare(queue="none", passive=True))
    a.do(1, T.Select())
    a.publish(1, "", name, "gone with its queue", mandatory=True)
    each(a, Q.Delete(queue=name), T.Commit())


# -- dead letters, limits, lifetimes

def rejected_round_and_round(d):
    a = d.connect()
    letters(a, d, "a", "b")
    letters(a, d, "b", "a")
    a.publish(1, "", d.own("a"))
    for tag, name in enumerate("ababa"):
        a.get(1, d.own(name), no_ack=False)
        a.do(1, B.Reject(tag + 1, requeue=False))
    a.get(1, d.own("b"))


def letters_of_odd_headers(d):
    a = d.connect()
    letters(a, d, "q", "d")
    queue(a, d, "d")
    other = {"queue": "other", "reason": "expired", "count": As("l", 7)}
    mine = {"queue": d.own("q"), "reason": "rejected", "count": 3, "time": As("T", 5)}
    for tag, headers in enumerate(({"x-death": []}, {"x-death": [{}]}, {"x-death": [{"queue": d.own("q"), "reason": "rejected"}]},
                                   {"x-death": [other]}, {"x-death": [other, mine]}, {"x-death": 5}, {"x-death": "odd"},
                                   {"x-first-death-queue": "mine"}, {"CC": ["a", "b"]}, {"a": 1})):
        a.publish(1, "", d.own("q"), "%d" % tag, headers=headers, expiration="100000", delivery_mode=2, priority=3)
        a.get(1, d.own("q"), no_ack=False)
        a.do(1, B.Nack(0, multiple=True, requeue=False))
        a.get(1, d.own("d"))


def letters_of_limits(d):
    a = d.connect()
    queue(a, d, "d", max_priority=3)
    letters(a, d, "q", "d", max_priority=5, max_length=2)
    letters(a, d, "r", "d", max_length=1, overflow="reject-publish-dlx")
    letters(a, d, "s", "d", max_length=1, overflow="reject-publish")
    for priority in (3, 1, 5, 0, 9):
        a.publish(1, "", d.own("q"), "priority %d" % priority, priority=priority)
    a.drain(1, d.own("q"))
    a.drain(1, d.own("d"))
    for name in "rs":
        a.publish(1, "", d.own(name), "1")
        a.publish(1, "", d.own(name), "2")
        a.drain(1, d.own(name))
        a.drain(1, d.own("d"))
    letters(a, d, "t", "d")
    a.publish(1, "", d.own("t"))
    a.do(1, Q.Purge(queue=d.own("t")))
    a.publish(1, "", d.own("t"))
    a.do(1, Q.Delete(queue=d.own("t")))
    a.get(1, d.own("d"))


def nothing_lives_and_nothing_fits(d):
    a = d.connect()
    queue(a, d, "ttl", message_ttl=0)
    queue(a, d, "length", max_length=0)
    queue(a, d, "bytes", max_length_bytes=0)
    for name in ("ttl", "length", "bytes"):
        a.publish(1, "", d.own(name), "lost", mandatory=True)
        a.get(1, d.own(name))
    a.publish(1, "", d.own("bytes"), "")
    a.get(1, d.own("bytes"))
    each(a, B.Qos(prefetch_count=1), B.Consume(queue=d.own("ttl"), consumer_tag="t"))
    a.publish(1, "", d.own("ttl"), "1")
    a.publish(1, "", d.own("ttl"), "2")
    a.do(1, B.Ack(1))
    a.publish(1, "", d.own("ttl"), "3")
    each(a, B.Nack(2, requeue=True), Q.Declare(queue=d.own("ttl"), passive=True))


def priorities(d):
    a = d.connect()
    queue(a, d, "q", max_priority=3)
    for number, priority in enumerate((1, None, 3, 200, 2, 0)):
        a.publish(1, "", d.own("q"), str(number), **({} if priority is None else {"priority": priority}))
    for _ in range(3):
        a.get(1, d.own("q"), no_ack=False)
    a.do(1, B.Nack(0, multiple=True, requeue=True))
    a.drain(1, d.own("q"))


# -- methods and channels

def answers_unasked(d):
    each(d.connect(), spec.Channel.FlowOk(active=True), T.SelectOk(), T.CommitOk(), C.SelectOk(), B.QosOk(), B.RecoverOk(),
         B.CancelOk(consumer_tag="x"), Q.BindOk(), E.DeclareOk(), spec.Channel.Flow(active=True),
         spec.Channel.Flow(active=False))


def old_clients(d):
    a = d.connect()
    a.say("access.request", raw_frame(METHOD, 1, struct.pack(">HH", 30, 10) + b"\x05/data\x1f"))
    a.do(1, B.Qos())


# -- where the two differ

def names_of_several_lines(d):
    a = d.connect()
    a.do(1, Q.Declare(queue=d.own("q\r\n"), exclusive=True))
    a.do(1, Q.Declare(queue=d.own("q"), passive=True))
    a.do(1, B.Get(queue=d.own("q\r\n")))


def bindings_of_other_numbers(d):
    a = d.connect()
    queue(a, d, "q")
    for value in (1, As("b", 1)):
        a.do(1, Q.Bind(queue=d.own("q"), exchange="amq.direct", routing_key=d.own("k")), {"a": value})
    a.do(1, Q.Unbind(queue=d.own("q"), exchange="amq.direct", routing_key=d.own("k")), {"a": As("l", 1)})
    a.publish(1, "amq.direct", d.own("k"), mandatory=True)


def arguments_for_others(d):
    declare_each(d.connect(), d, [({name: value}, None) for name, value in [
        ("x-max-in-memory-length", 1), ("x-max-in-memory-bytes", 1), ("x-quorum-initial-group-size", 3),
        ("x-queue-leader-locator", "balanced"), ("x-initial-cluster-size", 3), ("x-delivery-limit", 5),
        ("x-dead-letter-exchange", As("x", b"e"))]])


def the_firehose(d):
    each(d.connect(), E.Declare(exchange="amq.rabbitmq.trace", type="topic", passive=True))


def put_back_where_nothing_fits(d):
    a = d.connect()
    queue(a, d, "q", max_length=0)
    a.do(1, B.Consume(queue=d.own("q"), consumer_tag="t"))
    a.publish(1, "", d.own("q"), "1")
    each(a, B.Reject(1, requeue=True), B.Ack(2))


def closed_and_opened_at_once(d):
    a = d.connect()
    a.say("close, open", dialogue.call(1, spec.Channel.Close(200, "", 0, 0)) + dialogue.call(1, spec.Channel.Open()))


def hash_headers(d):
    a = d.connect()
    for arguments in ({"hash-header": 5}, {"hash-property": 5}):
        a.do(1, E.Declare(exchange=d.own("x"), type="x-consistent-hash"), arguments)
    a.do(1, E.Declare(exchange=d.own("x"), type="x-consistent-hash", auto_delete=True))
    queue(a, d, "q")
    for key in ("0", "-1", "", "a", "1.5", "1", "1", "1000001", "2"):
        a.do(1, Q.Bind(queue=d.own("q"), exchange=d.own("x"), routing_key=key), text="key %r" % key)
    a.do(1, Q.Unbind(queue=d.own("q"), exchange=d.own("x"), routing_key="1"))
    a.publish(1, d.own("x"), "k", mandatory=True)


def octets_too_many(d):
    a = d.connect()
    a.say("behind qos", raw_frame(METHOD, 1, struct.pack(">I", B.Qos.INDEX) + b"".join(B.Qos().encode()) + b"\0"))
    a.say("no text", raw_frame(METHOD, 1, struct.pack(">HHHB", 50, 10, 0, 3) + b"\xff\xfe\0\0\0\0\0\0"))


CASES = {case.__name__: case for case in (
    passive_declarations, reserved_names, what_is_not_there, the_last_queue_of_none, the_reply_queue, the_default_exchange,
    errors_without_waiting, anothers_queue, named_by_the_broker, the_last_queue, delete_if, auto_delete, purge_counts,
    long_names, argument_values, redeclared, said_twice, consumer_arguments, exchange_types, exchange_redeclared,
    unused_exchanges, auto_delete_exchanges, bindings_twice, topic_keys, headers_match, headers_refused, alternates,
    consumer_tags, exclusive_consumers, single_active, unknown_tags, put_back_in_order, prefetch, prefetch_of_the_channel,
    cancel_is_told, refused_contents, all_properties, frames_of_contents, further_keys, direct_answers, a_mandatory_answer,
    confirms, transactions_and_confirms, settlements_of_transactions, publishes_of_transactions, rejected_round_and_round,
    letters_of_odd_headers, letters_of_limits, nothing_lives_and_nothing_fits, priorities, answers_unasked, old_clients, names_of_several_lines, bindings_of_other_numbers, arguments_for_others, the_firehose,
    put_back_where_nothing_fits, closed_and_opened_at_once, hash_headers, octets_too_many)}
CASES.update(argument_case(name) for name in ARGUMENTS)
CASES.update(dialogue_paths.CASES)


def difference(said, wanted):
    """Where the two part first, or None."""
    for (text, lines), (_, expected) in zip(said, wanted):
        if lines != expected:
            return "%s: said %s, expected %s" % (text, lines, expected)
    return None if len(said) == len(wanted) else "%d steps, expected %d" % (len(said), len(wanted))


def held(name, address, wanted, patient):
    """None, or why it is not as wanted."""
    try:
        return difference(dialogue.Dialogue(name, address, wanted, patient).hold(CASES[name]), wanted)
    except (Unexpected, OSError) as problem:
        return str(problem) or type(problem).__name__


def record(path, names, address):
    """What a broker says, in dialogues.txt's form but for what Godwit says differently, and why."""
    with ThreadPoolExecutor(TOGETHER) as pool:
        said = pool.map(lambda name: dialogue.Dialogue(name, address, None).hold(CASES[name]), names)
        dialogue.write(path, dict(zip(names, said)))


def run(cases):
    """cases: wire_cases' Cases. The broker is asked for many of them together."""
    expected = dialogue.read(SAID)
    names = [name for name in CASES if cases.stage.wanted("scenario", name)]
    if os.environ.get("DIALOGUES"):
        record(os.environ["DIALOGUES"], names, (cases.host, PORT))
        return
    who = "rabbitmq" if cases.oracle else "godwit"
    with ThreadPoolExecutor(TOGETHER) as pool:
        found = pool.map(lambda name: held(name, (cases.host, PORT), expected[name][who], cases.oracle), names)
        for name, trouble in zip(names, found):
            def action(trouble=trouble):
                if trouble:
                    raise Unexpected(trouble)

            cases.case(name, action)
