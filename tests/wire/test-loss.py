#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest RAM whose owner cuts the file short: a DMA fault, and the device lives.

The file lies in /dev/shm and cannot be sealed, as that of QEMU's memory-backend-file.
"""
import mmap
import os
import tempfile
import threading

import wire
import lsi
from mpq import EXIT_CLEAN, EXIT_PROTOCOL, Edu, Ram, Remote

MIB = 1 << 20
GPA = 16 * MIB
LOST = "guest RAM at 0x1000000 is gone"


class FileRam(Ram):
    """Guest RAM in a file without seals."""

    def __init__(self, size):
        self.size = size
        self.fd, path = tempfile.mkstemp(dir="/dev/shm")
        os.unlink(path)
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)


@wire.not_wrapped("valgrind cannot go on after a fault within a copy")
class Loss(wire.unittest.TestCase):
    def setUp(self):
        self.low, self.high = Ram(MIB), FileRam(MIB)
        self.addCleanup(self.low.close)
        self.addCleanup(self.high.close)

    def table(self, peer):
        peer.sync_sysmem([self.low.region(), self.high.region(GPA)])
        peer.cfg_read(0, 2)     # it is carried out now

    def cut(self, size):
        os.ftruncate(self.high.fd, size)


class EduLoss(Loss):
    """What the device's DMA does, in a real process."""

    def copied(self, edu, word):
        """Does a word get from the file to the low RAM?"""
        self.low.map[0x100:0x104] = b"none"
        edu.load(0x100, 4)
        edu.load(GPA, 4)
        edu.store(0x100, 4)
        return self.low.map[0x100:0x104] == word

    def test_cut_and_made_whole(self):
        with Remote.edu() as remote:
            self.table(remote.peer)
            edu = Edu(remote.peer)
            self.high.map[0:4] = b"word"
            self.assertTrue(self.copied(edu, b"word"))
            self.cut(0)
            self.assertFalse(self.copied(edu, b"word"))
            edu.store(GPA, 4)
            self.assertEqual(edu.read(Edu.ID), 0x010000ed)
            # Whole again; the device hears of it by the next table.
            self.cut(MIB)
            self.table(remote.peer)
            self.high.map[0:4] = b"back"
            self.assertTrue(self.copied(edu, b"back"))
            self.assertEqual(remote.finish(), EXIT_CLEAN, remote.log())
            self.assertIn(LOST, remote.log())

    def test_the_end_is_cut(self):
        """A transfer over the new end fails whole, one before it has been good."""
        with Remote.edu() as remote:
            self.table(remote.peer)
            edu = Edu(remote.peer)
            self.cut(MIB // 2)
            self.high.map[0:4] = b"here"
            self.assertTrue(self.copied(edu, b"here"))
            edu.load(GPA + MIB // 2 - 4, 8)
            self.assertFalse(self.copied(edu, b"here"))
            self.assertEqual(remote.finish(), EXIT_CLEAN, remote.log())

    def test_cut_again_and_again(self):
        """At any moment, under DMA: the process lives, and at the end all is well."""
        stop, whole = threading.Event(), threading.Lock()

        def cut():
            while not stop.wait(0.02):
                with whole:
                    self.cut(4096)
                    stop.wait(0.02)
                    self.cut(MIB)

        with Remote.edu() as remote:
            self.table(remote.peer)
            edu = Edu(remote.peer)
            edu.load(0, 4096)
            thread = threading.Thread(target=cut)
            thread.start()
            try:
                for i in range(wire.thin(30, 5)):
                    edu.store(GPA + 4096 * (i % 256), 4096)
                    with whole:     # or the table would be refused
                        self.table(remote.peer)
            finally:
                stop.set()
                thread.join()
            self.table(remote.peer)
            self.high.map[0:4] = b"last"
            self.assertTrue(self.copied(edu, b"last"))
            self.assertEqual(remote.finish(), EXIT_CLEAN, remote.log())

    def test_few_lines(self):
        """A peer that does it all the time fills no log: a line a second of each kind."""
        with Remote.edu() as remote:
            self.table(remote.peer)
            edu = Edu(remote.peer)
            for _ in range(wire.thin(15, 3)):
                self.cut(0)
                edu.load(GPA, 4)
                self.cut(MIB)
                self.table(remote.peer)
            self.assertEqual(remote.finish(), EXIT_CLEAN)
            self.assertIn(LOST, remote.log())
            self.assertLess(remote.log().count(LOST), 10)   # in about 1.5 s

    def test_file_too_short_for_a_table(self):
        """That is the peer's mistake, and ends the session."""
        with Remote.start(["edu,id=e0", "edu,id=e1"]) as remote:
            self.table(remote.peers[0])
            self.table(remote.peers[1])
            edus = [Edu(peer) for peer in remote.peers]
            self.high.map[0:4] = b"word"
            self.assertTrue(self.copied(edus[1], b"word"))
            self.cut(0)
            self.assertFalse(self.copied(edus[1], b"word"))
            remote.peers[0].sync_sysmem([self.high.region(GPA)])
            self.assertTrue(remote.peers[0].ended())
            self.assertFalse(self.copied(edus[1], b"word"))
            edus[1].load(0x100, 4)
            self.assertEqual(remote.peers[1].cfg_read(0, 2), 0x1234)
            self.assertEqual(remote.finish(), EXIT_PROTOCOL)


class LsiLoss(Loss):
    """What a disk controller says of it: a bus fault, and after a soft reset it works."""

    DISK = ["-blockdev", "null-co,node-name=n0,size=1048576,read-zeroes=on",
            "-device", "scsi-hd,drive=n0,bus=l0.0"]

    def setUp(self):
        super().setUp()
        self.remote = Remote.start(["lsi53c895a,id=l0"], self.DISK)
        self.addCleanup(self.end)
        self.table(self.remote.peer)
        self.chip = lsi.Lsi(self.remote.peer, self.low)
        self.chip.ready()

    def end(self):
        with self.remote:
            self.assertEqual(self.remote.finish(), EXIT_CLEAN, self.remote.log())
            self.assertIn(LOST, self.remote.log())

    def works(self):
        """INQUIRY into RAM that is there."""
        self.low.map[0x8000:0x8024] = bytes(36)
        self.assertEqual(self.chip.run(lsi.inquiry(), 0x8000, 36), ("done", 0))
        self.assertEqual(self.low.map[0x8008:0x800c], b"QEMU")

    def check(self, what, *args, **kwargs):
        dstat, sist = self.chip.run(*args, **kwargs)
        self.assertEqual((dstat, sist), (lsi.BUS_FAULT, 0), what)
        self.chip.soft_reset()
        self.works()

    def test_data(self):
        self.assertEqual(self.chip.run(lsi.read10(0, 8), GPA, 4096), ("done", 0))
        self.cut(0)
        self.check("READ", lsi.read10(0, 8), GPA, 4096)
        self.check("WRITE", lsi.write10(0, 8), GPA, 4096, write=True)
        self.check("INQUIRY", lsi.inquiry(), GPA, 36)
        self.cut(MIB)
        self.table(self.remote.peer)
        self.high.map[0:4096] = b"x" * 4096
        self.assertEqual(self.chip.run(lsi.read10(0, 8), GPA, 4096), ("done", 0))
        self.assertEqual(self.high.map[0:4096], bytes(4096))

    def test_script(self):
        """The chip fetches its instructions from what is gone."""
        self.cut(0)
        self.chip.write(lsi.DSP, GPA, 4)
        self.assertEqual(self.chip.finish(), (lsi.BUS_FAULT, 0))
        self.chip.soft_reset()
        self.works()


if __name__ == "__main__":
    wire.tap.main()
