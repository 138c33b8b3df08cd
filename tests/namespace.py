# SPDX-License-Identifier: Apache-2.0
"""namespace.py STAGE: the outer part of a stage that needs a network of its own: makes a network namespace with a
loopback and a folder, runs tests/STAGE/stage.py FOLDER inside, removes both again, also on failure."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def main(stage):
    if os.geteuid() != 0:
        print("FAIL namespace: needs root, for a network namespace\n0 passed, 1 failed, 0 skipped")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    namespace = f"gw-{stage}-{os.getpid()}"
    work = tempfile.mkdtemp(prefix=f"godwit-{stage}-")
    os.chmod(work, 0o755)
    try:
        subprocess.run(["ip", "netns", "add", namespace], check=True)
        subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True)
        return subprocess.run(["ip", "netns", "exec", namespace, "/usr/bin/python3", "-B",
                               os.path.join(HERE, stage, "stage.py"), work]).returncode
    finally:
        subprocess.run(["ip", "netns", "delete", namespace])
        shutil.rmtree(work, ignore_errors=True)


sys.exit(main(sys.argv[1]))
