# SPDX-License-Identifier: Apache-2.0
"""The brokers that are compared: started for a visit, pinned, and ended after it."""
import os
import shutil
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


def config_of(cpus, idle, port, address, tcp_port, control):
    """Godwit's configuration; port: an entry of `ports`, or empty: then it listens at address on the kernel's sockets."""
    listener = "transport: bypass" if port else f"transport: kernel, address: '{address}'"
    return CONFIG % (", ".join(map(str, cpus)), idle, f"{{{port}}}" if port else "",
                     f"{{name: amqp, {listener}, tcp_port: {tcp_port}}}", control)


def prefix_of(namespace, cpus):
    pinned = ["taskset", "-c", ",".join(map(str, cpus))]
    return ["ip", "netns", "exec", namespace, *pinned] if namespace else pinned


def given_cpus(cpus):
    return f"CPU{'s' * (len(cpus) > 1)} {', '.join(map(str, cpus))}"


class Godwit(brokers.Process):
    name = "godwit"

    def __init__(self, work, build, end, cpus, idle, guest):
        super().__init__(work)
        self.log_path = os.path.join(work, f"godwit{guest}.log")
        self.prefix = prefix_of(end.broker_namespace, cpus)
        self.config = os.path.join(work, f"godwit{guest}.yaml")
        self.control = os.path.join(work, f"control{guest}.sock") if end.broker_port else None
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(config_of(cpus, idle, end.broker_port and f"name: port{guest}, {end.broker_port}", end.address, end.port,
                              os.path.join(work, f"control{guest}.sock")))
        self.program = os.path.join(build, "godwit")
        self.given = f"{given_cpus(cpus)}, idle: {idle}" + f", and there the NAPI threads of {end.napi}" * bool(end.napi)

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
        return version_of(os.path.dirname(self.program))


def version_of(build):
    words = subprocess.run([os.path.join(build, "godwit"), "--version"], capture_output=True, text=True, check=True)
    return words.stdout.strip()


class RabbitMQ(brokers.RabbitMQ):
    # Its guest may come from the network, as in every other row.
    settings = "loopback_users = none\n"

    def __init__(self, work, end, cpus):
        super().__init__(work)
        self.address = end.address
        self.namespace = end.broker_namespace
        # As many schedulers as CPUs, which spin as Godwit does (RabbitMQ's own default is that they sleep at once). Not so
        # those of long calls (dirty ones): they would spin on the same CPUs.
        arguments = f"+S {len(cpus)}:{len(cpus)} +sbwt very_long +sbwtdcpu none +sbwtdio none"
        self.prefix = [*prefix_of(end.broker_namespace, cpus), "env", f"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS={arguments}"]
        self.given = f"{given_cpus(cpus)}, {arguments}"

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


class Nats(brokers.Process):
    """nats-server without anything that it does not do by itself: no persistence, no clustering, no monitoring."""
    name = "nats"

    def __init__(self, work, end, cpus):
        super().__init__(work)
        # Go has as many threads at work as it may use CPUs.
        self.prefix = prefix_of(end.broker_namespace, cpus)
        self.config = os.path.join(work, "nats.conf")
        self.given = f"{given_cpus(cpus)}, so as many threads at work"
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f'listen: "{end.address}:{end.port}"\n')

    def start(self):
        with open(self.log_path, "wb"):
            pass
        self.spawn([nats_server(), "-c", self.config])
        self.wait_ready()

    def is_ready(self):
        return "Server is ready" in self.log_text()

    @classmethod
    def version(cls):
        words = subprocess.run([nats_server(), "--version"], capture_output=True, text=True, check=True)
        return words.stdout.strip().replace(":", "")


def nats_server():
    """Where Debian's is, which is not in everybody's PATH, or another one; None."""
    return shutil.which("nats-server", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Inside:
    """A broker that is in its client's process, which starts and ends it."""

    process = None
    given = "a thread that spins"

    def __init__(self, build):
        self.build = build

    def start(self):
        pass

    def version(self):
        return f"{version_of(self.build)}, its layers"


class Elsewhere:
    """Somebody else's broker, which runs already."""

    process = None
    given = "what is not known here"

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
    if row.broker == "nats" and not nats_server():
        return "Debian's nats-server is not installed"
    return None


def server_of(row, work, build, end, cpus, idle, guest):
    if row.external:
        return Elsewhere(row)
    if row.broker == "rings":
        return Inside(build)
    if row.broker == "rabbitmq":
        return RabbitMQ(work, end, cpus)
    if row.broker == "nats":
        return Nats(work, end, cpus)
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
