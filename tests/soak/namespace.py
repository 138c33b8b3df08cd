# SPDX-License-Identifier: Apache-2.0
"""The outer part: makes the network namespace and a folder, runs stage.py inside, removes both again, also on
failure. GODWIT, GODWITCTL and SOAK name the programs."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    if os.geteuid() != 0:
        print("FAIL namespace: needs root, for a network namespace and a TAP\n0 passed, 1 failed, 0 skipped")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    namespace = f"gw-soak-{os.getpid()}"
    work = tempfile.mkdtemp(prefix="godwit-soak-")
    os.chmod(work, 0o755)
    try:
        subprocess.run(["ip", "netns", "add", namespace], check=True)
        subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True)
        inner = ["ip", "netns", "exec", namespace, "/usr/bin/python3", "-B", os.path.join(HERE, "stage.py"), work]
        return subprocess.run(inner).returncode
    finally:
        subprocess.run(["ip", "netns", "delete", namespace])
        shutil.rmtree(work, ignore_errors=True)


sys.exit(main())
