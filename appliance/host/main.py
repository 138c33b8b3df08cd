# SPDX-License-Identifier: Apache-2.0
"""The command line."""
import argparse
import os
import sys

import check
import define
import image
import prepare
from errors import Misuse, Trouble
from host import CPU
from root import Root

EPILOG = """Exit status: 0 all good, or done; 1 something needed is missing, or failed; 2 misuse. appliance/README.md tells more."""


def parser():
    top = argparse.ArgumentParser(prog="godwit-host", description="Prepares a host for Godwit's appliance, and describes its guests.",
                                  epilog=EPILOG, allow_abbrev=False)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("--root", default="/", metavar="DIR", help="a copy of a host's files instead of /")
    options_of_check(commands, common)
    options_of_prepare(commands, common)
    options_of_define(commands, common)
    for name, text in (("upgrade", "the guest starts from another image next time"), ("rollback", "and from the one before again")):
        sub = commands.add_parser(name, help=text, parents=[common], allow_abbrev=False)
        sub.add_argument("--name", required=True, help="the guest")
        sub.add_argument("--dir", metavar="DIR", help="its folder (/var/lib/godwit/NAME)")
        if name == "upgrade":
            sub.add_argument("--image", required=True, metavar="DIR", help="what appliance/build.sh made")
    return top


def options_of_check(commands, common):
    sub = commands.add_parser("check", help="says what is missing, why it matters and what to do", parents=[common], allow_abbrev=False)
    sub.add_argument("--ports", metavar="PCI,...", help="these ports (all 10GbE ports of Intel's)")
    sub.add_argument("--cpus", metavar="LIST", help="the guests' CPUs (those that are isolated already)")
    sub.add_argument("--memory", metavar="SIZE", help="of the guests on one NUMA node, such as 8G")
    sub.add_argument("--json", action="store_true", help="for programs")
    sub.add_argument("--record", metavar="FILE", help="writes down what is looked at, as a text without names; - prints it")


def options_of_prepare(commands, common):
    sub = commands.add_parser("prepare", help="makes a host, or with --client the measuring machine, ready; says so first",
                              parents=[common], allow_abbrev=False)
    sub.add_argument("--ports", metavar="PCI,...", help="what guests will drive")
    sub.add_argument("--cpus", metavar="LIST", help="what guests will run on, such as 9,11,13,15")
    sub.add_argument("--interrupts", metavar="LIST", help="CPUs for the ports' interrupts; with --client one an interface")
    sub.add_argument("--hugepages-1g", metavar="N", help="pages of 1 GiB on each of the ports' NUMA nodes; or NODE:N,...")
    sub.add_argument("--hugepages-2m", metavar="N", help="pages of 2 MiB, likewise")
    sub.add_argument("--services", action="store_true", help="also turns off the services that the report does (--client always does)")
    sub.add_argument("--client", action="store_true", help="the measuring machine instead of a host")
    sub.add_argument("--interfaces", metavar="NAME,...", help="with --client: the interfaces that are measured by")
    sub.add_argument("--sockets", metavar="LIST", help="with --client: sockets for the tools alone (the last ones)")
    sub.add_argument("--dry-run", action="store_true", help="says what it would do, and nothing else (the default)")
    sub.add_argument("--apply", action="store_true", help="does it")
    sub.add_argument("--undo", action="store_true", help="takes back what --apply did")


def options_of_define(commands, common):
    sub = commands.add_parser("define", help="writes a guest's folder and libvirt domain", parents=[common], allow_abbrev=False)
    sub.add_argument("--ports", metavar="PCI,...", help="passed through; of several guests each gets as many, in order")
    sub.add_argument("--bridge", metavar="NAME", help="instead: a virtio port on this bridge")
    sub.add_argument("--cpus", metavar="LIST", help="one for each vCPU, / between guests (with --count 2 the report's)")
    sub.add_argument("--interrupts", metavar="LIST", help="CPUs of interrupts and QEMU's other threads, / between guests")
    sub.add_argument("--memory", default="8G", metavar="SIZE", help="of each guest (8G)")
    sub.add_argument("--pages", choices=("auto", "1G", "2M", "none"), default="auto", help="what the memory is made of (auto)")
    sub.add_argument("--name", required=True, help="the guest's, or the first one's, such as vm1")
    sub.add_argument("--count", type=int, default=1, help="guests (1)")
    sub.add_argument("--image", metavar="DIR", help="what appliance/build.sh made")
    sub.add_argument("--dir", metavar="DIR", help="the guest's folder, or the one above those of several (/var/lib/godwit/NAME)")
    sub.add_argument("--data-size", default="8G", metavar="SIZE", help="of a new data disk, which takes room as it fills (8G)")
    sub.add_argument("--ssh-key", metavar="FILE", help="public keys of those who may log in")
    sub.add_argument("--address", metavar="IP/LEN,...", help="of each port")
    sub.add_argument("--gateway", metavar="IP", help="of the port in whose subnet it is")
    sub.add_argument("--mtu", type=int, default=1500, help="of the ports (1500)")
    sub.add_argument("--management", default="dhcp", metavar="dhcp|IP/LEN,...", help="of the management interface (dhcp)")
    sub.add_argument("--management-bridge", metavar="NAME", help="where that is (libvirt's network `default`); user: QEMU's own")
    sub.add_argument("--config", metavar="FILE", help="the broker's configuration, instead of one made here")
    sub.add_argument("--users", metavar="FILE", help="the broker's users: NAME:HASH a line, as mkpasswd makes it")
    sub.add_argument("--chrony", metavar="FILE", help="time servers, in chrony's words")
    sub.add_argument("--uio", action="store_true", help="no emulated IOMMU: uio_pci_generic in the guest; for PFs alone")
    sub.add_argument("--print", choices=("xml", "qemu"), help="prints the description and writes nothing")


def run(words, out, err):
    """The exit status; out and err take a line each."""
    args = parser().parse_args(words)
    root = Root(args.root)
    try:
        if args.command in ("check", "prepare", "define") and not root.exists(f"{CPU}/online"):
            raise Misuse(f"--root {args.root}: there is no {CPU}/online in it: is it a copy of a host?")
        if args.command == "define":
            return define.command(args, root, out, err)
        if args.command == "prepare":
            return prepare.command(args, root, out)
        if args.command == "check":
            return check.command(args, root, out)
        return (image.upgrade if args.command == "upgrade" else image.rollback)(args, root, out)
    except (Misuse, Trouble) as problem:
        err(f"godwit-host: {problem}")
        return 2 if isinstance(problem, Misuse) else 1


def main():
    try:
        return run(sys.argv[1:], lambda line: print(line, flush=True), lambda line: print(line, file=sys.stderr, flush=True))
    except KeyboardInterrupt:
        print("godwit-host: interrupted; what prepare --apply had done is noted, and prepare --undo takes it back", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Nobody reads any more: not even Python's own last flush may complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
