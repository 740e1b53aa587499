#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""--sandbox-report: each kind of device process is attacked inside the real sandbox, and holds."""
import re
import subprocess
import unittest

import box
import mpq

MAX_NAMES = 32          # 36 are promised; 4 are for what is to come
NOT_LIMITED = {"rt_sigreturn", "exit_group"}    # which have no argument that would matter
MIN_LIMITED = 20        # with a raw disk
MIN_ATTACKS = 70
# Words of the attacks that must be among those tried, whatever else is.
ATTACKS = ("open a file", "make a TCP socket", "connect", "run a program", "fork",
           "ptrace another process", "make memory executable", "map memory outside the arena",
           "write another process's memory", "make an io_uring", "send an fd to the peer",
           "send an fd to the keeper", "write to stdout", "write to an image by write")


class Report:
    """The parts of the text."""

    def __init__(self, text):
        self.text = text
        self.said = re.search(r"^mpqemu-remote: sandbox: (.*)$", text, re.M)[1]
        names, limited = re.search(r"^allowed: (\d+) system calls, (\d+) of them with limited",
                                   text, re.M).groups()
        self.names, self.limited = int(names), int(limited)
        between = text[text.index("\nallowed: "):text.index("\ntried, ")]
        self.rows = re.findall(r"^  (\w+) +(\S.*)$", between, re.M)
        self.counts = {what: (int(good), int(all_)) for good, all_, what in re.findall(
            r"^  (\d+) of (\d+) (allowed calls returned|calls with one argument changed died"
            r"|attacks died)$", text, re.M)}
        after = text[text.index("\ntried, "):]
        self.attacks = dict(re.findall(r"^  (\S.*?) {2,}(died at system call \d+|killed by .*)$",
                                       after, re.M))


def report(options, user="root"):
    done = subprocess.run([*box.USERS[user], mpq.program("mpqemu-remote"), "--sandbox-report",
                           *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=mpq.TIMEOUT)
    return done.returncode, done.stdout, done.stderr


@box.needs_root
class Reports(unittest.TestCase):
    def check(self, options, user):
        status, out, err = report(options, user)
        self.assertEqual((status, err), (0, ""), out)
        self.assertNotIn("NOT AS IT SHOULD BE", out)
        found = Report(out)
        self.assertLessEqual(found.names, MAX_NAMES)
        self.assertGreaterEqual(found.limited, found.names - len(NOT_LIMITED))
        self.assertEqual({call for call, rest in found.rows if not rest.endswith(")")}, NOT_LIMITED)
        self.assertEqual(len({call for call, _ in found.rows}), found.names)
        self.assertEqual(len(found.counts), 3, out)
        for what, (good, tried) in found.counts.items():
            self.assertEqual(good, tried, what)
        self.assertGreaterEqual(found.counts["allowed calls returned"][1], found.names - 2)
        self.assertGreater(found.counts["calls with one argument changed died"][1], 200)
        self.assertGreaterEqual(found.counts["attacks died"][1], MIN_ATTACKS)
        self.assertEqual(len(found.attacks), found.counts["attacks died"][1])
        for attack in ATTACKS:
            self.assertIn(attack, found.attacks)
        return found

    def of(self, kind, user):
        """The report on that kind of device process, and the calls that it names."""
        with box.place() as at:
            devices, options = box.KINDS[kind](at)
            for device in devices:
                options = ["-device", device, *options]
            found = self.check(options, user)
        return found, {call for call, _ in found.rows}

    def test_no_device(self):
        """Without any, for all that a device process may ever be allowed but NBD."""
        self.check([], "root")

    def test_edu(self):
        _, calls = self.of("edu", "nobody")
        self.assertFalse({"pread64", "pwrite64", "fdatasync", "ioctl"} & calls)

    def test_listening(self):
        """Clients come with the keeper's messages: two rows more, and their limits hold."""
        plain, _ = self.of("edu", "root")
        found = self.check(["-device", "edu,id=e0", "-object",
                            "x-remote-object,id=r,devid=e0,server=on,path=/nonexistent/x"], "root")
        more = [row for row in found.rows if row not in plain.rows]
        self.assertEqual([call for call, _ in more], ["recvmsg", "dup3"])

    def test_lsi_raw(self):
        for user in box.USERS:
            with self.subTest(user):
                found, calls = self.of("raw", user)
                self.assertIn("pwritev2", calls)
                self.assertNotIn("handshake", found.text)
                self.assertNotIn("ioctl", calls)
                self.assertGreaterEqual(found.limited, MIN_LIMITED)

    def test_lsi_nbd(self):
        found, calls = self.of("nbd", "nobody")
        self.assertFalse({"pread64", "pwrite64", "fallocate"} & calls)
        self.assertTrue([why for call, why in found.rows
                         if call == "close" and "server that is gone" in why])
        self.assertRegex(found.text, r"\nallowed in the handshake with NBD servers: \d+ system "
                         r"calls, \d+ of them limited\n")

    def test_lsi_block_device(self):
        """What the allowed calls are made with leaves the disk as it was."""
        before = bytes(range(256)) * (box.IMAGE_SIZE // 256)
        with box.place() as at:
            device = at.loop_device()
            with open(device, "r+b") as file:
                file.write(before)
            found = self.check(["-device", box.LSI, *box.raw_disk(device)], "root")
            self.assertIn("ioctl", {call for call, _ in found.rows})
            with open(device, "rb") as file:
                self.assertEqual(file.read(), before)


class Refusals(unittest.TestCase):
    def test_off(self):
        """There is nothing to report of, and nothing is claimed."""
        status, out, _ = report(["--sandbox=off"])
        self.assertNotIn("died", out)
        self.assertNotIn("allowed:", out)
        self.assertIn("sandbox: off", out)
        self.assertIn("nothing was tried", out)
        self.assertEqual(status, mpq.EXIT_START)

    def test_missing_image(self):
        status, out, err = report(["-device", box.LSI, *box.raw_disk("/nonexistent/disk")])
        self.assertEqual((status, out), (mpq.EXIT_START, ""))
        self.assertIn("/nonexistent/disk", err)

    def test_lower_level(self):
        status, out, err = report(["--sandbox=seccomp-only"])
        self.assertEqual((status, err), (0, ""), out)
        self.assertIn("seccomp-only; no own root", Report(out).said)


if __name__ == "__main__":
    box.tap.main()
