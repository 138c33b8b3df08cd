# SPDX-License-Identifier: Apache-2.0
"""Where a program runs: on this machine, or on one behind ssh. What was started there ends with us, whatever ends us."""
import contextlib
import glob
import os
import select
import shlex
import subprocess
import tempfile
import time
import uuid

# Runs its words. When its input ends, because somebody asks or because nobody is there any more, they are told to end,
# and killed after so many seconds.
KEEPER = ('grace=$1; shift; exec 3<&0; "$@" </dev/null 3<&- & child=$!; '
          '{ while read -r _; do :; done <&3; exec 3<&-; kill -TERM $child; left=$((grace * 10)); '
          'while [ $left -gt 0 ] && kill -0 $child; do sleep 0.1; left=$((left - 1)); done; kill -KILL $child; '
          '} >/dev/null 2>&1 & watch=$!; exec 3<&-; wait $child; status=$?; kill $watch; exit $status')
# A folder for as long as somebody holds on to it; and meanwhile what a line asks for, at once: a command of ssh's own costs
# a process or three there. Each answer ends with the mark.
HOLDER = ('mark=$1; d=$(mktemp -d /tmp/godwit-compare.XXXXXX) && trap "rm -rf $d" EXIT && trap "exit 1" HUP INT TERM && '
          'chmod 755 "$d" && printf "%s%s" "$d" "$mark" && '
          'while read -r line; do eval "$line" </dev/null; printf %s "$mark"; done')
CONNECT_S = 10
GRACE_S = 10
PATIENCE_S = 60
# What ssh says, and what to do about it.
HINTS = (
    ("Permission denied", "the machine does not accept the key: name another user or `options: [-i, FILE]` in the profile, or "
     "put the key into authorized_keys there (nobody is asked for a password)"),
    ("Host key verification failed", "its key is not known here, or has changed: connect once by hand, and look"),
    ("Identity file", "there is no such key: see `options` in the profile"),
    ("Could not resolve", "the name is not known here: see `ssh` in the profile"),
    ("a password is required", "let sudo ask for none there (NOPASSWD), or name root in `ssh` and leave `sudo` out"),
    ("Connection refused", "nothing listens there: is sshd running, and are address and `port` right?"),
    ("timed out", "nothing answers there: is the machine up, and is the address right?"),
    ("No route to host", "nothing answers there: is the machine up, and is the address right?"),
)


class TargetError(Exception):
    """A command that failed on a machine."""


class Unreachable(TargetError):
    """A machine that cannot be reached, or no longer: nothing more can be measured."""


def advice(said):
    return next((words for sign, words in HINTS if sign in said), "")


class Here:
    """This machine, at once and without a folder."""

    name = "this machine"
    folder = ""
    prefix = ()

    def argv(self, words):
        return [*self.prefix, *words]

    def check(self):
        """Raises Unreachable where it is gone."""

    def run(self, *words, given=None, patience_s=PATIENCE_S):
        """What the command prints; raises TargetError where it fails or does not end."""
        self.check()
        try:
            done = subprocess.run(self.argv(words), input=given, stdin=subprocess.DEVNULL if given is None else None,
                                  capture_output=True, text=True, errors="replace", timeout=patience_s,
                                  start_new_session=True)
        except subprocess.TimeoutExpired:
            raise TargetError(f"{self.name}: {short(words)}: no end after {patience_s} s") from None
        except FileNotFoundError as problem:
            raise TargetError(f"{self.name}: {problem.filename} is missing: install it") from None
        if done.returncode:
            self.check()
            raise TargetError(f"{self.name}: {short(words)}: status {done.returncode}: "
                              f"{(done.stderr.strip() or done.stdout.strip())[-2000:]}")
        return done.stdout

    def said(self, *words):
        """What it prints, or nothing where it fails."""
        try:
            return self.run(*words).strip()
        except TargetError:
            return ""

    def read(self, *paths):
        """The texts of files, empty where one cannot be read."""
        return [text_of(path) for path in paths]

    def read_all(self, pattern):
        """The texts of all files of such names, one after the other."""
        return "".join(map(text_of, glob.glob(pattern)))

    def job(self, words, **streams):
        self.check()
        return Job(self, words, **streams)


class Machine(Here):
    """A machine that a profile names, connected: by one connection of ssh's that all commands go through, or as this
    one."""

    def __init__(self, name, ssh, sudo, work):
        """ssh: arguments of ssh, its destination the last one; empty: this machine. work: a folder here, for the
        connection's socket."""
        self.name, self.ssh = name, list(ssh)
        self.prefix = ("sudo", "-n") if sudo else ()
        self.socket = os.path.join(work, "ssh-" + name)
        self.holder = self.asking = None
        self.forwards = set()
        self.mark = f"\n-- {uuid.uuid4().hex} --\n"

    def argv(self, words, master=False):
        words = [*self.prefix, *words]
        if not self.ssh:
            return words
        return ["ssh", "-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_S}", "-o", "ServerAliveInterval=15",
                "-o", "LogLevel=ERROR", "-o", f"ControlMaster={'yes' if master else 'no'}", "-o", f"ControlPath={self.socket}",
                "-o", "ControlPersist=no", *self.ssh, shlex.join(words)]

    @contextlib.contextmanager
    def connected(self):
        """It has a folder meanwhile."""
        reading, self.asking = os.pipe()
        with tempfile.TemporaryFile() as err:
            try:
                self.holder = subprocess.Popen(self.argv(["sh", "-c", HOLDER, "sh", self.mark], master=True), stdin=reading,
                                               stdout=subprocess.PIPE, stderr=err, start_new_session=True)
            except FileNotFoundError as problem:
                os.close(self.asking)
                raise TargetError(f"{self.name}: {problem.filename} is missing here: install it (openssh-client)") from None
            finally:
                os.close(reading)
            try:
                *noise, self.folder = self.answer(err).split("\n")
                if noise:
                    raise TargetError(f"{self.name}: its shell has words of its own before any command's: {noise[0]!r}: let what it "
                                      "reads at its start, such as .bashrc, say nothing where there is no terminal")
                yield self
            finally:
                os.close(self.asking)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.holder.wait(GRACE_S)
                self.holder.kill()
                self.holder.wait()
                self.holder.stdout.close()

    def answer(self, err=None):
        """The holder's next one; err: what has what ssh said, while it connects."""
        got, deadline = b"", time.monotonic() + CONNECT_S + GRACE_S
        while not got.endswith(self.mark.encode()):
            if not select.select([self.holder.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Unreachable(f"{self.name}: {short(self.argv(['...']))}: no answer for {CONNECT_S + GRACE_S} s: is the "
                                  "machine overloaded, or gone?")
            more = os.read(self.holder.stdout.fileno(), 65536)
            if not more:
                raise self.gone(err)
            got += more
        return got.decode(errors="replace")[:-len(self.mark)]

    def gone(self, err):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.holder.wait(1)
        if not err:
            return Unreachable(f"{self.name}: its ssh connection is gone: the machine went down, or sshd ended it; `--resume` "
                               "goes on when it is there again")
        err.seek(0)
        said = err.read().decode(errors="replace").strip()
        return Unreachable(f"{self.name}: {short(self.argv(['...']))}: {said or 'ended without a word'}"
                           f"{': ' * bool(advice(said))}{advice(said)}")

    def ask(self, line):
        """What a line of shell prints, at once; nobody hears whether it failed."""
        self.check()
        try:
            os.write(self.asking, line.encode() + b"\n")
        except BrokenPipeError:
            raise self.gone(None) from None
        return self.answer()

    def check(self):
        if self.holder is None or self.holder.poll() is not None:
            raise self.gone(None)

    def read(self, *paths):
        return self.ask(f"for f in {shlex.join(paths)}; do cat \"$f\" 2>/dev/null; printf '\\0'; done").split("\0")[:-1]

    def read_all(self, pattern):
        return self.ask(f"cat {pattern} 2>/dev/null")

    def said(self, *words):
        return self.ask(shlex.join(words).replace("\n", " ") + " 2>/dev/null").strip()

    def write(self, path, text):
        """A file that its owner alone may read."""
        self.run("sh", "-c", 'umask 077 && cat >"$1"', "sh", path, given=text)

    def forwarded(self, path, here):
        """Where a local socket of that machine's is found here, as long as it is connected."""
        if not self.ssh:
            return path
        if here not in self.forwards:
            words = self.argv([])[:-1]
            done = subprocess.run([*words[:1], "-O", "forward", "-L", f"{here}:{path}", *words[1:]], capture_output=True, text=True,
                                  stdin=subprocess.DEVNULL, timeout=PATIENCE_S, start_new_session=True)
            if done.returncode:
                raise TargetError(f"{self.name}: ssh -O forward: {done.stderr.strip()}")
            self.forwards.add(here)
        return here

    def missing(self, *programs):
        """Those that cannot be run there."""
        return self.ask(f"for p in {shlex.join(programs)}; do command -v \"$p\" >/dev/null || echo \"$p\"; done").splitlines()


class Job:
    """A program that runs until it ends or is stopped."""

    def __init__(self, target, words, stdout=subprocess.PIPE, stderr=subprocess.PIPE):
        self.target, self.words = target, words
        reading, self.writing = os.pipe()
        try:
            self.process = subprocess.Popen(target.argv(["sh", "-c", KEEPER, "sh", str(GRACE_S), *words]), stdin=reading,
                                            stdout=stdout, stderr=stderr, text=True, errors="replace",
                                            start_new_session=True)
        except OSError:
            os.close(self.writing)
            raise
        finally:
            os.close(reading)

    def alive(self):
        return self.process.poll() is None

    def stop(self, patience_s=GRACE_S):
        """Its exit status; it has ended."""
        if self.writing is not None:
            os.close(self.writing)
            self.writing = None
        try:
            # The keeper kills what will not end; nobody reads its words any more.
            return self.process.wait(patience_s + GRACE_S)
        except subprocess.TimeoutExpired:
            raise TargetError(f"{self.target.name}: {short(self.words)}: still there {patience_s + GRACE_S} s after it was to "
                              "end: look for it there") from None
        finally:
            self.process.kill()
            self.process.wait()
            for stream in filter(None, (self.process.stdout, self.process.stderr)):
                stream.close()


HERE = Here()


def text_of(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def short(words):
    text = shlex.join(words)
    return text if len(text) <= 400 else text[:400] + " ..."
