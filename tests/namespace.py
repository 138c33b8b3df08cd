# SPDX-License-Identifier: Apache-2.0
"""namespace.py STAGE: the outer part of a stage that needs a network of its own: makes a network namespace with a
loopback and a folder, runs tests/STAGE/stage.py FOLDER inside, removes both again, also on failure. Where GODWIT_CAPTURES
names a folder, that is used, and stays."""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


@contextlib.contextmanager
def namespaces(name, ends=("",)):
    """Network namespaces gw-NAME-PID[-END], each with a loopback, and a folder, which are removed at the end, also where
    SIGTERM is it: (names, folder)."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = ["-".join(filter(None, ("gw", name, str(os.getpid()), end))) for end in ends]
    keep = os.environ.get("GODWIT_CAPTURES")
    folder = keep or tempfile.mkdtemp(prefix=f"godwit-{name}-")
    if not keep:
        os.chmod(folder, 0o755)
    made = []
    try:
        for namespace in names:
            subprocess.run(["ip", "netns", "add", namespace], check=True)
            made.append(namespace)
            subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True)
        yield names, folder
    finally:
        for namespace in made:
            subprocess.run(["ip", "netns", "delete", namespace])
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def main(stage):
    if os.geteuid() != 0:
        print("FAIL namespace: needs root, for a network namespace\n0 passed, 1 failed, 0 skipped")
        return 1
    with namespaces(stage) as ((namespace,), work):
        return subprocess.run(["ip", "netns", "exec", namespace, "/usr/bin/python3", "-B",
                               os.path.join(HERE, stage, "stage.py"), work]).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
