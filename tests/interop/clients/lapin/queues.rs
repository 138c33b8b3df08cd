// SPDX-License-Identifier: Apache-2.0
use crate::broker::*;
use crate::harness::{check, eventually, expect, list, number, pause_ms, same, strings, text, unique, Scenarios};
use crate::harness::PATIENCE;
use futures_lite::future::block_on;
use lapin::options::*;
use lapin::types::FieldTable;
use lapin::Channel;
use serde_json::Value;
use std::collections::HashSet;

pub fn add(all: &mut Scenarios) {
    add_kinds(all);
    add_counts(all);
    add_deletes(all);
    add_rules(all);
}

fn add_kinds(all: &mut Scenarios) {
    all.add("queue_server_named", || {
        let prefix = expect("queue_server_named");
        with_channel(|channel| {
            let name = |_| declare(channel, "", FieldTable::default()).name().to_string();
            let names: HashSet<_> = (0..3).map(name).collect();
            same(names.len(), 3, "different names");
            for name in &names {
                check(name.starts_with(text(&prefix["prefix"])), name);
                publish(channel, "", name, name);
                same(got_all(channel, name), [name.clone()], "its message");
            }
        })
    });
    all.add("queue_exclusive", || {
        let mut queue = String::new();
        with_channel(|channel| queue = temporary(channel));
        refused_on_channel("queue_exclusive", |channel| passive(channel, &queue));
    });
    all.add("queue_exclusive_durable", || {
        with_channel(|channel| {
            let queue = temporary(channel);
            publish(channel, "", &queue, "kept");
            let options = QueueDeclareOptions { durable: true, ..exclusive() };
            must(channel.queue_declare(&queue, options, FieldTable::default()));
            same(got_all(channel, &queue), ["kept"], "its message");
        })
    });
    all.add("queue_auto_delete", || {
        with_channel(|channel| {
            let queue = unique("queue");
            let options = QueueDeclareOptions { auto_delete: true, ..Default::default() };
            must(channel.queue_declare(&queue, options, FieldTable::default()));
            consumes(channel, &queue, "one");
            consumes(channel, &queue, "two");
            cancel(channel, "one");
            same(inspect(channel, &queue).1, 1, "consumers");
            cancel(channel, "two");
            check(is_missing(passive(channel, &queue)), "the queue is still there");
        })
    });
}

fn add_counts(all: &mut Scenarios) {
    all.add("queue_passive", || {
        with_channel(|channel| {
            let queue = temporary(channel);
            publish_numbers(channel, &queue, 3);
            eventually_count(channel, &queue, 3);
            same(inspect(channel, &queue), (3, 0), "declare-ok");
            qos(channel, 1);
            consumes(channel, &queue, "c");
            eventually("2 ready messages and 1 consumer", PATIENCE, || inspect(channel, &queue) == (2, 1));
        })
    });
    all.add("queue_purge", || {
        with_channel(|channel| {
            let queue = temporary(channel);
            publish_numbers(channel, &queue, 10);
            let held = get(channel, &queue, false).delivery.delivery_tag;
            eventually_count(channel, &queue, 9);
            let purged = must(channel.queue_purge(&queue, QueuePurgeOptions::default()));
            same((purged, inspect(channel, &queue).0), (9, 0), "purged and left");
            nack(channel, held, false, true);
            eventually_count(channel, &queue, 1);
        })
    });
    all.add("queue_unbind", || {
        with_channel(|channel| {
            let (exchange, queue) = (exchange_of(channel, "direct"), temporary(channel));
            bind(channel, &queue, "a", &exchange);
            bind(channel, &queue, "b", &exchange);
            unbind(channel, &queue, "a", &exchange);
            publish(channel, &exchange, "a", "a");
            publish(channel, &exchange, "b", "b");
            same(got_all(channel, &queue), ["b"], "routed after unbind");
        })
    });
}

fn add_deletes(all: &mut Scenarios) {
    let unused = QueueDeleteOptions { if_unused: true, ..Default::default() };
    let empty = QueueDeleteOptions { if_empty: true, ..Default::default() };
    all.add("queue_delete_if_unused", move || {
        connected(|link| {
            let (channel, other) = (channel_of(link), channel_of(link));
            let queue = temporary(&channel);
            consumes(&channel, &queue, "c");
            refused("queue_delete_if_unused", link, &other, |other| {
                block_on(other.queue_delete(&queue, unused))
            });
            cancel(&channel, "c");
            must(channel.queue_delete(&queue, unused));
        })
    });
    all.add("queue_delete_if_empty", move || {
        connected(|link| {
            let (channel, other) = (channel_of(link), channel_of(link));
            let queue = temporary(&channel);
            publish(&channel, "", &queue, "x");
            eventually_count(&channel, &queue, 1);
            refused("queue_delete_if_empty", link, &other, |other| block_on(other.queue_delete(&queue, empty)));
            get_is(&channel, &queue, "x", false, "the message");
            must(channel.queue_delete(&queue, empty));
        })
    });
    all.add("consumer_cancel_notify", || {
        connected(|link| {
            let (channel, other) = (channel_of(link), channel_of(link));
            let (queue, found) = (temporary(&channel), Arrivals::default());
            found.consume(&channel, &queue, "mine", false, FieldTable::default());
            delete(&other, &queue);
            eventually("its consumer ended", PATIENCE, || found.ended() == ["mine"]);
            check(channel.status().connected(), "the channel is closed");
        })
    });
}

// ---- what a queue may be told ----

fn rule(channel: &Channel, row: &Value) {
    let queue = temporary_with(channel, table_of(&row["arguments"]));
    let confirms = strings(&row["confirms"]);
    if !confirms.is_empty() {
        confirming(channel);
    }
    for (i, message) in list(&row["publish"]).iter().enumerate() {
        let about = match message["expiration"].as_str() {
            Some(expiration) => properties().with_expiration(expiration.into()),
            None => properties(),
        };
        let confirm = confirm_of(channel, "", &queue, false, about, text(&message["body"]).as_bytes());
        if let Some(wanted) = confirms.get(i) {
            let found = if confirm.is_ack() { "ack" } else { "nack" };
            same(found, wanted.as_str(), "confirm");
        }
    }
    for _ in 0..row["reject"].as_u64().unwrap_or(0) {
        reject(channel, get(channel, &queue, false).delivery.delivery_tag, false);
    }
    pause_ms(row["wait_ms"].as_u64().unwrap_or(0));
    same(got_all(channel, &queue), strings(&row["left"]), &format!("left of {}", row["publish"]));
}

fn add_rules(all: &mut Scenarios) {
    for name in ["queue_ttl", "message_ttl", "queue_limits", "queue_refuses"] {
        all.add(name, move || {
            let wanted = expect(name);
            check(!list(&wanted["rows"]).is_empty(), "rows");
            for row in list(&wanted["rows"]) {
                with_channel(|channel| rule(channel, row));
            }
        });
    }
    all.add("queue_expires", || {
        let wanted = expect("queue_expires");
        with_channel(|channel| {
            let queue = unique("queue");
            must(channel.queue_declare(&queue, QueueDeclareOptions::default(), table_of(&wanted["arguments"])));
            consumes(channel, &queue, "c");
            pause_ms(number(&wanted["used_ms"]));
            same(inspect(channel, &queue).1, 1, "consumers while it is used");
            cancel(channel, "c");
            publish(channel, "", &queue, "x");
            pause_ms(number(&wanted["gone_ms"]));
            check(is_missing(passive(channel, &queue)), "the queue is still there");
        })
    });
    all.add("error_queue_argument", || {
        let wanted = expect("error_queue_argument");
        let declared = |channel: &Channel, queue: &str, arguments: &Value| {
            block_on(channel.queue_declare(queue, exclusive(), table_of(arguments)))
        };
        for arguments in list(&wanted["wrong"]) {
            refused_on_channel("error_queue_argument", |channel| declared(channel, &unique("queue"), arguments));
        }
        refused_on_channel("error_queue_argument", |channel| {
            let queue = temporary_with(channel, table_of(&wanted["first"]));
            declared(channel, &queue, &wanted["first"])?;
            declared(channel, &queue, &wanted["second"])
        });
    });
    all.add("error_expiration", || {
        let wanted = expect("error_expiration");
        refused_on_channel("error_expiration", |channel| {
            let about = properties().with_expiration(text(&wanted["expiration"]).into());
            send(channel, "", &temporary(channel), false, about, b"");
            Ok(())
        })
    });
}
