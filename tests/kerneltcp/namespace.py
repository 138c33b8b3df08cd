# SPDX-License-Identifier: Apache-2.0
"""The outer part: makes the network namespace and a folder, runs stage.py inside, removes both again, also
on failure. KERNELTCP names the program."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    namespace = f"gw-kerneltcp-{os.getpid()}"
    keep = os.environ.get("GODWIT_CAPTURES")
    work = keep or tempfile.mkdtemp(prefix="godwit-kerneltcp-")
    try:
        subprocess.run(["ip", "netns", "add", namespace], check=True)
        inner = ["ip", "netns", "exec", namespace, "/usr/bin/python3", "-B", os.path.join(HERE, "stage.py"), work]
        return subprocess.run(inner).returncode
    finally:
        subprocess.run(["ip", "netns", "delete", namespace])
        if not keep:
            shutil.rmtree(work, ignore_errors=True)


sys.exit(main())
