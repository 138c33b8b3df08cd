// SPDX-License-Identifier: Apache-2.0

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.GetResponse;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Exchanges of every type, their bindings and refusals. */
final class Exchanges {
    static void add() {
        addTypes();
        addLifecycle();
        addAlternates();
        addBindings();
        addSelected();
        addHash();
    }

    private static void addTypes() {
        Harness.scenario("exchange_direct", () -> Broker.withChannel(channel -> {
            String exchange = Broker.exchange(channel, "direct");
            String red = Broker.temporary(channel), blue = Broker.temporary(channel);
            channel.queueBind(red, exchange, "red");
            channel.queueBind(blue, exchange, "blue");
            for (String key : List.of("red", "blue", "green"))
                Broker.publish(channel, exchange, key, key);
            Harness.same(Broker.gotAll(channel, red), List.of("red"), "red");
            Harness.same(Broker.gotAll(channel, blue), List.of("blue"), "blue");
        }));
        Harness.scenario("exchange_fanout", () -> Broker.withChannel(channel -> {
            String exchange = Broker.exchange(channel, "fanout");
            List<String> queues = new ArrayList<>();
            for (int i = 0; i < 5; i++) {
                queues.add(Broker.temporary(channel));
                channel.queueBind(queues.get(i), exchange, "ignored");
                channel.queueBind(queues.get(i), exchange, "twice");
            }
            Broker.publish(channel, exchange, "any", "all");
            for (String queue : queues)
                Harness.same(Broker.gotAll(channel, queue), List.of("all"), queue);
        }));
        Harness.scenario("exchange_topic", () -> Broker.withChannel(channel -> {
            for (Object one : Harness.list(Harness.expect("exchange_topic").get("patterns"))) {
                Map<String, Object> row = Harness.map(one);
                String exchange = Broker.exchange(channel, "topic"), queue = Broker.temporary(channel);
                channel.queueBind(queue, exchange, (String) row.get("pattern"));
                List<String> keys = new ArrayList<>(Harness.<String>list(row.get("match")));
                keys.addAll(Harness.list(row.get("miss")));
                for (String key : keys)
                    Broker.publish(channel, exchange, key, key);
                Harness.same(Broker.gotAll(channel, queue), row.get("match"), "" + row.get("pattern"));
                channel.queueUnbind(queue, exchange, (String) row.get("pattern"));
            }
        }));
        Harness.scenario("exchange_headers", () -> Broker.withChannel(channel -> {
            String exchange = Broker.exchange(channel, "headers");
            String all = Broker.temporary(channel), any = Broker.temporary(channel);
            channel.queueBind(all, exchange, "", Map.of("x-match", "all", "colour", "red", "size", 5));
            channel.queueBind(any, exchange, "", Map.of("x-match", "any", "colour", "red", "size", 5));
            Map<String, Map<String, Object>> sent = new LinkedHashMap<>();
            sent.put("both", Map.of("colour", "red", "size", 5, "more", 1));
            sent.put("one", Map.of("colour", "red"));
            sent.put("other", Map.of("colour", "blue", "size", 6));
            sent.put("typed", Map.of("size", "5"));
            sent.put("none", Map.of());
            for (Map.Entry<String, Map<String, Object>> one : sent.entrySet())
                channel.basicPublish(exchange, "", Broker.headers(one.getValue()), one.getKey().getBytes());
            Harness.same(Broker.gotAll(channel, all), List.of("both"), "x-match all");
            Harness.same(Broker.gotAll(channel, any), List.of("both", "one"), "x-match any");
        }));
        Harness.scenario("exchange_predeclared", () -> Broker.withChannel(channel -> {
            predeclared(channel, "amq.direct", Harness.unique("key"), Map.of());
            predeclared(channel, "amq.fanout", "", Map.of());
            predeclared(channel, "amq.topic", Harness.unique("a") + ".b", Map.of());
            predeclared(channel, "amq.headers", "", Map.of("x-match", "all", "id", Harness.unique("h")));
            predeclared(channel, "amq.match", "", Map.of("x-match", "all", "id", Harness.unique("h")));
        }));
    }

    private static void predeclared(Channel channel, String name, String key, Map<String, Object> headers)
        throws Exception {
        channel.exchangeDeclarePassive(name);
        String queue = Broker.temporary(channel);
        channel.queueBind(queue, name, key, headers);
        channel.basicPublish(name, key, Broker.headers(headers), "here".getBytes());
        Harness.same(Broker.gotAll(channel, queue), List.of("here"), name);
        channel.queueDelete(queue);
    }

    private static void checkGone(Connection connection, String... names) throws Exception {
        for (String name : names) {
            Channel channel = connection.createChannel();
            Harness.same(Broker.refusedWith(() -> channel.exchangeDeclarePassive(name)), 404, name);
        }
    }

    private static void addLifecycle() {
        Harness.scenario("exchange_lifecycle", () -> Broker.connected(connection -> {
            Channel channel = connection.createChannel(), other = connection.createChannel();
            String exchange = Harness.unique("exchange"), queue = Broker.temporary(channel);
            channel.exchangeDeclare(exchange, "direct");
            channel.exchangeDeclarePassive(exchange);
            channel.queueBind(queue, exchange, "k");
            Broker.refused("exchange_lifecycle", other, () -> other.exchangeDelete(exchange, true));
            channel.queueUnbind(queue, exchange, "k");
            channel.exchangeDelete(exchange, true);
            String automatic = Broker.exchange(channel, "direct");
            channel.queueBind(queue, automatic, "k");
            channel.exchangeDeclarePassive(automatic);
            channel.queueUnbind(queue, automatic, "k");
            checkGone(connection, exchange, automatic);
        }));
        Harness.scenario("exchange_internal", () -> Broker.withChannel(channel -> {
            String inner = Harness.unique("exchange"), outer = Broker.exchange(channel, "fanout");
            channel.exchangeDeclare(inner, "fanout", false, true, true, null);
            String queue = Broker.temporary(channel);
            channel.queueBind(queue, inner, "");
            channel.exchangeBind(inner, outer, "");
            Broker.publish(channel, outer, "", "in");
            Harness.same(Broker.gotAll(channel, queue), List.of("in"), "through the other exchange");
            Broker.refused("exchange_internal", channel, () -> Broker.publish(channel, inner, "", "refused"));
        }));
    }

    private static void declare(Channel channel, String name, Object alternate) throws Exception {
        channel.exchangeDeclare(name, "direct", false, true, Map.of("alternate-exchange", alternate));
    }

    private static void addAlternates() {
        Harness.scenario("alternate_exchange", () -> Broker.withChannel(channel -> {
            String[] names = {Harness.unique("exchange"), Harness.unique("exchange"), Harness.unique("exchange")};
            String[] queues = new String[3];
            for (int i = 0; i < 3; i++) {
                declare(channel, names[i], names[(i + 1) % 3]);
                queues[i] = Broker.temporary(channel);
                channel.queueBind(queues[i], names[i], "k" + i);
            }
            List<Object> returned = Messages.returns(channel);
            channel.confirmSelect();
            for (int i = 0; i < 4; i++)
                channel.basicPublish(names[0], "k" + i, true, null, ("" + i).getBytes());
            channel.waitForConfirmsOrDie(10000);
            for (int i = 0; i < 3; i++)
                Harness.same(Broker.gotAll(channel, queues[i]), List.of("" + i), "through the chain");
            Harness.same(returned, List.of(List.of(312, "NO_ROUTE", names[0], "k3", "3")),
                "what no exchange of the chain routes");
        }));
        Broker.refusal("error_alternate_type", channel -> declare(channel, Harness.unique("exchange"), 5));
        Broker.refusal("error_alternate_redeclare", channel -> {
            String exchange = Harness.unique("exchange");
            declare(channel, exchange, "a");
            channel.queueBind(Broker.temporary(channel), exchange, "k");
            declare(channel, exchange, "b");
        });
    }

    private static void addBindings() {
        Harness.scenario("exchange_bind", () -> Broker.withChannel(channel -> {
            String last = Broker.exchange(channel, "fanout"), queue = Broker.temporary(channel);
            channel.queueBind(queue, last, "");
            for (String type : List.of("direct", "fanout", "topic", "headers")) {
                String first = Broker.exchange(channel, type), middle = Broker.exchange(channel, type);
                channel.exchangeBind(middle, first, "k");
                channel.exchangeBind(last, middle, "k");
                channel.exchangeBind(last, first, "k");
                channel.exchangeBind(first, middle, "k");
                Broker.publish(channel, first, "k", "once");
                Broker.publish(channel, first, "other", "other");
                Harness.same(Broker.gotAll(channel, queue),
                    List.of("fanout", "headers").contains(type) ? List.of("once", "other") : List.of("once"), type);
                channel.exchangeUnbind(last, first, "k");
                channel.exchangeUnbind(last, middle, "k");
                Broker.publish(channel, first, "k", "nowhere");
                Harness.same(Broker.gotAll(channel, queue), List.of(), "after unbind, " + type);
                channel.exchangeDelete(first);
            }
        }));
        Harness.scenario("exchange_bind_lifecycle", () -> Broker.connected(connection -> {
            Channel channel = connection.createChannel(), other = connection.createChannel();
            String above = Broker.exchange(channel, "fanout"), source = Broker.exchange(channel, "fanout"),
                   destination = Broker.exchange(channel, "fanout");
            channel.exchangeBind(source, above, "");
            channel.exchangeBind(destination, source, "");
            Broker.refused("exchange_bind_lifecycle", other, () -> other.exchangeDelete(source, true));
            channel.exchangeDelete(destination, true);
            checkGone(connection, above, source, destination);
            String from = Broker.exchange(channel, "fanout"), to = Broker.exchange(channel, "fanout");
            channel.exchangeBind(to, from, "");
            channel.exchangeDelete(from);
            channel.exchangeDeclarePassive(to);
            channel.exchangeDelete(to);
        }));
        Broker.refusal("error_exchange_bind_default", channel -> channel.exchangeBind("amq.direct", "", "k"));
        Broker.refusal("error_exchange_bind_unknown",
            channel -> channel.exchangeBind(Harness.unique("none"), "amq.direct", "k"));
    }

    private static void addSelected() {
        Harness.scenario("sender_selected", () -> Broker.withChannel(channel -> {
            String first = Broker.temporary(channel), cc = Broker.temporary(channel), bcc = Broker.temporary(channel);
            channel.basicPublish("", first, Broker.headers(Map.of("CC", List.of(cc, first), "BCC", List.of(bcc, 5),
                "kept", "yes")).builder().type("t").build(), "all".getBytes());
            for (String queue : List.of(first, cc, bcc)) {
                GetResponse copy = Broker.get(channel, queue, true);
                Harness.same(List.of(new String(copy.getBody()), copy.getEnvelope().getRoutingKey(),
                    Broker.headersOf(copy.getProps()), copy.getProps().getType()),
                    List.of("all", first, Map.of("CC", List.of(cc, first), "kept", "yes"), "t"), "a copy");
                Harness.same(Broker.gotAll(channel, queue), List.of(), "no second copy");
            }
            channel.queueBind(first, "amq.topic", "a.*");
            channel.queueBind(cc, "amq.topic", "b.#");
            channel.basicPublish("amq.topic", "none",
                Broker.headers(Map.of("CC", List.of("a.x"), "BCC", List.of("b.y.z"))), new byte[0]);
            for (String queue : List.of(first, cc))
                Harness.same(Broker.headersOf(Broker.get(channel, queue, true).getProps()),
                    Map.of("CC", List.of("a.x")), "by patterns");
        }));
        Broker.refusal("error_cc_type",
            channel -> channel.basicPublish("", "q", Broker.headers(Map.of("CC", "no array")), new byte[0]));
    }

    private static void addHash() {
        Harness.scenario("consistent_hash", () -> Broker.withChannel(channel -> {
            List<String> weights = Harness.list(Harness.expect("consistent_hash").get("weights"));
            int sent = 2 * Harness.number("consistent_hash", "count"), sum = 0, total = 0;
            String exchange = Broker.exchange(channel, "x-consistent-hash");
            Map<String, String> queues = new LinkedHashMap<>();
            for (String weight : weights) {
                queues.put(weight, Broker.temporary(channel));
                channel.queueBind(queues.get(weight), exchange, weight);
                sum += Integer.parseInt(weight);
            }
            for (int i = 0; i < sent; i++)
                Broker.publish(channel, exchange, "k" + i / 2, "k" + i / 2);
            for (String weight : weights) {
                List<String> found = Broker.gotAll(channel, queues.get(weight));
                total += found.size();
                for (int i = 0; i + 1 < found.size(); i += 2)
                    Harness.same(found.get(i), found.get(i + 1), "the same key's");
                double share = (double) found.size() / sent * sum / Integer.parseInt(weight);
                Harness.check(share > 0.5 && share < 1.6, "share of " + weight + " is " + share + " of what is fair");
            }
            Harness.same(total, sent, "messages");
        }));
        Broker.refusal("error_hash_weight", channel -> {
            String exchange = Broker.exchange(channel, "x-consistent-hash"), queue = Broker.temporary(channel);
            channel.queueBind(queue, exchange, "1");
            channel.queueBind(queue, exchange, "heavy");
        });
    }
}
