#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a device process counts is what a client did, and a reader of --metrics= sees it."""
import json
import os
import re
import subprocess
import tempfile

import wire
from wire import mpq, tap
import lsi
import vfu

CLEAN = mpq.EXIT_CLEAN


def printed(path, *options):
    """(status, stdout, stderr) of --print-metrics."""
    done = subprocess.run([*mpq.wrapper(), mpq.program("mpqemu-remote"), f"--print-metrics={path}",
                           *options], text=True, stdin=subprocess.DEVNULL, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stdout, done.stderr


class MetricsTest(wire.unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = os.path.join(self.folder, "page")

    def page(self):
        status, text, log = printed(self.path, "--json")
        self.assertEqual((status, log), (0, ""))
        return json.loads(text)


class Counts(MetricsTest):
    def test_messages(self):
        with mpq.Remote.edu([f"--metrics={self.path}"]) as remote, mpq.Ram(1 << 20) as ram, \
                mpq.Event() as irq, mpq.Event() as resample:
            peer = remote.peer
            edu = mpq.Edu(peer)                     # two writes of config space
            peer.sync_sysmem([ram.region()])
            peer.set_irqfd(irq.fd, resample.fd)
            for _ in range(7):
                peer.cfg_read(0, 4)
            for _ in range(5):
                edu.write(edu.FACTORIAL, 1)
            edu.read(edu.ID)
            edu.write(edu.IRQ_RAISE, 1)
            irq.wait()
            edu.write(edu.IRQ_ACK, 1)
            peer.reset()
            page = self.page()
            self.assertEqual(page["messages"], {
                "config_read": 7, "config_write": 2, "bar_read": 1, "bar_write": 7,
                "memory_map": 1, "irq_setup": 1, "reset": 1, "other": 0})
            self.assertEqual(page["sessions"], 1)
            self.assertEqual(page["interrupts"], {"intx": 1, "message": 0})
            self.assertEqual(remote.finish(), CLEAN)
            # It stays, and says the same.
            self.assertEqual(self.page()["messages"], page["messages"])

    def test_dma(self):
        with mpq.Remote.edu([f"--metrics={self.path}"]) as remote, mpq.Ram(1 << 20) as ram:
            edu = mpq.Edu(remote.peer)
            remote.peer.sync_sysmem([ram.region()])
            edu.load(0x1000, 100)
            edu.load(0x1000, 200)
            edu.store(0x2000, 50)
            self.assertEqual(self.page()["dma_bytes"], {"read": 300, "write": 50})
            self.assertEqual(remote.finish(), CLEAN)

    def test_disk(self):
        image = os.path.join(self.folder, "image")
        with open(image, "wb") as file:
            file.truncate(1 << 20)
        with mpq.Remote.start(["lsi53c895a,id=l0"], [
                "-drive", f"if=none,id=d0,format=raw,file={image}", "-device",
                "scsi-hd,drive=d0,bus=l0.0,scsi-id=0", f"--metrics={self.path}"]) as remote, \
                mpq.Ram(1 << 20) as ram:
            remote.peer.sync_sysmem([ram.region()])
            chip = lsi.Lsi(remote.peer, ram)
            chip.ready()
            before = self.page()
            for _ in range(3):
                chip.run(lsi.read10(0, 8), 0x20000, 4096)
            chip.run(lsi.write10(8, 1), 0x20000, 512, write=True)
            page = self.page()
            self.assertEqual(page["io_started"]["read"] - before["io_started"]["read"], 3)
            self.assertEqual(page["io_ended"], page["io_started"])
            self.assertEqual(page["io_bytes"]["read"] - before["io_bytes"]["read"], 3 * 4096)
            self.assertEqual(page["io_bytes"]["write"], 512)
            self.assertEqual(set(page["io_errors"].values()), {0})
            self.assertEqual(page["io_ns"]["write"]["count"], 1)
            self.assertEqual(page["io_ns"]["read"]["count"], page["io_ended"]["read"])
            self.assertGreater(page["io_ns"]["write"]["p50"], 0)
            self.assertGreaterEqual(page["io_depth"]["count"], 4)
            self.assertEqual(page["io_depth"]["max"], 1)
            moved = page["dma_bytes"]["write"] - before["dma_bytes"]["write"]
            self.assertGreaterEqual(moved, 3 * 4096)
            self.assertLess(moved, 3 * 4096 + 64)       # status and message bytes
            self.assertGreater(page["scripts_instructions"], before["scripts_instructions"])
            self.assertEqual(remote.finish(), CLEAN)

    def test_vfio_user(self):
        with vfu.Server.start(extra=[f"--metrics={self.path}"]) as server:
            client = server.client()
            for _ in range(4):
                client.region_read(vfu.CONFIG, 0, 4)
            client.region_read(0, 0, 4)
            page = self.page()
            self.assertEqual(page["messages"]["config_read"], 4)
            self.assertEqual(page["messages"]["bar_read"], 1)
            self.assertEqual(page["messages"]["other"], 1)
            self.assertEqual((page["sessions"], page["peer_errors"]), (1, 0))
            client.errno_of(vfu.Cmd.REGION_READ, b"short")
            self.assertEqual(self.page()["peer_errors"], 1)
            self.assertEqual(server.finish(), CLEAN)


class Readers(MetricsTest):
    def test_text(self):
        """Each line is what Prometheus reads."""
        with mpq.Remote.edu([f"--metrics={self.path}"]) as remote:
            remote.peer.cfg_read(0, 4)
            status, text, _ = printed(self.path)
            self.assertEqual(remote.finish(), CLEAN)
        self.assertEqual(status, 0)
        self.assertIn('\nmpqemu_messages_total{kind="config_read"} 1\n', text)
        name = r"mpqemu_[a-z_]+"
        for line in text.splitlines():
            self.assertRegex(line, rf"^(# (HELP|TYPE) {name} .+|{name}"
                                   r'(\{([a-z]+="[^"]*",?)+\})? [0-9.]+)$')

    def test_hostile_page(self):
        """What is no page is refused; a page of any numbers is printed."""
        with mpq.Remote.edu([f"--metrics={self.path}"]) as remote:
            self.assertEqual(remote.finish(), CLEAN)
        with open(self.path, "rb") as file:
            good = file.read()
        for bad in (b"", good[:-1], good[:16], b"\xff" * len(good), good[1:] + b"\0",
                    good[:4] + b"\xff" + good[5:]):
            with open(self.path, "wb") as file:
                file.write(bad)
            status, text, log = printed(self.path)
            self.assertEqual((status, text), (1, ""))
            self.assertIn("no page of counters", log)
        with open(self.path, "wb") as file:
            file.write(good[:16] + b"\xff" * (len(good) - 16))
        for options in ([], ["--json"]):
            status, text, log = printed(self.path, *options)
            self.assertEqual((status, log), (0, ""))
            self.assertIn("18446744073709551615", text)

    def test_full_output(self):
        with mpq.Remote.edu([f"--metrics={self.path}"]) as remote:
            self.assertEqual(remote.finish(), CLEAN)
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([*mpq.wrapper(), mpq.program("mpqemu-remote"),
                                   f"--print-metrics={self.path}"], stdout=full, check=False,
                                  stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"--print-metrics={self.path}: standard output: No space left on device\n",
                      done.stderr)

    def test_refused(self):
        """No file that another remote has, none that is no file."""
        cases = [(self.folder, "Is a directory"), ("/dev/null", "no regular file"),
                 ("fd=x", "it takes a number"), ("fd=99", "Bad file descriptor"),
                 (os.path.join(self.folder, "none", "page"), "No such file")]
        with mpq.Remote.edu([f"--metrics={self.path}"]) as remote:
            remote.peer.cfg_read(0, 4)
            for name, why in cases + [(self.path, "another process has it")]:
                with self.subTest(name), mpq.Remote.edu([f"--metrics={name}"]) as other:
                    self.assertEqual(other.wait(), 1)
                    self.assertRegex(other.log(), re.escape(f"--metrics={name}: ") + ".*" + why)
            self.assertEqual(self.page()["messages"]["config_read"], 1)
            self.assertEqual(remote.finish(), CLEAN)

    def check_kept(self, content, device="edu,id=e0", args=()):
        """The file of --metrics= has what it had, and is named."""
        with open(self.path, "wb") as file:
            file.write(content)
        with mpq.Remote.start([device], [f"--metrics={self.path}", *args]) as remote:
            self.assertEqual(remote.wait(), 1)
            log = remote.log()
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), content)
        return log

    def test_file_of_something_else(self):
        """An image that was named by mistake is not lost; an old page is no loss."""
        with mpq.Remote.edu([f"--metrics={self.path}"]) as remote:
            remote.peer.cfg_read(0, 4)
            self.assertEqual(remote.finish(), CLEAN)
        with open(self.path, "rb") as file:
            good = file.read()
        for bad in (b"x", bytes(1 << 20), bytes(len(good)), good[:16], good[:4], good + b"\0",
                    b"\0" + good[1:]):
            log = self.check_kept(bad)
            self.assertIn(f"--metrics={self.path}: it has something else than counters", log)
        # A remote that does not start leaves the older numbers.
        log = self.check_kept(good, "lsi53c895a,id=l0", [
            "-drive", "if=none,id=d0,format=raw,file=/nonexistent/image",
            "-device", "scsi-hd,drive=d0,bus=l0.0,scsi-id=0"])
        self.assertIn("/nonexistent/image", log)
        for _ in range(2):
            with mpq.Remote.edu([f"--metrics={self.path}"]) as remote:
                remote.peer.cfg_read(0, 4)
                remote.peer.cfg_read(0, 4)
                self.assertEqual(self.page()["messages"]["config_read"], 2)
                self.assertEqual(remote.finish(), CLEAN)

    def test_memfd(self):
        """A program that starts remotes has the page without a name."""
        fd = os.memfd_create("metrics")
        self.addCleanup(os.close, fd)
        os.write(fd, b"old" * 10000)
        with mpq.Remote.edu([f"--metrics=fd={fd}"], pass_fds=[fd]) as remote:
            self.assertEqual(remote.wait(), 1)
            self.assertIn(f"--metrics=fd={fd}: it has something else", remote.log())
        self.assertEqual(os.fstat(fd).st_size, 30000)
        os.truncate(fd, 0)
        with mpq.Remote.edu([f"--metrics=fd={fd}"], pass_fds=[fd]) as remote:
            remote.peer.cfg_read(0, 4)
            remote.peer.cfg_read(0, 4)
            self.path = f"/proc/{os.getpid()}/fd/{fd}"
            self.assertEqual(self.page()["messages"]["config_read"], 2)
            self.assertEqual(remote.finish(), CLEAN)


tap.main()
