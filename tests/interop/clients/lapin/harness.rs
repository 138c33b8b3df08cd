// SPDX-License-Identifier: Apache-2.0
//! Scenarios by name, what the list expects of them, and other processes of this client. A scenario fails by
//! panicking with the reason.
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Debug;
use std::io::{BufRead, BufReader, Write};
use std::panic::{catch_unwind, set_hook, AssertUnwindSafe};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Scenarios {
    all: HashMap<String, Box<dyn Fn()>>,
    roles: HashMap<String, Box<dyn Fn(&[String])>>,
}

impl Scenarios {
    pub fn add(&mut self, name: &str, does: impl Fn() + 'static) {
        self.all.insert(name.into(), Box::new(does));
    }

    pub fn role(&mut self, name: &str, does: impl Fn(&[String]) + 'static) {
        self.roles.insert(name.into(), Box::new(does));
    }

    pub fn run(&self) {
        let words: Vec<String> = std::env::args().skip(1).collect();
        if let Some(role) = words.first() {
            self.roles[role](&words[1..]);
            return;
        }
        set_hook(Box::new(|problem| println!("# {}", one_line(&problem.to_string()))));
        for line in std::io::stdin().lock().lines() {
            self.one(line.expect("a name").trim());
        }
    }

    fn one(&self, name: &str) {
        match catch_unwind(AssertUnwindSafe(|| self.all[name]())) {
            Ok(()) => println!("ok {}", name),
            Err(problem) => {
                let text = problem
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| problem.downcast_ref::<&str>().map(|text| text.to_string()));
                println!("not ok {} - {}", name, one_line(&text.unwrap_or_default()));
            }
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the list says of the scenario.
pub fn expect(name: &str) -> Value {
    let path = std::env::var("SCENARIOS").expect("SCENARIOS");
    let text = std::fs::read_to_string(path).expect("the list");
    let listed: Value = serde_json::from_str(&text).expect("JSON");
    listed[name]["expect"].clone()
}

pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{} is no number", value))
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub fn strings(value: &Value) -> Vec<String> {
    list(value).iter().map(|one| text(one).to_string()).collect()
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub fn check(condition: bool, what: &str) {
    if !condition {
        panic!("{}", what);
    }
}

pub fn same<A: PartialEq<B> + Debug, B: Debug>(found: A, wanted: B, what: &str) {
    if found != wanted {
        panic!("{}: found {:?}, expected {:?}", what, found, wanted);
    }
}

pub fn eventually(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + timeout;
    while !condition() {
        check(Instant::now() < deadline, &format!("{}: not within {:?}", what, timeout));
        sleep(Duration::from_millis(5));
    }
}

pub fn pause_ms(ms: u64) {
    sleep(Duration::from_millis(ms));
}

/// A name that no other client or scenario uses.
pub fn unique(kind: &str) -> String {
    static NUMBERS: AtomicUsize = AtomicUsize::new(1);
    let token = std::env::var("INTEROP_TOKEN").unwrap_or_default();
    format!("t.{}.{}.{}", token, kind, NUMBERS.fetch_add(1, Ordering::Relaxed))
}

/// The same pseudo-random bytes for the same seed (splitmix64).
pub fn body_of(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut body = Vec::with_capacity(size + 8);
    while body.len() < size {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        body.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    body.truncate(size);
    body
}

pub fn note(text: &str) {
    println!("# {}", text);
    std::io::stdout().flush().expect("standard output");
}

/// Another process of this client that plays a role, once it is where the scenario wants it.
pub struct Other(Child);

impl Other {
    pub fn start(words: &[&str]) -> Other {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child process");
        let mut said = String::new();
        BufReader::new(child.stdout.take().expect("its output"))
            .read_line(&mut said)
            .expect("a line");
        let other = Other(child);
        same(said.as_str(), "there\n", "the child process said");
        other
    }

    pub fn stop(&self) {
        let signal = format!("kill -STOP {}", self.0.id());
        let status = Command::new("/bin/sh").args(["-c", &signal]).status();
        check(status.expect("a shell").success(), "kill -STOP");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn there() {
    println!("there");
    std::io::stdout().flush().expect("standard output");
}
