# SPDX-License-Identifier: Apache-2.0
"""The broker under test, as a process inside the stage's network namespace: Godwit, or RabbitMQ as the
oracle that every expectation of the scenario list is checked against."""
import os
import signal
import socket
import subprocess
import time

PORT = 5672


class BrokerError(Exception):
    pass


def port_answers(host, port=PORT, timeout_s=1.0):
    """True when something accepts a TCP connection there."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False


class Process:
    """A broker process with its log in a file. Subclasses say how it is started and when it is ready."""

    name = ""
    start_timeout_s = 30
    prefix = ()  # what the command is run under

    def __init__(self, workdir):
        self.workdir = workdir
        self.log_path = os.path.join(workdir, self.name + ".log")
        self.process = None

    def spawn(self, argv, env=None):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*self.prefix, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=env, cwd=self.workdir)

    def log_text(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def log_tail(self, lines=25):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def is_ready(self):
        raise NotImplementedError

    def wait_ready(self):
        deadline = time.monotonic() + self.start_timeout_s
        while time.monotonic() < deadline:
            if not self.alive():
                raise BrokerError("%s ended with %s before it was ready:\n%s" % (
                    self.name, self.process.returncode, self.log_tail()))
            if self.is_ready():
                return
            time.sleep(0.05)
        raise BrokerError("%s was not ready within %d s:\n%s" % (
            self.name, self.start_timeout_s, self.log_tail()))

    def terminate(self, timeout_s):
        """SIGTERM. Returns (seconds until the end, exit status); raises when it is still there after
        timeout_s."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise BrokerError("%s still runs %.1f s after SIGTERM" % (self.name, timeout_s)) from None
        return time.monotonic() - begin, status

    def kill(self):
        if self.alive():
            self.process.kill()
            self.process.wait()


class Godwit(Process):
    """The embedded default: no configuration file, TAP port and kernel listener."""

    name = "godwit"
    transports = {"bypass": "198.18.0.2", "kernel": "127.0.0.1"}
    tap = "godwit0"
    shutdown_s_max = 2.0

    def __init__(self, workdir, program, arguments):
        super().__init__(workdir)
        self.program = program
        self.arguments = arguments

    def start(self):
        self.log_from = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        self.spawn([self.program] + self.arguments)
        self.wait_ready()

    def is_ready(self):
        with open(self.log_path, errors="replace") as log:
            log.seek(self.log_from)
            return "ready:" in log.read()

    def tap_mtu(self):
        """MTU of the TAP's host side; raises BrokerError when there is no TAP."""
        out = subprocess.run(["ip", "-o", "link", "show", "dev", self.tap], capture_output=True, text=True)
        if out.returncode != 0:
            raise BrokerError("no TAP %s: %s" % (self.tap, out.stderr.strip()))
        words = out.stdout.split()
        return int(words[words.index("mtu") + 1])


class RabbitMQ(Process):
    """Debian's rabbitmq-server with its own node name, data folder and epmd; nothing outside the
    namespace and the work folder is used."""

    name = "rabbitmq"
    transports = {"kernel": "127.0.0.1"}
    start_timeout_s = 90
    shutdown_s_max = 30.0
    server = "/usr/lib/rabbitmq/bin/rabbitmq-server"
    controller = "/usr/lib/rabbitmq/bin/rabbitmqctl"
    address = "127.0.0.1"
    settings = ""  # more lines of its configuration

    def start(self):
        def under(name):
            return os.path.join(self.workdir, name)

        os.makedirs(under("home"), exist_ok=True)
        with open(under("rabbitmq.conf"), "w") as conf:
            conf.write("listeners.tcp.default = %s:%d\nlog.console = true\n%s" % (self.address, PORT, self.settings))
        with open(under("enabled_plugins"), "w") as plugins:
            plugins.write("[rabbitmq_consistent_hash_exchange].\n")
        env = dict(os.environ)
        env.update({
            "HOME": under("home"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": "4369",
            "RABBITMQ_NODENAME": "interop@localhost",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": under("rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": under("enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": under("mnesia"),
            "RABBITMQ_LOG_BASE": under("log"),
            "RABBITMQ_PID_FILE": under("pid"),
            "RABBITMQ_DIST_PORT": "25672",
        })
        if not os.path.exists(self.server):
            raise BrokerError("the oracle needs Debian's rabbitmq-server")
        self.environment = env
        self.spawn([self.server], env)
        self.wait_ready()

    def rabbitmqctl(self, *words):
        """rabbitmqctl; raises BrokerError where it fails."""
        done = subprocess.run([self.controller, *words], env=self.environment, cwd=self.workdir, capture_output=True,
                              text=True, timeout=60)
        if done.returncode != 0:
            raise BrokerError("rabbitmqctl %s: %s" % (" ".join(words), done.stdout + done.stderr))

    def is_ready(self):
        return "Server startup complete" in self.log_text() and port_answers("127.0.0.1")
