# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs sequences on both remotes at once.

A step is a coroutine that yields messages and is sent the values that came back; both() runs the
same one on both sides, so that they work at the same time.  What it returns is a dict of answers.
"""
import mmap
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time

import driver
import steps
from access import mpq


QEMU = shutil.which(os.environ.get("MPQEMU_QEMU", "qemu-system-x86_64"))
DISK_SIZE, CD_SIZE = 1 << 18, 1 << 17
BACKGROUND = struct.pack("<I", 0x98080000) * (steps.RAM_SIZE // 4)


RET = struct.Struct("<iIQQ")
REPLY = RET.size
HEADER = 16             # all that the reply to a reset is


class Died(Exception):
    """A remote has ended: who, and what it said."""

    def __init__(self, side):
        self.side, self.words = side, side.last_words()
        super().__init__(f"{side.name}: {self.words}")


def picture(size, block):
    """Contents of a disk: each block is different, and says which it is."""
    return b"".join(struct.pack("<I", 0x5a000000 | n) * (block // 4) for n in range(size // block))


class Image:
    """A disk image of one side, looked at and restored under the running remote."""

    def __init__(self, folder, name, size, block):
        self.path = os.path.join(folder, name)
        self.whole = picture(size, block)
        with open(self.path, "wb") as file:
            file.write(self.whole)

        with open(self.path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), size)

    def contents(self):
        return self.map[:]

    def restore(self):
        if self.contents() != self.whole:
            self.map[:] = self.whole


class Side:
    """One remote with its memory, its interrupt and its disks."""

    def __init__(self, name, qemu, folder, device="lsi53c895a"):
        self.name, self.qemu, self.device = name, qemu, device
        self.disk = Image(folder, name + ".disk", DISK_SIZE, 512)
        self.second = Image(folder, name + ".second", CD_SIZE, 512)
        self.cd = Image(folder, name + ".cd", CD_SIZE, 2048)
        self.remote = self.ram = self.irq = self.resample = None

    def start(self):
        self.stop()
        drives = []
        for i, (image, unit, kind) in enumerate((
                (self.disk, steps.DISK, "scsi-hd"), (self.second, steps.SECOND, "scsi-hd"),
                (self.cd, steps.CDROM, "scsi-cd"))):
            ro = ",readonly=on" if kind == "scsi-cd" else ""
            drives += ["-drive", f"id=i{i},file={image.path},format=raw,if=none{ro}", "-device",
                       f"{kind},drive=i{i},bus=d0.0,scsi-id={unit[0]},lun={unit[1]},serial=s{i}"]
        self.remote = mpq.Remote.start([f"{self.device},id=d0"], drives, qemu=self.qemu)
        peer = self.remote.peer
        try:
            peer.cfg_read(0, 4)
        except mpq.Closed:
            raise Died(self) from None
        self._settled()
        self.ram = mpq.Ram(steps.RAM_SIZE)
        self.irq, self.resample = mpq.Event(), mpq.Event()
        peer.sync_sysmem([self.ram.region()])
        peer.set_irqfd(self.irq.fd, self.resample.fd)
        peer.cfg_read(0, 4)

    def _settled(self):
        """QEMU's power-on reset comes after its first answer: waits until it is in poll()."""
        if not self.qemu:
            return
        try:
            with open(f"/proc/{self.remote.proc.pid}/syscall", encoding="ascii") as file:
                mpq.wait_for(lambda: file.seek(0) or file.read().split()[0] in ("7", "271"),
                             "QEMU's remote to be in poll()")
        except OSError:
            time.sleep(0.5)

    def stop(self):
        """Ends the remote by closing its socket; its locks are free when it is gone."""
        if not self.remote:
            return
        try:
            for peer in self.remote.peers:
                peer.close()
            try:
                self.remote.proc.wait(5)
            except subprocess.TimeoutExpired:
                self.remote.proc.kill()
                self.remote.proc.wait()
            self.remote.log_file.close()
        finally:
            for thing in filter(None, (self.ram, self.irq, self.resample)):
                thing.close()
            self.remote = self.ram = self.irq = self.resample = None

    def last_words(self):
        """What the remote that has ended said last, without what changes from run to run."""
        status = self.remote.wait()
        lines = [line for line in self.remote.log().split("\n") if line.strip()]
        text = lines[-1] if lines else ""
        return f"status {status}: " + re.sub(r"^.*?qemu-system-x86_64: ", "", text)

    def send(self, messages):
        self.remote.peer.send_raw(b"".join(messages))

    def receive(self, sizes):
        """The values of the replies to messages, whose replies have @sizes bytes."""
        data = self.remote.peer.recv_exact(sum(sizes))
        if len(data) == REPLY * len(sizes):
            return [value for _, _, _, value in RET.iter_unpack(data)]
        values, at = [], 0
        for size in sizes:
            values.append(int.from_bytes(data[at + 16:at + size], "little"))
            at += size
        return values


def _send(side, coroutine, waiting, messages):
    try:
        side.send(messages)
    except mpq.Closed:
        raise Died(side) from None
    waiting[side] = (coroutine, [HEADER if m == driver.RESET else REPLY for m in messages])


def both(coroutines):
    """{side: coroutine} -> {side: what it returned}"""
    results, waiting = {}, {}
    for side, coroutine in coroutines.items():
        try:
            _send(side, coroutine, waiting, next(coroutine))
        except StopIteration as end:
            results[side] = end.value
    while waiting:
        turn, waiting = waiting, {}
        for side, (coroutine, sizes) in turn.items():
            try:
                values = side.receive(sizes)
            except mpq.Closed:
                raise Died(side) from None
            try:
                _send(side, coroutine, waiting, coroutine.send(values))
            except StopIteration as end:
                results[side] = end.value
    return results


def touches_ram(sequence):
    """Does a sequence write script RAM?"""
    return any(s.args[0] == "ram" if s.kind == "write" else s.kind == "script" and (
        s.args[1] >= steps.SCRIPT_RAM or any(
            i.words[-1] >= steps.SCRIPT_RAM for i in s.args[0])) for s in sequence)


class Pair:
    """Both remotes, and the life of a sequence on them."""

    def __init__(self, device="lsi53c895a"):
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm")
                                                  else None)
        self.theirs = Side("qemu", QEMU, self.folder.name, device)
        self.ours = Side("mpqemu", None, self.folder.name, device)
        self.sides = (self.theirs, self.ours)
        self.fresh = self.clean = False
        self.touched_ram = self.dirty_ram = True
        self.restarts = 0

    def close(self):
        for side in self.sides:
            side.stop()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _restart(self):
        for side in self.sides:
            side.start()
        self.restarts += 1
        self.fresh, self.clean = True, False

    def _both(self, coroutine, *args):
        both({side: coroutine(side, *args) for side in self.sides})

    def begin(self, sequence):
        """The same state on both sides, whatever came before."""
        if not self.fresh:
            self._restart()
        for side in self.sides:
            for image in (side.disk, side.second):
                image.restore()
            side.ram.map[:] = BACKGROUND
        if not self.clean:
            self._both(driver.reset_all)
            for unit in (steps.DISK, steps.SECOND, steps.CDROM):
                self._both(driver.make_ready, unit)
        self._both(driver.place)
        self.touched_ram = touches_ram(sequence)
        if self.touched_ram or self.dirty_ram:
            self._both(driver.clear_ram)
        self.dirty_ram = self.touched_ram
        for side in self.sides:
            side.ram.map[:] = BACKGROUND
            side.irq.take()
        # until the sequence has ended well
        self.fresh = self.clean = False

    def step(self, step):
        """(their answers, our answers) of one step."""
        run = driver.STEPS[step.kind]
        results = both({side: run(side, step.args) for side in self.sides})
        for side in self.sides:
            results[side]["interrupt"] = side.irq.take() > 0
        return results[self.theirs], results[self.ours]

    def end(self):
        """(their state, our state) after the last step."""
        results = both({side: driver.final(side, self.touched_ram) for side in self.sides})
        for side in self.sides:
            results[side]["memory"] = bytes(side.ram.map)
            results[side]["disk"] = side.disk.contents()
            results[side]["second disk"] = side.second.contents()
        return results[self.theirs], results[self.ours]

    def mark(self, fresh, clean):
        """After a sequence: can these remotes run the next one, and are their units ready?"""
        self.fresh, self.clean = fresh, clean
