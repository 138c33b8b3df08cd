# SPDX-License-Identifier: Apache-2.0
"""Cases with names, printed as TAP; a case that raises has failed, with what it said as the reason."""
import sys
import time
import traceback


class Skip(Exception):
    pass


class Cases:
    def __init__(self, only=()):
        self.only = only
        self.passed = self.failed = self.skipped = 0

    def run(self, name, case, *arguments):
        if self.only and name not in self.only:
            return
        n = self.passed + self.failed + self.skipped + 1
        begin = time.monotonic()
        try:
            for line in str(case(*arguments) or "").splitlines():
                print("# " + line[:400])
            self.passed += 1
            print("ok %d - %s (%.1f s)" % (n, name, time.monotonic() - begin))
        except Skip as why:
            self.skipped += 1
            print("ok %d - %s # SKIP %s" % (n, name, why))
        except Exception as e:  # whatever it is, the next case shall run
            self.failed += 1
            print("not ok %d - %s: %s" % (n, name, (str(e) or repr(e)).replace("\n", " | ")[:1500]))
            for line in traceback.format_exc().splitlines()[-8:]:
                print("#   " + line)
        sys.stdout.flush()

    def finish(self):
        print("%d passed, %d failed, %d skipped" % (self.passed, self.failed, self.skipped))
        return 0 if self.failed == 0 and self.passed > 0 else 1


def check(truth, *what):
    if not truth:
        raise AssertionError(" ".join(str(w) for w in what))
