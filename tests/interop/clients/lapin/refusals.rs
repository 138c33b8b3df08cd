// SPDX-License-Identifier: Apache-2.0
use crate::broker::*;
use crate::harness::{unique, Scenarios};
use futures_lite::future::block_on;
use lapin::options::*;
use lapin::types::FieldTable;
use lapin::Channel;

fn refusal<T>(all: &mut Scenarios, name: &'static str, action: impl Fn(&Channel) -> lapin::Result<T> + 'static) {
    all.add(name, move || refused_on_channel(name, &action));
}

pub fn add(all: &mut Scenarios) {
    all.add("error_login", || refused_door("error_login", dial("wrong", "%2f", "")));
    all.add("error_vhost", || refused_door("error_vhost", dial("guest", "nowhere", "")));
    refusal(all, "error_queue_unknown", |channel| passive(channel, &unique("nowhere")));
    refusal(all, "error_get_unknown", |channel| {
        block_on(channel.basic_get(&unique("nowhere"), BasicGetOptions { no_ack: true }))
    });
    refusal(all, "error_consume_unknown", |channel| consume_only(channel, &unique("nowhere"), "c", false));
    refusal(all, "error_publish_unknown", |channel| {
        publish(channel, &unique("nowhere"), "", "x");
        Ok(())
    });
    refusal(all, "error_bind_unknown", |channel| {
        try_bind(channel, &temporary(channel), "k", &unique("nowhere"), FieldTable::default())
    });
    refusal(all, "error_delivery_tag", |channel| block_on(channel.basic_ack(7, BasicAckOptions::default())));
    refusal(all, "error_queue_reserved", |channel| {
        block_on(channel.queue_declare(&format!("amq.{}", unique("queue")), exclusive(), FieldTable::default()))
    });
    refusal(all, "error_exchange_reserved", |channel| {
        let name = format!("amq.{}", unique("exchange"));
        try_exchange(channel, &name, "direct", automatic(), FieldTable::default())
    });
    refusal(all, "error_exchange_type", |channel| {
        try_exchange(channel, &unique("exchange"), "nonesuch", automatic(), FieldTable::default())
    });
    refusal(all, "error_consumer_tag", |channel| {
        let queue = temporary(channel);
        consumes(channel, &queue, "twice");
        consume_only(channel, &queue, "twice", false)
    });
    refusal(all, "error_exchange_redeclare", |channel| {
        let exchange = exchange_of(channel, "direct");
        bind(channel, &temporary(channel), "k", &exchange);
        try_exchange(channel, &exchange, "fanout", automatic(), FieldTable::default())
    });
    all.add("error_queue_redeclare", || {
        with_channel(|keeper| {
            let queue = shared(keeper);
            refused_on_channel("error_queue_redeclare", |channel| {
                let options = QueueDeclareOptions { durable: true, ..Default::default() };
                block_on(channel.queue_declare(&queue, options, FieldTable::default()))
            });
            delete(keeper, &queue);
        })
    });
    all.add("error_consume_exclusive", || {
        connected(|link| {
            let (channel, other) = (channel_of(link), channel_of(link));
            let queue = temporary(&channel);
            consume_only(&channel, &queue, "c", true).expect("consume-ok");
            refused("error_consume_exclusive", link, &other, |other| consume_only(other, &queue, "d", false));
        })
    });
    all.add("error_queue_locked", || {
        with_channel(|channel| {
            let queue = temporary(channel);
            refused_on_channel("error_queue_locked", |other| {
                block_on(other.queue_declare(&queue, exclusive(), FieldTable::default()))
            });
        })
    });
}
