// SPDX-License-Identifier: Apache-2.0
use crate::broker::*;
use crate::harness::{check, eventually, expect, list, number, pause_ms, same, text, unique, Scenarios, PATIENCE};
use futures_lite::future::block_on;
use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString};
use lapin::Channel;
use serde_json::Value;

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

fn count_of(name: &str) -> usize {
    number(&expect(name)["count"]) as usize
}

fn short(text: &Option<ShortString>) -> &str {
    text.as_ref().map_or("", |text| text.as_str())
}

fn headers(message: &Delivery) -> FieldTable {
    message.properties.headers().clone().unwrap_or_default()
}

fn tags_of(channel: &Channel, queue: &str, count: usize) -> Vec<u64> {
    (0..count).map(|_| get(channel, queue, false).delivery.delivery_tag).collect()
}

pub fn add(all: &mut Scenarios) {
    add_plain(all);
    add_settled(all);
    add_consumers(all);
    add_dead_letters(all);
    add_replies(all);
    add_transactions(all);
}

fn add_plain(all: &mut Scenarios) {
    all.add("publish_consume", || {
        let count = count_of("publish_consume");
        with_channel(|channel| {
            let queue = temporary(channel);
            publish_numbers(channel, &queue, count);
            let found = Arrivals::default();
            found.consume(channel, &queue, "c", false, FieldTable::default());
            found.wait(count, "the messages");
            let wanted: Vec<_> = numbers(count).into_iter().map(|body| (body, false)).collect();
            same(found.each(|_, one| (body(one), one.redelivered)), wanted, "messages");
            for tag in found.tags() {
                ack(channel, tag, false);
            }
            cancel(channel, "c");
            eventually_count(channel, &queue, 0);
        })
    });
    all.add("publish_get", || {
        let count = count_of("publish_get");
        with_channel(|channel| {
            let queue = temporary(channel);
            publish_numbers(channel, &queue, count);
            eventually_count(channel, &queue, count);
            for i in 0..count {
                let one = get(channel, &queue, false);
                let said = (body(&one.delivery), one.message_count as usize, one.delivery.routing_key.to_string());
                same(said, (i.to_string(), count - 1 - i, queue.clone()), "get-ok");
                same(one.delivery.exchange.as_str(), "", "its exchange");
                ack(channel, one.delivery.delivery_tag, false);
            }
            same(got_all(channel, &queue), numbers(0), "get from the empty queue");
        })
    });
    all.add("properties", || {
        let inner = table([("inner", AMQPValue::FieldTable(table([("deep", int(1))])))]);
        let listed = vec![int(1), long("two"), AMQPValue::FieldArray(FieldArray::from(vec![int(3)]))];
        let about = table([
            ("text", long("grüße")),
            ("int", int(-5)),
            ("big", AMQPValue::LongLongInt(1 << 40)),
            ("yes", AMQPValue::Boolean(true)),
            ("no", AMQPValue::Boolean(false)),
            ("list", AMQPValue::FieldArray(FieldArray::from(listed))),
            ("none", AMQPValue::Void),
            ("real", AMQPValue::Double(1.5)),
            ("single", AMQPValue::Float(0.5)),
            ("table", AMQPValue::FieldTable(inner)),
            ("time", AMQPValue::Timestamp(1_700_000_001)),
            ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
            ("short", AMQPValue::ShortInt(-2)),
            ("byte", AMQPValue::ShortShortUInt(200)),
            ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ]);
        let sent = properties()
            .with_content_type("text/plain".into())
            .with_content_encoding("utf-8".into())
            .with_delivery_mode(2)
            .with_priority(7)
            .with_correlation_id("corr".into())
            .with_reply_to("back".into())
            .with_expiration("60000".into())
            .with_message_id("m-1".into())
            .with_timestamp(1_700_000_000)
            .with_type("kind".into())
            .with_user_id("guest".into())
            .with_app_id("interop".into())
            .with_headers(about);
        with_channel(|channel| {
            let queue = temporary(channel);
            send(channel, "", &queue, false, sent.clone(), b"x");
            let found = get(channel, &queue, true).delivery;
            same((&found.properties, body(&found)), (&sent, "x".to_string()), "message");
        })
    });
    all.add("confirm", || {
        let count = count_of("confirm");
        with_channel(|channel| {
            let queue = temporary(channel);
            confirming(channel);
            let publish = |key: &str, body: &str| {
                let options = BasicPublishOptions::default();
                must(channel.basic_publish("", key, options, body.as_bytes(), properties()))
            };
            let mut confirms: Vec<_> = numbers(count).iter().map(|body| publish(&queue, body)).collect();
            confirms.push(publish(&unique("nowhere"), "unroutable"));
            for confirm in confirms {
                check(must(confirm).is_ack(), "basic.ack");
            }
            same(inspect(channel, &queue).0 as usize, count, "messages");
        })
    });
    all.add("return_unroutable", || {
        let wanted = expect("return_unroutable");
        with_channel(|channel| {
            let (queue, nowhere) = (temporary(channel), unique("nowhere"));
            confirming(channel);
            let routed = confirm_of(channel, "", &queue, true, properties(), b"routable");
            check(routed.take_message().is_none(), "a routable message came back");
            let back = confirm_of(channel, "", &nowhere, true, properties(), b"back").take_message();
            let back = back.expect("basic.return");
            same((u64::from(back.reply_code), back.reply_text.as_str()), (number(&wanted["code"]), text(&wanted["text"])), "why");
            let said = (back.delivery.exchange.as_str(), back.delivery.routing_key.as_str(), body(&back.delivery));
            same(said, ("", nowhere.as_str(), "back".to_string()), "basic.return");
            same(got_all(channel, &queue), ["routable"], "routed");
        })
    });
}

fn add_settled(all: &mut Scenarios) {
    all.add("nack_requeue", || {
        with_channel(|channel| {
            let queue = temporary(channel);
            publish_numbers(channel, &queue, 3);
            let first = get(channel, &queue, false).delivery;
            same((body(&first), first.redelivered), ("0".to_string(), false), "first delivery");
            nack(channel, first.delivery_tag, false, true);
            get_is(channel, &queue, "0", true, "second delivery");
            get_is(channel, &queue, "1", false, "the message behind it");
        })
    });
    all.add("nack_multiple", || {
        with_channel(|channel| {
            let queue = temporary(channel);
            publish_numbers(channel, &queue, 6);
            let tags = tags_of(channel, &queue, 6);
            ack(channel, tags[1], true);
            nack(channel, tags[3], true, true);
            eventually_count(channel, &queue, 2);
            get_is(channel, &queue, "2", true, "requeued");
            get_is(channel, &queue, "3", true, "requeued");
            ack(channel, 0, true);
            eventually_count(channel, &queue, 0);
        })
    });
    all.add("reject", || {
        with_channel(|channel| {
            let queue = temporary(channel);
            publish(channel, "", &queue, "one");
            reject(channel, get(channel, &queue, false).delivery.delivery_tag, true);
            let again = get(channel, &queue, false).delivery;
            check(again.redelivered, "redelivered");
            reject(channel, again.delivery_tag, false);
            same(got_all(channel, &queue), numbers(0), "get after the drop");
        })
    });
    all.add("recover", || {
        with_channel(|channel| {
            let queue = temporary(channel);
            publish_numbers(channel, &queue, 3);
            tags_of(channel, &queue, 3);
            must(channel.basic_recover(BasicRecoverOptions { requeue: true }));
            for number in numbers(3) {
                get_is(channel, &queue, &number, true, "recovered");
            }
        })
    });
    all.add("requeue_on_close", || {
        with_channel(|keeper| {
            let queue = shared(keeper);
            with_channel(|channel| {
                publish(channel, "", &queue, "kept");
                get(channel, &queue, false);
            });
            get_is(keeper, &queue, "kept", true, "delivery after the close");
            delete(keeper, &queue);
        })
    });
    all.add("qos_prefetch", || {
        let (wanted, count) = (expect("qos_prefetch"), count_of("qos_prefetch"));
        let prefetch = number(&wanted["prefetch"]) as usize;
        with_channel(|channel| {
            let queue = temporary(channel);
            publish_numbers(channel, &queue, count);
            qos(channel, prefetch as u16);
            let found = Arrivals::default();
            found.consume(channel, &queue, "c", false, FieldTable::default());
            pause_ms(500);
            same(found.count(), prefetch, "delivered at first");
            ack(channel, found.tags()[0], false);
            pause_ms(500);
            same(found.count(), prefetch + 1, "delivered after one ack");
            ack(channel, found.tags()[prefetch], true);
            pause_ms(500);
            same(found.count(), 2 * prefetch + 1, "delivered after all were acknowledged");
        })
    });
}

fn add_consumers(all: &mut Scenarios) {
    all.add("consumer_priority", || {
        let (wanted, count) = (expect("consumer_priority"), count_of("consumer_priority"));
        let prefetch = number(&wanted["prefetch"]) as usize;
        with_channel(|channel| {
            let queue = temporary(channel);
            let found = Arrivals::default();
            found.consume(channel, &queue, "low", false, table([("x-priority", int(-1))]));
            qos(channel, prefetch as u16);
            found.consume(channel, &queue, "high", false, table([("x-priority", int(10))]));
            publish_numbers(channel, &queue, count);
            pause_ms(500);
            let who = |i| if i < prefetch { format!("high {}", i) } else { format!("low {}", i) };
            same(sorted(found.texts()), sorted((0..count).map(who).collect()), "who got what");
        })
    });
    all.add("error_consumer_priority", || {
        refused_on_channel("error_consumer_priority", |channel| {
            let arguments = table([("x-priority", long("high"))]);
            let options = BasicConsumeOptions::default();
            Arrivals::default().consume_with(channel, &temporary(channel), "c", options, arguments)
        })
    });
    all.add("single_active_consumer", || {
        let count = count_of("single_active_consumer");
        with_channel(|channel| {
            let queue = temporary_with(channel, table([("x-single-active-consumer", AMQPValue::Boolean(true))]));
            let found = Arrivals::default();
            found.consume(channel, &queue, "first", true, FieldTable::default());
            found.consume(channel, &queue, "second", true, FieldTable::default());
            publish_numbers(channel, &queue, count);
            found.wait(count, "the messages");
            let mut wanted: Vec<_> = numbers(count).iter().map(|i| format!("first {}", i)).collect();
            same(found.texts(), wanted.clone(), "the first one's");
            cancel(channel, "first");
            publish(channel, "", &queue, "next");
            found.wait(count + 1, "another one");
            wanted.push("second next".into());
            same(found.texts(), wanted, "the second one's");
        })
    });
    all.add("error_single_active_exclusive", || {
        refused_on_channel("error_single_active_exclusive", |channel| {
            let arguments = table([("x-single-active-consumer", AMQPValue::Boolean(true))]);
            consume_only(channel, &temporary_with(channel, arguments), "c", true)
        })
    });
    all.add("queue_priority", || {
        let wanted = expect("queue_priority");
        with_channel(|channel| {
            let highest = int(number(&wanted["highest"]) as i32);
            let queue = temporary_with(channel, table([("x-max-priority", highest)]));
            let sent = list(&wanted["sent"]);
            for (i, priority) in sent.iter().enumerate() {
                let about = properties().with_priority(number(priority) as u8);
                send(channel, "", &queue, false, about, i.to_string().as_bytes());
            }
            eventually_count(channel, &queue, sent.len());
            let order: Vec<_> = list(&wanted["sorted"]).iter().map(Value::to_string).collect();
            same(got_all(channel, &queue), order, "got");
        })
    });
    refused_queue(all, "error_queue_priority", table([("x-max-priority", int(256))]));
}

/// The scenario in which a queue with these arguments is refused.
fn refused_queue(all: &mut Scenarios, name: &'static str, arguments: FieldTable) {
    all.add(name, move || {
        refused_on_channel(name, |channel| {
            block_on(channel.queue_declare(&unique("queue"), exclusive(), arguments.clone()))
        })
    });
}

// ---- dead letters ----

fn mortal(channel: &Channel, name: &str, dead: &str, more: &FieldTable) {
    let mut arguments = table([("x-dead-letter-exchange", long("")), ("x-dead-letter-routing-key", long(dead))]);
    for (key, value) in more.inner() {
        arguments.insert(key.clone(), value.clone());
    }
    declare(channel, name, arguments);
}

fn deaths(message: &Delivery) -> Vec<FieldTable> {
    match headers(message).inner().get("x-death") {
        Some(AMQPValue::FieldArray(events)) => events
            .as_slice()
            .iter()
            .filter_map(|event| match event {
                AMQPValue::FieldTable(table) => Some(table.clone()),
                _ => None,
            })
            .collect(),
        other => panic!("x-death is {:?}", other),
    }
}

fn events_of(message: &Delivery) -> Vec<String> {
    let event = |table: &FieldTable| {
        let count = match table.inner().get("count") {
            Some(AMQPValue::LongLongInt(count)) => *count,
            other => panic!("the count is {:?}", other),
        };
        format!("{} {} {} {}", text_in(table, "queue"), text_in(table, "reason"), count, text_in(table, "exchange"))
    };
    deaths(message).iter().map(event).collect()
}

fn dead_letter(channel: &Channel, row: &Value) {
    let (reason, dead, queue) = (text(&row["reason"]), temporary(channel), unique("queue"));
    mortal(channel, &queue, &dead, &table_of(&row["arguments"]));
    let about = properties().with_headers(table([("mine", long("stays"))]));
    for _ in 0..if reason == "maxlen" { 2 } else { 1 } {
        send(channel, "", &queue, false, about.clone(), b"body");
    }
    if reason == "rejected" {
        reject(channel, get(channel, &queue, false).delivery.delivery_tag, false);
    }
    let letter = get(channel, &dead, true).delivery;
    same(body(&letter).as_str(), "body", "the letter");
    same(events_of(&letter), [format!("{} {} 1 ", queue, reason)], "x-death");
    let keys = AMQPValue::FieldArray(FieldArray::from(vec![long(&queue)]));
    same(deaths(&letter)[0].inner().get("routing-keys"), Some(&keys), "routing-keys");
    let mut rest = headers(&letter).inner().clone();
    rest.remove("x-death");
    let first = [("x-first-death-reason", long(reason)), ("x-first-death-queue", long(&queue))];
    let mut wanted = table([("mine", long("stays")), ("x-first-death-exchange", long(""))]).inner().clone();
    wanted.extend(table(first).inner().clone());
    same(rest, wanted, "other headers");
}

fn add_dead_letters(all: &mut Scenarios) {
    all.add("dead_letter", || {
        for row in list(&expect("dead_letter")["rows"]) {
            with_channel(|channel| dead_letter(channel, row));
        }
    });
    all.add("dead_letter_counts", || {
        let count = count_of("dead_letter_counts");
        with_channel(|channel| {
            let (queue, waits) = (unique("queue"), unique("waits"));
            mortal(channel, &queue, &waits, &FieldTable::default());
            mortal(channel, &waits, &queue, &table([("x-message-ttl", int(20))]));
            publish(channel, "", &queue, "body");
            for _ in 0..count {
                nack(channel, get(channel, &queue, false).delivery.delivery_tag, false, false);
            }
            let wanted = [format!("{} expired {} ", waits, count), format!("{} rejected {} ", queue, count)];
            same(events_of(&get(channel, &queue, true).delivery), wanted, "x-death");
        })
    });
    all.add("dead_letter_circle", || {
        with_channel(|channel| {
            let (one, two) = (unique("one"), unique("two"));
            mortal(channel, &one, &two, &table([("x-message-ttl", int(20))]));
            mortal(channel, &two, &one, &table([("x-message-ttl", int(20))]));
            publish(channel, "", &one, "body");
            pause_ms(500);
            same((inspect(channel, &one).0, inspect(channel, &two).0), (0, 0), "left");
        })
    });
    refused_queue(all, "error_dead_letter_key", table([("x-dead-letter-routing-key", long("k"))]));
    refused_queue(all, "error_dead_letter_type", table([("x-dead-letter-exchange", int(5))]));
}

// ---- direct reply-to, user-id ----

fn add_replies(all: &mut Scenarios) {
    all.add("direct_reply_to", || {
        let count = count_of("direct_reply_to");
        with_channel(|channel| {
            with_channel(|server| {
                let (queue, answers) = (temporary(channel), Arrivals::default());
                answers.consume(channel, REPLY_TO, "c", true, FieldTable::default());
                for number in numbers(count) {
                    let about =
                        properties().with_reply_to(REPLY_TO.into()).with_correlation_id(number.as_str().into());
                    send(channel, "", &queue, false, about, number.as_bytes());
                    let request = get(channel, &queue, true).delivery;
                    let back = short(request.properties.reply_to());
                    check(back.starts_with(&format!("{}.", REPLY_TO)), back);
                    let about = properties().with_correlation_id(short(request.properties.correlation_id()).into());
                    send(server, "", back, false, about, format!("to {}", body(&request)).as_bytes());
                }
                answers.wait(count, "the answers");
                let found = answers.each(|_, one| (short(one.properties.correlation_id()).to_string(), body(one)));
                let wanted: Vec<_> = numbers(count).into_iter().map(|i| (i.clone(), format!("to {}", i))).collect();
                same(found, wanted, "answers");
            })
        })
    });
    all.add("error_reply_consumer_missing", || {
        refused_on_channel("error_reply_consumer_missing", |channel| {
            send(channel, "", "q", false, properties().with_reply_to(REPLY_TO.into()), b"");
            Ok(())
        })
    });
    all.add("error_reply_consumer_acks", || {
        refused_on_channel("error_reply_consumer_acks", |channel| consume_only(channel, REPLY_TO, "c", false))
    });
    all.add("error_user_id", || {
        refused_on_channel("error_user_id", |channel| {
            let queue = temporary(channel);
            send(channel, "", &queue, false, properties().with_user_id("guest".into()), b"");
            eventually_count(channel, &queue, 1);
            send(channel, "", &queue, false, properties().with_user_id("admin".into()), b"");
            Ok(())
        })
    });
}

// ---- transactions ----

fn add_transactions(all: &mut Scenarios) {
    all.add("tx_commit", || {
        let wanted = expect("tx_commit");
        with_channel(|channel| {
            let queue = temporary(channel);
            must(channel.tx_select());
            publish(channel, "", &queue, "one");
            send(channel, "", &unique("nowhere"), true, properties(), b"back");
            publish(channel, "", &queue, "two");
            same(inspect(channel, &queue).0, 0, "before the commit");
            check(must(channel.wait_for_confirms()).is_empty(), "returned before the commit");
            must(channel.tx_commit());
            let mut back = Vec::new();
            eventually("basic.return", PATIENCE, || {
                back.extend(must(channel.wait_for_confirms()));
                !back.is_empty()
            });
            let said = (u64::from(back[0].reply_code), back[0].reply_text.as_str(), body(&back[0].delivery));
            same(said, (number(&wanted["code"]), text(&wanted["text"]), "back".to_string()), "basic.return");
            same(got_all(channel, &queue), ["one", "two"], "committed");
        })
    });
    all.add("tx_rollback", || {
        with_channel(|channel| {
            let queue = temporary(channel);
            must(channel.tx_select());
            publish(channel, "", &queue, "one");
            must(channel.tx_rollback());
            publish(channel, "", &queue, "two");
            must(channel.tx_commit());
            same(got_all(channel, &queue), ["two"], "committed");
        })
    });
    all.add("tx_settle", || {
        with_channel(|channel| {
            let queue = temporary(channel);
            publish_numbers(channel, &queue, 4);
            must(channel.tx_select());
            let tags = tags_of(channel, &queue, 4);
            ack(channel, tags[2], false);
            nack(channel, tags[1], true, true);
            must(channel.tx_rollback());
            ack(channel, tags[2], true);
            reject(channel, tags[3], true);
            same(inspect(channel, &queue).0, 0, "before the commit");
            must(channel.tx_commit());
            eventually_count(channel, &queue, 1);
            get_is(channel, &queue, "3", true, "rejected");
        })
    });
    all.add("error_tx_not_selected", || {
        refused_on_channel("error_tx_not_selected", |channel| block_on(channel.tx_commit()))
    });
    all.add("error_tx_then_confirm", || {
        refused_on_channel("error_tx_then_confirm", |channel| {
            must(channel.tx_select());
            block_on(channel.confirm_select(ConfirmSelectOptions::default()))
        })
    });
    all.add("error_confirm_then_tx", || {
        refused_on_channel("error_confirm_then_tx", |channel| {
            confirming(channel);
            block_on(channel.tx_select())
        })
    });
}
