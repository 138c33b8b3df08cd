# SPDX-License-Identifier: Apache-2.0
"""What can be done to a host, each with its way back. An operation is a small record that survives in the state file: what
it found (`before`) is written down before it is carried out, so an undo may also meet one that was never carried out, and
is then without effect."""
import dataclasses
import os
import re

from errors import Trouble


@dataclasses.dataclass(frozen=True)
class Value:
    """An attribute of the kernel gets a value."""
    path: str
    value: str
    tolerant: bool = False      # the kernel may refuse: said, and no failure

    def says(self, _root):
        return f"{self.path} = {self.value}"

    def now(self, root):
        text = root.raw(self.path)
        if text is None:
            raise Trouble(f"{self.path} cannot be read: is this host's kernel as `godwit-host check` saw it?")
        return text

    def apply(self, root):
        root.kernel_write(self.path, self.value)

    def undo(self, root, before):
        if root.raw(self.path) in (None, before):
            return
        chosen = re.search(r"\[([^]]*)\]", before)
        root.kernel_write(self.path, chosen.group(1) if chosen else before)


@dataclasses.dataclass(frozen=True)
class Pages(Value):
    """Hugepages of a node: the kernel takes what it finds, which may be less."""

    def apply(self, root):
        super().apply(root)
        have = root.number(self.path)
        if have < int(self.value):
            raise Trouble(f"{self.path}: {have} of {self.value} pages could be had, the rest of the memory is in pieces: after a "
                          "reboot, when the kernel reserves them first, they can")


@dataclasses.dataclass(frozen=True)
class File:
    """A file of ours, which no package and nobody else writes."""
    path: str
    content: str
    mode: int = 0o644

    def says(self, _root):
        return f"{self.path}:\n" + "\n".join(f"    | {line}".rstrip() for line in self.content.splitlines())

    def now(self, root):
        return {"text": root.file_text(self.path), "mode": root.mode(self.path),
                "folders": root.missing_folders(os.path.dirname(self.path))}

    def apply(self, root):
        root.file_write(self.path, self.content, self.mode)

    def undo(self, root, before):
        if before["text"] is None:
            root.remove(self.path, before["folders"])
        else:
            root.file_write(self.path, before["text"], before["mode"])


@dataclasses.dataclass(frozen=True)
class Link:
    path: str
    target: str

    def says(self, _root):
        return f"{self.path} -> {self.target}"

    def now(self, root):
        return {"there": root.exists(self.path), "folders": root.missing_folders(os.path.dirname(self.path))}

    def apply(self, root):
        if not root.exists(self.path):
            root.folders(os.path.dirname(self.path))
            os.symlink(self.target, root.at(self.path))

    def undo(self, root, before):
        if not before["there"]:
            root.remove(self.path, before["folders"])


@dataclasses.dataclass(frozen=True)
class Command:
    """A program; `back` is the one that undoes it. One of them may be empty: what has to run after a file was written has to
    run after it was removed too, and so stands before and behind it."""
    command: tuple
    back: tuple = ()
    tolerant: bool = False

    def says(self, root):
        words = " ".join(self.command) or f"at --undo: {' '.join(self.back)}"
        return words + ("    (below --root no program is run)" if root.is_copy else "")

    def now(self, _root):
        return None

    def apply(self, root):
        if self.command:
            root.run(list(self.command))

    def undo(self, root, _before):
        if self.back:
            root.run(list(self.back))


@dataclasses.dataclass(frozen=True)
class Bind:
    """A PCI device gets another driver."""
    pci: str
    driver: str

    def at(self, name):
        return f"/sys/bus/pci/devices/{self.pci}/{name}"

    def says(self, root):
        old = root.link(self.at("driver"))
        unbind = [f"/sys/bus/pci/drivers/{old}/unbind = {self.pci}"] if old else []
        return "\n".join([f"{self.at('driver_override')} = {self.driver}", *unbind, f"/sys/bus/pci/drivers_probe = {self.pci}"])

    def now(self, root):
        if not root.exists(self.at("driver_override")):
            raise Trouble(f"{self.at('driver_override')} is not there: the kernel is too old for it, or the device is gone")
        override = root.text(self.at("driver_override"))
        return {"driver": root.link(self.at("driver")), "override": "" if override == "(null)" else override}

    def apply(self, root):
        root.kernel_write(self.at("driver_override"), self.driver)
        self.unbind(root, self.driver)
        if root.link(self.at("driver")) != self.driver:
            root.kernel_write("/sys/bus/pci/drivers_probe", self.pci)
        if root.link(self.at("driver")) != self.driver:
            raise Trouble(f"{self.pci}: {self.driver} does not take it; the last lines of dmesg say why")

    def undo(self, root, before):
        root.kernel_write(self.at("driver_override"), before["override"])
        self.unbind(root, before["driver"])
        if before["driver"] and root.link(self.at("driver")) != before["driver"]:
            root.kernel_write(f"/sys/bus/pci/drivers/{before['driver']}/bind", self.pci)

    def unbind(self, root, unless):
        have = root.link(self.at("driver"))
        if have and have != unless:
            user = root.holder(f"/dev/vfio/{root.link(self.at('iommu_group'))}") if have == "vfio-pci" else ""
            if user:
                # The kernel would wait for it, without end.
                raise Trouble(f"{self.pci} is in use by {user}: shut the guest down first")
            root.kernel_write(f"/sys/bus/pci/drivers/{have}/unbind", self.pci)


KINDS = {kind.__name__: kind for kind in (Value, Pages, File, Link, Command, Bind)}


def to_json(operation):
    return {"kind": type(operation).__name__, **dataclasses.asdict(operation)}


def from_json(tree):
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in tree.items() if key != "kind"}
    return KINDS[tree["kind"]](**fields)


@dataclasses.dataclass(frozen=True)
class Step:
    """Operations that belong together, and what they are for."""
    what: str
    why: str
    operations: tuple
    reboot: bool = False
