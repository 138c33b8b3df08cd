# SPDX-License-Identifier: Apache-2.0
"""The section `machines` of a profile: which machines play client, host and guests, and how each is reached. Checked
here; bench/README.md says what each key means."""
import dataclasses
import ipaddress
import os
import re

UP_S = 120
KINDS = {str: "text", int: "a number", bool: "true or false", list: "a list", dict: "keys and values"}
IDLE = ("poll", "pause", "adaptive")


class MachinesError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Place:
    """A machine as a profile describes it."""
    name: str
    ssh: tuple          # arguments of ssh; empty: this machine
    sudo: bool
    tree: str           # the sources there, for their commit; perhaps empty
    programs: str       # the folder of godwit and its tools
    cpus: tuple         # those to be used, or empty: all
    devices: tuple = () # of the client, one a guest: options for the tools
    start: str = ""     # of a guest: commands for the host
    stop: str = ""
    up_s: int = UP_S
    brokers: dict = dataclasses.field(default_factory=dict)

    def program(self, name):
        return os.path.join(self.programs, name)


def need(condition, text):
    if not condition:
        raise MachinesError(text)


def mapping(where, tree, required, optional):
    need(isinstance(tree, dict), f"{where}: wants keys and values, has {tree!r}")
    unknown, absent = set(tree) - set(required) - set(optional), set(required) - set(tree)
    need(not unknown, f"{where}: no key {', '.join(sorted(map(str, unknown)))}; there are {', '.join([*required, *optional])}")
    need(not absent, f"{where}: the key {', '.join(sorted(absent))} is missing")


def typed(where, tree, key, kind, default):
    value = tree.get(key, default)
    need(isinstance(value, kind) and not (kind is int and isinstance(value, bool)),
         f"{where}: {key} is {value!r}, wants {KINDS[kind]}")
    return value


def destination(where, tree):
    """Arguments of ssh, or none for this machine."""
    local = typed(where, tree, "local", bool, False)
    need(local != ("ssh" in tree), f"{where}: wants one of `ssh: USER@HOST` and `local: true`")
    if local:
        return ()
    ssh = typed(where, tree, "ssh", str, "")
    need(re.fullmatch(r"[^\s-]\S*", ssh), f"{where}: ssh is {ssh!r}, wants USER@HOST or a name that ssh knows")
    options = typed(where, tree, "options", list, [])
    port = ("-p", str(tree["port"])) if "port" in tree else ()
    need(not port or port[1].isdigit() and 0 < int(port[1]) < 65536, f"{where}: port is {tree.get('port')!r}, wants 1 to 65535")
    return (*port, *map(str, options), ssh)


def place(name, where, tree, **more):
    programs = typed(where, tree, "programs", str, "")
    home = typed(where, tree, "tree", str, "")
    need(not programs or programs.startswith("/"), f"{where}: programs is {programs!r}, wants an absolute path")
    need(not home or home.startswith("/"), f"{where}: tree is {home!r}, wants an absolute path")
    cpus = typed(where, tree, "cpus", list, [])
    need(all(isinstance(cpu, int) and cpu >= 0 for cpu in cpus) and len(set(cpus)) == len(cpus),
         f"{where}: cpus is {cpus}, wants numbers of CPUs, each once, such as [2, 3]")
    return Place(name, destination(where, tree), typed(where, tree, "sudo", bool, False), home,
                 programs or os.path.join(home, "build") if home else programs, tuple(cpus), **more)


COMMON = ("ssh", "local", "port", "options", "sudo", "tree", "programs", "cpus")


def client_of(tree):
    where = "machines: client"
    mapping(where, tree, (), (*COMMON, "devices"))
    devices = []
    for i, device in enumerate(typed(where, tree, "devices", list, [])):
        mapping(f"{where}: device {i + 1}", device, ("device", "address"), ("gateway", "hugepages"))
        devices.append(("--dpdk-port", str(device["device"]), "--address", str(device["address"]),
                        *(("--gateway", str(device["gateway"])) if "gateway" in device else ()),
                        "--hugepages", "yes" if device.get("hugepages", False) else "no"))
    client = place("client", where, tree, devices=tuple(devices))
    need(client.programs, f"{where}: wants `tree` (the sources, built) or `programs` (a folder)")
    return client


def host_of(tree):
    mapping("machines: host", tree, (), COMMON)
    return place("host", "machines: host", tree)


def guest_of(tree, host):
    need(isinstance(tree, dict) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", str(tree.get("name", ""))),
         "machines: guests: each wants a name of letters, digits, - and _")
    name = str(tree["name"])
    where = f"machines: guest {name}"
    need(name not in ("client", "host"), f"{where}: that name is taken")
    mapping(where, tree, ("name", "brokers"), (*COMMON, "start", "stop", "up_s"))
    start, stop = typed(where, tree, "start", str, ""), typed(where, tree, "stop", str, "")
    need(host or not start + stop, f"{where}: start and stop are commands for a host, and there is none")
    need(start or not stop, f"{where}: stop without start: what was not started here is not stopped either")
    up_s = typed(where, tree, "up_s", int, UP_S)
    need(0 < up_s <= 3600, f"{where}: up_s is {up_s}, wants 1 to 3600 seconds")
    brokers = {str(key): broker_of(f"{where}: broker {key}", of)
               for key, of in typed(where, tree, "brokers", dict, {}).items()}
    guest = place(name, where, tree, start=start, stop=stop, up_s=up_s, brokers=brokers)
    need(guest.programs, f"{where}: wants `tree` (the sources, built) or `programs` (a folder)")
    return guest


def broker_of(where, tree):
    """As described, with address without a prefix length, and port: an entry of the broker's `ports`, or None."""
    need(isinstance(tree, dict) and "address" in tree, f"{where}: wants an address")
    ours = ("address", "tcp_port", "before", "after")
    port = {key: value for key, value in tree.items() if key not in ours}
    text = str(tree["address"])
    try:
        address = str(ipaddress.ip_interface(text).ip)
    except ValueError:
        raise MachinesError(f"{where}: address is {text!r}, wants an IP address") from None
    need(bool(port) == ("device" in tree), f"{where}: no device, but {', '.join(map(str, port))}")
    need(("/" in text) == bool(port), f"{where}: address is {text!r}, wants {'IP/LENGTH, for a device' if port else 'an IP'}")
    return {"address": address, "tcp_port": typed(where, tree, "tcp_port", int, 5672),
            "port": {**port, "address": text} if port else None, "before": typed(where, tree, "before", str, ""),
            "after": typed(where, tree, "after", str, "")}


def settings_of(tree, default_cores):
    """What a test's broker is given: {cores, nodelay, idle}."""
    settings = {}
    mapping("machines: settings", tree, (), ("latency", "throughput"))
    for kind in ("latency", "throughput"):
        where, of = f"machines: settings: {kind}", tree.get(kind, {})
        mapping(where, of, (), ("cores", "nodelay", "idle"))
        cores, nodelay = typed(where, of, "cores", int, default_cores), typed(where, of, "nodelay", bool, True)
        idle = typed(where, of, "idle", str, "poll")
        need(1 <= cores <= 64, f"{where}: cores is {cores}, wants 1 to 64")
        need(idle in IDLE, f"{where}: idle is {idle}, none of {', '.join(IDLE)}")
        settings[kind] = {"cores": cores, "nodelay": nodelay, "idle": idle}
    return settings


class Machines:
    """client, host (or None), guests and settings."""

    def __init__(self, tree, default_cores):
        mapping("machines", tree, ("client", "guests"), ("host", "settings"))
        self.client = client_of(tree["client"])
        self.host = host_of(tree["host"]) if "host" in tree else None
        self.guests = [guest_of(guest, self.host) for guest in typed("machines", tree, "guests", list, [])]
        names = [guest.name for guest in self.guests]
        need(len(set(names)) == len(names), f"machines: guests: a name stands twice: {', '.join(names)}")
        self.settings = settings_of(tree.get("settings", {}), default_cores)

    def all(self):
        return [self.client, *filter(None, [self.host]), *self.guests]

    def check_row(self, row, guests):
        """Whether so many guests at most can be this row, which is not somebody else's broker."""
        need(guests <= len(self.guests), f"{row.name}: {guests} guests, and machines has {len(self.guests)}")
        for guest in self.guests[:guests]:
            need(row.broker in guest.brokers, f"{row.name}: guest {guest.name} has no broker {row.broker}; there are "
                                              f"{', '.join(guest.brokers) or 'none'}")
        self.check_client(row, guests)

    def check_client(self, row, guests):
        need(row.client != "bypass" or guests <= len(self.client.devices),
             f"{row.name}: the client is past the kernel for {guests} guests, and has {len(self.client.devices)} devices")

    def about(self, row):
        """What a row's broker stands on."""
        port = self.guests[0].brokers[row.broker]["port"]
        return f"Godwit bypassing the kernel's TCP on {port['device']}" if port else "Godwit on kernel sockets"
