# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
import tempfile
import time
import unittest

from target import Machine, TargetError, Unreachable, text_of


class Local(unittest.TestCase):
    """A machine that is this one: all but the way there is the same."""

    def setUp(self):
        self.work = tempfile.TemporaryDirectory()
        self.addCleanup(self.work.cleanup)
        self.machine = Machine("here", (), False, self.work.name)

    def test_a_folder_while_it_is_connected(self):
        with self.machine.connected():
            folder = self.machine.folder
            self.machine.write(os.path.join(folder, "a"), "it's\n")
            self.assertEqual(self.machine.read(os.path.join(folder, "a"), "/nosuch", os.path.join(folder, "a")),
                             ["it's\n", "", "it's\n"])
            self.assertEqual(os.stat(os.path.join(folder, "a")).st_mode & 0o777, 0o600)
        self.assertFalse(os.path.exists(folder))
        with self.assertRaisesRegex(Unreachable, "here: its ssh connection is gone"):
            self.machine.read("/proc/stat")

    def test_the_holder_does_not_outlive_us(self):
        code = ("import sys; sys.path.insert(0, sys.argv[1]); import target, time\n"
                "m = target.Machine('here', (), False, sys.argv[2])\n"
                "with m.connected():\n"
                "    j = m.job(['sleep', '61'])\n"
                "    print(m.folder, j.process.pid, flush=True)\n"
                "    time.sleep(60)\n")
        process = subprocess.Popen([sys.executable, "-B", "-c", code, os.path.dirname(os.path.abspath(__file__)), self.work.name],
                                   stdout=subprocess.PIPE, text=True)
        folder, keeper = process.stdout.readline().split()
        process.kill()
        process.communicate()
        self.assertTrue(soon(lambda: not os.path.exists(folder)), folder)
        # What is a zombie has no command line.
        self.assertTrue(soon(lambda: not text_of(f"/proc/{keeper}/cmdline")))

    def test_what_a_command_says(self):
        with self.machine.connected():
            self.assertEqual(self.machine.run("cat", given="a\nb"), "a\nb")
            self.assertEqual(self.machine.said("echo", "a  b"), "a  b")
            self.assertEqual(self.machine.said("false"), "")
            self.assertEqual(self.machine.missing("sh", "/no such"), ["/no such"])
            with self.assertRaisesRegex(TargetError, "here: sh -c .*: status 3: oh"):
                self.machine.run("sh", "-c", "echo oh >&2; exit 3")
            with self.assertRaisesRegex(TargetError, "here: sleep 5: no end after 0.1 s"):
                self.machine.run("sleep", "5", patience_s=0.1)

    def test_a_shell_that_talks_is_told(self):
        class Talking(Machine):
            def argv(self, words, master=False):
                return ["sh", "-c", 'echo Welcome; exec "$@"', "sh", *words]

        with self.assertRaisesRegex(TargetError, "here: its shell has words of its own .*'Welcome'.*bashrc"):
            with Talking("here", (), False, self.work.name).connected():
                pass

    def test_a_job_ends_when_asked_and_tells_how(self):
        with self.machine.connected():
            job = self.machine.job(["sh", "-c", "exit 7"])
            job.process.wait()
            self.assertEqual((job.alive(), job.stop()), (False, 7))
            job = self.machine.job(["sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"])
            self.assertEqual(job.process.stdout.readline(), "ready\n")
            self.assertTrue(job.alive())
            begin = time.monotonic()
            self.assertEqual(job.stop(), 5)
            self.assertLess(time.monotonic() - begin, 5)
            self.assertEqual(job.stop(), 5)
            self.assertEqual(self.machine.job(["sleep", "60"]).stop(), 143)


class Far(unittest.TestCase):
    def test_all_goes_through_one_connection_of_ssh_that_asks_nobody(self):
        words = Machine("vm1", ("-p", "22", "root@vm1"), True, "/w").argv(["echo", "a b"])
        self.assertEqual((words[0], words[-2:]), ("ssh", ["root@vm1", "sudo -n echo 'a b'"]))
        for option in ("BatchMode=yes", "ControlPath=/w/ssh-vm1", "ControlMaster=no"):
            self.assertIn(option, words)


def soon(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


if __name__ == "__main__":
    unittest.main()
