// SPDX-License-Identifier: Apache-2.0

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Sizes and numbers, connections and channels, and what is refused. */
final class Connections {
    static void add() {
        addSizes();
        addMany();
        addEnds();
        addChannels();
        addNegotiation();
        addRefusals();
    }

    private static void roundTrip(Channel channel, int size, int seed) throws Exception {
        String queue = Broker.temporary(channel);
        byte[] body = Harness.bodyOf(size, seed);
        channel.basicPublish("", queue, null, body);
        List<byte[]> found = Collections.synchronizedList(new ArrayList<>());
        String tag = channel.basicConsume(queue, true, (consumer, one) -> found.add(one.getBody()), consumer -> {});
        Harness.eventually("a body of " + size, 60000, () -> !found.isEmpty());
        Harness.same(found.get(0).length, size, "size");
        Harness.same(Harness.digest(found.get(0)), Harness.digest(body), "body of " + size + " bytes");
        channel.basicCancel(tag);
        channel.queueDelete(queue);
    }

    private static void addSizes() {
        Harness.scenario("body_small", () -> Broker.connected(connection -> {
            Map<String, Object> wanted = Harness.expect("body_small");
            List<Integer> sizes = new ArrayList<>(Harness.<Integer>list(wanted.get("sizes")));
            int payload = connection.getFrameMax() - 8;
            for (int difference : Harness.<Integer>list(wanted.get("around_frame")))
                sizes.addAll(List.of(payload + difference, 2 * payload + difference));
            Channel channel = connection.createChannel();
            for (int i = 0; i < sizes.size(); i++)
                roundTrip(channel, sizes.get(i), i);
        }));
        for (String name : List.of("body_1mib", "body_64mib"))
            Harness.scenario(name, () -> Broker.withChannel(
                channel -> roundTrip(channel, Harness.<Integer>list(Harness.expect(name).get("sizes")).get(0), 1)));
    }

    private static void addMany() {
        Harness.scenario("connections_1000", () -> {
            int count = Harness.number("connections_1000", "count");
            ConnectionFactory factory = Broker.factory();
            factory.setRequestedHeartbeat(0);
            List<Connection> connections = new ArrayList<>();
            try {
                for (int i = 0; i < count; i++)
                    connections.add(factory.newConnection());
                Broker.withChannel(keeper -> {
                    String queue = Broker.shared(keeper);
                    Set<String> sent = new HashSet<>();
                    for (Connection connection : connections) {
                        Broker.publish(connection.createChannel(), "", queue, "" + sent.size());
                        sent.add("" + sent.size());
                    }
                    Broker.eventuallyCount(keeper, queue, count);
                    Harness.same(new HashSet<>(Broker.gotAll(keeper, queue)), sent, "bodies");
                    keeper.queueDelete(queue);
                });
            } finally {
                for (Connection connection : connections)
                    connection.close();
            }
        });
    }

    /** True when the exclusive queue of another connection is no more; false while it is locked. */
    private static boolean isGone(Connection connection, String queue) throws Exception {
        Channel channel = connection.createChannel();
        int code = Broker.refusedWith(() -> channel.queueDeclarePassive(queue));
        Harness.check(code == 404 || code == 405, "passive declare of another connection's queue: " + code);
        return code == 404;
    }

    private static void addEnds() {
        Harness.role("hold_and_publish", words -> {
            Channel channel = Broker.factory().newConnection().createChannel();
            channel.queueDeclare(words[2], false, true, false,
                Map.of("x-max-length", 1)); // one body stays: a publisher that memory holds is not read, nor its end seen
            Broker.held(channel, words[1]);
            Harness.there();
            byte[] body = Harness.bodyOf(Harness.number("killed_mid_frame", "size"), 1);
            while (true)
                channel.basicPublish("", words[2], null, body);
        });
        Harness.role("hold", words -> {
            ConnectionFactory factory = Broker.factory();
            factory.setRequestedHeartbeat(Integer.parseInt(words[1]));
            factory.newConnection().createChannel().queueDeclare(words[2], false, true, false, null);
            Harness.there();
        });
        Harness.scenario("killed_mid_frame", () -> Broker.connected(connection -> {
            Channel keeper = connection.createChannel();
            String queue = Broker.shared(keeper), owned = Harness.unique("queue");
            Broker.publish(keeper, "", queue, "kept");
            Process holder = Harness.child("hold_and_publish", queue, owned);
            Thread.sleep(500);
            Harness.end(holder);
            Broker.getIs(keeper, queue, "kept", true, "the message of the killed client");
            Harness.eventually("its exclusive queue gone", 5000, () -> isGone(connection, owned));
            keeper.queueDelete(queue);
        }));
        Harness.scenario("heartbeat_kept", () -> {
            ConnectionFactory factory = Broker.factory();
            int interval = Harness.number("heartbeat_kept", "interval_s");
            factory.setRequestedHeartbeat(interval);
            Broker.connected(factory, connection -> {
                Harness.same(connection.getHeartbeat(), interval, "interval agreed");
                Channel channel = connection.createChannel();
                String queue = Broker.temporary(channel);
                // The library gives up when it misses the broker's heartbeats.
                Thread.sleep(1000L * Harness.number("heartbeat_kept", "idle_s"));
                Broker.publish(channel, "", queue, "alive");
                Harness.same(Broker.gotAll(channel, queue), List.of("alive"), "after the idle time");
            });
        });
        Harness.scenario("heartbeat_client_stops", () -> {
            String owned = Harness.unique("queue");
            Process holder = Harness.child("hold", "" + Harness.number("heartbeat_client_stops", "interval_s"), owned);
            try {
                Broker.connected(connection -> {
                    Harness.check(!isGone(connection, owned), "the queue is not there");
                    Harness.stop(holder);
                    Harness.eventually("the broker closed the silent connection",
                        1000 * Harness.number("heartbeat_client_stops", "gone_s_max"), () -> {
                            Thread.sleep(100);
                            return isGone(connection, owned);
                        });
                });
            } finally {
                Harness.end(holder);
            }
        });
    }

    private static void addChannels() {
        Harness.scenario("channels", () -> Broker.connected(connection -> {
            int count = Harness.number("channels", "count");
            List<Channel> channels = new ArrayList<>();
            for (int i = 0; i < count; i++)
                channels.add(connection.createChannel());
            String queue = Broker.temporary(channels.get(0));
            for (int i = 0; i < count; i++)
                Broker.publish(channels.get(i), "", queue, "" + i);
            for (int i = 0; i < count; i++)
                if (i % 2 == 1)
                    channels.get(i).close();
                else
                    Broker.publish(channels.get(i), "", queue, "again");
            Broker.eventuallyCount(channels.get(0), queue, count + (count + 1) / 2);
        }));
        Harness.scenario("channel_reuse", () -> Broker.connected(connection -> {
            Channel other = connection.createChannel(), failing = connection.createChannel();
            String queue = Broker.temporary(other);
            Broker.refused("channel_reuse", failing, () -> failing.queueDeclarePassive(Harness.unique("nowhere")));
            Broker.publish(other, "", queue, "other");
            Channel again = connection.createChannel(failing.getChannelNumber());
            Broker.publish(again, "", queue, "again");
            Broker.eventuallyCount(other, queue, 2);
            Harness.same(new HashSet<>(Broker.gotAll(again, queue)), Set.of("again", "other"), "messages");
        }));
    }

    private static void addNegotiation() {
        Harness.scenario("negotiate_frame_max", () -> {
            ConnectionFactory factory = Broker.factory();
            int wanted = Harness.number("negotiate_frame_max", "frame_max");
            factory.setRequestedFrameMax(wanted);
            Broker.connected(factory, connection -> {
                Harness.same(connection.getFrameMax(), wanted, "frame-max agreed");
                roundTrip(connection.createChannel(), Harness.number("negotiate_frame_max", "size"), 3);
            });
        });
        Harness.scenario("negotiate_channel_max", () -> {
            ConnectionFactory factory = Broker.factory();
            int wanted = Harness.number("negotiate_channel_max", "channel_max");
            factory.setRequestedChannelMax(wanted);
            Broker.connected(factory, connection -> {
                Harness.same(connection.getChannelMax(), wanted, "channel-max agreed");
                Channel channel = connection.createChannel();
                String queue = Broker.temporary(channel);
                for (int i = 1; i < wanted; i++)
                    Broker.publish(connection.createChannel(), "", queue, "x");
                Broker.eventuallyCount(channel, queue, wanted - 1);
            });
        });
    }

    private static void addRefusals() {
        Harness.scenario("error_login", () -> {
            ConnectionFactory factory = Broker.factory();
            factory.setPassword("wrong");
            Broker.refused("error_login", null, factory::newConnection);
        });
        Harness.scenario("error_vhost", () -> {
            ConnectionFactory factory = Broker.factory();
            factory.setVirtualHost("nowhere");
            Broker.refused("error_vhost", null, factory::newConnection);
        });
        Broker.refusal("error_queue_unknown", channel -> channel.queueDeclarePassive(Harness.unique("nowhere")));
        Broker.refusal("error_get_unknown", channel -> channel.basicGet(Harness.unique("nowhere"), true));
        Broker.refusal("error_consume_unknown", channel -> Broker.consume(channel, Harness.unique("nowhere")));
        Broker.refusal("error_publish_unknown", channel -> Broker.publish(channel, Harness.unique("nowhere"), "", "x"));
        Broker.refusal("error_bind_unknown",
            channel -> channel.queueBind(Broker.temporary(channel), Harness.unique("nowhere"), "k"));
        Broker.refusal("error_delivery_tag", channel -> channel.basicAck(7, false));
        Broker.refusal("error_queue_reserved",
            channel -> channel.queueDeclare("amq." + Harness.unique("queue"), false, true, false, null));
        Broker.refusal("error_exchange_reserved",
            channel -> channel.exchangeDeclare("amq." + Harness.unique("exchange"), "direct"));
        Broker.refusal("error_exchange_type",
            channel -> channel.exchangeDeclare(Harness.unique("exchange"), "nonesuch"));
        Broker.refusal("error_not_implemented", channel -> channel.basicQos(1, 0, false));
        Broker.refusal("error_consumer_tag", channel -> {
            String queue = Broker.temporary(channel);
            Broker.consume(channel, queue, Broker.arrivals(), "twice", false);
            Broker.consume(channel, queue, Broker.arrivals(), "twice", false);
        });
        Harness.scenario("error_queue_redeclare", () -> Broker.withChannel(keeper -> {
            String queue = Broker.shared(keeper);
            Broker.refusedOnChannel("error_queue_redeclare",
                channel -> channel.queueDeclare(queue, true, false, false, null));
            keeper.queueDelete(queue);
        }));
        Broker.refusal("error_exchange_redeclare", channel -> {
            String exchange = Broker.exchange(channel, "direct");
            channel.queueBind(Broker.temporary(channel), exchange, "k");
            channel.exchangeDeclare(exchange, "fanout", false, true, null);
        });
        Harness.scenario("error_consume_exclusive", () -> Broker.connected(connection -> {
            Channel channel = connection.createChannel(), other = connection.createChannel();
            String queue = Broker.temporary(channel);
            Broker.consume(channel, queue, Broker.arrivals(), "c", false, true, null);
            Broker.refused("error_consume_exclusive", other, () -> Broker.consume(other, queue));
        }));
        Harness.scenario("error_queue_locked", () -> Broker.withChannel(channel -> {
            String queue = Broker.temporary(channel);
            Broker.refusedOnChannel("error_queue_locked",
                other -> other.queueDeclare(queue, false, true, false, null));
        }));
        Harness.scenario("blocked", () -> Broker.connected(connection -> {
            int count = Harness.number("blocked", "count");
            BlockingQueue<String> told = new LinkedBlockingQueue<>();
            connection.addBlockedListener(told::add, () -> told.add("unblocked"));
            Channel channel = connection.createChannel();
            String queue = Broker.temporary(channel);
            Broker.publishNumbers(channel, queue, count);
            Harness.same(told.poll(20, TimeUnit.SECONDS), Harness.expect("blocked").get("reason"), "the reason");
            System.out.println("# blocked");
            Harness.same(told.poll(60, TimeUnit.SECONDS), "unblocked", "said afterwards");
            Broker.eventuallyCount(channel, queue, count);
            List<String> numbers = new ArrayList<>();
            for (int i = 0; i < count; i++)
                numbers.add("" + i);
            Harness.same(Broker.gotAll(channel, queue), numbers, "messages");
        }));
        Broker.refusal("shutdown", channel -> {
            System.out.println("# waiting");
            Harness.eventually("the broker's end", 60000, () -> !channel.isOpen());
        });
    }
}
