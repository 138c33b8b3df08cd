# SPDX-License-Identifier: Apache-2.0
"""What users get wrong: each is refused before anything is touched, with a sentence that says what to do."""
import os
import tempfile
import unittest

import fixture

DEFINE = ("define", "--name", "vm1")
R710 = ("--ports", "0000:06:00.0", "--cpus", "9,11,13,15")
# (host, words, a part of what is said)
MISTAKES = (
    ("r710", ("check", "--ports", "0000:08:00.0"), r"there is no such device; 10GbE ports of this host: 0000:06:00.0, 0000:07:00.0"),
    ("no-iommu", ("check", "--ports", "eth4"), "wants PCI addresses as lspci -D shows them"),
    ("shared-group", ("check", "--ports", "0000:00:17.0"), "that is no network device"),
    ("r710", ("check", "--cpus", "9,16"), "CPU 16 does not exist or is offline; this host has 0-15"),
    ("r710", ("check", "--cpus", "9-"), "wants numbers and ranges of CPUs"),
    ("r710", ("check", "--cpus", "9,9"), "CPU 9 stands twice"),
    ("r710", ("check", "--memory", "8 gigs"), "wants a whole number with K, M, G or T"),
    ("r710", ("prepare", "--ports", "0000:06:00.0"), "wants --ports .* and --cpus"),
    ("r710", ("prepare", "--ports", "0000:01:00.0", "--cpus", "9"), "the default route goes by it .eth0.: this host would be cut off"),
    ("no-iommu", ("prepare", "--ports", "0000:02:00.0", "--cpus", "3"), "the default route goes by it .br0."),
    ("shared-group", ("prepare", "--ports", "0000:05:00.1", "--cpus", "7"), "IOMMU group 9 has 0000:05:00.0 .network, ixgbe. too"),
    ("amd", ("prepare", "--ports", "0000:41:00.0", "--cpus", "9"), "its VFs .0000:41:10.0. would go with it"),
    ("r710", ("prepare", "--ports", "0000:06:00.0", "--cpus", "0-15"), "that is all of them"),
    ("r710", ("prepare", *R710, "--interrupts", "9"), "CPU 9 is one of --cpus"),
    ("r710", ("prepare", *R710, "--hugepages-1g", "8"), "this CPU has no pages of 1 GiB .flag pdpe1gb.: --hugepages-2m"),
    ("amd", ("prepare", "--ports", "0000:41:10.0", "--cpus", "9", "--hugepages-1g", "8", "--hugepages-2m", "8"), "not both"),
    ("r710", ("prepare", *R710, "--hugepages-2m", "2:10"), "there is no NUMA node 2; there are 0, 1"),
    ("r710", ("prepare", *R710, "--hugepages-2m", "8G"), "wants a number of pages"),
    ("r710", ("prepare", *R710, "--apply", "--dry-run"), "not both"),
    ("r710", ("prepare", *R710, "--undo"), "stands alone"),
    ("r900-client", ("prepare", "--client"), "wants --interfaces, such as eth4,eth5"),
    ("r900-client", ("prepare", "--client", "--interfaces", "eth9"), "there is no interface 'eth9'; there are eth0, eth4, eth5"),
    ("r900-client", ("prepare", "--client", "--interfaces", "../lo"), "there is no interface"),
    ("r900-client", ("prepare", "--client", "--interfaces", "eth4", "--sockets", "4"), "there is no socket 4; there are 0, 1, 2, 3"),
    ("r900-client", ("prepare", "--client", "--interfaces", "eth4", "--sockets", "0-3"), "that is the whole machine"),
    ("r900-client", ("prepare", "--client", "--interfaces", "eth4,eth5", "--interrupts", "2"), "one CPU for each of 2 interfaces"),
    ("no-iommu", ("prepare", "--client", "--interfaces", "enp1s0"), "want a socket each"),
    ("r900-client", ("prepare", "--client", "--interfaces", "eth4", "--cpus", "3"), "is prepared like a host"),
    ("r710", (*DEFINE, "--cpus", "9,11"), "wants --ports .* or --bridge"),
    ("r710", (*DEFINE, *R710, "--bridge", "br4"), "one of them"),
    ("r710", (*DEFINE, "--ports", "0000:06:00.0"), "wants --cpus"),
    ("r710", (*DEFINE, "--ports", "0000:06:00.0", "--cpus", "9"), "a guest wants two at least"),
    ("r710", (*DEFINE, "--ports", "0000:06:00.0", "--cpus", "9,77"), "CPU 77 does not exist"),
    ("r710", (*DEFINE, *R710, "--interrupts", "9"), "CPU 9 runs a guest"),
    ("r710", (*DEFINE, *R710, "--memory", "8"), "such as 8G or 8192M"),
    ("r710", (*DEFINE, *R710, "--memory", "8.5G"), "such as 8G or 8192M"),
    ("r710", (*DEFINE, *R710, "--memory", "512M"), "wants 1G at least"),
    ("r710", (*DEFINE, *R710, "--memory", "2049M"), "pages of 2M, and is to be a multiple"),
    ("r710", (*DEFINE, *R710, "--pages", "1G"), "has no pages of 1 GiB"),
    ("r710", ("define", "--name", "../etc", *R710), "small letters, digits and dashes"),
    ("r710", ("define", "--name", "a/b", *R710), "small letters, digits and dashes"),
    ("r710", (*DEFINE, *R710, "--count", "0"), "wants 1 to 16"),
    ("r710", (*DEFINE, *R710, "--count", "2"), "1 for 2 guests"),
    ("r710", (*DEFINE, "--ports", "0000:06:00.0,0000:07:00.0", "--count", "2", "--cpus", "8,9/9,10"), "two guests have CPU 9"),
    ("r710", (*DEFINE, "--ports", "0000:06:00.0,0000:07:00.0", "--count", "2", "--cpus", "8,9"), "one list for each of 2 guests"),
    ("r710", (*DEFINE, *R710, "--address", "192.0.2.1"), "the IPv4 address of a host and its prefix length"),
    ("r710", (*DEFINE, *R710, "--address", "192.0.2.0/24"), "the IPv4 address of a host"),
    ("r710", (*DEFINE, *R710, "--address", "192.0.2.1/24,192.0.2.2/24"), "one for each of 1 ports"),
    ("r710", (*DEFINE, *R710, "--address", "192.0.2.1/24", "--gateway", "198.51.100.1"), "it is in no port's subnet"),
    ("r710", (*DEFINE, *R710, "--management", "eth0"), "the IPv4 address of a host"),
    ("r710", (*DEFINE, *R710, "--mtu", "65000"), "wants 576 to 9000"),
    ("r710", (*DEFINE, *R710, "--config", "/no/such.yaml"), "No such file"),
    ("r710", (*DEFINE, *R710, "--config", "x", "--mtu", "9000"), "stand in that file"),
    ("r710", (*DEFINE, *R710, "--image", "/no/such"), "there is no such folder"),
    ("r710", (*DEFINE, *R710, "--image", fixture.TESTDATA), "vmlinuz, initrd, root.squashfs, VERSION is missing"),
    ("r710", (*DEFINE, *R710, "--data-size", "lots"), "--data-size lots: wants a whole number"),
    ("shared-group", (*DEFINE, "--ports", "0000:05:00.1", "--cpus", "6,7"), "name all of them"),
    ("amd", (*DEFINE, "--ports", "0000:41:00.1", "--cpus", "8,9", "--uio"), "is an X550, which has no legacy interrupt"),
    ("amd", (*DEFINE, "--ports", "0000:41:10.0", "--cpus", "8,9", "--uio"), "is a VF, and uio_pci_generic takes none"),
    ("r710", (*DEFINE, "--bridge", "br/4", "--cpus", "9,11"), "wants the name of a bridge"),
    ("r710", ("upgrade", "--name", "vm1", "--image", "/no/such"), "no guest was defined there"),
    ("r710", ("rollback", "--name", "../x"), "small letters, digits and dashes"),
)


class Mistakes(unittest.TestCase):
    def test_each_is_named_and_changes_nothing(self):
        for name in fixture.HOSTS:
            with fixture.host(name) as folder:
                before = fixture.tree(folder)
                for words, said in ((words, said) for of, words, said in MISTAKES if of == name):
                    with self.subTest(host=name, words=words):
                        status, out, err = fixture.run(folder, *words)
                        self.assertRegex(err, said)
                        self.assertTrue(err.splitlines()[-1].startswith("godwit-host: "))
                        self.assertEqual((status, out), (2, ""))
                self.assertEqual(fixture.tree(folder), before)

    def test_a_contradiction_in_the_users_own_file(self):
        with fixture.host("shared-group") as folder:
            os.unlink(f"{folder}/sys/kernel/iommu_groups/9/devices/0000:05:00.0")
            status, _, err = fixture.run(folder, "prepare", "--ports", "0000:05:00.1", "--cpus", "6,7")
        self.assertEqual(status, 2)
        self.assertIn("/etc/default/grub sets isolcpus= already", err)

    def test_files_of_the_wrong_kind(self):
        wrong = (("--ssh-key", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n", "that is the private half"),
                 ("--ssh-key", "hello\n", "wants public keys"), ("--ssh-key", "", "wants public keys"),
                 ("--users", "alice\n", "'alice': wants NAME:HASH"), ("--users", "alice:secret\n", "'alice': wants NAME:HASH"),
                 ("--users", "a:$6$x\na:$6$y\n", "a name stands twice"), ("--config", "#" * (1 << 20), "which has 1048576"))
        with fixture.host("r710") as folder, tempfile.TemporaryDirectory() as work:
            for option, content, said in wrong:
                with self.subTest(option=option, content=content[:20]):
                    file = os.path.join(work, "file")
                    with open(file, "w", encoding="utf-8") as out:
                        out.write(content)
                    status, _, err = fixture.run(folder, *DEFINE, *R710, option, file)
                    self.assertEqual((status, said in err), (2, True), err)

    def test_a_folder_that_is_no_host(self):
        with tempfile.TemporaryDirectory() as folder:
            for words in (("check", ), ("prepare", *R710), (*DEFINE, *R710)):
                status, _, err = fixture.run(folder, *words)
                self.assertEqual((status, "is it a copy of a host?" in err), (2, True))


if __name__ == "__main__":
    unittest.main()
