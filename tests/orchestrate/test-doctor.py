#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-orchestrate doctor: what it finds is so, and what is taken away is missed."""
import os
import pathlib
import platform
import re
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE.parent / "sandbox")]
import box      # noqa: E402
import mpq      # noqa: E402
import tap      # noqa: E402

ROWS = ["KVM", "namespaces", "Landlock", "seccomp", "cgroups", "huge pages", "io_uring", "images",
        "QEMU"]
DENY = (sys.executable, str(box.HERE / "deny.py"))
NO_USERNS = ("unshare", "-Ur", "sh", "-c",
             'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh")

x86_64 = unittest.skipUnless(platform.machine() == "x86_64", "deny.py knows x86-64 numbers")


def run(*args, prefix=(), **more):
    return subprocess.run([*prefix, mpq.program("mpqemu-orchestrate"), "doctor", *args],
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          timeout=mpq.TIMEOUT, **{"stdout": subprocess.PIPE, **more})


class Doctor(unittest.TestCase):
    def look(self, prefix=(), **more):
        """({row: (verdict, text)}, status); the page's shape is checked."""
        done = run(prefix=prefix, **more)
        self.assertEqual(done.stderr, "")
        found, lines = {}, done.stdout.rstrip("\n").split("\n")
        self.assertLessEqual(len(lines), 24, "one page")
        while lines:
            verdict, name, text = re.fullmatch(r"(ok|less|BAD) +([A-Za-z_]+(?: pages)?) +(\S.*)",
                                               lines.pop(0)).groups()
            found[name] = (verdict, text)
            if verdict != "ok":
                self.assertRegex(lines.pop(0), r"\A {18}help: \S")
        self.assertEqual(list(found), ROWS)
        bad = any(verdict == "BAD" for verdict, _ in found.values())
        self.assertEqual(done.returncode, 1 if bad else 0)
        return found

    def test_here(self):
        found = self.look()
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            self.assertEqual(found["KVM"][0], "less")
        self.assertEqual(found["seccomp"][0], "ok")

    @box.needs_root
    def test_no_user_namespaces(self):
        self.assertEqual(self.look(NO_USERNS)["namespaces"], ("BAD", "No space left on device"))

    @x86_64
    def test_no_landlock(self):
        for error in ("ENOSYS", "EPERM"):
            with self.subTest(error):
                found = self.look([*DENY, f"landlock={error}", "--"])
                self.assertEqual(found["Landlock"], ("less", "not in this kernel, or forbidden"))

    @x86_64
    def test_forbidden_namespaces(self):
        found = self.look([*DENY, "userns=EPERM", "--"])
        self.assertEqual(found["namespaces"], ("BAD", "Operation not permitted"))

    def test_no_programs(self):
        found = self.look(env={"PATH": "/nonexistent"})
        self.assertEqual(found["QEMU"], ("less", "none in PATH"))
        self.assertEqual(found["images"], ("less", "no qemu-storage-daemon, no qemu-img"))

    def test_a_qemu_that_is_none(self):
        with box.place() as at:
            path = at.path("qemu-system-x86_64")
            with open(path, "w", encoding="ascii") as file:
                file.write("#!/bin/sh\nexit 3\n")
            os.chmod(path, 0o755)
            verdict, text = self.look(env={"PATH": at.folder})["QEMU"]
            self.assertEqual(verdict, "less")
            self.assertTrue(text.startswith(path + ": "), text)

    def test_refused(self):
        for args in (["x"], ["--dry-run"]):
            done = run(*args)
            self.assertEqual((done.returncode, done.stdout), (125, ""))
            self.assertRegex(done.stderr, r"\Ampqemu-orchestrate: doctor: .*\n\Z")

    def test_nobody_reads(self):
        with open("/dev/full", "wb") as full:
            done = run(stdout=full)
        self.assertEqual((done.returncode, done.stderr),
                         (1, "mpqemu-orchestrate: stdout: No space left on device\n"))


if __name__ == "__main__":
    tap.main()
