# SPDX-License-Identifier: Apache-2.0
"""TAP lines and the closing summary."""
import time


class Report:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.begin = time.monotonic()

    @property
    def number(self):
        return self.passed + self.failed + self.skipped + 1

    def ok(self, name, seconds=None):
        print("ok %d - %s%s" % (self.number, name, "" if seconds is None else " # %.2f s" % seconds), flush=True)
        self.passed += 1

    def not_ok(self, name, why, details=()):
        print("not ok %d - %s - %s" % (self.number, name, why), flush=True)
        for line in details:
            print("# " + line, flush=True)
        self.failed += 1

    def skip(self, name, why):
        print("ok %d - %s # SKIP %s" % (self.number, name, why), flush=True)
        self.skipped += 1

    def note(self, text):
        for line in text.splitlines():
            print("# " + line, flush=True)

    def close(self):
        print("1..%d" % (self.number - 1))
        self.note("%.0f s" % (time.monotonic() - self.begin))
        print("%d passed, %d failed, %d skipped" % (self.passed, self.failed, self.skipped), flush=True)
        return 1 if self.failed or not self.passed else 0
