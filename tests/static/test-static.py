#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The static program: one small file that needs no other, and says what it cannot do."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE.parent / "sandbox")]
import box      # noqa: E402
import mpq      # noqa: E402
import tap      # noqa: E402

MIB = 1 << 20
SIZE_LIMIT = 3 * MIB
EXIT_REMOTE, EXIT_ORCHESTRATE = 123, 125
EMULATOR = "mpqemu-qemu-system-x86_64"
NAMES = ["mpqemu", "mpqemu-orchestrate", "mpqemu-proxy", EMULATOR, "mpqemu-remote"]


def output(*argv):
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=mpq.TIMEOUT).stdout


def run(*argv):
    """(status, stdout, stderr)"""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=mpq.TIMEOUT)
    return done.returncode, done.stdout, done.stderr


class Place(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="mpq-static-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def stripped(self, path):
        output("strip", "-o", path, mpq.program("mpqemu"))
        return path


class File(Place):
    def test_size(self):
        size = os.stat(self.stripped(self.path("mpqemu"))).st_size
        self.assertLess(size, SIZE_LIMIT)

    def test_nothing_is_loaded(self):
        """static-pie: a position-independent program without a loader or a library."""
        said = output("readelf", "-hldW", mpq.program("mpqemu"))
        self.assertRegex(said, r"Type: +DYN \(Position-Independent Executable")
        for word in ("INTERP", "NEEDED", "RPATH", "RUNPATH", "TEXTREL"):
            self.assertNotIn(word, said)
        self.assertRegex(said, r"GNU_STACK .* RW +0x")
        self.assertIn("GNU_RELRO", said)

    def test_ldd(self):
        said = "".join(run("ldd", mpq.program("mpqemu"))[1:])
        self.assertRegex(said, "statically linked|not a dynamic executable")

    def test_opens_no_library(self):
        """Nor a table of users, names or languages: glibc would load libraries for these."""
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        with box.place() as at:
            trace = at.path("trace")
            prefix = ["strace", "-f", "-qq", "-o", trace, "-e", "trace=open,openat,execve"]
            with mpq.Remote.start([box.LSI], [*box.raw_disk(at.image()), "--sandbox=off"],
                                  prefix=prefix) as remote:
                self.assertEqual(remote.peer.cfg_read(0, 2), 0x1000, remote.said())
                self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.said())
            with open(trace, encoding="ascii") as file:
                opened = re.findall(r'open(?:at)?\(.*?"(.*?)"', file.read())
        self.assertIn(at.path("disk.img"), opened)
        known = ("/proc/", "/sys/", "/dev/null", "/dev/urandom", at.folder)
        strange = [path for path in opened if not path.startswith(known)]
        self.assertEqual(strange, [])


class Root(Place):
    """`mpqemu --install -s /bin` in a root where nothing else is."""

    def root(self):
        os.mkdir(self.path("bin"))
        os.mkdir(self.path("proc"))
        self.stripped(self.path("bin/mpqemu"))
        return self.folder

    def check(self, prefix, programs):
        self.assertEqual(run(*prefix, "/bin/mpqemu", "--install", "-s", "/bin"), (0, "", ""))
        self.assertEqual(sorted(os.listdir(self.path("bin"))), NAMES)
        for name in NAMES[1:]:
            self.assertEqual(os.readlink(self.path(f"bin/{name}")), "/bin/mpqemu")
        for name in programs:
            self.assertRegex(output(*prefix, f"/bin/{name}", "--version"), rf"\A{name} version ")
        status, out, err = run(*prefix, "/bin/mpqemu", "--install", "-s", "/bin")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("/bin/mpqemu-remote: File exists", err)

    @box.needs_root
    def test_chroot_without_proc(self):
        self.check(["chroot", self.root()], ["mpqemu-remote", "mpqemu-proxy"])

    def test_bubblewrap(self):
        if not shutil.which("bwrap"):
            self.skipTest("bubblewrap is not installed")
        bwrap = ["bwrap", "--unshare-all", "--bind", self.root(), "/", "--proc", "/proc",
                 "--dev", "/dev"]
        self.check(bwrap, [name for name in NAMES[1:] if name != EMULATOR])
        # It stands in the place of a QEMU that is not here.
        status, out, err = run(*bwrap, f"/bin/{EMULATOR}", "--version")
        self.assertEqual((status, out, err.count("\n")), (1, "", 1), err)
        self.assertIn("qemu-system-x86_64", err)

    @box.needs_root
    def test_relative_path_without_proc(self):
        """It cannot know where it is, and says so."""
        root = self.root()
        status, out, err = run("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && '
                               'cd "$0" && bin/mpqemu --install -s bin', root)
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err, "mpqemu: /proc/self/exe: No such file or directory\n")
        self.assertEqual(os.listdir(self.path("bin")), ["mpqemu"])


class Disks(Place):
    """Raw images only; one line says so."""

    def setUp(self):
        super().setUp()
        self.qcow2 = self.path("d.qcow2")
        output("qemu-img", "create", "-q", "-f", "qcow2", self.qcow2, "1M")

    def rows(self):
        scsi = ["-device", "scsi-hd,drive=d0"]
        yield ["-drive", f"if=none,id=d0,file={self.qcow2},format=qcow2", *scsi]
        yield ["-drive", f"if=none,id=d0,file={self.qcow2}", *scsi]
        yield ["-blockdev", "qcow2,node-name=d0,file.driver=file,file.filename=" + self.qcow2,
               *scsi]
        yield ["-blockdev", "nbd,node-name=d0,server.type=unix,server.path=/none", *scsi]
        yield ["-drive", "if=none,id=d0,file=nbd://127.0.0.1:1/,format=raw", *scsi]

    def refused(self, program, status, argv):
        """That status, and a single line of @program's; @argv may make others say more."""
        got, out, err = run(mpq.program(argv[0]), *argv[1:])
        self.assertEqual((got, out), (status, ""), err)
        lines = [line for line in err.split("\n") if "libnbd" in line]
        self.assertEqual(len(lines), 1, err)
        self.assertRegex(lines[0], rf"\A{program}: .*-(drive|blockdev) .*: needs a storage daemon "
                         "or NBD: this mpqemu was built without libnbd, it serves raw images only$")
        return err

    def test_remote(self):
        for options in self.rows():
            with self.subTest(options=options):
                said = self.refused("mpqemu-remote", mpq.EXIT_START, [
                    "mpqemu-remote", "-machine", "x-remote,vfio-user=on", "-device", box.LSI,
                    *options, "-object",
                    f"x-vfio-user-server,id=v,device=l0,type=unix,path={self.path('sock')}"])
                self.assertEqual(said.count("\n"), 1, said)
                self.assertFalse(os.path.lexists(self.path("sock")))

    def test_orchestrate(self):
        """The plan is refused; what is launched all the same is refused by the remote."""
        for options in self.rows():
            rest = ["--", box.QEMU, "-accel", "tcg", "-m", "64M", "-device", "lsi53c895a,id=l0",
                    *options, "-nodefaults", "-display", "none"]
            with self.subTest(options=options):
                self.refused("mpqemu-orchestrate", EXIT_ORCHESTRATE,
                             ["mpqemu-orchestrate", "--dry-run", *rest])
                self.refused("mpqemu-remote", EXIT_REMOTE, ["mpqemu-orchestrate", *rest])

    def test_raw(self):
        with box.place() as at, \
                mpq.Remote.start([box.LSI], box.raw_disk(at.image())) as remote:
            self.assertEqual(remote.peer.cfg_read(0, 2), 0x1000, remote.said())
            self.assertEqual(remote.finish(), mpq.EXIT_CLEAN, remote.said())


class Sandbox(unittest.TestCase):
    """The filter's table is written for the calls of libc; this one is linked otherwise."""

    def test_report(self):
        status, out, err = run(mpq.program("mpqemu-remote"), "--sandbox-report")
        self.assertEqual(status, 0, out + err)
        self.assertIn("sandbox: strict", out)

    def test_behind_qemu(self):
        """The static orchestrator, QEMU, and the static remote."""
        if not shutil.which(box.QEMU):
            self.skipTest("QEMU is not installed")
        with box.remote("orchestrated") as remote:
            remote.ask("outl 0xcf8 0x80001000")
            self.assertEqual(remote.finish(), 0, remote.said())


if __name__ == "__main__":
    tap.main()
