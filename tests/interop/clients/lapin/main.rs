// SPDX-License-Identifier: Apache-2.0
//! The scenarios with lapin: names on standard input, one answer a line; see ../../scenarios.toml.
mod broker;
mod connections;
mod exchanges;
mod harness;
mod messages;
mod queues;
mod refusals;

fn main() {
    let mut all = harness::Scenarios::default();
    messages::add(&mut all);
    exchanges::add(&mut all);
    queues::add(&mut all);
    connections::add(&mut all);
    refusals::add(&mut all);
    all.run();
}
