# SPDX-License-Identifier: Apache-2.0
"""The stage's outer part: everything runs inside a network namespace that is made here and removed at the
end, also on failure; afterwards nothing may be left: no process, namespace, link, hugepage or control socket.
Needs root, and never skips for want of it.

Environment: GODWIT, GODWITCTL (the programs), GODWIT_ARGS (further arguments of the broker), BUILD (where
what clients need is built), INTEROP_STAGE (what is run inside instead of stage.py)."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))
from builds import build_clients  # noqa: E402
from options import arguments  # noqa: E402
from scenarios import load  # noqa: E402

NAMESPACE_PREFIX = "gw-interop-"


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True).stdout


def hugepages():
    """Total and free pages by size, and the files under every hugetlbfs mount."""
    found = {}
    base = "/sys/kernel/mm/hugepages"
    for size in sorted(os.listdir(base)) if os.path.isdir(base) else []:
        for name in ("nr_hugepages", "free_hugepages"):
            with open(os.path.join(base, size, name)) as value:
                found[size, name] = int(value.read())
    with open("/proc/mounts") as mounts:
        for line in mounts:
            _, where, kind, *_ = line.split()
            if kind == "hugetlbfs":
                found[where] = sorted(os.listdir(where))
    return found


def host_state(oracle):
    """What must be afterwards as it was before. The oracle takes no hugepages, so none are looked at: they
    are the whole machine's."""
    found = {"control sockets": run_sockets(), "links": links()}
    if not oracle:
        found["hugepages"] = hugepages()
    return found


def run_sockets():
    """Unix sockets bound by a program of ours (the control socket and what DPDK would leave)."""
    found = set()
    for folder, _, files in os.walk("/run"):
        found.update(os.path.join(folder, name) for name in files if "godwit" in name or "dpdk" in folder)
    return found


def links():
    return sorted(line.split(": ")[1].split("@")[0] for line in ip("-o", "link").splitlines())


def remove_stale():
    """Namespaces of runs that were killed: their name ends in a process id that is no more."""
    for line in ip("netns", "list").splitlines():
        name = line.split()[0]
        number = name[len(NAMESPACE_PREFIX):]
        if name.startswith(NAMESPACE_PREFIX) and number.isdigit() and not os.path.exists("/proc/" + number):
            remove_namespace(name)


def pids_in(namespace):
    return [int(word) for word in ip("netns", "pids", namespace, check=False).split()]


def remove_namespace(namespace):
    """Ends what runs in it (RabbitMQ's epmd stays by design). Returns the ids that had to be ended."""
    ended = pids_in(namespace)
    for pid in ended:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    deadline = time.monotonic() + 5
    while pids_in(namespace) and time.monotonic() < deadline:
        time.sleep(0.05)
    ip("netns", "del", namespace, check=False)
    return ended


def command_of(pid):
    try:
        with open("/proc/%d/cmdline" % pid) as line:
            return line.read().replace("\0", " ").strip()[:80]
    except OSError:
        return ""


def main():
    options = arguments()
    listed = load(os.path.join(HERE, "scenarios.toml"))
    if options.list:
        for name, about in listed.clients.items():
            print("%-12s %s" % (name, about))
        for name, row in listed.scenarios.items():
            print("%-24s %s" % (name, row["does"]))
        return 0
    if os.geteuid() != 0:
        print("FAIL namespace: needs root, for a network namespace and a TAP\n0 passed, 1 failed, 0 skipped")
        return 1
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    environment.update(build_clients(os.environ["BUILD"], options.client))

    remove_stale()
    before = host_state(options.oracle)
    namespace = NAMESPACE_PREFIX + str(os.getpid())
    work = tempfile.mkdtemp(prefix="godwit-interop-")
    os.chmod(work, 0o755)
    environment["INTEROP_WORK"] = work
    counts = [0, 1, 0]  # of a stage that ends without its own
    stage = None
    status, troubles = 1, []

    def stop(number, _):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        ip("netns", "add", namespace)
        ip("-n", namespace, "link", "set", "lo", "up")
        stage = subprocess.Popen(["ip", "netns", "exec", namespace, "/usr/bin/python3",
                                  os.environ.get("INTEROP_STAGE", os.path.join(HERE, "stage.py"))] + sys.argv[1:],
                                 env=environment)
        status = stage.wait()
        if os.path.exists(os.path.join(work, "counts")):
            with open(os.path.join(work, "counts")) as found:
                counts = [int(word) for word in found.read().split()]
        left = [(pid, command_of(pid)) for pid in pids_in(namespace)]
        troubles += ["process %d left: %s" % row for row in left if "epmd" not in row[1]]
        inside = ip("-n", namespace, "-o", "link", check=False)
        troubles += ["link left in the namespace: " + line for line in inside.splitlines() if ": lo:" not in line]
    finally:
        if stage is not None and stage.poll() is None:
            stage.terminate()
            try:
                stage.wait(10)
            except subprocess.TimeoutExpired:
                stage.kill()
        remove_namespace(namespace)
        if not options.keep and status == 0:
            shutil.rmtree(work, ignore_errors=True)
        else:
            print("# work folder: " + work, flush=True)
    after = host_state(options.oracle)
    troubles += ["%s: before %s, after %s" % (what, before[what], after[what])
                 for what in before if before[what] != after[what]]
    for trouble in troubles:
        print("FAIL nothing left: " + trouble)
    if not troubles:
        print("PASS nothing left")
    counts[1 if troubles else 0] += max(1, len(troubles))
    print("%d passed, %d failed, %d skipped" % tuple(counts), flush=True)
    return status or (1 if troubles else 0)


if __name__ == "__main__":
    sys.exit(main())
