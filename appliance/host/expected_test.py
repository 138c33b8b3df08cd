# SPDX-License-Identifier: Apache-2.0
"""testdata/NAME.expected: what the tool says to the host NAME, command after command on one copy of it.

    $ check --ports 0000:06:00.0    a command, and behind it what it printed
    ! words                         what it said beside it
    = 1                             its exit status

GODWIT_HOST_REWRITE=1 writes these files anew, and fails: what it wrote is to be read, and the test run again."""
import os
import shlex
import unittest

import fixture

HEAD = "# SPDX-License-Identifier: Apache-2.0\n# What godwit-host says to {}.host; expected_test.py has the format.\n"
REWRITE = os.environ.get("GODWIT_HOST_REWRITE")


def played(name, commands):
    """The transcript as it is now: [(command, lines)]."""
    blocks = []
    with fixture.host(name) as folder:
        for command in commands:
            status, out, err = fixture.run(folder, *shlex.split(command))
            blocks.append((command, [*out.splitlines(), *(f"! {line}" for line in err.splitlines()), f"= {status}"]))
    return blocks


def read(name):
    blocks = []
    for line in fixture.text(f"{name}.expected").splitlines():
        if line.startswith("$ "):
            blocks.append((line[2:], []))
        elif blocks:
            blocks[-1][1].append(line)
    return blocks


class Expected(unittest.TestCase):
    maxDiff = None

    def test_transcripts(self):
        for name in fixture.HOSTS:
            expected = read(name)
            self.assertTrue(expected, f"{name}.expected has no command")
            blocks = played(name, [command for command, _ in expected])
            if REWRITE:
                with open(os.path.join(fixture.TESTDATA, f"{name}.expected"), "w", encoding="utf-8") as file:
                    file.write(HEAD.format(name) + "".join("\n".join([f"$ {command}", *lines]) + "\n" for command, lines in blocks))
                continue
            for (command, lines), (_, wanted) in zip(blocks, expected):
                with self.subTest(host=name, command=command):
                    self.assertEqual("\n".join(wanted), "\n".join(lines))
        self.assertFalse(REWRITE, "testdata/*.expected are written anew: read what git diff shows, and run this again without "
                                  "GODWIT_HOST_REWRITE")


if __name__ == "__main__":
    unittest.main()
