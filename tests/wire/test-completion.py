#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu --completion SHELL: the shells themselves complete with it."""
import contextlib
import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest

import wire
from mpq import TIMEOUT, program

# What is typed, a shell's tab key behind it: all that is offered, or some of it ("...").
ROWS = [
    ("mpqemu rem", ["remote"]),
    ("mpqemu --l", ["--list"]),
    ("mpqemu-remote -mac", ["-machine"]),
    ("mpqemu-remote --sandbox-", ["--sandbox-report"]),
    ("mpqemu-remote -device lsi53c8", ["lsi53c895a", "..."]),
    ("mpqemu-remote -device scsi-", ["scsi-cd", "scsi-hd"]),
    ("mpqemu remote -device scsi-", ["scsi-cd", "scsi-hd"]),
    ("mpqemu-remote -name -device scsi-", ["..."]),
    ("mpqemu-orchestrate st", ["start", "status", "stop"]),
    ("mpqemu-orchestrate sta", ["start", "status"]),
    ("mpqemu-orchestrate --proto", ["--protocol"]),
    ("mpqemu-orchestrate --protocol v", ["vfio-user"]),
    ("mpqemu-orchestrate --on-remote-exit re", ["report"]),
    ("mpqemu-proxy be", ["bench"]),
    ("mpqemu-proxy info --protocol mp", ["mpqemu"]),
    ("mpqemu proxy info --protocol mp", ["mpqemu"]),
    ("mpqemu-proxy --nosuch", []),
]
# Behind a "=": how the word is offered differs.
JOINED = [
    ("mpqemu-remote --sandbox=s", ["strict", "seccomp-only"]),
    ("mpqemu-remote --on-error=eno", ["enospc-hold"]),
    ("mpqemu-orchestrate --protocol=m", ["mpqemu"]),
]


def script(shell):
    return subprocess.run([program("mpqemu"), "--completion", shell], check=True,
                          capture_output=True, text=True, timeout=TIMEOUT).stdout


def shown_options(applet, *verb):
    shown = subprocess.run([program(f"mpqemu-{applet}"), *verb, "--help"], capture_output=True,
                           text=True, timeout=TIMEOUT).stdout
    return {option.strip("=").lstrip("-") for option in
            re.findall(r"^ *(?:-\w, )?(--?[a-zA-Z][\w-]*=?)", shown, re.M)}


def verbs(applet):
    """Those that its completion offers."""
    return re.findall(rf"_mpqemu_words\[mpqemu-{applet}:\]\+=' ([a-z]\w*)'", script("bash"))


class Words(wire.unittest.TestCase):
    def test_refused(self):
        for args in ([], ["tcsh"], ["bash", "zsh"], ["--help"]):
            with self.subTest(args):
                done = subprocess.run([program("mpqemu"), "--completion", *args], timeout=TIMEOUT,
                                      capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertEqual(done.stderr, "usage: mpqemu --completion bash|zsh|fish\n")

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([program("mpqemu"), "--completion", "bash"], stdout=full,
                                  timeout=TIMEOUT)
        self.assertEqual(done.returncode, 1)

    def test_every_option(self):
        """What -help shows is completed: an option without a row would be missed here."""
        for applet in ("remote", "orchestrate", "proxy"):
            options = {("", option) for option in shown_options(applet)}
            for verb in verbs(applet):
                options |= {(verb, option) for option in shown_options(applet, verb)}
            self.assertGreater(len(options), 10)
            for verb, option in options:
                self.assertRegex(script("bash"), rf"_mpqemu_words\[mpqemu-{applet}:(?:{verb})?\]"
                                 rf"\+=' --?{option}=?'")

    def test_every_option_is_shown(self):
        """And the other way round: a verb's --help has each option of its own."""
        rows = re.findall(r"_mpqemu_words\[mpqemu-(\w+):(\w+)\]\+=' --([\w-]+)=?'",
                          script("bash"))
        self.assertIn(("proxy", "bench", "iodepth"), rows)
        for applet, verb, option in rows:
            self.assertIn(option, shown_options(applet, verb), (applet, verb))


class Shell:
    """Rows of all shells; offered(line) is what a subclass's shell offers, as a sorted list."""

    def check(self, rows, shown=lambda line, words: words):
        for line, words in rows:
            with self.subTest(line):
                want = shown(line, [word for word in words if word != "..."])
                got = self.offered(line)
                if "..." in words:
                    self.assertEqual(set(want) - set(got), set())
                else:
                    self.assertEqual(sorted(got), sorted(want))

    def test_words(self):
        self.check(ROWS)


@unittest.skipUnless(shutil.which("bash"), "bash is not installed")
class Bash(Shell, wire.unittest.TestCase):
    breaks = " \t\n\"'><=;|&(:"

    def offered(self, line):
        run = ("compopt() { :; }; eval \"$1\"; COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDBREAKS=$3\n"
               "_mpqemu \"${2%% *}\"; printf '%s\\n' \"${COMPREPLY[@]}\"")
        done = subprocess.run(["bash", "-c", run, "bash", script("bash"), line, self.breaks],
                              capture_output=True, text=True, check=True, timeout=TIMEOUT)
        self.assertEqual(done.stderr, "")
        return [word.rstrip() for word in done.stdout.split("\n") if word]

    def test_joined(self):
        self.check(JOINED)

    def test_joined_in_one_word(self):
        self.breaks = " \t\n"
        self.check(JOINED, lambda line, words: [
            line.split()[1].split("=")[0] + "=" + word for word in words])

    def test_behind_two_dashes(self):
        """Another program's command line."""
        self.assertEqual(self.offered("mpqemu-proxy info -- mpqemu-remote -dev"), [])


@unittest.skipUnless(shutil.which("fish"), "fish is not installed")
class Fish(Shell, wire.unittest.TestCase):
    def offered(self, line):
        with tempfile.TemporaryDirectory() as home:
            done = subprocess.run(
                ["fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]",
                 self.file(home), line], capture_output=True, text=True, check=True,
                cwd=home, env={**os.environ, "HOME": home, "XDG_CONFIG_HOME": home,
                               "XDG_DATA_HOME": home}, timeout=TIMEOUT)
        return [word.split("\t")[0] for word in done.stdout.split("\n") if word]

    def file(self, home):
        path = os.path.join(home, "mpqemu.fish")
        with open(path, "w", encoding="utf-8") as file:
            file.write(script("fish"))
        return path

    def test_joined(self):
        self.check(JOINED, lambda line, words: [
            line.split()[1].split("=")[0] + "=" + word for word in words])


class Terminal:
    """An interactive shell: what the tab key makes of a line."""

    def __init__(self, argv, setup):
        self.home = tempfile.TemporaryDirectory()
        self.ours, theirs = pty.openpty()
        env = {**os.environ, "HOME": self.home.name, "ZDOTDIR": self.home.name, "TERM": "dumb",
               "PS1": "", "INPUTRC": "/dev/null"}
        self.proc = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=env,
                                     cwd=self.home.name, start_new_session=True)
        os.close(theirs)
        self.said = ""
        path = os.path.join(self.home.name, "script")
        with open(path, "w", encoding="utf-8") as file:
            file.write(setup)
        self.type(f". {path}; echo rea''dy\n")
        self.wait(r"ready")

    def type(self, text):
        os.write(self.ours, text.encode())

    def wait(self, pattern):
        end = time.monotonic() + TIMEOUT
        while not re.search(pattern, self.said):
            if time.monotonic() > end:
                raise AssertionError(f"no {pattern!r} in {self.said!r}")
            if select.select([self.ours], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self.said += os.read(self.ours, 4096).decode(
                        errors="replace").replace("\b", "")

    def close(self):
        self.proc.kill()
        self.proc.wait()
        os.close(self.ours)
        self.home.cleanup()


# What is typed with a tab in it, and the whole line then, by its echo.
TYPED = [("mpqemu-remote -mac\tx", r"-machine +x"), ("mpqemu-orchestrate imp\tx", r"import +x"),
         ("mpqemu remote --sandbox-r\tx", r"--sandbox-report +x"),
         ("mpqemu-orchestrate --protocol=vf\tx", r"--protocol=vfio-user +x")]


class Interactive(wire.unittest.TestCase):
    def check(self, argv, setup):
        terminal = Terminal(argv, setup)
        self.addCleanup(terminal.close)
        for line, words in TYPED:
            with self.subTest(line):
                terminal.said = ""
                terminal.type("\x15" + line)    # the line before is thrown away
                terminal.wait(words)

    @unittest.skipUnless(shutil.which("bash"), "bash is not installed")
    def test_bash(self):
        self.check(["bash", "--norc", "--noprofile", "-i"], script("bash"))

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh(self):
        self.check(["zsh", "-f", "-i"], "autoload -U compinit; compinit -u -D\n" + script("zsh"))


if __name__ == "__main__":
    wire.tap.main()
