# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operation costs the device process, counted: tests/perf and bench/bench-counts."""
import glob
import os
import re
import subprocess
import tempfile

import lsi
import mpq

DATA, BLOCK, IMAGE_SIZE = 0x20000, 4096, 1 << 20
INTERRUPT_LINE = 0x3c       # of config space: a write there is what counts begin and end with
# What the loop calls: its own looks for events depend on time.
ENTRIES = ("on_peer", "after_event", "before_event", "lsi_slice")


class Machine:
    """A remote with a disk that is cached, and one that drives it."""

    def __init__(self, folder):
        self.image = os.path.join(folder, "disk")
        with open(self.image, "wb") as file:
            file.write(os.urandom(IMAGE_SIZE))
        self.ram = mpq.Ram(1 << 20)
        self.events = [mpq.Event(), mpq.Event()]
        self.remote = mpq.Remote.start(
            ["lsi53c895a,id=lsi0"],
            ["-drive", f"id=d0,if=none,format=raw,file={self.image}", "-device",
             "scsi-hd,id=u0,drive=d0,bus=lsi0.0", *([] if mpq.sandbox() else ["--sandbox=off"])])

    def __enter__(self):
        peer = self.peer = self.remote.__enter__().peer
        peer.sync_sysmem([self.ram.region()])
        self.chip = lsi.Lsi(peer, self.ram)
        self.chip.ready()
        peer.set_irqfd(*(event.fd for event in self.events))
        for i in range(2):
            self.read(i)
            self.write(i)
        return self

    def __exit__(self, *exc):
        self.remote.__exit__(*exc)
        self.ram.close()
        for event in self.events:
            event.close()

    def command(self, cdb, **kwargs):
        """No register is polled: how often that would be depends on time."""
        self.chip.start(cdb, DATA, BLOCK, **kwargs)
        self.events[0].wait()
        if self.chip.finish() != ("done", 0):
            raise AssertionError("a command of SCSI failed")
        self.events[0].take()

    def read(self, i):
        self.command(lsi.read10(i * 8, 8))

    def write(self, i):
        self.command(lsi.write10(i * 8, 8), write=True)

    def config_read(self, i):
        self.peer.cfg_read(0, 4)

    def bar_write(self, i):
        self.chip.write(0x34, i, 4)     # SCRATCHA

    def mark(self):
        self.peer.cfg_write(INTERRUPT_LINE, 0, 1)

    def supports_nowait(self):
        with open(self.image, "rb") as file:
            try:
                return os.preadv(file.fileno(), [bytearray(BLOCK)], 0, os.RWF_NOWAIT) == BLOCK
            except OSError:
                return False


def in_callgrind(operation, times, look):
    """look(path) of the device process's profile, after @times of the operation.

    None where the file system has no RWF_NOWAIT: the path is another one there.
    """
    with tempfile.TemporaryDirectory() as folder:
        tool = ["valgrind", "-q", "--tool=callgrind", "--trace-children=yes",
                *(f"--toggle-collect={entry}" for entry in ENTRIES),
                f"--callgrind-out-file={folder}/out.%p"]
        os.environ["MPQ_WRAPPER"] = " ".join(tool)
        try:
            with Machine(folder) as machine:
                if not machine.supports_nowait():
                    return None
                for i in range(times):
                    operation(machine, i)
                machine.remote.finish()
        finally:
            del os.environ["MPQ_WRAPPER"]
        # the keeper, which serves nothing, has collected nothing
        return look(max(glob.glob(f"{folder}/out.*"), key=collected))


def collected(path):
    with open(path, encoding="utf-8") as file:
        found = re.search(r"^(?:summary|totals): (\d+)", file.read(), re.M)
    return int(found[1]) if found else 0


def by_function(path):
    """{function: instructions in it alone}, as callgrind_annotate has them."""
    done = subprocess.run(["callgrind_annotate", "--threshold=100", path], text=True, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found = {}
    for line in done.stdout.splitlines():
        row = re.match(r" *([\d,]+) +\([ \d.]+%\) +\S*?:(\S+)", line)
        if row:
            name = row[2].removesuffix("'2")
            found[name] = found.get(name, 0) + int(row[1].replace(",", ""))
    return found
