# SPDX-License-Identifier: Apache-2.0
"""What a kernel makes of a write to sysfs, for trees that are copies: enough of it that what `prepare` does, and its
undo, can be seen in a folder."""
import os
import pathlib
import re


def write(root, path, value):
    name = os.path.basename(path)
    if name in ("bind", "unbind", "drivers_probe"):
        driver(root, path, name, value)
        return
    file = pathlib.Path(root.at(path))
    before = file.read_text("utf-8")
    if name == "driver_override":
        value = value or "(null)"
    elif re.search(r"\[[^]]*\]", before):
        value = chosen(before, value)
    elif name == "nr_hugepages":
        free = file.with_name("free_hugepages")
        if free.exists():
            free.write_text(f"{int(free.read_text('utf-8')) + int(value) - int(before)}\n", "utf-8")
    file.write_text(f"{value}\n", "utf-8")


def chosen(before, value):
    """One of the words has brackets: that is the one in force."""
    words = before.replace("[", "").replace("]", "").split()
    if value not in words:
        raise OSError(22, "Invalid argument")
    return " ".join(f"[{word}]" if word == value else word for word in words)


def driver(root, path, name, pci):
    device = f"/sys/bus/pci/devices/{pci}"
    link = root.at(f"{device}/driver")
    if not root.exists(device):
        raise OSError(19, "No such device")
    if name == "unbind":
        os.unlink(link)
        return
    override = root.text(f"{device}/driver_override")
    if name == "bind":
        bound = path.split("/")[-2]
    elif override not in ("", "(null)"):
        bound = override
    else:
        return
    if os.path.lexists(link):
        raise OSError(16, "Device or resource busy")
    os.symlink(f"../{bound}", link)
