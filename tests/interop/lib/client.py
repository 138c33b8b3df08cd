# SPDX-License-Identifier: Apache-2.0
"""A client program as the stage drives it: a scenario's name in, one answer out."""
import os
import selectors
import shutil
import signal
import subprocess
import time

CLIENTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients")
JAVA_PATH = ":".join([os.environ["BUILD"] + "/interop-java", *("/usr/share/java/%s.jar" % name for name in (
    "amqp-client", "slf4j-api", "slf4j-nop"))])
PROGRAMS = {
    "pika": ["/usr/bin/python3", CLIENTS + "/pika/client.py"],
    "kombu": ["/usr/bin/python3", CLIENTS + "/kombu/client.py"],
    "aio-pika": ["/usr/bin/python3", CLIENTS + "/aio-pika/client.py"],
    "amqplib": ["node", CLIENTS + "/amqplib/client.js"],
    "bunny": ["/usr/bin/ruby", CLIENTS + "/bunny/client.rb"],
    "php-amqplib": ["/usr/bin/php", CLIENTS + "/php-amqplib/client.php"],
    "amqp091-go": [os.environ["BUILD"] + "/interop-go/client"],
    "lapin": [os.environ["BUILD"] + "/interop-lapin/target/debug/client"],
    "java": ["/usr/bin/java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx768m", "-Xss512k", "-cp", JAVA_PATH,
             "Harness"],
    "amqp-tools": ["/bin/bash", CLIENTS + "/amqp-tools/client"],
    "celery": ["/usr/bin/python3", CLIENTS + "/celery/client.py"],
}


class Client:
    """Started at its first scenario, and again after one that hung or ended it."""

    def __init__(self, name, transport, host, port, scenarios_json, work):
        self.name = name
        self.transport = transport
        self.environment = dict(os.environ, AMQP_HOST=host, AMQP_PORT=str(port), SCENARIOS=scenarios_json,
                                INTEROP_TOKEN="%s.%s" % (name, transport))
        self.stderr_path = os.path.join(work, "client-%s-%s.stderr" % (name, transport))
        self.process = None
        self.buffer = b""
        self.said = None  # the line that ended the last wait for a note

    def start(self):
        program = PROGRAMS[self.name]
        if shutil.which(program[0]) is None:
            raise OSError("%s is not installed" % program[0])
        with open(self.stderr_path, "ab") as stderr:
            self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                                            env=self.environment, start_new_session=True)
        self.buffer = b""

    def ask(self, scenario):
        """Tells the client to begin; answer() reads what came of it."""
        if self.process is None or self.process.poll() is not None:
            self.stop()
            self.start()
        self.process.stdin.write(scenario.encode() + b"\n")
        self.process.stdin.flush()

    def line(self, timeout_s):
        """The next line, or None when it did not come in time or the client ended."""
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    return None
                piece = os.read(self.process.stdout.fileno(), 65536)
                if not piece:
                    return None
                self.buffer += piece
        text, self.buffer = self.buffer.split(b"\n", 1)
        return text.decode(errors="replace")

    def wait_note(self, note, timeout_s):
        """Reads until the diagnostic `# note`; False when an answer or the end comes first."""
        while True:
            text = self.said = self.line(timeout_s)
            if text is None or text.startswith(("ok ", "not ok ")):
                return False
            if text == "# " + note:
                return True

    def answer(self, scenario, timeout_s):
        """None for ok, else the reason."""
        while True:
            text = self.line(timeout_s)
            if text is None:
                ended = self.process.poll()
                self.stop()
                return "no answer within %d s" % timeout_s if ended is None else "the client ended (%s)" % ended
            if text == "ok " + scenario:
                return None
            if text.startswith("not ok %s - " % scenario):
                return text[len("not ok %s - " % scenario):]
            if not text.startswith("#"):
                self.stop()
                return "unexpected output: " + text

    def stop(self):
        if self.process is None:
            return
        self.process.stdin.close()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()
        self.process = None
