# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the unittest classes of a script and prints TAP 13, which meson reads.

    if __name__ == "__main__":
        tap.main()

Arguments of the script are patterns: only tests whose id ("Class.method") contains one of them run.
A skip is "ok N - name # SKIP reason"; a failing subtest is a diagnostic of its test.  A script that
runs no test at all has failed.
"""
import sys
import time
import traceback
import unittest


def _name(test):
    ident = test.id() if hasattr(test, "id") else str(test)
    return ident.removeprefix("__main__.").replace("#", "?").replace("\n", " ")


class Result(unittest.TestResult):
    """One line a test, written when it ends; what unittest reports outside a test gets its own."""

    def __init__(self, out):
        super().__init__()
        self.out = out
        self.count = 0
        self.bad = 0
        self.current = None
        self.began = 0.0
        self.notes = []
        self.skip = None

    def _write(self, line):
        self.out.write(line + "\n")
        self.out.flush()

    def _end(self, test):
        self.count += 1
        name = _name(test)
        if self.notes:
            self.bad += 1
            self._write(f"not ok {self.count} - {name}")
            for note in self.notes:
                for line in note.rstrip("\n").split("\n"):
                    self._write("# " + line)
        elif self.skip is not None:
            reason = " ".join(self.skip.split()) or "no reason given"
            self._write(f"ok {self.count} - {name} # SKIP {reason}")
        else:
            self._write(f"ok {self.count} - {name}")
            if time.monotonic() - self.began > 5:
                self._write(f"# {time.monotonic() - self.began:.1f} s")
        self.notes, self.skip, self.current = [], None, None

    def startTest(self, test):
        super().startTest(test)
        self.current, self.began = test, time.monotonic()
        self.notes, self.skip = [], None

    def stopTest(self, test):
        self._end(test)
        super().stopTest(test)

    def _fail(self, test, note):
        self.notes.append(note)
        if self.current is None:    # setUpClass, tearDownModule: not inside a test
            self.began = time.monotonic()
            self._end(test)

    def addError(self, test, err):
        self._fail(test, "".join(traceback.format_exception(*err)))

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.notes.append(f"subtest {subtest._subDescription()}")
            self.notes.append("".join(traceback.format_exception(*err)))

    def addSkip(self, test, reason):
        self.skip = reason
        if self.current is None:
            self._end(test)

    def addExpectedFailure(self, test, err):
        self._fail(test, "expected failures are not used here: fix it, or skip with a reason")

    def addUnexpectedSuccess(self, test):
        self._fail(test, "marked as an expected failure, but it passes")


def _flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _flatten(item)
        else:
            yield item


def run(suite, out, patterns=()):
    """Runs @suite, writes TAP to @out; returns True when all is well and at least one test ran."""
    tests = list(_flatten(suite))
    if patterns:
        tests = [t for t in tests if any(p in t.id() for p in patterns)]
    result = Result(out)
    out.write("TAP version 13\n")
    unittest.TestSuite(tests).run(result)
    out.write(f"1..{result.count}\n")
    if not result.count:
        out.write("Bail out! no test ran\n")
    out.flush()
    return result.count > 0 and not result.bad


def main():
    """Runs the tests of the calling script; exits 0, or 1 when one failed or none ran."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    sys.exit(0 if run(suite, sys.stdout, sys.argv[1:]) else 1)
