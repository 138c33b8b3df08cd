// SPDX-License-Identifier: Apache-2.0
// Scenario names on standard input, one answer a line; see ../../scenarios.toml.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const readline = require('node:readline');
const { spawn } = require('node:child_process');
const { isDeepStrictEqual, inspect } = require('node:util');

const listed = JSON.parse(fs.readFileSync(process.env.SCENARIOS, 'utf8'));
const token = process.env.INTEROP_TOKEN || String(process.pid);
let numbers = 0;

const expect = (name) => listed[name].expect || {};
const unique = (kind) => `t.${token}.${kind}.${++numbers}`;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function same(found, wanted, what) {
  if (!isDeepStrictEqual(found, wanted)) {
    throw new Error(`${what}: found ${inspect(found)}, expected ${inspect(wanted)}`);
  }
}

function check(condition, what) {
  if (!condition) throw new Error(what);
}

async function eventually(condition, what, timeoutMs = 5000, stepMs = 20) {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    check(Date.now() < deadline, `${what}: not within ${timeoutMs} ms`);
    await sleep(stepMs);
  }
}

// The same pseudo-random bytes for the same seed.
function bodyOf(size, seed) {
  const key = crypto.createHash('sha256').update(String(seed)).digest();
  return crypto.createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

const digest = (body) => crypto.createHash('sha256').update(body).digest('hex');

// Another process of this client that plays a role; resolved once it is where the scenario wants it.
function child(role, ...args) {
  return new Promise((resolve, reject) => {
    const other = spawn(process.execPath, [process.argv[1], role, ...args.map(String)],
      { stdio: ['ignore', 'pipe', 'inherit'] });
    other.stdout.once('data', (text) => {
      if (String(text).trim() === 'there') resolve(other);
      else reject(new Error(`the child process (${role}) said ${text}`));
    });
    other.once('exit', (status) => reject(new Error(`the child process (${role}) ended with ${status}`)));
  });
}

const there = () => process.stdout.write('there\n');

function end(other) {
  return new Promise((resolve) => {
    other.once('exit', resolve);
    other.kill('SIGKILL');
  });
}

async function main(scenarios, roles) {
  const [role, ...args] = process.argv.slice(2);
  if (role) return roles[role](...args);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const name = line.trim();
    try {
      await scenarios[name]();
      console.log(`ok ${name}`);
    } catch (problem) {
      console.log(`not ok ${name} - ${String(problem).replace(/\s+/g, ' ')}`);
      console.log(String(problem && problem.stack).replace(/^/gm, '# '));
    }
  }
  process.exit(0);
}

module.exports = { expect, unique, sleep, same, check, eventually, bodyOf, digest, child, there, end, main };
