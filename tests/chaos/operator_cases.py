# SPDX-License-Identifier: Apache-2.0
"""What operators do to the program: kills at any moment, signals, second starts, hosts that lack something."""
import os
import random
import signal
import subprocess
import time

import amqp
import godwit
from clients import serves
from tap import Skip, check

CONFIG = """\
memory:
  hugepages: off
  messages: 16M
  buffers: 1024
  socket_buffers: 64
limits:
  message_size: 8M
"""
HUGE = CONFIG.replace("  hugepages: off\n", "")
KILLS = 25
IN_MOUNTS = ("unshare", "-m", "sh", "-c")


def start_and_end(work, name, config=CONFIG, wrap=(), addresses=(godwit.BYPASS, godwit.KERNEL), said=()):
    """Starts, serves on these addresses, ends with 0; the log has all of said."""
    broker = godwit.Godwit(work, name, config, wrap=wrap)
    try:
        broker.start()
        serves(addresses)
        seconds, status = broker.term()
        check(status == 0 and seconds < 2.5, "exit status", status, "after", seconds, "s")
        for words in said:
            check(words in broker.said(), "the log lacks", repr(words), "in", broker.said()[:800])
    finally:
        broker.kill()


def refuses(work, name, config=CONFIG, wrap=(), said=(), untouched=False):
    """Ends by itself, not with 0, and says why; untouched: before anything was made."""
    broker = godwit.Godwit(work, name, config, wrap=wrap).spawn()
    try:
        status = broker.process.wait(15)
        check(0 < status < 128, "exit status", status)
        for words in said:
            check(words in broker.said(), "the log lacks", repr(words), "in", broker.said()[:800])
        check(not untouched or "will make" not in broker.said(), "the host was touched:", broker.said()[:800])
    finally:
        broker.kill()
    check(godwit.TAP not in godwit.links(), "a TAP is left")


def kills(work, seed):
    """kill -9 at any moment of start and run, then the next start: it finds nothing in its way, and at the end
    nothing is left."""
    rng = random.Random(seed + "/kill")
    pages = godwit.hugepages()
    for i in range(KILLS):
        broker = godwit.Godwit(work, "kill", HUGE if i % 2 else CONFIG).spawn()
        time.sleep(rng.random() * rng.choice([0.05, 0.3, 0.6]))
        broker.kill()
        if rng.random() < 0.3:
            continue  # the next start does not wait for the keeper of this one
        godwit.keeper_gone(1.0)  # killed before the keeper was made, an empty file stays for the next start
        check(godwit.TAP not in godwit.links(), "after kill", i, "a TAP is left")
    time.sleep(0.3)
    start_and_end(work, "kill", HUGE)
    check(not godwit.keeper_gone(), "state is left:", os.listdir(godwit.STATE))
    check(not os.path.exists(os.path.join(work, "kill.sock")), "the control socket is left")
    check(godwit.hugepages() == pages, "hugepages were", pages, "and are", godwit.hugepages())


def keeper_killed_too(work):
    """Nobody is left to undo: the next start does."""
    pages = godwit.hugepages()
    broker = godwit.Godwit(work, "orphan", HUGE).start()
    keeper = None
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/comm" % pid) as f:
                keeper = int(pid) if f.read().strip() == "godwit-keeper" else keeper
        except OSError:
            pass
    check(keeper is not None, "there is no keeper")
    os.kill(keeper, signal.SIGKILL)
    broker.kill()
    check(os.listdir(godwit.STATE), "there is no state to adopt")
    start_and_end(work, "orphan", HUGE, said=["undid what 1 earlier start"])
    check(not godwit.keeper_gone(), "state is left")
    check(godwit.hugepages() == pages, "hugepages were", pages, "and are", godwit.hugepages())


def second_start(work):
    first = godwit.Godwit(work, "first", CONFIG).start()
    try:
        refuses_beside = godwit.Godwit(work, "first", CONFIG).spawn()
        status = refuses_beside.process.wait(10)
        said = refuses_beside.said()
        check(status == 1 and "interface godwit0 exists already" in said and "pid %d" % first.pid in said,
              "exit status", status, "and said", said)
        serves()
        first.status()
        other = godwit.Godwit(work, "first", CONFIG + """\
ports:
  - name: gw1
    device: tap
    address: 198.18.0.6/30
    host_address: 198.18.0.5/30
listeners:
  - name: second
    transport: bypass
""").start()
        serves(["198.18.0.6"])
        check("another broker (pid %d) listens there" % first.pid in other.said(), other.said())
        check(other.term()[1] == 0, "exit status of the second")
        serves()
        check(first.status()["pid"] == first.pid, "the first lost its control socket")
        check(first.term()[1] == 0, "exit status of the first")
    finally:
        first.kill()


def hangups(work):
    broker = godwit.Godwit(work, "hup", CONFIG).start()
    try:
        for _ in range(200):
            broker.process.send_signal(signal.SIGHUP)
            time.sleep(0.001)
        broker.set_config("nonsense: [\n")
        broker.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        broker.set_config(CONFIG + "  queues: 5\n")
        broker.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        os.unlink(broker.config)
        broker.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        serves()
        check("limits.queues: 65536 -> 5: needs a restart" in broker.said(), broker.said()[-800:])
        check(broker.said().count("refused; everything stays as it was") == 2, broker.said()[-800:])
        check(broker.term()[1] == 0, "exit status")
    finally:
        broker.kill()


def interrupted_twice(work):
    broker = godwit.Godwit(work, "int", CONFIG).start()
    try:
        silent = [amqp.Client(address) for address in (godwit.BYPASS, godwit.KERNEL)]
        begin = time.monotonic()
        broker.process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        broker.process.send_signal(signal.SIGINT)
        status = broker.process.wait(5)
        check(status == 0 and time.monotonic() - begin < 2.5, "exit status", status)
        for c in silent:
            try:
                c.next_method()
            except amqp.Closed as e:
                check(e.code == 320, e)
    finally:
        broker.kill()


def standard_files(work):
    for how in (">&-", ">&- 2>&- <&-", ">/dev/full 2>/dev/full"):
        broker = godwit.Godwit(work, "std", CONFIG, wrap=("sh", "-c", 'exec "$@" ' + how, "sh")).spawn()
        try:
            deadline = time.monotonic() + 15
            while not os.path.exists(broker.socket) and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.2)
            serves()
            check(broker.term()[1] == 0, how, "exit status")
        finally:
            broker.kill()


def nobody_reads_the_log(work):
    """Standard error is a pipe that is full: service goes on, and SIGTERM ends it in time."""
    ours, theirs = os.pipe()
    broker = godwit.Godwit(work, "deaf", CONFIG)
    broker.process = subprocess.Popen(broker.argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    try:
        deadline = time.monotonic() + 15
        while not os.path.exists(broker.socket) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        for _ in range(700):
            amqp.good_client_works(godwit.KERNEL)
        seconds, status = broker.term()
        check(status == 0 and seconds < 2.5, "exit status", status, "after", seconds, "s")
    finally:
        broker.kill()
        os.close(ours)


def as_nobody(work):
    folder = os.path.join(work, "nobody")
    os.mkdir(folder, 0o755)
    os.chown(folder, 65534, 65534)
    start_and_end(folder, "nobody", wrap=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
                  addresses=[godwit.KERNEL], said=["making a TAP needs root", "root would add"])


def hugepages_exact(work):
    """Small message memory in hugepages: what was reserved is enough for it, and given back."""
    pages = godwit.hugepages()
    probe = godwit.Godwit(work, "huge", HUGE.replace("memory:", "memory:\n  hugepages: on")).spawn()
    try:
        probe.wait_ready()
    except RuntimeError as e:
        if "hugepages is on, and they cannot be had" in str(e):
            raise Skip("no hugepages on this machine")
        raise
    else:
        serves()
        check(probe.term()[1] == 0, "exit status")
    finally:
        probe.kill()
    check(not godwit.keeper_gone() and godwit.hugepages() == pages,
          "hugepages were", pages, "and are", godwit.hugepages())


def run(cases, work, seed):
    cases.run("hugepages_exact", hugepages_exact, work)
    cases.run("kills", kills, work, seed)
    cases.run("keeper_killed_too", keeper_killed_too, work)
    cases.run("second_start", second_start, work)
    cases.run("hangups", hangups, work)
    cases.run("interrupted_twice", interrupted_twice, work)
    cases.run("standard_files", standard_files, work)
    cases.run("nobody_reads_the_log", nobody_reads_the_log, work)
    cases.run("no_tun", start_and_end, work, "tun", CONFIG,
              (*IN_MOUNTS, 'mount -t tmpfs tmpfs /dev/net && exec "$@"', "sh"), [godwit.KERNEL],
              ["/dev/net/tun is not there"])
    cases.run("hugepages_read_only", start_and_end, work, "sys", HUGE,
              (*IN_MOUNTS, 'mount -o bind /sys /sys && mount -o remount,ro,bind /sys && exec "$@"', "sh"),
              (godwit.BYPASS, godwit.KERNEL), ["no hugepages: reserving"])
    cases.run("few_files", start_and_end, work, "files", CONFIG, ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh"))
    cases.run("too_few_files", refuses, work, "files", CONFIG,
              ("setpriv", "--bounding-set=-sys_resource", "sh", "-c", 'ulimit -n 20; exec "$@"', "sh"),
              ["files may be open", "Too many open files"])
    cases.run("as_nobody", as_nobody, work)
    cases.run("state_folder_of_another", refuses, work, "owner", CONFIG,
              (*IN_MOUNTS, 'mount -t tmpfs -o mode=755,uid=65534 tmpfs /run/godwit && exec "$@"', "sh"),
              ["/run/godwit belongs to", "chown"], True)
    cases.run("no_state_folder", start_and_end, work, "run", CONFIG,
              (*IN_MOUNTS, 'mount -t tmpfs -o mode=755 tmpfs /run && exec "$@"', "sh"))
    cases.run("unknown_user", refuses, work, "user", "user: no-such-user\n" + CONFIG, (),
              ["no-such-user", "change the key user"], True)
    cases.run("wrong_configuration", refuses, work, "wrong", CONFIG + "  quues: 5\n", (), ["quues"], True)
    cases.run("more_memory_than_there_is", refuses, work, "much",
              "memory:\n  messages: 900G\n  hugepages: on\n", (), ["they cannot be had"])
