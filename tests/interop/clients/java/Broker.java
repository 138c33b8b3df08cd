// SPDX-License-Identifier: Apache-2.0

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AlreadyClosedException;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.Method;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What the scenarios ask of a connection and a channel. */
final class Broker {
    interface OnChannel {
        void run(Channel channel) throws Exception;
    }

    interface OnConnection {
        void run(Connection connection) throws Exception;
    }

    /** What a consumer was given. */
    static final class Arrival {
        final String tag, body;
        final Delivery delivery;

        Arrival(String tag, Delivery delivery) {
            this.tag = tag;
            this.body = new String(delivery.getBody());
            this.delivery = delivery;
        }

        long deliveryTag() {
            return delivery.getEnvelope().getDeliveryTag();
        }
    }

    static ConnectionFactory factory() {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setHost(System.getenv("AMQP_HOST"));
        factory.setPort(Integer.parseInt(System.getenv("AMQP_PORT")));
        factory.setAutomaticRecoveryEnabled(false);
        return factory;
    }

    static void connected(ConnectionFactory factory, OnConnection does) throws Exception {
        Connection connection = factory.newConnection();
        try {
            does.run(connection);
        } finally {
            if (connection.isOpen())
                connection.close();
        }
    }

    static void connected(OnConnection does) throws Exception {
        connected(factory(), does);
    }

    static void withChannel(OnChannel does) throws Exception {
        connected(connection -> does.run(connection.createChannel()));
    }

    static String temporary(Channel channel, Map<String, Object> arguments) throws IOException {
        return channel.queueDeclare(Harness.unique("queue"), false, true, false, arguments).getQueue();
    }

    static String temporary(Channel channel) throws IOException {
        return temporary(channel, null);
    }

    static String shared(Channel channel) throws IOException {
        return channel.queueDeclare(Harness.unique("queue"), false, false, false, null).getQueue();
    }

    static String exchange(Channel channel, String type, Map<String, Object> arguments) throws IOException {
        String name = Harness.unique("exchange");
        channel.exchangeDeclare(name, type, false, true, arguments);
        return name;
    }

    static String exchange(Channel channel, String type) throws IOException {
        return exchange(channel, type, null);
    }

    static AMQP.BasicProperties.Builder properties() {
        return new AMQP.BasicProperties.Builder();
    }

    static AMQP.BasicProperties headers(Map<String, Object> headers) {
        return properties().headers(headers).build();
    }

    static void publish(Channel channel, String exchange, String key, String body) throws IOException {
        channel.basicPublish(exchange, key, null, body.getBytes());
    }

    static void publishNumbers(Channel channel, String queue, int count) throws IOException {
        for (int i = 0; i < count; i++)
            publish(channel, "", queue, "" + i);
    }

    static long count(Channel channel, String queue) throws IOException {
        return channel.queueDeclarePassive(queue).getMessageCount();
    }

    static void eventuallyCount(Channel channel, String queue, long wanted) throws Exception {
        Harness.eventually(wanted + " messages in the queue", 5000, () -> count(channel, queue) == wanted);
    }

    static GetResponse get(Channel channel, String queue, boolean autoAck) throws Exception {
        GetResponse[] found = new GetResponse[1];
        Harness.eventually("a message", 10000, () -> (found[0] = channel.basicGet(queue, autoAck)) != null);
        return found[0];
    }

    static long held(Channel channel, String queue) throws Exception {
        return get(channel, queue, false).getEnvelope().getDeliveryTag();
    }

    static void getIs(Channel channel, String queue, String body, boolean redelivered, String what) throws Exception {
        GetResponse found = get(channel, queue, true);
        Harness.same(List.of(new String(found.getBody()), found.getEnvelope().isRedeliver()),
            List.of(body, redelivered), what);
    }

    static List<String> gotAll(Channel channel, String queue) throws IOException {
        List<String> found = new ArrayList<>();
        for (GetResponse one = channel.basicGet(queue, true); one != null; one = channel.basicGet(queue, true))
            found.add(new String(one.getBody()));
        return found;
    }

    static String consume(Channel channel, String queue, List<Arrival> into, String tag, boolean autoAck,
        boolean exclusive, Map<String, Object> arguments) throws IOException {
        return channel.basicConsume(queue, autoAck, tag, false, exclusive, arguments,
            (consumer, delivery) -> into.add(new Arrival(consumer, delivery)), consumer -> {});
    }

    static String consume(Channel channel, String queue, List<Arrival> into, String tag, boolean autoAck)
        throws IOException {
        return consume(channel, queue, into, tag, autoAck, false, null);
    }

    static String consume(Channel channel, String queue) throws IOException {
        return consume(channel, queue, arrivals(), "", false);
    }

    static List<Arrival> arrivals() {
        return Collections.synchronizedList(new ArrayList<>());
    }

    static void arrived(List<Arrival> found, int count) throws Exception {
        Harness.eventually(count + " messages", 20000, () -> found.size() >= count);
    }

    static List<String> texts(List<Arrival> found) {
        List<String> texts = new ArrayList<>();
        synchronized (found) {
            for (Arrival one : found)
                texts.add(one.tag + " " + one.body);
        }
        return texts;
    }

    /** Texts as strings, in tables and lists as well. */
    static Object plain(Object value) {
        if (value instanceof LongString)
            return value.toString();
        if (value instanceof List) {
            List<Object> found = new ArrayList<>();
            for (Object one : (List<?>) value)
                found.add(plain(one));
            return found;
        }
        if (value instanceof Map) {
            Map<String, Object> found = new HashMap<>();
            Harness.map(value).forEach((key, one) -> found.put(key, plain(one)));
            return found;
        }
        return value;
    }

    static Map<String, Object> headersOf(AMQP.BasicProperties about) {
        return Harness.map(plain(about.getHeaders()));
    }

    /** Runs the action: the broker's close must be the one that the list names. */
    static void refused(String name, Channel channel, Harness.Does action) throws Exception {
        Map<String, Object> wanted = Harness.expect(name);
        ShutdownSignalException reason = null;
        try {
            action.run();
        } catch (AuthenticationFailureException refusal) {
            // Stands for 403 while logging in, without the method that said so.
            Harness.same(403, wanted.get("code"), "code");
            return;
        } catch (AlreadyClosedException closed) {
            Harness.check(channel != null, "closed " + closed);
        } catch (IOException problem) {
            if (!(problem.getCause() instanceof ShutdownSignalException))
                throw problem;
            reason = (ShutdownSignalException) problem.getCause();
        }
        if (reason == null) {
            Harness.eventually("an exception", 10000, () -> channel.getCloseReason() != null);
            reason = channel.getCloseReason();
        }
        Harness.same(said(reason.getReason()), String.format("%s %s %s %s", wanted.get("level"), wanted.get("code"),
            wanted.get("class"), wanted.get("method")), "exception");
    }

    private static String said(Method method) {
        if (method instanceof AMQP.Channel.Close) {
            AMQP.Channel.Close close = (AMQP.Channel.Close) method;
            return String.format("channel %d %d %d", close.getReplyCode(), close.getClassId(), close.getMethodId());
        }
        AMQP.Connection.Close close = (AMQP.Connection.Close) method;
        return String.format("connection %d %d %d", close.getReplyCode(), close.getClassId(), close.getMethodId());
    }

    static void refusedOnChannel(String name, OnChannel action) throws Exception {
        withChannel(channel -> refused(name, channel, () -> action.run(channel)));
    }

    /** The scenario in which this is refused on a new channel. */
    static void refusal(String name, OnChannel action) {
        Harness.scenario(name, () -> refusedOnChannel(name, action));
    }

    /** The scenario in which a queue with these arguments is refused. */
    static void refusedQueue(String name, Map<String, Object> arguments) {
        refusal(name, channel -> temporary(channel, arguments));
    }

    /** The code of the close that answers, or 0. */
    static int refusedWith(Harness.Does action) throws Exception {
        try {
            action.run();
            return 0;
        } catch (IOException problem) {
            Method reason = ((ShutdownSignalException) problem.getCause()).getReason();
            return ((AMQP.Channel.Close) reason).getReplyCode();
        }
    }
}
