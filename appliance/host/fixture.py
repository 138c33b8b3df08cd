# SPDX-License-Identifier: Apache-2.0
"""The tests' hosts: testdata/NAME.host, unpacked into a folder, and the tool run on it."""
import contextlib
import os
import stat
import sys
import tempfile

sys.dont_write_bytecode = True

import main  # noqa: E402
import record  # noqa: E402

TESTDATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "testdata")
HOSTS = sorted(name.removesuffix(".host") for name in os.listdir(TESTDATA) if name.endswith(".host"))


def text(name):
    with open(os.path.join(TESTDATA, name), encoding="utf-8") as file:
        return file.read()


@contextlib.contextmanager
def host(name):
    """The folder; nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="godwit-host-") as folder:
        record.unpack(text(f"{name}.host"), folder, f"{name}.host")
        yield folder


def run(folder, *words):
    """(exit status, what it printed, what it said beside it), each with ROOT for the folder."""
    out, err = [], []
    status = main.run([words[0], "--root", folder, *words[1:]], out.append, err.append)
    return status, *("\n".join(lines).replace(folder, "ROOT") for lines in (out, err))


def tree(folder):
    """All that is in it: {path: (kind, mode, octets or target)}."""
    found = {}
    for at, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(at, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                content = os.readlink(path)
            elif stat.S_ISDIR(mode):
                content = ""
            else:
                with open(path, "rb") as file:
                    content = file.read()
            found[os.path.relpath(path, folder)] = (stat.S_IFMT(mode), stat.S_IMODE(mode), content)
    return found
