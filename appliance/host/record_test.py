# SPDX-License-Identifier: Apache-2.0
import os
import tempfile
import unittest

import fixture
import record
from errors import Trouble
from root import Root

# What must not come out: an address, a serial number, a name, a disk's id.
SECRETS = {
    "/sys/class/net/eth0/address": "00:1b:21:29:ce:74", "/proc/cmdline": "root=UUID=8d3c0f5a-aaaa ip=203.0.113.7 intel_iommu=on quiet",
    "/etc/hostname": "trading7", "/sys/class/dmi/id/product_serial": "CN747SECRET", "/etc/machine-id": "0123456789abcdef",
    "/proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nserial\t: CN747SECRET\n\nprocessor\t: 1\nvendor_id\t: GenuineIntel",
    "/proc/net/route": "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
                       "enx001b2129ce74\t00000000\t077100CB\t0003\t0\t0\t0\t00000000\n"
                       "enx001b2129ce74\t007100CB\t00000000\t0001\t0\t0\t0\t00FFFFFF",
    "/proc/net/ipv6_route": "0" * 32 + " 00 " + "0" * 32 + " 00 fe80000000000000021b21fffe29ce74 00000400 00000001 00000000 00000003 "
                            "enx001b2129ce74",
    "/proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n/dev/mapper/trading7-swap partition\t1\t0\t-2",
    "/etc/default/grub": "GRUB_PASSWORD=hunter2\nGRUB_CMDLINE_LINUX=\"isolcpus=3 cryptdevice=UUID=8d3c0f5a-aaaa\"",
    "/sys/class/net/enx001b2129ce74/operstate": "up", "/lib/systemd/system/trading7-feed.service": "x",
}
WORDS = ("00:1b:21", "001b2129ce74", "021b21", "8d3c0f5a", "203.0.113", "077100CB", "007100CB", "trading7", "CN747SECRET",
         "0123456789abcdef", "hunter2", "quiet")


def made(files):
    folder = tempfile.TemporaryDirectory(prefix="godwit-host-")
    for path, content in files.items():
        os.makedirs(os.path.dirname(folder.name + path), exist_ok=True)
        with open(folder.name + path, "w", encoding="utf-8") as file:
            file.write(content + "\n")
    return folder


def body(text):
    return [line for line in text.splitlines() if not line.startswith("#")]


class Format(unittest.TestCase):
    def test_a_record_of_a_host_is_the_host(self):
        for name in fixture.HOSTS:
            with self.subTest(host=name), fixture.host(name) as folder:
                self.assertEqual("\n".join(body(fixture.text(f"{name}.host"))), "\n".join(body(record.capture(Root(folder)))))

    def test_each_kind_of_line(self):
        text = ("# a comment\n/one = text\n/empty =\n/there (present)\n/link -> ../target\n/folder/\n/several:\n\tfirst\n\t\n\tlast\n"
                "/cpu{0-1,3}/governor = slow\n")
        with tempfile.TemporaryDirectory(prefix="godwit-host-") as folder:
            record.unpack(text, folder, "text")
            tree = fixture.tree(folder)
            contents = {path: content for path, (_, _, content) in tree.items()}
        self.assertEqual(contents, {"one": b"text\n", "empty": b"\n", "there": b"", "link": "../target", "folder": "",
                                    "several": b"first\n\nlast\n", "cpu0": "", "cpu1": "", "cpu3": "", "cpu0/governor": b"slow\n",
                                    "cpu1/governor": b"slow\n", "cpu3/governor": b"slow\n"})

    def test_a_line_of_another_kind_is_named(self):
        with self.assertRaisesRegex(Trouble, "bad:2: '/a b' is none of"):
            record.parse("/a = b\n/a b\n", "bad")

    def test_no_name_address_or_number_comes_out(self):
        with made(SECRETS) as folder:
            text = record.capture(Root(folder))
        for word in WORDS:
            self.assertNotIn(word, text)
        for kept in ("/proc/cmdline = intel_iommu=on", 'GRUB_CMDLINE_LINUX="isolcpus=3"', "enx0\t00000000\t00000000", "vendor_id"):
            self.assertIn(kept, text)
        self.assertEqual(text.count("processor"), 1)

    def test_the_command(self):
        with fixture.host("amd") as folder, tempfile.TemporaryDirectory() as work:
            file = os.path.join(work, "mine.host")
            status, out, _ = fixture.run(folder, "check", "--record", file)
            self.assertEqual((status, "Look through it" in out), (0, True))
            with open(file, encoding="utf-8") as made_file:
                self.assertEqual(body(made_file.read()), body(fixture.text("amd.host")))
            self.assertEqual(fixture.run(folder, "check", "--record", f"{work}/no/such")[0], 1)


if __name__ == "__main__":
    unittest.main()
