# SPDX-License-Identifier: Apache-2.0
"""`godwit-host define`: writes a guest's folder, with libvirt's domain in it, or prints what it would be."""
import os

import broker_config
import domain
import drive
import image
import layout
import qemu
from errors import Misuse, Trouble
from host import Host
from units import interface_address, size

MTU_MIN, MTU_MAX = 576, 9000


def command(args, root, say, remark):
    """say: what was asked for; remark: what is said beside it."""
    host = Host(root)
    vms = layout.guests(host, args)
    configs = [members(args, vm, *given) for vm, given in zip(vms, settings(args, vms))]
    for line in layout.remarks(host, vms):
        remark(line)
    for line in missing(args):
        remark(line)
    if args.print:
        for vm in vms:
            if len(vms) > 1:
                say(f"<!-- {vm.name} -->" if args.print == "xml" else f"# {vm.name}")
            say((domain.document(vm) if args.print == "xml" else qemu.command(vm)).rstrip("\n"))
        return 0
    data_bytes = size(args.data_size, "--data-size")
    target = image_for(root, args, vms)
    for vm, files in zip(vms, configs):
        write(root, vm, files, target, data_bytes, say)
    say("Nothing was started. To go on: " + "; ".join(f"virsh define {vm.path('domain.xml')} && virsh autostart {vm.name} && "
                                                      f"virsh start {vm.name}" for vm in vms))
    return 0


def text_of(path, option):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as problem:
        raise Misuse(f"{option} {path}: {getattr(problem, 'strerror', None) or 'it is no text'}") from None


def settings(args, vms):
    """Of each guest: its ports' addresses, the gateway, and its management address."""
    if args.config and (args.address or args.gateway or args.users or args.mtu != 1500):
        raise Misuse("--config: addresses, gateway, MTU and users stand in that file: leave the options away")
    if not MTU_MIN <= args.mtu <= MTU_MAX:
        raise Misuse(f"--mtu {args.mtu}: wants {MTU_MIN} to {MTU_MAX}")
    addresses, gateway = layout.addresses(args, vms)
    managed = args.management.split(",")
    if managed != ["dhcp"]:
        managed = [str(interface_address(text, "--management")) for text in managed]
        if len(managed) != len(vms):
            raise Misuse(f"--management {args.management}: wants dhcp, or an address for each of {len(vms)} guests")
    return [(own, gateway, managed[i % len(managed)]) for i, own in enumerate(addresses)]


def members(args, vm, addresses, gateway, managed):
    """Of the config drive."""
    users = drive.users(text_of(args.users, "--users"), args.users) if args.users else []
    files = {
        "godwit.yaml": text_of(args.config, "--config") if args.config else
                       broker_config.text(vm, addresses, gateway, args.mtu, users),
        "hostname": f"{vm.name}\n",
        "management.network": drive.network(vm.mac("management"), managed),
    }
    if args.ssh_key:
        files["authorized_keys"] = drive.keys(text_of(args.ssh_key, "--ssh-key"), args.ssh_key)
    if args.chrony:
        files["chrony.conf"] = text_of(args.chrony, "--chrony")
    return files


def missing(args):
    if not args.ssh_key:
        yield "no --ssh-key: nobody can log in to the guest"
    if not args.config and not args.address:
        yield "no --address: ports get 198.18.1.2/24, 198.18.2.2/24 and so on, of the range for benchmarks (RFC 2544)"
    if not args.config and not args.users:
        yield "no --users: nobody can use the broker by its ports yet"


def image_for(root, args, vms):
    """The folder that the guests' links are to lead to, or ""."""
    if not args.image:
        return ""
    target = image.checked(args.image)
    for vm in vms:
        old = image.read(root.at(vm.folder), "image")
        if old not in ("", target):
            raise Misuse(f"--image: {vm.name} has {old} already: `godwit-host upgrade --name {vm.name} --image {args.image}`, which "
                         "keeps the way back")
    return target


def write(root, vm, files, target, data_bytes, say):
    folder = root.at(vm.folder)
    try:
        root.folders(vm.folder)
        if target:
            image.point(folder, "image", target)
        data(folder, data_bytes, say)
        root.file_write(vm.path("config.tar"), drive.pack(files), 0o600)
        root.file_write(vm.path("domain.xml"), domain.document(vm), 0o644)
    except OSError as problem:
        raise Trouble(f"{problem.filename or folder}: {problem.strerror}: run it as root, or say --dir") from None
    say(f"{vm.name}: {folder}: config.tar ({', '.join(sorted(files))}), domain.xml")
    if not image.read(folder, "image"):
        say(f"{vm.name}: no image yet: `godwit-host upgrade --name {vm.name} --image DIR`, with what appliance/build.sh made")


def data(folder, data_bytes, say):
    """Made once: what is in it is the guest's."""
    path = os.path.join(folder, "data.img")
    if os.path.exists(path):
        say(f"{path} is there and stays as it is")
        return
    with open(path, "xb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.truncate(data_bytes)
