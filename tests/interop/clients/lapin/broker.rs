// SPDX-License-Identifier: Apache-2.0
//! What the scenarios ask of a connection and a channel.
use crate::harness::{check, eventually, expect, number, same, text, unique, PATIENCE};
use futures_lite::future::block_on;
use futures_lite::StreamExt;
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Error, ExchangeKind, Queue};
use serde_json::Value;
use std::cell::RefCell;
use std::future::Future;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::thread;

pub fn must<T>(future: impl Future<Output = lapin::Result<T>>) -> T {
    block_on(future).unwrap_or_else(|problem| panic!("{}", problem))
}

/// query: what the URI asks for, as heartbeat=1.
pub fn dial(password: &str, vhost: &str, query: &str) -> lapin::Result<Connection> {
    let variable = |name| std::env::var(name).expect("an address");
    let (host, port) = (variable("AMQP_HOST"), variable("AMQP_PORT"));
    let uri = format!("amqp://guest:{}@{}:{}/{}?{}", password, host, port, vhost, query);
    block_on(Connection::connect(&uri, ConnectionProperties::default()))
}

/// A connection and its channels: one that is dropped is closed by lapin, at some time, beside the connection.
pub struct Link {
    connection: Connection,
    channels: RefCell<Vec<Channel>>,
}

impl Deref for Link {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Link {
    pub fn close(&self) {
        if self.status().connected() {
            must(self.connection.close(200, ""));
        }
    }
}

pub fn connect(query: &str) -> Link {
    let connection = dial("guest", "%2f", query).unwrap_or_else(|problem| panic!("{}", problem));
    Link { connection, channels: RefCell::default() }
}

pub fn connected_with(query: &str, does: impl FnOnce(&Link)) {
    let link = connect(query);
    does(&link);
    link.close();
}

pub fn connected(does: impl FnOnce(&Link)) {
    connected_with("heartbeat=60", does);
}

pub fn channel_of(link: &Link) -> Channel {
    let channel = must(link.create_channel());
    link.channels.borrow_mut().push(channel.clone());
    channel
}

pub fn with_channel(does: impl FnOnce(&Channel)) {
    connected(|link| does(&channel_of(link)));
}

// ---- tables ----

pub fn long(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

pub fn int(number: i32) -> AMQPValue {
    AMQPValue::LongInt(number)
}

pub fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

/// A table of the list.
pub fn table_of(listed: &Value) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in listed.as_object().into_iter().flatten() {
        let value = match value.as_i64() {
            Some(number) => AMQPValue::LongLongInt(number),
            None => long(text(value)),
        };
        table.insert(name.as_str().into(), value);
    }
    table
}

/// A text of a table, or nothing.
pub fn text_in(table: &FieldTable, key: &str) -> String {
    match table.inner().get(key) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        _ => String::new(),
    }
}

// ---- queues and exchanges ----

pub fn declare(channel: &Channel, name: &str, arguments: FieldTable) -> Queue {
    must(channel.queue_declare(name, exclusive(), arguments))
}

pub fn exclusive() -> QueueDeclareOptions {
    QueueDeclareOptions { exclusive: true, ..Default::default() }
}

pub fn temporary_with(channel: &Channel, arguments: FieldTable) -> String {
    let name = unique("queue");
    declare(channel, &name, arguments);
    name
}

pub fn temporary(channel: &Channel) -> String {
    temporary_with(channel, FieldTable::default())
}

/// A queue that other connections may use.
pub fn shared(channel: &Channel) -> String {
    let name = unique("queue");
    must(channel.queue_declare(&name, QueueDeclareOptions::default(), FieldTable::default()));
    name
}

pub fn passive(channel: &Channel, queue: &str) -> lapin::Result<Queue> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    block_on(channel.queue_declare(queue, options, FieldTable::default()))
}

/// (messages, consumers)
pub fn inspect(channel: &Channel, queue: &str) -> (u32, u32) {
    let found = passive(channel, queue).unwrap_or_else(|problem| panic!("{}", problem));
    (found.message_count(), found.consumer_count())
}

pub fn eventually_count(channel: &Channel, queue: &str, wanted: usize) {
    let what = format!("{} messages in the queue", wanted);
    eventually(&what, PATIENCE, || inspect(channel, queue).0 as usize == wanted);
}

pub fn delete(channel: &Channel, queue: &str) {
    must(channel.queue_delete(queue, QueueDeleteOptions::default()));
}

pub fn try_bind(channel: &Channel, queue: &str, key: &str, exchange: &str, arguments: FieldTable) -> lapin::Result<()> {
    block_on(channel.queue_bind(queue, exchange, key, QueueBindOptions::default(), arguments))
}

pub fn bind(channel: &Channel, queue: &str, key: &str, exchange: &str) {
    try_bind(channel, queue, key, exchange, FieldTable::default()).unwrap_or_else(|problem| panic!("{}", problem));
}

pub fn unbind(channel: &Channel, queue: &str, key: &str, exchange: &str) {
    must(channel.queue_unbind(queue, exchange, key, FieldTable::default()));
}

pub fn kind_of(kind: &str) -> ExchangeKind {
    match kind {
        "direct" => ExchangeKind::Direct,
        "fanout" => ExchangeKind::Fanout,
        "topic" => ExchangeKind::Topic,
        "headers" => ExchangeKind::Headers,
        other => ExchangeKind::Custom(other.into()),
    }
}

pub fn automatic() -> ExchangeDeclareOptions {
    ExchangeDeclareOptions { auto_delete: true, ..Default::default() }
}

pub fn try_exchange(
    channel: &Channel, name: &str, kind: &str, options: ExchangeDeclareOptions, arguments: FieldTable,
) -> lapin::Result<()> {
    block_on(channel.exchange_declare(name, kind_of(kind), options, arguments))
}

pub fn exchange_named(channel: &Channel, name: &str, kind: &str, arguments: FieldTable) {
    try_exchange(channel, name, kind, automatic(), arguments).unwrap_or_else(|problem| panic!("{}", problem));
}

pub fn exchange_of(channel: &Channel, kind: &str) -> String {
    let name = unique("exchange");
    exchange_named(channel, &name, kind, FieldTable::default());
    name
}

pub fn exchange_passive(channel: &Channel, name: &str, kind: &str) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { passive: true, ..Default::default() };
    try_exchange(channel, name, kind, options, FieldTable::default())
}

// ---- messages ----

pub fn properties() -> BasicProperties {
    BasicProperties::default()
}

/// What becomes of it in confirm mode; None outside of it.
pub fn confirm_of(
    channel: &Channel, exchange: &str, key: &str, mandatory: bool, about: BasicProperties, body: &[u8],
) -> lapin::publisher_confirm::Confirmation {
    let options = BasicPublishOptions { mandatory, ..Default::default() };
    must(must(channel.basic_publish(exchange, key, options, body, about)))
}

pub fn send(channel: &Channel, exchange: &str, key: &str, mandatory: bool, about: BasicProperties, body: &[u8]) {
    let options = BasicPublishOptions { mandatory, ..Default::default() };
    must(channel.basic_publish(exchange, key, options, body, about));
}

pub fn publish(channel: &Channel, exchange: &str, key: &str, body: &str) {
    send(channel, exchange, key, false, properties(), body.as_bytes());
}

pub fn publish_numbers(channel: &Channel, queue: &str, count: usize) {
    for i in 0..count {
        publish(channel, "", queue, &i.to_string());
    }
}

pub fn confirming(channel: &Channel) {
    must(channel.confirm_select(ConfirmSelectOptions::default()));
}

pub fn body(message: &Delivery) -> String {
    String::from_utf8(message.data.clone()).expect("UTF-8")
}

fn get_now(channel: &Channel, queue: &str, no_ack: bool) -> Option<BasicGetMessage> {
    must(channel.basic_get(queue, BasicGetOptions { no_ack }))
}

pub fn get(channel: &Channel, queue: &str, no_ack: bool) -> BasicGetMessage {
    let mut found = None;
    eventually("a message", 2 * PATIENCE, || {
        found = get_now(channel, queue, no_ack);
        found.is_some()
    });
    found.expect("a message")
}

/// Body and redelivered flag of the next message.
pub fn get_is(channel: &Channel, queue: &str, wanted: &str, redelivered: bool, what: &str) {
    let found = get(channel, queue, true).delivery;
    same((body(&found), found.redelivered), (wanted.to_string(), redelivered), what);
}

pub fn got_all(channel: &Channel, queue: &str) -> Vec<String> {
    std::iter::from_fn(|| get_now(channel, queue, true)).map(|found| body(&found.delivery)).collect()
}

pub fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

pub fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

pub fn ack(channel: &Channel, tag: u64, multiple: bool) {
    must(channel.basic_ack(tag, BasicAckOptions { multiple }));
}

pub fn nack(channel: &Channel, tag: u64, multiple: bool, requeue: bool) {
    must(channel.basic_nack(tag, BasicNackOptions { multiple, requeue }));
}

pub fn reject(channel: &Channel, tag: u64, requeue: bool) {
    must(channel.basic_reject(tag, BasicRejectOptions { requeue }));
}

pub fn qos(channel: &Channel, count: u16) {
    must(channel.basic_qos(count, BasicQosOptions::default()));
}

pub fn cancel(channel: &Channel, tag: &str) {
    must(channel.basic_cancel(tag, BasicCancelOptions::default()));
}

/// What consumers were given: (tag, message). A thread reads each until it ends.
#[derive(Clone, Default)]
pub struct Arrivals {
    found: Arc<Mutex<Vec<(String, Delivery)>>>,
    ended: Arc<Mutex<Vec<String>>>,
}

impl Arrivals {
    pub fn consume_with(
        &self, channel: &Channel, queue: &str, tag: &str, options: BasicConsumeOptions, arguments: FieldTable,
    ) -> lapin::Result<()> {
        let mut consumer = block_on(channel.basic_consume(queue, tag, options, arguments))?;
        let (into, tag) = (self.clone(), tag.to_string());
        thread::spawn(move || {
            while let Some(Ok(one)) = block_on(consumer.next()) {
                into.found.lock().expect("a lock").push((tag.clone(), one));
            }
            into.ended.lock().expect("a lock").push(tag);
        });
        Ok(())
    }

    pub fn consume(&self, channel: &Channel, queue: &str, tag: &str, no_ack: bool, arguments: FieldTable) {
        let options = BasicConsumeOptions { no_ack, ..Default::default() };
        self.consume_with(channel, queue, tag, options, arguments).unwrap_or_else(|problem| panic!("{}", problem));
    }

    pub fn count(&self) -> usize {
        self.found.lock().expect("a lock").len()
    }

    pub fn ended(&self) -> Vec<String> {
        self.ended.lock().expect("a lock").clone()
    }

    pub fn wait(&self, count: usize, what: &str) {
        eventually(what, 12 * PATIENCE, || self.count() >= count);
    }

    pub fn each<T>(&self, does: impl Fn(&str, &Delivery) -> T) -> Vec<T> {
        self.found.lock().expect("a lock").iter().map(|(tag, one)| does(tag, one)).collect()
    }

    /// Tag and body of each.
    pub fn texts(&self) -> Vec<String> {
        self.each(|tag, one| format!("{} {}", tag, body(one)))
    }

    pub fn tags(&self) -> Vec<u64> {
        self.each(|_, one| one.delivery_tag)
    }
}

/// Consumes without looking at what comes.
pub fn consume_only(channel: &Channel, queue: &str, tag: &str, exclusive: bool) -> lapin::Result<()> {
    let options = BasicConsumeOptions { exclusive, ..Default::default() };
    Arrivals::default().consume_with(channel, queue, tag, options, FieldTable::default())
}

pub fn consumes(channel: &Channel, queue: &str, tag: &str) {
    consume_only(channel, queue, tag, false).unwrap_or_else(|problem| panic!("{}", problem));
}

// ---- refusals ----

fn code_of(problem: &Error) -> Option<u16> {
    match problem {
        Error::ProtocolError(problem) => Some(problem.get_id()),
        _ => None,
    }
}

pub fn is_missing<T>(answer: lapin::Result<T>) -> bool {
    answer.err().as_ref().and_then(code_of) == Some(404)
}

/// The connection is refused with the list's code.
pub fn refused_door(name: &str, answer: lapin::Result<Connection>) {
    let wanted = expect(name);
    same(text(&wanted["level"]), "connection", "level");
    same(answer.err().as_ref().and_then(code_of), Some(number(&wanted["code"]) as u16), "code");
}

/// Runs the action: the broker closes what the list says, with its code. lapin tells no more: the ids of the
/// method that failed it keeps to itself.
pub fn refused<T>(
    name: &str, link: &Link, channel: &Channel, action: impl FnOnce(&Channel) -> lapin::Result<T>,
) {
    let wanted = expect(name);
    let said = Arc::new(Mutex::new(None));
    let heard = said.clone();
    channel.on_error(move |problem| {
        let mut said = heard.lock().expect("a lock");
        *said = said.take().or_else(|| code_of(&problem));
    });
    let answer = action(channel).err().as_ref().and_then(code_of);
    eventually("an exception", 12 * PATIENCE, || answer.is_some() || said.lock().expect("a lock").is_some());
    let code = answer.or(*said.lock().expect("a lock"));
    same(code, Some(number(&wanted["code"]) as u16), "code");
    eventually("the end of the channel", PATIENCE, || !channel.status().connected());
    let level = if link.status().connected() { "channel" } else { "connection" };
    same(level, text(&wanted["level"]), "level");
}

pub fn refused_on_channel<T>(name: &str, action: impl FnOnce(&Channel) -> lapin::Result<T>) {
    connected(|link| refused(name, link, &channel_of(link), action));
}
