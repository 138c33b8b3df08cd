<?php
// SPDX-License-Identifier: Apache-2.0
// The scenarios with php-amqplib.
require_once 'PhpAmqpLib/autoload.php';
require_once __DIR__ . '/harness.php';

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPBasicCancelException;
use PhpAmqpLib\Exception\AMQPConnectionClosedException;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Exception\AMQPTimeoutException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

class Connection extends AMQPStreamConnection
{
    /** A broker that ends does not wait for close-ok: its connection.close is what counts. */
    protected function x_close_ok()
    {
        try {
            parent::x_close_ok();
        } catch (AMQPConnectionClosedException) {
            $this->do_close();
        }
    }

    public function frameMax(): int
    {
        return $this->frame_max;
    }
}

function connect(int $heartbeat = 60, string $password = 'guest', string $vhost = '/'): Connection
{
    return new Connection(getenv('AMQP_HOST'), getenv('AMQP_PORT'), 'guest', $password, $vhost, false, 'PLAIN', null,
        'en_US', 20.0, 130.0, null, false, $heartbeat, 60.0);
}

function connected(callable $does, int $heartbeat = 60): void
{
    $connection = connect($heartbeat);
    try {
        $does($connection);
    } finally {
        if ($connection->isConnected()) {
            $connection->close();
        }
    }
}

function with_channel(callable $does): void
{
    connected(fn(Connection $connection) => $does($connection->channel()));
}

function declare_queue(AMQPChannel $channel, string $name, array $arguments = [], bool $passive = false,
    bool $durable = false, bool $exclusive = false, bool $auto_delete = false): array
{
    return $channel->queue_declare($name, $passive, $durable, $exclusive, $auto_delete, false, new AMQPTable($arguments));
}

function temporary(AMQPChannel $channel, array $arguments = []): string
{
    return declare_queue($channel, unique('queue'), $arguments, exclusive: true)[0];
}

function declare_exchange(AMQPChannel $channel, string $name, string $type, array $arguments = [], bool $passive = false,
    bool $auto_delete = true, bool $internal = false): string
{
    $channel->exchange_declare($name, $type, $passive, false, $auto_delete, $internal, false, new AMQPTable($arguments));
    return $name;
}

function exchange_of(AMQPChannel $channel, string $type, array $arguments = [], bool $auto_delete = true,
    bool $internal = false): string
{
    return declare_exchange($channel, unique('exchange'), $type, $arguments, false, $auto_delete, $internal);
}

function publish(AMQPChannel $channel, string $body, string $key, string $exchange = '', array $properties = [],
    ?array $headers = null, bool $mandatory = false): void
{
    if ($headers !== null) {
        $properties['application_headers'] = new AMQPTable($headers);
    }
    $channel->basic_publish(new AMQPMessage($body, $properties), $exchange, $key, $mandatory);
}

function consume(AMQPChannel $channel, string $queue, callable $does, string $tag = '', bool $no_ack = false,
    bool $exclusive = false, array $arguments = []): string
{
    return $channel->basic_consume($queue, $tag, false, $no_ack, $exclusive, false, $does, null,
        new AMQPTable($arguments));
}

function ignore(): callable
{
    return function (AMQPMessage $message): void {
    };
}

/** Handles what arrives for so many seconds. */
function pump(AMQPChannel $channel, float $seconds): void
{
    $deadline = microtime(true) + $seconds;
    while (($left = $deadline - microtime(true)) > 0) {
        try {
            $channel->wait(null, false, $left);
        } catch (AMQPTimeoutException) {
            return;
        }
    }
}

/** Handles what arrives until a callback has added so many to what was found. */
function pump_until(AMQPChannel $channel, array &$found, int $count, string $what, float $timeout_s = 5.0): void
{
    $deadline = microtime(true) + $timeout_s;
    while (count($found) < $count) {
        $left = $deadline - microtime(true);
        check($left > 0, "$what: not within $timeout_s s");
        try {
            $channel->wait(null, false, $left);
        } catch (AMQPTimeoutException) {
        }
    }
}

function headers_of(AMQPMessage $message): array
{
    return $message->has('application_headers') ? $message->get('application_headers')->getNativeData() : [];
}

function count_of(AMQPChannel $channel, string $queue): int
{
    return declare_queue($channel, $queue, passive: true)[1];
}

function eventually_count(AMQPChannel $channel, string $queue, int $wanted): void
{
    eventually(fn() => count_of($channel, $queue) === $wanted, "$wanted messages in the queue");
}

function get(AMQPChannel $channel, string $queue, bool $no_ack = true, float $timeout_s = 5.0): AMQPMessage
{
    $found = null;
    eventually(function () use ($channel, $queue, $no_ack, &$found) {
        return $found = $channel->basic_get($queue, $no_ack);
    }, 'a message', $timeout_s, 0.01);
    return $found;
}

function got_all(AMQPChannel $channel, string $queue): array
{
    $found = [];
    while ($message = $channel->basic_get($queue, true)) {
        $found[] = $message->getBody();
    }
    return $found;
}

/** Runs the action, then waits on its channel: the broker's close must be the one that the list names. */
function refused(string $name, callable $action, ?AMQPChannel $channel = null): void
{
    $wanted = array_intersect_key(expected($name), array_flip(['level', 'code', 'class', 'method']));
    $found = null;
    try {
        $action();
        if ($channel) {
            pump($channel, 10);
        }
    } catch (AMQPProtocolChannelException $closed) {
        $found = ['level' => 'channel', 'code' => $closed->amqp_reply_code, 'class' => $closed->amqp_method_sig[0],
            'method' => $closed->amqp_method_sig[1]];
    } catch (AMQPConnectionClosedException $closed) {
        check(preg_match('/\((\d+), (\d+)\)$/', $closed->getMessage(), $ids) === 1, 'closed: ' . $closed->getMessage());
        $found = ['level' => 'connection', 'code' => $closed->getCode(), 'class' => (int)$ids[1],
            'method' => (int)$ids[2]];
    }
    same($found, $wanted, 'exception');
}

function refused_on_channel(string $name, callable $action): void
{
    with_channel(fn(AMQPChannel $channel) => refused($name, fn() => $action($channel), $channel));
}

/** True when a passive declare is answered with 404. */
function is_missing(callable $declare): bool
{
    try {
        $declare();
    } catch (AMQPProtocolChannelException $closed) {
        return $closed->amqp_reply_code === 404;
    }
    return false;
}

// ---- publish, consume, get ----

scenario('publish_consume', function () {
    $count = expected('publish_consume')['count'];
    with_channel(function (AMQPChannel $channel) use ($count) {
        $queue = temporary($channel);
        for ($i = 0; $i < $count; $i++) {
            publish($channel, (string)$i, $queue);
        }
        $found = [];
        $tag = consume($channel, $queue, function (AMQPMessage $message) use (&$found) {
            $found[] = [$message->getBody(), $message->isRedelivered()];
            $message->ack();
        });
        pump_until($channel, $found, $count, "$count messages", 20);
        same($found, array_map(fn($i) => [(string)$i, false], range(0, $count - 1)), 'messages');
        $channel->basic_cancel($tag);
        eventually_count($channel, $queue, 0);
    });
});

scenario('publish_get', function () {
    $count = expected('publish_get')['count'];
    with_channel(function (AMQPChannel $channel) use ($count) {
        $queue = temporary($channel);
        for ($i = 0; $i < $count; $i++) {
            publish($channel, (string)$i, $queue);
        }
        eventually_count($channel, $queue, $count);
        for ($i = 0; $i < $count; $i++) {
            $message = $channel->basic_get($queue);
            same([$message->getBody(), $message->getMessageCount(), $message->getExchange(), $message->getRoutingKey(),
                $message->isRedelivered()], [(string)$i, $count - 1 - $i, '', $queue, false], 'get-ok');
            $message->ack();
        }
        same($channel->basic_get($queue), null, 'get from the empty queue');
    });
});

scenario('properties', function () {
    $sent = ['content_type' => 'text/plain', 'content_encoding' => 'utf-8', 'delivery_mode' => 2, 'priority' => 7,
        'correlation_id' => 'corr', 'reply_to' => 'back', 'expiration' => '60000', 'message_id' => 'm-1',
        'timestamp' => 1700000000, 'type' => 'kind', 'user_id' => 'guest', 'app_id' => 'interop'];
    // php-amqplib sends a float as a string.
    $headers = ['text' => 'grüße', 'int' => -5, 'big' => 2 ** 40, 'yes' => true, 'no' => false,
        'list' => [1, 'two', [3]], 'table' => ['inner' => ['deep' => 1]], 'none' => null];
    with_channel(function (AMQPChannel $channel) use ($sent, $headers) {
        $queue = temporary($channel);
        publish($channel, 'x', $queue, properties: $sent, headers: $headers);
        $found = get($channel, $queue);
        foreach ($sent as $name => $value) {
            same($found->get($name), $value, $name);
        }
        same(headers_of($found), $headers, 'headers');
    });
});

scenario('confirm', function () {
    $count = expected('confirm')['count'];
    with_channel(function (AMQPChannel $channel) use ($count) {
        $queue = temporary($channel);
        $acked = [];
        $channel->set_ack_handler(function (AMQPMessage $message) use (&$acked) {
            $acked[] = $message->getBody();
        });
        $channel->confirm_select();
        $sent = [...array_map('strval', range(1, $count)), 'unroutable'];
        foreach ($sent as $body) {
            publish($channel, $body, $body === 'unroutable' ? unique('nowhere') : $queue);
        }
        $channel->wait_for_pending_acks(20);
        sort($sent);
        sort($acked);
        same($acked, $sent, 'confirmed');
        same(count_of($channel, $queue), $count, 'messages');
    });
});

scenario('return_unroutable', function () {
    $wanted = expected('return_unroutable');
    with_channel(function (AMQPChannel $channel) use ($wanted) {
        $queue = temporary($channel);
        $nowhere = unique('nowhere');
        $returned = [];
        $channel->set_return_listener(function ($code, $text, $exchange, $key, $message) use (&$returned) {
            $returned[] = [$code, $text, $exchange, $key, $message->getBody()];
        });
        $channel->confirm_select();
        publish($channel, 'routable', $queue, mandatory: true);
        publish($channel, 'back', $nowhere, mandatory: true);
        $channel->wait_for_pending_acks_returns(10);
        same($returned, [[$wanted['code'], $wanted['text'], '', $nowhere, 'back']], 'basic.return');
        same(got_all($channel, $queue), ['routable'], 'routed');
    });
});

scenario('nack_requeue', function () {
    with_channel(function (AMQPChannel $channel) {
        $queue = temporary($channel);
        foreach (['0', '1', '2'] as $body) {
            publish($channel, $body, $queue);
        }
        $first = get($channel, $queue, false);
        same([$first->getBody(), $first->isRedelivered()], ['0', false], 'first delivery');
        $first->nack(true);
        $again = get($channel, $queue);
        same([$again->getBody(), $again->isRedelivered()], ['0', true], 'second delivery');
        $behind = get($channel, $queue);
        same([$behind->getBody(), $behind->isRedelivered()], ['1', false], 'the message behind it');
    });
});

scenario('nack_multiple', function () {
    with_channel(function (AMQPChannel $channel) {
        $queue = temporary($channel);
        for ($i = 0; $i < 6; $i++) {
            publish($channel, (string)$i, $queue);
        }
        $tags = [];
        for ($i = 0; $i < 6; $i++) {
            $tags[] = get($channel, $queue, false)->getDeliveryTag();
        }
        $channel->basic_ack($tags[1], true);
        $channel->basic_nack($tags[3], true, true);
        eventually_count($channel, $queue, 2);
        foreach (['2', '3'] as $wanted) {
            $message = get($channel, $queue);
            same([$message->getBody(), $message->isRedelivered()], [$wanted, true], 'requeued');
        }
        $channel->basic_ack(0, true);
        eventually_count($channel, $queue, 0);
    });
});

scenario('reject', function () {
    with_channel(function (AMQPChannel $channel) {
        $queue = temporary($channel);
        publish($channel, 'one', $queue);
        get($channel, $queue, false)->reject(true);
        $again = get($channel, $queue, false);
        same($again->isRedelivered(), true, 'redelivered');
        $again->reject(false);
        same($channel->basic_get($queue), null, 'get after the drop');
    });
});

scenario('recover', function () {
    with_channel(function (AMQPChannel $channel) {
        $queue = temporary($channel);
        foreach (['0', '1', '2'] as $body) {
            publish($channel, $body, $queue);
        }
        for ($i = 0; $i < 3; $i++) {
            get($channel, $queue, false);
        }
        $channel->basic_recover(true);
        foreach (['0', '1', '2'] as $body) {
            $message = get($channel, $queue);
            same([$message->getBody(), $message->isRedelivered()], [$body, true], 'recovered');
        }
    });
});

scenario('requeue_on_close', function () {
    with_channel(function (AMQPChannel $keeper) {
        [$queue] = declare_queue($keeper, unique('queue'));
        with_channel(function (AMQPChannel $channel) use ($queue) {
            publish($channel, 'kept', $queue);
            get($channel, $queue, false);
        });
        $message = get($keeper, $queue);
        same([$message->getBody(), $message->isRedelivered()], ['kept', true], 'delivery after the close');
        $keeper->queue_delete($queue);
    });
});

scenario('qos_prefetch', function () {
    ['prefetch' => $prefetch, 'count' => $count] = expected('qos_prefetch');
    with_channel(function (AMQPChannel $channel) use ($prefetch, $count) {
        $queue = temporary($channel);
        for ($i = 0; $i < $count; $i++) {
            publish($channel, (string)$i, $queue);
        }
        $channel->basic_qos(0, $prefetch, false);
        $tags = [];
        consume($channel, $queue, function (AMQPMessage $message) use (&$tags) {
            $tags[] = $message->getDeliveryTag();
        });
        pump($channel, 0.5);
        same(count($tags), $prefetch, 'delivered at first');
        $channel->basic_ack($tags[0]);
        pump($channel, 0.5);
        same(count($tags), $prefetch + 1, 'delivered after one ack');
        $channel->basic_ack(end($tags), true);
        pump($channel, 0.5);
        same(count($tags), 2 * $prefetch + 1, 'delivered after all were acknowledged');
    });
});

// ---- consumers that are not equal ----

scenario('consumer_priority', function () {
    ['prefetch' => $prefetch, 'count' => $count] = expected('consumer_priority');
    with_channel(function (AMQPChannel $channel) use ($prefetch, $count) {
        $queue = temporary($channel);
        $found = [];
        foreach (['low' => -1, 'high' => 10] as $tag => $priority) {
            $channel->basic_qos(0, $tag === 'high' ? $prefetch : 0, false);
            consume($channel, $queue, function (AMQPMessage $message) use (&$found) {
                $found[$message->getBody()] = $message->getConsumerTag();
            }, $tag, arguments: ['x-priority' => $priority]);
        }
        $wanted = [];
        for ($i = 0; $i < $count; $i++) {
            publish($channel, (string)$i, $queue);
            $wanted[$i] = $i < $prefetch ? 'high' : 'low';
        }
        pump($channel, 0.5);
        ksort($found);
        same($found, $wanted, 'who got what');
    });
});

scenario('error_consumer_priority', function () {
    refused_on_channel('error_consumer_priority', function (AMQPChannel $channel) {
        consume($channel, temporary($channel), ignore(), 'c', arguments: ['x-priority' => 'high']);
    });
});

scenario('single_active_consumer', function () {
    $count = expected('single_active_consumer')['count'];
    with_channel(function (AMQPChannel $channel) use ($count) {
        $queue = temporary($channel, ['x-single-active-consumer' => true]);
        $found = [];
        foreach (['first', 'second'] as $tag) {
            consume($channel, $queue, function (AMQPMessage $message) use (&$found, $tag) {
                $found[] = [$tag, $message->getBody()];
            }, $tag, true);
        }
        $wanted = [];
        for ($i = 0; $i < $count; $i++) {
            publish($channel, (string)$i, $queue);
            $wanted[] = ['first', (string)$i];
        }
        pump_until($channel, $found, $count, "$count messages");
        same($found, $wanted, "the first one's");
        $channel->basic_cancel('first');
        publish($channel, 'next', $queue);
        pump_until($channel, $found, $count + 1, 'another one');
        same(array_slice($found, $count), [['second', 'next']], "the second one's");
    });
});

scenario('error_single_active_exclusive', function () {
    refused_on_channel('error_single_active_exclusive', function (AMQPChannel $channel) {
        $queue = temporary($channel, ['x-single-active-consumer' => true]);
        consume($channel, $queue, ignore(), exclusive: true);
    });
});

// ---- priorities, dead letters ----

scenario('queue_priority', function () {
    ['highest' => $highest, 'sent' => $sent, 'sorted' => $sorted] = expected('queue_priority');
    with_channel(function (AMQPChannel $channel) use ($highest, $sent, $sorted) {
        $queue = temporary($channel, ['x-max-priority' => $highest]);
        foreach ($sent as $i => $priority) {
            publish($channel, (string)$i, $queue, properties: ['priority' => $priority]);
        }
        eventually_count($channel, $queue, count($sent));
        same(got_all($channel, $queue), array_map('strval', $sorted), 'got');
    });
});

scenario('error_queue_priority', function () {
    refused_on_channel('error_queue_priority', fn($channel) => temporary($channel, ['x-max-priority' => 256]));
});

function mortal(AMQPChannel $channel, string $name, string $dead, array $more = []): string
{
    $letters = ['x-dead-letter-exchange' => '', 'x-dead-letter-routing-key' => $dead];
    return declare_queue($channel, $name, [...$letters, ...$more], exclusive: true)[0];
}

function events_of(AMQPMessage $message): array
{
    return array_map(fn($event) => [$event['queue'], $event['reason'], $event['count'], $event['exchange']],
        headers_of($message)['x-death']);
}

function dead_letter(AMQPChannel $channel, array $row): void
{
    $dead = temporary($channel);
    $queue = mortal($channel, unique('queue'), $dead, $row['arguments']);
    for ($i = $row['reason'] === 'maxlen' ? 2 : 1; $i > 0; $i--) {
        publish($channel, 'body', $queue, headers: ['mine' => 'stays']);
    }
    if ($row['reason'] === 'rejected') {
        get($channel, $queue, false)->reject(false);
    }
    $letter = get($channel, $dead);
    $headers = headers_of($letter);
    same($letter->getBody(), 'body', 'the letter');
    same(events_of($letter), [[$queue, $row['reason'], 1, '']], 'x-death');
    same($headers['x-death'][0]['routing-keys'], [$queue], 'routing-keys');
    same([$headers['mine'], $headers['x-first-death-reason'], $headers['x-first-death-queue'],
        $headers['x-first-death-exchange']], ['stays', $row['reason'], $queue, ''], 'other headers');
}

scenario('dead_letter', function () {
    foreach (expected('dead_letter')['rows'] as $row) {
        with_channel(fn(AMQPChannel $channel) => dead_letter($channel, $row));
    }
});

scenario('dead_letter_counts', function () {
    $count = expected('dead_letter_counts')['count'];
    with_channel(function (AMQPChannel $channel) use ($count) {
        [$queue, $waits] = [unique('queue'), unique('waits')];
        mortal($channel, $queue, $waits);
        mortal($channel, $waits, $queue, ['x-message-ttl' => 20]);
        publish($channel, 'body', $queue);
        for ($i = 0; $i < $count; $i++) {
            get($channel, $queue, false)->nack(false);
        }
        same(events_of(get($channel, $queue)), [[$waits, 'expired', $count, ''], [$queue, 'rejected', $count, '']],
            'x-death');
    });
});

scenario('dead_letter_circle', function () {
    with_channel(function (AMQPChannel $channel) {
        [$one, $two] = [unique('one'), unique('two')];
        mortal($channel, $one, $two, ['x-message-ttl' => 20]);
        mortal($channel, $two, $one, ['x-message-ttl' => 20]);
        publish($channel, 'body', $one);
        pause(0.5);
        same([count_of($channel, $one), count_of($channel, $two)], [0, 0], 'left');
    });
});

scenario('error_dead_letter_key', function () {
    refused_on_channel('error_dead_letter_key',
        fn($channel) => temporary($channel, ['x-dead-letter-routing-key' => 'k']));
});

scenario('error_dead_letter_type', function () {
    refused_on_channel('error_dead_letter_type', fn($channel) => temporary($channel, ['x-dead-letter-exchange' => 5]));
});

// ---- direct reply-to, user-id ----

const REPLY_TO = 'amq.rabbitmq.reply-to';

scenario('direct_reply_to', function () {
    $count = expected('direct_reply_to')['count'];
    with_channel(function (AMQPChannel $channel) use ($count) {
        with_channel(function (AMQPChannel $server) use ($channel, $count) {
            $queue = temporary($channel);
            $found = [];
            consume($channel, REPLY_TO, function (AMQPMessage $message) use (&$found) {
                $found[] = [$message->get('correlation_id'), $message->getBody()];
            }, 'c', true);
            $wanted = [];
            for ($i = 0; $i < $count; $i++) {
                publish($channel, (string)$i, $queue, properties: ['reply_to' => REPLY_TO, 'correlation_id' => (string)$i]);
                $request = get($channel, $queue);
                $to = $request->get('reply_to');
                check(str_starts_with($to, REPLY_TO . '.'), "reply-to $to");
                publish($server, "to {$request->getBody()}", $to,
                    properties: ['correlation_id' => $request->get('correlation_id')]);
                $wanted[] = [(string)$i, "to $i"];
            }
            pump_until($channel, $found, $count, "$count answers");
            same($found, $wanted, 'answers');
        });
    });
});

scenario('error_reply_consumer_missing', function () {
    refused_on_channel('error_reply_consumer_missing',
        fn($channel) => publish($channel, '', 'q', properties: ['reply_to' => REPLY_TO]));
});

scenario('error_reply_consumer_acks', function () {
    refused_on_channel('error_reply_consumer_acks', fn($channel) => consume($channel, REPLY_TO, ignore(), 'c'));
});

scenario('error_user_id', function () {
    refused_on_channel('error_user_id', function (AMQPChannel $channel) {
        $queue = temporary($channel);
        publish($channel, 'mine', $queue, properties: ['user_id' => 'guest']);
        eventually_count($channel, $queue, 1);
        publish($channel, 'not mine', $queue, properties: ['user_id' => 'admin']);
    });
});

// ---- transactions ----

scenario('tx_commit', function () {
    $wanted = expected('tx_commit');
    with_channel(function (AMQPChannel $channel) use ($wanted) {
        $queue = temporary($channel);
        $returned = [];
        $channel->set_return_listener(function ($code, $text, $exchange, $key, $message) use (&$returned) {
            $returned[] = [$code, $text, $message->getBody()];
        });
        $channel->tx_select();
        publish($channel, 'one', $queue);
        publish($channel, 'back', unique('nowhere'), mandatory: true);
        publish($channel, 'two', $queue);
        same([count_of($channel, $queue), $returned], [0, []], 'before the commit');
        $channel->tx_commit();
        pump_until($channel, $returned, 1, 'a return');
        same($returned, [[$wanted['code'], $wanted['text'], 'back']], 'basic.return');
        same(got_all($channel, $queue), ['one', 'two'], 'committed');
    });
});

scenario('tx_rollback', function () {
    with_channel(function (AMQPChannel $channel) {
        $queue = temporary($channel);
        $channel->tx_select();
        publish($channel, 'one', $queue);
        $channel->tx_rollback();
        publish($channel, 'two', $queue);
        $channel->tx_commit();
        same(got_all($channel, $queue), ['two'], 'committed');
    });
});

scenario('tx_settle', function () {
    with_channel(function (AMQPChannel $channel) {
        $queue = temporary($channel);
        for ($i = 0; $i < 4; $i++) {
            publish($channel, (string)$i, $queue);
        }
        $channel->tx_select();
        $tags = [];
        for ($i = 0; $i < 4; $i++) {
            $tags[] = get($channel, $queue, false)->getDeliveryTag();
        }
        $channel->basic_ack($tags[2]);
        $channel->basic_nack($tags[1], true, true);
        $channel->tx_rollback();
        $channel->basic_ack($tags[2], true);
        $channel->basic_reject($tags[3], true);
        same(count_of($channel, $queue), 0, 'before the commit');
        $channel->tx_commit();
        eventually_count($channel, $queue, 1);
        $message = get($channel, $queue);
        same([$message->getBody(), $message->isRedelivered()], ['3', true], 'rejected');
    });
});

scenario('error_tx_not_selected', function () {
    refused_on_channel('error_tx_not_selected', fn($channel) => $channel->tx_commit());
});

scenario('error_tx_then_confirm', function () {
    refused_on_channel('error_tx_then_confirm', function (AMQPChannel $channel) {
        $channel->tx_select();
        $channel->confirm_select();
    });
});

scenario('error_confirm_then_tx', function () {
    refused_on_channel('error_confirm_then_tx', function (AMQPChannel $channel) {
        $channel->confirm_select();
        $channel->tx_select();
    });
});

// ---- exchanges ----

scenario('exchange_direct', function () {
    with_channel(function (AMQPChannel $channel) {
        $exchange = exchange_of($channel, 'direct');
        $queues = [];
        foreach (['red', 'blue'] as $key) {
            $queues[$key] = temporary($channel);
            $channel->queue_bind($queues[$key], $exchange, $key);
        }
        foreach (['red', 'blue', 'green'] as $key) {
            publish($channel, $key, $key, $exchange);
        }
        foreach ($queues as $key => $queue) {
            same(got_all($channel, $queue), [$key], $key);
        }
    });
});

scenario('exchange_fanout', function () {
    with_channel(function (AMQPChannel $channel) {
        $exchange = exchange_of($channel, 'fanout');
        $queues = [];
        for ($i = 0; $i < 5; $i++) {
            $queues[] = $queue = temporary($channel);
            $channel->queue_bind($queue, $exchange, 'ignored');
            $channel->queue_bind($queue, $exchange, 'twice');
        }
        publish($channel, 'all', 'any', $exchange);
        foreach ($queues as $queue) {
            same(got_all($channel, $queue), ['all'], $queue);
        }
    });
});

scenario('exchange_topic', function () {
    with_channel(function (AMQPChannel $channel) {
        $exchange = exchange_of($channel, 'topic', auto_delete: false);
        foreach (expected('exchange_topic')['patterns'] as $row) {
            $queue = temporary($channel);
            $channel->queue_bind($queue, $exchange, $row['pattern']);
            foreach ([...$row['match'], ...$row['miss']] as $key) {
                publish($channel, $key, $key, $exchange);
            }
            same(got_all($channel, $queue), $row['match'], $row['pattern']);
            $channel->queue_unbind($queue, $exchange, $row['pattern']);
        }
        $channel->exchange_delete($exchange);
    });
});

scenario('exchange_headers', function () {
    with_channel(function (AMQPChannel $channel) {
        $exchange = exchange_of($channel, 'headers');
        $queues = [];
        foreach (['all', 'any'] as $match) {
            $queues[$match] = temporary($channel);
            $channel->queue_bind($queues[$match], $exchange, '', false,
                new AMQPTable(['x-match' => $match, 'colour' => 'red', 'size' => 5]));
        }
        foreach (['both' => ['colour' => 'red', 'size' => 5, 'more' => 1], 'one' => ['colour' => 'red'],
            'other' => ['colour' => 'blue', 'size' => 6], 'typed' => ['size' => '5'], 'none' => []] as $name => $headers) {
            publish($channel, $name, '', $exchange, headers: $headers);
        }
        same(got_all($channel, $queues['all']), ['both'], 'x-match all');
        same(got_all($channel, $queues['any']), ['both', 'one'], 'x-match any');
    });
});

scenario('exchange_predeclared', function () {
    with_channel(function (AMQPChannel $channel) {
        foreach ([['amq.direct', 'direct', unique('key'), []], ['amq.fanout', 'fanout', '', []],
            ['amq.topic', 'topic', unique('a') . '.b', []],
            ['amq.headers', 'headers', '', ['x-match' => 'all', 'id' => unique('h')]],
            ['amq.match', 'headers', '', ['x-match' => 'all', 'id' => unique('h')]]] as [$name, $type, $key, $headers]) {
            declare_exchange($channel, $name, $type, passive: true);
            $queue = temporary($channel);
            $channel->queue_bind($queue, $name, $key, false, new AMQPTable($headers));
            publish($channel, 'here', $key, $name, headers: $headers);
            same(got_all($channel, $queue), ['here'], $name);
            $channel->queue_delete($queue);
        }
    });
});

function check_exchanges_gone(Connection $connection, string $type, string ...$names): void
{
    foreach ($names as $name) {
        check(is_missing(fn() => declare_exchange($connection->channel(), $name, $type, passive: true)),
            "$name is still there");
    }
}

scenario('exchange_lifecycle', function () {
    connected(function (Connection $connection) {
        $channel = $connection->channel();
        $exchange = exchange_of($channel, 'direct', auto_delete: false);
        declare_exchange($channel, $exchange, 'direct', passive: true);
        $queue = temporary($channel);
        $channel->queue_bind($queue, $exchange, 'k');
        refused('exchange_lifecycle', fn() => $channel->exchange_delete($exchange, true));
        $channel = $connection->channel();
        $channel->queue_unbind($queue, $exchange, 'k');
        $channel->exchange_delete($exchange, true);
        $automatic = exchange_of($channel, 'direct');
        $channel->queue_bind($queue, $automatic, 'k');
        declare_exchange($channel, $automatic, 'direct', passive: true);
        $channel->queue_unbind($queue, $automatic, 'k');
        check_exchanges_gone($connection, 'direct', $exchange, $automatic);
    });
});

scenario('alternate_exchange', function () {
    with_channel(function (AMQPChannel $channel) {
        $names = [unique('exchange'), unique('exchange'), unique('exchange')];
        $queues = [];
        foreach ($names as $i => $name) {
            declare_exchange($channel, $name, 'direct', ['alternate-exchange' => $names[($i + 1) % 3]]);
            $queues[] = $queue = temporary($channel);
            $channel->queue_bind($queue, $name, "k$i");
        }
        $returned = [];
        $channel->set_return_listener(function ($code, $text, $exchange, $key) use (&$returned) {
            $returned[] = [$exchange, $key];
        });
        $channel->confirm_select();
        for ($i = 0; $i < 4; $i++) {
            publish($channel, (string)$i, "k$i", $names[0], mandatory: true);
        }
        $channel->wait_for_pending_acks_returns(10);
        foreach ($queues as $i => $queue) {
            same(got_all($channel, $queue), [(string)$i], 'through the chain');
        }
        same($returned, [[$names[0], 'k3']], 'what no exchange of the chain routes');
        $queue = temporary($channel);
        $channel->queue_bind($queue, exchange_of($channel, 'direct', ['alternate-exchange' => unique('none')]), 'k');
    });
});

scenario('error_alternate_type', function () {
    refused_on_channel('error_alternate_type', fn($channel) => exchange_of($channel, 'direct', ['alternate-exchange' => 5]));
});

scenario('error_alternate_redeclare', function () {
    refused_on_channel('error_alternate_redeclare', function (AMQPChannel $channel) {
        $exchange = unique('exchange');
        foreach (['a', 'b'] as $other) {
            declare_exchange($channel, $exchange, 'direct', ['alternate-exchange' => $other]);
            $channel->queue_bind(temporary($channel), $exchange, 'k');
        }
    });
});

scenario('exchange_bind', function () {
    with_channel(function (AMQPChannel $channel) {
        $last = exchange_of($channel, 'fanout');
        $queue = temporary($channel);
        $channel->queue_bind($queue, $last);
        foreach (['direct', 'fanout', 'topic', 'headers'] as $type) {
            [$first, $middle] = [exchange_of($channel, $type), exchange_of($channel, $type)];
            foreach ([[$first, $middle], [$middle, $last], [$first, $last], [$middle, $first]] as [$from, $to]) {
                $channel->exchange_bind($to, $from, 'k');
            }
            publish($channel, 'once', 'k', $first);
            publish($channel, 'other', 'other', $first);
            same(got_all($channel, $queue), in_array($type, ['fanout', 'headers']) ? ['once', 'other'] : ['once'], $type);
            $channel->exchange_unbind($last, $first, 'k');
            $channel->exchange_unbind($last, $middle, 'k');
            publish($channel, 'nowhere', 'k', $first);
            same(got_all($channel, $queue), [], "after unbind, $type");
            $channel->exchange_delete($first);
        }
    });
});

scenario('exchange_bind_lifecycle', function () {
    connected(function (Connection $connection) {
        $channel = $connection->channel();
        [$above, $source, $destination] = array_map(fn() => exchange_of($channel, 'fanout'), range(1, 3));
        $channel->exchange_bind($source, $above);
        $channel->exchange_bind($destination, $source);
        refused('exchange_bind_lifecycle', fn() => $channel->exchange_delete($source, true));
        $channel = $connection->channel();
        $channel->exchange_delete($destination, true);
        check_exchanges_gone($connection, 'fanout', $above, $source, $destination);
        [$source, $destination] = [exchange_of($channel, 'fanout'), exchange_of($channel, 'fanout')];
        $channel->exchange_bind($destination, $source);
        $channel->exchange_delete($source);
        declare_exchange($channel, $destination, 'fanout', passive: true);
        $channel->exchange_delete($destination);
    });
});

scenario('error_exchange_bind_default', function () {
    refused_on_channel('error_exchange_bind_default', fn($channel) => $channel->exchange_bind('amq.direct', '', 'k'));
});

scenario('error_exchange_bind_unknown', function () {
    refused_on_channel('error_exchange_bind_unknown',
        fn($channel) => $channel->exchange_bind(unique('none'), 'amq.direct', 'k'));
});

scenario('exchange_internal', function () {
    with_channel(function (AMQPChannel $channel) {
        $inner = exchange_of($channel, 'fanout', internal: true);
        $outer = exchange_of($channel, 'fanout');
        $queue = temporary($channel);
        $channel->queue_bind($queue, $inner);
        $channel->exchange_bind($inner, $outer);
        publish($channel, 'in', '', $outer);
        same(got_all($channel, $queue), ['in'], 'through the other exchange');
        refused('exchange_internal', fn() => publish($channel, 'refused', '', $inner), $channel);
    });
});

scenario('sender_selected', function () {
    with_channel(function (AMQPChannel $channel) {
        $queues = [$first, $cc, $bcc] = array_map(fn() => temporary($channel), range(1, 3));
        publish($channel, 'all', $first, properties: ['type' => 't'],
            headers: ['CC' => [$cc, $first], 'BCC' => [$bcc, 5], 'kept' => 'yes']);
        foreach ($queues as $queue) {
            $copy = get($channel, $queue);
            same([$copy->getBody(), $copy->getRoutingKey(), headers_of($copy), $copy->get('type')],
                ['all', $first, ['CC' => [$cc, $first], 'kept' => 'yes'], 't'], 'a copy');
            same(got_all($channel, $queue), [], 'no second copy');
        }
        $channel->queue_bind($first, 'amq.topic', 'a.*');
        $channel->queue_bind($cc, 'amq.topic', 'b.#');
        publish($channel, 'topic', 'none', 'amq.topic', headers: ['CC' => ['a.x'], 'BCC' => ['b.y.z']]);
        foreach ([$first, $cc] as $queue) {
            $copy = get($channel, $queue);
            same([$copy->getBody(), headers_of($copy)], ['topic', ['CC' => ['a.x']]], 'by patterns');
        }
    });
});

scenario('error_cc_type', function () {
    refused_on_channel('error_cc_type', fn($channel) => publish($channel, 'refused', 'q', headers: ['CC' => 'no array']));
});

scenario('consistent_hash', function () {
    ['weights' => $weights, 'count' => $count] = expected('consistent_hash');
    with_channel(function (AMQPChannel $channel) use ($weights, $count) {
        $exchange = exchange_of($channel, 'x-consistent-hash');
        $queues = [];
        foreach ($weights as $weight) {
            $queues[$weight] = temporary($channel);
            $channel->queue_bind($queues[$weight], $exchange, $weight);
        }
        for ($i = 0; $i < $count; $i++) {
            publish($channel, "k$i", "k$i", $exchange);
            publish($channel, "k$i", "k$i", $exchange);
        }
        $total = 0;
        foreach ($queues as $weight => $queue) {
            $found = got_all($channel, $queue);
            $total += count($found);
            foreach (array_count_values($found) as $key => $times) {
                same($times, 2, "messages with the key $key in one queue");
            }
            $share = count($found) / (2 * $count) * array_sum($weights) / (int)$weight;
            check($share > 0.5 && $share < 1.6, "share of weight $weight is $share of what is fair");
        }
        same($total, 2 * $count, 'messages');
    });
});

scenario('error_hash_weight', function () {
    refused_on_channel('error_hash_weight', function (AMQPChannel $channel) {
        $exchange = exchange_of($channel, 'x-consistent-hash');
        $queue = temporary($channel);
        $channel->queue_bind($queue, $exchange, '1');
        $channel->queue_bind($queue, $exchange, 'heavy');
    });
});

// ---- queues ----

scenario('queue_server_named', function () {
    with_channel(function (AMQPChannel $channel) {
        $names = array_map(fn() => declare_queue($channel, '', exclusive: true)[0], range(1, 3));
        same(count(array_unique($names)), 3, 'different names');
        foreach ($names as $name) {
            check(str_starts_with($name, expected('queue_server_named')['prefix']), "name $name");
            publish($channel, $name, $name);
            same(got_all($channel, $name), [$name], 'its message');
        }
    });
});

scenario('queue_exclusive', function () {
    $queue = null;
    with_channel(function (AMQPChannel $channel) use (&$queue) {
        $queue = temporary($channel);
    });
    refused_on_channel('queue_exclusive', fn($channel) => declare_queue($channel, $queue, passive: true));
});

scenario('queue_exclusive_durable', function () {
    with_channel(function (AMQPChannel $channel) {
        $queue = temporary($channel);
        publish($channel, 'kept', $queue);
        declare_queue($channel, $queue, durable: true, exclusive: true);
        same(got_all($channel, $queue), ['kept'], 'its message');
    });
});

scenario('queue_auto_delete', function () {
    with_channel(function (AMQPChannel $channel) {
        [$queue] = declare_queue($channel, unique('queue'), auto_delete: true);
        [$one, $two] = [consume($channel, $queue, ignore()), consume($channel, $queue, ignore())];
        $channel->basic_cancel($one);
        same(declare_queue($channel, $queue, passive: true)[2], 1, 'consumers');
        $channel->basic_cancel($two);
        check(is_missing(fn() => declare_queue($channel, $queue, passive: true)), 'the queue is still there');
    });
});

scenario('queue_passive', function () {
    with_channel(function (AMQPChannel $channel) {
        $queue = temporary($channel);
        for ($i = 0; $i < 3; $i++) {
            publish($channel, 'x', $queue);
        }
        eventually_count($channel, $queue, 3);
        same(declare_queue($channel, $queue, passive: true), [$queue, 3, 0], 'declare-ok');
        $channel->basic_qos(0, 1, false);
        consume($channel, $queue, ignore());
        eventually(fn() => declare_queue($channel, $queue, passive: true) === [$queue, 2, 1],
            '2 ready messages and 1 consumer');
    });
});

scenario('queue_purge', function () {
    with_channel(function (AMQPChannel $channel) {
        $queue = temporary($channel);
        for ($i = 0; $i < 10; $i++) {
            publish($channel, 'x', $queue);
        }
        $held = get($channel, $queue, false);
        eventually_count($channel, $queue, 9);
        same($channel->queue_purge($queue), 9, 'purged');
        same(count_of($channel, $queue), 0, 'left');
        $held->nack(true);
        eventually_count($channel, $queue, 1);
    });
});

scenario('queue_unbind', function () {
    with_channel(function (AMQPChannel $channel) {
        $exchange = exchange_of($channel, 'direct');
        $queue = temporary($channel);
        $channel->queue_bind($queue, $exchange, 'a');
        $channel->queue_bind($queue, $exchange, 'b');
        $channel->queue_unbind($queue, $exchange, 'a');
        publish($channel, 'a', 'a', $exchange);
        publish($channel, 'b', 'b', $exchange);
        same(got_all($channel, $queue), ['b'], 'routed after unbind');
    });
});

scenario('queue_delete_if_unused', function () {
    connected(function (Connection $connection) {
        [$channel, $other] = [$connection->channel(), $connection->channel()];
        $queue = temporary($channel);
        $tag = consume($channel, $queue, ignore());
        refused('queue_delete_if_unused', fn() => $other->queue_delete($queue, true));
        $channel->basic_cancel($tag);
        $channel->queue_delete($queue, true);
    });
});

scenario('queue_delete_if_empty', function () {
    connected(function (Connection $connection) {
        $other = $connection->channel();
        $queue = temporary($other);
        publish($other, 'x', $queue);
        refused('queue_delete_if_empty', fn() => $other->queue_delete($queue, false, true));
        $channel = $connection->channel();
        $channel->queue_purge($queue);
        $channel->queue_delete($queue, false, true);
    });
});

scenario('consumer_cancel_notify', function () {
    connected(function (Connection $connection) {
        [$channel, $other] = [$connection->channel(), $connection->channel()];
        $queue = temporary($channel);
        $tag = consume($channel, $queue, ignore(), unique('tag'));
        $other->queue_delete($queue);
        try {
            pump($channel, 5);
            throw new Failed('no basic.cancel from the broker');
        } catch (AMQPBasicCancelException $cancelled) {
            same($cancelled->consumerTag, $tag, 'cancelled');
        }
    });
});

// ---- what a queue may be told ----

function rule_row(AMQPChannel $channel, array $row): void
{
    $queue = temporary($channel, $row['arguments'] ?? []);
    $confirms = [];
    if (isset($row['confirms'])) {
        $channel->set_ack_handler(function () use (&$confirms) {
            $confirms[] = 'ack';
        });
        $channel->set_nack_handler(function () use (&$confirms) {
            $confirms[] = 'nack';
        });
        $channel->confirm_select();
    }
    foreach ($row['publish'] as $message) {
        publish($channel, $message['body'], $queue,
            properties: array_intersect_key($message, array_flip(['expiration', 'priority'])));
        if (isset($row['confirms'])) {
            $channel->wait_for_pending_acks(10);
        }
    }
    same($confirms, $row['confirms'] ?? [], 'confirms');
    for ($i = 0; $i < ($row['reject'] ?? 0); $i++) {
        get($channel, $queue, false)->reject(false);
    }
    pause(($row['wait_ms'] ?? 0) / 1000);
    same(got_all($channel, $queue), $row['left'], 'left of ' . json_encode($row['publish']));
}

foreach (['queue_ttl', 'message_ttl', 'queue_limits', 'queue_refuses'] as $name) {
    scenario($name, function () use ($name) {
        foreach (expected($name)['rows'] as $row) {
            with_channel(fn(AMQPChannel $channel) => rule_row($channel, $row));
        }
    });
}

scenario('queue_expires', function () {
    $wanted = expected('queue_expires');
    with_channel(function (AMQPChannel $channel) use ($wanted) {
        [$queue] = declare_queue($channel, unique('queue'), $wanted['arguments']);
        $tag = consume($channel, $queue, ignore());
        pause($wanted['used_ms'] / 1000);
        same(count_of($channel, $queue), 0, 'messages while it is used');
        $channel->basic_cancel($tag);
        publish($channel, 'x', $queue);
        pause($wanted['gone_ms'] / 1000);
        check(is_missing(fn() => declare_queue($channel, $queue, passive: true)), 'the queue is still there');
    });
});

scenario('error_queue_argument', function () {
    $wanted = expected('error_queue_argument');
    foreach ($wanted['wrong'] as $arguments) {
        refused_on_channel('error_queue_argument', fn($channel) => temporary($channel, $arguments));
    }
    $queue = unique('queue');
    refused_on_channel('error_queue_argument', function (AMQPChannel $channel) use ($queue, $wanted) {
        foreach (['first', 'first', 'second'] as $which) {
            declare_queue($channel, $queue, $wanted[$which], exclusive: true);
        }
    });
});

scenario('error_expiration', function () {
    refused_on_channel('error_expiration', function (AMQPChannel $channel) {
        publish($channel, 'x', temporary($channel),
            properties: ['expiration' => expected('error_expiration')['expiration']]);
    });
});

// ---- size and number ----

function round_trip(AMQPChannel $channel, int $size, int $seed): void
{
    $queue = temporary($channel);
    $body = body_of($size, $seed);
    publish($channel, $body, $queue);
    $found = [];
    $tag = consume($channel, $queue, function (AMQPMessage $message) use (&$found) {
        $found[] = $message;
    });
    pump_until($channel, $found, 1, "the body of $size bytes", 30);
    same([strlen($found[0]->getBody()), digest($found[0]->getBody())], [$size, digest($body)], "body of $size bytes");
    $found[0]->ack();
    $channel->basic_cancel($tag);
    $channel->queue_delete($queue);
}

scenario('body_small', function () {
    ['sizes' => $sizes, 'around_frame' => $around] = expected('body_small');
    connected(function (Connection $connection) use ($sizes, $around) {
        $payload = $connection->frameMax() - 8;
        foreach ($around as $difference) {
            array_push($sizes, $payload + $difference, 2 * $payload + $difference);
        }
        foreach ($sizes as $seed => $size) {
            round_trip($connection->channel(1), $size, $seed);
        }
    });
});

foreach (['body_1mib', 'body_64mib'] as $name) {
    scenario($name, fn() => with_channel(fn($channel) => round_trip($channel, expected($name)['sizes'][0], 1)));
}

scenario('queues_10000', function () {
    with_channel(function (AMQPChannel $channel) {
        $names = [];
        for ($i = expected('queues_10000')['count']; $i > 0; $i--) {
            $names[] = temporary($channel);
        }
        foreach ([$names[0], end($names)] as $name) {
            publish($channel, $name, $name);
            same(got_all($channel, $name), [$name], 'its message');
        }
    });
});

scenario('connections_1000', function () {
    $count = expected('connections_1000')['count'];
    $connections = [];
    try {
        for ($i = 0; $i < $count; $i++) {
            $connections[] = connect(0);
        }
        with_channel(function (AMQPChannel $keeper) use ($connections, $count) {
            [$queue] = declare_queue($keeper, unique('queue'));
            $sent = [];
            foreach ($connections as $i => $connection) {
                publish($connection->channel(), $sent[] = (string)$i, $queue);
            }
            eventually_count($keeper, $queue, $count);
            $found = got_all($keeper, $queue);
            sort($sent);
            sort($found);
            same($found, $sent, 'bodies');
            $keeper->queue_delete($queue);
        });
    } finally {
        foreach ($connections as $connection) {
            if ($connection->isConnected()) {
                $connection->close();
            }
        }
    }
});

// ---- connections ----

role('hold_and_publish', function (string $shared, string $owned) {
    $channel = connect()->channel();
    declare_queue($channel, $owned, exclusive: true);
    get($channel, $shared, false);
    there();
    while (true) {
        publish($channel, body_of(expected('killed_mid_frame')['size'], 1), $owned);
    }
});

role('hold', function (string $interval, string $owned) {
    $channel = connect((int)$interval)->channel();
    declare_queue($channel, $owned, exclusive: true);
    there();
    while (true) {
        pump($channel, (int)$interval / 4);
    }
});

/** True when the exclusive queue of another connection is no more; false while it is locked. */
function is_gone(Connection $connection, string $queue): bool
{
    try {
        declare_queue($connection->channel(), $queue, passive: true);
    } catch (AMQPProtocolChannelException $closed) {
        check(in_array($closed->amqp_reply_code, [404, 405]), $closed->getMessage());
        return $closed->amqp_reply_code === 404;
    }
    throw new Failed("another connection's exclusive queue could be declared");
}

scenario('killed_mid_frame', function () {
    connected(function (Connection $connection) {
        $keeper = $connection->channel();
        [$shared, $owned] = [unique('queue'), unique('queue')];
        declare_queue($keeper, $shared);
        publish($keeper, 'kept', $shared);
        $holder = child('hold_and_publish', $shared, $owned);
        pause(0.3);
        end_child($holder);
        $message = get($keeper, $shared, true, 10);
        same([$message->getBody(), $message->isRedelivered()], ['kept', true], 'the message of the killed client');
        eventually(fn() => is_gone($connection, $owned), 'its exclusive queue gone');
        $keeper->queue_delete($shared);
    });
});

scenario('heartbeat_kept', function () {
    ['interval_s' => $interval, 'idle_s' => $idle] = expected('heartbeat_kept');
    connected(function (Connection $connection) use ($interval, $idle) {
        same($connection->getHeartbeat(), $interval, 'interval agreed');
        $channel = $connection->channel();
        $queue = temporary($channel);
        // php-amqplib beats while it waits, and gives up when the broker is silent for two intervals.
        for ($i = 0; $i < 4 * $idle; $i++) {
            pump($channel, 0.25);
        }
        publish($channel, 'alive', $queue);
        same(got_all($channel, $queue), ['alive'], 'after the idle time');
    }, $interval);
});

scenario('heartbeat_client_stops', function () {
    ['interval_s' => $interval, 'gone_s_max' => $gone_max] = expected('heartbeat_client_stops');
    $owned = unique('queue');
    $holder = child('hold', (string)$interval, $owned);
    try {
        connected(function (Connection $connection) use ($holder, $owned, $gone_max) {
            check(!is_gone($connection, $owned), 'the queue is not there');
            signal_child($holder, SIGSTOP);
            eventually(fn() => is_gone($connection, $owned), 'the broker closed the silent connection', $gone_max, 0.1);
        });
    } finally {
        end_child($holder);
    }
});

scenario('channels', function () {
    connected(function (Connection $connection) {
        $count = expected('channels')['count'];
        $channels = array_map(fn() => $connection->channel(), range(1, $count));
        $queue = temporary($channels[0]);
        foreach ($channels as $i => $channel) {
            publish($channel, (string)$i, $queue);
        }
        foreach ($channels as $i => $channel) {
            $i % 2 ? $channel->close() : publish($channel, 'again', $queue);
        }
        eventually_count($channels[0], $queue, $count + intdiv($count + 1, 2));
    });
});

scenario('channel_reuse', function () {
    connected(function (Connection $connection) {
        [$other, $failing] = [$connection->channel(), $connection->channel()];
        $number = $failing->getChannelId();
        $queue = temporary($other);
        refused('channel_reuse', fn() => declare_queue($failing, unique('nowhere'), passive: true));
        publish($other, 'other', $queue);
        $again = $connection->channel($number);
        check($again !== $failing && $again->is_open(), 'opened again');
        publish($again, 'again', $queue);
        eventually_count($other, $queue, 2);
        $found = got_all($again, $queue);
        sort($found);
        same($found, ['again', 'other'], 'messages');
    });
});

// ---- refusals ----

scenario('error_login', fn() => refused('error_login', fn() => connect(password: 'wrong')));
scenario('error_vhost', fn() => refused('error_vhost', fn() => connect(vhost: 'nowhere')));

foreach ([
    'error_queue_unknown' => fn($channel) => declare_queue($channel, unique('nowhere'), passive: true),
    'error_get_unknown' => fn($channel) => $channel->basic_get(unique('nowhere')),
    'error_consume_unknown' => fn($channel) => consume($channel, unique('nowhere'), ignore()),
    'error_publish_unknown' => fn($channel) => publish($channel, 'x', '', unique('nowhere')),
    'error_bind_unknown' => fn($channel) => $channel->queue_bind(temporary($channel), unique('nowhere'), 'k'),
    'error_delivery_tag' => fn($channel) => $channel->basic_ack(7),
    'error_queue_reserved' => fn($channel) => declare_queue($channel, 'amq.' . unique('queue')),
    'error_exchange_reserved' => fn($channel) => declare_exchange($channel, 'amq.' . unique('exchange'), 'direct'),
    'error_exchange_type' => fn($channel) => declare_exchange($channel, unique('exchange'), 'nonesuch'),
    'error_not_implemented' => fn($channel) => $channel->basic_qos(1, 0, false),
] as $name => $action) {
    scenario($name, fn() => refused_on_channel($name, $action));
}

scenario('error_queue_redeclare', function () {
    $queue = unique('queue');
    refused_on_channel('error_queue_redeclare', function (AMQPChannel $channel) use ($queue) {
        declare_queue($channel, $queue);
        declare_queue($channel, $queue, durable: true);
    });
    with_channel(fn($channel) => $channel->queue_delete($queue));
});

scenario('error_exchange_redeclare', function () {
    $exchange = unique('exchange');
    refused_on_channel('error_exchange_redeclare', function (AMQPChannel $channel) use ($exchange) {
        declare_exchange($channel, $exchange, 'direct');
        declare_exchange($channel, $exchange, 'fanout');
    });
    with_channel(fn($channel) => $channel->exchange_delete($exchange));
});

scenario('error_consume_exclusive', function () {
    connected(function (Connection $connection) {
        [$channel, $other] = [$connection->channel(), $connection->channel()];
        $queue = temporary($channel);
        consume($channel, $queue, ignore(), exclusive: true);
        refused('error_consume_exclusive', fn() => consume($other, $queue, ignore()), $other);
    });
});

scenario('error_queue_locked', function () {
    with_channel(function (AMQPChannel $channel) {
        $queue = temporary($channel);
        refused_on_channel('error_queue_locked', fn($other) => declare_queue($other, $queue, exclusive: true));
    });
});

scenario('blocked', function () {
    ['count' => $count, 'reason' => $reason] = expected('blocked');
    connected(function (Connection $connection) use ($count, $reason) {
        $told = [];
        $connection->set_connection_block_handler(function (string $why) use (&$told) {
            $told[] = $why;
        });
        $connection->set_connection_unblock_handler(function () use (&$told) {
            $told[] = 'unblocked';
        });
        $channel = $connection->channel();
        $queue = temporary($channel);
        $numbers = array_map('strval', range(0, $count - 1));
        foreach ($numbers as $number) {
            publish($channel, $number, $queue);
        }
        // A wait on the channel goes on behind what is said to the connection: short ones.
        $hears = function (int $count) use ($channel, &$told): bool {
            pump($channel, 0.05);
            return count($told) >= $count;
        };
        eventually(fn() => $hears(1), 'connection.blocked', 20.0);
        same($told, [$reason], 'the reason');
        echo "# blocked\n";
        eventually(fn() => $hears(2), 'connection.unblocked', 60.0);
        same($told, [$reason, 'unblocked'], 'said afterwards');
        eventually_count($channel, $queue, $count);
        same(got_all($channel, $queue), $numbers, 'messages');
    });
});

scenario('shutdown', function () {
    refused_on_channel('shutdown', function (AMQPChannel $channel) {
        echo "# waiting\n";
        pump($channel, 60);
    });
});

Harness::run($argv);
