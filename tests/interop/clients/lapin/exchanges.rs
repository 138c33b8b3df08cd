// SPDX-License-Identifier: Apache-2.0
use crate::broker::*;
use crate::harness::{check, expect, list, number, same, strings, text, unique, Scenarios};
use futures_lite::future::block_on;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use lapin::Channel;

const UNUSED: ExchangeDeleteOptions = ExchangeDeleteOptions { if_unused: true, nowait: false };

pub fn add(all: &mut Scenarios) {
    add_types(all);
    add_lifecycle(all);
    add_alternates(all);
    add_joined(all);
    add_selected(all);
    add_hashed(all);
}

fn array(values: Vec<AMQPValue>) -> AMQPValue {
    AMQPValue::FieldArray(FieldArray::from(values))
}

fn try_delete(channel: &Channel, name: &str, options: ExchangeDeleteOptions) -> lapin::Result<()> {
    block_on(channel.exchange_delete(name, options))
}

fn delete_exchange(channel: &Channel, name: &str, options: ExchangeDeleteOptions) {
    try_delete(channel, name, options).unwrap_or_else(|problem| panic!("{}", problem));
}

fn is_there(channel: &Channel, name: &str, kind: &str) {
    exchange_passive(channel, name, kind).unwrap_or_else(|problem| panic!("{}: {}", name, problem));
}

fn are_gone(link: &Link, kind: &str, names: &[&str]) {
    for name in names {
        check(is_missing(exchange_passive(&channel_of(link), name, kind)), &format!("{} is still there", name));
    }
}

fn add_types(all: &mut Scenarios) {
    all.add("exchange_direct", || {
        with_channel(|channel| {
            let exchange = exchange_of(channel, "direct");
            let queues = ["red", "blue"].map(|key| {
                let queue = temporary(channel);
                bind(channel, &queue, key, &exchange);
                (key, queue)
            });
            for key in ["red", "blue", "green"] {
                publish(channel, &exchange, key, key);
            }
            for (key, queue) in &queues {
                same(got_all(channel, queue), [*key], key);
            }
        })
    });
    all.add("exchange_fanout", || {
        with_channel(|channel| {
            let exchange = exchange_of(channel, "fanout");
            let queues: Vec<_> = (0..5).map(|_| temporary(channel)).collect();
            for queue in &queues {
                bind(channel, queue, "ignored", &exchange);
                bind(channel, queue, "twice", &exchange);
            }
            publish(channel, &exchange, "any", "all");
            for queue in &queues {
                same(got_all(channel, queue), ["all"], queue);
            }
        })
    });
    all.add("exchange_topic", || {
        let wanted = expect("exchange_topic");
        with_channel(|channel| {
            for row in list(&wanted["patterns"]) {
                let (exchange, queue, pattern) = (exchange_of(channel, "topic"), temporary(channel), text(&row["pattern"]));
                bind(channel, &queue, pattern, &exchange);
                for key in strings(&row["match"]).iter().chain(&strings(&row["miss"])) {
                    publish(channel, &exchange, key, key);
                }
                same(got_all(channel, &queue), strings(&row["match"]), pattern);
                unbind(channel, &queue, pattern, &exchange);
            }
        })
    });
    all.add("exchange_headers", || {
        with_channel(|channel| {
            let exchange = exchange_of(channel, "headers");
            let red = || ("colour", long("red"));
            let queues = ["all", "any"].map(|kind| {
                let queue = temporary(channel);
                let arguments = table([("x-match", long(kind)), red(), ("size", int(5))]);
                try_bind(channel, &queue, "", &exchange, arguments).expect("bind-ok");
                queue
            });
            for (name, headers) in [
                ("both", table([red(), ("size", int(5)), ("more", int(1))])),
                ("one", table([red()])),
                ("other", table([("colour", long("blue")), ("size", int(6))])),
                ("typed", table([("size", long("5"))])),
                ("none", FieldTable::default()),
            ] {
                send(channel, &exchange, "", false, properties().with_headers(headers), name.as_bytes());
            }
            same(got_all(channel, &queues[0]), ["both"], "x-match all");
            same(got_all(channel, &queues[1]), ["both", "one"], "x-match any");
        })
    });
    all.add("exchange_predeclared", || {
        with_channel(|channel| {
            let headers = || table([("x-match", long("all")), ("id", long(&unique("h")))]);
            for (name, kind, key, headers) in [
                ("amq.direct", "direct", unique("key"), FieldTable::default()),
                ("amq.fanout", "fanout", String::new(), FieldTable::default()),
                ("amq.topic", "topic", format!("{}.b", unique("a")), FieldTable::default()),
                ("amq.headers", "headers", String::new(), headers()),
                ("amq.match", "headers", String::new(), headers()),
            ] {
                is_there(channel, name, kind);
                let queue = temporary(channel);
                try_bind(channel, &queue, &key, name, headers.clone()).expect("bind-ok");
                send(channel, name, &key, false, properties().with_headers(headers), b"here");
                same(got_all(channel, &queue), ["here"], name);
                delete(channel, &queue);
            }
        })
    });
}

fn add_lifecycle(all: &mut Scenarios) {
    all.add("exchange_lifecycle", || {
        connected(|link| {
            let (channel, exchange) = (channel_of(link), unique("exchange"));
            let options = ExchangeDeclareOptions::default();
            try_exchange(&channel, &exchange, "direct", options, FieldTable::default()).expect("declare-ok");
            is_there(&channel, &exchange, "direct");
            let queue = temporary(&channel);
            bind(&channel, &queue, "k", &exchange);
            refused("exchange_lifecycle", link, &channel, |channel| try_delete(channel, &exchange, UNUSED));
            let channel = channel_of(link);
            unbind(&channel, &queue, "k", &exchange);
            delete_exchange(&channel, &exchange, UNUSED);
            let automatic = exchange_of(&channel, "direct");
            bind(&channel, &queue, "k", &automatic);
            is_there(&channel, &automatic, "direct");
            unbind(&channel, &queue, "k", &automatic);
            are_gone(link, "direct", &[&exchange, &automatic]);
        })
    });
}

fn add_alternates(all: &mut Scenarios) {
    all.add("alternate_exchange", || {
        with_channel(|channel| {
            let names: Vec<_> = (0..3).map(|_| unique("exchange")).collect();
            let queues: Vec<_> = (0..3)
                .map(|i: usize| {
                    let next = table([("alternate-exchange", long(&names[(i + 1) % 3]))]);
                    exchange_named(channel, &names[i], "direct", next);
                    let queue = temporary(channel);
                    bind(channel, &queue, &format!("k{}", i), &names[i]);
                    queue
                })
                .collect();
            confirming(channel);
            let back: Vec<_> = (0..4)
                .filter_map(|i| {
                    let key = format!("k{}", i);
                    confirm_of(channel, &names[0], &key, true, properties(), i.to_string().as_bytes()).take_message()
                })
                .map(|back| (back.delivery.exchange.to_string(), back.delivery.routing_key.to_string()))
                .collect();
            for (i, queue) in queues.iter().enumerate() {
                same(got_all(channel, queue), [i.to_string()], "through the chain");
            }
            same(back, [(names[0].clone(), "k3".to_string())], "what no exchange of the chain routes");
        })
    });
    all.add("error_alternate_type", || {
        refused_on_channel("error_alternate_type", |channel| {
            let arguments = table([("alternate-exchange", int(5))]);
            try_exchange(channel, &unique("exchange"), "direct", automatic(), arguments)
        })
    });
    all.add("error_alternate_redeclare", || {
        refused_on_channel("error_alternate_redeclare", |channel| {
            let exchange = unique("exchange");
            exchange_named(channel, &exchange, "direct", table([("alternate-exchange", long("a"))]));
            bind(channel, &temporary(channel), "k", &exchange);
            try_exchange(channel, &exchange, "direct", automatic(), table([("alternate-exchange", long("b"))]))
        })
    });
}

fn try_join(channel: &Channel, source: &str, destination: &str, key: &str) -> lapin::Result<()> {
    let options = ExchangeBindOptions::default();
    block_on(channel.exchange_bind(destination, source, key, options, FieldTable::default()))
}

fn join(channel: &Channel, source: &str, destination: &str, key: &str) {
    try_join(channel, source, destination, key).unwrap_or_else(|problem| panic!("{}", problem));
}

fn part(channel: &Channel, source: &str, destination: &str, key: &str) {
    must(channel.exchange_unbind(destination, source, key, ExchangeUnbindOptions::default(), FieldTable::default()));
}

fn add_joined(all: &mut Scenarios) {
    let any = ExchangeDeleteOptions::default();
    all.add("exchange_bind", move || {
        with_channel(|channel| {
            let (last, queue) = (exchange_of(channel, "fanout"), temporary(channel));
            bind(channel, &queue, "", &last);
            for (kind, wanted) in [
                ("direct", vec!["once"]),
                ("topic", vec!["once"]),
                ("fanout", vec!["once", "other"]),
                ("headers", vec!["once", "other"]),
            ] {
                let (first, middle) = (exchange_of(channel, kind), exchange_of(channel, kind));
                join(channel, &first, &middle, "k");
                join(channel, &middle, &last, "k");
                join(channel, &first, &last, "k");
                join(channel, &middle, &first, "k");
                publish(channel, &first, "k", "once");
                publish(channel, &first, "other", "other");
                same(got_all(channel, &queue), wanted, kind);
                part(channel, &first, &last, "k");
                part(channel, &middle, &last, "k");
                publish(channel, &first, "k", "nowhere");
                same(got_all(channel, &queue), numbers(0), kind);
                delete_exchange(channel, &first, any);
            }
        })
    });
    all.add("exchange_bind_lifecycle", move || {
        connected(|link| {
            let channel = channel_of(link);
            let [above, source, destination] = [(); 3].map(|_| exchange_of(&channel, "fanout"));
            join(&channel, &above, &source, "");
            join(&channel, &source, &destination, "");
            refused("exchange_bind_lifecycle", link, &channel, |channel| try_delete(channel, &source, UNUSED));
            let channel = channel_of(link);
            delete_exchange(&channel, &destination, UNUSED);
            are_gone(link, "fanout", &[&above, &source, &destination]);
            let [source, destination] = [(); 2].map(|_| exchange_of(&channel, "fanout"));
            join(&channel, &source, &destination, "");
            delete_exchange(&channel, &source, any);
            is_there(&channel, &destination, "fanout");
            delete_exchange(&channel, &destination, any);
        })
    });
    all.add("error_exchange_bind_default", || {
        refused_on_channel("error_exchange_bind_default", |channel| try_join(channel, "", "amq.direct", "k"))
    });
    all.add("error_exchange_bind_unknown", || {
        refused_on_channel("error_exchange_bind_unknown", |channel| {
            try_join(channel, "amq.direct", &unique("none"), "k")
        })
    });
    all.add("exchange_internal", || {
        connected(|link| {
            let channel = channel_of(link);
            let (inner, outer, queue) = (unique("exchange"), exchange_of(&channel, "fanout"), temporary(&channel));
            let options = ExchangeDeclareOptions { internal: true, ..automatic() };
            try_exchange(&channel, &inner, "fanout", options, FieldTable::default()).expect("declare-ok");
            bind(&channel, &queue, "", &inner);
            join(&channel, &outer, &inner, "");
            publish(&channel, &outer, "", "in");
            same(got_all(&channel, &queue), ["in"], "through the other exchange");
            refused("exchange_internal", link, &channel, |channel| {
                publish(channel, &inner, "", "refused");
                Ok(())
            });
        })
    });
}

fn add_selected(all: &mut Scenarios) {
    all.add("sender_selected", || {
        with_channel(|channel| {
            let [first, cc, bcc] = [(); 3].map(|_| temporary(channel));
            let named = || array(vec![long(&cc), long(&first)]);
            let about = table([("CC", named()), ("BCC", array(vec![long(&bcc), int(5)])), ("kept", long("yes"))]);
            send(channel, "", &first, false, properties().with_headers(about).with_type("t".into()), b"all");
            let wanted = properties()
                .with_headers(table([("CC", named()), ("kept", long("yes"))]))
                .with_type("t".into());
            for queue in [&first, &cc, &bcc] {
                let found = get(channel, queue, true).delivery;
                let said = (body(&found), found.routing_key.to_string(), &found.properties);
                same(said, ("all".to_string(), first.clone(), &wanted), "a copy");
                same(got_all(channel, queue), numbers(0), "no second copy");
            }
            bind(channel, &first, "a.*", "amq.topic");
            bind(channel, &cc, "b.#", "amq.topic");
            let by_pattern = || array(vec![long("a.x")]);
            let about = table([("CC", by_pattern()), ("BCC", array(vec![long("b.y.z")]))]);
            send(channel, "amq.topic", "none", false, properties().with_headers(about), b"");
            for queue in [&first, &cc] {
                let found = get(channel, queue, true).delivery;
                same(found.properties.headers(), &Some(table([("CC", by_pattern())])), "by patterns");
            }
        })
    });
    all.add("error_cc_type", || {
        refused_on_channel("error_cc_type", |channel| {
            let about = properties().with_headers(table([("CC", long("no array"))]));
            send(channel, "", "q", false, about, b"");
            Ok(())
        })
    });
}

fn add_hashed(all: &mut Scenarios) {
    all.add("consistent_hash", || {
        let wanted = expect("consistent_hash");
        let (weights, count) = (strings(&wanted["weights"]), number(&wanted["count"]) as usize);
        let weight = |text: &String| text.parse::<f64>().expect("a weight");
        with_channel(|channel| {
            let exchange = exchange_of(channel, "x-consistent-hash");
            let queues: Vec<_> = weights
                .iter()
                .map(|key| {
                    let queue = temporary(channel);
                    bind(channel, &queue, key, &exchange);
                    queue
                })
                .collect();
            for i in 0..2 * count {
                let key = format!("k{}", i / 2);
                publish(channel, &exchange, &key, &key);
            }
            let (mut total, sum) = (0, weights.iter().map(weight).sum::<f64>());
            for (key, queue) in weights.iter().zip(&queues) {
                let found = got_all(channel, queue);
                total += found.len();
                for pair in found.chunks(2) {
                    same(pair.first(), pair.last(), "the same key's");
                }
                let share = found.len() as f64 / (2 * count) as f64 * sum / weight(key);
                check(share > 0.5 && share < 1.6, &format!("share of weight {} is {} of what is fair", key, share));
            }
            same(total, 2 * count, "messages");
        })
    });
    all.add("error_hash_weight", || {
        refused_on_channel("error_hash_weight", |channel| {
            let (exchange, queue) = (exchange_of(channel, "x-consistent-hash"), temporary(channel));
            bind(channel, &queue, "1", &exchange);
            try_bind(channel, &queue, "heavy", &exchange, FieldTable::default())
        })
    });
}
