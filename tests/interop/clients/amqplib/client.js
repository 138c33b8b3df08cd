// SPDX-License-Identifier: Apache-2.0
// The scenarios with amqplib's promise interface.
'use strict';
const path = require('node:path');
const { expect, unique, sleep, same, check, eventually, bodyOf, digest, child, there, end, main } =
  require('./harness');

// amqplib keeps class and method of a close for channels only; both are noted as they are decoded (its
// inner files are not exported by name).
const inner = path.join(path.dirname(require.resolve('amqplib')), 'lib');
const frame = require(path.join(inner, 'frame'));
const defs = require(path.join(inner, 'defs'));
let closedBy = {};
const decodeFrame = frame.decodeFrame;
frame.decodeFrame = (raw) => {
  const decoded = decodeFrame(raw);
  if (decoded.id === defs.ChannelClose || decoded.id === defs.ConnectionClose) {
    const { replyCode, classId, methodId } = decoded.fields;
    const level = decoded.id === defs.ChannelClose ? 'channel' : 'connection';
    closedBy = { level, code: replyCode, class: classId, method: methodId };
  }
  return decoded;
};
const amqplib = require('amqplib');

const exclusive = { exclusive: true, durable: false };
const transient = { durable: false };
const automatic = { durable: false, autoDelete: true };
const REPLY_TO = 'amq.rabbitmq.reply-to';
const letters = (dead, more = {}) => ({ 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead, ...more });
const eventsOf = (message) =>
  message.properties.headers['x-death'].map((table) => [table.queue, table.reason, table.count, table.exchange]);
const bytes = (value) => Buffer.from(String(value));

async function connect(given = {}) {
  const connection = await amqplib.connect({
    protocol: 'amqp', hostname: process.env.AMQP_HOST, port: Number(process.env.AMQP_PORT), username: 'guest',
    password: 'guest', vhost: '/', heartbeat: 60, frameMax: 131072, channelMax: 0, ...given,
  }, { timeout: 20000, noDelay: true });
  connection.on('error', () => {});
  return connection;
}

async function channelOn(connection) {
  const channel = await connection.createChannel();
  channel.on('error', () => {});
  return channel;
}

async function connected(use, given) {
  const connection = await connect(given);
  let open = true;
  connection.on('close', () => { open = false; });
  try {
    return await use(connection);
  } finally {
    if (open) await connection.close().catch(() => {});
  }
}

const withChannel = (use, given) =>
  connected(async (connection) => use(await channelOn(connection), connection), given);

async function temporary(channel, options = {}) {
  return (await channel.assertQueue(unique('queue'), { ...exclusive, ...options })).queue;
}

const countOf = async (channel, queue) => (await channel.checkQueue(queue)).messageCount;
const eventuallyCount = (channel, queue, wanted) =>
  eventually(async () => (await countOf(channel, queue)) === wanted, `${wanted} messages in the queue`);

async function get(channel, queue, noAck = true, timeoutMs = 5000) {
  let message = false;
  await eventually(async () => (message = await channel.get(queue, { noAck })), 'a message', timeoutMs, 10);
  return message;
}

async function gotAll(channel, queue) {
  const found = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (!message) return found;
    found.push(message.content.toString());
  }
}

// Runs the action; the broker's close must be the one that the list names.
async function refused(name, action) {
  const { level, code, class: classId, method } = expect(name);
  closedBy = {};
  const done = Promise.resolve().then(action).catch(() => {});
  await eventually(() => closedBy.code !== undefined, 'an exception', 60000);
  await Promise.race([done, sleep(200)]);
  same(closedBy, { level, code, class: classId, method }, 'exception');
}

const refusedOnChannel = (name, action) =>
  withChannel((channel, connection) => refused(name, () => action(channel, connection)));

async function ruleRow(connection, row) {
  const channel = row.confirms ? await connection.createConfirmChannel() : await channelOn(connection);
  channel.on('error', () => {});
  const queue = await temporary(channel, { arguments: row.arguments || {} });
  const found = [];
  for (const { body, expiration, priority } of row.publish) {
    const options = { expiration, priority };
    if (!row.confirms) channel.sendToQueue(queue, bytes(body), options);
    else await new Promise((done) => channel.sendToQueue(queue, bytes(body), options, (no) => done(found.push(no ? 'nack' : 'ack'))));
  }
  same(found, row.confirms || [], 'confirms');
  for (let i = 0; i < (row.reject || 0); i++) channel.reject(await get(channel, queue, false), false);
  await sleep(row.wait_ms || 0);
  same(await gotAll(channel, queue), row.left, `left of ${JSON.stringify(row.publish)}`);
  await channel.close();
}

const ruleRows = (name) => connected(async (connection) => {
  for (const row of expect(name).rows) await ruleRow(connection, row);
});

const scenarios = {
  // ---- publish, consume, get ----

  async publish_consume() {
    const { count } = expect('publish_consume');
    await withChannel(async (channel) => {
      const queue = await temporary(channel);
      for (let i = 0; i < count; i++) channel.sendToQueue(queue, bytes(i));
      const found = [];
      const { consumerTag } = await channel.consume(queue, (message) => {
        if (message === null) return;
        found.push([message.content.toString(), message.fields.redelivered]);
        channel.ack(message);
      });
      await eventually(() => found.length === count, `${count} messages`, 20000);
      same(found, Array.from({ length: count }, (_, i) => [String(i), false]), 'messages');
      await channel.cancel(consumerTag);
      await eventuallyCount(channel, queue, 0);
    });
  },

  async publish_get() {
    const { count } = expect('publish_get');
    await withChannel(async (channel) => {
      const queue = await temporary(channel);
      for (let i = 0; i < count; i++) channel.sendToQueue(queue, bytes(i));
      await eventuallyCount(channel, queue, count);
      for (let i = 0; i < count; i++) {
        const message = await channel.get(queue);
        const { messageCount, exchange, routingKey, redelivered } = message.fields;
        same([message.content.toString(), messageCount, exchange, routingKey, redelivered],
          [String(i), count - 1 - i, '', queue, false], 'get-ok');
        channel.ack(message);
      }
      same(await channel.get(queue), false, 'get from the empty queue');
    });
  },

  async properties() {
    const sent = {
      contentType: 'text/plain', contentEncoding: 'utf-8', deliveryMode: 2, priority: 7, correlationId: 'corr',
      replyTo: 'back', expiration: '60000', messageId: 'm-1', timestamp: 1700000000, type: 'kind', appId: 'interop',
      userId: 'guest',
      headers: { text: 'grüße', int: -5, big: 2 ** 40, yes: true, no: false, list: [1, 'two', [3]],
        table: { inner: { deep: 1 } }, none: null, real: 1.5 },
    };
    await withChannel(async (channel) => {
      const queue = await temporary(channel);
      channel.sendToQueue(queue, bytes('x'), sent);
      const { properties } = await get(channel, queue);
      for (const key of Object.keys(sent)) same(properties[key], sent[key], key);
    });
  },

  async confirm() {
    const { count } = expect('confirm');
    await connected(async (connection) => {
      const channel = await connection.createConfirmChannel();
      const queue = await temporary(channel);
      let confirmed = 0;
      for (let i = 0; i < count; i++) {
        channel.sendToQueue(queue, bytes(i), {}, (problem) => { if (!problem) confirmed++; });
      }
      channel.sendToQueue(unique('nowhere'), bytes('unroutable'), {}, (problem) => { if (!problem) confirmed++; });
      await channel.waitForConfirms();
      same(confirmed, count + 1, 'confirmed');
      same(await countOf(channel, queue), count, 'messages');
    });
  },

  async return_unroutable() {
    const { code, text } = expect('return_unroutable');
    await connected(async (connection) => {
      const channel = await connection.createConfirmChannel();
      const queue = await temporary(channel);
      const nowhere = unique('nowhere');
      const returned = [];
      channel.on('return', (message) => returned.push(message));
      channel.sendToQueue(queue, bytes('routable'), { mandatory: true });
      channel.sendToQueue(nowhere, bytes('back'), { mandatory: true });
      await channel.waitForConfirms();
      same(returned.length, 1, 'messages returned');
      const { replyCode, replyText, exchange, routingKey } = returned[0].fields;
      same([replyCode, replyText, exchange, routingKey, returned[0].content.toString()],
        [code, text, '', nowhere, 'back'], 'basic.return');
      same(await gotAll(channel, queue), ['routable'], 'routed');
    });
  },

  async nack_requeue() {
    await withChannel(async (channel) => {
      const queue = await temporary(channel);
      for (let i = 0; i < 3; i++) channel.sendToQueue(queue, bytes(i));
      const first = await get(channel, queue, false);
      same([first.content.toString(), first.fields.redelivered], ['0', false], 'first delivery');
      channel.nack(first, false, true);
      const again = await get(channel, queue);
      same([again.content.toString(), again.fields.redelivered], ['0', true], 'second delivery');
      const behind = await get(channel, queue);
      same([behind.content.toString(), behind.fields.redelivered], ['1', false], 'the message behind it');
    });
  },

  async nack_multiple() {
    await withChannel(async (channel) => {
      const queue = await temporary(channel);
      for (let i = 0; i < 6; i++) channel.sendToQueue(queue, bytes(i));
      const got = [];
      for (let i = 0; i < 6; i++) got.push(await get(channel, queue, false));
      channel.ack(got[1], true);
      channel.nack(got[3], true, true);
      await eventuallyCount(channel, queue, 2);
      for (const wanted of ['2', '3']) {
        const message = await get(channel, queue);
        same([message.content.toString(), message.fields.redelivered], [wanted, true], 'requeued');
      }
      channel.ackAll();
      await eventuallyCount(channel, queue, 0);
    });
  },

  async reject() {
    await withChannel(async (channel) => {
      const queue = await temporary(channel);
      channel.sendToQueue(queue, bytes('one'));
      channel.reject(await get(channel, queue, false), true);
      const again = await get(channel, queue, false);
      same(again.fields.redelivered, true, 'redelivered');
      channel.reject(again, false);
      same(await channel.get(queue), false, 'get after the drop');
    });
  },

  async recover() {
    await withChannel(async (channel) => {
      const queue = await temporary(channel);
      for (let i = 0; i < 3; i++) channel.sendToQueue(queue, bytes(i));
      for (let i = 0; i < 3; i++) await get(channel, queue, false);
      await channel.recover();
      for (let i = 0; i < 3; i++) {
        const message = await get(channel, queue);
        same([message.content.toString(), message.fields.redelivered], [String(i), true], 'recovered');
      }
    });
  },

  async requeue_on_close() {
    await withChannel(async (keeper) => {
      const { queue } = await keeper.assertQueue(unique('queue'), transient);
      await withChannel(async (channel) => {
        channel.sendToQueue(queue, bytes('kept'));
        await get(channel, queue, false);
      });
      const message = await get(keeper, queue);
      same([message.content.toString(), message.fields.redelivered], ['kept', true], 'after the close');
      await keeper.deleteQueue(queue);
    });
  },

  async qos_prefetch() {
    const { prefetch, count } = expect('qos_prefetch');
    await withChannel(async (channel) => {
      const queue = await temporary(channel);
      for (let i = 0; i < count; i++) channel.sendToQueue(queue, bytes(i));
      await channel.prefetch(prefetch);
      const found = [];
      await channel.consume(queue, (message) => { if (message) found.push(message); });
      await sleep(500);
      same(found.length, prefetch, 'delivered at first');
      channel.ack(found[0]);
      await sleep(500);
      same(found.length, prefetch + 1, 'delivered after one ack');
      channel.ack(found[found.length - 1], true);
      await sleep(500);
      same(found.length, 2 * prefetch + 1, 'delivered after all were acknowledged');
    });
  },

  async queue_priority() {
    const { highest, sent, sorted } = expect('queue_priority');
    await withChannel(async (channel) => {
      const queue = await temporary(channel, { maxPriority: highest });
      sent.forEach((priority, i) => channel.sendToQueue(queue, bytes(i), { priority }));
      await eventually(async () => (await channel.checkQueue(queue)).messageCount === sent.length, 'all messages');
      same(await gotAll(channel, queue), sorted.map(String), 'got');
    });
  },

  async error_queue_priority() {
    await refusedOnChannel('error_queue_priority', (channel) => temporary(channel, { maxPriority: 256 }));
  },

  async dead_letter() {
    for (const { reason, arguments: given } of expect('dead_letter').rows) {
      await withChannel(async (channel) => {
        const dead = await temporary(channel);
        const queue = await temporary(channel, { arguments: letters(dead, given) });
        for (let i = 0; i < (reason === 'maxlen' ? 2 : 1); i++) {
          channel.sendToQueue(queue, bytes('body'), { headers: { mine: 'stays' } });
        }
        if (reason === 'rejected') channel.nack(await get(channel, queue, false), false, false);
        const message = await get(channel, dead);
        const { headers } = message.properties;
        same(message.content.toString(), 'body', 'the letter');
        same(eventsOf(message), [[queue, reason, 1, '']], 'x-death');
        same(headers['x-death'][0]['routing-keys'], [queue], 'routing-keys');
        same(['mine', 'x-first-death-reason', 'x-first-death-queue', 'x-first-death-exchange'].map((key) => headers[key]),
          ['stays', reason, queue, ''], 'other headers');
      });
    }
  },

  async dead_letter_counts() {
    const { count } = expect('dead_letter_counts');
    await withChannel(async (channel) => {
      const [queue, waits] = [unique('queue'), unique('waits')];
      await channel.assertQueue(queue, { exclusive: true, arguments: letters(waits) });
      await channel.assertQueue(waits, { exclusive: true, arguments: letters(queue, { 'x-message-ttl': 20 }) });
      channel.sendToQueue(queue, bytes('body'));
      for (let i = 0; i < count; i++) channel.nack(await get(channel, queue, false), false, false);
      same(eventsOf(await get(channel, queue)), [[waits, 'expired', count, ''], [queue, 'rejected', count, '']], 'x-death');
    });
  },

  async dead_letter_circle() {
    await withChannel(async (channel) => {
      const [one, two] = [unique('one'), unique('two')];
      const ttl = { 'x-message-ttl': 20 };
      await channel.assertQueue(one, { exclusive: true, arguments: letters(two, ttl) });
      await channel.assertQueue(two, { exclusive: true, arguments: letters(one, ttl) });
      channel.sendToQueue(one, bytes('body'));
      await sleep(500);
      same([(await channel.checkQueue(one)).messageCount, (await channel.checkQueue(two)).messageCount], [0, 0], 'left');
    });
  },

  async error_dead_letter_key() {
    await refusedOnChannel('error_dead_letter_key', (channel) =>
      temporary(channel, { arguments: { 'x-dead-letter-routing-key': 'k' } }));
  },

  async error_dead_letter_type() {
    await refusedOnChannel('error_dead_letter_type', (channel) =>
      temporary(channel, { arguments: { 'x-dead-letter-exchange': 5 } }));
  },

  async direct_reply_to() {
    const { count } = expect('direct_reply_to');
    await withChannel(async (channel) => withChannel(async (server) => {
      const queue = await temporary(channel);
      const found = [];
      await channel.consume(REPLY_TO, (message) => found.push([message.properties.correlationId, message.content.toString()]),
        { noAck: true });
      for (let i = 0; i < count; i++) {
        channel.sendToQueue(queue, bytes(i), { replyTo: REPLY_TO, correlationId: String(i) });
        const message = await get(channel, queue);
        const { replyTo, correlationId } = message.properties;
        same(replyTo.startsWith(`${REPLY_TO}.`), true, `reply-to ${replyTo}`);
        server.sendToQueue(replyTo, bytes(`to ${message.content}`), { correlationId });
      }
      await sleep(500);
      same(found, Array.from({ length: count }, (_, i) => [String(i), `to ${i}`]), 'answers');
    }));
  },

  async error_reply_consumer_missing() {
    await refusedOnChannel('error_reply_consumer_missing', async (channel) => {
      channel.sendToQueue('q', bytes(''), { replyTo: REPLY_TO });
    });
  },

  async error_reply_consumer_acks() {
    await refusedOnChannel('error_reply_consumer_acks', async (channel) => {
      await channel.consume(REPLY_TO, () => {});
    });
  },

  async error_user_id() {
    await refusedOnChannel('error_user_id', async (channel) => {
      const queue = await temporary(channel);
      channel.sendToQueue(queue, bytes('mine'), { userId: 'guest' });
      same((await get(channel, queue)).content.toString(), 'mine', 'the own user-id');
      channel.sendToQueue(queue, bytes('not mine'), { userId: 'admin' });
    });
  },

  async consumer_priority() {
    const { prefetch, count } = expect('consumer_priority');
    await withChannel(async (channel) => {
      const queue = await temporary(channel);
      const found = [];
      for (const [consumerTag, priority] of [['low', -1], ['high', 10]]) {
        await channel.prefetch(consumerTag === 'high' ? prefetch : 0);
        await channel.consume(queue, (message) => found.push([consumerTag, message.content.toString()]),
          { consumerTag, priority });
      }
      for (let i = 0; i < count; i++) channel.sendToQueue(queue, bytes(i));
      await sleep(500);
      same(found.sort(), Array.from({ length: count }, (_, i) => [i < prefetch ? 'high' : 'low', String(i)]).sort(),
        'who got what');
    });
  },

  async error_consumer_priority() {
    await refusedOnChannel('error_consumer_priority', async (channel) => {
      await channel.consume(await temporary(channel), () => {}, { priority: 'high' });
    });
  },

  async single_active_consumer() {
    const { count } = expect('single_active_consumer');
    await withChannel(async (channel) => {
      const queue = await temporary(channel, { arguments: { 'x-single-active-consumer': true } });
      const found = [];
      for (const consumerTag of ['first', 'second']) {
        await channel.consume(queue, (message) => found.push([consumerTag, message.content.toString()]),
          { consumerTag, noAck: true });
      }
      for (let i = 0; i < count; i++) channel.sendToQueue(queue, bytes(i));
      await sleep(500);
      same(found, Array.from({ length: count }, (_, i) => ['first', String(i)]), 'the first one\'s');
      await channel.cancel('first');
      channel.sendToQueue(queue, bytes('next'));
      await sleep(500);
      same(found.slice(count), [['second', 'next']], 'the second one\'s');
    });
  },

  async error_single_active_exclusive() {
    await refusedOnChannel('error_single_active_exclusive', async (channel) => {
      const queue = await temporary(channel, { arguments: { 'x-single-active-consumer': true } });
      await channel.consume(queue, () => {}, { exclusive: true });
    });
  },

  // ---- exchanges ----

  async exchange_direct() {
    await withChannel(async (channel) => {
      const { exchange } = await channel.assertExchange(unique('exchange'), 'direct', { autoDelete: true, durable: false });
      const queues = {};
      for (const key of ['red', 'blue']) {
        queues[key] = await temporary(channel);
        await channel.bindQueue(queues[key], exchange, key);
      }
      for (const key of ['red', 'blue', 'green']) channel.publish(exchange, key, bytes(key));
      for (const key of ['red', 'blue']) same(await gotAll(channel, queues[key]), [key], key);
    });
  },

  async exchange_fanout() {
    await withChannel(async (channel) => {
      const { exchange } = await channel.assertExchange(unique('exchange'), 'fanout', { autoDelete: true, durable: false });
      const queues = [];
      for (let i = 0; i < 5; i++) {
        const queue = await temporary(channel);
        await channel.bindQueue(queue, exchange, 'ignored');
        await channel.bindQueue(queue, exchange, 'twice');
        queues.push(queue);
      }
      channel.publish(exchange, 'any', bytes('all'));
      for (const queue of queues) same(await gotAll(channel, queue), ['all'], queue);
    });
  },

  async exchange_topic() {
    await withChannel(async (channel) => {
      const { exchange } = await channel.assertExchange(unique('exchange'), 'topic', transient);
      for (const row of expect('exchange_topic').patterns) {
        const queue = await temporary(channel);
        await channel.bindQueue(queue, exchange, row.pattern);
        for (const key of [...row.match, ...row.miss]) channel.publish(exchange, key, bytes(key));
        same(await gotAll(channel, queue), row.match, row.pattern);
        await channel.unbindQueue(queue, exchange, row.pattern);
      }
      await channel.deleteExchange(exchange);
    });
  },

  async exchange_headers() {
    await withChannel(async (channel) => {
      const { exchange } = await channel.assertExchange(unique('exchange'), 'headers', { autoDelete: true, durable: false });
      const queues = {};
      for (const match of ['all', 'any']) {
        queues[match] = await temporary(channel);
        await channel.bindQueue(queues[match], exchange, '', { 'x-match': match, colour: 'red', size: 5 });
      }
      for (const [name, headers] of [['both', { colour: 'red', size: 5, more: 1 }], ['one', { colour: 'red' }],
        ['other', { colour: 'blue', size: 6 }], ['typed', { size: '5' }], ['none', {}]]) {
        channel.publish(exchange, '', bytes(name), { headers });
      }
      same(await gotAll(channel, queues.all), ['both'], 'x-match all');
      same(await gotAll(channel, queues.any), ['both', 'one'], 'x-match any');
    });
  },

  async exchange_predeclared() {
    await withChannel(async (channel) => {
      for (const [exchange, key, headers] of [['amq.direct', unique('key'), {}], ['amq.fanout', '', {}],
        ['amq.topic', `${unique('a')}.b`, {}], ['amq.headers', '', { 'x-match': 'all', id: unique('h') }],
        ['amq.match', '', { 'x-match': 'all', id: unique('h') }]]) {
        await channel.checkExchange(exchange);
        const queue = await temporary(channel);
        await channel.bindQueue(queue, exchange, key, headers);
        channel.publish(exchange, key, bytes('here'), { headers });
        same(await gotAll(channel, queue), ['here'], exchange);
        await channel.deleteQueue(queue);
      }
    });
  },

  async exchange_lifecycle() {
    await connected(async (connection) => {
      let channel = await channelOn(connection);
      const [exchange, automatic] = [unique('exchange'), unique('exchange')];
      await channel.assertExchange(exchange, 'direct', transient);
      await channel.checkExchange(exchange);
      const queue = await temporary(channel);
      await channel.bindQueue(queue, exchange, 'k');
      await refused('exchange_lifecycle', () => channel.deleteExchange(exchange, { ifUnused: true }));
      channel = await channelOn(connection);
      await channel.unbindQueue(queue, exchange, 'k');
      await channel.deleteExchange(exchange, { ifUnused: true });
      await channel.assertExchange(automatic, 'direct', { autoDelete: true, durable: false });
      await channel.bindQueue(queue, automatic, 'k');
      await channel.checkExchange(automatic);
      await channel.unbindQueue(queue, automatic, 'k');
      for (const gone of [exchange, automatic]) {
        closedBy = {};
        await channel.checkExchange(gone).catch(() => {});
        same(closedBy.code, 404, 'passive declare of the deleted exchange');
        channel = await channelOn(connection);
      }
    });
  },

  async alternate_exchange() {
    await connected(async (connection) => {
      const channel = await connection.createConfirmChannel();
      const names = [0, 1, 2].map(() => unique('exchange'));
      const queues = [];
      for (const [i, name] of names.entries()) {
        await channel.assertExchange(name, 'direct', { ...automatic, alternateExchange: names[(i + 1) % 3] });
        queues.push(await temporary(channel));
        await channel.bindQueue(queues[i], name, `k${i}`);
      }
      const returned = [];
      channel.on('return', (message) => returned.push(message.fields.exchange));
      for (let i = 0; i < 4; i++) channel.publish(names[0], `k${i}`, bytes(i), { mandatory: true });
      await channel.waitForConfirms();
      for (const [i, queue] of queues.entries()) same(await gotAll(channel, queue), [String(i)], 'through the chain');
      same(returned, [names[0]], 'what no exchange of the chain routes');
    });
  },

  async error_alternate_type() {
    await refusedOnChannel('error_alternate_type', (channel) => channel.assertExchange(unique('exchange'), 'direct',
      { ...automatic, arguments: { 'alternate-exchange': 5 } }));
  },

  async error_alternate_redeclare() {
    await refusedOnChannel('error_alternate_redeclare', async (channel) => {
      const exchange = unique('exchange');
      await channel.assertExchange(exchange, 'direct', { ...automatic, alternateExchange: 'a' });
      await channel.bindQueue(await temporary(channel), exchange, 'k');
      await channel.assertExchange(exchange, 'direct', { ...automatic, alternateExchange: 'b' });
    });
  },

  async exchange_bind() {
    await withChannel(async (channel) => {
      const [last, queue] = [unique('exchange'), await temporary(channel)];
      await channel.assertExchange(last, 'fanout', automatic);
      await channel.bindQueue(queue, last, '');
      for (const kind of ['direct', 'fanout', 'topic', 'headers']) {
        const [first, middle] = [unique('exchange'), unique('exchange')];
        for (const name of [first, middle]) await channel.assertExchange(name, kind, automatic);
        for (const [source, destination] of [[first, middle], [middle, last], [first, last], [middle, first]]) {
          await channel.bindExchange(destination, source, 'k');
        }
        channel.publish(first, 'k', bytes('once'));
        channel.publish(first, 'other', bytes('other'));
        same(await gotAll(channel, queue), ['fanout', 'headers'].includes(kind) ? ['once', 'other'] : ['once'], kind);
        await channel.unbindExchange(last, first, 'k');
        await channel.unbindExchange(last, middle, 'k');
        channel.publish(first, 'k', bytes('nowhere'));
        same(await gotAll(channel, queue), [], `after unbind, ${kind}`);
        await channel.deleteExchange(first);
      }
    });
  },

  async exchange_bind_lifecycle() {
    await connected(async (connection) => {
      let channel = await channelOn(connection);
      const [above, source, destination] = [0, 1, 2].map(() => unique('exchange'));
      for (const name of [above, source, destination]) await channel.assertExchange(name, 'fanout', automatic);
      await channel.bindExchange(source, above, '');
      await channel.bindExchange(destination, source, '');
      await refused('exchange_bind_lifecycle', () => channel.deleteExchange(source, { ifUnused: true }));
      channel = await channelOn(connection);
      await channel.deleteExchange(destination, { ifUnused: true });
      for (const gone of [above, source, destination]) {
        closedBy = {};
        await channel.checkExchange(gone).catch(() => {});
        same(closedBy.code, 404, 'passive declare of what went with its last binding');
        channel = await channelOn(connection);
      }
      for (const name of [source, destination]) await channel.assertExchange(name, 'fanout', automatic);
      await channel.bindExchange(destination, source, '');
      await channel.deleteExchange(source);
      await channel.checkExchange(destination);
      await channel.deleteExchange(destination);
    });
  },

  async error_exchange_bind_default() {
    await refusedOnChannel('error_exchange_bind_default', (channel) => channel.bindExchange('amq.direct', '', 'k'));
  },

  async error_exchange_bind_unknown() {
    await refusedOnChannel('error_exchange_bind_unknown',
      (channel) => channel.bindExchange(unique('none'), 'amq.direct', 'k'));
  },

  async exchange_internal() {
    await withChannel(async (channel) => {
      const [inner, outer, queue] = [unique('exchange'), unique('exchange'), await temporary(channel)];
      await channel.assertExchange(inner, 'fanout', { ...automatic, internal: true });
      await channel.assertExchange(outer, 'fanout', automatic);
      await channel.bindQueue(queue, inner, '');
      await channel.bindExchange(inner, outer, '');
      channel.publish(outer, '', bytes('in'));
      same(await gotAll(channel, queue), ['in'], 'through the other exchange');
      await refused('exchange_internal', () => channel.publish(inner, '', bytes('refused')));
    });
  },

  async sender_selected() {
    await withChannel(async (channel) => {
      const queues = [];
      for (let i = 0; i < 3; i++) queues.push(await temporary(channel));
      const [first, cc, bcc] = queues;
      channel.sendToQueue(first, bytes('all'), { CC: [cc, first], BCC: [bcc, 5], headers: { kept: 'yes' }, type: 't' });
      for (const queue of queues) {
        const { content, fields, properties } = await get(channel, queue);
        same([content.toString(), fields.routingKey, properties.headers.CC, properties.headers.kept, properties.type,
          'BCC' in properties.headers], ['all', first, [cc, first], 'yes', 't', false], 'a copy');
        same(await gotAll(channel, queue), [], 'no second copy');
      }
      for (const [queue, pattern] of [[first, 'a.*'], [cc, 'b.#']]) await channel.bindQueue(queue, 'amq.topic', pattern);
      channel.publish('amq.topic', 'none', bytes('topic'), { CC: ['a.x'], BCC: ['b.y.z'] });
      for (const queue of [first, cc]) {
        const { content, properties } = await get(channel, queue);
        same([content.toString(), properties.headers.CC, 'BCC' in properties.headers], ['topic', ['a.x'], false],
          'by patterns');
      }
    });
  },

  async error_cc_type() {
    await refusedOnChannel('error_cc_type',
      (channel) => channel.sendToQueue('q', bytes('refused'), { headers: { CC: 'no array' } }));
  },

  async consistent_hash() {
    const { weights, count } = expect('consistent_hash');
    await withChannel(async (channel) => {
      const [exchange, queues] = [unique('exchange'), []];
      await channel.assertExchange(exchange, 'x-consistent-hash', automatic);
      for (const weight of weights) {
        queues.push(await temporary(channel));
        await channel.bindQueue(queues[queues.length - 1], exchange, weight);
      }
      for (let i = 0; i < 2 * count; i++) channel.publish(exchange, `k${i >> 1}`, bytes(i >> 1));
      const found = [];
      for (const queue of queues) found.push(await gotAll(channel, queue));
      same(found.flat().length, 2 * count, 'messages');
      const every = (start) => found.map((f) => f.filter((_, i) => i % 2 === start));
      same(every(0), every(1), "the same key's");
      const sum = weights.reduce((n, weight) => n + Number(weight), 0);
      for (const [i, one] of found.entries()) {
        const share = (one.length / (2 * count)) * (sum / Number(weights[i]));
        check(share > 0.5 && share < 1.6, `share of weight ${weights[i]} is ${share} of what is fair`);
      }
    });
  },

  async error_hash_weight() {
    await refusedOnChannel('error_hash_weight', async (channel) => {
      const [exchange, queue] = [unique('exchange'), await temporary(channel)];
      await channel.assertExchange(exchange, 'x-consistent-hash', automatic);
      await channel.bindQueue(queue, exchange, '1');
      await channel.bindQueue(queue, exchange, 'heavy');
    });
  },

  // ---- queues ----

  async queue_server_named() {
    const { prefix } = expect('queue_server_named');
    await withChannel(async (channel) => {
      const names = new Set();
      for (let i = 0; i < 3; i++) names.add((await channel.assertQueue('', exclusive)).queue);
      same(names.size, 3, 'different names');
      for (const name of names) {
        check(name.startsWith(prefix), `name ${name}`);
        channel.sendToQueue(name, bytes(name));
        same(await gotAll(channel, name), [name], 'its message');
      }
    });
  },

  async queue_exclusive() {
    const queue = unique('queue');
    await withChannel((channel) => channel.assertQueue(queue, exclusive));
    await refusedOnChannel('queue_exclusive', (channel) => channel.checkQueue(queue));
  },

  async queue_exclusive_durable() {
    await withChannel(async (channel) => {
      const queue = await temporary(channel);
      channel.sendToQueue(queue, Buffer.from('kept'));
      await channel.assertQueue(queue, { exclusive: true, durable: true });
      same(await gotAll(channel, queue), ['kept'], 'its message');
    });
  },

  async queue_auto_delete() {
    await withChannel(async (channel) => {
      const { queue } = await channel.assertQueue(unique('queue'), { autoDelete: true, durable: false });
      const one = await channel.consume(queue, () => {});
      const two = await channel.consume(queue, () => {});
      await channel.cancel(one.consumerTag);
      same((await channel.checkQueue(queue)).consumerCount, 1, 'consumers');
      await channel.cancel(two.consumerTag);
      closedBy = {};
      await channel.checkQueue(queue).catch(() => {});
      same(closedBy.code, 404, 'code');
    });
  },

  async queue_passive() {
    await withChannel(async (channel) => {
      const queue = await temporary(channel);
      for (let i = 0; i < 3; i++) channel.sendToQueue(queue, bytes('x'));
      await eventuallyCount(channel, queue, 3);
      same({ ...(await channel.checkQueue(queue)) }, { queue, messageCount: 3, consumerCount: 0 }, 'declare-ok');
      await channel.prefetch(1);
      await channel.consume(queue, () => {});
      await eventually(async () => {
        const { messageCount, consumerCount } = await channel.checkQueue(queue);
        return messageCount === 2 && consumerCount === 1;
      }, '2 ready messages and 1 consumer');
    });
  },

  async queue_purge() {
    await withChannel(async (channel) => {
      const queue = await temporary(channel);
      for (let i = 0; i < 10; i++) channel.sendToQueue(queue, bytes('x'));
      const held = await get(channel, queue, false);
      await eventuallyCount(channel, queue, 9);
      same((await channel.purgeQueue(queue)).messageCount, 9, 'purged');
      same(await countOf(channel, queue), 0, 'left');
      channel.nack(held, false, true);
      await eventuallyCount(channel, queue, 1);
    });
  },

  async queue_unbind() {
    await withChannel(async (channel) => {
      const { exchange } = await channel.assertExchange(unique('exchange'), 'direct', transient);
      const queue = await temporary(channel);
      for (const key of ['a', 'b']) await channel.bindQueue(queue, exchange, key);
      await channel.unbindQueue(queue, exchange, 'a');
      for (const key of ['a', 'b']) channel.publish(exchange, key, bytes(key));
      same(await gotAll(channel, queue), ['b'], 'routed after unbind');
      await channel.deleteExchange(exchange);
    });
  },

  async queue_delete_if_unused() {
    await connected(async (connection) => {
      const [channel, other] = [await channelOn(connection), await channelOn(connection)];
      const queue = await temporary(channel);
      const { consumerTag } = await channel.consume(queue, () => {});
      await refused('queue_delete_if_unused', () => other.deleteQueue(queue, { ifUnused: true }));
      await channel.cancel(consumerTag);
      await channel.deleteQueue(queue, { ifUnused: true });
    });
  },

  async queue_delete_if_empty() {
    await connected(async (connection) => {
      const other = await channelOn(connection);
      const queue = await temporary(other);
      other.sendToQueue(queue, bytes('x'));
      await refused('queue_delete_if_empty', () => other.deleteQueue(queue, { ifEmpty: true }));
      const channel = await channelOn(connection);
      await channel.purgeQueue(queue);
      await channel.deleteQueue(queue, { ifEmpty: true });
    });
  },

  async consumer_cancel_notify() {
    await connected(async (connection) => {
      const [channel, other] = [await channelOn(connection), await channelOn(connection)];
      const queue = await temporary(channel);
      const found = [];
      await channel.consume(queue, (message) => found.push(message));
      await other.deleteQueue(queue);
      await eventually(() => found.length > 0, 'basic.cancel from the broker');
      same(found, [null], 'what the consumer got');
    });
  },

  // ---- what a queue may be told ----

  queue_ttl: () => ruleRows('queue_ttl'),

  message_ttl: () => ruleRows('message_ttl'),

  queue_limits: () => ruleRows('queue_limits'),

  queue_refuses: () => ruleRows('queue_refuses'),

  async queue_expires() {
    const { arguments: given, used_ms: usedMs, gone_ms: goneMs, code } = expect('queue_expires');
    await withChannel(async (channel) => {
      const { queue } = await channel.assertQueue(unique('queue'), { durable: false, arguments: given });
      const { consumerTag } = await channel.consume(queue, () => {});
      await sleep(usedMs);
      same(await countOf(channel, queue), 0, 'messages while it is used');
      await channel.cancel(consumerTag);
      channel.sendToQueue(queue, bytes('x'));
      await sleep(goneMs);
      closedBy = {};
      await channel.checkQueue(queue).catch(() => {});
      same(closedBy.code, code, 'code');
    });
  },

  async error_queue_argument() {
    const { wrong, first, second } = expect('error_queue_argument');
    for (const given of wrong)
      await refusedOnChannel('error_queue_argument', (channel) => temporary(channel, { arguments: given }));
    const queue = unique('queue');
    await refusedOnChannel('error_queue_argument', async (channel) => {
      for (const given of [first, first, second])
        await channel.assertQueue(queue, { ...exclusive, arguments: given });
    });
  },

  async error_expiration() {
    await refusedOnChannel('error_expiration', async (channel) => {
      channel.sendToQueue(await temporary(channel), bytes('x'), expect('error_expiration'));
      await temporary(channel);
    });
  },

  // ---- size and number ----

  async body_small() {
    const { sizes, around_frame } = expect('body_small');
    await withChannel(async (channel, connection) => {
      const payload = connection.connection.frameMax - 8;
      const around = [1, 2].flatMap((n) => around_frame.map((d) => n * payload + d));
      for (const [seed, size] of [...sizes, ...around].entries()) await roundTrip(channel, size, seed);
    });
  },

  body_1mib: () => withChannel((channel) => roundTrip(channel, expect('body_1mib').sizes[0], 1)),

  body_64mib: () => withChannel((channel) => roundTrip(channel, expect('body_64mib').sizes[0], 2)),

  async queues_10000() {
    await withChannel(async (channel) => {
      const names = [];
      const { count } = expect('queues_10000');
      while (names.length < count) {
        names.push(...await Promise.all(Array.from({ length: 100 }, () => temporary(channel))));
      }
      for (const name of [names[0], names[count - 1]]) {
        channel.sendToQueue(name, bytes(name));
        same(await gotAll(channel, name), [name], 'its message');
      }
    });
  },

  async connections_1000() {
    const { count } = expect('connections_1000');
    const connections = [];
    try {
      while (connections.length < count) {
        connections.push(...await Promise.all(Array.from({ length: 50 }, () => connect({ heartbeat: 0 }))));
      }
      await withChannel(async (keeper) => {
        const { queue } = await keeper.assertQueue(unique('queue'), transient);
        const channels = await Promise.all(connections.map(channelOn));
        channels.forEach((channel, i) => channel.sendToQueue(queue, bytes(i)));
        await eventuallyCount(keeper, queue, count);
        same(new Set(await gotAll(keeper, queue)).size, count, 'different bodies');
        await keeper.deleteQueue(queue);
      });
    } finally {
      await Promise.all(connections.map((connection) => connection.close().catch(() => {})));
    }
  },

  // ---- connections ----

  async killed_mid_frame() {
    await withChannel(async (keeper, connection) => {
      const shared = (await keeper.assertQueue(unique('queue'), transient)).queue;
      const owned = unique('queue');
      keeper.sendToQueue(shared, bytes('kept'));
      const holder = await child('hold_and_publish', shared, owned);
      await sleep(300);
      await end(holder);
      const message = await get(keeper, shared, true, 10000);
      same([message.content.toString(), message.fields.redelivered], ['kept', true], 'of the killed client');
      await eventually(() => isGone(connection, owned), 'its exclusive queue gone');
      await keeper.deleteQueue(shared);
    });
  },

  async heartbeat_kept() {
    const { interval_s, idle_s } = expect('heartbeat_kept');
    await withChannel(async (channel, connection) => {
      same(connection.connection.heartbeat, interval_s, 'interval agreed');
      const queue = await temporary(channel);
      // amqplib itself ends the connection when the broker is silent for two intervals.
      await sleep(idle_s * 1000);
      channel.sendToQueue(queue, bytes('alive'));
      same(await gotAll(channel, queue), ['alive'], 'after the idle time');
    }, { heartbeat: interval_s });
  },

  async heartbeat_client_stops() {
    const { interval_s, gone_s_max } = expect('heartbeat_client_stops');
    const owned = unique('queue');
    const holder = await child('hold', interval_s, owned);
    try {
      await connected(async (connection) => {
        check(!(await isGone(connection, owned)), 'the queue is not there');
        holder.kill('SIGSTOP');
        await eventually(() => isGone(connection, owned), 'the broker closed the silent connection',
          gone_s_max * 1000, 100);
      });
    } finally {
      await end(holder);
    }
  },

  async channels() {
    await connected(async (connection) => {
      const { count } = expect('channels');
      const opened = await Promise.all(Array.from({ length: count }, () => channelOn(connection)));
      same(new Set(opened.map((channel) => channel.ch)).size, count, 'channel numbers');
      const queue = await temporary(opened[0]);
      opened.forEach((channel, i) => channel.sendToQueue(queue, bytes(i)));
      await Promise.all(opened.filter((_, i) => i % 2).map((channel) => channel.close()));
      const left = opened.filter((_, i) => i % 2 === 0);
      left.forEach((channel, i) => channel.sendToQueue(queue, bytes(`again ${i}`)));
      await eventuallyCount(opened[0], queue, count + left.length);
    });
  },

  async channel_reuse() {
    await connected(async (connection) => {
      const [other, failing] = [await channelOn(connection), await channelOn(connection)];
      const queue = await temporary(other);
      await refused('channel_reuse', () => failing.checkQueue(unique('nowhere')));
      other.sendToQueue(queue, bytes('other'));
      const again = await channelOn(connection);
      same(again.ch, failing.ch, 'channel number');
      again.sendToQueue(queue, bytes('again'));
      await eventuallyCount(other, queue, 2);
      same((await gotAll(again, queue)).sort(), ['again', 'other'], 'messages');
    });
  },

  async negotiate_frame_max() {
    const wanted = expect('negotiate_frame_max');
    await withChannel(async (channel, connection) => {
      same(connection.connection.frameMax, wanted.frame_max, 'frame-max agreed');
      await roundTrip(channel, wanted.size, 3);
    }, { frameMax: wanted.frame_max });
  },

  async negotiate_channel_max() {
    const wanted = expect('negotiate_channel_max').channel_max;
    await connected(async (connection) => {
      same(connection.connection.channelMax, wanted, 'channel-max agreed');
      const opened = [];
      for (let i = 0; i < wanted; i++) opened.push(await channelOn(connection));
      const queue = await temporary(opened[0]);
      opened[wanted - 1].sendToQueue(queue, bytes('x'));
      await eventuallyCount(opened[0], queue, 1);
    }, { channelMax: wanted });
  },

  // ---- refusals ----

  error_login: () => refused('error_login', () => connect({ password: 'wrong' })),
  error_vhost: () => refused('error_vhost', () => connect({ vhost: 'nowhere' })),
  error_queue_unknown: () => refusedOnChannel('error_queue_unknown', (c) => c.checkQueue(unique('nowhere'))),
  error_get_unknown: () => refusedOnChannel('error_get_unknown', (c) => c.get(unique('nowhere'))),
  error_consume_unknown: () =>
    refusedOnChannel('error_consume_unknown', (c) => c.consume(unique('nowhere'), () => {})),
  error_publish_unknown: () =>
    refusedOnChannel('error_publish_unknown', (c) => c.publish(unique('nowhere'), '', bytes('x'))),
  error_bind_unknown: () => refusedOnChannel('error_bind_unknown',
    async (c) => c.bindQueue(await temporary(c), unique('nowhere'), 'k')),

  async error_queue_redeclare() {
    const queue = unique('queue');
    await refusedOnChannel('error_queue_redeclare', async (channel) => {
      await channel.assertQueue(queue, { durable: false });
      await channel.assertQueue(queue, { durable: true });
    });
    await withChannel((channel) => channel.deleteQueue(queue));
  },

  async error_exchange_redeclare() {
    const exchange = unique('exchange');
    await refusedOnChannel('error_exchange_redeclare', async (channel) => {
      await channel.assertExchange(exchange, 'direct', transient);
      await channel.assertExchange(exchange, 'fanout', transient);
    });
    await withChannel((channel) => channel.deleteExchange(exchange));
  },

  error_delivery_tag: () =>
    refusedOnChannel('error_delivery_tag', (c) => c.ack({ fields: { deliveryTag: 7 } })),
  error_queue_reserved: () =>
    refusedOnChannel('error_queue_reserved', (c) => c.assertQueue(`amq.${unique('queue')}`)),
  error_exchange_reserved: () =>
    refusedOnChannel('error_exchange_reserved', (c) => c.assertExchange(`amq.${unique('exchange')}`, 'direct')),

  async error_consume_exclusive() {
    await connected(async (connection) => {
      const [channel, other] = [await channelOn(connection), await channelOn(connection)];
      const queue = await temporary(channel);
      await channel.consume(queue, () => {}, { exclusive: true });
      await refused('error_consume_exclusive', () => other.consume(queue, () => {}));
    });
  },

  async error_queue_locked() {
    await withChannel(async (channel) => {
      const queue = await temporary(channel);
      await refusedOnChannel('error_queue_locked', (other) => other.assertQueue(queue, exclusive));
    });
  },

  error_consumer_tag: () => refusedOnChannel('error_consumer_tag', async (channel) => {
    const queue = await temporary(channel);
    await channel.consume(queue, () => {}, { consumerTag: 'twice' });
    await channel.consume(queue, () => {}, { consumerTag: 'twice' });
  }),

  error_exchange_type: () =>
    refusedOnChannel('error_exchange_type', (c) => c.assertExchange(unique('exchange'), 'nonesuch')),

  blocked: () => withChannel(async (channel, connection) => {
    const { count, reason } = expect('blocked');
    const told = [];
    connection.on('blocked', (why) => told.push(why));
    connection.on('unblocked', () => told.push('unblocked'));
    const queue = await temporary(channel);
    const numbers = [...Array(count).keys()].map(String);
    for (const number of numbers) channel.sendToQueue(queue, bytes(number));
    await eventually(() => told.length >= 1, 'connection.blocked', 20000);
    same(told, [reason], 'the reason');
    console.log('# blocked');
    await eventually(() => told.length >= 2, 'connection.unblocked', 60000);
    same(told.slice(1), ['unblocked'], 'said afterwards');
    await eventuallyCount(channel, queue, count);
    same(await gotAll(channel, queue), numbers, 'messages');
  }),

  shutdown: () => refusedOnChannel('shutdown', () => {
    console.log('# waiting');
    return sleep(60000);
  }),
};

async function roundTrip(channel, size, seed) {
  const queue = await temporary(channel);
  const body = bodyOf(size, seed);
  channel.sendToQueue(queue, body);
  let found = null;
  const { consumerTag } = await channel.consume(queue, (message) => { found = message; });
  await eventually(() => found !== null, `the body of ${size} bytes`, 60000, 2);
  same([found.content.length, digest(found.content)], [size, digest(body)], `body of ${size} bytes`);
  channel.ack(found);
  await channel.cancel(consumerTag);
  await channel.deleteQueue(queue);
}

// True when the exclusive queue of another connection is no more; false while it is locked.
async function isGone(connection, queue) {
  const channel = await channelOn(connection);
  closedBy = {};
  await channel.checkQueue(queue).catch(() => {});
  check(closedBy.code === 404 || closedBy.code === 405, `code ${closedBy.code}`);
  return closedBy.code === 404;
}

const roles = {
  async hold_and_publish(shared, owned) {
    const channel = await channelOn(await connect());
    await channel.assertQueue(owned, exclusive);
    await get(channel, shared, false);
    there();
    const body = bodyOf(expect('killed_mid_frame').size, 1);
    for (;;) {
      channel.sendToQueue(owned, body);
      await sleep(50);
    }
  },

  async hold(interval, owned) {
    const channel = await channelOn(await connect({ heartbeat: Number(interval) }));
    await channel.assertQueue(owned, exclusive);
    there();
    await sleep(3600000);
  },
};

main(scenarios, roles);
