# SPDX-License-Identifier: Apache-2.0
"""The outer part: makes the network namespace with a pair of interfaces and a folder, runs stage.py inside, removes
them again, also on failure. BUILD names the folder of the programs."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    if os.geteuid() != 0:
        print("FAIL namespace: needs root, for a network namespace\n0 passed, 1 failed, 0 skipped")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    namespace = f"gw-tools-{os.getpid()}"
    work = tempfile.mkdtemp(prefix="godwit-tools-")
    os.chmod(work, 0o755)
    try:
        subprocess.run(["ip", "netns", "add", namespace], check=True)
        for words in ("link set lo up", "link add client0 type veth peer name broker0", "link set client0 up",
                      "link set broker0 up", "addr add 198.18.12.2/24 dev broker0"):
            subprocess.run(["ip", "-n", namespace, *words.split()], check=True)
        # Frames leave as a wire has them: the stack on the other end checks their sums.
        subprocess.run(["ip", "netns", "exec", namespace, "ethtool", "-K", "broker0", "tx", "off", "gso", "off", "tso",
                        "off"], check=True, stdout=subprocess.DEVNULL)
        inner = ["ip", "netns", "exec", namespace, "/usr/bin/python3", "-B", os.path.join(HERE, "stage.py"), work]
        return subprocess.run(inner).returncode
    finally:
        subprocess.run(["ip", "netns", "delete", namespace])
        shutil.rmtree(work, ignore_errors=True)


sys.exit(main())
