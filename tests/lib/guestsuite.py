# SPDX-License-Identifier: GPL-2.0-or-later
"""What the scripts of tests/guest share: --remote, images with known files, the host's e2fsck."""
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import guestimage
import qemu
import tap


class GuestCase(unittest.TestCase):
    """A test with a directory of its own, .dir, that goes away with it."""

    def setUp(self):
        work = tempfile.TemporaryDirectory(prefix="mpqemu-test-")
        self.addCleanup(work.cleanup)
        self.dir = pathlib.Path(work.name)

    def ours_only(self, why):
        if qemu.remote_kind() != "mpqemu":
            self.skipTest(why)


def tool(*argv):
    """Runs a host program; returns its output, raises with it when the program fails."""
    argv = [guestimage.program(argv[0]), *map(str, argv[1:])]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode:
        raise AssertionError(f"{' '.join(argv)} gave {done.returncode}:\n"
                             + done.stdout.decode(errors="replace"))
    return done.stdout


def fsck(path):
    """The ext4 filesystem that image @path holds is clean, without replaying its journal."""
    tool("e2fsck", "-fn", path)


def file_of(path, name):
    """The bytes of file @name in the ext4 image @path, read on the host without a mount."""
    with tempfile.NamedTemporaryFile() as out:
        tool("debugfs", "-R", f"dump {name} {out.name}", path)
        return out.read()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def built_guest_program(name):
    """A program of tests/guest that runs in the guest: its bytes."""
    return pathlib.Path(qemu.built("tests/guest/" + name)).read_bytes()


def main():
    """tap.main() for a guest script: takes --remote qemu|mpqemu out of the arguments first."""
    if "--remote" in sys.argv:
        at = sys.argv.index("--remote")
        os.environ["MPQEMU_REMOTE"] = sys.argv[at + 1]
        del sys.argv[at:at + 2]
    qemu.remote_kind()
    tap.main()
