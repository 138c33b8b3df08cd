# SPDX-License-Identifier: Apache-2.0
"""The brokers that are compared: started for a visit, pinned, and ended after it."""
import os
import subprocess
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "interop", "lib"))
import brokers  # noqa: E402  pylint: disable=wrong-import-position

STOP_S = 60
CONFIG = """
lcores: [%s]
idle: %s
ports: [%s]
listeners: [%s]
users: [{name: guest, password: guest}]
memory: {messages: 512M}
control: {socket: %s}
log: {level: warn}
"""


def prefix_of(namespace, cpus):
    pinned = ["taskset", "-c", ",".join(map(str, cpus))]
    return ["ip", "netns", "exec", namespace, *pinned] if namespace else pinned


class Godwit(brokers.Process):
    name = "godwit"

    def __init__(self, work, build, end, cpus, idle, guest):
        super().__init__(work)
        self.log_path = os.path.join(work, f"godwit{guest}.log")
        self.prefix = prefix_of(end.broker_namespace, cpus)
        self.config = os.path.join(work, f"godwit{guest}.yaml")
        port = f"{{name: port{guest}, {end.broker_port}}}" if end.broker_port else ""
        listener = "transport: bypass" if port else f"transport: kernel, address: {end.address}"
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(CONFIG % (", ".join(map(str, cpus)), idle, port, f"{{name: amqp, {listener}}}",
                              os.path.join(work, f"control{guest}.sock")))
        self.program = os.path.join(build, "godwit")

    def start(self):
        with open(self.log_path, "wb"):
            pass
        self.spawn([self.program, "--config", self.config])
        self.wait_ready()

    def is_ready(self):
        return "ready:" in self.log_text()

    def terminate(self, timeout_s):
        seconds, status = super().terminate(timeout_s)
        if status:
            raise brokers.BrokerError(f"godwit ended with {status}:\n{self.log_tail()}")
        return seconds, status

    def version(self):
        words = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True)
        return words.stdout.strip()


class RabbitMQ(brokers.RabbitMQ):
    # Its guest may come from the network, as in every other row.
    settings = "loopback_users = none\n"

    def __init__(self, work, end, cpus):
        super().__init__(work)
        self.address = end.address
        self.namespace = end.broker_namespace
        self.prefix = [*prefix_of(end.broker_namespace, cpus), "env",
                       f"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S {len(cpus)}:{len(cpus)}"]

    def start(self):
        with open(self.log_path, "wb"):
            pass
        super().start()

    def is_ready(self):
        return "Server startup complete" in self.log_text()

    def terminate(self, timeout_s):
        ended = super().terminate(timeout_s)
        # Erlang's name server outlives every node.
        subprocess.run(["ip", "netns", "exec", self.namespace, "env", "ERL_EPMD_PORT=4369", "epmd", "-kill"],
                       capture_output=True)
        return ended

    @classmethod
    def version(cls):
        words = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server"], capture_output=True, text=True)
        return "rabbitmq-server " + words.stdout.strip()


class Elsewhere:
    """Somebody else's broker, which runs already."""

    process = None

    def __init__(self, row):
        self.row = row

    def start(self):
        pass

    def end(self):
        pass

    def version(self):
        return f"unknown, at {self.row.broker}"


def missing(row):
    """Why a row cannot be had on this machine, or None."""
    if row.broker == "rabbitmq" and not os.path.exists(brokers.RabbitMQ.server):
        return "Debian's rabbitmq-server is not installed"
    return None


def server_of(row, work, build, end, cpus, idle, guest):
    if row.external:
        return Elsewhere(row)
    if row.broker == "rabbitmq":
        return RabbitMQ(work, end, cpus)
    return Godwit(work, build, end, cpus, idle, guest)


def end(server):
    """Ends it, gently if it will."""
    if not server.process:
        return
    try:
        if server.alive():
            server.terminate(STOP_S)
    finally:
        server.kill()
