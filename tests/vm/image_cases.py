# SPDX-License-Identifier: Apache-2.0
"""The image as files: nothing is booted."""
import hashlib
import json
import os
import subprocess
import tarfile

from vm import need, run


class Image:
    def __init__(self, work, folder):
        self.work, self.folder = work, folder
        self.files = {}
        squashed = subprocess.Popen(["sqfs2tar", os.path.join(folder, "root.squashfs")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with tarfile.open(fileobj=squashed.stdout, mode="r|") as tar:
            for member in tar:
                wanted = member.name in ("etc/shadow", "var/lib/dpkg/status") or member.name.startswith(("usr/bin/godwit", "etc/ssh/ssh_host"))
                self.files[member.name] = tar.extractfile(member).read() if wanted and member.isreg() else None
        need(squashed.wait(60) == 0, "the root cannot be unpacked")

    def sums(self, folder):
        """What SHA256SUMS says, once it has been found true."""
        with open(os.path.join(folder, "SHA256SUMS"), encoding="utf-8") as f:
            lines = [line.split() for line in f]
        for digest, name in lines:
            with open(os.path.join(folder, name), "rb") as f:
                need(hashlib.sha256(f.read()).hexdigest() == digest, f"{folder}/{name} is not what SHA256SUMS says")
        return dict((name, digest) for digest, name in lines)


def begin(work, image):
    return Image(work, image)


def end(image):
    pass


def twice(image):
    """made twice from the same commit and packages, the image is the same, octet for octet"""
    first, second = image.sums(image.folder), image.sums(os.environ["GODWIT_AGAIN"])
    need(set(first) == {"vmlinuz", "initrd", "root.squashfs", "VERSION", "sbom.spdx.json"}, first)
    need(first == second, f"these differ: {[name for name in first if first[name] != second.get(name)]}")


def bill(image):
    """the SBOM names every package of the root, the kernel, busybox, and the broker, each with its version"""
    with open(os.path.join(image.folder, "sbom.spdx.json"), encoding="utf-8") as f:
        document = json.load(f)
    need(document["spdxVersion"].startswith("SPDX-2."), document["spdxVersion"])
    listed = {(package["name"], package["versionInfo"]) for package in document["packages"]}
    fields = [dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(" "))
              for block in image.files["var/lib/dpkg/status"].decode().split("\n\n") if block.strip()]
    installed = {(block["Package"], block["Version"]) for block in fields if block["Status"] == "install ok installed"}
    need(len(installed) > 50, f"only {len(installed)} packages in dpkg's status")
    need(not installed - listed, f"not in the SBOM: {sorted(installed - listed)}")
    names = {name for name, _ in listed}
    need({"busybox-static", "godwit"} <= names and any(name.startswith("linux-image-") for name in names), sorted(names - {n for n, _ in installed}))


def secrets(image):
    """no account has a password, and no host key is in the image"""
    accounts = [line.split(":") for line in image.files["etc/shadow"].decode().splitlines()]
    need(len(accounts) > 10 and all(set(account[1]) <= {"*", "!"} for account in accounts), [account[0] for account in accounts])
    need(not [name for name in image.files if name.startswith("etc/ssh/ssh_host")], "a host key")


def symbols(image):
    """each program has its symbols beside the image, by its build-id, and none in it"""
    programs = [name for name in image.files if name.startswith("usr/bin/godwit")]
    need(len(programs) == 4, programs)
    for name in programs:
        path = os.path.join(image.work, os.path.basename(name))
        with open(path, "wb") as f:
            f.write(image.files[name])
        build = next(line.split()[-1] for line in run("readelf", "-n", path).stdout.splitlines() if "Build ID" in line)
        kept = os.path.join(image.folder, "symbols", ".build-id", build[:2], build[2:] + ".debug")
        need(os.path.getsize(kept) > os.path.getsize(path) // 4, f"{kept} is small")
        need(".symtab" not in run("readelf", "-S", "-W", path).stdout, f"{name} has its symbols in it")


CASES = [secrets, symbols, bill, twice]
