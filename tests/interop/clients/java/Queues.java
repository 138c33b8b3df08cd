// SPDX-License-Identifier: Apache-2.0

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.CancelCallback;
import com.rabbitmq.client.Channel;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;

/** Queues: their lives, their arguments, their refusals. */
final class Queues {
    static void add() {
        addLives();
        addContents();
        addDeletes();
        addRules();
    }

    private static void checkGone(Channel channel, String queue) throws Exception {
        Harness.same(Broker.refusedWith(() -> channel.queueDeclarePassive(queue)), 404, "the queue is gone");
    }

    private static void addLives() {
        Harness.scenario("queue_server_named", () -> Broker.withChannel(channel -> {
            List<String> names = new ArrayList<>();
            for (int i = 0; i < 3; i++)
                names.add(channel.queueDeclare().getQueue());
            Harness.same(new HashSet<>(names).size(), 3, "different names");
            for (String name : names) {
                Harness.check(name.startsWith((String) Harness.expect("queue_server_named").get("prefix")), name);
                Broker.publish(channel, "", name, name);
                Harness.same(Broker.gotAll(channel, name), List.of(name), "its message");
            }
        }));
        Harness.scenario("queue_exclusive", () -> {
            String[] queue = new String[1];
            Broker.withChannel(channel -> queue[0] = Broker.temporary(channel));
            Broker.refusedOnChannel("queue_exclusive", channel -> channel.queueDeclarePassive(queue[0]));
        });
        Harness.scenario("queue_exclusive_durable", () -> Broker.withChannel(channel -> {
            String queue = Broker.temporary(channel);
            Broker.publish(channel, "", queue, "kept");
            channel.queueDeclare(queue, true, true, false, null);
            Harness.same(Broker.gotAll(channel, queue), List.of("kept"), "its message");
        }));
        Harness.scenario("queue_auto_delete", () -> Broker.withChannel(channel -> {
            String queue = channel.queueDeclare(Harness.unique("queue"), false, false, true, null).getQueue();
            String one = Broker.consume(channel, queue), two = Broker.consume(channel, queue);
            channel.basicCancel(one);
            Harness.same(channel.queueDeclarePassive(queue).getConsumerCount(), 1, "consumers");
            channel.basicCancel(two);
            checkGone(channel, queue);
        }));
        Harness.scenario("queue_expires", () -> Broker.withChannel(channel -> {
            Map<String, Object> wanted = Harness.expect("queue_expires");
            String queue = channel.queueDeclare(Harness.unique("queue"), false, false, false,
                Harness.map(wanted.get("arguments"))).getQueue();
            String tag = Broker.consume(channel, queue);
            Thread.sleep((Integer) wanted.get("used_ms"));
            Harness.same(channel.queueDeclarePassive(queue).getConsumerCount(), 1, "consumers while it is used");
            channel.basicCancel(tag);
            Broker.publish(channel, "", queue, "x");
            Thread.sleep((Integer) wanted.get("gone_ms"));
            checkGone(channel, queue);
        }));
        Harness.scenario("queues_10000", () -> Broker.withChannel(channel -> {
            List<String> names = new ArrayList<>();
            for (int i = Harness.number("queues_10000", "count"); i > 0; i--)
                names.add(Broker.temporary(channel));
            for (String name : List.of(names.get(0), names.get(names.size() - 1))) {
                Broker.publish(channel, "", name, name);
                Harness.same(Broker.gotAll(channel, name), List.of(name), "its message");
            }
        }));
    }

    private static String look(Channel channel, String queue) throws Exception {
        AMQP.Queue.DeclareOk found = channel.queueDeclarePassive(queue);
        return found.getMessageCount() + " messages, " + found.getConsumerCount() + " consumers";
    }

    private static void addContents() {
        Harness.scenario("queue_passive", () -> Broker.withChannel(channel -> {
            String queue = Broker.temporary(channel);
            Broker.publishNumbers(channel, queue, 3);
            Broker.eventuallyCount(channel, queue, 3);
            Harness.same(look(channel, queue), "3 messages, 0 consumers", "declare-ok");
            channel.basicQos(1);
            Broker.consume(channel, queue);
            Harness.eventually("2 ready messages and 1 consumer", 5000,
                () -> look(channel, queue).equals("2 messages, 1 consumers"));
        }));
        Harness.scenario("queue_purge", () -> Broker.withChannel(channel -> {
            String queue = Broker.temporary(channel);
            Broker.publishNumbers(channel, queue, 10);
            long tag = Broker.held(channel, queue);
            Broker.eventuallyCount(channel, queue, 9);
            Harness.same(channel.queuePurge(queue).getMessageCount(), 9, "purged");
            Harness.same(Broker.count(channel, queue), 0L, "left");
            channel.basicNack(tag, false, true);
            Broker.eventuallyCount(channel, queue, 1);
        }));
        Harness.scenario("queue_unbind", () -> Broker.withChannel(channel -> {
            String exchange = Broker.exchange(channel, "direct"), queue = Broker.temporary(channel);
            channel.queueBind(queue, exchange, "a");
            channel.queueBind(queue, exchange, "b");
            channel.queueUnbind(queue, exchange, "a");
            Broker.publish(channel, exchange, "a", "a");
            Broker.publish(channel, exchange, "b", "b");
            Harness.same(Broker.gotAll(channel, queue), List.of("b"), "routed after unbind");
        }));
    }

    private static void addDeletes() {
        Harness.scenario("queue_delete_if_unused", () -> Broker.connected(connection -> {
            Channel channel = connection.createChannel(), other = connection.createChannel();
            String queue = Broker.temporary(channel), tag = Broker.consume(channel, queue);
            Broker.refused("queue_delete_if_unused", other, () -> other.queueDelete(queue, true, false));
            channel.basicCancel(tag);
            channel.queueDelete(queue, true, false);
        }));
        Harness.scenario("queue_delete_if_empty", () -> Broker.connected(connection -> {
            Channel channel = connection.createChannel(), other = connection.createChannel();
            String queue = Broker.temporary(channel);
            Broker.publish(channel, "", queue, "x");
            Broker.eventuallyCount(channel, queue, 1);
            Broker.refused("queue_delete_if_empty", other, () -> other.queueDelete(queue, false, true));
            Broker.getIs(channel, queue, "x", false, "the message");
            channel.queueDelete(queue, false, true);
        }));
        Harness.scenario("consumer_cancel_notify", () -> Broker.connected(connection -> {
            Channel channel = connection.createChannel(), other = connection.createChannel();
            String queue = Broker.temporary(channel);
            List<String> cancelled = Collections.synchronizedList(new ArrayList<>());
            CancelCallback notice = cancelled::add;
            channel.basicConsume(queue, false, "mine", (tag, delivery) -> {}, notice);
            other.queueDelete(queue);
            Harness.eventually("basic.cancel from the broker", 5000, () -> !cancelled.isEmpty());
            Harness.same(cancelled, List.of("mine"), "cancelled");
        }));
    }

    private static void rule(Channel channel, Map<String, Object> row) throws Exception {
        String queue = Broker.temporary(channel, Harness.map(row.get("arguments")));
        List<String> confirms = new ArrayList<>();
        if (row.containsKey("confirms"))
            channel.confirmSelect();
        for (Object one : Harness.list(row.get("publish"))) {
            Map<String, Object> message = Harness.map(one);
            channel.basicPublish("", queue, Broker.properties().expiration((String) message.get("expiration")).build(),
                ((String) message.get("body")).getBytes());
            if (row.containsKey("confirms"))
                confirms.add(channel.waitForConfirms(10000) ? "ack" : "nack");
        }
        Harness.same(confirms, Harness.list(row.get("confirms")), "confirms");
        for (int i = (Integer) row.getOrDefault("reject", 0); i > 0; i--)
            channel.basicReject(Broker.held(channel, queue), false);
        Thread.sleep((Integer) row.getOrDefault("wait_ms", 0));
        Harness.same(Broker.gotAll(channel, queue), row.get("left"), "left of " + row.get("publish"));
    }

    private static void addRules() {
        for (String name : List.of("queue_ttl", "message_ttl", "queue_limits", "queue_refuses"))
            Harness.scenario(name, () -> {
                for (Object row : Harness.list(Harness.expect(name).get("rows")))
                    Broker.withChannel(channel -> rule(channel, Harness.map(row)));
            });
        Harness.scenario("error_queue_argument", () -> {
            Map<String, Object> wanted = Harness.expect("error_queue_argument");
            for (Object arguments : Harness.list(wanted.get("wrong")))
                Broker.refusedOnChannel("error_queue_argument",
                    channel -> Broker.temporary(channel, Harness.map(arguments)));
            Broker.refusedOnChannel("error_queue_argument", channel -> {
                String queue = Harness.unique("queue");
                for (String which : List.of("first", "first", "second"))
                    channel.queueDeclare(queue, false, true, false, Harness.map(wanted.get(which)));
            });
        });
        Broker.refusal("error_expiration", channel -> channel.basicPublish("", Broker.temporary(channel),
            Broker.properties().expiration((String) Harness.expect("error_expiration").get("expiration")).build(),
            new byte[0]));
    }
}
