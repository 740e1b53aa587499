#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests that bench/bench-guest measures read what is on the disk, and say so when not; a short
run of the command gives a row for each device.  No figure is judged.  (Its part with fio boots
three Linux guests, of which test-vfio-linux.py has enough: bench-guest --only fio runs it.)"""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import guestimage                       # noqa: E402
import guestreads                       # noqa: E402
import guestsuite                       # noqa: E402
import qemu                             # noqa: E402
import qemusid                          # noqa: E402

COMMAND = pathlib.Path(__file__).resolve().parents[2] / "bench" / "bench-guest"


def places(count):
    state = 1
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % (1 << 32)
        yield state >> guestreads.PLACE_SHIFT


class Reads(guestsuite.GuestCase):
    def setUp(self):
        super().setUp()
        self.image = guestreads.Image(self.dir)

    def reader(self, path, **kwargs):
        reader = guestreads.Reader(path, self.image, "tcg", self.dir, **kwargs)
        self.addCleanup(reader.abandon)
        return reader

    def change(self, block, offset):
        """A byte of the image is another than the reader knows."""
        at = block * guestreads.BLOCK + offset
        with open(self.image.path, "r+b", buffering=0) as file:
            byte = os.pread(file.fileno(), 1, at)[0]
            os.pwrite(file.fileno(), bytes([byte ^ 0x80]), at)

    def test_every_byte_counts(self):
        """A changed last byte of a block is seen by a read of all."""
        self.change(list(places(5))[4], guestreads.BLOCK - 1)
        reader = self.reader(guestreads.OURS)
        reader.read(4, guestreads.ALL)
        with self.assertRaisesRegex(qemu.Failure, "other data"):
            reader.read(1, guestreads.ALL)

    def test_every_sector_counts(self):
        self.change(list(places(2))[1], 7 * 512)
        reader = self.reader(guestreads.OURS)
        reader.read(1)
        with self.assertRaisesRegex(qemu.Failure, "other data"):
            reader.read(1)

    def test_failed_read(self):
        """The image ends early: the BIOS says so, and the reader passes it on."""
        reader = self.reader(guestreads.OURS)
        os.truncate(self.image.path, 1 << 20)
        with self.assertRaisesRegex(qemu.Failure, "BIOS status"):
            reader.read(20)

    def test_remote_is_counted(self):
        reader = self.reader(guestreads.OURS)
        batch = reader.read(100, guestreads.ALL)
        self.assertEqual(len(reader.remote), 2, "keeper and device process")
        self.assertGreater(batch.remote_cpu, 0)
        self.assertGreater(batch.cpu, batch.remote_cpu)
        self.assertGreater(batch.switches, 1)
        reader.close()

    def test_least_accesses(self):
        """Four bytes of DSP are written and three registers are read, at the least."""
        for path in (guestreads.IN_PROCESS, guestreads.OURS):
            with self.subTest(path=path.name):
                reader = self.reader(path, trace=True)
                self.assertGreaterEqual(reader.accesses(10), 7)
                reader.close()


class Command(guestsuite.GuestCase):
    def run_it(self, *argv):
        done = subprocess.run([COMMAND, "--build", os.environ.get("MPQEMU_BUILD", "build"), *argv],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=600)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        rows = [[cell.strip() for cell in line.split("|")[1:-1]]
                for line in done.stdout.splitlines() if line.startswith("| ")]
        return rows, done.stdout

    def test_bios(self):
        rows, text = self.run_it("--only", "bios", "--accel", "tcg", "--rounds", "2", "--reads",
                                 "10")
        self.assertIn("### Isolation tax", text)
        want = [p.name for p in (guestreads.IN_PROCESS, guestreads.OURS, guestreads.THEIRS)]
        try:
            qemusid.program()
            want += [guestreads.VFIO_IN_PROCESS.name, guestreads.VFIO.name]
        except guestimage.Missing as error:
            self.assertIn(f"No vfio-user: {error}", text)
        self.assertEqual([cells[1] for cells in rows[1:]], want)
        for cells in rows[1:]:
            self.assertEqual(len(cells), len(rows[0]), cells)
            self.assertGreater(min(float(cell.split()[0]) for cell in cells[2:8]), 0, cells)


if __name__ == "__main__":
    guestsuite.main()
