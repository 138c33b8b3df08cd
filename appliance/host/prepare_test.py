# SPDX-License-Identifier: Apache-2.0
import os
import shutil
import subprocess
import unittest
from unittest import mock

import fixture
import prepare
import steps
from errors import Trouble
from root import Root
from state import PATH

# Every host that can be prepared, and how.
WAYS = (
    ("two-socket-intel", "--ports", "0000:81:00.1", "--cpus", "13-15,29-31", "--hugepages-1g", "12", "--interrupts", "8", "--services"),
    ("no-iommu", "--ports", "0000:01:00.0", "--cpus", "2,3", "--hugepages-2m", "512"),
    ("amd", "--ports", "0000:41:00.1", "--cpus", "10-13", "--hugepages-2m", "0:64,1:2048"),
    ("amd", "--ports", "0000:41:10.0", "--cpus", "10-13", "--hugepages-1g", "4"),
    ("r710", "--ports", "0000:06:00.0,0000:07:00.0", "--cpus", "8-15", "--hugepages-2m", "4096", "--interrupts", "6,7", "--services"),
    ("r900-client", "--client", "--interfaces", "eth4,eth5"),
)
R710 = WAYS[4]


def apply(folder, words):
    return fixture.run(folder, "prepare", *words, "--apply")


class Way(unittest.TestCase):
    """apply and undo on copies of hosts."""

    def test_a_dry_run_changes_nothing(self):
        for name, *words in WAYS:
            for dry in ((), ("--dry-run", )):
                with self.subTest(host=name, dry=dry), fixture.host(name) as folder:
                    before = fixture.tree(folder)
                    status, out, _ = fixture.run(folder, "prepare", *words, *dry)
                    self.assertEqual((status, out.splitlines()[-1]),
                                     (0, "Nothing was changed: --apply does it, and --undo takes it back."))
                    self.assertEqual(fixture.tree(folder), before)

    def test_undo_gives_the_tree_from_before(self):
        for name, *words in WAYS:
            with self.subTest(host=name, words=words), fixture.host(name) as folder:
                before = fixture.tree(folder)
                self.assertEqual(apply(folder, words)[0], 0)
                changed = fixture.tree(folder)
                self.assertGreater(len([path for path in changed if before.get(path) != changed[path]]), 5)
                self.assertEqual(fixture.run(folder, "prepare", "--undo")[0], 0)
                self.assertEqual(fixture.tree(folder), before)

    def test_undo_after_an_apply_that_failed_anywhere(self):
        """The Nth operation fails, before or after it had an effect, for every N."""
        with fixture.host("r710") as folder:
            before = fixture.tree(folder)
            number, late = 0, False
            while True:
                with failing(number, late):
                    status, _, err = apply(folder, R710[1:])
                if status == 0:
                    break
                self.assertEqual(status, 1)
                self.assertIn("prepare --undo` takes it back", err)
                self.assertEqual(fixture.run(folder, "prepare", "--undo")[0], 0)
                self.assertEqual(fixture.tree(folder), before, f"operation {number}")
                number, late = number + 1, not late
            self.assertGreater(number, 15)

    def test_undo_after_a_kill_between_note_and_deed(self):
        with fixture.host("r710") as folder:
            before = fixture.tree(folder)
            with mock.patch.object(steps.Bind, "apply", side_effect=KeyboardInterrupt), self.assertRaises(KeyboardInterrupt):
                apply(folder, R710[1:])
            status, _, err = apply(folder, R710[1:])
            self.assertEqual((status, "and not to the end" in err), (1, True))
            self.assertEqual(fixture.run(folder, "prepare", "--undo")[0], 0)
            self.assertEqual(fixture.tree(folder), before)

    def test_an_undo_that_fails_is_tried_again(self):
        with fixture.host("r710") as folder:
            before = fixture.tree(folder)
            apply(folder, R710[1:])
            with mock.patch.object(steps.Bind, "undo", side_effect=OSError(19, "No such device")):
                status, _, err = fixture.run(folder, "prepare", "--undo")
            self.assertEqual((status, "No such device" in err, "--undo tries them again" in err), (1, True, True))
            self.assertEqual(fixture.run(folder, "prepare", "--undo")[0], 0)
            self.assertEqual(fixture.tree(folder), before)

    def test_once_is_enough(self):
        with fixture.host("r710") as folder:
            status, out, _ = fixture.run(folder, "prepare", "--undo")
            self.assertEqual((status, "Nothing to undo" in out), (0, True))
            apply(folder, R710[1:])
            after = fixture.tree(folder)
            status, _, err = apply(folder, R710[1:])
            self.assertEqual((status, "was prepared before" in err), (1, True))
            self.assertEqual(fixture.tree(folder), after)

    def test_a_damaged_state_is_not_guessed_at(self):
        with fixture.host("r710") as folder:
            Root(folder).file_write(PATH, "{")
            status, _, err = fixture.run(folder, "prepare", "--undo")
            self.assertEqual((status, "is damaged" in err), (1, True))

    def test_what_somebody_changed_is_said(self):
        with fixture.host("r710") as folder:
            before = fixture.tree(folder)
            apply(folder, R710[1:])
            Root(folder).file_write("/etc/default/grub.d/godwit.cfg", "mine\n")
            _, out, _ = fixture.run(folder, "prepare", "--undo")
            self.assertIn("/etc/default/grub.d/godwit.cfg was changed since", out)
            self.assertEqual(fixture.tree(folder), before)


class failing:  # pylint: disable=invalid-name
    """Within it the Nth operation that is carried out fails, perhaps after it had its effect."""

    def __init__(self, number, late):
        self.left, self.late, self.patches = number, late, []

    def __enter__(self):
        for kind in steps.KINDS.values():
            if "apply" in vars(kind):
                self.patches.append(mock.patch.object(kind, "apply", self.instead(kind.apply)))
        for patch in self.patches:
            patch.start()

    def __exit__(self, *_):
        for patch in self.patches:
            patch.stop()

    def instead(self, really):
        def do(operation, root):
            # What the kernel may refuse is no failure: the next one is.
            now = self.left <= 0 and not getattr(operation, "tolerant", False)
            self.left -= 1
            if not now or self.late:
                really(operation, root)
            if now:
                self.left = 1 << 30
                raise Trouble("as the test wants it")
        return do


class Kernel(unittest.TestCase):
    """What real hosts answer and copies do not."""

    def test_a_port_that_a_guest_has_is_not_taken_from_it(self):
        with fixture.host("r710") as folder:
            before = fixture.tree(folder)
            apply(folder, R710[1:])
            os.makedirs(f"{folder}/proc/900/fd")
            os.symlink("/dev/vfio/16", f"{folder}/proc/900/fd/31")
            Root(folder).file_write("/proc/900/comm", "qemu-system-x86\n")
            status, _, err = fixture.run(folder, "prepare", "--undo")
            self.assertEqual((status, "0000:06:00.0 is in use by qemu-system-x86 (900): shut the guest down first" in err), (1, True))
            shutil.rmtree(f"{folder}/proc/900")
            self.assertEqual(fixture.run(folder, "prepare", "--undo")[0], 0)
            self.assertEqual(fixture.tree(folder), before)

    def test_fewer_pages_than_asked_for(self):
        with fixture.host("r710") as folder:
            root = Root(folder)
            path = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
            with mock.patch.object(Root, "kernel_write", lambda *_: None), self.assertRaisesRegex(Trouble, "0 of 4096 pages could be had"):
                steps.Pages(path, "4096").apply(root)

    def test_a_driver_that_does_not_take_the_port(self):
        with fixture.host("r710") as folder:
            with mock.patch.object(Root, "kernel_write", lambda *_: None), self.assertRaisesRegex(Trouble, "vfio-pci does not take it"):
                steps.Bind("0000:06:00.0", "vfio-pci").apply(Root(folder))

    def test_interrupts_that_the_kernel_keeps_are_said(self):
        def refuse(root, path, value):
            if path.startswith("/proc/irq/6"):
                raise OSError(5, "Input/output error")
            steps_write(root, path, value)

        steps_write = Root.kernel_write
        with fixture.host("r710") as folder:
            before = fixture.tree(folder)
            with mock.patch.object(Root, "kernel_write", refuse):
                status, out, _ = apply(folder, R710[1:])
                self.assertEqual((status, "left as it is: /proc/irq/60/smp_affinity_list" in out), (0, True))
                self.assertEqual(fixture.run(folder, "prepare", "--undo")[0], 0)
            self.assertEqual(fixture.tree(folder), before)

    def test_programs_that_fail_end_it(self):
        root = Root("/")
        with self.assertRaisesRegex(Trouble, "`false` ended with 1"):
            root.run(["false"])
        with self.assertRaisesRegex(Trouble, "cannot be run"):
            root.run(["/no/such/program"])

    def test_the_real_host_wants_root(self):
        with mock.patch.object(os, "geteuid", return_value=1000), self.assertRaisesRegex(Exception, "need root"):
            prepare.may_change(Root("/"))

    def test_the_script_for_each_boot_is_one(self):
        with fixture.host("r710") as folder:
            apply(folder, R710[1:])
            script = f"{folder}/etc/godwit-host/boot"
            self.assertEqual(subprocess.run(["sh", "-n", script], check=False).returncode, 0)
            with open(script, encoding="utf-8") as file:
                text = file.read()
            self.assertTrue(os.access(script, os.X_OK))
        for line in ("bind 0000:06:00.0", "bind 0000:07:00.0", "node1/hugepages/hugepages-2048kB/nr_hugepages '4096'",
                     "transparent_hugepage/enabled 'madvise'"):
            self.assertIn(line, text)
        # Numbers of interrupts are others after a boot.
        self.assertNotIn("/proc/irq/60", text)


if __name__ == "__main__":
    unittest.main()
