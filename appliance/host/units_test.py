# SPDX-License-Identifier: Apache-2.0
import unittest

import units
from errors import Misuse


class Units(unittest.TestCase):
    def test_sizes(self):
        for text, number in (("8G", 8 << 30), ("8GiB", 8 << 30), ("8192M", 8 << 30), ("16K", 1 << 14), ("1T", 1 << 40)):
            self.assertEqual(units.size(text, "--memory"), number)
        for text in ("", "8", "0G", "8g", "8GB", "8.5G", "-8G", "08G", "8 G", "G", "8E"):
            with self.assertRaisesRegex(Misuse, "--memory", msg=text):
                units.size(text, "--memory")
        self.assertEqual([units.size_text(number) for number in (0, 1, 1 << 10, 3 << 20, 8 << 30)], ["0", "1", "1K", "3M", "8G"])

    def test_lists_of_cpus(self):
        self.assertEqual(units.cpu_list("9,11,13-15", "--cpus"), (9, 11, 13, 14, 15))
        self.assertEqual(units.cpu_list("3,1", "--cpus"), (3, 1))
        for text in ("", "a", "1,", "3-1", "1-2-3", "1,1", "1-3,2", "-1", "12345"):
            with self.assertRaises(Misuse, msg=text):
                units.cpu_list(text, "--cpus")
        for text, cpus in (("", ()), ("(null)", ()), ("0-2,8", (0, 1, 2, 8)), ("managed_irq,domain,9,11-12", (9, 11, 12))):
            self.assertEqual(units.kernel_cpus(text), cpus)
        self.assertEqual(units.cpus_text((15, 9, 8, 11, 10, 8)), "8-11,15")
        self.assertEqual(units.cpus_text(()), "")

    def test_masks(self):
        self.assertEqual(units.mask((2, 6, 10, 14, 18, 22)), "0x444444")
        self.assertEqual(units.mask((3, )), "0x000008")
        for cpus, text in (((0, 1), "00000003"), ((32, ), "00000001,00000000"), ((), "00000000"), ((63, 0), "80000000,00000001")):
            self.assertEqual(units.kernel_mask(cpus), text)

    def test_addresses(self):
        self.assertEqual(units.pci_list("06:00.0,0001:8a:1f.7", "--ports"), ("0000:06:00.0", "0001:8a:1f.7"))
        for text in ("", "6:0.0", "06:00.8", "06:20.0", "06:00.0,0000:06:00.0", "06:00."):
            with self.assertRaises(Misuse, msg=text):
                units.pci_list(text, "--ports")
        self.assertEqual(str(units.interface_address("192.0.2.1/24", "--address")), "192.0.2.1/24")
        for text in ("192.0.2.1", "192.0.2.0/24", "192.0.2.255/24", "192.0.2.1/33", "::1/64", "x/24"):
            with self.assertRaises(Misuse, msg=text):
                units.interface_address(text, "--address")

    def test_names(self):
        for text in ("vm1", "a", "broker-2", "x" * 32):
            self.assertEqual(units.vm_name(text), text)
        for text in ("", "a/b", "..", "-a", "a-", "VM1", "x" * 33, "a b", "a,b"):
            with self.assertRaises(Misuse, msg=text):
                units.vm_name(text)


if __name__ == "__main__":
    unittest.main()
