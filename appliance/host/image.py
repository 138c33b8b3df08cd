# SPDX-License-Identifier: Apache-2.0
"""Which image a guest starts from: the link `image` in its folder, and `previous`, the way back. The data disk is another
file, which nothing here touches."""
import os

from errors import Misuse, Trouble
from units import vm_name

MEMBERS = ("vmlinuz", "initrd", "root.squashfs", "VERSION")


def checked(folder):
    """The folder's real path."""
    path = os.path.realpath(folder)
    if not os.path.isdir(path):
        raise Misuse(f"--image {folder}: there is no such folder")
    missing = [name for name in MEMBERS if not os.path.isfile(os.path.join(path, name))]
    if missing:
        raise Misuse(f"--image {folder}: {', '.join(missing)} is missing: wants a folder that appliance/build.sh made")
    return path


def version(folder):
    try:
        with open(os.path.join(folder, "VERSION"), encoding="utf-8") as file:
            return file.readline().strip() or "without a version"
    except OSError:
        return "gone"


def read(folder, name):
    try:
        return os.readlink(os.path.join(folder, name))
    except OSError:
        return ""


def point(folder, name, target):
    """At once: whoever looks meanwhile finds the old one or the new."""
    at, temporary = os.path.join(folder, name), os.path.join(folder, f".{name}.new")
    try:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        os.symlink(target, temporary)
        os.replace(temporary, at)
    except OSError as problem:
        raise Trouble(f"{at}: {problem.strerror}") from None


def vm_folder(root, args):
    folder = root.at(args.dir or f"/var/lib/godwit/{vm_name(args.name)}")
    if not read(folder, "image") and not os.path.isfile(os.path.join(folder, "domain.xml")):
        raise Misuse(f"{folder}: no guest was defined there: `godwit-host define` makes one, --dir says where it is")
    return folder


def switch(folder, name, target, say):
    """`previous` first: should it end between the two, the guest still starts from where it did."""
    old = read(folder, "image")
    if old:
        point(folder, "previous", old)
    point(folder, "image", target)
    say(f"{name}: {version(old) if old else 'no image'} -> {version(target)} ({target})")
    say(f"It takes effect when the guest is started anew; a reboot inside keeps the old one: virsh shutdown {name}, then virsh start {name}")


def upgrade(args, root, say):
    folder = vm_folder(root, args)
    target = checked(args.image)
    if read(folder, "image") == target:
        say(f"{args.name} is at {version(target)} already ({target})")
        return 0
    switch(folder, args.name, target, say)
    say(f"`godwit-host rollback --name {args.name}` goes back; the data disk stays as it is")
    return 0


def rollback(args, root, say):
    folder = vm_folder(root, args)
    target = read(folder, "previous")
    if not target:
        raise Trouble(f"{folder}: there is no previous image: nothing was upgraded yet")
    try:
        checked(target)
    except Misuse:
        raise Trouble(f"{target}: the previous image is gone or not whole; `upgrade --image` takes another") from None
    switch(folder, args.name, target, say)
    say("A second rollback goes forward again")
    return 0
