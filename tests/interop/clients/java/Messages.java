// SPDX-License-Identifier: Apache-2.0

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.GetResponse;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Publish, consume, get; unequal consumers, priorities, dead letters, direct reply-to, transactions. */
final class Messages {
    private static final String REPLY_TO = "amq.rabbitmq.reply-to";

    static void add() {
        addPlain();
        addSettling();
        addConsumers();
        addDeadLetters();
        addReplies();
        addTransactions();
    }

    private static void addPlain() {
        Harness.scenario("publish_consume", () -> Broker.withChannel(channel -> {
            int count = Harness.number("publish_consume", "count");
            String queue = Broker.temporary(channel);
            Broker.publishNumbers(channel, queue, count);
            List<Broker.Arrival> found = Broker.arrivals();
            Broker.consume(channel, queue, found, "c", false);
            Broker.arrived(found, count);
            for (int i = 0; i < count; i++) {
                Harness.same(found.get(i).body, "" + i, "body");
                Harness.same(found.get(i).delivery.getEnvelope().isRedeliver(), false, "redelivered");
                channel.basicAck(found.get(i).deliveryTag(), false);
            }
            channel.basicCancel("c");
            Broker.eventuallyCount(channel, queue, 0);
        }));
        Harness.scenario("publish_get", () -> Broker.withChannel(channel -> {
            int count = Harness.number("publish_get", "count");
            String queue = Broker.temporary(channel);
            Broker.publishNumbers(channel, queue, count);
            Broker.eventuallyCount(channel, queue, count);
            for (int i = 0; i < count; i++) {
                GetResponse one = channel.basicGet(queue, false);
                Harness.same(List.of(new String(one.getBody()), one.getMessageCount(), one.getEnvelope().getExchange(),
                    one.getEnvelope().getRoutingKey(), one.getEnvelope().isRedeliver()),
                    List.of("" + i, count - 1 - i, "", queue, false), "get-ok");
                channel.basicAck(one.getEnvelope().getDeliveryTag(), false);
            }
            Harness.same(channel.basicGet(queue, true), null, "get from the empty queue");
        }));
        Harness.scenario("properties", () -> Broker.withChannel(channel -> {
            Map<String, Object> headers = new HashMap<>(Map.of("text", "grüße", "int", -5, "big", 1L << 40, "yes", true,
                "no", false, "list", List.of(1, "two", List.of(3)), "table", Map.of("inner", Map.of("deep", 1)), "real",
                1.5, "single", 0.5f, "time", new Date(1700000001000L)));
            headers.put("short", (short) -2);
            headers.put("byte", (byte) -3);
            headers.put("decimal", new java.math.BigDecimal("3.14"));
            headers.put("none", null);
            AMQP.BasicProperties sent = new AMQP.BasicProperties("text/plain", "utf-8", headers, 2, 7, "corr", "back",
                "60000", "m-1", new Date(1700000000000L), "kind", "guest", "interop", null);
            String queue = Broker.temporary(channel);
            channel.basicPublish("", queue, sent, "x".getBytes());
            AMQP.BasicProperties found = Broker.get(channel, queue, true).getProps();
            Harness.same(Broker.headersOf(found), headers, "headers");
            Harness.same(found.builder().headers(null).build().toString(),
                sent.builder().headers(null).build().toString(), "properties");
        }));
        Harness.scenario("confirm", () -> Broker.withChannel(channel -> {
            int count = Harness.number("confirm", "count");
            String queue = Broker.temporary(channel);
            channel.confirmSelect();
            Broker.publishNumbers(channel, queue, count);
            Broker.publish(channel, "", Harness.unique("nowhere"), "unroutable");
            Harness.same(channel.waitForConfirms(20000), true, "all confirmed");
            Harness.same(Broker.count(channel, queue), (long) count, "messages");
        }));
        Harness.scenario("return_unroutable", () -> Broker.withChannel(channel -> {
            Map<String, Object> wanted = Harness.expect("return_unroutable");
            String queue = Broker.temporary(channel), nowhere = Harness.unique("nowhere");
            List<Object> returned = returns(channel);
            channel.confirmSelect();
            channel.basicPublish("", queue, true, null, "routable".getBytes());
            channel.basicPublish("", nowhere, true, null, "back".getBytes());
            channel.waitForConfirmsOrDie(10000);
            Harness.same(returned,
                List.of(List.of(wanted.get("code"), wanted.get("text"), "", nowhere, "back")), "basic.return");
            Harness.same(Broker.gotAll(channel, queue), List.of("routable"), "routed");
        }));
    }

    static List<Object> returns(Channel channel) {
        List<Object> returned = Collections.synchronizedList(new ArrayList<>());
        channel.addReturnListener(back -> returned.add(List.of(back.getReplyCode(), back.getReplyText(),
            back.getExchange(), back.getRoutingKey(), new String(back.getBody()))));
        return returned;
    }

    private static void addSettling() {
        Harness.scenario("nack_requeue", () -> Broker.withChannel(channel -> {
            String queue = Broker.temporary(channel);
            Broker.publishNumbers(channel, queue, 3);
            channel.basicNack(Broker.held(channel, queue), false, true);
            Broker.getIs(channel, queue, "0", true, "second delivery");
            Broker.getIs(channel, queue, "1", false, "the message behind it");
        }));
        Harness.scenario("nack_multiple", () -> Broker.withChannel(channel -> {
            String queue = Broker.temporary(channel);
            Broker.publishNumbers(channel, queue, 6);
            long[] tags = held(channel, queue, 6);
            channel.basicAck(tags[1], true);
            channel.basicNack(tags[3], true, true);
            Broker.eventuallyCount(channel, queue, 2);
            Broker.getIs(channel, queue, "2", true, "requeued");
            Broker.getIs(channel, queue, "3", true, "requeued");
            channel.basicAck(0, true);
            Broker.eventuallyCount(channel, queue, 0);
        }));
        Harness.scenario("reject", () -> Broker.withChannel(channel -> {
            String queue = Broker.temporary(channel);
            Broker.publish(channel, "", queue, "one");
            channel.basicReject(Broker.held(channel, queue), true);
            GetResponse again = Broker.get(channel, queue, false);
            Harness.same(again.getEnvelope().isRedeliver(), true, "redelivered");
            channel.basicReject(again.getEnvelope().getDeliveryTag(), false);
            Harness.same(Broker.gotAll(channel, queue), List.of(), "get after the drop");
        }));
        Harness.scenario("recover", () -> Broker.withChannel(channel -> {
            String queue = Broker.temporary(channel);
            Broker.publishNumbers(channel, queue, 3);
            held(channel, queue, 3);
            channel.basicRecover(true);
            for (int i = 0; i < 3; i++)
                Broker.getIs(channel, queue, "" + i, true, "recovered");
        }));
        Harness.scenario("requeue_on_close", () -> Broker.withChannel(keeper -> {
            String queue = Broker.shared(keeper);
            Broker.withChannel(channel -> {
                Broker.publish(channel, "", queue, "kept");
                Broker.held(channel, queue);
            });
            Broker.getIs(keeper, queue, "kept", true, "delivery after the close");
            keeper.queueDelete(queue);
        }));
    }

    private static long[] held(Channel channel, String queue, int count) throws Exception {
        long[] tags = new long[count];
        for (int i = 0; i < count; i++)
            tags[i] = Broker.held(channel, queue);
        return tags;
    }

    private static void addConsumers() {
        Harness.scenario("qos_prefetch", () -> Broker.withChannel(channel -> {
            int prefetch = Harness.number("qos_prefetch", "prefetch");
            String queue = Broker.temporary(channel);
            Broker.publishNumbers(channel, queue, Harness.number("qos_prefetch", "count"));
            channel.basicQos(prefetch);
            List<Broker.Arrival> found = Broker.arrivals();
            Broker.consume(channel, queue, found, "c", false);
            Thread.sleep(500);
            Harness.same(found.size(), prefetch, "delivered at first");
            channel.basicAck(found.get(0).deliveryTag(), false);
            Thread.sleep(500);
            Harness.same(found.size(), prefetch + 1, "delivered after one ack");
            channel.basicAck(found.get(prefetch).deliveryTag(), true);
            Thread.sleep(500);
            Harness.same(found.size(), 2 * prefetch + 1, "delivered after all were acknowledged");
        }));
        Harness.scenario("consumer_priority", () -> Broker.withChannel(channel -> {
            int prefetch = Harness.number("consumer_priority", "prefetch");
            int count = Harness.number("consumer_priority", "count");
            String queue = Broker.temporary(channel);
            List<Broker.Arrival> found = Broker.arrivals();
            Broker.consume(channel, queue, found, "low", false, false, Map.of("x-priority", -1));
            channel.basicQos(prefetch);
            Broker.consume(channel, queue, found, "high", false, false, Map.of("x-priority", 10));
            List<String> wanted = new ArrayList<>();
            for (int i = 0; i < count; i++)
                wanted.add((i < prefetch ? "high " : "low ") + i);
            Broker.publishNumbers(channel, queue, count);
            Thread.sleep(500);
            List<String> texts = Broker.texts(found);
            Collections.sort(texts);
            Collections.sort(wanted);
            Harness.same(texts, wanted, "who got what");
        }));
        Broker.refusal("error_consumer_priority", channel -> Broker.consume(channel, Broker.temporary(channel),
            Broker.arrivals(), "c", false, false, Map.of("x-priority", "high")));
        Harness.scenario("single_active_consumer", () -> Broker.withChannel(channel -> {
            int count = Harness.number("single_active_consumer", "count");
            String queue = Broker.temporary(channel, Map.of("x-single-active-consumer", true));
            List<Broker.Arrival> found = Broker.arrivals();
            Broker.consume(channel, queue, found, "first", true);
            Broker.consume(channel, queue, found, "second", true);
            List<String> wanted = new ArrayList<>();
            for (int i = 0; i < count; i++)
                wanted.add("first " + i);
            Broker.publishNumbers(channel, queue, count);
            Broker.arrived(found, count);
            Harness.same(Broker.texts(found), wanted, "the first one's");
            channel.basicCancel("first");
            Broker.publish(channel, "", queue, "next");
            Broker.arrived(found, count + 1);
            wanted.add("second next");
            Harness.same(Broker.texts(found), wanted, "the second one's");
        }));
        Broker.refusal("error_single_active_exclusive", channel -> Broker.consume(channel,
            Broker.temporary(channel, Map.of("x-single-active-consumer", true)), Broker.arrivals(), "c", false, true,
            null));
        Harness.scenario("queue_priority", () -> Broker.withChannel(channel -> {
            Map<String, Object> wanted = Harness.expect("queue_priority");
            List<Integer> sent = Harness.list(wanted.get("sent"));
            String queue = Broker.temporary(channel, Map.of("x-max-priority", wanted.get("highest")));
            for (int i = 0; i < sent.size(); i++)
                channel.basicPublish("", queue, Broker.properties().priority(sent.get(i)).build(), ("" + i).getBytes());
            Broker.eventuallyCount(channel, queue, sent.size());
            Harness.same(Broker.gotAll(channel, queue).toString(), wanted.get("sorted").toString(), "got");
        }));
        Broker.refusedQueue("error_queue_priority", Map.of("x-max-priority", 256));
    }

    private static Map<String, Object> letters(String dead, Map<String, Object> more) {
        Map<String, Object> arguments = new HashMap<>(more);
        arguments.put("x-dead-letter-exchange", "");
        arguments.put("x-dead-letter-routing-key", dead);
        return arguments;
    }

    private static String mortal(Channel channel, String name, String dead, Map<String, Object> more) throws Exception {
        return channel.queueDeclare(name, false, true, false, letters(dead, more)).getQueue();
    }

    private static List<String> events(GetResponse letter) {
        List<String> found = new ArrayList<>();
        for (Object one : Harness.list(Broker.headersOf(letter.getProps()).get("x-death"))) {
            Map<String, Object> event = Harness.map(one);
            found.add(event.get("queue") + " " + event.get("reason") + " " + event.get("count") + event.get("exchange"));
        }
        return found;
    }

    private static void deadLetter(Channel channel, Map<String, Object> row) throws Exception {
        String reason = (String) row.get("reason"), dead = Broker.temporary(channel);
        String queue = mortal(channel, Harness.unique("queue"), dead, Harness.map(row.get("arguments")));
        for (int i = reason.equals("maxlen") ? 2 : 1; i > 0; i--)
            channel.basicPublish("", queue, Broker.headers(Map.of("mine", "stays")), "body".getBytes());
        if (reason.equals("rejected"))
            channel.basicReject(Broker.held(channel, queue), false);
        GetResponse letter = Broker.get(channel, dead, true);
        Map<String, Object> headers = Broker.headersOf(letter.getProps());
        Harness.same(new String(letter.getBody()), "body", "the letter");
        Harness.same(events(letter), List.of(queue + " " + reason + " 1"), "x-death");
        Harness.same(Harness.map(Harness.list(headers.remove("x-death")).get(0)).get("routing-keys"), List.of(queue),
            "routing-keys");
        Harness.same(headers, Map.of("mine", "stays", "x-first-death-reason", reason, "x-first-death-queue", queue,
            "x-first-death-exchange", ""), "other headers");
    }

    private static void addDeadLetters() {
        Harness.scenario("dead_letter", () -> {
            for (Object row : Harness.list(Harness.expect("dead_letter").get("rows")))
                Broker.withChannel(channel -> deadLetter(channel, Harness.map(row)));
        });
        Harness.scenario("dead_letter_counts", () -> Broker.withChannel(channel -> {
            int count = Harness.number("dead_letter_counts", "count");
            String queue = Harness.unique("queue"), waits = Harness.unique("waits");
            mortal(channel, queue, waits, Map.of());
            mortal(channel, waits, queue, Map.of("x-message-ttl", 20));
            Broker.publish(channel, "", queue, "body");
            for (int i = 0; i < count; i++)
                channel.basicNack(Broker.held(channel, queue), false, false);
            Harness.same(events(Broker.get(channel, queue, true)),
                List.of(waits + " expired " + count, queue + " rejected " + count), "x-death");
        }));
        Harness.scenario("dead_letter_circle", () -> Broker.withChannel(channel -> {
            String one = Harness.unique("one"), two = Harness.unique("two");
            mortal(channel, one, two, Map.of("x-message-ttl", 20));
            mortal(channel, two, one, Map.of("x-message-ttl", 20));
            Broker.publish(channel, "", one, "body");
            Thread.sleep(500);
            Harness.same(List.of(Broker.count(channel, one), Broker.count(channel, two)), List.of(0L, 0L), "left");
        }));
        Broker.refusedQueue("error_dead_letter_key", Map.of("x-dead-letter-routing-key", "k"));
        Broker.refusedQueue("error_dead_letter_type", Map.of("x-dead-letter-exchange", 5));
    }

    private static void addReplies() {
        Harness.scenario("direct_reply_to", () -> Broker.withChannel(channel -> Broker.withChannel(server -> {
            int count = Harness.number("direct_reply_to", "count");
            String queue = Broker.temporary(channel);
            List<Broker.Arrival> answers = Broker.arrivals();
            Broker.consume(channel, REPLY_TO, answers, "c", true);
            for (int i = 0; i < count; i++) {
                channel.basicPublish("", queue, Broker.properties().replyTo(REPLY_TO).correlationId("" + i).build(),
                    ("" + i).getBytes());
                GetResponse request = Broker.get(channel, queue, true);
                AMQP.BasicProperties about = request.getProps();
                Harness.check(about.getReplyTo().startsWith(REPLY_TO + "."), "reply-to " + about.getReplyTo());
                server.basicPublish("", about.getReplyTo(),
                    Broker.properties().correlationId(about.getCorrelationId()).build(),
                    ("to " + new String(request.getBody())).getBytes());
            }
            Broker.arrived(answers, count);
            for (int i = 0; i < count; i++)
                Harness.same(answers.get(i).delivery.getProperties().getCorrelationId() + answers.get(i).body,
                    i + "to " + i, "answer");
        })));
        Broker.refusal("error_reply_consumer_missing", channel -> channel.basicPublish("", "q",
            Broker.properties().replyTo(REPLY_TO).build(), new byte[0]));
        Broker.refusal("error_reply_consumer_acks", channel -> Broker.consume(channel, REPLY_TO));
        Broker.refusal("error_user_id", channel -> {
            String queue = Broker.temporary(channel);
            channel.basicPublish("", queue, Broker.properties().userId("guest").build(), new byte[0]);
            Broker.eventuallyCount(channel, queue, 1);
            channel.basicPublish("", queue, Broker.properties().userId("admin").build(), new byte[0]);
        });
    }

    private static void addTransactions() {
        Harness.scenario("tx_commit", () -> Broker.withChannel(channel -> {
            Map<String, Object> wanted = Harness.expect("tx_commit");
            String queue = Broker.temporary(channel), nowhere = Harness.unique("nowhere");
            List<Object> returned = returns(channel);
            channel.txSelect();
            Broker.publish(channel, "", queue, "one");
            channel.basicPublish("", nowhere, true, null, "back".getBytes());
            Broker.publish(channel, "", queue, "two");
            Harness.same(List.of(Broker.count(channel, queue), returned), List.of(0L, List.of()), "before the commit");
            channel.txCommit();
            Harness.eventually("a return", 5000, () -> !returned.isEmpty());
            Harness.same(returned,
                List.of(List.of(wanted.get("code"), wanted.get("text"), "", nowhere, "back")), "basic.return");
            Harness.same(Broker.gotAll(channel, queue), List.of("one", "two"), "committed");
        }));
        Harness.scenario("tx_rollback", () -> Broker.withChannel(channel -> {
            String queue = Broker.temporary(channel);
            channel.txSelect();
            Broker.publish(channel, "", queue, "one");
            channel.txRollback();
            Broker.publish(channel, "", queue, "two");
            channel.txCommit();
            Harness.same(Broker.gotAll(channel, queue), List.of("two"), "committed");
        }));
        Harness.scenario("tx_settle", () -> Broker.withChannel(channel -> {
            String queue = Broker.temporary(channel);
            Broker.publishNumbers(channel, queue, 4);
            channel.txSelect();
            long[] tags = held(channel, queue, 4);
            channel.basicAck(tags[2], false);
            channel.basicNack(tags[1], true, true);
            channel.txRollback();
            channel.basicAck(tags[2], true);
            channel.basicReject(tags[3], true);
            Harness.same(Broker.count(channel, queue), 0L, "before the commit");
            channel.txCommit();
            Broker.eventuallyCount(channel, queue, 1);
            Broker.getIs(channel, queue, "3", true, "rejected");
        }));
        Broker.refusal("error_tx_not_selected", Channel::txCommit);
        Broker.refusal("error_tx_then_confirm", channel -> {
            channel.txSelect();
            channel.confirmSelect();
        });
        Broker.refusal("error_confirm_then_tx", channel -> {
            channel.confirmSelect();
            channel.txSelect();
        });
    }
}
