# SPDX-License-Identifier: Apache-2.0
"""The config drive: a tar that is a disk. The guest reads it straight from the block device."""
import io
import tarfile

from errors import Misuse
from units import MIB

# Hashes of passwords are in it.
SECRET = "godwit.yaml"


def pack(members):
    """members: {name: text}. The same members make the same octets."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(members):
            content = members[name].encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600 if name == SECRET else 0o644
            entry.mtime = entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            tar.addfile(entry, io.BytesIO(content))
    data = out.getvalue()
    if len(data) > MIB:
        raise Misuse(f"the configuration takes {len(data)} octets on the config drive, which has {MIB}")
    return data + bytes(MIB - len(data))


def network(mac, address):
    """A file of systemd-networkd; address: "dhcp" or IP/LEN."""
    how = "DHCP=ipv4" if address == "dhcp" else f"Address={address}"
    return ("# SPDX-License-Identifier: Apache-2.0\n# Written by godwit-host define: the management interface.\n"
            f"[Match]\nMACAddress={mac}\n\n[Network]\n{how}\n")


def keys(text, where):
    """Public keys, one a line."""
    if "PRIVATE KEY" in text:
        raise Misuse(f"--ssh-key {where}: that is the private half, which stays with you: give the file that ends in .pub")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines or not all(line.startswith(("ssh-", "ecdsa-", "sk-")) and len(line.split()) >= 2 for line in lines):
        raise Misuse(f"--ssh-key {where}: wants public keys, one a line, such as `ssh-ed25519 AAAA... me`")
    return "".join(f"{line}\n" for line in lines)


def users(text, where):
    """NAME:HASH a line, as (name, hash)."""
    found = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, secret = line.strip().partition(":")
        if not name or not secret.startswith("$"):
            raise Misuse(f"--users {where}: {line.strip().split(':')[0]!r}: wants NAME:HASH, where HASH is what mkpasswd or "
                         "`openssl passwd -6` prints")
        found.append((name, secret))
    if len({name for name, _ in found}) != len(found):
        raise Misuse(f"--users {where}: a name stands twice")
    return found
