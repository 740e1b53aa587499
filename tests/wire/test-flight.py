#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What peers and signals do while a disk request is under way.

The disk is slow by null-co's latency, so that the request is under way for certain.
"""
import os
import shutil
import signal
import subprocess
import tempfile
import time

import wire
import lsi
from mpq import (EXIT_CLEAN, EXIT_PROTOCOL, Cmd, Ram, Region, Remote, has_nbd, listens, sample,
                 wait_for)

MIB = 1 << 20
GPA = 16 * MIB
BLOCKS = 16
SIZE = BLOCKS * 512
LATENCY = 0.3
EXIT_FLUSH = 4


def slow_disk(latency, bus="l0"):
    return ["-blockdev", "null-co,node-name=n0,size=1048576,read-zeroes=on,"
            f"latency-ns={int(latency * 1e9)}", "-device", f"scsi-hd,drive=n0,bus={bus}.0"]


class Flight(wire.unittest.TestCase):
    """A chip with its script in low RAM, and data at GPA in a file of its own."""

    devices = ["lsi53c895a,id=l0"]
    expect_exit = EXIT_CLEAN
    latency = LATENCY

    def setUp(self):
        self.low, self.data, self.other = Ram(MIB), Ram(MIB), Ram(MIB)
        self.remote = Remote.start(self.devices, self.disk())
        self.addCleanup(self.end)
        self.peer = self.remote.peer
        self.peer.sync_sysmem([self.low.region(), self.data.region(GPA)])
        self.chip = lsi.Lsi(self.peer, self.low)
        self.chip.ready()
        self.data.map[:] = b"\x55" * MIB
        self.other.map[:] = b"\x66" * MIB

    def disk(self):
        return slow_disk(self.latency)

    def end(self):
        with self.remote:
            self.assertEqual(self.remote.finish(), self.expect_exit, self.remote.log())
        for ram in (self.low, self.data, self.other):
            ram.close()

    def read(self):
        """A READ that is under way when this returns; the disk gives zeroes."""
        self.chip.start(lsi.read10(0, BLOCKS), GPA, SIZE)

    def works(self):
        self.chip.soft_reset()
        self.low.map[0x8000:0x8024] = bytes(36)
        self.assertEqual(self.chip.run(lsi.inquiry(), 0x8000, 36), ("done", 0))
        self.assertEqual(self.low.map[0x8008:0x800c], b"QEMU")

    def untouched(self, ram, byte):
        self.assertEqual(ram.map[:], byte * MIB)


class Maps(Flight):
    """The memory map changes under a READ."""

    def test_kept(self):
        """A table that still has the region: the READ ends as if nothing had been."""
        self.read()
        self.peer.sync_sysmem([self.data.region(GPA), self.low.region(),
                               self.other.region(2 * GPA)])
        self.assertEqual(self.chip.finish(), ("done", 0))
        self.assertEqual(self.data.map[:SIZE], bytes(SIZE))
        self.untouched(self.other, b"\x66")

    def test_vanishes(self):
        """The region goes: a DMA fault, and not a byte lands there after the next reply."""
        self.read()
        self.peer.sync_sysmem([self.low.region()])
        self.peer.cfg_read(0, 2)
        self.untouched(self.data, b"\x55")
        self.assertEqual(self.chip.finish(), (lsi.BUS_FAULT, 0))
        self.untouched(self.data, b"\x55")
        self.works()

    def test_replaced(self):
        """Other memory at the same address: the data lands there, and not in the old."""
        self.read()
        self.peer.sync_sysmem([self.low.region(), self.other.region(GPA)])
        self.assertEqual(self.chip.finish(), ("done", 0))
        self.assertEqual(self.other.map[:SIZE], bytes(SIZE))
        self.untouched(self.data, b"\x55")

    def test_partly_gone(self):
        """The end of the buffer goes: a fault, and what is no RAM any more is not touched."""
        self.read()
        self.peer.sync_sysmem([self.low.region(), self.data.region(GPA, 4096)])
        self.assertEqual(self.chip.finish(), (lsi.BUS_FAULT, 0))
        self.assertEqual(self.data.map[4096:], b"\x55" * (MIB - 4096))
        self.works()

    def test_storm(self):
        """Hundreds of tables while requests come and go: each ends well or with a fault."""
        tables = [[self.low.region()], [self.low.region(), self.data.region(GPA)],
                  [self.low.region(), self.other.region(GPA)],
                  [self.low.region(), self.data.region(GPA, 4096), self.other.region(2 * GPA)]]
        for i in range(wire.thin(8, 2)):
            self.read()
            for k in range(50):
                self.peer.sync_sysmem(tables[(i + k) % 4])
            self.assertIn(self.chip.finish(), [("done", 0), (lsi.BUS_FAULT, 0)])
            self.works()
        self.peer.sync_sysmem(tables[1])
        self.assertEqual(self.chip.run(lsi.read10(0, BLOCKS), GPA, SIZE), ("done", 0))


class BadMaps(Flight):
    """A table that cannot be, under a READ: that session ends, nothing lands, the other goes on."""

    devices = ["lsi53c895a,id=l0", "edu,id=witness"]
    expect_exit = EXIT_PROTOCOL

    def refused(self, *regions):
        self.read()
        self.peer.sync_sysmem(regions)
        self.assertTrue(self.peer.ended())
        self.untouched(self.data, b"\x55")
        witness = self.remote.peers[1]
        end = time.monotonic() + 2 * self.latency
        while time.monotonic() < end:   # the disk is done within
            self.assertEqual(witness.cfg_read(0, 2), 0x1234)
        self.untouched(self.data, b"\x55")

    def test_overlap(self):
        self.refused(self.low.region(), self.data.region(GPA), self.other.region(GPA + 4096))

    def test_wrap(self):
        self.refused(self.low.region(), Region((1 << 64) - 4096, 8192, 0, self.data.fd))

    def test_past_the_file(self):
        self.refused(self.low.region(), Region(GPA, 2 * MIB, 0, self.data.fd))


@wire.not_wrapped("valgrind's own memory grows")
class Stalled(Flight):
    """A peer that asks and reads no reply: its socket is full, the disk goes on."""

    def chain(self, count):
        """A script of @count READs, one after the other; the last one tells the host."""
        base, start = self.chip.base, 0x20000
        for i in range(count):
            self.chip.base = start + i * 0x1000
            words = [w for pair in self.chip.script(
                lsi.read10(i, 1), GPA + i * 512, 512, False, 0) for w in pair]
            if i + 1 < count:
                words[-2:] = [0x80080000, start + (i + 1) * 0x1000]    # JUMP
            code = b"".join(w.to_bytes(4, "little") for w in words)
            self.low.map[self.chip.base:self.chip.base + len(code)] = code
        self.chip.base = base
        return start

    def memory(self):
        """(kB resident but for guest RAM, number of mappings) of the device process."""
        folder = f"/proc/{self.remote.device_pid()}"
        with open(f"{folder}/status", encoding="ascii") as file:
            rows = dict(line.split(":", 1) for line in file)
        with open(f"{folder}/maps", encoding="ascii", errors="replace") as file:
            return int(rows["RssAnon"].split()[0]), len(list(file))

    def test_disk_goes_on(self):
        count = 8
        start = self.chain(count)
        before = self.memory()
        self.peer.send(Cmd.BAR_WRITE, wire.mpq.bar(lsi.Lsi.REGS + lsi.DSP, start, 4))
        self.peer.sock.settimeout(0.2)
        sent = 0
        try:
            while True:
                sent += self.peer.sock.send(sample(Cmd.PCI_CFGREAD) * 1000)
        except TimeoutError:
            pass
        self.assertGreater(sent, 28 * 1000)     # more than the replies that the socket takes
        wait_for(lambda: self.data.map[:count * 512] == bytes(count * 512), "the last READ")
        after = self.memory()
        self.assertLess(after[0] - before[0], 256, "kB")
        self.assertEqual(after[1], before[1])
        self.untouched_rest(count * 512)
        # Then it reads; every reply is there, in order.
        self.peer.sock.settimeout(wire.mpq.TIMEOUT)
        self.assertEqual(self.peer.ret(), 0)
        for _ in range(sent // 28):
            self.assertEqual(self.peer.ret(), 0x1000)
        if sent % 28:
            self.peer.send_raw(sample(Cmd.PCI_CFGREAD)[sent % 28:])
            self.assertEqual(self.peer.ret(), 0x1000)
        self.assertEqual(self.chip.finish(), ("done", 0))

    def untouched_rest(self, start):
        self.assertEqual(self.data.map[start:], b"\x55" * (MIB - start))


class Signals(Flight):
    """SIGTERM and the peer's sudden death, with a request under way."""

    def test_terminate_waits_for_the_disk(self):
        """The request is waited for (a WRITE may be half on its way), then exit 0."""
        begun = time.monotonic()
        self.read()
        self.remote.proc.send_signal(signal.SIGTERM)
        self.assertEqual(self.remote.wait(), EXIT_CLEAN, self.remote.log())
        self.assertGreaterEqual(time.monotonic() - begun, self.latency)
        self.assertIn("terminating on signal 15", self.remote.log())
        self.untouched(self.data, b"\x55")

    def test_peer_closes(self):
        """The same when the peer goes between two messages."""
        begun = time.monotonic()
        self.read()
        self.assertEqual(self.remote.finish(), EXIT_CLEAN, self.remote.log())
        self.assertGreaterEqual(time.monotonic() - begun, self.latency)
        self.assertEqual(self.remote.log(), "")
        self.untouched(self.data, b"\x55")


class Endless(Flight):
    """A disk that does not answer within anybody's patience."""

    latency = 0

    def disk(self):
        return slow_disk(1000)

    def test_second_signal(self):
        """The first SIGTERM waits for the disk; the second ends it at once."""
        self.read()
        self.remote.proc.send_signal(signal.SIGTERM)
        wait_for(lambda: "terminating on signal 15" in self.remote.log(), "the first signal")
        self.assertTrue(self.peer.ended())
        self.assertIsNone(self.remote.proc.poll())
        time.sleep(0.2)         # two at once are one
        self.remote.proc.send_signal(signal.SIGTERM)
        self.expect_exit = 128 + signal.SIGKILL
        self.assertEqual(self.remote.wait(), self.expect_exit)
        self.assertIn("terminating at once", self.remote.log())


@wire.unittest.skipUnless(shutil.which("nbdkit"), "nbdkit is not installed")
@wire.unittest.skipUnless(has_nbd(), "this build has no libnbd")
class Flushed(wire.unittest.TestCase):
    """What the disk sees at the end: the WRITE under way, then a flush, whatever ended it.

    The disk is an NBD server that notes what it is asked to do, and takes its time for a WRITE.
    """

    def serve(self, flush):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path, self.notes = (os.path.join(folder.name, name) for name in ("socket", "notes"))
        server = subprocess.Popen(
            ["nbdkit", "-f", "--exit-with-parent", "-U", path, "--filter=delay", "eval",
             "wdelay=300ms", "get_size=echo 1048576", "can_write=exit 0", "can_flush=exit 0",
             "can_fua=echo native", "pread=head -c $3 /dev/zero",
             f"pwrite=cat > /dev/null; echo write $4 >> {self.notes}",
             f"flush=echo flush >> {self.notes}; {flush}"],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        wait_for(lambda: listens(path), "nbdkit")
        return path

    def run_to_the_end(self, end, flush="exit 0"):
        """(exit status, what the disk noted, the log) of a remote that end(remote) ends."""
        path = self.serve(flush)
        with Ram(MIB) as low, Remote.start(["lsi53c895a,id=l0"], [
                "-blockdev", f"nbd,node-name=n0,server.type=unix,server.path={path}",
                "-device", "scsi-hd,drive=n0"]) as remote:
            remote.peer.sync_sysmem([low.region()])
            chip = lsi.Lsi(remote.peer, low)
            chip.ready()
            chip.start(lsi.write10(8, 8), 0x40000, 4096, write=True)
            # All is with the disk when the script has gone beyond its data phase.
            wait_for(lambda: chip.read(lsi.DSP, 4) >= chip.base + 40, "the data phase to end")
            end(remote)
            status, log = remote.wait(), remote.log()
        with open(self.notes, encoding="ascii") as file:
            return status, file.read().split("\n")[:-1], log

    def test_terminate(self):
        status, notes, log = self.run_to_the_end(
            lambda remote: remote.proc.send_signal(signal.SIGTERM))
        self.assertEqual((status, notes), (EXIT_CLEAN, ["write 4096", "flush"]), log)

    def test_peer_gone(self):
        status, notes, log = self.run_to_the_end(lambda remote: remote.peer.close())
        self.assertEqual((status, notes), (EXIT_CLEAN, ["write 4096", "flush"]), log)

    def test_flush_fails(self):
        """What was acknowledged may not be stable: said, and a status of its own."""
        status, notes, log = self.run_to_the_end(lambda remote: remote.peer.close(),
                                                 "echo EIO >&2; exit 1")
        self.assertEqual((status, notes), (EXIT_FLUSH, ["write 4096", "flush"]), log)
        self.assertIn("flush at exit: Input/output error", log)


class Killed(wire.unittest.TestCase):
    """QEMU dies of SIGKILL: what it was told to be on the disk is there, and all ends well."""

    def test_writes(self):
        with tempfile.NamedTemporaryFile() as image, Ram(MIB) as low:
            os.truncate(image.name, MIB)
            with Remote.start(["lsi53c895a,id=l0"], [
                    "-drive", f"if=none,id=d0,format=raw,file={image.name}",
                    "-device", "scsi-hd,drive=d0"]) as remote:
                pid = os.fork()
                if not pid:
                    self.vmm(remote.peer, low)
                remote.peer.close()
                self.assertEqual(os.waitpid(pid, 0)[1], signal.SIGKILL)
                self.assertEqual(remote.wait(), EXIT_CLEAN, remote.log())
                self.assertEqual(remote.log(), "")
            data = image.read()
            self.assertEqual(data[:16 * 4096], b"".join(bytes([i]) * 4096 for i in range(16)))
            # The last WRITE was under way: each block is old or new.
            for at in range(16 * 4096, 17 * 4096, 512):
                self.assertIn(data[at:at + 512], (bytes(512), b"\xee" * 512))

    @staticmethod
    def vmm(peer, low):
        """In a child, which does not come back."""
        try:
            peer.sync_sysmem([low.region()])
            chip = lsi.Lsi(peer, low)
            chip.ready()
            for i in range(16):
                low.map[0x40000:0x41000] = bytes([i]) * 4096
                if chip.run(lsi.write10(i * 8, 8), 0x40000, 4096, write=True) != ("done", 0):
                    os._exit(1)
            low.map[0x40000:0x41000] = b"\xee" * 4096
            chip.start(lsi.write10(128, 8), 0x40000, 4096, write=True)
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(2)


if __name__ == "__main__":
    wire.tap.main()
