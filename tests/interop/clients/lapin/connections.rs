// SPDX-License-Identifier: Apache-2.0
use crate::broker::*;
use crate::harness::{body_of, check, eventually, expect, list, note, number, pause_ms, same, there, unique};
use crate::harness::{Other, Scenarios, PATIENCE};
use lapin::options::*;
use lapin::types::FieldTable;
use lapin::Channel;
use std::thread::park;
use std::time::Duration;

pub fn add(all: &mut Scenarios) {
    add_sizes(all);
    add_many(all);
    add_ends(all);
    add_channels(all);
    add_negotiation(all);
    add_blocked(all);
}

fn round_trip(channel: &Channel, size: usize, seed: u64) {
    let (queue, body) = (temporary(channel), body_of(size, seed));
    send(channel, "", &queue, false, properties(), &body);
    let (found, tag) = (Arrivals::default(), format!("c{}", seed));
    found.consume(channel, &queue, &tag, false, FieldTable::default());
    found.wait(1, "a body");
    check(found.each(|_, one| one.data == body) == [true], &format!("body of {} bytes", size));
    ack(channel, found.tags()[0], false);
    cancel(channel, &tag);
    delete(channel, &queue);
}

fn sizes(name: &str) -> Vec<usize> {
    list(&expect(name)["sizes"]).iter().map(|size| number(size) as usize).collect()
}

fn add_sizes(all: &mut Scenarios) {
    all.add("body_small", || {
        let wanted = expect("body_small");
        connected(|link| {
            let payload = i64::from(link.configuration().frame_max()) - 8;
            let mut sizes = sizes("body_small");
            for difference in list(&wanted["around_frame"]).iter().filter_map(|one| one.as_i64()) {
                sizes.push((payload + difference) as usize);
                sizes.push((2 * payload + difference) as usize);
            }
            let channel = channel_of(link);
            for (seed, size) in sizes.into_iter().enumerate() {
                round_trip(&channel, size, seed as u64);
            }
        })
    });
    for name in ["body_1mib", "body_64mib"] {
        all.add(name, move || with_channel(|channel| round_trip(channel, sizes(name)[0], 1)));
    }
}

fn add_many(all: &mut Scenarios) {
    all.add("queues_10000", || {
        let count = number(&expect("queues_10000")["count"]) as usize;
        with_channel(|channel| {
            let names: Vec<_> = (0..count).map(|_| temporary(channel)).collect();
            for name in [&names[0], &names[count - 1]] {
                publish(channel, "", name, name);
                same(got_all(channel, name), [name.clone()], "its message");
            }
        })
    });
    all.add("connections_1000", || {
        let count = number(&expect("connections_1000")["count"]) as usize;
        let connections: Vec<_> = (0..count).map(|_| connect("")).collect();
        with_channel(|keeper| {
            let queue = shared(keeper);
            for (i, connection) in connections.iter().enumerate() {
                publish(&channel_of(connection), "", &queue, &i.to_string());
            }
            eventually_count(keeper, &queue, count);
            same(sorted(got_all(keeper, &queue)), sorted(numbers(count)), "bodies");
            delete(keeper, &queue);
        });
        for connection in &connections {
            connection.close();
        }
    });
}

/// True when the exclusive queue of another connection is no more; false while it is locked.
fn is_gone(link: &Link, queue: &str) -> bool {
    is_missing(passive(&channel_of(link), queue))
}

fn add_ends(all: &mut Scenarios) {
    all.role("hold_and_publish", |names| {
        let size = number(&expect("killed_mid_frame")["size"]) as usize;
        let connection = connect("");
        let channel = channel_of(&connection);
        // One body stays: a publisher that is held, since memory is full, is not read, so its end is not seen.
        declare(&channel, &names[1], table([("x-max-length", int(1))]));
        get(&channel, &names[0], false);
        there();
        let body = body_of(size, 1);
        loop {
            send(&channel, "", &names[1], false, properties(), &body);
        }
    });
    all.role("hold", |words| {
        let connection = connect(&format!("heartbeat={}", words[0]));
        let channel = channel_of(&connection);
        declare(&channel, &words[1], FieldTable::default());
        there();
        loop {
            park();
        }
    });
    all.add("killed_mid_frame", || {
        connected(|link| {
            let keeper = channel_of(link);
            let (queue, owned) = (shared(&keeper), unique("queue"));
            publish(&keeper, "", &queue, "kept");
            let holder = Other::start(&["hold_and_publish", &queue, &owned]);
            pause_ms(300);
            drop(holder);
            get_is(&keeper, &queue, "kept", true, "the message of the killed client");
            eventually("its exclusive queue gone", PATIENCE, || is_gone(link, &owned));
            delete(&keeper, &queue);
        })
    });
    all.add("heartbeat_kept", || {
        let wanted = expect("heartbeat_kept");
        let interval = number(&wanted["interval_s"]);
        connected_with(&format!("heartbeat={}", interval), |link| {
            same(u64::from(link.configuration().heartbeat()), interval, "interval agreed");
            let channel = channel_of(link);
            let queue = temporary(&channel);
            pause_ms(1000 * number(&wanted["idle_s"]));
            publish(&channel, "", &queue, "alive");
            same(got_all(&channel, &queue), ["alive"], "after the idle time");
        })
    });
    all.add("heartbeat_client_stops", || {
        let wanted = expect("heartbeat_client_stops");
        let owned = unique("queue");
        let holder = Other::start(&["hold", &wanted["interval_s"].to_string(), &owned]);
        connected(|link| {
            check(!is_gone(link, &owned), "the queue is not there");
            holder.stop();
            let most = Duration::from_secs(number(&wanted["gone_s_max"]));
            eventually("the broker closed the silent connection", most, || {
                pause_ms(100);
                is_gone(link, &owned)
            });
        })
    });
}

fn add_channels(all: &mut Scenarios) {
    all.add("channels", || {
        let count = number(&expect("channels")["count"]) as usize;
        connected(|link| {
            let channels: Vec<_> = (0..count).map(|_| channel_of(link)).collect();
            let queue = temporary(&channels[0]);
            for (i, channel) in channels.iter().enumerate() {
                publish(channel, "", &queue, &i.to_string());
            }
            for (i, channel) in channels.iter().enumerate() {
                if i % 2 == 1 {
                    must(channel.close(200, ""));
                } else {
                    publish(channel, "", &queue, "again");
                }
            }
            eventually_count(&channels[0], &queue, count + (count + 1) / 2);
        })
    });
    all.add("channel_reuse", || {
        // Two numbers alone: the channel that is opened again has the other's.
        connected_with("channel_max=2", |link| {
            let (other, failing) = (channel_of(link), channel_of(link));
            let queue = temporary(&other);
            refused("channel_reuse", link, &failing, |failing| passive(failing, &unique("nowhere")));
            publish(&other, "", &queue, "other");
            let again = channel_of(link);
            same(again.id(), failing.id(), "the number of the channel that is opened again");
            publish(&again, "", &queue, "again");
            eventually_count(&other, &queue, 2);
            same(sorted(got_all(&again, &queue)), ["again", "other"], "messages");
        })
    });
}

fn add_negotiation(all: &mut Scenarios) {
    all.add("negotiate_frame_max", || {
        let wanted = expect("negotiate_frame_max");
        let frame_max = number(&wanted["frame_max"]);
        connected_with(&format!("frame_max={}", frame_max), |link| {
            same(u64::from(link.configuration().frame_max()), frame_max, "frame-max agreed");
            round_trip(&channel_of(link), number(&wanted["size"]) as usize, 3);
        })
    });
    all.add("negotiate_channel_max", || {
        let most = number(&expect("negotiate_channel_max")["channel_max"]) as usize;
        connected_with(&format!("channel_max={}", most), |link| {
            same(usize::from(link.configuration().channel_max()), most, "channel-max agreed");
            let channel = channel_of(link);
            let queue = temporary(&channel);
            let others: Vec<_> = (1..most).map(|_| channel_of(link)).collect();
            for other in &others {
                publish(other, "", &queue, "x");
            }
            eventually_count(&channel, &queue, most - 1);
        })
    });
}

fn add_blocked(all: &mut Scenarios) {
    all.add("blocked", || {
        let count = number(&expect("blocked")["count"]) as usize;
        // lapin says whether it is blocked, and keeps the broker's reason to itself.
        connected(|link| {
            let channel = channel_of(link);
            let queue = temporary(&channel);
            let options = BasicPublishOptions::default();
            // What is published while it is blocked leaves afterwards: a thread may have to wait for it.
            let publisher = {
                let (channel, queue) = (channel.clone(), queue.clone());
                std::thread::spawn(move || {
                    for number in numbers(count) {
                        must(channel.basic_publish("", &queue, options, number.as_bytes(), properties()));
                    }
                })
            };
            eventually("connection.blocked", 4 * PATIENCE, || link.status().blocked());
            note("blocked");
            eventually("connection.unblocked", 12 * PATIENCE, || !link.status().blocked());
            check(publisher.join().is_ok(), "published");
            eventually_count(&channel, &queue, count);
            same(got_all(&channel, &queue), numbers(count), "messages");
        })
    });
}
