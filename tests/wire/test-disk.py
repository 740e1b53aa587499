#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mpqemu-proxy disk: list, copy and export of a remote's disks, ours and QEMU's."""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import wire
import mpq
from mpq import TIMEOUT

EXIT_USAGE, EXIT_REMOTE = 1, 2
QEMU = os.environ.get("MPQEMU_QEMU", "qemu-system-x86_64")
TARGETS = {"mpqemu": "ours over mpqemu", "vfio-user": "ours over vfio-user", "qemu": "QEMU's"}
MIB = 1 << 20


def available():
    """Where a start costs a second, not both protocols of ours."""
    return [name for name in list(TARGETS)[wire.thin(0, 1):]
            if name != "qemu" or shutil.which(QEMU)]


def argv(kind, *args, lsi="lsi53c895a"):
    """["--", the command of a remote with a controller and @args]"""
    args = ["-device", f"{lsi},id=lsi0", *args]
    if kind == "qemu":
        return ["--", QEMU, "-machine", "x-remote", "-nodefaults", "-display", "none", *args,
                "-object", "x-remote-object,id=o,devid=lsi0,fd=9"]
    way = ("x-vfio-user-server,id=o,device=lsi0,type=fd,str=9" if kind == "vfio-user" else
           "x-remote-object,id=o,devid=lsi0,fd=9")
    return ["--", mpq.program("mpqemu-remote"), *mpq.sandbox(), "-machine",
            "x-remote,vfio-user=on", *args, "-object", way]


def disk(path, target=0, more="", file_more=""):
    return ["-drive", f"if=none,id=d{target},format=raw,file={path}{file_more}",
            "-device", f"scsi-hd,drive=d{target},bus=lsi0.0,scsi-id={target}{more}"]


def cd(path, target):
    return ["-drive", f"if=none,id=d{target},format=raw,readonly=on,media=cdrom,file={path}",
            "-device", f"scsi-cd,drive=d{target},bus=lsi0.0,scsi-id={target}"]


def noise(size, seed=0):
    return random.Random(seed).randbytes(size)


def kill_remote(proxy):
    """How many processes that was."""
    children = subprocess.run(["pgrep", "-P", str(proxy), "-f", "mpqemu-remote"],
                              stdout=subprocess.PIPE, text=True).stdout.split()
    for pid in children:
        os.kill(int(pid), signal.SIGKILL)
    return len(children)


class DiskTest(wire.unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.image = self.file("image", noise(4 * MIB, 1))
        self.cd = self.file("cd", noise(2 * MIB, 7))

    def path(self, name):
        return os.path.join(self.folder, name)

    def file(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)
        return self.path(name)

    def content(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def proxy(self, *args, **kwargs):
        return subprocess.run([*mpq.wrapper(), mpq.program("mpqemu-proxy"), "disk", *args],
                              text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT, **kwargs)

    def good(self, *args, **kwargs):
        done = self.proxy(*args, **kwargs)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def bad(self, status, words, *args, **kwargs):
        """One line of the proxy's own, and nothing on stdout."""
        done = self.proxy(*args, **kwargs)
        lines = [x for x in done.stderr.splitlines() if x.startswith("mpqemu-proxy: ")]
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertIn(words, lines[0])


class CommandLine(DiskTest):
    def test_refused(self):
        rows = (
            ("expected list, copy or export", []),
            ("expected list, copy or export", ["nothing"]),
            ("expected: disk list", ["list", "0:0"]),
            ("expected: disk copy FROM TO", ["copy", "0:0"]),
            ("one word too many", ["copy", "0:0", "a", "b"]),
            ("expected one unit", ["copy", "a", "b"]),
            ("expected one unit", ["copy", "0:0", "1:0"]),
            ("expected one unit", ["copy", "16:0", "b"]),
            ("expected one unit", ["copy", "0:64", "b"]),
            ("expected one unit", ["copy", "0:", "b"]),
            ("expected one unit", ["copy", ":0", "b"]),
            ("expected one unit", ["copy", "0:0x", "b"]),
            ("expected one unit", ["copy", "99999999999:0", "b"]),
            ("expected: disk export", ["export", "0:0"]),
            ("expected: disk export", ["export", "--listen", "s"]),
            ("expected TARGET:LUN", ["export", "a", "--listen", "s"]),
            ("expected the path", ["export", "0:0", "--listen", "unix:"]),
            ("expected [unix:]PATH", ["export", "0:0", "--listen", "tcp:localhost:10809"]),
            ("expected [unix:]PATH", ["export", "0:0", "--listen", "nbd://localhost"]),
            ("--json is an option of disk list", ["copy", "0:0", "b", "--json"]),
            ("--force is an option of disk copy", ["list", "--force"]),
            ("--listen is an option of disk export", ["list", "--listen", "s"]),
            ("--read-only is an option of disk export", ["list", "--read-only"]))
        for words, args in rows[::wire.thin(1, 5)]:
            with self.subTest(args=args):
                self.bad(EXIT_USAGE, words, *args, *argv("mpqemu"))
        self.assertEqual(sorted(os.listdir(self.folder)), ["cd", "image"])


class Errors(DiskTest):
    def test_no_controller(self):
        self.bad(EXIT_REMOTE, "dev0: it is no LSI 53C895A or 53C810", "list", "--",
                 mpq.program("mpqemu-remote"), *mpq.sandbox(), "-machine", "x-remote",
                 "-device", "edu,id=dev0", "-object", "x-remote-object,id=o,devid=dev0,fd=9")

    def test_no_remote(self):
        self.bad(EXIT_REMOTE, "the remote closed the connection", "list", "--", "sh", "-c",
                 "exit 3", "-object", "x-remote-object,id=o,devid=lsi0,fd=9")

    def test_units(self):
        for kind in available():
            where = argv(kind, *disk(self.image), *cd(self.cd, 3),
                         "-device", "scsi-cd,bus=lsi0.0,scsi-id=4")
            for words, args in (
                    ("lsi0: there is no unit 5:0", ["copy", "5:0", self.path("out")]),
                    ("lsi0: there is no unit 0:1", ["copy", "0:1", self.path("out")]),
                    ("lsi0: 4:0: it has no blocks, or no medium",
                     ["copy", "4:0", self.path("out")]),
                    ("lsi0: 3:0: it is write protected", ["copy", self.cd, "3:0"])):
                with self.subTest(kind=kind, args=args):
                    self.bad(EXIT_REMOTE, words, *args, *where)
        self.assertEqual(sorted(os.listdir(self.folder)), ["cd", "image"])

    def test_files(self):
        where = argv("mpqemu", *disk(self.image))
        self.file("large", bytes(4 * MIB + 1))
        self.bad(EXIT_REMOTE, "its 4194305 bytes are more than the 4194304 of unit 0:0",
                 "copy", self.path("large"), "0:0", *where)
        self.bad(EXIT_REMOTE, "large: it exists; --force overwrites it",
                 "copy", "0:0", self.path("large"), *where)
        self.bad(EXIT_REMOTE, "nothing: No such file", "copy", self.path("nothing"), "0:0", *where)
        self.bad(EXIT_REMOTE, "no/out: No such file", "copy", "0:0", self.path("no/out"), *where)
        self.bad(EXIT_REMOTE, "it is no file and no block device",
                 "copy", "--force", "0:0", "/dev/null", *where)
        self.bad(EXIT_REMOTE, f"{self.folder}: Is a directory", "copy", self.folder, "0:0", *where)
        self.bad(EXIT_REMOTE, f"{self.folder}: Is a directory", "copy", "0:0", self.folder, *where)
        self.assertEqual(self.content("large"), bytes(4 * MIB + 1))
        self.assertEqual(self.content("image"), noise(4 * MIB, 1))


    def test_no_file(self):
        """Neither end of a FIFO is waited for."""
        where = argv("mpqemu", *disk(self.image))
        os.mkfifo(self.path("fifo"))
        for args in (["copy", self.path("fifo"), "0:0"], ["copy", "0:0", self.path("fifo")],
                     ["copy", "0:0", self.path("fifo"), "--force"], ["copy", "/dev/zero", "0:0"]):
            with self.subTest(args=args):
                self.bad(EXIT_REMOTE, "it is no file and no block device", *args, *where)
        self.assertEqual(self.content("image"), noise(4 * MIB, 1))

    def test_own_image(self):
        """What the remote has as a disk is neither overwritten nor copied into itself."""
        for kind in available():
            where = argv(kind, *disk(self.image), *disk(self.file("other", bytes(MIB)), 1))
            os.symlink(self.image, self.path("link"))
            for args in (["0:0", self.image, "--force"], ["0:0", self.path("link"), "--force"],
                         ["1:0", self.image, "--force"], [self.path("other"), "1:0"],
                         [self.path("other"), "0:0"]):
                with self.subTest(kind=kind, args=args):
                    self.bad(EXIT_REMOTE, "it is in use as a disk", "copy", *args, *where)
            os.unlink(self.path("link"))
        self.assertEqual(self.content("image"), noise(4 * MIB, 1))
        self.assertEqual(self.content("other"), bytes(MIB))

    def test_shared_image(self):
        """A disk that nobody writes can be copied from by its name."""
        where = argv("mpqemu", *disk(self.image), *cd(self.cd, 3))
        self.good("copy", self.cd, "0:0", *where)
        self.assertEqual(self.content("image")[:2 * MIB], self.content("cd"))


class List(DiskTest):
    def test_text(self):
        for kind in available():
            for lsi in ("lsi53c895a", "lsi53c810"):
                with self.subTest(kind=kind, lsi=lsi):
                    lines = self.good("list", *argv(
                        kind, *disk(self.image, 0, ",serial=Nr 5,product=A disk"),
                        *cd(self.cd, 3), "-device", "scsi-cd,bus=lsi0.0,scsi-id=4",
                        lsi=lsi)).splitlines()
                    self.assertEqual(len(lines), 3)
                    self.assertEqual(lines[0].split(", unmap")[0],
                                     '0:0 disk: "QEMU" "A disk" "2.5+", serial "Nr 5", '
                                     '4194304 bytes, 512 a block')
                    self.assertEqual(lines[1], '3:0 CD-ROM: "QEMU" "QEMU CD-ROM" "2.5+", 2097152 '
                                     'bytes, 2048 a block, removable, read-only')
                    self.assertEqual(lines[2], '4:0 CD-ROM: "QEMU" "QEMU CD-ROM" "2.5+", no '
                                     'medium, removable, read-only')

    def test_json(self):
        for kind in available():
            with self.subTest(kind=kind):
                units = json.loads(self.good("list", "--json", *argv(
                    kind, *disk(self.image, 2, ",serial=5,logical_block_size=4096,"
                                "physical_block_size=4096", ",readonly=on"))))
                self.assertEqual(len(units), 1)
                units[0].pop("unmap")
                self.assertEqual(units[0], {
                    "target": 2, "lun": 0, "type": "disk", "vendor": "QEMU",
                    "product": "QEMU HARDDISK", "revision": "2.5+", "removable": False,
                    "read-only": True, "serial": "5", "block-size": 4096, "blocks": 1024,
                    "bytes": 4 * MIB})

    def test_nothing(self):
        self.assertEqual(self.good("list", *argv("mpqemu")), "")
        self.assertEqual(json.loads(self.good("list", "--json", *argv("mpqemu"))), [])

    def test_no_answer(self):
        """A unit that does not say how large it is is a line, and hides none behind it."""
        if "qemu" not in available():
            self.skipTest("only QEMU's remote has disks without blocks")
        where = argv("qemu", *disk(self.file("nothing", b"")), *disk(self.image, 2))
        lines = self.good("list", *where).splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["0:0", "2:0"])
        self.assertRegex(lines[0], r'^0:0 disk: "QEMU" "QEMU HARDDISK" "2.5\+".*, '
                         r"READ CAPACITY.*: NOT READY.*\(2/04/03\)")
        self.assertIn(f"{4 * MIB} bytes", lines[1])
        units = json.loads(self.good("list", "--json", *where))
        self.assertIn("NOT READY", units[0]["error"])
        self.assertNotIn("bytes", units[0])
        self.assertNotIn("error", units[1])

    def test_units(self):
        """LUNs beside LUN 0, which QEMU's controller has not."""
        more = self.file("more", bytes(MIB))
        text = self.good("list", *argv(
            "mpqemu", *disk(self.image), "-drive", f"if=none,id=x,format=raw,file={more}",
            "-device", "scsi-hd,drive=x,bus=lsi0.0,scsi-id=0,lun=5"))
        self.assertEqual([line.split()[0] for line in text.splitlines()], ["0:0", "0:5"])


class Copy(DiskTest):
    def test_out(self):
        for kind in available():
            for size in (512, 4 * MIB, 7 * MIB + 1536):
                with self.subTest(kind=kind, size=size):
                    image = self.file("disk", noise(size, 2))
                    self.good("copy", "0:0", self.path("out"), *argv(kind, *disk(image)))
                    self.assertEqual(self.content("out"), self.content("disk"))
                    os.unlink(self.path("out"))

    def test_out_sparse(self):
        for kind in available():
            with self.subTest(kind=kind):
                image = self.file("disk", bytes(2 * MIB) + b"x" + bytes(2 * MIB - 1))
                self.file("out", b"something else")
                self.good("copy", "--force", "0:0", self.path("out"), *argv(kind, *disk(image)))
                self.assertEqual(self.content("out"), self.content("disk"))
                self.assertLessEqual(os.stat(self.path("out")).st_blocks * 512, 128 << 10)

    def test_in(self):
        """All of it; and less, with a last block in part."""
        for kind in available():
            for size in (4 * MIB, MIB + 5, 1, 0):
                with self.subTest(kind=kind, size=size):
                    before = noise(4 * MIB, 3)
                    self.file("disk", before)
                    self.file("in", noise(size, 4))
                    self.good("copy", self.path("in"), "0:0",
                              *argv(kind, *disk(self.path("disk"))))
                    end = (size + 511) // 512 * 512
                    self.assertEqual(self.content("disk"), noise(size, 4) + bytes(end - size) +
                                     before[end:])

    def test_blocks(self):
        """Of 2048 bytes on a CD, 4096 on a disk."""
        for kind in available():
            with self.subTest(kind=kind):
                where = argv(kind, *cd(self.cd, 3), *disk(
                    self.file("disk", bytes(2 * MIB)), 1,
                    ",logical_block_size=4096,physical_block_size=4096"))
                self.good("copy", "3:0", self.path("out"), *where)
                self.assertEqual(self.content("out"), self.content("cd"))
                self.good("copy", self.path("out"), "1:0", *where)
                self.assertEqual(self.content("disk"), self.content("cd"))
                os.unlink(self.path("out"))

    def test_progress_needs_a_terminal(self):
        done = self.proxy("copy", "0:0", self.path("out"), *argv("vfio-user", *disk(self.image)))
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertNotIn("\r", done.stderr)
        self.assertNotIn("%", done.stderr)


class Unfinished(DiskTest):
    """A copy that a signal or an error ends: one line, which says what is left."""

    def setUp(self):
        super().setUp()
        self.file("large", b"")
        os.truncate(self.path("large"), 512 << 30)

    def begin(self, *args):
        command = [*mpq.wrapper(), mpq.program("mpqemu-proxy"), "disk", "copy", *args]
        return subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def until(self, process, condition):
        """False: it has ended before."""
        while not condition():
            if process.poll() is not None:
                return False
            time.sleep(0.005)
        return True

    def end(self, process, words):
        with process:
            out, log = process.communicate(timeout=TIMEOUT)
        lines = [x for x in log.splitlines() if x.startswith("mpqemu-proxy: ")]
        self.assertEqual((process.returncode, out), (EXIT_REMOTE, ""), log)
        self.assertEqual(len(lines), 1, log)
        self.assertEqual(lines[0], "mpqemu-proxy: " + words)

    def test_signal(self):
        out = self.path("out")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number=number):
                copy = self.begin("0:0", out, *argv("mpqemu", *disk(self.path("large"))))
                self.assertTrue(self.until(copy, lambda: os.path.exists(out)))
                copy.send_signal(number)
                self.end(copy, f"interrupted by {number.name}; {out} is removed")
                self.assertFalse(os.path.exists(out))

    def test_force(self):
        """Somebody's file stays one."""
        out = self.file("out", b"x")
        copy = self.begin("--force", "0:0", out, *argv("mpqemu", *disk(self.path("large"))))
        self.assertTrue(self.until(copy, lambda: not os.path.getsize(out)))
        copy.send_signal(signal.SIGTERM)
        self.end(copy, f"interrupted by SIGTERM; {out} is empty")
        self.assertEqual(self.content("out"), b"")

    def test_remote_dies(self):
        out = self.path("out")
        copy = self.begin("0:0", out, *argv("mpqemu", *disk(self.path("large"))))
        self.assertTrue(self.until(copy, lambda: os.path.exists(out)))
        self.assertTrue(kill_remote(copy.pid))
        self.end(copy, f"lsi0: 0:0: the remote closed the connection; {out} is removed")
        self.assertFalse(os.path.exists(out))

    def test_in(self):
        """A machine that is so slow that all is written before the signal gets another try."""
        os.truncate(self.path("large"), 1 << 30)
        for _ in range(10):
            with open(self.image, "wb") as file:
                file.truncate(1 << 30)
            copy = self.begin(self.path("large"), "0:0", *argv("mpqemu", *disk(self.image)))
            if self.until(copy, lambda: os.stat(self.image).st_blocks):
                copy.send_signal(signal.SIGTERM)
                if copy.wait(TIMEOUT):
                    break
            copy.communicate(timeout=TIMEOUT)
        self.end(copy, "interrupted by SIGTERM; unit 0:0 is written in part")


@wire.unittest.skipUnless(shutil.which("nbdkit"), "nbdkit is not installed")
@wire.unittest.skipUnless(mpq.has_nbd(), "this build has no libnbd, and no plugin for nbdkit")
@wire.unittest.skipIf(mpq.sanitized(), "a sanitized plugin needs a sanitized nbdkit")
class Export(DiskTest):
    def setUp(self):
        super().setUp()
        self.socket = self.path("nbd socket")
        self.statuses = [0]
        self.uri = "nbd+unix:///?socket=" + self.socket.replace(" ", "%20")

    def serve(self, *args, unit="0:0", kind="mpqemu", options=()):
        """Until the test's end, or stop()."""
        command = [*mpq.wrapper(), mpq.program("mpqemu-proxy"), "disk", "export", unit, "--listen",
                   self.socket, *options, *argv(kind, *args)]
        self.server = subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.stop)
        line = self.server.stdout.readline()
        self.assertEqual(line, self.uri + "\n", "" if line else self.server.stderr.read())

    def stop(self, number=signal.SIGTERM):
        if self.server.poll() is None:
            self.server.send_signal(number)
        with self.server:
            log = self.server.communicate(timeout=TIMEOUT)[1]
        self.assertIn(self.server.returncode, self.statuses, log)
        self.assertFalse(os.path.lexists(self.socket))
        return log

    def tool(self, *command):
        if not shutil.which(command[0]):
            self.skipTest(f"{command[0]} is not installed")
        done = subprocess.run(command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=TIMEOUT)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def refuse(self, words, unit, *args, **kwargs):
        self.bad(EXIT_REMOTE, words, "export", unit, "--listen", self.socket,
                 *argv("mpqemu", *args), **kwargs)

    def test_refused(self):
        self.refuse("lsi0: 5:0: there is no such unit", "5:0", *disk(self.image))
        self.refuse("4:0: it has no blocks", "4:0", "-device", "scsi-cd,bus=lsi0.0,scsi-id=4")
        if not mpq.wrapper():
            self.refuse("nbdkit: No such file", "0:0", *disk(self.image),
                        env={**os.environ, "PATH": "/nothing"})
        self.file("nbd socket", b"somebody's")
        self.refuse("nbd socket: it exists", "0:0", *disk(self.image))
        self.assertEqual(self.content("nbd socket"), b"somebody's")

    def test_places(self):
        """nbdkit's own errors, which are one line of ours."""
        for name, words in (("no/s", "no/s: No such file"), ("x" * 120, "File name too long")):
            with self.subTest(name=name):
                self.socket = self.path(name)
                self.refuse(words, "0:0", *disk(self.image))
        self.assertEqual(sorted(os.listdir(self.folder)), ["cd", "image"])

    def test_stale_socket(self):
        """One that nobody listens on is taken over; a server's is left alone."""
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(self.socket)
            server.listen()
            self.refuse("another process listens there", "0:0", *disk(self.image))
            server.settimeout(0)
            self.assertRaises(BlockingIOError, server.accept)
        self.assertTrue(os.path.exists(self.socket))
        self.serve(*disk(self.image))
        self.tool("nbdinfo", "--size", self.uri)

    def test_killed(self):
        """What SIGKILL leaves behind is in nobody's way."""
        self.serve(*disk(self.image))
        self.statuses = [-signal.SIGKILL]
        self.server.kill()
        with self.server:
            self.server.communicate(timeout=TIMEOUT)
        while self.listens():
            time.sleep(0.01)
        self.statuses = [0]
        self.serve(*disk(self.file("other", bytes(MIB))))

    def listens(self):
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(self.socket) == 0

    def export(self, redirection):
        """With another standard output."""
        command = [*mpq.wrapper(), mpq.program("mpqemu-proxy"), "disk", "export", "0:0",
                   "--listen", self.socket, *argv("mpqemu", *disk(self.image))]
        done = subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", *command], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT)
        self.assertFalse(os.path.lexists(self.socket))
        return done.returncode, [x for x in done.stderr.splitlines()
                                 if x.startswith("mpqemu-proxy: ")]

    def test_standard_output(self):
        for redirection, words in ((">/dev/full", "No space left on device"),
                                   (">&-", "Bad file descriptor")):
            with self.subTest(redirection=redirection):
                self.assertEqual(self.export(redirection), (
                    EXIT_REMOTE, [f"mpqemu-proxy: standard output: {words}"]))

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.serve(*disk(self.image))
            self.stop(number)

    def test_facts(self):
        for kind in available():
            with self.subTest(kind=kind):
                self.serve(*disk(self.image, 0, ",logical_block_size=4096,"
                                 "physical_block_size=4096", ",discard=unmap"), kind=kind)
                facts = json.loads(self.tool("nbdinfo", "--json", self.uri))["exports"][0]
                self.stop()
                self.assertEqual(facts["export-size"], 4 * MIB)
                self.assertEqual(facts["block_size_minimum"], 4096)
                for what in ("can_flush", "can_fua", "can_trim", "can_zero", "can_multi_conn"):
                    self.assertTrue(facts[what], what)
                self.assertFalse(facts["is_read_only"])

    def test_read_only(self):
        self.serve(*disk(self.image), options=["--read-only"])
        self.assertTrue(json.loads(self.tool("nbdinfo", "--json", self.uri))
                        ["exports"][0]["is_read_only"])
        self.stop()
        self.serve(*cd(self.cd, 3), unit="3:0")
        self.assertTrue(json.loads(self.tool("nbdinfo", "--json", self.uri))
                        ["exports"][0]["is_read_only"])

    def test_nbdcopy(self):
        for kind in available():
            with self.subTest(kind=kind):
                self.serve(*disk(self.image), kind=kind)
                self.tool("nbdcopy", self.uri, self.path("out"))
                self.assertEqual(self.content("out"), self.content("image"))
                self.file("in", noise(4 * MIB, 9))
                self.tool("nbdcopy", "--flush", self.path("in"), self.uri)
                self.stop()
                self.assertEqual(self.content("image"), self.content("in"))
                self.file("image", noise(4 * MIB, 1))
                os.unlink(self.path("out"))

    def test_qemu_img(self):
        for kind in available():
            with self.subTest(kind=kind):
                self.serve(*disk(self.image), kind=kind)
                new = noise(MIB, 5) + bytes(2 * MIB) + noise(MIB, 6)
                self.file("in", new)
                self.tool("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", self.path("in"),
                          self.uri)
                self.tool("qemu-img", "compare", "-f", "raw", "-F", "raw", self.path("in"),
                          self.uri)
                self.stop()
                self.assertEqual(self.content("image"), new)

    def test_parts_of_blocks(self):
        """qemu-io's NBD client sends what it is told when the server takes single bytes."""
        self.serve(*disk(self.image, 0, ",logical_block_size=4096,physical_block_size=4096"))
        self.tool("qemu-io", "-f", "raw", "-c", "write -P 0x5a 5000 3000", "-c",
                  "write -z 1M 512k", "-c", "read -P 0x5a 5000 3000", "-c", "flush", self.uri)
        self.stop()
        want = bytearray(noise(4 * MIB, 1))
        want[5000:8000] = b"\x5a" * 3000
        want[MIB:MIB + MIB // 2] = bytes(MIB // 2)
        self.assertEqual(self.content("image"), bytes(want))

    def test_trim(self):
        for kind in available():
            with self.subTest(kind=kind):
                self.file("image", noise(4 * MIB, 1))
                before = os.stat(self.image).st_blocks
                self.serve(*disk(self.image, 0, "", ",discard=unmap"), kind=kind)
                self.tool("qemu-io", "-f", "raw", "-d", "unmap", "-c", "discard 1M 2M", self.uri)
                self.stop()
                self.assertLessEqual(os.stat(self.image).st_blocks, before - 2 * MIB // 512)
                self.assertEqual(self.content("image")[:MIB], noise(4 * MIB, 1)[:MIB])

    def test_fio(self):
        for kind in available():
            with self.subTest(kind=kind):
                self.serve(*disk(self.image), kind=kind)
                self.tool("fio", "--name=x", "--ioengine=nbd", f"--uri={self.uri}", "--rw=randrw",
                          "--bsrange=512-256k", "--iodepth=32", "--size=4m", "--io_size=8m",
                          "--verify=crc32c", "--verify_fatal=1", "--fsync=32", "--bsrange=512-64k",
                          f"--aux-path={self.folder}")
                self.stop()

    def test_fsck(self):
        """A file system that was made outside goes in, comes out over NBD, and is whole."""
        for kind in available():
            with self.subTest(kind=kind):
                self.file("fs", bytes(4 * MIB))
                self.tool("mke2fs", "-q", "-F", "-t", "ext4", self.path("fs"))
                self.good("copy", self.path("fs"), "0:0", *argv(kind, *disk(self.image)))
                self.serve(*disk(self.image), kind=kind)
                self.tool("nbdcopy", self.uri, self.path("out"))
                self.stop()
                self.tool("e2fsck", "-fn", self.path("out"))
                os.unlink(self.path("out"))

    def gone(self):
        """It ends by itself, with one line."""
        log = self.server.communicate(timeout=TIMEOUT)[1]
        self.statuses = [EXIT_REMOTE]
        self.assertEqual([x for x in log.splitlines() if x.startswith(("mpqemu-proxy", "nbdkit"))],
                         ["mpqemu-proxy: lsi0: the remote closed the connection"])
        self.stop()

    def test_remote_dies(self):
        for idle in (True, False):
            with self.subTest(idle=idle), socket.socket(socket.AF_UNIX) as client:
                # a lock may be held until all processes of the last remote are dead
                self.serve(*disk(self.file(f"image-{idle}", bytes(MIB))))
                if not idle:
                    client.connect(self.socket)
                    self.assertEqual(client.recv(8, socket.MSG_WAITALL), b"NBDMAGIC")
                self.assertTrue(kill_remote(self.server.pid))
                self.gone()

    def test_remote_dies_busy(self):
        self.file("large", b"")
        os.truncate(self.path("large"), 512 << 30)
        self.serve(*disk(self.path("large")))
        with subprocess.Popen(["nbdcopy", self.uri, "null:"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as copy:
            time.sleep(0.2)
            self.assertTrue(kill_remote(self.server.pid))
            self.gone()
            self.assertNotEqual(copy.wait(TIMEOUT), 0)


if __name__ == "__main__":
    wire.tap.main()
