# SPDX-License-Identifier: Apache-2.0
"""A host's files: those below /, or a copy of them below a folder (--root), which is no kernel: what a kernel would
answer to a write is played there by the rules of played.py, and no command is run."""
import os
import pathlib
import stat
import subprocess

import played
from errors import Trouble

NEW = ".godwit-new"


class Root:
    def __init__(self, top="/"):
        self.top = os.path.abspath(top)
        self.is_copy = self.top != "/"

    def at(self, path):
        return os.path.join(self.top, path.lstrip("/"))

    def raw(self, path):
        """Text without its last newline, or None where there is none to be had."""
        try:
            return pathlib.Path(self.at(path)).read_text("utf-8", "surrogateescape").removesuffix("\n")
        except OSError:
            return None

    def file_text(self, path):
        """All of an ordinary file, to the last octet; None where there is none."""
        try:
            with open(self.at(path), encoding="utf-8", errors="surrogateescape", newline="") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def mode(self, path):
        """Permissions; 0 where there is no such file."""
        try:
            return stat.S_IMODE(os.stat(self.at(path)).st_mode)
        except OSError:
            return 0

    def text(self, path):
        return (self.raw(path) or "").strip()

    def lines(self, path):
        return (self.raw(path) or "").splitlines()

    def number(self, path):
        """Decimal or 0x; -1 where it is neither."""
        try:
            return int(self.text(path), 0)
        except ValueError:
            return -1

    def exists(self, path):
        return os.path.lexists(self.at(path))

    def names(self, path):
        try:
            return sorted(os.listdir(self.at(path)))
        except OSError:
            return []

    def link(self, path):
        """The last name of what a link points to; "" without one."""
        try:
            return os.path.basename(os.readlink(self.at(path)))
        except OSError:
            return ""

    def holder(self, path):
        """Which program has a file open, as far as this user may see; "" where none has."""
        for number in (name for name in self.names("/proc") if name.isdigit()):
            for handle in self.names(f"/proc/{number}/fd"):
                try:
                    if os.readlink(self.at(f"/proc/{number}/fd/{handle}")) == path:
                        return f"{self.text(f'/proc/{number}/comm')} ({number})"
                except OSError:
                    continue
        return ""

    def kernel_write(self, path, value):
        """To an attribute of sysfs or procfs. Raises OSError with the kernel's reason."""
        if self.is_copy:
            played.write(self, path, value)
            return
        # One write without O_TRUNC: an attribute is not a file.
        handle = os.open(self.at(path), os.O_WRONLY)
        try:
            os.write(handle, f"{value}\n".encode())
        finally:
            os.close(handle)

    def file_write(self, path, content, mode=0o644):
        """Whole or not at all; folders on the way are made."""
        self.folders(os.path.dirname(path))
        temporary = self.at(path) + NEW
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)
            if not self.is_copy:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, self.at(path))

    def missing_folders(self, path):
        """Of those on the way to a path and itself, the outermost first."""
        missing = []
        while path not in ("/", "") and not self.exists(path):
            missing.insert(0, path)
            path = os.path.dirname(path)
        return missing

    def folders(self, path):
        for each in self.missing_folders(path):
            os.mkdir(self.at(each))

    def remove(self, path, folders=()):
        """A file or link of ours, what a write of it that was cut off left, and the folders made for it."""
        for each in (path, path + NEW):
            if self.exists(each):
                os.unlink(self.at(each))
        for each in reversed(folders):
            try:
                os.rmdir(self.at(each))
            except OSError:
                return

    def run(self, command):
        """Runs a program; below --root nothing is run."""
        if self.is_copy:
            return
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        except OSError as problem:
            raise Trouble(f"{command[0]} cannot be run: {problem.strerror}") from None
        if done.returncode:
            last = done.stdout.strip().splitlines()[-1:] or ["without a word"]
            raise Trouble(f"`{' '.join(command)}` ended with {done.returncode}: {last[0]}")
