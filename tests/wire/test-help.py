#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""--help: of a verb, and of a program with verbs, it fits a screen of 80x24, begins with the usage
and asks nothing of anybody.  Lists of all options are longer, and no wider."""
import re
import subprocess
import unittest

from wire import mpq, tap

COLUMNS, LINES = 80, 24
# Programs whose --help is a list of all options, of as many lines: those of the QEMU that they
# stand for, or with it.
LISTS = {"mpqemu-remote": 48, "mpqemu-orchestrate": 72}
# What a program's list of options may have in columns where glib lays it out.
WIDER = {"mpqemu-orchestrate": 120}


def run(*words):
    return subprocess.run([mpq.program(words[0]), *words[1:], "--help"], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=mpq.TIMEOUT)


def programs():
    listed = subprocess.run([mpq.program("mpqemu"), "--list"], capture_output=True, text=True,
                            timeout=mpq.TIMEOUT).stdout.split()
    return ["mpqemu", *listed]


def verbs():
    """[(program, verb)] as the completion has them."""
    text = subprocess.run([mpq.program("mpqemu"), "--completion", "bash"], capture_output=True,
                          text=True, timeout=mpq.TIMEOUT).stdout
    return re.findall(r"_mpqemu_words\[(mpqemu-\w+):\]\+=' ([a-z]\w*)'", text)


class Help(unittest.TestCase):
    def page(self, *words, lines=LINES, columns=COLUMNS):
        done = run(*words)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = done.stdout.expandtabs().splitlines()
        self.assertLessEqual(len(found), lines)
        self.assertLessEqual(max(map(len, found)), columns, done.stdout)
        self.assertRegex(done.stdout.splitlines()[0], r"(?i)\Ausage:")
        self.assertTrue(done.stdout.endswith("\n"))
        return done.stdout

    def test_programs(self):
        for program in programs():
            with self.subTest(program):
                self.page(program, lines=LISTS.get(program, LINES),
                          columns=WIDER.get(program, COLUMNS))

    def test_verbs(self):
        found = verbs()
        self.assertGreaterEqual(len(found), 13)
        for program, verb in found:
            with self.subTest(program=program, verb=verb):
                text = self.page(program, verb)
                self.assertTrue(text.startswith(f"usage: {program} {verb}"), text)

    def test_table(self):
        self.assertLessEqual({*LISTS, *WIDER}, set(programs()))


if __name__ == "__main__":
    tap.main()
