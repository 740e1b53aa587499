# SPDX-License-Identifier: GPL-2.0-or-later
"""What the wire tests share: where tests/lib is, a test case that checks how a remote ended."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import mpq  # noqa: E402
import tap  # noqa: E402,F401


def thin(full, wrapped):
    """A stride or count for long rows: the first, or the second where a start costs a second."""
    return wrapped if mpq.wrapper() else full


def not_wrapped(reason):
    """Skips a test under MPQ_WRAPPER; the plain build runs it."""
    return unittest.skipIf(mpq.wrapper(), reason)


class RemoteTest(unittest.TestCase):
    """One remote with the teaching device a test, which must end cleanly and without a word.

    A test that makes it say something sets expect_words, which every line must then have.
    """

    expect_exit = mpq.EXIT_CLEAN
    expect_words = None
    extra = ()

    def setUp(self):
        self.remote = mpq.Remote.edu(self.extra)
        self.peer = self.remote.peer
        self.addCleanup(self.end)

    def end(self):
        with self.remote:
            status, log = self.remote.finish(), self.remote.log()
        self.assertEqual(status, self.expect_exit, log)
        if self.expect_words:
            self.assertTrue(log)
            for line in log.rstrip("\n").split("\n"):
                self.assertIn(self.expect_words, line)
        elif self.expect_exit == mpq.EXIT_CLEAN:
            self.assertEqual(log, "")

    def edu(self):
        return mpq.Edu(self.peer)
