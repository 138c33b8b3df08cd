# SPDX-License-Identifier: Apache-2.0
"""Where messages go: over exchanges behind exchanges, to consumers that differ, as dead letters, in transactions."""
from dialogue_words import B, E, Q, T, each, queue


def refused_in_transactions(d):
    a = d.connect()
    queue(a, d, "q")
    a.do(1, T.Select())
    a.publish(1, "", d.own("q"), "good")
    a.publish(1, "", d.own("q"), "bad", expiration="x")
    a.do(1, T.Select())
    a.publish(1, "", d.own("q"), "good2")
    a.publish(1, "none", "x", "bad")
    a.get(1, d.own("q"))
    a.do(1, T.Select())
    a.publish(1, "", d.own("q"), "r1", mandatory=True)
    a.publish(1, "", "none", "r2", mandatory=True)
    a.publish(1, "amq.fanout", "none", "r3", mandatory=True, headers={"a": 1})
    a.do(1, T.Commit())
    a.do(1, T.Rollback())
    a.do(1, T.Commit())
    a.drain(1, d.own("q"))


def unknown_tags_in_transactions(d):
    a = d.connect()
    queue(a, d, "q")
    a.publish(1, "", d.own("q"), "1")
    a.publish(1, "", d.own("q"), "2")
    a.do(1, T.Select())
    a.get(1, d.own("q"), no_ack=False)
    a.do(1, B.Ack(9))
    a.do(1, T.Select())
    a.get(1, d.own("q"), no_ack=False)
    a.get(1, d.own("q"), no_ack=False)
    a.do(1, B.Ack(2))
    a.do(1, B.Ack(1, multiple=True))
    a.do(1, B.Ack(2, multiple=True))
    a.do(1, T.Select())
    a.get(1, d.own("q"), no_ack=False)
    a.get(1, d.own("q"), no_ack=False)
    a.do(1, B.Nack(2, multiple=True, requeue=True))
    a.do(1, B.Ack(0, multiple=True))
    a.do(1, T.Commit())
    a.drain(1, d.own("q"))


def limits_in_transactions(d):
    a = d.connect()
    queue(a, d, "q", max_length=1, overflow="reject-publish")
    queue(a, d, "h", max_length=1)
    a.do(1, T.Select())
    a.publish(1, "", d.own("h"), "1")
    a.publish(1, "", d.own("h"), "2")
    a.do(1, T.Commit())
    a.drain(1, d.own("h"))
    a.publish(1, "", d.own("q"), "1")
    a.do(1, T.Commit())
    a.publish(1, "", d.own("q"), "2")
    a.do(1, T.Commit())
    a.get(1, d.own("q"))


def recovered_for_others(d):
    a, b = d.connect(), d.connect()
    name = d.own("q")
    a.do(1, Q.Declare(queue=name))
    a.do(1, B.Qos(prefetch_count=1))
    a.do(1, B.Consume(queue=name, consumer_tag="t"))
    a.publish(1, "", name, "1")
    a.publish(1, "", name, "2")
    a.do(1, B.Recover(requeue=True))
    b.do(1, B.Consume(queue=name, consumer_tag="u"))
    a.do(1, B.Nack(2, requeue=True))
    a.do(1, B.Cancel("t"))
    a.close_channel(1)
    b.do(1, B.Ack(0, multiple=True))
    b.do(1, Q.Delete(queue=name))


def priorities_of_consumers(d):
    a = d.connect()
    name = d.own("q")
    queue(a, d, "q")
    a.do(1, B.Qos(prefetch_count=2))
    for t, p in (("low", -5), ("none", None), ("high", 5), ("high2", 5)):
        a.do(1, B.Consume(queue=name, consumer_tag=t), {} if p is None else {"x-priority": p})
    for i in "123456789":
        a.publish(1, "", name, i)
    a.do(1, B.Ack(5))
    a.do(1, B.Ack(1))
    a.do(1, B.Cancel("high"))
    a.do(1, Q.Declare(queue=name, passive=True))
    a.do(1, B.Nack(2, requeue=True))
    a.do(1, B.Ack(0, multiple=True))


def letters_over_a_fanout(d):
    a = d.connect()
    x = d.own("x")
    a.do(1, E.Declare(exchange=x, type="fanout", auto_delete=True))
    queue(a, d, "q", dead_letter_exchange=x)
    for name in "ab":
        queue(a, d, name, dead_letter_exchange="", dead_letter_routing_key=d.own("end"))
        a.do(1, Q.Bind(queue=d.own(name), exchange=x))
    queue(a, d, "end")
    a.publish(1, "", d.own("q"), "m", expiration="100000", headers={"CC": [d.own("other")]})
    a.get(1, d.own("q"), no_ack=False)
    a.do(1, B.Reject(1, requeue=False))
    a.get(1, d.own("a"), no_ack=False)
    a.get(1, d.own("b"), no_ack=False)
    for tag in (2, 3):
        a.do(1, B.Reject(tag, requeue=False))
        a.get(1, d.own("end"))


def letters_keep_their_keys(d):
    a = d.connect()
    queue(a, d, "q", dead_letter_exchange="amq.topic")
    queue(a, d, "d")
    a.do(1, Q.Bind(queue=d.own("d"), exchange="amq.topic", routing_key=d.own("#")))
    a.publish(1, "", d.own("q"), "m", headers={"CC": ["x.y"], "k": 1})
    a.get(1, d.own("q"), no_ack=False)
    a.do(1, B.Reject(1, requeue=False))
    a.get(1, d.own("d"))
    a.do(1, E.Declare(exchange=d.own("i"), type="fanout", internal=True, auto_delete=True))
    queue(a, d, "p", dead_letter_exchange=d.own("i"))
    a.do(1, Q.Bind(queue=d.own("d"), exchange=d.own("i")))
    a.publish(1, "", d.own("p"), "internal")
    a.get(1, d.own("p"), no_ack=False)
    a.do(1, B.Reject(3, requeue=False))
    a.get(1, d.own("d"))


def letters_to_their_own_queue(d):
    a = d.connect()
    name = d.own("q")
    queue(a, d, "q", dead_letter_exchange="", dead_letter_routing_key=name)
    a.publish(1, "", name, "m")
    for t in (1, 2, 3):
        a.get(1, name, no_ack=False)
        a.do(1, B.Reject(t, requeue=False))
    a.get(1, name)
    queue(a, d, "l", dead_letter_exchange="", dead_letter_routing_key=d.own("l"), max_length=1)
    a.publish(1, "", d.own("l"), "1")
    a.publish(1, "", d.own("l"), "2")
    a.drain(1, d.own("l"))


def letters_of_what_came_back(d):
    a = d.connect()
    queue(a, d, "q", dead_letter_exchange="", dead_letter_routing_key=d.own("d"))
    queue(a, d, "d")
    a.publish(1, "", d.own("q"), "m", correlation_id="c", timestamp=5, type="t")
    a.get(1, d.own("q"), no_ack=False)
    a.do(1, B.Reject(1, requeue=True))
    a.get(1, d.own("q"), no_ack=False)
    a.do(1, T.Select())
    a.do(1, B.Reject(2, requeue=False))
    a.get(1, d.own("d"))
    a.do(1, T.Commit())
    a.get(1, d.own("d"))


def letters_by_priority(d):
    a = d.connect()
    queue(a, d, "q", dead_letter_exchange="", dead_letter_routing_key=d.own("d"), max_priority=2, max_length=3)
    queue(a, d, "d")
    for i in range(5):
        a.publish(1, "", d.own("q"), str(i), priority=i % 3)
    a.get(1, d.own("q"))
    a.get(1, d.own("q"), no_ack=False)
    a.close_channel(1)
    a.drain(1, d.own("q"))
    a.drain(1, d.own("d"))


def a_queue_goes_with_its_deliveries(d):
    a, b = d.connect(), d.connect()
    name = d.own("q")
    a.do(1, Q.Declare(queue=name), {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": d.own("d")})
    queue(a, d, "d")
    a.publish(1, "", name, "1")
    a.publish(1, "", name, "2")
    b.get(1, name, no_ack=False)
    a.do(1, Q.Delete(queue=name))
    b.do(1, B.Reject(1, requeue=False))
    b.do(1, B.Reject(1, requeue=False))
    a.get(1, d.own("d"))


def another_queue_of_that_name(d):
    a, b = d.connect(), d.connect()
    name = d.own("q")
    a.do(1, Q.Declare(queue=name))
    a.publish(1, "", name, "old")
    b.get(1, name, no_ack=False)
    a.do(1, Q.Delete(queue=name))
    a.do(1, Q.Declare(queue=name))
    b.do(1, B.Reject(1, requeue=True))
    a.do(1, Q.Declare(queue=name, passive=True))
    a.do(1, Q.Delete(queue=name))


def exclusive_and_auto_delete(d):
    a = d.connect()
    name = d.own("q")
    a.do(1, Q.Declare(queue=name, exclusive=True, auto_delete=True, durable=True))
    a.do(1, B.Consume(queue=name, consumer_tag="t", exclusive=True, no_ack=True))
    a.publish(1, "", name)
    a.do(2, Q.Delete(queue=name, if_unused=True))
    a.do(1, B.Cancel("t"))
    a.do(1, Q.Declare(queue=name, passive=True))
    a.do(1, B.Cancel("t"))


def headers_bound_twice(d):
    a = d.connect()
    name = d.own("q")
    x = d.own("x")
    queue(a, d, "q")
    a.do(1, E.Declare(exchange=x, type="headers", auto_delete=True))
    a.do(1, Q.Bind(queue=name, exchange=x, routing_key="a"), {"h": 1})
    a.do(1, Q.Bind(queue=name, exchange=x, routing_key="b"), {"h": 1})
    a.publish(1, x, "", "once", headers={"h": 1})
    a.drain(1, name)
    a.do(1, Q.Unbind(queue=name, exchange=x, routing_key="a"), {"h": 1})
    a.publish(1, x, "", "still", headers={"h": 1})
    a.drain(1, name)
    a.do(1, Q.Unbind(queue=name, exchange=x, routing_key="b"), {})
    a.do(1, Q.Unbind(queue=name, exchange=x, routing_key="b"), {"h": 1})
    a.publish(1, x, "", "gone")


def exchanges_of_other_types(d):
    a = d.connect()
    x, y, name = d.own("x"), d.own("y"), d.own("q")
    queue(a, d, "q")
    a.do(1, E.Declare(exchange=x, type="topic", auto_delete=True))
    a.do(1, E.Declare(exchange=y, type="headers", auto_delete=True, internal=True))
    a.do(1, E.Bind(destination=y, source=x, routing_key="a.#"), {"ignored": 1})
    a.do(1, E.Bind(destination=y, source=x, routing_key="a.#"))
    a.do(1, Q.Bind(queue=name, exchange=y), {"x-match": "any", "h": 1})
    a.publish(1, x, "a.b", "yes", headers={"h": 1})
    a.publish(1, x, "a.b", "no", mandatory=True)
    a.drain(1, name)
    a.publish(1, y, "a", "internal")
    a.do(1, E.Unbind(destination=y, source=x, routing_key="a.#"))
    a.publish(1, x, "a.b", "yes", headers={"h": 1})
    a.drain(1, name)
    a.do(1, E.Unbind(destination=y, source=x, routing_key="a.#"), {"ignored": 1})
    a.do(1, E.Declare(exchange=x, type="", passive=True))
    a.do(1, E.Delete(exchange=y, if_unused=True))
    a.do(1, E.Delete(exchange=y))


def bindings_to_a_dead_end(d):
    a = d.connect()
    x, y = d.own("x"), d.own("y")
    a.do(1, E.Declare(exchange=x, type="fanout"))
    a.do(1, E.Declare(exchange=y, type="fanout"), {"alternate-exchange": "amq.fanout"})
    a.do(1, E.Bind(destination=y, source=x))
    a.publish(1, x, "k", "dead end", mandatory=True)
    queue(a, d, "q")
    a.do(1, E.Declare(exchange=d.own("ae"), type="fanout", auto_delete=True))
    a.do(1, Q.Bind(queue=d.own("q"), exchange=d.own("ae")))
    a.do(1, E.Delete(exchange=y))
    a.do(1, E.Declare(exchange=y, type="fanout"), {"alternate-exchange": d.own("ae")})
    a.do(1, E.Bind(destination=y, source=x))
    a.publish(1, x, "k", "over the alternate", mandatory=True)
    a.drain(1, d.own("q"))
    a.do(1, E.Delete(exchange=x))
    a.do(1, E.Delete(exchange=y))


def the_next_active_one(d):
    a, b, c = d.connect(), d.connect(), d.connect()
    name = d.own("q")
    a.do(1, Q.Declare(queue=name), {"x-single-active-consumer": True, "x-max-priority": 3})
    a.do(1, B.Qos(prefetch_count=2))
    a.do(1, B.Consume(queue=name, consumer_tag="a"))
    b.do(1, B.Consume(queue=name, consumer_tag="b"))
    c.do(1, B.Consume(queue=name, consumer_tag="c"), {"x-priority": 5})
    for i in "12345":
        a.publish(1, "", name, i, priority=int(i) % 3)
    a.close()
    b.do(1, B.Nack(1, requeue=True))
    b.do(1, B.Cancel("b"))
    c.do(1, Q.Declare(queue=name, passive=True))
    c.do(1, Q.Delete(queue=name))


def single_active_and_auto_delete(d):
    a = d.connect()
    name = d.own("q")
    a.do(1, Q.Declare(queue=name, auto_delete=True), {"x-single-active-consumer": True})
    a.do(1, B.Consume(queue=name, consumer_tag="a"))
    a.do(2, B.Consume(queue=name, consumer_tag="b"))
    a.do(1, B.Cancel("a"))
    a.do(1, Q.Declare(queue=name, passive=True))
    a.do(2, B.Cancel("b"))
    a.do(1, Q.Declare(queue=name, passive=True))


def nothing_is_answered(d):
    a = d.connect()
    name, x = d.own("q"), d.own("x")
    each(a, E.Declare(exchange=x, type="direct", nowait=True), Q.Declare(queue=name, nowait=True), Q.Bind(queue=name,
         exchange=x, routing_key="k", nowait=True), E.Bind(destination=x, source="amq.topic", routing_key=name,
         nowait=True))
    a.publish(1, "amq.topic", name, "no", mandatory=True)
    a.publish(1, x, "k", "yes", mandatory=True)
    each(a, Q.Purge(queue=name, nowait=True), E.Unbind(destination=x, source="amq.topic", routing_key=name, nowait=True),
         Q.Delete(queue=name, nowait=True), E.Delete(exchange=x, nowait=True), Q.Declare(queue=name, passive=True),
         B.Consume(queue=name, nowait=True))


def large_limits(d):
    a = d.connect()
    queue(a, d, "q", max_length=(1 << 63) - 1, max_length_bytes=(1 << 63) - 1)
    a.publish(1, "", d.own("q"), "x")
    a.get(1, d.own("q"))
    queue(a, d, "r", max_length_bytes=5, max_length=2)
    for b in ("12", "34", "5", "6789ab", ""):
        a.publish(1, "", d.own("r"), b)
    a.drain(1, d.own("r"))


CASES = {case.__name__: case for case in (
    refused_in_transactions, unknown_tags_in_transactions, limits_in_transactions, recovered_for_others,
    priorities_of_consumers, letters_over_a_fanout, letters_keep_their_keys, letters_to_their_own_queue,
    letters_of_what_came_back, letters_by_priority, a_queue_goes_with_its_deliveries,
    another_queue_of_that_name, exclusive_and_auto_delete, headers_bound_twice, exchanges_of_other_types,
    bindings_to_a_dead_end, the_next_active_one, single_active_and_auto_delete, nothing_is_answered,
    large_limits)}
