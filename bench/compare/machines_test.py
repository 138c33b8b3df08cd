# SPDX-License-Identifier: Apache-2.0
import copy
import importlib
import os
import sys
import unittest

import plan
from cores import place_client
from machines import Machines, MachinesError

TREE = {
    "client": {"ssh": "me@client", "port": 2222, "options": ["-i", "/key"], "tree": "/src/godwit", "cpus": [2, 3],
               "devices": [{"device": "0000:06:00.0", "address": "192.0.2.1/24", "hugepages": True}]},
    "host": {"local": True},
    "guests": [{"name": "vm1", "ssh": "vm1", "sudo": True, "programs": "/opt/bin", "start": "virsh start vm1",
                "brokers": {"kernel": {"address": "192.0.2.11"},
                            "ixgbe": {"address": "192.0.2.12/24", "device": "0000:00:10.0", "mtu": 9000, "before": "bind"}}}],
    "settings": {"throughput": {"cores": 4}},
}


class Row:
    def __init__(self, broker, client="kernel"):
        self.name, self.broker, self.client = "a-row", broker, client


def changed(*path, to):
    """TREE with another value somewhere, or without it."""
    tree = copy.deepcopy(TREE)
    at = tree
    for key in path[:-1]:
        at = at[key]
    if to is None:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return tree


class Sections(unittest.TestCase):
    def test_as_it_is_described(self):
        it = Machines(TREE, 1)
        self.assertEqual([place.name for place in it.all()], ["client", "host", "vm1"])
        self.assertEqual(it.client.ssh, ("-p", "2222", "-i", "/key", "me@client"))
        self.assertEqual(it.client.program("godwit-perftest"), "/src/godwit/build/godwit-perftest")
        self.assertEqual(it.client.devices, (("--dpdk-port", "0000:06:00.0", "--address", "192.0.2.1/24", "--hugepages", "yes"),))
        self.assertEqual(it.host.ssh, ())
        guest = it.guests[0]
        self.assertEqual((guest.program("godwit"), guest.sudo, guest.up_s), ("/opt/bin/godwit", True, 120))
        self.assertEqual(guest.brokers["kernel"],
                         {"address": "192.0.2.11", "tcp_port": 5672, "port": None, "before": "", "after": ""})
        self.assertEqual(guest.brokers["ixgbe"],
                         {"address": "192.0.2.12", "tcp_port": 5672, "before": "bind", "after": "",
                          "port": {"device": "0000:00:10.0", "address": "192.0.2.12/24", "mtu": 9000}})
        self.assertEqual(it.settings, {"throughput": {"cores": 4, "nodelay": True, "idle": "poll"},
                                       "latency": {"cores": 1, "nodelay": True, "idle": "poll"}})

    def test_rows_find_their_brokers(self):
        it = Machines(TREE, 1)
        it.check_row(Row("ixgbe", "bypass"), 1)
        self.assertIn("0000:00:10.0", it.about(Row("ixgbe")))
        for row, guests, words in ((Row("xdp"), 1, "guest vm1 has no broker xdp; there are kernel, ixgbe"),
                                   (Row("kernel"), 2, "2 guests, and machines has 1")):
            with self.assertRaisesRegex(MachinesError, words):
                it.check_row(row, guests)
        with self.assertRaisesRegex(MachinesError, "for 2 guests, and has 1 devices"):
            it.check_client(Row("kernel", "bypass"), 2)

    def test_mistakes_are_named(self):
        guest = ("guests", 0)
        for tree, words in (
                (changed("client", to=None), "machines: the key client is missing"),
                (changed("hots", to={}), "machines: no key hots; there are"),
                (changed("client", "local", to=True), "client: wants one of `ssh: USER@HOST` and `local: true`"),
                (changed("host", "local", to=None), "host: wants one of"),
                (changed("client", "ssh", to="-oProxyCommand=x"), "ssh is '-oProxyCommand=x', wants USER@HOST"),
                (changed("client", "port", to=0), "port is 0"), (changed("client", "port", to="x"), "port is 'x'"),
                (changed("client", "options", to="-i"), "options is '-i', wants a list"),
                (changed("client", "tree", to=None), "client: wants `tree`"),
                (changed("client", "tree", to="src"), "wants an absolute path"),
                (changed("client", "cpus", to=[2, 2]), "wants numbers of CPUs"),
                (changed("client", "devices", to=[{"device": "x"}]), "device 1: the key address is missing"),
                (changed("guests", to={}), "guests is {}, wants a list"),
                (changed(*guest, "name", to="a b"), "wants a name of letters"),
                (changed(*guest, "name", to="host"), "that name is taken"),
                (changed("guests", to=TREE["guests"] * 2), "a name stands twice"),
                (changed("host", to=None), "commands for a host, and there is none"),
                (changed(*guest, "up_s", to=0), "up_s is 0"), (changed(*guest, "up_s", to=True), "up_s is True, wants a number"),
                ({**TREE, "guests": [{**TREE["guests"][0], "start": "", "stop": "x"}]}, "stop without start"),
                (changed(*guest, "brokers", to=[]), "wants keys and values"),
                (changed(*guest, "brokers", "kernel", "address", to="vm1"), "wants an IP address"),
                (changed(*guest, "brokers", "kernel", "address", to="192.0.2.1/24"), "wants an IP$"),
                (changed(*guest, "brokers", "kernel", "mtu", to=1500), "no device, but mtu"),
                (changed(*guest, "brokers", "ixgbe", "address", to="192.0.2.1"), "wants IP/LENGTH, for a device"),
                (changed("settings", "latency", to={"workers": 4}), "no key workers; there are cores"),
                (changed("settings", "latency", to={"cores": 0}), "cores is 0"),
                (changed("settings", "latency", to={"idle": "spin"}), "idle is spin, none of poll")):
            with self.assertRaisesRegex(MachinesError, words, msg=words):
                Machines(tree, 1)


class Profile(unittest.TestCase):
    """machines.yaml holds for guests that godwit-host define makes, in the report's layout."""

    def test_ports_and_cpus_are_those_of_define(self):
        tools = os.path.join(plan.HERE, "..", "..", "appliance", "host")
        sys.path.append(tools)
        vm, layout = importlib.import_module("vm"), importlib.import_module("layout")
        client = importlib.import_module("plan_client")
        profile = plan.profile_load(plan.profile_path("machines"))
        shares = layout.REPORT_CPUS.split("/")
        self.assertEqual(len(profile.machines.guests), len(shares))
        for guest, share in zip(profile.machines.guests, shares):
            broker_cpus = tuple(range(1, len(share.split(","))))
            self.assertEqual(tuple(guest.cpus), broker_cpus)
            self.assertEqual(guest.brokers["ixgbe"]["port"]["device"], f"0000:00:{vm.FIRST_PORT_SLOT:02x}.0")
            self.assertIn(f"enp0s{vm.FIRST_PORT_SLOT}", guest.brokers["kernel"]["before"])
            for name, value in client.SYSCTLS:
                if name.startswith("net/core/"):
                    self.assertIn(f" {name.replace('/', '.')}={value}", guest.brokers["kernel"]["before"])
            for kind in ("throughput", "latency"):
                self.assertLessEqual(profile.machines.settings[kind]["cores"], len(broker_cpus))


class Clients(unittest.TestCase):
    def test_places(self):
        self.assertEqual(place_client([5, 4, 2], 1, 2), (((2, 4),), False))
        self.assertEqual(place_client(range(4), 2, 2), (((0, 1), (2, 3)), False))
        self.assertEqual(place_client(range(2), 2, 2), (((0, 1), (0, 1)), True))


if __name__ == "__main__":
    unittest.main()
