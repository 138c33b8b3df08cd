# SPDX-License-Identifier: Apache-2.0
"""A host as one readable text: what `check --record` writes and what the tests' hosts are made of.

    # a comment
    PATH = TEXT         a file of one line
    PATH (present)      a file or device whose content does not matter
    PATH -> TARGET      a symbolic link; of its target only the last name is ever used
    PATH/               a folder that matters by itself
    PATH:               a file of several lines, which follow, each after a tab

Sorted by path, one fact a line, so that two hosts, or one host at two times, can be compared with diff. In a path
{0-3,8} stands for each of these numbers: sixteen CPUs with the same governor are one line. A path is the one by which
sysfs is read (/sys/bus/pci/devices/...), also where folders on the way are links in truth.
"""
import os
import re

import keep
from errors import Trouble
from units import cpus_text, kernel_cpus

HEAD = "# SPDX-License-Identifier: Apache-2.0\n"
CPU = re.compile(r"^(/sys/devices/system/cpu/cpu)(\d+)(/.*)$")


def expanded(path):
    """{0-3} in a path: each of these paths."""
    match = re.search(r"\{([\d,-]+)\}", path)
    if not match:
        return [path]
    return [other for number in kernel_cpus(match.group(1))
            for other in expanded(path[:match.start()] + str(number) + path[match.end():])]


def parse(text, name):
    """Entries (path, kind, content); kind is file, link or folder."""
    entries, body = [], None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("\t") and body is not None:
            body.append(line[1:])
            continue
        body = None
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"(/\S*?)(?: = ?(.*)| \(present\)()| -> (\S+)|/|(:))", line)
        if not match:
            raise Trouble(f"{name}:{number}: {line!r} is none of PATH = TEXT, PATH (present), PATH -> TARGET, PATH/ and PATH:")
        path, value, present, target, several = match.groups()
        if several:
            body = []
            entries.append((path, "file", body))
        elif target:
            entries.append((path, "link", target))
        elif value is None and present is None:
            entries.append((path, "folder", ""))
        else:
            entries.append((path, "file", [value] if value is not None else []))
    return entries


def unpack(text, folder, name):
    """Makes the tree below a folder that exists."""
    for pattern, kind, content in parse(text, name):
        for path in expanded(pattern):
            at = os.path.join(folder, path.lstrip("/"))
            os.makedirs(at if kind == "folder" else os.path.dirname(at), exist_ok=True)
            if kind == "link":
                os.symlink(content, at)
            elif kind == "file":
                with open(at, "x", encoding="utf-8") as file:
                    file.write("".join(f"{line}\n" for line in content))


def entry(path, kind, content):
    if kind == "link":
        return f"{path} -> {content}"
    if kind == "folder":
        return f"{path}/"
    if not content:
        return f"{path} (present)"
    if len(content) == 1:
        return f"{path} = {content[0]}".rstrip()
    return "\n".join([f"{path}:", *(f"\t{line}" for line in content)])


def folded(entries):
    """Files that are alike on several CPUs, as one."""
    cpus, others = {}, []
    for path, kind, content in entries:
        match = CPU.match(path)
        if match and kind == "file":
            cpus.setdefault((match.group(3), tuple(content)), []).append(int(match.group(2)))
        else:
            others.append((path, kind, content))
    for (rest, content), numbers in cpus.items():
        number = f"{{{cpus_text(numbers)}}}" if len(numbers) > 1 else str(numbers[0])
        others.append((f"/sys/devices/system/cpu/cpu{number}{rest}", "file", list(content)))
    # cpu2 before cpu10.
    return sorted(others, key=lambda each: re.sub(r"\d+", lambda digits: digits.group().zfill(8), each[0]))


def without_macs(text):
    """Interfaces that were named by their MAC address get a number instead."""
    seen = {}
    return re.sub(r"\benx[0-9a-f]{12}\b", lambda name: seen.setdefault(name.group(), f"enx{len(seen)}"), text)


def capture(root):
    """The text for a host, without what names it or its owner: keep.py says which files, and what of them."""
    lines = [HEAD, "# Recorded by godwit-host check --record: no serial numbers, MAC or IP addresses, host names.\n"]
    lines += [entry(*each) + "\n" for each in folded(keep.entries(root))]
    return without_macs("".join(lines))
