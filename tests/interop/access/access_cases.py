# SPDX-License-Identifier: Apache-2.0
"""Virtual hosts and permissions: a broker of its own, with several users, and what each may do; the same table for Godwit
and for RabbitMQ. What is refused is refused in RabbitMQ's words."""
import ast
import base64
import hashlib
import json
import os
import re
import signal
import time

import pika
from brokers import BrokerError
from pika import exceptions as wrong

USERS = ["alice", "bob", "auditor", "guest"]
VHOSTS = ["/", "orders", "empty"]
# user, vhost, configure, write, read
PERMISSIONS = [
    ("guest", "/", ".*", ".*", ".*"),
    ("alice", "orders", r"^(alice\..*|amq\.gen-.*)$", r"^(alice\..*|amq\.gen-.*|amq\.default)$", r"^(alice\..*|amq\.topic)$"),
    ("bob", "orders", ".*", ".*", ".*"),
    ("auditor", "orders", "^$", "^$", r"\.audit$"),
]
GODWIT = """
ports: []
memory: {hugepages: off}
listeners:
  - {name: access, transport: kernel, address: 127.0.0.1}
"""


def refused(kind, what, name, user):
    return 403, f"ACCESS_REFUSED - {kind} access to {what} '{name}' in vhost 'orders' refused for user '{user}'"


def publish(exchange, key="k"):
    def action(channel):
        channel.basic_publish(exchange, key, b"x")
        channel.basic_qos()  # answered behind it, or not any more
    return action


def named_by_the_broker(channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_publish("", queue, b"x")


# user, what is done, and the refusal or None.
CASES = [
    ("alice", "declares a queue", lambda c: c.queue_declare("alice.q"), None),
    ("alice", "declares another's queue", lambda c: c.queue_declare("bob.q"), refused("configure", "queue", "bob.q", "alice")),
    ("alice", "looks at another's queue", lambda c: c.queue_declare("alice.q", passive=True), None),
    ("alice", "has the broker name a queue", named_by_the_broker, None),
    ("alice", "deletes another's queue", lambda c: c.queue_delete("bob.q"), refused("configure", "queue", "bob.q", "alice")),
    ("alice", "declares an exchange", lambda c: c.exchange_declare("alice.x", "fanout"), None),
    ("alice", "declares another's exchange", lambda c: c.exchange_declare("x", "fanout"), refused("configure", "exchange", "x", "alice")),
    ("alice", "deletes another's exchange", lambda c: c.exchange_delete("bob.x"), refused("configure", "exchange", "bob.x", "alice")),
    ("alice", "binds", lambda c: c.queue_bind("alice.q", "alice.x", "k"), None),
    ("alice", "binds from what may be read", lambda c: c.queue_bind("alice.q", "amq.topic", "k"), None),
    ("alice", "binds from what may not be read", lambda c: c.queue_bind("alice.q", "amq.direct", "k"),
     refused("read", "exchange", "amq.direct", "alice")),
    ("alice", "binds what may not be written", lambda c: c.queue_bind("bob.q", "alice.x", "k"), refused("write", "queue", "bob.q", "alice")),
    ("alice", "unbinds what may not be written", lambda c: c.queue_unbind("bob.q", "alice.x", "k"), refused("write", "queue", "bob.q", "alice")),
    ("alice", "binds an exchange that may not be written", lambda c: c.exchange_bind("amq.fanout", "alice.x"),
     refused("write", "exchange", "amq.fanout", "alice")),
    ("alice", "unbinds an exchange that may not be written", lambda c: c.exchange_unbind("amq.fanout", "alice.x"),
     refused("write", "exchange", "amq.fanout", "alice")),
    ("alice", "publishes", publish("alice.x"), None),
    ("alice", "publishes to the default exchange", publish("", "alice.q"), None),
    ("alice", "publishes elsewhere", publish("amq.topic"), refused("write", "exchange", "amq.topic", "alice")),
    ("alice", "publishes to an exchange that is not there and not hers", publish("none"), refused("write", "exchange", "none", "alice")),
    ("alice", "has an alternate exchange", lambda c: c.exchange_declare("alice.y", "fanout", arguments={"alternate-exchange": "alice.x"}), None),
    ("alice", "has an alternate exchange that is not hers",
     lambda c: c.exchange_declare("alice.z", "fanout", arguments={"alternate-exchange": "bob.x"}), refused("write", "exchange", "bob.x", "alice")),
    ("bob", "declares", lambda c: c.queue_declare("bob.q"), None),
    ("auditor", "declares", lambda c: c.queue_declare("auditor.q"), refused("configure", "queue", "auditor.q", "auditor")),
    ("auditor", "publishes to the default exchange", publish("", "x"), refused("write", "exchange", "amq.default", "auditor")),
    ("auditor", "gets", lambda c: c.basic_get("bob.q"), refused("read", "queue", "bob.q", "auditor")),
    ("auditor", "consumes", lambda c: c.basic_consume("bob.q", lambda *_: None), refused("read", "queue", "bob.q", "auditor")),
    ("auditor", "purges", lambda c: c.queue_purge("bob.q"), refused("read", "queue", "bob.q", "auditor")),
    ("bob", "declares for the auditor", lambda c: c.queue_declare("orders.audit"), None),
    ("auditor", "gets what may be read", lambda c: c.basic_get("orders.audit"), None),
]

# user, password, vhost, and the refusal or None.
DOORS = [
    ("alice", "alice", "orders", None),
    ("alice", "alice", "nowhere", (530, "NOT_ALLOWED - vhost nowhere not found")),
    ("alice", "alice", "empty", (530, "NOT_ALLOWED - access to vhost 'empty' refused for user 'alice'")),
    ("alice", "alice", "/", (530, "NOT_ALLOWED - access to vhost '/' refused for user 'alice'")),
    ("guest", "guest", "/", None),
]


def connect(host, user, password, vhost):
    return pika.BlockingConnection(pika.ConnectionParameters(
        host, virtual_host=vhost, credentials=pika.PlainCredentials(user, password), connection_attempts=1, socket_timeout=10))


def outcome(action):
    """What the broker said, or None where it let it pass."""
    try:
        action()
    except (wrong.ChannelClosedByBroker, wrong.ConnectionClosedByBroker) as said:
        return said.reply_code, said.reply_text
    except wrong.ProbableAccessDeniedError as said:
        # pika keeps the broker's words in its own: ...: (530) 'NOT_ALLOWED - ...'
        code, text = re.search(r"\((\d+)\) (.*)$", str(said)).groups()
        return int(code), ast.literal_eval(text)
    return None


def godwit_config(permissions):
    lines = [GODWIT, "users:"]
    lines += ["  - {name: %s, password: %s}" % (user, user) for user in USERS]
    lines += ["vhosts:"] + ["  - {name: %s}" % vhost for vhost in VHOSTS]
    lines += ["permissions:"] if permissions else []
    for user, vhost, *patterns in permissions:
        lines += ["  - user: %s" % user, "    vhost: %s" % vhost]
        lines += ["    %s: '%s'" % pair for pair in zip(("configure", "write", "read"), patterns)]
    return "\n".join(lines) + "\n"


def rabbitmq_definitions():
    def hashed(password):
        salt = b"salt"
        return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
    return json.dumps({
        "users": [{"name": user, "password_hash": hashed(user), "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ""}
                  for user in USERS],
        "vhosts": [{"name": vhost} for vhost in VHOSTS],
        "permissions": [dict(zip(("user", "vhost", "configure", "write", "read"), row)) for row in PERMISSIONS]})


def prepare(broker, oracle):
    """The broker, once more, with users, virtual hosts and permissions."""
    path = os.path.join(broker.workdir, "access")
    with open(path, "w") as f:
        f.write(rabbitmq_definitions() if oracle else godwit_config(PERMISSIONS))
    if oracle:
        broker.settings = "load_definitions = %s\n" % path
    else:
        broker.arguments = ["--config", path]
        broker.transports = {"kernel": "127.0.0.1"}


def case(stage, name, action, wanted):
    report, begin = stage.report, time.monotonic()
    if stage.options.oracle and wanted:
        # RabbitMQ 3.10 does not say which kind of access it was; 4.x does.
        wanted = wanted[0], re.sub(r" (configure|write|read) access ", " access ", wanted[1])
    try:
        found = outcome(action)
    except (wrong.AMQPError, OSError) as problem:
        found = "%s: %s" % (type(problem).__name__, problem)
    if found == wanted:
        report.ok(name, time.monotonic() - begin)
    else:
        report.not_ok(name, "%s, and not %s" % (found or "nothing was refused", wanted or "nothing"))


def reloaded(broker, permissions, answer):
    """SIGHUP with other permissions; what the log says then."""
    with open(os.path.join(broker.workdir, "access"), "w") as f:
        f.write(godwit_config(permissions))
    with open(broker.log_path, errors="replace") as log:
        log.seek(0, os.SEEK_END)
        broker.process.send_signal(signal.SIGHUP)
        said, end = "", time.monotonic() + 10
        while answer not in said:
            if time.monotonic() > end:
                raise BrokerError("no %r within 10 s after SIGHUP, but: %s" % (answer, said))
            time.sleep(0.01)
            said += log.read()


def reloads(stage):
    """Permissions that are taken away by a reload; and the last ones, which are not, since everybody might do everything then."""
    alice, refusal = PERMISSIONS[1], (530, "NOT_ALLOWED - access to vhost 'orders' refused for user 'bob'")
    for does, permissions, answer in (
            ("is taken away", [alice], ": done"),
            ("stays, since none would be left", [], "everything stays as it was")):
        def action(permissions=permissions, answer=answer):
            reloaded(stage.broker, permissions, answer)
            connect("127.0.0.1", "alice", "alice", "orders").close()
            connect("127.0.0.1", "bob", "bob", "orders").close()
        try:
            case(stage, "access reload: a permission %s" % does, action, refusal)
        except BrokerError as problem:
            stage.report.not_ok("access reload: a permission %s" % does, str(problem))


def run(stage):
    prepare(stage.broker, stage.options.oracle)
    try:
        stage.broker.start()
    except (BrokerError, OSError) as problem:
        stage.report.not_ok("access: the broker starts", str(problem))
        return
    for user, password, vhost, wanted in DOORS:
        case(stage, "access %s opens %s" % (user, vhost),
             lambda: connect("127.0.0.1", user, password, vhost).close(), wanted)  # pylint: disable=cell-var-from-loop
    open_ones = {user: connect("127.0.0.1", user, user, "orders") for user in ("alice", "bob", "auditor")}
    for user, does, action, wanted in CASES:
        channel = open_ones[user].channel()
        case(stage, "access %s %s" % (user, does), lambda: action(channel), wanted)  # pylint: disable=cell-var-from-loop
        if channel.is_open:
            channel.close()
    for connection in open_ones.values():
        connection.close()
    if not stage.options.oracle:
        reloads(stage)
    stage.end_broker()
