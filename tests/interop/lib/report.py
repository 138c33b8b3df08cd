# SPDX-License-Identifier: Apache-2.0
"""The lines that test.sh reads (tests/lib.sh), and their count."""
import time


class Report:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.begin = time.monotonic()

    def ok(self, name, seconds=None):
        print("PASS %s%s" % (name, "" if seconds is None else " (%.2f s)" % seconds), flush=True)
        self.passed += 1

    def not_ok(self, name, why, details=()):
        print("FAIL %s: %s" % (name, why), flush=True)
        for line in details:
            print("# " + line, flush=True)
        self.failed += 1

    def skip(self, name, why):
        print("SKIP %s: %s" % (name, why), flush=True)
        self.skipped += 1

    def note(self, text):
        for line in text.splitlines():
            print("# " + line, flush=True)

    def close(self, path):
        """Leaves the counts for the outer part, which adds its own and prints them. 0 or 1."""
        self.note("%.0f s" % (time.monotonic() - self.begin))
        with open(path, "w") as out:
            out.write("%d %d %d\n" % (self.passed, self.failed, self.skipped))
        return 1 if self.failed or not self.passed else 0
